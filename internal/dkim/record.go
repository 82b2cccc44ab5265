package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/mail"
)

// keyRecord is a public key as published (RFC 6376 3.6.1).
type keyRecord struct {
	kind    string // k=: "rsa" or "ed25519"
	public  crypto.PublicKey
	bits    int
	testing bool // t=y
	strict  bool // t=s: the domain of i= must be d= itself
}

var (
	errRevoked = errors.New("key revoked: p= is empty")
	errNotDKIM = errors.New("not a DKIM key record")
)

// ErrRevoked: a key record says that its key is no longer in use (RFC 6376 3.6.1, p=).
var ErrRevoked = errRevoked

// PublishedKey is what a key record says.
type PublishedKey struct {
	Kind    string // k=: "rsa" or "ed25519"
	Bits    int    // size of the key
	Testing bool   // t=y: signatures count as if there were none
	Strict  bool   // t=s: the domain of i= must be d= itself
}

// ParsePublished reads the TXT record of a selector (RFC 6376 3.6.1). The error wraps ErrRevoked, or says in one clause why no signature can be
// checked with it.
func ParsePublished(text string) (PublishedKey, error) {
	rec, err := parseKeyRecord(text)
	return PublishedKey{Kind: rec.kind, Bits: rec.bits, Testing: rec.testing, Strict: rec.strict}, err
}

// The services of key records (RFC 6376 3.6.1, RFC 8460 3).
const (
	serviceMail       = "email"
	serviceTLSReports = "tlsrpt"
)

// parseKeyRecord reads one TXT record about keys for mail.
func parseKeyRecord(text string) (keyRecord, error) { return parseKeyRecordFor(text, serviceMail) }

// parseKeyRecordFor reads one TXT record. The error says in one clause what is
// wrong; errNotDKIM means that the record is about something else.
func parseKeyRecordFor(text string, services ...string) (keyRecord, error) {
	var rec keyRecord
	if len(text) > maxKeyRecord {
		return rec, fmt.Errorf("key record longer than %d bytes", maxKeyRecord)
	}
	tags, err := parseTagList(text)
	if err != nil {
		return rec, errNotDKIM
	}
	if v, ok := tags.get("v"); ok && (v != "DKIM1" || tags[0].name != "v") {
		return rec, errNotDKIM
	}
	p, ok := tags.get("p")
	if !ok {
		return rec, errNotDKIM
	}
	rec.kind = "rsa"
	if k, ok := tags.get("k"); ok {
		rec.kind = strings.ToLower(k)
	}
	if h, ok := tags.get("h"); ok && !listHas(h, "sha256") {
		return rec, errors.New("key record does not allow sha256 (h=)")
	}
	if s, ok := tags.get("s"); ok && !listHas(s, "*") && !slices.ContainsFunc(services, func(service string) bool { return listHas(s, service) }) {
		return rec, errors.New("key record is not for e-mail (s=)")
	}
	if t, ok := tags.get("t"); ok {
		rec.testing, rec.strict = listHas(t, "y"), listHas(t, "s")
	}
	if stripFWS(p) == "" {
		return rec, errRevoked
	}
	der, err := decodeBase64(p)
	if err != nil {
		return rec, errors.New("key record: p= is not base64")
	}
	rec.public, rec.bits, err = parsePublic(rec.kind, der)
	return rec, err
}

// parsePublic reads the bytes of p=: for RSA a SubjectPublicKeyInfo, or the bare
// RSAPublicKey that RFC 6376 3.6.1 names and few publish; for Ed25519 the 32 bytes of
// RFC 8463 4.
func parsePublic(kind string, der []byte) (crypto.PublicKey, int, error) {
	switch kind {
	case "rsa":
		public, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			if public, err = x509.ParsePKCS1PublicKey(der); err != nil {
				return nil, 0, errors.New("key record: p= is not an RSA key")
			}
		}
		key, ok := public.(*rsa.PublicKey)
		if !ok {
			return nil, 0, errors.New("key record: p= is not an RSA key")
		}
		return key, key.N.BitLen(), nil
	case "ed25519":
		if len(der) != ed25519.PublicKeySize {
			return nil, 0, fmt.Errorf("key record: Ed25519 key of %d bytes, not %d", len(der), ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(der), 8 * ed25519.PublicKeySize, nil
	}
	return nil, 0, fmt.Errorf("key record: unknown key type %q", mail.Glimpse(kind))
}

// listHas reports whether a colon-separated list holds want, in any case.
func listHas(list, want string) bool {
	for item := range strings.SplitSeq(list, ":") {
		if strings.EqualFold(strings.Trim(item, fws), want) {
			return true
		}
	}
	return false
}
