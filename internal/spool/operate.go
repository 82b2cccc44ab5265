package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// topic is where a node hears that another one changed its messages.
func topic(node string) string { return "spool:" + node }

// change runs one person's or rule's change of a message, whoever owns it, and makes its owner follow.
func (s *Spool) change(ctx context.Context, act string, id mail.QueueID, fn func(tx *store.Tx, held bool) error) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	if err := s.lock(ctx, id); err != nil {
		return err
	}
	var node, file string
	var held int64
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		err := tx.QueryRow(sqlWhose, string(id)).Scan(&node, &held, &file)
		if err != nil {
			return err
		}
		return fn(tx, held != 0)
	})
	s.mu.Lock()
	if err == nil && node == s.o.Node {
		e := s.win.byID[id]
		if e == nil {
			e = &entry{key: key{0, id}, pos: -1}
			s.win.byID[id] = e
		}
		e.stale = true // read again at the next claim, which finds out what it is now
		s.win.trim(s.lockedLocked)
	}
	s.unlockLocked(id)
	s.mu.Unlock()
	switch {
	case errors.Is(err, store.ErrNoRows):
		return fmt.Errorf("%s %s: %w", act, id, ErrNotFound)
	case err != nil:
		return fmt.Errorf("%s %s: %w", act, id, err)
	case node != s.o.Node:
		s.db.Notify(topic(node))
	}
	return nil
}

// mustChange turns a statement that met no row into ErrNotFound.
func mustChange(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// Hold sets a message aside until Release, Drop or until; reason is a stable word. until zero means Options.HoldFor from
// now. An attempt that is under way ends as it ends. Holding a held message changes reason and end.
func (s *Spool) Hold(ctx context.Context, id mail.QueueID, reason string, until time.Time) error {
	if until.IsZero() {
		until = s.o.Now().Add(s.o.HoldFor)
	}
	return s.change(ctx, "hold", id, func(tx *store.Tx, held bool) error {
		if err := mustChange(tx.Exec(sqlHold, tidy(reason, 200), micros(until), string(id))); err != nil {
			return err
		}
		_, err := tx.Exec(sqlUnpark, string(id))
		return err
	})
}

// ExtendHold moves the end of a hold. ErrNotHeld when the message is queued.
func (s *Spool) ExtendHold(ctx context.Context, id mail.QueueID, until time.Time) error {
	return s.change(ctx, "extend hold", id, func(tx *store.Tx, held bool) error {
		if !held {
			return ErrNotHeld
		}
		return mustChange(tx.Exec(sqlExtend, micros(until), string(id)))
	})
}

// Release queues a held message; every open recipient is due now. ErrNotHeld when it is queued already, so that of two
// people who release a message one learns that it was done.
func (s *Spool) Release(ctx context.Context, id mail.QueueID) error {
	now := micros(s.o.Now())
	return s.change(ctx, "release", id, func(tx *store.Tx, held bool) error {
		if !held {
			return ErrNotHeld
		}
		if err := mustChange(tx.Exec(sqlRelease, now, string(id))); err != nil {
			return err
		}
		_, err := tx.Exec(sqlDueNow, now, string(id))
		return err
	})
}

// Retry makes every open recipient of a queued message due now. A held message is ErrInvalid: release it.
func (s *Spool) Retry(ctx context.Context, id mail.QueueID) error {
	now := micros(s.o.Now())
	return s.change(ctx, "retry", id, func(tx *store.Tx, held bool) error {
		if held {
			return fmt.Errorf("%w: message is held", ErrInvalid)
		}
		if err := mustChange(tx.Exec(sqlRetry, now, string(id))); err != nil {
			return err
		}
		_, err := tx.Exec(sqlDueNow, now, string(id))
		return err
	})
}

// RetryAll makes every queued message of the cluster due now, in pieces of a thousand, and returns how many. After an
// error the pieces done stay done.
func (s *Spool) RetryAll(ctx context.Context) (int, error) {
	if err := s.Start(ctx); err != nil {
		return 0, err
	}
	now := micros(s.o.Now())
	total, after := 0, ""
	nodes := map[string]bool{}
	var err error
	for err == nil {
		var ids []string
		err = s.db.Write(ctx, func(tx *store.Tx) error {
			ids = ids[:0]
			rows := tx.Query(`SELECT id, node FROM spool_message WHERE held = 0 AND id > ? ORDER BY id LIMIT 1000`, after)
			for rows.Next() {
				var id, node string
				if err := rows.Scan(&id, &node); err != nil {
					return err
				}
				ids = append(ids, id)
				nodes[node] = true
			}
			if err := rows.Err(); err != nil || len(ids) == 0 {
				return err
			}
			last := ids[len(ids)-1]
			if _, err := tx.Exec(`UPDATE spool_message SET next_at = ? WHERE held = 0 AND id > ? AND id <= ?`, now, after, last); err != nil {
				return err
			}
			_, err := tx.Exec(`UPDATE spool_recipient SET next_at = ? WHERE state = 'queued' AND id > ? AND id <= ?
 AND EXISTS (SELECT 1 FROM spool_message m WHERE m.id = spool_recipient.id AND m.held = 0)`, now, after, last)
			return err
		})
		if err == nil {
			total += len(ids)
			if len(ids) < 1000 {
				break
			}
			after = ids[len(ids)-1]
		}
	}
	s.changedElsewhere()
	for node := range nodes {
		if node != s.o.Node {
			s.db.Notify(topic(node))
		}
	}
	if err != nil {
		return total, fmt.Errorf("retry all: %w", err)
	}
	return total, nil
}

// changedElsewhere makes memory read again what it knows: the store was changed past it.
func (s *Spool) changedElsewhere() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.win.byID {
		s.staleLocked(e)
	}
	s.lookAgainLocked()
}

// Drop removes a message and its body for good; by is the person or rule that answers for it ("operator:NAME",
// "sender"), and stands in the log. Write the journal first. What an attempt already under way has handed over stays
// handed over.
func (s *Spool) Drop(ctx context.Context, id mail.QueueID, by string) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	if by == "" {
		return fmt.Errorf("drop %s: %w: nobody answers for it", id, ErrInvalid)
	}
	if err := s.lock(ctx, id); err != nil {
		return err
	}
	var node, file string
	var held int64
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.QueryRow(sqlWhose, string(id)).Scan(&node, &held, &file); err != nil {
			return err
		}
		if err := mustChange(tx.Exec(sqlRemove, string(id))); err != nil {
			return err
		}
		_, err := tx.Exec(sqlForget, string(id))
		return err
	})
	s.mu.Lock()
	if err == nil {
		s.forgetLocked(id)
	}
	s.unlockLocked(id)
	s.mu.Unlock()
	switch {
	case errors.Is(err, store.ErrNoRows):
		return fmt.Errorf("drop %s: %w", id, ErrNotFound)
	case err != nil:
		return fmt.Errorf("drop %s: %w", id, err)
	}
	s.removeFile(file)
	s.log.Info("spool: message dropped", "queue_id", id, "by", by)
	if node != s.o.Node {
		s.db.Notify(topic(node))
	}
	return nil
}

// SetVerdict replaces score and verdict after the message was tested again.
func (s *Spool) SetVerdict(ctx context.Context, id mail.QueueID, score float64, verdict []byte) error {
	var v any
	if verdict != nil {
		v = verdict
	}
	return s.change(ctx, "set verdict", id, func(tx *store.Tx, held bool) error {
		return mustChange(tx.Exec(sqlVerdict, score, v, string(id)))
	})
}
