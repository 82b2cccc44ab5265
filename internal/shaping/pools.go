package shaping

import (
	"cmp"
	"slices"
	"time"
)

// PoolInfo is what people see of a pool.
type PoolInfo struct {
	Name     string       `json:"name"`
	Overflow string       `json:"overflow,omitempty"`
	Strict   bool         `json:"strict,omitempty"`
	Spill    Spill        `json:"spill"`
	Egress   []EgressInfo `json:"egress"`
}

// EgressInfo is what people see of one address of a pool.
type EgressInfo struct {
	IP      string       `json:"ip,omitempty"` // "": whichever the system chooses
	HELO    string       `json:"helo"`
	Since   time.Time    `json:"since,omitzero"` // the first day of its warm-up; zero: it is warm
	Day     int          `json:"day,omitempty"`  // of the plan, by the calendar; 0 when it is warm
	Days    int          `json:"days,omitempty"` // of the plan
	WarmUps []WarmUpInfo `json:"warm_ups,omitempty"`
	Floors  []FloorInfo  `json:"floors,omitempty"` // providers whose floor it missed yesterday, having reached it before
}

// Warm reports whether every provider takes what it sends: its warm-up is over, by the calendar and towards each of them.
func (e EgressInfo) Warm() bool { return e.Day == 0 && len(e.WarmUps) == 0 }

// Pools returns the pools in the order of the configuration.
func (s *Shaper) Pools() []PoolInfo {
	now := s.now()
	warming := make(map[string][]WarmUpInfo)
	for _, w := range s.WarmUps() {
		warming[w.Egress] = append(warming[w.Egress], w)
	}
	low := make(map[string][]FloorInfo)
	for _, f := range s.lowFloors(now) {
		low[f.Egress] = append(low[f.Egress], f)
	}
	out := make([]PoolInfo, 0, len(s.o.Pools))
	for _, p := range s.o.Pools {
		i := PoolInfo{Name: p.Name, Overflow: p.Overflow, Strict: p.Strict, Spill: cmp.Or(p.Spill, SpillTrouble), Egress: make([]EgressInfo, 0, len(p.Egress))}
		for _, e := range p.Egress {
			x := EgressInfo{IP: addrText(e.IP), HELO: e.HELO, Since: e.Warm, Floors: low[addrText(e.IP)]}
			if !e.Warm.IsZero() && e.IP.IsValid() {
				x.WarmUps, x.Days = warming[x.IP], len(s.o.WarmUp)
				if day := int(now/dayLong-e.Warm.UnixNano()/dayLong) + 1; day <= x.Days {
					x.Day = max(day, 1)
				}
			}
			i.Egress = append(i.Egress, x)
		}
		out = append(out, i)
	}
	return out
}

// lowFloors returns the addresses that once sent a provider enough and did not yesterday.
func (s *Shaper) lowFloors(now int64) []FloorInfo {
	s.potMu.Lock()
	defer s.potMu.Unlock()
	var out []FloorInfo
	for _, p := range s.pots {
		if n := p.lowDays(now / dayLong); n > 0 {
			f := p.floorInfo(now)
			f.Low, f.Today, f.Since = n, p.days[now/dayLong].accepted, time.Unix(0, (now/dayLong-int64(n))*dayLong).UTC()
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b FloorInfo) int {
		return cmp.Or(cmp.Compare(a.Egress, b.Egress), cmp.Compare(a.Provider, b.Provider))
	})
	return out
}

// lowDays is for how many whole days up to yesterday the floor was missed; 0 when it was not, or never reached before.
func (p *pot) lowDays(today int64) int {
	if p.floor == 0 {
		return 0
	}
	for n := int64(1); n <= keepDays; n++ {
		if p.days[today-n].accepted >= p.floor {
			return int(n - 1)
		}
	}
	return 0
}

// titleFor is what people call a provider.
func (s *Shaper) titleFor(name string) string {
	if s.o.Knowledge != nil {
		if know := s.o.Knowledge(); know != nil {
			return titleOf(know.Provider(name), name)
		}
	}
	return siteTitle(name)
}
