package checkup

import (
	"errors"
	"strings"

	"postern/internal/dns"
)

// dnssec looks whether the zone is signed, and whether our resolver vouches for it (RFC 4035 5).
func (v *view) dnssec() []Finding {
	w := v.witness()
	zone, ns := v.zone(w)
	if ns.Status == dns.TryLater {
		zone = string(v.domain)
	}
	soa := w.Query(v.ctx, zone, dns.TypeSOA)
	ds := w.Query(v.ctx, zone, dns.TypeDS)
	one := func(code string, s State, args map[string]any) []Finding {
		f := v.finding(DNSSEC, w, code, s, args)
		f.Args["Zone"] = zone
		f.Optional = code == "dnssec.unsigned"
		return []Finding{f}
	}
	bogus := func(a dns.Answer) bool { return a.Status == dns.TryLater && errors.Is(a.Err, dns.ErrBogus) }
	switch {
	case bogus(soa) || bogus(ds) || bogus(ns):
		return one("dnssec.bogus", Problem, nil)
	case soa.Status == dns.TryLater:
		return v.unanswered(DNSSEC, w, zone, soa.Err)
	case soa.Status == dns.Found && soa.Authentic:
		return one("dnssec.fine", Fine, nil)
	case ds.Status == dns.TryLater:
		return v.unanswered(DNSSEC, w, zone, ds.Err)
	case ds.Status == dns.Nothing:
		return one("dnssec.unsigned", Advice, nil)
	}
	// The root is signed for certain: a resolver that does not vouch for it vouches for nothing.
	if root := w.Query(v.ctx, ".", dns.TypeSOA); root.Status != dns.Found || !root.Authentic {
		return one("dnssec.unchecked", Unknown, nil)
	}
	return one("dnssec.not-validated", Advice, nil)
}

// caa looks who may issue certificates for the domain: the first set of records on the way up counts (RFC 8659 3).
func (v *view) caa() []Finding {
	w := v.witness()
	for name := string(v.domain); name != ""; _, name, _ = strings.Cut(name, ".") {
		a := w.Query(v.ctx, name, dns.TypeCAA)
		switch a.Status {
		case dns.TryLater:
			return v.unanswered(CAA, w, name, a.Err)
		case dns.Nothing:
			continue
		}
		set := ReadCAA(a.Records)
		args := map[string]any{"Name": name, "Issuers": clip(strings.Join(set.Issuers, ", "), 300), "Tag": clip(set.Critical, 60)}
		switch {
		case set.Critical != "":
			return []Finding{v.finding(CAA, w, "caa.critical", Problem, args)}
		case set.Restricted && len(set.Issuers) == 0:
			return []Finding{v.finding(CAA, w, "caa.forbids", Advice, args)}
		case set.Restricted:
			return []Finding{v.finding(CAA, w, "caa.fine", Fine, args)}
		}
		break // only what restricts nobody
	}
	f := v.finding(CAA, w, "caa.none", Advice, nil)
	f.Optional = true
	return []Finding{f}
}

// CAASet is what a set of CAA records says.
type CAASet struct {
	Restricted bool     // there is an issue or issuewild
	Issuers    []string // authorities that may issue, each once
	Critical   string   // a tag that is critical and that no authority has to know: nobody may issue
}

// ReadCAA reads the CAA records of one name (RFC 8659 4).
func ReadCAA(records []dns.Record) CAASet {
	const critical = 128
	var out CAASet
	for _, r := range records {
		tag, value, _ := strings.Cut(r.Text, "=")
		tag = strings.ToLower(tag)
		switch tag {
		case "issue", "issuewild":
			out.Restricted = true
			issuer, _, _ := strings.Cut(value, ";")
			issuer = strings.ToLower(strings.Trim(issuer, " \t"))
			// RFC 8659 4.2: a value that is malformed is as one that names nobody.
			if dns.HostName(issuer) && !strings.Contains(issuer, "_") && len(out.Issuers) < 20 && !containsFold(out.Issuers, issuer) {
				out.Issuers = append(out.Issuers, issuer)
			}
		case "iodef", "issuemail", "issuevmc", "contactemail", "contactphone":
		default:
			if r.Pref&critical != 0 && out.Critical == "" {
				out.Critical = tag
			}
		}
	}
	return out
}

func containsFold(all []string, s string) bool {
	for _, x := range all {
		if strings.EqualFold(x, s) {
			return true
		}
	}
	return false
}
