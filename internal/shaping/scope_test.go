package shaping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// from is an item in the name of a domain, sent with a login, on a route.
func from(customer, domain, stream, route string) shaping.Item {
	it := item(customer)
	it.Sender, it.Stream, it.Route = domain, stream, route
	return it
}

// about is an answer about an item, as delivery tells it.
func about(it shaping.Item, code int, text string, m provider.Meaning) shaping.Event {
	e := answer(it, code, text, m)
	e.Sender, e.Route = it.Sender, it.Route
	return e
}

var (
	lowDomain = provider.Meaning{Category: provider.BadReputation, Party: provider.SenderDomain, Fate: provider.Later, Rule: "google/low-reputation-domain", Do: provider.Do{Pause: time.Hour}}
	badText   = provider.Meaning{Category: provider.SpamDetected, Party: provider.Message, Fate: provider.Later, Rule: "x/content", Do: provider.Do{Pause: time.Hour, Probe: true}}
)

// TestAnAnswerAboutASenderStopsHisMailAlone: what is under way in memory goes back, what comes is sent away, everybody else's leaves at once.
func TestAnAnswerAboutASenderStopsHisMailAlone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		meaning provider.Meaning
		code    string
		scope   shaping.Scope
		target  string
		stops   func(shaping.Item) bool
	}{
		{"his domain", lowDomain, "pause_sender", shaping.OfSender, "bad.example", func(it shaping.Item) bool { return it.Customer == "a" && it.Sender == "bad.example" }},
		{"his stream", badText, "pause_stream", shaping.OfStream, "news", func(it shaping.Item) bool { return it.Customer == "a" && it.Stream == "news" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := newRig(t, orange(provider.Limits{Connections: 2, PerMinute: 600}), shaping.Options{})
				k := key("orange")
				first := true
				early, late, stopped := 0, 0, 0
				began := time.Now()
				r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
					r.mu.Lock()
					defer r.mu.Unlock()
					if first && tc.stops(it) {
						first = false
						return about(it, 550, "550 not from you", tc.meaning)
					}
					switch {
					case !tc.stops(it):
						early++
					case time.Since(began) > time.Hour:
						late++
					default:
						stopped++
					}
					return about(it, 250, "250 ok", provider.Meaning{})
				}
				for range 50 {
					r.offer(k, from("a", "bad.example", "news", "mx"))
					r.offer(k, from("a", "good.example", "shop", "mx"))
					r.offer(k, from("b", "bad.example", "news", "mx"))
				}
				pause(30 * time.Minute)
				if early != 100 {
					t.Errorf("%d of the 100 others' messages sent in half an hour", early)
				}
				if stopped > 1 { // one was on the other connection
					t.Errorf("%d of his were sent into the refusal", stopped)
				}
				if _, held := r.s.Held(k); held {
					t.Error("the whole lane stands")
				}
				f := r.s.InForce()
				if len(f) != 1 || f[0].Kind != shaping.Pause || f[0].Scope != tc.scope || f[0].Customer != "a" || f[0].Target != tc.target || f[0].Why.Code != tc.code || f[0].Why.Args[1] != tc.target {
					t.Fatalf("in force: %+v", f)
				}
				if l := r.s.Lanes(); len(l) != 1 || len(l[0].InForce) != 1 || l[0].Limit != 2 {
					t.Errorf("the lane: %+v", l)
				}
				it := from("a", "bad.example", "news", "mx")
				if w, yes := r.s.Stopped(k, it); !yes || w.Why.Code != tc.code {
					t.Errorf("stopped %v: %+v", yes, w)
				}
				if w := r.s.Offer(k, r.p, it); w == nil || w.Why.Code != tc.code || w.Until.Before(f[0].Ends) {
					t.Errorf("offered: %+v", w)
				}
				pause(35 * time.Minute)
				if late+stopped != 49 || len(r.s.InForce()) != 0 {
					t.Errorf("%d of 49 left after the pause; in force: %+v", late+stopped, r.s.InForce())
				}
				pause(time.Hour)
			})
		})
	}
}

// TestASendersProbe: after the pause one message goes first; refused again it renews the pause, and no second one was risked.
func TestASendersProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 5}), shaping.Options{})
		k, risked, refuse := key("orange"), 0, true
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			r.mu.Lock()
			defer r.mu.Unlock()
			if refuse {
				risked++
				return about(it, 550, "550 content", badText)
			}
			return about(it, 250, "250 ok", provider.Meaning{})
		}
		r.offer(k, from("a", "a.example", "news", "mx"))
		pause(time.Minute)
		for range 40 {
			r.offer(k, from("a", "a.example", "news", "mx"))
		}
		pause(70 * time.Minute)
		if risked != 2 {
			t.Errorf("%d messages met the refusal; the first and the probe are 2", risked)
		}
		if f := r.s.InForce(); len(f) != 1 || time.Until(f[0].Ends) < 40*time.Minute {
			t.Errorf("the probe failed and in force is %+v", f)
		}
		r.mu.Lock()
		refuse = false
		r.mu.Unlock()
		pause(time.Hour)
		if n := r.count() - risked; n != 39 || len(r.s.InForce()) != 0 {
			t.Errorf("%d of 39 sent after a probe that was taken; in force %+v", n, r.s.InForce())
		}
		h, err := r.s.History(t.Context(), 0)
		if err != nil || len(h) != 1 || h[0].EndedBy != "probe" || h[0].Scope != shaping.OfStream {
			t.Errorf("history %+v %v", h, err)
		}
		pause(time.Hour)
	})
}

// TestASendersPauseCanBeLifted: his mail comes forward at once.
func TestASendersPauseCanBeLifted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 5}), shaping.Options{})
		k := key("orange")
		r.s.Observe(k, about(from("a", "bad.example", "", "mx"), 550, "550 no", lowDomain))
		if w := r.s.Offer(k, r.p, from("a", "bad.example", "", "mx")); w == nil {
			t.Fatal("his mail is let in")
		}
		if err := r.s.Lift(t.Context(), r.s.InForce()[0].ID, "operator:eve"); err != nil {
			t.Fatal(err)
		}
		if w := r.s.Offer(k, r.p, from("a", "bad.example", "", "mx")); w != nil || len(r.lifted) != 1 {
			t.Errorf("after the lifting: %+v, called back %v", w, r.lifted)
		}
		pause(time.Minute)
	})
}

// TestScopesSurviveACrash: on both engines, what stops a sender or a route is in force again, stops the same mail, and can be lifted.
func TestScopesSurviveACrash(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		c, k, p := newClock(), key("orange"), orange(provider.Limits{Connections: 8})
		s, _ := life(t, db, c, shaping.Options{})
		if w := s.Offer(k, p, from("a", "good.example", "shop", "mx1")); w != nil {
			t.Fatalf("%+v", w)
		}
		dead := about(from("a", "good.example", "shop", "mx2.tenant.example smtp.ours.example "), 0, "no route to host", provider.Meaning{Category: provider.NetworkError})
		dead.Connect, dead.Accepted = true, false
		s.Observe(k, about(from("a", "bad.example", "news", "mx1"), 550, "550 domain", lowDomain))
		s.Observe(k, about(from("b", "b.example", "login-7", "mx1"), 550, "550 content", badText))
		s.Observe(k, about(from("", "ours.example", "", "mx1"), 550, "550 domain", lowDomain)) // our own notices
		s.Observe(k, dead)
		before := s.InForce()
		if len(before) != 4 {
			t.Fatalf("in force: %+v", before)
		}
		eventually(t, "not stored", func() bool {
			n := 0
			if err := db.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT count(*) FROM shaping_reaction WHERE ended = 0 AND scope <> ''`).Scan(&n)
			}); err != nil {
				t.Fatal(err)
			}
			return n == 4
		})
		s.Crash()
		c.Add(30 * time.Second)
		s, _ = life(t, db, c, shaping.Options{})
		after := s.InForce()
		if len(after) != 4 {
			t.Fatalf("after a crash: %+v", after)
		}
		for i, a := range after {
			b := before[i]
			if a.ID != b.ID || a.Scope != b.Scope || a.Customer != b.Customer || a.Target != b.Target || a.Probe != b.Probe || a.Why.String() != b.Why.String() ||
				!a.Ends.Equal(b.Ends.Truncate(time.Microsecond)) {
				t.Errorf("\n%+v was\n%+v", a, b)
			}
		}
		for _, tc := range []struct {
			it   shaping.Item
			code string
		}{
			{from("a", "bad.example", "other", "mx1"), "pause_sender"},
			{from("a", "good.example", "news", "mx1"), ""},
			{from("b", "bad.example", "login-7", "mx1"), "pause_stream"},
			{from("b", "bad.example", "login-8", "mx1"), ""},
			{from("", "ours.example", "", "mx1"), "pause_sender"},
			{from("", "", "", "mx1"), ""},
			{from("c", "c.example", "", dead.Route), "unreachable_route"},
		} {
			w := s.Offer(k, p, tc.it)
			if got := codeOf(w); got != tc.code {
				t.Errorf("%s %s %s %s: %q, expected %q", tc.it.Customer, tc.it.Sender, tc.it.Stream, tc.it.Route, got, tc.code)
			}
			if w != nil && tc.code == "unreachable_route" && w.Why.Args[1] != "mx2.tenant.example" {
				t.Errorf("the host: %v", w.Why.Args)
			}
		}
		for _, r := range after {
			if err := s.Lift(t.Context(), r.ID, "operator:bob"); err != nil {
				t.Error(err)
			}
		}
		if f := s.InForce(); len(f) != 0 {
			t.Errorf("lifted, and in force: %+v", f)
		}
		h, err := s.History(t.Context(), 0)
		if err != nil || len(h) != 4 || h[0].EndedBy != "operator:bob" || h[0].Scope == "" {
			t.Errorf("history: %+v %v", h, err)
		}
	})
}

func codeOf(w *shaping.Wait) string {
	if w == nil {
		return ""
	}
	return w.Why.Code
}

// TestADeadRouteStopsItselfAlone: three sites of one provider, one dead. The others keep their pace and their connections; the dead one's mail waits,
// a minute and then twice as long up to a quarter of an hour, with one message each time that tries.
func TestADeadRouteStopsItselfAlone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 6, PerMinute: 6000}), shaping.Options{})
		k, began := key("orange"), time.Now()
		alive := false
		var tries []time.Duration
		r.refused = func(_ shaping.Key, it shaping.Item) *shaping.Event {
			r.mu.Lock()
			up := alive
			r.mu.Unlock()
			if !strings.HasPrefix(it.Route, "dead") || up {
				return nil
			}
			time.Sleep(30 * time.Second) // nobody answers
			r.mu.Lock()
			tries = append(tries, time.Since(began))
			r.mu.Unlock()
			e := about(it, 0, "i/o timeout", provider.Meaning{Category: provider.NetworkError})
			e.Connect, e.Accepted = true, false
			return &e
		}
		r.answers = func(_ shaping.Key, it shaping.Item) shaping.Event {
			return about(it, 250, "250 ok", provider.Meaning{})
		}
		for i := range 600 {
			r.offer(k, from("a", "a.example", "s", []string{"dead", "mx1", "mx2"}[i%3]))
		}
		pause(2 * time.Minute)
		if n := r.count(); n != 400 {
			t.Errorf("%d of the 400 to the living were sent in two minutes", n)
		}
		if n := len(tries); n > 7 { // all connections, and a minute later one
			t.Errorf("%d connections to the dead one", n)
		}
		if _, held := r.s.Held(k); held {
			t.Error("the whole lane stands")
		}
		if l := r.s.Lanes(); len(l) != 1 || l[0].Limit != 6 || len(l[0].InForce) != 1 || l[0].InForce[0].Kind != shaping.Unreachable || l[0].InForce[0].Scope != shaping.OfRoute {
			t.Errorf("the lane: %+v", l)
		}
		for i := range 120 { // an hour of mail to the living, while the dead one's mail comes back again and again
			r.offer(k, from("b", "b.example", "s", fmt.Sprint("mx", 1+i%2)))
			pause(30 * time.Second)
		}
		if n := r.count(); n != 520 {
			t.Errorf("%d of 520 sent", n)
		}
		if n := len(tries); n > 6+9 {
			t.Errorf("%d connections to the dead one in an hour: %v", n, tries)
		}
		r.mu.Lock()
		alive = true
		r.mu.Unlock()
		pause(20 * time.Minute)
		if n := r.count(); n != 720 || len(r.s.InForce()) != 0 {
			t.Errorf("%d of 720 sent after it lives again; in force %+v", n, r.s.InForce())
		}
		pause(time.Hour)
	})
}

// TestAllRoutesDead: when nothing of a provider answers, the lane as a whole is not reachable.
func TestAllRoutesDead(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 6}), shaping.Options{})
		k := key("orange")
		down := func(route string) {
			e := about(from("a", "a.example", "", route), 0, "network is unreachable", provider.Meaning{Category: provider.NetworkError})
			e.Connect, e.Accepted = true, false
			r.s.Observe(k, e)
		}
		r.s.Offer(k, r.p, from("a", "a.example", "", "mx0"))
		r.s.Observe(k, about(from("b", "b.example", "", "mx0"), 550, "550 domain", lowDomain)) // the lane stays
		pause(5 * time.Minute)
		down("mx1")
		down("mx2")
		if _, held := r.s.Held(k); held {
			t.Error("two routes, and the whole lane stands")
		}
		down("mx3")
		if w, held := r.s.Held(k); !held || w.Why.Code != "unreachable" {
			t.Errorf("three routes, nothing answers: held %v %+v", held, w)
		}
		r.s.Observe(k, about(from("a", "a.example", "", "mx2"), 250, "250 ok", provider.Meaning{}))
		if w, held := r.s.Held(k); held {
			t.Errorf("somebody answers, and the lane stands: %+v", w)
		}
		if f := r.s.InForce(); len(f) != 3 {
			t.Errorf("in force: %+v", f)
		}
		pause(3 * time.Hour) // no mail: they are forgotten
		if f := r.s.InForce(); len(f) != 0 {
			t.Errorf("in force: %+v", f)
		}
	})
}
