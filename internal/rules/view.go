package rules

import (
	"bytes"
	"regexp"
	"strings"
	"time"

	"postern/internal/mail"
)

// Sizes that SpamAssassin works with; rules are written for them.
const (
	bodyLine      = 2048   // bytes of a body line; half of the longest rawbody chunk
	bodyPartScan  = 50000  // bytes of a part's rendered text that body rules see
	rawPartScan   = 500000 // bytes of a part's source that rawbody rules see
	headerKeyMax  = 256
	headerValMax  = 8192
	headersMax    = 65536 // bytes of all headers together for ALL
	uriMax        = 8192
	scanSlack     = 1024 // a cut may come this much later, at a line end or space
	maxURIDetails = 2000
)

// View is a message as SpamAssassin shows it to its rules. Most of it is made at the first use.
type View struct {
	message *mail.Message
	options ViewOptions

	fields  []field
	byName  map[string][]int // lower-case name -> fields
	crlf    bool
	nodes   []*node // all parts, each before its children
	relays  relays
	body    [][]byte // line 0 is the subject
	raw     [][]byte
	full    []byte
	html    []*htmlView
	details []*uriDetail
	uris    [][]byte
	specs   map[string]spec

	haveRelays, haveBody, haveRaw, haveURIs bool
	uriTruncated                            bool
	truncated                               bool // a header was cut
	memo                                    map[string]any
}

// ViewOptions is what is known about a message beside its bytes.
type ViewOptions struct {
	// Received is the value of the Received field that the next server would put on top: what rules about relays look at first.
	// "" if the message's own fields are all there is.
	Received string
	// ReversePath is the envelope sender; it counts only when HasEnvelope is true. Otherwise it is taken from the header as SpamAssassin does.
	ReversePath string
	HasEnvelope bool
	// Now is the time to compare with; zero: rules that need it do not hit.
	Now time.Time
}

// field is a header field in both of its forms.
type field struct {
	name    string
	raw     string // all after the colon, with the final line end; line ends are LF
	decoded string // unfolded, trimmed, encoded words decoded, with a final LF
	done    bool
}

// spec is the values of a header specification.
type spec struct {
	values []string
	text   []byte // joined
	set    bool
}

// node is one part of the message with the type SpamAssassin gives it.
type node struct {
	part      *mail.Part
	fields    []field
	mediaType string // lower case; text/* is text/plain but for html, calendar and x-vcard
	effective string
	boundary  string
	charset   string
	name      string
	missing   bool // no usable Content-Type
	leaf      bool
	crlf      bool // lines of the message end in CRLF
	children  []*node

	decoded      []byte
	rendered     text
	html         *htmlView
	haveRendered bool
	haveDecoded  bool
}

// text is a string with Perl's knowledge of it: wide strings hold characters (here UTF-8), others bytes.
type text struct {
	s    string
	wide bool
}

// NewView prepares a message. The message must not change while the View is used.
func NewView(m *mail.Message, o ViewOptions) *View {
	v := &View{message: m, options: o, byName: map[string][]int{}, specs: map[string]spec{}, memo: map[string]any{}}
	first := bytes.IndexByte(m.Raw, '\n')
	v.crlf = first > 0 && m.Raw[first-1] == '\r' || bytes.HasSuffix(m.Raw, []byte("\r\n"))
	if o.Received != "" {
		v.fields = append(v.fields, field{name: "Received", raw: " " + strings.TrimSpace(o.Received) + "\n"})
	}
	var cut bool
	fields, cut := makeFields(m.Header)
	v.truncated = cut
	for _, f := range fields {
		// What an earlier SpamAssassin wrote is no property of the message.
		if len(f.name) < 7 || !strings.EqualFold(f.name[:7], "X-Spam-") {
			v.fields = append(v.fields, f)
		}
	}
	for i := range v.fields {
		name := strings.ToLower(v.fields[i].name)
		v.byName[name] = append(v.byName[name], i)
	}
	v.nodes = v.addNode(m.Root, nil)
	return v
}

func makeFields(h mail.Header) (fields []field, cut bool) {
	fields = make([]field, 0, len(h))
	for _, f := range h {
		_, value, _ := bytes.Cut(f.Raw, []byte(":"))
		raw := strings.ReplaceAll(string(value), "\r\n", "\n")
		if !strings.HasSuffix(raw, "\n") {
			raw += "\n"
		}
		name := f.Name
		if len(name) > headerKeyMax {
			name, cut = name[:headerKeyMax], true
		}
		if len(raw) > headerValMax {
			raw, cut = raw[:headerValMax], true
		}
		fields = append(fields, field{name: name, raw: raw})
	}
	return fields, cut
}

// decode returns the decoded form of a field.
func (f *field) decode() string {
	if !f.done {
		f.done = true
		f.decoded = decodeHeader(strings.Trim(unfold(f.raw), " \t\n\r\v\f"), f.name) + "\n"
	}
	return f.decoded
}

var foldedLine = regexp.MustCompile(`\n[ \t]+`)

func unfold(s string) string {
	if strings.IndexByte(s, '\n') < 0 {
		return s
	}
	return foldedLine.ReplaceAllString(s, " ")
}

// addNode walks the MIME tree.
func (v *View) addNode(p *mail.Part, list []*node) []*node {
	n := &node{part: p, leaf: len(p.Children) == 0, crlf: v.crlf}
	n.fields, _ = makeFields(p.Header)
	if n.inMultipart() { // headers of parts are kept without the space behind the colon
		for i := range n.fields {
			n.fields[i].raw = strings.TrimLeft(n.fields[i].raw, spaces)
		}
	}
	ct := parseContentType(n.header("content-type"))
	n.mediaType, n.boundary, n.charset, n.name, n.missing = ct.media, ct.boundary, ct.charset, ct.name, ct.missing
	if strings.HasPrefix(n.mediaType, "multipart/") && n.leaf {
		n.mediaType = "text/plain" // without a boundary, or one that never comes
	}
	if n.missing && p.Parent != nil && strings.EqualFold(p.Parent.MediaType, "multipart/digest") {
		n.mediaType = "message/rfc822"
	}
	if m := dispositionName.FindStringSubmatch(n.header("content-disposition")); m != nil {
		n.name = m[1]
	}
	n.effective = n.mediaType
	if htmlName.MatchString(n.name) {
		n.effective = "text/html"
	}
	list = append(list, n)
	for _, c := range p.Children {
		at := len(list)
		list = v.addNode(c, list)
		n.children = append(n.children, list[at])
	}
	return list
}

var (
	dispositionName = regexp.MustCompile(`(?i)name=\s*"?([^";]+)"?`)
	htmlName        = regexp.MustCompile(`(?i)\.s?html?$`)
	ctBoundary      = regexp.MustCompile(`(?i)\bboundary\s*=\s*("[^"]+|[^\s";]+)`)
	ctCharset       = regexp.MustCompile(`(?i)\bcharset\s*=\s*["']?(.*?)["']?(?:;|$)`)
	ctName          = regexp.MustCompile(`(?i)\b(?:file)?name\s*=\s*["']?(.*?)["']?(?:;|$)`)
	ctMedia         = regexp.MustCompile(`^[^/]+(?:/[^/\s]*)?`)
	plainText       = regexp.MustCompile(`^text(?:$|\W)`)
)

type contentType struct {
	media, boundary, charset, name string
	missing                        bool
}

// parseContentType reads a Content-Type as leniently as SpamAssassin.
func parseContentType(value string) contentType {
	var c contentType
	value = strings.TrimSuffix(value, "\n")
	if value == "" {
		c.missing = true
		value = "text/plain; charset=us-ascii"
	}
	if m := ctBoundary.FindStringSubmatch(value); m != nil {
		c.boundary = strings.ReplaceAll(m[1], `"`, "")
	}
	if m := ctCharset.FindStringSubmatch(value); m != nil {
		c.charset = m[1]
	}
	if m := ctName.FindStringSubmatch(value); m != nil {
		c.name = m[1]
	}
	media, _, _ := strings.Cut(strings.TrimLeft(value, " \t\r\n"), ";")
	media = strings.ToLower(ctMedia.FindString(media))
	if media == "" {
		c.missing = true
	}
	if media == "" || plainText.MatchString(media) && media != "text/x-vcard" && media != "text/calendar" && media != "text/html" {
		media = "text/plain"
	}
	c.media = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 127 || strings.ContainsRune(`"(),:;<=>?@[\]`, r) {
			return -1
		}
		return r
	}, media)
	return c
}

// header returns the last decoded value of a field of the part, with a final LF; "" if there is none.
func (n *node) header(name string) string {
	for i := len(n.fields) - 1; i >= 0; i-- {
		if strings.EqualFold(n.fields[i].name, name) {
			return n.fields[i].decode()
		}
	}
	return ""
}

// decode returns the part without its transfer encoding; lines of text end in LF.
func (n *node) decode() []byte {
	if n.haveDecoded {
		return n.decoded
	}
	n.haveDecoded = true
	b := n.part.Decoded()
	plain := n.part.Encoding != "base64" && n.part.Encoding != "quoted-printable"
	text := strings.HasPrefix(n.mediaType, "text") || strings.HasPrefix(n.mediaType, "message")
	if bytes.IndexByte(b, '\r') >= 0 && (plain && n.crlf || n.part.Encoding == "quoted-printable" || text && !plain) {
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	}
	if plain {
		b = fewerBlankLines(b)
		if n.inMultipart() {
			b = breakLongLines(b)
		}
	}
	n.decoded = b
	return b
}

func (n *node) inMultipart() bool {
	return n.part.Parent != nil && strings.HasPrefix(n.part.Parent.MediaType, "multipart/")
}

// breakLongLines puts a line end into lines of parts of multiparts every 2,048 bytes, as SpamAssassin does while it splits them.
func breakLongLines(b []byte) []byte {
	long := false
	for rest := b; len(rest) > bodyLine && !long; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest) - 1
		}
		long = end+1 > bodyLine
		rest = rest[end+1:]
	}
	if !long {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/bodyLine)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			end = len(b)
		}
		line := b[:end]
		b = b[end:]
		for len(line) > bodyLine {
			out = append(append(out, line[:bodyLine]...), '\n')
			line = line[bodyLine:]
		}
		out = append(out, line...)
	}
	return out
}

// lines returns the undecoded lines of a part, each with its LF.
func (n *node) lines() [][]byte {
	b := n.part.Raw
	if n.crlf {
		b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	}
	if n.inMultipart() {
		b = breakLongLines(b)
	}
	return splitLines(b)
}

// mostBlankLines is how many blank lines in a row are kept.
const mostBlankLines = 20

// fewerBlankLines shortens long runs of blank lines: the first and the last 19 stay.
func fewerBlankLines(b []byte) []byte {
	if bytes.Count(b, []byte{'\n'}) <= mostBlankLines {
		return b
	}
	var out []byte
	lines := splitLines(b)
	cut := 0 // lines before are in out or in b as they are
	for i := 0; i < len(lines); {
		end := i
		for end < len(lines) && len(bytes.TrimSpace(lines[end])) == 0 {
			end++
		}
		if end-i > mostBlankLines {
			out = append(out, bytes.Join(lines[cut:i+1], nil)...)
			cut = end - mostBlankLines + 1
		}
		i = max(end, i+1)
	}
	if cut == 0 {
		return b
	}
	return append(out, bytes.Join(lines[cut:], nil)...)
}

func splitLines(b []byte) [][]byte {
	var out [][]byte
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			end = len(b)
		}
		out = append(out, b[:end])
		b = b[end:]
	}
	return out
}

// leaves returns the parts without children.
func (v *View) leaves() []*node {
	var out []*node
	for _, n := range v.nodes {
		if n.leaf {
			out = append(out, n)
		}
	}
	return out
}

// fullText returns the message as it came.
func (v *View) fullText() []byte {
	if v.full == nil {
		v.full = v.message.Raw
	}
	return v.full
}

// remember computes a value once for the message.
func remember[T any](v *View, key string, make func() T) T {
	if x, ok := v.memo[key]; ok {
		return x.(T)
	}
	x := make()
	v.memo[key] = x
	return x
}

// Texts is what the rules of a set see of a message, for comparing with another engine.
type Texts struct {
	Body, RawBody, URIs []string
	Headers             map[string]string // by specification; those that are there
}

// Texts returns what the rules see.
func (s *RuleSet) Texts(v *View) Texts {
	c := &scan{s: s, v: v}
	t := Texts{Headers: map[string]string{}}
	for _, b := range v.bodyLines() {
		t.Body = append(t.Body, string(b))
	}
	for _, b := range v.rawChunks() {
		t.RawBody = append(t.RawBody, string(b))
	}
	for _, b := range c.uriList() {
		t.URIs = append(t.URIs, string(b))
	}
	for _, name := range s.plan.specs {
		if h := c.header(name); h.set {
			t.Headers[name] = string(h.text)
		}
	}
	return t
}
