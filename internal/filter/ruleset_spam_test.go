package filter_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/rules"
)

const spamData = "ruleset/testdata/spam"

// spamRules loads our rules.
func spamRules(tb testing.TB) *rules.RuleSet {
	tb.Helper()
	return rulesOf(tb, "ruleset/*.cf")
}

// rulesOf loads the files of a pattern, which must be without faults.
func rulesOf(tb testing.TB, pattern string) *rules.RuleSet {
	tb.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		tb.Fatalf("no rule files: %v", err)
	}
	var files []rules.File
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, rules.File{Name: filepath.Base(name), Text: text})
	}
	set, report := rules.Parse(files, rules.Options{})
	for _, p := range report.Problems {
		tb.Errorf("%s:%d: %s %s: %s", p.Where.File, p.Where.Line, p.Directive, p.Rule, p.Reason)
	}
	return set
}

// runSpam runs the rules on the message of a file, in the score set that does not know what was learned.
func runSpam(tb testing.TB, set *rules.RuleSet, path string) rules.Result {
	tb.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	m := mail.Parse(raw, mail.DefaultLimits())
	result := set.Run(rules.NewView(m, rules.ViewOptions{Now: time.Date(2002, 9, 17, 9, 0, 0, 0, time.UTC)}), rules.RunOptions{})
	if len(result.Skipped) > 0 {
		tb.Errorf("%s: gave up: %v", path, result.Skipped)
	}
	return result
}

func ruleHit(r rules.Result, name string) bool {
	return slices.ContainsFunc(r.Hits, func(h rules.Hit) bool { return h.Rule == name })
}

// TestSpamRules: every rule with points has a message that it hits and one that it nearly hits, a French description, points within
// bounds, and words for both readers.
func TestSpamRules(t *testing.T) {
	t.Parallel()
	set := spamRules(t)
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range set.Rules() {
		if r.Sub() || !strings.HasPrefix(r.Where.File, "2") {
			continue
		}
		if r.Problem != "" {
			t.Errorf("%s cannot run: %s", r.Name, r.Problem)
		}
		known[r.Name] = true
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			base := filepath.Join(spamData, "rules", r.Name)
			if result := runSpam(t, set, base+".hit.eml"); !ruleHit(result, r.Name) {
				t.Errorf("not hit by %s.hit.eml", base)
			}
			if result := runSpam(t, set, base+".miss.eml"); ruleHit(result, r.Name) {
				t.Errorf("hit by %s.miss.eml", base)
			}
			en, fr := set.Describe(r.Name, ""), set.Describe(r.Name, "fr")
			if en == "" || fr == "" || en == fr {
				t.Errorf("descriptions %q and %q", en, fr)
			}
			for i, p := range r.Scores {
				if p < 0 || p > 2.5 {
					t.Errorf("points %v in set %d: a mark speaks against a message, and none alone may hold it", p, i)
				}
			}
			for _, lang := range locale.Languages() {
				for _, what := range []string{"name", "explain", "fix"} {
					if text := catalog.Text(lang, "test."+r.Name+"."+what, nil); text == "" || strings.Contains(text, "test."+r.Name) {
						t.Errorf("no %s in %s", what, lang)
					}
				}
			}
		})
	}
	files, err := filepath.Glob(filepath.Join(spamData, "rules", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name, _, _ := strings.Cut(filepath.Base(f), "."); !known[name] {
			t.Errorf("%s belongs to no rule with points", f)
		}
	}
}

// TestSpamHonest: everyday mail of today, orders, invoices, newsletters with a sender that shows, stays far from being held.
func TestSpamHonest(t *testing.T) {
	t.Parallel()
	set := spamRules(t)
	files, err := filepath.Glob(filepath.Join(spamData, "honest", "*.eml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d messages: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			t.Parallel()
			var sum [4]float64
			for _, h := range runSpam(t, set, f).Hits {
				r := set.Rule(h.Rule)
				if !strings.HasPrefix(r.Where.File, "2") {
					continue
				}
				for i, p := range r.Scores {
					sum[i] += p
				}
			}
			if slices.Max(sum[:]) > 1.2 {
				t.Errorf("%v points", sum)
			}
		})
	}
}

// BenchmarkSpamRules is the cost of these rules on a message of advertising and on an everyday one.
func BenchmarkSpamRules(b *testing.B) {
	set := spamRules(b)
	for _, name := range []string{"MARKS_TALK_11.hit.eml", "SUBJ_GAP.miss.eml"} {
		raw, err := os.ReadFile(filepath.Join(spamData, "rules", name))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				set.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
			}
		})
	}
}

// TestFreeMail: the rules and package mail know the same providers of free mailboxes.
func TestFreeMail(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ruleset/00_lists.cf")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		domains, ok := strings.CutPrefix(line, "freemail_domains ")
		if !ok {
			continue
		}
		for _, d := range strings.Fields(domains) {
			if n++; !mail.FreeMail(mail.Domain(d)) {
				t.Errorf("mail.FreeMail does not know %s", d)
			}
		}
	}
	if n < 40 {
		t.Errorf("%d domains in the rules", n)
	}
}
