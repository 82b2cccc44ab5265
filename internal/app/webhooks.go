package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/webhook"
)

// openWebhooks makes the room that tells programs each fact.
func (a *App) openWebhooks(_ context.Context, c *config.Config) (err error) {
	a.webhooks, err = webhook.New(webhook.Options{DB: a.mainDB, Journal: a.journal, Resolver: a.resolver, Policy: webhook.Policy{Private: c.Webhooks.Private}, Logger: a.log,
		Customer: func(id string) bool { _, there := a.accounts.Customer(id); return there }, Stopped: a.hookStopped})
	if err != nil {
		return err
	}
	a.metrics.registry.MustRegister(&hookFigures{a.webhooks})
	return nil
}

// Webhooks returns the room that tells programs each fact.
func (a *App) Webhooks() *webhook.Webhooks { return a.webhooks }

// hookStopped tells the operator of a hook of his own that takes nothing any more. Customers see it on their page.
func (a *App) hookStopped(h webhook.Hook) {
	if h.Customer != "" {
		return
	}
	key := "webhook " + h.ID
	if h.Stopped == "" {
		a.alarms.Clear(key)
		return
	}
	a.alarms.Raise(alarm.Alarm{Key: key, Severity: alarm.Warning, Code: "webhook", Since: h.StoppedAt, Args: map[string]string{"Label": h.Label, "ID": h.ID, "Why": h.Stopped}})
}

// hookFigures reads how the webhooks fare when it is asked for figures.
type hookFigures struct{ w *webhook.Webhooks }

var (
	hooksByState = prometheus.NewDesc("postern_webhooks", "Webhooks by state: working, failing, paused, stopped.", []string{"state"}, nil)
	hooksBehind  = prometheus.NewDesc("postern_webhooks_behind", "Webhooks, working or failing, that have not been told everything.", nil, nil)
	hooksWaiting = prometheus.NewDesc("postern_webhook_waiting_events", "Events in memory that wait for their post.", nil, nil)
	hookPosts    = prometheus.NewDesc("postern_webhook_posts_total", "Posts by outcome: taken, refused, gone, timeout, no-address, forbidden, tls, connection.", []string{"outcome"}, nil)
	hookEvents   = prometheus.NewDesc("postern_webhook_events_total", "Events that were taken.", nil, nil)
)

// Describe is prometheus.Collector's.
func (f *hookFigures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hooksByState, hooksBehind, hooksWaiting, hookPosts, hookEvents} {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (f *hookFigures) Collect(ch chan<- prometheus.Metric) {
	s := f.w.Stats()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(n), labels...)
	}
	send(hooksByState, prometheus.GaugeValue, s.Working, "working")
	send(hooksByState, prometheus.GaugeValue, s.Failing, "failing")
	send(hooksByState, prometheus.GaugeValue, s.Paused, "paused")
	send(hooksByState, prometheus.GaugeValue, s.Stopped, "stopped")
	send(hooksBehind, prometheus.GaugeValue, s.Behind)
	send(hooksWaiting, prometheus.GaugeValue, s.Buffered)
	for outcome, n := range s.Posts {
		send(hookPosts, prometheus.CounterValue, n, string(outcome))
	}
	send(hookEvents, prometheus.CounterValue, s.Events)
}
