package dkim

import (
	"bytes"
)

// field is one header field of a message.
type field struct {
	name []byte // as written, without trailing blanks; empty for a line that is no field
	raw  []byte // name up to and including the final CRLF
}

// isName reports whether the field's name is want, in any case.
func (f field) isName(want string) bool {
	return len(f.name) == len(want) && bytes.EqualFold(f.name, []byte(want))
}

// crlf returns raw with every bare LF written as CRLF; raw itself when there is none.
func crlf(raw []byte) []byte {
	bare := 0
	for i := 0; i < len(raw); {
		j := bytes.IndexByte(raw[i:], '\n')
		if j < 0 {
			break
		}
		j += i
		if j == 0 || raw[j-1] != '\r' {
			bare++
		}
		i = j + 1
	}
	if bare == 0 {
		return raw
	}
	out := make([]byte, 0, len(raw)+bare)
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// hasBareNewline reports whether raw holds a CR or LF outside CRLF.
func hasBareNewline(raw []byte) bool {
	lf := 0
	for i := 0; i < len(raw); {
		j := bytes.IndexByte(raw[i:], '\n')
		if j < 0 {
			break
		}
		j += i
		if j == 0 || raw[j-1] != '\r' {
			return true
		}
		lf++
		i = j + 1
	}
	// Every LF has its CR, so any CR beyond their number stands alone.
	return bytes.Count(raw, []byte{'\r'}) != lf
}

// split cuts a message with CRLF line ends into header fields and body. A message
// that ends without an empty line is all header and has an empty body. Lines that
// are no fields are kept without a name, so that nothing can select them.
func split(raw []byte) (fields []field, body []byte) {
	rest := raw
	for len(rest) > 0 {
		if bytes.HasPrefix(rest, []byte("\r\n")) {
			return fields, rest[2:]
		}
		line, next := cutLine(rest)
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 {
			last := &fields[len(fields)-1]
			// Fields are adjacent in raw: growing the slice takes this line in.
			last.raw = last.raw[:len(last.raw)+len(line)]
		} else {
			fields = append(fields, field{name: fieldName(line), raw: line})
		}
		rest = next
	}
	return fields, nil
}

// cutLine cuts after the first CRLF; without one, everything is the line.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
		return b[:i+2], b[i+2:]
	}
	return b, nil
}

// fieldName returns the name before the colon, nil when the line is no field
// (RFC 5322 2.2, with the blanks before the colon of obsolete syntax).
func fieldName(line []byte) []byte {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return nil
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return nil
		}
	}
	if len(name) == 0 {
		return nil
	}
	return name
}
