package storetest

import (
	"sync"
	"time"
)

// Clock is a time that only a test moves. Any number of goroutines may read it.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock returns a clock that stands.
func NewClock(at time.Time) *Clock { return &Clock{at: at} }

// Now is what rooms take for the time: Options{Now: clock.Now}.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Add lets time pass.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
