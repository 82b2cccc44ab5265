package app

import (
	"context"
	"net/netip"

	"postern/internal/alarm"
	"postern/internal/api"
	"postern/internal/dns"
	"postern/internal/portal"
)

// settings is the configuration in force, for the operator's page.
func (a *App) settings() []portal.Setting {
	var all []portal.Setting
	for _, x := range a.config.Load().Settings() {
		all = append(all, portal.Setting(x))
	}
	return all
}

// apiNames is egressNames for programs.
func (a *App) apiNames(ctx context.Context, ip netip.Addr, hello string) api.EgressNames {
	return api.EgressNames(a.egressNames(ctx, ip, hello))
}

// egressNames asks the DNS about an address that mail leaves from, as receivers do.
func (a *App) egressNames(ctx context.Context, ip netip.Addr, hello string) (n portal.EgressNames) {
	names := dns.PTR(ctx, a.resolver, ip)
	leads := func(host string) bool {
		if host == "" {
			return false
		}
		x := dns.Addrs(ctx, a.resolver, host)
		n.Unknown = n.Unknown || x.Status == dns.TryLater
		for _, r := range x.Records {
			if r.IP == ip {
				return true
			}
		}
		return false
	}
	n.Unknown = names.Status == dns.TryLater
	for _, r := range names.Records {
		n.PTR = append(n.PTR, r.Host)
	}
	for _, host := range n.PTR[:min(len(n.PTR), 5)] {
		if n.Back = leads(host); n.Back {
			break
		}
	}
	n.Hello = leads(hello)
	return n
}

// Alarms returns the room that tells the operator.
func (a *App) Alarms() *alarm.Alarms { return a.alarms }
