package delivery_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// The steps at which a server can go wrong, in the order of the dialog.
var steps = []string{"banner", "EHLO", "MAIL", "RCPT", "DATA", "body", "dot", "QUIT"}

// The ways to go wrong.
var faults = []string{"close", "reset", "half-close", "silence", "rubbish", "endless line", "421", "451", "554", "250 out of place", "many lines"}

// faultyHost speaks a correct dialog without extensions up to a step, and goes wrong there in the given way. It serves until the test ends.
func faultyHost(t *testing.T, step, fault string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go speak(c, step, fault)
		}
	}()
	return l.Addr().String()
}

func speak(c net.Conn, step, fault string) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	say := func(at, s string) bool {
		if at != step {
			fmt.Fprint(c, s+"\r\n")
			return true
		}
		switch fault {
		case "close":
		case "reset":
			_ = c.(*net.TCPConn).SetLinger(0)
		case "half-close":
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = in.ReadString(0)
		case "silence":
			_, _ = in.ReadString(0)
		case "rubbish":
			fmt.Fprint(c, "\x16\x03\x01 <html>\r\n\r\n")
		case "endless line":
			for range 1000 {
				if _, err := fmt.Fprint(c, strings.Repeat("2", 1000)); err != nil {
					return false
				}
			}
		case "many lines":
			for range 10000 {
				if _, err := fmt.Fprint(c, "250-again\r\n"); err != nil {
					return false
				}
			}
		case "250 out of place":
			if at == "MAIL" || at == "RCPT" || at == "dot" || at == "EHLO" { // there 250 is right: a code that is right nowhere
				fmt.Fprint(c, "354 go on\r\n")
			} else {
				fmt.Fprint(c, "250 fine\r\n")
			}
			_, _ = in.ReadString(0)
		default:
			fmt.Fprint(c, fault+" as the test wants\r\n")
			return fault != "421"
		}
		return false
	}
	if !say("banner", "220 faulty ESMTP") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "EHLO", "HELO":
			if !say("EHLO", "250 faulty") {
				return
			}
		case "MAIL", "RCPT":
			if !say(verb, "250 ok") {
				return
			}
		case "DATA":
			if !say("DATA", "354 go") {
				return
			}
			if step == "DATA" {
				continue // refused
			}
			if step == "body" {
				_, _ = in.ReadString('\n')
				if !say("body", "") {
					return
				}
			}
			for {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
			}
			if !say("dot", "250 taken") {
				return
			}
		case "QUIT":
			say("QUIT", "221 bye")
			return
		default:
			fmt.Fprint(c, "500 what\r\n")
		}
	}
}

// TestFaultAtEveryStep: a server that goes wrong at any step in any way never loses the mail, never ends it without a clear refusal,
// and frees its connection (F13, F14, F15).
func TestFaultAtEveryStep(t *testing.T) {
	t.Parallel()
	short := smtp.DefaultTimeouts()
	for _, p := range []*time.Duration{&short.Connect, &short.Greeting, &short.Hello, &short.Mail, &short.Rcpt, &short.Data, &short.Block, &short.FinalDot, &short.Quit} {
		*p = 5 * time.Second // only silence waits for it; a busy machine must not look silent
	}
	w := idle(t, "", func(o *delivery.Options) { o.Timeouts = short })
	type trial struct {
		step, fault, to string
		id              mail.QueueID
	}
	var trials []trial
	for i, step := range steps {
		for k, fault := range faults {
			ip := fmt.Sprintf("192.0.3.%d", i*len(faults)+k+1)
			w.at(ip, faultyHost(t, step, fault))
			x := trial{step: step, fault: fault, to: "you@[" + ip + "]"}
			m := w.compose(x.to)
			m.Body = append(m.Body, strings.Repeat("a line of the body that makes it long enough\r\n", 50)...)
			x.id = w.put(m)
			trials = append(trials, x)
		}
	}
	w.run()
	deadline := time.Now().Add(2 * time.Minute)
	for w.counted("delivered")+w.counted("deferred")+w.counted("bounced") < len(trials) {
		if time.Now().After(deadline) {
			t.Fatal("some attempt does not end")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, x := range trials {
		f := w.last(x.id, x.to)
		want := journal.Deferred
		switch {
		case x.step == "QUIT":
			want = journal.Delivered
		case x.fault == "554" && x.step != "banner" && x.step != "EHLO" && x.step != "body":
			want = journal.Bounced
		}
		if x.step == "body" && (f.Kind == journal.Bounced && x.fault == "554" || f.Kind == journal.Delivered && x.fault == "250 out of place") {
			continue // an answer while the body is on its way may be read as the final one when all of it was written before
		}
		if f.Kind != want {
			t.Errorf("%s at %s: %s %d %q; expected %s", x.fault, x.step, f.Kind, f.Code, f.Text, want)
		}
		broken := x.fault == "close" || x.fault == "reset" || x.fault == "half-close" || x.fault == "silence" || x.fault == "rubbish"
		if x.step == "dot" && broken != strings.Contains(f.Text, "may arrive twice") && broken {
			t.Errorf("%s at %s: the doubt is not told: %q", x.fault, x.step, f.Text)
		}
		if x.step != "dot" && x.step != "body" && strings.Contains(f.Text, "may arrive twice") {
			t.Errorf("%s at %s: a doubt that cannot be: %q", x.fault, x.step, f.Text)
		}
	}
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open != 0 {
		t.Errorf("%d connections stay open", w.open)
	}
	t.Logf("%d faults", len(trials))
}
