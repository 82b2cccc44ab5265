package account

import "sync"

// watchers are those who want to know that what the ledger has in memory may have changed.
type watchers struct {
	mu  sync.Mutex
	all map[chan struct{}]struct{}
}

// Watch returns a channel on which a signal follows whenever the ledger has read its database again: after each change made here or by another process, and every
// minute. Several signals may be merged into one; who hears one looks for himself what changed. stop ends it.
func (l *Ledger) Watch() (ch <-chan struct{}, stop func()) {
	w := &l.watchers
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan struct{}]struct{}{}
	}
	w.all[c] = struct{}{}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, c)
	}
}

// wake leaves a signal with everybody.
func (w *watchers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
