package reputation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/dnsbl"
	"postern/internal/locale"
)

// vocabulary words what the room writes itself.
type vocabulary struct{ c *locale.Catalog }

func newVocabulary(c *locale.Catalog) *vocabulary { return &vocabulary{c} }

func (v *vocabulary) text(lang, key string, args map[string]any) string {
	return v.c.Text(lang, "reputation."+key, args)
}

// lineWidth is that of plain mail.
const lineWidth = 76

func (w *Watch) request(ctx context.Context, id, lang string) (Request, error) {
	if w.o.Catalog == nil {
		return Request{}, errors.New("reputation: a request needs a catalogue of texts")
	}
	if !slices.Contains(locale.Languages(), lang) {
		lang = locale.English
	}
	d, err := w.readDossier(ctx, id)
	if err != nil {
		return Request{}, err
	}
	r := Request{Dossier: d.ID, Language: lang, Ways: d.Delisting, Warnings: w.warnings(d)}
	r.Subject = w.words.text(lang, "request.subject", map[string]any{"Target": d.Target, "List": d.List})
	r.Body = w.requestBody(d, lang)
	return r, nil
}

// requestBody writes the request from what is known: no more is said than the dossier bears out.
func (w *Watch) requestBody(d Dossier, lang string) string {
	text := func(key string, pairs ...any) string {
		args := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			args[pairs[i].(string)] = pairs[i+1]
		}
		return w.words.text(lang, "request."+key, args)
	}
	var out []string
	para := func(s string) {
		out = append(out, wrap(s, "", lineWidth), "")
	}
	item := func(s string) { out = append(out, wrap("- "+s, "  ", lineWidth)) }
	para(text("greeting"))
	key := "intro.ip"
	if d.Kind == Domain {
		key = "intro.domain"
	}
	para(text(key, "Target", d.Target, "List", d.List, "Since", d.Listed, "Host", w.o.Host))
	if codes := listedCodes(d); codes != "" {
		para(text("codes", "Codes", codes))
	}
	if c := requestCause(d); c != "" {
		para(text("cause." + c))
	} else {
		para(text("cause.gap"))
	}
	var done []Step
	for _, s := range d.Checklist {
		if s.Done && w.o.Catalog.Has("reputation.step."+s.Code+".done") {
			done = append(done, s)
		}
	}
	if len(done) > 0 {
		out = append(out, wrap(text("mended"), "", lineWidth))
		for _, s := range done {
			item(w.words.text(lang, "step."+s.Code+".done", map[string]any{"Target": d.Target}) + ", " + locale.Date(lang, s.At))
		}
		out = append(out, "")
	} else {
		para(text("mended.gap"))
	}
	contact := addressOf(w.o.Contact)
	if contact == "" {
		contact = text("contact.gap")
	}
	para(text("please", "Target", d.Target))
	para(text("contact", "Contact", contact))
	out = append(out, text("closing"), text("signature", "Host", w.o.Host))
	return strings.Join(out, "\n") + "\n"
}

// listedCodes are the names of the codes of all lists, once each.
func listedCodes(d Dossier) string {
	var names []string
	for _, l := range d.Listings {
		for _, n := range l.Names {
			if l.Until.IsZero() && n != "listed" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return strings.Join(names, ", ")
}

// requestCause is the cause that a request may name: likely, and one that has to do with us.
func requestCause(d Dossier) string {
	for _, c := range d.Causes {
		if c.Likelihood == Likely {
			return c.Code
		}
	}
	return ""
}

// wrap breaks a paragraph into lines; those after the first begin with indent.
func wrap(s, indent string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(s) {
		n := len([]rune(word))
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// warnings are the reasons to wait with a request.
func (w *Watch) warnings(d Dossier) (out []Warning) {
	warn := func(code string, pairs ...any) {
		args := map[string]any{}
		for i := 0; i+1 < len(pairs); i += 2 {
			args[pairs[i].(string)] = pairs[i+1]
		}
		out = append(out, Warning{code, args})
	}
	if !d.State.lasts() {
		warn("clean")
	}
	if d.Gathered.IsZero() {
		warn("not-gathered")
	}
	open, done := 0, 0
	for _, s := range d.Checklist {
		switch {
		case s.Code == "ask-list" || s.Code == "watch-sender":
		case s.Done:
			done++
		default:
			open++
		}
	}
	if open > 0 {
		warn("steps", "Count", open, "Done", done)
	}
	if d.Evidence.RecentKnown && d.Evidence.Recent.Faults() >= 20 && d.Evidence.Recent.Faults()*20 >= d.Evidence.Recent.Messages {
		warn("still-sending", "Count", d.Evidence.Recent.Faults(), "Messages", d.Evidence.Recent.Messages)
	}
	if d.State == Requested {
		warn("again")
	}
	ways := map[dnsbl.Way]bool{}
	for _, x := range d.Delisting {
		ways[x.Way] = true
	}
	switch {
	case ways[dnsbl.Expires] && len(ways) == 1:
		warn("expires")
	case ways[dnsbl.None] && len(ways) == 1:
		warn("no-way")
	case ways[dnsbl.Owner] && len(ways) == 1:
		warn("owner")
	}
	if addressOf(w.o.Contact) == "" {
		warn("contact")
	}
	return out
}

// Said is one line for people: what a moment of a timeline, an act or an event is. It is plain text; parts of it come from outside.
func (w *Watch) Said(lang string, m Moment) string {
	if w.o.Catalog == nil {
		return ""
	}
	if e := m.Event; e != nil {
		return w.words.text(lang, "event."+string(e.Kind), map[string]any{"Target": e.Target, "List": e.List, "Names": strings.Join(e.Names, ", ")})
	}
	if a := m.Act; a != nil {
		return ActText(w.o.Catalog, lang, *a)
	}
	return ""
}

// ActText is an act in words, without who did it.
func ActText(c *locale.Catalog, lang string, a Act) string {
	args := map[string]any{"Text": a.Text}
	switch a.Kind {
	case MovedTo:
		args["From"], args["To"] = StateName(c, lang, a.From), StateName(c, lang, a.To)
	case Ticked, Unticked:
		args["Step"] = c.Text(lang, "reputation.step."+a.Step+".what", nil)
	case GatheredNow:
		words := strings.Fields(a.Text)
		for i, code := range words {
			words[i] = c.Text(lang, "reputation.cause."+code+".name", nil)
		}
		args["Text"] = strings.Join(words, " → ")
	}
	return c.Text(lang, "reputation.act."+string(a.Kind), args)
}

// StateName is a state in a word.
func StateName(c *locale.Catalog, lang string, s State) string {
	return c.Text(lang, fmt.Sprintf("reputation.state.%s", s), nil)
}

// ReasonText is a reason in words.
func ReasonText(c *locale.Catalog, lang string, r Reason) string {
	return c.Text(lang, "reputation.reason."+r.Code, r.Args)
}
