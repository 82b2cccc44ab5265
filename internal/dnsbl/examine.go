package dnsbl

import (
	"context"
	"errors"
	"sync"
	"time"

	"postern/internal/dns"
)

// When zones are examined: daily, an unhealthy one each hour, one that could not be measured after minutes that grow to an hour. Each time is
// spread by a tenth, so that zones and gateways do not ask in step.
const (
	examineEvery = 24 * time.Hour
	examineSick  = time.Hour
	examineSoon  = 2 * time.Minute
)

// Examine asks the test points of all zones (RFC 5782 5) at once. The error is that of ctx; what the zones answered is in Zones.
func (p *Panel) Examine(ctx context.Context) error {
	zones, _ := p.all()
	return p.examine(ctx, zones)
}

func (p *Panel) examine(ctx context.Context, zones []*zone) error {
	var wg sync.WaitGroup
	for _, z := range zones {
		if z.unfit != nil {
			continue
		}
		select {
		case p.sem <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-p.sem }()
			p.examineOne(ctx, z, false)
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// examineOne asks the test points of a zone and learns; first: only when they were never answered.
func (p *Panel) examineOne(ctx context.Context, z *zone, first bool) {
	select {
	case z.exam <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-z.exam }()
	if first && !z.untested(p.o.Now()) {
		return
	}
	own, cancel := context.WithTimeout(ctx, 2*p.o.Timeout)
	defer cancel()
	h := z.list.Examine(own, uncounted{p.o.Resolver, p, z})
	if ctx.Err() != nil {
		return
	}
	now := p.o.Now()
	if h.refusal.List != nil {
		h.refusal.List = z.list
	}
	if errors.Is(h.Err, ErrRefused) {
		p.o.Guard.note(h.refusal)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	every := examineEvery
	switch {
	case h.Err == nil:
		z.sick, z.proven, z.tries, z.checked = nil, h.Proven, 0, now
	case errors.Is(h.Err, ErrUnhealthy):
		z.sick, z.tries, z.checked = h.Err, 0, now
		every = examineSick
	default: // not measured: what was known stays, but one more question without an answer is enough
		if !errors.Is(h.Err, ErrRefused) {
			z.silent = max(z.silent, breakAfter-1)
		}
		z.proven = z.proven || h.Proven
		every = min(examineSoon<<min(z.tries, 10), examineSick)
		z.tries++
	}
	if h.Err == nil && z.list.Evidence == Hearsay && !h.Proven {
		every = examineSick
	}
	z.due = now.Add(p.spread(every))
}

// spread is d, up to a tenth more or less.
func (p *Panel) spread(d time.Duration) time.Duration {
	return d + time.Duration((p.o.Random()-0.5)*float64(d)/5)
}

// uncounted counts the questions of an examination without waiting for a turn or being turned away: without test points no budget is of use.
type uncounted struct {
	dns.Resolver
	p *Panel
	z *zone
}

// Query is dns.Resolver's.
func (u uncounted) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	u.z.also(u.p.o.Now())
	return u.Resolver.Query(ctx, name, typ)
}

// Run examines all zones at once and then each when its time comes, until ctx ends. It returns nil.
func (p *Panel) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		zones, changed := p.all()
		now := p.o.Now()
		next := now.Add(examineEvery)
		var due []*zone
		for _, z := range zones {
			if z.unfit != nil {
				continue
			}
			z.mu.Lock()
			at := z.due
			z.mu.Unlock()
			if at.After(now) {
				if at.Before(next) {
					next = at
				}
				continue
			}
			due = append(due, z)
		}
		if len(due) > 0 {
			_ = p.examine(ctx, due) // the end of ctx is seen above
			continue
		}
		t := time.NewTimer(next.Sub(now))
		select {
		case <-t.C:
		case <-changed:
		case <-ctx.Done():
		}
		t.Stop()
	}
	return nil
}
