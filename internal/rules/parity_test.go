package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/mail"
	"postern/internal/rules"
)

// stockRules is how many rules SpamAssassin 4.0.1 installs; with others, its answers of then are none of today.
const stockRules = 2948

// TestParity: on messages in many shapes, each stock rule answers as SpamAssassin itself answered.
func TestParity(t *testing.T) {
	t.Parallel()
	s, report, err := rules.Load([]string{stock}, rules.Options{Local: true})
	if err != nil || report.Rules != stockRules {
		t.Skipf("the rules of SpamAssassin 4.0.1 are not installed in %s: %v", stock, err)
	}
	answers, err := os.ReadFile(filepath.Join("testdata", "stock", "hits.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(answers)) {
		words := strings.Fields(line)
		t.Run(words[0], func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(filepath.Join("testdata", "stock", words[0]))
			if err != nil {
				t.Fatal(err)
			}
			r := s.Run(rules.NewView(mail.Parse(raw, mail.DefaultLimits()), rules.ViewOptions{}), rules.RunOptions{})
			var got []string
			for _, h := range append(r.Hits, r.Subs...) {
				got = append(got, h.Rule)
			}
			for _, name := range words[1:] {
				if !slices.Contains(got, name) {
					t.Errorf("%s does not hit here", name)
				}
			}
			for _, name := range got {
				if !slices.Contains(words[1:], name) {
					t.Errorf("%s hits here only", name)
				}
			}
		})
	}
}
