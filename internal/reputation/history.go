package reputation

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/store"
)

// Day is what one day (UTC) showed of a target.
type Day struct {
	Day      time.Time // its beginning
	Looked   bool      // false: not measured that day; the figures say nothing
	Weight   int       // 0..5, the worst listing that was seen
	Lists    int       // most lists at once that had it, those for display only included; 255 at most
	Answered int       // most lists that answered at one look; 255 at most
	Unknown  int       // fewest lists that did not answer at one look; 255 at most
}

// History returns the days of a target, the oldest first, one for each day of the window (at most DaysKept), also of those not measured.
func (w *Watch) History(ctx context.Context, target string, from, to time.Time) ([]Day, error) {
	return w.readHistory(ctx, target, from, to)
}

// Block returns what a day showed of the addresses of a network of at most 256: a /24 or longer, a /120 or longer; in their order. Day.Day is the day.
func (w *Watch) Block(ctx context.Context, network netip.Prefix, day time.Time) ([]Day, error) {
	return w.readBlock(ctx, network, day)
}

// TrendDay is what one day (UTC) showed of everything that is ours.
type TrendDay struct {
	Day     time.Time // its beginning
	Looked  bool      // false: nothing of the gateway's own was measured that day; the figures say nothing
	Egress  int       // addresses that mail leaves from, listed at some time of the day on a list that counts
	Domains int       // domains of ours, likewise
}

// Trend returns the days of a window (at most DaysKept), the oldest first.
func (w *Watch) Trend(ctx context.Context, from, to time.Time) ([]TrendDay, error) {
	return w.readTrend(ctx, from, to)
}

// The bounds of a trend: its listings, the newest, and the rows by which a day was measured.
const (
	trendMost   = 20_000
	trendBlocks = 32
)

func (w *Watch) readTrend(ctx context.Context, from, to time.Time) (out []TrendDay, err error) {
	first, last, err := daysOf(from, to)
	if err != nil {
		return nil, err
	}
	blocks := w.ownBlocks()
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		out = make([]TrendDay, last-first+1)
		for i := range out {
			out[i].Day = dayStart(first + int64(i))
		}
		for block, slots := range blocks {
			rows := tx.Query(`SELECT day, marks FROM reputation_day WHERE block = ? AND day >= ? AND day <= ?`, block, first, last)
			for rows.Next() {
				var day int64
				var b []byte
				if err := rows.Scan(&day, &b); err != nil {
					return err
				}
				d := &out[day-first]
				d.Looked = d.Looked || slices.ContainsFunc(slots, func(slot int) bool { return readMark(b, slot).answered > 0 })
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		stays, err := query(tx, func(r scanner) (l Listing, err error) {
			return l, r.Scan(&l.Target, &l.Since, &l.Until)
		}, `SELECT target, since, until FROM (SELECT id, target, since, until FROM reputation_listing WHERE until = 0 AND own = 1 AND weight > 0
 UNION ALL SELECT id, target, since, until FROM reputation_listing WHERE until > 0 AND until >= ? AND own = 1 AND weight > 0) stays ORDER BY id DESC LIMIT ?`, dayStart(first), trendMost)
		if err != nil {
			return err
		}
		countStays(out, first, stays)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reputation: trend: %w", err)
	}
	return out, nil
}

// ownBlocks are the rows of days in which something of the gateway's own has its marks, with their places.
func (w *Watch) ownBlocks() map[string][]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string][]int{}
	for name, p := range w.targets {
		if p.customer != "" {
			continue
		}
		if block, _, slot := slotOf(name); len(out) < trendBlocks || out[block] != nil {
			out[block] = append(out[block], slot)
		}
	}
	return out
}

// countStays counts each target once on each day of its stays on lists.
func countStays(out []TrendDay, first int64, stays []Listing) {
	byTarget := map[string][]bool{}
	for _, l := range stays {
		days := byTarget[l.Target]
		if days == nil {
			days = make([]bool, len(out))
			byTarget[l.Target] = days
		}
		end := len(out) - 1
		if !l.Until.IsZero() {
			end = min(end, int(dayNumber(l.Until)-first))
		}
		for i := max(0, int(dayNumber(l.Since)-first)); i <= end; i++ {
			days[i] = true
		}
	}
	for target, days := range byTarget {
		ip := blockOf(target) != ""
		for i, listed := range days {
			switch {
			case listed && ip:
				out[i].Egress++
			case listed:
				out[i].Domains++
			}
		}
	}
}

const daySpan = 24 * time.Hour

// mark is what one look, or a day of them, showed of one target. It is stored in four bytes: the worst weight and 1, or 0 when no list answered; lists that had it;
// lists that answered; lists that did not.
type mark struct{ weight, lists, answered, unknown int }

const markBytes = 4

// markOf is the mark of a look.
func markOf(answers map[string]answer) (m mark) {
	for _, a := range answers {
		m.add(a.state, a.list.Weight)
	}
	return m
}

func (m *mark) add(state dnsbl.State, weight int) {
	switch state {
	case dnsbl.Listed:
		m.lists++
		m.answered++
		m.weight = max(m.weight, weight)
	case dnsbl.Clean:
		m.answered++
	case dnsbl.Unknown:
		m.unknown++
	}
}

// merge joins a look with what the day showed before.
func (m mark) merge(before mark) mark {
	if before.answered == 0 {
		return m
	}
	if m.answered == 0 {
		return before
	}
	return mark{max(m.weight, before.weight), max(m.lists, before.lists), max(m.answered, before.answered), min(m.unknown, before.unknown)}
}

func readMark(b []byte, slot int) mark {
	if len(b) < (slot+1)*markBytes || b[slot*markBytes] == 0 {
		if len(b) >= (slot+1)*markBytes {
			return mark{unknown: int(b[slot*markBytes+3])}
		}
		return mark{}
	}
	b = b[slot*markBytes:]
	return mark{int(b[0]) - 1, int(b[1]), int(b[2]), int(b[3])}
}

func (m mark) write(b []byte, slot int) {
	b = b[slot*markBytes:]
	b[0], b[1], b[2], b[3] = 0, byte(min(m.lists, 255)), byte(min(m.answered, 255)), byte(min(m.unknown, 255))
	if m.answered > 0 {
		b[0] = byte(min(max(m.weight, 0), 5) + 1)
	}
}

func (m mark) day(at time.Time) Day {
	return Day{Day: at, Looked: m.answered > 0, Weight: m.weight, Lists: m.lists, Answered: m.answered, Unknown: m.unknown}
}

// slotOf is where a target's marks are: the row, its length in targets, and the place in it.
func slotOf(target string) (block string, size, slot int) {
	ip, err := netip.ParseAddr(target)
	if err != nil {
		return target, 1, 0
	}
	b := ip.AsSlice()
	return blockPrefix(ip).String(), 256, int(b[len(b)-1])
}

func dayNumber(t time.Time) int64 { return t.Unix() / int64(daySpan/time.Second) }

// dayStart is when the day of a number began.
func dayStart(day int64) time.Time { return time.Unix(day*int64(daySpan/time.Second), 0).UTC() }

// daysOf are the numbers of the first and the last day of a window.
func daysOf(from, to time.Time) (first, last int64, err error) {
	first, last = dayNumber(from), dayNumber(to)
	if last < first || last-first >= DaysKept+1 {
		return 0, 0, fmt.Errorf("%w: days from %s to %s (at most %d)", ErrInvalid, from, to, DaysKept)
	}
	return first, last, nil
}

// putMarks joins marks with those of the day.
func putMarks(tx *store.Tx, now time.Time, marks map[string]mark) error {
	type row struct {
		size  int
		slots map[int]mark
	}
	rows := map[string]*row{}
	for target, m := range marks {
		block, size, slot := slotOf(target)
		if rows[block] == nil {
			rows[block] = &row{size, map[int]mark{}}
		}
		rows[block].slots[slot] = m
	}
	day := dayNumber(now)
	for block, r := range rows {
		var old []byte
		found := tx.Query(`SELECT marks FROM reputation_day WHERE block = ? AND day = ? FOR UPDATE`, block, day)
		for found.Next() {
			if err := found.Scan(&old); err != nil {
				return err
			}
		}
		if err := found.Err(); err != nil {
			return err
		}
		b := make([]byte, r.size*markBytes)
		copy(b, old)
		for slot, m := range r.slots {
			m.merge(readMark(b, slot)).write(b, slot)
		}
		if _, err := tx.Exec(`INSERT INTO reputation_day (block, day, marks) VALUES (?, ?, ?) ON CONFLICT (block, day) DO UPDATE SET marks = excluded.marks`, block, day, b); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watch) readHistory(ctx context.Context, target string, from, to time.Time) (out []Day, err error) {
	block, _, slot := slotOf(target)
	first, last, err := daysOf(from, to)
	if err != nil {
		return nil, err
	}
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		out = make([]Day, last-first+1)
		for i := range out {
			out[i].Day = dayStart(first + int64(i))
		}
		rows := tx.Query(`SELECT day, marks FROM reputation_day WHERE block = ? AND day >= ? AND day <= ?`, block, first, last)
		for rows.Next() {
			var day int64
			var b []byte
			if err := rows.Scan(&day, &b); err != nil {
				return err
			}
			out[day-first] = readMark(b, slot).day(out[day-first].Day)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("reputation: history of %.100s: %w", target, err)
	}
	return out, nil
}

func (w *Watch) readBlock(ctx context.Context, network netip.Prefix, day time.Time) (out []Day, err error) {
	network = network.Masked()
	host := network.Addr().BitLen() - network.Bits()
	if !network.IsValid() || host > 8 {
		return nil, fmt.Errorf("%w: a network of at most 256 addresses", ErrInvalid)
	}
	block, _, first := slotOf(network.Addr().String())
	err = w.db.Read(ctx, func(tx *store.Tx) error {
		out = make([]Day, 1<<host)
		var b []byte
		rows := tx.Query(`SELECT marks FROM reputation_day WHERE block = ? AND day = ?`, block, dayNumber(day))
		for rows.Next() {
			if err := rows.Scan(&b); err != nil {
				return err
			}
		}
		for i := range out {
			out[i] = readMark(b, first+i).day(dayStart(dayNumber(day)))
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("reputation: day of %s: %w", network, err)
	}
	return out, nil
}

// Round is how far the daily round through a range has come.
type Round struct {
	Range    netip.Prefix
	Size     int // addresses
	Started  time.Time
	Position int            // addresses looked at in this round
	Listed   int            // addresses found listed in this round
	Unknown  int            // questions without an answer in this round
	Silent   map[string]int // the same by zone
	// Last is the round that was completed last; zero times: none yet.
	Last struct {
		Started, Ended  time.Time
		Listed, Unknown int
		Silent          map[string]int
	}
}

// Rounds returns the state of the ranges that are gone through, in the order of the configuration.
func (w *Watch) Rounds(ctx context.Context) ([]Round, error) { return w.readRounds(ctx) }
