package postmaster

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/netip"
	"slices"
	"time"

	"postern/internal/report"
	"postern/internal/store"
)

// Row is what SNDS says of one address in one period, with where it came from.
type Row struct {
	report.SNDSRow           // Line is 0
	Source         string    // "upload by operator:anna", "folder", "link main", "snds"
	Seen           time.Time // when it came, or last changed
}

// Imported is what became of a file.
type Imported struct {
	Shape   report.SNDSShape
	Read    int // rows that could be read; of a report of states its ranges
	New     int // periods that were not known
	Changed int // periods whose figures are others now
	Same    int // periods that were known with the same figures
	From    time.Time
	To      time.Time          // first and last day; zero without rows
	Began   int                // ranges that are reported as abnormal and were not
	Ended   int                // ranges that were and are not
	Bad     []report.SNDSFault // rows that were left out
	BadMore int
}

// piece is how many rows are written at once.
const piece = 500

// Bounds of what a person or program names.
const maxSource = 100

// Import takes what a file holds, from source. Rows that cannot be read are left out and told. The error matches ErrNoRows when not one could be
// read, or is report.ReadSNDS's. Importing the same again changes nothing.
func (p *Postmaster) Import(ctx context.Context, data []byte, source string) (Imported, error) {
	s, err := report.ReadSNDS(data)
	if err != nil {
		return Imported{}, err
	}
	out := Imported{Shape: s.Shape, Read: len(s.Rows) + len(s.Status), Bad: s.Bad, BadMore: s.BadMore}
	if out.Read == 0 {
		return out, ErrNoRows
	}
	err = p.keep(ctx, s, source, "file", &out)
	if err == nil && out.New+out.Changed+out.Began+out.Ended > 0 {
		p.mu.Lock()
		p.cleaned = time.Time{} // the next turn looks at what must be told
		p.mu.Unlock()
		p.poke()
	}
	return out, err
}

// Explain says what a file holds without keeping it.
func Explain(data []byte) (Imported, error) {
	s, err := report.ReadSNDS(data)
	if err != nil {
		return Imported{}, err
	}
	out := Imported{Shape: s.Shape, Read: len(s.Rows) + len(s.Status), Bad: s.Bad, BadMore: s.BadMore}
	out.span(s.Rows)
	if out.Read == 0 {
		return out, ErrNoRows
	}
	return out, nil
}

func (i *Imported) span(rows []report.SNDSRow) {
	for _, r := range rows {
		day := r.Day()
		if i.From.IsZero() || day.Before(i.From) {
			i.From = day
		}
		if day.After(i.To) {
			i.To = day
		}
	}
}

// keep writes what was read. scope is whose report of states it is.
func (p *Postmaster) keep(ctx context.Context, s report.SNDS, source, scope string, out *Imported) error {
	source = source[:min(len(source), maxSource)]
	now := micros(p.o.Now())
	out.span(s.Rows)
	rows := slices.Clone(s.Rows)
	// One order everywhere: two nodes never wait for each other. Days first: a piece changes few sheets. Of the same period the last one counts.
	slices.SortStableFunc(rows, func(a, b report.SNDSRow) int {
		return cmp.Or(a.Day().Compare(b.Day()), a.IP.Compare(b.IP), a.Start.Compare(b.Start))
	})
	for part := range slices.Chunk(rows, piece) {
		var fresh, changed, same int
		err := p.db.Write(ctx, func(tx *store.Tx) error {
			fresh, changed, same = 0, 0, 0
			changes := sheets{tx, map[int64]*sheetChange{}}
			for _, r := range part {
				did, err := putRow(tx, &changes, r, source, now)
				if err != nil {
					return err
				}
				switch did {
				case rowNew:
					fresh++
				case rowChanged:
					changed++
				default:
					same++
				}
			}
			return changes.write()
		})
		if err != nil {
			return wrap(err)
		}
		out.New, out.Changed, out.Same = out.New+fresh, out.Changed+changed, out.Same+same
	}
	if s.Shape == report.SNDSStatusCSV || s.Shape == report.SNDSStatusJSON {
		return p.keepStates(ctx, s.Status, scope, out)
	}
	return nil
}

// What became of a row.
const (
	rowSame = iota
	rowNew
	rowChanged
)

// putRow writes one row. A period of the same address and day that it overlaps is an earlier report of the same.
func putRow(tx *store.Tx, changes *sheets, r report.SNDSRow, source string, now time.Time) (did int, err error) {
	r.Line, r.Complaint = 0, rateOf(rate(r.Complaint), r.Complaint.Below)
	ip, start, end, day := r.IP.String(), r.Start, r.End, dayOf(r.Day())
	if end.IsZero() {
		end = start
	}
	old, err := scanRows(tx.Query(sqlRowsOfDay, ip, day, ip, start, day))
	if err != nil {
		return 0, err
	}
	did = rowNew
	keep := []Row{{SNDSRow: r}} // of the day
	for _, o := range old {
		until, its := o.End, dayOf(o.Day())
		if until.IsZero() {
			until = o.Start
		}
		switch {
		case o.SNDSRow == r:
			return rowSame, nil
		case o.Start.Equal(start):
			did = rowChanged
			if its == day {
				break
			}
			// Its end is another one now, and so is its day: the former day loses it.
			left, err := scanRows(tx.Query(sqlRowsOfDay, ip, its, ip, start, its))
			if err != nil {
				return 0, err
			}
			left = slices.DeleteFunc(left, func(l Row) bool { return l.Start.Equal(start) })
			if err := changes.set(its, r.IP, packed(left, its)); err != nil {
				return 0, err
			}
		case o.Start.Before(end) && start.Before(until):
			did = rowChanged
			if _, err := tx.Exec(sqlDropRow, ip, o.Start); err != nil {
				return 0, err
			}
		default:
			keep = append(keep, o)
		}
	}
	_, err = tx.Exec(sqlPutRow, ip, r.Start, r.End, day, number(r.RCPT), number(r.DATA), number(r.Recipients), string(r.Filter), rate(r.Complaint), r.Complaint.Below, r.TrapStart,
		r.TrapEnd, number(r.TrapHits), r.HELO, r.Sender, r.Comments, source, now)
	if err == nil {
		err = changes.set(day, r.IP, packed(keep, day))
	}
	return did, err
}

// number is a number as the database keeps it.
func number(n report.SNDSNumber) int64 {
	if !n.Known {
		return -1
	}
	return n.Value
}

func numberOf(n int64) report.SNDSNumber {
	if n < 0 {
		return report.SNDSNumber{}
	}
	return report.SNDSNumber{Value: n, Known: true}
}

// rate is a rate as the database keeps it: a whole number, so that what is read is what was written.
func rate(r report.SNDSRate) int64 {
	if !r.Known {
		return -1
	}
	return int64(math.Round(r.Percent * 1e6))
}

func rateOf(n int64, below bool) report.SNDSRate {
	if n < 0 {
		return report.SNDSRate{}
	}
	return report.SNDSRate{Percent: float64(n) / 1e6, Below: below, Known: true}
}

// State is what is done with the mail of a range of addresses.
type State struct {
	report.SNDSStatus           // Line is 0
	Scope             string    // whose report it is: "snds", "link main", "file"
	Since             time.Time // when it was first reported
	Seen              time.Time // when it was last reported
}

// Event is a change of states.
type Event struct {
	At time.Time
	State
	Began bool // else it ended
}

// keepStates replaces what a scope reports.
func (p *Postmaster) keepStates(ctx context.Context, all []report.SNDSStatus, scope string, out *Imported) error {
	now := micros(p.o.Now())
	began, ended := 0, 0
	err := p.db.Write(ctx, func(tx *store.Tx) error {
		began, ended = 0, 0
		old, err := scanStates(tx.Query(sqlStatesOf, scope))
		if err != nil {
			return err
		}
		type key struct {
			first, last netip.Addr
			state       report.SNDSState
		}
		was := map[key]State{}
		for _, s := range old {
			was[key{s.First, s.Last, s.State}] = s
		}
		done := map[key]bool{}
		for _, s := range all {
			k := key{s.First, s.Last, s.State}
			if done[k] {
				continue // the same range twice in one report
			}
			done[k] = true
			former, known := was[k]
			since := now
			if known {
				since = former.Since
			}
			if _, err := tx.Exec(sqlPutState, scope, s.First.String(), s.Last.String(), string(s.State), s.Reason, since, now); err != nil {
				return err
			}
			if !known {
				began++
				if _, err := tx.Exec(sqlPutEvent, now, scope, s.First.String(), s.Last.String(), string(s.State), true, s.Reason); err != nil {
					return err
				}
			}
			delete(was, k)
		}
		for k, s := range was {
			ended++
			if _, err := tx.Exec(sqlDropState, scope, k.first.String(), k.last.String(), string(k.state)); err != nil {
				return err
			}
			if _, err := tx.Exec(sqlPutEvent, now, scope, k.first.String(), k.last.String(), string(k.state), false, s.Reason); err != nil {
				return err
			}
		}
		_, err = tx.Exec(sqlStatesCame, scope, now)
		return err
	})
	out.Began, out.Ended = out.Began+began, out.Ended+ended
	return wrap(err)
}

// States returns the ranges that are reported as abnormal now.
func (p *Postmaster) States(ctx context.Context) (all []State, err error) {
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		all, err = scanStates(tx.Query(sqlStates))
		return err
	})
	return all, wrap(err)
}

// Events returns the last changes of states, the newest first: of all addresses, or of the ranges that an address is in.
func (p *Postmaster) Events(ctx context.Context, ip netip.Addr, most int) (all []Event, err error) {
	read := most
	if ip.IsValid() {
		read = 5000
	}
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows := tx.Query(sqlEvents, read)
		for rows.Next() {
			var e Event
			var first, last string
			if err := rows.Scan(&e.At, &e.Scope, &first, &last, (*string)(&e.State.State), &e.Began, &e.Reason); err != nil {
				return err
			}
			e.First, _ = netip.ParseAddr(first)
			e.Last, _ = netip.ParseAddr(last)
			if len(all) < most && (!ip.IsValid() || e.Has(ip)) {
				all = append(all, e)
			}
		}
		return rows.Err()
	})
	return all, wrap(err)
}

// Clean removes what is older than it is kept.
func (p *Postmaster) Clean(ctx context.Context) error {
	before := p.o.Now().Add(-p.o.Keep)
	exec := func(sql string, args ...any) func(tx *store.Tx) (int64, error) {
		return func(tx *store.Tx) (int64, error) { return tx.Exec(sql, args...) }
	}
	for _, piece := range []func(tx *store.Tx) (int64, error){
		func(tx *store.Tx) (int64, error) { return dropRows(tx, dayOf(before)) },
		exec(sqlOldEvents, micros(before)), exec(sqlOldFigures, dayOf(before)), exec(sqlOldSignIns, micros(p.o.Now().Add(-signInFor))),
	} {
		for {
			var n int64
			err := p.db.Write(ctx, func(tx *store.Tx) (err error) {
				n, err = piece(tx)
				return err
			})
			if err != nil {
				return wrap(err)
			}
			if n < cleanPiece {
				break
			}
		}
	}
	return nil
}

// dropRows removes a piece of the rows of before a day. Their sheets hold nothing as soon as a row is gone, and go with the last one.
func dropRows(tx *store.Tx, before int64) (n int64, err error) {
	if n, err = tx.Exec(sqlOldRows, before); err != nil {
		return 0, err
	}
	if n < cleanPiece {
		_, err = tx.Exec(sqlDropSheets, before)
	} else {
		_, err = tx.Exec(sqlUnpackSheets, []byte{}, before)
	}
	return n, err
}

// isFormat reports whether an error says that bytes are no figures.
func isFormat(err error) bool {
	return errors.Is(err, report.ErrNoSNDS) || errors.Is(err, report.ErrSNDSLarge) || errors.Is(err, report.ErrSNDSPage) || errors.Is(err, ErrNoRows)
}
