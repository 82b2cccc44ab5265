package checkup

import (
	"context"
	"slices"
	"sync"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
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

// mxServers looks at the mail servers of a domain, as others who deliver to it meet them: port 25, one connection to each.
func (c *Checker) mxServers(ctx context.Context, d mail.Domain, ask Ask) []Finding {
	if !ask.Probe || c.o.Probes.Hostname == "" {
		return nil
	}
	all, _ := c.exchangers(ctx, c.o.Resolver, d) // that DNS does not say is told elsewhere
	var chosen []exchanger
	for _, x := range all {
		again := slices.ContainsFunc(chosen, func(y exchanger) bool { return y.name == x.name || y.ip == x.ip })
		if !again && len(chosen) < maxExchangers && !dns.Inside(x.ip, c.o.Probes.Inside) {
			chosen = append(chosen, x)
		}
	}
	found := make([][]Finding, len(chosen))
	var work sync.WaitGroup
	for i, x := range chosen {
		work.Go(func() { found[i] = c.mxServer(ctx, x) })
	}
	work.Wait()
	return slices.Concat(found...)
}

func (c *Checker) mxServer(ctx context.Context, x exchanger) []Finding {
	n := named{names: []string{x.name}, confirmed: []string{x.name}}
	d := c.knock(ctx, x.ip, portRelay, x.name)
	args := map[string]any{"Host": x.name, "IP": x.ip.String(), "Ports": "25"}
	var out []Finding
	switch d.reach {
	case doorClosed:
		out = []Finding{{Group: Server, Code: "server.mx-closed", State: Problem, Args: args, Evidence: []Question{d.question()}}}
	case doorSilent:
		out = []Finding{{Group: Server, Code: "server.silent", State: Unknown, Optional: true, Args: args, Evidence: []Question{d.question()}}}
	default:
		out = append(c.judgeDoor(ctx, d, n), c.judgeTLS(ctx, d, n)...)
	}
	for i := range out {
		out[i].Subject = x.name
	}
	return out
}
