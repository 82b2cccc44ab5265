package store

import (
	"github.com/ncruces/go-sqlite3/vfs"
)

// gatherVFS is a file layer whose write-ahead log gathers its writes: SQLite writes each page of a commit in two small pieces, one behind
// the other, and then syncs. They go to the inner layer as one, at the latest right before the sync.
//
// Nothing can tell the difference: SQLite lets other connections see a page of the log only after the sync of the commit
// that wrote it (synchronous=FULL), and every other look at the file through this handle writes out what was gathered. A write that
// fails late fails the sync, and the commit with it.
type gatherVFS struct{ vfs.VFS }

// gatherVFSFilename is the same for a file layer that wants to know how a file is named in full.
type gatherVFSFilename struct{ vfs.VFSFilename }

// gathering wraps a file layer.
func gathering(inner vfs.VFS) vfs.VFS {
	if named, ok := inner.(vfs.VFSFilename); ok {
		return gatherVFSFilename{named}
	}
	return gatherVFS{inner}
}

// Open implements vfs.VFS.
func (v gatherVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := v.VFS.Open(name, flags)
	return gatherLog(f, flags), out, err
}

// OpenFilename implements vfs.VFSFilename.
func (v gatherVFSFilename) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := v.VFSFilename.OpenFilename(name, flags)
	return gatherLog(f, flags), out, err
}

func gatherLog(f vfs.File, flags vfs.OpenFlag) vfs.File {
	if f == nil || flags&vfs.OPEN_WAL == 0 {
		return f
	}
	return &logFile{File: f}
}

// gatherBytes is how much is gathered at most, 60 pages; it is kept for the next time.
const gatherBytes = 256 << 10

// logFile is the write-ahead log. Like any file of SQLite it is used by one goroutine at a time.
type logFile struct {
	vfs.File
	waiting []byte // written, and not yet known to the inner file
	at      int64  // where it belongs
}

// WriteAt implements vfs.File.
func (f *logFile) WriteAt(p []byte, off int64) (int, error) {
	if off != f.at+int64(len(f.waiting)) || len(f.waiting)+len(p) > gatherBytes {
		if err := f.writeOut(); err != nil {
			return 0, err
		}
		f.at = off
	}
	if f.waiting == nil {
		f.waiting = make([]byte, 0, gatherBytes)
	}
	if len(p) > gatherBytes {
		return f.File.WriteAt(p, off)
	}
	f.waiting = append(f.waiting, p...)
	return len(p), nil
}

// writeOut hands on what waits. After an error it is gone: the commit that it belongs to has failed, and SQLite writes over it.
func (f *logFile) writeOut() error {
	if len(f.waiting) == 0 {
		return nil
	}
	p, at := f.waiting, f.at
	f.at += int64(len(p))
	f.waiting = p[:0]
	_, err := f.File.WriteAt(p, at)
	return err
}

// Sync implements vfs.File.
func (f *logFile) Sync(flags vfs.SyncFlag) error {
	if err := f.writeOut(); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

// ReadAt implements vfs.File.
func (f *logFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.writeOut(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// Truncate implements vfs.File.
func (f *logFile) Truncate(size int64) error {
	if err := f.writeOut(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Size implements vfs.File.
func (f *logFile) Size() (int64, error) {
	if err := f.writeOut(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close implements vfs.File. What still waits belongs to no commit.
func (f *logFile) Close() error { return f.File.Close() }
