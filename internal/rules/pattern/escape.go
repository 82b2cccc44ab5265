package pattern

import (
	"strconv"
	"strings"
)

// The classes behind one letter, as Perl has them under /aa on bytes.
func classSet(c byte) (s byteSet, ok bool) {
	switch c {
	case 'd', 'D':
		s.addRange('0', '9')
	case 'w', 'W':
		s.addRange('0', '9')
		s.addRange('a', 'z')
		s.addRange('A', 'Z')
		s.add('_')
	case 's', 'S':
		s.addRange('\t', '\r')
		s.add(' ')
	case 'h', 'H':
		s.add('\t')
		s.add(' ')
		s.add(0xA0)
	case 'v', 'V':
		s.addRange('\n', '\r')
		s.add(0x85)
	case 'N':
		s.add('\n')
		s.negate()
		return s, true
	default:
		return s, false
	}
	if c < 'a' {
		s.negate()
	}
	return s, true
}

// posixSet returns the class [:name:].
func posixSet(name string) (s byteSet, ok bool) {
	switch name {
	case "alpha":
		s.addRange('a', 'z')
		s.addRange('A', 'Z')
	case "digit":
		s.addRange('0', '9')
	case "alnum":
		s.addRange('0', '9')
		s.addRange('a', 'z')
		s.addRange('A', 'Z')
	case "upper":
		s.addRange('A', 'Z')
	case "lower":
		s.addRange('a', 'z')
	case "word":
		return classSet('w')
	case "space":
		return classSet('s')
	case "blank":
		s.add(' ')
		s.add('\t')
	case "cntrl":
		s.addRange(0, 31)
		s.add(127)
	case "print":
		s.addRange(32, 126)
	case "graph":
		s.addRange(33, 126)
	case "punct":
		s.addRange('!', '/')
		s.addRange(':', '@')
		s.addRange('[', '`')
		s.addRange('{', '~')
	case "xdigit":
		s.addRange('0', '9')
		s.addRange('a', 'f')
		s.addRange('A', 'F')
	case "ascii":
		s.addRange(0, 127)
	default:
		return s, false
	}
	return s, true
}

// escape reads one backslash outside a class.
func (p *parser) escape(o *options) (*node, error) {
	c := p.peek(1)
	if c < 0 {
		return nil, p.fail("backslash at the end")
	}
	assert := map[int]assertion{'b': onWordEdge, 'B': offWordEdge, 'A': atTextStart, 'z': atTextEnd, 'Z': atFinalEnd}
	if a, ok := assert[c]; ok {
		if (c == 'b' || c == 'B') && p.peek(2) == '{' {
			return nil, p.fail(`\b{..} is not supported`)
		}
		p.pos += 2
		return assertNode(a), nil
	}
	switch {
	case c == 'K':
		p.pos += 2
		return &node{kind: kKeep}, nil
	case c == 'R':
		p.pos += 2
		return p.lineBreak(), nil
	case c == 'g' || c == 'k':
		return p.namedReference(o)
	case c >= '1' && c <= '9':
		if n := p.numberedReference(o); n != nil {
			return n, nil
		}
	case c == 'N' && p.peek(2) == '{' && (p.peek(3) < '0' || p.peek(3) > '9') && p.peek(3) != ',':
		// a code point, read below; \N{3} is three times \N
	default:
		if s, ok := classSet(byte(c)); ok {
			p.pos += 2
			return p.setNode(s), nil
		}
	}
	v, err := p.escapedChar()
	if err != nil {
		return nil, err
	}
	return p.charNode(v, o), nil
}

// lineBreak is \R: CR LF taken as one, or any vertical space.
func (p *parser) lineBreak() *node {
	plain := &options{}
	pair := &node{kind: kSeq, subs: []*node{p.byteNode('\r', plain), p.byteNode('\n', plain)}}
	s, _ := classSet('v')
	return &node{kind: kAtomic, subs: []*node{{kind: kAlt, subs: []*node{pair, p.setNode(s)}}}}
}

// charNode matches a code point. Texts are bytes, so what lies above 255 matches only where case folding leads to a byte.
func (p *parser) charNode(v int, o *options) *node {
	if v > 255 && o.i {
		switch v {
		case 0x178:
			v = 0xFF
		case 0x39C, 0x3BC:
			v = 0xB5
		case 0x1E9E:
			v = 0xDF
		}
	}
	if v > 255 {
		return p.setNode(byteSet{})
	}
	return p.byteNode(byte(v), o)
}

// numberedReference reads \1; nil when the digits are an octal number instead.
func (p *parser) numberedReference(o *options) *node {
	end := p.pos + 1
	for end < len(p.in) && p.in[end] >= '0' && p.in[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(p.in[p.pos+1 : end])
	if err != nil {
		return nil
	}
	if n >= 10 { // Perl: a reference only if there are that many groups
		p.late = true
		if p.total >= 0 && n > p.total {
			return nil
		}
	}
	p.pos = end
	return p.groupReference(n, o)
}

func (p *parser) groupReference(group int, o *options) *node {
	n := &node{kind: kBackref, fold: o.i, refs: []int{group}}
	p.refs = append(p.refs, n)
	p.refAt = append(p.refAt, p.pos)
	return n
}

// namedReference reads \g1 \g{1} \g{-1} \g{name} \k<name> \k'name' \k{name}.
func (p *parser) namedReference(o *options) (*node, error) {
	at, g := p.pos, p.peek(1) == 'g'
	p.pos += 2
	closing := map[int]byte{'{': '}', '<': '>', '\'': '\''}[p.peek(0)]
	var what string
	switch {
	case closing != 0 && (!g || closing == '}'):
		end := strings.IndexByte(p.in[p.pos+1:], closing)
		if end < 0 {
			p.pos = at
			return nil, p.fail("reference is not closed")
		}
		what = strings.Trim(p.in[p.pos+1:p.pos+1+end], " ")
		p.pos += end + 2
	case g:
		start := p.pos
		if p.peek(0) == '-' {
			p.pos++
		}
		for p.peek(0) >= '0' && p.peek(0) <= '9' {
			p.pos++
		}
		what = p.in[start:p.pos]
	}
	n, err := strconv.Atoi(what)
	switch {
	case what == "":
		p.pos = at
		return nil, p.fail("reference to nothing")
	case err != nil || !g:
		ref := &node{}
		p.reference(ref, what, o)
		return ref, nil
	case n < 0:
		n += p.groups + 1
	}
	return p.groupReference(n, o), nil
}

// escapedChar reads a backslash that stands for one character, inside or outside a class.
func (p *parser) escapedChar() (int, error) {
	c := p.peek(1)
	if c < 0 {
		return 0, p.fail("backslash at the end")
	}
	simple := map[int]int{'n': '\n', 't': '\t', 'r': '\r', 'f': '\f', 'e': 0x1B, 'a': 7}
	if v, ok := simple[c]; ok {
		p.pos += 2
		return v, nil
	}
	switch {
	case c == 'x':
		return p.hex()
	case c == 'o' && p.peek(2) == '{':
		return p.braced(3, 8)
	case c == 'N':
		if p.has(`\N{U+`) {
			return p.braced(5, 16)
		}
		return 0, p.fail(`\N{..} with a name is not supported`)
	case c == 'c':
		v := p.peek(2)
		if v < 0x20 || v > 0x7E {
			return 0, p.fail(`\c without a character`)
		}
		if v >= 'a' && v <= 'z' {
			v -= 0x20
		}
		p.pos += 3
		return v ^ 0x40, nil
	case c >= '0' && c <= '7':
		v := 0
		p.pos++
		for i := 0; i < 3 && p.peek(0) >= '0' && p.peek(0) <= '7'; i++ {
			v = v*8 + p.peek(0) - '0'
			p.pos++
		}
		return v, nil
	case strings.IndexByte("pPXCGuUlLFo", byte(c)) >= 0:
		return 0, p.fail(`\%c is not supported`, c)
	}
	p.pos += 2
	return c, nil
}

// hex reads \x{..} or \x with up to two digits.
func (p *parser) hex() (int, error) {
	if p.peek(2) == '{' {
		return p.braced(3, 16)
	}
	p.pos += 2
	v := 0
	for i := 0; i < 2; i++ {
		d := strings.IndexByte("0123456789abcdef", lower(byte(max(p.peek(0), 0))))
		if d < 0 {
			break
		}
		v = v*16 + d
		p.pos++
	}
	return v, nil
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 0x20
	}
	return b
}

// braced reads a number up to the closing brace, skip bytes ahead.
func (p *parser) braced(skip, base int) (int, error) {
	end := strings.IndexByte(p.in[p.pos:], '}')
	if end < 0 {
		return 0, p.fail("number in braces is not closed")
	}
	digits := strings.ReplaceAll(strings.Trim(p.in[p.pos+skip:p.pos+end], " \t"), "_", "")
	v := int64(0)
	if digits != "" {
		var err error
		if v, err = strconv.ParseInt(digits, base, 32); err != nil || v < 0 {
			return 0, p.fail("bad number %q", digits)
		}
	}
	p.pos += end + 1
	return int(v), nil
}

// class reads a bracketed class.
func (p *parser) class(o *options) (*node, error) {
	at := p.pos
	p.pos++
	neg := p.peek(0) == '^'
	if neg {
		p.pos++
	}
	var set byteSet
	for first := true; ; first = false {
		if !p.more() {
			p.pos = at
			return nil, p.fail("unmatched [")
		}
		if p.peek(0) == ']' && !first {
			p.pos++
			break
		}
		if o.xx && (p.peek(0) == ' ' || p.peek(0) == '\t') {
			p.pos++
			continue
		}
		lo, isSet, err := p.classItem(&set)
		if err != nil {
			return nil, err
		}
		if isSet {
			continue
		}
		hi := lo
		if p.peek(0) == '-' && p.peek(1) != ']' && p.peek(1) >= 0 {
			back := p.pos
			p.pos++
			var member byteSet
			v, isSet, err := p.classItem(&member)
			switch {
			case err != nil:
				return nil, err
			case isSet: // [a-\d]: the hyphen is a literal
				p.pos = back
			case v < lo:
				p.pos = back
				return nil, p.fail("range in [] runs backwards")
			default:
				hi = v
			}
		}
		addChars(&set, lo, hi, o)
	}
	if o.i {
		set.fold()
	}
	if neg {
		set.negate()
	}
	return p.setNode(set), nil
}

// addChars puts the code points lo..hi into a class, as far as they are bytes or fold to one.
func addChars(set *byteSet, lo, hi int, o *options) {
	if o.i {
		for wide, b := range map[int]byte{0x178: 0xFF, 0x39C: 0xB5, 0x3BC: 0xB5, 0x1E9E: 0xDF} {
			if lo <= wide && wide <= hi {
				set.add(b)
			}
		}
	}
	if lo <= 255 {
		set.addRange(byte(lo), byte(min(hi, 255)))
	}
}

// classItem reads one member of a class: a character, or a class of its own that goes straight into set.
func (p *parser) classItem(set *byteSet) (char int, isSet bool, err error) {
	c := p.peek(0)
	if c == '[' && p.peek(1) == ':' {
		if end := strings.Index(p.in[p.pos+2:], ":]"); end >= 0 && !strings.ContainsAny(p.in[p.pos+2:p.pos+2+end], "[]\\") {
			name, neg := strings.CutPrefix(p.in[p.pos+2:p.pos+2+end], "^")
			s, ok := posixSet(name)
			if !ok {
				return 0, false, p.fail("class [:%s:] is unknown", name)
			}
			if neg {
				s.negate()
			}
			set.union(&s)
			p.pos += end + 4
			return 0, true, nil
		}
	}
	if c != '\\' {
		p.pos++
		return c, false, nil
	}
	next := p.peek(1)
	if next == 'b' {
		p.pos += 2
		return '\b', false, nil
	}
	if next == 'R' || next == 'N' && p.peek(2) != '{' {
		return 0, false, p.fail(`\%c has no place in a class`, next)
	}
	if s, ok := classSet(byte(max(next, 0))); ok && next != 'N' {
		set.union(&s)
		p.pos += 2
		return 0, true, nil
	}
	char, err = p.escapedChar()
	return char, false, err
}
