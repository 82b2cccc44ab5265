package portal

import (
	"net/http"
	"net/url"
	"time"

	"postern/internal/alarm"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/user"
)

// todayRoutes is the operator's first page.
func (s *site) todayRoutes() []route {
	return []route{{method: http.MethodGet, path: "/o", access: gateway(user.GatewayRead), do: s.today}}
}

// todayPage is the gateway at a glance.
type todayPage struct {
	page
	Ranges    []choice
	Through   string
	Alarms    []todo
	Tiles     []tile
	Lanes     []todayLane
	MoreLanes string // how many are left out, "" none
	Customers results
	Compared  string // which hours are compared
	Plots     []plot
	Providers results
	Links     map[string]string
}

// todayLane is a lane with something in force.
type todayLane struct{ Name, URL, Why, Until string }

// mostTodayLanes bounds the lanes of the glance.
const mostTodayLanes = 8

// today shows how the gateway does.
func (s *site) today(v *visit) {
	ctx, p := v.r.Context(), v.page
	now := s.o.Now()
	days := chosenDays(v, 1)
	t := todayPage{page: p, Ranges: p.ranges(days), Links: map[string]string{"alarms": p.URL("/o/alarms"), "lanes": p.URL("/o/lanes"), "customers": p.URL("/o/customers")}}
	t.Title = p.T("today.title", "Host", s.o.Hostname)
	stats, err := s.o.Spool.Stats(ctx)
	if err != nil {
		v.broken("queue not read", err)
		return
	}
	minute, err := s.o.Journal.Counts(ctx, now.Add(-time.Minute))
	if err != nil {
		v.broken("journal not read", err)
		return
	}
	q := p.span(days)
	f, err := s.o.Journal.Figures(ctx, q)
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	hour, err := s.o.Journal.Figures(ctx, journal.FiguresQuery{From: now.Add(-time.Hour), Step: journal.Hour, Figures: []journal.Figure{journal.Taken, journal.Figure(journal.Delivered), journal.Figure(journal.Bounced), journal.Figure(journal.Expired)}})
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	if !f.Through.IsZero() {
		t.Through = p.date(f.Through)
	}
	if s.o.Alarms != nil {
		for _, a := range s.o.Alarms.Raised() {
			t.Alarms = append(t.Alarms, todo{Text: clean(s.o.Alarms.Title(p.Lang, a), 300), Link: p.T("today.alarm.link"), URL: p.URL("/o/alarms"), Grave: a.Severity == alarm.Critical})
		}
	}
	number := func(n int) string { return p.count(float64(n)) }
	arrived := int(minute[journal.Accepted] + minute[journal.Held] + minute[journal.Recovered])
	t.Tiles = []tile{
		{Label: p.T("today.tile.minute"), Value: number(arrived), Hint: p.T("today.tile.minute.hint", "Count", minute[journal.Delivered]), URL: p.URL("/o/live")},
		{Label: p.T("today.tile.hour"), Value: p.count(float64(hour.Sum(journal.Taken))), Hint: p.T("today.tile.hour.hint", "Delivered", hour.Sum(journal.Figure(journal.Delivered)), "Lost", hour.Sum(journal.Figure(journal.Bounced))+hour.Sum(journal.Figure(journal.Expired))), URL: p.URL("/o/messages")},
		{Label: p.T("today.tile.queue"), Value: number(stats.Queued), Hint: p.ageHint("today.tile.oldest", stats.Oldest, now), URL: p.URL("/o/queue")},
		{Label: p.T("today.tile.held"), Value: number(stats.Held), Hint: p.ageHint("today.tile.oldest", stats.OldestHeld, now), URL: p.URL("/o/held"), Bad: stats.Held > 0},
	}
	if stats.Silent > 0 {
		t.Tiles = append(t.Tiles, tile{Label: p.T("today.tile.silent"), Value: number(stats.Silent), Hint: p.T("today.tile.silent.hint"), URL: p.URL("/o/queue"), Bad: true})
	}
	if stats.Full {
		t.Tiles = append(t.Tiles, tile{Label: p.T("today.tile.full"), Value: locale.Bytes(p.Lang, stats.Free), Hint: p.T("today.tile.full.hint"), Bad: true})
	}
	if s.o.Reputation != nil {
		sum, err := s.o.Reputation.Summary(ctx)
		if err != nil {
			v.broken("watch not read", err)
			return
		}
		listed := sum.EgressListed + sum.DomainsListed
		t.Tiles = append(t.Tiles, tile{Label: p.T("today.tile.listed"), Value: number(listed), Hint: p.T("today.tile.listed.hint", "Of", sum.Egress+sum.Domains, "Unlooked", sum.Unlooked), URL: p.URL("/o/reputation"), Bad: listed > 0})
	}
	s.todayLanes(&t)
	if err := s.todayCustomers(v, &t, now); err != nil {
		v.broken("figures not read", err)
		return
	}
	t.Plots = p.mailPlots(f, q.Step)
	by, err := s.o.Journal.ByProvider(ctx, q)
	if err != nil {
		v.broken("figures not read", err)
		return
	}
	t.Providers = p.providerResults(by, p.URL("/o/lanes"))
	v.show(http.StatusOK, "today.html", t)
}

// ageHint says how long the oldest message waits.
func (p page) ageHint(key string, oldest, now time.Time) string {
	if oldest.IsZero() {
		return ""
	}
	return p.T(key, "Age", now.Sub(oldest))
}

// todayLanes are the lanes that something keeps, those that stop all mail first as the shaper has them.
func (s *site) todayLanes(t *todayPage) {
	p, more := t.page, 0
	seen := map[string]bool{}
	for _, r := range s.o.Delivery.InForce() {
		lane := r.Lane.String()
		if seen[lane] {
			continue
		}
		if seen[lane] = true; len(t.Lanes) == mostTodayLanes {
			more++
			continue
		}
		until := ""
		if !r.Ends.IsZero() {
			until = p.T("today.until", "When", p.date(r.Ends))
		}
		t.Lanes = append(t.Lanes, todayLane{p.opLaneTitle(lane), p.URL(opLanePath(lane)), p.opWhy(r.Why), until})
	}
	if more > 0 {
		t.MoreLanes = p.T("today.lanes.more", "Count", more)
	}
}

// todayCustomers are those who send most, beside what they sent at the same time a week ago: in whole hours, so that both are complete.
func (s *site) todayCustomers(v *visit, t *todayPage, now time.Time) error {
	ctx, p := v.r.Context(), v.page
	to := now.Truncate(time.Hour)
	from := to.Add(-24 * time.Hour)
	const week = 7 * 24 * time.Hour
	top, err := s.o.Journal.Top(ctx, journal.Taken, from, to, mostResults)
	if err != nil {
		return err
	}
	t.Compared = p.T("today.customers.about", "From", p.date(from), "To", p.date(to))
	t.Customers.Heads = []string{p.T("today.customer"), p.T("today.messages"), p.T("today.before"), p.T("today.change"), p.T("today.stopped"), p.T("today.lost")}
	for _, c := range top {
		q := journal.FiguresQuery{Customer: c.Customer, From: from, To: to, Step: journal.Hour}
		is, err := s.o.Journal.Figures(ctx, q)
		if err != nil {
			return err
		}
		q.From, q.To, q.Figures = from.Add(-week), to.Add(-week), []journal.Figure{journal.Taken}
		was, err := s.o.Journal.Figures(ctx, q)
		if err != nil {
			return err
		}
		before, change := p.T("plot.unknown"), "–"
		if len(was.Points) > 0 && was.Points[0].Known {
			before, change = p.count(float64(was.Sum(journal.Taken))), p.change(c.Count, was.Sum(journal.Taken))
		}
		name := c.Customer
		if k, ok := s.o.Accounts.Customer(c.Customer); ok {
			name = k.Name
		}
		t.Customers.Rows = append(t.Customers.Rows, result{Name: clean(name, 80), URL: p.URL("/o/customers/" + url.PathEscape(c.Customer)),
			Cells: t.Customers.cells(p.count(float64(c.Count)), before, change, p.count(float64(is.Sum(journal.Stopped)+is.Sum(journal.Figure(journal.Rejected)))), p.count(float64(bounced(is.Sum))))})
	}
	return nil
}

// change writes how much more or less there is than before: "+12 %", "−40 %", "×7", "new".
func (p page) change(is, was int64) string {
	switch {
	case was == 0 && is == 0:
		return "–"
	case was == 0:
		return p.T("today.new")
	case is >= 3*was:
		return "×" + locale.Number(p.Lang, float64(is*10/was)/10)
	}
	text := p.percent(max(is-was, was-is), was) + "\u00a0%"
	switch {
	case is < was:
		return "\u2212" + text
	case is > was:
		return "+" + text
	}
	return "=" // as much as before
}
