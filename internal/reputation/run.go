package reputation

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postern/internal/store"
)

// The turns of Run.
const (
	lookTurn   = 15 * time.Second
	followTurn = time.Minute
	// arrivalPause is the least time between two comparisons of what is watched: an import of customers changes the accounts many times a second.
	arrivalPause = time.Second
)

// Run watches until ctx ends: own targets, ranges, dossiers and what is new each in their own time.
func (w *Watch) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { w.runRounds(ctx) })
	work.Go(func() { w.runDossiers(ctx) })
	work.Go(func() { w.runArrivals(ctx) })
	for {
		if err := w.lookTurn(ctx); err != nil && ctx.Err() == nil {
			w.counts.failed.Add(1)
			w.log.Warn("reputation not looked at; will be tried again", "error", err)
		}
		if !sleep(ctx, lookTurn) {
			return nil
		}
	}
}

// lookTurn looks at everything that is due.
func (w *Watch) lookTurn(ctx context.Context) error {
	if err := w.sync(ctx); err != nil {
		return err
	}
	for {
		more, err := w.lookDue(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// runArrivals looks at what is new as soon as the accounts know it, beside the looks that are under way: a customer's first mail must not be what tells of a listing.
func (w *Watch) runArrivals(ctx context.Context) {
	if w.o.Accounts == nil {
		return
	}
	changed, stop := w.o.Accounts.Watch()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		if err := w.arrivals(ctx); err != nil && ctx.Err() == nil {
			w.counts.failed.Add(1)
			w.log.Warn("what is new has not been looked at yet", "error", err) // the next turn does
		}
		if !sleep(ctx, arrivalPause) {
			return
		}
	}
}

// arrivals looks at what has come since what is watched was last compared. Of many that come together, those whose time is spread wait for it.
func (w *Watch) arrivals(ctx context.Context) error {
	fresh, err := w.compare(ctx, true)
	if err != nil {
		return err
	}
	for names := range slices.Chunk(fresh, lookBatch) {
		if _, err := w.lookDue(ctx, names...); err != nil {
			return err
		}
	}
	return nil
}

// runDossiers gathers, follows up and tidies.
func (w *Watch) runDossiers(ctx context.Context) {
	var tidied time.Time
	tick := time.NewTicker(followTurn)
	defer tick.Stop()
	for {
		if err := w.dossierTurn(ctx, &tidied); err != nil && ctx.Err() == nil {
			w.counts.failed.Add(1)
			w.log.Warn("dossiers not followed; will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.wake:
		}
	}
}

// dossierTurn does what is due in dossiers and tells what was not told, and hourly removes what is old.
func (w *Watch) dossierTurn(ctx context.Context, tidied *time.Time) error {
	if err := w.gatherDue(ctx); err != nil {
		return err
	}
	if err := w.followUp(ctx); err != nil {
		return err
	}
	if err := w.tellAll(ctx); err != nil {
		return err
	}
	if now := w.o.Now(); now.Sub(*tidied) >= time.Hour {
		if err := w.tidy(ctx); err != nil {
			return err
		}
		*tidied = now
	}
	return nil
}

// tidy removes what is too old, in small pieces.
func (w *Watch) tidy(ctx context.Context) error {
	now := w.o.Now()
	old := now.Add(-w.o.Keep)
	for _, x := range []struct {
		what, sql string
		args      []any
	}{
		{"days", `DELETE FROM reputation_day WHERE (block, day) IN (SELECT block, day FROM reputation_day WHERE day < ? LIMIT ?)`, []any{dayNumber(now) - DaysKept, pruneRows}},
		{"events", `DELETE FROM reputation_event WHERE id IN (SELECT id FROM reputation_event WHERE id < ? LIMIT ?)`, []any{firstID(old), pruneRows}},
		{"listings", `DELETE FROM reputation_listing WHERE id IN (SELECT id FROM reputation_listing WHERE until > 0 AND until < ? LIMIT ?)`, []any{old, pruneRows}},
		{"steps", `DELETE FROM reputation_step WHERE dossier IN (SELECT id FROM reputation_dossier WHERE state = 'closed' AND changed < ? LIMIT ?)`, []any{old, pruneRows}},
		{"acts", `DELETE FROM reputation_act WHERE id IN (SELECT a.id FROM reputation_act a JOIN reputation_dossier d ON d.id = a.dossier WHERE d.state = 'closed' AND d.changed < ? LIMIT ?)`, []any{old, pruneRows}},
		{"dossiers", `DELETE FROM reputation_dossier WHERE id IN (SELECT id FROM reputation_dossier WHERE state = 'closed' AND changed < ? LIMIT ?)`, []any{old, pruneRows}},
		{"targets", `DELETE FROM reputation_target WHERE target IN (SELECT t.target FROM reputation_target t WHERE t.next = 0 AND t.lists = 0 AND t.seen < ?
 AND NOT EXISTS (SELECT 1 FROM reputation_listing l WHERE l.target = t.target) LIMIT ?)`, []any{now.Add(-unseenAfter), pruneRows}},
		{"states", `DELETE FROM reputation_zone WHERE target IN (SELECT z.target FROM reputation_zone z WHERE NOT EXISTS (SELECT 1 FROM reputation_target t WHERE t.target = z.target) LIMIT ?)`, []any{pruneRows}},
	} {
		for n := int64(pruneRows); n >= pruneRows; {
			err := w.db.Write(ctx, func(tx *store.Tx) (err error) {
				n, err = tx.Exec(x.sql, x.args...)
				return err
			})
			if err != nil {
				return fmt.Errorf("reputation: old %s not removed: %w", x.what, err)
			}
		}
	}
	return nil
}

func parseIP(s string) netip.Addr {
	ip, _ := netip.ParseAddr(s)
	return ip
}
