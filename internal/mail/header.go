package mail

import (
	"bytes"
	"strings"
)

// Field is one header field as it stands in the message.
type Field struct {
	Name string // as written, without the colon; case kept
	Raw  []byte // from the name to the final line end, folding kept; a slice of the message
}

// Value returns what follows the colon: unfolded (RFC 5322 2.2.3), white space
// at both ends trimmed, encoded words left as they are, bytes as they are.
func (f Field) Value() string {
	_, v, _ := bytes.Cut(f.Raw, []byte{':'})
	v = bytes.Trim(v, " \t\r\n")
	if bytes.IndexByte(v, '\n') < 0 && bytes.IndexByte(v, '\r') < 0 {
		return string(v)
	}
	out := make([]byte, 0, len(v))
	for _, c := range v {
		if c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return string(out)
}

// Text returns Value with the encoded words of RFC 2047 decoded, as a reader
// sees it. It is valid UTF-8 without line ends and zero bytes.
func (f Field) Text() string { return decodeWords(f.Value()) }

// Header is the header section of a message or of a part, in order.
type Header []Field

// Get returns the Text of the first field called name in any case, "" if there
// is none.
func (h Header) Get(name string) string {
	for i := range h {
		if nameIs(h[i].Name, name) {
			return h[i].Text()
		}
	}
	return ""
}

// All returns the fields called name in any case, in order, nil if none.
func (h Header) All(name string) []Field {
	var out []Field
	for i := range h {
		if nameIs(h[i].Name, name) {
			out = append(out, h[i])
		}
	}
	return out
}

// Has reports whether a field called name exists.
func (h Header) Has(name string) bool {
	for i := range h {
		if nameIs(h[i].Name, name) {
			return true
		}
	}
	return false
}

// value returns the Value of the first field called name.
func (h Header) value(name string) (string, bool) {
	for i := range h {
		if nameIs(h[i].Name, name) {
			return h[i].Value(), true
		}
	}
	return "", false
}

func nameIs(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// itemKind says what headerScanner found.
type itemKind uint8

const (
	itemField itemKind = iota
	itemJunk           // a line that is no field and is skipped
	itemEnd            // the header ends here
)

// headerItem is one step of headerScanner.
type headerItem struct {
	kind       itemKind
	start, end int    // the bytes of the item in the buffer; for itemEnd, end is where the body begins
	nameStart  int    // of a field
	nameEnd    int    // without white space before the colon
	line       int    // number of its first line within the buffer, from 1
	defect     string // for junk: why; for itemEnd: DefectHeaderNoSeparator or ""
	spaceColon bool   // white space before the colon
	blankFold  bool   // a continuation line of white space only
	longLine   int    // offset of a line above 998 octets counted in lines from line, or -1
}

// headerScanner walks over the fields of a header section. It is the one place
// that knows where fields begin and a header ends, so that Parse and Edit never
// disagree.
type headerScanner struct {
	buf   []byte
	pos   int
	limit int // the header ends here at the latest
	line  int // number of the line at pos
	first bool
	any   bool                   // a field was found
	stop  func(line []byte) bool // a line that ends the header (enclosing boundary); may be nil
}

func newHeaderScanner(buf []byte, pos int) *headerScanner {
	return &headerScanner{buf: buf, pos: pos, limit: len(buf), line: 1, first: true}
}

// lineAt returns the line at pos without its end, and where the next begins.
func (s *headerScanner) lineAt(pos int) (line []byte, next int) {
	i := bytes.IndexByte(s.buf[pos:s.limit], '\n')
	if i < 0 {
		return s.buf[pos:s.limit], s.limit
	}
	line = s.buf[pos : pos+i]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, pos + i + 1
}

func (s *headerScanner) next() headerItem {
	it := headerItem{start: s.pos, end: s.pos, line: s.line, longLine: -1}
	if s.pos >= s.limit {
		it.kind = itemEnd
		return it
	}
	line, next := s.lineAt(s.pos)
	first := s.first
	s.first = false
	switch {
	case len(line) == 0:
		it.kind, it.end = itemEnd, next
		s.pos = next
		return it
	case s.stop != nil && s.stop(line):
		it.kind = itemEnd
		return it
	}
	shift := 0
	for shift < len(line) && isWSP(line[shift]) {
		shift++
	}
	nameLen, defect := fieldName(line[shift:])
	switch {
	case first && (bytes.HasPrefix(line, []byte("From ")) || bytes.HasPrefix(line, []byte(">From "))) && defect != "":
		defect = DefectHeaderMboxFrom
	case defect != "" && s.bodyBegins(next):
		it.kind, it.defect = itemEnd, DefectHeaderNoSeparator
		return it
	}
	it.nameStart = s.pos + shift
	it.nameEnd = it.nameStart + nameLen
	it.spaceColon = defect == "" && line[shift+nameLen] != ':'
	if defect != "" {
		it.kind, it.defect = itemJunk, defect
	} else {
		s.any = true
	}
	s.folded(&it, line, next)
	return it
}

// folded takes the continuation lines into the item and moves on.
func (s *headerScanner) folded(it *headerItem, line []byte, next int) {
	lines := 1
	if len(line) > 998 {
		it.longLine = 0
	}
	for next < s.limit && isWSP(s.buf[next]) {
		l, after := s.lineAt(next)
		if len(l) > 998 && it.longLine < 0 {
			it.longLine = lines
		}
		if len(bytes.TrimLeft(l, " \t")) == 0 {
			it.blankFold = true
		}
		next = after
		lines++
	}
	it.end = next
	s.pos = next
	s.line += lines
}

// bodyBegins decides, at a line that is no field, whether the empty line was
// forgotten and the body begins here, or whether it is rubbish amid the header:
// it is rubbish when the line that follows is a field, a continuation or, with
// a field seen before, the empty line.
func (s *headerScanner) bodyBegins(next int) bool {
	if next >= s.limit {
		return true
	}
	line, _ := s.lineAt(next)
	if len(line) == 0 {
		return !s.any
	}
	if s.stop != nil && s.stop(line) {
		return true
	}
	if isWSP(line[0]) {
		return !s.any
	}
	_, defect := fieldName(line)
	return defect != ""
}

// fieldName returns the length of the field name at the head of line (RFC 5322
// 2.2: printable ASCII but colon; white space before the colon is obsolete and
// not counted), or the defect that makes the line no field.
func fieldName(line []byte) (n int, defect string) {
	for n < len(line) && line[n] > ' ' && line[n] < 0x7f && line[n] != ':' {
		n++
	}
	i := n
	for i < len(line) && isWSP(line[i]) {
		i++
	}
	switch {
	case i < len(line) && line[i] == ':' && n == 0:
		return 0, DefectHeaderEmptyName
	case i < len(line) && line[i] == ':':
		return n, ""
	case bytes.IndexByte(line, ':') < 0:
		return 0, DefectHeaderNoColon
	}
	return 0, DefectHeaderBadName
}

func isWSP(c byte) bool { return c == ' ' || c == '\t' }

// header reads the header section at pos of buf and returns its fields and
// where the body begins. part is nil for the top header, whose defects carry
// line numbers. stop ends the header early at an enclosing boundary.
func (p *parser) header(buf []byte, pos int, part *Part, stop func([]byte) bool) (Header, int) {
	s := newHeaderScanner(buf, pos)
	s.stop = stop
	var items []headerItem
	if part == nil {
		items = make([]headerItem, 0, 24)
	}
	keep, tooLarge, tooMany := true, false, false
	keptEnd := pos
	var end headerItem
	for {
		it := s.next()
		if it.kind == itemEnd {
			end = it
			break
		}
		switch {
		case !keep:
		case it.end-pos > p.limits.HeaderBytes:
			keep, tooLarge = false, true
		case it.kind == itemField && (len(items) >= p.limits.HeaderFields || p.fields >= 20*p.limits.HeaderFields):
			keep, tooMany = false, true
		}
		p.itemDefects(&it, buf, part)
		if it.kind == itemField && keep {
			items = append(items, it)
			p.fields++
			keptEnd = it.end
		}
	}
	where := p.where(end.line, part)
	if tooLarge {
		p.defects.add(DefectHeaderTooLarge, where, "the header is larger than the limit; the rest of it was not read")
	}
	if tooMany {
		p.defects.add(DefectHeaderTooMany, where, "more header fields than the limit; the rest was not read")
	}
	if end.defect != "" {
		p.defects.add(end.defect, where, "no empty line between header and body")
	}
	if len(items) == 0 {
		return nil, end.end
	}
	names := string(buf[pos:keptEnd]) // one allocation for all names
	h := make(Header, len(items))
	if part == nil {
		p.lines = make([]int, len(items))
	}
	for i, it := range items {
		if part == nil {
			p.lines[i] = it.line
		}
		raw := buf[it.start:it.end:it.end]
		if len(raw) > p.limits.FieldBytes {
			raw = raw[:p.limits.FieldBytes:p.limits.FieldBytes]
		}
		h[i] = Field{Name: names[it.nameStart-pos : min(it.nameEnd, keptEnd)-pos], Raw: raw}
	}
	return h, end.end
}

func (p *parser) where(line int, part *Part) string {
	if part != nil {
		return atPart(part)
	}
	return atLine(line)
}

// itemDefects notes what is odd about one header item.
func (p *parser) itemDefects(it *headerItem, buf []byte, part *Part) {
	raw := buf[it.start:it.end]
	note := func(code, detail string) {
		if !p.defects.full(code) {
			p.defects.add(code, p.where(it.line, part), detail)
		}
	}
	if it.kind == itemJunk && !p.defects.full(it.defect) {
		note(it.defect, "not a header field: "+cleanText(string(raw[:min(len(raw), 60)]), 60))
	}
	if it.nameStart > it.start && it.kind == itemField {
		note(DefectHeaderLeadingSpace, "the first line begins with white space")
	}
	if it.spaceColon {
		note(DefectHeaderSpaceColon, "white space before the colon")
	}
	if it.blankFold {
		note(DefectHeaderBlankFold, "a folded line holds only white space")
	}
	if it.longLine >= 0 && !p.defects.full(DefectHeaderLongLine) {
		p.defects.add(DefectHeaderLongLine, p.where(it.line+it.longLine, part), "a header line above 998 octets")
	}
	if len(raw) > p.limits.FieldBytes {
		note(DefectHeaderFieldTooLong, "the field is longer than the limit and was cut")
	}
	if !isASCIIBytes(raw) {
		if validUTF8(raw) {
			note(DefectHeaderUTF8, "raw UTF-8 in a header field")
		} else {
			note(DefectHeader8Bit, "8-bit characters in a header field that are not UTF-8")
		}
	}
	for _, c := range raw {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != 0 || c == 0x7f {
			note(DefectHeaderControl, "a control character in a header field")
			break
		}
	}
}
