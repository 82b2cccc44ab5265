package intake_test

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"postern/internal/intake"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// firstField is the trace field of a stored message, unfolded.
func firstField(body string) string {
	end := regexp.MustCompile(`\r\n[^ \t]`).FindStringIndex(body)
	return strings.ReplaceAll(body[:end[0]], "\r\n", "")
}

// TestReceived: RFC 5321 4.4, protocol names of RFC 3848 and 6531.
func TestReceived(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	secure := &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	for _, tc := range []struct {
		name       string
		change     func(*smtp.Conn)
		utf8       bool
		login      bool
		to         []string
		want, lack string
	}{
		{name: "EHLO", want: "from web1.shop.test ([192.0.2.1]) by gate.test (Postern) with ESMTP id "},
		{name: "HELO", change: func(c *smtp.Conn) { c.ESMTP = false }, want: " with SMTP id "},
		{name: "TLS", change: func(c *smtp.Conn) { c.TLS = secure }, want: " with ESMTPS id ", lack: "ESMTPSA"},
		{name: "TLS shown", change: func(c *smtp.Conn) { c.TLS = secure }, want: "(TLS 1.3 TLS_AES_128_GCM_SHA256)"},
		{name: "login", login: true, want: " with ESMTPA id "},
		{name: "TLS and login", login: true, change: func(c *smtp.Conn) { c.TLS = secure }, want: " with ESMTPSA id "},
		{name: "HELO and TLS", change: func(c *smtp.Conn) { c.ESMTP, c.TLS = false, secure }, want: " with SMTP id "},
		{name: "SMTPUTF8", utf8: true, want: " with UTF8SMTP id "},
		{name: "SMTPUTF8, TLS, login", utf8: true, login: true, change: func(c *smtp.Conn) { c.TLS = secure }, want: " with UTF8SMTPSA id "},
		{name: "IPv6", change: func(c *smtp.Conn) { c.ClientIP = c.ClientIP.Next(); c.ClientIP = mustIP("2001:db8::5") }, want: "([IPv6:2001:db8::5])"},
		{name: "no IP", change: func(c *smtp.Conn) { c.ClientIP = mustIP("") }, want: "([unknown])", login: true},
		{name: "no name", change: func(c *smtp.Conn) { c.Hello = "" }, want: "from unknown ("},
		{name: "one recipient", to: []string{"a@there.test"}, want: " for <a@there.test>;"},
		{name: "quoted recipient", to: []string{`"a b;c"@there.test`}, want: ` for <"a b;c"@there.test>;`},
		{name: "two recipients", to: []string{"a@there.test", "b@there.test"}, lack: " for "},
		{name: "international recipient", to: []string{"é@there.test"}, lack: " for ", utf8: true},
		{name: "HELO that breaks out", change: func(c *smtp.Conn) { c.Hello = "x)\r\nX-Evil: (1;<y>\",\\ \x00é" }, want: "from x???X-Evil:??1??y??????? (", lack: "Evil: ("},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c *client
			if tc.login {
				var err error
				if c, err = r.login(t, r.user, r.password); err != nil {
					t.Fatal(err)
				}
			} else {
				c = r.connect(t, intake.Relay, "192.0.2.1")
			}
			tr := &smtp.Transaction{Envelope: mail.Envelope{ReversePath: address(t, "news@shop.test"), SMTPUTF8: tc.utf8}}
			if tc.to == nil {
				tc.to = []string{"v@there.test"}
			}
			for _, to := range tc.to {
				tr.Envelope.Recipients = append(tr.Envelope.Recipients, mail.Recipient{Address: address(t, to)})
			}
			if tc.change != nil {
				tc.change(c.conn)
			}
			if _, err := c.sess.Data(t.Context(), tr, letter("")); err != nil {
				t.Fatal(err)
			}
			w, body := r.one(t)
			field := firstField(body)
			if !strings.HasPrefix(field, "Received: from ") || !strings.Contains(field, tc.want) || tc.lack != "" && strings.Contains(field, tc.lack) {
				t.Errorf("%s\nexpected %q without %q", field, tc.want, tc.lack)
			}
			if !strings.Contains(field, " id "+string(w.ID)) {
				t.Errorf("%s\nlacks the queue ID %s", field, w.ID)
			}
			for _, line := range strings.Split(body, "\r\n") {
				if len(line) > 998 {
					t.Error("a line above 998 octets")
				}
			}
			if err := r.spool.Drop(t.Context(), w.ID, "test"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestFieldsThatNeverLeave: blind copies and the return path are removed at every door, however they are written.
func TestFieldsThatNeverLeave(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	inside, err := r.login(t, r.user, r.password)
	if err != nil {
		t.Fatal(err)
	}
	for door, c := range map[string]*client{"relay": r.connect(t, intake.Relay, "192.0.2.1"), "submission": inside} {
		for i, secret := range []string{
			"Bcc: secret@shop.test\n", "BCC: secret@shop.test\n", "bcc : secret@shop.test\n", "Bcc\t:\n secret@shop.test\n", "Bcc: a@shop.test,\n\tsecret@shop.test,\n  b@shop.test\n",
			"Resent-Bcc: secret@shop.test\n", "Return-Path: <secret@shop.test>\n", "Content-Length: 123secret\n", "Bcc:\n", "Bcc: secret@shop.test\nX-Between: y\nBcc: secret@shop.test\n",
			strings.Repeat("Bcc: secret@shop.test\n", 50),
		} {
			t.Run(fmt.Sprint(door, i), func(t *testing.T) {
				if _, err := c.send("news@shop.test", []string{"secret@there.test", "b@there.test"}, letter(secret+"X-After: kept\n")); err != nil {
					t.Fatal(err)
				}
				w, body := r.one(t)
				if strings.Contains(body, "secret") || regexp.MustCompile(`(?im)^(resent-)?bcc|^return-path|^content-length`).MatchString(body) {
					t.Errorf("still there:\n%s", body)
				}
				if !strings.Contains(body, "X-After: kept\r\n") || !strings.HasSuffix(body, "\r\n\r\nHello,\r\nhere it is.\r\n") {
					t.Errorf("too much was removed:\n%s", body)
				}
				if err := r.spool.Drop(t.Context(), w.ID, "test"); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestMissingFields: Date and Message-ID are added for submissions only (RFC 6409 8.1, 8.3).
func TestMissingFields(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	inside, err := r.login(t, r.user, r.password)
	if err != nil {
		t.Fatal(err)
	}
	relay := r.connect(t, intake.Relay, "192.0.2.1")
	for _, tc := range []struct {
		name, header string
		c            *client
		date, id     int // how many such fields leave
	}{
		{"submission without both", "", inside, 1, 1},
		{"submission with both", "Date: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <x@y>\n", inside, 1, 1},
		{"submission, odd case", "DATE : x\nmessage-id:\n <x@y>\n", inside, 1, 1},
		{"submission, only in the body", "\nDate: x\nMessage-ID: <x@y>\n", inside, 2, 2},
		{"relay without both", "", relay, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := tc.c.send("news@shop.test", []string{"v@there.test"}, crlf("From: news@shop.test\nSubject: x\n"+tc.header+"\nHello\n")); err != nil {
				t.Fatal(err)
			}
			w, body := r.one(t)
			dates := len(regexp.MustCompile(`(?mi)^date ?:`).FindAllString(body, -1))
			ids := len(regexp.MustCompile(`(?mi)^message-id ?:`).FindAllString(body, -1))
			if dates != tc.date || ids != tc.id {
				t.Errorf("%d dates, %d ids:\n%s", dates, ids, body)
			}
			if tc.c == inside && w.MessageID == "" {
				t.Error("no Message-ID was noted")
			}
			if err := r.spool.Drop(t.Context(), w.ID, "test"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
