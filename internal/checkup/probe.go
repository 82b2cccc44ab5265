package checkup

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"time"
)

// Probes says how servers are connected to. Whether they are is Ask's matter.
type Probes struct {
	// Dial makes a TCP connection, for tests and for egress addresses; nil: the system's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Hostname is the name given in EHLO; "": "localhost.localdomain" would be held against us, so nothing is probed.
	Hostname string
	// Inside are networks that are not on the internet and may be connected to all the same; see dns.Inside.
	Inside  []netip.Prefix
	RootCAs *x509.CertPool // nil: the system's
	Timeout time.Duration  // of one connection with all that is said on it; 0: 10 s
}

// RelayTest is what a test for an open relay needs: without the operator's word that host and mailbox are his, none is made.
type RelayTest struct {
	To   string         // mail address, outside the tested server's domains, that the operator owns
	Mine []netip.Prefix // addresses of servers that the operator owns, beside CheckerOptions.Egress
	Own  []string       // domains that the operator owns; To must be at or below one of them
}
