package pattern

import "slices"

type opcode uint8

const (
	opSet    opcode = iota // a byte of sets[arg], then x
	opSplit                // x and y
	opAssert               // condition arg, then x
	opMatch                // pattern arg has matched
)

// inst is one instruction of an automaton's program.
type inst struct {
	op   opcode
	arg  int32
	x, y int32
}

// program is a Thompson automaton over bytes. Programs of several patterns can be joined; each match names its pattern.
type program struct {
	insts  []inst
	sets   []*byteSet
	starts []int32
}

// oneByte returns the set of an exact program that matches one byte out of it and nothing else, nil for all other programs.
func (p *program) oneByte(exact bool) *byteSet {
	if !exact || len(p.starts) != 1 {
		return nil
	}
	in := &p.insts[p.starts[0]]
	if in.op != opSet || p.insts[in.x].op != opMatch {
		return nil
	}
	return p.sets[in.arg]
}

// emitter builds a program backwards: each part is told where to go on, so that alternatives share their ends.
type emitter struct {
	prog  program
	index map[*byteSet]int32
	depth int
	full  bool // the program exceeds maxProgram
}

// maxFactor bounds the recursion of prefix factoring; deeper branches are emitted one after another.
const maxFactor = 400

// emitProgram compiles a relaxed tree; ok is false when the program would be too large.
func emitProgram(n *node) (*program, bool) {
	e := &emitter{index: map[*byteSet]int32{}}
	end := e.put(inst{op: opMatch})
	start := e.emit(n, end)
	if e.full {
		return nil, false
	}
	e.prog.starts = []int32{start}
	e.prog.insts = slices.Clip(e.prog.insts)
	return &e.prog, true
}

func (e *emitter) put(i inst) int32 {
	if len(e.prog.insts) >= maxProgram {
		e.full = true
		return 0
	}
	e.prog.insts = append(e.prog.insts, i)
	return int32(len(e.prog.insts) - 1)
}

func (e *emitter) set(s *byteSet, next int32) int32 {
	i, ok := e.index[s]
	if !ok {
		i = int32(len(e.prog.sets))
		e.prog.sets = append(e.prog.sets, s)
		e.index[s] = i
	}
	return e.put(inst{op: opSet, arg: i, x: next})
}

// emit compiles n so that it goes on to next, and returns its entry.
func (e *emitter) emit(n *node, next int32) int32 {
	if e.full {
		return 0
	}
	switch n.kind {
	case kSet:
		return e.set(n.set, next)
	case kAssert:
		return e.put(inst{op: opAssert, arg: int32(n.assert), x: next})
	case kSeq:
		return e.emitSeq(n.subs, next)
	case kAlt:
		branches := make([][]*node, 0, len(n.subs))
		for _, s := range n.subs {
			branches = appendBranches(branches, s)
		}
		return e.emitBranches(branches, next)
	case kRepeat:
		return e.emitRepeat(n, next)
	}
	return next
}

// appendBranches flattens nested alternatives.
func appendBranches(list [][]*node, n *node) [][]*node {
	switch n.kind {
	case kAlt:
		for _, s := range n.subs {
			list = appendBranches(list, s)
		}
		return list
	case kSeq:
		return append(list, n.subs)
	case kEmpty:
		return append(list, nil)
	}
	return append(list, []*node{n})
}

func (e *emitter) emitSeq(list []*node, next int32) int32 {
	for _, n := range slices.Backward(list) {
		next = e.emit(n, next)
	}
	return next
}

func (e *emitter) emitRepeat(n *node, next int32) int32 {
	body := n.subs[0]
	cur := next
	rounds := n.min
	switch {
	case n.max < 0 && n.min > 0: // x+ : the last round loops
		loop := e.put(inst{op: opSplit, y: next})
		entry := e.emit(body, loop)
		e.prog.insts[loop].x = entry
		cur = entry
		rounds--
	case n.max < 0:
		loop := e.put(inst{op: opSplit, y: next})
		entry := e.emit(body, loop)
		e.prog.insts[loop].x = entry
		cur = loop
	default:
		for range n.max - n.min {
			if e.full {
				return 0
			}
			cur = e.put(inst{op: opSplit, x: e.emit(body, cur), y: next})
		}
	}
	for range rounds {
		if e.full {
			return 0
		}
		cur = e.emit(body, cur)
	}
	return cur
}

// emitBranches compiles alternatives whose order does not matter: common beginnings are emitted once, so that thousands of
// words become a trie, and single bytes with the same continuation become one set.
func (e *emitter) emitBranches(branches [][]*node, next int32) int32 {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxFactor {
		entry := int32(-1)
		for _, b := range branches {
			entry = e.either(entry, e.emitSeq(b, next))
		}
		return entry
	}
	groups := groupByHead(branches)
	var loose *byteSet // single bytes that go straight on
	looseCount := 0
	var only *byteSet
	entry, emptySeen := int32(-1), false
	for _, g := range groups {
		switch {
		case len(g[0]) == 0:
			emptySeen = true
			continue
		case len(g) == 1 && len(g[0]) == 1 && g[0][0].kind == kSet:
			if loose == nil {
				loose = &byteSet{}
			}
			only = g[0][0].set
			loose.union(only)
			looseCount++
			continue
		case len(g) == 1:
			entry = e.either(entry, e.emitSeq(g[0], next))
			continue
		}
		shared := commonPrefix(g)
		tails := make([][]*node, len(g))
		for i, b := range g {
			tails[i] = b[shared:]
		}
		entry = e.either(entry, e.emitSeq(g[0][:shared], e.emitBranches(tails, next)))
	}
	switch {
	case looseCount == 1:
		entry = e.either(entry, e.set(only, next))
	case looseCount > 1:
		entry = e.either(entry, e.set(loose, next))
	}
	if emptySeen {
		entry = e.either(entry, next)
	}
	return entry
}

func (e *emitter) either(a, b int32) int32 {
	if a < 0 {
		return b
	}
	return e.put(inst{op: opSplit, x: b, y: a})
}

// groupByHead puts branches that begin alike together, in order of first appearance. Equal sets are equal pointers.
func groupByHead(branches [][]*node) [][][]*node {
	var groups [][][]*node
	place := map[any]int{}
	for _, b := range branches {
		var key any
		if len(b) > 0 {
			key = headKey(b[0])
		}
		i, ok := place[key]
		if !ok {
			i = len(groups)
			place[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], b)
	}
	return groups
}

// headKey identifies what a branch begins with: equal keys mean equal languages.
func headKey(n *node) any {
	switch n.kind {
	case kSet:
		return n.set
	case kAssert:
		return n.assert
	}
	return n
}

// commonPrefix counts the nodes with which all branches of a group begin. Branches equal to the end share all of it.
func commonPrefix(g [][]*node) int {
	k := len(g[0])
	for _, b := range g[1:] {
		k = min(k, len(b))
		for i := 1; i < k; i++ {
			if headKey(b[i]) != headKey(g[0][i]) {
				k = i
			}
		}
	}
	return k
}

// joined puts programs side by side; matches of the i-th name i.
func joined(progs []*program) *program {
	var out program
	index := map[byteSet]int32{}
	for i, p := range progs {
		offset := int32(len(out.insts))
		sets := make([]int32, len(p.sets))
		for k, s := range p.sets {
			id, ok := index[*s]
			if !ok {
				id = int32(len(out.sets))
				index[*s] = id
				out.sets = append(out.sets, s)
			}
			sets[k] = id
		}
		for _, in := range p.insts {
			switch in.op {
			case opSet:
				in.arg = sets[in.arg]
			case opMatch:
				in.arg = int32(i)
			}
			in.x += offset
			in.y += offset
			out.insts = append(out.insts, in)
		}
		for _, s := range p.starts {
			out.starts = append(out.starts, s+offset)
		}
	}
	return &out
}
