package app

import (
	"context"

	"postern/internal/aggregate"
	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/feedback"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
)

// openReports makes the room of what receivers report about senders' domains.
func (a *App) openReports(_ context.Context, c *config.Config) (err error) {
	own := map[mail.Domain]bool{}
	for _, d := range c.Reports.Domains {
		own[d] = true
	}
	a.reports, err = aggregate.New(aggregate.Options{DB: a.mainDB, Resolver: a.resolver, Keep: c.Reports.Keep, Logger: a.log, Unproven: aggregate.Unproven(c.Reports.Unauthenticated),
		Takes:   func(d mail.Domain) bool { return own[d] || a.owned(d) },
		Egress:  a.accounts.Addresses,
		Changed: a.reportChanged, Clear: a.alarms.Clear, Standing: a.alarmKeys,
		Raise: func(t aggregate.Trouble) {
			a.alarms.Raise(alarm.Alarm{Key: t.Key(), Severity: alarm.Warning, Code: t.Code, Args: t.Args, Since: t.Since})
		},
		Counted: a.metrics.events("postern_report_events_total", "Reports about domains: dmarc, tls and failure that were kept, unauthenticated (of them, those that nobody vouches for), duplicate, foreign (a domain of nobody here), unread, other.")})
	return err
}

// alarmKeys are the keys of the alarms that stand.
func (a *App) alarmKeys() (keys []string) {
	for _, x := range a.alarms.Raised() {
		keys = append(keys, x.Key)
	}
	return keys
}

// reportChanged writes down that reports tell of a trouble with a domain, or of its end: the domain's customer hears of it.
func (a *App) reportChanged(_ context.Context, t aggregate.Trouble, began bool) {
	f := journal.Fact{Kind: journal.ReportOver, Category: t.Code, Actor: "rule", Text: t.Domain + ": over"}
	if began {
		f.Kind, f.Text = journal.ReportAlarm, t.Domain+": "+a.metrics.catalog.Text(locale.English, "report.fact."+t.Code, locale.ArgsOf(t.Args))
	}
	if c, ok := a.accounts.Owner(mail.Domain(t.Domain)); ok {
		f.Customer = c.ID
	}
	a.journal.Post(f)
}

// owned reports whether some customer has a domain.
func (a *App) owned(d mail.Domain) bool {
	_, ok := a.accounts.Owner(d)
	return ok
}

// reportAddresses are those at the door that take reports about domains.
func reportAddresses(c *config.Config) (all []mail.Address) {
	for _, x := range []mail.Address{c.ReportAddress(), c.TLSReportAddress()} {
		if !x.IsNull() {
			all = append(all, x)
		}
	}
	return all
}

// tookReport writes a report down that came by mail.
func (a *App) tookReport(ctx context.Context, r feedback.Reported) error {
	return a.reports.Put(ctx, aggregate.Arrival{How: "mail", ClientIP: r.ClientIP, Hello: r.Hello, ReversePath: r.ReversePath, Raw: r.Message})
}

// Reports returns the room of what receivers report about senders' domains.
func (a *App) Reports() *aggregate.Ledger { return a.reports }
