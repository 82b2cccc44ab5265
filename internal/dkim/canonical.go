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

// chunk is how much canonical body is gathered before it is written on.
const chunk = 8 << 10

// relaxedBody writes the relaxed form of body to w (RFC 6376 3.4.4): blanks at
// line ends dropped, runs of blanks as one space, empty lines at the end dropped,
// a final CRLF when there is any content. It writes nothing for an empty body.
func relaxedBody(w io.Writer, body []byte) {
	buf := make([]byte, 0, chunk+512)
	empty := 0 // empty lines seen and not yet written
	for len(body) > 0 {
		line := body
		if i := bytes.IndexByte(body, '\n'); i >= 0 && i > 0 && body[i-1] == '\r' {
			line, body = body[:i-1], body[i+1:]
		} else {
			line, body = cutBodyLine(body)
		}
		line = bytes.TrimRight(line, " \t")
		if len(line) == 0 {
			empty++
			continue
		}
		for ; empty > 0; empty-- {
			buf = append(buf, '\r', '\n')
			buf = flushFull(w, buf)
		}
		for len(line) > 0 {
			n := plainRun(line)
			buf = append(buf, line[:n]...)
			line = line[n:]
			if len(line) > 0 {
				buf = append(buf, ' ')
				line = bytes.TrimLeft(line, " \t")
			}
			buf = flushFull(w, buf)
		}
		buf = append(buf, '\r', '\n')
		buf = flushFull(w, buf)
	}
	_, _ = w.Write(buf) // a hash: never fails
}

// cutBodyLine cuts body at the first CRLF when its first LF is a bare one.
func cutBodyLine(body []byte) (line, rest []byte) {
	if i := bytes.Index(body, []byte("\r\n")); i >= 0 {
		return body[:i], body[i+2:]
	}
	return body, nil
}

// plainRun returns how many bytes at the start of line relaxed canonicalisation
// leaves as they are: up to the first tab or the first run of two blanks.
func plainRun(line []byte) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\t':
			return i
		case ' ':
			if i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\t') {
				return i
			}
		}
	}
	return len(line)
}

// flushFull writes buf on when it has grown to a chunk.
func flushFull(w io.Writer, buf []byte) []byte {
	if len(buf) < chunk {
		return buf
	}
	_, _ = w.Write(buf) // a hash: never fails
	return buf[:0]
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
