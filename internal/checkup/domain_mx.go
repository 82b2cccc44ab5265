package checkup

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"postern/internal/dns"
)

// maxHosts bounds the exchangers that are looked at.
const maxHosts = 16

// exchangers looks at who takes the domain's mail (RFC 5321 5.1, RFC 7505).
func (v *view) exchangers() []Finding {
	w := v.witness()
	one := func(code string, s State, args map[string]any) []Finding {
		return []Finding{v.finding(MX, w, code, s, args)}
	}
	w.Query(v.ctx, string(v.domain), dns.TypeMX)
	if v.mx.Status == dns.TryLater {
		return v.unanswered(MX, w, string(v.domain), v.mx.Err)
	}
	nulls, prefs := 0, map[string]int{}
	for _, r := range v.mx.Records {
		if prefs[r.Host]++; r.Host == "" {
			nulls++
		}
	}
	switch {
	case v.mx.Status == dns.Nothing:
		switch a := dns.Addrs(v.ctx, w, string(v.domain)); a.Status {
		case dns.TryLater:
			return v.unanswered(MX, w, string(v.domain), a.Err)
		case dns.Nothing:
			return one("mx.none", Problem, nil)
		}
		return one("mx.implicit", Advice, nil)
	case nullMX(v.mx):
		record := texts(dns.TXT(v.ctx, w, string(v.domain)), isSPF)
		if len(record) == 1 && strings.EqualFold(strings.Join(strings.Fields(record[0]), " "), "v=spf1 -all") {
			return one("mx.parked", Fine, nil)
		}
		return one("mx.null", Problem, nil)
	}
	var out []Finding
	if nulls > 0 {
		out = append(out, one("mx.null-mixed", Problem, nil)...)
	}
	for host, n := range prefs {
		if n > 1 && host != "" {
			out = append(out, one("mx.duplicate", Advice, map[string]any{"Host": clip(host, 253)})...)
		}
	}
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Code, b.Code) })
	return append(out, v.eachHost(w, len(out) == 0)...)
}

// hostLook is one exchanger with its addresses.
type hostLook struct {
	name    string
	literal bool
	alias   string
	answer  dns.Answer
	w       *witness
}

// eachHost looks at the exchangers one by one; fine tells whether all was fine until here.
func (v *view) eachHost(all *witness, fine bool) []Finding {
	hosts := v.hosts()
	looks := make([]hostLook, min(len(hosts), maxHosts))
	var wait sync.WaitGroup
	for i := range looks {
		wait.Go(func() { looks[i] = v.host(hosts[i]) })
	}
	wait.Wait()
	var out []Finding
	add := func(x hostLook, code string, s State, args map[string]any) {
		args["Host"] = clip(x.name, 253)
		f := v.finding(MX, x.w, code, s, args)
		f.Subject = clip(x.name, 253)
		out = append(out, f)
	}
	alive, six := 0, false
	for _, x := range looks {
		if x.answer.Status != dns.Nothing && !x.literal {
			alive++
		}
	}
	for _, x := range looks {
		var inner []string
		for _, ip := range ipsOf(x.answer) {
			six = six || !ip.Is4()
			if dns.Inside(ip, v.o.Probes.Inside) {
				inner = append(inner, ip.String())
			}
		}
		switch {
		case x.literal:
			add(x, "mx.literal", Problem, map[string]any{})
		case x.answer.Status == dns.TryLater:
			add(x, "mx.host-unknown", Unknown, map[string]any{"Why": reason(x.answer.Err)})
		case x.answer.Status == dns.Nothing && alive == 0:
			add(x, "mx.no-address", Problem, map[string]any{})
		case x.answer.Status == dns.Nothing:
			add(x, "mx.dead-host", Advice, map[string]any{})
		case len(inner) > 0:
			add(x, "mx.private", Problem, map[string]any{"IPs": strings.Join(inner, ", ")})
		case x.alias != "":
			add(x, "mx.alias", Advice, map[string]any{"Target": clip(x.alias, 253)})
		}
	}
	if len(out) > 0 || !fine {
		return out
	}
	for _, x := range looks {
		all.all = append(all.all, x.w.evidence()...)
	}
	names := strings.Join(hosts[:min(len(hosts), 5)], ", ")
	out = []Finding{v.finding(MX, all, "mx.fine", Fine, map[string]any{"Hosts": clip(names, 500), "Number": len(hosts)})}
	if !six {
		f := v.finding(MX, all, "mx.no-ipv6", Advice, nil)
		f.Optional = true
		out = append(out, f)
	}
	return out
}

// host looks an exchanger up.
func (v *view) host(name string) hostLook {
	x := hostLook{name: name, w: v.witness()}
	if _, err := netip.ParseAddr(name); err == nil || !dns.HostName(name) {
		x.literal = true
		x.w.note(Question{Name: string(v.domain), Type: "MX", Status: "found", Values: []string{clip(name, 253)}})
		return x
	}
	x.answer = dns.Addrs(v.ctx, x.w, name)
	if a := x.w.Query(v.ctx, name, dns.TypeCNAME); a.Status == dns.Found {
		x.alias = a.Records[0].Host
	}
	return x
}
