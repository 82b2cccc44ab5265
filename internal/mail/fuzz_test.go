package mail_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"postern/internal/mail"
)

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/mime/*.raw", "testdata/ambiguous/*.eml", "testdata/corpus/*.eml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(raw) < 8<<10 {
				f.Add(raw)
			}
		}
	}
	for _, generate := range hostile {
		f.Add([]byte(generate(300)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := mail.Parse(raw, mail.DefaultLimits())
		checkMessage(t, raw, m)
		edited := mail.Edit(raw, []string{"X-Mark", "Bcc"}, "X-Mark: 1", "X-Long: "+strings.Repeat("a b ", 40))
		less := mail.Parse(mail.Edit(raw, []string{"From", "X-Mark"}), mail.DefaultLimits())
		if string(less.Body) != string(m.Body) || less.Header.Has("From") {
			t.Fatalf("Edit changed the body from %q to %q, or kept From", m.Body, less.Body)
		}
		again := mail.Parse(edited, mail.DefaultLimits())
		if string(again.Body) != string(m.Body) {
			t.Fatalf("Edit changed the body from %q to %q", m.Body, again.Body)
		}
		if marks := again.Header.All("X-Mark"); len(marks) != 1 || again.Header[0].Name != "X-Mark" || again.Header.Has("Bcc") {
			t.Fatalf("Edit left %d marks in %q", len(marks), edited)
		}
		if want := len(m.Header) - len(m.Header.All("X-Mark")) - len(m.Header.All("Bcc")) + 2; len(again.Header) != want && len(raw) < 100<<10 {
			t.Fatalf("%d fields became %d, want %d: %q", len(m.Header), len(again.Header), want, edited)
		}
	})
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"a@b.fr", `"a b"@c.fr`, "a@[192.0.2.1]", "é@café.fr", `"\""@x.y`, "@a:b@c", "a@b..c", `""@x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			if !errors.Is(err, mail.ErrAddress) || a != (mail.Address{}) {
				t.Fatalf("%v %v", a, err)
			}
			return
		}
		wire := a.String()
		if strings.ContainsAny(wire, "\r\n\x00") || !utf8.ValidString(wire) || len(wire) > 254 {
			t.Fatalf("wire form %q", wire)
		}
		if again, err := mail.ParseAddress(wire); err != nil || again != a {
			t.Fatalf("%q became %q: %v", s, wire, err)
		}
		if boxes, ok := mail.ParseMailboxes("<" + wire + ">"); !ok || len(boxes) != 1 || boxes[0].Address != a {
			t.Fatalf("the header reads %q as %v %v", wire, boxes, ok)
		}
	})
}

func FuzzMailboxes(f *testing.F) {
	for _, s := range []string{"a@b.fr, C <d@e.fr>", "g: a@b.fr;", `"a, b" <c@d.fr>`, "a (b) @ c . d", "<@x,@y:a@b.fr>", "((", `"`, "=?utf-8?q?a?= <b@c.d>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		boxes, ok := mail.ParseMailboxes(s)
		if len(boxes) > 2000 {
			t.Fatal("too many")
		}
		for _, b := range boxes {
			if !utf8.ValidString(b.Name) || strings.ContainsAny(b.Name, "\r\n\x00") {
				t.Fatalf("name %q", b.Name)
			}
			if !strings.Contains(s, b.Raw) || b.Raw == "" {
				t.Fatalf("raw %q is no part of %q", b.Raw, s)
			}
			if ok && b.Address.IsNull() {
				t.Fatalf("ok without an address: %q", s)
			}
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Sat, 21 Nov 2026 10:11:12 +0100", "21 Nov 26 10:11 EST (x)", "6 Jan 97 10 : 11 : 12 UT", "(", ",", "Sat,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := mail.ParseDate(s)
		if err != nil && !errors.Is(err, mail.ErrDate) {
			t.Fatal(err)
		}
		if err == nil && (at.Year() < 1899 || at.Year() > 10000) {
			t.Fatalf("%q is %s", s, at)
		}
		if err == nil {
			again, err := mail.ParseDate(at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
			if err != nil || !again.Equal(at) {
				t.Fatalf("%q: %s became %s: %v", s, at, again, err)
			}
		}
	})
}

func FuzzHTML(f *testing.F) {
	for _, generate := range hostile {
		if s := generate(200); strings.HasPrefix(s, htmlTop) {
			f.Add(strings.TrimPrefix(s, htmlTop))
		}
	}
	f.Add(`<div style="display:none">x</div><a HrEf="http://x.fr"><img src=cid:a width=1 height=2></a><cEnTeR>`)
	f.Fuzz(func(t *testing.T, s string) {
		raw := []byte(htmlTop + s)
		checkMessage(t, raw, mail.Parse(raw, mail.DefaultLimits()))
	})
}

func FuzzDomain(f *testing.F) {
	for _, s := range []string{"example.com", "café.fr", "xn--caf-dma.fr", "[192.0.2.1]", "[IPv6:::1]", "a..b", "例え。jp", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := mail.ParseDomain(s)
		if err != nil {
			if !errors.Is(err, mail.ErrDomain) || d != "" {
				t.Fatalf("%q %v", d, err)
			}
			return
		}
		if len(d) > 253 || strings.ToLower(string(d)) != string(d) && d[0] != '[' {
			t.Fatalf("%q is not canonical", d)
		}
		if again, err := mail.ParseDomain(string(d)); err != nil || again != d {
			t.Fatalf("%q became %q, %v", d, again, err)
		}
		if back, err := mail.ParseDomain(d.Unicode()); err != nil || back != d {
			t.Fatalf("%q shows as %q, which is %q (%v)", d, d.Unicode(), back, err)
		}
	})
}
