package journal

import (
	"maps"
	"time"

	"postern/internal/store"
)

// rest is what the figures of the database lack.
type rest struct {
	sums    *sums
	since   time.Time // the beginning of all figures
	through time.Time // see Figures
}

// tail are the facts behind the mark, counted by a question. The next question adds what came since: a page asks twenty times, and in a rush
// of mail a thousand facts wait. It does not change any more once it is made.
type tail struct {
	mark, upTo int64 // the facts after mark, up to upTo
	facts      int64 // how many they are
	oldest     time.Time
	sums       *sums
}

const (
	sqlSince  = `SELECT coalesce(min(at), 0) FROM journal_figure WHERE customer = '' AND span = 24`
	sqlTailed = `SELECT count(*) FROM journal_fact WHERE id > ? AND id <= ?`
)

// readRest counts the facts behind the mark, in the snapshot of a question.
func (j *Journal) readRest(tx *store.Tx) (out rest, err error) {
	var mark, newest int64
	var at time.Time
	if err := tx.QueryRow(sqlCounted).Scan(&mark, &at); err != nil {
		return out, err
	}
	if err := tx.QueryRow(sqlNewest).Scan(&newest); err != nil {
		return out, err
	}
	if err := tx.QueryRow(sqlSince).Scan(&out.since); err != nil {
		return out, err
	}
	if newest-mark > tailMost {
		if out.sums, out.through = newSums(), at; at.IsZero() {
			out.through = time.UnixMicro(1).UTC() // nothing is counted
		}
		return out, nil
	}
	t := j.tail.Load()
	if t == nil || t.mark != mark || t.upTo > newest {
		t = &tail{mark: mark, upTo: mark, sums: newSums()}
	}
	if t, err = t.grow(tx, newest, j.db.Engine() == "postgres"); err != nil {
		return out, err
	}
	j.tail.Store(t)
	if out.sums = t.sums; t.facts > 0 && (out.since.IsZero() || t.oldest.Before(out.since)) {
		out.since = t.oldest
	}
	return out, nil
}

// grow returns the tail up to a fact. Where facts may become visible after one with a greater ID (late), it counts whether there were such.
func (t *tail) grow(tx *store.Tx, upTo int64, late bool) (*tail, error) {
	facts, err := readCounted(tx, t.upTo, upTo, tailMost+1)
	if err != nil {
		return nil, err
	}
	if late && t.upTo > t.mark {
		var n int64
		if err := tx.QueryRow(sqlTailed, t.mark, upTo).Scan(&n); err != nil {
			return nil, err
		}
		if n != t.facts+int64(len(facts)) {
			return (&tail{mark: t.mark, upTo: t.mark, sums: newSums()}).grow(tx, upTo, false)
		}
	}
	if len(facts) == 0 {
		return t, nil
	}
	all := &tail{t.mark, upTo, t.facts + int64(len(facts)), t.oldest, &sums{figures: maps.Clone(t.sums.figures), providers: maps.Clone(t.sums.providers), tests: maps.Clone(t.sums.tests)}}
	for i := range facts {
		all.sums.add(&facts[i])
		if all.oldest.IsZero() || facts[i].at.Before(all.oldest) {
			all.oldest = facts[i].at
		}
	}
	return all, nil
}
