package store

import (
	"errors"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
	"golang.org/x/sys/unix"
)

// osVFS is SQLite's file layer for the operating system with one thing mended: a full disk or a used-up quota is
// reported as SQLITE_FULL, which undoes the transaction and nothing else, and not as an I/O error.
type osVFS struct{ vfs.VFSFilename }

// newOSVFS wraps the default file layer; without the interface that newer versions of it may lack, nothing is mended.
func newOSVFS() vfs.VFS {
	inner := vfs.Find("")
	if named, ok := inner.(vfs.VFSFilename); ok {
		return osVFS{named}
	}
	return inner
}

// OpenFilename implements vfs.VFSFilename.
func (v osVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	f, out, err := v.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return f, out, fullCode(err)
	}
	if all, ok := f.(osFileMethods); ok {
		return osFile{all}, out, nil
	}
	return f, out, nil
}

// osFileMethods are those of the default file layer that SQLite uses with a write-ahead log.
type osFileMethods interface {
	vfs.File
	vfs.FileSharedMemory
	vfs.FileSizeHint
	vfs.FileHasMoved
	vfs.FileLockState
	vfs.FilePersistWAL
	vfs.FilePowersafeOverwrite
}

type osFile struct{ osFileMethods }

func (f osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.osFileMethods.WriteAt(p, off)
	return n, fullCode(err)
}

func (f osFile) Truncate(size int64) error { return fullCode(f.osFileMethods.Truncate(size)) }

func (f osFile) SizeHint(size int64) error { return fullCode(f.osFileMethods.SizeHint(size)) }

// fullCode tags the kernel's "no space" with SQLite's code for it.
func fullCode(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}
