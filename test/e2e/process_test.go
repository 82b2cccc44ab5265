package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReload: customers change on SIGHUP while a session is open; a faulty file changes nothing (F22).
func TestReload(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.start()
	c := hello(t, g.relay)
	try := func(from string) string {
		t.Helper()
		code, text, err := c.say("MAIL FROM:<" + from + ">")
		if err != nil {
			t.Fatalf("the open session was cut: %v", err)
		}
		_, _, _ = c.say("RSET")
		return code + " " + text
	}
	logged := func(text string, before int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if strings.Count(g.log.String(), text) > before {
				return
			}
		}
		t.Fatalf("the log never said %q:\n%s", text, g.log)
	}
	if s := try("a@second.test"); !strings.HasPrefix(s, "550") {
		t.Fatalf("before: %s", s)
	}
	g.write("conf.d/90.yaml", "customers: [{id: shop, contact: o@customer.test, networks: [127.0.0.1/32], domains: [customer.test, second.test]}]\n")
	_ = g.cmd.Process.Signal(syscall.SIGHUP)
	logged("configuration reloaded", 0)
	if s := try("a@second.test"); !strings.HasPrefix(s, "250") {
		t.Errorf("a new domain after the reload: %s", s)
	}
	for i, faulty := range []string{
		"customers: [{id: shop, networks: [0.0.0.0/0], domains: [third.test]}]\n", "no_such_key: 1\n", "customers: [\n", "\x00",
		"customers: [{id: shop, networks: [127.0.0.1/32], domains: [third.test]}, {id: shop, domains: [third.test]}]\n",
		"tls: {cert_file: /nowhere/cert.pem, key_file: /nowhere/key.pem}\ncustomers: [{id: shop, networks: [127.0.0.1/32], domains: [third.test]}]\n",
		"filter: {scores: {NO_SUCH_TEST: 1}}\ncustomers: [{id: shop, networks: [127.0.0.1/32], domains: [third.test]}]\n",
	} {
		g.write("conf.d/90.yaml", faulty)
		_ = g.cmd.Process.Signal(syscall.SIGHUP)
		logged("configuration refused", i)
		if s := try("a@second.test"); !strings.HasPrefix(s, "250") {
			t.Errorf("faulty file %d: the old customers are gone: %s", i, s)
		}
		if s := try("a@third.test"); !strings.HasPrefix(s, "550") {
			t.Errorf("faulty file %d took effect in part: %s", i, s)
		}
	}
	g.write("conf.d/90.yaml", "customers: [{id: shop, contact: o@customer.test, networks: [192.0.2.1/32], domains: [customer.test]}]\n")
	_ = g.cmd.Process.Signal(syscall.SIGHUP)
	logged("configuration reloaded", 1)
	if s := try("a@customer.test"); !strings.HasPrefix(s, "550") {
		t.Errorf("the network was taken away, the open session goes on: %s", s)
	}
	if _, err := dial(g.relay); err != nil {
		t.Error(err)
	}
}

// TestOneProcess: a second gateway on the same data refuses to start, also after the first was killed and is back (F28).
func TestOneProcess(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.start()
	for round := range 2 {
		other := g.command("serve")
		ports := freePorts(t, 4)
		other.Env = append(append([]string{}, g.env...), "RELAY="+ports[0], "SUBMISSION="+ports[1], "SUBMISSIONS="+ports[2], "METRICS="+ports[3])
		var out bytes.Buffer
		other.Stderr, other.Stdout = &out, &out
		done := make(chan error, 1)
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { done <- other.Wait() }()
		select {
		case err := <-done:
			if err == nil || len(out.String()) == 0 {
				t.Errorf("round %d: the second process ended with %v and said %q", round, err, &out)
			}
		case <-time.After(time.Minute):
			_ = other.Process.Kill()
			t.Fatalf("round %d: two processes run on one folder", round)
		}
		if code, text, err := hello(t, g.relay).send("news@customer.test", "someone@receiver.test", letter(fmt.Sprint("still-", round))); err != nil || code != "250" {
			t.Errorf("the first one suffers: %q %v", text, err)
		}
		g.kill()
		g.start()
	}
	g.mx.await(t, 2)
}

// TestDrain: at SIGTERM idle clients hear 421, a message that is being received is still taken, and the process ends well.
func TestDrain(t *testing.T) {
	t.Parallel()
	g := setup(t)
	g.start()
	idle, busy := hello(t, g.relay), hello(t, g.relay)
	for _, line := range []string{"MAIL FROM:<news@customer.test>", "RCPT TO:<someone@receiver.test>", "DATA"} {
		if code, text, err := busy.say(line); err != nil || code[0] > '3' {
			t.Fatalf("%s: %q %v", line, text, err)
		}
	}
	message := letter("last")
	_, _ = io.WriteString(busy, message[:50])
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if code, text, err := idle.reply(); err != nil || code != "421" {
		t.Errorf("the idle client heard %q %v", text, err)
	}
	if late, err := dial(g.relay); err == nil {
		if code, text, err := late.reply(); err == nil && code == "220" {
			t.Errorf("a new session after SIGTERM: %q", text)
		}
		late.Close()
	}
	if code, text, err := busy.say(message[50:] + "."); err != nil || code != "250" {
		t.Errorf("the message under way: %q %v", text, err)
	}
	if code := g.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(g.log.String(), "stopped") {
		t.Error("the log does not say that it stopped")
	}
	g.start() // whatever was not delivered is delivered by the next life
	g.mx.await(t, 1)
	if code := g.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSecrets: passwords never stand in a log, addresses not at the usual level.
func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"info", "debug"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			g := setup(t, "10-secrets/"+level+".yaml")
			g.start()
			user, password := g.addUser()
			const wrong = "Wr0ng-Secret-9317"
			for _, login := range [][2]string{{user, wrong}, {user, password}} {
				c := tlsHello(t, g.submissions)
				plain := base64.StdEncoding.EncodeToString([]byte("\x00" + login[0] + "\x00" + login[1]))
				code, text, err := c.say("AUTH PLAIN " + plain)
				if err != nil {
					t.Fatal(err)
				}
				if (code == "235") != (login[1] == password) {
					t.Fatalf("login: %q", text)
				}
				if code == "235" {
					if code, text, err := c.send("secret.sender@customer.test", "secret.recipient@receiver.test", letter("x")); err != nil || code != "250" {
						t.Fatalf("%q %v", text, err)
					}
				}
				c.Close()
				c = tlsHello(t, g.submissions)
				for _, line := range []string{"AUTH LOGIN", base64.StdEncoding.EncodeToString([]byte(login[0])), base64.StdEncoding.EncodeToString([]byte(login[1]))} {
					_, _, _ = c.say(line)
				}
				c.Close()
			}
			bad := hello(t, g.relay)
			_, _, _ = bad.send("secret.foreign@elsewhere.test", "secret.recipient@receiver.test", letter("y"))
			g.mx.await(t, 1)
			if code := g.end(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			text := g.log.String()
			for _, secret := range []string{password, wrong, base64.StdEncoding.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte(wrong)),
				base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))} {
				if strings.Contains(text, secret) {
					t.Errorf("the log holds a password:\n%s", text)
				}
			}
			if level == "info" && strings.Contains(text, "secret.") {
				t.Errorf("the log holds addresses:\n%s", text)
			}
		})
	}
}

// TestDiskFull: on a small file system of its own the gateway answers 452 when it is full, goes on delivering, and takes mail again
// when there is room (F5). It needs a mount; where that is forbidden it is skipped.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no file system of fixed size can be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", small).Run() })
	g := setup(t)
	for i, e := range g.env {
		if strings.HasPrefix(e, "DATA=") {
			g.env[i] = "DATA=" + filepath.Join(small, "data")
		}
	}
	g.env = append(g.env, "RESERVE=1GiB") // the last one holds
	g.launch()
	// 64 MiB lie below the reserve: the gateway must say so and refuse, not die.
	var c *talker
	for end := time.Now().Add(time.Minute); c == nil; time.Sleep(20 * time.Millisecond) {
		if x, err := dial(g.relay); err == nil {
			if code, _, err := x.reply(); err == nil && code == "220" {
				c = x
			}
		}
		if time.Now().After(end) {
			t.Fatalf("no door:\n%s", g.log)
		}
	}
	_, _, _ = c.say("EHLO client.customer.test")
	code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("full"))
	if err != nil || code != "452" {
		t.Fatalf("on a full disk: %q %v", text, err)
	}
	if code, text, err := c.say("NOOP"); err != nil || code != "250" {
		t.Errorf("the session does not go on: %q %v", text, err)
	}
	if out, err := exec.Command("mount", "-o", "remount,size=8g", small).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED the second half: the file system cannot grow: %v %s", err, out)
	}
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if code, _, err = c.send("news@customer.test", "someone@receiver.test", letter("room")); err != nil || code == "250" {
			break
		}
		_, _, _ = c.say("RSET")
	}
	if err != nil || code != "250" {
		t.Fatalf("it does not open again: %q %v", code, err)
	}
	g.mx.await(t, 1)
	if _, err := os.Stat(filepath.Join(small, "data")); err != nil {
		t.Error(err)
	}
}
