package learn

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"postern/internal/store"
)

const (
	sqlSecretPut = `INSERT INTO learn_secret (name, value, at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING`
	sqlSecret    = `SELECT value, at FROM learn_secret WHERE name = ?`

	sqlIdentities  = `SELECT identity, node, state FROM learn_identity WHERE identity IN (?, ?)`
	sqlOfScope     = `SELECT identity, node, state FROM learn_identity WHERE scope = ? LIMIT ?`
	sqlOthers      = `SELECT identity, node, state FROM learn_identity WHERE seen >= ? AND node <> ?`
	sqlIdentityPut = `INSERT INTO learn_identity (identity, node, scope, state, seen) VALUES (?, ?, ?, ?, ?)
 ON CONFLICT (identity, node) DO UPDATE SET state = excluded.state, seen = excluded.seen`
	sqlOldIdentities = `DELETE FROM learn_identity WHERE (identity, node) IN (SELECT identity, node FROM learn_identity WHERE seen < ? LIMIT ?)`

	sqlRecipients   = `SELECT recipient, day FROM learn_recipient WHERE scope = ? LIMIT ?`
	sqlRecipientRow = `(?, ?, ?)`
	sqlRecipientPut = `INSERT INTO learn_recipient (scope, recipient, day) VALUES `
	sqlRecipientEnd = ` ON CONFLICT (scope, recipient) DO UPDATE SET day = excluded.day`
	sqlOldRecipient = `DELETE FROM learn_recipient WHERE (scope, recipient) IN (SELECT scope, recipient FROM learn_recipient WHERE day < ? LIMIT ?)`
	sqlManyScopes   = `SELECT scope FROM learn_recipient GROUP BY scope HAVING count(*) > ?`
	sqlScopeDays    = `SELECT day, count(*) FROM learn_recipient WHERE scope = ? GROUP BY day ORDER BY day DESC`
	sqlTrimScope    = `DELETE FROM learn_recipient WHERE (scope, recipient) IN
 (SELECT scope, recipient FROM learn_recipient WHERE scope = ? AND day <= ? LIMIT ?)`

	sqlTexts   = `SELECT text, first, last, messages, strangers, fired, senders FROM learn_text WHERE node = ? AND last >= ? ORDER BY last LIMIT ?`
	sqlTextPut = `INSERT INTO learn_text (text, node, first, last, messages, strangers, fired, senders) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
 ON CONFLICT (text, node) DO UPDATE SET last = excluded.last, messages = excluded.messages, strangers = excluded.strangers, fired = excluded.fired,
 senders = excluded.senders`
	sqlOldTexts = `DELETE FROM learn_text WHERE (text, node) IN (SELECT text, node FROM learn_text WHERE last < ? LIMIT ?)`

	sqlEraseIdentities = `DELETE FROM learn_identity WHERE (identity, node) IN (SELECT identity, node FROM learn_identity WHERE scope = ? LIMIT ?)`
	sqlEraseRecipients = `DELETE FROM learn_recipient WHERE (scope, recipient) IN (SELECT scope, recipient FROM learn_recipient WHERE scope = ? LIMIT ?)`
)

// Bounds of what waits to be written.
const (
	mostLeaving  = 20_000
	mostWrites   = 200_000
	seenScopes   = 8 // times Options.SeenRecipients: recipients of all customers in memory
	keepSeenDays = 180
	flushStep    = 200 // identities in one transaction
)

// leaver is the state of an identity on its way to the database.
type leaver struct {
	scope string
	state []byte
	at    time.Time
	turn  *subject // whose state it is: a newer one replaces it
}

// seenWrite is a row of learn_recipient to be written.
type seenWrite struct {
	scope string
	hash  uint64
	day   uint32
}

// write queues a row.
func (b *behaviours) write(l *Ledger, w seenWrite) {
	if len(b.writes) >= mostWrites {
		l.lost.Add(1)
		return
	}
	b.writes = append(b.writes, w)
}

// loading is a customer's table on its way into memory.
type loading struct {
	done chan struct{}
	err  error
}

// openBehaviour reads the installation's key and the texts of the last days, once.
func (l *Ledger) openBehaviour(ctx context.Context) error {
	b := l.behaviour
	if b.ready.Load() {
		return nil
	}
	select {
	case b.opening <- struct{}{}:
		defer func() { <-b.opening }()
	case <-ctx.Done():
		return fmt.Errorf("behaviour: %w", ctx.Err())
	}
	if b.ready.Load() {
		return nil
	}
	const name = "behaviour"
	var secret []byte
	var at time.Time
	read := func() error {
		return l.db.Read(ctx, func(tx *store.Tx) error {
			secret = nil
			rows := tx.Query(sqlSecret, name)
			for rows.Next() {
				if err := rows.Scan(&secret, &at); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
	if err := read(); err != nil {
		return fmt.Errorf("behaviour: %w", err)
	}
	if len(secret) == 0 {
		fresh := make([]byte, len(b.secret))
		_, _ = rand.Read(fresh)
		err := l.db.Write(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(sqlSecretPut, name, fresh, l.o.Now())
			return err
		})
		if err == nil {
			err = read() // another node may have been first
		}
		if err != nil {
			return fmt.Errorf("behaviour: %w", err)
		}
	}
	var texts clusters
	texts.since = at
	now := slotOf(l.o.Now(), tenMinutes)
	oldest := int64(now) - int64(alikeFor/tenMinutes)
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		texts = clusters{since: at}
		rows := tx.Query(sqlTexts, l.o.Node, oldest, alikeMost)
		for rows.Next() {
			var text, first, last, messages, strangers int64
			var fired bool
			var senders []byte
			if err := rows.Scan(&text, &first, &last, &messages, &strangers, &fired, &senders); err != nil {
				return err
			}
			c := cluster{hash: uint64(text), first: uint32(first), last: uint32(last), messages: count32(messages), strangers: count32(strangers), fired: fired}
			c.decodeSenders(senders)
			texts.put(c)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("behaviour: %w", err)
	}
	copy(b.secret[:], secret)
	b.mu.Lock()
	b.texts = texts
	b.mu.Unlock()
	b.ready.Store(true)
	return nil
}

// acquire brings identities and a customer's recipients into memory and returns with the lock held, unless there is an error.
func (l *Ledger) acquire(ctx context.Context, at time.Time, scope string, keys ...digest) error {
	b := l.behaviour
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("behaviour: %w", err)
		}
		var missing []digest
		b.mu.Lock()
		for _, k := range keys {
			if s := b.subjects[k]; s == nil {
				missing = append(missing, k)
			} else {
				b.first(s)
			}
		}
		table := b.seen[scope]
		if len(missing) == 0 && table != nil {
			return nil
		}
		b.mu.Unlock()
		if table == nil {
			if err := l.loadSeen(ctx, at, scope); err != nil {
				return err
			}
		}
		if len(missing) > 0 {
			if err := l.loadSubjects(ctx, scope, missing); err != nil {
				return err
			}
		}
	}
}

// first moves a subject to the head of the list.
func (b *behaviours) first(s *subject) {
	if b.head == s {
		return
	}
	b.unlink(s)
	s.prev, s.next = nil, b.head
	if b.head != nil {
		b.head.prev = s
	}
	b.head = s
	if b.tail == nil {
		b.tail = s
	}
}

func (b *behaviours) unlink(s *subject) {
	if s.prev != nil {
		s.prev.next = s.next
	} else if b.head == s {
		b.head = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else if b.tail == s {
		b.tail = s.prev
	}
	s.prev, s.next = nil, nil
}

// touched notes that a subject changed.
func (b *behaviours) touched(s *subject) {
	b.resize(s)
	if !s.dirty {
		s.dirty = true
		b.dirty = append(b.dirty, s)
	}
}

func (b *behaviours) resize(s *subject) {
	size := 500 + len(s.scope) + s.own.bytes() + 4*cap(s.senders) + 8*cap(s.newcomers)
	for _, c := range s.campaigns {
		size += 48 + len(c.sender)
	}
	for _, t := range s.others {
		size += 100 + t.bytes()
	}
	b.bytes += int64(size - s.size)
	s.size = size
}

// evict lets the longest unused subjects go until what stays fits. The lock is held.
func (l *Ledger) evict() {
	b := l.behaviour
	for b.bytes > l.o.BehaviourBytes && b.tail != nil && b.tail != b.head {
		s := b.tail
		if s.dirty {
			s.dirty = false
			if s.own.total() >= minWritten {
				if len(b.leaving) < mostLeaving {
					b.leaving[s.key] = leaver{s.scope, s.encode(), l.o.Now(), s}
				} else {
					l.lost.Add(1)
				}
			}
		}
		b.unlink(s)
		b.bytes -= int64(s.size)
		delete(b.subjects, s.key)
	}
	// The list of changed subjects may hold such as have left; it must not grow with them.
	if len(b.dirty) > 1000 && len(b.dirty) > 2*len(b.subjects) {
		b.dirty = slices.DeleteFunc(b.dirty, func(s *subject) bool { return !s.dirty })
	}
}

// encode writes a subject: the tally, its campaigns, what it is and where.
func (s *subject) encode() []byte {
	b := s.own.encode(nil)
	b = binary.AppendUvarint(b, uint64(len(s.campaigns)))
	for _, c := range s.campaigns {
		for _, n := range []uint64{c.form, uint64(c.first), uint64(c.last), uint64(c.recipients), uint64(len(c.sender))} {
			b = binary.AppendUvarint(b, n)
		}
		b = append(b, c.sender...)
	}
	return append(append(b, byte(s.standing)), s.place[:]...)
}

// decodeStanding reads the end of what encode wrote; unknown where an earlier version did.
func decodeStanding(rest []byte) (what standing, place digest) {
	if len(rest) != 1+len(place) || rest[0] > byte(ofPlace) {
		return unknownStanding, place
	}
	return standing(rest[0]), digestOf(rest[1:])
}

// decodeState reads what encode wrote, but for its end, which is rest.
func decodeState(state []byte) (t tally, campaigns []campaign, rest []byte, err error) {
	r := &reader{b: state}
	if err := t.decode(r); err != nil {
		return tally{}, nil, nil, err
	}
	for range r.number(mostCampaigns) {
		const most = 1<<32 - 1
		c := campaign{form: r.number(1<<64 - 1), first: uint32(r.number(most)), last: uint32(r.number(most)), recipients: uint32(r.number(most))}
		c.sender = r.text(maxSender)
		campaigns = append(campaigns, c)
	}
	if r.bad {
		return tally{}, nil, nil, errTally
	}
	return t, campaigns, r.b, nil
}

// loadSubjects reads identities, new ones as such. What cannot be read begins anew.
func (l *Ledger) loadSubjects(ctx context.Context, scope string, keys []digest) error {
	b := l.behaviour
	found := make(map[digest]*subject, len(keys))
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		clear(found)
		for _, k := range keys {
			found[k] = &subject{key: k, scope: scope}
		}
		rows := tx.Query(sqlIdentities, keys[0][:], keys[len(keys)-1][:])
		for rows.Next() {
			var key, state []byte
			var node string
			if err := rows.Scan(&key, &node, &state); err != nil {
				return err
			}
			if s := found[digestOf(key)]; s != nil {
				l.take(s, node, state)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("behaviour: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, s := range found {
		if b.subjects[k] != nil {
			continue
		}
		if w, ok := b.leaving[k]; ok {
			l.take(s, l.o.Node, w.state)
		}
		b.subjects[k] = s
		b.resize(s)
		b.first(s)
	}
	return nil
}

func digestOf(b []byte) (d digest) {
	copy(d[:], b)
	return d
}

// take puts one node's row into a subject.
func (l *Ledger) take(s *subject, node string, state []byte) {
	t, campaigns, rest, err := decodeState(state)
	if err != nil {
		l.log.Warn("behaviour of an identity cannot be read and begins anew", "account", s.scope, "error", err)
		return
	}
	s.pastDay = 0
	if s.standing == unknownStanding {
		s.standing, s.place = decodeStanding(rest)
	}
	if node == l.o.Node {
		s.own, s.campaigns = t, campaigns
		return
	}
	if s.others == nil {
		s.others = make(map[string]*tally, 1)
	}
	if len(s.others) < 64 || s.others[node] != nil {
		s.others[node] = &t
	}
}

// loadSeen reads a customer's recipients. Many messages wait for one reading; who cannot wait any longer gives up alone.
func (l *Ledger) loadSeen(ctx context.Context, at time.Time, scope string) error {
	b := l.behaviour
	b.mu.Lock()
	w := b.loading[scope]
	if w == nil && b.seen[scope] == nil {
		w = &loading{done: make(chan struct{})}
		b.loading[scope] = w
		go l.readSeen(context.WithoutCancel(ctx), at, scope, w)
	}
	b.mu.Unlock()
	if w == nil {
		return nil
	}
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("behaviour: %w", ctx.Err())
	}
}

func (l *Ledger) readSeen(ctx context.Context, at time.Time, scope string, w *loading) {
	b := l.behaviour
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var t *seenTable
	err := l.db.Read(ctx, func(tx *store.Tx) error {
		t = &seenTable{most: l.o.SeenRecipients, loaded: at, used: at}
		rows := tx.Query(sqlRecipients, scope, l.o.SeenRecipients)
		for rows.Next() {
			var recipient, day int64
			if err := rows.Scan(&recipient, &day); err != nil {
				return err
			}
			t.load(uint64(recipient)<<stampBits, uint32(day), at)
		}
		return rows.Err()
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		for _, x := range b.writes {
			if x.scope == scope {
				t.load(x.hash, x.day, at)
			}
		}
		b.seen[scope] = t
	} else {
		w.err = fmt.Errorf("behaviour: %w", err)
	}
	delete(b.loading, scope)
	close(w.done)
}
