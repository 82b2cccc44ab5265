package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"postern/internal/store/fsx"
)

// vfsCarrier is a file system on which SQLite itself can run.
type vfsCarrier interface{ SQLiteVFS() vfs.VFS }

// vfsNumber makes the names under which file layers are registered with SQLite unique in the process.
var vfsNumber atomic.Int64

// sqliteEngine is one SQLite database: a writer goroutine that owns the writing connection, and a pool of readers.
type sqliteEngine struct {
	path    string
	fs      fsx.FS
	vfs     string // registered name of the file layer
	log     *slog.Logger
	options Options
	hub     *hub

	lock  io.Closer
	queue chan *request
	quit  chan struct{}
	done  chan struct{}

	// gate is held for reading by each Read, for writing while the connections are replaced.
	gate    sync.RWMutex
	readers chan *sqliteConn // nil entries are places for connections not opened yet

	// Owned by the writer goroutine.
	writer       *sqliteConn
	logPages     int // frames in the write-ahead log after the last commit
	durablePages int // frames that a successful sync covered and no checkpoint has copied yet; -1 unknown
	checkpointed int // logPages at the last checkpoint

	state     atomic.Pointer[stateError]
	closeOnce sync.Once
	closeErr  error
}

// stateError is why the database does not work.
type stateError struct {
	err  error
	full bool
}

// walHeader and walFrameHeader are sizes in the log's format (https://sqlite.org/fileformat2.html#walformat).
const (
	walHeader      = 32
	walFrameHeader = 24
	pageSize       = 4096
)

func openSQLite(ctx context.Context, file string, o Options, m migrations, h *hub) (engine, error) {
	e := &sqliteEngine{
		path: path.Clean(file), fs: o.FS, log: o.Logger.With("database", path.Base(file)), options: o, hub: h,
		queue: make(chan *request, 1024), quit: make(chan struct{}), done: make(chan struct{}),
		readers: make(chan *sqliteConn, o.Readers),
	}
	e.vfs = "postern" + strconv.FormatInt(vfsNumber.Add(1), 10)
	if c, ok := o.FS.(vfsCarrier); ok {
		vfs.Register(e.vfs, gathering(c.SQLiteVFS()))
	} else {
		vfs.Register(e.vfs, gathering(newOSVFS()))
	}
	for range o.Readers {
		e.readers <- nil
	}
	if err := e.start(ctx, m); err != nil {
		return nil, errors.Join(err, e.releaseAll())
	}
	go e.run()
	return e, nil
}

// start takes the lock, creates the file, opens the writer and brings the schema up to date.
func (e *sqliteEngine) start(ctx context.Context, m migrations) error {
	if err := makeFolder(e.fs, path.Dir(e.path)); err != nil {
		return fmt.Errorf("folder of %s: %w", e.path, err)
	}
	lock, err := e.fs.Lock(e.path + ".lock")
	if errors.Is(err, fsx.ErrLocked) {
		return fmt.Errorf("%w: %s.lock is held: is Postern running already?", ErrLocked, e.path)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", e.path, err)
	}
	e.lock = lock
	f, err := e.fs.Create(e.path)
	if err == nil {
		err = f.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", e.path, fileError(err))
	}
	if err := e.refuseNewer(m); err != nil {
		return err
	}
	e.durablePages = -1
	if err := e.openWriter(); err != nil {
		return err
	}
	return e.migrate(ctx, m)
}

// makeFolder creates a folder and makes its name durable.
func makeFolder(files fsx.FS, name string) error {
	if _, err := files.Stat(name); err == nil {
		return nil
	}
	if err := files.MkdirAll(name); err != nil {
		return err
	}
	return files.SyncDir(path.Dir(name))
}

// fileError gives an error of fsx the store's meaning.
func fileError(err error) error {
	if errors.Is(err, fsx.ErrFull) {
		return fullError(err)
	}
	return err
}

// refuseNewer looks at the version table without changing anything.
func (e *sqliteEngine) refuseNewer(m migrations) error {
	info, err := e.fs.Stat(e.path)
	if err != nil {
		return fmt.Errorf("stat %s: %w", e.path, err)
	}
	if info.Size() == 0 {
		return nil
	}
	conn, err := openConn(e.path, e.vfs, false)
	if err != nil {
		return err
	}
	have, err := readApplied(conn, m)
	if err == nil {
		_, err = m.pending("sqlite", have)
	}
	return errors.Join(err, conn.close())
}

// readApplied reads the version table if there is one.
func readApplied(conn *sqliteConn, m migrations) ([]applied, error) {
	tx := newTx(conn)
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", m.table()).Scan(&n); err != nil {
		return nil, tx.end(err)
	}
	if n == 0 {
		return nil, nil
	}
	have, err := m.readVersions(tx)
	return have, tx.end(err)
}

// openWriter opens the writing connection, replays the log into the main file and makes the names durable.
func (e *sqliteEngine) openWriter() error {
	conn, err := openConn(e.path, e.vfs, true)
	if err != nil {
		return err
	}
	e.writer = conn
	e.logPages, e.checkpointed = 0, 0
	// SQLite calls this after a commit that wrote and synced its pages: not for one that changed nothing, and not for a
	// failed one.
	conn.c.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		e.logPages, e.durablePages = pages, pages
		return nil
	})
	// What the log holds goes to the main file before anything is appended to it, so that nothing new depends on pages
	// of which nobody knows whether an earlier process could sync them.
	switch _, _, err := conn.c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); {
	case err == nil:
		e.durablePages = 0
	case errors.Is(sqliteError(err), ErrFull):
		e.setState(sqliteError(err))
	default:
		return fmt.Errorf("checkpoint %s: %w", e.path, sqliteError(err))
	}
	if err := e.fs.SyncDir(path.Dir(e.path)); err != nil {
		return fmt.Errorf("sync folder of %s: %w", e.path, err)
	}
	return nil
}

// migrate applies what is missing, each step in its own transaction.
func (e *sqliteEngine) migrate(ctx context.Context, m migrations) error {
	have, err := readApplied(e.writer, m)
	if err != nil {
		return err
	}
	steps, err := m.pending("sqlite", have)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.migrateStep(m, step); err != nil {
			return fmt.Errorf("migration %s %04d_%s: %w", m.set, step.number, step.name, err)
		}
		e.log.Info("migration applied", "set", m.set, "number", step.number, "name", step.name)
	}
	return nil
}

func (e *sqliteEngine) migrateStep(m migrations, step migration) error {
	sql := step.sql["sqlite"]
	err := e.writer.run("BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	tx := newTx(e.writer)
	_, err = tx.Exec(m.versionTable())
	if err == nil {
		err = sqliteError(e.writer.c.Exec(sql))
	}
	if err == nil {
		_, err = tx.Exec(m.insertVersion(), step.number, step.name, checksum(sql), time.Now())
	}
	if err = tx.end(err); err == nil {
		err = e.writer.run("COMMIT")
	}
	if err != nil && !e.writer.c.GetAutocommit() {
		err = errors.Join(err, e.writer.run("ROLLBACK"))
	}
	return err
}

// read implements engine.
func (e *sqliteEngine) read(ctx context.Context, fn func(*Tx) error) (err error) {
	var conn *sqliteConn
	select {
	case <-e.quit:
		return ErrClosed
	default:
	}
	e.gate.RLock()
	defer e.gate.RUnlock()
	select {
	case conn = <-e.readers:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.quit:
		return ErrClosed
	}
	defer func() {
		if conn != nil && (errors.Is(err, ErrBroken) || !conn.c.GetAutocommit()) {
			err = errors.Join(err, conn.close())
			conn = nil
		}
		e.readers <- conn
	}()
	if conn == nil {
		if conn, err = openConn(e.path, e.vfs, false); err != nil {
			return brokenError(err)
		}
	}
	conn.c.SetInterrupt(ctx)
	defer conn.c.SetInterrupt(context.WithoutCancel(ctx))
	if err := conn.run("BEGIN"); err != nil {
		return readError(ctx, err)
	}
	tx := newTx(conn)
	tx.read = true
	defer func() {
		conn.c.SetInterrupt(context.WithoutCancel(ctx))
		if endErr := conn.run("ROLLBACK"); err == nil {
			err = endErr
		}
		err = readError(ctx, err)
	}()
	return tx.end(fn(tx))
}

// readError puts the caller's own reason in place of "interrupted".
func readError(ctx context.Context, err error) error {
	if errors.Is(err, sqlite3.INTERRUPT) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// broken implements engine.
func (e *sqliteEngine) broken() error {
	if s := e.state.Load(); s != nil {
		return s.err
	}
	return nil
}

// setState notes why the database does not work, nil when it does, and tells the operator of each change.
func (e *sqliteEngine) setState(err error) {
	old := e.state.Load()
	if err == nil {
		if old != nil {
			e.state.Store(nil)
			e.log.Info("database works again")
			e.hub.wake(TopicState)
		}
		return
	}
	full := errors.Is(err, ErrFull)
	e.state.Store(&stateError{err: err, full: full})
	if old == nil || old.full != full {
		e.log.Error("database does not work; trying again by itself", "error", err)
		e.hub.wake(TopicState)
	}
}

func (e *sqliteEngine) notify(string) {}
func (e *sqliteEngine) watch()        {}
func (e *sqliteEngine) name() string  { return "sqlite" }

// close implements engine.
func (e *sqliteEngine) close() error {
	e.closeOnce.Do(func() {
		close(e.quit)
		<-e.done
		e.gate.Lock()
		defer e.gate.Unlock()
		if e.writer != nil && e.state.Load() == nil {
			// Failing to shorten the log loses nothing: the next start replays it.
			if _, _, err := e.writer.c.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
				e.log.Warn("checkpoint at close failed; the next start replays the log", "error", err)
			}
		}
		e.closeErr = e.releaseAll()
	})
	return e.closeErr
}

// releaseAll closes the connections and gives up the lock.
func (e *sqliteEngine) releaseAll() error {
	err := e.dropConns()
	vfs.Unregister(e.vfs)
	if e.lock != nil {
		err = errors.Join(err, e.lock.Close())
		e.lock = nil
	}
	return err
}

// dropConns closes all connections. The caller holds the gate or is alone.
func (e *sqliteEngine) dropConns() error {
	var errs []error
	if e.writer != nil {
		errs = append(errs, e.writer.close())
		e.writer = nil
	}
	for range cap(e.readers) {
		select {
		case conn := <-e.readers:
			if conn != nil {
				errs = append(errs, conn.close())
			}
		default:
		}
	}
	for len(e.readers) < cap(e.readers) {
		e.readers <- nil
	}
	return errors.Join(errs...)
}
