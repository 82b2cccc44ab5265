package checkup

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// isSPF reports whether a TXT record is an SPF record (RFC 7208 4.5): the version, then a space or the end.
func isSPF(text string) bool {
	const version = "v=spf1"
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) && (len(text) == len(version) || text[len(version)] == ' ')
}

// spf looks at the record of the domain from every address that mail leaves from.
func (l *look) spf() []Finding {
	w := l.witness()
	f := Finding{Group: SPF}
	end := func(code string, s State, args map[string]any) []Finding {
		f.Code, f.State, f.Args = code, s, args
		f.Evidence = append(w.evidence(), f.Evidence...)
		return []Finding{f}
	}
	answer := dns.TXT(l.ctx, w, string(l.domain))
	if answer.Status == dns.TryLater {
		return end("spf.unknown", Unknown, map[string]any{"Name": string(l.domain), "Why": reason(answer.Err)})
	}
	found := texts(answer, isSPF)
	if len(l.egress) == 0 {
		code := "spf.unset"
		if l.o.Smarthost {
			code = "spf.smarthost"
		}
		f.Operator = true
		return end(code, Unknown, nil)
	}
	ours := l.mechanisms(w, found)
	proposal := func(replace []string) {
		if merged := l.verified(w, found, ours); merged != "" {
			f.Records = []Record{{Name: string(l.domain), Type: "TXT", Value: merged, TTL: TTL, Replace: replace}}
		}
	}
	ips := map[string]any{"IPs": addresses(l.ips()), "Terms": strings.Join(ours, " ")}
	switch {
	case len(found) == 0:
		proposal(nil)
		return end("spf.missing", l.weight(), ips)
	case len(found) > 1:
		proposal(found)
		return end("spf.several", Problem, map[string]any{"Number": len(found)})
	}
	record := found[0]
	results := l.evaluate(w, l.domain, l.ips())
	tree := walkSPF(l.ctx, w, string(l.domain), record)
	all, redirect := allOf(record)
	if all == "+all" {
		proposal(found)
		return end("spf.open", Problem, nil)
	}
	var passing, failing []netip.Addr
	for i, ip := range l.ips() {
		switch out := results[i]; out.Result {
		case spf.Pass:
			passing = append(passing, ip)
		case spf.TempError:
			return end("spf.unknown", Unknown, map[string]any{"Name": string(l.domain), "Why": reason(out.Err)})
		case spf.PermError:
			proposal(found)
			switch {
			case errors.Is(out.Err, spf.ErrSyntax):
				return end("spf.syntax", Problem, map[string]any{"Why": reason(out.Err)})
			case tree.Lookups > maxLookups:
				return end("spf.lookups", Problem, map[string]any{"Lookups": tree.Lookups})
			case tree.Voids > maxVoids:
				return end("spf.voids", Problem, map[string]any{"Voids": tree.Voids})
			}
			return end("spf.broken", Problem, map[string]any{"Why": reason(out.Err)})
		default:
			failing = append(failing, ip)
		}
	}
	switch {
	case len(failing) > 0 && len(passing) == 0:
		proposal(found)
		return end("spf.absent", l.weight(), map[string]any{"IPs": addresses(failing)})
	case len(failing) > 0:
		proposal(found)
		return end("spf.partly", l.weight(), map[string]any{"IPs": addresses(failing), "Passing": addresses(passing)})
	case tree.Lookups > maxLookups:
		return end("spf.heavy", Advice, map[string]any{"Lookups": tree.Lookups})
	case all == "?all", all == "" && !redirect:
		proposal(found)
		return end("spf.open-end", Advice, map[string]any{"All": orNone(all)})
	case tree.uses("ptr"):
		return end("spf.ptr", Advice, nil)
	case tree.Lookups == maxLookups:
		return end("spf.full", Advice, map[string]any{"Lookups": tree.Lookups})
	}
	if all == "" {
		all = "redirect="
	}
	return end("spf.fine", Fine, map[string]any{"IPs": addresses(passing), "Lookups": tree.Lookups, "All": all})
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// weight is what a missing permission comes to: with a return path of another name receivers judge that name, and the domain's own record
// counts for little.
func (l *look) weight() State {
	if d := l.customer.ReturnDomain(); d != "" && d != l.domain {
		return Advice
	}
	return Problem
}

// ips are the addresses that mail may leave from, IPv4 first.
func (l *look) ips() []netip.Addr {
	out := make([]netip.Addr, len(l.egress))
	for i, e := range l.egress {
		out[i] = e.IP
	}
	return out
}

// evaluate asks SPF for an address of a domain from each address.
func (l *look) evaluate(r dns.Resolver, domain mail.Domain, ips []netip.Addr) []spf.Outcome {
	from := make([]EgressAddress, len(ips))
	for i, ip := range ips {
		from[i] = EgressAddress{IP: ip, HELO: l.o.Hostname}
		if i < len(l.egress) && l.egress[i].HELO != "" {
			from[i].HELO = l.egress[i].HELO
		}
	}
	return evaluateSPF(l.ctx, r, domain, from)
}

// evaluateSPF asks SPF for an address of a domain from each address.
func evaluateSPF(ctx context.Context, r dns.Resolver, domain mail.Domain, from []EgressAddress) []spf.Outcome {
	out := make([]spf.Outcome, len(from))
	for i, e := range from {
		out[i] = spf.Check(ctx, r, spf.Query{IP: e.IP, Hello: e.HELO, ReversePath: mail.Address{Local: "postmaster", Domain: domain}})
	}
	return out
}

// allPass reports whether each outcome is a pass.
func allPass(all []spf.Outcome) bool {
	return !slices.ContainsFunc(all, func(o spf.Outcome) bool { return o.Result != spf.Pass })
}

// mechanisms are the terms that let our addresses pass: the operator's include where it holds them all and a record has room for it, else the
// addresses that do not pass yet.
func (l *look) mechanisms(r dns.Resolver, found []string) []string {
	if name := l.o.SPFInclude; name != "" && l.includeHolds(r) {
		lookups := 1 // one for the include, and what is inside it
		if a := dns.TXT(l.ctx, r, name); a.Status == dns.Found {
			for _, record := range texts(a, isSPF) {
				lookups += walkSPF(l.ctx, r, name, record).Lookups
			}
		}
		if len(found) == 1 {
			lookups += walkSPF(l.ctx, r, string(l.domain), found[0]).Lookups
		}
		if lookups <= maxLookups {
			return []string{"include:" + name}
		}
	}
	passes := make([]bool, len(l.egress))
	if len(found) == 1 {
		for i, out := range l.evaluate(r, l.domain, l.ips()) {
			passes[i] = out.Result == spf.Pass && out.Mechanism != "+all" && out.Mechanism != "all"
		}
	}
	var out []string
	for i, ip := range l.ips() {
		if passes[i] {
			continue
		}
		out = append(out, term(ip))
	}
	return out
}

// includeHolds reports whether the operator's include lets every address pass.
func (l *look) includeHolds(r dns.Resolver) bool {
	return allPass(l.evaluate(r, mail.Domain(l.o.SPFInclude), l.ips()))
}

// verified merges our terms into the records found and evaluates the result as if it were published; "" when it would not help.
func (l *look) verified(r dns.Resolver, found, ours []string) string {
	for _, terms := range [][]string{ours, l.addressTerms()} {
		merged := mergeSPF(found, terms)
		if allPass(l.evaluate(published{r, string(l.domain), merged}, l.domain, l.ips())) {
			return merged
		}
	}
	return ""
}

// addressTerms name each of our addresses.
func (l *look) addressTerms() []string {
	var out []string
	for _, ip := range l.ips() {
		out = append(out, term(ip))
	}
	return out
}

// term lets an address pass.
func term(ip netip.Addr) string {
	if ip.Is4() {
		return "ip4:" + ip.String()
	}
	return "ip6:" + ip.String()
}

// published is a resolver in whose world a domain has one SPF record, ours to try.
type published struct {
	dns.Resolver
	name, record string
}

// Query is dns.Resolver.
func (p published) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	if typ == dns.TypeTXT && strings.EqualFold(strings.TrimSuffix(name, "."), p.name) {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Name: p.name, Type: dns.TypeTXT, Text: p.record}}}
	}
	return p.Resolver.Query(ctx, name, typ)
}

// mergeSPF is one record of all that are there, with terms put in front: what a receiver reads first decides. What follows "all", and what
// breaks the grammar, is left out; an end that lets everybody pass, or says nothing, becomes ~all.
func mergeSPF(found, terms []string) string {
	out := []string{"v=spf1"}
	add := func(term string) {
		if !slices.ContainsFunc(out, func(x string) bool {
			return strings.EqualFold(strings.TrimPrefix(x, "+"), strings.TrimPrefix(term, "+"))
		}) {
			out = append(out, term)
		}
	}
	for _, t := range terms {
		add(t)
	}
	end, redirect := "", ""
	for _, record := range found {
		ended := false
		for _, term := range strings.Fields(record[len("v=spf1"):]) {
			name, value := splitTerm(term)
			switch {
			case !usable(term):
			case name == "all":
				if q := qualifier(term); !ended && (end == "" || q != "-") {
					end = map[string]string{"-": "-all"}[q]
					if end == "" {
						end = "~all"
					}
				}
				ended = true
			case name == "redirect=":
				redirect = value
			case ended && name != "exp=":
			default:
				add(term)
			}
		}
	}
	switch {
	case end == "" && redirect != "" && len(found) == 1:
		return strings.Join(append(out, "redirect="+redirect), " ")
	case end == "" && redirect != "":
		add("include:" + redirect)
	}
	if end == "" {
		end = "~all"
	}
	// exp= may stand anywhere; all is last, for readers.
	return strings.Join(append(out, end), " ")
}

// splitTerm cuts a term into its name, which is lower-case and ends in "=" for modifiers, and its value.
func splitTerm(term string) (name, value string) {
	if i := strings.IndexAny(term, "=:/"); i >= 0 && term[i] == '=' {
		return strings.ToLower(term[:i+1]), term[i+1:]
	}
	term = strings.TrimLeft(term, "+-~?")
	name, value, _ = strings.Cut(term, ":")
	name, _, _ = strings.Cut(name, "/")
	return strings.ToLower(name), value
}

// qualifier is what a matching term says: "+", "-", "~" or "?".
func qualifier(term string) string {
	if strings.ContainsRune("+-~?", rune(term[0])) {
		return term[:1]
	}
	return "+"
}

// usable reports whether a term is one of those that SPF knows, with a value where it needs one. The whole record is evaluated afterwards.
func usable(term string) bool {
	if len(strings.TrimLeft(term, "+-~?")) < len(term)-1 {
		return false
	}
	for i := 0; i < len(term); i++ {
		if term[i] <= ' ' || term[i] > '~' {
			return false
		}
	}
	name, value := splitTerm(term)
	switch name {
	case "all":
		return value == "" && !strings.Contains(term, ":") && !strings.Contains(term, "/")
	case "a", "mx":
		return true
	case "ptr":
		return !strings.HasSuffix(term, ":")
	case "include", "exists", "redirect=", "exp=":
		return value != ""
	case "ip4", "ip6":
		ip, err := netip.ParseAddr(value)
		if err != nil {
			var p netip.Prefix
			if p, err = netip.ParsePrefix(value); err == nil {
				ip = p.Addr()
			}
		}
		return err == nil && ip.Is4() == (name == "ip4") && ip.Zone() == ""
	}
	return strings.HasSuffix(name, "=") && len(name) > 1
}

// allOf is the end of a record: "+all", "-all", "~all", "?all", or "" when it has none; redirect tells whether another record goes on for it.
func allOf(record string) (all string, redirect bool) {
	for _, term := range strings.Fields(record[len("v=spf1"):]) {
		switch name, _ := splitTerm(term); name {
		case "all":
			if all == "" {
				all = qualifier(term) + "all"
			}
		case "redirect=":
			redirect = true
		}
	}
	return all, redirect
}
