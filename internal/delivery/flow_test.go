package delivery_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/suppression"
)

// TestSlowNames: a domain that DNS is slow about keeps its own mail waiting, and nobody else's; it is asked about once.
func TestSlowNames(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		slow, quick := b.host("slow.test", "mx.slow.test", "203.0.113.1"), b.host("quick.test", "mx.quick.test", "203.0.113.2")
		b.delay("slow.test", 30*time.Second)
		var first mail.QueueID
		for i := range 50 {
			id := b.send("shop", numbered("u%d@slow.test", i))
			if i == 0 {
				first = id
			}
			b.send("club", numbered("u%d@quick.test", i))
		}
		b.pass(5 * time.Second)
		if n := len(quick.arrived()); n != 50 {
			t.Errorf("%d of 50 arrived beside a slow domain", n)
		}
		if s := b.stands(first); s.Stage != delivery.StageResolving {
			t.Errorf("stands %+v", s)
		}
		b.pass(time.Minute)
		if n := len(slow.arrived()); n != 50 {
			t.Errorf("%d of 50 arrived at the slow domain", n)
		}
	})
}

// TestManySlowNames: more slow domains than are asked about at one time delay one another, never the rest of the mail that has destinations.
func TestManySlowNames(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		quick := b.host("quick.test", "mx.quick.test", "203.0.113.2")
		b.send("club", "warm@quick.test")
		b.pass(time.Second)
		for i := range 200 {
			domain := fmt.Sprintf("slow%d.test", i)
			b.host(domain, "mx."+domain, "203.0.113.1")
			b.delay(domain, 10*time.Second)
			b.send("shop", "you@"+domain)
		}
		for i := range 20 {
			b.send("club", numbered("u%d@quick.test", i))
		}
		b.pass(2 * time.Second)
		if n := len(quick.arrived()); n != 21 {
			t.Errorf("%d of 21 arrived beside 200 slow domains", n)
		}
		b.pass(time.Minute)
		if n := len(b.by[mustAddr("203.0.113.1")].arrived()); n != 200 {
			t.Errorf("%d of 200 arrived", n)
		}
	})
}

// TestFloodLeavesRoom: one customer's flood to one receiver fills no memory that others need; what finds no place waits with a reason and a time, and all arrives.
func TestFloodLeavesRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ *bubble, o *delivery.Options) { o.Window, o.Shaping.PerShare = 200, 40 }, func(b *bubble) {
		there, other := b.host("a.test", "mx.there.test", "203.0.113.1"), b.host("other.test", "mx.other.test", "203.0.113.2")
		there.latency, other.latency = 100*time.Millisecond, 5*time.Millisecond
		const n = 1000
		for i := range n {
			b.send("shop", numbered("u%d@a.test", i))
		}
		b.pass(20 * time.Second)
		works, _, err := b.spool.List(context.Background(), spool.Filter{Limit: 1000})
		if err != nil || len(works) < n/2 {
			t.Fatalf("%d messages of the flood are left: %v", len(works), err)
		}
		for _, w := range works { // they came in one moment, so any of them may be the last
			switch s := b.stands(w.ID); {
			case s.Stage == delivery.StageWaiting && len(s.Why) > 0, s.Stage == delivery.StageSending:
			case (s.Stage == delivery.StageParked || s.Stage == delivery.StageDue) && !s.Until.IsZero():
			default:
				t.Fatalf("of the flood: %+v", s)
			}
		}
		for i := range 10 {
			b.send("club", numbered("c%d@other.test", i))
			b.send("bank", numbered("b%d@a.test", i))
		}
		b.pass(30 * time.Second)
		if got := len(other.arrived()); got != 10 {
			t.Errorf("%d of 10 for another receiver arrived beside the flood", got)
		}
		bank := 0
		for _, a := range there.arrived() {
			if strings.HasPrefix(a.to, "b") {
				bank++
			}
		}
		if bank != 10 {
			t.Errorf("%d of 10 of another customer arrived at the flooded receiver", bank)
		}
		b.pass(3 * time.Hour)
		if got := len(there.arrived()); got != n+10 || b.queued() != 0 {
			t.Errorf("%d of %d arrived, %d are queued", got, n+10, b.queued())
		}
		seen := map[string]int{}
		for _, a := range there.arrived() {
			if seen[a.to]++; seen[a.to] > 1 {
				t.Fatalf("%s got it twice", a.to)
			}
		}
	})
}

// TestEndInAFlood: what is in memory when the gateway stops is in the spool, untouched, and comes again.
func TestEndInAFlood(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ *bubble, o *delivery.Options) { o.Window, o.Shaping.PerShare = 100, 20 }, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		b.delay("slow.test", time.Minute)
		b.host("slow.test", "mx.slow.test", "203.0.113.9")
		there.latency = 200 * time.Millisecond
		for i := range 300 {
			b.send("shop", numbered("u%d@a.test", i))
			if i%10 == 0 {
				b.send("club", numbered("s%d@slow.test", i))
			}
		}
		b.pass(7 * time.Second)
		if n := b.Unaccounted(); n != 0 {
			t.Errorf("%d unaccounted for in the middle", n)
		}
	})
}

// TestReturnPaths: recipients with the same reverse path share a transaction, others do not.
func TestReturnPaths(t *testing.T) {
	t.Parallel()
	path := func(m *spool.Message, i int) (mail.Address, bool) {
		switch m.Customer {
		case "shop":
			return mail.Address{Local: fmt.Sprintf("r%d", i), Domain: "back.test"}, true
		case "club":
			return mail.Address{Local: "all", Domain: "back.test"}, true
		}
		return mail.Address{}, false
	}
	inBubble(t, func(_ *bubble, o *delivery.Options) { o.ReturnPath = path }, func(b *bubble) {
		there := b.host("a.test", "mx.other.test", "203.0.113.1")
		for _, c := range []string{"shop", "club", "bank"} {
			b.send(c, c+"1@a.test", c+"2@a.test", c+"3@a.test")
		}
		b.pass(time.Minute)
		got := slices.Clone(there.begun)
		slices.Sort(got)
		want := []string{"MAIL FROM:<all@back.test>", "MAIL FROM:<news@bank.test>", "MAIL FROM:<r0@back.test>", "MAIL FROM:<r1@back.test>", "MAIL FROM:<r2@back.test>"}
		if !slices.Equal(got, want) || len(there.arrived()) != 9 {
			t.Errorf("reverse paths %q, %d arrived", got, len(there.arrived()))
		}
	})
}

// TestSuppressed: who is on the list is not written to; the sender is told why. Our own notices go to everybody.
func TestSuppressed(t *testing.T) {
	t.Parallel()
	var ledger *suppression.Ledger
	inBubble(t, func(b *bubble, o *delivery.Options) {
		var err error
		if ledger, err = suppression.New(suppression.Options{DB: o.Shaping.DB}); err != nil {
			b.t.Fatal(err)
		}
		o.Suppression = ledger
		if err := ledger.Add(context.Background(), suppression.Entry{Customer: "shop", Address: mail.Address{Local: "gone", Domain: "a.test"}, Reason: suppression.UnknownUser,
			Since: time.Now().Add(-24 * time.Hour), By: "rule"}); err != nil {
			b.t.Fatal(err)
		}
	}, func(b *bubble) {
		there := b.host("a.test", "mx.other.test", "203.0.113.1")
		b.host("shop.test", "mx.home.test", "203.0.113.250")
		id := b.send("shop", "gone@a.test", "here@a.test")
		b.send("club", "gone@a.test")
		own := b.compose("shop", "gone@a.test")
		own.Notice, own.Envelope.ReversePath = true, mail.Address{}
		b.put(own)
		b.pass(time.Minute)
		if n := len(there.arrived()); n != 3 {
			t.Errorf("%d arrived: %v", n, there.arrived())
		}
		f := b.facts(id, journal.Bounced)
		if len(f) != 1 || f[0].Code != 550 || f[0].Category != "suppressed" || !strings.Contains(f[0].Text, "unknown-user") || f[0].Attempt != 0 {
			t.Errorf("%+v", f)
		}
		if n := len(b.by[mustAddr("203.0.113.250")].arrived()); n != 1 {
			t.Errorf("%d notices", n)
		}
	})
}

// TestSuppressionUnknown: while the list cannot be read nobody is written to, and mail is put off; when it can be read again, all is as it says.
func TestSuppressionUnknown(t *testing.T) {
	t.Parallel()
	var db *store.DB
	rename := func(b *bubble, from, to string) {
		b.t.Helper()
		err := db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec("ALTER TABLE " + from + " RENAME TO " + to)
			return err
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	inBubble(t, func(b *bubble, o *delivery.Options) {
		db = o.Shaping.DB
		ledger, err := suppression.New(suppression.Options{DB: db}) // its set is not read: it asks the database
		if err != nil {
			b.t.Fatal(err)
		}
		o.Suppression = ledger
		if err := ledger.Add(context.Background(), suppression.Entry{Customer: "shop", Address: mail.Address{Local: "no", Domain: "a.test"}, Reason: suppression.Unsubscribed,
			By: "recipient"}); err != nil {
			b.t.Fatal(err)
		}
	}, func(b *bubble) {
		there := b.host("a.test", "mx.other.test", "203.0.113.1")
		b.host("shop.test", "mx.home.test", "203.0.113.250")
		rename(b, "suppression_entry", "elsewhere")
		id := b.send("shop", "no@a.test", "yes@a.test")
		b.pass(time.Minute)
		f := b.facts(id, journal.Deferred)
		if len(f) != 2 || f[0].Code != 451 || f[0].Enhanced != "4.3.0" || f[0].Host != "" || !strings.Contains(f[0].Text, "cannot be read") || f[0].Party != "config" || f[0].Attempt != 0 {
			t.Errorf("%+v", f)
		}
		if n := len(there.arrived()); n != 0 {
			t.Errorf("%d arrived without a list: %v", n, there.arrived())
		}
		rename(b, "elsewhere", "suppression_entry")
		b.pass(time.Hour)
		if n := len(there.arrived()); n != 1 || len(b.facts(id, journal.Bounced)) != 1 {
			t.Errorf("%d arrived: %v; %+v", n, there.arrived(), b.facts(id, journal.Bounced))
		}
	})
}

// TestAddressGone: an egress address that this machine has no more bounces nothing: its mail waits, and leaves when the address is back.
func TestAddressGone(t *testing.T) {
	t.Parallel()
	var back atomic.Bool
	inBubble(t, func(b *bubble, o *delivery.Options) {
		dial := o.Dial
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if !back.Load() {
				return nil, fmt.Errorf("%w: 192.0.2.77", smtp.ErrLocalAddr)
			}
			return dial(ctx, network, addr)
		}
		o.Shaping.Pools = []shaping.Pool{{Name: account.DefaultPool, Egress: []shaping.Egress{{IP: netip.MustParseAddr("192.0.2.77"), HELO: "seven.gate.test"}}}}
	}, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		id := b.send("shop", "you@a.test")
		b.pass(30 * time.Second)
		if s := b.stands(id); s.Stage != delivery.StageParked || s.Attempts != 0 || s.Lane != "there 192.0.2.77" || s.Until.IsZero() {
			t.Errorf("stands %+v", s)
		}
		back.Store(true)
		b.pass(time.Hour)
		if len(there.arrived()) != 1 || there.hello["seven.gate.test"] == 0 {
			t.Errorf("%d arrived, hello %v", len(there.arrived()), there.hello)
		}
	})
}

// TestFamiliesOfAPool: an address of each family serves the receivers of its own; where none fits the mail waits, and the reason names the pool.
func TestFamiliesOfAPool(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ *bubble, o *delivery.Options) {
		o.Shaping.Pools = []shaping.Pool{{Name: account.DefaultPool, Egress: []shaping.Egress{{IP: netip.MustParseAddr("192.0.2.4"), HELO: "four.gate.test"}}}}
	}, func(b *bubble) {
		four, six := b.host("four.test", "mx.four.test", "203.0.113.1"), b.host("six.test", "mx.six.test", "2001:db8:7::1")
		both := b.host("both.test", "mx4.both.test", "203.0.113.3")
		b.host("both.test", "mx6.both.test", "2001:db8:7::3")
		b.send("shop", "you@four.test")
		b.send("shop", "you@both.test")
		id := b.send("shop", "you@six.test")
		b.pass(time.Minute)
		if four.hello["four.gate.test"] != 1 || both.hello["four.gate.test"] != 1 || len(six.hello) != 0 {
			t.Errorf("hello: %v %v %v", four.hello, both.hello, six.hello)
		}
		if f := b.facts(id, journal.Deferred); len(f) != 1 || !strings.Contains(f[0].Text, "delivery.pools") || f[0].Category != "systemerror" {
			t.Errorf("%+v", f)
		}
	})
}

// TestGreylisted: who is asked to wait comes back soon, from the same address.
func TestGreylisted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ *bubble, o *delivery.Options) { o.Tuning.Retry = []time.Duration{2 * time.Hour} }, func(b *bubble) {
		other := b.host("a.test", "mx.other.test", "203.0.113.1")
		begun := time.Now()
		other.says(func(step, _ string) string {
			if step == "rcpt" && time.Since(begun) < 4*time.Minute {
				return "450 4.7.1 Greylisted, please try again in 240 seconds"
			}
			return ""
		})
		b.send("shop", "you@a.test")
		b.pass(20 * time.Minute)
		if got := other.arrived(); len(got) != 1 || got[0].at.Sub(begun) < 4*time.Minute {
			t.Errorf("arrived: %v", got)
		}
	})
}

// TestRefusedAtTheDoor: who refuses us before any mail has said nothing about a recipient: one attempt, the lane rests, nobody bounces.
func TestRefusedAtTheDoor(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"banner", "ehlo"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(b *bubble) {
				there := b.host("a.test", "mx.there.test", "203.0.113.1")
				there.says(func(at, _ string) string {
					if at == step {
						return "554 5.7.1 we know you"
					}
					return ""
				})
				var ids []mail.QueueID
				for i := range 30 {
					ids = append(ids, b.send("shop", numbered("u%d@a.test", i)))
				}
				b.pass(30 * time.Second)
				attempts := 0
				for _, id := range ids {
					s := b.stands(id)
					if attempts += s.Attempts; s.Until.IsZero() || s.Stage != delivery.StageParked && s.Stage != delivery.StageScheduled {
						t.Errorf("stands %+v", s)
					}
				}
				if attempts > 2 {
					t.Errorf("%d attempts were counted", attempts)
				}
				there.says(nil)
				b.pass(4 * time.Hour)
				if n := len(there.arrived()); n != 30 {
					t.Errorf("%d of 30 arrived", n)
				}
			})
		})
	}
}
