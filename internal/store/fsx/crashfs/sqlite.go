package crashfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"postern/internal/store/fsx"
)

// SQLiteVFS is the disk as SQLite's file layer. Package store finds it by this method. It behaves as the file layer
// that package store gives SQLite on Linux; in particular a new log's name is not synced with its content.
func (d *Disk) SQLiteVFS() vfs.VFS { return sqlVFS{d} }

type sqlVFS struct{ d *Disk }

// sqlLock is the state of SQLite's locks on one database file (https://sqlite.org/lockingv3.html).
type sqlLock struct {
	shared   int
	reserved *sqlFile
	pending  *sqlFile // wants or has the exclusive lock
}

// sqlFile is a file opened by SQLite.
type sqlFile struct {
	d      *Disk
	n      *node
	name   string
	scrap  bool // a temporary file, which no crash test cares for
	remove bool
	level  vfs.LockLevel
	shm    vfs.SharedMemory
}

var (
	_ vfs.FileSharedMemory = (*sqlFile)(nil)
	_ vfs.FileSizeHint     = (*sqlFile)(nil)
)

// Open implements vfs.VFS.
func (v sqlVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d := v.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == "" {
		return &sqlFile{d: d, n: &node{}, scrap: true}, flags, nil
	}
	if d.crashed {
		return nil, flags, pathError("open", name, ErrCrashed)
	}
	n := d.lookup(name)
	if n != nil && (n.folder || flags&vfs.OPEN_EXCLUSIVE != 0) {
		return nil, flags, sqlite3.CANTOPEN
	}
	if n == nil {
		if flags&vfs.OPEN_CREATE == 0 {
			return nil, flags, pathError("open", name, fs.ErrNotExist)
		}
		var err error
		if n, err = d.create(name); err != nil {
			return nil, flags, err
		}
	}
	f := &sqlFile{d: d, n: n, name: name, remove: flags&vfs.OPEN_DELETEONCLOSE != 0}
	if flags&vfs.OPEN_MAIN_DB != 0 {
		folder, err := d.shmFolder()
		if err != nil {
			return nil, flags, err
		}
		f.shm = vfs.NewSharedMemory(filepath.Join(folder, strings.ReplaceAll(clean(name), "/", "_")), flags)
	}
	return f, flags, nil
}

// fullCode tags a full disk with SQLite's code for it.
func fullCode(err error) error {
	if errors.Is(err, fsx.ErrFull) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

// Delete implements vfs.VFS.
func (v sqlVFS) Delete(name string, syncDir bool) error {
	v.d.mu.Lock()
	err := v.d.remove(name)
	v.d.mu.Unlock()
	if errors.Is(err, fs.ErrNotExist) {
		return sqlite3.IOERR_DELETE_NOENT
	}
	if err == nil && syncDir {
		err = v.d.SyncDir(filepath.Dir(name))
	}
	return err
}

// Access implements vfs.VFS.
func (v sqlVFS) Access(name string, _ vfs.AccessFlag) (bool, error) {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	if v.d.crashed {
		return false, pathError("access", name, ErrCrashed)
	}
	return v.d.lookup(name) != nil, nil
}

// FullPathname implements vfs.VFS.
func (v sqlVFS) FullPathname(name string) (string, error) { return clean(name), nil }

func (f *sqlFile) Close() error {
	if f.shm != nil {
		// Shared memory does not outlive a crash; nothing depends on how it ends.
		_ = f.shm.Close()
	}
	if err := f.Unlock(vfs.LOCK_NONE); err != nil {
		return err
	}
	if f.remove {
		f.d.mu.Lock()
		defer f.d.mu.Unlock()
		if err := f.d.remove(f.name); err != nil && !isCrash(err) {
			return err
		}
	}
	return nil
}

func (f *sqlFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.readAt(f.n, f.name, p, off)
}

func (f *sqlFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.scrap {
		f.d.put(f.n, p, off)
		return len(p), nil
	}
	n, err := f.d.write(f.n, f.name, p, off)
	return n, fullCode(err)
}

func (f *sqlFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.scrap {
		f.n.data = resize(f.n.data, int(size))
		return nil
	}
	return fullCode(f.d.truncate(f.n, f.name, size))
}

func (f *sqlFile) Sync(vfs.SyncFlag) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.scrap {
		return nil
	}
	return f.d.sync(f.n, f.name)
}

func (f *sqlFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.crashed {
		return 0, pathError("size", f.name, ErrCrashed)
	}
	return int64(len(f.n.data)), nil
}

// SizeHint implements vfs.FileSizeHint: space is allocated ahead.
func (f *sqlFile) SizeHint(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.scrap || size <= int64(len(f.n.data)) {
		return nil
	}
	return fullCode(f.d.truncate(f.n, f.name, size))
}

// SharedMemory implements vfs.FileSharedMemory.
func (f *sqlFile) SharedMemory() vfs.SharedMemory { return f.shm }

func (f *sqlFile) SectorSize() int { return 4096 }

func (f *sqlFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_POWERSAFE_OVERWRITE | vfs.IOCAP_SUBPAGE_READ
}

func (f *sqlFile) Lock(level vfs.LockLevel) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.level >= level {
		return nil
	}
	l := &f.n.lock
	switch level {
	case vfs.LOCK_SHARED:
		if l.pending != nil {
			return sqlite3.BUSY
		}
		l.shared++
	case vfs.LOCK_RESERVED:
		if l.reserved != nil {
			return sqlite3.BUSY
		}
		l.reserved = f
	case vfs.LOCK_EXCLUSIVE:
		if l.pending != nil && l.pending != f || l.reserved != nil && l.reserved != f {
			return sqlite3.BUSY
		}
		l.pending = f
		if l.shared > 1 {
			f.level = vfs.LOCK_PENDING
			return sqlite3.BUSY
		}
	}
	f.level = level
	return nil
}

func (f *sqlFile) Unlock(level vfs.LockLevel) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.level <= level {
		return nil
	}
	l := &f.n.lock
	if l.pending == f {
		l.pending = nil
	}
	if l.reserved == f {
		l.reserved = nil
	}
	if level == vfs.LOCK_NONE {
		l.shared--
	}
	f.level = level
	return nil
}

func (f *sqlFile) CheckReservedLock() (bool, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.n.lock.reserved != nil, nil
}
