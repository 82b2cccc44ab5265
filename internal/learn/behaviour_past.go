package learn

import (
	"context"
	"fmt"
	"slices"
	"time"

	"postern/internal/store"
)

// Strangers is how much of some mail went to recipients whom the customer never wrote to before, in a few days and before them.
type Strangers struct {
	Recipients int     // of messages that were tested in the days, held ones too
	FirstTime  int     // of these, never written to before
	Usual      float64 // the share of such recipients in the history before, 0..1; -1: too short a history to say
}

// StrangersOf is that of a customer and of his logins.
type StrangersOf struct {
	All     Strangers
	Logins  map[string]Strangers // by user name, only those that were asked for and have sent
	Nobody  Strangers            // without a login
	Partial bool                 // the customer has more identities than are read: the figures are of some of them
}

// mostOfScope bounds the identities of one customer that one question reads, with one row for each node.
const mostOfScope = 5000

// StrangersOf sums up whom a customer wrote to on the days (UTC, whole ones) from a time to another, of those kept: the last 92. What was counted in the last few seconds may be
// missing. It reads the rows of the customer, and none else. The error is the database's.
func (l *Ledger) StrangersOf(ctx context.Context, customer string, logins []string, from, to time.Time) (out StrangersOf, err error) {
	type row struct {
		key   digest
		what  standing
		place digest
		tally tally
	}
	var all []row
	err = l.db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows := tx.Query(sqlOfScope, customer, mostOfScope+1)
		for rows.Next() {
			var key, state []byte
			var node string
			if err := rows.Scan(&key, &node, &state); err != nil {
				return err
			}
			t, _, rest, err := decodeState(state)
			if err != nil {
				continue // it begins anew when it sends; take says so
			}
			r := row{key: digestOf(key), tally: t}
			r.what, r.place = decodeStanding(rest)
			all = append(all, r)
		}
		return rows.Err()
	})
	if err != nil {
		return out, fmt.Errorf("behaviour: %w", err)
	}
	if out.Partial = len(all) > mostOfScope; out.Partial {
		all = all[:mostOfScope]
	}
	pick := func(wanted func(row) bool) Strangers {
		var parts []*tally
		for i := range all {
			if wanted(all[i]) {
				parts = append(parts, &all[i].tally)
			}
		}
		return strangersOf(parts, from, to)
	}
	out.All = pick(func(r row) bool { return r.what != ofPlace })
	out.Nobody = pick(func(r row) bool { return r.what == ofNobody })
	out.Logins = map[string]Strangers{}
	for _, login := range slices.Compact(slices.Sorted(slices.Values(logins))) {
		id := Identity{Customer: customer, Kind: ByLogin, Credential: login}
		own, place := id.key(), id.newAt()
		if s := pick(func(r row) bool { return r.key == own || r.what == ofLoginScript && r.place == place }); s.Recipients > 0 {
			out.Logins[login] = s
		}
	}
	return out, nil
}

// strangersOf sums up the days of some tallies.
func strangersOf(parts []*tally, from, to time.Time) (s Strangers) {
	first, last := slotOf(from, 24*time.Hour), slotOf(to, 24*time.Hour)
	for _, t := range parts {
		for i := range t.days {
			if d := &t.days[i]; d.slot >= first && d.slot <= last {
				s.Recipients += int(d.n[cRecipients])
				s.FirstTime += int(d.n[cFirstTime])
			}
		}
	}
	s.Usual = -1
	if past := usual(first, parts); past.Established {
		s.Usual = past.UsualShare
	}
	return s
}
