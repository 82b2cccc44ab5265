package report

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// byteMark is the byte order mark in UTF-8.
var byteMark = []byte("\xEF\xBB\xBF")

// units tells UTF-16 and UTF-32 from the first bytes of a report, with a byte order mark (Unicode 23.8) or by its first character, "<", "{" or "[" (XML 1.0 F.1, RFC 4627 3): how many bytes
// a unit has, and whether the greater comes first. 1: neither.
func units(head []byte) (width int, big bool) {
	ascii := func(c byte) bool { return c == '<' || c == '{' || c == '[' }
	switch h := head; {
	case len(h) >= 4 && (bytes.HasPrefix(h, []byte{0xFF, 0xFE, 0, 0}) || ascii(h[0]) && h[1]|h[2]|h[3] == 0):
		return 4, false
	case len(h) >= 4 && (bytes.HasPrefix(h, []byte{0, 0, 0xFE, 0xFF}) || ascii(h[3]) && h[0]|h[1]|h[2] == 0):
		return 4, true
	case len(h) >= 2 && (h[0] == 0xFF && h[1] == 0xFE || ascii(h[0]) && h[1] == 0):
		return 2, false
	case len(h) >= 2 && (h[0] == 0xFE && h[1] == 0xFF || h[0] == 0 && ascii(h[1])):
		return 2, true
	}
	return 1, false
}

// narrowed is a stream in UTF-8 without byte order mark; wide: it was none.
func narrowed(r *bufio.Reader) (out *bufio.Reader, wide bool) {
	head, _ := r.Peek(4)
	if width, big := units(head); width > 1 {
		return bufio.NewReaderSize(&wideReader{r: r, width: width, big: big}, 32<<10), true
	}
	if bytes.HasPrefix(head, byteMark) {
		_, _ = r.Discard(len(byteMark))
	}
	return r, false
}

// narrow is a text in UTF-8 without byte order mark.
func narrow(raw []byte) []byte {
	if width, big := units(raw); width > 1 {
		out, _ := io.ReadAll(&wideReader{r: bufio.NewReader(bytes.NewReader(raw)), width: width, big: big})
		return out
	}
	return bytes.TrimPrefix(raw, byteMark)
}

// firstCharacter is that of a text, past blanks; 0: there is none.
func firstCharacter(head []byte) byte {
	if width, _ := units(head); width > 1 {
		head = narrow(head[:len(head)-len(head)%width])
	}
	if head = bytes.TrimLeft(bytes.TrimPrefix(head, byteMark), " \t\r\n"); len(head) > 0 {
		return head[0]
	}
	return 0
}

// wideReader turns UTF-16 and UTF-32 into UTF-8.
type wideReader struct {
	r     *bufio.Reader
	width int
	big   bool
	out   []byte
	high  rune
}

// Read is io.Reader's.
func (u *wideReader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		c := rune(0)
		for i := range u.width {
			b, err := u.r.ReadByte()
			if err != nil {
				return 0, err
			}
			if u.big {
				c = c<<8 | rune(b)
			} else {
				c |= rune(b) << (8 * i)
			}
		}
		switch {
		case c == 0xFEFF:
		case u.width == 4: // what is no character becomes U+FFFD
			u.out = utf8.AppendRune(u.out, c)
		case utf16.IsSurrogate(c) && u.high == 0:
			u.high = c
		case u.high != 0:
			u.out = utf8.AppendRune(u.out, utf16.DecodeRune(u.high, c))
			u.high = 0
		default:
			u.out = utf8.AppendRune(u.out, c)
		}
	}
	n := copy(p, u.out)
	u.out = u.out[:copy(u.out, u.out[n:])]
	return n, nil
}
