package rules

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

var (
	errTooDeep = errors.New("is nested too deeply")
	errTooLong = errors.New("is too long")
)

// arithmetic splits an expression into numbers, names, operators and parentheses; other characters are an error.
func arithmetic(text string) ([]string, error) {
	if len(text) > maxExpression {
		return nil, errTooLong
	}
	var out []string
	for i := 0; i < len(text); {
		c := text[i]
		n := 1
		switch {
		case c == ' ' || c == '\t':
			i++
			continue
		case c >= '0' && c <= '9' || c == '.':
			for i+n < len(text) && (text[i+n] >= '0' && text[i+n] <= '9' || text[i+n] == '.') {
				n++
			}
		case isWordByte(c):
			for i+n < len(text) && (isWordByte(text[i+n]) || text[i+n] == ':') {
				n++
			}
		case strings.IndexByte("()^+-*/", c) >= 0:
		case c == '|' || c == '&' || c == '=':
			if i+1 >= len(text) || text[i+1] != c {
				return nil, fmt.Errorf("%q is no operator", string(c))
			}
			n = 2
		case c == '!' || c == '<' || c == '>':
			if i+1 < len(text) && text[i+1] == '=' {
				n = 2
			}
		default:
			return nil, fmt.Errorf("%q is not allowed", string(rune(c)))
		}
		out = append(out, text[i:i+n])
		i += n
	}
	return out, nil
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// precedence lists Perl's binary operators from the loosest to the tightest.
var precedence = [][]string{{"||"}, {"&&"}, {"^"}, {"==", "!="}, {"<", ">", "<=", ">="}, {"+", "-"}, {"*", "/"}}

func operatorAt(level int, token string) bool {
	for _, op := range precedence[level] {
		if op == token {
			return true
		}
	}
	return false
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// apply computes as Perl does: && and || give one of their operands, a division by zero gives 0.
func apply(op string, a, b float64) float64 {
	switch op {
	case "||":
		if a != 0 {
			return a
		}
		return b
	case "&&":
		if a == 0 {
			return 0
		}
		return b
	case "^":
		return float64(bits(a) ^ bits(b))
	case "==":
		return truth(a == b)
	case "!=":
		return truth(a != b)
	case "<":
		return truth(a < b)
	case ">":
		return truth(a > b)
	case "<=":
		return truth(a <= b)
	case ">=":
		return truth(a >= b)
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	}
	if b == 0 {
		return 0
	}
	return a / b
}

func bits(f float64) uint32 {
	if f < 0 || math.IsNaN(f) || f > math.MaxUint32 {
		return 0
	}
	return uint32(f)
}

// operation is what an expr does.
type operation uint8

const (
	opNumber operation = iota
	opRule
	opNot
	opMinus
	opOr
	opAnd
	opOther // by expr.op
)

func operationOf(op string) operation {
	switch op {
	case "num":
		return opNumber
	case "rule":
		return opRule
	case "!":
		return opNot
	case "-1":
		return opMinus
	case "||":
		return opOr
	case "&&":
		return opAnd
	}
	return opOther
}

// expr is a compiled meta expression.
type expr struct {
	kind        operation // of op
	op          string    // operator; "num", "rule", "!", "-1"
	number      float64
	name        string
	rule        int // index into RuleSet.rules, -1 for a rule that does not exist
	left, right *expr
}

func (e *expr) eval(c *scan) float64 {
	switch e.kind {
	case opNumber:
		return e.number
	case opRule:
		if e.rule < 0 {
			return 0
		}
		if x := c.values[e.rule]; !waits(x) {
			return x
		}
		return c.demand(e.rule)
	case opNot:
		return truth(e.left.eval(c) == 0)
	case opMinus:
		return -e.left.eval(c)
	case opOr:
		if v := e.left.eval(c); v != 0 {
			return v
		}
		return e.right.eval(c)
	case opAnd:
		if e.left.eval(c) == 0 {
			return 0
		}
		return e.right.eval(c)
	}
	return apply(e.op, e.left.eval(c), e.right.eval(c))
}

// prepare fills kind.
func (e *expr) prepare() {
	if e != nil {
		e.kind = operationOf(e.op)
		e.left.prepare()
		e.right.prepare()
	}
}

// each calls f for every rule the expression names.
func (e *expr) each(f func(*expr)) {
	if e == nil {
		return
	}
	if e.op == "rule" {
		f(e)
	}
	e.left.each(f)
	e.right.each(f)
}

// expression parses a meta; local is the value of local_tests_only.
type expression struct {
	lex   []string
	at    int
	local bool
	depth int
}

func parseExpression(text string, local bool) (*expr, error) {
	if strings.ReplaceAll(strings.TrimSpace(text), " ", "") == "()" {
		return &expr{op: "num"}, nil
	}
	lex, err := arithmetic(text)
	if err != nil {
		return nil, err
	}
	x := expression{lex: lex, local: local}
	e, err := x.binary(0)
	if err != nil {
		return nil, err
	}
	if x.at < len(x.lex) {
		return nil, fmt.Errorf("unexpected %q", x.lex[x.at])
	}
	return e, nil
}

func (x *expression) peek() string {
	if x.at < len(x.lex) {
		return x.lex[x.at]
	}
	return ""
}

func (x *expression) binary(level int) (*expr, error) {
	if x.depth++; x.depth > 2000 {
		return nil, errTooDeep
	}
	defer func() { x.depth-- }()
	if level == len(precedence) {
		return x.unary()
	}
	left, err := x.binary(level + 1)
	if err != nil {
		return nil, err
	}
	for operatorAt(level, x.peek()) {
		op := x.peek()
		x.at++
		right, err := x.binary(level + 1)
		if err != nil {
			return nil, err
		}
		left = &expr{op: op, left: left, right: right}
	}
	return left, nil
}

func (x *expression) unary() (*expr, error) {
	if x.depth++; x.depth > 2000 {
		return nil, errTooDeep
	}
	defer func() { x.depth-- }()
	token := x.peek()
	x.at++
	switch token {
	case "":
		return nil, errors.New("the expression ends too early")
	case "!", "-":
		e, err := x.unary()
		if err != nil {
			return nil, err
		}
		if token == "-" {
			token = "-1"
		}
		return &expr{op: token, left: e}, nil
	case "+":
		return x.unary()
	case "(":
		e, err := x.binary(0)
		if err != nil {
			return nil, err
		}
		if x.peek() != ")" {
			return nil, errors.New("a ) is missing")
		}
		x.at++
		return e, nil
	case "local_tests_only":
		return &expr{op: "num", number: truth(x.local)}, nil
	}
	if n, err := strconv.ParseFloat(token, 64); err == nil && (token[0] == '.' || token[0] >= '0' && token[0] <= '9') {
		return &expr{op: "num", number: n}, nil
	}
	if !ruleName.MatchString(token) {
		return nil, fmt.Errorf("%q is no rule name", token)
	}
	return &expr{op: "rule", name: token, rule: -1}, nil
}

var (
	ruleName      = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]{0,127}$`)
	rulesMatching = regexp.MustCompile(`\brules_matching\(\s*([_a-zA-Z*?][_a-zA-Z0-9*?]{0,127})\s*\)`)
)

// expandMatching replaces rules_matching(glob) by the sum of the rules it names, the meta itself left out.
func expandMatching(text, self string, names []string) string {
	return rulesMatching.ReplaceAllStringFunc(text, func(call string) string {
		glob := rulesMatching.FindStringSubmatch(call)[1]
		var found []string
		for _, name := range names {
			if name != self && globMatch(glob, name) {
				found = append(found, name)
			}
		}
		if len(found) == 0 {
			return " (0) "
		}
		return " (" + strings.Join(found, "+") + ") "
	})
}

// globMatch matches * and ? in time len(glob)*len(s).
func globMatch(glob, s string) bool {
	star, mark, g, i := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0:
			mark++
			g, i = star+1, mark
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}
