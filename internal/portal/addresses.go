package portal

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"postern/internal/locale"
	"postern/internal/shaping"
	"postern/internal/user"
)

// EgressNames is what DNS says of an address that mail leaves from.
type EgressNames struct {
	PTR     []string // the address's names; none: it has none
	Back    bool     // one of them leads back to the address
	Hello   bool     // the name said in EHLO leads to the address
	Unknown bool     // DNS gave no answer
}

// addressRoutes are the operator's pages about the addresses that mail leaves from.
func (s *site) addressRoutes() []route {
	return []route{{method: http.MethodGet, path: "/o/addresses", access: gateway(user.GatewayRead), do: s.opAddresses}}
}

// opAddress is an address of a pool.
type opAddress struct {
	IP      string
	HELO    string
	Names   []opSign
	Warm    string
	WarmUps []string
	Floors  []string
	Today   string // messages taken by receivers today, as far as lanes remember
	Busy    string // connections
	Waiting string
	Trouble []opLink
}

// opSign is something that was looked at, with how it is.
type opSign struct{ State, Word, Text string }

// opPool is a pool with its addresses.
type opPool struct {
	Name      string
	Rules     []string
	Addresses []opAddress
}

type opAddressPage struct {
	page
	Pools []opPool
}

// namesTime bounds how long a page waits for what DNS says of our addresses.
const namesTime = 800 * time.Millisecond

// opAddresses shows pools and addresses.
func (s *site) opAddresses(v *visit) {
	p := v.page
	d := opAddressPage{page: p}
	d.Title = p.T("addresses.title")
	lanes := s.o.Delivery.Lanes()
	ctx, cancel := context.WithTimeout(v.r.Context(), namesTime)
	defer cancel()
	pools := s.o.Delivery.Pools()
	names := s.opEgressNames(ctx, pools)
	for _, pool := range pools {
		x := opPool{Name: clean(pool.Name, 64), Rules: []string{p.T("addresses.spill." + string(pool.Spill))}}
		if pool.Overflow != "" {
			x.Rules = append(x.Rules, p.T("addresses.overflow", "Pool", clean(pool.Overflow, 64)))
		}
		if pool.Strict {
			x.Rules = append(x.Rules, p.T("addresses.strict"))
		}
		for _, e := range pool.Egress {
			x.Addresses = append(x.Addresses, s.opAddressOf(v, e, lanes, names))
		}
		d.Pools = append(d.Pools, x)
	}
	v.show(http.StatusOK, "op-addresses.html", d)
}

// opEgressNames asks DNS about all addresses at the same time.
func (s *site) opEgressNames(ctx context.Context, pools []shaping.PoolInfo) map[string]EgressNames {
	const most = 64 // addresses that are asked about
	names := map[string]EgressNames{}
	if s.o.Names == nil {
		return names
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	for _, pool := range pools {
		for _, e := range pool.Egress {
			ip, err := netip.ParseAddr(e.IP)
			mu.Lock()
			_, asked := names[e.IP]
			if err == nil && !asked && len(names) < most {
				names[e.IP] = EgressNames{Unknown: true}
				wait.Go(func() {
					n := s.o.Names(ctx, ip, e.HELO)
					mu.Lock()
					defer mu.Unlock()
					names[e.IP] = n
				})
			}
			mu.Unlock()
		}
	}
	wait.Wait()
	return names
}

func (s *site) opAddressOf(v *visit, e shaping.EgressInfo, lanes []shaping.LaneInfo, names map[string]EgressNames) opAddress {
	const mostTrouble, mostWarm = 10, 12
	p := v.page
	a := opAddress{IP: e.IP, HELO: clean(e.HELO, 255), Warm: p.T("addresses.warm.done")}
	if e.IP == "" {
		a.IP = p.T("addresses.system")
	}
	if !e.Since.IsZero() && e.Day > 0 {
		a.Warm = p.T("addresses.warm.day", "Day", e.Day, "Days", e.Days)
	}
	for _, w := range e.WarmUps[:min(len(e.WarmUps), mostWarm)] {
		a.WarmUps = append(a.WarmUps, p.opWarmUp(w))
	}
	for _, f := range e.Floors {
		a.Floors = append(a.Floors, p.T("addresses.floor", "Name", clean(f.Title, 100), "Floor", f.Floor, "Count", f.Low))
	}
	today, busy, waiting := 0, 0, 0
	for _, l := range lanes {
		if l.Egress != e.IP {
			continue
		}
		today, busy, waiting = today+l.Today, busy+l.Connections, waiting+l.Waiting
		if len(l.InForce) > 0 && len(a.Trouble) < mostTrouble {
			a.Trouble = append(a.Trouble, opLink{p.opLaneTitle(l.Lane), p.URL(opLanePath(l.Lane))})
		}
	}
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	a.Today, a.Busy, a.Waiting = number(today), number(busy), number(waiting)
	if n, ok := names[e.IP]; ok {
		a.Names = p.opNames(n, a.HELO)
	}
	return a
}

// opNames says whether an address's names are as receivers want them.
func (p page) opNames(n EgressNames, hello string) []opSign {
	sign := func(ok bool, key string, pairs ...any) opSign {
		if ok {
			return opSign{"met", p.T("addresses.good"), p.T("addresses.dns."+key+".good", pairs...)}
		}
		return opSign{"missing", p.T("addresses.bad"), p.T("addresses.dns."+key+".bad", pairs...)}
	}
	if n.Unknown {
		return []opSign{{"unknown", p.T("addresses.unknown"), p.T("addresses.dns.unknown")}}
	}
	name := ""
	if len(n.PTR) > 0 {
		name = clean(n.PTR[0], 255)
	}
	out := []opSign{sign(name != "", "ptr", "Name", name)}
	if name != "" {
		out = append(out, sign(n.Back, "back", "Name", name))
	}
	return append(out, sign(n.Hello, "hello", "Name", hello))
}
