// Package dmarc finds the DMARC policy that applies to an author domain and says
// whether a message meets it (RFC 9989, May 2026).
//
// # Finding the policy
//
// [Lookup] asks for the record at the author domain; when there is none it walks up
// the DNS tree, one label at a time and never more than eight questions (names of
// more than eight labels jump to their last seven), finds the organizational domain
// and takes its record or else the one of the public suffix above it.
// [OrganizationalDomain] is the same walk for other purposes. When no record exists
// anywhere on the path, RFC 9989 calls the starting point itself the organizational
// domain; this package then falls back to the public suffix list, which says the
// same for almost every registered name and gives the more useful answer for names
// like mail.example.com of a domain without DMARC. The fallback cannot change an
// evaluation: without a record there is no policy to evaluate, and a domain whose path
// holds no record never shares an organizational domain with one whose path does.
//
// # Judging a message
//
// [Evaluate] takes the domain that passed SPF and those that passed DKIM, compares
// them with the author domain (relaxed or strict, as the policy says) and states the
// result and, in [Outcome].Applied, what the owner asks for after sp=, np= and t=.
//
// # Results
//
// "pass" and "fail"; "none" when no policy applies, which includes several records at
// one name and a record that RFC 9989 tells us to ignore; "temperror" when the DNS gave
// no answer at a point that could matter, which is never a fail; "permerror" when the
// author domain is no domain that could have a policy. A record without p= counts as
// p=none; so does one with a broken p=, sp= or np= when it asks for reports that could be
// delivered, and otherwise it takes its domain out of DMARC.
//
// # What it does not
//
// It sends and reads no reports (report does), checks no authorisation of report
// addresses, and does not act. filter calls Evaluate for each message, reputation calls
// Lookup for check-ups. Everything is safe for concurrent use; time is bounded by ctx.
package dmarc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern/internal/dns"
	"postern/internal/mail"
)

// The results of Evaluate (RFC 8601 2.7, RFC 9989 5).
const (
	Pass      = "pass"      // SPF or DKIM passed for an aligned domain
	Fail      = "fail"      // neither did
	None      = "none"      // no policy applies
	TempError = "temperror" // the DNS gave no answer; ask again later
	PermError = "permerror" // the author domain cannot have a policy
)

// The handling that a domain owner may ask for, as in p=, sp= and np=.
const (
	ActNone       = "none"
	ActQuarantine = "quarantine"
	ActReject     = "reject"
)

// Errors of Lookup; test with errors.Is.
var (
	// ErrSeveralRecords: more than one DMARC record at a name; all are ignored (RFC 9989 4.10).
	ErrSeveralRecords = errors.New("dmarc: several records")
	// ErrBadRecord: the record is unusable and asks for no reports; it is ignored (RFC 9989 4.7).
	ErrBadRecord = errors.New("dmarc: unusable record")
	// ErrBadDomain: the author domain is empty or an address.
	ErrBadDomain = errors.New("dmarc: not a domain with a policy")
)

// Policy is the policy that applies to an author domain.
type Policy struct {
	Found  bool
	Domain mail.Domain // where the record is, without "_dmarc."
	Record string      // as published
	// P, SP and NP are what is asked for the domain, its existing subdomains and
	// subdomains that do not exist. SP and NP are filled in from what they default to
	// (RFC 9989 4.7).
	P, SP, NP string
	// ADKIM and ASPF are 'r' (relaxed) or 's' (strict).
	ADKIM, ASPF byte
	Testing     bool     // t=y: each handling is to be applied one step milder
	RUA, RUF    []string // report addresses as URIs, as published; for evidence only
	FO          string   // fo= as published, "0" when absent
	PSD         byte     // psd=: 'y', 'n', or 'u' when not given
	// Organizational is the organizational domain of the author domain; empty when the
	// DNS gave no answer above the author domain's own record.
	Organizational mail.Domain
	// Warnings are what is wrong with the record although it can be used, one
	// English clause each: removed and misspelt tags, unusable addresses.
	Warnings []string
}

// Outcome is the answer of Evaluate.
type Outcome struct {
	Result                  string // one of Pass, Fail, None, TempError, PermError
	SPFAligned, DKIMAligned bool   // that mechanism passed for an aligned domain
	Policy                  Policy // as found; zero when none was
	// Applied is what the owner asks to be done with this message: ActReject,
	// ActQuarantine or ActNone; ActNone whenever Result is not Fail.
	Applied string
	Err     error // why the result is temperror or permerror, or why a record was ignored
}

// Lookup finds the policy that applies to mail from the author domain. The Status
// is that of the search: Found with a policy, Nothing without, TryLater when the DNS
// gave no answer at a point that could matter. With Nothing, a non-nil error says
// that there is a record and why it does not count (ErrSeveralRecords, ErrBadRecord),
// or ErrBadDomain; with TryLater it is the DNS's.
func Lookup(ctx context.Context, r dns.Resolver, from mail.Domain) (Policy, dns.Status, error) {
	if !hasPolicies(from) {
		return Policy{}, dns.Nothing, fmt.Errorf("%w: %q", ErrBadDomain, string(from))
	}
	w := walk(ctx, r, from)
	if w.status == dns.TryLater {
		if p, ok := w.at(from); ok {
			return p, dns.Found, nil
		}
		return Policy{}, dns.TryLater, w.err
	}
	if w.badStart {
		return Policy{}, dns.Nothing, w.err
	}
	org := w.organizational()
	for _, d := range []mail.Domain{from, org, w.suffix()} {
		if p, ok := w.at(d); ok {
			p.Organizational = org
			return p, dns.Found, nil
		}
	}
	return Policy{}, dns.Nothing, w.err
}

// OrganizationalDomain finds the organizational domain of d (RFC 9989 4.10.2). The
// Status is Found when records on the path decided it, Nothing when there are none and
// the public suffix list did, TryLater when the DNS gave no answer (the domain is then
// d itself and must not be relied on).
func OrganizationalDomain(ctx context.Context, r dns.Resolver, d mail.Domain) (mail.Domain, dns.Status) {
	if !hasPolicies(d) {
		return d, dns.Nothing
	}
	w := walk(ctx, r, d)
	switch {
	case w.status == dns.TryLater:
		return d, dns.TryLater
	case len(w.found) == 0:
		return w.organizational(), dns.Nothing
	}
	return w.organizational(), dns.Found
}

// Evaluate judges a message: from is the domain of its only author address, spfPass the
// domain that passed SPF ("" when none did), dkimPass the d= of the signatures that
// passed.
func Evaluate(ctx context.Context, r dns.Resolver, from mail.Domain, spfPass mail.Domain, dkimPass []mail.Domain) Outcome {
	out := Outcome{Applied: ActNone}
	policy, status, err := Lookup(ctx, r, from)
	out.Policy, out.Err = policy, err
	switch {
	case errors.Is(err, ErrBadDomain):
		out.Result = PermError
		return out
	case status == dns.TryLater:
		out.Result = TempError
		return out
	case status != dns.Found:
		out.Result = None
		return out
	}
	a := aligner{ctx: ctx, resolver: r, from: from, org: policy.Organizational}
	out.SPFAligned = spfPass != "" && a.aligned(spfPass, policy.ASPF)
	for i, d := range dkimPass {
		if i == maxIdentifiers {
			break
		}
		out.DKIMAligned = out.DKIMAligned || a.aligned(d, policy.ADKIM)
	}
	switch {
	case out.SPFAligned || out.DKIMAligned:
		out.Result = Pass
		return out
	case a.err != nil:
		out.Result, out.Err = TempError, a.err
		return out
	}
	out.Result = Fail
	handling, err := policy.handling(ctx, r, from)
	if err != nil {
		out.Result, out.Err = TempError, err
		return out
	}
	out.Applied = handling
	if policy.Testing {
		out.Applied = milder(handling)
	}
	return out
}

// maxIdentifiers bounds the signatures that are compared: as many as are verified.
const maxIdentifiers = 5

// aligner compares authenticated domains with the author domain.
type aligner struct {
	ctx       context.Context
	resolver  dns.Resolver
	from, org mail.Domain
	err       error // a comparison that the DNS left open
}

// aligned reports whether d is in alignment (RFC 9989 4.4): the same domain, or in
// relaxed mode one with the same organizational domain.
func (a *aligner) aligned(d mail.Domain, mode byte) bool {
	if d == a.from {
		return true
	}
	if mode != 's' && a.org == "" {
		a.err = fmt.Errorf("dmarc: organizational domain of %s: no answer from the DNS", a.from)
		return false
	}
	if mode == 's' || !within(d, a.org) {
		return false
	}
	org, status := OrganizationalDomain(a.ctx, a.resolver, d)
	if status == dns.TryLater {
		a.err = fmt.Errorf("dmarc: organizational domain of %s: no answer from the DNS", d)
		return false
	}
	return org == a.org
}

// handling is what p=, sp= or np= ask for mail of the author domain. The error is
// the DNS's when it does not say whether the domain exists and this matters.
func (p Policy) handling(ctx context.Context, r dns.Resolver, from mail.Domain) (string, error) {
	if from == p.Domain {
		return p.P, nil
	}
	if p.NP == p.SP {
		return p.SP, nil
	}
	// A name does not exist when the answer to any question about it is NXDOMAIN
	// (RFC 9989 3.2, RFC 8020).
	switch a := r.Query(ctx, string(from), dns.TypeA); {
	case a.Status == dns.TryLater:
		return "", fmt.Errorf("dmarc: whether %s exists: %w", from, a.Err)
	case a.Status == dns.Nothing && a.NXDomain:
		return p.NP, nil
	}
	return p.SP, nil
}

// milder is one step below a handling, as t=y asks (RFC 9989 4.7).
func milder(handling string) string {
	if handling == ActReject {
		return ActQuarantine
	}
	return ActNone
}

// hasPolicies reports whether a policy is possible for d: a name, not an address.
func hasPolicies(d mail.Domain) bool {
	_, literal := d.Literal()
	return d != "" && !literal && !strings.HasPrefix(string(d), "[")
}

// within reports whether d is parent or lies below it.
func within(d, parent mail.Domain) bool {
	return d == parent || strings.HasSuffix(string(d), "."+string(parent))
}

// listed is the organizational domain by the public suffix list; d when the list
// has none.
func listed(d mail.Domain) mail.Domain {
	org, err := publicsuffix.EffectiveTLDPlusOne(string(d))
	if err != nil {
		return d
	}
	return mail.Domain(org)
}
