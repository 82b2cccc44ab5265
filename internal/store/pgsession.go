package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// pgSession runs the statements of one transaction on one connection. PostgreSQL sends one result at a time: when a
// statement comes while a result is being read, the rest of that result is taken into memory first.
type pgSession struct {
	ctx  context.Context
	conn *pgx.Conn
	sqls *placeholderCache
	open *pgCursor
}

// control runs BEGIN, COMMIT or ROLLBACK. A lost connection is ErrBroken.
func (s *pgSession) control(sql string) error {
	if s.open != nil {
		s.open.close()
	}
	results := s.conn.PgConn().Exec(s.ctx, sql)
	_, err := results.ReadAll()
	return s.meaning(err)
}

// meaning is pgError, and ErrBroken when the connection was lost.
func (s *pgSession) meaning(err error) error {
	if err == nil {
		return nil
	}
	if err = pgError(err); s.conn.IsClosed() {
		return brokenError(err)
	}
	return err
}

// exec implements session.
func (s *pgSession) exec(sql string, args []any) (int64, error) {
	s.setAside()
	tag, err := s.conn.Exec(s.ctx, s.sqls.rewrite(sql), args...)
	if err != nil {
		return 0, s.meaning(err)
	}
	return tag.RowsAffected(), nil
}

// query implements session.
func (s *pgSession) query(sql string, args []any) (cursor, error) {
	s.setAside()
	rows, err := s.conn.Query(s.ctx, s.sqls.rewrite(sql), args...)
	if err != nil {
		return nil, s.meaning(err)
	}
	s.open = &pgCursor{s: s, rows: rows, types: s.conn.TypeMap()}
	return s.open, nil
}

// setAside frees the connection from a result that is still being read.
func (s *pgSession) setAside() {
	if c := s.open; c != nil {
		c.buffer()
		s.open = nil
	}
}

// pgCursor implements cursor.
type pgCursor struct {
	s       *pgSession
	rows    pgx.Rows
	types   *pgtype.Map
	fields  []pgconn.FieldDescription
	current [][]byte
	kept    [][][]byte // rows taken into memory
	aside   bool
	e       error
}

func (c *pgCursor) next() bool {
	if c.aside {
		if len(c.kept) == 0 {
			return false
		}
		c.current, c.kept = c.kept[0], c.kept[1:]
		return true
	}
	if c.rows.Next() {
		c.current = c.rows.RawValues()
		return true
	}
	c.finish()
	return false
}

// finish notes how the result ended.
func (c *pgCursor) finish() {
	c.rows.Close()
	if err := c.rows.Err(); err != nil && c.e == nil {
		c.e = c.s.meaning(err)
	}
	if c.s.open == c {
		c.s.open = nil
	}
}

// buffer takes the rest of the result into memory, the current row included.
func (c *pgCursor) buffer() {
	c.fields = slices.Clone(c.fieldList())
	c.current = copyRow(c.current)
	for c.rows.Next() {
		c.kept = append(c.kept, copyRow(c.rows.RawValues()))
	}
	c.finish()
	c.aside = true
}

func copyRow(row [][]byte) [][]byte {
	out := make([][]byte, len(row))
	for i, v := range row {
		if v != nil {
			out[i] = append([]byte{}, v...)
		}
	}
	return out
}

func (c *pgCursor) err() error {
	if c.aside && len(c.kept) > 0 {
		return nil
	}
	return c.e
}

func (c *pgCursor) columns() int { return len(c.fieldList()) }

// fieldList describes the columns; the connection forgets them when it serves the next statement.
func (c *pgCursor) fieldList() []pgconn.FieldDescription {
	if c.fields != nil {
		return c.fields
	}
	return c.rows.FieldDescriptions()
}

func (c *pgCursor) column(i int) (value, error) {
	raw := c.current[i]
	if raw == nil {
		return value{}, nil
	}
	field := c.fieldList()[i]
	switch field.DataTypeOID {
	case pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID:
		var n int64
		err := c.types.Scan(field.DataTypeOID, field.Format, raw, &n)
		return value{kind: kindInt, int: n}, err
	case pgtype.Float8OID, pgtype.Float4OID:
		var f float64
		err := c.types.Scan(field.DataTypeOID, field.Format, raw, &f)
		return value{kind: kindFloat, float: f}, err
	case pgtype.NumericOID:
		return c.numeric(field.Format, raw)
	case pgtype.BoolOID:
		var b bool
		err := c.types.Scan(field.DataTypeOID, field.Format, raw, &b)
		return value{kind: kindInt, int: boolInt(b)}, err
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID, pgtype.UnknownOID:
		return value{kind: kindText, raw: raw}, nil
	case pgtype.ByteaOID:
		if field.Format == pgtype.BinaryFormatCode {
			return value{kind: kindBlob, raw: raw}, nil
		}
		var b []byte
		err := c.types.Scan(field.DataTypeOID, field.Format, raw, &b)
		return value{kind: kindBlob, raw: b}, err
	}
	return value{}, fmt.Errorf("PostgreSQL type with OID %d has no counterpart in SQLite", field.DataTypeOID)
}

// numeric reads the type of PostgreSQL's sums: a whole number when it is one.
func (c *pgCursor) numeric(format int16, raw []byte) (value, error) {
	var n pgtype.Numeric
	if err := c.types.Scan(pgtype.NumericOID, format, raw, &n); err != nil {
		return value{}, err
	}
	if i, err := n.Int64Value(); err == nil && i.Valid {
		return value{kind: kindInt, int: i.Int64}, nil
	}
	f, err := n.Float64Value()
	if err != nil {
		return value{}, err
	}
	if !f.Valid {
		return value{}, errors.New("number out of range")
	}
	return value{kind: kindFloat, float: f.Float64}, nil
}

func (c *pgCursor) close() {
	c.kept = nil
	if !c.aside {
		c.finish()
	}
}

// placeholderCache remembers the statements in PostgreSQL's writing.
type placeholderCache struct {
	mu  sync.RWMutex
	all map[string]string
}

// maxRewritten bounds the cache; rooms have far fewer statements, but for lists of varying length.
const maxRewritten = 2048

func (p *placeholderCache) rewrite(sql string) string {
	p.mu.RLock()
	out, ok := p.all[sql]
	p.mu.RUnlock()
	if ok {
		return out
	}
	out = numbered(sql)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil || len(p.all) >= maxRewritten {
		p.all = map[string]string{}
	}
	p.all[sql] = out
	return out
}

// numbered turns each "?" outside quotes and comments into $1, $2 and so on.
func numbered(sql string) string {
	var b strings.Builder
	b.Grow(len(sql) + 16)
	n := 0
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == '?':
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			i++
		case c == '\'' || c == '"':
			end := strings.IndexByte(sql[i+1:], c)
			i = copyTo(&b, sql, i, end, 2)
		case strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexByte(sql[i:], '\n')
			i = copyTo(&b, sql, i, end, 1)
		case strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i+2:], "*/")
			i = copyTo(&b, sql, i, end, 4)
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

// copyTo copies a quoted or commented stretch that begins at i and is end+extra bytes long; end < 0 is "to the end".
func copyTo(b *strings.Builder, sql string, i, end, extra int) int {
	stop := len(sql)
	if end >= 0 {
		stop = i + end + extra
	}
	b.WriteString(sql[i:stop])
	return stop
}
