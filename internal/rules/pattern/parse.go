package pattern

import (
	"fmt"
	"strings"
)

// Limits of the parser. The longest stock rule has 224 KB once its tags are replaced.
const (
	maxSource = 1 << 20 // bytes of a pattern
	maxDepth  = 250     // levels of nested groups
	maxGroups = 1000    // capturing groups
	maxRepeat = 65534   // Perl 5.30 and later: REG_INFTY - 1
)

// SyntaxError says why a pattern was refused.
type SyntaxError struct {
	At   int    // byte offset in the pattern, from 0
	What string // for people, in English
}

// Error says what is wrong and at which byte of the pattern.
func (e *SyntaxError) Error() string { return fmt.Sprintf("pattern: at byte %d: %s", e.At, e.What) }

// options are the flags in force at a place of the pattern.
type options struct{ i, m, s, x, xx, n bool }

type parser struct {
	in     string
	pos    int
	depth  int
	groups int      // opened so far
	total  int      // groups of the whole pattern; -1 while unknown
	names  []string // by group number
	quoted bool     // inside \Q..\E
	late   bool     // a two-digit reference needs the total to be decided
	refs   []*node  // backreferences, checked once all groups are known
	refAt  []int
	named  map[*node]string
	bytes  [2][256]*node // shared nodes of single bytes, plain and folded
	sets   map[byteSet]*node
}

// tree is a parsed pattern.
type tree struct {
	root  *node
	names []string // by group number; index 0 is the whole match
}

// parse reads a Perl pattern whose flags are a subset of imsxn; a, aa, u and p are accepted and change nothing.
func parse(src, flags string) (*tree, error) {
	if len(src) > maxSource {
		return nil, &SyntaxError{maxSource, fmt.Sprintf("pattern is longer than %d bytes", maxSource)}
	}
	var opt options
	for i := 0; i < len(flags); i++ {
		if !opt.set(flags[i], true) {
			return nil, &SyntaxError{0, fmt.Sprintf("unknown flag %q", flags[i])}
		}
	}
	total := -1
	for {
		p := &parser{in: src, total: total, names: []string{""}, named: map[*node]string{}, sets: map[byteSet]*node{}}
		o := opt
		root, err := p.alternatives(&o)
		if err != nil {
			return nil, err
		}
		if p.pos < len(p.in) {
			return nil, p.fail("unmatched )")
		}
		if p.late && total < 0 {
			total = p.groups
			continue
		}
		if err := p.resolve(); err != nil {
			return nil, err
		}
		return &tree{root: root, names: p.names}, nil
	}
}

// set turns one flag on or off and reports whether it is known.
func (o *options) set(f byte, on bool) bool {
	switch f {
	case 'i':
		o.i = on
	case 'm':
		o.m = on
	case 's':
		o.s = on
	case 'x':
		o.xx = on && o.x
		o.x = on
	case 'n':
		o.n = on
	case 'a', 'u', 'p':
	default:
		return false
	}
	return true
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{p.pos, fmt.Sprintf(format, args...)}
}

func (p *parser) more() bool { return p.pos < len(p.in) }

// peek returns the byte k places ahead, or -1 behind the end.
func (p *parser) peek(k int) int {
	if p.pos+k < len(p.in) {
		return int(p.in[p.pos+k])
	}
	return -1
}

func (p *parser) has(s string) bool { return strings.HasPrefix(p.in[p.pos:], s) }

// resolve gives named references their group numbers and refuses references to groups that do not exist.
func (p *parser) resolve() error {
	for i, n := range p.refs {
		if name, ok := p.named[n]; ok {
			for g, have := range p.names {
				if have == name {
					n.refs = append(n.refs, g)
				}
			}
			if len(n.refs) == 0 {
				return &SyntaxError{p.refAt[i], fmt.Sprintf("reference to a group %q that does not exist", name)}
			}
		}
		for _, g := range n.refs {
			if g > p.groups || g < 1 {
				return &SyntaxError{p.refAt[i], fmt.Sprintf("reference to group %d, but there are %d", g, p.groups)}
			}
		}
	}
	return nil
}

// alternatives reads up to the closing parenthesis or the end. Flags set inside hold for the later alternatives too.
func (p *parser) alternatives(o *options) (*node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, p.fail("groups are nested more than %d deep", maxDepth)
	}
	var alts []*node
	for {
		s, err := p.sequence(o)
		if err != nil {
			return nil, err
		}
		alts = append(alts, s)
		if p.peek(0) != '|' {
			break
		}
		p.pos++
	}
	if len(alts) == 1 {
		return alts[0], nil
	}
	return &node{kind: kAlt, subs: alts}, nil
}

// skipBlank passes over what has no meaning: comments, and under /x white space.
func (p *parser) skipBlank(o *options) error {
	for p.more() && !p.quoted {
		switch c := p.peek(0); {
		case p.has("(?#"):
			end := strings.IndexByte(p.in[p.pos:], ')')
			if end < 0 {
				return p.fail("comment (?# is not closed")
			}
			p.pos += end + 1
		case p.has(`\E`):
			p.pos += 2
		case p.has(`\Q`):
			p.pos += 2
			p.quoted = true
		case o.x && (c == ' ' || c >= '\t' && c <= '\r'):
			p.pos++
		case o.x && c == '#':
			for p.more() && p.peek(0) != '\n' {
				p.pos++
			}
		default:
			return nil
		}
	}
	return nil
}

func (p *parser) sequence(o *options) (*node, error) {
	var list []*node
	for {
		if err := p.skipBlank(o); err != nil {
			return nil, err
		}
		if p.quoted && p.has(`\E`) {
			p.quoted = false
			p.pos += 2
			continue
		}
		if !p.more() || !p.quoted && (p.peek(0) == '|' || p.peek(0) == ')') {
			break
		}
		a, err := p.atom(o)
		if err != nil {
			return nil, err
		}
		if a == nil { // flags only
			continue
		}
		if a, err = p.quantified(a, o); err != nil {
			return nil, err
		}
		if a.kind == kSeq {
			list = append(list, a.subs...)
		} else if a.kind != kEmpty {
			list = append(list, a)
		}
	}
	switch len(list) {
	case 0:
		return emptyNode, nil
	case 1:
		return list[0], nil
	}
	return &node{kind: kSeq, subs: list}, nil
}

// quantified reads the quantifier behind an atom, if there is one.
func (p *parser) quantified(a *node, o *options) (*node, error) {
	if p.quoted && !p.has(`\E`) {
		return a, nil
	}
	if p.quoted {
		p.quoted = false
		p.pos += 2
	}
	if err := p.skipBlank(o); err != nil {
		return nil, err
	}
	if p.quoted {
		return a, nil
	}
	least, most, ok, err := p.quantifier()
	if err != nil || !ok {
		return a, err
	}
	r := &node{kind: kRepeat, min: least, max: most, subs: []*node{a}}
	switch p.peek(0) {
	case '?':
		r.mode = lazy
		p.pos++
	case '+':
		r.mode = possessive
		p.pos++
	}
	if err := p.skipBlank(o); err != nil {
		return nil, err
	}
	if at := p.pos; !p.quoted {
		if _, _, again, _ := p.quantifier(); again {
			p.pos = at
			return nil, p.fail("nested quantifiers")
		}
	}
	if most >= 0 && least > most {
		return &node{kind: kSet, set: &byteSet{}}, nil // Perl warns and never matches
	}
	return r, nil
}

func (p *parser) quantifier() (least, most int, ok bool, err error) {
	switch p.peek(0) {
	case '*':
		least, most = 0, -1
	case '+':
		least, most = 1, -1
	case '?':
		least, most = 0, 1
	case '{':
		return p.braces()
	default:
		return 0, 0, false, nil
	}
	p.pos++
	return least, most, true, nil
}

// braces reads {n}, {n,}, {n,m} or {,m}; anything else is a literal brace and leaves the place unchanged.
func (p *parser) braces() (least, most int, ok bool, err error) {
	end := strings.IndexByte(p.in[p.pos:], '}')
	if end < 0 || end > 20 {
		return 0, 0, false, nil
	}
	lo, hi, ranged := strings.Cut(p.in[p.pos+1:p.pos+end], ",")
	a, okA := count(lo)
	b, okB := count(hi)
	switch {
	case !ranged:
		b, ok = a, okA && a >= 0
	default:
		ok = okA && okB && (a >= 0 || b >= 0)
		a = max(a, 0)
	}
	if !ok {
		return 0, 0, false, nil
	}
	if a > maxRepeat || b > maxRepeat {
		return 0, 0, false, p.fail("quantifier is greater than %d", maxRepeat)
	}
	p.pos += end + 1
	return a, b, true, nil
}

// count reads a number with blanks around it; -1 stands for none at all.
func count(s string) (int, bool) {
	if s = strings.Trim(s, " \t"); s == "" {
		return -1, true
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int(s[i]-'0'), maxRepeat+1)
	}
	return n, true
}

func (p *parser) atom(o *options) (*node, error) {
	c := p.in[p.pos]
	if p.quoted {
		p.pos++
		return p.byteNode(c, o), nil
	}
	switch c {
	case '(':
		return p.group(o)
	case '[':
		return p.class(o)
	case '\\':
		return p.escape(o)
	case '*', '+', '?':
		return nil, p.fail("quantifier %q follows nothing", c)
	case '{':
		if _, _, ok, err := p.braces(); ok || err != nil {
			return nil, p.fail("quantifier follows nothing")
		}
	case '.':
		p.pos++
		s := byteSet{}
		s.negate()
		if !o.s {
			s['\n'>>6] &^= 1 << ('\n' & 63)
		}
		return p.setNode(s), nil
	case '^':
		p.pos++
		return assertNode(pick(o.m, atLineStart, atTextStart)), nil
	case '$':
		p.pos++
		return assertNode(pick(o.m, atLineEnd, atFinalEnd)), nil
	}
	p.pos++
	return p.byteNode(c, o), nil
}

func pick(m bool, a, b assertion) assertion {
	if m {
		return a
	}
	return b
}

func assertNode(a assertion) *node { return &node{kind: kAssert, assert: a} }

// byteNode returns the shared node of one byte under the flags.
func (p *parser) byteNode(c byte, o *options) *node {
	f := 0
	if o.i && otherCase(c) != c {
		f = 1
	}
	if n := p.bytes[f][c]; n != nil {
		return n
	}
	s := byteSet{}
	s.add(c)
	if f == 1 {
		s.fold()
	}
	n := p.setNode(s)
	p.bytes[f][c] = n
	return n
}

// setNode returns the shared node of a set, so that equal sets are the same pointer.
func (p *parser) setNode(s byteSet) *node {
	n := p.sets[s]
	if n == nil {
		n = &node{kind: kSet, set: &s}
		p.sets[s] = n
	}
	return n
}

// group reads from an opening parenthesis; nil without error means that only flags were set.
func (p *parser) group(o *options) (*node, error) {
	at := p.pos
	p.pos++
	if p.peek(0) == '*' {
		return nil, p.fail("verbs such as (*SKIP) are not supported")
	}
	inner := *o
	n := &node{kind: kEmpty}
	switch {
	case p.peek(0) != '?':
		if !o.n {
			if err := p.open(n, ""); err != nil {
				return nil, err
			}
		}
	default:
		p.pos++
		flagsOnly, done, err := p.special(n, &inner)
		switch {
		case err != nil:
			return nil, err
		case flagsOnly:
			*o = inner
			return nil, nil
		case done:
			return n, nil
		}
	}
	body, err := p.alternatives(&inner)
	if err != nil {
		return nil, err
	}
	if p.peek(0) != ')' {
		p.pos = at
		return nil, p.fail("unmatched (")
	}
	p.pos++
	if n.kind == kEmpty {
		return body, nil
	}
	n.subs = []*node{body}
	if n.kind == kLook && n.behind {
		if _, most := width(body); most > 255 {
			p.pos = at
			return nil, p.fail("lookbehind may be longer than 255 bytes")
		}
	}
	return n, nil
}

// open makes n the next capturing group.
func (p *parser) open(n *node, name string) error {
	if p.groups++; p.groups > maxGroups {
		return p.fail("more than %d capturing groups", maxGroups)
	}
	n.kind, n.group = kCapture, p.groups
	p.names = append(p.names, name)
	return nil
}

// special reads what follows "(?" and shapes n; done means that the group is complete.
func (p *parser) special(n *node, o *options) (flagsOnly, done bool, err error) {
	look := func(skip int, behind, neg bool) {
		p.pos += skip
		n.kind, n.behind, n.neg = kLook, behind, neg
	}
	switch {
	case p.has(":"):
		p.pos++
	case p.has("="):
		look(1, false, false)
	case p.has("!"):
		look(1, false, true)
	case p.has("<="):
		look(2, true, false)
	case p.has("<!"):
		look(2, true, true)
	case p.has(">"):
		p.pos++
		n.kind = kAtomic
	case p.has("P="):
		p.pos += 2
		name, err := p.name(')')
		if err != nil {
			return false, false, err
		}
		p.reference(n, name, o)
		return false, true, nil
	case p.has("<"), p.has("'"), p.has("P<"):
		if p.peek(0) == 'P' {
			p.pos++
		}
		end := byte('>')
		if p.peek(0) == '\'' {
			end = '\''
		}
		p.pos++
		name, err := p.name(end)
		if err != nil {
			return false, false, err
		}
		return false, false, p.open(n, name)
	case p.has("|"):
		return false, false, p.fail("branch reset (?| is not supported")
	case p.has("("):
		return false, false, p.fail("conditional groups (?(..) are not supported")
	case p.has("{"), p.has("?{"):
		return false, false, p.fail("code in a pattern is not supported")
	case p.has("R"), p.has("&"), p.has("P>"), p.has("+"), p.peek(0) >= '0' && p.peek(0) <= '9', p.has("-") && p.peek(1) >= '0' && p.peek(1) <= '9':
		return false, false, p.fail("recursion is not supported")
	default:
		flagsOnly, err = p.flags(o)
		return flagsOnly, false, err
	}
	return false, false, nil
}

// flags reads "i-s:" or "i-s)" behind "(?".
func (p *parser) flags(o *options) (flagsOnly bool, err error) {
	on := true
	for p.more() {
		c := p.in[p.pos]
		p.pos++
		switch {
		case c == ')':
			return true, nil
		case c == ':':
			return false, nil
		case c == '^':
			*o = options{}
		case c == '-':
			on = false
		case !o.set(c, on):
			p.pos--
			return false, p.fail("(?%c is not supported", c)
		}
	}
	return false, p.fail("unmatched (")
}

// name reads a group's name up to the closing byte.
func (p *parser) name(end byte) (string, error) {
	start := p.pos
	for p.more() && isWord(p.in[p.pos]) {
		p.pos++
	}
	if p.peek(0) != int(end) || p.pos == start || p.in[start] >= '0' && p.in[start] <= '9' {
		return "", p.fail("a group's name is made of letters, digits and _, and closed by %q", end)
	}
	p.pos++
	return p.in[start : p.pos-1], nil
}

// reference makes n a backreference to the groups of that name.
func (p *parser) reference(n *node, name string, o *options) {
	n.kind, n.fold = kBackref, o.i
	p.named[n] = name
	p.refs = append(p.refs, n)
	p.refAt = append(p.refAt, p.pos)
}
