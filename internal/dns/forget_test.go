package dns_test

import (
	"sync/atomic"
	"testing"

	mdns "github.com/miekg/dns"

	"postern/internal/dns"
)

// TestForget: a name that is forgotten is asked for again, of every type; others are not.
func TestForget(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c := client(t, dns.Options{Servers: []string{"192.0.2.53"}, Dial: pipes(func(_, _ string, q *mdns.Msg) *mdns.Msg {
		asked.Add(1)
		return positive(q, 300)
	})})
	ask := func(want int64) {
		t.Helper()
		before := asked.Load()
		for _, name := range []string{"mended.example.org", "other.example.org"} {
			for _, kind := range []dns.Type{dns.TypeA, dns.TypeTXT} {
				c.Query(t.Context(), name, kind)
			}
		}
		if n := asked.Load() - before; n != want {
			t.Errorf("%d questions, want %d", n, want)
		}
	}
	ask(4)
	ask(0)
	c.Forget("Mended.Example.org.", "", "..", "never.asked.example.org")
	ask(2)
	ask(0)
}
