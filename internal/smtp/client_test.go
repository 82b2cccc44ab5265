package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/mail"
	"postern/internal/smtp"
)

const (
	hello     = "S: 220 mx.example ESMTP\nC: EHLO out.example\nS: 250 mx.example\n"
	helloPipe = "S: 220 mx.example ESMTP\nC: EHLO out.example\nS: 250-mx.example\nS: 250 PIPELINING\n"
	upToRcpt  = "C: MAIL FROM:<a@sender.example>\nS: 250 ok\nC: RCPT TO:<x@rcpt.example>\nS: 250 ok\n"
	upToData  = upToRcpt + "C: DATA\nS: 354 go\n"
	upToDot   = upToData + "BODY\n"
	group     = "C: MAIL\nC: RCPT TO:<x@\nC: RCPT TO:<y@\nC: DATA\n"
)

// hostile is one script and the class of what the client must make of it.
type hostile struct {
	name   string
	script string
	phase  smtp.Phase // of the error; "" for none
	class  string     // "reply N", "protocol", "lost", "timeout"; "" for no error
	rcpt   []int      // reply codes per recipient; default: not compared
	data   int        // code of Result.Data
	after  bool       // Result.AfterDot
	tcp    bool       // needs a real socket
}

func classOf(err error) string {
	var e *smtp.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return fmt.Sprintf("reply %d", e.Code)
	case errors.Is(err, smtp.ErrProtocol):
		return "protocol"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return "lost"
}

func hostileScripts() []hostile {
	return []hostile{
		// Greeting.
		{name: "greeting 554", script: "S: 554 5.7.1 go away", phase: smtp.PhaseGreeting, class: "reply 554"},
		{name: "greeting 421", script: "S: 421 busy\nCLOSE", phase: smtp.PhaseGreeting, class: "reply 421"},
		{name: "greeting 250", script: "S: 250 hi", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting 354", script: "S: 354 hi", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting 221", script: "S: 221 bye", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting of another protocol", script: "S: +OK POP3 ready", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting http", script: "S: HTTP/1.1 400 Bad Request\nCLOSE", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting ssh", script: "S: SSH-2.0-OpenSSH_9.6", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting empty line", script: "S:", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting binary", script: `S> "\x16\x03\x01\x00\xff\x00\n"`, phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting code 999", script: "S: 999 hi", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting two digits", script: "S: 22 hi", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting codes disagree", script: "S: 220-hi\nS: 250 hi", phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting endless lines", script: `FLOOD 1000000 "220-x\r\n"`, phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting endless line", script: `FLOOD 4000000 "2"`, phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting NUL flood", script: `FLOOD 4000000 "\x00"`, phase: smtp.PhaseGreeting, class: "protocol"},
		{name: "greeting drips", script: "DRIP 220-", phase: smtp.PhaseGreeting, class: "timeout"},
		{name: "greeting half a line", script: `S> "220 mx"` + "\nCLOSE", phase: smtp.PhaseGreeting, class: "lost"},
		{name: "greeting cut after continuation", script: "S: 220-mx\nCLOSE", phase: smtp.PhaseGreeting, class: "lost"},
		// EHLO.
		{name: "ehlo 421", script: "S: 220 mx\nC: EHLO\nS: 421 later\nCLOSE", phase: smtp.PhaseHello, class: "reply 421"},
		{name: "ehlo 450", script: "S: 220 mx\nC: EHLO\nS: 450 later", phase: smtp.PhaseHello, class: "reply 450"},
		{name: "ehlo 550 then closes", script: "S: 220 mx\nC: EHLO\nS: 550 5.7.1 blocked\nCLOSE", phase: smtp.PhaseHello, class: "reply 550"},
		{name: "ehlo and helo 550", script: "S: 220 mx\nC: EHLO\nS: 500 what\nC: HELO out.example\nS: 550 5.7.1 blocked", phase: smtp.PhaseHello, class: "reply 550"},
		{name: "ehlo 354", script: "S: 220 mx\nC: EHLO\nS: 354 go", phase: smtp.PhaseHello, class: "protocol"},
		{name: "ehlo 220 again", script: "S: 220 mx\nC: EHLO\nS: 220 mx", phase: smtp.PhaseHello, class: "protocol"},
		{name: "ehlo 10000 capabilities", script: "S: 220 mx\nC: EHLO\n" + `FLOOD 10000 "250-X\r\n"` + "\nS: 250 X", phase: smtp.PhaseHello, class: "protocol"},
		{name: "ehlo line of 1 MB", script: "S: 220 mx\nC: EHLO\n" + `S> "250-"` + "\n" + `FLOOD 2000000 "x"`, phase: smtp.PhaseHello, class: "protocol"},
		{name: "helo fallback works", script: "S: 220 mx\nC: EHLO\nS: 502 what\nC: HELO out.example\nS: 250 hi\n" + upToDot + "S: 250 ok", rcpt: []int{250}, data: 250},
		{name: "capability names with junk", script: "S: 220 mx\nC: EHLO\nS: 250-mx\n" + `S> "250-\x00\x01 x\r\n250-=?= y\r\n250 8BITMIME\r\n"` + "\n" + upToDot + "S: 250 ok", rcpt: []int{250}, data: 250},
		// MAIL.
		{name: "mail 550", script: hello + "C: MAIL\nS: 550 5.1.8 bad sender", rcpt: []int{550}},
		{name: "mail 451", script: hello + "C: MAIL\nS: 451 greylisted", rcpt: []int{451}},
		{name: "mail 421", script: hello + "C: MAIL\nS: 421 4.7.0 too many\nCLOSE", phase: smtp.PhaseMail, class: "reply 421", rcpt: []int{421}},
		{name: "mail 354", script: hello + "C: MAIL\nS: 354 go", phase: smtp.PhaseMail, class: "protocol", rcpt: []int{0}},
		{name: "mail 220", script: hello + "C: MAIL\nS: 220 mx", phase: smtp.PhaseMail, class: "protocol", rcpt: []int{0}},
		{name: "mail garbage", script: hello + "C: MAIL\nS: yes, please", phase: smtp.PhaseMail, class: "protocol", rcpt: []int{0}},
		{name: "mail tab after code", script: hello + "C: MAIL\n" + `S> "250\tok\r\n"`, phase: smtp.PhaseMail, class: "protocol", rcpt: []int{0}},
		{name: "mail reply of 1 M lines", script: hello + "C: MAIL\n" + `FLOOD 1000000 "250-x\r\n"`, phase: smtp.PhaseMail, class: "protocol", rcpt: []int{0}},
		{name: "unasked 250 after ehlo", script: "S: 220 mx\nC: EHLO\n" + `S> "250 mx\r\n250 more\r\n"`, phase: smtp.PhaseMail, class: "protocol", rcpt: []int{0}},
		{name: "unasked 421 after ehlo", script: "S: 220 mx\nC: EHLO\n" + `S> "250 mx\r\n421 bye\r\n"`, phase: smtp.PhaseMail, class: "reply 421", rcpt: []int{0}},
		// RCPT.
		{name: "rcpt 550", script: hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 5.1.1 unknown", rcpt: []int{550}},
		{name: "rcpt 421", script: hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 421 bye", phase: smtp.PhaseRcpt, class: "reply 421", rcpt: []int{421}},
		{name: "rcpt 354", script: hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 354 go", phase: smtp.PhaseRcpt, class: "protocol", rcpt: []int{0}},
		{name: "rcpt 221", script: hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 221 bye", phase: smtp.PhaseRcpt, class: "protocol", rcpt: []int{0}},
		{name: "rcpt 251", script: hello + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 251 forwarded\nC: DATA\nS: 354 go\nBODY\nS: 250 ok", rcpt: []int{251}, data: 250},
		{name: "rcpt reply has control characters", script: hello + "C: MAIL\nS: 250 ok\nC: RCPT\n" + `S> "550 5.1.1 \x1b[31mred\x00\r\n"`, rcpt: []int{550}},
		{name: "rcpt bare LF replies", script: hello + "C: MAIL\n" + `S> "250 ok\n"` + "\nC: RCPT\n" + `S> "550 no\n"`, rcpt: []int{550}},
		// DATA.
		{name: "data 250", script: hello + upToRcpt + "C: DATA\nS: 250 ok", phase: smtp.PhaseData, class: "protocol", rcpt: []int{250}},
		{name: "data 251", script: hello + upToRcpt + "C: DATA\nS: 251 ok", phase: smtp.PhaseData, class: "protocol"},
		{name: "data 334", script: hello + upToRcpt + "C: DATA\nS: 334 go", phase: smtp.PhaseData, class: "protocol"},
		{name: "data 451", script: hello + upToRcpt + "C: DATA\nS: 451 later", rcpt: []int{250}, data: 451},
		{name: "data 550", script: hello + upToRcpt + "C: DATA\nS: 550 no", rcpt: []int{250}, data: 550},
		{name: "data 421", script: hello + upToRcpt + "C: DATA\nS: 421 no\nCLOSE", phase: smtp.PhaseData, class: "reply 421", data: 421},
		{name: "354 twice at once", script: hello + upToRcpt + "C: DATA\n" + `S> "354 go\r\n354 go\r\n"`, phase: smtp.PhaseBody, class: "protocol"},
		{name: "354 and 250 at once", script: hello + upToRcpt + "C: DATA\n" + `S> "354 go\r\n250 thanks\r\n"`, phase: smtp.PhaseBody, class: "protocol"},
		{name: "354 and 421 at once", script: hello + upToRcpt + "C: DATA\n" + `S> "354 go\r\n421 bye\r\n"`, phase: smtp.PhaseBody, class: "reply 421"},
		// Final dot.
		{name: "354 again after the dot", script: hello + upToDot + "S: 354 go", phase: smtp.PhaseFinalDot, class: "protocol", after: true},
		{name: "220 after the dot", script: hello + upToDot + "S: 220 mx.example ESMTP", phase: smtp.PhaseFinalDot, class: "protocol", after: true},
		{name: "221 after the dot", script: hello + upToDot + "S: 221 bye", phase: smtp.PhaseFinalDot, class: "protocol", after: true},
		{name: "garbage after the dot", script: hello + upToDot + "S: OK queued", phase: smtp.PhaseFinalDot, class: "protocol", after: true},
		{name: "half a reply after the dot", script: hello + upToDot + `S> "250 o"` + "\nCLOSE", phase: smtp.PhaseFinalDot, class: "lost", after: true},
		{name: "endless reply after the dot", script: hello + upToDot + `FLOOD 1000000 "250-ok\r\n"`, phase: smtp.PhaseFinalDot, class: "protocol", after: true},
		{name: "550 after the dot", script: hello + upToDot + "S: 550 5.7.1 spam", rcpt: []int{250}, data: 550},
		{name: "452 after the dot", script: hello + upToDot + "S: 452 full", rcpt: []int{250}, data: 452},
		{name: "421 after the dot", script: hello + upToDot + "S: 421 bye\nCLOSE", phase: smtp.PhaseFinalDot, class: "reply 421", data: 421},
		{name: "stale enhanced code", script: hello + upToDot + "S: 250 5.1.1 fine", rcpt: []int{250}, data: 250},
		{name: "250 and close", script: hello + upToDot + "S: 250 ok\nCLOSE", rcpt: []int{250}, data: 250},
		{name: "250 and reset", script: hello + upToDot + "S: 250 ok\nC: QUIT\nRST", rcpt: []int{250}, data: 250, tcp: true},
		{name: "reset after the dot", script: hello + upToDot + "RST", phase: smtp.PhaseFinalDot, class: "lost", after: true, tcp: true},
		{name: "half-close after the dot", script: hello + upToDot + "HALF", phase: smtp.PhaseFinalDot, class: "lost", after: true, tcp: true},
		// Pipelining.
		{name: "pipelined, all well", script: helloPipe + group + "S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nBODY\nS: 250 ok", rcpt: []int{250, 250}, data: 250},
		{name: "pipelined, replies in one piece", script: helloPipe + group + `S> "250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n"` + "\nBODY\nS: 250 ok", rcpt: []int{550, 250}, data: 250},
		{name: "pipelined, mail refused", script: helloPipe + group + "S: 451 no\nS: 503 no\nS: 503 no\nS: 503 no", rcpt: []int{451, 451}},
		{name: "pipelined, mail refused but 354", script: helloPipe + group + "S: 451 no\nS: 250 yes\nS: 503 no\nS: 354 go\nC: .\nS: 554 none", rcpt: []int{451, 451}},
		{name: "pipelined, all refused", script: helloPipe + group + "S: 250 ok\nS: 550 no\nS: 450 no\nS: 554 none", rcpt: []int{550, 450}},
		{name: "pipelined, all refused but 354", script: helloPipe + group + "S: 250 ok\nS: 550 no\nS: 450 no\nS: 354 go\nC: .\nS: 554 none", rcpt: []int{550, 450}},
		{name: "pipelined, all refused, 354, dot taken", script: helloPipe + group + "S: 250 ok\nS: 550 no\nS: 450 no\nS: 354 go\nC: .\nS: 250 thanks", phase: smtp.PhaseFinalDot, class: "protocol", rcpt: []int{550, 450}},
		{name: "pipelined, one reply too many", script: helloPipe + group + `S> "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"`, phase: smtp.PhaseData, class: "protocol", rcpt: []int{250, 250}},
		{name: "pipelined, one reply too few", script: helloPipe + group + "S: 250 ok\nS: 250 ok\nS: 354 go", phase: smtp.PhaseRcpt, class: "protocol", rcpt: []int{250, 0}},
		{name: "pipelined, 421 in the middle", script: helloPipe + group + "S: 250 ok\nS: 250 ok\nS: 421 bye\nCLOSE", phase: smtp.PhaseRcpt, class: "reply 421", rcpt: []int{250, 421}},
		{name: "pipelined, lost in the middle", script: helloPipe + group + "S: 250 ok\nS: 250 ok\nCLOSE", phase: smtp.PhaseRcpt, class: "lost", rcpt: []int{250, 0}},
		{name: "pipelined, data refused", script: helloPipe + group + "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 451 later", rcpt: []int{250, 550}, data: 451},
		{name: "pipelined, data 250", script: helloPipe + group + "S: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 fine", phase: smtp.PhaseData, class: "protocol", rcpt: []int{250, 550}},
	}
}

func TestClientHostilePeer(t *testing.T) {
	t.Parallel()
	scripts := hostileScripts()
	if len(scripts) < 60 {
		t.Fatalf("%d scripts", len(scripts))
	}
	for _, tc := range scripts {
		t.Run(tc.name, func(t *testing.T) {
			if tc.tcp {
				tc.run(t, "tcp")
				return
			}
			synctest.Test(t, func(t *testing.T) { tc.run(t, "pipe") })
		})
	}
}

func (tc hostile) run(t *testing.T, network string) {
	env := envelopeTo("x")
	if strings.HasPrefix(tc.name, "pipelined") {
		env = envelopeTo("x", "y")
	}
	dial, wait := playScript(t, network, tc.script)
	var result smtp.Result
	c, err := dialPeer(dial)
	if err == nil {
		result, err = c.Send(context.Background(), env, []byte(testMessage))
		if (err == nil) != c.Usable() {
			t.Errorf("error %v, but usable is %v", err, c.Usable())
		}
		c.Quit(context.Background())
		for _, e := range c.Transcript() {
			if text := e.Sent + strings.Join(e.Received, ""); strings.ContainsAny(text, "\r\n\x00\x1b") {
				t.Errorf("transcript holds control characters: %q", text)
			}
		}
	}
	p := wait()
	if p.failed != "" {
		t.Errorf("script: %s", p.failed)
	}
	if got := classOf(err); got != tc.class {
		t.Errorf("error %v is of class %q, want %q", err, got, tc.class)
	}
	var ce *smtp.ClientError
	if err != nil && (!errors.As(err, &ce) || ce.Phase != tc.phase) {
		t.Errorf("error %v, want phase %q", err, tc.phase)
	}
	if tc.class != "" && !strings.HasPrefix(tc.class, "reply 5") && !smtp.IsTemporary(err) {
		t.Errorf("error %v is not temporary", err)
	}
	for i, code := range tc.rcpt {
		if result.Recipients[i].Code != code {
			t.Errorf("recipient %d: %d, want %d", i, result.Recipients[i].Code, code)
		}
	}
	if result.Data.Code != tc.data || result.AfterDot != tc.after {
		t.Errorf("data %d after dot %v, want %d %v", result.Data.Code, result.AfterDot, tc.data, tc.after)
	}
	if tc.data == 250 && p.body != "Subject: test\r\n\r\n..dot\r\nbody\r\n" {
		t.Errorf("body %q", p.body)
	}
}

// TestClientPeerFails runs through every step of a session and lets the peer
// fail there in every way.
func TestClientPeerFails(t *testing.T) {
	t.Parallel()
	const tlsHello = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n"
	const loggedIn = tlsHello + "S: 220 go\nTLS\nC: EHLO\nS: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN "
	const session = loggedIn + "\nS: 235 ok\n"
	steps := []struct {
		phase  smtp.Phase
		script string
		drip   string
	}{
		{smtp.PhaseGreeting, "", "220-"},
		{smtp.PhaseHello, "S: 220 mx\nC: EHLO\n", "250-"},
		{smtp.PhaseStartTLS, tlsHello, "220-"},
		{smtp.PhaseHandshake, tlsHello + "S: 220 go\n", "\x16\x03\x03\x3f\xff\x02\x00\x3f\xf0\x03\x03" + strings.Repeat("x", 100)},
		{smtp.PhaseAuth, loggedIn + "\n", "235-"},
		{smtp.PhaseMail, session + "C: MAIL\n", "250-"},
		{smtp.PhaseRcpt, session + "C: MAIL\nS: 250 ok\nC: RCPT\n", "250-"},
		{smtp.PhaseRcpt, session + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\n", "250-"},
		{smtp.PhaseData, session + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\n", "354-"},
		{smtp.PhaseBody, session + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nC: Subject\n", ""},
		{smtp.PhaseFinalDot, session + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nBODY\n", "250-"},
		{smtp.PhaseQuit, session + "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\nBODY\nS: 250 ok\nC: QUIT\n", "221-"},
	}
	for _, s := range steps {
		for _, behaviour := range []string{"SILENT", "DRIP", "CLOSE", "RST", "HALF"} {
			if behaviour == "DRIP" && s.drip == "" {
				continue // content is only read there
			}
			t.Run(fmt.Sprintf("%s %d %s", s.phase, len(s.script), behaviour), func(t *testing.T) {
				script, network, class := s.script+behaviour, "pipe", "timeout"
				switch behaviour {
				case "DRIP":
					script += " " + s.drip
				case "CLOSE":
					class = "lost"
				case "RST", "HALF":
					network, class = "tcp", "lost"
				}
				run := func(t *testing.T) { failAt(t, s.phase, network, script, class) }
				if network == "tcp" {
					run(t)
				} else {
					synctest.Test(t, run)
				}
			})
		}
	}
}

func failAt(t *testing.T, phase smtp.Phase, network, script, class string) {
	dial, wait := playScript(t, network, script)
	defer wait()
	start := time.Now()
	size := 1 << 13
	if network == "tcp" && phase == smtp.PhaseBody {
		size = 2 << 20 // more than the socket buffers take
	}
	message := []byte("Subject: x\r\n\r\n" + strings.Repeat("0123456789\r\n", size))
	result, err := func() (result smtp.Result, err error) {
		c, err := dialPeer(dial)
		if err != nil {
			return result, err
		}
		defer c.Close()
		if err := c.StartTLS(context.Background(), clientTLS()); err != nil {
			return result, err
		}
		if err := c.Auth(context.Background(), "user", "secret"); err != nil {
			return result, err
		}
		if result, err = c.Send(context.Background(), envelopeTo("x", "y"), message); err != nil {
			return result, err
		}
		return result, c.Quit(context.Background())
	}()
	if phase == smtp.PhaseBody && strings.HasSuffix(script, "HALF") {
		phase = smtp.PhaseFinalDot // the peer still reads: all of it goes out
	}
	var ce *smtp.ClientError
	if !errors.As(err, &ce) || ce.Phase != phase || classOf(err) != class || !smtp.IsTemporary(err) {
		t.Errorf("error %v (class %q), want phase %q class %q, temporary", err, classOf(err), phase, class)
	}
	if want := phase == smtp.PhaseFinalDot; result.AfterDot != want {
		t.Errorf("after dot: %v", result.AfterDot)
	}
	if want := phase == smtp.PhaseQuit; result.Data.OK() != want {
		t.Errorf("data: %v", result.Data)
	}
	if waited := time.Since(start); class == "timeout" && (waited > 11*time.Minute || waited < 5*time.Second) {
		t.Errorf("gave up after %v", waited)
	}
}

func TestClientConnectFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, err := dialPeer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		var ce *smtp.ClientError
		if !errors.As(err, &ce) || ce.Phase != smtp.PhaseConnect || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestClientSessionLimit(t *testing.T) {
	t.Parallel()
	// Each reply comes just in time; the whole takes too long.
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			buf := make([]byte, 64<<10)
			far.Write([]byte("220 mx\r\n"))
			for reply := "250 ok\r\n"; ; {
				n, err := far.Read(buf)
				if err != nil {
					return
				}
				if strings.HasPrefix(string(buf[:n]), "RCPT") {
					time.Sleep(299 * time.Second)
				}
				far.Write([]byte(reply))
			}
		}()
		c, err := dialPeer(func(context.Context, string, string) (net.Conn, error) { return near, nil })
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = c.Send(context.Background(), envelopeTo(strings.Split(strings.Repeat("x", 50), "")...), []byte(testMessage))
		if classOf(err) != "timeout" || time.Since(start) != 30*time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(5 * time.Minute) // the peer wakes up and sees the end
	})
}

func TestClientContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial, wait := playScript(t, "pipe", hello+"C: MAIL\nSILENT")
		c, err := dialPeer(dial)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err = c.Send(ctx, envelopeTo("x"), []byte(testMessage))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, err := c.Send(context.Background(), envelopeTo("x"), []byte(testMessage)); !errors.Is(err, smtp.ErrClosed) {
			t.Errorf("second send: %v", err)
		}
		wait()
	})
}

func TestClientReuse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, script string }{
		{"one by one", hello + upToDot + "S: 250 ok\n" + upToDot + "S: 250 ok\n" +
			"C: MAIL\nS: 250 ok\nC: RCPT\nS: 550 no\n" + "C: RSET\nS: 250 ok\n" + upToDot + "S: 250 ok\nC: QUIT\nS: 221 bye"},
		{"pipelined", helloPipe + "C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nBODY\nS: 250 ok\n" +
			"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nBODY\nS: 250 ok\n" +
			"C: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 550 no\nS: 503 none\n" +
			"C: RSET\nC: MAIL\nC: RCPT\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nBODY\nS: 250 ok\nC: QUIT\nS: 221 bye"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, wait := playScript(t, "pipe", tc.script)
				c, err := dialPeer(dial)
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range []int{250, 250, 550, 250} {
					r, err := c.Send(context.Background(), envelopeTo("x"), []byte(testMessage))
					if err != nil || r.Recipients[0].Code != want {
						t.Fatalf("message %d: %v %v", i, r, err)
					}
				}
				if err := c.Quit(context.Background()); err != nil {
					t.Error(err)
				}
				if p := wait(); p.failed != "" {
					t.Error(p.failed)
				}
			})
		})
	}
}

func TestClientManyRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var script strings.Builder
		script.WriteString(helloPipe + "C: MAIL\nS: 250 ok\n")
		env := mail.Envelope{}
		for i := range 1000 {
			a := mail.Address{Local: fmt.Sprintf("r%d", i), Domain: "rcpt.example"}
			env.Recipients = append(env.Recipients, mail.Recipient{Address: a})
			fmt.Fprintf(&script, "C: RCPT TO:<r%d@\nS: %d ok\n", i, 250+300*(i%2))
		}
		script.WriteString("C: DATA\nS: 354 go\nBODY\nS: 250 ok")
		dial, wait := playScript(t, "pipe", script.String())
		c, err := dialPeer(dial)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Send(context.Background(), env, []byte(testMessage))
		if p := wait(); err != nil || p.failed != "" {
			t.Fatal(err, p.failed)
		}
		for i, reply := range r.Recipients {
			if reply.Code != 250+300*(i%2) {
				t.Fatalf("recipient %d: %v", i, reply)
			}
		}
		log := c.Transcript()
		if len(log) != 65 || !strings.HasPrefix(log[32].Sent, "[939 steps left out]") || log[64].Received[0] != "250 ok" {
			t.Errorf("%d steps: %v", len(log), log[30:])
		}
	})
}
