// Package tree reads a YAML file into a small tree in which every key and value knows its place, so that whoever reads the tree can say
// "file:line: what is wrong".
//
// It takes the plain part of YAML: mappings, lists, plain and quoted values, blocks of text. Anchors, aliases, merge keys, tags and second
// documents are faults, and so is a key that stands twice. It knows no keys and no meaning: config and provider do.
//
// A file is hostile until it is read: Limits bound its bytes, lines, brackets and depth before and while the YAML library sees it, and a panic of
// that library is a fault of the file. Read never fails otherwise, and what it could not take is told with its place, at most MaxFaults times.
package tree

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

// MaxFaults is how many faults of a file are told at one time.
const MaxFaults = 100

// Limits bound a file. A file beyond them is a mistake, or an attempt on the parser.
type Limits struct {
	Bytes    int
	Lines    int
	Brackets int // "[" and "{" in all
	Nesting  int // of brackets
	Depth    int // of the tree

	TooLong string // what to do about a file with too many lines; "" nothing to say
	Second  string // what to do about a second document
}

// Place is where something stands. The zero Place is nowhere: a value that no file gave.
type Place struct {
	File   string
	Line   int
	Column int // in characters, from 1
	Layer  int // which of several sets of files it belongs to, as the reader counts them
}

// String is "file:line", or "default" for what no file gave.
func (p Place) String() string {
	if p.File == "" {
		return "default"
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Fault is one thing in a file that cannot be understood.
type Fault struct {
	At   Place
	Text string // what is wrong and what is expected
}

// Form is the shape of a node.
type Form uint8

// The forms.
const (
	Scalar Form = iota
	Mapping
	List
	Nothing // a key without a value
	Broken  // a fault was told about it
)

// String is the form in words.
func (f Form) String() string {
	return [...]string{"a plain value", "a mapping (key: value lines)", "a list", "nothing", "something unknown"}[f]
}

// Node is one value with its place.
type Node struct {
	Form    Form
	Text    string // of a scalar, as written without quotes
	Quoted  bool   // it was written in quotes or as a block, so it is text whatever it looks like
	Entries []Entry
	Items   []*Node
	At      Place
}

// Entry is one key of a mapping.
type Entry struct {
	Key   string
	At    Place
	Value *Node
}

// Entry returns the entry of a key, nil when there is none.
func (n *Node) Entry(key string) *Entry {
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			return &n.Entries[i]
		}
	}
	return nil
}

// Get returns the value of a key, nil when there is none.
func (n *Node) Get(key string) *Node {
	if e := n.Entry(key); e != nil {
		return e.Value
	}
	return nil
}

// Put sets a key, at its old place when it is there.
func (n *Node) Put(e Entry) {
	if old := n.Entry(e.Key); old != nil {
		*old = e
		return
	}
	n.Entries = append(n.Entries, e)
}

// Merge lays over above under: mappings are merged key by key, everything else is replaced. Neither is changed.
func Merge(under, over *Node) *Node {
	if under == nil || over == nil || under.Form != Mapping || over.Form != Mapping {
		if over == nil {
			return under
		}
		return over
	}
	out := &Node{Form: Mapping, At: under.At, Entries: append([]Entry(nil), under.Entries...)}
	for _, e := range over.Entries {
		if old := out.Entry(e.Key); old != nil {
			*old = Entry{e.Key, e.At, Merge(old.Value, e.Value)}
		} else {
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// Read reads one file, whose name and layer go into every place. The root is a mapping; it is nil when the file has no content, holds something
// else, or is no YAML.
func Read(file string, layer int, data []byte, l Limits) (root *Node, faults []Fault) {
	b := &builder{top: Place{File: file, Line: 1, Column: 1, Layer: layer}, limits: l}
	if fault := l.plausible(data); fault != "" {
		b.bad(b.top, "%s", fault)
		return nil, b.faults
	}
	f, err := parseBytes(data)
	if err != nil {
		at, text := b.top, ""
		var syntax *yaml.SyntaxError
		if !errors.As(err, &syntax) {
			text = err.Error()
		} else {
			text = syntax.Message // its Error draws the source, which takes long for long lines
			at = b.at(syntax.Token)
		}
		text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
		b.bad(at, "this is not YAML: %s", Clip(strings.ReplaceAll(text, "\t", `\t`)))
		return nil, b.faults
	}
	for _, doc := range f.Docs {
		if doc.Body == nil {
			continue
		}
		if _, comment := doc.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if root != nil {
			b.bad(b.place(doc.Body), "a second document begins; %s", l.Second)
			break
		}
		root = b.build(doc.Body, 0)
	}
	if root != nil && root.Form != Mapping {
		if root.Form != Nothing && root.Form != Broken {
			b.bad(root.At, "found %s; expected key: value lines", root.Form)
		}
		root = nil
	}
	return root, b.faults
}

// plausible says what makes data no file of ours before a parser looks at it.
func (l Limits) plausible(data []byte) string {
	switch {
	case len(data) > l.Bytes:
		return fmt.Sprintf("the file is larger than %d MiB", l.Bytes>>20)
	case bytes.Count(data, []byte{'\n'}) > l.Lines:
		text := fmt.Sprintf("the file has more than %d lines", l.Lines)
		if l.TooLong != "" {
			text += "; " + l.TooLong
		}
		return text
	case !utf8.Valid(data):
		return "the file is not UTF-8 text"
	case bytes.IndexByte(data, 0) >= 0:
		return "the file contains NUL bytes"
	case bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > l.Brackets:
		return "the file contains too many brackets"
	}
	depth := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			if depth++; depth > l.Nesting {
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

// builder turns the library's tree into ours and gathers what is wrong on the way.
type builder struct {
	top    Place // the file's beginning
	limits Limits
	faults []Fault
}

func (b *builder) bad(at Place, format string, args ...any) {
	if len(b.faults) < MaxFaults {
		b.faults = append(b.faults, Fault{at, fmt.Sprintf(format, args...)})
	}
}

// at is where a token stands; the file's beginning when that is not known.
func (b *builder) at(t *token.Token) Place {
	at := b.top
	if t != nil && t.Position != nil {
		at.Line, at.Column = t.Position.Line, t.Position.Column
	}
	return at
}

// place is where a node begins, which for a mapping is its first key.
func (b *builder) place(n ast.Node) Place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if v, ok := n.(*ast.MappingValueNode); ok {
		n = v.Key
	}
	if n == nil {
		return b.top
	}
	return b.at(n.GetToken())
}

func (b *builder) build(n ast.Node, depth int) *Node {
	out := &Node{Form: Nothing, At: b.place(n)}
	if depth > b.limits.Depth {
		out.Form = Broken
		b.bad(out.At, "nested more than %d deep", b.limits.Depth)
		return out
	}
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
	case *ast.MappingNode:
		out.Form = Mapping
		seen := map[string]Place{}
		for _, v := range n.Values {
			b.entry(out, v, depth, seen)
		}
	case *ast.MappingValueNode:
		out.Form = Mapping
		b.entry(out, n, depth, map[string]Place{})
	case *ast.SequenceNode:
		out.Form = List
		for _, v := range n.Values {
			out.Items = append(out.Items, b.build(v, depth+1))
		}
	case *ast.StringNode:
		out.Form, out.Text = Scalar, n.Value
		out.Quoted = n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		out.Form, out.Text, out.Quoted = Scalar, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.Form, out.Text = Scalar, strings.TrimSpace(n.GetToken().Value)
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		out.Form = Broken
		b.bad(out.At, "anchors (&), aliases (*), merge keys (<<) and tags (!) are not supported; write the value out (in quotes if it begins with one of these characters)")
	default:
		out.Form = Broken
		b.bad(out.At, "this kind of YAML is not supported; write a plain value, a list or key: value lines")
	}
	return out
}

func (b *builder) entry(out *Node, v *ast.MappingValueNode, depth int, seen map[string]Place) {
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
	if value.Form == Nothing {
		value.At = at
	}
	if first, twice := seen[key]; twice {
		b.bad(at, "key %q stands here a second time; the first is on line %d", Clip(key), first.Line)
		return
	}
	seen[key] = at
	out.Entries = append(out.Entries, Entry{key, at, value})
}

// Clip shortens what comes from a file for showing it in one line.
func Clip(s string) string {
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
