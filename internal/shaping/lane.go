package shaping

import (
	"sync"
	"time"

	"postern/internal/provider"
)

// lane is what goes to one provider from one address. Its methods want mu held, and whoever held it calls unlock, which does what must be done
// without it. A lane's mu may be held when Shaper.mu is taken, never the other way round.
type lane struct {
	s    *Shaper
	key  Key
	mu   sync.Mutex
	gone bool // no longer in the map
	p    *provider.Provider

	line
	windows []*window
	sent    *window // accepted in the latest minute
	begun   *window // begun in the latest minute
	day     dayCount
	pot     *pot

	busy     int // being sent
	workers  int // hired and not left
	coming   int // of them, those who have not yet asked for work
	waiters  []*waiter
	lastTake int64
	paceNext int64 // by the pace in force

	reacts []*reaction
	scoped map[scopeKey]*reaction // those that stop less than the lane
	stand  stand
	adapt  adapt
	gov    governorCount
	counts []ruleCount
	heard  int64            // the latest answer of a server
	spoke  map[string]int64 // the same by route, of a lane that has many
	deadAt int64            // a route was found dead

	meter     meter
	weights   uint64 // of the customers who have much waiting
	weighed   int64
	hurried   int64 // what is parked was called back
	trimAt    int64
	hurryAt   int64 // another connection is opened if something still waits
	hired     int   // total when the latest connection was asked for
	hireAfter int64 // none is asked for before: the latest one ended without sending anything
	timer     *time.Timer
	timerAt   int64
	total     int // begun ever
	unsaved   int // begun, not in the stored counts
	ahead     int // so many may begin before the counts are stored again
	dirty     bool

	// to be done after unlocking
	hires  int
	parks  []parked
	lifted bool
	alarms []Reaction
	writes []Reaction
	watch  []watchOrder
}

// waiter is a worker that waits in Take.
type waiter struct {
	ch    chan Item // closed when there will be nothing
	route string
	late  *time.Timer
}

// waiter makes a waiter that is late after d. It goes back by release, unless its channel was closed.
func (s *Shaper) waiter(route string, d time.Duration) *waiter {
	if w, ok := s.waiters.Get().(*waiter); ok {
		w.route = route
		w.late.Reset(d)
		return w
	}
	return &waiter{ch: make(chan Item, 1), route: route, late: time.NewTimer(d)}
}

func (s *Shaper) release(w *waiter) {
	w.late.Stop()
	s.waiters.Put(w)
}

// hurryAfter is how long a message waits for a busy connection before another one is opened for it.
const hurryAfter = int64(time.Second)

func (s *Shaper) now() int64 { return s.o.Now().UnixNano() }

// lane returns the lane locked; nil when there is none and none shall be made.
func (s *Shaper) lane(k Key, make bool) *lane {
	for {
		s.mu.RLock()
		l := s.lanes[k]
		s.mu.RUnlock()
		if l == nil {
			if !make {
				return nil
			}
			l = s.makeLane(k)
		}
		l.mu.Lock()
		if !l.gone {
			return l
		}
		l.mu.Unlock()
	}
}

func (s *Shaper) makeLane(k Key) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[k]
	if l == nil {
		l = &lane{s: s, key: k, sent: newWindow("", time.Minute, 5*time.Second, 0), begun: newWindow("", time.Minute, 5*time.Second, 0)}
		if s.wideOf(k.Egress, s.now()) != nil {
			l.stand.next = 1 // to be reviewed before anything leaves
		}
		s.lanes[k] = l
	}
	return l
}

// all returns the lanes there are, to be locked one by one.
func (s *Shaper) all() []*lane {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*lane, 0, len(s.lanes))
	for _, l := range s.lanes {
		out = append(out, l)
	}
	return out
}

// unlock ends a visit and does what the visit left to do.
func (l *lane) unlock() {
	if l.hires == 0 && l.parks == nil && !l.lifted && l.alarms == nil && l.writes == nil && l.watch == nil {
		l.mu.Unlock()
		return
	}
	hires, parks, lifted, alarms, writes, watch := l.hires, l.parks, l.lifted, l.alarms, l.writes, l.watch
	l.hires, l.parks, l.lifted, l.alarms, l.writes, l.watch = 0, nil, false, nil, nil, nil
	l.mu.Unlock()
	s := l.s
	s.write(writes)
	for range hires {
		s.o.Hire(l.key)
	}
	for _, p := range parks {
		s.o.Park(l.key, p.it, p.wait)
	}
	if lifted && s.o.Lifted != nil {
		s.o.Lifted(l.key)
	}
	for _, a := range alarms {
		if s.o.Alarm != nil {
			s.o.Alarm(a)
		}
	}
	for _, w := range watch {
		s.watchGroup(l.key, w)
	}
}

// setProvider takes over a provider's limits, which may have changed since.
func (l *lane) setProvider(p *provider.Provider) {
	l.p = p
	if p == nil {
		return
	}
	l.windows = windowsOf(l.windows, p.Limits.PerSecond, p.Limits.PerMinute, p.Limits.PerHour, p.Limits.PerDay)
	l.s.restoreCounts(l)
	l.pot = l.s.pot(l.key.Egress, p.Name)
}

func (l *lane) title() string {
	if l.key.Provider == AnyReceiver && l.key.Egress.IsValid() {
		return l.key.Egress.String()
	}
	if l.p != nil && l.p.Title != "" && l.p.Name == l.key.Provider {
		return l.p.Title
	}
	return l.s.titleFor(l.key.Provider) // a lane that a person stopped may have had no mail yet
}

// why makes a reason that names the receiver first.
func (l *lane) why(code string, args ...string) Why {
	return Why{Code: code, Args: append([]string{l.title()}, args...)}
}

// connections is the limit without what is in force.
func (l *lane) connections() int {
	if l.p != nil && l.p.Limits.Connections > 0 {
		return l.p.Limits.Connections
	}
	return l.s.o.Connections
}

// limit is how many connections may be open now.
func (l *lane) limit() int {
	n := l.connections()
	if l.stand.connections > 0 {
		n = min(n, l.stand.connections)
	}
	if l.adapt.connections > 0 {
		n = min(n, l.adapt.connections)
	}
	if l.stand.probe != nil {
		n = 1
	}
	return n
}

// permit is the earliest moment the next message may begin, of a customer who has had little (light) or of any; a moment that is past means now.
func (l *lane) permit(now int64, light bool) (at int64, w *window) {
	if l.stand.all > now {
		return l.stand.all, nil
	}
	if l.stand.probe != nil && l.busy > 0 {
		return never, nil
	}
	if l.unsaved >= l.ahead && l.mustSave() {
		l.dirty = true
		l.s.keep.asked.CompareAndSwap(0, now)
		l.s.kickSave()
		return now + savedSoon, nil
	}
	at = 0
	for _, v := range l.windows {
		if t := v.next(now, l.lastTake, l.busy, light); t > at {
			at, w = t, v
		}
	}
	if l.pace() > 0 && l.paceNext > at {
		at, w = l.paceNext, nil
	}
	return at, w
}

// room is how many messages may begin now.
func (l *lane) room(now int64) int {
	n := int(^uint(0) >> 1)
	if l.pace() > 0 || l.stand.probe != nil {
		n = 1
	}
	for _, w := range l.windows {
		n = min(n, w.room(now, l.busy))
	}
	return n
}

// blockedUntil is when a customer's mail of a class may leave again as far as one can tell without its turn, and what keeps it; a moment that is past
// means that nothing does.
func (l *lane) blockedUntil(now int64, s *share, c Class) (at int64, why Why) {
	if l.stand.all > now {
		at, why = l.stand.all, l.stand.allWhy
	}
	if c != Transactional && l.stand.bulk > max(at, now) {
		at, why = l.stand.bulk, l.stand.bulkWhy
	}
	if s != nil && s.paused {
		if r := l.customerPause(s.customer); r != nil && r.Ends.UnixNano() > at {
			at, why = r.Ends.UnixNano(), r.Why
		}
	}
	light := s == nil || l.light(s, now)
	for _, w := range l.windows {
		if t := w.next(now, l.lastTake, 0, light); t != never && t > max(at, now) && w.sum >= w.open(light) {
			at, why = t, l.why(w.code, amountOf(w))
		}
	}
	return at, why
}

// begin counts a message as being sent.
func (l *lane) begin(now int64) {
	l.busy++
	l.lastTake = now
	if p := l.pace(); p > 0 {
		l.paceNext = max(l.paceNext, now-int64(time.Second)) + int64(60e9/p)
	}
	l.begun.add(now, 1)
	l.total++
	l.unsaved++
	l.dirty = true
	if l.ahead > 0 && 4*l.unsaved >= 3*l.ahead {
		l.s.kickSave()
	}
}

// pump gives what may leave to those who wait for work, asks for more of them, and sets the lane's one timer to the moment the next may leave.
func (l *lane) pump(now int64) {
	if l.stand.next != 0 && now >= l.stand.next {
		l.review(now)
	}
	l.keepReserve()
	if l.trimAt != 0 && now >= l.trimAt {
		l.trimAt = 0
		l.trim(now)
	}
	at, w := int64(0), (*window)(nil)
	for l.ready() {
		var due *node
		var alone bool
		if at, w, due, alone = l.due(now); due == nil || len(l.waiters) == 0 {
			break
		}
		l.give(due, alone, now)
	}
	switch {
	case !l.ready():
		l.meter.stop()
		l.hurryAt = 0
	case at <= now:
		l.meter.begin(now)
		l.hire(now)
	default:
		if at-now > int64(2*time.Second) && at != never {
			l.meter.stop()
		}
		if w != nil && at != never && at-now > standLong {
			l.shed(now)
		}
	}
	if l.trimAt == 0 && l.waiting > l.s.perShare() {
		l.trimAt = now + meterSpan + int64(time.Second)
	}
	l.arm(now, at)
}

// due is the message that may begin now: the one whose turn it is, or, where its customer has had much and must wait, one of a customer who has had little;
// alone says that then nobody else's may. Without one, at is when there will be.
func (l *lane) due(now int64) (at int64, w *window, n *node, alone bool) {
	if at, w = l.permit(now, false); at <= now {
		return at, w, l.turn(), false
	}
	if len(l.windows) == 0 {
		return at, w, nil, false
	}
	if n = l.lightTurn(now); n == nil {
		return at, w, nil, false
	}
	if at, w = l.permit(now, true); at > now {
		return at, w, nil, false
	}
	return at, w, n, true
}

// give hands a message to the worker that fits it best.
func (l *lane) give(due *node, alone bool, now int64) {
	i := len(l.waiters) - 1
	for j := i; j >= 0; j-- {
		if l.waiters[j].route == due.Route {
			i = j
			break
		}
	}
	to := l.waiters[i]
	l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
	to.ch <- l.start(due, alone, to.route, now)
}

// start takes the message out that a worker of a route gets, and counts it as being sent: the one that is due, or, unless that one alone may begin, one near its turn
// on the worker's route.
func (l *lane) start(due *node, alone bool, route string, now int64) (it Item) {
	if alone {
		it = l.take(due)
	} else {
		it = l.pick(route)
	}
	l.begin(now)
	if len(l.windows) > 0 {
		l.share(it.Customer).used.add(now, l.windows)
	}
	return it
}

// hire asks for connections: one for the first message, one for each message that waits beyond the connections there are, and after a moment one
// for a message that waits behind a slow one.
func (l *lane) hire(now int64) {
	if l.s.drained.Load() || l.s.o.Hire == nil || now < l.hireAfter {
		return
	}
	want, limit := min(l.eligible, l.room(now)), l.limit()
	for l.coming < want && l.workers < limit {
		if l.workers > 0 && l.workers-len(l.waiters) >= l.eligible && (l.hurryAt == 0 || now < l.hurryAt) {
			if l.hurryAt == 0 {
				l.hurryAt = now + hurryAfter
			}
			return
		}
		l.hurryAt, l.hired = 0, l.total
		l.workers++
		l.coming++
		l.hires++
	}
}

// arm sets the timer to the next moment something changes by itself.
func (l *lane) arm(now, permitted int64) {
	at := int64(never)
	if permitted > now && l.ready() {
		at = permitted
	}
	if l.hurryAt > now {
		at = min(at, l.hurryAt)
	}
	if l.stand.next > now {
		at = min(at, l.stand.next)
	}
	if l.hireAfter > now && l.ready() {
		at = min(at, l.hireAfter)
	}
	if l.waiting == 0 && l.busy == 0 && now-l.lastTake < lingers {
		at = min(at, l.lastTake+lingers)
	}
	if l.trimAt > now {
		at = min(at, l.trimAt)
	}
	if at == never || l.timerAt > now && l.timerAt <= at || l.s.drained.Load() {
		return
	}
	l.timerAt = at
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Duration(at-now), l.tick)
	} else {
		l.timer.Reset(time.Duration(at - now))
	}
}

// tick is called by the timer.
func (l *lane) tick() {
	l.mu.Lock()
	l.timerAt = 0
	if !l.gone {
		l.pump(l.s.now())
		l.end(l.s.now())
	}
	l.unlock()
}

// lingers is how long an idle lane stays in memory: its next message finds it ready.
const lingers = int64(30 * time.Second)

// end takes a lane off the map that has had no work for a while and has nothing to remember.
func (l *lane) end(now int64) {
	if now-l.lastTake < lingers && l.lastTake != 0 {
		l.arm(now, 0)
		return
	}
	if l.busy > 0 || l.workers > 0 || l.waiting > 0 || len(l.reacts) > 0 || len(l.scoped) > 0 || len(l.waiters) > 0 || l.adapt.on() || l.dirty && l.mustSave() {
		return
	}
	for _, w := range l.windows {
		if !w.empty(now) {
			return
		}
	}
	for _, s := range l.shares {
		if s.crowded(now) {
			return
		}
	}
	if !l.gov.empty(now) {
		return
	}
	l.gone = true
	if l.ahead > 0 {
		l.s.endedLane(l.key)
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.s.mu.Lock()
	if l.s.lanes[l.key] == l {
		delete(l.s.lanes, l.key)
	}
	l.s.mu.Unlock()
}
