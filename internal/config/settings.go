package config

import "reflect"

// Setting is one key with its value in force, for people.
type Setting struct {
	Key     string // dotted path with places and names: "customers[0].id"
	Value   string // YAML on one line; of a secret "set" or "not set"
	Origin  string // "file:line"; "" for the default
	Default string // YAML; "" none
	Doc     string
	Restart bool // a change takes effect at the next start only
	Secret  bool
}

// Settings returns every value in force in the order of the documentation, without the secrets themselves.
func (c *Config) Settings() []Setting {
	var all []Setting
	rows := newPrinter(c).rows
	c.eachLeaf(func(at place, v reflect.Value, shown string) {
		row := rows[at.pattern]
		x := Setting{Key: at.path, Value: shown, Default: row.Default, Doc: row.Doc, Restart: row.Restart}
		if from := c.Origin(at.path); from.File != "" {
			x.Origin = from.String()
		}
		if s, secret := v.Interface().(Secret); secret {
			if x.Secret, x.Value = true, "set"; s == "" {
				x.Value = "not set"
			}
		}
		all = append(all, x)
	})
	return all
}

// eachLeaf shows every plain value, and every list of such, in the order of the documentation; shown has secrets masked.
func (c *Config) eachLeaf(do func(at place, v reflect.Value, shown string)) {
	p := newPrinter(c)
	var walk func(v reflect.Value, at place)
	walk = func(v reflect.Value, at place) {
		if text, ok := p.plainText(v); ok {
			do(at, v, text)
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for _, f := range fields(v.Type()) {
				walk(v.Field(f.index), at.key(f.name))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), at.item(i))
			}
		case reflect.Map:
			for _, key := range mapKeys(v) {
				walk(v.MapIndex(reflect.ValueOf(key)), at.name(key))
			}
		}
	}
	walk(reflect.ValueOf(c).Elem(), place{})
}
