package portal

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"postern/internal/checkup"
	"postern/internal/visitor"
)

// publicCheckupRoutes is the check-up for visitors who are not signed in, where the operator offers it.
func (s *site) publicCheckupRoutes() []route {
	if s.o.PublicChecker == nil {
		return nil
	}
	return []route{{method: http.MethodGet, path: "/check", access: anybody(), do: s.publicCheckup}}
}

// Bounds of check-ups for anybody: each asks hundreds of questions of other people's servers, and the blocklists count what we ask.
const (
	publicBurst  = 4 // of one network
	publicWindow = 8 * time.Minute
	publicAll    = 20 // of all networks together
	publicEvery  = 200 * time.Second
	publicAtOnce = 2
	publicKept   = 5 * time.Minute // an answer is given again
	publicMost   = 200             // answers kept
)

// publicCheckups are the bounds, and the answers that are given again.
type publicCheckups struct {
	networks *visitor.Limiter[netip.Prefix]
	all      *visitor.Limiter[struct{}]
	slots    chan struct{}

	mu   sync.Mutex
	kept map[string]checkup.CheckReport // by what was typed
}

func newPublicCheckups() *publicCheckups {
	return &publicCheckups{networks: visitor.NewLimiter[netip.Prefix](publicBurst, publicWindow), all: visitor.NewLimiter[struct{}](publicAll, publicEvery),
		slots: make(chan struct{}, publicAtOnce), kept: map[string]checkup.CheckReport{}}
}

func (k *publicCheckups) get(typed string, now time.Time) (checkup.CheckReport, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.kept[typed]
	return r, ok && now.Sub(r.At) < publicKept
}

func (k *publicCheckups) put(typed string, r checkup.CheckReport, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, old := range k.kept {
		if now.Sub(old.At) >= publicKept {
			delete(k.kept, name)
		}
	}
	if len(k.kept) >= publicMost {
		clear(k.kept)
	}
	k.kept[typed] = r
}

// take reports how long a visitor has to wait; 0: he has a slot, which done gives back.
func (k *publicCheckups) take(network netip.Prefix, now time.Time) (wait time.Duration, done func()) {
	select {
	case k.slots <- struct{}{}:
	default:
		return 5 * time.Second, nil
	}
	done = func() { <-k.slots }
	if wait = k.networks.Take(network, now).Wait; wait == 0 {
		wait = k.all.Take(struct{}{}, now).Wait
	}
	if wait > 0 {
		done()
	}
	return wait, done
}

// publicPage is the form, and below it the report.
type publicPage struct {
	page
	Here, Keep string // where the form leads, and the language that it keeps
	Target     field
	Selector   field
	Report     *checkupPage
}

// publicCheckup shows the form, and what was found of the target that the address names: a domain or an IP. It changes nothing; no mail server is
// connected to, and nothing is told of what the gateway knows of its customers.
func (s *site) publicCheckup(v *visit) {
	p := publicPage{page: v.page, Here: s.prefix + "/check"}
	p.Title = p.T("check.public.heading")
	if p.Chosen {
		p.Keep = p.Lang
	}
	typed := clean(v.r.URL.Query().Get("target"), maxTarget)
	p.Target = field{Name: "target", Label: p.T("check.public.target"), Hint: p.T("check.public.target_hint"), Value: typed, Required: true, Most: maxTarget, Mono: true, Complete: "off"}
	selector := clean(v.r.URL.Query().Get("selector"), 100)
	p.Selector = field{Name: "selector", Label: p.T("check.public.selector"), Hint: p.T("check.public.selector_hint"), Value: selector, Most: 100, Mono: true, Complete: "off"}
	if typed == "" || v.r.Header.Get("Sec-Fetch-Site") == "cross-site" { // another site's page asks in its visitor's name
		v.show(http.StatusOK, "check.public", p)
		return
	}
	t, err := checkup.ParseTarget(typed)
	if err != nil || t.Kind == checkup.OfAddress {
		p.Target.Fault = p.T("check.public.fault")
	}
	if selector != "" && checkup.CheckSelector(selector) != nil {
		p.Selector.Fault = p.T("check.fault.selectors", "Most", 1)
	}
	if p.Target.Fault != "" || p.Selector.Fault != "" {
		v.show(http.StatusUnprocessableEntity, "check.public", p)
		return
	}
	name := t.String() + " " + selector
	r, known := s.public.get(name, s.o.Now())
	if !known {
		wait, done := s.public.take(visitor.Network(visitor.Address(v.r)), s.o.Now())
		if wait > 0 {
			v.status = http.StatusTooManyRequests
			s.busy(v.w, v.r, wait)
			return
		}
		ctx, cancel := context.WithTimeout(v.r.Context(), actTime)
		r, err = s.o.PublicChecker.Check(ctx, t, checkup.Ask{Selectors: wordsOf(selector)})
		cancel()
		done()
		if err != nil {
			v.broken("check-up not made", err)
			return
		}
		if v.r.Context().Err() == nil { // of a visitor who left, half of the answers are missing
			s.public.put(name, r, s.o.Now())
		}
	}
	shown := s.checkupView(v, r)
	p.Report, p.Title = &shown, p.T("check.title", "Target", shown.Target)
	v.show(http.StatusOK, "check.public", p)
}
