package rules_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

// Sizes of the messages below: the benchmark takes the largest that a gateway usually lets in, the test what shows the bounds.
const (
	hostileBench = 10 << 20
	hostileTest  = 1 << 20
)

const plainHead = "From: a@sender.example\nTo: b@there.example\nSubject: x\nMessage-ID: <1@sender.example>\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\n"

func fill(size int, head, piece, tail string) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for b.Len() < size {
		b.WriteString(piece)
	}
	b.WriteString(tail)
	return b.Bytes()
}

func numbered(size int, head string, piece func(i int) string, tail string, most int) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for i := 0; b.Len() < size && i < most; i++ {
		b.WriteString(piece(i))
	}
	b.WriteString(tail)
	return b.Bytes()
}

func nested(depth int) []byte {
	var b bytes.Buffer
	b.WriteString(plainHead)
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	b.WriteString("\ntext\n")
	return b.Bytes()
}

func rfc822(depth int) []byte {
	var b bytes.Buffer
	for range depth {
		b.WriteString(plainHead + "Content-Type: message/rfc822\n\n")
	}
	b.WriteString(plainHead + "\ntext\n")
	return b.Bytes()
}

func random(n int, alphabet string) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

const htmlHead = plainHead + "Content-Type: text/html; charset=utf-8\n\n<html><body>"

// hostile are messages made to cost time.
var hostile = []struct {
	name string
	make func(size int) []byte
}{
	{"links in HTML", func(size int) []byte {
		return numbered(size, htmlHead, func(i int) string {
			return fmt.Sprintf("<a href=\"http://h%d.example.com/p?u=http%%3A%%2F%%2Fx%d.org\">link %d</a>\n", i, i, i)
		}, "</body></html>\n", 1<<30)
	}},
	{"links in text", func(size int) []byte {
		return numbered(size, plainHead+"\n", func(i int) string { return fmt.Sprintf("http://h%d.example.com/path/%d see a%d@b%d.org\n", i, i, i, i) }, "", 1<<30)
	}},
	{"a href without end", func(size int) []byte { return fill(size, htmlHead, "<a href>", "") }},
	{"anchors never closed", func(size int) []byte { return fill(size, htmlHead, "<a href=http://x.example.com/>y", "") }},
	{"tiny tags", func(size int) []byte { return fill(size, htmlHead, "<b><i></b></i>", "") }},
	{"many tags and styles", func(size int) []byte {
		return fill(size, htmlHead, "<font color=#fefefe size=1><span style=\"font-size:0;color:white\">x</span>", "")
	}},
	{"open divs", func(size int) []byte { return fill(size, htmlHead, "<div style='color:red'>", "") }},
	{"tables", func(size int) []byte { return fill(size, htmlHead, "<table><tr><td bgcolor=white>", "") }},
	{"attributes", func(size int) []byte { return fill(size, htmlHead+"<a ", "href=http://x.example.com/ ", ">x</a>") }},
	{"attribute names", func(size int) []byte {
		return numbered(size, htmlHead+"<a ", func(i int) string { return fmt.Sprintf("a%d=%d ", i, i) }, ">x</a>", 1<<30)
	}},
	{"comments never closed", func(size int) []byte { return fill(size, htmlHead, "<!-- ", "") }},
	{"comments", func(size int) []byte { return fill(size, htmlHead, "<!--x-->", "") }},
	{"entities", func(size int) []byte { return fill(size, htmlHead, "&#x61;&amp;&nbsp;", "") }},
	{"less than", func(size int) []byte { return fill(size, htmlHead, "<", "") }},
	{"titles", func(size int) []byte { return fill(size, htmlHead, "<title>x</title>", "") }},
	{"titles never closed", func(size int) []byte { return fill(size, htmlHead, "<title>", "") }},
	{"scripts never closed", func(size int) []byte { return fill(size, htmlHead, "<script>", "") }},
	{"base64 HTML", func(size int) []byte {
		page := fill(size, "<html>", "<p>Dear friend, <a href=http://x.example.com/>buy</a> now", "")
		s := base64.StdEncoding.EncodeToString(page[:size*3/4])
		var b strings.Builder
		for len(s) > 76 {
			b.WriteString(s[:76] + "\n")
			s = s[76:]
		}
		return []byte(plainHead + "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n" + b.String() + s + "\n")
	}},
	{"quoted-printable", func(size int) []byte {
		return fill(size, plainHead+"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n", "=3Ca=20href=3D=\n", "")
	}},
	{"one line", func(size int) []byte { return fill(size, plainHead+"\n", "a", "\n") }},
	{"one line of words", func(size int) []byte { return fill(size, plainHead+"\n", "viagra cialis ", "\n") }},
	{"one line of mixed letters", func(size int) []byte {
		return []byte(plainHead + "\n" + random(size, "abcdeilmnoprstuvxyz10 .@_-$!") + "\n")
	}},
	{"random bytes", func(size int) []byte {
		return []byte(plainHead + "\n" + random(size, "\x80\xe2\xc3\xa9 abc\n<>&;=?") + "\n")
	}},
	{"e", func(size int) []byte { return fill(size, plainHead+"\n", "e e e e e e e e e e e e e e e e e e\n", "") }},
	{"at signs", func(size int) []byte { return fill(size, plainHead+"\n", "@a.com", "\n") }},
	{"addresses", func(size int) []byte {
		return fill(size, strings.Replace(plainHead, "a@sender.example", "a@gmail.com", 1)+"\n", "a.b.c@d.com ", "\n")
	}},
	{"dots", func(size int) []byte { return fill(size, plainHead+"\n", "a.", "\n") }},
	{"blank lines", func(size int) []byte { return fill(size, plainHead+"\n", "\n", "x\n") }},
	{"spaces", func(size int) []byte { return fill(size, plainHead+"\n", " ", "x\n") }},
	{"one field", func(size int) []byte { return fill(size, plainHead+"X-Long: ", "abc def ", "\n\nbody\n") }},
	{"folded field", func(size int) []byte { return fill(size, plainHead+"X-Long: a\n", " abc\n", "\nbody\n") }},
	{"fields", func(size int) []byte { return fill(size, plainHead, "X-A: b\n", "\nbody\n") }},
	{"field names", func(size int) []byte {
		return numbered(size, plainHead, func(i int) string { return fmt.Sprintf("X-%d: b\n", i) }, "\nbody\n", 1<<30)
	}},
	{"Received fields", func(size int) []byte {
		return numbered(size, "", func(i int) string {
			return fmt.Sprintf("Received: from h%d.example (unknown [192.0.2.%d]) by gw.example (Postfix) with ESMTP id %X for <b@there.example>; Sat, 21 Nov 2026 10:00:00 +0000\n", i, i%250, i)
		}, plainHead+"\nbody\n", 1<<30)
	}},
	{"To fields with sameness", func(size int) []byte {
		return numbered(size, "X: y\n", func(i int) string { return fmt.Sprintf("To: a%d@b.example\n", i) }, "Subject: a b c d e f g h @b.example\n\nbody\n", 1<<30)
	}},
	{"recipients", func(size int) []byte {
		return numbered(size, plainHead+"To: ", func(i int) string { return fmt.Sprintf("\"A (%d\" <a%d@b.example>,\n ", i, i) }, "\n\nbody\n", 1<<30)
	}},
	{"comments in addresses", func(size int) []byte {
		return fill(size, "From: "+strings.Repeat("(", 4000)+"a@b.example\nTo: "+strings.Repeat("\"a\\", 2700)+"\nCc: "+strings.Repeat("<a@b ", 1600)+"\n\n", "x\n", "")
	}},
	{"encoded words", func(size int) []byte { return fill(size, plainHead+"Subject: ", "=?utf-8?q?=C3=A9?=\n ", "\n\nbody\n") }},
	{"encoded words in each field", func(size int) []byte {
		return fill(size, plainHead, "X-A: "+strings.Repeat("=?iso-2022-jp?b?GyRCJCIbKEI=?= ", 100)+"\n", "\nbody\n")
	}},
	{"parts", func(size int) []byte {
		return fill(size, plainHead+"Content-Type: multipart/mixed; boundary=b\n\n", "--b\nContent-Type: text/html\n\n<a href=x>y</a>\n", "--b--\n")
	}},
	{"empty parts", func(size int) []byte {
		return fill(size, plainHead+"Content-Type: multipart/mixed; boundary=b\n\n", "--b\n", "--b--\n")
	}},
	{"large parts", func(size int) []byte {
		return fill(size, plainHead+"Content-Type: multipart/mixed; boundary=b\n\n", "--b\nContent-Type: text/plain\n\n"+strings.Repeat("Dear friend, free money and viagra at http://x.example.com/ now\n", 1000)+"\n", "--b--\n")
	}},
	{"nested multiparts", func(size int) []byte { return append(nested(3000), fill(size, "", "text text\n", "")...) }},
	{"nested messages", func(size int) []byte { return append(rfc822(1000), fill(size, "", "text text\n", "")...) }},
	{"alternatives with many words", func(size int) []byte {
		words := func(from int) string {
			var b strings.Builder
			for i := range size / 25 {
				fmt.Fprintf(&b, "w%d ", from+i)
			}
			return b.String()
		}
		return []byte(plainHead + "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n" + words(0) + "\n--b\nContent-Type: text/html\n\n" + words(size/50) + "\n--b--\n")
	}},
	{"money for back-references", func(size int) []byte {
		return fill(size, plainHead+"\n", "$1,000,000.00 USD EUR dollars 100 200 (300) ", "\n")
	}},
	{"numbered lists", func(size int) []byte { return fill(size, plainHead+"\n", "1) name: ____ 2. address: ... ", "\n") }},
	{"upper case words", func(size int) []byte {
		return fill(size, plainHead+"\n", "ABCDEFGHIJKLMNOPQRSTUVWXYZ abcdefgh, ", "\n")
	}},
	{"images", func(size int) []byte {
		return fill(size, htmlHead, "<img src=\"http://x.example.com/a.php?t=o&abcdefgh\" width=1 height=1 ", ">")
	}},
	{"styles", func(size int) []byte {
		return fill(size, htmlHead, "<p style=\"font-size : 0 ; font : 1px ; color : #fff;", ">")
	}},
	{"CSS", func(size int) []byte { return fill(size, htmlHead+"<style>", "a{b:c}", "</style>") }},
	{"uuencoded", func(size int) []byte {
		return fill(size, plainHead+"\nbegin 644 a\n", "M"+strings.Repeat("`", 60)+"\n", "end\n")
	}},
}

// TestHostile: whatever a message is made of, the work is bounded: what the budget does not reach is said to be skipped.
func TestHostile(t *testing.T) {
	t.Parallel()
	s, _, err := rules.Load([]string{stock}, rules.Options{Local: true})
	if err != nil {
		t.Skip(err)
	}
	for _, h := range hostile {
		t.Run(h.name, func(t *testing.T) {
			raw := h.make(hostileTest)
			r := s.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
			if r.Spent.Steps > rules.MostSteps || r.Spent.Work > rules.MostWork {
				t.Errorf("spent %+v", r.Spent)
			}
			t.Logf("%d bytes, spent %+v, skipped %d", len(raw), r.Spent, len(r.Skipped))
		})
	}
}

// BenchmarkHostile reports how long such messages take.
func BenchmarkHostile(b *testing.B) {
	s, _, err := rules.Load([]string{stock}, rules.Options{Local: true})
	if err != nil {
		b.Skip(err)
	}
	for _, h := range hostile {
		b.Run(strings.ReplaceAll(h.name, " ", "_"), func(b *testing.B) {
			raw := h.make(hostileBench)
			begin := processorTime(b)
			n := 0
			for b.Loop() {
				s.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
				n++
			}
			b.ReportMetric((processorTime(b)-begin).Seconds()/float64(n), "cpu-s/op")
		})
	}
}
