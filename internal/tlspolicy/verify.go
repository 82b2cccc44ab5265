package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Result types of a session that failed (RFC 8460 4.3).
const (
	NoSTARTTLS       = "starttls-not-supported"
	HostMismatch     = "certificate-host-mismatch"
	CertExpired      = "certificate-expired"
	CertNotTrusted   = "certificate-not-trusted"
	ValidationFailed = "validation-failure"
	TLSAInvalid      = "tlsa-invalid"
	DNSSECInvalid    = "dnssec-invalid"
	DANERequired     = "dane-required"
	STSFetchError    = "sts-policy-fetch-error"
	STSInvalid       = "sts-policy-invalid"
	STSWebPKI        = "sts-webpki-invalid"
)

// VerifyError is why a certificate does not satisfy a policy.
type VerifyError struct {
	Failure string // result type of RFC 8460 4.3
	Detail  string // in words
}

// Error is the detail.
func (e *VerifyError) Error() string { return e.Detail }

// Failure is the result type and the words for an error of a TLS handshake.
func Failure(err error) (result, detail string) {
	var v *VerifyError
	if errors.As(err, &v) {
		return v.Failure, v.Detail
	}
	return ValidationFailed, err.Error()
}

// Config is the TLS client configuration that enforces a policy towards an exchanger. For None, which has no TLS, it is that of Opportunistic.
// What is verified speaks TLS 1.2 at least and takes sessions up again; the check is repeated each time.
func (b *Book) Config(p Policy, q Question) *tls.Config {
	name := strings.TrimSuffix(q.Exchanger, ".")
	// Without a check an old version is better than plain text (RFC 7435).
	c := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, RootCAs: b.o.RootCAs, Time: b.o.Now}
	if p.Mode.rank() < Verified.rank() {
		return c
	}
	if p.Mode == DANE && p.facts != nil && p.facts.dane != nil {
		c.ServerName = p.facts.dane.base // RFC 7672 3.2.2: SNI is the TLSA base domain
	}
	c.MinVersion = tls.VersionTLS12
	c.ClientSessionCache = b.sessions
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		err := b.verify(p, q, cs.PeerCertificates)
		if err != nil && cs.DidResume {
			b.sessions.Put(c.ServerName, nil) // the certificate of an old session; the server's next handshake shows its present one
		}
		return err
	}
	return c
}

// Check says whether a connection would satisfy the policy in Testing, which enforces nothing: "" if it would, else a result type and words.
// state is nil without TLS.
func (b *Book) Check(p Policy, q Question, state *tls.ConnectionState) (failure, detail string) {
	if !p.Testing || p.facts == nil || p.facts.sts == nil {
		return "", ""
	}
	switch {
	case p.facts.outside:
		return ValidationFailed, q.Exchanger + " is not an exchanger of the MTA-STS policy"
	case state == nil:
		return NoSTARTTLS, "no TLS"
	}
	if err := b.verifyPKIX(q.Exchanger, state.PeerCertificates); err != nil {
		return Failure(err)
	}
	return "", ""
}

func (b *Book) verify(p Policy, q Question, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return &VerifyError{ValidationFailed, "the server showed no certificate"}
	}
	if p.Mode == DANE {
		if p.facts == nil || p.facts.dane == nil {
			return &VerifyError{DANERequired, "no TLSA records are known"}
		}
		return p.facts.dane.verify(chain, b.o.Now())
	}
	return b.verifyPKIX(q.Exchanger, chain)
}

// verifyPKIX checks a chain for the exchanger's name.
func (b *Book) verifyPKIX(host string, chain []*x509.Certificate) error {
	return VerifyChain(host, chain, b.o.RootCAs, b.o.Now())
}

// VerifyChain checks a chain as browsers do, for a host's name (RFC 8461 4.2: a subjectAltName, no common name); roots nil: the system's. The error
// is a *VerifyError.
func VerifyChain(host string, chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return &VerifyError{ValidationFailed, "the server showed no certificate"}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: strings.TrimSuffix(host, "."), Roots: roots, Intermediates: between, CurrentTime: now})
	return classify(err)
}

// VerifyTLSA checks a chain against usable TLSA records found at base, which DNSSEC must vouch for. names are others that a certificate under a
// DANE-TA authority may have. The error is a *VerifyError.
func VerifyTLSA(records []TLSA, base string, names []string, chain []*x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return &VerifyError{ValidationFailed, "the server showed no certificate"}
	}
	return (&danePolicy{base: base, names: append([]string{base}, names...), usable: records}).verify(chain, now)
}

// classify puts an error of x509 into the words of RFC 8460 4.3.
func classify(err error) error {
	var (
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		authority x509.UnknownAuthorityError
		roots     x509.SystemRootsError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &host):
		return &VerifyError{HostMismatch, err.Error()}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &VerifyError{CertExpired, err.Error()}
	case errors.As(err, &authority), errors.As(err, &roots):
		return &VerifyError{CertNotTrusted, err.Error()}
	}
	return &VerifyError{ValidationFailed, err.Error()}
}

// verify checks a chain against the TLSA records (RFC 7671 5, RFC 7672 3). One record that fits is enough. DANE-EE looks at the server's own
// certificate or key and at nothing else: neither names nor dates count, since DNSSEC has bound the key to the name (RFC 7672 3.1.1).
func (d *danePolicy) verify(chain []*x509.Certificate, now time.Time) error {
	var last error
	for _, t := range d.usable {
		if t.Usage == usageEE {
			if t.matches(chain[0]) {
				return nil
			}
			continue
		}
		found, err := d.anchored(t, chain, now)
		if found && err == nil {
			return nil
		}
		if found {
			last = err
		}
	}
	if last != nil {
		return last
	}
	return &VerifyError{ValidationFailed, fmt.Sprintf("the certificate of %s matches none of its %d TLSA records", d.base, len(d.usable))}
}

// anchored checks a chain under the authority of a DANE-TA record. found is false when the record names nobody in the chain.
func (d *danePolicy) anchored(t TLSA, chain []*x509.Certificate, now time.Time) (found bool, err error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range chain {
		if t.matches(c) {
			roots.AddCert(c)
			found = true
		}
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if !found && t.Matching == matchFull {
		// RFC 7671 5.2.2, 5.2.3: an authority that stands whole in DNS need not be sent by the server.
		if t.Selector == selectCert {
			if c, err := x509.ParseCertificate(t.Data); err == nil {
				roots.AddCert(c)
				found = true
			}
		} else if c := signedBy(t.Data, chain); c != nil {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return false, nil
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now}); err != nil {
		return true, classify(err)
	}
	return true, d.named(chain[0])
}

// signedBy is the first certificate of a chain that a bare key has signed.
func signedBy(spki []byte, chain []*x509.Certificate) *x509.Certificate {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil
	}
	for _, c := range chain {
		issuer := &x509.Certificate{PublicKey: key, PublicKeyAlgorithm: c.PublicKeyAlgorithm}
		for _, algorithm := range []x509.PublicKeyAlgorithm{x509.RSA, x509.ECDSA, x509.Ed25519} {
			issuer.PublicKeyAlgorithm = algorithm
			if issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
				return c
			}
		}
	}
	return nil
}

// named checks that a certificate is for one of the names that DNSSEC led through (RFC 7672 3.2.2). The common name counts where there is no
// DNS name among the alternative names (3.2.3).
func (d *danePolicy) named(c *x509.Certificate) error {
	var err error
	for _, n := range d.names {
		if err = c.VerifyHostname(n); err == nil {
			return nil
		}
		if len(c.DNSNames) == 0 && strings.EqualFold(strings.TrimSuffix(c.Subject.CommonName, "."), n) {
			return nil
		}
	}
	return classify(err)
}
