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
