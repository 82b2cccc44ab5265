package locale

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// TestTextsAreComplete holds every room's texts to the promises of the package comment.
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	en, fr := c.langs[English].messages, c.langs[French].messages
	for _, key := range c.Keys() {
		e, inEnglish := en[key]
		f, inFrench := fr[key]
		switch {
		case !inEnglish:
			t.Errorf("%s: no English text", key)
			continue
		case !inFrench:
			t.Errorf("%s: no French text", key)
			continue
		}
		if !slices.Equal(e.fields, f.fields) {
			t.Errorf("%s: placeholders differ: English %v, French %v", key, e.fields, f.fields)
		}
		if e.plural != f.plural {
			t.Errorf("%s: one language has plural forms, the other has not", key)
		}
		if e.plural && !slices.Contains(e.fields, "Count") {
			t.Errorf("%s: a plural text without {{.Count}}", key)
		}
		for _, fault := range frenchFaults(f.source.One, e.source.One) {
			t.Errorf("%s (fr, one): %s", key, fault)
		}
		for _, fault := range frenchFaults(f.source.Other, e.source.Other) {
			t.Errorf("%s (fr): %s", key, fault)
		}
		for _, fault := range englishFaults(e.source.One + " " + e.source.Other) {
			t.Errorf("%s (en): %s", key, fault)
		}
	}
}

var (
	codeSpan    = regexp.MustCompile("`[^`]*`")
	placeholder = regexp.MustCompile(`\{\{[^}]*\}\}`)
	verbatim    = regexp.MustCompile(`[\w.+-]+://\S+|\S*[=@/]\S*;?|\b\d{1,2}:\d{2}\b|[A-Za-z0-9_]+(?:[:.][A-Za-z0-9_]+)+|[A-Z][A-Za-z]*(?:-[A-Za-z]+)+:`)
	// Words that are common in one language and do not exist in the other.
	englishWord = regexp.MustCompile(`(?i)\b(the|and|with|your|this|was|were|has|have|from|which|should|because|must|been|their|is|are|of|to)\b`)
	frenchWord  = regexp.MustCompile(`(?i)\b(le|les|des|une|votre|vous|pour|avec|est|sont|dans|qui|cette|mais|aux)\b`)
	// Words the writing rules exclude.
	unwantedFrench  = regexp.MustCompile(`(?i)\b(veuillez|oups|désolée?s?|délivrée?s?|blacklisté\w*|déblacklist\w*|une erreur (est survenue|s'est produite))\b`)
	unwantedEnglish = regexp.MustCompile(`(?i)\b(oops|sorry|an error occurred|blacklisted)\b`)
)

// prose takes out what is not language: code, placeholders, addresses, records, header names.
func prose(s string) string {
	s = codeSpan.ReplaceAllString(s, "X")
	s = placeholder.ReplaceAllString(s, "X")
	return verbatim.ReplaceAllString(s, "X")
}

func frenchFaults(fr, en string) []string {
	var faults []string
	if fr == "" {
		return nil
	}
	if len(fr) > 24 && fr == en && strings.IndexFunc(prose(fr), unicode.IsLower) >= 0 {
		faults = append(faults, "same as the English text")
	}
	text := prose(fr)
	if words := englishWord.FindAllString(text, -1); len(words) >= 2 && len(words) > len(frenchWord.FindAllString(text, -1)) {
		faults = append(faults, "looks English: "+strings.Join(words, ", "))
	}
	if word := unwantedFrench.FindString(text); word != "" {
		faults = append(faults, "word the writing rules exclude: "+word)
	}
	for _, m := range brokenNumber.FindAllString(text, -1) {
		faults = append(faults, "no-break space missing in "+m)
	}
	runes := []rune(text)
	for i, r := range runes {
		before, after := rune(0), rune(0)
		if i > 0 {
			before = runes[i-1]
		}
		if i+1 < len(runes) {
			after = runes[i+1]
		}
		noBreak := func(r rune) bool { return r == '\u00a0' || r == '\u202f' }
		switch {
		case strings.ContainsRune(";!?", r) && (unicode.IsLetter(before) || unicode.IsDigit(before) || before == ')' || before == '»'),
			r == ':' && (after == 0 || unicode.IsSpace(after)) && !noBreak(before),
			r == '»' && !noBreak(before):
			faults = append(faults, "no-break space missing before "+string(r)+" in …"+string(runes[max(0, i-20):i+1]))
		case r == '«' && !noBreak(after):
			faults = append(faults, "no-break space missing after «")
		}
	}
	return faults
}

// brokenNumber is a number that a line may end in the middle of, or before its unit.
var brokenNumber = regexp.MustCompile(`\b[0-9]{1,3} [0-9]{3}\b|(?:[0-9]|\}\}) (?:octets?|[KMG]i?o|bits?|ms|min|h|secondes?|minutes?|heures?|jours?|semaines?|mois|ans?|points?|fois|€|%)(?:[^\pL]|$)`)

func englishFaults(en string) []string {
	text := prose(en)
	if word := unwantedEnglish.FindString(text); word != "" {
		return []string{"word the writing rules exclude: " + word}
	}
	if words := frenchWord.FindAllString(text, -1); len(words) >= 2 && len(words) > len(englishWord.FindAllString(text, -1)) {
		return []string{"looks French: " + strings.Join(words, ", ")}
	}
	return nil
}

func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, fr, en string
		faults       int
	}{
		{"fine", Typeset("Cause : « trop long » ; essayez ?"), "Cause: too long", 0},
		{"address and time", "https://example.org/a:b à 18:40, v=DMARC1; p=none, List-Unsubscribe: oui", "x", 0},
		{"code", "`a: b; c!`", "x", 0},
		{"colon", "Cause: trop long", "x", 1},
		{"question", "Pourquoi?", "x", 1},
		{"quote marks", "«mot»", "x", 2},
		{"thousands", "il y en a 1 000", "x", 1},
		{"unit", "pendant 3 heures", "x", 1},
		{"left in English", "The message was held because it has links", "x", 1},
		{"copied", "Message held for its links and images", "Message held for its links and images", 1},
		{"tone", "Veuillez corriger", "x", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := frenchFaults(tc.fr, tc.en); len(got) != tc.faults {
				t.Errorf("got %q, want %d faults", got, tc.faults)
			}
		})
	}
}

func TestReadRefusesFaultyFiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, text, want string }{
		{"file name", "filter.yaml", "a: b", "ROOM.LANG.yaml"},
		{"language", "filter.de.yaml", "a: b", "ROOM.LANG.yaml"},
		{"yaml", "filter.en.yaml", "a: [", "filter.en.yaml"},
		{"duplicate", "filter.en.yaml", "a: b\na: c\n", "filter.en.yaml"},
		{"template", "filter.en.yaml", "a: '{{.X'", "key a"},
		{"condition", "filter.en.yaml", "a: '{{if .X}}y{{end}}'", "only {{.Name}}"},
		{"function", "filter.en.yaml", "a: '{{print .X}}'", "not defined"},
		{"empty text", "filter.en.yaml", "a: ''", "empty"},
		{"reserved key", "filter.en.yaml", "a:\n  other: x\n  name: y\n", "filter.en.yaml"},
		{"form", "filter.en.yaml", "a:\n  few: x\n  other: y\n", "one and other"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := read(fstest.MapFS{tc.file: {Data: []byte(tc.text)}})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want mention of %q", err, tc.want)
			}
		})
	}
	_, err := read(fstest.MapFS{"a.en.yaml": {Data: []byte("k: x")}, "b.en.yaml": {Data: []byte("k: y")}})
	if err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("same key in two files: got %v", err)
	}
}

func TestReadAllowsNestedFlatAndEmpty(t *testing.T) {
	t.Parallel()
	c, err := read(fstest.MapFS{
		"a.en.yaml": {Data: []byte("test.SPF_FAIL.name: flat {{.Domain}}\ntest:\n  SPF_PASS:\n    name: >-\n      nested over\n      two lines\n")},
		"b.en.yaml": {Data: []byte("# nothing yet\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Text("fr", "test.SPF_FAIL.name", map[string]any{"Domain": "{{.Evil}}"}); got != "flat {{.Evil}}" {
		t.Errorf("got %q", got)
	}
	if got := c.Text("en", "test.SPF_PASS.name", nil); got != "nested over two lines" {
		t.Errorf("got %q", got)
	}
}

func TestTypeset(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Cause : « mot » ; `a : b` ? oui ! 50 %":          "Cause\u00a0: «\u00a0mot\u00a0»\u00a0; `a : b`\u00a0? oui\u00a0! 50\u00a0%",
		"1 000 messages, 1 234 567 octets, 12 000,5":      "1\u202f000 messages, 1\u202f234\u202f567\u00a0octets, 12\u202f000,5",
		"pendant 48 heures et {{.Count}} jours, 25 Mo":    "pendant 48\u00a0heures et {{.Count}}\u00a0jours, 25\u00a0Mo",
		"RFC 5321 450, 192.0.2.1 587, 2026 100, `1 000`.": "RFC 5321 450, 192.0.2.1 587, 2026 100, `1 000`.",
		"le 3 juin, 5 adresses, 10 septembre":             "le 3 juin, 5 adresses, 10 septembre",
	} {
		if got := Typeset(in); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
