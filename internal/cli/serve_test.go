package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/internal/cli"
	"postern/internal/dns/dnstest"
)

// log hands over each line that the program writes to standard error.
type log struct {
	mu    sync.Mutex
	rest  []byte
	lines chan string
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte{'\n'})
		if !whole {
			return len(p), nil
		}
		l.lines <- string(line)
		l.rest = rest
	}
}

// until returns the first line that holds text.
func (l *log) until(t *testing.T, text string) string {
	t.Helper()
	var seen []string
	limit := time.After(time.Minute)
	for {
		select {
		case line := <-l.lines:
			seen = append(seen, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-limit:
			t.Fatalf("the log never said %q, but:\n%s", text, strings.Join(seen, "\n"))
		}
	}
}

// bring hands a message to a door, without TLS: its certificate is its own.
func bring(t *testing.T, door, message string) {
	t.Helper()
	c, err := smtp.Dial(door)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Mail("anna@shop.example"), c.Rcpt("bob@remote.example")); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write([]byte(message))
	if err := errors.Join(err, w.Close(), c.Quit()); err != nil {
		t.Fatal(err)
	}
}

// TestServe runs the whole program: it starts, tells the service manager, takes mail, answers the other commands, reads its configuration
// again and stops cleanly.
func TestServe(t *testing.T) {
	t.Parallel()
	names := dnstest.Start(t, "shop.example. 300 IN MX 10 mx.shop.example.\n")
	names.Fail("remote.example", dnstest.ServFail)
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "postern.yaml")
	free, err := net.Listen("tcp", "127.0.0.1:0") // a configuration has no port 0
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().String()
	_ = free.Close()
	write := func(extra string) {
		t.Helper()
		text := fmt.Sprintf(`
hostname: mx.example.org
data_dir: %s
storage: {reserve: 16MiB}
listen: {relay: {address: ["%s"]}, submission: {address: []}, submissions: {address: []}, web: [], metrics: []}
dns: {servers: ["%s"], timeout: 1s, attempts: 1}
%s
customers:
  - {id: shop, contact: owner@shop.example, networks: [127.0.0.1/32], domains: [shop.example]}
`, dir, port, names.Addr(), extra)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	told := func(want string) {
		t.Helper()
		buf := make([]byte, 200)
		_ = manager.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := manager.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), want) {
			t.Fatalf("the service manager heard %q, %v; expected %s", buf[:n], err, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := &log{lines: make(chan string, 1000)}
	hangup := make(chan os.Signal, 1)
	ended := make(chan int, 1)
	env := map[string]string{"NOTIFY_SOCKET": filepath.Join(dir, "notify")}
	go func() {
		ended <- cli.Main(ctx, cli.Process{Args: []string{"postern", "serve", "-c", file}, Stdout: &bytes.Buffer{}, Stderr: l, Hangup: hangup,
			Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }, Version: "1.0-test"})
	}()
	relay := regexp.MustCompile(`relay=(\S+)`).FindStringSubmatch(l.until(t, "Postern is ready"))
	told("READY=1")
	bring(t, relay[1], "From: anna@shop.example\r\nTo: bob@remote.example\r\nSubject: Hello\r\nDate: "+time.Now().Format(time.RFC1123Z)+
		"\r\nMessage-ID: <1@shop.example>\r\n\r\nHello\r\n")
	code, out, errs := shell{}.run(t.Context(), "queue", "list", "-c", file)
	if code != 0 || !strings.Contains(out, "bob@remote.example") || !strings.Contains(out, "“Hello”") {
		t.Errorf("queue list: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs = (shell{}).run(t.Context(), "trace", "-c", file, "<1@shop.example>"); code != 0 || !strings.Contains(out, "accepted") {
		t.Errorf("trace: exit %d\n%s%s", code, out, errs)
	}

	write("held: {keep: 24h}")
	hangup <- syscall.SIGHUP
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1")
	l.until(t, "held.keep")
	if code, _, errs := (shell{}).run(t.Context(), "reload", "-c", file); code != 0 {
		t.Errorf("reload: %s", errs)
	}
	write("colour: red")
	if code, _, errs := (shell{}).run(t.Context(), "reload", "--socket", filepath.Join(dir, "admin.sock")); code != 2 || !strings.Contains(errs, "colour") {
		t.Errorf("reload of a faulty configuration: exit %d %s", code, errs)
	}
	if code, _, errs := (shell{}).run(t.Context(), "status", "--socket", filepath.Join(dir, "admin.sock")); code != 0 {
		t.Errorf("the gateway does not go on after a refused configuration: %s", errs)
	}

	stop()
	told("STOPPING=1")
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit %d", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
	if code, _, errs := (shell{}).run(t.Context(), "status", "--socket", filepath.Join(dir, "admin.sock")); code != 2 || !strings.Contains(errs, "postern serve") {
		t.Errorf("status of a stopped gateway: exit %d %s", code, errs)
	}
}
