package app

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"postern/internal/account"
)

// checkEgress refuses a pool whose addresses are not this machine's: mail of that pool could never leave, and each attempt would look like the
// receiver's trouble. It binds each address once, which is what delivery will do.
func checkEgress(pools []account.Pool) error {
	var problems []error
	for _, p := range pools {
		for i, e := range p.Egress {
			if !e.IP.IsValid() {
				continue
			}
			network := "tcp6"
			if e.IP.Unmap().Is4() {
				network = "tcp4"
			}
			l, err := net.Listen(network, netip.AddrPortFrom(e.IP, 0).String())
			if err != nil {
				problems = append(problems, fmt.Errorf("delivery.pools.%s[%d].ip: %s is not an address of this machine (%w); it has %s; give it that address, or take it out of the pool",
					p.Name, i, e.IP, err, hostAddresses(e.IP.Unmap().Is4())))
				continue
			}
			_ = l.Close()
		}
	}
	return errors.Join(problems...)
}

// share is a customer's turns for each of the others' (delivery.shares).
func (a *App) share(customer string) int { return max(a.config.Load().Delivery.Shares[customer], 1) }

// hostAddresses lists the machine's addresses of one family, for an error text.
func hostAddresses(four bool) string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "unknown addresses (" + err.Error() + ")"
	}
	var out []string
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ip.Is4() == four && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && len(out) < 20 {
			out = append(out, ip.String())
		}
	}
	if len(out) == 0 {
		return "no address of that family but its loopback"
	}
	return strings.Join(out, ", ")
}
