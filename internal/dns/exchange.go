package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	mdns "github.com/miekg/dns"
)

const (
	udpSize  = 1232             // bytes offered by EDNS0, so that no answer needs fragments (DNS flag day 2020)
	maxStray = 8                // stray packets read for one question before TCP is used
	manners  = 10 * time.Minute // how long a server's lack of EDNS or letter case is remembered
	penalty  = 10 * time.Second // how long a silent server is asked last
)

// server is one configured server and what was seen of it; times are in Unix nanoseconds.
type server struct {
	addr    string
	trusted bool // its AD bit counts

	downUntil, plainCaseUntil, noEDNSUntil atomic.Int64
}

func (s *server) failed(now time.Time)    { s.downUntil.Store(now.Add(penalty).UnixNano()) }
func (s *server) good()                   { s.downUntil.Store(0) }
func (s *server) down(now time.Time) bool { return now.UnixNano() < s.downUntil.Load() }

// attempt is one question to one server with the fallbacks that one server may need: TCP after truncation, after a packet whose letter
// case is wrong or after many strays; no EDNS after FORMERR.
func (c *Client) attempt(ctx context.Context, s *server, name string, typ Type, viaTCP bool) (*mdns.Msg, error) {
	now := time.Now()
	mixed, edns := now.UnixNano() >= s.plainCaseUntil.Load(), now.UnixNano() >= s.noEDNSUntil.Load()
	m, err := c.exchange(ctx, s, name, typ, mixed, edns, viaTCP)
	if edns && err == nil && (m.Rcode == mdns.RcodeFormatError || m.Rcode == mdns.RcodeNotImplemented || m.Rcode == mdns.RcodeBadVers) {
		// RFC 6891 7: a server that does not know EDNS may answer FORMERR.
		m, err = c.exchange(ctx, s, name, typ, mixed, false, viaTCP)
		if err == nil && m.Rcode != mdns.RcodeFormatError && m.Rcode != mdns.RcodeNotImplemented {
			s.noEDNSUntil.Store(now.Add(manners).UnixNano())
		}
	}
	return m, err
}

func (c *Client) exchange(ctx context.Context, s *server, name string, typ Type, mixed, edns, viaTCP bool) (*mdns.Msg, error) {
	q, err := c.question(name, typ, mixed, edns)
	if err != nil {
		return nil, err
	}
	if viaTCP {
		return c.stream(ctx, s, q)
	}
	m, err := c.datagram(ctx, s, q)
	switch {
	case errors.Is(err, errTruncated), errors.Is(err, errStrays):
		return c.stream(ctx, s, q)
	case errors.Is(err, errCase):
		c.stats.caseFallback.Add(1)
		return c.afterCase(ctx, s, q, name, typ, edns)
	}
	return m, err
}

// afterCase asks again when the letter case came back changed: the packet was forged, or the server folds case. TCP cannot be forged from
// off the path; a server without TCP is asked once more in plain case. Only what a server has shown itself to do is remembered.
func (c *Client) afterCase(ctx context.Context, s *server, q *query, name string, typ Type, edns bool) (*mdns.Msg, error) {
	remember := func() { s.plainCaseUntil.Store(time.Now().Add(manners).UnixNano()) }
	m, err := c.stream(ctx, s, q)
	if err == nil {
		if q.folded {
			remember()
		}
		return m, nil
	}
	plain, buildErr := c.question(name, typ, false, edns)
	if buildErr != nil {
		return nil, buildErr
	}
	m, err = c.datagram(ctx, s, plain)
	if errors.Is(err, errTruncated) || errors.Is(err, errStrays) {
		return c.stream(ctx, s, plain)
	}
	if err == nil {
		remember()
	}
	return m, err
}

// question is build for this client's servers.
func (c *Client) question(name string, typ Type, mixed, edns bool) (*query, error) {
	q, err := build(name, typ, mixed, edns)
	if err == nil && c.direct {
		const rd = 0x01
		q.wire[2] &^= rd
	}
	return q, err
}

// query is one question as sent.
type query struct {
	wire     []byte
	question int  // end of the question section in wire
	folded   bool // set by accept over TCP: the answer did not keep the letter case
}

// build packs the question with a random id; mixed gives every letter of the name a random case (draft-vixie-dnsext-dns0x20).
func build(name string, typ Type, mixed, edns bool) (*query, error) {
	m := new(mdns.Msg)
	m.RecursionDesired = true
	m.AuthenticatedData = true // RFC 6840 5.7: we understand the AD bit
	m.Question = []mdns.Question{{Name: name, Qtype: uint16(typ), Qclass: mdns.ClassINET}}
	if edns {
		m.SetEdns0(udpSize, true)
	}
	wire, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var random [2 + 32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("%w: no randomness: %w", ErrNetwork, err)
	}
	copy(wire[:2], random[:2])
	q := &query{wire: wire}
	off := 12
	for wire[off] != 0 {
		for end := off + int(wire[off]); off < end; {
			off++
			if b := wire[off] | 0x20; mixed && b >= 'a' && b <= 'z' && random[2+off/8%32]>>(off%8)&1 == 1 {
				wire[off] ^= 0x20
			}
		}
		off++
	}
	q.question = off + 5
	return q, nil
}

// datagram asks over UDP from a new socket, that is a new port, and reads until a packet fits or time is up.
func (c *Client) datagram(ctx context.Context, s *server, q *query) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	conn, err := c.dial(ctx, "udp", s.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c.stats.sentUDP.Add(1)
	if _, err := conn.Write(q.wire); err != nil {
		return nil, wire(err)
	}
	buf := make([]byte, 4096)
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, wire(err)
		}
		m, err := accept(q, buf[:n], false)
		if errors.Is(err, errStray) {
			c.stats.strays.Add(1)
			continue
		}
		return m, err
	}
	return nil, errStrays
}

// stream asks over TCP (RFC 7766), one question for each connection.
func (c *Client) stream(ctx context.Context, s *server, q *query) (*mdns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	conn, err := c.dial(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c.stats.sentTCP.Add(1)
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q.wire))), q.wire...)); err != nil {
		return nil, wire(err)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, wire(err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, wire(err)
	}
	m, err := accept(q, buf, true)
	if errors.Is(err, errStray) {
		c.stats.strays.Add(1)
		return nil, fmt.Errorf("%w: id or question over TCP is not ours", ErrMalformed)
	}
	return m, err
}

func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.o.Dial(ctx, network, addr)
	if err != nil {
		return nil, wire(err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(wire(err), conn.Close())
		}
	}
	return conn, nil
}

// wire tells silence from an unreachable server.
func wire(err error) error {
	var n net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &n) && n.Timeout()) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return fmt.Errorf("%w: %w", ErrNetwork, err)
}
