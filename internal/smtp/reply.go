package smtp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a reply we read. RFC 5321 4.5.3.1.5 allows 512 bytes a line; longer ones are seen in the wild.
const (
	maxReplyLine  = 2048
	maxReplyLines = 100
	// wireLine is the longest text we put in one reply line, so that code, enhanced code and CRLF stay within 512 bytes.
	wireLine = 480
)

// Errors of ParseReply, besides those of the connection.
var (
	// ErrReplySyntax: what came is not an SMTP reply (RFC 5321 4.2).
	ErrReplySyntax = errors.New("malformed SMTP reply")
	// ErrReplyTooLong: a line above 2048 bytes or more than 100 lines.
	ErrReplyTooLong = errors.New("SMTP reply too long")
)

// Enhanced is an enhanced status code "class.subject.detail" (RFC 3463). The zero value means there is none.
type Enhanced [3]int

// IsZero reports whether there is no enhanced code.
func (e Enhanced) IsZero() bool { return e == Enhanced{} }

// String is the wire form, "5.7.1"; "" for the zero value.
func (e Enhanced) String() string {
	if e.IsZero() {
		return ""
	}
	return strconv.Itoa(e[0]) + "." + strconv.Itoa(e[1]) + "." + strconv.Itoa(e[2])
}

// ParseEnhanced reads "class.subject.detail" with class 2, 4 or 5 and numbers of one to three digits (RFC 3463 2).
func ParseEnhanced(s string) (Enhanced, bool) {
	var e Enhanced
	for i := range e {
		part, rest, more := strings.Cut(s, ".")
		if len(part) == 0 || len(part) > 3 || more != (i < len(e)-1) {
			return Enhanced{}, false
		}
		for _, c := range []byte(part) {
			if c < '0' || c > '9' {
				return Enhanced{}, false
			}
			e[i] = e[i]*10 + int(c-'0')
		}
		s = rest
	}
	if e[0] != 2 && e[0] != 4 && e[0] != 5 {
		return Enhanced{}, false
	}
	return e, true
}

// Reply is one SMTP reply. The zero value means there was none.
type Reply struct {
	Code     int      // three digits, 200..599
	Enhanced Enhanced // zero when the peer gave none or one that contradicts Code
	Lines    []string // text of each line without code, enhanced code and line end; no control characters
}

// OK reports a 2xx reply.
func (r Reply) OK() bool { return r.Code/100 == 2 }

// Temporary reports a 4xx reply.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent reports a 5xx reply.
func (r Reply) Permanent() bool { return r.Code/100 == 5 }

// Text is the text of all lines, joined by spaces.
func (r Reply) Text() string { return strings.Join(r.Lines, " ") }

// String is the reply on one line, "550 5.1.1 No such user", as a log or the Diagnostic-Code of a DSN wants it; "" for the
// zero value.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(r.Code))
	if !r.Enhanced.IsZero() {
		b.WriteByte(' ')
		b.WriteString(r.Enhanced.String())
	}
	for _, l := range r.Lines {
		b.WriteByte(' ')
		b.WriteString(l)
	}
	return b.String()
}

// Err is nil for 2xx and 3xx replies, else the reply as *Error.
func (r Reply) Err() error {
	if r.Code/100 == 2 || r.Code/100 == 3 {
		return nil
	}
	return &Error{Code: r.Code, Enhanced: r.Enhanced, Text: strings.Join(r.Lines, "\n")}
}

// Error is a refusal that knows its SMTP reply. A handler returns it to say what the client is told; the client side
// returns it for what the server said.
type Error struct {
	Code     int      // 4xx or 5xx; 421 from a handler also closes the connection
	Enhanced Enhanced // zero: the server sends the class with ".0.0"
	Text     string   // what the person reads; \n begins another reply line
}

// Error implements error.
func (e *Error) Error() string { return e.Reply().String() }

// Temporary reports a 4xx error: worth trying again.
func (e *Error) Temporary() bool { return e.Code/100 == 4 }

// Reply is the error as a reply.
func (e *Error) Reply() Reply {
	return Reply{Code: e.Code, Enhanced: e.Enhanced, Lines: strings.Split(e.Text, "\n")}
}

// Errorf makes an *Error with a formatted text.
func Errorf(code int, enhanced Enhanced, format string, args ...any) *Error {
	return &Error{Code: code, Enhanced: enhanced, Text: fmt.Sprintf(format, args...)}
}

// IsTemporary reports whether trying again later may succeed. An *Error anywhere in the chain decides by its code; every
// other error (network, time-out, a broken disk) is temporary, because only an answer can be final. nil is not.
func IsTemporary(err error) bool {
	if err == nil {
		return false
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Temporary()
	}
	return true
}

// ParseReply reads one reply, of one or several lines, in bounded memory. A line that ends with a bare LF is taken, control
// characters in the text become "?". The error is ErrReplySyntax, ErrReplyTooLong or that of the connection; after any
// error the connection cannot be trusted any more.
func ParseReply(l *LineReader) (Reply, error) {
	var reply Reply
	for range maxReplyLines {
		line, err := l.ReadLine(maxReplyLine)
		switch {
		case err == nil || errors.Is(err, ErrBareLF) || errors.Is(err, ErrBareCR):
		case errors.Is(err, ErrLongLine) || errors.Is(err, ErrFlood):
			return Reply{}, ErrReplyTooLong
		default:
			return Reply{}, err
		}
		code, more, text, ok := splitReplyLine(line)
		if !ok || reply.Code != 0 && reply.Code != code {
			return Reply{}, fmt.Errorf("%w: %q", ErrReplySyntax, clip(line, 80))
		}
		first := reply.Code == 0
		reply.Code = code
		if word, rest, _ := strings.Cut(text, " "); code >= 200 && (first || !reply.Enhanced.IsZero()) {
			// RFC 2034 4: the class of the enhanced code repeats the first digit; a code that does not is text.
			if e, ok := ParseEnhanced(word); ok && e[0] == code/100 && (first || e == reply.Enhanced) {
				reply.Enhanced = e
				text = strings.TrimLeft(rest, " ")
			}
		}
		reply.Lines = append(reply.Lines, text)
		if !more {
			return reply, nil
		}
	}
	return Reply{}, ErrReplyTooLong
}

// splitReplyLine takes "250-text" or "250 text" or "250" apart.
func splitReplyLine(line []byte) (code int, more bool, text string, ok bool) {
	if len(line) < 3 {
		return 0, false, "", false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	switch line[3] {
	case '-':
		more = true
	case ' ':
	default:
		return 0, false, "", false
	}
	return code, more, printableText(string(line[4:])), true
}

// printableText returns s with every control character replaced by "?" and invalid UTF-8 by U+FFFD.
func printableText(s string) string {
	clean := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// clip cuts b to n bytes for an error text.
func clip(b []byte, n int) string {
	if len(b) > n {
		return string(b[:n]) + "..."
	}
	return string(b)
}

// appendReply appends the wire form: every line "code-enhanced text" within 512 bytes, printable ASCII only (RFC 5321 4.2:
// textstring), so that nothing from outside can break out of its line.
func appendReply(b []byte, r Reply) []byte {
	lines := r.Lines
	if len(lines) == 0 {
		lines = []string{""}
	}
	if len(lines) > maxReplyLines {
		lines = lines[:maxReplyLines]
	}
	for i, text := range lines {
		for len(text) > wireLine {
			cut := strings.LastIndexByte(text[:wireLine], ' ')
			if cut <= 0 {
				cut = wireLine
			}
			b = appendReplyLine(b, r, text[:cut], false)
			text = strings.TrimLeft(text[cut:], " ")
		}
		b = appendReplyLine(b, r, text, i == len(lines)-1)
	}
	return b
}

func appendReplyLine(b []byte, r Reply, text string, last bool) []byte {
	b = strconv.AppendInt(b, int64(r.Code), 10)
	if last {
		b = append(b, ' ')
	} else {
		b = append(b, '-')
	}
	if !r.Enhanced.IsZero() {
		b = strconv.AppendInt(b, int64(r.Enhanced[0]), 10)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(r.Enhanced[1]), 10)
		b = append(b, '.')
		b = strconv.AppendInt(b, int64(r.Enhanced[2]), 10)
		b = append(b, ' ')
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= ' ' && c < 0x7f:
			b = append(b, c)
		case c >= 0x80 && c < 0xc0: // continuation byte of a character already replaced
		default:
			b = append(b, '?')
		}
	}
	return append(b, '\r', '\n')
}

// replyOf turns what a handler returned into the reply the client gets; log says that the error should be logged because
// the client is not told about it.
func replyOf(err error) (reply Reply, log bool) {
	var e *Error
	if errors.As(err, &e) && e.Code >= 400 && e.Code <= 599 {
		r := e.Reply()
		if r.Enhanced.IsZero() || r.Enhanced[0] != r.Code/100 {
			r.Enhanced = Enhanced{r.Code / 100, 0, 0}
		}
		return r, false
	}
	if errors.Is(err, context.Canceled) {
		return Reply{Code: 421, Enhanced: Enhanced{4, 3, 2}, Lines: []string{"Service shutting down"}}, false
	}
	return Reply{Code: 451, Enhanced: Enhanced{4, 3, 0}, Lines: []string{"Local error, please try again later"}}, true
}
