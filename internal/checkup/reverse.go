package checkup

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dns"
	"postern/internal/mail"
)

// maxNames is how many names of an address are looked at: receivers look at a few only.
const maxNames = 8

// named is what the DNS says about the names of an address.
type named struct {
	names     []string // of the PTR records, at most maxNames
	of        int      // how many there are
	confirmed []string // those that lead back to the address
	hello     string   // given in EHLO; "" not known
}

// helloOf is the name that an address gives in EHLO, as far as it is known.
func (c *Checker) helloOf(ip netip.Addr, ask Ask) string {
	if ask.HELO != "" {
		return ask.HELO
	}
	for _, e := range c.o.Egress {
		if e.IP.Unmap() == ip {
			return e.HELO
		}
	}
	return ""
}

// reverse looks at the names of an address: that they exist, lead back (RFC 8601 3), and were given by somebody; and at the name in EHLO.
func (c *Checker) reverse(ctx context.Context, ip netip.Addr, ask Ask) (named, []Finding) {
	w := c.witness()
	n := named{hello: c.helloOf(ip, ask)}
	f := Finding{Group: Reverse, Subject: ip.String(), Args: map[string]any{"IP": ip.String()}}
	end := func(code string, s State) []Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		return append([]Finding{f}, c.hello(ctx, ip, n)...)
	}
	ptr := dns.PTR(ctx, w, ip)
	switch ptr.Status {
	case dns.TryLater:
		f.Args["Why"] = reason(ptr.Err)
		return n, end("reverse.unknown", Unknown)
	case dns.Nothing:
		f.Records = c.pointer(ip, n.hello)
		f.Args["Name"] = dns.ReverseName(ip)
		return n, end("reverse.none", Problem)
	}
	n.of = len(ptr.Records)
	silent, wrong := "", ""
	for _, r := range ptr.Records[:min(n.of, maxNames)] {
		n.names = append(n.names, r.Host)
		if !hostName(r.Host) {
			wrong = r.Host
			continue
		}
		switch dns.LeadsTo(ctx, w, r.Host, ip) {
		case dns.Found:
			n.confirmed = append(n.confirmed, r.Host)
		case dns.TryLater:
			silent = r.Host
		}
	}
	f.Args["Name"], f.Args["Names"] = clip(n.names[0], 255), clip(names(n.names, 5), 600)
	switch {
	case len(n.confirmed) == 0 && silent != "":
		f.Args["Why"] = "addresses of " + clip(silent, 100) + ": no answer"
		return n, end("reverse.unknown", Unknown)
	case len(n.confirmed) == 0 && wrong != "":
		f.Args["Name"] = clip(wrong, 255)
		f.Records = c.pointer(ip, n.hello)
		return n, end("reverse.no-host", Problem)
	case len(n.confirmed) == 0:
		f.Records = forward(n.names[0], ip)
		return n, end("reverse.mismatch", Problem)
	}
	f.Args["Name"] = clip(n.confirmed[0], 255)
	for _, name := range n.confirmed {
		if g, is := GenericName(name, ip); is {
			f.Args["Name"], f.Args["Mark"], f.Args["Detail"] = clip(name, 255), g.Mark, g.Detail
			f.Records = c.pointer(ip, n.hello)
			return n, end("reverse.generic", Problem)
		}
	}
	switch {
	case n.of > 1 && len(n.confirmed) < len(n.names):
		f.Args["Count"] = n.of
		return n, end("reverse.partly", Advice)
	case n.of > 1:
		f.Args["Count"] = n.of
		return n, end("reverse.several", Advice)
	case bare(n.confirmed[0]):
		return n, end("reverse.bare", Advice)
	}
	return n, end("reverse.fine", Fine)
}

// pointer is the PTR record to ask for; none where no name is known.
func (c *Checker) pointer(ip netip.Addr, hello string) []Record {
	if !hostName(hello) {
		return nil
	}
	return []Record{{Name: dns.ReverseName(ip), Type: "PTR", Value: strings.TrimSuffix(hello, ".") + ".", TTL: TTL}}
}

// forward is the address record that lets a name lead back.
func forward(name string, ip netip.Addr) []Record {
	if !hostName(name) {
		return nil
	}
	typ := "AAAA"
	if ip.Is4() {
		typ = "A"
	}
	return []Record{{Name: name, Type: typ, Value: ip.String(), TTL: TTL}}
}

// hostName reports whether a name is that of a host on the internet: a domain with a dot, no address, no wildcard.
func hostName(name string) bool {
	d, err := mail.ParseDomain(name)
	if err != nil || strings.HasPrefix(name, "[") {
		return false
	}
	_, suffix, dotted := strings.Cut(string(d), ".")
	return dotted && suffix != "localdomain" && suffix != "local" && suffix != "lan" && suffix != "internal" && !strings.HasSuffix(suffix, ".arpa")
}

// bare reports whether a name is a registered domain itself: a name of a company, not of a machine.
func bare(name string) bool {
	zone, err := publicsuffix.EffectiveTLDPlusOne(name)
	return err == nil && zone == name
}

// hello looks at the name in EHLO as receivers do.
func (c *Checker) hello(ctx context.Context, ip netip.Addr, n named) []Finding {
	w := c.witness()
	f := Finding{Group: Reverse, Subject: ip.String(), Args: map[string]any{"IP": ip.String(), "Hello": clip(n.hello, 255)}}
	end := func(code string, s State) []Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		return []Finding{f}
	}
	hello := strings.ToLower(strings.TrimSuffix(n.hello, "."))
	_, literal := mail.Domain(hello).Literal()
	_, address := netip.ParseAddr(hello)
	switch {
	case hello == "":
		f.Optional = true
		return end("helo.unset", Unknown)
	case literal || address == nil || strings.HasPrefix(hello, "["):
		f.Args["Name"] = orPhrase(strings.Join(n.confirmed[:min(len(n.confirmed), 1)], ""), "no-name")
		return end("helo.literal", Problem)
	case !hostName(hello):
		f.Args["Name"] = orPhrase(strings.Join(n.confirmed[:min(len(n.confirmed), 1)], ""), "no-name")
		return end("helo.no-host", Problem)
	case mail.FreeMail(mail.Domain(hello)):
		return end("helo.foreign", Problem)
	}
	a := dns.Addrs(ctx, w, hello)
	leads := slices.ContainsFunc(a.Records, func(r dns.Record) bool { return r.IP.Unmap() == ip })
	switch {
	case leads && (len(n.names) == 0 || slices.Contains(n.names, hello)):
		return end("helo.fine", Fine)
	case leads:
		f.Args["Name"], f.Optional = clip(n.names[0], 255), true
		return end("helo.other", Advice)
	case a.Status == dns.TryLater:
		f.Args["Why"] = reason(a.Err)
		return end("helo.unknown", Unknown)
	}
	// One family of addresses without the other is the most common way to get here: the name is right, and an A or AAAA record is missing.
	own := slices.ContainsFunc(n.names, func(name string) bool { return Registered(mail.Domain(name)) == Registered(mail.Domain(hello)) })
	f.Records = forward(hello, ip)
	switch {
	case a.Status == dns.Nothing:
		return end("helo.no-address", Problem)
	case !own && len(n.names) > 0:
		f.Args["Addresses"], f.Records = clip(addressesOf(a), 200), nil
		return end("helo.foreign", Problem)
	}
	f.Args["Addresses"] = clip(addressesOf(a), 200)
	return end("helo.elsewhere", Problem)
}

// addressesOf writes the addresses of an answer for people.
func addressesOf(a dns.Answer) string {
	var all []string
	for _, r := range a.Records {
		all = append(all, r.IP.String())
	}
	return names(all, 5)
}
