package shaping_test

import (
	"fmt"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
)

// TestOthersFindSomethingLeft: while one customer's run uses a limit for hours, the single messages of others leave at once, and the limit holds.
func TestOthersFindSomethingLeft(t *testing.T) {
	t.Parallel()
	for _, l := range []provider.Limits{{PerMinute: 60}, {PerHour: 600}, {PerDay: 2000}, {PerMinute: 100, PerHour: 1000, PerDay: 5000}} {
		t.Run(fmt.Sprintf("%+v", l), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				r := newRig(t, orange(l), shaping.Options{})
				for range 12_000 {
					r.offer(key("orange"), item("flood"))
				}
				asked := map[string]time.Time{}
				pause(time.Hour)
				for i := range 40 { // each with little: twenty minutes apart, forty customers
					name := fmt.Sprintf("small%d", i)
					asked[name] = time.Now()
					r.offer(key("orange"), item(name))
					pause(20 * time.Minute)
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				var at []time.Time
				found := 0
				for _, s := range r.sent {
					at = append(at, s.at)
					if begun, small := asked[s.it.Customer]; small {
						found++
						if waited := s.at.Sub(begun); waited > 2*time.Second {
							t.Errorf("%s waited %v beside the flood", s.it.Customer, waited)
						}
					}
				}
				if found != len(asked) {
					t.Errorf("%d of %d left", found, len(asked))
				}
				for _, v := range []struct {
					n int
					d time.Duration
				}{{l.PerMinute, time.Minute}, {l.PerHour, time.Hour}, {l.PerDay, 24 * time.Hour}} {
					if v.n > 0 {
						within(t, "beside a flood", at, v.d, v.n)
					}
				}
			})
		})
	}
}
