package dnsbl_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
)

func list(t testing.TB, zone string) *dnsbl.List {
	t.Helper()
	l, ok := dnsbl.Find(zone)
	if !ok {
		t.Fatalf("no list %s", zone)
	}
	return &l
}

// TestCodes: every answer of the zones that the filter asks by default, and the near misses beside them.
func TestCodes(t *testing.T) {
	t.Parallel()
	const table = `
zen.spamhaus.org,127.0.0.2,listed,SBL
zen.spamhaus.org,127.0.0.3,listed,CSS
zen.spamhaus.org,127.0.0.4,listed,XBL
zen.spamhaus.org,127.0.0.7,listed,XBL
zen.spamhaus.org,127.0.0.9,listed,DROP
zen.spamhaus.org,127.0.0.10,listed,PBL
zen.spamhaus.org,127.0.0.11,listed,PBL
zen.spamhaus.org,127.0.0.2 127.0.0.9 127.0.0.11,listed,SBL DROP PBL
zen.spamhaus.org,127.0.0.2 127.0.0.99,listed,SBL
zen.spamhaus.org,127.0.0.1,unknown,
zen.spamhaus.org,127.0.0.8,unknown,
zen.spamhaus.org,127.0.0.12,unknown,
zen.spamhaus.org,127.0.1.2,unknown,
zen.spamhaus.org,127.255.255.252,refused,typo
zen.spamhaus.org,127.255.255.254,refused,public
zen.spamhaus.org,127.255.255.255,refused,excess
zen.spamhaus.org,127.255.255.2,refused,refused
zen.spamhaus.org,127.0.0.2 127.255.255.254,refused,public
zen.spamhaus.org,127.0.0.2 146.112.61.108,unknown,
zen.spamhaus.org,192.0.2.1,unknown,
zen.spamhaus.org,126.0.0.2,unknown,
zen.spamhaus.org,,clean,
dbl.spamhaus.org,127.0.1.2,listed,spam
dbl.spamhaus.org,127.0.1.4,listed,phish
dbl.spamhaus.org,127.0.1.5,listed,malware
dbl.spamhaus.org,127.0.1.6,listed,botnet
dbl.spamhaus.org,127.0.1.102,listed,abused-spam
dbl.spamhaus.org,127.0.1.106,listed,abused-botnet
dbl.spamhaus.org,127.0.1.255,unknown,
dbl.spamhaus.org,127.0.1.3,unknown,
dbl.spamhaus.org,127.0.0.2,unknown,
dbl.spamhaus.org,127.255.255.254,refused,public
dbl.spamhaus.org,,clean,
multi.surbl.org,127.0.0.4,listed,DM
multi.surbl.org,127.0.0.8,listed,PH
multi.surbl.org,127.0.0.80,listed,MW ABUSE
multi.surbl.org,127.0.0.252,listed,DM PH MW CT ABUSE CR
multi.surbl.org,127.0.0.66,listed,ABUSE
multi.surbl.org,127.0.0.2,unknown,
multi.surbl.org,127.0.0.1,refused,blocked
multi.surbl.org,127.0.0.65,refused,blocked
multi.surbl.org,127.0.1.64,unknown,
multi.surbl.org,,clean,
multi.uribl.com,127.0.0.2,listed,black
multi.uribl.com,127.0.0.4,listed,grey
multi.uribl.com,127.0.0.8,listed,red
multi.uribl.com,127.0.0.14,listed,black grey red
multi.uribl.com,127.0.0.1,refused,blocked
multi.uribl.com,127.0.0.3,refused,blocked
multi.uribl.com,127.0.0.255,refused,blocked
multi.uribl.com,127.0.0.16,unknown,
multi.uribl.com,,clean,
bl.spamcop.net,127.0.0.2,listed,listed
bl.spamcop.net,127.0.0.3,unknown,
bl.spamcop.net,127.0.0.1,unknown,
bl.spamcop.net,,clean,
psbl.surriel.com,127.0.0.2,listed,listed
psbl.surriel.com,127.0.0.20,unknown,
psbl.surriel.com,,clean,
bl.mailspike.net,127.0.0.2,listed,zero-hour
bl.mailspike.net,127.0.0.10,listed,L5
bl.mailspike.net,127.0.0.13,listed,L2
bl.mailspike.net,127.0.0.14,unknown,
bl.mailspike.net,127.0.0.20,unknown,
bl.mailspike.net,,clean,
list.dnswl.org,127.0.5.0,listed,none
list.dnswl.org,127.0.5.1,listed,low
list.dnswl.org,127.0.9.2,listed,medium
list.dnswl.org,127.0.15.3,listed,high
list.dnswl.org,127.0.5.4,unknown,
list.dnswl.org,127.1.5.1,unknown,
list.dnswl.org,127.0.0.255,refused,blocked
list.dnswl.org,127.0.7.255,refused,blocked
list.dnswl.org,127.0.10.1,refused,blocked
list.dnswl.org,,clean,
rep.mailspike.net,127.0.0.10,clean,bad
rep.mailspike.net,127.0.0.21,unknown,
hostkarma.junkemailfilter.com,127.0.0.1,clean,white
hostkarma.junkemailfilter.com,127.0.0.2,listed,black
dnsbl.spfbl.net,127.0.0.2,listed,spam
dnsbl.spfbl.net,127.0.0.3,clean,suspicious
rbl.efnetrbl.org,127.0.0.1,listed,listed
dyna.spamrats.com,127.0.0.36,listed,dyna
dyna.spamrats.com,127.0.0.37,unknown,
fresh.spameatingmonkey.net,127.0.0.2,clean,fresh
bl.score.senderscore.com,127.0.0.1,listed,botnet
bl.score.senderscore.com,127.255.255.255,refused,refused
score.senderscore.com,127.0.4.99,clean,score
score.senderscore.com,127.0.4.127,refused,excess
`
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := dnstest.Start(t, "")
	r := s.Resolver(t)
	seen := map[string]bool{}
	for _, row := range rows {
		zone, answers, want, names := row[0], row[1], row[2], row[3]
		t.Run(zone+" "+answers, func(t *testing.T) {
			l := list(t, zone)
			l.Registered = true
			seen[zone] = true
			check, target := domainCheck, "bad.example"
			if l.Kinds&dnsbl.IP4 != 0 {
				check, target = ipCheck, "2.2.0.192"
			}
			text := ""
			for _, a := range strings.Fields(answers) {
				text += fmt.Sprintf("%s.%s. A %s\n%s.%s. TXT \"see https://list.example/?q=1\"\n", target, zone, a, target, zone)
			}
			if err := s.Set(text); err != nil {
				t.Fatal(err)
			}
			got := check(t.Context(), r, l)
			state, refused := dnsbl.State(want), false
			if want == "refused" {
				state, refused = dnsbl.Unknown, true
			}
			var matched []string
			for _, c := range got.Matched {
				matched = append(matched, c.Name)
			}
			if got.State != state || got.Refused != refused || strings.Join(matched, " ") != names || len(got.Codes) != len(strings.Fields(answers)) {
				t.Fatalf("got %+v", got)
			}
			if (got.Err != nil) != (state == dnsbl.Unknown) || refused != errors.Is(got.Err, dnsbl.ErrRefused) {
				t.Errorf("error: %v", got.Err)
			}
			if (got.Reason != "") != (state == dnsbl.Listed || refused) {
				t.Errorf("reason: %q", got.Reason)
			}
		})
	}
	for _, l := range dnsbl.Directory() {
		if l.Default && !seen[l.Zone] {
			t.Errorf("%s is asked by default and has no row", l.Zone)
		}
	}
}

func ipCheck(ctx context.Context, r dns.Resolver, l *dnsbl.List) dnsbl.Listing {
	return dnsbl.CheckIP(ctx, r, l, netip.MustParseAddr("192.0.2.2"))
}

func domainCheck(ctx context.Context, r dns.Resolver, l *dnsbl.List) dnsbl.Listing {
	return dnsbl.CheckDomain(ctx, r, l, "bad.example")
}

// TestTrouble: whatever the DNS does, the state is unknown.
func TestTrouble(t *testing.T) {
	t.Parallel()
	for _, mode := range []dnstest.Mode{dnstest.ServFail, dnstest.Refused, dnstest.Timeout, dnstest.Malformed, dnstest.WrongID, dnstest.Lame,
		dnstest.Bogus, dnstest.FormErr, dnstest.TruncateAlways, dnstest.Filtered} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t, "2.2.0.192.zen.spamhaus.org. A 127.0.0.2")
			s.Fail("*", mode)
			for _, ip := range []string{"192.0.2.2", "192.0.2.3"} {
				got := dnsbl.CheckIP(t.Context(), s.Resolver(t), list(t, "zen.spamhaus.org"), netip.MustParseAddr(ip))
				if got.State != dnsbl.Unknown || got.Err == nil || got.Refused {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

// TestNames: what is asked for which target.
func TestNames(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, "")
	r := s.Resolver(t)
	for _, tc := range []struct{ zone, target, asked string }{
		{"zen.spamhaus.org", "192.0.2.99", "99.2.0.192.zen.spamhaus.org"},
		{"zen.spamhaus.org", "::ffff:192.0.2.99", "99.2.0.192.zen.spamhaus.org"},
		{"zen.spamhaus.org", "2001:db8:1:2:3:4:567:89ab", "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org"},
		{"bl.spamcop.net", "2001:db8::1", ""},
		{"bl.ipv6.spameatingmonkey.net", "192.0.2.1", ""},
		{"multi.surbl.org", "www.Shop.Example.CO.UK.", "example.co.uk.multi.surbl.org"},
		{"multi.surbl.org", "[192.0.2.7]", "7.2.0.192.multi.surbl.org"},
		{"multi.surbl.org", "192.0.2.7", "7.2.0.192.multi.surbl.org"},
		{"multi.surbl.org", "[IPv6:2001:db8::1]", ""},
		{"dbl.spamhaus.org", "mail.example.com", "example.com.dbl.spamhaus.org"},
		{"dbl.spamhaus.org", "someone.github.io", "someone.github.io.dbl.spamhaus.org"},
		{"dbl.spamhaus.org", "co.uk", "co.uk.dbl.spamhaus.org"},
		{"dbl.spamhaus.org", "192.0.2.7", ""},
		{"dbl.spamhaus.org", "[192.0.2.7]", ""},
		{"dbl.spamhaus.org", "192.0.2.7.", ""},
		{"dbl.spamhaus.org", "1.2.3.256", ""},
		{"dbl.spamhaus.org", "2001:db8::1", ""},
		{"dbl.spamhaus.org", "localhost", ""},
		{"dbl.spamhaus.org", "", ""},
		{"dbl.spamhaus.org", "a b.example", ""},
		{"dwl.dnswl.org", "news.example.com", "news.example.com.dwl.dnswl.org"},
		{"ebl.msbl.org", "example.com", ""},
		{"bl.spamcop.net", "example.com", ""},
	} {
		t.Run(tc.zone+" "+tc.target, func(t *testing.T) {
			before := s.Total()
			l := list(t, tc.zone)
			var got dnsbl.Listing
			if ip, err := netip.ParseAddr(tc.target); err == nil && l.Kinds&(dnsbl.IP4|dnsbl.IP6) != 0 {
				got = dnsbl.CheckIP(t.Context(), r, l, ip)
			} else {
				got = dnsbl.CheckDomain(t.Context(), r, l, tc.target)
			}
			if tc.asked == "" {
				if got.State != dnsbl.Disabled || !errors.Is(got.Err, dnsbl.ErrTarget) || s.Total() != before {
					t.Errorf("%+v after %d questions", got, s.Total()-before)
				}
				return
			}
			if got.State != dnsbl.Clean || s.CountType(tc.asked, dns.TypeA) == 0 || s.Total() != before+1 {
				t.Errorf("%+v, not asked %s", got, tc.asked)
			}
		})
	}
	if got := dnsbl.CheckIP(t.Context(), r, list(t, "zen.spamhaus.org"), netip.Addr{}); got.State != dnsbl.Disabled {
		t.Errorf("zero address: %+v", got)
	}
	long := strings.Repeat("a23456789.", 24) + "example.com"
	if got := dnsbl.CheckDomain(t.Context(), r, list(t, "dwl.dnswl.org"), long); got.State == dnsbl.Clean || got.State == dnsbl.Listed {
		t.Errorf("a name too long to ask: %+v", got)
	}
}

func TestDisabled(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, "2.2.0.192.k-1.combined.mail.abusix.zone. A 127.0.0.4\n2.2.0.192.b.barracudacentral.org. A 127.0.0.2")
	r := s.Resolver(t)
	ip := netip.MustParseAddr("192.0.2.2")
	keyed := list(t, "<key>.combined.mail.abusix.zone")
	if got := dnsbl.CheckIP(t.Context(), r, keyed, ip); got.State != dnsbl.Disabled || !errors.Is(got.Err, dnsbl.ErrKey) {
		t.Errorf("without key: %+v", got)
	}
	withKey, err := keyed.WithKey("K-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := dnsbl.CheckIP(t.Context(), r, &withKey, ip); got.State != dnsbl.Listed || got.Matched[0].Name != "exploit" {
		t.Errorf("with key: %+v", got)
	}
	for _, key := range []string{"", "a.b", "é", "a b", strings.Repeat("k", 64)} {
		if _, err := keyed.WithKey(key); err == nil {
			t.Errorf("took the key %q", key)
		}
	}
	if _, err := list(t, "zen.spamhaus.org").WithKey("k"); err == nil {
		t.Error("took a key for a zone without")
	}
	brbl := list(t, "b.barracudacentral.org")
	if got := dnsbl.CheckIP(t.Context(), r, brbl, ip); got.State != dnsbl.Disabled || !errors.Is(got.Err, dnsbl.ErrRegistration) {
		t.Errorf("unregistered: %+v", got)
	}
	brbl.Registered = true
	if got := dnsbl.CheckIP(t.Context(), r, brbl, ip); got.State != dnsbl.Listed {
		t.Errorf("registered: %+v", got)
	}
	for _, zone := range []string{"dnsbl.sorbs.net", "sorbs.net", "x.new.spam.DNSBL.sorbs.net.", "ix.dnsbl.manitu.net", "bl.spamcannibal.org", "spamtrap.drbl.drand.net",
		"cbl.abuseat.org"} {
		l := &dnsbl.List{Zone: zone, Kinds: dnsbl.IP4}
		if got := dnsbl.CheckIP(t.Context(), r, l, ip); got.State != dnsbl.Disabled || !errors.Is(got.Err, dnsbl.ErrDead) {
			t.Errorf("%s: %+v", zone, got)
		}
	}
	for _, zone := range []string{"zen.spamhaus.org", "notsorbs.net", "abuse.ch"} {
		if why, dead := dnsbl.Dead(zone); dead {
			t.Errorf("%s is dead: %s", zone, why)
		}
	}
}

// TestAgainst: a dynamic address is a fault of ours only.
func TestAgainst(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, "2.2.0.192.zen.spamhaus.org. A 127.0.0.10\n3.2.0.192.zen.spamhaus.org. A 127.0.0.10\n3.2.0.192.zen.spamhaus.org. A 127.0.0.3")
	for ip, want := range map[string][2]int{"192.0.2.2": {0, 1}, "192.0.2.3": {1, 2}, "192.0.2.4": {0, 0}} {
		got := dnsbl.CheckIP(t.Context(), s.Resolver(t), list(t, "zen.spamhaus.org"), netip.MustParseAddr(ip))
		if len(got.Against(false)) != want[0] || len(got.Against(true)) != want[1] {
			t.Errorf("%s: %+v", ip, got)
		}
	}
}

// TestReason: the text is from outside: bounded, one line, printable.
func TestReason(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, `2.2.0.192.bl.spamcop.net. A 127.0.0.2
2.2.0.192.bl.spamcop.net. TXT "Blocked\010\013 \027[31msee\009  https://x.example/?a=\"1\" \226\128\174evil\255"
3.2.0.192.bl.spamcop.net. A 127.0.0.2
3.2.0.192.bl.spamcop.net. TXT "`+strings.Repeat(`\195\169`, 120)+`" "`+strings.Repeat(`\195\169`, 120)+`"
4.2.0.192.bl.spamcop.net. A 127.0.0.2
5.2.0.192.bl.spamcop.net. A 127.0.0.2
5.2.0.192.bl.spamcop.net. TXT "one"
5.2.0.192.bl.spamcop.net. TXT "two"`)
	s.FailType("4.2.0.192.bl.spamcop.net", dns.TypeTXT, dnstest.ServFail)
	for ip, want := range map[string]string{
		"192.0.2.2": "Blocked [31msee https://x.example/?a=\"1\" evil\uFFFD",
		"192.0.2.3": strings.Repeat("é", 200),
		"192.0.2.4": "",
		"192.0.2.5": "one | two",
	} {
		got := dnsbl.CheckIP(t.Context(), s.Resolver(t), list(t, "bl.spamcop.net"), netip.MustParseAddr(ip))
		if got.State != dnsbl.Listed || got.Reason != want || !utf8.ValidString(got.Reason) {
			t.Errorf("%s: %q, want %q", ip, got.Reason, want)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, `*.multi.uribl.com. A 127.0.0.1
*.multi.uribl.com. TXT "127.0.0.1 -> Query Refused. See http://uribl.com/refused.shtml for more information [Your DNS IP: 192.0.2.53]"`)
	r := s.Resolver(t)
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	tick := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	g := dnsbl.NewGuard(func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	})
	l := list(t, "multi.uribl.com")
	check := func() dnsbl.Listing { return g.CheckDomain(t.Context(), r, l, "example.com") }

	start := now
	if got := check(); got.State != dnsbl.Unknown || !got.Refused || !errors.Is(got.Err, dnsbl.ErrRefused) {
		t.Fatalf("%+v", got)
	}
	asked := s.Total()
	tick(dnsbl.RefusalPause - time.Second)
	if got := check(); got.State != dnsbl.Unknown || !got.Refused || !errors.Is(got.Err, dnsbl.ErrPaused) || s.Total() != asked {
		t.Errorf("in the pause: %+v, %d questions", got, s.Total()-asked)
	}
	// Another zone is not concerned.
	if got := g.CheckDomain(t.Context(), r, list(t, "multi.surbl.org"), "example.com"); got.State != dnsbl.Clean {
		t.Errorf("another zone: %+v", got)
	}
	tick(2 * time.Second)
	if got := check(); !errors.Is(got.Err, dnsbl.ErrRefused) || s.Total() == asked {
		t.Errorf("after the pause: %+v", got)
	}
	refusals := g.Refusals()
	if len(refusals) != 1 || refusals[0].Zone != "multi.uribl.com" || !refusals[0].Since.Equal(start) || refusals[0].Code.String() != "127.0.0.1" ||
		!strings.Contains(refusals[0].Text, "192.0.2.53") {
		t.Errorf("%+v", refusals)
	}
	// Trouble of the DNS is no true answer; a denial is.
	tick(dnsbl.RefusalPause)
	s.Fail("*", dnstest.ServFail)
	if got := check(); got.State != dnsbl.Unknown || got.Refused || len(g.Refusals()) != 1 {
		t.Errorf("SERVFAIL: %+v", got)
	}
	s.Fail("*", dnstest.NXDomain)
	if got := check(); got.State != dnsbl.Clean || len(g.Refusals()) != 0 {
		t.Errorf("mended: %+v, %+v", got, g.Refusals())
	}
	if got := g.CheckIP(t.Context(), r, list(t, "zen.spamhaus.org"), netip.MustParseAddr("192.0.2.1")); got.State != dnsbl.Clean {
		t.Errorf("%+v", got)
	}
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	const six = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	for _, tc := range []struct {
		name, zone, data string
		mode             dnstest.Mode
		want             error
	}{
		{"as it must be", "zen.spamhaus.org", "2.0.0.127.zen.spamhaus.org. A 127.0.0.2", 0, nil},
		{"own code for the test point", "dnsbl.dronebl.org", "2.0.0.127.dnsbl.dronebl.org. A 127.0.0.1", 0, nil},
		{"emptied", "bl.spamcop.net", "", 0, dnsbl.ErrUnhealthy},
		{"lists the world", "psbl.surriel.com", "*.psbl.surriel.com. A 127.0.0.2", 0, dnsbl.ErrUnhealthy},
		{"lists the world in IPv6", "zen.spamhaus.org", "2.0.0.127.zen.spamhaus.org. A 127.0.0.2\n1.0.0.0.0.0.f.7.f.f.f.f." + six + "zen.spamhaus.org. A 127.0.0.2", 0,
			dnsbl.ErrUnhealthy},
		{"domain was sold", "bl.mailspike.net", "*.bl.mailspike.net. A 192.0.2.80", 0, dnsbl.ErrUnhealthy},
		{"domain list lists the world", "dbl.spamhaus.org", "*.dbl.spamhaus.org. A 127.0.1.2", 0, dnsbl.ErrUnhealthy},
		{"refused", "multi.uribl.com", "*.multi.uribl.com. A 127.0.0.1", 0, dnsbl.ErrRefused},
		{"no DNS", "zen.spamhaus.org", "", dnstest.ServFail, dns.ErrServFail},
		{"no key", "<key>.zen.dq.spamhaus.net", "", 0, dnsbl.ErrKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t, tc.data)
			s.Fail("*", tc.mode)
			if err := list(t, tc.zone).Healthy(t.Context(), s.Resolver(t)); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// TestDirectory: the table is complete and agrees with itself.
func TestDirectory(t *testing.T) {
	t.Parallel()
	zones := map[string]bool{}
	for _, l := range dnsbl.Directory() {
		zones[l.Zone] = true
	}
	seen, defaults := map[string]bool{}, 0
	for _, l := range dnsbl.Directory() {
		t.Run(l.Zone, func(t *testing.T) {
			if seen[l.Zone] {
				t.Error("twice")
			}
			seen[l.Zone] = true
			if l.Default {
				defaults++
			}
			if why, dead := dnsbl.Dead(l.Zone); dead {
				t.Errorf("dead: %s", why)
			}
			if l.Name == "" || l.Kinds == 0 || (len(l.Codes) == 0) != (l.Access == dnsbl.Web) || l.What.EN == "" || l.What.FR == "" || l.Weight < 0 || l.Weight > 5 || l.Access == "" {
				t.Errorf("incomplete: %+v", l)
			}
			if l.PartOf != "" && !zones[l.PartOf] {
				t.Errorf("part of the unknown %s", l.PartOf)
			}
			if l.Default && (l.Access != dnsbl.Free || l.PartOf != "") {
				t.Error("cannot be asked by default")
			}
			if (l.Access == dnsbl.Key) != strings.Contains(l.Zone, "<key>") {
				t.Error("key and zone disagree")
			}
			if l.Zone != strings.ToLower(l.Zone) {
				t.Error("zone in capitals")
			}
			for _, c := range append(l.Codes, l.Refusals...) {
				if c.Name == "" || c.Meaning.EN == "" || c.Meaning.FR == "" {
					t.Errorf("incomplete code %+v", c)
				}
				if first := firstOf(c.Pattern); !c.Pattern.Match(first) || !strings.HasPrefix(string(c.Pattern), "127.") {
					t.Errorf("pattern %q is not well-formed", c.Pattern)
				}
			}
		})
	}
	if defaults != 8 {
		t.Errorf("%d lists asked by default", defaults)
	}
}

func firstOf(p dnsbl.Pattern) netip.Addr {
	parts := strings.Split(string(p), ".")
	for i := range parts {
		if parts[i] == "*" {
			parts[i] = "0"
		}
		parts[i], _, _ = strings.Cut(parts[i], "-")
	}
	ip, _ := netip.ParseAddr(strings.Join(parts, "."))
	return ip
}

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern dnsbl.Pattern
		addr    string
		want    bool
	}{
		{"127.0.0.2", "127.0.0.2", true}, {"127.0.0.2", "127.0.0.3", false}, {"127.0.0.4-7", "127.0.0.4", true}, {"127.0.0.4-7", "127.0.0.7", true},
		{"127.0.0.4-7", "127.0.0.8", false}, {"127.0.*.255", "127.0.99.255", true}, {"127.0.*.255", "127.1.99.255", false},
		{"127.0.0", "127.0.0.2", false}, {"127.0.0.2.3", "127.0.0.2", false}, {"", "127.0.0.2", false}, {"127.0.0.x", "127.0.0.2", false},
		{"127.0.0.300", "127.0.0.44", false}, {"*.*.*.*", "2001:db8::1", false},
	} {
		if got := tc.pattern.Match(netip.MustParseAddr(tc.addr)); got != tc.want {
			t.Errorf("%q matches %s: %v", tc.pattern, tc.addr, got)
		}
	}
}

// one answers every question with the same answer.
type one dns.Answer

func (o one) Query(_ context.Context, name string, typ dns.Type) dns.Answer {
	if typ == dns.TypeTXT {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Type: typ, Text: string(o.Records[0].Data)}}}
	}
	return dns.Answer(o)
}

// FuzzAnswer: no answer outside 127/8 or in 127.255.255/24 is ever a listing or clean, and texts are safe to show.
func FuzzAnswer(f *testing.F) {
	lists := dnsbl.Directory()
	f.Add(uint(0), []byte{127, 0, 0, 2}, []byte("text"))
	f.Add(uint(3), []byte{127, 255, 255, 254}, []byte("\x1b[31m\u202e"))
	f.Add(uint(9), []byte{146, 112, 61, 108}, []byte("\xff"))
	f.Fuzz(func(t *testing.T, n uint, addr, text []byte) {
		ip, ok := netip.AddrFromSlice(addr)
		if !ok {
			return
		}
		l := lists[n%uint(len(lists))]
		l.Registered = true
		l.Zone = strings.Replace(l.Zone, "<key>", "k", 1)
		r := one{Status: dns.Found, Records: []dns.Record{{Type: dns.TypeA, IP: ip, Data: text}}}
		got := dnsbl.CheckIP(t.Context(), r, &l, netip.MustParseAddr("192.0.2.1"))
		if got.State == dnsbl.Disabled {
			got = dnsbl.CheckDomain(t.Context(), r, &l, "example.com")
		}
		if got.State == dnsbl.Disabled {
			return
		}
		a4 := [4]byte{}
		if ip.Is4() {
			a4 = ip.As4()
		}
		outside := a4[0] != 127 || (a4[1] == 255 && a4[2] == 255)
		if outside && got.State != dnsbl.Unknown {
			t.Fatalf("%s: %s is %s", l.Zone, ip, got.State)
		}
		if got.Refused && got.State != dnsbl.Unknown {
			t.Fatalf("%s: %s is refused and %s", l.Zone, ip, got.State)
		}
		if len(got.Reason) > 400 || !utf8.ValidString(got.Reason) || strings.ContainsAny(got.Reason, "\x00\x1b\r\n\u202e\x7f") {
			t.Fatalf("reason %q", got.Reason)
		}
	})
}

// FuzzPattern: no pattern, however broken, matches an address outside its octets, and none takes long.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{"127.0.0.2", "127.0.0.4-7", "127.0.*.255", "127.0-2.0.*", "", "...", "*.*.*.*", "1-.2.3.4", "127.0.0.9-2"} {
		f.Add(p, []byte{127, 0, 0, 2})
	}
	f.Fuzz(func(t *testing.T, p string, addr []byte) {
		ip, ok := netip.AddrFromSlice(addr)
		if !ok || !dnsbl.Pattern(p).Match(ip) {
			return
		}
		if parts := strings.Split(p, "."); len(parts) != 4 || !ip.Is4() {
			t.Fatalf("%q matches %s", p, ip)
		}
	})
}

// FuzzRefusal: whatever text comes beside a refusal, what the operator is told is bounded, printable, without the key, and names an address or
// none.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte("[Your DNS IP: 192.0.2.53]"), "secret")
	f.Add([]byte("Error: open resolver; https://www.spamhaus.org/returnc/pub/2001:db8::1/ SECRET"), "secret")
	f.Add([]byte("DNS IP: DNS IP: ...:::"), "key")
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		l, err := list(t, "<key>.zen.dq.spamhaus.net").WithKey(key)
		if err != nil || len(key) < 6 {
			return
		}
		g := dnsbl.NewGuard(nil)
		r := one{Status: dns.Found, Records: []dns.Record{{Type: dns.TypeA, IP: netip.MustParseAddr("127.255.255.254"), Data: text}}}
		got := g.CheckIP(t.Context(), r, &l, netip.MustParseAddr("192.0.2.1"))
		refusals := dnsbl.ByOperator(g.Refusals())
		if got.State != dnsbl.Unknown || !got.Refused || len(refusals) != 1 || refusals[0].Operator != "Spamhaus" {
			t.Fatalf("%+v %+v", got, refusals)
		}
		if said := fmt.Sprintf("%v %+v %+v", got.Err, got, refusals); strings.Contains(strings.ToLower(strings.ReplaceAll(got.Reason, "<key>", "")), strings.ToLower(key)) && key != "<key>" {
			t.Fatalf("the key shows: %s", said)
		}
		if len(refusals[0].Text) > 500 || !utf8.ValidString(refusals[0].Text) || strings.ContainsAny(refusals[0].Text, "\x00\x1b\r\n") {
			t.Fatalf("text %q", refusals[0].Text)
		}
	})
}
