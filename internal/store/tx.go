package store

import (
	"errors"
	"fmt"
)

// session is the engine's side of one transaction.
type session interface {
	exec(sql string, args []any) (int64, error)
	query(sql string, args []any) (cursor, error)
}

// cursor is the engine's side of one result.
type cursor interface {
	// next moves to the next row; false at the end or after an error.
	next() bool
	err() error
	columns() int
	column(i int) (value, error)
	close()
}

// Tx is a transaction, valid inside the function it was given to, for one goroutine.
type Tx struct {
	s      session
	failed error
	open   map[*Rows]struct{}
	// read says that the function was given to Read.
	read bool
}

var errReadOnly error = sentinel("Exec inside a Read")

func newTx(s session) *Tx { return &Tx{s: s} }

// end closes what the function left open and returns its result: a failed statement fails the transaction.
func (t *Tx) end(err error) error {
	for r := range t.open {
		r.Close()
	}
	if t.failed != nil && !errors.Is(err, t.failed) {
		if err == nil {
			return t.failed
		}
		return fmt.Errorf("%w (after: %w)", err, t.failed)
	}
	return err
}

// fail notes the first failure of a statement.
func (t *Tx) fail(err error) error {
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// Exec runs one statement and returns the number of rows it changed. A unique or primary key that exists already is
// ErrConflict.
func (t *Tx) Exec(sql string, args ...any) (rows int64, err error) {
	if t.failed != nil {
		return 0, t.failed
	}
	if t.read {
		return 0, t.fail(fmt.Errorf("%w: %s", errReadOnly, brief(sql)))
	}
	bound, err := arguments(args)
	if err != nil {
		return 0, t.fail(fmt.Errorf("%w in %s", err, brief(sql)))
	}
	rows, err = t.s.exec(sql, bound)
	if err != nil {
		return 0, t.fail(fmt.Errorf("%w in %s", err, brief(sql)))
	}
	return rows, nil
}

// Query runs one statement that returns rows; statements with RETURNING too. An error shows in Rows.Err.
func (t *Tx) Query(sql string, args ...any) *Rows {
	r := &Rows{tx: t, sql: sql}
	if t.failed != nil {
		r.error = t.failed
		return r
	}
	bound, err := arguments(args)
	if err == nil {
		r.c, err = t.s.query(sql, bound)
	}
	if err != nil {
		r.error = t.fail(fmt.Errorf("%w in %s", err, brief(sql)))
		return r
	}
	if t.open == nil {
		t.open = map[*Rows]struct{}{}
	}
	t.open[r] = struct{}{}
	return r
}

// QueryRow runs a statement of which the first row is wanted.
func (t *Tx) QueryRow(sql string, args ...any) *Row {
	return &Row{rows: t.Query(sql, args...)}
}

// Rows is the result of Query: for rows.Next() { rows.Scan(...) }, then rows.Err(). Reading to the end closes it;
// whoever stops earlier calls Close (the end of the transaction does it too).
type Rows struct {
	tx    *Tx
	c     cursor
	sql   string
	error error
}

// Next moves to the next row, the first one included; false at the end or after an error.
func (r *Rows) Next() bool {
	if r.c == nil || r.error != nil {
		return false
	}
	if r.c.next() {
		return true
	}
	if err := r.c.err(); err != nil {
		r.error = r.tx.fail(fmt.Errorf("%w in %s", err, brief(r.sql)))
	}
	r.Close()
	return false
}

// Scan copies the columns of the row, in order: *string, *[]byte, integers, floats, *bool, *time.Time, *any and
// types derived from these. NULL is the zero value.
func (r *Rows) Scan(dest ...any) error {
	if r.error != nil {
		return r.error
	}
	if r.c == nil {
		return fmt.Errorf("scan after the last row of %s", brief(r.sql))
	}
	if n := r.c.columns(); n != len(dest) {
		return fmt.Errorf("scan %d columns into %d variables in %s", n, len(dest), brief(r.sql))
	}
	for i, d := range dest {
		v, err := r.c.column(i)
		if err == nil {
			err = v.assign(d)
		}
		if err != nil {
			r.error = fmt.Errorf("column %d: %w in %s", i+1, err, brief(r.sql))
			return r.error
		}
	}
	return nil
}

// Err is the error that ended the rows, nil at a normal end.
func (r *Rows) Err() error { return r.error }

// Close ends the rows early. It may be called more than once.
func (r *Rows) Close() {
	if r.c == nil {
		return
	}
	r.c.close()
	r.c = nil
	delete(r.tx.open, r)
}

// Row is the result of QueryRow.
type Row struct{ rows *Rows }

// Scan copies the columns of the first row; ErrNoRows when there is none.
func (r *Row) Scan(dest ...any) error {
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	return r.rows.Scan(dest...)
}

// brief is a statement short enough for an error message; it holds no arguments and so no personal data.
func brief(sql string) string {
	const most = 80
	if len(sql) > most {
		return fmt.Sprintf("%q...", sql[:most])
	}
	return fmt.Sprintf("%q", sql)
}
