package pattern

// Limits of the linear engine's programs.
const (
	maxUnroll  = 200     // instructions that the optional rounds of a repetition may become before its upper bound is dropped
	maxRounds  = 10_000  // instructions that its required rounds may become before some are dropped
	maxProgram = 400_000 // instructions of one pattern
	maxCopies  = 4_000   // nodes that a backreference may copy from its group
)

// relaxer rewrites a tree into one that an automaton can follow. What an automaton cannot decide is dropped in the direction
// of matching more: look-around and \K vanish, atomic groups and possessive repetitions are reconsidered, a backreference
// becomes whatever its group could match, a large counted repetition loses its upper bound. exact tells that nothing of the
// kind was needed, so that the automaton decides alone.
type relaxer struct {
	exact  bool
	groups map[int]*node // capturing groups seen so far, as parsed
	open   map[int]bool  // groups that we are inside of
	copies int
}

var anyByte = &byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}

// anything matches every text.
var anything = &node{kind: kRepeat, max: -1, subs: []*node{{kind: kSet, set: anyByte}}}

func (r *relaxer) relax(n *node) *node {
	switch n.kind {
	case kSet, kEmpty, kAssert:
		return n
	case kCapture:
		r.open[n.group] = true
		body := r.relax(n.subs[0])
		delete(r.open, n.group)
		r.groups[n.group] = n
		return body
	case kLook, kKeep:
		if n.kind == kLook {
			r.exact = false
			r.visit(n.subs[0])
		}
		return emptyNode
	case kAtomic:
		if !fixedChoice(n.subs[0]) {
			r.exact = false
		}
		return r.relax(n.subs[0])
	case kBackref:
		r.exact = false
		return r.backref(n)
	case kRepeat:
		return r.repeat(n)
	}
	subs := make([]*node, 0, len(n.subs))
	for _, s := range n.subs {
		t := r.relax(s)
		switch {
		case n.kind == kSeq && t.kind == kSeq:
			subs = append(subs, t.subs...)
		case n.kind == kSeq && t.kind == kEmpty:
		default:
			subs = append(subs, t)
		}
	}
	switch {
	case len(subs) == 0:
		return emptyNode
	case len(subs) == 1:
		return subs[0]
	}
	return &node{kind: n.kind, subs: subs}
}

// visit notes the groups inside a look-around, to which references outside may point.
func (r *relaxer) visit(n *node) {
	if n.kind == kCapture {
		r.groups[n.group] = n
	}
	for _, s := range n.subs {
		r.visit(s)
	}
}

// fixedChoice reports that n has only one way to match, so that making it atomic changes nothing.
func fixedChoice(n *node) bool {
	switch n.kind {
	case kSet, kEmpty, kAssert:
		return true
	case kSeq, kCapture, kAtomic:
		for _, s := range n.subs {
			if !fixedChoice(s) {
				return false
			}
		}
		return true
	case kRepeat:
		return n.min == n.max && fixedChoice(n.subs[0])
	}
	return false
}

// repeat unrolls within limits; a possessive repetition of one set followed by nothing it could give back is found equal to a
// greedy one only by the backtracker, so it stays inexact.
func (r *relaxer) repeat(n *node) *node {
	if n.mode == possessive && !(n.min == n.max && fixedChoice(n.subs[0])) {
		r.exact = false
	}
	body := r.relax(n.subs[0])
	if body.kind == kEmpty || n.max == 0 {
		return emptyNode
	}
	least, most := n.min, n.max
	size := max(nodeSize(body), 1)
	if most-least > max(maxUnroll/size, 1) { // exact, but its states would be too many
		r.exact = false
		most = -1
	}
	if room := max(maxRounds/size, 1); least > room {
		r.exact = false
		least, most = room, -1
	}
	return &node{kind: kRepeat, min: least, max: most, subs: []*node{body}}
}

// nodeSize estimates the instructions of a relaxed node.
func nodeSize(n *node) int {
	size := 1
	if n.kind == kSeq {
		size = 0
	}
	for _, s := range n.subs {
		size += nodeSize(s)
	}
	if n.kind == kRepeat {
		size = (size + 1) * max(n.min, n.max, 1)
	}
	return min(size, maxProgram+1)
}

// backref stands for the text of a group: whatever the group could match, in either case if case is ignored here.
func (r *relaxer) backref(n *node) *node {
	var alts []*node
	for _, g := range n.refs {
		group, ok := r.groups[g]
		if !ok || r.open[g] {
			return anything // a forward reference, or one inside its own group
		}
		c := r.copied(group.subs[0], n.fold)
		if c == nil {
			return anything
		}
		alts = append(alts, c)
	}
	if len(alts) == 1 {
		return alts[0]
	}
	return &node{kind: kAlt, subs: alts}
}

// copied returns the language of n without its conditions, which held at another place; nil when that grows too large.
func (r *relaxer) copied(n *node, fold bool) *node {
	if r.copies++; r.copies > maxCopies {
		return nil
	}
	switch n.kind {
	case kSet:
		if !fold {
			return n
		}
		s := *n.set
		s.fold()
		return &node{kind: kSet, set: &s}
	case kEmpty, kAssert, kLook, kKeep:
		return emptyNode
	case kBackref:
		return anything
	case kCapture, kAtomic:
		return r.copied(n.subs[0], fold)
	}
	c := *n
	c.subs = make([]*node, len(n.subs))
	for i, s := range n.subs {
		if c.subs[i] = r.copied(s, fold); c.subs[i] == nil {
			return nil
		}
	}
	if c.kind == kRepeat {
		c.mode = greedy
		return r.repeat(&c)
	}
	return &c
}
