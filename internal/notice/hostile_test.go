package notice_test

import (
	"bytes"
	"fmt"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	ours "postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
)

// controls are what an attacker puts into a value to become header, body, code or something else than it looks.
var controls = []string{
	"\r\nBcc: victim@other.example", "\nBcc: victim@other.example", "\rBcc: victim@other.example", "\r\n\r\n<html>new body", "\n\nnew body", "\x00", "\x00\r\n.\r\n",
	"\r\n.\r\nMAIL FROM:<x@y>", "\u2028Bcc: victim@other.example", "\u2029Bcc: a@b", "\u0085Bcc: a@b", "\u202egpj.exe", "\u2066x\u2069", "\ufeff", "\u200b\u200b",
	"\x1b[31m\x07", "\x7f\x80\xff\xfe", "=?utf-8?q?=0D=0ABcc:_victim=40other.example?=", "=?utf-8?b?DQpCY2M6IHZpY3RpbUBvdGhlci5leGFtcGxl?=", "--=_boundary--\r\n",
	"<script>alert(1)</script>", "{{.Secret}}{{range .}}{{end}}", "\" onclick=\"x", strings.Repeat("A", 100_000), strings.Repeat("é\u0301 ", 30_000), "\U000e0041\U000e0042",
}

// TestInjection (D1): every value from outside, with every control sequence, ends as one harmless piece of text: the header
// holds our fields and no others, and no byte that a mail or a browser would take for structure.
func TestInjection(t *testing.T) {
	t.Parallel()
	for i, control := range controls {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(o *notice.Options) { o.FromName = "Postern " + control })
			values := []string{control + "value", "value" + control, control}
			for j, bad := range values {
				m := sent(t, "shop", "anna@shop.example", "fr")
				m.ID = ours.QueueID(fmt.Sprintf("01kb4k2z88%016d", j))
				for what, call := range everyNotice(t, d, m, bad) {
					if err := call(); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
				}
			}
			queued := d.queued()
			if want := 7 * len(values); len(queued) != want {
				t.Fatalf("%d notices, want %d", len(queued), want)
			}
			for _, q := range queued {
				harmless(t, q)
			}
		})
	}
}

// everyNotice is each kind of notice about m, with bad in every field that holds a value from outside.
func everyNotice(t *testing.T, d *desk, m spool.Message, bad string) map[string]func() error {
	m.Subject, m.HeaderFrom, m.MessageID, m.Hello, m.Envelope.EnvelopeID = bad, bad, bad, bad, bad
	m.HoldReason, m.Verdict = bad, []byte(`{"threshold":3,"hits":[{"test":"SPF_FAIL","points":1,"args":{"Domain":"\r\nBcc: a@b"}}]}`)
	all := failures(m, spool.Bounced)
	for i := range all {
		r := &all[i].Recipient
		r.Text, r.Enhanced, r.Host, r.OriginalRecipient = bad, bad, bad, bad
		all[i].Conversation = []string{bad, "> x" + bad}
	}
	why := []notice.Reason{{Test: bad, Name: bad, Fix: bad, Points: 2}}
	return map[string]func() error{
		"held":      func() error { return d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3, Reasons: why}) },
		"expired":   func() error { return d.HoldExpired(t.Context(), m) },
		"asked":     func() error { return d.Asked(t.Context(), m, bad) },
		"alarm":     func() error { return d.Alarm(t.Context(), bad, bad, bad) },
		"failed":    func() error { return d.Failed(t.Context(), m, m.Body, all) },
		"delayed":   func() error { return d.Delayed(t.Context(), m, []byte(bad), all) },
		"delivered": func() error { return d.Delivered(t.Context(), m, []byte(bad), all) },
	}
}

// harmless checks one notice with two independent parsers.
func harmless(t *testing.T, q spool.Message) {
	t.Helper()
	std, err := mail.ReadMessage(bytes.NewReader(q.Body))
	if err != nil {
		t.Fatalf("%v\n%.500q", err, q.Body)
	}
	allowed := "Date From To Reply-To Subject Message-Id Auto-Submitted List-Id Mime-Version Content-Type In-Reply-To References"
	for name, values := range std.Header {
		if !strings.Contains(" "+allowed+" ", " "+name+" ") || len(values) != 1 {
			t.Errorf("header field %s: %q", name, values)
		}
		if strings.ContainsAny(values[0], "\x00\r\n\x1b\x7f") {
			t.Errorf("%s holds a control character: %q", name, values[0])
		}
	}
	m := ours.Parse(q.Body, ours.DefaultLimits())
	for _, defect := range m.Defects {
		if !strings.HasPrefix(defect.Where, "part 1.3.") { // those of the returned original are its own
			t.Errorf("defect: %+v\n%.800s", defect, q.Body)
		}
	}
	if m.Subject() != q.Subject {
		t.Errorf("subject %q reads back as %q", q.Subject, m.Subject())
	}
	if !utf8.ValidString(q.Subject) || utf8.RuneCountInString(q.Subject) > 400 {
		t.Errorf("subject %.100q of %d characters", q.Subject, utf8.RuneCountInString(q.Subject))
	}
	if from, err := mail.ParseAddress(std.Header.Get("From")); err != nil || !strings.HasSuffix(from.Address, "@mx.example.net") {
		t.Errorf("From: %q, %v", std.Header.Get("From"), err)
	}
	for line := range bytes.Lines(q.Body) {
		if len(line) > 1000 || !bytes.HasSuffix(line, []byte("\r\n")) || bytes.IndexByte(line, 0) >= 0 || bytes.Count(line, []byte("\r")) != 1 {
			t.Fatalf("line of %d bytes: %.80q", len(line), line)
		}
	}
	text, html := body(t, q.Body, "text/plain"), body(t, q.Body, "text/html")
	for _, s := range []string{text, html} {
		if strings.ContainsAny(s, "\x00\x1b\u202e\u2066\u2028\u2029\ufeff\u200b\u0085\x7f") {
			t.Errorf("a page holds a character that hides or turns text: %.2000q", s)
		}
		if len(s) > 100_000 {
			t.Errorf("a page of %d bytes", len(s))
		}
	}
	if strings.Contains(html, "<script") || strings.Contains(html, "\" onclick=\"") {
		t.Errorf("not escaped: %s", html)
	}
}

// TestTidy: a value that is harmless stays as it is.
func TestTidy(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Facture n°\u00a012": "Facture n°\u00a012", "  a \t b ": "a b", "日本語 👨\u200d👩\u200d👧": "日本語 👨\u200d👩\u200d👧", "": "", "\r\n": "",
		strings.Repeat("x", 30): strings.Repeat("x", 19) + "…", "a\xffb": "a\ufffdb", "می\u200cخواهم": "می\u200cخواهم",
	} {
		if got := notice.Tidy(in, 20); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if again := notice.Tidy(want, 20); again != want {
			t.Errorf("%q is not stable: %q", want, again)
		}
	}
}

// TestTemplatesAreLiteral (D8): texts have no logic that a value could reach.
func TestTemplatesAreLiteral(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var payloads []string
	for _, p := range []string{"{{env %q}}", "{{ .%s }}", "{{call .%s}}", "{%% include %q %%}", "${%s}", "$(%s)", "<%%= %s %%>", "#{%s}", "{{range $i, $x := .%s}}{{end}}", "{{printf \"%%1000000000d\" %s}}"} {
		for _, x := range []string{"PATH", "HOME", "Secret", "Accounts", "Blocks"} {
			payloads = append(payloads, fmt.Sprintf(p, x))
		}
	}
	m := sent(t, "shop", "anna@shop.example", "en")
	for i, p := range payloads {
		m.ID, m.Subject = ours.QueueID(fmt.Sprintf("01kb4k2z88%016d", i)), p
		if err := d.HoldExpired(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	queued := d.queued()
	if len(queued) != len(payloads) {
		t.Fatalf("%d notices, want %d", len(queued), len(payloads))
	}
	for _, q := range queued {
		found := false
		for _, p := range payloads {
			found = found || q.Subject == "Removed without being sent: "+p
		}
		if !found {
			t.Errorf("subject %q is none of the payloads", q.Subject)
		}
	}
}

// TestBackscatter (B4): nothing goes to a sender who is not known to belong to the customer, on no path.
func TestBackscatter(t *testing.T) {
	t.Parallel()
	paths := map[string]func(d *desk, m spool.Message) error{
		"held": func(d *desk, m spool.Message) error {
			return d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3})
		},
		"expired": func(d *desk, m spool.Message) error { return d.HoldExpired(t.Context(), m) },
		"failed": func(d *desk, m spool.Message) error {
			return d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced))
		},
		"delayed": func(d *desk, m spool.Message) error {
			return d.Delayed(t.Context(), m, m.Body, failures(m, spool.Queued))
		},
		"delivered": func(d *desk, m spool.Message) error {
			return d.Delivered(t.Context(), m, m.Body, failures(m, spool.Delivered))
		},
	}
	forged := []string{"victim@other.example", "anna@notshop.example", "anna@shop.example.evil.example", "anna@example", "anna@[192.0.2.1]", "anna@silent.example",
		"anna@hoster.example", "\"a@shop.example\"@other.example", "mailer-daemon@mx.example.net", ""}
	for path, call := range paths {
		for _, tc := range []struct{ customer, contact, own string }{
			{"shop", "boss@shop.example", "anna@sub.shop.example"}, {"silent", "", "anna@silent.example"}, {"hoster", "abuse@hoster.example", "web@hoster.example"},
			{"wild", "", ""}, {"nobody", "", ""}, {"", "", ""},
		} {
			t.Run(path+" "+tc.customer, func(t *testing.T) {
				d := newDesk(t)
				for i, from := range forged {
					if a := address(t, from); tc.own != "" && strings.HasSuffix(tc.own, string(a.Domain)) && !a.IsNull() {
						continue
					}
					m := sent(t, tc.customer, from, "en")
					m.ID = ours.QueueID(fmt.Sprintf("01kb4k2z88%016d", i))
					if err := call(d, m); err != nil {
						t.Fatal(err)
					}
				}
				ownNotice := sent(t, tc.customer, "anna@shop.example", "en")
				ownNotice.Notice = true
				if err := call(d, ownNotice); err != nil {
					t.Fatal(err)
				}
				for _, q := range d.queued() {
					if to := q.Envelope.Recipients[0].Address.String(); to != tc.contact || tc.contact == "" {
						t.Errorf("a notice to %s", to)
					}
				}
				if tc.own == "" {
					return
				}
				if err := call(d, sent(t, tc.customer, tc.own, "en")); err != nil {
					t.Fatal(err)
				}
				told := false
				for _, q := range d.queued() {
					told = told || q.Envelope.Recipients[0].Address.String() == tc.own
				}
				if !told {
					t.Errorf("the customer's own sender %s was not told", tc.own)
				}
			})
		}
	}
}

// TestContactIsNotBuried: a burst of forged mail that fails does not fill the contact's mailbox.
func TestContactIsNotBuried(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	burst := func(from int) {
		for i := range 10 * notice.MaxForContact {
			m := sent(t, "hoster", "victim@other.example", "fr")
			m.ID = ours.QueueID(fmt.Sprintf("01kb4k2z88%016d", from+i))
			if err := d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced)); err != nil {
				t.Fatal(err)
			}
		}
	}
	burst(0)
	if got := len(d.queued()); got != notice.MaxForContact {
		t.Errorf("%d notices, want %d", got, notice.MaxForContact)
	}
	d.clock.Add(time.Hour)
	burst(1000)
	if got := len(d.queued()); got != 2*notice.MaxForContact {
		t.Errorf("an hour later: %d notices, want %d", got, 2*notice.MaxForContact)
	}
}
