package pattern

import (
	"sync"
)

// Options bound what matching may cost. The zero value takes the defaults.
type Options struct {
	Steps  int     // steps of the backtracker for one text, default 1 000 000; beyond, the text is given up
	States int     // states of a lazy automaton before its cache is dropped, default 10 000
	Memory *Memory // what the caches of all patterns compiled with it may hold together; nil: the pattern has one of its own
}

// Default and fixed bounds of what may be spent.
const (
	defaultSteps = 1_000_000  // of the backtracker, for a pattern and a text
	aloneWork    = 5_000_000  // instructions followed to make states, for a pattern and a text
	setSteps     = 5_000_000  // of the backtracker, for a set between two resets
	setWork      = 20_000_000 // instructions followed to make states, for a set between two resets
)

// Budget is what matching may still spend. It may be shared by several scratches of one goroutine.
type Budget struct {
	Steps int // of the backtracker
	Work  int // instructions followed to make states
}

// part returns a budget of at most that much; settle takes what was spent of it from b.
func (b *Budget) part(steps, work int) Budget {
	return Budget{max(min(steps, b.Steps), 0), max(min(work, b.Work), 0)}
}

func (b *Budget) settle(given, left Budget) {
	b.Steps -= given.Steps - max(left.Steps, 0)
	b.Work -= given.Work - max(left.Work, 0)
}

// Pattern is a compiled pattern. It is safe for concurrent use.
type Pattern struct {
	src, flags string
	names      []string
	steps      int
	states     int
	memory     *Memory
	single     *byteSet // all that the pattern matches is one byte out of this set; nil: it matches other things
	exact      bool
	prog       *program
	words      words
	most       int // width of the longest match of the automaton, or unbounded

	once sync.Once // guards lin
	lin  *dfa
	late sync.Once // guards code
	code *code
	free sync.Pool // *machine
}

// Compile reads a Perl pattern (without delimiters) with flags out of imsxn under the default limits. Pattern and texts are
// bytes. The error is a *SyntaxError.
func Compile(src, flags string) (*Pattern, error) { return Options{}.Compile(src, flags) }

// Compile is like the function of that name, under the limits of o.
func (o Options) Compile(src, flags string) (*Pattern, error) {
	t, err := parse(src, flags)
	if err != nil {
		return nil, err
	}
	r := &relaxer{exact: true, groups: map[int]*node{}, open: map[int]bool{}}
	relaxed := r.relax(t.root)
	prog, ok := emitProgram(relaxed)
	if !ok {
		return nil, &SyntaxError{0, "pattern expands to too many instructions: shorten its counted repetitions"}
	}
	p := &Pattern{src: src, flags: flags, names: t.names, steps: o.Steps, states: o.States, exact: r.exact, prog: prog,
		words: required(relaxed)}
	if p.steps <= 0 {
		p.steps = defaultSteps
	}
	if p.memory = o.Memory; p.memory == nil {
		p.memory = &Memory{}
	}
	_, p.most = width(relaxed)
	p.single = prog.oneByte(r.exact)
	return p, nil
}

// Names returns the names of the capturing groups by their numbers; index 0 is the whole match, "" a group without a name.
func (p *Pattern) Names() []string { return append([]string(nil), p.names...) }

// Exact reports that the linear automaton decides alone. The backtracker is then asked for captures only, or when a text makes
// the automaton grow beyond its bounds.
func (p *Pattern) Exact() bool { return p.exact }

// Literals returns texts of which every match contains at least one once its ASCII letters are put in lower case; ok is
// false when the pattern demands none that is worth looking for.
func (p *Pattern) Literals() (list [][]byte, ok bool) {
	for _, w := range p.words.list {
		list = append(list, []byte(w))
	}
	return list, len(list) > 0
}

// Match reports whether the pattern matches somewhere in b. budget true means that it gave up: matched is then false and
// nothing is known.
func (p *Pattern) Match(b []byte) (matched, budget bool) {
	m := p.machine()
	defer p.free.Put(m)
	return p.within(m, b, 0, len(b), &Budget{Steps: p.steps, Work: aloneWork})
}

// MatchIn is like Match and pays from b.
func (p *Pattern) MatchIn(text []byte, b *Budget) (matched, budget bool) {
	return p.MatchWithin(text, 0, len(text), b)
}

// MatchWithin is MatchIn for a match that lies between two places of the text, as Scratch.Later was told.
func (p *Pattern) MatchWithin(text []byte, lo, hi int, b *Budget) (matched, budget bool) {
	m := p.machine()
	defer p.free.Put(m)
	given := b.part(p.steps, aloneWork)
	left := given
	matched, budget = p.within(m, text, lo, hi, &left)
	b.settle(given, left)
	return matched, budget
}

// Find returns the leftmost match that begins at or after from, as pairs of offsets by group number as in regexp's
// FindSubmatchIndex (-1 for a group that took no part). budget true means that it gave up.
func (p *Pattern) Find(b []byte, from int) (loc []int, ok, budget bool) {
	if from < 0 || from > len(b) {
		return nil, false, false
	}
	m := p.machine()
	defer p.free.Put(m)
	if ok, budget = p.next(m, b, from, &Budget{p.steps, aloneWork}); !ok {
		return nil, false, budget
	}
	loc = make([]int, len(m.caps))
	for i, c := range m.caps {
		loc[i] = int(c)
	}
	for i := 0; i < len(loc); i += 2 {
		if loc[i+1] < 0 {
			loc[i] = -1
		}
	}
	return loc, true, false
}

// next finds the leftmost match that begins at or after from and leaves it in m.
func (p *Pattern) next(m *machine, b []byte, from int, purse *Budget) (ok, budget bool) {
	found, end, sure := p.linear().scan(b, from, len(b), 1, &purse.Work)
	if sure && found == 0 {
		return false, false
	}
	if sure && p.most < unbounded {
		// No match ends before the automaton stopped, give or take the byte it looks ahead: none begins much before.
		from = max(from, end-p.most-2)
	}
	steps := max(purse.Steps, 0)
	ok, budget = m.match(p.backtracker(), b, from, len(b), steps)
	purse.Steps -= steps - max(m.steps, 0)
	return ok, budget
}

// Count returns how many matches without overlap there are in b, at most limit, and pays from purse. budget true means that it gave up:
// there may be more.
func (p *Pattern) Count(b []byte, limit int, purse *Budget) (n int, budget bool) {
	if p.single != nil {
		for i := 0; i < len(b) && n < limit; i++ {
			if p.single.has(b[i]) {
				n++
			}
		}
		return n, false
	}
	m := p.machine()
	defer p.free.Put(m)
	given := purse.part(p.steps, aloneWork)
	left := given
	defer func() { purse.settle(given, left) }()
	for at := 0; at <= len(b) && n < limit; {
		if left.Steps <= 0 || left.Work <= 0 {
			return n, true
		}
		ok, budget := p.next(m, b, at, &left)
		if !ok {
			return n, budget
		}
		n++
		at = max(int(m.caps[1]), at)
		if m.caps[1] == m.caps[0] {
			at = int(m.caps[1]) + 1
		}
	}
	return n, false
}

// within looks for a match that lies in b[lo:hi] as far as the automaton can tell, and pays from the purse.
func (p *Pattern) within(m *machine, b []byte, lo, hi int, purse *Budget) (matched, budget bool) {
	found, _, sure := p.linear().scan(b, lo, hi, 1, &purse.Work)
	switch {
	case found == 0 && sure:
		return false, false
	case p.exact && found != 0:
		return true, false
	}
	return p.confirm(m, b, lo, hi, purse)
}

// confirm asks the backtracker for a match that begins in b[lo:hi], and pays from the purse.
func (p *Pattern) confirm(m *machine, b []byte, lo, hi int, purse *Budget) (matched, budget bool) {
	steps := min(p.steps, purse.Steps)
	if steps <= 0 {
		return false, true
	}
	matched, budget = m.match(p.backtracker(), b, lo, hi, steps)
	purse.Steps -= steps - max(m.steps, 0)
	return matched, budget
}

// linear returns the lazy automaton, which is made when first needed.
func (p *Pattern) linear() *dfa {
	p.once.Do(func() { p.lin = newDFA(p.prog, p.states, aloneBytes, p.memory) })
	return p.lin
}

// backtracker returns the code for captures and for what an automaton cannot decide. It is compiled when first needed, as
// few patterns ever come so far; the source has been read before, so that reading it again cannot fail.
func (p *Pattern) backtracker() *code {
	p.late.Do(func() {
		if t, err := parse(p.src, p.flags); err == nil {
			p.code = compileCode(t)
			p.code.memory = p.memory
		}
	})
	return p.code
}

func (p *Pattern) machine() *machine {
	if m, ok := p.free.Get().(*machine); ok {
		return m
	}
	return &machine{}
}
