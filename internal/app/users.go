package app

import (
	"context"

	"postern/internal/config"
	"postern/internal/user"
)

// openUsers opens the ledger of those who sign in.
func (a *App) openUsers(_ context.Context, c *config.Config) (err error) {
	a.users, err = user.New(user.Options{DB: a.mainDB, Logger: a.log, Host: a.host, BaseURL: c.BaseURL()})
	return err
}

// Users returns the ledger of those who sign in.
func (a *App) Users() *user.Ledger { return a.users }
