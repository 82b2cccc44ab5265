package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"
)

// tape is a file that counts what reaches it.
type tape struct {
	vfs.File
	data          []byte
	writes, syncs int
	fail          error
}

func (t *tape) WriteAt(p []byte, off int64) (int, error) {
	if t.fail != nil {
		return 0, t.fail
	}
	t.writes++
	if need := int(off) + len(p); need > len(t.data) {
		t.data = append(t.data, make([]byte, need-len(t.data))...)
	}
	return copy(t.data[off:], p), nil
}

func (t *tape) ReadAt(p []byte, off int64) (int, error) { return copy(p, t.data[off:]), nil }
func (t *tape) Sync(vfs.SyncFlag) error                 { t.syncs++; return nil }
func (t *tape) Size() (int64, error)                    { return int64(len(t.data)), nil }
func (t *tape) Truncate(size int64) error               { t.data = t.data[:size]; return nil }

func write(t *testing.T, f vfs.File, p []byte, off int64) {
	t.Helper()
	if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

func TestLogFileGathers(t *testing.T) {
	t.Parallel()
	inner := &tape{}
	f := gatherLog(inner, vfs.OPEN_WAL)
	page := bytes.Repeat([]byte("p"), 4096)
	want := []byte{}
	for range 10 {
		write(t, f, []byte("header"), int64(len(want)))
		want = append(want, "header"...)
		write(t, f, page, int64(len(want)))
		want = append(want, page...)
	}
	if inner.writes != 0 {
		t.Errorf("%d writes before the sync", inner.writes)
	}
	if err := f.Sync(0); err != nil || inner.writes != 1 || inner.syncs != 1 || !bytes.Equal(inner.data, want) {
		t.Errorf("%d writes, %d syncs, %d of %d bytes, %v", inner.writes, inner.syncs, len(inner.data), len(want), err)
	}
	write(t, f, []byte("H"), 0) // over what is there, then elsewhere
	write(t, f, []byte("X"), 100)
	want[0], want[100] = 'H', 'X'
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a read does not see what was written: %v", err)
	}
	end := int64(len(want))
	write(t, f, []byte("end"), end)
	if size, err := f.Size(); size != end+3 || err != nil {
		t.Errorf("size %d, %v; want %d", size, err, end+3)
	}
	write(t, f, []byte("more"), end+3)
	if err := f.Truncate(end); err != nil || len(inner.data) != len(want) {
		t.Errorf("%d bytes after truncation, %v", len(inner.data), err)
	}
	write(t, f, bytes.Repeat([]byte("l"), 3*gatherBytes), 0)
	if len(inner.data) != 3*gatherBytes {
		t.Errorf("a large write waits: %d bytes", len(inner.data))
	}
	if main := gatherLog(inner, vfs.OPEN_MAIN_DB); main != vfs.File(inner) {
		t.Errorf("the main file gathers too")
	}
}

func TestLogFileFails(t *testing.T) {
	t.Parallel()
	inner := &tape{}
	f := gatherLog(inner, vfs.OPEN_WAL)
	write(t, f, []byte("lost"), 0)
	inner.fail = errors.New("no")
	if err := f.Sync(0); !errors.Is(err, inner.fail) || inner.syncs != 0 {
		t.Errorf("sync after a failed write: %v, %d syncs", err, inner.syncs)
	}
	inner.fail = nil
	write(t, f, []byte("next"), 0)
	if err := f.Sync(0); err != nil || string(inner.data) != "next" {
		t.Errorf("after it: %v, %q", err, inner.data)
	}
}
