package spool_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/fsx"
	"postern/internal/store/fsx/crashfs"
	"postern/internal/store/storetest"
)

func TestDamagedBody(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		for name, size := range map[string]int{"inline": 100, "beside": 10_000, "truncated": 10_001, "missing": 10_002} {
			t.Run(name, func(t *testing.T) {
				c := newClock()
				dir := t.TempDir()
				same := func(o *spool.Options) { o.Dir = dir }
				m := put(t, open(t, db, c, same), message(c.Now(), size))
				s := open(t, db, c, same)
				claim(t, s, 1)
				files, _ := fsx.OS.ReadDir(dir)
				if name == "inline" {
					must(t, db.Write(t.Context(), func(tx *store.Tx) error {
						_, err := tx.Exec(`UPDATE spool_message SET body = ? WHERE id = ?`, append([]byte("x"), m.Body[1:]...), string(m.ID))
						return err
					}))
				} else {
					file := filepath.Join(dir, files[0].Name())
					f, err := fsx.OS.OpenWrite(file)
					must(t, err)
					switch name {
					case "beside":
						_, err = f.WriteAt([]byte{m.Body[5000] ^ 1}, 5000)
					case "truncated":
						err = f.Truncate(5000)
					case "missing":
						err = fsx.OS.Remove(file)
					}
					must(t, err)
					f.Close()
				}
				if _, err := s.Body(t.Context(), m.ID); !errors.Is(err, spool.ErrDamaged) {
					t.Fatalf("body: %v", err)
				}
				s.Unclaim(m.ID)
				w, err := s.Get(t.Context(), m.ID)
				must(t, err)
				if !w.Held || w.HoldReason != spool.ReasonDamaged || w.HoldUntil.IsZero() {
					t.Errorf("not held as damaged: %+v", w.Message)
				}
				if w := claim(t, s, 10); len(w) != 0 {
					t.Errorf("claimed a damaged message")
				}
				if st := stats(t, s); st.Damaged != 1 || st.Held != 1 {
					t.Errorf("stats %+v", st)
				}
				must(t, s.Drop(t.Context(), m.ID, "operator:eve"))
			})
		}
	})
}

// fullDisk is a file system whose free space the test chooses.
type fullDisk struct {
	fsx.FS
	mu   sync.Mutex
	free int64
}

func (f *fullDisk) Free(string) (int64, int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.free, 100 << 30, nil
}

func (f *fullDisk) set(free int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = free
}

func TestReserve(t *testing.T) {
	db := storetest.SQLite(t, store.SpoolSchema())
	c := newClock()
	disk := &fullDisk{FS: fsx.OS, free: 10 << 30}
	s := open(t, db, c, func(o *spool.Options) { o.FS, o.Reserve = disk, 1<<30 })
	m := put(t, s, message(c.Now(), 10))
	for _, step := range []struct {
		free int64
		full bool
	}{{1<<30 - 1, true}, {1 << 30, true}, {2<<30 - 1, true}, {2 << 30, false}, {1 << 30, false}, {0, true}} {
		disk.set(step.free)
		c.Add(2 * time.Second)
		err := s.Put(t.Context(), message(c.Now(), 10, "b.example"))
		if errors.Is(err, spool.ErrFull) != step.full || err != nil && !step.full {
			t.Errorf("free %d: %v", step.free, err)
		}
	}
	if st := stats(t, s); !st.Full || st.Free != 0 || !s.Full() {
		t.Errorf("stats %+v", st)
	}
	notice := message(c.Now(), 10)
	notice.Notice = true
	put(t, s, notice)             // the reserve is for it: nothing is settled before the notice of a bounce is queued
	wantIDs(t, claim(t, s, 1), m) // what is there still leaves
	must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Delivered}))
}

// TestFullDisk: a disk without room refuses mail as full and takes it again when there is room.
func TestFullDisk(t *testing.T) {
	for name, size := range map[string]int{"inline": 1500, "beside": 30_000} {
		t.Run(name, func(t *testing.T) {
			disk := crashfs.New(1)
			defer disk.Close()
			c := newClock()
			db, s, err := sweepOpen(t.Context(), disk, c)
			must(t, err)
			first := put(t, s, message(c.Now(), size))
			disk.SetSpace(1000)
			refused := message(c.Now(), size)
			if err := s.Put(t.Context(), refused); !errors.Is(err, spool.ErrFull) {
				t.Fatalf("put on a full disk: %v", err)
			}
			disk.SetSpace(1 << 20)
			wantIDs(t, claim(t, s, 10), first)
			must(t, s.Settle(t.Context(), spool.Outcome{ID: first.ID, State: spool.Delivered}))
			put(t, s, refused)
			wantIDs(t, claim(t, s, 10), refused)
			must(t, db.Close())
		})
	}
}

func TestDamagedDescription(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		m := put(t, open(t, db, c), message(c.Now(), 10))
		must(t, db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE spool_message SET meta = ? WHERE id = ?`, []byte{9, 9}, string(m.ID))
			return err
		}))
		s := open(t, db, c)
		if w := claim(t, s, 10); len(w) != 0 {
			t.Fatalf("claimed %v", ids(w))
		}
		if err := s.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Delivered}); !errors.Is(err, spool.ErrLost) {
			t.Errorf("settle: %v", err)
		}
		w, err := s.Get(t.Context(), m.ID)
		if err != nil || !w.Held || w.HoldReason != spool.ReasonDamaged {
			t.Errorf("held: %+v, %v", w, err)
		}
		stats(t, s)
		must(t, s.Drop(t.Context(), m.ID, "operator:eve"))
	})
}
