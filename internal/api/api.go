// Package api is the operator's acts over HTTP and JSON on a local socket, and the client that the command line uses.
package api

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/spool"
)

// Options is what New needs.
type Options struct {
	Accounts *account.Ledger
	Desk     *intake.Desk
	Delivery *delivery.Delivery
	Filter   *filter.Filter
	Journal  *journal.Journal
	Spool    *spool.Spool
	Catalog  *locale.Catalog
	Version  string
	Reload   func() error // reads the configuration again
	Logger   *slog.Logger
	Now      func() time.Time
}

// New returns the handler of the operator's socket.
func New(o Options) (http.Handler, error) {
	if o.Spool == nil || o.Journal == nil || o.Accounts == nil || o.Desk == nil || o.Delivery == nil {
		return nil, errors.New("api: a room is missing from the options")
	}
	return http.NewServeMux(), nil
}
