package rules

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"postern/internal/rules/pattern"
)

// RunOptions says how to run.
type RunOptions struct {
	// ScoreSet is the column of points that counts, 0..3, see Rule.Scores. A rule with 0 points in it does not run. FinishSet may choose another.
	ScoreSet int
	// Scores are points that take the place of those in the rule files, by rule, in every score set; 0 switches a rule off. A rule that
	// looks at the message and has 0 points in every set in the files cannot be switched on here, as it is not prepared for running. Names of
	// rules that are not there are left aside.
	Scores map[string]float64
	// Context ends the run early: what has not run then is skipped. nil: run to the end.
	Context context.Context
	// Profile, of the same RuleSet, takes what each rule costs. nil: nothing is measured.
	Profile *Profile
	// Reasons has Hit.Reasons filled in.
	Reasons bool
	// HitsOnly leaves out work that decides no rule with points: a sub-rule is looked at when a meta asks for it. Hits are the same, Hit.Reasons
	// may be fewer, and Result.Subs
	// is not complete.
	HitsOnly bool
}

// Hit is one rule that hit.
type Hit struct {
	Rule     string
	Score    float64 // points; 0 for sub-rules
	Value    float64 // how often it hit, or the value of a meta
	Evidence string  // what it matched, valid UTF-8 on one line, at most 200 bytes; "" if there is nothing to show
	// Reasons are, for a meta, what the rules matched that it rests on: like Evidence, at most five. Only with RunOptions.Reasons.
	Reasons []string
}

// What the patterns of all rules together may spend on one message, beside what each may spend alone. The dearest of 3,000 ordinary messages
// spends less than a tenth of it.
const (
	MostSteps = 20_000_000 // of backtracking
	MostWork  = 60_000_000 // instructions followed to make states of automata
)

// Spent is what the patterns of a run cost.
type Spent struct {
	Steps int // of backtracking, at most MostSteps
	Work  int // instructions followed to make states of automata, at most about MostWork
}

// Result is what a run found.
type Result struct {
	Score   float64  // sum of the points
	Hits    []Hit    // rules with points of their own, by name
	Subs    []Hit    // sub-rules (__), by name
	Skipped []string // rules that gave up within their budget or had no time left, by name: neither hit nor clean
	Cut     bool     // the message holds more fields, parts or HTML tags than are looked at
	Spent   Spent
}

// scan is one run.
type scan struct {
	s        *RuleSet
	v        *View
	set      int
	scores   map[int]float64 // points of this run by rule, in place of the rule's own; nil: none
	ctx      context.Context
	values   []float64      // by rule, and behind them by test that the host gives
	where    map[int][]byte // text that a rule matched in
	notes    map[int]string // evidence of evals
	captured map[string][]string
	skipped  map[int]bool
	profile  *Profile
	reasons  bool
	lazy     bool
	waiting  []later // what sub-rules have to look at when they are asked for
	meter    *meter  // nil: nothing is measured
	budget   pattern.Budget
	stripped [][]byte // body lines as an eval left them; nil: as they are in the View
	current  int      // rule at work, for note
}

// Run is a message half way: all patterns and functions have run, metas have not. Make one with Begin; it serves one goroutine and one Finish.
type Run struct{ scan }

// Run runs all active rules on a message.
func (s *RuleSet) Run(v *View, o RunOptions) Result { return s.Begin(v, o).Finish(nil) }

// Begin runs the rules that look at the message: all but metas. It runs those with points in any score set, so that the set may be chosen
// when it ends. The caller may ask the network meanwhile and hand in what it says to Finish. The View must not be used otherwise before that.
func (s *RuleSet) Begin(v *View, o RunOptions) *Run {
	r := &Run{scan{s: s, v: v, set: o.ScoreSet & 3, ctx: o.Context, reasons: o.Reasons, lazy: o.HitsOnly && o.Profile == nil, values: make([]float64, len(s.rules)+len(s.given)), where: map[int][]byte{},
		notes: map[int]string{}, captured: map[string][]string{}, skipped: map[int]bool{},
		budget: pattern.Budget{Steps: MostSteps, Work: MostWork}}}
	c := &r.scan
	if o.Profile != nil && o.Profile.set == s {
		c.profile, c.meter = o.Profile, &meter{rules: make([]time.Duration, len(s.rules))}
	}
	for name, points := range o.Scores {
		if i, ok := s.index[name]; ok {
			if c.scores == nil {
				c.scores = map[int]float64{}
			}
			c.scores[i] = points
		}
	}
	v.specs = map[string]spec{}
	v.haveURIs, v.details, v.uris, v.memo = false, nil, nil, map[string]any{}
	c.patterns()
	for _, i := range s.plan.templates {
		c.guard(i, c.template)
	}
	for _, i := range s.plan.mime {
		c.guard(i, c.mime)
	}
	for _, i := range s.plan.details {
		c.guard(i, c.detail)
	}
	for _, i := range s.plan.evals {
		c.guard(i, c.eval)
	}
	return r
}

// Finish evaluates the metas and returns what the run found, with the points of RunOptions.ScoreSet. given holds the results of the tests
// named in Options.Given: 1 for a hit, or how often; what it does not name counts as 0, and names that were not announced are left aside.
func (r *Run) Finish(given map[string]float64) Result { return r.FinishSet(r.set, given) }

// FinishSet is Finish with another score set: with what was not known at the beginning, whether the network answered and Bayes had learned.
func (r *Run) FinishSet(set int, given map[string]float64) Result {
	c := &r.scan
	c.set = set & 3
	for _, i := range c.s.plan.partial {
		if !c.counts(i) {
			c.values[i] = 0
		}
	}
	for name, x := range given {
		if i, ok := c.s.given[name]; ok {
			c.values[i] = x
		}
	}
	if c.lazy {
		for _, i := range c.s.plan.metas {
			if c.s.rules[i].Sub() && c.counts(i) {
				c.values[i] = waiting
			}
		}
	}
	for _, i := range c.s.plan.metas {
		if c.counts(i) && !(c.lazy && c.s.rules[i].Sub()) {
			c.meter.start()
			c.meta(i)
			c.meter.stop(i)
		}
	}
	if c.profile != nil {
		c.profile.take(c.meter)
	}
	return c.result()
}

// active reports whether a rule runs: it has points in some score set and is not switched off for this run.
func (c *scan) active(i int) bool {
	if c.scores != nil {
		if points, ok := c.scores[i]; ok {
			return points != 0
		}
	}
	return true
}

// counts reports whether a rule is active in the score set.
func (c *scan) counts(i int) bool { return c.points(i) != 0 }

// points are what a rule gives in the score set of this run.
func (c *scan) points(i int) float64 {
	if c.scores != nil {
		if points, ok := c.scores[i]; ok {
			return points
		}
	}
	return c.s.rules[i].Scores[c.set]
}

func (c *scan) late() bool { return c.ctx != nil && c.ctx.Err() != nil }

func (c *scan) guard(i int, f func(int)) {
	switch {
	case !c.active(i):
	case c.late():
		c.skipped[i] = true
	default:
		c.current = i
		c.meter.start()
		f(i)
		c.meter.stop(i)
	}
}

// patterns runs header, body, rawbody, uri and full rules.
func (c *scan) patterns() {
	p := &c.s.plan
	for _, name := range p.specs {
		h := c.header(name)
		c.run(p.headers[name], [][]byte{h.text})
	}
	for _, i := range p.exists {
		if r := c.s.rules[i]; c.active(i) && c.header(r.Target).set != r.negated {
			c.values[i] = 1
		}
	}
	for _, i := range p.alone {
		c.guard(i, func(i int) {
			r := c.s.rules[i]
			c.single(i, r.compiled, [][]byte{c.headerOr(r)})
		})
	}
	for _, i := range p.headerEvals {
		c.guard(i, c.eval)
	}
	c.run(p.body, c.body())
	c.run(p.raw, c.v.rawChunks())
	c.run(p.uri, c.uriList())
	c.run(p.full, [][]byte{c.v.full})
}

// body returns the lines that body rules run on.
func (c *scan) body() [][]byte {
	if c.stripped != nil {
		return c.stripped
	}
	return c.v.bodyLines()
}

func (c *scan) headerOr(r *Rule) []byte {
	h := c.header(r.Target)
	if !h.set && r.unset != nil {
		return []byte(*r.unset)
	}
	return h.text
}

// run runs a group on texts.
func (c *scan) run(g *group, texts [][]byte) {
	if g == nil || len(g.rules) == 0 {
		return
	}
	scratch := g.free.Get().(*pattern.Scratch)
	defer g.free.Put(scratch)
	scratch.Reset()
	scratch.Share(&c.budget)
	scratch.Cost = nil
	if c.meter != nil {
		scratch.Cost = func(k int, t time.Duration) { c.meter.rules[g.rules[k]] += t }
	}
	var matched []bool // by rule of the group, where a rule hits by not matching
	if g.negated {
		matched = make([]bool, len(g.rules))
	}
	at := 0 // the text at work
	scratch.Later = nil
	if c.lazy {
		scratch.Later = func(k, lo, hi int) bool {
			if g.waits[k] {
				c.wait(later{g.rules[k], texts[at : at+1], lo, hi})
			}
			return g.waits[k]
		}
		for k, i := range g.rules {
			if g.whole(k) {
				scratch.Skip(k)
				c.wait(later{i, texts, 0, -1})
			}
		}
	}
	if c.scores != nil || g.noSubject {
		for k, i := range g.rules {
			if r := c.s.rules[i]; !c.active(i) || r.noSubj && r.Kind == Body {
				scratch.Skip(k)
			}
		}
	}
	for n, b := range texts {
		at = n
		if c.late() {
			for k, i := range g.rules {
				if c.active(i) && c.values[i] == 0 && (matched == nil || !matched[k]) {
					c.skipped[i] = true
				}
			}
			return
		}
		g.set.Matches(scratch, b, func(k int) {
			i := g.rules[k]
			if matched != nil {
				matched[k] = true
			}
			if !c.hit(i, c.s.rules[i].compiled, b) {
				scratch.Skip(k)
			}
		}, func(k int) {
			c.skipped[g.rules[k]] = true
			scratch.Skip(k)
		})
		if n == 0 && g.noSubject {
			c.subjectDone(g, scratch)
		}
	}
	for k, i := range g.rules {
		if r := c.s.rules[i]; matched != nil && r.negated && c.active(i) && !c.skipped[i] {
			c.values[i] = truth(!matched[k])
		}
	}
}

// subjectDone wakes the rules that do not look at the subject, which is the first line of the body.
func (c *scan) subjectDone(g *group, scratch *pattern.Scratch) {
	scratch.Reset()
	for k, i := range g.rules {
		r := c.s.rules[i]
		if !c.active(i) || c.skipped[i] || c.lazy && g.whole(k) || c.values[i] > 0 && (!r.multiple || r.maxHits > 0 && int(c.values[i]) >= r.maxHits) {
			scratch.Skip(k)
		}
	}
}

// hit takes a match of a rule in a text; it answers whether further texts are of interest.
func (c *scan) hit(i int, m *matcher, b []byte) (more bool) {
	r := c.s.rules[i]
	if r.captures {
		c.capture(m, b)
	}
	if r.negated {
		return false
	}
	if c.values[i] == 0 {
		c.where[i] = b
	}
	if !r.multiple {
		c.values[i] = 1
		return false
	}
	limit := 0
	if r.maxHits > 0 {
		limit = r.maxHits - int(c.values[i])
	}
	n, budget := m.count(b, limit, &c.budget)
	if budget && n == 0 {
		c.skipped[i] = true
	}
	c.values[i] += float64(n)
	return r.maxHits == 0 || int(c.values[i]) < r.maxHits
}

// single runs one rule with a pattern of its own.
func (c *scan) single(i int, m *matcher, texts [][]byte) {
	r := c.s.rules[i]
	matched := false
	for _, b := range texts {
		ok, budget := m.MatchIn(b, &c.budget)
		if budget {
			c.skipped[i] = true
			return
		}
		if ok {
			matched = true
			if !c.hit(i, m, b) {
				break
			}
		}
	}
	if r.negated {
		c.values[i] = truth(!matched)
	}
}

const (
	maxCaptures     = 20
	maxCaptureBytes = 200
)

// capture keeps what the named groups of a rule's first match hold.
func (c *scan) capture(m *matcher, b []byte) {
	loc, ok, _ := m.Find(b, 0)
	if !ok {
		return
	}
	for g, name := range m.Names() {
		if name == "" || 2*g+1 >= len(loc) || loc[2*g] < 0 || loc[2*g] == loc[2*g+1] {
			continue
		}
		if s := string(b[loc[2*g]:loc[2*g+1]]); len(s) <= maxCaptureBytes && len(c.captured[name]) < maxCaptures && !hasWord(c.captured[name], s) {
			c.captured[name] = append(c.captured[name], s)
		}
	}
}

func (c *scan) eval(i int) {
	r := c.s.rules[i]
	if f, ok := evals[r.call]; ok && f.run(c, r) {
		c.values[i] = 1
	}
}

// note is evidence of the eval at work.
func (c *scan) note(s string) { c.notes[c.current] = s }

const evidenceBytes = 200

// evidence makes a text fit for a person: one line, valid, short.
func evidence(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(s) > evidenceBytes {
		cut := evidenceBytes - len("…")
		for cut > 0 && s[cut]&0xC0 == 0x80 {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// evidenceOf is what a rule matched, "" if there is nothing to show.
func (c *scan) evidenceOf(i int) string {
	if note, ok := c.notes[i]; ok {
		return evidence(note)
	}
	b, ok := c.where[i]
	if !ok || c.s.rules[i].compiled == nil {
		return ""
	}
	if e := evidence(c.s.rules[i].compiled.excerpt(b)); e != "" {
		return e
	}
	return evidence(string(bytes.TrimSpace(b)))
}

const (
	maxReasons  = 5 // of a meta
	deepReasons = 6 // metas of metas
)

// reasonsOf adds what the rules matched that a meta rests on.
func (c *scan) reasonsOf(list []string, i, depth int) []string {
	c.s.rules[i].expr.each(func(x *expr) {
		if x.rule < 0 || x.rule >= len(c.s.rules) || !(c.values[x.rule] > 0) || len(list) == maxReasons {
			return
		}
		if c.s.rules[x.rule].Kind == Meta {
			if depth < deepReasons {
				list = c.reasonsOf(list, x.rule, depth+1)
			}
			return
		}
		if e := c.evidenceOf(x.rule); e != "" && !slices.Contains(list, e) {
			list = append(list, e)
		}
	})
	return list
}

func (c *scan) result() Result {
	var out Result
	for i, r := range c.s.rules {
		if !(c.values[i] > 0) || r.given { // what nobody asked for is not above 0 either
			continue
		}
		h := Hit{Rule: r.Name, Value: c.values[i]}
		if r.Sub() {
			out.Subs = append(out.Subs, h)
			continue
		}
		h.Score = c.points(i)
		out.Score += h.Score
		h.Evidence = c.evidenceOf(i)
		if c.reasons && r.Kind == Meta {
			h.Reasons = c.reasonsOf(nil, i, 0)
		}
		out.Hits = append(out.Hits, h)
	}
	for i := range c.skipped {
		if c.values[i] == 0 && c.counts(i) {
			out.Skipped = append(out.Skipped, c.s.rules[i].Name)
		}
	}
	sort.Strings(out.Skipped)
	out.Cut = c.v.flags.cut
	out.Spent = Spent{MostSteps - c.budget.Steps, MostWork - c.budget.Work}
	return out
}
