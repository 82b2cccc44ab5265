package postmaster

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sort"
	"time"

	"postern/internal/report"
	"postern/internal/store"
)

// Cell is one address on one day. A zero Cell is a day of which nothing is known.
type Cell struct {
	Known      bool
	Colour     report.SNDSColour // the worst of the day; "": not said
	Complaint  report.SNDSRate   // the highest of the day
	Traps      report.SNDSNumber // all of the day
	Recipients report.SNDSNumber // all of the day
}

// Line is one address over a span of days.
type Line struct {
	IP         netip.Addr
	Cells      []Cell // one for each day of Heat.Days; nil beyond the part that was asked for
	Days       int    // of which something is known
	Red        int    // of them, by colour
	Yellow     int
	Green      int
	Traps      report.SNDSNumber
	Recipients report.SNDSNumber
	Complaint  report.SNDSRate // average by recipients of the days of which both are known
	Last       time.Time       // the last day of which something is known
	State      *State          // what is done with its mail; nil: it is in no report
}

// Heat is what is known of all addresses over a span of days, the worst address first.
type Heat struct {
	Days    []time.Time
	Lines   []Line
	Average report.SNDSRate // complaints of all addresses, by recipients
	Red     int             // addresses with a red day
	Trapped int             // addresses with trap hits
	Silent  []netip.Prefix  // addresses and ranges of ours of which nothing is known in this span, at most 1000
}

// maxSpan bounds the days of a map.
const maxSpan = 400

// worse is the order of colours.
func worse(c report.SNDSColour) int {
	switch c {
	case report.SNDSRed:
		return 3
	case report.SNDSYellow:
		return 2
	case report.SNDSGreen:
		return 1
	}
	return 0
}

// Heat gathers the days from and to, both included. Cells are made for the lines from skip on, at most many; the others have their sums.
func (p *Postmaster) Heat(ctx context.Context, from, to time.Time, skip, many int) (h Heat, err error) {
	first, last := dayOf(from), dayOf(to)
	if last-first >= maxSpan {
		first = last - maxSpan + 1
	}
	for d := first; d <= last; d++ {
		h.Days = append(h.Days, timeOf(d))
	}
	ours := p.o.Ours()
	err = wrap(p.db.Read(ctx, func(tx *store.Tx) error {
		days, err := sheetsOf(tx, first, last)
		if err != nil {
			return err
		}
		states, err := scanStates(tx.Query(sqlStates))
		if err != nil {
			return err
		}
		var g gathered
		var room []heatRow
		for i := range days {
			if room, err = days[i].rows(tx, room); err != nil {
				return err
			}
			g.add(room)
		}
		h.Silent = silent(ours, g.lines)
		h.Lines, h.Average, h.Red, h.Trapped = g.lines, g.all.rate(), 0, 0
		for i := range h.Lines {
			l := &h.Lines[i]
			l.Complaint = g.rates[i].rate()
			if l.Red > 0 {
				h.Red++
			}
			if l.Traps.Value > 0 {
				h.Trapped++
			}
		}
		setStates(h.Lines, states)
		slices.SortFunc(h.Lines, func(a, b Line) int {
			return cmp.Or(cmp.Compare(stateWeight(b.State), stateWeight(a.State)), cmp.Compare(b.Red, a.Red), cmp.Compare(b.Traps.Value, a.Traps.Value), cmp.Compare(b.Yellow, a.Yellow),
				cmp.Compare(b.Complaint.Percent, a.Complaint.Percent), a.IP.Compare(b.IP))
		})
		skip = min(max(skip, 0), len(h.Lines))
		return fillCells(tx, days, first, last, h.Lines[skip:min(skip+max(many, 0), len(h.Lines))])
	}))
	if err != nil {
		return Heat{}, err
	}
	return h, nil
}

// gathered are the sums of all addresses over some days, in the order of their addresses. The rates of lines stand beside them until all days are in.
type gathered struct {
	lines []Line
	rates []average
	all   average
}

// add adds a day, whose rows are in the order of their addresses, too: most of them were there the day before, so both orders are gone through together.
func (g *gathered) add(rows []heatRow) {
	known, at := len(g.lines), 0
	for len(rows) > 0 {
		ip := rows[0].ip
		for at < known && g.lines[at].IP.Less(ip) {
			at++
		}
		to := at
		if at == known || g.lines[at].IP != ip {
			to = len(g.lines)
			g.lines, g.rates = append(g.lines, Line{IP: ip}), append(g.rates, average{})
		}
		var c Cell
		day := rows[0].day
		for len(rows) > 0 && rows[0].ip == ip {
			c = c.with(rows[0])
			g.all.add(rows[0].complaint, rows[0].recipients)
			g.rates[to].add(rows[0].complaint, rows[0].recipients)
			rows = rows[1:]
		}
		g.lines[to].count(day, c)
	}
	if len(g.lines) > known {
		sort.Sort(g)
	}
}

// Len, Less and Swap are for package sort: lines that are new must find their places.
func (g *gathered) Len() int           { return len(g.lines) }
func (g *gathered) Less(i, j int) bool { return g.lines[i].IP.Less(g.lines[j].IP) }
func (g *gathered) Swap(i, j int) {
	g.lines[i], g.lines[j] = g.lines[j], g.lines[i]
	g.rates[i], g.rates[j] = g.rates[j], g.rates[i]
}

// fillCells fills in the days of some lines.
func fillCells(tx *store.Tx, days []sheet, first, last int64, lines []Line) error {
	of := make(map[netip.Addr]*Line, len(lines))
	for i := range lines {
		lines[i].Cells = make([]Cell, last-first+1)
		of[lines[i].IP] = &lines[i]
	}
	var room []heatRow
	for i := range days {
		var err error
		if room, err = days[i].rows(tx, room); err != nil {
			return err
		}
		for _, r := range room {
			if l := of[r.ip]; l != nil {
				l.Cells[r.day-first] = l.Cells[r.day-first].with(r)
			}
		}
	}
	return nil
}

func stateWeight(s *State) int {
	if s == nil {
		return 0
	}
	switch s.State {
	case report.SNDSBlocked:
		return 4
	case report.SNDSBot:
		return 3
	case report.SNDSJunked:
		return 2
	case report.SNDSAbnormal:
		return 1
	}
	return 0
}

// setStates says what is done with the mail of each line, as stateOf does for one address. lines are in the order of their addresses: those and the ranges are gone
// through together.
func setStates(lines []Line, states []State) {
	begin := make([]int, len(states)) // in the order of their first addresses
	for i := range begin {
		begin[i] = i
	}
	slices.SortStableFunc(begin, func(a, b int) int { return states[a].First.Compare(states[b].First) })
	var open []int // ranges that have begun and not ended
	for i := range lines {
		ip := lines[i].IP
		for len(begin) > 0 && states[begin[0]].First.Compare(ip) <= 0 {
			open, begin = append(open, begin[0]), begin[1:]
		}
		open = slices.DeleteFunc(open, func(s int) bool { return states[s].Last.Less(ip) })
		worst := -1
		for _, s := range open {
			if worst < 0 || cmp.Or(cmp.Compare(stateWeight(&states[s]), stateWeight(&states[worst])), cmp.Compare(worst, s)) > 0 {
				worst = s
			}
		}
		if worst >= 0 {
			lines[i].State = &states[worst]
		}
	}
}

// stateOf is the worst that is done with an address; of two of a kind the one that began last.
func stateOf(states []State, ip netip.Addr) (worst *State) {
	for i := range states {
		if states[i].Has(ip) && (worst == nil || stateWeight(&states[i]) > stateWeight(worst)) {
			worst = &states[i]
		}
	}
	return worst
}

// with adds a period to a day.
func (c Cell) with(r heatRow) Cell {
	c.Known = true
	if worse(r.colour) > worse(c.Colour) {
		c.Colour = r.colour
	}
	if r.complaint.Known && (!c.Complaint.Known || r.complaint.Percent > c.Complaint.Percent || r.complaint.Percent == c.Complaint.Percent && !r.complaint.Below) {
		c.Complaint = r.complaint
	}
	c.Traps, c.Recipients = plus(c.Traps, r.traps), plus(c.Recipients, r.recipients)
	return c
}

// plus adds numbers of which some are not known: what is known of them.
func plus(a, b report.SNDSNumber) report.SNDSNumber {
	return report.SNDSNumber{Value: a.Value + b.Value, Known: a.Known || b.Known}
}

// count adds a day to the sums of an address.
func (l *Line) count(day int64, c Cell) {
	l.Days++
	switch c.Colour {
	case report.SNDSRed:
		l.Red++
	case report.SNDSYellow:
		l.Yellow++
	case report.SNDSGreen:
		l.Green++
	}
	l.Traps, l.Recipients = plus(l.Traps, c.Traps), plus(l.Recipients, c.Recipients)
	if at := timeOf(day); at.After(l.Last) {
		l.Last = at
	}
}

// average is a rate over several rows, by recipients. Of a rate below a bound the bound counts: the average is then one, too.
type average struct {
	sum, weight float64
	sharp       bool // a rate that is no bound is in it
	any         bool
}

func (a *average) add(r report.SNDSRate, recipients report.SNDSNumber) {
	if !r.Known || !recipients.Known || recipients.Value == 0 {
		return
	}
	a.any, a.sharp = true, a.sharp || !r.Below
	a.sum += r.Percent * float64(recipients.Value)
	a.weight += float64(recipients.Value)
}

func (a *average) rate() report.SNDSRate {
	if !a.any {
		return report.SNDSRate{}
	}
	return report.SNDSRate{Percent: a.sum / a.weight, Below: !a.sharp, Known: true}
}

// maxSilent bounds the list of addresses of which nothing is known.
const maxSilent = 1000

// silent returns those of our addresses and ranges in which no address has figures. lines are in the order of their addresses.
func silent(ours []netip.Prefix, lines []Line) (out []netip.Prefix) {
	for _, o := range ours {
		if o.IsSingleIP() {
			o = netip.PrefixFrom(o.Addr().Unmap(), o.Addr().Unmap().BitLen())
		}
		i, _ := slices.BinarySearchFunc(lines, o.Masked().Addr(), func(l Line, first netip.Addr) int { return l.IP.Compare(first) })
		if there := i < len(lines) && o.Contains(lines[i].IP); !there && len(out) < maxSilent {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(out)
}

// Trend returns the rows of one address over a span of days, oldest first.
func (p *Postmaster) Trend(ctx context.Context, ip netip.Addr, from, to time.Time) (all []Row, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		all, err = scanRows(tx.Query(sqlTrend, ip.Unmap().String(), dayOf(from), dayOf(to)))
		return err
	})
	return all, wrap(err)
}

// Rows returns the rows of all addresses over a span of days, oldest first, at most many.
func (p *Postmaster) Rows(ctx context.Context, from, to time.Time, many int) (all []Row, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		all, err = scanRows(tx.Query(sqlSpan, dayOf(from), dayOf(to), many))
		return err
	})
	return all, wrap(err)
}

// Standing is what is done with the mail of an address now, as far as is known.
type Standing struct {
	Known bool   // it is reported, or figures of it are known and a recent report does not name it
	State *State // nil: it is not reported
	AsOf  time.Time
}

// freshFor is how old a report may be for its silence to mean something: reports name what was abnormal in the last 24 hours.
const freshFor = 48 * time.Hour

// Standing tells what is done with the mail of an address. That no report names it means something only when the account may see it.
func (p *Postmaster) Standing(ctx context.Context, ip netip.Addr) (s Standing, err error) {
	ip = ip.Unmap()
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		s = Standing{}
		states, err := scanStates(tx.Query(sqlStates))
		if err != nil {
			return err
		}
		if s.State = stateOf(states, ip); s.State != nil {
			s.Known, s.AsOf = true, s.State.Seen
			return nil
		}
		sources, err := scanSources(tx.Query(sqlSources))
		if err != nil {
			return err
		}
		for _, x := range sources {
			if x.States.After(s.AsOf) {
				s.AsOf = x.States
			}
		}
		rows, err := scanRows(tx.Query(sqlTrend, ip.String(), dayOf(p.o.Now().Add(-30*24*time.Hour)), dayOf(p.o.Now())+1))
		s.Known = len(rows) > 0 && p.o.Now().Sub(s.AsOf) < freshFor
		return err
	})
	return s, wrap(err)
}
