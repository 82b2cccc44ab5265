package shaping

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"postern/internal/provider"
)

// ErrNoEgress: no address of the pool can be used towards this provider.
var ErrNoEgress = errors.New("no egress address of the pool fits")

// WarmUpError: every address of a pool whose warm-up is strict has sent what its plan allows for today.
type WarmUpError struct {
	Egress Egress // that the message would leave from
	Wait   Wait
}

// Error says until when.
func (e *WarmUpError) Error() string {
	return fmt.Sprintf("the warm-up of %s allows no more messages until %s", e.Egress.IP, e.Wait.Until.UTC().Format(time.RFC3339))
}

// Spill says when a message leaves from another address of its pool than its own, because its own may not send.
type Spill string

// The ways. The zero value is SpillTrouble.
const (
	SpillTrouble Spill = "trouble" // nobody answers that address, or a person paused it; not when the provider blocks it: the next would be blocked too
	SpillAlways  Spill = "always"
	SpillNever   Spill = "never"
)

// DefaultPool is the name of the pool that is meant by "" and by names nobody knows.
const DefaultPool = "default"

// Choose picks the address an item leaves from. site is the lane's provider name (Key.Provider); four and six say which families the destination
// has; the same seed (message) gets the same address again while that address may send. The zero Egress means that the pool names no
// address and the system chooses. Errors: ErrNoEgress; *WarmUpError when the pool's warm-up is strict and used up.
func (s *Shaper) Choose(pool, site string, p *provider.Provider, four, six bool, seed uint64) (Egress, error) {
	c := s.pool(pool)
	if c == nil || len(c.Egress) == 0 {
		return Egress{}, nil
	}
	now := s.now()
	name := site
	if p != nil {
		name = p.Name
	}
	var buf [8]candidate
	list := rank(buf[:0], c.Egress, four, six, seed)
	if len(list) == 0 {
		return Egress{}, ErrNoEgress
	}
	first, own := &list[0], -1
	var spilled *candidate
	for i := range list {
		t := &list[i]
		left, known := s.allowance(t.e, name, now, seed)
		if known { // this message is counted already
			return *t.e, nil
		}
		if left == 0 {
			continue
		}
		if own < 0 {
			own = i
			if !s.spills(c, t.e, site, now) {
				return s.take(t.e, name, now, seed), nil
			}
			spilled = t
			continue
		}
		if s.open(t.e, site, now) {
			return s.take(t.e, name, now, seed), nil
		}
	}
	if spilled != nil { // none of the others may send either
		return s.take(spilled.e, name, now, seed), nil
	}
	if o := s.pool(c.Overflow); c.Overflow != "" && o != nil && o != c {
		for _, t := range rank(nil, o.Egress, four, six, seed) {
			if left, _ := s.allowance(t.e, name, now, seed); left != 0 {
				return s.take(t.e, name, now, seed), nil
			}
		}
	}
	if c.Strict {
		tomorrow := (now/dayLong + 1) * dayLong
		spread := int64(seed % uint64(4*time.Hour))
		return Egress{}, &WarmUpError{Egress: *first.e, Wait: Wait{Until: time.Unix(0, tomorrow+spread),
			Why: Why{Code: "warmup", Args: []string{titleOf(p, site), first.e.IP.String(), fmt.Sprint(s.plannedFor(first.e, name, now))}}}}
	}
	return *first.e, nil
}

func titleOf(p *provider.Provider, site string) string {
	if p != nil && p.Title != "" && p.Name == site {
		return p.Title
	}
	return siteTitle(site)
}

func (s *Shaper) pool(name string) *Pool {
	if c := s.pools[name]; c != nil {
		return c
	}
	return s.pools[DefaultPool]
}

type candidate struct {
	e     *Egress
	score uint64
}

// rank orders a pool's addresses of the right family for one message: each message its own order, which changes only where an address comes or goes
// (rendezvous hashing).
func rank(out []candidate, egress []Egress, four, six bool, seed uint64) []candidate {
	for i := range egress {
		e := &egress[i]
		if e.IP.IsValid() {
			if v4 := e.IP.Unmap().Is4(); v4 && !four || !v4 && !six {
				continue
			}
		}
		c := candidate{e, score(seed, e.IP)}
		out = append(out, c)
		for j := len(out) - 1; j > 0 && out[j-1].score < c.score; j-- {
			out[j-1], out[j] = out[j], out[j-1]
		}
	}
	return out
}

func score(seed uint64, ip netip.Addr) uint64 {
	h := mix(seed + 0x9e3779b97f4a7c15)
	b := ip.As16()
	for i := 0; i < 16; i += 8 {
		var v uint64
		for _, x := range b[i : i+8] {
			v = v<<8 | uint64(x)
		}
		h = mix(h ^ v)
	}
	return h
}

// mix spreads every bit over all (the finaliser of a 64-bit hash).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// spills reports whether a message leaves its own address for another of the pool.
func (s *Shaper) spills(c *Pool, e *Egress, site string, now int64) bool {
	if c.Spill == SpillNever || len(c.Egress) == 1 {
		return false
	}
	kind, stands := s.standing(e, site, now)
	return stands && (c.Spill == SpillAlways || kind == Unreachable || kind == Operator)
}

// open reports whether an address may send to a site now and has something left of its hour and day.
func (s *Shaper) open(e *Egress, site string, now int64) bool {
	if s.wideOf(e.IP, now) != nil {
		return false
	}
	l := s.lane(Key{Egress: e.IP, Provider: site}, false)
	if l == nil {
		return true
	}
	defer l.unlock()
	if l.stand.all > now || l.stand.probe != nil {
		return false
	}
	for _, w := range l.windows {
		w.roll(now)
		if w.stored() && w.sum+l.busy+l.waiting >= w.limit {
			return false
		}
	}
	return true
}

func (s *Shaper) standing(e *Egress, site string, now int64) (Kind, bool) {
	if w := s.wideOf(e.IP, now); w != nil {
		return w.Kind, true
	}
	l := s.lane(Key{Egress: e.IP, Provider: site}, false)
	if l == nil {
		return "", false
	}
	defer l.unlock()
	if l.stand.all <= now && l.mute() {
		return Unreachable, true
	}
	return l.stand.allKind, l.stand.all > now
}
