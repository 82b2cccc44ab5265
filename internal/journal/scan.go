package journal

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"postern/internal/mail"
	"postern/internal/store"
)

// Scan is how many facts one page of a search compares at most with what no index answers: text, kinds, and the customer of an address. Facts
// of one customer lie far from each other and cost most: 2.5 µs of CPU each.
const Scan = 10_000

// rareKinds is the condition of the index of rare kinds, word by word.
const rareKinds = `kind IN ('asked', 'complaint', 'dropped', 'lifted', 'listed', 'recovered', 'released', 'retested', 'tuned', 'unread')`

// rare reports whether that index holds all facts of these kinds.
func rare(kinds []Kind) bool {
	return len(kinds) > 0 && len(kinds) <= 5 && !slices.ContainsFunc(kinds, func(k Kind) bool { return !strings.Contains(rareKinds, "'"+string(k)+"'") })
}

// mark is a place in the order of facts: the newest first.
type mark struct{ at, id int64 }

// cursor is the mark as a Query.Cursor: what follows is older.
func (m mark) cursor() string { return strconv.FormatInt(m.at, 36) + "." + strconv.FormatInt(m.id, 36) }

// walk is one way through the facts: those of which an index knows the condition, the newest first.
type walk struct {
	condition string // on the column that leads the index; "" all facts, by time
	value     any
	from      string // the same for counting: the condition that conditions has already
}

// walks are the ways on which a query is answered, and whether they must be bounded: facts on them may not match.
func (q *Query) walks() (all []walk, bounded bool) {
	_, notID := mail.ParseQueueID(strings.TrimSpace(q.Text))
	text := q.Text != "" && notID != nil
	switch {
	case q.Address != "":
		// One way per column that may hold the address: each walks its own index and stops at the limit.
		for _, key := range []string{"recipient_key", "reverse_key", "header_key"} {
			all = append(all, walk{condition: key + " = ?", value: foldKey(q.Address), from: key + " = ?"})
		}
		return all, text || len(q.Kinds) > 0 || q.Customer != ""
	case q.MessageID != "" || q.Text != "" && !text:
		return []walk{{}}, false // few facts, whatever else is asked
	case rare(q.Kinds):
		for _, k := range q.Kinds {
			all = append(all, walk{condition: "kind = ? AND " + rareKinds, value: string(k), from: "kind = ? AND " + rareKinds})
		}
		return all, text || q.Customer != ""
	case q.Customer != "":
		return []walk{{value: q.Customer, from: "customer = ?"}}, text || len(q.Kinds) > 0
	}
	return []walk{{}}, text || len(q.Kinds) > 0
}

// statement is a question to the database.
type statement struct {
	sql  string
	args []any
}

// pages are the questions for one page of facts, one for each way.
func (q *Query) pages(where string, args []any, walks []walk) (all []statement) {
	for _, w := range walks {
		sql, given := where, slices.Clone(args)
		if w.condition != "" {
			sql, given = sql+" AND "+w.condition, append(given, w.value)
		}
		all = append(all, statement{`SELECT ` + readColumns + ` FROM journal_fact WHERE ` + sql + ` ORDER BY at DESC, id DESC LIMIT ?`, append(given, q.Limit+1)})
	}
	return all
}

// ends are the questions where the page must end on each way. They count in the indexes alone.
func (q *Query) ends(walks []walk) (all []statement) {
	for _, w := range walks {
		conditions, args := []string{}, []any{}
		if w.from != "" {
			conditions, args = append(conditions, w.from), append(args, w.value)
		}
		if at, id, ok := parseCursor(q.Cursor); ok {
			conditions, args = append(conditions, "(at, id) < (?, ?)"), append(args, at, id)
		} else if !q.Until.IsZero() {
			conditions, args = append(conditions, "at < ?"), append(args, q.Until)
		}
		if !q.Since.IsZero() {
			conditions, args = append(conditions, "at >= ?"), append(args, q.Since)
		}
		if len(conditions) == 0 {
			conditions = append(conditions, "at > 0")
		}
		all = append(all, statement{`SELECT at, id FROM journal_fact WHERE ` + strings.Join(conditions, " AND ") + ` ORDER BY at DESC, id DESC LIMIT 1 OFFSET ?`, append(args, Scan-1)})
	}
	return all
}

// scanEnd returns the mark at which a page ends because it has passed Scan facts on one of its ways; the zero mark when there are not so many.
func scanEnd(tx *store.Tx, q *Query, walks []walk) (end mark, err error) {
	for _, st := range q.ends(walks) {
		rows := tx.Query(st.sql, st.args...)
		for rows.Next() {
			var m mark
			if err := rows.Scan(&m.at, &m.id); err != nil {
				return mark{}, err
			}
			if m.at > end.at || m.at == end.at && m.id > end.id {
				end = m
			}
		}
		if err := rows.Err(); err != nil {
			return mark{}, err
		}
	}
	return end, nil
}

// mostPages bounds searchOn.
const mostPages = 20

// searchOn searches until a page has facts, at most twenty pages back.
func (j *Journal) searchOn(ctx context.Context, q Query) ([]Fact, error) {
	for range mostPages {
		found, err := j.Look(ctx, q)
		if err != nil || len(found.Facts) > 0 || found.Next == "" {
			return found.Facts, err
		}
		q.Cursor = found.Next
	}
	return nil, nil
}
