package spool

import (
	"slices"
	"strings"

	"postern/internal/mail"
	"postern/internal/store"
)

// owned ends a statement that changes a message of this node: it matches nothing once another node has declared this one
// dead (the epoch moved) or has adopted the message. Arguments: node, node, epoch.
const owned = ` AND node = ? AND EXISTS (SELECT 1 FROM spool_node WHERE node = ? AND epoch = ?)`

const (
	sqlPut = `INSERT INTO spool_message
 (id, node, held, next_at, size, score, customer, domains, hold_reason, beside, hash, meta, verdict, body, loose)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	sqlHash = `SELECT hash, beside FROM spool_message WHERE id = ?`

	columns    = `id, node, held, next_at, size, score, customer, hold_reason, beside, hash, meta, verdict`
	sqlMessage = `SELECT ` + columns + ` FROM spool_message WHERE id IN `
	sqlTouched = `SELECT id, idx, state, attempts, next_at, first_at, last_at, code, enhanced, text, host, delay_notified, lane, wait
 FROM spool_recipient WHERE id IN `
	sqlBody = `SELECT beside, hash, size, body FROM spool_message WHERE id = ?`

	sqlRemoveOwned   = `DELETE FROM spool_message WHERE id = ?` + owned
	sqlRemoveOwnedIn = `DELETE FROM spool_message WHERE id IN ` // list, owned, RETURNING id
	sqlForget        = `DELETE FROM spool_recipient WHERE id = ?`
	sqlRemove        = `DELETE FROM spool_message WHERE id = ?`
	sqlNext          = `UPDATE spool_message SET loose = ?, next_at = CASE WHEN held = 0 THEN ? ELSE next_at END WHERE id = ?` + owned
	sqlTouch         = `INSERT INTO spool_recipient
 (id, idx, state, attempts, next_at, first_at, last_at, code, enhanced, text, host, delay_notified, lane, wait, customer)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id, idx) DO UPDATE SET
 state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at, first_at = excluded.first_at,
 last_at = excluded.last_at, code = excluded.code, enhanced = excluded.enhanced, text = excluded.text,
 host = excluded.host, delay_notified = excluded.delay_notified, lane = excluded.lane, wait = excluded.wait,
 customer = excluded.customer`

	sqlWhose = `SELECT node, held, beside FROM spool_message WHERE id = ?`
	sqlHold  = `UPDATE spool_message SET held = 1, hold_reason = ?, next_at = ?, loose = loose +
 (SELECT count(*) FROM spool_recipient r WHERE r.id = spool_message.id AND r.lane <> '') WHERE id = ?`
	sqlUnpark  = `UPDATE spool_recipient SET lane = '', wait = '' WHERE id = ? AND lane <> ''`
	sqlExtend  = `UPDATE spool_message SET next_at = ? WHERE id = ? AND held = 1`
	sqlRelease = `UPDATE spool_message SET held = 0, hold_reason = '', next_at = ? WHERE id = ?`
	sqlDueNow  = `UPDATE spool_recipient SET next_at = ? WHERE id = ? AND state = 'queued'`
	sqlRetry   = `UPDATE spool_message SET next_at = ? WHERE id = ? AND held = 0`
	sqlVerdict = `UPDATE spool_message SET score = ?, verdict = ? WHERE id = ?`

	sqlRefill = `SELECT next_at, id FROM spool_message
 WHERE held = 0 AND node = ? AND (next_at, id) > (?, ?) ORDER BY next_at, id LIMIT ?`
	sqlOverdue = `SELECT next_at, id FROM spool_message
 WHERE held = 0 AND node = ? AND next_at <= ? AND (next_at, id) < (?, ?) ORDER BY next_at, id LIMIT ?`
	sqlTooFar   = `SELECT id FROM spool_message WHERE held = 0 AND node = ? AND next_at > ? LIMIT 1000`
	sqlDueHolds = `SELECT id FROM spool_message WHERE held = 1 AND node = ? AND next_at <= ? ORDER BY next_at, id LIMIT ?`
	sqlCounts   = `SELECT held, count(*), CAST(coalesce(sum(size), 0) AS BIGINT), min(id) FROM spool_message GROUP BY held`
	sqlOwnCount = `SELECT count(*) FROM spool_message WHERE held IN (0, 1) AND node = ?`

	sqlJoin = `INSERT INTO spool_node (node, epoch, beats, heartbeat) VALUES (?, 1, 1, ?) ON CONFLICT (node) DO UPDATE SET
 epoch = spool_node.epoch + 1, beats = spool_node.beats + 1, heartbeat = excluded.heartbeat`
	sqlEpoch = `SELECT epoch FROM spool_node WHERE node = ?`
	sqlBeat  = `UPDATE spool_node SET beats = beats + 1, heartbeat = ? WHERE node = ? AND epoch = ?`
	sqlNodes = `SELECT n.node, n.epoch, n.beats FROM spool_node n WHERE n.node <> ?
 AND EXISTS (SELECT 1 FROM spool_message m WHERE m.held IN (0, 1) AND m.node = n.node)`
	sqlBury  = `UPDATE spool_node SET epoch = epoch + 1 WHERE node = ? AND epoch = ? AND beats = ?`
	sqlAdopt = `UPDATE spool_message SET node = ? WHERE id IN
 (SELECT id FROM spool_message WHERE held IN (0, 1) AND node = ? LIMIT 1000)`

	sqlFiles = `SELECT beside FROM spool_message WHERE id IN `
)

// listSizes are the lengths of the lists in statements: few, so that prepared statements are found again.
var listSizes = []int{1, 4, 16, 64, 256}

// inLists calls f with the ids in pieces: the text "(?, ?, ...)" and as many arguments, the last one repeated to fill.
func inLists(ids []mail.QueueID, f func(list string, args []any, piece []mail.QueueID) error) error {
	largest := listSizes[len(listSizes)-1]
	for piece := range slices.Chunk(ids, largest) {
		n := largest
		for _, size := range listSizes {
			if size >= len(piece) {
				n = size
				break
			}
		}
		args := make([]any, n)
		for i := range args {
			args[i] = string(piece[min(i, len(piece)-1)])
		}
		if err := f("(?"+strings.Repeat(", ?", n-1)+")", args, piece); err != nil {
			return err
		}
	}
	return nil
}

// stored is a message as read, with the columns that only the spool needs.
type stored struct {
	loaded
	node string
	next int64 // the column next_at
}

// load reads messages with their recipients; the missing are missing. A description that does not decode yields a
// message without recipients, which the callers set aside as damaged.
func load(tx *store.Tx, ids []mail.QueueID) (map[mail.QueueID]*stored, error) {
	found := make(map[mail.QueueID]*stored, len(ids))
	err := inLists(ids, func(list string, args []any, _ []mail.QueueID) error {
		rows := tx.Query(sqlMessage+list, args...)
		for rows.Next() {
			m := &stored{}
			var meta []byte
			var held int64
			if err := rows.Scan((*string)(&m.msg.ID), &m.node, &held, &m.next, &m.msg.Size, &m.msg.Score, &m.msg.Customer,
				&m.msg.HoldReason, &m.file, &m.hash, &meta, &m.msg.Verdict); err != nil {
				return err
			}
			m.msg.Held = held != 0
			if m.msg.Held {
				m.msg.HoldUntil = fromMicros(m.next)
			}
			if decodeMeta(meta, &m.msg) != nil {
				m.msg.Envelope.Recipients = nil
			}
			m.rcpt = fresh(&m.msg, m.next)
			found[m.msg.ID] = m
		}
		if err := rows.Err(); err != nil {
			return err
		}
		rows = tx.Query(sqlTouched+list, args...)
		for rows.Next() {
			var r Recipient
			var id, state string
			var index, attempts, code, notified, next, first, last int64
			if err := rows.Scan(&id, &index, &state, &attempts, &next, &first, &last, &code, &r.Enhanced, &r.Text, &r.Host,
				&notified, &r.Lane, &r.Wait); err != nil {
				return err
			}
			m := found[mail.QueueID(id)]
			if m == nil || index < 0 || index >= int64(len(m.rcpt)) {
				continue
			}
			m.rows = true
			at := &m.rcpt[index]
			r.Index, r.Recipient = at.Index, at.Recipient
			r.State, r.Attempts, r.Code, r.DelayNotified = State(state), int(attempts), int(code), notified != 0
			r.NextAt, r.First, r.Last = fromMicros(next), fromMicros(first), fromMicros(last)
			if m.msg.Held && !r.State.Final() {
				r.State, r.NextAt = Held, m.msg.HoldUntil
			}
			*at = r
		}
		return rows.Err()
	})
	return found, err
}

// fresh is the recipients of a message before any attempt.
func fresh(m *Message, next int64) []Recipient {
	state := Queued
	if m.Held {
		state = Held
	}
	at := fromMicros(next)
	rcpt := make([]Recipient, len(m.Envelope.Recipients))
	for i := range rcpt {
		rcpt[i] = Recipient{Index: i, Recipient: m.Envelope.Recipients[i], State: state, NextAt: at}
	}
	return rcpt
}
