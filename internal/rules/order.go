package rules

import "strings"

// orderMetas reads the expressions, names rules that metas need and that do not exist, refuses cycles, and puts metas behind what they need.
func (p *parser) orderMetas(s *RuleSet) {
	names := sortedKeys(p.scores)
	for _, r := range s.rules {
		if r.Kind != Meta || r.given {
			continue
		}
		text := r.Text
		if strings.Contains(text, "rules_matching") {
			if text = expandMatching(text, r.Name, names); len(text) > maxExpression {
				r.Problem = "rules_matching names too many rules"
				continue
			}
		}
		e, err := parseExpression(text, p.options.Local)
		if err != nil {
			r.Problem = "the expression cannot be read: " + err.Error()
			continue
		}
		e.prepare()
		e.each(func(x *expr) {
			if i, ok := s.index[x.name]; ok {
				x.rule = i
			} else if i, ok := s.given[x.name]; ok {
				x.rule = i
			}
		})
		r.expr = e
	}
	w := walk{s: s, state: make([]byte, len(s.rules))}
	for i, r := range s.rules {
		if r.Kind == Meta {
			w.visit(i, 0)
		}
	}
	for _, i := range w.cyclic {
		r := s.rules[i]
		r.Problem = "the meta depends on itself"
		p.report.add(Problem{Where: r.Where, Directive: "meta", Rule: r.Name, Reason: r.Problem})
	}
	for _, i := range w.order {
		r := s.rules[i]
		if r.Problem != "" || r.expr == nil {
			continue
		}
		s.plan.metas = append(s.plan.metas, i)
		p.missing(r)
	}
}

// missing reports rules that a meta needs and that are not there: they count 0.
func (p *parser) missing(r *Rule) {
	said := map[string]bool{}
	r.expr.each(func(x *expr) {
		if x.rule < 0 && !said[x.name] && len(said) < 20 {
			said[x.name] = true
			p.report.add(Problem{Where: r.Where, Directive: "meta", Rule: r.Name, Reason: "needs " + x.name + ", which is not defined and counts as 0", Harmless: true})
		}
	})
}

// walk orders metas by depth-first search.
type walk struct {
	s      *RuleSet
	state  []byte // 0 new, 1 on the way, 2 done, 3 part of or behind a cycle
	order  []int
	cyclic []int
}

const deepestMeta = 1000

func (w *walk) visit(i, depth int) (ok bool) {
	r := w.s.rules[i]
	switch w.state[i] {
	case 1:
		return false
	case 2:
		return true
	case 3:
		return false
	}
	if depth > deepestMeta {
		return false
	}
	w.state[i] = 1
	ok = true
	r.expr.each(func(x *expr) {
		if x.rule >= 0 && x.rule < len(w.s.rules) && w.s.rules[x.rule].Kind == Meta && !w.visit(x.rule, depth+1) {
			ok = false
		}
	})
	if !ok {
		w.state[i] = 3
		w.cyclic = append(w.cyclic, i)
		return false
	}
	w.state[i] = 2
	w.order = append(w.order, i)
	return true
}
