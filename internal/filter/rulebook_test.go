package filter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/mail"
)

func writeRules(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "10_own.cf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestOwnRulesAreSound: every built-in rule is understood, takes no name of a test of the filter, and is said in both languages.
func TestOwnRulesAreSound(t *testing.T) {
	t.Parallel()
	book, err := LoadRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range book.Report().Problems {
		t.Errorf("%s:%d: %s %s: %s", p.Where.File, p.Where.Line, p.Directive, p.Rule, p.Reason)
	}
	if given := book.Report().Given; len(given) > 0 {
		t.Errorf("rules with names of the filter's own tests: %v", given)
	}
	if unsupported := book.set.Unsupported(); len(unsupported) > 0 {
		t.Errorf("rules that cannot run: %v", unsupported)
	}
	for _, test := range book.Tests() {
		if book.set.Describe(test.Name, "") == "" || book.set.Describe(test.Name, "fr") == book.set.Describe(test.Name, "") {
			t.Errorf("%s has no description in English and French", test.Name)
		}
	}
}

// TestOperatorRules: rules of a folder run beside ours, see what the filter's own tests found, explain themselves in both languages, and
// can neither replace the filter's tests nor hide what is wrong with them.
func TestOperatorRules(t *testing.T) {
	t.Parallel()
	dir := writeRules(t, `
body     OUR_WORD    /\bzwiebelfisch\b/
describe OUR_WORD    Speaks of a printer's slip
lang fr describe OUR_WORD Parle d'une coquille
score    OUR_WORD    1.5
meta     TOGETHER    OUR_WORD && MISSING_DATE
score    TOGETHER    0.5
body     MISSING_MID /never asked/
score    MISSING_MID 9
body     BROKEN      /(/
`)
	book, err := LoadRules([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	faults := book.Report().Problems
	if len(faults) != 1 || faults[0].Rule != "BROKEN" || faults[0].Where.Line != 10 {
		t.Errorf("the fault is not named with its line: %+v", faults)
	}
	f := testFilter(t, Options{Rules: book, Lists: []dnsbl.List{}, Offline: true, Resolver: nothing})
	run := func(text string) Verdict {
		t.Helper()
		v, err := f.Run(t.Context(), Input{Message: mail.Parse([]byte(text), mail.DefaultLimits())})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := run("From: a@acme.example\r\nMessage-ID: <1@acme.example>\r\nSubject: x\r\n\r\nA Zwiebelfisch, a zwiebelfisch, never asked.\r\n")
	for name, points := range map[string]float64{"OUR_WORD": 1.5, "TOGETHER": 0.5} {
		if h, ok := v.Hit(name); !ok || h.Points != points {
			t.Errorf("%s: %+v, want %v points", name, h, points)
		}
	}
	if h, ok := v.Hit("MISSING_MID"); ok {
		t.Errorf("a folder replaced a test of the filter: %+v", h)
	}
	if h, _ := v.Hit("OUR_WORD"); len(h.Evidence) != 1 || !strings.Contains(h.Evidence[0], "zwiebelfisch") {
		t.Errorf("evidence: %q", h.Evidence)
	}
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	hit, _ := v.Hit("OUR_WORD")
	for lang, want := range map[string]string{"en": "Speaks of a printer's slip", "fr": "Parle d'une coquille"} {
		if e := Explain(catalog, lang, hit); e.Name != want || e.Explain == "" || e.Fix == "" {
			t.Errorf("%s: %+v, want the name %q", lang, e, want)
		}
	}
	if v := run("From: a@acme.example\r\nDate: Sat, 21 Nov 2026 18:40:00 +0100\r\nSubject: x\r\n\r\nzwiebelfische\r\n"); has(v, "OUR_WORD") || has(v, "TOGETHER") {
		t.Errorf("a near miss: %+v", v.Hits)
	}
}

// TestRuleScores: the configuration's points replace a rule's, 0 switches it off, and a name that is no test is refused.
func TestRuleScores(t *testing.T) {
	t.Parallel()
	book, err := LoadRules([]string{writeRules(t, "header HAS_SUBJECT exists:Subject\nscore HAS_SUBJECT 1\nheader SUBJECT_X Subject =~ /x/\nscore SUBJECT_X 2\n")})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Rules: book, Lists: []dnsbl.List{}, Resolver: nothing, Scores: map[string]float64{"HAS_SUBJECT": 0, "SUBJECT_X": 4}}
	v, err := testFilter(t, o).Run(t.Context(), Input{Message: mail.Parse([]byte("Subject: x\r\n\r\n"), mail.DefaultLimits())})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Hit("HAS_SUBJECT"); ok {
		t.Error("a rule that was switched off fired")
	}
	if h, _ := v.Hit("SUBJECT_X"); h.Points != 4 {
		t.Errorf("points %v, want 4", h.Points)
	}
	o.Scores = map[string]float64{"NO_SUCH_RULE": 1}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "NO_SUCH_RULE") {
		t.Errorf("a name that is no test: %v", err)
	}
}

func has(v Verdict, test string) bool {
	_, ok := v.Hit(test)
	return ok
}

// TestArrival: an old message is compared with the time it came, not with today.
func TestArrival(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, received string
		old            bool
	}{
		{"newest field", "Received: from a by b; Mon, 02 Sep 2002 10:00:00 +0200\r\nReceived: from c by a; Tue, 2 Jan 2001 10:00:00 +0000\r\n", false},
		{"no field", "", true},
		{"no date", "Received: from a by b\r\n", true},
		{"ahead of now", "Received: from a by b; Mon, 02 Sep 2052 10:00:00 +0200\r\n", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := mail.Parse([]byte(tc.received+"Date: Mon, 02 Sep 2002 09:59:00 +0200\r\n\r\n"), mail.DefaultLimits())
			v, err := testFilter(t, Options{Lists: []dnsbl.List{}, Resolver: nothing}).Run(t.Context(), Input{Message: m})
			if err != nil {
				t.Fatal(err)
			}
			if _, old := v.Hit("DATE_IN_PAST"); old != tc.old {
				t.Errorf("DATE_IN_PAST %v, want %v", old, tc.old)
			}
		})
	}
}
