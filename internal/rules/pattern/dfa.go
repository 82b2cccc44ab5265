package pattern

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// Limits of the lazy automaton.
const (
	defaultStates = 10_000   // states before the cache is dropped
	aloneBytes    = 1 << 20  // bytes of one pattern's cache before it is dropped
	joinedBytes   = 16 << 20 // the same for a joined automaton
	memoryBytes   = 64 << 20 // of all caches that share a Memory; beyond, each is dropped at an eighth of its own limit
)

// Memory is what the caches of several patterns may hold together. The zero value is ready to use; it is safe for concurrent use.
type Memory struct {
	used   atomic.Int64
	tables sync.Pool // *memoTable
}

func (m *Memory) table() *memoTable {
	if t, ok := m.tables.Get().(*memoTable); ok {
		return t
	}
	return &memoTable{cells: make([]memoCell, memoCells)}
}

// context is what a state knows about the byte before its position.
type context uint8

const (
	ctxStart context = iota // there is none
	ctxLine                 // a newline
	ctxWord                 // a letter, digit or _
	ctxOther
	ctxCnt
)

// dfa runs a program as a deterministic automaton whose states are made when first needed. Texts are read without locks:
// a table is only ever filled further, under mu, and replaced as a whole when it is full; whoever still reads the old one
// carries on with it until the next unknown step. Beside the byte classes there are two symbols: a newline that is the last
// byte of the text (so that $ needs to look at one symbol only), and the end of the text.
type dfa struct {
	prog     *program
	class    [256]uint8
	rep      []byte // a byte of each class; then '\n' for the final newline
	stride   uint32 // classes + 2
	all      uint64 // the hits that are possible
	anchored bool   // a match can begin only at the start of the text
	words    bool   // conditions ask about words
	lines    bool   // conditions ask about line starts
	texts    bool   // conditions ask about the start of the text
	limit    int    // states
	room     int    // bytes
	memory   *Memory

	cur atomic.Pointer[table]
	mu  sync.Mutex // guards what follows and all writing to tables
	gen int
	// index finds a state by its content, used counts them, bytes estimates their memory.
	index map[string]uint32
	used  uint32
	bytes int
	// fresh[ctx*stride+sym] is what attempts that begin at a position contribute to the next one.
	fresh  []*contribution
	now    sparse // instructions reached at the current position
	then   sparse // instructions reached at the next position
	keep   []int32
	stackA []int32
	stackB []int32
	key    []byte
}

// table is a generation of states. next holds, by state offset + symbol, the offset of the following state; 0 is unknown,
// and bit 31 says that the state deserves a look: it has hits or is dead.
type table struct {
	gen    int
	next   []uint32
	states []dstate
	start  [ctxCnt]uint32
}

const lookBit = 1 << 31

type dstate struct {
	pcs  []int32 // sorted: instructions that consume or wait for the next byte, beyond those of fresh attempts
	hits uint64  // patterns found on the way into this state
	ctx  context
	dead bool
}

// contribution is the part of a step that depends on the context and the symbol only.
type contribution struct {
	pcs  []int32
	hits uint64
}

// sparse is a set of small integers that is emptied in constant time.
type sparse struct{ dense, place []int32 }

func (s *sparse) add(x int32) bool {
	if i := s.place[x]; int(i) < len(s.dense) && s.dense[i] == x {
		return false
	}
	s.place[x] = int32(len(s.dense))
	s.dense = append(s.dense, x)
	return true
}

func (s *sparse) clear() { s.dense = s.dense[:0] }

func newDFA(p *program, states, room int, memory *Memory) *dfa {
	d := &dfa{prog: p, limit: states, room: room, memory: memory, gen: 1}
	if d.limit <= 0 {
		d.limit = defaultStates
	}
	for _, in := range p.insts {
		switch {
		case in.op == opMatch:
			d.all |= 1 << in.arg
		case in.op != opAssert:
		case assertion(in.arg) == onWordEdge, assertion(in.arg) == offWordEdge:
			d.words = true
		case assertion(in.arg) == atLineStart:
			d.lines = true
		case assertion(in.arg) == atTextStart:
			d.texts = true
		}
	}
	d.classify()
	d.now.place = make([]int32, len(p.insts))
	d.then.place = make([]int32, len(p.insts))
	d.fresh = make([]*contribution, int(ctxCnt)*int(d.stride))
	d.anchored = d.texts && !d.startsFreely()
	d.reset()
	return d
}

// classify puts bytes that no instruction distinguishes into one class.
func (d *dfa) classify() {
	var newline, word byteSet
	newline.add('\n')
	word, _ = classSet('w')
	sets := append([]*byteSet{&newline}, d.prog.sets...)
	if d.words {
		sets = append(sets, &word)
	}
	count := 1
	for _, s := range sets {
		if count == 256 {
			break
		}
		var moved [256]uint8 // old class -> class of its members inside s; 0 is not yet known
		var inside, outside [256]bool
		for b := range 256 {
			if s.has(byte(b)) {
				inside[d.class[b]] = true
			} else {
				outside[d.class[b]] = true
			}
		}
		for b := range 256 {
			c := d.class[b]
			if !s.has(byte(b)) || !inside[c] || !outside[c] {
				continue
			}
			if moved[c] == 0 {
				moved[c] = uint8(count)
				count++
			}
			d.class[b] = moved[c]
		}
	}
	d.rep = make([]byte, count+1)
	for b := range 256 {
		d.rep[d.class[b]] = byte(b)
	}
	d.rep[count] = '\n'
	d.stride = uint32(count + 2)
}

// startsFreely reports whether an attempt can get anywhere when it does not begin at the start of the text.
func (d *dfa) startsFreely() bool {
	d.now.clear()
	stack := append(d.stackA[:0], d.prog.starts...)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !d.now.add(pc) {
			continue
		}
		switch in := &d.prog.insts[pc]; in.op {
		case opSet, opMatch:
			return true
		case opSplit:
			stack = append(stack, in.y, in.x)
		case opAssert:
			if assertion(in.arg) != atTextStart {
				stack = append(stack, in.x)
			}
		}
	}
	return false
}

// reset begins a new generation of states.
func (d *dfa) reset() *table {
	d.gen++
	d.memory.used.Add(-int64(d.bytes))
	d.index = map[string]uint32{}
	d.used, d.bytes = 1, 0 // offset 0 means unknown
	t := &table{gen: d.gen, next: make([]uint32, 4*d.stride), states: make([]dstate, 4)}
	d.cur.Store(t)
	return t
}

// intern returns the entry of the state with that content in the current table, which may be replaced by a larger one.
func (d *dfa) intern(t *table, ctx context, pcs []int32, hits uint64) (*table, uint32) {
	key := append(d.key[:0], byte(ctx))
	key = binary.LittleEndian.AppendUint64(key, hits)
	for _, pc := range pcs {
		key = binary.LittleEndian.AppendUint32(key, uint32(pc))
	}
	d.key = key
	if e, ok := d.index[string(key)]; ok {
		return t, e
	}
	if int(d.used) == len(t.states) {
		bigger := &table{gen: t.gen, start: t.start, next: make([]uint32, 2*len(t.next)), states: make([]dstate, 2*len(t.states))}
		copy(bigger.next, t.next)
		copy(bigger.states, t.states)
		t = bigger
		d.cur.Store(t)
	}
	dead := d.anchored && ctx != ctxStart && len(pcs) == 0
	t.states[d.used] = dstate{pcs: slices.Clone(pcs), hits: hits, ctx: ctx, dead: dead}
	e := d.used * d.stride
	if hits != 0 || dead {
		e |= lookBit
	}
	d.index[string(key)] = e
	d.used++
	bytes := 2*4*int(d.stride) + 8*len(pcs) + 120
	d.bytes += bytes
	d.memory.used.Add(int64(bytes))
	return t, e
}

// contextAfter returns the context behind a byte, as far as the program cares.
func (d *dfa) contextAfter(b byte) context {
	switch {
	case b == '\n' && d.lines:
		return ctxLine
	case d.words && isWord(b):
		return ctxWord
	}
	return ctxOther
}

// begin returns the state in which an attempt at position lo starts.
func (d *dfa) begin(t *table, b []byte, lo int) (*table, uint32) {
	ctx := ctxOther
	switch {
	case lo > 0:
		ctx = d.contextAfter(b[lo-1])
	case d.texts || d.lines:
		ctx = ctxStart
	}
	if e := atomic.LoadUint32(&t.start[ctx]); e != 0 {
		return t, e
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t, e := d.intern(d.cur.Load(), ctx, nil, 0)
	atomic.StoreUint32(&t.start[ctx], e)
	return t, e
}

// scan looks for matches of the patterns in want that lie within b[lo:hi]; conditions see the bytes around. It returns those
// found, possibly with others, and stops when all are found; end is where it stopped, behind the byte it read last. The
// instructions followed to make states are taken from work; ok is false when that is spent.
func (d *dfa) scan(b []byte, lo, hi int, want uint64, work *int) (found uint64, end int, ok bool) {
	if lo > 0 && d.anchored {
		return 0, hi, true
	}
	// One byte beyond hi decides the conditions at hi.
	hi = min(hi+1, len(b))
	t, e := d.begin(d.cur.Load(), b, lo)
	state := e &^ lookBit
	plain := hi
	if hi == len(b) && hi > lo {
		plain-- // the last byte may be a final newline
	}
	next := t.next
	for i := lo; i < plain; i++ {
		sym := uint32(d.class[b[i]])
		e = atomic.LoadUint32(&next[state+sym])
		if e-1 < lookBit-1 {
			state = e
			continue
		}
		if e == 0 {
			t, e = d.step(t, state, sym, work)
			next = t.next
			if *work < 0 {
				return found, i + 1, false
			}
		}
		state = e &^ lookBit
		if e&lookBit != 0 {
			s := &t.states[state/d.stride]
			found |= s.hits
			if s.dead || found&want == want {
				return found, i + 1, true
			}
		}
	}
	if hi < len(b) {
		return found, hi, true
	}
	if plain < hi {
		sym := uint32(d.class[b[plain]])
		if b[plain] == '\n' {
			sym = d.stride - 2
		}
		t, state, found = d.follow(t, state, sym, found, work)
	}
	_, _, found = d.follow(t, state, d.stride-1, found, work)
	return found, hi, *work >= 0
}

// follow makes one step and gathers the hits of the state it leads to.
func (d *dfa) follow(t *table, state, sym uint32, found uint64, work *int) (*table, uint32, uint64) {
	e := atomic.LoadUint32(&t.next[state+sym])
	if e == 0 {
		t, e = d.step(t, state, sym, work)
	}
	state = e &^ lookBit
	return t, state, found | t.states[state/d.stride].hits
}

// full reports that the cache is to be dropped.
func (d *dfa) full() bool {
	return d.bytes > d.room || d.bytes > d.room/8 && d.memory.used.Load() > memoryBytes
}

// step computes the entry behind a state and a symbol.
func (d *dfa) step(t *table, state, sym uint32, work *int) (*table, uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &t.states[state/d.stride]
	cur := d.cur.Load()
	switch {
	case int(d.used) >= d.limit || d.full():
		cur = d.reset()
		fallthrough
	case cur.gen != t.gen:
		var e uint32
		cur, e = d.intern(cur, s.ctx, s.pcs, s.hits)
		state = e &^ lookBit
	}
	t = cur
	if e := t.next[state+sym]; e != 0 {
		return t, e
	}
	end := sym == d.stride-1
	after := ctxOther
	if !end {
		after = d.contextAfter(d.rep[sym])
	}
	c := d.contribute(s.ctx, sym, after, work)
	hits := c.hits
	if len(s.pcs) == 0 {
		d.keep = append(d.keep[:0], c.pcs...)
	} else {
		d.now.clear()
		d.then.clear()
		d.keep = d.keep[:0]
		for _, pc := range s.pcs {
			hits |= d.advance(pc, s.ctx, sym, after)
		}
		*work -= len(d.now.dense) + len(d.then.dense) + len(c.pcs)
		for _, pc := range c.pcs {
			if d.then.add(pc) {
				d.keep = append(d.keep, pc)
			}
		}
		slices.Sort(d.keep)
	}
	t, e := d.intern(t, after, d.keep, hits)
	atomic.StoreUint32(&t.next[state+sym], e)
	return t, e
}

// contribute returns what fresh attempts at a position give to the next one.
func (d *dfa) contribute(ctx context, sym uint32, after context, work *int) *contribution {
	place := &d.fresh[uint32(ctx)*d.stride+sym]
	if *place != nil {
		return *place
	}
	c := &contribution{}
	d.now.clear()
	d.then.clear()
	d.keep = d.keep[:0]
	for _, pc := range d.prog.starts {
		c.hits |= d.advance(pc, ctx, sym, after)
	}
	*work -= len(d.now.dense) + len(d.then.dense)
	c.pcs = slices.Clone(d.keep)
	slices.Sort(c.pcs)
	*place = c
	return c
}

// advance follows pc at the current position, before sym, and enters what lies behind the bytes it consumes.
func (d *dfa) advance(pc int32, ctx context, sym uint32, after context) (hits uint64) {
	end := sym == d.stride-1
	stack := append(d.stackA[:0], pc)
	for len(stack) > 0 {
		pc = stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !d.now.add(pc) {
			continue
		}
		switch in := &d.prog.insts[pc]; in.op {
		case opSet:
			if !end && d.prog.sets[in.arg].has(d.rep[sym]) {
				hits |= d.enter(in.x, after)
			}
		case opSplit:
			stack = append(stack, in.y, in.x)
		case opMatch:
			hits |= 1 << in.arg
		case opAssert:
			if d.holds(assertion(in.arg), ctx, sym) {
				stack = append(stack, in.x)
			}
		}
	}
	d.stackA = stack
	return hits
}

// enter follows pc at the next position as far as its context decides, and keeps the instructions where it must wait.
func (d *dfa) enter(pc int32, ctx context) (hits uint64) {
	stack := append(d.stackB[:0], pc)
	for len(stack) > 0 {
		pc = stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !d.then.add(pc) {
			continue
		}
		switch in := &d.prog.insts[pc]; in.op {
		case opSet:
			d.keep = append(d.keep, pc)
		case opSplit:
			stack = append(stack, in.y, in.x)
		case opMatch:
			hits |= 1 << in.arg
		case opAssert:
			switch assertion(in.arg) {
			case atTextStart:
			case atLineStart:
				if ctx == ctxLine {
					d.keep = append(d.keep, pc)
				}
			default:
				d.keep = append(d.keep, pc)
			}
		}
	}
	d.stackB = stack
	return hits
}

// holds decides a condition between a context and the next symbol.
func (d *dfa) holds(a assertion, ctx context, sym uint32) bool {
	end, final := sym == d.stride-1, sym == d.stride-2
	newline := !end && d.rep[sym] == '\n'
	edge := (ctx == ctxWord) != (!end && isWord(d.rep[sym]))
	switch a {
	case atTextStart:
		return ctx == ctxStart
	case atLineStart: // Perl: not behind a newline that ends the text
		return ctx == ctxStart || ctx == ctxLine && !end
	case atTextEnd:
		return end
	case atFinalEnd:
		return end || final
	case atLineEnd:
		return end || newline
	case onWordEdge:
		return edge
	}
	return !edge
}

// states reports how many states and bytes the automaton holds now.
func (d *dfa) size() (states, bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.used), d.bytes + 16*len(d.prog.insts) + 8*len(d.fresh)
}

// hitsIn calls f for each bit of a mask.
func hitsIn(mask uint64, f func(i int)) {
	for mask != 0 {
		f(bits.TrailingZeros64(mask))
		mask &= mask - 1
	}
}
