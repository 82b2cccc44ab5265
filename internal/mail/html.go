package mail

import (
	"io"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// HTML is what a text/html part shows and what it points to.
type HTML struct {
	SourceBytes   int      // length of the transfer-decoded HTML source in bytes
	Text          string   // as a reader sees it; hidden text left out; at most Limits.TextBytes
	Title         string   // of the first title element, white space collapsed
	Hidden        string   // text a reader does not see (not: scripts, styles, comments)
	Links         []Link   // in document order
	Images        []Image  // in document order
	Forms         []string // action URLs of form, button and input elements; "" for a form without
	MixedCaseTags []string // "<cEnTeR", "HreF=": start tags center and attributes href written in mixed case, as in the source; at most 100

	tooDeep bool
}

// Link is one element that leads away from the message.
type Link struct {
	URL      string // white space trimmed, entities decoded, resolved against base if relative
	Text     string // the visible and hidden text inside, white space collapsed; at most 1000 bytes
	HasImage bool   // an img stands inside
	Tag      string // a, area, iframe, frame, base, meta (refresh)
}

// Image is one img element (or a background attribute).
type Image struct {
	URL           string
	Width, Height int  // pixels from the attributes or the style; -1 if not given
	Inline        bool // cid: or data:, not fetched from elsewhere
}

// renderer walks over the tokens of one document.
type renderer struct {
	out    *HTML
	limits Limits
	stack  []element
	counts map[atom.Atom]int // of open elements, so that a stray end tag costs nothing
	others map[string]int    // the same for unknown elements
	text   flow
	hidden flow
	link   int // index of the open a in out.Links, -1 if none
	anchor flow
	title  strings.Builder
	titled bool // a title was read to its end
	base   string
}

// parseHTML renders a document the way a mail client without scripts, style
// sheets and remote content does. It works on tokens with its own stack of open
// elements: linear in len(src) where a tree builder is not. Of CSS it knows the
// style attribute; rules in style elements are not applied.
func parseHTML(src string, l Limits) *HTML {
	r := &renderer{out: &HTML{}, limits: l, link: -1, counts: make(map[atom.Atom]int)}
	r.text.max, r.hidden.max, r.anchor.max = l.TextBytes, l.TextBytes, 1000
	z := html.NewTokenizer(strings.NewReader(src))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				r.out.tooDeep = true
			}
			return r.finish()
		case html.TextToken:
			r.textToken(z.Text())
		case html.StartTagToken, html.SelfClosingTagToken:
			r.mixedCase(z.Raw())
			name, more := z.TagName()
			r.start(z, name, more)
		case html.EndTagToken:
			name, _ := z.TagName()
			r.end(name)
		}
	}
}

func (r *renderer) finish() *HTML {
	r.closeLink()
	r.out.Text = r.text.String()
	r.out.Hidden = r.hidden.String()
	r.out.Title = collapse(r.title.String(), 4096)
	return r.out
}

// look returns how text is shown here. Mail clients show black on white.
func (r *renderer) look() look {
	if n := len(r.stack); n > 0 {
		return r.stack[n-1].look
	}
	return look{fg: 0x000000, bg: 0xffffff}
}

func (r *renderer) top() atom.Atom {
	if n := len(r.stack); n > 0 {
		return r.stack[n-1].tag
	}
	return 0
}

func (r *renderer) textToken(b []byte) {
	switch r.top() {
	case atom.Script, atom.Style, atom.Noembed, atom.Noframes, atom.Iframe, atom.Template:
		return
	case atom.Title:
		if !r.titled && r.title.Len() < 4096 {
			r.title.Write(b[:min(len(b), 4096)])
		}
		return
	}
	s := string(b)
	l := r.look()
	if l.seen() {
		r.text.write(s, l.pre)
	} else {
		r.hidden.write(s, false)
	}
	if r.link >= 0 {
		r.anchor.write(s, false)
	}
}

// attrs are the attributes we read, the first of each name.
type attrs struct {
	href, src, alt, style, width, height, color, bgcolor, background, action, content, equiv, kind, value, size string
	hidden, hasHref, hasAction                                                                                  bool
}

func readAttrs(z *html.Tokenizer, more bool) (a attrs) {
	set := func(p *string, v []byte) {
		if *p == "" {
			*p = string(v)
		}
	}
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		switch string(k) {
		case "href":
			set(&a.href, v)
			a.hasHref = true
		case "src":
			set(&a.src, v)
		case "alt":
			set(&a.alt, v)
		case "style":
			set(&a.style, v)
		case "width":
			set(&a.width, v)
		case "height":
			set(&a.height, v)
		case "color", "text":
			set(&a.color, v)
		case "bgcolor":
			set(&a.bgcolor, v)
		case "background":
			set(&a.background, v)
		case "action", "formaction":
			set(&a.action, v)
			a.hasAction = true
		case "content":
			set(&a.content, v)
		case "http-equiv":
			set(&a.equiv, v)
		case "type":
			set(&a.kind, v)
		case "value":
			set(&a.value, v)
		case "size":
			set(&a.size, v)
		case "hidden":
			a.hidden = true
		}
	}
	return a
}

// start handles a start tag.
func (r *renderer) start(z *html.Tokenizer, name []byte, more bool) {
	tag := atom.Lookup(name)
	var a attrs
	if more {
		a = readAttrs(z, more)
	}
	r.implied(tag)
	l := r.look()
	l.hidden(a.hidden)
	switch tag {
	case atom.Body, atom.Table, atom.Tr, atom.Td, atom.Th, atom.Font, atom.Div, atom.Thead, atom.Tbody:
		if a.color != "" {
			l.fg = parseColor(a.color)
		}
		if a.bgcolor != "" {
			l.background(parseColor(a.bgcolor))
		}
		if a.background != "" {
			l.bg = colorUnknown
		}
	case atom.Pre, atom.Textarea, atom.Listing, atom.Xmp, atom.Plaintext:
		l.pre = true
	case atom.Datalist, atom.Template, atom.Audio, atom.Video, atom.Object, atom.Svg:
		l.gone = l.gone || tag != atom.Object && tag != atom.Svg
	}
	if a.style != "" {
		l.style(a.style)
	}
	r.effects(tag, &a, l)
	if isVoid(tag) {
		return
	}
	if len(r.stack) >= maxDepthHTML {
		r.out.tooDeep = true
		return
	}
	e := element{tag: tag, look: l}
	switch tag {
	case 0:
		e.name = string(name)
		if r.others == nil {
			r.others = make(map[string]int)
		}
		r.others[e.name]++
	case atom.Ol:
		e.list = 1
	case atom.Ul, atom.Menu, atom.Dir:
		e.list = -1
	}
	r.counts[tag]++
	r.stack = append(r.stack, e)
}

func (l *look) hidden(yes bool) { l.gone = l.gone || yes }

// effects does what the element does beyond nesting: breaks, links, images.
func (r *renderer) effects(tag atom.Atom, a *attrs, l look) {
	if gap, ok := blockGap(tag); ok {
		r.text.breakLine(gap)
		r.hidden.breakLine(1)
	}
	switch tag {
	case atom.Base:
		if a.href != "" && r.base == "" {
			r.base = cleanURL(a.href)
			r.addLink(Link{URL: r.base, Tag: "base"})
		}
	case atom.A:
		r.closeLink()
		if a.hasHref && r.addLink(Link{URL: r.resolve(a.href), Tag: "a"}) {
			r.link = len(r.out.Links) - 1
		}
	case atom.Area:
		if a.hasHref {
			r.addLink(Link{URL: r.resolve(a.href), Text: clip(a.alt, 1000), Tag: "area"})
		}
	case atom.Iframe, atom.Frame:
		if a.src != "" {
			r.addLink(Link{URL: r.resolve(a.src), Tag: tag.String()})
		}
	case atom.Meta:
		if strings.EqualFold(strings.TrimSpace(a.equiv), "refresh") {
			if i := strings.Index(strings.ToLower(a.content), "url="); i >= 0 {
				r.addLink(Link{URL: r.resolve(strings.Trim(a.content[i+4:], " '\"")), Tag: "meta"})
			}
		}
	case atom.Img, atom.Image:
		r.image(a, l)
	case atom.Form:
		if len(r.out.Forms) < r.limits.URIs {
			r.out.Forms = append(r.out.Forms, r.resolve(a.action))
		}
	case atom.Button, atom.Input:
		if a.hasAction && len(r.out.Forms) < r.limits.URIs {
			r.out.Forms = append(r.out.Forms, r.resolve(a.action))
		}
		switch strings.ToLower(a.kind) {
		case "submit", "button", "reset":
			r.visible(" "+a.value+" ", l)
		}
	case atom.Li:
		r.item(l)
	case atom.Td, atom.Th:
		r.text.cell()
		r.hidden.write(" ", false)
	}
	if a.background != "" && tag != atom.Img {
		r.addImage(Image{URL: r.resolve(a.background), Width: -1, Height: -1})
	}
}

// visible writes generated text where the reader would see it.
func (r *renderer) visible(s string, l look) {
	if l.seen() {
		r.text.write(s, false)
	} else {
		r.hidden.write(s, false)
	}
}

// item writes the mark of a list item.
func (r *renderer) item(l look) {
	if !l.seen() {
		return
	}
	for i := len(r.stack) - 1; i >= 0 && i > len(r.stack)-8; i-- {
		if n := r.stack[i].list; n > 0 {
			r.stack[i].list++
			r.text.mark(strconv.Itoa(n) + ". ")
			return
		} else if n < 0 {
			break
		}
	}
	r.text.mark("- ")
}

func (r *renderer) image(a *attrs, l look) {
	img := Image{URL: r.resolve(a.src), Width: pixels(a.width), Height: pixels(a.height)}
	if a.style != "" {
		img.Width = styleSize(a.style, "width", img.Width)
		img.Height = styleSize(a.style, "height", img.Height)
	}
	r.addImage(img)
	if r.link >= 0 {
		r.out.Links[r.link].HasImage = true
	}
	if alt := strings.TrimSpace(a.alt); alt != "" {
		r.visible(alt, l)
		if r.link >= 0 {
			r.anchor.write(alt, false)
		}
	}
}

func (r *renderer) addImage(img Image) {
	if len(r.out.Images) >= r.limits.URIs {
		return
	}
	scheme, _, _ := strings.Cut(strings.ToLower(clip(img.URL, 8)), ":")
	img.Inline = scheme == "cid" || scheme == "data"
	if scheme == "data" {
		img.URL = clip(img.URL, 100)
	}
	r.out.Images = append(r.out.Images, img)
}

func (r *renderer) addLink(l Link) bool {
	if len(r.out.Links) >= r.limits.URIs {
		return false
	}
	r.out.Links = append(r.out.Links, l)
	return true
}

func (r *renderer) closeLink() {
	if r.link >= 0 {
		r.out.Links[r.link].Text = collapse(r.anchor.String(), 1000)
		r.link = -1
	}
	r.anchor.reset()
}

// pixels reads a width or height attribute; percentages are unknown.
func pixels(s string) int {
	s = strings.TrimSpace(s)
	v, ok := cssNumber(s)
	if !ok || v < 0 || v > 1e6 || strings.HasSuffix(s, "%") {
		return -1
	}
	return int(v)
}

// styleSize returns the pixels that style gives for name, def if none.
func styleSize(style, name string, def int) int {
	for n := 0; style != "" && n < 64; n++ {
		var decl string
		decl, style, _ = strings.Cut(style, ";")
		k, v, _ := strings.Cut(decl, ":")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			if p := pixels(v); p >= 0 {
				return p
			}
		}
	}
	return def
}

// cleanURL takes out what browsers take out of URLs in attributes (WHATWG URL
// 4.4): white space around and tabs and line ends inside.
func cleanURL(s string) string {
	s = strings.ToValidUTF8(strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }), "\uFFFD")
	if !strings.ContainsAny(s, "\t\r\n") {
		return s
	}
	return strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(s)
}

// resolve makes a relative URL absolute when the document has a base.
func (r *renderer) resolve(s string) string {
	s = cleanURL(s)
	if r.base == "" || s == "" || s[0] == '#' || hasScheme(s) {
		return s
	}
	return resolveURL(clip(r.base, 1024), s)
}
