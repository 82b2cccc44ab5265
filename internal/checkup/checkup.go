// Package checkup looks at domains, addresses and senders as receivers do, and says what to mend, with the records to publish.
//
// # What it does
//
// SetUp looks at one domain of one customer, as mail that leaves through this gateway needs it: SPF from every address that his mail may leave
// from, each DKIM key, the DMARC policy, the return path, whether the domain can take an answer, what it publishes for the mail it receives, and
// the reverse DNS of the gateway.
//
// Checker.Check looks at anything from outside, without a customer and without a gateway: a domain (domain*.go: blocklists, the name servers one
// by one, MX, the SPF record as a tree, DKIM, DMARC, MTA-STS with its file, TLS-RPT, BIMI, DNSSEC, CAA), an IP (its names, lists, neighbours and
// servers), a sender's address. CheckReport.Score sums it up, CheckReport.JSON is its form for programs.
//
// Both return Findings: a state, a stable code with its figures, what was asked and what was found, and the records to publish, ready to copy.
// Every SPF record that is proposed has been evaluated before as if it were published, so that publishing it helps.
//
// Challenge and Prove are the proof that a customer controls a domain: a TXT record whose value is an HMAC over customer and domain.
//
// # What it does not
//
// It changes nothing: keys and domains are account's matter. It does not guess DKIM selectors: a key is looked at when its selector is known from
// keys, traffic or a person, and without one DKIM is Unknown. SetUp opens no connection but to the resolver. Check asks name servers and policy
// hosts itself, and mail servers only when Ask says so; addresses that are not on the internet are never connected to but those of Probes.Inside,
// for strangers choose what is behind their names.
//
// # States
//
// Fine, Advice, Problem, Unknown. Unknown is a state of its own: an answer that did not come is never fine, and never a problem either.
//
// # Who calls it
//
// portal, api, cli and reputation; Words puts a finding into a reader's language (texts checkup*.LANG.yaml). Everything is safe for concurrent
// use.
//
// # How it fails
//
// SetUp fails only for a customer or domain that does not exist here, Check only for no target and for a relay test that is refused. Trouble with DNS
// shows as Unknown within Deadline and CheckDeadline. Questions are bounded (MaxQuestions), and each is asked once for a report.
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

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/mail"
)

const (
	// Deadline bounds a report.
	Deadline = 5 * time.Second
	// MaxQuestions bounds what one report asks the DNS.
	MaxQuestions = 400
	// TTL is what records should have while they are being set up, in seconds.
	TTL = 3600

	maxEgress = 32 // addresses that SPF is evaluated from
	maxValues = 12 // values kept of one answer
	maxValue  = 2048
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrNotHis: the domain is none of the customer's, nor below one.
	ErrNotHis = errors.New("checkup: not a domain of this customer")
	// ErrUnproved: the record that proves the domain is not there.
	ErrUnproved = errors.New("checkup: the domain is not proved")
	// ErrNoAnswer: DNS did not say whether the record is there.
	ErrNoAnswer = errors.New("checkup: no answer from DNS")
)

// State is what a finding comes to.
type State string

// The states, the worst last.
const (
	Fine    State = "fine"
	Advice  State = "advice"  // works; could be better
	Unknown State = "unknown" // not measured, and therefore not fine
	Problem State = "problem" // receivers will hold it against the mail
)

// rank orders states.
func (s State) rank() int { return slices.Index([]State{Fine, Advice, Unknown, Problem}, s) }

// Worse returns the worse of two states; the empty state is none.
func Worse(a, b State) State {
	if a.rank() >= b.rank() {
		return a
	}
	return b
}

// Group is what a finding is about. Text checkup.group.GROUP.
type Group string

// The groups.
const (
	Sender      Group = "sender"  // a sender address: it exists, is no role address, fits its server
	Lists       Group = "lists"   // blocklists
	Reverse     Group = "reverse" // the names of an IP
	Range       Group = "range"   // the neighbours of an IP
	Server      Group = "server"  // what listens at an IP: banner, relaying
	TLS         Group = "tls"     // its encryption
	SPF         Group = "spf"
	DKIM        Group = "dkim"
	DMARC       Group = "dmarc"
	ReturnPath  Group = "return"
	Exists      Group = "exists"
	MX          Group = "mx"
	Egress      Group = "egress"
	NameServers Group = "ns"
	DNSSEC      Group = "dnssec"
	CAA         Group = "caa"
	STS         Group = "sts"
	TLSReports  Group = "tlsrpt"
	BIMI        Group = "bimi"
)

// Groups returns all groups in the order in which they are shown and mended.
func Groups() []Group {
	return []Group{Sender, Lists, Reverse, Range, Server, TLS, SPF, DKIM, DMARC, ReturnPath, Exists, MX, Egress, NameServers, DNSSEC, CAA, STS, TLSReports, BIMI}
}

// Record is something to publish.
type Record struct {
	Name    string   // absolute, without the final dot
	Type    string   // TXT, CNAME, MX
	Value   string   // in one piece, as web forms want it; of MX with the preference before the host
	TTL     int      // seconds
	Replace []string // values of the same name and type that this one takes the place of
	Choice  int      // records of one finding with different numbers above 0 are ways to choose between; 0: all are needed
}

// Question is one question that was put to the DNS, with its answer.
type Question struct {
	Name   string
	Type   string   // a type of the DNS, or what else was done: GET, CONNECT
	Server string   // who was asked, when it was not the resolver
	Status string   // "found", "nothing", "try later"
	NoName bool     // with "nothing": the name does not exist at all
	Values []string // as published; text of strangers
	Why    string   // with "try later": what went wrong, in English
}

// Finding is one thing that was looked at.
type Finding struct {
	Group    Group
	Code     string // stable: "spf.absent". Texts checkup.CODE.*
	State    State
	Subject  string         // what of the group it is about: a selector, an address; "" the domain
	Operator bool           // the gateway's operator mends it, not the sender
	Optional bool           // the domain is well without it
	Args     map[string]any // for the texts; every code always has the same
	Records  []Record
	Evidence []Question
}

// Report is the state of a domain's set-up.
type Report struct {
	Customer string
	Domain   mail.Domain
	At       time.Time
	Took     time.Duration
	Egress   []netip.Addr // from where mail may leave
	Findings []Finding    // in the order of Groups
}

// State is the worst state of what the sender has to see to; what is optional and what is the operator's does not count.
func (r Report) State() State {
	worst := Fine
	for _, f := range r.Findings {
		if !f.Optional && !f.Operator {
			worst = Worse(worst, f.State)
		}
	}
	return worst
}

// Of returns the findings of a group.
func (r Report) Of(g Group) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Group == g {
			out = append(out, f)
		}
	}
	return out
}

// StateOf is the worst state of a group; "" when nothing of it was looked at.
func (r Report) StateOf(g Group) State {
	worst := State("")
	for _, f := range r.Findings {
		if f.Group == g {
			worst = Worse(worst, f.State)
		}
	}
	return worst
}

// Options is what New needs. Resolver, Accounts, Hostname and Secret are required.
type Options struct {
	Resolver   dns.Resolver // remembers nothing: a record published a minute ago counts
	Accounts   *account.Ledger
	Hostname   string       // the gateway's name
	Returns    mail.Domain  // the gateway's domain for return addresses; "" there is none
	SPFInclude string       // name whose SPF record holds the gateway's addresses; "": addresses are named one by one
	Reports    mail.Address // where DMARC reports go by default; null: an address of the domain
	TLSReports mail.Address // where TLS reports go by default; null: an address of the domain
	Smarthost  bool         // mail leaves through another server, whose addresses are not known here
	Signs      bool         // mail is signed where there is a key
	Secret     []byte       // key of challenges, at least 16 bytes
	Now        func() time.Time
}

// Advisor is the room.
type Advisor struct{ o Options }

// New checks the options.
func New(o Options) (*Advisor, error) {
	if o.Resolver == nil || o.Accounts == nil || o.Hostname == "" {
		return nil, errors.New("checkup: a room is missing from the options")
	}
	if len(o.Secret) < 16 {
		return nil, errors.New("checkup: the secret of challenges is shorter than 16 bytes")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Advisor{o: o}, nil
}

// look is one report in the making.
type look struct {
	*Advisor
	ctx      context.Context
	customer account.Customer
	domain   mail.Domain
	egress   []account.Egress // with known addresses
	known    *memory
}

// SetUp looks at a domain of a customer. Errors: account.ErrNotFound, ErrNotHis.
func (a *Advisor) SetUp(ctx context.Context, customer string, domain mail.Domain) (Report, error) {
	c, ok := a.o.Accounts.Customer(customer)
	if !ok {
		return Report{}, fmt.Errorf("%w: customer %s", account.ErrNotFound, customer)
	}
	if !a.o.Accounts.OwnsDomain(c, domain) {
		return Report{}, fmt.Errorf("%w: %s", ErrNotHis, domain)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	l := &look{Advisor: a, ctx: ctx, customer: c, domain: domain, egress: a.egressOf(c), known: newMemory(dns.WithBudget(a.o.Resolver, MaxQuestions))}
	r := Report{Customer: c.ID, Domain: domain, At: a.o.Now()}
	for _, e := range l.egress {
		r.Egress = append(r.Egress, e.IP)
	}
	parts := []func() []Finding{l.spf, l.dkim, l.dmarc, l.returnPath, l.exists, l.reverse, l.inbound}
	found := make([][]Finding, len(parts))
	var all sync.WaitGroup
	for i, part := range parts {
		all.Go(func() { found[i] = part() })
	}
	all.Wait()
	r.Findings = slices.Concat(found...)
	r.Took = time.Since(began)
	return r, nil
}

// egressOf are the addresses that a customer's mail may leave from, those of the pool that takes what is too much included.
func (a *Advisor) egressOf(c account.Customer) []account.Egress {
	if a.o.Smarthost {
		return nil
	}
	pool := a.o.Accounts.Pool(c.Pool)
	all := slices.Clone(pool.Egress)
	if pool.Overflow != "" {
		all = append(all, a.o.Accounts.Pool(pool.Overflow).Egress...)
	}
	var out []account.Egress
	for _, e := range all {
		e.IP = e.IP.Unmap()
		if e.IP.IsValid() && len(out) < maxEgress && !slices.ContainsFunc(out, func(x account.Egress) bool { return x.IP == e.IP }) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(x, y account.Egress) int { return x.IP.Compare(y.IP) }) // IPv4 first
	return out
}

// addresses writes addresses for people.
func addresses(all []netip.Addr) string {
	texts := make([]string, len(all))
	for i, ip := range all {
		texts[i] = ip.String()
	}
	return strings.Join(texts, ", ")
}
