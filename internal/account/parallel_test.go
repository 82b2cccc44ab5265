package account

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// TestParallelGuessesAreThrottled: a flood of guesses at one moment gets hardly more tries than a queue of them.
func TestParallelGuessesAreThrottled(t *testing.T) {
	t.Parallel()
	l := crowd(t, 3)
	const failures = 5 // until the gate shuts
	var denied, throttled atomic.Int64
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			switch _, _, err := l.Authenticate(context.Background(), "c1-user", "guess"); {
			case errors.Is(err, ErrDenied):
				denied.Add(1)
			case errors.Is(err, ErrThrottled):
				throttled.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if most := int64(failures + l.gate.Slots()); denied.Load() > most || denied.Load() < failures || throttled.Load() == 0 {
		t.Errorf("%d guesses were tried, want at most %d", denied.Load(), most)
	}
}
