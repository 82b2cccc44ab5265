package dmarc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postern/internal/dns"
	"postern/internal/mail"
)

// maxQueries bounds a tree walk (RFC 9989 4.10): the starting point and at most
// seven names above it.
const maxQueries = 8

// treeWalk is what a walk up the tree found.
type treeWalk struct {
	start  mail.Domain
	found  []Policy // usable records, from the longest name to the shortest
	status dns.Status
	err    error // TryLater: why; otherwise why a record on the path does not count

	badStart bool // the record at start is unusable
}

// walk asks for the DMARC records at start and above it (RFC 9989 4.10). It ends
// early at a record with psd=n or psd=y. A name that the DNS does not answer ends
// it with TryLater: what lies above could only be taken by guessing.
func walk(ctx context.Context, r dns.Resolver, start mail.Domain) treeWalk {
	w := treeWalk{start: start, status: dns.Nothing}
	for _, d := range path(start) {
		answer := dns.TXT(ctx, r, "_dmarc."+string(d))
		if answer.Status == dns.TryLater {
			w.status = dns.TryLater
			w.err = fmt.Errorf("dmarc: _dmarc.%s: %w", d, answer.Err)
			return w
		}
		policy, err := choose(answer.Records)
		if err != nil && w.err == nil {
			w.err = fmt.Errorf("%w (_dmarc.%s)", err, d)
			w.badStart = d == start && errors.Is(err, ErrBadRecord)
		}
		if !policy.Found {
			continue
		}
		policy.Domain = d
		w.found = append(w.found, policy)
		w.status = dns.Found
		if policy.PSD != 'u' {
			break
		}
	}
	return w
}

// path returns the names to ask, longest first: start, then with more than eight
// labels its last seven, then one label less each time down to one.
func path(start mail.Domain) []mail.Domain {
	out := []mail.Domain{start}
	labels := strings.Split(string(start), ".")
	next := len(labels) - 1
	if next >= maxQueries {
		next = maxQueries - 1
	}
	for ; next > 0; next-- {
		out = append(out, mail.Domain(strings.Join(labels[len(labels)-next:], ".")))
	}
	return out
}

// choose picks the DMARC record among the TXT records of one name.
func choose(records []dns.Record) (Policy, error) {
	var policies []string
	for _, r := range records {
		if isRecord(r.Text) {
			policies = append(policies, r.Text)
		}
	}
	switch len(policies) {
	case 0:
		return Policy{}, nil
	case 1:
		return ParseRecord(policies[0])
	}
	return Policy{}, ErrSeveralRecords
}

// organizational selects the organizational domain (RFC 9989 4.10.2).
func (w treeWalk) organizational() mail.Domain {
	for _, p := range w.found {
		if p.PSD == 'n' {
			return p.Domain
		}
		if p.PSD == 'y' && p.Domain != w.start {
			return below(w.start, p.Domain)
		}
	}
	if n := len(w.found); n > 0 {
		return w.found[n-1].Domain
	}
	return listed(w.start)
}

// suffix is the public suffix above the organizational domain, when it says of
// itself that it is one.
func (w treeWalk) suffix() mail.Domain {
	for _, p := range w.found {
		if p.PSD == 'y' {
			return p.Domain
		}
	}
	return ""
}

// at returns the record found at d.
func (w treeWalk) at(d mail.Domain) (Policy, bool) {
	for _, p := range w.found {
		if p.Domain == d {
			return p, true
		}
	}
	return Policy{}, false
}

// below returns the name one label below parent on the way to d.
func below(d, parent mail.Domain) mail.Domain {
	head := strings.TrimSuffix(string(d), "."+string(parent))
	return mail.Domain(head[strings.LastIndexByte(head, '.')+1:] + "." + string(parent))
}
