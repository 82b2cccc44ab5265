package app

import (
	"net/netip"
	"testing"

	"postern/internal/config"
	"postern/internal/mail"
)

// TestProposedTLSReports: senders are told to publish the configured address, else one that is read here; where nobody reads, none of ours.
func TestProposedTLSReports(t *testing.T) {
	t.Parallel()
	door := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:25")}
	address := func(text string) mail.Address {
		a, err := mail.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, x := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"nothing configured":                {func(*config.Config) {}, ""},
		"reports.tls":                       {func(c *config.Config) { c.Reports.TLS = address("tls@reports.test") }, "tls@reports.test"},
		"reports.address":                   {func(c *config.Config) { c.Reports.Address = address("dmarc@reports.test") }, "tlsrpt@reports.test"},
		"a return domain that nobody hears": {func(c *config.Config) { c.Delivery.ReturnPath.Domain = "bounce.test" }, ""},
		"a return domain with a door": {func(c *config.Config) {
			c.Delivery.ReturnPath.Domain, c.Listen.Bounces = "bounce.test", door
		}, "tlsrpt@bounce.test"},
	} {
		c := &config.Config{}
		x.change(c)
		got := ""
		if a := proposedTLSReports(c); !a.IsNull() {
			got = a.String()
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
}
