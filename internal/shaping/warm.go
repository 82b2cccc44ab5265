package shaping

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// DefaultPlan is the messages a day that an address which nobody knows yet sends to one provider, from the first day on; after the last day it is warm.
// Source: the ramps that large receivers and senders publish start between 50 and 200 and double every one or two days.
func DefaultPlan() []int {
	return []int{50, 100, 200, 400, 800, 1500, 3000, 6000, 12000, 25000, 50000, 100000, 200000, 400000}
}

const (
	badLeast    = 20   // answers of a day below which it proves nothing
	badBlocked  = 0.02 // share of answers that blame us above which the plan stands still for a day
	badDeferred = 0.20 // share of answers that were not an acceptance
	keepDays    = 60
	floorDays   = 3
	maxSeeds    = 8192
)

// pot is what one address has sent to one provider, by day.
type pot struct {
	s        *Shaper
	egress   string
	provider string
	floor    int
	days     map[int64]potDay
	step     int   // of the plan
	judged   int64 // the day step is for; 0: not yet begun
	chosen   map[uint64]int64
	count    potCount
	dirty    bool
	below    int64 // the first of the days below the floor; 0: it is not
}

type potCount struct {
	day int64
	n   int
}

type potDay struct{ accepted, deferred, blocked int }

func (d potDay) all() int { return d.accepted + d.deferred + d.blocked }

// bad days hold the warm-up where it is.
func (d potDay) bad() bool {
	n := d.all()
	return n >= badLeast && (float64(d.blocked) > badBlocked*float64(n) || float64(d.blocked+d.deferred) > badDeferred*float64(n))
}

type potKey struct{ egress, provider string }

// pot returns the counts of an address and provider. Shaper.potMu guards what is in it.
func (s *Shaper) pot(ip netip.Addr, name string) *pot {
	s.potMu.Lock()
	defer s.potMu.Unlock()
	return s.potLocked(ip, name)
}

func (s *Shaper) potLocked(ip netip.Addr, name string) *pot {
	k := potKey{addrText(ip), name}
	p := s.pots[k]
	if p == nil {
		p = &pot{s: s, egress: k.egress, provider: name, days: make(map[int64]potDay)}
		s.pots[k] = p
	}
	if s.o.Knowledge != nil && p.floor == 0 {
		if know := s.o.Knowledge(); know != nil {
			if v := know.Provider(name); v != nil {
				p.floor = v.Floor
			}
		}
	}
	return p
}

func addrText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

func (p *pot) add(now int64, accepted, deferred, blocked int) {
	p.s.potMu.Lock()
	defer p.s.potMu.Unlock()
	d := p.days[now/dayLong]
	d.accepted += accepted
	d.deferred += deferred
	d.blocked += blocked
	p.days[now/dayLong] = d
	p.dirty = true
}

// judge brings the warm-up to today: each day that was not bad is a step.
func (p *pot) judge(warm time.Time, now int64) {
	today, begun := now/dayLong, warm.UnixNano()/dayLong
	if p.judged == 0 {
		p.step, p.judged, p.dirty = int(min(max(today-begun, 0), 10000)), today, true
		return
	}
	for ; p.judged < today; p.judged++ {
		if p.judged >= begun && !p.days[p.judged].bad() {
			p.step++
		}
		p.dirty = true
	}
}

// planned is the messages of today; -1 when the address is warm.
func (p *pot) planned(plan []int) int {
	if p.step >= len(plan) {
		return -1
	}
	return plan[p.step]
}

// allowance is how many more messages an address may send to a provider today, -1 without end. known: this message is counted already.
func (s *Shaper) allowance(e *Egress, name string, now int64, seed uint64) (left int, known bool) {
	if e.Warm.IsZero() || !e.IP.IsValid() {
		return -1, false
	}
	s.potMu.Lock()
	defer s.potMu.Unlock()
	p := s.potLocked(e.IP, name)
	p.judge(e.Warm, now)
	planned := p.planned(s.o.WarmUp)
	if planned < 0 {
		return -1, false
	}
	if day, ok := p.chosen[seed]; ok && now/dayLong-day <= 1 {
		return 1, true
	}
	return max(planned-p.used(now), 0), false
}

func (p *pot) used(now int64) int {
	n := p.days[now/dayLong].all()
	if p.count.day == now/dayLong {
		n = max(n, p.count.n)
	}
	return n
}

func (s *Shaper) plannedFor(e *Egress, name string, now int64) int {
	s.potMu.Lock()
	defer s.potMu.Unlock()
	p := s.potLocked(e.IP, name)
	p.judge(e.Warm, now)
	return p.planned(s.o.WarmUp)
}

// take counts a message for an address that warms up.
func (s *Shaper) take(e *Egress, name string, now int64, seed uint64) Egress {
	if e.Warm.IsZero() || !e.IP.IsValid() {
		return *e
	}
	s.potMu.Lock()
	defer s.potMu.Unlock()
	p := s.potLocked(e.IP, name)
	if p.planned(s.o.WarmUp) < 0 {
		p.chosen = nil
		return *e
	}
	today := now / dayLong
	if p.count.day != today {
		p.count = potCount{today, p.days[today].all()}
		for seed, day := range p.chosen {
			if today-day > 1 {
				delete(p.chosen, seed)
			}
		}
	}
	p.count.n++
	if p.chosen == nil {
		p.chosen = make(map[uint64]int64)
	}
	if len(p.chosen) < maxSeeds {
		p.chosen[seed] = today
	}
	return *e
}

// WarmUpInfo is how far the warm-up of an address has come towards a provider.
type WarmUpInfo struct {
	Egress   string    `json:"egress"`
	Provider string    `json:"provider"`
	Since    time.Time `json:"since"`
	Title    string    `json:"title"` // of the provider, for people
	Step     int       `json:"step"`  // days of the plan that are done
	Steps    int       `json:"steps"` // days of the plan
	Allowed  int       `json:"allowed"`
	Used     int       `json:"used"`     // of Allowed: messages chosen for the address today
	Accepted int       `json:"accepted"` // today
	Held     bool      `json:"held"`     // today's answers keep it on its step tomorrow
}

// WarmUps returns the warm-ups under way, by address and provider.
func (s *Shaper) WarmUps() []WarmUpInfo {
	now := s.now()
	s.potMu.Lock()
	defer s.potMu.Unlock()
	var out []WarmUpInfo
	for _, p := range s.pots {
		since, ok := s.warm[p.egress]
		if !ok {
			continue
		}
		p.judge(since, now)
		allowed := p.planned(s.o.WarmUp)
		if allowed < 0 {
			continue
		}
		d := p.days[now/dayLong]
		out = append(out, WarmUpInfo{Egress: p.egress, Provider: p.provider, Title: s.titleFor(p.provider), Since: since, Step: p.step, Steps: len(s.o.WarmUp), Allowed: allowed,
			Used: p.used(now), Accepted: d.accepted, Held: d.bad()})
	}
	slices.SortFunc(out, func(a, b WarmUpInfo) int {
		return cmp.Or(cmp.Compare(a.Egress, b.Egress), cmp.Compare(a.Provider, b.Provider))
	})
	return out
}

// FloorInfo is an address that sends so little to a provider that the provider forgets it.
type FloorInfo struct {
	Egress   string    `json:"egress"`
	Provider string    `json:"provider"`
	Title    string    `json:"title"` // of the provider, for people
	Floor    int       `json:"floor"` // messages a day
	Days     []int     `json:"days"`  // of the latest whole days, the newest first
	Since    time.Time `json:"since"`
	Low      int       `json:"low"`   // whole days in a row, up to yesterday, below the floor; from three on the operator is told
	Today    int       `json:"today"` // so far
}

// Floors returns the addresses that once sent enough and have stayed below the floor for three days.
func (s *Shaper) Floors() []FloorInfo {
	s.potMu.Lock()
	defer s.potMu.Unlock()
	var out []FloorInfo
	for _, p := range s.pots {
		if p.below != 0 {
			out = append(out, p.floorInfo(s.now()))
		}
	}
	slices.SortFunc(out, func(a, b FloorInfo) int {
		return cmp.Or(cmp.Compare(a.Egress, b.Egress), cmp.Compare(a.Provider, b.Provider))
	})
	return out
}

func (p *pot) floorInfo(now int64) FloorInfo {
	f := FloorInfo{Egress: p.egress, Provider: p.provider, Title: p.s.titleFor(p.provider), Floor: p.floor, Since: time.Unix(0, p.below*dayLong).UTC()}
	for i := int64(1); i <= floorDays; i++ {
		f.Days = append(f.Days, p.days[now/dayLong-i].accepted)
	}
	return f
}

// watchFloors looks, once a day, for addresses that fell below a provider's floor, and forgets old days. It returns those that fell now.
func (s *Shaper) watchFloors(now int64) []FloorInfo {
	s.potMu.Lock()
	defer s.potMu.Unlock()
	today := now / dayLong
	var fell []FloorInfo
	for _, p := range s.pots {
		for day := range p.days {
			if day < today-keepDays {
				delete(p.days, day)
			}
		}
		if p.floor == 0 {
			continue
		}
		low := true
		for i := int64(1); i <= floorDays; i++ {
			low = low && p.days[today-i].accepted < p.floor
		}
		once := false
		for _, d := range p.days {
			once = once || d.accepted >= p.floor
		}
		switch {
		case !low || !once:
			p.below = 0
		case p.below == 0:
			p.below = today - floorDays
			fell = append(fell, p.floorInfo(now))
		}
	}
	return fell
}
