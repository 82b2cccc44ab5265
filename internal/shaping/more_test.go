package shaping_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
)

func knowledge(t testing.TB) *provider.Knowledge {
	t.Helper()
	k, err := provider.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestAGroupIsWatched: what blocks us at one provider makes the others of its filter careful, at the same address only.
func TestAGroupIsWatched(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		know := knowledge(t)
		var group []*provider.Provider
		for _, p := range know.Providers() {
			if p.Group != "" && (len(group) == 0 || p.Group == group[0].Group) {
				group = append(group, p)
			}
		}
		if len(group) < 2 {
			t.Fatal("no two providers share a filter")
		}
		from, other := group[0], group[1]
		r := newRig(t, other, shaping.Options{Knowledge: func() *provider.Knowledge { return know }})
		m := provider.Meaning{Category: provider.Blocked, Party: provider.SenderIP, Rule: "x/block", Do: provider.Do{Pause: time.Hour, Watch: true}}
		k := key(other.Name)
		if w := r.s.Offer(key(from.Name), from, item("a")); w != nil {
			t.Fatal(w)
		}
		r.s.Observe(key(from.Name), answer(item("a"), 554, "554 blocked", m))
		var watched []shaping.Reaction
		for _, f := range r.s.InForce() {
			if f.Kind == shaping.Watch {
				watched = append(watched, f)
				if f.Lane.Egress != k.Egress || f.Lane.Provider == from.Name || f.Rule != "x/block" {
					t.Errorf("%+v", f)
				}
			}
		}
		if len(watched) != len(group)-1 {
			t.Fatalf("%d of %d others are watched", len(watched), len(group)-1)
		}
		before := 10
		if other.Limits.Connections > 0 {
			before = other.Limits.Connections
		}
		most := 0
		first := true
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			i, _ := r.s.Lane(k)
			r.mu.Lock()
			defer r.mu.Unlock()
			if first {
				first = false
				if i.Busy != 1 || i.Limit != 1 {
					t.Errorf("the first message does not go alone: %+v", i)
				}
			}
			most = max(most, i.Limit)
			return ok(it)
		}
		for range 50 {
			r.offer(k, item("b"))
		}
		pause(30 * time.Minute)
		n := r.count()
		r.mu.Lock()
		if n == 0 || most > before {
			t.Errorf("%d sent, %d connections of %d", n, most, before)
		}
		r.mu.Unlock()
		pause(3 * time.Hour)
		for _, f := range r.s.InForce() {
			if f.Kind == shaping.Watch && f.Lane == k {
				t.Errorf("still watched: %+v", f)
			}
		}
		r.drain()
		pause(48 * time.Hour)
	})
}

// TestTheFloorIsTold: an address that used to send enough and no longer does.
func TestTheFloorIsTold(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		know := knowledge(t)
		i := slices.IndexFunc(know.Providers(), func(p *provider.Provider) bool { return p.Floor > 0 })
		if i < 0 {
			t.Fatal("no provider has a floor")
		}
		p := know.Providers()[i]
		r := newRig(t, p, shaping.Options{Knowledge: func() *provider.Knowledge { return know }})
		k := key(p.Name)
		go func() { _ = r.s.Run(t.Context()) }()
		r.s.Offer(k, p, item("a"))
		for day := range 8 {
			n := p.Floor + 5
			if day >= 4 {
				n = 2
			}
			for range n {
				r.s.Observe(k, ok(item("a")))
			}
			if fell := len(r.s.Floors()) > 0; fell != (day >= 7) {
				t.Errorf("day %d: %+v", day, r.s.Floors())
			}
			pause(24 * time.Hour)
		}
		if len(r.alarms) != 1 || r.alarms[0].Kind != shaping.Floor || r.alarms[0].Why.Code != "floor" {
			t.Errorf("alarms: %+v", r.alarms)
		}
		for range p.Floor + 5 {
			r.s.Observe(k, ok(item("a")))
		}
		pause(24*time.Hour + time.Minute)
		if f := r.s.Floors(); len(f) != 0 {
			t.Errorf("enough again: %+v", f)
		}
		r.drain()
	})
}

// TestRestlessCallers lets everything happen at once; the race detector and the counts judge.
func TestRestlessCallers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 5, PerSecond: 200}), shaping.Options{PerShare: 50, Window: 1000})
		r.takes = 5 * time.Millisecond
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			switch rand.IntN(200) {
			case 0:
				return answer(it, 421, "421 fast", provider.Meaning{Category: provider.Speeding, Party: provider.Volume})
			case 1:
				return answer(it, 550, "550 no", provider.Meaning{Category: provider.Blocked, Party: provider.SenderIP, Rule: "b", Do: provider.Do{Pause: 30 * time.Second, Probe: true}})
			}
			return ok(it)
		}
		var wg sync.WaitGroup
		for who := range 8 {
			wg.Go(func() {
				for range 500 {
					r.offer(key(fmt.Sprint("lane", rand.IntN(6))), item(fmt.Sprint("c", who)))
					time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
				}
			})
		}
		wg.Go(func() {
			for range 100 {
				r.s.Lanes()
				for _, f := range r.s.InForce() {
					if rand.IntN(3) == 0 {
						_ = r.s.Lift(t.Context(), f.ID, "operator:eve")
					}
				}
				r.s.Explain(key("lane0"), "c1")
				r.s.Held(key("lane1"))
				time.Sleep(100 * time.Millisecond)
			}
		})
		wg.Wait()
		for range 200 {
			if r.count() >= 4000 {
				break
			}
			pause(time.Minute)
		}
		synctest.Wait()
		if n := r.count(); n != 4000 {
			t.Errorf("%d of 4000 sent; lanes %+v", n, r.s.Lanes())
		}
		pause(time.Hour)
		if room := r.s.Room(); room != 1000 {
			t.Errorf("room %d of 1000 when all is sent", room)
		}
		r.drain()
		pause(48 * time.Hour)
	})
}

func TestWhyAsText(t *testing.T) {
	t.Parallel()
	for _, w := range []shaping.Why{{}, {Code: "pause"}, {Code: "rate", Args: []string{"Free", "60"}}, {Code: "operator", Args: []string{"Orange", "they asked: % & + \n", ""}}} {
		if got := shaping.ParseWhy(w.String()); got.String() != w.String() || got.Code != w.Code || !slices.Equal(got.Args, w.Args) {
			t.Errorf("%+v became %+v by %q", w, got, w.String())
		}
		if strings.ContainsAny(w.String(), "\n\x00") {
			t.Errorf("%q", w.String())
		}
	}
	for _, code := range shaping.Codes() {
		if len(shaping.Names(code)) == 0 {
			t.Errorf("%s says nothing of its receiver", code)
		}
	}
	if v := (shaping.Why{Code: "rate", Args: []string{"Free"}}).Values(); v["Provider"] != "Free" || v["Limit"] != "" {
		t.Errorf("%v", v)
	}
}

func FuzzParseWhy(f *testing.F) {
	for _, s := range []string{"", "pause", "rate Free 60", "a%zz b", "%", " x", "a  b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := shaping.ParseWhy(s)
		if again := shaping.ParseWhy(w.String()); again.Code != w.Code || !slices.Equal(again.Args, w.Args) {
			t.Errorf("%q: %+v became %+v", s, w, again)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "orange", "orange 192.0.2.10", "mx:a,b 2001:db8::1", "x y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := shaping.ParseKey(s)
		if err != nil {
			return
		}
		if again, err := shaping.ParseKey(k.String()); err != nil || again != k {
			t.Errorf("%q: %+v became %+v, %v", s, k, again, err)
		}
	})
}
