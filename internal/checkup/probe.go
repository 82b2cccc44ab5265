package checkup

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"time"

	"postern/internal/mail"
)

// Probes says how servers are connected to. Whether they are is Ask's matter.
type Probes struct {
	// Dial makes a TCP connection, for tests and for egress addresses; nil: the system's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Hostname is the name given in EHLO; "": no mail server is connected to.
	Hostname string
	// Inside are networks that are not on the internet and may be connected to all the same; see dns.Inside.
	Inside  []netip.Prefix
	RootCAs *x509.CertPool // nil: the system's
	Timeout time.Duration  // of one connection with all that is said on it; 0: 10 s
}

// Mine is what the operator says is his.
type Mine struct {
	IPs     []netip.Prefix
	Domains []mail.Domain // with all below them
}

// RelayTest is a test for an open relay: it is made only against a server that is ours or Mine, with a mailbox at a domain that is.
type RelayTest struct {
	To mail.Address // whom mail through an open relay would reach; no message is ever sent
}

// ours reports whether an address is one that mail of ours leaves from, or that the operator says is his.
func (c *Checker) ours(ip netip.Addr, ask Ask) bool {
	ip = ip.Unmap()
	return slices.ContainsFunc(c.o.Egress, func(e EgressAddress) bool { return e.IP.Unmap() == ip }) ||
		slices.ContainsFunc(ask.Mine.IPs, func(p netip.Prefix) bool { return p.Contains(ip) })
}
