package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
)

// TestDelegation asks the server of a parent zone, which is a name server and no resolver, who holds the zones below it.
func TestDelegation(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, `
test. 300 IN SOA a.nic.test. hostmaster.nic.test. 1 14400 3600 1209600 3600
test. 300 IN NS a.nic.test.
a.nic.test. 300 IN A 192.0.2.54
shop.test. 300 IN NS ns1.shop.test.
shop.test. 300 IN NS ns.other.test.
ns1.shop.test. 300 IN A 192.0.2.53
ns1.shop.test. 300 IN AAAA 2001:db8::53
stray.shop.test. 300 IN A 192.0.2.99
here.test. 300 IN SOA a.nic.test. hostmaster.nic.test. 1 14400 3600 1209600 3600
here.test. 300 IN NS a.nic.test.
plain.test. 300 IN TXT "no zone"
`)
	server.SetAuthority(true)
	at, err := dns.At(netip.MustParseAddr("192.0.2.54"), dns.Options{Timeout: 500 * time.Millisecond, Attempts: 1, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Addr())
	}})
	if err != nil {
		t.Fatal(err)
	}
	said := func(d dns.Delegation) string {
		var out []string
		for _, r := range d.Servers {
			out = append(out, r.Host)
		}
		for _, r := range d.Glue {
			out = append(out, r.Name+"="+r.IP.String())
		}
		return strings.Join(out, " ")
	}
	for _, tc := range []struct {
		zone   string
		mode   dnstest.Mode
		status dns.Status
		own    bool
		want   string
		err    error
	}{
		{zone: "Shop.test", status: dns.Found, want: "ns1.shop.test ns.other.test ns1.shop.test=192.0.2.53 ns1.shop.test=2001:db8::53"},
		{zone: "shop.test", mode: dnstest.Truncate, status: dns.Found, want: "ns1.shop.test ns.other.test ns1.shop.test=192.0.2.53 ns1.shop.test=2001:db8::53"},
		{zone: "here.test", status: dns.Found, own: true, want: "a.nic.test"},
		{zone: "plain.test", status: dns.Nothing},
		{zone: "gone.test", status: dns.Nothing},
		{zone: "shop.example", err: dns.ErrRefused},
		{zone: "shop.test", mode: dnstest.ServFail, err: dns.ErrServFail},
		{zone: "shop.test", mode: dnstest.Lame, err: dns.ErrLame},
		{zone: "shop.test", mode: dnstest.Timeout, err: dns.ErrTimeout},
		{zone: "shop.test", mode: dnstest.Malformed, err: dns.ErrMalformed},
		{zone: "not a name", err: dns.ErrName},
	} {
		server.Fail("shop.test", tc.mode)
		d := at.Delegation(t.Context(), tc.zone)
		if d.Status != tc.status || d.Own != tc.own || said(d) != tc.want || !errors.Is(d.Err, tc.err) {
			t.Errorf("%s, %v: %v own=%v %q %v", tc.zone, tc.mode, d.Status, d.Own, said(d), d.Err)
		}
	}
}
