package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"postern/internal/config"
)

func schema(t testing.TB) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(config.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check is the part of JSON Schema that Schema uses. A keyword it does not know is a fault.
func check(root, s map[string]any, value any, path string) []string {
	var faults []string
	bad := func(format string, args ...any) { faults = append(faults, path+": "+fmt.Sprintf(format, args...)) }
	object, isObject := value.(map[string]any)
	array, _ := value.([]any)
	for keyword, want := range s {
		switch keyword {
		case "$schema", "$defs", "title", "description", "default":
		case "$ref":
			name := strings.TrimPrefix(want.(string), "#/$defs/")
			faults = append(faults, check(root, root["$defs"].(map[string]any)[name].(map[string]any), value, path)...)
		case "type":
			names, _ := want.([]any)
			if names == nil {
				names = []any{want}
			}
			fits := false
			for _, name := range names {
				fits = fits || name == kindOf(value) || name == "number" && kindOf(value) == "integer"
			}
			if !fits {
				bad("is %s, not %v", kindOf(value), want)
			}
		case "enum":
			fits := false
			for _, one := range want.([]any) {
				fits = fits || reflect.DeepEqual(one, value)
			}
			if !fits {
				bad("%v is not among %v", value, want)
			}
		case "const":
			if !reflect.DeepEqual(want, value) {
				bad("is not %q", want)
			}
		case "pattern":
			if text, ok := value.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				bad("%q does not match %s", text, want)
			}
		case "minimum", "maximum":
			if n, ok := value.(float64); ok && (keyword == "minimum" && n < want.(float64) || keyword == "maximum" && n > want.(float64)) {
				bad("%v is beyond %s %v", n, keyword, want)
			}
		case "anyOf":
			fits := false
			for _, one := range want.([]any) {
				fits = fits || len(check(root, one.(map[string]any), value, path)) == 0
			}
			if !fits {
				bad("%v fits no form", value)
			}
		case "items":
			for i := range array {
				faults = append(faults, check(root, want.(map[string]any), array[i], fmt.Sprintf("%s[%d]", path, i))...)
			}
		case "required":
			for _, name := range want.([]any) {
				if _, ok := object[name.(string)]; isObject && !ok {
					bad("%s is missing", name)
				}
			}
		case "properties":
			for name, sub := range want.(map[string]any) {
				if v, ok := object[name]; ok {
					faults = append(faults, check(root, sub.(map[string]any), v, path+"."+name)...)
				}
			}
		case "additionalProperties":
			known, _ := s["properties"].(map[string]any)
			for name, v := range object {
				if _, ok := known[name]; ok {
					continue
				}
				if sub, ok := want.(map[string]any); ok {
					faults = append(faults, check(root, sub, v, path+"."+name)...)
				} else {
					bad("%s does not exist", name)
				}
			}
		default:
			bad("keyword %s is not known to the test", keyword)
		}
	}
	return faults
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// asJSON is YAML as an editor's validator sees it.
func asJSON(t testing.TB, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSchemaAcceptsWhatLoads(t *testing.T) {
	t.Parallel()
	s := schema(t)
	good, err := os.ReadFile("testdata/good/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"example": config.Example(), "effective": defaults(t).Effective(), "good": string(good), "variable": "dns: {attempts: '${N}'}"} {
		if faults := check(s, s, asJSON(t, text), ""); len(faults) > 0 {
			t.Errorf("%s: %s", name, strings.Join(faults, "\n"))
		}
	}
	if s["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Error("which schema is it?")
	}
}

// TestSchemaKnowsEveryKey: each row of the table is found in the schema with its meaning and default.
func TestSchemaKnowsEveryKey(t *testing.T) {
	t.Parallel()
	root := schema(t)
	for _, k := range config.Table() {
		s := root
		for _, part := range strings.Split(strings.NewReplacer("[]", ".[]").Replace(k.Path), ".") {
			next := s["properties"]
			switch part {
			case "[]":
				next = map[string]any{part: s["items"]}
			case "*":
				next = map[string]any{part: s["additionalProperties"]}
			}
			m, ok := next.(map[string]any)[part].(map[string]any)
			if !ok {
				t.Fatalf("%s: no %s in the schema", k.Path, part)
			}
			s = m
		}
		if text, _ := s["description"].(string); !strings.HasPrefix(text, k.Doc) {
			t.Errorf("%s: described as %q", k.Path, text)
		}
		if _, has := s["default"]; has != (k.Default != "") {
			t.Errorf("%s: default %v", k.Path, s["default"])
		}
	}
}

// TestSchemaRefusesWrongKeysAndKinds takes those bad configurations that one value alone makes bad.
func TestSchemaRefusesWrongKeysAndKinds(t *testing.T) {
	t.Parallel()
	s := schema(t)
	for _, number := range []string{"01", "02", "03", "08", "09", "11", "12", "13", "29", "42", "48"} {
		files, err := filepath.Glob("testdata/bad/" + number + "-*.yaml")
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v %v", number, files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if faults := check(s, s, asJSON(t, string(data)), ""); len(faults) == 0 {
			t.Errorf("%s fits the schema", files[0])
		}
	}
}
