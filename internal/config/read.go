package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"postern/internal/tree"
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
	defaults map[string]*tree.Node // of rows already needed
}

func newReader(s Source) *reader {
	r := &reader{rows: map[string]Key{}, kinds: kinds(), env: s.Env, readFile: s.ReadFile, origins: map[string]Origin{}, defaults: map[string]*tree.Node{}}
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
	if len(r.problems) >= tree.MaxFaults {
		return
	}
	r.problems = append(r.problems, Problem{Origin: at, Key: tree.Clip(p.path), Text: fmt.Sprintf(format, args...)})
}

// read fills v from n.
func (r *reader) read(n *tree.Node, v reflect.Value, p place) {
	r.origins[p.path] = n.At
	switch n.Form {
	case tree.Broken:
		return
	case tree.Nothing:
		r.bad(n.At, p, "has no value; give it one or remove the key")
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

func (r *reader) readStruct(n *tree.Node, v reflect.Value, p place) {
	if n != nil && n.Form != tree.Mapping {
		r.bad(n.At, p, "found %s; expected key: value lines", n.Form)
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
		if len(n.Entries) > maxItems {
			r.bad(n.At, p, "more than %d keys", maxItems)
			return
		}
		for _, e := range n.Entries {
			r.checkKnown(e, names, p)
		}
	}
	for _, f := range fields(v.Type()) {
		var e *tree.Entry
		if n != nil {
			e = n.Entry(f.name)
		}
		target, at := v.Field(f.index), p.key(f.name)
		switch {
		case f.secret:
			r.readSecret(n, e, target, p, f.name)
		case e != nil:
			r.read(e.Value, target, at)
		default:
			r.readDefault(n, target, at)
		}
	}
}

// checkKnown complains about a key that nobody reads, and says which was probably meant.
func (r *reader) checkKnown(e tree.Entry, names []string, p place) {
	for _, name := range names {
		if e.Key == name {
			return
		}
	}
	if len(r.problems) >= tree.MaxFaults {
		return
	}
	hint := ""
	if near := nearest(e.Key, names); near != "" {
		hint = "; did you mean " + near + "?"
	} else {
		for _, row := range Table() {
			if row.Path == e.Key || strings.HasSuffix(row.Path, "."+e.Key) {
				hint = "; did you mean " + strings.NewReplacer("[]", "", ".*", "").Replace(row.Path) + "?"
				break
			}
		}
	}
	expected := strings.Join(names, ", ")
	if p.path == "" {
		expected = "one of " + expected
	}
	r.bad(e.At, p.key(e.Key), "this key does not exist here; expected %s%s", expected, hint)
}

// readDefault fills v from the table. A struct's keys have defaults of their own.
func (r *reader) readDefault(parent *tree.Node, v reflect.Value, p place) {
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
			at = parent.At
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
func defaultNode(row Key) *tree.Node {
	root, problems := parseYAML("", []byte("v: "+row.Default))
	if len(problems) > 0 {
		panic("config: default of " + row.Path + ": " + problems.Error())
	}
	n := root.Entry("v").Value
	forget(n)
	return n
}

// forget takes the places out of a tree that no file holds.
func forget(n *tree.Node) {
	n.At = Origin{}
	for i := range n.Entries {
		n.Entries[i].At = Origin{}
		forget(n.Entries[i].Value)
	}
	for _, item := range n.Items {
		forget(item)
	}
}

func (r *reader) readList(n *tree.Node, v reflect.Value, p place) {
	items := n.Items
	_, plain := r.kinds[v.Type().Elem()]
	switch {
	case n.Form == tree.Scalar && plain:
		items = []*tree.Node{n}
	case n.Form != tree.List:
		r.bad(n.At, p, "found %s; expected a list", n.Form)
		return
	case len(items) > maxItems:
		r.bad(n.At, p, "more than %d items", maxItems)
		return
	}
	row := r.rows[p.pattern]
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	seen := map[any]bool{}
	for i, item := range items {
		at := p.item(i)
		r.origins[at.path] = item.At
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
			r.bad(item.At, at, "%s stands in the list already", tree.Clip(item.Text))
		}
		seen[value] = true
	}
}

func (r *reader) readMap(n *tree.Node, v reflect.Value, p place) {
	if n.Form != tree.Mapping {
		r.bad(n.At, p, "found %s; expected name: value lines", n.Form)
		return
	}
	if len(n.Entries) > maxItems {
		r.bad(n.At, p, "more than %d names", maxItems)
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, e := range n.Entries {
		at := p.name(e.Key)
		if e.Key == "" || len(e.Key) > 253 || oneLine(e.Key) != nil {
			r.bad(e.At, p, "%q cannot be a name; expected up to 253 characters on one line", tree.Clip(e.Key))
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.read(e.Value, value, at)
		v.SetMapIndex(reflect.ValueOf(e.Key), value)
	}
}

// readScalar reads one plain value and holds it to its row.
func (r *reader) readScalar(n *tree.Node, v reflect.Value, p place, row Key) {
	k := r.kinds[v.Type()]
	expected := k.expected
	if len(row.Enum) > 0 {
		expected = "one of " + strings.Join(row.Enum, ", ")
	}
	if n.Form == tree.Broken {
		return
	}
	if n.Form != tree.Scalar {
		r.bad(n.At, p, "found %s; expected %s", n.Form, expected)
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
		r.bad(n.At, p, "is empty; expected %s", expected)
		return
	}
	value, err := k.parse(text, quoted)
	if err != nil {
		what, hint, _ := strings.Cut(err.Error(), "; did you mean")
		if hint != "" {
			hint = "; did you mean" + hint
		}
		r.bad(n.At, p, "%s; expected %s%s", what, expected, hint)
		return
	}
	if s, isText := value.(string); isText && len(row.Enum) > 0 && !r.inEnum(n, s, p, row.Enum) {
		return
	}
	if s, isText := value.(string); isText && (row.Unit == "file" || row.Unit == "folder") {
		value = beside(n.At, s)
	}
	if fault := r.outOfRange(k, value, row); fault != "" {
		r.bad(n.At, p, "%s %s", tree.Clip(text), fault)
		return
	}
	v.Set(reflect.ValueOf(value))
}

func (r *reader) inEnum(n *tree.Node, s string, p place, enum []string) bool {
	for _, allowed := range enum {
		if s == allowed {
			return true
		}
	}
	hint := ""
	if near := nearest(s, enum); near != "" {
		hint = "; did you mean " + near + "?"
	}
	r.bad(n.At, p, "%q is not known; expected one of %s%s", tree.Clip(s), strings.Join(enum, ", "), hint)
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
func (r *reader) expand(n *tree.Node, p place) (text string, quoted, ok bool) {
	if envForm.MatchString(n.Text) {
		name := n.Text[2 : len(n.Text)-1]
		value, found := r.env(name)
		if !found {
			r.bad(n.At, p, "the environment variable %s is not set; set it or write the value", name)
			return "", false, false
		}
		return value, true, true
	}
	if strings.Contains(n.Text, "${") {
		r.bad(n.At, p, "only a whole value may be ${NAME}; expected one variable and nothing around it")
		return "", false, false
	}
	return n.Text, n.Quoted, true
}

// maxSecret bounds a secret file: it holds one line.
const maxSecret = 4096

// readSecret reads NAME_file, or NAME when that is ${VARIABLE}.
func (r *reader) readSecret(n *tree.Node, e *tree.Entry, v reflect.Value, parent place, name string) {
	plain := strings.TrimSuffix(name, "_file")
	p, direct := parent.key(name), parent.key(plain)
	var d *tree.Entry
	if n != nil {
		d = n.Entry(plain)
	}
	r.origins[p.path] = Origin{}
	switch {
	case d != nil && e != nil:
		r.bad(d.At, direct, "stands beside %s; expected one of them", name)
	case d != nil:
		r.origins[p.path] = d.Value.At
		if d.Value.Form != tree.Scalar || !envForm.MatchString(d.Value.Text) {
			r.bad(d.Value.At, direct, "a secret may not stand in the configuration; put it into a file and name that with %s, or write ${NAME} to take it from the environment", name)
			return
		}
		if text, _, ok := r.expand(d.Value, direct); ok {
			r.setSecret(d.Value.At, direct, v, text)
		}
	case e != nil:
		r.origins[p.path] = e.Value.At
		if e.Value.Form == tree.Broken {
			return
		}
		if e.Value.Form != tree.Scalar {
			r.bad(e.Value.At, p, "found %s; expected the name of a file", e.Value.Form)
			return
		}
		path, _, ok := r.expand(e.Value, p)
		if !ok || path == "" {
			return
		}
		data, err := r.readFile(beside(e.Value.At, path))
		if err != nil {
			r.bad(e.Value.At, p, "cannot be read (%s); expected a file Postern's user may read", tree.Clip(err.Error()))
			return
		}
		r.setSecret(e.Value.At, p, v, strings.TrimRight(string(data), "\r\n"))
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
