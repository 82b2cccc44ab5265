package postmaster

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"postern/internal/report"
	"postern/internal/store"
)

// A sheet is what the map needs of all rows of one day, in few bytes: a map of thousands of addresses over months is made of hundreds of thousands of rows, which a
// database gives away one by one, and of no more sheets than days. A sheet holds the rows and no sums of them, so that the same code adds up both, and what is
// missing stays missing.
//
// Every day that has rows has a sheet. It is written in the transaction that changes its rows, made of the rows that the transaction sees. A sheet that is not packed
// (of the days from before there were sheets, and of those that are being removed) holds nothing: then the rows are read themselves. Whoever changes a row writes that
// sheet, too, as it is: of two transactions about one day the database makes one wait or run again, so that no row is missed by who packs it meanwhile.

// heatRow is what the map needs of a row.
type heatRow struct {
	ip         netip.Addr
	day        int64
	recipients report.SNDSNumber
	colour     report.SNDSColour
	complaint  report.SNDSRate
	traps      report.SNDSNumber
}

// heatRowOf is what the map needs of a row.
func heatRowOf(r report.SNDSRow) heatRow {
	return heatRow{r.IP, dayOf(r.Day()), r.Recipients, r.Filter, r.Complaint, r.TrapHits}
}

// The bits of a packed row. Behind them stand, each where its bit says so: the address, if it is another one than that of the row before, and recipients, complaint and
// traps. Addresses of IPv4 are told by how far they are from the one before, those of IPv6 by their sixteen bytes; numbers are as encoding/binary writes uvarints.
const (
	bitColour     = 0b11 // its place in packedColours
	bitBelow      = 1 << 2
	bitRecipients = 1 << 3
	bitComplaint  = 1 << 4
	bitTraps      = 1 << 5
	bitSame       = 1 << 6
	bitSixteen    = 1 << 7
)

// packedColours are the colours in the order of their numbers.
func packedColours() [4]report.SNDSColour {
	return [4]report.SNDSColour{"", report.SNDSGreen, report.SNDSYellow, report.SNDSRed}
}

// sheetForm is the first byte of a sheet: how the rest is written.
const sheetForm = 1

// mostComplaint is far more than all recipients, and a whole number of millionths that a fraction still holds.
const mostComplaint = 1 << 40

var errSheet = errors.New("postmaster: a sheet of the map cannot be read")

// packRows writes the rows of a day, which are in the order of their addresses.
func packRows(rows []heatRow) []byte {
	colours := packedColours()
	out := append(make([]byte, 0, 1+10*len(rows)), sheetForm)
	var before netip.Addr
	var four uint32
	for _, r := range rows {
		bits := byte(max(slices.Index(colours[:], r.colour), 0))
		for _, b := range [...]struct {
			bit byte
			set bool
		}{{bitBelow, r.complaint.Below}, {bitRecipients, r.recipients.Known}, {bitComplaint, r.complaint.Known}, {bitTraps, r.traps.Known}, {bitSame, r.ip == before}, {bitSixteen, !r.ip.Is4()}} {
			if b.set {
				bits |= b.bit
			}
		}
		out = append(out, bits)
		if r.ip != before {
			if before = r.ip; r.ip.Is4() {
				b := r.ip.As4()
				x := binary.BigEndian.Uint32(b[:])
				out, four = binary.AppendUvarint(out, uint64(x-four)), x
			} else {
				b := r.ip.As16()
				out = append(out, b[:]...)
			}
		}
		if r.recipients.Known {
			out = binary.AppendUvarint(out, uint64(r.recipients.Value))
		}
		if r.complaint.Known {
			out = binary.AppendUvarint(out, uint64(rate(r.complaint)))
		}
		if r.traps.Known {
			out = binary.AppendUvarint(out, uint64(r.traps.Value))
		}
	}
	return out
}

// unpackRows reads the rows of a day and puts them behind those of room.
func unpackRows(day int64, data []byte, room []heatRow) ([]heatRow, error) {
	if len(data) == 0 || data[0] != sheetForm {
		return nil, errSheet
	}
	colours := packedColours()
	r := heatRow{day: day}
	var four uint32
	rest := data[1:]
	number := func() (v int64) {
		x, n := binary.Uvarint(rest)
		if v = int64(x); n <= 0 || v < 0 {
			rest = nil
			return -1
		}
		rest = rest[n:]
		return v
	}
	for len(rest) > 0 {
		bits, before := rest[0], r.ip
		rest = rest[1:]
		switch {
		case bits&bitSame != 0:
			if !r.ip.IsValid() {
				return nil, errSheet
			}
		case bits&bitSixteen != 0:
			if len(rest) < 16 {
				return nil, errSheet
			}
			r.ip, rest = netip.AddrFrom16([16]byte(rest)), rest[16:]
		default:
			far := number()
			if far < 0 || far > 1<<32-1 {
				return nil, errSheet
			}
			four += uint32(far)
			r.ip = netip.AddrFrom4([4]byte{byte(four >> 24), byte(four >> 16), byte(four >> 8), byte(four)})
		}
		if bits&bitSame == 0 && !before.Less(r.ip) {
			return nil, errSheet
		}
		recipients, complaint, traps := int64(-1), int64(-1), int64(-1)
		for bit, to := range [3]*int64{&recipients, &complaint, &traps} {
			if bits&(bitRecipients<<bit) != 0 {
				if *to = number(); *to < 0 {
					return nil, errSheet
				}
			}
		}
		if complaint > mostComplaint {
			return nil, errSheet
		}
		r.colour, r.recipients, r.complaint, r.traps = colours[bits&bitColour], numberOf(recipients), rateOf(complaint, bits&bitBelow != 0), numberOf(traps)
		room = append(room, r)
	}
	return room, nil
}

// sheet is one day of the map as it was read.
type sheet struct {
	day    int64
	packed bool
	cells  []byte
}

// sheetsOf reads the sheets of a span of days.
func sheetsOf(tx *store.Tx, first, last int64) (all []sheet, err error) {
	rows := tx.Query(sqlSheets, first, last)
	for rows.Next() {
		var s sheet
		if err := rows.Scan(&s.day, &s.packed, &s.cells); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// rows are the rows of the day by address. They stand in room, which may be used again for another day. A sheet that cannot be read is as one that is not packed.
func (s *sheet) rows(tx *store.Tx, room []heatRow) ([]heatRow, error) {
	if s.packed {
		if rows, err := unpackRows(s.day, s.cells, room[:0]); err == nil {
			return rows, nil
		}
	}
	return scanHeat(tx.Query(sqlHeatDay, s.day))
}

// scanHeat reads the rows of a day, by address.
func scanHeat(rows *store.Rows) (all []heatRow, err error) {
	for rows.Next() {
		var r heatRow
		var ip string
		var recipients, complaint, traps int64
		var below bool
		if err := rows.Scan(&ip, &r.day, &recipients, (*string)(&r.colour), &complaint, &below, &traps); err != nil {
			return nil, err
		}
		if r.ip, err = netip.ParseAddr(ip); err != nil {
			return nil, err
		}
		r.recipients, r.complaint, r.traps = numberOf(recipients), rateOf(complaint, below), numberOf(traps)
		all = append(all, r)
	}
	slices.SortStableFunc(all, byAddress)
	return all, rows.Err()
}

func byAddress(a, b heatRow) int { return a.ip.Compare(b.ip) }

// sheets are the days whose rows a transaction changes.
type sheets struct {
	tx   *store.Tx
	days map[int64]*sheetChange
}

type sheetChange struct {
	sheet
	of map[netip.Addr][]heatRow // the rows that an address has now
}

// set says which rows of that day an address has now. The first one of a day reads the sheet, and locks it where there is one.
func (s *sheets) set(day int64, ip netip.Addr, rows []heatRow) error {
	c := s.days[day]
	if c == nil {
		c = &sheetChange{sheet: sheet{day: day}, of: map[netip.Addr][]heatRow{}}
		err := s.tx.QueryRow(sqlSheet, day).Scan(&c.packed, &c.cells)
		if errors.Is(err, store.ErrNoRows) {
			c.packed, c.cells, err = true, packRows(nil), nil // the day had no row
		}
		if err != nil {
			return err
		}
		s.days[day] = c
	}
	c.of[ip] = rows
	return nil
}

// write writes the sheets as they are now.
func (s *sheets) write() error {
	for _, day := range slices.Sorted(maps.Keys(s.days)) {
		c := s.days[day]
		if c.packed {
			rows, err := unpackRows(day, c.cells, nil)
			if err == nil {
				rows = slices.DeleteFunc(rows, func(r heatRow) bool { _, new := c.of[r.ip]; return new })
				for _, more := range c.of {
					rows = append(rows, more...)
				}
				slices.SortStableFunc(rows, byAddress)
				c.cells = packRows(rows)
			} else {
				c.packed = false
			}
		}
		if !c.packed {
			c.cells = []byte{}
		}
		if _, err := s.tx.Exec(sqlPutSheet, day, c.packed, c.cells); err != nil {
			return err
		}
	}
	return nil
}

// packed are the rows of an address and day as a sheet has them, in the order of their beginnings.
func packed(rows []Row, day int64) (all []heatRow) {
	rows = slices.SortedStableFunc(slices.Values(rows), func(a, b Row) int { return a.Start.Compare(b.Start) })
	for _, r := range rows {
		if dayOf(r.Day()) == day {
			all = append(all, heatRowOf(r.SNDSRow))
		}
	}
	return all
}

// pack packs the sheets that are not, the newest day first, a day at a time: whatever ends it, the next turn goes on.
func (p *Postmaster) pack(ctx context.Context) error {
	for ctx.Err() == nil {
		waiting := false
		err := p.db.Read(ctx, func(tx *store.Tx) error {
			var day int64
			err := tx.QueryRow(sqlUnpacked).Scan(&day)
			if waiting = err == nil; errors.Is(err, store.ErrNoRows) {
				return nil
			}
			return err
		})
		if err != nil || !waiting {
			return wrap(err)
		}
		err = p.db.Write(ctx, func(tx *store.Tx) error {
			var day int64
			err := tx.QueryRow(sqlUnpacked + ` FOR UPDATE`).Scan(&day)
			if err != nil {
				if errors.Is(err, store.ErrNoRows) {
					return nil // another node was quicker
				}
				return err
			}
			rows, err := scanHeat(tx.Query(sqlHeatDay, day))
			if err == nil {
				_, err = tx.Exec(sqlPutSheet, day, true, packRows(rows))
			}
			return err
		})
		if err != nil {
			return wrap(err)
		}
	}
	return nil
}
