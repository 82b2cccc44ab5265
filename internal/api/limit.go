package api

import (
	"sync"
	"time"
)

// most names that a limit remembers in one window. Those beyond share one allowance, so that memory is bounded whatever comes.
const mostNames = 50_000

// limit counts requests by name in windows of fixed length.
type limit struct {
	most   int
	window time.Duration

	mu    sync.Mutex
	began time.Time
	used  map[string]int
}

// allowance is what a limit says of one request.
type allowance struct {
	left  int           // requests left in the window
	reset time.Duration // until the next window
	wait  time.Duration // 0: the request is within the limit
}

func newLimit(most int, window time.Duration) *limit {
	return &limit{most: most, window: window, used: map[string]int{}}
}

// take counts a request.
func (l *limit) take(name string, now time.Time) allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := now.Sub(l.began); since >= l.window || since < 0 {
		l.began = now.Truncate(l.window)
		clear(l.used)
	}
	if _, known := l.used[name]; !known && len(l.used) >= mostNames {
		name = ""
	}
	a := allowance{reset: l.began.Add(l.window).Sub(now)}
	if l.used[name] >= l.most {
		a.wait = a.reset
		return a
	}
	l.used[name]++
	a.left = l.most - l.used[name]
	return a
}
