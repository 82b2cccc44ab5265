package shaping

import (
	"math"
	"strconv"
	"time"
)

// What memory has no room for is parked: it waits in the spool until a time that is told here. Each stream keeps a cursor, so that what it parks comes
// back one after the other, at the pace at which the stream gets its turns, shortly before memory would run empty.
const (
	soon      = int64(10 * time.Second) // waiting for less is not worth leaving memory
	farthest  = int64(4 * time.Hour)    // nothing is parked for longer by a guess about its turn
	farFrom   = int64(210 * time.Minute)
	farStep   = int64(20 * time.Millisecond) // between those beyond the farthest: their turn is worked out when they come back
	standLong = int64(2 * time.Minute)       // a lane that may send nothing for so long gives back what it has in memory
	blindRate = 20.0                         // messages a second, of a lane about which nothing is known yet
)

// flow is what a stream has parked.
type flow struct {
	tail     int64 // the turn of the next one that comes for the first time
	back     int64 // the same for those that came back and found no room
	far      int64 // the same for those beyond the farthest time
	farRecv  int64 // arrival of the first of those, while they are away
	last     int64 // what the latest of them was told
	tailRecv int64 // arrival of the latest that was told a time by tail
}

func (f *flow) parked(now int64) bool { return f.tail > now || f.back > now || f.far > now }

// meter measures how fast a lane is emptied while it has more than it can send.
type meter struct {
	start int64
	n     int
	rate  float64 // messages a second; 0 unknown
	since int64   // at work without a pause since then
	told  int64   // when the rate was measured last
}

const meterSpan = int64(2 * time.Second)

// begin is called when something waits that may leave; stop when nothing does.
func (m *meter) begin(now int64) {
	if m.start == 0 {
		m.start, m.n, m.since = now, 0, now
	}
}

func (m *meter) stop() { m.start = 0 }

// done counts one; it reports whether the rate was measured anew.
func (m *meter) done(now int64) bool {
	if m.start == 0 {
		return false
	}
	m.n++
	dt := now - m.start
	if dt < meterSpan {
		return false
	}
	r := float64(m.n) * 1e9 / float64(dt)
	if m.rate > 0 {
		r = 0.5*r + 0.5*m.rate
	}
	m.rate, m.start, m.n, m.told = r, now, 0, now
	return true
}

// now returns the rate; a lane from which nothing comes out gets slower with every second.
func (m *meter) now(now int64) float64 {
	if m.start == 0 || now-m.start <= meterSpan {
		return m.rate
	}
	if r := float64(m.n+1) * 1e9 / float64(now-m.start); m.rate == 0 || r < m.rate {
		return r
	}
	return m.rate
}

// ceiling is the messages a second that the limits allow for long; +Inf without limits.
func (l *lane) ceiling() float64 { return l.lasting(true) }

// lasting is the same for customers who have had little (light), or for the others: they leave the reserve.
func (l *lane) lasting(light bool) float64 {
	r := math.Inf(1)
	for _, w := range l.windows {
		if w.limit > 0 {
			r = min(r, float64(w.open(light))*1e9/float64(w.span))
		}
	}
	return r
}

// rate is the messages a second that leave the lane, as far as can be told; +Inf when nothing is known.
func (l *lane) rate(now int64) float64 {
	r := l.lasting(false)
	if p := l.pace(); p > 0 {
		r = min(r, p/60)
	}
	if m := l.meter.now(now); m > 0 {
		r = min(r, m)
	}
	return r
}

// flowRate is a stream's part of it, by the weights of the customers who have much waiting.
func (l *lane) flowRate(now int64, st *stream) float64 {
	r := l.rate(now)
	s := st.of
	if math.IsInf(r, 1) {
		return r
	}
	if now-l.weighed > int64(time.Second) {
		l.weighed, l.weights = now, 0
		for _, o := range l.shares {
			if o.crowded(now) {
				l.weights += o.weight
			}
		}
	}
	if all := max(l.weights, s.weight); all > 0 {
		r *= float64(s.weight) / float64(all)
	}
	c, sum := &s.classes[st.class], 0.0
	for i := range s.classes {
		if s.classes[i].n > 10 || Class(i) == st.class {
			sum += 1 / float64(classPass[i])
		}
	}
	return r / float64(classPass[st.class]) / sum / float64(max(c.live, 1))
}

// crowded: he uses what he is given, and more waits.
func (s *share) crowded(now int64) bool {
	if s.waiting > 10 {
		return true
	}
	for _, st := range s.streams {
		if st.flow.parked(now) {
			return true
		}
	}
	return false
}

// roomOf is the part of memory for what waits; the rest is for those who are sent at once.
func roomOf(window int) int { return window * 3 / 4 }

// young reports whether a lane that no limit holds has not been at work for long enough to tell its rate.
func (l *lane) young(now int64) bool {
	if l.pace() > 0 || !math.IsInf(l.ceiling(), 1) || l.stand.all > now {
		return false
	}
	m := &l.meter
	return now-m.told > int64(time.Minute) || m.start != 0 && now-m.since < ripe
}

// fast reports whether a lane that no limit holds empties soon.
func (l *lane) fast(now int64) bool {
	return l.pace() == 0 && math.IsInf(l.ceiling(), 1) && l.stand.all <= now && float64(l.waiting)*1e9 < l.rate(now)*float64(time.Minute)
}

// ripe is how long a lane must have been at work for its rate to be believed; briefly is how long nothing more is claimed while a lane that fills memory
// is not.
const (
	ripe    = int64(5 * time.Second)
	briefly = int64(200 * time.Millisecond)
)

// perShare is a customer's part of a lane's memory: less while memory fills.
func (s *Shaper) perShare() int {
	room := roomOf(s.o.Window)
	return max(s.o.PerShare*max(room-int(s.held.Load()), 0)/room, 4)
}

// admit decides whether an item goes into memory; if not, it says when it comes back.
func (l *lane) admit(now int64, st *stream, it *Item) *Wait {
	s := st.of
	held, window := int(l.s.held.Load()), l.s.o.Window
	if base, why := l.blockedUntil(now, s, st.class); base-now > soon {
		return l.park(now, st, it, base, why)
	}
	if held >= window {
		return l.park(now, st, it, now, Why{Code: "full"})
	}
	rate, f := l.flowRate(now, st), &st.flow
	switch {
	case math.IsInf(rate, 1) || l.young(now):
		// How fast it is will be known in a moment. Until then nothing is parked for it: a fast one would have to take it all back.
		if l.waiting < window/2 && held < roomOf(window) {
			return nil
		}
		if l.young(now) {
			l.s.patience.Store(now + briefly)
			return nil
		}
	case float64(st.n)*1e9/rate < float64(soon):
		return nil
	case l.fast(now) && f.tail <= now && (s.held < window/10 || len(l.shares) == 1):
		// Memory empties by itself, and nobody has most of it: to wait a moment costs less than to send back and fetch again.
		if held >= roomOf(window) {
			l.s.patience.Store(now + briefly)
		}
		return nil
	}
	room := roomOf(window)
	if held >= room {
		if st.n < 4 && held < window*9/10 {
			return nil
		}
		return l.park(now, st, it, now, l.turnWhy(now, st, "full"))
	}
	perShare := l.s.perShare()
	parked := f.tail > now
	switch {
	case parked && it.Received.UnixNano() <= f.tailRecv: // comes back as told
		if s.held < perShare*3/2 {
			return nil
		}
	case parked: // others of its stream came before it
		if s.held < perShare/8 {
			return nil
		}
	case s.held < perShare, st.n < perShare/10 && s.held < perShare*3/2:
		return nil
	}
	return l.park(now, st, it, now, l.turnWhy(now, st, "share"))
}

// park tells an item when it comes back: not before base, and after those of its stream that were parked earlier. It comes back while half a memory of
// others is still before it, so that the lane never waits for it.
func (l *lane) park(now int64, st *stream, it *Item, base int64, why Why) *Wait {
	rate := l.flowRate(now, st)
	if math.IsInf(rate, 1) {
		rate = blindRate
	}
	f := &st.flow
	step := int64(min(max(1e9/rate, 1e6), float64(10*time.Minute)))
	lead := min(int64(l.s.o.PerShare/2), farthest/step) * step
	received := it.Received.UnixNano()
	end := max(base, now) + farthest
	cursor := &f.tail
	if f.tail > now && received <= f.tailRecv {
		cursor = &f.back
	}
	turn := max(*cursor, base, now+min(int64(st.n), farthest/step)*step)
	until := max(turn-lead, base, now+soon/2)
	switch {
	case until > end, cursor == &f.tail && f.far > now && received > f.farRecv: // the turn of those is told when they come back, in their order
		if f.far <= now || received < f.farRecv {
			f.farRecv = received
		}
		until = min(max(f.far, max(base, now)+farFrom), end)
		f.far = until + farStep
	default:
		*cursor = turn + step
		if cursor == &f.tail {
			until = max(until, min(f.last+min(step, farStep), end))
			if received >= f.farRecv {
				f.farRecv = math.MaxInt64 // the first of those beyond is back
			}
			f.last, f.tailRecv = until, max(f.tailRecv, received)
		}
	}
	return &Wait{Until: time.Unix(0, until), Why: why}
}

// turnWhy is the reason of one who waits for his turn: what holds the lane to its pace.
func (l *lane) turnWhy(now int64, st *stream, otherwise string) Why {
	p, m := l.pace(), l.meter.now(now)
	c := l.ceiling()
	switch {
	case p > 0 && (m == 0 || p/60 <= m*1.5):
		return l.why("slow", number(p))
	case !math.IsInf(c, 1) && (m == 0 || c <= m*1.5):
		return l.why("rate", number(c*60))
	case otherwise == "share" && l.weights <= st.of.weight:
		return l.why("connections", strconv.Itoa(l.limit()))
	}
	return l.why(otherwise)
}

// number writes an amount for a sentence: whole from ten on, one decimal below.
func number(f float64) string {
	if f >= 10 || f == math.Trunc(f) {
		return strconv.Itoa(int(f))
	}
	return strconv.FormatFloat(f, 'f', 1, 64)
}

// parked is an item that leaves memory after it had been taken.
type parked struct {
	it   Item
	wait Wait
}

// shed gives back what is in memory and may not leave before base. Without Options.Park it stays.
func (l *lane) shed(now int64) {
	if l.s.o.Park == nil || l.waiting == 0 {
		return
	}
	for _, s := range l.shares {
		for _, st := range s.streams {
			if st.n == 0 {
				continue
			}
			if base, why := l.blockedUntil(now, s, st.class); base-now > soon {
				l.giveBack(now, st, st.n, base, why)
			}
		}
	}
}

// trim gives back what a lane has too much of, once it is known how slow it is.
func (l *lane) trim(now int64) {
	perShare := l.s.perShare()
	if l.s.o.Park == nil || l.waiting <= perShare {
		return
	}
	for _, s := range l.shares {
		for _, st := range s.streams {
			if s.held <= perShare*3/2 {
				break
			}
			n := min(st.n, s.held-perShare)
			rate := l.flowRate(now, st)
			if n <= 0 || math.IsInf(rate, 1) || float64(st.n)*1e9/rate < 3*float64(soon) {
				continue
			}
			l.giveBack(now, st, n, now, l.turnWhy(now, st, "share"))
		}
	}
}

// giveBack parks the latest n items of a stream, in their order.
func (l *lane) giveBack(now int64, st *stream, n int, base int64, why Why) {
	first := st.tail
	for range n - 1 {
		first = first.prev
	}
	for first != nil {
		next := first.next
		it := l.remove(first)
		st.of.held--
		l.s.held.Add(-1)
		l.unprobe(&it)
		l.parks = append(l.parks, parked{it, *l.park(now, st, &it, base, why)})
		first = next
	}
}

// forgetParked drops the cursors: everything parked comes back at once.
func (l *lane) forgetParked() {
	for _, s := range l.shares {
		for _, st := range s.streams {
			st.flow = flow{}
		}
	}
}

// callBack asks for what is parked when a customer's memory runs empty before what he parked was told to come: the lane is faster than it seemed.
func (l *lane) callBack(now int64, s *share) {
	if s.waiting > l.s.o.PerShare/10 || l.s.o.Lifted == nil || now-l.hurried < 2*soon {
		return
	}
	for _, st := range s.streams {
		if st.n > 0 || max(st.flow.tail, st.flow.back) <= now+soon {
			continue
		}
		if at, _ := l.blockedUntil(now, s, st.class); at > now {
			continue
		}
		if first := st.flow.tail; first > now { // the next of them may be due at once: only when the whole line stays away for long
			l.hurried = now
			l.forgetParked()
			l.lifted = true
			return
		}
	}
}
