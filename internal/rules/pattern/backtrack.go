package pattern

import "bytes"

// frame is an entry of the backtracker's stack: a way still to be tried, or a value to be put back on the way there.
type frame struct {
	pc   int32 // where to go on; negative for the kinds below
	pos  int32
	a, b int32
}

const (
	undoSlot int32 = -1 - iota // capture slot pos gets back a
	undoReg                    // register pos gets back a
)

// machine runs code over one text at a time. It is reused between patterns and texts.
type machine struct {
	code  *code
	text  []byte
	stack []frame
	caps  []int32
	regs  []int32
	steps int  // left of the budget
	out   bool // the budget is spent

	// memo remembers failures (instruction, position, run) once an attempt has become long: an open hash table whose cells
	// are valid for the current epoch.
	memo    *memoTable
	filled  int
	memoing bool
	warm    int // steps left at which remembering begins
	run     uint32
	runs    uint32
}

type memoCell struct {
	key   uint64
	run   uint32
	epoch uint32
}

// memoTable is lent by a Memory to whoever needs one.
type memoTable struct {
	cells []memoCell
	epoch uint32
}

const (
	memoBits  = 16
	memoCells = 1 << memoBits
	memoAfter = 2000 // steps of a match before failures are remembered
)

// match looks for the leftmost match that begins in [from, until] and leaves its captures in m.caps.
func (m *machine) match(c *code, text []byte, from, until, budget int) (ok, gaveUp bool) {
	ok, gaveUp = m.attempts(c, text, from, until, budget)
	if m.memo != nil {
		c.memory.tables.Put(m.memo)
		m.memo = nil
	}
	return ok, gaveUp
}

func (m *machine) attempts(c *code, text []byte, from, until, budget int) (ok, gaveUp bool) {
	m.code, m.text, m.steps, m.out = c, text, budget, false
	m.caps = resize(m.caps, c.slots)
	m.regs = resize(m.regs, c.regs)
	m.memoing, m.warm, m.run, m.runs = false, budget-memoAfter, 0, 0
	if c.anchored {
		until = min(until, 0)
	}
	for at := from; at <= min(until, len(text)); at++ {
		if c.first != nil {
			for at < len(text) && !c.first.has(text[at]) {
				at++
			}
			if at >= len(text) || at > until {
				return false, false
			}
		}
		m.stack = m.stack[:0]
		for i := range m.caps {
			m.caps[i] = -1
		}
		m.caps[0] = int32(at)
		end, ok := m.exec(0, int32(at), -1)
		if m.out {
			return false, true
		}
		if ok {
			m.caps[1] = end
			return true, false
		}
	}
	return false, false
}

func resize(s []int32, n int) []int32 {
	if cap(s) < n {
		return make([]int32, n)
	}
	return s[:n]
}

func (m *machine) push(f frame) { m.stack = append(m.stack, f) }

func (m *machine) save(slot, pos int32) {
	m.push(frame{pc: undoSlot, pos: slot, a: m.caps[slot]})
	m.caps[slot] = pos
}

func (m *machine) setReg(reg, v int32) {
	m.push(frame{pc: undoReg, pos: reg, a: m.regs[reg]})
	m.regs[reg] = v
}

// seen remembers that the rest from (pc, pos) is being tried and reports whether it has been before.
func (m *machine) seen(pc, pos int32) bool {
	if !m.memoing {
		if m.steps > m.warm {
			return false
		}
		m.startMemo()
	}
	key := uint64(uint32(pc))<<32 | uint64(uint32(pos))
	h := (key ^ uint64(m.run)<<17) * 0x9E3779B97F4A7C15
	for i := h >> (64 - memoBits); ; i = (i + 1) % memoCells {
		c := &m.memo.cells[i]
		if c.epoch != m.memo.epoch {
			if m.filled < memoCells*3/4 {
				m.filled++
				*c = memoCell{key, m.run, m.memo.epoch}
			}
			return false
		}
		if c.key == key && c.run == m.run {
			return true
		}
	}
}

func (m *machine) startMemo() {
	m.memo = m.code.memory.table()
	m.memo.epoch++
	if m.memo.epoch == 0 {
		clear(m.memo.cells)
		m.memo.epoch = 1
	}
	m.filled = 0
	m.memoing = true
}

// back takes the next way from the stack, putting values back on the way; false when there is none above base.
func (m *machine) back(base int) (pc, pos int32, ok bool) {
	for len(m.stack) > base {
		f := &m.stack[len(m.stack)-1]
		switch {
		case f.pc == undoSlot:
			m.caps[f.pos] = f.a
		case f.pc == undoReg:
			m.regs[f.pos] = f.a
		case f.a == f.b: // a single way
			pc, pos = f.pc, f.pos
			m.stack = m.stack[:len(m.stack)-1]
			return pc, pos, true
		case f.a > f.b: // a greedy run gives one byte back, down to b
			f.a--
			pc, pos = f.pc, f.a
			if f.a == f.b {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, pos, true
		default: // a lazy run takes one byte more, up to b
			f.a++
			pc, pos = f.pc, f.a
			if f.a == f.b {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, pos, true
		}
		m.stack = m.stack[:len(m.stack)-1]
	}
	return 0, 0, false
}

// exec runs from pc until bDone; must is the position where it has to end, or -1. On success the ways left inside stay on
// the stack for the caller to drop.
func (m *machine) exec(pc, pos, must int32) (end int32, ok bool) {
	base := len(m.stack)
	for {
		if m.steps--; m.steps < 0 {
			m.out = true
			return 0, false
		}
		in := &m.code.insts[pc]
		good := true
		switch in.op {
		case bLit:
			if good = len(m.text)-int(pos) >= len(in.lit) && string(m.text[pos:int(pos)+len(in.lit)]) == string(in.lit); good {
				pos += int32(len(in.lit))
				pc++
			}
		case bSet:
			if good = int(pos) < len(m.text) && in.set.has(m.text[pos]); good {
				pos++
				pc++
			}
		case bDone:
			if must < 0 || pos == must {
				return pos, true
			}
			good = false
		case bJump:
			pc = in.x
		case bOpen:
			m.setReg(in.mark, pos)
			pc++
		case bClose:
			m.save(2*in.x, m.regs[in.mark])
			m.save(2*in.x+1, pos)
			pc++
		case bAssert:
			good = m.holds(in.assert, pos)
			pc++
		case bKeep:
			m.save(0, pos)
			pc++
		case bBackref:
			pos, good = m.backref(in, pos)
			pc++
		case bInit:
			for r := in.mark; r < in.mark+in.x; r++ {
				m.setReg(r, initial(r-in.mark, in.x))
			}
			pc++
		case bRound:
			if in.x == 2 {
				m.setReg(in.mark, m.regs[in.mark]+1)
			}
			m.setReg(in.mark+in.x-1, pos)
			pc++
		default:
			pc, pos, good = m.choose(in, pc, pos)
		}
		if !good {
			if m.out {
				return 0, false
			}
			if pc, pos, ok = m.back(base); !ok {
				return 0, false
			}
		}
	}
}

// initial is what a loop's registers begin with: a count of 0, a last position of none.
func initial(i, of int32) int32 {
	if of == 2 && i == 0 {
		return 0
	}
	return -1
}

// choose runs the instructions that have several ways or a body of their own.
func (m *machine) choose(in *binst, pc, pos int32) (int32, int32, bool) {
	if in.op == bStar && in.mark >= 0 && m.regs[in.mark] == pos { // the last round consumed nothing
		return in.y, pos, true
	}
	if in.memo && m.seen(pc, pos) {
		return pc, pos, false
	}
	switch in.op {
	case bSplit:
		m.push(frame{pc: in.y, pos: pos})
		return in.x, pos, true
	case bPick:
		b := 256
		if int(pos) < len(m.text) {
			b = int(m.text[pos])
		}
		list := in.table.lists[in.table.index[b]]
		if len(list) == 0 {
			return pc, pos, false
		}
		m.steps -= len(list) / 2
		for i := len(list) - 1; i > 0; i-- {
			m.push(frame{pc: list[i], pos: pos})
		}
		return list[0], pos, true
	case bRun:
		return m.runOf(in, pc, pos)
	case bStar:
		on, off := in.x, in.y
		if in.mode == lazy {
			on, off = off, on
		}
		m.push(frame{pc: off, pos: pos})
		return on, pos, true
	case bCount:
		return m.countedRound(in, pos)
	}
	return m.body(in, pc, pos)
}

// runOf takes min..max bytes of a set.
func (m *machine) runOf(in *binst, pc, pos int32) (int32, int32, bool) {
	limit := len(m.text)
	if in.max >= 0 {
		limit = min(limit, int(pos)+int(in.max))
	}
	least := pos + in.min
	end := int(pos)
	for end < limit && in.set.has(m.text[end]) {
		end++
	}
	m.steps -= (end - int(pos)) / 8
	far := int32(end)
	switch {
	case far < least:
		return pc, pos, false
	case in.mode == possessive || far == least:
		return pc + 1, far, true
	case in.mode == lazy:
		m.push(frame{pc: pc + 1, a: least, b: far})
		return pc + 1, least, true
	}
	m.push(frame{pc: pc + 1, a: far, b: least})
	return pc + 1, far, true
}

// countedRound decides at the head of a counted loop.
func (m *machine) countedRound(in *binst, pos int32) (int32, int32, bool) {
	n := m.regs[in.mark]
	if n > 0 && m.regs[in.mark+1] == pos { // the last round consumed nothing, and so would all others
		return in.y, pos, true
	}
	switch {
	case n < in.min:
		return in.x, pos, true
	case in.max >= 0 && n >= in.max:
		return in.y, pos, true
	case in.mode == lazy:
		m.push(frame{pc: in.x, pos: pos})
		return in.y, pos, true
	}
	m.push(frame{pc: in.y, pos: pos})
	return in.x, pos, true
}

// body runs a look-around or an atomic group.
func (m *machine) body(in *binst, pc, pos int32) (int32, int32, bool) {
	base := len(m.stack)
	outer := m.run
	m.runs++
	m.run = m.runs
	var end int32
	ok := false
	if in.op == bLook && in.behind {
		for n := in.min; n <= in.max && n <= pos && !ok && !m.out; n++ {
			_, ok = m.exec(pc+1, pos-n, pos)
			if !ok {
				m.runs++
				m.run = m.runs
			}
		}
	} else {
		end, ok = m.exec(pc+1, pos, -1)
	}
	m.run = outer
	switch {
	case m.out:
		return pc, pos, false
	case in.op == bAtomic:
		if ok {
			m.commit(base)
		}
		return in.x, end, ok
	case ok && in.neg:
		m.unwind(base)
	case ok:
		m.commit(base)
	}
	return in.x, pos, ok != in.neg
}

// commit drops the ways above base but keeps what has to be put back.
func (m *machine) commit(base int) {
	kept := base
	for _, f := range m.stack[base:] {
		if f.pc < 0 {
			m.stack[kept] = f
			kept++
		}
	}
	m.stack = m.stack[:kept]
}

// unwind drops everything above base and puts the values back.
func (m *machine) unwind(base int) {
	for len(m.stack) > base {
		f := m.stack[len(m.stack)-1]
		switch f.pc {
		case undoSlot:
			m.caps[f.pos] = f.a
		case undoReg:
			m.regs[f.pos] = f.a
		}
		m.stack = m.stack[:len(m.stack)-1]
	}
}

// backref matches the text of the first of the groups that took part; a group that did not fails, as in Perl.
func (m *machine) backref(in *binst, pos int32) (int32, bool) {
	for _, g := range in.refs {
		from, to := m.caps[2*g], m.caps[2*g+1]
		if to < 0 {
			continue
		}
		text := m.text[from:to]
		m.steps -= len(text) / 8
		if len(m.text)-int(pos) < len(text) {
			return pos, false
		}
		have := m.text[pos : int(pos)+len(text)]
		if !in.fold {
			return pos + int32(len(text)), bytes.Equal(text, have)
		}
		for i, b := range text {
			if b != have[i] && otherCase(b) != have[i] {
				return pos, false
			}
		}
		return pos + int32(len(text)), true
	}
	return pos, false
}

// holds decides a condition at a position.
func (m *machine) holds(a assertion, pos int32) bool {
	at, n := int(pos), len(m.text)
	switch a {
	case atTextStart:
		return at == 0
	case atLineStart:
		return at == 0 || at < n && m.text[at-1] == '\n'
	case atTextEnd:
		return at == n
	case atFinalEnd:
		return at == n || at == n-1 && m.text[at] == '\n'
	case atLineEnd:
		return at == n || m.text[at] == '\n'
	}
	before := at > 0 && isWord(m.text[at-1])
	after := at < n && isWord(m.text[at])
	return (before != after) == (a == onWordEdge)
}
