package intake_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

// hold brings in a message whose only fault is that its author's domain publishes no DMARC policy, and returns its ID.
func hold(t *testing.T, r *rooms) mail.QueueID {
	t.Helper()
	reply, err := r.connect(t, intake.Relay, "192.0.2.1").send("news@shop.test", []string{"a@there.test"}, letter(""))
	if err != nil || reply.Code != 250 || !strings.Contains(reply.Lines[0], "(held: score") {
		t.Fatalf("not held: %v %v", reply, err)
	}
	mails, _ := r.queued(t)
	return mails[len(mails)-1].ID
}

var undocumented = map[string]float64{"DMARC_MISSING": 5}

// publish puts right what hold's message is held for.
func publish(t *testing.T, r *rooms) {
	t.Helper()
	if err := r.dns.Set(zone + "$ORIGIN shop.test.\n_dmarc 300 IN TXT \"v=DMARC1; p=reject\"\n"); err != nil {
		t.Fatal(err)
	}
}

// TestHeld: 250, stored, not delivered, and the sender is told why with a link.
func TestHeld(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	id := hold(t, r)
	if works, err := r.spool.Claim(t.Context(), 10); err != nil || len(works) != 1 || !works[0].Notice {
		t.Fatalf("claimed: %+v %v; expected the notice alone", works, err)
	}
	_, notices := r.queued(t)
	if len(notices) != 1 || notices[0].Envelope.Recipients[0].Address.String() != "news@shop.test" {
		t.Fatalf("notices: %+v", notices)
	}
	body, err := r.spool.Body(t.Context(), notices[0].ID)
	if err != nil || !strings.Contains(string(body), "https://gate.test/") && !strings.Contains(string(body), "gate.test") {
		t.Errorf("%v: the notice leads nowhere:\n%s", err, body)
	}
	v, err := r.Desk().View(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if v.Status != intake.Waiting || !v.CanRetest || !v.CanRelease || v.WhyNot != "" || v.Verdict.Score != 5 || v.HoldUntil.Sub(v.Received) != 72*time.Hour ||
		v.Recipients != 1 || v.To != "a@there.test" || v.Subject != "Your order" || v.Ceiling != account.DefaultReleaseCeiling || v.Asked || v.Retests != 0 {
		t.Errorf("the page's facts: %+v", v)
	}
	if k := r.kinds(t, id); k != "held/rule" {
		t.Errorf("facts: %s", k)
	}
}

// TestRetest: tested again as it is, then with the fault mended.
func TestRetest(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	id, desk := hold(t, r), r.Desk()
	v, err := desk.Retest(t.Context(), id, "sender")
	if err != nil || v.Status != intake.Waiting || v.Retests != 1 {
		t.Fatalf("%v: %+v", err, v)
	}
	if _, err := desk.Retest(t.Context(), id, "sender"); !errors.Is(err, intake.ErrTooSoon) {
		t.Errorf("twice in a moment: %v", err)
	}
	publish(t, r)
	r.ahead.Add(int64(6 * time.Second))
	v, err = desk.Retest(t.Context(), id, "sender")
	if err != nil || v.Status != intake.Leaving || v.Retests != 2 || v.Verdict.Score != 0 {
		t.Fatalf("%v: %+v", err, v)
	}
	if k := r.kinds(t, id); k != "held/rule retested/sender retested/sender released/rule" {
		t.Errorf("facts: %s", k)
	}
	w, err := r.spool.Get(t.Context(), id)
	if err != nil || w.Held || w.Score != 0 {
		t.Errorf("%v: %+v", err, w)
	}
	r.ahead.Add(int64(6 * time.Second))
	for what, err := range map[string]error{
		"test again": second(desk.Retest(t.Context(), id, "sender")), "release": second(desk.Release(t.Context(), id, "sender", true)),
		"drop": second(desk.Drop(t.Context(), id, "sender")), "ask": second(desk.Ask(t.Context(), id, "why?")),
	} {
		if !errors.Is(err, intake.ErrNotHeld) {
			t.Errorf("%s of a released message: %v", what, err)
		}
	}
}

func second(_ intake.View, err error) error { return err }

// TestRetestWithBrokenFilter: the message stays held.
func TestRetestWithBrokenFilter(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	id := hold(t, r)
	r.resolverIsBroken.Store(true)
	if _, err := r.Desk().Retest(t.Context(), id, "sender"); err == nil {
		t.Error("tested with a broken filter")
	}
	if w, err := r.spool.Get(t.Context(), id); err != nil || !w.Held {
		t.Errorf("%v: %+v", err, w)
	}
}

// TestRelease: the sender within the customer's policy, an operator always.
func TestRelease(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		change   func(*account.Customer)
		bySender bool
		allowed  bool
		whyNot   string
	}{
		{"sender", func(c *account.Customer) {}, true, true, ""},
		{"sender, not his business", func(c *account.Customer) { c.SelfRelease = false }, true, false, "policy"},
		{"sender, above the ceiling", func(c *account.Customer) { c.ReleaseCeiling = 4.9 }, true, false, "ceiling"},
		{"sender, at the ceiling", func(c *account.Customer) { c.ReleaseCeiling = 5 }, true, true, ""},
		{"operator, whatever the policy", func(c *account.Customer) { c.SelfRelease = false; c.ReleaseCeiling = 4 }, false, true, "policy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := shop()
			tc.change(&c)
			r := start(t, settings{customers: []account.Customer{c}, scores: undocumented})
			id, desk := hold(t, r), r.Desk()
			v, err := desk.View(t.Context(), id)
			if err != nil || v.WhyNot != tc.whyNot {
				t.Errorf("%v: why not: %q", err, v.WhyNot)
			}
			actor := "operator:ann"
			if tc.bySender {
				actor = "sender"
			}
			v, err = desk.Release(t.Context(), id, actor, tc.bySender)
			if !tc.allowed {
				if !errors.Is(err, intake.ErrNotAllowed) {
					t.Errorf("released: %v", err)
				}
				if k := r.kinds(t, id); k != "held/rule" {
					t.Errorf("facts: %s", k)
				}
				return
			}
			if err != nil || v.Status != intake.Leaving {
				t.Fatalf("%v: %+v", err, v)
			}
			if k := r.kinds(t, id); k != "held/rule released/"+actor {
				t.Errorf("facts: %s", k)
			}
			if works, err := r.spool.Claim(t.Context(), 10); err != nil || len(works) != 2 {
				t.Errorf("due: %d %v", len(works), err)
			}
		})
	}
}

// TestDropAndAsk: removed for good; the operator is asked once.
func TestDropAndAsk(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	id, desk := hold(t, r), r.Desk()
	v, err := desk.Ask(t.Context(), id, strings.Repeat("Why is this held? ", 200))
	if err != nil || !v.Asked || v.Status != intake.Waiting {
		t.Fatalf("%v: %+v", err, v)
	}
	if _, notices := r.queued(t); len(notices) != 2 {
		t.Errorf("%d notices; expected one to the sender and the question to the operator", len(notices))
	}
	if _, err := desk.Ask(t.Context(), id, "again"); !errors.Is(err, intake.ErrAlreadyDone) {
		t.Errorf("asked twice: %v", err)
	}
	for _, f := range v.Facts {
		if f.Kind == journal.Asked && len(f.Text) > 1010 {
			t.Errorf("a question of %d bytes", len(f.Text))
		}
	}
	if v, err = desk.Drop(t.Context(), id, "operator:ann"); err != nil || v.Status != intake.Dropped || v.CanRetest || v.CanRelease {
		t.Fatalf("%v: %+v", err, v)
	}
	if k := r.kinds(t, id); k != "held/rule asked/sender dropped/operator:ann" {
		t.Errorf("facts: %s", k)
	}
	if _, err := r.spool.Get(t.Context(), id); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("still in the spool: %v", err)
	}
	if _, err := desk.Release(t.Context(), id, "x", false); !errors.Is(err, intake.ErrNotHeld) {
		t.Errorf("release of a dropped message: %v", err)
	}
	if _, err := desk.View(t.Context(), mail.NewQueueID(time.Now())); !errors.Is(err, intake.ErrNotFound) {
		t.Errorf("page of nothing: %v", err)
	}
	if _, err := desk.Drop(t.Context(), mail.NewQueueID(time.Now()), "x"); !errors.Is(err, intake.ErrNotFound) {
		t.Errorf("drop of nothing: %v", err)
	}
}

// TestViewOfLaterStates: the page tells the end of the story from the journal.
func TestViewOfLaterStates(t *testing.T) {
	t.Parallel()
	for kind, want := range map[journal.Kind]intake.Status{journal.Delivered: intake.Delivered, journal.Bounced: intake.Failed, journal.Expired: intake.Expired} {
		r := start(t, settings{scores: undocumented})
		id := hold(t, r)
		if _, err := r.Desk().Release(t.Context(), id, "sender", true); err != nil {
			t.Fatal(err)
		}
		if err := r.spool.Settle(t.Context(), spool.Outcome{ID: id, State: spool.Delivered}); err != nil {
			t.Fatal(err)
		}
		if err := r.journal.Append(t.Context(), journal.Fact{Kind: kind, QueueID: id, Customer: "shop"}); err != nil {
			t.Fatal(err)
		}
		v, err := r.Desk().View(t.Context(), id)
		if err != nil || v.Status != want || v.Subject != "Your order" || v.Verdict.Score != 5 || v.Customer.Language != "en" {
			t.Errorf("%s: %v: %+v", kind, err, v)
		}
	}
}

// TestDeskWithBrokenStores: an act that cannot be written down is not done.
func TestDeskWithBrokenStores(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"journal", "spool"} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			r := start(t, settings{scores: undocumented})
			id, desk := hold(t, r), r.Desk()
			if err := r.journal.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			db := r.mainDB
			if broken == "spool" {
				db = r.spoolDB
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{
				"view": second(desk.View(t.Context(), id)), "test again": second(desk.Retest(t.Context(), id, "sender")), "release": second(desk.Release(t.Context(), id, "sender", true)),
				"drop": second(desk.Drop(t.Context(), id, "sender")), "ask": second(desk.Ask(t.Context(), id, "?")),
			} {
				if err == nil {
					t.Errorf("%s worked", what)
				}
			}
			if _, err := r.Recover(t.Context()); err == nil {
				t.Error("recovery worked")
			}
		})
	}
}

// TestHoldsEnd: what nobody decided about goes, with a notice; what is damaged stays for an operator.
func TestHoldsEnd(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	id := hold(t, r)
	damaged := hold(t, r)
	if err := r.spool.Hold(t.Context(), damaged, spool.ReasonDamaged, r.now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	run := func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}
	run() // with an ended context nothing is asked of the store
	r.ahead.Store(int64(73 * time.Hour))
	if err := intake.ExpireHolds(r.Intake, t.Context()); err != nil {
		t.Fatal(err)
	}
	if k := r.kinds(t, id); k != "held/rule expired/rule" {
		t.Errorf("facts: %s", k)
	}
	if _, err := r.spool.Get(t.Context(), id); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("still in the spool: %v", err)
	}
	if w, err := r.spool.Get(t.Context(), damaged); err != nil || !w.Held || !w.HoldUntil.After(r.now()) {
		t.Errorf("the damaged one: %v %+v", err, w)
	}
	if _, notices := r.queued(t); len(notices) != 3 {
		t.Errorf("%d notices; expected two of holding and one of the end", len(notices))
	}
	if r.counted("expired") != 1 {
		t.Error("not counted")
	}
}

// TestRunLooksAtOnce: after a start the holds that ended meanwhile are not waited for.
func TestRunLooksAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	id := hold(t, r)
	r.ahead.Store(int64(73 * time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for {
		if _, err := r.spool.Get(t.Context(), id); errors.Is(err, spool.ErrNotFound) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRecover: a fact that a crash kept from the journal is written at the next start, and only once.
func TestRecover(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: map[string]float64{"MISSING_SUBJECT": 5}})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	if _, err := c.send("news@shop.test", []string{"a@there.test"}, letter("")); err != nil {
		t.Fatal(err)
	}
	if err := r.journal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Stored and answered, then the process died before the journal heard of it.
	lost := []spool.Message{}
	for i, held := range []bool{false, true} {
		m := spool.Message{ID: mail.NewQueueID(time.Now()), Customer: "shop", Received: time.Now(), Expires: time.Now().Add(time.Hour), Held: held, HoldReason: "score",
			HoldUntil: time.Now().Add(time.Hour), Body: letter(""), HeaderFrom: "news@shop.test",
			Envelope: mail.Envelope{ReversePath: address(t, "news@shop.test"), Recipients: []mail.Recipient{{Address: address(t, "a@there.test")}}}}
		if i == 0 {
			m.HoldReason, m.HoldUntil = "", time.Time{}
		}
		if err := r.spool.Put(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		lost = append(lost, m)
	}
	n, err := r.Recover(t.Context())
	if err != nil || n != 2 {
		t.Fatalf("%d written, %v; expected 2", n, err)
	}
	if a, b := r.kinds(t, lost[0].ID), r.kinds(t, lost[1].ID); a != "accepted/rule" || b != "held/rule" {
		t.Errorf("facts: %s; %s", a, b)
	}
	if n, err = r.Recover(t.Context()); err != nil || n != 0 {
		t.Errorf("again: %d written, %v", n, err)
	}
}

// TestDamagedBodyStays: bytes that are not those that were accepted are neither tested nor sent.
func TestDamagedBodyStays(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	large := append(letter(""), []byte(strings.Repeat("a line of a large message\r\n", 20000))...)
	if _, err := c.send("news@shop.test", []string{"a@there.test"}, large); err != nil {
		t.Fatal(err)
	}
	mails, _ := r.queued(t)
	var file string
	_ = filepath.WalkDir(r.bodies, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			file = p
		}
		return nil
	})
	if file == "" {
		t.Fatal("no body beside the database")
	}
	if err := os.WriteFile(file, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Desk().Retest(t.Context(), mails[0].ID, "sender"); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("tested damaged bytes: %v", err)
	}
	if w, err := r.spool.Get(t.Context(), mails[0].ID); err != nil || !w.Held || w.HoldReason != spool.ReasonDamaged {
		t.Errorf("%v %+v", err, w)
	}
}

// TestDecisionsTeach: what people decide about held mail is handed on with its customer and body; what rules and senders who give up do
// is not.
func TestDecisionsTeach(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		act  func(*intake.Desk, context.Context, mail.QueueID) error
		want string
	}{
		{"released by the sender", func(d *intake.Desk, ctx context.Context, id mail.QueueID) error {
			return second(d.Release(ctx, id, "sender", true))
		}, ""},
		{"released by an operator", func(d *intake.Desk, ctx context.Context, id mail.QueueID) error {
			return second(d.Release(ctx, id, "operator:ann", false))
		}, "shop ham"},
		{"dropped by an operator", func(d *intake.Desk, ctx context.Context, id mail.QueueID) error {
			return second(d.Drop(ctx, id, "operator:ann"))
		}, "shop spam"},
		{"dropped by the sender", func(d *intake.Desk, ctx context.Context, id mail.QueueID) error {
			return second(d.Drop(ctx, id, "sender"))
		}, ""},
		{"tested again", func(d *intake.Desk, ctx context.Context, id mail.QueueID) error {
			return second(d.Retest(ctx, id, "sender"))
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var got string
			r := start(t, settings{scores: undocumented, taught: func(customer string, spam bool, body []byte) {
				got = customer + map[bool]string{true: " spam", false: " ham"}[spam]
				if !strings.Contains(string(body), "Subject: Your order") {
					t.Errorf("body %q", body)
				}
			}})
			if err := tc.act(r.Desk(), t.Context(), hold(t, r)); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("taught %q, want %q", got, tc.want)
			}
		})
	}
}
