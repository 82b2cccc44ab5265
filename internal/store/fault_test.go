package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"postern/internal/store"
	"postern/internal/store/fsx/crashfs"
	"postern/internal/store/storetest"
)

func openDisk(t *testing.T) (*store.DB, *crashfs.Disk) {
	t.Helper()
	disk := crashfs.New(1)
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return storetest.Open(t, sweepOptions(disk)), disk
}

// TestFullDisk fills the disk, sees ErrFull and not ErrBroken, sees deletes succeed, and sees writing resume.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	db, disk := openDisk(t)
	for i := range 4 {
		if err := pair(t.Context(), db, fmt.Sprint("before", i), 20000); err != nil {
			t.Fatal(err)
		}
	}
	disk.SetSpace(30000)
	if err := pair(t.Context(), db, "big", 200000); !errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrBroken) {
		t.Fatalf("got %v, want ErrFull alone", err)
	}
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec("DELETE FROM twin WHERE id = 'before0'")
		return err
	})
	if err != nil {
		t.Errorf("a delete with little space left: %v", err)
	}
	disk.SetSpace(-1)
	if err := pair(t.Context(), db, "after", 200000); err != nil {
		t.Errorf("with space again: %v", err)
	}
	if err := db.Broken(); err != nil {
		t.Errorf("Broken with space again: %v", err)
	}
}

// TestFullDiskEndsByItself waits for the database to notice the space without anyone writing.
func TestFullDiskEndsByItself(t *testing.T) {
	t.Parallel()
	db, disk := openDisk(t)
	state, stop := db.Watch(store.TopicState)
	defer stop()
	disk.SetSpace(0)
	if err := pair(t.Context(), db, "big", 200000); !errors.Is(err, store.ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	<-state
	if err := db.Broken(); !errors.Is(err, store.ErrFull) {
		t.Errorf("Broken: %v, want ErrFull", err)
	}
	disk.SetSpace(-1)
	for db.Broken() != nil {
		<-state
	}
}

// TestFailedSyncFailsTheWholeBatch lets a sync fail under many concurrent Writes: each of those it covered is told
// ErrBroken, and the ones told nil survive a power loss.
func TestFailedSyncFailsTheWholeBatch(t *testing.T) {
	t.Parallel()
	db, disk := openDisk(t)
	state, stop := db.Watch(store.TopicState)
	defer stop()
	var broken atomic.Bool
	disk.Before(func(op crashfs.Op) error {
		if op.Kind == "sync" && broken.CompareAndSwap(false, true) {
			return errors.New("medium error")
		}
		return nil
	})
	var wg sync.WaitGroup
	var failed atomic.Int64
	for i := range 32 {
		wg.Go(func() {
			if err := pair(t.Context(), db, fmt.Sprint(i), 100); errors.Is(err, store.ErrBroken) {
				failed.Add(1)
			} else if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for db.Broken() != nil {
		<-state
	}
	if failed.Load() == 0 {
		t.Error("a failed sync was reported to nobody")
	}
	var n int64
	err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT count(*) FROM twin").Scan(&n) })
	if err != nil || n != 32-failed.Load() {
		t.Errorf("%d rows, %d failed (%v)", n, failed.Load(), err)
	}
}

// TestBrokenFailsFast keeps the disk failing: Writes must not wait for it.
func TestBrokenFailsFast(t *testing.T) {
	t.Parallel()
	db, disk := openDisk(t)
	state, stop := db.Watch(store.TopicState)
	defer stop()
	disk.Before(func(op crashfs.Op) error {
		if op.Kind == "sync" || op.Kind == "truncate" {
			return errors.New("medium error")
		}
		return nil
	})
	for range 100 {
		if err := pair(t.Context(), db, "a", 100); !errors.Is(err, store.ErrBroken) {
			t.Fatalf("got %v, want ErrBroken", err)
		}
	}
	disk.Before(nil)
	for db.Broken() != nil {
		<-state
	}
	if err := pair(t.Context(), db, "a", 100); err != nil {
		t.Error(err)
	}
}

// TestSlowDisk holds a sync until many Writes wait: they must then share few syncs.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, disk := openDisk(t)
		release := make(chan struct{})
		var syncs atomic.Int64
		disk.Before(func(op crashfs.Op) error {
			if op.Kind == "sync" && syncs.Add(1) == 1 {
				<-release
			}
			return nil
		})
		var wg sync.WaitGroup
		for i := range 101 {
			wg.Go(func() {
				if err := pair(t.Context(), db, fmt.Sprint(i), 10); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // all of them wait, the first for its sync
		close(release)
		wg.Wait()
		if n := syncs.Load(); n > 60 {
			t.Errorf("%d syncs for 101 concurrent Writes", n)
		}
	})
}

func TestCancelledWriteDoesNotHappen(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		// Cancelled before: never runs. Cancelled inside: the true result, which is success.
		err := db.Write(ctx, func(tx *store.Tx) error {
			cancel()
			_, err := tx.Exec("INSERT INTO item (id, body) VALUES ('inside', ?)", []byte{})
			return err
		})
		if err != nil {
			t.Errorf("cancelled inside: %v", err)
		}
		if err := put(ctx, db, "before", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: %v", err)
		}
		err = db.Read(ctx, func(*store.Tx) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Read: %v", err)
		}
		if n := count(t, db); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}
