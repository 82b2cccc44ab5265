package shaping

import "math"

// A run of one customer could use up what a provider takes in a minute, an hour or a day, and leave the others to wait until it is over. So each limit is
// used in two ways. Customers who have had little of it lately (light ones) may use all that is left of it, at once. The others leave
// a tenth of it to them (a hundredth while nobody else is there), and what they use is spread (window.next).

// lightPart is the part of a limit below which a customer has had little of it.
const lightPart = 1.0 / 20

// keepReserve sets what of each limit is kept for light customers.
func (l *lane) keepReserve() {
	part := 10
	if len(l.shares) < 2 {
		part = 100
	}
	for _, w := range l.windows {
		if n := w.limit / part; n != w.reserve {
			w.reserve, w.plan = n, 0
		}
	}
}

// usage is what a customer has had lately: counts that fade with the span of each window of the lane, in their order.
type usage struct {
	n  []float64
	at int64
}

// fade brings the counts to now.
func (u *usage) fade(now int64, windows []*window) {
	for len(u.n) < len(windows) {
		u.n = append(u.n, 0)
	}
	past := now - u.at
	if past <= 0 || u.at == 0 {
		u.at = max(now, u.at)
		return
	}
	u.at = now
	for i, w := range windows {
		if u.n[i] > 0 {
			u.n[i] *= math.Exp(-float64(past) / float64(w.span))
		}
	}
}

// add counts a message.
func (u *usage) add(now int64, windows []*window) {
	u.fade(now, windows)
	for i := range windows {
		u.n[i]++
	}
}

// light reports whether a customer has had little of every limit lately. Limits too small to be shared do not count.
func (l *lane) light(s *share, now int64) bool {
	if len(s.used.n) == 0 {
		return true
	}
	s.used.fade(now, l.windows)
	for i, w := range l.windows {
		if w.reserve > 0 && s.used.n[i] >= max(float64(w.limit)*lightPart, 1) {
			return false
		}
	}
	return true
}

// owes reports whether a customer would count as light only because he was forgotten.
func (u *usage) owes(now int64, windows []*window) bool {
	if len(u.n) == 0 {
		return false
	}
	u.fade(now, windows)
	for i, w := range windows {
		if w.reserve > 0 && u.n[i] >= float64(w.limit)*lightPart/2 {
			return true
		}
	}
	return false
}

// lightTurn is the next message of a light customer; nil when none waits.
func (l *lane) lightTurn(now int64) *node {
	var first *share
	for _, s := range l.heap {
		if (first == nil || s.pass < first.pass) && l.light(s, now) {
			first = s
		}
	}
	if first == nil {
		return nil
	}
	return l.turnOf(first)
}
