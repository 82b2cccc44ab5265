package report

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// Bounds of XML. Reports have no use for more.
const (
	maxTag   = 16 << 10 // bytes of one tag with its attributes
	maxText  = 16 << 10 // bytes kept of one text; the rest is skipped
	maxAttrs = 64       // of one tag
)

// charsetOf finds the charset in an XML declaration.
var charsetOf = regexp.MustCompile(`encoding\s*=\s*["']\s*([-a-z0-9_:.]{2,40})\s*["']`)

// errNotXML: it is a page, no report.
var errNotXML = errors.New("HTML")

// xmlKind tells what xmlReader found.
type xmlKind int

const (
	xmlEnd   xmlKind = iota // of the document
	xmlOpen                 // an element begins
	xmlClose                // an element ends
)

// xmlReader reads the XML of reports as a stream: elements and their text, nothing else. It knows no entities but the five of the standard and characters by
// number, follows nothing, and refuses document type declarations. It forgives what leaves the meaning clear: bytes that are no UTF-8, stray text, end tags
// that do not match.
type xmlReader struct {
	r     *bufio.Reader
	w     *warnings
	wide  bool              // it is UTF-16 or UTF-32, whatever the declaration says
	other encoding.Encoding // charset that the declaration names; nil: UTF-8, or one that nobody knows
	stack []string          // open elements
	again int               // closes that are still to be told
	text  []byte            // since the last tag
	tag   []byte            // scratch
	space string            // xmlns of the outermost element that has one
	names map[string]string
}

func newXML(r io.Reader, w *warnings) *xmlReader {
	b, wide := narrowed(bufio.NewReaderSize(r, 32<<10))
	return &xmlReader{r: b, w: w, wide: wide, names: map[string]string{}}
}

// next returns the next beginning or end of an element. After xmlClose, value is the text that stood in the element, if it held no other.
func (x *xmlReader) next() (kind xmlKind, name, value string, err error) {
	if x.again > 0 {
		return x.pop()
	}
	for {
		if err := x.readText(); err != nil {
			if errors.Is(err, io.EOF) {
				return xmlEnd, "", "", nil
			}
			return xmlEnd, "", "", err
		}
		c, err := x.r.ReadByte()
		if err != nil {
			return xmlEnd, "", "", atEnd(err)
		}
		switch c {
		case '!':
			if err := x.declaration(); err != nil {
				return xmlEnd, "", "", atEnd(err)
			}
		case '?':
			if err := x.instruction(); err != nil {
				return xmlEnd, "", "", atEnd(err)
			}
		case '/':
			tag, err := x.readTag()
			if err != nil {
				return xmlEnd, "", "", atEnd(err)
			}
			if x.closes(x.local(tag)) {
				return x.pop()
			}
		default:
			if err := x.r.UnreadByte(); err != nil {
				return xmlEnd, "", "", err
			}
			name, alone, err := x.open()
			if err != nil {
				return xmlEnd, "", "", atEnd(err)
			}
			if name == "" {
				continue
			}
			x.strayText()
			if len(x.stack) >= maxDepth {
				return xmlEnd, "", "", refusedf("XML nested deeper than %d elements", maxDepth)
			}
			x.stack = append(x.stack, name)
			if alone {
				x.again = 1
			}
			return xmlOpen, name, "", nil
		}
	}
}

// atEnd turns the end of input into a plain end: what was open shows that it came early.
func atEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

func (x *xmlReader) pop() (xmlKind, string, string, error) {
	x.again--
	last := len(x.stack) - 1
	name := x.stack[last]
	x.stack = x.stack[:last]
	return xmlClose, name, x.take(), nil
}

// closes finds which open elements an end tag ends. False: none, the tag is skipped.
func (x *xmlReader) closes(name string) bool {
	for i := len(x.stack) - 1; i >= 0; i-- {
		if x.stack[i] == name {
			if x.again = len(x.stack) - i; x.again > 1 {
				x.w.add(WarnNesting, name)
			}
			return true
		}
	}
	x.w.add(WarnNesting, name)
	return false
}

// strayText drops text before an element.
func (x *xmlReader) strayText() {
	if len(bytes.TrimSpace(x.text)) > 0 {
		x.w.add(WarnStray, x.take())
	}
	x.text = x.text[:0]
}

// take returns the text since the last tag in UTF-8.
func (x *xmlReader) take() string {
	raw := bytes.TrimSpace(x.text)
	x.text = x.text[:0]
	if len(raw) == 0 {
		return ""
	}
	s := string(raw)
	switch {
	case utf8.ValidString(s):
	case x.other != nil:
		if out, err := x.other.NewDecoder().Bytes(raw); err == nil {
			s = string(out)
			break
		}
		fallthrough
	default:
		x.w.add(WarnEncoding, "")
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, '&') >= 0 {
		s = unescaped(s)
	}
	return s
}

// readText reads up to the next tag.
func (x *xmlReader) readText() error {
	for {
		b, err := x.r.ReadSlice('<')
		end := err == nil
		if end {
			b = b[:len(b)-1]
		}
		if room := maxText - len(x.text); room > 0 {
			x.text = append(x.text, b[:min(len(b), room)]...)
		}
		switch {
		case end:
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// readTag reads up to ">", which may stand in quotes before. Without "<".
func (x *xmlReader) readTag() ([]byte, error) {
	x.tag = x.tag[:0]
	quote := byte(0)
	for {
		c, err := x.r.ReadByte()
		switch {
		case err != nil:
			return nil, err
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return x.tag, nil
		}
		if x.tag = append(x.tag, c); len(x.tag) > maxTag {
			return nil, refusedf("an XML tag is longer than %s", bytesText(maxTag))
		}
	}
}

// open reads a tag that begins an element. name is "" when it is none: a "<" in a text.
func (x *xmlReader) open() (name string, alone bool, err error) {
	head, err := x.r.Peek(1)
	if err != nil {
		return "", false, err
	}
	if c := head[0] | 0x20; (c < 'a' || c > 'z') && head[0] != '_' && head[0] < 0x80 {
		x.w.add(WarnStray, "<")
		return "", false, nil
	}
	tag, err := x.readTag()
	if err != nil {
		return "", false, err
	}
	if n := len(tag); n > 0 && tag[n-1] == '/' {
		tag, alone = tag[:n-1], true
	}
	if bytes.Count(tag, []byte("=")) > maxAttrs {
		return "", false, refusedf("an XML tag has more than %d attributes", maxAttrs)
	}
	if x.space == "" {
		x.space = namespace(tag)
	}
	return x.local(tag), alone, nil
}

// local is the name of a tag in lower case, without its namespace's prefix.
func (x *xmlReader) local(tag []byte) string {
	if i := bytes.IndexAny(tag, " \t\r\n/"); i >= 0 {
		tag = tag[:i]
	}
	if known, ok := x.names[string(tag)]; ok {
		return known
	}
	name := string(tag)
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	name = strings.ToLower(strings.ToValidUTF8(cut(name, 60), "?"))
	if len(x.names) < 500 {
		x.names[string(tag)] = name
	}
	return name
}

// namespace is the value of xmlns, or of the first xmlns:prefix.
func namespace(tag []byte) string {
	at := bytes.Index(tag, []byte("xmlns"))
	if at < 0 {
		return ""
	}
	_, rest, ok := bytes.Cut(tag[at:], []byte("="))
	rest = bytes.TrimSpace(rest)
	if !ok || len(rest) < 2 || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	value, _, _ := bytes.Cut(rest[1:], rest[:1])
	return clipped(string(value), maxName)
}

// declaration reads what follows "<!": comments and CDATA are understood, all else is refused.
func (x *xmlReader) declaration() error {
	head, err := x.r.Peek(12)
	switch {
	case strings.EqualFold(string(head), "DOCTYPE html"):
		return errNotXML
	case bytes.HasPrefix(head, []byte("--")):
		_, _ = x.r.Discard(2)
		return x.skipPast("-->", nil)
	case bytes.HasPrefix(head, []byte("[CDATA[")):
		_, _ = x.r.Discard(7)
		return x.skipPast("]]>", &x.text)
	case err != nil && len(head) < 2:
		return err
	}
	return refusedf("XML with a document type declaration or entities is not read")
}

// instruction reads what follows "<?".
func (x *xmlReader) instruction() error {
	x.tag = x.tag[:0]
	if err := x.skipPast("?>", &x.tag); err != nil {
		return err
	}
	if low := bytes.ToLower(x.tag); bytes.HasPrefix(low, []byte("xml")) && !x.wide {
		if m := charsetOf.FindSubmatch(low); m != nil {
			if x.other, _ = htmlindex.Get(string(m[1])); x.other == unicode.UTF8 {
				x.other = nil
			}
		}
	}
	return nil
}

// skipPast reads past an end, and keeps what stands before it where keep is given, up to maxText.
func (x *xmlReader) skipPast(end string, keep *[]byte) error {
	matched := 0
	for {
		c, err := x.r.ReadByte()
		if err != nil {
			return err
		}
		switch {
		case c == end[matched]:
			if matched++; matched == len(end) {
				return nil
			}
			continue
		case matched == len(end)-1 && c == end[0] && c == end[matched-1]: // "--->"
			if keep != nil && len(*keep) < maxText {
				*keep = append(*keep, c)
			}
			continue
		}
		if keep != nil && len(*keep)+matched < maxText {
			*keep = append(append(*keep, end[:matched]...), c)
		}
		matched = 0
		if c == end[0] {
			matched = 1
			if keep != nil && len(*keep) > 0 {
				*keep = (*keep)[:len(*keep)-1]
			}
		}
	}
}

// unescaped replaces the entities of the standard; others stay as they are.
func unescaped(s string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(s, '&')
		if at < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:at])
		s = s[at:]
		end := strings.IndexByte(s[:min(len(s), 12)], ';')
		if end < 0 {
			b.WriteByte('&')
			s = s[1:]
			continue
		}
		b.WriteString(entity(s[:end+1]))
		s = s[end+1:]
	}
}

func entity(s string) string {
	switch s {
	case "&lt;":
		return "<"
	case "&gt;":
		return ">"
	case "&amp;":
		return "&"
	case "&quot;":
		return `"`
	case "&apos;":
		return "'"
	}
	digits, base := strings.TrimPrefix(s[1:len(s)-1], "#"), 10
	if len(digits) == len(s)-2 {
		return s // not by number
	}
	if rest, ok := strings.CutPrefix(strings.ToLower(digits), "x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune || n < ' ' && n != '\t' && n != '\n' && n != '\r' {
		return "\uFFFD"
	}
	return string(rune(n))
}
