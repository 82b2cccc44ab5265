// Package aggregate keeps what receivers report about our domains: DMARC aggregate reports (RFC 7489, RFC 9990), failure reports (RFC 9991) and TLS
// reports (RFC 8460), summed by day and source, so that a domain's owner sees who sends as him, what passes, and when his policy can be stricter.
package aggregate

import (
	"errors"
	"time"

	"postern/internal/store"
)

// Options is what New needs. DB is required.
type Options struct {
	DB  *store.DB
	Now func() time.Time
}

// Ledger is the room.
type Ledger struct{ o Options }

// New checks the options.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, errors.New("aggregate: the database is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Ledger{o: o}, nil
}
