package pattern_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"postern/internal/rules/pattern"
)

// evil are pairs on which careless backtracking takes exponential or high polynomial time.
var evil = []struct{ src, text string }{
	{`(a+)+$`, strings.Repeat("a", 40) + "!"}, {`^(a|a)*$`, strings.Repeat("a", 40) + "!"}, {`(a|aa)+$`, strings.Repeat("a", 60) + "!"}, {`^(a*)*$`, strings.Repeat("a", 40) + "!"}, {`^([a-zA-Z]+)*$`, strings.Repeat("a", 40) + "!"},
	{`(.*a){20}$`, strings.Repeat("a", 40) + "!"}, {`^(([a-z])+.)+[A-Z]([a-z])+$`, strings.Repeat("a", 60)}, {`(x+x+)+y`, strings.Repeat("x", 60)}, {`^(\w+\s?)*$`, strings.Repeat("word ", 12) + "!"}, {`(?:a?){40}a{40}b`, strings.Repeat("a", 40)},
	{`(?:(?:a|b)*c|(?:a|b)*d)*e`, strings.Repeat("ab", 40)}, {`^(?=((a+)+)$)`, strings.Repeat("a", 40) + "!"}, {`(?:(a+)+)\1$`, strings.Repeat("a", 40) + "!"}, {`(?:(?:a{1,20}){1,20}){1,20}$`, strings.Repeat("a", 60) + "!"}, {`(?!(a+)+$)^b`, strings.Repeat("a", 60) + "!"},
	{`(?:.|\n)*?(?:.|\n)*?(?:.|\n)*?(?:.|\n)*?z(?=q)`, strings.Repeat("y", 3000)}, {`\s+(?!\S)$`, strings.Repeat(" ", 20000) + "x"}, {`(?<!a)(?:b|bb|bbb)+c(?=d)`, strings.Repeat("b", 5000)}, {`<a[^>]*>(?:[^<]*<[^>]*>)*(?!x)</b>`, strings.Repeat("<a>x", 800)},
	{`((?:[a-z]{1,50}\.?){1,50}@)\1`, strings.Repeat("a.", 500)}, {`(?:(?:(?:(?:a*)*)*)*)*\bz(?=y)`, strings.Repeat("a", 5000)},
}

// TestStepsAreBounded: neither the automaton nor the backtracker exceeds its budget, and no pair hangs.
func TestStepsAreBounded(t *testing.T) {
	t.Parallel()
	const budget = 200_000
	for _, tc := range evil {
		t.Run(tc.src, func(t *testing.T) {
			t.Parallel()
			p, err := pattern.Options{Steps: budget}.Compile(tc.src, "")
			if err != nil {
				t.Fatal(err)
			}
			steps, matched, gaveUp := p.StepsUsed([]byte(tc.text))
			if steps > budget || matched {
				t.Errorf("%d steps, matched %v", steps, matched)
			}
			if _, gaveUp := p.Match([]byte(tc.text)); gaveUp && p.Exact() {
				t.Error("an exact pattern gave up")
			}
			t.Logf("backtracker alone: %d steps, gave up %v", steps, gaveUp)
		})
	}
}

// TestMemoMakesClassicsLinear: nested quantifiers without references cost steps in proportion to the text, not to 2^n.
func TestMemoMakesClassicsLinear(t *testing.T) {
	t.Parallel()
	for _, src := range []string{`(a+)+$`, `(a|a)*$`, `(a|aa)+$`, `(a*)*$`, `(?:(?:a|b)*c|(?:a|b)*d)*e`} {
		p, err := pattern.Options{Steps: 5_000_000}.Compile(src, "")
		if err != nil {
			t.Fatal(err)
		}
		short, _, gaveUp := p.StepsUsed([]byte(strings.Repeat("a", 100) + "!"))
		long, _, gaveUpToo := p.StepsUsed([]byte(strings.Repeat("a", 400) + "!"))
		if gaveUp || gaveUpToo || long > 20*short {
			t.Errorf("%s: %d steps for 100 bytes, %d for 400", src, short, long)
		}
	}
}

// TestHugeRepetitions compile within limits or are refused with the reason.
func TestHugeRepetitions(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		`(?:(?:(?:a{1,1000}){1,1000}){1,1000}){1,1000}`, `(.{1,65534}){1,65534}x`, `((((((((a{9}){9}){9}){9}){9}){9}){9}){9}){9}`, `(?:a?){65534}b(?=c)`, `(?:(?:(?:a|b)?){100}){100}\1?()`, strings.Repeat(`(?:`, 200) + "a" + strings.Repeat(`){2}`, 200),
		strings.Repeat(`(?:ab|cd){0,60}`, 400), strings.Repeat(`[a-z]{1,100}`, 500), "(?:" + strings.TrimSuffix(strings.Repeat("abcdefghij|", 20000), "|") + ")", `(a)` + strings.Repeat(`(\1?)`, 500),
	} {
		p, err := pattern.Compile(src, "")
		if err != nil {
			if !strings.Contains(err.Error(), "too many instructions") {
				t.Errorf("%.40s: %v", src, err)
			}
			t.Logf("%.40s: refused", src)
			continue
		}
		matched, gaveUp := p.Match([]byte(strings.Repeat("a", 3000)))
		states, size := p.States()
		t.Logf("%.40s: matched %v, gave up %v, %d states, %d bytes", src, matched, gaveUp, states, size)
		if size > 64<<20 {
			t.Errorf("%.40s: %d bytes of states", src, size)
		}
	}
}

// TestStatesAreFlushed: a text that asks for ever new states gets them in a bounded cache, with the right answer.
func TestStatesAreFlushed(t *testing.T) {
	t.Parallel()
	const states = 50
	p, err := pattern.Options{States: states}.Compile(`[ab]*a[ab]{12}c`, "")
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 20000)
	seed := uint32(1)
	for i := range text {
		seed = seed*1664525 + 1013904223
		text[i] = 'a' + byte(seed>>31)
	}
	for _, tail := range []string{"", "abbbbbbbbbbbbc"} {
		matched, budget := p.Match(append(bytes.Clone(text), tail...))
		if budget || matched != (tail != "") {
			t.Errorf("tail %q: %v, %v", tail, matched, budget)
		}
	}
	if n, _ := p.States(); n > states+1 {
		t.Errorf("%d states held", n)
	}
}

// TestTogether: many goroutines share patterns and a set while states are made and dropped.
func TestTogether(t *testing.T) {
	t.Parallel()
	var patterns []*pattern.Pattern
	for _, tc := range table {
		p, err := pattern.Options{States: 20}.Compile(tc.src, tc.flags)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	set := pattern.NewSet(patterns)
	texts := append([][]byte(nil), probes...)
	for _, tc := range table {
		texts = append(texts, []byte(tc.text))
	}
	verdicts := func() []string {
		c := set.NewScratch()
		var out []string
		for _, text := range texts {
			var hits []int
			set.Matches(c, text, func(i int) { hits = append(hits, i) }, func(i int) { hits = append(hits, -1-i) })
			seen := map[int]bool{}
			for _, h := range hits {
				if seen[h] {
					t.Errorf("pattern %d reported twice", h)
				}
				seen[h] = true
			}
			line := ""
			for i := range patterns {
				m, _ := patterns[i].Match(text)
				if m != seen[i] {
					t.Errorf("/%s/ on %q: set %v, alone %v", table[i].src, text, seen[i], m)
				}
				line += fmt.Sprint(m)
			}
			out = append(out, line)
		}
		return out
	}
	want := verdicts()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for k, v := range verdicts() {
				if v != want[k] {
					t.Errorf("text %q: verdicts differ", texts[k])
				}
			}
		})
	}
	wg.Wait()
}

// TestSetBudgetIsForAMessage: many hostile lines together cost no more than the set's budget, and a Reset fills it again.
func TestSetBudgetIsForAMessage(t *testing.T) {
	t.Parallel()
	hostile, err := pattern.Compile(`^(?:(.*)a){20}(?!.)!\1`, "")
	if err != nil {
		t.Fatal(err)
	}
	harmless, err := pattern.Compile(`(a)\1z`, "")
	if err != nil {
		t.Fatal(err)
	}
	set := pattern.NewSet([]*pattern.Pattern{hostile, harmless})
	c := set.NewScratch()
	ask := func(line string) (hits, skips int) {
		set.Matches(c, []byte(line), func(int) { hits++ }, func(int) { skips++ })
		return hits, skips
	}
	for range 30 {
		ask(strings.Repeat("a", 60) + "!")
	}
	if hits, skips := ask("aaz"); hits != 0 || skips != 1 {
		t.Errorf("spent budget: %d hits, %d skipped", hits, skips)
	}
	c.Reset()
	if hits, skips := ask("aaz"); hits != 1 || skips != 0 {
		t.Errorf("after Reset: %d hits, %d skipped", hits, skips)
	}
}

func TestScratchSkips(t *testing.T) {
	t.Parallel()
	var ps []*pattern.Pattern
	for _, src := range []string{`viagra`, `\d+`, `casino|lottery`} {
		p, err := pattern.Compile(src, "i")
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	set := pattern.NewSet(ps)
	c := set.NewScratch()
	count := func() (n int) {
		set.Matches(c, []byte("Viagra 1 Casino"), func(i int) { n++; c.Skip(i) }, func(int) {})
		return n
	}
	if a, b := count(), count(); a != 3 || b != 0 {
		t.Errorf("%d hits, then %d", a, b)
	}
	if c.Reset(); count() != 3 {
		t.Error("Reset does not make patterns wanted again")
	}
	if words, ok := ps[2].Literals(); !ok || len(words) != 2 || string(words[0])+string(words[1]) != "casinolottery" {
		t.Errorf("literals %q", words)
	}
}
