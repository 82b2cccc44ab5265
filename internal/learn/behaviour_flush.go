package learn

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/internal/store"
)

// flush writes down what was counted.
func (l *Ledger) flush(ctx context.Context) error {
	l.behaviour.flushing.Lock()
	defer l.behaviour.flushing.Unlock()
	if err := l.flushIdentities(ctx); err != nil {
		return err
	}
	if err := l.flushSeen(ctx); err != nil {
		return err
	}
	if err := l.flushTexts(ctx); err != nil {
		return err
	}
	l.shrinkSeen()
	return nil
}

func (l *Ledger) flushIdentities(ctx context.Context) error {
	b := l.behaviour
	for {
		b.mu.Lock()
		for len(b.dirty) > 0 && len(b.leaving) < flushStep {
			s := b.dirty[len(b.dirty)-1]
			b.dirty = b.dirty[:len(b.dirty)-1]
			if !s.dirty {
				continue
			}
			s.dirty = false
			if s.own.total() >= minWritten {
				b.leaving[s.key] = leaver{s.scope, s.encode(), l.o.Now(), s}
			}
		}
		keys := slices.Collect(maps.Keys(b.leaving))
		slices.SortFunc(keys, func(x, y digest) int { return bytes.Compare(x[:], y[:]) }) // one order, so that two nodes never wait for each other
		keys = keys[:min(len(keys), flushStep)]
		states := make([]leaver, len(keys))
		for i, k := range keys {
			states[i] = b.leaving[k]
		}
		b.mu.Unlock()
		if len(keys) == 0 {
			return nil
		}
		err := l.db.Write(ctx, func(tx *store.Tx) error {
			for i, k := range keys {
				if _, err := tx.Exec(sqlIdentityPut, k[:], l.o.Node, states[i].scope, states[i].state, states[i].at); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write behaviour: %w", err)
		}
		b.mu.Lock()
		for i, k := range keys {
			if w := b.leaving[k]; w.turn == states[i].turn && bytes.Equal(w.state, states[i].state) {
				delete(b.leaving, k)
			}
		}
		b.mu.Unlock()
	}
}

func (l *Ledger) flushSeen(ctx context.Context) error {
	b := l.behaviour
	for {
		b.mu.Lock()
		n := min(len(b.writes), 1000)
		batch := slices.Clone(b.writes[:n])
		b.mu.Unlock()
		if n == 0 {
			return nil
		}
		// A row twice in one statement is an error on PostgreSQL.
		slices.SortStableFunc(batch, func(x, y seenWrite) int {
			if c := strings.Compare(x.scope, y.scope); c != 0 {
				return c
			}
			return int(int64(x.hash>>stampBits) - int64(y.hash>>stampBits))
		})
		batch = slices.CompactFunc(batch, func(x, y seenWrite) bool { return x.scope == y.scope && x.hash == y.hash })
		err := l.db.Write(ctx, func(tx *store.Tx) error {
			for rest := batch; len(rest) > 0; {
				n := 1
				for _, size := range rowSizes {
					if size <= len(rest) {
						n = size
						break
					}
				}
				args := make([]any, 0, 3*n)
				for _, w := range rest[:n] {
					args = append(args, w.scope, int64(w.hash>>stampBits), int64(w.day))
				}
				if _, err := tx.Exec(sqlRecipientPut+sqlRecipientRow+strings.Repeat(", "+sqlRecipientRow, n-1)+sqlRecipientEnd, args...); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write recipients: %w", err)
		}
		b.mu.Lock()
		b.writes = append(b.writes[:0], b.writes[n:]...)
		b.mu.Unlock()
	}
}

// flushTexts writes down the texts that several identities sent: only those tell something.
func (l *Ledger) flushTexts(ctx context.Context) error {
	b := l.behaviour
	type row struct {
		cluster
		senders []byte
		at      int
	}
	var rows []row
	b.mu.Lock()
	for i := range b.texts.all {
		if c := &b.texts.all[i]; c.dirty && (len(c.senders) > 1 || c.fired) {
			c.dirty = false
			rows = append(rows, row{*c, c.encodeSenders(), i})
		}
	}
	b.mu.Unlock()
	for part := range slices.Chunk(rows, flushStep) {
		err := l.db.Write(ctx, func(tx *store.Tx) error {
			for _, r := range part {
				if _, err := tx.Exec(sqlTextPut, int64(r.hash), l.o.Node, int64(r.first), int64(r.last), int64(r.messages), int64(r.strangers), r.fired, r.senders); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.mu.Lock()
			for _, r := range rows {
				b.texts.all[r.at].dirty = true
			}
			b.mu.Unlock()
			return fmt.Errorf("write texts: %w", err)
		}
	}
	return nil
}

// shrinkSeen lets tables leave memory: the longest unused when there are too many, and in a cluster those that other nodes may have added to.
func (l *Ledger) shrinkSeen() {
	b := l.behaviour
	b.mu.Lock()
	defer b.mu.Unlock()
	waits := make(map[string]bool)
	for _, w := range b.writes {
		waits[w.scope] = true
	}
	total := 0
	for scope, t := range b.seen {
		if l.cluster() && !waits[scope] && l.o.Now().Sub(t.loaded) >= reloadEvery {
			delete(b.seen, scope)
			continue
		}
		total += len(t.slots)
	}
	for total > seenScopes*l.o.SeenRecipients && len(b.seen) > 1 {
		oldest := ""
		for scope, t := range b.seen {
			if !waits[scope] && (oldest == "" || t.used.Before(b.seen[oldest].used)) {
				oldest = scope
			}
		}
		if b.seen[oldest] == nil {
			return
		}
		total -= len(b.seen[oldest].slots)
		delete(b.seen, oldest)
	}
}

// cluster reports whether other nodes may write to the database.
func (l *Ledger) cluster() bool { return l.db.Engine() != "sqlite" }

// refresh reads what other nodes wrote since a time, of the identities in memory.
func (l *Ledger) refresh(ctx context.Context, since time.Time) error {
	if !l.cluster() {
		return nil
	}
	b := l.behaviour
	type row struct {
		key   digest
		node  string
		state []byte
	}
	var all []row
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		all = all[:0]
		rows := tx.Query(sqlOthers, since, l.o.Node)
		for rows.Next() {
			var r row
			var key []byte
			if err := rows.Scan(&key, &r.node, &r.state); err != nil {
				return err
			}
			r.key = digestOf(key)
			all = append(all, r)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("read behaviour: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range all {
		if s := b.subjects[r.key]; s != nil {
			l.take(s, r.node, r.state)
			b.resize(s)
		}
	}
	return nil
}

// runBehaviour counts what was settled, and writes everything down every few seconds, until ctx ends and everything is written.
func (l *Ledger) runBehaviour(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	refreshed := l.o.Now()
	flush := func(ctx context.Context) {
		if err := l.flush(ctx); err != nil {
			l.log.Warn("behaviour of senders not written down; will be tried again", "error", err)
		}
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case s := <-l.behaviour.settled:
			l.settleOne(ctx, s)
		case <-tick.C:
			flush(ctx)
			if now := l.o.Now(); now.Sub(refreshed) >= refreshEvery {
				// Some time more than since the last turn: clocks of nodes differ, and a row is stamped before it can be read.
				if err := l.refresh(ctx, refreshed.Add(-2*refreshEvery)); err != nil && ctx.Err() == nil {
					l.log.Warn("behaviour of senders at other nodes not read; will be tried again", "error", err)
				}
				refreshed = now
			}
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	for len(l.behaviour.settled) > 0 && end.Err() == nil {
		l.settleOne(end, <-l.behaviour.settled)
	}
	flush(end)
}

func (l *Ledger) settleOne(ctx context.Context, s Settlement) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTime)
	defer cancel()
	if err := l.Settle(ctx, s); err != nil {
		l.lost.Add(1)
		l.log.Warn("the end of a delivery was not counted", "account", s.Identity.Customer, "error", err)
	}
}

// cleanBehaviour removes what is too old and what is too much.
func (l *Ledger) cleanBehaviour(ctx context.Context) error {
	now := l.o.Now()
	today := int64(slotOf(now, 24*time.Hour))
	for _, step := range []struct {
		sql  string
		from any
	}{
		{sqlOldIdentities, now.Add(-keepDays * 24 * time.Hour)},
		{sqlOldRecipient, today - keepSeenDays},
		{sqlOldTexts, int64(slotOf(now, tenMinutes)) - int64(alikeFor/tenMinutes)},
	} {
		if err := l.removeAll(ctx, step.sql, step.from); err != nil {
			return err
		}
	}
	var scopes []string
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		scopes = nil
		rows := tx.Query(sqlManyScopes, l.o.SeenRecipients)
		for rows.Next() {
			var scope string
			if err := rows.Scan(&scope); err != nil {
				return err
			}
			scopes = append(scopes, scope)
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	for _, scope := range scopes {
		var last int64 // the newest day that leaves
		err := l.db.Read(ctx, func(tx *store.Tx) error {
			last = -1
			total := 0
			rows := tx.Query(sqlScopeDays, scope)
			for rows.Next() {
				var day int64
				var n int
				if err := rows.Scan(&day, &n); err != nil {
					return err
				}
				if total += n; total > l.o.SeenRecipients && last < 0 {
					last = day
				}
			}
			return rows.Err()
		})
		if err == nil && last >= 0 && last < today {
			err = l.removeAll(ctx, sqlTrimScope, scope, last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeAll runs a statement that removes a bounded number of rows until nothing is left to remove.
func (l *Ledger) removeAll(ctx context.Context, sql string, args ...any) error {
	for {
		var n int64
		err := l.db.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(sql, append(slices.Clone(args), cleanStep)...)
			return err
		})
		if err != nil || n < cleanStep {
			return err
		}
	}
}

// eraseBehaviour forgets a customer.
func (l *Ledger) eraseBehaviour(ctx context.Context, scope string) error {
	b := l.behaviour
	b.flushing.Lock() // what is on its way to the database must not come back
	defer b.flushing.Unlock()
	b.mu.Lock()
	for key, s := range b.subjects {
		if s.scope == scope {
			b.unlink(s)
			b.bytes -= int64(s.size)
			s.dirty = false
			delete(b.subjects, key)
		}
	}
	for key, w := range b.leaving {
		if w.scope == scope {
			delete(b.leaving, key)
		}
	}
	delete(b.seen, scope)
	b.writes = slices.DeleteFunc(b.writes, func(w seenWrite) bool { return w.scope == scope })
	b.mu.Unlock()
	if err := l.removeAll(ctx, sqlEraseIdentities, scope); err != nil {
		return err
	}
	return l.removeAll(ctx, sqlEraseRecipients, scope)
}
