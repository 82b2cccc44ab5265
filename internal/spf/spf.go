// Package spf says whether an address may send mail for a domain (RFC 7208).
package spf

import (
	"context"
	"net/netip"

	"postern/internal/dns"
	"postern/internal/mail"
)

// Result is an SPF result in RFC 7208 2.6's words.
type Result string

// The seven results of RFC 7208 2.6.
const (
	None      Result = "none"
	Neutral   Result = "neutral"
	Pass      Result = "pass"
	Fail      Result = "fail"
	SoftFail  Result = "softfail"
	TempError Result = "temperror"
	PermError Result = "permerror"
)

// Query is the question to Check.
type Query struct {
	IP          netip.Addr   // address the mail leaves from
	Hello       string       // name given in HELO or EHLO
	ReversePath mail.Address // null: postmaster@Hello is checked
	Identity    string       // "mailfrom" (default) or "helo"
}

// Outcome is the answer of Check.
type Outcome struct {
	Result      Result
	Domain      string // domain whose record was evaluated
	Record      string // the TXT found
	Explanation string
	Mechanism   string // what matched
	Err         error
}

// Check evaluates SPF for q.
func Check(ctx context.Context, r dns.Resolver, q Query) Outcome {
	return Outcome{Result: None}
}
