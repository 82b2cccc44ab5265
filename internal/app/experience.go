package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"postern/internal/account"
	"postern/internal/api"
	"postern/internal/config"
	"postern/internal/filter"
	"postern/internal/learn"
	"postern/internal/store"
)

// Experience is what a gateway learned, opened without the gateway: for `postern learn` and `postern scan` where none runs.
type Experience struct {
	db        *store.DB
	ledger    *learn.Ledger
	customers []config.Customer // of the configuration
}

// Errors of OpenExperience.
var (
	ErrNoExperience = errors.New("nothing was learned here yet")
	ErrInUse        = errors.New("the database is in use by a running gateway")
)

// OpenExperience opens the database of a configuration. When there is none, it is made if create says so, and the error is
// ErrNoExperience else. SQLite files belong to whoever runs the gateway: root would leave files behind that the gateway cannot
// open, so another owner's folder is refused.
func OpenExperience(ctx context.Context, c *config.Config, create bool, log *slog.Logger) (*Experience, error) {
	url := c.StorageURL("postern.db")
	if path, isFile := strings.CutPrefix(url, "sqlite:"); isFile {
		if err := ownFolder(c.DataDir, create); err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !create {
			return nil, ErrNoExperience
		}
	}
	db, err := store.Open(ctx, store.Options{URL: url, Migrations: store.MainSchema(), Logger: log})
	if errors.Is(err, store.ErrLocked) {
		return nil, fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	if err != nil {
		return nil, err
	}
	ledger, err := learn.New(learn.Options{DB: db, Logger: log})
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Experience{db, ledger, c.Customers}, nil
}

// ownFolder checks that the data folder is there and ours.
func ownFolder(dir string, create bool) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		return os.MkdirAll(dir, 0o700)
	case errors.Is(err, fs.ErrNotExist):
		return ErrNoExperience
	case err != nil:
		return fmt.Errorf("data_dir: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("data_dir: %s belongs to user %d; run this as that user (sudo -u '#%d' postern …), or start the gateway and ask it", dir, owner.Uid, owner.Uid)
	}
	return nil
}

// Close closes the database.
func (e *Experience) Close() error { return e.db.Close() }

// Teach does what a request to learn asks for.
func (e *Experience) Teach(ctx context.Context, r api.LearnRequest) (api.Learned, error) {
	if r.Customer != "" {
		if err := e.known(ctx, r.Customer); err != nil {
			return api.Learned{}, err
		}
	}
	return api.Teach(ctx, e.ledger, r)
}

// known checks that there is such a customer, in the configuration or in the database.
func (e *Experience) known(ctx context.Context, id string) error {
	if slices.ContainsFunc(e.customers, func(c config.Customer) bool { return c.ID == id }) {
		return nil
	}
	accounts, err := account.New(account.Options{DB: e.db})
	if err != nil {
		return err
	}
	if err := accounts.Refresh(ctx); err != nil {
		return err
	}
	if _, ok := accounts.Customer(id); !ok {
		return fmt.Errorf("there is no customer %q", id)
	}
	return nil
}

// Classify is filter.Classify, for callers who know no filter.
type Classify = filter.Classify

// Classify says how like spam a message is.
func (e *Experience) Classify() Classify { return e.ledger.Classify }
