package smtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// MaxTextLine is the longest line, in bytes without its CRLF, that the client
// sends (RFC 5321 4.5.3.1.6: 1000 with CRLF; a dot added for transparency does
// not count).
const MaxTextLine = 998

// dataBlock is the size of one write of message content in bytes. It equals
// the largest TLS record, and a typical message fits in one.
const dataBlock = 16 << 10

// dataShape is what the client must know of a message before it sends it.
type dataShape struct {
	size           int64 // bytes with the CRLF that write may add, without stuffing
	dots           bool  // a line begins with a dot
	eightBit       bool  // a byte above 0x7f somewhere
	headerEightBit bool  // a byte above 0x7f in the header section
}

// inspectData looks at a message once and refuses what may not leave. It runs
// on whole lines with the fast byte searches of the bytes package.
func inspectData(message []byte) (dataShape, error) {
	shape := dataShape{size: int64(len(message))}
	if n := len(message); n > 0 && message[n-1] != '\n' {
		shape.size += 2
	}
	if i := bytes.IndexByte(message, 0); i >= 0 {
		return shape, fmt.Errorf("%w: NUL in line %d", ErrBareNewline, lineOf(message, i))
	}
	lines := 0
	for start := 0; start < len(message); lines++ {
		end := bytes.IndexByte(message[start:], '\n')
		if message[start] == '.' {
			shape.dots = true
		}
		if end < 0 {
			if len(message)-start > MaxTextLine {
				return shape, fmt.Errorf("%w: line %d", ErrLineTooLong, lines+1)
			}
			break
		}
		if end == 0 || message[start+end-1] != '\r' {
			return shape, fmt.Errorf("%w: LF in line %d", ErrBareNewline, lines+1)
		}
		if end-1 > MaxTextLine {
			return shape, fmt.Errorf("%w: line %d", ErrLineTooLong, lines+1)
		}
		start += end + 1
	}
	// Every LF has its own CR before it, so a CR beyond their number is bare.
	if bytes.Count(message, []byte{'\r'}) != lines {
		return shape, fmt.Errorf("%w: CR in line %d", ErrBareNewline, lineOf(message, bareCR(message)))
	}
	if shape.eightBit = hasEightBit(message); shape.eightBit {
		header := message
		if i := bytes.Index(message, []byte("\r\n\r\n")); i >= 0 {
			header = message[:i]
		}
		shape.headerEightBit = hasEightBit(header)
	}
	return shape, nil
}

// bareCR returns where the first CR without LF stands; the message has one.
func bareCR(message []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(message[at:], '\r')
		if i < 0 {
			return len(message)
		}
		at += i + 1
		if at == len(message) || message[at] != '\n' {
			return at - 1
		}
	}
}

// lineOf returns the number, from 1, of the line that holds offset at.
func lineOf(message []byte, at int) int {
	return 1 + bytes.Count(message[:at], []byte{'\n'})
}

// hasEightBit reports whether b holds a byte above 0x7f, eight bytes at a time.
func hasEightBit(b []byte) bool {
	const high = 0x8080808080808080
	for len(b) >= 32 {
		w := binary.LittleEndian.Uint64(b) | binary.LittleEndian.Uint64(b[8:]) |
			binary.LittleEndian.Uint64(b[16:]) | binary.LittleEndian.Uint64(b[24:])
		if w&high != 0 {
			return true
		}
		b = b[32:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

// dataWriter sends one message in transparent form (RFC 5321 4.5.2) in blocks.
type dataWriter struct {
	flush func(block []byte) error // writes one block under its own deadline
	buf   []byte                   // pending bytes; grows to dataBlock and is reused
}

// write sends message, with a dot before each line that begins with one, then
// the final dot. A message that does not end in CRLF gets one. The message must
// have passed inspectData. An error means that the final dot was not sent
// whole: the peer cannot have accepted the message.
func (w *dataWriter) write(message []byte, dots bool) error {
	w.buf = w.buf[:0]
	rest := message
	if dots {
		if rest[0] == '.' {
			if err := w.add([]byte{'.'}); err != nil {
				return err
			}
		}
		for {
			i := bytes.Index(rest, []byte("\n."))
			if i < 0 {
				break
			}
			if err := w.add(rest[:i+2]); err != nil {
				return err
			}
			// The dot just added is the stuffing, the line's own one follows.
			rest = rest[i+1:]
		}
	}
	if err := w.add(rest); err != nil {
		return err
	}
	end := ".\r\n"
	if n := len(message); n > 0 && message[n-1] != '\n' {
		end = "\r\n.\r\n"
	}
	if err := w.add([]byte(end)); err != nil {
		return err
	}
	return w.flush(w.buf)
}

// add queues p and flushes full blocks. It keeps the last block back, so that
// the final dot leaves with message content and not in a packet of its own.
func (w *dataWriter) add(p []byte) error {
	for len(p) > 0 {
		if len(w.buf) == dataBlock {
			if err := w.flush(w.buf); err != nil {
				return err
			}
			w.buf = w.buf[:0]
		}
		n := min(dataBlock-len(w.buf), len(p))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
	}
	return nil
}
