package app_test

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/app"
	"postern/internal/config"
)

// exchange sends bytes to a socket, closes that side, and returns what comes back.
func exchange(t *testing.T, path, text string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.UnixConn).CloseWrite()
	out, _ := io.ReadAll(c)
	return string(out)
}

// TestServices: milter and spamd answer on their sockets, count, and leave nothing behind.
func TestServices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, s := filepath.Join(dir, "m.sock"), filepath.Join(dir, "s.sock")
	// What a gateway that was killed left behind does not stop the next one.
	dead, err := net.Listen("unix", m)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	a, _, _, end := gateway(t, customer+fmt.Sprintf("listen: {milter: 'unix:%s', spamd: 'unix:%s'}\nspamd: {customer: shop}\n", m, s))
	if a.Addresses("milter") != m || a.Addresses("spamd") != s {
		t.Errorf("addresses %q and %q", a.Addresses("milter"), a.Addresses("spamd"))
	}
	for path, want := range map[string]fs.FileMode{m: 0o660, s: 0o666} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	// A gateway whose certificate, filter and customers are read again goes on answering.
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := exchange(t, s, "PING SPAMC/1.2\r\n"); got != "SPAMD/1.5 0 PONG\r\n" {
		t.Errorf("PING: %q", got)
	}
	if got := exchange(t, s, "REPORT SPAMC/1.5\r\n\r\nFrom: a@customer.test\n\nhello\n"); !strings.Contains(got, "Postern on gate.receiver.test") {
		t.Errorf("a report for customer shop, who reads English: %q", got)
	}
	const offer = "\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"
	const message = "\x00\x00\x00\x04M<>\x00" + "\x00\x00\x00\x0bLSubject\x00x\x00" + "\x00\x00\x00\x01E"
	if got := exchange(t, m, offer+message); !strings.Contains(got, "X-Postern-Status") {
		t.Errorf("milter: %q", got)
	}
	resp, err := http.Get("http://" + a.Addresses("metrics") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	for _, want := range []string{`postern_spamd_requests_total{result="ping"} 1`, `postern_spamd_requests_total{result="report"} 1`, `postern_milter_messages_total{result=`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the figures lack %s", want)
		}
	}
	end()
	for _, path := range []string{m, s} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s stays behind", path)
		}
	}
}

// TestServiceSocketIsNotTaken: neither another program's socket nor somebody's file is removed.
func TestServiceSocketIsNotTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken, file := filepath.Join(dir, "taken"), filepath.Join(dir, "file")
	l, err := net.Listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{taken: "another program answers", file: "is no socket", filepath.Join(dir, "no", "folder"): "its folder must exist"} {
		c, err := config.Default()
		if err != nil {
			t.Fatal(err)
		}
		c.DataDir = t.TempDir()
		c.Hostname = "gate.receiver.test"
		c.Listen = config.Listen{Spamd: []config.Endpoint{{Path: path}}}
		if _, err := app.New(t.Context(), app.Options{Config: c}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "listen.spamd") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if text, _ := os.ReadFile(file); string(text) != "precious" {
		t.Error("the file is gone")
	}
}
