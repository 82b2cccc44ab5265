package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScanRules: with --rules only the rules of the folders run; sub-rules are shown only when asked for.
func TestScanRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10_test.cf":  "header ABOUT_MONEY Subject =~ /money/i\ndescribe ABOUT_MONEY The subject speaks of money\nlang fr describe ABOUT_MONEY L'objet parle d'argent\nscore ABOUT_MONEY 4.5\n",
		"20_test.cf":  "body __HELLO /hello/\nmeta GREETING __HELLO\nscore GREETING -0.5\nheader ASKS eval:check_for_spf_pass()\n",
		"message.eml": "From: a@b.example\nSubject: Money for you\n\nhello\n",
		"quiet.eml":   "From: a@b.example\nSubject: Lunch\n\nhello\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type hit struct {
		Test     string   `json:"test"`
		Points   float64  `json:"points"`
		Evidence []string `json:"evidence"`
	}
	scan := func(args ...string) (code int, out struct {
		Score, Raw, Threshold float64
		Held                  bool
		Hits                  []hit
	}) {
		t.Helper()
		code, text, errs := shell{}.run(t.Context(), append([]string{"scan", "--json", "--rules", dir}, args...)...)
		if err := json.Unmarshal([]byte(text), &out); err != nil || errs != "" {
			t.Fatalf("%v: %s%s", err, text, errs)
		}
		return code, out
	}
	code, v := scan(filepath.Join(dir, "message.eml"))
	if code != 1 || v.Score != 4 || !v.Held || len(v.Hits) != 2 || v.Hits[0].Test != "ABOUT_MONEY" || v.Hits[0].Points != 4.5 || v.Hits[0].Evidence[0] != "Money" {
		t.Errorf("exit %d: %+v", code, v)
	}
	code, v = scan("--all-hits", filepath.Join(dir, "quiet.eml"))
	if code != 0 || v.Score != 0 || v.Raw != -0.5 || len(v.Hits) != 2 || v.Hits[0].Test != "__HELLO" {
		t.Errorf("exit %d: %+v", code, v)
	}
	_, text, _ := shell{}.run(t.Context(), "scan", "--rules", dir, "--lang", "fr", filepath.Join(dir, "message.eml"))
	if !strings.Contains(text, "L'objet parle d'argent") {
		t.Errorf("without the rule's French words: %s", text)
	}
	if code, _, errs := (shell{}).run(t.Context(), "scan", "--all-hits", filepath.Join(dir, "quiet.eml")); code != 2 || !strings.Contains(errs, "--rules") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
