package checkup

import (
	"errors"
	"net/url"
	"strings"

	"postern/internal/dmarc"
	"postern/internal/dns"
)

// Errors of BIMI records.
var (
	errBIMI     = errors.New("not of the form v=BIMI1; l=URL; a=URL")
	errBIMILogo = errors.New("the logo is not an https address of an SVG file")
)

// bimiRecord is a BIMI assertion record (draft-brand-indicators-for-message-identification 4.3, read 2026-11).
type bimiRecord struct {
	Logo     string // l=
	Evidence string // a=: the certificate (VMC, CMC)
	Declined bool   // both are there and empty: the domain takes no part (4.3.1)
}

// isBIMI reports whether a TXT record is meant as a BIMI record.
func isBIMI(text string) bool {
	return len(text) >= 7 && strings.EqualFold(text[:7], "v=BIMI1")
}

// parseBIMI reads a record. errBIMILogo: it can be read, and its logo is of no use.
func parseBIMI(text string) (bimiRecord, error) {
	var r bimiRecord
	if len(text) > 4096 {
		return r, errBIMI
	}
	seen := map[string]string{}
	for i, spec := range strings.Split(text, ";") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		name, value = strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t")
		_, twice := seen[name]
		if !ok || twice || (i == 0) != (name == "v") || name == "v" && !strings.EqualFold(value, "BIMI1") {
			return r, errBIMI
		}
		seen[name] = value
	}
	logo, has := seen["l"]
	if !has {
		return r, errBIMI
	}
	r.Logo, r.Evidence = logo, seen["a"]
	if logo == "" {
		r.Declined = r.Evidence == ""
		if !r.Declined {
			return r, errBIMILogo
		}
		return r, nil
	}
	path := func(text string) string {
		u, err := url.Parse(text)
		if err != nil || !strings.EqualFold(u.Scheme, "https") || !dns.HostName(u.Hostname()) || u.User != nil {
			return ""
		}
		return strings.ToLower(u.Path)
	}
	if p := path(logo); !strings.HasSuffix(p, ".svg") && !strings.HasSuffix(p, ".svgz") {
		return r, errBIMILogo
	}
	if r.Evidence != "" && path(r.Evidence) == "" {
		return r, errBIMI
	}
	return r, nil
}

// bimi looks at the logo that the domain asks mailboxes to show. It fetches neither logo nor certificate.
func (v *view) bimi() []Finding {
	w := v.witness()
	name := "default._bimi." + string(v.domain)
	one := func(code string, s State, args map[string]any) []Finding {
		f := v.finding(BIMI, w, code, s, args)
		f.Args["Name"], f.Optional = name, true
		return []Finding{f}
	}
	a := dns.TXT(v.ctx, w, name)
	if a.Status != dns.TryLater && len(texts(a, isBIMI)) == 0 {
		// The organizational domain's record serves for those below it (BIMI draft 7.2).
		if org, status := dmarc.OrganizationalDomain(v.ctx, v.o.Resolver, v.domain); status != dns.TryLater && org != v.domain {
			name = "default._bimi." + string(org)
			a = dns.TXT(v.ctx, w, name)
		}
	}
	found := texts(a, isBIMI)
	switch {
	case a.Status == dns.TryLater:
		return one("bimi.unknown", Unknown, map[string]any{"Why": reason(a.Err)})
	case len(found) == 0:
		return one("bimi.none", Advice, nil)
	case len(found) > 1:
		return one("bimi.several", Problem, map[string]any{"Number": len(found)})
	}
	record, err := parseBIMI(found[0])
	args := map[string]any{"Logo": orNone(clip(record.Logo, 300)), "Certificate": orNone(clip(record.Evidence, 300))}
	switch {
	case errors.Is(err, errBIMILogo):
		return one("bimi.logo", Problem, args)
	case err != nil:
		return one("bimi.malformed", Problem, args)
	case record.Declined:
		return one("bimi.declined", Fine, args)
	}
	// Mailboxes show the logo only under a policy that is enforced, subdomains included (BIMI draft 7.1).
	policy, status, perr := dmarc.Lookup(v.ctx, w, v.domain)
	enforced := status == dns.Found && handlingOf(policy, v.domain) != dmarc.ActNone && policy.SP != dmarc.ActNone && !policy.Testing
	switch {
	case status == dns.TryLater:
		args["Why"] = reason(perr)
		return one("bimi.unknown", Unknown, args)
	case !enforced:
		return one("bimi.not-enforced", Problem, args)
	case record.Evidence == "":
		return one("bimi.no-certificate", Advice, args)
	}
	return one("bimi.fine", Fine, args)
}
