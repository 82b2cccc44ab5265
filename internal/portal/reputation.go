package portal

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
	shown := make([]watchDay, len(trend))
	for i, t := range trend {
		shown[i] = watchDay{t.Day, t.Looked, t.Egress, t.Domains}
	}
	d.Plot = p.watchPlot("trend", p.T("watch.trend"), p.T("watch.tile.egress"), p.T("watch.tile.domains"), shown)
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

// watchDay is one day of a plot of two figures.
type watchDay struct {
	at            time.Time
	looked        bool // false: nothing was measured, so that the figures say nothing
	first, second int
}

// watchPlot draws two figures of each day, of which the first is the graver; days on which nothing was measured are gaps.
func (p page) watchPlot(id, title, first, second string, days []watchDay) plot {
	x := plotOf{ID: id, Title: title, About: p.T("watch.plot_about"), Step: journal.Day, Apart: true, Lines: true,
		Series: []plotSeries{{Label: first, Tone: toneBad}, {Label: second, Tone: toneCalm}}}
	for _, d := range days {
		x.Times = append(x.Times, d.at)
		one, two := math.NaN(), math.NaN()
		if d.looked {
			one, two = float64(d.first), float64(d.second)
		}
		x.Series[0].Values = append(x.Series[0].Values, one)
		x.Series[1].Values = append(x.Series[1].Values, two)
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

// listingClass colours a listing of that weight. One without weight is for display only and has none.
func listingClass(weight int) string {
	switch {
	case weight >= reputation.CriticalWeight:
		return "bad"
	case weight > 0:
		return "slow"
	}
	return ""
}

// watchState is a target's state in a word.
func (p page) watchState(t reputation.Target) (word, class string) {
	switch {
	case t.Lists > 0 && t.Weight >= reputation.CriticalWeight:
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

// ownerName is who a dossier or target belongs to.
func (p page) ownerName(customer string) string {
	if customer == "" {
		return p.T("watch.ours")
	}
	return p.opCustomer(customer)
}
