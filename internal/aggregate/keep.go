package aggregate

import (
	"context"

	"postern/internal/store"
)

// sweepRows is how many rows one transaction removes: others wait behind it.
const sweepRows = 2000

// Sweep forgets what is older than it is kept.
func (l *Ledger) Sweep(ctx context.Context) error {
	now := l.o.Now()
	old := now.Add(-l.o.Keep)
	for _, s := range sweeps {
		var age int64
		switch {
		case s.fail:
			age = micros(now.Add(-FailuresFor))
		case s.days:
			age = dayOf(old)
		default:
			age = micros(old)
		}
		for ctx.Err() == nil {
			var n int64
			err := l.db.Write(ctx, func(tx *store.Tx) (err error) {
				n, err = tx.Exec(s.sql, age, sweepRows)
				return err
			})
			if err != nil {
				return err
			}
			if n < sweepRows {
				break
			}
		}
	}
	return l.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM aggregate_inbox WHERE state > 0 AND received < ?`, micros(now.Add(-UnreadFor))); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM aggregate_inbox WHERE id IN (SELECT id FROM aggregate_inbox WHERE state > 0 ORDER BY received DESC LIMIT 5000 OFFSET ?)`, MaxUnread)
		return err
	})
}
