// Package postmaster keeps what providers publish about our addresses and domains: Microsoft's SNDS and Google's Postmaster Tools.
//
// Figures come as files, from a folder that is watched, by a link or by the providers' interfaces. What is missing is unknown: a day without a row is no
// day without complaints. A fetch that fails never blanks what is known.
package postmaster

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

// Postmaster is the room.
type Postmaster struct{ o Options }

// New checks the options.
func New(o Options) (*Postmaster, error) {
	if o.DB == nil {
		return nil, errors.New("postmaster: the database is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Postmaster{o: o}, nil
}
