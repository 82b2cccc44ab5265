package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/filter"
	"postern/internal/locale"
)

var update = flag.Bool("update", false, "rewrite the documents that are printed from the code")

// fresh compares a printed document with its file, or writes it with -update.
func fresh(t *testing.T, path, want string) {
	t.Helper()
	path = filepath.Join(root, path)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is stale (%v): run `go test ./test/docs -update`", path, err)
	}
}

// sample fills the places of an explanation where a message's own values stand.
var sample = map[string]string{
	"Date": "Sat, 21 Nov 2026 18:40:00 +0100", "Domain": "acme.example", "Domains": "acme.example, other.example", "Hello": "gate.example.org",
	"Hours": "1", "Messages": "200", "Number": "120", "Share": "8", "Usual": "12",
	"IP": "192.0.2.10", "List": "Example List", "Mechanisms": "ip4:192.0.2.10", "Name": "p20261121._domainkey.acme.example", "Now": "Sat, 21 Nov 2026 18:40:00 +0100",
	"PolicyDomain": "acme.example", "Record": "v=DMARC1; p=none", "Sender": "post@acme.example", "Subject": "Invoice", "Suggested": "…",
	"Tag": "CENTER", "Target": "acme.example", "Title": "Newsletter", "URL": "https://list.example/", "What": "…", "Why": "…", "Zone": "zone.example",
}

var testsIntro = map[string]string{
	"en": `# The tests of the filter

Printed from the catalogue in the code (` + "`go test ./test/docs -update`" + `). A message's raw score is the sum of the points of the tests that fired; 0 to 15 is shown;
above the threshold (3, strictly) it is blocked. Points are defaults: ` + "`filter.scores`" + ` in the [configuration](operator/configuration.md) replaces them, 0 switches
a test off. Names that SpamAssassin has too mean what they mean there. What stands here as acme.example or 192.0.2.10 is the message's own value in
a notice. A question to the DNS that nobody answers fires nothing: not measured is neither good nor bad.

Tests marked "operator" are about the gateway itself: the sender is told that he has nothing to change.
`,
	"fr": `# Les contrôles du filtre

Page imprimée depuis le catalogue du code (` + "`go test ./test/docs -update`" + `). Le score brut d'un message est la somme des points des contrôles déclenchés ; il est affiché
de 0 à 15 ; au-dessus du seuil (3, strictement), le message est bloqué. Les points sont des valeurs par défaut : ` + "`filter.scores`" + ` dans la
[configuration](operator/configuration.md) les remplace, 0 désactive un contrôle. Les noms qui existent aussi dans SpamAssassin ont ici le même sens. Là où
figurent acme.example ou 192.0.2.10, un avis montre la valeur du message. Une question DNS restée sans réponse ne déclenche rien : « non mesuré » n'est
ni bon ni mauvais.

Les contrôles marqués « opérateur » concernent la passerelle elle-même : l'expéditeur n'a rien à changer, et l'avis le lui dit.
`,
}

func TestFilterTestsPage(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for lang, path := range map[string]string{"en": "docs/tests.md", "fr": "docs/tests.fr.md"} {
		head := map[string]string{"en": "| test | points | meaning | what to change |", "fr": "| contrôle | points | signification | que changer |"}[lang]
		operator := map[string]string{"en": " (operator)", "fr": " (opérateur)"}[lang]
		var b strings.Builder
		b.WriteString(testsIntro[lang])
		group := filter.Group("")
		for _, x := range filter.Tests() {
			if x.Group != group {
				group = x.Group
				fmt.Fprintf(&b, "\n## %s\n\n%s\n|---|---|---|---|\n", catalog.Text(lang, "test.group."+string(group), nil), head)
			}
			e := filter.Explain(catalog, lang, filter.Hit{Test: x.Name, Args: sample})
			note := ""
			if x.Operator {
				note = operator
			}
			points := fmt.Sprint(x.Points)
			if lang == "fr" {
				points = strings.ReplaceAll(points, ".", ",")
			}
			fmt.Fprintf(&b, "| `%s`%s | %s | **%s.** %s | %s |\n", x.Name, note, points, cell(e.Name), cell(e.Explain), cell(e.Fix))
		}
		fresh(t, path, b.String())
	}
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }
