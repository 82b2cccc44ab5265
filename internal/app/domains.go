package app

import (
	"net/netip"

	"postern/internal/config"
	"postern/internal/portal"
	"postern/internal/reputation"
)

// openReputation makes the room that looks at senders' domains.
func (a *App) openReputation(c *config.Config) error {
	secret, err := linkSecret(c)
	if err != nil {
		return err
	}
	a.reputation, err = reputation.New(reputation.Options{Resolver: a.fresh, Accounts: a.accounts, Hostname: a.host, Returns: a.returning.domain,
		SPFInclude: c.Domains.SPFInclude, Reports: c.Domains.DMARCReports, Smarthost: c.Delivery.Smarthost.Host != "", Signs: c.DKIM.Sign, Secret: secret})
	return err
}

// Reputation returns the room that looks at senders' domains.
func (a *App) Reputation() *reputation.Advisor { return a.reputation }

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
