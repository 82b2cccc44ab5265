package pattern

import "slices"

// finder looks for many words at once (Aho and Corasick 1975) over byte classes, ASCII letters without case.
type finder struct {
	class  [256]uint8
	stride uint32
	next   []uint32 // by state offset + class: the next state's offset; lookBit if words end there
	ends   [][]ending
}

// ending is a word that ends in a state: how long it is and which patterns want it.
type ending struct {
	size   int32
	owners []int32
}

// newFinder builds a finder from words and, for each, the patterns that want it. It is nil when there are no words.
func newFinder(owners map[string][]int32) *finder {
	if len(owners) == 0 {
		return nil
	}
	list := make([]string, 0, len(owners))
	for w := range owners {
		list = append(list, w)
	}
	slices.Sort(list)
	f := &finder{}
	f.classify(list)
	n := int(f.stride)
	trie := make([]uint32, n) // by state*n + class: the child, 0 for none
	ends := make([][]ending, 1)
	for _, w := range list {
		s := 0
		for i := 0; i < len(w); i++ {
			at := s*n + int(f.class[w[i]])
			if trie[at] == 0 {
				trie[at] = uint32(len(ends))
				ends = append(ends, nil)
				trie = append(trie, make([]uint32, n)...)
			}
			s = int(trie[at])
		}
		ends[s] = append(ends[s], ending{int32(len(w)), owners[w]})
	}
	f.link(trie, ends)
	return f
}

// classify gives every byte that words use a class of its own; all others share class 0.
func (f *finder) classify(list []string) {
	var used byteSet
	for _, w := range list {
		for i := 0; i < len(w); i++ {
			used.add(w[i])
		}
	}
	// At most 230 classes are needed, since words have no upper case letters.
	count := 1
	for b := range 256 {
		if used.has(byte(b)) {
			f.class[b] = uint8(count)
			count++
		}
	}
	for b := 'A'; b <= 'Z'; b++ {
		f.class[b] = f.class[b+0x20]
	}
	f.stride = uint32(count)
}

// link turns the trie into an automaton: a missing child becomes that of the longest other word end that fits.
func (f *finder) link(trie []uint32, ends [][]ending) {
	n := int(f.stride)
	fail := make([]uint32, len(ends))
	queue := make([]uint32, 0, len(ends))
	for c := range n {
		if t := trie[c]; t != 0 {
			queue = append(queue, t)
		}
	}
	for k := 0; k < len(queue); k++ {
		s := queue[k]
		ends[s] = append(ends[s], ends[fail[s]]...)
		for c := range n {
			at, other := int(s)*n+c, trie[int(fail[s])*n+c]
			if t := trie[at]; t != 0 {
				fail[t] = other
				queue = append(queue, t)
			} else {
				trie[at] = other
			}
		}
	}
	for i, t := range trie {
		e := t * f.stride
		if len(ends[t]) > 0 {
			e |= lookBit
		}
		trie[i] = e
	}
	f.next, f.ends = slices.Clip(trie), ends
}
