package delivery

import (
	"cmp"
	"slices"
	"strings"

	"postern/internal/near"
)

// mostNear is how many names are proposed.
const mostNear = 3

// nearest returns the keys whose words are most like a name, the nearest first: those that begin with it or hold it, and those a few letters apart.
func nearest(name string, words map[string][]string) []string {
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
			away := near.Distance(name, w)
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
