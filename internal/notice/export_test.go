package notice

import (
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
)

// SetIDs replaces the source of the queue IDs of notices that are not derived.
func (n *Notices) SetIDs(f func(now time.Time) mail.QueueID) { n.newID = f }

// Windows is how many windows are open.
func (n *Notices) Windows() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.digests.windows)
}

// ComposeHeld writes the notice about a held message without queueing it.
func (n *Notices) ComposeHeld(h HeldMail, to mail.Address) ([]byte, error) {
	now := n.o.Now()
	l, err := n.compose(envelope{id: n.newID(now), from: n.o.From, name: n.o.FromName, to: to, listID: n.listID(), now: now}, n.heldPage(&h, h.Message.Language, false, now))
	return l.raw, err
}

// Meaning names what the last answer to a recipient means.
func Meaning(r spool.Recipient) string { return meaning(r) }

// Tidy makes a value from outside fit to be shown.
func Tidy(s string, limit int) string { return tidy(s, limit) }

// Bounds that tests hold the package to.
const (
	MaxEntries    = maxEntries
	MaxAddressees = maxAddressees
	MaxForContact = maxForContact
)

// Why is what a failure means.
func (f Failure) Why() string { return f.why() }
