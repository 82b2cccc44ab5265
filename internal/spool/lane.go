package spool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// In the statements about lanes the index condition stands beside "lane = ?": only then do the engines use the partial index.
const (
	sqlParked = `SELECT customer, count(*) FROM spool_recipient
 WHERE lane = ? AND lane <> '' AND next_at > ? GROUP BY customer ORDER BY customer`
	sqlParkedNext = `SELECT id, count(*) FROM spool_recipient
 WHERE lane = ? AND lane <> '' AND customer = ? AND id > ? AND next_at > ? GROUP BY id ORDER BY id LIMIT ?`
	sqlHurryRecipient = `UPDATE spool_recipient SET next_at = ? WHERE id = ? AND state = 'queued' AND lane = ? AND next_at > ?`
	sqlHurryMessage   = `UPDATE spool_message SET next_at = ? WHERE id = ? AND held = 0 AND next_at > ?`
	sqlOtherNodes     = `SELECT node FROM spool_node WHERE node <> ?`
)

// hurryPiece is how many messages Hurry moves in one transaction: others' commits wait a few milliseconds behind it.
const hurryPiece = 200

// Hurry makes due what waits for its turn in a lane (Recipient.Lane), on all nodes: the first now, the last after spread,
// evenly. The order is fair: the customers take turns, each with its mail in order of arrival. What is due earlier
// than its turn stays as it is. It returns how many recipients came forward. The work is done in pieces; after an error
// the pieces done stay done, and calling again does the rest.
func (s *Spool) Hurry(ctx context.Context, lane string, spread time.Duration) (int, error) {
	if lane == "" {
		return 0, fmt.Errorf("hurry: %w: no lane", ErrInvalid)
	}
	if err := s.Start(ctx); err != nil {
		return 0, err
	}
	h := hurry{s: s, lane: lane, now: s.o.Now(), spread: max(spread, 0)}
	err := s.db.Read(ctx, h.count)
	for err == nil && len(h.rest) > 0 {
		err = h.round(ctx)
	}
	if s.shared && h.moved > 0 {
		if e := s.tellOthers(ctx); err == nil {
			err = e
		}
	}
	if err != nil {
		return h.moved, fmt.Errorf("hurry %s: %w", lane, err)
	}
	return h.moved, nil
}

// tellOthers makes the other nodes look at their messages again.
func (s *Spool) tellOthers(ctx context.Context) error {
	var nodes []string
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		nodes = nodes[:0]
		rows := tx.Query(sqlOtherNodes, s.o.Node)
		for rows.Next() {
			var node string
			if err := rows.Scan(&node); err != nil {
				return err
			}
			nodes = append(nodes, node)
		}
		return rows.Err()
	})
	for _, node := range nodes {
		s.db.Notify(topic(node))
	}
	return err
}

// hurry is one Hurry under way.
type hurry struct {
	s      *Spool
	lane   string
	now    time.Time
	spread time.Duration
	counts []int         // recipients of each customer, the fewest first
	sums   []int         // of the first 0, 1, 2... counts
	rest   []*hurryShare // customers that have more
	moved  int
}

// hurryShare is how far Hurry is with one customer.
type hurryShare struct {
	customer string
	done     int    // recipients seen
	after    string // the last message seen
}

// hurried is one message that comes forward.
type hurried struct {
	id    mail.QueueID
	count int   // its recipients in the lane
	at    int64 // the new time
}

func (h *hurry) count(tx *store.Tx) error {
	h.counts, h.rest = nil, nil
	rows := tx.Query(sqlParked, h.lane, micros(h.now))
	for rows.Next() {
		share := &hurryShare{}
		var n int
		if err := rows.Scan(&share.customer, &n); err != nil {
			return err
		}
		h.counts, h.rest = append(h.counts, n), append(h.rest, share)
	}
	slices.Sort(h.counts)
	h.sums = make([]int, 1, len(h.counts)+1)
	for i, n := range h.counts {
		h.sums = append(h.sums, h.sums[i]+n)
	}
	return rows.Err()
}

// due is the time of a customer's k-th recipient when all customers take turns.
func (h *hurry) due(k int) int64 {
	ended := sort.SearchInts(h.counts, k+1) // customers whose mail has come forward when it is the k-th's turn
	before := h.sums[ended] + k*(len(h.counts)-ended)
	return micros(h.now) + int64(float64(h.spread.Microseconds())*float64(before)/float64(max(h.sums[len(h.counts)], 1)))
}

// round moves one piece of each customer's mail.
func (h *hurry) round(ctx context.Context) error {
	var more []*hurryShare
	for _, share := range h.rest {
		piece, err := h.next(ctx, share)
		if err == nil && len(piece) > 0 {
			err = h.move(ctx, piece)
		}
		if err != nil {
			return err
		}
		if len(piece) == hurryPiece {
			more = append(more, share)
		}
	}
	h.rest = more
	return nil
}

// next reads a customer's next messages in the lane and gives them their times.
func (h *hurry) next(ctx context.Context, share *hurryShare) ([]hurried, error) {
	var piece []hurried
	err := h.s.db.Read(ctx, func(tx *store.Tx) error {
		piece = piece[:0]
		rows := tx.Query(sqlParkedNext, h.lane, share.customer, share.after, micros(h.now), hurryPiece)
		for rows.Next() {
			var m hurried
			if err := rows.Scan((*string)(&m.id), &m.count); err != nil {
				return err
			}
			piece = append(piece, m)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	for i := range piece {
		piece[i].at = h.due(share.done)
		share.done += piece[i].count
		share.after = string(piece[i].id)
	}
	return piece, nil
}

// move gives messages their times, and makes memory follow.
func (h *hurry) move(ctx context.Context, piece []hurried) error {
	s := h.s
	ids := make([]mail.QueueID, len(piece))
	for i := range piece {
		ids[i] = piece[i].id
	}
	if err := s.lock(ctx, ids...); err != nil {
		return err
	}
	var moved int64
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		moved = 0
		for i := range piece {
			m := &piece[i]
			n, err := tx.Exec(sqlHurryRecipient, m.at, string(m.id), h.lane, m.at)
			if err == nil && n > 0 {
				_, err = tx.Exec(sqlHurryMessage, m.at, string(m.id), m.at)
			}
			if err != nil {
				return err
			}
			moved += n
		}
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.unlockLocked(ids...)
	if err != nil {
		return err
	}
	h.moved += int(moved)
	for i := range piece {
		m := &piece[i]
		e := s.win.byID[m.id]
		switch {
		case e == nil:
			s.win.add(key{m.at, m.id}, nil, s.filling)
		case e.claims > 0:
			e.stale = true // read again when it is unlocked
		default:
			s.win.setFull(e, nil)
			s.win.place(e, min(e.at, m.at))
		}
	}
	s.win.trim(s.lockedLocked)
	s.signal()
	return nil
}

// Backlog is the queued mail of one customer in one lane, on all nodes.
type Backlog struct {
	Customer   string
	Lane       string    // "" for what waits in no lane: for its first or next attempt, or in one
	Recipients int       // open ones
	Oldest     time.Time // arrival of the oldest message
	Next       time.Time // when the first of them is due
}

// Account is what the spool keeps for one customer, on all nodes.
type Account struct {
	Customer   string
	Queued     int       // messages waiting for an attempt or in one
	Held       int       // messages waiting for a person
	Bytes      int64     // bodies of queued and held messages
	Oldest     time.Time // arrival of the oldest queued message; zero when none
	OldestHeld time.Time // arrival of the oldest held message; zero when none
}

// Backlogs returns the queued mail by customer and lane, the largest first. Held mail is not in it. With more than
// 2,000 messages the answer may be a second old, with more than 50,000 some seconds: see Accounts.
func (s *Spool) Backlogs(ctx context.Context) ([]Backlog, error) {
	v, err := s.survey(ctx)
	if err != nil {
		return nil, fmt.Errorf("backlogs: %w", err)
	}
	return slices.Clone(v.backlogs), nil
}

// Accounts returns how much mail each customer has here, the largest first. Like Backlogs it reads indexes of the whole
// queue. With more than 50,000 messages both give one answer for 5 seconds, and for twenty times as long as
// it took to find, so that asking often costs a twentieth of a processor at most.
func (s *Spool) Accounts(ctx context.Context) ([]Account, error) {
	v, err := s.survey(ctx)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return slices.Clone(v.accounts), nil
}

const (
	// PostgreSQL counts by itself. SQLite would sort the whole queue for that, which takes three times as long as handing the
	// rows over in the order of the index.
	sqlTallies = `SELECT customer, held, count(*), CAST(coalesce(sum(size), 0) AS BIGINT), min(id), CAST(coalesce(sum(loose), 0) AS BIGINT),
 min(CASE WHEN loose > 0 THEN id END), min(CASE WHEN loose > 0 THEN next_at END)
 FROM spool_message WHERE held IN (0, 1) GROUP BY customer, held`
	sqlRows  = `SELECT customer, held, size, id, loose, next_at FROM spool_message WHERE held IN (0, 1)`
	sqlLanes = `SELECT lane, customer, count(*), min(id), min(next_at) FROM spool_recipient WHERE lane <> '' GROUP BY lane, customer`
)

// survey is one look at the whole queue.
type survey struct {
	backlogs []Backlog
	accounts []Account
	messages int
	at       time.Time // when it was made
	fresh    time.Duration
}

// surveyFrom is the size of a queue from which Stats too are told again.
const surveyFrom = 50_000

// holds is how long a survey of a queue of so many messages is told again: a page that asks twice, or somebody who reloads it, must not
// read the whole queue each time.
func holds(messages int) time.Duration {
	switch {
	case messages >= surveyFrom:
		return 5 * time.Second
	case messages >= 2_000:
		return time.Second
	}
	return 0
}

// survey returns the last look at the queue, or makes a new one.
func (s *Spool) survey(ctx context.Context) (*survey, error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	s.surveyMu.Lock()
	defer s.surveyMu.Unlock()
	now := s.o.Now()
	if v := s.lastSurvey; v != nil && v.fresh > 0 {
		if age := now.Sub(v.at); age >= 0 && age < v.fresh {
			return v, nil
		}
	}
	v := &survey{}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		*v = survey{}
		if err := v.count(tx, s.shared); err != nil {
			return err
		}
		return v.countLanes(tx)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(v.backlogs, func(a, b Backlog) int {
		return cmp.Or(-cmp.Compare(a.Recipients, b.Recipients), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Lane, b.Lane))
	})
	slices.SortFunc(v.accounts, func(a, b Account) int {
		return cmp.Or(-cmp.Compare(a.Queued+a.Held, b.Queued+b.Held), cmp.Compare(a.Customer, b.Customer))
	})
	v.at = s.o.Now()
	if v.fresh = holds(v.messages); v.fresh > 0 {
		v.fresh = max(v.fresh, 20*v.at.Sub(now))
	}
	s.lastSurvey = v
	return v, nil
}

// tally is what is counted of one customer's queued, or held, messages.
type tally struct {
	count, size, loose, next int64
	oldest, oldestLoose      mail.QueueID
}

// add counts one message.
func (t *tally) add(size, loose, next int64, id mail.QueueID) {
	t.count++
	t.size += size
	if t.oldest == "" || id < t.oldest {
		t.oldest = id
	}
	if loose == 0 {
		return
	}
	if t.loose == 0 || next < t.next {
		t.next = next
	}
	if t.loose == 0 || id < t.oldestLoose {
		t.oldestLoose = id
	}
	t.loose += loose
}

// count counts by customer.
func (v *survey) count(tx *store.Tx, counts bool) error {
	tallies := map[string]*[2]tally{}
	of := func(customer string, held int64) *tally {
		t := tallies[customer]
		if t == nil {
			t = &[2]tally{}
			tallies[customer] = t
		}
		return &t[min(max(held, 0), 1)]
	}
	query := sqlRows
	if counts {
		query = sqlTallies
	}
	rows := tx.Query(query)
	for rows.Next() {
		var customer string
		var held int64
		var err error
		if counts {
			var t tally
			err = rows.Scan(&customer, &held, &t.count, &t.size, (*string)(&t.oldest), &t.loose, (*string)(&t.oldestLoose), &t.next)
			*of(customer, held) = t
		} else {
			var size, loose, next int64
			var id string
			err = rows.Scan(&customer, &held, &size, &id, &loose, &next)
			of(customer, held).add(size, loose, next, mail.QueueID(id))
		}
		if err != nil {
			return err
		}
	}
	for customer, t := range tallies {
		queued, held := &t[0], &t[1]
		v.messages += int(queued.count + held.count)
		v.accounts = append(v.accounts, Account{Customer: customer, Queued: int(queued.count), Held: int(held.count), Bytes: queued.size + held.size,
			Oldest: queued.oldest.Time(), OldestHeld: held.oldest.Time()})
		if queued.loose > 0 {
			v.backlogs = append(v.backlogs, Backlog{Customer: customer, Recipients: int(queued.loose), Oldest: queued.oldestLoose.Time(), Next: fromMicros(queued.next)})
		}
	}
	return rows.Err()
}

// countLanes counts what is parked.
func (v *survey) countLanes(tx *store.Tx) error {
	rows := tx.Query(sqlLanes)
	for rows.Next() {
		var b Backlog
		var oldest mail.QueueID
		var next int64
		if err := rows.Scan(&b.Lane, &b.Customer, &b.Recipients, (*string)(&oldest), &next); err != nil {
			return err
		}
		b.Oldest, b.Next = oldest.Time(), fromMicros(next)
		v.backlogs = append(v.backlogs, b)
	}
	return rows.Err()
}
