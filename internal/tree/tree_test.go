package tree_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/tree"
)

var limits = tree.Limits{Bytes: 1 << 20, Lines: 1000, Brackets: 200, Nesting: 50, Depth: 8, TooLong: "make it shorter", Second: "write one document"}

// draw writes a tree with every place: FORM text@line:column.
func draw(b *strings.Builder, n *tree.Node, indent string) {
	switch n.Form {
	case tree.Mapping:
		for _, e := range n.Entries {
			fmt.Fprintf(b, "%s%s @%d:%d %s @%d:%d", indent, e.Key, e.At.Line, e.At.Column, n.Form, e.Value.At.Line, e.Value.At.Column)
			if e.Value.Form == tree.Scalar {
				fmt.Fprintf(b, " %q quoted=%t", e.Value.Text, e.Value.Quoted)
			}
			b.WriteByte('\n')
			draw(b, e.Value, indent+"  ")
		}
	case tree.List:
		for _, x := range n.Items {
			fmt.Fprintf(b, "%s- %s %q @%d:%d\n", indent, x.Form, x.Text, x.At.Line, x.At.Column)
			draw(b, x, indent+"  ")
		}
	}
}

func TestEveryValueKnowsItsPlace(t *testing.T) {
	root, faults := tree.Read("x.yaml", 2, []byte("# a comment\na: 1\n\"b c\":\n  d: \"x\"\n  e: [p, 'q']\nf: |\n  text\n  more\ng:\n"), limits)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var b strings.Builder
	draw(&b, root, "")
	want := `a @2:1 a mapping (key: value lines) @2:4 "1" quoted=false
b c @3:1 a mapping (key: value lines) @4:3
  d @4:3 a mapping (key: value lines) @4:6 "x" quoted=true
  e @5:3 a mapping (key: value lines) @5:6
    - a plain value "p" @5:7
    - a plain value "q" @5:10
f @6:1 a mapping (key: value lines) @6:4 "text\nmore\n" quoted=true
g @9:1 a mapping (key: value lines) @9:1
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
	if at := root.Get("a").At; at.File != "x.yaml" || at.Layer != 2 || at.String() != "x.yaml:2" || (tree.Place{}).String() != "default" {
		t.Errorf("place %+v", at)
	}
	if root.Get("g").Form != tree.Nothing || root.Get("nowhere") != nil || root.Entry("nowhere") != nil {
		t.Error("a key without a value, or one that is not there")
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"twice", "a: 1\nb: 2\na: 3\n", `3:1 key "a" stands here a second time; the first is on line 1`},
		{"list", "- a\n", "1:1 found a list; expected key: value lines"},
		{"text", "hello\n", "1:1 found a plain value; expected key: value lines"},
		{"second", "a: 1\n---\nb: 2\n", "3:1 a second document begins; write one document"},
		{"anchor", "a: &x 1\n", "1:4 anchors (&), aliases (*), merge keys (<<) and tags (!) are not supported; write the value out (in quotes if it begins with one of these characters)"},
		{"tab", "a:\n\tb: 1\n", `2:1 this is not YAML: found character '\t' that cannot start any token`},
		{"deep", strings.Repeat("a: {", 10) + strings.Repeat("}", 10), "1:36 nested more than 8 deep"},
		{"nested", strings.Repeat("[", 60), "1:1 brackets are nested too deeply"},
		{"brackets", strings.Repeat("[]", 201), "1:1 the file contains too many brackets"},
		{"lines", strings.Repeat("\n", 1001), "1:1 the file has more than 1000 lines; make it shorter"},
		{"bytes", strings.Repeat(" ", 1<<20+1), "1:1 the file is larger than 1 MiB"},
		{"utf-8", "a: \xff\n", "1:1 the file is not UTF-8 text"},
		{"nul", "a: \x00\n", "1:1 the file contains NUL bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, faults := tree.Read("x", 0, []byte(tc.text), limits)
			if len(faults) == 0 {
				t.Fatal("no fault")
			}
			if got := fmt.Sprintf("%d:%d %s", faults[0].At.Line, faults[0].At.Column, faults[0].Text); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
	for _, empty := range []string{"", "# nothing\n", "---\n"} {
		if root, faults := tree.Read("x", 0, []byte(empty), limits); root != nil || len(faults) > 0 {
			t.Errorf("%q: %v %v", empty, root, faults)
		}
	}
	_, faults := tree.Read("x", 0, []byte(strings.Repeat("a: 1\n", 500)), limits)
	if len(faults) != tree.MaxFaults {
		t.Errorf("%d faults told", len(faults))
	}
}

func TestMergeLeavesBothAsTheyWere(t *testing.T) {
	read := func(s string) *tree.Node {
		n, faults := tree.Read("x", 0, []byte(s), limits)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return n
	}
	under, over := read("a: 1\nb: {c: 2, d: [3]}\n"), read("b: {d: [4], e: 5}\nf: 6\n")
	before := []string{drawn(under), drawn(over)}
	got := tree.Merge(under, over)
	if x := got.Get("b").Get("d").Items; len(x) != 1 || x[0].Text != "4" || got.Get("a").Text != "1" || got.Get("b").Get("c").Text != "2" || got.Get("b").Get("e").Text != "5" || got.Get("f").Text != "6" {
		t.Errorf("merged:\n%s", drawn(got))
	}
	if !slices.Equal(before, []string{drawn(under), drawn(over)}) {
		t.Error("a part was changed")
	}
	if tree.Merge(nil, over) != over || tree.Merge(under, nil) != under {
		t.Error("with nothing")
	}
}

func drawn(n *tree.Node) string {
	var b strings.Builder
	draw(&b, n, "")
	return b.String()
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"a: 1\nb: [x, {y: z}]\n", "a: |\n  t\n", "- a\n", "a: &x *y\n", "<<: {a: 1}\n", "? [a]\n: b\n", "{{{", "a:\n\tb\n", "!!binary x\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, faults := tree.Read("x", 1, data, limits)
		if root != nil && root.Form != tree.Mapping {
			t.Errorf("root is %s", root.Form)
		}
		for _, x := range faults {
			if x.At.File != "x" || x.At.Line < 1 || x.Text == "" || strings.ContainsAny(x.Text, "\n\r\x00") {
				t.Errorf("fault %+v", x)
			}
		}
		if root != nil {
			_ = drawn(tree.Merge(root, root))
		}
	})
}
