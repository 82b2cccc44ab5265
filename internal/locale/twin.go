package locale

import (
	"embed"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
)

//go:embed twins
var twins embed.FS

// Twin is the French of sentences that stand in the code in English, because the code itself is the document: what fields of the API mean, what keys of the
// configuration do. Its file is twins/NAME.fr.yaml, a list of pairs of en and fr; whoever holds the sentences tests with Missing and Idle that the pairs are
// complete. Sentences may have places for values, as package fmt writes them: Text gives the French format of a format, Told the French of what was made from
// one. It never changes once made and is safe for concurrent use.
type Twin struct {
	french  map[string]string
	places  map[string]bool // sentences with places
	phrases []phrase        // the same, to recognise what was made from them, in the order of the file
}

// NewTwin reads the pairs of that name; of several names together, the first has the word where two say the same.
func NewTwin(names ...string) (*Twin, error) {
	t := &Twin{french: map[string]string{}, places: map[string]bool{}}
	for _, name := range names {
		if err := t.read("twins/" + name + ".fr.yaml"); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// read adds the pairs of a file.
func (t *Twin) read(file string) error {
	text, err := twins.ReadFile(file)
	if err != nil {
		return fmt.Errorf("locale: %w", err)
	}
	pairs, err := readPairs(text)
	if err != nil {
		return fmt.Errorf("locale: %s: %w", file, err)
	}
	here := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		if p.EN == "" || p.FR == "" {
			return fmt.Errorf("locale: %s: %q has no twin", file, p.EN+p.FR)
		}
		if here[p.EN] {
			return fmt.Errorf("locale: %s: %q stands there twice", file, p.EN)
		}
		here[p.EN] = true
		if _, known := t.french[p.EN]; known {
			continue
		}
		t.french[p.EN] = typesetPhrase(p.FR)
		x, ok, err := newPhrase(p.EN, t.french[p.EN])
		if err != nil {
			return fmt.Errorf("locale: %s: %w", file, err)
		}
		if ok {
			t.places[p.EN] = true
			t.phrases = append(t.phrases, x)
		}
	}
	return nil
}

// pair is a sentence in both languages.
type pair struct {
	EN string `yaml:"en"`
	FR string `yaml:"fr"`
}

func readPairs(text []byte) (pairs []pair, err error) {
	err = yaml.UnmarshalWithOptions(text, &pairs, yaml.Strict())
	return pairs, err
}

// Text returns a sentence in a language: the English one where there is no other.
func (t *Twin) Text(lang, english string) string {
	if lang == French {
		if fr, ok := t.french[english]; ok {
			return fr
		}
	}
	return english
}

// Missing returns those of the sentences that have no French, each once, sorted.
func (t *Twin) Missing(english []string) []string {
	var out []string
	for _, s := range english {
		if _, ok := t.french[s]; !ok {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Idle returns the pairs whose English is none of the sentences, sorted.
func (t *Twin) Idle(english []string) []string {
	used := make(map[string]bool, len(english))
	for _, s := range english {
		used[s] = true
	}
	var out []string
	for s := range t.french {
		if !used[s] {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}
