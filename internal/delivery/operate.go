package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"postern/internal/journal"
	"postern/internal/shaping"
)

// What operators do to lanes. Every act is written into the journal with who did it, whichever face it came through.

// ErrNoReceiver: the lane has no name that mail ever leaves under, so that a pause would hold nothing. It comes as an *UnknownLane.
var ErrNoReceiver = errors.New("delivery: no receiver has this name")

// UnknownLane is a name of which no lane can be.
type UnknownLane struct {
	Name    string
	Address bool     // its address is none of ours; else its receiver is unknown
	Near    []string // what may have been meant: names of receivers, or our addresses
}

// Error says it, with what is near.
func (e *UnknownLane) Error() string {
	what := fmt.Sprintf("no receiver is called %q", e.Name)
	if e.Address {
		what = fmt.Sprintf("no mail leaves from %s", e.Name)
	}
	if len(e.Near) == 0 {
		return what
	}
	return what + "; there is " + strings.Join(e.Near, ", ")
}

// Is makes errors.Is(err, ErrNoReceiver) true.
func (e *UnknownLane) Is(target error) bool { return target == ErrNoReceiver }

// broughtSpread is over how long what waits for a lane comes forward: a receiver that has just begun to answer is not met with all of it at once.
const broughtSpread = time.Minute

// PauseLane lets nothing leave on a lane until it ends or is lifted, and returns what is in force since. A receiver without one of our addresses stands for
// all its lanes: those at work, and one for each address. The lane need not have work now, but its receiver must be known, or be named by its exchangers
// ("mx:…"). shaping.AnyReceiver stands for all lanes of an address, those to come included, and without an address for those of all. Error: *UnknownLane.
func (d *Delivery) PauseLane(ctx context.Context, k shaping.Key, until time.Time, reason, by string) ([]shaping.Reaction, error) {
	if err := d.canBe(k); err != nil {
		return nil, err
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

// canBe refuses a lane that cannot be: mail leaves to receivers that are known or named by their exchangers, from our addresses.
func (d *Delivery) canBe(k shaping.Key) error {
	known := d.o.Knowledge()
	ours := d.o.Accounts.Addresses()
	switch {
	case k.Provider == smarthostSite || strings.HasPrefix(k.Provider, "mx:") || known.Provider(k.Provider) != nil:
	case k.Provider == shaping.AnyReceiver:
	default:
		e := &UnknownLane{Name: k.Provider}
		names := map[string][]string{}
		for _, p := range known.Providers() {
			names[p.Name] = append([]string{p.Name}, p.Title)
		}
		e.Near = nearest(k.Provider, names)
		return e
	}
	if k.Egress.IsValid() && len(ours) > 0 && !slices.Contains(ours, k.Egress) {
		e := &UnknownLane{Name: k.Egress.String(), Address: true}
		for _, ip := range ours[:min(len(ours), 10)] {
			e.Near = append(e.Near, ip.String())
		}
		return e
	}
	return nil
}

// hurryAddress brings forward what waits for lanes of an address that have left memory. Those in memory do it themselves.
func (d *Delivery) hurryAddress(ctx context.Context, egress netip.Addr) {
	all, err := d.o.Spool.Backlogs(ctx)
	if err != nil {
		d.o.Logger.Warn("mail of an address comes at its own time", "egress_ip", egress, "error", err)
		return
	}
	done := map[string]bool{}
	for _, b := range all {
		k, err := shaping.ParseKey(b.Lane)
		if err != nil || k.Egress != egress || done[b.Lane] {
			continue
		}
		done[b.Lane] = true
		if _, err := d.o.Spool.Hurry(ctx, b.Lane, broughtSpread); err != nil {
			d.o.Logger.Warn("mail of a lane comes at its own time", "lane", b.Lane, "error", err)
		}
	}
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
		if r.Lane.Provider == shaping.AnyReceiver {
			d.hurryAddress(ctx, r.Lane.Egress)
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
