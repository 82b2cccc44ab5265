package rules

import (
	"bytes"
	"errors"
	"regexp"
	"sort"
	"strings"

	"postern/internal/rules/pattern"
)

// parser gathers what the files say; finish makes the RuleSet of it.
type parser struct {
	options Options
	plugins map[string]bool
	compat  map[string]bool // enable_compat
	report  *LoadReport
	where   Position
	word    string // directive of the line at work

	rules    map[string]*Rule
	scores   map[string][4]float64
	flags    map[string]string
	priority map[string]int
	describe map[string]map[string]string
	replace  replacements
	lists    *lists
	memory   *pattern.Memory
}

// frame is an if that is open.
type frame struct {
	where   Position
	skipped bool // the lines around it were skipped already
	taken   bool // its lines are read
	elses   int
}

// Parse reads rule files that are in memory. It never fails: see LoadReport.
func Parse(files []File, o Options) (*RuleSet, *LoadReport) {
	p := &parser{options: o, plugins: map[string]bool{}, compat: map[string]bool{}, report: &LoadReport{Kinds: map[string]int{}}, rules: map[string]*Rule{},
		scores: map[string][4]float64{}, flags: map[string]string{}, priority: map[string]int{},
		describe: map[string]map[string]string{"": {}}, replace: newReplacements(), lists: newLists(), memory: &pattern.Memory{}}
	plugins := o.Plugins
	if plugins == nil {
		plugins = defaultPlugins
	}
	for _, name := range plugins {
		p.plugins[pluginName(name)] = true
	}
	for _, f := range files {
		p.file(f)
	}
	return p.finish(), p.report
}

// problem reports what is wrong with the line at work.
func (p *parser) problem(rule, reason string) {
	p.report.add(Problem{Where: p.where, Directive: p.word, Rule: rule, Reason: reason})
}

func (p *parser) file(f File) {
	p.report.Files++
	p.where = Position{File: f.Name}
	text := f.Text
	if len(text) > maxFileBytes {
		p.problem("", "the file is too large; the rest is not read")
		text = text[:maxFileBytes]
	}
	var open []frame
	skip := false
	for len(text) > 0 {
		line := text
		if end := bytes.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = nil
		}
		p.where.Line++
		p.report.Lines++
		p.word = ""
		if len(line) > maxLineBytes {
			p.problem("", "the line is too long; it is not read")
			continue
		}
		content := uncomment(string(line))
		if content == "" {
			continue
		}
		word, value := cutWord(content)
		language := ""
		if word == "lang" {
			language, value = cutWord(value)
			word, value = cutWord(value)
		}
		p.word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
		switch p.word {
		case "if", "ifplugin":
			if p.word == "ifplugin" {
				value = "plugin(" + strings.TrimSpace(value) + ")"
			}
			open, skip = p.openIf(open, skip, value)
		case "else", "endif":
			open, skip = p.closeIf(open, skip)
		default:
			if !skip {
				skip = p.directive(language, value)
			}
		}
	}
	for _, f := range open {
		p.where, p.word = f.where, "if"
		p.problem("", "is not closed by endif before the file ends")
	}
}

func (p *parser) openIf(open []frame, skip bool, value string) ([]frame, bool) {
	f := frame{where: p.where, skipped: skip}
	if len(open) >= maxConditions {
		p.problem("", "conditions are nested too deeply; what it holds is not read")
		return append(open, f), true
	}
	if !skip {
		taken, err := p.condition(value)
		if err != nil {
			p.problem("", "the condition cannot be read and counts as false: "+err.Error())
		}
		f.taken = taken && err == nil
	}
	return append(open, f), skip || !f.taken
}

func (p *parser) closeIf(open []frame, skip bool) ([]frame, bool) {
	if len(open) == 0 {
		p.problem("", "stands without an if")
		return open, skip
	}
	last := &open[len(open)-1]
	if p.word == "endif" {
		return open[:len(open)-1], last.skipped
	}
	if last.elses++; last.elses > 1 {
		p.problem("", "stands twice in the same if")
	}
	last.taken = !last.taken
	return open, last.skipped || !last.taken
}

// uncomment drops a comment and the white space around; \# is a #.
func uncomment(line string) string {
	for i := 0; i < len(line); i++ {
		if line[i] == '#' && (i == 0 || line[i-1] != '\\') {
			line = line[:i]
			break
		}
	}
	return strings.TrimSpace(strings.ReplaceAll(line, `\#`, "#"))
}

func cutWord(s string) (word, rest string) {
	end := strings.IndexAny(s, " \t\r\v\f")
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimLeft(s[end:], " \t\r\v\f")
}

// directive carries out one line; it answers whether the rest of the file is to be skipped.
func (p *parser) directive(language, value string) (skip bool) {
	if p.word == "require_version" {
		if value != "@@VERSION@@" && value != "4.000001" {
			p.problem("", "wants SpamAssassin "+value+"; the rest of the file is not read")
			return true
		}
		return false
	}
	switch p.word {
	case "loadplugin", "tryplugin":
		name, _ := cutWord(value)
		p.plugins[pluginName(name)] = true // what it brings and is not known here is reported where it is used
		return false
	case "enable_compat":
		p.compat[strings.TrimSpace(value)] = true
		return false
	}
	if unfollowed[p.word] {
		p.report.add(Problem{Where: p.where, Directive: p.word, Reason: "is not followed: rules run as without it", Harmless: true})
		return false
	}
	if language != "" && p.word != "describe" {
		return false // texts of reports in other languages
	}
	if d, ok := directives[p.word]; ok {
		if err := d(p, language, value); err != nil {
			name, _ := cutWord(value)
			if !ruleName.MatchString(name) || p.lists.holds(p.word) {
				name = ""
			}
			p.problem(name, err.Error())
		}
		return false
	}
	if p.lists.holds(p.word) || ignored[p.word] || strings.HasPrefix(p.word, "bayes_stopword_") {
		if err := p.lists.take(p.word, value); err != nil {
			p.problem("", err.Error())
		}
		return false
	}
	p.problem("", "is not known")
	return false
}

// Errors about one line.
var (
	errNoName    = errors.New("needs a rule name")
	errBadName   = errors.New("the rule name holds characters other than letters, digits and _, or is too long")
	errNoValue   = errors.New("needs a value")
	errTooMany   = errors.New("there are too many rules; this one is not loaded")
	errDelimiter = errors.New("the pattern has no delimiters as in /…/ or m{…}")
)

// directives are the lines that define rules or say something about them.
var directives = map[string]func(p *parser, language, value string) error{
	"header":        (*parser).headerRule,
	"body":          textRule(Body),
	"rawbody":       textRule(RawBody),
	"full":          textRule(Full),
	"uri":           textRule(URI),
	"mimeheader":    (*parser).mimeRule,
	"uri_detail":    (*parser).detailRule,
	"meta":          (*parser).metaRule,
	"askdns":        (*parser).askRule,
	"reuse":         (*parser).reuseRule,
	"test":          func(*parser, string, string) error { return nil },
	"score":         (*parser).score,
	"describe":      (*parser).describeRule,
	"tflags":        (*parser).tflags,
	"priority":      (*parser).setPriority,
	"replace_tag":   replaceDirective("tag"),
	"replace_pre":   replaceDirective("pre"),
	"replace_inter": replaceDirective("inter"),
	"replace_post":  replaceDirective("post"),
	"replace_rules": (*parser).replaceRules,
	"replace_start": replaceDirective("start"),
	"replace_end":   replaceDirective("end"),
}

// named takes the rule name off a value.
func named(value string) (name, rest string, err error) {
	name, rest = cutWord(value)
	switch {
	case name == "":
		return "", "", errNoName
	case !ruleName.MatchString(name) || len(name) > 100:
		return "", "", errBadName
	case rest == "":
		return "", "", errNoValue
	}
	return name, rest, nil
}

// define puts a rule down; a later definition of the same name replaces the earlier one.
func (p *parser) define(r *Rule) error {
	if _, ok := p.rules[r.Name]; !ok && len(p.rules) >= maxRules {
		return errTooMany
	}
	r.Where = p.where
	p.rules[r.Name] = r
	return nil
}

// finish applies what was said about rules to the rules, compiles them and puts metas in order.
func (p *parser) finish() *RuleSet {
	s := &RuleSet{index: map[string]int{}, describe: p.describe, lists: p.lists, local: p.options.Local}
	for _, name := range sortedKeys(p.rules) {
		s.index[name] = len(s.rules)
		s.rules = append(s.rules, p.rules[name])
	}
	s.given = map[string]int{}
	for _, name := range p.options.Given {
		if i, ok := s.index[name]; ok {
			s.given[name] = i
			s.rules[i].given, s.rules[i].Problem = true, problemGiven
		} else if _, twice := s.given[name]; !twice {
			s.given[name] = len(s.rules) + len(s.given)
		}
	}
	for _, r := range s.rules {
		p.attributes(r)
	}
	p.replace.apply(p, s)
	for _, r := range s.rules {
		p.compile(r)
	}
	p.orderMetas(s)
	s.prepare()
	p.count(s)
	return s
}

// attributes sets flags, priority and scores.
func (p *parser) attributes(r *Rule) {
	r.Flags = p.flags[r.Name]
	r.Priority = p.priority[r.Name]
	flags := strings.Fields(r.Flags)
	for _, f := range flags {
		switch {
		case f == "net":
			r.Network = r.Kind == Eval || r.Kind == AskDNS
		case f == "multiple":
			r.multiple = true
		case f == "nosubject":
			r.noSubj = true
		case f == "concat":
			r.concat = true
		case strings.HasPrefix(f, "maxhits="):
			r.maxHits = atoi(f[len("maxhits="):])
		case strings.HasPrefix(f, "range="):
			r.partMin, r.partMax = partRange(f[len("range="):])
		}
	}
	if scores, ok := p.scores[r.Name]; ok {
		r.Scores = scores
		return
	}
	points := 1.0
	if strings.HasPrefix(r.Name, "T_") {
		points = 0.01
	}
	if hasWord(flags, "nice") {
		points = -points
	}
	r.Scores = [4]float64{points, points, points, points}
}

func hasWord(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

func atoi(s string) int {
	n := 0
	for i := 0; i < len(s) && i < 6; i++ {
		if s[i] < '0' || s[i] > '9' {
			break
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// partRange reads "2", "2-", "-3", "2-3"; parts are numbered from 1.
func partRange(s string) (low, high int) {
	before, after, dash := strings.Cut(s, "-")
	low, high = atoi(before), 1000
	switch {
	case !dash:
		high = low
	case after != "":
		high = atoi(after)
	}
	return low, high
}

// compile makes the pattern of a rule ready.
func (p *parser) compile(r *Rule) {
	if r.given {
		return
	}
	if r.Kind == AskDNS {
		r.Network = true
	}
	if r.Kind == Eval {
		switch fn, ok := evals[r.call]; {
		case networkEvals[r.call] || strings.HasPrefix(r.call, "check_rbl") || strings.HasPrefix(r.call, "check_dns"):
			r.Network = true
		case !ok:
			r.Problem = "the function " + r.call + " is not supported"
		default:
			p.callArguments(r, fn)
		}
	}
	if r.pattern.text != "" && r.Problem == "" {
		r.captures = namedGroup.MatchString(r.pattern.text)
		r.template = templateName.MatchString(r.pattern.text)
		if !r.template {
			m, err := compileIn(p.memory, r.pattern.text, r.pattern.flags)
			if err != nil {
				r.Problem = "the pattern cannot be used: " + err.Error()
			}
			r.compiled = m
		} else if !nameInNegation(r.pattern.text) {
			r.shell, _ = compileMatcher(templateName.ReplaceAllString(r.pattern.text, "(?:[\\x00-\\xff]{1,200})"), r.pattern.flags)
		}
	}
	if r.Network && r.Problem == "" {
		r.Problem = problemNetwork
	}
	if r.Problem != "" && !r.Network {
		p.report.add(Problem{Where: r.Where, Directive: r.Kind.String(), Rule: r.Name, Reason: r.Problem})
	}
}

// nameInNegation reports whether a %{NAME} stands inside a negative look-around, where more text matches less.
func nameInNegation(text string) bool {
	var negative []bool
	inside := 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '(':
			not := strings.HasPrefix(text[i:], "(?!") || strings.HasPrefix(text[i:], "(?<!")
			negative = append(negative, not)
			inside += int(truth(not))
		case text[i] == ')' && len(negative) > 0:
			inside -= int(truth(negative[len(negative)-1]))
			negative = negative[:len(negative)-1]
		case inside > 0 && templateName.MatchString(text[i:min(len(text), i+200)]) && strings.HasPrefix(text[i:], "%{"):
			return true
		}
	}
	return false
}

// callArguments checks the arguments of an eval and compiles the one that is a pattern.
func (p *parser) callArguments(r *Rule, fn evalFunc) {
	if fn.check != nil {
		if err := fn.check(r.args); err != nil {
			r.Problem = r.call + ": " + err.Error()
			return
		}
	}
	if fn.pattern > 0 && fn.pattern <= len(r.args) {
		m, err := compileMatcher(r.args[fn.pattern-1], "")
		if err != nil {
			r.Problem = r.call + ": the pattern cannot be used: " + err.Error()
		}
		r.compiled = m
	}
}

// problemNetwork is the reason of rules that are not run because they ask the network.
const problemNetwork = "not run (network)"

// problemGiven is the reason of rules that are not run because the host supplies their results.
const problemGiven = "not run (the result is given)"

var (
	namedGroup   = regexp.MustCompile(`\(\?P?[<'][A-Z]`)
	templateName = regexp.MustCompile(`%\{([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*(?:\([^)}]*\))?)\}`)
)

func (p *parser) count(s *RuleSet) {
	p.report.Rules = len(s.rules)
	for _, r := range s.rules {
		p.report.Kinds[r.Kind.String()]++
		switch {
		case r.given:
			p.report.Given = append(p.report.Given, r.Name)
		case r.Network:
			p.report.Network = append(p.report.Network, r.Name)
		case r.Problem != "":
			p.report.Unsupported = append(p.report.Unsupported, Problem{Where: r.Where, Directive: r.Kind.String(), Rule: r.Name, Reason: r.Problem})
		case r.Scores == [4]float64{}:
			p.report.Off = append(p.report.Off, r.Name)
		case r.Problem == "" && (r.Scores[0] != 0 || r.Scores[2] != 0):
			p.report.Runnable++
		}
	}
	sort.Slice(p.report.Problems, func(i, j int) bool {
		a, b := p.report.Problems[i].Where, p.report.Problems[j].Where
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line
	})
}
