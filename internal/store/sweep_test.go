package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/fsx/crashfs"
)

// witness remembers what a store promised, and reads nothing from it.
type witness struct {
	mu      sync.Mutex
	acked   map[string]bool // Write returned nil: must be there
	refused map[string]bool // Write returned an error other than ErrBroken: must not be there
	steps   int
}

func (w *witness) note(id string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps++
	switch {
	case err == nil:
		w.acked[id] = true
	case !errors.Is(err, store.ErrBroken) && !errors.Is(err, store.ErrClosed):
		w.refused[id] = true
	}
}

// sweepOptions open the store of the sweep: a short log, so that checkpoints happen, and no pause before reopening.
func sweepOptions(disk *crashfs.Disk) store.Options {
	return store.Options{URL: "sqlite:/data/spool.db", Migrations: sweepSchema(), FS: disk,
		ReopenAfter: time.Microsecond, CheckpointPages: 24, Readers: 1}
}

// pair puts two rows that belong together, in one Write, one of them in the table with the big rows.
func pair(ctx context.Context, db *store.DB, id string, size int) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec("INSERT INTO item (id, body) VALUES (?, ?)", id, body(id, size)); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT INTO twin (id, size) VALUES (?, ?)", id, size)
		return err
	})
}

// body is the content that belongs to an id.
func body(id string, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = id[i%len(id)] + byte(i/251)
	}
	return b
}

// sweepScenario opens a store, writes to it alone and from several goroutines, and closes it. It goes on after errors:
// a store must stay honest after them.
func sweepScenario(ctx context.Context, disk *crashfs.Disk) *witness {
	w := &witness{acked: map[string]bool{}, refused: map[string]bool{}}
	db, err := store.Open(ctx, sweepOptions(disk))
	if err != nil {
		return w
	}
	state, stop := db.Watch(store.TopicState)
	defer stop()
	put := func(id string, size int) {
		err := pair(ctx, db, id, size)
		w.note(id, err)
		if err != nil {
			recovered(db, state, disk)
		}
	}
	for i := range 6 {
		put(fmt.Sprintf("alone%d", i), 300+i*2900)
	}
	for round := range 3 {
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				id := fmt.Sprintf("batch%d.%d", round, i)
				w.note(id, pair(ctx, db, id, 900))
			})
		}
		wg.Wait()
		recovered(db, state, disk)
	}
	put("last", 10000)
	// After a crash closing fails, which says nothing about what was promised.
	_ = db.Close()
	return w
}

// recovered waits until the database works again or the disk has crashed.
func recovered(db *store.DB, state <-chan struct{}, disk *crashfs.Disk) {
	look := time.NewTicker(time.Millisecond) // a crash is not announced
	defer look.Stop()
	for db.Broken() != nil && !disk.Crashed() {
		select {
		case <-state:
		case <-look.C:
		}
	}
}

// check opens what a power loss left and compares it with what was promised.
func (w *witness) check(ctx context.Context, disk *crashfs.Disk) error {
	db, err := store.Open(ctx, sweepOptions(disk))
	if err != nil {
		return fmt.Errorf("open after power loss: %w", err)
	}
	found := map[string]bool{}
	err = db.Read(ctx, func(tx *store.Tx) error {
		var verdict string
		if err := tx.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			return fmt.Errorf("integrity: %q, %w", verdict, err)
		}
		rows := tx.Query("SELECT i.id, i.body, coalesce(t.size, -1) FROM item i LEFT JOIN twin t ON t.id = i.id")
		for rows.Next() {
			var id string
			var content []byte
			var size int
			if err := rows.Scan(&id, &content, &size); err != nil {
				return err
			}
			if size < 0 || string(content) != string(body(id, size)) {
				return fmt.Errorf("%s is there by halves (%d bytes, size %d)", id, len(content), size)
			}
			found[id] = true
		}
		if err := rows.Err(); err != nil {
			return err
		}
		var twins int
		if err := tx.QueryRow("SELECT count(*) FROM twin").Scan(&twins); err != nil || twins != len(found) {
			return fmt.Errorf("%d twins of %d items, %w", twins, len(found), err)
		}
		return nil
	})
	for id := range w.acked {
		if !found[id] {
			err = errors.Join(err, fmt.Errorf("%s was acknowledged and is lost", id))
		}
	}
	for id := range w.refused {
		if found[id] {
			err = errors.Join(err, fmt.Errorf("%s was refused and is there", id))
		}
	}
	if err == nil {
		err = pair(ctx, db, "after", 5000)
	}
	return errors.Join(err, db.Close())
}

// TestSweep makes every operation of the scenario fail in every way, cuts the power there or at the end, and looks for
// every acknowledged Write in what is left.
func TestSweep(t *testing.T) {
	t.Parallel()
	dry := crashfs.New(1)
	w := sweepScenario(t.Context(), dry)
	if len(w.acked) != 19 || len(w.refused) != 0 {
		t.Fatalf("without faults: %d acknowledged, %d refused", len(w.acked), len(w.refused))
	}
	if err := errors.Join(w.check(t.Context(), dry), dry.Close()); err != nil {
		t.Fatal(err)
	}
	operations := dry.Ops()
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, fault := range []crashfs.Fault{crashfs.Crash, crashfs.Torn, crashfs.EIO, crashfs.NoSpace, crashfs.Short} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			for k := 1; k <= operations; k += step {
				sweepOne(t, fault, k)
			}
		})
	}
	t.Logf("%d operations", operations)
}

func sweepOne(t *testing.T, fault crashfs.Fault, k int) {
	disk := crashfs.New(uint64(k))
	disk.Inject(k, fault)
	keeps := []int{0, 50, 100}
	if fault == crashfs.Crash || fault == crashfs.Torn {
		keeps = []int{0, 25, 50, 75, 100}
	}
	survive(t, disk, fmt.Sprintf("%s at operation %d", fault, k), uint64(k), keeps...)
}

// TestSweepFailedSync makes each sync fail and then cuts the power during what follows: the reopening, which must not
// build on pages that the failed sync left in memory only.
func TestSweepFailedSync(t *testing.T) {
	t.Parallel()
	var syncs []int
	dry := crashfs.New(1)
	dry.Before(func(op crashfs.Op) error {
		if op.Kind == "sync" {
			syncs = append(syncs, op.N)
		}
		return nil
	})
	sweepScenario(t.Context(), dry)
	if err := dry.Close(); err != nil {
		t.Fatal(err)
	}
	step := 2
	if testing.Short() {
		step = 8
	}
	for later := 1; later <= 14; later += step {
		t.Run(fmt.Sprint(later), func(t *testing.T) {
			t.Parallel()
			for _, k := range syncs {
				disk := crashfs.New(uint64(k))
				disk.Inject(k, crashfs.EIO)
				disk.Inject(k+later, crashfs.Torn)
				survive(t, disk, fmt.Sprintf("sync %d failed, crash at operation %d", k, k+later), uint64(k*100+later), 0, 25, 75)
			}
		})
	}
}

// survive runs the scenario on a disk with faults and looks at what several power losses leave of it.
func survive(t *testing.T, disk *crashfs.Disk, what string, seed uint64, keeps ...int) {
	t.Helper()
	w := sweepScenario(t.Context(), disk)
	for _, keep := range keeps {
		seed++
		after := disk.Clone(seed, keep)
		if err := w.check(t.Context(), after); err != nil {
			t.Errorf("%s, %d%% kept: %v", what, keep, err)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := disk.Close(); err != nil {
		t.Error(err)
	}
}

// sweepSchema has two tables whose rows come in pairs.
func sweepSchema() store.Schema {
	return sqliteSchema(`CREATE TABLE item (id TEXT PRIMARY KEY, body BLOB NOT NULL);
		CREATE TABLE twin (id TEXT PRIMARY KEY, size INTEGER NOT NULL);`)
}
