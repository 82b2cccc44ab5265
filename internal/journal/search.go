package journal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Query selects facts. Zero fields do not restrict; given ones all must match.
type Query struct {
	// Text is part of subject, header From, remote host or answer, whatever the case; or a whole queue ID. Without
	// Address, MessageID, Customer or Since it looks back TextWindow only.
	Text string
	// Address is the whole reverse path, recipient or header From, whatever the case.
	Address string
	// MessageID is the header's, with or without <>.
	MessageID string
	// Customer is account.Customer.ID.
	Customer     string
	Since, Until time.Time // Since <= At < Until
	Kinds        []Kind
	Limit        int    // 1..1000, default 100
	Cursor       string // from the page before
}

// TextWindow is how far a search for mere text looks back: text is compared fact by fact.
const TextWindow = 14 * 24 * time.Hour

// traceLimit bounds Trace: a message to 1,000 recipients that is retried for two days stays below.
const traceLimit = 20_000

// Trace returns the facts about one message in the order of writing, at most 20,000; none when the journal does not know
// it.
func (j *Journal) Trace(ctx context.Context, id mail.QueueID) (facts []Fact, err error) {
	err = j.db.Read(ctx, func(tx *store.Tx) (err error) {
		facts, err = readFacts(tx.Query(sqlTrace, string(id), traceLimit))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", id, err)
	}
	return facts, nil
}

// Found is one page of facts that match a query.
type Found struct {
	Facts []Fact // the newest first
	// Next is the Cursor of the following page; "" after the last one. A page that had to compare more than Scan facts ends early: it may hold
	// fewer facts than asked for, or none, and Next searches further back.
	Next string
	// Looked is how far back this page looked when it ended early; zero when it is full or everything was looked at.
	Looked time.Time
}

// Search returns facts, the newest first, one page at a time; next is the Cursor of the following page, "" after the last one. A page may be
// empty and not the last: see Found.
func (j *Journal) Search(ctx context.Context, q Query) (facts []Fact, next string, err error) {
	found, err := j.Look(ctx, q)
	return found.Facts, found.Next, err
}

// Look returns one page of facts that match, and how far back it looked.
func (j *Journal) Look(ctx context.Context, q Query) (found Found, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 1000)
	if _, _, err := j.conditions(&q, mark{}); err != nil { // also bounds the time of mere text
		return Found{}, fmt.Errorf("search: %w", err)
	}
	walks, bounded := q.walks()
	var end mark // of what is looked at; zero: no end
	var facts []Fact
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		facts, end = facts[:0], mark{}
		if bounded {
			var err error
			if end, err = scanEnd(tx, &q, walks); err != nil {
				return err
			}
		}
		where, args, err := j.conditions(&q, end)
		if err != nil {
			return err
		}
		for _, st := range q.pages(where, args, walks) {
			more, err := readFacts(tx.Query(st.sql, st.args...))
			if err != nil {
				return err
			}
			facts = append(facts, more...)
		}
		return nil
	})
	if err != nil {
		return Found{}, fmt.Errorf("search: %w", err)
	}
	slices.SortFunc(facts, func(a, b Fact) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return int(min(max(b.ID-a.ID, -1), 1))
	})
	found.Facts = slices.CompactFunc(facts, func(a, b Fact) bool { return a.ID == b.ID })
	switch {
	case len(found.Facts) > q.Limit:
		found.Facts = found.Facts[:q.Limit]
		last := found.Facts[q.Limit-1]
		found.Next = mark{last.At.UnixMicro(), last.ID}.cursor()
	case end != (mark{}):
		found.Next, found.Looked = end.cursor(), time.UnixMicro(end.at).UTC()
	}
	return found, nil
}

// conditions is the WHERE clause but for the address. Facts older than end are left out; the zero mark is none.
func (j *Journal) conditions(q *Query, end mark) (where string, args []any, err error) {
	var b strings.Builder
	add := func(condition string, values ...any) {
		if b.Len() > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(condition)
		args = append(args, values...)
	}
	id, notID := mail.ParseQueueID(strings.TrimSpace(q.Text))
	if q.Text != "" && notID != nil && q.Address == "" && q.MessageID == "" && q.Customer == "" && q.Since.IsZero() {
		from := q.Until
		if from.IsZero() {
			from = j.o.Now()
		}
		q.Since = from.Add(-TextWindow)
	}
	if q.Cursor != "" {
		at, id, ok := parseCursor(q.Cursor)
		if !ok {
			return "", nil, fmt.Errorf("%w cursor %q", ErrInvalid, q.Cursor)
		}
		add("(at, id) < (?, ?)", at, id)
	} else if !q.Until.IsZero() { // a cursor lies before it: of two bounds on one side the database may walk from the farther one
		add("at < ?", q.Until)
	}
	if !q.Since.IsZero() && end == (mark{}) { // nor does it need this bound beside an end
		add("at >= ?", q.Since)
	}
	if end != (mark{}) {
		add("(at, id) >= (?, ?)", end.at, end.id)
	}
	if q.MessageID != "" {
		add("message_key = ?", foldKey(q.MessageID))
	}
	if q.Customer != "" {
		add("customer = ?", q.Customer)
	}
	switch {
	case q.Text == "":
	case notID == nil:
		add("queue_id = ?", string(id))
	default:
		text := strings.ToLower(strings.TrimSpace(q.Text))
		add("fold LIKE ? ESCAPE '!'", "%"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(cut(text, 500))+"%")
	}
	if len(q.Kinds) > 0 {
		kinds := make([]any, len(q.Kinds))
		for i, k := range q.Kinds {
			kinds[i] = string(k)
		}
		add("kind IN (?"+strings.Repeat(", ?", len(kinds)-1)+")", kinds...)
	}
	if b.Len() == 0 {
		add("id > 0")
	}
	return b.String(), args, nil
}

func parseCursor(s string) (at, id int64, ok bool) {
	a, b, ok := strings.Cut(s, ".")
	if !ok {
		return 0, 0, false
	}
	at, err := strconv.ParseInt(a, 36, 64)
	if err != nil {
		return 0, 0, false
	}
	id, err = strconv.ParseInt(b, 36, 64)
	return at, id, err == nil
}

// HasAccepted tells of which messages the journal holds the acceptance (a fact of kind Accepted, Held or Recovered).
// After a crash app asks it for what the spool holds and writes a Recovered fact for the others.
func (j *Journal) HasAccepted(ctx context.Context, ids []mail.QueueID) (map[mail.QueueID]bool, error) {
	known := make(map[mail.QueueID]bool, len(ids))
	err := j.db.Read(ctx, func(tx *store.Tx) error {
		clear(known)
		left := ids
		for _, kind := range []Kind{Accepted, Held, Recovered} { // nearly all are found with the first, by one look each
			if err := findKind(tx, kind, left, known); err != nil {
				return err
			}
			var missing []mail.QueueID
			for _, id := range left {
				if !known[id] {
					missing = append(missing, id)
				}
			}
			left = missing
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for accepted messages: %w", err)
	}
	return known, nil
}

// findKind notes which of the messages have a fact of a kind.
func findKind(tx *store.Tx, kind Kind, ids []mail.QueueID, known map[mail.QueueID]bool) error {
	const most = 64
	for piece := range slices.Chunk(ids, most) {
		args := make([]any, 1+most)
		args[0] = string(kind)
		for i := range most {
			args[1+i] = string(piece[min(i, len(piece)-1)])
		}
		rows := tx.Query(sqlAccepted+"(?"+strings.Repeat(", ?", most-1)+")", args...)
		for rows.Next() {
			var id mail.QueueID
			if err := rows.Scan((*string)(&id)); err != nil {
				return err
			}
			known[id] = true
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Counts counts the facts of each kind since a moment.
func (j *Journal) Counts(ctx context.Context, since time.Time) (map[Kind]int64, error) {
	counts := map[Kind]int64{}
	err := j.db.Read(ctx, func(tx *store.Tx) error {
		clear(counts)
		rows := tx.Query(sqlCounts, since)
		for rows.Next() {
			var kind Kind
			var n int64
			if err := rows.Scan((*string)(&kind), &n); err != nil {
				return err
			}
			counts[kind] = n
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("count facts: %w", err)
	}
	return counts, nil
}
