package postmaster

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
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

// day is what a row of the map needs.
type heatRow struct {
	ip         netip.Addr
	day        int64
	recipients report.SNDSNumber
	colour     report.SNDSColour
	complaint  report.SNDSRate
	traps      report.SNDSNumber
}

// worse is the order of colours.
func worse(c report.SNDSColour) int {
	return map[report.SNDSColour]int{report.SNDSGreen: 1, report.SNDSYellow: 2, report.SNDSRed: 3}[c]
}

// Heat gathers the days from and to, both included. Cells are made for the lines from skip on, at most many; the others have their sums.
func (p *Postmaster) Heat(ctx context.Context, from, to time.Time, skip, many int) (Heat, error) {
	first, last := dayOf(from), dayOf(to)
	if last-first >= maxSpan {
		first = last - maxSpan + 1
	}
	var h Heat
	for d := first; d <= last; d++ {
		h.Days = append(h.Days, timeOf(d))
	}
	sums, states, err := p.heatSums(ctx, first, last)
	if err != nil {
		return Heat{}, err
	}
	h.Lines, h.Average, h.Red, h.Trapped = slices.Clone(sums.lines), sums.average, sums.red, sums.trapped
	known := make(map[netip.Addr]bool, len(h.Lines))
	for i := range h.Lines {
		known[h.Lines[i].IP] = true
		h.Lines[i].State = stateOf(states, h.Lines[i].IP)
	}
	slices.SortFunc(h.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(stateWeight(b.State), stateWeight(a.State)), cmp.Compare(b.Red, a.Red), cmp.Compare(b.Traps.Value, a.Traps.Value), cmp.Compare(b.Yellow, a.Yellow),
			cmp.Compare(b.Complaint.Percent, a.Complaint.Percent), a.IP.Compare(b.IP))
	})
	skip = min(max(skip, 0), len(h.Lines))
	if err := p.heatCells(ctx, first, last, h.Lines[skip:min(skip+many, len(h.Lines))]); err != nil {
		return Heat{}, err
	}
	h.Silent = silent(p.o.Ours(), known)
	return h, nil
}

// heatSums are the sums of all addresses over a span of days. They are kept while no row is newer: a map of thousands of addresses is made of hundreds of thousands of rows.
type heatSums struct {
	first, last  int64
	seen         int64     // of the newest row when they were made
	made         time.Time // clocks of nodes differ a little: not for ever
	lines        []Line    // without cells and states, in no order
	average      report.SNDSRate
	red, trapped int
}

// The bounds of what is kept.
const (
	maxHeats = 4
	heatFor  = 10 * time.Minute
)

// heatSums returns the sums of a span, and what is done with addresses now.
func (p *Postmaster) heatSums(ctx context.Context, first, last int64) (sums *heatSums, states []State, err error) {
	var seen int64
	err = p.db.Read(ctx, func(tx *store.Tx) (err error) {
		if err = tx.QueryRow(sqlNewestRow).Scan(&seen); err == nil {
			states, err = scanStates(tx.Query(sqlStates))
		}
		return err
	})
	if err != nil {
		return nil, nil, wrap(err)
	}
	now := p.o.Now()
	p.mu.Lock()
	p.heats = slices.DeleteFunc(p.heats, func(h *heatSums) bool { return h.seen != seen || now.Sub(h.made) > heatFor || now.Before(h.made) })
	for _, h := range p.heats {
		if h.first == first && h.last == last {
			sums = h
		}
	}
	p.mu.Unlock()
	if sums != nil {
		return sums, states, nil
	}
	var rows []heatRow
	err = p.db.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err = scanHeat(tx.Query(sqlHeat, first, last), map[string]netip.Addr{})
		return err
	})
	if err != nil {
		return nil, nil, wrap(err)
	}
	sums = sumsOf(rows)
	sums.first, sums.last, sums.seen, sums.made = first, last, seen, now
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heats) >= maxHeats {
		p.heats = p.heats[1:]
	}
	p.heats = append(p.heats, sums)
	return sums, states, nil
}

// sumsOf adds the rows of a span up by address.
func sumsOf(rows []heatRow) *heatSums {
	type days struct {
		cells map[int64]Cell
		rate  average
	}
	var all average
	found := map[netip.Addr]*days{}
	for _, r := range rows {
		x := found[r.ip]
		if x == nil {
			x = &days{cells: map[int64]Cell{}}
			found[r.ip] = x
		}
		x.cells[r.day] = x.cells[r.day].with(r)
		all.add(r.complaint, r.recipients)
		x.rate.add(r.complaint, r.recipients)
	}
	out := &heatSums{average: all.rate()}
	for ip, x := range found {
		l := Line{IP: ip, Complaint: x.rate.rate()}
		for day, c := range x.cells {
			l.count(day, c)
		}
		if l.Red > 0 {
			out.red++
		}
		if l.Traps.Value > 0 {
			out.trapped++
		}
		out.lines = append(out.lines, l)
	}
	return out
}

// heatCells fills in the days of some lines.
func (p *Postmaster) heatCells(ctx context.Context, first, last int64, lines []Line) error {
	return wrap(p.db.Read(ctx, func(tx *store.Tx) error {
		for i := range lines {
			l := &lines[i]
			l.Cells = make([]Cell, last-first+1)
			rows, err := scanHeat(tx.Query(sqlHeatOf, l.IP.String(), first, last), map[string]netip.Addr{})
			if err != nil {
				return err
			}
			for _, r := range rows {
				l.Cells[r.day-first] = l.Cells[r.day-first].with(r)
			}
		}
		return nil
	}))
}

func stateWeight(s *State) int {
	if s == nil {
		return 0
	}
	return map[report.SNDSState]int{report.SNDSBlocked: 4, report.SNDSBot: 3, report.SNDSJunked: 2, report.SNDSAbnormal: 1}[s.State]
}

func stateOf(states []State, ip netip.Addr) (worst *State) {
	for i := range states {
		if states[i].Has(ip) && (worst == nil || stateWeight(&states[i]) > stateWeight(worst)) {
			worst = &states[i]
		}
	}
	return worst
}

func (p *Postmaster) heatRows(ctx context.Context, first, last int64) (all []heatRow, states []State, err error) {
	addresses := map[string]netip.Addr{}
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		if all, err = scanHeat(tx.Query(sqlHeat, first, last), addresses); err != nil {
			return err
		}
		states, err = scanStates(tx.Query(sqlStates))
		return err
	})
	return all, states, wrap(err)
}

// scanHeat reads rows of a map. addresses are those that were parsed before.
func scanHeat(rows *store.Rows, addresses map[string]netip.Addr) (all []heatRow, err error) {
	for rows.Next() {
		var r heatRow
		var ip string
		var recipients, complaint, traps int64
		var below bool
		if err := rows.Scan(&ip, &r.day, &recipients, (*string)(&r.colour), &complaint, &below, &traps); err != nil {
			return nil, err
		}
		addr, known := addresses[ip]
		if !known {
			if addr, err = netip.ParseAddr(ip); err != nil {
				return nil, err
			}
			addresses[ip] = addr
		}
		r.ip, r.recipients, r.complaint, r.traps = addr, numberOf(recipients), rateOf(complaint, below), numberOf(traps)
		all = append(all, r)
	}
	return all, rows.Err()
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

// silent returns those of our addresses and ranges in which no address has figures.
func silent(ours []netip.Prefix, known map[netip.Addr]bool) (out []netip.Prefix) {
	for _, o := range ours {
		there := false
		if o.IsSingleIP() {
			there = known[o.Addr().Unmap()]
		} else {
			for ip := range known {
				if there = o.Contains(ip); there {
					break
				}
			}
		}
		if !there && len(out) < maxSilent {
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
