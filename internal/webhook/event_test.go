package webhook_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/webhook"
)

// TestNothingOfOthers writes random facts of many customers, each marked with whose it is, and looks at what each hook got.
func TestNothingOfOthers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		rng := rand.New(rand.NewPCG(5, 16))
		customers := []string{"alpha", "beta", "gamma", ""}
		all := []journal.Kind{"accepted", "held", "rejected", "released", "retested", "dropped", "attempt", "delivered", "deferred", "bounced", "expired", "notified", "dsn", "asked",
			"addressed", "returned", "late-delay", "confirmed", "auto-reply", "complaint", "unread", "recovered", "tuned", "suppressed", "limited", "listed", "lifted", "of-tomorrow"}
		in := map[string]*receiver{}
		for _, c := range customers {
			in[c] = receive(t, nil)
			r.add(t, c, in[c].URL)
		}
		slow := receive(t, status(500)) // reads for itself, by the customer's index
		h := r.add(t, "alpha", slow.URL)
		r.turn(t)
		count := map[string]int{}
		for range 30 {
			var facts []journal.Fact
			for range 1 + rng.IntN(60) {
				c := customers[rng.IntN(len(customers))]
				mark := "of-" + c + "-"
				f := journal.Fact{Kind: all[rng.IntN(len(all))], Customer: c, QueueID: mail.NewQueueID(start), Recipient: mark + "r@x.example", ReversePath: mark + "s@x.example", Subject: "the-subject",
					Text: mark + "text", Actor: []string{"", "rule", "sender", "user:" + mark, "operator:a-name", "operator"}[rng.IntN(6)], Host: []string{"", mark + "host"}[rng.IntN(2)],
					Enhanced: []string{"4.4.5", "5.1.1"}[rng.IntN(2)], Lane: "the-lane", Rule: "the-rule", EgressIP: netip.MustParseAddr("192.0.2.77"), Attempt: rng.IntN(2), Detail: []byte(`["the-detail@x.example"]`)}
				facts = append(facts, f)
				count[c]++
			}
			if err := r.j.Append(t.Context(), facts...); err != nil {
				t.Fatal(err)
			}
			r.turn(t)
		}
		slow.say(nil)
		r.clock.Add(start.AddDate(0, 0, 1).Sub(start))
		r.turn(t)
		if got := r.hook(t, h.ID); got.State() != webhook.Working {
			t.Errorf("the slow hook is %s", got.State())
		}
		in["alpha again"] = slow
		for name, x := range in {
			own, _, _ := strings.Cut(name, " ")
			events := x.events()
			if own != "" && (len(events) == 0 || len(events) > count[own]) {
				t.Errorf("%q got %d of %d", name, len(events), count[own])
			}
			for _, e := range events {
				text, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(text), "the-subject") || e.Event == "" {
					t.Fatalf("%q got %s", name, text)
				}
				if own == "" {
					continue
				}
				for _, c := range []string{"alpha", "beta", "gamma", ""} {
					if c != own && strings.Contains(string(text), `"of-`+c+`-`) {
						t.Fatalf("%q got what is %q's: %s", name, c, text)
					}
				}
				for _, secret := range []string{"the-lane", "the-rule", "192.0.2.77", "a-name", "user:"} {
					if strings.Contains(string(text), secret) {
						t.Fatalf("%q got the operator's %s: %s", name, secret, text)
					}
				}
				if e.Customer != own || e.Event == "message.attempted" || e.Event == "message.unread" {
					t.Fatalf("%q got %s", name, text)
				}
				if e.Text != "" && (e.Event == "message.held" || e.Event == "message.dropped" || e.Event == "message.deferred" && e.Host == "" && e.Enhanced == "4.4.5") {
					t.Fatalf("%q got words that are for the operator: %s", name, text)
				}
			}
		}
		if a, b := fmt.Sprint(in["alpha"].events()), fmt.Sprint(slow.events()); len(in["alpha"].events()) != len(slow.events()) || a == "" || b == "" {
			t.Errorf("one hook got %d events, the other %d", len(in["alpha"].events()), len(slow.events()))
		}
	})
}

func TestEveryKindHasItsWord(t *testing.T) {
	t.Parallel()
	for _, gateway := range []bool{true, false} {
		for _, e := range webhook.Events(gateway) {
			if e.Word == "" || e.Means == "" || strings.ToLower(e.Word) != e.Word || !strings.Contains(e.Word, ".") {
				t.Errorf("%+v", e)
			}
		}
	}
}

// TestDocumentedEvents: the manuals have every event, with its meaning, and no other.
func TestDocumentedEvents(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"webhooks.md", "webhooks.fr.md"} {
		text, err := os.ReadFile("../../docs/operator/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range webhook.Events(true) {
			row := "| `" + e.Word + "` | "
			if name == "webhooks.md" {
				row += e.Means + " | " + map[bool]string{true: "the gateway", false: "all"}[e.Gateway] + " |"
			}
			if !strings.Contains(string(text), row) {
				t.Errorf("%s lacks %s", name, row)
			}
		}
		if n := strings.Count(string(text), "\n| `"); n != len(webhook.Events(true)) {
			t.Errorf("%s has %d events, want %d", name, n, len(webhook.Events(true)))
		}
	}
}
