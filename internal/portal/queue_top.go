package portal

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern/internal/locale"
	"postern/internal/provider"
	"postern/internal/shaping"
)

// mostOpTop bounds each list of the view of the queue as a whole.
const mostOpTop = 50

// opLanePath is the path of a lane's page.
func opLanePath(lane string) string { return "/o/lanes/" + url.PathEscape(lane) }

// opLaneTitle is a lane's name for people: the receiver's title and our address.
func (p page) opLaneTitle(lane string) string {
	k, err := shaping.ParseKey(lane)
	if err != nil {
		return clean(lane, 200)
	}
	title := p.opProviderTitle(k.Provider)
	if k.Provider == shaping.AnyReceiver {
		title = p.T("lanes.any")
	}
	if k.Egress.IsValid() {
		title += " · " + k.Egress.String()
	}
	return title
}

// opProviderTitle is a receiver's name for people.
func (p page) opProviderTitle(name string) string {
	if known := p.site.o.Knowledge().Provider(name); known != nil {
		return p.receiver(known)
	}
	return clean(strings.TrimPrefix(name, "mx:"), 200)
}

// receiver is the name of a receiver in the page's language. Most names are the same in all; a name that the operator gave stays as it is.
func (p page) receiver(known *provider.Provider) string {
	key, c := "portal.receiver."+known.Name, p.site.o.Catalog
	if c.Has(key) && known.Title == c.Text(locale.English, key, nil) {
		return c.Text(p.Lang, key, nil)
	}
	return known.Title
}

// opTopLane is a lane with what waits for it.
type opTopLane struct {
	Lane, Title, URL, ListURL string
	Waiting, Parked, Busy     string
	Connections, Rate         string
	Sent                      string // in the last minute
	Oldest, Next              opMoment
	Stands, Slow              bool
	Word, Why                 string
	Until                     opMoment

	weight int
	stands bool
	code   string // of the reason
	parked int
}

// opTopCustomer is a customer's queued mail.
type opTopCustomer struct {
	Name, URL, ListURL   string
	Queued, Parked, Held string
	Oldest               opMoment
	Lanes                int

	weight int
}

// opTopReason is a reason for which mail waits, with how much.
type opTopReason struct {
	Word  string
	Count string
	Lanes []opLink

	weight int
}

// opLink is a name that leads somewhere.
type opLink struct{ Name, URL string }

type opTopPage struct {
	page
	Tiles     []opTile
	Lanes     []opTopLane
	Customers []opTopCustomer
	Reasons   []opTopReason
	ListURL   string
	At        opMoment
}

// opTop shows where mail waits, whose it is, and why: as `postern queue top`.
func (s *site) opTop(v *visit) {
	p, ctx := v.page, v.r.Context()
	st, err := s.o.Spool.Stats(ctx)
	if err != nil {
		v.broken("queue not counted", err)
		return
	}
	lanes, err := s.opLanes(v)
	if err != nil {
		v.broken("lanes not read", err)
		return
	}
	customers, err := s.opTopCustomers(v)
	if err != nil {
		v.broken("customers' mail not counted", err)
		return
	}
	d := opTopPage{page: p, Tiles: p.opQueueTiles(st), ListURL: p.URL("/o/queue"), At: p.opWhen(s.o.Now())}
	d.Title = p.T("queue.top.title")
	d.Reasons = s.opReasons(v, lanes, st.Queued, st.Held)
	d.Lanes, d.Customers = lanes[:min(len(lanes), mostOpTop)], customers[:min(len(customers), mostOpTop)]
	v.show(http.StatusOK, "op-top.html", d)
}

// opLanes are the lanes that have work, mail or something in force, the most mail first.
func (s *site) opLanes(v *visit) ([]opTopLane, error) {
	p := v.page
	backlogs, err := s.o.Spool.Backlogs(v.r.Context())
	if err != nil {
		return nil, err
	}
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	type parked struct {
		n            int
		oldest, next time.Time
	}
	waits := map[string]*parked{}
	for _, b := range backlogs {
		if b.Lane == "" {
			continue
		}
		x := waits[b.Lane]
		if x == nil {
			x = &parked{oldest: b.Oldest, next: b.Next}
			waits[b.Lane] = x
		}
		x.n += b.Recipients
		if b.Oldest.Before(x.oldest) {
			x.oldest = b.Oldest
		}
		if b.Next.Before(x.next) {
			x.next = b.Next
		}
	}
	var out []opTopLane
	add := func(l shaping.LaneInfo) {
		x := opTopLane{Lane: clean(l.Lane, 400), Title: p.opLaneTitle(l.Lane), URL: p.URL(opLanePath(l.Lane)), ListURL: p.URL("/o/queue", "lane", l.Lane), Waiting: number(l.Waiting), Busy: number(l.Busy),
			Sent: number(l.Sent), weight: l.Waiting, Word: p.T("lanes.state.free")}
		if l.Limit > 0 {
			x.Connections = p.T("lanes.of", "Used", l.Connections, "Most", l.Limit)
		}
		if l.Rate > 0 {
			x.Rate = p.T("lanes.rate", "Rate", l.Rate)
		}
		for _, r := range l.InForce {
			if opStops(r) {
				x.stands, x.Stands = true, true
				x.Word, x.Why, x.Until, x.code = p.T("lanes.state.stands"), p.opWhy(r.Why), p.opWhen(r.Ends), string(r.Kind)
				break
			}
			if r.Scope == shaping.WholeLane && r.Customer == "" && x.code == "" {
				x.Slow = true
				x.Word, x.Why, x.Until, x.code = p.T("lanes.state.slow"), p.opWhy(r.Why), p.opWhen(r.Ends), string(r.Kind)
			}
		}
		if y := waits[l.Lane]; y != nil {
			x.parked, x.Parked, x.Oldest, x.Next = y.n, number(y.n), p.opWhen(y.oldest), p.opWhen(y.next)
			x.weight += y.n
			delete(waits, l.Lane)
		}
		out = append(out, x)
	}
	for _, l := range s.o.Delivery.Lanes() {
		add(l)
	}
	for lane := range waits {
		add(shaping.LaneInfo{Lane: lane})
	}
	slices.SortFunc(out, func(a, b opTopLane) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(opBit(b.Stands), opBit(a.Stands)), cmp.Compare(a.Lane, b.Lane))
	})
	return out, nil
}

func opBit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// opTopCustomers are customers with mail here, the most first.
func (s *site) opTopCustomers(v *visit) ([]opTopCustomer, error) {
	p := v.page
	accounts, err := s.o.Spool.Accounts(v.r.Context())
	if err != nil {
		return nil, err
	}
	backlogs, err := s.o.Spool.Backlogs(v.r.Context())
	if err != nil {
		return nil, err
	}
	parked, lanes := map[string]int{}, map[string]int{}
	for _, b := range backlogs {
		if b.Lane != "" {
			parked[b.Customer] += b.Recipients
			lanes[b.Customer]++
		}
	}
	number := func(n int) string { return locale.Number(p.Lang, float64(n)) }
	out := make([]opTopCustomer, 0, len(accounts))
	for _, a := range accounts {
		x := opTopCustomer{Name: p.opCustomer(a.Customer), Queued: number(a.Queued), Held: number(a.Held), Parked: number(parked[a.Customer]), Lanes: lanes[a.Customer],
			Oldest: p.opWhen(a.Oldest), weight: a.Queued}
		if a.Customer != "" {
			x.URL, x.ListURL = p.URL("/o/customers/"+a.Customer), p.URL("/o/queue", "customer", a.Customer)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b opTopCustomer) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// opReasons groups what waits by why it waits, the most first.
func (s *site) opReasons(v *visit, lanes []opTopLane, queued, held int) []opTopReason {
	const mostLanes = 6
	p := v.page
	by := map[string]*opTopReason{}
	add := func(key, word string, n int, lane *opTopLane) {
		if n == 0 {
			return
		}
		x := by[key]
		if x == nil {
			x = &opTopReason{Word: word}
			by[key] = x
		}
		if x.weight += n; lane != nil && len(x.Lanes) < mostLanes {
			x.Lanes = append(x.Lanes, opLink{lane.Title, lane.URL})
		}
	}
	rest := queued
	for i := range lanes {
		l := &lanes[i]
		rest -= l.weight
		if l.code != "" {
			add(l.code, p.opText("shaping.kind."+l.code, nil), l.weight, l)
			continue
		}
		add("turn", p.T("queue.reason.turn"), l.weight, l)
	}
	add("attempt", p.T("queue.reason.attempt"), max(rest, 0), nil)
	add("held", p.T("queue.reason.held"), held, nil)
	var out []opTopReason
	for _, x := range by {
		x.Count = locale.Number(p.Lang, float64(x.weight))
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b opTopReason) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.Word, b.Word))
	})
	return out
}
