package checkup

import (
	"context"
	"sync"
	"time"
)

// mostDoors bounds what is remembered of exchangers.
const mostDoors = 500

// seenDoors are the exchangers that were connected to lately, for callers who must not knock again and again (Ask.Reuse).
type seenDoors struct {
	mu  sync.Mutex
	all map[exchanger]seenDoor
}

type seenDoor struct {
	door door
	at   time.Time
}

// get is what an exchanger showed within the last while.
func (s *seenDoors) get(x exchanger, now time.Time, within time.Duration) (door, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, ok := s.all[x]
	if age := now.Sub(seen.at); !ok || age < 0 || age >= within {
		return door{}, false
	}
	seen.door.seen = seen.at
	return seen.door, true
}

// put remembers what an exchanger showed. When there are too many, all are forgotten: they are looked at again when they are asked for.
func (s *seenDoors) put(x exchanger, d door, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= mostDoors {
		s.all = map[exchanger]seenDoor{}
	}
	s.all[x] = seenDoor{d, now}
}

// knockMX connects to port 25 of an exchanger, or says again what it showed a short while ago.
func (c *Checker) knockMX(ctx context.Context, x exchanger, reuse time.Duration) door {
	if d, ok := c.doors.get(x, c.o.Now(), reuse); ok {
		return d
	}
	d := c.knock(ctx, x.ip, portRelay, x.name)
	c.doors.put(x, d, c.o.Now())
	return d
}
