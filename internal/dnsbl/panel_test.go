package dnsbl_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
)

// plain is a list of addresses that nobody runs.
func plain(zone string) dnsbl.List {
	return dnsbl.List{Name: zone, Zone: zone, Kinds: dnsbl.IP4, Access: dnsbl.Free, Evidence: dnsbl.Documented, Weight: 3, TestListed: "2.0.0.127",
		Codes: []dnsbl.Code{{Pattern: "127.0.0.2", Name: "listed", Meaning: dnsbl.Text{EN: "listed", FR: "inscrit"}}}}
}

func panel(t testing.TB, o dnsbl.PanelOptions) *dnsbl.Panel {
	t.Helper()
	p, err := dnsbl.NewPanel(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func state(t testing.TB, p *dnsbl.Panel, zone string) dnsbl.ZoneState {
	t.Helper()
	for _, z := range p.Zones() {
		if z.List.Zone == zone {
			return z
		}
	}
	t.Fatalf("no zone %s", zone)
	return dnsbl.ZoneState{}
}

func addresses(n int) []dnsbl.Target {
	var out []dnsbl.Target
	for i := range n {
		out = append(out, dnsbl.Target{IP: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})})
	}
	return out
}

// TestStates: one zone for each way to answer; what a panel says of a target that is listed and of one that is not.
func TestStates(t *testing.T) {
	t.Parallel()
	zone := ""
	for _, z := range []string{"good", "bits", "slow", "trunc", "odd", "mixed"} {
		zone += fmt.Sprintf("2.0.0.127.%s.test. A 127.0.0.2\n", z)
	}
	s := dnstest.Start(t, zone+`
7.100.51.198.good.test. A 127.0.0.2
7.100.51.198.good.test. TXT "see https://good.test/?ip=198.51.100.7"
7.100.51.198.bits.test. A 127.0.0.10
7.100.51.198.slow.test. A 127.0.0.2
7.100.51.198.trunc.test. A 127.0.0.2
7.100.51.198.odd.test. A 127.0.0.77
7.100.51.198.outside.test. A 146.112.61.108
7.100.51.198.mixed.test. A 127.0.0.2
7.100.51.198.mixed.test. A 10.0.0.1
*.wild.test. A 127.0.0.2
www.unproven.test. A 192.0.2.80
*.refusing.test. A 127.255.255.254
*.refusing.test. TXT "Error: open resolver; https://www.spamhaus.org/returnc/pub/192.0.2.53/"
7.100.51.198.secret.keyed.test. A 127.0.0.2
2.0.0.127.secret.keyed.test. A 127.0.0.2
`)
	s.Fail("*.refused.test", dnstest.Refused)
	s.Fail("*.servfail.test", dnstest.ServFail)
	s.Fail("*.silent.test", dnstest.Timeout)
	s.Fail("*.lame.test", dnstest.Lame)
	s.Fail("*.trunc.test", dnstest.Truncate)
	s.Delay("*.slow.test", 80*time.Millisecond)

	bits := plain("bits.test")
	bits.Codes = []dnsbl.Code{{Pattern: "127.0.0.*", Bit: 2, Name: "two"}, {Pattern: "127.0.0.*", Bit: 4, Name: "four"}, {Pattern: "127.0.0.*", Bit: 8, Name: "eight"}}
	keyed := plain("<key>.keyed.test")
	keyed.Access = dnsbl.Key
	withKey, err := keyed.WithKey("secret")
	if err != nil {
		t.Fatal(err)
	}
	unproven, outside, unregistered := plain("unproven.test"), plain("outside.test"), plain("unregistered.test")
	unproven.Evidence, unproven.TestListed, outside.TestListed, unregistered.Access = dnsbl.Hearsay, "", "", dnsbl.Registration
	gone := plain("gone.test")
	gone.TestListed = ""
	other := plain("<key>.other.test")
	other.Access = dnsbl.Key
	rcode := plain("refused.test")
	rcode.RefusesRcode = true
	lists := []dnsbl.List{plain("good.test"), bits, plain("slow.test"), plain("trunc.test"), plain("odd.test"), plain("mixed.test"), outside, plain("wild.test"),
		plain("empty.test"), plain("refusing.test"), rcode, plain("servfail.test"), plain("silent.test"), plain("lame.test"), withKey, gone, unproven, unregistered, other}
	p := panel(t, dnsbl.PanelOptions{Resolver: s.Resolver(t), Lists: lists, Timeout: 2 * time.Second})
	if err := p.Examine(t.Context()); err != nil {
		t.Fatal(err)
	}
	answers := map[string]map[string]dnsbl.Listing{} // by zone and address
	examined := map[string]dnsbl.ZoneState{}
	for _, z := range p.Zones() {
		examined[z.List.Zone], answers[z.List.Zone] = z, map[string]dnsbl.Listing{}
	}
	for _, ip := range []string{"198.51.100.7", "198.51.100.8"} {
		told := 0
		all := p.Check(t.Context(), dnsbl.Target{IP: netip.MustParseAddr(ip)}, func(dnsbl.Listing) { told++ })
		if len(all) != len(lists) || told != len(all) {
			t.Fatalf("%d answers, %d told, of %d lists", len(all), told, len(lists))
		}
		for i, l := range all {
			if l.List.Zone != lists[i].Zone || l.Target != ip {
				t.Fatalf("answer %d is of %s about %s, not of %s", i, l.List.Zone, l.Target, lists[i].Zone)
			}
			answers[l.List.Zone][ip] = l
		}
	}
	for _, tc := range []struct {
		zone          string
		listed, clean dnsbl.State // of the address that is listed where it can be, and of another
		why           error
		codes         string
	}{
		{"good.test", dnsbl.Listed, dnsbl.Clean, nil, "listed"},
		{"bits.test", dnsbl.Listed, dnsbl.Clean, nil, "two eight"},
		{"slow.test", dnsbl.Listed, dnsbl.Clean, nil, "listed"},
		{"trunc.test", dnsbl.Listed, dnsbl.Clean, nil, "listed"},
		{"odd.test", dnsbl.Unknown, dnsbl.Clean, nil, ""},
		{"mixed.test", dnsbl.Unknown, dnsbl.Clean, nil, ""},
		{"outside.test", dnsbl.Unknown, dnsbl.Clean, nil, ""},
		{"wild.test", dnsbl.Disabled, dnsbl.Disabled, dnsbl.ErrWildcard, ""},
		{"empty.test", dnsbl.Disabled, dnsbl.Disabled, dnsbl.ErrEmpty, ""},
		{"refusing.test", dnsbl.Unknown, dnsbl.Unknown, dnsbl.ErrRefused, ""},
		{"refused.test", dnsbl.Unknown, dnsbl.Unknown, dnsbl.ErrRefused, ""},
		{"servfail.test", dnsbl.Unknown, dnsbl.Unknown, nil, ""},
		{"silent.test", dnsbl.Unknown, dnsbl.Unknown, nil, ""},
		{"lame.test", dnsbl.Unknown, dnsbl.Unknown, nil, ""},
		{"<key>.keyed.test", dnsbl.Listed, dnsbl.Clean, nil, "listed"},
		{"gone.test", dnsbl.Disabled, dnsbl.Disabled, dnsbl.ErrGone, ""},
		{"unproven.test", dnsbl.Disabled, dnsbl.Disabled, dnsbl.ErrUnproven, ""},
		{"unregistered.test", dnsbl.Disabled, dnsbl.Disabled, dnsbl.ErrRegistration, ""},
		{"<key>.other.test", dnsbl.Disabled, dnsbl.Disabled, dnsbl.ErrKey, ""},
	} {
		if got := examined[tc.zone]; got.Usable != (tc.why == nil) || !errors.Is(got.Why, tc.why) {
			t.Errorf("%s: usable %v, %v; want %v", tc.zone, got.Usable, got.Why, tc.why)
		}
		for ip, want := range map[string]dnsbl.State{"198.51.100.7": tc.listed, "198.51.100.8": tc.clean} {
			l := answers[tc.zone][ip]
			var names []string
			for _, c := range l.Matched {
				names = append(names, c.Name)
			}
			if l.State != want || want == dnsbl.Listed && strings.Join(names, " ") != tc.codes {
				t.Errorf("%s at %s: %s %v %v, want %s", ip, tc.zone, l.State, names, l.Err, want)
			}
			if (l.Err == nil) != (want == dnsbl.Listed || want == dnsbl.Clean) {
				t.Errorf("%s at %s: %s with %v", ip, tc.zone, l.State, l.Err)
			}
			if strings.Contains(fmt.Sprintf("%+v %v", l, l.Err), "secret") {
				t.Errorf("the key shows: %+v", l)
			}
		}
	}
	refusals := p.Refusals()
	if len(refusals) != 2 || refusals[1].Resolver.String() != "192.0.2.53" || refusals[1].Code.String() != "127.255.255.254" || refusals[0].Code.IsValid() {
		t.Errorf("refusals: %+v", refusals)
	}
}

// TestSilentZone: a zone that does not answer rests after a few questions, and the others are not slower for it.
func TestSilentZone(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, "*.100.51.198.good.test. A 127.0.0.2\n2.0.0.127.good.test. A 127.0.0.2")
	s.Fail("*.silent.test", dnstest.Timeout)
	p := panel(t, dnsbl.PanelOptions{Resolver: s.Resolver(t), Lists: []dnsbl.List{plain("silent.test"), plain("good.test")}, Timeout: 300 * time.Millisecond})
	got := map[string]map[dnsbl.State]int{"silent.test": {}, "good.test": {}}
	err := p.Sweep(t.Context(), addresses(200), func(l dnsbl.Listing) { got[l.List.Zone][l.State]++ })
	var short *dnsbl.Shortfall
	if !errors.As(err, &short) || !errors.Is(err, dnsbl.ErrResting) || short.NotAsked < 150 || short.Zones["silent.test"].Targets != short.NotAsked {
		t.Errorf("%v %+v", err, short)
	}
	if got["good.test"][dnsbl.Listed] != 200 || got["silent.test"][dnsbl.Unknown] != 200 {
		t.Errorf("%v", got)
	}
}
