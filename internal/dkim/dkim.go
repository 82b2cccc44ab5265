// Package dkim signs and verifies mail (RFC 6376, RFC 8463).
package dkim

import (
	"context"
	"crypto"
	"errors"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
)

// Signature is what became of one DKIM-Signature field.
type Signature struct {
	Domain     mail.Domain
	Selector   string
	Identity   string // i=
	Status     string // "pass","fail","permerror","temperror","policy"
	Reason     string
	KeyBits    int
	Algorithm  string
	Headers    []string
	BodyLength int64 // l=, -1 none
	Expired    bool
	Testing    bool // t=y in the key record
}

// Key is a signing key.
type Key struct {
	Domain    mail.Domain
	Selector  string
	Algorithm string // "rsa-sha256" | "ed25519-sha256"
	Private   crypto.Signer
}

var errSkeleton = errors.New("dkim: not available")

// Verify checks the signatures of a message.
func Verify(ctx context.Context, r dns.Resolver, raw []byte, now time.Time) []Signature { return nil }

// GenerateKey makes a new key.
func GenerateKey(d mail.Domain, selector, algorithm string) (Key, error) { return Key{}, errSkeleton }

// PEM is the private key in PKCS#8.
func (k Key) PEM() []byte { return nil }

// ParseKey reads what PEM wrote.
func ParseKey(pem []byte, d mail.Domain, selector string) (Key, error) { return Key{}, errSkeleton }

// RecordName is the name of the TXT record.
func (k Key) RecordName() string { return "" }

// Record is the value of the TXT record.
func (k Key) Record() string { return "" }

// RecordZone is the record as a zone-file line.
func (k Key) RecordZone() string { return "" }

// Sign makes DKIM-Signature fields.
func Sign(raw []byte, keys []Key, now time.Time) (header []byte, err error) { return nil, errSkeleton }

// CheckPublished compares the published key with ours.
func CheckPublished(ctx context.Context, r dns.Resolver, k Key) (state string, found string) {
	return "unknown", ""
}
