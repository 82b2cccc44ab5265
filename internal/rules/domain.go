package rules

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

var (
	labelShape   = regexp.MustCompile(`^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$`)
	escapedHost  = regexp.MustCompile(`%(?:2[1-9a-f]|[3-6][0-9a-f]|7[0-9a-e])`)
	uriScheme    = regexp.MustCompile(`^[a-z]+:/{0,2}`)
	hostPort     = regexp.MustCompile(`:\d*$`)
	usStates     = words("ak al ar az ca co ct dc de fl ga gu hi ia id il in ks ky la ma md me mi mn mo ms mt nc nd ne nh nj nm nv ny oh ok or pa pr ri sc sd tn tx ut va vi vt wa wi wv wy")
	fullStops    = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".")
	toASCIIRules = idna.New(idna.MapForLookup(), idna.StrictDomainName(false))
)

// asciiHost returns a host in lower-case A-labels.
func asciiHost(s string) string {
	if !has8Bit([]byte(s)) {
		return strings.ToLower(s)
	}
	if !utf8.ValidString(s) {
		s = utf8Octets(s)
	}
	s = fullStops.Replace(s)
	if strings.IndexFunc(s, notInNames) >= 0 {
		return strings.ToLower(s)
	}
	if a, err := toASCIIRules.ToASCII(s); err == nil {
		return a
	}
	return strings.ToLower(s)
}

// notInNames reports that a character beyond ASCII is neither letter, digit nor mark: no name holds it.
func notInNames(r rune) bool {
	return r >= 0x80 && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && r != '\u00b7' && r != '\u30fb' && r != '\u200c' && r != '\u200d'
}

// fqdnValid checks the form of a host name with at least two labels.
func fqdnValid(host string) bool {
	host = strings.TrimRight(strings.ToLower(host), ".")
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	if len(labels) < 2 {
		return false
	}
	for i, l := range labels {
		if len(l) > 63 || !labelShape.MatchString(l) || i >= len(labels)-2 && strings.Contains(l, "_") {
			return false
		}
	}
	return true
}

// tldValid reports whether a top-level domain exists: in the lists of the rule files (util_rb_tld) or, without such, in our own.
func (l *lists) tldValid(tld string) bool {
	if len(l.tlds) > 0 {
		return l.tlds[tld]
	}
	suffix, icann := publicsuffix.PublicSuffix("x." + tld)
	return icann && suffix == tld
}

// domainValid reports whether a name ends in a top-level domain that exists.
func (l *lists) domainValid(name string) bool {
	name = asciiHost(name)
	dot := strings.LastIndexByte(name, '.')
	return dot >= 0 && dot+1 < len(name) && !strings.ContainsAny(name, " \t\n\r") && l.tldValid(name[dot+1:])
}

func (l *lists) hostValid(host string) bool {
	host = asciiHost(host)
	return fqdnValid(host) && l.domainValid(host)
}

// split cuts a host name into the part below and the domain one can register.
func (l *lists) split(host string) (below, domain string) {
	host = strings.Trim(asciiHost(host), ".")
	for strings.Contains(host, "..") {
		host = strings.ReplaceAll(host, "..", ".")
	}
	labels := strings.Split(host, ".")
	i := 0
	for ; len(labels)-i > 1; i++ {
		if l.suffix(labels[i:]) {
			break
		}
	}
	if i > 0 {
		i--
	}
	return strings.Join(labels[:i], "."), strings.Join(labels[i:], ".")
}

// suffix reports whether registrations happen below these labels.
func (l *lists) suffix(labels []string) bool {
	joined := strings.Join(labels, ".")
	switch n := len(labels); {
	case n == 2:
		if len(l.tlds) == 0 {
			suffix, icann := publicsuffix.PublicSuffix("x." + joined)
			return icann && suffix == joined
		}
		return l.secondLevel[joined]
	case n == 3 && labels[2] == "us":
		return usStates[labels[1]]
	case n == 3:
		return l.thirdLevel[joined]
	case n == 4 && labels[3] == "us":
		return (labels[0] == "pvt" && labels[1] == "k12" || labels[0] == "ci" || labels[0] == "co") && usStates[labels[2]]
	}
	return false
}

func (l *lists) registered(host string) string {
	_, domain := l.split(host)
	return domain
}

// uriDomain returns the domain and the host of a URI, "" if it has none that can exist.
func (l *lists) uriDomain(uri string) (domain, host string) {
	uri = strings.ToLower(uri)
	switch {
	case strings.HasPrefix(uri, "javascript:") || strings.HasPrefix(uri, "cid:") || strings.HasPrefix(uri, "file:"):
		return "", ""
	case strings.HasPrefix(uri, "mailto:"):
		uri, _, _ = strings.Cut(uri[7:], "?")
		if strings.Count(uri, "@") != 1 {
			return "", ""
		}
		_, uri, _ = strings.Cut(uri, "@")
	default:
		uri = uriScheme.ReplaceAllString(uri, "")
		if i := strings.IndexAny(uri, "/?#"); i >= 0 {
			uri = uri[:i]
		}
		if i := strings.LastIndexByte(uri, '@'); i >= 0 {
			uri = uri[i+1:]
		}
		uri = hostPort.ReplaceAllString(uri, "")
	}
	if escapedHost.MatchString(uri) {
		return "", ""
	}
	host = asciiHost(uri)
	if _, err := netip.ParseAddr(host); err == nil {
		return host, host
	}
	if !fqdnValid(host) || !l.domainValid(host) {
		return "", ""
	}
	return l.registered(host), host
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return err == nil
}

// isIPv4 and private are what relay rules ask of addresses.
func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

var privateNets = func() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fe80::/10", "fc00::/7"} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}()

func privateIP(s string) bool {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return false
	}
	a = a.Unmap()
	for _, p := range privateNets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
