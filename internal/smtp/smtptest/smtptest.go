// Package smtptest plays written SMTP conversations, against a server under test or for a client under test, so that a
// test reads like the dialog it is about.
//
// A script has one step per line; blank lines and lines that begin with # are skipped, leading white space too:
//
//	S: 220 mail.example ESMTP*   one line of the server; * stands for any text
//	R: 250 *                     a whole reply of the server, however many lines; the pattern is for its last one
//	C: EHLO client.example       one line of the client
//	S| "250 odd\n"               bytes of the server exactly as quoted in Go, without a line end added
//	C| "\x16\x03\x01"            bytes of the client, likewise
//	D: Subject:*                 the client's message up to the line "."; \n in the pattern stands for a line end
//	S: EOF                       the server closes the connection
//	C: EOF                       the client closes the connection
//	S: TLS, C: TLS               the handshake, when the conversation has a TLS configuration
//
// The side that is played sends its own lines and checks the other's. A step that fails ends the conversation with an error that
// names the line of the script.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Role is the side of the conversation that is played.
type Role byte

// The two sides.
const (
	AsClient Role = 'C'
	AsServer Role = 'S'
)

// Dialog is one conversation. Zero fields are usable.
type Dialog struct {
	Role    Role          // default AsClient
	TLS     *tls.Config   // for the TLS steps
	Timeout time.Duration // per step; default 10 s
}

// Play runs script over conn and closes nothing but at an EOF step of the own side.
func (d Dialog) Play(conn net.Conn, script string) error {
	if d.Role == 0 {
		d.Role = AsClient
	}
	if d.Timeout == 0 {
		d.Timeout = 10 * time.Second
	}
	p := &player{d: d, conn: conn, r: bufio.NewReader(conn)}
	for n, line := range strings.Split(script, "\n") {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		p.conn.SetDeadline(time.Now().Add(d.Timeout))
		if err := p.step(line); err != nil {
			return fmt.Errorf("script line %d %q: %w", n+1, line, err)
		}
	}
	return nil
}

type player struct {
	d    Dialog
	conn net.Conn
	r    *bufio.Reader
}

func (p *player) step(line string) error {
	if len(line) < 2 {
		return errors.New("not a step")
	}
	side, kind, text := line[0], line[1], strings.TrimPrefix(line[2:], " ")
	own := Role(side) == p.d.Role || side == 'R' && p.d.Role == AsServer
	switch {
	case kind == '|' && (side == 'S' || side == 'C'):
		raw, err := strconv.Unquote(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("not a quoted string: %w", err)
		}
		if own {
			_, err = io.WriteString(p.conn, raw)
			return err
		}
		return p.expectRaw(raw)
	case kind != ':' || !strings.ContainsRune("SCRD", rune(side)):
		return errors.New("not a step")
	case side == 'D':
		return p.message(text)
	case text == "EOF" && own:
		return p.conn.Close()
	case text == "EOF":
		if b, err := p.r.ReadByte(); err == nil {
			rest, _ := p.r.ReadString('\n')
			return fmt.Errorf("want the connection closed, got %q", string(b)+rest)
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			return errors.New("want the connection closed, it stays open")
		}
		return nil
	case text == "TLS":
		return p.handshake()
	case own:
		_, err := io.WriteString(p.conn, text+"\r\n")
		return err
	case side == 'R':
		return p.reply(text)
	}
	got, err := p.line()
	if err != nil {
		return err
	}
	return match(text, got)
}

func (p *player) expectRaw(want string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.r, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// line reads one line, which must end with CRLF.
func (p *player) line() (string, error) {
	s, err := p.r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("got %q: %w", s, err)
	}
	text, ok := strings.CutSuffix(s, "\r\n")
	if !ok || strings.ContainsRune(text, '\r') {
		return "", fmt.Errorf("got %q: line end is not CRLF", s)
	}
	return text, nil
}

func (p *player) reply(pattern string) error {
	for {
		got, err := p.line()
		if err != nil {
			return err
		}
		if len(got) > 3 && got[3] == '-' {
			continue
		}
		return match(pattern, got)
	}
}

func (p *player) message(pattern string) error {
	if p.d.Role == AsClient {
		text := strings.ReplaceAll(pattern, `\n`, "\r\n")
		_, err := io.WriteString(p.conn, text+"\r\n.\r\n")
		return err
	}
	var lines []string
	for {
		got, err := p.line()
		if err != nil {
			return err
		}
		if got == "." {
			return match(strings.ReplaceAll(pattern, `\n`, "\n"), strings.Join(lines, "\n"))
		}
		lines = append(lines, strings.TrimPrefix(got, "."))
	}
}

func (p *player) handshake() error {
	if p.d.TLS == nil {
		return errors.New("the dialog has no TLS configuration")
	}
	var conn *tls.Conn
	if p.d.Role == AsServer {
		conn = tls.Server(p.conn, p.d.TLS)
	} else {
		conn = tls.Client(p.conn, p.d.TLS)
	}
	if err := conn.Handshake(); err != nil {
		return err
	}
	p.conn, p.r = conn, bufio.NewReader(conn)
	return nil
}

func match(pattern, got string) error {
	if !Match(pattern, got) {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

// Match reports whether text fits pattern, in which * stands for any text, also none.
func Match(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}

// Client plays the client side of script against the server at addr and fails the test when the server says something else.
func Client(t testing.TB, addr, script string) {
	t.Helper()
	ClientTLS(t, addr, nil, script)
}

// ClientTLS is Client with a TLS configuration for its TLS steps.
func ClientTLS(t testing.TB, addr string, cfg *tls.Config, script string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := (Dialog{Role: AsClient, TLS: cfg}).Play(conn, script); err != nil {
		t.Fatal(err)
	}
}

// Host is a scripted server on a loopback port.
type Host struct {
	l  net.Listener
	wg sync.WaitGroup
}

// Serve starts a scripted server: the first connection is answered with the first script and so on, the last script serves all
// that follow. After a script the connection is closed. A client that says something else than the script fails the test. The
// server ends with the test, and waits for conversations still running.
func Serve(t testing.TB, scripts ...string) *Host {
	t.Helper()
	return ServeTLS(t, nil, scripts...)
}

// ServeTLS is Serve with a TLS configuration for the TLS steps.
func ServeTLS(t testing.TB, cfg *tls.Config, scripts ...string) *Host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{l: l}
	h.wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			script := scripts[min(n, len(scripts)-1)]
			h.wg.Go(func() {
				defer conn.Close()
				if err := (Dialog{Role: AsServer, TLS: cfg}).Play(conn, script); err != nil {
					t.Errorf("connection %d: %v", n+1, err)
				}
			})
		}
	})
	t.Cleanup(h.Close)
	return h
}

// Addr is where the server listens.
func (h *Host) Addr() netip.AddrPort {
	return h.l.Addr().(*net.TCPAddr).AddrPort()
}

// Close ends the server and waits for its conversations.
func (h *Host) Close() {
	h.l.Close()
	h.wg.Wait()
}
