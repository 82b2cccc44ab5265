package filter

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// facts are results that several checks of one message share. Each is computed once, by whichever check asks first.
type facts struct {
	spfOnce sync.Once
	spf     spfFact

	dkimOnce sync.Once
	dkim     dkimFact

	dmarcOnce sync.Once
	dmarc     dmarcFact

	reverseOnce sync.Once
	reverse     []reverseFact

	reachMu sync.Mutex
	reach   map[mail.Domain]*reachFact
}

// spfFact is SPF of the reverse path from every egress address the message may leave from.
type spfFact struct {
	measured []spfResult // one per egress address
	passes   mail.Domain // the domain that passes from all of them, "" if one does not
	unknown  string      // why the answer is not certain, "" when it is
}

type spfResult struct {
	egress netip.Addr
	hello  string
	spf.Outcome
}

// memory is the resolver of one message: what it answered once it answers again without asking, because the tests of one message
// ask for the same records and only different questions should cost its budget. Trouble is not remembered: whoever asked may
// have given up for reasons of his own.
type memory struct {
	dns.Resolver
	mu      sync.Mutex
	answers map[question]dns.Answer
}

type question struct {
	name string
	typ  dns.Type
}

func remember(r dns.Resolver) dns.Resolver {
	return &memory{Resolver: r, answers: make(map[question]dns.Answer)}
}

// Query implements dns.Resolver.
func (m *memory) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	q := question{strings.ToLower(strings.TrimSuffix(name, ".")), typ}
	m.mu.Lock()
	a, ok := m.answers[q]
	m.mu.Unlock()
	if ok {
		return a
	}
	a = m.Resolver.Query(ctx, name, typ)
	if a.Status != dns.TryLater {
		m.mu.Lock()
		m.answers[q] = a
		m.mu.Unlock()
	}
	return a
}

// known returns an answer that was given before, without asking.
func (m *memory) known(name string, typ dns.Type) (dns.Answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.answers[question{strings.ToLower(strings.TrimSuffix(name, ".")), typ}]
	return a, ok
}

// spfOf answers for the reverse path, or for the HELO name when the reverse path is null (RFC 7208 2.4).
func (s *scan) spfOf(ctx context.Context) *spfFact {
	s.facts.spfOnce.Do(func() {
		f := &s.facts.spf
		pass := true
		for _, e := range s.Egress {
			if !e.IP.IsValid() {
				continue
			}
			out := spf.Check(ctx, s.resolver, spf.Query{IP: e.IP, Hello: e.HELO, ReversePath: s.leaving(), Identity: spf.MailFrom})
			f.measured = append(f.measured, spfResult{e.IP, e.HELO, out})
			if out.Result == spf.TempError {
				f.unknown = "SPF of " + out.Domain + " from " + e.IP.String() + ": " + reason(out.Err)
			}
			pass = pass && out.Result == spf.Pass
		}
		if len(f.measured) == 0 {
			f.unknown = "the gateway's egress addresses are not configured (delivery.pools)"
			return
		}
		if pass {
			f.passes = s.leaving().Domain
			if s.leaving().IsNull() {
				f.passes, _ = mail.ParseDomain(f.measured[0].hello)
			}
		}
	})
	return &s.facts.spf
}

// worst returns the worst certain result over all addresses, for that is what the receiver of mail from there acts on, and what was
// found at each address that has it. The zero result: none is certain.
func (f *spfFact) worst() (spfResult, []string) {
	rank := map[spf.Result]int{spf.Pass: 1, spf.None: 2, spf.Neutral: 3, spf.SoftFail: 4, spf.PermError: 5, spf.Fail: 6}
	worst := spfResult{}
	var evidence []string
	for _, r := range f.measured {
		if r.Result == spf.TempError {
			continue
		}
		if rank[r.Result] > rank[worst.Result] {
			worst, evidence = r, nil
		}
		if r.Result == worst.Result {
			evidence = append(evidence, spfEvidence(r))
		}
	}
	return worst, evidence
}

// dmarcFact is DMARC of the author's domain, as receivers will judge it.
type dmarcFact struct {
	from    mail.Domain // "": there is no author
	outcome dmarc.Outcome
	unknown string // why a failure would be a guess, "" when it would not
}

// dmarcOf answers for the author: SPF must pass from every egress address, DKIM by a signature that verifies, ours included.
func (s *scan) dmarcOf(ctx context.Context) *dmarcFact {
	s.facts.dmarcOnce.Do(func() {
		from, ok := s.fromDomain()
		if !ok {
			return
		}
		sp, dk := s.spfOf(ctx), s.dkimOf(ctx)
		s.facts.dmarc = dmarcFact{from: from, outcome: dmarc.Evaluate(ctx, s.resolver, from, sp.passes, dk.valid),
			unknown: strings.Trim(sp.unknown+"; "+dk.unknown, "; ")}
	})
	return &s.facts.dmarc
}

// reverseFact is what a receiver finds about one egress address on connect.
type reverseFact struct {
	egress account.Egress
	ptr    dns.Answer
	back   dns.Status // whether one of its names leads back
	hello  dns.Status // whether the HELO name leads to it; Nothing when that is no name
}

// names are the names of the address, those that were confirmed or tried.
func (r reverseFact) names() string {
	var out []string
	for _, rec := range r.ptr.Records[:min(len(r.ptr.Records), maxReverseNames)] {
		out = append(out, rec.Host)
	}
	return strings.Join(out, ", ")
}

// maxReverseNames is how many names of an address are confirmed: receivers look at a few only.
const maxReverseNames = 5

// reverseOf answers for every egress address that is configured.
func (s *scan) reverseOf(ctx context.Context) []reverseFact {
	s.facts.reverseOnce.Do(func() {
		for _, e := range s.Egress {
			if !e.IP.IsValid() {
				continue
			}
			r := reverseFact{egress: e, ptr: dns.PTR(ctx, s.resolver, e.IP), back: dns.Nothing, hello: dns.Nothing}
			for _, rec := range r.ptr.Records[:min(len(r.ptr.Records), maxReverseNames)] {
				if status := dns.LeadsTo(ctx, s.resolver, rec.Host, e.IP); status != dns.Nothing {
					r.back = status
				}
				if r.back == dns.Found {
					break
				}
			}
			if named(e) {
				r.hello = dns.LeadsTo(ctx, s.resolver, e.HELO, e.IP)
			}
			s.facts.reverse = append(s.facts.reverse, r)
		}
	})
	return s.facts.reverse
}

// named reports whether an egress address says a name in HELO, and not an address literal.
func named(e account.Egress) bool { return e.HELO != "" && !strings.HasPrefix(e.HELO, "[") }

// dkimFact is what receivers will find: the signatures the message carries, and the one we will add.
type dkimFact struct {
	signatures []dkim.Signature
	ours       []ourKey      // keys we sign with for the From domain
	valid      []mail.Domain // d= of every signature that verifies, ours included
	unknown    string        // why the answer is not certain, "" when it is
}

// ourKey is a key of ours and whether its record is published as it must be.
type ourKey struct {
	key   dkim.Key
	state string // one of the Published constants of package dkim
	found string // the record found
}

func (s *scan) dkimOf(ctx context.Context) *dkimFact {
	s.facts.dkimOnce.Do(func() {
		f := &s.facts.dkim
		f.signatures = dkim.Verify(ctx, s.resolver, s.Message.Raw, s.Now)
		for _, sig := range f.signatures {
			switch sig.Status {
			case dkim.StatusPass:
				f.valid = append(f.valid, sig.Domain)
			case dkim.StatusTempError:
				f.unknown = "the key of d=" + string(sig.Domain) + " s=" + sig.Selector + " is not available now"
			}
		}
		if s.o.Accounts == nil || s.o.Unsigned {
			return
		}
		from, ok := s.fromDomain()
		if !ok {
			return
		}
		for _, rec := range s.o.Accounts.SigningKeysFor(s.Customer.ID, from) {
			key, err := s.keys.Parse(rec.PEM, rec.Domain, rec.Selector)
			if err != nil {
				f.unknown = "our key " + rec.Selector + " of " + string(rec.Domain) + " cannot be read"
				continue
			}
			o := ourKey{key: key}
			o.state, o.found = dkim.CheckPublished(ctx, s.resolver, key)
			switch o.state {
			case dkim.PublishedMatch:
				f.valid = append(f.valid, key.Domain)
			case dkim.PublishedUnknown:
				f.unknown = "our key's record " + key.RecordName() + ": no answer"
			}
			f.ours = append(f.ours, o)
		}
	})
	return &s.facts.dkim
}

// reachFact says whether mail can be sent to a domain (RFC 5321 5.1, RFC 7505).
type reachFact struct {
	once  sync.Once
	state reach
	why   string // evidence, or why it is unknown
}

type reach uint8

const (
	reachUnknown reach = iota
	reachable          // has an MX, or an address
	reachNullMX        // says by a null MX that it takes no mail
	reachNothing       // exists, with neither MX nor address
	reachMissing       // does not exist
)

func (s *scan) reachOf(ctx context.Context, d mail.Domain) *reachFact {
	s.facts.reachMu.Lock()
	if s.facts.reach == nil {
		s.facts.reach = make(map[mail.Domain]*reachFact)
	}
	r, ok := s.facts.reach[d]
	if !ok {
		r = new(reachFact)
		s.facts.reach[d] = r
	}
	s.facts.reachMu.Unlock()
	r.once.Do(func() { r.state, r.why = askReach(ctx, s.resolver, d) })
	return r
}

func askReach(ctx context.Context, r dns.Resolver, d mail.Domain) (reach, string) {
	if ip, ok := d.Literal(); ok {
		return reachable, "address literal " + ip.String()
	}
	mx := dns.MX(ctx, r, string(d))
	switch mx.Status {
	case dns.TryLater:
		return reachUnknown, "MX of " + string(d) + ": " + reason(mx.Err)
	case dns.Found:
		if len(mx.Records) == 1 && (mx.Records[0].Host == "" || mx.Records[0].Host == ".") {
			return reachNullMX, string(d) + " MX 0 ."
		}
		return reachable, string(d) + " MX " + mx.Records[0].Host
	}
	a := dns.Addrs(ctx, r, string(d))
	switch {
	case a.Status == dns.Found:
		return reachable, string(d) + " has the address " + a.Records[0].IP.String()
	case a.Status == dns.TryLater:
		return reachUnknown, "addresses of " + string(d) + ": " + reason(a.Err)
	case mx.NXDomain || a.NXDomain:
		if err := dns.Canary(ctx, r, ""); err != nil { // a name server in trouble denies everything
			return reachUnknown, string(d) + " seems not to exist, but the name server is in trouble: " + reason(err)
		}
		return reachMissing, string(d) + ": no such domain (NXDOMAIN)"
	}
	return reachNothing, string(d) + ": no MX, no A, no AAAA record"
}

// fromDomain is the domain of the author: the first mailbox of the From field.
func (s *scan) fromDomain() (mail.Domain, bool) {
	for _, b := range s.Message.From() {
		if b.Address.Domain != "" {
			return b.Address.Domain, true
		}
	}
	return "", false
}

// troubles are the ways in which the DNS fails, for reason.
var troubles = []error{dns.ErrTimeout, dns.ErrServFail, dns.ErrRefused, dns.ErrBogus, dns.ErrMalformed, dns.ErrLame, dns.ErrNetwork,
	dns.ErrBusy, dns.ErrBudget}

// reason says why a question has no answer, in few words and without the address of our name server: a sender reads it.
func reason(err error) string {
	if err == nil {
		return "no answer"
	}
	for _, t := range troubles {
		if errors.Is(err, t) {
			return t.Error()
		}
	}
	text := err.Error()
	for _, prefix := range []string{"spf: ", "dmarc: ", mail.ErrDate.Error() + ": "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}
