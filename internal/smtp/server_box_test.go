package smtp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// box is a handler that keeps what it is given. Its hooks, when set, decide instead of saying yes.
type box struct {
	onSession func(c *smtp.Conn) error
	onMail    func(t *smtp.Transaction) error
	onRcpt    func(t *smtp.Transaction, r mail.Recipient) error
	onData    func(ctx context.Context, t *smtp.Transaction, msg []byte) (smtp.Reply, error)
	onAuth    func(c *smtp.Conn, user, password string) error

	mu     sync.Mutex
	mails  []letter
	conns  []*smtp.Conn
	closed int
}

type letter struct {
	t   smtp.Transaction
	msg string
}

type boxSession struct{ b *box }

func (b *box) NewSession(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
	if b.onSession != nil {
		if err := b.onSession(c); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	b.conns = append(b.conns, c)
	b.mu.Unlock()
	return boxSession{b}, nil
}

func (s boxSession) Mail(_ context.Context, t *smtp.Transaction) error {
	if s.b.onMail != nil {
		return s.b.onMail(t)
	}
	return nil
}

func (s boxSession) Rcpt(_ context.Context, t *smtp.Transaction, r mail.Recipient) error {
	if s.b.onRcpt != nil {
		return s.b.onRcpt(t, r)
	}
	return nil
}

func (s boxSession) Data(ctx context.Context, t *smtp.Transaction, msg []byte) (smtp.Reply, error) {
	if s.b.onData != nil {
		return s.b.onData(ctx, t, msg)
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.mails = append(s.b.mails, letter{*t, string(msg)})
	return smtp.Reply{Code: 250, Enhanced: smtp.Enhanced{2, 0, 0}, Lines: []string{"Ok: queued as ID"}}, nil
}

func (s boxSession) Auth(_ context.Context, c *smtp.Conn, user, password string) error {
	if s.b.onAuth != nil {
		return s.b.onAuth(c, user, password)
	}
	if user == "alice" && password == "secret" {
		return nil
	}
	return smtp.Errorf(535, smtp.Enhanced{5, 7, 8}, "Authentication credentials invalid")
}

func (s boxSession) Close() {
	s.b.mu.Lock()
	s.b.closed++
	s.b.mu.Unlock()
}

func (b *box) letters() []letter {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]letter(nil), b.mails...)
}

// newServer makes a server with the box as its handler; set may change the options.
func newServer(t testing.TB, b *box, set func(o *smtp.ServerOptions)) *smtp.Server {
	t.Helper()
	o := smtp.ServerOptions{Hostname: "mx.test", Handler: b}
	o.Limits.NewPerMinutePerIP = -1
	if set != nil {
		set(&o)
	}
	s, err := smtp.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start serves on a loopback port until the test ends, and checks that the server drains.
func start(t testing.TB, s *smtp.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// serve is newServer and start.
func serve(t testing.TB, b *box, set func(o *smtp.ServerOptions)) string {
	t.Helper()
	return start(t, newServer(t, b, set))
}

// certificate is a self-signed one for mx.test, and the client's side of it.
var certificate = sync.OnceValues(func() (*tls.Config, *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.test"}, DNSNames: []string{"mx.test"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: "mx.test"}
})

func boxTLS() *tls.Config       { s, _ := certificate(); return s.Clone() }
func boxClientTLS() *tls.Config { _, c := certificate(); return c.Clone() }

// fakeAddr gives a connection any remote address.
type fakeAddr struct {
	net.Conn
	remote net.Addr
}

func (f fakeAddr) RemoteAddr() net.Addr { return f.remote }

func from(c net.Conn, ip string) net.Conn {
	return fakeAddr{c, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 4711))}
}

// pipeListener is a listener whose connections are handed to it.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// dial connects from the given address.
func (l *pipeListener) dial(ip string) net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- from(theirs, ip)
	return ours
}

var errPlain = errors.New("the disk is on fire")

func quote(s string) string { return strconv.Quote(s) }
