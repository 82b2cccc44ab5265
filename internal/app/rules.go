package app

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strings"

	"postern/internal/config"
	"postern/internal/filter"
	"postern/internal/mail"
	"postern/internal/rules"
)

// openRules reads the built-in rules and those of the configured folders anew, and says in the log what was not understood.
func (a *App) openRules(c *config.Config) error {
	book, err := filter.LoadRules(c.Filter.Rules)
	if err != nil {
		return fmt.Errorf("filter.rules: %w", err)
	}
	a.rules = book
	if len(c.Filter.Rules) == 0 {
		return nil
	}
	r, said := book.Report(), 0
	a.log.Info("rules read", "files", r.Files, "rules", r.Rules, "runnable", r.Runnable, "network", len(r.Network), "problems", len(r.Problems)+r.Dropped)
	for _, p := range r.Problems {
		if p.Harmless {
			continue
		}
		if said++; said > mostProblems {
			a.log.Warn("more problems with rules are not shown here; see `postern rules check`")
			break
		}
		a.log.Warn("rule not used", "file", p.Where.File, "line", p.Where.Line, "rule", p.Rule, "reason", p.Reason)
	}
	return nil
}

// mostProblems is how many faulty rules the log names at a start: a folder of thousands would drown it.
const mostProblems = 20

// ruleSet loads the .cf files of folders, or our own rules when there is none.
func ruleSet(dirs []string, o rules.Options) (*rules.RuleSet, *rules.LoadReport, error) {
	if len(dirs) > 0 {
		return rules.Load(dirs, o)
	}
	book, err := filter.LoadRules(nil)
	if err != nil {
		return nil, nil, err
	}
	return book.Set(), book.Report(), nil
}

// CheckRules reads the .cf files of folders, or our own rules when there is none, and says what became of them, and which rules cannot run
// with the reason.
func CheckRules(dirs []string) (*rules.LoadReport, map[string]string, error) {
	set, report, err := ruleSet(dirs, rules.Options{})
	if err != nil {
		return nil, nil, err
	}
	return report, set.Unsupported(), nil
}

// RuleTimer measures what rules cost. Make one with NewRuleTimer.
type RuleTimer struct {
	set     *rules.RuleSet
	profile *rules.Profile
	warm    []*mail.Message
}

// NewRuleTimer loads the .cf files of folders, or our own rules when there is none.
func NewRuleTimer(dirs []string) (*RuleTimer, error) {
	set, _, err := ruleSet(dirs, rules.Options{Local: true})
	if err != nil {
		return nil, err
	}
	return &RuleTimer{set: set, profile: set.NewProfile()}, nil
}

// mostWarm is how many messages are run before anything is measured: patterns learn their way at the first texts.
const mostWarm = 50

// Add runs the rules on one message and measures them. The first messages are run twice and only counted the second time.
func (t *RuleTimer) Add(raw []byte) {
	m := mail.Parse(raw, mail.DefaultLimits())
	if len(t.warm) < mostWarm {
		t.set.Run(rules.NewView(m, rules.ViewOptions{}), rules.RunOptions{})
		t.warm = append(t.warm, m)
		return
	}
	t.measure(m)
}

func (t *RuleTimer) measure(m *mail.Message) {
	t.set.Run(rules.NewView(m, rules.ViewOptions{}), rules.RunOptions{Profile: t.profile})
}

// Slowest returns the n dearest rules, the number of messages measured, and how a rule is written.
func (t *RuleTimer) Slowest(n int) (dearest []rules.RuleCost, messages int, definition func(rule string) string) {
	for _, m := range t.warm {
		t.measure(m)
	}
	t.warm = nil
	return t.profile.Slowest(n), t.profile.Messages(), func(rule string) string { return t.set.Rule(rule).Definition() }
}

// RuleScanner tests messages with rules in SpamAssassin's language alone, without the gateway's own tests: for `postern scan --rules`.
// It asks no network.
type RuleScanner struct {
	set       *rules.RuleSet
	report    *rules.LoadReport
	threshold float64
}

// NewRuleScanner loads the .cf files of the folders. A message scores above threshold to be held.
func NewRuleScanner(dirs []string, threshold float64) (*RuleScanner, error) {
	set, report, err := rules.Load(dirs, rules.Options{Local: true})
	if err != nil {
		return nil, err
	}
	return &RuleScanner{set: set, report: report, threshold: threshold}, nil
}

// Report says in one English line what became of the rules; "" when all of them are understood.
func (s *RuleScanner) Report() string {
	for _, p := range s.report.Problems {
		if !p.Harmless {
			return fmt.Sprintf("%d of %d rules can run here, %d need the network; not everything was understood, first %s line %d: %s %s",
				s.report.Runnable, s.report.Rules, len(s.report.Network), p.Where.File, p.Where.Line, strings.TrimSpace(p.Directive+" "+p.Rule), p.Reason)
		}
	}
	return ""
}

// RuleInput is one message for the rules.
type RuleInput struct {
	ScanInput
	HasEnvelope bool // the envelope was given and is not to be taken from the header
	Subs        bool // sub-rules (__) are hits too
}

// Scan tests one message; its lines may end in CRLF or LF. An address to leave from is taken as the newest relay, under the name it says.
func (s *RuleScanner) Scan(ctx context.Context, in RuleInput) filter.Verdict {
	o := rules.ViewOptions{HasEnvelope: in.HasEnvelope, ReversePath: in.Envelope.ReversePath.String()}
	if in.IP.IsValid() {
		name := in.Hello
		if name == "" {
			name = "unknown"
		}
		o.Received = fmt.Sprintf("from %s (%s [%s]) by localhost (Postern) with ESMTP", name, name, in.IP)
	}
	result := s.set.Run(rules.NewView(mail.Parse(in.Raw, mail.DefaultLimits()), o), rules.RunOptions{Context: ctx})
	v := filter.Verdict{Raw: round(result.Score), Score: round(min(max(result.Score, 0), 15)), Threshold: s.threshold, Hits: []filter.Hit{}}
	v.Held = v.Score > v.Threshold
	hits := result.Hits
	if in.Subs {
		hits = append(hits, result.Subs...)
	}
	for _, h := range hits {
		hit := filter.Hit{Test: h.Rule, Points: h.Score, Evidence: []string{}}
		if h.Evidence != "" {
			hit.Evidence = append(hit.Evidence, h.Evidence)
		}
		v.Hits = append(v.Hits, hit)
	}
	sort.SliceStable(v.Hits, func(i, j int) bool { return v.Hits[i].Points > v.Hits[j].Points })
	for _, name := range result.Skipped {
		v.Unknown = append(v.Unknown, filter.Unknown{Test: name, Why: "gave up: the pattern took too many steps"})
	}
	return v
}

// Rule is the definition of a rule with the place where it stands.
func (s *RuleScanner) Rule(name string) string { return s.set.Rule(name).Definition() }

// Describe returns what a rule says of itself in a language, "" if nothing.
func (s *RuleScanner) Describe(rule, language string) string { return s.set.Describe(rule, language) }

// round takes off what adding decimal fractions leaves behind.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
