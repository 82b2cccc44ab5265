package checkup

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"postern/internal/dns"
)

// Limits of RFC 7208 4.6.4, and those of a walk.
const (
	maxLookups = 10
	maxVoids   = 2
	maxMX      = 10 // exchangers of one "mx" that a receiver looks up
	maxDepth   = 12
	maxWalk    = 60 // terms that are asked for in one tree
)

// What came of asking for a term: SPFNode.Result.
const (
	TermFound    = "found"
	TermNothing  = "nothing"   // a void lookup
	TermLater    = "try later" // DNS gave no answer
	TermNoRecord = "no record" // the name of an include or a redirect has no SPF record
	TermSeveral  = "several"   // ... has several
	TermLoop     = "loop"      // the record leads back to itself
	TermMacro    = "macro"     // the name depends on the message
	TermDeep     = "deep"      // not asked: the tree is too large
)

// SPFTree is an SPF record with the records that it leads to, and what each of its terms costs (RFC 7208 4.6.4).
type SPFTree struct {
	Domain  string     `json:"domain"`                                                                             // whose record this is
	Record  string     `json:"record"`                                                                             // as published
	Lookups int        `json:"lookups" doc:"Terms that ask DNS, of all records; receivers stop at 10"`             // RFC 7208 4.6.4
	Voids   int        `json:"voids" doc:"Answers without a record among them; receivers stop at more than two"`   // RFC 7208 4.6.4
	Nodes   []*SPFNode `json:"nodes" doc:"The terms in their order"`                                               // modifiers and what follows "all" too
	Flat    []string   `json:"flat,omitempty" doc:"The addresses that the whole record lets pass today, as terms"` // without those of macros, exists and ptr
}

// SPFNode is one term of an SPF record.
type SPFNode struct {
	Term      string       `json:"term" doc:"As published"`
	Name      string       `json:"name,omitempty" doc:"What it asks for; empty where it asks for nothing"`
	Record    string       `json:"record,omitempty" doc:"The SPF record found there, of include and redirect"`
	Lookups   int          `json:"lookups" doc:"What it costs, with all below it"`
	Voids     int          `json:"voids" doc:"Answers without a record, with all below it"`
	Result    string       `json:"result,omitempty" enum:"found,nothing,try later,no record,several,loop,macro,deep" doc:"Empty where nothing was asked"`
	Addresses []netip.Addr `json:"addresses,omitempty" doc:"What a and mx lead to today"`
	Children  []*SPFNode   `json:"children,omitempty" doc:"The terms of record"`

	kind  string
	above []string // names of the records that led here
}

// termsOf are the terms of an SPF record.
func termsOf(record string) []string { return strings.Fields(record[len("v=spf1"):]) }

// walkSPF reads a record and all that it leads to. It asks level by level, each level at once, and at most maxWalk times.
func walkSPF(ctx context.Context, r dns.Resolver, name, record string) *SPFTree {
	t := &SPFTree{Domain: name, Record: record}
	top := []string{canonical(name)}
	t.Nodes = nodesOf(record, top)
	asked := 0
	level := t.Nodes
	for depth := 0; len(level) > 0; depth++ {
		var open []*SPFNode
		for _, n := range level {
			switch {
			case n.Name == "":
			case strings.Contains(n.Name, "%"):
				n.Name, n.Result = "", TermMacro
			case n.leads() && slices.Contains(n.above, canonical(n.Name)):
				n.Result = TermLoop
			case asked == maxWalk || depth == maxDepth:
				n.Result = TermDeep
			default:
				asked++
				open = append(open, n)
			}
		}
		var all sync.WaitGroup
		for _, n := range open {
			all.Go(func() { n.ask(ctx, r) })
		}
		all.Wait()
		level = nil
		for _, n := range open {
			level = append(level, n.Children...)
		}
	}
	for _, n := range t.Nodes {
		n.sum()
		t.Lookups += n.Lookups
		t.Voids += n.Voids
	}
	t.Flat = flat(t.Nodes, nil)
	return t
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// nodesOf are the terms of a record. What follows "all", and a redirect beside it, is never looked at (RFC 7208 5.1, 6.1).
func nodesOf(record string, above []string) []*SPFNode {
	terms := termsOf(record)
	out := make([]*SPFNode, len(terms))
	all, _ := allOf(record)
	ended := false
	for i, term := range terms {
		kind, value := splitTerm(term)
		n := &SPFNode{Term: clip(term, 300), kind: kind, above: above}
		out[i] = n
		if ended || kind == "redirect=" && all != "" {
			n.kind = "-"
			continue
		}
		switch kind {
		case "include", "redirect=", "a", "mx", "exists":
			n.Name, _, _ = strings.Cut(value, "/")
			if n.Name == "" {
				n.Name = above[len(above)-1]
			}
			n.Lookups = 1
		case "ptr":
			n.Lookups = 1
		case "all":
			ended = true
		}
	}
	return out
}

// leads reports whether the term leads to another record.
func (n *SPFNode) leads() bool { return n.kind == "include" || n.kind == "redirect=" }

// ask finds out where the term leads.
func (n *SPFNode) ask(ctx context.Context, r dns.Resolver) {
	switch n.kind {
	case "include", "redirect=":
		a := dns.TXT(ctx, r, n.Name)
		n.take(a)
		if n.Result == TermLater {
			return
		}
		switch below := texts(a, isSPF); len(below) {
		case 0:
			n.Result = TermNoRecord
		case 1:
			n.Record = below[0]
			n.Children = nodesOf(n.Record, append(slices.Clone(n.above), canonical(n.Name)))
		default:
			n.Result = TermSeveral
		}
	case "a":
		a := dns.Addrs(ctx, r, n.Name)
		n.take(a)
		n.Addresses = ipsOf(a)
	case "mx":
		a := dns.MX(ctx, r, n.Name)
		n.take(a)
		hosts := a.Records[:min(len(a.Records), maxMX)]
		found := make([][]netip.Addr, len(hosts))
		var all sync.WaitGroup
		for i, h := range hosts {
			if h.Host != "" {
				all.Go(func() { found[i] = ipsOf(dns.Addrs(ctx, r, h.Host)) })
			}
		}
		all.Wait()
		n.Addresses = slices.Concat(found...)
	case "exists":
		n.take(r.Query(ctx, n.Name, dns.TypeA))
	}
}

// take notes the state of an answer. One without a record is void (RFC 7208 4.6.4).
func (n *SPFNode) take(a dns.Answer) {
	switch a.Status {
	case dns.Found:
		n.Result = TermFound
	case dns.Nothing:
		n.Result = TermNothing
		n.Voids = 1
	default:
		n.Result = TermLater
	}
}

func ipsOf(a dns.Answer) []netip.Addr {
	var out []netip.Addr
	for _, r := range a.Records {
		if r.IP.IsValid() {
			out = append(out, r.IP.Unmap())
		}
	}
	return out
}

// sum adds what is below.
func (n *SPFNode) sum() {
	for _, c := range n.Children {
		c.sum()
		n.Lookups += c.Lookups
		n.Voids += c.Voids
	}
}

// find returns the first term, from the top, that is as wanted.
func find(nodes []*SPFNode, is func(*SPFNode) bool) *SPFNode {
	for _, n := range nodes {
		if is(n) {
			return n
		}
		if below := find(n.Children, is); below != nil {
			return below
		}
	}
	return nil
}

// uses reports whether a mechanism stands anywhere in the tree.
func (t *SPFTree) uses(mechanism string) bool {
	return find(t.Nodes, func(n *SPFNode) bool { return n.kind == mechanism }) != nil
}

// with returns the first term that came to one of some results.
func (t *SPFTree) with(results ...string) *SPFNode {
	return find(t.Nodes, func(n *SPFNode) bool { return slices.Contains(results, n.Result) })
}

// flat are the terms ip4 and ip6 of all that terms let pass, without repetition, in their order.
func flat(nodes []*SPFNode, to []string) []string {
	add := func(term string) {
		if !slices.Contains(to, term) && len(to) < 500 {
			to = append(to, term)
		}
	}
	for _, n := range nodes {
		if !strings.HasSuffix(n.kind, "=") && qualifier(n.Term) != "+" {
			if n.kind == "all" {
				break
			}
			continue // what does not let pass lets nobody pass
		}
		switch n.kind {
		case "ip4", "ip6":
			add(strings.ToLower(strings.TrimPrefix(n.Term, "+")))
		case "a", "mx":
			four, six := widths(n.Term)
			for _, ip := range n.Addresses {
				if ip.Is4() {
					add("ip4:" + ip.String() + four)
				} else {
					add("ip6:" + ip.String() + six)
				}
			}
		case "include", "redirect=":
			to = flat(n.Children, to)
		}
	}
	return to
}

// widths are the prefix lengths of a term "a/24//64" as they are written, "" the whole address.
func widths(term string) (four, six string) {
	_, rest, ok := strings.Cut(term, "/")
	if !ok {
		return "", ""
	}
	a, b, both := strings.Cut("/"+rest, "//")
	if a != "" {
		four = a
	}
	if both {
		six = "/" + b
	}
	return four, six
}
