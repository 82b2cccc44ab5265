package pattern

// possess makes repetitions of a single set possessive where giving bytes back cannot help: what must follow begins with none of them.
// follow holds the bytes that can come next behind n; open is true when the pattern may end there, or something unknown may come.
func possess(n *node, follow byteSet, open bool) {
	switch n.kind {
	case kSeq:
		for i := len(n.subs) - 1; i >= 0; i-- {
			possess(n.subs[i], follow, open)
			var first byteSet
			if firstBytes(n.subs[i], &first) {
				first.union(&follow)
			} else {
				open = false
			}
			follow = first
		}
	case kAlt, kCapture:
		for _, s := range n.subs {
			possess(s, follow, open)
		}
	case kRepeat:
		body := n.subs[0]
		if body.kind == kSet {
			if !open && disjoint(body.set, &follow) {
				n.mode = possessive
			}
			return
		}
		firstBytes(body, &follow)
		possess(body, follow, open)
	case kAtomic, kLook:
		for _, s := range n.subs {
			possess(s, byteSet{}, true)
		}
	}
}

func disjoint(a, b *byteSet) bool {
	return a[0]&b[0]|a[1]&b[1]|a[2]&b[2]|a[3]&b[3] == 0
}
