package app

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/alarm"
	"postern/internal/checkup"
	"postern/internal/config"
	"postern/internal/learn"
	"postern/internal/reputation"
)

// openReputation makes the watch of our addresses and domains on blocklists. It stays nil where it is switched off.
func (a *App) openReputation(_ context.Context, c *config.Config) error {
	r := c.Reputation
	if !r.Enabled {
		return nil
	}
	check, err := a.outsideCheck(c)
	if err != nil {
		return err
	}
	domains := append(r.Domains[:len(r.Domains):len(r.Domains)], c.Reports.Domains...)
	if d := c.Delivery.ReturnPath.Domain; d != "" {
		domains = append(domains, d)
	}
	contact := c.Notice.Operator
	if contact.IsNull() {
		contact = c.Notice.From
	}
	a.reputation, err = reputation.New(reputation.Options{DB: a.mainDB, Panel: a.panel, Accounts: a.accounts, Journal: a.journal, Catalog: a.metrics.catalog,
		Host: a.host, Contact: contact, Domains: domains, Ranges: r.Ranges, Every: r.Every, DomainsEvery: r.DomainsEvery, Window: r.Window, Keep: r.Keep,
		Check: check.Check, SNDS: a.sndsDays, Strangers: a.strangers,
		Raise: func(x reputation.Alarm) { a.alarms.Raise(reputationAlarm(x)) }, Clear: a.alarms.Clear, Tell: func(x reputation.Alarm) { a.alarms.Tell(reputationAlarm(x)) },
		Raised: func() (keys []string) {
			for _, x := range a.alarms.Raised() {
				keys = append(keys, x.Key)
			}
			return keys
		}, Logger: a.log})
	if err != nil {
		return err
	}
	a.metrics.registry.MustRegister(&reputationFigures{a.reputation})
	return nil
}

// Reputation returns the watch of our addresses and domains; nil when it is switched off.
func (a *App) Reputation() *reputation.Watch { return a.reputation }

// runReputation watches until ctx ends.
func (a *App) runReputation(ctx context.Context) error {
	if a.reputation == nil {
		return nil
	}
	return a.reputation.Run(ctx)
}

// outsideCheck is the check-up for dossiers: of names, servers and authentication, without lists, which the watch asks itself.
func (a *App) outsideCheck(c *config.Config) (*checkup.Checker, error) {
	o := checkup.CheckerOptions{Resolver: a.resolver, Probes: checkup.Probes{Hostname: a.host}, Egress: checkupEgress(c.Delivery.AccountPools(), a.host)}
	return checkup.NewChecker(o)
}

func reputationAlarm(x reputation.Alarm) alarm.Alarm {
	severity := alarm.Warning
	if x.Critical {
		severity = alarm.Critical
	}
	return alarm.Alarm{Key: x.Key, Severity: severity, Code: x.Code, Args: x.Args, Since: x.Since}
}

// strangers is how much of a customer's mail went to people he never wrote to, as the behaviour of senders is remembered.
func (a *App) strangers(ctx context.Context, customer string, credentials []string, from, to time.Time) (out reputation.Acquaintance, err error) {
	known, err := a.learn.StrangersOf(ctx, customer, credentials, from, to)
	if err != nil {
		return out, err
	}
	as := func(s learn.Strangers) reputation.Strangers {
		return reputation.Strangers{Known: s.Recipients > 0 && !known.Partial, Recipients: s.Recipients, First: s.FirstTime, Usual: s.Usual}
	}
	out = reputation.Acquaintance{All: as(known.All), Logins: map[string]reputation.Strangers{"": as(known.Nobody)}}
	for login, s := range known.Logins {
		out.Logins[login] = as(s)
	}
	return out, nil
}

// sndsDays are Microsoft's figures of an address in the words of a dossier: the worst colour, and what is not known as such.
func (a *App) sndsDays(ctx context.Context, ip netip.Addr, from, to time.Time) ([]reputation.SNDSDay, error) {
	rows, err := a.postmaster.Trend(ctx, ip, from, to)
	if err != nil {
		return nil, err
	}
	rank := map[string]int{"": 0, "GREEN": 1, "YELLOW": 2, "RED": 3}
	var out []reputation.SNDSDay
	for _, r := range rows {
		day := r.Day()
		if len(out) == 0 || !out[len(out)-1].Day.Equal(day) {
			out = append(out, reputation.SNDSDay{Day: day, Complaints: -1, Traps: -1})
		}
		d := &out[len(out)-1]
		if colour := strings.ToUpper(string(r.Filter)); rank[colour] > rank[d.Colour] {
			d.Colour = colour
		}
		if r.Recipients.Known {
			d.Recipients += int(r.Recipients.Value)
		}
		// "Below 0.1 %" is as little as Microsoft says: it counts as nothing seen.
		if rate := r.Complaint; rate.Known && !rate.Below {
			d.Complaints = max(d.Complaints, rate.Percent/100)
		} else if rate.Known {
			d.Complaints = max(d.Complaints, 0)
		}
		if r.TrapHits.Known {
			d.Traps = max(d.Traps, 0) + int(r.TrapHits.Value)
		}
	}
	return out, nil
}

// reputationFigures reads how the watch fares when it is asked for figures.
type reputationFigures struct{ w *reputation.Watch }

var (
	watchedTargets  = prometheus.NewDesc("postern_reputation_targets", "What is watched on blocklists, by kind: egress, domain, range.", []string{"kind"}, nil)
	listedTargets   = prometheus.NewDesc("postern_reputation_listed", "How many of them are listed, by kind.", []string{"kind"}, nil)
	unlookedTargets = prometheus.NewDesc("postern_reputation_unlooked", "Egress addresses and domains that were not looked at within twice their time.", nil, nil)
	worstListing    = prometheus.NewDesc("postern_reputation_worst_weight", "Weight (0 to 5) of the worst listing of what is ours.", nil, nil)
	openDossiers    = prometheus.NewDesc("postern_reputation_dossiers", "Dossiers by state: open, mending, requested, clean, closed.", []string{"state"}, nil)
	watchAnswers    = prometheus.NewDesc("postern_reputation_answers_total", "Answers of lists to the watch: true, or unknown (none, refused, not asked).", []string{"answer"}, nil)
	watchChanges    = prometheus.NewDesc("postern_reputation_changes_total", "Listings that began and ended.", []string{"change"}, nil)
	watchFailures   = prometheus.NewDesc("postern_reputation_failures_total", "Turns of the watch that failed and were tried again.", nil, nil)
)

// Describe is prometheus.Collector's.
func (f *reputationFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{watchedTargets, listedTargets, unlookedTargets, worstListing, openDossiers, watchAnswers, watchChanges, watchFailures} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (f *reputationFigures) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, n, labels...)
	}
	s := f.w.Stats()
	send(watchAnswers, prometheus.CounterValue, float64(s.Answers), "true")
	send(watchAnswers, prometheus.CounterValue, float64(s.Unknown), "unknown")
	send(watchChanges, prometheus.CounterValue, float64(s.Listed), "listed")
	send(watchChanges, prometheus.CounterValue, float64(s.Delisted), "delisted")
	send(watchFailures, prometheus.CounterValue, float64(s.Failed))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	sum, err := f.w.Summary(ctx)
	if err != nil {
		return // the database is out, which other figures tell
	}
	for _, x := range []struct {
		kind        string
		all, listed int
	}{{"egress", sum.Egress, sum.EgressListed}, {"domain", sum.Domains, sum.DomainsListed}, {"range", sum.Ranged, sum.RangedListed}} {
		send(watchedTargets, prometheus.GaugeValue, float64(x.all), x.kind)
		send(listedTargets, prometheus.GaugeValue, float64(x.listed), x.kind)
	}
	send(unlookedTargets, prometheus.GaugeValue, float64(sum.Unlooked))
	send(worstListing, prometheus.GaugeValue, float64(sum.Worst))
	for _, state := range reputation.States() {
		send(openDossiers, prometheus.GaugeValue, float64(sum.Dossiers[state]), string(state))
	}
}
