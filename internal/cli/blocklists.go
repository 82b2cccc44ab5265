package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/api"
	"postern/internal/dnsbl"
	"postern/internal/locale"
)

func (c *command) blocklists() *cobra.Command {
	var lang string
	cmd := &cobra.Command{Use: "blocklists [ZONE|NAME]", Short: "Show how the blocklists in use fare, or what is known of one", Args: cobra.MaximumNArgs(1),
		Long: "Show the blocklists in use: which are asked, which are not and why, the questions of the day and their budget. Exit code 1 while an operator refuses our name server.\n\n" +
			"With a zone or name: what is known of that list, what its answers mean and how one gets off it; needs no server."}
	languageFlag(cmd, &lang, "the texts")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return c.oneBlocklist(args[0], lang)
		}
		server, err := c.server()
		if err != nil {
			return err
		}
		all, err := server.Blocklists(cmd.Context(), lang)
		if err != nil {
			return err
		}
		if c.json {
			err = c.object(all)
		} else {
			err = c.printBlocklists(all)
		}
		if err == nil && len(all.Refusals) > 0 {
			err = errBad
		}
		return err
	}
	return c.jsonFlag(cmd)
}

// standingStyle is how the state of a list looks.
var standingStyle = map[string]style{"usable": green, "refused": red, "unhealthy": red, "resting": yellow, "budget": yellow, "closed": dim, "unproven": dim}

func (c *command) printBlocklists(all api.Blocklists) error {
	counts := map[string]int{}
	for _, l := range all.Blocklists {
		counts[l.State]++
	}
	parts := []string{c.paint(bold, fmt.Sprintf("%d of %s asked", counts["usable"], count(len(all.Blocklists), "list")))}
	for _, s := range dnsbl.Standings()[1:] {
		if n := counts[string(s)]; n > 0 {
			parts = append(parts, c.paint(standingStyle[string(s)], fmt.Sprintf("%d %s", n, s)))
		}
	}
	_, _ = fmt.Fprintln(c.Stdout, strings.Join(parts, ", "))
	for _, r := range all.Refusals {
		what := fmt.Sprintf("%s refuses our name server since %s: %s", r.Operator, clock(r.Since), r.Text)
		if r.Resolver != "" {
			what += " [" + r.Resolver + "]"
		}
		_, _ = fmt.Fprintf(c.Stdout, "\n%s\n", c.paint(red, clean(what)))
		_, _ = fmt.Fprint(c.Stdout, wrap(clean(r.Remedy), "    ", c.columns))
	}
	_, _ = fmt.Fprintln(c.Stdout)
	t := c.table("LIST", "ZONE", "WEIGHT", "STATE", "TODAY", "BUDGET")
	number := func(n any) cell { return cell{text: fmt.Sprint(n), right: true} }
	for _, l := range all.Blocklists {
		name := l.Name
		if l.Allow {
			name += " (allow)"
		}
		budget := ""
		if l.PerDay > 0 {
			budget = fmt.Sprintf("%d a day", l.PerDay)
		}
		if l.PerSecond > 0 {
			budget = strings.TrimPrefix(fmt.Sprintf("%s, %g/s", budget, l.PerSecond), ", ")
		}
		t.row(name, cell{text: l.Zone, style: dim}, number(l.Weight), cell{text: l.State, style: standingStyle[l.State]}, number(l.Asked), cell{text: budget, style: dim})
		if l.Why != "" && l.State != "closed" {
			t.note(dim, l.Why)
		}
	}
	return t.print(c.Stdout)
}

// oneBlocklist prints what the directory knows of one list.
func (c *command) oneBlocklist(text, lang string) error {
	if why, dead := dnsbl.DeadText(text); dead {
		sentence, reason := "%s must not be asked: %s", why.EN
		if lang == locale.French {
			sentence, reason = "%s ne doit pas être interrogée\u00a0: %s", locale.Typeset(why.FR)
		}
		if err := c.say(sentence, text, reason); err != nil {
			return err
		}
		return errBad
	}
	for _, l := range dnsbl.Directory() {
		if strings.EqualFold(l.Zone, text) || strings.EqualFold(l.Name, text) {
			return c.printBlocklist(l, lang)
		}
	}
	return fmt.Errorf("the directory has no list %q; docs/operator/blocklists.md holds all of them", text)
}

// accessWords and wayWords are the French of words that the directory has as codes; in English the code is the word.
var (
	accessWords = map[string]dnsbl.Text{"free": {EN: "free", FR: "libre"}, "key": {EN: "key", FR: "clé"}, "registration": {EN: "registration", FR: "enregistrement"}, "web": {EN: "web", FR: "page web"}}
	wayWords    = map[string]dnsbl.Text{"self": {EN: "self", FR: "par soi-même"}, "form": {EN: "form", FR: "formulaire"}, "expires": {EN: "expires", FR: "expire de lui-même"},
		"owner": {EN: "owner", FR: "par le titulaire du réseau ou du domaine"}, "none": {EN: "none", FR: "aucune"}}
)

func (c *command) printBlocklist(l dnsbl.List, lang string) error {
	word := func(t dnsbl.Text) string {
		if lang == locale.French {
			return locale.Typeset(t.FR)
		}
		return t.EN
	}
	named := func(words map[string]dnsbl.Text, name string) string {
		if t, ok := words[name]; ok && lang == locale.French {
			return word(t)
		}
		return name
	}
	label := map[string][]string{
		"en": {"Zone", "Operator", "Lists", "Weight", "Evidence", "Access", "Terms", "Budget", "Look-up", "Answer", "Way out", "Before", "How", "Takes", "never pay"},
		"fr": {"Zone", "Exploitant", "Recense", "Poids", "Preuve", "Accès", "Conditions", "Budget", "Recherche", "Réponse", "Sortie", "Avant", "Comment", "Délai", "ne payez jamais"},
	}[lang]
	if c.json {
		d := l.Delisting
		return c.object(map[string]any{"name": l.Name, "zone": l.Zone, "operator": l.Operator, "what": word(l.What), "weight": l.Weight, "evidence": l.Evidence, "access": l.Access, "terms": word(l.Terms),
			"per_day": l.Budget.PerDay, "per_second": l.Budget.PerSecond, "url": l.LookupURL, "allow": l.Allow,
			"delisting": map[string]any{"way": d.Way, "url": d.URL, "before": word(d.Before), "how": word(d.How), "takes": word(d.Takes), "text": d.Text, "fields": d.Fields, "language": d.Lang, "never_pay": d.NeverPay}})
	}
	pairs := []any{l.Name, cell{text: word(l.What), style: bold}, label[0], l.Zone, label[1], l.Operator, label[3], fmt.Sprint(l.Weight), label[4], string(l.Evidence), label[5], named(accessWords, string(l.Access)), label[6], word(l.Terms)}
	if l.Budget.PerDay > 0 {
		budget := fmt.Sprintf("%d/d, %g/s", l.Budget.PerDay, l.Budget.PerSecond)
		if lang == locale.French {
			budget = locale.Number(lang, float64(l.Budget.PerDay)) + "/j, " + locale.Number(lang, l.Budget.PerSecond) + "/s"
		}
		pairs = append(pairs, label[7], budget)
	}
	pairs = append(pairs, label[8], l.LookupURL)
	for _, x := range l.Codes {
		answer := fmt.Sprintf("%s  %s: %s", x.Pattern, x.Name, word(x.Meaning))
		if x.Bit != 0 {
			answer = fmt.Sprintf("%s & %d  %s: %s", x.Pattern, x.Bit, x.Name, word(x.Meaning))
		}
		pairs = append(pairs, label[9], answer)
	}
	d := l.Delisting
	way := named(wayWords, string(d.Way))
	if d.NeverPay {
		way += ", " + label[14]
	}
	pairs = append(pairs, label[10], strings.TrimSuffix(way+"  "+d.URL, "  "))
	if err := c.pairs(c.Stdout, pairs...); err != nil {
		return err
	}
	for i, text := range []dnsbl.Text{d.Before, d.How, d.Takes} {
		if _, err := fmt.Fprintf(c.Stdout, "\n%s\n%s", c.paint(bold, label[11+i]), wrap(clean(word(text)), "    ", c.columns)); err != nil {
			return err
		}
	}
	return nil
}
