package checkup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/dns"
	"postern/internal/spf"
)

// stranger is an address that nobody sends from: whom a record lets pass from here, it lets everybody pass (RFC 6676: for documentation).
var stranger = EgressAddress{IP: netip.MustParseAddr("233.252.0.1"), HELO: "stranger.invalid"}

const (
	// longSPF is what a record should keep below, so that its answer fits one packet (RFC 7208 3.4).
	longSPF = 450
	// nearLookups is from when on a record is said to be near the limit.
	nearLookups = 9
	// maxProposal bounds a record that is proposed.
	maxProposal = 2000
)

// spf looks at the record, the records that it leads to, and whether they let our addresses pass.
func (v *view) spf() part {
	w := v.witness()
	end := func(code string, s State, args map[string]any, propose ...string) part {
		f := v.finding(SPF, w, code, s, args)
		for _, p := range propose {
			if p != "" {
				f.Records = []Record{{Name: string(v.domain), Type: "TXT", Value: p, TTL: TTL, Replace: texts(dns.TXT(v.ctx, w, string(v.domain)), isSPF)}}
			}
		}
		return part{findings: []Finding{f}}
	}
	answer := dns.TXT(v.ctx, w, string(v.domain))
	if answer.Status == dns.TryLater {
		return end("spf.unknown", Unknown, map[string]any{"Name": string(v.domain), "Why": reason(answer.Err)})
	}
	found := texts(answer, isSPF)
	switch {
	case len(found) == 0:
		return v.noSPF(w, answer, end)
	case len(found) > 1:
		return end("spf.many", Problem, map[string]any{"Number": len(found)}, v.workable(w, mergeSPF(found, nil)))
	}
	out := v.judgeSPF(w, found[0], end)
	out.findings = append(out.findings, v.covered(w, found)...)
	return out
}

// noSPF looks for what was meant as a record and does not count.
func (v *view) noSPF(w *witness, answer dns.Answer, end func(string, State, map[string]any, ...string) part) part {
	for _, r := range answer.Records {
		if nearSPF(r.Text) {
			p := end("spf.near-miss", Problem, map[string]any{"Found": clip(r.Text, 200)}, v.workable(w, mended(r.Text)))
			for i := range p.findings[0].Records {
				p.findings[0].Records[i].Replace = []string{r.Text}
			}
			return p
		}
	}
	if old := w.Query(v.ctx, string(v.domain), dns.TypeSPF); old.Status == dns.Found {
		if found := texts(old, isSPF); len(found) > 0 {
			return end("spf.type99", Problem, nil, v.workable(w, found[0]))
		}
	}
	return end("spf.none", Problem, nil, v.firstSPF(w))
}

// firstSPF is a record to begin with: our addresses where they are known, else the domain's own exchangers; for a domain that takes no mail, nobody.
func (v *view) firstSPF(w *witness) string {
	var terms []string
	for _, e := range v.egress() {
		terms = append(terms, term(e.IP))
	}
	takes, known := v.takesMail()
	switch {
	case len(terms) > 0:
	case takes:
		terms = []string{"mx"}
	case known:
		return v.workable(w, "v=spf1 -all")
	default:
		return ""
	}
	record := mergeSPF(nil, terms)
	if from := v.egress(); len(from) > 0 && !allPass(evaluateSPF(v.ctx, published{w, string(v.domain), record}, v.domain, from)) {
		return ""
	}
	return v.workable(w, record)
}

// workable is a record when it can be evaluated to its end, as if it were published, and lets no stranger pass; else "".
func (v *view) workable(w *witness, record string) string {
	if record == "" || len(record) > maxProposal || !isSPF(record) {
		return ""
	}
	r := published{w.next, string(v.domain), record} // not a witness: what is not published is no evidence
	tree := walkSPF(v.ctx, r, string(v.domain), record)
	if tree.Lookups > maxLookups || tree.Voids > maxVoids || tree.with(TermLater, TermNoRecord, TermSeveral, TermLoop, TermDeep) != nil {
		return ""
	}
	switch evaluateSPF(v.ctx, r, v.domain, []EgressAddress{stranger})[0].Result {
	case spf.Fail, spf.SoftFail, spf.Neutral:
		return record
	}
	return ""
}

// judgeSPF looks at the one record.
func (v *view) judgeSPF(w *witness, record string, end func(string, State, map[string]any, ...string) part) part {
	tree := walkSPF(v.ctx, w, string(v.domain), record)
	fatal := func(code string, s State, args map[string]any, propose ...string) part {
		p := end(code, s, args, propose...)
		p.spf = tree
		return p
	}
	all, redirect := allOf(record)
	out := evaluateSPF(v.ctx, w, v.domain, []EgressAddress{stranger})[0]
	costs := map[string]any{"Lookups": tree.Lookups, "Voids": tree.Voids, "Terms": costly(tree)}
	name := func(n *SPFNode) map[string]any { return map[string]any{"Name": clip(n.Name, 253), "Term": n.Term} }
	switch {
	case tree.with(TermLoop) != nil:
		return fatal("spf.loop", Problem, name(tree.with(TermLoop)), v.workable(w, mergeSPF([]string{without(record, tree, TermLoop)}, nil)))
	case out.Result == spf.Pass:
		return fatal("spf.everyone", Problem, map[string]any{"Term": orNone(out.Mechanism)}, v.workable(w, mergeSPF([]string{record}, nil)))
	case errors.Is(out.Err, spf.ErrSyntax):
		return fatal("spf.invalid", Problem, map[string]any{"Why": reason(out.Err)}, v.workable(w, mergeSPF([]string{record}, nil)))
	case tree.Lookups > maxLookups:
		return fatal("spf.over-lookups", Problem, costs, v.lighter(w, record, tree))
	case tree.Voids > maxVoids:
		costs["Names"] = voidNames(tree)
		return fatal("spf.over-voids", Problem, costs, v.workable(w, mergeSPF([]string{without(record, tree, TermNothing)}, nil)))
	case tree.with(TermLater) != nil:
		n := tree.with(TermLater)
		return fatal("spf.unknown", Unknown, map[string]any{"Name": clip(n.Name, 253), "Why": reason(dns.TXT(v.ctx, w, n.Name).Err)})
	case out.Result == spf.TempError:
		return fatal("spf.unknown", Unknown, map[string]any{"Name": string(v.domain), "Why": reason(out.Err)})
	case tree.with(TermNoRecord, TermSeveral) != nil:
		return fatal("spf.no-target", Problem, name(tree.with(TermNoRecord, TermSeveral)), v.workable(w, mergeSPF([]string{without(record, tree, TermNoRecord, TermSeveral)}, nil)))
	case out.Result == spf.PermError:
		return fatal("spf.error", Problem, map[string]any{"Why": reason(out.Err)})
	}
	p := part{spf: tree}
	add := func(code string, args map[string]any, propose ...string) {
		p.findings = append(p.findings, end(code, Advice, args, propose...).findings...)
	}
	if tree.Lookups >= nearLookups {
		add("spf.near-limit", costs, v.lighter(w, record, tree))
	}
	if tree.Voids > 0 {
		add("spf.dead-names", map[string]any{"Names": voidNames(tree), "Voids": tree.Voids}, v.workable(w, mergeSPF([]string{without(record, tree, TermNothing)}, nil)))
	}
	if tree.uses("ptr") {
		add("spf.uses-ptr", nil)
	}
	if len(record) > longSPF {
		add("spf.long", map[string]any{"Bytes": len(record)})
	}
	if all == "?all" || all == "" && !redirect {
		add("spf.no-end", map[string]any{"All": orNone(all)}, v.workable(w, mergeSPF([]string{record}, nil)))
	}
	if lost := afterAll(tree); len(lost) > 0 {
		add("spf.after-all", map[string]any{"Terms": clip(strings.Join(lost, " "), 300)})
	}
	if len(p.findings) > 0 {
		return p
	}
	code := "spf.good"
	if len(tree.Nodes) == 1 && all == "-all" {
		code = "spf.nobody"
	}
	if all == "" {
		all = "redirect="
	}
	p.findings = end(code, Fine, map[string]any{"Lookups": tree.Lookups, "Voids": tree.Voids, "All": all, "Record": clip(record, 500)}).findings
	return p
}

// egress are the addresses that the domain's mail is said to leave from.
func (v *view) egress() []EgressAddress {
	out := slices.Clone(v.o.Egress)
	for _, ip := range v.ask.IPs {
		if !slices.ContainsFunc(out, func(e EgressAddress) bool { return e.IP == ip }) {
			out = append(out, EgressAddress{IP: ip})
		}
	}
	for i := range out {
		out[i].IP = out[i].IP.Unmap()
		if out[i].HELO == "" {
			out[i].HELO = string(v.domain)
		}
		if v.ask.HELO != "" {
			out[i].HELO = v.ask.HELO
		}
	}
	return out[:min(len(out), maxEgress)]
}

// covered tells whether the addresses pass that the domain's mail is said to leave from. Those of this gateway alone are no fault of a domain that
// may have nothing to do with it.
func (v *view) covered(w *witness, found []string) []Finding {
	from := v.egress()
	if len(from) == 0 {
		return nil
	}
	var passing, failing, open []netip.Addr
	why := ""
	for i, out := range evaluateSPF(v.ctx, w, v.domain, from) {
		switch out.Result {
		case spf.Pass:
			passing = append(passing, from[i].IP)
		case spf.TempError:
			open, why = append(open, from[i].IP), reason(out.Err)
		default:
			failing = append(failing, from[i].IP)
			why = fmt.Sprintf("%s %s", out.Result, out.Mechanism)
			if out.Err != nil {
				why = reason(out.Err)
			}
		}
	}
	switch {
	case len(failing) > 0:
		f := v.finding(SPF, w, "spf.lacks", Problem, map[string]any{"IPs": addresses(failing), "Why": strings.TrimSpace(why)})
		if !slices.ContainsFunc(failing, v.asked) {
			f.Code, f.State, f.Optional = "spf.not-ours", Advice, true
		}
		var terms []string
		for _, ip := range failing {
			terms = append(terms, term(ip))
		}
		merged := mergeSPF(found, terms)
		if v.workable(w, merged) != "" && allPass(evaluateSPF(v.ctx, published{w.next, string(v.domain), merged}, v.domain, from)) {
			f.Records = []Record{{Name: string(v.domain), Type: "TXT", Value: merged, TTL: TTL, Replace: found}}
		}
		return []Finding{f}
	case len(open) > 0:
		return []Finding{v.finding(SPF, w, "spf.cover-unknown", Unknown, map[string]any{"IPs": addresses(open), "Why": why})}
	}
	return []Finding{v.finding(SPF, w, "spf.covers", Fine, map[string]any{"IPs": addresses(passing)})}
}

// asked reports whether somebody said that the domain's mail leaves from an address.
func (v *view) asked(ip netip.Addr) bool {
	return slices.ContainsFunc(v.ask.IPs, func(x netip.Addr) bool { return x.Unmap() == ip })
}

// nearSPF reports whether a TXT record was meant as an SPF record.
func nearSPF(text string) bool {
	t := strings.ToLower(strings.TrimLeft(text, " \t\r\n\"'\ufeff"))
	return strings.HasPrefix(t, "v=spf1") || strings.HasPrefix(t, "v=spf ") || strings.HasPrefix(t, "spf1 ") || strings.HasPrefix(t, "v = spf1")
}

// mended is what somebody who wrote nearly an SPF record meant.
func mended(text string) string {
	t := strings.Trim(text, " \t\r\n\"'\ufeff")
	i := strings.IndexFunc(t, func(r rune) bool { return r == ' ' || r == ';' })
	if i < 0 {
		return ""
	}
	return mergeSPF([]string{"v=spf1 " + strings.ReplaceAll(t[i+1:], ";", " ")}, nil)
}

// without is a record without the terms at its top that lead to a result.
func without(record string, t *SPFTree, results ...string) string {
	out := []string{"v=spf1"}
	for i, term := range termsOf(record) {
		if find(t.Nodes[i:i+1], func(n *SPFNode) bool { return slices.Contains(results, n.Result) }) == nil {
			out = append(out, term)
		}
	}
	return strings.Join(out, " ")
}

// costly are the terms at the top that ask DNS, the costliest first.
func costly(t *SPFTree) string {
	nodes := slices.Clone(t.Nodes)
	slices.SortStableFunc(nodes, func(a, b *SPFNode) int { return b.Lookups - a.Lookups })
	var out []string
	for _, n := range nodes {
		if n.Lookups > 0 && len(out) < 12 {
			out = append(out, fmt.Sprintf("%s (%d)", clip(n.Term, 80), n.Lookups))
		}
	}
	return strings.Join(out, ", ")
}

// voidNames are the names without a record.
func voidNames(t *SPFTree) string {
	var out []string
	var collect func([]*SPFNode)
	collect = func(nodes []*SPFNode) {
		for _, n := range nodes {
			if n.Result == TermNothing && len(out) < 10 {
				out = append(out, clip(n.Name, 253))
			}
			if len(n.Children) == 0 && n.Result == TermNoRecord && n.Voids > 0 && len(out) < 10 {
				out = append(out, clip(n.Name, 253))
			}
			collect(n.Children)
		}
	}
	collect(t.Nodes)
	return strings.Join(out, ", ")
}

// afterAll are the terms that nobody reads.
func afterAll(t *SPFTree) []string {
	var out []string
	ended := false
	for _, n := range t.Nodes {
		if ended && !strings.Contains(n.Term, "=") {
			out = append(out, n.Term)
		}
		ended = ended || n.kind == "all"
	}
	return out
}

// lighter is a record that lets the same addresses pass with fewer lookups: its costliest terms are replaced by the addresses that they lead to today.
// "" when the result would be too long, or would not work.
func (v *view) lighter(w *witness, record string, t *SPFTree) string {
	terms := termsOf(record)
	order := make([]int, 0, len(t.Nodes))
	for i, n := range t.Nodes {
		fixed := find(t.Nodes[i:i+1], func(n *SPFNode) bool {
			return n.kind == "exists" || n.kind == "ptr" || n.Result == TermMacro || n.Result == TermDeep
		}) != nil
		if n.Lookups > 0 && !fixed && qualifier(n.Term) == "+" && n.kind != "redirect=" {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return t.Nodes[b].Lookups - t.Nodes[a].Lookups })
	left := t.Lookups
	for _, i := range order {
		if left < nearLookups {
			break
		}
		terms[i] = strings.Join(flat(t.Nodes[i:i+1], nil), " ")
		left -= t.Nodes[i].Lookups
	}
	light := mergeSPF([]string{"v=spf1 " + strings.Join(terms, " ")}, nil)
	if left >= nearLookups || v.workable(w, light) == "" {
		return ""
	}
	for _, one := range t.Flat { // whoever passed before passes still
		ip, err := netip.ParseAddr(one[4:])
		if err != nil {
			continue
		}
		if out := evaluateSPF(v.ctx, published{w.next, string(v.domain), light}, v.domain, []EgressAddress{{IP: ip, HELO: string(v.domain)}}); !allPass(out) {
			return ""
		}
	}
	return light
}
