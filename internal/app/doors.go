package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern/internal/config"
	"postern/internal/intake"
	"postern/internal/smtp"
)

// openDoors opens the SMTP listeners. Each door has its own TLS settings, so that a session ticket of one is worth nothing at
// another.
func (a *App) openDoors(ctx context.Context, c *config.Config) error {
	for _, d := range []struct {
		name     string
		at       config.Listener
		door     intake.Door
		implicit bool
	}{
		{"relay", c.Listen.Relay, intake.Relay, false},
		{"submission", c.Listen.Submission, intake.Submission, false},
		{"submissions", c.Listen.Submissions, intake.Submission, true},
	} {
		var servers []*smtp.Server
		for _, addr := range d.at.Address {
			submission := d.door == intake.Submission
			server, err := smtp.NewServer(smtp.ServerOptions{Name: d.name, Hostname: a.host, Handler: a.handler(d.door), TLS: a.tlsConfig(),
				ImplicitTLS: d.implicit, OfferAuth: submission, RequireAuth: submission, Limits: c.Limits.SMTP(),
				BareNewline: d.at.BareNewline, RequireTLS: keepsRequireTLS(c.Delivery), Logger: a.log})
			if err != nil {
				return fmt.Errorf("listen.%s: %w", d.name, err)
			}
			l, err := listen(ctx, "tcp", addr)
			if err != nil {
				return fmt.Errorf("listen.%s: %w", d.name, err)
			}
			a.doors = append(a.doors, door{d.name, server, l})
			servers = append(servers, server)
		}
		a.metrics.watchServers(d.name, servers)
	}
	return a.openBounces(ctx, c)
}

func (a *App) tlsConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return a.certificate.Load(), nil
	}}
}

// listen opens a port, and says what to do when it cannot.
func listen(ctx context.Context, network string, addr netip.AddrPort) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, network, addr.String())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w; ports below 1024 need the capability CAP_NET_BIND_SERVICE (the systemd unit grants it)", err)
	case err != nil:
		return nil, fmt.Errorf("%w; find what holds the port with `ss -ltnp 'sport = :%d'`, or choose another address", err, addr.Port())
	}
	return l, nil
}

// openFaces opens the pages, the metrics and the operator's socket.
func (a *App) openFaces(ctx context.Context, c *config.Config) error {
	pages, operator, err := a.faces(c)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mountAPI(mux, c.BaseURL(), a.api.Web())
	a.health(mux)
	for _, addr := range c.Listen.Web {
		if err := a.openWeb(ctx, "web", addr, mux); err != nil {
			return err
		}
	}
	figures := http.NewServeMux()
	figures.Handle("/metrics", a.metrics.handler())
	a.health(figures)
	for _, addr := range c.Listen.Metrics {
		if err := a.openWeb(ctx, "metrics", addr, figures); err != nil {
			return err
		}
	}
	return a.openSocket(ctx, c.AdminSocket(), operator)
}

// mountAPI puts the API beside the pages, with the path of their address and without: the web server before us may leave it on.
func mountAPI(mux *http.ServeMux, base string, h http.Handler) {
	paths := []string{""}
	if u, err := url.Parse(base); err == nil && strings.Trim(u.Path, "/") != "" {
		paths = append(paths, strings.TrimRight(u.Path, "/"))
	}
	for _, p := range paths {
		mux.Handle(p+"/api", h)
		mux.Handle(p+"/api/", h)
	}
}

func (a *App) openWeb(ctx context.Context, name string, addr netip.AddrPort, h http.Handler) error {
	l, err := listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen.%s: %w", name, err)
	}
	a.webs = append(a.webs, web{name, a.httpServer(h), l})
	return nil
}

func (a *App) httpServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10}
}

// openSocket opens the operator's socket: whoever may write to it may do everything, so only our own user may.
func (a *App) openSocket(ctx context.Context, path string, operator http.Handler) error {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return fmt.Errorf("listen.admin_socket: another Postern answers on %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listen.admin_socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("listen.admin_socket: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("listen.admin_socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return fmt.Errorf("listen.admin_socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", operator)
	addProfiles(mux)
	server := a.httpServer(mux)
	server.WriteTimeout = 0 // profiles take their time
	a.webs = append(a.webs, web{"admin", server, l})
	return nil
}

// openCertificate loads the certificate of the doors, or makes one at the first start: mail never waits for a certificate
// authority.
func (a *App) openCertificate(_ context.Context, c *config.Config) error {
	cert, err := a.loadCertificate(c)
	if err != nil {
		return err
	}
	a.certificate.Store(cert)
	return nil
}

func (a *App) loadCertificate(c *config.Config) (*tls.Certificate, error) {
	certFile, keyFile := c.TLS.CertFile, c.TLS.KeyFile
	if c.TLS.SelfSigned() {
		certFile, keyFile = filepath.Join(c.DataDir, "self-signed.crt"), filepath.Join(c.DataDir, "self-signed.key")
		if err := selfSign(certFile, keyFile, a.host, time.Now()); err != nil {
			return nil, err
		}
		a.log.Info("TLS uses a certificate made here; clients cannot check it. Set tls.cert_file for one they can", "file", certFile)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &cert, nil
}

// selfSign makes a certificate for host unless a usable one is there.
func selfSign(certFile, keyFile, host string, now time.Time) error {
	if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err == nil && now.Add(30*24*time.Hour).Before(leaf.NotAfter) && leaf.VerifyHostname(host) == nil {
			return nil
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(2, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})); err != nil {
		return err
	}
	return writeFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// writeFile replaces a file whole: a half-written key would stop the next start.
func writeFile(name string, data []byte) error {
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// linkSecret returns the key of message links: the configured one, or one made at the first start and kept.
func linkSecret(c *config.Config) ([]byte, error) {
	if c.Web.Secret != "" {
		sum := sha256.Sum256([]byte(c.Web.Secret))
		return sum[:], nil
	}
	path := filepath.Join(c.DataDir, "link-secret")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fresh := make([]byte, 32)
		if _, err := rand.Read(fresh); err != nil {
			return nil, err
		}
		text = []byte(hex.EncodeToString(fresh))
		err = writeFile(path, text)
	}
	if err != nil {
		return nil, fmt.Errorf("the secret of message links: %w", err)
	}
	secret, err := hex.DecodeString(string(text))
	if err != nil || len(secret) != 32 {
		return nil, fmt.Errorf("the secret of message links in %s is damaged; remove the file to make a new one (old links then stop working)", path)
	}
	return secret, nil
}
