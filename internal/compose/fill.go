package compose

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
)

// placeholder is {{name}}, spaces inside allowed.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z0-9_.-]{1,64})[ \t]*\}\}`)

// Fill returns the message with the placeholders of subject, text, HTML and further fields replaced. In HTML a value is escaped: it is text, never
// markup. A placeholder without a value is a *Fault: a letter to "Dear {{name}}" is worse than none.
func (m Message) Fill(values map[string]string) (Message, error) {
	var fault *Fault
	replace := func(field, text string, escape func(string) string) string {
		return placeholder.ReplaceAllStringFunc(text, func(found string) string {
			name := placeholder.FindStringSubmatch(found)[1]
			value, ok := values[name]
			if !ok && fault == nil {
				fault = &Fault{field, fmt.Sprintf("{{%s}} has no value; give one in substitutions", name)}
			}
			return escape(value)
		})
	}
	plain := func(s string) string { return s }
	m.Subject = replace("subject", m.Subject, plain)
	m.Text = replace("text", m.Text, plain)
	m.HTML = replace("html", m.HTML, html.EscapeString)
	m.Fields = slices.Clone(m.Fields)
	for i, f := range m.Fields {
		m.Fields[i].Value = replace("headers."+clip(f.Name), f.Value, strings.TrimSpace)
	}
	if fault != nil {
		return Message{}, fault
	}
	return m, nil
}
