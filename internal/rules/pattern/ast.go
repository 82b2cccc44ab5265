package pattern

// kind tells what a node of the syntax tree stands for.
type kind uint8

const (
	kEmpty   kind = iota // matches the empty text
	kSet                 // one byte of set
	kSeq                 // subs one after another
	kAlt                 // one of subs, the first preferred
	kCapture             // subs[0], remembered as group
	kRepeat              // subs[0] min..max times; max -1 is unbounded
	kLook                // look-around: subs[0] must (not) match here, nothing is consumed
	kAtomic              // subs[0], never reconsidered once left
	kBackref             // the text of one of refs
	kAssert              // a zero-width condition
	kKeep                // \K: the reported match begins here
)

// mode is how a repetition chooses its count.
type mode uint8

const (
	greedy mode = iota
	lazy
	possessive
)

// assertion is a zero-width condition on the bytes around a position.
type assertion uint8

const (
	atTextStart  assertion = iota // \A, ^
	atLineStart                   // ^ under /m
	atTextEnd                     // \z
	atFinalEnd                    // \Z, $: at the end or before a final newline
	atLineEnd                     // $ under /m
	onWordEdge                    // \b
	offWordEdge                   // \B
	assertionCnt                  // how many there are
)

// node is a part of a pattern. Nodes are immutable once parsed and may be shared between places of the tree.
type node struct {
	kind   kind
	mode   mode
	assert assertion
	neg    bool // kLook: must not match
	behind bool // kLook: looks back
	fold   bool // kBackref: letter case is ignored
	group  int  // kCapture: its number from 1
	min    int
	max    int
	set    *byteSet
	subs   []*node
	refs   []int
}

var emptyNode = &node{kind: kEmpty}

// byteSet is a set of bytes as a bitmap.
type byteSet [4]uint64

func (s *byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }
func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }

func (s *byteSet) addRange(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		s.add(byte(b))
	}
}

func (s *byteSet) union(o *byteSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *byteSet) negate() {
	for i := range s {
		s[i] = ^s[i]
	}
}

// size counts the bytes of the set, stopping above limit.
func (s *byteSet) size(limit int) int {
	n := 0
	for b := 0; b < 256 && n <= limit; b++ {
		if s.has(byte(b)) {
			n++
		}
	}
	return n
}

// single returns the only byte of a set of one.
func (s *byteSet) single() (byte, bool) {
	if s.size(1) != 1 {
		return 0, false
	}
	for b := 0; ; b++ {
		if s.has(byte(b)) {
			return byte(b), true
		}
	}
}

// fold adds the other case of every letter: ASCII and Latin-1, as Perl does for byte texts under /aai.
func (s *byteSet) fold() {
	t := *s
	for b := 0; b < 256; b++ {
		if t.has(byte(b)) {
			s.add(otherCase(byte(b)))
		}
	}
}

// otherCase returns the letter's other case in Latin-1, or b itself. 0xDF and 0xFF have none among single bytes.
func otherCase(b byte) byte {
	switch {
	case b >= 'a' && b <= 'z', b >= 0xE0 && b <= 0xFE && b != 0xF7:
		return b - 0x20
	case b >= 'A' && b <= 'Z', b >= 0xC0 && b <= 0xDE && b != 0xD7:
		return b + 0x20
	}
	return b
}

func isWord(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_'
}

// unbounded is the width of what may be arbitrarily long.
const unbounded = 1 << 30

// width returns the least and greatest number of bytes that n consumes; max is unbounded for no limit.
func width(n *node) (least, most int) {
	switch n.kind {
	case kSet:
		return 1, 1
	case kCapture, kAtomic:
		return width(n.subs[0])
	case kSeq:
		for _, s := range n.subs {
			a, b := width(s)
			least, most = min(least+a, unbounded), min(most+b, unbounded)
		}
		return least, most
	case kAlt:
		least = unbounded
		for _, s := range n.subs {
			a, b := width(s)
			least, most = min(least, a), max(most, b)
		}
		return least, most
	case kRepeat:
		a, b := width(n.subs[0])
		least = times(a, n.min)
		switch {
		case b == 0:
			return least, 0
		case n.max < 0:
			return least, unbounded
		}
		return least, times(b, n.max)
	case kBackref:
		return 0, unbounded
	}
	return 0, 0
}

func times(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	if a >= unbounded/b {
		return unbounded
	}
	return a * b
}

// firstBytes adds to set every byte with which a match of n may begin and reports whether n may match without consuming.
func firstBytes(n *node, set *byteSet) (nullable bool) {
	switch n.kind {
	case kSet:
		set.union(n.set)
		return false
	case kCapture, kAtomic:
		return firstBytes(n.subs[0], set)
	case kSeq:
		for _, s := range n.subs {
			if !firstBytes(s, set) {
				return false
			}
		}
		return true
	case kAlt:
		for _, s := range n.subs {
			if firstBytes(s, set) {
				nullable = true
			}
		}
		return nullable
	case kRepeat:
		if n.max == 0 {
			return true
		}
		return firstBytes(n.subs[0], set) || n.min == 0
	case kBackref:
		*set = byteSet{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
		return true
	}
	return true
}

// startsAnchored reports that n can match only at the start of the text.
func startsAnchored(n *node) bool {
	switch n.kind {
	case kAssert:
		return n.assert == atTextStart
	case kCapture, kAtomic:
		return startsAnchored(n.subs[0])
	case kSeq:
		for _, s := range n.subs {
			if startsAnchored(s) {
				return true
			}
			if _, most := width(s); most > 0 {
				return false
			}
		}
		return false
	case kAlt:
		for _, s := range n.subs {
			if !startsAnchored(s) {
				return false
			}
		}
		return true
	case kRepeat:
		return n.min > 0 && startsAnchored(n.subs[0])
	}
	return false
}
