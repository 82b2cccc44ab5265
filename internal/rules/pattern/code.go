package pattern

import "slices"

type bop uint8

const (
	bSet     bop = iota // one byte of set
	bLit                // the bytes lit
	bSplit              // x, or else y
	bPick               // the first of the branches that the next byte allows (table)
	bJump               // x
	bOpen               // remember the position in register mark
	bClose              // group x ends here and began at register mark
	bAssert             // condition
	bBackref            // the text of one of refs
	bLook               // body at pc+1 up to bDone, then x
	bAtomic             // body at pc+1 up to bDone, then x
	bRun                // min..max bytes of set
	bStar               // loop head: body at x, exit y; mark is the register with the position of the last round; -1: none needed
	bCount              // counted loop head: body at x, exit y, registers mark (rounds) and mark+1 (position)
	bInit               // registers mark.. start afresh: x of them
	bRound              // a round of the loop with register mark begins: x is 1 for bStar, 2 for bCount
	bKeep               // the match begins here
	bDone               // end of a body, or of the pattern
)

// binst is an instruction of the backtracker.
type binst struct {
	op     bop
	mode   mode
	assert assertion
	neg    bool
	behind bool
	fold   bool
	memo   bool // a failure here depends on the position only, so it may be remembered
	x, y   int32
	min    int32
	max    int32
	mark   int32
	set    *byteSet
	lit    []byte
	refs   []int
	table  *branchTable
}

// branchTable lists, for each next byte (and for the end of the text, 256), the branches of an alternative that may match.
type branchTable struct {
	index [257]int32
	lists [][]int32
}

// code is a pattern as the backtracker runs it.
type code struct {
	insts    []binst
	memory   *Memory
	slots    int // capture positions
	regs     int
	first    *byteSet // bytes with which a match begins; nil if it may be empty
	anchored bool
}

// maxInline is how many instructions a counted repetition may be unrolled to; larger ones count at run time.
const maxInline = 300

type coder struct {
	code code
	// inLoop counts the counted loops around the place; what lies inside is not remembered, as the count matters too.
	inLoop int
}

// maxUnrolledCode is the size beyond which nothing is unrolled any more, so that code stays proportional to the pattern.
const maxUnrolledCode = 100_000

func compileCode(t *tree) *code {
	c := &coder{}
	c.code.slots = 2 * len(t.names)
	possess(t.root, byteSet{}, true)
	c.emit(t.root)
	c.put(binst{op: bDone})
	first := &byteSet{}
	if !firstBytes(t.root, first) {
		c.code.first = first
	}
	c.code.anchored = startsAnchored(t.root)
	c.forgetBackrefs()
	c.code.insts = slices.Clip(c.code.insts)
	return &c.code
}

func (c *coder) put(i binst) int32 {
	i.memo = c.inLoop == 0
	c.code.insts = append(c.code.insts, i)
	return int32(len(c.code.insts) - 1)
}

func (c *coder) here() int32 { return int32(len(c.code.insts)) }

func (c *coder) emit(n *node) {
	switch n.kind {
	case kSet:
		if b, ok := n.set.single(); ok {
			c.put(binst{op: bLit, lit: []byte{b}})
			return
		}
		c.put(binst{op: bSet, set: n.set})
	case kSeq:
		c.emitSeq(n.subs)
	case kAlt:
		c.emitAlt(n)
	case kCapture:
		mark := int32(c.code.regs)
		c.code.regs++
		c.put(binst{op: bOpen, mark: mark})
		c.emit(n.subs[0])
		c.put(binst{op: bClose, x: int32(n.group), mark: mark})
	case kRepeat:
		c.emitRepeat(n)
	case kLook, kAtomic:
		c.emitBody(n)
	case kBackref:
		c.put(binst{op: bBackref, refs: n.refs, fold: n.fold})
	case kAssert:
		c.put(binst{op: bAssert, assert: n.assert})
	case kKeep:
		c.put(binst{op: bKeep})
	}
}

// emitSeq joins single bytes into literals.
func (c *coder) emitSeq(list []*node) {
	for i := 0; i < len(list); {
		var lit []byte
		k := i
		for ; k < len(list) && list[k].kind == kSet; k++ {
			b, ok := list[k].set.single()
			if !ok {
				break
			}
			lit = append(lit, b)
		}
		if len(lit) > 1 {
			c.put(binst{op: bLit, lit: lit})
			i = k
			continue
		}
		c.emit(list[i])
		i++
	}
}

// emitBody compiles what runs on its own: look-around and atomic groups. Nothing inside is remembered across runs.
func (c *coder) emitBody(n *node) {
	op := binst{op: bAtomic}
	if n.kind == kLook {
		op = binst{op: bLook, neg: n.neg, behind: n.behind}
		if n.behind {
			least, most := width(n.subs[0])
			op.min, op.max = int32(least), int32(most)
		}
	}
	at := c.put(op)
	c.emit(n.subs[0])
	c.put(binst{op: bDone})
	c.code.insts[at].x = c.here()
}

func (c *coder) emitAlt(n *node) {
	if len(n.subs) > 4 {
		if c.emitPick(n) {
			return
		}
	}
	var ends []int32
	for i, s := range n.subs {
		if i == len(n.subs)-1 {
			c.emit(s)
			break
		}
		split := c.put(binst{op: bSplit})
		c.code.insts[split].x = c.here()
		c.emit(s)
		ends = append(ends, c.put(binst{op: bJump}))
		c.code.insts[split].y = c.here()
	}
	for _, e := range ends {
		c.code.insts[e].x = c.here()
	}
}

// emitPick compiles an alternative of many branches so that only those are tried which the next byte allows. It declines
// when the branches allow too many bytes for the table to be worth its memory.
func (c *coder) emitPick(n *node) bool {
	firsts := make([]byteSet, len(n.subs))
	open := make([]bool, len(n.subs))
	total := 0
	for i, s := range n.subs {
		open[i] = firstBytes(s, &firsts[i])
		if open[i] {
			total += 256
		} else {
			total += firsts[i].size(256)
		}
	}
	if total > 8*len(n.subs)+2048 {
		return false
	}
	at := c.put(binst{op: bPick})
	entries := make([]int32, len(n.subs))
	var ends []int32
	for i, s := range n.subs {
		entries[i] = c.here()
		c.emit(s)
		ends = append(ends, c.put(binst{op: bJump}))
	}
	for _, e := range ends {
		c.code.insts[e].x = c.here()
	}
	t := &branchTable{lists: [][]int32{nil}}
	for b := range 257 {
		var list []int32
		for i := range n.subs {
			if open[i] || b < 256 && firsts[i].has(byte(b)) {
				list = append(list, entries[i])
			}
		}
		if list != nil {
			t.index[b] = int32(len(t.lists))
			t.lists = append(t.lists, list)
		}
	}
	c.code.insts[at].table = t
	return true
}

func (c *coder) emitRepeat(n *node) {
	body, least, most := n.subs[0], n.min, n.max
	if n.mode == possessive {
		greedyCopy := *n
		greedyCopy.mode = greedy
		if body.kind != kSet {
			c.emitBody(&node{kind: kAtomic, subs: []*node{&greedyCopy}})
			return
		}
	}
	switch {
	case most == 0:
		return
	case body.kind == kSet:
		c.put(binst{op: bRun, set: body.set, min: int32(least), max: int32(most), mode: n.mode})
		return
	case least == 1 && most == 1:
		c.emit(body)
		return
	case least == 0 && most == 1:
		c.optional(body, n.mode)
		return
	}
	size := min(codeSize(body), maxInline+1)
	rounds := max(least, most)
	switch {
	case size*rounds <= maxInline && len(c.code.insts) < maxUnrolledCode:
		for range least {
			c.emit(body)
		}
		if most < 0 {
			c.star(body, n.mode)
		} else {
			c.optionals(body, n.mode, most-least)
		}
	case least == 0 && most < 0:
		c.star(body, n.mode)
	case least == 1 && most < 0:
		c.emit(body)
		c.star(body, n.mode)
	default:
		c.counted(n)
	}
}

func (c *coder) split(m mode) int32 { return c.put(binst{op: bSplit, mode: m}) }

// aim sets the two ways of a split: on is the one preferred by greedy.
func (c *coder) aim(at, on, off int32) {
	i := &c.code.insts[at]
	if i.mode == lazy {
		on, off = off, on
	}
	i.x, i.y = on, off
}

func (c *coder) optional(body *node, m mode) {
	at := c.split(m)
	on := c.here()
	c.emit(body)
	c.aim(at, on, c.here())
}

// optionals is body up to n times, each round inside the one before.
func (c *coder) optionals(body *node, m mode, n int) {
	var splits, entries []int32
	for range n {
		splits = append(splits, c.split(m))
		entries = append(entries, c.here())
		c.emit(body)
	}
	for i, at := range splits {
		c.aim(at, entries[i], c.here())
	}
}

func (c *coder) star(body *node, m mode) {
	mark := int32(-1)
	if least, _ := width(body); least == 0 {
		mark = int32(c.code.regs)
		c.code.regs++
		c.put(binst{op: bInit, mark: mark, x: 1})
	}
	head := c.put(binst{op: bStar, mode: m, mark: mark})
	c.code.insts[head].x = c.here()
	if mark >= 0 {
		c.put(binst{op: bRound, mark: mark, x: 1})
	}
	c.emit(body)
	c.put(binst{op: bJump, x: head})
	c.code.insts[head].y = c.here()
}

func (c *coder) counted(n *node) {
	mark := int32(c.code.regs)
	c.code.regs += 2
	c.put(binst{op: bInit, mark: mark, x: 2})
	c.inLoop++
	head := c.put(binst{op: bCount, mode: n.mode, mark: mark, min: int32(n.min), max: int32(n.max)})
	c.code.insts[head].x = c.here()
	c.put(binst{op: bRound, mark: mark, x: 2})
	c.emit(n.subs[0])
	c.put(binst{op: bJump, x: head})
	c.inLoop--
	c.code.insts[head].y = c.here()
}

// codeSize estimates the instructions of a node, unrolled.
func codeSize(n *node) int {
	if n.kind == kSet {
		return 1
	}
	size := 1
	for _, s := range n.subs {
		size += codeSize(s)
		if size > maxInline {
			return maxInline + 1
		}
	}
	if n.kind == kRepeat && n.subs[0].kind != kSet {
		size *= max(n.min, n.max, 1)
	}
	return min(size, maxInline+1)
}

// forgetBackrefs takes the memo flag from every instruction from which a backreference can still be reached: there the
// outcome depends on the captures as well.
func (c *coder) forgetBackrefs() {
	insts := c.code.insts
	tainted := make([]bool, len(insts))
	found := false
	for pc := range insts {
		if insts[pc].op == bBackref {
			tainted[pc], found = true, true
		}
	}
	if !found {
		return
	}
	for changed := true; changed; {
		changed = false
		for pc := len(insts) - 1; pc >= 0; pc-- {
			if !tainted[pc] && c.leadsTo(pc, tainted) {
				tainted[pc], changed = true, true
			}
		}
	}
	for pc := range insts {
		if tainted[pc] {
			insts[pc].memo = false
		}
	}
}

// leadsTo reports whether one of the instructions behind pc is marked.
func (c *coder) leadsTo(pc int, marked []bool) bool {
	i := &c.code.insts[pc]
	switch i.op {
	case bDone:
		return false
	case bJump:
		return marked[i.x]
	case bSplit, bStar, bCount:
		return marked[i.x] || marked[i.y]
	case bLook, bAtomic:
		return marked[i.x] || marked[pc+1]
	case bPick:
		for _, list := range i.table.lists {
			for _, t := range list {
				if marked[t] {
					return true
				}
			}
		}
		return false
	}
	return marked[pc+1]
}
