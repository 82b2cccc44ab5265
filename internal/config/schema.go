package config

import (
	"encoding/json"
	"reflect"
	"strings"

	"postern/internal/tree"
)

// Schema returns the JSON Schema (2020-12) of the configuration, for editors. It knows keys, types, values and
// forms; what needs the whole configuration is found by Load only.
func Schema() []byte {
	s := schemer{rows: map[string]Key{}, kinds: kinds()}
	for _, k := range Table() {
		s.rows[k.Path] = k
	}
	root := s.structure(reflect.TypeFor[Config](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Postern configuration"
	root["$defs"] = map[string]any{
		"env": map[string]any{"type": "string", "pattern": envPattern, "description": "Taken from the environment."},
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error())
	}
	return append(text, '\n')
}

type schemer struct {
	rows  map[string]Key
	kinds map[reflect.Type]kind
}

func (s schemer) structure(t reflect.Type, pattern string) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range fields(t) {
		path := strings.TrimPrefix(pattern+"."+f.name, ".")
		row := s.rows[path]
		properties[f.name] = s.describe(s.of(t.Field(f.index).Type, path), row)
		if f.secret {
			properties[strings.TrimSuffix(f.name, "_file")] = map[string]any{"$ref": "#/$defs/env"}
		}
		if row.Required {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		out["required"] = required
	}
	return out
}

// of returns the schema of a type at a place of the table.
func (s schemer) of(t reflect.Type, pattern string) map[string]any {
	row := s.rows[pattern]
	if k, plain := s.kinds[t]; plain {
		return map[string]any{"anyOf": s.plain(k, row)}
	}
	switch t.Kind() {
	case reflect.Slice:
		k, plain := s.kinds[t.Elem()]
		if !plain {
			return map[string]any{"type": "array", "items": s.describe(s.of(t.Elem(), pattern+"[]"), s.rows[pattern+"[]"])}
		}
		row.Default = "x" // an item is never written as empty
		one := s.plain(k, row)
		return map[string]any{"anyOf": append([]any{map[string]any{"type": "array", "items": map[string]any{"anyOf": one}}}, one...)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.describe(s.of(t.Elem(), pattern+".*"), s.rows[pattern+".*"])}
	}
	return s.structure(t, pattern)
}

// plain lists the forms a plain value may take.
func (s schemer) plain(k kind, row Key) []any {
	own := map[string]any{}
	for name, value := range k.schema {
		own[name] = value
	}
	if own["type"] == "string" && own["pattern"] == nil && len(row.Enum) == 0 {
		own["type"] = []string{"string", "number"} // a number is taken as text where text is expected
	}
	if len(row.Enum) > 0 {
		own["enum"] = row.Enum
	}
	if row.Min != "" && (own["type"] == "integer" || own["type"] == "number") {
		own["minimum"], own["maximum"] = json.Number(row.Min), json.Number(row.Max)
	}
	forms := []any{own, map[string]any{"$ref": "#/$defs/env"}}
	if row.Default == "" && !row.Required {
		forms = append(forms, map[string]any{"const": ""})
	}
	return forms
}

// describe adds what an editor shows.
func (s schemer) describe(schema map[string]any, row Key) map[string]any {
	if row.Doc != "" {
		schema["description"] = row.Doc + about(row)
	}
	if row.Default == "" {
		return schema
	}
	schema["default"] = plainJSON(defaultNode(row))
	return schema
}

// plainJSON is a tree as encoding/json writes it; numbers and booleans keep their kind.
func plainJSON(n *tree.Node) any {
	switch n.Form {
	case tree.Mapping:
		m := map[string]any{}
		for _, e := range n.Entries {
			m[e.Key] = plainJSON(e.Value)
		}
		return m
	case tree.List:
		items := make([]any, len(n.Items))
		for i := range items {
			items[i] = plainJSON(n.Items[i])
		}
		return items
	}
	if !n.Quoted && (n.Text == "true" || n.Text == "false" || intForm.MatchString(n.Text) || floatForm.MatchString(n.Text)) {
		return json.RawMessage(n.Text)
	}
	return n.Text
}
