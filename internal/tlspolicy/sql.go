package tlspolicy

import (
	"context"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

const (
	sqlLoad = `SELECT id, policy, fetched, expires, used FROM tlspolicy_sts WHERE domain = ?`
	sqlSave = `INSERT INTO tlspolicy_sts (domain, id, policy, fetched, expires, used) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain) DO UPDATE SET id = excluded.id, policy = excluded.policy, fetched = excluded.fetched, expires = excluded.expires,
 used = excluded.used`
	sqlUsed   = `UPDATE tlspolicy_sts SET used = ? WHERE domain = ?`
	sqlDue    = `SELECT domain FROM tlspolicy_sts WHERE fetched < ? AND used >= ? AND expires > ? ORDER BY expires LIMIT ?`
	sqlForget = `DELETE FROM tlspolicy_sts WHERE expires < ?`

	sqlCount = `INSERT INTO tlspolicy_result (day, domain, policy_key, failure, egress, exchanger, addr, reason, policy, sessions)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (day, domain, policy_key, failure, egress, exchanger, addr, reason) DO UPDATE SET sessions = tlspolicy_result.sessions + excluded.sessions`
	sqlDomains = `SELECT DISTINCT day, domain FROM tlspolicy_result WHERE day < ? ORDER BY day, domain LIMIT ?`
	sqlResults = `SELECT policy_key, failure, egress, exchanger, addr, reason, policy, sessions FROM tlspolicy_result WHERE day = ? AND domain = ?
 ORDER BY policy_key, failure, egress, exchanger, addr, reason`
	sqlDropResults = `DELETE FROM tlspolicy_result WHERE day = ? AND domain = ?`
	sqlOldResults  = `DELETE FROM tlspolicy_result WHERE day < ?`

	sqlMade = `INSERT INTO tlspolicy_report (day, domain, id, uris, body, tries, next, made, error) VALUES (?, ?, ?, ?, ?, 0, ?, ?, '')
 ON CONFLICT (day, domain) DO NOTHING`
	sqlReady      = `SELECT day, domain, id, uris, body, tries, made FROM tlspolicy_report WHERE next > 0 AND next <= ? ORDER BY next LIMIT ?`
	sqlTake       = `UPDATE tlspolicy_report SET next = ? WHERE day = ? AND domain = ? AND next > 0 AND next <= ?`
	sqlTried      = `UPDATE tlspolicy_report SET uris = ?, tries = ?, next = ?, error = ? WHERE day = ? AND domain = ?`
	sqlOldReports = `DELETE FROM tlspolicy_report WHERE made < ?`
)

// stsRow is a row of tlspolicy_sts.
type stsRow struct {
	domain                 mail.Domain
	id                     string
	text                   []byte
	policy                 *STSPolicy
	fetched, expires, used time.Time
}

// micros is a time as the tables hold it.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// load reads the policy of a domain; store.ErrNoRows when the table has none. A text that can no longer be read counts as none.
func (b *Book) load(ctx context.Context, d mail.Domain) (*stsRow, error) {
	row := &stsRow{domain: d}
	err := b.o.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(sqlLoad, string(d)).Scan(&row.id, &row.text, &row.fetched, &row.expires, &row.used)
	})
	if err != nil {
		return nil, err
	}
	p, err := ParseSTSPolicy(row.text)
	if err != nil {
		b.o.Logger.Warn("kept MTA-STS policy cannot be read", "rcpt_domain", d, "error", err)
		return nil, nil
	}
	row.policy = &p
	return row, nil
}

func (b *Book) save(ctx context.Context, r stsRow) error {
	return b.o.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlSave, string(r.domain), r.id, r.text, micros(r.fetched), micros(r.expires), micros(r.used))
		return err
	})
}

// due are the domains whose policies should be refreshed; those that expired a day ago are forgotten.
func (b *Book) due(ctx context.Context, now time.Time) (out []mail.Domain, err error) {
	err = b.o.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlForget, micros(now.Add(-24*time.Hour)))
		return err
	})
	if err != nil {
		return nil, err
	}
	err = b.o.DB.Read(ctx, func(tx *store.Tx) error {
		out = nil
		rows := tx.Query(sqlDue, micros(now.Add(-refreshAfter)), micros(now.Add(-refreshFor)), micros(now), refreshBatch)
		for rows.Next() {
			var d string
			if err := rows.Scan(&d); err != nil {
				return err
			}
			out = append(out, mail.Domain(d))
		}
		return rows.Err()
	})
	return out, err
}
