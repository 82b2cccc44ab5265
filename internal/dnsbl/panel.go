package dnsbl

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"postern/internal/dns"
)

// Budget bounds how often a zone is asked, as its operator's terms say. 0 in a field: no bound.
type Budget struct {
	PerDay    int
	PerSecond float64
}

// PanelOptions is what NewPanel needs. Resolver and Lists are required.
type PanelOptions struct {
	Resolver dns.Resolver
	Lists    []List
	Guard    *Guard            // nil: a new one
	Budgets  map[string]Budget // by zone; zones that are not named have those of their terms
	Parallel int               // questions under way at once, over all zones; 0: 256
	Timeout  time.Duration     // of one question; 0: 5 s
	Now      func() time.Time
}

// Panel is the lists in use: it asks the healthy ones, within their budgets, and knows of each why it is not asked.
type Panel struct{ o PanelOptions }

// NewPanel checks the options. It asks nothing yet: Examine does.
func NewPanel(o PanelOptions) (*Panel, error) {
	if o.Resolver == nil {
		return nil, errors.New("dnsbl: the panel has no resolver")
	}
	return &Panel{o: o}, nil
}

// ZoneState is what the panel knows of one zone.
type ZoneState struct {
	List    List
	Usable  bool      // asked
	Why     error     // when not: ErrDead, ErrKey, ErrRegistration, ErrUnhealthy, ErrRefused, ErrBudget or an error of package dns
	Checked time.Time // of its test points; zero: not yet
	Asked   int       // questions of this day (UTC)
	Budget  Budget
}

// Zones are all zones of the panel in their order.
func (p *Panel) Zones() []ZoneState { return nil }

// Examine asks the test points of all zones (RFC 5782 5).
func (p *Panel) Examine(ctx context.Context) error { return nil }

// Target is an address or a domain to look up: one of the two is set.
type Target struct {
	IP     netip.Addr
	Domain string
}

// Check looks a target up in every list that takes it, concurrently, and gives each answer to each (from one goroutine at a time; may be nil) as it comes. Zones that are
// not usable give Disabled or Unknown with their reason.
func (p *Panel) Check(ctx context.Context, t Target, each func(Listing)) []Listing { return nil }
