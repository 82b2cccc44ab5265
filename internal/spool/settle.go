package spool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Settle records what became of recipients, all in one commit, and ends their claims. A final state is the end of the
// recipient, and the last one of a message removes it with its body; Queued puts the recipient back with its NextAt.
// Write the journal first: what Settle forgets is known nowhere else.
//
// nil: everything is durable. A LostError (ErrLost) names the messages that are not this node's any more; the others were
// settled. After any other error nothing is known to be settled and the claims stay: call Settle again with the same
// outcomes, which is harmless when the first call did its work. An outcome for a recipient that is final already is
// ignored. The recipient need not have been claimed.
func (s *Spool) Settle(ctx context.Context, outcomes ...Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	byID := make(map[mail.QueueID][]Outcome, len(outcomes))
	ids := make([]mail.QueueID, 0, len(outcomes))
	for _, o := range outcomes {
		if o.State != Queued && !o.State.Final() || o.Index < 0 {
			return fmt.Errorf("settle %s: %w outcome: recipient %d, state %q", o.ID, ErrInvalid, o.Index, o.State)
		}
		if _, ok := byID[o.ID]; !ok {
			ids = append(ids, o.ID)
		}
		byID[o.ID] = append(byID[o.ID], o)
	}
	if err := s.lock(ctx, ids...); err != nil {
		return err
	}
	defer s.unlock(ids...)
	plans, lost, err := s.plan(ctx, ids, byID)
	if err == nil {
		var gone []mail.QueueID
		gone, err = s.commit(ctx, plans)
		lost = append(lost, gone...)
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	s.settled(plans, lost, byID)
	if len(lost) > 0 {
		return fmt.Errorf("settle: %w", &LostError{IDs: lost})
	}
	return nil
}

// plan is what a Settle does to one message.
type plan struct {
	id      mail.QueueID
	before  *loaded
	rcpt    []Recipient // afterwards
	touched []int       // indexes that changed
	open    int         // recipients that are not final
	loose   int         // of which wait in no lane
	next    int64       // next event, when open > 0
}

// plan reads what memory does not know and computes the changes.
func (s *Spool) plan(ctx context.Context, ids []mail.QueueID, byID map[mail.QueueID][]Outcome) (plans []plan, lost []mail.QueueID, err error) {
	known := make(map[mail.QueueID]*loaded, len(ids))
	uncertain := map[mail.QueueID]bool{}
	var missing []mail.QueueID
	s.mu.Lock()
	for _, id := range ids {
		e := s.win.byID[id]
		if e != nil && e.full != nil && !e.stale {
			known[id] = e.full
			continue
		}
		missing = append(missing, id)
		uncertain[id] = e != nil && e.uncertain
	}
	s.mu.Unlock()
	if len(missing) > 0 {
		var found map[mail.QueueID]*stored
		err := s.db.Read(ctx, func(tx *store.Tx) (err error) { found, err = load(tx, missing); return err })
		if err != nil {
			return nil, nil, err
		}
		for _, id := range missing {
			switch m := found[id]; {
			case m != nil && m.node == s.o.Node && len(m.rcpt) > 0: // without recipients: damaged, for a person
				known[id] = &m.loaded
			case m == nil && uncertain[id]: // done by the Settle whose outcome was unknown
				known[id] = nil
			}
		}
	}
	now := s.o.Now()
	for _, id := range ids {
		l, ok := known[id]
		if !ok {
			lost = append(lost, id)
			continue
		}
		if l != nil {
			plans = append(plans, s.planOne(id, l, byID[id], now))
		} else {
			plans = append(plans, plan{id: id})
		}
	}
	return plans, lost, nil
}

func (s *Spool) planOne(id mail.QueueID, l *loaded, outcomes []Outcome, now time.Time) plan {
	p := plan{id: id, before: l, rcpt: slices.Clone(l.rcpt)}
	for _, o := range outcomes {
		if o.Index >= len(p.rcpt) || p.rcpt[o.Index].State.Final() {
			continue
		}
		r := &p.rcpt[o.Index]
		r.State = o.State
		if parks := o.State == Queued && o.Lane != ""; !parks || o.Attempted {
			r.Code, r.Enhanced, r.Text, r.Host = o.Code, tidy(o.Enhanced, 20), tidy(o.Text, 1000), tidy(o.Host, 300)
		}
		r.Lane, r.Wait = "", ""
		if o.State == Queued && !l.msg.Held {
			r.Lane, r.Wait = tidy(o.Lane, 300), tidy(o.Wait, 1000)
		}
		r.DelayNotified = r.DelayNotified || o.DelayNotified
		if o.Attempted {
			r.Attempts++
			r.Last = fromMicros(micros(now))
			if r.First.IsZero() {
				r.First = r.Last
			}
		}
		if o.State == Queued {
			r.NextAt = o.NextAt
			if latest := now.Add(s.o.MaxWait); r.NextAt.After(latest) {
				r.NextAt = latest
			}
			if r.NextAt.IsZero() {
				r.NextAt = now
			}
			r.NextAt = fromMicros(micros(r.NextAt))
		}
		if !slices.Contains(p.touched, o.Index) {
			p.touched = append(p.touched, o.Index)
		}
	}
	for i := range p.rcpt {
		r := &p.rcpt[i]
		if r.State.Final() {
			continue
		}
		if n := micros(r.NextAt); p.open == 0 || n < p.next {
			p.next = n
		}
		p.open++
		if r.Lane == "" {
			p.loose++
		}
	}
	return p
}

// tidy makes text from outside fit for a table: valid, without NUL, bounded.
func tidy(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// commit writes the plans. lost are the messages that were not this node's any more.
func (s *Spool) commit(ctx context.Context, plans []plan) (lost []mail.QueueID, err error) {
	s.mu.Lock()
	epoch := s.epoch
	s.mu.Unlock()
	var ends []mail.QueueID // messages that end
	var rows []mail.QueueID // of which some recipient has a row
	for i := range plans {
		if p := &plans[i]; p.before != nil && p.open == 0 {
			ends = append(ends, p.id)
			if p.before.rows {
				rows = append(rows, p.id)
			}
		}
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		lost = lost[:0]
		gone, err := s.end(tx, ends, epoch)
		if err != nil {
			return err
		}
		lost = append(lost, gone...)
		for _, id := range rows {
			if !slices.Contains(gone, id) {
				if _, err := tx.Exec(sqlForget, string(id)); err != nil {
					return err
				}
			}
		}
		for i := range plans {
			p := &plans[i]
			if p.before == nil || p.open == 0 || len(p.touched) == 0 {
				continue
			}
			n, err := tx.Exec(sqlNext, p.loose, p.next, string(p.id), s.o.Node, s.o.Node, epoch)
			if err != nil {
				return err
			}
			if n == 0 {
				lost = append(lost, p.id)
				continue
			}
			if err := touch(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if errors.Is(err, store.ErrBroken) {
			s.mu.Lock()
			for i := range plans {
				if e := s.win.byID[plans[i].id]; e != nil {
					e.uncertain, e.stale = true, true
				}
			}
			s.mu.Unlock()
		}
		return nil, err
	}
	return lost, nil
}

// end removes messages of which nothing is open.
func (s *Spool) end(tx *store.Tx, ids []mail.QueueID, epoch int64) (lost []mail.QueueID, err error) {
	if len(ids) == 1 {
		n, err := tx.Exec(sqlRemoveOwned, string(ids[0]), s.o.Node, s.o.Node, epoch)
		if n == 0 {
			lost = ids
		}
		return lost, err
	}
	err = inLists(ids, func(list string, args []any, piece []mail.QueueID) error {
		args = append(args, s.o.Node, s.o.Node, epoch)
		rows := tx.Query(sqlRemoveOwnedIn+list+owned+" RETURNING id", args...)
		removed := make(map[mail.QueueID]bool, len(piece))
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			removed[mail.QueueID(id)] = true
		}
		for _, id := range piece {
			if !removed[id] {
				lost = append(lost, id)
			}
		}
		return rows.Err()
	})
	return lost, err
}

// touch writes the recipients that changed. A held message keeps its recipients as queued: the hold is the message's.
func touch(tx *store.Tx, p *plan) error {
	for _, i := range p.touched {
		r := &p.rcpt[i]
		state := r.State
		if state == Held {
			state = Queued
		}
		_, err := tx.Exec(sqlTouch, string(p.id), r.Index, string(state), r.Attempts, micros(r.NextAt), micros(r.First),
			micros(r.Last), r.Code, r.Enhanced, r.Text, r.Host, r.DelayNotified, r.Lane, r.Wait, p.before.msg.Customer)
		if err != nil {
			return err
		}
	}
	return nil
}

// settled makes memory follow the commit.
func (s *Spool) settled(plans []plan, lost []mail.QueueID, byID map[mail.QueueID][]Outcome) {
	var files []string
	now := s.o.Now()
	s.mu.Lock()
	for _, id := range lost {
		s.forgetLocked(id)
	}
	for i := range plans {
		p := &plans[i]
		if slices.Contains(lost, p.id) {
			continue
		}
		if p.open == 0 {
			s.forgetLocked(p.id)
			if p.before != nil {
				files = append(files, p.before.file)
			}
			continue
		}
		s.bodies.remove(p.id)
		e := s.win.byID[p.id]
		if e == nil {
			continue
		}
		for _, o := range byID[p.id] {
			s.win.unclaim(e, o.Index)
		}
		if e.claims > 0 {
			after := *p.before
			after.rcpt, after.rows = p.rcpt, true
			s.win.setFull(e, &after)
			s.win.settle(e, micros(now))
			continue
		}
		s.win.setFull(e, nil)
		if p.loose < p.open && s.win.cost < s.win.budget/2 {
			after := *p.before
			after.rcpt, after.rows = p.rcpt, true
			s.win.setFull(e, &after) // its turn may come soon; what waits for its next attempt is read again then
		}
		switch k := (key{p.next, p.id}); {
		case p.before.msg.Held || s.win.horizon.less(k):
			s.win.forget(e)
		default:
			s.win.place(e, p.next)
		}
	}
	s.mu.Unlock()
	for _, file := range files {
		s.removeFile(file)
	}
}

// forgetLocked drops all memory of a message.
func (s *Spool) forgetLocked(id mail.QueueID) {
	s.bodies.remove(id)
	if e := s.win.byID[id]; e != nil {
		s.win.forget(e)
	}
}
