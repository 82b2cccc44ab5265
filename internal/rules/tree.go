package rules

import (
	"bytes"
	"encoding/base64"
	"iter"
	"strings"
)

// Limits of the tree that rules see.
const (
	treeDepth     = 20   // nested multiparts and messages, as in SpamAssassin
	partsInOne    = 1000 // parts of one multipart, as in SpamAssassin
	partsInAll    = 2000
	headerFields  = 5000    // kept of one header
	headerBytes   = 1 << 20 // read of one header; what follows is passed over
	mostBlank     = 20      // blank lines in a row that are kept
	invalidFields = 3       // lines that are no fields and that a header may hold
)

// flags are what happened while the message was taken apart. Rules ask for them by name (check_msg_parse_flags).
type flags struct {
	headerTruncated bool // a field was cut, or not all of them fitted in ALL
	noSeparator     bool // no empty line between header and body
	partSeparator   bool // the same in a part
	partHeaders     bool // a boundary that no field follows
	epilogue        bool // text behind the last boundary
	tooManyParts    bool
	cut             bool // there is more than is looked at: fields, parts, tags
	open            bool // a multipart that is opened and not closed, or the other way round
}

// section is a message taken apart: the outer one or one that is attached.
type section struct {
	crlf     bool
	fields   []field
	pristine []byte // the header as it is, with what is no field
	body     []byte // as it is
	text     []byte // the body with LF line ends and fewer blank lines
	flags    flags
}

// readSection finds header and body the way SpamAssassin does: a line that is no field is passed over up to three times and ends the header
// at the fourth; a line that begins with -- ends it at once.
func readSection(raw []byte) section {
	var s section
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte("From\t")) {
		if rest := bytes.TrimLeft(raw[4:], " \t"); len(rest) > 0 && rest[0] != ':' {
			raw = raw[lineEnd(raw, 0):]
		}
	}
	if end := lineEnd(raw, 0); bytes.HasSuffix(raw[:end], []byte("\r\n")) || bytes.HasSuffix(raw, []byte("\r\n")) {
		s.crlf = true
	}
	at, begin, invalid := 0, -1, 0 // begin: of the field being read
	for {
		end := lineEnd(raw, at)
		line := raw[at:end]
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			if begin < 0 {
				begin = at
			}
			at = end
			continue
		}
		if begin >= 0 {
			s.addField(raw[begin:at])
		}
		if len(line) == 0 {
			s.flags.noSeparator = true
			break
		}
		if s.crlf && len(line) == 1 && line[0] == '\n' || s.crlf && string(line) == "\r\n" || !s.crlf && string(line) == "\n" {
			at = end
			break
		}
		if bytes.HasPrefix(line, []byte("--")) {
			s.flags.noSeparator = true
			break
		}
		if fieldName(line, true) == 0 {
			if invalid++; invalid > invalidFields {
				s.flags.noSeparator = true
				break
			}
		}
		begin, at = at, end
	}
	s.pristine, s.body = raw[:at], raw[at:]
	s.text = s.body
	if s.crlf {
		s.text = bytes.ReplaceAll(s.text, []byte("\r\n"), []byte("\n"))
	}
	s.text = fewerBlankLines(s.text)
	return s
}

// addField takes a field with its continuation lines.
func (s *section) addField(raw []byte) {
	name, value, ok := bytes.Cut(raw, []byte(":"))
	if !ok {
		return
	}
	if len(s.fields) >= headerFields {
		s.flags.headerTruncated, s.flags.cut = true, true
		return
	}
	name = bytes.TrimRight(name, " \t")
	if len(name) > headerKeyMax {
		name, s.flags.headerTruncated = name[:headerKeyMax], true
	}
	if len(value) > 2*headerValMax {
		value = value[:2*headerValMax]
	}
	text := string(value)
	if s.crlf {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	if len(text) > headerValMax {
		text, s.flags.headerTruncated = text[:headerValMax], true
	} else if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	s.fields = append(s.fields, field{name: string(name), raw: text})
}

func lineEnd(b []byte, at int) int {
	if i := bytes.IndexByte(b[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(b)
}

// fieldName returns the length of the name a field begins with, 0 if the line begins with none.
func fieldName(line []byte, spaceAllowed bool) int {
	n := 0
	for n < len(line) && line[n] > ' ' && line[n] < 127 && line[n] != ':' {
		n++
	}
	end := n
	for spaceAllowed && end < len(line) && (line[end] == ' ' || line[end] == '\t') {
		end++
	}
	if n == 0 || end >= len(line) || line[end] != ':' {
		return 0
	}
	return n
}

// tree makes the parts.
type tree struct {
	nodes []*node
	flags *flags
	open  map[string]int // by boundary: 1 opened, 0 closed too
}

// message adds a message and all below it.
func (t *tree) message(s *section, depth int) *node {
	n := &node{fields: s.fields}
	t.nodes = append(t.nodes, n)
	ct := parseContentType(n.header("content-type"))
	n.mediaType = ct.media
	text := s.text
	// A multipart whose first line is neither blank nor a boundary: what stands there is no header of a part.
	if strings.HasPrefix(ct.media, "multipart/") && lineEnd(text, 0) < len(text) && len(bytes.Trim(text[:lineEnd(text, 0)], spaces)) > 0 &&
		(ct.boundary == "" || !bytes.HasPrefix(text, []byte("--"+ct.boundary))) {
		text = append([]byte{'\n'}, text...)
	}
	t.fill(n, ct, ct.boundary, text, depth)
	return n
}

// fill gives a part its content: its parts, an attached message, or text.
func (t *tree) fill(n *node, ct contentType, boundary string, text []byte, depth int) {
	if strings.HasPrefix(n.mediaType, "multipart/") && boundary != "" && depth > 0 {
		t.multipart(n, boundary, text, depth-1)
		return
	}
	n.leaf = true
	if !ct.missing {
		n.mediaType = ct.media
		if strings.HasPrefix(ct.media, "multipart/") && boundary == "" {
			n.mediaType = "text/plain"
		}
	}
	n.charset, n.name, n.boundary, n.raw = ct.charset, ct.name, boundary, text
	if m := dispositionName.FindStringSubmatch(n.header("content-disposition")); m != nil {
		n.name = m[1]
	}
	n.effective = n.mediaType
	if htmlName.MatchString(n.name) {
		n.effective = "text/html"
	}
	if (n.mediaType == "message/rfc822" || n.mediaType == "message/global") && depth > 0 && len(t.nodes) < partsInAll {
		if b := n.decode(); len(b) > 0 {
			s := readSection(b)
			n.leaf, n.raw, n.decoded = false, nil, nil
			n.children = append(n.children, t.message(&s, depth-1))
		}
	}
}

// boundaryLine reports whether a line is a boundary, and whether it is the last.
func boundaryLine(line, boundary []byte) (is, last bool) {
	if len(line) < 2 || line[0] != '-' || line[1] != '-' || !bytes.HasPrefix(line[2:], boundary) {
		return false, false
	}
	rest := line[2+len(boundary):]
	if last = bytes.HasPrefix(rest, []byte("--")); last {
		rest = rest[2:]
	}
	return len(bytes.Trim(rest, spaces)) == 0, last
}

// multipart splits a body at its boundary.
func (t *tree) multipart(n *node, boundary string, text []byte, depth int) {
	bound := []byte(boundary)
	at := 0
	for from := 0; from < len(text); {
		end := lineEnd(text, from)
		if is, last := boundaryLine(text[from:end], bound); is && !last {
			t.open[boundary] = 1
			t.flags.partHeaders = t.flags.partHeaders || end < len(text) && fieldName(text[end:], false) == 0
			at = end
			break
		}
		from = end
	}
	p := partReader{t: t, parent: n, boundary: boundary, text: text, depth: depth}
	p.restart(at)
	nested := false
	for at < len(text) {
		end := lineEnd(text, at)
		line := text[at:end]
		is, last := boundaryLine(line, bound)
		if is && nested {
			is, nested = false, !last
			last = false
		}
		if !is && end < len(text) {
			nested = p.line(at, end) || nested
			at = end
			continue
		}
		p.finish(at, end, is)
		at = end
		if last {
			t.open[boundary]--
			break
		}
		t.flags.partHeaders = t.flags.partHeaders || end < len(text) && fieldName(text[end:], false) == 0
		if len(n.children) >= partsInOne || len(t.nodes) >= partsInAll {
			t.flags.tooManyParts, t.flags.cut = true, true
			return
		}
		p.restart(at)
	}
	t.flags.epilogue = t.flags.epilogue || len(bytes.Trim(text[at:], spaces+".")) > 0
}

// partReader reads one part after the other.
type partReader struct {
	t        *tree
	parent   *node
	boundary string
	text     []byte
	depth    int

	node   *node
	field  int // where the field being read begins, -1 for none
	body   int // where the body begins, -1 while in the header
	fields int // bytes of fields
}

func (p *partReader) restart(at int) {
	p.node, p.field, p.body, p.fields = &node{}, -1, -1, 0
}

// line takes a line that is neither a boundary nor the last; it answers whether the header that ended here names the boundary we are in.
func (p *partReader) line(at, end int) (nested bool) {
	if p.body >= 0 {
		return false
	}
	line := p.text[at:end]
	switch {
	case fieldName(line, true) > 0:
		p.endField(at)
		p.field = at
		return false
	case p.field >= 0 && (line[0] == ' ' || line[0] == '\t'):
		return false
	}
	if p.endField(at) {
		ct := parseContentType(p.node.header("content-type"))
		nested = ct.boundary != "" && ct.boundary == p.boundary
	}
	p.body = at
	if string(line) == "\n" || string(line) == "\r\n" {
		p.body = end
	} else {
		p.t.flags.partSeparator = true
	}
	return nested
}

// endField keeps the field that ends here; it answers whether that is a Content-Type.
func (p *partReader) endField(at int) bool {
	if p.field < 0 {
		return false
	}
	name, value, _ := bytes.Cut(p.text[p.field:at], []byte(":"))
	p.field = -1
	if p.fields += len(name) + len(value); len(p.node.fields) >= headerFields || p.fields > headerBytes {
		return false
	}
	f := field{name: string(name), raw: string(bytes.TrimLeft(value, spaces))}
	p.node.fields = append(p.node.fields, f)
	return strings.EqualFold(f.name, "content-type")
}

// finish ends the part before a boundary, or behind the last line of the text.
func (p *partReader) finish(at, end int, boundary bool) {
	n, body := p.node, []byte(nil)
	switch {
	case boundary && p.body >= 0:
		body = bytes.TrimSuffix(p.text[p.body:at], []byte("\n"))
	case boundary:
	case p.body >= 0:
		body = p.text[p.body:end]
	default:
		body = p.text[at:end]
	}
	ct := parseContentType(n.header("content-type"))
	n.mediaType, n.inMultipart = ct.media, true
	if ct.missing && p.parent.mediaType == "multipart/digest" {
		n.mediaType = "message/rfc822"
	}
	if ct.boundary == "" {
		ct.boundary = p.boundary
	}
	p.t.nodes = append(p.t.nodes, n)
	p.parent.children = append(p.parent.children, n)
	p.t.fill(n, ct, ct.boundary, breakLongLines(body), p.depth)
}

// decode returns the part without its transfer encoding; lines of text end in LF.
func (n *node) decode() []byte {
	if n.haveDecoded {
		return n.decoded
	}
	n.haveDecoded = true
	switch n.encoding() {
	case "quoted-printable":
		n.decoded = bytes.ReplaceAll(decodeQuoted(n.raw), []byte("\r\n"), []byte("\n"))
	case "base64":
		n.decoded = decodeBody64(n.raw)
		if kind, _, _ := strings.Cut(n.mediaType, "/"); kind == "text" || kind == "message" {
			n.decoded = bytes.ReplaceAll(n.decoded, []byte("\r\n"), []byte("\n"))
		}
	default:
		n.decoded = n.raw
	}
	return n.decoded
}

// encoding returns the transfer encoding in lower case.
func (n *node) encoding() string {
	return strings.ToLower(strings.TrimSuffix(n.header("content-transfer-encoding"), "\n"))
}

// lines returns the undecoded lines of a part, each with its LF.
func (n *node) lines() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for at := 0; at < len(n.raw); {
			end := lineEnd(n.raw, at)
			if !yield(n.raw[at:end]) {
				return
			}
			at = end
		}
	}
}

// decodeQuoted decodes quoted-printable: white space before line ends goes, soft line ends go, = with two digits is a byte.
func decodeQuoted(b []byte) []byte {
	if bytes.IndexByte(b, '=') < 0 && !bytes.Contains(b, []byte(" \n")) && !bytes.Contains(b, []byte("\t\n")) && bytes.IndexByte(b, '\r') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		end := lineEnd(b, 0)
		line, tail := b[:end], b[end:end]
		if end > 0 && line[end-1] == '\n' {
			n := end - 1
			if n > 0 && line[n-1] == '\r' {
				n--
			}
			line, tail = bytes.TrimRight(line[:n], " \t"), b[n:end]
		}
		if len(tail) > 0 && len(line) > 0 && line[len(line)-1] == '=' {
			line, tail = line[:len(line)-1], nil
		}
		out = append(append(out, line...), tail...)
		b = b[end:]
	}
	to := 0
	for i := 0; i < len(out); i++ {
		c := out[i]
		if c == '=' && i+2 < len(out) && hexDigit(out[i+1]) >= 0 && hexDigit(out[i+2]) >= 0 {
			c = byte(hexDigit(out[i+1])<<4 | hexDigit(out[i+2]))
			i += 2
		}
		out[to] = c
		to++
	}
	return out[:to]
}

// decodeBody64 decodes base64 with SpamAssassin's idea of what is left of it when it is damaged: other characters are passed over, and a =
// before the end stands for zero bits, or for ones where the damage is elsewhere too.
func decodeBody64(b []byte) []byte {
	clean := make([]byte, 0, len(b))
	other, equals := false, 0
	for _, c := range b {
		switch {
		case c != '_' && isWordByte(c) || c == '+' || c == '/':
		case c == '=':
			equals++
		case strings.IndexByte(spaces, c) >= 0:
			continue
		default:
			other = true
			continue
		}
		clean = append(clean, c)
	}
	whole := !other && len(clean)%4 == 0
	length := len(clean)
	for length > 0 && clean[length-1] == '=' {
		length--
		equals--
	}
	clean = clean[:length]
	if equals > 0 {
		with := byte('/')
		if whole {
			with = 'A'
		}
		for i, c := range clean {
			if c == '=' {
				clean[i] = with
			}
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	n, _ := base64.RawStdEncoding.Decode(clean, clean)
	return clean[:n]
}
