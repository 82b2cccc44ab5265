package portal

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"

	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/reputation"
	"postern/internal/user"
)

// dossierCause is a cause with its evidence.
type dossierCause struct {
	Name, Means string
	Word, Class string
	Points      string
	Reasons     []dossierReason
	Missing     string
}

type dossierReason struct {
	Text, Points string
	For          bool
}

// dossierStep is one thing to do.
type dossierStep struct {
	ID        string
	What      string
	How       []block
	Who       string
	For       string // causes that it mends
	Link      string
	Done      bool
	DoneBy    string
	Note      string
	URL       string // of the act; "": the visitor may not
	Code      string
	TickLabel string
}

// dossierActView is one line of the history.
type dossierActView struct {
	At   opMoment
	Text string
	Who  string
}

// dossierWay is the way out of one list.
type dossierWay struct {
	List, Lookup, URL string
	Lines             []string
}

type dossierPage struct {
	page
	Target, TargetURL string
	Operator          string
	Word, Class       string
	Lead              string
	Facts             []opFact
	Listings          []watchZone
	Causes            []dossierCause
	Gathered          string
	Refresh           *button
	Missing           []string
	Senders           []dossierSender
	SendersAbout      string
	Answers           []dossierCell
	SNDS              []dossierCell
	Traps             []dossierCell
	Neighbours        string
	Own, Others       []dossierNeighbour
	Plot              plot
	Findings          []findingView
	Steps             []dossierStep
	Ways              []dossierWay
	RequestURL        string
	Moves             []button
	Close             *field
	CloseURL          string
	Note              *field
	NoteURL           string
	Acts              []dossierActView
	Related           []dossierRow
	Back              string
}

// opFact is a name with a value.
type opFact struct {
	Name, Value string
	URL         string
	Mono        bool
}

// dossierOf is the dossier of the path; else it answers.
func (s *site) dossierOf(v *visit) (reputation.Dossier, bool) {
	d, err := s.o.Reputation.Dossier(v.r.Context(), v.r.PathValue("dossier"))
	switch {
	case errors.Is(err, reputation.ErrNotFound):
		v.missing()
		return d, false
	case err != nil:
		v.broken("dossier not read", err)
		return d, false
	}
	return d, true
}

func (s *site) dossier(v *visit) {
	if d, ok := s.dossierOf(v); ok {
		s.showDossier(v, http.StatusOK, d, "", "")
	}
}

// showDossier answers with a dossier; note and fault are what was typed as a note, and what is wrong with it.
func (s *site) showDossier(v *visit, status int, x reputation.Dossier, note, fault string) {
	p := v.page
	here := "/o/dossiers/" + url.PathEscape(x.ID)
	acts := v.who.May(user.GatewayOperate, "")
	d := dossierPage{page: p, Target: x.Target, TargetURL: p.URL("/o/reputation/target/" + url.PathEscape(x.Target)), Operator: clean(x.Operator, 100), Word: p.rt("state."+string(x.State), nil), Class: dossierClass(x.State),
		Lead: p.T("dossier.lead." + string(x.State)), Back: p.URL("/o/dossiers"), RequestURL: p.URL(here + "/request")}
	d.Title = p.T("dossier.title", "Target", x.Target, "Operator", d.Operator)
	d.Facts = p.dossierFacts(x)
	for _, l := range x.Listings {
		z := p.watchZone(reputation.Zone{Zone: l.Zone, List: l.List, Weight: l.Weight, State: "listed", Since: l.Since, Names: l.Names, Reason: l.Reason})
		if !l.Until.IsZero() {
			z.Word, z.Class = p.T("dossier.until", "When", p.date(l.Until)), ""
		}
		if t := l.Silent(s.o.Now()); !t.IsZero() {
			z.Silent = p.T("dossier.silent", "When", p.date(t))
		}
		d.Listings = append(d.Listings, z)
	}
	for _, c := range x.Causes {
		d.Causes = append(d.Causes, p.dossierCause(c))
	}
	d.Gathered = p.T("dossier.not_gathered")
	if !x.Gathered.IsZero() {
		d.Gathered = p.T("dossier.gathered", "When", p.date(x.Gathered))
	}
	p.dossierEvidence(&d, v, x)
	var err error
	if d.Plot, err = s.targetPlot(v, x.Target); err != nil {
		v.broken("dossier not read", err)
		return
	}
	for _, step := range x.Checklist {
		d.Steps = append(d.Steps, v.dossierStep(here, step, acts))
	}
	for _, w := range x.Delisting {
		d.Ways = append(d.Ways, p.dossierWay(w))
	}
	for _, a := range x.Acts {
		d.Acts = append(d.Acts, v.dossierAct(a))
	}
	for _, r := range x.Related {
		d.Related = append(d.Related, p.dossierRow(r))
	}
	if acts {
		d.Refresh = &button{URL: p.URL(here + "/refresh"), Label: p.T("dossier.refresh"), Class: "second"}
		for _, to := range reputation.Moves(x.State) {
			if to == reputation.Closed && (x.State == reputation.Open || x.State == reputation.Mending || x.State == reputation.Requested) {
				d.CloseURL = p.URL(here + "/move")
				d.Close = &field{Name: "note", Label: p.T("dossier.close_why"), Most: 1000, Required: true}
				continue
			}
			d.Moves = append(d.Moves, button{URL: p.URL(here + "/move"), Label: p.T("dossier.move." + string(to)), Class: "second", Values: map[string]string{"to": string(to)}})
		}
		d.NoteURL = p.URL(here + "/note")
		d.Note = &field{Name: "text", Label: p.T("dossier.note"), Type: "textarea", Rows: 3, Most: 2000, Value: note, Fault: fault, Required: true}
	}
	v.show(status, "dossier.one", d)
}

func (p page) dossierFacts(x reputation.Dossier) []opFact {
	out := []opFact{{Name: p.T("dossier.fact.whose"), Value: p.ownerName(x.Customer)}, {Name: p.T("dossier.fact.weight"), Value: p.T("dossier.fact.weight_of", "Weight", x.Weight)},
		{Name: p.T("dossier.fact.listed"), Value: p.date(x.Listed)}, {Name: p.T("dossier.fact.opened"), Value: p.date(x.Opened)}}
	if x.Times > 1 {
		out = append(out, opFact{Name: p.T("dossier.fact.times"), Value: locale.Number(p.Lang, float64(x.Times))})
	}
	if !x.Clean.IsZero() {
		out = append(out, opFact{Name: p.T("dossier.fact.clean"), Value: p.T("dossier.fact.clean_of", "When", p.date(x.Clean), "Days", math.Floor(x.Quiet.Hours()/24), "Of", math.Floor(reputation.QuietFor.Hours()/24))})
	}
	if !x.Due.IsZero() {
		out = append(out, opFact{Name: p.T("dossier.fact.due"), Value: p.date(x.Due)})
	}
	for _, other := range []struct{ key, id string }{{"former", x.Former}, {"later", x.Later}} {
		if other.id != "" {
			out = append(out, opFact{Name: p.T("dossier.fact." + other.key), Value: other.id, URL: p.URL("/o/dossiers/" + url.PathEscape(other.id)), Mono: true})
		}
	}
	return out
}

func (p page) dossierCause(c reputation.Cause) dossierCause {
	out := dossierCause{Name: p.rt("cause."+c.Code+".name", nil), Means: p.rt("cause."+c.Code+".means", nil), Word: p.rt("likelihood."+string(c.Likelihood), nil), Points: p.signed(c.Points)}
	switch c.Likelihood {
	case reputation.Likely:
		out.Class = "bad"
	case reputation.Possible:
		out.Class = "slow"
	}
	for _, r := range c.Reasons {
		out.Reasons = append(out.Reasons, dossierReason{Text: reputation.ReasonText(p.site.o.Catalog, p.Lang, reputation.Reason{Code: r.Code, Args: p.cleanArgs(r.Args)}), Points: p.signed(r.Points), For: r.Points > 0})
	}
	var missing []string
	for _, m := range c.Missing {
		missing = append(missing, p.rt("part."+m, nil))
	}
	out.Missing = strings.Join(missing, ", ")
	return out
}

// signed writes points with their sign.
func (p page) signed(n int) string {
	text := locale.Number(p.Lang, math.Abs(float64(n)))
	switch {
	case n > 0:
		return "+" + text
	case n < 0:
		return "−" + text
	}
	return text
}

// cleanArgs are the arguments of a text without what must not be printed.
func (p page) cleanArgs(args map[string]any) map[string]any {
	out := make(map[string]any, len(args))
	for k, x := range args {
		switch y := x.(type) {
		case string:
			x = clean(y, 300)
		case float64:
			x = locale.Number(p.Lang, y)
		}
		out[k] = x
	}
	return out
}

func (v *visit) dossierStep(here string, step reputation.Step, acts bool) dossierStep {
	p := v.page
	out := dossierStep{ID: "step-" + step.Code, Code: step.Code, What: p.rt("step."+step.Code+".what", nil), How: rich(p.rt("step."+step.Code+".how", nil)), Who: p.rt("who."+string(step.Who), nil), Done: step.Done, Note: clean(step.Note, 1000)}
	var causes []string
	for _, c := range step.Causes {
		causes = append(causes, p.rt("cause."+c+".name", nil))
	}
	out.For = strings.Join(causes, ", ")
	if step.Link != "" {
		out.Link = p.URL(step.Link)
	}
	if step.Done {
		out.DoneBy = p.T("dossier.done_by", "Who", v.opActor(step.By), "When", p.date(step.At))
	}
	if acts {
		out.URL, out.TickLabel = p.URL(here+"/step"), p.T("dossier.tick")
		if step.Done {
			out.TickLabel = p.T("dossier.untick")
		}
	}
	return out
}

func (p page) dossierWay(w reputation.Delisting) dossierWay {
	out := dossierWay{List: clean(w.List, 100), Lookup: w.Lookup, URL: w.URL}
	for _, t := range []dnsbl.Text{w.Before, w.How, w.Takes} {
		text := t.EN
		if p.Lang == locale.French {
			text = t.FR
		}
		if text != "" {
			out.Lines = append(out.Lines, text)
		}
	}
	var asks []string
	for _, f := range w.Fields {
		asks = append(asks, p.T("dossier.asks."+string(f)))
	}
	if len(asks) > 0 {
		out.Lines = append(out.Lines, p.T("dossier.asks", "Fields", strings.Join(asks, ", ")))
	}
	return out
}

// dossierAct is a line of a dossier's history in words.
func (v *visit) dossierAct(a reputation.Act) dossierActView {
	p := v.page
	out := dossierActView{At: p.opWhen(a.At), Who: v.opActor(a.Actor)}
	a.Text = clean(a.Text, 4000)
	out.Text = strings.TrimSpace(reputation.ActText(p.site.o.Catalog, p.Lang, a))
	return out
}
