package filter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/rules"
)

const dangerData = "ruleset/testdata/danger"

// dangerRules loads the files about fraud alone, with the lists they use, so that other files cannot hide their faults.
func dangerRules(tb testing.TB) *rules.RuleSet {
	tb.Helper()
	set := rulesOf(tb, "ruleset/[01]*.cf")
	for name, why := range set.Unsupported() {
		tb.Errorf("%s cannot run: %s", name, why)
	}
	return set
}

// scored returns the rules that have points of their own.
func scored(set *rules.RuleSet) []*rules.Rule {
	var out []*rules.Rule
	for _, r := range set.Rules() {
		if !r.Sub() {
			out = append(out, r)
		}
	}
	return out
}

// runDanger runs the rules on the message of a file.
func runDanger(tb testing.TB, set *rules.RuleSet, path string) rules.Result {
	tb.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return runRaw(tb, set, raw)
}

func runRaw(tb testing.TB, set *rules.RuleSet, raw []byte) rules.Result {
	tb.Helper()
	m := mail.Parse(raw, mail.DefaultLimits())
	result := set.Run(rules.NewView(m, rules.ViewOptions{Now: time.Date(2025, 11, 18, 9, 0, 0, 0, time.UTC)}), rules.RunOptions{ScoreSet: 1})
	if len(result.Skipped) > 0 {
		tb.Errorf("gave up: %v", result.Skipped)
	}
	return result
}

func hitNames(r rules.Result) string {
	var out []string
	for _, h := range r.Hits {
		out = append(out, h.Rule)
	}
	return strings.Join(out, " ")
}

func subNames(r rules.Result) string {
	var out []string
	for _, h := range r.Subs {
		out = append(out, h.Rule)
	}
	return strings.Join(out, " ")
}

// TestDangerRulesHaveTextsAndMessages: each rule about fraud is described and explained in both languages, hits the message made for it
// and spares the one that is nearly like it.
func TestDangerRulesHaveTextsAndMessages(t *testing.T) {
	t.Parallel()
	set := dangerRules(t)
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string]bool{}
	for _, r := range scored(set) {
		t.Run(r.Name, func(t *testing.T) {
			if set.Describe(r.Name, "") == "" || set.Describe(r.Name, "fr") == set.Describe(r.Name, "") {
				t.Error("not described in both languages")
			}
			if r.Scores[0] <= 0 || r.Scores[0] != r.Scores[1] {
				t.Errorf("points %v", r.Scores)
			}
			for _, lang := range []string{locale.English, locale.French} {
				for _, kind := range []string{"name", "explain", "fix"} {
					if key := "test." + r.Name + "." + kind; catalog.Text(lang, key, nil) == key {
						t.Errorf("no text %s in %s", key, lang)
					}
				}
			}
			hit := runDanger(t, set, filepath.Join(dangerData, "rules", r.Name+".hit.eml"))
			if !ruleHit(hit, r.Name) {
				t.Errorf("the message made for it is not hit, only: %s (%s)", hitNames(hit), subNames(hit))
			}
			miss := runDanger(t, set, filepath.Join(dangerData, "rules", r.Name+".miss.eml"))
			if ruleHit(miss, r.Name) {
				t.Errorf("the message that is nearly like it is hit (%s)", subNames(miss))
			}
			if miss.Score > 1 {
				t.Errorf("the message that is nearly like it gets %.1f points: %s", miss.Score, hitNames(miss))
			}
		})
		wanted[r.Name+".hit.eml"], wanted[r.Name+".miss.eml"] = true, true
	}
	files, err := filepath.Glob(filepath.Join(dangerData, "rules", "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !wanted[filepath.Base(f)] {
			t.Errorf("%s belongs to no rule", f)
		}
	}
}

// TestDangerSparesOrdinaryMail: mail of today that is near to fraud in its words gets at most one point from these rules.
func TestDangerSparesOrdinaryMail(t *testing.T) {
	t.Parallel()
	set := dangerRules(t)
	for _, f := range dangerFiles(t, "ham", 40) {
		if r := runDanger(t, set, f); r.Score > 1 {
			t.Errorf("%s: %.1f points: %s (%s)", filepath.Base(f), r.Score, hitNames(r), subNames(r))
		}
	}
}

// TestDangerFindsFraud: of mail as swindlers send it at least nine in ten get more than three points from these rules alone.
func TestDangerFindsFraud(t *testing.T) {
	t.Parallel()
	set := dangerRules(t)
	files, missed := dangerFiles(t, "spam", 60), 0
	for _, f := range files {
		if r := runDanger(t, set, f); r.Score <= 3 {
			missed++
			t.Logf("%s: %.1f points: %s (%s)", filepath.Base(f), r.Score, hitNames(r), subNames(r))
		}
	}
	if missed*10 > len(files) {
		t.Errorf("%d of %d messages get three points or less", missed, len(files))
	}
}

func dangerFiles(tb testing.TB, kind string, least int) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(dangerData, kind, "*.eml"))
	if err != nil || len(files) < least {
		tb.Fatalf("%d messages of %s, expected %d (%v)", len(files), kind, least, err)
	}
	return files
}

// TestDangerWithinBudget: no rule gives up on large messages made to be slow.
func TestDangerWithinBudget(t *testing.T) {
	t.Parallel()
	set := dangerRules(t)
	head := "From: a@example.org\r\nTo: b@example.org\r\nSubject: " + strings.Repeat("a ", 2000) + "\r\nMIME-Version: 1.0\r\n"
	fill := func(s string) string { return strings.Repeat(s, 1<<20/len(s)) }
	for _, tc := range []struct{ name, raw string }{
		{"words", head + "\r\n" + fill("votre colis est en attente et votre compte a été suspendu dans les \r\n")},
		{"sentences", head + "\r\n" + fill("your parcel is on hold, pay the customs fee, verify your account and click here ")},
		{"tags", head + "Content-Type: text/html\r\n\r\n" + fill("<a href=\"https://www.paypal.com.example.org/wp-content/uploads/a/b/c/d\">www.paypal.com</a>\n")},
		{"open tags", head + "Content-Type: text/html\r\n\r\n" + fill("<input <form <a href= x<!--")},
		{"entities", head + "Content-Type: text/html\r\n\r\n" + fill(">&#97;&#98;")},
		{"digits", head + "\r\n" + fill("1 234 567 ")},
		{"one line", head + "\r\n" + fill("a")},
		{"links", head + "\r\n" + fill("https://a-b-c-d-e.secure-paypal-login.example.org/x/y/z/login/ameli/index.php\r\n")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			runRaw(t, set, []byte(tc.raw))
		})
	}
}

// BenchmarkDanger measures what the rules about fraud cost for one message that is parsed already, beside four rules that never hit: most of
// what those cost is preparing the message.
func BenchmarkDanger(b *testing.B) {
	set := dangerRules(b)
	one, _ := rules.Parse([]rules.File{{Name: "one.cf", Text: []byte("header ONE From:name =~ /zzqqzz/\nbody TWO /zzqqzz/\nuri THREE /zzqqzz/\nrawbody FOUR /zzqqzz/\n")}}, rules.Options{})
	text := "Bonjour Madame Morel,\r\nvotre commande est prête, vous pouvez la retirer au magasin dès demain matin. La facture est jointe.\r\n"
	html := "<p>Bonjour Madame Morel, votre commande est prête. <a href=\"https://boutique.example.org/commande/1\">Voir la commande</a></p>\r\n"
	head := "From: Boutique <info@boutique.example.org>\r\nTo: b@example.org\r\nSubject: Commande\r\nMIME-Version: 1.0\r\n"
	for _, tc := range []struct{ name, raw string }{
		{"text2K", head + "\r\n" + strings.Repeat(text, 16)},
		{"text10K", head + "\r\n" + strings.Repeat(text, 80)},
		{"html10K", head + "Content-Type: text/html; charset=UTF-8\r\n\r\n<html><body>" + strings.Repeat(html, 80) + "</body></html>\r\n"},
	} {
		m := mail.Parse([]byte(tc.raw), mail.DefaultLimits())
		for name, set := range map[string]*rules.RuleSet{"all": set, "one": one} {
			b.Run(tc.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					set.Run(rules.NewView(m, rules.ViewOptions{}), rules.RunOptions{ScoreSet: 1})
				}
			})
		}
	}
}
