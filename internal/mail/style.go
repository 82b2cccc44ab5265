package mail

import (
	"strconv"
	"strings"
)

// color is 0xRRGGBB, or one of the two below.
type color int32

const (
	colorUnknown color = -1 // not to be compared: an image, a gradient, something we cannot read
	colorClear   color = -2 // transparent
)

// namedColors are the colours that hidden text is written in; the other names
// of CSS are unknown to us, and unknown colours hide nothing.
var namedColors = map[string]color{
	"white": 0xffffff, "black": 0x000000, "silver": 0xc0c0c0, "gray": 0x808080, "grey": 0x808080,
	"red": 0xff0000, "maroon": 0x800000, "yellow": 0xffff00, "olive": 0x808000, "lime": 0x00ff00,
	"green": 0x008000, "aqua": 0x00ffff, "cyan": 0x00ffff, "teal": 0x008080, "blue": 0x0000ff,
	"navy": 0x000080, "fuchsia": 0xff00ff, "magenta": 0xff00ff, "purple": 0x800080, "orange": 0xffa500,
	"snow": 0xfffafa, "ivory": 0xfffff0, "whitesmoke": 0xf5f5f5, "ghostwhite": 0xf8f8ff,
	"floralwhite": 0xfffaf0, "lightgray": 0xd3d3d3, "lightgrey": 0xd3d3d3, "transparent": colorClear,
}

// parseColor reads "#rgb", "#rrggbb", "rgb(r,g,b)", a name, and the bare
// "rrggbb" of HTML attributes.
func parseColor(s string) color {
	s = strings.ToLower(strings.TrimSpace(s))
	if c, ok := namedColors[s]; ok {
		return c
	}
	if inner, ok := strings.CutPrefix(s, "rgb("); ok {
		return rgbColor(strings.TrimSuffix(inner, ")"))
	}
	if inner, ok := strings.CutPrefix(s, "rgba("); ok {
		return rgbColor(strings.TrimSuffix(inner, ")"))
	}
	h := strings.TrimPrefix(s, "#")
	if len(h) == 3 && h != s {
		h = string([]byte{h[0], h[0], h[1], h[1], h[2], h[2]})
	}
	if len(h) != 6 {
		return colorUnknown
	}
	n, err := strconv.ParseUint(h, 16, 32)
	if err != nil {
		return colorUnknown
	}
	return color(n)
}

func rgbColor(inner string) color {
	parts := strings.SplitN(inner, ",", 5)
	if len(parts) < 3 {
		return colorUnknown
	}
	c := color(0)
	for _, p := range parts[:3] {
		n, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || n < 0 || n > 255 {
			return colorUnknown
		}
		c = c<<8 | color(n)
	}
	if len(parts) == 4 {
		if a, err := strconv.ParseFloat(strings.TrimSpace(parts[3]), 64); err == nil && a == 0 {
			return colorClear
		}
	}
	return c
}

// look is how an element is shown, as far as it decides whether its text can be
// seen. Children inherit it.
type look struct {
	gone      bool // display:none and the like: no child can undo it
	invisible bool // visibility:hidden: a child may undo it
	tiny      bool // font-size at most 1: a child may undo it
	pre       bool // white space is kept
	fg, bg    color
}

// seen reports whether a reader sees text of this look.
func (l look) seen() bool {
	return !l.gone && !l.invisible && !l.tiny && l.fg != colorClear && (l.fg != l.bg || l.fg == colorUnknown)
}

// style applies a style attribute. It reads at most 64 declarations.
func (l *look) style(css string) {
	zeroHeight, clipped := false, false
	for n := 0; css != "" && n < 64; n++ {
		var decl string
		decl, css, _ = strings.Cut(css, ";")
		name, value, ok := strings.Cut(decl, ":")
		if !ok {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		value = strings.ToLower(strings.TrimSpace(value))
		if i := strings.IndexByte(value, '!'); i >= 0 {
			value = strings.TrimSpace(value[:i])
		}
		switch name {
		case "display":
			l.gone = l.gone || value == "none"
		case "visibility":
			l.invisible = value == "hidden" || value == "collapse"
		case "opacity":
			v, ok := cssNumber(value)
			l.gone = l.gone || ok && v <= 0
		case "font-size":
			l.fontSize(value)
		case "font":
			for word := range strings.FieldsSeq(value) {
				size, _, _ := strings.Cut(word, "/")
				if v, ok := cssNumber(size); ok && v < 100 {
					l.fontSize(size)
				}
			}
		case "color":
			l.fg = parseColor(value)
		case "background-color":
			l.background(parseColor(value))
		case "background", "background-image":
			l.backgroundList(value)
		case "white-space":
			l.pre = strings.HasPrefix(value, "pre")
		case "height", "max-height", "width", "max-width":
			v, ok := cssNumber(value)
			zeroHeight = zeroHeight || ok && v == 0
		case "overflow", "overflow-x", "overflow-y":
			clipped = clipped || value == "hidden"
		case "text-indent", "left", "top", "margin-left":
			v, ok := cssNumber(value)
			l.gone = l.gone || ok && v <= -900
		}
	}
	l.gone = l.gone || zeroHeight && clipped
}

// fontSize treats up to one pixel or point as unseen, and relative sizes only
// when they are zero.
func (l *look) fontSize(value string) {
	v, ok := cssNumber(value)
	if !ok {
		l.tiny = false // "small", "inherit"…
		return
	}
	relative := strings.HasSuffix(value, "em") || strings.HasSuffix(value, "%")
	l.tiny = v <= 0 || v <= 1 && !relative
}

func (l *look) background(c color) {
	if c != colorClear {
		l.bg = c
	}
}

// backgroundList reads the shorthand: a colour somewhere, or an image.
func (l *look) backgroundList(value string) {
	if strings.Contains(value, "url(") || strings.Contains(value, "gradient") {
		l.bg = colorUnknown
		return
	}
	if strings.HasPrefix(value, "rgb") {
		l.background(parseColor(value))
		return
	}
	first, _, _ := strings.Cut(value, " ")
	if first != "none" {
		l.background(parseColor(first))
	}
}

// cssNumber reads the number at the head of a CSS value, whatever its unit.
func cssNumber(s string) (float64, bool) {
	i := 0
	for i < len(s) && i < 20 && (s[i] >= '0' && s[i] <= '9' || s[i] == '.' || i == 0 && (s[i] == '-' || s[i] == '+')) {
		i++
	}
	v, err := strconv.ParseFloat(s[:i], 64)
	return v, err == nil
}
