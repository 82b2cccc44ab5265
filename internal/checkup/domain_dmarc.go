package checkup

import (
	"errors"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
)

// dmarc looks at the policy that receivers apply to the domain, found by the tree walk of RFC 9989 4.10.
func (v *view) dmarc() []Finding {
	w := v.witness()
	name := "_dmarc." + string(v.domain)
	address := "postmaster@" + string(v.domain) // who must exist (RFC 5321 4.5.1)
	first := "v=DMARC1; p=none; rua=mailto:" + address
	policy, status, err := dmarc.Lookup(v.ctx, w, v.domain)
	here := texts(dns.TXT(v.ctx, w, name), isDMARC)
	end := func(code string, s State, args map[string]any, value string, replace ...string) []Finding {
		f := v.finding(DMARC, w, code, s, args)
		if value != "" {
			f.Records = []Record{{Name: name, Type: "TXT", Value: value, TTL: TTL, Replace: replace}}
		}
		return append([]Finding{f}, reportAddresses(v.ctx, v.o.Resolver, v.domain, "")...)
	}
	args := map[string]any{"Address": address}
	switch {
	case status == dns.TryLater:
		return end("dmarc.unknown", Unknown, map[string]any{"Why": reason(err)}, "")
	case len(here) > 1:
		return end("dmarc.several", Problem, map[string]any{"Number": len(here)}, best(here, first), here...)
	case errors.Is(err, dmarc.ErrBadRecord) && status != dns.Found:
		return end("dmarc.unusable", Problem, map[string]any{"Why": reason(err)}, first, here...)
	case status != dns.Found:
		return end("dmarc.missing", Problem, args, first)
	}
	own := policy.Domain == v.domain
	handling := handlingOf(policy, v.domain)
	args["Policy"], args["PolicyDomain"], args["Record"] = handling, string(policy.Domain), clip(policy.Record, 500)
	mend := func(value string) string {
		if own {
			return value
		}
		return ""
	}
	switch {
	case len(policy.Warnings) > 0:
		args["Warnings"] = clip(strings.Join(policy.Warnings, "; "), 500)
		return end("dmarc.warnings", Advice, args, mend(cleaned(policy)), here...)
	case policy.PSD == 'y' && own && !isSuffix(v.domain):
		return end("dmarc.psd", Advice, args, mend(withTag(policy.Record, "psd", "")), here...)
	case policy.Testing:
		return end("dmarc.testing", Advice, args, mend(withTag(policy.Record, "t", "")), here...)
	case len(policy.RUA) == 0:
		return end("dmarc.blind", Advice, args, mend(withTag(policy.Record, "rua", "mailto:"+address)), here...)
	case handling == dmarc.ActNone:
		return end("dmarc.none", Advice, args, mend(withTag(policy.Record, "p", dmarc.ActQuarantine)), here...)
	case own && (policy.SP == dmarc.ActNone || policy.NP == dmarc.ActNone):
		args["SP"], args["NP"] = policy.SP, policy.NP
		return end("dmarc.sub-open", Advice, args, mend(withTag(withTag(policy.Record, "sp", ""), "np", "")), here...)
	}
	return end("dmarc.enforced", Fine, args, "")
}

// handlingOf is what a policy asks for mail of a domain that exists.
func handlingOf(p dmarc.Policy, d mail.Domain) string {
	if p.Domain == d {
		return p.P
	}
	return p.SP
}

// isSuffix reports whether a domain is a public suffix.
func isSuffix(d mail.Domain) bool {
	suffix, _ := publicsuffix.PublicSuffix(string(d))
	return suffix == string(d)
}
