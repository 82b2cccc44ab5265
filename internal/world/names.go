package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
)

// ttl is how long answers may be remembered, in seconds: the story mends records and wants the next message to see it.
const ttl = 1

// Record is one DNS record in text form.
type Record struct {
	Name  string // without a final dot
	Type  string // "A", "MX", "TXT", …
	Value string // as in a zone file; a TXT is its bare text
}

// Names is the DNS of a world: one server that knows every zone, whose records can be changed while it runs.
type Names struct {
	server *dnstest.Server

	mu      sync.Mutex
	records []Record
}

func newNames() (*Names, error) {
	server, err := dnstest.New("")
	if err != nil {
		return nil, err
	}
	return &Names{server: server}, nil
}

// Addr is the server's address, host:port, UDP and TCP.
func (n *Names) Addr() string { return n.server.Addr() }

func (n *Names) close() { n.server.Close() }

// Set replaces all records.
func (n *Names) Set(records []Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.put(records)
}

// Publish adds a record.
func (n *Names) Publish(r Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.put(append(slices.Clone(n.records), r))
}

// Replace puts a record in the place of all those of its name and type.
func (n *Names) Replace(r Record) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(n.records), func(old Record) bool {
		return strings.EqualFold(old.Name, r.Name) && strings.EqualFold(old.Type, r.Type)
	})
	return n.put(append(rest, r))
}

func (n *Names) put(records []Record) error {
	if err := n.server.Set(zoneText(records)); err != nil {
		return err
	}
	n.records = records
	return nil
}

// zoneText writes zones with an SOA and a name server for the root, for the reverse names and for each domain of the world.
func zoneText(records []Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL %d\n", ttl)
	for _, apex := range zonesOf(records) {
		fmt.Fprintf(&b, "%s IN SOA ns.example. hostmaster.example. 1 3600 600 86400 %d\n%s IN NS ns.example.\n", apex, ttl, apex)
	}
	b.WriteString("ns.example. IN A 127.0.0.1\n" + testPoints() + listing())
	for _, r := range records {
		value := r.Value
		if r.Type == "TXT" {
			value = quoted(value)
		}
		fmt.Fprintf(&b, "%s. IN %s %s\n", r.Name, r.Type, value)
	}
	return b.String()
}

// testPoints are the addresses that every blocklist holds so that others can see it lives (RFC 5782 5): without them a gateway takes the
// lists for empty.
func testPoints() string {
	var b strings.Builder
	for _, l := range dnsbl.Directory() {
		if (l.Kinds&dnsbl.IP4 != 0 || l.TestListed != "") && l.Access != dnsbl.Web && !strings.Contains(l.Zone, "<") {
			fmt.Fprintf(&b, "2.0.0.127.%s. IN A 127.0.0.2\n", l.Zone)
		}
	}
	return b.String()
}

// listing is the one listing of this internet: a web host's domain, which sent for somebody else, on a list that the filter does not ask.
func listing() string {
	name := hostingDomain + ".uribl.spameatingmonkey.net."
	return name + " IN A 127.0.0.2\n" + name + " IN TXT \"links in mail to traps; a site of this host was broken into\"\n"
}

// zonesOf names the apexes, with final dots: the root, the reverse zone, and NAME.example of each record.
func zonesOf(records []Record) []string {
	apexes := []string{".", "127.in-addr.arpa."}
	for _, r := range records {
		labels := strings.Split(strings.ToLower(r.Name), ".")
		if len(labels) < 2 || labels[len(labels)-1] != "example" {
			continue
		}
		apex := strings.Join(labels[len(labels)-2:], ".") + "."
		if !slices.Contains(apexes, apex) {
			apexes = append(apexes, apex)
		}
	}
	return apexes
}

// quoted cuts a text into the strings of a TXT record (RFC 1035 3.3: at most 255 bytes each).
func quoted(text string) string {
	var parts []string
	for len(text) > 255 {
		parts, text = append(parts, `"`+text[:255]+`"`), text[255:]
	}
	return strings.Join(append(parts, `"`+text+`"`), " ")
}

// pointer is the reverse record of an address.
func pointer(ip netip.Addr, host string) Record {
	return Record{strings.TrimSuffix(dns.ReverseName(ip), "."), "PTR", host + "."}
}

// spfOfGateway is the record that lets the gateway send for a domain.
var spfOfGateway = "v=spf1 ip4:" + Egress.String() + " -all"

// records are those of the world's first day.
func (w *World) records() []Record {
	out := []Record{
		{"postern.example", "MX", "10 " + homeHost + "."},
		{"_dmarc.postern.example", "TXT", "v=DMARC1; p=reject"},
		{GatewayHost, "A", Egress.String()}, {GatewayHost, "MX", "10 " + homeHost + "."}, {GatewayHost, "TXT", spfOfGateway}, pointer(Egress, GatewayHost),
	}
	for _, p := range w.Providers {
		out = append(out, Record{p.Host, "A", p.IP.String()}, pointer(p.IP, p.Host))
		if p.Host != p.Domain {
			out = append(out, Record{p.Domain, "MX", "10 " + p.Host + "."})
		}
	}
	out = append(out, Record{NoMail, "MX", "0 ."}, Record{NoMail, "A", "127.0.20.250"})
	for _, d := range senderDomains() {
		out = append(out, Record{d.name, "MX", "10 " + homeHost + "."})
		if d.spf != "" {
			out = append(out, Record{d.name, "TXT", d.spf})
		}
		if d.dmarc != "" {
			out = append(out, Record{"_dmarc." + d.name, "TXT", d.dmarc})
		}
	}
	return out
}
