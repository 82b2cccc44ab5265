package checkup

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"postern/internal/dns"
)

// maxParents is how many addresses of the parent zone's servers are asked; the first that speaks counts.
const maxParents = 3

// handover is what the parent zone says of the zone: its servers, and the addresses that go with their names.
type handover struct {
	parent  string
	status  dns.Status
	own     bool // the parent's servers hold the zone as well
	why     Phrase
	servers []string // sorted
	glue    map[string][]netip.Addr
	w       *witness
}

// handedOver asks the servers of the parent zone for the delegation, without recursion (RFC 1034 4.2.1, 4.2.2).
func (v *view) handedOver(zone string) handover {
	h := handover{w: v.witness(), why: "ns-none", glue: map[string][]netip.Addr{}}
	parent, ns := v.parentOf(h.w, zone)
	if h.parent = parent; ns.Status != dns.Found {
		if ns.Status == dns.TryLater {
			_, h.why = stateOf(ns)
		}
		return h
	}
	ips := v.parentAddresses(h.w, ns)
	said := make([]dns.Delegation, len(ips))
	var all sync.WaitGroup
	for i, ip := range ips {
		all.Go(func() { said[i] = v.delegation(ip, zone, h.w) })
	}
	all.Wait()
	h.why = "ns-network"
	for _, d := range said {
		if d.Status == dns.TryLater {
			_, h.why = stateOf(dns.Answer{Err: d.Err})
			continue
		}
		h.status, h.own = d.Status, d.Own
		for _, r := range d.Servers {
			if len(h.servers) < maxServers && !slices.Contains(h.servers, r.Host) {
				h.servers = append(h.servers, r.Host)
			}
		}
		slices.Sort(h.servers)
		for _, r := range d.Glue {
			h.glue[r.Name] = append(h.glue[r.Name], r.IP.Unmap())
		}
		break
	}
	return h
}

// parentOf is the zone above a zone, and its name servers.
func (v *view) parentOf(r dns.Resolver, zone string) (string, dns.Answer) {
	for name := zone; ; {
		_, above, more := strings.Cut(name, ".")
		if !more {
			above = "."
		}
		a := r.Query(v.ctx, above, dns.TypeNS)
		if a.Status != dns.Nothing || !more {
			return above, a
		}
		name = above
	}
}

// parentAddresses are addresses of the parent's servers, IPv4 first, each of another server as far as they go.
func (v *view) parentAddresses(r dns.Resolver, ns dns.Answer) []netip.Addr {
	records := ns.Records[:min(len(ns.Records), maxParents)]
	found := make([]dns.Answer, len(records))
	var all sync.WaitGroup
	for i, rec := range records {
		all.Go(func() { found[i] = dns.Addrs(v.ctx, r, rec.Host) })
	}
	all.Wait()
	var first, more []netip.Addr
	for _, a := range found {
		taken := false
		for _, ip := range ipsOf(a) {
			switch {
			case dns.Inside(ip, v.o.Probes.Inside):
			case !taken:
				first, taken = append(first, ip), true
			default:
				more = append(more, ip)
			}
		}
	}
	out := append(first, more...)
	return out[:min(len(out), maxParents)]
}

// delegation asks one address of a parent's server, and writes down what it said.
func (v *view) delegation(ip netip.Addr, zone string, w *witness) dns.Delegation {
	at, err := v.at(ip)
	if err != nil {
		return dns.Delegation{Err: dns.ErrNetwork}
	}
	d := at.Delegation(v.ctx, zone)
	q := Question{Name: zone, Type: dns.TypeNS.String(), Server: ip.String(), Status: d.Status.String()}
	for _, r := range d.Servers {
		q.Values = append(q.Values, clip(r.Host, 253)+".")
	}
	for _, r := range d.Glue {
		q.Values = append(q.Values, clip(r.Name, 253)+". "+r.Type.String()+" "+r.IP.String())
	}
	q.Values = q.Values[:min(len(q.Values), 2*maxValues)]
	if d.Status == dns.TryLater {
		q.Why = reason(d.Err)
	}
	w.note(q)
	return d
}

// compare holds the delegation against what the zone's own servers say. They have been asked, and one of them at least answered for the zone.
func (v *view) compare(zone string, h handover, servers []nameServer) []Finding {
	all := v.witness()
	all.all = h.w.evidence()
	for _, s := range servers {
		for _, q := range s.w.evidence() {
			if q.Type == dns.TypeNS.String() {
				all.note(q)
			}
		}
	}
	args := func(more map[string]any) map[string]any {
		more["Zone"], more["Parent"] = zone, h.parent
		return more
	}
	one := func(code string, s State, more map[string]any) []Finding {
		return []Finding{v.finding(NameServers, all, code, s, args(more))}
	}
	switch {
	case h.status == dns.TryLater:
		return one("ns.parent-unknown", Unknown, map[string]any{"Why": h.why})
	case h.status == dns.Nothing:
		return one("ns.undelegated", Problem, map[string]any{})
	case h.own:
		return one("ns.delegation-inside", Fine, map[string]any{})
	}
	var out []Finding
	if child, same := ownSet(servers, h.servers); !same && len(child) > 0 {
		state := Problem // nothing in common: the zone has moved, and half of the world asks the old servers
		if slices.ContainsFunc(child, func(n string) bool { return slices.Contains(h.servers, n) }) {
			state = Advice
		}
		out = append(out, one("ns.parent-differs", state, map[string]any{"Servers": clip(strings.Join(h.servers, ", "), 500), "Child": clip(strings.Join(child, ", "), 500)})...)
	}
	if out = append(out, v.compareGlue(zone, h, servers, args)...); len(out) > 0 {
		return out
	}
	return one("ns.delegation-fine", Fine, map[string]any{"Servers": clip(strings.Join(h.servers, ", "), 500)})
}

// ownSet is the set that the zone's servers name, and whether one of them names the same as the parent.
func ownSet(servers []nameServer, parent []string) (child []string, same bool) {
	for _, s := range servers {
		for _, x := range s.asked {
			if x.state != "ok" || x.set == "" {
				continue
			}
			set := strings.Split(x.set, ", ")
			if slices.Equal(set, parent) {
				return set, true
			}
			if child == nil {
				child = set
			}
		}
	}
	return child, false
}

// compareGlue looks at the addresses that the parent gives with the names of servers. For those within the zone it has to (RFC 1034 4.2.1, RFC 9471 3).
func (v *view) compareGlue(zone string, h handover, servers []nameServer, args func(map[string]any) map[string]any) []Finding {
	var out []Finding
	usable := 0 // servers that can be found without asking the zone itself
	within := func(name string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }
	for _, name := range h.servers {
		if !within(name) || len(h.glue[name]) > 0 {
			usable++
		}
	}
	for _, name := range h.servers {
		glue := h.glue[name]
		if !within(name) && len(glue) == 0 {
			continue
		}
		w := v.witness()
		w.all = h.w.evidence()
		add := func(code string, s State, more map[string]any) {
			more["Server"] = clip(name, 253)
			f := v.finding(NameServers, w, code, s, args(more))
			f.Subject = clip(name, 253)
			out = append(out, f)
		}
		real := v.addressesAt(name, servers, w)
		slices.SortFunc(glue, netip.Addr.Compare)
		slices.SortFunc(real, netip.Addr.Compare)
		glue, real = slices.Compact(glue), slices.Compact(real)
		switch {
		case len(glue) == 0 && usable == 0:
			add("ns.glue-missing", Problem, map[string]any{"IPs": orPhrase(addresses(real), "nothing")})
		case len(glue) == 0:
			add("ns.glue-missing", Advice, map[string]any{"IPs": orPhrase(addresses(real), "nothing")})
		case len(real) == 0 || slices.Equal(glue, real): // that it has no address, or that DNS does not say, is told elsewhere
		case slices.ContainsFunc(glue, func(ip netip.Addr) bool { return slices.Contains(real, ip) }):
			add("ns.glue-differs", Advice, map[string]any{"Glue": addresses(glue), "IPs": addresses(real)})
		default:
			add("ns.glue-differs", Problem, map[string]any{"Glue": addresses(glue), "IPs": addresses(real)})
		}
	}
	return out
}

// addressesAt are the addresses of a name server as the zone itself gives them: asked at one of its servers, for a resolver may answer with the glue;
// for a name that they do not hold, those that the resolver gives. None unless both families were answered.
func (v *view) addressesAt(name string, servers []nameServer, w *witness) []netip.Addr {
	for _, s := range servers {
		i := slices.IndexFunc(s.asked, func(x served) bool { return x.state == "ok" })
		if i < 0 {
			continue
		}
		at, err := v.at(s.asked[i].ip)
		if err != nil {
			continue
		}
		from := &witness{next: at, seen: map[asked]bool{}}
		if four, six, known := v.bothFamilies(from, name); known && four.Authoritative && six.Authoritative {
			for _, q := range from.evidence() {
				q.Server = s.asked[i].ip.String()
				w.note(q)
			}
			return append(ipsOf(four), ipsOf(six)...)
		}
		break
	}
	if four, six, known := v.bothFamilies(w, name); known {
		return append(ipsOf(four), ipsOf(six)...)
	}
	return nil
}

// bothFamilies asks for A and AAAA; known: both were answered.
func (v *view) bothFamilies(r dns.Resolver, name string) (four, six dns.Answer, known bool) {
	var both sync.WaitGroup
	both.Go(func() { six = r.Query(v.ctx, name, dns.TypeAAAA) })
	four = r.Query(v.ctx, name, dns.TypeA)
	both.Wait()
	return four, six, four.Status != dns.TryLater && six.Status != dns.TryLater
}
