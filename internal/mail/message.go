package mail

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Limits bounds what Parse looks at and keeps. A zero or negative value means
// the default.
type Limits struct {
	HeaderBytes  int // of one header section; 128 KiB
	HeaderFields int // in one header section, and twenty times as many in all; 1000
	FieldBytes   int // of one field; 64 KiB
	Depth        int // of nested multiparts and messages; 20
	Parts        int // of the whole message; 1000
	Addresses    int // in all address fields together; 2000
	TextBytes    int // of rendered text kept, per HTML part and for Message.Text; 1 MiB
	URIs         int // distinct URIs kept, and links and images of one HTML part; 2000
}

// DefaultLimits returns the limits used in production.
func DefaultLimits() Limits {
	return Limits{
		HeaderBytes:  128 << 10,
		HeaderFields: 1000,
		FieldBytes:   64 << 10,
		Depth:        20,
		Parts:        1000,
		Addresses:    2000,
		TextBytes:    1 << 20,
		URIs:         2000,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, p := range []struct{ given, def *int }{
		{&l.HeaderBytes, &d.HeaderBytes}, {&l.HeaderFields, &d.HeaderFields}, {&l.FieldBytes, &d.FieldBytes},
		{&l.Depth, &d.Depth}, {&l.Parts, &d.Parts}, {&l.Addresses, &d.Addresses},
		{&l.TextBytes, &d.TextBytes}, {&l.URIs, &d.URIs},
	} {
		if *p.given <= 0 {
			*p.given = *p.def
		}
	}
	return l
}

// Message is a parsed message. Make one with Parse only. It is read-only and
// safe for concurrent use; it must not be copied.
type Message struct {
	Raw     []byte // as given to Parse
	Header  Header // of the message itself
	Body    []byte // all after the empty line; a slice of Raw
	Root    *Part  // never nil; its Header is Header
	Defects []Defect

	limits     Limits
	from       []Mailbox
	fromFields int
	leaves     []*Part

	textOnce sync.Once
	text     string
	uriOnce  sync.Once
	uris     []URI
	bodyOnce sync.Once
	body     []Defect
}

// parser is the state of one Parse.
type parser struct {
	limits  Limits
	msg     *Message
	defects defectList
	parts   int
	fields  int   // of all header sections
	lines   []int // line of each field of the top header
}

// Parse reads a message: bytes with CRLF or LF line ends, header first. It never
// fails and never panics; what is odd is in Message.Defects. It keeps raw, which
// must not change afterwards. Time and memory are linear in len(raw).
func Parse(raw []byte, l Limits) *Message {
	m := &Message{Raw: raw, limits: l.orDefault()}
	p := &parser{limits: m.limits, msg: m}
	h, bodyStart := p.header(raw, 0, nil, nil)
	m.Header = h
	m.Body = raw[bodyStart:]
	p.lineDefects(raw, bodyStart)
	p.topDefects()
	m.Root = &Part{Header: h, Path: "1", msg: m}
	p.parts = 1
	p.describe(m.Root, "text/plain")
	p.tree(raw, bodyStart, m.Root, 0)
	m.leaves = appendLeaves(nil, m.Root)
	m.Defects = p.defects.list
	return m
}

// lineDefects looks at all bytes once: NUL, bare CR and LF, long body lines.
func (p *parser) lineDefects(raw []byte, bodyStart int) {
	line, bareLF, crlf, firstBare, long := 1, 0, 0, 0, 0
	for pos := 0; pos < len(raw); line++ {
		i := bytes.IndexByte(raw[pos:], '\n')
		n := i
		switch {
		case i < 0:
			n = len(raw) - pos
			i = n
		case i > 0 && raw[pos+i-1] == '\r':
			crlf++
			n--
		default:
			if bareLF++; bareLF == 1 {
				firstBare = line
			}
		}
		if n > 998 && pos >= bodyStart && long == 0 {
			long = line
		}
		pos += i + 1
	}
	switch {
	case bareLF > 0 && crlf == 0:
		p.defects.add(DefectLFOnly, "", "all lines end in LF alone")
	case bareLF > 0:
		p.defects.add(DefectBareLF, atLine(firstBare), fmt.Sprintf("%d of %d lines end in LF alone", bareLF, bareLF+crlf))
	}
	if long > 0 {
		p.defects.add(DefectBodyLongLine, atLine(long), "a body line above 998 octets")
	}
	if bytes.Count(raw, []byte{'\r'}) != crlf {
		for i, at := 0, 0; ; i = at + 1 {
			k := bytes.IndexByte(raw[i:], '\r')
			at = i + k
			if k < 0 || at+1 >= len(raw) || raw[at+1] != '\n' {
				p.defects.add(DefectBareCR, lineOf(raw, at), "a CR without LF")
				break
			}
		}
	}
	if at := bytes.IndexByte(raw, 0); at >= 0 {
		p.defects.add(DefectNUL, lineOf(raw, at), fmt.Sprintf("%d zero bytes", bytes.Count(raw, []byte{0})))
	}
}

func lineOf(raw []byte, at int) string {
	return atLine(1 + bytes.Count(raw[:max(at, 0)], []byte{'\n'}))
}

// onceFields may occur once (RFC 5322 3.6, RFC 2045 3).
var onceFields = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Message-ID", "In-Reply-To", "References", "Subject", "Date",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID",
}

// addressFields hold address lists; the first three of them one mailbox-list.
var addressFields = []string{
	"From", "Sender", "Reply-To", "To", "Cc", "Bcc",
	"Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Disposition-Notification-To",
}

// topDefects checks the fields of the top header against RFC 5322 3.6.
func (p *parser) topDefects() {
	h := p.msg.Header
	if len(h) == 0 {
		p.defects.add(DefectHeaderEmpty, "line 1", "there is no header field")
	}
	var counts [32]int
	left := p.limits.Addresses
	senders := 0
	for i := range h {
		f := &h[i]
		if k := fieldIndex(onceFields, f.Name); k >= 0 {
			if counts[k]++; counts[k] > 1 && !p.defects.full(DefectHeaderDuplicate) {
				p.defects.add(DefectHeaderDuplicate, atLine(p.lines[i]), onceFields[k]+" occurs more than once")
			}
		}
		if k := fieldIndex(addressFields, f.Name); k >= 0 {
			left = p.addressField(f, addressFields[k], atLine(p.lines[i]), left)
		}
		switch {
		case nameIs(f.Name, "Sender"):
			senders++
		case nameIs(f.Name, "Message-ID"):
			if v := f.Value(); !validMessageID(v) {
				p.defects.add(DefectHeaderBadMessageID, atLine(p.lines[i]), "not a msg-id: "+clip(v, 80))
			}
		case nameIs(f.Name, "MIME-Version"):
			if v := f.Value(); !validMIMEVersion(v) {
				p.defects.add(DefectMIMEVersion, atLine(p.lines[i]), "MIME-Version is "+clip(v, 40))
			}
		case nameIs(f.Name, "Date"):
			if _, err := ParseDate(f.Value()); err != nil {
				p.defects.add(DefectHeaderBadDate, atLine(p.lines[i]), err.Error())
			}
		}
	}
	if p.msg.fromFields == 0 {
		p.defects.add(DefectHeaderMissingFrom, "", "there is no From field")
	}
	if !h.Has("Date") {
		p.defects.add(DefectHeaderMissingDate, "", "there is no Date field")
	}
	if len(p.msg.from) > 1 && senders == 0 {
		p.defects.add(DefectHeaderMissingSender, "", fmt.Sprintf("%d From mailboxes and no Sender field", len(p.msg.from)))
	}
	if h.Has("Content-Type") && !h.Has("MIME-Version") {
		p.defects.add(DefectMIMENoVersion, "", "Content-Type without MIME-Version")
	}
}

// addressField checks one address field and returns how many mailboxes may
// still come.
func (p *parser) addressField(f *Field, name, where string, left int) int {
	boxes, ok := parseMailboxes(f.Value(), max(left, 1))
	if name == "From" {
		p.msg.fromFields++
		p.msg.from = append(p.msg.from, boxes...)
	}
	if len(boxes) >= left {
		p.defects.add(DefectHeaderTooManyAddresses, where, "more addresses than the limit; the rest was not read")
		return 0
	}
	if (name == "Sender" || name == "Resent-Sender") && len(boxes) > 1 {
		ok = false
	}
	if !ok {
		v := f.Value()
		switch {
		case v != "":
			p.defects.add(DefectHeaderBadAddress, where, name+" is no address list: "+clip(v, 80))
		case name != "Bcc": // RFC 5322 3.6.3: Bcc alone may be empty
			p.defects.add(DefectHeaderBadAddress, where, name+" is empty")
		}
	}
	return left - len(boxes)
}

func fieldIndex(names []string, name string) int {
	for i, n := range names {
		if nameIs(n, name) {
			return i
		}
	}
	return -1
}

// validMIMEVersion accepts "1.0" with comments (RFC 2045 4).
func validMIMEVersion(v string) bool {
	i := skipCFWS(v, 0)
	rest, ok := strings.CutPrefix(v[i:], "1")
	if !ok {
		return false
	}
	rest = rest[skipCFWS(rest, 0):]
	if rest, ok = strings.CutPrefix(rest, "."); !ok {
		return false
	}
	rest = rest[skipCFWS(rest, 0):]
	rest, ok = strings.CutPrefix(rest, "0")
	return ok && skipCFWS(rest, 0) == len(rest)
}

// validMessageID holds v to msg-id of RFC 5322 3.6.4 with the obsolete quoted
// left side and UTF-8 (RFC 6532); comments around it are tolerated.
func validMessageID(v string) bool {
	v = v[skipCFWS(v, 0):]
	rest, ok := strings.CutPrefix(v, "<")
	if !ok {
		return false
	}
	end := strings.LastIndexByte(rest, '>')
	if end < 0 || skipCFWS(rest, end+1) != len(rest) {
		return false
	}
	id := rest[:end]
	at := strings.LastIndexByte(id, '@')
	if at <= 0 {
		return false
	}
	left, right := id[:at], id[at+1:]
	if left[0] == '"' {
		_, tail, err := readQuotedLocal(left)
		if err != nil || tail != "" {
			return false
		}
	} else if !isDotAtom(left) {
		return false
	}
	if strings.HasPrefix(right, "[") {
		return strings.HasSuffix(right, "]") && !strings.ContainsAny(right[1:len(right)-1], "[]\\ \t")
	}
	return isDotAtom(right)
}

// From returns the mailboxes of all From fields in order, those that do not
// parse included (with a null Address).
func (m *Message) From() []Mailbox { return m.from }

// FromFields returns how many From fields there are; RFC 5322 allows one.
func (m *Message) FromFields() int { return m.fromFields }

// Subject returns the decoded text of the first Subject, "" if none.
func (m *Message) Subject() string { return m.Header.Get("Subject") }

// Date returns the time of the first Date field. The error is ErrMissing when
// there is none, and otherwise ParseDate's.
func (m *Message) Date() (time.Time, error) {
	v, ok := m.Header.value("Date")
	if !ok {
		return time.Time{}, ErrMissing
	}
	return ParseDate(v)
}

// MessageID returns the first Message-ID with its angle brackets, as written,
// without comments around it and at most 998 octets; "" if there is none.
func (m *Message) MessageID() string {
	v, _ := m.Header.value("Message-ID")
	if i := strings.IndexByte(v, '<'); i >= 0 {
		if j := strings.IndexByte(v[i:], '>'); j > 0 {
			v = v[i : i+j+1]
		}
	}
	return clip(cleanHeaderText(v), 998)
}

// Parts returns the leaves of the MIME tree in document order: all parts
// without children. Attached messages are represented by their own parts.
func (m *Message) Parts() []*Part { return m.leaves }

func appendLeaves(list []*Part, p *Part) []*Part {
	if len(p.Children) == 0 {
		return append(list, p)
	}
	for _, c := range p.Children {
		list = appendLeaves(list, c)
	}
	return list
}

// BodyDefects returns the defects that show only when the content is decoded
// (bad base64, unknown charset…). It decodes every text part and every encoded
// part; the answer is kept.
func (m *Message) BodyDefects() []Defect {
	m.bodyOnce.Do(func() {
		var d defectList
		for _, p := range m.leaves {
			p.Decoded()
			if p.encodingBad != "" {
				d.add(p.encodingBad, atPart(p), "the "+p.Encoding+" content is damaged")
			}
			if !p.isText() {
				continue
			}
			p.Text()
			if p.charsetBad != "" {
				d.add(p.charsetBad, atPart(p), "charset "+p.Charset)
			}
			if h := p.HTML(); h != nil && h.tooDeep {
				d.add(DefectHTMLTooDeep, atPart(p), "the HTML is nested too deeply")
			}
		}
		m.body = d.list
	})
	return m.body
}
