package dmarc

import (
	"fmt"
	"net/url"
	"strings"

	"postern/internal/mail"
)

// Limits on a record.
const (
	maxRecord = 16 << 10 // bytes looked at
	maxTags   = 64       // tags read
	maxURIs   = 20       // report addresses kept of each kind
)

// isRecord reports whether a TXT record is a DMARC record: it begins with the
// version, whose value is case-sensitive (RFC 9989 4.8).
func isRecord(text string) bool {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || !strings.EqualFold(strings.TrimRight(name, wsp), "v") {
		return false
	}
	value, _, _ := strings.Cut(rest, ";")
	return strings.Trim(value, wsp) == "DMARC1"
}

// wsp is the white space that may stand around "=" and ";".
const wsp = " \t"

// ParseRecord reads a DMARC record, without deciding whom it applies to (RFC 9989
// 4.7, 4.8). What cannot be used in it is noted in Warnings and falls back to its
// default. The error wraps ErrBadRecord when the record has to be ignored as a whole: it is
// none, or its p=, sp= or np= is unusable and it names no address for reports.
func ParseRecord(text string) (Policy, error) {
	if len(text) > maxRecord {
		return Policy{}, fmt.Errorf("%w: longer than %d bytes", ErrBadRecord, maxRecord)
	}
	if !isRecord(text) {
		return Policy{}, fmt.Errorf("%w: does not begin with v=DMARC1", ErrBadRecord)
	}
	p := Policy{Found: true, Record: text, ADKIM: 'r', ASPF: 'r', FO: "0", PSD: 'u'}
	seen := make(map[string]bool)
	for i, spec := range strings.SplitN(text, ";", maxTags+2) {
		if i == 0 || strings.Trim(spec, wsp) == "" {
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		name, value = strings.ToLower(strings.Trim(name, wsp)), strings.Trim(value, wsp)
		switch {
		case i > maxTags:
			p.warn("more than %d tags: the rest is ignored", maxTags)
			continue
		case !ok:
			p.warn("%q is not name=value", mail.Glimpse(spec))
			continue
		case seen[name]:
			p.warn("%s= given twice: the first counts", mail.Glimpse(name))
			continue
		}
		seen[name] = true
		p.set(name, value)
	}
	return p, p.settle(seen)
}

// set takes in one tag.
func (p *Policy) set(name, value string) {
	lower := strings.ToLower(value)
	switch name {
	case "p":
		p.P = lower
	case "sp":
		p.SP = lower
	case "np":
		p.NP = lower
	case "adkim":
		p.choice(name, lower, "rs", &p.ADKIM)
	case "aspf":
		p.choice(name, lower, "rs", &p.ASPF)
	case "psd":
		p.choice(name, lower, "ynu", &p.PSD)
	case "t":
		t := byte('n')
		p.choice(name, lower, "yn", &t)
		p.Testing = t == 'y'
	case "fo":
		p.fo(lower)
	case "rua":
		p.RUA = p.uris(name, value)
	case "ruf":
		p.RUF = p.uris(name, value)
	case "pct", "rf", "ri":
		p.warn("%s= was removed in RFC 9989 and is ignored", name)
	default:
		p.warn("unknown tag %s= is ignored", mail.Glimpse(name))
	}
}

// choice takes in a tag whose value is one of some letters.
func (p *Policy) choice(name, value, letters string, into *byte) {
	if len(value) != 1 || !strings.Contains(letters, value) {
		p.warn("%s=%s is not one of %s", name, mail.Glimpse(value), strings.Join(strings.Split(letters, ""), ", "))
		return
	}
	*into = value[0]
}

// fo takes in the failure reporting options.
func (p *Policy) fo(value string) {
	for option := range strings.SplitSeq(value, ":") {
		switch strings.Trim(option, wsp) {
		case "0", "1", "d", "s":
		default:
			p.warn("fo=%s is not made of 0, 1, d, s", mail.Glimpse(value))
			return
		}
	}
	p.FO = value
}

// uris takes in a list of report addresses and keeps those that can be used.
func (p *Policy) uris(name, value string) []string {
	var out []string
	for one := range strings.SplitSeq(value, ",") {
		one = strings.Trim(one, wsp)
		// The size limit of RFC 7489 ("!10m") is ignored, as RFC 9989 wants.
		address, _, sized := strings.Cut(one, "!")
		u, err := url.Parse(address)
		if err != nil || u.Scheme == "" || strings.EqualFold(u.Scheme, "mailto") && !strings.Contains(u.Opaque, "@") {
			p.warn("%s= holds %q, which is not a usable URI", name, mail.Glimpse(one))
			continue
		}
		if sized {
			p.warn("%s= holds a size limit, which was removed in RFC 9989", name)
		}
		if len(out) == maxURIs {
			p.warn("%s= holds more than %d addresses", name, maxURIs)
			break
		}
		out = append(out, address)
	}
	return out
}

// settle checks the handlings and fills in the defaults. A broken one makes the
// record p=none when reports were asked for, and useless otherwise; without p= it is
// p=none in any case.
func (p *Policy) settle(seen map[string]bool) error {
	const missing = "p= is missing"
	bad := ""
	for _, one := range []struct{ name, value string }{{"p", p.P}, {"sp", p.SP}, {"np", p.NP}} {
		switch one.value {
		case ActNone, ActQuarantine, ActReject:
		default:
			if seen[one.name] {
				bad = fmt.Sprintf("%s=%s is not none, quarantine or reject", one.name, mail.Glimpse(one.value))
			} else if one.name == "p" {
				bad = missing
			}
		}
	}
	if bad != "" {
		if len(p.RUA) == 0 && bad != missing {
			*p = Policy{}
			return fmt.Errorf("%w: %s, and no address for reports is given", ErrBadRecord, bad)
		}
		p.warn("%s: the record counts as p=none", bad)
		p.P, p.SP, p.NP = ActNone, ActNone, ActNone
		return nil
	}
	if p.SP == "" {
		p.SP = p.P
	}
	if p.NP == "" {
		p.NP = p.SP
	}
	return nil
}

func (p *Policy) warn(format string, args ...any) {
	const most = 16
	if len(p.Warnings) < most {
		p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
	}
}
