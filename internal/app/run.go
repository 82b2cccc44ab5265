package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/config"
)

// Run serves until ctx ends, then drains: the doors first, then delivery, then the rest. It returns nil after a clean end, the
// first failure otherwise.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	doors, closeDoors := context.WithCancel(ctx)
	defer closeDoors()
	// What follows outlives the doors: a message that was taken while they closed must still be stored, written down, delivered.
	works, stopWorks := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorks()
	ledgers, stopLedgers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLedgers()

	var first error
	var once sync.Once
	failed := make(chan struct{})
	start := func(wg *sync.WaitGroup, what string, run func() error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := run(); err != nil {
				once.Do(func() { first = fmt.Errorf("%s: %w", what, err); close(failed) })
			}
		}()
	}
	var ledgerWork, work, doorWork sync.WaitGroup
	start(&ledgerWork, "accounts", func() error { return a.accounts.Run(ledgers) })
	start(&ledgerWork, "users", func() error { return a.users.Run(ledgers) })
	start(&ledgerWork, "guesses", func() error { return a.guesses.Run(ledgers) })
	start(&ledgerWork, "answers", func() error { return a.api.Run(ledgers) })
	start(&ledgerWork, "journal", func() error { return a.journal.Run(ledgers) })
	start(&ledgerWork, "experience", func() error { return a.learn.Run(ledgers) })
	start(&ledgerWork, "reports", func() error { return a.reports.Run(ledgers) })
	start(&ledgerWork, "suppression", func() error { return a.suppression.Run(ledgers) })
	start(&ledgerWork, "feedback", func() error { return a.feedback.Run(ledgers) })
	start(&ledgerWork, "spool", func() error { return a.spool.Run(ledgers) })
	start(&work, "account mail", func() error { return a.tellUsers(works) })
	start(&work, "notices", func() error { return a.notices.Run(works) })
	start(&ledgerWork, "TLS policies", func() error { return a.tlsPolicy.Run(ledgers) })
	start(&work, "intake", func() error { return a.intake.Run(works) })
	start(&work, "delivery", func() error { return a.delivery.Run(works) })
	start(&work, "blocklists", func() error { return a.panel.Run(works) })
	start(&work, "watch", func() error { return a.watch(works) })
	start(&work, "postmaster", func() error { return a.postmaster.Run(works) })
	start(&work, "reputation", func() error { return a.runReputation(works) })
	start(&work, "webhooks", func() error { return a.webhooks.Run(works) })
	start(&work, "alarms", func() error { return a.alarms.Run(works) })
	start(&work, "scanners", func() error { a.greetScanners(doors); return nil })
	for _, d := range a.doors {
		start(&doorWork, d.name, func() error { return d.server.Serve(doors, d.listener) })
	}
	for _, s := range a.services {
		start(&doorWork, s.name, func() error { return s.serve(doors, s.listener) })
	}
	for _, w := range a.webs {
		start(&doorWork, w.name, func() error { return serveWeb(doors, w) })
	}
	a.ready.Store(true)
	a.announce()
	a.greetOperator(ctx)

	select {
	case <-ctx.Done():
	case <-failed:
	}
	a.ready.Store(false)
	a.log.Info("stopping: no new connections; messages under way may finish")
	closeDoors()
	doorWork.Wait()
	stopWorks()
	work.Wait()
	stopLedgers()
	ledgerWork.Wait()
	a.log.Info("stopped")
	return first
}

// announce tells the operator where everything is.
func (a *App) announce() {
	var where []any
	for _, d := range a.doors {
		where = append(where, slog.String(d.name, d.listener.Addr().String()))
	}
	for _, s := range a.services {
		where = append(where, slog.String(s.name, s.listener.Addr().String()))
	}
	for _, w := range a.webs {
		where = append(where, slog.String(w.name, w.listener.Addr().String()))
	}
	a.log.Info("Postern is ready", where...)
	if len(a.accounts.Customers()) == 0 {
		a.log.Warn("there is no customer yet, so no mail is taken: add one to the configuration or with `postern customer add`")
	}
}

func serveWeb(ctx context.Context, w web) error {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := w.server.Shutdown(end); err != nil {
			_ = w.server.Close()
		}
	})
	err := w.server.Serve(w.listener)
	if !stop() {
		<-ended // Serve returns at once; an act under way ends before the ledgers do
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Reload reads the configuration again. What can change while mail flows is taken over at once (customers, filter, retry schedule,
// certificate, log level); what needs a restart is named in the log. A configuration with a fault changes nothing.
func (a *App) Reload(ctx context.Context) error {
	a.reload.Lock()
	defer a.reload.Unlock()
	if a.load == nil {
		return errors.New("reload: this gateway was started without a configuration file")
	}
	next, err := a.load()
	if err == nil {
		err = a.take(ctx, next)
	}
	if err != nil {
		a.metrics.reloaded(false)
		a.log.Error("configuration refused, the running one stays", "error", err)
		return err
	}
	a.metrics.reloaded(true)
	return nil
}

func (a *App) take(ctx context.Context, next *config.Config) error {
	changed, restart := config.Diff(a.config.Load(), next)
	certificate, err := a.loadCertificate(next)
	if err != nil {
		return err
	}
	receivers, err := readKnowledge(next)
	if err != nil {
		return err
	}
	// Everything that can be refused is tried before anything is changed.
	former := a.rules
	if err := a.openRules(next); err != nil {
		return err
	}
	if err := a.filter.Check(a.filterOptions(next, a.resolver)); err != nil {
		a.rules = former
		return err
	}
	if err := next.Tuning().Check(tuningSource(next)); err != nil {
		a.rules = former
		return err
	}
	customers, source := next.Accounts()
	if err := a.accounts.SyncConfig(ctx, customers, source); err != nil {
		a.rules = former
		return err
	}
	if err := a.accounts.SyncTuning(ctx, next.Tuning(), tuningSource(next)); err != nil {
		a.rules = former
		return err
	}
	if err := a.panel.Set(next.PanelLists(), next.BlocklistBudgets()); err != nil {
		a.log.Error("blocklists stay as they are", "error", err) // validated with the configuration
	}
	_ = a.filter.Reload(a.filterOptions(next, a.resolver)) // checked above
	_ = a.retests.Reload(a.retestOptions(next))
	a.reloadServices(next)
	a.delivery.Tune(tuning(next))
	a.tlsPolicy.Tune(tlsTuning(next))
	a.intake.SetExpire(next.Delivery.Expire)
	a.receivers.Store(receivers)
	a.tuneSuppression(next)
	a.certificate.Store(certificate)
	a.setLevel(next)
	a.config.Store(next)
	if slices.ContainsFunc(changed, isScanner) {
		a.greetScanners(ctx)
	}
	a.log.Info("configuration reloaded", "changed", strings.Join(changed, " "))
	if len(restart) > 0 {
		a.log.Warn("these changes take effect at the next start", "keys", strings.Join(restart, " "))
	}
	return nil
}

// isScanner reports whether a key is about another scanner.
func isScanner(key string) bool {
	return strings.HasPrefix(key, "filter.clamd") || strings.HasPrefix(key, "filter.rspamd")
}

func (a *App) setLevel(c *config.Config) {
	if a.level != nil {
		a.level.Set(Level(c.Log.Level))
	}
}

// Level returns the slog level of a configured word.
func Level(word string) slog.Level {
	return map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[word]
}
