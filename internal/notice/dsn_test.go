package notice_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/report"
	"postern/internal/spool"
)

// TestStatusReadsBack: what we write is what the reader of such reports finds.
func TestStatusReadsBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, action string
		state        spool.State
		call         func(d *desk, m spool.Message, f []notice.Failure) error
		status       []string
	}{
		{"failed", "failed", spool.Bounced, func(d *desk, m spool.Message, f []notice.Failure) error { return d.Failed(t.Context(), m, m.Body, f) }, []string{"5.1.1", "4.7.1", "5.1.2"}},
		{"expired", "failed", spool.Expired, func(d *desk, m spool.Message, f []notice.Failure) error { return d.Failed(t.Context(), m, m.Body, f) }, []string{"4.4.7", "4.4.7", "4.4.7"}},
		{"delayed", "delayed", spool.Queued, func(d *desk, m spool.Message, f []notice.Failure) error { return d.Delayed(t.Context(), m, m.Body, f) }, []string{"4.7.1", "4.7.1", "4.7.1"}},
		{"delivered", "relayed", spool.Delivered, func(d *desk, m spool.Message, f []notice.Failure) error {
			return d.Delivered(t.Context(), m, m.Body, f)
		}, []string{"2.0.0", "2.0.0", "2.0.0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t)
			m := sent(t, "shop", "\"anna  b\"@shop.example", "fr")
			m.Envelope.EnvelopeID = "QQ314159"
			m.Envelope.Recipients[0].OriginalRecipient = "rfc822;Bob@dest.example"
			if err := tc.call(d, m, failures(m, tc.state)); err != nil {
				t.Fatal(err)
			}
			q := d.one()
			dsn, err := report.ParseDSN(mail.Parse(q.Body, mail.DefaultLimits()))
			if err != nil {
				t.Fatal(err)
			}
			if dsn.ReportingMTA != "mx.example.net" || dsn.EnvelopeID != "QQ314159" || !dsn.ArrivalDate.Equal(m.Received) || !dsn.ReturnFull {
				t.Errorf("per message: %+v", dsn)
			}
			if dsn.To != m.Envelope.ReversePath || dsn.From.String() != "mailer-daemon@mx.example.net" || q.Envelope.Recipients[0].Address != m.Envelope.ReversePath {
				t.Errorf("from %v to %v", dsn.From, dsn.To)
			}
			if len(dsn.Recipients) != 3 {
				t.Fatalf("%d recipients", len(dsn.Recipients))
			}
			for i, r := range dsn.Recipients {
				if r.Action != tc.action || r.Status != tc.status[i] || r.Final != m.Envelope.Recipients[i].Address {
					t.Errorf("recipient %d: %+v", i, r)
				}
				if tc.action == report.Delayed && !r.WillRetryUntil.Equal(m.Expires) {
					t.Errorf("recipient %d: tried until %v", i, r.WillRetryUntil)
				}
			}
			if got := dsn.Recipients[0]; got.OriginalText != "rfc822; Bob@dest.example" && got.OriginalText != "rfc822;Bob@dest.example" {
				t.Errorf("original recipient %q", got.OriginalText)
			}
			if got := dsn.Recipients[2].DiagnosticCode; !strings.HasPrefix(got, "x-postern; ") {
				t.Errorf("our own finding is given as an answer: %q", got)
			}
		})
	}
}

// TestReturnedContent: a report returns no more than it may.
func TestReturnedContent(t *testing.T) {
	t.Parallel()
	big := []byte(original + strings.Repeat("0123456789 line of the original\r\n", 10_000))
	for _, tc := range []struct {
		name, ret string
		limit     int
		body      bool
		most      int
	}{
		{"default", "", 0, true, 50 << 10}, {"full", "FULL", 0, true, 50 << 10}, {"header", "HDRS", 0, false, 0}, {"header, lower case", "hdrs", 0, false, 0},
		{"small limit", "", 1000, true, 1000}, {"full, small limit", "FULL", 1000, true, 1000}, {"none", "FULL", -1, false, 0}, {"above the ceiling", "", 1 << 30, true, 50 << 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDesk(t, func(o *notice.Options) { o.ReturnBytes = tc.limit })
			m := sent(t, "shop", "anna@shop.example", "en")
			m.Envelope.Ret = tc.ret
			if err := d.Failed(t.Context(), m, big, failures(m, spool.Bounced)[:1]); err != nil {
				t.Fatal(err)
			}
			raw := d.one().Body
			if !bytes.Contains(raw, []byte("Received: from client.shop.example by mx.example.net\r\n")) {
				t.Error("the header is not returned")
			}
			_, returned, found := bytes.Cut(raw, []byte("\r\nHello Bob,\r\n"))
			if found != tc.body {
				t.Errorf("body returned: %v, want %v", found, tc.body)
			}
			if len(returned) > tc.most+200 {
				t.Errorf("%d bytes of the body are returned, want %d at most", len(returned), tc.most)
			}
		})
	}
}

// TestManyRecipients: a report on a large mailing stays readable, and complete for machines.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := sent(t, "shop", "anna@shop.example", "en")
	m.Envelope.Recipients = nil
	for i := range 1000 {
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: address(t, fmt.Sprintf("user%d@dest.example", i))})
	}
	var all []notice.Failure
	for i, r := range m.Envelope.Recipients {
		var talk []string
		for line := range 500 {
			talk = append(talk, fmt.Sprintf("> %d %s", i, strings.Repeat(fmt.Sprint(line), 400)))
		}
		all = append(all, notice.Failure{Conversation: talk, Recipient: spool.Recipient{Index: i, Recipient: r, State: spool.Bounced, Code: 550, Enhanced: "5.1.1",
			Text: "unknown", Host: "mx.dest.example[192.0.2.9]", Attempts: 1, Last: start}})
	}
	if err := d.Failed(t.Context(), m, m.Body, all); err != nil {
		t.Fatal(err)
	}
	raw := d.one().Body
	if text := body(t, raw, "text/plain"); len(text) > 150_000 || !strings.Contains(text, "And 985 other recipients") {
		t.Errorf("text of %d bytes", len(text))
	}
	if got := bytes.Count(raw, []byte("Final-Recipient: ")); got != 1000 {
		t.Errorf("%d recipients for machines, want 1000", got)
	}
}

// TestInternationalSender: a report to an address beyond ASCII says that it needs SMTPUTF8.
func TestInternationalSender(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := sent(t, "shop", "zoé@shop.example", "fr")
	if err := d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced)); err != nil {
		t.Fatal(err)
	}
	if err := d.Held(t.Context(), notice.HeldMail{Message: m, Threshold: 3}); err != nil {
		t.Fatal(err)
	}
	for _, q := range d.queued() {
		if !q.Envelope.SMTPUTF8 || !q.Envelope.EightBit {
			t.Errorf("%s: SMTPUTF8 %v, 8-bit %v", q.Subject, q.Envelope.SMTPUTF8, q.Envelope.EightBit)
		}
		if to := mail.Parse(q.Body, mail.DefaultLimits()).Header.Get("To"); to != "<zoé@shop.example>" {
			t.Errorf("%s: To: %q", q.Subject, to)
		}
	}
}

// TestHeldIsToldLater: a notice that the spool does not take at once is not forgotten.
func TestHeldIsToldLater(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	gone, stop := context.WithCancel(t.Context())
	stop()
	m := sent(t, "shop", "anna@shop.example", "en")
	if err := d.Held(gone, notice.HeldMail{Message: m, Threshold: 3}); err != nil {
		t.Fatal(err)
	}
	if got := len(d.queued()); got != 0 {
		t.Fatalf("%d notices queued with a context that is over", got)
	}
	d.clock.Add(time.Hour)
	if err := d.Run(gone); err != nil {
		t.Fatal(err)
	}
	if got := d.one(); got.Subject != "1 message held" {
		t.Errorf("subject %q", got.Subject)
	}
}

// TestUnthreadable: a Message-ID of another form than the standard's is not repeated.
func TestUnthreadable(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"<a@b>": "<a@b>", "a@b": "<a@b>", "": "", "<>": "", "<a b@c>": "", "<a@b> <c@d>": "", "<a@b\r\nBcc: c@d>": "", "<é@b>": "", "<" + strings.Repeat("a", 300) + "@b>": "", "<ab>": "",
	} {
		d := newDesk(t)
		m := sent(t, "shop", "anna@shop.example", "en")
		m.MessageID = id
		if err := d.Failed(t.Context(), m, m.Body, failures(m, spool.Bounced)); err != nil {
			t.Fatal(err)
		}
		h := mail.Parse(d.one().Body, mail.DefaultLimits()).Header
		if got := h.Get("In-Reply-To"); got != want || h.Get("References") != want {
			t.Errorf("%q: In-Reply-To %q, want %q", id, got, want)
		}
	}
}

// TestNoAnswerIsNoRefusal: where nothing was said, nobody is blamed.
func TestNoAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := sent(t, "shop", "anna@shop.example", "en")
	f := []notice.Failure{{Recipient: spool.Recipient{Recipient: m.Envelope.Recipients[0], State: spool.Expired}}}
	if err := d.Failed(t.Context(), m, m.Body, f); err != nil {
		t.Fatal(err)
	}
	if text := body(t, d.one().Body, "text/plain"); !strings.Contains(text, "on its way for too long") || strings.Contains(text, "refused") {
		t.Errorf("text:\n%s", text)
	}
}

func BenchmarkHeld(b *testing.B) {
	d := newDesk(b)
	h := notice.HeldMail{Message: sent(b, "shop", "anna@shop.example", "fr"), Threshold: 3, Reasons: reasons(), CanRelease: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.ComposeHeld(h, h.Message.Envelope.ReversePath); err != nil {
			b.Fatal(err)
		}
	}
}
