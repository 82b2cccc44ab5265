package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postern/internal/store"
)

// Whoever reads the journal to the end and comes back for more (package webhook) remembers the ID of the last fact he read. IDs grow with
// the order of writing, but on PostgreSQL a fact may become visible after one with a greater ID: a Follower tells up to where nothing is
// missing any more.

const (
	followColumns = `id, at, kind, queue_id, customer, credential, client_ip, reverse_path, recipient, header_from, '', message_id, size, score, host, egress_ip, code,
 enhanced, text, next_at, attempt, actor, CASE WHEN kind = 'addressed' THEN detail END, category, party, rule, provider, lane`
	sqlAfterAll = `SELECT ` + followColumns + ` FROM journal_fact WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`
	// One customer's are picked from a stretch of everybody's: an index for them would cost each fact that mail writes, and who reads on is seldom behind.
	sqlAfterOne  = `SELECT ` + followColumns + ` FROM journal_fact WHERE customer || '' = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?`
	sqlFact      = `SELECT ` + followColumns + ` FROM journal_fact WHERE id = ?`
	sqlFirstIDs  = `SELECT min(id) FROM (SELECT id FROM journal_fact WHERE at >= ? ORDER BY at, id LIMIT ?) AS first`
	sqlKindsAll  = `SELECT kind, count(*) FROM (SELECT kind FROM journal_fact WHERE id > ? ORDER BY id LIMIT ?) AS later GROUP BY kind`
	sqlKindsOne  = `SELECT kind, count(*) FROM (SELECT kind FROM journal_fact WHERE customer || '' = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?) AS later GROUP BY kind`
	followedMost = 1000
	stretch      = 20_000 // facts that one question looks at
	firstLook    = 10_000
)

// ErrNoFact: the journal does not know the fact, or no longer.
var ErrNoFact = errors.New("no such fact")

// Follower tells how far the journal may be read by whoever goes on from there. Its method may be called from many goroutines.
type Follower struct {
	mu   sync.Mutex
	r    roller
	upTo int64
}

// Follow makes a follower.
func (j *Journal) Follow() *Follower { return &Follower{r: roller{j: j}} }

// Settled returns the ID up to which every fact is visible that ever will be. It never goes back. Facts that were written while others were
// being written may take two calls to be part of it.
func (f *Follower) Settled(ctx context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	upTo, err := f.r.settled(ctx)
	f.upTo = max(f.upTo, upTo)
	return f.upTo, err
}

// After returns facts whose ID is above after and at most upTo, in the order of their IDs: of a customer, or of all and of nobody where it is "".
// At most limit (1..1,000) come, and one customer's from the next 20,000 facts of all; looked is the ID up to which there are no others, from which to go on.
// Subject and Detail are left out, but for the Detail of Addressed.
func (j *Journal) After(ctx context.Context, customer string, after, upTo int64, limit int) (facts []Fact, looked int64, err error) {
	limit, looked = min(max(limit, 1), followedMost), upTo
	if customer != "" {
		looked = min(upTo, after+stretch)
	}
	err = j.db.Read(ctx, func(tx *store.Tx) (err error) {
		if customer == "" {
			facts, err = readFacts(tx.Query(sqlAfterAll, after, looked, limit))
		} else {
			facts, err = readFacts(tx.Query(sqlAfterOne, customer, after, looked, limit))
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read facts: %w", err)
	}
	if len(facts) == limit {
		looked = facts[limit-1].ID
	}
	return facts, looked, nil
}

// Fact returns one fact as After does, or ErrNoFact.
func (j *Journal) Fact(ctx context.Context, id int64) (Fact, error) {
	var facts []Fact
	err := j.db.Read(ctx, func(tx *store.Tx) (err error) {
		facts, err = readFacts(tx.Query(sqlFact, id))
		return err
	})
	switch {
	case err != nil:
		return Fact{}, fmt.Errorf("read fact: %w", err)
	case len(facts) == 0:
		return Fact{}, ErrNoFact
	}
	return facts[0], nil
}

// Before returns the ID after which all facts of a time and later come; facts that happened a little earlier may come after it, too. Without such
// facts it is the newest ID.
func (j *Journal) Before(ctx context.Context, at time.Time) (id int64, err error) {
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		var first int64
		if err := tx.QueryRow(sqlFirstIDs, at, firstLook).Scan(&first); err != nil {
			return err
		}
		if id = first - 1; first > 0 {
			return nil
		}
		return tx.QueryRow(sqlNewest).Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("find the first fact: %w", err)
	}
	return id, nil
}

// Later counts the facts after an ID by kind, of a customer or of all: no more than most of them, and one customer's among the next 20,000 of all. more
// says that there may be others.
func (j *Journal) Later(ctx context.Context, customer string, after int64, most int) (kinds map[Kind]int, more bool, err error) {
	err = j.db.Read(ctx, func(tx *store.Tx) error {
		kinds = map[Kind]int{}
		sql, args, beyond := sqlKindsAll, []any{after, most}, false
		if customer != "" {
			var newest int64
			if err := tx.QueryRow(sqlNewest).Scan(&newest); err != nil {
				return err
			}
			beyond = newest > after+stretch
			sql, args = sqlKindsOne, []any{customer, after, after + stretch, most}
		}
		rows, all := tx.Query(sql, args...), 0
		for rows.Next() {
			var kind string
			var n int
			if err := rows.Scan(&kind, &n); err != nil {
				return err
			}
			kinds[Kind(kind)] = n
			all += n
		}
		more = all >= most || beyond
		return rows.Err()
	})
	if err != nil {
		return nil, false, fmt.Errorf("count later facts: %w", err)
	}
	return kinds, more, nil
}

// OwnWords reports whether a fact's text is the gateway's own reason and not what was said to, or by, another program. It is for the operator:
// it may name others who send.
func (f *Fact) OwnWords() bool {
	switch f.Kind {
	case Delivered, Bounced, Returned, LateDelay, Confirmed, AutoReply, Rejected, Suppressed, Limited, Listed, BlockListed, BlockDelisted, ReportAlarm, ReportOver:
		return false
	case Deferred, Attempt:
		return f.Host == "" && f.Enhanced == "4.4.5" // had no turn: what keeps it may be others' mail
	case Expired:
		return f.Attempt == 0
	case Asked, Tuned:
		return strings.HasPrefix(f.Actor, "operator")
	}
	return true
}
