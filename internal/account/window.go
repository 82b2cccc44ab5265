package account

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"postern/internal/store"
)

// Limits count in windows that move with the clock, not by its hours and days: else twice the limit passed around a full hour. What was sent is counted by
// slots: by five minutes for the hour, by half hours for the day. A slot counts until all of it is older than the window, so in no hour and in no 24 hours
// more is taken than the limit, and there is room again up to a slot later than to the second.
const (
	fineSlot, fineSlots     = 300, 12  // seconds; slots of an hour
	coarseSlot, coarseSlots = 1800, 48 // seconds; slots of a day
)

// slot is what was counted in one span. at is its number since 1970.
type slot struct{ at, messages, recipients int64 }

// window is what a credential sent lately. Differences of windows are windows.
type window struct{ fine, coarse []slot } // the oldest first, each number once

// add counts messages and their recipients at a moment.
func (w *window) add(now time.Time, messages, recipients int64) {
	w.fine = addSlot(w.fine, slot{floor(now.Unix(), fineSlot), messages, 0}, fineSlots)
	w.coarse = addSlot(w.coarse, slot{floor(now.Unix(), coarseSlot), messages, recipients}, coarseSlots)
}

// merge adds what o counted.
func (w *window) merge(o *window) {
	if o == nil {
		return
	}
	for _, s := range o.fine {
		w.fine = addSlot(w.fine, s, fineSlots)
	}
	for _, s := range o.coarse {
		w.coarse = addSlot(w.coarse, s, coarseSlots)
	}
}

// addSlot adds x and forgets slots that are out of every window by then.
func addSlot(all []slot, x slot, most int64) []slot {
	i := len(all)
	for i > 0 && all[i-1].at > x.at {
		i--
	}
	if i > 0 && all[i-1].at == x.at {
		all[i-1].messages += x.messages
		all[i-1].recipients += x.recipients
		return all
	}
	all = slices.Insert(all, i, x)
	old := 0
	for all[old].at < all[len(all)-1].at-most {
		old++
	}
	return slices.Delete(all, 0, old)
}

// recent is what counts at a moment, by the age of the slot.
type recent struct {
	fineAt, coarseAt int64 // numbers of the present slots
	fine             [fineSlots + 1]int64
	coarse           [coarseSlots + 1]struct{ messages, recipients int64 }
}

// gather sums windows at a moment. What bears a later time than now counts as now's: a clock that went back opens no limit.
func gather(now time.Time, windows ...*window) (r recent) {
	r.fineAt, r.coarseAt = floor(now.Unix(), fineSlot), floor(now.Unix(), coarseSlot)
	for _, w := range windows {
		if w == nil {
			continue
		}
		for _, s := range w.fine {
			if age := max(r.fineAt-s.at, 0); age <= fineSlots {
				r.fine[age] += s.messages
			}
		}
		for _, s := range w.coarse {
			if age := max(r.coarseAt-s.at, 0); age <= coarseSlots {
				r.coarse[age].messages += s.messages
				r.coarse[age].recipients += s.recipients
			}
		}
	}
	return r
}

// spent is the sum of what counts.
func (r *recent) spent() (s Spent) {
	for _, n := range r.fine {
		s.MessagesHour += int(n)
	}
	for _, x := range r.coarse {
		s.MessagesDay += int(x.messages)
		s.RecipientsDay += int(x.recipients)
	}
	return s
}

// until says when so much of what counts is out of the window that there is room: counts by age, excess of which must go. What would never fit waits until all is gone.
func until(excess int, most int, present, length int64, count func(age int) int64) time.Time {
	age := most
	for ; age > 0; age-- {
		if excess -= int(count(age)); excess <= 0 {
			break
		}
	}
	return time.Unix((present-int64(age)+int64(most)+1)*length, 0).UTC()
}

// over returns the limit that so much more would break, of several the one that ends last.
func (m Limits) over(user string, r recent, messages, recipients int) error {
	s := r.spent()
	var worst *LimitError
	broken := func(limit string, most, excess int, end func() time.Time) {
		if most <= 0 || excess <= 0 {
			return
		}
		if e := (&LimitError{user, limit, most, end()}); worst == nil || e.Until.After(worst.Until) {
			worst = e
		}
	}
	excess := s.RecipientsDay + recipients - m.RecipientsDay
	broken(RecipientsPerDay, m.RecipientsDay, excess, func() time.Time {
		return until(excess, coarseSlots, r.coarseAt, coarseSlot, func(age int) int64 { return r.coarse[age].recipients })
	})
	perDay := s.MessagesDay + messages - m.MessagesDay
	broken(MessagesPerDay, m.MessagesDay, perDay, func() time.Time {
		return until(perDay, coarseSlots, r.coarseAt, coarseSlot, func(age int) int64 { return r.coarse[age].messages })
	})
	perHour := s.MessagesHour + messages - m.MessagesHour
	broken(MessagesPerHour, m.MessagesHour, perHour, func() time.Time {
		return until(perHour, fineSlots, r.fineAt, fineSlot, func(age int) int64 { return r.fine[age] })
	})
	if worst == nil {
		return nil
	}
	return worst
}

// pack writes a window as bytes: for both lists their length and each slot as differences to the one before.
func (w *window) pack() (out []byte) {
	for _, list := range [][]slot{w.fine, w.coarse} {
		out = binary.AppendUvarint(out, uint64(len(list)))
		at := int64(0)
		for _, s := range list {
			out = binary.AppendVarint(out, s.at-at)
			out = binary.AppendVarint(out, s.messages)
			out = binary.AppendVarint(out, s.recipients)
			at = s.at
		}
	}
	return out
}

var errWindow = errors.New("account: bytes of a window are damaged")

// unpack reads what pack wrote.
func unpack(b []byte) (*window, error) {
	w := &window{}
	for _, list := range []*[]slot{&w.fine, &w.coarse} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > coarseSlots+1 {
			return nil, errWindow
		}
		b = b[size:]
		at := int64(0)
		for range n {
			var x [3]int64
			for i := range x {
				v, size := binary.Varint(b)
				if size <= 0 {
					return nil, errWindow
				}
				x[i], b = v, b[size:]
			}
			at += x[0]
			*list = append(*list, slot{at, x[1], x[2]})
		}
	}
	return w, nil
}

// readWindows reads the windows of credentials with limits.
func readWindows(t *store.Tx, now time.Time) (map[string]*window, error) {
	rows := t.Query(`SELECT w.credential, w.slots FROM account_window w JOIN account_credential c ON c.name = w.credential
 WHERE w.latest >= ? AND (c.messages_hour > 0 OR c.messages_day > 0 OR c.recipients_day > 0)`, now.Add(-25*time.Hour))
	out := map[string]*window{}
	for rows.Next() {
		var user string
		var b []byte
		if err := rows.Scan(&user, &b); err != nil {
			return nil, err
		}
		w, err := unpack(b)
		if err != nil {
			return nil, err
		}
		out[user] = w
	}
	return out, rows.Err()
}

// writeWindow adds a window to the one in the database. Another node that does the same at once makes one of the two transactions begin anew.
func writeWindow(t *store.Tx, user string, w *window) error {
	sum := &window{}
	rows := t.Query(`SELECT slots FROM account_window WHERE credential = ?`, user)
	for rows.Next() {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return err
		}
		old, err := unpack(b)
		if err != nil {
			return err
		}
		sum.merge(old)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	sum.merge(w)
	latest := int64(0)
	if n := len(sum.coarse); n > 0 {
		latest = (sum.coarse[n-1].at + 1) * coarseSlot
	}
	_, err := t.Exec(`INSERT INTO account_window (credential, latest, slots) VALUES (?,?,?)
 ON CONFLICT (credential) DO UPDATE SET latest = excluded.latest, slots = excluded.slots`, user, time.Unix(latest, 0), sum.pack())
	return err
}
