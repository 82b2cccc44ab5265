package mail

import (
	"slices"
	"strings"
)

// maxParams bounds the parameters read from one field.
const maxParams = 200

// paramValue is a structured MIME field: "value; name=value…" (RFC 2045 5.1).
type paramValue struct {
	value      string // lower case, without comments and white space
	params     map[string]string
	bad        bool   // broken syntax somewhere
	duplicate  string // a name given twice with different values
	nameDiffer bool   // filename and filename* (or name and name*) differ
}

// segment is one piece of an RFC 2231 parameter.
type segment struct {
	n        int // number of the continuation
	text     string
	extended bool // percent-encoded
}

// parseParams reads a Content-Type or Content-Disposition value. It takes what
// mail clients take: unquoted special characters, missing quotes, comments,
// parameters without value. The first of equal names counts; RFC 2231 spellings
// win over plain ones. Linear in len(s).
func parseParams(s string) paramValue {
	var v paramValue
	i := skipCFWS(s, 0)
	start := i
	for i < len(s) && s[i] != ';' && s[i] != '(' && !isWSP(s[i]) {
		i++
	}
	v.value = strings.ToLower(s[start:i])
	if i = skipCFWS(s, i); i < len(s) && s[i] != ';' {
		v.bad = true // the semicolon was forgotten: "application/pdf name=x"
		i--
	}
	var segments map[string][]segment
	for n := 0; i < len(s); n++ {
		i = skipCFWS(s, i+1) // the semicolon
		if i >= len(s) || n >= maxParams {
			break
		}
		if s[i] == ';' {
			continue
		}
		start = i
		for i < len(s) && s[i] != '=' && s[i] != ';' {
			i++
		}
		name := strings.ToLower(strings.TrimSpace(s[start:i]))
		if i >= len(s) || s[i] == ';' || name == "" {
			v.bad = true
			i = skipTo(s, i, ';')
			continue
		}
		var text string
		text, i = v.readValue(s, i+1)
		if strings.IndexByte(name, '*') >= 0 {
			if base, seg, ok := splitName(name, text); ok {
				if segments == nil {
					segments = make(map[string][]segment)
				}
				segments[base] = append(segments[base], seg)
				continue
			}
			v.bad = true
		}
		v.set(name, text)
	}
	v.join(segments)
	return v
}

func (v *paramValue) set(name, text string) {
	if v.params == nil {
		v.params = make(map[string]string, 2)
	}
	if old, given := v.params[name]; given {
		if old != text {
			v.duplicate = name
		}
		return
	}
	v.params[name] = text
}

// readValue reads a token or quoted-string at i and moves to the semicolon.
func (v *paramValue) readValue(s string, i int) (text string, at int) {
	for i < len(s) && isWSP(s[i]) {
		i++
	}
	if i < len(s) && s[i] == '"' {
		var b strings.Builder
		for i++; i < len(s) && s[i] != '"'; i++ {
			// Only \" and \\ are escapes: Windows paths come unescaped.
			if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
				i++
			}
			b.WriteByte(s[i])
		}
		if i >= len(s) {
			v.bad = true
			return b.String(), i
		}
		if i = skipCFWS(s, i+1); i < len(s) && s[i] != ';' {
			v.bad = true
			i = skipTo(s, i, ';')
		}
		return b.String(), i
	}
	start := i
	for i < len(s) && s[i] != ';' {
		i++
	}
	text = s[start:i]
	if k := strings.IndexByte(text, '('); k > 0 && isWSP(text[k-1]) {
		text = text[:k] // a comment
	}
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text, " \t()<>@,;:\\\"/[]?=") || !isASCII(text) {
		v.bad = true
	}
	return text, i
}

// splitName reads "name*", "name*0", "name*0*" (RFC 2231 3, 4).
func splitName(name, text string) (base string, seg segment, ok bool) {
	base, rest, _ := strings.Cut(name, "*")
	seg.text = text
	switch {
	case rest == "":
		seg.extended = true
	default:
		rest, seg.extended = strings.CutSuffix(rest, "*")
		n, good := number(rest, 1, 3)
		if !good {
			return "", seg, false
		}
		seg.n = n
	}
	return base, seg, base != ""
}

// join puts the RFC 2231 pieces together and decodes them.
func (v *paramValue) join(segments map[string][]segment) {
	for base, list := range segments {
		slices.SortStableFunc(list, func(a, b segment) int { return a.n - b.n })
		var raw []byte
		charset, extended := "", false
		want := 0
		for _, seg := range list {
			if seg.n < want {
				v.duplicate = base
				continue
			}
			if seg.n > want {
				v.bad = true // a piece is missing; what follows cannot be placed
				break
			}
			want++
			text := seg.text
			if seg.extended {
				if seg.n == 0 {
					if parts := strings.SplitN(text, "'", 3); len(parts) == 3 {
						charset, text = parts[0], parts[2]
					} else {
						v.bad = true
					}
				}
				extended = true
				raw = appendPercent(raw, text)
				continue
			}
			raw = append(raw, text...)
		}
		if want == 0 {
			v.bad = true
			continue
		}
		text := string(raw)
		if extended {
			text, _ = toUTF8(raw, charset)
		}
		if plain, given := v.params[base]; given && decodeWords(plain) != text {
			v.nameDiffer = true
			if base != "filename" && base != "name" {
				v.duplicate = base
			}
		}
		if v.params == nil {
			v.params = make(map[string]string, 2)
		}
		v.params[base] = text
	}
}

// appendPercent decodes %XX.
func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1]) < 16 && hexValue(s[i+2]) < 16 {
			dst = append(dst, hexValue(s[i+1])<<4|hexValue(s[i+2]))
			i += 2
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

// skipCFWS moves over white space and comments (RFC 5322 3.2.2). An open
// comment reaches to the end.
func skipCFWS(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case depth > 0 && c == '\\':
			i++
		case c == '(':
			depth++
		case depth > 0 && c == ')':
			depth--
		case depth > 0 || isWSP(c):
		default:
			return i
		}
	}
	return len(s)
}

func skipTo(s string, i int, c byte) int {
	if i >= len(s) {
		return len(s)
	}
	k := strings.IndexByte(s[i:], c)
	if k < 0 {
		return len(s)
	}
	return i + k
}
