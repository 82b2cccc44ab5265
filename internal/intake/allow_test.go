package intake_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/journal"
)

// TestAllow: who may release a message may let its From address pass for a while, as far as he could release; he may take it back; both stand
// in the journal.
func TestAllow(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: map[string]float64{"DMARC_MISSING": 5, "CUSTOMER_ALLOWED": 0}, real: true})
	ctx, desk := t.Context(), r.Desk()
	id := hold(t, r)
	v, err := desk.View(ctx, id)
	if err != nil || !v.CanAllow || v.Allowed.Value != "" {
		t.Fatalf("%+v %v", v, err)
	}
	if v, err = desk.Allow(ctx, id); err != nil || v.CanAllow || v.Allowed.String() != "from:news@shop.test" || v.Status != intake.Waiting || v.Allowed.Until.Before(time.Now().Add(89*24*time.Hour)) {
		t.Fatalf("%+v %v", v.Allowed, err)
	}
	if v, err = desk.Allow(ctx, id); err != nil {
		t.Errorf("again: %v", err)
	}
	facts, _, err := r.journal.Search(ctx, journal.Query{Kinds: []journal.Kind{journal.Tuned}})
	if err != nil || len(facts) != 1 || facts[0].Actor != "sender" || facts[0].QueueID != id || !strings.HasPrefix(facts[0].Text, "sender's own allow list: from:news@shop.test added until ") {
		t.Errorf("%+v %v", facts, err)
	}
	if v, err = desk.Withdraw(ctx, id); err != nil || !v.CanAllow || v.Allowed.Value != "" {
		t.Errorf("%+v %v", v, err)
	}
	if len(r.accounts.Entries()) != 0 {
		t.Error("the entry stays")
	}
	if _, err = desk.Withdraw(ctx, id); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestAllowedMailPasses: after it the next message of that address passes, that of another address does not.
func TestAllowedMailPasses(t *testing.T) {
	t.Parallel()
	r := start(t, settings{scores: undocumented, customers: []account.Customer{shop(), rival()}, real: true})
	if _, err := r.Desk().Allow(t.Context(), hold(t, r)); err != nil {
		t.Fatal(err)
	}
	send := func(from string) string {
		reply, err := r.connect(t, intake.Relay, "192.0.2.1").send(from, []string{"a@there.test"}, []byte(strings.ReplaceAll(string(letter("")), "news@shop.test", from)))
		if err != nil {
			t.Fatal(err)
		}
		return reply.Lines[0]
	}
	if text := send("news@shop.test"); strings.Contains(text, "held") {
		t.Errorf("allowed: %s", text)
	}
	if text := send("other@shop.test"); !strings.Contains(text, "held") {
		t.Errorf("another address: %s", text)
	}
}

// TestAllowIsRefused: to those who may not release, beyond the ceiling, and where From says nothing.
func TestAllowIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *account.Customer){
		"no release":    func(c *account.Customer) { c.SelfRelease = false },
		"above ceiling": func(c *account.Customer) { c.ReleaseCeiling = 4 },
		"any From":      func(c *account.Customer) { c.AnyFrom = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := shop()
			change(&c)
			r := start(t, settings{scores: undocumented, customers: []account.Customer{c, rival()}})
			id := hold(t, r)
			if v, err := r.Desk().View(t.Context(), id); err != nil || v.CanAllow {
				t.Errorf("%v %v", v.CanAllow, err)
			}
			if _, err := r.Desk().Allow(t.Context(), id); !errors.Is(err, intake.ErrNotAllowed) {
				t.Errorf("%v", err)
			}
			if len(r.accounts.Entries()) != 0 {
				t.Error("an entry was made")
			}
		})
	}
}
