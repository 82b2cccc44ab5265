package delivery

import (
	"fmt"
	"net/netip"
	"slices"

	"postern/internal/mail"
)

// inside are the networks where no mail exchanger of the internet can be (IANA special-purpose address registries, RFC 6890, read
// 2026-11). Whoever may send, and anyone who owns a domain, could otherwise make the gateway speak to what listens beside it: a
// mail server on loopback takes everything from its own machine, and would be the open relay that the gateway is not.
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),                                                                                   // this host
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"), // private, RFC 1918
	netip.MustParsePrefix("100.64.0.0/10"),  // behind a provider's NAT, RFC 6598
	netip.MustParsePrefix("127.0.0.0/8"),    // loopback
	netip.MustParsePrefix("169.254.0.0/16"), // link-local; also where clouds keep their metadata
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
	netip.MustParsePrefix("224.0.0.0/3"),    // multicast, reserved, broadcast
	netip.MustParsePrefix("::/96"),          // unspecified, loopback, IPv4-compatible
	netip.MustParsePrefix("64:ff9b:1::/48"), // local NAT64, RFC 8215
	netip.MustParsePrefix("fc00::/7"),       // unique local, RFC 4193
	netip.MustParsePrefix("fe80::/9"),       // link-local, site-local
	netip.MustParsePrefix("ff00::/8"),       // multicast
}

// Networks whose IPv6 addresses hold the IPv4 address that the packets reach in the end.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last 32 bits
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056: the 32 bits after the prefix
)

// innermost is the address that packets to a reach in the end.
func innermost(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	b := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// isInside reports whether an address is not on the internet and not allowed all the same (Tuning.Private).
func (d *Delivery) isInside(a netip.Addr) bool {
	a = innermost(a)
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(inside, holds) && !slices.ContainsFunc(d.tune.Load().Private, holds)
}

// outside leaves out the targets that are not on the internet. When none is left there is a trouble: a temporary one, because a
// name server that answers for another network is our trouble, unless the sender wrote the address himself.
func (d *Delivery) outside(list []target, domain mail.Domain) ([]target, *trouble) {
	kept := list[:0:0]
	for _, t := range list {
		if !d.isInside(t.addr.Addr()) {
			kept = append(kept, t)
		}
	}
	if len(kept) > 0 || len(list) == 0 {
		return kept, nil
	}
	t := &trouble{451, "4.4.4", fmt.Sprintf("The mail exchanger of %s, %s[%s], is not on the internet; this gateway does not speak to private addresses",
		domain, list[0].host, list[0].addr.Addr())}
	if _, literal := domain.Literal(); literal {
		t.code, t.enhanced = 550, "5.4.4"
	}
	return nil, t
}
