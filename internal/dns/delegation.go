package dns

import (
	"context"
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"
)

// Delegation is what one name server of a parent zone says of a zone below it (RFC 1034 4.2.1). The zero value claims nothing.
type Delegation struct {
	Status  Status   // Found: the zone is delegated, or Own; Nothing: the server holds the parent and delegates no such zone
	Own     bool     // the server holds the zone itself and answers for it, so that what the parent says cannot be seen
	Servers []Record // NS records of the delegation; of Own the zone's own
	Glue    []Record // addresses of Servers that came along, A and AAAA
	Err     error    // with TryLater: why, wraps one of the Err values
}

// Delegation asks the name server that a Client made by At stands for who holds the zone below its own. Nothing is cached, and a truncated answer
// is asked for again over TCP, so that glue that is not there was not sent.
func (c *Client) Delegation(ctx context.Context, zone string) Delegation {
	c.stats.questions.Add(1)
	name, ok := normal(zone)
	if !ok {
		return Delegation{Err: fmt.Errorf("%.300q: %w", zone, ErrName)}
	}
	name, err := presentation(name)
	if err != nil {
		return Delegation{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Total)
	defer cancel()
	var last Delegation
	for i := 0; i < c.o.Attempts && ctx.Err() == nil; i++ {
		s := c.servers[i%len(c.servers)]
		m, err := c.attempt(ctx, s, name, TypeNS, false)
		if err != nil {
			c.count(err)
			last = Delegation{Err: fmt.Errorf("server %s: %w", s.addr, err)}
			continue
		}
		last = delegation(m, name)
		if last.Err != nil {
			last.Err = fmt.Errorf("server %s: %w", s.addr, last.Err)
		}
		return last
	}
	if last.Err == nil {
		last.Err = fmt.Errorf("%s NS: %w", zone, ErrTimeout)
	}
	return last
}

// delegation reads the answer of a parent's server to the question for the NS records of a name.
func delegation(m *mdns.Msg, name string) Delegation {
	if len(m.Answer)+len(m.Ns)+len(m.Extra) > 3*maxRecords {
		return Delegation{Err: fmt.Errorf("%w: too many records", ErrMalformed)}
	}
	servers := func(from []mdns.RR) (out []Record, bad bool) {
		for _, rr := range from {
			if ns, is := rr.(*mdns.NS); is && ns.Hdr.Class == mdns.ClassINET && strings.EqualFold(ns.Hdr.Name, name) {
				r, ok := record(rr)
				out, bad = append(out, r), bad || !ok
			}
		}
		return out, bad
	}
	own, badOwn := servers(m.Answer)
	below, badBelow := servers(m.Ns)
	switch {
	case m.Rcode == mdns.RcodeNameError && m.Authoritative:
		return Delegation{Status: Nothing}
	case m.Rcode != mdns.RcodeSuccess && m.Rcode != mdns.RcodeNameError:
		return Delegation{Err: verdict(m)}
	case badOwn || badBelow:
		return Delegation{Err: fmt.Errorf("%w: NS record breaks its format", ErrMalformed)}
	case len(own) > 0 && m.Authoritative:
		return Delegation{Status: Found, Own: true, Servers: own}
	case len(below) > 0 && len(m.Answer) == 0:
		return Delegation{Status: Found, Servers: below, Glue: glue(m.Extra, below)}
	case m.Authoritative && len(m.Answer) == 0:
		return Delegation{Status: Nothing}
	}
	return Delegation{Err: fmt.Errorf("%w: neither a delegation nor an answer of its own", ErrLame)}
}

// glue are the addresses of the servers among the additional records.
func glue(extra []mdns.RR, of []Record) []Record {
	var out []Record
	for _, rr := range extra {
		if t := rr.Header().Rrtype; t != mdns.TypeA && t != mdns.TypeAAAA {
			continue
		}
		r, ok := record(rr)
		if !ok {
			continue
		}
		for _, s := range of {
			if s.Host == r.Name {
				out = append(out, r)
				break
			}
		}
	}
	return out
}
