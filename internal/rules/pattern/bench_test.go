package pattern_test

import (
	"bytes"
	"fmt"
	"testing"

	"postern/internal/rules/pattern"
)

// benchSet compiles the body patterns of an installed SpamAssassin.
func benchSet(b *testing.B) []*pattern.Pattern {
	b.Helper()
	var ps []*pattern.Pattern
	for _, r := range stockRules(b) {
		if p, err := pattern.Compile(r.src, r.flags); err == nil && len(ps) < 600 {
			ps = append(ps, p)
		}
	}
	return ps
}

// mailText is size bytes of real mail in lines of at most 500 bytes.
func mailText(b *testing.B, size int) (lines [][]byte) {
	b.Helper()
	left := size
	for _, t := range corpusTexts(b) {
		for len(t) > 0 && left > 0 {
			n := min(len(t), 500, left)
			lines = append(lines, bytes.Clone(t[:n]))
			t, left = t[n:], left-n
		}
	}
	return lines
}

func BenchmarkSet(b *testing.B) {
	ps := benchSet(b)
	set := pattern.NewSet(ps)
	for _, size := range []int{2000, 3500, 10000} {
		lines := mailText(b, size)
		b.Run(fmt.Sprintf("together/%d", size), func(b *testing.B) {
			c := set.NewScratch()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			hits := 0
			for b.Loop() {
				c.Reset()
				for _, l := range lines {
					set.Matches(c, l, func(i int) { hits++; c.Skip(i) }, func(int) {})
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/message")
			b.ReportMetric(float64(set.Stats().Bytes)/1e6, "MB")
			b.ReportMetric(float64(hits)/float64(b.N), "hits/message")
		})
		b.Run(fmt.Sprintf("alone/%d", size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				for _, l := range lines {
					for _, p := range ps {
						p.Match(l)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/message")
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	rules := stockRules(b)
	for b.Loop() {
		for _, r := range rules {
			pattern.Compile(r.src, r.flags)
		}
	}
}
