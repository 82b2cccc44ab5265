package shaping

import (
	"math"
	"time"

	"postern/internal/provider"
)

// The pace of a lane finds itself below the provider's limits: halved when the provider says that it is too fast, raised step by step while it takes
// what it is given.
const (
	halveEvery = int64(30 * time.Second) // answers to what was sent before say nothing new
	raiseEvery = int64(time.Minute)
	raiseBy    = 0.05 // of the pace at which it was first too fast
	slowest    = 1.0  // messages a minute
)

// adapt is the pace that was found.
type adapt struct {
	rate        float64 // messages a minute; 0 none
	base        float64 // the pace when it was first too fast
	connections int     // 0 none
	halved      int64
	raised      int64
	r           *reaction
}

func (a *adapt) on() bool { return a.r != nil }

// pace is the messages a minute that what is in force allows; 0 is no limit.
func (l *lane) pace() float64 {
	a, b := l.stand.pace, l.adapt.rate
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// current is the messages a minute that the lane sends; 0 when nothing can be told.
func (l *lane) current(now int64) float64 {
	r := math.Inf(1)
	if c := l.ceiling(); !math.IsInf(c, 1) {
		r = c * 60
	}
	if p := l.pace(); p > 0 {
		r = min(r, p)
	}
	l.begun.roll(now)
	if l.begun.sum >= 5 {
		first := l.begun.q[l.begun.head].no * l.begun.width
		r = min(r, float64(l.begun.sum)*60e9/float64(max(now-first, int64(5*time.Second))))
	}
	if math.IsInf(r, 1) {
		return 0
	}
	return r
}

// throttles reports whether an answer says that we are too fast or too many.
func throttles(e Event) bool {
	m := e.Meaning
	switch {
	case e.Accepted:
		return false
	case m.Party == provider.Volume, m.Category == provider.Speeding, m.Category == provider.TooManyConns:
		return true
	case m.Do.Slow > 0 && m.Do.Slow < 1:
		return true
	}
	return e.Code == 421 && m.Category != "" && (m.Party == provider.Nobody || m.Party == provider.OfProvider)
}

// slowDown halves the pace, or the connections where they are what is too many or the lane has no pace.
func (l *lane) slowDown(now int64, e Event) {
	a := &l.adapt
	if a.halved != 0 && now-a.halved < halveEvery {
		return
	}
	cur := l.current(now)
	open := min(max(l.workers, 1), l.limit())
	many := e.Meaning.Category == provider.TooManyConns
	switch {
	case (many || cur == 0) && open > 1:
		a.connections = open / 2
	case cur == 0:
		cur = slowest * 2
		fallthrough
	default:
		if a.rate == 0 {
			a.base = cur
		}
		a.rate = max(cur/2, min(slowest, a.base/4))
	}
	a.halved, a.raised = now, now
	r := Reaction{Kind: Slow, Why: l.why("adaptive"), Rule: e.Meaning.Rule, Evidence: evidence(e)}
	if a.r == nil {
		a.r = l.add(now, r, time.Hour)
	}
	a.r.Rule, a.r.Evidence = r.Rule, r.Evidence
	l.tellAdapted(now)
}

// speedUp raises the pace by a step when it has been kept without complaint for long enough.
func (l *lane) speedUp(now int64) {
	a := &l.adapt
	if a.r == nil || now-a.halved < raiseEvery || now-a.raised < raiseEvery {
		return
	}
	a.raised = now
	if a.rate > 0 {
		if a.rate += a.base * raiseBy; a.rate >= l.target() {
			a.rate, a.base = 0, 0
		}
	}
	if a.connections > 0 {
		if a.connections++; a.connections >= l.connections() {
			a.connections = 0
		}
	}
	if a.rate == 0 && a.connections == 0 {
		l.drop(a.r, now, "rule")
		return
	}
	l.tellAdapted(now)
}

// target is the pace from which on none is needed: the provider's limit, or where none is known twice the pace that was too fast once.
func (l *lane) target() float64 {
	if c := l.ceiling(); !math.IsInf(c, 1) {
		return c * 60
	}
	return 2 * l.adapt.base
}

// tellAdapted writes the present pace into the reaction, and when it will be over if nobody complains.
func (l *lane) tellAdapted(now int64) {
	a := &l.adapt
	steps := 1.0
	a.r.Rate, a.r.Connections, a.r.Factor = a.rate, a.connections, 0
	if a.rate > 0 {
		a.r.Factor = a.rate / a.base
		steps = max(steps, (l.target()-a.rate)/(a.base*raiseBy)+1)
	}
	if a.connections > 0 {
		steps = max(steps, float64(l.connections()-a.connections)+1)
	}
	a.r.Ends = time.Unix(0, now+int64(math.Ceil(min(steps, 600)))*raiseEvery)
	l.writes = append(l.writes, a.r.Reaction)
	l.review(now)
}
