package pattern_test

import (
	"strings"
	"testing"

	"postern/internal/rules/pattern"
)

// TestCount: as many as looking for one after the other finds, and never more than asked for.
func TestCount(t *testing.T) {
	t.Parallel()
	texts := []string{"", "e", "eee", "Dear friend, the end\nis near \xc3\xa9\xc3e", "aXbXXc", "foo@bar.example, x@y", "aaaa", "\n\n", strings.Repeat("ab ", 300)}
	for _, src := range []string{"e", "[a-f]", `(?:e|\xc3[\xa8\xa9])`, "X*", "a+", "a+?", `\b`, `\w+`, `(a|ab)(?=\s)`, `(\w)\1`, `^`, `$`, `[^@\s]+@[^@\s,]+`, `b(?!\s)`, `(?<=a)b`} {
		p, err := pattern.Compile(src, "m")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			b := []byte(text)
			want := 0
			for at := 0; at <= len(b); {
				loc, ok, _ := p.Find(b, at)
				if !ok {
					break
				}
				want++
				if at = loc[1]; loc[0] == loc[1] {
					at++
				}
			}
			for _, limit := range []int{1, 5, 1000} {
				purse := pattern.Budget{Steps: 1 << 30, Work: 1 << 30}
				if got, gaveUp := p.Count(b, limit, &purse); got != min(want, limit) || gaveUp {
					t.Errorf("%s in %.20q: %d of at most %d, want %d", src, text, got, limit, want)
				}
			}
		}
	}
}

// TestFindStart: a match that begins far before the automaton can tell its end is found whole.
func TestFindStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		src, text string
		lo, hi    int
	}{
		{`abc|bcdefgh|b`, "xxabc", 2, 5}, {`aaab|aab|b`, "zzaaab", 2, 6}, {`\bfoo\b`, "a foo b", 2, 5}, {`x{3,5}y?`, "axxxxxxy", 1, 6}, {`a.{5}z|c`, "abcdefz", 0, 7},
	} {
		p, err := pattern.Compile(tc.src, "")
		if err != nil {
			t.Fatal(err)
		}
		if loc, ok, _ := p.Find([]byte(tc.text), 0); !ok || loc[0] != tc.lo || loc[1] != tc.hi {
			t.Errorf("%s in %q: %v, want %d to %d", tc.src, tc.text, loc, tc.lo, tc.hi)
		}
	}
}

// TestBudgetShared: several patterns together spend no more than what they share.
func TestBudgetShared(t *testing.T) {
	t.Parallel()
	p, err := pattern.Compile(`(a|b|ab)*\1c`, "")
	if err != nil {
		t.Fatal(err)
	}
	b := []byte(strings.Repeat("ab", 2000) + "c")
	purse := pattern.Budget{Steps: 10_000, Work: 1 << 30}
	gaveUp := 0
	for range 20 {
		if _, budget := p.MatchIn(b, &purse); budget {
			gaveUp++
		}
	}
	if gaveUp == 0 || purse.Steps < 0 {
		t.Errorf("gave up %d times, %d steps left", gaveUp, purse.Steps)
	}
}
