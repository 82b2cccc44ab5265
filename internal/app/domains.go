package app

import (
	"context"
	"net/netip"
	"slices"

	"postern/internal/checkup"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/portal"
)

// openAdvisor makes the room that looks at senders' domains.
func (a *App) openAdvisor(c *config.Config) error {
	secret, err := linkSecret(c)
	if err != nil {
		return err
	}
	a.advisor, err = checkup.New(checkup.Options{Resolver: a.fresh, Accounts: a.accounts, Hostname: a.host, Returns: a.returning.domain,
		SPFInclude: c.Domains.SPFInclude, Reports: proposedReports(c), TLSReports: proposedTLSReports(c), Smarthost: c.Delivery.Smarthost.Host != "", Signs: c.DKIM.Sign, Secret: secret})
	return err
}

// proposedReports is the address for DMARC reports that senders are told to publish: the configured one, else the one that we read ourselves.
func proposedReports(c *config.Config) mail.Address {
	if !c.Domains.DMARCReports.IsNull() || !takesReports(c) {
		return c.Domains.DMARCReports
	}
	return c.ReportAddress()
}

// proposedTLSReports is the address for TLS reports that senders are told to publish: the configured one, else the one that we read ourselves.
func proposedTLSReports(c *config.Config) mail.Address {
	if !c.Reports.TLS.IsNull() || !c.Reports.Address.IsNull() || takesReports(c) {
		return c.TLSReportAddress()
	}
	return mail.Address{}
}

// takesReports reports whether a listener takes what comes back, and reports among it.
func takesReports(c *config.Config) bool {
	return len(c.Listen.Bounces) > 0 || c.Delivery.ReturnPath.AtRelay && len(c.Listen.Relay.Address) > 0
}

// openChecker makes what looks at anything from outside.
func (a *App) openChecker(c *config.Config) (err error) {
	to := proposedTLSReports(c)
	reports := func(customer string, d mail.Domain) mail.Address {
		if x, ok := a.accounts.Customer(customer); ok && a.accounts.OwnsDomain(x, d) || customer == "" && (slices.Contains(c.Reports.Domains, d) || a.owned(d)) {
			return to
		}
		return mail.Address{} // reports about it would not be kept
	}
	o := checkup.CheckerOptions{Resolver: a.fresh, Panel: a.panel, Probes: checkup.Probes{Hostname: a.host}, Egress: checkupEgress(a.accounts.Pools(), a.host), Selectors: a.selectors, TLSReports: reports}
	if a.checker, err = checkup.NewChecker(o); err != nil || !c.Checkup.Public {
		return err
	}
	// Strangers learn nothing of what the gateway knows, and have no mail server connected to: that wants a name to give.
	a.publicChecker, err = checkup.NewChecker(checkup.CheckerOptions{Resolver: a.fresh, Panel: a.panel})
	return err
}

// mostReported bounds the selectors that a check-up takes from what receivers reported.
const mostReported = 8

// selectors are those of the keys that the gateway has for a domain, and those that receivers reported; for a customer only those of his own domains, for nobody learns
// whose mail goes through here.
func (a *App) selectors(ctx context.Context, customer string, d mail.Domain) []string {
	if customer != "" {
		if c, ok := a.accounts.Customer(customer); !ok || !a.accounts.OwnsDomain(c, d) {
			return nil
		}
	}
	var out []string
	for _, k := range a.accounts.SigningKeys(d) {
		out = append(out, k.Selector)
	}
	if a.reports == nil {
		return out
	}
	seen, err := a.reports.Selectors(ctx, d, mostReported)
	if err != nil {
		a.log.Error("selectors not read", "domain", d, "error", err)
	}
	return append(out, seen...)
}

// Checker returns what looks at anything from outside.
func (a *App) Checker() *checkup.Checker { return a.checker }

// Advisor returns the room that looks at senders' domains.
func (a *App) Advisor() *checkup.Advisor { return a.advisor }

// ways are the doors that senders are told of.
func (a *App) ways(c *config.Config) portal.Ways {
	port := func(door string) int {
		ap, err := netip.ParseAddrPort(a.Addresses(door))
		if err != nil {
			return 0
		}
		return int(ap.Port())
	}
	return portal.Ways{Submission: port("submission"), Submissions: port("submissions"), Relay: port("relay"), SelfService: c.Domains.SelfService}
}
