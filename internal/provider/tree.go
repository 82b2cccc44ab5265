package provider

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of a file of knowledge. A file beyond them is a mistake, or an attempt on the parser.
const (
	maxFileBytes = 1 << 20
	maxLines     = 20_000
	maxDepth     = 16
	maxFaults    = 100 // told at one time
	maxBrackets  = 20_000
)

// Fault is one thing in a file that cannot be understood.
type Fault struct {
	File string // as its name was given
	Line int    // from 1
	Text string // what is wrong and what is expected
}

// Error is "file:line: text".
func (f Fault) Error() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text) }

// Faults are all faults of a set of files. As an error they read one per line.
type Faults []Fault

// Error joins the faults' lines.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// form is the shape of a node.
type form uint8

const (
	scalar form = iota
	mapping
	list
	nothing // a key without a value
	broken  // the reader has complained about it
)

func (f form) String() string {
	return [...]string{"a plain value", "key: value lines", "a list", "nothing", "something unknown"}[f]
}

// place is where something stands. set tells ours (0) from the operator's folders (1, 2, …).
type place struct {
	file string
	line int
	set  int
}

// node is one YAML value with its place.
type node struct {
	form    form
	text    string
	entries []entry
	items   []*node
	at      place
}

// entry is one key of a mapping.
type entry struct {
	key   string
	at    place
	value *node
}

func (n *node) get(key string) *node {
	for i := range n.entries {
		if n.entries[i].key == key {
			return n.entries[i].value
		}
	}
	return nil
}

// put sets a key, at its old place when it is there.
func (n *node) put(e entry) {
	for i := range n.entries {
		if n.entries[i].key == e.key {
			n.entries[i] = e
			return
		}
	}
	n.entries = append(n.entries, e)
}

// gatherer collects faults.
type gatherer struct{ faults Faults }

func (g *gatherer) bad(at place, format string, args ...any) {
	if len(g.faults) < maxFaults {
		g.faults = append(g.faults, Fault{at.file, at.line, fmt.Sprintf(format, args...)})
	}
}

// parse reads one file; nil when it has no content or cannot be read.
func (g *gatherer) parse(file string, set int, data []byte) *node {
	top := place{file, 1, set}
	if fault := plausible(data); fault != "" {
		g.bad(top, "%s", fault)
		return nil
	}
	f, err := parseBytes(data)
	if err != nil {
		text := err.Error()
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			text = syntax.Message // its Error draws the source, which takes long for long lines
			if syntax.Token != nil && syntax.Token.Position != nil {
				top.line = syntax.Token.Position.Line
			}
		}
		text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
		g.bad(top, "this is not YAML: %s", clip(text))
		return nil
	}
	b := builder{g, file, set}
	var root *node
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if _, comment := doc.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if root != nil {
			g.bad(b.place(doc.Body), "a second document begins; write one provider per file")
			break
		}
		root = b.build(doc.Body, 0)
	}
	switch {
	case root == nil:
		g.bad(top, "the file is empty; write name: and what is known")
	case root.form != mapping:
		if root.form != broken {
			g.bad(root.at, "found %s; expected key: value lines", root.form)
		}
		root = nil
	}
	return root
}

// plausible says what makes data no file of ours before a parser looks at it.
func plausible(data []byte) string {
	switch {
	case len(data) > maxFileBytes:
		return fmt.Sprintf("the file is larger than %d MiB", maxFileBytes>>20)
	case bytes.Count(data, []byte{'\n'}) > maxLines:
		return fmt.Sprintf("the file has more than %d lines", maxLines)
	case !utf8.Valid(data):
		return "the file is not UTF-8 text"
	case bytes.IndexByte(data, 0) >= 0:
		return "the file contains NUL bytes"
	case bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxBrackets:
		return "the file contains too many brackets"
	}
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > 100 {
				return "brackets are nested too deeply"
			}
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return ""
}

// parseBytes calls the YAML parser and turns a panic of it into an error: it reads bytes from outside.
func parseBytes(data []byte) (f *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			f, err = nil, fmt.Errorf("the parser gave up (%v)", r)
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// builder turns the library's tree into ours.
type builder struct {
	*gatherer
	file string
	set  int
}

func (b builder) place(n ast.Node) place {
	at := place{b.file, 1, b.set}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if v, ok := n.(*ast.MappingValueNode); ok {
		n = v.Key
	}
	if n == nil {
		return at
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		at.line = t.Position.Line
	}
	return at
}

func (b builder) build(n ast.Node, depth int) *node {
	out := &node{form: nothing, at: b.place(n)}
	if depth > maxDepth {
		out.form = broken
		b.bad(out.at, "nested more than %d deep", maxDepth)
		return out
	}
	switch n := n.(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode:
		out.form = mapping
		for _, v := range n.Values {
			b.entry(out, v, depth)
		}
	case *ast.MappingValueNode:
		out.form = mapping
		b.entry(out, n, depth)
	case *ast.SequenceNode:
		out.form = list
		for _, v := range n.Values {
			out.items = append(out.items, b.build(v, depth+1))
		}
	case *ast.StringNode:
		out.form, out.text = scalar, n.Value
	case *ast.LiteralNode:
		out.form, out.text = scalar, n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.form, out.text = scalar, strings.TrimSpace(n.GetToken().Value)
	default:
		out.form = broken
		b.bad(out.at, "anchors (&), aliases (*), merge keys (<<) and tags (!) are not supported; write the value out (in quotes if it begins with one of these characters)")
	}
	return out
}

func (b builder) entry(out *node, v *ast.MappingValueNode, depth int) {
	at := b.place(v.Key)
	var key string
	switch k := v.Key.(type) {
	case *ast.StringNode:
		key = k.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		key = strings.TrimSpace(k.GetToken().Value)
	default:
		b.bad(at, "this kind of key is not supported; write a plain word")
		return
	}
	value := b.build(v.Value, depth+1)
	if value.form == nothing {
		value.at = at
	}
	if out.get(key) != nil {
		b.bad(at, "key %q stands here a second time", clip(key))
		return
	}
	out.entries = append(out.entries, entry{key, at, value})
}

// clip shortens what comes from a file for showing it in one line.
func clip(s string) string {
	const most = 80
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
