package dnstest

import (
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// SetAuthority lets the server behave as a name server of its zones and of nothing else, instead of as a resolver that knows them: what lies outside all
// zones with a SOA is refused, what lies at or below a name with NS records that is no apex gets a referral with the addresses that the text holds
// for it as glue (RFC 1034 4.3.2), and RA is not set. Parent and child are two servers, each with its own text.
func (s *Server) SetAuthority(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authority = on
}

// authoritative is the answer of a name server of the zones.
func (z *zones) authoritative(q *mdns.Msg) *mdns.Msg {
	asked := q.Question[0]
	name := strings.ToLower(asked.Name)
	apex, held := z.apex(name)
	if !held {
		m := rcode(q, mdns.RcodeRefused)
		m.RecursionAvailable = false
		return m
	}
	cut, below := z.cut(apex, name)
	if !below || asked.Qtype == mdns.TypeDS && name == cut {
		m := z.answer(q)
		m.RecursionAvailable = false
		return m
	}
	m := rcode(q, mdns.RcodeSuccess)
	m.RecursionAvailable = false
	for _, rr := range z.names[cut][mdns.TypeNS] {
		m.Ns = append(m.Ns, mdns.Copy(rr))
		host := z.names[strings.ToLower(rr.(*mdns.NS).Ns)]
		for _, address := range slices.Concat(host[mdns.TypeA], host[mdns.TypeAAAA]) {
			m.Extra = append(m.Extra, mdns.Copy(address))
		}
	}
	return m
}

// apex is the nearest zone with a SOA that a name lies in.
func (z *zones) apex(name string) (string, bool) {
	for {
		if _, ok := z.soas[name]; ok {
			return name, true
		}
		off, end := mdns.NextLabel(name, 0)
		if end {
			_, ok := z.soas["."]
			return ".", ok
		}
		name = name[off:]
	}
}

// cut is the highest name below the apex, at or above a name, that the zone delegates.
func (z *zones) cut(apex, name string) (string, bool) {
	found := ""
	for name != apex {
		if len(z.names[name][mdns.TypeNS]) > 0 {
			found = name
		}
		off, end := mdns.NextLabel(name, 0)
		if end {
			break
		}
		name = name[off:]
	}
	return found, found != ""
}
