package rules

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// uriDetail is one URI of the message with all forms rules look at.
type uriDetail struct {
	raw     string
	types   map[string]bool // parsed, a, img, form…
	cleaned []string
	texts   []string
	domains map[string]bool
	hosts   map[string]string // host -> domain
	seen    map[string]bool
}

// uriDetails returns the URIs of the message: those in the text, those of its HTML.
func (c *scan) uriDetails() []*uriDetail {
	v := c.v
	if v.haveURIs {
		return v.details
	}
	v.haveURIs = true
	byRaw := map[string]*uriDetail{}
	seen := map[string]bool{}
	for _, line := range v.bodyLines() {
		textURIs(c.s.lists, line, func(raw, kind string) {
			if seen[raw] || len(seen) > maxURIDetails {
				return
			}
			seen[raw] = true
			if uri, types := c.fromText(raw, kind); uri != "" {
				c.addURI(byRaw, uri, types, true)
			}
		})
	}
	for _, h := range v.htmlParts() {
		v.uriTruncated = v.uriTruncated || h.uriTruncated
		for _, key := range h.order {
			u := h.uris[key]
			if d := c.addURI(byRaw, key, u.types, false); d != nil {
				for _, t := range u.texts {
					if !hasWord(d.texts, t) {
						d.texts = append(d.texts, t)
					}
				}
			}
		}
	}
	for _, name := range []string{"DomainKey-Signature", "DKIM-Signature"} {
		for _, value := range v.field(name, false, false) {
			for _, m := range signedDomain.FindAllStringSubmatch(value, 20) {
				d := strings.Join(strings.Fields(m[1]), "")
				c.addURI(byRaw, "domainkeys:"+d, map[string]bool{"domainkeys": true}, true)
			}
		}
	}
	once := map[string]bool{}
	for _, d := range v.details {
		for _, u := range d.cleaned {
			if u != "" && !once[u] {
				once[u] = true
				v.uris = append(v.uris, []byte(u))
			}
		}
	}
	return v.details
}

// uriList returns the texts that uri rules run on.
func (c *scan) uriList() [][]byte {
	c.uriDetails()
	return c.v.uris
}

func (c *scan) addURI(byRaw map[string]*uriDetail, uri string, types map[string]bool, needDomain bool) *uriDetail {
	forms := []string{uri}
	if !types["domainkeys"] {
		forms = canonicalURIs(c.s.lists, uri)
	}
	if len(forms) == 0 {
		return nil
	}
	domains, hosts := map[string]bool{}, map[string]string{}
	for i, f := range forms {
		if len(f) > uriMax {
			c.v.uriTruncated = true
			forms[i] = f[:uriMax]
		}
		if domain, host := c.s.lists.uriDomain(forms[i]); domain != "" {
			domains[domain], hosts[host] = true, domain
		}
	}
	if needDomain && len(domains) == 0 {
		return nil
	}
	d := byRaw[uri]
	if d == nil {
		if len(c.v.details) >= maxURIDetails {
			return nil
		}
		d = &uriDetail{raw: uri, types: map[string]bool{}, domains: map[string]bool{}, hosts: map[string]string{}, seen: map[string]bool{}}
		byRaw[uri] = d
		c.v.details = append(c.v.details, d)
	}
	if !types["domainkeys"] {
		for _, f := range forms {
			if !d.seen[f] {
				d.seen[f] = true
				d.cleaned = append(d.cleaned, f)
			}
		}
	}
	for k := range types {
		d.types[k] = true
	}
	for k := range domains {
		d.domains[k] = true
	}
	for k, x := range hosts {
		d.hosts[k] = x
	}
	return d
}

var (
	noLineEnds    = strings.NewReplacer("\n", "", "\r", "")
	signedDomain  = regexp.MustCompile(`\bd\s*=\s*([^;]+)`)
	idURI         = regexp.MustCompile(`(?i)^[cm]id:`)
	schemeOnly    = regexp.MustCompile(`^\w+:/{0,2}$`)
	knownScheme   = regexp.MustCompile(`(?i)^(?:https?|ftp|mailto):`)
	wwwHost       = regexp.MustCompile(`(?i)^www\d{0,2}\.`)
	ftpHost       = regexp.MustCompile(`(?i)^ftp\.`)
	slashAt       = regexp.MustCompile(`/.+@`)
	atDot         = regexp.MustCompile(`@.+?\.`)
	mailWord      = regexp.MustCompile(`(?i)^(?:skype|e?-?mail)?:+`)
	afterAt       = regexp.MustCompile(`@([^?&>]*)`)
	escapedOctet  = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
	spacesBehind  = regexp.MustCompile(`(?:%20)+$`)
	anyScheme     = regexp.MustCompile(`(?i)^[-_a-z0-9]+:`)
	httpSlashes   = regexp.MustCompile(`(?i)^(https?:)/{0,2}`)
	hostThenQuery = regexp.MustCompile(`(?i)^(https?://[^/?#]+)([?#])`)
	decimalEntity = regexp.MustCompile(`&#0*(3[3-9]|[4-9]\d|1[01]\d|12[0-6]);`)
	hexEntity     = regexp.MustCompile(`&#x0*(2[1-9]|[3-6][a-fA-F0-9]|7[0-9a-eA-E]);`)
	dotEntity     = regexp.MustCompile(`(?i)&#(?:x2e|12290|x3002|65294|xff0e|65377|xff61);`)
	httpURI       = regexp.MustCompile(`(?is)^(https?://)([^@/?#]*@)?([^/?#:]+)((?::(\d*))?.*)$`)
	innerURI      = regexp.MustCompile(`(?i)(https?:/{0,2}[^&#]+)`)
	oddBehind     = regexp.MustCompile(`[^0-9A-Za-z]+$`)
	dottedNumbers = regexp.MustCompile(`(?i)^(0x[0-9a-f]+|\d+)\.(0x[0-9a-f]+|\d+)\.(0x[0-9a-f]+|\d+)\.(0x[0-9a-f]+|\d+)$`)
	oneNumber     = regexp.MustCompile(`(?i)^(?:0x[0-9a-f]+|[0-9]+)$`)
	oneLabel      = regexp.MustCompile(`^(?:www\.)?([^.]+)$`)
	port80        = regexp.MustCompile(`^:80\b`)
	port443       = regexp.MustCompile(`^:443\b`)
	mailQuery     = regexp.MustCompile(`^([^@]+@[^?]+)\?`)
	mailAmp       = regexp.MustCompile(`^([^@]+@[^?&]+)&`)
	mailSpaces    = regexp.MustCompile(`^(?:mailto:)?(?:%20)*([^@]+@[^?&%]+)`)
	mailAngle     = regexp.MustCompile(`^[^?&]*<([^@>]+@[^>]+)>`)
)

// fromText completes what was found in text to a URI; "" if it is none.
func (c *scan) fromText(raw, kind string) (string, map[string]bool) {
	if kind == "mail" && strings.IndexByte(raw, '@') < 0 || idURI.MatchString(raw) || schemeOnly.MatchString(raw) {
		return "", nil
	}
	types := map[string]bool{"parsed": true}
	uri := raw
	if !knownScheme.MatchString(uri) {
		switch {
		case ftpHost.MatchString(uri):
			uri = "ftp://" + uri
		case wwwHost.MatchString(uri) || slashAt.MatchString(uri):
			uri = "http://" + uri
		case strings.IndexByte(uri, '@') >= 0:
			if !atDot.MatchString(uri) || strings.Contains(uri, "&nbsp;") {
				return "", nil
			}
			uri = "mailto:" + mailWord.ReplaceAllString(uri, "")
		case strings.IndexByte(uri, '.') < 0:
			return "", nil
		default:
			uri = "http://" + uri
			types["unlinked"] = true
		}
		types["schemeless"] = true
	}
	if len(uri) > 7 && strings.EqualFold(uri[:7], "mailto:") {
		if escapedOctet.MatchString(uri) {
			uri = urlEncode(uri)
		}
		m := afterAt.FindStringSubmatch(uri)
		if m == nil || !c.s.lists.domainValid(spacesBehind.ReplaceAllString(m[1], "")) {
			return "", nil
		}
	}
	return uri, types
}

// urlEncode decodes harmless escapes and encodes what must not stand in a URI.
func urlEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0 {
			x := byte(hexDigit(s[i+1])<<4 | hexDigit(s[i+2]))
			if x > 0x20 && x < 0x7f {
				b.WriteByte(x)
			} else {
				b.WriteString(s[i : i+3])
			}
			i += 2
			continue
		}
		if c <= ' ' || c >= 0x7f || c == '"' || c == '%' || c == '<' || c == '>' {
			fmt.Fprintf(&b, "%%%02x", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Limits of what one URI may grow to.
const (
	maxForms     = 200
	maxRedirects = 20
)

// canonicalURIs returns a URI in all forms a client may make of it, redirected targets included; the form given comes first.
func canonicalURIs(l *lists, uri string) []string {
	queue := []string{uri}
	var out []string
	known := map[string]bool{}
	add := func(s string) {
		if !known[s] && len(out) < maxForms {
			known[s] = true
			out = append(out, s)
		}
	}
	for i := 0; i < len(queue) && i < maxRedirects; i++ {
		u := strings.TrimSpace(noLineEnds.Replace(queue[i]))
		add(u)
		if len(u) <= 1 || isNoURI(u) {
			continue
		}
		if isMailLike(u) {
			for _, m := range mailForms(u) {
				add(m)
			}
			continue
		}
		n := strings.ReplaceAll(u, `\`, "/")
		if !plainHTTP(n) {
			n = httpSlashes.ReplaceAllString(n, "$1//")
		}
		if strings.IndexByte(n, '%') >= 0 && escapedOctet.MatchString(n) {
			n = urlEncode(n)
		}
		if !plainHTTP(n) && !anyScheme.MatchString(n) {
			if strings.HasPrefix(n, "ftp.") {
				n = "ftp://" + n
			} else {
				n = "http://" + n
			}
		}
		if !plainHTTP(n) || !slashAfterHost(n) {
			n = hostThenQuery.ReplaceAllString(n, "$1/$2")
		}
		n = numericEntities(n)
		add(n)
		queue = append(queue, httpForms(l, n, add)...)
	}
	return out
}

// isNoURI reports what leads nowhere by itself: a fragment, a query, a path.
func isNoURI(s string) bool {
	return s[0] == '#' || s[0] == '?' || s[0] == '&' || s[0] == '/' && (len(s) == 1 || s[1] != '/' && s[1] != '\n')
}

// isMailLike reports a mailto: or an address before any colon.
func isMailLike(s string) bool {
	at := strings.IndexByte(s, '@')
	if len(s) >= 7 && strings.EqualFold(s[:7], "mailto:") {
		return true
	}
	colon := strings.IndexByte(s, ':')
	return at >= 0 && (colon < 0 || at < colon)
}

// plainHTTP reports that a URI begins with http:// or https:// and a host.
func plainHTTP(s string) bool {
	rest, ok := strings.CutPrefix(s, "http://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "https://")
	}
	return ok && rest != "" && rest[0] != '/'
}

// slashAfterHost reports that neither ? nor # follows the host of such a URI at once.
func slashAfterHost(s string) bool {
	_, rest, _ := strings.Cut(s, "://")
	i := strings.IndexAny(rest, "/?#")
	return i < 0 || rest[i] == '/'
}

func numericEntities(s string) string {
	if !strings.Contains(s, "&#") {
		return s
	}
	s = decimalEntity.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.Atoi(decimalEntity.FindStringSubmatch(e)[1])
		return string(rune(n))
	})
	s = hexEntity.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(hexEntity.FindStringSubmatch(e)[1], 16, 8)
		return string(rune(n))
	})
	return dotEntity.ReplaceAllString(s, ".")
}

func mailForms(u string) (out []string) {
	if m := mailQuery.FindStringSubmatch(u); m != nil {
		out = append(out, m[1])
	}
	if m := mailAmp.FindStringSubmatch(u); m != nil {
		out = append(out, m[1])
	}
	if m := mailSpaces.FindStringSubmatch(u); m != nil && strings.Contains(u, "%20") {
		out = append(out, "mailto:"+m[1])
	}
	if m := mailAngle.FindStringSubmatch(u); m != nil {
		out = append(out, "mailto:"+m[1])
	}
	return out
}

// httpForms adds the forms of an http URI and returns where it redirects to.
func httpForms(l *lists, n string, add func(string)) (targets []string) {
	m := httpURI.FindStringSubmatch(n)
	if m == nil {
		return nil
	}
	proto, auth, host, rest, port := m[1], m[2], m[3], m[4], m[5]
	noPort := ""
	if port == "" {
		port = "443"
		if proto == "http://" {
			port = "80"
		}
	} else {
		strip := port443
		if proto == "http://" {
			strip = port80
		}
		if noPort = strip.ReplaceAllString(rest, ""); noPort != rest {
			add(proto + host + noPort)
		}
	}
	ascii := asciiHost(host)
	if ascii != strings.ToLower(host) {
		add(proto + ascii + rest)
		if noPort != "" {
			add(proto + ascii + noPort)
		}
		host = ascii
	}
	if clean := strings.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return r
	}, host); clean != host {
		host = clean
		add(proto + host + rest)
	}
	redirected := false
	for _, m := range l.redirectors {
		whole := []byte(proto + host + rest)
		loc, ok, _ := m.Find(whole, 0)
		if ok && len(loc) > 3 && loc[2] >= 0 && bytes.IndexByte(whole[loc[2]:loc[3]], '.') >= 0 {
			targets, redirected = append(targets, string(whole[loc[2]:loc[3]])), true
			break
		}
	}
	if !redirected {
		if r := innerURI.FindStringSubmatch(rest); r != nil && strings.IndexByte(r[1], '.') >= 0 {
			targets = append(targets, r[1])
		}
	}
	if at := strings.LastIndexByte(host, '@'); at > 0 {
		host = host[at+1:]
		add(proto + host + rest)
	}
	if h := oddBehind.ReplaceAllString(host, ""); h != host {
		host = h
		add(proto + host + rest)
	}
	switch {
	case dottedNumbers.MatchString(host):
		parts := dottedNumbers.FindStringSubmatch(host)[1:]
		for i, p := range parts {
			parts[i] = octet(strings.ToLower(p))
		}
		add(proto + strings.Join(parts, ".") + rest)
	case oneNumber.MatchString(host):
		n, err := strconv.ParseUint(host, 0, 64)
		if err != nil {
			n, _ = strconv.ParseUint(host, 10, 64)
		}
		x := uint32(n)
		add(fmt.Sprintf("%s%d.%d.%d.%d%s", proto, x>>24, x>>16&255, x>>8&255, x&255, rest))
	case proto == "http://" && auth == "" && ascii != "localhost" && port == "80" && oneLabel.MatchString(ascii) && !l.domainValid(ascii):
		add(proto + "www." + oneLabel.FindStringSubmatch(ascii)[1] + ".com" + rest)
	}
	return targets
}

var octalOctet = regexp.MustCompile(`^0+([1-3][0-7]{0,2}|[4-7][0-7]?)$`)

// octet reads a number of an IP address as browsers do, hexadecimal, octal or decimal. Zero is nothing, as in the forms that rules know.
func octet(s string) string {
	if len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		if n, err := strconv.ParseUint(s[2:], 16, 64); err == nil {
			s = strconv.FormatUint(n, 10)
		}
	}
	if m := octalOctet.FindStringSubmatch(s); m != nil {
		n, _ := strconv.ParseUint(m[1], 8, 64)
		s = strconv.FormatUint(n, 10)
	}
	return strings.TrimLeft(s, "0")
}
