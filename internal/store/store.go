package store

import (
	"context"
	"io/fs"
	"log/slog"

	"postern/internal/store/fsx"
)

type sentinel string

func (s sentinel) Error() string { return string(s) }

var (
	ErrFull     error = sentinel("store: disk full")
	ErrBroken   error = sentinel("store: database broken")
	ErrConflict error = sentinel("store: a row with this key exists")
	ErrNoRows   error = sentinel("store: no such row")
)

type Options struct {
	URL        string
	Migrations fs.FS
	FS         fsx.FS
	Logger     *slog.Logger
	Readers    int
}

type DB struct{}

func Open(ctx context.Context, o Options) (*DB, error)              { return nil, ErrBroken }
func (db *DB) Write(ctx context.Context, fn func(*Tx) error) error  { return ErrBroken }
func (db *DB) Read(ctx context.Context, fn func(*Tx) error) error   { return ErrBroken }
func (db *DB) Notify(topic string)                                  {}
func (db *DB) Watch(topic string) (ch <-chan struct{}, stop func()) { return nil, func() {} }
func (db *DB) Broken() error                                        { return nil }
func (db *DB) Close() error                                         { return nil }

type Tx struct{}

func (t *Tx) Exec(sql string, args ...any) (rows int64, err error) { return 0, ErrBroken }
func (t *Tx) Query(sql string, args ...any) *Rows                  { return &Rows{} }
func (t *Tx) QueryRow(sql string, args ...any) *Row                { return &Row{} }

type Rows struct{}

func (r *Rows) Next() bool             { return false }
func (r *Rows) Scan(dest ...any) error { return ErrNoRows }
func (r *Rows) Err() error             { return nil }
func (r *Rows) Close()                 {}

type Row struct{}

func (r *Row) Scan(dest ...any) error { return ErrNoRows }
