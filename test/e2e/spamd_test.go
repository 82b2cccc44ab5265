package e2e_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpamc: Debian's spamc asks us as it asks SpamAssassin.
func TestSpamc(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("spamc"); err != nil {
		if os.Getenv("POSTERN_CI") != "" {
			t.Fatal("spamc is not installed")
		}
		t.Skip("SKIPPED: spamc is not installed")
	}
	g := setup(t, "13-spamd/spamd.yaml")
	addr, socket := freePorts(t, 1)[0], filepath.Join(g.dir, "spamd.sock")
	g.env = append(g.env, "SPAMD="+addr, "SOCKET=unix:"+socket)
	g.start()
	host, port, _ := net.SplitHostPort(addr)
	unix := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	ham, spam := unix(letter("spamc-ham")), unix(letter("spamc-spam")+gtube)
	// run returns what spamc writes and its exit code.
	run := func(input string, args ...string) (string, int) {
		t.Helper()
		where := []string{"-d", host, "-p", port, "--connect-retries=1", "-x"}
		if len(args) > 0 && args[0] == "-U" {
			where, args = []string{"-U", socket, "-x"}, args[1:]
		}
		c := exec.Command("spamc", append(where, args...)...)
		c.Stdin = strings.NewReader(input)
		out, err := c.Output()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit):
			return string(out) + string(exit.Stderr), exit.ExitCode()
		case err != nil:
			t.Fatal(err)
		}
		return string(out), 0
	}
	help, _ := exec.Command("spamc", "-h").CombinedOutput() // Debian builds it without compression
	compression := strings.Contains(string(help), "-z")
	for _, tc := range []struct {
		name, input string
		args        []string
		out         string // all of it
		contains    string
		code        int
	}{
		{"-c spam", spam, []string{"-c"}, "15.0/3.0\n", "", 1},
		{"-c spam on a socket", spam, []string{"-U", "-c"}, "15.0/3.0\n", "", 1},
		{"-y", spam, []string{"-y"}, "", "GTUBE", 0},
		{"-R", spam, []string{"-R"}, "", "15.0/3.0\nPostern sur", 0},
		{"-R for a customer", spam, []string{"-R", "-u", "shop"}, "", "15.0/3.0\nPostern on", 0},
		{"-r", spam, []string{"-r"}, "", "GTUBE", 0},
		{"-r ham", ham, []string{"-r"}, "", "", 0},
		{"-K", "", []string{"-K"}, "SPAMD/1.5 0\n", "", 0},
		{"-E spam", spam, []string{"-E"}, "", "X-Spam-Flag: YES", 1},
		{"-z", spam, []string{"-z"}, "", "X-Spam-Flag: YES", 0},
		{"-z -c", spam, []string{"-z", "-c"}, "15.0/3.0\n", "", 1},
		{"-L spam", spam, []string{"-L", "spam"}, "Message successfully un/learned\n", "", 0},
		{"-L spam again", spam, []string{"-L", "spam"}, "Message was already un/learned\n", "", 0},
		{"-L ham", ham, []string{"-L", "ham"}, "Message successfully un/learned\n", "", 0},
		{"-L ham for a customer", ham, []string{"-u", "shop", "-L", "ham"}, "Message successfully un/learned\n", "", 0},
		{"-L forget", ham, []string{"-L", "forget"}, "Message successfully un/learned\n", "", 0},
		{"-C report", spam, []string{"-C", "report"}, "Unable to report/revoke message\n", "", 0},
	} {
		if strings.HasPrefix(tc.name, "-z") && !compression {
			t.Logf("SKIPPED %s: this spamc has no compression; the tests of package spamd send compressed messages", tc.name)
			continue
		}
		out, code := run(tc.input, tc.args...)
		if code != tc.code || tc.out != "" && out != tc.out || !strings.Contains(out, tc.contains) {
			t.Errorf("%s: exit code %d, %q", tc.name, code, out)
		}
	}
	if out, code := run(ham, "-c"); code != 0 || !strings.HasSuffix(out, "/3.0\n") {
		t.Errorf("-c ham: %d %q", code, out)
	}
	for name, input := range map[string]string{"spam": spam, "ham": ham, "mbox": "From news@customer.test Sat Nov 21 18:40:00 2026\n" + ham, "CRLF": strings.ReplaceAll(spam, "\n", "\r\n")} {
		whole, code := run(input)
		if code != 0 || !strings.Contains(whole, "X-Spam-Checker-Version: Postern ") || !strings.Contains(whole, "X-Spam-Status: ") {
			t.Errorf("%s: %d %q", name, code, whole)
		}
		var rest strings.Builder // without our fields the message is what it was
		ours := false
		for line := range strings.Lines(whole) {
			if ours = strings.HasPrefix(line, "X-Spam-") || ours && (line[0] == ' ' || line[0] == '\t'); !ours {
				rest.WriteString(line)
			}
		}
		if rest.String() != input {
			t.Errorf("%s: the message changed:\n%q\n%q", name, rest.String(), input)
		}
		if headers, code := run(input, "--headers"); code != 0 || headers != whole {
			t.Errorf("%s: --headers gives %q\nexpected %q", name, headers, whole)
		}
	}
	if n := g.figure(`postern_spamd_requests_total{result="headers"}`); n != "4" {
		t.Errorf("requests for headers: %s", n)
	}
	if code := g.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket stays behind")
	}
}
