package dkim

import (
	"bytes"
	"hash"
	"io"
)

// relaxedField appends the relaxed form of a header field (RFC 6376 3.4.2) to
// dst: name in lower case, lines unfolded, runs of blanks as one space, none
// around the colon or at the end, then CRLF.
func relaxedField(dst, raw []byte) []byte {
	colon := bytes.IndexByte(raw, ':')
	if colon < 0 {
		colon = len(raw)
	}
	for _, c := range bytes.TrimRight(raw[:colon], " \t\r\n") {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	if colon < len(raw) {
		dst = relaxedValue(dst, raw[colon+1:])
	}
	return append(dst, '\r', '\n')
}

// relaxedValue appends value unfolded and with its blanks reduced.
func relaxedValue(dst, value []byte) []byte {
	start, blank := len(dst), false
	for i, c := range value {
		switch {
		case c == ' ' || c == '\t':
			blank = true
		case c == '\r' && i+1 < len(value) && value[i+1] == '\n':
		case c == '\n' && i > 0 && value[i-1] == '\r':
		default:
			if blank && len(dst) > start {
				dst = append(dst, ' ')
			}
			blank = false
			dst = append(dst, c)
		}
	}
	return dst
}

// simpleField appends the field unchanged (RFC 6376 3.4.1), with the CRLF that a
// message ending inside its header lacks.
func simpleField(dst, raw []byte) []byte {
	dst = append(dst, raw...)
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// chunk is how much rewritten body is gathered before it is written on.
const chunk = 8 << 10

// relaxedBody writes the relaxed form of body to w (RFC 6376 3.4.4): blanks at
// line ends dropped, runs of blanks as one space, empty lines at the end dropped,
// a final CRLF when there is any content. It writes nothing for an empty body.
//
// Most lines are in relaxed form already; runs of them are written as they lie, and
// only the others are copied.
func relaxedBody(w io.Writer, body []byte) {
	var (
		out    = bodyWriter{w: w, body: body}
		blanks = blankFinder{body: body, tab: -1, double: -1}
		empty  = 0 // empty lines seen and not yet written
	)
	for pos := 0; pos < len(body); {
		end, next := lineEnd(body, pos)
		line := bytes.TrimRight(body[pos:end], " \t")
		switch {
		case len(line) == 0:
			empty++
		case len(line) == end-pos && next > end && !blanks.within(pos, end):
			out.verbatim(pos, next, empty)
			empty = 0
		default:
			out.reduced(line, next, empty)
			empty = 0
		}
		pos = next
	}
	out.flush()
}

// lineEnd returns where the line at pos ends and the next begins, which is the same
// when no CRLF follows.
func lineEnd(body []byte, pos int) (end, next int) {
	for from := pos; ; {
		i := bytes.IndexByte(body[from:], '\n')
		if i < 0 {
			return len(body), len(body)
		}
		i += from
		if i > pos && body[i-1] == '\r' {
			return i - 1, i + 1
		}
		from = i + 1
	}
}

// blankFinder knows the next tab and the next pair of spaces, and looks for each only
// when it has been passed, so that a whole body costs one search.
type blankFinder struct {
	body        []byte
	tab, double int
}

// within reports whether a tab or a pair of spaces begins in body[pos:end]; pos must
// not decrease from call to call.
func (b *blankFinder) within(pos, end int) bool {
	find := func(at int, what string) int {
		if at >= pos {
			return at
		}
		if i := bytes.Index(b.body[pos:], []byte(what)); i >= 0 {
			return pos + i
		}
		return len(b.body)
	}
	b.tab = find(b.tab, "\t")
	b.double = find(b.double, "  ")
	return b.tab < end || b.double < end
}

// bodyWriter writes ranges of body as they lie and rewritten lines through a buffer.
type bodyWriter struct {
	w          io.Writer
	body       []byte
	start, end int // range of body to be written as it lies
	buf        []byte
}

// verbatim takes in body[pos:next] after some empty lines.
func (o *bodyWriter) verbatim(pos, next, empty int) {
	if len(o.buf) == 0 && o.end+2*empty == pos {
		o.end = next // the empty lines lie right before it
		return
	}
	o.lines(empty)
	o.flush()
	o.start, o.end = pos, next
}

// reduced takes in a line whose blanks have to be reduced, after some empty lines.
func (o *bodyWriter) reduced(line []byte, next, empty int) {
	o.lines(empty)
	if o.buf == nil {
		o.buf = make([]byte, 0, chunk+1<<10)
	}
	if bytes.IndexByte(line, '\t') < 0 {
		for {
			i := bytes.Index(line, []byte("  "))
			if i < 0 {
				break
			}
			o.buf = append(o.buf, line[:i+1]...)
			line = bytes.TrimLeft(line[i+2:], " ")
		}
		o.buf = append(o.buf, line...)
	} else {
		o.buf = appendReduced(o.buf, line)
	}
	o.buf = append(o.buf, '\r', '\n')
	o.start, o.end = next, next
	if len(o.buf) >= chunk {
		o.flush()
	}
}

// appendReduced appends line with each run of blanks as one space.
func appendReduced(dst, line []byte) []byte {
	blank := false
	for _, c := range line {
		if c == ' ' || c == '\t' {
			blank = true
			continue
		}
		if blank {
			dst = append(dst, ' ')
			blank = false
		}
		dst = append(dst, c)
	}
	return dst
}

// lines turns to the buffer and puts empty lines there.
func (o *bodyWriter) lines(empty int) {
	if o.end > o.start {
		_, _ = o.w.Write(o.body[o.start:o.end]) // a hash: never fails
		o.start = o.end
	}
	for ; empty > 0; empty-- {
		o.buf = append(o.buf, '\r', '\n')
		if len(o.buf) >= chunk {
			o.flush()
		}
	}
}

// flush writes what is waiting: either the range or the buffer.
func (o *bodyWriter) flush() {
	if o.end > o.start {
		_, _ = o.w.Write(o.body[o.start:o.end]) // a hash: never fails
		o.start = o.end
	}
	if len(o.buf) > 0 {
		_, _ = o.w.Write(o.buf) // a hash: never fails
		o.buf = o.buf[:0]
	}
}

// simpleBody writes the simple form of body to w (RFC 6376 3.4.3): empty lines at
// the end reduced to one CRLF, which also stands for an empty body.
func simpleBody(w io.Writer, body []byte) {
	for bytes.HasSuffix(body, []byte("\r\n")) {
		body = body[:len(body)-2]
	}
	_, _ = w.Write(body)           // a hash: never fails
	_, _ = w.Write([]byte("\r\n")) // a hash: never fails
}

// limitedHash hashes the first limit bytes and counts all of them.
type limitedHash struct {
	h     hash.Hash
	limit int64 // -1: no limit (l= absent)
	seen  int64
}

// Write takes part of the canonical body.
func (l *limitedHash) Write(p []byte) (int, error) {
	if l.limit < 0 {
		l.h.Write(p)
	} else if l.seen < l.limit {
		l.h.Write(p[:min(int64(len(p)), l.limit-l.seen)])
	}
	l.seen += int64(len(p))
	return len(p), nil
}
