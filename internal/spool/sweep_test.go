package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/fsx/crashfs"
	"postern/internal/store/storetest"
)

// fate is what the witness of the sweep knows of one message: its body and the states that the answers it got allow.
type fate struct {
	message *spool.Message
	may     []string // absent, queued, held, deferred
	refused bool     // Put failed with an unknown outcome
}

// witness drives a spool on a disk with faults and believes only the answers.
type witness struct {
	disk  *crashfs.Disk
	clock *storetest.Clock
	db    *store.DB
	spool *spool.Spool
	state <-chan struct{}

	mu    sync.Mutex
	fates map[mail.QueueID]*fate
}

func sweepOpen(ctx context.Context, disk *crashfs.Disk, c *storetest.Clock) (*store.DB, *spool.Spool, error) {
	db, err := store.Open(ctx, store.Options{URL: "sqlite:/data/spool.db", Migrations: store.SpoolSchema(), FS: disk,
		ReopenAfter: time.Microsecond, CheckpointPages: 24, Readers: 1})
	if err != nil {
		return nil, nil, err
	}
	s, err := spool.Open(spool.Options{DB: db, Dir: "/bodies", FS: disk, Node: "one", Now: c.Now, InlineBytes: 2000, Reserve: -1})
	if err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, s, nil
}

// told notes an answer: nil makes the new state certain, an unknown outcome adds it, any other error changes nothing.
func (w *witness) told(id mail.QueueID, state string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fates[id]
	switch {
	case err == nil:
		f.may = []string{state}
	case errors.Is(err, store.ErrBroken) || errors.Is(err, store.ErrClosed):
		f.may = append(slices.Clone(f.may), state)
	}
}

// settle waits until the database has reopened by itself.
func (w *witness) recover() {
	for w.db.Broken() != nil && !w.disk.Crashed() {
		<-w.state
	}
}

func (w *witness) put(ctx context.Context, m *spool.Message) *spool.Message {
	w.mu.Lock()
	f := &fate{message: m, may: []string{"absent"}}
	w.fates[m.ID] = f
	w.mu.Unlock()
	err := w.spool.Put(ctx, m)
	state := "queued"
	if m.Held {
		state = "held"
	}
	w.told(m.ID, state, err)
	w.mu.Lock()
	f.refused = errors.Is(err, store.ErrBroken)
	w.mu.Unlock()
	return m
}

func (w *witness) act(m *spool.Message, state string, err error) {
	w.told(m.ID, state, err)
	w.recover()
}

// scenario is a short life of a spool; it goes on after errors.
func (w *witness) scenario(ctx context.Context) {
	db, s, err := sweepOpen(ctx, w.disk, w.clock)
	if err != nil {
		return
	}
	w.db, w.spool = db, s
	state, stop := db.Watch(store.TopicState)
	defer stop()
	w.state = state
	put := func(size int, held bool, domains ...string) *spool.Message {
		w.clock.Add(time.Second)
		m := message(w.clock.Now(), size, domains...)
		m.Held = held
		w.put(ctx, m)
		w.recover()
		return m
	}
	small, large, held := put(700, false), put(9000, false), put(600, true)
	two, other := put(500, false, "a.example", "b.example"), put(5000, false)
	if _, err := s.Claim(ctx, 100); err != nil {
		w.recover()
	}
	delivered := func(m *spool.Message) spool.Outcome {
		return spool.Outcome{ID: m.ID, State: spool.Delivered, Attempted: true}
	}
	w.act(small, "absent", s.Settle(ctx, delivered(small)))
	w.act(two, "deferred", s.Settle(ctx, delivered(two),
		spool.Outcome{ID: two.ID, Index: 1, State: spool.Queued, NextAt: w.clock.Now().Add(time.Minute), Attempted: true}))
	waits := put(800, false)
	w.act(waits, "parked", s.Settle(ctx, spool.Outcome{ID: waits.ID, State: spool.Queued, NextAt: w.clock.Now().Add(time.Hour), Lane: "a|b"}))
	if n, err := s.Hurry(ctx, "a|b", time.Second); n > 0 || err != nil {
		w.act(waits, "hurried", err)
	}
	w.act(large, "held", s.Hold(ctx, large.ID, "operator", time.Time{}))
	w.act(held, "queued", s.Release(ctx, held.ID))
	err = s.Settle(ctx, delivered(held), delivered(other))
	var lost *spool.LostError
	for _, m := range []*spool.Message{held, other} {
		if !errors.As(err, &lost) || !slices.Contains(lost.IDs, m.ID) {
			if lost != nil {
				w.told(m.ID, "absent", nil)
			} else {
				w.told(m.ID, "absent", err)
			}
		}
	}
	w.recover()
	w.act(large, "queued", s.Release(ctx, large.ID))
	w.act(two, "absent", s.Drop(ctx, two.ID, "operator:eve"))
	var wg sync.WaitGroup
	for i := range 4 {
		w.clock.Add(time.Second)
		m := message(w.clock.Now(), 600+i*700, fmt.Sprintf("d%d.example", i)) // the last one beside
		wg.Go(func() { w.put(ctx, m) })
	}
	wg.Wait()
	w.recover()
	gone := put(3000, true)
	w.act(gone, "absent", s.Drop(ctx, gone.ID, "operator:eve"))
	if err := spool.Undoubt(ctx, s); err == nil {
		for _, f := range w.fates {
			if f.refused {
				f.may = []string{"absent"}
			}
		}
	} else {
		for _, f := range w.fates {
			if f.refused {
				f.may = append(slices.Clone(f.may), "absent")
			}
		}
	}
	// After a crash closing fails, which says nothing about what was promised.
	_ = db.Close()
}

// check opens what a power loss left and compares: I1 and I5 (every state allowed, every body intact), I4 (a next event),
// I9 (everything leaves).
func (w *witness) check(ctx context.Context, disk *crashfs.Disk) (err error) {
	c := storetest.NewClock(w.clock.Now().Add(24 * time.Hour))
	db, s, err := sweepOpen(ctx, disk, c)
	if err != nil {
		return fmt.Errorf("open after power loss: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	present := 0
	for id, f := range w.fates {
		state := "absent"
		work, getErr := s.Get(ctx, id)
		switch {
		case errors.Is(getErr, spool.ErrNotFound):
		case getErr != nil:
			return getErr
		case work.Held:
			state = "held"
		case len(work.Recipients) == 2 && work.Recipients[0].State == spool.Delivered && work.Recipients[1].Attempts == 1:
			state = "deferred"
		case work.Recipients[0].Lane != "" && work.Recipients[0].NextAt.After(w.clock.Now().Add(30*time.Minute)):
			state = "parked"
		case work.Recipients[0].Lane != "":
			state = "hurried"
		default:
			state = "queued"
		}
		if !slices.Contains(f.may, state) {
			err = errors.Join(err, fmt.Errorf("message %s is %s, may be %v", id, state, f.may))
		}
		if state == "absent" {
			continue
		}
		present++
		body, bodyErr := s.Body(ctx, id)
		if bodyErr != nil || !bytes.Equal(body, f.message.Body) {
			err = errors.Join(err, fmt.Errorf("message %s (%s): body of %d bytes differs, %w", id, state, len(body), bodyErr))
		}
		if work.Held {
			err = errors.Join(err, s.Release(ctx, id))
		}
	}
	st, statsErr := s.Stats(ctx)
	if statsErr != nil || st.Silent != 0 || st.Queued != present {
		return errors.Join(err, statsErr, fmt.Errorf("%d messages present, stats %+v", present, st))
	}
	works, claimErr := s.Claim(ctx, 1000)
	if claimErr != nil || len(works) != present {
		return errors.Join(err, claimErr, fmt.Errorf("%d of %d claimed", len(works), present))
	}
	for _, work := range works {
		for _, r := range work.Recipients {
			err = errors.Join(err, s.Settle(ctx, spool.Outcome{ID: work.ID, Index: r.Index, State: spool.Delivered}))
		}
	}
	err = errors.Join(err, spool.Sweep(ctx, s))
	c.Add(2 * time.Hour)
	err = errors.Join(err, spool.Sweep(ctx, s))
	files, dirErr := disk.ReadDir("/bodies")
	if dirErr != nil || len(files) != 0 {
		err = errors.Join(err, dirErr, fmt.Errorf("%d body files left", len(files)))
	}
	return err
}

// TestSweep makes operations of the scenario fail in every way, cuts the power there or at the end, and compares what is
// left with what was answered. POSTERN_SWEEP=all takes every operation instead of every fifth
// (with -short every 23rd).
func TestSweep(t *testing.T) {
	t.Parallel()
	run := func(disk *crashfs.Disk) *witness {
		w := &witness{disk: disk, clock: newClock(), fates: map[mail.QueueID]*fate{}}
		w.scenario(t.Context())
		return w
	}
	dry := crashfs.New(1)
	w := run(dry)
	for id, f := range w.fates {
		if len(f.may) != 1 {
			t.Fatalf("without faults: %s may be %v", id, f.may)
		}
	}
	must(t, errors.Join(w.check(t.Context(), dry), dry.Close()))
	operations := dry.Ops()
	step := 5
	if os.Getenv("POSTERN_SWEEP") == "all" {
		step = 1
	} else if testing.Short() {
		step = 23
	}
	for _, fault := range []crashfs.Fault{crashfs.Crash, crashfs.Torn, crashfs.EIO, crashfs.NoSpace, crashfs.Short} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			for k := 1 + int(fault)%step; k <= operations; k += step {
				disk := crashfs.New(uint64(k))
				disk.Inject(k, fault)
				w := run(disk)
				for i, keep := range []int{0, 25, 50, 75, 100} {
					after := disk.Clone(uint64(k*10+i), keep)
					if err := w.check(t.Context(), after); err != nil {
						t.Errorf("%s at operation %d of %d, %d%% kept: %v", fault, k, operations, keep, err)
					}
					must(t, after.Close())
				}
				must(t, disk.Close())
			}
		})
	}
	t.Logf("%d operations", operations)
}
