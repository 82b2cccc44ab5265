package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"postern/internal/mail"
	"postern/internal/smtp"
)

// model is what RFC 5321 says about the order of commands, in its shortest form.
type model struct{ hello, mail, rcpt, chunks bool }

func (m *model) reset() { m.mail, m.rcpt, m.chunks = false, false, false }

// step is the reply code to expect for a command of the walk.
func (m *model) step(cmd string) (code int) {
	switch cmd {
	case "ehlo":
		m.reset()
		m.hello = true
		return 250
	case "rset":
		m.reset()
		return 250
	case "noop":
		return 250
	case "junk":
		return 500
	case "mail", "mail-refused", "mail-bad":
		switch {
		case !m.hello, m.mail:
			return 503
		case cmd == "mail-bad":
			return 501
		case cmd == "mail-refused":
			return 550
		}
		m.mail = true
		return 250
	case "rcpt", "rcpt-refused", "rcpt-bad":
		switch {
		case !m.mail, m.chunks:
			return 503
		case cmd == "rcpt-bad":
			return 501
		case cmd == "rcpt-refused":
			return 450
		}
		m.rcpt = true
		return 250
	case "data", "data-bare", "data-big", "data-refused":
		switch {
		case !m.mail, m.chunks:
			return 503
		case !m.rcpt:
			return 554
		}
		m.reset()
		return map[string]int{"data": 250, "data-bare": 554, "data-big": 552, "data-refused": 451}[cmd]
	case "bdat", "bdat-big", "bdat-last", "bdat-last-bare":
		switch {
		case m.mail && !m.rcpt:
			m.reset()
			return 554
		case !m.rcpt:
			return 503
		case cmd == "bdat":
			m.chunks = true
			return 250
		}
		m.reset()
		return map[string]int{"bdat-big": 552, "bdat-last": 250, "bdat-last-bare": 554}[cmd]
	}
	panic("no such step: " + cmd)
}

// wire is what each step sends; DATA steps send their body only after 354.
func wire(cmd, big string) (line, body string) {
	switch cmd {
	case "ehlo":
		return "EHLO x\r\n", ""
	case "rset", "noop":
		return cmd + "\r\n", ""
	case "junk":
		return "JUNK\r\n", ""
	case "mail":
		return "MAIL FROM:<a@a.test>\r\n", ""
	case "mail-refused":
		return "MAIL FROM:<refused@a.test>\r\n", ""
	case "mail-bad":
		return "MAIL FROM:<a@>\r\n", ""
	case "rcpt":
		return "RCPT TO:<b@b.test>\r\n", ""
	case "rcpt-refused":
		return "RCPT TO:<refused@b.test>\r\n", ""
	case "rcpt-bad":
		return "RCPT TO:<b@>\r\n", ""
	case "data":
		return "DATA\r\n", "one\r\n.\r\n"
	case "data-refused":
		return "DATA\r\n", "refuse\r\n.\r\n"
	case "data-bare":
		return "DATA\r\n", "a\nb\r\n.\r\n"
	case "data-big":
		return "DATA\r\n", big + ".\r\n"
	case "bdat":
		return "BDAT 5\r\none\r\n", ""
	case "bdat-big":
		return fmt.Sprintf("BDAT %d\r\n%s", len(big), big), ""
	case "bdat-last":
		return "BDAT 0 LAST\r\n", ""
	case "bdat-last-bare":
		return "BDAT 2 LAST\r\n\n\r", ""
	}
	panic("no such step: " + cmd)
}

// TestRandomWalks walks 100,000 random commands through long sessions and compares every reply with the model. The handler checks
// that no message arrives without its own MAIL and RCPT having been decided.
func TestRandomWalks(t *testing.T) {
	t.Parallel()
	type decision struct{ recipients int }
	decided := map[*smtp.Transaction]*decision{}
	accepted := 0
	b := &box{
		onMail: func(tr *smtp.Transaction) error {
			if tr.Envelope.ReversePath.Local == "refused" {
				return smtp.Errorf(550, smtp.Enhanced{5, 7, 1}, "No")
			}
			decided[tr] = &decision{}
			return nil
		},
		onRcpt: func(tr *smtp.Transaction, r mail.Recipient) error {
			if decided[tr] == nil {
				t.Error("RCPT for a transaction that MAIL never decided")
			}
			if r.Address.Local == "refused" {
				return smtp.Errorf(450, smtp.Enhanced{4, 7, 1}, "Later")
			}
			decided[tr].recipients++
			return nil
		},
		onData: func(_ context.Context, tr *smtp.Transaction, msg []byte) (smtp.Reply, error) {
			d := decided[tr]
			if d == nil || d.recipients == 0 || d.recipients != len(tr.Envelope.Recipients) {
				t.Errorf("message with an undecided envelope: %+v", tr)
			}
			delete(decided, tr)
			if string(msg) == "refuse\r\n" {
				return smtp.Reply{}, errPlain
			}
			accepted++
			return smtp.Reply{}, nil
		},
	}
	s := newServer(t, b, func(o *smtp.ServerOptions) {
		o.Limits.Errors, o.Limits.SoftErrors, o.Limits.Junk, o.Limits.Recipients = 1<<30, 1<<30, 1<<30, 1<<30
		o.Limits.Messages = -1
		o.Limits.MessageBytes = 2000
	})
	steps := []string{"ehlo", "rset", "noop", "junk", "mail", "mail", "mail", "mail", "mail", "mail", "mail-refused", "mail-bad",
		"rcpt", "rcpt", "rcpt", "rcpt", "rcpt", "rcpt", "rcpt", "rcpt-refused", "rcpt-bad", "data", "data", "data", "data", "data", "data-bare", "data-big", "data-refused", "bdat", "bdat", "bdat-big", "bdat-last", "bdat-last-bare"}
	line := "0123456789012345678901234567890123456789012345678\r\n"
	big := ""
	for len(big) < 1980 {
		big += line
	}
	big += line // above MessageBytes only for DATA; one BDAT chunk must not exceed it by itself
	bigChunk := big[:2000]
	r := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		ours, theirs := net.Pipe()
		over := make(chan struct{})
		go func() { s.ServeConn(context.Background(), from(theirs, "192.0.2.1")); close(over) }()
		in := bufio.NewReader(ours)
		var m model
		read := func() (code int) {
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if l[3] == ' ' {
					fmt.Sscanf(l, "%d", &code)
					return code
				}
			}
		}
		read()
		var last []string
		for range 10_000 {
			cmd := steps[r.IntN(len(steps))]
			if cmd == "bdat-big" && !m.chunks {
				cmd = "bdat" // alone it fits exactly; behind another chunk it is too much
			}
			last = append(last, cmd)
			send := big
			if cmd == "bdat-big" {
				send = bigChunk
			}
			text, body := wire(cmd, send)
			want := m.step(cmd)
			ours.Write([]byte(text))
			got := read()
			if body != "" && got == 354 {
				ours.Write([]byte(body))
				got = read()
			}
			if got != want {
				t.Fatalf("%s: %d, want %d; before it: %v", cmd, got, want, last[max(0, len(last)-8):])
			}
		}
		ours.Close()
		<-over
	}
	if accepted < 1000 {
		t.Errorf("only %d messages were accepted: the walk proves little", accepted)
	}
}
