// Package journal keeps append-only facts about messages.
package journal

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
)

// Kind says what a fact is about.
type Kind string

// The kinds of facts.
const (
	Accepted  Kind = "accepted"
	Held      Kind = "held"
	Rejected  Kind = "rejected"
	Released  Kind = "released"
	Retested  Kind = "retested"
	Dropped   Kind = "dropped"
	Attempt   Kind = "attempt"
	Delivered Kind = "delivered"
	Deferred  Kind = "deferred"
	Bounced   Kind = "bounced"
	Expired   Kind = "expired"
	Notified  Kind = "notified"
	DSN       Kind = "dsn"
	Asked     Kind = "asked"
	Recovered Kind = "recovered"
)

// Fact is one line of the journal.
type Fact struct {
	ID                             int64
	At                             time.Time
	Kind                           Kind
	QueueID                        mail.QueueID
	Customer, Credential           string
	ClientIP                       netip.Addr
	ReversePath, Recipient         string
	HeaderFrom, Subject, MessageID string
	Size                           int64
	Score                          float64
	Host                           string
	EgressIP                       netip.Addr
	Code                           int
	Enhanced                       string
	Text                           string
	NextAt                         time.Time
	Attempt                        int
	Actor                          string
	Detail                         []byte
}

// Options configure a journal.
type Options struct {
	DB        *store.DB
	Logger    *slog.Logger
	Now       func() time.Time
	Retention time.Duration
}

// Query selects facts.
type Query struct {
	Text, Address, MessageID string
	Customer                 string
	Since, Until             time.Time
	Kinds                    []Kind
	Limit                    int
	Cursor                   string
}

// Journal is the ledger of facts.
type Journal struct{}

// New makes a journal.
func New(o Options) (*Journal, error) { return &Journal{}, nil }

// Run drains and prunes until ctx ends.
func (j *Journal) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Append stores facts durably.
func (j *Journal) Append(ctx context.Context, facts ...Fact) error { return nil }

// Post stores facts soon, in order.
func (j *Journal) Post(facts ...Fact) {}

// Flush waits until everything posted is durable.
func (j *Journal) Flush(ctx context.Context) error { return nil }

// Trace returns the facts about a message in order.
func (j *Journal) Trace(ctx context.Context, id mail.QueueID) ([]Fact, error) { return nil, nil }

// Search finds facts, newest first.
func (j *Journal) Search(ctx context.Context, q Query) (facts []Fact, next string, err error) {
	return nil, "", nil
}

// HasAccepted tells which messages the journal knows.
func (j *Journal) HasAccepted(ctx context.Context, ids []mail.QueueID) (map[mail.QueueID]bool, error) {
	return nil, nil
}

// Counts counts facts by kind.
func (j *Journal) Counts(ctx context.Context, since time.Time) (map[Kind]int64, error) {
	return nil, nil
}
