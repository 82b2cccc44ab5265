package compose_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"postern/internal/compose"
	"postern/internal/mail"
)

func box(t testing.TB, name, address string) compose.Mailbox {
	t.Helper()
	a, err := mail.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return compose.Mailbox{Name: name, Address: a}
}

func plain(t testing.TB) compose.Message {
	t.Helper()
	return compose.Message{From: box(t, "La Boutique", "bonjour@shop.example"), To: []compose.Mailbox{box(t, "Zoé, la voisine", "zoe@there.example")},
		Subject: "Votre commande est prête", Text: "Bonjour Zoé,\nà demain.", Date: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), MessageID: "1@shop.example"}
}

// read parses a message with the standard library and draws its tree: one line a part, with what it holds.
func read(t testing.TB, raw []byte) (netmail.Header, string) {
	t.Helper()
	if strings.ContainsAny(strings.ReplaceAll(string(raw), "\r\n", ""), "\r\n") {
		t.Fatalf("a line end that is not CRLF:\n%q", raw)
	}
	for line := range strings.SplitSeq(string(raw), "\r\n") {
		if len(line) > 998 {
			t.Fatalf("a line of %d bytes", len(line))
		}
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	var b strings.Builder
	drawPart(t, &b, "", m.Header.Get, m.Body)
	return m.Header, b.String()
}

func drawPart(t testing.TB, b *strings.Builder, indent string, header func(string) string, body io.Reader) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "%s%s", indent, kind)
	if d, p, err := mime.ParseMediaType(header("Content-Disposition")); err == nil {
		fmt.Fprintf(b, " %s %s", d, p["filename"])
	}
	if id := header("Content-Id"); id != "" {
		fmt.Fprintf(b, " %s", id)
	}
	if strings.HasPrefix(kind, "multipart/") {
		b.WriteByte('\n')
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			drawPart(t, b, indent+"  ", p.Header.Get, p)
		}
	}
	switch header("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, " %q\n", text)
}

func TestTree(t *testing.T) {
	t.Parallel()
	file := compose.Attachment{Name: "facture n° 1.pdf", Type: "application/pdf", Content: []byte("%PDF")}
	image := compose.Attachment{Name: "logo.png", Type: "image/png", Content: []byte{1, 2}, ContentID: "logo@shop"}
	for _, tc := range []struct {
		name   string
		change func(*compose.Message)
		want   string
	}{
		{"text", func(*compose.Message) {}, `text/plain "Bonjour Zoé,\r\nà demain.\r\n"`},
		{"html", func(m *compose.Message) { m.Text, m.HTML = "", "<p>a</p>" }, `text/html "<p>a</p>\r\n"`},
		{"both", func(m *compose.Message) { m.HTML = "<p>a</p>\r\n" }, "multipart/alternative\n  text/plain \"Bonjour Zoé,\\r\\nà demain.\\r\\n\"\n  text/html \"<p>a</p>\\r\\n\""},
		{"file", func(m *compose.Message) { m.Attachments = []compose.Attachment{file} },
			"multipart/mixed\n  text/plain \"Bonjour Zoé,\\r\\nà demain.\\r\\n\"\n  application/pdf attachment facture n° 1.pdf \"%PDF\""},
		{"image and file", func(m *compose.Message) {
			m.HTML, m.Attachments = `<img src="cid:logo@shop">`, []compose.Attachment{file, image}
		}, "multipart/mixed\n  multipart/alternative\n    text/plain \"Bonjour Zoé,\\r\\nà demain.\\r\\n\"\n    multipart/related\n      text/html \"<img src=\\\"cid:logo@shop\\\">\\r\\n\"\n" +
			"      image/png inline logo.png <logo@shop> \"\\x01\\x02\"\n  application/pdf attachment facture n° 1.pdf \"%PDF\""},
		{"image without html", func(m *compose.Message) { m.Attachments = []compose.Attachment{image} },
			"multipart/mixed\n  text/plain \"Bonjour Zoé,\\r\\nà demain.\\r\\n\"\n  image/png inline logo.png <logo@shop> \"\\x01\\x02\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := plain(t)
			tc.change(&m)
			raw, err := m.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if _, got := read(t, raw); strings.TrimSpace(got) != tc.want {
				t.Errorf("got\n%s\nwant\n%s\n%s", got, tc.want, raw)
			}
			if parsed := mail.Parse(raw, mail.DefaultLimits()); len(parsed.Defects) > 0 {
				t.Errorf("our own parser finds fault: %v", parsed.Defects)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	m := plain(t)
	m.ReplyTo, m.Cc = []compose.Mailbox{box(t, `Anne "A\B"`, "anne@shop.example")}, []compose.Mailbox{box(t, "", "x@there.example")}
	m.Fields = []compose.Field{{"List-Unsubscribe", "<https://shop.example/u>"}, {"X-Campagne", "été " + strings.Repeat("long ", 60)}}
	raw, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	h, _ := read(t, raw)
	decode := func(s string) string {
		out, err := new(mime.WordDecoder).DecodeHeader(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, want := range map[string]string{"Subject": m.Subject, "Message-Id": "<1@shop.example>", "Date": "Sun, 22 Nov 2026 08:00:00 +0000",
		"List-Unsubscribe": "<https://shop.example/u>", "X-Campagne": strings.TrimSpace(m.Fields[1].Value), "Mime-Version": "1.0"} {
		if got := decode(h.Get(name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]compose.Mailbox{"From": m.From, "To": m.To[0], "Cc": m.Cc[0], "Reply-To": m.ReplyTo[0]} {
		list, err := h.AddressList(name)
		if err != nil || len(list) != 1 || list[0].Name != want.Name || list[0].Address != want.Address.String() {
			t.Errorf("%s: %v %v, want %v", name, list, err, want)
		}
	}
	if got := strings.Index(string(raw), "From:"); got < 0 || got > strings.Index(string(raw), "Subject:") {
		t.Errorf("the order of the fields:\n%s", raw)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	attach := func(a compose.Attachment) func(*compose.Message) {
		return func(m *compose.Message) { m.Attachments = []compose.Attachment{a} }
	}
	field := func(name, value string) func(*compose.Message) {
		return func(m *compose.Message) { m.Fields = []compose.Field{{name, value}} }
	}
	for _, tc := range []struct {
		name   string
		change func(*compose.Message)
		want   string
	}{
		{"nobody", func(m *compose.Message) { m.From = compose.Mailbox{} }, "from: is missing"},
		{"nothing", func(m *compose.Message) { m.Text = "" }, "text: text and html are both empty"},
		{"subject in two lines", func(m *compose.Message) { m.Subject = "a\r\nBcc: x@y.example" }, "subject: holds a line end"},
		{"long subject", func(m *compose.Message) { m.Subject = strings.Repeat("é", 901) }, "subject: has 901 characters; 900 at most"},
		{"name in two lines", func(m *compose.Message) { m.From.Name = "a\nb" }, "from: holds a line end"},
		{"not UTF-8", func(m *compose.Message) { m.Text = "\xff" }, "text: is not UTF-8"},
		{"NUL", func(m *compose.Message) { m.HTML = "a\x00" }, "html: is not UTF-8 text, or holds a NUL"},
		{"message id", func(m *compose.Message) { m.MessageID = "<a@b>" }, "message_id: is no identifier"},
		{"forged trace", field("Received", "from x"), "headers.Received: cannot be given"},
		{"forged signature", field("dkim-signature", "v=1"), "headers.dkim-signature: cannot be given"},
		{"a body of its own", field("Content-Type", "text/html"), "headers.Content-Type: cannot be given"},
		{"blind copy", field("BCC", "x@y.example"), "headers.BCC: cannot be given"},
		{"no name", field("X Y", "a"), "headers.X Y: is no name"},
		{"name with a line", field("X\r\nY", "a"), "headers.X??Y: is no name"},
		{"value with a line", field("X-Y", "a\r\nZ: b"), "headers.X-Y: holds a line end"},
		{"empty", field("X-Y", " "), "headers.X-Y: is empty"},
		{"accents", field("List-Id", "é"), "headers.List-Id: may hold ASCII only"},
		{"long word", field("X-Y", strings.Repeat("a", 901)), "headers.X-Y: holds a word of 901 bytes"},
		{"no file name", attach(compose.Attachment{}), "attachments[0].name: is missing"},
		{"file name", attach(compose.Attachment{Name: "a\r\nb"}), "attachments[0].name: holds a line end"},
		{"type", attach(compose.Attachment{Name: "a", Type: "pdf"}), "attachments[0].type: is no media type"},
		{"multipart", attach(compose.Attachment{Name: "a", Type: "multipart/mixed; boundary=x"}), "attachments[0].type: multipart and message"},
		{"content id", attach(compose.Attachment{Name: "a", ContentID: "<a>"}), "attachments[0].content_id: may hold"},
		{"files", func(m *compose.Message) { m.Attachments = make([]compose.Attachment, 101) }, "attachments: 101 files; 100 at most"},
		{"fields", func(m *compose.Message) { m.Fields = make([]compose.Field, 51) }, "headers: 51 further fields"},
		{"recipients", func(m *compose.Message) { m.To = make([]compose.Mailbox, 1001) }, "to: to and cc have 1001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := plain(t)
			tc.change(&m)
			raw, err := m.Bytes()
			var fault *compose.Fault
			if !errors.As(err, &fault) || !strings.HasPrefix(err.Error(), tc.want) || raw != nil {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	m := plain(t)
	m.Subject, m.Text, m.HTML = "Bonjour {{name}}", "{{ name }} et {{name}}, {{a.b-c}}; {{not a name}}", `<p title="{{name}}">{{name}}</p>`
	m.Fields = []compose.Field{{"X-Who", "{{name}}"}}
	out, err := m.Fill(map[string]string{"name": `<b>"Zoé" & Cie</b>`, "a.b-c": "{{name}}", "more": "x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]string{{out.Subject, `Bonjour <b>"Zoé" & Cie</b>`}, {out.Text, `<b>"Zoé" & Cie</b> et <b>"Zoé" & Cie</b>, {{name}}; {{not a name}}`},
		{out.HTML, `<p title="&lt;b&gt;&#34;Zoé&#34; &amp; Cie&lt;/b&gt;">&lt;b&gt;&#34;Zoé&#34; &amp; Cie&lt;/b&gt;</p>`}, {out.Fields[0].Value, `<b>"Zoé" & Cie</b>`}} {
		if x[0] != x[1] {
			t.Errorf("got %s, want %s", x[0], x[1])
		}
	}
	if m.Fields[0].Value != "{{name}}" {
		t.Error("the parts themselves were changed: the next recipient gets this one's name")
	}
	_, err = m.Fill(map[string]string{"name": "x"})
	if err == nil || err.Error() != "text: {{a.b-c}} has no value; give one in substitutions" {
		t.Errorf("%v", err)
	}
	out, err = m.Fill(map[string]string{"name": "x\r\nBcc: y@z.example", "a.b-c": ""})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Bytes(); err == nil || !strings.HasPrefix(err.Error(), "subject: holds a line end") {
		t.Errorf("a value breaks the header: %v", err)
	}
}

// FuzzBytes: whatever the parts hold, no part ends the header or adds a field.
func FuzzBytes(f *testing.F) {
	f.Add("Subject", "name", "text", "<p>", "X-A", "value", "file.txt", "text/plain")
	f.Add("a\r\nb", "\x00", "\r\r\n", "\xff", "From", "a\nb: c", "../x\"", "text/plain; charset=\"a\r\nb\"")
	f.Add(strings.Repeat("é ", 200), "=?utf-8?q?x?=", ".\r\n.\r\n", "\u2028", "List-Id", strings.Repeat(" ", 300), "é.txt", "image/png; name=é")
	f.Fuzz(func(t *testing.T, subject, name, text, html, field, value, file, kind string) {
		m := plain(t)
		m.Subject, m.From.Name, m.Text, m.HTML = subject, name, text, html
		m.Fields = []compose.Field{{field, value}}
		m.Attachments = []compose.Attachment{{Name: file, Type: kind, Content: []byte(text)}}
		raw, err := m.Bytes()
		var fault *compose.Fault
		if err != nil {
			if !errors.As(err, &fault) || fault.Field == "message" {
				t.Fatalf("%v", err)
			}
			return
		}
		header, _, found := strings.Cut(string(raw), "\r\n\r\n")
		if !found || strings.ContainsAny(strings.ReplaceAll(string(raw), "\r\n", ""), "\r\n") {
			t.Fatalf("line ends: %q", raw)
		}
		for line := range strings.SplitSeq(header, "\r\n") {
			if len(line) > 998 || strings.TrimSpace(line) == "" {
				t.Fatalf("a line of %d bytes, or of nothing: %q", len(line), raw)
			}
			if line[0] == ' ' || line[0] == '\t' {
				continue
			}
			key, _, _ := strings.Cut(line, ":")
			switch key {
			case "From", "To", "Subject", "Message-Id", "Date", "Mime-Version", "Content-Type":
			default:
				if !strings.EqualFold(key, field) {
					t.Fatalf("a field %q that nobody gave:\n%s", key, header)
				}
			}
		}
	})
}
