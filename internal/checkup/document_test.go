package checkup_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/checkup"
	"postern/internal/locale"
)

var update = flag.Bool("update", false, "rewrite what is printed from the code in docs/operator/checkup.md and checkup.fr.md")

// statesOf are the states that a code of a domain has in the set-ups.
func statesOf(code string) []checkup.State {
	var out []checkup.State
	all := perfectly()
	for _, s := range setUps {
		all[s.name] = s.want
	}
	for _, said := range all {
		for _, one := range strings.Fields(said) {
			if c, state, ok := strings.Cut(one, "="); ok && c == code && !slices.Contains(out, checkup.State(state)) {
				out = append(out, checkup.State(state))
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestEveryCodeHasASetUp: what can be said of a domain from outside is said in one of the set-ups.
func TestEveryCodeHasASetUp(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../locale/texts/checkup-domain.en.yaml")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`(?m)^checkup\.(\S+)\.what:`).FindAllStringSubmatch(string(text), -1)
	if len(codes) < 80 {
		t.Fatalf("only %d codes", len(codes))
	}
	for _, c := range codes {
		if len(statesOf(c[1])) == 0 && c[1] != "spf.not-ours" { // TestNotOurs
			t.Errorf("%s is said in no set-up", c[1])
		}
	}
}

var field = regexp.MustCompile(`\{\{\.?([A-Za-z]+)\}\}`)

// printed is what the page has from the code: the weights of the score, and every code with what it says.
func printed(c *locale.Catalog, lang string) string {
	head := map[string][]string{"en": {"Group", "Name", "Points", "Code", "State", "What it says"}, "fr": {"Groupe", "Nom", "Points", "Code", "État", "Ce qu'il dit"}}[lang]
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s | %s |\n|---|---|---|\n", head[0], head[1], head[2])
	for _, g := range checkup.Groups() {
		name, _ := checkup.GroupName(c, lang, g)
		points := "-"
		if w := checkup.Weight(g); w > 0 {
			points = fmt.Sprint(w)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", g, name, points)
	}
	fmt.Fprintf(&b, "\n## %s\n\n", map[string]string{"en": "Codes of a domain", "fr": "Codes d'un domaine"}[lang])
	fmt.Fprintf(&b, "| %s | %s | %s |\n|---|---|---|\n", head[3], head[4], head[5])
	keys := c.Keys()
	for _, g := range checkup.Groups() {
		for _, key := range keys {
			code, ok := strings.CutPrefix(key, "checkup.")
			code, isWhat := strings.CutSuffix(code, ".what")
			if !ok || !isWhat || !strings.HasPrefix(code, string(g)+".") {
				continue
			}
			states := statesOf(code)
			if len(states) == 0 {
				continue
			}
			var words []string
			for _, s := range states {
				words = append(words, checkup.StateName(c, lang, s))
			}
			args := map[string]any{}
			for _, name := range []string{"Domain", "Name", "Why", "Found", "Number", "Term", "Terms", "Lookups", "Voids", "Names", "Bytes", "All", "IPs", "Selector", "Kind", "Bits", "PolicyDomain", "Policy", "Record", "SP", "NP",
				"Host", "Target", "Hosts", "Server", "IP", "Zone", "Serials", "Sets", "Primary", "Value", "Refresh", "Servers", "Tag", "Issuers", "Mode", "Patterns", "Age", "Logo", "Address", "Other", "Warnings", "Count", "Parent", "Child", "Glue", "Certificate"} {
				args[name] = "{" + strings.ToUpper(name) + "}"
			}
			text := c.Text(lang, key, args)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, strings.Join(words, ", "), strings.ReplaceAll(field.ReplaceAllString(text, "$1"), "|", "\\|"))
		}
	}
	return b.String()
}

// TestDocument holds the page for operators to the code.
func TestDocument(t *testing.T) {
	t.Parallel()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- printed from the code: go test ./internal/checkup -run TestDocument -update -->\n", "<!-- end of what is printed -->\n"
	for lang, page := range map[string]string{"en": "../../docs/operator/checkup.md", "fr": "../../docs/operator/checkup.fr.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(text), begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for what is printed", page)
		}
		want := before + begin + printed(c, lang) + end + after
		if want == string(text) {
			continue
		}
		if !*update {
			t.Errorf("%s differs from the code: run go test ./internal/checkup -run TestDocument -update", page)
			continue
		}
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
