// Package filter judges one message as its receivers will: it runs named tests and returns a verdict with a score of 0
// to 15, each test's points, the evidence that made it fire, and what could not be measured.
//
// What it does: reads a parsed message (package mail) and its envelope; asks DNS as the receiver will see the mail leave
// (from the customer's egress addresses, under their HELO names); adds up the points. What it does not: it never changes,
// stores, delays or refuses a message (package intake does), and it speaks to no mail server.
//
// A test is a row of the catalogue (catalogue.go): a name, default points and a group. A check is a function that looks at
// one subject (SPF, the Date field, the HTML) and reports hits of one or several tests. Many tests are rules in SpamAssassin's language
// (rulebook.go): ours, built in, and the operator's; to them the hits of all other checks are known. Network checks run
// concurrently under one deadline and a budget of DNS questions, and local ones meanwhile, one after the other. A test counts
// once, whatever number of addresses or lines it fires for. A question without an answer is "unknown" and scores nothing (not
// measured is not fine: it is shown as unknown, never as passed).
//
// Other scanners (clamd, rspamd) are asked where the operator wants it (opinion.go). A message in which one of them found a virus is
// held whatever its points, and only an operator may release it (Verdict.Locked).
//
// How it fails: a check that panics is caught and named in the error of Run, and so is a scanner without which no message may pass; the
// caller must then answer 451 and keep nothing, because an unscanned message is never delivered.
package filter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/rules"
)

// MaxScore is the highest score shown; the raw score may be higher (product promise: a scale of 0 to 15).
const MaxScore = 15.0

// DefaultThreshold is the score a message must exceed, strictly, to be held.
const DefaultThreshold = 3.0

// DefaultDeadline bounds all network tests of one message together.
const DefaultDeadline = 10 * time.Second

// DefaultQueries bounds the different DNS questions of one message: one budget for all tests of identity together, and twice as
// much for the blocklists, so that a message full of links cannot make the others unmeasurable.
const DefaultQueries = 64

// Options is what New needs. Zero values take the defaults named at each field.
type Options struct {
	Resolver dns.Resolver    // required
	Accounts *account.Ledger // signing keys of the sender domains; nil: we sign nothing
	Lists    []dnsbl.List    // blocklists asked; nil: the directory's default ones; empty: none
	Guard    *dnsbl.Guard    // remembers zones that refuse our resolver; nil: a new one
	Learn    *learn.Ledger   // what experience taught; nil: not asked, and its tests are silent
	Classify Classify        // asked instead of Learn how like spam a message is; nil: Learn is asked
	ReadOnly bool            // no sender is remembered for what is tested: messages that were tested before
	Rules    *RuleBook       // rules in SpamAssassin's language; nil: our own
	Offline  bool            // Resolver answers nothing: rules count with the points they have without network tests

	Deadline time.Duration      // network tests together; default DefaultDeadline
	Queries  int                // DNS questions per message, see DefaultQueries
	Scores   map[string]float64 // points by test name that replace the catalogue's; 0 switches a test off
	Opinions []Opinion          // other scanners, asked beside the network tests in their own time
	Unsigned bool               // we add no DKIM signature: only those in the message count
	TLS      string             // what delivery does: TLSOffered, TLSNever or TLSSmarthost; "": not known
	Disabled bool               // run nothing: every verdict is empty (an operator's choice for trusted networks)
	Logger   *slog.Logger
	Now      func() time.Time // default time.Now

	// Customers are the points that the configuration gives customers, by id: they are checked here, and come to count through Accounts.
	Customers map[string]map[string]float64

	// Asked hears of every question to another scanner; err is nil when it gave an opinion. nil: nobody hears.
	Asked func(scanner string, took time.Duration, err error)
}

// Classify says how like spam a message is, after what was learned for a customer. (*learn.Ledger).Classify is one.
type Classify func(ctx context.Context, customer string, m *mail.Message) (learn.Result, error)

// Filter runs the tests. It is safe for concurrent use.
type Filter struct {
	now  atomic.Pointer[settings]
	keys dkim.Keyring
}

// settings are what one configuration makes of the options: replaced whole by Reload.
type settings struct {
	o        Options
	points   map[string]float64
	off      map[string]bool // tests that the operator switched off
	operator map[string]bool // tests that say nothing of the sender
	groups   map[string]Group
	checks   []check
	book     *RuleBook
}

// New checks the options and prepares the catalogue. It asks nothing of the network.
func New(o Options) (*Filter, error) {
	s, err := newSettings(o)
	if err != nil {
		return nil, err
	}
	f := new(Filter)
	f.now.Store(s)
	return f, nil
}

// Reload replaces the options for every message that is tested from now on. Nil for Guard keeps what is remembered of zones
// that refuse us. A wrong option leaves all as it was.
func (f *Filter) Reload(o Options) error {
	if o.Guard == nil {
		o.Guard = f.now.Load().o.Guard
	}
	s, err := newSettings(o)
	if err == nil {
		f.now.Store(s)
	}
	return err
}

// Check reports what Reload would refuse.
func (f *Filter) Check(o Options) error {
	_, err := newSettings(o)
	return err
}

func newSettings(o Options) (*settings, error) {
	if o.Resolver == nil && !o.Disabled {
		return nil, errors.New("filter: no resolver given")
	}
	if o.Deadline == 0 {
		o.Deadline = DefaultDeadline
	}
	if o.Queries == 0 {
		o.Queries = DefaultQueries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Lists == nil {
		o.Lists = defaultLists()
	}
	if o.Guard == nil {
		o.Guard = dnsbl.NewGuard(o.Now)
	}
	if o.Classify == nil && o.Learn != nil {
		o.Classify = o.Learn.Classify
	}
	if o.Rules == nil {
		own, err := ownBook()
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		o.Rules = own
	}
	f := &settings{o: o, book: o.Rules, points: make(map[string]float64), off: make(map[string]bool), operator: make(map[string]bool), groups: make(map[string]Group), checks: checks()}
	for _, t := range append(nativeTests(), o.Rules.Tests()...) {
		f.points[t.Name], f.operator[t.Name], f.groups[t.Name] = t.Points, t.Operator, t.Group
	}
	errs := []error{checkedOpinions(o.Opinions)}
	for name, p := range o.Scores {
		if _, ok := f.points[name]; !ok {
			errs = append(errs, fmt.Errorf("filter.scores.%s: no test of that name", name))
			continue
		}
		if math.IsNaN(p) || math.Abs(p) > 100 {
			errs = append(errs, fmt.Errorf("filter.scores.%s: points must lie between -100 and 100", name))
		}
		if why := fixedPoints(name, p); why != "" && (len(o.Opinions) > 0 || fixedScores[name] == "") {
			errs = append(errs, fmt.Errorf("filter.scores.%s: %s", name, why))
		}
		f.points[name], f.off[name] = p, p == 0
	}
	for id, scores := range o.Customers {
		for name, p := range scores {
			if _, ok := f.points[name]; !ok {
				errs = append(errs, fmt.Errorf("customer %s: scores.%s: no test of that name", id, name))
			} else if why := fixedPoints(name, p); why != "" {
				errs = append(errs, fmt.Errorf("customer %s: scores.%s: %s", id, name, why))
			}
		}
	}
	return f, errors.Join(errs...)
}

// defaultLists returns the directory's lists that are asked without a key.
func defaultLists() []dnsbl.List {
	var out []dnsbl.List
	for _, l := range dnsbl.Directory() {
		if l.Default {
			out = append(out, l)
		}
	}
	return out
}

// Refusals names the blocklists that refuse our resolver at the moment, for one notice to the operator.
func (f *Filter) Refusals() []dnsbl.Refusal { return f.now.Load().o.Guard.Refusals() }

// Input is everything that a verdict depends on.
type Input struct {
	QueueID       mail.QueueID  // for the logs of other scanners; "": none
	Message       *mail.Message // as it will leave, before our own signature
	Envelope      mail.Envelope
	Leaving       mail.Address // reverse path under which it will leave, where that is another than the envelope's; null: the envelope's
	ClientIP      netip.Addr   // who gave us the message
	Hello         string       // the name it used
	Authenticated bool         // by a credential, not by its network
	Credential    string       // its user name, "" if there is none
	Customer      account.Customer
	Egress        []account.Egress // addresses and HELO names it may leave from
	Received      time.Time        // when we accepted it: the Date field is compared with this; zero: see arrival
	Now           time.Time        // zero: the filter's clock
	Earlier       *Verdict         // of the same message when it came: what its sender did then stands, however long ago
}

// leaving is the reverse path that the receiver will see.
func (in *Input) leaving() mail.Address {
	if in.Leaving.IsNull() {
		return in.Envelope.ReversePath
	}
	return in.Leaving
}

// Run tests one message. The error is not nil only when the filter itself is broken, ctx ended, or a scanner without which no message
// may pass gave no opinion (ErrUnscanned, ErrUnscannable); the verdict must then not be used. DNS trouble is never an error: it is
// listed in Verdict.Unknown.
func (f *Filter) Run(ctx context.Context, in Input) (Verdict, error) {
	set := f.now.Load()
	start := set.o.Now()
	if in.Now.IsZero() {
		in.Now = start
	}
	if in.Received.IsZero() {
		in.Received = arrival(in.Message, in.Now)
	}
	threshold := in.Customer.Threshold
	if threshold == 0 {
		threshold = DefaultThreshold
	}
	if set.o.Disabled {
		return Verdict{Threshold: threshold, Hits: []Hit{}, At: in.Now}, nil
	}
	netCtx, cancel := context.WithTimeout(ctx, set.o.Deadline)
	defer cancel()
	s := &scan{Input: in, settings: set, keys: &f.keys,
		resolver: remember(dns.WithBudget(set.o.Resolver, set.o.Queries)), lists: dns.WithBudget(set.o.Resolver, 2*set.o.Queries)}

	if set.o.Accounts != nil {
		s.tuned = set.o.Accounts.Tuned(in.Customer.ID)
	}

	var wg sync.WaitGroup
	for _, c := range set.checks {
		if !c.network {
			continue
		}
		if set.o.Offline { // every answer is there at once: nothing to wait for side by side
			s.perform(ctx, c)
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if c.patient() {
				s.perform(ctx, c)
			} else {
				s.perform(netCtx, c)
			}
		}()
	}
	for _, c := range set.checks {
		if !c.network && c.late() == 0 {
			s.perform(ctx, c)
		}
	}
	wg.Wait()
	lateCtx, cancelLate := context.WithTimeout(ctx, set.o.Deadline) // the first deadline may have passed while another scanner was at work
	defer cancelLate()
	for turn := 1; turn <= len(lateChecks); turn++ {
		for _, c := range set.checks {
			if c.late() == turn {
				s.perform(lateCtx, c)
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return Verdict{}, fmt.Errorf("filter: %w", err)
	}
	if err := cmp.Or(s.broken, s.unscanned); err != nil {
		return Verdict{}, err
	}
	if set.o.Learn != nil && !set.o.ReadOnly {
		set.o.Learn.Remember(s.sender(lateCtx), s.behaviour())
	}
	v := s.verdict(threshold)
	s.judged(v)
	v.At, v.Elapsed = in.Now, set.o.Now().Sub(start)
	return v, nil
}

// arrival is when a message came that nobody was told the time of: what its newest Received field says, unless that lies ahead.
func arrival(m *mail.Message, now time.Time) time.Time {
	if newest := m.Header.Get("Received"); newest != "" {
		if _, date, ok := strings.Cut(newest[max(0, strings.LastIndexByte(newest, ';')):], ";"); ok {
			if t, err := mail.ParseDate(date); err == nil && t.Before(now) {
				return t
			}
		}
	}
	return now
}

// scan is the work on one message. Checks run concurrently; what they report goes through its methods.
type scan struct {
	Input
	*settings
	keys     *dkim.Keyring
	resolver dns.Resolver // of the tests of identity
	lists    dns.Resolver // of the blocklists: a budget of its own

	facts              // results that several checks share, each computed once (facts.go)
	running *rules.Run // the rules, between their patterns and their verdict
	cards   Cards      // the providers' cards
	bayes   bool       // what was learned has an answer for this message

	observed *learn.Behaviour // the sender's, counted; nil: not counted
	tuned    account.Tuned    // points and lists of the customer: one state of them for the whole message

	mu      sync.Mutex
	hits    []Hit
	unknown []Unknown
	broken  error

	unscanned error // a scanner without which no message may pass gave no opinion
}

// perform runs one check and turns a panic into a broken verdict: an unscanned message must not pass as a clean one.
func (s *scan) perform(ctx context.Context, c check) {
	defer s.caught(c.name)
	c.run(ctx, s)
}

// caught ends a panic of the named check. Every goroutine of a scan defers it, since a panic there would end the whole gateway.
func (s *scan) caught(check string) {
	r := recover()
	if r == nil {
		return
	}
	s.o.Logger.Error("filter check failed", "check", check, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	s.mu.Lock()
	s.broken = fmt.Errorf("filter: check %s failed: %v", check, r)
	s.mu.Unlock()
}

// hit reports that a test fired. args fill the placeholders of its texts; evidence is what was found, one line each. A test counts
// once however often it is reported: later evidence joins the first.
func (s *scan) hit(test string, args map[string]string, evidence ...string) {
	points, ok := s.points[test]
	if set, tuned := s.set(test); tuned {
		points = set
	}
	if !ok {
		panic("filter: hit of a test that is not in the catalogue: " + test)
	}
	s.hitFor(test, points, args, evidence...)
}

// hitFor is hit with points that belong to this message alone.
func (s *scan) hitFor(test string, points float64, args map[string]string, evidence ...string) {
	if s.silent(test) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.hits, func(h Hit) bool { return h.Test == test })
	if i < 0 {
		i = len(s.hits)
		s.hits = append(s.hits, Hit{Test: test, Points: points, Args: clipArgs(args), Evidence: []string{}})
	}
	h := &s.hits[i]
	for n, e := range evidence {
		if len(h.Evidence) == maxEvidence {
			h.Evidence = append(h.Evidence, fmt.Sprintf("… (%d more)", len(evidence)-n))
		}
		if len(h.Evidence) > maxEvidence {
			break
		}
		h.Evidence = append(h.Evidence, clip(e, maxEvidenceText))
	}
}

// notMeasured reports that a test could not be decided, and why. The first reason is kept.
func (s *scan) notMeasured(test, why string) {
	if _, ok := s.points[test]; !ok {
		panic("filter: unknown test is not in the catalogue: " + test)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.silent(test) && !slices.ContainsFunc(s.unknown, func(u Unknown) bool { return u.Test == test }) {
		s.unknown = append(s.unknown, Unknown{Test: test, Why: clip(why, maxEvidenceText)})
	}
}

// verdict adds up. Hits are ordered by points, highest first, then by name, so that a verdict reads the same each time. A test that
// fired is not unknown, even if a part of its question stayed open.
func (s *scan) verdict(threshold float64) Verdict {
	v := Verdict{Threshold: threshold, Hits: s.hits, Providers: s.cards}
	if v.Hits == nil {
		v.Hits = []Hit{}
	}
	slices.SortFunc(v.Hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), strings.Compare(a.Test, b.Test))
	})
	for _, u := range s.unknown {
		if _, fired := v.Hit(u.Test); !fired {
			v.Unknown = append(v.Unknown, u)
		}
	}
	slices.SortFunc(v.Unknown, func(a, b Unknown) int { return strings.Compare(a.Test, b.Test) })
	v.Unknown = v.Unknown[:min(len(v.Unknown), maxUnknown)]
	slim(v.Hits)
	for _, h := range v.Hits {
		v.Raw += h.Points
		v.Locked = v.Locked || h.Test == virusFound || h.Test == denyListed
	}
	v.Raw = thousandth(v.Raw)
	v.Score = math.Min(MaxScore, math.Max(0, v.Raw))
	v.Held = v.Score > threshold || v.Locked
	return v
}
