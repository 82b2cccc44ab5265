// Package notice writes the mail that Postern itself sends: to a sender whose message is held, delayed or could not be
// delivered, and to the operator. It puts that mail into the spool like any other; it never opens a connection.
package notice

import (
	"context"
	"log/slog"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/spool"
)

// Options is what New needs.
type Options struct {
	Accounts *account.Ledger
	Spool    *spool.Spool
	Catalog  *locale.Catalog
	Links    *Links
	Hostname string       // our name in Message-ID and Reporting-MTA
	From     mail.Address // header From of notices; default postmaster@Hostname
	FromName string       // default "Postern"
	Operator mail.Address // where questions and alarms go; null: none

	DigestAfter int           // notices about held mail per customer and DigestEvery before a digest takes over; default 5
	DigestEvery time.Duration // default 1 h
	ReturnBytes int           // bytes of the original returned with a DSN at most; default 50 KB
	Expire      time.Duration // how long a notice itself is tried; default 48 h

	Logger *slog.Logger
	Now    func() time.Time
}

// Notices writes and queues our own mail.
type Notices struct{ o Options }

// New checks the options.
func New(o Options) (*Notices, error) { return &Notices{o: o}, nil }

// Reason is one test that counted against a held message, in the reader's language.
type Reason struct {
	Test   string
	Name   string
	Fix    string
	Points float64
}

// HeldMail is what a notice about a held message needs.
type HeldMail struct {
	Message    spool.Message
	Threshold  float64
	Reasons    []Reason // highest points first
	CanRelease bool     // the sender may release it himself
}

// Held tells the sender that a message waits for him: the envelope sender if his domain belongs to the customer, else the
// customer's contact; never a stranger. Many holds become one digest.
func (n *Notices) Held(ctx context.Context, h HeldMail) error { return nil }

// HoldExpired tells the sender that a held message was removed because nobody acted.
func (n *Notices) HoldExpired(ctx context.Context, m spool.Message) error { return nil }

// Asked forwards a sender's question about a held message to the operator.
func (n *Notices) Asked(ctx context.Context, m spool.Message, question string) error { return nil }

// Alarm tells the operator something once per key and day.
func (n *Notices) Alarm(ctx context.Context, key, subject, text string) error { return nil }

// Failure is one recipient with what the remote server said.
type Failure struct {
	Recipient    spool.Recipient // with Code, Enhanced, Text, Host of the last answer
	Conversation []string        // the SMTP lines of the last attempt, "> " ours, "< " theirs
}

// Failed sends a DSN (RFC 3464) with action failed to the envelope sender. A null reverse path gets none.
func (n *Notices) Failed(ctx context.Context, m spool.Message, body []byte, failed []Failure) error {
	return nil
}

// Delayed sends a DSN with action delayed; delivery goes on until m.Expires.
func (n *Notices) Delayed(ctx context.Context, m spool.Message, body []byte, late []Failure) error {
	return nil
}

// Delivered sends a DSN with action delivered or relayed to those who asked for it (NOTIFY=SUCCESS).
func (n *Notices) Delivered(ctx context.Context, m spool.Message, body []byte, done []Failure) error {
	return nil
}

// Run sends the digests that are due until ctx ends.
func (n *Notices) Run(ctx context.Context) error { <-ctx.Done(); return nil }
