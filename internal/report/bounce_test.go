package report_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/report"
)

func readBounce(raw string) (report.Bounce, error) {
	return report.ReadBounce(mail.Parse([]byte(raw), mail.Limits{}))
}

// seeds are the bounces that the judgement is tested with.
func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	var out [][]byte
	for _, folder := range []string{"bounces", "crafted"} {
		names, err := filepath.Glob(filepath.Join("..", "feedback", "testdata", folder, "*.eml"))
		if err != nil || len(names) == 0 {
			tb.Fatalf("no bounces in %s: %v", folder, err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, raw)
		}
	}
	return out
}

func TestReadBounceTells(t *testing.T) {
	t.Parallel()
	raw := "From: MAILER-DAEMON@mx.example\nTo: anna@shop.example\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.example.\n\n<bob@dest.example>:\n" +
		"192.0.2.9 does not like recipient.\nRemote host said: 550 5.1.1 <bob@dest.example>... User Unknown\nGiving up on 192.0.2.9.\n\n--- Below this line is a copy of the message.\n\n" +
		"Return-Path: <anna@shop.example>\nMessage-ID: <x1@shop.example>\nFrom: Anna <anna@shop.example>\nTo: bob@dest.example\nSubject: Bonjour\n\nText\n"
	b, err := readBounce(raw)
	if err != nil {
		t.Fatal(err)
	}
	if b.Kind != report.BounceFailed || b.Structured || len(b.Recipients) != 1 {
		t.Fatalf("kind %q, structured %v, %d recipients", b.Kind, b.Structured, len(b.Recipients))
	}
	r := b.Recipients[0]
	if r.Address.String() != "bob@dest.example" || r.Status != "5.1.1" || r.Reply != 550 || r.Phase != "rcpt" || r.Action != report.Failed || r.RemoteMTA != "192.0.2.9" {
		t.Errorf("recipient %+v", r)
	}
	o := b.Original
	if o.MessageID != "<x1@shop.example>" || o.ReversePath != "anna@shop.example" || o.Subject != "Bonjour" || o.To != "bob@dest.example" {
		t.Errorf("original %+v", o)
	}
}

func TestReadBounceRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, raw string }{
		{"nothing", ""},
		{"a letter", "From: Bob <bob@dest.example>\nTo: anna@shop.example\nSubject: Re: Bonjour\n\nMerci, a bientot.\n"},
		{"a letter that tells of a bounce", "From: Bob <bob@dest.example>\nTo: anna@shop.example\nSubject: Question\n\nMy mail to eve@other.example could not be delivered. Why?\n"},
		{"a newsletter", "From: News <news@shop.example>\nTo: a@b.example\nPrecedence: bulk\nSubject: Offers\n\nBuy.\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if b, err := readBounce(tc.raw); err != report.ErrNoBounce {
				t.Errorf("read as %q of %v: %v", b.Kind, b.Recipients, err)
			}
		})
	}
}

// TestReadBounceHostile reads shapes made to cost more than their size: twice the size may not cost much more than twice the time.
func TestReadBounceHostile(t *testing.T) {
	head := "From: MAILER-DAEMON@mx.example\nTo: a@b.example\nSubject: Undelivered\n"
	fill := func(n int, s string) string { return strings.Repeat(s, n/len(s)+1) }
	shapes := map[string]func(n int) string{
		"text":          func(n int) string { return head + "\n" + fill(n, "could not be delivered 550 5.1.1 no ") },
		"lines":         func(n int) string { return head + "\n" + fill(n, "x@y.example: 550 no\n") },
		"one long line": func(n int) string { return head + "\n" + fill(n, "a@b.c") },
		"signs":         func(n int) string { return head + "\n" + fill(n, "@<@<") },
		"fields": func(n int) string {
			return head + "Content-Type: message/delivery-status\n\n" + fill(n, "Final-Recipient: rfc822; a@b.example\n\n")
		},
		"statuses":        func(n int) string { return head + "\n" + fill(n, "Status: 5.1.1\n") },
		"conversation":    func(n int) string { return head + "\n" + fill(n, ">>> RCPT TO:<a@b.example>\n<<< 550 no\n") },
		"replies":         func(n int) string { return head + "\n>>> DATA\n" + fill(n, "<<< 550 no\n") },
		"nested messages": func(n int) string { return head + fill(n, "Content-Type: message/rfc822\n\n") },
		"markers":         func(n int) string { return head + "\n" + fill(n, "Received: x\nFrom: y\n") },
		"json":            func(n int) string { return head + "\n{\"notificationType\":" + fill(n, "{\"a\":") },
		"json in json":    func(n int) string { return head + "\n{\"notificationType\":1,\"Message\":\"" + fill(n, "\\\\\\\"") },
		"complaints": func(n int) string {
			return head + "Content-Type: message/feedback-report\n\n" + fill(n, "Original-Rcpt-To: a@b.example\n")
		},
		"mailbox": func(n int) string { return fill(n, "From a@b Thu Nov 19 10:00:00 2026\n\n") },
	}
	for name, make := range shapes {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) time.Duration {
				best := time.Hour
				raw := make(n)
				for range 3 {
					begin := time.Now()
					for _, one := range report.SplitMailbox([]byte(raw))[:1] {
						b, _ := readBounce(string(one))
						if len(b.Recipients) > 1000 {
							t.Fatalf("%d recipients", len(b.Recipients))
						}
					}
					best = min(best, time.Since(begin))
				}
				return best
			}
			small, large := cost(1<<18), cost(1<<21)
			if large > 200*time.Millisecond && large > 30*small {
				t.Errorf("256 KiB cost %v, 2 MiB %v", small, large)
			}
		})
	}
}

func TestReadBounceBounds(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("From: MAILER-DAEMON@mx.example\nSubject: Undelivered\nContent-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n")
	for i := range 100_000 {
		fmt.Fprintf(&b, "Final-Recipient: rfc822; a%d@b.example\nAction: failed\nStatus: 5.1.1\n\n", i)
	}
	b.WriteString("--b--\n")
	got, err := readBounce(b.String())
	if err != nil || len(got.Recipients) != 1000 {
		t.Errorf("%d recipients, %v", len(got.Recipients), err)
	}
}

func TestSplitMailbox(t *testing.T) {
	t.Parallel()
	from := "From a@b.example Thu Nov 19 10:00:00 2026\n"
	for _, tc := range []struct {
		name, raw string
		want      []string
	}{
		{"no mailbox", "Subject: x\n\nFrom me\n", []string{"Subject: x\n\nFrom me\n"}},
		{"one", from + "A: 1\n\nx\n", []string{"A: 1\n\nx\n"}},
		{"two", from + "A: 1\n\nx\n\n" + from + "B: 2\n\ny\n", []string{"A: 1\n\nx\n\n", "B: 2\n\ny\n"}},
		{"a sentence", from + "A: 1\n\n\nFrom now on we meet at 10:00\n", []string{"A: 1\n\n\nFrom now on we meet at 10:00\n"}},
		{"no empty line", from + "A: 1\n\nx\n" + from + "y\n", []string{"A: 1\n\nx\n" + from + "y\n"}},
		{"after a multipart", from + "A: 1\n\n--b--\n" + from + "B: 2\n\ny\n", []string{"A: 1\n\n--b--\n", "B: 2\n\ny\n"}},
		{"CRLF", strings.ReplaceAll(from+"A: 1\n\nx\n\n"+from+"B: 2\n\ny\n", "\n", "\r\n"), []string{"A: 1\r\n\r\nx\r\n\r\n", "B: 2\r\n\r\ny\r\n"}},
		{"empty", "", []string{""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, m := range report.SplitMailbox([]byte(tc.raw)) {
				got = append(got, string(m))
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) {
				t.Errorf("%q, expected %q", got, tc.want)
			}
		})
	}
}

func FuzzReadBounce(f *testing.F) {
	for _, raw := range seeds(f) {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := report.ReadBounce(mail.Parse(raw, mail.Limits{}))
		again, err2 := report.ReadBounce(mail.Parse(raw, mail.Limits{}))
		if fmt.Sprint(b.Kind, b.Recipients, err) != fmt.Sprint(again.Kind, again.Recipients, err2) {
			t.Fatal("read twice, told twice differently")
		}
		if err == nil && len(b.Recipients) == 0 && b.Kind != report.BounceComplaint && b.Kind != report.BounceAutoReply && b.Kind != report.BounceChallenge {
			t.Fatalf("%q without a recipient", b.Kind)
		}
		for _, r := range b.Recipients {
			if r.Reply != 0 && (r.Reply < 200 || r.Reply > 599) || len(r.Diagnostic) > 16<<10 {
				t.Fatalf("reply %d, diagnostic of %d bytes", r.Reply, len(r.Diagnostic))
			}
		}
	})
}

func FuzzSplitMailbox(f *testing.F) {
	f.Add([]byte("From a@b Thu Nov 19 10:00:00 2026\nA: 1\n\nx\n\nFrom a@b Thu Nov 19 10:00:00 2026\nB: 2\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := 0
		for _, m := range report.SplitMailbox(raw) {
			n += len(m)
		}
		if n > len(raw) {
			t.Fatalf("%d bytes out of %d", n, len(raw))
		}
	})
}
