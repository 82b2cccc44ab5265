package checkup

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/locale"
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
		if err != nil || !webAddress(u) {
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

// webAddress reports whether an address is one that a mailbox would fetch from: https, a name, the usual port.
func webAddress(u *url.URL) bool {
	return strings.EqualFold(u.Scheme, "https") && dns.HostName(u.Hostname()) && u.User == nil && (u.Port() == "" || u.Port() == "443")
}

// bimi looks at the logo that the domain asks mailboxes to show, and at the certificate that vouches for it: both are fetched.
func (v *view) bimi() []Finding {
	w := v.witness()
	at := v.domain
	finding := func(code string, s State, args map[string]any) Finding {
		f := v.finding(BIMI, w, "bimi."+code, s, args)
		f.Args["Name"], f.Optional = "default._bimi."+string(at), true
		return f
	}
	one := func(code string, s State, args map[string]any) []Finding { return []Finding{finding(code, s, args)} }
	org, orgStatus := dmarc.OrganizationalDomain(v.ctx, v.o.Resolver, v.domain)
	a := dns.TXT(v.ctx, w, "default._bimi."+string(at))
	if a.Status != dns.TryLater && len(texts(a, isBIMI)) == 0 && orgStatus != dns.TryLater && org != v.domain {
		// The organizational domain's record serves for those below it (BIMI draft 7.2).
		at = org
		a = dns.TXT(v.ctx, w, "default._bimi."+string(at))
	}
	found := texts(a, isBIMI)
	switch {
	case a.Status == dns.TryLater:
		return one("unknown", Unknown, map[string]any{"Why": reason(a.Err)})
	case len(found) == 0:
		return one("none", Advice, nil)
	case len(found) > 1:
		return one("several", Problem, map[string]any{"Number": len(found)})
	}
	record, err := parseBIMI(found[0])
	about := func(more ...any) map[string]any {
		return locale.Args(append([]any{"Logo", orNone(clip(record.Logo, 300)), "Certificate", orNone(clip(record.Evidence, 300))}, more...)...)
	}
	switch {
	case errors.Is(err, errBIMILogo):
		return one("logo", Problem, about())
	case err != nil:
		return one("malformed", Problem, about())
	case record.Declined:
		return one("declined", Fine, about())
	}
	var out []Finding
	// Mailboxes show the logo only under a policy that is enforced, for all mail and subdomains included (BIMI draft 7.1).
	policy, status, perr := dmarc.Lookup(v.ctx, w, v.domain)
	switch pct := percentOf(policy.Record); {
	case status == dns.TryLater:
		return one("unknown", Unknown, about("Why", reason(perr)))
	case status != dns.Found || handlingOf(policy, v.domain) == dmarc.ActNone || policy.SP == dmarc.ActNone || policy.Testing:
		out = one("not-enforced", Problem, about())
	case pct != "" && pct != "100":
		out = one("pct", Problem, about("Value", clip(printable(pct), 20)))
	}
	names := []string{string(v.domain), string(at), "default._bimi." + string(v.domain), "default._bimi." + string(at)}
	if orgStatus != dns.TryLater && org != "" {
		names = append(names, string(org), "default._bimi."+string(org))
	}
	shown, size := v.brand(w, record, names, finding, about)
	out = append(out, shown...)
	switch {
	case len(out) > 0:
		return out
	case record.Evidence == "":
		return one("no-certificate", Advice, about())
	}
	fine := finding("fine", Fine, about("Bytes", size))
	return []Finding{fine, finding("mark-roots", Unknown, about())}
}

// percentOf is the value of pct= in a DMARC record. RFC 9989 took it out; mailboxes that show logos still ask that it is 100 (BIMI draft 7.1).
func percentOf(record string) string {
	for spec := range strings.SplitSeq(record, ";") {
		if name, value, ok := strings.Cut(spec, "="); ok && strings.EqualFold(strings.TrimSpace(name), "pct") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// brand fetches the logo and the certificate and judges them. size is that of the logo.
func (v *view) brand(w *witness, record bimiRecord, names []string, finding func(string, State, map[string]any) Finding, about func(...any) map[string]any) (out []Finding, size int) {
	var logo, mark fetched
	var both sync.WaitGroup
	both.Go(func() { logo = v.fetch(w, record.Logo, mostSVG) })
	if record.Evidence != "" {
		both.Go(func() { mark = v.fetch(w, record.Evidence, mostMark) })
	}
	both.Wait()
	trouble := func(what string, f fetched) {
		if f.unknown {
			out = append(out, finding(what+"-unknown", Unknown, about("Why", reason(f.err))))
			return
		}
		out = append(out, finding(what+"-unreadable", Problem, about("Why", reason(f.err))))
	}
	var svg []byte
	if logo.err == nil {
		svg, logo.err = unpacked(logo.body)
	}
	if logo.err != nil {
		trouble("logo", logo)
	} else {
		for _, f := range judgeSVG(svg) {
			state := Problem
			if f.code == "svg-large" || f.code == "svg-square" || f.code == "svg-origin" || f.code == "svg-attribute" {
				state = Advice // SHOULD
			}
			out = append(out, finding(f.code, state, about("Found", orPhrase(f.found, "nothing"))))
		}
	}
	if record.Evidence == "" {
		return out, len(svg)
	}
	var chain []*x509.Certificate
	if mark.err == nil {
		chain, mark.err = parseMarks(mark.body)
	}
	if mark.err != nil {
		trouble("mark", mark)
		return out, len(svg)
	}
	w.note(Question{Name: record.Evidence, Type: "X.509", Status: "found", Values: []string{fmt.Sprintf("certificate for %s, by %s, until %s, %d in the chain", clip(printable(strings.Join(chain[0].DNSNames, ", ")), 200),
		clip(printable(chain[0].Issuer.String()), 200), chain[0].NotAfter.UTC().Format(time.DateOnly), len(chain))}})
	for _, f := range judgeMark(chain, names, svg, v.o.Now()) {
		state := Problem
		if f.code == "mark-soon" {
			state = Advice
		}
		out = append(out, finding(f.code, state, about("Found", orPhrase(f.found, "nothing"))))
	}
	return out, len(svg)
}
