package pattern

import (
	"cmp"
	"slices"
	"time"
)

// Limits of joining patterns without literals into one automaton.
const (
	groupPatterns = 8      // at most 64, the bits of a mask
	groupInsts    = 60_000 // instructions of a joined program
)

// Set matches many patterns against a text at once. It is safe for concurrent use with one Scratch per goroutine.
type Set struct {
	patterns []*Pattern
	find     *finder
	groups   []group
}

// group is a joined automaton of patterns that demand no literal.
type group struct {
	members []int32 // by bit
	lin     *dfa
	exact   uint64
}

// Scratch is the memory that matching needs, reused from text to text.
type Scratch struct {
	done    []bool
	stamp   []uint32
	now     uint32
	windows []window
	found   []int32
	machine machine
	purse   Budget
	shared  *Budget // pays for all that this and other scratches spend; nil: nothing is shared
	// Cost is told how long a pattern took; patterns of a joined automaton share its time. nil: nothing is measured.
	Cost func(i int, t time.Duration)
	// Later is asked before a pattern of which a literal was found is matched: true leaves it to the caller, who may call MatchWithin with the
	// same places. nil: all are matched.
	Later func(i, lo, hi int) bool
}

// window is the part of the text in which a candidate may match.
type window struct{ lo, hi int }

// Stats describes what a Set holds in memory.
type Stats struct {
	Patterns   int // in the set
	Words      int // literals searched for
	WithoutAny int // patterns without a literal, matched by joined automata
	Groups     int // joined automata
	States     int // states made so far, of all automata
	Bytes      int // estimate of tables and states
}

// NewSet prepares the patterns to be matched together; hits name them by their index.
func NewSet(patterns []*Pattern) *Set {
	s := &Set{patterns: slices.Clone(patterns)}
	owners := map[string][]int32{}
	var rest []int32
	for i, p := range patterns {
		if len(p.words.list) == 0 {
			rest = append(rest, int32(i))
			continue
		}
		for _, w := range p.words.list {
			owners[w] = append(owners[w], int32(i))
		}
	}
	s.find = newFinder(owners)
	slices.SortStableFunc(rest, func(a, b int32) int {
		return cmp.Compare(len(patterns[a].prog.insts), len(patterns[b].prog.insts))
	})
	for len(rest) > 0 {
		n, insts := 0, 0
		for n < len(rest) && n < groupPatterns && (n == 0 || insts+len(patterns[rest[n]].prog.insts) <= groupInsts) {
			insts += len(patterns[rest[n]].prog.insts)
			n++
		}
		s.groups = append(s.groups, newGroup(patterns, rest[:n]))
		rest = rest[n:]
	}
	return s
}

func newGroup(patterns []*Pattern, members []int32) group {
	g := group{members: members}
	progs := make([]*program, len(members))
	states := 0
	for bit, i := range members {
		progs[bit] = patterns[i].prog
		states = max(states, patterns[i].states)
		if patterns[i].exact {
			g.exact |= 1 << bit
		}
	}
	g.lin = newDFA(joined(progs), states, joinedBytes, patterns[members[0]].memory)
	return g
}

// NewScratch returns memory for matching with this set.
func (s *Set) NewScratch() *Scratch {
	n := len(s.patterns)
	return &Scratch{done: make([]bool, n), stamp: make([]uint32, n), windows: make([]window, n), purse: Budget{setSteps, setWork}}
}

// Reset begins another message: every pattern is wanted again and the budget is full. The budget is for all texts between
// two resets, so that a message of many hostile lines costs no more than one hostile line.
func (c *Scratch) Reset() {
	clear(c.done)
	c.purse = Budget{setSteps, setWork}
}

// Share makes what is spent from now on be paid by b too: no more is spent than it holds.
func (c *Scratch) Share(b *Budget) { c.shared = b }

// Skip makes the pattern unwanted until Reset: a rule that has hit one line of a message need not be asked again.
func (c *Scratch) Skip(i int) { c.done[i] = true }

// Matches calls hit once for every wanted pattern that matches in b, and skipped once for every one that gave up. Either may
// call c.Skip.
func (s *Set) Matches(c *Scratch, b []byte, hit, skipped func(i int)) {
	if c.shared != nil {
		c.purse = c.shared.part(c.purse.Steps, c.purse.Work)
		given := c.purse
		defer func() { c.shared.settle(given, c.purse) }()
	}
	if s.find != nil {
		s.candidates(c, b)
		for _, i := range c.found {
			w := &c.windows[i]
			if c.Later != nil && c.Later(int(i), w.lo, w.hi) {
				continue
			}
			begin := c.clock()
			matched, budget := s.patterns[i].within(&c.machine, b, w.lo, w.hi, &c.purse)
			report(int(i), matched, budget, hit, skipped)
			c.spent(begin, i)
		}
	}
	for k := range s.groups {
		begin := c.clock()
		s.groups[k].matches(s, c, b, hit, skipped)
		c.spent(begin, s.groups[k].members...)
	}
}

func (c *Scratch) clock() (begin time.Time) {
	if c.Cost != nil {
		begin = time.Now()
	}
	return begin
}

func (c *Scratch) spent(begin time.Time, patterns ...int32) {
	if c.Cost == nil {
		return
	}
	share := time.Since(begin) / time.Duration(len(patterns))
	for _, i := range patterns {
		c.Cost(int(i), share)
	}
}

func report(i int, matched, budget bool, hit, skipped func(i int)) {
	switch {
	case matched:
		hit(i)
	case budget:
		skipped(i)
	}
}

// candidates gathers the wanted patterns of which a literal occurs, each with the part of the text where it can match.
func (s *Set) candidates(c *Scratch, b []byte) {
	c.found = c.found[:0]
	if c.now++; c.now == 0 {
		clear(c.stamp)
		c.now = 1
	}
	f := s.find
	state := uint32(0)
	for at, x := range b {
		e := f.next[state+uint32(f.class[x])]
		state = e &^ lookBit
		if e == state {
			continue
		}
		for _, w := range f.ends[state/f.stride] {
			start := at + 1 - int(w.size)
			for _, i := range w.owners {
				if c.done[i] {
					continue
				}
				p := s.patterns[i]
				lo, hi := max(start-p.words.before, 0), min(start+p.most, len(b))
				v := &c.windows[i]
				if c.stamp[i] != c.now {
					c.stamp[i] = c.now
					c.found = append(c.found, i)
					*v = window{lo, hi}
					continue
				}
				v.lo, v.hi = min(v.lo, lo), max(v.hi, hi)
			}
		}
	}
}

// matches runs a joined automaton and confirms what it cannot decide alone.
func (g *group) matches(s *Set, c *Scratch, b []byte, hit, skipped func(i int)) {
	want := uint64(0)
	for bit, i := range g.members {
		if !c.done[i] {
			want |= 1 << bit
		}
	}
	if want == 0 {
		return
	}
	found, _, sure := g.lin.scan(b, 0, len(b), want, &c.purse.Work)
	if !sure {
		// The joined states grew too fast: ask the patterns one by one.
		for bit, i := range g.members {
			if want&(1<<bit) != 0 {
				matched, budget := s.patterns[i].within(&c.machine, b, 0, len(b), &c.purse)
				report(int(i), matched, budget, hit, skipped)
			}
		}
		return
	}
	hitsIn(found&want, func(bit int) {
		i, p := int(g.members[bit]), s.patterns[g.members[bit]]
		if g.exact&(1<<bit) != 0 {
			hit(i)
			return
		}
		matched, budget := p.confirm(&c.machine, b, 0, len(b), &c.purse)
		report(i, matched, budget, hit, skipped)
	})
}

// Stats counts what the set holds.
func (s *Set) Stats() Stats {
	st := Stats{Patterns: len(s.patterns), Groups: len(s.groups)}
	if s.find != nil {
		st.Bytes += 4*len(s.find.next) + 24*len(s.find.ends)
		for _, p := range s.patterns {
			st.Words += len(p.words.list)
		}
	}
	for k := range s.groups {
		st.WithoutAny += len(s.groups[k].members)
		states, bytes := s.groups[k].lin.size()
		st.States += states
		st.Bytes += bytes
	}
	for _, p := range s.patterns {
		st.Bytes += 16 * len(p.prog.insts)
		if len(p.words.list) == 0 {
			continue
		}
		states, bytes := p.linear().size()
		st.States += states
		st.Bytes += bytes
	}
	return st
}
