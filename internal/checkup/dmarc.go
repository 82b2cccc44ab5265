package checkup

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/spf"
)

// isDMARC reports whether a TXT record is meant as a DMARC record.
func isDMARC(text string) bool {
	return len(text) >= 8 && strings.EqualFold(text[:8], "v=DMARC1")
}

// dmarc looks at the policy that receivers apply to the domain, and at what mail from here is to them under it.
func (l *look) dmarc() []Finding {
	w := l.witness()
	name := "_dmarc." + string(l.domain)
	f := Finding{Group: DMARC}
	propose := func(value string, replace ...string) {
		f.Records = []Record{{Name: name, Type: "TXT", Value: value, TTL: TTL, Replace: replace}}
	}
	end := func(code string, s State, args map[string]any) []Finding {
		f.Code, f.State, f.Args = code, s, args
		f.Evidence = w.evidence()
		return append([]Finding{f}, reportAddresses(l.ctx, l.known, l.domain, l.o.Reports.Domain)...)
	}
	policy, status, err := dmarc.Lookup(l.ctx, w, l.domain)
	here := texts(dns.TXT(l.ctx, w, name), isDMARC)
	first := "v=DMARC1; p=none; rua=mailto:" + l.reportAddress()
	switch {
	case status == dns.TryLater:
		return end("dmarc.unknown", Unknown, map[string]any{"Why": reason(err)})
	case errors.Is(err, dmarc.ErrSeveralRecords) && status != dns.Found:
		propose(best(here, first), here...)
		return end("dmarc.several", Problem, map[string]any{"Number": len(here)})
	case errors.Is(err, dmarc.ErrBadRecord) && status != dns.Found:
		propose(first, here...)
		return end("dmarc.unusable", Problem, map[string]any{"Why": reason(err)})
	case status != dns.Found:
		propose(first)
		return end("dmarc.missing", Problem, map[string]any{"Address": l.reportAddress()})
	}
	handling := policy.P
	if policy.Domain != l.domain {
		handling = policy.SP
	}
	args := map[string]any{"Policy": handling, "PolicyDomain": string(policy.Domain), "Record": clip(policy.Record, 500)}
	own := policy.Domain == l.domain
	if handling != dmarc.ActNone && !policy.Testing {
		switch aligned, known := l.aligned(policy); {
		case !aligned && !known:
			return end("dmarc.alignment-unknown", Unknown, args)
		case !aligned:
			return end("dmarc.fails", Problem, args)
		}
	}
	next := func(handling string) {
		if own {
			propose(withTag(policy.Record, "p", handling), policy.Record)
		}
	}
	switch {
	case len(policy.Warnings) > 0:
		if own {
			propose(cleaned(policy), policy.Record)
		}
		return end("dmarc.warnings", Advice, map[string]any{"Warnings": clip(strings.Join(policy.Warnings, "; "), 500)})
	case policy.Testing:
		next(policy.P)
		if own {
			propose(withTag(policy.Record, "t", ""), policy.Record)
		}
		return end("dmarc.testing", Advice, args)
	case len(policy.RUA) == 0 && handling == dmarc.ActNone:
		if own {
			propose(withTag(policy.Record, "rua", "mailto:"+l.reportAddress()), policy.Record)
		}
		return end("dmarc.blind", Advice, map[string]any{"Address": l.reportAddress()})
	case handling == dmarc.ActNone:
		next(dmarc.ActQuarantine)
		return end("dmarc.none", Advice, args)
	}
	return end("dmarc.fine", Fine, args)
}

// reportAddress is where reports should go: the gateway's address for them, else the contact if he is of the domain, else its postmaster, who
// must exist (RFC 5321 4.5.1).
func (l *look) reportAddress() string {
	if !l.o.Reports.IsNull() {
		return l.o.Reports.String()
	}
	if c := l.customer.Contact; !c.IsNull() && (c.Domain == l.domain || strings.HasSuffix(string(c.Domain), "."+string(l.domain)) || strings.HasSuffix(string(l.domain), "."+string(c.Domain))) {
		return c.String()
	}
	return "postmaster@" + string(l.domain)
}

// aligned reports whether mail from here passes DMARC: a signature of the domain that can be checked, or SPF of an aligned return path.
func (l *look) aligned(p dmarc.Policy) (ok, known bool) {
	d, signed, known := l.signed()
	if signed && l.alignedWith(d, p.ADKIM, p) {
		return true, true
	}
	path := l.domain // the reverse path is the sender's own
	switch r := l.customer.ReturnDomain(); {
	case r != "":
		path = r
	case l.customer.ReturnPath != "kept" && l.o.Returns != "" && signed:
		return false, known
	}
	if !l.alignedWith(path, p.ASPF, p) || len(l.egress) == 0 {
		return false, known && len(l.egress) > 0
	}
	for _, out := range l.evaluate(l.known, path, l.ips()) {
		switch out.Result {
		case spf.Pass:
		case spf.TempError:
			return false, false
		default:
			return false, known
		}
	}
	return true, true
}

// alignedWith compares a proved domain with the author's (RFC 9989 4.4).
func (l *look) alignedWith(d mail.Domain, mode byte, p dmarc.Policy) bool {
	if d == l.domain {
		return true
	}
	if mode == 's' || p.Organizational == "" {
		return false
	}
	org, status := dmarc.OrganizationalDomain(l.ctx, l.known, d)
	return status != dns.TryLater && org == p.Organizational
}

// reportAddresses looks whether addresses in other domains have agreed to take reports (RFC 9990 4): without their record none are sent. ours is
// where this gateway takes reports.
func reportAddresses(ctx context.Context, r dns.Resolver, domain, ours mail.Domain) []Finding {
	policy, status, _ := dmarc.Lookup(ctx, r, domain)
	if status != dns.Found || policy.Organizational == "" {
		return nil
	}
	var out []Finding
	seen := map[string]bool{}
	for _, uri := range policy.RUA {
		at := strings.LastIndexByte(uri, '@')
		if len(uri) < 7 || !strings.EqualFold(uri[:7], "mailto:") || at < 0 || len(out) == 4 {
			continue
		}
		to, err := url.PathUnescape(uri[at+1:])
		if err != nil {
			continue
		}
		d, err := mail.ParseDomain(to)
		if err != nil || seen[string(d)] {
			continue
		}
		seen[string(d)] = true
		org, known := dmarc.OrganizationalDomain(ctx, r, d)
		if known != dns.TryLater && org == policy.Organizational {
			continue
		}
		w := &witness{next: r, seen: map[asked]bool{}}
		name := string(policy.Domain) + "._report._dmarc." + string(d)
		a := dns.TXT(ctx, w, name)
		f := Finding{Group: DMARC, Subject: string(d), Operator: d == ours && ours != "", Args: map[string]any{"Address": clip(uri[7:], 200), "Other": string(d)}}
		switch {
		case known == dns.TryLater || a.Status == dns.TryLater:
			f.Code, f.State = "dmarc.reports-unknown", Unknown
			f.Args["Why"] = reason(a.Err)
		case len(texts(a, isDMARC)) > 0:
			continue
		default:
			f.Code, f.State = "dmarc.reports-refused", Advice
			f.Records = []Record{{Name: name, Type: "TXT", Value: "v=DMARC1;", TTL: TTL}}
		}
		f.Evidence = w.evidence()
		out = append(out, f)
	}
	return out
}

// best is the one of several records to keep: the strictest that can be read; first when none can.
func best(records []string, first string) string {
	kept, rank := first, -1
	order := map[string]int{dmarc.ActNone: 0, dmarc.ActQuarantine: 1, dmarc.ActReject: 2}
	for _, r := range records {
		if p, err := dmarc.ParseRecord(r); err == nil && order[p.P] > rank {
			kept, rank = r, order[p.P]
		}
	}
	return kept
}

// withTag returns a record with one tag set, or left out where the value is empty. The others keep their order and spelling.
func withTag(record, name, value string) string {
	var out []string
	done := value == ""
	for _, spec := range strings.Split(record, ";") {
		spec = strings.TrimSpace(spec)
		tag, _, _ := strings.Cut(spec, "=")
		switch {
		case spec == "":
		case !strings.EqualFold(strings.TrimSpace(tag), name):
			out = append(out, spec)
		case !done:
			out, done = append(out, name+"="+value), true
		}
	}
	if !done {
		at := min(len(out), 2) // after v= and p=
		out = append(out[:at], append([]string{name + "=" + value}, out[at:]...)...)
	}
	return strings.Join(out, "; ")
}

// cleaned is a policy's record as it counts, without what receivers ignore.
func cleaned(p dmarc.Policy) string {
	out := []string{"v=DMARC1", "p=" + p.P}
	add := func(tag, value, usual string) {
		if value != usual && value != "" {
			out = append(out, tag+"="+value)
		}
	}
	add("sp", p.SP, p.P)
	add("np", p.NP, p.SP)
	add("adkim", string(p.ADKIM), "r")
	add("aspf", string(p.ASPF), "r")
	if p.Testing {
		out = append(out, "t=y")
	}
	add("rua", strings.Join(p.RUA, ","), "")
	add("ruf", strings.Join(p.RUF, ","), "")
	if len(p.RUF) > 0 {
		add("fo", p.FO, "0")
	}
	return strings.Join(out, "; ")
}
