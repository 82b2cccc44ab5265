package shaping

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"
)

// ErrNotFound: no reaction in force has this ID.
var ErrNotFound = errors.New("nothing in force has this id")

// LaneInfo is what people see of a lane.
type LaneInfo struct {
	Lane        string     `json:"lane"`
	Provider    string     `json:"provider"` // for people
	Egress      string     `json:"egress,omitempty"`
	Waiting     int        `json:"waiting"`     // messages in memory that wait for their turn
	Busy        int        `json:"busy"`        // messages being sent
	Connections int        `json:"connections"` // open or being opened
	Limit       int        `json:"limit"`       // connections allowed now
	Rate        float64    `json:"rate"`        // messages a minute allowed now; 0 no limit
	Sent        int        `json:"sent"`        // messages taken by the provider in the last minute
	Today       int        `json:"today"`
	Customers   int        `json:"customers"` // with mail waiting
	InForce     []Reaction `json:"in_force,omitempty"`

	PerConnection int       `json:"per_connection"`        // messages on one connection; 0 no limit
	PerMessage    int       `json:"per_message"`           // recipients in one transaction; 0 no limit
	PerHour       int       `json:"per_hour"`              // 0 no limit
	PerDay        int       `json:"per_day"`               // 0 no limit
	UsedHour      int       `json:"used_hour"`             // of PerHour
	UsedDay       int       `json:"used_day"`              // of PerDay
	Next          time.Time `json:"next,omitzero"`         // when the next may leave; zero: now, or nothing waits
	MostWaiting   string    `json:"most_waiting,omitzero"` // the customer with the most messages in memory
}

// Lanes returns the lanes that have work or something in force, the longest queue first.
func (s *Shaper) Lanes() []LaneInfo {
	all := s.all()
	out := make([]LaneInfo, 0, len(all))
	for _, l := range all {
		l.mu.Lock()
		if !l.gone && (l.waiting > 0 || l.busy > 0 || l.workers > 0 || len(l.reacts) > 0 || len(l.scoped) > 0) {
			out = append(out, l.info(s.now()))
		}
		l.unlock()
	}
	slices.SortFunc(out, func(a, b LaneInfo) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Lane, b.Lane))
	})
	return out
}

// Lane returns one lane; ok is false while it has neither work nor anything in force.
func (s *Shaper) Lane(k Key) (info LaneInfo, ok bool) {
	l := s.lane(k, false)
	if l == nil {
		return LaneInfo{}, false
	}
	defer l.unlock()
	return l.info(s.now()), true
}

func (l *lane) info(now int64) LaneInfo {
	l.sent.roll(now)
	i := LaneInfo{Lane: l.key.String(), Provider: l.title(), Waiting: l.waiting, Busy: l.busy, Connections: l.workers, Limit: l.limit(), Sent: l.sent.sum,
		Today: l.day.on(now)}
	if l.key.Egress.IsValid() {
		i.Egress = l.key.Egress.String()
	}
	if p := l.p; p != nil {
		i.PerConnection, i.PerMessage, i.PerHour, i.PerDay = p.Limits.PerConnection, p.Limits.PerMessage, p.Limits.PerHour, p.Limits.PerDay
	}
	for _, w := range l.windows {
		w.roll(now)
		switch w.code {
		case "hour":
			i.UsedHour = w.sum + l.busy
		case "day":
			i.UsedDay = w.sum + l.busy
		}
	}
	if c := l.ceiling(); !math.IsInf(c, 1) {
		i.Rate = c * 60
	}
	if p := l.pace(); p > 0 && (i.Rate == 0 || p < i.Rate) {
		i.Rate = p
	}
	if l.waiting > 0 {
		if at, _ := l.permit(now, false); at > now && at != never {
			i.Next = time.Unix(0, at)
		}
	}
	most := 0
	for _, s := range l.shares {
		if s.waiting > 0 {
			i.Customers++
		}
		if s.waiting > most || s.waiting == most && most > 0 && s.customer < i.MostWaiting {
			most, i.MostWaiting = s.waiting, s.customer
		}
	}
	i.InForce = l.inForce(shownScoped)
	if w := l.s.wideOf(l.key.Egress, now); w != nil && l.key.Provider != AnyReceiver {
		i.InForce = append(i.InForce, w.Reaction)
	}
	return i
}

// InForce returns the reactions in force, the newest first.
func (s *Shaper) InForce() []Reaction {
	var out []Reaction
	for _, l := range s.all() {
		l.mu.Lock()
		if now := s.now(); l.stand.next != 0 && now >= l.stand.next {
			l.review(now)
		}
		out = append(out, l.inForce(0)...)
		l.unlock()
	}
	newestFirst(out)
	return out
}

func newestFirst(rs []Reaction) {
	slices.SortFunc(rs, func(a, b Reaction) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.ID, a.ID))
	})
}

// Held tells until when a lane stands still and why; ok is false when it does not. Mail of a class or customer may stand while the lane does not: see Explain.
func (s *Shaper) Held(k Key) (w Wait, ok bool) {
	l := s.lane(k, false)
	if l == nil {
		return Wait{}, false
	}
	defer l.unlock()
	return l.standsUntil(s.now())
}

// standsUntil is Held.
func (l *lane) standsUntil(now int64) (w Wait, ok bool) {
	if l.stand.next != 0 && now >= l.stand.next {
		l.review(now)
	}
	at, why := l.blockedUntil(now, nil, Transactional)
	if at <= now {
		return Wait{}, false
	}
	return Wait{Until: time.Unix(0, at), Why: why}, true
}

// Explain says why a message of a customer waits in a lane, the strongest reason first; empty when only its turn is missing.
func (s *Shaper) Explain(k Key, customer string) []Why {
	l := s.lane(k, false)
	if l == nil {
		return nil
	}
	defer l.unlock()
	now := s.now()
	if l.stand.next != 0 && now >= l.stand.next {
		l.review(now)
	}
	var out []Why
	if w := s.wideOf(k.Egress, now); w != nil {
		out = append(out, w.Why)
	}
	for _, r := range l.reacts {
		switch {
		case r.Customer != "" && r.Customer != customer:
		case r.Probing:
			out = append(out, l.why("probe"))
		default:
			out = append(out, r.Why)
		}
	}
	slices.SortStableFunc(out, func(a, b Why) int { return cmp.Compare(weak(a), weak(b)) })
	for _, w := range l.windows {
		if used := w.sum + l.busy; w.limit > 0 && used >= w.free {
			out = append(out, l.why(w.code, amountOf(w)))
		}
	}
	if n := l.limit(); l.workers >= n && l.waiting > 0 {
		out = append(out, l.why("connections", strconv.Itoa(n)))
	}
	if c := l.share(customer); c != nil && l.waiting > c.waiting || c != nil && c.crowded(now) {
		out = append(out, l.why("share"))
	}
	return out
}

// weak puts what stops a lane before what slows it.
func weak(w Why) int {
	switch w.Code {
	case "slow", "adaptive", "watch", "probe":
		return 1
	}
	return 0
}

// amountOf is a window's limit as its sentence takes it: messages a minute where the code is "rate".
func amountOf(w *window) string {
	if w.code == "rate" {
		return number(float64(w.limit) * 60e9 / float64(w.span))
	}
	return strconv.Itoa(w.limit)
}

// Lift ends a reaction now. by is written into the history: "operator:NAME". ErrNotFound when nothing in force has this ID.
func (s *Shaper) Lift(ctx context.Context, id, by string) error {
	for _, l := range s.all() {
		l.mu.Lock()
		if r := l.find(id); r != nil {
			now := s.now()
			if r.Scope == WholeLane {
				l.drop(r, now, by)
			} else {
				l.release(r, now, by)
			}
			l.forgetParked()
			l.lifted = true
			l.pump(now)
			l.unlock()
			if l.key.Provider == AnyReceiver {
				s.spread(l.key.Egress)
			}
			return s.flushReactions(ctx)
		}
		l.mu.Unlock()
	}
	return ErrNotFound
}

// PauseLane lets nothing leave on a lane, or with AnyReceiver on all lanes of an address, until it ends or is lifted.
func (s *Shaper) PauseLane(ctx context.Context, k Key, until time.Time, reason, by string) (Reaction, error) {
	now := s.now()
	lasts := time.Duration(until.UnixNano() - now)
	if lasts <= 0 {
		return Reaction{}, errors.New("the end of the pause is past")
	}
	if k.Provider == "" {
		return Reaction{}, errors.New("a lane without a provider")
	}
	l, code := s.lane(k, true), "operator"
	if k.Provider == AnyReceiver {
		if code = "operator_address"; !k.Egress.IsValid() {
			code = "operator_gateway"
		}
	}
	r := l.add(now, Reaction{Kind: Operator, Why: l.why(code, clip(reason)), Evidence: clip(reason), By: by}, lasts)
	out := r.Reaction
	l.pump(now)
	l.unlock()
	if k.Provider == AnyReceiver {
		s.spread(k.Egress)
	}
	return out, s.flushReactions(ctx)
}

// tally counts an answer for people, the warm-up and the floor.
func (l *lane) tally(now int64, e Event) {
	if e.Connect {
		return
	}
	if e.Accepted {
		l.sent.add(now, 1)
		l.day.add(now)
	}
	if l.pot == nil {
		return
	}
	switch {
	case e.Accepted:
		l.pot.add(now, 1, 0, 0)
	case blames(e):
		l.pot.add(now, 0, 0, 1)
	case e.Meaning.Temporary(e.Code):
		l.pot.add(now, 0, 1, 0)
	}
}

// dayCount counts within a day (UTC).
type dayCount struct {
	day int64
	n   int
}

const dayLong = int64(24 * time.Hour)

func (d *dayCount) add(now int64) {
	if today := now / dayLong; d.day != today {
		d.day, d.n = today, 0
	}
	d.n++
}

func (d *dayCount) on(now int64) int {
	if d.day != now/dayLong {
		return 0
	}
	return d.n
}

// Limits are the caller's part of what a provider wants: messages on one connection and recipients in one transaction; 0 is no limit.
func (s *Shaper) Limits(k Key) (perConnection, perMessage int) {
	l := s.lane(k, false)
	if l == nil {
		return 0, 0
	}
	defer l.unlock()
	if l.p == nil {
		return 0, 0
	}
	return l.p.Limits.PerConnection, l.p.Limits.PerMessage
}
