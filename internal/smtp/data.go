package smtp

import (
	"bytes"
	"fmt"
)

// flaw is what makes a received message unacceptable. The zero value means nothing.
type flaw struct {
	code int
	enh  Enhanced
	text string
}

func (f flaw) found() bool { return f.code != 0 }

func (f flaw) reply() Reply { return Reply{Code: f.code, Enhanced: f.enh, Lines: []string{f.text}} }

func flawTooBig(max int64) flaw {
	return flaw{552, Enhanced{5, 3, 4}, fmt.Sprintf("Message too big: the limit is %d bytes", max)}
}

func flawBusy() flaw {
	return flaw{452, Enhanced{4, 3, 1}, "Too much mail in progress, please try again later"}
}

// reserver is the account of memory that all messages in progress share.
type reserver interface {
	reserve(n int64) bool
	release(n int64)
}

// reserveStep is the least memory booked at a time, in bytes, so that the shared counter is touched rarely.
const reserveStep = 64 << 10

// maxTrustedSize is the largest declared size for which room is made at once, in bytes: a declaration costs a client nothing.
const maxTrustedSize = 1 << 20

// collector gathers the bytes of one message within the limits. After the first flaw it keeps nothing and only counts, so
// that the rest of the data can be read past and the connection stays in step.
type collector struct {
	max      int64 // bytes
	declared int64 // size to expect, by the SIZE parameter or the BDAT chunks so far; 0 when not known
	budget   reserver
	reserved int64
	msg      []byte
	flaw     flaw
	lost     int64 // bytes thrown away after the flaw
}

// add appends b to the message.
func (c *collector) add(b []byte) {
	if c.flaw.found() {
		c.lost += int64(len(b))
		return
	}
	if len(b) == 0 {
		return
	}
	size := int64(len(c.msg) + len(b))
	if size > c.max {
		c.fail(flawTooBig(c.max))
		return
	}
	if size > int64(cap(c.msg)) && !c.growTo(size) {
		return
	}
	c.msg = append(c.msg, b...)
}

// growTo makes room for size bytes and books it. A message that comes in one piece gets exactly its size; a longer one what the
// client declared, within reason, or twice what it has.
func (c *collector) growTo(size int64) bool {
	room := size
	if c.declared > size && c.declared <= maxTrustedSize {
		room = c.declared
	} else if len(c.msg) > 0 {
		room = min(2*size, c.max)
	}
	if room > c.reserved {
		step := max(room-c.reserved, reserveStep)
		if !c.budget.reserve(step) {
			c.fail(flawBusy())
			return false
		}
		c.reserved += step
	}
	grown := make([]byte, len(c.msg), room)
	copy(grown, c.msg)
	c.msg = grown
	return true
}

// fail remembers the first flaw and lets the memory go.
func (c *collector) fail(f flaw) {
	if !c.flaw.found() {
		c.flaw = f
	}
	c.drop()
}

// drop lets the message and its booking go.
func (c *collector) drop() {
	c.msg = nil
	if c.reserved > 0 {
		c.budget.release(c.reserved)
		c.reserved = 0
	}
}

// readDotted reads message data up to CRLF.CRLF, and nothing else ends it (RFC 5321 4.1.1.4): a dot between bare CRs or LFs
// is text. The dot that stuffs a line is taken off only at the start of a line that follows a CRLF (4.5.2). An error is one
// of the connection, or ErrFlood when as much as a whole message was thrown away and there is still no end.
func readDotted(l *LineReader, c *collector) error {
	l.keepLarge = true
	defer func() { l.keepLarge = false }()
	l.grow()
	lineStart := true // the window begins at the start of a line
	for {
		used, next, done := scanDotted(l.buf[l.r:l.w], lineStart, c)
		l.r += used
		if done {
			return nil
		}
		lineStart = next
		if c.lost > c.max {
			return ErrFlood
		}
		if err := l.fill(); err != nil {
			return err
		}
	}
}

// scanDotted takes what it can decide from the window w: used bytes. lineStart says whether the window begins a line, next
// whether the rest does. It leaves back a trailing CR and a trailing prefix of the end mark.
func scanDotted(w []byte, lineStart bool, c *collector) (used int, next, done bool) {
	i, run := 0, 0 // run: start of bytes to keep that were not added yet
	for i < len(w) {
		if lineStart && w[i] == '.' {
			if rest := w[i+1:]; len(rest) < 2 && bytes.HasPrefix([]byte("\r\n"), rest) {
				c.add(w[run:i])
				return i, true, false
			} else if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
				c.add(w[run:i])
				return i + 3, true, true
			}
			c.add(w[run:i])
			i++
			run = i
		}
		j := bytes.IndexByte(w[i:], '\n')
		if j < 0 {
			end := len(w)
			if w[end-1] == '\r' {
				end--
			}
			c.add(w[run:end])
			// What is left is nothing or a CR, so whether a dot would begin the line does not matter.
			return end, false, false
		}
		lineStart = j > 0 && w[i+j-1] == '\r'
		i += j + 1
	}
	c.add(w[run:])
	return len(w), lineStart, false
}

// readCounted reads exactly n bytes of a BDAT chunk (RFC 3030).
func readCounted(l *LineReader, n int64, c *collector) error {
	if n > smallBuffer {
		l.keepLarge = true
		defer func() { l.keepLarge = false }()
		l.grow()
	}
	for n > 0 {
		if l.r == l.w {
			if err := l.fill(); err != nil {
				return err
			}
		}
		w := l.buf[l.r:l.w]
		if int64(len(w)) > n {
			w = w[:n]
		}
		c.add(w)
		l.r += len(w)
		n -= int64(len(w))
	}
	return nil
}

// finish makes the collected bytes a message that may travel: CRLF line ends only, no NUL, no line above lineBytes, a CRLF
// at the end. policy is ServerOptions.BareNewline. It returns the message or what is wrong with it.
func finish(msg []byte, policy string, lineBytes int) ([]byte, flaw) {
	if i := bytes.IndexByte(msg, 0); i >= 0 {
		return nil, flaw{554, Enhanced{5, 6, 0}, fmt.Sprintf("Message refused: NUL byte in line %d", lineNumber(msg, i))}
	}
	if where, what := bareNewline(msg); where >= 0 {
		if policy != BareNewlineNormalize {
			return nil, flaw{554, Enhanced{5, 6, 0}, fmt.Sprintf("Message refused: bare %s in line %d; lines must end with CRLF", what, lineNumber(msg, where))}
		}
		msg = normalize(msg)
	}
	if len(msg) > 0 && msg[len(msg)-1] != '\n' {
		msg = append(msg, '\r', '\n')
	}
	if n := longLine(msg, lineBytes); n > 0 {
		return nil, flaw{554, Enhanced{5, 6, 0}, fmt.Sprintf("Message refused: line %d is longer than %d bytes", n, lineBytes)}
	}
	return msg, flaw{}
}

// bareNewline finds the first CR without LF or LF without CR; -1 when there is none.
func bareNewline(msg []byte) (where int, what string) {
	pairs := 0
	for i := 0; ; {
		j := bytes.IndexByte(msg[i:], '\n')
		if j < 0 {
			break
		}
		if i+j == 0 || msg[i+j-1] != '\r' {
			where = i + j
			// A bare CR may come first.
			if k := loneCR(msg[:where]); k >= 0 {
				return k, "CR"
			}
			return where, "LF"
		}
		pairs++
		i += j + 1
	}
	if bytes.Count(msg, []byte{'\r'}) == pairs {
		return -1, ""
	}
	return loneCR(msg), "CR"
}

// loneCR is the place of the first CR without LF, -1 when there is none.
func loneCR(msg []byte) int {
	for i := 0; i < len(msg); {
		j := bytes.IndexByte(msg[i:], '\r')
		if j < 0 {
			return -1
		}
		i += j
		if i+1 == len(msg) || msg[i+1] != '\n' {
			return i
		}
		i += 2
	}
	return -1
}

// lineNumber counts from 1 the line in which byte at stands; a line ends with CRLF, bare CR or bare LF.
func lineNumber(msg []byte, at int) int {
	head := msg[:at]
	return 1 + bytes.Count(head, []byte{'\n'}) + bytes.Count(head, []byte{'\r'}) - bytes.Count(head, []byte("\r\n"))
}

// longLine is the number of the first line above limit bytes, CRLF included; 0 when there is none.
func longLine(msg []byte, limit int) int {
	for i, line := 0, 1; len(msg)-i > limit; line++ {
		j := bytes.IndexByte(msg[i:], '\n')
		if j < 0 || j+1 > limit {
			return line
		}
		i += j + 1
	}
	return 0
}

// normalize turns every bare CR and bare LF into CRLF. A dot that now begins a line is text: it is stuffed when the message
// leaves again.
func normalize(msg []byte) []byte {
	out := make([]byte, 0, len(msg)+len(msg)/16+16)
	for i := 0; i < len(msg); i++ {
		switch c := msg[i]; {
		case c == '\n':
			out = append(out, '\r', '\n')
		case c == '\r':
			out = append(out, '\r', '\n')
			if i+1 < len(msg) && msg[i+1] == '\n' {
				i++
			}
		default:
			out = append(out, c)
		}
	}
	return out
}
