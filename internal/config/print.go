package config

import (
	"fmt"
	"reflect"
	"strings"

	"postern/internal/tree"
)

// Example returns a configuration file with every key, its meaning, unit and default. It loads, and says the same as no
// file at all.
func Example() string {
	c, err := Default()
	if err != nil {
		panic("config: the defaults do not load: " + err.Error())
	}
	p := newPrinter(c)
	p.comments = true
	p.out.WriteString("# Postern's configuration. Every key stands here with its default; what you do not need to change may go.\n" +
		"# Times: 90s, 5m, 1h30m, 7d. Sizes: 64KiB, 25MB (MB = 1,000,000 bytes, MiB = 1,048,576).\n" +
		"# [restart]: a change takes effect at the next start; everything else on reload (SIGHUP).\n" +
		"# Any plain value may be ${NAME}, taken from the environment. Secrets stand in files of their own.\n" +
		"# conf.d/*.yaml beside this file is read after it, in order of name: mappings are merged key by key, lists and values replaced.\n")
	p.structure(reflect.ValueOf(c).Elem(), place{}, 0)
	return p.out.String()
}

// Effective returns the configuration in force as YAML, each value with where it comes from; secrets are masked.
func (c *Config) Effective() string {
	p := newPrinter(c)
	p.structure(reflect.ValueOf(c).Elem(), place{}, 0)
	return p.out.String()
}

// printer writes a Config as YAML, with the table's comments or with origins.
type printer struct {
	c        *Config
	rows     map[string]Key
	kinds    map[reflect.Type]kind
	comments bool
	out      strings.Builder
}

func newPrinter(c *Config) *printer {
	p := &printer{c: c, rows: map[string]Key{}, kinds: kinds()}
	for _, k := range Table() {
		p.rows[k.Path] = k
	}
	return p
}

func (p *printer) line(indent int, text, path string) {
	p.out.WriteString(strings.Repeat("  ", indent) + text)
	if !p.comments && path != "" {
		p.out.WriteString("  # " + p.c.Origin(path).String())
	}
	p.out.WriteByte('\n')
}

// about writes what the table says about a key as comment lines.
func (p *printer) about(row Key, indent int, prefix string, top bool) {
	if !p.comments {
		return
	}
	if top && prefix == "" {
		p.out.WriteByte('\n')
	}
	for _, line := range wrap(row.Doc+about(row), 100-2*indent) {
		p.line(indent, prefix+"# "+line, "")
	}
}

// about is notes as a bracketed end of a sentence.
func about(row Key) string {
	if n := notes(row); n != "" {
		return " [" + n + "]"
	}
	return ""
}

// notes tells unit, values, range, default and example of a row.
func notes(row Key) string {
	var all []string
	if row.Unit != "" {
		all = append(all, "unit: "+row.Unit)
	}
	if len(row.Enum) > 0 {
		all = append(all, "one of: "+strings.Join(row.Enum, ", "))
	}
	if row.Min != "" {
		all = append(all, row.Min+" to "+row.Max)
	}
	switch {
	case row.Required:
		all = append(all, "required")
	case row.Default != "" && len(row.Default) < 40:
		all = append(all, "default: "+row.Default)
	case row.Default == "" && row.Sample != "":
		all = append(all, "default: none")
	}
	if row.Sample != "" {
		all = append(all, "example: "+row.Sample)
	}
	if row.Restart {
		all = append(all, "restart")
	}
	return strings.Join(all, " | ")
}

// plainText is a plain value or a list of such, on one line; ok is false for anything else.
func (p *printer) plainText(v reflect.Value) (text string, ok bool) {
	if k, plain := p.kinds[v.Type()]; plain {
		if text = k.write(v.Interface()); text == "" {
			text = `""`
		}
		return text, true
	}
	if v.Kind() != reflect.Slice {
		return "", false
	}
	k, plain := p.kinds[v.Type().Elem()]
	if !plain {
		return "", false
	}
	var items []string
	for i := range v.Len() {
		items = append(items, k.write(v.Index(i).Interface()))
	}
	return "[" + strings.Join(items, ", ") + "]", true
}

func (p *printer) structure(v reflect.Value, at place, indent int) {
	for _, f := range fields(v.Type()) {
		here := at.key(f.name)
		p.about(p.rows[here.pattern], indent, "", indent == 0)
		p.value(f.name, v.Field(f.index), here, indent)
	}
}

func (p *printer) value(name string, v reflect.Value, at place, indent int) {
	if text, ok := p.plainText(v); ok {
		p.line(indent, name+": "+text, at.path)
		return
	}
	switch {
	case v.Kind() == reflect.Struct:
		p.line(indent, name+":", "")
		p.structure(v, at, indent+1)
	case v.Len() == 0 && v.Kind() == reflect.Map:
		p.line(indent, name+": {}", at.path)
		p.sample(v.Type().Elem(), place{pattern: at.pattern + ".*"}, indent, "NAME")
	case v.Len() == 0:
		p.line(indent, name+": []", at.path)
		p.sample(v.Type().Elem(), place{pattern: at.pattern + "[]"}, indent, "-")
	case v.Kind() == reflect.Map:
		p.line(indent, name+":", "")
		for _, key := range mapKeys(v) {
			p.value(quote(key), v.MapIndex(reflect.ValueOf(key)), at.name(key), indent+1)
		}
	default:
		p.line(indent, name+":", "")
		for i := range v.Len() {
			p.item(v.Index(i), at.item(i), indent+1)
		}
	}
}

// item writes one structure of a list: its first key carries the dash.
func (p *printer) item(v reflect.Value, at place, indent int) {
	for i, f := range fields(v.Type()) {
		here := at.key(f.name)
		dash := "  "
		if i == 0 {
			dash = "- "
		}
		p.about(p.rows[here.pattern], indent+1, "", false)
		text, ok := p.plainText(v.Field(f.index))
		if !ok {
			text, ok = p.flow(v.Field(f.index))
		}
		if !ok {
			panic("config: " + here.pattern + ": a list's items hold plain values, and lists and mappings of them only")
		}
		p.line(indent, dash+f.name+": "+text, here.path)
	}
}

// flow is a mapping of plain values on one line; ok is false for anything else.
func (p *printer) flow(v reflect.Value) (text string, ok bool) {
	if v.Kind() != reflect.Map {
		return "", false
	}
	k, plain := p.kinds[v.Type().Elem()]
	if !plain {
		return "", false
	}
	var items []string
	for _, key := range mapKeys(v) {
		items = append(items, quote(key)+": "+k.write(v.MapIndex(reflect.ValueOf(key)).Interface()))
	}
	return "{" + strings.Join(items, ", ") + "}", true
}

// sample shows, as comments, the keys of something that is empty by default.
func (p *printer) sample(t reflect.Type, at place, indent int, head string) {
	if !p.comments {
		return
	}
	if row, ok := p.rows[at.pattern]; ok {
		for _, line := range wrap(head+": "+row.Doc+about(row), 100-2*indent) {
			p.line(indent, "#   "+line, "")
		}
	}
	if t.Kind() == reflect.Slice {
		p.sample(t.Elem(), place{pattern: at.pattern + "[]"}, indent, "-")
		return
	}
	if _, plain := p.kinds[t]; plain || t.Kind() != reflect.Struct {
		return
	}
	for _, f := range fields(t) {
		row := p.rows[at.key(f.name).pattern]
		for _, line := range wrap(f.name+": "+row.Doc+about(row), 100-2*indent) {
			p.line(indent, "#     "+line, "")
		}
	}
}

func mapKeys(v reflect.Value) []string {
	names := map[string]bool{}
	for _, k := range v.MapKeys() {
		names[k.String()] = true
	}
	return sortedKeys(names)
}

// wrap breaks text into lines of at most width characters where words allow it.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// leaf is one value with its key: a plain value or a list of plain values.
type leaf struct {
	place
	shown   string // secrets masked
	compare string // secrets as they are: never shown
}

// leaves returns every value of the configuration by its path.
func (c *Config) leaves() map[string]leaf {
	all := map[string]leaf{}
	c.eachLeaf(func(at place, v reflect.Value, shown string) {
		compare := shown
		if s, secret := v.Interface().(Secret); secret {
			compare = string(s)
		}
		all[at.path] = leaf{at, shown, compare}
	})
	return all
}

// Diff returns the keys whose values differ between two configurations, sorted, and those of them that take effect at
// the next start only. What a file named by a key contains is compared for secrets; certificates are to be read again anyway.
func Diff(old, new *Config) (changed, restart []string) {
	before, after := old.leaves(), new.leaves()
	rows := newPrinter(new).rows
	differ := map[string]leaf{}
	for path, x := range after {
		if y, ok := before[path]; !ok || x.compare != y.compare {
			differ[path] = x
		}
	}
	for path, x := range before {
		if _, ok := after[path]; !ok {
			differ[path] = x
		}
	}
	for _, path := range sortedKeys(differ) {
		changed = append(changed, path)
		if rows[differ[path].pattern].Restart {
			restart = append(restart, path)
		}
	}
	return changed, restart
}

// Explain returns what is known about a key: its value, where that comes from, default, unit and meaning. It takes a path
// ("customers[0].mode") or a name of the table ("customers[].mode"). For an unknown key ok is false and the text names the nearest one.
func (c *Config) Explain(path string) (text string, ok bool) {
	p := newPrinter(c)
	pattern := path
	leaves := c.leaves()
	value, has := leaves[path]
	if has {
		pattern = value.pattern
	}
	row, ok := p.rows[pattern]
	if !ok {
		text = fmt.Sprintf("there is no key %s", tree.Clip(path))
		if near := nearest(path, sortedKeys(p.rows)); near != "" {
			text += "; did you mean " + near + "?"
		}
		return text, false
	}
	var b strings.Builder
	b.WriteString(path + "\n")
	if has {
		fmt.Fprintf(&b, "  value:   %s\n  from:    %s\n", value.shown, c.Origin(path))
	}
	if n := notes(row); n != "" {
		fmt.Fprintf(&b, "  form:    %s\n", n)
	}
	for i, line := range wrap(row.Doc, 90) {
		if i == 0 {
			b.WriteString("  meaning: ")
		} else {
			b.WriteString("           ")
		}
		b.WriteString(line + "\n")
	}
	return b.String(), true
}
