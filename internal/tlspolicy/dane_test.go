package tlspolicy_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/tlspolicy"
)

const daneZone = `
$ORIGIN example.org.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.1
alias 300 IN CNAME mx
away 300 IN CNAME mx.elsewhere.test.
mx.elsewhere.test. 300 IN A 192.0.2.1
`

// tlsa is a record as zone files have it.
func tlsa(usage, selector, matching int, c *x509.Certificate) string {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return fmt.Sprintf("%d %d %d %s", usage, selector, matching, hex.EncodeToString(data))
}

// records is the zone with TLSA records at a name.
func records(name string, tlsas ...string) string {
	z := daneZone
	for _, r := range tlsas {
		z += name + " 300 IN TLSA " + r + "\n"
	}
	return z
}

// TestDANE holds the cases of RFC 7672 3 and RFC 7671 5: which certificates satisfy which records.
func TestDANE(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, nil)
	middle := issue(t, root, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.Subject.CommonName = true, x509.KeyUsageCertSign, "middle"
	})
	good := issue(t, middle, nil, "mx.example.org")
	expired := func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Minute) }
	old := issue(t, middle, expired, "mx.example.org")
	ownOld := issue(t, nil, expired, "unrelated.test")
	ofDomain := issue(t, middle, nil, "example.org")
	wild := issue(t, middle, nil, "*.example.org")
	other := issue(t, middle, nil, "mx.other.test")
	common := issue(t, middle, func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "mx.example.org" }, "x")
	stranger := issue(t, nil, nil)
	full, noRoot := chain(good, middle, root), chain(good, middle)

	for _, tc := range []struct {
		name    string
		tlsa    []string
		cert    tls.Certificate
		failure string // "" accepted
	}{
		{"3 1 1", []string{tlsa(3, 1, 1, good.cert)}, noRoot, ""},
		{"3 0 1", []string{tlsa(3, 0, 1, good.cert)}, noRoot, ""},
		{"3 1 2", []string{tlsa(3, 1, 2, good.cert)}, noRoot, ""},
		{"3 0 2", []string{tlsa(3, 0, 2, good.cert)}, noRoot, ""},
		{"3 0 0", []string{tlsa(3, 0, 0, good.cert)}, noRoot, ""},
		{"3 1 0", []string{tlsa(3, 1, 0, good.cert)}, noRoot, ""},
		{"3 1 1 ignores names and dates", []string{tlsa(3, 1, 1, ownOld.cert)}, chain(ownOld), ""},
		{"3 1 1 of another key", []string{tlsa(3, 1, 1, other.cert)}, noRoot, tlspolicy.ValidationFailed},
		{"3 1 1 of the authority", []string{tlsa(3, 1, 1, middle.cert)}, noRoot, tlspolicy.ValidationFailed},
		{"3 0 1 with the digest of the key", []string{strings.Replace(tlsa(3, 1, 1, good.cert), "3 1 1", "3 0 1", 1)}, noRoot, tlspolicy.ValidationFailed},
		{"rollover: one of two", []string{tlsa(3, 1, 1, other.cert), tlsa(3, 1, 1, good.cert)}, noRoot, ""},
		{"2 0 1 root", []string{tlsa(2, 0, 1, root.cert)}, full, ""},
		{"2 1 1 root", []string{tlsa(2, 1, 1, root.cert)}, full, ""},
		{"2 0 1 middle, root not sent", []string{tlsa(2, 0, 1, middle.cert)}, noRoot, ""},
		{"2 1 2 middle", []string{tlsa(2, 1, 2, middle.cert)}, noRoot, ""},
		{"2 0 1 root not sent", []string{tlsa(2, 0, 1, root.cert)}, noRoot, tlspolicy.ValidationFailed},
		{"2 0 0 root not sent, stands in DNS", []string{tlsa(2, 0, 0, root.cert)}, noRoot, ""},
		{"2 1 0 root not sent, its key in DNS", []string{tlsa(2, 1, 0, root.cert)}, noRoot, ""},
		{"2 1 0 key of a stranger", []string{tlsa(2, 1, 0, stranger.cert)}, noRoot, tlspolicy.ValidationFailed},
		{"2 0 0 stranger", []string{tlsa(2, 0, 0, stranger.cert)}, noRoot, tlspolicy.CertNotTrusted},
		{"2 in the chain, and not above the leaf", []string{tlsa(2, 0, 1, stranger.cert)}, chain(good, middle, stranger), tlspolicy.CertNotTrusted},
		{"2 expired", []string{tlsa(2, 0, 1, root.cert)}, chain(old, middle, root), tlspolicy.CertExpired},
		{"2 another name", []string{tlsa(2, 0, 1, root.cert)}, chain(other, middle, root), tlspolicy.HostMismatch},
		{"2 the recipients' domain", []string{tlsa(2, 0, 1, root.cert)}, chain(ofDomain, middle, root), ""},
		{"2 wildcard", []string{tlsa(2, 0, 1, root.cert)}, chain(wild, middle, root), ""},
		{"2 common name where there is no other", []string{tlsa(2, 0, 1, root.cert)}, chain(common, middle, root), ""},
		{"2 or 3", []string{tlsa(2, 0, 1, stranger.cert), tlsa(3, 1, 1, good.cert)}, noRoot, ""},
		{"unusable beside usable", []string{tlsa(1, 0, 1, other.cert), "3 9 1 00", tlsa(3, 1, 1, good.cert)}, noRoot, ""},
		{"unusable saves nobody", []string{tlsa(1, 0, 1, good.cert), tlsa(3, 1, 1, other.cert)}, noRoot, tlspolicy.ValidationFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, records("_25._tcp.mx.example.org.", tc.tlsa...))
			q := ask("mx.example.org")
			p := w.For(t.Context(), q)
			if p.Mode != tlspolicy.DANE || p.Source != tlspolicy.SourceDANE || p.Deferred != "" {
				t.Fatalf("policy %+v: %v", p, p.Why())
			}
			_, sni, err := w.shake(p, q, tc.cert, 0)
			if failure := resultOf(err); failure != tc.failure {
				t.Errorf("%q (%v), want %q", failure, err, tc.failure)
			}
			if tc.failure == "" && sni != "mx.example.org" {
				t.Errorf("asked for %q", sni)
			}
			if _, _, err := w.shake(p, q, tc.cert, tls.VersionTLS11); err == nil {
				t.Error("verified over TLS 1.1")
			}
		})
	}
}

// resultOf is the result type of a handshake.
func resultOf(err error) string {
	if err == nil {
		return ""
	}
	result, _ := tlspolicy.Failure(err)
	return result
}

// TestDANEUnusable: records that nobody can use demand TLS, and nothing can be checked (RFC 7672 2.2).
func TestDANEUnusable(t *testing.T) {
	t.Parallel()
	c := issue(t, nil, nil, "mx.example.org")
	for _, r := range []string{tlsa(0, 0, 1, c.cert), tlsa(1, 1, 1, c.cert), "4 0 1 " + strings.Repeat("00", 32), "255 255 255 00", "3 2 1 " + strings.Repeat("00", 32),
		"3 1 3 " + strings.Repeat("00", 32), "3 1 1 00", "3 1 2 " + strings.Repeat("00", 32), "2 0 0 0102", "3 1 0 0102"} {
		t.Run(r[:8], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, records("_25._tcp.mx.example.org.", r))
			q := ask("mx.example.org")
			p := w.For(t.Context(), q)
			if p.Mode != tlspolicy.Encrypted || p.Source != tlspolicy.SourceDANE {
				t.Fatalf("policy %+v: %v", p, p.Why())
			}
			if _, _, err := w.shake(p, q, chain(issue(t, nil, nil, "nobody.test")), 0); err != nil {
				t.Errorf("unverified: %v", err)
			}
		})
	}
}

// TestDANELookup holds the cases of RFC 7672 2: when records count, where they stand, and what trouble means.
func TestDANELookup(t *testing.T) {
	t.Parallel()
	c := issue(t, nil, nil, "mx.example.org")
	ee := tlsa(3, 1, 1, c.cert)
	type order struct {
		name string
		typ  dns.Type
		mode dnstest.Mode
	}
	for _, tc := range []struct {
		name     string
		at       string
		host     string
		orders   []order
		mx, addr bool // signed
		mode     tlspolicy.Mode
		deferred bool
		sni      string
	}{
		{name: "signed all the way", at: "_25._tcp.mx.example.org.", mx: true, addr: true, mode: tlspolicy.DANE, sni: "mx.example.org"},
		{name: "MX not signed", at: "_25._tcp.mx.example.org.", addr: true, mode: tlspolicy.Opportunistic},
		{name: "addresses not signed", at: "_25._tcp.mx.example.org.", mx: true, mode: tlspolicy.Opportunistic},
		{name: "records not signed", at: "_25._tcp.mx.example.org.", mx: true, addr: true, mode: tlspolicy.Opportunistic,
			orders: []order{{"_25._tcp.mx.example.org", dns.TypeTLSA, dnstest.Unsigned}}},
		{name: "none", at: "_26._tcp.mx.example.org.", mx: true, addr: true, mode: tlspolicy.Opportunistic},
		{name: "servers of the zone fail", at: "_25._tcp.mx.example.org.", mx: true, addr: true, mode: tlspolicy.DANE, deferred: true,
			orders: []order{{"_25._tcp.mx.example.org", dns.TypeTLSA, dnstest.ServFail}}},
		{name: "records are bogus", at: "_25._tcp.mx.example.org.", mx: true, addr: true, mode: tlspolicy.DANE, deferred: true,
			orders: []order{{"_25._tcp.mx.example.org", dns.TypeTLSA, dnstest.Bogus}}},
		{name: "denied in silence", at: "_25._tcp.mx.example.org.", mx: true, addr: true, mode: tlspolicy.DANE, deferred: true,
			orders: []order{{"_25._tcp.mx.example.org", dns.TypeTLSA, dnstest.Timeout}}},
		{name: "trouble where nothing is signed", at: "_25._tcp.mx.example.org.", mx: true, mode: tlspolicy.Opportunistic,
			orders: []order{{"_25._tcp.mx.example.org", dns.TypeTLSA, dnstest.ServFail}}},
		{name: "alias: at its target", at: "_25._tcp.mx.example.org.", host: "alias.example.org", mx: true, addr: true, mode: tlspolicy.DANE, sni: "mx.example.org"},
		{name: "alias: at itself", at: "_25._tcp.alias.example.org.", host: "alias.example.org", mx: true, addr: true, mode: tlspolicy.DANE, sni: "alias.example.org"},
		{name: "signed alias out of signed land: at itself", at: "_25._tcp.away.example.org.", host: "away.example.org", mx: true, mode: tlspolicy.DANE, sni: "away.example.org",
			orders: []order{{"away.example.org", dns.TypeA, dnstest.Unsigned}}},
		{name: "signed alias out of signed land: not at its target", at: "_25._tcp.mx.elsewhere.test.", host: "away.example.org", mx: true, mode: tlspolicy.Opportunistic,
			orders: []order{{"away.example.org", dns.TypeA, dnstest.Unsigned}}},
		{name: "alias of an unsigned zone", at: "_25._tcp.away.example.org.", host: "away.example.org", mx: true, mode: tlspolicy.Opportunistic,
			orders: []order{{"away.example.org", dns.TypeA, dnstest.Unsigned}, {"away.example.org", dns.TypeCNAME, dnstest.Unsigned}}},
		{name: "the alias cannot be known", at: "_25._tcp.away.example.org.", host: "away.example.org", mx: true, mode: tlspolicy.DANE, deferred: true,
			orders: []order{{"away.example.org", dns.TypeA, dnstest.Unsigned}, {"away.example.org", dns.TypeCNAME, dnstest.ServFail}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, records(tc.at, ee))
			for _, o := range tc.orders {
				w.dns.FailType(o.name, o.typ, o.mode)
			}
			q := ask("mx.example.org")
			if tc.host != "" {
				q.Exchanger = tc.host
			}
			q.Authentic, q.AddrSigned = tc.mx, tc.addr
			p := w.For(t.Context(), q)
			if p.Mode != tc.mode || (p.Deferred != "") != tc.deferred {
				t.Fatalf("policy %+v: %v", p, p.Why())
			}
			if tc.sni == "" {
				return
			}
			if _, sni, err := w.shake(p, q, chain(c), 0); err != nil || sni != tc.sni {
				t.Errorf("asked for %q: %v", sni, err)
			}
		})
	}
}

// TestNoResolverNoDANE: behind a resolver that does not validate, or is not trusted, there is no DANE, and mail flows.
func TestNoResolverNoDANE(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, records("_25._tcp.mx.example.org.", tlsa(3, 1, 1, issue(t, nil, nil, "x.test").cert)))
	w.dns.SetSecure(false)
	q := ask("mx.example.org")
	if p := w.For(t.Context(), q); p.Mode != tlspolicy.Opportunistic {
		t.Errorf("%+v", p)
	}
}

// TestVerified: the certificate checks of MTA-STS and of the operator's rules.
func TestVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, stsZone)
	w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
	q := ask("mx1.example.org")
	p := w.For(t.Context(), q)
	for _, tc := range []struct {
		name    string
		cert    tls.Certificate
		version uint16
		failure string
	}{
		{"good", chain(issue(t, w.ca, nil, "mx1.example.org")), 0, ""},
		{"TLS 1.2", chain(issue(t, w.ca, nil, "mx1.example.org")), tls.VersionTLS12, ""},
		{"wildcard", chain(issue(t, w.ca, nil, "*.example.org")), 0, ""},
		{"another name", chain(issue(t, w.ca, nil, "mx2.example.org")), 0, tlspolicy.HostMismatch},
		{"the recipients' domain", chain(issue(t, w.ca, nil, "example.org")), 0, tlspolicy.HostMismatch},
		{"common name only", chain(issue(t, w.ca, func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "mx1.example.org" }, "x")), 0, tlspolicy.HostMismatch},
		{"expired", chain(issue(t, w.ca, func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Second) }, "mx1.example.org")), 0, tlspolicy.CertExpired},
		{"not yet valid", chain(issue(t, w.ca, func(c *x509.Certificate) { c.NotBefore = start.Add(time.Hour) }, "mx1.example.org")), 0, tlspolicy.CertExpired},
		{"self-signed", chain(issue(t, nil, nil, "mx1.example.org")), 0, tlspolicy.CertNotTrusted},
		{"TLS 1.1", chain(issue(t, w.ca, nil, "mx1.example.org")), tls.VersionTLS11, tlspolicy.ValidationFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.restart() // sessions are not taken over from the case before
			_, _, err := w.shake(p, q, tc.cert, tc.version)
			if failure := resultOf(err); failure != tc.failure {
				t.Errorf("%q (%v), want %q", failure, err, tc.failure)
			}
		})
	}
	opportunistic := tlspolicy.Policy{Mode: tlspolicy.Opportunistic}
	if _, _, err := w.shake(opportunistic, q, chain(issue(t, nil, nil, "other.test")), tls.VersionTLS10); err != nil {
		t.Errorf("opportunistic: %v", err)
	}
}

// TestResume: a session taken up again is checked again, and one whose certificate has expired meanwhile does not keep a server out that has a new
// certificate.
func TestResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, stsZone)
	w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
	q := ask("mx1.example.org")
	p := w.For(t.Context(), q)
	cert := chain(issue(t, w.ca, func(c *x509.Certificate) { c.NotAfter = start.Add(time.Hour) }, "mx1.example.org"))
	keys := &tls.Config{Certificates: []tls.Certificate{cert}}
	keys.SetSessionTicketKeys([][32]byte{{1}})
	connect := func() (bool, error) {
		state, err := w.meet(p, q, keys)
		return state.DidResume, err
	}
	if resumed, err := connect(); err != nil || resumed {
		t.Fatalf("first: %v %v", resumed, err)
	}
	if resumed, err := connect(); err != nil || !resumed {
		t.Fatalf("second: %v %v", resumed, err)
	}
	w.clock.Add(2 * time.Hour)
	keys.Certificates = []tls.Certificate{chain(issue(t, w.ca, nil, "mx1.example.org"))}
	if resumed, err := connect(); err != nil || resumed {
		t.Fatalf("new certificate: %v %v", resumed, err)
	}
}

// TestResumeUnderOtherRecords: the certificate of an old session must satisfy the records of today; when it does not, the server is asked for
// its present one.
func TestResumeUnderOtherRecords(t *testing.T) {
	t.Parallel()
	before, after := issue(t, nil, nil, "a.test"), issue(t, nil, nil, "a.test")
	w := newWorld(t, nil, records("_25._tcp.mx.example.org.", tlsa(3, 1, 1, before.cert))+"_25._tcp.alias.example.org. 300 IN TLSA "+tlsa(3, 1, 1, after.cert)+"\n")
	q := ask("mx.example.org")
	p := w.For(t.Context(), q)
	server := &tls.Config{Certificates: []tls.Certificate{chain(before)}}
	server.SetSessionTicketKeys([][32]byte{{1}})
	for i := range 2 {
		if state, err := w.meet(p, q, server); err != nil || state.DidResume != (i == 1) {
			t.Fatalf("%d: resumed %v, %v", i, state.DidResume, err)
		}
	}
	w.dns.Close()
	w.dns = dnstest.Start(t, records("_25._tcp.mx.example.org.", tlsa(3, 1, 1, after.cert)))
	w.dns.SetSecure(true)
	other, err := tlspolicy.New(tlspolicy.Options{Resolver: w.dns.Resolver(t)})
	if err != nil {
		t.Fatal(err)
	}
	p = other.For(t.Context(), q) // the policy of today, with the sessions of yesterday
	server.Certificates = []tls.Certificate{chain(after)}
	if _, err := w.meet(p, q, server); resultOf(err) != tlspolicy.ValidationFailed {
		t.Errorf("old session: %v", err)
	}
	if state, err := w.meet(p, q, server); err != nil || state.DidResume {
		t.Errorf("new handshake: %v, resumed %v", err, state.DidResume)
	}
}

// TestBothPolicies: TLSA records take the place of MTA-STS's certificate check, not of its list of exchangers.
func TestBothPolicies(t *testing.T) {
	t.Parallel()
	c := issue(t, nil, nil, "self.test")
	zone := stsZone + "_25._tcp.mx1 300 IN TLSA " + tlsa(3, 1, 1, c.cert) + "\nmx9 300 IN A 192.0.2.9\n_25._tcp.mx9 300 IN TLSA " + tlsa(3, 1, 1, c.cert) +
		"\nmx8 300 IN A 192.0.2.9\n_25._tcp.mx8 300 IN TLSA 1 1 1 00\nodd.mail 300 IN A 192.0.2.7\n_25._tcp.odd.mail 300 IN TLSA 1 1 1 00\n"
	w := newWorld(t, nil, zone)
	w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
	q := ask("mx1.example.org")
	p := w.For(t.Context(), q)
	if p.Mode != tlspolicy.DANE || p.Refused != "" {
		t.Errorf("both: %+v", p)
	}
	if _, _, err := w.shake(p, q, chain(c), 0); err != nil {
		t.Errorf("a certificate that only DANE vouches for: %v", err)
	}
	if p := w.For(t.Context(), ask("mx9.example.org")); p.Mode != tlspolicy.DANE || p.Refused == "" {
		t.Errorf("outside: %+v", p)
	}
	// RFC 8461 2: where DANE cannot be used, MTA-STS holds.
	if p := w.For(t.Context(), ask("odd.mail.example.org")); p.Mode != tlspolicy.Verified || p.Source != tlspolicy.SourceSTS || p.Refused != "" {
		t.Errorf("unusable TLSA: %+v", p)
	}
	w.dns.Fail("_25._tcp.mx1.example.org", dnstest.Bogus)
	if p := w.For(t.Context(), q); p.Deferred == "" {
		t.Errorf("MTA-STS went past a DANE failure: %+v", p)
	}
}

func TestParseTLSA(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{nil, {3}, {3, 1, 1}, {2, 0, 1, 0}} {
		if _, err := tlspolicy.ParseTLSA(data); err == nil {
			t.Errorf("% x taken", data)
		}
	}
	got, err := tlspolicy.ParseTLSA(append([]byte{3, 1, 1}, make([]byte, 32)...))
	if err != nil || got.String() != "3 1 1 "+strings.Repeat("00", 32) {
		t.Errorf("%v %v", got, err)
	}
}

// TestCheckTesting: what MTA-STS in testing would have refused is told, and nothing is refused.
func TestCheckTesting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, stsZone)
	w.host("192.0.2.80", "mta-sts.example.org").set(text(strings.Replace(enforce, "enforce", "testing", 1)))
	q := ask("mx1.example.org")
	p := w.For(t.Context(), q)
	check := func(want string, cert tls.Certificate) {
		t.Helper()
		state, _, err := w.shake(p, q, cert, 0)
		if err != nil {
			t.Fatalf("testing refuses: %v", err)
		}
		if got, _ := w.Check(p, q, &state); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	check("", chain(issue(t, w.ca, nil, "mx1.example.org")))
	check(tlspolicy.CertNotTrusted, chain(issue(t, nil, nil, "mx1.example.org")))
	check(tlspolicy.HostMismatch, chain(issue(t, w.ca, nil, "other.test")))
	if got, _ := w.Check(p, q, nil); got != tlspolicy.NoSTARTTLS {
		t.Errorf("without TLS: %q", got)
	}
	q.Exchanger = "evil.test"
	if got, _ := w.Check(w.For(t.Context(), q), q, nil); got != tlspolicy.ValidationFailed {
		t.Errorf("outside: %q", got)
	}
}

// TestLocal: rules, the provider's wish and the message's own; the strongest of all counts, and what a domain publishes is never weakened.
func TestLocal(t *testing.T) {
	t.Parallel()
	rules := []tlspolicy.Rule{
		{Domain: "plain.test", Mode: tlspolicy.None}, {Domain: "bank.test", Mode: tlspolicy.Verified},
		{Exchanger: "mail.big.test", Mode: tlspolicy.Encrypted}, {Domain: "example.org", Mode: tlspolicy.None},
	}
	w := newWorld(t, nil, stsZone, func(o *tlspolicy.Options) { o.Tuning.Rules = rules })
	w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
	for _, tc := range []struct {
		name string
		q    tlspolicy.Question
		mode tlspolicy.Mode
		from string
	}{
		{"default", tlspolicy.Question{Domain: "any.test", Exchanger: "mx.any.test"}, tlspolicy.Opportunistic, "default"},
		{"domain", tlspolicy.Question{Domain: "bank.test", Exchanger: "mx.any.test"}, tlspolicy.Verified, "rule"},
		{"below a domain", tlspolicy.Question{Domain: "a.bank.test", Exchanger: "mx.any.test"}, tlspolicy.Verified, "rule"},
		{"ends alike", tlspolicy.Question{Domain: "notbank.test", Exchanger: "mx.any.test"}, tlspolicy.Opportunistic, "default"},
		{"exchanger", tlspolicy.Question{Domain: "any.test", Exchanger: "mx1.mail.big.test"}, tlspolicy.Encrypted, "rule"},
		{"first rule", tlspolicy.Question{Domain: "plain.test", Exchanger: "mx1.mail.big.test"}, tlspolicy.None, "rule"},
		{"provider", tlspolicy.Question{Domain: "any.test", Exchanger: "mx.any.test", Provider: "required"}, tlspolicy.Encrypted, "provider"},
		{"provider against a weak rule", tlspolicy.Question{Domain: "plain.test", Exchanger: "mx.any.test", Provider: "required"}, tlspolicy.Encrypted, "provider"},
		{"REQUIRETLS", tlspolicy.Question{Domain: "plain.test", Exchanger: "mx.any.test", RequireTLS: true}, tlspolicy.Verified, "requiretls"},
		{"published against a weak rule", tlspolicy.Question{Domain: "example.org", Exchanger: "mx1.example.org"}, tlspolicy.Verified, "sts"},
		{"TLS-Required: No", tlspolicy.Question{Domain: "example.org", Exchanger: "mx1.example.org", TLSOptional: true}, tlspolicy.None, "rule"},
		{"TLS-Required: No against a rule", tlspolicy.Question{Domain: "bank.test", Exchanger: "mx1.any.test", TLSOptional: true}, tlspolicy.Verified, "rule"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if p := w.For(t.Context(), tc.q); p.Mode != tc.mode || p.Source != tc.from || p.Refused != "" {
				t.Errorf("%+v", p)
			}
		})
	}
	words := map[string]bool{}
	for _, q := range []tlspolicy.Question{{Domain: "any.test"}, {Domain: "bank.test"}, {Domain: "plain.test"}, {Domain: "any.test", RequireTLS: true},
		{Domain: "any.test", TLSOptional: true}, {Domain: "any.test", Provider: "required"}} {
		words[w.Local(q)] = true
	}
	if len(words) != 6 {
		t.Errorf("demands that look alike: %v", words)
	}
	if w.Alone(t.Context(), "any.test", false) || !w.Alone(t.Context(), "any.test", true) || !w.Alone(t.Context(), "example.org", false) {
		t.Error("who must have connections of its own")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := tlspolicy.New(tlspolicy.Options{}); err == nil {
		t.Error("no resolver")
	}
	if errors.Is(tlspolicy.ErrNoPolicy, tlspolicy.ErrInvalidPolicy) {
		t.Error("no policy is no fault")
	}
}
