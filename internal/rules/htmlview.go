package rules

import (
	"math"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	htmlElements = words(`a abbr acronym address area b base bdo big blockquote body br button caption cite code col colgroup dd del dfn div dl
		dt em fieldset form h1 h2 h3 h4 h5 h6 head hr html i img input ins kbd label legend li link map meta noscript object ol optgroup
		option p param pre q samp script select small span strong style sub sup table tbody td textarea tfoot th thead title tr tt ul var
		applet basefont center dir font frame frameset iframe isindex menu noframes s strike u nobr x-sigsep x-tab`)
	oddElements   = words("bgsound embed listing plaintext xmp")
	styleElements = words("body font table tr th td big small basefont marquee span p div a")
	uriElements   = words("body table tr td a area link img frame iframe embed script form base bgsound meta")
	okAttributes  = map[string]map[string]bool{
		"basefont": words("color face size"), "body": words("text bgcolor link alink vlink background"), "font": words("color face size"),
		"marquee": words("bgcolor background"), "table": words("bgcolor style"), "td": words("bgcolor style"), "th": words("bgcolor style"),
		"tr": words("bgcolor style"), "span": words("style"), "p": words("style"), "div": words("style"), "a": words("style"),
	}
)

// htmlView is what SpamAssassin measures of one HTML part.
type htmlView struct {
	cut     bool            // the rest was left aside
	text    text            // rendered
	length  int             // of the source, in characters when it was decoded, else bytes
	inside  map[string]int  // open elements; an entry exists for every element seen
	flags   map[string]bool // html, embeds, form_action_mailto, font_face_bad, font_low_contrast, font_invalid_color
	numbers map[string]float64
	anchor  []string
	title   []string
	comment []string
	script  []string
	uris    map[string]*htmlURI
	order   []string // keys of uris as they came

	uriTruncated bool
	charsets     string
	imageArea    float64
}

// htmlURI is one URI of an HTML part.
type htmlURI struct {
	types  map[string]bool // elements that hold it
	texts  []string        // anchor texts
	listed bool            // by an element that leads there, not only as an anchor
}

// style is what an open element says of the text in it.
type style struct {
	tag                 string
	fg, bg              string
	size                int
	display, visibility string
}

const maxStyles = 5000

// htmlReader builds an htmlView from tokens.
type htmlReader struct {
	*htmlView
	pieces                                 []string
	white, hidden                          []bool
	styles                                 []style
	open                                   map[string]int // tags in styles
	base                                   int            // basefont
	maxSize, minSize                       int
	elements, elementsSeen, tags, tagsSeen int
	closedExtra, obfuscation               int
	backhair                               map[[2]int]bool
	anchorLast                             string
	baseURL                                string
	titleAt                                int
}

// readHTML renders the source of an HTML part; sourceBytes is its length before decoding.
func readHTML(src text, sourceBytes int) *htmlView {
	v := &htmlView{inside: map[string]int{}, flags: map[string]bool{"html": true}, numbers: map[string]float64{}, uris: map[string]*htmlURI{}}
	r := &htmlReader{htmlView: v, base: 3, maxSize: 3, minSize: 3, titleAt: -1, open: map[string]int{}, backhair: map[[2]int]bool{}}
	r.styles = []style{{tag: "default", fg: "#000000", bg: "#ffffff", size: 3}}
	v.length = len(src.s)
	if src.wide {
		v.length = utf8.RuneCountInString(src.s)
	}
	s := strings.ReplaceAll(src.s, "&nbsp;", " ")
	if strings.Contains(s, "/>") {
		s = emptyElement.ReplaceAllString(s, "<$1>")
	}
	if src.wide {
		s = curlyQuotes.Replace(s)
	} else {
		s = utf8Octets(s)
	}
	r.cut = !tokens(s, r.token)
	r.finish(src.wide, sourceBytes)
	return v
}

// utf8Octets makes octets above 127 of undecoded text valid UTF-8, as characters of the same number.
func utf8Octets(s string) string {
	if !has8Bit([]byte(s)) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

var (
	curlyQuotes   = strings.NewReplacer("\u201c", `"`, "\u201d", `"`)
	emptyElement  = regexp.MustCompile(`<(\w+)\s*/>`)
	namespaceTag  = regexp.MustCompile(`^(?:o|st\d):[\w-]+/?$`)
	spaceElement  = regexp.MustCompile(`^(?:li|t[hd]|d[td]|embed|h\d)$`)
	breakElement  = regexp.MustCompile(`^(?:p|hr|blockquote|pre|listing|plaintext|xmp|title)$`)
	faceShape     = regexp.MustCompile(`(?i)^\s*["'.]?[a-z ][a-z -]*[a-z]\d?["']?(?:,\s*["']?[a-z][a-z -]*[a-z]\d?["']?)*;?$`)
	pixels        = regexp.MustCompile(`^(\d+)(%)?$`)
	metaCharset   = regexp.MustCompile(`(?i)\bcharset\s*=\s*["']?([^"']+)`)
	hrefAttribute = regexp.MustCompile(`\w{1,8}/href`)
	srcAttribute  = regexp.MustCompile(`\w{1,8}/src`)
	metaURL       = regexp.MustCompile(`(?is)^.*\burl\s*=\s*`)
	baseScheme    = regexp.MustCompile(`(?i)^(?:https?|ftp):/{0,2}`)
	baseFile      = regexp.MustCompile(`(?i)^([a-z]+:/{0,2}[^/]+/.*?)[^/.]+\.[^/.]{2,4}$`)
)

func (r *htmlReader) finish(wide bool, sourceBytes int) {
	out := strings.Join(r.pieces, "")
	for _, c := range out {
		if c > 255 {
			wide = true
			break
		}
	}
	chars, spaces := 0, 0
	for _, c := range out {
		chars++
		if wide && unicode.IsSpace(c) || c == ' ' || c >= '\t' && c <= '\r' && c != '\f' {
			spaces++
		}
	}
	r.text = text{s: out, wide: wide}
	if !wide {
		r.text.s = string(latin1(out))
	}
	n := r.numbers
	n["length"], n["html_length"], n["non_space_len"] = float64(r.length), float64(chars), float64(chars-spaces)
	if sourceBytes > 0 {
		n["ratio"] = float64(sourceBytes-chars) / float64(sourceBytes)
	}
	n["min_size"], n["max_size"], n["image_area"] = float64(r.minSize), float64(r.maxSize), r.imageArea
	if r.tags > 0 {
		n["closed_extra_ratio"] = float64(r.closedExtra) / float64(r.tags)
		if r.elements > 0 {
			n["bad_tag_ratio"] = float64(r.tags-r.elements) / float64(r.tags)
		}
		if r.obfuscation > 0 {
			n["obfuscation_ratio"] = float64(r.obfuscation) / float64(r.tags)
		}
	}
	if r.elementsSeen > 0 && r.tagsSeen > 0 {
		n["non_element_ratio"] = float64(r.tagsSeen-r.elementsSeen) / float64(r.tagsSeen)
	}
	if len(r.backhair) > 0 {
		n["backhair_count"] = float64(len(r.backhair))
	}
}

func (r *htmlReader) token(t *tagToken) {
	switch t.kind {
	case 't':
		r.addText(t.text)
	case 'c':
		if len(r.comment) < 10000 {
			r.comment = append(r.comment, t.text)
		}
	case 'd':
		if len(t.text) >= 9 && strings.EqualFold(t.text[:9], "<!doctype") {
			r.elements++
			r.tags++
			r.inside["!doctype"] = 0
		}
	default:
		r.tag(t)
	}
}

func (r *htmlReader) tag(t *tagToken) {
	namespace := namespaceTag.MatchString(t.name)
	_, seen := r.inside[t.name]
	if htmlElements[t.name] || namespace {
		r.elements++
		if !seen {
			r.elementsSeen++
		}
	}
	r.tags++
	if !seen {
		r.tagsSeen++
		if len(r.inside) > 2000 {
			return
		}
	}
	if t.kind == 's' {
		r.inside[t.name]++
	} else if r.inside[t.name]--; r.inside[t.name] < 0 {
		r.inside[t.name] = 0
		r.closedExtra++
	}
	if namespace || !htmlElements[t.name] && !oddElements[t.name] {
		return
	}
	if styleElements[t.name] {
		r.restyle(t)
	}
	switch {
	case t.name == "br" || t.name == "div":
		r.whitespace("\n")
	case spaceElement.MatchString(t.name):
		r.whitespace(" ")
	case breakElement.MatchString(t.name):
		r.whitespace("\n\n")
	}
	if t.kind == 's' {
		if uriElements[t.name] {
			r.links(t)
		}
		r.measure(t)
	}
}

// addText takes text between tags.
func (r *htmlReader) addText(s string) {
	if r.inside["script"] > 0 {
		r.script = append(r.script, s)
		return
	}
	if r.inside["style"] > 0 {
		return
	}
	if r.inside["a"] > 0 && len(r.anchor) > 0 {
		r.appendAnchor(s)
	}
	if r.inside["title"] > 0 && r.titleAt >= 0 {
		r.title[r.titleAt] += s
	}
	hidden := false
	if strings.Trim(s, " \t\n\r\f\v") != "" {
		hidden = r.invisible()
	}
	if len(r.pieces) > 0 {
		r.measureBreak(r.pieces[len(r.pieces)-1], s)
	}
	r.display(s, hidden)
}

// anchorMax bounds the text of an anchor that is never closed.
const anchorMax = 16 << 10

func (r *htmlReader) appendAnchor(s string) {
	u := r.uri(r.anchorLast)
	if len(u.texts) == 0 {
		u.texts = append(u.texts, "")
	}
	if last := &u.texts[len(u.texts)-1]; len(*last) < anchorMax {
		*last += s
	}
	if last := &r.anchor[len(r.anchor)-1]; len(*last) < anchorMax {
		*last += s
	}
}

func letter(c rune) bool {
	return !(c == ' ' || c >= '\t' && c <= '\r' || c >= 0x21 && c <= 0x2f || c >= 0x3a && c <= 0x40 || c >= 0x5b && c <= 0x60 || c >= 0x7b && c <= 0x7e)
}

// measureBreak counts words that markup cuts in two.
func (r *htmlReader) measureBreak(before, after string) {
	first, _ := utf8.DecodeRuneInString(after)
	last, _ := utf8.DecodeLastRuneInString(before)
	if after == "" || before == "" || !letter(last) {
		return
	}
	if letter(first) {
		r.obfuscation++
	}
	tail, head := 0, 0
	for rest := before; tail < 8; tail++ {
		c, n := utf8.DecodeLastRuneInString(rest)
		if n == 0 || !letter(c) {
			break
		}
		rest = rest[:len(rest)-n]
	}
	for _, c := range after {
		if !letter(c) || head == 8 {
			break
		}
		head++
	}
	if tail >= 1 && tail <= 7 && head >= 1 && head <= 7 {
		r.backhair[[2]int{tail, head}] = true
	}
}

// display puts text down: white space becomes single spaces.
func (r *htmlReader) display(s string, hidden bool) {
	s = squeeze(s)
	if n := len(r.pieces); n > 0 && !hidden && r.white[n-1] {
		s = strings.TrimPrefix(s, " ")
	}
	r.pieces, r.white, r.hidden = append(r.pieces, s), append(r.white, false), append(r.hidden, hidden)
}

func squeeze(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for i := 0; i < len(s); i++ {
		if isHTMLSpace(s[i]) {
			if !space {
				b.WriteByte(' ')
			}
			space = true
			continue
		}
		space = false
		b.WriteByte(s[i])
	}
	return b.String()
}

func (r *htmlReader) whitespace(s string) {
	if n := len(r.pieces); n > 0 && !r.white[n-1] && !r.hidden[n-1] {
		r.pieces[n-1] = strings.TrimSuffix(r.pieces[n-1], " ")
	}
	r.pieces, r.white, r.hidden = append(r.pieces, s), append(r.white, true), append(r.hidden, false)
}

// invisible reports whether the text at this place cannot be seen.
func (r *htmlReader) invisible() bool {
	s := &r.styles[len(r.styles)-1]
	if tail(s.fg) == tail(s.bg) {
		r.flags["font_low_contrast"] = true
		return true
	}
	if r1, g1, b1, ok := channels(s.fg); ok {
		if r2, g2, b2, ok := channels(s.bg); ok {
			dr, dg, db := 0.2126*(r1-r2), 0.7152*(g1-g2), 0.0722*(b1-b2)
			if math.Sqrt(dr*dr+dg*dg+db*db) < 12 {
				r.flags["font_low_contrast"] = true
				return true
			}
		}
	}
	if s.fg == invalidColour || s.bg == invalidColour {
		r.flags["font_invalid_color"] = true
		return true
	}
	return s.size <= 1 || strings.EqualFold(s.display, "none") || strings.EqualFold(s.visibility, "hidden")
}

func tail(s string) string {
	if len(s) > 6 {
		return s[len(s)-6:]
	}
	return s
}
