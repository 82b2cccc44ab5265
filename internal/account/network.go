package account

import (
	"fmt"
	"net/netip"
)

// The widest networks a customer may have: a /8 is the largest block ever given to one organisation, a /19 the
// largest common IPv6 allocation to one provider. Anything wider is a slip of the pen that opens the relay.
const (
	WidestIPv4 = 8
	WidestIPv6 = 19
)

// nat64 holds the whole IPv4 internet in its last 32 bits (RFC 6052 2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// CheckNetwork says why p cannot be a customer's network, or nil.
func CheckNetwork(p netip.Prefix) error {
	switch a := p.Addr(); {
	case !p.IsValid():
		return fmt.Errorf("not a network; expected an address and a length like 192.0.2.0/24 or 2001:db8::/32")
	case a.Is4In6():
		return fmt.Errorf("%s is an IPv4 network written as IPv6; write it as IPv4", p)
	case p != p.Masked():
		return fmt.Errorf("%s has address bits beyond its length; did you mean %s or %s?", p, p.Masked(), netip.PrefixFrom(a, a.BitLen()))
	case p.Bits() == 0:
		return fmt.Errorf("%s is the whole internet: Postern would be an open relay", p)
	case a.Is4() && p.Bits() < WidestIPv4:
		return fmt.Errorf("%s is wider than /%d: Postern would be an open relay for it; list the networks that are really yours", p, WidestIPv4)
	case a.Is6() && p.Bits() < WidestIPv6:
		return fmt.Errorf("%s is wider than /%d: Postern would be an open relay for it; list the networks that are really yours", p, WidestIPv6)
	case p.Overlaps(nat64) && p.Bits() < nat64.Bits()+WidestIPv4:
		return fmt.Errorf("%s holds the whole IPv4 internet behind NAT64 (RFC 6052): Postern would be an open relay", p)
	case a.IsMulticast() || a.IsUnspecified():
		return fmt.Errorf("%s is no address that mail can come from", p)
	}
	return nil
}

// ByNetwork returns the customer whose longest network holds the client IP. IPv4 written as IPv6 is the same as
// IPv4, and a zone is ignored.
func (l *Ledger) ByNetwork(ip netip.Addr) (Customer, bool) {
	s := l.state.Load()
	ip = ip.Unmap().WithZone("")
	lengths := s.lengths6
	if ip.Is4() {
		lengths = s.lengths4
	}
	for _, bits := range lengths {
		p, err := ip.Prefix(bits)
		if err != nil {
			return Customer{}, false
		}
		if c, ok := s.networks[p]; ok {
			return *c, true
		}
	}
	return Customer{}, false
}
