package rules

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// render returns the text of a part that body rules see, ok=false for parts that are neither plain text nor HTML.
func (n *node) render() (text, bool) {
	if n.effective != "text/plain" && n.effective != "text/html" {
		return text{}, false
	}
	if n.haveRendered {
		return n.rendered, true
	}
	n.haveRendered = true
	b := n.decode()
	charset := n.charset
	if charset == "" {
		charset = "us-ascii"
	}
	t := normalize(b, charset, false)
	if n.effective == "text/html" && len(b) > 0 {
		n.html = readHTML(t, len(b))
		t = n.html.text
	}
	n.rendered = t
	return t, true
}

// bodyLines returns the lines that body rules run on; the first is the subject.
func (v *View) bodyLines() [][]byte {
	if v.haveBody {
		return v.body
	}
	v.haveBody = true
	leaves := v.leaves()
	if len(leaves) == 0 {
		return nil // a multipart that holds nothing shows no subject either
	}
	var parts []text
	wide := false
	for _, n := range leaves {
		t, ok := n.render()
		if !ok {
			parts = append(parts, text{})
			continue
		}
		t.s = cutText(t, bodyPartScan)
		parts = append(parts, t)
		wide = wide || t.wide
		if n.html != nil {
			v.html = append(v.html, n.html)
			v.flags.cut = v.flags.cut || n.html.cut
		}
	}
	var b strings.Builder
	for _, t := range parts {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		if wide && !t.wide && has8Bit([]byte(t.s)) {
			t.s = utf8Octets(t.s)
		}
		b.WriteString(t.s)
	}
	subject := "\n"
	if at := v.byName["subject"]; len(at) > 0 {
		subject = v.fields[at[len(at)-1]].decode()
	}
	v.body = shortLines(subject + paragraphs(b.String(), wide))
	return v.body
}

// cutText cuts a long part after limit characters, at the next line end or space if one is near.
func cutText(t text, limit int) string {
	s := t.s
	if len(s) <= limit {
		return s
	}
	at := limit
	if t.wide { // characters, not octets
		at = 0
		for n := 0; n < limit && at < len(s); n++ {
			_, size := utf8.DecodeRuneInString(s[at:])
			at += size
		}
		if at >= len(s) {
			return s
		}
	}
	for _, end := range []string{"\n", " "} {
		if i := strings.Index(s[at:min(len(s), at+4*scanSlack)], end); i >= 0 && i <= scanSlack {
			return s[:at+i+1]
		}
	}
	return s[:at]
}

// paragraphs makes each run of white space with two or more line ends a line end, every other one a space.
func paragraphs(s string, wide bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		n := spaceAt(s, i, wide)
		if n == 0 {
			if s[i] == 0 {
				b.WriteByte('\n')
			} else {
				b.WriteByte(s[i])
			}
			i++
			continue
		}
		begin := i
		first, last, ends := -1, -1, 0
		for n > 0 {
			if s[i] == '\n' {
				if ends++; first < 0 {
					first = i
				}
				last = i
			}
			i += n
			n = spaceAt(s, i, wide)
		}
		if ends < 2 {
			b.WriteByte(' ')
			continue
		}
		if first > begin {
			b.WriteByte(' ')
		}
		b.WriteByte('\n')
		if last+1 < i {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// spaceAt returns the length of the white space character at s[i], 0 if there is none.
func spaceAt(s string, i int, wide bool) int {
	if i >= len(s) {
		return 0
	}
	if isHTMLSpace(s[i]) {
		return 1
	}
	if wide && s[i] >= 0x80 {
		if r, n := utf8.DecodeRuneInString(s[i:]); n > 1 && unicode.IsSpace(r) {
			return n
		}
	}
	return 0
}

// shortLines splits text into lines of at most 2,048 bytes, at a space where there is one.
func shortLines(s string) [][]byte {
	var out [][]byte
	for _, line := range splitLines([]byte(s)) {
		for len(line) > bodyLine {
			cut := bytes.LastIndexByte(line[:bodyLine+1], ' ') + 1
			if cut == 0 {
				cut = bodyLine
			}
			out = append(out, line[:cut:cut])
			line = line[cut:]
		}
		out = append(out, line)
	}
	return out
}

// rawChunks returns the chunks that rawbody rules run on.
func (v *View) rawChunks() [][]byte {
	if v.haveRaw {
		return v.raw
	}
	v.haveRaw = true
	for _, n := range v.leaves() {
		if !strings.HasPrefix(n.effective, "text/") && !strings.HasPrefix(n.effective, "message/") || n.mediaType == "text/calendar" {
			continue
		}
		b := n.decode()
		if len(b) > rawPartScan {
			b = cutRaw(b)
		}
		v.raw = append(v.raw, shortParagraphs(b)...)
	}
	return v.raw
}

func cutRaw(b []byte) []byte {
	near := b[rawPartScan:min(len(b), rawPartScan+scanSlack+1)]
	for _, end := range []byte{'\n', '>', ' '} {
		if i := bytes.IndexByte(near, end); i >= 0 {
			return b[:rawPartScan+i+1]
		}
	}
	return b[:rawPartScan]
}

// shortParagraphs splits into chunks of 2,048 to 4,096 bytes, after a line end, a > or a space.
func shortParagraphs(b []byte) [][]byte {
	if len(b) <= bodyLine {
		return [][]byte{b}
	}
	var out [][]byte
	for len(b) > 2*bodyLine {
		cut := bodyLine + 1
		near := b[bodyLine : 2*bodyLine]
		for _, end := range []byte{'\n', '>', ' '} {
			if i := bytes.IndexByte(near, end); i >= 0 {
				cut = bodyLine + i + 1
				break
			}
		}
		out = append(out, b[:cut:cut])
		b = b[cut:]
	}
	if len(b) > 0 {
		out = append(out, b)
	}
	return out
}

// htmlParts returns the measures of all HTML parts.
func (v *View) htmlParts() []*htmlView {
	v.bodyLines()
	return v.html
}
