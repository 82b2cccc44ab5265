package cli_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/dns/dnstest"
)

const checkZone = `
. 300 IN SOA a.root. hostmaster.root. 1 1800 900 604800 86400
. 300 IN NS a.root.
$ORIGIN example.org.
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.25
@ 300 IN TXT "v=spf1 include:_spf.example.com ~all"
_spf.example.com. 300 IN TXT "v=spf1 ip4:192.0.2.25 -all"
25.2.0.192.in-addr.arpa. 300 IN PTR mx.example.org.
26.2.0.192.in-addr.arpa. 300 IN PTR \155x\027[31m.example.org.
25.0.0.127.in-addr.arpa. 300 IN PTR mx.example.org.
`

// TestCheck: what check prints of a domain, an IP and an address, and its exit codes.
func TestCheck(t *testing.T) {
	t.Parallel()
	names := dnstest.Start(t, checkZone)
	file := filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "hostname: gate.example.net\ndns: {servers: [%q], timeout: 1s}\n", names.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := shell{}.run(t.Context(), append([]string{"check", "-c", file, "--no-probe", "--no-lists"}, args...)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d: %s%s", args, code, want, out, errs)
		}
		harmless(t, "check", out)
		return out, errs
	}
	has := func(out string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in:\n%s", want, out)
			}
		}
	}
	out, errs := run(1, "example.org")
	has(out, "example.org  domain\n", "points of 100", "to mend", "✗ DMARC", "_dmarc.example.org. 3600 IN TXT \"v=DMARC1;", "└ ~all", "│ ├ ip4:192.0.2.25", "├ include:_spf.example.com  lookups: 1")
	if errs != "" {
		t.Errorf("said %q", errs)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours without a terminal")
	}
	out, _ = run(0, "--helo", "mx.example.org", "192.0.2.25")
	has(out, "192.0.2.25  IP\n", "✓ Reverse DNS", "✓ 192.0.2.25 is named mx.example.org", "? No blocklist was asked")
	out, _ = run(0, "--lang", "fr", "--explain", "--helo", "mx.example.org", "192.0.2.25")
	has(out, "points sur 100", "DNS inverse", "PTR 25.2.0.192.in-addr.arpa: mx.example.org")
	out, _ = run(1, "192.0.2.99")
	has(out, "has no name", "→ Have the provider")
	run(1, "192.0.2.26")
	out, _ = run(1, "postmaster@example.org", "192.0.2.25")
	has(out, "postmaster@example.org  sender's address\n", "postmaster@ is reserved", "\n192.0.2.25  IP\n")

	out, _ = run(1, "--json", "example.org", "192.0.2.25")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatal(out)
	}
	var got struct {
		Target, Kind, State string
		Score               struct{ Points int }
		Groups              []struct {
			Group    string
			Findings []struct{ Code, State, What, Do string }
		}
		SPF *struct{ Lookups int }
	}
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil || got.Target != "example.org" || got.Kind != "domain" || got.State != "problem" || got.SPF == nil || got.SPF.Lookups != 1 || len(got.Groups) == 0 {
		t.Errorf("%v %+v", err, got)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"a b"}, {"localhost"}, {"--lang", "de", "example.org"}, {"--ip", "x", "example.org"}, {"--mine", "0.0.0.0/0", "example.org"}, {"--mine", "x y", "example.org"},
		{"--return-path", "a b", "example.org"}, {"--relay-test", "192.0.2.25"}, {"--relay-to", "me@example.net", "192.0.2.25"},
		{"--relay-test", "--relay-to", "x", "192.0.2.25"}, {"--relay-test", "--relay-to", "me@example.net", "--no-probe", "192.0.2.25"},
		{"--relay-test", "--relay-to", "me@example.net", "--mine", "192.0.2.25", "192.0.2.25"},
		{"--relay-test", "--relay-to", "me@example.net", "--mine", "example.net", "192.0.2.25"},
		{"--relay-test", "--relay-to", "me@example.net", "--mine", "example.net", "--mine", "192.0.2.0/24", "198.51.100.1"},
		{"--relay-test", "--relay-to", "me@example.net", "--mine", "example.net", "--mine", "192.0.2.0/24", "192.0.2.25", "example.net"},
	} {
		code, out, errs := shell{}.run(t.Context(), append([]string{"check"}, args...)...)
		if code != 2 || out != "" || errs == "" {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

// TestCheckServer: a server on this machine is looked at when the operator says that it is his; what it says cannot harm the terminal.
func TestCheckServer(t *testing.T) {
	t.Parallel()
	names := dnstest.Start(t, checkZone)
	file := filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "hostname: gate.example.net\ndns: {servers: [%q], timeout: 1s}\n", names.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.25:587")
	if err != nil {
		if os.Getenv("POSTERN_CI") != "" {
			t.Fatalf("port 587 cannot be had: %v", err)
		}
		t.Skipf("port 587 cannot be had here: %v", err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(c, "220 mx.example.org \x1b[31mred\r\n")
			buf := make([]byte, 512)
			_, _ = c.Read(buf)
			_, _ = fmt.Fprint(c, "250-mx.example.org\r\n250 AUTH PLAIN\r\n")
			_, _ = c.Read(buf)
			_ = c.Close()
		}
	}()
	code, out, errs := shell{}.run(t.Context(), "check", "-c", file, "--no-lists", "--explain", "--mine", "127.0.0.25", "127.0.0.25")
	harmless(t, "check", out)
	if code != 1 || !strings.Contains(out, "takes passwords without encryption") || !strings.Contains(out, "CONNECT 127.0.0.25:587") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, _ = shell{}.run(t.Context(), "check", "-c", file, "--no-lists", "127.0.0.25")
	if code != 0 || !strings.Contains(out, "not an address of the internet") {
		t.Errorf("exit %d: %s", code, out)
	}
}
