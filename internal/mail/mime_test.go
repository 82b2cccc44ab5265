package mail_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"postern/internal/mail"
)

const top = "From: a@b.fr\r\nDate: Sat, 21 Nov 2026 10:11:12 +0100\r\nMIME-Version: 1.0\r\n"

func has(list []mail.Defect, code string) bool {
	for _, d := range list {
		if d.Code == code {
			return true
		}
	}
	return false
}

// TestMIMEDefects: one message per defect of structure and content, and a sound
// one without any.
func TestMIMEDefects(t *testing.T) {
	t.Parallel()
	multi := func(boundary, body string) string {
		return top + "Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n" + body
	}
	long := strings.Repeat("b", 80)
	tooLong := strings.Repeat("b", 300)
	limits := mail.DefaultLimits()
	limits.Depth, limits.Parts = 3, 6
	nested := multi("a", "--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"+
		"--c\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n--c--\r\n--b--\r\n--a--\r\n")
	for _, tc := range []struct{ code, raw string }{
		{"", multi("a", "pre\r\n--a\r\n\r\nx\r\n--a \r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\né\r\n--a--\r\npost\r\n")},
		{mail.DefectMIMEBadType, top + "Content-Type: nonsense\r\n\r\n"},
		{mail.DefectMIMEBadDisposition, top + "Content-Disposition: ;x=y\r\n\r\n"},
		{mail.DefectMIMEBadParam, top + "Content-Type: text/plain; charset\r\n\r\n"},
		{mail.DefectMIMEDuplicateParam, top + "Content-Type: text/plain; charset=a; charset=b\r\n\r\n"},
		{mail.DefectMIMEAmbiguousName, top + "Content-Type: a/b; name=x.txt\r\nContent-Disposition: attachment; filename=x.exe\r\n\r\n"},
		{mail.DefectMIMEBadEncoding, top + "Content-Transfer-Encoding: rot13\r\n\r\n"},
		{mail.DefectMIMEEncodedComposite, top + "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTogYg==\r\n"},
		{mail.DefectMIME8Bit, top + "\r\n\xe9\r\n"},
		{mail.DefectMIMEBoundaryMissing, top + "Content-Type: multipart/mixed\r\n\r\nx\r\n"},
		{mail.DefectMIMEBoundaryBad, multi("\"a&b\"", "--a&b\r\n\r\n--a&b--\r\n")},
		{mail.DefectMIMEBoundaryLong, multi(long, "--"+long+"\r\n\r\n--"+long+"--\r\n")},
		{mail.DefectMIMEBoundaryLong, multi(tooLong, "--"+tooLong+"\r\n\r\n--"+tooLong+"--\r\n")},
		{mail.DefectMIMEBoundaryReused, multi("a", "--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n--a--\r\n")},
		{mail.DefectMIMEBoundaryPrefix, multi("a", "--a\r\n\r\n--ab\r\n--a--\r\n")},
		{mail.DefectMIMEBoundaryUnused, multi("a", "--b\r\n\r\n--b--\r\n")},
		{mail.DefectMIMENotClosed, multi("a", "--a\r\n\r\nx\r\n")},
		{mail.DefectMIMEAfterClose, multi("a", "--a\r\n\r\nx\r\n--a--\r\n--a\r\n")},
		{mail.DefectMIMETooDeep, nested},
		{mail.DefectMIMETooMany, multi("a", strings.Repeat("--a\r\n\r\n", 7)+"--a--\r\n")},
		{mail.DefectHeaderDuplicate, multi("a", "--a\r\nContent-Type: text/plain\r\nContent-Type: text/html\r\n\r\n--a--\r\n")},
		{mail.DefectBase64, top + "Content-Transfer-Encoding: base64\r\n\r\nQUJD*RA==\r\n"},
		{mail.DefectQuotedPrintable, top + "Content-Transfer-Encoding: quoted-printable\r\n\r\n=zz\r\n"},
		{mail.DefectCharsetUnknown, top + "Content-Type: text/plain; charset=klingon\r\n\r\nx\r\n"},
		{mail.DefectCharsetWrong, top + "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xe9\r\n"},
		{mail.DefectHTMLTooDeep, top + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<b>", 600) + "\r\n"},
	} {
		name := tc.code
		if name == "" {
			name = "none"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(tc.raw), limits)
			checkMessage(t, []byte(tc.raw), m)
			all := append(append([]mail.Defect(nil), m.Defects...), m.BodyDefects()...)
			if tc.code == "" && len(all) > 0 || tc.code != "" && !has(all, tc.code) {
				t.Errorf("want %q, got %v", tc.code, all)
			}
		})
	}
}

func TestDecoded(t *testing.T) {
	t.Parallel()
	binary := make([]byte, 1000)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	for _, tc := range []struct{ name, encoding, body, want string }{
		{"7bit", "7bit", "a=41\r\n", "a=41\r\n"},
		{"base64", "base64", base64.StdEncoding.EncodeToString(binary), string(binary)},
		{"base64 upper case name", "BASE64", "QUJD\r\nREVG", "ABCDEF"},
		{"base64 with rubbish", "base64", "QU\x00JD!!RE VG", "ABCDEF"},
		{"base64 padding inside", "base64", "QUI=Q0Q=", "ABCD"},
		{"base64 without padding", "base64", "QUI", "AB"},
		{"base64 one left", "base64", "QUJDR", "ABC"},
		{"qp", "quoted-printable", "caf=C3=A9 =\r\nau=20lait  \r\nend", "café au lait\r\nend"},
		{"qp lower case", "quoted-printable", "=c3=a9", "é"},
		{"qp soft break with space", "quoted-printable", "a= \r\nb", "ab"},
		{"qp garbage", "quoted-printable", "a=zzb=", "a=zzb"},
		{"qp lf", "quoted-printable", "a=\nb\n", "ab\n"},
		{"with comment", "(x) base64 (y)", "QUJD", "ABC"},
		{"unknown", "x-uu", "a=41", "a=41"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(top+"Content-Transfer-Encoding: "+tc.encoding+"\r\n\r\n"+tc.body), mail.DefaultLimits())
			if got := string(m.Root.Decoded()); got != tc.want {
				t.Errorf("got %q, want %q", clipTo(got, 100), clipTo(tc.want, 100))
			}
		})
	}
}

func TestCharset(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ charset, body, want string }{
		{"", "caf\xe9", "café"},
		{"", "caf\xc3\xa9", "café"},
		{"us-ascii", "caf\xc3\xa9", "café"},
		{"iso-8859-1", "\x93caf\xe9\x94", "“café”"},
		{"iso-8859-15", "\xa4", "€"},
		{"ISO-2022-JP", "\x1b$B$3$s\x1b(B", "こん"},
		{"gb2312", "\xc4\xe3\xba\xc3", "你好"},
		{"shift_jis", "\x82\xb1\x82\xf1", "こん"},
		{"koi8-r", "\xf0\xd2\xc9", "При"},
		{"utf-16le", "h\x00i\x00", "hi"},
		{"utf-7", "Hi +AOk- +2D3eAA-+-", "Hi é 😀+"},
		{"klingon", "caf\xe9", "café"},
		{"utf-8", "caf\xe9", "café"},
		{"hz-gb-2312", "~{<:Ky~}", "己所"},
	} {
		t.Run(tc.charset+" "+tc.want, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(top+"Content-Type: text/plain; charset=\""+tc.charset+"\"\r\n\r\n"+tc.body), mail.DefaultLimits())
			if got := m.Root.Text(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	m := mail.Parse([]byte(top+"Content-Type: text/html\r\n\r\n<meta charset=koi8-r><p>\xf0\xd2\xc9"), mail.DefaultLimits())
	if got := m.Text(); got != "При" {
		t.Errorf("meta charset: %q", got)
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, field, want string }{
		{"plain", `attachment; filename=a.txt`, "a.txt"},
		{"quoted", `attachment; filename="a b.txt"`, "a b.txt"},
		{"escapes", `attachment; filename="a\"b\\c.txt"`, `a"b\c.txt`},
		{"windows path", `attachment; filename="C:\temp\a.txt"`, `C:\temp\a.txt`},
		{"semicolon in quotes", `attachment; filename="a;b.txt"`, "a;b.txt"},
		{"unquoted spaces", `attachment; filename=a b.txt; x=y`, "a b.txt"},
		{"encoded word", `attachment; filename="=?utf-8?q?caf=C3=A9.txt?="`, "café.txt"},
		{"extended", `attachment; filename*=iso-8859-1'fr'caf%E9.txt`, "café.txt"},
		{"extended wins", `attachment; filename=cafe.txt; filename*=utf-8''caf%C3%A9.txt`, "café.txt"},
		{"continued", `attachment; filename*0="a"; filename*1="b.txt"`, "ab.txt"},
		{"continued and encoded", `attachment; filename*1=b.txt; filename*0*=utf-8''%C3%A9`, "éb.txt"},
		{"hole", `attachment; filename*0=a; filename*2=c`, "a"},
		{"no value", `attachment; filename`, ""},
		{"open quote", `attachment; filename="a.txt`, "a.txt"},
		{"comment", `attachment (x); filename=a.txt (y)`, "a.txt"},
		{"no semicolon", `attachment filename=a.txt`, "a.txt"},
		{"line end hidden", `attachment; filename*=utf-8''a%0D%0Ab.txt`, "a\r\nb.txt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(top+"Content-Disposition: "+tc.field+"\r\n\r\n"), mail.DefaultLimits())
			want := strings.ReplaceAll(tc.want, "\r\n", "  ")
			if m.Root.Filename != want || m.Root.Disposition != "attachment" {
				t.Errorf("got %q %q, want %q", m.Root.Disposition, m.Root.Filename, want)
			}
		})
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	alternative := func(parts ...string) string {
		return top + "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n" + strings.Join(parts, "\r\n--x\r\n") + "\r\n--x--\r\n"
	}
	for _, tc := range []struct{ name, raw, want string }{
		{"plain", top + "\r\nhello\r\n", "hello\r\n"},
		{"alternative", alternative("\r\nplain", "Content-Type: text/html\r\n\r\n<b>rich</b>"), "rich"},
		{"alternative with calendar", alternative("\r\nplain", "Content-Type: text/calendar\r\n\r\nBEGIN"), "plain"},
		{"alternative with empty html", alternative("\r\nplain", "Content-Type: text/html\r\n\r\n<div></div>"), "plain"},
		{"alternative with related", alternative("\r\nplain",
			"Content-Type: multipart/related; boundary=y\r\n\r\n--y\r\nContent-Type: text/html\r\n\r\n<p>rich\r\n--y\r\nContent-Type: image/png\r\n\r\nx\r\n--y--"), "rich"},
		{"related with start", top + "Content-Type: multipart/related; boundary=y; start=\"<b>\"\r\n\r\n--y\r\n\r\nfirst\r\n--y\r\nContent-ID: <b>\r\n\r\nsecond\r\n--y--\r\n", "second"},
		{"mixed", top + "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\nContent-Disposition: attachment\r\n\r\nnot shown\r\n--x\r\n\r\ntwo\r\n--x--\r\n", "one\ntwo"},
		{"forwarded", top + "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninside\r\n", "inside\r\n"},
		{"multipart without boundary", top + "Content-Type: multipart/mixed\r\n\r\nraw\r\n", "raw\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := mail.Parse([]byte(tc.raw), mail.DefaultLimits()).Text(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestConcurrentReaders reads one message from many goroutines; the race
// detector judges.
func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	m := mail.Parse(sample10K(), mail.DefaultLimits())
	var wg sync.WaitGroup
	texts := make([]string, 8)
	for i := range texts {
		wg.Go(func() {
			m.URIs()
			m.BodyDefects()
			for _, p := range m.Parts() {
				p.Decoded()
				p.HTML()
			}
			texts[i] = m.Text() + m.Subject()
		})
	}
	wg.Wait()
	for _, s := range texts {
		if s != texts[0] || s == "" {
			t.Fatal("readers saw different texts")
		}
	}
}

// sample10K is a typical newsletter: text and HTML, 10 KB.
func sample10K() []byte {
	var b bytes.Buffer
	b.WriteString("Received: from mx.example.com (mx.example.com [192.0.2.1])\r\n\tby gw.example.net with ESMTPS id 123456\r\n\tfor <x@example.org>; Sat, 21 Nov 2026 10:11:12 +0100\r\n")
	b.WriteString("From: \"Example Shop\" <news@shop.example.com>\r\nTo: Jean Dupont <jean@example.org>\r\nReply-To: reply@shop.example.com\r\n")
	b.WriteString("Subject: =?utf-8?q?Les_promotions_de_No=C3=ABl?=\r\nDate: Sat, 21 Nov 2026 10:11:12 +0100\r\nMessage-ID: <20261121.123@shop.example.com>\r\n")
	b.WriteString("List-Unsubscribe: <https://shop.example.com/u/123>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"=_part_1\"\r\n\r\n")
	b.WriteString("--=_part_1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	for i := range 30 {
		fmt.Fprintf(&b, "Une ligne de texte num=C3=A9ro %d avec un lien https://shop.example.com/p/%d\r\n", i, i)
	}
	b.WriteString("--=_part_1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><head><title>Promotions</title></head><body><table>\r\n")
	for i := range 50 {
		fmt.Fprintf(&b, "<tr><td style=3D\"color:#333\"><a href=3D\"https://shop.example.com/p/%d\"><img src=3D\"https://img.example.com/%d.png\" width=3D\"100\"></a></td></tr>\r\n", i, i)
	}
	b.WriteString("</table></body></html>\r\n--=_part_1--\r\n")
	return b.Bytes()
}

func sample2K() []byte {
	return []byte(top + "To: b@c.fr\r\nSubject: Hello\r\nMessage-ID: <1@b.fr>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
		strings.Repeat("The quick brown fox jumps over the lazy dog, and again.\r\n", 32))
}

func sample100K() []byte {
	var b bytes.Buffer
	b.WriteString(top + "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nsee attachment\r\n--x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for range 1300 {
		b.WriteString("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAx\r\n")
	}
	b.WriteString("--x--\r\n")
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	for _, s := range []struct {
		name string
		raw  []byte
	}{{"2KB-text", sample2K()}, {"10KB-alternative", sample10K()}, {"100KB-attachment", sample100K()}} {
		b.Run(s.name, func(b *testing.B) {
			b.SetBytes(int64(len(s.raw)))
			b.ReportAllocs()
			for b.Loop() {
				mail.Parse(s.raw, mail.DefaultLimits())
			}
		})
		b.Run(s.name+"-all", func(b *testing.B) {
			b.SetBytes(int64(len(s.raw)))
			b.ReportAllocs()
			for b.Loop() {
				m := mail.Parse(s.raw, mail.DefaultLimits())
				m.Text()
				m.URIs()
				m.BodyDefects()
			}
		})
	}
}
