package dnsbl_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/dns"
	"postern/internal/dnsbl"
)

// scripted is a resolver without a wire, for tests in which time is made: it knows names that are listed, denies all others, and counts.
type scripted struct {
	took time.Duration // of each answer

	mu      sync.Mutex
	listed  map[string]string // suffix of the name: address
	failing map[string]error  // suffix of the name
	asked   map[string]int    // by the zone, its last two labels
	at      map[string][]time.Time
}

func (s *scripted) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	labels := strings.Split(name, ".")
	zone := strings.Join(labels[max(len(labels)-2, 0):], ".")
	s.mu.Lock()
	if s.asked == nil {
		s.asked, s.at = map[string]int{}, map[string][]time.Time{}
	}
	s.asked[zone]++
	s.at[zone] = append(s.at[zone], time.Now())
	a := dns.Answer{Status: dns.Nothing, NXDomain: true}
	for suffix, ip := range s.listed {
		if typ == dns.TypeA && strings.HasSuffix(name, suffix) {
			a = dns.Answer{Status: dns.Found, Records: []dns.Record{{Type: typ, IP: netip.MustParseAddr(ip)}}}
		}
	}
	for suffix, err := range s.failing {
		if strings.HasSuffix(name, suffix) {
			a = dns.Answer{Err: err}
		}
	}
	s.mu.Unlock()
	select {
	case <-time.After(s.took):
		return a
	case <-ctx.Done():
		return dns.Answer{Err: dns.ErrTimeout}
	}
}

func (s *scripted) set(suffix, ip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listed == nil {
		s.listed = map[string]string{}
	}
	if s.listed[suffix] = ip; ip == "" {
		delete(s.listed, suffix)
	}
}

// alive lets zones answer the test point that must be listed.
func (s *scripted) alive(zones ...string) {
	for _, zone := range zones {
		s.set("2.0.0.127."+zone, "127.0.0.2")
	}
}

func (s *scripted) fail(suffix string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing == nil {
		s.failing = map[string]error{}
	}
	if s.failing[suffix] = err; err == nil {
		delete(s.failing, suffix)
	}
}

func (s *scripted) count(zone string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[zone]
}

// TestBudgets: a zone is asked as often as its terms allow, evenly; what is left is unknown, and the sweep says how much.
func TestBudgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{took: 10 * time.Millisecond}
		slow := plain("slow.test")
		slow.Budget = dnsbl.Budget{PerSecond: 10}
		p := panel(t, dnsbl.PanelOptions{Resolver: r, Lists: []dnsbl.List{slow, plain("daily.test"), plain("free.test")},
			Budgets: map[string]dnsbl.Budget{"daily.test": {PerDay: 100}}})
		r.alive("slow.test", "daily.test", "free.test")
		if err := p.Examine(t.Context()); err != nil {
			t.Fatal(err)
		}
		used := state(t, p, "daily.test").Asked // its test points
		r.at = map[string][]time.Time{}
		began := time.Now()
		states := map[string]map[dnsbl.State]int{}
		err := p.Sweep(t.Context(), addresses(250), func(l dnsbl.Listing) {
			if states[l.List.Zone] == nil {
				states[l.List.Zone] = map[dnsbl.State]int{}
			}
			states[l.List.Zone][l.State]++
			if l.State == dnsbl.Unknown && !errors.Is(l.Err, dnsbl.ErrBudget) {
				t.Errorf("%s: %v", l.List.Zone, l.Err)
			}
		})
		took := time.Since(began)
		var short *dnsbl.Shortfall
		if !errors.As(err, &short) || !errors.Is(err, dnsbl.ErrBudget) || short.NotAsked != 150+used || short.Zones["daily.test"].Targets != 150+used || len(short.Zones) != 1 {
			t.Errorf("shortfall: %v", err)
		}
		if states["slow.test"][dnsbl.Clean] != 250 || states["free.test"][dnsbl.Clean] != 250 || states["daily.test"][dnsbl.Clean] != 100-used || states["daily.test"][dnsbl.Unknown] != 150+used {
			t.Errorf("states: %v", states)
		}
		if took < 24*time.Second || took > 26*time.Second {
			t.Errorf("250 questions at 10 a second took %v", took)
		}
		at := r.at["slow.test"]
		for i := range at[1:] {
			if at[i+1].Sub(at[i]) < 75*time.Millisecond {
				t.Errorf("questions %d and %d are %v apart", i, i+1, at[i+1].Sub(at[i]))
			}
		}
		if z := state(t, p, "daily.test"); z.Usable || !errors.Is(z.Why, dnsbl.ErrBudget) || z.Asked != 100 {
			t.Errorf("after the sweep: %+v", z)
		}
		// The same for who asks through the guard; the next day (UTC) it is open again.
		for _, l := range p.Check(t.Context(), dnsbl.Target{IP: netip.MustParseAddr("192.0.2.1")}, nil) {
			if (l.List.Zone == "daily.test") != (l.State == dnsbl.Unknown) {
				t.Errorf("%s: %s", l.List.Zone, l.State)
			}
		}
		time.Sleep(24 * time.Hour)
		if z := state(t, p, "daily.test"); !z.Usable || z.Asked != 0 {
			t.Errorf("the next day: %+v", z)
		}
	})
}

// TestGuardObeysPanel: what the panel knows holds for the filter too, which asks through a Guard with its own resolver.
func TestGuardObeysPanel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{}
		r.set("sick.test", "127.0.0.2")
		g := dnsbl.NewGuard(time.Now)
		good, sick := plain("good.test"), plain("sick.test")
		good.TestListed = ""
		good.Budget = dnsbl.Budget{PerDay: 8, PerSecond: 2}
		r.alive("good.test")
		p := panel(t, dnsbl.PanelOptions{Resolver: r, Guard: g, Lists: []dnsbl.List{good, sick}})
		if err := p.Examine(t.Context()); err != nil {
			t.Fatal(err)
		}
		ip := netip.MustParseAddr("192.0.2.1")
		if l := g.CheckIP(t.Context(), r, &sick, ip); l.State != dnsbl.Disabled || !errors.Is(l.Err, dnsbl.ErrWildcard) {
			t.Errorf("a zone that lists the world: %+v", l)
		}
		used := state(t, p, "good.test").Asked // its test points
		began, states := time.Now(), map[dnsbl.State]int{}
		for range 10 {
			l := g.CheckIP(t.Context(), r, &good, ip)
			states[l.State]++
			if l.State == dnsbl.Unknown && !errors.Is(l.Err, dnsbl.ErrBudget) {
				t.Errorf("%v", l.Err)
			}
		}
		if states[dnsbl.Clean] != 8-used || states[dnsbl.Unknown] != 2+used {
			t.Errorf("%v after %d questions", states, used)
		}
		if took := time.Since(began); took < time.Second {
			t.Errorf("2 a second took %v", took)
		}
		// A list that the panel does not have is asked as without one.
		other := plain("other.test")
		if l := g.CheckIP(t.Context(), r, &other, ip); l.State != dnsbl.Clean {
			t.Errorf("%+v", l)
		}
		// Whoever has no time to wait for a zone's turn is told so, and no question is lost.
		if err := p.Set([]dnsbl.List{good}, map[string]dnsbl.Budget{"good.test": {PerSecond: 0.01}}); err != nil {
			t.Fatal(err)
		}
		g.CheckIP(t.Context(), r, &good, ip)
		before := r.count("good.test")
		if l := g.CheckIP(t.Context(), r, &good, ip); !errors.Is(l.Err, dnsbl.ErrBudget) || r.count("good.test") != before {
			t.Errorf("%+v", l)
		}
	})
}

// TestRun: examined at start and daily; what is unhealthy is not asked, is looked at again each hour, and comes back.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{}
		r.set("2.0.0.127.good.test", "127.0.0.2")
		r.set("2.0.0.127.world.test", "127.0.0.2")
		r.fail("dark.test", dns.ErrServFail)
		hearsay := plain("hearsay.test")
		hearsay.Evidence, hearsay.TestListed = dnsbl.Hearsay, ""
		p := panel(t, dnsbl.PanelOptions{Resolver: r, Lists: []dnsbl.List{plain("good.test"), plain("world.test"), plain("dark.test"), hearsay}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		usable := func() (out []string) {
			for _, z := range p.Zones() {
				if z.Usable {
					out = append(out, z.List.Zone)
				}
			}
			return out
		}
		if got := usable(); !slices.Equal(got, []string{"good.test", "world.test", "dark.test"}) {
			t.Errorf("at start: %v", got)
		}
		if z := state(t, p, "dark.test"); !z.Checked.IsZero() {
			t.Errorf("not measured, but checked at %v", z.Checked)
		}
		first := r.count("good.test")
		time.Sleep(20 * time.Hour)
		if got := r.count("good.test"); got != first {
			t.Errorf("examined again within 20 h: %d questions", got-first)
		}
		if r.count("dark.test") < 15 {
			t.Errorf("what could not be measured was tried with %d questions only", r.count("dark.test"))
		}
		r.set("world.test", "127.0.0.2") // its domain was sold
		r.set("2.0.0.127.hearsay.test", "127.0.0.2")
		time.Sleep(7 * time.Hour)
		synctest.Wait()
		if r.count("good.test") == first {
			t.Error("not examined after 27 h")
		}
		if got := usable(); !slices.Equal(got, []string{"good.test", "dark.test", "hearsay.test"}) {
			t.Errorf("later: %v", got)
		}
		r.set("world.test", "")
		time.Sleep(80 * time.Minute)
		synctest.Wait()
		if got := usable(); len(got) != 4 {
			t.Errorf("mended: %v", got)
		}
		// New lists are examined at once.
		if err := p.Set([]dnsbl.List{plain("good.test"), plain("new.test")}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := usable(); !slices.Equal(got, []string{"good.test"}) {
			t.Errorf("with new lists: %v", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestRest: a zone that fell silent is left alone for a minute, then for longer, and comes back with its first answer.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{}
		r.alive("dark.test")
		r.fail("dark.test", dns.ErrTimeout)
		p := panel(t, dnsbl.PanelOptions{Resolver: r, Lists: []dnsbl.List{plain("dark.test")}})
		sweep := func() (asked int) {
			before := r.count("dark.test")
			err := p.Sweep(t.Context(), addresses(50), nil)
			if !errors.Is(err, dnsbl.ErrResting) {
				t.Errorf("%v", err)
			}
			return r.count("dark.test") - before
		}
		if got := sweep(); got < 2 || got > 10 { // its test point, and what is under way when the next one fails
			t.Errorf("the first sweep asked %d", got)
		}
		if got := sweep(); got != 0 {
			t.Errorf("the second sweep asked %d", got)
		}
		time.Sleep(61 * time.Second)
		if got := sweep(); got == 0 || got > 10 {
			t.Errorf("after the rest: %d", got)
		}
		time.Sleep(61 * time.Second)
		if got := sweep(); got != 0 {
			t.Errorf("the second rest is longer: %d", got)
		}
		r.fail("dark.test", nil)
		time.Sleep(time.Minute)
		if err := p.Sweep(t.Context(), addresses(50), nil); err != nil || !state(t, p, "dark.test").Usable {
			t.Errorf("%v", err)
		}
	})
}

// TestSweepEnds: the end of the context ends a sweep soon, and nothing is said of what was not asked.
func TestSweepEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{took: time.Second}
		r.alive("good.test")
		l := plain("good.test")
		l.Budget.PerSecond = 1
		p := panel(t, dnsbl.PanelOptions{Resolver: r, Lists: []dnsbl.List{l}})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10500*time.Millisecond, errors.New("enough"))
		defer cancel()
		told := 0
		began := time.Now()
		err := p.Sweep(ctx, addresses(100), func(dnsbl.Listing) { told++ })
		if err == nil || !strings.Contains(err.Error(), "enough") || told < 9 || told > 12 || time.Since(began) > 11*time.Second {
			t.Errorf("%v after %v, %d told", err, time.Since(began), told)
		}
		// A check answers for every list even so.
		if got := p.Check(ctx, dnsbl.Target{IP: netip.MustParseAddr("192.0.2.1")}, nil); len(got) != 1 || got[0].State != dnsbl.Unknown {
			t.Errorf("%+v", got)
		}
	})
}

// TestPanelOptions: what cannot be a panel.
func TestPanelOptions(t *testing.T) {
	t.Parallel()
	r := &scripted{}
	for name, o := range map[string]dnsbl.PanelOptions{
		"no resolver":     {},
		"negative":        {Resolver: r, Parallel: -1},
		"dead zone":       {Resolver: r, Lists: []dnsbl.List{plain("dnsbl.sorbs.net")}},
		"twice":           {Resolver: r, Lists: []dnsbl.List{plain("a.test"), plain("a.test")}},
		"negative budget": {Resolver: r, Lists: []dnsbl.List{plain("a.test")}, Budgets: map[string]dnsbl.Budget{"a.test": {PerDay: -1}}},
	} {
		if _, err := dnsbl.NewPanel(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSweepOfNothing: without targets it ends, instead of waiting for an answer that nobody gives.
func TestSweepOfNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &scripted{}
		r.alive("good.test")
		p := panel(t, dnsbl.PanelOptions{Resolver: r, Lists: []dnsbl.List{plain("good.test")}})
		if err := p.Sweep(t.Context(), nil, func(dnsbl.Listing) { t.Error("an answer about nothing") }); err != nil {
			t.Error(err)
		}
	})
}
