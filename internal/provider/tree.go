package provider

import (
	"fmt"
	"strings"

	"postern/internal/tree"
)

// limits bound a file of knowledge.
var limits = tree.Limits{Bytes: 1 << 20, Lines: 20_000, Brackets: 20_000, Nesting: 100, Depth: 16, Second: "write one provider per file"}

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

// gatherer collects faults.
type gatherer struct{ faults Faults }

func (g *gatherer) bad(at tree.Place, format string, args ...any) {
	if len(g.faults) < tree.MaxFaults {
		g.faults = append(g.faults, Fault{at.File, at.Line, fmt.Sprintf(format, args...)})
	}
}

// parse reads one file of a layer: ours (0), or one of the operator's folders (1, 2, …). nil when it has no content or cannot be read.
func (g *gatherer) parse(file string, layer int, data []byte) *tree.Node {
	root, faults := tree.Read(file, layer, data, limits)
	for _, f := range faults {
		g.bad(f.At, "%s", f.Text)
	}
	if root == nil && len(faults) == 0 {
		g.bad(tree.Place{File: file, Line: 1}, "the file is empty; write name: and what is known")
	}
	return root
}
