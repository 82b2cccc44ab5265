package api_test

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/operator/api.md and api.fr.md")

// TestManual: the manual is what the code prints.
func TestManual(t *testing.T) {
	t.Parallel()
	g := start(t)
	for lang, name := range map[string]string{"en": "api.md", "fr": "api.fr.md"} {
		text, err := g.api.Manual(lang)
		if err != nil {
			t.Fatal(err)
		}
		file := "../../docs/operator/" + name
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil || string(have) != text {
			t.Errorf("%s is not what the code prints; go test ./internal/api -run TestManual -update writes it anew", file)
		}
		if strings.Contains(text, "<no value>") {
			t.Errorf("%s: a value is missing", name)
		}
	}
}
