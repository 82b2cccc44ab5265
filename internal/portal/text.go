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

// copyLength is the length from which a piece in back quotes stands on lines of its own.
const copyLength = 36

// rich splits a text of the catalogue: paragraphs at line ends, code between back quotes. Long code becomes a block to copy.
func rich(s string) []block {
	var out []block
	for _, line := range strings.Split(s, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		var spans []span
		flush := func() {
			if len(spans) > 0 && !(len(spans) == 1 && strings.Trim(spans[0].Text, " .,;:\u00a0") == "") {
				out = append(out, block{Spans: spans})
			}
			spans = nil
		}
		pieces := strings.Split(line, "`")
		for i, piece := range pieces {
			code := i%2 == 1 && i < len(pieces)-1
			switch {
			case piece == "":
			case code && utf8.RuneCountInString(piece) >= copyLength:
				flush()
				out = append(out, block{Copy: piece})
			default:
				if i%2 == 1 && !code {
					piece = "`" + piece
				}
				spans = append(spans, span{Text: piece, Code: code})
			}
		}
		flush()
	}
	return out
}
