package delivery_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/journal"
	"postern/internal/mail"
)

// oldHost is a mail exchanger from before 8BITMIME: it offers nothing but SIZE.
type oldHost struct {
	addr string
	came chan string

	mu    sync.Mutex
	conns int
	from  []string // the MAIL commands
}

func newOldHost(t *testing.T) *oldHost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &oldHost{addr: l.Addr().String(), came: make(chan string, 10)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { h.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return h
}

// heard returns the number of connections and the MAIL commands so far.
func (h *oldHost) heard() (conns int, from []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conns, append([]string(nil), h.from...)
}

func (h *oldHost) serve(c net.Conn) {
	defer c.Close()
	h.mu.Lock()
	h.conns++
	h.mu.Unlock()
	in := bufio.NewReader(c)
	say := func(s string) { fmt.Fprint(c, s+"\r\n") }
	say("220 old.there.test ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(line[:min(len(line), 4)]); verb {
		case "EHLO":
			say("250-old.there.test\r\n250 SIZE 1000000")
		case "MAIL":
			h.mu.Lock()
			h.from = append(h.from, strings.TrimSpace(line))
			h.mu.Unlock()
			say("250 2.1.0 ok")
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			h.came <- b.String()
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// TestSevenBit: 8-bit mail reaches a server without 8BITMIME: re-encoded, signed anew, on the same connection; a server that takes
// 8-bit mail gets it as it is.
func TestSevenBit(t *testing.T) {
	t.Parallel()
	w, modern := simple(t, nil)
	if err := w.dns.Set(rootZone + one + "$ORIGIN old.test.\n@ 300 IN MX 10 mx\nmx 300 IN A 192.0.2.2\n"); err != nil {
		t.Fatal(err)
	}
	old := newOldHost(t)
	w.at("192.0.2.2", old.addr)
	key, err := dkim.GenerateKey("shop.test", "s1", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.accounts.AddKey(t.Context(), account.KeyRecord{Domain: "shop.test", Selector: "s1", Algorithm: account.Ed25519, PEM: key.PEM(), Active: true}); err != nil {
		t.Fatal(err)
	}
	m := w.compose("a@old.test", "b@there.test")
	m.Body = []byte("From: L'équipe <news@shop.test>\r\nSubject: Votre commande est prête\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\nDéjà en route, elle arrive demain dans la matinée.\r\n.\r\n")
	id := w.put(m)
	plain := modern.next().data
	seven := <-old.came
	w.await("delivered", 2)
	w.expect(id, "a@old.test", journal.Delivered, 250, "taken")

	for _, c := range []byte(seven) {
		if c >= 0x80 {
			t.Fatalf("8-bit octets in\n%s", seven)
		}
	}
	for _, want := range []string{"Subject: =?utf-8?q?Votre_commande_est_pr=C3=AAte?=\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", "\r\n\r\nD=C3=A9j=C3=A0 en route, elle arrive demain dans la matin=C3=A9e.\r\n.\r\n"} {
		if !strings.Contains(seven, want) {
			t.Errorf("%q is not in\n%s", want, seven)
		}
	}
	if !strings.Contains(string(plain), string(m.Body)) {
		t.Errorf("the server with 8BITMIME got\n%s", plain)
	}
	if conns, from := old.heard(); conns != 1 || len(from) != 1 || strings.Contains(from[0], "BODY=") {
		t.Errorf("%d connections, MAIL %q", conns, from)
	}
	a, b := mail.Parse(plain, mail.DefaultLimits()), mail.Parse([]byte(seven), mail.DefaultLimits())
	if a.Text() != b.Text() || a.Subject() != b.Subject() || a.From()[0].Name != b.From()[0].Name {
		t.Errorf("the readers differ: %q %q", a.Text(), b.Text())
	}
	if err := w.dns.Set(rootZone + "$ORIGIN .\n" + strings.Replace(key.RecordZone(), " IN ", " 300 IN ", 1) + "\n"); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"as it was": plain, "re-encoded": []byte(seven)} {
		if s := dkim.Verify(t.Context(), w.dns.Resolver(t), raw, w.now()); len(s) != 1 || s[0].Status != dkim.StatusPass {
			t.Errorf("signature of the message %s: %+v", name, s)
		}
	}
}

// TestSevenBitImpossible: what may not be changed bounces, and the connection carries the next message.
func TestSevenBitImpossible(t *testing.T) {
	t.Parallel()
	w := begin(t, one, nil)
	old := newOldHost(t)
	w.at("192.0.2.1", old.addr)
	m := w.compose("a@there.test")
	m.Body = []byte("From: news@shop.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\né\r\n--b\r\n\r\nsig\r\n--b--\r\n")
	id := w.put(m)
	w.await("bounced", 1)
	w.expect(id, "a@there.test", journal.Bounced, 554, "8BITMIME")
	if f := w.last(id, "a@there.test"); f.Enhanced != "5.6.3" {
		t.Errorf("enhanced code %s", f.Enhanced)
	}
	if _, from := old.heard(); len(from) != 0 {
		t.Errorf("the server heard %q", from)
	}
	next := w.send("a@there.test")
	<-old.came
	w.await("delivered", 1)
	w.expect(next, "a@there.test", journal.Delivered, 250, "taken")
}
