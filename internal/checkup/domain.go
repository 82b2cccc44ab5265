package checkup

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
)

// view is the look at one domain from outside.
type view struct {
	*Checker
	ctx    context.Context
	domain mail.Domain
	ask    Ask
	mx     dns.Answer
}

// domain looks at a domain from outside: what anybody's DNS says of it, its name servers one by one, the policies that it publishes, and the
// blocklists. A domain that does not exist has nothing more to be looked at.
func (c *Checker) domain(ctx context.Context, d mail.Domain, ask Ask) part {
	v := &view{Checker: c, ctx: ctx, domain: d, ask: ask}
	looks := []func() part{
		func() part {
			found, listings := c.lists(ctx, dnsbl.Target{Domain: string(d)}, ask)
			return part{findings: found, listings: listings}
		},
		v.published,
	}
	found := make([]part, len(looks))
	var all sync.WaitGroup
	for i, look := range looks {
		all.Go(func() { found[i] = look() })
	}
	all.Wait()
	return join(found)
}

// published is what the domain itself says.
func (v *view) published() part {
	w := v.witness()
	v.mx = dns.MX(v.ctx, w, string(v.domain))
	if v.mx.Status == dns.Nothing && v.mx.NXDomain {
		return part{findings: []Finding{v.finding(NameServers, w, "ns.no-domain", Problem, map[string]any{"Domain": string(v.domain)})}}
	}
	looks := []func() part{v.spf, just(v.dkim), just(v.dmarc), just(v.exchangers), just(v.nameServers), just(v.dnssec), just(v.caa), v.sts, just(v.reports), just(v.bimi)}
	found := make([]part, len(looks))
	var all sync.WaitGroup
	for i, look := range looks {
		all.Go(func() { found[i] = look() })
	}
	all.Wait()
	return join(found)
}

func just(look func() []Finding) func() part { return func() part { return part{findings: look()} } }

func join(found []part) part {
	var out part
	for _, p := range found {
		out.findings = append(out.findings, p.findings...)
		out.listings = append(out.listings, p.listings...)
		out.doors = append(out.doors, p.doors...)
		if p.spf != nil {
			out.spf = p.spf
		}
		if p.policy != nil {
			out.policy = p.policy
		}
	}
	return out
}

// finding is a finding with what a witness has seen until now.
func (v *view) finding(g Group, w *witness, code string, s State, args map[string]any) Finding {
	if args == nil {
		args = map[string]any{}
	}
	if args["Domain"] == nil {
		args["Domain"] = string(v.domain)
	}
	return Finding{Group: g, Code: code, State: s, Args: args, Evidence: w.evidence()}
}

// takesMail reports whether the domain names exchangers; known is false while DNS does not say.
func (v *view) takesMail() (takes, known bool) {
	return v.mx.Status == dns.Found && !nullMX(v.mx), v.mx.Status != dns.TryLater
}

// hosts are the exchangers, each once, in the order of their preference.
func (v *view) hosts() []string {
	sorted := slices.Clone(v.mx.Records)
	slices.SortStableFunc(sorted, func(a, b dns.Record) int { return int(a.Pref) - int(b.Pref) })
	var out []string
	for _, r := range sorted {
		if r.Host != "" && !slices.Contains(out, r.Host) {
			out = append(out, r.Host)
		}
	}
	return out
}

// zone is the zone that the domain lies in, and its name servers. Nothing: no name above it, down to its registered one, has any.
func (v *view) zone(r dns.Resolver) (string, dns.Answer) {
	name := string(v.domain)
	suffix, _ := publicsuffix.PublicSuffix(name)
	for {
		a := r.Query(v.ctx, name, dns.TypeNS)
		if a.Status == dns.TryLater || a.Status == dns.Found && strings.EqualFold(a.Records[0].Name, name) {
			return name, a
		}
		_, parent, more := strings.Cut(name, ".")
		if !more || name == suffix || len(parent) < len(suffix) {
			return string(v.domain), dns.Answer{Status: dns.Nothing}
		}
		name = parent
	}
}

// unanswered is the finding for a question without answer.
func (v *view) unanswered(g Group, w *witness, name string, err error) []Finding {
	return []Finding{v.finding(g, w, string(g)+".unknown", Unknown, map[string]any{"Name": name, "Host": name, "Why": reason(err)})}
}
