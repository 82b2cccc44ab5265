package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/locale"
)

// Sentences are those of the OpenAPI document that need a French twin.
func (a *API) Sentences(t *testing.T) []string {
	t.Helper()
	var x map[string]any
	if err := json.Unmarshal(a.s.site.openapi[locale.English], &x); err != nil {
		t.Fatal(err)
	}
	var out []string
	eachSentence(x, false, func(text string) string {
		if !rightSentence.MatchString(text) {
			out = append(out, text)
		}
		return text
	})
	return out
}

// Examples are the examples of an operation against the API at base, by the name of a file that holds them.
func (a *API) Examples(id, base string) (map[string]string, error) {
	all, err := a.s.site.byID[id].snippets(base)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, x := range all {
		out[x.File] = x.Text
	}
	return out, nil
}

// SampleMessage is the queue ID in examples.
const SampleMessage = sampleMessage

// ProblemWords are the words of problems that are documented.
func ProblemWords() map[string]bool {
	out := map[string]bool{}
	for _, x := range words {
		out[x.word] = true
	}
	return out
}

// Manual is docs/operator/api.md in a language.
func (a *API) Manual(lang string) (string, error) {
	const base = "https://mail.example.org/api"
	p := page{s: a.s, Lang: lang}
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n\n", args...) }
	cell := strings.NewReplacer("|", "\\|").Replace
	table := func(head []string, rows [][]string) {
		for _, r := range append([][]string{head, slices.Repeat([]string{"---"}, len(head))}, rows...) {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
		}
		b.WriteByte('\n')
	}
	say("# %s", p.T("title"))
	say("[%s](%s)", p.T("switch"), map[string]string{"en": "api.fr.md", "fr": "api.md"}[lang])
	say("<!-- %s -->", p.T("manual.printed"))
	say("%s", p.T("manual.where"))
	say("%s", p.T("manual.socket"))
	say("## %s", p.T("tokens"))
	say("%s", p.T("tokens.text"))
	say("%s", p.T("manual.make"))
	say("```sh\nsudo postern token add anna@shop.example --customer shop --label monitoring --right mail:read\n```")
	var rows [][]string
	for _, r := range p.Rights() {
		rows = append(rows, []string{"`" + r.Name + "`", r.Text})
	}
	say("### %s", p.T("rights"))
	table([]string{p.T("rights.right"), p.T("rights.what")}, rows)
	say("## %s", p.T("examples"))
	say("%s", p.T("examples.text"))
	for _, id := range []string{"send", "search", "release-message", "suppress", "figures"} {
		op := a.s.site.byID[id]
		say("### %s", p.Told(op.Summary))
		all, err := op.snippets(base)
		if err != nil {
			return "", err
		}
		for i, x := range all {
			if id != "send" && i > 0 {
				break
			}
			say("%s:", x.Language)
			say("```%s\n%s```", map[string]string{"curl": "sh", "Go": "go", "Node": "js", "PHP": "php", "Python": "python"}[x.Language], x.Text)
		}
	}
	for _, x := range []string{"pages", "twice", "limits", "settings", "errors"} {
		say("## %s", p.T(x))
		say("%s", p.T(x+".text"))
	}
	rows = nil
	for _, w := range p.Words() {
		rows = append(rows, []string{"`" + w.Name + "`", fmt.Sprint(w.Status), cell(w.Text)})
	}
	table([]string{p.T("errors.word"), p.T("errors.status"), p.T("errors.what")}, rows)
	say("## %s", p.T("operations"))
	for _, g := range p.Groups() {
		say("### %s", p.Group(g.Name))
		rows = nil
		for _, op := range g.Operations {
			rows = append(rows, []string{"`" + op.Method + " " + op.Path + "`", "`" + string(op.right) + "` " + p.T("over."+op.over()), cell(p.Told(op.Summary))})
		}
		table([]string{p.T("manual.operation"), p.T("needs"), p.T("manual.does")}, rows)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// Foreign is a text of another room in French.
func (a *API) Foreign(english string) string { return a.s.foreign(english) }
