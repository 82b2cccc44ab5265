package portal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text from outside fit to show: valid UTF-8, no control, direction or line separator characters, at most max
// characters. Markup is html/template's business.
func clean(s string, max int) string {
	if len(s) > 4*max {
		s = s[:4*max]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '\uFFFD'
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029', r == '\uFEFF':
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if utf8.RuneCountInString(s) > max {
		runes := []rune(s)
		s = string(runes[:max]) + "…"
	}
	return strings.TrimSpace(s)
}

// block is a paragraph of our texts, or something to copy that deserves lines of its own.
type block struct {
	Copy  string // to be copied as it stands; empty for a paragraph
	Spans []span
}

// span is a piece of a paragraph.
type span struct {
	Text string
	Code bool
}

// copyLength is the length from which what ends a paragraph in back quotes stands on lines of its own, to be copied.
const copyLength = 32

// rich splits a text of the catalogue: paragraphs at line ends, code between back quotes.
func rich(s string) []block {
	var out []block
	for _, line := range strings.Split(s, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var spans []span
		pieces := strings.Split(line, "`")
		if len(pieces)%2 == 0 { // the last back quote has no partner: it is text
			pieces = append(pieces[:len(pieces)-2], pieces[len(pieces)-2]+"`"+pieces[len(pieces)-1])
		}
		toCopy := ""
		for i, piece := range pieces {
			code := i%2 == 1
			last := i >= len(pieces)-2 && strings.Trim(pieces[len(pieces)-1], " .\u00a0") == ""
			switch {
			case piece == "" || last && toCopy != "":
			case code && last && utf8.RuneCountInString(piece) >= copyLength:
				toCopy = piece
			default:
				spans = append(spans, span{Text: piece, Code: code})
			}
		}
		if len(spans) > 0 {
			out = append(out, block{Spans: spans})
		}
		if toCopy != "" {
			out = append(out, block{Copy: toCopy})
		}
	}
	return out
}
