package journal

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"postern/internal/store"
)

// The facts are counted in the background, in the order of their IDs, from a mark that the database keeps: the counts of a piece and the
// mark that moves over it are one transaction, which does nothing when another node has moved the mark. So each fact counts once, whatever
// dies in between, and whatever its time. On PostgreSQL a fact may become visible after one with a greater ID; the mark stays behind
// until whoever was writing then has ended (settled).

// How the counting goes.
const (
	rollEvery  = time.Second           // a turn
	rollFacts  = 1000                  // facts of one transaction
	rollPause  = 10 * time.Millisecond // between two of them, so that mail goes first
	hoursKept  = 35 * 24 * time.Hour   // age at which the figures of hours leave
	daysKept   = 400 * 24 * time.Hour  // ... of days
	tailMost   = 3_000                 // facts not counted yet that a question adds by itself
	rollPrune  = time.Hour             // between two removals
	prunePiece = 2000                  // figures of one transaction
)

// The spans of figures, as the database has them.
const (
	spanHour = 1
	spanDay  = 24
)

const (
	tailColumns = `id, at, kind, customer, provider, attempt, actor, recipient, text,
 CASE WHEN kind IN ('accepted', 'held', 'recovered', 'rejected') THEN detail END`
	sqlTail      = `SELECT ` + tailColumns + ` FROM journal_fact WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`
	sqlCounted   = `SELECT fact, at FROM journal_counted WHERE one = 1`
	sqlNewest    = `SELECT coalesce(max(id), 0) FROM journal_fact`
	sqlMove      = `UPDATE journal_counted SET fact = ?, at = ? WHERE one = 1 AND fact = ?`
	sqlAddFigure = `INSERT INTO journal_figure (customer, span, at, kind, count) VALUES `
	sqlOnFigure  = ` ON CONFLICT (customer, span, at, kind) DO UPDATE SET count = journal_figure.count + excluded.count`
	sqlAddBy     = `INSERT INTO journal_figure_provider (customer, span, at, provider, kind, count) VALUES `
	sqlOnBy      = ` ON CONFLICT (customer, span, at, provider, kind) DO UPDATE SET count = journal_figure_provider.count + excluded.count`
	sqlAddTest   = `INSERT INTO journal_figure_test (customer, span, at, test, hits, points) VALUES `
	sqlOnTest    = ` ON CONFLICT (customer, span, at, test) DO UPDATE SET hits = journal_figure_test.hits + excluded.hits, points = journal_figure_test.points + excluded.points`
	// Whoever writes facts on PostgreSQL holds this lock until his transaction ends.
	sqlWriters = `SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
 AND relation = 'journal_fact'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
)

type (
	figureKey struct {
		customer string
		span     int64
		at       int64 // microseconds since 1970
		kind     Figure
	}
	providerKey struct {
		figureKey
		provider string
	}
	testKey struct {
		customer string
		span     int64
		at       int64
		test     string
	}
	testSum struct{ hits, points int64 } // points in thousandths
)

// sums are the figures of some facts.
type sums struct {
	figures   map[figureKey]int64
	providers map[providerKey]int64
	tests     map[testKey]testSum
	hours     int64 // figures of hours before are left out: they would leave soon (microseconds since 1970)
}

func newSums() *sums {
	return &sums{figures: map[figureKey]int64{}, providers: map[providerKey]int64{}, tests: map[testKey]testSum{}}
}

// counted is what of a fact is counted.
type counted struct {
	id        int64
	at        time.Time
	kind      Kind
	customer  string
	provider  string
	attempt   int
	actor     string
	recipient string
	text      string
	detail    []byte
}

// add counts a fact.
func (s *sums) add(f *counted) {
	if f.actor == ActorNotice {
		return
	}
	s.count(f, Figure(f.kind), 1)
	arrived := f.kind == Accepted || f.kind == Recovered || f.kind == Held && !strings.HasPrefix(f.actor, "operator:")
	if arrived {
		s.count(f, Taken, 1)
		s.count(f, Recipients, recipientsOf(f))
		if f.kind == Held {
			s.count(f, Stopped, 1)
		}
	}
	if f.kind == Deferred && f.attempt <= 1 {
		s.count(f, Delayed, 1)
	}
	if !arrived && f.kind != Rejected {
		return
	}
	if b, ok := DecodeBrief(f.detail); ok {
		s.count(f, Judged, 1)
		for test, points := range b.Points {
			s.hit(f, test, int64(math.Round(points*1000)))
		}
	}
}

// count adds to a figure: of its customer and of everybody, of its hour and of its day.
func (s *sums) count(f *counted, kind Figure, n int64) {
	if n == 0 {
		return
	}
	hour, day := spansOf(f.at)
	for _, customer := range [...]string{"", f.customer} {
		keys := [...]figureKey{{customer, spanDay, day, kind}, {customer, spanHour, hour, kind}}
		for _, k := range keys {
			if k.span == spanHour && hour < s.hours {
				break
			}
			s.figures[k] += n
			if f.provider != "" {
				s.providers[providerKey{k, f.provider}] += n
			}
		}
		if f.customer == "" {
			break
		}
	}
}

// hit counts a test that fired.
func (s *sums) hit(f *counted, test string, points int64) {
	hour, day := spansOf(f.at)
	test = cut(test, 100)
	keys := []testKey{{"", spanHour, hour, test}, {"", spanDay, day, test}, {f.customer, spanDay, day, test}}
	if f.customer == "" || points <= 0 {
		keys = keys[:2]
	}
	for _, k := range keys {
		x := s.tests[k]
		s.tests[k] = testSum{x.hits + 1, x.points + points}
	}
}

// spansOf are the beginnings of the hour and the day of a moment, UTC.
func spansOf(at time.Time) (hour, day int64) {
	return at.Truncate(time.Hour).UnixMicro(), at.Truncate(24 * time.Hour).UnixMicro()
}

// recipientsOf reads how many recipients a message had.
func recipientsOf(f *counted) int64 {
	if f.recipient == "" {
		return 0
	}
	if digits, ok := strings.CutSuffix(f.text, " recipients"); ok {
		if n, err := strconv.ParseInt(digits, 10, 32); err == nil && n > 0 {
			return n
		}
	}
	return 1
}

// readCounted reads facts between two IDs in their order.
func readCounted(tx *store.Tx, after, upTo int64, limit int) (facts []counted, err error) {
	rows := tx.Query(sqlTail, after, upTo, limit)
	for rows.Next() {
		var f counted
		if err := rows.Scan(&f.id, &f.at, (*string)(&f.kind), &f.customer, &f.provider, &f.attempt, &f.actor, &f.recipient, &f.text, &f.detail); err != nil {
			return nil, err
		}
		facts = append(facts, f)
	}
	return facts, rows.Err()
}

// roller counts facts.
type roller struct {
	j    *Journal
	mark int64           // newest fact when open was read
	open map[string]bool // who was writing then
}

// counting counts in the background until ctx ends. The function it returns waits for the end.
func (j *Journal) counting(ctx context.Context) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := &roller{j: j}
		turn := time.NewTicker(rollEvery)
		defer turn.Stop()
		pruned := j.o.Now()
		for {
			if err := r.turn(ctx); err != nil && ctx.Err() == nil {
				j.log.Warn("journal: facts not counted; will be tried again", "error", err)
			}
			if now := j.o.Now(); now.Sub(pruned) >= rollPrune {
				pruned = now
				if err := j.pruneFigures(ctx); err != nil && ctx.Err() == nil {
					j.log.Warn("journal: old figures not removed; will be tried again", "error", err)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-turn.C:
			}
		}
	}()
	return func() { <-done }
}

// turn counts all facts that are settled, piece by piece.
func (r *roller) turn(ctx context.Context) error {
	upTo, err := r.settled(ctx)
	if err != nil {
		return err
	}
	for {
		n, err := r.j.count(ctx, upTo)
		if err != nil || n < rollFacts {
			return err
		}
		select {
		case <-time.After(rollPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// settled returns the ID up to which every fact is visible that ever will be.
func (r *roller) settled(ctx context.Context) (upTo int64, err error) {
	err = r.j.db.Read(ctx, func(tx *store.Tx) error {
		var newest int64
		if err := tx.QueryRow(sqlNewest).Scan(&newest); err != nil {
			return err
		}
		if r.j.db.Engine() != "postgres" {
			upTo = newest // one writer: what is visible is all there is
			return nil
		}
		// IDs are drawn under the lock, so whoever may still add one below newest holds it now.
		open, waits := map[string]bool{}, false
		rows := tx.Query(sqlWriters)
		for rows.Next() {
			var who string
			if err := rows.Scan(&who); err != nil {
				return err
			}
			open[who] = true
			waits = waits || r.open[who]
		}
		if err := rows.Err(); err != nil {
			return err
		}
		switch {
		case len(open) == 0:
			upTo, r.mark, r.open = newest, newest, nil
		case waits:
			upTo = 0 // those of the last look are not done
		default:
			upTo = r.mark
			r.mark, r.open = newest, open
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look how far facts are settled: %w", err)
	}
	return upTo, nil
}

// count counts the next piece of facts up to an ID, and returns how many.
func (j *Journal) count(ctx context.Context, upTo int64) (n int, err error) {
	var facts []counted
	var mark int64
	err = j.db.Read(ctx, func(tx *store.Tx) (err error) {
		var at time.Time
		if err := tx.QueryRow(sqlCounted).Scan(&mark, &at); err != nil {
			return err
		}
		if facts = nil; mark < upTo {
			facts, err = readCounted(tx, mark, upTo, rollFacts)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count facts: %w", err)
	}
	if len(facts) == 0 {
		return 0, nil
	}
	s := newSums()
	s.hours = j.o.Now().Add(-hoursKept - 48*time.Hour).UnixMicro()
	for i := range facts {
		s.add(&facts[i])
	}
	last := facts[len(facts)-1]
	err = j.db.Write(ctx, func(tx *store.Tx) error {
		moved, err := tx.Exec(sqlMove, last.id, last.at, mark)
		if err != nil || moved == 0 { // another node has counted them
			return err
		}
		return s.write(tx)
	})
	if err != nil {
		return 0, fmt.Errorf("count facts: %w", err)
	}
	return len(facts), nil
}

// write adds sums to the figures of the database.
func (s *sums) write(tx *store.Tx) error {
	rows := make([][]any, 0, len(s.figures))
	for k, n := range s.figures {
		rows = append(rows, []any{k.customer, k.span, k.at, string(k.kind), n})
	}
	if err := upsert(tx, sqlAddFigure, sqlOnFigure, rows); err != nil {
		return err
	}
	rows = rows[:0]
	for k, n := range s.providers {
		rows = append(rows, []any{k.customer, k.span, k.at, k.provider, string(k.kind), n})
	}
	if err := upsert(tx, sqlAddBy, sqlOnBy, rows); err != nil {
		return err
	}
	rows = rows[:0]
	for k, x := range s.tests {
		rows = append(rows, []any{k.customer, k.span, k.at, k.test, x.hits, x.points})
	}
	return upsert(tx, sqlAddTest, sqlOnTest, rows)
}

// upsert writes rows, several in a statement.
func upsert(tx *store.Tx, head, tail string, rows [][]any) error {
	for len(rows) > 0 {
		n := 1
		for _, size := range rowSizes {
			if size <= len(rows) {
				n = size
				break
			}
		}
		row := "(?" + strings.Repeat(", ?", len(rows[0])-1) + ")"
		args := make([]any, 0, n*len(rows[0]))
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		if _, err := tx.Exec(head+row+strings.Repeat(", "+row, n-1)+tail, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// The removal of old figures, a piece at a time: the statement's table has the columns of its key.
var sqlPruneFigures = []string{
	`DELETE FROM journal_figure WHERE (customer, span, at, kind) IN (SELECT customer, span, at, kind FROM journal_figure WHERE span = ? AND at < ? LIMIT ?)`,
	`DELETE FROM journal_figure_provider WHERE (customer, span, at, provider, kind) IN (SELECT customer, span, at, provider, kind FROM journal_figure_provider WHERE span = ? AND at < ? LIMIT ?)`,
	`DELETE FROM journal_figure_test WHERE (customer, span, at, test) IN (SELECT customer, span, at, test FROM journal_figure_test WHERE span = ? AND at < ? LIMIT ?)`,
}

// pruneFigures removes figures that are too old.
func (j *Journal) pruneFigures(ctx context.Context) error {
	now := j.o.Now()
	for _, statement := range sqlPruneFigures {
		for span, kept := range map[int64]time.Duration{spanHour: hoursKept, spanDay: daysKept} {
			for {
				var n int64
				err := j.db.Write(ctx, func(tx *store.Tx) (err error) {
					n, err = tx.Exec(statement, span, now.Add(-kept), prunePiece)
					return err
				})
				if err != nil {
					return fmt.Errorf("remove old figures: %w", err)
				}
				if n < prunePiece {
					break
				}
			}
		}
	}
	return nil
}
