package locale

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// verb is a place of a sentence that takes a value, as package fmt writes it: %s, %q, %d, %v, %t, %[2]s, %.1f. %w is none: no sentence for people wraps.
var verb = regexp.MustCompile(`%(?:\[(\d+)\])?[+#]?(?:\.\d+)?([sqdvtfgTU])`)

// phrase is a sentence with places for values, in both languages.
type phrase struct {
	literals []string // of the English, around its places: one more than these
	kinds    []byte   // of the English's places, the letters of their verbs
	french   string
	letters  int // of the literals
}

// leastLetters of the literals are what a text is recognised by. A phrase with fewer is filled in and never recognised.
const leastLetters = 5

// newPhrase reads a pair. ok is false for sentences without places. The French must have each place of the English, with the same letter.
func newPhrase(en, fr string) (p phrase, ok bool, err error) {
	places := verb.FindAllStringSubmatchIndex(en, -1)
	if len(places) == 0 {
		return p, false, nil
	}
	at := 0
	for _, m := range places {
		if m[2] >= 0 {
			return p, true, fmt.Errorf("%q: places of the English have no numbers", en)
		}
		p.literals = append(p.literals, unescape(en[at:m[0]]))
		p.kinds = append(p.kinds, en[m[4]])
		at = m[1]
	}
	p.literals = append(p.literals, unescape(en[at:]))
	for _, l := range p.literals {
		p.letters += strings.Count(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) {
				return 'x'
			}
			return ' '
		}, l), "x")
	}
	p.french = fr
	filled := make([]bool, len(p.kinds))
	next := 0
	for _, m := range verb.FindAllStringSubmatch(fr, -1) {
		n := next
		if m[1] != "" {
			if _, err := fmt.Sscan(m[1], &n); err != nil {
				return p, true, fmt.Errorf("%q: %w", fr, err)
			}
			n--
		}
		if n < 0 || n >= len(p.kinds) || p.kinds[n] != m[2][0] {
			return p, true, fmt.Errorf("%q: the French has other places than the English", en)
		}
		filled[n], next = true, n+1
	}
	if slices.Contains(filled, false) {
		return p, true, fmt.Errorf("%q: the French lacks a place of the English", en)
	}
	return p, true, nil
}

func unescape(s string) string { return strings.ReplaceAll(s, "%%", "%") }

// match returns the values with which the English sentence is the text. It takes linear time: each literal is looked for once, leftmost.
func (p *phrase) match(text string) (values []string, ok bool) {
	last := len(p.literals) - 1
	rest, ok := strings.CutPrefix(text, p.literals[0])
	if !ok {
		return nil, false
	}
	for i := 1; i <= last; i++ {
		var value string
		if i == last {
			if value, ok = strings.CutSuffix(rest, p.literals[i]); !ok {
				return nil, false
			}
		} else {
			if p.literals[i] == "" {
				return nil, false
			}
			if value, rest, ok = strings.Cut(rest, p.literals[i]); !ok {
				return nil, false
			}
		}
		if !fitsKind(p.kinds[i-1], value) {
			return nil, false
		}
		values = append(values, value)
	}
	return values, true
}

// fitsKind reports whether a verb writes such a value.
func fitsKind(kind byte, value string) bool {
	switch kind {
	case 'd':
		return value != "" && strings.Trim(value, "-0123456789") == ""
	case 'q':
		return value != "" && strings.ContainsRune("\"`'", rune(value[0]))
	}
	return true
}

// fill puts values into the French sentence, as they are.
func (p *phrase) fill(values []string) string {
	next := 0
	return unescape(verb.ReplaceAllStringFunc(p.french, func(place string) string {
		n := next
		if m := verb.FindStringSubmatch(place); m[1] != "" {
			if _, err := fmt.Sscan(m[1], &n); err != nil {
				return "?"
			}
			n--
		}
		next = n + 1
		return values[n]
	}))
}

// typesetPhrase is Typeset for sentences with places: the sign of a place is no per cent sign, and a place stands for a number before a unit.
func typesetPhrase(s string) string {
	if !verb.MatchString(s) {
		return Typeset(s)
	}
	var places []string
	s = Typeset(verb.ReplaceAllStringFunc(s, func(place string) string {
		places = append(places, place)
		return fmt.Sprintf("{{%d}}", len(places)-1)
	}))
	for i, place := range places {
		s = strings.Replace(s, fmt.Sprintf("{{%d}}", i), place, 1)
	}
	return s
}

// mostNested bounds how deep sentences within sentences are told.
const mostNested = 4

// Told returns a text in a language: the French of a sentence of the pairs, or of one with places that it was made from, with its values; what is told
// within a value is told in French, too. ok is false where no pair says it: the text is then as it was.
func (t *Twin) Told(lang, english string) (text string, ok bool) {
	if lang != French {
		return english, true
	}
	return t.told(english, 0)
}

func (t *Twin) told(english string, depth int) (string, bool) {
	if fr, ok := t.french[english]; ok && !t.places[english] {
		return fr, true
	}
	if depth == mostNested {
		return english, false
	}
	var best *phrase
	var values []string
	for i := range t.phrases {
		p := &t.phrases[i]
		if p.letters < leastLetters || best != nil && best.letters >= p.letters {
			continue
		}
		if v, ok := p.match(english); ok {
			best, values = p, v
		}
	}
	if best == nil {
		return english, false
	}
	for i, v := range values {
		if best.kinds[i] == 's' || best.kinds[i] == 'v' {
			values[i], _ = t.told(v, depth+1)
		}
	}
	return best.fill(values), true
}
