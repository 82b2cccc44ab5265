package shaping_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/shaping"
)

func orange(l provider.Limits) *provider.Provider {
	return &provider.Provider{Name: "orange", Title: "Orange", Group: "", Limits: l}
}

func TestOneMessageOneConnection(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 2}), shaping.Options{})
		k := key("orange")
		for range 20 {
			if w := r.offer(k, item("a")); w != nil {
				t.Fatalf("waits: %v", w)
			}
		}
		pause(1100 * time.Millisecond)
		if r.count() != 20 {
			t.Errorf("%d of 20 sent in a second by two connections of 100 ms", r.count())
		}
		if r.most != 2 {
			t.Errorf("%d connections at one time, want 2", r.most)
		}
		if i, ok := r.s.Lane(k); !ok || i.Sent != 20 || i.Today != 20 || i.Provider != "Orange" || i.Limit != 2 {
			t.Errorf("lane: %+v", i)
		}
		pause(2*time.Minute + 5*time.Second)
		if n := len(r.s.Lanes()); n != 0 || r.workers != 0 {
			t.Errorf("%d lanes and %d workers are left", n, r.workers)
		}
		if _, ok := r.s.Lane(k); ok {
			t.Error("an idle lane stays")
		}
		if r.s.Room() != 20000 {
			t.Errorf("room %d", r.s.Room())
		}
	})
}

func TestSingleMessageOpensSecondConnectionOnlyBehindASlowOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 5}), shaping.Options{})
		r.takes = 30 * time.Second
		r.offer(key("orange"), item("a"))
		pause(time.Second)
		r.offer(key("orange"), item("a"))
		pause(900 * time.Millisecond)
		if n := r.connections(); n != 1 {
			t.Errorf("%d connections before a second", n)
		}
		pause(200 * time.Millisecond)
		if n := r.connections(); n != 2 {
			t.Errorf("%d connections after a second", n)
		}
		pause(time.Hour)
	})
}

// TestSharesFollowWeights: customers with endless mail get connections by their weights, whatever the recipients of their messages.
func TestSharesFollowWeights(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		bubble(t, func(t *testing.T) {
			weights := map[string]int{}
			var names []string
			total := 0
			for i := range 2 + rnd.IntN(20) {
				name := fmt.Sprint("c", i)
				names = append(names, name)
				weights[name] = 1 + rnd.IntN(10)
				total += weights[name]
			}
			r := newRig(t, orange(provider.Limits{Connections: 1 + rnd.IntN(4)}), shaping.Options{Weight: func(c string) int { return weights[c] }, PerShare: 1 << 20, Window: 1 << 22})
			r.takes = 10 * time.Millisecond
			cost := map[string]float64{}
			r.begun = func(_ shaping.Key, it shaping.Item, _ int) error {
				r.mu.Lock()
				cost[it.Customer] += float64(it.Recipients)
				r.mu.Unlock()
				return nil
			}
			most := 0
			for _, n := range names {
				recipients := 1 + rnd.IntN(20)
				most = max(most, recipients)
				for range 24000 / recipients {
					it := item(n)
					it.Recipients = recipients
					r.offer(key("orange"), it)
				}
			}
			pause(3 * time.Second)
			r.mu.Lock()
			var sum float64
			for _, c := range cost {
				sum += c
			}
			for _, n := range names {
				want := sum * float64(weights[n]) / float64(total)
				if got := cost[n]; math.Abs(got-want) > float64(most*(weights[n]+2)) {
					t.Errorf("seed %d: %s of weight %d/%d had %.0f recipients of %.0f, want %.0f", seed, n, weights[n], total, got, sum, want)
				}
			}
			r.mu.Unlock()
			r.drain()
			pause(time.Hour)
		})
	}
}

// TestARunDelaysNobodyElse: a single message leaves as soon as a connection is free, however much another customer has waiting.
func TestARunDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 2}), shaping.Options{})
		for range 5000 {
			r.offer(key("orange"), item("flood"))
		}
		pause(3 * time.Second)
		for range 20 {
			began := time.Now()
			before := len(r.of("small"))
			r.offer(key("orange"), item("small"))
			pause(205 * time.Millisecond)
			if got := r.of("small"); len(got) != before+1 {
				t.Fatalf("not sent within one message on the wire and its own, %s", time.Since(began))
			}
			pause(time.Second)
		}
		r.drain()
		pause(10 * time.Hour)
	})
}

// TestClassesInTurn: transactional first, but nothing starves.
func TestClassesInTurn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 1}), shaping.Options{PerShare: 10000, Window: 40000})
		r.takes = 10 * time.Millisecond
		for range 2000 {
			for c := shaping.Transactional; c <= shaping.Bulk; c++ {
				it := item("a")
				it.Class = c
				r.offer(key("orange"), it)
			}
		}
		pause(12 * time.Second)
		var n [3]int
		for _, v := range r.of("a") {
			n[v.it.Class]++
		}
		if n[0] < 780 || n[0] > 820 || n[1] < 290 || n[1] > 310 || n[2] < 90 || n[2] > 110 {
			t.Errorf("8:3:1 of 1200 are %v", n)
		}
		r.drain()
		pause(10 * time.Hour)
	})
}

// TestStreamsTakeTurns: two senders of one customer share what he has.
func TestStreamsTakeTurns(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 1}), shaping.Options{})
		for range 300 {
			it := item("a")
			it.Stream = "shop"
			r.offer(key("orange"), it)
		}
		pause(time.Second)
		it := item("a")
		it.Stream = "office"
		r.offer(key("orange"), it)
		pause(400 * time.Millisecond)
		if !slices.ContainsFunc(r.of("a"), func(v sent) bool { return v.it.Stream == "office" }) {
			t.Error("the other sender's message waits behind the run")
		}
		r.drain()
		pause(10 * time.Hour)
	})
}

// TestRoutesAreKeptForARun: a connection is used again for its route, but not for ever.
func TestRoutesAreKeptForARun(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 1}), shaping.Options{})
		changes, run, longest, last := 0, 0, 0, ""
		r.begun = func(_ shaping.Key, it shaping.Item, _ int) error {
			if run++; it.Route != last {
				changes, run, last = changes+1, 1, it.Route
			}
			longest = max(longest, run)
			return nil
		}
		for i := range 400 {
			it := item(fmt.Sprint("c", i%4))
			it.Route = fmt.Sprint("mx", i%4/2)
			r.offer(key("orange"), it)
		}
		pause(41 * time.Second)
		if r.count() != 400 {
			t.Fatalf("%d sent", r.count())
		}
		if changes > 40 || longest > 201 {
			t.Errorf("%d changes of route, the longest run %d", changes, longest)
		}
		if changes < 4 {
			t.Errorf("only %d changes of route: one customer waited for another's", changes)
		}
	})
}

// TestNoWindowIsEverExceeded sends random loads and counts at the receiver, at a random moment of each sending.
func TestNoWindowIsEverExceeded(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		bubble(t, func(t *testing.T) {
			l := provider.Limits{Connections: 1 + rnd.IntN(20)}
			if rnd.IntN(2) == 0 {
				l.PerSecond = []float64{0.3, 1, 2.5, 20}[rnd.IntN(4)]
			}
			if rnd.IntN(2) == 0 {
				l.PerMinute = 1 + rnd.IntN(300)
			}
			if rnd.IntN(2) == 0 {
				l.PerHour = 1 + rnd.IntN(3000)
			}
			if rnd.IntN(3) == 0 {
				l.PerDay = 1 + rnd.IntN(9000)
			}
			r := newRig(t, orange(l), shaping.Options{})
			var at []time.Time
			sending := rand.New(rand.NewPCG(seed, 3))
			slow := time.Duration(1+rnd.IntN(3000)) * time.Millisecond
			r.takes = 0
			r.begun = func(shaping.Key, shaping.Item, int) error {
				r.mu.Lock()
				a, b := time.Duration(sending.Int64N(int64(slow))), time.Duration(sending.Int64N(int64(slow)))
				r.mu.Unlock()
				time.Sleep(a)
				r.mu.Lock()
				at = append(at, time.Now())
				r.mu.Unlock()
				time.Sleep(b)
				return nil
			}
			end := time.Now().Add(time.Duration(1+rnd.IntN(30)) * time.Hour)
			for time.Now().Before(end) {
				for range 1 + rnd.IntN(1500) {
					r.offer(key("orange"), item(fmt.Sprint(rnd.IntN(5))))
				}
				pause(time.Duration(rnd.Int64N(int64(2 * time.Hour))))
			}
			r.drain()
			pause(time.Minute)
			what := fmt.Sprintf("seed %d %+v", seed, l)
			slices.SortFunc(at, time.Time.Compare)
			if l.PerSecond >= 1 {
				within(t, what, at, time.Second, int(l.PerSecond))
			} else if l.PerSecond > 0 {
				within(t, what, at, time.Duration(float64(time.Second)/l.PerSecond), 1)
			}
			for _, v := range []struct {
				n int
				d time.Duration
			}{{l.PerMinute, time.Minute}, {l.PerHour, time.Hour}, {l.PerDay, 24 * time.Hour}} {
				if v.n > 0 {
					within(t, what, at, v.d, v.n)
				}
			}
			if r.most > l.Connections {
				t.Errorf("%s: %d connections", what, r.most)
			}
			if len(at) == 0 {
				t.Errorf("%s: nothing was sent", what)
			}
			pause(100 * time.Hour)
		})
	}
}

// TestLimitsAreUsed: what is allowed is sent, but for what careful counting costs.
func TestLimitsAreUsed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		l     provider.Limits
		of    time.Duration
		least int
	}{
		{provider.Limits{PerSecond: 5}, 10 * time.Minute, 2200},
		{provider.Limits{PerMinute: 60}, time.Hour, 3300},
		{provider.Limits{PerHour: 600}, 6 * time.Hour, 3400},
		{provider.Limits{PerDay: 1000}, 72 * time.Hour, 2950},
		{provider.Limits{PerMinute: 100, PerHour: 1000}, 10 * time.Hour, 9700},
	} {
		t.Run(fmt.Sprintf("%+v", tc.l), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := newRig(t, orange(tc.l), shaping.Options{})
				for range tc.least * 3 / 2 {
					r.offer(key("orange"), item("a"))
				}
				pause(tc.of)
				if n := r.count(); n < tc.least {
					t.Errorf("%d sent in %s, want at least %d", n, tc.of, tc.least)
				}
				r.drain()
				pause(1000 * time.Hour)
			})
		})
	}
}

// TestSomethingIsLeftForOthers: a run that could use up an hour leaves room for a single message all the time.
func TestSomethingIsLeftForOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{PerHour: 600}), shaping.Options{})
		for range 5000 {
			r.offer(key("orange"), item("flood"))
		}
		var worst time.Duration
		for range 100 {
			pause(3 * time.Minute)
			began, before := time.Now(), len(r.of("small"))
			r.offer(key("orange"), item("small"))
			for len(r.of("small")) == before {
				pause(100 * time.Millisecond)
			}
			worst = max(worst, time.Since(began))
		}
		if worst > 40*time.Second {
			t.Errorf("a single message waited %s", worst)
		}
		r.drain()
		pause(1000 * time.Hour)
	})
}

func TestDrainGivesBackWhatHasNotBegun(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 3}), shaping.Options{})
		for range 100 {
			r.offer(key("orange"), item("a"))
		}
		pause(150 * time.Millisecond)
		back := r.drain()
		pause(time.Second)
		if len(back)+r.count() != 100 || r.workers != 0 || r.s.Room() != 20000 {
			t.Errorf("%d given back, %d sent, %d workers, room %d", len(back), r.count(), r.workers, r.s.Room())
		}
		if w := r.s.Offer(key("orange"), r.p, item("a")); w == nil {
			t.Error("taken after the end")
		}
		if _, ok := r.s.Take(t.Context(), key("orange"), "", time.Second); ok {
			t.Error("an item after the end")
		}
	})
}

func TestTakeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 1}), shaping.Options{})
		r.offer(key("orange"), item("a"))
		pause(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			_, ok := r.s.Take(ctx, key("orange"), "mx", time.Hour)
			done <- ok
		}()
		synctest.Wait()
		cancel()
		if <-done {
			t.Error("an item out of nothing")
		}
		pause(time.Minute)
	})
}

// TestAFloodComesBackInOrder: of a run far too long for memory each message is told a time, few are told more often than the horizon asks for, and they
// leave about in the order they came.
func TestAFloodComesBackInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const n = 20_000
		r := newRig(t, orange(provider.Limits{PerMinute: 60}), shaping.Options{})
		began := time.Now()
		order := make(map[mail.QueueID]int, n)
		for i := range n {
			it := item("flood")
			order[it.ID] = i
			r.offer(key("orange"), it)
		}
		for _, w := range r.waits {
			if d := w.Until.Sub(began); d > 4*time.Hour+time.Minute || w.Why.Code != "rate" {
				t.Fatalf("told %s, %v", d, w.Why)
			}
		}
		pause(7 * time.Hour)
		if got := r.count(); got < n {
			t.Errorf("%d of %d sent at 60 a minute in 7 hours", got, n)
		}
		offers, most := 0, 0
		for _, c := range r.offered {
			offers += c
			most = max(most, c)
		}
		if mean := float64(offers) / n; mean > 4 || most > 6 {
			t.Errorf("offered %.1f times in the mean, at most %d times", mean, most)
		} else {
			t.Logf("offered %.2f times in the mean, at most %d times", mean, most)
		}
		far := 0
		for i, v := range r.sent {
			if d := i - order[v.it.ID]; d > 2000 || d < -2000 {
				far++
			}
		}
		if far > n/50 {
			t.Errorf("%d messages left more than 2000 places from their own", far)
		}
		pause(1000 * time.Hour)
	})
}

// TestAFastReceiverParksNothing: nothing leaves memory for a receiver that takes it at once.
func TestAFastReceiverParksNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 20}), shaping.Options{})
		r.takes = 2 * time.Millisecond
		for range 80 {
			for range min(1000, r.s.Room()) {
				if w := r.offer(key("orange"), item("a")); w != nil {
					t.Fatalf("parked: %v", w)
				}
			}
			pause(100 * time.Millisecond)
		}
		r.drain()
		pause(time.Hour)
	})
}

// TestASlowLaneLeavesRoom: lanes that hang must not fill memory.
func TestASlowLaneLeavesRoom(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		r := newRig(t, orange(provider.Limits{Connections: 2}), shaping.Options{Window: 2000, PerShare: 100})
		r.takes = time.Minute
		for lane := range 20 {
			for range 500 {
				if r.s.Room() > 0 {
					r.offer(key(fmt.Sprint("slow", lane)), item("a"))
				}
			}
			pause(10 * time.Second)
		}
		if room := r.s.Room(); room < 400 {
			t.Errorf("room for %d of 2000 is left", room)
		}
		r.mu.Lock()
		r.takes = time.Millisecond
		r.mu.Unlock()
		if w := r.offer(key("fast"), item("a")); w != nil {
			t.Errorf("a fast lane's message waits: %v", w)
		}
		r.drain()
		pause(1000 * time.Hour)
	})
}
