// Package store opens the database, SQLite in one file or PostgreSQL for a cluster, and runs transactions on it. It
// hides the dialect and knows no table's meaning.
//
// # What it promises
//
// [DB.Write] returns nil only when the transaction is on the disk: a process kill or a power loss at any later moment
// does not undo it. An error that matches [ErrBroken] says that the outcome is unknown: normally the transaction did
// not happen, but a crash at that very moment may reveal it after all, and a PostgreSQL connection lost during COMMIT
// may have committed. So callers choose their keys themselves (a queue id, not a counter), and after ErrBroken
// look the key up or insert it again and take [ErrConflict] for "it was done". Every other error says that nothing
// of the function happened.
//
// [DB.Read] sees one consistent snapshot, which holds every Write that returned before it began.
//
// # The two engines
//
// SQLite: WAL, synchronous=FULL. One writer goroutine gathers the Writes that wait and commits them together: one sync
// serves many callers (group commit). The failure of one function undoes only that one: the others run again, each in a
// savepoint. The pages of a commit reach the log in one write, right before the sync. A
// second process on the same file is refused by a lock on "file.lock", which the kernel drops when its holder dies.
// PostgreSQL: one transaction per Write, REPEATABLE READ, run again after a serialization failure or a deadlock.
//
// The same on both: statements use "?" for their arguments. A statement that fails makes its whole function fail,
// whatever the function returns. A statement may end with FOR UPDATE or FOR UPDATE SKIP LOCKED, which SQLite, having
// one writer, does without. Booleans are the integers 0 and 1, times are integers (microseconds since 1970, UTC; the
// zero time is 0). Text is valid UTF-8 without NUL: other bytes become U+FFFD on the way in; what must keep every byte
// is []byte. A nil []byte is stored empty, only an untyped nil is NULL, and NULL is read as the zero value. LIKE is
// case-blind on SQLite and not on PostgreSQL: compare lower(x).
//
// # States
//
// open -> broken -> open ..., then closed. After a failed sync or another I/O error the batch fails with ErrBroken, the
// connections are dropped, Writes fail at once, and the writer tries to reopen with a growing pause. It cuts from the
// log what no successful sync covered (a repeated sync proves nothing: the kernel may have dropped the pages), replays
// the rest, copies it to the main file, syncs that, and only then serves again. With a full disk, Writes fail with
// [ErrFull] one by one, small ones may still succeed, and the state ends with the first success.
// [DB.Broken] tells.
//
// # Tests
//
// storetest.Each runs a test on both engines. [Options].FS takes a crashfs.Disk from package fsx/crashfs, on which
// SQLite itself then runs: a test can make the k-th operation fail or stop the disk there, and reopen what a power loss
// could have left.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"postern/internal/store/fsx"
)

type sentinel string

func (s sentinel) Error() string { return string(s) }

// What a caller can ask of an error with errors.Is.
var (
	// ErrFull: the disk is full; nothing was written. Temporary.
	ErrFull error = sentinel("disk full")
	// ErrBroken: the disk or the connection to the database failed; the outcome of a Write is unknown (see the package
	// comment). Temporary: the database reopens by itself.
	ErrBroken error = sentinel("database broken")
	// ErrConflict: a row with this key exists already.
	ErrConflict error = sentinel("a row with this key exists")
	// ErrNoRows: QueryRow found no row.
	ErrNoRows error = sentinel("no such row")
	// ErrLocked: another process has this SQLite file open.
	ErrLocked error = sentinel("database in use by another process")
	// ErrNewer: the database was written by a newer program; nothing was touched.
	ErrNewer error = sentinel("database is newer than this program")
	// ErrClosed: the database was closed.
	ErrClosed error = sentinel("database closed")
)

// Options say which database to open and how.
type Options struct {
	// URL is "sqlite:/path/file.db" or "postgres://user:password@host/name?..." (pgx connection string; the number of
	// connections is its pool_max_conns, 16 when not given).
	URL string
	// Migrations are the schema: SpoolSchema(), MainSchema() or a Schema of NNNN_name.{sqlite,postgres}.sql files. nil:
	// none.
	Migrations fs.FS
	// FS holds the SQLite file and its lock; nil is fsx.OS. A file system that has the method SQLiteVFS carries SQLite
	// itself (package crashfs); another one serves for folder, lock and free space only.
	FS fsx.FS
	// Logger gets what an operator must know: broken, full, recovered. nil: silence.
	Logger *slog.Logger
	// Readers is the number of concurrent Reads on SQLite (default 4).
	Readers int
	// ReopenAfter is the first pause before a broken database is opened, or a full disk tried, again; it doubles up to 5 s. Default 100 ms.
	ReopenAfter time.Duration
	// CheckpointPages is the length of SQLite's log, in pages of 4 KiB, at which it is copied to the main file.
	// Default 4000.
	CheckpointPages int
}

// TopicState is the topic on which a DB wakes its own watchers when Broken changes.
const TopicState = "store.state"

// DB is an open database. Its methods may be called concurrently.
type DB struct {
	engine engine
	hub    *hub
}

// engine is what SQLite and PostgreSQL do each in their way.
type engine interface {
	write(ctx context.Context, fn func(*Tx) error) error
	read(ctx context.Context, fn func(*Tx) error) error
	broken() error
	notify(topic string)
	watch()
	close() error
	name() string
}

// Open opens the database, takes its lock (SQLite), and brings its tables up to date. A database that a newer program
// has migrated is refused with [ErrNewer] before anything is changed; one that another process holds, with [ErrLocked].
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.FS == nil {
		o.FS = fsx.OS
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.ReopenAfter <= 0 {
		o.ReopenAfter = 100 * time.Millisecond
	}
	if o.CheckpointPages <= 0 {
		o.CheckpointPages = 4000
	}
	migrations, err := loadMigrations(o.Migrations)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := &DB{hub: newHub()}
	scheme, rest, _ := strings.Cut(o.URL, ":")
	switch scheme {
	case "sqlite":
		if rest == "" || strings.HasPrefix(rest, ":") {
			return nil, fmt.Errorf("open database: URL %q names no file (want sqlite:/path/file.db)", o.URL)
		}
		db.engine, err = openSQLite(ctx, rest, o, migrations, db.hub)
	case "postgres", "postgresql":
		db.engine, err = openPostgres(ctx, o, migrations, db.hub)
	default:
		return nil, fmt.Errorf("open database: URL scheme %q is neither sqlite nor postgres", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// Write runs fn in a transaction and returns nil only when it is durable. When fn returns an error, or one of its
// statements failed, nothing of it happened. fn may be run more than once and must therefore touch nothing but tx; it
// must not call Write or Read of the same database. Other callers' functions wait behind it (SQLite): do no slow work in
// it. When ctx ends before fn was started, Write returns ctx's error and fn will not run; once started, Write waits for
// and returns the true result.
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error {
	return db.engine.write(ctx, fn)
}

// Read runs fn on a consistent snapshot; fn cannot change anything. It ends early when ctx ends.
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error {
	return db.engine.read(ctx, fn)
}

// Notify wakes the watchers of a topic, in every process of a cluster. It does not wait; wake-ups may be merged, and a
// watcher must look for itself what changed. Call it after the Write has returned.
func (db *DB) Notify(topic string) {
	db.hub.wake(topic)
	db.engine.notify(topic)
}

// Watch returns a channel on which Notify(topic) is heard; at least one signal follows each Notify, several may be
// merged into one, and some come without a reason. stop ends it.
func (db *DB) Watch(topic string) (ch <-chan struct{}, stop func()) {
	ch, stop = db.hub.watch(topic)
	db.engine.watch()
	return ch, stop
}

// Broken is nil while the database works; otherwise it matches ErrBroken or ErrFull and says why. It becomes nil again
// by itself.
func (db *DB) Broken() error { return db.engine.broken() }

// Engine is "sqlite" or "postgres". Rooms need it only for logs: the same statements run on both.
func (db *DB) Engine() string { return db.engine.name() }

// Close waits for the Writes and Reads under way, refuses new ones with [ErrClosed] and releases the lock. A second
// call does nothing.
func (db *DB) Close() error { return db.engine.close() }

// broken wraps the cause of a failure whose outcome is unknown.
func brokenError(cause error) error {
	if errors.Is(cause, ErrBroken) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrBroken, cause)
}

// fullError wraps what the engine said about a full disk.
func fullError(cause error) error {
	if errors.Is(cause, ErrFull) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrFull, cause)
}
