package app

import (
	"context"
	"fmt"

	"postern/internal/config"
	"postern/internal/provider"
)

// openKnowledge reads what is known about receivers: ours and the operator's.
func (a *App) openKnowledge(_ context.Context, c *config.Config) error {
	k, err := readKnowledge(c)
	if err != nil {
		return err
	}
	a.receivers.Store(k)
	if len(c.Delivery.Providers) > 0 {
		a.log.Info("knowledge of receivers read", "folders", c.Delivery.Providers, "providers", len(k.Providers()))
	}
	return nil
}

func readKnowledge(c *config.Config) (*provider.Knowledge, error) {
	k, err := provider.Load(c.Delivery.Providers)
	if err != nil {
		return nil, fmt.Errorf("delivery.providers: %w", err)
	}
	return k, nil
}

// knowledge is what is known about receivers now. A reload replaces it whole, so that what was returned may be used on but not kept.
func (a *App) knowledge() *provider.Knowledge { return a.receivers.Load() }

// Knowledge returns what is known about receivers now.
func (a *App) Knowledge() *provider.Knowledge { return a.knowledge() }
