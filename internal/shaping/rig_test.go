package shaping_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/shaping"
)

// rig is a caller of the shaper as delivery is one: workers that send, a spool that brings back what was parked, a receiver that counts.
type rig struct {
	t       testing.TB
	s       *shaping.Shaper
	p       *provider.Provider
	takes   time.Duration                                          // one sending
	answers func(k shaping.Key, it shaping.Item) shaping.Event     // nil: accepted
	refused func(k shaping.Key, it shaping.Item) *shaping.Event    // a connection that fails; nil: none does
	begun   func(k shaping.Key, it shaping.Item, worker int) error // when the sending begins

	parked func(it shaping.Item, w shaping.Wait)

	mu      sync.Mutex
	sent    []sent
	offered map[mail.QueueID]int
	waits   map[mail.QueueID]shaping.Wait
	workers int
	most    int // connections at one time
	hired   int
	lifted  []shaping.Key
	alarms  []shaping.Reaction
	ctx     context.Context
	ended   atomic.Bool
}

type sent struct {
	at time.Time
	k  shaping.Key
	it shaping.Item
}

func newRig(t testing.TB, p *provider.Provider, o shaping.Options) *rig {
	r := &rig{t: t, p: p, takes: 100 * time.Millisecond, offered: make(map[mail.QueueID]int), waits: make(map[mail.QueueID]shaping.Wait), ctx: t.Context()}
	o.Hire = func(k shaping.Key) { go r.work(k) }
	o.Lifted = func(k shaping.Key) {
		r.mu.Lock()
		r.lifted = append(r.lifted, k)
		r.mu.Unlock()
	}
	o.Park = func(k shaping.Key, it shaping.Item, w shaping.Wait) { r.park(k, it, w) }
	o.Alarm = func(a shaping.Reaction) {
		r.mu.Lock()
		r.alarms = append(r.alarms, a)
		r.mu.Unlock()
	}
	s, err := shaping.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.s = s
	return r
}

func (r *rig) work(k shaping.Key) {
	r.mu.Lock()
	r.workers++
	r.hired++
	r.most = max(r.most, r.workers)
	me := r.hired
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.workers--
		r.mu.Unlock()
		r.s.Leave(k)
	}()
	route := ""
	for {
		it, ok := r.s.Take(r.ctx, k, route, 2*time.Second)
		if !ok {
			return
		}
		if r.refused != nil {
			if e := r.refused(k, it); e != nil {
				r.s.Observe(k, *e)
				r.s.Done(k, it)
				r.offerAt(k, it, time.Now().Add(5*time.Minute))
				route = ""
				continue
			}
		}
		route = it.Route
		if r.begun != nil {
			if err := r.begun(k, it, me); err != nil {
				r.t.Error(err)
			}
		}
		r.mu.Lock()
		takes := r.takes
		r.mu.Unlock()
		time.Sleep(takes)
		e := shaping.Event{Customer: it.Customer, Stream: it.Stream, Class: it.Class, ID: it.ID, Accepted: true, Code: 250}
		if r.answers != nil {
			e = r.answers(k, it)
		}
		r.mu.Lock()
		r.sent = append(r.sent, sent{time.Now(), k, it})
		r.mu.Unlock()
		r.s.Observe(k, e)
		r.s.Done(k, it)
	}
}

// drain ends the shaper; what comes back later stays in the spool.
func (r *rig) drain() []shaping.Item {
	r.ended.Store(true)
	return r.s.Drain()
}

func (r *rig) park(k shaping.Key, it shaping.Item, w shaping.Wait) {
	if r.ended.Load() {
		return
	}
	if !w.Until.After(time.Now()) {
		r.t.Errorf("told to come back in the past: %v", w)
	}
	r.mu.Lock()
	r.waits[it.ID] = w
	if r.parked != nil {
		r.parked(it, w)
	}
	r.mu.Unlock()
	r.offerAt(k, it, w.Until)
}

func (r *rig) offerAt(k shaping.Key, it shaping.Item, at time.Time) {
	time.AfterFunc(time.Until(at), func() { r.offer(k, it) })
}

// offer gives an item and returns its wait; what has to wait comes back by itself.
func (r *rig) offer(k shaping.Key, it shaping.Item) *shaping.Wait {
	if r.ended.Load() {
		return nil
	}
	r.mu.Lock()
	r.offered[it.ID]++
	r.mu.Unlock()
	w := r.s.Offer(k, r.p, it)
	if w != nil {
		r.park(k, it, *w)
	}
	return w
}

func (r *rig) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sent)
}

// connections is how many were asked for.
func (r *rig) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hired
}

// of returns what was sent of a customer.
func (r *rig) of(customer string) (out []sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.sent {
		if v.it.Customer == customer {
			out = append(out, v)
		}
	}
	return out
}

var serial struct {
	sync.Mutex
	n int
}

func item(customer string) shaping.Item {
	serial.Lock()
	serial.n++
	n := serial.n
	serial.Unlock()
	return shaping.Item{ID: mail.QueueID(fmt.Sprintf("q%025d", n)), Customer: customer, Class: shaping.Normal, Recipients: 1, Size: 2000, Received: time.Now().Add(time.Duration(n)), Route: "mx"}
}

func key(name string) shaping.Key {
	return shaping.Key{Egress: netip.MustParseAddr("192.0.2.10"), Provider: name}
}

// bubble runs a test in virtual time and ends what is left of it.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// pause lets time pass and everything of it happen. Only the test itself calls it.
func pause(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// within fails when a span of that length holds more than limit of the times, wherever it begins. Times are in order.
func within(t testing.TB, what string, at []time.Time, span time.Duration, limit int) {
	t.Helper()
	for i := limit; i < len(at); i++ {
		if d := at[i].Sub(at[i-limit]); d < span {
			t.Errorf("%s: %d messages within %s, at most %d in %s are allowed", what, limit+1, d, limit, span)
			return
		}
	}
}
