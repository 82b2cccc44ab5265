package mail

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
)

// Part is one node of the MIME tree (RFC 2045, 2046). A multipart and an
// attached message have Children; every other part is a leaf. It is read-only
// and safe for concurrent use.
type Part struct {
	Header      Header
	MediaType   string            // lower case "text/html"; the default of RFC 2045 5.2 when missing or malformed
	Params      map[string]string // of Content-Type, names lower case; nil if none
	Disposition string            // lower case "attachment", "inline"…; "" if none
	Filename    string            // decoded, from Content-Disposition or the name parameter; never to be trusted as a path
	Charset     string            // declared, lower case; "" if none
	Encoding    string            // Content-Transfer-Encoding, lower case; "7bit" if none
	Raw         []byte            // undecoded body, without the line end that belongs to the boundary
	Preamble    []byte            // of a multipart: what comes before the first boundary
	Epilogue    []byte            // of a multipart: what comes after the final boundary
	Children    []*Part
	Parent      *Part  // nil for the root
	Path        string // "1" for the root, "1.2" for its second child…

	msg         *Message
	headAt      int // where the header begins in the buffer that was read
	bodyAt      int // where the body begins in it
	bodyEnd     int // where the body ends in it
	boundary    string
	decodeOnce  sync.Once
	decoded     []byte
	encodingBad string // defect of decoding
	textOnce    sync.Once
	text        string
	charsetBad  string
	htmlOnce    sync.Once
	html        *HTML
}

// maxBoundary is the longest boundary we follow; RFC 2046 5.1.1 allows 70.
const maxBoundary = 256

// openPart is a part whose end has not been seen.
type openPart struct {
	part   *Part
	delim  []byte // "--boundary" of a multipart, nil else
	start  int    // where its body begins
	inside bool   // its first boundary was seen
	closed bool   // its final boundary was seen
	rest   int    // where its epilogue begins
}

// walker splits one buffer into parts.
type walker struct {
	*parser
	buf   []byte
	depth int // of the enclosing buffers
	open  []openPart
	over  bool // the limit of parts was reached
}

// tree fills root, whose body begins at pos, from buf. It walks over the buffer
// once, keeping the open boundaries on a stack, however deep the nesting.
func (p *parser) tree(buf []byte, pos int, root *Part, depth int) {
	w := walker{parser: p, buf: buf, depth: depth}
	pos = w.enter(root, pos)
	for w.wantsLines() {
		at := w.nextDashes(pos)
		if at < 0 {
			break
		}
		pos = w.boundaryLine(at)
	}
	w.closeAbove(-1, len(buf))
}

// wantsLines reports whether any boundary is still looked for.
func (w *walker) wantsLines() bool {
	if w.over {
		return false
	}
	for i := range w.open {
		if w.open[i].delim != nil {
			return true
		}
	}
	return false
}

// nextDashes returns where the next line that begins with "--" starts, at or
// after the line start pos; -1 if none.
func (w *walker) nextDashes(pos int) int {
	if bytes.HasPrefix(w.buf[pos:], []byte("--")) {
		return pos
	}
	i := bytes.Index(w.buf[pos:], []byte("\n--"))
	if i < 0 {
		return -1
	}
	return pos + i + 1
}

// match finds the innermost open multipart that the line is a boundary of.
func (w *walker) match(line []byte) (i int, final bool) {
	for i = len(w.open) - 1; i >= 0; i-- {
		o := &w.open[i]
		if o.delim == nil || !bytes.HasPrefix(line, o.delim) {
			continue
		}
		tail := bytes.TrimRight(line[len(o.delim):], " \t\r")
		final = len(tail) == 2 && tail[0] == '-' && tail[1] == '-'
		if len(tail) != 0 && !final {
			// One boundary may be the head of another one that is open too.
			if !w.defects.full(DefectMIMEBoundaryPrefix) && !w.isOther(line, i) {
				w.defects.add(DefectMIMEBoundaryPrefix, atPart(o.part), "a line begins like the boundary and goes on")
			}
			continue
		}
		if o.closed {
			if !w.defects.full(DefectMIMEAfterClose) {
				w.defects.add(DefectMIMEAfterClose, atPart(o.part), "the boundary occurs after the final boundary")
			}
			continue
		}
		return i, final
	}
	return -1, false
}

// isOther reports whether line is exactly a boundary of another open part.
func (w *walker) isOther(line []byte, not int) bool {
	line = bytes.TrimRight(line, " \t\r")
	short, _ := bytes.CutSuffix(line, []byte("--"))
	for i := range w.open {
		if d := w.open[i].delim; i != not && d != nil && (bytes.Equal(line, d) || bytes.Equal(short, d)) {
			return true
		}
	}
	return false
}

// isBoundary reports whether a header line is a boundary of an open multipart.
func (w *walker) isBoundary(line []byte) bool {
	if !bytes.HasPrefix(line, []byte("--")) {
		return false
	}
	for i := range w.open {
		o := &w.open[i]
		if o.delim == nil || o.closed || !bytes.HasPrefix(line, o.delim) {
			continue
		}
		tail := bytes.TrimRight(line[len(o.delim):], " \t\r")
		if len(tail) == 0 || string(tail) == "--" {
			return true
		}
	}
	return false
}

// boundaryLine handles the line that starts at at with "--" and returns where
// to go on.
func (w *walker) boundaryLine(at int) int {
	line, next := w.buf[at:], len(w.buf)
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line, next = line[:i], at+i+1
	}
	i, final := w.match(line)
	if i < 0 {
		return next
	}
	end := at // the line end before a boundary belongs to it (RFC 2046 5.1.1)
	if end > 0 && w.buf[end-1] == '\n' {
		end--
		if end > 0 && w.buf[end-1] == '\r' {
			end--
		}
	}
	w.closeAbove(i, end)
	o := &w.open[i]
	if !o.inside {
		o.inside = true
		o.part.Preamble = w.buf[o.start:max(o.start, end)]
	}
	if final {
		o.closed, o.rest = true, next
		return next
	}
	if w.parts >= w.limits.Parts {
		w.tooMany(o.part)
		o.closed, o.rest = true, at
		w.over = true
		return next
	}
	return w.child(o.part, next)
}

func (w *walker) tooMany(p *Part) {
	w.defects.add(DefectMIMETooMany, atPart(p), "more parts than the limit; the rest was not read")
}

// child begins a new child of parent whose header is at pos.
func (w *walker) child(parent *Part, pos int) int {
	w.parts++
	part := &Part{
		Parent: parent,
		Path:   parent.Path + "." + strconv.Itoa(len(parent.Children)+1),
		msg:    w.msg,
	}
	parent.Children = append(parent.Children, part)
	h, body := w.header(w.buf, pos, part, w.isBoundary)
	part.Header, part.headAt = h, pos
	kind := "text/plain"
	if parent.MediaType == "multipart/digest" {
		kind = "message/rfc822" // RFC 2046 5.1.5
	}
	w.describe(part, kind)
	return w.enter(part, body)
}

// enter puts a part with its body at pos on the stack, and what an attached
// message holds on top of it. It returns where to look for boundaries next.
func (w *walker) enter(part *Part, pos int) int {
	w.open = append(w.open, openPart{part: part, start: pos, rest: -1})
	o := &w.open[len(w.open)-1]
	multi, message := part.isMultipart(), part.isMessage()
	if !multi && !message {
		return pos
	}
	if w.depth+len(w.open) > w.limits.Depth {
		w.defects.add(DefectMIMETooDeep, atPart(part), "nested deeper than the limit; not looked into")
		return pos
	}
	if multi {
		if w.goodBoundary(part) {
			o.delim = []byte("--" + part.boundary)
		}
		return pos
	}
	if w.parts >= w.limits.Parts {
		w.tooMany(part)
		return pos
	}
	if part.encoded() {
		return pos // read when its end is known, see finish
	}
	return w.child(part, pos)
}

// goodBoundary checks the boundary of a multipart and says whether to use it.
func (w *walker) goodBoundary(part *Part) bool {
	b := part.boundary
	where := atPart(part)
	if b == "" {
		w.defects.add(DefectMIMEBoundaryMissing, where, part.MediaType+" without a boundary")
		return false
	}
	if len(b) > 70 {
		w.defects.add(DefectMIMEBoundaryLong, where, "a boundary of "+strconv.Itoa(len(b))+" octets")
		if len(b) > maxBoundary {
			return false
		}
	}
	if !boundaryChars(b) {
		w.defects.add(DefectMIMEBoundaryBad, where, "a boundary with characters that may not stand in it")
		if strings.ContainsAny(b, "\r\n") {
			return false
		}
	}
	for i := range w.open {
		if d := w.open[i].delim; d != nil && string(d[2:]) == b {
			w.defects.add(DefectMIMEBoundaryReused, where, "the boundary of "+atPart(w.open[i].part)+" is used again")
		}
	}
	return true
}

// boundaryChars holds b to bchars of RFC 2046 5.1.1.
func boundaryChars(b string) bool {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if !isAlpha(c) && (c < '0' || c > '9') && strings.IndexByte("'()+_,-./:=? ", c) < 0 {
			return false
		}
	}
	return b[len(b)-1] != ' '
}

// closeAbove ends all parts above index i of the stack at end.
func (w *walker) closeAbove(i, end int) {
	for len(w.open) > i+1 {
		o := &w.open[len(w.open)-1]
		w.finish(o, end)
		w.open = w.open[:len(w.open)-1]
	}
}

// finish sets what is known at the end of a part.
func (w *walker) finish(o *openPart, end int) {
	end = max(end, o.start)
	part := o.part
	part.Raw, part.bodyAt, part.bodyEnd = w.buf[o.start:end:end], o.start, end
	if o.delim != nil {
		switch {
		case !o.inside:
			w.defects.add(DefectMIMEBoundaryUnused, atPart(part), "the boundary does not occur in the body")
		case o.closed:
			part.Epilogue = w.buf[min(o.rest, end):end]
		default:
			w.defects.add(DefectMIMENotClosed, atPart(part), "the final boundary is missing")
		}
	}
	if len(part.Children) > 0 {
		return
	}
	if part.isMessage() && part.encoded() && w.depth+len(w.open) <= w.limits.Depth && w.parts < w.limits.Parts {
		// RFC 2046 5.2.1 forbids it, senders do it, and readers open it.
		inner := walker{parser: w.parser, buf: part.Decoded(), depth: w.depth + len(w.open)}
		w.embedded(part, &inner)
		return
	}
	if (part.Encoding == "7bit" || part.encoded()) && !isASCIIBytes(part.Raw) {
		w.defects.add(DefectMIME8Bit, atPart(part), "8-bit octets in a part declared "+part.Encoding)
	}
}

// embedded reads the decoded bytes of an encoded attached message. The depth
// limit bounds the recursion.
func (w *walker) embedded(part *Part, inner *walker) {
	w.parts++
	child := &Part{Parent: part, Path: part.Path + ".1", msg: w.msg}
	part.Children = append(part.Children, child)
	h, body := inner.header(inner.buf, 0, child, nil)
	child.Header = h
	inner.describe(child, "text/plain")
	w.tree(inner.buf, body, child, inner.depth)
}

func (p *Part) isMultipart() bool { return strings.HasPrefix(p.MediaType, "multipart/") }

// isMessage reports a whole message inside (RFC 2046 5.2.1, RFC 6532 3.7).
func (p *Part) isMessage() bool {
	return p.MediaType == "message/rfc822" || p.MediaType == "message/global"
}

// isText reports whether a reader is shown the part as text: text/plain,
// text/html, other text types, and multiparts that could not be split.
func (p *Part) isText() bool {
	return strings.HasPrefix(p.MediaType, "text/") || p.isMultipart() && len(p.Children) == 0
}

// encoded reports an encoding that changes the bytes.
func (p *Part) encoded() bool { return p.Encoding == "base64" || p.Encoding == "quoted-printable" }

// describe reads the content fields of a part. kind is the default media type.
func (p *parser) describe(part *Part, kind string) {
	part.MediaType, part.Encoding = kind, "7bit"
	var ctype, disp paramValue
	var seenType, seenDisp, seenEnc bool
	for i := range part.Header {
		f := &part.Header[i]
		if len(f.Name) < 12 || !strings.EqualFold(f.Name[:8], "Content-") {
			continue
		}
		switch {
		case nameIs(f.Name, "Content-Type"):
			if p.again(&seenType, f, part) {
				continue
			}
			ctype = parseParams(f.Value())
			p.paramDefects(&ctype, "Content-Type", part)
			if validMediaType(ctype.value) {
				part.MediaType = ctype.value
			} else {
				p.defects.add(DefectMIMEBadType, atPart(part), "Content-Type is "+clip(f.Value(), 80))
			}
		case nameIs(f.Name, "Content-Disposition"):
			if p.again(&seenDisp, f, part) {
				continue
			}
			disp = parseParams(f.Value())
			p.paramDefects(&disp, "Content-Disposition", part)
			part.Disposition = disp.value
			if !isToken(disp.value) {
				p.defects.add(DefectMIMEBadDisposition, atPart(part), "Content-Disposition is "+clip(f.Value(), 80))
			}
		case nameIs(f.Name, "Content-Transfer-Encoding"):
			if !p.again(&seenEnc, f, part) {
				p.encoding(part, f.Value())
			}
		}
	}
	part.Params = ctype.params
	part.Charset = strings.ToLower(strings.Trim(ctype.params["charset"], " '\""))
	part.boundary = strings.TrimRight(ctype.params["boundary"], " \t")
	part.Filename = p.filename(part, ctype, disp)
	if part.encoded() && (part.isMultipart() || part.isMessage()) {
		p.defects.add(DefectMIMEEncodedComposite, atPart(part), part.MediaType+" with encoding "+part.Encoding)
	}
}

// again notes that a content field was seen, and a defect when it was before;
// the top header is checked by topDefects.
func (p *parser) again(seen *bool, f *Field, part *Part) bool {
	if *seen && part.Parent != nil {
		p.defects.add(DefectHeaderDuplicate, atPart(part), f.Name+" occurs more than once")
	}
	was := *seen
	*seen = true
	return was
}

// encoding reads Content-Transfer-Encoding (RFC 2045 6.1).
func (p *parser) encoding(part *Part, v string) {
	v = v[skipCFWS(v, 0):]
	if i := strings.IndexAny(v, " \t(;"); i >= 0 {
		v = v[:i]
	}
	v = strings.ToLower(v)
	part.Encoding = v
	switch v {
	case "7bit", "8bit", "binary", "base64", "quoted-printable":
	default:
		p.defects.add(DefectMIMEBadEncoding, atPart(part), "Content-Transfer-Encoding is "+clip(v, 40))
	}
}

func (p *parser) paramDefects(v *paramValue, field string, part *Part) {
	if v.bad {
		p.defects.add(DefectMIMEBadParam, atPart(part), "the parameters of "+field+" are malformed")
	}
	if v.duplicate != "" {
		p.defects.add(DefectMIMEDuplicateParam, atPart(part), field+" gives "+clip(v.duplicate, 40)+" twice")
	}
}

// filename chooses among the spellings of the file name as clients do:
// Content-Disposition first, then the name of Content-Type.
func (p *parser) filename(part *Part, ctype, disp paramValue) string {
	a, b := decodeWords(disp.params["filename"]), decodeWords(ctype.params["name"])
	if disp.nameDiffer || ctype.nameDiffer || a != "" && b != "" && !strings.EqualFold(baseName(a), baseName(b)) {
		p.defects.add(DefectMIMEAmbiguousName, atPart(part), "different file names: "+clip(a, 60)+" and "+clip(b, 60))
	}
	if a == "" {
		return b
	}
	return a
}

// baseName drops the folders that some programs leave in a file name.
func baseName(s string) string { return s[strings.LastIndexAny(s, `/\`)+1:] }

func validMediaType(v string) bool {
	kind, sub, ok := strings.Cut(v, "/")
	return ok && isToken(kind) && isToken(sub)
}

// isToken holds s to token of RFC 2045 5.1.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?=", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// Decoded returns the bytes without their transfer encoding; for a multipart
// its raw body. It is computed once and must not be changed.
func (p *Part) Decoded() []byte {
	p.decodeOnce.Do(func() {
		bad := false
		switch {
		case p.isMultipart() && len(p.Children) > 0:
			p.decoded = p.Raw
		case p.Encoding == "base64":
			p.decoded = appendBase64(make([]byte, 0, len(p.Raw)/4*3+3), p.Raw, &bad)
			if bad {
				p.encodingBad = DefectBase64
			}
		case p.Encoding == "quoted-printable":
			p.decoded, bad = decodeQP(p.Raw)
			if bad {
				p.encodingBad = DefectQuotedPrintable
			}
		default:
			p.decoded = p.Raw
		}
	})
	return p.decoded
}

// Text returns a text part in UTF-8, always valid; for text/html the source.
// For parts that are not text it is "". It is computed once.
func (p *Part) Text() string {
	p.textOnce.Do(func() {
		if !p.isText() {
			return
		}
		b, name := p.Decoded(), p.Charset
		if name == "" && p.MediaType == "text/html" && !isASCIIBytes(b) && !validUTF8(b) {
			name = htmlCharset(b)
		}
		p.text, p.charsetBad = toUTF8(b, name)
	})
	return p.text
}

// HTML returns what a text/html part shows, nil for every other part. It is
// computed once.
func (p *Part) HTML() *HTML {
	if p.MediaType != "text/html" {
		return nil
	}
	p.htmlOnce.Do(func() {
		limits := DefaultLimits()
		if p.msg != nil {
			limits = p.msg.limits
		}
		p.html = parseHTML(p.Text(), limits)
		p.html.SourceBytes = len(p.Decoded())
	})
	return p.html
}
