package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgEngine is a PostgreSQL database.
type pgEngine struct {
	pool    *pgxpool.Pool
	config  *pgxpool.Config
	log     *slog.Logger
	hub     *hub
	options Options
	sqls    placeholderCache

	state   atomic.Pointer[stateError]
	healing atomic.Bool

	// ctx ends with close; the background goroutines (healing, listening, notifying) hang on it.
	ctx       context.Context
	stop      context.CancelFunc
	group     sync.WaitGroup
	listen    sync.Once
	notifying sync.Once
	pendingMu sync.Mutex
	pending   map[string]struct{}
	pendingCh chan struct{}
	closeMu   sync.Mutex
	closed    bool
}

const (
	pgConnections = 16
	// pgRetries bounds how often a function is run after serialization failures and deadlocks.
	pgRetries = 20
	// pgWriteTime ends a transaction whose server does not answer. Its outcome is then unknown.
	pgWriteTime = 60 * time.Second
)

func openPostgres(ctx context.Context, o Options, m migrations, h *hub) (engine, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	if !strings.Contains(o.URL, "pool_max_conns") {
		config.MaxConns = pgConnections
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	e := &pgEngine{
		pool: pool, config: config, hub: h, options: o,
		log:     o.Logger.With("database", config.ConnConfig.Database),
		pending: map[string]struct{}{}, pendingCh: make(chan struct{}, 1),
	}
	e.ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := e.migrate(ctx, m); err != nil {
		e.stop()
		pool.Close()
		return nil, err
	}
	return e, nil
}

// migrate applies what is missing. A lock in the database makes nodes that start together take turns.
func (e *pgEngine) migrate(ctx context.Context, m migrations) error {
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	key := fnv.New32a()
	// Writing to a hash cannot fail.
	_, _ = key.Write([]byte(m.table()))
	lock := int64(key.Sum32())
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
		return err
	}
	defer func() {
		// When this fails the connection is gone, and the lock with it.
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lock)
	}()
	s := &pgSession{ctx: ctx, conn: conn.Conn(), sqls: &e.sqls}
	tx := newTx(s)
	var have []applied
	var exists bool
	if err := tx.QueryRow("SELECT CASE WHEN to_regclass(?) IS NULL THEN 0 ELSE 1 END", m.table()).Scan(&exists); err != nil {
		return err
	}
	if exists {
		if have, err = m.readVersions(tx); err != nil {
			return err
		}
	}
	steps, err := m.pending("postgres", have)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if err := e.migrateStep(ctx, conn.Conn(), m, step); err != nil {
			return fmt.Errorf("migration %s %04d_%s: %w", m.set, step.number, step.name, err)
		}
		e.log.Info("migration applied", "set", m.set, "number", step.number, "name", step.name)
	}
	return nil
}

func (e *pgEngine) migrateStep(ctx context.Context, conn *pgx.Conn, m migrations, step migration) error {
	return pgx.BeginFunc(ctx, conn, func(pgx.Tx) error {
		tx := newTx(&pgSession{ctx: ctx, conn: conn, sqls: &e.sqls})
		if _, err := tx.Exec(m.versionTable()); err != nil {
			return err
		}
		sql := step.sql["postgres"]
		// The simple protocol takes several statements at once.
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return err
		}
		_, err := tx.Exec(m.insertVersion(), step.number, step.name, checksum(sql), time.Now())
		return err
	})
}

// write implements engine.
func (e *pgEngine) write(ctx context.Context, fn func(*Tx) error) error {
	for attempt := 0; ; attempt++ {
		err := e.try(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ", fn)
		if !isRetry(err) || attempt >= pgRetries {
			return err
		}
		// Nothing of the function happened: whoever waits a random moment meets fewer rivals.
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << min(attempt, 7)))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read implements engine.
func (e *pgEngine) read(ctx context.Context, fn func(*Tx) error) error {
	return e.try(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", fn)
}

// try runs one transaction once.
func (e *pgEngine) try(ctx context.Context, begin string, fn func(*Tx) error) (err error) {
	readOnly := strings.HasSuffix(begin, "READ ONLY")
	if s := e.state.Load(); s != nil && !s.full && !readOnly {
		return s.err
	}
	conn, err := e.pool.Acquire(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e.ctx.Err() != nil {
			return ErrClosed
		}
		return e.note(brokenError(err))
	}
	defer conn.Release()
	run := ctx
	if !readOnly {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeout(context.WithoutCancel(ctx), pgWriteTime)
		defer cancel()
	}
	s := &pgSession{ctx: run, conn: conn.Conn(), sqls: &e.sqls}
	if err := s.control(begin); err != nil {
		return e.note(callerError(ctx, readOnly, err))
	}
	committed := false
	defer func() {
		if !committed && !conn.Conn().IsClosed() {
			// Also on the way of a panic. When the rollback fails the pool drops the connection, and the server rolls
			// back by itself.
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.ctx = end
			_ = s.control("ROLLBACK")
		}
	}()
	tx := newTx(s)
	tx.read = readOnly
	if err := tx.end(fn(tx)); err != nil {
		return e.note(callerError(ctx, readOnly, err))
	}
	if err := s.control("COMMIT"); err != nil {
		return e.note(callerError(ctx, readOnly, err))
	}
	committed = true
	return e.note(nil)
}

// callerError puts the caller's own reason in place of a cancelled query.
func callerError(ctx context.Context, readOnly bool, err error) error {
	if readOnly && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// retryError marks a transaction that the server undid because of a rival.
type retryError struct{ cause error }

func (r *retryError) Error() string { return "transaction conflict: " + r.cause.Error() }
func (r *retryError) Unwrap() error { return r.cause }

func isRetry(err error) bool {
	var r *retryError
	return errors.As(err, &r)
}

// pgError gives PostgreSQL's errors their meaning
// (https://www.postgresql.org/docs/15/errcodes-appendix.html).
func pgError(err error) error {
	if err == nil || errors.Is(err, ErrBroken) || errors.Is(err, ErrFull) {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var connect *pgconn.ConnectError
		if errors.As(err, &connect) || pgconn.Timeout(err) {
			return brokenError(err)
		}
		return err
	}
	switch {
	case pg.Code == "40001" || pg.Code == "40P01":
		return &retryError{err}
	case pg.Code == "23505":
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case pg.Code == "53100":
		return fullError(err)
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "53", "57", "58", "XX", "F0":
		return brokenError(err)
	}
	if pg.Code == "25006" {
		return brokenError(err) // read-only: a standby, or a fail-over under way
	}
	return err
}

// note draws the consequence of a result for the state of the database, and returns it.
func (e *pgEngine) note(err error) error {
	switch {
	case err == nil:
		if old := e.state.Load(); old != nil && e.state.CompareAndSwap(old, nil) {
			e.log.Info("database works again")
			e.hub.wake(TopicState)
		}
	case errors.Is(err, ErrFull), errors.Is(err, ErrBroken):
		full := errors.Is(err, ErrFull)
		old := e.state.Swap(&stateError{err: err, full: full})
		if old == nil || old.full != full {
			e.log.Error("database does not work; trying again by itself", "error", err)
			e.hub.wake(TopicState)
		}
		if e.healing.CompareAndSwap(false, true) && !e.spawn(e.heal) {
			e.healing.Store(false)
		}
	}
	return err
}

// spawn starts a background goroutine unless the database is being closed.
func (e *pgEngine) spawn(f func()) bool {
	e.closeMu.Lock()
	defer e.closeMu.Unlock()
	if e.closed {
		return false
	}
	e.group.Go(f)
	return true
}

// heal asks the server with a growing pause until it accepts writes again.
func (e *pgEngine) heal() {
	defer e.healing.Store(false)
	for pause := e.options.ReopenAfter; ; pause = min(2*pause, maxReopenPause) {
		select {
		case <-e.ctx.Done():
			return
		case <-time.After(pause):
		}
		s := e.state.Load()
		if s == nil {
			return
		}
		ask, cancel := context.WithTimeout(e.ctx, 10*time.Second)
		_, err := e.pool.Exec(ask, "SELECT pg_catalog.txid_current()")
		cancel()
		if err == nil && e.state.CompareAndSwap(s, nil) {
			e.log.Info("database works again")
			e.hub.wake(TopicState)
			return
		}
	}
}

// broken implements engine.
func (e *pgEngine) broken() error {
	if s := e.state.Load(); s != nil {
		return s.err
	}
	return nil
}

func (e *pgEngine) name() string { return "postgres" }

// close implements engine.
func (e *pgEngine) close() error {
	e.closeMu.Lock()
	already := e.closed
	e.closed = true
	e.closeMu.Unlock()
	if already {
		return nil
	}
	e.stop()
	e.group.Wait()
	e.pool.Close()
	return nil
}
