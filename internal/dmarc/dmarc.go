// Package dmarc finds and applies a domain's DMARC policy (RFC 9989).
package dmarc

import (
	"context"

	"postern/internal/dns"
	"postern/internal/mail"
)

// Policy is a DMARC policy record.
type Policy struct {
	Found       bool
	Domain      mail.Domain // where found
	Record      string
	P, SP, NP   string
	ADKIM, ASPF byte
	Testing     bool
	RUA         []string
}

// Outcome is the answer of Evaluate.
type Outcome struct {
	Result                  string // "pass","fail","none","temperror","permerror"
	SPFAligned, DKIMAligned bool
	Policy                  Policy
	Applied                 string // "none","quarantine","reject"
}

// Lookup finds the policy for a domain.
func Lookup(ctx context.Context, r dns.Resolver, from mail.Domain) (Policy, dns.Status, error) {
	return Policy{}, dns.Nothing, nil
}

// OrganizationalDomain finds the organizational domain of d.
func OrganizationalDomain(ctx context.Context, r dns.Resolver, d mail.Domain) (mail.Domain, dns.Status) {
	return d, dns.Nothing
}

// Evaluate applies the policy to authentication results.
func Evaluate(ctx context.Context, r dns.Resolver, from mail.Domain, spfPass mail.Domain, dkimPass []mail.Domain) Outcome {
	return Outcome{Result: "none"}
}
