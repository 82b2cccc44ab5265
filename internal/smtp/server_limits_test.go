package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/internal/smtp"
	"postern/internal/smtp/smtptest"
)

// TestLimits drives every counted limit to one below it, to it and beyond. n is how often a step is said; want are the reply
// codes expected after the opening.
func TestLimits(t *testing.T) {
	t.Parallel()
	const rcpts = "EHLO x\r\nMAIL FROM:<a@a.test>\r\n"
	type setter = func(l *smtp.Limits)
	repeat := strings.Repeat
	for _, tc := range []struct {
		name  string
		set   setter
		said  string
		codes string // with the 220 of the banner
	}{
		{"recipients", func(l *smtp.Limits) { l.Recipients = 3 }, rcpts + repeat("RCPT TO:<b@b.test>\r\n", 5) + "QUIT\r\n",
			"220 250 250 250 250 250 452 452 221"},
		{"messages", func(l *smtp.Limits) { l.Messages = 2 }, "EHLO x\r\n" + repeat("MAIL FROM:<a@a.test>\r\nRSET\r\n", 3),
			"220 250 250 250 250 250 421"},
		{"errors", func(l *smtp.Limits) { l.Errors = 3 }, "EHLO x\r\n" + repeat("JUNK\r\n", 5), "220 250 500 500 421"},
		{"errors are forgotten after a message", func(l *smtp.Limits) { l.Errors = 3 },
			smuggleStart + "JUNK\r\nJUNK\r\nBDAT 0 LAST\r\nJUNK\r\nJUNK\r\nJUNK\r\n", "220 250 250 250 500 500 250 500 500 421"},
		{"refused recipients become errors", func(l *smtp.Limits) { l.Recipients = 2; l.Errors = 2 }, rcpts + repeat("RCPT TO:<b@b.test>\r\n", 8),
			"220 250 250 250 250 452 452 452 421"},
		{"junk", func(l *smtp.Limits) { l.Junk = 4; l.Errors = 2 }, "EHLO x\r\n" + repeat("NOOP\r\n", 6), "220 250 250 250 250 250 421"},
		{"command at the limit", func(l *smtp.Limits) { l.CommandBytes = 512 },
			"EHLO x\r\nNOOP " + repeat("x", 504) + "\r\nNOOP " + repeat("x", 505) + "\r\nNOOP " + repeat("x", 506) + "\r\nQUIT\r\n", "220 250 250 250 500 221"},
		{"chunks", func(l *smtp.Limits) { l.Chunks = 3 }, smuggleStart + "BDAT 1\r\na" + "BDAT 1\r\na" + "BDAT 1 LAST\r\nbQUIT\r\n", "220 250 250 250 250 250 250 221"},
		{"one chunk too many", func(l *smtp.Limits) { l.Chunks = 3 }, smuggleStart + repeat("BDAT 1\r\na", 4), "220 250 250 250 250 250 250 421"},
		{"message size by DATA", func(l *smtp.Limits) { l.MessageBytes = 1024 },
			smuggleStart + "DATA\r\n" + repeat("x", 1021) + "\r\n.\r\n" + smuggleStart + "DATA\r\n" + repeat("x", 1022) + "\r\n.\r\n" + smuggleStart + "DATA\r\n" + repeat("x", 1023) + "\r\n.\r\nQUIT\r\n",
			"220 250 250 250 354 250 250 250 250 354 250 250 250 250 354 552 221"},
		{"stuffed dots do not count", func(l *smtp.Limits) { l.MessageBytes = 1024 },
			smuggleStart + "DATA\r\n" + repeat("..234567890123\r\n", 68) + ".\r\nQUIT\r\n", "220 250 250 250 354 250 221"},
		{"message size by BDAT", func(l *smtp.Limits) { l.MessageBytes = 1024 },
			smuggleStart + "BDAT 1024 LAST\r\n" + repeat("x", 1022) + "\r\n" + smuggleStart + "BDAT 1000\r\n" + repeat("x", 1000) + "BDAT 25\r\n" + repeat("x", 25) + "BDAT 3 LAST\r\nabcQUIT\r\n",
			"220 250 250 250 250 250 250 250 250 552 503 221"},
		{"declared size", func(l *smtp.Limits) { l.MessageBytes = 1024 },
			"EHLO x\r\nMAIL FROM:<> SIZE=1025\r\nMAIL FROM:<> SIZE=1024\r\nRSET\r\nMAIL FROM:<> SIZE=1023\r\nQUIT\r\n", "220 250 552 250 250 250 221"},
		{"line", func(l *smtp.Limits) { l.LineBytes = 1000 },
			smuggleStart + "BDAT 1000 LAST\r\n" + repeat("x", 998) + "\r\n" + smuggleStart + "BDAT 1001 LAST\r\n" + repeat("x", 999) + "\r\nQUIT\r\n", "220 250 250 250 250 250 250 250 554 221"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &box{}, func(o *smtp.ServerOptions) { tc.set(&o.Limits) })
			if got := codes(talk(s, "192.0.2.1", tc.said)); got != tc.codes {
				t.Errorf("got  %s\nwant %s", got, tc.codes)
			}
			if n := s.Stats().InFlightBytes; n != 0 {
				t.Errorf("%d bytes stay booked", n)
			}
		})
	}
}

// TestConnectionLimits opens connections from several networks up to each limit and one beyond.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		set   func(l *smtp.Limits)
		ips   []string
		taken int // of ips, in order
		text  string
	}{
		{"total", func(l *smtp.Limits) { l.Connections = 3 }, []string{"192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.3.1"}, 3, "Too many connections, "},
		{"per IPv4 address", func(l *smtp.Limits) { l.ConnectionsPerIP = 2 }, []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"}, 3, "from your address, please close"},
		{"mapped", func(l *smtp.Limits) { l.ConnectionsPerIP = 2 }, []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"}, 2, "from your address"},
		{"per IPv6 /64", func(l *smtp.Limits) { l.ConnectionsPerIP = 2 }, []string{"2001:db8::1", "2001:db8:0:1::1", "2001:db8::2", "2001:db8::ffff:3"}, 3, "from your address"},
		{"per IPv4 /24", func(l *smtp.Limits) { l.ConnectionsPerNetwork = 2 }, []string{"192.0.2.1", "192.0.2.2", "192.0.3.1", "192.0.2.3"}, 3, "from your network"},
		{"per IPv6 /48", func(l *smtp.Limits) { l.ConnectionsPerNetwork = 2 }, []string{"2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::1", "2001:db8:0:2::1"}, 3, "from your network"},
		{"new per minute", func(l *smtp.Limits) { l.NewPerMinutePerIP = 2 }, []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1"}, 3, "new connections from your address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			clock := atomic.Pointer[time.Time]{}
			clock.Store(&now)
			s := newServer(t, &box{}, func(o *smtp.ServerOptions) {
				tc.set(&o.Limits)
				o.Now = func() time.Time { return *clock.Load() }
			})
			l := newPipeListener()
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- s.Serve(ctx, l) }()
			greet := func(conn net.Conn, want string) {
				t.Helper()
				if err := (smtptest.Dialog{}).Play(conn, want); err != nil {
					t.Fatal(err)
				}
			}
			var open []net.Conn
			for i, ip := range tc.ips {
				conn := l.dial(ip)
				if i < tc.taken {
					greet(conn, "S: 220 *")
					open = append(open, conn)
					continue
				}
				greet(conn, "S: 421 4.7.0 mx.test *"+tc.text+"*\nS: EOF")
			}
			// Once they leave, and the minute is over, there is room again.
			for _, conn := range open {
				greet(conn, bye)
			}
			for s.Stats().Open > 0 {
				runtime.Gosched()
			}
			later := now.Add(time.Minute)
			clock.Store(&later)
			greet(l.dial(tc.ips[len(tc.ips)-1]), "S: 220 *\n"+bye)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInFlightBytes keeps messages waiting in the handler until there is no room for another.
func TestInFlightBytes(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	arrived := make(chan struct{}, 8)
	b := &box{onData: func(_ context.Context, tr *smtp.Transaction, _ []byte) (smtp.Reply, error) {
		if tr.Envelope.EnvelopeID != "free" {
			arrived <- struct{}{}
			<-held
		}
		return smtp.Reply{}, nil
	}}
	s := newServer(t, b, func(o *smtp.ServerOptions) { o.Limits.MessageBytes, o.Limits.InFlightBytes = 100<<10, 256<<10 })
	message := func(id string) string {
		return "EHLO x\r\nMAIL FROM:<a@a.test> ENVID=" + id + "\r\nRCPT TO:<b@b.test>\r\nBDAT 102400 LAST\r\n" + strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1600) + "QUIT\r\n"
	}
	results := make(chan string, 2)
	for range 2 {
		go func() { results <- codes(talk(s, "192.0.2.1", message("held"))) }()
	}
	<-arrived
	<-arrived
	if got := codes(talk(s, "192.0.2.1", message("free"))); got != "220 250 250 250 452 221" {
		t.Errorf("beyond the limit: %s", got)
	}
	close(held)
	for range 2 {
		if got := <-results; got != "220 250 250 250 250 221" {
			t.Errorf("within the limit: %s", got)
		}
	}
	if got := codes(talk(s, "192.0.2.1", message("free"))); got != "220 250 250 250 250 221" {
		t.Errorf("afterwards: %s", got)
	}
	if n := s.Stats().InFlightBytes; n != 0 {
		t.Errorf("%d bytes stay booked", n)
	}
}

// endless is a client that sends one byte value without end and does not mind being cut off.
func endless(conn net.Conn, opening string, fill byte, total int64) (sent int64) {
	go io.Copy(io.Discard, conn)
	io.WriteString(conn, opening)
	block := []byte(strings.Repeat(string(fill), 64<<10))
	for sent < total {
		n, err := conn.Write(block)
		sent += int64(n)
		if err != nil {
			break
		}
	}
	return sent
}

// TestEndlessLine sends up to 1 GiB without a line end in every state: the memory stays flat and the connection is cut after little
// more than 1 MiB (message data: twice the largest message).
func TestEndlessLine(t *testing.T) {
	s := newServer(t, &box{}, func(o *smtp.ServerOptions) { o.OfferAuth = true; o.Limits.MessageBytes = 1 << 20 })
	for _, tc := range []struct {
		name, opening string
	}{
		{"first command", "E"},
		{"second command", "EHLO x\r\n"},
		{"in AUTH", "EHLO x\r\nAUTH PLAIN\r\n"},
		{"in a transaction", smuggleStart},
		{"between chunks", smuggleStart + "BDAT 2\r\nxx"},
		{"DATA", smuggleStart + "DATA\r\n"},
	} {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() { s.ServeConn(context.Background(), from(theirs, "127.0.0.1")); close(done) }()
		const total = 1 << 30
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		sent := endless(ours, tc.opening, 'x', total)
		runtime.GC()
		runtime.ReadMemStats(&after)
		ours.Close()
		<-done
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("%s: the heap grew by %d bytes", tc.name, grown)
		}
		if sent > 3<<20 {
			t.Errorf("%s: %d bytes were taken", tc.name, sent)
		}
	}
}

// TestTinyChunks sends a million one-byte chunks: the connection is cut at the limit, the memory stays flat.
func TestTinyChunks(t *testing.T) {
	t.Parallel()
	s := newServer(t, &box{}, nil)
	said := talk(s, "192.0.2.1", smuggleStart, strings.Repeat("BDAT 1\r\na", 1_000_000))
	if n := strings.Count(said, "bytes received"); n != smtp.DefaultLimits().Chunks || !strings.Contains(said, "421 4.7.0 Too many chunks") {
		t.Errorf("%d chunks were taken", n)
	}
}

// TestRecipientBomb sends 100,000 recipients: 1,000 are taken, the rest is refused and then cut off.
func TestRecipientBomb(t *testing.T) {
	t.Parallel()
	s := newServer(t, &box{}, func(o *smtp.ServerOptions) { o.Limits.SoftErrors = 100 })
	said := talk(s, "192.0.2.1", "EHLO x\r\nMAIL FROM:<a@a.test>\r\n", strings.Repeat("RCPT TO:<somebody@b.test>\r\n", 100_000))
	if taken, refused := strings.Count(said, "250 2.1.5"), strings.Count(said, "452 4.5.3"); taken != 1000 || refused > 1100 || !strings.Contains(said, "421 4.7.0 Too many errors") {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

// stumbling is a listener that runs out of file descriptors now and then.
type stumbling struct {
	net.Listener
	n int
}

func (l *stumbling) Accept() (net.Conn, error) {
	if l.n++; l.n%2 == 1 {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// TestAcceptErrors are waited out; a listener closed by somebody else is reported.
func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, &box{}, nil)
	done := make(chan error)
	go func() { done <- s.Serve(context.Background(), &stumbling{Listener: inner}) }()
	for range 3 {
		smtptest.Client(t, inner.Addr().String(), ehloOK+bye)
	}
	inner.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// TestIdleMemory reports what an idle connection costs.
func TestIdleMemory(t *testing.T) {
	const conns = 2000
	s := newServer(t, &box{}, func(o *smtp.ServerOptions) { o.Limits.ConnectionsPerIP, o.Limits.ConnectionsPerNetwork = -1, -1 })
	addr := start(t, s)
	memory := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := memory()
	open := make([]net.Conn, conns)
	banner := make([]byte, 256)
	for i := range open {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Skipf("cannot open %d connections here: %v", conns, err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "EHLO x\r\n")
		for n := 0; !strings.Contains(string(banner[:n]), "LIMITS"); {
			if n, err = conn.Read(banner); err != nil {
				t.Fatal(err)
			}
		}
		open[i] = conn
	}
	each := (memory() - before) / conns
	t.Logf("%d bytes for each of %d idle connections, client side in the same process included", each, conns)
	if each > 16<<10 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
}

// TestServerOptions names what is wrong with them.
func TestServerOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]smtp.ServerOptions{
		"no handler":      {Hostname: "x"},
		"hostname":        {Handler: &box{}, Hostname: "a b"},
		"implicit TLS":    {Handler: &box{}, Hostname: "x", ImplicitTLS: true},
		"AUTH is":         {Handler: &box{}, Hostname: "x", RequireAuth: true},
		"bare_newline":    {Handler: &box{}, Hostname: "x", BareNewline: "keep"},
		"command_bytes":   {Handler: &box{}, Hostname: "x", Limits: smtp.Limits{CommandBytes: 100}},
		"in_flight_bytes": {Handler: &box{}, Hostname: "x", Limits: smtp.Limits{InFlightBytes: 100}},
		"data_timeout":    {Handler: &box{}, Hostname: "x", Limits: smtp.Limits{DataTimeout: -1}},
	} {
		if _, err := smtp.NewServer(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
