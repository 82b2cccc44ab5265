package notice

import (
	"context"

	"postern/internal/spool"
)

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
