package mail_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/mail"
)

// checkReencode holds one result to the promises of Reencode.
func checkReencode(t testing.TB, raw []byte, o mail.Reencoding) (out []byte, err error) {
	t.Helper()
	before := bytes.Clone(raw)
	out, changed, err := mail.Reencode(raw, o)
	if !bytes.Equal(raw, before) {
		t.Fatal("the message given was written to")
	}
	line := mail.LongLine(raw)
	needs := line > 0 || o.SevenBit && strings.ContainsFunc(string(raw), func(c rune) bool { return c > 0x7f })
	if err != nil {
		var why *mail.ReencodeError
		if !errors.As(err, &why) || why.Line < 1 || why.Line > 1+bytes.Count(raw, []byte("\n")) || why.Why == "" {
			t.Fatalf("error %#v", err)
		}
		if changed || !needs || !bytes.Equal(out, raw) {
			t.Fatalf("changed %v, needed %v, with %v", changed, needs, err)
		}
		return out, err
	}
	if changed != needs || !changed && !bytes.Equal(out, raw) {
		t.Fatalf("changed %v, needed %v", changed, needs)
	}
	for i, l := range strings.Split(string(out), "\n") {
		if l = strings.TrimSuffix(l, "\r"); len(l) > 998 {
			t.Fatalf("line %d has %d octets", i+1, len(l))
		}
	}
	if o.SevenBit && strings.ContainsFunc(string(out), func(c rune) bool { return c > 0x7f }) {
		t.Fatalf("8-bit octets remain in %q", clipTo(string(out), 2000))
	}
	if mail.LongLine(out) != 0 {
		t.Fatal("LongLine finds a line in the result")
	}
	if again, changed, err := mail.Reencode(out, o); changed || err != nil || !bytes.Equal(again, out) {
		t.Fatalf("the result is changed again: %v %v", changed, err)
	}
	a, b := mail.Parse(raw, mail.DefaultLimits()), mail.Parse(out, mail.DefaultLimits())
	if len(a.Parts()) != len(b.Parts()) || a.Subject() != b.Subject() {
		t.Fatalf("%d parts became %d, subject %q became %q", len(a.Parts()), len(b.Parts()), a.Subject(), b.Subject())
	}
	for i, p := range a.Parts() {
		q := b.Parts()[i]
		if p.Text() != q.Text() || !bytes.Equal(p.Decoded(), q.Decoded()) || p.Path != q.Path || p.MediaType != q.MediaType || p.Filename != q.Filename {
			t.Fatalf("part %s changed from %q to %q", p.Path, clipTo(p.Text(), 500), clipTo(q.Text(), 500))
		}
	}
	if len(a.From()) != len(b.From()) {
		t.Fatalf("%d authors became %d", len(a.From()), len(b.From()))
	}
	for i := range a.From() {
		if x, y := a.From()[i], b.From()[i]; x.Address != y.Address || x.Name != y.Name {
			t.Fatalf("author %v became %v", x, y)
		}
	}
	return out, nil
}

const htmlPart = "Content-Type: text/html; charset=utf-8\r\n"

// longHTML is what a script writes: one line.
func longHTML(n int) string {
	return strings.Repeat("<p class=\"x\">Bonjour, voici votre commande.</p>", n/47+1)[:n]
}

func multi(kind, boundary, body string) string {
	return "Content-Type: multipart/" + kind + "; boundary=" + boundary + "\r\n\r\n" + body
}

// TestReencode: what is mended, how it looks, and that the rest stays octet for octet.
func TestReencode(t *testing.T) {
	t.Parallel()
	x := strings.Repeat("x", 1200)
	words := strings.TrimRight(strings.Repeat("word ", 300), " ")
	image := string(bytes.Repeat([]byte{0xff, 0xd8, 1, 2}, 400))
	for _, tc := range []struct {
		name  string
		seven bool
		raw   string
		want  []string // stand in the result
		not   []string
	}{
		{"short", false, top + "\r\nx\r\n", nil, nil},
		{"8-bit is none of our business", false, top + "Subject: \xe9\r\n\r\n\xe9\r\n", []string{"\r\n\r\n\xe9\r\n"}, nil},
		{"script", false, top + htmlPart + "X-Mailer:  PHP\r\n\r\n" + longHTML(5000) + "\r\n",
			[]string{htmlPart + "X-Mailer:  PHP\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p class=3D\"x\">"}, nil},
		{"declared 8bit", false, top + "content-transfer-encoding: 8bit\r\n" + htmlPart + "\r\n" + longHTML(2000) + "é\r\n",
			[]string{top + "content-transfer-encoding: quoted-printable\r\n" + htmlPart}, []string{"8bit", "é"}},
		{"encoding given twice", false, top + "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + x + "\r\n",
			[]string{"Content-Transfer-Encoding: quoted-printable\r\n"}, []string{"8bit", "7bit"}},
		{"no MIME", false, "From: a@b.fr\r\n\r\n" + x + "\r\n",
			[]string{"From: a@b.fr\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx"}, nil},
		{"no MIME, UTF-8", false, "From: a@b.fr\r\n\r\n" + x + "é\r\n", []string{"charset=utf-8\r\n", "=C3=A9"}, nil},
		{"no MIME, Latin-1", true, "From: a@b.fr\r\n\r\ncaf\xe9 au lait, deux\r\n", []string{"charset=windows-1252\r\n", "caf=E9 au lait"}, nil},
		{"no empty line", false, "From: a@b.fr\r\n" + x + "\r\nmore\r\n", []string{"quoted-printable\r\n\r\nxxx"}, nil},
		{"no header", false, "\r\n" + x, []string{"quoted-printable\r\n\r\nxxx"}, nil},
		{"no line end", false, top + "\r\n" + x, []string{"xxx"}, nil},
		{"binary text is shorter in base64", true, top + "Content-Type: text/plain; charset=koi8-r\r\n\r\n" + strings.Repeat("\xc1\xc2", 300) + "\r\n",
			[]string{"Content-Transfer-Encoding: base64\r\n\r\nwcLB"}, nil},
		{"image sent raw", false, top + "Content-Type: image/jpeg\r\n\r\n" + image + "\r\n", []string{"Content-Transfer-Encoding: base64\r\n\r\n/9gBAv/Y"}, nil},
		{"base64 on one line", false, top + "Content-Type: image/jpeg\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(image)) + "\r\n",
			[]string{"Content-Transfer-Encoding: BASE64\r\n\r\n/9gBAv/Y"}, nil},
		{"quoted-printable on one line", false, top + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("caf=C3=A9 ", 200) + "x\r\n",
			[]string{"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=C3=A9 caf"}, nil},
		{"8-bit in quoted-printable", true, top + "Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf\xc3\xa9=20=\r\nx\r\n", []string{"caf=C3=A9 x\r\n"}, nil},
		{"white space and signs", false, top + "\r\n" + x + "\r\nend \t\r\n-- \r\nFrom x\r\n--b\r\n.\r\n=\r\n",
			[]string{"\r\nend =09\r\n=2D-=20\r\n=46rom x\r\n=2D-b\r\n.\r\n=3D\r\n"}, nil},
		{"bare line ends", false, top + "\r\n" + x + "\r\na\nb\rc\r\n", []string{"a=0Ab=0Dc\r\n"}, nil},
		{"Unix file", false, "From: a@b.fr\nSubject: " + words + "\n\n" + x + "\ny\n", []string{"quoted-printable\n\nxxx", "\ny\n"}, []string{"\r", "=0A"}},
		{"one part of several", false, top + multi("mixed", "b", "pre\r\n--b\r\n\r\nshort  \r\n--b \r\n"+htmlPart+"\r\n"+longHTML(3000)+"\r\n--b--\r\npost\r\n"),
			[]string{"pre\r\n--b\r\n\r\nshort  \r\n--b \r\n" + htmlPart + "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p", "\r\n--b--\r\npost\r\n"}, []string{"--b--\r\n\r\n"}},
		{"part without header", false, top + multi("mixed", "b", "--b\r\n\r\n"+x+"\r\n--b--\r\n"),
			[]string{"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx"}, nil},
		{"nested", false, top + multi("mixed", "a", "--a\r\n"+multi("alternative", "b", "--b\r\n\r\nx\r\n--b\r\n"+htmlPart+"\r\n"+longHTML(1500)+"\r\n--b--\r\n")+
			"\r\n--a\r\nContent-Type: image/png\r\n\r\n"+x+"\r\n--a--\r\n"), []string{"quoted-printable", "base64"}, nil},
		{"attached message", false, top + "Content-Type: message/rfc822\r\n\r\nFrom: c@d.fr\r\nTo: " + words + "\r\n\r\n" + x + "\r\n",
			[]string{"Content-Type: message/rfc822\r\n\r\nFrom: c@d.fr\r\nTo: word", "us-ascii\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nxxx"}, nil},
		{"digest", false, top + multi("digest", "b", "--b\r\n\r\nFrom: c@d.fr\r\n\r\n"+x+"\r\n--b--\r\n"), []string{"--b\r\n\r\nFrom: c@d.fr\r\nMIME-Version"}, nil},
		{"message in base64", false, top + "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte("A: b\r\n\r\n"+x)) + "\r\n",
			[]string{"Content-Transfer-Encoding: base64\r\n\r\nQTog"}, nil},
		{"signed and short, long beside", false, top + multi("mixed", "a", "--a\r\n"+multi("signed", "b", "--b\r\n\r\nsigned  \r\n--b\r\n\r\nsig\r\n--b--\r\n")+"\r\n--a\r\n\r\n"+x+"\r\n--a--\r\n"),
			[]string{"--b\r\n\r\nsigned  \r\n--b\r\n\r\nsig\r\n--b--\r\n", "=\r\n"}, nil},
		{"around the boundaries", false, top + multi("mixed", "b", strings.Repeat("--", 600)+"\r\n"+x+"\r\n--b"+strings.Repeat(" ", 1100)+"\r\n\r\ny\r\n--b--\r\n"+strings.Repeat("-- ", 500)),
			[]string{"\r\n--b\r\n\r\ny\r\n--b--\r\n"}, nil},
		{"around the boundaries, 8-bit", true, top + multi("mixed", "b", "\xe9t\xe9\r\n--b\r\n\r\ny\r\n--b--\r\ncaf\xc3\xa9"), []string{"\r\n?t?\r\n--b", "caf??"}, nil},
		{"folded at white space", false, top + "Subject: " + words + "\r\nX-Kept:  as it is \r\n\r\nx\r\n", []string{"word\r\n word", "\r\nX-Kept:  as it is \r\n\r\nx\r\n"}, nil},
		{"a subject without space", false, top + "Subject: " + x + "\r\n\r\nx\r\n", []string{"Subject: =?utf-8?q?xxx", "x?=\r\n =?utf-8?q?xx"}, nil},
		{"a subject in one encoded word", false, top + "Subject: =?ISO-8859-1?B?" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("caf\xe9 ", 300))) + "?=\r\n\r\nx\r\n",
			[]string{"Subject: =?utf-8?q?caf=C3=A9_"}, nil},
		{"recipients without space", false, top + "To: " + strings.TrimRight(strings.Repeat("someone@example.fr,", 100), ",") + "\r\n\r\nx\r\n", []string{"example.fr,\r\n someone@"}, nil},
		{"recipients on one line", false, top + "To: " + strings.TrimRight(strings.Repeat("\"A, b\" <someone@example.fr>, ", 100), ", ") + "\r\n\r\nx\r\n", []string{"\"A, b\"\r\n <someone"}, nil},
		{"a name in one encoded word", false, top + "Cc: =?utf-8?q?" + x + "?= <a@b.fr>\r\n\r\nx\r\n", []string{"Cc: =?utf-8?q?xxx", "?=\r\n <a@b.fr>\r\n"}, nil},
		{"references without space", false, top + "References: " + strings.Repeat("<1234567890@example.fr>", 60) + "\r\n\r\nx\r\n", []string{">\r\n <1234"}, nil},
		{"signature without space", false, top + "DKIM-Signature: v=1;a=rsa-sha256;h=" + strings.Repeat("a:", 300) + "b;b=" + strings.Repeat("A", 680) + "\r\n\r\nx\r\n", []string{";\r\n b=AAA"}, nil},
		{"a long file name", false, top + "Content-Type: text/plain; name=\"" + x + "\"\r\n\r\nx\r\n", []string{"Content-Type: text/plain;\r\n name*0*=utf-8''xxx"}, nil},
		{"8-bit file names", true, top + "Content-Type: text/plain; charset=utf-8; name=été.txt\r\nContent-Disposition: attachment; filename=\"\xe9t\xe9.txt\"\r\n\r\nx\r\n",
			[]string{"Content-Type: text/plain;\r\n charset=\"utf-8\";\r\n name*0*=utf-8''%C3%A9t%C3%A9.txt\r\n", "attachment;\r\n filename*0*=utf-8''%C3%A9t"}, nil},
		{"8-bit header", true, top + "Subject: Réservation, \xc3\xa0 bient\xc3\xb4t\r\nX-Kept:  as it is \r\nTo: André <a@b.fr>, b@c.fr\r\n\r\nx\r\n",
			[]string{"Subject: =?utf-8?q?R=C3=A9servation=2C_=C3=A0_bient=C3=B4t?=\r\nX-Kept:  as it is \r\nTo: =?utf-8?q?Andr=C3=A9?=\r\n <a@b.fr>,\r\n b@c.fr\r\n"}, nil},
		{"8-bit author", true, "From: \"L'équipe\" <a@b.fr>\r\nSubject: =?utf-8?q?d=C3=A9j=C3=A0?= là\r\n\r\nx\r\n", []string{"From: =?utf-8?q?L=27=C3=A9quipe?=\r\n <a@b.fr>\r\n"}, nil},
		{"international domain", true, "From: a@café.fr\r\n\r\nx\r\n", []string{"From: a@xn--caf-dma.fr\r\n"}, nil},
		{"8-bit rubbish amid the header", true, "From: a@b.fr\r\n\xe9\xe9\r\nSubject: x\r\n\r\nx\r\n", []string{"From: a@b.fr\r\nSubject: x\r\n\r\nx\r\n"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out, err := checkReencode(t, []byte(tc.raw), mail.Reencoding{SevenBit: tc.seven})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tc.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("%q is not in %q", w, clipTo(string(out), 3000))
				}
			}
			for _, w := range tc.not {
				if strings.Contains(string(out), w) {
					t.Errorf("%q is in %q", w, clipTo(string(out), 3000))
				}
			}
		})
	}
}

// TestReencodeImpossible: what is refused, with the line and the reason.
func TestReencodeImpossible(t *testing.T) {
	t.Parallel()
	x := strings.Repeat("x", 1200)
	for _, tc := range []struct {
		name  string
		seven bool
		raw   string
		line  int
		want  string
	}{
		{"signed", false, top + multi("signed", "b", "--b\r\n\r\n"+x+"\r\n--b\r\n\r\nsig\r\n--b--\r\n"), 8, "multipart/signed"},
		{"signed, 8-bit", true, top + multi("signed", "b", "--b\r\n\r\nx\r\né\r\n--b\r\n\r\nsig\r\n--b--\r\n"), 9, "multipart/signed"},
		{"signed inside", false, top + multi("mixed", "a", "--a\r\n"+multi("encrypted", "b", "--b\r\n\r\n"+x+"\r\n--b--\r\n")+"\r\n--a--\r\n"), 11, "multipart/encrypted"},
		{"no boundary", false, top + "Content-Type: multipart/mixed\r\n\r\n" + x + "\r\n", 6, "cannot be read"},
		{"status report", true, top + "Content-Type: message/delivery-status\r\n\r\nX: é\r\n", 6, "may not be encoded"},
		{"uuencode", false, top + "Content-Transfer-Encoding: x-uuencode\r\n\r\n" + x + "\r\n", 6, "no standard one"},
		{"too deep", false, top + strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 30) + "\r\n" + x, 65, "levels"},
		{"too many parts", false, top + multi("mixed", "b", strings.Repeat("--b\r\n\r\n", 1100)+x), 2206, "parts"},
		{"long field name", false, top + x + ": y\r\nSubject: x\r\n\r\nx\r\n", 4, "cannot be folded"},
		{"long message-id", false, top + "Message-ID: <" + x + "@b.fr>\r\n\r\nx\r\n", 4, "Message-ID"},
		{"long address", false, top + "To: " + x + "@b.fr\r\n\r\nx\r\n", 4, "cannot be folded"},
		{"8-bit address", true, top + "To: é@b.fr\r\n\r\nx\r\n", 4, "To holds 8-bit"},
		{"8-bit trace", true, top + "Received: from é\r\n\r\nx\r\n", 4, "Received holds 8-bit"},
		{"8-bit boundary", true, top + "Content-Type: multipart/mixed; boundary=é\r\n\r\n--é\r\n\r\n--é--\r\n", 4, "Content-Type holds 8-bit"},
		{"group", true, top + "To: é: a@b.fr;\r\n\r\nx\r\n", 4, "To holds 8-bit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := checkReencode(t, []byte(tc.raw), mail.Reencoding{SevenBit: tc.seven})
			var why *mail.ReencodeError
			if !errors.As(err, &why) || why.Line != tc.line || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want line %d, %q", err, tc.line, tc.want)
			}
		})
	}
}

// TestReencodeCorpus holds real, irregular and hostile messages to the promises,
// as they are and with their body lines joined to one.
func TestReencodeCorpus(t *testing.T) {
	t.Parallel()
	var all [][]byte
	for _, pattern := range []string{"testdata/mime/*.raw", "testdata/ambiguous/*.eml", "testdata/corpus/*.eml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, raw)
		}
	}
	for _, generate := range hostile {
		all = append(all, []byte(generate(20<<10)))
	}
	changed, refused := 0, 0
	for _, raw := range all {
		for _, raw := range [][]byte{raw, joinLines(raw)} {
			for _, seven := range []bool{false, true} {
				out, err := checkReencode(t, raw, mail.Reencoding{SevenBit: seven})
				switch {
				case err != nil:
					refused++
				case !bytes.Equal(out, raw):
					changed++
				}
			}
		}
	}
	if t.Logf("%d changed, %d refused", changed, refused); changed < len(all) {
		t.Errorf("only %d changed, %d refused", changed, refused)
	}
}

// joinLines makes one line of the lines of each paragraph of the body that do not look like structure.
func joinLines(raw []byte) []byte {
	i := bytes.Index(raw, []byte("\n\n"))
	if j := bytes.Index(raw, []byte("\r\n\r\n")); i < 0 || j >= 0 && j < i {
		i = j + 2
	}
	if i < 0 {
		return raw
	}
	var out []byte
	for _, line := range bytes.SplitAfter(raw[i:], []byte("\n")) {
		if text := bytes.TrimRight(line, "\r\n"); len(text) > 30 && !bytes.Contains(text, []byte("--")) && !bytes.Contains(text, []byte(":")) {
			line = append(bytes.Clone(text), ' ')
		}
		out = append(out, line...)
	}
	return append(bytes.Clone(raw[:i]), out...)
}

// TestLongLine compares the fast scan with the definition.
func TestLongLine(t *testing.T) {
	t.Parallel()
	slow := func(raw string) int {
		for i, l := range strings.Split(raw, "\n") {
			if i < strings.Count(raw, "\n") {
				l = strings.TrimSuffix(l, "\r")
			}
			if len(l) > 998 {
				return i + 1
			}
		}
		return 0
	}
	for _, eol := range []string{"\n", "\r\n", "\r", "\r\r\n", ""} {
		for _, before := range []string{"", "\n", "\r\n", "x\n", strings.Repeat("y", 998) + "\r\n", strings.Repeat("y\n", 700)} {
			for n := 990; n < 1004; n++ {
				for _, after := range []string{"", "z", "\n", "z\r\n", strings.Repeat("z", 997)} {
					raw := before + strings.Repeat("x", n) + eol + after
					if got, want := mail.LongLine([]byte(raw)), slow(raw); got != want {
						t.Fatalf("%d after %d octets, end %q, then %d: line %d, want %d", n, len(before), eol, len(after), got, want)
					}
				}
			}
		}
	}
}

func FuzzReencode(f *testing.F) {
	for _, pattern := range []string{"testdata/mime/*.raw", "testdata/ambiguous/*.eml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if raw, err := os.ReadFile(file); err == nil && len(raw) < 8<<10 {
				f.Add(raw, true)
				f.Add(joinLines(raw), false)
			}
		}
	}
	for _, generate := range hostile {
		f.Add([]byte(generate(1500)), true)
	}
	f.Add([]byte(top+htmlPart+"\r\n"+longHTML(1500)), false)
	f.Fuzz(func(t *testing.T, raw []byte, seven bool) {
		_, _ = checkReencode(t, raw, mail.Reencoding{SevenBit: seven})
		// Long lines are rare in what a fuzzer makes: a sign becomes one.
		_, _ = checkReencode(t, bytes.Replace(raw, []byte("x"), []byte(strings.Repeat("x=", 600)), 10), mail.Reencoding{SevenBit: seven})
	})
}

func BenchmarkLongLine(b *testing.B) {
	for _, n := range []int{40, 76, 900} {
		b.Run(fmt.Sprintf("lines of %d", n), func(b *testing.B) {
			raw := bytes.Repeat([]byte(strings.Repeat("x", n)+"\r\n"), (1<<20)/n)
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if mail.LongLine(raw) != 0 {
					b.Fatal("found one")
				}
			}
		})
	}
}

func BenchmarkReencode(b *testing.B) {
	for _, tc := range []struct{ name, text string }{
		{"html", longHTML(100 << 10)}, {"french", strings.Repeat("déjà vu à la plage ", 5000)}, {"cyrillic", strings.Repeat("привет ", 8000)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			raw := []byte(top + htmlPart + "\r\n" + tc.text + "\r\n")
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, changed, err := mail.Reencode(raw, mail.Reencoding{SevenBit: true}); !changed || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
