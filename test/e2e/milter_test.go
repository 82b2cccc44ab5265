package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gtube is the text that every filter must find (the Generic Test for Unsolicited Bulk Email), in two parts so that no file holds it.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

// postfix is a Debian Postfix of the test: it takes mail on addr, asks a milter, and sends what passes to mx.
type postfix struct {
	t    *testing.T
	conf string
	addr string
	mx   *mx
}

// startPostfix starts a Postfix in folders of its own that asks the milter at that address.
func startPostfix(t *testing.T, milter string) *postfix {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil || os.Geteuid() != 0 {
		if os.Getenv("POSTERN_CI") != "" {
			t.Fatal("Postfix is not installed, or we are not root")
		}
		t.Skip("SKIPPED: Postfix is not installed, or we are not root")
	}
	dir, err := os.MkdirTemp("/tmp", "postern-milter") // its programs refuse deep and private folders
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o755)
	p := &postfix{t: t, conf: filepath.Join(dir, "conf"), addr: freePorts(t, 1)[0], mx: newMX(t)}
	queue, data := filepath.Join(dir, "queue"), filepath.Join(dir, "data")
	for _, d := range []string{p.conf, queue, data} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "postfix", data).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	host, port, _ := net.SplitHostPort(p.mx.addr)
	main := fmt.Sprintf("compatibility_level = 3.6\nqueue_directory = %s\ndata_directory = %s\nmyhostname = mta.customer.test\nmydestination =\nlocal_recipient_maps =\nalias_maps =\ninet_protocols = ipv4\n"+
		"relayhost = [%s]:%s\nmaillog_file = %s/log\nmaillog_file_prefixes = %s\nmail_owner = postfix\nsetgid_group = postdrop\n"+
		"multi_instance_enable = yes\nmulti_instance_name = postfix-%s\nmynetworks = 127.0.0.0/8 192.0.2.0/24 203.0.113.0/24\nsmtpd_relay_restrictions = permit_mynetworks, reject\n"+
		"smtpd_authorized_xclient_hosts = 127.0.0.1\nsmtpd_peername_lookup = no\nsmtp_dns_support_level = disabled\n"+
		"smtpd_milters = inet:%s\nnon_smtpd_milters = $smtpd_milters\nmilter_default_action = tempfail\nmilter_connect_timeout = 5s\n",
		queue, data, host, port, dir, dir, filepath.Base(dir), milter)
	master := p.addr + " inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\ntlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n" +
		"bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nsmtp unix - - n - - smtp\nerror unix - - n - - error\n" +
		"retry unix - - n - - error\ndiscard unix - - n - - discard\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\nanvil unix - - n - 1 anvil\nflush unix n - n 1000? 0 flush\nshowq unix n - n - - showq\nproxymap unix - - n - - proxymap\n"
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(p.conf, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("postfix", "-c", p.conf, "start").CombinedOutput(); err != nil {
		t.Fatalf("Postfix does not start: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("postfix", "-c", p.conf, "stop").Run() })
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Postfix says:\n%s", text)
		}
	})
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = c.Close()
			return p
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// client opens a session as a client of that address, with a login unless it is empty (Postfix XCLIENT).
func (p *postfix) client(addr, login string) *talker {
	p.t.Helper()
	raw, err := net.DialTimeout("tcp", p.addr, 5*time.Second)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = raw.SetDeadline(time.Now().Add(60 * time.Second))
	p.t.Cleanup(func() { _ = raw.Close() })
	c := &talker{raw, bufio.NewReader(raw)}
	_, _, _ = c.reply()
	if login == "" {
		login = "[UNAVAILABLE]"
	}
	for _, line := range []string{"EHLO web1.customer.test", "XCLIENT NAME=web1.customer.test ADDR=" + addr + " LOGIN=" + login, "EHLO web1.customer.test"} {
		if code, text, err := c.say(line); err != nil || code[0] != '2' {
			p.t.Fatalf("%s: %q %v", line, text, err)
		}
	}
	return c
}

// queued returns the messages of a queue.
func (p *postfix) queued(name string) int {
	p.t.Helper()
	out, err := exec.Command("postqueue", "-c", p.conf, "-j").CombinedOutput()
	if err != nil {
		p.t.Fatalf("postqueue: %v\n%s", err, out)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		var m struct {
			Queue string `json:"queue_name"`
		}
		if json.Unmarshal([]byte(line), &m) == nil && m.Queue == name {
			n++
		}
	}
	return n
}

// milterGate is a gateway that listens for a mail server.
func milterGate(t *testing.T, action string) (*gate, string) {
	t.Helper()
	g := setup(t, "12-milter/milter.yaml")
	milter := freePorts(t, 1)[0]
	g.env = append(g.env, "MILTER="+milter, "ACTION="+action)
	g.start()
	return g, milter
}

// field returns the unfolded values of a header field in a message as on the wire.
func field(raw, name string) (values []string) {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n\t", " ", "\r\n ", " ").Replace(head), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

// TestPostfixMilter: Debian's Postfix asks us about what it sends: clean mail leaves with the fields of the verdict, the rest is kept in its
// hold queue, and when we are away its clients keep their mail.
func TestPostfixMilter(t *testing.T) {
	t.Parallel()
	g, milter := milterGate(t, "quarantine")
	user, _ := g.addUser()
	p := startPostfix(t, milter)
	for _, tc := range []struct{ name, addr, login, required string }{
		{"network of shop", "127.0.0.1", "", "required=5.0"},
		{"network of partner", "192.0.2.3", "", "required=6.0"},
		{"credential of shop", "192.0.2.3", user, "required=5.0"},
		{"nobody's", "203.0.113.7", "", "required=5.0"},
	} {
		c := p.client(tc.addr, tc.login)
		for n := range 2 { // the second message of a session knows its client too
			before := len(p.mx.all())
			forged := "X-Postern-Score: 0.0\r\nx-postern-status : No, forged\r\nX-Postern-Score: -5\r\nX-Folded:  two\r\n\t spaces\r\n"
			code, text, err := c.send("news@customer.test", "someone@receiver.test", forged+letter(fmt.Sprint(strings.ReplaceAll(tc.name, " ", "-"), n)))
			if err != nil || code != "250" {
				t.Fatalf("%s: %q %v", tc.name, text, err)
			}
			m := p.mx.await(t, before+1)[before]
			status, score := field(m.raw, "X-Postern-Status"), field(m.raw, "X-Postern-Score")
			if len(status) != 1 || len(score) != 1 || !strings.HasPrefix(status[0], "No, score="+score[0]+" "+tc.required+" tests=") {
				t.Errorf("%s, message %d: score %q, status %q", tc.name, n, score, status)
			}
			if !strings.Contains(m.raw, "\r\nX-Folded:  two\r\n\t spaces\r\n") {
				t.Errorf("%s: another field changed: %q", tc.name, m.raw)
			}
		}
	}
	before := len(p.mx.all())
	c := p.client("192.0.2.3", "")
	if code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("held")+gtube); err != nil || code != "250" {
		t.Fatalf("GTUBE: %q %v", text, err)
	}
	for end := time.Now().Add(time.Minute); p.queued("hold") != 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages in the hold queue", p.queued("hold"))
		}
	}
	if n := len(p.mx.all()); n != before {
		t.Errorf("the quarantined message left")
	}
	// Released by a person, it leaves with its verdict.
	if out, err := exec.Command("postsuper", "-c", p.conf, "-H", "ALL", "hold").CombinedOutput(); err != nil {
		t.Fatalf("postsuper: %v\n%s", err, out)
	}
	if out, err := exec.Command("postqueue", "-c", p.conf, "-f").CombinedOutput(); err != nil {
		t.Fatalf("postqueue: %v\n%s", err, out)
	}
	if s := field(p.mx.await(t, before+1)[before].raw, "X-Postern-Status"); len(s) != 1 || !strings.HasPrefix(s[0], "Yes, score=15.0 required=6.0 tests=GTUBE") {
		t.Errorf("released with %q", s)
	}
	// Mail from the machine itself, without SMTP.
	local := exec.Command("sendmail", "-C", p.conf, "-f", "news@customer.test", "someone@receiver.test")
	local.Stdin = strings.NewReader(strings.ReplaceAll(letter("local"), "\r\n", "\n"))
	if out, err := local.CombinedOutput(); err != nil {
		t.Fatalf("sendmail: %v\n%s", err, out)
	}
	if s := field(p.mx.await(t, before+2)[before+1].raw, "X-Postern-Score"); len(s) != 1 {
		t.Errorf("a local message has %q", s)
	}
	if n := g.figure(`postern_milter_messages_total{result="quarantined"}`); n != "1" {
		t.Errorf("quarantined: %s", n)
	}
	if code := g.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	c = p.client("192.0.2.3", "")
	if code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("away")); err != nil || code[0] != '4' {
		t.Errorf("while the milter is away: %q %v", text, err)
	}
	g.start()
	c = p.client("192.0.2.3", "")
	if code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("back")); err != nil || code != "250" {
		t.Errorf("after its return: %q %v", text, err)
	}
	if text := g.log.String(); strings.Contains(text, "panic") || strings.Contains(text, "news@customer.test") {
		t.Errorf("the log: %s", text)
	}
}

// TestPostfixMilterRejects: action reject refuses while the client is there; action tag lets everything leave, marked.
func TestPostfixMilterRejects(t *testing.T) {
	t.Parallel()
	g, milter := milterGate(t, "reject")
	p := startPostfix(t, milter)
	c := p.client("192.0.2.3", "")
	if code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("refused")+gtube); err != nil || code != "550" ||
		!strings.Contains(text, "5.7.1 Refused: score 15.0 is above 6.0 (GTUBE first)") {
		t.Errorf("GTUBE: %q %v", text, err)
	}
	if code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("fine")); err != nil || code != "250" {
		t.Errorf("the next message of the session: %q %v", text, err)
	}
	t.Logf("the verdict on a clean message: %s", field(p.mx.await(t, 1)[0].raw, "X-Postern-Status"))
	for i, e := range g.env {
		if e == "ACTION=reject" {
			g.env[i] = "ACTION=tag"
		}
	}
	g.end()
	g.start()
	c = p.client("192.0.2.3", "")
	if code, text, err := c.send("news@customer.test", "someone@receiver.test", letter("tagged")+gtube); err != nil || code != "250" {
		t.Errorf("tag: %q %v", text, err)
	}
	if s := field(p.mx.await(t, 2)[1].raw, "X-Postern-Status"); len(s) != 1 || !strings.HasPrefix(s[0], "Yes, score=15.0") {
		t.Errorf("tagged with %q", s)
	}
}
