package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"postern/internal/store"
)

// Step is the width of the points of a figure over time.
type Step string

// The steps. Hours are those of the clock in UTC. Days are those of the zone that is asked for; where a query begins more than 34 days ago,
// those of UTC, since only they are kept so long. A day that does not begin at a full hour of UTC begins with the next one.
const (
	Hour Step = "hour"
	Day  Step = "day"
)

// Figure names what is counted. Every Kind is a figure too: the number of its facts.
//
// Messages are counted when they come (Taken, Stopped, Judged, and the kinds Accepted, Held, Rejected); what becomes of them is counted by
// recipient and when it happens (Delivered, Bounced, Expired, Delayed, Returned, Complaint). So the two differ for messages with several
// recipients, and for mail that was taken in one step and delivered in the next.
type Figure string

// Figures that are not simply the number of facts of one kind.
const (
	// Taken: messages that were taken, each once: Accepted, Recovered, and Held on arrival.
	Taken Figure = "=taken"
	// Recipients: the recipients of those messages.
	Recipients Figure = "=recipients"
	// Stopped: messages held on arrival. What an operator sets aside later is not among them.
	Stopped Figure = "=stopped"
	// Delayed: recipients whose first attempt was answered "not now". Kind Deferred counts every such answer.
	Delayed Figure = "=delayed"
	// Judged: messages of which the journal keeps what the tests said, taken or refused.
	Judged Figure = "=judged"
)

// FiguresQuery selects figures.
type FiguresQuery struct {
	Customer string         // account.Customer.ID; "" everybody, also mail of nobody in particular
	From, To time.Time      // whole steps; To zero or in the future: the present
	Step     Step           // Hour (at most 35 days) or Day (at most 400)
	Zone     *time.Location // whose days; nil UTC
	Figures  []Figure       // none: all
}

// Point is one step of figures.
type Point struct {
	At    time.Time        // its beginning, in the zone that was asked for
	Known bool             // false: before the figures begin, or not counted yet; its counts say nothing
	Count map[Figure]int64 // figures that are not in it are 0
}

// Figures are counts over time.
type Figures struct {
	Points  []Point
	Since   time.Time // when the figures begin; zero: there are none
	Through time.Time // zero: all facts are counted; else so far the counting came, of a journal from before or in a rush of mail
}

// Sum adds up a figure over all points.
func (f Figures) Sum(x Figure) (sum int64) {
	for _, p := range f.Points {
		sum += p.Count[x]
	}
	return sum
}

// Figures counts facts over time. Facts that are not in the roll-up yet are added from the journal, so that the answer is of this moment.
func (j *Journal) Figures(ctx context.Context, q FiguresQuery) (out Figures, err error) {
	g, err := j.grid(q)
	if err != nil {
		return Figures{}, fmt.Errorf("figures: %w", err)
	}
	wanted := func(x Figure) bool { return len(q.Figures) == 0 || slices.Contains(q.Figures, x) }
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		out = Figures{Points: make([]Point, len(g.starts))}
		for i, at := range g.starts {
			out.Points[i] = Point{At: at, Count: map[Figure]int64{}}
		}
		add := func(at int64, kind Figure, n int64) {
			if i := g.index(at); i >= 0 && wanted(kind) {
				out.Points[i].Count[kind] += n
			}
		}
		rows := tx.Query(`SELECT at, kind, count FROM journal_figure WHERE customer = ? AND span = ? AND at >= ? AND at < ?`, q.Customer, g.span, g.first(), g.end)
		for rows.Next() {
			var at, n int64
			var kind Figure
			if err := rows.Scan(&at, (*string)(&kind), &n); err != nil {
				return err
			}
			add(at, kind, n)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rest, err := j.readRest(tx)
		if err != nil {
			return err
		}
		for k, n := range rest.sums.figures {
			if k.customer == q.Customer && k.span == g.span {
				add(k.at, k.kind, n)
			}
		}
		out.Since, out.Through = rest.since, rest.through
		g.know(&out)
		return nil
	})
	if err != nil {
		return Figures{}, fmt.Errorf("figures: %w", err)
	}
	return out, nil
}

// behind is how far the counting may lag, in a rush of mail, before the newest points are called unknown.
const behind = 10 * time.Minute

// know says which points are known.
func (g *grid) know(f *Figures) {
	for i := range f.Points {
		end := g.end
		if i+1 < len(g.starts) {
			end = g.starts[i+1]
		}
		f.Points[i].Known = !f.Since.IsZero() && f.Since.Before(end) && (f.Through.IsZero() || !end.After(f.Through) || g.now.Sub(f.Through) < behind)
	}
}

// ProviderFigures are the figures of one provider.
type ProviderFigures struct {
	Provider string // provider.Provider.Name; "default" for receivers that are nobody's in particular
	Count    map[Figure]int64
}

// mostProviders bounds the answer of ByProvider.
const mostProviders = 100

// ByProvider returns what became of mail by who answered for the recipients (Delivered, Deferred, Delayed, Bounced, Expired, Returned,
// LateDelay, Complaint ...), those with the most deliveries and failures first, at most 100. A window that begins more than 8 days ago is
// one of days in UTC. Step is of no importance.
func (j *Journal) ByProvider(ctx context.Context, q FiguresQuery) (out []ProviderFigures, err error) {
	from, to, span := j.window(q)
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		by := map[string]map[Figure]int64{}
		add := func(provider string, kind Figure, n int64) {
			if by[provider] == nil {
				by[provider] = map[Figure]int64{}
			}
			by[provider][kind] += n
		}
		rows := tx.Query(`SELECT provider, kind, sum(count) FROM journal_figure_provider WHERE customer = ? AND span = ? AND at >= ? AND at < ? GROUP BY provider, kind`, q.Customer, span, from, to)
		for rows.Next() {
			var provider string
			var kind Figure
			var n int64
			if err := rows.Scan(&provider, (*string)(&kind), &n); err != nil {
				return err
			}
			add(provider, kind, n)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rest, err := j.readRest(tx)
		if err != nil {
			return err
		}
		for k, n := range rest.sums.providers {
			if k.customer == q.Customer && k.span == span && k.at >= from.UnixMicro() && k.at < to.UnixMicro() {
				add(k.provider, k.kind, n)
			}
		}
		out = nil
		for provider, count := range by {
			out = append(out, ProviderFigures{provider, count})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("figures by provider: %w", err)
	}
	weight := func(p ProviderFigures) int64 {
		return p.Count[Figure(Delivered)] + p.Count[Figure(Bounced)] + p.Count[Figure(Expired)] + p.Count[Delayed]
	}
	slices.SortFunc(out, func(a, b ProviderFigures) int {
		return cmp.Or(cmp.Compare(weight(b), weight(a)), cmp.Compare(a.Provider, b.Provider))
	})
	return out[:min(len(out), mostProviders)], nil
}

// TestSum is how often a test fired.
type TestSum struct {
	Test   string
	Hits   int64   // messages
	Points float64 // the sum
}

// TestSums returns how often each test fired in a window, and of how many messages. For one customer only tests that cost points are there,
// by days of UTC; so are windows for everybody that begin more than 8 days ago. The costliest stand first. Step is of no importance.
func (j *Journal) TestSums(ctx context.Context, q FiguresQuery) (out []TestSum, judged int64, err error) {
	from, to, span := j.window(q)
	if q.Customer != "" {
		from, span = from.Truncate(24*time.Hour), spanDay
	}
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		by := map[string]testSum{}
		judged = 0
		rows := tx.Query(`SELECT test, sum(hits), sum(points) FROM journal_figure_test WHERE customer = ? AND span = ? AND at >= ? AND at < ? GROUP BY test`, q.Customer, span, from, to)
		for rows.Next() {
			var test string
			var x testSum
			if err := rows.Scan(&test, &x.hits, &x.points); err != nil {
				return err
			}
			by[test] = x
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT coalesce(sum(count), 0) FROM journal_figure WHERE customer = ? AND span = ? AND at >= ? AND at < ? AND kind = ?`, q.Customer, span, from, to, string(Judged)).Scan(&judged); err != nil {
			return err
		}
		rest, err := j.readRest(tx)
		if err != nil {
			return err
		}
		inside := func(at int64) bool { return at >= from.UnixMicro() && at < to.UnixMicro() }
		for k, x := range rest.sums.tests {
			if k.customer == q.Customer && k.span == span && inside(k.at) {
				by[k.test] = testSum{by[k.test].hits + x.hits, by[k.test].points + x.points}
			}
		}
		for k, n := range rest.sums.figures {
			if k.customer == q.Customer && k.span == span && k.kind == Judged && inside(k.at) {
				judged += n
			}
		}
		out = nil
		for test, x := range by {
			out = append(out, TestSum{test, x.hits, float64(x.points) / 1000})
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("figures of tests: %w", err)
	}
	slices.SortFunc(out, func(a, b TestSum) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), cmp.Compare(b.Hits, a.Hits), strings.Compare(a.Test, b.Test))
	})
	return out, judged, nil
}

// TestPoint is one step of a test's figures.
type TestPoint struct {
	At     time.Time
	Known  bool
	Hits   int64 // messages on which it fired
	Judged int64 // messages that were tested
}

// TestPoints returns how often a test fired over time, for everybody's mail. q.Customer must be "".
func (j *Journal) TestPoints(ctx context.Context, test string, q FiguresQuery) (out []TestPoint, err error) {
	if q.Customer != "" {
		return nil, fmt.Errorf("figures of a test: %w: for everybody only", ErrInvalid)
	}
	q.Figures = []Figure{Judged}
	g, err := j.grid(q)
	if err != nil {
		return nil, fmt.Errorf("figures of a test: %w", err)
	}
	all, err := j.Figures(ctx, q)
	if err != nil {
		return nil, err
	}
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		out = make([]TestPoint, len(g.starts))
		for i, at := range g.starts {
			out[i] = TestPoint{At: at}
			if i < len(all.Points) {
				out[i].Known, out[i].Judged = all.Points[i].Known, all.Points[i].Count[Judged]
			}
		}
		add := func(at, n int64) {
			if i := g.index(at); i >= 0 {
				out[i].Hits += n
			}
		}
		rows := tx.Query(`SELECT at, hits FROM journal_figure_test WHERE test = ? AND customer = '' AND span = ? AND at >= ? AND at < ?`, cut(test, 100), g.span, g.first(), g.end)
		for rows.Next() {
			var at, n int64
			if err := rows.Scan(&at, &n); err != nil {
				return err
			}
			add(at, n)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rest, err := j.readRest(tx)
		if err != nil {
			return err
		}
		for k, x := range rest.sums.tests {
			if k.test == test && k.customer == "" && k.span == g.span {
				add(k.at, x.hits)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("figures of a test: %w", err)
	}
	return out, nil
}

// CustomerSum is one customer's figure.
type CustomerSum struct {
	Customer string
	Count    int64
}

// mostTopHours bounds the window of Top.
const mostTopHours = 48 * time.Hour

// topAnswer is the last answer of Top. Hours that are over change no more, but for late facts, so it holds for a minute.
type topAnswer struct {
	figure   Figure
	from, to time.Time
	at       time.Time
	all      []CustomerSum
}

// mostTop bounds what an answer keeps.
const mostTop = 1000

// topFor is how long an answer about hours that are over is given again.
const topFor = time.Minute

const (
	// sqlTopTaken has an index of its own, which holds only what meets these conditions, word by word. Other figures are seldom asked for.
	sqlTopTaken = `SELECT customer, sum(count) FROM journal_figure WHERE span = 1 AND kind = '=taken' AND customer <> '' AND at >= ? AND at < ? GROUP BY customer`
	sqlTop      = `SELECT customer, sum(count) FROM journal_figure WHERE span = 1 AND at >= ? AND at < ? AND kind = ? AND customer <> '' GROUP BY customer`
)

// Top returns the customers with the greatest figure in a window of whole hours, at most 48, the greatest first. An answer about hours that
// are over may be a minute old.
func (j *Journal) Top(ctx context.Context, x Figure, from, to time.Time, limit int) (out []CustomerSum, err error) {
	from = from.Truncate(time.Hour)
	if to.Sub(from) > mostTopHours {
		return nil, fmt.Errorf("top customers: %w: a window of %s (at most %s)", ErrInvalid, to.Sub(from), mostTopHours)
	}
	now := j.o.Now()
	if t := j.tops.Load(); t != nil && t.figure == x && t.from.Equal(from) && t.to.Equal(to) && now.Sub(t.at) < topFor {
		return slices.Clone(t.all[:min(len(t.all), max(limit, 0))]), nil
	}
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		by := map[string]int64{}
		statement, args := sqlTop, []any{from, to, string(x)}
		if x == Taken {
			statement, args = sqlTopTaken, args[:2]
		}
		rows := tx.Query(statement, args...)
		for rows.Next() {
			var customer string
			var n int64
			if err := rows.Scan(&customer, &n); err != nil {
				return err
			}
			by[customer] = n
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rest, err := j.readRest(tx)
		if err != nil {
			return err
		}
		for k, n := range rest.sums.figures {
			if k.customer != "" && k.span == spanHour && k.kind == x && k.at >= from.UnixMicro() && k.at < to.UnixMicro() {
				by[k.customer] += n
			}
		}
		out = nil
		for customer, n := range by {
			out = append(out, CustomerSum{customer, n})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("top customers: %w", err)
	}
	slices.SortFunc(out, func(a, b CustomerSum) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Customer, b.Customer))
	})
	if !to.After(now.Truncate(time.Hour)) {
		j.tops.Store(&topAnswer{x, from, to, now, slices.Clone(out[:min(len(out), mostTop)])})
	}
	return out[:min(len(out), max(limit, 0))], nil
}

// grid are the steps of a query.
type grid struct {
	starts []time.Time
	end    time.Time // of the last step, or the present
	span   int64     // of the rows to read
	days   bool      // rows are days of UTC
	now    time.Time
}

// grid lays out the steps of a query.
func (j *Journal) grid(q FiguresQuery) (*grid, error) {
	now, zone := j.o.Now(), q.Zone
	if zone == nil {
		zone = time.UTC
	}
	g := &grid{end: q.To, span: spanHour, now: now}
	if g.end.IsZero() || g.end.After(now) {
		g.end = now.Add(time.Microsecond)
	}
	if q.From.IsZero() || g.end.Sub(q.From) > daysKept+48*time.Hour || q.Step == Hour && g.end.Sub(q.From) > hoursKept+time.Hour || q.Step != Hour && q.Step != Day {
		return nil, fmt.Errorf("%w query: %s steps from %s to %s", ErrInvalid, q.Step, q.From, g.end)
	}
	if q.Step == Hour {
		for at := q.From.Truncate(time.Hour); at.Before(g.end); at = at.Add(time.Hour) {
			g.starts = append(g.starts, at.In(zone))
		}
		return g, nil
	}
	if now.Sub(q.From) > hoursKept-24*time.Hour {
		g.span, g.days = spanDay, true
	}
	y, m, d := q.From.In(zone).Date()
	for i := 0; ; i++ {
		at := time.Date(y, m, d+i, 0, 0, 0, 0, zone)
		if !at.Before(g.end) {
			return g, nil
		}
		g.starts = append(g.starts, at)
	}
}

// first is the time of the first row to read.
func (g *grid) first() time.Time {
	if len(g.starts) == 0 {
		return g.end
	}
	if g.days {
		return utcDay(g.starts[0])
	}
	return g.starts[0]
}

// index is the step that a row counts for; -1: none.
func (g *grid) index(micro int64) int {
	at := time.UnixMicro(micro)
	if len(g.starts) == 0 || at.Before(g.first()) || !at.Before(g.end) {
		return -1
	}
	if g.days {
		if i := int(at.Sub(g.first()) / (24 * time.Hour)); i < len(g.starts) {
			return i
		}
		return len(g.starts) - 1 // the day has begun in UTC and not yet in the zone
	}
	return sort.Search(len(g.starts), func(i int) bool { return g.starts[i].After(at) }) - 1
}

// utcDay is the day in UTC with the date that a moment has in its own zone.
func utcDay(at time.Time) time.Time {
	y, m, d := at.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// window is the time of a query without steps, in whole hours or, when it begins more than 8 days ago, whole days of UTC.
func (j *Journal) window(q FiguresQuery) (from, to time.Time, span int64) {
	now := j.o.Now()
	if to = q.To; to.IsZero() || to.After(now) {
		to = now.Add(time.Microsecond)
	}
	if now.Sub(q.From) > 8*24*time.Hour {
		return q.From.Truncate(24 * time.Hour), to, spanDay
	}
	return q.From.Truncate(time.Hour), to, spanHour
}
