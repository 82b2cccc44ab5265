package locale

import (
	"slices"
	"strings"
	"testing"
)

// TestTwins holds the pairs to the rules of all texts.
func TestTwins(t *testing.T) {
	t.Parallel()
	files, err := twins.ReadDir("twins")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".fr.yaml")
		if !ok {
			t.Errorf("%s is not NAME.fr.yaml", f.Name())
			continue
		}
		x, err := NewTwin(name)
		if err != nil {
			t.Fatal(err)
		}
		for en, fr := range x.french {
			for _, fault := range frenchFaults(fr, en) {
				t.Errorf("%s: %q: %s", name, en, fault)
			}
			for _, code := range codeSpan.FindAllString(en, -1) {
				if !strings.Contains(fr, code) {
					t.Errorf("%s: %q: %s is not in the French", name, en, code)
				}
			}
		}
	}
}

func TestTwinTells(t *testing.T) {
	t.Parallel()
	x := &Twin{french: map[string]string{"Yes": "Oui", "No": "Non"}}
	if x.Text(French, "Yes") != "Oui" || x.Text(English, "Yes") != "Yes" || x.Text(French, "Perhaps") != "Perhaps" {
		t.Error("the wrong text")
	}
	said := []string{"Yes", "Perhaps", "Always", "Perhaps"}
	if got := x.Missing(said); !slices.Equal(got, []string{"Always", "Perhaps"}) {
		t.Errorf("missing %v", got)
	}
	if got := x.Idle(said); !slices.Equal(got, []string{"No"}) {
		t.Errorf("idle %v", got)
	}
	if _, err := NewTwin("none"); err == nil {
		t.Error("a file that is not there")
	}
	if _, err := readPairs([]byte("- en: a\n  de: b\n")); err == nil {
		t.Error("an unknown language")
	}
}
