package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"postern/internal/dns"
	"postern/internal/mail"
)

// generateBits is the size of the RSA keys we make: what every receiver accepts
// and what fits two TXT strings (RFC 8301 3.2).
const generateBits = 2048

// Key is a private key with the place where its public half is published. A Key
// may be used by many goroutines at once.
type Key struct {
	Domain    mail.Domain
	Selector  string        // one or more labels, lower case
	Algorithm string        // RSASHA256 or Ed25519SHA256; must fit Private
	Private   crypto.Signer // *rsa.PrivateKey, ed25519.PrivateKey, or a device holding one of these
}

// GenerateKey makes a new key: RSA of 2048 bits or Ed25519. The error wraps
// ErrBadKey when domain, selector or algorithm are unusable.
func GenerateKey(d mail.Domain, selector, algorithm string) (Key, error) {
	k := Key{Domain: d, Selector: strings.ToLower(selector), Algorithm: algorithm}
	switch algorithm {
	case RSASHA256:
		private, err := rsa.GenerateKey(rand.Reader, generateBits)
		if err != nil {
			return Key{}, fmt.Errorf("dkim: generate key: %w", err)
		}
		k.Private = private
	case Ed25519SHA256:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return Key{}, fmt.Errorf("dkim: generate key: %w", err)
		}
		k.Private = private
	default:
		return Key{}, fmt.Errorf("%w: algorithm %q is neither %s nor %s", ErrBadKey, algorithm, RSASHA256, Ed25519SHA256)
	}
	return k, k.check()
}

// PEM returns the private key as PKCS #8 in PEM; nil when it cannot leave its
// device. It is a secret.
func (k Key) PEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	if err != nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// ParseKey reads a private key in PEM, PKCS #8 or the older PKCS #1, and prepares
// it for fast signing. The algorithm follows from the key. The error wraps
// ErrBadKey and never quotes key material.
func ParseKey(text []byte, d mail.Domain, selector string) (Key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return Key{}, fmt.Errorf("%w: no PEM block found", ErrBadKey)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if private, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
			return Key{}, fmt.Errorf("%w: PEM block %q holds no private key in PKCS #8 or PKCS #1", ErrBadKey, mail.Glimpse(block.Type))
		}
	}
	k := Key{Domain: d, Selector: strings.ToLower(selector)}
	switch private := private.(type) {
	case *rsa.PrivateKey:
		private.Precompute()
		k.Algorithm, k.Private = RSASHA256, private
	case ed25519.PrivateKey:
		k.Algorithm, k.Private = Ed25519SHA256, private
	default:
		return Key{}, fmt.Errorf("%w: neither RSA nor Ed25519", ErrBadKey)
	}
	return k, k.check()
}

// check says why the key cannot sign; nil when it can.
func (k Key) check() error {
	if _, literal := k.Domain.Literal(); literal || !validSelector(string(k.Domain), "") {
		return fmt.Errorf("%w: domain %q", ErrBadKey, mail.Glimpse(string(k.Domain)))
	}
	if !validSelector(k.Selector, k.Domain) {
		return fmt.Errorf("%w: selector %q", ErrBadKey, mail.Glimpse(k.Selector))
	}
	if k.Private == nil {
		return fmt.Errorf("%w: no private key for %s", ErrBadKey, k.RecordName())
	}
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		if k.Algorithm != RSASHA256 {
			return fmt.Errorf("%w: an RSA key cannot sign %q", ErrBadKey, mail.Glimpse(k.Algorithm))
		}
		if bits := public.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return fmt.Errorf("%w: RSA of %d bits, use %d to %d", ErrBadKey, bits, MinRSABits, MaxRSABits)
		}
	case ed25519.PublicKey:
		if k.Algorithm != Ed25519SHA256 {
			return fmt.Errorf("%w: an Ed25519 key cannot sign %q", ErrBadKey, mail.Glimpse(k.Algorithm))
		}
	default:
		return fmt.Errorf("%w: neither RSA nor Ed25519", ErrBadKey)
	}
	return nil
}

func recordName(selector string, d mail.Domain) string {
	return selector + "._domainkey." + string(d)
}

// RecordName returns the DNS name of the key's TXT record, without final dot.
func (k Key) RecordName() string { return recordName(k.Selector, k.Domain) }

// Record returns the value of the TXT record to publish, in one piece: "v=DKIM1;
// k=rsa; p=…". It is empty when the key has no usable public half.
func (k Key) Record() string {
	kind, p := k.public()
	if p == nil {
		return ""
	}
	return "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(p)
}

// public returns the key type and the bytes of p=.
func (k Key) public() (kind string, p []byte) {
	if k.Private == nil {
		return "", nil
	}
	switch public := k.Private.Public().(type) {
	case *rsa.PublicKey:
		if der, err := x509.MarshalPKIXPublicKey(public); err == nil {
			return "rsa", der
		}
	case ed25519.PublicKey:
		return "ed25519", public
	}
	return "", nil
}

// RecordStrings returns Record cut into the strings of a TXT record, at most 255
// bytes each (RFC 1035 3.3), to be joined by readers without a space.
func (k Key) RecordStrings() []string {
	const limit = 255
	var parts []string
	text := k.Record()
	for len(text) > limit {
		parts = append(parts, text[:limit])
		text = text[limit:]
	}
	return append(parts, text)
}

// RecordZone returns the record as a line for a zone file, quoted and cut into
// strings, ready to copy.
func (k Key) RecordZone() string {
	var b strings.Builder
	b.WriteString(k.RecordName())
	b.WriteString(". IN TXT")
	parts := k.RecordStrings()
	if len(parts) > 1 {
		b.WriteString(" (")
	}
	for _, part := range parts {
		b.WriteString(` "` + part + `"`)
	}
	if len(parts) > 1 {
		b.WriteString(" )")
	}
	return b.String()
}

// The states that CheckPublished tells.
const (
	PublishedMatch    = "match"    // the published key is ours
	PublishedMissing  = "missing"  // nothing is published at the name
	PublishedMismatch = "mismatch" // something else is: another key, a revoked one, or no key record
	PublishedUnknown  = "unknown"  // the DNS gave no answer
)

// CheckPublished compares the key with what is published at RecordName. found is
// the text of the record that matches or, failing that, of the first that looks like
// a key or else of the first; empty when there is none or none is known.
func CheckPublished(ctx context.Context, r dns.Resolver, k Key) (state string, found string) {
	answer := dns.TXT(ctx, r, k.RecordName())
	switch answer.Status {
	case dns.Found:
	case dns.Nothing:
		return PublishedMissing, ""
	default:
		return PublishedUnknown, ""
	}
	ours, ok := publicOf(k)
	for i, txt := range answer.Records {
		if i == maxKeyRecords {
			break
		}
		rec, err := parseKeyRecord(txt.Text)
		if err == nil && ok && ours.Equal(rec.public) {
			return PublishedMatch, txt.Text
		}
		if found == "" || !errors.Is(err, errNotDKIM) && !looksLikeKey(found) {
			found = txt.Text
		}
	}
	return PublishedMismatch, found
}

// looksLikeKey reports whether text is a key record, usable or not.
func looksLikeKey(text string) bool {
	_, err := parseKeyRecord(text)
	return !errors.Is(err, errNotDKIM)
}

// publicOf returns the key's public half as something that can be compared.
func publicOf(k Key) (interface{ Equal(crypto.PublicKey) bool }, bool) {
	if k.Private == nil {
		return nil, false
	}
	public, ok := k.Private.Public().(interface{ Equal(crypto.PublicKey) bool })
	return public, ok
}
