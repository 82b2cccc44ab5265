package shaping_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func newClock() *storetest.Clock {
	return storetest.NewClock(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
}

// life is a shaper on a database; end stops it in order, and a life that is not ended has crashed.
func life(t *testing.T, db *store.DB, c *storetest.Clock, o shaping.Options) (s *shaping.Shaper, end func()) {
	t.Helper()
	o.DB, o.Now = db, c.Now
	s, err := shaping.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(cancel)
	return s, end
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestWhatIsInForceSurvivesACrash(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		c, k, p := newClock(), key("orange"), orange(provider.Limits{Connections: 8, PerMinute: 600})
		s, _ := life(t, db, c, shaping.Options{})
		if w := s.Offer(k, p, item("a")); w != nil {
			t.Fatalf("%+v", w)
		}
		s.Observe(k, answer(item("a"), 550, "550 spams \xff\x00 detected", spams))
		s.Observe(k, answer(item("a"), 421, "421 slow", provider.Meaning{Category: provider.Speeding, Party: provider.Volume, Rule: "x/fast"}))
		slow := provider.Meaning{Category: provider.SystemError, Party: provider.OfProvider, Rule: "x/slow", Do: provider.Do{Connections: 2, For: 5 * time.Hour}}
		s.Observe(k, answer(item("a"), 451, "451 slow", slow))
		gone, err := s.PauseLane(t.Context(), key("gone"), c.Now().Add(time.Hour), "short", "operator:eve")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.PauseLane(t.Context(), shaping.Key{Provider: "mx:mx1.example.net"}, c.Now().Add(30*24*time.Hour), "they asked", "operator:eve"); err != nil {
			t.Fatal(err)
		}
		before := s.InForce()
		if len(before) != 5 {
			t.Fatalf("in force: %v", kinds(before))
		}
		stored := func() int {
			n := 0
			if err := db.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT count(*) FROM shaping_reaction WHERE ended = 0`).Scan(&n)
			}); err != nil {
				t.Fatal(err)
			}
			return n
		}
		eventually(t, "not stored", func() bool { return stored() == 5 })

		s.Crash()
		c.Add(2 * time.Minute)
		s, _ = life(t, db, c, shaping.Options{})
		after := s.InForce()
		if len(after) != 5 {
			t.Fatalf("after a crash: %v", kinds(after))
		}
		for _, a := range after {
			found := false
			for _, b := range before {
				if a.ID == b.ID {
					found = true
					if a.Kind != b.Kind || a.Lane != b.Lane || a.Why.String() != b.Why.String() || a.Rule != b.Rule || !a.Started.Equal(b.Started.Truncate(time.Microsecond)) ||
						!a.Ends.Equal(b.Ends.Truncate(time.Microsecond)) || a.Rate != b.Rate || a.Connections != b.Connections || a.Probe != b.Probe || a.By != b.By {
						t.Errorf("\n%+v was\n%+v", a, b)
					}
				}
			}
			if !found {
				t.Errorf("out of nothing: %+v", a)
			}
		}
		if w, held := s.Held(k); !held || w.Why.Code != "pause" {
			t.Errorf("held %v %+v", held, w)
		}
		if w := s.Offer(k, p, item("a")); w == nil || w.Why.Code != "pause" {
			t.Errorf("offered: %+v", w)
		}
		if i, _ := s.Lane(k); i.Limit != 2 || i.Rate == 0 || i.Rate > 300 {
			t.Errorf("limit %d, rate %v", i.Limit, i.Rate)
		}
		s.Crash()
		c.Add(88 * time.Minute) // the process is dead; the short pause and the lower pace end meanwhile
		s, _ = life(t, db, c, shaping.Options{})
		if f := s.InForce(); len(f) != 3 {
			t.Errorf("after a while: %v", kinds(f))
		}
		if h, err := s.History(t.Context(), 10); err != nil || len(h) != 2 || h[0].ID != gone.ID && h[1].ID != gone.ID || h[0].EndedBy != "time" {
			t.Errorf("history: %+v %v", h, err)
		}

		s.Crash()
		c.Add(time.Hour) // the pause is over: a probe, the same after one more crash
		s, end := life(t, db, c, shaping.Options{})
		if i, _ := s.Lane(k); i.Limit != 1 {
			t.Errorf("a probe goes by %d connections", i.Limit)
		}
		s.Observe(k, answer(item("a"), 550, "550 spams detected", spams))
		if w, held := s.Held(k); !held || w.Until.Sub(c.Now()) != 2*time.Hour {
			t.Errorf("the renewed pause: %v %+v", held, w)
		}
		for _, r := range s.InForce() {
			if err := s.Lift(t.Context(), r.ID, "operator:bob"); err != nil {
				t.Error(err)
			}
		}
		end()
		s, _ = life(t, db, c, shaping.Options{})
		if f := s.InForce(); len(f) != 0 {
			t.Errorf("lifted and there again: %+v", f)
		}
		if h, err := s.History(t.Context(), 10); err != nil || len(h) != 5 {
			t.Errorf("history: %d %v", len(h), err)
		}
	})
}

// TestCountsSurvive: whatever was sent before a crash or an end in order counts after it, and a crash costs little.
func TestCountsSurvive(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
				const limit = 100
				c, k, p := newClock(), key("orange"), orange(provider.Limits{Connections: 4, PerHour: limit, PerDay: 1000})
				sent := 0
				for range 4 {
					s, end := life(t, db, c, shaping.Options{})
					for range 20 {
						s.Offer(k, p, item("a"))
					}
					for range 20 {
						it, ok := s.Take(t.Context(), k, "mx", 300*time.Millisecond)
						if !ok {
							break
						}
						sent++
						s.Done(k, it)
					}
					if crash {
						s.Crash()
					} else {
						end()
					}
					c.Add(time.Second)
				}
				s, _ := life(t, db, c, shaping.Options{})
				s.Offer(k, p, item("a"))
				i, _ := s.Lane(k)
				if i.UsedHour < sent || i.UsedDay < sent {
					t.Errorf("%d sent, %d and %d are counted", sent, i.UsedHour, i.UsedDay)
				}
				if sent < 40 {
					t.Errorf("only %d were sent", sent)
				}
				if !crash && i.UsedHour != sent {
					t.Errorf("%d sent in order, %d counted", sent, i.UsedHour)
				}
				if crash && i.UsedHour > sent+5*limit/20 {
					t.Errorf("%d sent, %d counted after crashes", sent, i.UsedHour)
				}
			})
		})
	}
}

func TestWarmUpsSurvive(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		o := func() shaping.Options {
			return shaping.Options{Pools: []shaping.Pool{{Name: "default", Egress: []shaping.Egress{{IP: key("").Egress, Warm: c.Now().Truncate(24 * time.Hour)}}}}}
		}
		p := orange(provider.Limits{})
		options := o()
		s, end := life(t, db, c, options)
		k := key("orange")
		s.Offer(k, p, item("a"))
		s.Choose("default", "orange", p, true, false, 1)
		for i := range 30 {
			m := provider.Meaning{}
			code := 250
			if i%2 == 0 {
				code, m = 550, provider.Meaning{Category: provider.Blocked, Party: provider.SenderIP}
			}
			s.Observe(k, answer(item("a"), code, "", m))
		}
		end()
		c.Add(24 * time.Hour)
		s, end = life(t, db, c, options)
		w := s.WarmUps()
		if len(w) != 1 || w[0].Step != 0 || w[0].Steps != len(shaping.DefaultPlan()) || w[0].Allowed != 50 {
			t.Errorf("after a bad day: %+v", w)
		}
		end()
		c.Add(48 * time.Hour)
		s, _ = life(t, db, c, options)
		if w := s.WarmUps(); len(w) != 1 || w[0].Step != 2 || w[0].Allowed != 200 {
			t.Errorf("after two days more: %+v", w)
		}
	})
}
