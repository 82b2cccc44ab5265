package delivery_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/dkim"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/store"
)

// TestSchedule: each pause lies within a tenth of the schedule's, the last one repeats.
func TestSchedule(t *testing.T) {
	t.Parallel()
	pauses := []time.Duration{5 * time.Minute, 20 * time.Minute, time.Hour}
	w, _ := simple(t, func(o *delivery.Options) { o.Tuning = delivery.Tuning{Retry: pauses, DelayNotice: -1} })
	id := w.send("r451@there.test")
	seen := map[time.Duration]bool{}
	for n := 1; n <= 6; n++ {
		w.await("deferred", n)
		f := w.last(id, "r451@there.test")
		pause := pauses[min(n, len(pauses))-1]
		got := f.NextAt.Sub(w.now())
		if got < pause*9/10-2*time.Second || got > pause*11/10+time.Second || f.Attempt != n {
			t.Errorf("attempt %d (%d): next in %v; expected %v within a tenth", n, f.Attempt, got, pause)
		}
		seen[got.Round(time.Millisecond)] = true
		if err := w.spool.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 4 {
		t.Errorf("no jitter: %v", seen)
	}
}

// TestDelayNotice: told once, after the time, to those who want it.
func TestDelayNotice(t *testing.T) {
	t.Parallel()
	w, _ := simple(t, nil)
	m := w.compose("r451@there.test", "r450@there.test")
	m.Received = w.now().Add(-3 * time.Hour)
	m.Envelope.Recipients[1].Notify = mail.NotifyFailure
	id := w.put(m)
	w.await("deferred", 2)
	if n := len(w.home.all()); n != 0 {
		t.Fatalf("%d notices after 3 h", n)
	}
	w.ahead.Store(int64(61 * time.Minute))
	if err := w.spool.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await("deferred", 4)
	dsn := w.home.next()
	for _, want := range []string{"Action: delayed", "Final-Recipient: rfc822; r451@there.test", "Will-Retry-Until:"} {
		if !bytes.Contains(dsn.data, []byte(want)) {
			t.Errorf("the notification lacks %q:\n%s", want, dsn.data)
		}
	}
	if bytes.Contains(dsn.data, []byte("Final-Recipient: rfc822; r450@")) {
		t.Error("told of a recipient without NOTIFY=DELAY")
	}
	if err := w.spool.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await("deferred", 6)
	w.stop()
	if n := len(w.home.all()); n != 1 {
		t.Errorf("%d notices", n)
	}
}

// TestExpiry: one last attempt at the end, then a notification.
func TestExpiry(t *testing.T) {
	t.Parallel()
	w, _ := simple(t, nil)
	m := w.compose("r451@there.test")
	m.Expires = m.Received.Add(3 * time.Minute)
	id := w.put(m)
	w.await("deferred", 1)
	if f := w.last(id, "r451@there.test"); f.NextAt.Sub(m.Expires).Abs() > time.Millisecond {
		t.Errorf("next attempt at %v; expected the last one at %v", f.NextAt, m.Expires)
	}
	w.ahead.Store(int64(3 * time.Minute))
	if err := w.spool.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await("expired", 1)
	w.expect(id, "r451@there.test", journal.Expired, 451, "as you wish")
	dsn := w.home.next()
	for _, want := range []string{"Action: failed", "r451@there.test", "as you wish"} {
		if !bytes.Contains(dsn.data, []byte(want)) {
			t.Errorf("the notification lacks %q:\n%s", want, dsn.data)
		}
	}
	if _, err := w.spool.Get(t.Context(), id); err == nil {
		t.Error("still in the spool")
	}
}

// TestNotify: RFC 3461 wishes, and mail that never gets a notification.
func TestNotify(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		to     string
		notify mail.Notify
		change func(*spool.Message)
		event  string
		want   string // "" = no notification
	}{
		{"default, failed", "r550@there.test", 0, nil, "bounced", "Action: failed"},
		{"NEVER, failed", "r550@there.test", mail.NotifyNever, nil, "bounced", ""},
		{"SUCCESS, failed", "r550@there.test", mail.NotifySuccess, nil, "bounced", ""},
		{"FAILURE, failed", "r550@there.test", mail.NotifyFailure, nil, "bounced", "Action: failed"},
		{"default, delivered", "you@there.test", 0, nil, "delivered", ""},
		{"SUCCESS, delivered", "you@there.test", mail.NotifySuccess, nil, "delivered", "Action: "},
		{"null sender", "r550@there.test", 0, func(m *spool.Message) { m.Envelope.ReversePath = mail.Address{} }, "bounced", ""},
		{"null sender wants success", "you@there.test", mail.NotifySuccess, func(m *spool.Message) { m.Envelope.ReversePath = mail.Address{} }, "delivered", ""},
		{"our own notice", "r550@there.test", 0, func(m *spool.Message) { m.Notice = true }, "bounced", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, _ := simple(t, nil)
			m := w.compose(tc.to)
			m.Envelope.Recipients[0].Notify = tc.notify
			if tc.change != nil {
				tc.change(m)
			}
			w.put(m)
			w.await(tc.event, 1)
			if tc.want != "" {
				if dsn := w.home.next(); !bytes.Contains(dsn.data, []byte(tc.want)) {
					t.Errorf("notification:\n%s", dsn.data)
				}
				return
			}
			works, _, err := w.spool.List(t.Context(), spool.Filter{})
			if err != nil || len(works) != 0 || len(w.home.all()) != 0 {
				t.Errorf("a notification nobody asked for: %v %+v", err, works)
			}
		})
	}
}

// TestSigns: with the author's key when there is one, each message once.
func TestSigns(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	rsa, err := dkim.GenerateKey("shop.test", "s1", account.RSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.accounts.AddKey(t.Context(), account.KeyRecord{Domain: "shop.test", Selector: "s1", Algorithm: account.RSA, PEM: rsa.PEM(), Created: w.now()}); err != nil {
		t.Fatal(err)
	}
	w.send("you@there.test")
	if g := m.next(); bytes.Contains(g.data, []byte("DKIM-Signature")) {
		t.Error("signed with a key that is not active")
	}
	if err := w.accounts.ActivateKey(t.Context(), "shop.test", "s1"); err != nil {
		t.Fatal(err)
	}
	record := rsa.Record()
	var parts []string
	for len(record) > 200 {
		parts, record = append(parts, `"`+record[:200]+`"`), record[200:]
	}
	if err := w.dns.Set(rootZone + one + "$ORIGIN shop.test.\ns1._domainkey 300 IN TXT " + strings.Join(append(parts, `"`+record+`"`), " ") + "\n"); err != nil {
		t.Fatal(err)
	}
	x := w.compose("you@there.test")
	x.HeaderFrom = "news@sub.shop.test"
	x.Body = bytes.Replace(x.Body, []byte("news@shop.test"), []byte("news@sub.shop.test"), 1)
	w.put(x)
	g := m.next()
	sigs := dkim.Verify(t.Context(), w.dns.Resolver(t), g.data, time.Now())
	if len(sigs) != 1 || sigs[0].Status != "pass" || sigs[0].Domain != "shop.test" || !bytes.HasSuffix(g.data, x.Body) {
		t.Errorf("%+v\n%s", sigs, g.data)
	}
	w.Tune(delivery.Tuning{NoSign: true})
	w.send("you@there.test")
	if g := m.next(); bytes.Contains(g.data, []byte("DKIM-Signature")) {
		t.Error("signed although signing is off")
	}
	w.Tune(delivery.Tuning{})
	x = w.compose("you@there.test")
	x.HeaderFrom = "nobody can read this"
	w.put(x)
	if g := m.next(); bytes.Contains(g.data, []byte("DKIM-Signature")) {
		t.Error("signed for an author nobody can read")
	}
}

// TestUnreadableKey: the mail waits; it never leaves unsigned (I7).
func TestUnreadableKey(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	key, err := dkim.GenerateKey("shop.test", "s1", account.RSA)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.accounts.AddKey(t.Context(), account.KeyRecord{Domain: "shop.test", Selector: "s1", Algorithm: account.RSA, PEM: key.PEM(), Created: w.now(), Active: true}); err != nil {
		t.Fatal(err)
	}
	if err := w.mainDB.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("UPDATE account_key SET pem = ?", []byte("damaged"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.accounts.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := w.accounts.SigningKeys("shop.test"); len(keys) == 0 {
		t.Skip("the ledger does not hand out a damaged key")
	}
	id := w.send("you@there.test")
	w.await("deferred", 1)
	w.expect(id, "you@there.test", journal.Deferred, 451, "DKIM key s1 of shop.test")
	if len(m.all()) != 0 {
		t.Error("sent unsigned")
	}
}

// TestConversationInNotification: the sender's postmaster sees what was said.
func TestConversationInNotification(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	m.data.set(func(*smtp.Transaction, []byte) (smtp.Reply, error) {
		return smtp.Reply{}, &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 7, 1}, Text: "content refused\nsee https://there.test/why"}
	})
	w.send("you@there.test")
	w.await("bounced", 1)
	if dsn := w.home.next(); !bytes.Contains(dsn.data, []byte("content refused")) {
		t.Errorf("%s", dsn.data)
	}
}

// TestSettled: whoever listens hears of each end once, and of no deferral and none of our own notices.
func TestSettled(t *testing.T) {
	t.Parallel()
	heard := make(chan delivery.Settled, 20)
	w, _ := simple(t, func(o *delivery.Options) { o.Settled = func(s delivery.Settled) { heard <- s } })
	w.send("you@there.test", "r550@there.test", "r451@there.test")
	w.await("delivered", 1)
	w.await("deferred", 1)
	w.await("bounced", 1)
	w.home.next() // the notification, delivered to the sender
	w.stop()
	close(heard)
	got := map[string]int{}
	for s := range heard {
		got[s.Recipient.String()] = s.Code
		if s.Message.Customer == "" || !bytes.Contains(s.Head, []byte("From:")) || s.At.IsZero() {
			t.Errorf("%+v", s)
		}
	}
	if len(got) != 2 || got["you@there.test"] != 250 || got["r550@there.test"] != 550 {
		t.Errorf("heard %v", got)
	}
}
