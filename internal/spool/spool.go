// Package spool keeps accepted mail until it is delivered or given up.
package spool

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/fsx"
)

// Errors callers tell apart with errors.Is.
var (
	ErrFull     = store.ErrFull
	ErrLost     = errors.New("spool: message belongs to another node or is gone")
	ErrNotFound = errors.New("spool: no such message")
	ErrExists   = errors.New("spool: another message has this queue ID")
	ErrNotHeld  = errors.New("spool: message is not held")
	ErrDamaged  = errors.New("spool: body is damaged")
)

// Options configure a spool.
type Options struct {
	DB          *store.DB
	Dir         string
	FS          fsx.FS
	Node        string
	Now         func() time.Time
	InlineBytes int
	Reserve     int64
	Logger      *slog.Logger
	HoldFor     time.Duration
	MaxWait     time.Duration
}

// Spool is the durable queue.
type Spool struct{}

// Open makes a spool.
func Open(o Options) (*Spool, error) { return &Spool{}, nil }

// Start registers the node.
func (s *Spool) Start(ctx context.Context) error { return nil }

// Put stores a message durably.
func (s *Spool) Put(ctx context.Context, m *Message) error { return nil }

// Claim takes due recipients.
func (s *Spool) Claim(ctx context.Context, max int) ([]Work, error) { return nil, nil }

// Wake signals that something may be due.
func (s *Spool) Wake() <-chan struct{} { return nil }

// NextDue tells when the next unclaimed recipient is due.
func (s *Spool) NextDue(ctx context.Context) (time.Time, error) { return time.Time{}, nil }

// Body returns a message's bytes.
func (s *Spool) Body(ctx context.Context, id mail.QueueID) ([]byte, error) { return nil, nil }

// Settle records outcomes.
func (s *Spool) Settle(ctx context.Context, outcomes ...Outcome) error { return nil }

// Unclaim gives claims back untouched.
func (s *Spool) Unclaim(ids ...mail.QueueID) {}

// Hold sets a message aside.
func (s *Spool) Hold(ctx context.Context, id mail.QueueID, reason string, until time.Time) error {
	return nil
}

// ExtendHold moves the end of a hold.
func (s *Spool) ExtendHold(ctx context.Context, id mail.QueueID, until time.Time) error { return nil }

// Release queues a held message, due now.
func (s *Spool) Release(ctx context.Context, id mail.QueueID) error { return nil }

// Drop removes a message.
func (s *Spool) Drop(ctx context.Context, id mail.QueueID, by string) error { return nil }

// Retry makes a queued message due now.
func (s *Spool) Retry(ctx context.Context, id mail.QueueID) error { return nil }

// RetryAll makes every queued message due now.
func (s *Spool) RetryAll(ctx context.Context) (int, error) { return 0, nil }

// SetVerdict replaces score and verdict.
func (s *Spool) SetVerdict(ctx context.Context, id mail.QueueID, score float64, verdict []byte) error {
	return nil
}

// DueHolds lists held messages whose hold has ended.
func (s *Spool) DueHolds(ctx context.Context, now time.Time, limit int) ([]Work, error) {
	return nil, nil
}

// Get returns a message.
func (s *Spool) Get(ctx context.Context, id mail.QueueID) (Work, error) { return Work{}, nil }

// List returns messages.
func (s *Spool) List(ctx context.Context, f Filter) (works []Work, next string, err error) {
	return nil, "", nil
}

// Stats counts.
func (s *Spool) Stats(ctx context.Context) (Stats, error) { return Stats{}, nil }

// Owns reports whether a claim is still ours.
func (s *Spool) Owns(id mail.QueueID) bool { return true }

// Run works until ctx ends.
func (s *Spool) Run(ctx context.Context) error { <-ctx.Done(); return nil }
