package smtp_test

import (
	"bytes"
	"strings"
	"testing"

	"postern/internal/smtp"
)

// FuzzSession feeds any bytes to a session: it must end, must not panic, must answer in well-formed lines, and what it stores must
// be clean.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		smuggleStart + "DATA\r\nhello\r\n.\r\nQUIT\r\n",
		smuggleStart + "BDAT 5\r\nhelloBDAT 0 LAST\r\nQUIT\r\n",
		smuggleStart + "DATA\r\na\n.\r\nb\r.\r\n\x00\r\n.\r\n",
		"EHLO x\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nAUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n",
		"EHLO x\r\nSTARTTLS\r\n\x16\x03\x01\x00\x05hello",
		"HELO x\r\nMAIL FROM:<a@a.test> SIZE=99 BODY=8BITMIME RET=FULL ENVID=x AUTH=<>\r\nRCPT TO:<b@b.test> NOTIFY=NEVER ORCPT=rfc822;b@b.test\r\nVRFY\r\nHELP\r\nNOOP\r\nRSET\r\n",
		"GET / HTTP/1.1\r\n", "\r\n", "E\nH\rLO\r\n",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, said []byte, normalize bool) {
		b := &box{}
		s := newServer(t, b, func(o *smtp.ServerOptions) {
			o.TLS, o.OfferAuth = boxTLS(), true
			o.Limits.Errors = 5
			o.Limits.MessageBytes = 2000
			if normalize {
				o.BareNewline = smtp.BareNewlineNormalize
			}
		})
		ours := talkAndClose(s, "127.0.0.1", string(said))
		if strings.Contains(ours, "Internal error") || s.Stats().Panics != 0 {
			t.Fatalf("panic: %q", ours)
		}
		plain, _, tls := strings.Cut(ours, "220 2.0.0 Ready to start TLS\r\n")
		rest := strings.ReplaceAll(plain, "\r\n", "")
		if strings.ContainsFunc(rest, func(c rune) bool { return c < ' ' || c > '~' }) || plain != "" && !tls && !strings.HasSuffix(plain, "\r\n") {
			t.Errorf("odd bytes in a reply: %q", plain)
		}
		for _, l := range b.letters() {
			checkClean(t, "fuzz", l.msg)
		}
		if s.Stats().InFlightBytes != 0 {
			t.Errorf("%d bytes stay booked", s.Stats().InFlightBytes)
		}
	})
}

// FuzzMailArgs parses any argument of MAIL and RCPT; what is taken must stand in one line of a header.
func FuzzMailArgs(f *testing.F) {
	for _, seed := range []string{
		"FROM:<a@a.test> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+2Bb AUTH=<>", "FROM:<>", "FROM: <\"a b\\\"\"@a.test>", "TO:<a@[IPv6:::1]>",
		"TO:<b@b.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40b.test", "TO:<postmaster>", "FROM:<@a:b@c>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		if strings.ContainsAny(args, "\r\n\x00") {
			return
		}
		if tr, err := smtp.ParseMail(args, 1000); err == nil {
			if strings.ContainsAny(tr.Envelope.EnvelopeID+tr.AuthParam+tr.Envelope.ReversePath.String(), "\r\n\x00") || tr.DeclaredSize < 0 || tr.DeclaredSize > 1000 {
				t.Errorf("%q: %+v", args, tr)
			}
		}
		if r, err := smtp.ParseRcpt(args, false); err == nil {
			if r.Address.IsNull() || r.Address.NeedsSMTPUTF8() || strings.ContainsAny(r.OriginalRecipient+r.Address.String(), "\r\n\x00") {
				t.Errorf("%q: %+v", args, r)
			}
		}
	})
}

// FuzzReply reads any bytes as replies; what is taken is bounded and free of control characters.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 2.1.0 Ok\r\n", "250-a\r\n250 b\n", "550-5.1.1 no\r\n550 5.1.1 such\r\n", "421\r\n", "250 \x1b[2J\r\n", "99 x\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		l := smtp.NewLineReader(bytes.NewReader(in), nil)
		defer l.Release()
		for {
			r, err := smtp.ParseReply(l)
			if err != nil {
				return
			}
			if r.Code < 200 || r.Code > 599 || len(r.Lines) == 0 || len(r.Lines) > 100 || strings.ContainsFunc(r.String(), func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Errorf("%+v", r)
			}
		}
	})
}

// FuzzData sends any text as message data, as a client that stuffs dots, cut in two; it comes out as it went in.
func FuzzData(f *testing.F) {
	f.Add("hello\r\n.\r\n..\r\n", 3)
	f.Add("a\n.\nb\r", 0)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		text = strings.ReplaceAll(text, "\x00", "")
		if len(text) > 1500 {
			return
		}
		b := &box{}
		s := newServer(t, b, func(o *smtp.ServerOptions) { o.Limits.MessageBytes = 8000 })
		wire := strings.ReplaceAll("\r\n"+text+"\r\n", "\r\n.", "\r\n..")[2:] + ".\r\n"
		cut = max(0, min(cut, len(wire)))
		got := codes(talk(s, "192.0.2.1", smuggleStart+"DATA\r\n"+wire[:cut], wire[cut:], "QUIT\r\n"))
		bare := strings.ContainsAny(strings.ReplaceAll(text+"\r\n", "\r\n", ""), "\r\n")
		switch {
		case bare && got == "220 250 250 250 354 554 221" && len(b.mails) == 0:
		case !bare && got == "220 250 250 250 354 250 221" && len(b.mails) == 1 && b.mails[0].msg == text+"\r\n":
		default:
			t.Errorf("%q: %s %+v", text, got, b.mails)
		}
	})
}
