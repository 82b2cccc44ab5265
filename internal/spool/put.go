package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Put accepts a message: when it returns nil, envelope, body and verdict survive a power loss, and delivery will hear of
// it. It keeps m.Body and the slices of m: do not change them afterwards. A second Put of the same queue ID with the
// same body is a success and changes nothing; with another body it is ErrExists. ErrFull: no room, temporary. ErrInvalid:
// no or a malformed queue ID, no recipient, a null recipient. Every other error is temporary, and the message is refused.
func (s *Spool) Put(ctx context.Context, m *Message) error {
	if id, err := mail.ParseQueueID(string(m.ID)); err != nil || id != m.ID {
		return fmt.Errorf("put: %w queue ID %q", ErrInvalid, m.ID)
	}
	if len(m.Envelope.Recipients) == 0 {
		return fmt.Errorf("put %s: %w: no recipient", m.ID, ErrInvalid)
	}
	for i := range m.Envelope.Recipients {
		if m.Envelope.Recipients[i].Address.IsNull() {
			return fmt.Errorf("put %s: %w: recipient %d is null", m.ID, ErrInvalid, i)
		}
	}
	if len(m.Customer) > 200 {
		return fmt.Errorf("put %s: %w: customer of %d bytes", m.ID, ErrInvalid, len(m.Customer))
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	// Our own mail may use the reserve: delivery forgets a bounced message only when its notice is queued, and would make no room.
	if s.lookAtSpace(int64(len(m.Body))) && !m.Notice {
		return fmt.Errorf("put: %w: less free space than the reserve", ErrFull)
	}
	if err := s.lock(ctx, m.ID); err != nil {
		return err
	}
	now := s.o.Now()
	kept := *m
	if err := s.put(ctx, &kept, now); err != nil {
		s.unlock(m.ID)
		return fmt.Errorf("put %s: %w", m.ID, err)
	}
	return nil
}

// put stores m and unlocks it when that succeeds.
func (s *Spool) put(ctx context.Context, m *Message, now time.Time) error {
	if m.Received.IsZero() {
		m.Received = now
	}
	m.Received, m.Expires = m.Received.UTC().Truncate(time.Microsecond), m.Expires.UTC().Truncate(time.Microsecond)
	m.Size = int64(len(m.Body))
	body := m.Body
	m.Body = nil
	if body == nil {
		body = []byte{}
	}
	next := micros(now)
	if m.Held {
		if m.HoldUntil.IsZero() {
			m.HoldUntil = now.Add(s.o.HoldFor)
		}
		next = micros(m.HoldUntil)
		m.HoldUntil = fromMicros(next)
	} else {
		m.HoldReason, m.HoldUntil = "", time.Time{}
	}
	hash := sha256.Sum256(body)
	file, inline := "", any(body)
	if s.o.InlineBytes >= 0 && len(body) > s.o.InlineBytes {
		file, inline = newFileName(m.ID), nil
		if err := s.writeFile(file, body); err != nil {
			s.removeFile(file)
			return err
		}
	}
	var verdict any // NULL without one
	if m.Verdict != nil {
		verdict = m.Verdict
	}
	meta := encodeMeta(m)
	domains := domainList(m.Envelope.Recipients)
	var stored bool
	var otherHash []byte
	var otherFile string
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(sqlPut, string(m.ID), s.o.Node, m.Held, next, m.Size, m.Score, m.Customer, domains, m.HoldReason,
			file, hash[:], meta, verdict, inline, len(m.Envelope.Recipients))
		if err != nil {
			return err
		}
		if stored = n == 1; stored {
			return nil
		}
		return tx.QueryRow(sqlHash, string(m.ID)).Scan(&otherHash, &otherFile)
	})
	switch {
	case errors.Is(err, store.ErrBroken):
		s.doubt(m.ID) // the file stays: the row may be there and name it
		return err
	case err != nil:
		s.removeFile(file)
		return err
	case !stored && !bytes.Equal(otherHash, hash[:]):
		s.removeFile(file)
		return ErrExists
	case !stored && file != otherFile:
		s.removeFile(file)
	}
	s.taken(m, next, file, hash[:], stored, body)
	return nil
}

// taken makes memory know a message that is durable, and unlocks it.
func (s *Spool) taken(m *Message, next int64, file string, hash []byte, stored bool, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.unlockLocked(m.ID)
	delete(s.doubtful, m.ID)
	var full *loaded
	if stored {
		s.space.used.Add(m.Size)
		s.bodies.put(m.ID, body)
		if m.Held {
			return
		}
		full = &loaded{msg: *m, rcpt: fresh(m, next), file: file, hash: slices.Clone(hash)}
	}
	s.win.add(key{next, m.ID}, full, s.filling)
	s.win.trim(s.lockedLocked)
	s.signal()
}

// doubt is a refused message that the database may have kept, or may yet keep: a commit whose connection was lost can
// still be under way on the server.
type doubt struct {
	since time.Time
	tried bool
}

// doubtLimit bounds the memory for doubts. Beyond it such a message would be sent: at least once, not lost.
const doubtLimit = 100_000

// doubtFor is how long after the refusal the message is looked for again.
const doubtFor = time.Minute

// doubt notes a refused message that may be stored; undoubt removes it.
func (s *Spool) doubt(id mail.QueueID) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.doubtful) < doubtLimit {
		s.doubtful[id] = &doubt{since: now}
	}
}

// undoubt removes the refused messages that were stored after all: at once, and again when every commit must have ended.
func (s *Spool) undoubt(ctx context.Context) error {
	now := s.o.Now()
	var ids []mail.QueueID
	s.mu.Lock()
	for id, d := range s.doubtful {
		if !d.tried || now.Sub(d.since) >= doubtFor {
			ids = append(ids, id)
		}
	}
	s.mu.Unlock()
	for _, id := range ids {
		if err := s.lock(ctx, id); err != nil {
			return err
		}
		s.mu.Lock()
		d := s.doubtful[id] // a second Put may have succeeded meanwhile
		s.mu.Unlock()
		var file string
		var err error
		if d != nil {
			file, err = s.remove(ctx, id)
		}
		s.mu.Lock()
		if d != nil && err == nil {
			if d.tried = true; now.Sub(d.since) >= doubtFor {
				delete(s.doubtful, id)
			}
			s.forgetLocked(id)
		}
		s.unlockLocked(id)
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("remove refused message: %w", err)
		}
		s.removeFile(file)
	}
	return nil
}

// remove deletes a message, whoever owns it; a message that is not there is no error.
func (s *Spool) remove(ctx context.Context, id mail.QueueID) (file string, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		var node string
		var held int64
		err := tx.QueryRow(sqlWhose, string(id)).Scan(&node, &held, &file)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, err = tx.Exec(sqlRemove, string(id))
		}
		if err == nil {
			_, err = tx.Exec(sqlForget, string(id))
		}
		return err
	})
	return file, err
}

// space watches the room on the disk.
type space struct {
	free    atomic.Int64 // bytes when last looked; -1 unknown
	reserve atomic.Int64 // bytes in force
	used    atomic.Int64 // accepted since
	lookAt  atomic.Int64 // when to look again, unix nanoseconds
	full    atomic.Bool
}

// lookAtSpace reports whether Put must refuse. It asks the file system at most once a second, unless much came in since.
func (s *Spool) lookAtSpace(size int64) (full bool) {
	if s.o.Dir == "" || s.o.Reserve < 0 {
		return false
	}
	p := &s.space
	now := s.o.Now().UnixNano()
	at := p.lookAt.Load()
	due := now >= at || at-now > int64(time.Minute) || p.used.Load()+size > p.reserve.Load()/8
	if due && p.lookAt.CompareAndSwap(at, now+int64(time.Second)) {
		s.measureSpace()
	}
	return p.full.Load()
}

func (s *Spool) measureSpace() {
	p := &s.space
	free, total, err := s.o.FS.Free(s.o.Dir)
	if err != nil {
		s.log.Warn("spool: free space unknown", "dir", s.o.Dir, "error", err)
		p.free.Store(-1)
		return
	}
	reserve := s.o.Reserve
	if reserve == 0 {
		reserve = min(max(total/20, 1<<30), 4<<30)
	}
	p.free.Store(free)
	p.reserve.Store(reserve)
	p.used.Store(0)
	switch {
	case free < reserve && !p.full.Swap(true):
		s.log.Error("spool: disk nearly full, new mail is refused", "dir", s.o.Dir, "free", free, "reserve", reserve)
	case free >= 2*reserve && p.full.Swap(false):
		s.log.Info("spool: room again, new mail is accepted", "dir", s.o.Dir, "free", free, "reserve", reserve)
	}
}
