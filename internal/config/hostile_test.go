package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHostileFilesAreReadInTime: a configuration is trusted, but a slip or a wrong file name must not hang the start.
func TestHostileFilesAreReadInTime(t *testing.T) {
	t.Parallel()
	const size = 64 << 10
	numbered := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	deep := func(step string) string {
		var b strings.Builder
		for i := range 500 {
			b.WriteString(strings.Repeat(" ", i) + step + "\n")
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"unknown keys":   numbered("key%d: x\n"),
		"scores":         "filter:\n  scores:\n" + numbered("    TEST_%d: 1\n"),
		"same key":       strings.Repeat("log: {level: info}\n", size/20),
		"list":           "delivery: {retry: [" + strings.Repeat("5m, ", size/4) + "5m]}",
		"open brackets":  strings.Repeat("[", 999),
		"many brackets":  strings.Repeat("a: [", 999) + strings.Repeat("]", 999),
		"deep":           deep("a:"),
		"deep list":      strings.Repeat("- ", 5000) + "x",
		"long value":     "hostname: " + strings.Repeat("a", size),
		"long key":       strings.Repeat("a", size) + ": x",
		"quotes":         strings.Repeat(`"`, size),
		"anchors":        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
		"block":          "hostname: |\n" + strings.Repeat("  line\n", size/7),
		"comments":       strings.Repeat("# x\n", size/4),
		"documents":      strings.Repeat("---\n", size/4),
		"lines":          strings.Repeat("\n", 60_000),
		"large":          strings.Repeat("# comment comment comment comment\n", 70_000),
		"question marks": strings.Repeat("? ", size/8),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := parse(t, text)
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			} else if took > time.Second {
				t.Logf("took %v", took)
			}
			if (name == "lines" || name == "large") && err == nil {
				t.Error("accepted")
			}
			if err != nil && strings.Count(err.Error(), "\n") > 250 {
				t.Errorf("%d lines of error", strings.Count(err.Error(), "\n"))
			}
		})
	}
}
