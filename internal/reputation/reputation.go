// Package reputation watches our addresses and domains on blocklists: what was listed when, by whom and why; and opens a dossier for each listing, which
// joins what we know of its causes with the way out, until the list has been clean for thirty days.
package reputation

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

// Watch is the room.
type Watch struct{ o Options }

// New checks the options.
func New(o Options) (*Watch, error) {
	if o.DB == nil {
		return nil, errors.New("reputation: the database is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Watch{o: o}, nil
}
