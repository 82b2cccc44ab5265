package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRulesCheck: what does not run is named with file and line and makes the answer bad; our own rules are all understood.
func TestRulesCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "10_own.cf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("body GOOD /good/\nheader ASKS eval:check_for_spf_pass()\nbody BAD /(/\nmeta NEEDS GOOD && NOT_THERE\n")
	code, out, errs := shell{}.run(t.Context(), "rules", "check", dir)
	if code != 1 || errs != "" || !strings.Contains(out, "10_own.cf:3") || !strings.Contains(out, "unmatched (") || strings.Contains(out, "NOT_THERE") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if _, out, _ := (shell{}).run(t.Context(), "rules", "check", "--all", dir); !strings.Contains(out, "NOT_THERE") || !strings.Contains(out, "ASKS") {
		t.Errorf("--all: %s", out)
	}
	var r struct {
		Rules, Runnable int
		Network         []string
		Faults          []struct {
			File, Leaves string
			Line         int
		}
	}
	_, out, _ = shell{}.run(t.Context(), "rules", "check", "--json", dir)
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Rules != 4 || r.Runnable != 2 || len(r.Network) != 1 || len(r.Faults) != 2 {
		t.Errorf("%v %+v: %s", err, r, out)
	}
	write("body GOOD /good/\n")
	for _, args := range [][]string{{"rules", "check", dir}, {"rules", "check"}} {
		if code, out, errs := (shell{}).run(t.Context(), args...); code != 0 || !strings.Contains(out, "0 not understood") || errs != "" {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
	if code, _, errs := (shell{}).run(t.Context(), "rules", "check", filepath.Join(dir, "none")); code != 2 || errs == "" {
		t.Errorf("a folder that is not there: exit %d: %s", code, errs)
	}
}

// TestRulesSlowest: every message is measured once, and the dearest rules are named with their definition.
func TestRulesSlowest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules/10_own.cf": "body DEAR /(?=.*x)(?=.*y)(?=.*z)hello/\nscore DEAR 1\nbody CHEAP /qqq/\nscore CHEAP 1\n",
		"m/a.eml":         clean, "m/b.eml": clean, "m/c.eml": clean,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := shell{}.run(t.Context(), "rules", "slowest", "--rules", filepath.Join(dir, "rules"), filepath.Join(dir, "m"))
	if code != 0 || errs != "" || !strings.HasPrefix(out, "3 messages.") || !strings.Contains(out, "body /(?=.*x)") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	_, out, _ = shell{}.run(t.Context(), "rules", "slowest", "--json", "--top", "1", "--rules", filepath.Join(dir, "rules"), filepath.Join(dir, "m"))
	var r struct {
		Rule         string
		Microseconds float64
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Rule == "" || r.Microseconds <= 0 {
		t.Errorf("%v: %s", err, out)
	}
	if code, _, _ := (shell{}).run(t.Context(), "rules", "slowest", "--rules", filepath.Join(dir, "none"), filepath.Join(dir, "m")); code != 2 {
		t.Errorf("a folder that is not there: exit %d", code)
	}
}
