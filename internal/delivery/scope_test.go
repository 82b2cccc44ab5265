package delivery_test

import (
	"strings"
	"testing"
	"time"

	"postern/internal/delivery"
	"postern/internal/mail"
	"postern/internal/shaping"
)

// TestASendersDomainIsRefused: an answer about the sender's domain stops his mail to that receiver, which waits in the spool with its reason, and
// nobody else's.
func TestASendersDomainIsRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		there.says(func(step, arg string) string {
			if step == "mail" && strings.Contains(arg, "@shop.test") {
				return "550 5.7.1 your domain is bad"
			}
			return ""
		})
		first := b.send("shop", "u@a.test")
		b.pass(5 * time.Second)
		var his []mail.QueueID
		for i := range 30 {
			his = append(his, b.send("shop", numbered("u%d@a.test", i)))
			b.send("club", numbered("c%d@a.test", i))
		}
		b.pass(time.Minute)
		if n := len(there.arrived()); n != 30 {
			t.Errorf("%d of the other customer's 30 arrived", n)
		}
		if s := b.stands(first); s.Stage != delivery.StageScheduled || s.Attempts != 1 {
			t.Errorf("the refused one: %+v", s)
		}
		for _, id := range his {
			s := b.stands(id)
			if s.Stage != delivery.StageParked || s.Attempts != 0 || len(s.Why) != 1 || s.Why[0].Code != "pause_sender" || s.Why[0].Args[1] != "shop.test" || time.Until(s.Until) < 50*time.Minute {
				t.Fatalf("parked: %+v", s)
			}
		}
		if all := b.InForce(); len(all) != 1 || all[0].Scope != shaping.OfSender || all[0].Customer != "shop" || all[0].Target != "shop.test" || all[0].Rule != "there/sender" {
			t.Errorf("in force: %+v", all)
		}
		there.says(nil)
		b.pass(75 * time.Minute)
		if n := len(there.arrived()); n != 61 || b.queued() != 0 {
			t.Errorf("%d of 61 arrived after the pause, %d are queued", n, b.queued())
		}
	})
}

// TestOneDeadSiteOfAProvider: mail for a site of a provider that nobody answers at waits by itself; the provider's other sites do not notice.
func TestOneDeadSiteOfAProvider(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		one, two := b.host("a.test", "mx1.there.test", "203.0.113.1"), b.host("b.test", "mx2.there.test", "203.0.113.2")
		b.host("dead.test", "mx3.there.test", "203.0.113.3")
		b.unplug("203.0.113.3")
		var dead []mail.QueueID
		for i := range 40 {
			dead = append(dead, b.send("shop", numbered("d%d@dead.test", i)))
			b.send("shop", numbered("u%d@a.test", i))
			b.send("club", numbered("v%d@b.test", i))
		}
		b.pass(30 * time.Second)
		if n, m := len(one.arrived()), len(two.arrived()); n != 40 || m != 40 {
			t.Errorf("%d and %d of 40 arrived at the living", n, m)
		}
		attempts, parked := 0, 0
		for _, id := range dead {
			s := b.stands(id)
			attempts += s.Attempts
			if s.Stage == delivery.StageParked {
				parked++
				if s.Lane != "there" || len(s.Why) != 1 || s.Why[0].Code != "unreachable_route" || s.Why[0].Args[1] != "mx3.there.test" {
					t.Fatalf("parked: %+v", s)
				}
			}
		}
		if attempts > 2 || parked != 40-attempts {
			t.Errorf("%d attempts, %d parked", attempts, parked)
		}
		if l := b.Lanes(); len(l) != 1 || l[0].Limit != 2 || len(l[0].InForce) != 1 || l[0].InForce[0].Kind != shaping.Unreachable || l[0].InForce[0].Scope != shaping.OfRoute {
			t.Errorf("the lane: %+v", l)
		}
		b.pass(2 * time.Hour)
		attempts = 0
		for _, id := range dead {
			attempts += b.stands(id).Attempts
		}
		if attempts < 8 || attempts > 16 {
			t.Errorf("%d attempts in two hours; a probe every quarter of an hour is expected", attempts)
		}
		home := b.host("dead.test", "mx3.there.test", "203.0.113.3")
		b.pass(80 * time.Minute)
		if n := len(home.arrived()); n != 40 || len(b.InForce()) != 0 {
			t.Errorf("%d of 40 arrived after it lives again; in force %+v", n, b.InForce())
		}
	})
}

// unplug takes the remote at an address off the internet; host puts a new one there.
func (b *bubble) unplug(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.by, mustAddr(addr))
}
