package app

import (
	"log/slog"
	"net/netip"
	"slices"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/config"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
)

// CheckOptions is what NewCheck is told beside the configuration.
type CheckOptions struct {
	NoLists bool           // no blocklist is asked
	Inside  []netip.Prefix // networks that are not on the internet and may be connected to all the same
	Logger  *slog.Logger
}

// NewCheck makes the check-up of a configuration alone, without a gateway around it: for `postern check`. It opens no database, so it knows no signing
// keys and no customers. It asks nothing yet.
func NewCheck(c *config.Config, o CheckOptions) (*checkup.Checker, error) {
	r := dnsOptions(c, o.Logger)
	resolver, err := dns.New(r)
	if err != nil {
		return nil, err
	}
	var panel *dnsbl.Panel
	if !o.NoLists {
		if panel, err = newPanel(c, nil, o.Logger); err != nil {
			return nil, err
		}
	}
	host, err := hostname(c)
	if err != nil {
		host = "" // no server is connected to without a name to give; the rest can be looked at
	}
	options := checkup.CheckerOptions{Resolver: resolver, Panel: panel, Probes: checkup.Probes{Hostname: host, Inside: o.Inside}, Egress: checkupEgress(c.Delivery.AccountPools(), host),
		TLSReports: func(_ string, d mail.Domain) mail.Address {
			if slices.Contains(c.Reports.Domains, d) || slices.ContainsFunc(c.Customers, func(x config.Customer) bool { return slices.Contains(x.Domains, d) }) {
				return proposedTLSReports(c)
			}
			return mail.Address{}
		}}
	return checkup.NewChecker(options)
}

// checkupEgress are the addresses of pools with the names that they give in EHLO.
func checkupEgress(pools []account.Pool, host string) []checkup.EgressAddress {
	var out []checkup.EgressAddress
	for _, p := range pools {
		for _, e := range p.Egress {
			if !e.IP.IsValid() {
				continue
			}
			x := checkup.EgressAddress{IP: e.IP.Unmap(), HELO: e.HELO}
			if x.HELO == "" {
				x.HELO = host
			}
			out = append(out, x)
		}
	}
	return out
}
