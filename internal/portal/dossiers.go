package portal

import (
	"errors"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern/internal/checkup"
	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/reputation"
	"postern/internal/user"
)

// dossierRoutes are the pages of dossiers: one for each target and operator of lists.
func (s *site) dossierRoutes() []route {
	if s.o.Reputation == nil {
		return nil
	}
	const one = "/o/dossiers/{dossier}"
	read, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	return []route{
		{method: http.MethodGet, path: "/o/dossiers", access: read, do: s.dossiers},
		{method: http.MethodGet, path: one, access: read, do: s.dossier},
		{method: http.MethodGet, path: one + "/request", access: read, do: s.dossierRequest},
		{method: http.MethodPost, path: "/o/dossiers", access: act, act: "dossier.open", do: s.openDossier},
		{method: http.MethodPost, path: one + "/note", access: act, act: "dossier.note", do: s.noteDossier},
		{method: http.MethodPost, path: one + "/step", access: act, act: "dossier.step", do: s.tickDossier},
		{method: http.MethodPost, path: one + "/move", access: act, act: "dossier.move", do: s.moveDossier},
		{method: http.MethodPost, path: one + "/refresh", access: act, act: "dossier.refresh", do: s.refreshDossier},
	}
}

// dossierRow is a dossier in a list.
type dossierRow struct {
	Target, URL string
	Operator    string
	List        string
	Word, Class string
	Cause       string
	Customer    string
	Changed     opMoment
	Times       int
}

type dossiersPage struct {
	page
	Action string
	Form   []field
	Asked  bool
	Rows   []dossierRow
	Pager  pager
}

func dossierClass(s reputation.State) string {
	switch s {
	case reputation.Open:
		return "bad"
	case reputation.Mending, reputation.Requested:
		return "slow"
	case reputation.Clean:
		return "good"
	}
	return ""
}

func (p page) dossierRow(d reputation.Dossier) dossierRow {
	row := dossierRow{Target: d.Target, URL: p.URL("/o/dossiers/" + url.PathEscape(d.ID)), Operator: clean(d.Operator, 100), List: clean(d.List, 100), Word: p.rt("state."+string(d.State), nil),
		Class: dossierClass(d.State), Customer: p.ownerName(d.Customer), Changed: p.opWhen(d.Changed), Times: d.Times, Cause: p.T("dossier.unknown")}
	if len(d.Causes) > 0 && d.Causes[0].Points > 0 {
		row.Cause = p.rt("cause."+d.Causes[0].Code+".name", nil)
	}
	return row
}

// dossiers lists them.
func (s *site) dossiers(v *visit) {
	p, q := v.page, v.opQuery()
	query := reputation.DossierQuery{Target: strings.ToLower(strings.TrimSpace(q.Get("target"))), Cursor: q.Get("after"), Limit: watchRows}
	state := reputation.State(q.Get("state"))
	switch {
	case slices.Contains(reputation.States(), state):
		query.States = []reputation.State{state}
	case state != "all":
		query.States = []reputation.State{reputation.Open, reputation.Mending, reputation.Requested, reputation.Clean}
	}
	found, err := s.o.Reputation.Dossiers(v.r.Context(), query)
	if errors.Is(err, reputation.ErrInvalid) {
		v.redirect("/o/dossiers")
		return
	}
	if err != nil {
		v.broken("dossiers not read", err)
		return
	}
	d := dossiersPage{page: p, Action: p.URL("/o/dossiers"), Asked: q.Get("state") != "" || query.Target != "", Pager: p.watchPager("/o/dossiers", q, found.Next)}
	d.Title = p.T("dossier.heading")
	states := []option{{Value: "", Label: p.T("dossier.current")}}
	for _, x := range reputation.States() {
		states = append(states, option{string(x), p.rt("state."+string(x), nil), x == state})
	}
	states = append(states, option{"all", p.T("queue.any"), state == "all"})
	d.Form = []field{{Name: "target", Label: p.T("dossier.field.target"), Value: clean(q.Get("target"), 253), Mono: true, Most: 253, Complete: "off"}, {Name: "state", Label: p.T("dossier.field.state"), Type: "select", Options: states}}
	for _, x := range found.Dossiers {
		d.Rows = append(d.Rows, p.dossierRow(x))
	}
	v.show(http.StatusOK, "dossier.list", d)
}

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

// dossierSender is one customer's part in the traffic.
type dossierSender struct {
	Name, URL string
	Cells     []dossierCell
	Why       string // why he stands out
	Logins    []dossierSender
	Examples  []opLink
}

type dossierCell struct{ Label, Value string }

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

// dossierNeighbour is a listed address of the same network.
type dossierNeighbour struct {
	Address, URL string
	Lists        string
	Dossier      string // address of its own
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

// dossierEvidence puts what was gathered on the page.
func (p page) dossierEvidence(d *dossierPage, v *visit, x reputation.Dossier) {
	e := x.Evidence
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	for _, m := range e.Missing {
		d.Missing = append(d.Missing, p.rt("part."+m.Part, nil))
	}
	if e.Senders.Known {
		d.SendersAbout = p.T("dossier.senders_about", "Messages", number(e.Senders.All.Messages), "Customers", number(e.Senders.Customers), "From", p.date(e.From), "To", p.date(e.To))
	}
	for _, x := range e.Senders.Senders {
		row := dossierSender{Name: p.ownerName(x.Customer), Cells: p.dossierTally(x.Tally, x.Fault, x.Strangers)}
		if x.Customer != "" {
			row.URL = p.URL("/o/customers/" + x.Customer)
		}
		var why []string
		for _, w := range x.StandsOut {
			why = append(why, p.rt("stands."+w, nil))
		}
		row.Why = strings.Join(why, ", ")
		for _, l := range x.Credentials {
			name := clean(l.Label, 100)
			if name == "" {
				name = clean(l.Credential, 100)
			}
			if name == "" {
				name = p.T("dossier.no_credential")
			}
			login := dossierSender{Name: name, Cells: p.dossierTally(l.Tally, l.Fault, l.Strangers), Why: p.T("dossier.login_from", "Count", l.Addresses)}
			for _, id := range l.Examples {
				login.Examples = append(login.Examples, opLink{Name: id, URL: p.URL("/o/messages/" + url.PathEscape(id))})
			}
			row.Logins = append(row.Logins, login)
		}
		d.Senders = append(d.Senders, row)
	}
	for _, a := range e.Answers {
		d.Answers = append(d.Answers, dossierCell{p.T("dossier.answer", "Provider", clean(a.Provider, 100), "Count", a.Count, "Last", p.date(a.Last)), clean(a.Text, 300)})
	}
	for _, day := range e.SNDS {
		colour := p.T("dossier.snds.unknown")
		if day.Colour != "" {
			colour = p.T("dossier.snds." + strings.ToLower(clean(day.Colour, 10)))
		}
		text := colour
		if day.Complaints >= 0 {
			text += " · " + p.T("dossier.snds.complaints", "Rate", locale.Number(p.Lang, day.Complaints*100))
		}
		if day.Traps > 0 {
			text += " · " + p.T("dossier.snds.traps", "Count", day.Traps)
		}
		d.SNDS = append(d.SNDS, dossierCell{p.stepName("day", day.Day), text})
	}
	if n := e.Neighbours; n.Network != "" {
		key := "dossier.neighbours_own"
		if n.Ranged {
			key = "dossier.neighbours"
		}
		d.Neighbours = p.T(key, "Network", n.Network, "Looked", number(n.Looked), "Listed", number(n.Listed), "Same", number(n.Same), "Ours", number(n.Ours))
		d.Own, d.Others = p.dossierNeighbours(n.Own), p.dossierNeighbours(n.Others)
	}
	for _, t := range e.Traps {
		about := p.rt("trap."+string(t.Source), map[string]any{"From": clean(t.From, 100), "Count": number(t.Count)})
		if !t.Last.IsZero() {
			about += " · " + p.date(t.Last)
		}
		d.Traps = append(d.Traps, dossierCell{about, clean(t.Text, 300)})
	}
	for _, f := range e.Findings {
		if f.State == string(checkup.Fine) || !aboutSending[checkup.Group(f.Group)] {
			continue
		}
		d.Findings = append(d.Findings, v.s.findingView(v, "", checkup.Finding{Group: checkup.Group(f.Group), Code: f.Code, State: checkup.State(f.State), Subject: f.Subject, Args: maps.Clone(f.Args)}, false, "f"))
	}
}

func (p page) dossierNeighbours(all []reputation.Neighbour) (out []dossierNeighbour) {
	for _, x := range all {
		row := dossierNeighbour{Address: x.Address, URL: p.URL("/o/reputation/target/" + url.PathEscape(x.Address)), Lists: clean(strings.Join(x.Lists, ", "), 300)}
		if x.Dossier != "" {
			row.Dossier = p.URL("/o/dossiers/" + url.PathEscape(x.Dossier))
		}
		out = append(out, row)
	}
	return out
}

// aboutSending are the groups of a check-up in which causes of listings show.
var aboutSending = map[checkup.Group]bool{checkup.SPF: true, checkup.DKIM: true, checkup.DMARC: true, checkup.Egress: true, checkup.Reverse: true, checkup.Range: true, checkup.Server: true, checkup.Exists: true, checkup.MX: true}

// dossierTally are figures of mail as cells.
func (p page) dossierTally(t reputation.Tally, fault float64, s reputation.Strangers) []dossierCell {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	cells := []dossierCell{{p.T("dossier.tally.messages"), number(t.Messages)}, {p.T("dossier.tally.invalid"), number(t.Invalid)}, {p.T("dossier.tally.refused"), number(t.Refused)}, {p.T("dossier.tally.complaints"), number(t.Complaints)},
		{p.T("dossier.tally.high"), number(t.High)}, {p.T("dossier.tally.strangers"), p.dossierStrangers(s)}, {p.T("dossier.tally.fault"), p.part(fault)}}
	if t.Traps > 0 {
		cells = slices.Insert(cells, 4, dossierCell{p.T("dossier.tally.traps"), number(t.Traps)})
	}
	return cells
}

// part is a part of a whole, in percent.
func (p page) part(x float64) string { return locale.Number(p.Lang, math.Round(x*100)) + " %" }

// dossierStrangers says how much of the mail went to whom the customer never wrote before, against what is usual.
func (p page) dossierStrangers(s reputation.Strangers) string {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	switch {
	case !s.Known:
		return p.T("dossier.strangers.unknown")
	case s.Usual < 0:
		return p.T("dossier.strangers.new", "Share", p.part(s.Share()), "First", number(s.First), "Of", number(s.Recipients))
	}
	return p.T("dossier.strangers.known", "Share", p.part(s.Share()), "First", number(s.First), "Of", number(s.Recipients), "Usual", p.part(s.Usual))
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

// openDossier opens one for a listing that has none.
func (s *site) openDossier(v *visit) {
	if !v.read() {
		return
	}
	listing := clean(v.r.PostForm.Get("listing"), 64)
	v.about(listing, "")
	id, err := s.o.Reputation.Open(v.r.Context(), listing, v.who.Actor())
	switch {
	case errors.Is(err, reputation.ErrNotFound), errors.Is(err, reputation.ErrInvalid):
		v.missing()
	case err != nil:
		v.broken("dossier not opened", err)
	default:
		v.done("/o/dossiers/"+url.PathEscape(id), "dossier.did.opened")
	}
}

// changeDossier does an act on the dossier of the path and leads back to it.
func (s *site) changeDossier(v *visit, key string, act func(x reputation.Dossier) error) {
	if !v.read() {
		return
	}
	x, ok := s.dossierOf(v)
	if !ok {
		return
	}
	v.about(x.ID, x.Target)
	switch err := act(x); {
	case errors.Is(err, reputation.ErrNotFound):
		v.missing()
	case errors.Is(err, reputation.ErrInvalid):
		v.page.Banner = &banner{"bad", v.page.T("dossier.fault")}
		s.showDossier(v, http.StatusUnprocessableEntity, x, clean(v.r.PostForm.Get("text"), 2000), "")
	case err != nil:
		v.broken("dossier not changed", err)
	default:
		v.done("/o/dossiers/"+url.PathEscape(x.ID), key)
	}
}

func (s *site) noteDossier(v *visit) {
	s.changeDossier(v, "dossier.did.noted", func(x reputation.Dossier) error {
		return s.o.Reputation.Note(v.r.Context(), x.ID, v.who.Actor(), clean(v.r.PostForm.Get("text"), 2000))
	})
}

func (s *site) tickDossier(v *visit) {
	s.changeDossier(v, "dossier.did.step", func(x reputation.Dossier) error {
		form := v.r.PostForm
		return s.o.Reputation.Tick(v.r.Context(), x.ID, form.Get("step"), form.Get("done") == "yes", v.who.Actor(), clean(form.Get("note"), 1000))
	})
}

func (s *site) moveDossier(v *visit) {
	s.changeDossier(v, "dossier.did.moved", func(x reputation.Dossier) error {
		return s.o.Reputation.Move(v.r.Context(), x.ID, reputation.State(v.r.PostForm.Get("to")), v.who.Actor(), clean(v.r.PostForm.Get("note"), 1000))
	})
}

func (s *site) refreshDossier(v *visit) {
	s.changeDossier(v, "dossier.did.refreshed", func(x reputation.Dossier) error { return s.o.Reputation.Refresh(v.r.Context(), x.ID) })
}

// dossierRequestPage is the request to a list, to copy.
type dossierRequestPage struct {
	page
	Target, Operator string
	Warnings         []string
	Subject          string
	Body             []textPart
	Ways             []dossierWay
	Language         string // of the request
	OtherURL         string // the same in the other language
	OtherName        string
	Back             string
}

// textPart is a piece of a text; a gap is what a person must fill in.
type textPart struct {
	Text string
	Gap  bool
}

// gapsOf divides a request into its text and its gaps.
func gapsOf(body string) (out []textPart) {
	for body != "" {
		before, rest, found := strings.Cut(body, reputation.GapOpen)
		gap, after, closed := strings.Cut(rest, reputation.GapClose)
		if !found || !closed {
			return append(out, textPart{Text: body})
		}
		out = append(out, textPart{Text: before}, textPart{reputation.GapOpen + gap + reputation.GapClose, true})
		body = after
	}
	return out
}

// dossierRequest prepares the request for removal, in the language that is asked for.
func (s *site) dossierRequest(v *visit) {
	x, ok := s.dossierOf(v)
	if !ok {
		return
	}
	p := v.page
	lang := v.r.URL.Query().Get("in")
	if lang != locale.French && lang != locale.English {
		lang = locale.English // what most lists read
		if len(x.Delisting) > 0 && x.Delisting[0].Lang == locale.French {
			lang = locale.French
		}
	}
	r, err := s.o.Reputation.Request(v.r.Context(), x.ID, lang)
	if err != nil {
		v.broken("request not prepared", err)
		return
	}
	here := "/o/dossiers/" + url.PathEscape(x.ID)
	d := dossierRequestPage{page: p, Target: x.Target, Operator: clean(x.Operator, 100), Subject: r.Subject, Body: gapsOf(r.Body), Language: lang, Back: p.URL(here)}
	d.Title = p.T("dossier.request.title", "Operator", d.Operator)
	for _, w := range r.Warnings {
		d.Warnings = append(d.Warnings, p.rt("warning."+w.Code, p.cleanArgs(w.Args)))
	}
	for _, w := range r.Ways {
		d.Ways = append(d.Ways, p.dossierWay(w))
	}
	other := locale.French
	if lang == locale.French {
		other = locale.English
	}
	d.OtherURL, d.OtherName = p.URL(here+"/request", "in", other), p.T("dossier.request.in."+other)
	v.show(http.StatusOK, "dossier.request", d)
}
