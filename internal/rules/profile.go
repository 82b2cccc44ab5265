package rules

import (
	"sort"
	"sync"
	"time"
)

// Profile gathers what rules cost, over all runs that name it in RunOptions. It is safe for concurrent use. Measuring itself takes time: a
// run with a Profile costs about twice as much.
type Profile struct {
	set *RuleSet

	mu       sync.Mutex
	messages int
	rules    []time.Duration
}

// RuleCost is what one rule cost.
type RuleCost struct {
	Rule string
	Time time.Duration // of all runs; patterns that are matched together share the time of their pass
}

// NewProfile returns an empty Profile for this set.
func (s *RuleSet) NewProfile() *Profile {
	return &Profile{set: s, rules: make([]time.Duration, len(s.rules))}
}

// Messages returns how many runs there were.
func (p *Profile) Messages() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages
}

// Slowest returns the n rules that cost most, the dearest first; rules that cost nothing are left out.
func (p *Profile) Slowest(n int) []RuleCost {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []RuleCost
	for i, t := range p.rules {
		if t > 0 {
			out = append(out, RuleCost{Rule: p.set.rules[i].Name, Time: t})
		}
	}
	sort.SliceStable(out, func(a, b int) bool { return out[a].Time > out[b].Time })
	return out[:min(len(out), n)]
}

// meter takes the times of one run.
type meter struct {
	rules []time.Duration
	begin time.Time
}

func (m *meter) start() {
	if m != nil {
		m.begin = time.Now()
	}
}

func (m *meter) stop(rule int) {
	if m != nil {
		m.rules[rule] += time.Since(m.begin)
	}
}

// take adds the times of a run.
func (p *Profile) take(m *meter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages++
	for i, t := range m.rules {
		p.rules[i] += t
	}
}
