package mail

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Address is an e-mail address as the envelope knows it. The zero value is the
// null reverse path <>.
type Address struct {
	Local  string // local part without quotes, case kept; may hold any printable character
	Domain Domain
}

// Limits of RFC 5321 4.5.3.1.1 to 4.5.3.1.3. The path limit of 256 octets
// counts the angle brackets.
const (
	maxLocalBytes   = 64
	maxAddressBytes = 254
)

// ErrAddress is wrapped by every error of ParseAddress.
var ErrAddress = errors.New("invalid address")

// ParseAddress reads one address without angle brackets, strictly: the Mailbox
// of RFC 5321 4.1.2 with the UTF-8 of RFC 6531 3.3. Quoted local parts are
// unquoted. Source routes, comments, white space, control characters and a
// final dot after the domain are refused; "%" and "!" are plain letters of the
// local part and mean nothing here. The empty string is refused too: the null
// reverse path is the caller's to recognise. Every error wraps ErrAddress.
func ParseAddress(s string) (Address, error) {
	if s == "" {
		return Address{}, fmt.Errorf("%w: empty", ErrAddress)
	}
	if len(s) > 4*maxAddressBytes {
		return Address{}, fmt.Errorf("%w: longer than %d octets", ErrAddress, maxAddressBytes)
	}
	if !utf8.ValidString(s) {
		return Address{}, fmt.Errorf("%w: not UTF-8", ErrAddress)
	}
	if s[0] == '@' {
		return Address{}, fmt.Errorf("%w: %q: no local part (source routes are not accepted)", ErrAddress, clip(s, 80))
	}
	local, rest, err := readLocal(s)
	if err != nil {
		return Address{}, err
	}
	if len(rest) < 2 || rest[0] != '@' {
		return Address{}, fmt.Errorf("%w: %q has no domain", ErrAddress, clip(s, 80))
	}
	written := rest[1:]
	if strings.HasSuffix(written, ".") {
		return Address{}, fmt.Errorf("%w: %q ends in a dot", ErrAddress, clip(s, 80))
	}
	domain, err := ParseDomain(written)
	if err != nil {
		return Address{}, fmt.Errorf("%w: %q: %w", ErrAddress, clip(s, 80), err)
	}
	a := Address{Local: local, Domain: domain}
	wire := a.String()
	if n := len(wire) - 1 - len(domain); n > maxLocalBytes {
		return Address{}, fmt.Errorf("%w: local part of %d octets, %d are allowed", ErrAddress, n, maxLocalBytes)
	}
	if len(wire) > maxAddressBytes {
		return Address{}, fmt.Errorf("%w: longer than %d octets", ErrAddress, maxAddressBytes)
	}
	return a, nil
}

// readLocal reads a Dot-string or Quoted-string and returns it unquoted.
func readLocal(s string) (local, rest string, err error) {
	if s[0] == '"' {
		return readQuotedLocal(s)
	}
	i := 0
	for i < len(s) && s[i] != '@' {
		c := s[i]
		switch {
		case c == '.':
			if i == 0 || s[i-1] == '.' || i+1 == len(s) || s[i+1] == '@' {
				return "", "", fmt.Errorf("%w: %q has a dot where none may stand", ErrAddress, clip(s, 80))
			}
		case c < utf8.RuneSelf:
			if !isAtext(c) {
				return "", "", fmt.Errorf("%w: %q holds %q outside quotes", ErrAddress, clip(s, 80), c)
			}
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if !goodRune(r) || unicode.IsSpace(r) {
				return "", "", fmt.Errorf("%w: %q holds %U", ErrAddress, clip(s, 80), r)
			}
			i += n - 1
		}
		i++
	}
	if i == 0 {
		return "", "", fmt.Errorf("%w: %q has no local part", ErrAddress, clip(s, 80))
	}
	return s[:i], s[i:], nil
}

func readQuotedLocal(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\':
			i++
			if i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", "", fmt.Errorf("%w: %q has a bad quoted pair", ErrAddress, clip(s, 80))
			}
			b.WriteByte(s[i])
		case c < ' ' || c == 0x7f:
			return "", "", fmt.Errorf("%w: %q holds a control character", ErrAddress, clip(s, 80))
		case c < utf8.RuneSelf:
			b.WriteByte(c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if !goodRune(r) {
				return "", "", fmt.Errorf("%w: %q holds %U", ErrAddress, clip(s, 80), r)
			}
			b.WriteString(s[i : i+n])
			i += n - 1
		}
	}
	return "", "", fmt.Errorf("%w: %q: the quote is not closed", ErrAddress, clip(s, 80))
}

// goodRune refuses control characters, line separators and the replacement
// character beyond ASCII.
func goodRune(r rune) bool {
	return r != utf8.RuneError && !unicode.IsControl(r) && r != 0x2028 && r != 0x2029
}

// String returns the wire form without angle brackets, quoted where RFC 5321
// asks for it; "" for the null reverse path. Whatever Local holds, the result
// has no control character and so cannot break out of an SMTP command.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	if isDotAtom(a.Local) {
		return a.Local + "@" + string(a.Domain)
	}
	var b strings.Builder
	b.Grow(len(a.Local) + len(a.Domain) + 8)
	b.WriteByte('"')
	for i := 0; i < len(a.Local); i++ {
		c := a.Local[i]
		if c < ' ' || c == 0x7f {
			continue
		}
		if c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteString(`"@`)
	b.WriteString(string(a.Domain))
	return b.String()
}

// IsNull reports whether a is the null reverse path.
func (a Address) IsNull() bool { return a.Local == "" && a.Domain == "" }

// NeedsSMTPUTF8 reports whether the address can only travel with the SMTPUTF8
// extension (RFC 6531). The domain never needs it: it is kept in A-labels.
func (a Address) NeedsSMTPUTF8() bool { return !isASCII(a.Local) }

// isDotAtom reports whether s is a Dot-string of RFC 5321, UTF-8 allowed.
func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i, r := range s {
		switch {
		case r == '.':
			if s[i-1] == '.' {
				return false
			}
		case r < utf8.RuneSelf:
			if !isAtext(byte(r)) {
				return false
			}
		case !goodRune(r) || unicode.IsSpace(r):
			return false
		}
	}
	return true
}

// isAtext reports whether c is an atext octet of RFC 5322 3.2.3.
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
