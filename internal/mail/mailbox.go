package mail

import (
	"strings"
)

// Mailbox is one mailbox of an address field.
type Mailbox struct {
	Name    string  // display name, decoded, valid UTF-8; "" if none
	Address Address // null if Raw holds no address that ParseAddress accepts
	Raw     string  // the mailbox as written, unfolded, trimmed; bytes as they are
}

// maxMailboxes bounds what ParseMailboxes reads from one field.
const maxMailboxes = 2000

// ParseMailboxes reads the value of an address field (RFC 5322 3.4): mailboxes,
// groups, comments, encoded names, and the obsolete forms (empty list elements,
// routes, white space inside addresses, the name in a comment). It returns what
// it could read even from a malformed list; ok is false when the value is no
// address list, when an address is not valid or when more than 2000 mailboxes
// follow. A group without members is ok and has no boxes. Linear in len(value).
func ParseMailboxes(value string) (boxes []Mailbox, ok bool) {
	return parseMailboxes(value, maxMailboxes)
}

func parseMailboxes(value string, most int) (boxes []Mailbox, ok bool) {
	r := listReader{in: value, most: most, ok: true}
	r.read()
	if len(r.boxes) == 0 && !r.group {
		r.ok = false
	}
	return r.boxes, r.ok
}

// tokenKind is a lexical element of RFC 5322 3.2.
type tokenKind uint8

const (
	tokAtom    tokenKind = iota // atext and dots run together, 8-bit too
	tokQuoted                   // quoted-string
	tokLiteral                  // domain-literal
	tokComment                  // (…)
	tokSpecial                  // one of <>@,;:
	tokBad                      // an octet that may not stand here
)

type token struct {
	kind       tokenKind
	start, end int
	space      bool // white space or a comment came before
}

type listReader struct {
	in      string
	pos     int
	plain   bool // a quote or comment is not closed: read the rest without
	ok      bool
	group   bool // a group was seen
	inGroup bool
	most    int
	boxes   []Mailbox
	toks    []token // of the mailbox being read; reused
}

// next returns the token at pos.
func (r *listReader) next() (t token, more bool) {
	for r.pos < len(r.in) && (isWSP(r.in[r.pos]) || r.in[r.pos] == '\r' || r.in[r.pos] == '\n') {
		r.pos++
		t.space = true
	}
	if r.pos >= len(r.in) {
		return t, false
	}
	t.start = r.pos
	c := r.in[r.pos]
	closing := byte(0)
	switch {
	case c == '"':
		t.kind, closing = tokQuoted, '"'
	case c == '(':
		t.kind, closing = tokComment, ')'
	case c == '[':
		t.kind, closing = tokLiteral, ']'
	case strings.IndexByte("<>@,;:", c) >= 0:
		t.kind = tokSpecial
		r.pos++
	case isAtext(c) || c == '.' || c >= 0x80:
		t.kind = tokAtom
		for r.pos < len(r.in) && (isAtext(r.in[r.pos]) || r.in[r.pos] == '.' || r.in[r.pos] >= 0x80) {
			r.pos++
		}
	default:
		t.kind = tokBad
		r.pos++
	}
	if closing != 0 {
		end := -1
		if !r.plain {
			end = closeAt(r.in, r.pos, closing)
		}
		if end < 0 {
			// Not closed. Once is enough to know that the rest cannot be
			// trusted: read it letter by letter, so that the addresses in it
			// are still seen, and in linear time.
			r.plain, r.ok = true, false
			t.kind = tokBad
			end = r.pos + 1
		}
		r.pos = end
	}
	t.end = r.pos
	return t, true
}

// closeAt returns the position after the closing octet of the quoted thing at
// pos, -1 if it is not closed. Comments nest.
func closeAt(s string, pos int, closing byte) int {
	depth := 1
	for i := pos + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == closing:
			if depth--; depth == 0 {
				return i + 1
			}
		case c == '(' && closing == ')':
			depth++
		case c == '[' && closing == ']', c == '\n' && closing == ']':
			return -1
		}
	}
	return -1
}

// read cuts the list into mailboxes at commas and semicolons.
func (r *listReader) read() {
	inAngle := false
	for len(r.boxes) < r.most {
		t, more := r.next()
		if !more {
			r.take()
			if r.inGroup {
				r.ok = false // the group is not closed
			}
			return
		}
		if t.kind != tokSpecial {
			r.toks = append(r.toks, t)
			continue
		}
		switch c := r.in[t.start]; {
		case c == '<':
			inAngle = true
			r.toks = append(r.toks, t)
		case c == '>':
			inAngle = false
			r.toks = append(r.toks, t)
		case c == ':' && !inAngle:
			if r.inGroup || !r.phraseOnly() {
				r.ok = false
			}
			r.inGroup, r.group = true, true
			r.toks = r.toks[:0]
		case c == ';':
			r.take()
			inAngle = false
			if !r.inGroup {
				r.ok = false
			}
			r.inGroup = false
		case c == ',' && !(inAngle && r.route()):
			r.take()
			inAngle = false
		default:
			r.toks = append(r.toks, t)
		}
	}
	if _, more := r.next(); more {
		r.ok = false
	}
}

// route reports whether the tokens since the last "<" begin an obsolete route
// ("<@a,@b:user@c>"), in which a comma separates hosts.
func (r *listReader) route() bool {
	n := len(r.toks)
	// Looking at the head of the mailbox only keeps this constant: the route
	// must be the first thing in the first angle bracket.
	for i := 0; i < n && i < 32; i++ {
		if r.special(i, '<') {
			return i+1 < n && r.special(i+1, '@')
		}
	}
	return false
}

func (r *listReader) special(i int, c byte) bool {
	return r.toks[i].kind == tokSpecial && r.in[r.toks[i].start] == c
}

// phraseOnly reports whether the gathered tokens may name a group.
func (r *listReader) phraseOnly() bool { return len(r.toks) > 0 && wordsOnly(r.toks) }

// wordsOnly reports whether toks hold nothing but words and comments.
func wordsOnly(toks []token) bool {
	for _, t := range toks {
		if t.kind != tokAtom && t.kind != tokQuoted && t.kind != tokComment {
			return false
		}
	}
	return true
}

// take makes a mailbox of the gathered tokens.
func (r *listReader) take() {
	toks := r.toks
	r.toks = r.toks[:0]
	words := false
	for _, t := range toks {
		words = words || t.kind != tokComment
	}
	if !words {
		return // RFC 5322 4.4: empty elements are tolerated
	}
	box := Mailbox{Raw: r.in[toks[0].start:toks[len(toks)-1].end]}
	open, shut := -1, -1
	for i := range toks {
		if toks[i].kind != tokSpecial {
			continue
		}
		switch r.in[toks[i].start] {
		case '<':
			if open >= 0 {
				r.ok = false
			}
			open, shut = i, -1
		case '>':
			if shut >= 0 || open < 0 {
				r.ok = false
			}
			shut = i
		}
	}
	var spec []token
	switch {
	case open < 0:
		spec = toks
		box.Name = r.commentName(toks)
	default:
		if shut < open {
			r.ok = false
			shut = len(toks)
		}
		spec = toks[open+1 : shut]
		box.Name = r.phrase(toks[:open])
		if !wordsOnly(toks[:open]) {
			r.ok = false // such as "a@example.org <b@example.net>" without quotes
		}
		for _, t := range toks[min(shut+1, len(toks)):] {
			if t.kind != tokComment {
				r.ok = false
			} else if box.Name == "" {
				box.Name = r.commentName(toks)
			}
		}
		if len(spec) > 0 && spec[0].kind == tokSpecial && r.in[spec[0].start] == '@' {
			spec = r.dropRoute(spec)
		}
	}
	addr, err := ParseAddress(r.addrSpec(spec))
	if err != nil {
		r.ok = false
	} else {
		box.Address = addr
	}
	r.boxes = append(r.boxes, box)
}

// dropRoute takes the obsolete route off (RFC 5322 4.4: it is ignored).
func (r *listReader) dropRoute(spec []token) []token {
	for i := range spec {
		if spec[i].kind == tokSpecial && r.in[spec[i].start] == ':' {
			return spec[i+1:]
		}
	}
	return spec
}

// addrSpec joins the tokens of an addr-spec without comments and without the
// white space that obsolete syntax allows around dots and "@". White space
// elsewhere is kept, so that ParseAddress refuses it.
func (r *listReader) addrSpec(spec []token) string {
	if len(spec) == 1 {
		return r.in[spec[0].start:spec[0].end]
	}
	var b strings.Builder
	gap := false
	last := byte('@')
	for i, t := range spec {
		if t.kind == tokComment {
			gap = true
			continue
		}
		text := r.in[t.start:t.end]
		if i > 0 && (t.space || gap) && !strings.ContainsRune(".@", rune(last)) && text[0] != '.' && text[0] != '@' {
			b.WriteByte(' ')
		}
		gap = false
		b.WriteString(text)
		last = text[len(text)-1]
		if t.kind == tokQuoted {
			last = '"'
		}
		if b.Len() > 4*maxAddressBytes {
			break
		}
	}
	return b.String()
}

// phrase returns the display name of the tokens before the angle bracket.
// Encoded words are decoded in quoted strings too: it is wrong (RFC 2047 5) and
// common, and mail clients do it.
func (r *listReader) phrase(toks []token) string {
	var b strings.Builder
	for i, t := range toks {
		if t.kind == tokComment {
			continue
		}
		if i > 0 && t.space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		text := r.in[t.start:t.end]
		if t.kind == tokQuoted {
			text = unquote(text)
		}
		b.WriteString(text)
	}
	return strings.TrimSpace(decodeWords(b.String()))
}

// commentName returns the last comment, where old software puts the name.
func (r *listReader) commentName(toks []token) string {
	for i := len(toks) - 1; i >= 0; i-- {
		if toks[i].kind == tokComment {
			inner := r.in[toks[i].start+1 : toks[i].end-1]
			return strings.TrimSpace(decodeWords(unescape(inner)))
		}
	}
	return ""
}

// unquote takes the quotes and the backslashes off a quoted-string.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' {
		s = s[1 : len(s)-1]
	}
	return unescape(s)
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}
