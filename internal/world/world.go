// Package world is a small internet on loopback: a DNS server with a zone for everybody, mail providers with manners of their own, and
// the senders of a gateway. `postern demo` plays its story here, and end-to-end tests use it as their surroundings.
//
// # What is in it
//
// Start opens one DNS server (Names; package dnstest) and the providers of Providers, each an SMTP server on its own address of 127.0.20.0/24,
// all on one port that the kernel chose. Every provider offers STARTTLS with a certificate made here, checks SPF, DKIM and DMARC of
// what it is given against the DNS of this world, and keeps what it took as Letters. What they answer is modelled on the texts
// that real providers send; none of them is that provider. All names end in .example, which nobody owns (RFC 2606).
//
// Demo (demo.go) puts a whole gateway (package app) in the middle and tells a story in which every step is checked: what does not
// happen as told is an error.
//
// # What is not in it
//
// No root, no packet that leaves loopback, no fixed port: several worlds live beside each other. It needs a system on which all of
// 127.0.0.0/8 is this machine (Linux).
//
// # How it fails
//
// Start fails when an address cannot be opened, and says which. Once started nothing fails; Close ends all servers and waits for them.
package world

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// The addresses of this world. Egress is where the gateway's mail leaves from.
var (
	Egress     = netip.MustParseAddr("127.0.10.1")
	providerIP = netip.MustParsePrefix("127.0.20.0/24")
)

// GatewayHost is the gateway's name: the forward and reverse records of Egress say so.
const GatewayHost = "gate.postern.example"

// Options is what Start needs. Zero values take the defaults named at each field.
type Options struct {
	GreyFor    time.Duration // how long the greylisting provider wants a stranger to wait; default 500 ms
	PenaltyFor time.Duration // how long the error-limiting provider refuses a client; default 3 s
	Logger     *slog.Logger  // for trouble of the servers; nil: silent
	Now        func() time.Time
}

// World is a running small internet. Its methods may be called from many goroutines.
type World struct {
	Names     *Names
	Providers []*Provider // the five with manners, then the senders' own mailboxes
	Port      int         // of every provider

	o        Options
	resolver dns.Resolver // remembers nothing
	stop     context.CancelFunc
	servers  sync.WaitGroup

	mu      sync.Mutex
	letters []Letter
	taken   int           // letters in all, those forgotten included
	come    chan struct{} // closed and replaced with each letter
}

// Start opens the DNS server and all providers. Close ends them; so does the end of ctx.
func Start(ctx context.Context, o Options) (w *World, err error) {
	if o.GreyFor == 0 {
		o.GreyFor = 500 * time.Millisecond
	}
	if o.PenaltyFor == 0 {
		o.PenaltyFor = 3 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	w = &World{o: o, come: make(chan struct{})}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	if w.Names, err = newNames(); err != nil {
		return nil, err
	}
	// Short patience: this name server is on the same machine.
	if w.resolver, err = dns.New(dns.Options{Servers: []string{w.Names.Addr()}, CacheEntries: -1, Timeout: 2 * time.Second, Attempts: 2}); err != nil {
		return nil, err
	}
	for i, m := range manners() {
		ip := providerIP.Addr().Next()
		for range i {
			ip = ip.Next()
		}
		w.Providers = append(w.Providers, newProvider(w, m, ip))
	}
	if err := w.Names.Set(w.records()); err != nil {
		return nil, err
	}
	return w, w.open(ctx)
}

// open listens on one port of all providers' addresses and serves.
func (w *World) open(ctx context.Context) error {
	listeners, err := w.listen(ctx)
	if err != nil {
		return err
	}
	certificate, err := w.certificate()
	if err != nil {
		return err
	}
	ctx, w.stop = context.WithCancel(ctx)
	for i, p := range w.Providers {
		server, err := smtp.NewServer(smtp.ServerOptions{Name: p.Domain, Hostname: p.Host, Handler: p, Logger: w.o.Logger, DrainGrace: time.Second,
			TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, Limits: unlimited()})
		if err != nil {
			return fmt.Errorf("provider %s: %w", p.Domain, err)
		}
		w.servers.Go(func() {
			if err := server.Serve(ctx, listeners[i]); err != nil {
				w.o.Logger.Error("provider ended", "provider", p.Domain, "error", err)
			}
		})
	}
	return nil
}

// unlimited are the limits of a server whose clients all have loopback addresses: what its manners say counts, nothing else.
func unlimited() smtp.Limits {
	return smtp.Limits{Connections: -1, ConnectionsPerIP: -1, ConnectionsPerNetwork: -1, NewPerMinutePerIP: -1, Messages: -1, Errors: 1000, SoftErrors: 1000,
		Junk: 1000, MinRate: -1}
}

// portTries is how often another port is tried: the kernel chooses one for the first address only.
const portTries = 20

func (w *World) listen(ctx context.Context) ([]net.Listener, error) {
	var last error
	for range portTries {
		var open []net.Listener
		port := uint16(0)
		for _, p := range w.Providers {
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(p.IP, port).String())
			if err != nil {
				last = fmt.Errorf("provider %s on %s: %w", p.Domain, p.IP, err)
				break
			}
			open = append(open, l)
			port = netip.MustParseAddrPort(l.Addr().String()).Port()
		}
		if len(open) == len(w.Providers) {
			w.Port = int(port)
			return open, nil
		}
		for _, l := range open {
			_ = l.Close()
		}
		if !errors.Is(last, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("%w; this world needs all of 127.0.0.0/8 to be this machine, as on Linux", last)
}

// certificate makes one for all providers. Nobody can check it, as with many real ones.
func (w *World) certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := w.o.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "providers of a small internet"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, p := range w.Providers {
		template.DNSNames = append(template.DNSNames, p.Host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Close ends all servers. It may be called more than once.
func (w *World) Close() {
	if w.stop != nil {
		w.stop()
	}
	w.servers.Wait()
	if w.Names != nil {
		w.Names.close()
	}
}

// Provider returns the provider of a mail domain, nil when there is none.
func (w *World) Provider(domain string) *Provider {
	if i := slices.IndexFunc(w.Providers, func(p *Provider) bool { return p.Domain == domain }); i >= 0 {
		return w.Providers[i]
	}
	return nil
}

// keepLetters bounds the letters remembered: a demonstration may run for days.
const keepLetters = 1000

func (w *World) keep(l Letter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.letters) == keepLetters {
		w.letters = slices.Delete(w.letters, 0, keepLetters/2)
	}
	w.letters = append(w.letters, l)
	w.taken++
	close(w.come)
	w.come = make(chan struct{})
}

// Letters returns the newest letters that were taken, oldest first.
func (w *World) Letters() []Letter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.letters)
}

// Since returns the letters that came after the first n, as far as they are remembered, and how many there are now.
func (w *World) Since(n int) (letters []Letter, taken int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh := min(max(w.taken-n, 0), len(w.letters))
	return slices.Clone(w.letters[len(w.letters)-fresh:]), w.taken
}

// More waits until more than n letters were taken. False: ctx ended first.
func (w *World) More(ctx context.Context, n int) bool {
	for {
		w.mu.Lock()
		come, taken := w.come, w.taken
		w.mu.Unlock()
		if taken > n {
			return true
		}
		select {
		case <-come:
		case <-ctx.Done():
			return false
		}
	}
}

// Mailbox returns the letters that arrived for an address, oldest first.
func (w *World) Mailbox(a mail.Address) []Letter {
	return slices.DeleteFunc(w.Letters(), func(l Letter) bool { return !l.For(a) })
}

// Await returns the first letter that want says yes to, waiting for it until ctx ends. Letters that came before count.
func (w *World) Await(ctx context.Context, want func(Letter) bool) (Letter, error) {
	for {
		w.mu.Lock()
		come := w.come
		i := slices.IndexFunc(w.letters, want)
		var found Letter
		if i >= 0 {
			found = w.letters[i]
		}
		w.mu.Unlock()
		if i >= 0 {
			return found, nil
		}
		select {
		case <-come:
		case <-ctx.Done():
			return Letter{}, fmt.Errorf("no such letter arrived: %w", ctx.Err())
		}
	}
}
