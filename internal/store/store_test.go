package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// schema is a small set of migrations for tests.
func schema() fs.FS {
	return store.Schema{Set: "test", FS: fstest.MapFS{
		"0001_item.sqlite.sql": {Data: []byte(`CREATE TABLE item (id TEXT PRIMARY KEY, body BLOB NOT NULL, n INTEGER NOT NULL DEFAULT 0,
			ratio REAL, held INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL DEFAULT 0, note TEXT) STRICT;
			CREATE INDEX item_at ON item (at);`)},
		"0001_item.postgres.sql": {Data: []byte(`CREATE TABLE item (id TEXT PRIMARY KEY, body BYTEA NOT NULL, n BIGINT NOT NULL DEFAULT 0,
			ratio DOUBLE PRECISION, held BIGINT NOT NULL DEFAULT 0, at BIGINT NOT NULL DEFAULT 0, note TEXT);
			CREATE INDEX item_at ON item (at);`)},
	}}
}

func put(ctx context.Context, db *store.DB, id string, body []byte) error {
	return db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec("INSERT INTO item (id, body) VALUES (?, ?)", id, body)
		return err
	})
}

func count(t *testing.T, db *store.DB) int {
	t.Helper()
	var n int
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow("SELECT count(*) FROM item").Scan(&n)
	})
	if err != nil {
		t.Fatalf("count: %v", err)
	}
	return n
}

type slug string

func TestValuesRoundTrip(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 3, 29, 2, 30, 0, 123456000, time.FixedZone("", 7200))
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Exec("INSERT INTO item (id, body, n, ratio, held, at, note) VALUES (?, ?, ?, ?, ?, ?, ?)",
				slug("a?'b"), []byte{0, 1, 0xff}, 42, 2.5, true, at, nil)
			if err == nil && n != 1 {
				err = fmt.Errorf("insert changed %d rows", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			var (
				id    slug
				body  []byte
				n     uint16
				ratio float64
				held  bool
				when  time.Time
				note  = "before"
				sum   int64
				mark  string
			)
			row := tx.QueryRow(`SELECT id, body, n, ratio, held, at, note, (SELECT sum(n) FROM item), '?' /* ? */
				FROM item WHERE id = ? -- ?`, "a?'b")
			if err := row.Scan(&id, &body, &n, &ratio, &held, &when, &note, &sum, &mark); err != nil {
				return err
			}
			if id != "a?'b" || string(body) != "\x00\x01\xff" || n != 42 || ratio != 2.5 || !held || !when.Equal(at) ||
				note != "" || sum != 42 || mark != "?" {
				t.Errorf("read %q %x %d %v %v %v %q %d %q", id, body, n, ratio, held, when, note, sum, mark)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestHostileText(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO item (id, body, note) VALUES (?, ?, ?)", "a", []byte(nil), "x\x00y\xff\xfez")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var note string
		body := []byte("before")
		var at time.Time
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow("SELECT note, body, at FROM item").Scan(&note, &body, &at)
		})
		if err != nil || note != "x\uFFFDy\uFFFDz" || len(body) != 0 || !at.IsZero() {
			t.Errorf("got %q %q %v, %v", note, body, at, err)
		}
	})
}

func TestFailureOfOneFunctionUndoesOnlyThatOne(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		boom := errors.New("boom")
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				err := db.Write(t.Context(), func(tx *store.Tx) error {
					if _, err := tx.Exec("INSERT INTO item (id, body) VALUES (?, ?)", fmt.Sprint(i), []byte("x")); err != nil {
						return err
					}
					switch i % 4 {
					case 1:
						return boom
					case 2: // a failed statement fails the function, whatever it returns
						_, _ = tx.Exec("INSERT INTO item (id, body) VALUES (?, ?)", fmt.Sprint(i), []byte("again"))
						return nil
					case 3:
						_, _ = tx.Exec("INSERT INTO no_such_table VALUES (1)")
						return nil
					}
					return nil
				})
				switch i % 4 {
				case 0:
					if err != nil {
						t.Errorf("%d: %v", i, err)
					}
				case 1:
					if !errors.Is(err, boom) {
						t.Errorf("%d: got %v, want boom", i, err)
					}
				case 2:
					if !errors.Is(err, store.ErrConflict) {
						t.Errorf("%d: got %v, want ErrConflict", i, err)
					}
				case 3:
					if err == nil || errors.Is(err, store.ErrBroken) {
						t.Errorf("%d: got %v, want an ordinary error", i, err)
					}
				}
			})
		}
		wg.Wait()
		if n := count(t, db); n != 50 {
			t.Errorf("%d rows, want 50", n)
		}
		if err := db.Broken(); err != nil {
			t.Errorf("Broken: %v", err)
		}
	})
}

func TestNestedResults(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		for i := range 50 {
			if err := put(t.Context(), db, fmt.Sprintf("%02d", i), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			rows := tx.Query("SELECT id FROM item ORDER BY id FOR UPDATE SKIP LOCKED")
			seen := 0
			for rows.Next() {
				if _, err := tx.Exec("UPDATE item SET n = n + 1 WHERE id = ?", fmt.Sprintf("%02d", seen)); err != nil {
					return err
				}
				var id string
				if err := rows.Scan(&id); err != nil {
					return err
				}
				if id != fmt.Sprintf("%02d", seen) {
					t.Errorf("row %d is %q", seen, id)
				}
				inner := tx.Query("SELECT id FROM item")
				inner.Next() // left open
				seen++
			}
			if seen != 50 {
				t.Errorf("saw %d rows", seen)
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestReadCannotWriteAndSeesSnapshot(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO item (id, body) VALUES ('a', '')")
			return err
		})
		if err == nil {
			t.Error("a Read could write")
		}
		if err := put(t.Context(), db, "a", nil); err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			var before, after int
			if err := tx.QueryRow("SELECT count(*) FROM item").Scan(&before); err != nil {
				return err
			}
			if err := put(t.Context(), db, "b", nil); err != nil {
				return err
			}
			if err := tx.QueryRow("SELECT count(*) FROM item").Scan(&after); err != nil {
				return err
			}
			if before != 1 || after != 1 {
				t.Errorf("saw %d then %d rows", before, after)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db); n != 2 {
			t.Errorf("%d rows, want 2", n)
		}
	})
}

func TestLostUpdatesDoNotHappen(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		if err := put(t.Context(), db, "a", nil); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					err := db.Write(t.Context(), func(tx *store.Tx) error {
						var n int
						if err := tx.QueryRow("SELECT n FROM item WHERE id = 'a'").Scan(&n); err != nil {
							return err
						}
						_, err := tx.Exec("UPDATE item SET n = ? WHERE id = 'a'", n+1)
						return err
					})
					if err != nil {
						t.Errorf("write: %v", err)
					}
				}
			})
		}
		wg.Wait()
		var n int
		err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT n FROM item").Scan(&n) })
		if err != nil || n != 40 {
			t.Errorf("counted %d, want 40 (%v)", n, err)
		}
	})
}

func TestNoRowsAndCloseTwice(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			var id string
			if err := tx.QueryRow("SELECT id FROM item").Scan(&id); !errors.Is(err, store.ErrNoRows) {
				t.Errorf("got %v, want ErrNoRows", err)
			}
			return nil // no row is not a failure of the transaction
		})
		if err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := put(t.Context(), db, "a", nil); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
		if err := db.Read(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

func TestWatch(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		ch, stop := db.Watch("spool")
		other, stopOther := db.Watch("else")
		db.Notify("spool")
		<-ch
		_ = other
		stop()
		stop()
		stopOther()
	})
}

func TestPanicReachesItsCaller(t *testing.T) {
	t.Parallel()
	storetest.Each(t, schema(), func(t *testing.T, db *store.DB) {
		func() {
			defer func() {
				if p := recover(); p != "invariant" {
					t.Errorf("recovered %v", p)
				}
			}()
			_ = db.Write(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.Exec("INSERT INTO item (id, body) VALUES ('a', ?)", []byte{}); err != nil {
					return err
				}
				panic("invariant")
			})
		}()
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows after a panic", n)
		}
	})
}

// sqliteSchema is a schema whose statements both engines would take.
func sqliteSchema(sql string) store.Schema {
	return store.Schema{Set: "test", FS: fstest.MapFS{
		"0001_test.sqlite.sql":   {Data: []byte(sql)},
		"0001_test.postgres.sql": {Data: []byte(sql)},
	}}
}
