package portal

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/user"
)

// overviewRoutes is the first page of a customer.
func (s *site) overviewRoutes() []route {
	return []route{{method: http.MethodGet, path: "/c/{customer}", access: over(user.MailRead), do: s.overview}}
}

// choice is a link to the same page with another choice.
type choice struct {
	Label, URL string
	Chosen     bool
}

// tile is a number with its name, and a link to where it comes from.
type tile struct {
	Label, Value, Hint, URL string
	Bad                     bool // deserves a look: said in Hint too
}

// todo is something to do or to look at, in a sentence, with a link.
type todo struct {
	Text, Link, URL string
	Grave           bool
}

// result is one line of a table of figures: the first cell leads somewhere when it has an address.
type result struct {
	Name, URL, Tech string
	Cells           []plotCell
}

// results is a table of figures.
type results struct {
	Heads []string
	Rows  []result
}

// overviewPage is a customer's first page.
type overviewPage struct {
	page
	Ranges    []choice
	New       bool   // no mail of his has come yet
	Through   string // figures are still being counted up to here; "" complete
	Begin     []todo // what a new customer does first
	Needs     []todo
	Tiles     []tile
	Plots     []plot
	Providers results
	Tests     results
}

// overviewDays are the times that the overview can be shown for.
var overviewDays = []int{1, 7, 30, 90}

// chosenDays reads which of them the address asks for.
func chosenDays(v *visit, usual int) int {
	if n, err := strconv.Atoi(v.r.URL.Query().Get("days")); err == nil && slices.Contains(overviewDays, n) {
		return n
	}
	return usual
}

// ranges are links to the same page for other times.
func (p page) ranges(chosen int) (all []choice) {
	for _, n := range overviewDays {
		key := "overview.range.days"
		if n == 1 {
			key = "overview.range.today"
		}
		all = append(all, choice{Label: p.T(key, "Count", n), URL: p.URL(p.Path, "days", strconv.Itoa(n)), Chosen: n == chosen})
	}
	return all
}

// span is the time of so many days that end today, in the visitor's zone, and the step that shows it.
func (p page) span(days int) journal.FiguresQuery {
	now := p.site.o.Now().In(p.location())
	q := journal.FiguresQuery{Step: journal.Day, Zone: p.location(), From: time.Date(now.Year(), now.Month(), now.Day()-days+1, 0, 0, 0, 0, p.location())}
	if days == 1 {
		q.Step = journal.Hour
	}
	return q
}

// bounced sums the figures of recipients that were lost: refused, given up, or reported as lost later.
func bounced(count func(journal.Figure) int64) int64 {
	return count(journal.Figure(journal.Bounced)) + count(journal.Figure(journal.Expired)) + count(journal.Figure(journal.Returned))
}

// series is a figure, or a sum of figures, over time.
func (p page) series(f journal.Figures, key, tone string, figures ...journal.Figure) plotSeries {
	s := plotSeries{Label: p.T(key), Tone: tone, Values: make([]float64, len(f.Points))}
	for i, x := range f.Points {
		if s.Values[i] = math.NaN(); x.Known {
			s.Values[i] = 0
			for _, figure := range figures {
				s.Values[i] += float64(x.Count[figure])
			}
		}
	}
	return s
}

// timesOf are the beginnings of the points.
func timesOf(f journal.Figures) []time.Time {
	out := make([]time.Time, len(f.Points))
	for i, x := range f.Points {
		out[i] = x.At
	}
	return out
}

// mailPlots are the plots of mail taken and of what became of it.
func (p page) mailPlots(f journal.Figures, step journal.Step) []plot {
	times := timesOf(f)
	return []plot{
		p.plot(plotOf{ID: "taken", Title: p.T("overview.plot.taken"), About: p.T("overview.plot.taken.about"), Step: step, Times: times, Series: []plotSeries{
			p.series(f, "overview.passed", toneGood, journal.Figure(journal.Accepted), journal.Figure(journal.Recovered)),
			p.series(f, "overview.stopped", toneWarn, journal.Stopped),
			p.series(f, "overview.rejected", toneBad, journal.Figure(journal.Rejected)),
		}}),
		p.plot(plotOf{ID: "fates", Title: p.T("overview.plot.fates"), About: p.T("overview.plot.fates.about"), Step: step, Times: times, Series: []plotSeries{
			p.series(f, "overview.delivered", toneGood, journal.Figure(journal.Delivered)),
			p.series(f, "overview.bounced", toneBad, journal.Figure(journal.Bounced), journal.Figure(journal.Expired), journal.Figure(journal.Returned)),
		}}),
		p.plot(plotOf{ID: "trouble", Title: p.T("overview.plot.trouble"), About: p.T("overview.plot.trouble.about"), Step: step, Times: times, Lines: true, Series: []plotSeries{
			p.series(f, "overview.delayed", toneWarn, journal.Delayed),
			p.series(f, "overview.complaints", toneBad, journal.Figure(journal.Complaint)),
		}}),
	}
}

// overview shows how a customer's mail fares.
func (s *site) overview(v *visit) {
	ctx, id := v.r.Context(), v.customer.ID
	days := chosenDays(v, 7)
	o := overviewPage{page: v.page, Ranges: v.page.ranges(days)}
	o.Title = v.page.T("overview.title", "Name", v.customer.Name, "Host", s.o.Hostname)
	q := v.page.span(days)
	q.Customer = id
	f, err := s.o.Journal.Figures(ctx, q)
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	accounts, err := s.o.Spool.Accounts(ctx)
	if err != nil {
		v.broken("queue not read", err)
		return
	}
	queued, held := 0, 0
	for _, a := range accounts {
		if a.Customer == id {
			queued, held = a.Queued, a.Held
		}
	}
	base := "/c/" + id
	if o.New, err = s.neverSent(v, f); err != nil {
		v.broken("figures not read", err)
		return
	}
	if o.New = o.New && queued+held == 0; o.New {
		o.Begin = v.beginnings(base)
	}
	if o.Needs, err = s.needs(v, held); err != nil {
		v.broken("figures not read", err)
		return
	}
	if !f.Through.IsZero() {
		o.Through = v.page.date(f.Through)
	}
	if !o.New {
		o.Tiles = v.page.mailTiles(f, queued, held, base)
		o.Plots = v.page.mailPlots(f, q.Step)
		if err := s.results(v, &o, q); err != nil {
			v.broken("figures not read", err)
			return
		}
	}
	v.show(http.StatusOK, "overview.html", o)
}

// neverSent reports whether a customer has handed in nothing yet, as far as figures are kept.
func (s *site) neverSent(v *visit, f journal.Figures) (bool, error) {
	if f.Sum(journal.Taken)+f.Sum(journal.Figure(journal.Rejected)) > 0 {
		return false, nil
	}
	q := v.page.span(90)
	q.Customer, q.Figures = v.customer.ID, []journal.Figure{journal.Taken, journal.Figure(journal.Rejected)}
	ever, err := s.o.Journal.Figures(v.r.Context(), q)
	return err == nil && ever.Sum(journal.Taken)+ever.Sum(journal.Figure(journal.Rejected)) == 0, err
}

// mailTiles are the numbers at the head of an overview.
func (p page) mailTiles(f journal.Figures, queued, held int, base string) []tile {
	n := func(x journal.Figure) string { return p.count(float64(f.Sum(x))) }
	delivered, lost := f.Sum(journal.Figure(journal.Delivered)), bounced(f.Sum)
	t := []tile{
		{Label: p.T("overview.tile.taken"), Value: n(journal.Taken), Hint: p.T("overview.tile.taken.hint", "Count", f.Sum(journal.Recipients)), URL: p.URL(base + "/messages")},
		{Label: p.T("overview.tile.delivered"), Value: p.count(float64(delivered)), Hint: p.share("overview.tile.delivered.hint", delivered, delivered+lost), URL: p.URL(base + "/providers")},
		{Label: p.T("overview.tile.queued"), Value: p.count(float64(queued)), Hint: p.T("overview.tile.queued.hint"), URL: p.URL(base + "/messages")},
		{Label: p.T("overview.tile.held"), Value: p.count(float64(held)), Hint: p.T("overview.tile.held.hint"), URL: p.URL(base + "/held"), Bad: held > 0},
		{Label: p.T("overview.tile.bounced"), Value: p.count(float64(lost)), Hint: p.share("overview.tile.bounced.hint", lost, delivered+lost), URL: p.URL(base + "/suppression")},
		{Label: p.T("overview.tile.complaints"), Value: n(journal.Figure(journal.Complaint)), Hint: p.share("overview.tile.complaints.hint", f.Sum(journal.Figure(journal.Complaint)), delivered)},
	}
	return t
}

// share writes a part of a whole in percent; "" of nothing.
func (p page) share(key string, part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return strings.ReplaceAll(p.T(key, "Share", p.percent(part, whole)), " %", "\u00a0%")
}

// percent writes a part of a whole: "0.03", "97.4", "100". What is less than all is never written as all.
func (p page) percent(part, whole int64) string {
	if whole <= 0 {
		return "–"
	}
	x := 100 * float64(part) / float64(whole)
	digits := 10.0
	if x < 1 {
		digits = 100
	}
	r := math.Round(x*digits) / digits
	if part < whole && r >= 100 {
		r = 99.9
	}
	return locale.Number(p.Lang, r)
}

// beginnings is what a new customer does first.
func (v *visit) beginnings(base string) []todo {
	p := v.page
	return []todo{
		{Text: p.T("overview.begin.domains"), Link: p.T("overview.begin.domains.link"), URL: p.URL(base + "/domains")},
		{Text: p.T("overview.begin.credentials"), Link: p.T("overview.begin.credentials.link"), URL: p.URL(base + "/credentials")},
		{Text: p.T("overview.begin.send"), Link: p.T("overview.begin.send.link"), URL: p.URL(base + "/messages")},
	}
}

// Bounds from which the overview speaks of something, and the fewest cases from which a share means something.
const (
	manyBounces    = 0.05  // of the recipients that have an end: receivers begin to ask questions at a few percent
	manyComplaints = 0.001 // of what was delivered: Gmail asks for less than 0.1 % (Email sender guidelines, read 2026-11)
	fewCases       = 100
)

// needs are the things that want attention first, the gravest first.
func (s *site) needs(v *visit, held int) (all []todo, err error) {
	p, base := v.page, "/c/"+v.customer.ID
	if v.customer.Suspended {
		all = append(all, todo{Text: p.T("overview.need.suspended"), Grave: true})
	}
	if held > 0 {
		all = append(all, todo{Text: p.T("overview.need.held", "Count", held), Link: p.T("overview.need.held.link"), URL: p.URL(base + "/held"), Grave: true})
	}
	if len(v.customer.Domains) == 0 {
		all = append(all, todo{Text: p.T("overview.need.no_domain"), Link: p.T("overview.need.domains.link"), URL: p.URL(base + "/domains")})
	}
	unsigned := 0
	for _, d := range v.customer.Domains[:min(len(v.customer.Domains), 200)] {
		if len(s.o.Accounts.SigningKeysFor(v.customer.ID, d)) == 0 {
			unsigned++
		}
	}
	if unsigned > 0 {
		all = append(all, todo{Text: p.T("overview.need.unsigned", "Count", unsigned), Link: p.T("overview.need.domains.link"), URL: p.URL(base + "/domains")})
	}
	q := p.span(14)
	q.Customer, q.Figures = v.customer.ID, []journal.Figure{journal.Figure(journal.Listed), journal.Figure(journal.Delivered), journal.Figure(journal.Bounced),
		journal.Figure(journal.Expired), journal.Figure(journal.Returned), journal.Figure(journal.Complaint)}
	f, err := s.o.Journal.Figures(v.r.Context(), q)
	if err != nil {
		return nil, err
	}
	half := len(f.Points) / 2
	before, now := journal.Figures{Points: f.Points[:half]}, journal.Figures{Points: f.Points[half:]}
	delivered, lost := now.Sum(journal.Figure(journal.Delivered)), bounced(now.Sum)
	if ends := delivered + lost; ends >= fewCases && float64(lost) > manyBounces*float64(ends) {
		all = append(all, todo{Text: p.T("overview.need.bounces", "Share", p.percent(lost, ends)), Link: p.T("overview.need.providers.link"), URL: p.URL(base + "/providers"), Grave: true})
	}
	if n := now.Sum(journal.Figure(journal.Complaint)); delivered >= fewCases && n > 1 && float64(n) > manyComplaints*float64(delivered) {
		all = append(all, todo{Text: p.T("overview.need.complaints", "Count", n, "Share", p.percent(n, delivered)), Link: p.T("overview.need.providers.link"), URL: p.URL(base + "/providers"), Grave: true})
	}
	if was, is := before.Sum(journal.Figure(journal.Listed)), now.Sum(journal.Figure(journal.Listed)); is >= 10 && is >= 2*was {
		all = append(all, todo{Text: p.T("overview.need.suppression", "Count", is, "Before", was), Link: p.T("overview.need.suppression.link"), URL: p.URL(base + "/suppression")})
	}
	slices.SortStableFunc(all, func(a, b todo) int {
		return cmp.Compare(map[bool]int{true: 0, false: 1}[a.Grave], map[bool]int{true: 0, false: 1}[b.Grave])
	})
	return all, nil
}

// mostResults bounds the tables of an overview.
const mostResults = 10

// results are the tables by provider and by test.
func (s *site) results(v *visit, o *overviewPage, q journal.FiguresQuery) error {
	by, err := s.o.Journal.ByProvider(v.r.Context(), q)
	if err != nil {
		return err
	}
	p, base := v.page, "/c/"+v.customer.ID
	o.Providers = p.providerResults(by, p.URL(base+"/providers"))
	tests, judged, err := s.o.Journal.TestSums(v.r.Context(), q)
	if err != nil {
		return err
	}
	o.Tests.Heads = []string{p.T("overview.test"), p.T("overview.messages"), p.T("overview.share"), p.T("overview.points")}
	for _, x := range tests[:min(len(tests), mostResults)] {
		if x.Points <= 0 {
			break
		}
		if x.Points/float64(max(x.Hits, 1)) < 0.05 { // it would be shown as 0
			continue
		}
		r := result{Name: p.testName(x.Test), Tech: clean(x.Test, 60), Cells: o.Tests.cells(p.count(float64(x.Hits)), p.percent(x.Hits, judged)+"\u00a0%", locale.Number(p.Lang, x.Points/float64(max(x.Hits, 1))))}
		if s.helps(x.Test) {
			r.URL = p.URL("/help/tests/" + url.PathEscape(x.Test))
		}
		o.Tests.Rows = append(o.Tests.Rows, r)
	}
	return nil
}

// cells are the cells of one line.
func (r *results) cells(values ...string) (all []plotCell) {
	for i, v := range values {
		all = append(all, plotCell{r.Heads[i+1], v})
	}
	return all
}

// providerResults is the table by provider.
func (p page) providerResults(by []journal.ProviderFigures, address string) (t results) {
	t.Heads = []string{p.T("overview.provider"), p.T("overview.delivered"), p.T("overview.share"), p.T("overview.delayed"), p.T("overview.bounced"), p.T("overview.complaints")}
	for _, x := range by {
		n := func(figure journal.Figure) int64 { return x.Count[figure] }
		delivered, lost, complaints := n(journal.Figure(journal.Delivered)), bounced(n), n(journal.Figure(journal.Complaint))
		if delivered+lost+n(journal.Delayed)+complaints == 0 {
			continue
		}
		share := "–"
		if delivered+lost > 0 {
			share = p.percent(delivered, delivered+lost) + "\u00a0%"
		}
		t.Rows = append(t.Rows, result{Name: p.providerName(x.Provider), URL: address,
			Cells: t.cells(p.count(float64(delivered)), share, p.count(float64(n(journal.Delayed))), p.count(float64(lost)), p.count(float64(complaints)))})
		if len(t.Rows) == mostResults {
			break
		}
	}
	return t
}

// providerName is what people call a provider.
func (p page) providerName(name string) string {
	if k := p.site.o.Knowledge; k != nil {
		if x := k().Provider(name); x != nil && x != k().Default() {
			return clean(cmp.Or(x.Title, x.Name), 60)
		}
	}
	if name == "default" {
		return p.T("overview.others")
	}
	return clean(name, 60)
}
