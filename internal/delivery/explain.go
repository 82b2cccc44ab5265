package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"postern/internal/mail"
	"postern/internal/shaping"
	"postern/internal/spool"
)

// Stage is what a recipient waits for, as delivery sees it.
type Stage string

// The stages. Every recipient that is not final is in one of them, with a reason and a time.
const (
	StageHeld      Stage = "held"      // a person decides, until Until
	StageScheduled Stage = "scheduled" // its next attempt has its time, Until
	StageParked    Stage = "parked"    // its lane had no place for it; it comes back at Until, or earlier when the lane is free
	StageDue       Stage = "due"       // its time has come; delivery takes it as soon as memory has room
	StageResolving Stage = "resolving" // DNS is being asked where it goes
	StageWaiting   Stage = "waiting"   // in its lane's queue in memory
	StageSending   Stage = "sending"   // a connection has it, or is being opened for it
	StageSettling  Stage = "settling"  // its outcome is being written down
	StageSettled   Stage = "settled"   // nothing more happens
)

// Standing is where one recipient stands.
type Standing struct {
	spool.Recipient
	Stage Stage
	Lane  string        // "" where none is known yet
	Ahead int           // StageWaiting: messages that may go before it
	Why   []shaping.Why // what keeps it; empty when only its time or its turn does
	Until time.Time     // the next event; zero when it is under way
}

// Explain tells where each recipient of a message stands. spool.ErrNotFound: it has left the spool, or was never in it.
func (d *Delivery) Explain(ctx context.Context, id mail.QueueID) (spool.Work, []Standing, error) {
	w, err := d.o.Spool.Get(ctx, id)
	if err != nil {
		return w, nil, fmt.Errorf("explain %s: %w", id, err)
	}
	return w, d.Standings(w), nil
}

// Standings is Explain for a message that was just read from the spool.
func (d *Delivery) Standings(w spool.Work) []Standing {
	now := d.o.Now()
	var held []job
	if !w.Held {
		held = d.stock.look(w.ID)
	}
	out := make([]Standing, 0, len(w.Recipients))
	for _, r := range w.Recipients {
		s := Standing{Recipient: r, Stage: StageDue, Until: r.NextAt, Lane: r.Lane}
		switch {
		case r.State.Final():
			s.Stage, s.Until, s.Lane = StageSettled, time.Time{}, ""
		case w.Held:
			s.Stage, s.Until = StageHeld, w.HoldUntil
		case r.Lane != "" && r.NextAt.After(now):
			s.Stage = StageParked
			if k, err := shaping.ParseKey(r.Lane); err == nil { // it is looked at before the lane opens, when its sender must be told
				if wait, still := d.shaper.Held(k); still && wait.Until.After(s.Until) {
					if s.Until = wait.Until; s.Until.After(w.Expires) {
						s.Until = w.Expires
					}
				}
			}
			if r.Wait != "" {
				s.Why = []shaping.Why{shaping.ParseWhy(r.Wait)}
			}
		case r.NextAt.After(now):
			s.Stage = StageScheduled
		default:
			d.standing(&s, w, held)
		}
		out = append(out, s)
	}
	return out
}

// standing is where a recipient stands whose time has come.
func (d *Delivery) standing(s *Standing, w spool.Work, held []job) {
	for _, j := range held {
		if !slices.ContainsFunc(j.to, func(r spool.Recipient) bool { return r.Index == s.Index }) {
			continue
		}
		s.Until = time.Time{}
		switch {
		case !slices.Contains(j.open, s.Index):
			s.Stage = StageSettling
			return
		case j.begun:
			s.Stage, s.Lane = StageSending, j.key.String()
			return
		case !j.placed:
			s.Stage = StageResolving
			return
		}
		s.Stage, s.Lane = StageWaiting, j.key.String()
		customer := w.Customer
		if w.Notice {
			customer = ""
		}
		s.Why = d.shaper.Explain(j.key, customer)
		if l, ok := d.lane(j.key); ok && l.Waiting > 0 {
			s.Ahead = l.Waiting - 1
		}
		if wait, still := d.shaper.Held(j.key); still {
			s.Until = wait.Until
			if len(s.Why) == 0 {
				s.Why = []shaping.Why{wait.Why}
			}
		}
		return
	}
}

func (d *Delivery) lane(k shaping.Key) (shaping.LaneInfo, bool) {
	name := k.String()
	for _, l := range d.shaper.Lanes() {
		if l.Lane == name {
			return l, true
		}
	}
	return shaping.LaneInfo{}, false
}

// Lanes returns the lanes that have work or something in force, the longest queue first.
func (d *Delivery) Lanes() []shaping.LaneInfo { return d.shaper.Lanes() }

// InForce returns the reactions in force on the lanes, the newest first.
func (d *Delivery) InForce() []shaping.Reaction { return d.shaper.InForce() }

// History returns what was in force on a lane and has ended in the last 30 days, the latest end first, at most limit (0: 100). lane is a lane's name, a provider's
// for all of its lanes, or "" for all.
func (d *Delivery) History(ctx context.Context, lane string, limit int) ([]shaping.Reaction, error) {
	return d.shaper.HistoryOf(ctx, lane, limit)
}

// Pools returns the pools with the state of their addresses.
func (d *Delivery) Pools() []shaping.PoolInfo {
	pools := d.shaper.Pools()
	for _, p := range pools {
		for i := range p.Egress {
			p.Egress[i].HELO = cmp.Or(p.Egress[i].HELO, d.o.Hostname)
		}
	}
	return pools
}
