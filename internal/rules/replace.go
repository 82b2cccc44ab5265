package rules

import (
	"errors"
	"regexp"
	"strings"
)

// replacements are the tags that replace_rules fills into patterns: <A> becomes what "replace_tag A" says, up to five times over, with what
// <pre x>, <inter x> and <post x> name put before, between and after them.
type replacements struct {
	values map[string]map[string]string // tag, pre, inter, post
	rules  []string
	start  string
	end    string
}

func newReplacements() replacements {
	return replacements{values: map[string]map[string]string{"tag": {}, "pre": {}, "inter": {}, "post": {}}, start: "<", end: ">"}
}

const replacePasses = 6

func replaceDirective(kind string) func(*parser, string, string) error {
	return func(p *parser, _, value string) error {
		switch kind {
		case "start", "end":
			if value == "" || len(value) > 8 {
				return errNoValue
			}
			if kind == "start" {
				p.replace.start = value
			} else {
				p.replace.end = value
			}
			return nil
		}
		name, rest := cutWord(value)
		if name == "" || rest == "" {
			return errNoValue
		}
		p.replace.values[kind][name] = rest
		return nil
	}
}

func (p *parser) replaceRules(_, value string) error {
	names := strings.Fields(value)
	if len(names) == 0 {
		return errNoValue
	}
	if len(p.replace.rules)+len(names) > maxRules {
		return errTooMany
	}
	p.replace.rules = append(p.replace.rules, names...)
	return nil
}

// apply fills the tags into the patterns of the rules named by replace_rules.
func (t *replacements) apply(p *parser, s *RuleSet) {
	tag, err := regexp.Compile(regexp.QuoteMeta(t.start) + "(.+?)" + regexp.QuoteMeta(t.end))
	if err != nil {
		return
	}
	done := map[string]bool{}
	for _, name := range t.rules {
		r := s.Rule(name)
		if r == nil || done[name] || r.pattern.text == "" {
			continue
		}
		done[name] = true
		text, err := t.fill(r.pattern.text, tag)
		if err != nil {
			r.Problem = "replace_rules: " + err.Error()
			continue
		}
		r.pattern.text = text
	}
}

var tagPieces = regexp.MustCompile(`<[^<>]+>`)

func (t *replacements) fill(text string, tag *regexp.Regexp) (string, error) {
	for pass := 0; pass < replacePasses; pass++ {
		pre, text2 := t.take(text, "pre")
		post, text2 := t.take(text2, "post")
		inter, text2 := t.take(text2, "inter")
		text = text2
		again := false
		var b strings.Builder
		// The text is cut into tags and what stands between them; an empty piece between two tags takes the inter text.
		at := 0
		pieces := tagPieces.FindAllStringIndex(text, -1)
		for i := 0; i <= len(pieces); i++ {
			end := len(text)
			if i < len(pieces) {
				end = pieces[i][0]
			}
			between := text[at:end]
			if between == "" && i > 0 && i < len(pieces) {
				between = inter
			}
			b.WriteString(between)
			if i == len(pieces) {
				break
			}
			piece := text[pieces[i][0]:pieces[i][1]]
			if m := tag.FindStringSubmatch(piece); m != nil {
				value, known := t.values["tag"][m[1]]
				if known && value != "" {
					if tagPieces.MatchString(value) {
						again = true
					}
					piece = value
				}
				piece = pre + piece + post
			}
			b.WriteString(piece)
			if b.Len() > maxPattern {
				return "", errors.New("the pattern grows too long")
			}
			at = pieces[i][1]
		}
		text = b.String()
		if !again {
			break
		}
	}
	return text, nil
}

// take removes the first <kind name> and returns what it stands for.
func (t *replacements) take(text, kind string) (value, rest string) {
	mark := t.start + kind + " "
	i := strings.Index(text, mark)
	if i < 0 {
		return "", text
	}
	j := strings.Index(text[i:], t.end)
	if j < 0 {
		return "", text
	}
	name := text[i+len(mark) : i+j]
	return t.values[kind][name], text[:i] + text[i+j+len(t.end):]
}
