package delivery_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/smtp"
	"postern/internal/smtp/smtptest"
)

// certificate makes a certificate for names, and the pool that trusts it.
func certificate(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tpl.IPAddresses = append(tpl.IPAddresses, ip)
		} else {
			tpl.DNSNames = append(tpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// script is a scripted server; several scripts serve one connection each, the last one all that follow.
func script(t *testing.T, scripts ...string) string {
	t.Helper()
	return smtptest.Serve(t, scripts...).Addr().String()
}

// TestOpportunisticTLS: used where offered, whatever the certificate; without where it fails.
func TestOpportunisticTLS(t *testing.T) {
	t.Parallel()
	t.Run("offered", func(t *testing.T) {
		t.Parallel()
		w, m := simple(t, nil, tlsServer(t))
		w.send("you@there.test")
		if g := m.next(); !g.tls {
			t.Error("spoken in plain text")
		}
	})
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		w, m := simple(t, func(o *delivery.Options) { o.Tuning.NoTLS = true }, tlsServer(t))
		w.send("you@there.test")
		if g := m.next(); g.tls {
			t.Error("encrypted")
		}
		w.Tune(delivery.Tuning{})
		w.await("delivered", 1)
		m.quiet() // the open connection idles out
		w.send("you@there.test")
		if g := m.next(); !g.tls {
			t.Error("the new tuning was not used")
		}
	})
	for name, dialog := range map[string]string{
		"handshake fails": "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nS| \"this is no handshake\\r\\n\"",
		"refused":         "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 not now\nC: EOF",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, one, nil)
			ok := "S: 220 mx\nC: EHLO *\nS: 250-mx\nS: 250 STARTTLS\nC: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: 354 go\nD: *\nS: 250 taken\nC: QUIT\nS: 221 bye"
			w.at("192.0.2.1", script(t, dialog, ok))
			id := w.send("you@there.test")
			w.await("delivered", 1)
			w.expect(id, "you@there.test", journal.Delivered, 250, "taken")
		})
	}
}

// auth is an exchanger behind a login.
type auth struct {
	*mx
	t *testing.T
}

type authSession struct{ mxSession }

func (a auth) NewSession(ctx context.Context, c *smtp.Conn) (smtp.Session, error) {
	s, err := a.mx.NewSession(ctx, c)
	if err != nil {
		return nil, err
	}
	return authSession{s.(mxSession)}, nil
}

func (authSession) Auth(_ context.Context, _ *smtp.Conn, user, password string) error {
	if user != "gate" || password != "secret" {
		return &smtp.Error{Code: 535, Enhanced: smtp.Enhanced{5, 7, 8}, Text: "wrong password"}
	}
	return nil
}

// TestSmarthost: everything leaves through one server, whose certificate is checked before the password is sent.
func TestSmarthost(t *testing.T) {
	t.Parallel()
	smart := "$ORIGIN smart.test.\n@ 300 IN A 192.0.2.7\n"
	cert, pool := certificate(t, "smart.test")
	host := func(t *testing.T, implicit bool) *mx {
		return newMX(t, func(o *smtp.ServerOptions) {
			o.TLS, o.ImplicitTLS, o.OfferAuth, o.RequireAuth = &tls.Config{Certificates: []tls.Certificate{cert}}, implicit, true, true
			o.Handler = auth{o.Handler.(*mx), t}
		})
	}
	for _, tc := range []struct {
		name  string
		s     delivery.Smarthost
		trust bool
		port  string
		ok    bool
		text  string
	}{
		{"STARTTLS", delivery.Smarthost{Host: "smart.test", User: "gate", Password: "secret"}, true, "587", true, ""},
		{"required by name", delivery.Smarthost{Host: "smart.test", User: "gate", Password: "secret", TLS: "required"}, true, "587", true, ""},
		{"implicit", delivery.Smarthost{Host: "smart.test", User: "gate", Password: "secret", TLS: "implicit"}, true, "465", true, ""},
		{"other port", delivery.Smarthost{Host: "smart.test", Port: 2525, User: "gate", Password: "secret"}, true, "2525", true, ""},
		{"untrusted certificate", delivery.Smarthost{Host: "smart.test", User: "gate", Password: "secret"}, false, "587", false, "certificate"},
		{"untrusted certificate, implicit", delivery.Smarthost{Host: "smart.test", User: "gate", Password: "secret", TLS: "implicit"}, false, "465", false, "certificate"},
		{"certificate of another name", delivery.Smarthost{Host: "192.0.2.7", User: "gate", Password: "secret"}, true, "587", false, "certificate"},
		{"wrong password", delivery.Smarthost{Host: "smart.test", User: "gate", Password: "wrong"}, true, "587", false, "wrong password"},
		{"no address", delivery.Smarthost{Host: "nowhere.test"}, true, "587", false, "no address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, smart, func(o *delivery.Options) {
				o.Smarthost = &tc.s
				if o.RootCAs = x509.NewCertPool(); tc.trust {
					o.RootCAs = pool
				}
			})
			m := host(t, tc.s.TLS == "implicit")
			w.at("192.0.2.7:"+tc.port, m.addr)
			id := w.send("you@there.test", "he@anywhere.test")
			if !tc.ok {
				// Whatever is wrong between us and the smarthost is ours to mend: the mail waits.
				w.await("deferred", 2)
				w.expect(id, "you@there.test", journal.Deferred, 451, tc.text)
				return
			}
			w.await("delivered", 2)
			if g := m.all(); len(g) != 1 || len(g[0].env.Recipients) != 2 || !g[0].tls {
				t.Errorf("arrived: %+v", g)
			}
			for _, l := range w.Lanes() {
				if l.Lane != "smarthost" {
					t.Errorf("lane: %+v", l)
				}
			}
		})
	}
	t.Run("no TLS offered, password kept", func(t *testing.T) {
		t.Parallel()
		w := begin(t, smart, func(o *delivery.Options) {
			o.Smarthost = &delivery.Smarthost{Host: "smart.test", User: "gate", Password: "secret"}
		})
		w.at("192.0.2.7:587", script(t, "S: 220 smart\nC: EHLO *\nS: 250-smart\nS: 250 AUTH PLAIN LOGIN\nC: EOF"))
		id := w.send("you@there.test")
		w.await("deferred", 1)
		w.expect(id, "you@there.test", journal.Deferred, 451, "starttls: extension is not offered")
	})
	for _, offer := range []bool{true, false} {
		t.Run("opportunistic", func(t *testing.T) {
			t.Parallel()
			w := begin(t, smart, func(o *delivery.Options) { o.Smarthost = &delivery.Smarthost{Host: "192.0.2.7", TLS: "opportunistic"} })
			m := newMX(t, func(o *smtp.ServerOptions) {
				if offer {
					o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
				}
			})
			w.at("192.0.2.7:587", m.addr)
			w.send("you@there.test")
			if g := m.next(); g.tls != offer {
				t.Errorf("offered %v, encrypted %v", offer, g.tls)
			}
		})
	}
	t.Run("login in plain text on loopback", func(t *testing.T) {
		t.Parallel()
		w := begin(t, "", func(o *delivery.Options) {
			o.Smarthost = &delivery.Smarthost{Host: "127.0.0.1", User: "gate", Password: "secret", TLS: "none"}
		})
		m := newMX(t, func(o *smtp.ServerOptions) { o.OfferAuth = true; o.Handler = auth{o.Handler.(*mx), t} })
		w.at("127.0.0.1:587", m.addr)
		w.send("you@there.test")
		m.next()
	})
	t.Run("refused for good", func(t *testing.T) {
		t.Parallel()
		w := begin(t, smart, func(o *delivery.Options) { o.Smarthost = &delivery.Smarthost{Host: "smart.test", TLS: "none"} })
		m := newMX(t)
		w.at("192.0.2.7:587", m.addr)
		id := w.send("r550@there.test", "you@there.test")
		w.await("bounced", 1)
		w.expect(id, "r550@there.test", journal.Bounced, 550, "as you wish")
		if !strings.HasPrefix(w.last(id, "r550@there.test").Host, "smart.test[") {
			t.Error("the smarthost is not named")
		}
	})
}
