package smtp_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// peerAddr is where the client believes the scripted peer lives.
var peerAddr = netip.MustParseAddrPort("192.0.2.25:25")

// peer plays one script on its end of a connection. Lines of a script:
//
//	S: text     send text and CRLF
//	S> "quoted" send the unquoted bytes
//	C: prefix   read a line that begins with prefix
//	BODY        read up to the line with the lone dot
//	TLS         become a TLS server
//	DRIP text   send text, one byte every 10 s, for ever
//	FLOOD n s   send s n times
//	CLOSE, RST, HALF   close, reset (TCP), close the writing side (TCP)
//	SILENT      read nothing more, say nothing, until the client leaves
//
// At the end of the script the peer reads until the client leaves.
type peer struct {
	conn   net.Conn
	raw    net.Conn      // under conn
	quit   chan struct{} // closed when the test is over
	in     *bufio.Reader
	tls    *tls.Config
	body   string // what the last BODY read, without the final dot
	failed string // the first line that did not come as told
}

func (p *peer) play(script string) {
	for _, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if !p.step(line) {
			return
		}
	}
	p.in.WriteTo(discard{})
	p.conn.Close()
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// step plays one line and reports whether the script goes on.
func (p *peer) step(line string) bool {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "S:":
		_, err := p.conn.Write([]byte(arg + "\r\n"))
		return err == nil
	case "S>":
		raw, err := strconv.Unquote(arg)
		if err != nil {
			panic(err)
		}
		_, err = p.conn.Write([]byte(raw))
		return err == nil
	case "C:":
		got, err := p.in.ReadString('\n')
		if err != nil {
			return false
		}
		if !strings.HasPrefix(got, arg) || !strings.HasSuffix(got, "\r\n") {
			p.failed = fmt.Sprintf("got %q, the script wants %q", got, arg)
			p.conn.Close()
			return false
		}
		return true
	case "BODY":
		p.body = ""
		for {
			got, err := p.in.ReadString('\n')
			if err != nil {
				return false
			}
			if got == ".\r\n" {
				return true
			}
			p.body += got
		}
	case "TLS":
		secured := tls.Server(p.conn, p.tls)
		if secured.Handshake() != nil {
			p.conn.Close()
			return false
		}
		p.conn, p.in = secured, bufio.NewReader(secured)
		return true
	case "DRIP":
		for {
			for i := range len(arg) {
				if _, err := p.conn.Write([]byte{arg[i]}); err != nil {
					return false
				}
				time.Sleep(10 * time.Second)
			}
		}
	case "FLOOD":
		count, text, _ := strings.Cut(arg, " ")
		n, _ := strconv.Atoi(count)
		raw, err := strconv.Unquote(text)
		if err != nil {
			panic(err)
		}
		block := []byte(strings.Repeat(raw, 1+4096/len(raw)))
		for sent := 0; sent < n*len(raw); sent += len(block) {
			if _, err := p.conn.Write(block); err != nil {
				return false
			}
		}
		return true
	case "CLOSE":
		p.conn.Close()
		return false
	case "RST":
		p.raw.(*net.TCPConn).SetLinger(0)
		p.raw.Close()
		return false
	case "HALF":
		p.raw.(*net.TCPConn).CloseWrite()
		return true
	case "SILENT":
		<-p.quit
		p.raw.Close()
		return false
	}
	panic("unknown script line " + line)
}

// playScript starts a peer and returns a dialer to it. wait ends the peer's part
// and returns it.
func playScript(t testing.TB, network, script string) (dial func(context.Context, string, string) (net.Conn, error), wait func() *peer) {
	t.Helper()
	near, far := connection(t, network)
	p := &peer{conn: far, raw: far, quit: make(chan struct{}), in: bufio.NewReader(far), tls: serverTLS()}
	var done sync.WaitGroup
	done.Go(func() { p.play(script) })
	dial = func(context.Context, string, string) (net.Conn, error) { return near, nil }
	return dial, func() *peer {
		close(p.quit)
		near.Close()
		done.Wait()
		return p
	}
}

// connection returns both ends of an in-memory pipe or a loopback connection.
func connection(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	if network == "pipe" {
		return net.Pipe()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// serverTLS returns a self-signed TLS configuration, made once.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

func clientTLS() *tls.Config { return &tls.Config{ServerName: "mx.example", InsecureSkipVerify: true} }

// envelopeTo returns an envelope from a@sender.example.
func envelopeTo(locals ...string) mail.Envelope {
	env := mail.Envelope{ReversePath: mail.Address{Local: "a", Domain: "sender.example"}}
	for _, l := range locals {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address{Local: l, Domain: "rcpt.example"}})
	}
	return env
}

func dialPeer(dial func(context.Context, string, string) (net.Conn, error)) (*smtp.Client, error) {
	return smtp.Dial(context.Background(), peerAddr, smtp.ClientOptions{Hostname: "out.example", Dial: dial})
}

const testMessage = "Subject: test\r\n\r\n.dot\r\nbody\r\n"
