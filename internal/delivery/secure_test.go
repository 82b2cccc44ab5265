package delivery_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/tlspolicy"
)

// secureZone has two domains with the same exchangers; one of them publishes an MTA-STS policy.
const secureZone = `
$ORIGIN big.test.
mx1 300 IN A 192.0.2.1
mx2 300 IN A 192.0.2.2
$ORIGIN one.test.
@ 300 IN MX 10 mx1.big.test.
@ 300 IN MX 20 mx2.big.test.
_mta-sts 300 IN TXT "v=STSv1; id=1"
mta-sts 300 IN A 192.0.2.80
$ORIGIN two.test.
@ 300 IN MX 10 mx1.big.test.
@ 300 IN MX 20 mx2.big.test.
$ORIGIN evil.test.
@ 300 IN MX 10 mx1.evil.test.
mx1 300 IN A 192.0.2.1
_mta-sts 300 IN TXT "v=STSv1; id=1"
mta-sts 300 IN A 192.0.2.80
`

// secured is a world with a book of TLS policies. Everything that pool trusts is trusted; policy is what one.test serves.
func secured(t *testing.T, zone, policy string, pool *x509.CertPool, rules ...tlspolicy.Rule) *world {
	t.Helper()
	host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte(policy))
	}))
	cert, _ := certificate(t, "mta-sts.one.test", "mta-sts.evil.test")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	host.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	host.StartTLS()
	t.Cleanup(host.Close)
	return idle(t, zone, func(o *delivery.Options) {
		o.PerLane = 1
		book, err := tlspolicy.New(tlspolicy.Options{Resolver: o.Resolver, RootCAs: pool, Tuning: tlspolicy.Tuning{Rules: rules},
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				if policy == "" {
					return nil, errors.New("no policy host")
				}
				return new(net.Dialer).DialContext(ctx, network, host.Listener.Addr().String())
			}})
		if err != nil {
			t.Fatal(err)
		}
		o.TLS = book
	})
}

const enforced = "version: STSv1\nmode: enforce\nmx: *.big.test\nmax_age: 86400\n"

// exchanger is a server at an address of the world with a certificate; none: it has no TLS.
func (w *world) exchanger(ip string, cert *tls.Certificate, promise bool) *mx {
	w.t.Helper()
	m := newMX(w.t, func(o *smtp.ServerOptions) {
		if cert != nil {
			o.TLS, o.RequireTLS = &tls.Config{Certificates: []tls.Certificate{*cert}}, promise
		}
	})
	w.at(ip, m.addr)
	return m
}

// TestTwoDomainsOneExchanger: what one domain demands does not hold for the other, and neither does a connection that one of them was content with.
func TestTwoDomainsOneExchanger(t *testing.T) {
	t.Parallel()
	good, pool := certificate(t, "mx1.big.test")
	t.Run("separate connections", func(t *testing.T) {
		t.Parallel()
		for _, policy := range []string{enforced, ""} {
			w := secured(t, secureZone, policy, pool.Clone())
			m := w.exchanger("192.0.2.1", &good, false)
			for range 3 {
				w.send("you@one.test")
				w.send("you@two.test")
			}
			w.run()
			w.await("delivered", 6)
			connections := len(w.dials())
			if policy == "" && connections != 1 || policy != "" && connections < 2 {
				t.Errorf("policy %q: %d connections", policy, connections)
			}
			for _, g := range m.all() {
				if !g.tls {
					t.Error("in plain text")
				}
			}
			w.stop()
		}
	})
	t.Run("separate fates", func(t *testing.T) {
		t.Parallel()
		bad, _ := certificate(t, "mx1.big.test")
		w := secured(t, secureZone, enforced, pool.Clone())
		w.exchanger("192.0.2.1", &bad, false)
		w.exchanger("192.0.2.2", nil, false)
		id := w.send("you@one.test", "he@two.test")
		w.run()
		w.await("deferred", 1)
		w.await("delivered", 1)
		w.expect(id, "he@two.test", journal.Delivered, 250, "")
		w.expect(id, "you@one.test", journal.Deferred, 451, "the MTA-STS policy of one.test")
		if f := w.last(id, "you@one.test"); f.Enhanced != "4.7.5" {
			t.Errorf("enhanced %q", f.Enhanced)
		}
	})
}

// TestDemanded: what happens where the TLS of an exchanger is not what the mail must have.
func TestDemanded(t *testing.T) {
	t.Parallel()
	good, pool := certificate(t, "mx1.big.test", "mx2.big.test")
	bad, _ := certificate(t, "mx1.big.test", "mx2.big.test")
	leaf, err := x509.ParseCertificate(bad.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	records := func(digest string) string {
		return secureZone + "_25._tcp.mx1.big.test. 300 IN TLSA 3 1 1 " + digest + "\n_25._tcp.mx2.big.test. 300 IN TLSA 3 1 1 " + digest + "\n"
	}
	type envelope = func(*mail.Envelope)
	require := func(e *mail.Envelope) { e.RequireTLS = true }
	optional := func(e *mail.Envelope) { e.TLSOptional = true }
	for _, tc := range []struct {
		name          string
		zone          string // default secureZone
		signed        bool
		policy        string
		rules         []tlspolicy.Rule
		first, second *tls.Certificate
		promise       bool // both offer REQUIRETLS
		to            string
		wish          envelope
		kind          journal.Kind
		code          int
		enhanced      string
		text          string
	}{
		{name: "MTA-STS satisfied", policy: enforced, first: &good, second: &good, kind: journal.Delivered, code: 250},
		{name: "the next exchanger satisfies", policy: enforced, first: nil, second: &good, kind: journal.Delivered, code: 250},
		{name: "the next exchanger's certificate is good", policy: enforced, first: &bad, second: &good, kind: journal.Delivered, code: 250},
		{name: "no TLS anywhere", policy: enforced, kind: journal.Deferred, code: 451, enhanced: "4.7.5", text: "does not offer TLS"},
		{name: "certificate from nobody", policy: enforced, first: &bad, second: &bad, kind: journal.Deferred, code: 451, enhanced: "4.7.5", text: "unknown authority"},
		{name: "exchanger not in the policy", policy: enforced, first: &good, to: "you@evil.test", kind: journal.Deferred, code: 451, enhanced: "4.7.5", text: "not a mail exchanger of evil.test"},
		{name: "testing", policy: strings.Replace(enforced, "enforce", "testing", 1), first: &bad, kind: journal.Delivered, code: 250},
		{name: "TLS-Required: No", policy: enforced, first: &bad, wish: optional, kind: journal.Delivered, code: 250},
		{name: "TLS-Required: No, without any TLS", policy: enforced, wish: optional, kind: journal.Delivered, code: 250},
		{name: "rule: encrypted", rules: []tlspolicy.Rule{{Domain: "two.test", Mode: tlspolicy.Encrypted}}, first: &bad, to: "you@two.test", kind: journal.Delivered, code: 250},
		{name: "rule: encrypted, no TLS", rules: []tlspolicy.Rule{{Domain: "two.test", Mode: tlspolicy.Encrypted}}, to: "you@two.test", kind: journal.Deferred, code: 451, enhanced: "4.7.5", text: "delivery.tls_rules"},
		{name: "rule: verified", rules: []tlspolicy.Rule{{Exchanger: "big.test", Mode: tlspolicy.Verified}}, first: &bad, second: &bad, to: "you@two.test", kind: journal.Deferred, code: 451, enhanced: "4.7.5", text: "delivery.tls_rules"},
		{name: "rule: none", rules: []tlspolicy.Rule{{Domain: "two.test", Mode: tlspolicy.None}}, first: &good, to: "you@two.test", kind: journal.Delivered, code: 250},
		{name: "DANE satisfied", zone: records(hex.EncodeToString(sum[:])), signed: true, first: &bad, to: "you@two.test", kind: journal.Delivered, code: 250},
		{name: "DANE not satisfied", zone: records(strings.Repeat("00", 32)), signed: true, first: &good, second: &good, to: "you@two.test", kind: journal.Deferred, code: 451, enhanced: "4.7.5", text: "TLSA"},
		{name: "DANE without DNSSEC", zone: records(strings.Repeat("00", 32)), first: &good, to: "you@two.test", kind: journal.Delivered, code: 250},
		{name: "REQUIRETLS kept", first: &good, second: &good, promise: true, to: "you@two.test", wish: require, kind: journal.Delivered, code: 250},
		{name: "REQUIRETLS under DANE", zone: records(hex.EncodeToString(sum[:])), signed: true, first: &bad, promise: true, to: "you@two.test", wish: require, kind: journal.Delivered, code: 250},
		{name: "REQUIRETLS not promised", first: &good, second: &good, to: "you@two.test", wish: require, kind: journal.Bounced, code: 550, enhanced: "5.7.30", text: "REQUIRETLS"},
		{name: "REQUIRETLS without TLS", to: "you@two.test", wish: require, kind: journal.Bounced, code: 550, enhanced: "5.7.10", text: "does not offer TLS"},
		{name: "REQUIRETLS, certificate from nobody", first: &bad, second: &bad, promise: true, to: "you@two.test", wish: require, kind: journal.Bounced, code: 550, enhanced: "5.7.10", text: "REQUIRETLS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			zone := secureZone
			if tc.zone != "" {
				zone = tc.zone
			}
			w := secured(t, zone, tc.policy, pool.Clone(), tc.rules...)
			w.dns.SetSecure(tc.signed)
			first, second := w.exchanger("192.0.2.1", tc.first, tc.promise), w.exchanger("192.0.2.2", tc.second, tc.promise)
			to := "you@one.test"
			if tc.to != "" {
				to = tc.to
			}
			m := w.compose(to)
			if tc.wish != nil {
				tc.wish(&m.Envelope)
			}
			id := w.put(m)
			w.run()
			w.await(string(tc.kind), 1)
			w.expect(id, to, tc.kind, tc.code, tc.text)
			if f := w.last(id, to); tc.enhanced != "" && f.Enhanced != tc.enhanced {
				t.Errorf("enhanced %q, want %q", f.Enhanced, tc.enhanced)
			}
			took := append(first.all(), second.all()...)
			if (len(took) == 1) != (tc.kind == journal.Delivered) {
				t.Errorf("%d messages arrived", len(took))
			}
			for _, g := range took {
				if g.env.RequireTLS != m.Envelope.RequireTLS {
					t.Error("REQUIRETLS did not travel with the message")
				}
			}
		})
	}
	t.Run("one exchanger may keep the promise later", func(t *testing.T) {
		t.Parallel()
		w := secured(t, secureZone, "", pool.Clone())
		w.exchanger("192.0.2.2", &good, false) // the other one cannot be reached now
		m := w.compose("you@two.test")
		m.Envelope.RequireTLS = true
		id := w.put(m)
		w.run()
		w.await("deferred", 1)
		w.expect(id, "you@two.test", journal.Deferred, 451, "connection refused")
	})
	t.Run("no way back to plain text", func(t *testing.T) {
		t.Parallel()
		w := secured(t, secureZone, enforced, pool.Clone())
		broken := "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS| \"this is no handshake\\r\\n\""
		refused := "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nC: EOF"
		w.at("192.0.2.1", script(t, broken))
		w.at("192.0.2.2", script(t, refused))
		id := w.send("you@one.test")
		w.run()
		w.await("deferred", 1)
		w.expect(id, "you@one.test", journal.Deferred, 451, "the MTA-STS policy of one.test demands it")
	})
}
