package tlspolicy_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postern/internal/dns/dnstest"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/tlspolicy"
)

// start is when every test begins.
var start = time.Date(2026, 11, 21, 18, 40, 5, 0, time.UTC)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serials struct {
	sync.Mutex
	n int64
}

// issue makes a certificate; by nil signs itself. change may alter the template.
func issue(t testing.TB, by *issued, change func(*x509.Certificate), names ...string) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serials.Lock()
	serials.n++
	n := serials.n
	serials.Unlock()
	tpl := &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "test"}, NotBefore: start.Add(-time.Hour),
		NotAfter: start.Add(90 * 24 * time.Hour), DNSNames: names, BasicConstraintsValid: true}
	if len(names) == 0 {
		tpl.IsCA, tpl.KeyUsage, tpl.Subject.CommonName = true, x509.KeyUsageCertSign, "authority "+big.NewInt(n).String()
	}
	if change != nil {
		change(tpl)
	}
	if by == nil {
		by = &issued{tpl, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{c, key}
}

// chain is a certificate as a server shows it, with those above it.
func chain(leaf *issued, above ...*issued) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}
	for _, a := range above {
		c.Certificate = append(c.Certificate, a.cert.Raw)
	}
	return c
}

// host is a policy host or report receiver behind HTTPS.
type host struct {
	*httptest.Server
	mu     sync.Mutex
	serve  http.HandlerFunc
	asked  int
	bodies [][]byte
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked++
	serve := h.serve
	h.mu.Unlock()
	serve(w, r)
}

func (h *host) set(f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serve = f
}

func (h *host) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(s))
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
}

// sent is a report that was to be mailed.
type sent struct {
	to                       mail.Address
	subject, filename, about string
	gz                       []byte
}

// world is a Book with a DNS, an authority and policy hosts.
type world struct {
	*tlspolicy.Book
	t     testing.TB
	o     tlspolicy.Options
	dns   *dnstest.Server
	clock *storetest.Clock
	ca    *issued
	log   *bytes.Buffer

	mu      sync.Mutex
	hosts   map[string]string // address that DNS gives -> where it is
	mails   []sent
	sendErr error
}

func newWorld(t testing.TB, db *store.DB, zone string, change ...func(*tlspolicy.Options)) *world {
	t.Helper()
	w := &world{t: t, dns: dnstest.Start(t, zone), clock: storetest.NewClock(start), ca: issue(t, nil, nil), hosts: map[string]string{}, log: new(bytes.Buffer)}
	w.dns.SetSecure(true)
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	w.o = tlspolicy.Options{DB: db, Resolver: w.dns.Resolver(t), RootCAs: pool, Now: w.clock.Now, Dial: w.dial, Submitter: "gate.example",
		Organization: "Gate", Contact: "postmaster@gate.example", Tuning: tlspolicy.Tuning{Reports: true},
		Logger: slog.New(slog.NewTextHandler(&locked{b: w.log}, nil)),
		Send: func(_ context.Context, to mail.Address, subject, filename string, gz []byte, about string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.sendErr != nil {
				return w.sendErr
			}
			w.mails = append(w.mails, sent{to, subject, filename, about, gz})
			return nil
		}}
	for _, f := range change {
		f(&w.o)
	}
	w.restart()
	return w
}

type locked struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// restart makes the Book anew, as a new start of the gateway does.
func (w *world) restart() {
	w.t.Helper()
	b, err := tlspolicy.New(w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Book = b
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	at := w.hosts[addr]
	w.mu.Unlock()
	if at == "" {
		return nil, errors.New("connection refused")
	}
	return new(net.Dialer).DialContext(ctx, network, at)
}

// host starts an HTTPS server at an address of the tests' internet, with a certificate for names.
func (w *world) host(ip string, names ...string) *host {
	w.t.Helper()
	return w.hostWith(ip, chain(issue(w.t, w.ca, nil, names...)))
}

func (w *world) hostWith(ip string, c tls.Certificate) *host {
	w.t.Helper()
	h := &host{serve: status(404)}
	h.Server = httptest.NewUnstartedServer(h)
	h.Server.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	h.Server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	h.StartTLS()
	w.t.Cleanup(h.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[ip+":443"] = h.Listener.Addr().String()
	return h
}

func (w *world) posted() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]sent(nil), w.mails...)
}

// ask is a question about an exchanger of example.org with everything signed.
func ask(exchanger string) tlspolicy.Question {
	return tlspolicy.Question{Domain: "example.org", Exchanger: exchanger, Authentic: true, Addr: netip.MustParseAddr("192.0.2.1"), AddrSigned: true}
}

// shake connects to a server with a certificate, as the policy wants it.
func (w *world) shake(p tlspolicy.Policy, q tlspolicy.Question, cert tls.Certificate, version uint16) (state tls.ConnectionState, sni string, err error) {
	w.t.Helper()
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version, MinVersion: tls.VersionTLS10}
	names := make(chan string, 1)
	c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- h.ServerName
		return nil, nil
	}
	state, err = w.meet(p, q, c)
	return state, <-names, err
}

// meet is shake with all of the server's configuration.
func (w *world) meet(p tlspolicy.Policy, q tlspolicy.Question, c *tls.Config) (tls.ConnectionState, error) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		server := tls.Server(conn, c)
		if server.Handshake() == nil {
			_, _ = server.Write([]byte("hello"))
			_, _ = server.Read(make([]byte, 1)) // until the client has gone
		}
	}()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	client := tls.Client(near, w.Config(p, q))
	if err = client.Handshake(); err == nil {
		_, err = client.Read(make([]byte, 5)) // with what follows the handshake, tickets too
	}
	_ = near.Close()
	<-done
	return client.ConnectionState(), err
}
