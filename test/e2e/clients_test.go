package e2e_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tlsHello opens a session on a port with TLS from the first byte.
func tlsHello(t *testing.T, addr string) *talker {
	t.Helper()
	raw, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true}) // the gateway made its certificate itself
	x := &talker{c, bufio.NewReader(c)}
	if code, text, err := x.reply(); err != nil || code != "220" {
		t.Fatalf("greeting %q %v", text, err)
	}
	if code, text, err := x.say("EHLO client.customer.test"); err != nil || code != "250" {
		t.Fatalf("EHLO: %q %v", text, err)
	}
	return x
}

// TestSwaks: the tool that postmasters use, at every door.
func TestSwaks(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("swaks"); err != nil {
		t.Skip("SKIPPED: swaks is not installed")
	}
	g := setup(t)
	g.start()
	user, password := g.addUser()
	n := 0
	for _, tc := range []struct {
		name string
		addr string
		args []string
		ok   bool
	}{
		{"relay", g.relay, nil, true},
		{"relay with STARTTLS", g.relay, []string{"--tls"}, true},
		{"STARTTLS and PLAIN", g.submission, []string{"--tls", "--auth", "PLAIN", "--auth-user", user, "--auth-password", password}, true},
		{"STARTTLS and LOGIN", g.submission, []string{"--tls", "--auth", "LOGIN", "--auth-user", user, "--auth-password", password}, true},
		{"implicit TLS", g.submissions, []string{"--tlsc", "--auth", "PLAIN", "--auth-user", user, "--auth-password", password}, true},
		{"wrong password", g.submission, []string{"--tls", "--auth", "PLAIN", "--auth-user", user, "--auth-password", "wrong"}, false},
		{"no login", g.submission, []string{"--tls"}, false},
		{"no login, implicit TLS", g.submissions, []string{"--tlsc"}, false},
		{"foreign sender", g.relay, []string{"--from", "ceo@elsewhere.test"}, false},
	} {
		host, port, _ := net.SplitHostPort(tc.addr)
		args := append([]string{"--server", host, "--port", port, "--from", "news@customer.test", "--to", "someone@receiver.test", "--h-Subject", tc.name, "--timeout", "20"}, tc.args...)
		out, err := exec.Command("swaks", args...).CombinedOutput()
		if tc.ok && strings.Contains(string(out), "requires the Net::SSL") || strings.Contains(string(out), "Net::SSLeay") && err != nil {
			t.Logf("SKIPPED %s: swaks has no TLS here", tc.name)
			continue
		}
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v\n%s", tc.name, err, out)
		}
		if tc.ok && err == nil {
			n++
			g.mx.await(t, n)
		}
	}
	t.Logf("%d messages by swaks", n)
}

// TestGoClient: net/smtp of Go's library.
func TestGoClient(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.start()
	user, password := g.addUser()
	host, _, _ := net.SplitHostPort(g.submission)
	c, err := smtp.Dial(g.submission)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", user, password, host)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := c.Mail("news@customer.test"); err != nil {
			t.Fatal(err)
		}
		if err := c.Rcpt("someone@receiver.test"); err != nil {
			t.Fatal(err)
		}
		w, err := c.Data()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "From: news@customer.test\nTo: someone@receiver.test\nSubject: go %d\n\n.leading dot\n", i)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	for _, m := range g.mx.await(t, 3) {
		if !strings.HasSuffix(m.raw, "\r\n\r\n..leading dot\r\n") || !strings.Contains(m.raw, "\r\nMessage-ID: ") && !strings.Contains(m.raw, "Message-ID: ") {
			t.Errorf("arrived: %q", m.raw)
		}
	}
}

// TestPostfixAsClient: Debian's Postfix relays through us.
func TestPostfixAsClient(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("postfix"); err != nil || os.Geteuid() != 0 {
		t.Skip("SKIPPED: Postfix is not installed, or we are not root")
	}
	g := setup(t)
	g.start()
	dir, err := os.MkdirTemp("/tmp", "postern-postfix") // its programs refuse deep and private folders
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	conf, queue, data := filepath.Join(dir, "conf"), filepath.Join(dir, "queue"), filepath.Join(dir, "data")
	for _, d := range []string{conf, queue, data} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "postfix", data).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: %v %s", err, out)
	}
	host, port, _ := net.SplitHostPort(g.relay)
	main := fmt.Sprintf("compatibility_level = 3.6\nqueue_directory = %s\ndata_directory = %s\nmyhostname = web1.customer.test\nmydestination =\ninet_interfaces = loopback-only\ninet_protocols = ipv4\n"+
		"relayhost = [%s]:%s\nsmtp_tls_security_level = may\nmaillog_file = %s/log\nmaillog_file_prefixes = %s\nmail_owner = postfix\nsetgid_group = postdrop\n"+
		"multi_instance_enable = yes\nmulti_instance_name = postfix-e2e\nnon_smtpd_milters =\nauthorized_submit_users = static:anyone\n", queue, data, host, port, dir, dir)
	master := "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n" +
		"bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nsmtp unix - - n - - smtp\nerror unix - - n - - error\n" +
		"retry unix - - n - - error\ndiscard unix - - n - - discard\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\nflush unix n - n 1000? 0 flush\nshowq unix n - n - - showq\n"
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("postfix", "-c", conf, "start").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: Postfix does not start in a folder of its own here: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("postfix", "-c", conf, "stop").Run() })
	for i := range 5 {
		c := exec.Command("sendmail", "-C", conf, "-f", "news@customer.test", "someone@receiver.test")
		c.Stdin = strings.NewReader(strings.ReplaceAll(letter(fmt.Sprint("postfix-", i)), "\r\n", "\n"))
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("sendmail: %v\n%s", err, out)
		}
	}
	defer func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Postfix says:\n%s", text)
		}
	}()
	for _, m := range g.mx.await(t, 5) {
		if !strings.Contains(m.raw, "(Postern) with ESMTP") || !strings.Contains(m.raw, "(Postfix") {
			t.Errorf("arrived: %q", m.raw)
		}
	}
}
