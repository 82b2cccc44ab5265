package shaping

import (
	"cmp"
	"strings"
	"time"

	"postern/internal/provider"
)

// Scope is what a reaction stops when it is less than its lane. What it stops waits in the spool, not in memory, so that the lane's other mail does not
// notice; one message comes back first where the reaction ends with a probe.
type Scope string

// The scopes.
const (
	WholeLane Scope = ""       // everybody's mail; where Reaction.Customer is given, his
	OfSender  Scope = "sender" // what Reaction.Customer sends in the name of the domain Reaction.Target
	OfStream  Scope = "stream" // what Reaction.Customer sends with the stream Reaction.Target
	OfRoute   Scope = "route"  // what goes to the exchangers of the route Reaction.Target
)

const (
	maxScoped    = 1000                    // in force on one lane with a scope; beyond, messages follow their own schedule
	maxHeard     = 4096                    // routes whose latest answer is remembered
	deadRoutes   = 3                       // routes that nobody answers on, after which the lane is not reachable as a whole when nothing else of it answers
	behindProbe  = int64(30 * time.Second) // how long the others wait for what the probe says
	probeLost    = int64(15 * time.Minute) // a probe of which nothing was heard is given up
	routeProbing = time.Hour               // a dead route for which there is no mail is forgotten
	scopeStep    = int64(20 * time.Millisecond)
	shownScoped  = 20 // of them, in what people see of a lane
)

type scopeKey struct {
	scope            Scope
	customer, target string
}

func (r *Reaction) scopeKey() scopeKey { return scopeKey{r.Scope, r.Customer, r.Target} }

func scopesOf(customer, sender, stream, route string) [3]scopeKey {
	return [3]scopeKey{{OfSender, customer, sender}, {OfStream, customer, stream}, {OfRoute, "", route}}
}

func (it *Item) scopes() [3]scopeKey { return scopesOf(it.Customer, it.Sender, it.Stream, it.Route) }
func (e *Event) scopes() [3]scopeKey { return scopesOf(e.Customer, e.Sender, e.Stream, e.Route) }

// scopeOf is what a pause stops that an answer asks for: the sender's mail where he or his message is at fault.
func scopeOf(e *Event) scopeKey {
	switch e.Meaning.Party {
	case provider.SenderDomain:
		if e.Sender != "" {
			return scopeKey{OfSender, e.Customer, e.Sender}
		}
		return scopeKey{OfStream, e.Customer, e.Stream}
	case provider.Message:
		return scopeKey{OfStream, e.Customer, e.Stream}
	}
	return scopeKey{}
}

// scopedWhy is why the mail of a scope waits.
func (l *lane) scopedWhy(k scopeKey) Why {
	switch k.scope {
	case OfSender:
		return l.why("pause_sender", clip(k.target))
	case OfStream:
		return l.why("pause_stream", clip(cmp.Or(k.target, k.customer)))
	}
	return l.why("unreachable_route", clip(hostOf(k.target)))
}

// hostOf is what people call a route: the first of its exchangers.
func hostOf(route string) string {
	hosts, _, _ := strings.Cut(route, " ")
	first, _, _ := strings.Cut(hosts, ",")
	return first
}

// byRoute reports whether the lane's exchangers are many that may fail one by one: those of a known provider.
func (l *lane) byRoute() bool { return l.p != nil && l.p.Name == l.key.Provider }

// stopped is what in force stops an item, with a scope less than the lane; nil when nothing does.
func (l *lane) stopped(now int64, it *Item) (by *reaction) {
	if len(l.scoped) == 0 {
		return nil
	}
	for _, k := range it.scopes() {
		r := l.scoped[k]
		switch {
		case r == nil, r.BulkOnly && it.Class == Transactional:
		case now < r.Ends.UnixNano():
			if by == nil || r.Ends.After(by.Ends) {
				by = r
			}
		case r.Probing && r.probe != "" && r.probe != it.ID && now-r.asked < probeLost && by == nil:
			by = r
		}
	}
	return by
}

// away is when an item comes back that a reaction stops: the first at its end, as the probe, the others a little apart, behind it.
func (r *reaction) away(now int64) Wait {
	base := r.Ends.UnixNano()
	if now >= base {
		base = now + behindProbe
	} else if r.Probe && r.told >= base {
		base += behindProbe
	}
	until := max(base, r.told+scopeStep)
	if until > base+int64(r.lasts/2) {
		until = base
	}
	r.told = until
	return Wait{Until: time.Unix(0, until), Why: r.Why}
}

// probes makes an item that was let in the one that goes first.
func (l *lane) probes(now int64, it *Item) {
	if len(l.scoped) == 0 {
		return
	}
	for _, k := range it.scopes() {
		if r := l.scoped[k]; r != nil && r.Probing && !(r.BulkOnly && it.Class == Transactional) {
			r.probe, r.asked = it.ID, now
		}
	}
}

// unprobe lets another item go first: this one said nothing, or came to nothing.
func (l *lane) unprobe(it *Item) {
	if len(l.scoped) == 0 {
		return
	}
	for _, k := range it.scopes() {
		if r := l.scoped[k]; r != nil && r.probe == it.ID {
			r.probe = ""
		}
	}
}

// reviewScoped ends what is over and returns when something changes next; 0 never.
func (l *lane) reviewScoped(now int64) (next int64) {
	for k, r := range l.scoped {
		ends := r.Ends.UnixNano()
		if now >= ends && r.Probe && !r.Probing {
			r.Probing, r.probe = true, ""
		}
		if now >= ends {
			most := probeFor
			if k.scope == OfRoute {
				most = routeProbing
			}
			if ends += int64(most); !r.Probing || now >= ends {
				delete(l.scoped, k)
				l.finish(r, now, "time")
				continue
			}
		}
		if next == 0 || ends < next {
			next = ends
		}
	}
	return next
}

// stop puts something in force on a scope, or renews it; nil when the lane has too many of them.
func (l *lane) stop(now int64, r Reaction, lasts time.Duration) *reaction {
	k, ends := r.scopeKey(), time.Unix(0, now).Add(lasts)
	o := l.scoped[k]
	switch {
	case o == nil && len(l.scoped) >= maxScoped:
		return nil
	case o == nil:
		r.Why = l.scopedWhy(k)
		l.complete(now, &r, lasts)
		o = &reaction{Reaction: r}
		if l.scoped == nil {
			l.scoped = make(map[scopeKey]*reaction)
		}
		l.scoped[k] = o
	case o.Probing || ends.Sub(o.Ends) > lasts/10:
		o.Ends, o.lasts, o.Probing, o.probe, o.tries = ends, lasts, false, "", 0
		o.Rule, o.Evidence, o.Probe, o.BulkOnly = r.Rule, r.Evidence, r.Probe, r.BulkOnly
	default:
		return o
	}
	l.writes = append(l.writes, o.Reaction)
	l.review(now)
	l.shedScoped(now, o)
	return o
}

// shedScoped gives back what a reaction stops and is in memory. Without Options.Park it stays, and leaves.
func (l *lane) shedScoped(now int64, r *reaction) {
	if l.s.o.Park == nil || l.waiting == 0 {
		return
	}
	back := func(n *node) {
		if r.BulkOnly && n.Class == Transactional {
			return
		}
		s := n.st.of
		it := l.remove(n)
		s.held--
		l.s.held.Add(-1)
		l.unprobe(&it)
		l.parks = append(l.parks, parked{it, r.away(now)})
	}
	if r.Scope == OfRoute {
		if q := l.routes[r.Target]; q != nil {
			for n := q.head; n != nil; {
				next := n.rnext
				back(n)
				n = next
			}
		}
		return
	}
	s := l.share(r.Customer)
	if s == nil {
		return
	}
	for _, st := range s.streams {
		for n := st.head; n != nil; {
			next := n.next
			if r.Scope == OfSender && n.Sender == r.Target || r.Scope == OfStream && n.Stream == r.Target {
				back(n)
			}
			n = next
		}
	}
}

// concludeScoped ends or renews what has a scope, after an answer about it.
func (l *lane) concludeScoped(now int64, e *Event) {
	if len(l.scoped) == 0 {
		return
	}
	for _, k := range e.scopes() {
		r := l.scoped[k]
		switch {
		case r == nil:
		case k.scope == OfRoute:
			switch {
			case !e.Connect: // whoever answers can be reached
				l.release(r, now, "answer")
			case r.Probing:
				l.again(r, now, min(2*r.lasts, unreachMost), e)
			}
		case !r.Probing || e.Connect || r.BulkOnly && e.Class == Transactional:
		case e.Accepted, e.Meaning.Party == provider.OfRecipient, e.Meaning.Party == provider.RecipientDomain:
			l.release(r, now, "probe")
		case e.Meaning.Do.Pause > 0 && scopeOf(e) == k:
			l.again(r, now, r.lasts, e)
		default:
			if r.tries++; r.tries >= probeTries {
				l.release(r, now, "probe")
			}
		}
	}
}

// again renews a reaction whose probe failed.
func (l *lane) again(r *reaction, now int64, lasts time.Duration, e *Event) {
	r.lasts, r.Ends, r.Probing, r.probe, r.tries, r.Evidence = lasts, time.Unix(0, now).Add(lasts), false, "", 0, evidence(*e)
	l.writes = append(l.writes, r.Reaction)
	l.review(now)
	l.shedScoped(now, r)
}

// release ends what has a scope. What waits for longer than a moment is called back.
func (l *lane) release(r *reaction, now int64, by string) {
	delete(l.scoped, r.scopeKey())
	l.finish(r, now, by)
	l.review(now)
	if r.told > now+2*behindProbe {
		l.forgetParked()
		l.lifted = true
	}
}

// answered notes that a route's servers speak.
func (l *lane) answered(now int64, e *Event) {
	l.heard = now
	if e.Route == "" || !l.byRoute() {
		return
	}
	if l.spoke == nil || len(l.spoke) >= maxHeard {
		l.spoke = make(map[string]int64)
	}
	l.spoke[e.Route] = now
}

// missedRoute reacts to a connection that failed where the lane has many routes: the route is stopped and the lane goes on. It reports false when it is
// the lane's affair: a server that speaks says that it is about us, or nothing of the lane answers any more.
func (l *lane) missedRoute(now int64, e *Event) bool {
	if e.Route == "" || !l.byRoute() {
		return false
	}
	if e.Code > 0 && (throttles(*e) || e.Meaning.Party == provider.SenderIP) {
		return false
	}
	if at := l.spoke[e.Route]; at != 0 && now-at < stillAnswers && l.workers > 1 {
		return false // it answers others of our connections: not so many at once
	}
	k := scopeKey{scope: OfRoute, target: e.Route}
	if l.scoped[k] == nil {
		l.deadAt = now
		l.stop(now, Reaction{Kind: Unreachable, Scope: OfRoute, Target: e.Route, Rule: e.Meaning.Rule, Evidence: evidence(*e), Probe: true}, unreachFirst)
	}
	if now-l.heard < stillAnswers {
		return true
	}
	dead := 0
	for k := range l.scoped {
		if k.scope == OfRoute {
			dead++
		}
	}
	return dead < deadRoutes
}

// mute reports whether a route was found dead and nothing of the lane has answered since.
func (l *lane) mute() bool { return len(l.scoped) > 0 && l.deadAt > l.heard }

// inForce returns what is in force, what concerns the whole lane first; most bounds what has a scope, 0 does not.
func (l *lane) inForce(most int) []Reaction {
	out := make([]Reaction, 0, len(l.reacts)+len(l.scoped))
	for _, r := range l.reacts {
		out = append(out, r.Reaction)
	}
	if len(l.scoped) == 0 {
		return out
	}
	scoped := make([]Reaction, 0, len(l.scoped))
	for _, r := range l.scoped {
		scoped = append(scoped, r.Reaction)
	}
	newestFirst(scoped)
	if most > 0 && len(scoped) > most {
		scoped = scoped[:most]
	}
	return append(out, scoped...)
}

// find returns what is in force with an ID; nil none.
func (l *lane) find(id string) *reaction {
	for _, r := range l.reacts {
		if r.ID == id {
			return r
		}
	}
	for _, r := range l.scoped {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Stopped tells until when a lane stands still for an item and why: as Held, and by what stops its sender or its route alone. A probe is not stopped.
func (s *Shaper) Stopped(k Key, it Item) (w Wait, ok bool) {
	l := s.lane(k, false)
	if l == nil {
		return Wait{}, false
	}
	defer l.unlock()
	now := s.now()
	if w, ok = l.standsUntil(now); ok {
		return w, ok
	}
	if r := l.stopped(now, &it); r != nil {
		return r.away(now), true
	}
	return Wait{}, false
}
