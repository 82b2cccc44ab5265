package postmaster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postern/internal/report"
	"postern/internal/store"
)

// folder is what is remembered of the folder between two looks.
type folder struct {
	mu   sync.Mutex
	last map[string]seen // files of the last look
}

type seen struct {
	size int64
	at   time.Time
}

// Figures of the folder.
const (
	settled    = 5 * time.Second // a file that was not touched for so long, and is as it was at the last look, is complete
	maxFolder  = 1000            // files looked at
	maxReasons = 1000            // lines of a .why file
)

// Folders below the one that is watched.
const (
	doneFolder   = "done"
	failedFolder = "failed"
)

// lookAtFolder takes the files that are complete, and reports whether any brought something. A file is moved after what it holds is in the database: a crash
// in between makes it be read once more, which changes nothing.
func (p *Postmaster) lookAtFolder(ctx context.Context) (news bool) {
	if p.o.Folder == "" {
		return false
	}
	root, err := os.OpenRoot(p.o.Folder)
	if err != nil {
		p.folderFares(ctx, 0, FaultFolder)
		return false
	}
	defer func() { _ = root.Close() }()
	names, err := p.complete(root)
	if err != nil {
		p.folderFares(ctx, 0, FaultFolder)
		return false
	}
	rows, took := 0, 0
	for _, name := range names {
		if ctx.Err() != nil {
			return news
		}
		n, err := p.takeFile(ctx, root, name)
		if err != nil {
			p.log.Warn("postmaster: a file of the folder was not taken", "file", name, "error", err)
			if !isFormat(err) {
				p.folderFares(ctx, 0, FaultFolder)
				return news
			}
		}
		rows, took = rows+n, took+1
		news = news || n > 0
	}
	if took > 0 || p.folderFailed(ctx) {
		p.folderFares(ctx, rows, "")
	}
	return news
}

// complete returns the files that nobody writes any more, by name.
func (p *Postmaster) complete(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	entries, err := dir.ReadDir(maxFolder)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	now := map[string]seen{}
	var ready []string
	p.folder.mu.Lock()
	defer p.folder.mu.Unlock()
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || unfinished(e.Name()) {
			continue
		}
		x := seen{info.Size(), info.ModTime()}
		now[e.Name()] = x
		if p.folder.last[e.Name()] == x && p.o.Now().Sub(x.at) >= settled {
			ready = append(ready, e.Name())
		}
	}
	p.folder.last = now
	slices.Sort(ready)
	return ready, nil
}

// unfinished reports whether a name is one that programs give to files which they are writing, or one of ours.
func unfinished(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") || strings.HasSuffix(name, "~") ||
		slices.ContainsFunc([]string{".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", ".why"}, func(end string) bool { return strings.HasSuffix(lower, end) })
}

// takeFile imports one file and moves it away.
func (p *Postmaster) takeFile(ctx context.Context, root *os.Root, name string) (rows int, err error) {
	f, err := root.Open(name)
	if err != nil {
		return 0, err
	}
	data, err := io.ReadAll(io.LimitReader(f, report.MaxSNDS+1))
	_ = f.Close()
	if err != nil {
		return 0, err
	}
	did, err := p.Import(ctx, data, SourceFolder)
	if err != nil && !isFormat(err) {
		return 0, err
	}
	to, why := doneFolder, reasons(did)
	if err != nil {
		to, why = failedFolder, append([]string{err.Error()}, why...)
	}
	if moved := putAway(root, name, to, why, p.o.Now()); moved != nil {
		return 0, moved
	}
	return did.New + did.Changed + did.Began + did.Ended, err
}

// reasons are the rows that were left out, a line each.
func reasons(did Imported) (lines []string) {
	for _, b := range did.Bad[:min(len(did.Bad), maxReasons)] {
		lines = append(lines, b.Error())
	}
	if did.BadMore > 0 {
		lines = append(lines, fmt.Sprintf("and %d other rows", did.BadMore))
	}
	return lines
}

// putAway moves a file into a folder below, under a name that is free there, and says beside it why rows were left out.
func putAway(root *os.Root, name, to string, why []string, now time.Time) error {
	if err := root.Mkdir(to, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	free := name
	for i := 1; ; i++ {
		_, err := root.Lstat(filepath.Join(to, free))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil || i > 1000 {
			return cmp.Or(err, fmt.Errorf("%s has too many files of that name", to))
		}
		ext := filepath.Ext(name)
		free = strings.TrimSuffix(name, ext) + "-" + now.UTC().Format("20060102T150405") + "-" + strconv.Itoa(i) + ext
	}
	if len(why) > 0 { // first: a file that is moved has its reasons
		if err := root.WriteFile(filepath.Join(to, free+".why"), []byte(strings.Join(why, "\n")+"\n"), 0o640); err != nil {
			return err
		}
	}
	return root.Rename(name, filepath.Join(to, free))
}

// folderFares writes down how the folder does.
func (p *Postmaster) folderFares(ctx context.Context, rows int, fault Fault) {
	p.settle(ctx, way{name: SourceFolder}, rows, fault)
}

func (p *Postmaster) folderFailed(ctx context.Context) (failed bool) {
	_ = p.db.Read(ctx, func(tx *store.Tx) error {
		s, err := loadSource(tx, SourceFolder)
		failed = err == nil && s.Fault != ""
		return err
	})
	return failed
}
