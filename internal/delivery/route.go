package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/provider"
)

// maxAddresses bounds how many addresses of one destination are tried in one attempt, maxSessions how many of them may answer
// before the attempt ends (Postfix's values), maxHosts how many exchangers of a domain are looked at.
const (
	maxAddresses = 5
	maxSessions  = 2
	maxHosts     = 10
)

// target is one address of a destination.
type target struct {
	host   string // name of the mail exchanger
	addr   netip.AddrPort
	signed bool // the address answer was authenticated by DNSSEC
}

// String is "mx.example.net[192.0.2.1]".
func (t target) String() string { return t.host + "[" + t.addr.Addr().String() + "]" }

// trouble is why there is nowhere to go, in the words of an SMTP reply: ours, never a receiver's. It is an error for those who open connections.
type trouble struct {
	code     int
	enhanced string
	text     string
	meaning  provider.Meaning // zero: told by the code
}

// Error is the reply.
func (t *trouble) Error() string { return fmt.Sprintf("%d %s %s", t.code, t.enhanced, t.text) }

// The meanings of what we find out ourselves.
var (
	meansNoDomain   = provider.Meaning{Category: provider.HostUnknown, Party: provider.RecipientDomain, Permanent: true}
	meansNoMail     = provider.Meaning{Category: provider.NotAccept, Party: provider.RecipientDomain, Permanent: true}
	meansLoop       = provider.Meaning{Category: provider.NetworkError, Party: provider.RecipientDomain}
	meansNowhere    = provider.Meaning{Category: provider.HostUnknown, Party: provider.RecipientDomain}
	meansDNS        = provider.Meaning{Category: provider.NetworkError, Party: provider.RecipientDomain}
	meansNetwork    = provider.Meaning{Category: provider.NetworkError, Party: provider.OfProvider}
	meansOurs       = provider.Meaning{Category: provider.SystemError, Party: provider.Config}
	meansOurForm    = provider.Meaning{Category: provider.NotCompliantRFC, Party: provider.Message}
	meansSuppressed = provider.Meaning{Category: provider.Suppressed, Party: provider.OfRecipient}
)

// found is what DNS says about a domain.
type found struct {
	hosts  []exchanger
	names  []string // of all its exchangers, also those without an address
	signed bool
	ttl    time.Duration
	why    *trouble
}

// find looks for a domain's mail exchangers in the order to try them (RFC 5321 5.1): by preference, the address records of the domain itself
// when it has no MX. What only seems to be missing because a name server does not answer is temporary; a null MX (RFC 7505), a domain that does
// not exist and a loop to ourselves are not.
func (d *Delivery) find(ctx context.Context, domain mail.Domain) found {
	if ip, ok := domain.Literal(); ok {
		f := found{hosts: []exchanger{{name: ip.String(), addrs: []netip.Addr{ip.Unmap()}}}, names: []string{string(domain)}, ttl: maxAnswer}
		return d.reachable(f, domain)
	}
	mx := dns.MX(ctx, d.o.Resolver, string(domain))
	f := found{signed: mx.Authentic, ttl: mx.TTL}
	nowhere := func(code int, enhanced string, m provider.Meaning, format string, args ...any) found {
		f.hosts, f.why = nil, &trouble{code, enhanced, fmt.Sprintf(format, args...), m}
		return f
	}
	switch mx.Status {
	case dns.TryLater:
		return nowhere(451, "4.4.3", meansDNS, "MX of %s: %v", domain, mx.Err)
	case dns.Nothing:
		if mx.NXDomain {
			// A resolver in trouble denies everything; only one that still knows the root may end a message's life.
			if err := dns.Canary(ctx, d.o.Resolver, ""); err != nil {
				return nowhere(451, "4.4.3", meansDNS, "Domain %s seems not to exist, but the name server is in trouble: %v", domain, err)
			}
			return nowhere(550, "5.1.2", meansNoDomain, "Domain %s does not exist (DNS: NXDOMAIN)", domain)
		}
		f.names = []string{string(domain)}
		h, ttl, why := d.addresses(ctx, string(domain))
		f.ttl = ttl
		switch {
		case why != nil:
			f.why = why
			return f
		case len(h.addrs) == 0:
			return nowhere(550, "5.1.2", meansNoMail, "Domain %s takes no mail: it has neither MX nor address records", domain)
		}
		f.hosts = []exchanger{h}
		return d.reachable(f, domain)
	}
	records := slices.Clone(mx.Records)
	if len(records) == 1 && (records[0].Host == "" || records[0].Host == ".") {
		return nowhere(556, "5.1.10", meansNoMail, "Domain %s takes no mail (null MX)", domain)
	}
	slices.SortStableFunc(records, func(a, b dns.Record) int { return int(a.Pref) - int(b.Pref) })
	for _, r := range records {
		f.names = append(f.names, r.Host)
	}
	return d.exchangers(ctx, f, domain, records)
}

// exchangers resolves the hosts until there are enough addresses, and cuts the list at ourselves: we are a lesser exchanger of
// that domain, and those at or after our preference would send the mail back (RFC 5321 5.1).
func (d *Delivery) exchangers(ctx context.Context, f found, domain mail.Domain, records []dns.Record) found {
	var last *trouble
	cut, count := -1, 0
	for i, r := range records {
		if cut >= 0 && int(r.Pref) >= cut {
			break
		}
		if strings.EqualFold(r.Host, d.o.Hostname) {
			cut = int(r.Pref)
			break
		}
		if count >= 2*maxAddresses || i >= maxHosts {
			break
		}
		h, ttl, why := d.addresses(ctx, r.Host)
		if why != nil {
			last = why
		} else {
			f.ttl = min(f.ttl, ttl)
		}
		if slices.ContainsFunc(h.addrs, d.isOwn) {
			cut = int(r.Pref)
			break
		}
		if h.pref = r.Pref; len(h.addrs) > 0 {
			f.hosts = append(f.hosts, h)
			count += len(h.addrs)
		}
	}
	if cut >= 0 {
		f.hosts = slices.DeleteFunc(f.hosts, func(h exchanger) bool { return int(h.pref) >= cut })
		if len(f.hosts) == 0 {
			f.why = loops(domain)
			return f
		}
	}
	switch {
	case len(f.hosts) > 0:
		return d.reachable(f, domain)
	case last != nil:
		f.why = last
	default:
		f.why = &trouble{451, "4.4.4", fmt.Sprintf("The mail exchangers of %s have no address", domain), meansNowhere}
	}
	return f
}

func loops(domain mail.Domain) *trouble {
	return &trouble{554, "5.4.6", fmt.Sprintf("Mail for %s loops back to this gateway", domain), meansLoop}
}

// reachable leaves of what was found what may be spoken to: other machines than ours, on the internet. When nothing is left that is a trouble: a
// temporary one, because a name server that answers for another network is our trouble, unless the sender wrote the address himself.
func (d *Delivery) reachable(f found, domain mail.Domain) found {
	private := d.tune.Load().Private
	var first string
	kept := f.hosts[:0:0]
	for _, h := range f.hosts {
		if slices.ContainsFunc(h.addrs, d.isOwn) {
			f.hosts, f.why = nil, loops(domain)
			return f
		}
		addrs := slices.DeleteFunc(slices.Clone(h.addrs), func(a netip.Addr) bool { return dns.Inside(a, private) })
		if len(addrs) == 0 {
			if first == "" {
				first = h.name + "[" + h.addrs[0].String() + "]"
			}
			continue
		}
		h.addrs = addrs
		kept = append(kept, h)
	}
	if f.hosts = kept; len(kept) > 0 {
		return f
	}
	f.why = &trouble{451, "4.4.4", fmt.Sprintf("The mail exchanger of %s, %s, is not on the internet; this gateway does not speak to private addresses",
		domain, first), meansNowhere}
	if _, literal := domain.Literal(); literal {
		f.why.code, f.why.enhanced = 550, "5.4.4"
	}
	return f
}

// isOwn reports whether an address is, on the port we deliver to, one of our own listeners.
func (d *Delivery) isOwn(a netip.Addr) bool {
	for _, own := range d.o.OwnAddrs() {
		if int(own.Port()) != d.o.Port {
			continue
		}
		if own.Addr().Unmap() == a.Unmap() || own.Addr().IsUnspecified() && a.IsLoopback() {
			return true
		}
	}
	return false
}

// addresses returns a host with its addresses. why is set when none was found because of DNS trouble.
func (d *Delivery) addresses(ctx context.Context, host string) (h exchanger, ttl time.Duration, why *trouble) {
	a := dns.Addrs(ctx, d.o.Resolver, host)
	h = exchanger{name: host, signed: a.Authentic}
	if a.Status == dns.TryLater {
		return h, 0, &trouble{451, "4.4.3", fmt.Sprintf("Addresses of %s: %v", host, a.Err), meansDNS}
	}
	for _, rec := range a.Records {
		if ip := rec.IP.Unmap(); ip.Is4() || !d.o.IPv4Only {
			h.addrs = append(h.addrs, ip)
		}
	}
	return h, a.TTL, nil
}
