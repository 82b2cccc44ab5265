package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postern/internal/account"
	"postern/internal/journal"
	"postern/internal/mail"
)

// allowFor is how long a sender's own entry counts: who still wants it by then clicks again, who has left or was broken into leaves no
// door open.
const allowFor = 90 * 24 * time.Hour

// own looks for the sender's own entry on the From address of a message, and decides whether he may make one: where he may release this very
// message, From is bound to the customer's domains, and nothing marks it as fraud. Package filter tells what an entry is worth.
func (d *Desk) own(v *View) {
	from, err := mail.ParseAddress(v.From)
	if v.Status != Waiting || err != nil {
		return
	}
	subject := account.Subject{From: []mail.Address{from}}
	for _, e := range d.in.o.Accounts.Tuned(v.Customer.ID).Match(subject, d.in.o.Now()).Own {
		v.Allowed = e
	}
	v.CanAllow = v.CanRelease && !v.Customer.AnyFrom && v.Allowed.Value == "" && !d.in.o.Filter.Dangerous(v.Verdict)
}

// Allow lets messages with this one's From address pass for 90 days, as far as the sender could release them himself. The message
// itself stays held.
func (d *Desk) Allow(ctx context.Context, id mail.QueueID) (View, error) {
	return d.AllowAs(ctx, id, bySender)
}

// AllowAs is Allow in the name of one of the customer's users, or of an operator; what may be allowed is the same for all.
func (d *Desk) AllowAs(ctx context.Context, id mail.QueueID, actor string) (View, error) {
	v, err := d.held(ctx, id)
	switch {
	case err != nil:
		return v, err
	case v.Allowed.Value != "":
		return v, nil
	case !v.CanAllow:
		return v, ErrNotAllowed
	}
	e, err := d.in.o.Accounts.AddEntry(ctx, account.Entry{Scope: v.Customer.ID, Own: true, Kind: account.Allow, What: account.WhatFrom, Value: v.From,
		Until: d.in.o.Now().Add(allowFor), By: actor})
	switch {
	case errors.Is(err, account.ErrInvalid):
		return v, fmt.Errorf("%w: %w", ErrNotAllowed, err)
	case err != nil:
		return v, fmt.Errorf("allow %s: %w", id, err)
	}
	return d.tuned(ctx, v, actor, fmt.Sprintf("sender's own allow list: %s added until %s", e, e.Until.UTC().Format(time.RFC3339)))
}

// Withdraw ends the sender's own entry that covers the message.
func (d *Desk) Withdraw(ctx context.Context, id mail.QueueID) (View, error) {
	return d.WithdrawAs(ctx, id, bySender)
}

// WithdrawAs is Withdraw in the name of one of the customer's users, or of an operator.
func (d *Desk) WithdrawAs(ctx context.Context, id mail.QueueID, actor string) (View, error) {
	v, err := d.held(ctx, id)
	if err != nil || v.Allowed.Value == "" {
		return v, err
	}
	if err := d.in.o.Accounts.RemoveEntry(ctx, v.Allowed); err != nil && !errors.Is(err, account.ErrNotFound) {
		return v, fmt.Errorf("withdraw %s: %w", id, err)
	}
	return d.tuned(ctx, v, actor, fmt.Sprintf("sender's own allow list: %s removed", v.Allowed))
}

// tuned writes a sender's change into the journal, under the message on whose page it was made.
func (d *Desk) tuned(ctx context.Context, v View, actor, text string) (View, error) {
	f := journal.Fact{Kind: journal.Tuned, At: d.in.o.Now(), QueueID: v.ID, Customer: v.Customer.ID, Actor: actor, Text: text}
	if err := d.in.o.Journal.Append(ctx, f); err != nil {
		return v, fmt.Errorf("%s: the change is in force, but was not written into the journal: %w", v.ID, err)
	}
	d.in.o.Count("tuned")
	return d.View(ctx, v.ID)
}
