package crashfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"postern/internal/store/fsx"
	"postern/internal/store/fsx/crashfs"
)

// save writes a file, syncing it and its folder or not.
func save(t *testing.T, d *crashfs.Disk, name, content string, sync, syncDir bool) {
	t.Helper()
	f, err := d.Create(name)
	if err == nil {
		_, err = f.Write([]byte(content))
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err == nil && syncDir {
		err = d.SyncDir("/")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func load(d *crashfs.Disk, name string) string {
	f, err := d.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "(none)"
	}
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestOnlyWhatWasSyncedStays(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		sync, syncDir bool
		none, all     string // after a power loss that keeps nothing or all of the rest
	}{
		{"nothing synced", false, false, "(none)", "content"},
		{"content synced", true, false, "(none)", "content"},
		{"name synced", false, true, "", "content"},
		{"both synced", true, true, "content", "content"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := crashfs.New(1)
			save(t, d, "/f", "content", tc.sync, tc.syncDir)
			if got := load(d.Clone(1, 0), "/f"); got != tc.none {
				t.Errorf("nothing kept: %q, want %q", got, tc.none)
			}
			if got := load(d.Clone(1, 100), "/f"); got != tc.all {
				t.Errorf("all kept: %q, want %q", got, tc.all)
			}
			if got := load(d, "/f"); got != "content" {
				t.Errorf("the original reads %q", got)
			}
		})
	}
}

func TestRenameIsAtomicAndDurableAfterSyncDir(t *testing.T) {
	t.Parallel()
	d := crashfs.New(1)
	save(t, d, "/f", "old", true, true)
	save(t, d, "/f.new", "new", true, true)
	if err := d.Rename("/f.new", "/f"); err != nil {
		t.Fatal(err)
	}
	if got := load(d.Clone(1, 0), "/f") + load(d.Clone(1, 0), "/f.new"); got != "oldnew" {
		t.Errorf("lost rename: %q", got)
	}
	if err := d.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	if got := load(d.Clone(1, 0), "/f") + load(d.Clone(1, 0), "/f.new"); got != "new(none)" {
		t.Errorf("kept rename: %q", got)
	}
}

func TestFailedSyncIsNotMendedByTheNext(t *testing.T) {
	t.Parallel()
	lost := false
	for seed := range uint64(8) {
		d := crashfs.New(seed)
		save(t, d, "/f", "", true, true)
		f, err := d.OpenWrite("/f")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("content")); err != nil {
			t.Fatal(err)
		}
		d.Inject(d.Ops()+1, crashfs.EIO)
		if err := f.Sync(); err == nil {
			t.Fatal("the injected fault did not happen")
		}
		if err := f.Sync(); err != nil {
			t.Fatalf("second sync: %v", err)
		}
		if load(d, "/f") != "content" {
			t.Error("the content is not readable")
		}
		lost = lost || load(d.Clone(seed, 100), "/f") != "content"
	}
	if !lost {
		t.Error("a second sync mended the failed one with every seed")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for fault, want := range map[crashfs.Fault]error{
		crashfs.Crash: crashfs.ErrCrashed, crashfs.Torn: crashfs.ErrCrashed, crashfs.NoSpace: fsx.ErrFull,
	} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			d := crashfs.New(1)
			d.Inject(2, fault)
			f, err := d.Create("/f")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(make([]byte, 5000)); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if _, err := d.Open("/f"); (want == crashfs.ErrCrashed) != errors.Is(err, crashfs.ErrCrashed) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestSameSeedSameDisk(t *testing.T) {
	t.Parallel()
	picture := func() string {
		d := crashfs.New(7)
		for i := range 20 {
			save(t, d, fmt.Sprintf("/f%d", i), fmt.Sprint("content ", i), i%3 == 0, i%7 == 0)
		}
		c, out := d.Clone(9, 50), ""
		for i := range 20 {
			out += load(c, fmt.Sprintf("/f%d", i)) + "\n"
		}
		return out
	}
	if a, b := picture(), picture(); a != b {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}
