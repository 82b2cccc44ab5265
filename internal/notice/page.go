package notice

import (
	_ "embed"
	"html/template"
	"strings"
	"unicode"
	"unicode/utf8"
)

// page is one notice before it is written: the same blocks become plain text and HTML, so that both forms say the same.
type page struct {
	Lang   string
	Title  string
	Blocks []block
}

// block is one element of a page; what Kind does not use is empty.
type block struct {
	Kind  string // "lead", "para", "heading", "facts", "reasons", "lines", "button", "table", "small"
	Text  string
	Link  string // button: where it leads
	Facts []pair
	Items []reason
	Lines []string
	Head  []string
	Rows  []row // of three cells, the last of them a number
}

type pair struct{ Name, Value string }

type reason struct{ Title, Points, Fix string }

// Spans cuts Fix at its back quotes: what stands between them is to be copied as it is.
func (r reason) Spans() []span {
	var out []span
	parts := strings.Split(r.Fix, "`")
	for i, part := range parts {
		if part != "" {
			out = append(out, span{Text: part, Code: i%2 == 1 && i < len(parts)-1})
		}
	}
	return out
}

// span is a piece of text, or of code when Code.
type span struct {
	Text string
	Code bool
}

type row struct {
	Cells []string
	Link  string // for the first cell; empty: none
}

func (p *page) add(b block)                    { p.Blocks = append(p.Blocks, b) }
func (p *page) say(kind, text string)          { p.add(block{Kind: kind, Text: text}) }
func (p *page) facts(facts ...pair)            { p.add(block{Kind: "facts", Facts: facts}) }
func (p *page) lines(text string, l ...string) { p.add(block{Kind: "lines", Text: text, Lines: l}) }

// textWidth is where plain text is broken, in characters.
const textWidth = 76

// text writes the page as plain text.
func (p *page) text() string {
	var b strings.Builder
	colon := ": "
	if p.Lang == "fr" {
		colon = "\u00a0: "
	}
	b.WriteString(wrap(p.Title, "", "") + strings.Repeat("=", min(utf8.RuneCountInString(p.Title), textWidth)) + "\n")
	for _, x := range p.Blocks {
		b.WriteByte('\n')
		switch x.Kind {
		case "heading":
			b.WriteString(wrap(x.Text, "", "") + strings.Repeat("-", min(utf8.RuneCountInString(x.Text), textWidth)) + "\n")
		case "facts":
			for _, f := range x.Facts {
				b.WriteString(wrap(f.Name+colon+f.Value, "", "    "))
			}
		case "reasons":
			for i, r := range x.Items {
				if i > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(wrap(r.Title+" ("+r.Points+")", "* ", "  "))
				if r.Fix != "" {
					b.WriteString(wrap(r.Fix, "  ", "  "))
				}
			}
		case "lines":
			if x.Text != "" {
				b.WriteString(wrap(x.Text, "", ""))
			}
			for _, line := range x.Lines {
				b.WriteString(wrap(line, "    ", "      "))
			}
		case "button":
			b.WriteString(wrap(x.Text, "", "") + x.Link + "\n")
		case "table":
			for _, r := range x.Rows {
				for i, cell := range r.Cells {
					lead := "  "
					if i == 0 {
						lead = "* "
					}
					b.WriteString(wrap(x.Head[i]+colon+cell, lead, "    "))
				}
				if r.Link != "" {
					b.WriteString("  " + r.Link + "\n")
				}
			}
		default:
			b.WriteString(wrap(x.Text, "", ""))
		}
	}
	return b.String()
}

// wrap breaks text at spaces; a word longer than a line, such as an address, stays whole. Line ends in text are kept.
func wrap(text, first, next string) string { return fold(text, textWidth, first, next) }

func fold(text string, width int, first, next string) string {
	if text == "" {
		return "\n"
	}
	var b strings.Builder
	lead := first
	for line := range strings.SplitSeq(text, "\n") {
		used := 0
		b.WriteString(lead)
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' }) {
			n := utf8.RuneCountInString(word)
			if used > 0 && used+1+n > width-utf8.RuneCountInString(lead) {
				lead = next
				b.WriteString("\n" + lead)
				used = 0
			}
			if used > 0 {
				b.WriteByte(' ')
				used++
			}
			b.WriteString(word)
			used += n
		}
		b.WriteByte('\n')
		lead = next
	}
	return b.String()
}

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// html writes the page as an HTML document. The template escapes every value.
func (p *page) html() (string, error) {
	var b strings.Builder
	if err := pageTemplate.Execute(&b, p); err != nil {
		return "", err
	}
	return b.String(), nil
}

// tidy makes a value from outside fit to be shown and to stand in a header: one line of valid UTF-8 without control
// characters, without characters that turn the direction of the text or are invisible, at most limit characters long.
func tidy(s string, limit int) string {
	if len(s) > 8*limit { // no need to look at what will not be shown
		s = s[:8*limit]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\u200c' || r == '\u200d': // joiners: Persian, Indic scripts and emoji need them
			return r
		case r == '\u00a0' || r == '\u202f': // no-break spaces: French needs them
			return r
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), r >= 0xfff0 && r <= 0xfffc, r == '\u034f', r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0':
			// Format characters (bidirectional overrides, zero width, tags), private use, fillers.
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
	if utf8.RuneCountInString(s) > limit {
		s = strings.TrimSpace(string([]rune(s)[:limit-1])) + "…"
	}
	return s
}

// headerText makes a title fit to be a subject or a display name: tidy, with plain spaces, and without what a reader would take
// for an encoded word (RFC 2047).
func headerText(s string, limit int) string {
	s = strings.NewReplacer("\u00a0", " ", "\u202f", " ", "=?", "= ?").Replace(tidy(s, limit))
	return strings.Join(strings.Fields(s), " ")
}
