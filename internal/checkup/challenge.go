package checkup

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/mail"
)

// challengeLabel is where the record that proves a domain stands, below it.
const challengeLabel = "_postern-challenge"

// challengePrefix begins the record's value.
const challengePrefix = "postern-domain="

// Challenge is the record that proves to this gateway that a customer controls a domain. It is the same whenever it is asked for, and another
// for every customer and domain.
func (a *Advisor) Challenge(customer string, domain mail.Domain) Record {
	mac := hmac.New(sha256.New, a.o.Secret)
	fmt.Fprintf(mac, "domain challenge %d:%s %d:%s", len(customer), customer, len(domain), string(domain)) // lengths: no two pairs read the same
	value := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:20]))
	return Record{Name: challengeLabel + "." + string(domain), Type: "TXT", Value: challengePrefix + value, TTL: 300}
}

// CheckName says why a customer cannot have a domain whatever its DNS says, or nil: no domain, an address, a public suffix, also one that a
// company lends names below.
func CheckName(d mail.Domain) error {
	if err := account.CheckDomain(d); err != nil {
		return err
	}
	if suffix, _ := publicsuffix.PublicSuffix(string(d)); suffix == string(d) {
		return fmt.Errorf("%s is a public suffix: what is below it belongs to others", d)
	}
	if len(challengeLabel)+1+len(d) > 253 {
		return fmt.Errorf("%s is too long for the name of its challenge", d)
	}
	return nil
}

// Prove looks whether the record of Challenge is published. nil: the customer controls the domain. Errors: ErrUnproved, ErrNoAnswer; the
// question says what was found.
func (a *Advisor) Prove(ctx context.Context, customer string, domain mail.Domain) (Question, error) {
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	want := a.Challenge(customer, domain)
	answer := dns.TXT(ctx, a.o.Resolver, want.Name)
	q := question(asked{want.Name, dns.TypeTXT}, answer)
	if answer.Status == dns.TryLater {
		return q, fmt.Errorf("%w: %s", ErrNoAnswer, reason(answer.Err))
	}
	for _, r := range answer.Records {
		if hmac.Equal([]byte(strings.TrimSpace(r.Text)), []byte(want.Value)) {
			return q, nil
		}
	}
	return q, fmt.Errorf("%w: %s", ErrUnproved, want.Name)
}

// Terms are the SPF terms that let a customer's mail pass: the operator's include, or each address. None: the addresses are not known.
func (a *Advisor) Terms(c account.Customer) []string {
	if a.o.SPFInclude != "" {
		return []string{"include:" + a.o.SPFInclude}
	}
	l := &look{Advisor: a, egress: a.egressOf(c)}
	return l.addressTerms()
}
