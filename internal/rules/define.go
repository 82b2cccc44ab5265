package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// source is a pattern as written, taken out of its delimiters.
type source struct {
	text, flags string
}

// delimited takes a pattern out of its delimiters: /…/, m{…}, m(…), m<…>, m[…], m!…!, each with flags behind.
func delimited(s string) (source, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxPattern {
		return source{}, errTooLong
	}
	var open byte
	switch {
	case strings.HasPrefix(s, "/"):
		open, s = '/', s[1:]
	case strings.HasPrefix(s, "qr") && len(s) > 2:
		open, s = s[2], s[3:]
	case strings.HasPrefix(s, "m") && len(s) > 1:
		open, s = s[1], s[2:]
	default:
		return source{}, errDelimiter
	}
	if isWordByte(open) || open == '\\' || open == ' ' {
		return source{}, errDelimiter
	}
	end := open
	if i := strings.IndexByte("{(<[", open); i >= 0 {
		end = "})>]"[i]
	}
	cut := strings.LastIndexByte(s, end)
	if cut < 0 {
		return source{}, fmt.Errorf("the pattern has no closing %q", string(rune(end)))
	}
	text, flags := s[:cut], s[cut+1:]
	for i := 0; i < len(flags); i++ {
		if flags[i] < 'a' || flags[i] > 'z' || flags[i] == 'e' {
			return source{}, fmt.Errorf("%q is no flag of a pattern", flags[i:])
		}
	}
	if strings.Contains(text, "(?{") || strings.Contains(text, "(??{") {
		return source{}, errors.New("the pattern holds Perl code")
	}
	if end != '}' && end != ')' && end != ']' {
		for i := 0; i < len(text); i++ {
			if text[i] == '\\' {
				i++
			} else if text[i] == end {
				return source{}, fmt.Errorf("the delimiter %q stands unquoted in the pattern", string(rune(end)))
			}
		}
	}
	if text == "" {
		return source{}, errors.New("the pattern is empty")
	}
	return source{text: text, flags: flags}, nil
}

var (
	evalCall     = regexp.MustCompile(`^(\w+)\s*\((.*)\)\s*$`)
	headerTest   = regexp.MustCompile(`^([\w.-]+(?::[a-z]+){0,2}):?\s*([=!]~)\s*(.+)$`)
	headerExists = regexp.MustCompile(`^exists:([\w.-]+):?$`)
	mimeTest     = regexp.MustCompile(`^([^:\s]+(?::raw)?):?\s*([=!]~)\s*(.+)$`)
	ifUnset      = regexp.MustCompile(`\s+\[if-unset:\s+(.+)\]$`)
	evalArgument = regexp.MustCompile(`^\s*(?:'([^']*)'|"([^"]*)"|([\d.:A-Za-z-]+))\s*(?:,\s*|$)`)
	detailTest   = regexp.MustCompile(`^(\w+)\s*([=!]~)\s*(.+)$`)
)

// evalRule defines "eval:function(args)".
func (p *parser) evalRule(name, target, call string) error {
	m := evalCall.FindStringSubmatch(call)
	if m == nil {
		return fmt.Errorf("%q is no function call", call)
	}
	r := &Rule{Name: name, Kind: Eval, Target: target, Text: call, call: m[1]}
	rest := m[2]
	for strings.TrimSpace(rest) != "" {
		a := evalArgument.FindStringSubmatch(rest)
		if a == nil {
			return fmt.Errorf("the arguments of %s cannot be read at %q", m[1], rest)
		}
		r.args = append(r.args, a[1]+a[2]+a[3])
		rest = rest[len(a[0]):]
	}
	return p.define(r)
}

func (p *parser) headerRule(_, value string) error {
	name, rest, err := named(value)
	if err != nil {
		return err
	}
	for _, prefix := range []string{"eval:", "rbleval:"} {
		if strings.HasPrefix(rest, prefix) {
			return p.evalRule(name, "header", rest[len(prefix):])
		}
	}
	r := &Rule{Name: name, Kind: Header, Text: rest}
	if strings.HasPrefix(rest, "exists:") {
		m := headerExists.FindStringSubmatch(rest)
		if m == nil {
			return errors.New("exists: needs the name of a header")
		}
		r.Target, r.exists = m[1], true
		return p.define(r)
	}
	m := headerTest.FindStringSubmatch(rest)
	if m == nil {
		return errors.New("expected a header, =~ or !~, and a pattern")
	}
	if err := checkSpec(m[1]); err != nil {
		return err
	}
	r.Target, r.negated = m[1], m[2] == "!~"
	text := m[3]
	if u := ifUnset.FindStringSubmatchIndex(text); u != nil {
		unset := text[u[2]:u[3]]
		r.unset, text = &unset, text[:u[0]]
	}
	if r.pattern, err = delimited(text); err != nil {
		return err
	}
	return p.define(r)
}

var modifiers = words("raw addr name host domain ip revip first last")

func checkSpec(spec string) error {
	for _, m := range strings.Split(spec, ":")[1:] {
		if !modifiers[m] {
			return fmt.Errorf(":%s is no modifier of a header", m)
		}
	}
	return nil
}

// textRule defines body, rawbody, full and uri rules.
func textRule(kind Kind) func(*parser, string, string) error {
	return func(p *parser, _, value string) error {
		name, rest, err := named(value)
		if err != nil {
			return err
		}
		if strings.HasPrefix(rest, "eval:") {
			return p.evalRule(name, kind.String(), rest[len("eval:"):])
		}
		r := &Rule{Name: name, Kind: kind, Text: rest}
		if r.pattern, err = delimited(rest); err != nil {
			return err
		}
		return p.define(r)
	}
}

func (p *parser) mimeRule(_, value string) error {
	name, rest, err := named(value)
	if err != nil {
		return err
	}
	m := mimeTest.FindStringSubmatch(rest)
	if m == nil {
		return errors.New("expected a header of a part, =~ or !~, and a pattern")
	}
	unset := ""
	r := &Rule{Name: name, Kind: MIMEHeader, Text: rest, Target: m[1], negated: m[2] == "!~", unset: &unset, partMax: 1000}
	text := m[3]
	if u := ifUnset.FindStringSubmatchIndex(text); u != nil {
		unset, text = text[u[2]:u[3]], text[:u[0]]
	}
	if r.pattern, err = delimited(text); err != nil {
		return err
	}
	return p.define(r)
}

// criterion is one "key =~ /pattern/" of a uri_detail rule.
type criterion struct {
	key     string // raw, type, cleaned, text, domain, host
	negated bool
	pattern *matcher
}

// detailRule: uri_detail NAME key =~ /x/ key !~ /y/…; all must hold for one URI.
func (p *parser) detailRule(_, value string) error {
	name, rest, err := named(value)
	if err != nil {
		return err
	}
	r := &Rule{Name: name, Kind: URIDetail, Text: rest}
	for rest != "" {
		m := detailTest.FindStringSubmatch(rest)
		if m == nil {
			return fmt.Errorf("expected key =~ /pattern/ at %q", rest)
		}
		if !words("raw type cleaned text domain host")[m[1]] {
			return fmt.Errorf("%s is no key of a URI", m[1])
		}
		text, after := cutPattern(m[3])
		src, err := delimited(text)
		if err != nil {
			return err
		}
		compiled, err := compileMatcher(src.text, src.flags)
		if err != nil {
			return fmt.Errorf("the pattern cannot be used: %w", err)
		}
		r.criteria = append(r.criteria, criterion{m[1], m[2] == "!~", compiled})
		rest = strings.TrimSpace(after)
	}
	return p.define(r)
}

// cutPattern finds the end of a pattern that other text follows.
func cutPattern(s string) (pattern, rest string) {
	start, end := 1, byte('/')
	if strings.HasPrefix(s, "m") && len(s) > 1 {
		start, end = 2, s[1]
		if i := strings.IndexByte("{(<[", end); i >= 0 {
			end = "})>]"[i]
		}
	}
	for i := start; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		} else if s[i] == end {
			i++
			for i < len(s) && s[i] >= 'a' && s[i] <= 'z' {
				i++
			}
			return s[:i], s[i:]
		}
	}
	return s, ""
}

func (p *parser) metaRule(_, value string) error {
	name, rest, err := named(value)
	if err != nil {
		return err
	}
	if len(rest) > maxExpression {
		return errTooLong
	}
	// rules_matching needs all names: it is read in finish. Here only the syntax is checked.
	if _, err := parseExpression(rulesMatching.ReplaceAllString(rest, " 0 "), p.options.Local); err != nil {
		return fmt.Errorf("the expression cannot be read: %w", err)
	}
	return p.define(&Rule{Name: name, Kind: Meta, Text: rest})
}

// askRule: askdns NAME template [type [pattern]]; always a question to the network.
func (p *parser) askRule(_, value string) error {
	name, rest, err := named(value)
	if err != nil {
		return err
	}
	return p.define(&Rule{Name: name, Kind: AskDNS, Text: rest})
}

func (p *parser) reuseRule(_, value string) error {
	name, _ := cutWord(value)
	if !ruleName.MatchString(name) {
		return errBadName
	}
	if p.rules[name] != nil {
		return nil
	}
	return p.define(&Rule{Name: name, Kind: Empty})
}

// score NAME n [n n n]; (n) is added to what was said before.
func (p *parser) score(_, value string) error {
	fields := strings.Fields(value)
	if len(fields) == 0 || !ruleName.MatchString(fields[0]) {
		return errBadName
	}
	if len(fields) != 2 && len(fields) != 5 {
		return errors.New("needs one score or four")
	}
	scores := p.scores[fields[0]]
	for set := range scores {
		text := fields[1]
		if len(fields) == 5 {
			text = fields[1+set]
		}
		relative := strings.HasPrefix(text, "(") && strings.HasSuffix(text, ")")
		n, err := strconv.ParseFloat(strings.Trim(text, "()"), 64)
		if err != nil || n > 1e6 || n < -1e6 || n != n {
			return fmt.Errorf("%q is no score", text)
		}
		if relative {
			n += scores[set]
		}
		scores[set] = n
	}
	p.scores[fields[0]] = scores
	return nil
}

func (p *parser) describeRule(language, value string) error {
	name, rest := cutWord(value)
	if !ruleName.MatchString(name) {
		return errBadName
	}
	language = strings.ToLower(language)
	if language == "en" {
		language = ""
	}
	if len(language) > 16 {
		return errors.New("the language is not known")
	}
	if p.describe[language] == nil {
		if len(p.describe) > 200 {
			return errors.New("there are too many languages")
		}
		p.describe[language] = map[string]string{}
	}
	p.describe[language][name] = strings.ToValidUTF8(rest, "\uFFFD")
	return nil
}

func (p *parser) tflags(_, value string) error {
	name, rest := cutWord(value)
	if !ruleName.MatchString(name) {
		return errBadName
	}
	p.flags[name] = strings.Join(strings.Fields(rest), " ")
	return nil
}

func (p *parser) setPriority(_, value string) error {
	fields := strings.Fields(value)
	if len(fields) != 2 {
		return errors.New("needs a rule name and a number")
	}
	n, err := strconv.Atoi(fields[1])
	if err != nil {
		return fmt.Errorf("%q is no number", fields[1])
	}
	p.priority[fields[0]] = n
	return nil
}
