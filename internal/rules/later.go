package rules

import "math"

// waiting is the value of a rule that nobody has asked for yet.
var waiting = math.NaN()

func waits(x float64) bool { return x != x }

// later is what a sub-rule has to look at when a meta asks for it.
type later struct {
	rule   int
	texts  [][]byte
	lo, hi int // where in the text the match lies; hi -1: anywhere in all texts
}

func (c *scan) wait(w later) {
	c.values[w.rule] = waiting
	c.waiting = append(c.waiting, w)
}

// demand decides a rule that a meta asks for, and returns its value.
func (c *scan) demand(i int) float64 {
	c.values[i] = 0
	r := c.s.rules[i]
	if r.Kind == Meta {
		c.meta(i)
		return c.values[i]
	}
	for _, w := range c.waiting {
		if w.rule != i {
			continue
		}
		for _, b := range w.texts {
			lo, hi := w.lo, w.hi
			if hi < 0 {
				lo, hi = 0, len(b)
			}
			matched, budget := r.compiled.MatchWithin(b, lo, hi, &c.budget)
			if budget {
				c.skipped[i] = true
				return 0
			}
			if matched {
				c.hit(i, r.compiled, b)
				return c.values[i]
			}
		}
	}
	return 0
}

// meta evaluates an expression.
func (c *scan) meta(i int) {
	if x := c.s.rules[i].expr.eval(c); x != 0 {
		c.values[i] = max(x, 0)
		if x <= 0 {
			c.values[i] = 1
		}
	}
}
