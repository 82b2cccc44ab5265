package shaping_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"postern/internal/provider"
	"postern/internal/shaping"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// outages are the ways in which the database is away. Each returns its end.
var outages = map[string]func(t *testing.T, db *store.DB) (over func()){
	// Every write fails.
	"fails": func(t *testing.T, db *store.DB) func() {
		t.Helper()
		exec(t, db, `ALTER TABLE shaping_reaction RENAME TO gone_reaction`, `ALTER TABLE shaping_lane RENAME TO gone_lane`)
		return func() {
			exec(t, db, `ALTER TABLE gone_reaction RENAME TO shaping_reaction`, `ALTER TABLE gone_lane RENAME TO shaping_lane`)
		}
	},
	// No write comes back: another one holds the database.
	"hangs": func(t *testing.T, db *store.DB) func() {
		t.Helper()
		begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			done <- db.Write(context.WithoutCancel(t.Context()), func(*store.Tx) error {
				close(begun)
				<-end
				return nil
			})
		}()
		<-begun
		return func() {
			close(end)
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	},
}

func exec(t *testing.T, db *store.DB, statements ...string) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(s); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestAnOutageOfTheDatabase: while nothing can be stored a lane with an hour's limit waits for half a minute and goes on, within the limit; what is put in force
// and lifted meanwhile takes hold at once; afterwards all of it is stored, and a crash loses nothing.
func TestAnOutageOfTheDatabase(t *testing.T) {
	t.Parallel()
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engines := storetest.Each
			if name == "hangs" { // in PostgreSQL writes do not wait for each other
				engines = func(t *testing.T, schema fs.FS, f func(*testing.T, *store.DB)) { f(t, storetest.SQLite(t, schema)) }
			}
			engines(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
				c, k, p := newClock(), key("orange"), orange(provider.Limits{Connections: 8, PerHour: 100})
				s, _ := life(t, db, c, shaping.Options{})
				send := func(n int, wait time.Duration) (sent int) {
					t.Helper()
					for ; sent < n; sent++ {
						it, ok := s.Take(t.Context(), k, "mx", wait)
						if !ok {
							return sent
						}
						s.Observe(k, answered(it))
						s.Done(k, it)
					}
					return sent
				}
				for range 45 {
					if w := s.Offer(k, p, item("a")); w != nil {
						t.Fatalf("%+v", w)
					}
				}
				if n := send(3, time.Minute); n != 3 {
					t.Fatalf("%d of 3 left before the outage", n)
				}
				before, err := s.PauseLane(t.Context(), key("before"), c.Now().Add(time.Hour), "before", "operator:eve")
				if err != nil {
					t.Fatal(err)
				}

				over := outage(t, db)
				early := send(45, 400*time.Millisecond)
				if early > 12 { // as many as were granted with the latest counts
					t.Errorf("%d left beyond the stored counts", early)
				}
				brief, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				during, err := s.PauseLane(brief, key("during"), c.Now().Add(time.Hour), "during", "operator:eve")
				if err == nil || during.ID == "" {
					t.Errorf("a pause that cannot be stored: %+v, %v", during, err)
				}
				if _, held := s.Held(key("during")); !held {
					t.Error("the pause does not hold while it is not stored")
				}
				if err := s.Lift(brief, before.ID, "operator:eve"); err == nil || errors.Is(err, shaping.ErrNotFound) {
					t.Errorf("a lifting that cannot be stored: %v", err)
				}
				s.Observe(key("free"), answer(item("a"), 550, "550 spams detected", spams))

				c.Add(31 * time.Second)
				if n := send(42-early, time.Minute); early+n != 42 {
					t.Errorf("%d of 42 left during the outage", early+n)
				}
				c.Add(10 * time.Minute)
				over()
				c.Add(10 * time.Second)
				stored := func() (counts, reactions, ended int) {
					if err := db.Read(t.Context(), func(tx *store.Tx) error {
						return errors.Join(tx.QueryRow(`SELECT coalesce(sum(n), 0) FROM shaping_count WHERE lane = ? AND span = 60`, k.String()).Scan(&counts),
							tx.QueryRow(`SELECT count(*) FROM shaping_reaction WHERE ended = 0`).Scan(&reactions),
							tx.QueryRow(`SELECT count(*) FROM shaping_reaction WHERE ended > 0`).Scan(&ended))
					}); err != nil {
						t.Fatal(err)
					}
					return counts, reactions, ended
				}
				eventually(t, "what happened during the outage is not stored", func() bool {
					counts, reactions, ended := stored()
					return counts == 45 && reactions == 2 && ended == 1
				})
				if w := s.Offer(k, p, item("a")); w != nil {
					t.Errorf("after the outage: %+v", w)
				}
				if n := send(1, time.Minute); n != 1 {
					t.Error("nothing leaves after the outage")
				}

				s.Crash()
				s, _ = life(t, db, c, shaping.Options{})
				if f := s.InForce(); len(f) != 2 {
					t.Errorf("after a crash: %+v", f)
				}
				if _, held := s.Held(key("during")); !held {
					t.Error("the pause of the outage is lost")
				}
				if w := s.Offer(k, p, item("a")); w != nil {
					t.Fatalf("%+v", w)
				}
				if l, ok := s.Lane(k); !ok || l.UsedHour < 45 || l.UsedHour > 100 {
					t.Errorf("used of the hour after a crash: %+v", l)
				}
			})
		})
	}
}

func answered(it shaping.Item) shaping.Event { return ok(it) }
