package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/dns/dnstest"
)

const clean = "From: Anna <anna@shop.example>\nTo: bob@remote.example\nSubject: Hello\nDate: Sat, 21 Nov 2026 18:40:00 +0000\nMessage-ID: <1@shop.example>\n\nHello Bob,\nsee you on Monday.\n"

const dirty = "From: anna@shop.example\nSubject: \x1b[31mPay\nDate: yesterday\nContent-Type: text/html\n\n<html><cEnTeR><a HrEf=\"http://x.example\">x</a></CENTer>\n"

func TestScan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, bad, empty := file("good.eml", clean), file("bad.eml", dirty), file("empty.eml", "\n")
	mbox := file("mbox.eml", "From anna@shop.example Sat Nov 21 18:40:00 2026\n"+clean)
	crlf := file("crlf.eml", strings.ReplaceAll(clean, "\n", "\r\n"))
	tests := func(line string) []string {
		t.Helper()
		var out map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &out); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, name := range []string{"file", "score", "raw", "threshold", "held", "hits"} {
			if out[name] == nil {
				t.Errorf("%s is missing: %s", name, line)
			}
		}
		if len(out) != 7 || out["providers"] == nil {
			t.Errorf("fields: %s", line)
		}
		var hits []map[string]json.RawMessage
		if err := json.Unmarshal(out["hits"], &hits); err != nil || string(out["hits"]) == "null" {
			t.Fatalf("hits: %v: %s", err, line)
		}
		var names []string
		for _, h := range hits {
			if len(h) != 3 || h["points"] == nil || string(h["evidence"]) == "null" {
				t.Errorf("hit: %s", line)
			}
			var name string
			_ = json.Unmarshal(h["test"], &name)
			names = append(names, name)
		}
		return names
	}
	code, out, errs := shell{}.run(t.Context(), "scan", "--local", "--json", good, bad, mbox, crlf)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 1 || errs != "" || len(lines) != 4 {
		t.Fatalf("exit %d, %d lines: %s", code, len(lines), errs)
	}
	harmless(t, "scan --json", out)
	first := tests(lines[0])
	for _, i := range []int{2, 3} {
		if got := tests(lines[i]); !slices.Equal(first, got) {
			t.Errorf("the form of the file changes the tests: %v, %v", first, got)
		}
	}
	if found := tests(lines[1]); !slices.Contains(found, "INVALID_DATE") || !slices.Contains(found, "HTML_MIXED_CASE_TAG") {
		t.Errorf("found %v", found)
	}
	if code, out, _ := (shell{}).run(t.Context(), "scan", "--local", good); code != 0 || !strings.HasPrefix(out, good+"\npasses: ") {
		t.Errorf("exit %d: %s", code, out)
	}
	code, out, _ = shell{}.run(t.Context(), "scan", "--local", "--lang", "fr", bad)
	if code != 1 || !strings.Contains(out, "is held: ") || !strings.Contains(out, "→ ") || !strings.Contains(out, "La date") {
		t.Errorf("exit %d: %s", code, out)
	}
	harmless(t, "scan", out)
	if code, out, _ := (shell{input: clean}).run(t.Context(), "scan", "--local", "-"); code != 0 || !strings.HasPrefix(out, "-\npasses") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, errs := (shell{}).run(t.Context(), "scan", "--local", empty, good); code != 2 || !strings.Contains(errs, "is empty") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestScanAsTheReceiverSees: --ip, --helo, --from and the name servers of the configuration decide what identity tests say.
func TestScanAsTheReceiverSees(t *testing.T) {
	t.Parallel()
	names := dnstest.Start(t, `
shop.example. 300 IN MX 10 mx.shop.example.
shop.example. 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
mx.shop.example. 300 IN A 192.0.2.1
remote.example. 300 IN MX 10 mx.remote.example.
mx.remote.example. 300 IN A 192.0.2.9
1.2.0.192.in-addr.arpa. 300 IN PTR mx.shop.example.
`)
	file := filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "hostname: mx.shop.example\ndns: {servers: [\"%s\"], timeout: 2s}\n", names.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]string{"192.0.2.1": "SPF_PASS", "192.0.2.2": "SPF_FAIL"} {
		_, out, errs := shell{input: clean}.run(t.Context(), "scan", "-c", file, "--json", "--ip", ip, "--helo", "mx.shop.example", "--from", "anna@shop.example",
			"--to", "bob@remote.example", "-")
		if !strings.Contains(out, `"`+want+`"`) {
			t.Errorf("--ip %s: %s%s", ip, out, errs)
		}
	}
}
