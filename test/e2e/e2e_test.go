// Package e2e_test runs the gateway as its users do: the built program as a process of its own, a configuration file, real
// sockets on loopback. The tests speak to it from outside and believe only what they read from the wire: what it answered, and what
// arrived at a mail exchanger that is theirs.
//
// base.yaml and zone are common to all; a folder NN-name holds what one test adds to the configuration. Ports come from the kernel.
package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/dns/dnstest"
)

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "postern-e2e")
	if err == nil {
		binary = filepath.Join(dir, "postern")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, "postern/cmd/postern").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the program cannot be built:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// buffer collects a process's output.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// gate is a gateway process and the small internet around it.
type gate struct {
	t   *testing.T
	dir string // configuration and data
	env []string
	log *buffer
	mx  *mx
	dns *dnstest.Server

	relay, submission, submissions, metrics string

	cmd  *exec.Cmd
	done chan error
}

// setup prepares a gateway without starting it. extra are configuration files of the test's folder.
func setup(t *testing.T, extra ...string) *gate {
	t.Helper()
	zone, err := os.ReadFile("zone")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, dir: t.TempDir(), log: &buffer{}, mx: newMX(t), dns: dnstest.Start(t, string(zone))}
	ports := freePorts(t, 4)
	g.relay, g.submission, g.submissions, g.metrics = ports[0], ports[1], ports[2], ports[3]
	g.env = append(os.Environ(), "DATA="+filepath.Join(g.dir, "data"), "RELAY="+g.relay, "SUBMISSION="+g.submission, "SUBMISSIONS="+g.submissions,
		"METRICS="+g.metrics, "RESERVE=16MiB", "DNS="+g.dns.Addr(), fmt.Sprintf("PORT=%d", netip.MustParseAddrPort(g.mx.addr).Port()))
	g.copy("base.yaml", "postern.yaml")
	if err := os.Mkdir(filepath.Join(g.dir, "conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, f := range extra {
		g.copy(f, fmt.Sprintf("conf.d/%02d.yaml", i))
	}
	t.Cleanup(func() {
		g.kill()
		if t.Failed() {
			text := g.log.String()
			t.Logf("the gateway's log ends:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return g
}

func (g *gate) copy(from, to string) {
	g.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		g.t.Fatal(err)
	}
	g.write(to, string(text))
}

// write puts a file beside the configuration.
func (g *gate) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// freePorts returns loopback ports that are free and that no other test of this process has.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var out []string
	for tries := 0; len(out) < n; tries++ {
		if tries > 1000 {
			t.Fatal("no free port between 20000 and 32000")
		}
		// Below the range the kernel takes ports of clients from: one of those could have it by the time the gateway starts.
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if _, taken := handedOut.LoadOrStore(addr, true); taken {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		out = append(out, addr)
	}
	return out
}

// handedOut are the ports that tests of this process have been given.
var handedOut sync.Map

// command is the program with this gateway's configuration.
func (g *gate) command(args ...string) *exec.Cmd {
	c := exec.Command(binary, append([]string{"-c", filepath.Join(g.dir, "postern.yaml")}, args...)...)
	c.Env = g.env
	return c
}

// launch starts the process and does not wait for it to be ready.
func (g *gate) launch() {
	g.t.Helper()
	c := g.command("serve")
	c.Stderr, c.Stdout = g.log, g.log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.cmd, g.done = c, make(chan error, 1)
	done := g.done
	go func() { done <- c.Wait() }()
}

// start starts the process and waits until it takes mail.
func (g *gate) start() {
	g.t.Helper()
	g.launch()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-g.done:
			g.done <- err
			g.t.Fatalf("the gateway ended at its start: %v\n%s", err, g.log)
		default:
		}
		resp, err := http.Get("http://" + g.metrics + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	g.t.Fatalf("the gateway never became ready:\n%s", g.log)
}

// kill ends the process without warning.
func (g *gate) kill() {
	if g.cmd != nil {
		_ = g.cmd.Process.Signal(syscall.SIGKILL)
		<-g.done
		g.cmd = nil
	}
}

// end asks the process to end and returns its exit code.
func (g *gate) end() int {
	g.t.Helper()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	return g.exit()
}

// exit waits for the end of the process.
func (g *gate) exit() int {
	g.t.Helper()
	select {
	case err := <-g.done:
		g.cmd = nil
		var e *exec.ExitError
		if errors.As(err, &e) {
			return e.ExitCode()
		}
		return 0
	case <-time.After(60 * time.Second):
		g.t.Fatalf("the gateway does not end:\n%s", g.log)
		return -1
	}
}

// figure reads one line of the metrics.
func (g *gate) figure(name string) string {
	resp, err := http.Get("http://" + g.metrics + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return rest
		}
	}
	return ""
}

// drained waits until nothing is queued.
func (g *gate) drained(within time.Duration) {
	g.t.Helper()
	calm := 0
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if g.figure(`postern_queue_messages{state="queued"}`) == "0" {
			if calm++; calm == 3 {
				return
			}
			continue
		}
		calm = 0
	}
	g.t.Fatalf("the queue does not drain: %s queued", g.figure(`postern_queue_messages{state="queued"}`))
}

// addUser makes a credential for customer shop while the gateway runs.
func (g *gate) addUser() (user, password string) {
	g.t.Helper()
	out, err := g.command("credential", "add", "shop", "--json").CombinedOutput()
	if err != nil {
		g.t.Fatalf("credential add: %v\n%s", err, out)
	}
	for _, word := range []struct {
		key string
		to  *string
	}{{`"user"`, &user}, {`"password"`, &password}} {
		_, rest, _ := strings.Cut(string(out), word.key)
		_, rest, _ = strings.Cut(rest, `"`)
		*word.to, _, _ = strings.Cut(rest, `"`)
	}
	if user == "" || password == "" {
		g.t.Fatalf("credential add said:\n%s", out)
	}
	return user, password
}

// arrival is one message as the exchanger got it: bytes as on the wire, dots doubled.
type arrival struct {
	from string
	to   []string
	raw  string
}

// mx is a mail exchanger of its own, strict and simple, that shares no code with the gateway: it keeps what arrives byte by byte.
type mx struct {
	addr string

	mu    sync.Mutex
	mails []arrival
	odd   []string // what no correct client does
	hold  chan struct{}
}

func newMX(t *testing.T) *mx {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mx{addr: l.Addr().String()}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				defer c.Close()
				m.serve(c)
			})
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); all.Wait() })
	return m
}

func (m *mx) strange(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.odd) < 20 {
		m.odd = append(m.odd, fmt.Sprintf(format, args...))
	}
}

func (m *mx) serve(c net.Conn) {
	in := bufio.NewReaderSize(c, 64<<10)
	fmt.Fprint(c, "220 mx.receiver.test ESMTP\r\n")
	var now arrival
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasSuffix(line, "\r\n") || strings.Contains(strings.TrimSuffix(line, "\r\n"), "\r") {
			m.strange("command line %q", line)
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			fmt.Fprint(c, "250-mx.receiver.test\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n")
		case "MAIL":
			now = arrival{from: rest}
			fmt.Fprint(c, "250 ok\r\n")
		case "RCPT":
			now.to = append(now.to, rest)
			fmt.Fprint(c, "250 ok\r\n")
		case "DATA":
			fmt.Fprint(c, "354 go\r\n")
			var raw strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" && (raw.Len() == 0 || strings.HasSuffix(raw.String(), "\r\n")) {
					break
				}
				raw.WriteString(line)
			}
			now.raw = raw.String()
			m.mu.Lock()
			m.mails = append(m.mails, now)
			hold := m.hold
			m.mu.Unlock()
			if hold != nil {
				<-hold
			}
			fmt.Fprint(c, "250 taken\r\n")
		case "RSET":
			fmt.Fprint(c, "250 ok\r\n")
		case "QUIT":
			fmt.Fprint(c, "221 bye\r\n")
			return
		default:
			m.strange("command %q", line)
			fmt.Fprint(c, "500 what\r\n")
		}
	}
}

func (m *mx) all() []arrival {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]arrival(nil), m.mails...)
}

// await waits for so many messages.
func (m *mx) await(t *testing.T, n int) []arrival {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if all := m.all(); len(all) >= n {
			return all
		}
	}
	t.Fatalf("%d messages arrived; expected %d", len(m.all()), n)
	return nil
}

// talker is a raw SMTP client.
type talker struct {
	net.Conn
	in *bufio.Reader
}

func dial(addr string) (*talker, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &talker{c, bufio.NewReader(c)}, nil
}

// reply reads one reply, however many lines.
func (c *talker) reply() (code, text string, err error) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "", text, err
		}
		text += line
		if len(line) < 4 || line[3] != '-' {
			return line[:min(3, len(line))], text, nil
		}
	}
}

// say sends a line and reads the reply.
func (c *talker) say(line string) (code, text string, err error) {
	if _, err := io.WriteString(c, line+"\r\n"); err != nil {
		return "", "", err
	}
	return c.reply()
}

// hello opens a session.
func hello(t testing.TB, addr string) *talker {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	if code, text, err := c.reply(); err != nil || code != "220" {
		t.Fatalf("greeting %q %v", text, err)
	}
	if code, text, err := c.say("EHLO client.customer.test"); err != nil || code != "250" {
		t.Fatalf("EHLO: %q %v", text, err)
	}
	return c
}

// letter is a message that scores nothing.
func letter(id string) string {
	return "From: The Shop <news@customer.test>\r\nTo: someone@receiver.test\r\nSubject: " + id + "\r\nDate: " + time.Now().Format(time.RFC1123Z) +
		"\r\nMessage-ID: <" + id + "@customer.test>\r\n\r\nHello,\r\nhere is your order.\r\n"
}

// send runs one transaction and returns the last reply.
func (c *talker) send(from, to, message string) (code, text string, err error) {
	for _, line := range []string{"MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA"} {
		if code, text, err = c.say(line); err != nil || code[0] > '3' {
			return code, text, err
		}
	}
	return c.say(message + ".")
}
