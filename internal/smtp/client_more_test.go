package smtp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// TestClientStartTLSInjection holds the cases of USENIX Security 2021 ("Why TLS
// is better without STARTTLS") that concern a client.
func TestClientStartTLSInjection(t *testing.T) {
	t.Parallel()
	const offer = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250-SIZE 1\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\n"
	for _, tc := range []struct {
		name, script string
		class        string
		phase        smtp.Phase
		usable       bool
	}{
		{"reply after 220 in one piece", offer + `S> "220 go\r\n250 injected\r\n"` + "\nTLS", "protocol", smtp.PhaseStartTLS, false},
		{"capabilities after 220 in one piece", offer + `S> "220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n"` + "\nTLS", "protocol", smtp.PhaseStartTLS, false},
		{"one byte after 220", offer + `S> "220 go\r\n2"` + "\nTLS", "protocol", smtp.PhaseStartTLS, false},
		{"reply after 220 in a second piece", offer + "S: 220 go\nS: 250 injected\nTLS", "lost", smtp.PhaseHandshake, false},
		{"second 220", offer + `S> "220 go\r\n220 go\r\n"` + "\nTLS", "protocol", smtp.PhaseStartTLS, false},
		{"early reply to STARTTLS", "S: 220 mx\nC: EHLO\n" + `S> "250-mx\r\n250 STARTTLS\r\n220 go\r\n"`, "protocol", smtp.PhaseStartTLS, false},
		{"250 to STARTTLS", offer + "S: 250 ok", "protocol", smtp.PhaseStartTLS, false},
		{"354 to STARTTLS", offer + "S: 354 ok", "protocol", smtp.PhaseStartTLS, false},
		{"334 to STARTTLS", offer + "S: 334 ok", "protocol", smtp.PhaseStartTLS, false},
		{"454 to STARTTLS", offer + "S: 454 4.7.0 no certificate", "reply 454", smtp.PhaseStartTLS, true},
		{"501 to STARTTLS", offer + "S: 501 no", "reply 501", smtp.PhaseStartTLS, true},
		{"421 to STARTTLS", offer + "S: 421 bye\nCLOSE", "reply 421", smtp.PhaseStartTLS, false},
		{"not offered", "S: 220 mx\nC: EHLO\nS: 250 mx", "lost", smtp.PhaseStartTLS, true},
		{"plain text in place of the handshake", offer + "S: 220 go\nS: 250-mx\nS: 250 AUTH PLAIN", "lost", smtp.PhaseHandshake, false},
		{"alert in the handshake", offer + "S: 220 go\n" + `S> "\x15\x03\x03\x00\x02\x02\x28"`, "lost", smtp.PhaseHandshake, false},
		{"close in the handshake", offer + "S: 220 go\nCLOSE", "lost", smtp.PhaseHandshake, false},
		{"EHLO refused under TLS", offer + "S: 220 go\nTLS\nC: EHLO\nS: 421 no\nCLOSE", "reply 421", smtp.PhaseHello, false},
		{"greeting again under TLS", offer + "S: 220 go\nTLS\nS: 220 mx", "protocol", smtp.PhaseHello, false},
		{"well", offer + "S: 220 go\nTLS\nC: EHLO\nS: 250-mx\nS: 250 8BITMIME", "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Where both sides may write at once, a pipe would block them.
			network, in := "pipe", synctest.Test
			if tc.phase == smtp.PhaseHandshake || tc.phase == smtp.PhaseHello {
				network, in = "tcp", func(t *testing.T, run func(*testing.T)) { run(t) }
			}
			in(t, func(t *testing.T) {
				dial, wait := playScript(t, network, tc.script)
				defer wait()
				c, err := dialPeer(dial)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				err = c.StartTLS(context.Background(), clientTLS())
				if tc.phase == smtp.PhaseHandshake && errors.Is(err, smtp.ErrProtocol) {
					// The second piece caught up with the first.
					tc.class, tc.phase = "protocol", smtp.PhaseStartTLS
				}
				if classOf(err) != tc.class || c.Usable() != tc.usable {
					t.Errorf("error %v (class %q), usable %v", err, classOf(err), c.Usable())
				}
				var ce *smtp.ClientError
				if err != nil && (!errors.As(err, &ce) || ce.Phase != tc.phase) {
					t.Errorf("error %v, want phase %q", err, tc.phase)
				}
				if (c.TLS() != nil) != (tc.class == "" || tc.phase == smtp.PhaseHello) {
					t.Errorf("TLS state %v", c.TLS())
				}
				if tc.class == "" {
					_, auth := c.Extension("auth")
					_, starttls := c.Extension("STARTTLS")
					_, eight := c.Extension("8bitmime")
					if auth || starttls || !eight {
						t.Errorf("capabilities from before TLS: AUTH %v STARTTLS %v; from under it 8BITMIME %v", auth, starttls, eight)
					}
					if err := c.StartTLS(context.Background(), clientTLS()); !errors.Is(err, smtp.ErrNotOffered) {
						t.Errorf("second StartTLS: %v", err)
					}
				}
				if !tc.usable {
					if _, err := c.Send(context.Background(), envelopeTo("x"), []byte(testMessage)); !errors.Is(err, smtp.ErrClosed) {
						t.Errorf("send after failure: %v", err)
					}
				}
			})
		})
	}
}

func TestClientAuth(t *testing.T) {
	t.Parallel()
	const start = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO\nS: 250-mx\n"
	for _, tc := range []struct{ name, script, class string }{
		{"plain", start + "S: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN AHVzZXIAcGEkJHdvcmQ=\nS: 235 ok", ""},
		{"login", start + "S: 250 AUTH=LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dXNlcg==\nS: 334 UGFzc3dvcmQ6\nC: cGEkJHdvcmQ=\nS: 235 ok", ""},
		{"wrong password", start + "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 535 5.7.8 no", "reply 535"},
		{"login refused", start + "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 504 no", "reply 504"},
		{"login without password", start + "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 235 ok", "protocol"},
		{"challenge to plain", start + "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334 more", "protocol"},
		{"250 to plain", start + "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 250 ok", "protocol"},
		{"only mechanisms we do not speak", start + "S: 250 AUTH GSSAPI NTLM", "lost"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, wait := playScript(t, "pipe", tc.script)
				c, err := dialPeer(dial)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if err := c.Auth(context.Background(), "user", "pa$$word"); !errors.Is(err, smtp.ErrInsecureAuth) {
					t.Errorf("in plain text: %v", err)
				}
				if err := c.StartTLS(context.Background(), clientTLS()); err != nil {
					t.Fatal(err)
				}
				if err := c.Auth(context.Background(), "user", "pa$$word"); classOf(err) != tc.class {
					t.Errorf("error %v, want class %q", err, tc.class)
				}
				log := fmt.Sprint(c.Transcript())
				if strings.Contains(log, "AHVz") || strings.Contains(log, "dXNl") || strings.Contains(log, "cGEk") || !strings.Contains(log, "EHLO out.example") {
					t.Errorf("transcript %s", log)
				}
				if p := wait(); p.failed != "" {
					t.Error(p.failed)
				}
			})
		})
	}
}

func TestClientParameters(t *testing.T) {
	t.Parallel()
	utf8 := mail.Address{Local: "é", Domain: "b.example"}
	full := envelopeTo("x")
	full.Ret, full.EnvelopeID = "HDRS", "a+b=c d"
	full.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyFailure
	full.Recipients[0].OriginalRecipient = "rfc822;x+y=z@rcpt.example"
	never := envelopeTo("x")
	never.Recipients[0].Notify = mail.NotifyNever
	never.Recipients[0].OriginalRecipient = "utf-8;é@b.example"
	null := envelopeTo("x")
	null.ReversePath = mail.Address{}
	bad := envelopeTo("x")
	bad.Recipients[0].OriginalRecipient, bad.EnvelopeID, bad.Ret = "no type", "a\r\nRCPT TO:<evil>", "SOME\r\n"
	inject := envelopeTo("x")
	inject.Recipients[0].Address.Domain = "b.example>\r\nRCPT TO:<evil"
	const ascii, eight, eightHeader = "A: b\r\n\r\nc\r\n", "A: b\r\n\r\n\xc3\xa9\r\n", "A: \xc3\xa9\r\n\r\nc\r\n"
	intl := envelopeTo("x")
	intl.SMTPUTF8 = true
	for _, tc := range []struct {
		name, offered string
		env           mail.Envelope
		message       string
		mail, rcpt    string
		err           error
	}{
		{"nothing offered", "X", full, ascii, "MAIL FROM:<a@sender.example>", "RCPT TO:<x@rcpt.example>", nil},
		{"size", "SIZE 1000", full, "A: b", "MAIL FROM:<a@sender.example> SIZE=6", "RCPT TO:<x@rcpt.example>", nil},
		{"dsn", "DSN", full, ascii, "MAIL FROM:<a@sender.example> RET=HDRS ENVID=a+2Bb+3Dc+20d", "RCPT TO:<x@rcpt.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2By+3Dz@rcpt.example", nil},
		{"dsn never, utf-8", "DSN", never, ascii, "MAIL FROM:<a@sender.example>", `RCPT TO:<x@rcpt.example> NOTIFY=NEVER ORCPT=utf-8;\x{E9}@b.example`, nil},
		{"dsn values that do not fit", "DSN", bad, ascii, "MAIL FROM:<a@sender.example>", "RCPT TO:<x@rcpt.example>", nil},
		{"null reverse path", "X", null, ascii, "MAIL FROM:<>", "RCPT TO:<x@rcpt.example>", nil},
		{"8-bit", "8BITMIME", envelopeTo("x"), eight, "MAIL FROM:<a@sender.example> BODY=8BITMIME", "RCPT TO:<x@rcpt.example>", nil},
		{"8-bit not offered", "X", envelopeTo("x"), eight, "", "", smtp.ErrNeeds8BitMIME},
		{"raw 8-bit header", "8BITMIME", envelopeTo("x"), eightHeader, "MAIL FROM:<a@sender.example> BODY=8BITMIME", "RCPT TO:<x@rcpt.example>", nil},
		{"international header", "8BITMIME", intl, eightHeader, "", "", smtp.ErrNeedsSMTPUTF8},
		{"declared but not needed", "X", intl, ascii, "MAIL FROM:<a@sender.example>", "RCPT TO:<x@rcpt.example>", nil},
		{"international address", "SMTPUTF8", mail.Envelope{Recipients: []mail.Recipient{{Address: utf8}}}, ascii, "MAIL FROM:<> SMTPUTF8", "RCPT TO:<é@b.example>", nil},
		{"international address not offered", "X", mail.Envelope{Recipients: []mail.Recipient{{Address: utf8}}}, ascii, "", "", smtp.ErrNeedsSMTPUTF8},
		{"no recipients", "X", mail.Envelope{}, ascii, "", "", smtp.ErrNoRecipients},
		{"bare LF", "X", envelopeTo("x"), "A: b\n\r\nc", "", "", smtp.ErrBareNewline},
		{"bare CR", "X", envelopeTo("x"), "A: b\r\n\r\nc\r.\r\n", "", "", smtp.ErrBareNewline},
		{"CR at the end", "X", envelopeTo("x"), "A: b\r\n\r\nc\r", "", "", smtp.ErrBareNewline},
		{"CR CR LF", "X", envelopeTo("x"), "A: b\r\r\n", "", "", smtp.ErrBareNewline},
		{"NUL", "X", envelopeTo("x"), "A: b\x00\r\n", "", "", smtp.ErrBareNewline},
		{"line of 998", "X", envelopeTo("x"), strings.Repeat(".", 998) + "\r\n", "MAIL FROM:<a@sender.example>", "RCPT TO:<x@rcpt.example>", nil},
		{"line of 999", "X", envelopeTo("x"), strings.Repeat(".", 999) + "\r\n", "", "", smtp.ErrLineTooLong},
		{"last line of 999", "X", envelopeTo("x"), "a\r\n" + strings.Repeat("x", 999), "", "", smtp.ErrLineTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 " + tc.offered + "\n"
				if tc.err == nil {
					script += "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nBODY\nS: 250 ok\n"
				}
				dial, wait := playScript(t, "pipe", script)
				c, err := dialPeer(dial)
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Send(context.Background(), tc.env, []byte(tc.message))
				if !errors.Is(err, tc.err) || !c.Usable() {
					t.Errorf("error %v, want %v; usable %v", err, tc.err, c.Usable())
				}
				if tc.err != nil && tc.err != smtp.ErrNoRecipients && smtp.IsTemporary(err) {
					t.Errorf("error %v is temporary", err)
				}
				if log := c.Transcript(); tc.err == nil && (log[0].Sent != tc.mail || log[1].Sent != tc.rcpt) {
					t.Errorf("sent %q, %q\nwant %q, %q", log[0].Sent, log[1].Sent, tc.mail, tc.rcpt)
				}
				if p := wait(); p.failed != "" {
					t.Error(p.failed)
				}
			})
		})
	}
	t.Run("injection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dial, wait := playScript(t, "pipe", hello)
			c, err := dialPeer(dial)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Send(context.Background(), inject, []byte(ascii)); !errors.Is(err, smtp.ErrBadParameter) || !c.Usable() {
				t.Errorf("error %v", err)
			}
			wait()
		})
	})
}

func TestClientLocalAddr(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "220 mx\r\n250 %s\r\n", conn.RemoteAddr())
		}
	}()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	for local, want := range map[string]error{"127.0.0.9": nil, "203.0.113.9": smtp.ErrLocalAddr, "2001:db8::9": smtp.ErrLocalAddr} {
		c, err := smtp.Dial(context.Background(), to, smtp.ClientOptions{Hostname: "out.example", LocalAddr: netip.MustParseAddr(local)})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", local, err)
		}
		if err == nil {
			if c.LocalAddr().Addr() != netip.MustParseAddr(local) || c.Remote() != to {
				t.Errorf("bound to %s, reached %s", c.LocalAddr(), c.Remote())
			}
			c.Close()
		}
	}
}

// FuzzClient lets a peer say anything in one go.
func FuzzClient(f *testing.F) {
	f.Add([]byte("220 mx\r\n250-mx\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n221 bye\r\n"))
	f.Add([]byte("220 mx\r\n500 no\r\n250 mx\r\n451 no\r\n"))
	f.Add([]byte("220-mx\r\n220 mx\r\n250-mx\r\n250-SIZE 5\r\n250-AUTH=LOGIN\r\n250 DSN\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n221 bye\r\n"))
	f.Add([]byte("421 bye\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) {
		near, far := net.Pipe()
		var done sync.WaitGroup
		done.Go(func() { io.Copy(io.Discard, far) })
		done.Go(func() {
			// A write on a pipe waits until the client reads: the peer says its
			// next line when the client wants to hear it.
			defer far.Close()
			for line := range bytes.SplitAfterSeq(script, []byte("\n")) {
				if _, err := far.Write(line); err != nil {
					return
				}
			}
		})
		c, err := dialPeer(func(context.Context, string, string) (net.Conn, error) { return near, nil })
		if err == nil {
			for range 2 {
				r, err := c.Send(context.Background(), envelopeTo("x", "y"), []byte(testMessage))
				if err == nil && (r.Recipients[0].Code == 0 || r.Recipients[1].Code == 0) {
					t.Errorf("no error and no answer: %+v", r)
				}
				if r.AfterDot && (err == nil || r.Data.Code != 0) {
					t.Errorf("after dot, %v: %+v", err, r)
				}
				if r.Data.OK() && !r.Recipients[0].OK() && !r.Recipients[1].OK() {
					t.Errorf("delivered to nobody: %+v", r)
				}
				c.Transcript()
			}
			c.Quit(context.Background())
		}
		near.Close()
		done.Wait()
	})
}
