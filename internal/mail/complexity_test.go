package mail_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
)

// hostile are messages made to cost more than their size; each generator makes
// about n bytes.
var hostile = map[string]func(n int) string{
	"deep multipart": func(n int) string {
		var b strings.Builder
		b.WriteString(top + "Content-Type: multipart/mixed; boundary=b0\r\n\r\n")
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n", i, i+1)
		}
		return b.String()
	},
	"deep multipart, one boundary": func(n int) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + fill(n, "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	},
	"deep rfc822": func(n int) string { return top + fill(n, "Content-Type: message/rfc822\r\n\r\n") },
	"deep rfc822, digest": func(n int) string {
		return top + "Content-Type: multipart/digest; boundary=b\r\n\r\n" + fill(n, "--b\r\n\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n")
	},
	"many parts": func(n int) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + fill(n, "--b\r\n\r\n")
	},
	"many headed parts": func(n int) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + fill(n, "--b\r\nX: 1\r\nY: 2\r\n\r\nz\r\n")
	},
	"many closings": func(n int) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + fill(n, "--b--\r\n")
	},
	"boundary prefixes": func(n int) string {
		var b strings.Builder
		b.WriteString(top + "Content-Type: multipart/mixed; boundary=a\r\n\r\n")
		for i := 1; i < 19; i++ {
			fmt.Fprintf(&b, "--%s\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", strings.Repeat("a", i), strings.Repeat("a", i+1))
		}
		return b.String() + fill(n, "--"+strings.Repeat("a", 25)+"\r\n")
	},
	"dashes": func(n int) string {
		return top + "Content-Type: multipart/mixed; boundary=" + strings.Repeat("-", 60) + "\r\n\r\n" + fill(n, "-")
	},
	"dash lines":         func(n int) string { return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + fill(n, "--\n") },
	"many fields":        func(n int) string { return fill(n, "X: 1\r\n") },
	"many From":          func(n int) string { return fill(n, "From: a@b.fr\r\n") },
	"many content types": func(n int) string { return fill(n, "Content-Type: text/plain; a=b; a=c\r\n") },
	"one folded field":   func(n int) string { return "X:" + fill(n, " 1\r\n") },
	"rubbish lines":      func(n int) string { return fill(n, "rubbish\r\nX: 1\r\n") },
	"no line end":        func(n int) string { return fill(n, "x") },
	"CRs":                func(n int) string { return top + "\r\n" + fill(n, "\r") },
	"NULs":               func(n int) string { return fill(n, "\x00") },
	"8-bit fields":       func(n int) string { return fill(n, "X: \xe9\r\n") },
	"address list":       func(n int) string { return "From: " + fill(n, "a@b.fr,") + "\r\n\r\n" },
	"commas":             func(n int) string { return "From: " + fill(n, ",") + "\r\n\r\n" },
	"open quotes":        func(n int) string { return "From: " + fill(n, "\"") + "x\"\r\n\r\n" },
	"open comments":      func(n int) string { return "From: " + fill(n, "(") + "\r\n\r\n" },
	"comments":           func(n int) string { return "From: " + fill(n, "(x)") + "a@b.fr\r\n\r\n" },
	"angles":             func(n int) string { return "From: " + fill(n, "<") + "\r\n\r\n" },
	"angle commas":       func(n int) string { return "From: <@" + fill(n, "a,") + "\r\n\r\n" },
	"groups":             func(n int) string { return "From: " + fill(n, "g:a@b.fr;") + "\r\n\r\n" },
	"atoms":              func(n int) string { return "From: " + fill(n, "a ") + "<a@b.fr>\r\n\r\n" },
	"domain literals":    func(n int) string { return "From: " + fill(n, "[a") + "\r\n\r\n" },
	"date comments":      func(n int) string { return "Date: " + fill(n, "(") + "\r\n\r\n" },
	"message-id":         func(n int) string { return "Message-ID: " + fill(n, "<@>") + "\r\n\r\n" },
	"encoded words":      func(n int) string { return "Subject: " + fill(n, "=?utf-8?q?a?= ") + "\r\n\r\n" },
	"open encoded words": func(n int) string { return "Subject: " + fill(n, "=?a?q?") + "\r\n\r\n" },
	"encoded charsets":   func(n int) string { return "Subject: " + fill(n, "=?utf-8?q?a?= =?koi8-r?q?a?= ") + "\r\n\r\n" },
	"question marks":     func(n int) string { return "Subject: " + fill(n, "=?") + "\r\n\r\n" },
	"parameters":         func(n int) string { return "Content-Type: a/b" + fill(n, "; a=b") + "\r\n\r\n" },
	"distinct parameters": func(n int) string {
		var b strings.Builder
		b.WriteString("Content-Type: a/b")
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "; a*%d=b", i)
		}
		return b.String() + "\r\n\r\n"
	},
	"parameter quotes": func(n int) string { return "Content-Type: a/b; a=\"" + fill(n, "\\\"") + "\r\n\r\n" },
	"base64 rubbish":   func(n int) string { return top + "Content-Transfer-Encoding: base64\r\n\r\n" + fill(n, "=!A") },
	"qp rubbish": func(n int) string {
		return top + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + fill(n, "= \t")
	},
	"qp equals": func(n int) string { return top + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + fill(n, "=") },
	"utf-7":     func(n int) string { return top + "Content-Type: text/plain; charset=utf-7\r\n\r\n" + fill(n, "+AA") },
	"base64 messages": func(n int) string {
		return top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + fill(n, "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTogYg0KDQp4\r\n")
	},
	"html open tags":      func(n int) string { return htmlTop + fill(n, "<div>") },
	"html unknown tags":   func(n int) string { return htmlTop + fill(n, "<x1><x2>") },
	"html stray ends":     func(n int) string { return htmlTop + "<div><table><td>" + fill(n, "</div>") },
	"html inline ends":    func(n int) string { return htmlTop + "<x>" + strings.Repeat("<div><b>", 200) + fill(n, "</x>") },
	"html paragraphs":     func(n int) string { return htmlTop + fill(n, "<p><b><i>") },
	"html misnested":      func(n int) string { return htmlTop + fill(n, "<a><b><p></a></b>") },
	"html tables":         func(n int) string { return htmlTop + fill(n, "<table><tr><td>") },
	"html lists":          func(n int) string { return htmlTop + fill(n, "<ol><li>") },
	"html attributes":     func(n int) string { return htmlTop + "<a " + fill(n, "a=1 ") },
	"html equals":         func(n int) string { return htmlTop + "<a " + fill(n, "=\"") },
	"html open comment":   func(n int) string { return htmlTop + fill(n, "<!--") },
	"html open tag":       func(n int) string { return htmlTop + fill(n, "<") },
	"html entities":       func(n int) string { return htmlTop + fill(n, "&amp;&#x41;&noth") },
	"html ampersands":     func(n int) string { return htmlTop + fill(n, "&") },
	"html styles":         func(n int) string { return htmlTop + "<p style=\"" + fill(n, "color:red;") + "\">" },
	"html style elements": func(n int) string { return htmlTop + fill(n, "<style>") },
	"html titles":         func(n int) string { return htmlTop + fill(n, "<title>a</title>") },
	"html links":          func(n int) string { return htmlTop + fill(n, "<a href=//x.fr>y") },
	"html images":         func(n int) string { return htmlTop + "<a href=x>" + fill(n, "<img src=http://x.fr alt=y>") },
	"html base": func(n int) string {
		return htmlTop + "<base href=http://" + strings.Repeat("x", 5000) + "/>" + fill(n, "<a href=y>")
	},
	"html breaks":  func(n int) string { return htmlTop + fill(n, "<br>") },
	"html pre":     func(n int) string { return htmlTop + "<pre>" + fill(n, "\n") },
	"html words":   func(n int) string { return htmlTop + fill(n, "a ") },
	"urls":         func(n int) string { return top + "\r\n" + fill(n, "http://a.fr/ ") },
	"one url":      func(n int) string { return top + "\r\nhttp://" + fill(n, "http://") },
	"brackets":     func(n int) string { return top + "\r\nhttp://x.fr/" + fill(n, ")") },
	"dots and ats": func(n int) string { return top + "\r\n" + fill(n, "a.b@ ") },
}

const htmlTop = top + "Content-Type: text/html\r\n\r\n"

func fill(n int, s string) string { return strings.Repeat(s, n/len(s)+1) }

// everything asks a message for all it can say.
func everything(raw []byte) *mail.Message {
	m := mail.Parse(raw, mail.DefaultLimits())
	m.Text()
	m.URIs()
	m.BodyDefects()
	m.Subject()
	_, _ = m.Date()
	for _, f := range m.Header {
		f.Text()
	}
	mail.Edit(raw, []string{"X"}, "Y: z")
	return m
}

// cost returns what one reading of raw allocates.
func cost(raw []byte) (bytes, allocs uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	everything(raw)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, after.Mallocs - before.Mallocs
}

// TestHostile holds the memory that hostile messages cost to a line through
// their size: four times the bytes, at most about four times the memory. Work
// that grows faster without allocating is measured by BenchmarkComplexity.
func TestHostile(t *testing.T) { // not parallel: it counts allocations
	for name, generate := range hostile {
		t.Run(name, func(t *testing.T) {
			small, large := []byte(generate(32<<10)), []byte(generate(128<<10))
			checkMessage(t, small, everything(small))
			checkMessage(t, large, everything(large))
			b1, n1 := cost(small)
			b4, n4 := cost(large)
			// The constants absorb what limits and other goroutines add.
			if b4 > 6*b1+1<<20 || n4 > 6*n1+4000 {
				t.Errorf("32 KiB cost %d bytes in %d pieces, 128 KiB %d in %d", b1, n1, b4, n4)
			}
		})
	}
}

// TestHuge reads the messages that a depth of 10^5 and a million parts make.
func TestHuge(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		hostile["deep multipart"](100_000 * 50),
		hostile["deep rfc822"](100_000 * 30),
		top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n", 1_000_000),
	} {
		m := everything([]byte(raw))
		if len(m.Parts()) > 1000 || len(m.Defects) > 100 {
			t.Errorf("%d parts, %d defects", len(m.Parts()), len(m.Defects))
		}
	}
}

// BenchmarkComplexity measures each hostile message at 64 KiB and 1 MiB and
// fails when the time grows much faster than the size.
func BenchmarkComplexity(b *testing.B) {
	for name, generate := range hostile {
		b.Run(name, func(b *testing.B) {
			small, large := []byte(generate(64<<10)), []byte(generate(1<<20))
			var t1, t2 time.Duration = math.MaxInt64, math.MaxInt64
			for b.Loop() {
				for range 3 {
					start := time.Now()
					everything(small)
					t1 = min(t1, time.Since(start))
					start = time.Now()
					everything(large)
					t2 = min(t2, time.Since(start))
				}
			}
			exponent := math.Log(float64(t2)/float64(t1)) / math.Log(float64(len(large))/float64(len(small)))
			b.ReportMetric(exponent, "exponent")
			b.ReportMetric(float64(t2)/float64(len(large)), "ns/byte")
			b.ReportMetric(0, "ns/op")
			if exponent > 1.4 && t2 > 20*time.Millisecond {
				b.Errorf("the time grows with the power %.2f of the size (%s for 1 MiB)", exponent, t2)
			}
		})
	}
}
