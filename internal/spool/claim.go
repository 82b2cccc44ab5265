package spool

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Claim takes up to max due recipients, the longest due first, grouped by message, and returns nothing when nothing is
// due. A claimed recipient is not returned again until Settle or UnclaimWork; a crash ends all claims. Nothing is written
// to the disk. Held messages are skipped. The messages' Body is nil: see Body. On a cluster, a node that could not prove
// for a while that it lives does so first, and gets an error when the database does not answer.
func (s *Spool) Claim(ctx context.Context, max int) ([]Work, error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.renew(ctx); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	var works []Work
	for max > 0 {
		now := s.o.Now()
		var batch []Work
		more := false
		err := s.fill(ctx, now)
		if err == nil {
			var damaged []mail.QueueID
			batch, damaged, more, err = s.claimBatch(ctx, now, max)
			for _, id := range damaged {
				s.log.Error("spool: stored description is damaged, message held", "queue_id", id)
				if e := s.Hold(ctx, id, ReasonDamaged, time.Time{}); e != nil {
					s.log.Error("spool: not held", "queue_id", id, "error", e)
				}
			}
		}
		works = append(works, batch...)
		for i := range batch {
			max -= len(batch[i].Recipients)
		}
		if err != nil && len(works) == 0 {
			return nil, err
		}
		if err != nil || !more { // what is claimed goes out; an error comes back with the next call
			break
		}
	}
	return works, nil
}

// claimBatch claims what the window has due. more says that another call may find more; damaged are messages whose
// description cannot be read, which the caller holds.
func (s *Spool) claimBatch(ctx context.Context, now time.Time, max int) (works []Work, damaged []mail.QueueID, more bool, err error) {
	due := micros(now)
	var toRead, passed []*entry // the former are locked by us, the latter by others
	s.mu.Lock()
	count := 0
	for len(s.win.heap) > 0 && count+len(toRead) < max {
		e := s.win.heap[0]
		if e.at > due || s.win.horizon.less(e.key) {
			more = e.at <= due
			break
		}
		heap.Pop(&s.win)
		switch {
		case s.lockedLocked(e.id):
			passed = append(passed, e)
		case e.full == nil:
			toRead = append(toRead, e)
		default:
			if w, ok := s.takeLocked(e, now, max-count); ok {
				works = append(works, w)
				count += len(w.Recipients)
			}
		}
	}
	for _, e := range passed {
		heap.Push(&s.win, e)
	}
	ids := make([]mail.QueueID, len(toRead))
	done := make(chan struct{})
	for i, e := range toRead {
		ids[i] = e.id
		s.locks[e.id] = done
	}
	s.mu.Unlock()
	if len(toRead) == 0 {
		return works, nil, more, nil
	}
	var found map[mail.QueueID]*stored
	err = s.db.Read(ctx, func(tx *store.Tx) (err error) { found, err = load(tx, ids); return err })
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.unlockLocked(ids...)
	for _, e := range toRead {
		if s.win.byID[e.id] != e { // the node joined anew meanwhile
			continue
		}
		if err != nil {
			s.win.place(e, e.at)
			continue
		}
		if m := found[e.id]; m != nil && len(m.rcpt) == 0 && !m.msg.Held {
			damaged = append(damaged, e.id)
			s.win.forget(e)
			continue
		}
		if !s.refreshLocked(e, found[e.id]) {
			continue
		}
		if w, ok := s.takeLocked(e, now, max-count); ok {
			works = append(works, w)
			count += len(w.Recipients)
		}
	}
	if err != nil {
		return works, nil, false, fmt.Errorf("claim: %w", err)
	}
	slices.SortStableFunc(works, func(a, b Work) int { return cmp.Compare(earliest(a), earliest(b)) })
	return works, damaged, true, nil
}

// earliest is when the first recipient of w was due.
func earliest(w Work) int64 {
	at := micros(w.Recipients[0].NextAt)
	for i := range w.Recipients {
		at = min(at, micros(w.Recipients[i].NextAt))
	}
	return at
}

// refreshLocked gives e what the store holds of it; false when it is not, or no longer, in this node's queue.
func (s *Spool) refreshLocked(e *entry, m *stored) bool {
	_, doubtful := s.doubtful[e.id]
	if m == nil && e.uncertain && e.claims > 0 { // settled perhaps; the Settle that comes again will know
		s.win.unqueue(e)
		return false
	}
	if m == nil || m.node != s.o.Node || doubtful {
		s.win.forget(e)
		return false
	}
	s.win.setFull(e, &m.loaded)
	if e.claimed != nil && len(e.claimed) != len(m.rcpt) {
		e.claimed = append(e.claimed, make([]bool, len(m.rcpt))...)[:len(m.rcpt)]
	}
	s.win.settle(e, 0)
	return s.win.byID[e.id] == e
}

// takeLocked claims the due recipients of e and puts e back in order.
func (s *Spool) takeLocked(e *entry, now time.Time, max int) (Work, bool) {
	w := Work{Message: e.full.msg}
	due := micros(now)
	for i := range e.full.rcpt {
		r := &e.full.rcpt[i]
		if len(w.Recipients) >= max {
			break
		}
		if r.State == Queued && micros(r.NextAt) <= due && (e.claimed == nil || !e.claimed[i]) {
			w.Recipients = append(w.Recipients, *r)
		}
	}
	for i := range w.Recipients {
		s.win.claim(e, w.Recipients[i].Index, now)
	}
	s.win.settle(e, due)
	return w, len(w.Recipients) > 0
}

// fill reads more of the queue into the window while the store may hold something that is due earlier than what the
// window knows.
func (s *Spool) fill(ctx context.Context, now time.Time) error {
	due := micros(now)
	wants := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		h := s.win.horizon
		return h.at <= due && (len(s.win.heap) == 0 || h.less(s.win.heap[0].key))
	}
	if !wants() {
		return nil
	}
	s.refill.Lock()
	defer s.refill.Unlock()
	for wants() {
		if err := s.fillOnce(ctx); err != nil {
			return fmt.Errorf("read the queue: %w", err)
		}
	}
	return nil
}

func (s *Spool) fillOnce(ctx context.Context) error {
	s.mu.Lock()
	from, epoch := s.win.horizon, s.epoch
	s.filling = true
	s.mu.Unlock()
	limit := s.o.Window / 2
	keys := make([]key, 0, limit)
	err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
		keys, err = readKeys(keys[:0], tx.Query(sqlRefill, s.o.Node, from.at, string(from.id), limit))
		return err
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filling = false
	if err != nil {
		return err
	}
	if s.epoch != epoch || s.win.horizon.less(from) { // started over meanwhile
		return nil
	}
	for _, k := range keys {
		if _, doubtful := s.doubtful[k.id]; !doubtful {
			s.win.add(k, nil, true)
		}
	}
	if len(keys) < limit {
		s.win.horizon = never
	} else {
		s.win.horizon = keys[len(keys)-1]
	}
	s.win.trim(s.lockedLocked)
	return nil
}

// readKeys collects rows of (next_at, id).
func readKeys(keys []key, rows *store.Rows) ([]key, error) {
	for rows.Next() {
		var k key
		if err := rows.Scan(&k.at, (*string)(&k.id)); err != nil {
			return keys, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// lookAgainLocked makes the next Claim read the queue from its beginning: something in the store became due that memory
// does not know.
func (s *Spool) lookAgainLocked() {
	s.win.horizon = unread
	s.signal()
}

// NextDue tells when the next recipient that is not claimed is due, which may be past; the zero time when the queue is
// empty or everything in it is claimed.
func (s *Spool) NextDue(ctx context.Context) (time.Time, error) {
	if err := s.Start(ctx); err != nil {
		return time.Time{}, err
	}
	if err := s.fill(ctx, s.o.Now()); err != nil {
		return time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.win.horizon.at
	if len(s.win.heap) > 0 {
		at = min(at, s.win.heap[0].at)
	}
	if at == never.at {
		return time.Time{}, nil
	}
	return time.UnixMicro(at).UTC(), nil
}

// UnclaimWork gives claims back untouched: exactly the recipients in works become due again at their NextAt.
func (s *Spool) UnclaimWork(works ...Work) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range works {
		e := s.win.byID[works[i].ID]
		if e == nil {
			continue
		}
		for j := range works[i].Recipients {
			s.win.unclaim(e, works[i].Recipients[j].Index)
		}
		s.backLocked(e)
	}
	s.signal()
}

// Unclaim gives back all claims of the messages untouched, those of other attempts at the same message too: prefer
// UnclaimWork where a message may have several recipients.
func (s *Spool) Unclaim(ids ...mail.QueueID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		e := s.win.byID[id]
		if e == nil {
			continue
		}
		for i := range e.claimed {
			s.win.unclaim(e, i)
		}
		s.backLocked(e)
	}
	s.signal()
}

// backLocked puts e in order after claims were given back.
func (s *Spool) backLocked(e *entry) {
	if s.lockedLocked(e.id) { // being settled: who holds the lock puts it in order
		e.stale = true
		return
	}
	s.win.settle(e, micros(s.o.Now()))
}

// Owns reports whether this node still holds a claim on the message and proved lately that it lives. It asks memory only:
// call it right before handing a message to a remote server when much time may have passed since Claim.
func (s *Spool) Owns(id mail.QueueID) bool {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.win.byID[id]
	return e != nil && e.claims > 0 && (!s.shared || now.Sub(s.beatAt) < s.o.AdoptAfter)
}
