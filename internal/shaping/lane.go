package shaping

import (
	"context"
	"sync"
	"time"

	"postern/internal/provider"
)

// Shaper is the room. Its methods may be called from many goroutines.
type Shaper struct {
	o Options

	mu      sync.Mutex
	lanes   map[Key]*lane
	held    int
	drained bool
}

type lane struct {
	p       *provider.Provider
	queue   []Item
	busy    int
	workers int
	coming  int // hired and not yet seen in Take
	waiters []chan Item
}

func (l *lane) limit() int {
	if l.p != nil && l.p.Limits.Connections > 0 {
		return l.p.Limits.Connections
	}
	return 10
}

// New checks the options. It opens nothing.
func New(o Options) (*Shaper, error) {
	if o.Window == 0 {
		o.Window = 20000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Shaper{o: o, lanes: map[Key]*lane{}}, nil
}

// Load reads what was in force when the process ended. Until then nothing may leave.
func (s *Shaper) Load(ctx context.Context) error { return nil }

// Run keeps counters and reactions on stable storage and ends what is over. It returns nil when ctx ends, after the last write.
func (s *Shaper) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Choose picks the address an item leaves from. site is the lane's provider name (Key.Provider); four and six say which families the destination
// has; the same seed (message) gets the same address again while that address may send.
func (s *Shaper) Choose(pool, site string, p *provider.Provider, four, six bool, seed uint64) (Egress, error) {
	for _, c := range s.o.Pools {
		if c.Name != pool {
			continue
		}
		var fit []Egress
		for _, e := range c.Egress {
			if v4 := e.IP.Unmap().Is4(); !e.IP.IsValid() || v4 && four || !v4 && six {
				fit = append(fit, e)
			}
		}
		if len(c.Egress) == 0 {
			return Egress{}, nil
		}
		if len(fit) == 0 {
			return Egress{}, ErrNoEgress
		}
		return fit[seed%uint64(len(fit))], nil
	}
	return Egress{}, nil
}

// Room is how many more messages memory has room for.
func (s *Shaper) Room() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.o.Window-s.held, 0)
}

// Offer gives an item to a lane. nil: it is taken. p is the lane's provider.
func (s *Shaper) Offer(k Key, p *provider.Provider, it Item) *Wait {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained || s.held >= s.o.Window {
		return &Wait{Until: s.o.Now().Add(10 * time.Second), Why: Why{Code: "full"}}
	}
	l := s.lanes[k]
	if l == nil {
		l = &lane{}
		s.lanes[k] = l
	}
	l.p = p
	s.held++
	if n := len(l.waiters); n > 0 {
		ch := l.waiters[n-1]
		l.waiters = l.waiters[:n-1]
		l.busy++
		ch <- it
		return nil
	}
	l.queue = append(l.queue, it)
	s.hire(k, l)
	return nil
}

func (s *Shaper) hire(k Key, l *lane) {
	if !s.drained && len(l.queue) > l.coming && l.workers < l.limit() && s.o.Hire != nil {
		l.workers++
		l.coming++
		go s.o.Hire(k)
	}
}

// Take is called by a worker of the lane and waits for the next item that may leave now, one of the same route first where fairness allows. It waits idle
// at most when the lane is empty. ok is false when the worker must end its connection and call Leave.
func (s *Shaper) Take(ctx context.Context, k Key, route string, idle time.Duration) (it Item, ok bool) {
	s.mu.Lock()
	l := s.lanes[k]
	if l == nil || s.drained {
		s.mu.Unlock()
		return Item{}, false
	}
	if route == "" && l.coming > 0 {
		l.coming--
	}
	if len(l.queue) > 0 {
		it = l.queue[0]
		l.queue = l.queue[1:]
		l.busy++
		s.mu.Unlock()
		return it, true
	}
	ch := make(chan Item, 1)
	l.waiters = append(l.waiters, ch)
	s.mu.Unlock()
	t := time.NewTimer(idle)
	defer t.Stop()
	select {
	case it = <-ch:
		return it, true
	case <-t.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range l.waiters {
		if c == ch {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			return Item{}, false
		}
	}
	return <-ch, true // handed over meanwhile
}

// Leave counts a worker out that Hire asked for.
func (s *Shaper) Leave(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[k]
	if l == nil {
		return
	}
	l.workers--
	l.coming = min(l.coming, l.workers)
	s.hire(k, l)
	if l.workers == 0 && len(l.queue) == 0 && l.busy == 0 {
		delete(s.lanes, k)
	}
}

// Done counts an item out of memory, after its outcomes were observed.
func (s *Shaper) Done(k Key, it Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	if l := s.lanes[k]; l != nil {
		l.busy--
	}
}

// Observe tells what happened.
func (s *Shaper) Observe(k Key, e Event) {}

// Drain gives back all items that have not begun and lets no worker take another.
func (s *Shaper) Drain() []Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = true
	var all []Item
	for _, l := range s.lanes {
		all = append(all, l.queue...)
		l.queue = nil
	}
	s.held -= len(all)
	return all
}

// Held tells until when a lane stands still and why; ok is false when it does not.
func (s *Shaper) Held(k Key) (w Wait, ok bool) { return Wait{}, false }

// InForce returns the reactions in force, the newest first.
func (s *Shaper) InForce() []Reaction { return nil }

// Lift ends a reaction now.
func (s *Shaper) Lift(ctx context.Context, id, by string) error { return nil }

// PauseLane lets nothing leave on a lane until it ends or is lifted.
func (s *Shaper) PauseLane(ctx context.Context, k Key, until time.Time, reason, by string) (Reaction, error) {
	return Reaction{}, nil
}

// LaneInfo is what people see of a lane.
type LaneInfo struct {
	Lane        string     `json:"lane"`
	Provider    string     `json:"provider"` // for people
	Egress      string     `json:"egress,omitempty"`
	Waiting     int        `json:"waiting"`     // messages in memory that wait for their turn
	Busy        int        `json:"busy"`        // messages being sent
	Connections int        `json:"connections"` // open or being opened
	Limit       int        `json:"limit"`       // connections allowed now
	Rate        float64    `json:"rate"`        // messages a minute allowed now; 0 no limit
	Sent        int        `json:"sent"`        // messages taken by the provider in the last minute
	Today       int        `json:"today"`
	Customers   int        `json:"customers"` // with mail waiting
	InForce     []Reaction `json:"in_force,omitempty"`
}

// Lanes returns the lanes that have work or something in force, the longest queue first.
func (s *Shaper) Lanes() []LaneInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]LaneInfo, 0, len(s.lanes))
	for k, l := range s.lanes {
		i := LaneInfo{Lane: k.String(), Waiting: len(l.queue), Busy: l.busy, Connections: l.workers, Limit: l.limit()}
		if l.p != nil {
			i.Provider = l.p.Title
		}
		out = append(out, i)
	}
	return out
}

// Explain says why a message of a customer waits in a lane; empty when only its turn is missing.
func (s *Shaper) Explain(k Key, customer string) []Why { return nil }
