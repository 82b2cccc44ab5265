package mail

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// flow writes text the way it flows on a page: white space collapsed, line
// breaks where blocks begin and end, at most max bytes.
type flow struct {
	b     strings.Builder
	max   int
	space bool // a space is due before the next word
	lines int  // line ends at the end of b; counted up to 2 for breakLine
	due   int  // line ends wanted before the next text
	tab   bool // a cell border is due
	item  bool // the sign of a list item was just written: no break after it
}

func (f *flow) String() string { return strings.TrimRight(f.b.String(), " \t\n") }

func (f *flow) reset() {
	if f.b.Len() > 0 || f.space {
		*f = flow{max: f.max}
	}
}

// breakLine asks for at least n line ends before the next text.
func (f *flow) breakLine(n int) {
	if f.item {
		return
	}
	f.due = max(f.due, n)
	f.space, f.tab = false, false
	if n == 0 {
		f.newline()
	}
}

// newline is a br: each one counts.
func (f *flow) newline() {
	if f.b.Len() == 0 || f.lines >= 8 {
		return
	}
	f.put("\n")
	f.lines++
	f.space = false
}

// cell separates table cells.
func (f *flow) cell() { f.tab = true }

// mark writes the sign of a list item at the head of the next line.
func (f *flow) mark(s string) {
	f.settle()
	f.put(s)
	f.item = true
}

// settle writes the due line ends and space.
func (f *flow) settle() {
	if f.b.Len() > 0 {
		for f.lines < f.due {
			f.put("\n")
			f.lines++
		}
		switch {
		case f.lines > 0, f.item:
		case f.tab:
			f.put("\t")
		case f.space:
			f.put(" ")
		}
	}
	f.lines, f.due, f.space, f.tab, f.item = 0, 0, false, false, false
}

func (f *flow) put(s string) {
	if f.b.Len()+len(s) <= f.max {
		f.b.WriteString(s)
	}
}

// write adds text; pre keeps its white space.
func (f *flow) write(s string, pre bool) {
	if room := f.max - f.b.Len(); len(s) > room+64 && len(s) > 4096 {
		s = clip(s, max(room, 0)+64) // the rest cannot be kept
	}
	if pre {
		f.writePre(s)
		return
	}
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && s[i] > ' ' {
			i++
		}
		if i > start {
			f.settle()
			f.put(clip(s[start:i], max(f.max-f.b.Len(), 0)))
		}
		if i < len(s) { // white space or a control character
			f.space = f.space || f.lines == 0
			i++
		}
	}
}

func (f *flow) writePre(s string) {
	for len(s) > 0 {
		line, rest, more := strings.Cut(s, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line != "" {
			f.settle()
			f.put(clip(line, max(f.max-f.b.Len(), 0)))
		}
		if more {
			f.due = 0
			f.put("\n")
			f.lines = 1
		}
		s = rest
	}
}

// collapse makes one line of s: white space runs become one space.
func collapse(s string, most int) string {
	var b strings.Builder
	space := false
	for i, w := 0, 0; i < len(s); i += w {
		r, n := utf8.DecodeRuneInString(s[i:])
		w = n
		if unicode.IsSpace(r) || r < ' ' {
			space = true
			continue
		}
		if b.Len()+n+1 > most {
			break
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		b.WriteRune(r)
	}
	return b.String()
}
