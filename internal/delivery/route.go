package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sort"
	"strings"

	"postern/internal/dns"
	"postern/internal/mail"
)

// maxAddresses bounds how many addresses of one destination are tried in one attempt, maxSessions how many of them may answer
// before the attempt ends (Postfix's values).
const (
	maxAddresses = 5
	maxSessions  = 2
)

// target is one address of a destination.
type target struct {
	host   string // name of the mail exchanger
	addr   netip.AddrPort
	signed bool // the address answer was authenticated by DNSSEC
}

// String is "mx.example.net[192.0.2.1]".
func (t target) String() string { return t.host + "[" + t.addr.Addr().String() + "]" }

// trouble is why there is nowhere to go, in the words of an SMTP reply. It is an error for those who open connections.
type trouble struct {
	code     int
	enhanced string
	text     string
}

func (t *trouble) permanent() bool { return t.code >= 500 }

// Error is the reply.
func (t *trouble) Error() string { return fmt.Sprintf("%d %s %s", t.code, t.enhanced, t.text) }

// targets finds the addresses of a domain's mail exchangers in the order to try them (RFC 5321 5.1): by preference, equal
// preferences shuffled, the address records of the domain itself when it has no MX. What only seems to be missing because a name
// server does not answer is temporary; a null MX (RFC 7505), a domain that does not exist and a loop to ourselves are not.
func (d *Delivery) targets(ctx context.Context, domain mail.Domain) ([]target, *trouble) {
	if ip, ok := domain.Literal(); ok {
		return d.ownFiltered([]target{{host: ip.String(), addr: netip.AddrPortFrom(ip, uint16(d.o.Port))}}, domain)
	}
	mx := dns.MX(ctx, d.o.Resolver, string(domain))
	switch mx.Status {
	case dns.TryLater:
		return nil, &trouble{451, "4.4.3", fmt.Sprintf("MX of %s: %v", domain, mx.Err)}
	case dns.Nothing:
		if mx.NXDomain {
			// A resolver in trouble denies everything; only one that still knows the root may end a message's life.
			if err := dns.Canary(ctx, d.o.Resolver, ""); err != nil {
				return nil, &trouble{451, "4.4.3", fmt.Sprintf("Domain %s seems not to exist, but the name server is in trouble: %v", domain, err)}
			}
			return nil, &trouble{550, "5.1.2", fmt.Sprintf("Domain %s does not exist (DNS: NXDOMAIN)", domain)}
		}
		list, why := d.addresses(ctx, string(domain))
		if len(list) == 0 && why == nil {
			return nil, &trouble{550, "5.1.2", fmt.Sprintf("Domain %s takes no mail: it has neither MX nor address records", domain)}
		}
		if len(list) == 0 {
			return nil, why
		}
		return d.ownFiltered(list, domain)
	}
	hosts := mx.Records
	if len(hosts) == 1 && (hosts[0].Host == "" || hosts[0].Host == ".") {
		return nil, &trouble{556, "5.1.10", fmt.Sprintf("Domain %s takes no mail (null MX)", domain)}
	}
	hosts = append([]dns.Record(nil), hosts...)
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	sort.SliceStable(hosts, func(i, j int) bool { return hosts[i].Pref < hosts[j].Pref })
	return d.exchangers(ctx, domain, hosts)
}

// exchangers resolves the hosts until there are enough addresses, and cuts the list at ourselves: we are a lesser exchanger of
// that domain, and those at or after our preference would send the mail back (RFC 5321 5.1).
func (d *Delivery) exchangers(ctx context.Context, domain mail.Domain, hosts []dns.Record) ([]target, *trouble) {
	var list []target
	var last *trouble
	cut := -1
	prefs := map[string]uint16{}
	for _, h := range hosts {
		if cut >= 0 && int(h.Pref) >= cut {
			break
		}
		if strings.EqualFold(h.Host, d.o.Hostname) {
			cut = int(h.Pref)
			break
		}
		found, why := d.addresses(ctx, h.Host)
		if why != nil {
			last = why
		}
		for _, t := range found {
			if d.isOwn(t.addr) {
				cut = int(h.Pref)
			}
		}
		if cut >= 0 {
			break
		}
		prefs[h.Host] = h.Pref
		list = append(list, found...)
		if len(list) >= maxAddresses {
			break
		}
	}
	if cut >= 0 {
		kept := list[:0]
		for _, t := range list {
			if int(prefs[t.host]) < cut {
				kept = append(kept, t)
			}
		}
		if len(kept) == 0 {
			return nil, &trouble{554, "5.4.6", fmt.Sprintf("Mail for %s loops back to this gateway", domain)}
		}
		list = kept
	}
	switch {
	case len(list) > 0:
		return d.bounded(list, domain)
	case last != nil:
		return nil, last
	}
	return nil, &trouble{451, "4.4.4", fmt.Sprintf("The mail exchangers of %s have no address", domain)}
}

func (d *Delivery) ownFiltered(list []target, domain mail.Domain) ([]target, *trouble) {
	for _, t := range list {
		if d.isOwn(t.addr) {
			return nil, &trouble{554, "5.4.6", fmt.Sprintf("Mail for %s loops back to this gateway", domain)}
		}
	}
	return d.bounded(list, domain)
}

// bounded is the part of a list that is tried: what is on the internet, a few of it.
func (d *Delivery) bounded(list []target, domain mail.Domain) ([]target, *trouble) {
	list, why := d.outside(list, domain)
	return list[:min(len(list), maxAddresses)], why
}

// isOwn reports whether an address is one of our own listeners.
func (d *Delivery) isOwn(a netip.AddrPort) bool {
	for _, own := range d.o.OwnAddrs() {
		if own.Port() != a.Port() {
			continue
		}
		if own.Addr().Unmap() == a.Addr().Unmap() || own.Addr().IsUnspecified() && a.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

// addresses returns the addresses of one host, IPv6 and IPv4 taking turns so that a dead family does not use up the attempt. why
// is set when none was found because of DNS trouble.
func (d *Delivery) addresses(ctx context.Context, host string) ([]target, *trouble) {
	a := dns.Addrs(ctx, d.o.Resolver, host)
	if a.Status == dns.TryLater {
		return nil, &trouble{451, "4.4.3", fmt.Sprintf("Addresses of %s: %v", host, a.Err)}
	}
	var v4, v6 []target
	for _, rec := range a.Records {
		t := target{host, netip.AddrPortFrom(rec.IP.Unmap(), uint16(d.o.Port)), a.Authentic}
		if t.addr.Addr().Is4() {
			v4 = append(v4, t)
		} else if !d.o.IPv4Only {
			v6 = append(v6, t)
		}
	}
	rand.Shuffle(len(v4), func(i, j int) { v4[i], v4[j] = v4[j], v4[i] })
	rand.Shuffle(len(v6), func(i, j int) { v6[i], v6[j] = v6[j], v6[i] })
	var out []target
	for len(v4)+len(v6) > 0 {
		if len(v6) > 0 {
			out, v6 = append(out, v6[0]), v6[1:]
		}
		if len(v4) > 0 {
			out, v4 = append(out, v4[0]), v4[1:]
		}
	}
	return out, nil
}
