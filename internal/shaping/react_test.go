package shaping_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
)

func answer(it shaping.Item, code int, text string, m provider.Meaning) shaping.Event {
	return shaping.Event{Customer: it.Customer, Stream: it.Stream, Class: it.Class, ID: it.ID, Code: code, Text: text, Accepted: code < 300, Meaning: m}
}

func ok(it shaping.Item) shaping.Event { return answer(it, 250, "250 ok", provider.Meaning{}) }

func kinds(rs []shaping.Reaction) (out []shaping.Kind) {
	for _, r := range rs {
		out = append(out, r.Kind)
	}
	return out
}

var spams = provider.Meaning{Category: provider.Blocked, Party: provider.SenderIP, Fate: provider.Later, Rule: "free/spams-from-ip", Do: provider.Do{Pause: 2 * time.Hour, Probe: true}}

// TestAPauseEndsWithAProbe: nothing leaves for two hours, then one message; refused it renews the pause, taken it opens the lane.
func TestAPauseEndsWithAProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 5}), shaping.Options{})
		k := key("orange")
		began := time.Now()
		blocked := true
		var tries []time.Duration
		tried := func() int {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(tries)
		}
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			r.mu.Lock()
			defer r.mu.Unlock()
			if blocked {
				tries = append(tries, time.Since(began))
				go r.offerAt(k, it, time.Now().Add(time.Minute)) // delivery's deferral
				return answer(it, 550, "550 spams detected from your IP", spams)
			}
			return ok(it)
		}
		for range 200 {
			r.offer(k, item("a"))
		}
		pause(90 * time.Minute)
		if n := tried(); n == 0 || n > 5 {
			t.Errorf("%d messages were sent into the block, the connections are 5", n)
		}
		w, held := r.s.Held(k)
		if !held || w.Why.Code != "pause" || w.Why.Args[0] != "Orange" || w.Until.Sub(began).Round(time.Minute) != 2*time.Hour {
			t.Errorf("held %v: %+v", held, w)
		}
		if wait := r.s.Offer(k, r.p, item("b")); wait == nil || wait.Until.Before(w.Until) || wait.Why.Code != "pause" {
			t.Errorf("offered: %+v", wait)
		}
		if f := r.s.InForce(); len(f) != 1 || f[0].Kind != shaping.Pause || f[0].Rule != "free/spams-from-ip" || f[0].Evidence != "550 spams detected from your IP" || f[0].By != "rule" || !f[0].Probe {
			t.Errorf("in force: %+v", f)
		}
		if why := r.s.Explain(k, "a"); len(why) == 0 || why[0].Code != "pause" {
			t.Errorf("explained: %v", why)
		}
		before := tried()
		pause(35 * time.Minute) // 2 h 05: the probe has failed
		if tried() != before+1 {
			t.Errorf("%d probes", tried()-before)
		}
		if w, held := r.s.Held(k); !held || w.Until.Sub(began).Round(time.Minute) != 4*time.Hour {
			t.Errorf("after a probe that failed: held %v until %s", held, w.Until.Sub(began))
		}
		r.mu.Lock()
		blocked = false
		r.mu.Unlock()
		pause(2 * time.Hour)
		if _, held := r.s.Held(k); held || len(r.s.InForce()) != 0 {
			t.Errorf("the probe was taken and the lane still stands: %+v", r.s.InForce())
		}
		if n := r.count() - tried(); n != 200 {
			t.Errorf("%d of 200 taken", n)
		}
		h, err := r.s.History(t.Context(), 0)
		if err != nil || len(h) != 1 || h[0].EndedBy != "probe" || h[0].Ended.IsZero() {
			t.Errorf("history: %+v %v", h, err)
		}
		pause(time.Hour)
	})
}

func TestBulkOnlyLetsTransactionalMailGoOn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 2}), shaping.Options{})
		k := key("orange")
		m := provider.Meaning{Category: provider.PolicyViolation, Party: provider.SenderIP, Rule: "x/bulk", Do: provider.Do{Pause: time.Hour, BulkOnly: true}}
		r.s.Observe(k, answer(item("a"), 421, "421 too much bulk", m))
		urgent, bulk := item("a"), item("a")
		urgent.Class, bulk.Class = shaping.Transactional, shaping.Bulk
		if w := r.offer(k, urgent); w != nil {
			t.Errorf("transactional: %+v", w)
		}
		if w := r.offer(k, bulk); w == nil || w.Why.Code != "pause" {
			t.Errorf("bulk: %+v", w)
		}
		pause(59 * time.Minute)
		if r.count() != 1 {
			t.Errorf("%d sent", r.count())
		}
		pause(5 * time.Minute)
		if r.count() != 2 {
			t.Errorf("%d sent after the pause", r.count())
		}
		pause(time.Hour)
	})
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{}), shaping.Options{})
		k := key("orange")
		m := provider.Meaning{Category: provider.SpamDetected, Party: provider.Message, Rule: "x/spam", Do: provider.Do{Pause: time.Hour, After: 3, Within: time.Minute, Alarm: true}}
		for i, after := range []time.Duration{0, time.Second, 2 * time.Minute, time.Second} {
			pause(after)
			r.s.Observe(k, answer(item("a"), 550, "550 spam", m))
			if n := len(r.s.InForce()); n != 0 {
				t.Errorf("after answer %d: %d in force", i+1, n)
			}
		}
		pause(time.Second)
		r.s.Observe(k, answer(item("a"), 550, "550 spam", m))
		if n := len(r.s.InForce()); n != 1 || len(r.alarms) != 1 || r.alarms[0].Rule != "x/spam" {
			t.Errorf("the third within a minute: %d in force, alarms %+v", n, r.alarms)
		}
		r.s.Observe(k, answer(item("a"), 450, "450 own trouble", provider.Meaning{}))
		if n := len(r.s.InForce()); n != 1 {
			t.Errorf("an answer that asks for nothing did something")
		}
		pause(2 * time.Hour)
	})
}

func TestSlowAndConnections(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 4, PerMinute: 120}), shaping.Options{})
		k := key("orange")
		m := provider.Meaning{Category: provider.SystemError, Party: provider.OfProvider, Rule: "x/slow", Do: provider.Do{Slow: 0.5, Connections: 1, For: 30 * time.Minute}}
		r.s.Observe(k, answer(item("a"), 451, "451 slow down", m))
		f := r.s.InForce()
		if len(f) == 0 {
			t.Fatal("nothing in force")
		}
		for range 2000 {
			r.offer(k, item("a"))
		}
		pause(20 * time.Minute)
		i, _ := r.s.Lane(k)
		if i.Limit != 1 || i.Rate > 60 || r.count() > 1250 {
			t.Errorf("limit %d, rate %.0f, %d sent in 20 minutes; in force %+v", i.Limit, i.Rate, r.count(), f)
		}
		pause(11 * time.Minute)
		i, _ = r.s.Lane(k)
		if i.Limit != 4 {
			t.Errorf("afterwards: limit %d", i.Limit)
		}
		r.drain()
		pause(3 * time.Hour)
	})
}

// TestThePaceIsFound: a receiver that takes 100 a minute and says nothing about it beforehand.
func TestThePaceIsFound(t *testing.T) {
	t.Parallel()
	for _, ceiling := range []int{0, 600} {
		t.Run(fmt.Sprint("ceiling ", ceiling), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := newRig(t, orange(provider.Limits{Connections: 5, PerMinute: ceiling}), shaping.Options{})
				k := key("orange")
				var latest []time.Time
				refused, taken := 0, 0
				limit := 100
				r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
					r.mu.Lock()
					defer r.mu.Unlock()
					now := time.Now()
					for len(latest) > 0 && now.Sub(latest[0]) >= time.Minute {
						latest = latest[1:]
					}
					if len(latest) >= limit {
						refused++
						go r.offerAt(k, it, now.Add(5*time.Minute))
						return answer(it, 421, "421 too fast", provider.Meaning{Category: provider.Speeding, Party: provider.Volume, Fate: provider.Later, Rule: "x/fast"})
					}
					latest = append(latest, now)
					taken++
					return ok(it)
				}
				for range 40000 {
					r.offer(k, item("a"))
				}
				pause(time.Hour)
				r.mu.Lock()
				refused, taken = 0, 0
				r.mu.Unlock()
				pause(4 * time.Hour)
				r.mu.Lock()
				if taken < 4*60*limit/2 || refused > taken/20 {
					t.Errorf("%d taken of the possible %d, %d refused", taken, 4*60*limit, refused)
				}
				t.Logf("%d taken of the possible %d, %d refused", taken, 4*60*limit, refused)
				limit = 1 << 30
				r.mu.Unlock()
				pause(8 * time.Hour)
				if f := r.s.InForce(); len(f) != 0 {
					t.Errorf("nobody complains any more: %+v", f)
				}
				r.drain()
				pause(30 * time.Hour)
			})
		})
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 8}), shaping.Options{})
		k := key("orange")
		r.takes = time.Second
		busy := 0
		r.refused = func(_ shaping.Key, it shaping.Item) *shaping.Event {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.workers > 3 {
				e := answer(it, 421, "421 too many connections", provider.Meaning{Category: provider.TooManyConns, Party: provider.Volume, Rule: "x/conns"})
				e.Connect = true
				busy++
				return &e
			}
			return nil
		}
		for range 3000 {
			r.offer(k, item("a"))
		}
		pause(30 * time.Second)
		i, _ := r.s.Lane(k)
		if i.Limit > 4 {
			t.Errorf("limit %d after %d refusals", i.Limit, busy)
		}
		for _, f := range r.s.InForce() {
			if f.Kind == shaping.Unreachable && i.Limit > 1 {
				t.Errorf("too many connections were taken for nobody there: %+v", f)
			}
		}
		r.drain()
		pause(5 * time.Hour)
	})
}

func TestUnreachableBacksOff(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 5}), shaping.Options{})
		k := key("mx:mx1.example.net,mx2.example.net")
		began := time.Now()
		var tries []time.Duration
		down := true
		r.refused = func(_ shaping.Key, it shaping.Item) *shaping.Event {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !down {
				return nil
			}
			tries = append(tries, time.Since(began).Round(time.Minute))
			return &shaping.Event{Customer: it.Customer, Connect: true, Text: "connect to mx1.example.net: timeout"}
		}
		for range 50 {
			r.offer(k, item("a"))
		}
		pause(2 * time.Hour)
		if n := len(tries); n < 8 || n > 16 {
			t.Errorf("%d tries in two hours: %v", n, tries)
		}
		gap := tries[len(tries)-1] - tries[len(tries)-2]
		if gap < 15*time.Minute || gap > 18*time.Minute {
			t.Errorf("the latest pause is %s: %v", gap, tries)
		}
		if w, held := r.s.Held(k); !held || w.Why.Code != "unreachable" || w.Why.Args[0] != "mx1.example.net" {
			t.Errorf("held %v %+v", held, w)
		}
		r.mu.Lock()
		down = false
		r.mu.Unlock()
		pause(30 * time.Minute)
		if n := r.count(); n < 50 || len(r.s.InForce()) != 0 {
			t.Errorf("%d of 50 sent, in force %+v", n, r.s.InForce())
		}
		pause(3 * time.Hour)
	})
}

func TestOperatorPausesAndLifts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{}), shaping.Options{})
		k := key("orange")
		if _, err := r.s.PauseLane(t.Context(), k, time.Now(), "x", "operator:eve"); err == nil {
			t.Error("a pause that is over")
		}
		p, err := r.s.PauseLane(t.Context(), k, time.Now().Add(time.Hour), "maintenance", "operator:eve")
		if err != nil || p.Kind != shaping.Operator || p.By != "operator:eve" || p.ID == "" {
			t.Fatalf("%+v %v", p, err)
		}
		w := r.s.Offer(k, r.p, item("a"))
		if w == nil || w.Why.Code != "operator" || w.Why.Args[1] != "maintenance" || w.Until.Before(p.Ends) {
			t.Errorf("offered: %+v", w)
		}
		if err := r.s.Lift(t.Context(), "nobody", "operator:eve"); !errors.Is(err, shaping.ErrNotFound) {
			t.Errorf("lift of nothing: %v", err)
		}
		if err := r.s.Lift(t.Context(), p.ID, "operator:bob"); err != nil {
			t.Fatal(err)
		}
		if len(r.lifted) != 1 || r.lifted[0] != k {
			t.Errorf("lifted: %v", r.lifted)
		}
		if w := r.offer(k, item("a")); w != nil {
			t.Errorf("after lifting: %+v", w)
		}
		if h, err := r.s.History(t.Context(), 10); err != nil || len(h) != 1 || h[0].EndedBy != "operator:bob" || h[0].By != "operator:eve" {
			t.Errorf("history %+v %v", h, err)
		}
		pause(time.Hour)
	})
}

func governed() *provider.Provider {
	return &provider.Provider{Name: "free", Title: "Free", Governor: provider.Governor{Unknown: 0.1, Of: time.Hour, Least: 20, Pause: time.Hour}}
}

func unknownUser(it shaping.Item) shaping.Event {
	return answer(it, 550, "550 5.1.1 no such user", provider.Meaning{Category: provider.UserUnknown, Party: provider.OfRecipient, Permanent: true})
}

// TestTheGovernorStopsTheOneWhoCausesIt, and nobody else.
func TestTheGovernorStopsTheOneWhoCausesIt(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, governed(), shaping.Options{})
		k := key("free")
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			if it.Customer == "dirty" {
				return unknownUser(it)
			}
			return ok(it)
		}
		for range 300 {
			r.offer(k, item("clean"))
		}
		pause(20 * time.Second)
		for range 100 {
			r.offer(k, item("dirty"))
			pause(100 * time.Millisecond)
		}
		pause(time.Minute)
		if n := len(r.of("dirty")); n > 15 {
			t.Errorf("%d of the dirty list were sent", n)
		}
		f := r.s.InForce()
		if len(f) != 1 || f[0].Kind != shaping.Governor || f[0].Customer != "dirty" || f[0].Why.Code != "governor_customer" {
			t.Fatalf("in force: %+v", f)
		}
		if w := r.offer(k, item("clean")); w != nil {
			t.Errorf("another customer waits: %+v", w)
		}
		if w := r.offer(k, item("dirty")); w == nil || w.Why.Code != "governor_customer" {
			t.Errorf("he does not: %+v", w)
		}
		if why := r.s.Explain(k, "clean"); len(why) > 0 && why[0].Code == "governor_customer" {
			t.Errorf("told to another: %v", why)
		}
		r.drain()
		pause(3 * time.Hour)
	})
}

// TestTheGovernorStopsEverybodyBeforeTheLimit: of no twenty answers and more in an hour were ten in a hundred unknown.
func TestTheGovernorStopsEverybodyBeforeTheLimit(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, governed(), shaping.Options{})
		k := key("free")
		n := 0
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			r.mu.Lock()
			defer r.mu.Unlock()
			if n++; n > 100 && n%8 == 0 {
				return unknownUser(it)
			}
			return ok(it)
		}
		for i := range 3000 {
			r.offer(k, item(fmt.Sprint("c", i%40)))
			pause(20 * time.Millisecond)
		}
		f := r.s.InForce()
		all := 0
		for _, v := range f {
			if v.Customer == "" && v.Kind == shaping.Governor && v.Why.Args[2] != "" {
				all++
			}
		}
		if all != 1 {
			t.Fatalf("in force: %+v", f)
		}
		if _, held := r.s.Held(k); !held {
			t.Error("the lane is not held")
		}
		r.drain()
		pause(3 * time.Hour)
	})
}

func TestSomebodyUnlockedAfterTheGovernorsPause(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, governed(), shaping.Options{})
		k := key("free")
		r.offer(k, item("other"))
		pause(time.Second)
		for range 10 {
			r.s.Observe(k, unknownUser(item("dirty")))
		}
		if w := r.offer(k, item("dirty")); w == nil {
			t.Fatal("not paused")
		}
		pause(62 * time.Minute)
		if r.count() != 2 {
			t.Errorf("%d sent after the pause", r.count())
		}
		pause(3 * time.Hour)
	})
}
