package shaping_test

import (
	"fmt"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
)

// TestAFastLaneParksLittle: a long queue for a receiver that takes all at once, claimed as there is room, is hardly ever sent back into the spool.
func TestAFastLaneParksLittle(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		const all = 60_000
		parked := 0
		r := newRig(t, orange(provider.Limits{Connections: 10}), shaping.Options{})
		r.takes = 5 * time.Millisecond // two thousand a second
		r.parked = func(shaping.Item, shaping.Wait) { parked++ }
		for n := 0; n < all; {
			room := r.s.Room()
			if room <= 0 {
				pause(20 * time.Millisecond)
				continue
			}
			for range min(room, 1000, all-n) {
				n++
				r.offer(key("orange"), item(fmt.Sprintf("c%02d", n%50)))
			}
		}
		pause(3 * time.Minute)
		if n := r.count(); n != all {
			t.Errorf("%d of %d left", n, all)
		}
		if parked > all/20 {
			t.Errorf("%d of %d were parked", parked, all)
		}
		t.Logf("%d of %d were parked", parked, all)
		r.drain()
	})
}
