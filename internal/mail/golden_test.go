package mail_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"

	"postern/internal/mail"
)

var update = flag.Bool("update", false, "rewrite the .want files")

// TestGolden reads every message below testdata and compares what was
// understood with the .want file beside it.
func TestGolden(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"testdata/mime/*.raw", "testdata/corpus/*.eml", "testdata/ambiguous/*.eml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", pattern, err)
		}
		for _, file := range files {
			t.Run(filepath.ToSlash(file), func(t *testing.T) {
				t.Parallel()
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				m := mail.Parse(raw, mail.DefaultLimits())
				checkMessage(t, raw, m)
				golden(t, strings.TrimSuffix(file, filepath.Ext(file))+".want", describe(m))
			})
		}
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("differs from %s (go test -update rewrites it); got:\n%s", file, got)
	}
}

// describe prints what was understood of a message for a person to read.
func describe(m *mail.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "fields: %d, body: %d bytes\n", len(m.Header), len(m.Body))
	for _, box := range m.From() {
		fmt.Fprintf(&b, "from: %q <%s>\n", box.Name, box.Address)
	}
	fmt.Fprintf(&b, "subject: %q\n", m.Subject())
	fmt.Fprintf(&b, "message-id: %q\n", m.MessageID())
	if date, err := m.Date(); err != nil {
		fmt.Fprintf(&b, "date: %v\n", err)
	} else {
		fmt.Fprintf(&b, "date: %s\n", date.Format("2006-01-02 15:04:05 -0700"))
	}
	b.WriteString("\nparts:\n")
	describePart(&b, m.Root, "  ")
	for _, d := range append(append([]mail.Defect(nil), m.Defects...), m.BodyDefects()...) {
		fmt.Fprintf(&b, "defect: %s (%s) %s\n", d.Code, d.Where, d.Detail)
	}
	for _, u := range m.URIs() {
		fmt.Fprintf(&b, "uri: %s %s %s host=%s\n", u.Origin, u.Scheme, strings.ToValidUTF8(clipTo(u.Raw, 80), "?"), u.Host)
	}
	text := m.Text()
	fmt.Fprintf(&b, "\ntext: %d bytes\n", len(text))
	for line := range strings.SplitSeq(strings.ReplaceAll(clipTo(text, 1500), "\r", ""), "\n") {
		fmt.Fprintf(&b, "| %s\n", strings.TrimRight(line, " \t"))
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(b.String(), "?"))
}

func clipTo(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func describePart(b *strings.Builder, p *mail.Part, indent string) {
	fmt.Fprintf(b, "%s%s %s", indent, p.Path, p.MediaType)
	keys := make([]string, 0, len(p.Params))
	for k := range p.Params {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(b, " %s=%q", k, p.Params[k])
	}
	fmt.Fprintf(b, " encoding=%s raw=%d decoded=%d", p.Encoding, len(p.Raw), len(p.Decoded()))
	if p.Disposition != "" || p.Filename != "" {
		fmt.Fprintf(b, " disposition=%s filename=%q", p.Disposition, p.Filename)
	}
	if strings.HasPrefix(p.MediaType, "text/") {
		fmt.Fprintf(b, " text=%d", len(p.Text()))
	}
	if h := p.HTML(); h != nil {
		fmt.Fprintf(b, " html{source=%d title=%q links=%d images=%d forms=%d hidden=%d mixed=%q}",
			h.SourceBytes, h.Title, len(h.Links), len(h.Images), len(h.Forms), len(h.Hidden), h.MixedCaseTags)
	}
	if len(p.Preamble) > 0 || len(p.Epilogue) > 0 {
		fmt.Fprintf(b, " preamble=%d epilogue=%d", len(p.Preamble), len(p.Epilogue))
	}
	b.WriteByte('\n')
	for _, c := range p.Children {
		describePart(b, c, indent+"  ")
	}
}

// checkMessage holds what is true of every message, whatever its bytes.
func checkMessage(t testing.TB, raw []byte, m *mail.Message) {
	t.Helper()
	limits := mail.DefaultLimits()
	if m.Root == nil || !bytes.HasSuffix(raw, m.Body) {
		t.Fatal("no root, or the body is not the end of the message")
	}
	text := func(what, s string) {
		if !utf8.ValidString(s) {
			t.Fatalf("%s is not UTF-8: %q", what, clipTo(s, 200))
		}
	}
	text("text", m.Text())
	text("subject", m.Subject())
	text("message-id", m.MessageID())
	if strings.ContainsAny(m.Subject()+m.MessageID(), "\r\n\x00") {
		t.Fatalf("a line end or NUL in %q or %q", m.Subject(), m.MessageID())
	}
	if len(m.Text()) > limits.TextBytes {
		t.Fatalf("text of %d bytes", len(m.Text()))
	}
	for _, d := range append(append([]mail.Defect(nil), m.Defects...), m.BodyDefects()...) {
		text("defect", d.Code+d.Where+d.Detail)
	}
	for _, box := range m.From() {
		text("name", box.Name)
		if !box.Address.IsNull() {
			if again, err := mail.ParseAddress(box.Address.String()); err != nil || again != box.Address {
				t.Fatalf("%q does not parse back: %v", box.Address.String(), err)
			}
		}
	}
	for _, f := range m.Header {
		if f.Name == "" || strings.ContainsAny(f.Name, " \t\r\n:") {
			t.Fatalf("field name %q", f.Name)
		}
		text(f.Name, f.Text())
	}
	for _, u := range m.URIs() {
		text("uri", u.Raw+u.Scheme+string(u.Host))
		if strings.ContainsAny(string(u.Host), " \t\r\n/@") {
			t.Fatalf("host %q", u.Host)
		}
	}
	seen := make(map[string]bool)
	var walk func(p *mail.Part, depth int)
	walk = func(p *mail.Part, depth int) {
		if seen[p.Path] || depth > 2*limits.Depth {
			t.Fatalf("path %q twice, or depth %d", p.Path, depth)
		}
		seen[p.Path] = true
		text("part text", p.Text())
		text("file name", p.Filename)
		text("rendered", p.Rendered())
		if h := p.HTML(); h != nil {
			text("hidden", h.Hidden+h.Title)
		}
		for _, c := range p.Children {
			if c.Parent != p {
				t.Fatalf("part %s has a wrong parent", c.Path)
			}
			walk(c, depth+1)
		}
	}
	walk(m.Root, 0)
	if len(seen) > limits.Parts+1 {
		t.Fatalf("%d parts", len(seen))
	}
}
