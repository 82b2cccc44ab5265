package user

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/store"
)

// secretBytes is what a session, link or token is guessed from: nothing that guessing reaches.
const secretBytes = 32

// maxSecret bounds what is looked at of a secret that comes from outside, in bytes.
const maxSecret = 128

// letters has neither 0, 1 nor 8: what a person may have to type must not be mistaken. 5 bits a letter.
var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newID returns 80 random bits as 16 letters and digits.
func newID() (string, error) {
	b, err := random(10)
	return letters.EncodeToString(b), err
}

func random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("user: random bytes: %w", err)
	}
	return b, nil
}

// newSecret returns 256 random bits as text that fits cookies and paths, and what is stored of them.
func newSecret() (secret string, hash []byte, err error) {
	b, err := random(secretBytes)
	if err != nil {
		return "", nil, err
	}
	secret = base64.RawURLEncoding.EncodeToString(b)
	return secret, digest(secret), nil
}

// readSecret returns the hash of a secret as newSecret writes them; ok is false for anything else.
func readSecret(s string) (hash []byte, ok bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return nil, false
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(s); err != nil || len(b) != secretBytes {
		return nil, false
	}
	return digest(s), true
}

// digest is SHA-256: enough for what carries 256 random bits, or is short-lived and counted.
func digest(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return sum[:]
}

// same compares what is stored with what came, in time that tells nothing.
func same(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// The kinds of what may be used once.
const (
	onceInvite   = "invite"
	onceReset    = "reset"
	onceSetup    = "setup"    // the first operator makes himself
	onceSecond   = "second"   // a sign-in whose password was right
	onceTOTP     = "totp"     // a key of one-time codes that is not confirmed
	onceRegister = "register" // a passkey is being made
	oncePasskey  = "passkey"  // a passkey is being asked
)

// once is a secret that may be used once, until it ends.
type once struct {
	kind    string
	person  string
	created time.Time
	ends    time.Time
	tries   int
	data    []byte
}

// putOnce stores it and returns the secret. Expired ones of everybody leave by sweep.
func (l *Ledger) putOnce(t *store.Tx, o once, hash []byte) error {
	_, err := t.Exec(`INSERT INTO user_once (hash, kind, person, created, ends, tries, data) VALUES (?,?,?,?,?,?,?)`,
		hash, o.kind, o.person, o.created, o.ends, o.tries, o.data)
	return err
}

// makeOnce is putOnce in a transaction of its own.
func (l *Ledger) makeOnce(ctx context.Context, o once) (secret string, err error) {
	secret, hash, err := newSecret()
	if err != nil {
		return "", err
	}
	return secret, l.o.DB.Write(ctx, func(t *store.Tx) error { return l.putOnce(t, o, hash) })
}

// findOnce returns what a secret stands for. ErrDenied: it never was, was used, or has ended.
func (l *Ledger) findOnce(t *store.Tx, secret string, kinds ...string) (once, error) {
	hash, ok := readSecret(secret)
	if !ok {
		return once{}, ErrDenied
	}
	var o once
	var stored []byte
	err := t.QueryRow(`SELECT hash, kind, person, created, ends, tries, data FROM user_once WHERE hash = ?`, hash).
		Scan(&stored, &o.kind, &o.person, &o.created, &o.ends, &o.tries, &o.data)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return once{}, ErrDenied
	case err != nil:
		return once{}, err
	case !same(stored, hash) || !l.now().Before(o.ends):
		return once{}, ErrDenied
	}
	for _, k := range kinds {
		if o.kind == k {
			return o, nil
		}
	}
	return once{}, ErrDenied
}

// takeOnce is findOnce, and nobody finds it again. Of two who come at once, one gets it.
func (l *Ledger) takeOnce(t *store.Tx, secret string, kinds ...string) (once, error) {
	o, err := l.findOnce(t, secret, kinds...)
	if err != nil {
		return once{}, err
	}
	n, err := t.Exec(`DELETE FROM user_once WHERE hash = ?`, digest(secret))
	if err == nil && n == 0 {
		err = ErrDenied
	}
	return o, err
}
