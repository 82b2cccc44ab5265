package fsx_test

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"testing"

	"postern/internal/store/fsx"
	"postern/internal/store/fsx/crashfs"
)

// TestConformance runs the same acts on the real file system and on the one for crash tests.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("os", func(t *testing.T) { conform(t, fsx.OS, t.TempDir()) })
	t.Run("crashfs", func(t *testing.T) { conform(t, crashfs.New(1), "/work") })
}

func conform(t *testing.T, files fsx.FS, dir string) {
	dir = path.Join(dir, "a", "b")
	must(t, files.MkdirAll(dir))
	must(t, files.MkdirAll(dir))
	name, other := path.Join(dir, "one"), path.Join(dir, "two")
	f, err := files.Create(name)
	must(t, err)
	_, err = f.Write([]byte("hello "))
	must(t, err)
	_, err = f.Write([]byte("world"))
	must(t, err)
	_, err = f.WriteAt([]byte("J"), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Truncate(8))
	must(t, f.Close())
	if _, err := files.Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: %v", err)
	}
	must(t, files.Rename(name, other))
	must(t, files.SyncDir(dir))
	f, err = files.Open(other)
	must(t, err)
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file opened for reading was written")
	}
	content, err := io.ReadAll(f)
	must(t, err)
	if string(content) != "Jello wo" {
		t.Errorf("read %q", content)
	}
	must(t, f.Close())
	for _, gone := range []error{second(files.Open(name)), second(files.Stat(name)), files.Remove(name)} {
		if !errors.Is(gone, fs.ErrNotExist) {
			t.Errorf("renamed name: %v", gone)
		}
	}
	entries, err := files.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "two" {
		t.Errorf("ReadDir: %v", entries)
	}
	if err := files.Remove(dir); err == nil {
		t.Error("a full folder was removed")
	}
	lock, err := files.Lock(path.Join(dir, "lock"))
	must(t, err)
	if _, err := files.Lock(path.Join(dir, "lock")); !errors.Is(err, fsx.ErrLocked) {
		t.Errorf("second Lock: %v", err)
	}
	must(t, lock.Close())
	lock, err = files.Lock(path.Join(dir, "lock"))
	must(t, err)
	must(t, lock.Close())
	if free, total, err := files.Free(dir); err != nil || free <= 0 || total < free {
		t.Errorf("Free: %d %d %v", free, total, err)
	}
	must(t, files.Remove(other))
}

func second[T any](_ T, err error) error { return err }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
