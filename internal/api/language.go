package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"postern/internal/locale"
)

// languageOf is the language in which a request wants to read: that of ?lang=, else what Accept-Language asks, else English.
func languageOf(r *http.Request) string {
	if l := r.URL.Query().Get("lang"); l == locale.English || l == locale.French {
		return l
	}
	return locale.Match(r.Header.Get("Accept-Language"))
}

// said are the members of the OpenAPI document that hold sentences for people.
var said = map[string]bool{"summary": true, "description": true}

// names are the members whose own members are named freely, by fields and paths: "description" there is the name of a field.
var names = map[string]bool{"properties": true, "schemas": true, "paths": true, "responses": true, "headers": true, "content": true, "securitySchemes": true}

// quoted are members that hold what programs send, not sentences.
var quoted = map[string]bool{"example": true, "examples": true, "enum": true, "default": true, "const": true}

// eachSentence calls tell for every sentence of the document and puts back what it returns.
func eachSentence(x any, free bool, tell func(string) string) {
	switch x := x.(type) {
	case []any:
		for _, item := range x {
			eachSentence(item, false, tell)
		}
	case map[string]any:
		for name, value := range x {
			switch text, isText := value.(string); {
			case free:
				eachSentence(value, false, tell)
			case isText && said[name]:
				x[name] = tell(text)
			case !quoted[name]:
				eachSentence(value, names[name], tell)
			}
		}
	}
}

// rightSentence is what describe says first of every operation.
var rightSentence = regexp.MustCompile("^Needs the right `([a-z:]+)` over the (gateway|customer)\\.( The answer holds a secret and is shown once\\.)?$")

// told returns a sentence of the document in a language.
func (s *server) told(lang, english string) string {
	if lang == locale.English {
		return english
	}
	if m := rightSentence.FindStringSubmatch(english); m != nil {
		text := s.texts.Text(lang, "api.needs.right", map[string]any{"Right": m[1], "Over": s.texts.Text(lang, "api.over."+m[2], nil)})
		if m[3] != "" {
			text += " " + s.texts.Text(lang, "api.secret", nil)
		}
		return text
	}
	return s.twin.Text(lang, english)
}

// translated is the OpenAPI document with its sentences in French. Member names and everything that programs read stay as they are.
func (s *server) translated(document []byte) ([]byte, error) {
	var x map[string]any
	if err := json.Unmarshal(document, &x); err != nil {
		return nil, err
	}
	eachSentence(x, false, func(text string) string { return s.told(locale.French, text) })
	if paths, ok := x["paths"].(map[string]any); ok {
		for _, item := range paths {
			methods, _ := item.(map[string]any)
			for _, op := range methods {
				if op, ok := op.(map[string]any); ok {
					s.translateTags(op)
				}
			}
		}
	}
	return json.MarshalIndent(x, "", " ")
}

// translateTags names the group of an operation.
func (s *server) translateTags(op map[string]any) {
	tags, _ := op["tags"].([]any)
	for i, tag := range tags {
		if name, ok := tag.(string); ok {
			tags[i] = s.texts.Text(locale.French, "api.group."+groupKey(name), nil)
		}
	}
}

// groupKey is the name of a group in the keys of its text.
func groupKey(name string) string {
	return strings.NewReplacer(" ", "_", "'", "").Replace(strings.ToLower(name))
}
