package visitor

import (
	"sync"
	"time"
)

// mostNames that a Limiter remembers at a time. Those beyond share one allowance.
const mostNames = 50_000

// Limiter bounds how often each name may ask: Most requests at once, and in the long run as many in each Window, evenly (the generic cell rate
// algorithm, ITU-T I.371 annex A). Names are whatever is counted as one: networks, users, tokens. It lives in this process; a restart forgets. Its methods may
// be called concurrently.
type Limiter[K comparable] struct {
	most   int
	window time.Duration

	mu    sync.Mutex
	full  map[K]int64 // when a name has its whole allowance again, nanoseconds since 1970; names that have it are not held
	swept time.Time
}

// Allowance is what a Limiter says of one request.
type Allowance struct {
	Left  int           // requests that may follow at once
	Reset time.Duration // until the whole allowance is back
	Wait  time.Duration // 0: the request is within the limit; else how long to wait for the next one
}

// NewLimiter lets each name ask most times at once, and most times in a window in the long run. Both are above 0.
func NewLimiter[K comparable](most int, window time.Duration) *Limiter[K] {
	return &Limiter[K]{most: most, window: window, full: make(map[K]int64)}
}

// Most is how many requests a name has in a window.
func (l *Limiter[K]) Most() int { return l.most }

// Window is the time in which an allowance comes back.
func (l *Limiter[K]) Window() time.Duration { return l.window }

// Take counts a request of a name. Refused requests do not count.
func (l *Limiter[K]) Take(name K, now time.Time) Allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, every := now.UnixNano(), int64(l.window)/int64(l.most)
	if _, known := l.full[name]; !known && len(l.full) >= mostNames && !l.sweep(now) {
		var others K
		name = others
	}
	full := max(l.full[name], at) + every
	if wait := full - at - every*int64(l.most); wait > 0 {
		return Allowance{Reset: time.Duration(full - every - at), Wait: time.Duration(wait)}
	}
	l.full[name] = full
	return Allowance{Left: l.most - int((full-at+every-1)/every), Reset: time.Duration(full - at)}
}

// sweep forgets names that have their whole allowance, at most once in a second: a flood of names must not make each of them cost a walk. It reports whether
// there is room.
func (l *Limiter[K]) sweep(now time.Time) bool {
	if since := now.Sub(l.swept); since >= 0 && since < time.Second {
		return len(l.full) < mostNames
	}
	l.swept = now
	for name, full := range l.full {
		if full <= now.UnixNano() {
			delete(l.full, name)
		}
	}
	return len(l.full) < mostNames
}
