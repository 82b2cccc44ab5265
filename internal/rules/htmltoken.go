package rules

import (
	"html"
	"regexp"
	"strconv"
	"strings"
)

// tagToken is one event of the HTML reader.
type tagToken struct {
	kind  byte // 't' text, 's' start tag, 'e' end tag, 'c' comment, 'd' declaration
	name  string
	text  string // of comments and declarations with their marks
	attrs []attribute
}

type attribute struct{ name, value string }

func (t *tagToken) attr(name string) (string, bool) {
	for _, a := range t.attrs {
		if a.name == name {
			return a.value, true
		}
	}
	return "", false
}

// literal elements hold text only up to their end tag.
var literal = words("script style xmp iframe plaintext title textarea")

const maxAttributes = 200

// maxTokens bounds the tags and texts that are read of a part; what follows is left aside.
const maxTokens = 250_000

// tokens reads HTML as leniently as the parser that SpamAssassin uses (Perl's HTML::Parser): no tree, no repair. Linear in len(s). It
// answers whether it came to the end.
func tokens(s string, emit func(*tagToken)) (all bool) {
	var ends missingEnds
	i := 0
	for n := 0; i < len(s); n++ {
		if n >= maxTokens {
			return false
		}
		lt := strings.IndexByte(s[i:], '<')
		if lt < 0 {
			emit(&tagToken{kind: 't', text: unescape(s[i:])})
			return true
		}
		// A < that begins no markup belongs to the text.
		end := i + lt
		for end+1 < len(s) && !markupStart(s[end+1]) {
			next := strings.IndexByte(s[end+1:], '<')
			if next < 0 {
				end = len(s)
				break
			}
			end += 1 + next
		}
		if end+1 >= len(s) {
			end = len(s)
		}
		if end > i {
			emit(&tagToken{kind: 't', text: unescape(s[i:end])})
		}
		if end >= len(s) {
			return true
		}
		i = ends.markup(s, end, emit)
	}
	return true
}

func markupStart(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '/' || c == '!' || c == '?'
}

// missingEnds remembers what was looked for up to the end of the text in vain, so that it is not looked for again.
type missingEnds struct{ comment, title bool }

// markup reads one piece of markup at s[i] == '<' and returns where it ends.
func (m *missingEnds) markup(s string, i int, emit func(*tagToken)) int {
	switch {
	case strings.HasPrefix(s[i:], "<!--"):
		return m.readComment(s, i, emit)
	case strings.HasPrefix(s[i:], "<![CDATA["):
		body := s[i+9:]
		end := strings.Index(body, "]]>")
		if end < 0 {
			end = len(body)
		}
		emit(&tagToken{kind: 't', text: body[:end]})
		return min(len(s), i+9+end+3)
	case s[i+1] == '!' || s[i+1] == '?':
		end := strings.IndexByte(s[i:], '>')
		if end < 0 {
			emit(&tagToken{kind: 'c', text: s[i:]})
			return len(s)
		}
		if s[i+1] == '!' && i+2 < len(s) && s[i+2]|0x20 >= 'a' && s[i+2]|0x20 <= 'z' {
			emit(&tagToken{kind: 'd', text: s[i : i+end+1]})
		} else if s[i+1] == '!' {
			emit(&tagToken{kind: 'c', text: s[i : i+end+1]})
		}
		return i + end + 1
	case s[i+1] == '/':
		end := strings.IndexByte(s[i:], '>')
		if end < 0 {
			emit(&tagToken{kind: 'c', text: s[i:]})
			return len(s)
		}
		name := tagName(s[i+2 : i+end])
		if name == "" {
			emit(&tagToken{kind: 'c', text: s[i : i+end+1]})
		} else {
			emit(&tagToken{kind: 'e', name: strings.ToLower(name)})
		}
		return i + end + 1
	}
	return m.startTag(s, i, emit)
}

func (m *missingEnds) readComment(s string, i int, emit func(*tagToken)) int {
	body := s[i+4:]
	for at := 0; !m.comment; {
		dash := strings.Index(body[at:], "--")
		if dash < 0 {
			break
		}
		end := at + dash
		after := end + 2
		for after < len(body) && (body[after] == ' ' || body[after] == '\n' || body[after] == '\t' || body[after] == '\r' || body[after] == '-') {
			after++
		}
		if after < len(body) && body[after] == '>' {
			emit(&tagToken{kind: 'c', text: s[i : i+4+after+1]})
			return i + 4 + after + 1
		}
		at = max(after, end+1)
	}
	m.comment = true
	end := strings.IndexByte(body, '>')
	if end < 0 {
		emit(&tagToken{kind: 'c', text: s[i:]})
		return len(s)
	}
	emit(&tagToken{kind: 'c', text: s[i : i+4+end+1]})
	return i + 4 + end + 1
}

var c1Reference = regexp.MustCompile(`&#(?:0*(12[89]|1[3-5][0-9])|[xX]0*([89][0-9a-fA-F]));?`)

// unescape decodes character references; those of the C1 controls (&#149;) stay what they say, as Perl decodes them, while browsers take
// them for Windows-1252.
func unescape(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	var b strings.Builder
	at := 0
	for _, m := range c1Reference.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(html.UnescapeString(s[at:m[0]]))
		n := uint64(0)
		if m[2] >= 0 {
			n, _ = strconv.ParseUint(s[m[2]:m[3]], 10, 16)
		} else {
			n, _ = strconv.ParseUint(s[m[4]:m[5]], 16, 16)
		}
		b.WriteRune(rune(n))
		at = m[1]
	}
	b.WriteString(html.UnescapeString(s[at:]))
	return b.String()
}

// tagName returns the name at the beginning of s: a letter and all up to white space or >.
func tagName(s string) string {
	if s == "" || s[0]|0x20 < 'a' || s[0]|0x20 > 'z' {
		return ""
	}
	n := 1
	for n < len(s) && !isHTMLSpace(s[n]) && s[n] != '>' {
		n++
	}
	return s[:n]
}

func isHTMLSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func (m *missingEnds) startTag(s string, i int, emit func(*tagToken)) int {
	name := tagName(s[i+1:])
	t := &tagToken{kind: 's', name: strings.ToLower(name)}
	p := i + 1 + len(name)
	for {
		for p < len(s) && isHTMLSpace(s[p]) {
			p++
		}
		if p >= len(s) {
			emit(&tagToken{kind: 'c', text: s[i:]}) // a tag that never ends
			return len(s)
		}
		if s[p] == '>' {
			p++
			break
		}
		begin := p
		for p < len(s) && !isHTMLSpace(s[p]) && s[p] != '>' && (s[p] != '=' || p == begin) {
			p++
		}
		a := attribute{name: strings.ToLower(s[begin:p])}
		a.value = a.name
		after := p
		for after < len(s) && isHTMLSpace(s[after]) {
			after++
		}
		if after < len(s) && s[after] == '=' {
			a.value, p = attributeValue(s, after+1)
		}
		if _, known := t.attr(a.name); !known && len(t.attrs) < maxAttributes {
			t.attrs = append(t.attrs, a)
		}
	}
	emit(t)
	if literal[t.name] {
		return m.literalText(s, p, t.name, emit)
	}
	return p
}

// attributeValue reads a value from s[p:], quoted or not.
func attributeValue(s string, p int) (value string, end int) {
	for p < len(s) && isHTMLSpace(s[p]) {
		p++
	}
	if p < len(s) && (s[p] == '"' || s[p] == '\'') {
		if n := strings.IndexByte(s[p+1:], s[p]); n >= 0 {
			return unescape(s[p+1 : p+1+n]), p + n + 2
		}
		return "", len(s)
	}
	begin := p
	for p < len(s) && !isHTMLSpace(s[p]) && s[p] != '>' {
		p++
	}
	return unescape(s[begin:p]), p
}

// literalText emits what stands in an element that holds text only, up to its end tag.
func (m *missingEnds) literalText(s string, p int, name string, emit func(*tagToken)) int {
	end := len(s)
	found := false
	for at := p; name != "plaintext" && (name != "title" || !m.title); {
		n := strings.Index(s[at:], "</")
		if n < 0 {
			break
		}
		at += n
		rest := s[at+2:]
		if len(rest) >= len(name) && strings.EqualFold(rest[:len(name)], name) && (len(rest) == len(name) || rest[len(name)] == '>' || isHTMLSpace(rest[len(name)])) {
			end, found = at, true
			break
		}
		at += 2
	}
	if !found && name == "title" {
		m.title = true
		emit(&tagToken{kind: 'e', name: name}) // an element that never ends is taken as empty
		return p
	}
	text := s[p:end]
	if name == "title" || name == "textarea" {
		text = unescape(text)
	}
	if text != "" {
		emit(&tagToken{kind: 't', text: text})
	}
	if found {
		return end
	}
	emit(&tagToken{kind: 'e', name: name})
	return len(s)
}
