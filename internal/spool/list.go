package spool

import (
	"context"
	"fmt"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Get returns a message with all its recipients, the final ones too, whichever node owns it. ErrNotFound when the spool
// does not have it: the journal may tell what became of it.
func (s *Spool) Get(ctx context.Context, id mail.QueueID) (Work, error) {
	works, err := s.read(ctx, func(tx *store.Tx) ([]mail.QueueID, error) { return []mail.QueueID{id}, nil })
	if err != nil {
		return Work{}, fmt.Errorf("get %s: %w", id, err)
	}
	if len(works) == 0 {
		return Work{}, fmt.Errorf("get %s: %w", id, ErrNotFound)
	}
	return works[0], nil
}

// List returns messages of the whole cluster in the order of arrival, one page at a time; next is the Cursor of the
// following page, "" after the last one.
func (s *Spool) List(ctx context.Context, f Filter) (works []Work, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, 1000)
	var where strings.Builder
	where.WriteString(`SELECT id FROM spool_message WHERE id > ?`)
	args := []any{f.Cursor}
	switch f.State {
	case "":
		if f.Customer != "" && f.Lane == "" {
			where.WriteString(` AND held IN (0, 1)`) // leads to the index that has the customer
		}
	case Queued:
		if f.Customer != "" && f.Lane == "" {
			where.WriteString(` AND held = 0`)
		} else {
			where.WriteString(` AND held + 0 = 0`) // most are: walk in order of id and stop at the limit
		}
	case Held:
		where.WriteString(` AND held = 1`)
	default:
		return nil, "", fmt.Errorf("list: %w state %q (want queued or held)", ErrInvalid, f.State)
	}
	if f.Customer != "" {
		where.WriteString(` AND customer = ?`)
		args = append(args, f.Customer)
	}
	if f.Domain != "" {
		where.WriteString(` AND domains LIKE ? ESCAPE '!'`)
		args = append(args, "%,"+escapeLike(string(f.Domain))+",%")
	}
	if f.Lane != "" {
		where.WriteString(` AND id IN (SELECT id FROM spool_recipient WHERE lane = ? AND lane <> '' AND id > ?`)
		args = append(args, f.Lane, f.Cursor)
		if f.Customer != "" {
			where.WriteString(` AND customer = ?`)
			args = append(args, f.Customer)
		}
		where.WriteString(`)`)
	}
	where.WriteString(` ORDER BY id LIMIT ?`)
	args = append(args, f.Limit+1)
	more := false
	works, err = s.read(ctx, func(tx *store.Tx) ([]mail.QueueID, error) {
		ids, err := readIDs(tx.Query(where.String(), args...))
		if more = len(ids) > f.Limit; more {
			ids = ids[:f.Limit]
		}
		return ids, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list: %w", err)
	}
	if more {
		next = string(works[len(works)-1].ID)
	}
	return works, next, nil
}

// IDs returns queue IDs of the whole cluster in the order of arrival, those after the ID given, at most limit. It reads an index
// only: a million in about a second.
func (s *Spool) IDs(ctx context.Context, after mail.QueueID, limit int) (ids []mail.QueueID, err error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = readIDs(tx.Query(`SELECT id FROM spool_message WHERE id > ? ORDER BY id LIMIT ?`, string(after), limit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list IDs: %w", err)
	}
	return ids, nil
}

// escapeLike makes text literal in LIKE ... ESCAPE '!'.
func escapeLike(text string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text)
}

// DueHolds returns held messages of this node whose hold has ended by now, the longest ended first, up to limit. The
// caller (intake) writes journal and notice, then drops them.
func (s *Spool) DueHolds(ctx context.Context, now time.Time, limit int) ([]Work, error) {
	works, err := s.read(ctx, func(tx *store.Tx) ([]mail.QueueID, error) {
		return readIDs(tx.Query(sqlDueHolds, s.o.Node, micros(now), limit))
	})
	if err != nil {
		return nil, fmt.Errorf("due holds: %w", err)
	}
	return works, nil
}

func readIDs(rows *store.Rows) ([]mail.QueueID, error) {
	var ids []mail.QueueID
	for rows.Next() {
		var id mail.QueueID
		if err := rows.Scan((*string)(&id)); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// read loads the messages that choose names, in its order, in one snapshot.
func (s *Spool) read(ctx context.Context, choose func(*store.Tx) ([]mail.QueueID, error)) ([]Work, error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	var works []Work
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		works = works[:0]
		ids, err := choose(tx)
		if err != nil {
			return err
		}
		found, err := load(tx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if m := found[id]; m != nil {
				works = append(works, Work{Message: m.msg, Recipients: m.rcpt})
			}
		}
		return nil
	})
	return works, err
}

// Full reports whether Put refused new mail for want of space when it last looked. It asks neither the database nor the disk.
func (s *Spool) Full() bool { return s.space.full.Load() }

// Stats counts. It reads an index of the whole queue; with more than 50,000 messages its counts hold for 5 seconds.
func (s *Spool) Stats(ctx context.Context) (Stats, error) {
	if err := s.Start(ctx); err != nil {
		return Stats{}, err
	}
	st, err := s.counts(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("stats: %w", err)
	}
	st.Mended, st.Adopted, st.Damaged = s.mended.Load(), s.adopted.Load(), s.damaged.Load()
	st.Full, st.Free = s.space.full.Load(), s.space.free.Load()
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Recovered, st.Claimed, st.Window = s.recovered, s.win.claimed, len(s.win.byID)
	for _, e := range s.win.byID {
		if e.claims > 0 {
			st.OldestClaim = max(st.OldestClaim, now.Sub(e.claimedAt))
		}
	}
	return st, nil
}

// counts is the part of Stats that the store knows.
func (s *Spool) counts(ctx context.Context) (Stats, error) {
	s.statsMu.Lock()
	defer s.statsMu.Unlock()
	now := s.o.Now()
	if last := &s.lastStats; last.Queued+last.Held >= surveyFrom {
		if age := now.Sub(s.lastStatsAt); age >= 0 && age < holds(last.Queued+last.Held) {
			return *last, nil
		}
	}
	var st Stats
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		st = Stats{}
		rows := tx.Query(sqlCounts)
		for rows.Next() {
			var held, count, bytes int64
			var oldest mail.QueueID
			if err := rows.Scan(&held, &count, &bytes, (*string)(&oldest)); err != nil {
				return err
			}
			st.Bytes += bytes
			if held != 0 {
				st.Held, st.HeldBytes, st.OldestHeld = int(count), bytes, oldest.Time()
			} else {
				st.Queued, st.Oldest = int(count), oldest.Time()
			}
		}
		return rows.Err()
	})
	if err != nil {
		return Stats{}, err
	}
	silent, err := s.silent(ctx)
	if err != nil {
		return Stats{}, err
	}
	st.Silent = len(silent)
	s.lastStats, s.lastStatsAt = st, s.o.Now()
	return st, nil
}
