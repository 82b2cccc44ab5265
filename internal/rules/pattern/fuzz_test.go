package pattern_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"postern/internal/rules/pattern"
)

// FuzzCompile: no pattern panics or hangs; on any text the parts agree: what the backtracker finds, the automaton admits,
// an exact automaton finds no more, and a set says the same as the pattern alone.
func FuzzCompile(f *testing.F) {
	for _, tc := range table {
		f.Add(tc.src, tc.flags, tc.text)
	}
	for _, tc := range evil {
		f.Add(tc.src, "", tc.text)
	}
	f.Fuzz(func(t *testing.T, src, flags, text string) {
		if len(src) > 300 || len(text) > 500 {
			return
		}
		p, err := pattern.Options{Steps: 50_000, States: 100}.Compile(src, flags)
		if err != nil {
			return
		}
		b := []byte(text)
		back, gaveUp := p.Backtrack(b)
		linear, sure := p.Linear(b)
		if back && sure && !linear {
			t.Fatalf("/%s/%s on %q: matches, but the automaton says no", src, flags, text)
		}
		if p.Exact() && sure && !gaveUp && back != linear {
			t.Fatalf("/%s/%s on %q: automaton %v, backtracker %v", src, flags, text, linear, back)
		}
		matched, budget := p.Match(b)
		var inSet, skipped bool
		set := pattern.NewSet([]*pattern.Pattern{p})
		set.Matches(set.NewScratch(), b, func(int) { inSet = true }, func(int) { skipped = true })
		if !budget && !skipped && matched != inSet {
			t.Fatalf("/%s/%s on %q: alone %v, in a set %v", src, flags, text, matched, inSet)
		}
	})
}

// oddCount finds counts that Go's regexp takes literally: with leading zeros or blanks.
var oddCount = regexp.MustCompile(`[{,]0[0-9]|\{[0-9, \t]*[ \t][0-9, \t]*\}`)

// FuzzMatchAgainstRegexp: on the common subset the answers are those of Go's regexp, places and captures included.
func FuzzMatchAgainstRegexp(f *testing.F) {
	for _, tc := range table {
		f.Add(tc.src, tc.text)
	}
	f.Fuzz(func(t *testing.T, src, text string) {
		if len(src) > 100 || len(text) > 200 || !ascii(src) || !ascii(text) || strings.ContainsAny(src, "\\$#\x0b") ||
			strings.Contains(src, "(?") || strings.Contains(src, "[[") || strings.Contains(src, "{,") || oddCount.MatchString(src) || strings.Contains(src, "(*") {
			return
		}
		g, err := regexp.Compile(src)
		if err != nil {
			return
		}
		p, err := pattern.Compile(src, "")
		if err != nil {
			return
		}
		want := g.FindStringSubmatchIndex(text)
		have, ok, budget := p.Find([]byte(text), 0)
		if budget {
			return
		}
		if ok != (want != nil) || ok && (have[0] != want[0] || have[1] != want[1]) {
			// Go and Perl leave an empty round of a loop differently; only the verdict is common then.
			if ok != (want != nil) || !strings.ContainsAny(src, "*+?{") {
				t.Fatalf("/%s/ on %q: %v, regexp says %v", src, text, have, want)
			}
		}
	})
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
