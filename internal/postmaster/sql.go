package postmaster

import (
	"net/netip"

	"postern/internal/store"
)

// cleanPiece is how many rows are removed at once.
const cleanPiece = 2000

const (
	rowColumns = `ip, start, ended, rcpt, data, recipients, colour, complaint, below, trap_start, trap_end, traps, helo, sender, comments, source, seen`

	// sqlRowsOfDay are the rows of an address on a day, and the one of another day that begins at a time: two questions, because SQLite answers one with OR by reading
	// all rows of the address.
	sqlRowsOfDay = `SELECT ` + rowColumns + ` FROM postmaster_snds WHERE ip = ? AND day = ? UNION ALL SELECT ` + rowColumns + ` FROM postmaster_snds WHERE ip = ? AND start = ? AND day <> ?`
	sqlDropRow   = `DELETE FROM postmaster_snds WHERE ip = ? AND start = ?`
	sqlPutRow    = `INSERT INTO postmaster_snds (ip, start, ended, day, rcpt, data, recipients, colour, complaint, below, trap_start, trap_end, traps, helo, sender, comments, source, seen)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (ip, start) DO UPDATE SET ended = excluded.ended, day = excluded.day, rcpt = excluded.rcpt, data = excluded.data, recipients = excluded.recipients, colour = excluded.colour,
 complaint = excluded.complaint, below = excluded.below, trap_start = excluded.trap_start, trap_end = excluded.trap_end, traps = excluded.traps, helo = excluded.helo,
 sender = excluded.sender, comments = excluded.comments, source = excluded.source, seen = excluded.seen`
	sqlTrend  = `SELECT ` + rowColumns + ` FROM postmaster_snds WHERE ip = ? AND day >= ? AND day <= ? ORDER BY start`
	sqlSpan   = `SELECT ` + rowColumns + ` FROM postmaster_snds WHERE day >= ? AND day <= ? ORDER BY day, ip, start LIMIT ?`
	sqlSheets = `SELECT day, packed, cells FROM postmaster_sheet WHERE day >= ? AND day <= ? ORDER BY day`
	sqlSheet  = `SELECT packed, cells FROM postmaster_sheet WHERE day = ? FOR UPDATE`
	// sqlPutSheet writes a sheet even where nothing of it changes: PostgreSQL then sees that two transactions are about the same day.
	sqlPutSheet     = `INSERT INTO postmaster_sheet (day, packed, cells) VALUES (?, ?, ?) ON CONFLICT (day) DO UPDATE SET packed = excluded.packed, cells = excluded.cells`
	sqlUnpacked     = `SELECT day FROM postmaster_sheet WHERE packed = 0 ORDER BY day DESC LIMIT 1`
	sqlUnpackSheets = `UPDATE postmaster_sheet SET packed = 0, cells = ? WHERE day < ? AND packed = 1`
	sqlDropSheets   = `DELETE FROM postmaster_sheet WHERE day < ?`
	sqlHeatDay      = `SELECT ip, day, recipients, colour, complaint, below, traps FROM postmaster_snds WHERE day = ? ORDER BY day, ip, start`
	sqlAny          = `SELECT ip FROM postmaster_snds LIMIT 1`
	sqlOldRows      = `DELETE FROM postmaster_snds WHERE (ip, start) IN (SELECT ip, start FROM postmaster_snds WHERE day < ? LIMIT 2000)`

	stateColumns = `scope, first, last, state, reason, since, seen`
	sqlStates    = `SELECT ` + stateColumns + ` FROM postmaster_state ORDER BY since DESC, first`
	sqlStatesOf  = `SELECT ` + stateColumns + ` FROM postmaster_state WHERE scope = ?`
	sqlPutState  = `INSERT INTO postmaster_state (` + stateColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (scope, first, last, state) DO UPDATE SET reason = excluded.reason, seen = excluded.seen`
	sqlDropState = `DELETE FROM postmaster_state WHERE scope = ? AND first = ? AND last = ? AND state = ?`
	sqlPutEvent  = `INSERT INTO postmaster_event (at, scope, first, last, state, began, reason) VALUES (?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (at, scope, first, last, state, began) DO NOTHING`
	sqlEvents    = `SELECT at, scope, first, last, state, began, reason FROM postmaster_event ORDER BY at DESC, first LIMIT ?`
	sqlOldEvents = `DELETE FROM postmaster_event WHERE (at, scope, first, last, state, began) IN
 (SELECT at, scope, first, last, state, began FROM postmaster_event WHERE at < ? LIMIT 2000)`
	sqlStatesCame = `INSERT INTO postmaster_source (name, mark, begun, tried, worked, failing, fails, fault, next, rows, states, expires) VALUES (?, '', 0, 0, 0, 0, 0, '', 0, 0, ?, 0)
 ON CONFLICT (name) DO UPDATE SET states = excluded.states`

	sourceColumns = `name, mark, begun, tried, worked, failing, fails, fault, next, rows, states, expires`
	sqlSources    = `SELECT ` + sourceColumns + ` FROM postmaster_source ORDER BY name`
	sqlSource     = `SELECT ` + sourceColumns + ` FROM postmaster_source WHERE name = ?`
	sqlPutSource  = `INSERT INTO postmaster_source (` + sourceColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (name) DO UPDATE SET mark = excluded.mark, begun = excluded.begun, tried = excluded.tried, worked = excluded.worked, failing = excluded.failing, fails = excluded.fails,
 fault = excluded.fault, next = excluded.next, rows = excluded.rows, states = excluded.states, expires = excluded.expires`
	sqlDropSource = `DELETE FROM postmaster_source WHERE name = ?`

	sqlTakeLease = `INSERT INTO postmaster_lease (name, node, until) VALUES ('fetch', ?, ?)
 ON CONFLICT (name) DO UPDATE SET node = excluded.node, until = excluded.until WHERE postmaster_lease.node = excluded.node OR postmaster_lease.until < ?`
	sqlLease    = `SELECT node, until FROM postmaster_lease WHERE name = 'fetch'`
	sqlPutGrant = `INSERT INTO postmaster_grant (id, sealed, made, made_by, renewed, expires) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed, made = excluded.made, made_by = excluded.made_by, renewed = excluded.renewed, expires = excluded.expires`
	sqlGrant      = `SELECT sealed, made, made_by, renewed, expires FROM postmaster_grant WHERE id = ?`
	sqlDropGrant  = `DELETE FROM postmaster_grant WHERE id = ?`
	sqlOldSignIns = `DELETE FROM postmaster_grant WHERE id <> 'snds' AND made < ?`

	sqlPutFigure = `INSERT INTO postmaster_figure (domain, day, metric, value, seen) VALUES (?, ?, ?, ?, ?)
 ON CONFLICT (domain, day, metric) DO UPDATE SET value = excluded.value, seen = excluded.seen WHERE postmaster_figure.value <> excluded.value`
	sqlFigures   = `SELECT domain, day, metric, value FROM postmaster_figure WHERE day >= ? AND day <= ? ORDER BY domain, day`
	sqlFiguresOf = `SELECT domain, day, metric, value FROM postmaster_figure WHERE domain = ? AND day >= ? AND day <= ? ORDER BY day, metric`
	// sqlFiguresOfAll and sqlDemandsOfAll take as many domains as marks stand for %s. All days are read and not only the last of each metric, which makes PostgreSQL
	// read the whole table.
	sqlFiguresOfAll = `SELECT domain, day, metric, value FROM postmaster_figure WHERE domain IN (%s) AND day >= ? AND day <= ? AND metric NOT LIKE 'loop %%' ORDER BY domain, day`
	sqlDemandsOfAll = `SELECT domain, demand, state, reason, since, seen FROM postmaster_demand WHERE domain IN (%s) ORDER BY domain, demand`
	// sqlDomains goes from domain to domain: there are hundreds of figures of each.
	sqlDomains = `WITH RECURSIVE d(domain) AS (SELECT min(domain) FROM postmaster_figure UNION ALL SELECT (SELECT min(f.domain) FROM postmaster_figure AS f WHERE f.domain > d.domain) FROM d WHERE d.domain IS NOT NULL)
 SELECT domain FROM d WHERE domain IS NOT NULL UNION SELECT domain FROM postmaster_demand ORDER BY domain`
	sqlOldFigures = `DELETE FROM postmaster_figure WHERE (domain, day, metric) IN (SELECT domain, day, metric FROM postmaster_figure WHERE day < ? LIMIT 2000)`
	sqlDemands    = `SELECT domain, demand, state, reason, since, seen FROM postmaster_demand ORDER BY domain, demand`
	sqlDemandsOf  = `SELECT domain, demand, state, reason, since, seen FROM postmaster_demand WHERE domain = ? ORDER BY demand`
	sqlPutDemand  = `INSERT INTO postmaster_demand (domain, demand, state, reason, since, seen) VALUES (?, ?, ?, ?, ?, ?)
 ON CONFLICT (domain, demand) DO UPDATE SET since = CASE WHEN postmaster_demand.state = excluded.state THEN postmaster_demand.since ELSE excluded.since END,
 state = excluded.state, reason = excluded.reason, seen = excluded.seen`
)

// scanRows reads all rows of an answer.
func scanRows(rows *store.Rows) (all []Row, err error) {
	for rows.Next() {
		var r Row
		var ip string
		var rcpt, data, recipients, complaint, traps int64
		var below bool
		if err := rows.Scan(&ip, &r.Start, &r.End, &rcpt, &data, &recipients, (*string)(&r.Filter), &complaint, &below, &r.TrapStart, &r.TrapEnd, &traps, &r.HELO, &r.Sender, &r.Comments,
			&r.Source, &r.Seen); err != nil {
			return nil, err
		}
		if r.IP, err = netip.ParseAddr(ip); err != nil {
			return nil, err
		}
		r.RCPT, r.DATA, r.Recipients, r.TrapHits, r.Complaint = numberOf(rcpt), numberOf(data), numberOf(recipients), numberOf(traps), rateOf(complaint, below)
		all = append(all, r)
	}
	return all, rows.Err()
}

func scanStates(rows *store.Rows) (all []State, err error) {
	for rows.Next() {
		var s State
		var first, last string
		if err := rows.Scan(&s.Scope, &first, &last, (*string)(&s.State), &s.Reason, &s.Since, &s.Seen); err != nil {
			return nil, err
		}
		if s.First, err = netip.ParseAddr(first); err != nil {
			return nil, err
		}
		if s.Last, err = netip.ParseAddr(last); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func scanSources(rows *store.Rows) (all []Source, err error) {
	for rows.Next() {
		var s Source
		if err := rows.Scan(&s.Name, &s.mark, &s.Begun, &s.Tried, &s.Worked, &s.Failing, &s.fails, (*string)(&s.Fault), &s.Next, &s.Rows, &s.States, &s.Expires); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// loadSource reads what is known of a source; a source that was never asked is all zero but for its name.
func loadSource(tx *store.Tx, name string) (Source, error) {
	all, err := scanSources(tx.Query(sqlSource, name))
	if err != nil || len(all) == 0 {
		return Source{Name: name}, err
	}
	return all[0], nil
}

func storeSource(tx *store.Tx, s Source) error {
	_, err := tx.Exec(sqlPutSource, s.Name, s.mark, micros(s.Begun), micros(s.Tried), micros(s.Worked), micros(s.Failing), s.fails, string(s.Fault), micros(s.Next), s.Rows, micros(s.States),
		micros(s.Expires))
	return err
}
