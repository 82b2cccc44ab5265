package app

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"postern/internal/alarm"
	"postern/internal/api"
	"postern/internal/config"
	"postern/internal/locale"
	"postern/internal/shaping"
)

// openAlarms makes the room that tells the operator.
func (a *App) openAlarms(_ context.Context, c *config.Config) (err error) {
	o := alarm.Options{DB: a.mainDB, Catalog: a.metrics.catalog, Host: a.host, Mail: a.notices.Alarm, Remind: c.Alarm.Remind, Keep: c.Alarm.Keep, Logger: a.log}
	if o.To = c.Notice.Operator.String(); c.Notice.Operator.IsNull() {
		o.To = c.Notice.From.String()
	}
	for _, h := range c.Alarm.Webhooks {
		o.Hooks = append(o.Hooks, alarm.Hook{Name: h.Name, URL: h.URL, Secret: []byte(h.Secret)})
	}
	a.alarms, err = alarm.New(o)
	a.queueWatch.Alarms = a.alarms
	return err
}

// lookAtQueue compares what waits with the configured bounds.
func (a *App) lookAtQueue(ctx context.Context, now time.Time) {
	stats, err := a.spool.Stats(ctx)
	if err != nil {
		a.log.Warn("the queue cannot be looked at", "error", err)
		return
	}
	backlogs, err := a.spool.Backlogs(ctx)
	if err != nil {
		a.log.Warn("the queue cannot be looked at", "error", err)
		return
	}
	c := a.config.Load().Alarm
	lanes, customers := map[string]*alarm.Pile{}, map[string]*alarm.Pile{}
	pile := func(all map[string]*alarm.Pile, name string, n int, oldest time.Time) {
		p := all[name]
		if p == nil {
			p = &alarm.Pile{Name: name, Oldest: oldest}
			all[name] = p
		}
		p.Count += n
		if oldest.Before(p.Oldest) {
			p.Oldest = oldest
		}
	}
	for _, b := range backlogs {
		if b.Lane != "" {
			pile(lanes, b.Lane, b.Recipients, b.Oldest)
		}
		pile(customers, b.Customer, b.Recipients, b.Oldest)
	}
	q := alarm.Queue{Total: alarm.Pile{Count: stats.Queued, Oldest: stats.Oldest}, Silent: stats.Silent, Mended: stats.Mended, Full: stats.Full}
	for _, p := range lanes {
		p.Title, p.Why = a.laneInWords(p.Name)
		q.Lanes = append(q.Lanes, *p)
	}
	for _, p := range customers {
		if k, ok := a.accounts.Customer(p.Name); ok {
			p.Title = k.Name
		}
		p.Title = cmp.Or(p.Title, p.Name, "the gateway itself")
		q.Customers = append(q.Customers, *p)
	}
	a.queueWatch.Look(now, alarm.Bounds{Lane: c.Lane, LaneAge: c.LaneAge, Customer: c.Customer, Total: c.Total, TotalAge: c.TotalAge}, q)
}

// laneInWords is a lane's name for people, and what keeps it.
func (a *App) laneInWords(name string) (title, why string) {
	key, err := shaping.ParseKey(name)
	if err != nil {
		return name, ""
	}
	title = key.Provider
	if p := a.knowledge().Provider(key.Provider); p != nil {
		title = p.Title
	}
	if key.Egress.IsValid() {
		title += " from " + key.Egress.String()
	}
	for _, r := range a.delivery.InForce() {
		if r.Lane == key && r.Scope == shaping.WholeLane {
			return title, api.Why(a.metrics.catalog, locale.English, r.Why) + " Until " + r.Ends.UTC().Format(time.RFC3339) + "."
		}
	}
	return title, "nothing is in force; its limits, or its connections, let no more through"
}

// reacted tells the operator of an answer that asks for him, and of a receiver that is about to forget an address. Events of one lane and rule are told once a day.
func (a *App) reacted(r shaping.Reaction) {
	title, _ := a.laneInWords(r.Lane.String())
	p := a.knowledge().Provider(r.Lane.Provider)
	x := alarm.Alarm{Key: "lane." + string(r.Kind) + " " + r.Lane.String() + " " + strings.TrimSpace(r.Rule+" "+r.Customer+" "+r.Target), Severity: alarm.Warning, Since: r.Started}
	if r.Kind == shaping.Floor && p != nil {
		x.Code, x.Args = "floor", map[string]string{"Name": p.Title, "Address": r.Lane.Egress.String(), "Count": fmt.Sprint(p.Floor)}
	} else {
		x.Code = "provider"
		x.Args = map[string]string{"Name": title, "Why": api.Why(a.metrics.catalog, locale.English, r.Why), "Evidence": r.Evidence, "Advice": a.adviceOf(r),
			"InForce": string(r.Kind) + " until " + r.Ends.UTC().Format(time.RFC3339)}
	}
	a.log.Warn("a receiver asks for the operator", "lane", r.Lane.String(), "kind", string(r.Kind), "rule", r.Rule, "until", r.Ends, "evidence", r.Evidence)
	a.alarms.Tell(x)
}

// adviceOf is what the rule behind a reaction advises; "" when none is known, or no more.
func (a *App) adviceOf(r shaping.Reaction) string {
	rule := a.knowledge().Rule(r.Rule)
	if rule == nil {
		return ""
	}
	return rule.Meaning.Advice[locale.English]
}
