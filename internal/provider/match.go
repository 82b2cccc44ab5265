package provider

import (
	"fmt"
	"math/bits"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"postern/internal/tree"
)

// word is one word of a pattern.
type word struct {
	text  string
	parts []string // between the stars of a word that has some, such as "mcspam*" or "*mail*full*"; nil: the word is text
}

func (w word) fits(s string) bool {
	if w.parts == nil {
		return s == w.text
	}
	return fitsParts(w.parts, s)
}

// pattern is one alternative of a rule's text.
type pattern struct {
	source   string
	segments [][]word       // in this order, anything between them
	re       *regexp.Regexp // instead of segments
	literal  string         // must stand in the line for re to match; "" unknown
}

// star is a letter that stands for a star while a pattern is folded. It occurs in no language.
const star = "\u02ad"

// newPattern reads a pattern: words, "*" for any number of words, "word*", "*word", "wo*rd" for words that begin, end or go on so; "re:" a regular
// expression (RE2) on the folded line.
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
		inner := split(strings.ReplaceAll(f, "*", star), "", "").each
		if strings.Trim(strings.Join(inner, ""), star) == "" {
			return nil, fmt.Errorf("%q is no word; write letters or digits of the answer", tree.Clip(f))
		}
		for _, t := range inner { // "check.spamhaus.org" is three words
			w := word{text: t}
			if strings.Contains(t, star) {
				w.parts = strings.Split(t, star)
			}
			segment = append(segment, w)
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
	fail := fmt.Errorf("%q is no enhanced status; write one like 5.1.1, 5.7, x.7.1 or 5.7.606-649", tree.Clip(s))
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

// fitsCodes compares code and status. Where an answer has no code (a bounce often tells only the status), a rule that knows the text is not held back by
// its code, but one that knows nothing else is.
func (r *Rule) fitsCodes(q *question) bool {
	if len(r.Codes) > 0 {
		fits := q.class == 0 && len(r.text) > 0
		for _, c := range r.Codes {
			switch {
			case q.code != "":
				fits = fits || strings.HasPrefix(q.code, c)
			case len(c) == 1 || len(r.text) > 0:
				fits = fits || c[0] == q.class
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

// fitsIn reports whether a pattern stands in the answer's text.
func (p *pattern) fitsIn(q *question) bool {
	return p.fits(q.plain) || len(q.glued.each) > 0 && p.fits(q.glued)
}

// excluded reports whether the text has something that the rule is not about.
func (r *Rule) excluded(q *question) bool {
	for _, p := range r.not {
		if p.fitsIn(q) {
			return true
		}
	}
	return false
}

// chain is rules in their order, found by words of their texts.
type chain struct {
	ways   []way // in the order of the rules
	byWord map[string][]int32
	always []uint64 // ways that no word announces
}

// way is one way into a rule: an alternative of its text; nil when the rule asks for none.
type way struct {
	rule *Rule
	text *pattern
}

// newChain indexes each alternative by the rarest of its whole words.
func newChain(rules []*Rule) *chain {
	c := &chain{byWord: map[string][]int32{}}
	often := map[string]int{}
	each := func(p *pattern, do func(string)) {
		for _, segment := range p.segments {
			for _, w := range segment {
				if w.parts == nil {
					do(w.text)
				}
			}
		}
	}
	for _, r := range rules {
		for _, p := range r.text {
			c.ways = append(c.ways, way{r, p})
			each(p, func(s string) { often[s]++ })
		}
		if len(r.text) == 0 {
			c.ways = append(c.ways, way{r, nil})
		}
	}
	c.always = make([]uint64, (len(c.ways)+63)/64)
	for i, w := range c.ways {
		key := ""
		if w.text != nil {
			each(w.text, func(s string) {
				if key == "" || often[s] < often[key] || often[s] == often[key] && len(s) > len(key) {
					key = s
				}
			})
		}
		if key == "" {
			c.always[i/64] |= 1 << (i % 64)
		} else {
			c.byWord[key] = append(c.byWord[key], int32(i))
		}
	}
	return c
}

// first returns the first rule that is about the answer, nil when none is.
func (c *chain) first(q *question) *Rule {
	if c == nil || len(c.ways) == 0 {
		return nil
	}
	var space [32]uint64
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
			w := c.ways[n*64+bits.TrailingZeros64(set)]
			set &= set - 1
			if w.rule.fitsCodes(q) && w.rule.fitsPhase(q) && (w.text == nil || w.text.fitsIn(q)) && !w.rule.excluded(q) {
				return w.rule
			}
		}
	}
	return nil
}
