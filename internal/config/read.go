package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"
)

// maxItems bounds lists and freely named mappings.
const maxItems = 10_000

// reader turns a tree into a Config by the table and the Go types, and gathers everything wrong with it.
type reader struct {
	rows     map[string]Key
	kinds    map[reflect.Type]kind
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
	problems Problems
	origins  map[string]Origin
	defaults map[string]*node // of rows already needed
}

func newReader(s Source) *reader {
	r := &reader{rows: map[string]Key{}, kinds: kinds(), env: s.Env, readFile: s.ReadFile, origins: map[string]Origin{}, defaults: map[string]*node{}}
	for _, k := range Table() {
		r.rows[k.Path] = k
	}
	return r
}

// place is where a value stands: path with its index or name, pattern as in the table.
type place struct{ path, pattern string }

func (p place) key(name string) place {
	return place{strings.TrimPrefix(p.path+"."+name, "."), strings.TrimPrefix(p.pattern+"."+name, ".")}
}

func (p place) item(i int) place {
	return place{fmt.Sprintf("%s[%d]", p.path, i), p.pattern + "[]"}
}

func (p place) name(name string) place {
	return place{p.path + "." + name, p.pattern + ".*"}
}

func (r *reader) bad(at Origin, p place, format string, args ...any) {
	if len(r.problems) >= maxProblems {
		return
	}
	r.problems = append(r.problems, Problem{Origin: at, Key: clip(p.path), Text: fmt.Sprintf(format, args...)})
}

// read fills v from n.
func (r *reader) read(n *node, v reflect.Value, p place) {
	r.origins[p.path] = n.at
	switch n.form {
	case broken:
		return
	case nothing:
		r.bad(n.at, p, "has no value; give it one or remove the key")
		return
	}
	if _, plain := r.kinds[v.Type()]; plain {
		r.readScalar(n, v, p, r.rows[p.pattern])
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		r.readStruct(n, v, p)
	case reflect.Slice:
		r.readList(n, v, p)
	case reflect.Map:
		r.readMap(n, v, p)
	default:
		panic("config: field of type " + v.Type().String() + " has no reader")
	}
}

func (r *reader) readStruct(n *node, v reflect.Value, p place) {
	if n != nil && n.form != mapping {
		r.bad(n.at, p, "found %s; expected key: value lines", n.form)
		return
	}
	var names []string
	for _, f := range fields(v.Type()) {
		names = append(names, f.name)
		if f.secret {
			names = append(names, strings.TrimSuffix(f.name, "_file"))
		}
	}
	if n != nil {
		if len(n.entries) > maxItems {
			r.bad(n.at, p, "more than %d keys", maxItems)
			return
		}
		for _, e := range n.entries {
			r.checkKnown(e, names, p)
		}
	}
	for _, f := range fields(v.Type()) {
		var e *entry
		if n != nil {
			e = n.get(f.name)
		}
		target, at := v.Field(f.index), p.key(f.name)
		switch {
		case f.secret:
			r.readSecret(n, e, target, p, f.name)
		case e != nil:
			r.read(e.value, target, at)
		default:
			r.readDefault(n, target, at)
		}
	}
}

// checkKnown complains about a key that nobody reads, and says which was probably meant.
func (r *reader) checkKnown(e entry, names []string, p place) {
	for _, name := range names {
		if e.key == name {
			return
		}
	}
	if len(r.problems) >= maxProblems {
		return
	}
	hint := ""
	if near := nearest(e.key, names); near != "" {
		hint = "; did you mean " + near + "?"
	} else {
		for _, row := range Table() {
			if row.Path == e.key || strings.HasSuffix(row.Path, "."+e.key) {
				hint = "; did you mean " + strings.NewReplacer("[]", "", ".*", "").Replace(row.Path) + "?"
				break
			}
		}
	}
	expected := strings.Join(names, ", ")
	if p.path == "" {
		expected = "one of " + expected
	}
	r.bad(e.at, p.key(e.key), "this key does not exist here; expected %s%s", expected, hint)
}

// readDefault fills v from the table. A struct's keys have defaults of their own.
func (r *reader) readDefault(parent *node, v reflect.Value, p place) {
	row := r.rows[p.pattern]
	r.origins[p.path] = Origin{}
	if v.Kind() == reflect.Struct {
		if _, plain := r.kinds[v.Type()]; !plain {
			r.readStruct(nil, v, p)
			return
		}
	}
	if row.Required {
		at := Origin{}
		if parent != nil {
			at = parent.at
		}
		r.bad(at, p, "is missing; expected %s", row.Unit)
		return
	}
	if row.Default == "" {
		return
	}
	n, ok := r.defaults[row.Path]
	if !ok {
		n = defaultNode(row)
		r.defaults[row.Path] = n
	}
	r.read(n, v, p)
}

// defaultNode is the default of a row as a tree that stands in no file.
func defaultNode(row Key) *node {
	root, problems := parseYAML("", []byte("v: "+row.Default))
	if len(problems) > 0 {
		panic("config: default of " + row.Path + ": " + problems.Error())
	}
	n := root.get("v").value
	forget(n)
	return n
}

// forget takes the places out of a tree that no file holds.
func forget(n *node) {
	n.at = Origin{}
	for i := range n.entries {
		n.entries[i].at = Origin{}
		forget(n.entries[i].value)
	}
	for _, item := range n.items {
		forget(item)
	}
}

func (r *reader) readList(n *node, v reflect.Value, p place) {
	items := n.items
	_, plain := r.kinds[v.Type().Elem()]
	switch {
	case n.form == scalar && plain:
		items = []*node{n}
	case n.form != list:
		r.bad(n.at, p, "found %s; expected a list", n.form)
		return
	case len(items) > maxItems:
		r.bad(n.at, p, "more than %d items", maxItems)
		return
	}
	row := r.rows[p.pattern]
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	seen := map[any]bool{}
	for i, item := range items {
		at := p.item(i)
		r.origins[at.path] = item.at
		if !plain {
			r.read(item, v.Index(i), at)
			continue
		}
		before := len(r.problems)
		r.readScalar(item, v.Index(i), at, row)
		if len(r.problems) > before {
			continue
		}
		value := v.Index(i).Interface()
		if _, repeats := value.(time.Duration); seen[value] && !repeats {
			r.bad(item.at, at, "%s stands in the list already", clip(item.text))
		}
		seen[value] = true
	}
}

func (r *reader) readMap(n *node, v reflect.Value, p place) {
	if n.form != mapping {
		r.bad(n.at, p, "found %s; expected name: value lines", n.form)
		return
	}
	if len(n.entries) > maxItems {
		r.bad(n.at, p, "more than %d names", maxItems)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range n.entries {
		at := p.name(e.key)
		if e.key == "" || len(e.key) > 253 || oneLine(e.key) != nil {
			r.bad(e.at, p, "%q cannot be a name; expected up to 253 characters on one line", clip(e.key))
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.read(e.value, value, at)
		v.SetMapIndex(reflect.ValueOf(e.key), value)
	}
}

// readScalar reads one plain value and holds it to its row.
func (r *reader) readScalar(n *node, v reflect.Value, p place, row Key) {
	k := r.kinds[v.Type()]
	expected := k.expected
	if len(row.Enum) > 0 {
		expected = "one of " + strings.Join(row.Enum, ", ")
	}
	if n.form == broken {
		return
	}
	if n.form != scalar {
		r.bad(n.at, p, "found %s; expected %s", n.form, expected)
		return
	}
	text, quoted, ok := r.expand(n, p)
	if !ok {
		return
	}
	if text == "" && row.Default == "" && !row.Required && !strings.HasSuffix(p.path, "]") {
		return // written out as empty, as the example does
	}
	if text == "" {
		r.bad(n.at, p, "is empty; expected %s", expected)
		return
	}
	value, err := k.parse(text, quoted)
	if err != nil {
		what, hint, _ := strings.Cut(err.Error(), "; did you mean")
		if hint != "" {
			hint = "; did you mean" + hint
		}
		r.bad(n.at, p, "%s; expected %s%s", what, expected, hint)
		return
	}
	if s, isText := value.(string); isText && len(row.Enum) > 0 && !r.inEnum(n, s, p, row.Enum) {
		return
	}
	if s, isText := value.(string); isText && (row.Unit == "file" || row.Unit == "folder") {
		value = beside(n.at, s)
	}
	if fault := r.outOfRange(k, value, row); fault != "" {
		r.bad(n.at, p, "%s %s", clip(text), fault)
		return
	}
	v.Set(reflect.ValueOf(value))
}

func (r *reader) inEnum(n *node, s string, p place, enum []string) bool {
	for _, allowed := range enum {
		if s == allowed {
			return true
		}
	}
	hint := ""
	if near := nearest(s, enum); near != "" {
		hint = "; did you mean " + near + "?"
	}
	r.bad(n.at, p, "%q is not known; expected one of %s%s", clip(s), strings.Join(enum, ", "), hint)
	return false
}

func (r *reader) outOfRange(k kind, value any, row Key) string {
	if k.number == nil || row.Min == "" {
		return ""
	}
	low, err := k.parse(row.Min, false)
	if err != nil {
		panic("config: least value of " + row.Path + ": " + err.Error())
	}
	high, err := k.parse(row.Max, false)
	if err != nil {
		panic("config: greatest value of " + row.Path + ": " + err.Error())
	}
	if x := k.number(value); x < k.number(low) || x > k.number(high) {
		return fmt.Sprintf("is out of range; expected %s to %s", row.Min, row.Max)
	}
	return ""
}

// expand replaces ${NAME} by the environment's text.
func (r *reader) expand(n *node, p place) (text string, quoted, ok bool) {
	if envForm.MatchString(n.text) {
		name := n.text[2 : len(n.text)-1]
		value, found := r.env(name)
		if !found {
			r.bad(n.at, p, "the environment variable %s is not set; set it or write the value", name)
			return "", false, false
		}
		return value, true, true
	}
	if strings.Contains(n.text, "${") {
		r.bad(n.at, p, "only a whole value may be ${NAME}; expected one variable and nothing around it")
		return "", false, false
	}
	return n.text, n.quoted, true
}

// maxSecret bounds a secret file: it holds one line.
const maxSecret = 4096

// readSecret reads NAME_file, or NAME when that is ${VARIABLE}.
func (r *reader) readSecret(n *node, e *entry, v reflect.Value, parent place, name string) {
	plain := strings.TrimSuffix(name, "_file")
	p, direct := parent.key(name), parent.key(plain)
	var d *entry
	if n != nil {
		d = n.get(plain)
	}
	r.origins[p.path] = Origin{}
	switch {
	case d != nil && e != nil:
		r.bad(d.at, direct, "stands beside %s; expected one of them", name)
	case d != nil:
		r.origins[p.path] = d.value.at
		if d.value.form != scalar || !envForm.MatchString(d.value.text) {
			r.bad(d.value.at, direct, "a secret may not stand in the configuration; put it into a file and name that with %s, or write ${NAME} to take it from the environment", name)
			return
		}
		if text, _, ok := r.expand(d.value, direct); ok {
			r.setSecret(d.value.at, direct, v, text)
		}
	case e != nil:
		r.origins[p.path] = e.value.at
		if e.value.form == broken {
			return
		}
		if e.value.form != scalar {
			r.bad(e.value.at, p, "found %s; expected the name of a file", e.value.form)
			return
		}
		path, _, ok := r.expand(e.value, p)
		if !ok || path == "" {
			return
		}
		data, err := r.readFile(beside(e.value.at, path))
		if err != nil {
			r.bad(e.value.at, p, "cannot be read (%s); expected a file Postern's user may read", clip(err.Error()))
			return
		}
		r.setSecret(e.value.at, p, v, strings.TrimRight(string(data), "\r\n"))
	}
}

// setSecret never quotes the secret in what it complains.
func (r *reader) setSecret(at Origin, p place, v reflect.Value, secret string) {
	switch {
	case secret == "":
		r.bad(at, p, "the secret is empty")
	case len(secret) > maxSecret:
		r.bad(at, p, "the secret is longer than %d bytes; expected one line", maxSecret)
	case oneLine(secret) != nil:
		r.bad(at, p, "the secret has several lines or control characters; expected one line")
	default:
		v.SetString(secret)
	}
}

// beside makes a relative file name one that begins at the folder of the configuration file it stands in.
func beside(at Origin, path string) string {
	if path == "" || at.File == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(at.File), path)
}

// field is a Go field that has a key.
type field struct {
	name   string
	index  int
	secret bool
}

func fields(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("key"); name != "" {
			all = append(all, field{name, i, f.Type == reflect.TypeFor[Secret]()})
		}
	}
	return all
}
