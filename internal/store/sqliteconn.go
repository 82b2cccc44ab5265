package store

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"golang.org/x/sys/unix"
)

// sqliteConn is one SQLite connection with its prepared statements. Not safe for concurrent use.
type sqliteConn struct {
	c    *sqlite3.Conn
	idle map[string]*sqlite3.Stmt // prepared and not running, by SQL text as the rooms write it
}

// maxPrepared bounds the statements a connection keeps; rooms have far fewer, but for lists of varying length.
const maxPrepared = 256

// sqliteURI is what SQLite opens. modeof gives the log the permissions of the database file.
func sqliteURI(path, vfs string) string {
	q := url.Values{"vfs": {vfs}, "modeof": {path}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// openConn opens a connection in WAL mode.
func openConn(path, vfs string, writer bool) (*sqliteConn, error) {
	c, err := sqlite3.Open(sqliteURI(path, vfs))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, sqliteError(err))
	}
	conn := &sqliteConn{c: c, idle: map[string]*sqlite3.Stmt{}}
	if err := conn.setUp(writer); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", path, sqliteError(err)), conn.close())
	}
	return conn, nil
}

func (conn *sqliteConn) setUp(writer bool) error {
	// The log is never copied back by closing: only checkpoints that are watched for errors do that.
	if _, err := conn.c.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		return err
	}
	pragmas := []string{
		"PRAGMA busy_timeout=10000",
		"PRAGMA foreign_keys=ON",
		"PRAGMA temp_store=MEMORY",
		"PRAGMA trusted_schema=OFF",
	}
	if writer {
		pragmas = append(pragmas, "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=0",
			"PRAGMA journal_size_limit=67108864", "PRAGMA cache_size=-16000")
	} else {
		pragmas = append(pragmas, "PRAGMA query_only=ON", "PRAGMA cache_size=-4000", "PRAGMA wal_autocheckpoint=0")
	}
	for _, p := range pragmas {
		if err := conn.c.Exec(p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// close finalizes the statements and closes the connection.
func (conn *sqliteConn) close() error {
	for _, stmt := range slices.Collect(conn.c.Stmts()) {
		// The error repeats that of the statement's last run.
		_ = stmt.Close()
	}
	clear(conn.idle)
	return conn.c.Close()
}

// prepared gives a statement that nobody runs.
func (conn *sqliteConn) prepared(sql string) (*sqlite3.Stmt, error) {
	if stmt, ok := conn.idle[sql]; ok {
		delete(conn.idle, sql)
		return stmt, nil
	}
	stmt, tail, err := conn.c.PrepareFlags(withoutLocks(sql), sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return nil, errors.New("empty statement")
	}
	if strings.TrimSpace(tail) != "" {
		return nil, errors.Join(errors.New("more than one statement"), stmt.Close())
	}
	return stmt, nil
}

// release puts a statement back and returns the error of its run.
func (conn *sqliteConn) release(sql string, stmt *sqlite3.Stmt) error {
	err := stmt.Reset()
	if _, taken := conn.idle[sql]; taken {
		return errors.Join(err, stmt.Close())
	}
	if len(conn.idle) >= maxPrepared {
		for other, old := range conn.idle {
			delete(conn.idle, other)
			err = errors.Join(err, old.Close())
			break
		}
	}
	conn.idle[sql] = stmt
	return err
}

// withoutLocks drops the row lock clauses that only PostgreSQL needs.
func withoutLocks(sql string) string {
	trimmed := strings.TrimRight(sql, " \t\r\n;")
	for _, clause := range []string{"SKIP LOCKED", "FOR UPDATE"} {
		if n := len(trimmed) - len(clause); n > 0 && strings.EqualFold(trimmed[n:], clause) {
			trimmed = strings.TrimRight(trimmed[:n], " \t\r\n")
		}
	}
	return trimmed
}

// run executes a statement without arguments and result: BEGIN, COMMIT, SAVEPOINT and so on.
func (conn *sqliteConn) run(sql string) error {
	_, err := conn.exec(sql, nil)
	return err
}

// exec implements session.
func (conn *sqliteConn) exec(sql string, args []any) (int64, error) {
	stmt, err := conn.prepared(sql)
	if err != nil {
		return 0, sqliteError(err)
	}
	if err := bind(stmt, args); err != nil {
		return 0, sqliteError(errors.Join(err, conn.release(sql, stmt)))
	}
	before := conn.c.TotalChanges()
	for stmt.Step() {
		continue
	}
	err = stmt.Err()
	if resetErr := conn.release(sql, stmt); err == nil {
		err = resetErr
	}
	if err != nil {
		return 0, sqliteError(err)
	}
	if conn.c.TotalChanges() == before {
		return 0, nil
	}
	return conn.c.Changes(), nil
}

// query implements session.
func (conn *sqliteConn) query(sql string, args []any) (cursor, error) {
	stmt, err := conn.prepared(sql)
	if err != nil {
		return nil, sqliteError(err)
	}
	if err := bind(stmt, args); err != nil {
		return nil, sqliteError(errors.Join(err, conn.release(sql, stmt)))
	}
	return &sqliteCursor{conn: conn, sql: sql, stmt: stmt}, nil
}

func bind(stmt *sqlite3.Stmt, args []any) error {
	if n := stmt.BindCount(); n != len(args) {
		return fmt.Errorf("statement wants %d arguments, got %d", n, len(args))
	}
	for i, arg := range args {
		var err error
		switch a := arg.(type) {
		case nil:
			err = stmt.BindNull(i + 1)
		case int64:
			err = stmt.BindInt64(i+1, a)
		case float64:
			err = stmt.BindFloat(i+1, a)
		case string:
			err = stmt.BindText(i+1, a)
		case []byte:
			err = stmt.BindBlob(i+1, a)
		}
		if err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return nil
}

// sqliteCursor implements cursor.
type sqliteCursor struct {
	conn *sqliteConn
	sql  string
	stmt *sqlite3.Stmt
	e    error
}

func (c *sqliteCursor) next() bool {
	if c.stmt.Step() {
		return true
	}
	if err := c.stmt.Err(); err != nil {
		c.e = sqliteError(err)
	}
	return false
}

func (c *sqliteCursor) err() error { return c.e }

func (c *sqliteCursor) columns() int { return c.stmt.ColumnCount() }

func (c *sqliteCursor) column(i int) (value, error) {
	switch c.stmt.ColumnType(i) {
	case sqlite3.INTEGER:
		return value{kind: kindInt, int: c.stmt.ColumnInt64(i)}, nil
	case sqlite3.FLOAT:
		return value{kind: kindFloat, float: c.stmt.ColumnFloat(i)}, nil
	case sqlite3.TEXT:
		return value{kind: kindText, raw: c.stmt.ColumnRawText(i)}, nil
	case sqlite3.BLOB:
		return value{kind: kindBlob, raw: c.stmt.ColumnRawBlob(i)}, nil
	}
	return value{}, nil
}

func (c *sqliteCursor) close() {
	// An error here repeats the one that next has seen; the statement is fit for use again.
	_ = c.conn.release(c.sql, c.stmt)
}

// sqliteError gives SQLite's errors their meaning: ErrConflict, ErrFull, ErrBroken; others stay as they are.
func sqliteError(err error) error {
	if err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrBroken) {
		return err
	}
	var extended sqlite3.ExtendedErrorCode
	if !errors.As(err, &extended) {
		return err
	}
	switch extended {
	case sqlite3.CONSTRAINT_UNIQUE, sqlite3.CONSTRAINT_PRIMARYKEY, sqlite3.CONSTRAINT_ROWID:
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	switch extended.Code() {
	case sqlite3.FULL:
		return fullError(err)
	case sqlite3.IOERR:
		// The file layer reports a full disk as an I/O error that wraps the cause. A failed sync is never taken for
		// a mere lack of space: what it covered is lost.
		if extended != sqlite3.IOERR_FSYNC && extended != sqlite3.IOERR_DIR_FSYNC &&
			(errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) {
			return fullError(err)
		}
		return brokenError(err)
	case sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.CANTOPEN, sqlite3.READONLY, sqlite3.PROTOCOL, sqlite3.NOLFS,
		sqlite3.PERM, sqlite3.AUTH, sqlite3.INTERNAL, sqlite3.MISUSE:
		return brokenError(err)
	}
	return err
}
