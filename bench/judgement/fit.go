package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"postern/internal/filter"
)

// How points are fitted. The sum of a message's points is driven away from the threshold of 3 by the logistic loss, ham below it and
// spam above; a wrong held message costs as much as hamWeight missed ones. Points stay between leastPoints and mostPoints: a mark of
// spam never speaks for a message, and none alone may hold it. They are drawn towards 0 (shrink), so that many rules share what one
// alone cannot prove. Rules that hit fewer than leastHits messages keep the points that a person gave them.
const (
	hamWeight   = 2.0
	hamAt       = 2.2 // where ham is driven below, and spam above: a margin around the threshold
	spamAt      = 3.8
	steepness   = 2.0
	shrink      = 1.5
	leastPoints = 0.2
	mostPoints  = 1.6
	leastHits   = 4
	fitParts    = 5 // fitted on all but one, judged on that one
	steps       = 1500
	rate        = 0.02
)

// bounds of rules whose points are not leastPoints to mostPoints: honest mail of today may hit them, and the corpus has none of its kind.
// The filter's own tests and those of Bayes are not fitted: a person sets their points, and the rules are fitted around them.
var bounds = map[string][2]float64{
	"FROM_ADDR_SELLS": {0.2, 1.2}, "FROM_ENDS_DIGITS": {0.2, 0.6}, "FROM_STARTS_DIGIT": {0.2, 0.6}, "PRIORITY_HIGH": {0.2, 1}, "SUBJ_FREE": {0.2, 0.6},
	"SUBJ_YOUR": {0.2, 1}, "SUBJ_CURIOUS": {0.1, 0.4}, "HTML_GENERATOR": {0.2, 1}, "HTML_TITLE_NONE": {0.2, 1.2}, "TO_MANY_5": {0.1, 0.3}, "TO_MANY_10": {0.2, 0.8}, "TO_SIMILAR": {0.2, 0.5},
	"MONEY_MORTGAGE": {0.1, 0.6}, "MONEY_INSURANCE": {0.1, 0.6}, "SUBJ_LOAN": {0.1, 0.6}, "LAYOUT_CT_NO_CHARSET": {0.2, 0.8},
}

// sample is a message as the fit sees it.
type sample struct {
	spam  bool
	fixed float64 // points that are not fitted
	on    []int   // features that hit
	item  int
}

// features are the tests whose points are fitted.
type features struct {
	names     []string
	index     map[string]int
	low, high []float64
	from      []float64 // points to begin with
}

func (f *features) add(name string, low, high, from float64) {
	if _, ok := f.index[name]; ok {
		return
	}
	f.index[name] = len(f.names)
	f.names, f.low, f.high, f.from = append(f.names, name), append(f.low, low), append(f.high, high), append(f.from, from)
}

// gather finds the features in what was judged. own are the rules whose score lines may be written.
func gather(runs [][]verdict, own map[string]bool) *features {
	f := &features{index: map[string]int{}}
	hits, points := map[string]int{}, map[string]float64{}
	for _, run := range runs {
		for _, v := range run {
			for name, p := range v.hits {
				hits[name]++
				points[name] = p
			}
		}
	}
	var names []string
	for name := range hits {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if hits[name] < leastHits*len(runs) {
			continue
		}
		if !own[name] {
			continue
		}
		b, ok := bounds[name]
		if !ok {
			b = [2]float64{leastPoints, mostPoints}
		}
		f.add(name, b[0], b[1], math.Min(points[name], 1))
	}
	return f
}

func (f *features) samples(items []*item, runs [][]verdict) []sample {
	var out []sample
	for _, run := range runs {
		for i, it := range items {
			s := sample{spam: it.spam(), item: i}
			for name, p := range run[i].hits {
				if k, ok := f.index[name]; ok {
					s.on = append(s.on, k)
				} else {
					s.fixed += p
				}
			}
			slices.Sort(s.on)
			out = append(out, s)
		}
	}
	return out
}

// solve finds the points that cost least on the samples, by descent with steps that adapt to each feature (Adam), cut to the bounds.
func (f *features) solve(samples []sample) []float64 {
	w := slices.Clone(f.from)
	m, v := make([]float64, len(w)), make([]float64, len(w))
	scale := 1 / float64(len(samples))
	for step := 1; step <= steps; step++ {
		g := make([]float64, len(w))
		for k := range w {
			g[k] = shrink * w[k] * scale
		}
		for i := range samples {
			s := &samples[i]
			sum := s.fixed
			for _, k := range s.on {
				sum += w[k]
			}
			var d float64
			if s.spam {
				d = -steepness / (1 + math.Exp(steepness*(sum-spamAt)))
			} else {
				d = hamWeight * steepness / (1 + math.Exp(-steepness*(sum-hamAt)))
			}
			for _, k := range s.on {
				g[k] += d * scale
			}
		}
		down := rate
		if step > steps/2 {
			down = rate * 2 * (1 - float64(step)/float64(steps+1))
		}
		for k := range w {
			m[k] = 0.9*m[k] + 0.1*g[k]
			v[k] = 0.999*v[k] + 0.001*g[k]*g[k]
			mm, vv := m[k]/(1-math.Pow(0.9, float64(step))), v[k]/(1-math.Pow(0.999, float64(step)))
			w[k] = math.Max(f.low[k], math.Min(f.high[k], w[k]-down*mm/(math.Sqrt(vv)+1e-9)))
		}
	}
	for k := range w {
		w[k] = math.Round(w[k]*10) / 10
	}
	return w
}

// apply makes the verdicts that other points would give.
func (f *features) apply(w []float64, samples []sample) []verdict {
	out := make([]verdict, len(samples))
	for n, s := range samples {
		sum := s.fixed
		for _, k := range s.on {
			sum += w[k]
		}
		out[n] = verdict{score: math.Min(filter.MaxScore, math.Max(0, math.Round(sum*1000)/1000))}
	}
	return out
}

// crossed fits on all parts but one and judges that one, for each part and each seed.
func (f *features) crossed(o options, items []*item, runs [][]verdict) [][]verdict {
	out := make([][]verdict, o.seeds)
	for n := range out {
		run := runs[min(n, len(runs)-1)]
		part := divide(items, fitParts, o.seed+uint64(n))
		all := f.samples(items, [][]verdict{run})
		out[n] = make([]verdict, len(items))
		for fold := range fitParts {
			var lessons []sample
			for i, s := range all {
				if part[i] != fold {
					lessons = append(lessons, s)
				}
			}
			judged := f.apply(f.solve(lessons), all)
			for i := range items {
				if part[i] == fold {
					out[n][i] = judged[i]
				}
			}
		}
	}
	return out
}

// fit prints what fitted points would do and what they are, and writes them if asked to.
func fit(o options, items []*item, plain []verdict, bayes [][]verdict) error {
	files, own, err := ownRules(o.dir)
	if err != nil {
		return err
	}
	columns := map[string][2]float64{}
	for n, runs := range [][][]verdict{{plain}, bayes} {
		title := []string{"without Bayes", "with Bayes"}[n]
		f := gather(runs, own)
		printTable("fitted on the other parts, "+title, items, f.crossed(o, items, runs))
		w := f.solve(f.samples(items, runs))
		out := make([][]verdict, len(runs))
		for k, run := range runs {
			out[k] = f.apply(w, f.samples(items, [][]verdict{run}))
		}
		printTable("fitted on all, "+title, items, out)
		for k, name := range f.names {
			c, ok := columns[name]
			if !ok {
				c = [2]float64{w[k], w[k]}
			}
			c[n] = w[k]
			columns[name] = c
		}
	}
	for _, name := range sorted(columns) {
		fmt.Printf("score %-34s %.1f, with Bayes %.1f\n", name, columns[name][0], columns[name][1])
	}
	if !o.write {
		return nil
	}
	return write(files, columns)
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var scoreLine = regexp.MustCompile(`(?m)^score[ \t]+(\w+)[ \t]+.*$`)

// ownRules are the files that hold the marks of spam, and the rules with points in them.
func ownRules(dir string) (files []string, own map[string]bool, err error) {
	if files, err = filepath.Glob(filepath.Join(dir, "2*.cf")); err != nil {
		return nil, nil, err
	}
	own = map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range scoreLine.FindAllStringSubmatch(string(text), -1) {
			own[m[1]] = true
		}
	}
	return files, own, nil
}

// write puts the points into the score lines: one figure, or four when Bayes makes a difference.
func write(files []string, columns map[string][2]float64) error {
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		changed := scoreLine.ReplaceAllStringFunc(string(text), func(line string) string {
			rule := strings.Fields(line)[1]
			c, ok := columns[rule]
			if !ok {
				return line
			}
			points := fmt.Sprintf("%.1f", c[0])
			if c[0] != c[1] {
				points = fmt.Sprintf("%.1f %.1f %.1f %.1f", c[0], c[0], c[1], c[1])
			}
			return fmt.Sprintf("score %s %s", rule, points)
		})
		if err := os.WriteFile(name, []byte(changed), 0o644); err != nil {
			return err
		}
	}
	return nil
}
