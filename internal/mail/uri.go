package mail

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

// URI is one address of the web or of mail that a message leads to.
type URI struct {
	Raw    string // as written, without the punctuation around it
	Scheme string // lower case: "http", "https", "ftp", "mailto"…; "http" where none is written
	Host   Domain // A-labels, or an address literal for IP addresses in any notation; "" if there is none that resolves. May hold underscores, as browsers allow.
	Origin string // "text", or the HTML that holds it: a, area, img, form, iframe, frame, base, meta
}

// maxURI is the longest URI kept from running text; a longer one is cut.
const maxURI = 4096

// URIs returns what a reader of the message can be led to: URLs of the HTML
// (links, images, forms, frames; relative ones and cid: and data: left out) and
// those in the text of every text part, hidden text included. In text, http,
// https, ftp and mailto URLs are found, names that begin with www. or ftp., mail
// addresses, and names with a path under a top-level domain that exists
// ("bit.ly/x"), as mail clients make them clickable. Each Raw is given once, with
// its first origin (HTML before text); at most Limits.URIs. Computed once.
func (m *Message) URIs() []URI {
	m.uriOnce.Do(func() {
		c := uriCollector{seen: make(map[string]bool), most: m.limits.URIs}
		for _, p := range m.leaves {
			if h := p.HTML(); h != nil {
				c.html(h)
			}
		}
		for _, p := range m.leaves {
			if h := p.HTML(); h != nil {
				c.text(h.Text)
				c.text(h.Hidden)
			} else if p.isText() {
				c.text(p.Rendered())
			}
		}
		m.uris = c.list
	})
	return m.uris
}

type uriCollector struct {
	list []URI
	seen map[string]bool
	most int
}

func (c *uriCollector) add(raw, origin string) {
	if raw == "" || len(c.list) >= c.most || c.seen[raw] {
		return
	}
	if u, ok := parseURI(raw); ok {
		u.Origin = origin
		c.seen[raw] = true
		c.list = append(c.list, u)
	}
}

func (c *uriCollector) html(h *HTML) {
	for _, l := range h.Links {
		c.attr(l.URL, l.Tag)
	}
	for _, i := range h.Images {
		if !i.Inline {
			c.attr(i.URL, "img")
		}
	}
	for _, f := range h.Forms {
		c.attr(f, "form")
	}
}

// attr takes a URL from an attribute: absolute or protocol-relative ones only.
func (c *uriCollector) attr(url, origin string) {
	switch {
	case strings.HasPrefix(url, "//"), strings.HasPrefix(url, `\\`):
		c.add(clip(url, maxURI), origin)
	case hasScheme(url):
		switch scheme, _, _ := strings.Cut(strings.ToLower(clip(url, 12)), ":"); scheme {
		case "cid", "data", "javascript", "about", "mid":
		default:
			c.add(clip(url, maxURI), origin)
		}
	}
}

// text looks at each word of running text once.
func (c *uriCollector) text(s string) {
	for i := 0; i < len(s) && len(c.list) < c.most; {
		for i < len(s) && isURIBreak(s[i]) {
			i++
		}
		start, sign := i, -1 // sign: the first octet without which there is no URI
		for i < len(s) && !isURIBreak(s[i]) {
			if sign < 0 && (s[i] == ':' || s[i] == '.' || s[i] == '@') {
				sign = i
			}
			i++
		}
		if sign >= 0 && sign < i-1 && i-start > 3 {
			c.word(clip(s[start:i], maxURI))
		}
	}
}

// isURIBreak reports octets that end a URI in text.
func isURIBreak(c byte) bool { return c <= ' ' || c == '<' || c == '>' || c == '"' || c == 0x7f }

var textSchemes = []string{"https://", "http://", "ftp://", "mailto:"}

// word finds the URI in a run of text without white space, which may begin with
// an opening parenthesis or with letters of another script.
func (c *uriCollector) word(w string) {
	lower := lowerASCII(w)
	first := -1
	for _, s := range textSchemes {
		if i := strings.Index(lower, s); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first >= 0 {
		if u := trimURI(w[first:]); strings.IndexByte(u, ':') > 0 {
			c.add(u, "text") // else: a scheme and nothing behind it
		}
		return
	}
	for _, s := range []string{"www.", "ftp."} {
		if i := strings.Index(lower, s); i >= 0 && (i == 0 || !isNameByte(lower[i-1])) {
			c.add(trimURI(w[i:]), "text")
			return
		}
	}
	w = trimURI(strings.TrimLeft(w, "([{'*_`,;:.!|=-"))
	if at := strings.LastIndexByte(w, '@'); at > 0 && !strings.ContainsAny(w, "/:") {
		if _, err := ParseAddress(w); err == nil && strings.IndexByte(w[at:], '.') > 0 {
			c.add("mailto:"+w, "text")
		}
		return
	}
	slash := strings.IndexByte(w, '/')
	if slash < 3 || strings.IndexByte(w[:slash], '.') < 1 {
		return
	}
	if d, err := ParseDomain(w[:slash]); err == nil && underRealTLD(d) {
		c.add(w, "text")
	}
}

// underRealTLD reports whether the name is below a domain of the ICANN root.
func underRealTLD(d Domain) bool {
	suffix, icann := publicsuffix.PublicSuffix(string(d))
	return (icann || strings.Contains(suffix, ".")) && suffix != string(d)
}

func isNameByte(c byte) bool {
	return isAlpha(c) || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '@' || c == '_'
}

// trimURI takes off what follows a URI in a sentence: punctuation, quotes,
// closing brackets without an opening one.
func trimURI(s string) string {
	open := strings.Count(s, "(") - strings.Count(s, ")")
	for s != "" {
		r, n := utf8.DecodeLastRuneInString(s)
		switch {
		case r == ')' && open < 0:
			open++
		case strings.ContainsRune(".,;:!?'\"*_`]}|\\", r), r > 0x7f && !unicode.IsLetter(r) && !unicode.IsDigit(r):
		default:
			return s
		}
		s = s[:len(s)-n]
	}
	return s
}

func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// hasScheme reports whether s begins with "scheme:" (RFC 3986 3.1).
func hasScheme(s string) bool {
	for i := 0; i < len(s) && i < 32; i++ {
		c := s[i]
		switch {
		case c == ':':
			return i > 0
		case isAlpha(c):
		case i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return false
}

// parseURI splits a URI as browsers do, which is more tolerant than RFC 3986:
// backslashes are slashes, the number of slashes does not matter, the host may
// be percent-encoded or an IPv4 address in odd notations (WHATWG URL 4.4).
func parseURI(raw string) (URI, bool) {
	u := URI{Raw: strings.ToValidUTF8(raw, "\uFFFD"), Scheme: "http"}
	rest := u.Raw
	if hasScheme(rest) && !strings.HasPrefix(lowerASCII(clip(rest, 4)), "www.") {
		i := strings.IndexByte(rest, ':')
		scheme, after := lowerASCII(rest[:i]), rest[i+1:]
		// "example.com:8080/x" has no scheme.
		if strings.IndexByte(scheme, '.') < 0 {
			u.Scheme, rest = scheme, after
		}
	} else if strings.HasPrefix(lowerASCII(clip(rest, 4)), "ftp.") {
		u.Scheme = "ftp"
	}
	switch u.Scheme {
	case "mailto":
		u.Host = mailtoHost(rest)
		return u, true
	case "http", "https", "ftp", "ws", "wss":
	case "tel", "sms", "callto", "skype", "urn", "news", "xmpp", "geo", "facetime":
		return u, true
	default:
		if !strings.HasPrefix(rest, "//") {
			return u, true
		}
	}
	rest = strings.TrimLeft(rest, `/\`)
	if i := strings.IndexAny(rest, `/\?#`); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	u.Host = uriHost(rest)
	return u, u.Host != "" || rest != ""
}

func mailtoHost(rest string) Domain {
	rest, _, _ = strings.Cut(rest, "?")
	first, _, _ := strings.Cut(rest, ",")
	first = string(appendPercent(nil, first))
	i := strings.LastIndexByte(first, '@')
	if i < 0 {
		return ""
	}
	d, err := ParseDomain(strings.TrimSpace(first[i+1:]))
	if err != nil {
		return ""
	}
	return d
}

// uriHost reads host[:port].
func uriHost(s string) Domain {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return ""
		}
		ip, err := netip.ParseAddr(s[1:end])
		if err != nil {
			return ""
		}
		return literalDomain(ip.WithZone(""))
	}
	s, _, _ = strings.Cut(s, ":")
	if strings.IndexByte(s, '%') >= 0 {
		s = string(appendPercent(nil, s))
	}
	if s == "" || len(s) > 1024 {
		return ""
	}
	if ip, ok := oddIPv4(s); ok {
		return literalDomain(ip)
	}
	if d, err := ParseDomain(s); err == nil {
		return d
	}
	return underscored(lowerASCII(strings.TrimSuffix(s, ".")))
}

// underscored accepts names with underscores, which resolve though they are no
// host names.
func underscored(s string) Domain {
	if strings.IndexByte(s, '_') < 0 {
		return ""
	}
	if _, err := ParseDomain(strings.ReplaceAll(s, "_", "a")); err != nil || !isASCII(s) {
		return ""
	}
	return Domain(s)
}

// oddIPv4 reads IPv4 as browsers do: one to four numbers, decimal, octal or
// hexadecimal, the last one filling what remains (WHATWG URL 3.5).
func oddIPv4(s string) (netip.Addr, bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 60 || (s[0] < '0' || s[0] > '9') {
		return netip.Addr{}, false
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var n uint64
	for i, p := range parts {
		base := 10
		switch {
		case len(p) > 1 && (p[:2] == "0x" || p[:2] == "0X"):
			base, p = 16, p[2:]
			if p == "" {
				p = "0"
			}
		case len(p) > 1 && p[0] == '0':
			base = 8
		}
		v, err := strconv.ParseUint(p, base, 40)
		if err != nil {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if v > 255 {
				return netip.Addr{}, false
			}
			n = n<<8 | v
			continue
		}
		bits := 8 * (5 - len(parts))
		if v >= 1<<bits {
			return netip.Addr{}, false
		}
		n = n<<bits | v
	}
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), true
}

// resolveURL puts a relative reference on a base, well enough to know the host
// and the path it leads to; "." and ".." are left in place.
func resolveURL(base, ref string) string {
	i := strings.IndexByte(base, ':')
	if i < 0 {
		return ref
	}
	if strings.HasPrefix(ref, "//") {
		return base[:i+1] + ref
	}
	authority := len(base)
	if strings.HasPrefix(base[i+1:], "//") {
		if j := strings.IndexAny(base[i+3:], "/?#"); j >= 0 {
			authority = i + 3 + j
		}
	}
	if ref[0] == '/' {
		return base[:authority] + ref
	}
	dir := base
	if j := strings.IndexAny(dir[authority:], "?#"); j >= 0 {
		dir = dir[:authority+j]
	}
	if ref[0] == '?' {
		return dir + ref
	}
	if j := strings.LastIndexByte(dir, '/'); j >= authority {
		return dir[:j+1] + ref
	}
	return base[:authority] + "/" + ref
}
