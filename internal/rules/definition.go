package rules

import "fmt"

// definitionBytes bounds what Definition shows of a rule: some patterns have hundreds of kilobytes after their replacements.
const definitionBytes = 400

// Definition is the rule as it is written, on one line, with its file and line: `body /cheap/i (20_words.cf line 12)`. "" of no rule.
func (r *Rule) Definition() string {
	if r == nil {
		return ""
	}
	text := r.Text
	switch {
	case r.exists:
		text = "exists:" + r.Target
	case r.Kind == Header || r.Kind == MIMEHeader:
		operator := " =~ "
		if r.negated {
			operator = " !~ "
		}
		text = r.Target + operator + text
	case r.Kind == Eval:
		text = r.Target + " " + text
	}
	if len(text) > definitionBytes {
		text = text[:definitionBytes] + "…"
	}
	return fmt.Sprintf("%s %s (%s line %d)", r.Kind, text, r.Where.File, r.Where.Line)
}
