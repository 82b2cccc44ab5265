package notice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/report"
	"postern/internal/spool"
)

func late(t testing.TB, n int) notice.Late {
	return notice.Late{ID: mail.NewQueueID(start.Add(-time.Hour)), Customer: "shop", ReversePath: address(t, "ann@shop.example"), HeaderFrom: "ann@shop.example",
		Subject: fmt.Sprintf("Offer %d", n), MessageID: "<1@shop.example>", Size: 2000, Accepted: start.Add(-time.Hour), Recipient: address(t, fmt.Sprintf("bob%d@there.example", n)),
		Action: report.Failed, Host: "mx.there.example", Code: 550, Enhanced: "5.1.1", Text: "5.1.1 no such user"}
}

func TestReturned(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	l := late(t, 0)
	for range 3 { // repeated: told once
		if err := d.Returned(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	m := d.one()
	if !m.Notice || !m.Envelope.ReversePath.IsNull() || m.Envelope.Recipients[0].Address != l.ReversePath {
		t.Errorf("%+v", m)
	}
	dsn, err := report.ParseDSN(mail.Parse(m.Body, mail.DefaultLimits()))
	if err != nil || len(dsn.Recipients) != 1 || dsn.Recipients[0].Action != report.Failed || dsn.Recipients[0].Status != "5.1.1" ||
		dsn.Recipients[0].Final != l.Recipient || !strings.Contains(dsn.Text, "had accepted the message at first") {
		t.Errorf("%+v %v", dsn, err)
	}
	for action, subject := range map[string]string{report.Delayed: "Delayed", report.Delivered: "Delivered"} {
		x := late(t, 1)
		x.Action, x.Code, x.Enhanced = action, 0, ""
		if err := d.Returned(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(d.queued(), func(m spool.Message) bool { return m.Subject == subject+": Offer 1" }) {
			t.Errorf("%s: no notice", action)
		}
	}
	for name, change := range map[string]func(*notice.Late){
		"null sender":    func(l *notice.Late) { l.ReversePath = mail.Address{} },
		"nobody to tell": func(l *notice.Late) { l.Customer, l.ReversePath = "silent", address(t, "x@elsewhere.example") },
		"no customer":    func(l *notice.Late) { l.Customer = "gone" },
	} {
		before := len(d.queued())
		x := late(t, 2)
		change(&x)
		if err := d.Returned(t.Context(), x); err != nil || len(d.queued()) != before {
			t.Errorf("%s: %d notices, %v", name, len(d.queued())-before, err)
		}
	}
	x := late(t, 3)
	x.Action = "lost"
	if d.Returned(t.Context(), x) == nil {
		t.Error("an action that does not exist")
	}
}

// TestReturnedDigest: of many failures the first 20 have notices, the others one together.
func TestReturnedDigest(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const all = 300
	for i := range all {
		if err := d.Returned(t.Context(), late(t, i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.queued()); n != 20 {
		t.Fatalf("%d notices", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Run(ctx); err != nil {
		t.Fatal(err)
	}
	queued := d.queued()
	if len(queued) != 21 {
		t.Fatalf("%d notices", len(queued))
	}
	m := queued[20]
	text := body(t, m.Body, "text/plain")
	if !strings.HasPrefix(m.Subject, "280 more of your messages") || !strings.Contains(text, "bob20@there.example") || !strings.Contains(text, "80 more are not listed") ||
		strings.Contains(text, "bob19@") || !m.Envelope.ReversePath.IsNull() {
		t.Errorf("%q\n%s", m.Subject, text)
	}
}

func TestPassOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := notice.Passed{About: mail.NewQueueID(start), Customer: "shop", To: address(t, "ann@shop.example"), Kind: "auto-reply",
		Message: []byte("From: bob@there.example\r\nSubject: away\r\nAuto-Submitted: auto-replied\r\n\r\nI am away.\r\n")}
	for range 2 {
		if err := d.PassOn(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	m := d.one()
	if !bytes.Equal(m.Body, p.Message) || m.HeaderFrom != "" || !m.Notice || !m.Envelope.ReversePath.IsNull() || m.Envelope.Recipients[0].Address != p.To {
		t.Errorf("%+v\n%s", m, m.Body)
	}
	p.To = mail.Address{}
	if err := d.PassOn(t.Context(), p); err != nil {
		t.Error(err)
	}
	p.To, p.Message = address(t, "ann@shop.example"), []byte("Subject: "+strings.Repeat("x", 2000)+"\r\n\r\n.\r\n")
	if err := d.PassOn(t.Context(), p); err != nil && !errors.Is(err, notice.ErrUnfit) {
		t.Error(err)
	}
}
