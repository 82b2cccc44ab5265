package dns

import (
	"net/netip"
	"slices"
)

// inside are the networks that are not on the internet (IANA special-purpose address registries, RFC 6890, read 2026-11).
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

// Inside reports whether an address is not on the internet, and not in one of the networks allowed all the same. Whoever publishes a
// name chooses the addresses behind it: to connect to one from here unseen would let him reach what listens beside the gateway.
func Inside(a netip.Addr, allowed []netip.Prefix) bool {
	if !a.IsValid() {
		return true
	}
	a = innermost(a)
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(inside, holds) && !slices.ContainsFunc(allowed, holds)
}
