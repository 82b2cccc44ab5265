package provider

import (
	"html"
	"mime"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxText is how much of an answer is looked at: SMTP allows lines of 512 bytes (RFC 5321 section 4.5.3.1.5), and no reply needs more than a few.
const maxText = 4096

// words is an answer's text as patterns see it: lower-case words without accents, one space between them. An address stands as "@", an IP address
// as "#"; the reply's own code and status, which many servers repeat on each line, are left out.
type words struct {
	line string
	each []string
}

// fold makes words of a text. glued is the same with line breaks inside words taken out, empty when there are none.
func fold(s string, code int, enhanced string) (plain, glued words) {
	if len(s) > maxText {
		s = s[:maxText]
	}
	s = decode(s)
	own := ""
	if code != 0 {
		own = strconv.Itoa(code)
	}
	if strings.IndexByte(s, '\n') < 0 {
		return split(s, own, enhanced), words{}
	}
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	inWord := false
	for i := range lines {
		lines[i] = unprefixed(lines[i], own, enhanced)
		inWord = inWord || i > 0 && endsInWord(lines[i-1]) && beginsWithWord(lines[i])
	}
	plain = split(strings.Join(lines, "\n"), own, enhanced)
	if inWord {
		glued = split(strings.Join(lines, ""), own, enhanced)
	}
	return plain, glued
}

func endsInWord(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return wordRune(r)
}

func beginsWithWord(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return wordRune(r)
}

func wordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Mn, r))
}

// unprefixed takes "550-5.7.1 ", "550-" or the status alone from the beginning of a line. The line of a broken word begins at its first column.
func unprefixed(line, own, enhanced string) string {
	rest := strings.TrimLeft(line, " \t")
	if first, after, ok := strings.Cut(rest, " "); ok && first == enhanced && first != "" {
		return after
	}
	if len(rest) < 4 || !digits(rest[:3]) || rest[3] != '-' && (rest[3] != ' ' || rest[:3] != own) {
		return line
	}
	rest = rest[4:]
	if end := strings.IndexByte(rest, ' '); end > 0 && isStatus(rest[:end]) {
		return rest[end+1:]
	}
	return rest
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// isStatus reports whether a word has the form of an enhanced status code (RFC 3463).
func isStatus(s string) bool {
	if len(s) < 5 || s[0] != '2' && s[0] != '4' && s[0] != '5' || s[1] != '.' {
		return false
	}
	subject, detail, ok := strings.Cut(s[2:], ".")
	return ok && len(subject) <= 3 && len(detail) <= 3 && digits(subject) && digits(detail)
}

// decode undoes the encodings in which texts of servers arrive.
func decode(s string) string {
	if strings.Contains(s, "=?") {
		var d mime.WordDecoder
		if t, err := d.DecodeHeader(s); err == nil {
			s = t
		}
	}
	if strings.IndexByte(s, '=') >= 0 {
		s = unquote(s)
	}
	if strings.IndexByte(s, '&') >= 0 {
		s = html.UnescapeString(s)
	}
	if !utf8.ValidString(s) {
		s = fromLatin1(s)
	}
	if strings.Contains(s, "\u00c3") || strings.Contains(s, "\u00c2") {
		s = unmangle(s)
	}
	return s
}

// unquote undoes quoted-printable (RFC 2045 section 6.7) where a text certainly is: =XX of a byte above ASCII, or a soft line break. A text without
// them is left alone, since an equals sign may stand before anything.
func unquote(s string) string {
	soft := strings.Contains(s, "=\n") || strings.Contains(s, "=\r\n")
	if !soft {
		found := false
		for i := 0; i+2 < len(s) && !found; i++ {
			found = s[i] == '=' && upperHex(s[i+1]) >= 8 && upperHex(s[i+2]) >= 0
		}
		if !found {
			return s
		}
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '=' {
			rest := s[i+1:]
			switch {
			case strings.HasPrefix(rest, "\r\n"):
				i += 2
				continue
			case strings.HasPrefix(rest, "\n"):
				i++
				continue
			case len(rest) >= 2 && upperHex(rest[0]) >= 0 && upperHex(rest[1]) >= 0:
				b.WriteByte(byte(upperHex(rest[0])<<4 | upperHex(rest[1])))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func upperHex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// fromLatin1 takes bytes that are no UTF-8 as ISO 8859-1, one by one: texts that mix both exist.
func fromLatin1(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			r = rune(s[i])
		}
		b.WriteRune(r)
		i += n
	}
	return b.String()
}

// cp1252 is where Windows-1252 differs from ISO 8859-1 in 0x80..0x9f, without what is undefined there.
var cp1252 = [32]rune{'€', 0, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0, 'Ž', 0, 0, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0, 'ž', 'Ÿ'}

// unmangle undoes UTF-8 that was read as Latin-1 or Windows-1252 and encoded again: "Ã©" is "é".
func unmangle(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r == 0xc3 || r == 0xc2 {
			next, m := utf8.DecodeRuneInString(s[i:])
			low := next
			if r == 0xc3 && next == ' ' { // à: its second byte is a no-break space, and became a space
				low, m = 0xa0, 0
			}
			for j, w := range cp1252 {
				if w == next {
					low = rune(0x80 + j)
				}
			}
			if low >= 0x80 && low <= 0xbf {
				r = (r&0x1f)<<6 | low&0x3f
				i += m
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

// latin is U+00C0 to U+00FF in lower case without accents.
const latin = "aaaaaaaceeeeiiiidnooooo ouuuuypsaaaaaaaceeeeiiiidnooooo ouuuuypy"

// split makes words.
func split(s, own, enhanced string) words {
	buf := make([]byte, 0, len(s)+8)
	ends := make([]int, 0, 48)
	begin, dots := 0, 0 // of the word being written
	at, colon := strings.LastIndexByte(s, '@'), strings.LastIndexByte(s, ':')
	end := func() {
		if len(buf) == begin {
			return
		}
		switch w := buf[begin:]; {
		case string(w) == own || string(w) == enhanced:
			buf = buf[:begin]
			return
		case dots == 3 && isIPv4(string(w)):
			buf = append(buf[:begin], '#')
		}
		dots = 0
		ends = append(ends, len(buf))
		buf = append(buf, ' ')
		begin = len(buf)
	}
	special := func(c byte) {
		end()
		buf = append(buf, c)
		end()
	}
	for i := 0; i < len(s); {
		c := s[i]
		if len(buf) == begin && c > ' ' && c < utf8.RuneSelf { // a word may begin here: is it an address?
			if i < at {
				if n := address(s[i:]); n > 0 {
					special('@')
					i += n
					continue
				}
			}
			if i < colon {
				if n := ipv6(s[i:]); n > 0 {
					special('#')
					i += n
					continue
				}
			}
		}
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			buf = append(buf, c)
			i++
		case 'A' <= c && c <= 'Z':
			buf = append(buf, c+'a'-'A')
			i++
		case c == '.' && i > 0 && i+1 < len(s) && digit(s[i-1]) && digit(s[i+1]) && len(buf) > begin:
			buf = append(buf, c)
			dots++
			i++
		case c == '-' && len(buf) == begin+1 && buf[begin] == 'e' && len(s) >= i+5 && strings.EqualFold(s[i+1:i+5], "mail"):
			i++ // e-mail is email
		case c == '#' && strings.HasPrefix(s[i:], "#.#.#.#"):
			special('#')
			i += 7
		case c < utf8.RuneSelf:
			end()
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			i += n
			if out, ok := foldRune(buf, r); ok {
				buf = out
			} else {
				end()
			}
		}
	}
	end()
	if len(ends) == 0 {
		return words{}
	}
	out := words{line: string(buf[:len(buf)-1]), each: make([]string, len(ends))}
	from := 0
	for i, to := range ends {
		out.each[i] = out.line[from:to]
		from = to + 1
	}
	return out
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// foldRune appends a letter without its accents; ok is false for what separates words.
func foldRune(buf []byte, r rune) (out []byte, ok bool) {
	switch {
	case r == 0xad || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Mn, r): // soft hyphens, invisible marks, accents that stand alone
		return buf, true
	case r == 0xdf:
		return append(buf, "ss"...), true
	case r == 0xc6 || r == 0xe6:
		return append(buf, "ae"...), true
	case r == 0x152 || r == 0x153:
		return append(buf, "oe"...), true
	case r >= 0xc0 && r <= 0xff:
		c := latin[r-0xc0]
		return append(buf, c), c != ' '
	case !wordRune(r):
		return buf, false
	}
	for _, d := range norm.NFKD.String(string(r)) {
		if !unicode.Is(unicode.Mn, d) && wordRune(d) {
			buf = utf8.AppendRune(buf, unicode.ToLower(d))
		}
	}
	return buf, true
}

func isIPv4(w string) bool {
	if len(w) < 7 || len(w) > 15 {
		return false
	}
	for part := range strings.SplitSeq(w, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n > 255 {
			return false
		}
	}
	return true
}

// address returns the length of the mail address that a text begins with, 0 when it begins with none.
func address(s string) int {
	at := -1
	for i := 0; i < len(s) && i < 320; i++ {
		switch c := s[i]; {
		case c == '@':
			if at >= 0 {
				return 0
			}
			at = i
		case c <= ' ' || c == '<' || c == '>' || c == '(' || c == ')' || c == '[' || c == ']' || c == '"' || c == ',' || c == ';' || c == ':':
			if at > 0 && i > at+1 {
				return i
			}
			return 0
		}
	}
	if at > 0 && at+1 < len(s) && len(s) < 320 {
		return len(s)
	}
	return 0
}

// ipv6 returns the length of the IPv6 address that a text begins with, 0 when it begins with none.
func ipv6(s string) int {
	n, colons := 0, 0
	for n < len(s) && n < 46 {
		c := s[n] | 0x20
		if s[n] == ':' {
			colons++
		} else if !digit(s[n]) && (c < 'a' || c > 'f') && s[n] != '.' {
			break
		}
		n++
	}
	if colons < 2 {
		return 0
	}
	for ; n > 2; n-- { // a full stop or a colon may follow the address
		if s[n-1] != '.' && s[n-1] != ':' || strings.HasSuffix(s[:n], "::") {
			break
		}
	}
	if _, err := netip.ParseAddr(s[:n]); err != nil {
		return 0
	}
	return n
}
