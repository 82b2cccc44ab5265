package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// request is one Write on its way through the writer goroutine.
type request struct {
	ctx      context.Context
	fn       func(*Tx) error
	claimed  atomic.Bool // taken by the writer, or given up by the caller: whoever comes first
	done     chan error
	panicked any
}

// Limits of one group commit.
const (
	maxBatch       = 256
	maxBatchTime   = 2 * time.Millisecond
	maxReopenPause = 5 * time.Second
	fullProbeEvery = time.Second
)

// write implements engine.
func (e *sqliteEngine) write(ctx context.Context, fn func(*Tx) error) error {
	if s := e.state.Load(); s != nil && !s.full {
		return s.err
	}
	r := &request{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case <-e.quit:
		return ErrClosed
	default:
	}
	select {
	case e.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-e.quit:
		return ErrClosed
	}
	var err error
	select {
	case err = <-r.done:
	case <-ctx.Done():
		if r.claimed.CompareAndSwap(false, true) {
			return ctx.Err()
		}
		err = <-r.done
	case <-e.done:
		// The writer may have answered just before it ended.
		select {
		case err = <-r.done:
		default:
			return ErrClosed
		}
	}
	if r.panicked != nil {
		panic(r.panicked)
	}
	return err
}

// run is the writer goroutine: it commits batches, reopens the database when it is broken, and looks whether a full
// disk has space again.
func (e *sqliteEngine) run() {
	defer close(e.done)
	pause := e.options.ReopenAfter
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var wake <-chan time.Time
		if s := e.state.Load(); s != nil {
			timer.Reset(pause)
			wake = timer.C
		} else {
			pause = e.options.ReopenAfter
		}
		select {
		case r := <-e.queue:
			e.batch(r)
		case <-wake:
			if e.state.Load().full {
				e.probe()
			} else {
				e.reopen()
			}
			pause = min(2*pause, maxReopenPause)
		case <-e.quit:
			e.drain()
			return
		}
	}
}

// drain serves what was queued before the end.
func (e *sqliteEngine) drain() {
	for {
		select {
		case r := <-e.queue:
			e.batch(r)
		default:
			return
		}
	}
}

// batch runs first and whatever else waits in one transaction and answers all of them.
func (e *sqliteEngine) batch(first *request) {
	if s := e.state.Load(); s != nil && !s.full {
		answer(first, s.err)
		return
	}
	if !first.start() {
		return
	}
	members, err := e.gather(first)
	if err == nil && len(members) > 0 {
		err = e.writer.run("COMMIT")
	}
	if err == nil {
		if len(members) > 0 {
			e.setState(nil)
		}
		for _, r := range members {
			r.done <- nil
		}
		e.checkpoint()
		return
	}
	e.undo(&err)
	switch {
	case errors.Is(err, ErrBroken):
		e.breakDown(err)
		for _, r := range members {
			r.done <- err
		}
	case len(members) == 1:
		e.note(err)
		members[0].done <- err
	default:
		e.oneByOne(members)
	}
}

// start claims the request, unless its caller has given up.
func (r *request) start() bool {
	if err := r.ctx.Err(); err != nil {
		if r.claimed.CompareAndSwap(false, true) {
			r.done <- err
		}
		return false
	}
	return r.claimed.CompareAndSwap(false, true)
}

func answer(r *request, err error) {
	if r.claimed.CompareAndSwap(false, true) {
		r.done <- err
	}
}

// gather begins a transaction and runs the requests that wait, until none waits or a limit is reached. Requests whose own
// function failed are answered here; those returned hope for the commit. An error means that the whole transaction is lost.
func (e *sqliteEngine) gather(first *request) (members []*request, err error) {
	began := time.Now()
	members, failed, err := e.runAll([]*request{first}, began, false)
	if err != nil || !failed {
		return members, err
	}
	if err := e.writer.run("ROLLBACK"); err != nil {
		return members, err
	}
	members, _, err = e.runAll(members, began, true)
	return members, err
}

// runAll is gather's one or two attempts: requests first, then those that wait. Hardly ever does a function fail, so the first attempt does
// without savepoints, which cost as much as a statement and copy every page that is changed; when the function of one fails
// while others hope, failed tells to run all of them again carefully, each in a savepoint.
func (e *sqliteEngine) runAll(requests []*request, began time.Time, careful bool) (members []*request, failed bool, err error) {
	if err := e.writer.run("BEGIN IMMEDIATE"); err != nil {
		return requests, false, err
	}
	for ran := 0; ; ran++ {
		var r *request
		if len(requests) > 0 {
			r, requests = requests[0], requests[1:]
		} else if r = e.nextRequest(ran, began); r == nil {
			break
		}
		alone := len(members) == 0
		fnErr, lost := e.runOne(r, alone, careful)
		switch {
		case lost != nil:
			return append(append(members, r), requests...), false, lost
		case fnErr != nil && !alone && !careful:
			return append(members, r), true, nil
		case fnErr != nil:
			r.done <- fnErr
		default:
			members = append(members, r)
		}
	}
	if len(members) == 0 {
		e.undo(&err)
	}
	return members, false, err
}

// nextRequest takes a waiting request, if there is one and the batch may grow.
func (e *sqliteEngine) nextRequest(have int, began time.Time) *request {
	for have < maxBatch && time.Since(began) < maxBatchTime {
		select {
		case r := <-e.queue:
			if r.start() {
				return r
			}
		default:
			return nil
		}
	}
	return nil
}

// runOne runs one request inside the open transaction. fnErr is the request's own failure; lost is a failure of the whole
// transaction. What a failed function did is undone here when the request is alone, the first of its transaction, or when savepoints
// are set (careful); otherwise the caller undoes the transaction.
func (e *sqliteEngine) runOne(r *request, alone, careful bool) (fnErr, lost error) {
	saved := careful && !alone
	if saved {
		if err := e.writer.run("SAVEPOINT member"); err != nil {
			return nil, err
		}
	}
	fnErr = r.call(e.writer)
	switch {
	case fnErr == nil && saved:
		return nil, e.writer.run("RELEASE member")
	case fnErr == nil:
		return nil, nil
	case errors.Is(fnErr, ErrBroken) || errors.Is(fnErr, ErrFull) || e.writer.c.GetAutocommit():
		return nil, fnErr
	case alone:
		if err := e.writer.run("ROLLBACK"); err != nil {
			return nil, err
		}
		return fnErr, e.writer.run("BEGIN IMMEDIATE")
	case saved:
		if err := e.writer.run("ROLLBACK TO member"); err != nil {
			return nil, err
		}
		return fnErr, e.writer.run("RELEASE member")
	}
	return fnErr, nil
}

// call runs the function; a panic of it is handed to its caller's goroutine.
func (r *request) call(s session) (err error) {
	tx := newTx(s)
	defer func() {
		if p := recover(); p != nil {
			r.panicked = p
			err = tx.end(fmt.Errorf("function panicked: %v", p))
		}
	}()
	return tx.end(r.fn(tx))
}

// undo rolls back what is open. A failing ROLLBACK means that the connection cannot be trusted.
func (e *sqliteEngine) undo(err *error) {
	if e.writer.c.GetAutocommit() {
		return
	}
	if undoErr := e.writer.run("ROLLBACK"); undoErr != nil {
		*err = brokenError(errors.Join(*err, undoErr))
	}
}

// oneByOne gives each member of a lost transaction one of its own: a full disk may have room for the small ones, and a
// constraint that is checked at commit belongs to one of them.
func (e *sqliteEngine) oneByOne(members []*request) {
	for _, r := range members {
		if s := e.state.Load(); s != nil && !s.full {
			r.done <- s.err
			continue
		}
		err := e.single(r)
		e.note(err)
		r.done <- err
	}
}

// single runs one request in a transaction of its own.
func (e *sqliteEngine) single(r *request) error {
	if err := e.writer.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := r.call(e.writer)
	if err == nil {
		err = e.writer.run("COMMIT")
	}
	if err == nil {
		return nil
	}
	e.undo(&err)
	return err
}

// note draws the consequence of a result for the state of the database.
func (e *sqliteEngine) note(err error) {
	switch {
	case err == nil:
		e.setState(nil)
	case errors.Is(err, ErrBroken):
		e.breakDown(err)
	case errors.Is(err, ErrFull):
		e.setState(err)
	}
}

// breakDown notes that the connections cannot be trusted any more.
func (e *sqliteEngine) breakDown(err error) { e.setState(brokenError(err)) }

// probe looks whether a full disk has space again, by writing the first page. The log is copied before: its file can then
// be used anew from the beginning, which takes no space.
func (e *sqliteEngine) probe() {
	if e.copyLog(); !e.state.Load().full {
		return
	}
	e.note(e.writer.run("PRAGMA application_id=1349481330")) // "Post" in ASCII, so that file(1) can tell
}

// checkpoint copies the log to the main file when it has grown. It runs after the answers: nobody waits for it but the
// next batch.
func (e *sqliteEngine) checkpoint() {
	if e.logPages < e.checkpointed {
		e.checkpointed = 0
	}
	if e.logPages-e.checkpointed < e.options.CheckpointPages {
		return
	}
	e.checkpointed = e.logPages
	e.copyLog()
}

// copyLog copies the log to the main file.
func (e *sqliteEngine) copyLog() {
	logged, copied, err := e.writer.c.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	switch {
	case err == nil:
		if logged == copied {
			// All is in the main file, synced. The next commit may start the log anew.
			e.durablePages = 0
		}
	case errors.Is(err, sqlite3.BUSY):
	default:
		e.note(sqliteError(err))
	}
}

// reopen tries to bring a broken database back; the state tells with what success.
func (e *sqliteEngine) reopen() {
	e.gate.Lock()
	defer e.gate.Unlock()
	if err := e.dropConns(); err != nil {
		e.log.Warn("closing a broken connection failed", "error", err)
	}
	err := e.cutLog()
	if err == nil {
		err = e.openWriter()
	}
	if err != nil {
		e.setState(brokenError(err))
		return
	}
	if s := e.state.Load(); s != nil && !s.full {
		e.setState(nil)
	}
}

// cutLog removes from the write-ahead log what no successful sync covered, so that the replay cannot bring back a
// transaction that was refused and whose pages may exist in memory only.
func (e *sqliteEngine) cutLog() error {
	if e.durablePages < 0 {
		return nil
	}
	name := e.path + "-wal"
	size := int64(0)
	if e.durablePages > 0 {
		size = walHeader + int64(e.durablePages)*(walFrameHeader+pageSize)
	}
	info, err := e.fs.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Size() <= size {
		return err
	}
	f, err := e.fs.OpenWrite(name)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
