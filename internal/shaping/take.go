package shaping

import (
	"context"
	"time"

	"postern/internal/provider"
)

// What the caller does with a lane: it offers items, takes them, tells when they are done.

// Offer gives an item to a lane. nil: it is taken. p is the lane's provider. Otherwise the item comes back at Wait.Until.
func (s *Shaper) Offer(k Key, p *provider.Provider, it Item) *Wait {
	l := s.lane(k, true)
	defer l.unlock()
	now := s.now()
	if s.drained.Load() {
		return &Wait{Until: time.Unix(0, now), Why: l.why("full")}
	}
	if l.p != p {
		l.setProvider(p)
	}
	if l.stand.next != 0 && now >= l.stand.next {
		l.review(now)
	}
	it.Class = min(max(it.Class, Transactional), Bulk)
	c := l.share(it.Customer)
	if c == nil {
		c = l.makeShare(it.Customer, s.weight(it.Customer))
		if l.customerPause(it.Customer) != nil {
			c.paused = true
		}
	}
	if r := l.stopped(now, &it); r != nil {
		w := r.away(now)
		return &w
	}
	st := c.stream(it.Class, it.Stream)
	if w := l.admit(now, st, &it); w != nil {
		return w
	}
	s.held.Add(1)
	c.held++
	l.probes(now, &it)
	l.push(st, it)
	l.pump(now)
	return nil
}

func (s *Shaper) weight(customer string) int {
	if s.o.Weight == nil {
		return 1
	}
	return s.o.Weight(customer)
}

// Room is how many more messages memory has room for: a caller claims no more than that. It is none for a moment while a lane fills memory of which one
// cannot yet tell whether it is fast.
func (s *Shaper) Room() int {
	held := int(s.held.Load())
	if held > s.o.Window/4 && s.now() < s.patience.Load() {
		return 0
	}
	return max(s.o.Window-held, 0)
}

// Take is called by a worker of the lane and waits for the next item that may leave now, one of the same route first where fairness allows. route is that of the
// open connection, "" without one. It waits idle at most. ok is false when the worker must end its connection and call Leave.
func (s *Shaper) Take(ctx context.Context, k Key, route string, idle time.Duration) (it Item, ok bool) {
	l := s.lane(k, false)
	if l == nil {
		return Item{}, false
	}
	if route == "" && l.coming > 0 {
		l.coming--
	}
	now := s.now()
	if l.stand.next != 0 && now >= l.stand.next {
		l.review(now)
	}
	if s.drained.Load() || l.workers > l.limit() || ctx.Err() != nil {
		l.unlock()
		return Item{}, false
	}
	wait := idle
	if l.ready() {
		at, _, due, alone := l.due(now)
		if due != nil {
			it := l.start(due, alone, route, now)
			l.pump(now)
			l.unlock()
			return it, true
		}
		if at != never && at-now > int64(idle) {
			l.pump(now)
			l.unlock()
			return Item{}, false
		}
		wait += 50 * time.Millisecond
	}
	if wait <= 0 {
		l.unlock()
		return Item{}, false
	}
	w := s.waiter(route, wait)
	l.waiters = append(l.waiters, w)
	l.pump(now)
	l.unlock()
	select {
	case it, ok = <-w.ch:
		if ok {
			s.release(w)
		}
		return it, ok
	case <-w.late.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.unlock()
	for i, o := range l.waiters {
		if o == w {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			s.release(w)
			return Item{}, false
		}
	}
	if it, ok = <-w.ch; ok { // handed over meanwhile
		s.release(w)
	}
	return it, ok
}

// Leave counts a worker out that Hire asked for.
func (s *Shaper) Leave(k Key) {
	l := s.lane(k, false)
	if l == nil {
		return
	}
	defer l.unlock()
	now := s.now()
	if l.hired == l.total && l.ready() {
		l.hireAfter = now + hurryAfter
	}
	l.workers = max(l.workers-1, 0)
	l.coming = min(l.coming, l.workers)
	l.pump(now)
	l.end(now)
}

// Done counts an item out of memory, after its outcomes were observed.
func (s *Shaper) Done(k Key, it Item) {
	s.held.Add(-1)
	l := s.lane(k, false)
	if l == nil {
		return
	}
	defer l.unlock()
	now := s.now()
	l.busy = max(l.busy-1, 0)
	l.unprobe(&it)
	for _, w := range l.windows {
		w.add(now, 1)
	}
	l.dirty = true
	if l.meter.done(now) {
		l.trim(now)
	}
	if c := l.share(it.Customer); c != nil {
		c.held = max(c.held-1, 0)
		l.callBack(now, c)
	}
	l.pump(now)
	l.end(now)
}

// Drain gives back all items that have not begun and lets no worker take another.
func (s *Shaper) Drain() []Item {
	s.drained.Store(true)
	var out []Item
	for _, l := range s.all() {
		l.mu.Lock()
		for _, c := range l.shares {
			for _, st := range c.streams {
				for st.head != nil {
					out = append(out, l.remove(st.head))
					c.held--
				}
			}
		}
		for _, w := range l.waiters {
			close(w.ch)
		}
		l.waiters = nil
		if l.timer != nil {
			l.timer.Stop()
		}
		l.unlock()
	}
	s.held.Add(-int64(len(out)))
	return out
}
