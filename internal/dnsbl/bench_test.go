package dnsbl_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
)

// BenchmarkSweep is the bar of a hoster's night: 256 addresses on 61 lists of a server that knows 200 zones, through the house's resolver
// without cache. Among the 61 are slow ones (150 ms, 800 ms), truncated ones, one that is silent, one that refuses, one that fails, one that
// lists the world and one whose budget is below the number of addresses. Every free zone has its courtesy budget of 50 a second. One run must
// take less than 20 s.
func BenchmarkSweep(b *testing.B) {
	var zones strings.Builder
	for i := range 200 {
		fmt.Fprintf(&zones, "2.0.0.127.list%d.test. A 127.0.0.2\n", i)
		for j := 0; j < 256; j += 16 { // each list holds some
			fmt.Fprintf(&zones, "%d.100.51.198.list%d.test. A 127.0.0.2\n%d.100.51.198.list%d.test. TXT \"see https://list%d.test/\"\n", (j+i)%256, i, (j+i)%256, i, i)
		}
	}
	zones.WriteString("*.world.test. A 127.0.0.2\n*.refusing.test. A 127.255.255.254\n2.0.0.127.spent.test. A 127.0.0.2\n")
	s := dnstest.Start(b, zones.String())
	s.Fail("*.silent.test", dnstest.Timeout)
	s.Fail("*.failing.test", dnstest.ServFail)
	s.Fail("*.list1.test", dnstest.Truncate)
	s.Delay("*.list2.test", 150*time.Millisecond)
	s.Delay("*.list3.test", 800*time.Millisecond)
	r, err := dns.New(dns.Options{Servers: []string{s.Addr()}, CacheEntries: -1, Timeout: 2500 * time.Millisecond, Attempts: 2, Total: 5 * time.Second, Concurrency: 320})
	if err != nil {
		b.Fatal(err)
	}
	courtesy := dnsbl.Budget{PerDay: 100_000, PerSecond: 50}
	var lists []dnsbl.List
	for i := range 55 {
		lists = append(lists, plain(fmt.Sprintf("list%d.test", i)))
	}
	for _, zone := range []string{"world.test", "refusing.test", "silent.test", "failing.test", "spent.test", "empty.test"} {
		lists = append(lists, plain(zone))
	}
	for i := range lists {
		lists[i].Budget = courtesy
	}
	var targets []dnsbl.Target
	for i := range 256 {
		targets = append(targets, dnsbl.Target{IP: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})})
	}
	for b.Loop() {
		p := panel(b, dnsbl.PanelOptions{Resolver: r, Lists: lists, Budgets: map[string]dnsbl.Budget{"spent.test": {PerDay: 100}}})
		began, before := time.Now(), s.Total()
		if err := p.Examine(b.Context()); err != nil {
			b.Fatal(err)
		}
		examined := time.Since(began)
		states := map[dnsbl.State]int{}
		err := p.Sweep(b.Context(), targets, func(l dnsbl.Listing) { states[l.State]++ })
		took := time.Since(began)
		var short *dnsbl.Shortfall
		if !errors.As(err, &short) || len(short.Zones) != 4 {
			b.Fatalf("%v", err)
		}
		// 55 lists with 16 listings each; 4 zones of which most is not known; spent.test holds 100 less its test points.
		if states[dnsbl.Listed] != 55*16 || states[dnsbl.Unknown] < 4*256-100 || states[dnsbl.Listed]+states[dnsbl.Clean]+states[dnsbl.Unknown] != 59*256 {
			b.Errorf("%v", states)
		}
		if took > 20*time.Second {
			b.Errorf("took %v", took)
		}
		b.ReportMetric(examined.Seconds(), "examine-s")
		b.ReportMetric(took.Seconds(), "s/run")
		b.ReportMetric(float64(s.Total()-before)/took.Seconds(), "packets/s")
		b.ReportMetric(float64(states[dnsbl.Listed]), "listed")
		b.ReportMetric(float64(states[dnsbl.Clean]), "clean")
		b.ReportMetric(float64(states[dnsbl.Unknown]), "unknown")
	}
}
