package crashfs

import (
	"cmp"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"postern/internal/store/fsx"
)

var _ fsx.FS = (*Disk)(nil)

// file is an open file.
type file struct {
	d    *Disk
	n    *node
	name string
	off  int64
	read bool // opened for reading only
}

// Create implements fsx.FS.
func (d *Disk) Create(name string) (fsx.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.create(name)
	if err != nil {
		return nil, err
	}
	return &file{d: d, n: n, name: name}, nil
}

// Open implements fsx.FS.
func (d *Disk) Open(name string) (fsx.File, error) { return d.open(name, true) }

// OpenWrite implements fsx.FS.
func (d *Disk) OpenWrite(name string) (fsx.File, error) { return d.open(name, false) }

func (d *Disk) open(name string, read bool) (fsx.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, pathError("open", name, ErrCrashed)
	}
	n := d.lookup(name)
	if n == nil || n.folder {
		return nil, pathError("open", name, fs.ErrNotExist)
	}
	return &file{d: d, n: n, name: name, read: read}, nil
}

// Rename implements fsx.FS.
func (d *Disk) Rename(oldName, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, err := d.place("rename", oldName)
	if err != nil {
		return err
	}
	to, err := d.place("rename", newName)
	if err != nil {
		return err
	}
	n := from.dir.entries[from.name]
	if n == nil {
		return pathError("rename", oldName, fs.ErrNotExist)
	}
	fault, err := d.operation("rename", oldName)
	if err != nil && fault != Torn {
		return err
	}
	d.change(entryOp{from: from, to: to, node: n})
	return err
}

// Remove implements fsx.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remove(name)
}

func (d *Disk) remove(name string) error {
	at, err := d.place("remove", name)
	if err != nil {
		return err
	}
	n := at.dir.entries[at.name]
	if n == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if n.folder && len(n.entries) > 0 {
		return pathError("remove", name, sentinel("folder not empty"))
	}
	fault, err := d.operation("remove", name)
	if err != nil && fault != Torn {
		return err
	}
	d.change(entryOp{from: at})
	if d.space >= 0 {
		d.space += int64(len(n.data))
	}
	return err
}

// MkdirAll implements fsx.FS.
func (d *Disk) MkdirAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mkdirAll(clean(name))
}

func (d *Disk) mkdirAll(name string) error {
	if n := d.lookup(name); n != nil {
		if !n.folder {
			return pathError("mkdir", name, fs.ErrExist)
		}
		return nil
	}
	if err := d.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	at, err := d.place("mkdir", name)
	if err != nil {
		return err
	}
	fault, err := d.operation("mkdir", name)
	if err != nil && fault != Torn {
		return err
	}
	d.change(entryOp{to: at, node: newFolder()})
	return err
}

// ReadDir implements fsx.FS.
func (d *Disk) ReadDir(name string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, pathError("readdir", name, ErrCrashed)
	}
	n := d.lookup(name)
	if n == nil || !n.folder {
		return nil, pathError("readdir", name, fs.ErrNotExist)
	}
	var out []fs.DirEntry
	for entry, child := range n.entries {
		out = append(out, fs.FileInfoToDirEntry(describe(entry, child)))
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return out, nil
}

// Stat implements fsx.FS.
func (d *Disk) Stat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return nil, pathError("stat", name, ErrCrashed)
	}
	n := d.lookup(name)
	if n == nil {
		return nil, pathError("stat", name, fs.ErrNotExist)
	}
	return describe(path.Base(clean(name)), n), nil
}

// Free implements fsx.FS. Without a limit it is one tebibyte.
func (d *Disk) Free(name string) (free, total int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return 0, 0, pathError("free", name, ErrCrashed)
	}
	const tebibyte = 1 << 40
	if d.space < 0 {
		return tebibyte, tebibyte, nil
	}
	return d.space, tebibyte, nil
}

// Lock implements fsx.FS. The lock is the disk's own: a Clone has none.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = clean(name)
	if d.crashed {
		return nil, pathError("lock", name, ErrCrashed)
	}
	if d.locks[name] {
		return nil, pathError("lock", name, fsx.ErrLocked)
	}
	d.locks[name] = true
	return &held{d: d, name: name}, nil
}

// held is a lock that is held.
type held struct {
	d    *Disk
	name string
}

func (h *held) Close() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	delete(h.d.locks, h.name)
	return nil
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.readAt(f.n, f.name, p, off)
}

// readAt reads what processes see.
func (d *Disk) readAt(n *node, name string, p []byte, off int64) (int, error) {
	if d.crashed {
		return 0, pathError("read", name, ErrCrashed)
	}
	if off >= int64(len(n.data)) {
		return 0, io.EOF
	}
	count := copy(p, n.data[off:])
	if count < len(p) {
		return count, io.EOF
	}
	return count, nil
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.off)
	f.off += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.read {
		return 0, pathError("write", f.name, fs.ErrPermission)
	}
	return f.d.write(f.n, f.name, p, off)
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.sync(f.n, f.name)
}

func (f *file) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.d.truncate(f.n, f.name, size)
}

func (f *file) Stat() (fs.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.crashed {
		return nil, pathError("stat", f.name, ErrCrashed)
	}
	return describe(path.Base(f.name), f.n), nil
}

func (f *file) Close() error { return nil }

// info describes a file or folder at one moment.
type info struct {
	name   string
	size   int64
	folder bool
	time   time.Time
}

func describe(name string, n *node) info {
	return info{name: name, size: int64(len(n.data)), folder: n.folder, time: age(n.time)}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return i.time }
func (i info) IsDir() bool        { return i.folder }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.folder {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
