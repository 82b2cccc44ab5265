package account

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/password"
	"postern/internal/store"
)

// rememberFor is how long a password found right is not computed again.
const rememberFor = 5 * time.Minute

// Bounds of what is looked at when somebody logs in. Generated names and passwords are far below.
const (
	maxUser     = 128
	maxPassword = 256
)

// maxLabel bounds a credential's label, in bytes.
const maxLabel = 200

// Credential is what authenticates a submission.
type Credential struct {
	User     string    // generated: the customer's id, - and eight letters or digits; lower-case
	Customer string    // id
	Hash     string    // argon2id in PHC form; empty in what the ledger hands out
	Created  time.Time // UTC
	Revoked  bool      // no longer valid; kept so that the journal's user names stay explained
	Label    string    // for people: what uses it

	Limits   Limits         // what it may send at most
	Networks []netip.Prefix // client networks it is taken from; none: from anywhere
	LastUsed time.Time      // UTC, when it last brought mail; zero: never
	LastIP   netip.Addr     // ... and from where
}

// Limits are the most that a credential sends in any hour and any 24 hours, to a slot (window.go); 0: no limit.
type Limits struct {
	MessagesHour  int
	MessagesDay   int
	RecipientsDay int
}

// CredentialSettings are what may be changed of a credential.
type CredentialSettings struct {
	Label    string
	Limits   Limits
	Networks []netip.Prefix
}

// Bounds of a credential's settings.
const (
	maxLimit              = 1_000_000_000
	maxCredentialNetworks = 100
)

// Validate returns every fault of s, or nil.
func (s CredentialSettings) Validate() error {
	var faults []error
	if len(s.Label) > maxLabel || strings.ContainsFunc(s.Label, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		faults = append(faults, fmt.Errorf("label: expected at most %d bytes on one line", maxLabel))
	}
	for _, x := range []struct {
		name string
		most int
	}{{"messages per hour", s.Limits.MessagesHour}, {"messages per day", s.Limits.MessagesDay}, {"recipients per day", s.Limits.RecipientsDay}} {
		if x.most < 0 || x.most > maxLimit {
			faults = append(faults, fmt.Errorf("%s: %d; expected 0 (no limit) to %d", x.name, x.most, maxLimit))
		}
	}
	if len(s.Networks) > maxCredentialNetworks {
		faults = append(faults, fmt.Errorf("networks: more than %d", maxCredentialNetworks))
	}
	for _, n := range s.Networks {
		if !n.IsValid() || n != n.Masked() || n.Addr().Is4In6() {
			faults = append(faults, fmt.Errorf("networks: %s is no network; expected an address and a length like 192.0.2.0/24 or 2001:db8::/32", n))
		}
	}
	return errors.Join(faults...)
}

// From reports whether the credential is taken from a client IP; one without an address is taken only where no networks are named.
func (c Credential) From(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return len(c.Networks) == 0 || slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

// String leaves the hash out, so that a credential may be logged.
func (c Credential) String() string {
	return fmt.Sprintf("credential %s of %s", c.User, c.Customer)
}

// GoString is String, for %#v.
func (c Credential) GoString() string { return c.String() }

// shown is the credential as handed out.
func (c Credential) shown() Credential {
	c.Hash = ""
	return c
}

// alphabet has neither 0, 1 nor 8: what a person may have to type must not be mistaken. 5 bits a letter.
var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func randomText(bytes int) (string, error) {
	b := make([]byte, bytes)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("account: random bytes: %w", err)
	}
	return alphabet.EncodeToString(b), nil
}

// AddCredential is MakeCredential without limits.
func (l *Ledger) AddCredential(ctx context.Context, customer, label string) (user, secret string, err error) {
	return l.MakeCredential(ctx, customer, CredentialSettings{Label: label})
}

// MakeCredential makes a user name and a password of 160 random bits for a customer. Both use letters, digits
// and - only. The password is returned here and never again. Error: ErrNotFound for an unknown customer.
func (l *Ledger) MakeCredential(ctx context.Context, customer string, settings CredentialSettings) (user, secret string, err error) {
	if err := settings.Validate(); err != nil {
		return "", "", fmt.Errorf("account: %w", err)
	}
	suffix, err := randomText(5)
	if err != nil {
		return "", "", err
	}
	if secret, err = randomText(20); err != nil {
		return "", "", err
	}
	hash, err := l.gate.Hash(ctx, secret, password.Standard())
	if err != nil {
		return "", "", err
	}
	user = customer + "-" + suffix
	c := Credential{User: user, Customer: customer, Hash: hash, Label: settings.Label, Limits: settings.Limits, Networks: settings.Networks, Created: micros(l.now())}
	err = l.write(ctx, func(t *store.Tx) error {
		owner, err := findCustomer(t, customer)
		if err != nil {
			return err
		}
		if owner.gone {
			return fmt.Errorf("%w: customer %s", ErrNotFound, customer)
		}
		return insertCredential(t, c)
	})
	if err != nil {
		return "", "", err
	}
	return user, secret, nil
}

// UpdateCredential changes what may be changed; its limits count at once. Error: ErrNotFound.
func (l *Ledger) UpdateCredential(ctx context.Context, user string, settings CredentialSettings) error {
	if err := settings.Validate(); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	return l.write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`UPDATE account_credential SET label = ?, messages_hour = ?, messages_day = ?, recipients_day = ?, networks = ? WHERE name = ?`,
			settings.Label, settings.Limits.MessagesHour, settings.Limits.MessagesDay, settings.Limits.RecipientsDay, networksText(settings.Networks), user)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: credential %s", ErrNotFound, user)
		}
		return err
	})
}

// RevokeCredential ends a credential at once. Revoking twice is no error. Error: ErrNotFound.
func (l *Ledger) RevokeCredential(ctx context.Context, user string) error {
	return l.write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`UPDATE account_credential SET revoked = ? WHERE name = ?`, true, user)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: credential %s", ErrNotFound, user)
		}
		return err
	})
}

// Credentials returns a customer's credentials, revoked ones too, sorted by user. Hashes are left out.
func (l *Ledger) Credentials(customer string) []Credential {
	var all []Credential
	for _, c := range l.state.Load().credentials {
		if c.Customer == customer {
			all = append(all, l.lastUse(c.shown()))
		}
	}
	slices.SortFunc(all, func(a, b Credential) int { return strings.Compare(a.User, b.User) })
	return all
}

// Credential returns one credential, also a revoked one, without its hash; ok is false when no user has that name.
func (l *Ledger) Credential(user string) (c Credential, ok bool) {
	found := l.state.Load().credentials[user]
	if found == nil {
		return Credential{}, false
	}
	return l.lastUse(found.shown()), true
}

// Authenticate is AuthenticateFrom for callers that have no client IP: failures count against the user only.
func (l *Ledger) Authenticate(ctx context.Context, user, secret string) (Credential, Customer, error) {
	return l.AuthenticateFrom(ctx, netip.Addr{}, user, secret)
}

// AuthenticateFrom checks a user name (in any case) and a password given by a client IP.
//
// Every refusal for want of the right pair is ErrDenied and costs the same, whether the user exists or not.
// ErrSuspended or ErrElsewhere, and the credential, are returned only to who knows the password. Five failures of a user within
// 15 minutes, or twenty of a client IP, bring ErrThrottled for a minute, doubling with each further one up to
// four hours; a client IP that authenticated this user in the last 24 hours is not stopped by the failures of others.
// A context that ends while waiting for a turn returns its error.
//
// A password found right is remembered for five minutes as an HMAC under a key that lives in this process
// only, and forgotten when the stored hash changes: argon2 per message would cost more than the message.
func (l *Ledger) AuthenticateFrom(ctx context.Context, ip netip.Addr, user, secret string) (Credential, Customer, error) {
	user = strings.ToLower(user)
	if len(user) > maxUser || len(secret) > maxPassword {
		user, secret = "", ""
	}
	s := l.state.Load()
	var stored string
	credential := s.credentials[user]
	if credential != nil && !credential.Revoked {
		stored = credential.Hash
	}
	switch err := l.gate.Check(ctx, password.Attempt{User: user, Password: secret, Stored: stored, IP: ip}, l.now); {
	case errors.Is(err, password.ErrThrottled):
		return Credential{}, Customer{}, ErrThrottled
	case errors.Is(err, password.ErrDenied):
		return Credential{}, Customer{}, ErrDenied
	case err != nil:
		return Credential{}, Customer{}, err
	}
	if !credential.From(ip) {
		return credential.shown(), Customer{}, ErrElsewhere
	}
	l.gate.Succeeded(user, ip, l.now())
	customer, ok := s.customers[credential.Customer]
	switch {
	case !ok:
		return Credential{}, Customer{}, ErrDenied
	case customer.Suspended:
		return credential.shown(), *customer, ErrSuspended
	}
	return credential.shown(), *customer, nil
}

// IsRefusal reports whether err is an answer about the login itself rather than a failure to find it out.
func IsRefusal(err error) bool {
	return errors.Is(err, ErrDenied) || errors.Is(err, ErrSuspended) || errors.Is(err, ErrThrottled) || errors.Is(err, ErrElsewhere)
}
