package password

import (
	"net/netip"
	"time"
)

// Wait is how long the gate stays shut for this pair of user and client: when Admits will say yes, if nobody fails meanwhile. 0: it does now.
func (g *Gate) Wait(user string, ip netip.Addr, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	from, wait := network(ip), time.Duration(0)
	if f := g.ips[from]; f != nil {
		wait = f.blocked.Sub(now)
	}
	if f := g.users[nameOf(user)]; f != nil && (!from.IsValid() || !now.Before(g.known[knownPair{nameOf(user), from}])) {
		wait = max(wait, f.blocked.Sub(now))
	}
	return max(wait, 0)
}
