package dnstest

import (
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"
)

// zones is the parsed text, never changed after parse.
type zones struct {
	names map[string]map[uint16][]mdns.RR // every name that exists, empty non-terminals included
	soas  map[string]*mdns.SOA            // by apex
}

const (
	defaultTTL  = 300 // seconds
	negativeTTL = 60  // seconds, of the SOA made for names outside all zones
	maxChain    = 16  // CNAMEs followed inside the zones
)

func parse(text string) (*zones, error) {
	z := &zones{names: map[string]map[uint16][]mdns.RR{}, soas: map[string]*mdns.SOA{}}
	p := mdns.NewZoneParser(strings.NewReader(text), ".", "zone")
	p.SetDefaultTTL(defaultTTL)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		h := rr.Header()
		h.Name = strings.ToLower(h.Name)
		name := h.Name
		z.node(name)[h.Rrtype] = append(z.node(name)[h.Rrtype], rr)
		if soa, ok := rr.(*mdns.SOA); ok {
			z.soas[name] = soa
		}
		for off, end := mdns.NextLabel(name, 0); !end; off, end = mdns.NextLabel(name, off) {
			z.node(name[off:])
		}
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("zone text: %w", err)
	}
	if root := z.node("."); len(root[mdns.TypeNS]) == 0 { // every resolver knows the root
		root[mdns.TypeNS] = []mdns.RR{&mdns.NS{Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeNS, Class: mdns.ClassINET, Ttl: defaultTTL}, Ns: "a.root-servers.invalid."}}
	}
	for name, types := range z.names {
		if len(types[mdns.TypeCNAME]) > 0 && len(types) > 1 {
			return nil, fmt.Errorf("zone text: %s has a CNAME beside other records", name)
		}
	}
	return z, nil
}

func (z *zones) node(name string) map[uint16][]mdns.RR {
	n := z.names[name]
	if n == nil {
		n = map[uint16][]mdns.RR{}
		z.names[name] = n
	}
	return n
}

// find is the node for a name, by itself or through the wildcard at its closest encloser (RFC 4592 3.3.1).
func (z *zones) find(name string) (map[uint16][]mdns.RR, bool) {
	if n, ok := z.names[name]; ok {
		return n, true
	}
	for off, end := mdns.NextLabel(name, 0); !end; off, end = mdns.NextLabel(name, off) {
		if _, ok := z.names[name[off:]]; ok {
			n, ok := z.names["*."+name[off:]]
			return n, ok
		}
	}
	n, ok := z.names["*."]
	return n, ok
}

// soa is the SOA of the zone that name is in, or one made for the root.
func (z *zones) soa(name string) mdns.RR {
	if soa, ok := z.soas[name]; ok {
		return soa
	}
	for off, end := mdns.NextLabel(name, 0); !end; off, end = mdns.NextLabel(name, off) {
		if soa, ok := z.soas[name[off:]]; ok {
			return soa
		}
	}
	if soa, ok := z.soas["."]; ok {
		return soa
	}
	return &mdns.SOA{
		Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeSOA, Class: mdns.ClassINET, Ttl: negativeTTL},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
	}
}

// answer is the true answer to q from the zones.
func (z *zones) answer(q *mdns.Msg) *mdns.Msg {
	m := rcode(q, mdns.RcodeSuccess)
	m.Authoritative = true
	m.Compress = true
	asked := q.Question[0]
	owner, name := asked.Name, strings.ToLower(asked.Name)
	for range maxChain {
		types, ok := z.find(name)
		if !ok {
			m.Rcode = mdns.RcodeNameError
			m.Ns = []mdns.RR{z.soa(name)}
			return m
		}
		if rrs := types[asked.Qtype]; len(rrs) > 0 {
			m.Answer = appendAs(m.Answer, owner, rrs)
			return m
		}
		alias := types[mdns.TypeCNAME]
		if len(alias) == 0 {
			m.Ns = []mdns.RR{z.soa(name)}
			return m
		}
		m.Answer = appendAs(m.Answer, owner, alias)
		owner = alias[0].(*mdns.CNAME).Target
		name = strings.ToLower(owner)
	}
	return m
}

// appendAs appends copies of the records with the owner name that was asked for, in its letter case and through wildcards.
func appendAs(to []mdns.RR, owner string, rrs []mdns.RR) []mdns.RR {
	for _, rr := range rrs {
		c := mdns.Copy(rr)
		c.Header().Name = owner
		to = append(to, c)
	}
	return to
}
