// Package guess keeps what guessing has shut: locks of user names and client networks, shared by the nodes of a cluster and kept over a restart.
//
// # What is kept
//
// A gate (password.Gate) counts wrong passwords, codes and tokens in the memory of its process. When the bound is reached it shuts, and only then is there a row
// here: with the digest of the name or the network, until when, and the networks that its user is let in from all the same. What is below the bound is not shared:
// it would cost a write for each wrong password, and without it a guesser wins the bound (five tries at a name) once for each node and restart. A good login writes
// nothing, unless it ends a lock. See docs/decisions/0012-guessing.md.
//
// # Bounds
//
// Changes are written every two seconds, at most 500 of a gate at a time, and a gate keeps at most 10,000 rows: of more the ones that are forgotten first go.
//
// # What it does not
//
// It decides nothing: gates do. Rates of requests (visitor.Limiter) are each node's own.
//
// # Who calls it
//
// app: Load before the doors open, then Run.
//
// # How it fails
//
// Without the database each gate goes on from memory; what it shut meanwhile is written later.
package guess

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"postern/internal/password"
	"postern/internal/store"
)

const (
	writeEvery = 2 * time.Second
	readEvery  = time.Minute // changes of other nodes are heard of at once; this is for what was not heard
	batch      = 500         // locks of one gate in one transaction
	mostLocks  = 10_000      // rows of one gate
	topic      = "guess"
)

// Options is what New needs.
type Options struct {
	DB     *store.DB // with store.MainSchema
	Gates  map[string]*password.Gate
	Logger *slog.Logger     // nil: silent
	Now    func() time.Time // nil: time.Now
	Most   int              // rows of one gate; default and maximum 10,000
}

// Keeper shares what gates have shut. Make one with New.
type Keeper struct {
	o     Options
	names []string // of the gates, in order
}

// New checks the options. It opens nothing.
func New(o Options) (*Keeper, error) {
	if o.DB == nil || len(o.Gates) == 0 {
		return nil, errors.New("guess: database or gates are missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Most <= 0 || o.Most > mostLocks {
		o.Most = mostLocks
	}
	return &Keeper{o: o, names: slices.Sorted(maps.Keys(o.Gates))}, nil
}

// Load tells the gates what is shut.
func (k *Keeper) Load(ctx context.Context) error {
	all := map[string][]password.Lock{}
	now := k.o.Now()
	err := k.o.DB.Read(ctx, func(t *store.Tx) error {
		clear(all)
		rows := t.Query(`SELECT gate, name, count, last, ends, forget, known FROM guess_lock WHERE forget >= ?`, now)
		for rows.Next() {
			var gate, known string
			var l password.Lock
			if err := rows.Scan(&gate, &l.Name, &l.Count, &l.Last, &l.Until, &l.Forget, &known); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(known), &l.Known); err != nil {
				return err
			}
			all[gate] = append(all[gate], l)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("guess: read: %w", err)
	}
	for name, g := range k.o.Gates {
		g.Learn(all[name], now)
	}
	return nil
}

// Run shares until ctx ends, then writes the rest and returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	heard, stop := k.o.DB.Watch(topic)
	defer stop()
	write, read := time.NewTicker(writeEvery), time.NewTicker(readEvery)
	defer write.Stop()
	defer read.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := k.Flush(end); err != nil {
				k.o.Logger.Warn("locks of guessed names not written; a restart forgets them", "error", err)
			}
			return nil
		case <-write.C:
			err = k.Flush(ctx)
		case <-heard:
			err = k.Load(ctx)
		case <-read.C:
			err = k.Load(ctx)
		}
		if err != nil && ctx.Err() == nil {
			k.o.Logger.Warn("locks of guessed names not shared, trying again", "error", err)
		}
	}
}

// Flush writes what gates have shut or opened since the last time.
func (k *Keeper) Flush(ctx context.Context) error {
	now := k.o.Now()
	changed := map[string][]password.Lock{}
	for _, name := range k.names {
		if list := k.o.Gates[name].Changes(batch, now); len(list) > 0 {
			slices.SortFunc(list, func(a, b password.Lock) int { return cmp.Compare(a.Name, b.Name) }) // nodes do not wait for each other in a circle
			changed[name] = list
		}
	}
	if len(changed) == 0 {
		return nil
	}
	err := k.o.DB.Write(ctx, func(t *store.Tx) error {
		if _, err := t.Exec(`DELETE FROM guess_lock WHERE forget < ?`, now); err != nil {
			return err
		}
		for _, name := range k.names {
			if err := k.write(t, name, changed[name]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for name, list := range changed {
			for _, l := range list {
				k.o.Gates[name].Changed(l)
			}
		}
		return fmt.Errorf("guess: write: %w", err)
	}
	k.o.DB.Notify(topic)
	return nil
}

// write stores the locks of a gate and keeps their number in bounds.
func (k *Keeper) write(t *store.Tx, gate string, list []password.Lock) error {
	if len(list) == 0 {
		return nil
	}
	for _, l := range list {
		if l.Over {
			if _, err := t.Exec(`DELETE FROM guess_lock WHERE gate = ? AND name = ?`, gate, l.Name); err != nil {
				return err
			}
			continue
		}
		known, err := json.Marshal(l.Known)
		if err != nil {
			return err
		}
		if _, err := t.Exec(`INSERT INTO guess_lock (gate, name, count, last, ends, forget, known) VALUES (?,?,?,?,?,?,?)
 ON CONFLICT (gate, name) DO UPDATE SET count = excluded.count, last = excluded.last, ends = excluded.ends, forget = excluded.forget, known = excluded.known
 WHERE excluded.ends > guess_lock.ends`, gate, l.Name, l.Count, l.Last, l.Until, l.Forget, string(known)); err != nil {
			return err
		}
	}
	_, err := t.Exec(`DELETE FROM guess_lock WHERE gate = ? AND name IN (SELECT name FROM guess_lock WHERE gate = ? ORDER BY forget DESC, name LIMIT ? OFFSET ?)`, gate, gate, batch*10, k.o.Most)
	return err
}
