package checkup

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"postern/internal/dkim"
	"postern/internal/dns"
)

// maxSelectors bounds the selectors that one check-up looks at.
const maxSelectors = 10

// Sizes of RSA keys (RFC 8301 3.2): what is below the first counts for nothing, signers should have at least the second.
const (
	leastBits  = 1024
	signerBits = 2048
)

// selectors are those that the domain is known to sign with. They are never guessed: DNS cannot list them, and a guess that finds nothing
// says nothing (RFC 6376 3.1).
func (v *view) selectors() []string {
	all := slices.Clone(v.ask.Selectors)
	if v.o.Selectors != nil {
		all = append(all, v.o.Selectors(v.ctx, v.ask.Customer, v.domain)...)
	}
	var out []string
	for _, s := range all {
		s = strings.ToLower(strings.TrimSpace(s))
		if s != "" && dns.HostName(s+"._domainkey."+string(v.domain)) && !slices.Contains(out, s) && len(out) < maxSelectors {
			out = append(out, s)
		}
	}
	return out
}

// dkim looks at the keys of the known selectors.
func (v *view) dkim() []Finding {
	selectors := v.selectors()
	if len(selectors) == 0 {
		return []Finding{{Group: DKIM, Code: "dkim.no-selector", State: Unknown, Args: map[string]any{"Domain": string(v.domain)}}}
	}
	out := make([]Finding, len(selectors))
	kinds := make([]string, len(selectors))
	var all sync.WaitGroup
	for i, s := range selectors {
		all.Go(func() { out[i], kinds[i] = v.key(s) })
	}
	all.Wait()
	// Receivers take one signature that they can check: another key makes up for one that is gone.
	covered := slices.ContainsFunc(out, func(f Finding) bool { return f.Code == "dkim.key-fine" || f.Code == "dkim.key-1024" })
	for i := range out {
		if covered && out[i].State == Problem {
			out[i].State = Advice
		}
		if kinds[i] == "ed25519" && !covered && out[i].Code == "dkim.key-only-ed25519" {
			out[i].Code, out[i].State = "dkim.key-ed25519", Advice
		}
		if out[i].Code == "dkim.key-only-ed25519" {
			out[i].Code = "dkim.key-fine"
		}
	}
	return out
}

// key looks at one selector.
func (v *view) key(selector string) (f Finding, kind string) {
	w := v.witness()
	name := selector + "._domainkey." + string(v.domain)
	args := map[string]any{"Selector": selector, "Name": name}
	end := func(code string, s State) (Finding, string) {
		f := v.finding(DKIM, w, code, s, args)
		f.Subject = selector
		return f, kind
	}
	a := dns.TXT(v.ctx, w, name)
	switch {
	case a.Status == dns.TryLater:
		args["Why"] = reason(a.Err)
		return end("dkim.key-unknown", Unknown)
	case a.Status == dns.Nothing:
		return end("dkim.key-missing", Problem)
	case len(a.Records) > 1:
		args["Number"] = len(a.Records)
		return end("dkim.key-several", Problem)
	}
	key, err := dkim.ParsePublished(a.Records[0].Text)
	kind = key.Kind
	args["Bits"], args["Kind"] = key.Bits, strings.ToUpper(key.Kind)
	switch {
	case errors.Is(err, dkim.ErrRevoked):
		return end("dkim.key-revoked", Problem)
	case err != nil:
		args["Why"] = reason(err)
		return end("dkim.key-broken", Problem)
	case key.Kind == "rsa" && key.Bits < leastBits:
		return end("dkim.key-short", Problem)
	case key.Testing:
		return end("dkim.key-testing", Advice)
	case key.Kind == "rsa" && key.Bits < signerBits:
		return end("dkim.key-1024", Advice)
	case key.Kind == "ed25519":
		return end("dkim.key-only-ed25519", Fine)
	}
	return end("dkim.key-fine", Fine)
}
