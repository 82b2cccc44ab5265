package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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
		if d := distance(strings.ToLower(word), c); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's, with two neighbours swapped counting as one change.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before2 []int
	before := make([]int, len(y)+1)
	for j := range before {
		before[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			change := 1
			if x[i] == y[j] {
				change = 0
			}
			row[j+1] = min(before[j]+change, before[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before2[j-1]+1)
			}
		}
		before2, before = before, row
	}
	return before[len(y)]
}
