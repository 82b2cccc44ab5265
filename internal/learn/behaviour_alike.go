package learn

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of likeness.
const (
	alikeText    = 3 << 10        // bytes of text that are looked at
	alikeWords   = 25             // words below which a text is too short to be told from others
	alikeBits    = 7              // differing bits, of 64, of texts that are alike
	alikeFor     = 72 * time.Hour // a text that nobody sends any more is forgotten
	alikeKnown   = 72 * time.Hour // a text that is sent for longer is a product's own (shops, forums), unless it fired
	alikeMost    = 16384          // texts kept
	alikeSenders = 64             // identities kept of one text
)

// spreads is spread of every byte.
type spreads [256]uint64

func newSpreads() *spreads {
	var s spreads
	for i := range s {
		// Bit k of i becomes byte k.
		for k := range 8 {
			s[i] |= uint64(i>>k&1) << (8 * k)
		}
	}
	return &s
}

// simhash is Charikar's fingerprint of weighted features: texts that share most features differ in few bits.
type simhash struct {
	table *spreads
	lanes [8]uint64 // eight counters of eight bits each
	sums  [64]int32
	n     int
	run   int // features in lanes
}

func (s *simhash) add(feature uint64) {
	for i := range s.lanes {
		s.lanes[i] += s.table[byte(feature>>(8*i))]
	}
	s.n++
	if s.run++; s.run == 255 {
		s.flush()
	}
}

func (s *simhash) flush() {
	for i, lane := range s.lanes {
		for k := range 8 {
			s.sums[8*i+k] += int32(lane >> (8 * k) & 0xff)
		}
		s.lanes[i] = 0
	}
	s.run = 0
}

func (s *simhash) value() uint64 {
	s.flush()
	var out uint64
	for i, sum := range s.sums {
		if 2*int(sum) > s.n {
			out |= 1 << i
		}
	}
	return out
}

// once is a set of features, each of which counts once. It is full after 3/4 of its room: what comes later does not count.
type once struct {
	slots [2048]uint64
	n     int
}

func (o *once) add(f uint64) (fresh bool) {
	if f == 0 || o.n >= len(o.slots)*3/4 {
		return false
	}
	i := f % uint64(len(o.slots))
	for ; o.slots[i] != 0; i = (i + 1) % uint64(len(o.slots)) {
		if o.slots[i] == f {
			return false
		}
	}
	o.slots[i] = f
	o.n++
	return true
}

// mix is a good hash of one word (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// textHash is the fingerprint of a text without what differs from one copy to the next: numbers, addresses, links, and words that begin with a
// capital, since names do. ok is false when too little is left.
func textHash(table *spreads, text string) (fingerprint uint64, ok bool) {
	text = clip(text, alikeText)
	s := simhash{table: table}
	var seen once
	var before uint64
	words := 0
	for len(text) > 0 {
		word, rest := nextWord(text)
		text = rest
		h, keep := wordHash(word)
		if !keep {
			continue
		}
		words++
		if seen.add(h) {
			s.add(h)
		}
		if f := mix(before + 3*h); before != 0 && seen.add(f) {
			s.add(f)
		}
		before = h
	}
	return s.value(), words >= alikeWords
}

// nextWord cuts off the next run of characters without spaces.
func nextWord(s string) (word, rest string) {
	i := 0
	for i < len(s) && s[i] <= ' ' {
		i++
	}
	k := i
	for k < len(s) && s[k] > ' ' {
		k++
	}
	return s[i:k], s[k:]
}

// wordHash hashes the letters of a word in lower case; keep is false for what is left out.
func wordHash(w string) (h uint64, keep bool) {
	const prime = 1099511628211
	h = 14695981039346656037
	letters, upper, first := 0, 0, false
	for i := 0; i < len(w); {
		c := w[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case 'a' <= c && c <= 'z':
			case 'A' <= c && c <= 'Z':
				if letters == 0 {
					first = true
				}
				upper++
				c += 'a' - 'A'
			case '0' <= c && c <= '9', c == '@', c == '/', c == '_', c == '=':
				return 0, false
			default:
				continue
			}
			letters++
			h = (h ^ uint64(c)) * prime
			continue
		}
		r, size := utf8.DecodeRuneInString(w[i:])
		i += size
		if !unicode.IsLetter(r) {
			continue
		}
		if l := unicode.ToLower(r); l != r {
			if letters == 0 {
				first = true
			}
			upper++
			r = l
		}
		letters++
		h = (h ^ uint64(r)) * prime
	}
	if letters < 2 || first && upper < letters {
		return 0, false
	}
	return mix(h), true
}

// formHash is the fingerprint of an HTML source's form: the order of its elements without text and addresses, each kind of sequence counted
// once, so that a letter with three articles has the form of one with five.
func formHash(table *spreads, source []byte) (fingerprint uint64, ok bool) {
	source = source[:min(len(source), 16<<10)]
	s := simhash{table: table}
	var seen once
	var last [4]uint64
	tags := 0
	for i := 0; i < len(source); i++ {
		if source[i] != '<' {
			continue
		}
		k := i + 1
		h := uint64(14695981039346656037)
		for k < len(source) && (source[k]|0x20 >= 'a' && source[k]|0x20 <= 'z' || source[k] >= '0' && source[k] <= '9' || source[k] == '/') {
			h = (h ^ uint64(source[k]|0x20)) * 1099511628211
			k++
		}
		if k == i+1 {
			continue
		}
		i = k - 1
		tags++
		last[0], last[1], last[2], last[3] = last[1], last[2], last[3], mix(h)
		f := mix(last[0] + 3*last[1] + 5*last[2] + 7*last[3])
		if seen.add(f) {
			s.add(f)
		}
	}
	return s.value(), tags >= 20
}

// alike says whether two fingerprints are of nearly the same thing.
func alike(a, b uint64, most int) bool { return bits.OnesCount64(a^b) <= most }

// cluster is a text that was sent in nearly the same words.
type cluster struct {
	hash        uint64
	first, last uint32 // ten minutes
	messages    uint32 // with strangers among their recipients
	strangers   uint32 // recipients never written to before
	fired       bool   // it was held against somebody
	dirty       bool
	senders     []alikeSender // who sent it to strangers
}

// alikeSender is an identity that sends a text.
type alikeSender struct {
	id        uint32
	strangers uint32
}

// clusters is the memory of texts: bounded, found by any of the eight bytes of a fingerprint, one of which is the same in texts that differ in
// seven bits or fewer.
type clusters struct {
	all   []cluster // ring: the oldest entry gives way
	next  int
	index [8][256][]uint16
	since time.Time // when this memory began: before it is alikeKnown old, nothing can be told to be a product's own text
}

// find returns the cluster of a fingerprint, -1 if there is none.
func (c *clusters) find(h uint64, now uint32) int {
	best, distance := -1, alikeBits+1
	for b := range c.index {
		for _, i := range c.index[b][byte(h>>(8*b))] {
			x := &c.all[i]
			if d := bits.OnesCount64(x.hash ^ h); d < distance && x.last+uint32(alikeFor/tenMinutes) > now {
				best, distance = int(i), d
			}
		}
	}
	return best
}

// put makes a cluster and returns where it is.
func (c *clusters) put(x cluster) int {
	i := len(c.all)
	if i < alikeMost {
		c.all = append(c.all, x)
	} else {
		// The next that is not in use by many: the ring goes over those once.
		for range 64 {
			i = c.next
			c.next = (c.next + 1) % alikeMost
			if old := &c.all[i]; len(old.senders) < 2 || old.last+uint32(alikeFor/tenMinutes) <= x.first {
				break
			}
		}
		for b := range c.index {
			list := &c.index[b][byte(c.all[i].hash>>(8*b))]
			if k := slices.Index(*list, uint16(i)); k >= 0 {
				*list = slices.Delete(*list, k, k+1)
			}
		}
		c.all[i] = x
	}
	for b := range c.index {
		list := &c.index[b][byte(x.hash>>(8*b))]
		*list = append(*list, uint16(i))
	}
	return i
}

// Likeness is how many others send nearly the same text, to people that they never wrote to.
type Likeness struct {
	Identities int // others, of any customer, counted up to 64
	Messages   int // of all, this one included
	Recipients int // never written to before by their customers
	Since      time.Time
}

// look counts a message with strangers among its recipients, so many of whom count now, and says what is known of its text. A text that
// was sent for long is a product's own words, and tells nothing.
func (c *clusters) look(h uint64, id uint32, strangers, counting int, at time.Time, count bool) (l Likeness) {
	now := slotOf(at, tenMinutes)
	i := c.find(h, now)
	if i < 0 {
		if !count || strangers == 0 {
			return l
		}
		i = c.put(cluster{hash: h, first: now, last: now})
	}
	x := &c.all[i]
	if count {
		x.last = max(x.last, now)
		x.dirty = true
	}
	k := slices.IndexFunc(x.senders, func(s alikeSender) bool { return s.id == id })
	if count && strangers > 0 {
		grow(&x.messages, 1)
		grow(&x.strangers, uint32(counting))
		if k < 0 && len(x.senders) < alikeSenders {
			x.senders = append(x.senders, alikeSender{id: id})
			k = len(x.senders) - 1
		}
		if k >= 0 {
			grow(&x.senders[k].strangers, uint32(counting))
		}
	}
	young := x.first+uint32(alikeKnown/tenMinutes) > now
	if strangers == 0 || !x.fired && (!young || at.Sub(c.since) < alikeKnown) {
		return l
	}
	l.Identities = len(x.senders)
	if k >= 0 {
		l.Identities--
	}
	l.Messages, l.Recipients = int(x.messages), int(x.strangers)
	l.Since = time.Unix(int64(x.first)*int64(tenMinutes/time.Second), 0).UTC()
	return l
}

// encodeSenders writes who sends a text.
func (x *cluster) encodeSenders() []byte {
	var b []byte
	for _, s := range x.senders {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.id)), uint64(s.strangers))
	}
	return b
}

func (x *cluster) decodeSenders(b []byte) {
	r := reader{b: b}
	for len(r.b) > 0 && len(x.senders) < alikeSenders {
		s := alikeSender{id: uint32(r.number(1<<32 - 1)), strangers: uint32(r.number(1<<32 - 1))}
		if !r.bad && !slices.ContainsFunc(x.senders, func(o alikeSender) bool { return o.id == s.id }) {
			x.senders = append(x.senders, s)
		}
	}
}
