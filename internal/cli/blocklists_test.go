package cli_test

import (
	"regexp"
	"strings"
	"testing"

	"postern/internal/dnsbl"
)

// TestBlocklistsInFrench: what is known of every list is there in French, access and terms included.
func TestBlocklistsInFrench(t *testing.T) {
	t.Parallel()
	g := start(t)
	english := regexp.MustCompile(`\b(the|free|without|only|never|questions a day|removal|account and|registration|self|form|owner)\b`)
	all := dnsbl.Directory()
	if len(all) < 120 {
		t.Fatalf("only %d lists", len(all))
	}
	for _, l := range all {
		if l.Terms.EN != "" && (l.Terms.FR == "" || l.Terms.FR == l.Terms.EN) {
			t.Errorf("%s: terms %+v", l.Zone, l.Terms)
		}
		code, out, fault := g.run(t.Context(), "blocklists", l.Zone, "--lang", "fr")
		if code != 0 || fault != "" {
			t.Fatalf("%s: %d %s", l.Zone, code, fault)
		}
		if !strings.Contains(out, "Accès") || !strings.Contains(out, "Exploitant") {
			t.Errorf("%s: %s", l.Zone, out)
		}
		for _, label := range []string{"Accès", "Conditions", "Sortie"} {
			for line := range strings.Lines(out) {
				if text, ok := strings.CutPrefix(line, label); ok && english.MatchString(strings.Split(text, "http")[0]) {
					t.Errorf("%s: English in %q", l.Zone, line)
				}
			}
		}
	}
}
