package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"postern/internal/locale"
)

// TestFrenchIsComplete: what the OpenAPI document says of operations, parameters and fields has its French in locale/twins/api.fr.yaml, and no French is idle.
func TestFrenchIsComplete(t *testing.T) {
	t.Parallel()
	twin, err := locale.NewTwin("api")
	if err != nil {
		t.Fatal(err)
	}
	said := start(t).api.Sentences(t)
	if len(said) < 400 {
		t.Fatalf("only %d sentences were found in the document", len(said))
	}
	for _, s := range twin.Missing(said) {
		t.Errorf("internal/locale/twins/api.fr.yaml lacks\n- en: %q\n  fr: ", s)
	}
	for _, s := range twin.Idle(said) {
		t.Errorf("internal/locale/twins/api.fr.yaml: nothing says %q", s)
	}
}

// TestDocumentInFrench: the document is the same for programs in both languages; what people read is in theirs.
func TestDocumentInFrench(t *testing.T) {
	t.Parallel()
	x := start(t)
	get := func(path string, header ...string) (map[string]any, said) {
		t.Helper()
		a := x.over(t, "GET", path, "", "", header...)
		var out map[string]any
		if err := json.Unmarshal([]byte(a.text), &out); err != nil || a.status != 200 {
			t.Fatalf("%s: %d %v", path, a.status, err)
		}
		return out, a
	}
	en, a := get("/openapi.json")
	if a.header.Get("Content-Language") != "en" || a.header.Get("Vary") != "Accept-Language" {
		t.Errorf("%v", a.header)
	}
	fr, a := get("/openapi.json?lang=fr")
	if a.header.Get("Content-Language") != "fr" {
		t.Errorf("%v", a.header)
	}
	if _, b := get("/openapi.json", "Accept-Language", "fr-FR,fr;q=0.9,en;q=0.5"); b.text != a.text {
		t.Error("Accept-Language: another document")
	}
	if _, b := get("/openapi.json?lang=en", "Accept-Language", "fr"); b.header.Get("Content-Language") != "en" {
		t.Error("lang does not win over Accept-Language")
	}
	if !strings.Contains(a.text, "Demande le droit `mail:send` sur le client.") || strings.Contains(a.text, "Needs the right") || !strings.Contains(a.text, `"Envoi"`) {
		t.Error("operations are not in French")
	}
	same(t, "", en, fr, false)
}

// same compares two documents but for their sentences.
func same(t *testing.T, at string, a, b any, sentence bool) {
	t.Helper()
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			t.Errorf("%s: other members", at)
			return
		}
		for name := range a {
			same(t, at+"/"+name, a[name], b[name], name == "summary" || name == "description" || name == "tags")
		}
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			t.Errorf("%s: another length", at)
			return
		}
		for i := range a {
			same(t, at, a[i], b[i], sentence)
		}
	default:
		if a != b && !sentence {
			t.Errorf("%s: %v became %v", at, a, b)
		}
	}
}
