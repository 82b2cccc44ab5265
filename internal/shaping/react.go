package shaping

import (
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
)

const (
	unreachFirst  = time.Minute
	unreachMost   = 15 * time.Minute
	stillAnswers  = int64(time.Minute) // a lane that was answered so lately is reachable, whatever one connection says
	probeTries    = 5                  // answers that prove nothing, before a probe is taken as passed
	probeFor      = 24 * time.Hour     // a probe for which there is no mail
	slowFor       = time.Hour          // of a rule that does not say
	watchFor      = time.Hour
	maxEvidence   = 500
	maxRuleCounts = 32
)

// reaction is a Reaction in force on a lane.
type reaction struct {
	Reaction
	tries int // answers to its probe that proved nothing

	// Of those with a Scope.
	probe mail.QueueID // the message that goes first; "": the next that comes
	asked int64        // when it was let in
	told  int64        // the latest time that one was told to come back
}

// stand is what all reactions in force mean together.
type stand struct {
	all         int64 // nothing leaves before
	allWhy      Why
	allKind     Kind
	bulk        int64 // nothing but transactional mail leaves before
	bulkWhy     Why
	probe       *reaction // one message at a time until it says how things are
	connections int
	pace        float64 // messages a minute
	next        int64   // when something changes by itself
}

type watchOrder struct {
	rule, evidence string
	lasts          time.Duration
}

type ruleCount struct {
	rule  string
	times []int64
}

func stops(k Kind) bool { return k == Pause || k == Governor || k == Unreachable || k == Operator }

// review works out anew what is in force, and ends what is over.
func (l *lane) review(now int64) {
	var st stand
	keep := l.reacts[:0]
	customers := false
	for _, r := range l.reacts {
		ends := r.Ends.UnixNano()
		if now >= ends && r.Probe && stops(r.Kind) && !r.Probing {
			r.Probing = true
		}
		probing := r.Probing && (now < ends || stops(r.Kind) && now < ends+int64(probeFor))
		if now >= ends && !probing {
			l.finish(r, now, "time")
			continue
		}
		keep = append(keep, r)
		next := ends
		if now >= ends {
			next = ends + int64(probeFor)
		}
		if st.next == 0 || next < st.next {
			st.next = next
		}
		switch {
		case probing:
			st.probe = r
		case !stops(r.Kind):
		case r.Customer != "":
			customers = true
		case r.BulkOnly:
			if ends > st.bulk {
				st.bulk, st.bulkWhy = ends, r.Why
			}
		case ends > st.all:
			st.all, st.allWhy, st.allKind = ends, r.Why, r.Kind
		}
		if r.Connections > 0 && (st.connections == 0 || r.Connections < st.connections) && r != l.adapt.r {
			st.connections = r.Connections
		}
		if r.Rate > 0 && (st.pace == 0 || r.Rate < st.pace) && r != l.adapt.r {
			st.pace = r.Rate
		}
	}
	if w := l.s.wideOf(l.key.Egress, now); w != nil && l.key.Provider != AnyReceiver {
		if w.ends > st.all {
			st.all, st.allWhy, st.allKind = w.ends, w.Why, w.Kind
		}
		if st.next == 0 || w.ends < st.next {
			st.next = w.ends
		}
	}
	if next := l.reviewScoped(now); next != 0 && (st.next == 0 || next < st.next) {
		st.next = next
	}
	clear(l.reacts[len(keep):])
	l.reacts, l.stand = keep, st
	if l.key.Provider == AnyReceiver {
		l.tellWide()
	}
	closed := st.bulk > now
	l.block([3]bool{false, closed, closed})
	for _, s := range l.shares {
		if paused := customers && l.customerPause(s.customer) != nil; paused != s.paused {
			l.line.pause(s, paused)
		}
	}
}

// finish ends a reaction; the caller takes it off the list.
func (l *lane) finish(r *reaction, now int64, by string) {
	r.Ended, r.EndedBy, r.Probing = time.Unix(0, now), by, false
	l.writes = append(l.writes, r.Reaction)
	if r == l.adapt.r {
		l.adapt = adapt{}
	}
}

// drop ends a reaction now.
func (l *lane) drop(r *reaction, now int64, by string) {
	for i, o := range l.reacts {
		if o == r {
			l.reacts = append(l.reacts[:i], l.reacts[i+1:]...)
			l.finish(r, now, by)
			l.review(now)
			return
		}
	}
}

func (l *lane) customerPause(customer string) *reaction {
	for _, r := range l.reacts {
		if r.Customer != "" && r.Customer == customer && stops(r.Kind) {
			return r
		}
	}
	return nil
}

// react puts something in force for a time, or renews what is in force for the same reason.
func (l *lane) react(now int64, r Reaction, lasts time.Duration) *reaction {
	ends := time.Unix(0, now).Add(lasts)
	for _, o := range l.reacts {
		if o.Kind != r.Kind || o.Rule != r.Rule || o.Customer != r.Customer || o.BulkOnly != r.BulkOnly || o == l.adapt.r {
			continue
		}
		if o.Probing && stops(o.Kind) || ends.Sub(o.Ends) > lasts/10 {
			o.Ends, o.lasts, o.Probing, o.tries = ends, lasts, false, 0
			o.Evidence, o.Factor, o.Rate, o.Connections, o.Why = r.Evidence, r.Factor, r.Rate, r.Connections, r.Why
			l.writes = append(l.writes, o.Reaction)
		}
		l.enforce(now)
		return o
	}
	return l.add(now, r, lasts)
}

// add puts something in force.
func (l *lane) add(now int64, r Reaction, lasts time.Duration) *reaction {
	l.complete(now, &r, lasts)
	o := &reaction{Reaction: r}
	l.reacts = append(l.reacts, o)
	l.writes = append(l.writes, r)
	l.enforce(now)
	return o
}

// complete gives what is put in force its name and its times.
func (l *lane) complete(now int64, r *Reaction, lasts time.Duration) {
	r.ID, r.Lane, r.Started, r.Ends = string(mail.NewQueueID(time.Unix(0, now))), l.key, time.Unix(0, now), time.Unix(0, now).Add(lasts)
	r.lasts = lasts
	if r.By == "" {
		r.By = "rule"
	}
}

// enforce lets what is in force take hold: what stands still for long leaves memory.
func (l *lane) enforce(now int64) {
	l.review(now)
	l.meter.stop()
	l.shed(now)
}

// Observe tells what happened. Nothing but answers of a server and failed connections: what is our own trouble says nothing about the receiver.
func (s *Shaper) Observe(k Key, e Event) {
	l := s.lane(k, true)
	defer l.unlock()
	now := s.now()
	if l.stand.next != 0 && now >= l.stand.next {
		l.review(now)
	}
	if l.p == nil && s.o.Knowledge != nil {
		if know := s.o.Knowledge(); know != nil {
			l.setProvider(know.Provider(k.Provider))
		}
	}
	l.tally(now, e)
	l.conclude(now, e)
	l.concludeScoped(now, &e)
	l.obey(now, e)
	switch {
	case e.Connect && !e.Accepted:
		l.missed(now, e)
	case throttles(e):
		l.answered(now, &e)
		l.slowDown(now, e)
	default:
		l.answered(now, &e)
		if e.Accepted {
			l.speedUp(now)
		}
	}
	l.govern(now, e)
	l.pump(now)
}

// blames reports whether an answer is about us, so that the next message would get the same.
func blames(e Event) bool {
	switch m := e.Meaning; {
	case e.Accepted:
		return false
	case m.Do.Pause > 0 && scopeOf(&e) != scopeKey{}:
		return false
	case e.Connect, m.Do.Pause > 0, m.Party == provider.SenderIP, m.Party == provider.Volume:
		return true
	default:
		switch m.Category {
		case provider.Speeding, provider.TooManyConns, provider.Blocked, provider.BadReputation:
			return true
		}
	}
	return false
}

// proves reports whether an answer shows that mail is taken again: it was, or it was refused for the recipient's or the message's sake.
func proves(e Event) bool {
	switch e.Meaning.Party {
	case provider.OfRecipient, provider.RecipientDomain, provider.Message, provider.SenderDomain:
		return true
	}
	return e.Accepted
}

// conclude ends or renews the pause whose probe was answered.
func (l *lane) conclude(now int64, e Event) {
	if !e.Connect { // whoever answers can be reached
		for _, r := range l.reacts {
			if r.Kind == Unreachable {
				l.drop(r, now, "answer")
				break
			}
		}
	}
	r := l.stand.probe
	if r == nil || r.BulkOnly && e.Class == Transactional {
		return
	}
	switch {
	case e.Connect && e.Code == 0 && e.Route != "" && l.byRoute() && r.Kind != Unreachable: // one route's trouble says nothing about this
	case proves(e):
		l.opened(r, now)
	case !blames(e):
		if r.tries++; r.tries >= probeTries {
			l.opened(r, now)
		}
	case r.Kind == Watch: // the trouble is here too: what it asks for follows, and the next probe after it
	default:
		if r.Kind == Unreachable {
			r.lasts = min(2*r.lasts, unreachMost)
		}
		r.Ends, r.Probing, r.tries = time.Unix(0, now).Add(r.lasts), false, 0
		r.Evidence = evidence(e)
		l.writes = append(l.writes, r.Reaction)
		l.enforce(now)
	}
}

// opened ends a probe well. A watch goes on, without one.
func (l *lane) opened(r *reaction, now int64) {
	if r.Kind == Watch {
		r.Probing, r.Probe = false, false
		l.writes = append(l.writes, r.Reaction)
		l.review(now)
		return
	}
	l.drop(r, now, "probe")
}

func evidence(e Event) string {
	t := strings.ToValidUTF8(e.Text, "?")
	if e.Code > 0 && !strings.HasPrefix(t, strconv.Itoa(e.Code)) {
		t = strconv.Itoa(e.Code) + " " + t
	}
	return clip(t)
}

// clip keeps evidence short.
func clip(t string) string {
	t = strings.ReplaceAll(strings.ToValidUTF8(t, "?"), "\x00", "?")
	if len(t) > maxEvidence {
		t = strings.ToValidUTF8(t[:maxEvidence-3], "") + "..."
	}
	return t
}

// obey does what a rule asks after an answer.
func (l *lane) obey(now int64, e Event) {
	do := e.Meaning.Do
	if do.Pause <= 0 && (do.Slow <= 0 || do.Slow >= 1) && do.Connections <= 0 && !do.Watch && !do.Alarm {
		return
	}
	name, scope := e.Meaning.Rule, scopeKey{}
	if do.Pause > 0 {
		if scope = scopeOf(&e); scope.scope != WholeLane {
			name += " " + scope.customer + " " + scope.target
		}
	}
	if do.After > 1 && !l.reached(now, name, do.After, do.Within) {
		return
	}
	text := evidence(e)
	var what Reaction
	switch {
	case do.Pause > 0 && scope.scope != WholeLane:
		if r := l.stop(now, Reaction{Kind: Pause, Scope: scope.scope, Customer: scope.customer, Target: scope.target, Rule: e.Meaning.Rule, Evidence: text, Probe: do.Probe,
			BulkOnly: do.BulkOnly}, do.Pause); r != nil {
			what = r.Reaction
		}
	case do.Pause > 0:
		what = l.react(now, Reaction{Kind: Pause, Why: l.why("pause"), Rule: e.Meaning.Rule, Evidence: text, Probe: do.Probe, BulkOnly: do.BulkOnly}, do.Pause).Reaction
	}
	if slow := do.Slow > 0 && do.Slow < 1; slow || do.Connections > 0 {
		r := Reaction{Kind: Slow, Why: l.why("slow"), Rule: e.Meaning.Rule, Evidence: text, Connections: do.Connections}
		if slow {
			l.factor(now, &r, do.Slow)
		}
		lasts := do.For
		if lasts <= 0 {
			lasts = slowFor
		}
		what = l.react(now, r, lasts).Reaction
	}
	if do.Watch && l.p != nil && l.p.Group != "" {
		l.watch = append(l.watch, watchOrder{e.Meaning.Rule, text, max(do.For, do.Pause)})
	}
	if do.Alarm {
		if what.ID == "" {
			what = Reaction{Lane: l.key, Why: l.why("pause"), Rule: e.Meaning.Rule, Evidence: text, Started: time.Unix(0, now), By: "rule"}
		}
		if l.reached(now, "alarm "+name, 1, 0) {
			l.alarms = append(l.alarms, what)
		}
	}
}

// reached counts an answer of a rule and reports whether it is the n-th within a time. For alarms: whether the last one is an hour ago.
func (l *lane) reached(now int64, rule string, n int, within time.Duration) bool {
	var c *ruleCount
	for i := range l.counts {
		if l.counts[i].rule == rule {
			c = &l.counts[i]
		}
	}
	if c == nil {
		if len(l.counts) >= maxRuleCounts {
			l.counts = append(l.counts[:0], l.counts[1:]...)
		}
		l.counts = append(l.counts, ruleCount{rule: rule})
		c = &l.counts[len(l.counts)-1]
	}
	if n <= 1 {
		if len(c.times) > 0 && now-c.times[0] < int64(time.Hour) {
			return false
		}
		c.times = append(c.times[:0], now)
		return true
	}
	if within <= 0 {
		within = time.Hour
	}
	n = min(n, 1000)
	c.times = append(c.times, now)
	if len(c.times) > n {
		c.times = append(c.times[:0], c.times[len(c.times)-n:]...)
	}
	if len(c.times) < n || now-c.times[0] > int64(within) {
		return false
	}
	c.times = c.times[:0]
	return true
}

// factor puts a share of the present pace into a reaction; where the lane has no pace, of its connections.
func (l *lane) factor(now int64, r *Reaction, f float64) {
	r.Factor = f
	if cur := l.current(now); cur > 0 {
		r.Rate = max(cur*f, 0.1)
		return
	}
	n := max(int(float64(l.connections())*f), 1)
	if r.Connections == 0 || n < r.Connections {
		r.Connections = n
	}
}

// missed reacts to a connection that failed. While others of the lane are served it means: not so many at once.
func (l *lane) missed(now int64, e Event) {
	if e.Meaning.Do.Pause > 0 && e.Meaning.Do.After <= 1 {
		return
	}
	for _, r := range l.reacts {
		if r.Kind == Unreachable {
			return
		}
	}
	if l.missedRoute(now, &e) {
		return
	}
	if l.workers > 1 && (throttles(e) || l.heard != 0 && now-l.heard < stillAnswers) {
		l.slowDown(now, Event{Connect: true, Code: e.Code, Text: e.Text, Meaning: provider.Meaning{Category: provider.TooManyConns, Rule: e.Meaning.Rule}})
		return
	}
	l.react(now, Reaction{Kind: Unreachable, Why: l.why("unreachable"), Rule: e.Meaning.Rule, Evidence: evidence(e), Probe: true}, unreachFirst)
}

// watchGroup slows the other providers of a group, which share a filter, and lets one message go first.
func (s *Shaper) watchGroup(k Key, w watchOrder) {
	if s.o.Knowledge == nil {
		return
	}
	know := s.o.Knowledge()
	if know == nil {
		return
	}
	from := know.Provider(k.Provider)
	if from == nil || from.Group == "" {
		return
	}
	for _, p := range know.Providers() {
		if p.Group != from.Group || p.Name == from.Name {
			continue
		}
		l := s.lane(Key{Egress: k.Egress, Provider: p.Name}, true)
		if l.p == nil {
			l.setProvider(p)
		}
		now := s.now()
		lasts := w.lasts
		if lasts <= 0 {
			lasts = watchFor
		}
		r := Reaction{Kind: Watch, Why: l.why("watch", from.Title), Rule: w.rule, Evidence: w.evidence, Probe: true, Probing: true}
		l.factor(now, &r, 0.5)
		l.react(now, r, lasts)
		l.pump(now)
		l.unlock()
	}
}
