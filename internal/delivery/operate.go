package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/shaping"
)

// What operators do to lanes. Every act is written into the journal with who did it, whichever face it came through.

// ErrNoReceiver: the lane's receiver has no name that mail ever leaves under, so that a pause would hold nothing.
var ErrNoReceiver = errors.New("delivery: no receiver has this name")

// broughtSpread is over how long what waits for a lane comes forward: a receiver that has just begun to answer is not met with all of it at once.
const broughtSpread = time.Minute

// PauseLane lets nothing leave on a lane until it ends or is lifted, and returns what is in force since. A receiver without one of our addresses stands for
// all its lanes: those at work, and one for each address. The lane need not have work now, but its receiver must be known, or be named by its exchangers
// ("mx:…"). Error: ErrNoReceiver.
func (d *Delivery) PauseLane(ctx context.Context, k shaping.Key, until time.Time, reason, by string) ([]shaping.Reaction, error) {
	if k.Provider != smarthostSite && !strings.HasPrefix(k.Provider, "mx:") && d.o.Knowledge().Provider(k.Provider) == nil {
		return nil, ErrNoReceiver
	}
	keys := []shaping.Key{k}
	if !k.Egress.IsValid() {
		if all := d.lanesOf(k.Provider); len(all) > 0 {
			keys = all
		}
	}
	var out []shaping.Reaction
	for _, k := range keys {
		r, err := d.shaper.PauseLane(ctx, k, until, reason, by)
		if err != nil {
			return out, err
		}
		out = append(out, r)
		d.tuned(by, "lane %s paused until %s: %s", k, until.UTC().Format(time.RFC3339), reason)
	}
	return out, nil
}

// lanesOf are the lanes of a receiver: those at work, and one for each of our addresses.
func (d *Delivery) lanesOf(provider string) (out []shaping.Key) {
	add := func(k shaping.Key) {
		if k.Provider == provider && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	for _, l := range d.Lanes() {
		if k, err := shaping.ParseKey(l.Lane); err == nil {
			add(k)
		}
	}
	for _, p := range d.o.Accounts.Pools() {
		for _, e := range p.Egress {
			add(shaping.Key{Egress: e.IP, Provider: provider})
		}
	}
	return out
}

// Lift ends a reaction now and returns it; by answers for it ("operator:NAME"). Error: shaping.ErrNotFound when nothing of this ID is in force.
func (d *Delivery) Lift(ctx context.Context, id, by string) (shaping.Reaction, error) {
	for _, r := range d.InForce() {
		if r.ID != id {
			continue
		}
		if err := d.shaper.Lift(ctx, id, by); err != nil {
			return r, err
		}
		d.tuned(by, "%s lifted on lane %s", r.Kind, r.Lane)
		return r, nil
	}
	return shaping.Reaction{}, shaping.ErrNotFound
}

// BringForward lets what waits for a lane come within a minute, and returns how many recipients that are.
func (d *Delivery) BringForward(ctx context.Context, k shaping.Key, by string) (int, error) {
	n, err := d.o.Spool.Hurry(ctx, k.String(), broughtSpread)
	if err != nil {
		return 0, err
	}
	d.tuned(by, "lane %s: %d recipients brought forward", k, n)
	return n, nil
}

func (d *Delivery) tuned(by, format string, args ...any) {
	d.o.Journal.Post(journal.Fact{Kind: journal.Tuned, Actor: by, Text: fmt.Sprintf(format, args...)})
}
