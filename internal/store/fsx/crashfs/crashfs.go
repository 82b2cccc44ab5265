// Package crashfs is a file system in memory that forgets, as disks do, what was not synced. It is for tests.
//
// A [Disk] is an fsx.FS, and SQLite runs on it too: give it to store.Options.FS and open "sqlite:/some/file.db"; use
// the same Disk for the files beside the database. A crash test runs its scenario once to count the operations
// (Disk.Ops), then again for each operation k with Disk.Inject(k, fault), then opens what the power loss left:
//
//	disk := crashfs.New(seed)
//	disk.Inject(k, crashfs.Crash)
//	acknowledged := scenario(disk)      // stops at the first error; closes what it opened
//	after := disk.Clone(seed, 50)       // half of what was not synced is kept
//	// open after, look for everything acknowledged
//	disk.Close(); after.Close()
//
// # What it models
//
// Data is kept in sectors of 512 bytes. A written sector that was not synced is kept or lost at a power loss, each
// independently of the others and of the file's size; so are created, removed and renamed names until SyncDir of their
// folder, each operation independently, a rename being atomic. Syncing a file does not make its name durable. A sync
// that fails leaves the data readable and clean, a random part of it durable, and a second sync does not help: that is
// what Linux does. What was synced is never damaged.
//
// It does not model: bit rot, permissions, links, memory maps. SQLite's shared memory, which a crash always destroys,
// lives in real files in a temporary folder that Close removes.
//
// Everything is determined by the seed and the order of operations.
package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postern/internal/store/fsx"
)

// SectorSize is the unit in which data is kept or lost, in bytes.
const SectorSize = 512

// ErrCrashed is what every operation returns after the crash.
var ErrCrashed error = sentinel("the disk has crashed")

type sentinel string

func (s sentinel) Error() string { return string(s) }

// Fault is what happens at an injected operation.
type Fault uint8

// The faults.
const (
	// Crash: the operation does not happen, and every later one returns ErrCrashed.
	Crash Fault = iota + 1
	// Torn: as Crash, but a random part of the operation's sectors (or the whole of an operation on names) was done.
	Torn
	// EIO: the operation fails with an I/O error; a write may have been done in part, a failed sync loses data.
	EIO
	// NoSpace: the operation fails with ENOSPC, a write in part; a sync that fails so loses data.
	NoSpace
	// Short: a write stops in the middle and reports so; other operations fail with an I/O error.
	Short
)

// String names the fault.
func (f Fault) String() string {
	return [...]string{"none", "crash", "torn", "eio", "nospace", "short"}[f]
}

// Op is one operation that changes the disk.
type Op struct {
	// N counts from 1.
	N int
	// Kind is create, write, truncate, sync, rename, remove, mkdir or syncdir.
	Kind string
	// Name is the path.
	Name string
}

// Disk is the file system. Its methods may be called concurrently.
type Disk struct {
	mu      sync.Mutex
	seed    uint64
	rng     *rand.Rand
	root    *node
	pending []entryOp // operations on names that no SyncDir has covered
	ops     int
	faults  map[int]Fault
	before  func(Op) error
	crashed bool
	space   int64 // bytes still free; negative: no limit
	shm     string
	shmErr  error
	locks   map[string]bool
	clock   int64
}

// node is a file or a folder.
type node struct {
	folder  bool
	entries map[string]*node // what processes see
	durable map[string]*node // what a power loss leaves

	data  []byte           // what processes see
	disk  []byte           // what a power loss leaves at least
	dirty map[int]struct{} // sectors written since the last sync
	time  int64
	lock  sqlLock
}

// entryOp is an operation on names that is not durable yet: to gets node (nil: nothing), from loses its own.
type entryOp struct {
	from, to dirEntry
	node     *node
}

type dirEntry struct {
	dir  *node
	name string
}

// New makes an empty disk.
func New(seed uint64) *Disk {
	return &Disk{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), root: newFolder(), space: -1,
		faults: map[int]Fault{}, locks: map[string]bool{},
	}
}

func newFolder() *node {
	return &node{folder: true, entries: map[string]*node{}, durable: map[string]*node{}}
}

// Ops is the number of operations so far that changed the disk.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// Inject makes the k-th operation (the first is 1, counted from the birth of the disk) meet a fault.
func (d *Disk) Inject(k int, f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[k] = f
}

// Before has f called ahead of each operation that changes the disk; its error is the operation's, which then does not
// happen. nil ends it. f must not use the disk. It is the way to faults that last, to slow disks and to logs.
func (d *Disk) Before(f func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = f
}

// Crash stops the disk now.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashed = true
}

// Crashed tells whether the disk has stopped.
func (d *Disk) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashed
}

// SetSpace sets the bytes that files may still grow by; negative: no limit.
func (d *Disk) SetSpace(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.space = bytes
}

// Close removes the real files of SQLite's shared memory. The databases on the disk must be closed before.
func (d *Disk) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shm == "" {
		return nil
	}
	err := os.RemoveAll(d.shm)
	d.shm = ""
	return err
}

// Clone is the disk as it can be after a power loss at this moment: all that was synced, and of each sector, size and
// name that was not, keepPercent in a hundred, chosen by the seed. The original goes on as it was. The clone has no
// faults, no limit of space and no locks.
func (d *Disk) Clone(seed uint64, keepPercent int) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New(seed)
	c.clock = d.clock
	rng := rand.New(rand.NewPCG(seed, uint64(keepPercent)))
	keep := func() bool { return rng.IntN(100) < keepPercent }
	twins := map[*node]*node{}
	c.root = cloneNode(d.root, twins, keep)
	for _, op := range d.pending {
		if !keep() {
			continue
		}
		moved := op
		moved.from.dir, moved.to.dir = twinOf(op.from.dir, twins, keep), twinOf(op.to.dir, twins, keep)
		moved.node = twinOf(op.node, twins, keep)
		moved.apply()
	}
	for _, n := range twins {
		if n.folder {
			for name, child := range n.durable {
				n.entries[name] = child
			}
		}
	}
	return c
}

func twinOf(n *node, twins map[*node]*node, keep func() bool) *node {
	if n == nil {
		return nil
	}
	if t, ok := twins[n]; ok {
		return t
	}
	return cloneNode(n, twins, keep)
}

// cloneNode copies what a power loss leaves of a node and of what durably hangs below it.
func cloneNode(n *node, twins map[*node]*node, keep func() bool) *node {
	t := &node{folder: n.folder, time: n.time}
	twins[n] = t
	if n.folder {
		t.entries, t.durable = map[string]*node{}, map[string]*node{}
		names := make([]string, 0, len(n.durable))
		for name := range n.durable {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			t.durable[name] = twinOf(n.durable[name], twins, keep)
		}
		return t
	}
	t.disk = slices.Clone(n.disk)
	if len(n.data) != len(n.disk) && keep() {
		t.disk = resize(t.disk, len(n.data))
	}
	for _, s := range n.dirtySectors() {
		if keep() {
			t.disk = copySector(t.disk, n.data, s, len(t.disk))
		}
	}
	t.data = slices.Clone(t.disk)
	return t
}

// dirtySectors lists them in order, so that the seed decides alone.
func (n *node) dirtySectors() []int {
	out := make([]int, 0, len(n.dirty))
	for s := range n.dirty {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// copySector copies sector s of src into dst, as far as both and limit reach.
func copySector(dst, src []byte, s, limit int) []byte {
	from, to := s*SectorSize, min((s+1)*SectorSize, len(src), limit)
	if from < to {
		copy(dst[from:to], src[from:to])
	}
	return dst
}

func resize(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

// apply does the operation on the durable names.
func (op entryOp) apply() {
	if op.from.dir != nil {
		delete(op.from.dir.durable, op.from.name)
	}
	if op.to.dir != nil {
		op.to.dir.durable[op.to.name] = op.node
	}
}

// operation counts one operation and says what becomes of it: fault is zero when it shall be done, err is what to
// return when it shall not. The caller holds the mutex.
func (d *Disk) operation(kind, name string) (Fault, error) {
	if d.crashed {
		return Crash, pathError(kind, name, ErrCrashed)
	}
	d.ops++
	if d.before != nil {
		if err := d.before(Op{N: d.ops, Kind: kind, Name: name}); err != nil {
			return EIO, pathError(kind, name, err)
		}
	}
	switch f := d.faults[d.ops]; f {
	case Crash, Torn:
		d.crashed = true
		return f, pathError(kind, name, ErrCrashed)
	case EIO, Short:
		return f, pathError(kind, name, unix.EIO)
	case NoSpace:
		return f, noSpace(kind, name)
	}
	return 0, nil
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func noSpace(op, name string) error {
	return fmt.Errorf("%w: %w", fsx.ErrFull, pathError(op, name, unix.ENOSPC))
}

// write changes sectors of a file as processes see it.
func (d *Disk) write(n *node, name string, p []byte, off int64) (int, error) {
	fault, err := d.operation("write", name)
	switch fault {
	case 0:
	case Crash:
		return 0, err
	case Torn:
		for s := 0; s*SectorSize < len(p); s++ {
			if d.rng.IntN(2) == 0 {
				end := min((s+1)*SectorSize, len(p))
				d.put(n, p[s*SectorSize:end], off+int64(s*SectorSize))
			}
		}
		return 0, err
	default:
		part := p[:d.rng.IntN(len(p)+1)]
		if fault == Short {
			part = p[:len(p)/2]
		}
		d.put(n, part, off)
		return len(part), err
	}
	if grow := off + int64(len(p)) - int64(len(n.data)); d.space >= 0 && grow > d.space {
		part := p[:max(0, int64(len(p))-(grow-d.space))]
		d.put(n, part, off)
		return len(part), noSpace("write", name)
	}
	d.put(n, p, off)
	return len(p), nil
}

// put stores bytes and marks their sectors.
func (d *Disk) put(n *node, p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := int(off) + len(p)
	if end > len(n.data) {
		d.setSize(n, end)
	}
	copy(n.data[off:end], p)
	n.mark(int(off), end)
	d.touch(n)
}

// mark makes the sectors of a range dirty.
func (n *node) mark(from, to int) {
	if n.dirty == nil {
		n.dirty = map[int]struct{}{}
	}
	for s := from / SectorSize; s*SectorSize < to; s++ {
		n.dirty[s] = struct{}{}
	}
}

// setSize changes the size as processes see it. Bytes gained are zero.
func (d *Disk) setSize(n *node, size int) {
	if d.space >= 0 {
		d.space = max(0, d.space-int64(size-len(n.data)))
	}
	old := len(n.data)
	if size < old {
		clear(n.data[size:])
		n.mark(size, old)
	}
	n.data = resize(n.data, size)
}

func (d *Disk) touch(n *node) {
	d.clock++
	n.time = d.clock
}

func (d *Disk) truncate(n *node, name string, size int64) error {
	fault, err := d.operation("truncate", name)
	if err != nil && fault != Torn {
		return err
	}
	if grow := size - int64(len(n.data)); d.space >= 0 && grow > d.space {
		return noSpace("truncate", name)
	}
	d.setSize(n, int(size))
	d.touch(n)
	return err
}

// sync makes the content durable. When it fails, some of it may be, and the rest never will be.
func (d *Disk) sync(n *node, name string) error {
	fault, err := d.operation("sync", name)
	if fault == Crash {
		return err
	}
	if fault == 0 || d.rng.IntN(2) == 0 {
		n.disk = resize(n.disk, len(n.data))
	}
	for _, s := range n.dirtySectors() {
		if fault == 0 || d.rng.IntN(2) == 0 {
			n.disk = copySector(n.disk, n.data, s, len(n.disk))
		}
	}
	n.dirty = nil
	return err
}

// Entry operations.

// clean makes every path absolute.
func clean(name string) string { return path.Clean("/" + name) }

// lookup walks to a node; nil when there is none.
func (d *Disk) lookup(name string) *node {
	n := d.root
	for part := range strings.SplitSeq(strings.Trim(clean(name), "/"), "/") {
		if part == "" {
			continue
		}
		if !n.folder {
			return nil
		}
		if n = n.entries[part]; n == nil {
			return nil
		}
	}
	return n
}

// place is the folder and the last name of a path.
func (d *Disk) place(op, name string) (dirEntry, error) {
	dir, last := path.Split(clean(name))
	parent := d.lookup(dir)
	if parent == nil || !parent.folder {
		return dirEntry{}, pathError(op, name, fs.ErrNotExist)
	}
	return dirEntry{dir: parent, name: last}, nil
}

// change does an operation on names as processes see it and remembers that it is not durable.
func (d *Disk) change(op entryOp) {
	if op.from.dir != nil {
		delete(op.from.dir.entries, op.from.name)
	}
	if op.to.dir != nil {
		op.to.dir.entries[op.to.name] = op.node
	}
	d.pending = append(d.pending, op)
}

func (d *Disk) create(name string) (*node, error) {
	at, err := d.place("create", name)
	if err != nil {
		return nil, err
	}
	if at.dir.entries[at.name] != nil {
		return nil, pathError("create", name, fs.ErrExist)
	}
	fault, err := d.operation("create", name)
	if err != nil && fault != Torn {
		return nil, err
	}
	n := &node{}
	d.touch(n)
	d.change(entryOp{to: at, node: n})
	return n, err
}

// SyncDir implements fsx.FS.
func (d *Disk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.lookup(name)
	if n == nil || !n.folder {
		return pathError("syncdir", name, fs.ErrNotExist)
	}
	if fault, err := d.operation("syncdir", name); err != nil && fault != Torn {
		return err
	} else if fault == Torn {
		d.settle(n, func() bool { return d.rng.IntN(2) == 0 })
		return err
	}
	d.settle(n, func() bool { return true })
	return nil
}

// settle makes pending operations of a folder durable, in order, those that are chosen.
func (d *Disk) settle(n *node, chosen func() bool) {
	rest := d.pending[:0]
	for _, op := range d.pending {
		if (op.from.dir == n || op.to.dir == n) && chosen() {
			op.apply()
		} else {
			rest = append(rest, op)
		}
	}
	d.pending = rest
}

// shmFolder is the real folder of SQLite's shared memory.
func (d *Disk) shmFolder() (string, error) {
	if d.shm == "" && d.shmErr == nil {
		base := "/dev/shm"
		if _, err := os.Stat(base); err != nil {
			base = ""
		}
		d.shm, d.shmErr = os.MkdirTemp(base, "crashfs")
	}
	return d.shm, d.shmErr
}

// age turns the disk's own clock into a time: it never looks at the real one.
func age(clock int64) time.Time { return time.Unix(clock, 0).UTC() }

// isCrash tells whether an error comes from the crash.
func isCrash(err error) bool { return errors.Is(err, ErrCrashed) }
