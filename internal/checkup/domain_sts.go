package checkup

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/tlspolicy"
)

// shortPolicy is the life below which a policy protects little: RFC 8461 3.2 wants weeks.
const shortPolicy = 24 * time.Hour

// stsRecord looks at the record that announces a policy, and at its host. A finding without code: it is there, and its file may be asked for.
func stsRecord(ctx context.Context, w *witness, d mail.Domain) Finding {
	host := "mta-sts." + string(d)
	f := Finding{Group: STS, Optional: true, Args: map[string]any{"Host": host, "Domain": string(d)}}
	end := func(code string, s State) Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		return f
	}
	a := dns.TXT(ctx, w, "_mta-sts."+string(d))
	found := texts(a, func(s string) bool { return strings.HasPrefix(s, "v=STSv1") })
	if a.Status == dns.TryLater {
		f.Args["Why"] = reason(a.Err)
		return end("sts.unknown", Unknown)
	}
	_, err := tlspolicy.ParseSTSRecord(found)
	switch {
	case len(found) > 1:
		return end("sts.several", Problem) // RFC 8461 3.1: none counts
	case errors.Is(err, tlspolicy.ErrNoPolicy):
		return end("sts.none", Advice)
	case err != nil:
		f.Args["Why"] = reason(err)
		return end("sts.record", Problem)
	}
	switch x := dns.Addrs(ctx, w, host); x.Status {
	case dns.TryLater:
		f.Args["Why"] = reason(x.Err)
		return end("sts.unknown", Unknown)
	case dns.Nothing:
		return end("sts.no-host", Problem)
	}
	return end("", Fine)
}

// sts looks at the MTA-STS policy, its file included (RFC 8461). A domain that takes no mail needs none.
func (v *view) sts() part {
	if takes, known := v.takesMail(); known && !takes {
		return part{}
	}
	w := v.witness()
	f := stsRecord(v.ctx, w, v.domain)
	if f.Code != "" {
		return part{findings: []Finding{f}}
	}
	end := func(code string, s State) []Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		// Whoever announces a policy wants it to hold: what is wrong with it counts.
		f.Optional = s == Advice
		return []Finding{f}
	}
	fetcher := tlspolicy.NewFetcher(tlspolicy.FetchOptions{Resolver: v.o.Resolver, RootCAs: v.o.Probes.RootCAs, Dial: v.dial, Private: v.o.Probes.Inside,
		Timeout: min(v.timeout(), 10*time.Second)})
	text, policy, failure, err := fetcher.Policy(v.ctx, v.domain)
	q := Question{Name: "https://mta-sts." + string(v.domain) + "/.well-known/mta-sts.txt", Type: "GET", Status: "found"}
	for line := range strings.Lines(string(text)) {
		if len(q.Values) < maxValues {
			q.Values = append(q.Values, clip(strings.TrimSpace(line), 300))
		}
	}
	if err != nil {
		q.Status, q.Why, f.Args["Why"] = "try later", reason(err), reason(err)
	}
	w.note(q)
	var network *url.Error
	switch {
	case err == nil:
		return part{findings: v.judgePolicy(&f, policy, end), policy: &policy}
	case failure == tlspolicy.STSInvalid:
		return part{findings: end("sts.file", Problem)}
	case failure == tlspolicy.STSWebPKI:
		return part{findings: end("sts.certificate", Problem)}
	case errors.Is(err, tlspolicy.ErrInside), !errors.As(err, &network):
		return part{findings: end("sts.no-file", Problem)}
	}
	return part{findings: end("sts.unreachable", Unknown)}
}

// judgePolicy compares a policy with the exchangers.
func (v *view) judgePolicy(f *Finding, p tlspolicy.STSPolicy, end func(string, State) []Finding) []Finding {
	f.Args["Mode"], f.Args["Age"] = string(p.Mode), p.MaxAge.String()
	var outside []string
	for _, h := range v.hosts() {
		if !p.Matches(h) {
			outside = append(outside, h)
		}
	}
	f.Args["Hosts"], f.Args["Patterns"] = clip(strings.Join(outside, ", "), 300), clip(strings.Join(p.MX, ", "), 300)
	_, known := v.takesMail()
	switch {
	case p.Mode == tlspolicy.STSNone:
		return end("sts.off", Advice)
	case !known:
		return end("sts.mx-unknown", Unknown)
	case len(outside) > 0 && p.Mode == tlspolicy.STSEnforce:
		return end("sts.mismatch", Problem)
	case len(outside) > 0:
		out := end("sts.mismatch", Advice)
		out[0].Optional = false
		return out
	case p.Mode == tlspolicy.STSTesting:
		return end("sts.testing", Advice)
	case p.MaxAge < shortPolicy:
		return end("sts.short", Advice)
	}
	return end("sts.enforced", Fine)
}

// reports looks whether failed encrypted delivery is reported to the domain (RFC 8460 3).
func (v *view) reports() []Finding {
	if takes, known := v.takesMail(); known && !takes {
		return nil
	}
	to := mail.Address{}
	if v.o.TLSReports != nil {
		to = v.o.TLSReports(v.ask.Customer, v.domain)
	}
	return []Finding{lookTLSReports(v.ctx, v.witness(), v.domain, to)}
}

// lookTLSReports looks at the record that asks for TLS reports. to is the address that is proposed; null: one that every domain must have (RFC 5321 4.5.1).
func lookTLSReports(ctx context.Context, w *witness, d mail.Domain, to mail.Address) Finding {
	name := "_smtp._tls." + string(d)
	f := Finding{Group: TLSReports, Optional: true, Args: map[string]any{"Name": name, "Domain": string(d)}}
	end := func(code string, s State) Finding {
		f.Code, f.State, f.Evidence = code, s, w.evidence()
		return f
	}
	propose := func(replace ...string) {
		if to.IsNull() {
			to = mail.Address{Local: "postmaster", Domain: d}
		}
		f.Records = []Record{{Name: name, Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:" + to.String(), TTL: TTL, Replace: replace}}
	}
	a := dns.TXT(ctx, w, name)
	found := texts(a, func(s string) bool { return strings.HasPrefix(s, "v=TLSRPTv1") })
	if a.Status == dns.TryLater {
		f.Args["Why"] = reason(a.Err)
		return end("tlsrpt.unknown", Unknown)
	}
	_, err := tlspolicy.ParseRPTRecord(found)
	switch {
	case len(found) > 1:
		return end("tlsrpt.several", Problem) // RFC 8460 3: none counts
	case errors.Is(err, tlspolicy.ErrNoReports):
		propose()
		return end("tlsrpt.none", Advice)
	case err != nil:
		f.Args["Why"] = reason(err)
		propose(found...)
		return end("tlsrpt.malformed", Problem)
	}
	return end("tlsrpt.fine", Fine)
}
