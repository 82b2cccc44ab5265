package provider

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/tree"
)

// reader turns the node of one provider into what it means.
type reader struct {
	*gatherer
	name  string
	ids   map[string]tree.Place
	texts map[string]map[string]string // advice by name
}

// fields calls the function of each key; keys without one are faults.
func (r reader) fields(n *tree.Node, what string, fields map[string]func(*tree.Node)) {
	if n.Form != tree.Mapping {
		if n.Form != tree.Broken {
			r.bad(n.At, "%s: found %s; expected key: value lines", what, n.Form)
		}
		return
	}
	for _, e := range n.Entries {
		read := fields[e.Key]
		switch {
		case read == nil:
			r.bad(e.At, "%s: key %q is not known; known are %s", what, tree.Clip(e.Key), strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case e.Value.Form == tree.Broken:
		case e.Value.Form == tree.Nothing:
			r.bad(e.At, "%s: %s has no value; write one or take the line out", what, e.Key)
		default:
			read(e.Value)
		}
	}
}

func (r reader) text(into *string) func(*tree.Node) {
	return func(n *tree.Node) {
		if n.Form != tree.Scalar || strings.TrimSpace(n.Text) == "" {
			r.bad(n.At, "%s: found %s; expected a text", r.name, n.Form)
			return
		}
		*into = strings.Join(strings.Fields(n.Text), " ")
	}
}

func (r reader) number(into *int, most int) func(*tree.Node) {
	return func(n *tree.Node) {
		v, err := strconv.Atoi(n.Text)
		if n.Form != tree.Scalar || err != nil || v < 0 || v > most {
			r.bad(n.At, "%s: %q is not a number from 0 to %d", r.name, tree.Clip(n.Text), most)
			return
		}
		*into = v
	}
}

func (r reader) fraction(into *float64, most float64) func(*tree.Node) {
	return func(n *tree.Node) {
		v, err := strconv.ParseFloat(n.Text, 64)
		if n.Form != tree.Scalar || err != nil || !(v > 0 && v <= most) {
			r.bad(n.At, "%s: %q is not a number above 0 and up to %g", r.name, tree.Clip(n.Text), most)
			return
		}
		*into = v
	}
}

func (r reader) yes(into *bool) func(*tree.Node) {
	return func(n *tree.Node) {
		if n.Form != tree.Scalar || n.Text != "true" && n.Text != "false" {
			r.bad(n.At, "%s: %q is neither true nor false", r.name, tree.Clip(n.Text))
			return
		}
		*into = n.Text == "true"
	}
}

// maxTime is the longest time that makes sense here.
const maxTime = 31 * 24 * time.Hour

// span reads "30m", "4h", "2d".
func span(s string) (time.Duration, error) {
	var d time.Duration
	if days, ok := strings.CutSuffix(s, "d"); ok && len(days) <= 2 && digits(days) {
		n, _ := strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
	} else {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, fmt.Errorf("%q is no time; write one like 30s, 15m, 2h or 3d", tree.Clip(s))
		}
	}
	if d < time.Second || d > maxTime {
		return 0, fmt.Errorf("%q is out of bounds; from 1s to 31d", tree.Clip(s))
	}
	return d, nil
}

func (r reader) span(into *time.Duration) func(*tree.Node) {
	return func(n *tree.Node) {
		d, err := span(n.Text)
		if n.Form != tree.Scalar || err != nil {
			r.bad(n.At, "%s: %q is no time; write one like 30s, 15m, 2h or 3d, from 1s to 31d", r.name, tree.Clip(n.Text))
			return
		}
		*into = d
	}
}

// words reads a list of texts, or one text. check refuses what is wrong.
func (r reader) words(into *[]string, check func(string) error) func(*tree.Node) {
	return func(n *tree.Node) {
		items := n.Items
		if n.Form == tree.Scalar {
			items = []*tree.Node{n}
		} else if n.Form != tree.List || len(items) == 0 {
			r.bad(n.At, "%s: found %s; expected a text or a list of them", r.name, n.Form)
			return
		}
		for _, x := range items {
			if x.Form != tree.Scalar || strings.TrimSpace(x.Text) == "" {
				r.bad(x.At, "%s: found %s in a list of texts", r.name, x.Form)
				continue
			}
			s := strings.TrimSpace(x.Text)
			if check != nil {
				if err := check(s); err != nil {
					r.bad(x.At, "%s: %v", r.name, err)
					continue
				}
			}
			*into = append(*into, s)
		}
	}
}

func (r reader) domains(into *[]mail.Domain) func(*tree.Node) {
	return func(n *tree.Node) {
		var names []string
		r.words(&names, func(s string) error {
			d, err := mail.ParseDomain(s)
			if err == nil && string(d) != s {
				err = fmt.Errorf("write it as %s", d)
			}
			if err != nil {
				return fmt.Errorf("domain %q: %w", tree.Clip(s), err)
			}
			return nil
		})(n)
		for _, s := range names {
			*into = append(*into, mail.Domain(s))
		}
	}
}

func exchanger(s string) error {
	name := strings.TrimPrefix(s, "*.")
	d, err := mail.ParseDomain(strings.ReplaceAll(name, "*", "x"))
	if err != nil || string(d) != strings.ReplaceAll(name, "*", "x") || !strings.Contains(name, ".") {
		return fmt.Errorf("MX %q is no host name; write mx.example.net, *.example.net for every name below it, or mx*.example.net", tree.Clip(s))
	}
	if labels := strings.Split(name, "."); strings.Contains(strings.Join(labels[max(0, len(labels)-2):], "."), "*") {
		return fmt.Errorf("MX %q would fit domains of others; the last two labels must be written out", tree.Clip(s))
	}
	return nil
}

// languages are those in which people are advised.
var languages = []string{"en", "fr"}

// advice reads {en: …, fr: …}, or the name of advice that several rules share.
func (r reader) advice(into *map[string]string) func(*tree.Node) {
	return func(n *tree.Node) {
		if n.Form == tree.Scalar {
			if *into = r.texts[n.Text]; *into == nil {
				*into = map[string]string{}
				r.bad(n.At, "%s: there is no shared advice of the name %q; write {en: …, fr: …}", r.name, tree.Clip(n.Text))
			}
			return
		}
		var en, fr string
		r.fields(n, r.name, map[string]func(*tree.Node){"en": r.text(&en), "fr": r.text(&fr)})
		*into = map[string]string{"en": en, "fr": locale.Typeset(fr)}
		for _, l := range languages {
			if (*into)[l] == "" && n.Form == tree.Mapping {
				r.bad(n.At, "%s: the text in language %q is missing", r.name, l)
			}
		}
	}
}

// measured are the fields that a provider may have published or not.
var measured = []string{"limits.connections", "limits.per_connection", "limits.per_message", "limits.per_second", "limits.per_minute", "limits.per_hour", "limits.per_day",
	"limits.tls", "retry", "floor", "governor"}

// provider reads one provider.
func (r reader) provider(n *tree.Node) *Provider {
	p := &Provider{}
	r.fields(n, r.name, map[string]func(*tree.Node){
		"name": r.text(&p.Name), "title": r.text(&p.Title), "group": r.text(&p.Group), "about": r.advice(&p.About),
		"who": func(n *tree.Node) {
			r.fields(n, r.name+": who", map[string]func(*tree.Node){"mx": r.words(&p.Who.MX, exchanger), "domains": r.domains(&p.Who.Domains), "mailboxes": r.domains(&p.Who.Mailboxes)})
		},
		"limits": func(n *tree.Node) {
			const most = 10_000_000
			r.fields(n, r.name+": limits", map[string]func(*tree.Node){
				"connections": r.number(&p.Limits.Connections, 10_000), "per_connection": r.number(&p.Limits.PerConnection, most), "per_message": r.number(&p.Limits.PerMessage, 10_000),
				"per_second": r.fraction(&p.Limits.PerSecond, 100_000), "per_minute": r.number(&p.Limits.PerMinute, most), "per_hour": r.number(&p.Limits.PerHour, most),
				"per_day": r.number(&p.Limits.PerDay, 1_000_000_000), "tls": func(n *tree.Node) {
					if n.Text != "required" {
						r.bad(n.At, "%s: tls: %q is not known; write required or take the line out", r.name, tree.Clip(n.Text))
						return
					}
					p.Limits.TLS = n.Text
				}})
		},
		"retry": func(n *tree.Node) { p.Retry = r.retry(n, r.name+": retry") },
		"floor": r.number(&p.Floor, 1_000_000),
		"governor": func(n *tree.Node) {
			r.fields(n, r.name+": governor", map[string]func(*tree.Node){"unknown": r.fraction(&p.Governor.Unknown, 1), "of": r.span(&p.Governor.Of),
				"least": r.number(&p.Governor.Least, 1_000_000), "pause": r.span(&p.Governor.Pause)})
			if g := p.Governor; n.Form == tree.Mapping && (g.Unknown == 0 || g.Of == 0 || g.Least == 0 || g.Pause == 0) {
				r.bad(n.At, "%s: governor needs unknown, of, least and pause", r.name)
			}
		},
		"careful": r.words(&p.Careful, func(s string) error {
			if !slices.Contains(measured, s) {
				return fmt.Errorf("careful: %q is not known; known are %s", tree.Clip(s), strings.Join(measured, ", "))
			}
			return nil
		}),
		"sources": func(n *tree.Node) { p.Sources = r.sources(n) },
		"answers": func(n *tree.Node) { p.Rules = r.rules(n) },
	})
	if p.Title == "" {
		r.bad(n.At, "%s: title: is missing; write the name that people know", r.name)
	}
	if len(p.Sources) == 0 {
		r.bad(n.At, "%s: sources: is missing; write where this is known from, with the date when it was read: - {what: …, address: …, read: 2026-11-22}", r.name)
	}
	if p.About == nil {
		r.bad(n.At, "%s: about: is missing; write {en: …, fr: …}, a sentence or two on what is known", r.name)
	}
	if len(p.Who.MX)+len(p.Who.Domains) == 0 && r.name != "default" && n.Get("who") != nil {
		r.bad(n.At, "%s: who: names neither mx nor domains, so nothing ever reaches it", r.name)
	}
	if n.Get("who") == nil && r.name != "default" {
		r.bad(n.At, "%s: who: is missing; write {mx: [\"*.example.net\"]} or {domains: [example.net]}", r.name)
	}
	return p
}

func (r reader) retry(n *tree.Node, what string) Retry {
	var out Retry
	r.fields(n, what, map[string]func(*tree.Node){
		"every": func(n *tree.Node) {
			var every []string
			r.words(&every, func(s string) error { _, err := span(s); return err })(n)
			for _, s := range every {
				d, _ := span(s)
				out.Every = append(out.Every, d)
			}
		},
		"for": r.span(&out.For),
	})
	if n.Form == tree.Mapping && len(out.Every) == 0 {
		r.bad(n.At, "%s needs every: [30m, 1h]", what)
	}
	return out
}

func (r reader) sources(n *tree.Node) []Source {
	if n.Form != tree.List {
		r.bad(n.At, "%s: sources: found %s; expected a list", r.name, n.Form)
		return nil
	}
	var out []Source
	for _, x := range n.Items {
		var s Source
		r.fields(x, r.name+": sources", map[string]func(*tree.Node){"what": r.text(&s.What), "address": r.text(&s.Address), "read": r.text(&s.Read)})
		if x.Form == tree.Mapping && (s.What == "" || s.Read == "") {
			r.bad(x.At, "%s: a source needs what: and read: (the date when it was read)", r.name)
		}
		if _, err := time.Parse("2006-01-02", s.Read); s.Read != "" && err != nil {
			r.bad(x.At, "%s: %q is no date; write one like 2026-11-22", r.name, tree.Clip(s.Read))
		}
		out = append(out, s)
	}
	return out
}

// anyRules reads what holds for every receiver.
func (r reader) anyRules(n *tree.Node) []*Rule {
	var rules []*Rule
	var title string
	r.fields(n, r.name, map[string]func(*tree.Node){"name": r.text(new(string)), "title": r.text(&title), "about": r.advice(new(map[string]string)),
		"sources": func(n *tree.Node) { r.sources(n) }, "answers": func(n *tree.Node) { rules = r.rules(n) }})
	return rules
}

func (r reader) rules(n *tree.Node) []*Rule {
	if n.Form != tree.List {
		r.bad(n.At, "%s: answers: found %s; expected a list", r.name, n.Form)
		return nil
	}
	var out []*Rule
	for _, x := range n.Items {
		if rule := r.rule(x); rule != nil {
			out = append(out, rule)
		}
	}
	return out
}

// phases are the steps of a conversation in which an answer may come.
var phases = []string{"connect", "ehlo", "tls", "mail", "rcpt", "data", "end"}

// parties are those who may be at fault, as rules name them.
var parties = []Party{SenderIP, SenderDomain, Config, Volume, Message, OfRecipient, RecipientDomain, OfProvider}

func (r reader) rule(n *tree.Node) *Rule {
	out := &Rule{Operator: n.At.Layer > 0, File: n.At.File, Line: n.At.Line, at: n.At}
	var id, category, party, fate string
	permanent, said := false, false
	m := &out.Meaning
	r.fields(n, r.name+": answers", map[string]func(*tree.Node){
		"id": func(n *tree.Node) {
			if r.text(&id)(n); id != "" {
				r.gatherer.checkID(r, id, n.At)
			}
		},
		"code": r.words(&out.Codes, func(s string) error {
			if len(s) > 3 || !digits(s) || s[0] != '4' && s[0] != '5' {
				return fmt.Errorf("code %q: write 550, 45 for all that begin so, or 4 or 5", tree.Clip(s))
			}
			return nil
		}),
		"enhanced": r.words(&out.Enhanced, func(s string) error {
			status, err := newStatus(s)
			out.statuses = append(out.statuses, status)
			return err
		}),
		"phase": r.words(&out.Phases, func(s string) error {
			if !slices.Contains(phases, s) {
				return fmt.Errorf("phase %q is not known; known are %s", tree.Clip(s), strings.Join(phases, ", "))
			}
			return nil
		}),
		"text": r.words(&out.Texts, r.patterns(&out.text)), "not": r.words(&out.Not, r.patterns(&out.not)),
		"category": r.text(&category), "party": r.text(&party), "fate": r.text(&fate),
		"permanent": func(n *tree.Node) { said = true; r.yes(&permanent)(n) },
		"do":        func(n *tree.Node) { m.Do = r.do(n) },
		"advice":    r.advice(&m.Advice), "doubt": r.text(&out.Doubt), "test": r.words(&out.Tests, nil),
	})
	if n.Form != tree.Mapping {
		return nil
	}
	where := cmp.Or(id, "a rule")
	r.name = r.name + "/" + where
	out.ID, m.Rule = r.name, r.name
	k, known := usual[Category(category)]
	m.Category, m.Party = k.category, k.party
	switch {
	case id == "":
		r.bad(n.At, "%s: id: is missing; write a short name of its own in small letters", r.name)
	case category == "":
		r.bad(n.At, "%s: category: is missing; known are %s", r.name, categoryNames())
	case !known:
		r.bad(n.At, "%s: category %q is not known; known are %s", r.name, tree.Clip(category), categoryNames())
	}
	if party != "" {
		if m.Party = Party(party); !slices.Contains(parties, m.Party) {
			r.bad(n.At, "%s: party %q is not known; known are %s", r.name, tree.Clip(party), strings.Trim(fmt.Sprint(parties), "[]"))
		}
	}
	switch fate {
	case "":
	case "later":
		m.Fate = Later
	case "final":
		m.Fate = Final
	default:
		r.bad(n.At, "%s: fate %q is not known; write later (tried again also after a 5xx) or final (given up also after a 4xx), or take the line out", r.name, tree.Clip(fate))
	}
	m.Permanent = k.permanent
	out.permanent = said
	if said {
		m.Permanent = permanent
	}
	if len(out.Texts)+len(out.Enhanced)+len(out.Codes) == 0 {
		r.bad(n.At, "%s: nothing says which answers it is about; write text:, enhanced: or code:", r.name)
	}
	if m.Advice == nil {
		r.bad(n.At, "%s: advice: is missing; write {en: …, fr: …}", r.name)
	}
	if len(out.Tests) == 0 {
		r.bad(n.At, "%s: test: is missing; give answers as servers send them, such as \"550 5.1.1 No such user\"", r.name)
	}
	return out
}

// checkID demands that a rule's name is a plain word of its own.
func (g *gatherer) checkID(r reader, id string, at tree.Place) {
	if !plainName(id) {
		g.bad(at, "%s: id %q: write small letters, digits and hyphens, at most 40", r.name, tree.Clip(id))
	}
	if first, twice := r.ids[id]; twice {
		g.bad(at, "%s: id %q stands already in %s line %d", r.name, tree.Clip(id), first.File, first.Line)
	}
	r.ids[id] = at
}

func (r reader) patterns(into *[]*pattern) func(string) error {
	return func(s string) error {
		if len(s) > 300 {
			return fmt.Errorf("the text %q is too long; at most 300 characters", tree.Clip(s))
		}
		p, err := newPattern(s)
		if err == nil {
			*into = append(*into, p)
		}
		return err
	}
}

func (r reader) do(n *tree.Node) Do {
	var d Do
	r.fields(n, r.name+": do", map[string]func(*tree.Node){
		"pause": r.span(&d.Pause), "probe": r.yes(&d.Probe), "slow": r.fraction(&d.Slow, 0.99), "connections": r.number(&d.Connections, 1000), "for": r.span(&d.For),
		"reconnect": r.yes(&d.Reconnect), "watch": r.yes(&d.Watch), "alarm": r.yes(&d.Alarm), "after": r.number(&d.After, 10_000), "within": r.span(&d.Within),
		"bulk_only": r.yes(&d.BulkOnly), "ipv4": r.yes(&d.IPv4),
		"schedule": func(n *tree.Node) { s := r.retry(n, r.name+": schedule"); d.Schedule = &s },
	})
	switch {
	case (d.Slow != 0 || d.Connections != 0) && d.For == 0:
		r.bad(n.At, "%s: do: slow and connections need for: (how long they hold)", r.name)
	case d.For != 0 && d.Slow == 0 && d.Connections == 0:
		r.bad(n.At, "%s: do: for: says how long slow or connections hold; neither is there", r.name)
	}
	switch {
	case (d.Probe || d.BulkOnly) && d.Pause == 0:
		r.bad(n.At, "%s: do: probe and bulk_only are about a pause; pause: is missing", r.name)
	case (d.After > 1) != (d.Within != 0):
		r.bad(n.At, "%s: do: after (above 1) and within belong together", r.name)
	}
	return d
}

func categoryNames() string {
	var names []string
	for c := range usual {
		names = append(names, string(c))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
