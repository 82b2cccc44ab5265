// Package dkim signs and verifies mail (RFC 6376 with RFC 8301, RFC 8463 and
// RFC 8616) and looks after the keys: generation, PEM, the TXT record to
// publish, and whether what is published is what we sign with.
//
// # What it does not
//
// It keeps no keys (the account room does), decides nothing about a message
// (filter does) and draws no DMARC conclusions (dmarc does). It reads no clock:
// callers pass the time.
//
// # Verifying
//
// [Verify] returns one [Signature] for each of the first five DKIM-Signature
// fields, top to bottom; a message without one gives an empty slice. Statuses are
// values, never errors, in the words of RFC 8601 2.7.1: "pass" and "fail" for the
// outcome of the mathematics; "permerror" for a signature or key record that
// cannot be used; "temperror" when the DNS gave no answer (ask again later; it
// says nothing about the mail); "policy" for a signature that is well formed but
// that we do not accept: SHA-1, an RSA key outside 1024..4096 bits, more than 100
// names in h=, or one that is past its x=.
//
// The verifier is written here rather than laid over a library because
// every stage has to be bounded by numbers that we state: signatures are counted
// and their fields parsed before any lookup, lookups come before any hashing, the
// body is hashed at most once per distinct (canonicalisation, length), and
// nothing is worse than linear in the message. It also accepts three things that
// stricter readers stumble over: letter case in the domain of i=, quoted-printable
// in i=, and a message that ends with its header. The tests hold it against
// another implementation in both directions.
//
// Bare line feeds are read as line ends, as a sending relay will write them.
//
// # Signing
//
// [Sign] canonicalises relaxed/relaxed once, hashes the body once, and then signs
// once per key, so a second key costs its raw signature and nothing else. It
// never writes l=. Each protected field name is listed in h= once more than it
// occurs, so that adding another From, To or Content-Type breaks the signature.
// The signature expires after [Lifetime].
//
// # Who calls it
//
// delivery signs, filter verifies, reputation and the command line call
// [CheckPublished]. All functions are safe for concurrent use.
package dkim

import (
	"errors"
	"time"

	"postern/internal/mail"
)

// Limits on what a stranger can make Verify do.
const (
	// MaxSignatures is how many DKIM-Signature fields are looked at, from the top.
	MaxSignatures = 5
	// MaxSignedHeaders is how many names h= may hold.
	MaxSignedHeaders = 100
	// MinRSABits and MaxRSABits bound RSA moduli (RFC 8301 3.2).
	MinRSABits = 1024
	MaxRSABits = 4096

	maxSignatureField = 16 << 10 // bytes of one DKIM-Signature field
	maxKeyRecord      = 8 << 10  // bytes of one key record
	maxKeyRecords     = 5        // TXT records read at one selector
	maxTags           = 64       // tags in one tag list
)

// Lifetime is the time between t= and x= in what Sign writes: long enough for a
// queue that retries for five days, short enough to bound replay.
const Lifetime = 7 * 24 * time.Hour

// Names of the algorithms we sign with and accept (RFC 8301, RFC 8463).
const (
	RSASHA256     = "rsa-sha256"
	Ed25519SHA256 = "ed25519-sha256"
)

// What a Signature's Status can be (RFC 8601 2.7.1).
const (
	StatusPass      = "pass"      // the signature verifies
	StatusFail      = "fail"      // body or header changed, or signed with another key
	StatusPermError = "permerror" // signature or key record unusable
	StatusTempError = "temperror" // key record not available now
	StatusPolicy    = "policy"    // well formed, but outside what we accept
)

// Errors of Sign, ParseKey and GenerateKey; test with errors.Is.
var (
	// ErrBareNewline: the message holds a CR or LF that is not part of CRLF.
	ErrBareNewline = errors.New("dkim: message holds a bare CR or LF")
	// ErrBadStart: the message begins with a blank, so that its first line would
	// continue whatever field is put before it.
	ErrBadStart = errors.New("dkim: message begins with a continuation line")
	// ErrNoFrom: there is no From field, which DKIM requires to be signed.
	ErrNoFrom = errors.New("dkim: message has no From field")
	// ErrTooManyFields: the protected fields occur so often that h= would exceed MaxSignedHeaders.
	ErrTooManyFields = errors.New("dkim: too many fields to sign")
	// ErrBadKey: the key cannot be used for signing (type, size, selector or domain).
	ErrBadKey = errors.New("dkim: unusable key")
)

// Signature is what became of one DKIM-Signature field.
type Signature struct {
	Domain     mail.Domain // d=, the domain that takes responsibility; empty when unreadable
	Selector   string      // s=, lower case
	Identity   string      // i= decoded; "@" and the domain when not given
	Status     string      // one of the Status constants
	Reason     string      // why the status is not pass: one clause in English, for evidence
	KeyBits    int         // size of the key in bits; 0 when no key was read
	Algorithm  string      // a=, lower case
	Headers    []string    // names in h=, lower case, in order
	BodyLength int64       // l= in bytes; -1 when absent
	Expired    bool        // now is past x=
	Testing    bool        // the key record says t=y: the domain is still trying
}
