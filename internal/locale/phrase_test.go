package locale

import (
	"strings"
	"testing"
)

// twinOf makes a twin from pairs.
func twinOf(t testing.TB, pairs ...string) *Twin {
	t.Helper()
	x := &Twin{french: map[string]string{}, places: map[string]bool{}}
	for i := 0; i < len(pairs); i += 2 {
		x.french[pairs[i]] = typesetPhrase(pairs[i+1])
		p, ok, err := newPhrase(pairs[i], x.french[pairs[i]])
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			x.places[pairs[i]] = true
			x.phrases = append(x.phrases, p)
		}
	}
	return x
}

func phrases(t testing.TB) *Twin {
	return twinOf(t,
		"domain: %v", "domaine : %v",
		"%q has no dot", "%q n'a pas de point",
		"%s: %s", "%s : %s",
		"longer than %d octets", "plus de %d octets",
		"%s %s belongs to customer %s", "le %s %s appartient au client %s",
		"network", "réseau",
		"write %d%% of %s", "écrivez %[2]s à %[1]d %%",
		"something else belongs to customer %s", "autre chose est au client %s")
}

func TestTold(t *testing.T) {
	t.Parallel()
	x := phrases(t)
	for _, tc := range []struct {
		name, english, french string
		known                 bool
	}{
		{"a sentence", "network", "réseau", true},
		{"a value", `"a" has no dot`, `"a" n'a pas de point`, true},
		{"a sentence in a sentence", `domain: "a" has no dot`, "domaine\u00a0: \"a\" n'a pas de point", true},
		{"a word in a sentence", "network 192.0.2.0/24 belongs to customer shop", "le réseau 192.0.2.0/24 appartient au client shop", true},
		{"a number before a unit", "longer than 255 octets", "plus de 255\u00a0octets", true},
		{"no number", "longer than many octets", "longer than many octets", false},
		{"no quotes", "a has no dot", "a has no dot", false},
		{"another order", "write 5% of mail", "écrivez mail à 5\u00a0%", true},
		{"most letters win", "something else belongs to customer shop", "autre chose est au client shop", true},
		{"too few letters", "this: that", "this: that", false},
		{"unknown inside", "domain: whatever", "domaine\u00a0: whatever", true},
		{"a format is no text of its own", "domain: %v", "domaine\u00a0: %v", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := x.Told(French, tc.english); got != tc.french || ok != tc.known {
				t.Errorf("%q %v, want %q %v", got, ok, tc.french, tc.known)
			}
			if got, ok := x.Told(English, tc.english); got != tc.english || !ok {
				t.Errorf("English: %q %v", got, ok)
			}
		})
	}
}

// TestPlaces: the French takes the values of the English, each of them, as they are.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, en, fr string
		fine         bool
	}{
		{"none", "Yes", "Oui", true},
		{"the same", "%s has %d", "%s a %d", true},
		{"turned", "%s has %d", "%[2]d pour %[1]s", true},
		{"missing", "%s has %d", "%s", false},
		{"another letter", "%d", "%s", false},
		{"too many", "%s", "%s %s", false},
		{"beyond", "%s", "%[2]s", false},
		{"twice", "%s is", "%[1]s, %[1]s", true},
		{"numbered English", "%[1]s", "%s", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, err := newPhrase(tc.en, tc.fr); (err == nil) != tc.fine {
				t.Error(err)
			}
		})
	}
}

// FuzzTold: any text is told in bounded time, and what is not known stays as it is.
func FuzzTold(f *testing.F) {
	for _, s := range []string{"", "domain: domain: domain: domain: domain: x", "%s belongs to customer %d", `"a" has no dot`, "write -% of ", strings.Repeat("domain: ", 50)} {
		f.Add(s)
	}
	x := phrases(f)
	f.Fuzz(func(t *testing.T, text string) {
		if got, ok := x.Told(French, text); !ok && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}
