package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"postern/internal/near"
	"postern/internal/tree"
)

// Origin is where a value comes from. The zero Origin is the built-in default.
type Origin = tree.Place

// Problem is one fault or doubt.
type Problem struct {
	Origin
	Key  string // the key's path; "" when the fault is in the file as such
	Text string // what is wrong; what is expected
}

// Error is "file:line:col: key: text", without what is unknown.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all faults of a configuration, in the order of the files. As an error they read one per line.
type Problems []Problem

// Error joins the problems' lines.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// err sorts the problems and returns them as an error, nil when there are none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	p.sort()
	return p
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// nearest returns the candidate closest to word, "" when none is close.
func nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", len(word)/3+1
	for _, c := range candidates {
		if d := near.Distance(strings.ToLower(word), c); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}
