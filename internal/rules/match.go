package rules

import (
	"sync"

	"postern/internal/rules/pattern"
)

// matcher is one compiled pattern.
type matcher struct {
	*pattern.Pattern
}

func compileMatcher(text, flags string) (*matcher, error) { return compileIn(nil, text, flags) }

// compileIn compiles a pattern whose caches share memory with others.
func compileIn(memory *pattern.Memory, text, flags string) (*matcher, error) {
	if len(text) > maxPattern {
		return nil, errTooLong
	}
	clean := make([]byte, 0, len(flags))
	for i := 0; i < len(flags); i++ {
		switch flags[i] {
		case 'i', 'm', 's', 'x', 'n':
			clean = append(clean, flags[i])
		}
	}
	p, err := pattern.Options{Memory: memory}.Compile(text, string(clean))
	if err != nil {
		return nil, err
	}
	return &matcher{p}, nil
}

// mustMatcher compiles a pattern of our own.
func mustMatcher(text, flags string) *matcher {
	m, err := compileMatcher(text, flags)
	if err != nil {
		panic("rules: " + err.Error())
	}
	return m
}

// mustBounded compiles a pattern of our own that others can make backtrack, with fewer steps.
func mustBounded(text, flags string) *matcher {
	p, err := pattern.Options{Steps: 100_000}.Compile(text, flags)
	if err != nil {
		panic("rules: " + err.Error())
	}
	return &matcher{p}
}

// matches reports whether the pattern matches; a pattern that gives up does not.
func (m *matcher) matches(s string) bool {
	ok, _ := m.Match([]byte(s))
	return ok
}

// count returns how often the pattern matches without overlap, at most limit times (0: 1000), and pays from purse.
func (m *matcher) count(b []byte, limit int, purse *pattern.Budget) (n int, budget bool) {
	if limit <= 0 {
		limit = 1000
	}
	return m.Count(b, limit, purse)
}

// excerpt is what the first match covers, shortened, for a person to read.
func (m *matcher) excerpt(b []byte) string {
	loc, ok, _ := m.Find(b, 0)
	if !ok {
		return ""
	}
	return string(b[loc[0]:loc[1]])
}

// group is rules whose patterns run on the same texts.
type group struct {
	rules     []int // indexes into RuleSet.rules
	set       *pattern.Set
	negated   bool      // some rule hits by not matching
	noSubject bool      // some rule does not look at the first line
	waits     []bool    // by rule of the group: a sub-rule that may be left until a meta asks for it
	searched  []bool    // ... literals of it are looked for
	free      sync.Pool // *pattern.Scratch
}

// whole reports a rule that may wait and has no literals: all texts are looked at when it is asked for.
func (g *group) whole(k int) bool { return g.waits[k] && !g.searched[k] }

func newGroup(s *RuleSet, rules []int) *group {
	list := make([]*pattern.Pattern, len(rules))
	for i, r := range rules {
		list[i] = s.rules[r].compiled.Pattern
	}
	g := &group{rules: rules, set: pattern.NewSet(list)}
	for k, i := range rules {
		r := s.rules[i]
		_, literals := list[k].Literals()
		g.waits = append(g.waits, r.Sub() && !r.multiple && !r.captures && !r.negated && !r.noSubj)
		g.searched = append(g.searched, literals)
		g.negated = g.negated || s.rules[i].negated
		g.noSubject = g.noSubject || s.rules[i].noSubj && s.rules[i].Kind == Body
	}
	g.free.New = func() any { return g.set.NewScratch() }
	return g
}

// plan is what runs in which order.
type plan struct {
	body, raw, full, uri *group
	headers              map[string]*group // by header specification
	specs                []string          // keys of headers, sorted
	alone                []int             // header rules with [if-unset]
	exists               []int
	templates            []int // rules whose pattern holds what others captured
	mime, details, evals []int
	headerEvals          []int              // evals about the header: they run before everything that looks at the body
	metas                []int              // dependencies first
	requests             map[string]request // by header specification
	partial              []int              // rules with points in some score sets only, metas left out
}

// prepare makes the plan. Rules with points 0 in every set are left out; those with 0 in one set run and are dropped when that set is chosen.
func (s *RuleSet) prepare() {
	by := map[Kind][]int{}
	headers := map[string][]int{}
	for i, r := range s.rules {
		if r.Problem != "" || r.Scores == [4]float64{} {
			continue
		}
		if r.Kind != Meta && hasZero(r.Scores) {
			s.plan.partial = append(s.plan.partial, i)
		}
		switch {
		case r.template:
			s.plan.templates = append(s.plan.templates, i)
		case r.Kind == Header && r.exists:
			s.plan.exists = append(s.plan.exists, i)
		case r.Kind == Header && r.unset != nil:
			s.plan.alone = append(s.plan.alone, i)
		case r.Kind == Header:
			headers[r.Target] = append(headers[r.Target], i)
		default:
			by[r.Kind] = append(by[r.Kind], i)
		}
	}
	s.plan.body, s.plan.raw, s.plan.full, s.plan.uri = newGroup(s, by[Body]), newGroup(s, by[RawBody]), newGroup(s, by[Full]), newGroup(s, by[URI])
	s.plan.mime, s.plan.details = by[MIMEHeader], by[URIDetail]
	for _, i := range by[Eval] {
		if s.rules[i].Target == Header.String() {
			s.plan.headerEvals = append(s.plan.headerEvals, i)
		} else {
			s.plan.evals = append(s.plan.evals, i)
		}
	}
	s.plan.headers = map[string]*group{}
	s.plan.specs = sortedKeys(headers)
	s.plan.requests = map[string]request{}
	for spec, rules := range headers {
		s.plan.requests[spec] = parseRequest(spec)
		s.plan.headers[spec] = newGroup(s, rules)
	}
}

func hasZero(scores [4]float64) bool {
	for _, x := range scores {
		if x == 0 {
			return true
		}
	}
	return false
}
