package smtp_test

import (
	"errors"
	"testing"

	"postern/internal/smtp"
	"postern/internal/smtp/smtptest"
)

// TestTry: what a peer would say is asked and taken back; no message follows.
func TestTry(t *testing.T) {
	t.Parallel()
	const hello = "S: 220 mx.example ESMTP\nC: EHLO out.example\nS: 250-mx.example\nS: 250-SIZE 1000\nS: 250 PIPELINING\n"
	for _, tc := range []struct {
		name, script string
		mail, rcpt   int
		fails        bool
	}{
		{"both", "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<@a.example:b@c.example>\nS: 250 ok\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", 250, 250, false},
		{"refused", "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<@a.example:b@c.example>\nS: 550 5.7.1 no relay\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", 250, 550, false},
		{"sender refused", "C: MAIL FROM:<>\nS: 550 no\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", 550, 0, false},
		{"421", "C: MAIL FROM:<>\nS: 421 go away\nC: EOF", 421, 0, false},
		{"cut", "C: MAIL FROM:<>\nS: EOF", 0, 0, true},
		{"354", "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<@a.example:b@c.example>\nS: 354 send\nC: RSET\nS: 250 ok\nC: QUIT\nS: 221 bye", 250, 354, false},
		{"no reset", "C: MAIL FROM:<>\nS: 250 ok\nC: RCPT TO:<@a.example:b@c.example>\nS: 250 ok\nC: RSET\nS: 500 what\nC: EOF", 250, 250, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			host := smtptest.Serve(t, hello+tc.script)
			c, err := smtp.Dial(t.Context(), host.Addr(), smtp.ClientOptions{Hostname: "out.example"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if got := c.Greeting(); got.Code != 220 || got.Lines[0] != "mx.example ESMTP" {
				t.Errorf("greeting %v", got)
			}
			if got := c.Extensions(); len(got) != 2 || got["SIZE"] != "1000" {
				t.Errorf("extensions %v", got)
			}
			if _, _, err := c.Try(t.Context(), "a\r\nDATA", "b"); !errors.Is(err, smtp.ErrBadParameter) {
				t.Errorf("a line break: %v", err)
			}
			m, r, err := c.Try(t.Context(), "", "@a.example:b@c.example")
			if m.Code != tc.mail || r.Code != tc.rcpt || (err != nil) != tc.fails {
				t.Errorf("got %v, %v, %v", m, r, err)
			}
			_ = c.Quit(t.Context())
		})
	}
}
