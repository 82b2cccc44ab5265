package webhook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postern/internal/store"
)

const hookColumns = `id, customer, label, url, events, secret, former, former_ends, made_by, created, paused, era, round, position, batch_to, stopped, stopped_at,
 failing_since, failures, next_at, last_at, last_status, last_outcome, taken`

const (
	sqlInsertHook = `INSERT INTO webhook_hook (` + hookColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlUpdateHook = `UPDATE webhook_hook SET label = ?, url = ?, events = ?, secret = ?, former = ?, former_ends = ?, paused = ?, era = ?, round = ?, position = ?, batch_to = ?,
 stopped = ?, stopped_at = ?, failing_since = ?, failures = ?, next_at = ? WHERE id = ?`
	sqlSettle = `UPDATE webhook_hook SET position = ?, batch_to = ?, stopped = ?, stopped_at = ?, failing_since = ?, failures = ?, next_at = ?, last_at = ?,
 last_status = ?, last_outcome = ?, taken = ? WHERE id = ? AND era = ?`
	sqlMoveOn  = `UPDATE webhook_hook SET position = ? WHERE id = ? AND era = ? AND position < ?`
	sqlAttempt = `INSERT INTO webhook_attempt (hook, n, at, delivery, why, events, first, last, status, outcome, took) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlTurn    = `UPDATE webhook_turn SET owner = ?, until = ? WHERE one = 1 AND (owner = ? OR until < ?)`
	sqlYield   = `UPDATE webhook_turn SET owner = '', until = 0 WHERE one = 1 AND owner = ?`
)

// readHooks reads hooks; rest is the end of the statement.
func readHooks(ctx context.Context, db *store.DB, rest string, args ...any) (hooks []Hook, err error) {
	err = db.Read(ctx, func(tx *store.Tx) (err error) {
		hooks, err = scanHooks(tx.Query(`SELECT `+hookColumns+` FROM webhook_hook `+rest, args...))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read webhooks: %w", err)
	}
	return hooks, nil
}

func scanHooks(rows *store.Rows) (hooks []Hook, err error) {
	for rows.Next() {
		var h Hook
		var events string
		if err := rows.Scan(&h.ID, &h.Customer, &h.Label, &h.URL, &events, &h.Secret, &h.Former, &h.FormerEnds, &h.MadeBy, &h.Created, &h.Paused, &h.era, &h.round, &h.Position,
			&h.batchTo, &h.Stopped, &h.StoppedAt, &h.FailingSince, &h.Failures, &h.Next, &h.Last, &h.LastStatus, (*string)(&h.LastOutcome), &h.Taken); err != nil {
			return nil, err
		}
		if events != "" {
			h.Events = strings.Split(events, ",")
		}
		hooks = append(hooks, h)
	}
	return hooks, rows.Err()
}

// insertHook writes a new hook if its owner has fewer than most.
func insertHook(ctx context.Context, db *store.DB, h *Hook, most int) error {
	err := db.Write(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(`SELECT count(*) FROM webhook_hook WHERE customer = ?`, h.Customer).Scan(&n); err != nil {
			return err
		}
		if n >= most {
			return ErrTooMany
		}
		_, err := tx.Exec(sqlInsertHook, h.ID, h.Customer, h.Label, h.URL, strings.Join(h.Events, ","), h.Secret, h.Former, h.FormerEnds, h.MadeBy, h.Created, h.Paused, h.era,
			h.round, h.Position, h.batchTo, h.Stopped, h.StoppedAt, h.FailingSince, h.Failures, h.Next, h.Last, h.LastStatus, string(h.LastOutcome), h.Taken)
		return err
	})
	if err != nil && !errors.Is(err, ErrTooMany) {
		return fmt.Errorf("add webhook: %w", err)
	}
	return err
}

// alterHook changes a hook in one transaction.
func alterHook(ctx context.Context, db *store.DB, id string, act func(*Hook) error) (h Hook, err error) {
	var refused error
	err = db.Write(ctx, func(tx *store.Tx) error {
		hooks, err := scanHooks(tx.Query(`SELECT `+hookColumns+` FROM webhook_hook WHERE id = ?`, id))
		if err != nil {
			return err
		}
		if len(hooks) == 0 {
			refused = ErrNotFound
			return refused
		}
		h = hooks[0]
		if refused = act(&h); refused != nil {
			return refused
		}
		_, err = tx.Exec(sqlUpdateHook, h.Label, h.URL, strings.Join(h.Events, ","), h.Secret, h.Former, h.FormerEnds, h.Paused, h.era, h.round, h.Position, h.batchTo,
			h.Stopped, h.StoppedAt, h.FailingSince, h.Failures, h.Next, h.ID)
		return err
	})
	switch {
	case refused != nil:
		return Hook{}, refused
	case err != nil:
		return Hook{}, fmt.Errorf("change webhook: %w", err)
	}
	return h, nil
}

func removeHook(ctx context.Context, db *store.DB, id string) error {
	err := db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM webhook_attempt WHERE hook = ?`, id); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM webhook_hook WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove webhook: %w", err)
	}
	return nil
}

// settleHook writes what came of an attempt. valid is false when an act made it void meanwhile: then only the attempt is kept.
func settleHook(ctx context.Context, db *store.DB, h *Hook, t *Attempt) (valid bool, err error) {
	err = db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(sqlSettle, h.Position, h.batchTo, h.Stopped, h.StoppedAt, h.FailingSince, h.Failures, h.Next, h.Last, h.LastStatus, string(h.LastOutcome), h.Taken, h.ID, h.era)
		if err != nil {
			return err
		}
		valid = n > 0
		return insertAttempt(tx, h.ID, t)
	})
	if err != nil {
		return false, fmt.Errorf("note a webhook's attempt: %w", err)
	}
	return valid, nil
}

// noteAttempt writes an attempt that concerns nothing else.
func noteAttempt(ctx context.Context, db *store.DB, hook string, t *Attempt) error {
	err := db.Write(ctx, func(tx *store.Tx) error { return insertAttempt(tx, hook, t) })
	if err != nil {
		return fmt.Errorf("note a webhook's attempt: %w", err)
	}
	return nil
}

func insertAttempt(tx *store.Tx, hook string, t *Attempt) error {
	var there, n int64
	if err := tx.QueryRow(`SELECT count(*) FROM webhook_hook WHERE id = ?`, hook).Scan(&there); err != nil || there == 0 {
		return err
	}
	if err := tx.QueryRow(`SELECT coalesce(max(n), 0) FROM webhook_attempt WHERE hook = ?`, hook).Scan(&n); err != nil {
		return err
	}
	n++
	if _, err := tx.Exec(sqlAttempt, hook, n, t.At, t.Delivery, t.Why, t.Events, t.First, t.Last, t.Status, string(t.Outcome), t.Took.Milliseconds()); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM webhook_attempt WHERE hook = ? AND n <= ?`, hook, n-attemptsKept)
	return err
}

func readAttempts(ctx context.Context, db *store.DB, hook string, limit int) (out []Attempt, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(`SELECT at, delivery, why, events, first, last, status, outcome, took FROM webhook_attempt WHERE hook = ? ORDER BY n DESC LIMIT ?`, hook, limit)
		for rows.Next() {
			var t Attempt
			var took int64
			if err := rows.Scan(&t.At, &t.Delivery, &t.Why, &t.Events, &t.First, &t.Last, &t.Status, (*string)(&t.Outcome), &took); err != nil {
				return err
			}
			t.Took = time.Duration(took) * time.Millisecond
			out = append(out, t)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read a webhook's attempts: %w", err)
	}
	return out, nil
}

// moveOn writes positions of hooks that had nothing to tell.
func moveOn(ctx context.Context, db *store.DB, moved []Hook) error {
	err := db.Write(ctx, func(tx *store.Tx) error {
		for _, h := range moved {
			if _, err := tx.Exec(sqlMoveOn, h.Position, h.ID, h.era, h.Position); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write webhooks' positions: %w", err)
	}
	return nil
}

// takeTurn makes this process the one that posts, until a time.
func takeTurn(ctx context.Context, db *store.DB, owner string, now, until time.Time) (mine bool, err error) {
	err = db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(sqlTurn, owner, until, owner, now)
		mine = n > 0
		return err
	})
	return mine, err
}

func yieldTurn(ctx context.Context, db *store.DB, owner string) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlYield, owner)
		return err
	})
}
