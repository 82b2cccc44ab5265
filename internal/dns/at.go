package dns

import (
	"fmt"
	"net/netip"
	"time"
)

// At is a Client that asks one name server for what it holds itself: no recursion is desired, nothing is cached, and Answer.Authoritative says
// whether it answers for the zone. All else is as for any Client: the same checks against forged and broken answers, the same limits. A CNAME
// that leaves the server's zones is TryLater. Whoever publishes a zone chooses the addresses of its servers: ask Inside before. Servers,
// ResolvConf, CacheEntries and TrustAD of the options do not count; zero times are shorter than those of New: 2 s, two attempts, 5 s in all.
func At(ip netip.Addr, o Options) (*Client, error) {
	if !ip.IsValid() || ip.Zone() != "" {
		return nil, fmt.Errorf("dns: %v is no name server", ip)
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.Attempts <= 0 {
		o.Attempts = 2
	}
	if o.Total <= 0 {
		o.Total = 5 * time.Second
	}
	o.Servers, o.CacheEntries, o.TrustAD = []string{netip.AddrPortFrom(ip.Unmap(), 53).String()}, -1, false
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	c.direct = true
	return c, nil
}
