package smtp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/smtp"
)

// visitor is a client on a pipe inside a synctest bubble.
type visitor struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	over chan struct{}
}

func visit(t *testing.T, ctx context.Context, s *smtp.Server) *visitor {
	ours, theirs := net.Pipe()
	v := &visitor{t: t, conn: ours, in: bufio.NewReader(ours), over: make(chan struct{})}
	go func() { s.ServeConn(ctx, from(theirs, "192.0.2.1")); close(v.over) }()
	v.hear("220")
	return v
}

func (v *visitor) say(text string) {
	v.t.Helper()
	if _, err := io.WriteString(v.conn, text); err != nil {
		v.t.Fatal(err)
	}
}

// hear reads one reply and checks how it begins.
func (v *visitor) hear(want string) {
	v.t.Helper()
	for {
		line, err := v.in.ReadString('\n')
		if err != nil {
			v.t.Fatalf("waiting for %s: %v", want, err)
		}
		if line[3] == ' ' {
			if !strings.HasPrefix(line, want) {
				v.t.Fatalf("got %q, want %s", line, want)
			}
			return
		}
	}
}

func (v *visitor) ask(text, want string) {
	v.t.Helper()
	v.say(text)
	v.hear(want)
}

// gone waits for the end of the connection.
func (v *visitor) gone() {
	v.t.Helper()
	if rest, _ := io.ReadAll(v.in); len(rest) > 0 {
		v.t.Errorf("more came: %q", rest)
	}
	<-v.over
	v.conn.Close()
}

func (v *visitor) toData() {
	v.ask("EHLO x\r\n", "250")
	v.ask("MAIL FROM:<a@a.test>\r\n", "250")
	v.ask("RCPT TO:<b@b.test>\r\n", "250")
	v.ask("DATA\r\n", "354")
}

// drip sends text again and again at an interval until the server has enough, and returns how long that took.
func (v *visitor) drip(text string, every time.Duration) time.Duration {
	began := time.Now()
	go func() {
		for {
			time.Sleep(every)
			if _, err := io.WriteString(v.conn, text); err != nil {
				return
			}
		}
	}()
	v.hear("421 4.4.2")
	took := time.Since(began)
	v.gone()
	return took
}

// TestSlowClients measures in the time of the bubble when each kind of slowness ends.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		set   func(l *smtp.Limits)
		until func(v *visitor) time.Duration
		want  time.Duration
	}{
		{"says nothing", nil, func(v *visitor) time.Duration { return v.drip("", time.Hour) }, 5 * time.Minute},
		{"one byte of a command each 10 s", nil, func(v *visitor) time.Duration { return v.drip("E", 10*time.Second) }, 5 * time.Minute},
		{"noop each minute", func(l *smtp.Limits) { l.Junk, l.SessionTimeout = 1<<30, 20*time.Minute }, func(v *visitor) time.Duration {
			began := time.Now()
			v.ask("EHLO x\r\n", "250")
			for range 19 {
				time.Sleep(time.Minute)
				v.ask("NOOP\r\n", "250")
			}
			v.hear("421 4.4.2")
			v.gone()
			return time.Since(began)
		}, 20 * time.Minute},
		{"data: nothing", nil, func(v *visitor) time.Duration { v.toData(); return v.drip("", time.Hour) }, 30 * time.Second},
		{"data: a byte each second", nil, func(v *visitor) time.Duration { v.toData(); return v.drip("x", time.Second) }, 30 * time.Second},
		{"data: 499 bytes a second", func(l *smtp.Limits) { l.MinRate = 500 }, func(v *visitor) time.Duration {
			v.toData()
			return v.drip(strings.Repeat("x", 497)+"\r\n", time.Second)
		}, 30 * time.Second},
		{"data: 600 bytes a second for too long", nil, func(v *visitor) time.Duration {
			v.toData()
			return v.drip(strings.Repeat("x", 598)+"\r\n", time.Second)
		}, 30 * time.Minute},
		{"data: a stall after a good start", nil, func(v *visitor) time.Duration {
			v.toData()
			v.say(strings.Repeat(strings.Repeat("x", 98)+"\r\n", 300)) // 30 kB are worth 60 s
			return v.drip("", time.Hour)
		}, 60 * time.Second},
		{"data: no minimum rate", func(l *smtp.Limits) { l.MinRate = -1 }, func(v *visitor) time.Duration { v.toData(); return v.drip("", time.Hour) }, 5 * time.Minute},
		{"chunk: nothing", nil, func(v *visitor) time.Duration {
			v.ask("EHLO x\r\n", "250")
			v.ask("MAIL FROM:<a@a.test>\r\n", "250")
			v.ask("RCPT TO:<b@b.test>\r\n", "250")
			v.say("BDAT 100\r\n")
			return v.drip("", time.Hour)
		}, 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, &box{}, func(o *smtp.ServerOptions) {
					if tc.set != nil {
						tc.set(&o.Limits)
					}
				})
				got := tc.until(visit(t, t.Context(), s))
				if got < tc.want || got > tc.want+2*time.Second {
					t.Errorf("ended after %v, want %v", got, tc.want)
				}
				if s.Stats().Timeouts != 1 || s.Stats().InFlightBytes != 0 {
					t.Errorf("%+v", s.Stats())
				}
				time.Sleep(2 * time.Hour) // lets the dripping goroutine see the end
			})
		})
	}
}

// TestErrorDelay grows beyond the soft limit.
func TestErrorDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := visit(t, t.Context(), newServer(t, &box{}, func(o *smtp.ServerOptions) { o.Limits.SoftErrors, o.Limits.Errors = 2, 6 }))
		v.ask("EHLO x\r\n", "250")
		for i, want := range []time.Duration{0, 0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond} {
			began := time.Now()
			v.ask("JUNK\r\n", "500")
			if got := time.Since(began); got != want {
				t.Errorf("error %d was answered after %v, want %v", i+1, got, want)
			}
		}
		v.ask("JUNK\r\n", "421 4.7.0")
		v.gone()
	})
}

// TestDrain ends Serve's context: idle clients are told, a message on its way is finished and answered, and what does not finish
// within the grace is cut.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &box{}
		s := newServer(t, b, func(o *smtp.ServerOptions) { o.DrainGrace = 20 * time.Second })
		ctx, cancel := context.WithCancel(t.Context())
		idle, silent, sending, chunks, stuck := visit(t, ctx, s), visit(t, ctx, s), visit(t, ctx, s), visit(t, ctx, s), visit(t, ctx, s)
		idle.ask("EHLO x\r\n", "250")
		idle.ask("MAIL FROM:<a@a.test>\r\n", "250")
		sending.toData()
		sending.say("half a ")
		chunks.ask("EHLO x\r\nMAIL FROM:<a@a.test>\r\n", "250")
		chunks.hear("250")
		chunks.ask("RCPT TO:<b@b.test>\r\nBDAT 2\r\nxx", "250")
		chunks.hear("250")
		stuck.toData()
		synctest.Wait()
		began := time.Now()
		cancel()
		for _, v := range []*visitor{idle, silent} {
			v.hear("421 4.3.2")
			v.gone()
		}
		time.Sleep(10 * time.Second)
		sending.ask("message\r\n.\r\n", "250 2.0.0 Ok: queued as ID")
		sending.hear("421 4.3.2")
		sending.gone()
		chunks.ask("BDAT 0 LAST\r\n", "250 2.0.0 Ok: queued as ID")
		chunks.hear("421 4.3.2")
		chunks.gone()
		<-stuck.over
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the drain took %v", took)
		}
		if got := b.letters(); len(got) != 2 || got[0].msg != "half a message\r\n" || got[1].msg != "xx\r\n" {
			t.Errorf("%+v", got)
		}
	})
}

// TestDrainOfServe returns nil once all are gone.
func TestDrainOfServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, &box{}, nil)
		l := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		conn := l.dial("192.0.2.1")
		defer conn.Close()
		v := &visitor{t: t, conn: conn, in: bufio.NewReader(conn)}
		v.hear("220")
		cancel()
		v.hear("421 4.3.2")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
