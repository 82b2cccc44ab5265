package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
)

// Verify checks the first MaxSignatures DKIM-Signature fields of a message
// against the keys that r finds, as of now, and returns their fates in the order of the
// fields; nil when there are none. raw is the whole message; bare line feeds count
// as line ends. Keys are looked up side by side; ctx bounds the lookups, and one
// that it cuts short gives temperror.
func Verify(ctx context.Context, r dns.Resolver, raw []byte, now time.Time) []Signature {
	return verifyFor(ctx, r, raw, now, serviceMail)
}

// VerifyTLSReport is Verify for a mail that brings a report about TLS: a key may be published for such reports alone (s=tlsrpt, RFC 8460 3).
func VerifyTLSReport(ctx context.Context, r dns.Resolver, raw []byte, now time.Time) []Signature {
	return verifyFor(ctx, r, raw, now, serviceMail, serviceTLSReports)
}

func verifyFor(ctx context.Context, r dns.Resolver, raw []byte, now time.Time, services ...string) []Signature {
	fields, body := split(crlf(raw))
	var requests []*request
	var out []Signature
	for _, f := range fields {
		if !f.isName("DKIM-Signature") {
			continue
		}
		req, err := parseSignature(f.raw, now)
		if err != nil {
			req.settle(err)
		}
		requests = append(requests, req)
		if len(requests) == MaxSignatures {
			break
		}
	}
	keys := fetchKeys(ctx, r, requests)
	m := &hasher{fields: fields, body: body, services: services}
	for i, req := range requests {
		if req.Status == "" {
			req.settle(m.check(req, keys[i]))
		}
		out = append(out, req.Signature)
	}
	return out
}

// settle writes the status that err stands for; nil is a pass.
func (r *request) settle(err error) {
	var policy policyError
	switch {
	case err == nil && r.Expired:
		r.Status, r.Reason = StatusPolicy, "signature expired (x=)"
	case err == nil:
		r.Status = StatusPass
	case errors.As(err, &policy):
		r.Status, r.Reason = StatusPolicy, err.Error()
	case errors.Is(err, errTryLater):
		r.Status, r.Reason = StatusTempError, err.Error()
	case errors.Is(err, errDifferent):
		r.Status, r.Reason = StatusFail, err.Error()
	default:
		r.Status, r.Reason = StatusPermError, err.Error()
	}
}

var (
	errTryLater  = errors.New("key record not available now")
	errDifferent = errors.New("verification failed")
)

// fetchKeys asks for the key records of all requests that are still open.
func fetchKeys(ctx context.Context, r dns.Resolver, requests []*request) []dns.Answer {
	answers := make([]dns.Answer, len(requests))
	var wait sync.WaitGroup
	for i, req := range requests {
		if req.Status == "" {
			wait.Go(func() { answers[i] = dns.TXT(ctx, r, recordName(req.Selector, req.Domain)) })
		}
	}
	wait.Wait()
	return answers
}

// hasher hashes one message for several signatures.
type hasher struct {
	fields []field
	body   []byte
	bodies []bodyHash
	byName map[string][]int // indices into fields, top to bottom

	services []string // that a key may be published for
}

// bodyHash is the hash of the canonical body, or of its first limit bytes.
type bodyHash struct {
	relaxed bool
	limit   int64
	sum     []byte
	length  int64 // of the whole canonical body
}

// check finds out what is to be said about a well-formed signature; nil is a pass.
func (m *hasher) check(req *request, answer dns.Answer) error {
	records, err := usableKeys(req, answer, m.services)
	if err != nil {
		return err
	}
	body := m.hashBody(req.relaxedBody, req.BodyLength)
	if req.BodyLength > body.length {
		return fmt.Errorf("%w: the body is shorter than l=", errDifferent)
	}
	if !bytes.Equal(body.sum, req.bodyHash) {
		return fmt.Errorf("%w: the body was changed after signing", errDifferent)
	}
	sum := m.hashHeader(req)
	for _, rec := range records {
		req.KeyBits, req.Testing = rec.bits, rec.testing
		if verify(rec.public, sum, req.signature) {
			return nil
		}
	}
	return fmt.Errorf("%w: the signed header fields were changed after signing, or another key signed", errDifferent)
}

// usableKeys reads the records at the selector and keeps those that fit the
// signature. A selector should hold one; with several, each that fits is tried.
func usableKeys(req *request, answer dns.Answer, services []string) ([]keyRecord, error) {
	switch answer.Status {
	case dns.Found:
	case dns.Nothing:
		return nil, errors.New("no key published at " + recordName(req.Selector, req.Domain))
	default:
		return nil, fmt.Errorf("%w: %v", errTryLater, answer.Err)
	}
	var usable []keyRecord
	var why error
	for i, txt := range answer.Records {
		if i == maxKeyRecords {
			break
		}
		rec, err := parseKeyRecordFor(txt.Text, services...)
		if err == nil {
			err = fits(req, rec)
		}
		if err == nil {
			usable = append(usable, rec)
		} else if why == nil || errors.Is(why, errNotDKIM) {
			why = err
			req.KeyBits, req.Testing = rec.bits, rec.testing
		}
	}
	if len(usable) == 0 {
		return nil, why
	}
	return usable, nil
}

// fits says why a key may not be used for this signature; nil when it may.
func fits(req *request, rec keyRecord) error {
	if rec.kind != req.kind {
		return fmt.Errorf("the published key is %s, the signature %s", mail.Glimpse(rec.kind), req.Algorithm)
	}
	if rec.strict && !strings.HasSuffix(req.Identity, "@"+string(req.Domain)) {
		return errors.New("the key is only for d= itself (t=s), i= is a subdomain")
	}
	if rec.kind == "rsa" && (rec.bits < MinRSABits || rec.bits > MaxRSABits) {
		return policyError{fmt.Sprintf("RSA key of %d bits, accepted are %d to %d", rec.bits, MinRSABits, MaxRSABits)}
	}
	return nil
}

// verify checks a signature over the SHA-256 value sum.
func verify(public crypto.PublicKey, sum, signature []byte) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum, signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, sum, signature)
	}
	return false
}

// hashBody returns the body's hash, computed once per canonicalisation and length.
func (m *hasher) hashBody(relaxed bool, limit int64) bodyHash {
	for _, b := range m.bodies {
		if b.relaxed == relaxed && b.limit == limit {
			return b
		}
	}
	lh := &limitedHash{h: sha256.New(), limit: limit}
	if relaxed {
		relaxedBody(lh, m.body)
	} else {
		simpleBody(lh, m.body)
	}
	b := bodyHash{relaxed: relaxed, limit: limit, sum: lh.h.Sum(nil), length: lh.seen}
	m.bodies = append(m.bodies, b)
	return b
}

// hashHeader hashes the fields that h= names, each name taking the next instance
// from the bottom up and nothing when none is left (RFC 6376 5.4.2), and then the
// signature's own field without its b= value.
func (m *hasher) hashHeader(req *request) []byte {
	if m.byName == nil {
		m.byName = make(map[string][]int)
		for i, f := range m.fields {
			if len(f.name) > 0 {
				name := strings.ToLower(string(f.name))
				m.byName[name] = append(m.byName[name], i)
			}
		}
	}
	canonical := simpleField
	if req.relaxedHeader {
		canonical = relaxedField
	}
	h := sha256.New()
	taken := make(map[string]int)
	var buf []byte
	for _, name := range req.Headers {
		at := m.byName[name]
		n := len(at) - 1 - taken[name]
		taken[name]++
		if n < 0 {
			continue
		}
		buf = canonical(buf[:0], m.fields[at[n]].raw)
		h.Write(buf)
	}
	buf = canonical(buf[:0], withoutSignature(req.raw))
	h.Write(bytes.TrimSuffix(buf, []byte("\r\n")))
	return h.Sum(nil)
}
