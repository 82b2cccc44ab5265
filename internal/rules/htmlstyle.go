package rules

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	leadingDigits = regexp.MustCompile(`^\s*(\d+)`)
	signedDigits  = regexp.MustCompile(`^\s*([+-])(\d+)`)
	colourRule    = regexp.MustCompile(`(?is)^\s*(background-)?color:\s*(.+?)\s*$`)
	importantRule = regexp.MustCompile(`\s*!\s*important$`)
	layerRule     = regexp.MustCompile(`(?s)^\s*background:\s*(.+?)\s*$`)
	otherRule     = regexp.MustCompile(`(?is)^\s*([a-z_-]+)\s*:\s*(\S.*?)\s*$`)
)

// restyle follows what an element says about colours and sizes of its text.
func (r *htmlReader) restyle(t *tagToken) {
	tag := t.name
	if tag == "th" {
		tag = "td"
	}
	if t.kind == 'e' {
		if tag != "body" {
			r.closeStyle(tag)
		}
		return
	}
	if tag == "basefont" {
		if size, ok := t.attr("size"); ok {
			if m := leadingDigits.FindStringSubmatch(size); m != nil {
				r.base = atoi(m[1])
				return
			}
		}
	}
	if tag == "td" || tag == "tr" {
		r.closeCell(tag)
	}
	next := r.styles[len(r.styles)-1]
	next.tag = tag
	switch tag {
	case "big":
		next.size++
	case "small":
		next.size--
	default:
		for _, a := range t.attrs {
			if okAttributes[tag][a.name] {
				r.styleAttribute(&next, a)
			}
		}
	}
	if len(r.styles) < maxStyles {
		r.styles = append(r.styles, next)
		r.open[tag]++
	}
}

func (r *htmlReader) styleAttribute(s *style, a attribute) {
	switch a.name {
	case "text", "color":
		s.fg = colour(a.value)
	case "size":
		if m := signedDigits.FindStringSubmatch(a.value); m != nil {
			n := atoi(m[2])
			if m[1] == "-" {
				n = -n
			}
			s.size = r.base + n
		} else if m := leadingDigits.FindStringSubmatch(a.value); m != nil {
			s.size = atoi(m[1])
		}
	case "style":
		r.inlineStyle(s, a.value)
	}
	if s.size > r.maxSize {
		r.maxSize = s.size
	} else if s.size < r.minSize {
		r.minSize = s.size
	}
}

func (r *htmlReader) inlineStyle(s *style, value string) {
	for _, part := range strings.Split(value, ";") {
		if m := colourRule.FindStringSubmatch(part); m != nil {
			c := cssColour(importantRule.ReplaceAllString(strings.ToLower(m[2]), ""))
			if c == "" {
				continue
			}
			if m[1] != "" {
				s.bg = c
			} else {
				s.fg = c
			}
		} else if m := layerRule.FindStringSubmatch(part); m != nil {
			if c, ok := backgroundColour(strings.ToLower(m[1])); ok {
				s.bg = c
			}
		} else if m := otherRule.FindStringSubmatch(part); m != nil {
			switch m[1] {
			case "display":
				s.display = m[2]
			case "visibility":
				s.visibility = m[2]
			}
		}
	}
	if s.bg == "transparent" {
		s.bg = r.styles[len(r.styles)-1].bg
	}
	if s.fg == "transparent" {
		s.fg = s.bg
	}
}

// cssColour returns the colour, "transparent", or "" for inherit.
func cssColour(value string) string {
	switch {
	case strings.Contains(value, "rgb"):
		var rgb [3]int
		digits := strings.Map(func(c rune) rune {
			if c >= '0' && c <= '9' || c == ',' {
				return c
			}
			return -1
		}, value)
		for i, n := range strings.SplitN(digits, ",", 4) {
			if i < 3 {
				rgb[i] = min(atoi(n), 255)
			}
		}
		return fmt.Sprintf("#%02x%02x%02x", rgb[0], rgb[1], rgb[2])
	case value == "inherit":
		return ""
	case value == "transparent":
		return value
	}
	return colour(value)
}

// closeCell ends what an open cell or row holds when the next one begins.
func (r *htmlReader) closeCell(tag string) {
	if r.open[tag] == 0 {
		return
	}
	for len(r.styles) > 1 {
		top := r.styles[len(r.styles)-1].tag
		if top != "font" && top != "td" && (tag != "tr" || top != "tr") {
			return
		}
		r.popStyle()
	}
}

func (r *htmlReader) closeStyle(tag string) {
	for r.open[tag] > 0 && len(r.styles) > 1 {
		top := r.styles[len(r.styles)-1].tag
		r.popStyle()
		if top == tag {
			return
		}
	}
}

func (r *htmlReader) popStyle() {
	top := len(r.styles) - 1
	r.open[r.styles[top].tag]--
	r.styles = r.styles[:top]
}

// measure takes the figures of one start tag.
func (r *htmlReader) measure(t *tagToken) {
	switch t.name {
	case "font":
		if face, ok := t.attr("face"); ok && !faceShape.MatchString(face) {
			r.flags["font_face_bad"] = true
		}
	case "img":
		if r.inside["a"] > 0 && len(r.anchor) > 0 {
			r.appendAnchor("<img>\n")
		}
		r.imageSize(t)
	case "form":
		if action, ok := t.attr("action"); ok && strings.Contains(strings.ToLower(action), "mailto:") {
			r.flags["form_action_mailto"] = true
		}
	case "object", "embed":
		r.flags["embeds"] = true
	case "a":
		href, _ := t.attr("href")
		r.anchorLast = r.cleanURI(href)
		if len(r.anchor) < 10000 {
			u := r.uri(r.anchorLast)
			u.texts = append(u.texts, "")
			r.anchor = append(r.anchor, "")
		}
	case "title":
		r.titleAt++
		r.title = append(r.title, "")
	case "meta":
		equiv, _ := t.attr("http-equiv")
		content, _ := t.attr("content")
		if strings.Contains(strings.ToLower(equiv), "content-type") {
			if m := metaCharset.FindStringSubmatch(content); m != nil {
				r.charsets = strings.TrimSpace(r.charsets + " " + m[1])
			}
		}
	}
}

func (r *htmlReader) imageSize(t *tagToken) {
	w, okW := t.attr("width")
	h, okH := t.attr("height")
	if !okW || !okH {
		return
	}
	side := func(s string, percent, unknown int) int {
		m := pixels.FindStringSubmatch(s)
		if m == nil {
			return unknown
		}
		n := atoi(m[1])
		if m[2] != "" {
			n *= percent
		}
		if n <= 0 {
			return unknown
		}
		return n
	}
	r.imageArea += float64(side(w, 8, 200)) * float64(side(h, 6, 200))
}

func (r *htmlReader) uri(key string) *htmlURI {
	u := r.uris[key]
	if u == nil {
		u = &htmlURI{types: map[string]bool{}}
		if len(r.uris) < maxURIDetails {
			r.uris[key] = u
			r.order = append(r.order, key)
		}
	}
	return u
}

func (r *htmlReader) cleanURI(s string) string {
	s = strings.Trim(s, " \t\n\r\f\v\u00a0")
	if len(s) > uriMax {
		r.uriTruncated = true
		s = s[:uriMax]
	}
	return s
}

var absoluteOnly = regexp.MustCompile(`(?i)^(?:data|mailto|file|cid|tel):`)

func (r *htmlReader) pushURI(kind, s string) {
	s = r.cleanURI(s)
	if s == "" {
		return
	}
	if !absoluteOnly.MatchString(s) {
		if s = resolveURI(r.baseURL, s); s == "" {
			return
		}
	}
	u := r.uri(s)
	u.types[kind], u.listed = true, true
}

// links takes the URIs of one start tag.
func (r *htmlReader) links(t *tagToken) {
	push := func(name string) {
		if v, ok := t.attr(name); ok {
			r.pushURI(t.name, v)
		}
	}
	loose := func(shape *regexp.Regexp, name string) {
		value, ok := t.attr(name)
		for _, a := range t.attrs {
			if shape.MatchString(a.name) {
				value, ok = a.value, true
			}
		}
		if ok {
			r.pushURI(t.name, strings.ReplaceAll(value, "\ufeff", ""))
		}
	}
	switch t.name {
	case "body", "table", "tr", "td":
		push("background")
	case "a", "area", "link":
		loose(hrefAttribute, "href")
		push("data-saferedirecturl")
	case "img", "frame", "iframe", "embed", "script", "bgsound":
		loose(srcAttribute, "src")
	case "form":
		push("action")
	case "base":
		href, ok := t.attr("href")
		if !ok || href == "" {
			return
		}
		r.pushURI("base", href)
		if href = r.cleanURI(href); baseScheme.MatchString(href) {
			href = baseFile.ReplaceAllString(href, "$1")
			if !strings.HasSuffix(href, "/") {
				href += "/"
			}
			r.baseURL = href
		}
	case "meta":
		equiv, _ := t.attr("http-equiv")
		content, _ := t.attr("content")
		if strings.Contains(strings.ToLower(equiv), "refresh") && metaURL.MatchString(content) {
			target, _, _ := strings.Cut(metaURL.ReplaceAllString(content, ""), ";")
			r.pushURI("meta", target)
		}
	}
}
