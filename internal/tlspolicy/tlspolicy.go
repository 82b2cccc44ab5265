// Package tlspolicy says what TLS mail for a domain must have on its way: DANE (RFC 7672), MTA-STS (RFC 8461), REQUIRETLS (RFC 8689), the operator's own
// rules, or encryption where it is offered (RFC 7435). It also counts what came of it, for the reports that the domains ask for (TLS-RPT, RFC 8460).
//
// # Which policy holds
//
// The strongest of all that ask: None < Opportunistic < Encrypted < Verified < DANE. An operator's rule, a provider's wish and a message's
// REQUIRETLS can only strengthen what a domain publishes, never weaken it. "TLS-Required: No" (Question.TLSOptional) leaves out what the
// domain publishes, for that message. Where the default is None and nothing local asks for more, the domains are not asked.
//
//   - DANE counts only where DNSSEC vouches for the MX answer, the addresses and the TLSA records: dns.Answer.Authentic, so only behind a
//     validating resolver on loopback or a trusted one. TLSA records that may exist and cannot be had make mail wait (Policy.Deferred).
//   - An MTA-STS policy is fetched when its record's id is new, kept in the table tlspolicy_sts until it expires, and refreshed once a day
//     while mail is written to the domain. A policy in the table holds whatever becomes of DNS and of its host; without one, a host that
//     cannot be reached means that there is no policy (RFC 8461 3.3). Exchangers outside an enforced policy are Refused. The TLSA records of
//     an exchanger take the place of the certificate check of MTA-STS, not of its list of exchangers.
//   - Fetches go to addresses on the internet only (dns.Inside), follow no redirect, and are bounded: sixteen at a time, one per domain, one
//     minute and 64 KiB each; after a failed one the domain's host is left alone for five minutes.
//
// # What is counted
//
// Record counts sessions per day (UTC) and domain in memory; Flush writes them to the table tlspolicy_result. Report, after midnight, makes one
// report per domain that wants one (_smtp._tls), in tlspolicy_report, and sends it to each of its addresses, again for 24 hours where that
// fails. Run does all three, and the refreshing. Counts of the last minute are lost in a crash: they are statistics, no mail.
//
// Who calls it: delivery (For, Config, Check, Record), app (New, Run, Tune), the command line (For). For may wait for DNS and a policy host; the
// others do not wait. All methods may be called from many goroutines.
package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/store"
)

// Mode of a policy.
type Mode string

// The modes, weakest first.
const (
	None          Mode = "none"          // never TLS: an operator's rule
	Opportunistic Mode = "opportunistic" // where offered, unchecked; without where it fails
	Encrypted     Mode = "encrypted"     // TLS or nothing, unchecked
	Verified      Mode = "verified"      // TLS with a certificate that proves the exchanger's name (MTA-STS enforce, an operator's rule, REQUIRETLS)
	DANE          Mode = "dane"          // TLS with a certificate that matches the TLSA records
)

func (m Mode) rank() int {
	switch m {
	case None:
		return 1
	case Opportunistic:
		return 2
	case Encrypted:
		return 3
	case Verified:
		return 4
	case DANE:
		return 5
	}
	return 0
}

// Demanded reports whether mail must not go without TLS.
func (m Mode) Demanded() bool { return m.rank() >= Encrypted.rank() }

// The sources of a policy.
const (
	SourceDANE       = "dane"
	SourceSTS        = "sts"
	SourceRule       = "rule"
	SourceRequireTLS = "requiretls"
	SourceProvider   = "provider"
	SourceDefault    = "default"
)

// Policy is what a connection to one exchanger of a domain must have.
type Policy struct {
	Mode    Mode
	Source  string // "dane", "sts", "rule", "requiretls", "provider", "default": who asks for it, for people and reports
	Testing bool   // MTA-STS testing: a failure is reported, not enforced
	// Deferred: the policy cannot be known now (DNS or the policy host does not answer where it must); mail waits. Text says why.
	Deferred string
	// Refused: this exchanger may not be used for this domain (not in the MTA-STS policy). Text says why.
	Refused string

	facts *facts
}

// facts are what a policy rests on.
type facts struct {
	dane *danePolicy
	sts  *STSPolicy
	// stsFailure says why there is no policy although the domain announces one: a result type of RFC 8460 4.3.2.2, and words.
	stsFailure, stsDetail string
	outside               bool // not an exchanger of the MTA-STS policy
}

// Why says in English what the policy rests on, one line per fact: for the operator's eyes.
func (p Policy) Why() []string {
	var out []string
	f := p.facts
	if f == nil {
		return nil
	}
	if d := f.dane; d != nil {
		out = append(out, fmt.Sprintf("TLSA at %s: %d usable, %d not", d.base, len(d.usable), len(d.unusable)))
		out = append(out, d.unusable...)
	}
	if s := f.sts; s != nil {
		out = append(out, fmt.Sprintf("MTA-STS mode %s for %s", s.Mode, strings.Join(s.MX, ", ")))
	}
	if f.outside {
		out = append(out, "not an exchanger of the MTA-STS policy")
	}
	if f.stsFailure != "" {
		out = append(out, "MTA-STS announced, and no policy: "+f.stsDetail)
	}
	return out
}

// Question is about one exchanger of one domain.
type Question struct {
	Domain     mail.Domain
	Exchanger  string     // host name
	Authentic  bool       // the MX answer was authenticated by DNSSEC
	Addr       netip.Addr // that will be spoken to
	AddrSigned bool       // the address answer was authenticated by DNSSEC
	RequireTLS bool       // RFC 8689, of the message
	// TLSOptional is the header field "TLS-Required: No" of the message (RFC 8689 5).
	TLSOptional bool
	Provider    string // provider.Limits.TLS
}

// Rule is an operator's word about a recipient domain or about exchangers. One of Domain and Exchanger is set; each means that name and all
// below it.
type Rule struct {
	Domain    string
	Exchanger string
	Mode      Mode // None, Opportunistic, Encrypted or Verified
}

func (r Rule) fits(q Question) bool {
	if r.Domain != "" {
		return below(string(q.Domain), r.Domain)
	}
	return r.Exchanger != "" && below(q.Exchanger, r.Exchanger)
}

// below reports whether a name is suffix or ends in it, whatever the case of letters; suffix as tidy leaves it.
func below(name, suffix string) bool {
	name = strings.TrimSuffix(name, ".")
	cut := len(name) - len(suffix)
	return cut == 0 && strings.EqualFold(name, suffix) || cut > 0 && name[cut-1] == '.' && strings.EqualFold(name[cut:], suffix)
}

func tidy(name string) string { return strings.Trim(name, ".") }

// Tuning is what may change while mail is being delivered.
type Tuning struct {
	Default Mode           // None or Opportunistic; "" is Opportunistic
	Rules   []Rule         // the first that fits counts
	Private []netip.Prefix // networks that are not on the internet and hold policy hosts all the same
	Reports bool           // send TLS reports to the domains that want them
}

// Options is what New needs. Zero values take the defaults named at each field.
type Options struct {
	DB       *store.DB // nil: nothing is kept, nothing is counted
	Resolver dns.Resolver
	Tuning   Tuning
	Port     int            // port of the exchangers in the names of TLSA records; default 25
	RootCAs  *x509.CertPool // of exchangers and policy hosts; nil: the system's
	// Dial connects to a policy host or report receiver whose address was looked up and is on the internet; nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Organization string // in reports; default Submitter
	Contact      string // in reports: the address to write to about them
	Submitter    string // the domain that reports, ours; needed for reports
	// Send queues a report by mail: gz is the report, compressed, filename its name. It returns nil once the mail is ours to deliver.
	Send func(ctx context.Context, to mail.Address, subject, filename string, gz []byte, reportDomain string) error

	Logger *slog.Logger
	Now    func() time.Time
}

// Book knows policies. Make one with New.
type Book struct {
	o        Options
	tune     atomic.Pointer[Tuning]
	sessions tls.ClientSessionCache // of connections that were verified
	client   *http.Client
	fetches  chan struct{} // bounds the policy hosts spoken to at a time

	mu      sync.Mutex
	entries map[mail.Domain]*stsEntry
	turn    []mail.Domain // of entries, oldest first
	tally   tally
}

// Bounds of what is kept in memory.
const (
	maxEntries  = 20000 // domains whose MTA-STS state is remembered; the table holds the policies beyond
	maxSessions = 1000  // TLS session tickets
	maxFetches  = 16    // policy hosts spoken to at a time

	aloneTimeout = 5 * time.Second // a slow policy host must not keep the lookups of other domains waiting
)

// New checks the options. It does no I/O.
func New(o Options) (*Book, error) {
	if o.Resolver == nil {
		return nil, errors.New("tlspolicy: no resolver")
	}
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 20 * time.Second}).DialContext
	}
	if o.Organization == "" {
		o.Organization = o.Submitter
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Book{o: o, sessions: tls.NewLRUClientSessionCache(maxSessions), fetches: make(chan struct{}, maxFetches), entries: map[mail.Domain]*stsEntry{}}
	b.client = newClient(&FetchOptions{Resolver: o.Resolver, RootCAs: o.RootCAs, Dial: o.Dial, Now: o.Now, Timeout: fetchTimeout}, func() []netip.Prefix { return b.tune.Load().Private })
	b.tally.clear()
	b.Tune(o.Tuning)
	return b, nil
}

// Tune replaces the tuning. It counts from the next question on.
func (b *Book) Tune(t Tuning) {
	if t.Default != None {
		t.Default = Opportunistic
	}
	t.Rules = slices.Clone(t.Rules)
	for i := range t.Rules {
		t.Rules[i].Domain, t.Rules[i].Exchanger = tidy(t.Rules[i].Domain), tidy(t.Rules[i].Exchanger)
	}
	b.tune.Store(&t)
}

// local is what is asked of a connection on our side: by rule, provider and message, the strongest of them. rule is the number of the rule
// that fits, from 1; 0 none.
func (b *Book) local(q Question) (p Policy, rule int) {
	t := b.tune.Load()
	p = Policy{Mode: t.Default, Source: SourceDefault}
	for i, r := range t.Rules {
		if r.fits(q) {
			p, rule = Policy{Mode: r.Mode, Source: SourceRule}, i+1
			break
		}
	}
	if q.Provider == "required" && p.Mode.rank() < Encrypted.rank() {
		p = Policy{Mode: Encrypted, Source: SourceProvider}
	}
	if q.RequireTLS && p.Mode.rank() < Verified.rank() {
		p = Policy{Mode: Verified, Source: SourceRequireTLS}
	}
	return p, rule
}

// Local is the part of a policy that is known without asking anybody, in one word: the operator's rules, the provider's wish and the
// message's own. Exchanger is not set. Letters of one word whose domains publish nothing (Alone) have the same policy at the same exchanger.
func (b *Book) Local(q Question) string {
	p, rule := b.local(q)
	word := string(p.Mode)
	if rule > 0 {
		word += "/" + strconv.Itoa(rule)
	}
	switch {
	case q.RequireTLS:
		word += "+requiretls"
	case q.TLSOptional:
		word += "+optional"
	}
	return word
}

// Alone reports whether a domain must have connections of its own: it has an MTA-STS policy, or DNSSEC signs its MX (signed), so that what a
// certificate proved for it proves nothing for another domain of the same exchangers. It waits for DNS, and for a policy host five seconds; what is
// not known then may be so.
func (b *Book) Alone(ctx context.Context, d mail.Domain, signed bool) bool {
	if _, literal := d.Literal(); literal || b.tune.Load().asksNobody() {
		return false
	}
	if signed {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, aloneTimeout)
	defer cancel()
	p, _, _ := b.sts(ctx, d)
	return p != nil && p.Mode != STSNone || ctx.Err() != nil
}

// asksNobody: TLS is switched off, and no rule wants it.
func (t *Tuning) asksNobody() bool { return t.Default == None && len(t.Rules) == 0 }

// For returns the policy. It may wait: for DNS, and for the domain's policy host when its MTA-STS policy is new, a minute at most.
func (b *Book) For(ctx context.Context, q Question) Policy {
	p, _ := b.local(q)
	f := &facts{}
	p.facts = f
	if _, literal := q.Domain.Literal(); literal || q.TLSOptional && !q.RequireTLS || p.Mode == None && p.Source == SourceDefault {
		return p
	}
	var deferred string
	if f.dane, deferred = b.dane(ctx, q); deferred != "" {
		p.Mode, p.Source, p.Deferred = DANE, SourceDANE, deferred
		return p
	}
	strengthen := func(m Mode, source string) {
		if m.rank() > p.Mode.rank() {
			p.Mode, p.Source = m, source
		}
	}
	if f.dane != nil && len(f.dane.usable) > 0 {
		strengthen(DANE, SourceDANE)
	} else if f.dane != nil {
		// RFC 7672 2.2: records that nobody can use still say that the server has TLS.
		strengthen(Encrypted, SourceDANE)
	}
	f.sts, f.stsFailure, f.stsDetail = b.sts(ctx, q.Domain)
	if f.sts == nil {
		return p
	}
	f.outside = !f.sts.Matches(q.Exchanger)
	switch f.sts.Mode {
	case STSEnforce:
		strengthen(Verified, SourceSTS)
		if f.outside {
			p.Source = SourceSTS
			p.Refused = fmt.Sprintf("%s is not a mail exchanger of %s by its MTA-STS policy, which names %s", q.Exchanger, q.Domain, strings.Join(f.sts.MX, ", "))
		}
	case STSTesting:
		p.Testing = p.Mode.rank() < Verified.rank()
		if p.Testing && p.Source == SourceDefault {
			p.Source = SourceSTS
		}
	}
	return p
}
