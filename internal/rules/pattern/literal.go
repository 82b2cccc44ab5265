package pattern

import (
	"cmp"
	"slices"
	"strings"
)

// Limits of literal extraction.
const (
	maxExact    = 48   // texts that a part of a pattern may stand for before it counts as open
	maxWords    = 2000 // words of an any-of set
	maxWordSize = 16   // bytes of a word that are looked for
	minWordBits = 9    // what the weakest word of a set must tell, in bits; weaker sets find too much
)

// words is a set of which every match contains at least one member, compared with ASCII letters in lower case.
type words struct {
	list   []string
	before int // greatest distance from the match's start to the word's start; unbounded if unknown
	bits   int // how seldom the weakest member occurs in mail
}

// insight is what literal extraction knows about a node.
type insight struct {
	exact []string // every text the node can match, in lower case; nil if too many
	best  words    // empty list: none known
	most  int      // width
}

// byteBits estimates how much a byte tells, in eighths of a bit, from the frequency of letters in European mail.
func byteBits(b byte) int {
	switch {
	case b == ' ':
		return 20
	case strings.IndexByte("etaoinsr", b) >= 0:
		return 32
	case strings.IndexByte("hldcumpfgy", b) >= 0:
		return 40
	case b >= 'a' && b <= 'z':
		return 50
	case b >= '0' && b <= '9', strings.IndexByte(".,-\n=/:", b) >= 0:
		return 40
	}
	return 56
}

func wordBits(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		n += byteBits(s[i])
	}
	return n / 8
}

// weigh makes an any-of set of texts; a set of none, or with an empty text, tells nothing.
func weigh(list []string, before int) words {
	if len(list) == 0 {
		return words{}
	}
	w := words{list: list, before: before, bits: 1 << 20}
	for _, s := range list {
		w.bits = min(w.bits, wordBits(s))
	}
	for n := len(list); n > 3; n /= 4 { // many words are found more often
		w.bits -= 2
	}
	return w
}

func better(a, b words) words {
	if len(b.list) > 0 && (len(a.list) == 0 || b.bits > a.bits) {
		return b
	}
	return a
}

// moved shifts a set that begins at most by bytes later.
func (w words) moved(by int) words {
	if w.before >= unbounded || by >= unbounded {
		w.before = unbounded
	} else {
		w.before += by
	}
	return w
}

// insightOf analyses a relaxed tree.
func insightOf(n *node) insight {
	switch n.kind {
	case kSet:
		return insight{exact: setTexts(n.set), most: 1}
	case kSeq:
		return insightSeq(n.subs)
	case kAlt:
		return insightAlt(n.subs)
	case kRepeat:
		return insightRepeat(n)
	}
	return insight{exact: []string{""}}
}

func setTexts(s *byteSet) []string {
	var out []string
	for b := range 256 {
		if !s.has(byte(b)) || b >= 'A' && b <= 'Z' && s.has(lower(byte(b))) {
			continue
		}
		if len(out) == 12 {
			return nil
		}
		out = append(out, string([]byte{lower(byte(b))}))
	}
	return out
}

func unique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// insightSeq multiplies exact neighbours into longer words and keeps the best set on the way.
func insightSeq(subs []*node) insight {
	cur, start, at := []string{""}, 0, 0 // texts of the present run, where it begins, where we are
	whole := true
	var best words
	for _, s := range subs {
		x := insightOf(s)
		best = better(best, x.best.moved(at))
		switch {
		case x.exact == nil || len(cur)*len(x.exact) > maxExact || len(cur[0])+len(x.exact[0]) > 4*maxWordSize:
			best = better(best, weigh(cur, start))
			whole = false
			cur, start = []string{""}, at
			if x.exact != nil {
				cur = x.exact
			} else {
				start = min(at+x.most, unbounded)
			}
		default:
			next := make([]string, 0, len(cur)*len(x.exact))
			for _, a := range cur {
				for _, b := range x.exact {
					next = append(next, a+b)
				}
			}
			if next = unique(next); len(next) > len(cur) {
				best = better(best, weigh(cur, start))
			}
			cur = next
		}
		at = min(at+x.most, unbounded)
	}
	best = better(best, weigh(cur, start))
	if !whole {
		cur = nil
	}
	return insight{exact: cur, best: best, most: at}
}

func insightAlt(subs []*node) insight {
	out := insight{exact: []string{}}
	any := words{bits: 1 << 20}
	for _, s := range subs {
		x := insightOf(s)
		out.most = max(out.most, x.most)
		if x.exact == nil || out.exact == nil || len(out.exact)+len(x.exact) > maxExact {
			out.exact = nil
		} else {
			out.exact = append(out.exact, x.exact...)
		}
		b := better(x.best, weigh(x.exact, 0))
		if len(b.list) == 0 || b.bits <= 0 || len(any.list)+len(b.list) > maxWords {
			any.bits = -1
		}
		if any.bits >= 0 {
			any.list = append(any.list, b.list...)
			any.before = max(any.before, b.before)
		}
	}
	if out.exact != nil {
		out.exact = unique(out.exact)
	}
	if any.bits >= 0 {
		out.best = weigh(unique(any.list), any.before)
	}
	return out
}

func insightRepeat(n *node) insight {
	x := insightOf(n.subs[0])
	_, most := width(n)
	out := insight{most: most}
	switch {
	case n.min == 0 && n.max == 1 && len(x.exact) > 0 && len(x.exact) < maxExact:
		out.exact = unique(append([]string{""}, x.exact...))
	case n.min == 0:
	case n.min == n.max && n.min <= 8:
		subs := make([]*node, n.min)
		for i := range subs {
			subs[i] = n.subs[0]
		}
		return insightSeq(subs)
	case n.min > 1:
		subs := make([]*node, min(n.min, 8))
		for i := range subs {
			subs[i] = n.subs[0]
		}
		seq := insightSeq(subs)
		out.best = better(seq.best, weigh(seq.exact, 0))
	default:
		out.best = better(x.best, weigh(x.exact, 0))
	}
	return out
}

// required returns the best any-of set of a relaxed tree, its words cut to their most telling part.
func required(n *node) words {
	x := insightOf(n)
	w := better(x.best, weigh(x.exact, 0))
	if len(w.list) == 0 || w.bits < minWordBits {
		return words{}
	}
	list := make([]string, 0, len(w.list))
	shift := 0
	for _, s := range w.list {
		from := 0
		if len(s) > maxWordSize {
			for i := 1; i+maxWordSize <= len(s); i++ {
				if wordBits(s[i:i+maxWordSize]) > wordBits(s[from:from+maxWordSize]) {
					from = i
				}
			}
			s = s[from : from+maxWordSize]
		}
		shift = max(shift, from)
		list = append(list, s)
	}
	w = w.moved(shift)
	// A word that contains another adds nothing, but its own occurrence may lie further from the start of the match.
	list = unique(list)
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	kept := list[:0]
	if len(list) > 300 {
		w.list = list
		return w
	}
	later := 0
	for _, s := range list {
		if i := slices.IndexFunc(kept, func(k string) bool { return strings.Contains(s, k) }); i >= 0 {
			later = max(later, strings.Index(s, kept[i]))
			continue
		}
		kept = append(kept, s)
	}
	w.list = kept
	return w.moved(later)
}
