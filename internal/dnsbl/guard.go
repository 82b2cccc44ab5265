package dnsbl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
)

// RefusalPause is how long a Guard leaves a zone alone that refused our resolver (SpamAssassin's dns_block_rule waits as long).
const RefusalPause = 300 * time.Second

// Refusal is one zone that refuses our resolver, as the operator should be told: once for each Zone and Since.
type Refusal struct {
	Zone  string
	Code  netip.Addr // the answer that meant the refusal
	Text  string     // what the code means, and the zone's own text, which may name the refused resolver
	Since time.Time  // first refusal since the zone last gave a true answer
	Last  time.Time  // latest refusal
}

// Guard makes lookups and remembers refusals, so that a zone that refused is not asked again for RefusalPause. Safe for many goroutines.
type Guard struct {
	now func() time.Time

	mu       sync.Mutex
	refusals map[string]Refusal
}

// NewGuard makes a Guard; now nil means time.Now.
func NewGuard(now func() time.Time) *Guard {
	if now == nil {
		now = time.Now
	}
	return &Guard{now: now, refusals: map[string]Refusal{}}
}

// CheckIP is CheckIP, but Unknown with Refused and ErrPaused while the zone is left alone.
func (g *Guard) CheckIP(ctx context.Context, r dns.Resolver, l *List, ip netip.Addr) Listing {
	out, name := prepareIP(l, ip)
	return g.check(ctx, r, out, name)
}

// CheckDomain is CheckDomain, but Unknown with Refused and ErrPaused while the zone is left alone.
func (g *Guard) CheckDomain(ctx context.Context, r dns.Resolver, l *List, domain string) Listing {
	out, name := prepareDomain(l, domain)
	return g.check(ctx, r, out, name)
}

func (g *Guard) check(ctx context.Context, r dns.Resolver, out Listing, name string) Listing {
	if name == "" {
		return out
	}
	if g.Paused(out.List.Zone) {
		out.State, out.Refused = Unknown, true
		out.Err = fmt.Errorf("%s: %w", out.List.Zone, ErrPaused)
		return out
	}
	ask(ctx, r, &out, name)
	g.note(out)
	return out
}

func (g *Guard) note(out Listing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	zone := out.List.Zone
	if !out.Refused {
		if out.State == Listed || out.State == Clean {
			delete(g.refusals, zone)
		}
		return
	}
	now := g.now()
	ref, known := g.refusals[zone]
	if !known {
		ref.Since = now
	}
	ref.Zone, ref.Last = zone, now
	ref.Code = out.Codes[slices.IndexFunc(out.Codes, func(ip netip.Addr) bool {
		_, is := out.List.refusal(ip)
		return is
	})]
	ref.Text = out.Matched[0].Meaning.EN
	if out.Reason != "" {
		ref.Text += ": " + out.Reason
	}
	g.refusals[zone] = ref
}

// Paused reports whether zone refused less than RefusalPause ago.
func (g *Guard) Paused(zone string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, known := g.refusals[zone]
	return known && g.now().Before(ref.Last.Add(RefusalPause))
}

// Refusals are the zones that refuse our resolver now, sorted by zone. A zone leaves the list when it gives a true answer again.
func (g *Guard) Refusals() []Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]Refusal, 0, len(g.refusals))
	for _, ref := range g.refusals {
		out = append(out, ref)
	}
	slices.SortFunc(out, func(a, b Refusal) int { return strings.Compare(a.Zone, b.Zone) })
	return out
}
