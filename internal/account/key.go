package account

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Algorithms of DKIM keys (RFC 6376 3.3, RFC 8463).
const (
	RSA     = "rsa-sha256"
	Ed25519 = "ed25519-sha256"
)

// KeyRecord is one DKIM signing key. Its string form leaves the private key out, so that a record may be logged.
type KeyRecord struct {
	Domain    mail.Domain // d=
	Selector  string      // s=
	Algorithm string      // RSA or Ed25519
	PEM       []byte      // the private key, PKCS #8 (or PKCS #1 for RSA)
	Created   time.Time   // UTC; zero in AddKey: now
	Active    bool        // signs; false before its record is published and after it is retired
}

// String names the key without the secret.
func (k KeyRecord) String() string {
	return fmt.Sprintf("%s key %s._domainkey.%s", k.Algorithm, k.Selector, k.Domain)
}

// GoString is String, for %#v.
func (k KeyRecord) GoString() string { return k.String() }

var selectorForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// Validate returns every fault of k, or nil. The key material is parsed and must fit the algorithm; RSA has 1024 to 4096 bits
// (RFC 8301 3.2 and what receivers verify).
func (k KeyRecord) Validate() error {
	var faults []error
	if err := CheckDomain(k.Domain); err != nil {
		faults = append(faults, fmt.Errorf("domain: %w", err))
	}
	if len(k.Selector) > 63 || !selectorForm.MatchString(k.Selector) {
		faults = append(faults, fmt.Errorf("selector: %q; expected lower-case letters, digits, - and . in at most 63", k.Selector))
	}
	if err := k.checkMaterial(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// checkMaterial never quotes what it reads: it is secret.
func (k KeyRecord) checkMaterial() error {
	block, rest := pem.Decode(k.PEM)
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return errors.New("key: expected exactly one PEM block")
	}
	var key any
	var err error
	if block.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return errors.New("key: the PEM block is not a private key in PKCS #8 or PKCS #1 form")
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < 1024 || bits > 4096 {
			return fmt.Errorf("key: RSA of %d bits; expected 1024 to 4096", bits)
		}
		if k.Algorithm != RSA {
			return fmt.Errorf("algorithm: %q, but the key is RSA; expected %s", k.Algorithm, RSA)
		}
	case ed25519.PrivateKey:
		if k.Algorithm != Ed25519 {
			return fmt.Errorf("algorithm: %q, but the key is Ed25519; expected %s", k.Algorithm, Ed25519)
		}
	default:
		return fmt.Errorf("key: kind %T; expected RSA or Ed25519", key)
	}
	return nil
}

// AddKey stores a signing key. Domain and selector together are given once for ever, because receivers may
// still verify with what was published under them: otherwise ErrTaken.
func (l *Ledger) AddKey(ctx context.Context, k KeyRecord) error {
	if k.Created.IsZero() {
		k.Created = l.now()
	}
	k.Created = micros(k.Created)
	if err := k.Validate(); err != nil {
		return fmt.Errorf("account: DKIM key: %w", err)
	}
	return l.write(ctx, func(t *store.Tx) error {
		err := insertKey(t, k)
		if errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("%w: selector %s of %s has a key already; choose another selector", ErrTaken, k.Selector, k.Domain)
		}
		return err
	})
}

// Keys returns all keys sorted by domain, then selector.
func (l *Ledger) Keys() []KeyRecord {
	var all []KeyRecord
	for _, keys := range l.state.Load().keys {
		all = append(all, keys...)
	}
	slices.SortFunc(all, func(a, b KeyRecord) int {
		if c := strings.Compare(string(a.Domain), string(b.Domain)); c != 0 {
			return c
		}
		return strings.Compare(a.Selector, b.Selector)
	})
	return all
}

// ActivateKey lets a key sign. Error: ErrNotFound.
func (l *Ledger) ActivateKey(ctx context.Context, d mail.Domain, selector string) error {
	return l.write(ctx, func(t *store.Tx) error { return setKeyActive(t, d, selector, true) })
}

// RetireKey ends a key's use for signing; it stays listed while its record is published. Error: ErrNotFound.
func (l *Ledger) RetireKey(ctx context.Context, d mail.Domain, selector string) error {
	return l.write(ctx, func(t *store.Tx) error { return setKeyActive(t, d, selector, false) })
}

// SigningKeysFor returns the keys that sign d for a customer: SigningKeys, but none when the domain is another customer's. Who may
// write in any name (Customer.AnyFrom) still gets nobody else's signature (CERT VU#244112).
func (l *Ledger) SigningKeysFor(customer string, d mail.Domain) []KeyRecord {
	if owner, ok := l.Owner(d); ok && owner.ID != customer {
		return nil
	}
	return l.SigningKeys(d)
}

// SigningKeys returns the newest active key of each algorithm of d, or of its closest parent that has any:
// Ed25519, then RSA. None: nil.
func (l *Ledger) SigningKeys(d mail.Domain) []KeyRecord {
	s := l.state.Load()
	for name := range lineage(d) {
		var chosen []KeyRecord
		for _, algorithm := range []string{Ed25519, RSA} {
			newest := slices.IndexFunc(s.keys[name], func(k KeyRecord) bool { return k.Active && k.Algorithm == algorithm })
			if newest >= 0 {
				chosen = append(chosen, s.keys[name][newest])
			}
		}
		if len(chosen) > 0 {
			return chosen
		}
	}
	return nil
}
