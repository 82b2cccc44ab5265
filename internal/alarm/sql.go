package alarm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"postern/internal/store"
)

// lockStanding reads what stands, and nobody clears it until the transaction ends.
func lockStanding(tx *store.Tx) (out []standing, err error) {
	rows := tx.Query(`SELECT key, severity, code, args, since, told FROM alarm_raised ORDER BY since, key FOR UPDATE`)
	for rows.Next() {
		var s standing
		var severity, list string
		var since, told int64
		if err := rows.Scan(&s.Key, &severity, &s.Code, &list, &since, &told); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(list), &s.Args); err != nil {
			return nil, fmt.Errorf("alarm %q: %w", s.Key, err)
		}
		s.Severity, s.Since, s.told = Severity(severity), time.UnixMicro(since), time.UnixMicro(told)
		out = append(out, s)
	}
	return out, rows.Err()
}

// writeStanding makes rows follow memory; nil: the alarm is over.
func writeStanding(tx *store.Tx, changed map[string]*standing) error {
	for key, s := range changed {
		if s == nil {
			if err := removeStanding(tx, key); err != nil {
				return err
			}
			continue
		}
		list, err := json.Marshal(s.Args)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO alarm_raised (key, severity, code, args, since, told) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (key) DO UPDATE SET severity = excluded.severity, code = excluded.code, args = excluded.args, since = excluded.since, told = excluded.told`,
			key, string(s.Severity), s.Code, string(list), s.Since.UnixMicro(), s.told.UnixMicro()); err != nil {
			return err
		}
	}
	return nil
}

func removeStanding(tx *store.Tx, key string) error {
	_, err := tx.Exec(`DELETE FROM alarm_raised WHERE key = ?`, key)
	return err
}

func writePost(ctx context.Context, db *store.DB, hook string, w waiting) error {
	return db.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO alarm_post (hook, id, body, made, attempts, next_at) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (hook, id) DO UPDATE SET attempts = excluded.attempts, next_at = excluded.next_at`,
			hook, w.id, w.body, w.made.UnixMicro(), w.attempts, w.next.UnixMicro())
		return err
	})
}

func removePost(ctx context.Context, db *store.DB, hook, id string) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM alarm_post WHERE hook = ? AND id = ?`, hook, id)
		return err
	})
}

func readPosts(ctx context.Context, db *store.DB, hook string) (out []waiting, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(`SELECT id, body, made, attempts, next_at FROM alarm_post WHERE hook = ? ORDER BY made`, hook)
		for rows.Next() {
			var w waiting
			var made, next int64
			if err := rows.Scan(&w.id, &w.body, &made, &w.attempts, &next); err != nil {
				return err
			}
			w.made, w.next = time.UnixMicro(made), time.UnixMicro(next)
			out = append(out, w)
		}
		return rows.Err()
	})
	return out, err
}
