package learn

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"postern/internal/store"
)

const (
	cleanRows = 5000   // found by one read
	cleanStep = 500    // removed by one transaction: little, so that nobody waits behind it
	maxUsed   = 50_000 // tokens whose use is remembered between two turns of Run
)

// use remembers which tokens decided something, so that they are kept.
func (l *Ledger) use(scope string, clues []Clue) {
	l.usedMu.Lock()
	defer l.usedMu.Unlock()
	n := 0
	for _, of := range l.used {
		n += len(of)
	}
	for _, c := range clues {
		if n >= maxUsed {
			return
		}
		for k, s := range []string{Base, scope} {
			if c.scope&(1<<k) == 0 {
				continue
			}
			of := l.used[s]
			if of == nil {
				of = make(map[int64]struct{})
				l.used[s] = of
			}
			of[c.id] = struct{}{}
			n++
		}
	}
}

// touch writes down the day of use of the tokens that decided something.
func (l *Ledger) touch(ctx context.Context) error {
	l.usedMu.Lock()
	used := l.used
	l.used = make(map[string]map[int64]struct{})
	l.usedMu.Unlock()
	day := l.day()
	for scope, of := range used {
		for ids := range slices.Chunk(slices.Sorted(maps.Keys(of)), cleanStep) {
			err := l.db.Write(ctx, func(tx *store.Tx) error {
				return inPieces(ids, func(list string, args []any) error {
					_, err := tx.Exec(sqlTouch+list+`) AND scope = ? AND seen < ?`, append(append([]any{day}, args...), scope, day)...)
					return err
				})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Clean removes tokens, senders and memories that were not used for Options.KeepFor, and of each scope the longest unused tokens
// above Options.ScopeTokens. Run calls it every hour.
func (l *Ledger) Clean(ctx context.Context) error {
	if err := l.touch(ctx); err != nil {
		return fmt.Errorf("write down use: %w", err)
	}
	oldest := l.o.Now().Add(-l.o.KeepFor)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"old tokens", func() error { return l.cleanOld(ctx) }},
		{"tokens above the limit", func() error { return l.cleanMany(ctx) }},
		{"old senders", func() error { return l.cleanSenders(ctx) }},
		{"old behaviour", func() error { return l.cleanBehaviour(ctx) }},
		{"old messages", func() error {
			for {
				var n int64
				err := l.db.Write(ctx, func(tx *store.Tx) (err error) {
					n, err = tx.Exec(sqlOldNotes, oldest, cleanStep)
					return err
				})
				if err != nil || n < cleanStep {
					return err
				}
			}
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("remove %s: %w", step.what, err)
		}
	}
	return nil
}

// cleanOld removes tokens by age. A reader finds them, so that no writer waits for the search.
func (l *Ledger) cleanOld(ctx context.Context) error {
	oldest := l.o.Now().Add(-l.o.KeepFor)
	for {
		found, n := make(map[string][]int64), 0
		err := l.db.Read(ctx, func(tx *store.Tx) error {
			clear(found)
			n = 0
			rows := tx.Query(sqlOldTokens, oldest, cleanRows)
			for rows.Next() {
				var id int64
				var scope string
				if err := rows.Scan(&id, &scope); err != nil {
					return err
				}
				found[scope] = append(found[scope], id)
				n++
			}
			return rows.Err()
		})
		if err != nil || n == 0 {
			return err
		}
		for scope, ids := range found {
			if err := l.dropTokens(ctx, scope, ids); err != nil {
				return err
			}
		}
		if n < cleanRows {
			return nil
		}
	}
}

// cleanMany removes tokens by number: the longest unused, and among them the rarest.
func (l *Ledger) cleanMany(ctx context.Context) error {
	over := make(map[string]int)
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		clear(over)
		rows := tx.Query(sqlSizes, l.o.ScopeTokens)
		for rows.Next() {
			var scope string
			var n int
			if err := rows.Scan(&scope, &n); err != nil {
				return err
			}
			over[scope] = n - l.o.ScopeTokens
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	for scope, left := range over {
		for left > 0 {
			ids, err := l.ids(ctx, sqlLeastUsed, scope, min(left, cleanRows))
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				break
			}
			if err := l.dropTokens(ctx, scope, ids); err != nil {
				return err
			}
			left -= len(ids)
		}
	}
	return nil
}

// cleanSenders removes senders by age.
func (l *Ledger) cleanSenders(ctx context.Context) error {
	oldest := l.o.Now().Add(-l.o.KeepFor)
	for {
		var keys [][]byte
		err := l.db.Read(ctx, func(tx *store.Tx) error {
			keys = nil
			rows := tx.Query(sqlOldSenders, oldest, cleanRows)
			for rows.Next() {
				var key []byte
				if err := rows.Scan(&key); err != nil {
					return err
				}
				keys = append(keys, key)
			}
			return rows.Err()
		})
		if err != nil {
			return err
		}
		for part := range slices.Chunk(keys, cleanStep) {
			err := l.db.Write(ctx, func(tx *store.Tx) error {
				for _, key := range part {
					if _, err := tx.Exec(sqlDropSender, key, oldest); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if len(keys) < cleanRows {
			return nil
		}
	}
}

// ids reads a list of tokens.
func (l *Ledger) ids(ctx context.Context, query string, args ...any) ([]int64, error) {
	var ids []int64
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		ids = nil
		rows := tx.Query(query, args...)
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids, err
}

// dropTokens removes tokens of a scope in small transactions.
func (l *Ledger) dropTokens(ctx context.Context, scope string, ids []int64) error {
	slices.Sort(ids)
	for part := range slices.Chunk(ids, cleanStep) {
		err := l.db.Write(ctx, func(tx *store.Tx) error {
			return inPieces(part, func(list string, args []any) error {
				_, err := tx.Exec(sqlDropTokens+list+`) AND scope = ?`, append(args, scope)...)
				return err
			})
		})
		if err != nil {
			return err
		}
		l.cache.drop(scope, part)
	}
	return nil
}
