package rules

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

var (
	asciiCharset  = regexp.MustCompile(`(?i)^(?:(?:US-)?ASCII|ANSI[_ ]?X3\.4-(?:1986|1968)|ISO646-US)$`)
	commonCharset = regexp.MustCompile(`(?i)^(?:ISO[ -]?8859(?:-\d{1,2})?|Windows-\d{4}|UTF-?8|(?:KOI8|EUC)-[A-Z]{1,2}|Big5|GBK|GB[ -]?18030(?:-20\d\d)?)$`)
	plainASCII    = regexp.MustCompile(`(?i)^(?:US-)?ASCII$`)
	latin1Charset = regexp.MustCompile(`(?i)^(?:ISO-?8859-1|Windows-1252|CP1252)$`)
	utf8Charset   = regexp.MustCompile(`(?i)^UTF-?8$`)
	jis7Charset   = regexp.MustCompile(`(?i)^(?:iso-2022-jp(?:-1)?|7bit-jis)$`)
	utf16Charset  = regexp.MustCompile(`(?i)^UTF[ -]?16`)
)

// normalize turns text into UTF-8 the way SpamAssassin guesses: valid UTF-8 first (unless insist), then the declared charset, then
// Windows-1252. The result is wide when it was decoded; otherwise it is the bytes as they came.
func normalize(b []byte, declared string, insist bool) text {
	high := has8Bit(b)
	if !high && (asciiCharset.MatchString(declared) || commonCharset.MatchString(declared)) {
		return text{s: string(b)}
	}
	triedUTF8 := false
	if high && !insist {
		if utf8.Valid(b) {
			return text{s: string(b), wide: true}
		}
		triedUTF8 = true
	}
	if s, ok := decodeDeclared(b, declared, insist, triedUTF8); ok {
		return text{s: s, wide: true}
	}
	if !high {
		return text{s: string(b)}
	}
	s, _ := windows1252(b, false)
	return text{s: s, wide: true}
}

func has8Bit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}

func decodeDeclared(b []byte, declared string, insist, triedUTF8 bool) (string, bool) {
	switch {
	case plainASCII.MatchString(declared) && !insist:
		return "", false
	case latin1Charset.MatchString(declared):
		return windows1252(b, !insist)
	case utf8Charset.MatchString(declared):
		if triedUTF8 {
			return "", false
		}
		if utf8.Valid(b) {
			return string(b), true
		}
		return strings.ToValidUTF8(string(b), "\uFFFD"), insist
	}
	if !insist && jis7Charset.MatchString(declared) {
		// Perl's decoder ends at the first octet that is not of seven bits, and takes what came before for all there is.
		if i := slices.IndexFunc(b, func(c byte) bool { return c >= 0x80 }); i >= 0 {
			b = b[:i]
		}
	}
	var enc encoding.Encoding
	if utf16Charset.MatchString(declared) {
		enc = guessUTF16(b)
	} else {
		found, err := htmlindex.Get(strings.TrimSpace(declared))
		if err != nil {
			return "", false
		}
		enc = found
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil || !insist && strings.Contains(string(out), "\uFFFD") {
		return "", false
	}
	return string(out), true
}

func guessUTF16(b []byte) encoding.Encoding {
	even, odd := 0, 0
	for i, c := range b {
		if c == 0 && i%2 == 0 {
			even++
		} else if c == 0 {
			odd++
		}
	}
	if even > odd {
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
}

// windows1252 decodes; strict refuses the five octets that have no meaning.
func windows1252(b []byte, strict bool) (string, bool) {
	var out strings.Builder
	out.Grow(len(b) + len(b)/8)
	for _, c := range b {
		switch c {
		case 0x81, 0x8d, 0x8f, 0x90, 0x9d:
			if strict {
				return "", false
			}
			out.WriteRune(utf8.RuneError)
		default:
			out.WriteRune(charmap.Windows1252.DecodeByte(c))
		}
	}
	return out.String(), true
}

// latin1 returns the characters of s as octets; those above 255 become "?".
func latin1(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 255 {
			r = '?'
		}
		out = append(out, byte(r))
	}
	return out
}

var (
	lineEnds    = strings.NewReplacer("\r\n", "", "\n", "")
	plainHeader = regexp.MustCompile(`(?i)^(?:Received|(?:Resent-)?(?:Message-ID|Date)|MIME-Version|References|In-Reply-To|List-.*)$`)
	betweenWord = regexp.MustCompile(`(=\?[A-Za-z0-9*_-]+\?[bqBQ]\?[^?]*\?=)\s+(=\?[A-Za-z0-9*_-]+\?[bqBQ]\?)`)
	encodedWord = regexp.MustCompile(`=\?([A-Za-z0-9*_-]+)\?([bqBQ])\?([^?]*)\?=`)
)

// decodeHeader decodes a header value to UTF-8 octets: 8-bit text first, then encoded words, those of one charset joined before decoding.
func decodeHeader(value, name string) string {
	if value == "" {
		return ""
	}
	if strings.IndexByte(value, '\n') >= 0 {
		value = lineEnds.Replace(strings.ReplaceAll(value, "\n\t", "\n "))
	}
	if has8Bit([]byte(value)) {
		value = normalize([]byte(value), "UTF-8", false).s
	}
	if !strings.Contains(value, "=?") || plainHeader.MatchString(name) {
		return value
	}
	for i := 0; i < 2; i++ { // neighbouring pairs overlap: twice is enough
		value = betweenWord.ReplaceAllString(value, "$1$2")
	}
	var out strings.Builder
	var pending []byte
	charset := ""
	flush := func() {
		if pending != nil {
			cs, _, _ := strings.Cut(charset, "*")
			out.WriteString(normalize(pending, cs, true).s)
			pending = nil
		}
	}
	at := 0
	for _, m := range encodedWord.FindAllStringSubmatchIndex(value, -1) {
		if m[0] > at {
			flush()
			out.WriteString(value[at:m[0]])
		}
		cs := strings.ToLower(value[m[2]:m[3]])
		if pending != nil && cs != charset {
			flush()
		}
		charset = cs
		data := value[m[6]:m[7]]
		if value[m[4]]|0x20 == 'b' {
			pending = append(pending, decodeBase64(data)...)
		} else {
			pending = append(pending, decodeQ(data)...)
		}
		if pending == nil {
			pending = []byte{}
		}
		at = m[1]
	}
	flush()
	out.WriteString(value[at:])
	return out.String()
}

// decodeBase64 skips what is no base64 and takes what is there.
func decodeBase64(s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != '_' && isWordByte(c) || c == '+' || c == '/' {
			clean = append(clean, c)
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean)
	return out[:n]
}

func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '_':
			out = append(out, ' ')
		case s[i] == '=' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0:
			out = append(out, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return out
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
