package portal

import (
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/reputation"
	"postern/internal/user"
)

// reputationRoutes are the pages of the watch over blocklists.
func (s *site) reputationRoutes() []route {
	if s.o.Reputation == nil {
		return nil
	}
	read, act := gateway(user.GatewayRead), gateway(user.GatewayOperate)
	return []route{
		{method: http.MethodGet, path: "/o/reputation", access: read, do: s.watched},
		{method: http.MethodGet, path: "/o/reputation/events", access: read, do: s.watchEvents},
		{method: http.MethodGet, path: "/o/reputation/range", access: read, do: s.watchedRange},
		{method: http.MethodGet, path: "/o/reputation/target/{target}", access: read, do: s.watchedTarget},
		{method: http.MethodPost, path: "/o/reputation/target/{target}/look", access: act, act: "reputation.look", do: s.lookNow},
		{method: http.MethodGet, path: "/c/{customer}/reputation", access: over(user.SetupRead), do: s.watchedDomains},
		{method: http.MethodGet, path: "/c/{customer}/reputation/{target}", access: over(user.SetupRead), do: s.watchedDomain},
	}
}

const (
	watchRows   = 50
	watchEvents = 12 // on the first page
	watchDays   = 90
)

// rt returns a text of the room reputation.
func (p page) rt(key string, args map[string]any) string {
	return p.site.o.Catalog.Text(p.Lang, "reputation."+key, args)
}

// watchRow is one target in a list.
type watchRow struct {
	Name, URL    string
	Roles        string
	Customer     string
	Word, Class  string // its state
	Lists        string
	Unknown      string
	Checked, Due opMoment
}

// watchEvent is one change.
type watchEvent struct {
	At          opMoment
	Target, URL string
	Word, Class string
	List        string
	Text        string
	Dossier     string // address
}

// watchRound is how far the round through a range has come.
type watchRound struct {
	Range, URL   string
	Share        int // of a hundred
	Now, Last    string
	Listed       string
	UnknownShare string
}

// watchPage is what is watched.
type watchPage struct {
	page
	Tiles  []tile
	Plot   plot
	Form   []field
	Action string
	Asked  bool
	Rows   []watchRow
	Rounds []watchRound
	Events []watchEvent
	More   string // address of all events
	Lists  string // how many lists are asked
	Pager  pager
	Off    string // nothing to watch
}

// watched is the operator's page of all that is watched.
func (s *site) watched(v *visit) {
	p, q, ctx := v.page, v.opQuery(), v.r.Context()
	sum, err := s.o.Reputation.Summary(ctx)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	role := reputation.Role(q.Get("role"))
	query := reputation.TargetQuery{Role: role, Text: strings.ToLower(strings.TrimSpace(q.Get("q"))), Listed: q.Get("only") == "listed", Cursor: q.Get("after"), Limit: watchRows}
	targets, err := s.o.Reputation.Targets(ctx, query)
	if errors.Is(err, reputation.ErrInvalid) {
		v.redirect("/o/reputation")
		return
	}
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	d := watchPage{page: p, Action: p.URL("/o/reputation"), Asked: query.Role != "" || query.Text != "" || query.Listed, More: p.URL("/o/reputation/events")}
	d.Title = p.T("watch.heading")
	d.Tiles = p.watchTiles(sum)
	now := s.o.Now()
	trend, err := s.o.Reputation.Trend(ctx, now.AddDate(0, 0, -watchDays), now)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	d.Plot = p.trendPlot(trend)
	roles := []option{{Value: "", Label: p.T("queue.any")}}
	for _, r := range []reputation.Role{reputation.Egress, reputation.Sending, reputation.ReturnPath, reputation.HostName, reputation.Extra, reputation.Ranged} {
		roles = append(roles, option{string(r), p.rt("role."+string(r), nil), r == role})
	}
	d.Form = []field{{Name: "q", Label: p.T("watch.field.q"), Value: clean(q.Get("q"), 200)}, {Name: "role", Label: p.T("watch.field.role"), Type: "select", Options: roles},
		{Name: "only", Label: p.T("watch.field.only"), Type: "select", Options: []option{{Value: "", Label: p.T("queue.any")}, {"listed", p.T("watch.listed"), query.Listed}}}}
	for _, t := range targets.Targets {
		d.Rows = append(d.Rows, v.watchRow(t, "/o/reputation/target/"))
	}
	d.Pager = p.watchPager("/o/reputation", q, targets.Next)
	rounds, err := s.o.Reputation.Rounds(ctx)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, r := range rounds {
		d.Rounds = append(d.Rounds, p.watchRound(r))
	}
	events, err := s.o.Reputation.Events(ctx, "", "", watchEvents)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, e := range events.Events {
		d.Events = append(d.Events, p.watchEvent(e))
	}
	v.show(http.StatusOK, "watch.list", d)
}

// watchTiles are the state of everything in a few figures.
func (p page) watchTiles(sum reputation.Summary) []tile {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	of := func(n int) string { return p.T("watch.tile.of", "Count", n) }
	open := sum.Dossiers[reputation.Open] + sum.Dossiers[reputation.Mending] + sum.Dossiers[reputation.Requested]
	tiles := []tile{
		{Label: p.T("watch.tile.egress"), Value: number(sum.EgressListed), Hint: of(sum.Egress), URL: p.URL("/o/reputation", "role", "egress", "only", "listed"), Bad: sum.EgressListed > 0},
		{Label: p.T("watch.tile.domains"), Value: number(sum.DomainsListed), Hint: of(sum.Domains), URL: p.URL("/o/reputation", "only", "listed"), Bad: sum.DomainsListed > 0},
		{Label: p.T("watch.tile.unlooked"), Value: number(sum.Unlooked), Hint: p.T("watch.tile.unlooked_note")},
		{Label: p.T("watch.tile.dossiers"), Value: number(open), Hint: p.T("watch.tile.dossiers_note", "Clean", sum.Dossiers[reputation.Clean]), URL: p.URL("/o/dossiers")},
		{Label: p.T("watch.tile.lists"), Value: number(sum.ZonesUsable), Hint: of(sum.Zones)},
	}
	if sum.Ranged > 0 {
		tiles = slices.Insert(tiles, 2, tile{Label: p.T("watch.tile.ranged"), Value: number(sum.RangedListed), Hint: of(sum.Ranged), URL: p.URL("/o/reputation", "role", "range")})
	}
	return tiles
}

// trendPlot draws how many of ours were listed each day; days on which nothing was measured are gaps.
func (p page) trendPlot(days []reputation.TrendDay) plot {
	x := plotOf{ID: "trend", Title: p.T("watch.trend"), About: p.T("watch.plot_about"), Step: journal.Day, Apart: true, Lines: true,
		Series: []plotSeries{{Label: p.T("watch.tile.egress"), Tone: toneBad}, {Label: p.T("watch.tile.domains"), Tone: toneCalm}}}
	for _, d := range days {
		x.Times = append(x.Times, d.Day)
		egress, domains := math.NaN(), math.NaN()
		if d.Looked {
			egress, domains = float64(d.Egress), float64(d.Domains)
		}
		x.Series[0].Values = append(x.Series[0].Values, egress)
		x.Series[1].Values = append(x.Series[1].Values, domains)
	}
	return p.plot(x)
}

// watchPager leads through a list by the cursor "after".
func (p page) watchPager(path string, q url.Values, next string) (out pager) {
	if next != "" {
		out.Next = p.URL(path + opEncode(q, "after", next))
	}
	if q.Get("after") != "" {
		out.First = p.URL(path + opEncode(q, "after", ""))
	}
	return out
}

// watchState is a target's state in a word.
func (p page) watchState(t reputation.Target) (word, class string) {
	switch {
	case t.Lists > 0 && t.Weight >= 4:
		return p.T("watch.listed"), "bad"
	case t.Lists > 0:
		return p.T("watch.listed"), "slow"
	case t.Checked.IsZero():
		return p.T("watch.unlooked"), ""
	case t.Unknown > 0:
		return p.T("watch.partly", "Count", t.Unknown), ""
	}
	return p.T("watch.clean"), "good"
}

func (v *visit) watchRow(t reputation.Target, base string) watchRow {
	p := v.page
	row := watchRow{Name: t.Name, URL: p.URL(base + url.PathEscape(t.Name)), Roles: p.watchRoles(t.Roles), Lists: locale.Number(p.Lang, float64(t.Lists)), Unknown: locale.Number(p.Lang, float64(t.Unknown)), Checked: p.opWhen(t.Checked), Due: p.opWhen(t.Next)}
	row.Word, row.Class = p.watchState(t)
	if t.Customer != "" {
		row.Customer = p.opCustomer(t.Customer)
	}
	return row
}

func (p page) watchRoles(roles []reputation.Role) string {
	var out []string
	for _, r := range roles {
		out = append(out, p.rt("role."+string(r), nil))
	}
	return strings.Join(out, ", ")
}

func (p page) watchEvent(e reputation.Event) watchEvent {
	out := watchEvent{At: p.opWhen(e.At), Target: e.Target, URL: p.URL("/o/reputation/target/" + url.PathEscape(e.Target)), Word: p.T("watch.event." + string(e.Kind)), List: clean(e.List, 100)}
	switch {
	case e.Kind == reputation.Listed && e.Weight >= 4:
		out.Class = "bad"
	case e.Kind == reputation.Listed && e.Weight > 0:
		out.Class = "slow"
	case e.Kind == reputation.Delisted:
		out.Class = "good"
	}
	out.Text = clean(listWords(e.Names, e.Text), 300)
	if e.Dossier != "" {
		out.Dossier = p.URL("/o/dossiers/" + url.PathEscape(e.Dossier))
	}
	return out
}

func (p page) watchRound(r reputation.Round) watchRound {
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	out := watchRound{Range: r.Range.String(), URL: p.URL("/o/reputation/range", "network", r.Range.String()), Listed: number(max(r.Listed, r.Last.Listed))}
	if r.Size > 0 {
		out.Share = min(100, r.Position*100/r.Size)
	}
	out.Now = p.T("watch.round.now", "Done", number(r.Position), "Size", number(r.Size))
	if r.Last.Ended.IsZero() {
		out.Last = p.T("watch.round.none")
	} else {
		out.Last = p.T("watch.round.last", "When", p.date(r.Last.Ended), "Listed", number(r.Last.Listed), "Unknown", number(r.Last.Unknown))
	}
	return out
}

// watchEventsPage is all that changed.
type watchEventsPage struct {
	page
	Events []watchEvent
	Pager  pager
	Back   string
}

// watchEvents lists what changed, of everything.
func (s *site) watchEvents(v *visit) {
	p, q := v.page, v.opQuery()
	events, err := s.o.Reputation.Events(v.r.Context(), "", q.Get("after"), watchRows)
	if errors.Is(err, reputation.ErrInvalid) {
		v.redirect("/o/reputation/events")
		return
	}
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	d := watchEventsPage{page: p, Pager: p.watchPager("/o/reputation/events", q, events.Next), Back: p.URL("/o/reputation")}
	d.Title = p.T("watch.events")
	for _, e := range events.Events {
		d.Events = append(d.Events, p.watchEvent(e))
	}
	v.show(http.StatusOK, "watch.events", d)
}

// watchZone is what one list says of a target.
type watchZone struct {
	List, Zone  string
	Word, Class string
	Since       opMoment
	Text        string
	Weight      string
	Silent      string // since when it has not answered
}

// watchMoment is one line of a timeline.
type watchMoment struct {
	At    opMoment
	Event *watchEvent
	Act   string // in words
	Who   string
	URL   string // of the dossier
}

// watchTargetPage is one target.
type watchTargetPage struct {
	page
	Name, Roles  string
	Whose        string
	CustomerURL  string
	Word, Class  string
	Checked, Due opMoment
	Look         *button
	CheckURL     string // of a check-up
	Listed       []watchZone
	Rest         []watchZone
	Fold         string
	Plot         plot
	Timeline     []watchMoment
	Dossiers     []dossierRow
	Back, Crumb  string
}

// watchedTarget is the operator's page of one target.
func (s *site) watchedTarget(v *visit) {
	t, ok := s.targetOf(v)
	if !ok {
		return
	}
	d, ok := s.targetPage(v, t)
	if !ok {
		return
	}
	p := v.page
	d.Back, d.Crumb = p.URL("/o/reputation"), p.T("watch.heading")
	d.CheckURL = p.URL("/o/check", "target", t.Name)
	if t.Customer != "" {
		d.CustomerURL = p.URL("/o/customers/" + t.Customer)
	}
	if v.who.May(user.GatewayOperate, "") {
		d.Look = &button{URL: p.URL("/o/reputation/target/" + url.PathEscape(t.Name) + "/look"), Label: p.T("watch.look")}
	}
	moments, err := s.o.Reputation.Timeline(v.r.Context(), t.Name, time.Time{}, watchRows)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, m := range moments {
		d.Timeline = append(d.Timeline, v.watchMoment(m))
	}
	dossiers, err := s.o.Reputation.Dossiers(v.r.Context(), reputation.DossierQuery{Target: t.Name, Limit: 20})
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, x := range dossiers.Dossiers {
		d.Dossiers = append(d.Dossiers, p.dossierRow(x))
	}
	v.show(http.StatusOK, "watch.one", d)
}

// targetOf is the target of the path; else it answers.
func (s *site) targetOf(v *visit) (reputation.Target, bool) {
	t, err := s.o.Reputation.Target(v.r.Context(), v.r.PathValue("target"))
	switch {
	case errors.Is(err, reputation.ErrNotFound):
		v.missing()
		return t, false
	case err != nil:
		v.broken("watch not read", err)
		return t, false
	}
	return t, true
}

// targetPage is what both pages of a target show.
func (s *site) targetPage(v *visit, t reputation.Target) (watchTargetPage, bool) {
	p := v.page
	d := watchTargetPage{page: p, Name: t.Name, Roles: p.watchRoles(t.Roles), Checked: p.opWhen(t.Checked), Due: p.opWhen(t.Next)}
	d.Title = p.T("watch.title", "Target", t.Name)
	d.Word, d.Class = p.watchState(t)
	if t.Customer != "" {
		d.Whose = p.opCustomer(t.Customer)
	}
	for _, z := range t.Zones {
		row := p.watchZone(z)
		if z.State == dnsbl.Listed || z.State == dnsbl.Unknown {
			d.Listed = append(d.Listed, row)
		} else {
			d.Rest = append(d.Rest, row)
		}
	}
	d.Fold = p.T("check.lists.rest", "Count", len(d.Rest))
	var err error
	if d.Plot, err = s.targetPlot(v, t.Name); err != nil {
		v.broken("watch not read", err)
		return d, false
	}
	return d, true
}

// targetPlot draws the last ninety days of a target.
func (s *site) targetPlot(v *visit, target string) (plot, error) {
	now := s.o.Now()
	days, err := s.o.Reputation.History(v.r.Context(), target, now.AddDate(0, 0, -watchDays), now)
	return v.page.watchPlot(days), err
}

// watchPlot draws how many lists had a target each day; days that nobody measured are gaps.
func (p page) watchPlot(days []reputation.Day) plot {
	x := plotOf{ID: "listings", Title: p.T("watch.plot"), About: p.T("watch.plot_about"), Step: journal.Day, Apart: true, Lines: true,
		Series: []plotSeries{{Label: p.T("watch.plot.lists"), Tone: toneBad}, {Label: p.T("watch.plot.weight"), Tone: toneCalm}}}
	for _, d := range days {
		x.Times = append(x.Times, d.Day)
		lists, weight := math.NaN(), math.NaN()
		if d.Looked {
			lists, weight = float64(d.Lists), float64(d.Weight)
		}
		x.Series[0].Values = append(x.Series[0].Values, lists)
		x.Series[1].Values = append(x.Series[1].Values, weight)
	}
	return p.plot(x)
}

// listWords are what a list answers: the names of its codes, and its own words where it has any.
func listWords(names []string, text string) string {
	out := strings.Join(names, ", ")
	switch {
	case text == "":
		return out
	case out == "":
		return text
	}
	return out + " · " + text
}

func (p page) watchZone(z reputation.Zone) watchZone {
	row := watchZone{List: clean(z.List, 100), Zone: z.Zone, Word: p.T("check.lists." + string(z.State)), Since: p.opWhen(z.Since), Weight: locale.Number(p.Lang, float64(z.Weight)),
		Text: clean(listWords(z.Names, z.Reason), 400)}
	switch {
	case z.State == dnsbl.Listed && z.Weight >= 4:
		row.Class = "bad"
	case z.State == dnsbl.Listed && z.Weight > 0:
		row.Class = "slow"
	case z.State == dnsbl.Clean:
		row.Class = "good"
	}
	return row
}

func (v *visit) watchMoment(m reputation.Moment) watchMoment {
	p := v.page
	out := watchMoment{At: p.opWhen(m.At)}
	if m.Event != nil {
		e := p.watchEvent(*m.Event)
		out.Event = &e
		return out
	}
	if m.Act != nil {
		x := v.dossierAct(*m.Act)
		out.Act, out.Who, out.URL = x.Text, x.Who, p.URL("/o/dossiers/"+url.PathEscape(m.Act.Dossier))
	}
	return out
}

// lookNow looks at a target at once.
func (s *site) lookNow(v *visit) {
	if !v.read() {
		return
	}
	t, ok := s.targetOf(v)
	if !ok {
		return
	}
	v.about(t.Name, "")
	if wait := s.checks.allowed(v.who.ID, s.o.Now()); wait > 0 {
		v.status = http.StatusTooManyRequests
		s.busy(v.w, v.r, wait)
		return
	}
	if err := s.o.Reputation.LookNow(v.r.Context(), t.Name); err != nil {
		v.broken("target not looked at", err)
		return
	}
	v.done("/o/reputation/target/"+url.PathEscape(t.Name), "watch.looked")
}

// watchCell is one address of a network on one day.
type watchCell struct {
	Address, URL string
	Word, Class  string
	Mark         string // told without colour
}

type watchRangePage struct {
	page
	Network  string
	Form     field
	Action   string
	Day      string
	Cells    []watchCell
	Listings []watchEvent
	Back     string
	Fault    string
	Marks    []watchCell // the legend
}

// watchedRange shows the addresses of one network of a range, and the listings in it.
func (s *site) watchedRange(v *visit) {
	p, text := v.page, v.r.URL.Query().Get("network")
	d := watchRangePage{page: p, Action: p.URL("/o/reputation/range"), Back: p.URL("/o/reputation"), Day: p.stepName(journal.Day, s.o.Now())}
	d.Title = p.T("watch.range")
	d.Form = field{Name: "network", Label: p.T("watch.range.network"), Hint: p.T("watch.range.hint"), Value: clean(text, 60), Mono: true, Most: 60, Complete: "off"}
	network, err := netip.ParsePrefix(strings.TrimSpace(text))
	if err != nil {
		if text != "" {
			d.Form.Fault = p.T("watch.range.fault")
		}
		v.show(http.StatusOK, "watch.range", d)
		return
	}
	network = network.Masked()
	d.Network = network.String()
	block := network
	if least := block.Addr().BitLen() - 8; block.Bits() < least {
		block = netip.PrefixFrom(block.Addr(), least) // the first 256 of them
	}
	days, err := s.o.Reputation.Block(v.r.Context(), block, s.o.Now())
	if err != nil && !errors.Is(err, reputation.ErrInvalid) && !errors.Is(err, reputation.ErrNotFound) {
		v.broken("watch not read", err)
		return
	}
	ip := block.Addr()
	for _, x := range days {
		c := p.watchCell(x)
		c.Address, c.URL = ip.String(), p.URL("/o/reputation/target/"+ip.String())
		d.Cells = append(d.Cells, c)
		ip = ip.Next()
	}
	for _, x := range []reputation.Day{{Looked: true}, {Looked: true, Lists: 1, Weight: 2}, {Looked: true, Lists: 1, Weight: 5}, {}} {
		d.Marks = append(d.Marks, p.watchCell(x))
	}
	listed, err := s.o.Reputation.Listings(v.r.Context(), reputation.ListingQuery{Within: network.String(), Open: true, Limit: watchRows})
	if err != nil && !errors.Is(err, reputation.ErrInvalid) {
		v.broken("watch not read", err)
		return
	}
	for _, l := range listed.Listings {
		d.Listings = append(d.Listings, p.watchEvent(reputation.Event{At: l.Since, Target: l.Target, Kind: reputation.Listed, List: l.List, Weight: l.Weight, Names: l.Names, Text: l.Reason, Dossier: l.Dossier}))
	}
	v.show(http.StatusOK, "watch.range", d)
}

// watchCell is what a day showed of an address, with a mark that needs no colour.
func (p page) watchCell(d reputation.Day) watchCell {
	switch {
	case !d.Looked:
		return watchCell{Word: p.T("watch.unlooked"), Mark: "?", Class: "none"}
	case d.Weight >= 4:
		return watchCell{Word: p.T("watch.cell.grave"), Mark: "×", Class: "bad"}
	case d.Lists > 0:
		return watchCell{Word: p.T("watch.listed"), Mark: "/", Class: "slow"}
	}
	return watchCell{Word: p.T("watch.clean"), Mark: "·", Class: "good"}
}

// watchDomainsPage is a customer's domains on blocklists.
type watchDomainsPage struct {
	page
	Rows  []watchRow
	Pager pager
}

// watchedDomains are the customer's own domains.
func (s *site) watchedDomains(v *visit) {
	p, q := v.page, v.opQuery()
	base := "/c/" + v.customer.ID + "/reputation"
	targets, err := s.o.Reputation.Targets(v.r.Context(), reputation.TargetQuery{Customer: v.customer.ID, Cursor: q.Get("after"), Limit: watchRows})
	if errors.Is(err, reputation.ErrInvalid) {
		v.redirect(base)
		return
	}
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	d := watchDomainsPage{page: p, Pager: p.watchPager(base, q, targets.Next)}
	d.Title = p.T("watch.mine")
	for _, t := range targets.Targets {
		d.Rows = append(d.Rows, v.watchRow(t, base+"/"))
	}
	v.show(http.StatusOK, "watch.mine", d)
}

// watchedDomain is one domain of the customer.
func (s *site) watchedDomain(v *visit) {
	t, ok := s.targetOf(v)
	if !ok {
		return
	}
	if t.Customer == "" || t.Customer != v.customer.ID {
		v.missing()
		return
	}
	d, ok := s.targetPage(v, t)
	if !ok {
		return
	}
	p := v.page
	d.Whose = ""
	d.Back, d.Crumb = p.URL("/c/"+v.customer.ID+"/reputation"), p.T("watch.mine")
	d.CheckURL = p.URL("/c/"+v.customer.ID+"/check", "target", t.Name)
	events, err := s.o.Reputation.Events(v.r.Context(), t.Name, "", watchRows)
	if err != nil {
		v.broken("watch not read", err)
		return
	}
	for _, e := range events.Events {
		e.Dossier = ""
		x := p.watchEvent(e)
		x.URL = ""
		d.Timeline = append(d.Timeline, watchMoment{At: x.At, Event: &x})
	}
	v.show(http.StatusOK, "watch.one", d)
}

// ownerName is who a dossier or target belongs to.
func (p page) ownerName(customer string) string {
	if customer == "" {
		return p.T("watch.ours")
	}
	return p.opCustomer(customer)
}
