package reputation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern/internal/checkup"
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
	var gaps int
	if r.Body, gaps = w.requestBody(d, lang); gaps > 0 {
		r.Warnings = append(r.Warnings, Warning{"gaps", map[string]any{"Count": gaps}})
	}
	return r, nil
}

// writer puts a request together.
type writer struct {
	w    *Watch
	d    Dossier
	lang string
	out  []string
	gaps int
}

func (r *writer) text(key string, pairs ...any) string {
	return r.w.words.text(r.lang, "request."+key, locale.Args(pairs...))
}

// gap is a place that the operator fills in, in words that nobody sends by mistake.
func (r *writer) gap(key string, pairs ...any) string {
	r.gaps++
	return GapOpen + r.text("gap", "What", r.text("gap."+key, pairs...)) + GapClose
}

func (r *writer) para(parts ...string) {
	r.out = append(r.out, wrap(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " "), "", lineWidth), "")
}

func (r *writer) item(s string) { r.out = append(r.out, wrap("- "+s, "  ", lineWidth)) }

// What opens and closes a gap in a request.
const (
	GapOpen  = "["
	GapClose = "]"
)

// requestBody writes the request from what is known: no more is said than the dossier bears out, and what a list's form asks for and is not known is a gap.
func (w *Watch) requestBody(d Dossier, lang string) (body string, gaps int) {
	r := &writer{w: w, d: d, lang: lang}
	r.para(r.text("greeting"))
	key := "intro.ip"
	if d.Kind == Domain {
		key = "intro.domain"
	}
	codes := ""
	if names := listedCodes(d); names != "" {
		codes = r.text("codes", "Codes", names)
	}
	r.para(r.text(key, "Target", d.Target, "List", d.List, "Since", d.Listed, "Host", w.o.Host), codes)
	r.names()
	r.cause()
	r.mended()
	r.para(r.text("please", "Target", d.Target))
	r.out = append(r.out, r.text("closing"), r.text("signature", "Host", w.o.Host))
	return strings.Join(r.out, "\n") + "\n", r.gaps
}

// names are what a form asks for in fields of its own: address or domain, name in EHLO, reverse name, contact.
func (r *writer) names() {
	field := func(key, value string) {
		r.out = append(r.out, wrap(r.text("field."+key, "Value", value), "  ", lineWidth))
	}
	if r.d.Kind == Domain {
		field("domain", r.d.Target)
		field("gateway", r.w.o.Host)
	} else {
		field("ip", r.d.Target)
		field("helo", r.w.helloOf(r.d.Target))
		field("ptr", r.reverse())
	}
	if contact := addressOf(r.w.o.Contact); contact != "" {
		field("contact", contact)
	} else {
		field("contact", r.gap("contact"))
	}
	if slices.ContainsFunc(r.d.Delisting, func(x Delisting) bool { return slices.Contains(x.Fields, dnsbl.FieldPhone) }) {
		field("phone", r.gap("phone"))
	}
	r.out = append(r.out, "")
}

// helloOf is the name that is given in EHLO from an address.
func (w *Watch) helloOf(target string) string {
	for _, e := range w.egressOf(target) {
		if e.HELO != "" {
			return e.HELO
		}
	}
	return w.o.Host
}

// reverse is the reverse name of an address as the check-up found it.
func (r *writer) reverse() string {
	for _, f := range r.d.Evidence.Findings {
		name, _ := f.Args["Name"].(string)
		switch {
		case f.Group != string(checkup.Reverse):
		case f.Code == "reverse.none":
			return r.gap("ptr-none", "When", r.d.Evidence.At)
		case f.State == string(checkup.Unknown) || name == "":
		case f.Code == "reverse.mismatch" || f.Code == "reverse.no-host":
			return r.gap("ptr-wrong", "Name", name)
		case f.Code == "reverse.generic":
			return r.gap("ptr-generic", "Name", name)
		default:
			return name
		}
	}
	return r.gap("ptr")
}

// withFigures are the causes of which the figures of the sender who stands out tell.
var withFigures = []string{CauseBulk, CauseCompromised, CauseInfected, CauseVolume}

// cause says what happened, as far as it is likely.
func (r *writer) cause() {
	code := requestCause(r.d)
	if code == "" {
		r.para(r.gap("cause"))
		return
	}
	figures := ""
	if all := r.d.Evidence.Senders.Senders; slices.Contains(withFigures, code) && len(all) > 0 && len(all[0].StandsOut) > 0 {
		t, from := all[0].Tally, laterOf(r.d.Evidence.From, r.d.Evidence.Senders.Since)
		figures = r.text("figures", append(r.tally(t), "From", from, "To", r.d.Evidence.To)...)
	}
	r.para(r.text("cause."+code), figures)
}

// tally is the arguments of a sentence with figures.
func (r *writer) tally(t Tally) []any {
	number := func(n int) string { return locale.Number(r.lang, float64(n)) }
	return []any{"Messages", number(t.Messages), "Invalid", number(t.Invalid), "Refused", number(t.Refused), "Complaints", number(t.Complaints)}
}

// mended says what was done, when, and that it has helped.
func (r *writer) mended() {
	var done []Step
	for _, s := range r.d.Checklist {
		if s.Done && r.w.o.Catalog.Has("reputation.step."+s.Code+".done") {
			done = append(done, s)
		}
	}
	if len(done) == 0 {
		r.para(r.gap("mended"))
		return
	}
	r.out = append(r.out, wrap(r.text("mended"), "", lineWidth))
	for _, s := range done {
		r.item(r.text("did", "What", r.w.words.text(r.lang, "step."+s.Code+".done", map[string]any{"Target": r.d.Target}), "When", locale.Day(r.lang, s.At.UTC())))
	}
	r.out = append(r.out, "")
	last := slices.MaxFunc(done, func(a, b Step) int { return a.At.Compare(b.At) }).At
	e := r.d.Evidence
	if t := e.Recent; e.RecentKnown && t.Messages >= 20 && t.Faults()*20 < t.Messages && e.At.After(last) {
		r.para(r.text("recent", append(r.tally(t), "At", e.At)...))
	}
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

// wrap breaks a paragraph into lines, not at spaces that hold words together, nor before French punctuation; lines after the first begin with indent.
func wrap(s, indent string, width int) string {
	var b strings.Builder
	column := 0
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' })
	for i, word := range words {
		n := len([]rune(word))
		for j := i + 1; j < len(words) && len(words[j]) == 1 && strings.Contains(":;!?", words[j]); j++ {
			n += 1 + len(words[j])
		}
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
		column += len([]rune(word))
	}
	return b.String()
}

// warnings are the reasons to wait with a request.
func (w *Watch) warnings(d Dossier) (out []Warning) {
	warn := func(code string, pairs ...any) { out = append(out, Warning{code, locale.Args(pairs...)}) }
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
