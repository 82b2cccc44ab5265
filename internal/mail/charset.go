package mail

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// toUTF8 converts b from the charset called name (any case, "" = none given) to
// valid UTF-8. Where sender and reader usually agree by mistake we follow the
// reader: text that is valid UTF-8 is UTF-8 when the declaration is missing,
// us-ascii or Latin-1; ISO-8859-1 is read as windows-1252 (WHATWG Encoding
// Standard 4.2). An unknown charset falls back to UTF-8, else windows-1252.
// problem is "" or the code of a defect.
func toUTF8(b []byte, name string) (text, problem string) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "us-ascii", "ascii", "utf-8", "utf8", "ansi_x3.4-1968",
		"iso-8859-1", "iso8859-1", "iso_8859-1", "latin1", "latin-1", "windows-1252", "cp1252", "8bit", "binary", "unicode-1-1-utf-8":
		if isASCIIBytes(b) {
			return string(b), ""
		}
		if utf8.Valid(b) {
			if name == "us-ascii" || name == "ascii" {
				problem = DefectCharsetWrong
			}
			return string(b), problem
		}
		if name == "utf-8" || name == "utf8" || name == "us-ascii" || name == "ascii" {
			problem = DefectCharsetWrong
		}
		return decodeWith(charmap.Windows1252, b), problem
	case "hz-gb-2312":
		return decodeWith(simplifiedchinese.HZGB2312, b), ""
	case "utf-7", "unicode-1-1-utf-7":
		return decodeUTF7(b), ""
	}
	enc, canonical := charset.Lookup(name)
	if enc == nil || canonical == "replacement" || canonical == "x-user-defined" {
		problem = DefectCharsetUnknown
		if utf8.Valid(b) {
			return string(b), problem
		}
		return decodeWith(charmap.Windows1252, b), problem
	}
	out := decodeWith(enc, b)
	if strings.Contains(out, "\uFFFD") {
		problem = DefectCharsetWrong
		if utf8.Valid(b) {
			return string(b), problem
		}
	}
	return out, problem
}

func decodeWith(enc encoding.Encoding, b []byte) string {
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// htmlCharset finds the charset that an HTML document without a declared one
// gives itself (byte order mark or meta element in the first 1024 bytes); ""
// if none.
func htmlCharset(b []byte) string {
	if len(b) > 1024 {
		b = b[:1024]
	}
	_, name, certain := charset.DetermineEncoding(b, "")
	if !certain && name == "windows-1252" {
		return ""
	}
	return name
}

// decodeUTF7 decodes RFC 2152, which no library here knows but spam still uses
// to hide words. Broken sequences are kept as they stand.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	out.Grow(len(b))
	for i := 0; i < len(b); {
		if b[i] != '+' {
			if b[i] < utf8.RuneSelf {
				out.WriteByte(b[i])
			} else {
				out.WriteRune(utf8.RuneError)
			}
			i++
			continue
		}
		i++
		if i < len(b) && b[i] == '-' {
			out.WriteByte('+')
			i++
			continue
		}
		var acc, bits uint32
		var high rune
		for i < len(b) && base64Value[b[i]] < 64 {
			acc = acc<<6 | uint32(base64Value[b[i]])
			bits += 6
			i++
			if bits < 16 {
				continue
			}
			bits -= 16
			unit := rune(acc >> bits & 0xffff)
			acc &= 1<<bits - 1
			switch {
			case 0xd800 <= unit && unit < 0xdc00:
				high = unit
			case 0xdc00 <= unit && unit < 0xe000 && high != 0:
				out.WriteRune(0x10000 + (high-0xd800)<<10 + (unit - 0xdc00))
				high = 0
			default:
				out.WriteRune(unit)
			}
		}
		if i < len(b) && b[i] == '-' {
			i++
		}
	}
	return out.String()
}

// rawText makes header bytes of unknown charset valid UTF-8.
func rawText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return decodeWith(charmap.Windows1252, b)
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isASCIIBytes(b []byte) bool {
	for len(b) >= 8 {
		if (b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7])&0x80 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// clip shortens s to at most n bytes on a rune boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// cleanText makes s fit for evidence: valid UTF-8, no control characters, at
// most n bytes.
func cleanText(s string, n int) string {
	s = strings.ToValidUTF8(clip(s, n), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
