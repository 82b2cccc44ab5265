package cli

import (
	"fmt"
	"slices"
	"strings"

	"postern/internal/checkup"
	"postern/internal/locale"
)

// checkProgress is a line that is written again and again on a terminal's standard error, and nothing elsewhere.
type checkProgress struct {
	c       *command
	words   *locale.Catalog
	lang    string
	shown   bool
	visible bool
}

func (c *command) checkProgress(words *locale.Catalog, lang string) *checkProgress {
	_, visible := terminal(c.Stderr)
	return &checkProgress{c: c, words: words, lang: lang, visible: visible}
}

func (p *checkProgress) say(key string, args map[string]any) {
	if !p.visible {
		return
	}
	text := clean(p.words.Text(p.lang, key, args))
	_, _ = fmt.Fprintf(p.c.Stderr, "\r\x1b[K%s", cut(text, max(20, p.c.columns-1)))
	p.shown = true
}

func (p *checkProgress) clear() {
	if p.shown {
		_, _ = fmt.Fprint(p.c.Stderr, "\r\x1b[K")
		p.shown = false
	}
}

// checkMark is how a state looks.
func checkMark(s checkup.State) (mark string, looks style) {
	switch s {
	case checkup.Fine:
		return "✓", green
	case checkup.Advice:
		return "!", yellow
	case checkup.Problem:
		return "✗", red
	}
	return "?", cyan
}

// printCheck prints one check-up: its score, its groups, each finding with what it means and what to do.
func (c *command) printCheck(words *locale.Catalog, f checkFlags, r checkup.CheckJSON) error {
	text := func(key string, args map[string]any) string {
		return clean(words.Text(f.language, "checkup.cli."+key, args))
	}
	var b strings.Builder
	b.WriteString(c.paint(bold, clean(r.Target)) + "  " + c.paint(dim, text("kind-"+string(r.Kind), nil)) + "\n")
	mark, looks := checkMark(r.State)
	score := text("unscored", nil)
	if r.Score.Measured {
		score = text("score", map[string]any{"Points": r.Score.Points})
	}
	gap := "  "
	if plain := (&command{}); c.columns > 0 && textWidth(mark+" "+score+gap+plain.tally(text, r)) > c.columns {
		gap = "\n  "
	}
	b.WriteString(c.paint(looks, mark+" "+score) + gap + c.tally(text, r) + "\n")
	for _, g := range r.Groups {
		mark, looks := groupMark(g)
		b.WriteString("\n" + c.paint(looks, mark) + " " + c.paint(bold, clean(g.Name)) + "\n")
		if f.explain && g.Why != "" {
			b.WriteString(c.paintLines(dim, wrap(clean(g.Why), "  ", c.columns)))
		}
		for _, x := range g.Findings {
			c.finding(&b, text, f, x)
		}
		if g.Group == checkup.SPF && r.SPF != nil {
			c.spfTree(&b, text, r.SPF)
		}
	}
	if f.explain {
		c.listingTable(&b, text, r.Listings)
	}
	_, err := c.Stdout.Write([]byte(b.String()))
	return err
}

// tally counts the findings of each state, the gravest first.
func (c *command) tally(text func(string, map[string]any) string, r checkup.CheckJSON) string {
	n, optional := map[checkup.State]int{}, 0
	for _, g := range r.Groups {
		for _, x := range g.Findings {
			if x.Optional && x.State == checkup.Advice {
				optional++
				continue
			}
			n[x.State]++
		}
	}
	var parts []string
	for _, s := range []checkup.State{checkup.Problem, checkup.Unknown, checkup.Advice, checkup.Fine} {
		if n[s] > 0 {
			_, looks := checkMark(s)
			parts = append(parts, c.paint(looks, text("tally-"+string(s), map[string]any{"Count": n[s]})))
		}
	}
	if optional > 0 {
		parts = append(parts, c.paint(dim, text("tally-optional", map[string]any{"Count": optional})))
	}
	return strings.Join(parts, ", ")
}

// groupMark is how a group looks: one in which only what is optional could be better does not shout.
func groupMark(g checkup.GroupJSON) (mark string, looks style) {
	mark, looks = checkMark(g.State)
	if g.State == checkup.Advice && !slices.ContainsFunc(g.Findings, func(x checkup.FindingJSON) bool { return x.State == checkup.Advice && !x.Optional }) {
		looks = dim
	}
	return mark, looks
}

// paintLines paints each line by itself, so that a pager that cuts keeps the looks.
func (c *command) paintLines(s style, text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = c.paint(s, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// finding prints one finding: a line or more for what is the case, then what to do, the records to publish, and what was asked and found.
func (c *command) finding(b *strings.Builder, text func(string, map[string]any) string, f checkFlags, x checkup.FindingJSON) {
	const indent = "    "
	mark, looks := checkMark(x.State)
	if x.Optional && x.State == checkup.Advice {
		looks = dim
	}
	what := strings.TrimPrefix(wrap(clean(x.What), indent, c.columns), indent)
	b.WriteString("  " + c.paint(looks, mark) + " " + what)
	if x.State == checkup.Fine && !f.explain {
		return
	}
	if x.Do != "" {
		b.WriteString(wrap("→ "+clean(x.Do), indent, c.columns))
	}
	for i, r := range x.Records {
		if choice := r.Choice; choice > 0 && (i == 0 || x.Records[i-1].Choice != choice) {
			b.WriteString(c.paint(dim, indent+text("choice", map[string]any{"Number": choice})) + "\n")
		}
		for _, old := range r.Replace {
			b.WriteString(c.paint(red, "      - "+clean(old)) + "\n")
		}
		b.WriteString("      " + c.paint(bold, clean(r.Zone)) + "\n") // never broken: it is to be copied
	}
	if !f.explain {
		return
	}
	for _, q := range x.Evidence {
		for line := range strings.SplitSeq(evidence(text, q), "\n") {
			b.WriteString(c.paintLines(dim, wrap(clean(line), "      ", c.columns)))
		}
	}
}

// evidence is one question with its answer, a line for the question and one for each value.
func evidence(text func(string, map[string]any) string, q checkup.QuestionJSON) string {
	head := q.Type + " " + q.Name
	if q.Server != "" {
		head += " @" + q.Server
	}
	switch {
	case q.Status == "try later":
		return head + ": " + text("later", map[string]any{"Why": q.Why})
	case len(q.Values) == 0 && q.NoName:
		return head + ": " + text("no-name", nil)
	case len(q.Values) == 0:
		return head + ": " + text("nothing", nil)
	case len(q.Values) == 1:
		return head + ": " + q.Values[0]
	}
	return head + ":\n  " + strings.Join(q.Values, "\n  ")
}

// spfTree prints an SPF record with what each of its terms costs.
func (c *command) spfTree(b *strings.Builder, text func(string, map[string]any) string, t *checkup.SPFTree) {
	b.WriteString(c.paintLines(dim, wrap(text("spf", map[string]any{"Lookups": t.Lookups, "Voids": t.Voids}), "    ", c.columns)))
	var walk func(nodes []*checkup.SPFNode, lead string)
	walk = func(nodes []*checkup.SPFNode, lead string) {
		for i, n := range nodes {
			branch, below := "├ ", "│ "
			if i == len(nodes)-1 {
				branch, below = "└ ", "  "
			}
			line := lead + branch + clean(n.Term)
			note := ""
			if n.Lookups > 0 {
				note += "  " + text("lookups", map[string]any{"Count": n.Lookups})
			}
			looks := dim
			if n.Result != "" && n.Result != checkup.TermFound {
				note += "  " + text("term-"+strings.ReplaceAll(n.Result, " ", "-"), nil)
				looks = yellow
			}
			if len(n.Addresses) > 0 {
				var all []string
				for _, a := range n.Addresses[:min(len(n.Addresses), 4)] {
					all = append(all, a.String())
				}
				note += "  = " + strings.Join(all, ", ")
				if len(n.Addresses) > 4 {
					note += ", …"
				}
			}
			if c.columns > 0 {
				line = cut(line, c.columns-1)
				note = cut(note, max(0, c.columns-1-textWidth(line)))
			}
			b.WriteString(line + c.paint(looks, note) + "\n")
			walk(n.Children, lead+below)
		}
	}
	walk(t.Nodes, "    ")
}

// listingTable prints the answer of every list, the listings first.
func (c *command) listingTable(b *strings.Builder, text func(string, map[string]any) string, all []checkup.ListingJSON) {
	if len(all) == 0 {
		return
	}
	order := []string{"listed", "unknown", "clean", "disabled"}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(x, y checkup.ListingJSON) int {
		return slices.Index(order, string(x.State)) - slices.Index(order, string(y.State))
	})
	b.WriteString("\n" + c.paint(bold, text("lists", nil)) + "\n")
	t := c.table(text("list", nil), text("answer", nil), text("weight", nil), text("meaning", nil))
	for _, l := range all {
		looks := plainText
		switch {
		case l.State == "listed" && l.Allow:
			looks = green
		case l.State == "listed":
			looks = red
		case l.State == "unknown":
			looks = cyan
		case l.State == "disabled":
			looks = dim
		}
		what := strings.Join(l.Meaning, "; ")
		if what == "" {
			what = l.Why
		}
		t.row(cell{text: l.List, style: looks}, cell{text: text("state-"+string(l.State), nil), style: looks}, cell{text: fmt.Sprint(l.Weight), right: true}, cell{text: what, style: looks})
	}
	_ = t.print(b) // a strings.Builder does not fail
}
