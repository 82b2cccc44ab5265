package shaping

import (
	"math"
	"time"
)

// never is a time that only another event can bring forward.
const never = math.MaxInt64

// window counts what was sent in the latest span, so that no span of that length, wherever it begins, ever holds more than the limit as the receiver
// counts. The receiver counts a message at some moment between the beginning and the end of its sending: until it is done it is part of the
// window (busy, counted by the lane), and the moment it is done starts its span. Slots of time keep it small: a slot counts until its last moment has
// left the span, so the window errs to the safe side by one slot at most.
//
// Half of a long limit may be used at once (free); what is left is spread so that it lasts until used messages leave the span: a run
// of one customer must not leave the others with nothing for the rest of the hour.
type window struct {
	code  string // of Why
	span  int64  // nanoseconds
	width int64  // of a slot
	limit int    // 0: only counted
	free  int    // uses without spreading

	reserve int // of limit, for customers who have had little of it

	q    []slot // oldest first, from head on
	head int
	sum  int

	gap   int64 // pause between two messages once the free part is used
	plan  int64 // the slot in which gap was worked out
	saved int64 // the first slot that may differ from the stored one
}

type slot struct {
	no int64
	n  int
}

// newWindow makes the window of a limit. Hour and day are kept on stable storage by slot, so their slots must stay as they are.
func newWindow(code string, span, width time.Duration, limit int) *window {
	w := &window{code: code, span: int64(span), width: int64(width)}
	w.setLimit(limit)
	return w
}

func (w *window) setLimit(limit int) {
	w.limit, w.plan = limit, 0
	w.free = limit / 2
	if w.span <= int64(time.Minute) {
		w.free = limit / 4
	}
	w.free = max(w.free, 1)
}

func (w *window) stored() bool { return w.span >= int64(time.Hour) }

// expiry is the moment from which a slot no longer counts.
func (w *window) expiry(no int64) int64 { return (no+1)*w.width + w.span }

// roll forgets what has left the span.
func (w *window) roll(now int64) {
	for w.head < len(w.q) && now >= w.expiry(w.q[w.head].no) {
		w.sum -= w.q[w.head].n
		w.head++
	}
	if w.head > 32 && w.head > len(w.q)/2 {
		w.q = append(w.q[:0], w.q[w.head:]...)
		w.head = 0
	}
}

// add counts n at now. A clock that went back counts in the newest slot.
func (w *window) add(now int64, n int) {
	w.roll(now)
	no := now / w.width
	w.sum += n
	if last := len(w.q) - 1; last >= w.head && w.q[last].no >= no {
		w.q[last].n += n
		w.saved = min(w.saved, w.q[last].no)
		return
	}
	w.q = append(w.q, slot{no, n})
}

// open is what of the limit a message may use.
func (w *window) open(light bool) int {
	if light {
		return w.limit
	}
	return w.limit - w.reserve
}

// next returns the earliest moment another message may begin, when last is when the one before did and busy are being sent; 0 is at once. light
// is said for a message of a customer who has had little: it may use the reserve, and is not spread.
func (w *window) next(now, last int64, busy int, light bool) int64 {
	if w.limit == 0 {
		return 0
	}
	w.roll(now)
	used, limit := w.sum+busy, w.open(light)
	if used < w.free || light && w.reserve > 0 && used < limit {
		return 0
	}
	if used >= limit {
		for i, need := w.head, used-limit+1; i < len(w.q); i++ {
			if need -= w.q[i].n; need <= 0 {
				return w.expiry(w.q[i].no)
			}
		}
		return never // one of those under way must end first
	}
	if no := now / w.width; w.plan != no {
		w.plan, w.gap = no, w.spread(now, used)
	}
	return last + w.gap
}

// spread is the smallest pause between messages with which the limit is not run into before used messages leave the span.
func (w *window) spread(now int64, used int) int64 {
	gap, avail := int64(0), w.open(false)-used
	for i := w.head; i < len(w.q); i++ {
		if avail > 0 {
			gap = max(gap, (w.expiry(w.q[i].no)-now)/int64(avail))
		}
		avail += w.q[i].n
	}
	if avail > 0 {
		gap = max(gap, w.span/int64(max(w.open(false), avail)))
	}
	return gap
}

// room is how many messages may begin at once.
func (w *window) room(now int64, busy int) int {
	if w.limit == 0 {
		return math.MaxInt
	}
	used := w.sum + busy
	switch {
	case used >= w.limit:
		return 0
	case used < w.free:
		return w.free - used
	}
	return 1
}

func (w *window) empty(now int64) bool {
	w.roll(now)
	return w.sum == 0
}

// windowsOf makes the windows of a provider's limits, keeping the counts of those there were.
func windowsOf(old []*window, perSecond float64, perMinute, perHour, perDay int) []*window {
	var out []*window
	set := func(code string, span, width time.Duration, limit int) {
		if limit <= 0 {
			return
		}
		for _, w := range old {
			if w.span == int64(span) {
				if w.limit != limit {
					w.setLimit(limit)
				}
				out = append(out, w)
				return
			}
		}
		out = append(out, newWindow(code, span, width, limit))
	}
	if perSecond > 0 {
		span, n := time.Second, int(perSecond)
		if perSecond < 1 {
			span, n = time.Duration(float64(time.Second)/max(perSecond, 1e-5)), 1
		}
		set("rate", span, span/50, n)
	}
	set("rate", time.Minute, time.Second, perMinute)
	set("hour", time.Hour, time.Minute, perHour)
	set("day", 24*time.Hour, 5*time.Minute, perDay)
	return out
}
