package world

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/locale"
)

// The colours of a terminal (ECMA-48 SGR).
const (
	plain  = ""
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "36"
)

// The width of the story, in characters: what is asked for within these bounds, usualColumns when nothing is.
const (
	leastColumns = 80
	usualColumns = 100
	mostColumns  = 140
)

// teller writes the story. It is safe for concurrent use.
type teller struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
	width int // characters of a line
	lang  string
	texts *locale.Catalog
	err   error  // the first failed write; what follows is not written
	stop  func() // called then: nobody reads on
}

// failed is the error of the first failed write.
func (t *teller) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func widthOf(asked int) int {
	if asked <= 0 {
		return usualColumns
	}
	return min(max(asked, leastColumns), mostColumns)
}

// text returns a sentence of the story. Arguments are pairs of name and value.
func (t *teller) text(key string, pairs ...any) string {
	return t.texts.Text(t.lang, "world."+key, locale.Args(pairs...))
}

func (t *teller) paint(style, s string) string {
	if !t.color || style == plain || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// line writes one line. What came from outside must have passed clean.
func (t *teller) line(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		if _, t.err = io.WriteString(t.out, strings.TrimRight(s, " ")+"\n"); t.err != nil && t.stop != nil {
			t.stop()
		}
	}
}

// heading begins a part of the story.
func (t *teller) heading(number int, title string) {
	t.line("")
	mark := "  "
	if number > 0 {
		mark = fmt.Sprintf("%d ", number)
	}
	t.line(t.paint(bold+";"+blue, mark+" "+title))
}

// say writes prose, wrapped.
func (t *teller) say(s string) { t.wrapped("   ", plain, s) }

// quote writes what a machine answered, or a mail holds, word by word.
func (t *teller) quote(s string) { t.wrapped("     │ ", faint, s) }

func (t *teller) wrapped(indent, style, s string) {
	for _, l := range wrap(clean(s), t.width-utf8.RuneCountInString(indent)) {
		t.line(indent + t.paint(style, l))
	}
}

// mark writes one checked statement.
func (t *teller) mark(ok bool, s string) {
	sign, style := "✔", green
	if !ok {
		sign, style = "✘", bold+";"+red
	}
	for i, l := range wrap(clean(s), t.width-6) {
		if i == 0 {
			t.line("   " + t.paint(style, sign) + " " + l)
		} else {
			t.line("     " + l)
		}
	}
}

// cell is one field of a table's row.
type cell struct {
	text  string
	width int // in characters; of no meaning for the last one
	style string
}

// row writes fields beside each other; the last one is cut at the right edge.
func (t *teller) row(cells ...cell) {
	head, used := t.beside(cells[:len(cells)-1])
	last := cells[len(cells)-1]
	t.line(head + t.paint(last.style, fit(clean(last.text), t.width-used)))
}

// full writes fields beside each other; the last one goes on below itself as long as it needs.
func (t *teller) full(cells ...cell) {
	head, used := t.beside(cells[:len(cells)-1])
	last := cells[len(cells)-1]
	for _, l := range wrap(clean(last.text), t.width-used) {
		t.line(head + t.paint(last.style, l))
		head = strings.Repeat(" ", used)
	}
}

// beside lays fields out to their widths and returns where the next one begins.
func (t *teller) beside(cells []cell) (line string, used int) {
	var b strings.Builder
	b.WriteString("     ")
	used = 5
	for _, c := range cells {
		text := fit(clean(c.text), c.width)
		b.WriteString(t.paint(c.style, text) + strings.Repeat(" ", max(0, c.width-utf8.RuneCountInString(text))+2))
		used += c.width + 2
	}
	return b.String(), used
}

// clock is a moment of the story.
func clock(at time.Time) string { return at.Local().Format("15:04:05.0") }

// short is a queue ID as people compare it: its beginning is the time and the same for all of a minute, so its end is shown.
func short(id string) string {
	if len(id) <= 8 {
		return id
	}
	return "…" + id[len(id)-8:]
}

func fit(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(0, width-1)]) + "…"
}

// wrap breaks a text into lines of at most width characters, at spaces where there are any.
func wrap(s string, width int) []string {
	var lines []string
	var current string
	// Not strings.Fields: it would also break at the no-break spaces of French punctuation.
	for _, word := range strings.Split(s, " ") {
		switch {
		case word == "":
		case current == "":
			current = word
		case utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) <= width:
			current += " " + word
		default:
			lines, current = append(lines, current), word
		}
	}
	return append(lines, current)
}

// clean keeps what came by mail or DNS from acting on the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\r':
			return -1
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
