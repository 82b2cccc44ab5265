package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a configuration file. A file beyond them is a mistake, or an attempt on the parser.
const (
	maxFileBytes = 2 << 20
	maxLines     = 50_000
	maxDepth     = 32
	maxProblems  = 100 // told at one time
)

// form is the shape of a node.
type form uint8

const (
	scalar form = iota
	mapping
	list
	nothing // a key without value
	broken  // something the builder has complained about
)

func (f form) String() string {
	return [...]string{"a plain value", "a mapping (key: value lines)", "a list", "nothing", "something unknown"}[f]
}

// node is one YAML value with its place.
type node struct {
	form    form
	text    string // of a scalar, as written without quotes
	quoted  bool   // it was written in quotes or as a block, so it is text whatever it looks like
	entries []entry
	items   []*node
	at      Origin
}

// entry is one key of a mapping.
type entry struct {
	key   string
	at    Origin
	value *node
}

func (n *node) get(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// builder turns goccy's tree into ours and gathers what is wrong on the way.
type builder struct {
	file     string
	problems Problems
}

func (b *builder) bad(at Origin, format string, args ...any) {
	if len(b.problems) >= maxProblems {
		return
	}
	b.problems = append(b.problems, Problem{Origin: at, Text: fmt.Sprintf(format, args...)})
}

// parseYAML reads one file. The node is a mapping, nil when the file has no content or does not parse.
func parseYAML(file string, data []byte) (root *node, problems Problems) {
	b := &builder{file: file}
	top := Origin{File: file, Line: 1, Column: 1}
	if fault := plausible(data); fault != "" {
		b.bad(top, "%s", fault)
		return nil, b.problems
	}
	f, err := parseBytes(data)
	if err != nil {
		at, text := top, ""
		var syntax *yaml.SyntaxError
		if !errors.As(err, &syntax) {
			text = err.Error()
		} else {
			text = syntax.Message // its Error draws the source, which takes long for long lines
			if p := position(syntax.Token); p != nil {
				at.Line, at.Column = p.Line, p.Column
			}
		}
		b.bad(at, "this is not YAML: %s", firstLine(text))
		return nil, b.problems
	}
	for i, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if _, comment := doc.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if root != nil {
			b.bad(b.place(f.Docs[i].Body), "a second document begins; expected one document per file (no --- in the middle)")
			break
		}
		root = b.build(doc.Body, 0)
	}
	if root != nil && root.form != mapping {
		if root.form != nothing && root.form != broken {
			b.bad(root.at, "found %s; expected key: value lines", root.form)
		}
		root = nil
	}
	return root, b.problems
}

// plausible says what makes data no configuration file before a parser looks at it.
func plausible(data []byte) string {
	switch {
	case len(data) > maxFileBytes:
		return fmt.Sprintf("the file is larger than %d MiB", maxFileBytes>>20)
	case bytes.Count(data, []byte{'\n'}) > maxLines:
		return fmt.Sprintf("the file has more than %d lines; keep customers by the thousand in the database (postern customer add)", maxLines)
	case !utf8.Valid(data):
		return "the file is not UTF-8 text"
	case bytes.IndexByte(data, 0) >= 0:
		return "the file contains NUL bytes"
	case strings.Count(string(data), "[")+strings.Count(string(data), "{") > 100_000:
		return "the file contains too many brackets"
	}
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > 1000 {
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

func position(t *token.Token) *token.Position {
	if t == nil {
		return nil
	}
	return t.Position
}

func (b *builder) place(n ast.Node) Origin {
	at := Origin{File: b.file, Line: 1, Column: 1}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if v, ok := n.(*ast.MappingValueNode); ok {
		n = v.Key
	}
	if n == nil {
		return at
	}
	if p := position(n.GetToken()); p != nil {
		at.Line, at.Column = p.Line, p.Column
	}
	return at
}

func (b *builder) build(n ast.Node, depth int) *node {
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
		seen := map[string]Origin{}
		for _, v := range n.Values {
			b.addEntry(out, v, depth, seen)
		}
	case *ast.MappingValueNode:
		out.form = mapping
		b.addEntry(out, n, depth, map[string]Origin{})
	case *ast.SequenceNode:
		out.form = list
		for _, v := range n.Values {
			out.items = append(out.items, b.build(v, depth+1))
		}
	case *ast.StringNode:
		out.form, out.text = scalar, n.Value
		out.quoted = n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		out.form, out.text, out.quoted = scalar, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.form, out.text = scalar, strings.TrimSpace(n.GetToken().Value)
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		out.form = broken
		b.bad(out.at, "anchors (&), aliases (*), merge keys (<<) and tags (!) are not supported; write the value out (in quotes if it begins with one of these characters)")
	case *ast.CommentGroupNode:
	default:
		out.form = broken
		b.bad(out.at, "this kind of YAML is not supported; write a plain value, a list or key: value lines")
	}
	return out
}

func (b *builder) addEntry(out *node, v *ast.MappingValueNode, depth int, seen map[string]Origin) {
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
	if first, twice := seen[key]; twice {
		b.bad(at, "key %q stands here a second time; the first is on line %d", clip(key), first.Line)
		return
	}
	seen[key] = at
	out.entries = append(out.entries, entry{key, at, value})
}

// merge lays over above under: mappings are merged key by key, everything else is replaced.
func merge(under, over *node) *node {
	if under == nil || over == nil || under.form != mapping || over.form != mapping {
		if over == nil {
			return under
		}
		return over
	}
	out := &node{form: mapping, at: under.at, entries: append([]entry(nil), under.entries...)}
	for _, e := range over.entries {
		if old := out.get(e.key); old != nil {
			*old = entry{e.key, e.at, merge(old.value, e.value)}
		} else {
			out.entries = append(out.entries, e)
		}
	}
	return out
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
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
