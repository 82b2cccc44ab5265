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

// AddCredential makes a user name and a password of 160 random bits for a customer. Both use letters, digits
// and - only. The password is returned here and never again. Error: ErrNotFound for an unknown customer.
func (l *Ledger) AddCredential(ctx context.Context, customer, label string) (user, secret string, err error) {
	if len(label) > maxLabel || strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", "", fmt.Errorf("account: label: expected at most %d bytes on one line", maxLabel)
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
	c := Credential{User: user, Customer: customer, Hash: hash, Label: label, Created: micros(l.now())}
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
			all = append(all, c.shown())
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
	return found.shown(), true
}

// Authenticate is AuthenticateFrom for callers that have no client IP: failures count against the user only.
func (l *Ledger) Authenticate(ctx context.Context, user, secret string) (Credential, Customer, error) {
	return l.AuthenticateFrom(ctx, netip.Addr{}, user, secret)
}

// AuthenticateFrom checks a user name (in any case) and a password given by a client IP.
//
// Every refusal for want of the right pair is ErrDenied and costs the same, whether the user exists or not.
// ErrSuspended and the credential are returned only to who knows the password. Five failures of a user within
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
	return errors.Is(err, ErrDenied) || errors.Is(err, ErrSuspended) || errors.Is(err, ErrThrottled)
}
