package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/internal/dns"
)

// Shortfall is what a Sweep did not ask. It wraps the reasons: errors.Is(err, ErrBudget) and the like hold.
type Shortfall struct {
	NotAsked int
	Zones    map[string]Missed // by zone
}

// Missed is what was not asked at one zone.
type Missed struct {
	Targets int
	Why     error // ErrBudget, ErrResting, ErrPaused, ErrRefused
}

// Error names the count and the zones.
func (e *Shortfall) Error() string {
	return fmt.Sprintf("%d questions not asked at %s", e.NotAsked, strings.Join(slices.Sorted(maps.Keys(e.Zones)), ", "))
}

// Unwrap is the reasons, in the order of the zones' names.
func (e *Shortfall) Unwrap() []error {
	var out []error
	for _, zone := range slices.Sorted(maps.Keys(e.Zones)) {
		out = append(out, e.Zones[zone].Why)
	}
	return out
}

// sweep is one run over targets and zones. One goroutine, that of run, decides and tells; workers only ask.
type sweep struct {
	p        *Panel
	targets  []Target
	patience time.Duration // how long a zone's turn is waited for; below 0: as long as it takes
	whole    bool          // also what is disabled is told, and what was not asked when ctx ends
	each     func(Listing)
	lanes    []*lane
	from     int // lane that is looked at first: the next one after the last that got a question
	left     int // lanes that are not at their end
	began    time.Time
	short    Shortfall
}

// lane is one zone of a sweep.
type lane struct {
	z        *zone
	next     int // target
	underWay int
	over     bool
}

// job is one question, and then its answer.
type job struct {
	lane *lane
	name string
	out  Listing
}

func (p *Panel) newSweep(targets []Target, patience time.Duration, each func(Listing)) *sweep {
	s := &sweep{p: p, targets: targets, patience: patience, each: each, began: p.o.Now(), short: Shortfall{Zones: map[string]Missed{}}}
	zones, _ := p.all()
	for _, z := range zones {
		s.lanes = append(s.lanes, &lane{z: z})
	}
	s.left = len(s.lanes)
	return s
}

func (s *sweep) run(ctx context.Context) error {
	if len(s.targets) == 0 {
		return nil // nobody would ever be asked, nor answer
	}
	workers := min(s.p.o.Parallel, len(s.lanes)*min(len(s.targets), s.p.o.PerZone))
	jobs, done := make(chan job), make(chan job, max(workers, 1))
	defer close(jobs)
	started, underWay := 0, 0
	for s.left > 0 || underWay > 0 {
		var wait time.Duration
		if underWay < workers && ctx.Err() == nil {
			var j job
			var ready bool
			if j, wait, ready = s.pick(); ready {
				if underWay == started {
					started++
					go s.work(ctx, jobs, done)
				}
				jobs <- j
				underWay++
				continue
			}
		}
		if s.left == 0 && underWay == 0 {
			break
		}
		if ctx.Err() != nil && underWay == 0 {
			break
		}
		if j, ok := s.await(ctx, done, wait, underWay > 0); ok {
			underWay--
			j.lane.underWay--
			s.each(j.out)
		}
	}
	return s.end(ctx)
}

// work asks until the sweep ends.
func (s *sweep) work(ctx context.Context, jobs <-chan job, done chan<- job) {
	for j := range jobs {
		s.p.sem <- struct{}{}
		j.out = s.p.proved(ctx, j.lane.z, j.out, j.name)
		<-s.p.sem
		done <- j
	}
}

// await is the next answer; false when a zone's turn, or the end of ctx, came first.
func (s *sweep) await(ctx context.Context, done <-chan job, wait time.Duration, some bool) (job, bool) {
	var turn <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		turn = t.C
	}
	ended := ctx.Done()
	if ctx.Err() != nil {
		ended = nil // what is under way ends by itself
	}
	if !some && turn == nil && ended == nil {
		return job{}, false
	}
	select {
	case j := <-done:
		return j, true
	case <-turn:
	case <-ended:
	}
	return job{}, false
}

// pick is the next question, going round the zones. Without one, wait is when a zone's turn comes next; 0: when an answer came.
func (s *sweep) pick() (j job, wait time.Duration, ready bool) {
	now := s.p.o.Now()
	for i := range s.lanes {
		at := (s.from + i) % len(s.lanes)
		l := s.lanes[at]
		if l.over || !l.z.room(l.underWay, s.p.o.PerZone) {
			continue
		}
		j, until, ok := s.ask(l, now)
		if ok {
			s.from = at + 1
			return j, 0, true
		}
		if until > 0 && (wait == 0 || until < wait) {
			wait = until
		}
	}
	return job{}, wait, false
}

// ask is the lane's next question, or when its turn comes.
func (s *sweep) ask(l *lane, now time.Time) (j job, wait time.Duration, ok bool) {
	for ; l.next < len(s.targets); l.next++ {
		t := s.targets[l.next]
		if !l.z.list.takes(t) {
			continue
		}
		if state, err := l.z.barred(now); err != nil && (!errors.Is(err, ErrUnproven) || !l.z.untested(now)) {
			s.flush(l, state, false, err)
			return job{}, 0, false
		}
		if s.p.o.Guard.Paused(l.z.list.Zone) {
			s.flush(l, Unknown, true, fmt.Errorf("%s: %w", l.z.list.Zone, ErrPaused))
			return job{}, 0, false
		}
		out, name := l.z.list.prepare(t)
		if name == "" { // a domain that is none
			s.each(out)
			continue
		}
		if !dns.Cached(s.p.o.Resolver, name, dns.TypeA) {
			wait, err := l.z.take(now)
			if err == nil && wait > 0 && s.patience >= 0 && now.Add(wait).After(s.began.Add(s.patience)) {
				err = fmt.Errorf("%s: %w: %g a second", l.z.list.Zone, ErrBudget, l.z.budget.PerSecond)
			}
			if err != nil {
				s.flush(l, Unknown, false, err)
				return job{}, 0, false
			}
			if wait > 0 {
				return job{}, wait, false
			}
		}
		l.next++
		l.underWay++
		return job{lane: l, name: name, out: out}, 0, true
	}
	s.finish(l)
	return job{}, 0, false
}

// flush tells of all targets that are left that they are not asked.
func (s *sweep) flush(l *lane, state State, refused bool, err error) {
	if state == Disabled && !s.whole {
		s.finish(l)
		return
	}
	n := 0
	for ; l.next < len(s.targets); l.next++ {
		t := s.targets[l.next]
		if !l.z.list.takes(t) {
			continue
		}
		n++
		s.each(Listing{List: l.z.list, Target: t.String(), State: state, Refused: refused, Err: err})
	}
	if state == Unknown && n > 0 {
		s.short.NotAsked += n
		s.short.Zones[l.z.list.Zone] = Missed{Targets: n, Why: err}
	}
	s.finish(l)
}

func (s *sweep) finish(l *lane) {
	if !l.over {
		l.over = true
		s.left--
	}
}

// end is the error of the sweep.
func (s *sweep) end(ctx context.Context) error {
	if s.left > 0 && s.whole {
		for _, l := range s.lanes {
			if !l.over {
				s.flush(l, Unknown, false, fmt.Errorf("%s: %w: %w", l.z.list.Zone, dns.ErrTimeout, context.Cause(ctx)))
			}
		}
	}
	var errs []error
	if s.left > 0 {
		errs = append(errs, fmt.Errorf("dnsbl: the sweep ended early: %w", context.Cause(ctx)))
	}
	if s.short.NotAsked > 0 {
		errs = append(errs, &s.short)
	}
	return errors.Join(errs...)
}
