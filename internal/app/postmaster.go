package app

import (
	"context"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/postmaster"
	"postern/internal/webhook"
)

// openPostmaster makes the room of what providers publish about our addresses and domains.
func (a *App) openPostmaster(_ context.Context, c *config.Config) error {
	secret, err := linkSecret(c)
	if err != nil {
		return err
	}
	key, err := c.PostmasterTools.AccountKey()
	if err == nil && key != nil {
		err = postmaster.CheckKey(key)
	}
	if err != nil {
		return err
	}
	o := postmaster.Options{DB: a.mainDB, Node: a.host, Logger: a.log, Secret: secret, Ours: a.ownEgress,
		HTTP:   webhook.NewClient(webhook.Policy{Trusted: true}, a.resolver, nil).HTTP(time.Minute), // the addresses come from the configuration
		Folder: c.SNDS.Folder, SNDSEvery: c.SNDS.Every, GoogleEvery: c.PostmasterTools.Every, Keep: c.SNDS.Keep, Bounds: postmaster.Bounds{Complaints: c.SNDS.Complaints},
		Microsoft: postmaster.Microsoft{Base: c.SNDS.API, Authority: c.SNDS.Authority, ClientID: c.SNDS.ClientID, Redirect: c.SNDS.Redirect},
		Raise:     a.raisePostmaster, Clear: a.alarms.Clear, Standing: a.alarmKeys, Demand: a.demandName}
	for _, u := range c.SNDS.URLs {
		o.Links = append(o.Links, postmaster.Link{Name: u.Name, URL: string(u.URL)})
	}
	if t := c.PostmasterTools; t.On() {
		o.Google = postmaster.Google{Base: t.API, Token: t.TokenURL, Key: key, ClientID: t.ClientID, ClientSecret: string(t.ClientSecret), Refresh: string(t.RefreshToken)}
		for _, d := range t.Domains {
			o.Google.Domains = append(o.Google.Domains, string(d))
		}
	}
	if a.postmaster, err = postmaster.New(o); err != nil {
		return err
	}
	a.metrics.registry.MustRegister(&sourceFigures{a.postmaster})
	return nil
}

// Postmaster returns the room of what providers publish about our addresses and domains.
func (a *App) Postmaster() *postmaster.Postmaster { return a.postmaster }

// ownEgress are the addresses that mail leaves from.
func (a *App) ownEgress() (all []netip.Prefix) {
	for _, ip := range a.accounts.Addresses() {
		if ip = ip.Unmap(); !ip.IsUnspecified() {
			all = append(all, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	return all
}

// demandName names one of Google's demands as the pages do.
func (a *App) demandName(lang, name string) string {
	if key := "portal.gmail.demand." + name; a.metrics.catalog.Has(key) {
		return a.metrics.catalog.Text(lang, key, nil)
	}
	return ""
}

func (a *App) raisePostmaster(x postmaster.Alarm) {
	severity := alarm.Warning
	if x.Critical {
		severity = alarm.Critical
	}
	a.alarms.Raise(alarm.Alarm{Key: x.Key, Severity: severity, Code: x.Code, Args: x.Args, Since: x.Since})
}

// sourceFigures reads how the ways in fare when it is asked for figures.
type sourceFigures struct{ p *postmaster.Postmaster }

var (
	sourceFailing = prometheus.NewDesc("postern_postmaster_failing", "Sources of providers' figures (SNDS links, its interface, the folder, Postmaster Tools): 1 when the last attempt failed.", []string{"source"}, nil)
	sourceWorked  = prometheus.NewDesc("postern_postmaster_worked_seconds", "When a source of providers' figures last worked, Unix time.", []string{"source"}, nil)
)

// Describe is prometheus.Collector's.
func (f *sourceFigures) Describe(ch chan<- *prometheus.Desc) {
	ch <- sourceFailing
	ch <- sourceWorked
}

// Collect is prometheus.Collector's.
func (f *sourceFigures) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := f.p.Sources(ctx)
	if err != nil {
		return // the database is out, which other figures tell
	}
	for _, s := range all {
		if s.Tried.IsZero() {
			continue
		}
		failing := 0.0
		if s.Fault != "" {
			failing = 1
		}
		ch <- prometheus.MustNewConstMetric(sourceFailing, prometheus.GaugeValue, failing, s.Name)
		if !s.Worked.IsZero() {
			ch <- prometheus.MustNewConstMetric(sourceWorked, prometheus.GaugeValue, float64(s.Worked.Unix()), s.Name)
		}
	}
}
