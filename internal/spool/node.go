package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// peer is what this node saw of another one.
type peer struct {
	epoch, beats int64
	since        time.Time // when it was first seen like this, by our clock: the nodes' clocks need not agree
}

// join begins a new life of this node: the epoch moves, claims of the life before are void, memory starts empty.
func (s *Spool) join(ctx context.Context) error {
	var epoch int64
	now := s.o.Now()
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(sqlJoin, s.o.Node, micros(now)); err != nil {
			return err
		}
		return tx.QueryRow(sqlEpoch, s.o.Node).Scan(&epoch)
	})
	if err != nil {
		return fmt.Errorf("start spool: %w", err)
	}
	s.mu.Lock()
	s.epoch, s.beatAt = epoch, now
	s.win.reset()
	s.mu.Unlock()
	s.bodies.clear()
	s.signal()
	return nil
}

// beat proves that this node lives. Declared dead meanwhile, it joins again and finds what the others left it.
func (s *Spool) beat(ctx context.Context) error {
	s.mu.Lock()
	epoch := s.epoch
	s.mu.Unlock()
	now := s.o.Now()
	var alive int64
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		alive, err = tx.Exec(sqlBeat, micros(now), s.o.Node, epoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if alive == 0 {
		s.log.Warn("spool: this node was declared dead by another one, its claims are void", "node", s.o.Node)
		return s.join(ctx)
	}
	s.mu.Lock()
	if s.epoch == epoch {
		s.beatAt = now
	}
	s.mu.Unlock()
	return nil
}

// renew beats when the last proof of life is old, so that a node that slept claims nothing another one has adopted.
func (s *Spool) renew(ctx context.Context) error {
	if !s.shared {
		return nil
	}
	s.mu.Lock()
	age := s.o.Now().Sub(s.beatAt)
	s.mu.Unlock()
	if age >= 0 && age < s.o.AdoptAfter/2 {
		return nil
	}
	return s.beat(ctx)
}

// observe looks at the other nodes that have mail and adopts it when one has been silent too long.
func (s *Spool) observe(ctx context.Context) error {
	seen := map[string]peer{}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		clear(seen)
		rows := tx.Query(sqlNodes, s.o.Node)
		for rows.Next() {
			var name string
			var p peer
			if err := rows.Scan(&name, &p.epoch, &p.beats); err != nil {
				return err
			}
			seen[name] = p
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("observe nodes: %w", err)
	}
	now := s.o.Now()
	var dead []string
	s.mu.Lock()
	for name, p := range seen {
		before, known := s.peers[name]
		if p.since = now; known && before.epoch == p.epoch && before.beats == p.beats && !now.Before(before.since) {
			p.since = before.since
		}
		seen[name] = p
		if now.Sub(p.since) >= s.o.AdoptAfter {
			dead = append(dead, name)
		}
	}
	s.peers = seen
	s.mu.Unlock()
	for _, name := range dead {
		if err := s.adopt(ctx, name, seen[name]); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes over the mail of a dead node. First its epoch moves: from then on nothing it still tries to settle counts.
// Then its messages change owner, a thousand per transaction; another survivor may do the same at the same time.
func (s *Spool) adopt(ctx context.Context, name string, p peer) error {
	var buried int64
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		buried, err = tx.Exec(sqlBury, name, p.epoch, p.beats)
		return err
	})
	if err != nil {
		return fmt.Errorf("adopt mail of %s: %w", name, err)
	}
	if buried == 0 { // it moved, or another survivor was first
		return nil
	}
	total := int64(0)
	for {
		var n int64
		err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(sqlAdopt, s.o.Node, name)
			return err
		})
		if err != nil || n == 0 {
			break
		}
		total += n
		s.mu.Lock()
		s.lookAgainLocked()
		s.mu.Unlock()
	}
	s.adopted.Add(total)
	s.log.Warn("spool: mail of a silent node adopted", "node", name, "messages", total)
	if err != nil {
		return fmt.Errorf("adopt mail of %s: %w", name, err)
	}
	return nil
}

// Run does what must happen beside the mail: heartbeat and adoption, free space, the watchdog, body files without a
// message, refused messages that were stored. It returns nil when ctx ends. Without it the spool works, but a node of a
// cluster is taken for dead, and what went wrong is not mended.
func (s *Spool) Run(ctx context.Context) error {
	changed, stop := s.db.Watch(topic(s.o.Node))
	defer stop()
	beat := time.NewTicker(max(s.o.AdoptAfter/6, 10*time.Millisecond))
	defer beat.Stop()
	watch := time.NewTicker(30 * time.Second)
	defer watch.Stop()
	sweep := time.NewTicker(max(s.o.SweepEvery/2, 10*time.Millisecond))
	defer sweep.Stop()
	s.try(ctx, "start", s.Start)
	s.try(ctx, "sweep", s.sweep)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if s.shared && s.started.Load() {
				s.try(ctx, "beat", s.beat)
			}
			s.try(ctx, "observe", s.observe)
			if s.o.Dir != "" && s.o.Reserve >= 0 {
				s.measureSpace()
			}
			s.try(ctx, "undoubt", s.undoubt)
		case <-watch.C:
			s.try(ctx, "watch", s.watch)
		case <-sweep.C:
			s.try(ctx, "sweep", s.sweep)
		case <-changed:
			s.changedElsewhere()
		}
	}
}

// try runs one duty of Run; it comes round again, so an error is only said.
func (s *Spool) try(ctx context.Context, duty string, fn func(context.Context) error) {
	err := fn(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
		s.log.Warn("spool: will be tried again", "duty", duty, "error", err)
	}
}

// watch is the watchdog of the law that nothing sits silent. It brings forward what would wait longer than
// Options.MaxWait (a clock that was wrong when it was written), and makes memory know what is overdue in the store.
func (s *Spool) watch(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	latest := micros(s.o.Now().Add(s.o.MaxWait + time.Hour))
	var far []mail.QueueID
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		far = far[:0]
		rows := tx.Query(sqlTooFar, s.o.Node, latest)
		for rows.Next() {
			var id mail.QueueID
			if err := rows.Scan((*string)(&id)); err != nil {
				return err
			}
			far = append(far, id)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	for _, id := range far {
		if err := s.Retry(ctx, id); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) {
			return fmt.Errorf("watchdog: %w", err)
		}
		s.mended.Add(1)
	}
	silent, err := s.silent(ctx)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	s.mu.Lock()
	for _, k := range silent {
		s.win.add(k, nil, true)
	}
	s.mu.Unlock()
	s.mended.Add(int64(len(silent)))
	if len(far)+len(silent) > 0 {
		s.log.Error("spool: messages without a next event mended", "too_far", len(far), "unknown", len(silent))
		s.signal()
	}
	return nil
}

// silent finds queued messages of this node that are due, and that memory ought to know and does not.
func (s *Spool) silent(ctx context.Context) ([]key, error) {
	look := func() ([]key, error) {
		s.mu.Lock()
		horizon := s.win.horizon
		s.mu.Unlock()
		var keys []key
		err := s.db.Read(ctx, func(tx *store.Tx) (err error) {
			keys, err = readKeys(keys[:0], tx.Query(sqlOverdue, s.o.Node, micros(s.o.Now()), horizon.at, string(horizon.id), 2*s.o.Window))
			return err
		})
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		unknown := keys[:0]
		for _, k := range keys {
			_, doubtful := s.doubtful[k.id]
			if s.win.byID[k.id] == nil && !s.lockedLocked(k.id) && !doubtful && !s.win.horizon.less(k) {
				unknown = append(unknown, k)
			}
		}
		return unknown, nil
	}
	first, err := look()
	if err != nil || len(first) == 0 {
		return nil, err
	}
	again, err := look() // what was settled between reading and comparing is gone now
	if err != nil {
		return nil, err
	}
	twice := make(map[mail.QueueID]bool, len(first))
	for _, k := range first {
		twice[k.id] = true
	}
	silent := again[:0]
	for _, k := range again {
		if twice[k.id] {
			silent = append(silent, k)
		}
	}
	return silent, nil
}
