package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/dns/dnstest"
)

// TestTLS: the policy of each exchanger with its reasons, without a gateway.
func TestTLS(t *testing.T) {
	t.Parallel()
	names := dnstest.Start(t, `
a.example. 300 IN MX 10 mx1.a.example.
a.example. 300 IN MX 20 mx2.a.example.
mx1.a.example. 300 IN A 192.0.2.1
mx2.a.example. 300 IN A 192.0.2.2
_25._tcp.mx1.a.example. 300 IN TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
_25._tcp.mx2.a.example. 300 IN TLSA 1 1 1 0000000000000000000000000000000000000000000000000000000000000000
bank.example. 300 IN MX 10 mx.bank.example.
mx.bank.example. 300 IN A 192.0.2.3
down.example. 300 IN MX 10 mx.down.example.
mx.down.example. 300 IN A 192.0.2.4
null.example. 300 IN MX 0 .
`)
	names.SetSecure(true)
	names.Fail("_25._tcp.mx.down.example", dnstest.Bogus)
	file := filepath.Join(t.TempDir(), "postern.yaml")
	text := fmt.Sprintf("hostname: mx.shop.example\ndns: {servers: [\"%s\"], timeout: 2s}\ndelivery: {tls_rules: [{domain: bank.example}]}\n", names.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := shell{}.run(t.Context(), append([]string{"tls", "-c", file}, args...)...)
		if code != want {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
		harmless(t, "tls", out)
		return out, errs
	}
	out, _ := run(0, "a.example")
	for _, want := range []string{"MX signed by DNSSEC", "10 mx1.a.example", "dane ", "by dane", "1 usable, 0 not", "20 mx2.a.example", "encrypted", "0 usable, 1 not; certificate usage 1 (PKIX) does not serve mail"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	out, _ = run(0, "bank.example")
	if !strings.Contains(out, "verified") || !strings.Contains(out, "by rule") {
		t.Error(out)
	}
	out, _ = run(1, "down.example")
	if !strings.Contains(out, "waits") || !strings.Contains(out, "cannot be had") {
		t.Error(out)
	}
	for _, bad := range []string{"null.example", "nowhere.example", "a b"} {
		if _, errs := run(2, bad); errs == "" {
			t.Errorf("%s: nothing said", bad)
		}
	}
	out, _ = run(1, "--json", "a.example", "down.example")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatal(out)
	}
	var got struct {
		Exchanger, Mode, Source, Deferred string
		Why                               []string
	}
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil || got.Exchanger != "mx1.a.example" || got.Mode != "dane" || got.Source != "dane" || len(got.Why) != 1 {
		t.Errorf("%v %+v", err, got)
	}
	if err := json.Unmarshal([]byte(lines[2]), &got); err != nil || got.Deferred == "" {
		t.Errorf("%v %+v", err, got)
	}
}
