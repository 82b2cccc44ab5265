package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/config"
	"postern/internal/dns"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/tlspolicy"
)

// TLSCheck is what TLS mail for a domain must have now, by a configuration, without a gateway around it: for `postern tls`.
type TLSCheck struct {
	Domain     mail.Domain
	Signed     bool // the MX answer was authenticated by DNSSEC
	Exchangers []TLSExchanger
}

// TLSExchanger is the policy for one exchanger.
type TLSExchanger struct {
	Host       string
	Preference uint16
	Signed     bool // so were its addresses
	Policy     tlspolicy.Policy
	Addr       netip.Addr
}

// CheckTLS asks DNS and the domain's policy host. It keeps nothing, so that a policy which a gateway has kept is not known here.
func CheckTLS(ctx context.Context, c *config.Config, domain mail.Domain, log *slog.Logger) (TLSCheck, error) {
	o := dnsOptions(c, log)
	r, err := dns.New(o)
	if err != nil {
		return TLSCheck{}, err
	}
	book, err := tlspolicy.New(tlspolicy.Options{Resolver: r, Port: c.Delivery.Port, Tuning: tlsTuning(c), Logger: log})
	if err != nil {
		return TLSCheck{}, err
	}
	known, err := provider.Load(c.Delivery.Providers)
	if err != nil {
		return TLSCheck{}, err
	}
	mx := dns.MX(ctx, r, string(domain))
	out := TLSCheck{Domain: domain, Signed: mx.Authentic}
	hosts := mx.Records
	switch {
	case mx.Status == dns.TryLater:
		return out, fmt.Errorf("MX of %s: %w", domain, mx.Err)
	case mx.NXDomain:
		return out, fmt.Errorf("domain %s does not exist", domain)
	case mx.Status == dns.Nothing:
		hosts = []dns.Record{{Host: string(domain)}} // RFC 5321 5.1: the domain itself
	case len(hosts) == 1 && hosts[0].Host == "":
		return out, fmt.Errorf("domain %s takes no mail (null MX)", domain)
	}
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(a, b dns.Record) int {
		if a.Pref != b.Pref {
			return int(a.Pref) - int(b.Pref)
		}
		return strings.Compare(a.Host, b.Host)
	})
	names := make([]string, 0, len(hosts))
	for _, h := range hosts {
		names = append(names, h.Host)
	}
	limits := known.Behind(domain, names).Limits
	for _, h := range hosts {
		a := dns.Addrs(ctx, r, h.Host)
		q := tlspolicy.Question{Domain: domain, Exchanger: h.Host, Authentic: mx.Authentic, AddrSigned: a.Status == dns.Found && a.Authentic, Provider: limits.TLS}
		if a.Status == dns.Found {
			q.Addr = a.Records[0].IP
		}
		out.Exchangers = append(out.Exchangers, TLSExchanger{Host: h.Host, Preference: h.Pref, Signed: q.AddrSigned, Addr: q.Addr, Policy: book.For(ctx, q)})
	}
	return out, nil
}
