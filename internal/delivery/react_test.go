package delivery_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/shaping"
)

// TestPause: an answer that blocks us stops its lane, whose mail waits in the spool without attempts, with a reason and a time; others' mail goes on;
// after the pause one message goes first, and then the rest.
func TestPause(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		there, other := b.host("a.test", "mx.there.test", "203.0.113.1"), b.host("other.test", "mx.other.test", "203.0.113.2")
		there.says(func(step, _ string) string {
			if step == "dot" {
				return "550 5.7.1 go away for now"
			}
			return ""
		})
		var ids []mail.QueueID
		for i := range 60 {
			ids = append(ids, b.send("shop", numbered("u%d@a.test", i)))
			b.send("club", numbered("u%d@other.test", i))
		}
		b.pass(time.Minute)
		if n := len(other.arrived()); n != 60 {
			t.Errorf("%d of 60 messages for another receiver arrived", n)
		}
		attempts, parked := 0, 0
		for _, id := range ids {
			s := b.stands(id)
			attempts += s.Attempts
			if s.Stage == delivery.StageParked {
				parked++
				if s.Attempts != 0 || s.Lane != "there" || len(s.Why) != 1 || s.Why[0].Code != "pause" || time.Until(s.Until) < 25*time.Minute {
					t.Errorf("parked: %+v", s)
				}
				if f := b.facts(id, journal.Attempt); len(f) != 1 || f[0].Lane != "there" || f[0].NextAt.IsZero() {
					t.Errorf("facts of a parked message: %+v", f)
				}
			}
		}
		if attempts > 2 || parked != 60-attempts {
			t.Errorf("%d attempts, %d parked; expected at most one on each of two connections, and the rest parked", attempts, parked)
		}
		if all := b.InForce(); len(all) != 1 || all[0].Kind != shaping.Pause || all[0].Rule != "there/block" || !strings.Contains(all[0].Evidence, "go away") {
			t.Errorf("in force: %+v", all)
		}
		there.says(nil)
		b.pass(28 * time.Minute)
		if n := len(there.arrived()); n != 0 {
			t.Fatalf("%d messages left during the pause", n)
		}
		b.pass(90 * time.Minute)
		got := there.arrived()
		if len(got) != 60 || b.queued() != 0 {
			t.Fatalf("%d of 60 arrived after the pause, %d are queued", len(got), b.queued())
		}
		if gap := got[1].at.Sub(got[0].at); gap < 10*time.Millisecond {
			t.Errorf("no probe went first: %v apart", gap)
		}
	})
}

// TestFates: what an answer means counts, not its code alone; schedules are the answer's, then the provider's.
func TestFates(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		there.says(func(step, arg string) string {
			switch {
			case step != "rcpt":
			case strings.Contains(arg, "never"):
				return "450 4.1.1 never ever"
			case strings.Contains(arg, "hours"):
				return "554 5.7.0 come back in two hours"
			case strings.Contains(arg, "busy"):
				return "451 4.3.2 busy"
			}
			return ""
		})
		never, hours, busy := b.send("shop", "never@a.test"), b.send("shop", "hours@a.test"), b.send("shop", "busy@a.test")
		b.pass(time.Minute)
		if f := b.facts(never, journal.Bounced); len(f) != 1 || f[0].Category != "userunknown" || f[0].Party != "recipient" || f[0].Rule != "there/never" || f[0].Provider != "there" {
			t.Errorf("a 450 that is final: %+v", f)
		}
		near := func(id mail.QueueID, want time.Duration) {
			t.Helper()
			s := b.stands(id)
			if got := time.Until(s.Until); s.Stage != delivery.StageScheduled || got < want*9/10-2*time.Minute || got > want*11/10 {
				t.Errorf("%s: next attempt in %v (%s); expected about %v", s.Address, got, s.Stage, want)
			}
		}
		near(hours, 2*time.Hour)
		near(busy, time.Hour)
		b.pass(9 * time.Hour)
		for id, first := range map[mail.QueueID]time.Duration{hours: 3 * time.Hour, busy: 6 * time.Hour} {
			f := b.facts(id, journal.Expired)
			if len(f) != 1 || len(b.facts(id, journal.Deferred)) == 0 {
				t.Fatalf("not given up after the schedule's %v: %+v", first, f)
			}
			if age := f[0].At.Sub(b.facts(id, journal.Deferred)[0].At); age < first-2*time.Minute || age > first+2*time.Minute {
				t.Errorf("given up after %v; expected %v", age, first)
			}
		}
	})
}

// TestLimits: the provider's limits hold over all its domains together; a connection is shared within one set of exchangers only.
func TestLimits(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		one := b.host("a.test", "mx1.there.test", "203.0.113.1")
		b.host("b.test", "mx1.there.test", "203.0.113.1")
		two := b.host("c.test", "mx2.there.test", "203.0.113.2")
		one.latency, two.latency = 50*time.Millisecond, 50*time.Millisecond
		most := 0
		count := func(string, string) string {
			one.mu.Lock()
			two.mu.Lock()
			most = max(most, one.open+two.open)
			two.mu.Unlock()
			one.mu.Unlock()
			return ""
		}
		one.says(count)
		two.says(count)
		const n = 90
		for i := range n {
			b.send([]string{"shop", "club", "bank"}[i%3], numbered("u%d@", i)+[]string{"a.test", "b.test", "c.test"}[i%3])
		}
		var many []string
		for i := range 11 {
			many = append(many, numbered("m%d@a.test", i))
		}
		b.send("shop", many...)
		b.pass(10 * time.Minute)
		if got := len(one.arrived()) + len(two.arrived()); got != n+11 {
			t.Errorf("%d of %d arrived", got, n+11)
		}
		if most > 2 {
			t.Errorf("%d connections at one time; the provider takes 2 from one address", most)
		}
		for _, r := range []*remote{one, two} {
			for _, size := range r.sizes {
				if size > 10 {
					t.Errorf("%d messages on one connection; the provider takes 10", size)
				}
			}
			for _, rcpt := range r.rcpts {
				if rcpt > 4 {
					t.Errorf("%d recipients in one transaction; the provider takes 4", rcpt)
				}
			}
		}
		if one.conns > 20 {
			t.Errorf("%d connections for 60 messages of one set of exchangers", one.conns)
		}
	})
}

// TestReconnect: an answer about the connection ends it, and nothing else.
func TestReconnect(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		var n atomic.Int64
		there.says(func(step, _ string) string {
			if step == "mail" && n.Add(1) == 3 {
				return "450 4.7.0 enough on this line"
			}
			return ""
		})
		for i := range 6 {
			b.send("shop", numbered("u%d@a.test", i))
		}
		b.pass(10 * time.Second)
		if got := len(there.arrived()); got != 5 {
			t.Errorf("%d of 5 arrived at once", got)
		}
		b.pass(2 * time.Hour)
		if got := len(there.arrived()); got != 6 {
			t.Errorf("%d of 6 arrived", got)
		}
	})
}

// TestOperatorsPause: what a person stops stands until he lifts it, also over a restart of the lane; then its mail comes forward.
func TestOperatorsPause(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		made, err := b.PauseLane(context.Background(), shaping.Key{Provider: "there"}, time.Now().Add(20*time.Hour), "asked to", "operator:ann")
		if err != nil {
			t.Fatal(err)
		}
		var ids []mail.QueueID
		for i := range 20 {
			ids = append(ids, b.send("shop", numbered("u%d@a.test", i)))
		}
		b.pass(time.Hour)
		if s := b.stands(ids[7]); s.Stage != delivery.StageParked || s.Why[0].Code != "operator" || s.Until.Before(time.Now()) || len(there.arrived()) != 0 {
			t.Errorf("stands %+v, %d arrived", s, len(there.arrived()))
		}
		for _, r := range made {
			if _, err := b.Lift(context.Background(), r.ID, "operator:ann"); err != nil {
				t.Fatal(err)
			}
		}
		b.pass(2 * time.Minute)
		if n := len(there.arrived()); n != 20 {
			t.Errorf("%d of 20 arrived after the pause was lifted", n)
		}
	})
}

// TestPauseOfAnAddress: all its lanes stand still in one act, and their mail comes forward when it is lifted; a name that no lane can have is refused with what is near.
func TestPauseOfAnAddress(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(b *bubble) {
		there := b.host("a.test", "mx.there.test", "203.0.113.1")
		for name, want := range map[string]string{"ther": "there", "thre": "there", "zzzzzzzz": ""} {
			_, err := b.PauseLane(context.Background(), shaping.Key{Provider: name}, time.Now().Add(time.Hour), "x", "operator:ann")
			var u *delivery.UnknownLane
			if !errors.As(err, &u) || !errors.Is(err, delivery.ErrNoReceiver) || u.Address || (want == "") != (len(u.Near) == 0) || want != "" && u.Near[0] != want {
				t.Errorf("%s: %v", name, err)
			}
		}
		made, err := b.PauseLane(context.Background(), shaping.Key{Provider: shaping.AnyReceiver}, time.Now().Add(20*time.Hour), "moving", "operator:ann")
		if err != nil || len(made) != 1 {
			t.Fatalf("%+v %v", made, err)
		}
		id := b.send("shop", "you@a.test")
		b.pass(time.Hour)
		if s := b.stands(id); s.Stage != delivery.StageParked || s.Why[0].Code != "operator_gateway" || len(there.arrived()) != 0 {
			t.Errorf("stands %+v, %d arrived", s, len(there.arrived()))
		}
		for _, r := range made {
			if _, err := b.Lift(context.Background(), r.ID, "operator:ann"); err != nil {
				t.Fatal(err)
			}
		}
		b.pass(2 * time.Minute)
		if n := len(there.arrived()); n != 1 {
			t.Errorf("%d of 1 arrived after the pause was lifted", n)
		}
	})
}

// TestExpiresWhileParked: a message whose lane never opens is given up in its time, and its sender is told; before that he is told that it is late.
func TestExpiresWhileParked(t *testing.T) {
	t.Parallel()
	inBubble(t, func(_ *bubble, o *delivery.Options) { o.Tuning.DelayNotice = 4 * time.Hour }, func(b *bubble) {
		home := b.by[mustAddr("203.0.113.250")]
		b.host("shop.test", "mx.home.test", "203.0.113.250")
		if _, err := b.PauseLane(context.Background(), shaping.Key{Provider: "there"}, time.Now().Add(10*24*time.Hour), "", "operator:ann"); err != nil {
			t.Fatal(err)
		}
		b.host("a.test", "mx.there.test", "203.0.113.1")
		id := b.send("shop", "you@a.test")
		b.pass(3 * time.Hour)
		w, s, err := b.Explain(context.Background(), id)
		if err != nil || len(s) != 1 || s[0].Stage != delivery.StageParked || s[0].Until.Before(time.Now().Add(12*time.Hour)) || w.Recipients[0].NextAt.After(w.Received.Add(4*time.Hour)) {
			t.Errorf("after 3 h: %+v %v", s, err)
		}
		if n := len(home.arrived()); n != 0 {
			t.Errorf("%d notices after 3 h", n)
		}
		b.pass(2 * time.Hour)
		if n := len(home.arrived()); n != 1 {
			t.Errorf("%d notices after 5 h; expected that it is late", n)
		}
		b.pass(45 * time.Hour)
		if f := b.facts(id, journal.Expired); len(f) != 1 || f[0].Attempt != 0 {
			t.Errorf("expired: %+v", f)
		}
		if n := len(home.arrived()); n != 2 || b.queued() != 0 {
			t.Errorf("%d notices, %d queued", n, b.queued())
		}
	})
}
