package suppression

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// checked brings an entry into the form it is kept in, or says what is wrong with it.
func (l *Ledger) checked(e Entry, now time.Time) (Entry, error) {
	bad := func(format string, args ...any) (Entry, error) {
		return Entry{}, fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	e.Address = normal(e.Address)
	a := e.Address
	switch {
	case e.Reason.strength() < 0:
		return bad("%q is no reason; expected one of %s", cut(string(e.Reason), 40), strings.Trim(fmt.Sprint(Reasons()), "[]"))
	case len(e.Customer) > maxCustomer || line(e.Customer, maxCustomer) != e.Customer:
		return bad("customer %q", cut(e.Customer, 80))
	case a.Domain == "" || len(a.Domain) > 255 || len(a.Local) > maxLocal:
		return bad("%q is neither an address nor a domain", cut(FormatAddress(a), 80))
	case line(a.Local, maxLocal) != strings.TrimSpace(a.Local) || strings.ContainsAny(string(a.Domain), " \r\n\t\x00"):
		return bad("%q holds a control character", cut(FormatAddress(a), 80))
	case e.By == "":
		return bad("nobody answers for %s", cut(FormatAddress(a), 80))
	}
	if e.Since.IsZero() || e.Since.After(now) {
		e.Since = now
	}
	if e.Until.IsZero() {
		e.Until = l.until(e.Reason, now)
	}
	e.Since, e.Until, e.By, e.Note = micros(e.Since), micros(e.Until), line(e.By, maxWord), line(e.Note, maxNote)
	e.Evidence = e.Evidence.checked(now)
	return e, nil
}

// until is when an entry made now ends.
func (l *Ledger) until(r Reason, now time.Time) time.Time {
	if d := (*l.keep.Load())[r]; d > 0 {
		return now.Add(d)
	}
	return time.Time{}
}

func (v Evidence) checked(now time.Time) Evidence {
	if v.At.IsZero() || v.At.After(now) {
		v.At = now
	}
	if _, err := mail.ParseQueueID(string(v.QueueID)); err != nil {
		v.QueueID = ""
	}
	return Evidence{QueueID: v.QueueID, At: micros(v.At), Code: v.Code, Enhanced: line(v.Enhanced, maxWord), Text: line(v.Text, maxText), Host: line(v.Host, maxHost),
		Provider: line(v.Provider, maxWord), Rule: line(v.Rule, maxWord), Phase: line(v.Phase, maxWord)}
}

// ended reports whether an entry counts no more.
func (e Entry) ended(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// ByPerson reports whether somebody put the entry there who may undo what was lifted.
func (e Entry) ByPerson() bool {
	return strings.HasPrefix(e.By, "operator:") || strings.HasPrefix(e.By, "sender:")
}

// Add puts an entry, or makes one that is there stronger or longer. Errors: ErrInvalid, ErrLifted, ErrTooMany.
func (l *Ledger) Add(ctx context.Context, e Entry) error {
	_, err := l.AddAll(ctx, []Entry{e})
	return err
}

// CheckAll says what AddAll would not take, whatever their number; nothing is written.
func (l *Ledger) CheckAll(all []Entry) error {
	now := micros(l.o.Now())
	for i, e := range all {
		if _, err := l.checked(e, now); err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	if l.addresses.len()+len(all) > MaxEntries {
		return fmt.Errorf("%w: %d", ErrTooMany, MaxEntries)
	}
	return nil
}

// AddAll adds entries, all of them or none, and returns how many were new, stronger or longer. At most 5,000 at once.
func (l *Ledger) AddAll(ctx context.Context, all []Entry) (changed int, err error) {
	return l.addAll(ctx, all, false)
}

// addAll is AddAll, which may leave out what was lifted since.
func (l *Ledger) addAll(ctx context.Context, all []Entry, skipLifted bool) (changed int, err error) {
	now := micros(l.o.Now())
	if len(all) > mostAtOnce {
		return 0, fmt.Errorf("%w: %d entries at once (at most %d)", ErrInvalid, len(all), mostAtOnce)
	}
	if l.addresses.len()+len(all) > MaxEntries {
		return 0, fmt.Errorf("%w: %d", ErrTooMany, MaxEntries)
	}
	checked := make([]Entry, len(all))
	for i, e := range all {
		if checked[i], err = l.checked(e, now); err != nil {
			return 0, fmt.Errorf("entry %d: %w", i+1, err)
		}
	}
	err = l.write(ctx, func(tx *store.Tx, added *added) error {
		changed = 0
		for _, e := range checked {
			did, err := l.put(tx, e, now, added)
			if errors.Is(err, ErrLifted) && skipLifted {
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", FormatAddress(e.Address), err)
			}
			if did {
				changed++
			}
		}
		return nil
	})
	return changed, err
}

// added gathers what the memory must know after the commit.
type added struct{ addresses, struck []uint64 }

// write runs a change and tells the memory of this process and the other nodes.
func (l *Ledger) write(ctx context.Context, fn func(tx *store.Tx, a *added) error) error {
	var a added
	err := l.db.Write(ctx, func(tx *store.Tx) error {
		a = added{}
		return fn(tx, &a)
	})
	if err != nil {
		return fmt.Errorf("suppression: %w", err)
	}
	for _, h := range a.addresses {
		l.addresses.add(h)
	}
	for _, h := range a.struck {
		l.struck.add(h)
	}
	if len(a.addresses)+len(a.struck) > 0 {
		l.db.Notify(topic)
	}
	return nil
}

// put writes an entry unless a stronger one stands there, or it was lifted since. It reports whether it changed anything that counts.
func (l *Ledger) put(tx *store.Tx, e Entry, now time.Time, a *added) (bool, error) {
	if !e.ByPerson() {
		lifted, err := liftedSince(tx, e.Customer, e.Address, e.Evidence)
		if err != nil {
			return false, err
		}
		if lifted {
			return false, ErrLifted
		}
	}
	old, queues, found, err := loadEntry(tx, e.Customer, e.Address)
	if err != nil {
		return false, err
	}
	a.addresses = append(a.addresses, hashEntry(e.Customer, string(e.Address.Domain), e.Address.Local))
	if !found || old.ended(now) {
		return true, storeEntry(tx, e, remember(nil, e.Evidence.QueueID), now)
	}
	stronger := e.Reason.strength() - old.Reason.strength()
	longer := !old.Until.IsZero() && (e.Until.IsZero() || e.Until.After(old.Until))
	queues = remember(queues, e.Evidence.QueueID)
	switch {
	case stronger < 0, stronger == 0 && old.ByPerson() && !e.ByPerson():
		return false, storeEntry(tx, old, queues, now) // only the message is remembered
	case stronger > 0:
		if old.Until.IsZero() {
			e.Until = time.Time{}
		} else if !e.Until.IsZero() && e.Until.Before(old.Until) {
			e.Until = old.Until
		}
	default:
		e.Since = old.Since
		if !longer {
			e.Until = old.Until
		}
	}
	if e.Note == "" {
		e.Note = old.Note
	}
	e.Hits, e.LastHit = old.Hits, old.LastHit
	return stronger > 0 || longer, storeEntry(tx, e, queues, now)
}

// remember puts a message in front of those behind an entry.
func remember(queues []string, id mail.QueueID) []string {
	if id == "" || slices.Contains(queues, string(id)) {
		return queues
	}
	queues = slices.Insert(slices.Clone(queues), 0, string(id))
	return queues[:min(len(queues), maxQueues)]
}

// liftedSince reports whether an entry of this customer or for everybody was taken off after the evidence was heard, or stood on the same message.
func liftedSince(tx *store.Tx, customer string, a mail.Address, v Evidence) (bool, error) {
	rows := tx.Query(sqlLifted, string(a.Domain), a.Local, customer)
	lifted := false
	for rows.Next() {
		var queues string
		var at time.Time
		if err := rows.Scan(&queues, &at); err != nil {
			return false, err
		}
		if !v.At.After(at) || v.QueueID != "" && slices.Contains(strings.Fields(queues), string(v.QueueID)) {
			lifted = true
		}
	}
	return lifted, rows.Err()
}

// Lift is an entry that was taken off.
type Lift struct {
	Entry  Entry // Customer, Address, Reason, Since, By; of Evidence only QueueID, Rule and Text
	At     time.Time
	By     string
	Why    string // "" for no reason given
	queues []string
}

// Lift removes an entry for good reason; by answers for it. The same evidence does not bring it back.
func (l *Ledger) Lift(ctx context.Context, customer string, a mail.Address, by string) error {
	_, err := l.LiftBecause(ctx, customer, a, by, "")
	return err
}

// LiftBecause is Lift with a reason for the audit; it returns what was removed.
func (l *Ledger) LiftBecause(ctx context.Context, customer string, a mail.Address, by, why string) (e Entry, err error) {
	a = normal(a)
	err = l.write(ctx, func(tx *store.Tx, _ *added) error {
		var queues []string
		var found bool
		if e, queues, found, err = loadEntry(tx, customer, a); err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: %s", ErrNotFound, cut(FormatAddress(a), 100))
		}
		return l.lift(tx, Lift{Entry: e, By: by, Why: why, queues: queues})
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// lift removes an entry and its strikes, and writes down who did it.
func (l *Ledger) lift(tx *store.Tx, x Lift) error {
	e := x.Entry
	if x.At.IsZero() {
		x.At = l.o.Now()
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	if _, err := tx.Exec(sqlDelete, e.Customer, string(e.Address.Domain), e.Address.Local); err != nil {
		return err
	}
	if _, err := tx.Exec(sqlUnstrike, e.Customer, string(e.Address.Domain), e.Address.Local); err != nil {
		return err
	}
	_, err := tx.Exec(sqlLift, id, e.Customer, string(e.Address.Domain), e.Address.Local, string(e.Reason), e.Since, e.By, strings.Join(x.queues, " "), e.Evidence.Rule,
		e.Evidence.Text, micros(x.At), line(x.By, maxWord), line(x.Why, maxNote))
	return err
}

// Lifts returns what was taken off of an address and its domain, the newest first, at most limit.
func (l *Ledger) Lifts(ctx context.Context, a mail.Address, limit int) (all []Lift, err error) {
	a = normal(a)
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows := tx.Query(sqlLifts, string(a.Domain), a.Local, limit)
		for rows.Next() {
			var x Lift
			var domain, queues string
			e := &x.Entry
			if err := rows.Scan(&e.Customer, &domain, &e.Address.Local, (*string)(&e.Reason), &e.Since, &e.By, &queues, &e.Evidence.Rule, &e.Evidence.Text, &x.At, &x.By, &x.Why); err != nil {
				return err
			}
			e.Address.Domain, x.queues = mail.Domain(domain), strings.Fields(queues)
			if len(x.queues) > 0 {
				e.Evidence.QueueID = mail.QueueID(x.queues[0])
			}
			all = append(all, x)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("suppression: %w", err)
	}
	return all, nil
}

// TakeBack lifts entries for unknown users that answers made since a time, where which says so, and keeps each as a strike: a receiver that
// suddenly knows none of its own users has lost its directory. It returns what it lifted.
func (l *Ledger) TakeBack(ctx context.Context, since time.Time, which func(Entry) bool, why string) (all []Entry, err error) {
	const most = 5000
	err = l.write(ctx, func(tx *store.Tx, a *added) error {
		all = nil
		var found []Lift
		rows := tx.Query(sqlRecent, since, ByRule, string(UnknownUser), most)
		for rows.Next() {
			e, queues, err := scanRow(rows)
			if err != nil {
				return err
			}
			if which(e) {
				found = append(found, Lift{Entry: e, By: ByRule, Why: why, queues: queues})
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, x := range found {
			if err := l.lift(tx, x); err != nil {
				return err
			}
			if err := storeStrike(tx, Strike{Customer: x.Entry.Customer, Address: x.Entry.Address, Reason: x.Entry.Reason, Evidence: x.Entry.Evidence}); err != nil {
				return err
			}
			a.struck = append(a.struck, hashStruck(string(x.Entry.Address.Domain), x.Entry.Address.Local))
			all = append(all, x.Entry)
		}
		return nil
	})
	return all, err
}

// Erase removes everything that belongs to a customer who is removed: entries, strikes and the memory of lifts. "" removes nothing.
func (l *Ledger) Erase(ctx context.Context, customer string) error {
	if customer == "" {
		return nil
	}
	for _, sql := range []string{sqlEraseEntries, sqlEraseStrikes, sqlEraseLifts} {
		for n := int64(cleanRows); n == cleanRows; {
			err := l.db.Write(ctx, func(tx *store.Tx) (err error) {
				n, err = tx.Exec(sql, customer, cleanRows)
				return err
			})
			if err != nil {
				return fmt.Errorf("suppression: erase: %w", err)
			}
		}
	}
	return nil
}

// Kept after their end, for those who ask.
const (
	endedKept = 7 * 24 * time.Hour
	liftsKept = 400 * 24 * time.Hour
	cleanRows = 1000
)

// Clean removes what ended a week ago, strikes that count no more, and lifts older than 400 days.
func (l *Ledger) Clean(ctx context.Context) error {
	now := l.o.Now()
	for _, x := range []struct {
		sql    string
		before time.Time
	}{{sqlEnded, now.Add(-endedKept)}, {sqlOldStrikes, now.Add(-strikesFor)}, {sqlOldLifts, now.Add(-liftsKept)}} {
		for n := int64(cleanRows); n == cleanRows; {
			err := l.db.Write(ctx, func(tx *store.Tx) (err error) {
				n, err = tx.Exec(x.sql, x.before, cleanRows)
				return err
			})
			if err != nil {
				return fmt.Errorf("suppression: clean up: %w", err)
			}
		}
	}
	return nil
}
