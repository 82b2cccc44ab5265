package checkup

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a logo.
const (
	bestSVG  = 32 << 10  // what mailboxes want at most (SVG Tiny PS draft 2.2, BIMI Group, read 2026-11)
	mostSVG  = 512 << 10 // what is read, packed or not
	mostDeep = 100       // elements within each other
)

// svgFault is a rule of SVG Tiny PS that a logo breaks: the code below "bimi.", and what was found.
type svgFault struct{ code, found string }

// Elements of SVG Tiny 1.2 by what SVG Tiny PS says of them (draft-svg-tiny-ps-abrotman-08 2.1, read 2026-11): those that move, act or bring other files
// are taken out; what is not in SVG Tiny 1.2 at all was never in.
var (
	svgActs    = strings.Fields("script handler listener a")
	svgMoves   = strings.Fields("animate animateColor animateMotion animateTransform animation discard mpath set")
	svgRaster  = strings.Fields("image audio video foreignObject prefetch font-face-src font-face-uri")
	svgAllowed = strings.Fields(`circle defs desc ellipse font font-face glyph g hkern line linearGradient metadata missing-glyph path polygon polyline radialGradient
		rect solidColor stop svg switch tbreak text textArea title tspan use`)
)

// svgAttributes are those of SVG Tiny 1.2 (tables of attributes and properties of the W3C's recommendation of 2008-12-22) on the elements that are left,
// on whichever of them: style, opacity, overflow, gradientTransform and what drawing programs write for themselves are not among them.
var svgAttributes = strings.Fields(`about accent-height alphabetic arabic-form ascent baseProfile bbox buffered-rendering cap-height class color color-rendering content
	contentScriptType cx cy d datatype descent direction display display-align editable externalResourcesRequired fill fill-opacity fill-rule focusHighlight focusable
	font-family font-size font-stretch font-style font-variant font-weight g1 g2 glyph-name gradientUnits hanging height horiz-adv-x horiz-origin-x id ideographic
	image-rendering k lang line-increment mathematical nav-down nav-down-left nav-down-right nav-left nav-next nav-prev nav-right nav-up nav-up-left nav-up-right offset
	origin panose-1 pathLength playbackOrder pointer-events points preserveAspectRatio property r rel requiredExtensions requiredFeatures requiredFonts requiredFormats
	resource rev role rotate rx ry shape-rendering slope snapshotTime solid-color solid-opacity stemh stemv stop-color stop-opacity strikethrough-position
	strikethrough-thickness stroke stroke-dasharray stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width systemLanguage
	text-align text-anchor text-rendering timelineBegin transform typeof u1 u2 underline-position underline-thickness unicode unicode-bidi unicode-range units-per-em
	vector-effect version viewBox viewport-fill viewport-fill-opacity visibility width widths x x-height x1 x2 y y1 y2 zoomAndPan`)

const (
	svgSpace = "http://www.w3.org/2000/svg"
	xmlSpace = "http://www.w3.org/XML/1998/namespace"
)

// unpacked is a logo without its packing (SVGZ). Nothing larger than mostSVG comes of it.
func unpacked(file []byte) ([]byte, error) {
	if !bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
		return file, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, mostSVG+1))
	switch {
	case err != nil:
		return nil, err
	case len(out) > mostSVG:
		return nil, errLarge
	}
	return out, nil
}

// errLarge: a file is longer than what is read of it.
var errLarge = errors.New("larger than what is read")

// svgLook is one reading of a logo.
type svgLook struct {
	faults []svgFault
	deep   int
	root   bool // the root element has been seen
	titled bool // it has a title with text
	title  int  // depth of an open title of the root; 0 none
}

// judgeSVG holds a logo, unpacked, against SVG Tiny PS. It reads each byte once and looks nothing up. Each fault comes once.
func judgeSVG(text []byte) []svgFault {
	var l svgLook
	if len(text) > bestSVG {
		l.add("svg-large", strconv.Itoa((len(text)+1023)>>10))
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		t, err := d.Token()
		if err == io.EOF && l.root && l.deep == 0 {
			break
		}
		if err != nil || l.deep > mostDeep {
			why := "too deep"
			if err != nil {
				why = reason(err)
			}
			l.add("svg-broken", why)
			return l.faults
		}
		switch t := t.(type) {
		case xml.Directive:
			l.add("svg-doctype", clip(printable(string(t)), 80))
		case xml.ProcInst:
			if t.Target != "xml" {
				l.add("svg-external", clip(printable("<?"+t.Target), 80))
			}
		case xml.StartElement:
			if l.deep++; l.deep == 1 && l.root {
				l.add("svg-broken", clip(printable("<"+t.Name.Local+">"), 60))
				return l.faults
			}
			l.element(t)
		case xml.EndElement:
			if l.deep--; l.deep < l.title {
				l.title = 0
			}
		case xml.CharData:
			l.titled = l.titled || l.title > 0 && len(bytes.TrimSpace(t)) > 0
		}
	}
	if !l.titled {
		l.add("svg-title", "")
	}
	return l.faults
}

func (l *svgLook) add(code, found string) {
	if !slices.ContainsFunc(l.faults, func(f svgFault) bool { return f.code == code }) {
		l.faults = append(l.faults, svgFault{code, found})
	}
}

// element looks at one element with its attributes.
func (l *svgLook) element(e xml.StartElement) {
	name := e.Name.Local
	if !l.root {
		l.root = true
		if name != "svg" || e.Name.Space != svgSpace {
			l.add("svg-root", clip(printable(name), 60))
		}
		l.frame(e.Attr)
	} else if name == "title" && l.deep == 2 {
		l.title = l.deep
	}
	own := e.Name.Space == svgSpace || e.Name.Space == ""
	if own {
		shown := clip(printable("<"+name+">"), 60)
		switch {
		case slices.Contains(svgActs, name):
			l.add("svg-script", shown)
		case slices.Contains(svgMoves, name):
			l.add("svg-animation", shown)
		case slices.Contains(svgRaster, name):
			l.add("svg-raster", shown)
		case !slices.Contains(svgAllowed, name):
			l.add("svg-element", shown)
		}
	}
	for _, a := range e.Attr {
		l.attribute(a, own && slices.Contains(svgAllowed, name))
	}
}

// attribute looks for what acts, for what leads out of the file and, on an element of SVG Tiny, for what it does not know.
func (l *svgLook) attribute(a xml.Attr, tiny bool) {
	name, value := a.Name.Local, strings.TrimSpace(a.Value)
	lower := strings.ToLower(value)
	shown := clip(printable(name+`="`+value+`"`), 80)
	switch {
	case a.Name.Space == "xmlns" || name == "xmlns":
	case len(name) > 2 && strings.EqualFold(name[:2], "on") && a.Name.Space == "", strings.Contains(lower, "javascript:"):
		l.add("svg-script", shown)
	case name == "href" && value != "" && !strings.HasPrefix(value, "#"), name == "base" && a.Name.Space == xmlSpace:
		l.add("svg-external", shown)
	case strings.Contains(lower, "@import"), leadsOut(lower):
		l.add("svg-external", shown)
	case tiny && a.Name.Space == "" && name != "href" && !slices.Contains(svgAttributes, name):
		l.add("svg-attribute", shown)
	}
}

// leadsOut reports whether a lower-case value names a file with url(…): only fragments of the same file may be named.
func leadsOut(value string) bool {
	for {
		_, rest, found := strings.Cut(value, "url(")
		if !found {
			return false
		}
		if !strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n\"'"), "#") {
			return true
		}
		value = rest
	}
}

// frame looks at the attributes of the root.
func (l *svgLook) frame(attrs []xml.Attr) {
	of := map[string]string{}
	for _, a := range attrs {
		if a.Name.Space == "" {
			of[a.Name.Local] = strings.TrimSpace(a.Value)
		}
	}
	if of["version"] != "1.2" {
		l.add("svg-version", clip(printable(of["version"]), 40))
	}
	if of["baseProfile"] != "tiny-ps" {
		l.add("svg-profile", clip(printable(of["baseProfile"]), 40))
	}
	if of["x"] != "" || of["y"] != "" {
		l.add("svg-origin", "")
	}
	width, height, ok := sides(of)
	if !ok || math.Abs(width-height) > 0.01*math.Max(width, height) {
		l.add("svg-square", clip(printable(of["viewBox"]), 60))
	}
}

// sides are the width and height of the view box, else of the picture; false: neither is there to be read.
func sides(of map[string]string) (width, height float64, ok bool) {
	parts := strings.FieldsFunc(of["viewBox"], func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' || r == '\r' })
	if len(parts) != 4 {
		parts = []string{"", "", strings.TrimSuffix(of["width"], "px"), strings.TrimSuffix(of["height"], "px")}
	}
	width, errW := strconv.ParseFloat(parts[2], 64)
	height, errH := strconv.ParseFloat(parts[3], 64)
	return width, height, errW == nil && errH == nil && width > 0 && height > 0 && !math.IsInf(width, 0) && !math.IsInf(height, 0)
}
