package portal

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/user"
)

// testRoutes are the catalogue of tests and the page of each.
func (s *site) testRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/o/tests", access: gateway(user.GatewayRead), do: s.catalogue},
		{method: get, path: "/o/tests/{name}", access: gateway(user.GatewayRead), do: s.testDetail},
		{method: post, path: "/o/tests/{name}/points", access: gateway(user.GatewayOperate), act: "tests.set", do: s.setPoints},
		{method: post, path: "/o/tests/{name}/unset", access: gateway(user.GatewayOperate), act: "tests.unset", do: s.unsetPoints},
	}
}

// cataloguePage lists all tests.
type cataloguePage struct {
	page
	Groups []catalogueGroup
	Index  []choice
	Judged string
}

// catalogueGroup is one group of the catalogue.
type catalogueGroup struct {
	ID, Title string
	Rows      []catalogueRow
}

// catalogueRow is one test in the catalogue.
type catalogueRow struct {
	Name, Tech, URL   string
	Default, Now, Own string // points: its own, those in force for everybody, customers that have others
	Changed           bool
	Hits, Share       string
}

// catalogueDays is the time of which the catalogue shows hits: figures of hours are exact for so long.
const catalogueDays = 7

// groupOrder is the order in which groups are shown.
var groupOrder = []filter.Group{filter.GroupIdentity, filter.GroupDanger, filter.GroupContent, filter.GroupHeader, filter.GroupLists, filter.GroupBehaviour, filter.GroupExperience,
	filter.GroupOpinion, filter.GroupSpam, filter.GroupRules, filter.GroupDecisions}

// catalogue shows all tests with their points and how often they fire.
func (s *site) catalogue(v *visit) {
	p := v.page
	tests, judged, err := s.o.Journal.TestSums(v.r.Context(), p.span(catalogueDays))
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	hits := make(map[string]int64, len(tests))
	for _, x := range tests {
		hits[x.Test] = x.Hits
	}
	others := map[string]int{}
	for _, o := range s.o.Accounts.Overrides() {
		if o.Scope != "" {
			others[o.Test]++
		}
	}
	everybody := s.o.Accounts.Tuned("")
	by := map[filter.Group][]catalogueRow{}
	for _, t := range s.o.Filter.Catalogue() {
		r := catalogueRow{Name: p.testName(t.Name), Tech: clean(t.Name, 60), URL: p.URL("/o/tests/" + url.PathEscape(t.Name)), Default: p.points(t.Points), Now: p.points(t.Points),
			Hits: p.count(float64(hits[t.Name])), Share: p.percent(hits[t.Name], judged) + "\u00a0%"}
		if judged == 0 {
			r.Share = "–"
		}
		if points, ok := everybody.Points(t.Name); ok && points != t.Points {
			r.Now, r.Changed = p.points(points), true
		}
		if n := others[t.Name]; n > 0 {
			r.Own = p.T("tests.own", "Count", n)
		}
		if len(by[t.Group]) < mostTests {
			by[t.Group] = append(by[t.Group], r)
		}
	}
	c := cataloguePage{page: p, Judged: p.T("tests.judged", "Count", judged, "Days", catalogueDays)}
	c.Title = p.T("tests.title", "Host", s.o.Hostname)
	for _, g := range groupOrder {
		if rows := by[g]; len(rows) > 0 {
			title := filter.GroupTitle(s.o.Catalog, p.Lang, g)
			c.Groups = append(c.Groups, catalogueGroup{"g-" + string(g), title, rows})
			c.Index = append(c.Index, choice{Label: title, URL: "#g-" + string(g)})
		}
	}
	v.show(http.StatusOK, "tests.html", c)
}

// mostTests bounds a group of the catalogue: operators may have thousands of rules.
const mostTests = 300

// testPage is one test.
type testPage struct {
	page
	Name, Tech, Group string
	Explain, Fix      []block
	Operator          bool // only the operator can mend it
	Tiles             []tile
	Ranges            []choice
	Plots             []plot
	Overrides         []overrideRow
	More              string // how many overrides are left out
	Fixed             string // why its points cannot be set
	Set               []field
	SetURL            string
	MayAct            bool
	Try               *trial
	TryFields         []field
	TryURL            string
	History           []testChange
	Back              string
	names             map[string]string // of users, by ID
}

// overrideRow is one place where the test has other points.
type overrideRow struct {
	Whose, URL, Points, Origin, By, At string
	Unset                              *button
}

// testChange is one line of a test's history.
type testChange struct{ At, Who, Whose, What string }

// testOf finds a test of the catalogue; ok is false when there is none of that name.
func (s *site) testOf(name string) (filter.Test, bool) {
	for _, t := range s.o.Filter.Catalogue() {
		if t.Name == name {
			return t, true
		}
	}
	return filter.Test{}, false
}

// testDetail shows one test.
func (s *site) testDetail(v *visit) {
	t, ok := s.testOf(v.r.PathValue("name"))
	if !ok {
		v.missing()
		return
	}
	s.showTest(v, t, http.StatusOK, "", "")
}

// showTest shows the page of a test; fault is what was wrong with the field named.
func (s *site) showTest(v *visit, t filter.Test, status int, name, fault string) {
	ctx, p := v.r.Context(), v.page
	p.Path = "/o/tests/" + url.PathEscape(t.Name)
	days := chosenDays(v, 30)
	d := testPage{page: p, Name: p.testName(t.Name), Tech: clean(t.Name, 60), Group: filter.GroupTitle(s.o.Catalog, p.Lang, t.Group), Operator: t.Operator,
		Ranges: p.ranges(days), MayAct: v.who.May(user.GatewayOperate, ""), SetURL: p.URL(p.Path + "/points"), TryURL: p.URL(p.Path), Back: p.URL("/o/tests"), names: map[string]string{}}
	d.Title = p.T("tests.one.title", "Name", d.Name, "Host", s.o.Hostname)
	if words := filter.Explain(s.o.Catalog, p.Lang, filter.Hit{Test: t.Name, Args: s.example()}); words.Name != "" {
		d.Explain, d.Fix = rich(words.Explain), rich(words.Fix)
	}
	q := p.span(days)
	points, err := s.o.Journal.TestPoints(ctx, t.Name, q)
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	hits, judged := d.testPlots(points, q.Step)
	now, set := s.o.Accounts.Tuned("").Points(t.Name)
	if !set {
		now = t.Points
	}
	d.Tiles = []tile{
		{Label: p.T("tests.default"), Value: p.points(t.Points)},
		{Label: p.T("tests.now"), Value: p.points(now), Hint: p.T("tests.now.hint"), Bad: now != t.Points},
		{Label: p.T("tests.hits"), Value: p.count(float64(hits)), Hint: p.T("tests.hits.hint", "Share", p.percent(hits, judged), "Count", judged)},
	}
	d.overrides(v, t)
	if err := s.o.Filter.CheckPoints(t.Name, 1.234); err != nil {
		d.Fixed = p.T("tests.fixed")
	}
	d.Set = []field{
		{Name: "points", Label: p.T("tests.field.points"), Hint: p.T("tests.field.points.hint"), Value: clean(cmp.Or(v.r.PostFormValue("points"), plainPoints(now)), 20), Required: true, Most: 20},
		{Name: "customer", Label: p.T("tests.field.customer"), Hint: p.T("tests.field.customer.hint"), Value: clean(v.r.PostFormValue("customer"), 64), Most: 64, Mono: true},
	}
	for i := range d.Set {
		if d.Set[i].Name == name {
			d.Set[i].Fault = fault
		}
	}
	if d.Try, err = s.tried(v, t, &d); err != nil {
		v.broken("trial failed", err)
		return
	}
	if err := s.changes(v, t, &d); err != nil {
		v.broken("journal not read", err)
		return
	}
	v.show(status, "test.html", d)
}

// testPlots makes the plots of a test and sums it up.
func (d *testPage) testPlots(points []journal.TestPoint, step journal.Step) (hits, judged int64) {
	times := make([]time.Time, len(points))
	on, share := plotSeries{Label: d.T("tests.hits"), Tone: toneCalm}, plotSeries{Label: d.T("tests.share"), Tone: toneWarn}
	for i, x := range points {
		times[i] = x.At
		h, part := math.NaN(), math.NaN()
		if x.Known {
			hits, judged = hits+x.Hits, judged+x.Judged
			if h = float64(x.Hits); x.Judged > 0 {
				part = math.Round(1000*float64(x.Hits)/float64(x.Judged)) / 10
			}
		}
		on.Values, share.Values = append(on.Values, h), append(share.Values, part)
	}
	d.Plots = []plot{
		d.plot(plotOf{ID: "hits", Title: d.T("tests.plot.hits"), About: d.T("tests.plot.hits.about"), Step: step, Times: times, Series: []plotSeries{on}}),
		d.plot(plotOf{ID: "share", Title: d.T("tests.plot.share"), About: d.T("tests.plot.share.about"), Step: step, Times: times, Series: []plotSeries{share}, Lines: true, Apart: true}),
	}
	return hits, judged
}

// whoDid is what people call who did something: the user's name, or what the journal says. known keeps the names of a page.
func (s *site) whoDid(v *visit, known map[string]string, actor string) string {
	for _, prefix := range []string{"operator:", "user:"} {
		if id, ok := strings.CutPrefix(actor, prefix); ok {
			if name := s.nameOf(v, known, id); name != "" {
				return name
			}
		}
	}
	return clean(actor, 100)
}

// mostOverrides bounds the list of customers with other points.
const mostOverrides = 100

// overrides lists where the test has other points than its own.
func (d *testPage) overrides(v *visit, t filter.Test) {
	more := 0
	for _, o := range v.s.o.Accounts.Overrides() {
		if o.Test != t.Name {
			continue
		}
		if len(d.Overrides) == mostOverrides {
			more++
			continue
		}
		r := overrideRow{Whose: d.T("tests.everybody"), Points: d.points(o.Points), Origin: d.T("tests.origin." + o.Origin), By: v.s.whoDid(v, d.names, o.By)}
		if o.Scope != "" {
			r.Whose, r.URL = clean(o.Scope, 64), d.URL("/o/customers/"+url.PathEscape(o.Scope))
			if c, ok := v.s.o.Accounts.Customer(o.Scope); ok {
				r.Whose = clean(c.Name, 80)
			}
		}
		if !o.At.IsZero() {
			r.At = d.date(o.At)
		}
		if d.MayAct && o.Origin != "config" {
			r.Unset = &button{URL: d.URL(d.Path + "/unset"), Label: d.T("tests.unset"), Class: "second small", Values: map[string]string{"customer": o.Scope}}
		}
		d.Overrides = append(d.Overrides, r)
	}
	if more > 0 {
		d.More = d.T("tests.own", "Count", more)
	}
}

// changes reads the changes of the test's points that the journal has.
func (s *site) changes(v *visit, t filter.Test, d *testPage) error {
	found, err := s.o.Journal.Look(v.r.Context(), journal.Query{Kinds: []journal.Kind{journal.Tuned}, Text: "points of " + t.Name + ":", Limit: 30, Since: s.o.Now().AddDate(-2, 0, 0)})
	if err != nil {
		return err
	}
	for _, f := range found.Facts {
		c := testChange{At: d.date(f.At), Who: s.whoDid(v, d.names, f.Actor), Whose: d.T("tests.everybody"), What: clean(strings.TrimPrefix(f.Text, "points of "+t.Name+": "), 200)}
		if f.Customer != "" {
			c.Whose = clean(f.Customer, 64)
		}
		d.History = append(d.History, c)
	}
	return nil
}

// plainPoints writes points as people type them.
func plainPoints(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// readPoints reads points as people type them, with a point or a comma.
func readPoints(text string) (float64, bool) {
	text = strings.NewReplacer(",", ".", "\u2212", "-", "\u202f", "", "\u00a0", "").Replace(strings.TrimSpace(text))
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil && !math.IsNaN(f) && math.Abs(f) <= 1000
}

// setPoints gives a test other points.
func (s *site) setPoints(v *visit) {
	t, ok := s.testOf(v.r.PathValue("name"))
	if !ok {
		v.missing()
		return
	}
	p, scope := v.page, strings.TrimSpace(v.r.PostFormValue("customer"))
	v.about(t.Name, "points "+clean(v.r.PostFormValue("points"), 20)+" customer "+clean(scope, 64))
	points, ok := readPoints(v.r.PostFormValue("points"))
	if !ok {
		s.showTest(v, t, http.StatusUnprocessableEntity, "points", p.T("tests.fault.points"))
		return
	}
	if err := s.o.Filter.CheckPoints(t.Name, points); err != nil {
		s.showTest(v, t, http.StatusUnprocessableEntity, "points", p.T("tests.fixed"))
		return
	}
	if _, ok := s.o.Accounts.Customer(scope); scope != "" && !ok {
		s.showTest(v, t, http.StatusUnprocessableEntity, "customer", p.T("tests.fault.customer"))
		return
	}
	tuned, before := s.o.Accounts.Tuned(scope), "its own"
	if had, ok := tuned.OwnPoints(t.Name); ok && scope != "" {
		before = plainPoints(had)
	} else if scope != "" {
		before = "as everybody"
	} else if had, ok := tuned.Points(t.Name); ok {
		before = plainPoints(had)
	}
	if err := s.o.Accounts.SetPoints(v.r.Context(), scope, map[string]float64{t.Name: points}, v.who.Actor()); err != nil {
		s.o.Logger.Warn("points not set", "test", t.Name, "customer", scope, "error", err)
		s.showTest(v, t, http.StatusUnprocessableEntity, "points", p.T("tests.fault.refused"))
		return
	}
	s.tuned(v, scope, "points of "+t.Name+": "+plainPoints(points)+" (before: "+before+")")
	v.done("/o/tests/"+url.PathEscape(t.Name), "tests.done.set", "Points", p.points(points))
}

// unsetPoints gives a test its own points back.
func (s *site) unsetPoints(v *visit) {
	t, ok := s.testOf(v.r.PathValue("name"))
	if !ok {
		v.missing()
		return
	}
	scope := strings.TrimSpace(v.r.PostFormValue("customer"))
	v.about(t.Name, "customer "+clean(scope, 64))
	if err := s.o.Accounts.UnsetPoints(v.r.Context(), scope, t.Name); err != nil {
		s.o.Logger.Warn("points not unset", "test", t.Name, "customer", scope, "error", err)
		s.showTest(v, t, http.StatusUnprocessableEntity, "points", v.page.T("tests.fault.refused"))
		return
	}
	s.tuned(v, scope, "points of "+t.Name+": no longer set")
	v.done("/o/tests/"+url.PathEscape(t.Name), "tests.done.unset")
}

// tuned writes a change of points into the journal. The change is in force by then.
func (s *site) tuned(v *visit, customer, text string) {
	f := journal.Fact{Kind: journal.Tuned, At: s.o.Now(), Customer: customer, Actor: v.who.Actor(), Text: text}
	if err := s.o.Journal.Append(v.r.Context(), f); err != nil {
		s.o.Logger.Error("the change is in force, but was not written into the journal", "customer", customer, "error", err)
	}
}

// trial is what other points would have made of messages of the past.
type trial struct {
	Fault           string
	Sentence, Span  string
	Tiles           []tile
	Stopped, Passed []triedMessage
	Further         string // address: the same on older messages
}

// triedMessage is a message that would have fared otherwise.
type triedMessage struct{ At, From, Subject, URL, Then, Would string }

// Bounds of a trial.
const (
	triedFacts    = 1000
	triedExamples = 10
)

// tried tries other points on messages of the past when the address asks for it, and makes the form that asks.
func (s *site) tried(v *visit, t filter.Test, d *testPage) (*trial, error) {
	q := v.r.URL.Query()
	text, customer := clean(q.Get("try"), 20), clean(q.Get("whose"), 64)
	d.TryFields = []field{
		{Name: "try", Label: d.T("tests.field.try"), Value: text, Required: true, Most: 20},
		{Name: "whose", Label: d.T("tests.field.whose"), Hint: d.T("tests.field.whose.hint"), Value: customer, Most: 64, Mono: true},
	}
	if text == "" {
		return nil, nil
	}
	points, ok := readPoints(text)
	if !ok {
		d.TryFields[0].Fault = d.T("tests.fault.points")
		return nil, nil
	}
	if _, ok := s.o.Accounts.Customer(customer); customer != "" && !ok {
		d.TryFields[1].Fault = d.T("tests.fault.customer")
		return nil, nil
	}
	w, err := s.o.Filter.WhatIf(filter.Change{Customer: customer, Points: map[string]float64{t.Name: points}})
	if err != nil {
		d.TryFields[0].Fault = d.T("tests.fixed")
		return nil, nil
	}
	tested, next, err := s.o.Journal.Verdicts(v.r.Context(), journal.VerdictQuery{Customer: customer, Limit: triedFacts, Cursor: clean(q.Get("cursor"), 100)})
	if err != nil {
		return &trial{Fault: d.T("tests.try.failed")}, nil
	}
	out := d.judge(w, tested)
	out.Sentence = d.T("tests.try.sentence", "Points", d.points(points), "Count", len(tested))
	if len(tested) > 0 {
		out.Span = d.T("tests.try.span", "From", d.date(tested[len(tested)-1].At), "To", d.date(tested[0].At))
	}
	if next != "" {
		out.Further = d.URL(d.Path, "try", text, "whose", customer, "cursor", next) + "#try"
	}
	return out, nil
}

// judge judges messages of the past again.
func (d *testPage) judge(w *filter.WhatIf, tested []journal.Tested) *trial {
	out := &trial{}
	var then, would, stopped, passed, open int
	for _, x := range tested {
		if !x.Known {
			open++
			continue
		}
		o := w.Judge(filter.Past{Customer: x.Customer, Threshold: x.Brief.Threshold, Points: x.Brief.Points, At: x.At})
		if o.Open {
			open++
			continue
		}
		was := x.Kind != journal.Accepted
		if was {
			then++
		}
		if o.Held {
			would++
		}
		example := func(to *[]triedMessage) {
			if len(*to) == triedExamples {
				return
			}
			*to = append(*to, triedMessage{At: d.date(x.At), From: clean(x.HeaderFrom, 100), Subject: clean(x.Subject, 100), URL: d.URL("/o/messages/" + url.PathEscape(string(x.ID))),
				Then: locale.Number(d.Lang, x.Score), Would: locale.Number(d.Lang, o.Score)})
		}
		switch {
		case o.Held && !was:
			stopped++
			example(&out.Stopped)
		case was && !o.Held:
			passed++
			example(&out.Passed)
		}
	}
	n := func(i int) string { return d.count(float64(i)) }
	out.Tiles = []tile{{Label: d.T("tests.try.then"), Value: n(then)}, {Label: d.T("tests.try.would"), Value: n(would)}, {Label: d.T("tests.try.stopped"), Value: n(stopped), Bad: stopped > 0},
		{Label: d.T("tests.try.passed"), Value: n(passed)}}
	if open > 0 {
		out.Tiles = append(out.Tiles, tile{Label: d.T("tests.try.open"), Value: n(open), Hint: d.T("tests.try.open.hint")})
	}
	return out
}
