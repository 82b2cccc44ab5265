// Package fsx is the file system as seen by the rooms that keep files beside the database: few operations, each of
// which can fail, be interrupted by a crash or be delayed in a test.
//
// [OS] is the real file system. Package crashfs holds an in-memory one that forgets what was not synced.
//
// What a caller must do to make a new file durable, on both: Create, Write, Sync, Close, then (Rename and) SyncDir of
// the folder that holds the name. Nothing less survives a power loss. A Sync that failed must never be repeated in the
// hope of success: the kernel may have dropped the dirty pages and report success the second time; write the data
// again to a new file instead.
package fsx

import (
	"io"
	"io/fs"
)

// FS is a file system. Paths are slash-separated; errors are *fs.PathError and match fs.ErrNotExist, fs.ErrExist and
// [ErrFull] with errors.Is.
type FS interface {
	// Create makes a new file for writing; it fails with fs.ErrExist when the name is taken.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Rename gives a file a new name, replacing what has that name. Atomic, durable after SyncDir.
	Rename(oldName, newName string) error
	// Remove removes a file or an empty folder. Durable after SyncDir of its folder.
	Remove(name string) error
	// MkdirAll makes a folder and its parents; no error when it exists.
	MkdirAll(name string) error
	// ReadDir lists a folder by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file or folder.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
	// Free tells the bytes still free for this process and the size of the file system that holds name.
	Free(name string) (free, total int64, err error)
	// Lock takes an exclusive lock that ends when the Closer is closed or the process dies, however it dies.
	// It does not wait: a lock held elsewhere is [ErrLocked].
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	// Sync makes the content durable (not the name: see FS.SyncDir).
	Sync() error
	// Truncate sets the size.
	Truncate(size int64) error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
}

// Sentinel errors of a file system.
var (
	// ErrFull: no space left (ENOSPC, EDQUOT).
	ErrFull error = sentinel("no space left on the disk")
	// ErrLocked: another process (or another open database) holds the lock.
	ErrLocked error = sentinel("locked by another process")
)

type sentinel string

func (s sentinel) Error() string { return string(s) }
