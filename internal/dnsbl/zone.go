package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"postern/internal/dns"
)

// Bounds of a zone that does not answer.
const (
	breakAfter = 5                // questions without answer one after the other, then the zone rests
	restFirst  = time.Minute      // the first rest; each further one is twice as long
	restMost   = 15 * time.Minute // the longest
	startWide  = breakAfter       // questions under way at once at a zone that has not answered yet
	catchUp    = 20 * time.Millisecond
)

// zone is a list in a panel and what the panel knows of it.
type zone struct {
	list   *List
	unfit  error // List.usable, judged once
	budget Budget
	exam   chan struct{} // holds a token while somebody examines

	mu      sync.Mutex
	day     int64     // of asked, days since 1970 UTC
	asked   int       // questions of the day
	next    time.Time // the earliest instant of the next question
	silent  int       // questions without answer, one after the other
	rest    time.Duration
	resting time.Time // until then it is left alone
	wide    int       // questions that may be under way at once beyond startWide, grows with answers

	checked time.Time // of its test points
	sick    error     // ErrUnhealthy in one of its forms
	proven  bool      // a point that must be listed was
	due     time.Time // of the next examination
	tries   int       // examinations that could not measure, one after the other
	answers Answers
}

// Answers counts what a zone answered since the start.
type Answers struct{ Listed, Clean, Unknown, Refused uint64 }

// barred is why the zone is not asked at all now, budget aside; nil: it may be. With it the state that a lookup has then.
func (z *zone) barred(now time.Time) (State, error) {
	if z.unfit != nil {
		return Disabled, z.unfit
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case z.sick != nil:
		return Disabled, z.sick
	case z.list.Evidence == Hearsay && !z.proven:
		return Disabled, fmt.Errorf("%s: %w", z.list.Zone, ErrUnproven)
	case now.Before(z.resting):
		return Unknown, fmt.Errorf("%s: %w, until %s", z.list.Zone, ErrResting, z.resting.UTC().Format(time.TimeOnly))
	}
	return "", nil
}

// take uses one question of the budget. wait above 0: not yet, nothing was used. An error: not today.
func (z *zone) take(now time.Time) (wait time.Duration, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.turn(now)
	if z.budget.PerDay > 0 && z.asked >= z.budget.PerDay {
		return 0, fmt.Errorf("%s: %w: %d a day", z.list.Zone, ErrBudget, z.budget.PerDay)
	}
	if z.budget.PerSecond > 0 {
		if wait := z.next.Sub(now); wait > 0 {
			return wait, nil
		}
		// A short lateness may be caught up, so that timers that wake late do not lower the rate; never as much as a whole turn.
		every := time.Duration(float64(time.Second) / z.budget.PerSecond)
		from := now.Add(-min(catchUp, every/2))
		if z.next.After(from) {
			from = z.next
		}
		z.next = from.Add(every)
	}
	z.asked++
	return 0, nil
}

// turn begins a new day (UTC).
func (z *zone) turn(now time.Time) {
	if day := now.Unix() / 86400; day != z.day {
		z.day, z.asked = day, 0
	}
}

// also counts a question that was not planned: the text beside a listing, a test point.
func (z *zone) also(now time.Time) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.turn(now)
	z.asked++
}

// room reports whether one more question may be under way beside those that are.
func (z *zone) room(underWay, most int) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return underWay < min(startWide+z.wide, most)
}

// note learns from an answer. A question that its own caller gave up teaches nothing about the zone.
func (z *zone) note(now time.Time, out Listing, gaveUp bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case out.Refused:
		z.answers.Refused++
	case out.State == Listed:
		z.answers.Listed++
	case out.State == Clean:
		z.answers.Clean++
	default:
		z.answers.Unknown++
	}
	if len(out.Codes) > 0 || out.State == Clean || out.Refused {
		z.silent, z.rest = 0, 0
		z.wide = min(z.wide+1, 1<<10)
		return
	}
	if gaveUp || errors.Is(out.Err, dns.ErrBudget) || errors.Is(out.Err, dns.ErrBusy) || errors.Is(out.Err, dns.ErrName) {
		return
	}
	z.silent++
	z.wide /= 2
	if z.silent >= breakAfter && !now.Before(z.resting) {
		z.rest = min(max(2*z.rest, restFirst), restMost)
		z.resting = now.Add(z.rest)
	}
}

// proved asks a zone, having examined it before its first question: that a target is not listed means something only where test points were
// answered.
func (p *Panel) proved(ctx context.Context, z *zone, out Listing, name string) Listing {
	if z.untested(p.o.Now()) {
		p.examineOne(ctx, z, true)
		if state, err := z.barred(p.o.Now()); err != nil {
			out.State, out.Err = state, err
			return out
		}
	}
	out = p.lookUp(ctx, p.o.Resolver, z, out, name)
	z.mu.Lock()
	defer z.mu.Unlock()
	if out.State == Clean && z.checked.IsZero() {
		out.State, out.Err = Unknown, fmt.Errorf("%s: %w", z.list.Zone, ErrUnproven)
	}
	return out
}

// untested reports whether the zone's test points were never answered and may be asked.
func (z *zone) untested(now time.Time) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.checked.IsZero() && !z.due.After(now)
}

// lookUp asks, within the timeout, and learns.
func (p *Panel) lookUp(ctx context.Context, r dns.Resolver, z *zone, out Listing, name string) Listing {
	own, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	ask(own, counting{r, p, z}, &out, name)
	now := p.o.Now()
	z.note(now, out, ctx.Err() != nil)
	p.o.Guard.note(out)
	return out
}

// counting counts the questions that nobody took from the budget: those for the text beside a listing.
type counting struct {
	dns.Resolver
	p *Panel
	z *zone
}

// Query is dns.Resolver's.
func (c counting) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	if typ != dns.TypeA && !dns.Cached(c.Resolver, name, typ) {
		c.z.also(c.p.o.Now())
	}
	return c.Resolver.Query(ctx, name, typ)
}

// through is one lookup by somebody who is not the panel, with its own resolver: a Guard's. It waits for its turn within the timeout.
func (p *Panel) through(ctx context.Context, r dns.Resolver, z *zone, out Listing, name string) Listing {
	if state, err := z.barred(p.o.Now()); err != nil {
		out.State, out.Err = state, err
		return out
	}
	if !dns.Cached(r, name, dns.TypeA) {
		if err := p.wait(ctx, z); err != nil {
			out.State, out.Err = Unknown, err
			return out
		}
	}
	return p.lookUp(ctx, r, z, out, name)
}

// wait takes a question from the budget, waiting for the zone's turn within the timeout of a question.
func (p *Panel) wait(ctx context.Context, z *zone) error {
	deadline := p.o.Now().Add(p.o.Timeout)
	for {
		now := p.o.Now()
		wait, err := z.take(now)
		if err != nil || wait == 0 {
			return err
		}
		if now.Add(wait).After(deadline) {
			return fmt.Errorf("%s: %w: %g a second", z.list.Zone, ErrBudget, z.budget.PerSecond)
		}
		if !sleep(ctx, wait) {
			return fmt.Errorf("%s: %w", z.list.Zone, context.Cause(ctx))
		}
	}
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// state is the zone as Zones shows it.
func (z *zone) state(now time.Time, g *Guard) ZoneState {
	_, why := z.barred(now)
	if ref, is := g.refusal(z.list.Zone); why == nil && is {
		why = fmt.Errorf("%s: %w: %s", z.list.Zone, ErrRefused, ref.said())
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.turn(now)
	if why == nil && z.budget.PerDay > 0 && z.asked >= z.budget.PerDay {
		why = fmt.Errorf("%s: %w: %d a day", z.list.Zone, ErrBudget, z.budget.PerDay)
	}
	return ZoneState{List: *z.list, Usable: why == nil, Why: why, Checked: z.checked, Asked: z.asked, Budget: z.budget, Answers: z.answers}
}

// takes reports whether the list takes such a target.
func (l *List) takes(t Target) bool {
	switch {
	case t.Domain != "":
		if ip, is := literal(t.Domain); is {
			return ip.Is4() && l.Kinds&HostIP4 != 0
		}
		return l.Kinds&Domain != 0
	case t.IP.Unmap().Is4():
		return l.Kinds&IP4 != 0
	}
	return t.IP.IsValid() && l.Kinds&IP6 != 0
}

// prepare is the question about t, or a Listing that is complete.
func (l *List) prepare(t Target) (Listing, string) {
	if t.Domain != "" {
		return prepareDomain(l, t.Domain)
	}
	return prepareIP(l, t.IP)
}

// sameList reports whether what a panel has learnt of a is true of b.
func sameList(a, b *List) bool {
	return a.Zone == b.Zone && a.origin() == b.origin() && a.Registered == b.Registered && a.Evidence == b.Evidence && slices.EqualFunc(a.Codes, b.Codes, func(x, y Code) bool { return x == y })
}
