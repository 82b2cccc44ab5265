package reputation

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/provider"
)

// The bounds of reading the journal for a dossier.
const (
	maxFacts     = 300_000 // of the window, the newest
	maxMessages  = 200_000 // that are remembered while reading
	maxLogins    = 2_000   // credentials of all customers
	maxTraps     = 50      // providers and reporters that speak of spam traps
	maxAnswers   = 200     // groups of answers while reading
	shownAnswers = 20
	shownSenders = 10
	shownLogins  = 5
	habitDays    = 28
)

// reputational are the categories of answers that speak of our reputation.
var reputational = map[string]bool{string(provider.Blocked): true, string(provider.BadReputation): true, string(provider.SpamDetected): true, string(provider.PolicyViolation): true}

// telling are categories of answers that a dossier shows beside those: they name a cause.
var telling = map[string]bool{string(provider.RequirePTR): true, string(provider.AuthFailure): true, string(provider.Speeding): true, string(provider.ExceedLimit): true, string(provider.TooManyConns): true,
	string(provider.SecurityError): true}

// message is what is remembered of one while the facts about it pass by.
type message struct {
	login      *loginSum
	recipients int
	inScope    bool // it left, or would have left, from the address, or stands in the domain's name
	high, held bool
	counted    bool
}

// customerSum and loginSum gather figures.
type customerSum struct {
	tally  Tally
	logins map[string]*loginSum
}

type loginSum struct {
	customer   *customerSum
	credential string
	tally      Tally
	clients    map[netip.Addr]bool
	examples   []string
}

// reader reads the journal for one dossier.
type reader struct {
	w       *Watch
	d       Dossier
	ip      netip.Addr      // of a dossier about an address
	pools   map[string]bool // customers whose pool has the address
	all     bool            // everything counts: a host name of the gateway
	words   []string        // that name the list in answers
	seed    maphash.Seed
	known   map[uint64]*message
	by      map[string]*customerSum
	logins  int
	answers map[string]*AnswerEvidence
	traps   map[string]*TrapEvidence
	facts   int
	since   time.Time
}

// readSenders reads who sent from the address, or in the domain's name, and what receivers answered. It reads facts in the order of writing, in pieces.
func (w *Watch) readSenders(ctx context.Context, d Dossier, zones []string, from, to time.Time) (*reader, error) {
	r := &reader{w: w, d: d, seed: maphash.MakeSeed(), known: map[uint64]*message{}, by: map[string]*customerSum{}, answers: map[string]*AnswerEvidence{}, traps: map[string]*TrapEvidence{}, since: from}
	r.ip = parseIP(d.Target)
	r.scope()
	r.words = namesOf(d, zones)
	upTo, err := w.o.Journal.Follow().Settled(ctx)
	if err != nil {
		return nil, err
	}
	begin, err := w.o.Journal.Before(ctx, from)
	if err != nil {
		return nil, err
	}
	if upTo-begin > maxFacts { // the newest tell more than the oldest
		begin, r.since = upTo-maxFacts, time.Time{}
	}
	for begin < upTo {
		facts, looked, err := w.o.Journal.After(ctx, "", begin, upTo, 1000)
		if err != nil {
			return nil, err
		}
		for i := range facts {
			f := &facts[i]
			if r.since.IsZero() {
				r.since = f.At
			}
			if f.At.Before(from) || !f.At.Before(to) {
				continue
			}
			r.facts++
			r.take(f)
		}
		if begin = looked; len(facts) == 0 {
			break
		}
	}
	return r, nil
}

// scope finds out whose held and refused mail would have left from the address.
func (r *reader) scope() {
	r.pools = map[string]bool{}
	if r.w.o.Accounts == nil {
		return
	}
	if !r.ip.IsValid() {
		r.all = r.d.Customer == "" && r.w.isHost(r.d.Target)
		return
	}
	has := func(p account.Pool) bool {
		return slices.ContainsFunc(p.Egress, func(e account.Egress) bool { return e.IP.Unmap() == r.ip })
	}
	for _, c := range r.w.o.Accounts.Customers() {
		p := r.w.o.Accounts.Pool(c.Pool)
		if has(p) || p.Overflow != "" && has(r.w.o.Accounts.Pool(p.Overflow)) {
			r.pools[c.ID] = true
		}
	}
}

// isHost reports whether a name is one that the gateway gives itself.
func (w *Watch) isHost(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(splitRoles(w.targets[name].roles), HostName)
}

// namesOf are the words by which an answer names a list.
func namesOf(d Dossier, zones []string) []string {
	words := slices.Clone(zones)
	for _, s := range []string{d.Operator, d.List} {
		if word, _, _ := strings.Cut(strings.ToLower(s), " "); len(word) >= 5 {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// named reports whether the domain of an address is the dossier's.
func (r *reader) named(f *journal.Fact) bool {
	for _, s := range []string{f.HeaderFrom, f.ReversePath} {
		if d := domainOf(s); d == r.d.Target || strings.HasSuffix(d, "."+r.d.Target) {
			return true
		}
	}
	return false
}

// login finds the sums of a fact's customer and credential.
func (r *reader) login(customer, credential string) *loginSum {
	c := r.by[customer]
	if c == nil {
		c = &customerSum{logins: map[string]*loginSum{}}
		r.by[customer] = c
	}
	l := c.logins[credential]
	if l == nil {
		if r.logins >= maxLogins && credential != "" {
			return r.login(customer, "")
		}
		r.logins++
		l = &loginSum{customer: c, credential: credential, clients: map[netip.Addr]bool{}}
		c.logins[credential] = l
	}
	return l
}

// message finds what is remembered of a fact's message; nil when it began before the window and the fact says nothing of it.
func (r *reader) message(f *journal.Fact) *message {
	key := maphash.String(r.seed, string(f.QueueID))
	m := r.known[key]
	if m == nil && f.QueueID != "" && len(r.known) < maxMessages {
		m = &message{login: r.login(f.Customer, f.Credential), recipients: 1}
		r.known[key] = m
	}
	return m
}

// take counts one fact.
func (r *reader) take(f *journal.Fact) {
	switch f.Kind {
	case journal.Accepted, journal.Recovered, journal.Held, journal.Rejected:
		r.arrived(f)
	case journal.Addressed:
		if m := r.message(f); m != nil {
			var all []string
			if json.Unmarshal(f.Detail, &all) == nil {
				m.recipients = max(len(all), 1)
			}
		}
	case journal.Delivered, journal.Deferred, journal.Bounced, journal.Expired, journal.Returned:
		r.answered(f)
	case journal.Complaint:
		if m := r.message(f); m != nil && m.counted {
			m.add(func(t *Tally) { t.Complaints++ })
			m.example(f)
			r.trapped(m, f, TrapComplaint, f.Host)
		}
	}
}

// add counts for the credential and its customer.
func (m *message) add(count func(*Tally)) {
	count(&m.login.tally)
	count(&m.login.customer.tally)
}

func (m *message) example(f *journal.Fact) {
	l := m.login
	if id := string(f.QueueID); id != "" && len(l.examples) < 5 && !slices.Contains(l.examples, id) {
		l.examples = append(l.examples, id)
	}
}

// arrived takes note of a message at the door.
func (r *reader) arrived(f *journal.Fact) {
	m := r.message(f)
	if m == nil || m.counted {
		return
	}
	m.login = r.login(f.Customer, f.Credential)
	if f.ClientIP.IsValid() && len(m.login.clients) < 50 {
		m.login.clients[f.ClientIP] = true
	}
	threshold := account.DefaultThreshold
	if r.w.o.Accounts != nil {
		if c, ok := r.w.o.Accounts.Customer(f.Customer); ok {
			threshold = c.Threshold
		}
	}
	m.held = f.Kind == journal.Rejected || f.Kind == journal.Held && !strings.HasPrefix(f.Actor, "operator:")
	m.high = f.Score > threshold
	switch {
	case r.ip.IsValid():
		m.inScope = r.pools[f.Customer]
	default:
		m.inScope = r.all || r.named(f)
	}
	if m.held && m.inScope { // it never left, but it is what its sender does
		r.count(m)
		if m.high {
			m.example(f)
		}
	}
}

// count counts a message once.
func (r *reader) count(m *message) {
	if m.counted {
		return
	}
	m.counted = true
	m.add(func(t *Tally) {
		t.Messages++
		if m.high {
			t.High++
		}
		if m.held {
			t.Blocked++
		}
	})
}

// answered takes note of what became of a recipient.
func (r *reader) answered(f *journal.Fact) {
	m := r.message(f)
	if m == nil {
		return
	}
	switch {
	case r.ip.IsValid():
		if f.EgressIP.IsValid() && f.EgressIP.Unmap() != r.ip || !f.EgressIP.IsValid() && !m.counted {
			return
		}
	case !r.all && !m.inScope && !r.named(f):
		return
	}
	m.inScope = true
	r.count(m)
	final := f.Kind != journal.Deferred
	refused := reputational[f.Category] && (final || f.Attempt <= 1)
	m.add(func(t *Tally) {
		if final {
			t.Recipients++
		}
		switch {
		case f.Kind == journal.Delivered:
			t.Delivered++
		case final && f.Category == string(provider.UserUnknown):
			t.Invalid++
		case refused:
			t.Refused++
		}
	})
	if refused || f.Category == string(provider.UserUnknown) {
		m.example(f)
	}
	if f.Kind != journal.Delivered {
		r.evidence(f)
		if final || f.Attempt <= 1 {
			r.trapped(m, f, TrapAnswer, cmp.Or(f.Provider, f.Host))
		}
	}
}

// trapped counts an answer or a complaint that speaks of a spam trap.
func (r *reader) trapped(m *message, f *journal.Fact, source TrapSource, from string) {
	if !SpeaksOfTrap(f.Text) {
		return
	}
	m.add(func(t *Tally) { t.Traps++ })
	m.example(f)
	key := string(source) + " " + from
	x := r.traps[key]
	if x == nil {
		if len(r.traps) >= maxTraps {
			return
		}
		x = &TrapEvidence{Source: source, From: bound(from, maxWord), Text: bound(f.Text, 500), QueueID: string(f.QueueID)}
		r.traps[key] = x
	}
	x.Count++
	x.Last = f.At
}

// evidence keeps answers that speak of our reputation, or name the list.
func (r *reader) evidence(f *journal.Fact) {
	text := strings.ToLower(f.Text)
	names := slices.ContainsFunc(r.words, func(word string) bool { return strings.Contains(text, word) })
	if !names && !reputational[f.Category] && !telling[f.Category] {
		return
	}
	key := fmt.Sprint(f.Provider, " ", f.Category, " ", names)
	a := r.answers[key]
	if a == nil {
		if len(r.answers) >= maxAnswers {
			return
		}
		a = &AnswerEvidence{Provider: f.Provider, Category: f.Category, Names: names, First: f.At, Code: f.Code, Text: bound(f.Text, 500), QueueID: string(f.QueueID)}
		r.answers[key] = a
	}
	a.Count++
	a.Last = f.At
}

// shown are the answers, those that name the list first.
func (r *reader) shown() (out []AnswerEvidence) {
	for _, a := range r.answers {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b AnswerEvidence) int {
		if a.Names != b.Names {
			if a.Names {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Category, b.Category))
	})
	return out[:min(len(out), shownAnswers)]
}

func (t *Tally) plus(x Tally) {
	t.Messages += x.Messages
	t.Recipients += x.Recipients
	t.Delivered += x.Delivered
	t.Invalid += x.Invalid
	t.Refused += x.Refused
	t.Complaints += x.Complaints
	t.Traps += x.Traps
	t.High += x.High
	t.Blocked += x.Blocked
}

func (t Tally) minus(x Tally) Tally {
	return Tally{t.Messages - x.Messages, t.Recipients - x.Recipients, t.Delivered - x.Delivered, t.Invalid - x.Invalid, t.Refused - x.Refused, t.Complaints - x.Complaints, t.Traps - x.Traps,
		t.High - x.High, t.Blocked - x.Blocked}
}

// senders says who sent, and who stands out. unknown: why it is not known whom some of them wrote to before.
func (r *reader) senders(ctx context.Context, from, to time.Time) (out Senders, unknown error) {
	out = Senders{Known: true, Since: r.since, Facts: r.facts, Usual: -1}
	var all []Sender
	for id, c := range r.by {
		if c.tally.Messages == 0 {
			continue
		}
		s := Sender{Customer: id, Tally: c.tally, Usual: -1, Credentials: c.shown(r.w, id)}
		if r.w.o.Accounts != nil {
			if a, ok := r.w.o.Accounts.Customer(id); ok {
				s.Name = a.Name
			}
		}
		out.All.plus(c.tally)
		all = append(all, s)
	}
	out.Customers = len(all)
	slices.SortFunc(all, func(a, b Sender) int {
		return cmp.Or(cmp.Compare(b.Tally.Faults(), a.Tally.Faults()), cmp.Compare(b.Tally.Messages, a.Tally.Messages), cmp.Compare(a.Customer, b.Customer))
	})
	days := max(to.Sub(laterOf(from, r.since)).Hours()/24, 1.0/24)
	usual, known := 0.0, false
	for i := range all {
		s := &all[i]
		if i < 2*shownSenders {
			if s.Usual = r.w.habit(ctx, s.Customer, from); s.Usual >= 0 {
				usual, known = usual+s.Usual, true
			}
			if err := r.w.acquaint(ctx, s, from, to); err != nil {
				unknown = err
			}
		}
		s.judge(out.All, days)
	}
	if known {
		out.Usual = usual
	}
	slices.SortStableFunc(all, func(a, b Sender) int { return cmp.Compare(btoi(len(b.StandsOut) > 0), btoi(len(a.StandsOut) > 0)) })
	out.Senders = all[:min(len(all), shownSenders)]
	out.More = len(all) - len(out.Senders)
	return out, unknown
}

// acquaint finds out how much of a sender's mail went to people he never wrote to before.
func (w *Watch) acquaint(ctx context.Context, s *Sender, from, to time.Time) error {
	if w.o.Strangers == nil {
		return errNotHere
	}
	if s.Customer == "" {
		return nil // nobody's past
	}
	var credentials []string
	for _, l := range s.Credentials {
		credentials = append(credentials, l.Credential)
	}
	known, err := w.o.Strangers(ctx, s.Customer, credentials, from, to)
	if err != nil {
		return err
	}
	s.Strangers = known.All
	for i, l := range s.Credentials {
		s.Credentials[i].Strangers = known.Logins[l.Credential]
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// shown are a customer's credentials, the one with the most faults first.
func (c *customerSum) shown(w *Watch, customer string) (out []Login) {
	for credential, l := range c.logins {
		if l.tally.Messages == 0 {
			continue
		}
		x := Login{Credential: credential, Tally: l.tally, Addresses: len(l.clients), Examples: l.examples}
		if faults := c.tally.Faults(); faults > 0 {
			x.Fault = float64(l.tally.Faults()) / float64(faults)
		}
		if w.o.Accounts != nil && credential != "" {
			if known, ok := w.o.Accounts.Credential(credential); ok && known.Customer == customer {
				x.Label = known.Label
			}
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Login) int {
		return cmp.Or(cmp.Compare(b.Tally.Faults(), a.Tally.Faults()), cmp.Compare(b.Tally.Messages, a.Tally.Messages), cmp.Compare(a.Credential, b.Credential))
	})
	return out[:min(len(out), shownLogins)]
}

// habit is how many messages a customer sends on a day, by the four weeks before; -1 where fewer than three of the days are known.
func (w *Watch) habit(ctx context.Context, customer string, before time.Time) float64 {
	if customer == "" {
		return -1
	}
	to := before.UTC().Truncate(24 * time.Hour)
	f, err := w.o.Journal.Figures(ctx, journal.FiguresQuery{Customer: customer, From: to.AddDate(0, 0, -habitDays), To: to, Step: journal.Day, Figures: []journal.Figure{journal.Taken}})
	if err != nil {
		return -1
	}
	days := 0
	for _, p := range f.Points {
		if p.Known {
			days++
		}
	}
	if days < 3 {
		return -1
	}
	return float64(f.Sum(journal.Taken)) / float64(days)
}

// rate is a quotient that small numbers do not lead astray.
func rate(count, of int) float64 { return (float64(count) + 0.5) / (float64(of) + 1) }

// judge compares a sender with the others and with himself, days days of him with what he usually sends.
func (s *Sender) judge(all Tally, days float64) {
	t, others := s.Tally, all.minus(s.Tally)
	if all.Messages > 0 {
		s.Share = float64(t.Messages) / float64(all.Messages)
	}
	if f := all.Faults(); f > 0 {
		s.Fault = float64(t.Faults()) / float64(f)
	}
	alone := others.Messages < 20
	if !alone && t.Messages >= 5 && t.Faults() >= 5 {
		s.Ratio = rate(t.Faults(), t.Messages) / rate(others.Faults(), others.Messages)
	}
	if s.Usual > 0 {
		s.Jump = float64(t.Messages) / days / s.Usual
	}
	out := func(code string, count, of, most int, share float64, other, otherOf int) {
		if count < most || float64(count) < share*float64(max(of, 1)) {
			return
		}
		if alone || rate(count, of) >= 2*rate(other, otherOf) {
			s.StandsOut = append(s.StandsOut, code)
		}
	}
	out("invalid", t.Invalid, t.Recipients, 10, 0.05, others.Invalid, others.Recipients)
	out("refused", t.Refused, t.Recipients, 10, 0.05, others.Refused, others.Recipients)
	out("complaints", t.Complaints, t.Delivered, 3, 0.001, others.Complaints, others.Delivered)
	out("traps", t.Traps, t.Recipients, 1, 0, others.Traps, others.Recipients)
	out("score", t.High, t.Messages, 5, 0.1, others.High, others.Messages)
	if s.Strangers.Unusual() {
		s.StandsOut = append(s.StandsOut, "strangers")
	}
	if t.Messages >= 200 && (s.Jump >= 4 || s.Usual == 0) {
		s.StandsOut = append(s.StandsOut, "volume")
	}
}

// addressOf is a contact as a person writes it; "" for none.
func addressOf(a mail.Address) string {
	if a.Domain == "" {
		return ""
	}
	return a.String()
}
