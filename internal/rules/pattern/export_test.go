package pattern

import "math/rand/v2"

// Sample writes a text that the pattern probably matches: look-around is ignored, backreferences repeat their group.
func Sample(src, flags string, rng *rand.Rand) []byte {
	t, err := parse(src, flags)
	if err != nil {
		return nil
	}
	s := sampler{rng: rng, groups: map[int][]byte{}}
	s.write(t.root)
	return s.out
}

type sampler struct {
	rng    *rand.Rand
	out    []byte
	groups map[int][]byte
}

func (s *sampler) write(n *node) {
	if len(s.out) > 3000 {
		return
	}
	switch n.kind {
	case kSet:
		var members []byte
		for b := range 256 {
			if n.set.has(byte(b)) {
				members = append(members, byte(b))
			}
		}
		if len(members) > 100 && s.rng.IntN(8) > 0 { // rather something readable
			for range 20 {
				if b := byte(' ' + s.rng.IntN(95)); n.set.has(b) {
					s.out = append(s.out, b)
					return
				}
			}
		}
		if len(members) > 0 {
			s.out = append(s.out, members[s.rng.IntN(len(members))])
		}
	case kAlt:
		s.write(n.subs[s.rng.IntN(len(n.subs))])
	case kRepeat:
		most := n.max
		if most < 0 || most > n.min+4 {
			most = n.min + 4
		}
		for range n.min + s.rng.IntN(most-n.min+1) {
			s.write(n.subs[0])
		}
	case kCapture:
		from := len(s.out)
		s.write(n.subs[0])
		s.groups[n.group] = append([]byte(nil), s.out[from:]...)
	case kBackref:
		s.out = append(s.out, s.groups[n.refs[0]]...)
	case kLook:
	default:
		for _, c := range n.subs {
			s.write(c)
		}
	}
}

// StepsUsed runs the backtracker alone over b and returns the steps it took.
func (p *Pattern) StepsUsed(b []byte) (steps int, matched, budget bool) {
	m := &machine{}
	matched, budget = m.match(p.backtracker(), b, 0, len(b), p.steps)
	return p.steps - max(m.steps, 0), matched, budget
}

// Backtrack runs the backtracker alone, Linear the automaton alone.
func (p *Pattern) Backtrack(b []byte) (matched, budget bool) {
	m := &machine{}
	return m.match(p.backtracker(), b, 0, len(b), p.steps)
}

func (p *Pattern) Linear(b []byte) (matched, ok bool) {
	work := aloneWork
	found, _, ok := p.linear().scan(b, 0, len(b), 1, &work)
	return found != 0, ok
}

// States returns how many states and bytes the pattern's own automaton holds.
func (p *Pattern) States() (states, bytes int) { return p.linear().size() }
