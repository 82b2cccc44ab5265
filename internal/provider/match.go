package provider

import (
	"fmt"
	"math/bits"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// word is one word of a pattern. The zero word with gap stands for any number of words.
type word struct {
	text   string
	before bool // anything may stand before text in the word
	after  bool // anything may follow it in the word
	gap    bool
}

func (w word) fits(s string) bool {
	switch {
	case w.before && w.after:
		return strings.Contains(s, w.text)
	case w.before:
		return strings.HasSuffix(s, w.text)
	case w.after:
		return strings.HasPrefix(s, w.text)
	}
	return s == w.text
}

// pattern is one alternative of a rule's text.
type pattern struct {
	source   string
	segments [][]word       // in this order, anything between them
	re       *regexp.Regexp // instead of segments
	literal  string         // must stand in the line for re to match; "" unknown
}

// newPattern reads a pattern: words, "*" for any number of words, "word*" and "*word" for words that begin or end so; "re:" a regular expression
// (RE2) on the folded line.
func newPattern(s string) (*pattern, error) {
	p := &pattern{source: s}
	if expression, ok := strings.CutPrefix(s, "re:"); ok {
		expression = strings.TrimSpace(expression)
		re, err := regexp.Compile(expression)
		if err != nil {
			return nil, fmt.Errorf("the regular expression cannot be read: %w", err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("the regular expression matches everything")
		}
		if strings.ToLower(expression) != expression && !strings.ContainsAny(expression, `\`) {
			return nil, fmt.Errorf("texts are compared in lower case; write the regular expression in lower case")
		}
		if parsed, err := syntax.Parse(expression, syntax.Perl); err == nil {
			p.literal = needed(parsed.Simplify())
		}
		p.re = re
		return p, nil
	}
	var segment []word
	flush := func() {
		if len(segment) > 0 {
			p.segments = append(p.segments, segment)
			segment = nil
		}
	}
	for f := range strings.FieldsSeq(s) {
		if f == "*" {
			flush()
			continue
		}
		if f == "@" || f == "#" {
			segment = append(segment, word{text: f})
			continue
		}
		w := word{before: strings.HasPrefix(f, "*"), after: strings.HasSuffix(f, "*")}
		inner := split(strings.Trim(f, "*"), "", "").each
		if len(inner) == 0 || strings.Contains(strings.Trim(f, "*"), "*") {
			return nil, fmt.Errorf("%q is no word; a star stands alone, before a word or behind it", clip(f))
		}
		for i, t := range inner { // "check.spamhaus.org" is three words
			segment = append(segment, word{text: t, before: w.before && i == 0, after: w.after && i == len(inner)-1})
		}
	}
	flush()
	if len(p.segments) == 0 {
		return nil, fmt.Errorf("the text is empty or matches everything; write words of the answer")
	}
	return p, nil
}

// needed returns the longest text that every match contains.
func needed(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpCapture, syntax.OpPlus:
		return needed(re.Sub[0])
	case syntax.OpConcat:
		best := ""
		for _, sub := range re.Sub {
			if s := needed(sub); len(s) > len(best) {
				best = s
			}
		}
		return best
	}
	return ""
}

func (p *pattern) fits(w words) bool {
	if p.re != nil {
		return (p.literal == "" || strings.Contains(w.line, p.literal)) && p.re.MatchString(w.line)
	}
	at := 0
	for _, segment := range p.segments {
		found := false
		for ; at+len(segment) <= len(w.each); at++ {
			if fitsHere(segment, w.each[at:]) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
		at += len(segment)
	}
	return true
}

func fitsHere(segment []word, each []string) bool {
	for i, s := range segment {
		if !s.fits(each[i]) {
			return false
		}
	}
	return true
}

// status is an enhanced status code as a rule asks for it: "5.1.1", "x.7.1", "5.7", "5.7.606-649".
type status struct {
	class, subject int // -1: any
	from, to       int // detail; -1: any
}

func newStatus(s string) (status, error) {
	out := status{-1, -1, -1, -1}
	fail := fmt.Errorf("%q is no enhanced status; write one like 5.1.1, 5.7, x.7.1 or 5.7.606-649", clip(s))
	parts := strings.Split(s, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return out, fail
	}
	switch parts[0] {
	case "x":
	case "4", "5":
		out.class, _ = strconv.Atoi(parts[0])
	default:
		return out, fail
	}
	var err error
	if out.subject, err = small(parts[1]); err != nil {
		return out, fail
	}
	if len(parts) == 3 {
		low, high, isRange := strings.Cut(parts[2], "-")
		if out.from, err = small(low); err != nil {
			return out, fail
		}
		out.to = out.from
		if isRange {
			if out.to, err = small(high); err != nil || out.to < out.from {
				return out, fail
			}
		}
	}
	return out, nil
}

func small(s string) (int, error) {
	if len(s) > 3 || !digits(s) {
		return 0, strconv.ErrSyntax
	}
	return strconv.Atoi(s)
}

// numbers reads an enhanced status; ok is false when it is none.
func numbers(s string) (class, subject, detail int, ok bool) {
	a, rest, ok1 := strings.Cut(s, ".")
	b, c, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || !digits(a) || !digits(b) || !digits(c) || len(a) > 1 || len(b) > 3 || len(c) > 3 {
		return 0, 0, 0, false
	}
	class, _ = strconv.Atoi(a)
	subject, _ = strconv.Atoi(b)
	detail, _ = strconv.Atoi(c)
	return class, subject, detail, true
}

func (s status) fits(enhanced string) bool {
	class, subject, detail, ok := numbers(enhanced)
	return ok && (s.class < 0 || s.class == class) && s.subject == subject && (s.from < 0 || detail >= s.from && detail <= s.to)
}

// question is an answer made ready for rules.
type question struct {
	code, phase  string
	class        byte // '4' or '5'; 0 unknown
	enhanced     string
	plain, glued words
}

// fits reports whether a rule is about the answer.
func (r *Rule) fits(q *question) bool {
	return r.fitsCodes(q) && r.fitsPhase(q) && (len(r.text) == 0 || anyFits(r.text, q)) && !anyFits(r.not, q)
}

func (r *Rule) fitsCodes(q *question) bool {
	if len(r.Codes) > 0 {
		fits := q.class == 0
		for _, c := range r.Codes {
			if q.code == "" {
				fits = fits || c[0] == q.class
			} else {
				fits = fits || strings.HasPrefix(q.code, c)
			}
		}
		if !fits {
			return false
		}
	}
	if len(r.statuses) == 0 {
		return true
	}
	for _, s := range r.statuses {
		if s.fits(q.enhanced) {
			return true
		}
	}
	return false
}

func (r *Rule) fitsPhase(q *question) bool {
	if len(r.Phases) == 0 || q.phase == "" {
		return true
	}
	for _, p := range r.Phases {
		if p == q.phase {
			return true
		}
	}
	return false
}

func anyFits(patterns []*pattern, q *question) bool {
	for _, p := range patterns {
		if p.fits(q.plain) || len(q.glued.each) > 0 && p.fits(q.glued) {
			return true
		}
	}
	return false
}

// chain is rules in their order, found by words of their texts.
type chain struct {
	rules  []*Rule
	byWord map[string][]int32
	always []uint64 // rules that no word announces
}

// newChain indexes each alternative by the rarest of its whole words.
func newChain(rules []*Rule) *chain {
	c := &chain{rules: rules, byWord: map[string][]int32{}, always: make([]uint64, (len(rules)+63)/64)}
	often := map[string]int{}
	each := func(p *pattern, do func(string)) {
		for _, segment := range p.segments {
			for _, w := range segment {
				if !w.before && !w.after {
					do(w.text)
				}
			}
		}
	}
	for _, r := range rules {
		for _, p := range r.text {
			each(p, func(s string) { often[s]++ })
		}
	}
	for i, r := range rules {
		if len(r.text) == 0 {
			c.always[i/64] |= 1 << (i % 64)
		}
		for _, p := range r.text {
			key := ""
			each(p, func(s string) {
				if key == "" || often[s] < often[key] || often[s] == often[key] && len(s) > len(key) {
					key = s
				}
			})
			if key == "" {
				c.always[i/64] |= 1 << (i % 64)
			} else {
				c.byWord[key] = append(c.byWord[key], int32(i))
			}
		}
	}
	return c
}

// first returns the first rule that fits, nil when none does.
func (c *chain) first(q *question) *Rule {
	if c == nil || len(c.rules) == 0 {
		return nil
	}
	var space [16]uint64
	may := append(space[:0], c.always...)
	for _, set := range [2][]string{q.plain.each, q.glued.each} {
		for _, w := range set {
			for _, i := range c.byWord[w] {
				may[i/64] |= 1 << (i % 64)
			}
		}
	}
	for n, set := range may {
		for set != 0 {
			i := n*64 + bits.TrailingZeros64(set)
			set &= set - 1
			if c.rules[i].fits(q) {
				return c.rules[i]
			}
		}
	}
	return nil
}
