package delivery

import (
	"cmp"
	"slices"
	"strings"
)

// mostNear is how many names are proposed.
const mostNear = 3

// near returns the keys whose words are most like a name, the nearest first: those that begin with it or hold it, and those a few letters apart.
func near(name string, words map[string][]string) []string {
	name = strings.ToLower(name)
	if name == "" || len(name) > 100 {
		return nil
	}
	type match struct {
		key  string
		away int
	}
	var found []match
	for key, list := range words {
		best := -1
		for _, w := range list {
			w = strings.ToLower(w)
			away := distance(name, w)
			switch {
			case w == "":
				continue
			case strings.HasPrefix(w, name), strings.HasPrefix(name, w):
				away = min(away, 1)
			case strings.Contains(w, name), strings.Contains(name, w):
				away = min(away, 2)
			}
			if away <= max(2, len(name)/3) && (best < 0 || away < best) {
				best = away
			}
		}
		if best >= 0 {
			found = append(found, match{key, best})
		}
	}
	slices.SortFunc(found, func(a, b match) int { return cmp.Or(cmp.Compare(a.away, b.away), cmp.Compare(a.key, b.key)) })
	var out []string
	for _, m := range found[:min(len(found), mostNear)] {
		out = append(out, m.key)
	}
	return out
}

// distance is how many letters must be put in, taken out or changed to make one word of the other (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
