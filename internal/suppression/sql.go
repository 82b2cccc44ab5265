package suppression

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

const (
	columns = `customer, domain, local, reason, since, until, actor, queues, heard, code, enhanced, answer, host, provider, rule, phase, note, hits, hit`

	sqlInForce = `SELECT ` + columns + ` FROM suppression_entry
 WHERE domain = ? AND (local = ? OR local = '') AND (customer = ? OR customer = '') AND (until = 0 OR until > ?)`
	sqlFind  = `SELECT ` + columns + ` FROM suppression_entry WHERE domain = ? AND (local = ? OR local = '') ORDER BY customer, domain, local`
	sqlEntry = `SELECT ` + columns + ` FROM suppression_entry WHERE customer = ? AND domain = ? AND local = ? FOR UPDATE`
	sqlPut   = `INSERT INTO suppression_entry (` + columns + `, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (customer, domain, local) DO UPDATE SET reason = excluded.reason, since = excluded.since, until = excluded.until, actor = excluded.actor,
 queues = excluded.queues, heard = excluded.heard, code = excluded.code, enhanced = excluded.enhanced, answer = excluded.answer, host = excluded.host,
 provider = excluded.provider, rule = excluded.rule, phase = excluded.phase, note = excluded.note, hits = excluded.hits, hit = excluded.hit,
 changed = excluded.changed`
	sqlDelete  = `DELETE FROM suppression_entry WHERE customer = ? AND domain = ? AND local = ?`
	sqlHit     = `UPDATE suppression_entry SET hits = hits + ?, hit = ? WHERE customer = ? AND domain = ? AND local = ?`
	sqlSharing = `SELECT count(*) FROM suppression_entry WHERE domain = ? AND local = ? AND customer <> '' AND reason = ? AND actor = ?
 AND (until = 0 OR until > ?)`

	sqlAllAddresses = `SELECT customer, domain, local FROM suppression_entry`
	sqlNewAddresses = `SELECT customer, domain, local FROM suppression_entry WHERE changed >= ?`
	sqlAllStruck    = `SELECT DISTINCT '', domain, local FROM suppression_strike`
	sqlNewStruck    = `SELECT DISTINCT '', domain, local FROM suppression_strike WHERE heard >= ?`

	strikeColumns = `customer, domain, local, reason, day, queue, heard, code, enhanced, answer, host, provider, rule, phase`
	sqlStrikes    = `SELECT ` + strikeColumns + ` FROM suppression_strike WHERE customer = ? AND domain = ? AND local = ? AND reason = ? AND heard >= ? ORDER BY heard`
	sqlStrike     = `INSERT INTO suppression_strike (` + strikeColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (customer, domain, local, reason, day) DO NOTHING`
	sqlUnstrike     = `DELETE FROM suppression_strike WHERE customer = ? AND domain = ? AND local = ?`
	sqlUnstrikeKind = `DELETE FROM suppression_strike WHERE customer = ? AND domain = ? AND local = ? AND reason = ? AND day = ?`
	sqlForgive      = `DELETE FROM suppression_strike WHERE domain = ? AND (local = ? OR local = '')`
	sqlNextStrikes  = `SELECT ` + strikeColumns + ` FROM suppression_strike WHERE (customer, domain, local, reason, day) > (?, ?, ?, ?, ?)
 ORDER BY customer, domain, local, reason, day LIMIT ?`

	liftColumns = `customer, domain, local, reason, since, maker, queues, rule, answer, at, actor, why`
	sqlLifted   = `SELECT queues, at FROM suppression_lift WHERE domain = ? AND local = ? AND (customer = ? OR customer = '')`
	sqlLift     = `INSERT INTO suppression_lift (id, ` + liftColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlLifts    = `SELECT ` + liftColumns + ` FROM suppression_lift WHERE domain = ? AND (local = ? OR local = '') ORDER BY at DESC, id LIMIT ?`

	sqlNextRuled = `SELECT ` + columns + ` FROM suppression_entry WHERE (customer, domain, local) > (?, ?, ?) AND actor = ?
 ORDER BY customer, domain, local LIMIT ?`
	sqlRecent = `SELECT ` + columns + ` FROM suppression_entry WHERE since >= ? AND actor = ? AND reason = ? ORDER BY since LIMIT ?`

	sqlEnded = `DELETE FROM suppression_entry WHERE (customer, domain, local) IN
 (SELECT customer, domain, local FROM suppression_entry WHERE until > 0 AND until < ? LIMIT ?)`
	sqlOldStrikes = `DELETE FROM suppression_strike WHERE (customer, domain, local, reason, day) IN
 (SELECT customer, domain, local, reason, day FROM suppression_strike WHERE heard < ? LIMIT ?)`
	sqlEraseEntries = `DELETE FROM suppression_entry WHERE (customer, domain, local) IN
 (SELECT customer, domain, local FROM suppression_entry WHERE customer = ? LIMIT ?)`
	sqlEraseStrikes = `DELETE FROM suppression_strike WHERE (customer, domain, local, reason, day) IN
 (SELECT customer, domain, local, reason, day FROM suppression_strike WHERE customer = ? LIMIT ?)`
	sqlEraseLifts = `DELETE FROM suppression_lift WHERE id IN (SELECT id FROM suppression_lift WHERE customer = ? LIMIT ?)`
	sqlOldLifts   = `DELETE FROM suppression_lift WHERE id IN (SELECT id FROM suppression_lift WHERE at < ? LIMIT ?)`
)

func (k hitKey) compare(o hitKey) int {
	return cmp.Or(strings.Compare(k.customer, o.customer), strings.Compare(k.domain, o.domain), strings.Compare(k.local, o.local))
}

func scanEntry(rows *store.Rows) (Entry, error) {
	e, _, err := scanRow(rows)
	return e, err
}

// scanEntries reads all entries of an answer.
func scanEntries(rows *store.Rows) (all []Entry, err error) {
	for rows.Next() {
		e, err := scanEntry(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// scanRow reads an entry with the messages behind it.
func scanRow(rows *store.Rows) (e Entry, queues []string, err error) {
	var domain, all string
	v := &e.Evidence
	err = rows.Scan(&e.Customer, &domain, &e.Address.Local, (*string)(&e.Reason), &e.Since, &e.Until, &e.By, &all, &v.At, &v.Code, &v.Enhanced, &v.Text, &v.Host,
		&v.Provider, &v.Rule, &v.Phase, &e.Note, &e.Hits, &e.LastHit)
	e.Address.Domain = mail.Domain(domain)
	if queues = strings.Fields(all); len(queues) > 0 {
		v.QueueID = mail.QueueID(queues[0])
	}
	return e, queues, err
}

// storeEntry writes an entry.
func storeEntry(tx *store.Tx, e Entry, queues []string, now time.Time) error {
	v := e.Evidence
	_, err := tx.Exec(sqlPut, e.Customer, string(e.Address.Domain), e.Address.Local, string(e.Reason), e.Since, e.Until, e.By, strings.Join(queues, " "), v.At, v.Code,
		v.Enhanced, v.Text, v.Host, v.Provider, v.Rule, v.Phase, e.Note, e.Hits, e.LastHit, now)
	return err
}

// loadEntry reads one entry in a transaction that may change it.
func loadEntry(tx *store.Tx, customer string, a mail.Address) (e Entry, queues []string, found bool, err error) {
	rows := tx.Query(sqlEntry, customer, string(a.Domain), a.Local)
	for rows.Next() {
		if e, queues, err = scanRow(rows); err != nil {
			return e, queues, false, err
		}
		found = true
	}
	return e, queues, found, rows.Err()
}

// normal is the form in which addresses are kept: RFC 5321 2.4 leaves the case of the local part to its owner, and no receiver that people
// write to tells two people apart by it.
func normal(a mail.Address) mail.Address {
	return mail.Address{Local: strings.ToLower(a.Local), Domain: mail.Domain(strings.ToLower(string(a.Domain)))}
}

// ParseAddress reads an address, or a whole domain written "@example.org" or "example.org".
func ParseAddress(text string) (mail.Address, error) {
	text = strings.TrimSpace(text)
	if d, ok := strings.CutPrefix(text, "@"); ok || !strings.Contains(text, "@") {
		domain, err := mail.ParseDomain(d)
		if err != nil || !ok && !strings.Contains(d, ".") {
			return mail.Address{}, fmt.Errorf("%w: %q is neither an address nor a domain", ErrInvalid, cut(text, 80))
		}
		return mail.Address{Domain: domain}, nil
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, fmt.Errorf("%w: %q is no address", ErrInvalid, cut(text, 80))
	}
	return normal(a), nil
}

// FormatAddress is the form that ParseAddress reads: a whole domain is "@example.org".
func FormatAddress(a mail.Address) string {
	if a.Local == "" {
		return "@" + string(a.Domain)
	}
	return a.String()
}

// cut bounds a text without breaking a character.
func cut(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

// line makes one line of a text from outside.
func line(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, cut(s, most))
	return strings.TrimSpace(s)
}

// micros is a time as the database keeps it.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}
