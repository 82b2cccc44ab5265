package mail

import (
	"bytes"
)

// base64Value maps an octet to its six bits; 64 is padding, 65 white space, 66
// anything else.
var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 66
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		t[c] = byte(i)
	}
	t['='] = 64
	for _, c := range []byte(" \t\r\n") {
		t[c] = 65
	}
	return t
}()

// hexValue maps a hex digit to its value, anything else to 255. Lower case is
// tolerated (RFC 2045 6.7 asks for upper case).
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// appendBase64 appends the decoded bytes of src. Octets outside the alphabet
// are skipped (RFC 2045 6.8); padding in the middle ends a quantum and decoding
// goes on, for some readers do so and a filter must see what they see. A
// remainder without padding counts. garbage, when not nil, is set if src was
// not clean base64.
func appendBase64[T string | []byte](dst []byte, src T, garbage *bool) []byte {
	var acc uint32
	n := 0
	bad := false
	for i := 0; i < len(src); {
		if n == 0 && i+4 <= len(src) { // four clean characters at a time
			a, b, c, d := base64Value[src[i]], base64Value[src[i+1]], base64Value[src[i+2]], base64Value[src[i+3]]
			if a|b|c|d < 64 {
				dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
				i += 4
				continue
			}
		}
		v := base64Value[src[i]]
		i++
		switch {
		case v < 64:
			acc = acc<<6 | uint32(v)
			if n++; n == 4 {
				dst = append(dst, byte(acc>>16), byte(acc>>8), byte(acc))
				acc, n = 0, 0
			}
		case v == 64:
			if n == 1 {
				bad = true
			}
			dst = appendQuantum(dst, acc, n)
			acc, n = 0, 0
		case v == 66:
			bad = true
		}
	}
	if n != 0 {
		bad = true
		dst = appendQuantum(dst, acc, n)
	}
	if garbage != nil {
		*garbage = bad
	}
	return dst
}

// appendQuantum appends the whole bytes of n < 4 characters.
func appendQuantum(dst []byte, acc uint32, n int) []byte {
	switch n {
	case 2:
		dst = append(dst, byte(acc>>4))
	case 3:
		dst = append(dst, byte(acc>>10), byte(acc>>2))
	}
	return dst
}

// decodeQP decodes quoted-printable (RFC 2045 6.7). White space at the end of
// a line is dropped as rule 3 demands; an "=" that means nothing is kept.
func decodeQP(src []byte) (out []byte, garbage bool) {
	out = make([]byte, 0, len(src))
	for len(src) > 0 {
		line, rest, eol := src, []byte(nil), []byte(nil)
		if i := bytes.IndexByte(src, '\n'); i >= 0 {
			line, rest, eol = src[:i], src[i+1:], src[i:i+1]
			if i > 0 && src[i-1] == '\r' {
				line, eol = src[:i-1], src[i-1:i+1]
			}
		}
		src = rest
		line = bytes.TrimRight(line, " \t")
		if n := len(line); n > 0 && line[n-1] == '=' {
			line, eol = line[:n-1], nil // soft line break
		}
		for {
			i := bytes.IndexByte(line, '=')
			if i < 0 {
				out = append(out, line...)
				break
			}
			out = append(out, line[:i]...)
			if i+2 < len(line) && hexValue(line[i+1]) < 16 && hexValue(line[i+2]) < 16 {
				out = append(out, hexValue(line[i+1])<<4|hexValue(line[i+2]))
				line = line[i+3:]
				continue
			}
			garbage = true
			out = append(out, '=')
			line = line[i+1:]
		}
		out = append(out, eol...)
	}
	return out, garbage
}
