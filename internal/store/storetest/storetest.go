// Package storetest runs a test on every database engine: SQLite in a temporary folder, and a PostgreSQL server of its
// own.
//
// The server is started once per test binary from Debian's /usr/lib/postgresql/*/bin (the newest), as user postgres or
// nobody when the test runs as root, on a unix socket in a short temporary path, without fsync. It ends with the test
// binary however that ends, and its folder is removed. Each test gets a fresh database, copied from one that was
// migrated once. POSTERN_TEST_POSTGRES, a URL whose user may create databases, names a server to use instead. Without
// either, the PostgreSQL half is skipped and says so.
//
// A Clock is the time of such a test.
package storetest

import (
	"bytes"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"

	"postern/internal/store"
)

// Each runs f once per engine as subtests "sqlite" and "postgres", each time on a fresh database with the given
// migrations, which is closed afterwards. Several tests and test binaries may run at once.
func Each(t *testing.T, schema fs.FS, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t, schema)) })
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t, schema)) })
}

// SQLite opens a fresh SQLite database.
func SQLite(t testing.TB, schema fs.FS) *store.DB {
	t.Helper()
	return Open(t, store.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "test.db"), Migrations: schema})
}

// Postgres opens a fresh PostgreSQL database, or skips the test visibly when there is no server.
func Postgres(t testing.TB, schema fs.FS) *store.DB {
	t.Helper()
	return Open(t, store.Options{URL: PostgresURL(t, schema), Migrations: schema})
}

// Open opens a database and closes it when the test ends. The database's log is shown when the test fails.
func Open(t testing.TB, o store.Options) *store.DB {
	t.Helper()
	if o.Logger == nil {
		o.Logger = Logger(t)
	}
	db, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}

// Logger writes warnings and errors to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}
