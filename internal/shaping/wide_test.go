package shaping_test

import (
	"net/netip"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestPauseOfAnAddress: all lanes of an address stand still, those with mail, those at rest and those that come later; other addresses go on; lifted once, all go on.
func TestPauseOfAnAddress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{}), shaping.Options{})
		all := shaping.Key{Egress: key("x").Egress, Provider: shaping.AnyReceiver}
		if w := r.offer(key("orange"), item("before")); w != nil {
			t.Fatalf("before: %+v", w)
		}
		pause(time.Minute)
		p, err := r.s.PauseLane(t.Context(), all, time.Now().Add(time.Hour), "moving house", "operator:eve")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"orange", "free", "mx:new.example"} {
			w := r.s.Offer(key(name), r.p, item("during "+name))
			if w == nil || w.Why.Code != "operator_address" || w.Why.Args[0] != "192.0.2.10" || w.Why.Args[1] != "moving house" || w.Until.Before(p.Ends) {
				t.Errorf("%s: %+v", name, w)
			}
			if why := r.s.Explain(key(name), "shop"); len(why) == 0 || why[0].Code != "operator_address" {
				t.Errorf("%s is explained by %+v", name, why)
			}
		}
		other := shaping.Key{Egress: netip.MustParseAddr("192.0.2.11"), Provider: "orange"}
		if w := r.offer(other, item("other")); w != nil {
			t.Errorf("another address: %+v", w)
		}
		if in := r.s.InForce(); len(in) != 1 || in[0].Lane != all {
			t.Errorf("in force: %+v", in)
		}
		if err := r.s.Lift(t.Context(), p.ID, "operator:bob"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"orange", "mx:newer.example"} {
			if w := r.offer(key(name), item("after "+name)); w != nil {
				t.Errorf("%s after lifting: %+v", name, w)
			}
		}
		if len(r.s.InForce()) != 0 {
			t.Errorf("in force: %+v", r.s.InForce())
		}
		if _, err := r.s.PauseLane(t.Context(), all, time.Now().Add(10*time.Minute), "short", "operator:eve"); err != nil {
			t.Fatal(err)
		}
		pause(11 * time.Minute)
		if w := r.offer(key("orange"), item("later")); w != nil {
			t.Errorf("after its end: %+v", w)
		}
		pause(time.Hour)
	})
}

// TestPauseOfAnAddressIsKept: a restart does not end it.
func TestPauseOfAnAddressIsKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		all := shaping.Key{Egress: key("x").Egress, Provider: shaping.AnyReceiver}
		open := func() *shaping.Shaper {
			s, err := shaping.New(shaping.Options{DB: db, Hire: func(shaping.Key) {}})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		}
		p, err := open().PauseLane(t.Context(), all, time.Now().Add(time.Hour), "moving", "operator:eve")
		if err != nil {
			t.Fatal(err)
		}
		s := open()
		if w := s.Offer(key("orange"), nil, item("a")); w == nil || w.Why.Code != "operator_address" {
			t.Errorf("after a restart: %+v", w)
		}
		if err := s.Lift(t.Context(), p.ID, "operator:bob"); err != nil {
			t.Fatal(err)
		}
		if w := open().Offer(key("orange"), nil, item("b")); w != nil {
			t.Errorf("lifted, after a restart: %+v", w)
		}
	})
}
