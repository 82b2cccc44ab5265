package smtp_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"postern/internal/smtp"
	"postern/internal/smtp/smtptest"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestAuthMatrix goes through the mechanisms and their wrong uses; each case is one connection from loopback.
func TestAuthMatrix(t *testing.T) {
	t.Parallel()
	const opening = "S: 220 *\nC: EHLO x\nR: 250 *\n"
	plain := func(s string) string { return "C: AUTH PLAIN " + b64(s) + "\n" }
	for _, tc := range []struct{ name, script, user string }{
		{"plain", plain("\x00alice\x00secret") + "S: 235 2.7.0 *\n", "alice"},
		{"plain, authzid equal", plain("alice\x00alice\x00secret") + "S: 235 2.7.0 *\n", "alice"},
		{"plain, authzid other", plain("bob\x00alice\x00secret") + "S: 535 5.7.8 *\n", ""},
		{"plain, challenge", "C: AUTH plain\nS: 334 \nC: " + b64("\x00alice\x00secret") + "\nS: 235 2.7.0 *\n", "alice"},
		{"plain, cancelled", "C: AUTH PLAIN\nS: 334 \nC: *\nS: 501 5.7.0 *\n", ""},
		{"plain, wrong", plain("\x00alice\x00wrong") + "S: 535 5.7.8 *\n", ""},
		{"plain, two parts", plain("alice\x00secret") + "S: 535 5.7.8 *\n", ""},
		{"plain, four parts", plain("\x00alice\x00secret\x00") + "S: 535 5.7.8 *\n", ""},
		{"plain, empty password", plain("\x00alice\x00") + "S: 535 5.7.8 *\n", ""},
		{"plain, empty user", plain("\x00\x00secret") + "S: 535 5.7.8 *\n", ""},
		{"plain, empty", "C: AUTH PLAIN =\nS: 535 5.7.8 *\n", ""},
		{"plain, not UTF-8", plain("\x00alice\x00\xff") + "S: 535 5.7.8 *\n", ""},
		{"plain, not base64", "C: AUTH PLAIN !!!!\nS: 501 5.5.2 *\n", ""},
		{"plain, padding missing", "C: AUTH PLAIN " + strings.TrimRight(b64("\x00alice\x00secret!"), "=") + "\nS: 501 5.5.2 *\n", ""},
		{"plain, trailing bits", "C: AUTH PLAIN AB==\nS: 501 5.5.2 *\n", ""},
		{"plain, two words", "C: AUTH PLAIN AAAA AAAA\nS: 501 5.5.2 *\n", ""},
		{"login", "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: " + b64("alice") + "\nS: 334 UGFzc3dvcmQ6\nC: " + b64("secret") + "\nS: 235 *\n", "alice"},
		{"login, initial", "C: AUTH LOGIN " + b64("alice") + "\nS: 334 UGFzc3dvcmQ6\nC: " + b64("secret") + "\nS: 235 *\n", "alice"},
		{"login, NUL", "C: AUTH LOGIN " + b64("ali\x00ce") + "\nS: 334 *\nC: " + b64("secret") + "\nS: 535 *\n", ""},
		{"login, cancelled late", "C: AUTH LOGIN " + b64("alice") + "\nS: 334 *\nC: *\nS: 501 5.7.0 *\n", ""},
		{"login, bare LF closes", "C: AUTH LOGIN\nS: 334 *\nC| \"YWxpY2U=\\n\"\nS: 501 5.5.2 *\nS: EOF\n", "-"},
		{"unknown mechanism", "C: AUTH CRAM-MD5\nS: 504 5.5.4 *\n", ""},
		{"no mechanism", "C: AUTH\nS: 504 5.5.4 *\n", ""},
		{"twice", plain("\x00alice\x00secret") + "S: 235 *\n" + plain("\x00alice\x00secret") + "S: 503 5.5.1 *\n", "alice"},
		{"in a transaction", "C: MAIL FROM:<a@a.test>\nS: 250 *\n" + plain("\x00alice\x00secret") + "S: 503 5.5.1 *\nC: RSET\nS: 250 *\n", ""},
		{"survives EHLO", plain("\x00alice\x00secret") + "S: 235 *\nC: EHLO y\nR: 250 *\n", "alice"},
		{"line too long", "C: AUTH PLAIN\nS: 334 \nC: " + strings.Repeat("A", 12288) + "\nS: 500 5.5.6 *\n", ""},
		{"longest line", "C: AUTH PLAIN\nS: 334 \nC: " + strings.Repeat("A", 12284) + "\nS: 535 5.7.8 *\n", ""},
		{"longest initial response", "C: AUTH PLAIN " + strings.Repeat("A", 12272) + "\nS: 535 5.7.8 *\n", ""},
		{"initial response too long", "C: AUTH PLAIN " + strings.Repeat("A", 12276) + "\nS: 500 5.5.2 *\n", ""},
		{"broken back end", plain("\x00broken\x00secret") + "S: 454 4.7.0 *\n", ""},
		{"three failures close", strings.Repeat(plain("\x00alice\x00wrong")+"S: 535 *\n", 2) + plain("\x00alice\x00wrong") + "S: 421 4.7.0 *\nS: EOF\n", "-"},
		{"cancelling counts", strings.Repeat("C: AUTH PLAIN\nS: 334 \nC: *\nS: 501 *\n", 2) + "C: AUTH PLAIN\nS: 334 \nC: *\nS: 421 *\nS: EOF\n", "-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := &box{onAuth: func(_ *smtp.Conn, user, password string) error {
				switch {
				case user == "broken":
					return errPlain
				case user == "alice" && password == "secret":
					return nil
				}
				return smtp.Errorf(535, smtp.Enhanced{5, 7, 8}, "Authentication credentials invalid")
			}}
			var log bytes.Buffer
			s := newServer(t, b, func(o *smtp.ServerOptions) {
				o.OfferAuth = true
				o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			addr := start(t, s)
			script := withQuit(tc.user, opening+tc.script)
			smtptest.Client(t, addr, script)
			if tc.user != "-" && b.conns[0].User != tc.user {
				t.Errorf("user %q, want %q", b.conns[0].User, tc.user)
			}
			for _, secret := range []string{"secret", "wrong", b64("secret"), b64("\x00alice\x00secret")} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log holds %q: %s", secret, log.String())
				}
			}
		})
	}
}

// withQuit ends the script with QUIT unless the server closes it.
func withQuit(user, script string) string {
	if user == "-" {
		return script
	}
	return script + bye
}

// TestAuthNeedsTLS offers AUTH under TLS and to loopback clients only.
func TestAuthNeedsTLS(t *testing.T) {
	t.Parallel()
	b := &box{}
	s := newServer(t, b, func(o *smtp.ServerOptions) { o.OfferAuth = true; o.TLS = boxTLS() })
	said := talk(s, "192.0.2.1", "EHLO x\r\nAUTH PLAIN "+b64("\x00alice\x00secret")+"\r\nQUIT\r\n")
	if strings.Contains(said, "AUTH PLAIN") || codes(said) != "220 250 538 221" {
		t.Errorf("in the clear: %s", said)
	}
	for _, ip := range []string{"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"} {
		if said := talk(s, ip, "EHLO x\r\nAUTH PLAIN "+b64("\x00alice\x00secret")+"\r\nQUIT\r\n"); codes(said) != "220 250 235 221" {
			t.Errorf("from %s: %s", ip, said)
		}
	}
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() { s.ServeConn(t.Context(), from(theirs, "192.0.2.1")); close(done) }()
	err := smtptest.Dialog{TLS: boxClientTLS()}.Play(ours, `
		S: 220 *
		C: EHLO before
		R: 250 *
		C: MAIL FROM:<a@a.test>
		S: 250 *
		C: STARTTLS
		S: 220 2.0.0 Ready to start TLS
		S: TLS
		C: RCPT TO:<b@b.test>
		S: 503 5.5.1 *
		C: MAIL FROM:<a@a.test>
		S: 503 5.5.1 Say EHLO first
		C: EHLO after
		S: 250-mx.test
		S: 250-AUTH PLAIN LOGIN
		R: 250 *
		C: STARTTLS
		S: 503 5.5.1 *
		C: AUTH PLAIN `+b64("\x00alice\x00secret")+`
		S: 235 2.7.0 *
		C: MAIL FROM:<a@a.test>
		S: 250 *
		C: RCPT TO:<b@b.test>
		S: 250 *
		C: DATA
		S: 354 *
		C: .
		S: 250 *
		C: QUIT
		S: 221 *
		S: EOF`)
	ours.Close()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	c := b.conns[len(b.conns)-1]
	if c.TLS == nil || c.User != "alice" || c.Hello != "after" || !c.ESMTP {
		t.Errorf("%+v", c)
	}
}

// TestTicketsStayHome resumes a TLS session at the server that gave the ticket and at no other with the same certificate.
func TestTicketsStayHome(t *testing.T) {
	t.Parallel()
	one := serve(t, &box{}, func(o *smtp.ServerOptions) { o.TLS = boxTLS(); o.ImplicitTLS = true })
	shared := boxTLS()
	two := serve(t, &box{}, func(o *smtp.ServerOptions) { o.TLS = shared; o.ImplicitTLS = true })
	three := serve(t, &box{}, func(o *smtp.ServerOptions) { o.TLS = shared; o.ImplicitTLS = true })
	cfg := boxClientTLS()
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	resumed := func(addr string) bool {
		conn, err := tls.Dial("tcp", addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := (smtptest.Dialog{}).Play(conn, "S: 220 *\nC: EHLO x\nR: 250 *\n"+bye); err != nil {
			t.Fatal(err)
		}
		return conn.ConnectionState().DidResume
	}
	var got []bool
	for _, addr := range []string{one, one, two, two, three, three} {
		got = append(got, resumed(addr))
	}
	if want := "[false true false true false true]"; fmt.Sprint(got) != want {
		t.Errorf("resumed %v, want %s", got, want)
	}
}
