package shaping

import "net/netip"

// AnyReceiver in Key.Provider stands for all lanes of an address, those that are still to come included; without an address, for those that leave from whichever the
// system chooses. Its lane carries no mail: it holds what is in force on the
// address, and lanes of the address read that in review.
const AnyReceiver = "*"

// wide is what is in force on all lanes of an address.
type wide struct {
	Reaction
	ends int64
}

// wideOf is what stops all lanes of an address now; nil nothing.
func (s *Shaper) wideOf(egress netip.Addr, now int64) *wide {
	s.wideMu.RLock()
	defer s.wideMu.RUnlock()
	if w := s.wides[egress]; w != nil && now < w.ends {
		return w
	}
	return nil
}

// tellWide notes what is in force on this lane, which stands for an address, so that the address's lanes find it.
func (l *lane) tellWide() {
	var w *wide
	for _, r := range l.reacts {
		if e := r.Ends.UnixNano(); stops(r.Kind) && (w == nil || e > w.ends) {
			w = &wide{r.Reaction, e}
		}
	}
	l.s.wideMu.Lock()
	defer l.s.wideMu.Unlock()
	if w == nil {
		delete(l.s.wides, l.key.Egress)
		return
	}
	if l.s.wides == nil {
		l.s.wides = make(map[netip.Addr]*wide)
	}
	l.s.wides[l.key.Egress] = w
}

// spread lets the lanes of an address obey what is in force on all of them, or go on. No lane is locked by the caller.
func (s *Shaper) spread(egress netip.Addr) {
	for _, l := range s.all() {
		if l.key.Egress != egress || l.key.Provider == AnyReceiver {
			continue
		}
		l.mu.Lock()
		now := s.now()
		if s.wideOf(egress, now) != nil {
			l.enforce(now)
		} else {
			l.review(now)
			l.forgetParked()
			l.lifted = true
		}
		l.pump(now)
		l.unlock()
	}
}
