// Package portal is the pages that people see: today the page of one held message, which a notice links to.
package portal

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"postern/internal/account"
	"postern/internal/intake"
	"postern/internal/locale"
	"postern/internal/notice"
)

// Options is what New needs.
type Options struct {
	Desk     *intake.Desk
	Accounts *account.Ledger
	Catalog  *locale.Catalog
	Links    *notice.Links
	BaseURL  string // as seen from outside; its scheme decides about Secure cookies and HSTS
	Hostname string
	Logger   *slog.Logger
	Now      func() time.Time
}

// New returns the handler of all pages.
func New(o Options) (http.Handler, error) {
	if o.Desk == nil || o.Catalog == nil || o.Links == nil {
		return nil, errors.New("portal: a room is missing from the options")
	}
	return http.NewServeMux(), nil
}
