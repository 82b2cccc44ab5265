package filter

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"postern/internal/rules"
)

//go:embed ruleset/*.cf
var ownRules embed.FS

// RuleBook is a set of rules in SpamAssassin's language, ready to run: ours, and those of the operator's folders behind them. It never
// changes and is safe for concurrent use.
type RuleBook struct {
	set    *rules.RuleSet
	report *rules.LoadReport
	tests  []Test
	groups map[string]Group
}

// LoadRules reads our own rules and then the .cf files of the folders, as one set: a folder's rule or score of a name replaces ours.
// Tests that the filter runs by itself cannot be replaced; a rule of such a name takes the filter's answer. The error is about folders
// and files only; a faulty rule is named in the report and left out.
func LoadRules(dirs []string) (*RuleBook, error) {
	if len(dirs) == 0 {
		return ownBook()
	}
	return loadRules(dirs)
}

// ownBook is the book of our own rules alone, made once: every filter of a process shares it.
var ownBook = sync.OnceValues(func() (*RuleBook, error) { return loadRules(nil) })

func loadRules(dirs []string) (*RuleBook, error) {
	own, err := ownFiles()
	if err != nil {
		return nil, err
	}
	files := own
	if len(dirs) > 0 {
		theirs, err := rules.ReadFiles(dirs)
		if err != nil {
			return nil, err
		}
		files = append(slices.Clone(own), theirs...)
	}
	o := rules.Options{}
	for _, t := range nativeTests() {
		o.Given = append(o.Given, t.Name)
	}
	b := &RuleBook{groups: make(map[string]Group)}
	b.set, b.report = rules.Parse(files, o)
	ours := make(map[string]Group)
	for _, f := range own {
		ours[f.Name] = groupOf(f.Name)
	}
	for _, r := range b.set.Rules() {
		if r.Sub() || r.Problem != "" { // a rule that takes the name of one of our tests has a problem too
			continue
		}
		group, mine := ours[r.Where.File]
		if !mine {
			group = GroupRules
		}
		b.groups[r.Name] = group
		b.tests = append(b.tests, Test{Name: r.Name, Points: r.Scores[scoreNetwork], Group: group})
	}
	slices.SortStableFunc(b.tests, func(x, y Test) int { return strings.Compare(string(x.Group), string(y.Group)) })
	return b, nil
}

func ownFiles() ([]rules.File, error) {
	names, err := fs.Glob(ownRules, "ruleset/*.cf")
	if err != nil {
		return nil, err
	}
	var files []rules.File
	for _, name := range names {
		text, err := ownRules.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("built-in rules: %w", err)
		}
		files = append(files, rules.File{Name: "own:" + strings.TrimPrefix(name, "ruleset/"), Text: text})
	}
	return files, nil
}

// groupOf places the rules of one of our files on the pages: files whose number begins with 1 are about fraud.
func groupOf(file string) Group {
	if strings.HasPrefix(file, "own:1") {
		return GroupDanger
	}
	return GroupSpam
}

// Report says what was read and what was not understood.
func (b *RuleBook) Report() *rules.LoadReport { return b.report }

// Set is the compiled set.
func (b *RuleBook) Set() *rules.RuleSet { return b.set }

// Tests are the rules that have points of their own and can run here, by group and name. Points are those with network tests and without
// Bayes.
func (b *RuleBook) Tests() []Test { return b.tests }

// Definition is how a rule is written and where it stands, "" of what is no rule.
func (b *RuleBook) Definition(test string) string {
	if _, ok := b.groups[test]; !ok {
		return ""
	}
	return b.set.Rule(test).Definition()
}

// Score sets of SpamAssassin's language: a rule may have other points with network tests, and with Bayes.
const (
	scoreNetwork = 1
	scoreBayes   = 2
)

// checkRules runs the patterns of the rules. What they add up to is decided by finishRules, when the other tests are done.
func checkRules(ctx context.Context, s *scan) {
	view := rules.NewView(s.Message, rules.ViewOptions{HasEnvelope: true, ReversePath: s.Envelope.ReversePath.String(), Now: s.Received})
	s.running = s.book.set.Begin(view, rules.RunOptions{Context: ctx, Scores: s.ruleScores(), Reasons: true, HitsOnly: true})
}

// finishRules lets rules look at what the filter's own tests found, and takes over what they say.
func finishRules(_ context.Context, s *scan) {
	if s.running == nil {
		return
	}
	set := 0
	if !s.o.Offline {
		set |= scoreNetwork
	}
	if s.bayes {
		set |= scoreBayes
	}
	given := make(map[string]float64, len(s.hits))
	for _, h := range s.hits {
		given[h.Test] = 1
	}
	result := s.running.FinishSet(set, given)
	for _, h := range result.Hits {
		if points, ok := s.set(h.Rule); ok {
			h.Score = points
		} else if points, ok := s.o.Scores[h.Rule]; ok {
			h.Score = points
		}
		found := h.Reasons
		if h.Evidence != "" {
			found = []string{h.Evidence}
		}
		args := map[string]string{"What": strings.Join(found, "; ")}
		if s.book.groups[h.Rule] == GroupRules {
			args["Describe"], args["DescribeFR"] = s.book.set.Describe(h.Rule, ""), s.book.set.Describe(h.Rule, "fr")
		}
		s.hitFor(h.Rule, h.Score, args, found...)
	}
	for _, name := range result.Skipped {
		if _, ok := s.points[name]; ok {
			s.notMeasured(name, "gave up: the message would have taken too many steps")
		}
	}
}
