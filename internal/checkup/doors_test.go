package checkup_test

import (
	"testing"
	"time"

	"postern/internal/checkup"
)

// TestReuse: for callers who must not knock again and again, a server is connected to once within their time, and what it showed is said again with when.
func TestReuse(t *testing.T) {
	t.Parallel()
	n := newInternet(t, zoneOf(perfect()))
	mailAt(mailer{})(n)
	now := time.Now()
	c := n.checker(t, func(o *checkup.CheckerOptions) { o.Now = func() time.Time { return now } })
	calls := func(wait, reuse time.Duration) int {
		t.Helper()
		now = now.Add(wait)
		r, err := c.Check(t.Context(), shopTest, checkup.Ask{Selectors: []string{"s1"}, Probe: true, Reuse: reuse})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := said(r)["tls"], "dane.fine=fine tls.agreed=fine tls.fine=fine"; got != want {
			t.Errorf("after %v: %s", wait, got)
		}
		n.mail.mu.Lock()
		defer n.mail.mu.Unlock()
		all := 0
		for _, k := range n.mail.calls {
			all += k
		}
		if len(n.mail.data) > 0 {
			t.Errorf("said %q", n.mail.data)
		}
		return all
	}
	for i, x := range []struct {
		wait, reuse time.Duration
		want        int
	}{{0, 5 * time.Minute, 1}, {4 * time.Minute, 5 * time.Minute, 1}, {time.Minute, 5 * time.Minute, 2}, {time.Minute, 0, 3}, {0, 5 * time.Minute, 3}} {
		if got := calls(x.wait, x.reuse); got != x.want {
			t.Errorf("%d: %d connections, want %d", i, got, x.want)
		}
	}
}
