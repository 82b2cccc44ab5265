package webhook

import "context"

// Turn looks once, and waits until what is due then and what follows from it is done.
func Turn(ctx context.Context, w *Webhooks) error {
	_, err := w.turn(ctx)
	if err != nil {
		return err
	}
	for {
		w.work.Wait()
		w.mu.Lock()
		stale, more, now := w.stale, false, w.now()
		for _, l := range w.lanes {
			more = more || w.due(l, now)
		}
		w.mu.Unlock()
		if !stale && !more {
			return nil
		}
		w.dispatchAgain(ctx)
	}
}

// Leave ends in order, as Run does.
func Leave(ctx context.Context, w *Webhooks) { w.leave(ctx) }

// Held is how many facts are in memory.
func Held(w *Webhooks) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}
