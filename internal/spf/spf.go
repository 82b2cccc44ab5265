// Package spf says whether an address may send mail in the name of a domain
// (Sender Policy Framework, RFC 7208).
//
// It lays blitiri.com.ar/go/spf over the house's resolver and adds what evidence
// needs: the record that was read, the mechanism that decided, and the text that
// the domain's owner wrote for a refusal (exp=). It refuses records with a syntax
// error anywhere, as RFC 7208 4.6 wants, and not only where evaluation happens to
// arrive. Macros are expanded here before the library sees a record: it does not know
// the client's validated name (%{p}), does not shorten names that come out too long,
// and takes a slash inside a name for a prefix length. With these mended, every case of
// RFC 7208's test suite gives the answer and the explanation that the suite expects.
//
// # What it does not
//
// It does not know which address our mail leaves from: the caller asks for the
// egress address to see mail as its receiver will. It does not act on a result and
// does not cache; the resolver does.
//
// # Outcomes
//
// The seven results of RFC 7208 2.6, as values. Trouble in the DNS is "temperror" and
// never "fail" or "none"; a wrong record is "permerror". Outcome.Err says why for
// none, temperror and permerror.
//
// # Limits
//
// Ten terms that look something up and two void lookups (RFC 7208 4.6.4), together
// with [MaxQueries] questions to the DNS and [Timeout] for the whole evaluation. The
// standard alone would allow a record to cause more than a hundred questions; one that
// needs more than ours is a permerror here.
//
// Check is called by filter for each message and by reputation for check-ups; it is
// safe for concurrent use.
package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"

	"postern/internal/dns"
	"postern/internal/mail"
)

// Result is an SPF result in the words of RFC 7208 2.6.
type Result string

// The seven results.
const (
	None      Result = "none"      // no record, or no domain to ask about
	Neutral   Result = "neutral"   // the owner says nothing about this address
	Pass      Result = "pass"      // the address may send
	Fail      Result = "fail"      // the address may not send
	SoftFail  Result = "softfail"  // the address probably may not send
	TempError Result = "temperror" // the DNS gave no answer; ask again later
	PermError Result = "permerror" // the record cannot be used
)

const (
	// Timeout bounds one evaluation as a whole (RFC 7208 4.6.4 wants at least 20 s).
	Timeout = 20 * time.Second
	// MaxQueries is how many questions one evaluation may put to the DNS.
	MaxQueries = 30

	maxLookups     = 10 // RFC 7208 4.6.4
	maxVoidLookups = 2  // RFC 7208 4.6.4
)

// Names for Query.Identity.
const (
	MailFrom = "mailfrom" // the reverse path; postmaster@Hello when it is null (RFC 7208 2.4)
	Hello    = "helo"     // the name given in HELO or EHLO (RFC 7208 2.3)
)

// Errors in Outcome.Err beside those of the DNS; test with errors.Is.
var (
	// ErrNoDomain: the identity is no domain that could have a record (RFC 7208 4.3).
	ErrNoDomain = errors.New("spf: no domain to ask about")
	// ErrNoRecord: the domain publishes no SPF record.
	ErrNoRecord = errors.New("spf: no record")
	// ErrTooManyQueries: the evaluation needs more than MaxQueries questions.
	ErrTooManyQueries = errors.New("spf: too many DNS queries")
	// ErrSyntax: the record breaks the grammar of RFC 7208 12.
	ErrSyntax = errors.New("spf: syntax error")
	// ErrNoAddress: Query.IP is not an address.
	ErrNoAddress = errors.New("spf: no address to check")
)

// Query is the question: may IP send for this identity?
type Query struct {
	IP          netip.Addr   // address the mail comes from, as the receiver sees it
	Hello       string       // name given in HELO or EHLO
	ReversePath mail.Address // MAIL FROM; null: postmaster@Hello
	Identity    string       // MailFrom (also when empty) or Hello
}

// Outcome is the answer with its evidence.
type Outcome struct {
	Result      Result
	Domain      string // domain whose record was asked for, lower case
	Record      string // its SPF record as published; empty when there is none or it is not known
	Explanation string // with Fail: the text of exp=, printable ASCII from a stranger; mostly empty
	Mechanism   string // term that decided, as "-all" or "include:example.net"; empty when none did
	Err         error  // why the result is none, temperror or permerror; nil otherwise
}

// Check evaluates the identity's record against the address (check_host, RFC 7208
// 4). It returns within Timeout and earlier when ctx ends, then with TempError.
func Check(ctx context.Context, r dns.Resolver, q Query) Outcome {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	local, domain := q.identity()
	out := Outcome{Result: None, Domain: domain}
	ip := q.IP.Unmap().WithZone("")
	if !ip.IsValid() {
		out.Result, out.Err = PermError, ErrNoAddress
		return out
	}
	if !askable(domain) {
		out.Err = ErrNoDomain
		return out
	}
	e := &evaluation{resolver: r, ip: ip, hello: q.Hello, local: local, domain: domain, records: make(map[string]string), terms: make(map[string]string)}
	result, err := spf.CheckHostWithSender(ip.AsSlice(), q.Hello, local+"@"+domain,
		spf.WithContext(ctx), spf.WithResolver(e), spf.WithTraceFunc(e.trace),
		spf.OverrideLookupLimit(maxLookups), spf.OverrideVoidLookupLimit(maxVoidLookups))
	out.Result = Result(result)
	out.Record = e.records[domain]
	out.Mechanism = e.mechanism(out.Result)
	switch {
	case e.exhausted:
		out.Result, out.Mechanism, out.Err = PermError, "", ErrTooManyQueries
	case out.Result == None:
		out.Err = ErrNoRecord
	case out.Result == TempError && e.trouble != nil:
		out.Err = e.trouble
	case out.Result == PermError && e.broken != nil:
		out.Err = e.broken
	case out.Result == TempError || out.Result == PermError:
		out.Err = fmt.Errorf("spf: %w", err)
	}
	if out.Result == Fail {
		out.Explanation = e.explanation(ctx)
	}
	return out
}

// identity returns the local part and the domain to check. An at sign inside a
// quoted local part is written %40, because the sender is evaluated as one string.
func (q Query) identity() (local, domain string) {
	local, domain = "postmaster", q.Hello
	if q.Identity != Hello && !q.ReversePath.IsNull() {
		domain = string(q.ReversePath.Domain)
		if q.ReversePath.Local != "" {
			local = strings.ReplaceAll(q.ReversePath.Local, "@", "%40")
		}
	}
	return local, strings.ToLower(strings.TrimSuffix(domain, "."))
}

// askable reports whether a record for domain is possible: a name of several labels
// within the DNS's lengths, and no address (RFC 7208 4.3).
func askable(domain string) bool {
	if len(domain) > 253 || !strings.Contains(domain, ".") || strings.HasPrefix(domain, "[") {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	_, err := netip.ParseAddr(domain)
	return err != nil
}
