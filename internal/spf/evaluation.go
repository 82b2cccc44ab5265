package spf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"

	"postern/internal/dns"
)

// evaluation is one run of the library: its resolver, and what it leaves behind.
// The library runs in the caller's goroutine, so no lock is needed.
type evaluation struct {
	resolver dns.Resolver
	ip       netip.Addr
	hello    string
	local    string
	domain   string

	queries   int
	records   map[string]string // SPF records seen, by domain in lower case
	terms     map[string]string // terms as the library got them -> as published
	anyExists bool              // one of the records holds the mechanism "exists"
	names     []string          // validated names of the client; nil: not asked yet
	trouble   error             // why the last question without an answer had none
	broken    error             // the syntax error that was met
	exhausted bool              // MaxQueries was reached

	open    []string // domains whose evaluation is running, outermost first
	decided decision
}

// decision is the term that ended the evaluation of a record.
type decision struct {
	domain string // whose record it stands in
	term   string // without its qualifier
	result Result
}

// ask puts one question, within the budget. A failure comes back in the shape that
// the library tells apart: not found, or temporary.
func (e *evaluation) ask(ctx context.Context, name string, query func(context.Context, dns.Resolver, string) dns.Answer) ([]dns.Record, error) {
	if e.queries++; e.queries > MaxQueries {
		e.exhausted = true
		return nil, ErrTooManyQueries
	}
	name = unshield.Replace(name)
	answer := query(ctx, e.resolver, name)
	switch answer.Status {
	case dns.Found:
		return answer.Records, nil
	case dns.Nothing:
		return nil, &net.DNSError{Err: "nothing found", Name: name, IsNotFound: true}
	}
	e.trouble = fmt.Errorf("spf: %s: no answer from the DNS", clip(name))
	if answer.Err != nil {
		e.trouble = fmt.Errorf("spf: %s: %w", clip(name), answer.Err)
	}
	return nil, &net.DNSError{Err: e.trouble.Error(), UnwrapErr: e.trouble, Name: name, IsTemporary: true}
}

// LookupTXT finds the SPF records of name. A single one is held against the grammar and
// prepared for the library.
func (e *evaluation) LookupTXT(ctx context.Context, name string) ([]string, error) {
	records, err := e.ask(ctx, name, dns.TXT)
	if err != nil {
		return nil, err
	}
	var policies []string
	for _, r := range records {
		if isRecord(r.Text) {
			policies = append(policies, r.Text)
		}
	}
	if len(policies) == 0 {
		return nil, nil
	}
	e.records[canonical(name)] = policies[0]
	if len(policies) > 1 {
		return policies, nil // the library says permerror
	}
	if err := checkSyntax(policies[0]); err != nil {
		e.broken = err
		return nil, err
	}
	e.anyExists = e.anyExists || strings.Contains(strings.ToLower(policies[0]), "exists:")
	return []string{e.prepare(ctx, policies[0], unshield.Replace(name))}, nil
}

// canonical is a domain as a key of evaluation.records.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isRecord reports whether a TXT record is an SPF record (RFC 7208 4.5).
func isRecord(text string) bool {
	const version = "v=spf1"
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) &&
		(len(text) == len(version) || text[len(version)] == ' ')
}

// LookupMX finds the mail exchangers of name.
func (e *evaluation) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	records, err := e.ask(ctx, name, dns.MX)
	if err != nil {
		return nil, err
	}
	var out []*net.MX
	for _, r := range records {
		out = append(out, &net.MX{Host: r.Host, Pref: r.Pref})
	}
	return out, nil
}

// LookupIPAddr finds the addresses of host of the family that is being checked
// (RFC 7208 5), and those of IPv4 too when "exists" may be asking (RFC 7208 5.7).
func (e *evaluation) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	if e.ip.Is4() {
		return e.addrs(ctx, host, dns.TypeA)
	}
	found, err := e.addrs(ctx, host, dns.TypeAAAA)
	if !e.anyExists {
		return found, err
	}
	four, err4 := e.addrs(ctx, host, dns.TypeA)
	if len(found)+len(four) > 0 {
		return append(found, four...), nil
	}
	var not *net.DNSError
	if errors.As(err, &not) && not.IsNotFound {
		err = err4
	}
	return nil, err
}

func (e *evaluation) addrs(ctx context.Context, host string, typ dns.Type) ([]net.IPAddr, error) {
	records, err := e.ask(ctx, host, func(ctx context.Context, r dns.Resolver, name string) dns.Answer {
		return r.Query(ctx, name, typ)
	})
	var out []net.IPAddr
	for _, r := range records {
		out = append(out, net.IPAddr{IP: r.IP.AsSlice()})
	}
	return out, err
}

// LookupAddr finds the names of an address in the reverse tree.
func (e *evaluation) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an address", Name: addr, IsNotFound: true}
	}
	records, err := e.ask(ctx, dns.ReverseName(ip), func(ctx context.Context, r dns.Resolver, name string) dns.Answer {
		return r.Query(ctx, name, dns.TypePTR)
	})
	var out []string
	for _, r := range records {
		out = append(out, r.Host)
	}
	return out, err
}

// trace follows the library from record to record. Its messages are no promise:
// should they change, Mechanism and Explanation stay empty and results are the same;
// the tests notice.
func (e *evaluation) trace(format string, args ...any) {
	switch format {
	case "check %q %d %d":
		domain, _ := args[0].(string)
		e.open = append(e.open, domain)
	case "all: %v":
		e.close("all", args[0])
	case "%q %v, %v": // a mechanism ended this record's evaluation
		e.close(args[0], args[1])
	case "dns record %q":
		if text, _ := args[0].(string); text == "" {
			e.leave()
		}
	case "fallback to neutral":
		e.decided = decision{}
		e.leave()
	case "%q: %v, %v", // a redirect: what the target decided stands
		"dns domain not found: %v", "dns temp error: %v", "multiple dns records", "dns perm error: %v",
		"too many redirects", "unknown field, permerror":
		e.leave()
	}
}

// close notes the term that ended the innermost record.
func (e *evaluation) close(term, result any) {
	var d decision
	d.term, _ = term.(string)
	if published, ok := e.terms[d.term]; ok {
		d.term = published
	}
	if r, ok := result.(spf.Result); ok {
		d.result = Result(r)
	}
	if n := len(e.open); n > 0 {
		d.domain = e.open[n-1]
	}
	e.decided = d
	e.leave()
}

func (e *evaluation) leave() {
	if n := len(e.open); n > 0 {
		e.open = e.open[:n-1]
	}
}

// mechanism returns the deciding term with its qualifier, empty when no term led
// to this result.
func (e *evaluation) mechanism(result Result) string {
	if e.decided.result != result {
		return ""
	}
	switch result {
	case Fail:
		return "-" + e.decided.term
	case SoftFail:
		return "~" + e.decided.term
	case Neutral:
		return "?" + e.decided.term
	}
	return e.decided.term
}
