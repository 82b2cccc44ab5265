package spamd

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"postern/internal/filter"
	"postern/internal/mail"
)

// TestWhatIsJudged: the message as it will leave, without the opinions of other filters, however its lines end.
func TestWhatIsJudged(t *testing.T) {
	t.Parallel()
	const want = "From: a@b.test\r\nSubject: x\r\n\r\nbody\r\nX-Spam-Status: in the body\r\n"
	for name, raw := range map[string]string{
		"LF":    "X-Spam-Status: Yes,\n\tscore=9\nFrom: a@b.test\nSubject: x\n\nbody\nX-Spam-Status: in the body\n",
		"CRLF":  "From: a@b.test\r\nX-Spam-Flag: YES\r\nSubject: x\r\n\r\nbody\r\nX-Spam-Status: in the body\r\n",
		"mixed": "From: a@b.test\nSubject: x\r\n\r\nbody\nX-Spam-Status: in the body\r\n",
		"mbox":  "From a@b.test Sat Nov 21 18:40:00 2026\nFrom: a@b.test\nSubject: x\n\nbody\nX-Spam-Status: in the body\n",
	} {
		if got := string(newMessage([]byte(raw)).parse().Raw); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ header, from, to string }{
		{"From: a@b.test\nTo: c@d.test, e@f.test\nCc: g@h.test\n", "a@b.test", "c@d.test e@f.test g@h.test"},
		{"Return-Path: <bounce@b.test>\nFrom: a@b.test\n", "bounce@b.test", ""},
		{"Return-Path: <>\nFrom: a@b.test\n", "a@b.test", ""},
		{"", "", ""},
	} {
		e := envelope(mail.Parse([]byte(tc.header+"\n"), mail.Limits{}))
		var to []string
		for _, r := range e.Recipients {
			to = append(to, r.Address.String())
		}
		if e.ReversePath.String() != tc.from || strings.Join(to, " ") != tc.to {
			t.Errorf("%q: from %s to %v", tc.header, e.ReversePath, to)
		}
	}
}

func TestPoints(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		score, threshold float64
		held             bool
		want             string
	}{
		{15, 3, true, "15.0 / 3.0"}, {3, 3, false, "3.0 / 3.0"}, {3.04, 3, true, "3.04 / 3.00"}, {3.0001, 3, true, "3.000 / 3.000"}, {0, 0, false, "0.0 / 0.0"},
	} {
		score, threshold := points(filter.Verdict{Score: tc.score, Threshold: tc.threshold, Held: tc.held})
		if got := score + " / " + threshold; got != tc.want {
			t.Errorf("%v of %v: %s; expected %s", tc.score, tc.threshold, got, tc.want)
		}
	}
}

// FuzzRequest: whatever comes, the reader says yes or no in bounded time, and a yes is within the bounds.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"CHECK SPAMC/1.5\r\nContent-length: 10\r\nUser: shop\r\nCompress: zlib\r\n\r\n", "TELL SPAMC/1.5\r\nMessage-class: spam\r\nSet: local, remote\r\nRemove: remote\r\n\r\n",
		"PING SPAMC/1.2\r\n\r\n", "SKIP SPAMC/1.2\n", "REPORT_IFSPAM SPAMC/1.0\n\n", "\r\n", "CHECK SPAMC/1.5\r\n: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bufio.NewReaderSize(bytes.NewReader(b), maxLine), func() {})
		if err != nil {
			return
		}
		if exNames[exProtocol] == "" || q.verb == "" || q.length < -1 || len(q.user) > maxLine || q.set && q.remove && q.verb == verbTell {
			t.Errorf("%+v", q)
		}
	})
}

// FuzzMessage: what is given back is the message with our fields and without others', and its body as it was.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "\n", "From x\n", "From: a@b.test\n\nbody\n", "X-Spam-Flag: YES\r\n\r\n", " folded\nX-Spam-Level: *\n\nx", "X-Spam-:\n", "no header at all", "\r\r\n\n"} {
		f.Add([]byte(s))
	}
	fields := []string{"X-Spam-Flag: YES", "X-Spam-Status: Yes, score=15.0 required=3.0\r\n\ttests=GTUBE"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := newMessage(bytes.Clone(raw))
		out := m.marked(fields)
		if !bytes.HasPrefix(out, m.mbox) || !bytes.HasPrefix(out[len(m.mbox):], []byte("X-Spam-Flag: YES")) {
			t.Fatalf("our fields are not on top: %q", out)
		}
		if !bytes.HasPrefix(out, header(out)) {
			t.Error("the header is not the beginning")
		}
		parsed := mail.Parse(out[len(m.mbox):], mail.Limits{})
		if n := len(parsed.Header.All("X-Spam-Flag")); n != 1 {
			t.Errorf("%d X-Spam-Flag fields in %q", n, out)
		}
		if before := mail.Parse(m.wire, mail.Limits{}); !m.lf && !bytes.Equal(before.Body, parsed.Body) {
			t.Errorf("body %q became %q", before.Body, parsed.Body)
		}
		m.parse()
	})
}
