package learn

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"postern/internal/mail"
)

// The constants of the calculation are SpamAssassin's (4.0, Bayes.pm and Bayes/CombineChi.pm) but for robinsonS: at its 0.030 a token that was
// seen once counts almost like one seen a hundred times, and messages full of rare words end in a tie. Measured in docs/operator/judgement.md.
const (
	robinsonS   = 0.3   // weight of what is assumed of an unknown token
	robinsonX   = 0.538 // what is assumed of it
	minStrength = 0.346 // distance from 0.5 below which a token says nothing
	maxClues    = 150   // strongest tokens that count
)

// Clue is a token that speaks for or against a message.
type Clue struct {
	Text        string
	Probability float64 // that a message which holds it is spam, 0..1
	scope       int     // which scopes know it: bit 0 base, bit 1 own
	id          int64
}

// Result is what Classify found.
type Result struct {
	// Measured is false when there is no answer: too little was learned, or nothing in the message is known. Probability means
	// nothing then.
	Measured    bool
	Probability float64 // that the message is spam, 0..1
	Clues       []Clue  // the tokens that decided, strongest first; at most 150
	Known       int     // tokens of the message that were seen before
	Spam, Ham   int64   // learned messages that the answer rests on, base and own scope together
}

// Classify returns the probability that m is spam, after the base and the scope's own experience. scope is a customer's id, or Base.
// The error is the database's.
func (l *Ledger) Classify(ctx context.Context, scope string, m *mail.Message) (Result, error) {
	sum, own, err := l.totals(ctx, scope)
	if err != nil {
		return Result{}, fmt.Errorf("classify: %w", err)
	}
	r := Result{Spam: sum.spam, Ham: sum.ham}
	if sum.spam < MinCorpus || sum.ham < MinCorpus {
		return r, nil
	}
	tokens := Tokens(m)
	scopes := []string{Base}
	if scope != Base && own.spam+own.ham > 0 {
		scopes = append(scopes, scope)
	}
	found, err := l.counts(ctx, scopes, tokens)
	if err != nil {
		return Result{}, fmt.Errorf("classify: %w", err)
	}
	for i, c := range found {
		p, ok := tokenProbability(c.counts, sum)
		if !ok {
			continue
		}
		r.Known++
		if math.Abs(p-0.5) >= minStrength {
			r.Clues = append(r.Clues, Clue{Text: tokens[i].Text, Probability: p, scope: c.scopes, id: tokens[i].ID})
		}
	}
	r.Clues = strongest(r.Clues)
	if len(r.Clues) == 0 {
		return r, nil
	}
	r.Measured, r.Probability = true, combine(r.Clues, sum)
	l.use(scope, r.Clues)
	return r, nil
}

// tokenProbability is Robinson's f(w): the share of spam among the messages that hold a token, as if both classes were equally
// large, drawn towards an assumption as long as they are few. false when no message holds it.
func tokenProbability(c counts, sum corpus) (float64, bool) {
	s, h := float64(c.spam), float64(c.ham)
	if s+h == 0 || sum.spam == 0 || sum.ham == 0 {
		return 0, false
	}
	s, h = math.Min(s, float64(sum.spam)), math.Min(h, float64(sum.ham))
	p := s * float64(sum.ham) / (h*float64(sum.spam) + s*float64(sum.ham))
	n := s + h
	return (robinsonS*robinsonX + n*p) / (robinsonS + n), true
}

// strongest orders clues by their distance from 0.5, then by name so that the order of a message's words does not matter, and cuts.
func strongest(clues []Clue) []Clue {
	slices.SortFunc(clues, func(a, b Clue) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Probability-0.5), math.Abs(a.Probability-0.5)), cmp.Compare(a.id, b.id))
	})
	return clues[:min(len(clues), maxClues)]
}

// combine is Fisher's method for both hypotheses, begun with the shares of the classes, and their difference on a scale of 0 to 1.
func combine(clues []Clue, sum corpus) float64 {
	all := float64(sum.spam + sum.ham)
	spam, ham := math.Log(float64(sum.spam)/all), math.Log(float64(sum.ham)/all)
	for _, c := range clues {
		spam += math.Log(1 - c.Probability)
		ham += math.Log(c.Probability)
	}
	s, h := 1-chiSquared(-2*spam, len(clues)), 1-chiSquared(-2*ham, len(clues))
	return math.Min(1, math.Max(0, ((s-h)+1)/2))
}

// chiSquared is the probability that chi squared with 2n degrees of freedom is at least x.
func chiSquared(x float64, n int) float64 {
	m := x / 2
	// In logarithms: exp(-m) alone would be zero for long messages.
	sum, log := 0.0, -m
	for i := range n {
		if i > 0 {
			log += math.Log(m / float64(i))
		}
		sum += math.Exp(log)
	}
	return math.Min(1, sum)
}

// classes are the cut points: a test fires when the probability is above from and at most to.
var classes = []struct {
	test     string
	from, to float64
}{
	{"BAYES_00", -1, 0.01}, {"BAYES_05", 0.01, 0.05}, {"BAYES_20", 0.05, 0.20}, {"BAYES_40", 0.20, 0.40}, {"BAYES_50", 0.40, 0.60},
	{"BAYES_60", 0.60, 0.80}, {"BAYES_80", 0.80, 0.95}, {"BAYES_95", 0.95, 0.99}, {"BAYES_99", 0.99, 1}, {"BAYES_999", 0.999, 1},
}

// Classes returns the names of the tests that fire for a probability: one, or BAYES_99 and BAYES_999 together; none outside 0..1.
func Classes(probability float64) []string {
	var out []string
	for _, c := range classes {
		if probability >= 0 && probability > c.from && probability <= c.to {
			out = append(out, c.test)
		}
	}
	return out
}

// AllClasses returns the names of all tests that Classes may return, from the least probability to the highest.
func AllClasses() []string {
	var out []string
	for _, c := range classes {
		out = append(out, c.test)
	}
	return out
}
