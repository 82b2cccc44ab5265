package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dns"
)

const (
	textTimeout = 2 * time.Second // for the TXT record, which is only an ornament
	textBytes   = 400             // of Listing.Reason
	textRecords = 4               // joined into Listing.Reason
	maxCodes    = 32              // answers looked at; honest zones give a few
)

// CheckIP looks ip up in l. IPv4-mapped addresses count as IPv4. Lists of domains and lists without the address's family give Disabled.
func CheckIP(ctx context.Context, r dns.Resolver, l *List, ip netip.Addr) Listing {
	out, name := prepareIP(l, ip)
	if name != "" {
		ask(ctx, r, &out, name)
	}
	return out
}

// CheckDomain looks a domain up in l, A-labels, with or without final dot. Where the list wants it (List.Registrable) the registrable
// domain is asked in its place. An address as host of a URL, bare or as literal in brackets, is asked only at lists that take it
// (HostIP4) and never at others: DBL punishes it with an error answer.
func CheckDomain(ctx context.Context, r dns.Resolver, l *List, domain string) Listing {
	out, name := prepareDomain(l, domain)
	if name != "" {
		ask(ctx, r, &out, name)
	}
	return out
}

// prepareIP is the name to ask, or "" with a Listing that is complete.
func prepareIP(l *List, ip netip.Addr) (Listing, string) {
	ip = ip.Unmap().WithZone("")
	out := Listing{List: l, Target: ip.String()}
	need := IP6
	if ip.Is4() {
		need = IP4
	}
	switch err := l.usable(); {
	case err != nil:
		return out.disabled(err), ""
	case !ip.IsValid() || l.Kinds&need == 0:
		return out.disabled(fmt.Errorf("%s: %w: %s", l.Zone, ErrTarget, out.Target)), ""
	}
	return out, dns.ReverseLabels(ip) + "." + l.origin()
}

func prepareDomain(l *List, domain string) (Listing, string) {
	domain = strings.ToLower(strings.TrimSuffix(domain, "."))
	out := Listing{List: l, Target: domain}
	if err := l.usable(); err != nil {
		return out.disabled(err), ""
	}
	if ip, is := literal(domain); is {
		out.Target = ip.String()
		if !ip.Is4() || l.Kinds&HostIP4 == 0 {
			return out.disabled(fmt.Errorf("%s: %w: address %s", l.Zone, ErrTarget, ip)), ""
		}
		return out, dns.ReverseLabels(ip) + "." + l.origin()
	}
	if l.Kinds&Domain == 0 || !dns.HostName(domain) || !strings.Contains(domain, ".") {
		return out.disabled(fmt.Errorf("%s: %w: domain %.300q", l.Zone, ErrTarget, domain)), ""
	}
	if l.Registrable {
		// A name that is itself a public suffix is asked as it is.
		if registrable, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
			out.Target = registrable
		}
	}
	return out, out.Target + "." + l.origin()
}

// literal is the address that a host is: "192.0.2.1", "[192.0.2.1]", "[2001:db8::1]", "[IPv6:2001:db8::1]". Names that end in a number
// are no domains (RFC 3696 2) and count as an address too, an invalid one.
func literal(host string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(host, "[")
	inner = strings.TrimPrefix(strings.TrimSuffix(inner, "]"), "ipv6:")
	if ip, err := netip.ParseAddr(inner); err == nil {
		return ip.Unmap().WithZone(""), true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	numeric := last != "" && strings.Trim(last, "0123456789") == ""
	return netip.Addr{}, bracketed || numeric
}

func (l Listing) disabled(err error) Listing {
	l.State, l.Err = Disabled, err
	return l
}

// ask puts the question and fills out.
func ask(ctx context.Context, r dns.Resolver, out *Listing, name string) {
	if out.List.key != nil {
		ctx = dns.Private(ctx)
	}
	judge(out, r.Query(ctx, name, dns.TypeA))
	if out.State == Listed || out.Refused && len(out.Codes) > 0 {
		out.Reason = cut(out.List.hide(reason(ctx, r, name)), textBytes)
	}
}

// judge reads the answer to the A question. Every way through it that is not documented ends in Unknown.
func judge(out *Listing, a dns.Answer) {
	out.State = Unknown
	switch {
	case a.Status == dns.Nothing && a.Err == nil:
		out.State = Clean
		return
	case a.Status != dns.Found && out.List.RefusesRcode && errors.Is(a.Err, dns.ErrRefused):
		out.Refused, out.Err = true, fmt.Errorf("%s: %w: response code REFUSED", out.List.Zone, ErrRefused)
		return
	case a.Status != dns.Found:
		out.Err = trouble(out.List, a.Err)
		return
	}
	for _, rec := range a.Records {
		if len(out.Codes) < maxCodes {
			out.Codes = append(out.Codes, rec.IP)
		}
	}
	for _, ip := range out.Codes {
		if c, is := out.List.refusal(ip); is {
			out.Refused, out.Matched = true, []Code{c}
			out.Err = fmt.Errorf("%s: %w: %s (%s)", out.List.Zone, ErrRefused, ip, c.Meaning.EN)
			return
		}
	}
	listed := false
	for _, c := range out.List.Codes {
		if slices.ContainsFunc(out.Codes, c.match) {
			out.Matched = append(out.Matched, c)
			listed = listed || !c.Neutral
		}
	}
	switch {
	case !out.inside():
		// RFC 5782 2.1: answers are in 127/8. Others come from parked domains and meddling resolvers.
		out.Matched = nil
	case listed:
		out.State = Listed
		return
	case len(out.Matched) > 0:
		out.State = Clean
		return
	}
	out.Err = fmt.Errorf("%s: %w: %v", out.List.Zone, ErrUndocumented, out.Codes)
}

// trouble is an error of package dns with the zone before it. The names in it would show a key: of a zone with one only the kind of error
// is kept.
func trouble(l *List, err error) error {
	if l.key == nil {
		return fmt.Errorf("%s: %w", l.Zone, err)
	}
	for _, known := range []error{dns.ErrTimeout, dns.ErrServFail, dns.ErrRefused, dns.ErrBogus, dns.ErrMalformed, dns.ErrLame, dns.ErrNetwork,
		dns.ErrBusy, dns.ErrBudget, dns.ErrName} {
		if errors.Is(err, known) {
			return fmt.Errorf("%s: %w", l.Zone, known)
		}
	}
	return fmt.Errorf("%s: %s", l.Zone, l.hide(fmt.Sprint(err)))
}

// refusal is the documented refusal that ip is. 127.255.255.0/24 is one at every zone (Spamhaus, Validity, fmb.la, dkimwl).
func (l *List) refusal(ip netip.Addr) (Code, bool) {
	for _, c := range l.Refusals {
		if c.match(ip) {
			return c, true
		}
	}
	if Pattern("127.255.255.*").Match(ip) {
		return Code{Pattern: "127.255.255.*", Name: "refused", Meaning: Text{"query refused", "question refusée"}}, true
	}
	return Code{}, false
}

// reason is the operator's text beside the answer, or "".
func reason(ctx context.Context, r dns.Resolver, name string) string {
	ctx, cancel := context.WithTimeout(ctx, textTimeout)
	defer cancel()
	var texts []string
	for _, rec := range dns.TXT(ctx, r, name).Records {
		if t := printable(rec.Text); t != "" && !slices.Contains(texts, t) {
			texts = append(texts, t)
		}
		if len(texts) == textRecords {
			break
		}
	}
	return cut(strings.Join(texts, " | "), textBytes)
}

// printable is s as one line: valid UTF-8, runs of white space as one space, no control or format characters (among them those that turn
// the direction of writing).
func printable(s string) string {
	s = strings.ToValidUTF8(cut(s, 4*textBytes), "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// cut is at most n bytes of s, not ending inside a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
