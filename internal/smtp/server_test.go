package smtp_test

import (
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/smtp/smtptest"
)

const (
	ehloOK = "S: 220 mx.test ESMTP Postern\nC: EHLO client.test\nR: 250 LIMITS RCPTMAX=1000 MAILMAX=1000\n"
	bye    = "C: QUIT\nS: 221 2.0.0 Bye\nS: EOF\n"
)

// TestServerDialogs holds one conversation per rule.
func TestServerDialogs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		script string
		set    func(o *smtp.ServerOptions)
		mails  []string // what the handler got
	}{
		{name: "one message", script: ehloOK + `
			C: MAIL FROM:<a@a.test>
			S: 250 2.1.0 Ok
			C: RCPT TO:<b@b.test>
			S: 250 2.1.5 Ok
			C: DATA
			S: 354 End data with <CRLF>.<CRLF>
			C: Subject: hello
			C:
			C: ..stuffed
			C: .
			S: 250 2.0.0 Ok: queued as ID
			` + bye, mails: []string{"Subject: hello\r\n\r\n.stuffed\r\n"}},
		{name: "extensions", script: `
			S: 220 mx.test ESMTP Postern
			C: EHLO client.test
			S: 250-mx.test
			S: 250-STARTTLS
			S: 250-PIPELINING
			S: 250-SIZE 52428800
			S: 250-8BITMIME
			S: 250-ENHANCEDSTATUSCODES
			S: 250-SMTPUTF8
			S: 250-CHUNKING
			S: 250-DSN
			S: 250 LIMITS RCPTMAX=1000 MAILMAX=1000
			` + bye, set: func(o *smtp.ServerOptions) { o.TLS = boxTLS() }},
		{name: "HELO", script: "S: 220 *\nC: HELO client.test\nS: 250 mx.test\n" + bye},
		{name: "hello needs a name", script: "S: 220 *\nC: EHLO \nS: 501 5.5.4 *\n" + bye},
		{name: "small commands", script: ehloOK + `
			C: NOOP whatever
			S: 250 2.0.0 Ok
			C: VRFY alice
			S: 252 2.5.0 *
			C: HELP
			S: 214 2.0.0 *
			C: rset
			S: 250 2.0.0 Ok
			C: XYZZY
			S: 500 5.5.1 *
			C: STARTTLS
			S: 502 5.5.1 *
			C: AUTH PLAIN
			S: 502 5.5.1 *
			` + bye},
		{name: "order", script: `
			S: 220 *
			C: MAIL FROM:<a@a.test>
			S: 503 5.5.1 *
			C: RCPT TO:<a@a.test>
			S: 503 5.5.1 *
			C: DATA
			S: 503 5.5.1 *
			C: EHLO x
			R: 250 *
			C: RCPT TO:<a@a.test>
			S: 503 5.5.1 *
			C: MAIL FROM:<a@a.test>
			S: 250 *
			C: MAIL FROM:<a@a.test>
			S: 503 5.5.1 *
			C: DATA
			S: 554 5.5.1 *
			C: RCPT TO:<a@a.test>
			S: 250 *
			C: EHLO x
			R: 250 *
			C: DATA
			S: 503 5.5.1 *
			` + bye},
		{name: "transaction is gone after the data was refused", script: ehloOK + `
			C: MAIL FROM:<a@a.test>
			S: 250 *
			C: RCPT TO:<b@b.test>
			S: 250 *
			C: DATA
			S: 354 *
			C| "bare\nnewline\r\n.\r\n"
			S: 554 5.6.0 Message refused: bare LF in line 1; lines must end with CRLF
			C: RCPT TO:<c@c.test>
			S: 503 5.5.1 *
			C: DATA
			S: 503 5.5.1 *
			` + bye},
		{name: "pipelined", script: ehloOK + `
			C| "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<@x:c@c.test>\r\nDATA\r\n"
			S: 250 2.1.0 Ok
			S: 250 2.1.5 Ok
			S: 501 5.1.3 Source routes are not supported
			S: 354 *
			C| "one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
			S: 250 2.0.0 Ok: queued as ID
			S: 250 2.1.0 Ok
			S: 250 2.1.5 Ok
			S: 354 *
			C| "two\r\n.\r\nQUIT\r\n"
			S: 250 2.0.0 Ok: queued as ID
			S: 221 *
			S: EOF`, mails: []string{"one\r\n", "two\r\n"}},
		{name: "BDAT", script: ehloOK + `
			C| "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nBDAT 5\r\none\r\nBDAT 0\r\nBDAT 8 LAST\r\n.\r\ntwo\r\n"
			S: 250 2.1.0 Ok
			S: 250 2.1.5 Ok
			S: 250 2.0.0 5 bytes received
			S: 250 2.0.0 0 bytes received
			S: 250 2.0.0 Ok: queued as ID
			` + bye, mails: []string{"one\r\n.\r\ntwo\r\n"}},
		{name: "BDAT without the last CRLF", script: ehloOK + `
			C| "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nBDAT 3 last\r\none"
			S: 250 *
			S: 250 *
			S: 250 2.0.0 Ok: queued as ID
			` + bye, mails: []string{"one\r\n"}},
		{name: "BDAT out of order is read past", script: ehloOK + `
			C| "BDAT 6\r\nQUIT\r\nMAIL FROM:<a@a.test>\r\nBDAT 6 LAST\r\nQUIT\r\nRCPT TO:<a@a.test>\r\n"
			S: 503 5.5.1 *
			S: 250 2.1.0 Ok
			S: 554 5.5.1 *
			S: 503 5.5.1 *
			` + bye},
		{name: "within BDAT only BDAT, RSET and the like", script: ehloOK + `
			C| "MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nBDAT 2\r\nxx"
			S: 250 *
			S: 250 *
			S: 250 *
			C: RCPT TO:<c@c.test>
			S: 503 5.5.1 *
			C: DATA
			S: 503 5.5.1 *
			C: MAIL FROM:<a@a.test>
			S: 503 5.5.1 *
			C: NOOP
			S: 250 *
			C: RSET
			S: 250 *
			C| "BDAT 1 LAST\r\nx"
			S: 503 5.5.1 *
			` + bye},
		{name: "BDAT without size closes", script: ehloOK + "C: BDAT many\nS: 501 5.5.4 *\nS: EOF"},
		{name: "BDAT beyond the size closes", script: ehloOK + "C: BDAT 99999999999999999999\nS: 552 5.3.4 *\nS: EOF"},
		{name: "bare LF ends the session", script: ehloOK + `
			C| "MAIL FROM:<a@a.test>\nRCPT TO:<b@b.test>\r\n"
			S: 500 5.5.2 *
			S: EOF`},
		{name: "bare CR is an error", script: ehloOK + `
			C| "MAIL FROM:<a@a.test>\rRCPT TO:<b@b.test>\r\n"
			S: 500 5.5.2 *
			C| "NO\x00OP\r\n"
			S: 500 5.5.2 *
			C| "NOOP \xff\r\n"
			S: 500 5.5.2 *
			` + bye},
		{name: "empty message", script: ehloOK + `
			C| "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
			S: 250 *
			S: 250 *
			S: 354 *
			C: .
			S: 250 *
			` + bye, mails: []string{""}},
		{name: "NUL in the data", script: ehloOK + `
			C| "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
			S: 250 *
			S: 250 *
			S: 354 *
			C| "a\r\nb\x00\r\n.\r\n"
			S: 554 5.6.0 Message refused: NUL byte in line 2
			` + bye, set: func(o *smtp.ServerOptions) { o.BareNewline = smtp.BareNewlineNormalize }},
		{name: "normalize", script: ehloOK + `
			C| "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
			S: 250 *
			S: 250 *
			S: 354 *
			C| "a\n.\nb\r.\rc\n.\r\nd\r\n.\r\n"
			S: 250 *
			` + bye, set: func(o *smtp.ServerOptions) { o.BareNewline = smtp.BareNewlineNormalize }, mails: []string{"a\r\n.\r\nb\r\n.\r\nc\r\n.\r\nd\r\n"}},
		{name: "long text line", script: ehloOK + `
			C| "MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
			S: 250 *
			S: 250 *
			S: 354 *
			C: ` + strings.Repeat("a", 998) + `
			C: ` + strings.Repeat("b", 999) + `
			C: .
			S: 554 5.6.0 Message refused: line 2 is longer than 1000 bytes
			` + bye, set: func(o *smtp.ServerOptions) { o.Limits.LineBytes = 1000 }},
		{name: "authentication required", script: "S: 220 *\nC: EHLO x\nR: 250 *\nC: MAIL FROM:<a@a.test>\nS: 530 5.7.0 *\n" + bye,
			set: func(o *smtp.ServerOptions) { o.OfferAuth, o.RequireAuth = true, true }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := &box{}
			smtptest.Client(t, serve(t, b, tc.set), tc.script)
			var got []string
			for _, l := range b.letters() {
				got = append(got, l.msg)
			}
			if strings.Join(got, "|") != strings.Join(tc.mails, "|") || len(got) != len(tc.mails) {
				t.Errorf("got %q, want %q", got, tc.mails)
			}
		})
	}
}

// TestServerArguments covers MAIL and RCPT in one transaction.
func TestServerArguments(t *testing.T) {
	t.Parallel()
	b := &box{}
	smtptest.Client(t, serve(t, b, nil), ehloOK+`
		C: mail from: <A.b@A.Test> size=1000 Body=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B314 AUTH=x+2By@a.test
		S: 250 2.1.0 Ok
		C: RCPT TO:<"x y"@b.test> NOTIFY=SUCCESS,delay ORCPT=rfc822;Bob+2B1@b.test
		S: 250 2.1.5 Ok
		C: RCPT TO:<élan@b.test> NOTIFY=NEVER
		S: 250 2.1.5 Ok
		C: BDAT 0 LAST
		S: 250 2.0.0 *
		`+bye)
	got := b.letters()[0].t
	e := got.Envelope
	if e.ReversePath != (mail.Address{Local: "A.b", Domain: "a.test"}) || !e.EightBit || !e.SMTPUTF8 || e.Ret != "HDRS" || e.EnvelopeID != "QQ+314" ||
		got.DeclaredSize != 1000 || got.BodyType != "8BITMIME" || got.AuthParam != "x+y@a.test" {
		t.Errorf("MAIL: %+v", got)
	}
	want := []mail.Recipient{
		{Address: mail.Address{Local: "x y", Domain: "b.test"}, Notify: mail.NotifySuccess | mail.NotifyDelay, OriginalRecipient: "rfc822;Bob+1@b.test"},
		{Address: mail.Address{Local: "élan", Domain: "b.test"}, Notify: mail.NotifyNever},
	}
	if len(e.Recipients) != 2 || e.Recipients[0] != want[0] || e.Recipients[1] != want[1] {
		t.Errorf("RCPT: %+v", e.Recipients)
	}
}

// TestArgumentErrors gives for every malformed argument the code it is answered with.
func TestArgumentErrors(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                                  "501 5.5.4",
		"FROM":                              "501 5.5.4",
		"FROM:":                             "501 5.5.4",
		"FROM:a@a.test":                     "501 5.5.4",
		"FROM:  <a@a.test>":                 "501 5.5.4",
		"FROM :<a@a.test>":                  "501 5.5.4",
		"FROM:<a@a.test":                    "501 5.5.4",
		"FROM:<a@a.test>>":                  "501 5.5.4",
		"FROM:<<a@a.test>>":                 "501 5.5.4",
		"FROM:<a@a.test>SIZE=1":             "501 5.5.4",
		"FROM:<@b.test:a@a.test>":           "501 5.1.7",
		"FROM:<a>":                          "501 5.1.7",
		"FROM:<a@>":                         "501 5.1.7",
		"FROM:<a b@a.test>":                 "501 5.1.7",
		"FROM:<é@a.test>":                   "553 5.6.7",
		"FROM:<a@é.test>":                   "553 5.6.7",
		"FROM:<> SIZE":                      "501 5.5.4",
		"FROM:<> SIZE=":                     "501 5.5.4",
		"FROM:<> SIZE=-1":                   "501 5.5.4",
		"FROM:<> SIZE=+1":                   "501 5.5.4",
		"FROM:<> SIZE=1e3":                  "501 5.5.4",
		"FROM:<> SIZE=1001":                 "552 5.3.4",
		"FROM:<> SIZE=18446744073709551616": "552 5.3.4",
		"FROM:<> SIZE=1 SIZE=1":             "501 5.5.4",
		"FROM:<> BODY=BINARYMIME":           "501 5.5.4",
		"FROM:<> SMTPUTF8=yes":              "501 5.5.4",
		"FROM:<> RET=ALL":                   "501 5.5.4",
		"FROM:<> ENVID=a+0D+0Ab":            "501 5.5.4",
		"FROM:<> ENVID=a+2":                 "501 5.5.4",
		"FROM:<> ENVID=a+2b":                "501 5.5.4",
		"FROM:<> ENVID=" + strings.Repeat("x", 101): "501 5.5.4",
		"FROM:<> AUTH":               "501 5.5.4",
		"FROM:<> WHAT=1":             "555 5.5.4",
		"FROM:<> A=b=c":              "501 5.5.4",
		"FROM:<> =c":                 "501 5.5.4",
		"FROM:<>":                    "",
		"FROM:<> ":                   "",
		"FROM:<a@a.test>  SIZE=1000": "",
		"FROM:<\"a>b\"@a.test>":      "",
		"from: <a@a.test> auth=<>":   "",
		"FROM:<é@a.test> SMTPUTF8":   "",
	} {
		_, err := smtp.ParseMail(args, 1000)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (want == "") != (err == nil) {
			t.Errorf("MAIL %s: got %q, want %q", args, got, want)
		}
	}
	for args, want := range map[string]string{
		"TO:<>":                                   "501 5.1.3",
		"TO:<postmaster>":                         "550 5.1.1",
		"TO:<a>":                                  "501 5.1.3",
		"TO:<@b.test:a@a.test>":                   "501 5.1.3",
		"FROM:<a@a.test>":                         "501 5.5.4",
		"TO:<é@a.test>":                           "553 5.6.7",
		"TO:<a@a.test> NOTIFY=":                   "501 5.5.4",
		"TO:<a@a.test> NOTIFY=NEVER,DELAY":        "501 5.5.4",
		"TO:<a@a.test> NOTIFY=DELAY,DELAY":        "501 5.5.4",
		"TO:<a@a.test> ORCPT=a@a.test":            "501 5.5.4",
		"TO:<a@a.test> ORCPT=rfc822;":             "501 5.5.4",
		"TO:<a@a.test> ORCPT=rfc822;a+0Ab@a.test": "501 5.5.4",
		"TO:<a@a.test> SIZE=1":                    "555 5.5.4",
		"TO:<a@a.test>":                           "",
		"TO:<a@[192.0.2.1]> notify=failure":       "",
	} {
		_, err := smtp.ParseRcpt(args, false)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || (want == "") != (err == nil) {
			t.Errorf("RCPT %s: got %q, want %q", args, got, want)
		}
	}
}

// TestServerRejectsHandlers passes on what the handler says, and nothing it must not say.
func TestServerHandlerReplies(t *testing.T) {
	t.Parallel()
	b := &box{
		onMail: func(tr *smtp.Transaction) error {
			if tr.Envelope.ReversePath.Local == "plain" {
				return errPlain
			}
			if tr.Envelope.ReversePath.Local == "no" {
				return smtp.Errorf(550, smtp.Enhanced{5, 7, 1}, "Not you\nsee\r\n250 forged \x07 é")
			}
			return nil
		},
		onRcpt: func(_ *smtp.Transaction, r mail.Recipient) error {
			switch r.Address.Local {
			case "later":
				return &smtp.Error{Code: 450, Text: "Later"}
			case "close":
				return &smtp.Error{Code: 421, Enhanced: smtp.Enhanced{4, 7, 0}, Text: "Enough"}
			}
			return nil
		},
	}
	smtptest.Client(t, serve(t, b, nil), ehloOK+`
		C: MAIL FROM:<plain@a.test>
		S: 451 4.3.0 Local error, please try again later
		C: MAIL FROM:<no@a.test>
		S: 550-5.7.1 Not you
		S: 550-5.7.1 see?
		S: 550 5.7.1 250 forged ? ?
		C: MAIL FROM:<yes@a.test>
		S: 250 *
		C: RCPT TO:<later@b.test>
		S: 450 4.0.0 Later
		C: RCPT TO:<close@b.test>
		S: 421 4.7.0 Enough
		S: EOF`)
	b.onSession = func(*smtp.Conn) error { return smtp.Errorf(554, smtp.Enhanced{5, 7, 1}, "Unknown network") }
	smtptest.Client(t, serve(t, b, nil), "S: 554 5.7.1 Unknown network\nS: EOF")
	b.onSession = func(*smtp.Conn) error { return errPlain }
	smtptest.Client(t, serve(t, b, nil), "S: 421 4.3.0 *\nS: EOF")
}

// TestServerPanic ends one connection, not the process.
func TestServerPanic(t *testing.T) {
	t.Parallel()
	b := &box{onMail: func(*smtp.Transaction) error { panic("boom") }}
	s := newServer(t, b, nil)
	addr := start(t, s)
	smtptest.Client(t, addr, ehloOK+"C: MAIL FROM:<a@a.test>\nS: 421 4.3.0 *\nS: EOF")
	smtptest.Client(t, addr, ehloOK+bye)
	if n := s.Stats().Panics; n != 1 {
		t.Errorf("counted %d panics", n)
	}
	if b.mu.Lock(); b.closed < 1 {
		t.Error("the session was not closed")
	}
	b.mu.Unlock()
}

// TestServerForeignProtocols cuts off what is not mail (ALPACA, USENIX Security 2021), without a word to relay.
func TestServerForeignProtocols(t *testing.T) {
	t.Parallel()
	addr := serve(t, &box{}, nil)
	for _, opening := range []string{
		"GET / HTTP/1.1\r\nHost: mx.test:25\r\n\r\nEHLO x\r\n", "get / HTTP/1.0\r\n", "POST / HTTP/1.1\r\n", "PUT /x HTTP/1.1\r\n",
		"HEAD / HTTP/1.1\r\n", "CONNECT mx.test:25 HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "DELETE /x HTTP/1.1\r\n", "PATCH / HTTP/1.1\r\n",
		"TRACE / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /x\n", "POST /x\n", "GET /" + strings.Repeat("a", 100_000) + "\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x80\x2e\x01\x00\x02", "\r\n\r\n", " EHLO x\r\n", "\x00\x00\x00\x00", "\xff\xfb\x01",
		"<?xml version='1.0'?>\r\n", "{\"a\":1}\r\n", "*1\r\n$4\r\nPING\r\n",
	} {
		smtptest.Client(t, addr, "S: 220 *\nC| "+quote(opening)+"\nS: EOF")
	}
	for _, opening := range []string{"SSH-2.0-OpenSSH_9.6\r\n", "Host: mx.test\r\n", "INVITE sip:x SIP/2.0\r\n", "USER anonymous\r\n"} {
		smtptest.Client(t, addr, "S: 220 *\nC| "+quote(opening)+"\nS: 500 5.5.1 *\nS: EOF")
	}
	smtptest.Client(t, addr, ehloOK+"C: POST / HTTP/1.1\nS: EOF")
}
