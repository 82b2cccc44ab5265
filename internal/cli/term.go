package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
	"golang.org/x/text/width"
)

// style is how a word looks on a terminal that shows colours.
type style string

const (
	plainText style = ""
	bold      style = "1"
	dim       style = "2"
	red       style = "31"
	green     style = "32"
	yellow    style = "33"
	cyan      style = "36"
)

// paint gives cleaned text its looks.
func (c *command) paint(s style, text string) string {
	if !c.color || s == plainText || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// terminal returns the file behind a stream when it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return nil, false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return f, err == nil
}

// look finds out what standard output can show.
func (c *command) look() {
	f, ok := terminal(c.Stdout)
	if !ok {
		return
	}
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 20 {
		c.columns = int(size.Col)
	}
	none, set := c.Env("NO_COLOR")
	kind, _ := c.Env("TERM")
	c.color = !(set && none != "") && kind != "dumb"
}

// runeWidth is how many columns of a terminal a character takes.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// cut shortens text to a number of columns.
func cut(s string, columns int) string {
	if columns <= 0 || textWidth(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n >= columns {
			return s[:i] + "…"
		}
	}
	return s
}

// wrap breaks text into lines of at most columns, each behind indent; columns 0 does not break.
func wrap(text, indent string, columns int) string {
	if columns == 0 {
		return indent + text + "\n"
	}
	var b strings.Builder
	line := ""
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }) { // not at no-break spaces
		if line != "" && textWidth(indent)+textWidth(line)+1+textWidth(word) > columns {
			b.WriteString(indent + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return b.String() + indent + line + "\n"
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
	right bool
}

// table aligns columns by what a terminal shows, not by bytes. Lines of notes stand between the rows.
type table struct {
	c     *command
	rows  [][]cell
	notes map[int][]string // below row i, already painted
}

func (c *command) table(heads ...string) *table {
	t := &table{c: c, notes: map[int][]string{}}
	row := make([]cell, len(heads))
	for i, h := range heads {
		row[i] = cell{text: h, style: dim}
	}
	t.rows = append(t.rows, row)
	return t
}

// row adds a row; each value is a cell or something to print, which is cleaned.
func (t *table) row(values ...any) {
	row := make([]cell, len(values))
	for i, v := range values {
		x, ok := v.(cell)
		if !ok {
			x = cell{text: fmt.Sprint(v)}
		}
		x.text = clean(x.text)
		row[i] = x
	}
	t.rows = append(t.rows, row)
}

// note puts a line below the last row.
func (t *table) note(s style, text string) {
	at := len(t.rows) - 1
	text = clean(text)
	if t.c.columns > 0 {
		text = cut(text, t.c.columns-4)
	}
	t.notes[at] = append(t.notes[at], "    "+t.c.paint(s, text))
}

// lines puts a text of any length below the last row, broken to the terminal's width.
func (t *table) lines(s style, text string) {
	at := len(t.rows) - 1
	for _, line := range strings.Split(strings.TrimSuffix(wrap(clean(text), "    ", t.c.columns), "\n"), "\n") {
		t.notes[at] = append(t.notes[at], t.c.paint(s, line))
	}
}

// most is the widest a column gets on a terminal, so that one long value does not push the others out of sight. A queue ID is never cut.
func (c *command) most() int { return min(44, max(26, c.columns/4)) }

func (t *table) print(w io.Writer) error {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i := range row {
			if t.c.columns > 0 && i < len(row)-1 {
				row[i].text = cut(row[i].text, t.c.most())
			}
			widths[i] = max(widths[i], textWidth(row[i].text))
		}
	}
	right := make([]bool, len(widths))
	for _, row := range t.rows[1:] {
		for i, x := range row {
			right[i] = right[i] || x.right
		}
	}
	var b strings.Builder
	for n, row := range t.rows {
		used := 0
		for i, x := range row {
			last := i == len(row)-1
			if last && t.c.columns > 0 {
				x.text = cut(x.text, max(10, t.c.columns-used))
			}
			pad := strings.Repeat(" ", max(0, widths[i]-textWidth(x.text)))
			switch {
			case right[i]:
				b.WriteString(pad + t.c.paint(x.style, x.text))
			case last:
				b.WriteString(t.c.paint(x.style, x.text))
			default:
				b.WriteString(t.c.paint(x.style, x.text) + pad)
			}
			if !last {
				b.WriteString("  ")
			}
			used += widths[i] + 2
		}
		b.WriteString("\n")
		for _, line := range t.notes[n] {
			b.WriteString(line + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pairs prints names and values below each other; values that are empty are left out.
func (c *command) pairs(w io.Writer, pairs ...any) error {
	widest := 0
	for i := 0; i < len(pairs); i += 2 {
		widest = max(widest, textWidth(pairs[i].(string)))
	}
	for i := 0; i < len(pairs); i += 2 {
		x, ok := pairs[i+1].(cell)
		if !ok {
			x = cell{text: fmt.Sprint(pairs[i+1])}
		}
		if x.text == "" {
			continue
		}
		name := pairs[i].(string)
		pad := strings.Repeat(" ", widest-textWidth(name))
		if _, err := fmt.Fprintf(w, "%s%s  %s\n", c.paint(dim, name), pad, c.paint(x.style, clean(x.text))); err != nil {
			return err
		}
	}
	return nil
}

// short is a length of time in one short word: "45 s", "12 min", "3 h", "2 days".
func short(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// relative is how far a moment is from now: "in 4 min", "3 h ago", "now".
func relative(t, now time.Time) string {
	switch d := t.Sub(now); {
	case t.IsZero():
		return "-"
	case d > -time.Second && d < time.Second:
		return "now"
	case d > 0:
		return "in " + short(d.Round(time.Second))
	default:
		return short(d) + " ago"
	}
}

// clock writes a moment in this machine's time.
func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// both is a moment with how far it is.
func both(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return clock(t) + " (" + relative(t, now) + ")"
}

// size writes a number of bytes.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if f /= 1000; f < 999.5 {
			if f < 10 {
				return fmt.Sprintf("%.1f %s", f, unit)
			}
			return fmt.Sprintf("%.0f %s", f, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", f/1000)
}

// points writes a number of points: one decimal place, more for those that would read as nothing.
func points(p float64) string { return fmt.Sprintf("%.*f", decimals(p), p) }

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// decimals is how many places a number of points needs to be seen.
func decimals(p float64) int {
	if p != 0 && math.Abs(p) < 0.05 {
		return 3
	}
	return 1
}
