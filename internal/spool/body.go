package spool

import (
	"bytes"
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/fsx"
)

// cache keeps the bodies that just came in until their first attempt; the oldest leave when there is no room.
type cache struct {
	mu    sync.Mutex
	room  int
	limit int
	byID  map[mail.QueueID]*list.Element
	order list.List // of cached; oldest first
}

type cached struct {
	id   mail.QueueID
	body []byte
}

func newCache(limit int) *cache {
	return &cache{room: limit, limit: limit, byID: map[mail.QueueID]*list.Element{}}
}

func (c *cache) put(id mail.QueueID, body []byte) {
	if len(body) > c.limit/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] != nil {
		return
	}
	c.byID[id] = c.order.PushBack(cached{id, body})
	c.room -= len(body)
	for c.room < 0 {
		c.removeLocked(c.order.Front())
	}
}

func (c *cache) get(id mail.QueueID) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.byID[id]; at != nil {
		return at.Value.(cached).body, true
	}
	return nil, false
}

func (c *cache) remove(id mail.QueueID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.byID[id]; at != nil {
		c.removeLocked(at)
	}
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID, c.room = map[mail.QueueID]*list.Element{}, c.limit
	c.order.Init()
}

func (c *cache) removeLocked(at *list.Element) {
	gone := c.order.Remove(at).(cached)
	delete(c.byID, gone.id)
	c.room += len(gone.body)
}

// fileSuffix ends the names of body files; before it stand the queue ID, a dash and 16 random hex digits. Names never
// hold anything that came from outside.
const fileSuffix = ".body"

func newFileName(id mail.QueueID) string {
	var random [8]byte
	rand.Read(random[:])
	return string(id) + "-" + hex.EncodeToString(random[:]) + fileSuffix
}

// fileID is the queue ID in a name of newFileName.
func fileID(name string) (mail.QueueID, bool) {
	stem, ok := strings.CutSuffix(name, fileSuffix)
	if !ok || len(stem) != 26+1+16 || stem[26] != '-' {
		return "", false
	}
	id, err := mail.ParseQueueID(stem[:26])
	return id, err == nil && string(id) == stem[:26]
}

// writeFile makes a body durable under a new name. After an error the file may exist; the sweep removes it.
func (s *Spool) writeFile(name string, body []byte) error {
	f, err := s.o.FS.Create(path.Join(s.o.Dir, name))
	if err == nil {
		_, err = f.Write(body)
		if err == nil {
			err = f.Sync()
		}
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err == nil {
		err = s.o.FS.SyncDir(s.o.Dir)
	}
	if errors.Is(err, fsx.ErrFull) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (s *Spool) readFile(name string, size int64) ([]byte, error) {
	f, err := s.o.FS.Open(path.Join(s.o.Dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(int(min(max(size, 0), 1<<28)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, size+1)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// removeFile removes the body of a message that is gone. What it cannot remove now, the sweep does.
func (s *Spool) removeFile(name string) {
	if name == "" || s.o.Dir == "" {
		return
	}
	if _, ok := fileID(name); !ok {
		return
	}
	if err := s.o.FS.Remove(path.Join(s.o.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("spool: body file not removed; the sweep will try again", "file", name, "error", err)
	}
}

// Body returns the bytes of a message, exactly those that Put got: the hash is checked when they come from the disk. A
// body that is not what was accepted, or that the disk does not give back, is ErrDamaged: the message is then held with
// ReasonDamaged, and the caller gives its claim back. Other errors are temporary. Do not change the slice.
func (s *Spool) Body(ctx context.Context, id mail.QueueID) ([]byte, error) {
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if body, ok := s.bodies.get(id); ok {
		return body, nil
	}
	var file string
	var hash, body []byte
	var size int64
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(sqlBody, string(id)).Scan(&file, &hash, &size, &body)
	})
	if errors.Is(err, store.ErrNoRows) {
		return nil, fmt.Errorf("body of %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("body of %s: %w", id, err)
	}
	if file != "" {
		body, err = s.readFile(file, size)
	}
	if err == nil {
		if sum := sha256.Sum256(body); bytes.Equal(sum[:], hash) {
			return body, nil
		}
		err = fmt.Errorf("%d bytes with another hash than the %d accepted", len(body), size)
	}
	s.damaged.Add(1)
	s.log.Error("spool: body is damaged, message held", "queue_id", id, "file", file, "error", err)
	if e := s.Hold(ctx, id, ReasonDamaged, time.Time{}); e != nil {
		return nil, fmt.Errorf("body of %s: %w: %w (not held: %w)", id, ErrDamaged, err, e)
	}
	return nil, fmt.Errorf("body of %s: %w: %w", id, ErrDamaged, err)
}

// sweep removes body files that no message names: left by a crash between file and row, or between row and file. A file
// goes when two looks at least Options.SweepEvery apart found it so; other nodes may be writing in the same folder.
func (s *Spool) sweep(ctx context.Context) error {
	if s.o.Dir == "" {
		return nil
	}
	entries, err := s.o.FS.ReadDir(s.o.Dir)
	if err != nil {
		return fmt.Errorf("sweep bodies: %w", err)
	}
	names := map[string]bool{}
	var ids []mail.QueueID
	for _, e := range entries {
		if id, ok := fileID(e.Name()); ok && !e.IsDir() {
			names[e.Name()] = true
			ids = append(ids, id)
		}
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		return inLists(ids, func(list string, args []any, _ []mail.QueueID) error {
			rows := tx.Query(sqlFiles+list, args...)
			for rows.Next() {
				var file string
				if err := rows.Scan(&file); err != nil {
					return err
				}
				delete(names, file)
			}
			return rows.Err()
		})
	})
	if err != nil {
		return fmt.Errorf("sweep bodies: %w", err)
	}
	now := s.o.Now()
	removed := 0
	s.mu.Lock()
	for name := range s.orphans {
		if !names[name] {
			delete(s.orphans, name)
		}
	}
	var old []string
	for name := range names {
		id, _ := fileID(name)
		since, known := s.orphans[name]
		switch {
		case s.lockedLocked(id): // a Put is at it
		case !known && len(s.orphans) < 100_000:
			s.orphans[name] = now
		case known && now.Sub(since) >= s.o.SweepEvery:
			old = append(old, name)
			delete(s.orphans, name)
		}
	}
	s.mu.Unlock()
	for _, name := range old {
		s.removeFile(name)
		removed++
	}
	if removed > 0 {
		s.log.Info("spool: body files without a message removed", "files", removed)
	}
	return nil
}
