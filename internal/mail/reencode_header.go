package mail

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// structuredFields are the fields, beside those that hold addresses, whose text
// is not free: no encoded word may take the place of their words (RFC 2047 5).
// A name that ends in "-" stands for all that begin with it.
var structuredFields = []string{
	"Date", "Resent-Date", "Message-ID", "Resent-Message-ID", "In-Reply-To", "References", "Received", "Return-Path", "Delivered-To",
	"MIME-Version", "Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "Content-ID", "Content-Location",
	"Content-Language", "Content-MD5", "DKIM-", "DomainKey-", "ARC-", "Authentication-Results", "Received-SPF", "List-",
	"Auto-Submitted", "Precedence", "Autocrypt", "Feedback-ID", "Return-Receipt-To", "Errors-To",
}

func isStructured(name string) bool {
	return fieldIndex(addressFields, name) >= 0 || nameIs(name, "Resent-Reply-To") || nameIs(name, "Resent-Bcc") ||
		slices.ContainsFunc(structuredFields, func(s string) bool {
			if strings.HasSuffix(s, "-") {
				return len(name) > len(s) && strings.EqualFold(name[:len(s)], s)
			}
			return nameIs(name, s)
		})
}

// header writes the header section of p. encoding, when not "", is the transfer
// encoding its body gets.
func (r *reencoder) header(p *Part, encoding string) error {
	if _, found := r.bad(p.headAt, p.bodyAt); !found && (encoding == "" || encoding == p.Encoding) {
		r.keep(p.bodyAt)
		return nil
	}
	s := newHeaderScanner(r.raw, p.headAt)
	s.limit = p.bodyAt
	declared := encoding == "" || encoding == p.Encoding
	for {
		it := s.next()
		if it.kind == itemEnd {
			if !declared {
				r.addContentFields(p, encoding)
			}
			if encoding != "" && it.end == it.start { // the empty line was forgotten
				r.out = append(r.out, r.eol...)
			}
			r.keep(p.bodyAt)
			return nil
		}
		_, found := r.bad(it.start, it.end)
		f := Field{Name: string(r.raw[it.nameStart:it.nameEnd]), Raw: r.raw[it.nameStart:it.end]}
		switch {
		case it.kind == itemJunk && found: // no reader takes it for a field
		case it.kind == itemField && encoding != "" && encoding != p.Encoding && nameIs(f.Name, "Content-Transfer-Encoding"):
			if !declared { // of several, readers take the first or the last: one stays
				r.out = append(r.out, f.Name+": "+encoding+r.eol...)
				declared = true
			}
		case it.kind == itemField && found:
			if why := r.field(f); why != "" {
				return r.fail(it.start, why)
			}
		default:
			r.keep(it.end)
		}
		r.pos = it.end
	}
}

// addContentFields adds the fields that announce the encoding of a body that had
// none, and in the header of a whole message those without which a reader would
// not look at them (RFC 2045 4).
func (r *reencoder) addContentFields(p *Part, encoding string) {
	if p.Parent == nil || p.Parent.isMessage() {
		if !p.Header.Has("MIME-Version") {
			r.out = append(r.out, "MIME-Version: 1.0"+r.eol...)
		}
		if !p.Header.Has("Content-Type") {
			charset := "us-ascii"
			switch {
			case isASCIIBytes(p.Raw):
			case validUTF8(p.Raw):
				charset = "utf-8"
			default:
				charset = "windows-1252" // what readers take undeclared octets for
			}
			r.out = append(r.out, "Content-Type: text/plain; charset="+charset+r.eol...)
		}
	}
	r.out = append(r.out, "Content-Transfer-Encoding: "+encoding+r.eol...)
}

// field writes a field that cannot stay as it is, or says why it cannot be
// mended. It tries the way that changes least first.
func (r *reencoder) field(f Field) (why string) {
	start := len(r.out)
	fits := func() bool {
		if longLineAt(r.out[start:]) < 0 {
			return true
		}
		r.out = r.out[:start]
		return false
	}
	eightBit := r.sevenBit && !isASCIIBytes(f.Raw)
	if !eightBit {
		if r.refold(f.Raw); fits() {
			return ""
		}
	}
	value := f.Value()
	structured := isStructured(f.Name)
	if structured && !eightBit {
		if r.foldAtSeparators(f.Name, value); fits() {
			return ""
		}
	}
	good := false
	switch {
	case !isASCII(f.Name): // fieldName admits none
	case nameIs(f.Name, "Content-Type") || nameIs(f.Name, "Content-Disposition"):
		good = r.params(f.Name, value)
	case fieldIndex(addressFields, f.Name) >= 0:
		good = r.mailboxes(f.Name, value)
	case !structured:
		r.out = append(r.out, f.Name+":"...)
		r.words(f.Text())
		r.out = append(r.out, r.eol...)
		good = true
	}
	if good && fits() {
		return ""
	}
	r.out = r.out[:start]
	name := clip(cleanText(f.Name, 60), 60)
	if eightBit {
		return "the field " + name + " holds 8-bit characters that cannot be encoded"
	}
	return "the field " + name + " is longer than 998 characters and cannot be folded"
}

// refold writes a field with its long lines folded at white space: its value
// stays the same.
func (r *reencoder) refold(raw []byte) {
	for first := true; len(raw) > 0; first = false {
		line := raw
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			line, raw = raw[:i+1], raw[i+1:]
		} else {
			raw = nil
		}
		if longLineAt(line) < 0 {
			r.out = append(r.out, line...)
			continue
		}
		text := bytes.TrimRight(line, " \t\r\n")
		if len(text) == 0 {
			continue // a folded line of white space only
		}
		r.fold(string(text), !first)
		r.out = append(r.out, line[len(bytes.TrimRight(line, "\r\n")):]...)
	}
}

// fold writes one line folded at white space, without its end.
func (r *reencoder) fold(line string, continued bool) {
	mark := len(r.out)
	r.out = appendFolded(r.out, line, continued)
	r.out = r.out[:len(r.out)-2]
	if r.eol != "\r\n" {
		r.out = append(r.out[:mark], bytes.ReplaceAll(r.out[mark:], []byte("\r\n"), []byte(r.eol))...)
	}
}

// foldAtSeparators writes a structured field with white space put where its
// syntax allows some: after a comma or semicolon and between two message
// identifiers, but not in a quoted string and not between angle brackets.
func (r *reencoder) foldAtSeparators(name, value string) {
	var b strings.Builder
	b.Grow(len(value) + len(value)/8)
	b.WriteString(name + ": ")
	quoted, angle := false, false
	for i := 0; i < len(value); i++ {
		c := value[i]
		b.WriteByte(c)
		switch {
		case quoted && c == '\\' && i+1 < len(value):
			i++
			b.WriteByte(value[i])
			continue
		case c == '"' && !angle:
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		}
		if quoted || angle || i+1 >= len(value) || isWSP(value[i+1]) {
			continue
		}
		if c == ',' || c == ';' || c == '>' && value[i+1] == '<' {
			b.WriteByte(' ')
		}
	}
	r.fold(strings.TrimRight(b.String(), " \t"), false)
	r.out = append(r.out, r.eol...)
}

// mailboxes writes an address field from what it says: names as encoded words
// where they need it, one mailbox a line. Comments are lost. It reports false
// where the field is no clean list, has groups, or holds an address that needs
// SMTPUTF8.
func (r *reencoder) mailboxes(name, value string) bool {
	list := listReader{in: value, most: maxMailboxes, ok: true}
	list.read()
	if !list.ok || list.group || len(list.boxes) == 0 {
		return false
	}
	r.out = append(r.out, name+":"...)
	for i, b := range list.boxes {
		if b.Address.IsNull() || b.Address.NeedsSMTPUTF8() {
			return false
		}
		if i > 0 {
			r.out = append(r.out, ","+r.eol...)
		}
		if b.Name == "" {
			r.out = append(r.out, " "+b.Address.String()...)
			continue
		}
		r.words(b.Name)
		r.out = append(r.out, r.eol+" <"+b.Address.String()+">"...)
	}
	r.out = append(r.out, r.eol...)
	return true
}

// words writes text as encoded words, one a line, each with white space before.
// White space between encoded words is not shown (RFC 2047 6.2), so that text of
// any length comes together again; no character is split (RFC 2047 5).
func (r *reencoder) words(text string) {
	const most = 75 - len("=?utf-8?q?") - len("?=")
	for len(text) > 0 {
		if r.out[len(r.out)-1] == '=' { // the end of the word before
			r.out = append(r.out, r.eol...)
		}
		r.out = append(r.out, " =?utf-8?q?"...)
		for col := 0; len(text) > 0; {
			_, n := utf8.DecodeRuneInString(text)
			width := 3 * n
			if n == 1 && (text[0] == ' ' || wordPlain(text[0])) {
				width = 1
			}
			if col+width > most {
				break
			}
			for _, c := range []byte(text[:n]) {
				switch {
				case c == ' ':
					r.out = append(r.out, '_')
				case wordPlain(c):
					r.out = append(r.out, c)
				default:
					r.out = append(r.out, '=', upperHex[c>>4], upperHex[c&15])
				}
			}
			col += width
			text = text[n:]
		}
		r.out = append(r.out, "?="...)
	}
}

// wordPlain reports the octets that stand for themselves in every encoded word
// (RFC 2047 5, rule 3).
func wordPlain(c byte) bool {
	return isAlpha(c) || c >= '0' && c <= '9' || strings.IndexByte("!*+-/", c) >= 0
}

// params writes a Content-Type or Content-Disposition field from what it says,
// with parameters that are long or not ASCII in the encoding of RFC 2231. It
// reports false where readers could differ about the field, or where the boundary
// or the charset would need that encoding, which not every reader understands.
func (r *reencoder) params(name, value string) bool {
	v := parseParams(value)
	if v.value == "" || !isASCII(v.value) || v.duplicate != "" || v.nameDiffer || len(v.params) >= maxParams {
		return false
	}
	r.out = append(r.out, name+": "+v.value...)
	names := make([]string, 0, len(v.params))
	for n := range v.params {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		text := v.params[n]
		if !isToken(n) || len(n) > 100 || strings.ContainsAny(text, "\x00\r\n") {
			return false
		}
		if isASCII(text) && len(text) < 800 {
			quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
			r.out = append(r.out, ";"+r.eol+" "+n+`="`+quoted+`"`...)
			continue
		}
		if n == "boundary" || n == "charset" {
			return false
		}
		if n == "name" || n == "filename" {
			text = decodeWords(text) // readers decode none in the encoded form
		}
		r.extended(n, rawText([]byte(text)))
	}
	r.out = append(r.out, r.eol...)
	return true
}

// extended writes one parameter in the pieces of RFC 2231 3 and 4.
func (r *reencoder) extended(name, text string) {
	const most = 60 // of one piece, percent signs counted
	for n := 0; n == 0 || len(text) > 0; n++ {
		r.out = fmt.Appendf(r.out, ";%s %s*%d*=", r.eol, name, n)
		if n == 0 {
			r.out = append(r.out, "utf-8''"...)
		}
		for col := 0; len(text) > 0; {
			_, size := utf8.DecodeRuneInString(text)
			if col+3*size > most {
				break
			}
			for _, c := range []byte(text[:size]) {
				if isAlpha(c) || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' {
					r.out = append(r.out, c)
					col++
					continue
				}
				r.out = append(r.out, '%', upperHex[c>>4], upperHex[c&15])
				col += 3
			}
			text = text[size:]
		}
	}
}
