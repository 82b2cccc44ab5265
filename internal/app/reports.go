package app

import (
	"context"
	"net/netip"

	"postern/internal/aggregate"
	"postern/internal/config"
	"postern/internal/mail"
)

// openReports makes the room of what receivers report about senders' domains.
func (a *App) openReports(_ context.Context, c *config.Config) (err error) {
	own := map[mail.Domain]bool{}
	for _, d := range c.Reports.Domains {
		own[d] = true
	}
	a.reports, err = aggregate.New(aggregate.Options{DB: a.mainDB, Resolver: a.resolver, Keep: c.Reports.Keep, Logger: a.log, Signed: a.signedBy,
		Takes: func(d mail.Domain) bool { return own[d] || a.owned(d) },
		Egress: func() (all []netip.Addr) {
			for _, p := range a.accounts.Pools() {
				for _, e := range p.Egress {
					if e.IP.IsValid() {
						all = append(all, e.IP)
					}
				}
			}
			return all
		},
		Counted: a.metrics.events("postern_report_events_total", "Reports about domains: dmarc, tls and failure that count, duplicate, foreign (a domain of nobody here), unread, other.")})
	return err
}

// owned reports whether some customer has a domain.
func (a *App) owned(d mail.Domain) bool {
	for _, c := range a.accounts.Customers() {
		if c.Below(d) {
			return true
		}
	}
	return false
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
func (a *App) tookReport(ctx context.Context, client netip.Addr, message []byte) error {
	return a.reports.Put(ctx, aggregate.Arrival{How: "mail", ClientIP: client, Raw: message})
}

// Reports returns the room of what receivers report about senders' domains.
func (a *App) Reports() *aggregate.Ledger { return a.reports }
