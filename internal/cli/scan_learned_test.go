package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScanWhatWasLearned: without a gateway, learn fills the database of the configuration and scan asks it; with one, both ask the gateway.
func TestScanWhatWasLearned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "postern.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "data_dir: %s/data\nhostname: gate.example\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	box := func(class, words string) string {
		var b strings.Builder
		for i := range 210 {
			fmt.Fprintf(&b, "From a@x.example Sat Nov 21 18:40:00 2026\nFrom: a@x.example\nMessage-ID: <%s%d@x.example>\nSubject: hello\n\n%s\n\n", class, i, words)
		}
		path := filepath.Join(dir, class+".mbox")
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	message := filepath.Join(dir, "new.eml")
	if err := os.WriteFile(message, []byte("From: a@x.example\nMessage-ID: <new@x.example>\nSubject: hello\n\ncheapest mortgage lottery winner\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := shell{}.run(t.Context(), append(args[:1:1], append([]string{"-c", conf}, args[1:]...)...)...)
		if code != want || want != 2 && args[0] == "scan" && errs != "" {
			t.Fatalf("%v: exit %d: %s%s", args, code, out, errs)
		}
		return out
	}
	if out := run(0, "scan", "--local", message); strings.Contains(out, "BAYES") {
		t.Errorf("nothing was learned yet: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
		t.Error("scan made a data folder")
	}
	if out := run(0, "learn", "spam", box("spam", "cheapest mortgage lottery winner")); !strings.Contains(out, "210 messages learned as spam") {
		t.Errorf("learn: %s", out)
	}
	run(0, "learn", "ham", box("ham", "meeting minutes of the printing committee"))
	if out := run(2, "learn", "ham", "--customer", "nobody", message); out != "" {
		t.Errorf("a customer that is not there: %s", out)
	}
	if out := run(1, "scan", "--local", message); !strings.Contains(out, "BAYES_99") || !strings.Contains(out, "mortgage") {
		t.Errorf("what was learned is not asked: %s", out)
	}
	if out := run(0, "scan", "--local", "--untaught", message); strings.Contains(out, "BAYES") {
		t.Errorf("--untaught: %s", out)
	}
	out := run(1, "scan", "--local", "--json", filepath.Join(dir, "spam.mbox"))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 210 {
		t.Fatalf("%d lines for a mailbox of 210", len(lines))
	}
	for i, line := range lines {
		var r struct{ File string }
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.File != fmt.Sprintf("%s#%d", filepath.Join(dir, "spam.mbox"), i+1) {
			t.Fatalf("line %d: %q %v", i+1, r.File, err)
		}
	}
}

// TestScanExplain: the sum adds up, the way out is named, and a rule is shown with its place.
func TestScanExplain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules/10_own.cf": "body OUR_WORD /\\bzwiebelfisch\\b/i\ndescribe OUR_WORD A slip\nscore OUR_WORD 9\n",
		"postern.yaml":    "data_dir: " + dir + "/data\nhostname: gate.example\nfilter: {rules: [" + dir + "/rules]}\n",
		"m/a.eml":         clean + "zwiebelfisch\n",
		"m/b.eml":         clean,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := shell{}.run(t.Context(), "scan", "-c", filepath.Join(dir, "postern.yaml"), "--local", "--explain", filepath.Join(dir, "m"))
	if code != 1 || errs != "" {
		t.Fatalf("exit %d: %s", code, errs)
	}
	for _, want := range []string{"rule: body /\\bzwiebelfisch\\b/i (10_own.cf line 1)", "A slip", "How the score comes about", "  +   9.000  OUR_WORD",
		"is held: above 3.0", "Without OUR_WORD the score is 0.5.", "passes: not above 3.0"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}
