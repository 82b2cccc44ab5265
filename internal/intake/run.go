package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

// Run removes held mail that nobody acted on in time, each with a notice to its sender, until ctx ends.
func (in *Intake) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := in.expireHolds(ctx); err != nil && ctx.Err() == nil {
			in.o.Logger.Error("held mail not expired", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// expireHolds ends the holds that are due. The sender hears of it before the message goes. One that cannot be ended now does not
// keep those behind it.
func (in *Intake) expireHolds(ctx context.Context) error {
	due, err := in.o.Spool.DueHolds(ctx, in.o.Now(), 100)
	if err != nil {
		return fmt.Errorf("due holds: %w", err)
	}
	var faults []error
	for i := range due {
		if err := in.expireHold(ctx, &due[i]); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", due[i].ID, err))
		}
	}
	return errors.Join(faults...)
}

func (in *Intake) expireHold(ctx context.Context, w *spool.Work) error {
	if w.HoldReason == spool.ReasonDamaged {
		// Its bytes are not what was accepted: only an operator may decide; remind, keep.
		return in.o.Spool.ExtendHold(ctx, w.ID, in.o.Now().Add(in.o.HoldFor))
	}
	if !w.Notice {
		if err := in.o.Notices.HoldExpired(ctx, w.Message); err != nil {
			return fmt.Errorf("notice: %w", err)
		}
	}
	f := fact(journal.Expired, &w.Message)
	f.At, f.Actor, f.Text = in.o.Now(), "rule", "held until "+w.HoldUntil.UTC().Format(time.RFC3339)+", nobody acted"
	if err := in.o.Journal.Append(ctx, f); err != nil {
		return fmt.Errorf("fact: %w", err)
	}
	if err := in.o.Spool.Drop(ctx, w.ID, "rule"); err != nil && !errors.Is(err, spool.ErrNotFound) {
		return fmt.Errorf("drop: %w", err)
	}
	in.o.Count("expired")
	return nil
}

// Recover writes the facts of accepted messages that a crash kept from the journal: the message was stored and answered 250,
// the fact was still on its way. Facts may repeat after a crash, they never lack. It is called once at start, before the doors
// open, and returns how many it wrote.
func (in *Intake) Recover(ctx context.Context) (int, error) {
	const page = 2048
	written, last := 0, mail.QueueID("")
	for {
		ids, err := in.o.Spool.IDs(ctx, last, page)
		if err != nil {
			return written, fmt.Errorf("recover: %w", err)
		}
		have, err := in.o.Journal.HasAccepted(ctx, ids)
		if err != nil {
			return written, fmt.Errorf("recover: %w", err)
		}
		var facts []journal.Fact
		for _, id := range ids {
			last = id
			if have[id] {
				continue
			}
			w, err := in.o.Spool.Get(ctx, id)
			if errors.Is(err, spool.ErrNotFound) || err == nil && w.Notice { // settled meanwhile by another node, or our own
				continue
			}
			if err != nil {
				return written, fmt.Errorf("recover: %w", err)
			}
			f := fact(journal.Accepted, &w.Message)
			var verdict filter.Verdict
			if json.Unmarshal(w.Verdict, &verdict) == nil && !verdict.At.IsZero() {
				f.Detail = brief(verdict)
			}
			if w.Held {
				f.Kind, f.NextAt, f.Detail = journal.Held, w.HoldUntil, w.Verdict
			}
			f.Actor = "rule"
			facts = append(append(facts, in.addressed(&w.Message)...), f)
		}
		if len(facts) > 0 {
			if err := in.o.Journal.Append(ctx, facts...); err != nil {
				return written, fmt.Errorf("recover: %w", err)
			}
			written += len(facts)
		}
		if len(ids) < page {
			return written, nil
		}
	}
}
