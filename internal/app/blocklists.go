package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/dns"
	"postern/internal/dnsbl"
)

// newPanel makes the lists in use of a configuration. They are asked through a client of their own, so that lists that do not answer cannot
// take the places of questions that mail waits for.
func newPanel(c *config.Config, guard *dnsbl.Guard, log *slog.Logger) (*dnsbl.Panel, error) {
	b := c.Blocklists
	o := dns.Options{Servers: dnsServers(c), Timeout: b.Timeout / 2, Attempts: 2, Total: b.Timeout, Concurrency: b.Parallel + 64, CacheEntries: c.DNS.CacheEntries, Logger: log}
	resolver, err := dns.New(o)
	if err != nil {
		return nil, err
	}
	return dnsbl.NewPanel(dnsbl.PanelOptions{Resolver: resolver, Lists: c.PanelLists(), Budgets: c.BlocklistBudgets(), Guard: guard, Parallel: b.Parallel, Timeout: b.Timeout})
}

// openBlocklists makes the one panel of the gateway: what it learns of zones and counts against their budgets holds for the filter, the
// check-ups and the watch alike.
func (a *App) openBlocklists(_ context.Context, c *config.Config) (err error) {
	a.guard = dnsbl.NewGuard(time.Now)
	a.panel, err = newPanel(c, a.guard, a.log)
	return err
}

// Panel returns the lists in use.
func (a *App) Panel() *dnsbl.Panel { return a.panel }

// The keys of the alarms about blocklists.
const (
	refusedAlarm   = "blocklists.refused"
	unhealthyAlarm = "blocklists.unhealthy"
	keyAlarm       = "blocklists.key"
)

// blocklistAlarms tells, once however many zones it concerns, that operators refuse our name server, that a key is not known, and that a
// list which the filter asks, or which we have a key or registration for, must not be believed. Each ends by itself.
func (a *App) blocklistAlarms() {
	if !a.panel.Examined() {
		return // what stood before the start is neither over nor proved anew
	}
	var refused, operators []string
	for _, r := range a.panel.Refusals() {
		operators = append(operators, r.Operator)
		line := fmt.Sprintf("%s (%s): %s", r.Operator, strings.Join(r.Zones, ", "), r.Text)
		if r.Code.IsValid() {
			line = fmt.Sprintf("%s (%s): %s, %s", r.Operator, strings.Join(r.Zones, ", "), r.Code, r.Text)
		}
		if r.Resolver.IsValid() {
			line += " [" + r.Resolver.String() + "]"
		}
		refused = append(refused, line+"\n"+r.Out.EN)
	}
	a.standing(refusedAlarm, "blocklists-refused", len(operators), map[string]string{"Operators": strings.Join(operators, ", "), "Lines": strings.Join(refused, "\n\n")})

	watched := map[string]bool{}
	for _, l := range a.config.Load().FilterLists() {
		watched[l.Zone] = l.Weight > 0
	}
	keys := map[string]bool{}
	var sick []string
	for _, z := range a.panel.Zones() {
		switch {
		case errors.Is(z.Why, dnsbl.ErrKeyUnknown):
			keys[z.List.Operator] = true
		case errors.Is(z.Why, dnsbl.ErrUnhealthy) && (watched[z.List.Zone] || z.List.HasKey() || z.List.Registered):
			sick = append(sick, z.Why.Error())
		}
	}
	of := slices.Sorted(maps.Keys(keys))
	a.standing(keyAlarm, "blocklists-key", len(of), map[string]string{"Operators": strings.Join(of, ", "), "Keys": "blocklists.keys." + strings.ToLower(strings.Join(of, ", blocklists.keys."))})
	a.standing(unhealthyAlarm, "blocklists-unhealthy", len(sick), map[string]string{"Count": fmt.Sprint(len(sick)), "Lines": strings.Join(sick, "\n")})
}

// standing raises an alarm while there is something to it, and clears it.
func (a *App) standing(key, code string, matters int, args map[string]string) {
	if matters == 0 {
		a.alarms.Clear(key)
		return
	}
	a.alarms.Raise(alarm.Alarm{Key: key, Severity: alarm.Warning, Code: code, Args: args})
}

// listFigures reads the lists in use when it is asked for figures. The zones of a panel are bounded, and none shows a key.
type listFigures struct{ app *App }

var (
	listZones   = prometheus.NewDesc("postern_blocklist_zones", "Blocklists by state: usable, refused, unhealthy, resting (did not answer), budget, unproven, closed (no key or registration).", []string{"state"}, nil)
	listAnswers = prometheus.NewDesc("postern_blocklist_answers_total", "Answers of blocklists by zone and state: listed, clean, unknown, refused.", []string{"zone", "state"}, nil)
	listAsked   = prometheus.NewDesc("postern_blocklist_asked_today", "Questions at a blocklist this day (UTC), by zone.", []string{"zone"}, nil)
	listBudget  = prometheus.NewDesc("postern_blocklist_budget_day", "Questions that a blocklist may be asked in a day, by zone; absent: no bound.", []string{"zone"}, nil)
)

// Describe is prometheus.Collector's.
func (f *listFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{listZones, listAnswers, listAsked, listBudget} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (f *listFigures) Collect(ch chan<- prometheus.Metric) {
	if f.app.panel == nil {
		return
	}
	states := map[dnsbl.Standing]float64{}
	for _, s := range dnsbl.Standings() {
		states[s] = 0
	}
	put := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, z := range f.app.panel.Zones() {
		states[z.Standing()]++
		if z.Answers != (dnsbl.Answers{}) {
			for state, n := range map[string]uint64{"listed": z.Answers.Listed, "clean": z.Answers.Clean, "unknown": z.Answers.Unknown, "refused": z.Answers.Refused} {
				put(listAnswers, prometheus.CounterValue, float64(n), z.List.Zone, state)
			}
		}
		if z.Asked > 0 {
			put(listAsked, prometheus.GaugeValue, float64(z.Asked), z.List.Zone)
			if z.Budget.PerDay > 0 {
				put(listBudget, prometheus.GaugeValue, float64(z.Budget.PerDay), z.List.Zone)
			}
		}
	}
	for s, n := range states {
		put(listZones, prometheus.GaugeValue, n, string(s))
	}
}
