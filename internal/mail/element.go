package mail

import (
	"golang.org/x/net/html/atom"
)

// maxDepthHTML bounds the open elements; deeper ones are shown but styles on
// them do not count.
const maxDepthHTML = 512

// element is an open element.
type element struct {
	tag  atom.Atom
	name string // only when tag is 0
	look look
	list int // of ol: number of the next item; -1 of ul; 0 else
}

// end handles an end tag.
func (r *renderer) end(name []byte) {
	tag := atom.Lookup(name)
	switch tag {
	case atom.Br: // </br> is shown as <br>
		r.text.newline()
		return
	case atom.P:
		if r.counts[tag] == 0 {
			r.text.breakLine(2)
			return
		}
	}
	if tag == 0 && r.others[string(name)] == 0 || tag != 0 && r.counts[tag] == 0 {
		return
	}
	for i := len(r.stack) - 1; i >= 0; i-- {
		e := &r.stack[i]
		if e.tag == tag && (tag != 0 || e.name == string(name)) {
			for len(r.stack) > i {
				r.pop()
			}
			return
		}
		if protects(e.tag, tag) {
			return
		}
	}
}

// protects reports whether an open element keeps an end tag inside it from
// closing what is outside (the scopes of HTML Living Standard 13.2.4.2, made
// simple): cells against all but the tags of their table, blocks against inline
// elements that are not mere formatting.
func protects(open, end atom.Atom) bool {
	switch open {
	case atom.Td, atom.Th, atom.Table:
		switch end {
		case atom.Table, atom.Tr, atom.Td, atom.Th, atom.Tbody, atom.Thead, atom.Tfoot, atom.Body, atom.Html:
			return false
		}
		return true
	}
	switch end {
	case atom.A, atom.B, atom.Big, atom.Code, atom.Em, atom.Font, atom.I, atom.Nobr, atom.S, atom.Small, atom.Strike,
		atom.Strong, atom.Tt, atom.U, atom.Head, atom.Td, atom.Th:
		return false
	}
	if _, block := blockGap(end); block {
		return false
	}
	_, block := blockGap(open)
	return block
}

// pop closes the innermost element.
func (r *renderer) pop() {
	e := r.stack[len(r.stack)-1]
	r.stack = r.stack[:len(r.stack)-1]
	r.counts[e.tag]--
	switch e.tag {
	case 0:
		r.others[e.name]--
	case atom.A:
		r.closeLink()
	case atom.Title:
		r.titled = true
	}
	if gap, ok := blockGap(e.tag); ok {
		r.text.breakLine(gap)
		r.hidden.breakLine(1)
	}
}

// implied closes what the start of tag closes without an end tag (HTML Living
// Standard 13.1.2.4). It looks at a bounded number of elements.
func (r *renderer) implied(tag atom.Atom) {
	var closes, within [3]atom.Atom
	switch tag {
	case atom.Li:
		closes, within = [3]atom.Atom{atom.Li}, [3]atom.Atom{atom.Ul, atom.Ol, atom.Menu}
	case atom.Td, atom.Th:
		closes, within = [3]atom.Atom{atom.Td, atom.Th}, [3]atom.Atom{atom.Table, atom.Tr}
	case atom.Tr, atom.Tbody, atom.Thead, atom.Tfoot:
		closes, within = [3]atom.Atom{atom.Tr}, [3]atom.Atom{atom.Table}
	case atom.Dt, atom.Dd:
		closes, within = [3]atom.Atom{atom.Dt, atom.Dd}, [3]atom.Atom{atom.Dl}
	case atom.Option:
		closes, within = [3]atom.Atom{atom.Option}, [3]atom.Atom{atom.Select}
	case atom.Body:
		closes, within = [3]atom.Atom{atom.Head}, [3]atom.Atom{atom.Body}
	default:
		if _, block := blockGap(tag); !block || tag == atom.Br {
			return
		}
		closes, within = [3]atom.Atom{atom.P}, [3]atom.Atom{atom.Td, atom.Table, atom.Li}
	}
	if r.counts[closes[0]] == 0 && (closes[1] == 0 || r.counts[closes[1]] == 0) {
		return
	}
	for i, n := len(r.stack)-1, 0; i >= 0 && n < 24; i, n = i-1, n+1 {
		switch t := r.stack[i].tag; {
		case t == 0:
		case t == closes[0] || t == closes[1]:
			for len(r.stack) > i {
				r.pop()
			}
			return
		case t == within[0] || t == within[1] || t == within[2]:
			return
		}
	}
}

// blockGap returns how many line ends surround the element: 1 a new line, 2 an
// empty line between.
func blockGap(tag atom.Atom) (int, bool) {
	switch tag {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Pre, atom.Ul, atom.Ol, atom.Dl, atom.Hr:
		return 2, true
	case atom.Div, atom.Table, atom.Tr, atom.Li, atom.Dt, atom.Dd, atom.Center, atom.Form, atom.Address, atom.Section,
		atom.Article, atom.Header, atom.Footer, atom.Nav, atom.Aside, atom.Main, atom.Figure, atom.Fieldset, atom.Caption,
		atom.Option, atom.Body, atom.Html, atom.Menu, atom.Dir, atom.Title, atom.Textarea:
		return 1, true
	case atom.Br:
		return 0, true
	}
	return 0, false
}

func isVoid(tag atom.Atom) bool {
	switch tag {
	case atom.Area, atom.Base, atom.Br, atom.Col, atom.Embed, atom.Hr, atom.Img, atom.Image, atom.Input, atom.Link,
		atom.Meta, atom.Param, atom.Source, atom.Track, atom.Wbr, atom.Frame:
		return true
	}
	return false
}
