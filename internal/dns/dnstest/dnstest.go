// Package dnstest is a small DNS server on loopback, UDP and TCP on one port, with zones from text. Tests use it as the DNS of their
// world, and the demonstration world serves itself from it.
//
// Zones are master-file text (RFC 1035 5): several zones in one text, each normally with its SOA; names are relative to the root unless
// $ORIGIN says otherwise; the default TTL is 300 s; wildcards work (RFC 4592). The server behaves like a resolver that knows nothing but
// these zones: it follows CNAMEs inside them, says NXDOMAIN for names that do not exist (also outside all zones), NODATA for names that
// do, and puts the SOA of the zone, or one of its own making, beside every negative answer. It has name servers of the root, as every
// resolver has. AA and RA are set.
//
// Trouble is ordered per name with Fail, FailType, Hold and Hook. Count tells how often a name was asked. Everything may be changed
// while the server runs. The server ends with Close; a question that it could not read is ignored.
package dnstest

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"postern/internal/dns"
)

// Mode is a way to answer badly, ordered for a name with Fail.
type Mode int

// The ways to answer badly.
const (
	OK             Mode = iota // answer from the zones; takes an order back
	ServFail                   // RCODE SERVFAIL
	Refused                    // RCODE REFUSED
	Timeout                    // no answer at all
	Truncate                   // UDP: TC set and no records; TCP: the true answer
	Malformed                  // a packet with the right id that ends in the middle of a record
	WrongID                    // the true answer under another id
	Lame                       // a referral to other servers, neither authoritative nor recursive
	NXDomain                   // RCODE NXDOMAIN whatever the zones hold
	Bogus                      // SERVFAIL with the extended error "DNSSEC bogus" (RFC 8914)
	FormErr                    // RCODE FORMERR
	NotImp                     // RCODE NOTIMP
	NoEDNS                     // FORMERR to questions with EDNS, true answer to others
	LowerCase                  // the true answer with the question in lower case
	WrongQuestion              // the true answer to a question about another name
	TruncateAlways             // TC set and no records, over TCP too
	DropUDP                    // no answer over UDP, the true one over TCP
	Filtered                   // NXDOMAIN with the extended error "filtered" (RFC 8914): a resolver that hides the name
	Unsigned                   // the true answer without the AD bit, although SetSecure sets it: a zone without DNSSEC
)

// Reply is what a Hook wants to happen with a question.
type Reply struct {
	Msg  *mdns.Msg // sent as it is, its id included; nil: look at Raw
	Raw  []byte    // bytes sent as they are; nil with Msg nil: no answer
	Pass bool      // true: not the hook's business, answer from orders and zones
}

// Hook decides about a question before everything else. network is "udp" or "tcp". It may be called concurrently.
type Hook func(network string, question *mdns.Msg) Reply

// Server serves zones on a loopback address over UDP and TCP. All methods may be called from many goroutines.
type Server struct {
	udp, tcp *mdns.Server
	addr     string
	closed   chan struct{}
	closing  sync.Once

	mu     sync.Mutex
	data   *zones
	fails  map[order]Mode
	delays map[string]time.Duration
	holds  map[string]chan struct{}
	counts map[order]int
	total  int
	secure bool
	hook   Hook

	authority bool
}

type order struct {
	name string // canonical; "*" all names; "*.x" all names under x
	typ  uint16 // 0 all types
}

// New starts a server with the given zones on a free port of 127.0.0.1. The caller closes it.
func New(zone string) (*Server, error) {
	return Listen("127.0.0.1:0", zone)
}

// Listen is New on a given address "host:port", UDP and TCP; port 0 takes a free one.
func Listen(addr, zone string) (*Server, error) {
	data, err := parse(zone)
	if err != nil {
		return nil, err
	}
	s := &Server{data: data, closed: make(chan struct{}), fails: map[order]Mode{}, delays: map[string]time.Duration{}, holds: map[string]chan struct{}{}, counts: map[order]int{}}
	l, pc, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS on %s: %w", addr, err)
	}
	s.addr = l.Addr().String()
	handler := mdns.HandlerFunc(s.serve)
	started := make(chan struct{}, 2)
	notify := func() { started <- struct{}{} }
	s.udp = &mdns.Server{PacketConn: pc, Handler: handler, NotifyStartedFunc: notify}
	s.tcp = &mdns.Server{Listener: l, Handler: handler, NotifyStartedFunc: notify}
	// Their errors are those of the sockets that Close closes.
	go func() { _ = s.udp.ActivateAndServe() }()
	go func() { _ = s.tcp.ActivateAndServe() }()
	<-started
	<-started
	return s, nil
}

// listen takes the same port for TCP and UDP, trying other ports when somebody else holds one of the two.
func listen(addr string) (net.Listener, net.PacketConn, error) {
	var last error
	for range 20 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, pc, nil
		}
		last = errors.Join(err, l.Close())
	}
	return nil, nil, last
}

// Start is New for a test: it ends the test on error and closes the server with it.
func Start(t testing.TB, zone string) *Server {
	t.Helper()
	s, err := New(zone)
	if err != nil {
		t.Fatalf("dnstest: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Addr is the address "127.0.0.1:port", for UDP and TCP.
func (s *Server) Addr() string { return s.addr }

// Set replaces all zones at once. On a mistake in the text the old zones stay. Orders and counts are kept.
func (s *Server) Set(zone string) error {
	data, err := parse(zone)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = data
	return nil
}

// Fail orders how questions of all types for name are answered until another order; OK takes it back. "*" means every name without its
// own order, "*.example.org" every name under example.org.
func (s *Server) Fail(name string, mode Mode) { s.FailType(name, 0, mode) }

// FailType is Fail for one record type; it goes before an order for all types.
func (s *Server) FailType(name string, typ dns.Type, mode Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := order{canonical(name), uint16(typ)}
	if name == "*" {
		key.name = "*"
	}
	if mode == OK {
		delete(s.fails, key)
		return
	}
	s.fails[key] = mode
}

// Delay lets every answer for name, "*.x" or "*" (as in Fail) take d more, beside what else is ordered; 0 takes it back.
func (s *Server) Delay(name string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := name
	if name != "*" {
		key = canonical(name)
	}
	if d <= 0 {
		delete(s.delays, key)
		return
	}
	s.delays[key] = d
}

// Hold keeps every question for name waiting until release is called or the server closes. release may be called more than once.
func (s *Server) Hold(name string) (release func()) {
	gate := make(chan struct{})
	key := canonical(name)
	s.mu.Lock()
	s.holds[key] = gate
	s.mu.Unlock()
	var once sync.Once
	return func() {
		once.Do(func() {
			s.mu.Lock()
			if s.holds[key] == gate {
				delete(s.holds, key)
			}
			s.mu.Unlock()
			close(gate)
		})
	}
}

// SetHook installs h before all orders and zones; nil removes it.
func (s *Server) SetHook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// SetSecure lets all answers carry the AD bit, as a validating resolver does for signed zones.
func (s *Server) SetSecure(secure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secure = secure
}

// Count is how many packets asked for name since the start, of all types and over both networks.
func (s *Server) Count(name string) int { return s.CountType(name, 0) }

// CountType is Count for one record type.
func (s *Server) CountType(name string, typ dns.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[order{canonical(name), uint16(typ)}]
}

// Total is how many packets asked for anything since the start.
func (s *Server) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Close stops the server and frees its port. Held questions end without answer. It may be called more than once.
func (s *Server) Close() {
	s.closing.Do(func() {
		close(s.closed)
		// Both only fail when the server was not started, which New excludes.
		_ = s.udp.Shutdown()
		_ = s.tcp.Shutdown()
	})
}

// Resolver is a client of this server without cache and with short timeouts (two attempts of 700 ms), so that tests see every change at
// once and a Timeout order does not take long. Make your own with dns.New and Addr to test with a cache.
func (s *Server) Resolver(t testing.TB) dns.Resolver {
	t.Helper()
	c, err := dns.New(dns.Options{Servers: []string{s.Addr()}, CacheEntries: -1, Timeout: 700 * time.Millisecond, Attempts: 2})
	if err != nil {
		t.Fatalf("dnstest: %v", err)
	}
	return c
}

func canonical(name string) string {
	return strings.ToLower(mdns.Fqdn(name))
}
