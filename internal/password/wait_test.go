package password_test

import (
	"net/netip"
	"testing"
	"time"

	"postern/internal/password"
)

// TestWait: what is told to who waits is when the gate opens, to the nanosecond.
func TestWait(t *testing.T) {
	t.Parallel()
	g, err := password.NewGate(0)
	if err != nil {
		t.Fatal(err)
	}
	now, ip := time.Unix(1_800_000_000, 0), netip.MustParseAddr("203.0.113.1")
	if wait := g.Wait("ada", ip, now); wait != 0 {
		t.Errorf("nobody failed: %v", wait)
	}
	for _, want := range []time.Duration{0, 0, 0, 0, time.Minute, 2 * time.Minute, 4 * time.Minute} {
		g.Failed("ada", ip, now)
		if wait := g.Wait("ada", ip, now); wait != want {
			t.Errorf("%v, want %v", wait, want)
		}
	}
	opens := now.Add(g.Wait("ada", ip, now))
	if g.Admits("ada", ip, opens.Add(-1)) || !g.Admits("ada", ip, opens) {
		t.Error("the gate opens at another moment")
	}
	if wait := g.Wait("ada", netip.MustParseAddr("203.0.113.2"), now.Add(time.Minute)); wait != 3*time.Minute {
		t.Errorf("from elsewhere: %v", wait)
	}
	if wait := g.Wait("eve", ip, now); wait != 0 {
		t.Errorf("another user: %v", wait)
	}
	g.Succeeded("ada", ip, now)
	if wait := g.Wait("ada", ip, now); wait != 0 {
		t.Errorf("after the right password: %v", wait)
	}
}
