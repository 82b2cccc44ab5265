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

// bulk is a newsletter without one-click, from a domain with all its records but for the reports of DMARC.
const bulk = "From: Anna <anna@shop.example>\nTo: jean@orange.fr, anne@laposte.net\nSubject: News\nDate: Sat, 21 Nov 2026 18:40:00 +0000\nMessage-ID: <1@shop.example>\n" +
	"List-Unsubscribe: <https://shop.example/leave>\n\nNews. To unsubscribe: https://shop.example/leave\n"

// TestScanCards: a line for each provider, those of the recipients first and marked, then what to do once.
func TestScanCards(t *testing.T) {
	t.Parallel()
	names := dnstest.Start(t, `
shop.example. 300 IN MX 10 mx.shop.example.
shop.example. 300 IN TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.shop.example. 300 IN TXT "v=DMARC1; p=none"
mx.shop.example. 300 IN A 192.0.2.1
1.2.0.192.in-addr.arpa. 300 IN PTR mx.shop.example.
orange.fr. 300 IN MX 10 smtp-in.orange.fr.
smtp-in.orange.fr. 300 IN A 192.0.2.9
`)
	file := filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "hostname: mx.shop.example\ndns: {servers: [\"%s\"], timeout: 2s}\n", names.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	scan := func(args ...string) string {
		t.Helper()
		code, out, errs := shell{input: bulk}.run(t.Context(), append([]string{"scan", "-c", file, "--ip", "192.0.2.1", "--helo", "mx.shop.example"}, append(args, "-")...)...)
		if code > 1 || errs != "" {
			t.Fatalf("exit %d: %s", code, errs)
		}
		harmless(t, "scan", out)
		return out
	}
	out := scan()
	for _, want := range []string{"\n  Orange *         Refusal likely  Valid DKIM signature, One-click unsubscribe, Feedback-ID field\n",
		"\n  La Poste *       To mend         DMARC report address (rua); advised: Valid DKIM signature\n", "\n  Gmail   ", "v=DMARC1; p=none; rua=mailto:dmarc@shop.example",
		"no part of the score"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "\n  One-click unsubscribe\n"); n != 1 {
		t.Errorf("what to do stands %d times", n)
	}
	if fr := scan("--lang", "fr"); !strings.Contains(fr, "Rejet probable") || !strings.Contains(fr, "Adresse de rapports DMARC") {
		t.Errorf("got %s", fr)
	}
	var got struct {
		Providers []struct {
			Provider, State string
			Requirements    []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(scan("--json")), &got); err != nil || len(got.Providers) != 5 {
		t.Fatalf("%v: %+v", err, got)
	}
	if p := got.Providers[0]; p.Provider != "orange" || p.State != "refused" || len(p.Requirements) < 10 || p.Requirements[0]["id"] != "spf" || p.Requirements[0]["state"] != "met" {
		t.Errorf("got %+v", p)
	}
	_, hostile, _ := shell{input: strings.Replace(bulk, "/leave>", "/\x1b[2J\u202eleave>", 1)}.run(t.Context(), "scan", "--local", "-")
	harmless(t, "scan of a hostile header", hostile)
	local := scan("--local")
	if !strings.Contains(local, "points not measured") || strings.Contains(local, "SPF pass,") {
		t.Errorf("without the network: %s", local)
	}
}
