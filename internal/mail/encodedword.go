package mail

import (
	"strings"
	"unicode/utf8"
)

func validUTF8(b []byte) bool { return utf8.Valid(b) }

// decodeWords replaces the encoded words of RFC 2047 in s. It is as tolerant as
// mail clients are: words may touch other text, may be longer than 75 octets and
// may hold spaces; a character split over two neighbouring words of one charset
// is put together. What is no encoded word stays. Linear in len(s).
func decodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return cleanHeaderText(s)
	}
	var out strings.Builder
	out.Grow(len(s))
	var pending []byte // bytes of neighbouring words of one charset
	pendingCharset := ""
	flush := func() {
		if len(pending) > 0 {
			text, _ := toUTF8(pending, pendingCharset)
			out.WriteString(text)
			pending = pending[:0]
		}
	}
	plainFrom, nextEnd := 0, -1
	afterWord := false
	for i := 0; ; {
		j := strings.Index(s[i:], "=?")
		if j < 0 {
			break
		}
		i += j
		cs, enc, start, ok := wordHead(s, i)
		if !ok {
			i += 2
			continue
		}
		if nextEnd < start { // the first "?=" at or after start; looked for once
			k := strings.Index(s[start:], "?=")
			if k < 0 {
				break
			}
			nextEnd = start + k
		}
		plain := s[plainFrom:i]
		// RFC 2047 6.2: white space between two encoded words is not shown.
		if !afterWord || strings.Trim(plain, " \t\r\n") != "" {
			flush()
			out.WriteString(rawText([]byte(plain)))
		}
		if cs != pendingCharset {
			flush()
			pendingCharset = cs
		}
		pending = appendWord(pending, enc, s[start:nextEnd])
		i = nextEnd + 2
		plainFrom = i
		afterWord = true
	}
	flush()
	out.WriteString(rawText([]byte(s[plainFrom:])))
	return cleanHeaderText(out.String())
}

// wordHead reads "=?charset?X?" at i; X is B or Q. The language suffix of RFC
// 2231 5 is dropped. start is where the encoded text begins.
func wordHead(s string, i int) (charset string, enc byte, start int, ok bool) {
	const maxCharset = 64
	j := i + 2
	for j < len(s) && s[j] != '?' && s[j] > ' ' && j-i < maxCharset {
		j++
	}
	if j+2 >= len(s) || s[j] != '?' || s[j+2] != '?' || j == i+2 {
		return "", 0, 0, false
	}
	enc = s[j+1] | 0x20
	if enc != 'b' && enc != 'q' {
		return "", 0, 0, false
	}
	charset, _, _ = strings.Cut(strings.ToLower(s[i+2:j]), "*")
	return charset, enc, j + 3, true
}

// appendWord appends the decoded bytes of one encoded text.
func appendWord(dst []byte, enc byte, text string) []byte {
	if enc == 'b' {
		return appendBase64(dst, text, nil)
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '_':
			dst = append(dst, ' ')
		case '=':
			if i+2 < len(text) && hexValue(text[i+1]) < 16 && hexValue(text[i+2]) < 16 {
				dst = append(dst, hexValue(text[i+1])<<4|hexValue(text[i+2]))
				i += 2
				continue
			}
			dst = append(dst, c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// cleanHeaderText makes s valid UTF-8 and takes out what must not come out of
// an encoded word into a log, a page or another header: line ends and TABs
// (which folding leaves behind) become spaces, other control characters vanish.
func cleanHeaderText(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	s = rawText([]byte(s))
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == 0x85 || r == 0x2028 || r == 0x2029:
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0:
			return -1
		}
		return r
	}, s)
}
