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
	section
	options ViewOptions

	byName  map[string][]int // lower-case name -> fields
	nodes   []*node          // all parts, each before its children
	relays  relays
	body    [][]byte // line 0 is the subject
	raw     [][]byte
	full    []byte // the message as it came, without the line that a mailbox puts before it
	html    []*htmlView
	details []*uriDetail
	uris    [][]byte
	specs   map[string]spec
	boxes   map[string][]mailbox // address fields that were read

	haveRelays, haveBody, haveRaw, haveURIs bool
	uriTruncated                            bool
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
	fields    []field
	mediaType string // lower case; text/* is text/plain but for html, calendar and x-vcard
	effective string
	boundary  string
	charset   string
	name      string
	leaf      bool
	children  []*node
	raw       []byte // of leaves: the undecoded text, lines end in LF

	inMultipart  bool
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

// NewView prepares a message. The message must not change while the View is used. It looks at the bytes alone: what rules are to see of
// damaged messages is not what our own parser makes of them.
func NewView(m *mail.Message, o ViewOptions) *View {
	v := &View{section: readSection(m.Raw), options: o, byName: map[string][]int{}, specs: map[string]spec{}, memo: map[string]any{}}
	v.full = m.Raw[len(m.Raw)-len(v.pristine)-len(v.section.body):]
	all := v.fields
	t := &tree{flags: &v.flags, open: map[string]int{}}
	t.message(&v.section, treeDepth)
	v.nodes = t.nodes
	for _, n := range t.open {
		v.flags.open = v.flags.open || n != 0
	}
	v.fields = nil
	if o.Received != "" {
		received := field{name: "Received", raw: " " + strings.TrimSpace(o.Received) + "\n"}
		v.fields = append(v.fields, received)
		v.pristine = append([]byte(received.name+":"+received.raw), v.pristine...)
	}
	for i := range all {
		// What an earlier SpamAssassin wrote is no property of the message.
		if len(all[i].name) < 7 || !strings.EqualFold(all[i].name[:7], "X-Spam-") {
			v.fields = append(v.fields, all[i])
		}
	}
	for i := range v.fields {
		name := strings.ToLower(v.fields[i].name)
		v.byName[name] = append(v.byName[name], i)
	}
	return v
}

// decode returns the decoded form of a field.
func (f *field) decode() string {
	if !f.done {
		f.done = true
		f.decoded = decodeHeader(strings.Trim(unfold(f.raw), " \t\n\r\v\f"), f.name) + "\n"
	}
	return f.decoded
}

// unfold puts a space in place of each line end with the white space that follows it.
func unfold(s string) string {
	at := strings.IndexByte(s, '\n')
	if at < 0 || at == len(s)-1 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\n' || i+1 == len(s) || s[i+1] != ' ' && s[i+1] != '\t' {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(' ')
		for i+1 < len(s) && (s[i+1] == ' ' || s[i+1] == '\t') {
			i++
		}
	}
	return b.String()
}

var (
	dispositionName = regexp.MustCompile(`(?i)name=\s*"?([^";]+)"?`)
	htmlName        = regexp.MustCompile(`(?i)\.s?html?$`)
	ctBoundary      = regexp.MustCompile(`(?i)\bboundary\s*=\s*("[^"]+|[^\s";]+)`)
	ctCharset       = regexp.MustCompile(`(?i)\bcharset\s*=\s*["']?(.*?)["']?(?:;|$)`)
	ctName          = regexp.MustCompile(`(?i)\b(?:file)?name\s*=\s*["']?(.*?)["']?(?:;|$)`)
	ctNamePart      = regexp.MustCompile(`(?i)\b(?:file)?name\*(\d+)\s*=\s*["']?(.*?)["']?(?:;|$)`)
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
	if c.name == "" {
		var parts [20]string // of a name in several pieces (RFC 2231 section 3)
		for _, m := range ctNamePart.FindAllStringSubmatch(value, len(parts)) {
			if n := atoi(m[1]); n < len(parts) {
				parts[n] = m[2]
			}
		}
		c.name = strings.Join(parts[:], "")
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

// fewerBlankLines shortens runs of more than 20 blank lines: the first and the last 19 stay, and one more at the very beginning.
func fewerBlankLines(b []byte) []byte {
	var out []byte
	kept := 0          // what stands before is in out
	begin, run := 0, 0 // of the blank lines before at
	for at := 0; ; {
		end := lineEnd(b, at)
		if at < len(b) && len(bytes.Trim(b[at:end], spaces)) == 0 {
			if run == 0 {
				begin = at
			}
			run++
			at = end
			continue
		}
		first := 1
		if begin == 0 {
			first = 2
		}
		if run > mostBlank-1+first {
			low, high := begin, at
			for range first {
				low = lineEnd(b, low)
			}
			for range mostBlank - 1 {
				high = bytes.LastIndexByte(b[:high-1], '\n') + 1
			}
			out = append(out, b[kept:low]...)
			kept = high
		}
		run = 0
		if at = end; at >= len(b) {
			break
		}
	}
	if kept == 0 {
		return b
	}
	return append(out, b[kept:]...)
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
