package smtp

import (
	"net/netip"
	"sync"
	"time"
)

// gate counts open and new connections and says no beyond the limits. It is safe for concurrent use and its memory is
// bounded by the open connections and by the addresses seen within the last minute.
type gate struct {
	limits Limits

	mu    sync.Mutex
	open  int
	ip    map[netip.Prefix]*tally
	net   map[netip.Prefix]int
	swept time.Time
}

// tally is what the gate knows of one client address.
type tally struct {
	open    int
	started time.Time // beginning of the current minute
	fresh   int       // connections begun in that minute
}

// refusal says why a connection was not taken; the zero value means it was.
type refusal int

const (
	admitted refusal = iota
	refusedTotal
	refusedIP
	refusedNetwork
	refusedRate
)

// text is what the client reads after "421 4.7.0".
func (r refusal) text() string {
	switch r {
	case refusedTotal:
		return "Too many connections, please try again later"
	case refusedIP:
		return "Too many connections from your address, please close some first"
	case refusedNetwork:
		return "Too many connections from your network, please try again later"
	case refusedRate:
		return "Too many new connections from your address, please wait a minute"
	default:
		return ""
	}
}

// maxTallies bounds the addresses remembered: an attacker may own any number of IPv6 networks.
const maxTallies = 100_000

func newGate(l Limits) *gate {
	return &gate{limits: l, ip: map[netip.Prefix]*tally{}, net: map[netip.Prefix]int{}}
}

// prefixes are the units that are counted: an IPv4 address and its /24, an IPv6 /64 and its /48.
func prefixes(ip netip.Addr) (host, network netip.Prefix) {
	if !ip.IsValid() {
		return netip.Prefix{}, netip.Prefix{}
	}
	h, n := 32, 24
	if ip.Is6() {
		h, n = 64, 48
	}
	host, _ = ip.Prefix(h)
	network, _ = ip.Prefix(n)
	return host, network
}

// enter admits a connection from ip or says why not. An admitted one must leave.
func (g *gate) enter(ip netip.Addr, now time.Time) refusal {
	host, network := prefixes(ip)
	over := func(n, limit int) bool { return limit >= 0 && n >= limit }
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	if over(g.open, g.limits.Connections) {
		return refusedTotal
	}
	if !host.IsValid() { // a transport without addresses: the total is the only limit
		g.open++
		return admitted
	}
	t := g.ip[host]
	if t == nil && len(g.ip) >= maxTallies {
		return refusedTotal
	}
	if t == nil {
		t = &tally{started: now}
		g.ip[host] = t
	}
	if now.Sub(t.started) >= time.Minute {
		t.started, t.fresh = now, 0
	}
	// Refused attempts count too: who keeps knocking keeps waiting no longer than the minute.
	t.fresh++
	switch {
	case g.limits.NewPerMinutePerIP >= 0 && t.fresh > g.limits.NewPerMinutePerIP:
		return refusedRate
	case over(t.open, g.limits.ConnectionsPerIP):
		return refusedIP
	case over(g.net[network], g.limits.ConnectionsPerNetwork):
		return refusedNetwork
	}
	g.open++
	t.open++
	g.net[network]++
	return admitted
}

// leave takes an admitted connection out of the count.
func (g *gate) leave(ip netip.Addr) {
	host, network := prefixes(ip)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if t := g.ip[host]; t != nil {
		t.open--
	}
	if g.net[network] > 1 {
		g.net[network]--
	} else {
		delete(g.net, network)
	}
}

// sweep forgets, once a minute, addresses without open connections whose minute is over.
func (g *gate) sweep(now time.Time) {
	if now.Sub(g.swept) < time.Minute {
		return
	}
	g.swept = now
	for k, t := range g.ip {
		if t.open == 0 && now.Sub(t.started) >= time.Minute {
			delete(g.ip, k)
		}
	}
}

// crowded reports that more than 80 % of the connections are in use; waits shrink then, as Postfix does under stress.
func (g *gate) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limits.Connections > 0 && g.open*5 > g.limits.Connections*4
}
