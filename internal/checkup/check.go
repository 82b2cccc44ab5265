package checkup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
	"postern/internal/tlspolicy"
)

// CheckDeadline bounds a check-up: lists and servers of others may be slow.
const CheckDeadline = 20 * time.Second

// Kind is what a target is.
type Kind string

// The kinds of targets.
const (
	OfDomain  Kind = "domain"
	OfIP      Kind = "ip"
	OfAddress Kind = "address"
)

// ErrTarget says that a text is no domain, IP or mail address.
var ErrTarget = errors.New("neither a domain, nor an IP, nor a mail address")

// Target is what a check-up looks at.
type Target struct {
	Kind    Kind
	Domain  mail.Domain  // of a domain; of an address its domain
	IP      netip.Addr   // of an IP, unmapped
	Address mail.Address // of an address
}

// ParseTarget reads what a person wrote: "example.org", "192.0.2.1", "2001:db8::1", "news@example.org". Errors wrap ErrTarget.
func ParseTarget(text string) (Target, error) {
	text = strings.TrimSpace(text)
	if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil && ip.Zone() == "" {
		return Target{Kind: OfIP, IP: ip.Unmap()}, nil
	}
	if strings.Contains(text, "@") {
		a, err := mail.ParseAddress(strings.Trim(text, "<>"))
		if err != nil {
			return Target{}, fmt.Errorf("%.80q: %w: %w", text, ErrTarget, err)
		}
		return Target{Kind: OfAddress, Address: a, Domain: a.Domain}, nil
	}
	d, err := mail.ParseDomain(strings.TrimSuffix(text, "."))
	if err != nil {
		return Target{}, fmt.Errorf("%.80q: %w: %w", text, ErrTarget, err)
	}
	if !strings.Contains(string(d), ".") {
		return Target{}, fmt.Errorf("%.80q: %w: a domain has a dot", text, ErrTarget)
	}
	return Target{Kind: OfDomain, Domain: d}, nil
}

// CheckSelector says what is wrong with the name of a DKIM selector: it is made of labels, as a domain is (RFC 6376 3.1).
func CheckSelector(name string) error {
	if len(name) > 100 {
		return fmt.Errorf("%.20q…: too long for a selector", name)
	}
	_, err := mail.ParseDomain(name + ".x.test")
	return err
}

// String is the target as a person writes it.
func (t Target) String() string {
	switch t.Kind {
	case OfIP:
		return t.IP.String()
	case OfAddress:
		return t.Address.String()
	}
	return string(t.Domain)
}

// CheckerOptions is what NewChecker needs. Resolver is required.
type CheckerOptions struct {
	Resolver dns.Resolver
	Panel    *dnsbl.Panel // blocklists; nil: none is asked, which shows as not measured
	// Egress are the addresses that our mail leaves from, with the names they give in EHLO; empty: not known, as without a gateway.
	Egress []EgressAddress
	// Probes says how servers are connected to: name servers and policy hosts of a domain, and with Ask.Probe mail servers.
	Probes Probes
	// Selectors are the DKIM selectors that a domain is known to sign with, from traffic or keys, as far as the customer of Ask may know them; nil: only those of Ask.
	Selectors func(ctx context.Context, customer string, d mail.Domain) []string
	// TLSReports is where reports about TLS towards a domain are taken, as far as the customer of Ask may know it; null, or nil: an address of the domain.
	TLSReports func(customer string, d mail.Domain) mail.Address
	Now        func() time.Time
}

// EgressAddress is an address that our mail leaves from.
type EgressAddress struct {
	IP   netip.Addr
	HELO string // name given in EHLO
}

// Ask is what one check-up is told beside its target.
type Ask struct {
	HELO       string             // name that the IP gives in EHLO; "": not known, or that of CheckerOptions.Egress
	ReturnPath mail.Domain        // domain that bounces to the sender's mail return to; "": not known
	Customer   string             // who asks; "": the gateway, which may know of everybody's domains
	Selectors  []string           // DKIM selectors to look at, beside those known
	IPs        []netip.Addr       // addresses that the domain's mail leaves from, beside CheckerOptions.Egress
	Progress   func(done, of int) // told of lists as they answer, from one goroutine at a time; nil: nobody is
	Probe      bool               // connect to the mail servers of the target: of a domain to port 25 of its MX, with TLS and no message
	Reuse      time.Duration      // with Probe of a domain: a server that was connected to within this time is not connected to again
	Relay      *RelayTest         // with Probe: test whether the IP is an open relay; nil: do not
	Callout    bool               // ask the domain's mail server whether the address of a sender exists (RCPT, no message)
	NoLists    bool               // leave the blocklists out
	Mine       Mine               // what the operator says is his, beside CheckerOptions.Egress
}

// deadline bounds the check-up: servers of ours are spoken to several times, and slow down for whoever errs.
func (a Ask) deadline() time.Duration {
	switch {
	case a.Relay != nil:
		return 3 * CheckDeadline
	case a.Probe:
		return 2 * CheckDeadline
	}
	return CheckDeadline
}

// CheckReport is what a check-up found. Its form for programs is CheckJSON.
type CheckReport struct {
	Target   Target
	At       time.Time
	Took     time.Duration
	Findings []Finding       // in the order of Groups
	Listings []dnsbl.Listing // of all lists asked, also clean and unknown ones
	SPF      *SPFTree        // of a domain or an address with an SPF record, else nil
}

// State is the worst state of what is not optional.
func (r CheckReport) State() State {
	worst := Fine
	for _, f := range r.Findings {
		if !f.Optional {
			worst = Worse(worst, f.State)
		}
	}
	return worst
}

// Of returns the findings of a group.
func (r CheckReport) Of(g Group) []Finding { return Report{Findings: r.Findings}.Of(g) }

// StateOf is the worst state of a group; "" when nothing of it was looked at.
func (r CheckReport) StateOf(g Group) State { return Report{Findings: r.Findings}.StateOf(g) }

// Checker looks at anything from outside, without a customer and without a gateway. Safe for concurrent use.
type Checker struct {
	o     CheckerOptions
	doors *seenDoors
}

// NewChecker checks the options.
func NewChecker(o CheckerOptions) (*Checker, error) {
	if o.Resolver == nil {
		return nil, errors.New("checkup: the resolver is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Checker{o: o, doors: &seenDoors{}}, nil
}

// witness asks through the resolver of the check-up and writes down what one finding rests on.
func (c *Checker) witness() *witness { return &witness{next: c.o.Resolver, seen: map[asked]bool{}} }

// part is what one part of a check-up found.
type part struct {
	findings []Finding
	listings []dnsbl.Listing
	spf      *SPFTree
	policy   *tlspolicy.STSPolicy // MTA-STS, where it could be read
	doors    []mxDoor             // exchangers that were connected to
}

// Check looks at a target: of an address at its domain too. Trouble on the network shows as Unknown in the findings, within CheckDeadline, with probes
// twice, with a relay test three times that. Errors: ErrTarget, ErrRelayTest.
func (c *Checker) Check(ctx context.Context, t Target, ask Ask) (CheckReport, error) {
	began := time.Now()
	r := CheckReport{Target: t, At: c.o.Now()}
	if err := c.CheckRelay(t, ask); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, ask.deadline())
	defer cancel()
	one := *c // with a resolver that asks each question once, and so many
	one.o.Resolver = newMemory(dns.WithBudget(c.o.Resolver, MaxQuestions))
	if f, denies := one.denied(ctx, t); denies {
		r.Findings, r.Took = []Finding{f}, time.Since(began)
		return r, nil
	}
	pair := func(f []Finding, l []dnsbl.Listing) part { return part{findings: f, listings: l} }
	atMX := func() part { return one.mxServers(ctx, t.Domain, ask) }
	ofDomain := func() part { return one.domain(ctx, t.Domain, ask) }
	var parts []func() part
	switch t.Kind {
	case OfIP:
		parts = []func() part{func() part { return pair(one.ip(ctx, t, ask)) }}
	case OfDomain:
		parts = []func() part{ofDomain, atMX}
	case OfAddress:
		parts = []func() part{func() part { return pair(one.sender(ctx, t, ask)) }, ofDomain, atMX}
	default:
		return r, ErrTarget
	}
	found := make([]part, len(parts))
	var all sync.WaitGroup
	for i, look := range parts {
		all.Go(func() { found[i] = look() })
	}
	all.Wait()
	whole := join(found)
	r.Findings, r.Listings, r.SPF = append(whole.findings, one.heldTo(t.Domain, whole.policy, whole.doors)...), whole.listings, whole.spf
	order := Groups()
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return slices.Index(order, a.Group) - slices.Index(order, b.Group) })
	r.Took = time.Since(began)
	return r, nil
}

// denied reports whether our name server denies the root of DNS, as those of closed networks do: from behind it nothing can be known.
func (c *Checker) denied(ctx context.Context, t Target) (Finding, bool) {
	if t.Kind == OfIP && dns.Inside(t.IP, c.o.Probes.Inside) {
		return Finding{}, false // which is said without a question
	}
	w := c.witness()
	if err := dns.Canary(ctx, w, ""); !errors.Is(err, dns.ErrLame) {
		return Finding{}, false
	}
	g := NameServers
	if t.Kind == OfIP {
		g = Reverse
	}
	return Finding{Group: g, Code: "dns.denied", State: Unknown, Subject: t.String(), Args: map[string]any{"Target": t.String()}, Evidence: w.evidence()}, true
}
