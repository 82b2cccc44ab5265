package mail

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// Domain is a mail domain in its one canonical form: lower-case A-labels
// without a final dot ("xn--caf-dma.example"), or an address literal
// ("[192.0.2.1]", "[IPv6:2001:db8::1]"). Two equal domains are equal strings.
// "" means no domain.
type Domain string

// Limits of RFC 1035 2.3.4, without the final dot.
const (
	maxDomainBytes = 253
	maxLabelBytes  = 63
)

// ErrDomain is wrapped by every error of ParseDomain.
var ErrDomain = errors.New("invalid domain")

// idnaProfile maps as a browser does before look-up (UTS 46, non-transitional,
// RFC 5891 5), and checks the Bidi rule and the contextual rules.
var idnaProfile = idna.New(
	idna.MapForLookup(),
	idna.Transitional(false),
	idna.BidiRule(),
	idna.CheckJoiners(true),
	idna.CheckHyphens(false),
	idna.StrictDomainName(true),
	idna.VerifyDNSLength(true),
)

// ParseDomain reads a domain as a person or a protocol wrote it: any case,
// U-labels or A-labels, with or without a final dot, or an address literal in
// brackets. It refuses empty and over-long labels, octets other than letters,
// digits and inner hyphens (RFC 5321 4.1.2, RFC 5890 2.3.1), a last label of
// digits only (an IP address without brackets, RFC 3696 2) and A-labels that
// are not the encoding of a valid U-label ("fake punycode", RFC 5891 5.4), for
// those show one name and resolve another. Every error wraps ErrDomain.
func ParseDomain(s string) (Domain, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	name := strings.TrimSuffix(s, ".")
	if name == "" {
		return "", fmt.Errorf("%w: empty", ErrDomain)
	}
	if len(name) > 4*maxDomainBytes {
		return "", fmt.Errorf("%w: longer than %d octets", ErrDomain, maxDomainBytes)
	}
	if !isASCII(name) {
		mapped, err := idnaProfile.ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("%w: %q is no internationalised name: %v", ErrDomain, clip(name, 80), err)
		}
		name = strings.TrimSuffix(mapped, ".")
	}
	name = strings.ToLower(name)
	if len(name) > maxDomainBytes {
		return "", fmt.Errorf("%w: longer than %d octets", ErrDomain, maxDomainBytes)
	}
	last := ""
	for rest, more := name, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		if err := checkLabel(label); err != nil {
			return "", err
		}
		last = label
	}
	if isDigits(last) {
		return "", fmt.Errorf("%w: %q ends in a number; an IP address is written in brackets", ErrDomain, name)
	}
	return Domain(name), nil
}

// checkLabel holds a lower-case label to the LDH rule and A-labels to IDNA.
func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("%w: empty label", ErrDomain)
	case len(label) > maxLabelBytes:
		return fmt.Errorf("%w: label %q longer than %d octets", ErrDomain, clip(label, 80), maxLabelBytes)
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf("%w: label %q begins or ends with a hyphen", ErrDomain, label)
	}
	for i := 0; i < len(label); i++ {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%w: label %q holds %q", ErrDomain, label, c)
		}
	}
	if !strings.HasPrefix(label, "xn--") {
		return nil
	}
	unicode, err := idnaProfile.ToUnicode(label)
	if err != nil || isASCII(unicode) {
		return fmt.Errorf("%w: label %q is no valid punycode", ErrDomain, label)
	}
	back, err := idnaProfile.ToASCII(unicode)
	if err != nil || back != label {
		return fmt.Errorf("%w: label %q is not the encoding of what it shows", ErrDomain, label)
	}
	return nil
}

// parseLiteral reads an address literal, RFC 5321 4.1.3. General address
// literals (other tags than IPv6) are refused: nobody can deliver to them.
func parseLiteral(s string) (Domain, error) {
	inner, closed := strings.CutSuffix(s[1:], "]")
	if !closed || len(inner) > 64 {
		return "", fmt.Errorf("%w: %q is no address literal", ErrDomain, clip(s, 80))
	}
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		ip, err := netip.ParseAddr(inner[5:])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", fmt.Errorf("%w: %q holds no IPv6 address", ErrDomain, clip(s, 80))
		}
		return Domain("[IPv6:" + ip.String() + "]"), nil
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || !ip.Is4() {
		return "", fmt.Errorf("%w: %q holds no IPv4 address", ErrDomain, clip(s, 80))
	}
	return Domain("[" + ip.String() + "]"), nil
}

// literalDomain is the address-literal form of ip.
func literalDomain(ip netip.Addr) Domain {
	if ip.Is4() {
		return Domain("[" + ip.String() + "]")
	}
	return Domain("[IPv6:" + ip.WithZone("").String() + "]")
}

// Unicode returns the domain as people read it, with U-labels. It is for
// display only: two domains may look alike. A-labels that do not decode stay.
func (d Domain) Unicode() string {
	if !strings.Contains(string(d), "xn--") {
		return string(d)
	}
	u, err := idnaProfile.ToUnicode(string(d))
	if err != nil {
		return string(d)
	}
	return u
}

// Literal returns the IP address of an address literal, ok=false for a name.
func (d Domain) Literal() (netip.Addr, bool) {
	s := string(d)
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(strings.TrimPrefix(s[1:len(s)-1], "IPv6:"))
	return ip, err == nil
}
