package mail

import (
	"strings"
)

// foldAt is the line length RFC 5322 2.1.1 recommends, without CRLF.
const foldAt = 78

// Edit returns a new message: the fields named in remove (any case, every
// occurrence with its folded lines) are gone, and the lines of prepend stand on
// top in their order. The other fields and the body stay byte for byte.
//
// Each line of prepend is "Name: value" without a final line end. It is folded
// at white space to lines of at most 78 octets where it has white space; folds
// already in it (CRLF followed by white space) stay. Injection is not possible:
// every other CR, LF and NUL becomes a space, a folded line of white space only
// is dropped, and a line whose name is no field name (RFC 5322 3.6.8) is not
// added at all.
//
// When there is anything to change, a header that another reader would join
// to the new lines or read differently is mended: white space before its first
// line and lines that are no fields are dropped, and a missing empty line before
// the body is added. raw is not changed; the result never shares memory with it.
func Edit(raw []byte, remove []string, prepend ...string) []byte {
	size := len(raw) + 2
	for _, p := range prepend {
		size += len(p) + len(p)/16 + 4
	}
	out := make([]byte, 0, size)
	for _, p := range prepend {
		out = appendField(out, p)
	}
	if len(out) == 0 && !hasAny(raw, remove) {
		return append(out, raw...)
	}
	s := newHeaderScanner(raw, 0)
	for {
		it := s.next()
		switch it.kind {
		case itemEnd:
			if it.defect == DefectHeaderNoSeparator {
				out = append(out, "\r\n"...)
			}
			// From here on: the empty line, if there is one, and the body.
			return append(out, raw[it.start:]...)
		case itemField:
			if !removes(remove, raw[it.nameStart:it.nameEnd]) {
				out = append(out, raw[it.nameStart:it.end]...)
			}
		}
	}
}

// hasAny reports whether a field that is to be removed exists.
func hasAny(raw []byte, remove []string) bool {
	s := newHeaderScanner(raw, 0)
	for len(remove) > 0 {
		it := s.next()
		switch {
		case it.kind == itemEnd:
			return false
		case it.kind == itemField && removes(remove, raw[it.nameStart:it.nameEnd]):
			return true
		}
	}
	return false
}

func removes(names []string, name []byte) bool {
	for _, n := range names {
		if len(n) == len(name) && strings.EqualFold(n, string(name)) {
			return true
		}
	}
	return false
}

// appendField appends one field, cleaned and folded, with CRLF.
func appendField(out []byte, field string) []byte {
	n, defect := fieldName([]byte(field[:min(len(field), 998)]))
	if defect != "" || field[n] != ':' {
		return out
	}
	wrote := false
	for line := range strings.SplitSeq(field, "\r\n") {
		if wrote && (line == "" || !isWSP(line[0])) {
			line = " " + line // a line end that was no fold
		}
		line = strings.TrimRight(noControls.Replace(line), " \t")
		if line == "" {
			continue
		}
		out = appendFolded(out, line, wrote)
		wrote = true
	}
	return out
}

// noControls replaces byte for byte and keeps what is not UTF-8.
var noControls = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// appendFolded appends one logical line, folded at white space. continued says
// that it begins with the white space of a fold already.
func appendFolded(out []byte, line string, continued bool) []byte {
	head := 0 // what must stay on the first line: the name, or the leading space
	if continued {
		for head < len(line) && isWSP(line[head]) {
			head++
		}
	} else {
		head = strings.IndexByte(line, ':') + 1
		for head < len(line) && isWSP(line[head]) {
			head++
		}
	}
	for len(line) > foldAt {
		cut := -1
		for i := min(foldAt, len(line)-1); i > head; i-- {
			if isWSP(line[i]) && !isWSP(line[i-1]) {
				cut = i
				break
			}
		}
		if cut < 0 { // a word longer than a line: fold after it
			for i := max(foldAt, head) + 1; i < len(line); i++ {
				if isWSP(line[i]) {
					cut = i
					break
				}
			}
		}
		if cut < 0 {
			break
		}
		out = append(out, line[:cut]...)
		out = append(out, "\r\n"...)
		line = line[cut:]
		for head = 0; head < len(line) && isWSP(line[head]); head++ {
		}
	}
	out = append(out, line...)
	return append(out, "\r\n"...)
}
