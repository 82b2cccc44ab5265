package checkup

import (
	"context"
	"slices"
	"sync"

	"postern/internal/dns"
	"postern/internal/dnsbl"
)

// ip looks at an address: lists, reverse name, neighbours, and the servers that answer there. Bounded in time; what could not be measured is
// Unknown.
func (c *Checker) ip(ctx context.Context, t Target, ask Ask) ([]Finding, []dnsbl.Listing) {
	if dns.Inside(t.IP, c.o.Probes.Inside) {
		return []Finding{{Group: Reverse, Code: "reverse.inside", State: Unknown, Subject: t.IP.String(), Args: map[string]any{"IP": t.IP.String()}}}, nil
	}
	var (
		all                   sync.WaitGroup
		listed, near, running []Finding
		listings              []dnsbl.Listing
	)
	all.Go(func() { listed, listings = c.lists(ctx, dnsbl.Target{IP: t.IP}, ask) })
	n, names := c.reverse(ctx, t.IP, ask)
	all.Go(func() { near = c.neighbours(ctx, t.IP, n, ask) })
	all.Go(func() { running = c.servers(ctx, t.IP, n, ask) })
	all.Wait()
	return slices.Concat(listed, names, near, running), listings
}

// maxExchangers is how many of a domain's mail servers are connected to, each at one address.
const maxExchangers = 4
