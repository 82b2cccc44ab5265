package dns_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
)

// TestAt asks a name server for what it holds: without recursion, at port 53 of its address, and the answer says whether it holds the zone.
func TestAt(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, `
example.org. 300 IN SOA ns1.example.org. host.master.example.org. 7 14400 3600 1209600 900
example.org. 300 IN NS ns1.example.org.
example.org. 300 IN DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
example.org. 300 IN SPF "v=spf1" " -all"
`)
	recursion := make(chan bool, 64)
	server.SetHook(func(_ string, q *mdns.Msg) dnstest.Reply {
		recursion <- q.RecursionDesired
		return dnstest.Reply{Pass: true}
	})
	dialled := make(chan string, 64)
	at, err := dns.At(netip.MustParseAddr("192.0.2.53"), dns.Options{Timeout: time.Second, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled <- addr
		return new(net.Dialer).DialContext(ctx, network, server.Addr())
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := at.Query(t.Context(), "Example.org", dns.TypeSOA)
	if a.Status != dns.Found || !a.Authoritative || a.Authentic {
		t.Fatalf("%+v", a)
	}
	want := dns.SOA{Mailbox: "host.master.example.org", Serial: 7, Refresh: 4 * time.Hour, Retry: time.Hour, Expire: 14 * 24 * time.Hour, Minimum: 15 * time.Minute}
	if r := a.Records[0]; r.Host != "ns1.example.org" || *r.SOA != want {
		t.Errorf("%+v %+v", r, r.SOA)
	}
	if <-recursion {
		t.Error("recursion is desired")
	}
	if got := <-dialled; got != "192.0.2.53:53" {
		t.Error(got)
	}
	if a := at.Query(t.Context(), "example.org", dns.TypeDS); a.Status != dns.Found || len(a.Records[0].Data) != 36 || a.Records[0].Data[0] != 48 || a.Records[0].Data[1] != 57 || a.Records[0].Data[2] != 13 || a.Records[0].Data[3] != 2 {
		t.Errorf("%+v", a)
	}
	if a := at.Query(t.Context(), "example.org", dns.TypeSPF); a.Status != dns.Found || a.Records[0].Text != "v=spf1 -all" {
		t.Errorf("%+v", a)
	}
	server.Fail("example.org", dnstest.Lame)
	if a := at.Query(t.Context(), "example.org", dns.TypeSOA); a.Status != dns.TryLater || !errors.Is(a.Err, dns.ErrLame) {
		t.Errorf("%+v", a)
	}
	if _, err := dns.At(netip.Addr{}, dns.Options{}); err == nil {
		t.Error("no server at all is a server")
	}
}
