package checkup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
)

// Bounds of a look at name servers.
const (
	maxServers   = 13 // names that are looked at: as many as the root has
	maxPerServer = 2  // addresses of each family that are asked
	nsTimeout    = 2 * time.Second
)

// nameServer is one name server of the zone.
type nameServer struct {
	name  string
	alias string
	addrs dns.Answer
	inner []string // addresses that are not on the internet
	asked []served
	w     *witness
}

// served is what came back from one address of a name server.
type served struct {
	ip     netip.Addr
	state  string // "ok", "lame", "silent"
	why    Phrase
	serial uint32
	set    string // the names that it holds for the zone, sorted
}

// nameServers looks at the servers of the zone that the domain lies in, one by one (RFC 1034 4.1, RFC 1912 2, RFC 2182).
func (v *view) nameServers() []Finding {
	w := v.witness()
	zone, ns := v.zone(w)
	switch {
	case ns.Status == dns.TryLater:
		return v.unanswered(NameServers, w, zone, ns.Err)
	case ns.Status == dns.Nothing:
		return []Finding{v.finding(NameServers, w, "ns.unknown", Unknown, map[string]any{"Name": zone, "Why": Phrase("ns-none")})}
	}
	var hosts []string
	for _, r := range ns.Records {
		if !slices.Contains(hosts, r.Host) && len(hosts) < maxServers {
			hosts = append(hosts, r.Host)
		}
	}
	slices.Sort(hosts)
	servers := make([]nameServer, len(hosts))
	var all sync.WaitGroup
	for i, h := range hosts {
		all.Go(func() { servers[i] = v.nameServer(zone, h) })
	}
	var soa, wild []Finding
	var above handover
	all.Go(func() { soa = v.startOf(zone) })
	all.Go(func() { wild = v.wildcard() })
	all.Go(func() { above = v.handedOver(zone) })
	all.Wait()
	servers = append(servers, v.onlyAbove(zone, hosts, above)...)
	out, answered := v.eachServer(zone, servers)
	out = append(out, v.together(zone, servers, w)...)
	out = append(append(out, soa...), wild...)
	var handed []Finding
	if answered { // else the way from here is closed or leads elsewhere, for the parent's servers as well
		handed = v.compare(zone, above, servers)
	}
	fine := func(f Finding) bool { return f.State == Fine }
	if out = append(out, slices.DeleteFunc(slices.Clone(handed), fine)...); len(out) > 0 {
		return out
	}
	for _, s := range servers {
		for _, q := range s.w.evidence() {
			w.note(q)
		}
	}
	return append([]Finding{v.finding(NameServers, w, "ns.fine", Fine, map[string]any{"Zone": zone, "Number": len(servers), "Servers": strings.Join(hosts, ", ")})}, handed...)
}

// onlyAbove looks at the servers that the parent names and the zone does not: half of the world asks them.
func (v *view) onlyAbove(zone string, hosts []string, above handover) []nameServer {
	var missing []string
	for _, h := range above.servers {
		if !above.own && !slices.Contains(hosts, h) && len(hosts)+len(missing) < maxServers {
			missing = append(missing, h)
		}
	}
	out := make([]nameServer, len(missing))
	var all sync.WaitGroup
	for i, h := range missing {
		all.Go(func() { out[i] = v.nameServer(zone, h) })
	}
	all.Wait()
	return out
}

// nameServer looks one name up and asks its addresses.
func (v *view) nameServer(zone, name string) nameServer {
	s := nameServer{name: name, w: v.witness()}
	s.addrs = dns.Addrs(v.ctx, s.w, name)
	if a := s.w.Query(v.ctx, name, dns.TypeCNAME); a.Status == dns.Found {
		s.alias = a.Records[0].Host
	}
	four, six := 0, 0
	var ask []netip.Addr
	for _, ip := range ipsOf(s.addrs) {
		switch {
		case dns.Inside(ip, v.o.Probes.Inside):
			s.inner = append(s.inner, ip.String())
		case ip.Is4() && four < maxPerServer:
			four++
			ask = append(ask, ip)
		case !ip.Is4() && six < maxPerServer:
			six++
			ask = append(ask, ip)
		}
	}
	s.asked = make([]served, len(ask))
	var all sync.WaitGroup
	for i, ip := range ask {
		all.Go(func() { s.asked[i] = v.serves(zone, ip, s.w) })
	}
	all.Wait()
	return s
}

// serves asks one address of a name server whether it holds the zone, and what it holds.
func (v *view) serves(zone string, ip netip.Addr, w *witness) served {
	out := served{ip: ip}
	at, err := v.at(ip)
	if err != nil {
		out.state, out.why = "silent", "ns-network"
		return out
	}
	var set dns.Answer
	var both sync.WaitGroup
	both.Go(func() { set = at.Query(v.ctx, zone, dns.TypeNS) })
	soa := at.Query(v.ctx, zone, dns.TypeSOA)
	both.Wait()
	for _, x := range []struct {
		typ dns.Type
		a   dns.Answer
	}{{dns.TypeSOA, soa}, {dns.TypeNS, set}} {
		q := question(asked{zone, x.typ}, x.a)
		q.Server = ip.String()
		w.note(q)
	}
	out.state, out.why = stateOf(soa)
	if out.state == "ok" && soa.Records[0].SOA != nil {
		out.serial = soa.Records[0].SOA.Serial
	}
	var names []string
	for _, r := range set.Records {
		names = append(names, r.Host)
	}
	slices.Sort(names)
	if set.Status == dns.Found {
		out.set = strings.Join(slices.Compact(names), ", ")
	}
	return out
}

// at asks one name server for what it holds itself.
func (v *view) at(ip netip.Addr) (*dns.Client, error) {
	timeout := nsTimeout
	if t := v.o.Probes.Timeout; t > 0 {
		timeout = min(timeout, t)
	}
	return dns.At(ip, dns.Options{Timeout: timeout, Dial: v.dial})
}

// stateOf is what an answer to the question for the zone's start says of a server.
func stateOf(soa dns.Answer) (string, Phrase) {
	switch {
	case soa.Status == dns.Found && soa.Authoritative:
		return "ok", ""
	case soa.Status == dns.Found:
		return "lame", "ns-not-authoritative"
	case soa.Status == dns.Nothing:
		return "lame", "ns-no-zone"
	case errors.Is(soa.Err, dns.ErrTimeout):
		return "silent", "ns-timeout"
	case errors.Is(soa.Err, dns.ErrNetwork), errors.Is(soa.Err, dns.ErrBusy), errors.Is(soa.Err, dns.ErrBudget):
		return "silent", "ns-network"
	case errors.Is(soa.Err, dns.ErrRefused):
		return "lame", "ns-refused"
	case errors.Is(soa.Err, dns.ErrLame):
		return "lame", "ns-referral"
	case errors.Is(soa.Err, dns.ErrServFail):
		return "lame", "ns-servfail"
	}
	return "lame", "ns-odd"
}

// eachServer says what is wrong with single servers. A server is called silent when another of its address family answers, else it may be us; and when
// none of them answers for the zone (answered is false), which the resolver could find all the same, the way from here is closed or leads elsewhere.
func (v *view) eachServer(zone string, servers []nameServer) (out []Finding, answered bool) {
	heard := map[bool]bool{} // by address family
	for _, s := range servers {
		for _, x := range s.asked {
			heard[x.ip.Is4()] = heard[x.ip.Is4()] || x.state != "silent"
			answered = answered || x.state == "ok"
		}
	}
	add := func(s nameServer, code string, st State, args map[string]any) {
		args["Server"], args["Zone"] = clip(s.name, 253), zone
		f := v.finding(NameServers, s.w, code, st, args)
		f.Subject = clip(s.name, 253)
		out = append(out, f)
	}
	var unheard []string
	for _, s := range servers {
		switch {
		case s.addrs.Status == dns.TryLater:
			add(s, "ns.address-unknown", Unknown, map[string]any{"Why": reason(s.addrs.Err)})
			continue
		case s.addrs.Status == dns.Nothing:
			add(s, "ns.no-address", Problem, map[string]any{})
			continue
		case len(s.inner) > 0:
			add(s, "ns.private", Problem, map[string]any{"IPs": strings.Join(s.inner, ", ")})
		case s.alias != "":
			add(s, "ns.alias", Problem, map[string]any{"Target": clip(s.alias, 253)})
		}
		for _, x := range s.asked {
			switch {
			case x.state == "ok":
			case !answered:
				unheard = append(unheard, x.ip.String())
			case x.state == "lame":
				add(s, "ns.lame", Problem, map[string]any{"IP": x.ip.String(), "Why": x.why})
			case heard[x.ip.Is4()]:
				add(s, "ns.silent", Problem, map[string]any{"IP": x.ip.String(), "Why": x.why})
			}
		}
	}
	if len(unheard) > 0 {
		w := v.witness()
		for _, s := range servers {
			for _, q := range s.w.evidence() {
				w.note(q)
			}
		}
		out = append(out, v.finding(NameServers, w, "ns.unheard", Unknown, map[string]any{"IPs": strings.Join(unheard, ", "), "Zone": zone}))
	}
	return out, answered
}

// together says what is wrong with the servers as a whole.
func (v *view) together(zone string, servers []nameServer, w *witness) []Finding {
	var out []Finding
	add := func(code string, s State, args map[string]any) {
		args["Zone"] = zone
		all := v.witness()
		all.all = w.evidence()
		for _, s := range servers {
			for _, q := range s.w.evidence() {
				all.note(q)
			}
		}
		out = append(out, v.finding(NameServers, all, code, s, args))
	}
	var ips []netip.Addr
	serials, sets := map[uint32][]string{}, map[string][]string{}
	known := true
	for _, s := range servers {
		known = known && s.addrs.Status != dns.TryLater
		ips = append(ips, ipsOf(s.addrs)...)
		for _, x := range s.asked {
			if x.state == "ok" {
				serials[x.serial] = append(serials[x.serial], x.ip.String())
				if x.set != "" {
					sets[x.set] = append(sets[x.set], x.ip.String())
				}
			}
		}
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	ips = slices.Compact(ips)
	switch {
	case len(servers) == 1 || known && len(ips) == 1:
		add("ns.single", Problem, map[string]any{"Server": servers[0].name})
	case known && oneNet(ips):
		add("ns.same-net", Advice, map[string]any{"IPs": addresses(ips)})
	}
	if len(serials) > 1 {
		var each []string
		for n, at := range serials {
			each = append(each, fmt.Sprintf("%d (%s)", n, strings.Join(at, ", ")))
		}
		slices.Sort(each)
		add("ns.serials", Advice, map[string]any{"Serials": strings.Join(each, "; ")})
	}
	if len(sets) > 1 {
		var each []string
		for set, at := range sets {
			each = append(each, fmt.Sprintf("%s: %s", strings.Join(at, ", "), clip(set, 200)))
		}
		slices.Sort(each)
		add("ns.sets", Advice, map[string]any{"Sets": strings.Join(each, "; ")})
	}
	return out
}

// oneNet reports whether all addresses lie in one network of the size that one router serves: /24 and /48 (RFC 2182 3.1).
func oneNet(ips []netip.Addr) bool {
	nets := map[netip.Prefix]bool{}
	for _, ip := range ips {
		bits := 24
		if !ip.Is4() {
			bits = 48
		}
		p, err := ip.Prefix(bits)
		if err != nil {
			return false
		}
		nets[p] = true
	}
	return len(nets) == 1 && len(ips) > 1
}

// Bounds of what a zone says of its copies, wide: RFC 1912 2.2 and RFC 2308 5 advise, operators differ.
const (
	leastRefresh = 5 * time.Minute
	mostRefresh  = 2 * 24 * time.Hour
	leastExpire  = 7 * 24 * time.Hour
	mostMinimum  = 24 * time.Hour
)

// startOf looks at the SOA of the zone.
func (v *view) startOf(zone string) []Finding {
	w := v.witness()
	a := w.Query(v.ctx, zone, dns.TypeSOA)
	if a.Status != dns.Found || a.Records[0].SOA == nil {
		return nil // the servers themselves are asked as well
	}
	soa, primary := a.Records[0].SOA, a.Records[0].Host
	var out []Finding
	add := func(code string, args map[string]any) {
		args["Zone"] = zone
		out = append(out, v.finding(NameServers, w, code, Advice, args))
	}
	if !dns.HostName(primary) || dns.Addrs(v.ctx, w, primary).Status == dns.Nothing {
		add("ns.soa-primary", map[string]any{"Primary": orNone(clip(primary, 253))})
	}
	if soa.Refresh < leastRefresh || soa.Refresh > mostRefresh {
		add("ns.soa-refresh", map[string]any{"Value": soa.Refresh})
	}
	if soa.Retry >= soa.Refresh {
		add("ns.soa-retry", map[string]any{"Value": soa.Retry, "Refresh": soa.Refresh})
	}
	if soa.Expire < leastExpire {
		add("ns.soa-expire", map[string]any{"Value": soa.Expire})
	}
	if soa.Minimum > mostMinimum {
		add("ns.soa-minimum", map[string]any{"Value": soa.Minimum})
	}
	return out
}

// wildcard asks for a name that nobody has: an answer means that every name has one, that of a DKIM selector that does not exist too.
func (v *view) wildcard() []Finding {
	const nobody = "postern-asks-for-a-name-that-is-not-here"
	if len(nobody)+1+len(v.domain) > 253 {
		return nil
	}
	w := v.witness()
	if a := dns.TXT(v.ctx, w, nobody+"."+string(v.domain)); a.Status != dns.Found {
		return nil
	}
	return []Finding{v.finding(NameServers, w, "ns.wildcard", Advice, nil)}
}
