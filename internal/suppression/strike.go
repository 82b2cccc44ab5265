package suppression

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Strike is an answer that says, surely or doubtfully, that an address takes no mail.
type Strike struct {
	Customer string // whose message it was; "" counts for everybody
	Address  mail.Address
	Reason   Reason
	Evidence Evidence
	// Need is how many such answers make an entry, on different days and about different messages; 0 and 1: this one does.
	Need int
	// Shared: what two customers heard counts for everybody from then on.
	Shared bool
}

// Recorded is what became of a strike.
type Recorded struct {
	Entry   Entry // what was made, made longer or stronger; zero: nothing
	Made    bool  // Entry is new, stronger or longer
	ForAll  bool  // an entry for everybody was made too
	Strikes int   // that count by now, of Need
	Old     bool  // the evidence is about what was lifted since, or about a message that counts already
}

const (
	// strikesFor is how long a strike counts.
	strikesFor = 30 * 24 * time.Hour
	// apart is the time between two strikes that count as two: a mailbox that is full at night and in the morning is full once.
	apart = 12 * time.Hour

	day = 24 * time.Hour
)

// Record takes strikes, in their order and in one transaction, and makes the entries that they amount to. At most 5,000 at once. A
// strike that is not acceptable is left out (Recorded zero); the error is the database's.
func (l *Ledger) Record(ctx context.Context, all ...Strike) (out []Recorded, err error) {
	now := micros(l.o.Now())
	full := l.addresses.len()+len(all) > MaxEntries
	err = l.write(ctx, func(tx *store.Tx, a *added) error {
		out = make([]Recorded, len(all))
		for i, s := range all {
			if full {
				return fmt.Errorf("%w: %d", ErrTooMany, MaxEntries)
			}
			if out[i], err = l.record(tx, s, now, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (l *Ledger) record(tx *store.Tx, s Strike, now time.Time, a *added) (r Recorded, err error) {
	e, err := l.checked(Entry{Customer: s.Customer, Address: s.Address, Reason: s.Reason, By: ByRule, Evidence: s.Evidence}, now)
	if err != nil {
		l.log.Warn("suppression: an answer that cannot be kept", "error", err)
		return r, nil
	}
	s.Address, s.Evidence = e.Address, e.Evidence
	if r.Old, err = liftedSince(tx, s.Customer, s.Address, s.Evidence); err != nil || r.Old {
		return r, err
	}
	if s.Need > 1 {
		old, _, found, err := loadEntry(tx, s.Customer, s.Address)
		if err != nil {
			return r, err
		}
		if !found || old.ended(now) || old.Reason.strength() < s.Reason.strength() {
			if r.Strikes, r.Old, err = strike(tx, s); err != nil {
				return r, err
			}
			a.struck = append(a.struck, hashStruck(string(s.Address.Domain), s.Address.Local))
			if r.Strikes < s.Need {
				return r, nil
			}
		} // an entry that stands is only made longer
	}
	r.Entry = e
	if r.Made, err = l.put(tx, e, now, a); err != nil {
		return r, err
	}
	if _, err := tx.Exec(sqlUnstrike, s.Customer, string(s.Address.Domain), s.Address.Local); err != nil {
		return r, err
	}
	if s.Shared && s.Customer != "" && r.Made {
		r.ForAll, err = l.share(tx, e, now, a)
	}
	return r, err
}

// share makes an entry for everybody of what two customers heard.
func (l *Ledger) share(tx *store.Tx, e Entry, now time.Time, a *added) (bool, error) {
	var customers int
	if err := tx.QueryRow(sqlSharing, string(e.Address.Domain), e.Address.Local, string(e.Reason), ByRule, now).Scan(&customers); err != nil || customers < 2 {
		return false, err
	}
	e.Customer = ""
	made, err := l.put(tx, e, now, a)
	if errors.Is(err, ErrLifted) { // somebody decided that it does not count for everybody, and this answer is no newer
		return false, nil
	}
	return made, err
}

// strike writes one down and counts those that stand: old when it counts already, by its message or its day.
func strike(tx *store.Tx, s Strike) (n int, old bool, err error) {
	rows := tx.Query(sqlStrikes, s.Customer, string(s.Address.Domain), s.Address.Local, string(s.Reason), s.Evidence.At.Add(-strikesFor))
	var times []time.Time
	for rows.Next() {
		before, _, err := scanStrike(rows)
		if err != nil {
			return 0, false, err
		}
		if before.Evidence.QueueID != "" && before.Evidence.QueueID == s.Evidence.QueueID {
			old = true
		}
		if gap := s.Evidence.At.Sub(before.Evidence.At); gap < apart && gap > -apart || dayOf(before.Evidence.At) == dayOf(s.Evidence.At) {
			old = true
		}
		times = append(times, before.Evidence.At)
	}
	if err := rows.Err(); err != nil || old {
		return len(times), old, err
	}
	return len(times) + 1, false, storeStrike(tx, s)
}

func dayOf(t time.Time) int64 { return t.Unix() / int64(day/time.Second) }

func storeStrike(tx *store.Tx, s Strike) error {
	v := s.Evidence
	_, err := tx.Exec(sqlStrike, s.Customer, string(s.Address.Domain), s.Address.Local, string(s.Reason), dayOf(v.At), string(v.QueueID), v.At, v.Code, v.Enhanced, v.Text,
		v.Host, v.Provider, v.Rule, v.Phase)
	return err
}

func scanStrike(rows *store.Rows) (s Strike, day int64, err error) {
	var domain string
	v := &s.Evidence
	err = rows.Scan(&s.Customer, &domain, &s.Address.Local, (*string)(&s.Reason), &day, (*string)(&v.QueueID), &v.At, &v.Code, &v.Enhanced, &v.Text, &v.Host, &v.Provider, &v.Rule, &v.Phase)
	s.Address.Domain = mail.Domain(domain)
	return s, day, err
}

// Struck reports whether there may be strikes against an address or its domain. It answers from memory and does not wait.
func (l *Ledger) Struck(a mail.Address) bool { return l.struck.mayHave("", a) }

// Delivered forgets the strikes against addresses that took a message, and against their domains, whosever message it was.
func (l *Ledger) Delivered(ctx context.Context, all ...mail.Address) error {
	all = slices.DeleteFunc(slices.Clone(all), func(a mail.Address) bool { return !l.Struck(a) })
	if len(all) == 0 {
		return nil
	}
	return l.write(ctx, func(tx *store.Tx, _ *added) error {
		for _, a := range all {
			a = normal(a)
			if _, err := tx.Exec(sqlForgive, string(a.Domain), a.Local); err != nil {
				return err
			}
		}
		return nil
	})
}

// Pages of Each.
const eachRows = 200

// Each shows every entry that answers made to which, in small pieces with pause between them, and lifts those for which it gives a reason.
// It returns how many it saw and which it lifted. Strikes of the same kind are shown too, and forgotten.
func (l *Ledger) Each(ctx context.Context, pause time.Duration, which func(Strike) (why string)) (seen int, lifted []Entry, err error) {
	var at hitKey
	for more := true; more; {
		var page []Lift
		err = l.db.Read(ctx, func(tx *store.Tx) error {
			page = nil
			rows := tx.Query(sqlNextRuled, at.customer, at.domain, at.local, ByRule, eachRows)
			for rows.Next() {
				e, queues, err := scanRow(rows)
				if err != nil {
					return err
				}
				page = append(page, Lift{Entry: e, By: ByRule, queues: queues})
			}
			return rows.Err()
		})
		if err != nil {
			return seen, lifted, fmt.Errorf("suppression: %w", err)
		}
		more = len(page) == eachRows
		var wrong []Lift
		for _, x := range page {
			e := x.Entry
			at = hitKey{e.Customer, string(e.Address.Domain), e.Address.Local}
			seen++
			if x.Why = which(Strike{Customer: e.Customer, Address: e.Address, Reason: e.Reason, Evidence: e.Evidence}); x.Why != "" {
				wrong = append(wrong, x)
			}
		}
		done, err := l.liftStill(ctx, wrong)
		lifted = append(lifted, done...)
		if err == nil && more {
			err = wait(ctx, pause)
		}
		if err != nil {
			return seen, lifted, err
		}
	}
	return seen, lifted, l.eachStrike(ctx, pause, which)
}

// liftStill lifts entries that are as they were read.
func (l *Ledger) liftStill(ctx context.Context, wrong []Lift) (lifted []Entry, err error) {
	if len(wrong) == 0 {
		return nil, nil
	}
	err = l.write(ctx, func(tx *store.Tx, _ *added) error {
		lifted = nil
		for _, x := range wrong {
			e, _, found, err := loadEntry(tx, x.Entry.Customer, x.Entry.Address)
			if err != nil {
				return err
			}
			if !found || e.Reason != x.Entry.Reason || !e.Evidence.At.Equal(x.Entry.Evidence.At) {
				continue // somebody was there first
			}
			if err := l.lift(tx, x); err != nil {
				return err
			}
			lifted = append(lifted, e)
		}
		return nil
	})
	return lifted, err
}

// eachStrike forgets the strikes for which which gives a reason.
func (l *Ledger) eachStrike(ctx context.Context, pause time.Duration, which func(Strike) (why string)) error {
	var last Strike
	lastDay := int64(-1)
	for more := true; more; {
		n := 0
		var wrong []Strike
		var days []int64
		err := l.db.Read(ctx, func(tx *store.Tx) error {
			n, wrong, days = 0, nil, nil
			from, fromDay := last, lastDay
			rows := tx.Query(sqlNextStrikes, from.Customer, string(from.Address.Domain), from.Address.Local, string(from.Reason), fromDay, eachRows)
			for rows.Next() {
				s, d, err := scanStrike(rows)
				if err != nil {
					return err
				}
				n++
				last, lastDay = s, d
				if which(s) != "" {
					wrong, days = append(wrong, s), append(days, d)
				}
			}
			return rows.Err()
		})
		if err == nil && len(wrong) > 0 {
			err = l.db.Write(ctx, func(tx *store.Tx) error {
				for i, s := range wrong {
					if _, err := tx.Exec(sqlUnstrikeKind, s.Customer, string(s.Address.Domain), s.Address.Local, string(s.Reason), days[i]); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return fmt.Errorf("suppression: strikes: %w", err)
		}
		if more = n == eachRows; more {
			if err := wait(ctx, pause); err != nil {
				return err
			}
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
