package dnsbl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postern/internal/dns"
)

// Why a panel does not ask a zone, beside those of a lookup.
var (
	ErrBudget   = errors.New("the zone's budget of questions is used up")
	ErrResting  = errors.New("the zone did not answer several times and is left alone")
	ErrUnproven = errors.New("the zone's test points have not proved it yet")
)

// Budget bounds how often a zone is asked, as its operator's terms say. 0 in a field: no bound.
type Budget struct {
	PerDay    int     // questions of a day (UTC)
	PerSecond float64 // evenly spread: 10 is one question in 100 ms
}

// PanelOptions is what NewPanel needs. Resolver and Lists are required.
type PanelOptions struct {
	Resolver dns.Resolver
	Lists    []List            // lists without a zone (Web) and lists of hashes are left out
	Guard    *Guard            // nil: a new one. Lookups through it obey the panel: health, rest and budgets
	Budgets  map[string]Budget // by zone; zones that are not named have those of their terms
	Parallel int               // questions under way at once, over all zones; 0: 256
	PerZone  int               // questions under way at once at one zone; 0: 32
	Timeout  time.Duration     // of one question; 0: 5 s
	Now      func() time.Time  // nil: time.Now
	Random   func() float64    // 0 to 1, spreads examinations; nil: math/rand
}

// Panel is the lists in use: it asks the healthy ones, within their budgets, and knows of each why it is not asked. Safe for many
// goroutines. What it has learnt and counted is in memory only: after a restart the budgets of the day begin anew.
type Panel struct {
	o   PanelOptions
	sem chan struct{} // questions under way

	mu     sync.Mutex
	zones  []*zone
	byZone map[string]*zone
	told   chan struct{} // closed and replaced when the lists change
}

// NewPanel checks the options. It asks nothing yet: Examine does. A dead zone among the lists is an error, as Dead says: there is no
// state in which it could be asked.
func NewPanel(o PanelOptions) (*Panel, error) {
	if o.Resolver == nil {
		return nil, errors.New("dnsbl: the panel has no resolver")
	}
	if o.Parallel < 0 || o.PerZone < 0 || o.Timeout < 0 {
		return nil, errors.New("dnsbl: the panel's bounds cannot be negative")
	}
	if o.Parallel == 0 {
		o.Parallel = 256
	}
	if o.PerZone == 0 {
		o.PerZone = 32
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Guard == nil {
		o.Guard = NewGuard(o.Now)
	}
	p := &Panel{o: o, sem: make(chan struct{}, o.Parallel), told: make(chan struct{})}
	if err := p.Set(o.Lists, o.Budgets); err != nil {
		return nil, err
	}
	o.Guard.panel.Store(p)
	return p, nil
}

// Set replaces the lists and budgets. What is known of a zone that stays is kept.
func (p *Panel) Set(lists []List, budgets map[string]Budget) error {
	var errs []error
	var zones []*zone
	byZone := map[string]*zone{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range lists {
		l := lists[i]
		if l.Access == Web || l.Kinds&^Hash == 0 {
			continue
		}
		if why, dead := Dead(l.Zone); dead {
			errs = append(errs, fmt.Errorf("%s: %w: %s", l.Zone, ErrDead, why))
			continue
		}
		if byZone[l.Zone] != nil {
			errs = append(errs, fmt.Errorf("%s: the zone is in the panel twice", l.Zone))
			continue
		}
		budget, named := budgets[l.Zone]
		if !named {
			budget = l.Budget
		}
		if budget.PerDay < 0 || budget.PerSecond < 0 || math.IsNaN(budget.PerSecond) {
			errs = append(errs, fmt.Errorf("%s: a budget cannot be negative", l.Zone))
			continue
		}
		z := &zone{list: &l, unfit: l.usable(), budget: budget, exam: make(chan struct{}, 1)}
		if old := p.byZone[l.Zone]; old != nil {
			old.hand(z)
		}
		zones, byZone[l.Zone] = append(zones, z), z
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	p.zones, p.byZone = zones, byZone
	close(p.told)
	p.told = make(chan struct{})
	return nil
}

// hand gives to a zone's next life what was learnt and counted.
func (z *zone) hand(to *zone) {
	z.mu.Lock()
	defer z.mu.Unlock()
	to.day, to.asked, to.next, to.answers = z.day, z.asked, z.next, z.answers
	if sameList(z.list, to.list) {
		to.silent, to.rest, to.resting, to.wide = z.silent, z.rest, z.resting, z.wide
		to.checked, to.sick, to.proven, to.due, to.tries = z.checked, z.sick, z.proven, z.due, z.tries
	}
}

func (p *Panel) all() ([]*zone, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.zones, p.told
}

func (p *Panel) find(zone string) *zone {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byZone[zone]
}

// ZoneState is what the panel knows of one zone.
type ZoneState struct {
	List    List
	Usable  bool      // asked
	Why     error     // when not: ErrKey, ErrRegistration, ErrUnhealthy, ErrUnproven, ErrRefused, ErrResting, ErrBudget
	Checked time.Time // of its test points; zero: not yet
	Asked   int       // questions of this day (UTC); an upper bound, because a name server's own cache is not seen
	Budget  Budget
	Answers Answers // since the start
}

// Standing is ZoneState.Why in one word.
type Standing string

// The standings of a zone.
const (
	Usable    Standing = "usable"
	Closed    Standing = "closed"    // no key, or no registration
	Unhealthy Standing = "unhealthy" // its test points are wrong
	Unproven  Standing = "unproven"  // hearsay that no test point has proved yet
	Refused   Standing = "refused"   // it refuses our resolver
	Resting   Standing = "resting"   // it did not answer and is left alone
	Spent     Standing = "budget"    // the budget of the day is used up
)

// Standings are all of them.
func Standings() []Standing {
	return []Standing{Usable, Closed, Unhealthy, Unproven, Refused, Resting, Spent}
}

// Standing is the zone's state in one word.
func (z ZoneState) Standing() Standing {
	for _, x := range []struct {
		err error
		is  Standing
	}{{ErrUnhealthy, Unhealthy}, {ErrUnproven, Unproven}, {ErrRefused, Refused}, {ErrResting, Resting}, {ErrBudget, Spent}} {
		if errors.Is(z.Why, x.err) {
			return x.is
		}
	}
	if z.Why != nil {
		return Closed
	}
	return Usable
}

// Examined reports whether every zone that may be asked has been examined, or tried, since the start.
func (p *Panel) Examined() bool {
	zones, _ := p.all()
	for _, z := range zones {
		z.mu.Lock()
		never := z.due.IsZero()
		z.mu.Unlock()
		if z.unfit == nil && never {
			return false
		}
	}
	return true
}

// Zones are all zones of the panel in their order.
func (p *Panel) Zones() []ZoneState {
	zones, _ := p.all()
	now := p.o.Now()
	out := make([]ZoneState, 0, len(zones))
	for _, z := range zones {
		out = append(out, z.state(now, p.o.Guard))
	}
	return out
}

// Target is an address or a domain to look up: one of the two is set.
type Target struct {
	IP     netip.Addr
	Domain string
}

// String is the target as a person writes it.
func (t Target) String() string {
	if t.Domain != "" {
		return t.Domain
	}
	return t.IP.String()
}

// Check looks a target up in every list that takes it, concurrently, and gives each answer to each (from one goroutine at a time; may be nil)
// as it comes; the result is in the panel's order. Zones that are not usable give Disabled or Unknown with their reason, and so does a zone
// whose turn does not come within the timeout of a question. Only A records are asked for, and the text of what is listed.
func (p *Panel) Check(ctx context.Context, t Target, each func(Listing)) []Listing {
	var out []Listing
	s := p.newSweep([]Target{t}, p.o.Timeout, func(l Listing) {
		out = append(out, l)
		if each != nil {
			each(l)
		}
	})
	s.whole = true
	s.run(ctx)
	order := make(map[*List]int, len(s.lanes))
	for i, lane := range s.lanes {
		order[lane.z.list] = i
	}
	slices.SortFunc(out, func(a, b Listing) int { return order[a.List] - order[b.List] })
	return out
}

// Sweep looks many targets up in every list that takes them and gives each answer to each, from one goroutine at a time. It goes round the
// zones fairly, keeps their budgets by waiting for each zone's turn, and never has more than the panel's bounds under way. A zone that is
// disabled is passed over and gives nothing: Zones tells why. A zone that stops answering, refuses, or whose budget of the day is used up
// gives Unknown for the targets that are left, at once; the error is then a *Shortfall that counts them. When ctx ends, the error wraps
// its cause, and targets that were not asked are not given to each.
func (p *Panel) Sweep(ctx context.Context, targets []Target, each func(Listing)) error {
	if each == nil {
		each = func(Listing) {}
	}
	return p.newSweep(targets, -1, each).run(ctx)
}
