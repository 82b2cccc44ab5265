package mail

import (
	"bytes"
	"fmt"
	"slices"
)

// maxLine is the longest line in octets without its line end (RFC 5321
// 4.5.3.1.6, RFC 5322 2.1.1).
const maxLine = 998

// Reencoding says what Reencode must reach beside short lines.
type Reencoding struct {
	SevenBit bool // no octet above 127 may remain: the next server lacks 8BITMIME (RFC 6152)
}

// ReencodeError says why a message cannot be re-encoded.
type ReencodeError struct {
	Line int    // line of the message that cannot stay and cannot be mended, from 1
	Why  string // a short English sentence without the line
}

// Error names the line and the reason.
func (e *ReencodeError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

// LongLine returns the number, from 1, of the first line above 998 octets, 0 if
// there is none. It looks from window to window for the last line end in each
// and so touches only a small part of an ordinary message.
func LongLine(raw []byte) int {
	if at := longLineAt(raw); at >= 0 {
		return 1 + bytes.Count(raw[:at], []byte{'\n'})
	}
	return 0
}

// longLineAt returns where the first line above 998 octets begins, or -1.
func longLineAt(raw []byte) int {
	const window = maxLine + 2
	pos := 0
	for len(raw)-pos > maxLine {
		end := min(pos+window, len(raw))
		i := bytes.LastIndexByte(raw[pos:end], '\n')
		if i < 0 {
			return pos
		}
		// Only the line that fills the window can be too long by its last octet.
		if i == window-1 && raw[pos+i-1] != '\r' && bytes.IndexByte(raw[pos:], '\n') == i {
			return pos
		}
		pos += i + 1
	}
	return -1
}

// Reencode returns the message in a form that every server takes: no line above
// 998 octets and, with SevenBit, no octet above 127 (RFC 6152 3). What a reader
// gets stays the same: text parts become quoted-printable, or base64 where that
// is shorter; other parts become base64; parts that are base64 or
// quoted-printable already are only wrapped anew; header lines are folded, at
// white space first, then where the syntax of the field allows white space, at
// last as encoded words (RFC 2047) and encoded parameters (RFC 2231). Attached
// messages may not be encoded (RFC 2045 6.4): their parts are. Lines that no
// reader sees, before the first and after the last boundary, are broken.
//
// Everything else stays octet for octet. When nothing is to be done, out is raw
// itself and changed is false. raw is never written to.
//
// A *ReencodeError is returned, and raw, when it is not possible: inside
// multipart/signed and multipart/encrypted, whose octets are signed (RFC 1847
// 2.1); where RFC 2045 forbids an encoding; where a field cannot be folded; where
// the message exceeds the default Limits; and whenever the result, read again,
// would not hold the same contents. Signatures that a message brings along (DKIM)
// do not survive a change. Time and memory are linear in len(raw).
func Reencode(raw []byte, o Reencoding) (out []byte, changed bool, err error) {
	if longLineAt(raw) < 0 && (!o.SevenBit || isASCIIBytes(raw)) {
		return raw, false, nil
	}
	m := Parse(raw, DefaultLimits())
	r := reencoder{raw: raw, sevenBit: o.SevenBit, eol: "\r\n", out: make([]byte, 0, len(raw)+len(raw)/8+512)}
	if i := bytes.IndexByte(raw, '\n'); i == 0 || i > 0 && raw[i-1] != '\r' {
		r.eol = "\n"
	}
	if at, _ := r.bad(0, len(raw)); unread(m) {
		return raw, false, r.fail(at, "the message has more parts, levels or header fields than are read")
	}
	if err := r.part(m.Root); err != nil {
		return raw, false, err
	}
	r.gap(len(raw))
	if at := longLineAt(r.out); at >= 0 || o.SevenBit && !isASCIIBytes(r.out) || !sameContent(m, Parse(r.out, DefaultLimits())) {
		at, _ = r.bad(0, len(raw))
		return raw, false, r.fail(at, "the message is too irregular to be re-encoded without changing what it says")
	}
	return r.out, true, nil
}

// unread reports whether a limit kept Parse from reading the structure whole.
func unread(m *Message) bool {
	return slices.ContainsFunc(m.Defects, func(d Defect) bool {
		switch d.Code {
		case DefectMIMETooMany, DefectMIMETooDeep, DefectHeaderTooLarge, DefectHeaderTooMany:
			return true
		}
		return false
	})
}

// sameContent reports whether two messages say the same: author, subject, and
// the decoded leaves.
func sameContent(a, b *Message) bool {
	same := len(a.leaves) == len(b.leaves) && a.Subject() == b.Subject() && a.fromFields == b.fromFields &&
		slices.EqualFunc(a.from, b.from, func(x, y Mailbox) bool { return x.Address == y.Address && x.Name == y.Name })
	for i := 0; same && i < len(a.leaves); i++ {
		x, y := a.leaves[i], b.leaves[i]
		same = x.Path == y.Path && x.MediaType == y.MediaType && x.Filename == y.Filename && x.Disposition == y.Disposition &&
			bytes.Equal(x.Decoded(), y.Decoded()) && (x.Charset == y.Charset || x.Text() == y.Text())
	}
	return same
}

// reencoder writes a message anew, from front to back.
type reencoder struct {
	raw      []byte
	sevenBit bool
	eol      string // line end of the message: CRLF, or LF in a file saved on Unix
	out      []byte
	pos      int // raw[:pos] is written or dropped
}

// bad returns where the first line in raw[from:to] begins that cannot stay.
func (r *reencoder) bad(from, to int) (at int, found bool) {
	if from >= to {
		return from, false
	}
	b := r.raw[from:to]
	at = longLineAt(b)
	if r.sevenBit && !isASCIIBytes(b) {
		i := bytes.IndexFunc(b, func(c rune) bool { return c >= 0x80 })
		if at < 0 || i < at {
			at = i
		}
	}
	if at < 0 {
		return from, false
	}
	return from + at, true
}

func (r *reencoder) fail(at int, why string) error {
	return &ReencodeError{Line: 1 + bytes.Count(r.raw[:at], []byte{'\n'}), Why: why}
}

// keep writes raw up to to as it is.
func (r *reencoder) keep(to int) {
	if to > r.pos {
		r.out = append(r.out, r.raw[r.pos:to]...)
		r.pos = to
	}
}

// gap writes raw up to to: boundary lines and what stands around them unseen.
func (r *reencoder) gap(to int) {
	if _, found := r.bad(r.pos, to); !found {
		r.keep(to)
		return
	}
	for r.pos < to {
		next := to
		if i := bytes.IndexByte(r.raw[r.pos:to], '\n'); i >= 0 {
			next = r.pos + i + 1
		}
		if _, found := r.bad(r.pos, next); found {
			r.unseenLine(r.raw[r.pos:next])
			r.pos = next
		}
		r.keep(next)
	}
}

// unseenLine writes a line that no reader shows. White space after a boundary
// means nothing (RFC 2046 5.1.1).
func (r *reencoder) unseenLine(line []byte) {
	text := bytes.TrimRight(line, "\r\n")
	end := line[len(text):]
	text = bytes.TrimRight(text, " \t\r")
	for {
		piece := text[:min(len(text), maxLine)]
		if len(text) > maxLine {
			// No line that a cut makes may look like a boundary.
			n := len(piece)
			for n > 0 && text[n] == '-' {
				n--
			}
			if n == 0 {
				text = text[:maxLine] // dashes only
				continue
			}
			piece = text[:n]
		}
		text = text[len(piece):]
		for _, c := range piece {
			if c >= 0x80 && r.sevenBit {
				c = '?'
			}
			r.out = append(r.out, c)
		}
		if len(text) == 0 {
			break
		}
		r.out = append(r.out, r.eol...)
	}
	if len(end) > len(r.eol) {
		end = []byte(r.eol)
	}
	r.out = append(r.out, end...)
}

// part writes what belongs to p: header, body, and what its children leave.
func (r *reencoder) part(p *Part) error {
	r.gap(p.headAt)
	at, found := r.bad(p.bodyAt, p.bodyEnd)
	composite := p.isMultipart() || p.isMessage() && !p.encoded()
	switch {
	case !found:
		if err := r.header(p, ""); err != nil {
			return err
		}
		r.keep(p.bodyEnd)
		return nil
	case p.MediaType == "multipart/signed" || p.MediaType == "multipart/encrypted":
		return r.fail(at, "it stands in a "+p.MediaType+" part, which may not be changed")
	case composite && len(p.Children) > 0:
		if err := r.header(p, ""); err != nil {
			return err
		}
		for _, c := range p.Children {
			if err := r.part(c); err != nil {
				return err
			}
		}
		r.gap(p.bodyEnd)
		return nil
	case composite:
		return r.fail(at, "it stands in a "+p.MediaType+" part whose structure cannot be read")
	}
	encoding, why := r.encodingFor(p)
	if why != "" {
		return r.fail(at, why)
	}
	if err := r.header(p, encoding); err != nil {
		return err
	}
	if encoding == "base64" {
		r.out = appendBase64Lines(r.out, p.Decoded(), r.eol)
		if p.bodyEnd == len(r.raw) { // elsewhere the boundary brings the line end
			r.out = append(r.out, r.eol...)
		}
	} else {
		r.out = appendQuotedPrintable(r.out, p.Decoded(), r.eol)
	}
	r.pos = p.bodyEnd
	return nil
}
