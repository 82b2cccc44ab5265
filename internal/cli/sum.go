package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"postern/internal/api"
)

// printSum shows how the points add up, and the fewest tests whose mending lets a held message pass.
func (c *command) printSum(v api.Verdict) error {
	_, _ = fmt.Fprintln(c.Stdout, "\n"+c.paint(bold, "How the score comes about"))
	line := func(sign, number, text string) {
		_, _ = fmt.Fprintf(c.Stdout, "  %s %7s  %s\n", sign, number, text)
	}
	slight, n := 0.0, 0
	for _, h := range v.Hits {
		if math.Abs(h.Points) < 0.05 {
			slight, n = slight+h.Points, n+1
			continue
		}
		sign := "+"
		if h.Points < 0 {
			sign = "−"
		}
		line(sign, fmt.Sprintf("%.3f", math.Abs(h.Points)), clean(h.Test))
	}
	if n > 0 {
		sign := "+"
		if slight < 0 {
			sign = "−"
		}
		line(sign, fmt.Sprintf("%.3f", math.Abs(slight)), count(n, "test")+" that weigh next to nothing")
	}
	shown := ""
	switch {
	case v.Raw < 0:
		shown = ", shown as 0"
	case v.Raw > v.Score+0.0005:
		shown = fmt.Sprintf(", shown as %s", points(v.Score))
	}
	decision := c.paint(green, "passes: not above "+points(v.Threshold))
	if v.Held {
		decision = c.paint(red, "is held: above "+points(v.Threshold))
	}
	line("=", fmt.Sprintf("%.3f", v.Raw), decision+shown)
	if !v.Held {
		return nil
	}
	mend, left := fewest(v)
	if len(mend) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(c.Stdout, "\n"+c.paint(bold, "What would let it pass"))
	_, err := fmt.Fprint(c.Stdout, wrap(fmt.Sprintf("Without %s the score is %s.", list(mend), points(math.Max(0, left))), "  ", c.columns))
	return err
}

// fewest are the heaviest tests without which the message passes, and the score that is left.
func fewest(v api.Verdict) (tests []string, left float64) {
	hits := slices.Clone(v.Hits)
	slices.SortStableFunc(hits, func(a, b api.Hit) int {
		switch {
		case a.Points > b.Points:
			return -1
		case a.Points < b.Points:
			return 1
		}
		return 0
	})
	left = v.Raw
	for _, h := range hits {
		if left <= v.Threshold || h.Points <= 0 {
			break
		}
		tests, left = append(tests, clean(h.Test)), left-h.Points
	}
	return tests, left
}

// list writes names as a sentence does: "A, B and C".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
