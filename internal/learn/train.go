package learn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"postern/internal/mail"
	"postern/internal/store"
)

// identity is the digest under which a message is known: of what stays the same on its way. Trace fields do not.
func identity(m *mail.Message) []byte {
	h := sha256.New()
	for _, name := range []string{"Message-ID", "Date", "From", "Subject"} {
		_, _ = h.Write([]byte(m.Header.Get(name) + "\x00"))
	}
	_, _ = h.Write(bytes.TrimRight(bytes.ReplaceAll(m.Body, []byte("\r\n"), []byte("\n")), "\n"))
	return h.Sum(nil)[:16]
}

// lesson is a message made ready to be counted.
type lesson struct {
	id     []byte
	tokens []int64
}

func lessons(messages []*mail.Message) []lesson {
	out := make([]lesson, len(messages))
	for i, m := range messages {
		tokens := Tokens(m)
		out[i] = lesson{identity(m), make([]int64, len(tokens))}
		for k, t := range tokens {
			out[i].tokens[k] = t.ID
		}
	}
	return out
}

// Learn counts messages as spam or ham in a scope, in one transaction, durable on return. A message that was learned as the same
// class before is left out; one that was the other class is taken back there first. It returns how many were new or changed.
func (l *Ledger) Learn(ctx context.Context, scope string, class Class, messages ...*mail.Message) (learned int, err error) {
	if class != Ham && class != Spam {
		return 0, fmt.Errorf("%w class %q: want ham or spam", ErrInvalid, class)
	}
	return l.change(ctx, scope, class, messages)
}

// Forget takes learned messages back, whatever they were learned as. Those that were not learned are left out. It returns how many
// were taken back.
func (l *Ledger) Forget(ctx context.Context, scope string, messages ...*mail.Message) (forgotten int, err error) {
	return l.change(ctx, scope, "", messages)
}

// delta is a change of counts.
type delta struct{ spam, ham int64 }

func (d *delta) add(class Class, n int64) {
	switch class {
	case Spam:
		d.spam += n
	case Ham:
		d.ham += n
	}
}

// change gives messages a class, or takes it from them ("").
func (l *Ledger) change(ctx context.Context, scope string, class Class, messages []*mail.Message) (changed int, err error) {
	if len(scope) > 200 || strings.ToValidUTF8(scope, "") != scope || strings.IndexByte(scope, 0) >= 0 {
		return 0, fmt.Errorf("%w scope %.50q", ErrInvalid, scope)
	}
	todo := lessons(messages)
	now, day := l.o.Now(), l.day()
	var touched []int64
	err = l.db.Write(ctx, func(tx *store.Tx) error {
		changed = 0
		total, tokens := delta{}, make(map[int64]delta)
		for _, m := range todo {
			var before Class
			if err := tx.QueryRow(sqlLearned, scope, m.id).Scan((*string)(&before)); err != nil && !errors.Is(err, store.ErrNoRows) {
				return err
			}
			if before == class {
				continue
			}
			changed++
			total.add(before, -1)
			total.add(class, 1)
			for _, id := range m.tokens {
				d := tokens[id]
				d.add(before, -1)
				d.add(class, 1)
				tokens[id] = d
			}
			var err error
			if class == "" {
				_, err = tx.Exec(sqlUnnote, scope, m.id)
			} else {
				_, err = tx.Exec(sqlNote, scope, m.id, string(class), now)
			}
			if err != nil {
				return err
			}
		}
		if changed == 0 {
			return nil
		}
		touched = slices.Sorted(maps.Keys(tokens)) // in one order, so that two nodes never wait for each other
		if _, err := tx.Exec(sqlTotal, scope, total.spam, total.ham); err != nil {
			return err
		}
		if _, err := tx.Exec(sqlFloor, scope); err != nil {
			return err
		}
		return writeCounts(tx, scope, touched, tokens, day)
	})
	if err != nil {
		return 0, fmt.Errorf("learn: %w", err)
	}
	if changed > 0 {
		l.cache.drop(scope, touched)
		l.db.Notify(topic)
	}
	return changed, nil
}

// writeCounts changes the counts of tokens. What falls to nothing goes: a message may be forgotten after its tokens were removed by
// age, so counts are kept from falling below.
func writeCounts(tx *store.Tx, scope string, ids []int64, tokens map[int64]delta, day any) error {
	var less []int64
	for _, id := range ids {
		if d := tokens[id]; d.spam < 0 || d.ham < 0 {
			less = append(less, id)
		}
	}
	for rest := ids; len(rest) > 0; {
		n := 1
		for _, size := range rowSizes {
			if size <= len(rest) {
				n = size
				break
			}
		}
		args := make([]any, 0, 5*n)
		for _, id := range rest[:n] {
			args = append(args, id, scope, tokens[id].spam, tokens[id].ham, day)
		}
		if _, err := tx.Exec(sqlCountHead+sqlCountRow+strings.Repeat(", "+sqlCountRow, n-1)+sqlCountTail, args...); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return inPieces(less, func(list string, args []any) error {
		if _, err := tx.Exec(sqlFloorTokens+list+`) AND scope = ?`, append(args, scope)...); err != nil {
			return err
		}
		_, err := tx.Exec(sqlEmptyTokens+list+`) AND scope = ? AND spam = 0 AND ham = 0`, append(args, scope)...)
		return err
	})
}

// Erase removes everything that a scope has learned, how its senders scored and how they behaved: its customer is gone.
func (l *Ledger) Erase(ctx context.Context, scope string) error {
	if scope == Base {
		return fmt.Errorf("%w: the base is not a customer's", ErrInvalid)
	}
	err := l.db.Write(ctx, func(tx *store.Tx) error {
		for _, statement := range []string{sqlEraseMessages, sqlEraseScope, sqlEraseSenders} {
			if _, err := tx.Exec(statement, scope); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = l.eraseBehaviour(ctx, scope)
	}
	for err == nil {
		var ids []int64
		if ids, err = l.ids(ctx, sqlScopeTokens, scope, cleanRows); err != nil || len(ids) == 0 {
			break
		}
		err = l.dropTokens(ctx, scope, ids)
	}
	l.cache.clear()
	l.db.Notify(topic)
	if err != nil {
		return fmt.Errorf("erase experience of %s: %w", scope, err)
	}
	return nil
}

// Totals returns how many messages a scope alone has learned.
func (l *Ledger) Totals(ctx context.Context, scope string) (spam, ham int64, err error) {
	sum, own, err := l.totals(ctx, scope)
	if err != nil {
		return 0, 0, fmt.Errorf("learn: %w", err)
	}
	if scope == Base {
		own = sum
	}
	return own.spam, own.ham, nil
}
