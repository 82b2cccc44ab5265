package spf_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
	"postern/internal/spf"
)

const internet = `
example.com.        60 IN TXT "google-site-verification=x"
example.com.        60 IN TXT "v=spf1 ip4:192.0.2.0/24 include:_spf.esp.net ~all"
_spf.esp.net.       60 IN TXT "v=spf1 ip6:2001:db8::/32 -all"
soft.example.       60 IN TXT "v=spf1 a mx -all exp=why.example"
soft.example.       60 IN A 192.0.2.1
soft.example.       60 IN AAAA 2001:db8::1
soft.example.       60 IN MX 10 mx.soft.example.
mx.soft.example.    60 IN A 192.0.2.2
why.example.        60 IN TXT "%{i} may not send for %{d}"
helo.example.       60 IN TXT "v=spf1 a -all"
helo.example.       60 IN A 192.0.2.9
twice.example.      60 IN TXT "v=spf1 -all"
twice.example.      60 IN TXT "v=spf1 +all"
late.example.       60 IN TXT "v=spf1 ip4:192.0.2.1 ip4:300.0.0.1 -all"
void.example.       60 IN TXT "v=spf1 a:n1.example a:n2.example a:n3.example ip4:192.0.2.1 -all"
ex.example.         60 IN TXT "v=spf1 exists:%{ir}.%{v}.list.example -all"
1.2.0.192.in-addr.list.example. 60 IN A 127.0.0.2
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.list.example. 60 IN A 127.0.0.2
user.example.       60 IN TXT "v=spf1 exists:%{l}._users.example -all"
ann._users.example. 60 IN A 127.0.0.2
neutral.example.    60 IN TXT "v=spf1 ?all"
inc.example.        60 IN TXT "v=spf1 include:down.example -all"
down.example.       60 IN TXT "v=spf1 -all"
redir.example.      60 IN TXT "v=spf1 redirect=soft.example"
nothing.example.    60 IN A 192.0.2.1
`

func TestCheck(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, internet)
	server.Fail("down.example", dnstest.ServFail)
	server.Fail("silent.example", dnstest.Refused)
	r := server.Resolver(t)
	for _, tc := range []struct {
		name, ip, sender, helo, identity string
		want                             spf.Result
		domain, mechanism, explanation   string
		err                              error
	}{
		{name: "ip4", ip: "192.0.2.77", sender: "a@example.com", want: spf.Pass, domain: "example.com", mechanism: "ip4:192.0.2.0/24"},
		{name: "ip4 mapped", ip: "::ffff:192.0.2.77", sender: "a@example.com", want: spf.Pass, domain: "example.com", mechanism: "ip4:192.0.2.0/24"},
		{name: "include", ip: "2001:db8::7", sender: "a@example.com", want: spf.Pass, domain: "example.com", mechanism: "include:_spf.esp.net"},
		{name: "include does not match", ip: "203.0.113.1", sender: "a@example.com", want: spf.SoftFail, domain: "example.com", mechanism: "~all"},
		{name: "a", ip: "192.0.2.1", sender: "a@soft.example", want: spf.Pass, domain: "soft.example", mechanism: "a"},
		{name: "a with IPv6", ip: "2001:db8::1", sender: "a@soft.example", want: spf.Pass, domain: "soft.example", mechanism: "a"},
		{name: "mx", ip: "192.0.2.2", sender: "a@soft.example", want: spf.Pass, domain: "soft.example", mechanism: "mx"},
		{name: "explanation", ip: "192.0.2.3", sender: "a@soft.example", want: spf.Fail, domain: "soft.example", mechanism: "-all", explanation: "192.0.2.3 may not send for soft.example"},
		{name: "redirect", ip: "192.0.2.3", sender: "a@redir.example", want: spf.Fail, domain: "redir.example", mechanism: "-all", explanation: "192.0.2.3 may not send for soft.example"},
		{name: "null path", ip: "192.0.2.9", helo: "helo.example", want: spf.Pass, domain: "helo.example", mechanism: "a"},
		{name: "helo identity", ip: "192.0.2.8", sender: "a@example.com", helo: "HELO.example.", identity: spf.Hello, want: spf.Fail, domain: "helo.example", mechanism: "-all"},
		{name: "two records", ip: "192.0.2.1", sender: "a@twice.example", want: spf.PermError, domain: "twice.example"},
		{name: "error behind the match", ip: "192.0.2.1", sender: "a@late.example", want: spf.PermError, domain: "late.example", err: spf.ErrSyntax},
		{name: "third void lookup", ip: "192.0.2.1", sender: "a@void.example", want: spf.PermError, domain: "void.example", mechanism: "a:n3.example"},
		{name: "exists", ip: "192.0.2.1", sender: "a@ex.example", want: spf.Pass, domain: "ex.example", mechanism: "exists:%{ir}.%{v}.list.example"},
		{name: "exists with IPv6", ip: "2001:db8::1", sender: "a@ex.example", want: spf.Pass, domain: "ex.example", mechanism: "exists:%{ir}.%{v}.list.example"},
		{name: "local part", ip: "192.0.2.1", sender: "ann@user.example", want: spf.Pass, domain: "user.example", mechanism: "exists:%{l}._users.example"},
		{name: "at sign in the local part", ip: "192.0.2.1", sender: "a@example.com@user.example", want: spf.Fail, domain: "user.example", mechanism: "-all"},
		{name: "neutral", ip: "192.0.2.1", sender: "a@neutral.example", want: spf.Neutral, domain: "neutral.example", mechanism: "?all"},
		{name: "include out of reach", ip: "192.0.2.1", sender: "a@inc.example", want: spf.TempError, domain: "inc.example", mechanism: "include:down.example", err: dns.ErrServFail},
		{name: "refused", ip: "192.0.2.1", sender: "a@silent.example", want: spf.TempError, domain: "silent.example", err: dns.ErrRefused},
		{name: "no record", ip: "192.0.2.1", sender: "a@nothing.example", want: spf.None, domain: "nothing.example", err: spf.ErrNoRecord},
		{name: "no such name", ip: "192.0.2.1", sender: "a@ghost.example", want: spf.None, domain: "ghost.example", err: spf.ErrNoRecord},
		{name: "helo is an address", ip: "192.0.2.1", helo: "[192.0.2.1]", want: spf.None, domain: "[192.0.2.1]", err: spf.ErrNoDomain},
		{name: "helo is a bare address", ip: "192.0.2.1", helo: "192.0.2.1", want: spf.None, domain: "192.0.2.1", err: spf.ErrNoDomain},
		{name: "helo is empty", ip: "192.0.2.1", want: spf.None, err: spf.ErrNoDomain},
		{name: "no address", sender: "a@example.com", want: spf.PermError, domain: "example.com", err: spf.ErrNoAddress},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			q := spf.Query{Hello: tc.helo, Identity: tc.identity}
			if tc.ip != "" {
				q.IP = netip.MustParseAddr(tc.ip)
			}
			if at := strings.LastIndexByte(tc.sender, '@'); at > 0 {
				q.ReversePath = mail.Address{Local: tc.sender[:at], Domain: mail.Domain(tc.sender[at+1:])}
			}
			got := spf.Check(t.Context(), r, q)
			if got.Result != tc.want || got.Domain != tc.domain || got.Mechanism != tc.mechanism || got.Explanation != tc.explanation {
				t.Errorf("got %+v", got)
			}
			if tc.err != nil && !errors.Is(got.Err, tc.err) {
				t.Errorf("error %v, want %v", got.Err, tc.err)
			}
			if tc.want == spf.Pass && !strings.HasPrefix(got.Record, "v=spf1 ") {
				t.Errorf("record %q", got.Record)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	r := dnstest.Start(t, internet).Resolver(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got := spf.Check(ctx, r, spf.Query{IP: netip.MustParseAddr("192.0.2.1"), ReversePath: mail.Address{Local: "a", Domain: "example.com"}})
	if got.Result != spf.TempError || got.Err == nil {
		t.Errorf("%+v", got)
	}
}

// counting counts questions, those that are cached included.
type counting struct {
	dns.Resolver
	asked atomic.Int64
}

// Query implements dns.Resolver.
func (c *counting) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	c.asked.Add(1)
	return c.Resolver.Query(ctx, name, typ)
}

// TestBomb asks for records made to cause many questions.
func TestBomb(t *testing.T) {
	t.Parallel()
	z := zone{}
	add := func(name string, r dns.Record) {
		if z[name] == nil {
			z[name] = &node{records: map[dns.Type][]dns.Record{}}
		}
		z[name].add(r)
	}
	mx := "v=spf1"
	for i := range 10 {
		d := fmt.Sprintf("m%d.example", i)
		mx += " mx:" + d
		for j := range 10 {
			host := fmt.Sprintf("h%d.%s", j, d)
			add(d, dns.Record{Type: dns.TypeMX, Host: host})
			add(host, dns.Record{Type: dns.TypeA, IP: netip.MustParseAddr("203.0.113.9")})
			add(host, dns.Record{Type: dns.TypeAAAA, IP: netip.MustParseAddr("2001:db8::9")})
		}
	}
	add("mx.example", dns.Record{Type: dns.TypeTXT, Text: mx + " -all"})
	add("loop.example", dns.Record{Type: dns.TypeTXT, Text: "v=spf1 include:loop.example -all"})
	add("fork.example", dns.Record{Type: dns.TypeTXT, Text: "v=spf1" + strings.Repeat(" include:fork.example", 40) + " -all"})
	add("redirect.example", dns.Record{Type: dns.TypeTXT, Text: "v=spf1 redirect=redirect.example"})
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		addr := netip.MustParseAddr(ip)
		for i := range 200 {
			name := fmt.Sprintf("p%d.example", i)
			add(dns.ReverseName(addr), dns.Record{Type: dns.TypePTR, Host: name})
			add(name, dns.Record{Type: dns.TypeA, IP: netip.MustParseAddr("203.0.113.9")})
		}
	}
	add("ptr.example", dns.Record{Type: dns.TypeTXT, Text: "v=spf1 ptr:x.example exists:%{p}.example ptr:y.example ptr -all"})
	for _, domain := range []mail.Domain{"mx.example", "loop.example", "fork.example", "redirect.example", "ptr.example"} {
		for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
			c := &counting{Resolver: z}
			got := spf.Check(t.Context(), c, spf.Query{IP: netip.MustParseAddr(ip), ReversePath: mail.Address{Local: "a", Domain: domain}})
			// Names in the reverse tree alone are no fault of the record (RFC 7208 5.5).
			bounded := got.Result == spf.PermError || domain == "ptr.example" && got.Result == spf.Fail
			if !bounded || c.asked.Load() > spf.MaxQueries {
				t.Errorf("%s from %s: %s after %d questions (%v)", domain, ip, got.Result, c.asked.Load(), got.Err)
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{"v=spf1 a mx ptr -all", "v=spf1 a:foo:bar/baz.example.com/24//64 ?all", "v=spf1 exists:%{ir}.%{l1r-}.%{d2} redirect=%{d}",
		"v=spf1 include:%{p}.example exp=%{s}", "v=spf1 ip4:192.0.2.0/33 ip6:::/0", "v=spf1 a:%%.%_%-.example", "v=spf1 a:\x01.example"} {
		f.Add(seed, "ann")
	}
	f.Fuzz(func(t *testing.T, record, local string) {
		z := zone{"example.com": {records: map[dns.Type][]dns.Record{
			dns.TypeTXT: {{Text: record}}, dns.TypeA: {{IP: netip.MustParseAddr("192.0.2.1")}}}}}
		for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
			c := &counting{Resolver: z}
			got := spf.Check(t.Context(), c, spf.Query{IP: netip.MustParseAddr(ip), Hello: local, ReversePath: mail.Address{Local: local, Domain: "example.com"}})
			switch got.Result {
			case spf.Pass, spf.Fail, spf.SoftFail, spf.Neutral, spf.None, spf.PermError:
			default:
				t.Fatalf("result %q (%v)", got.Result, got.Err)
			}
			if c.asked.Load() > spf.MaxQueries {
				t.Fatalf("%d questions", c.asked.Load())
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	z := zone{}
	z["example.com"] = &node{records: map[dns.Type][]dns.Record{dns.TypeTXT: {{Text: "v=spf1 mx include:_spf.example.net ip4:192.0.2.0/24 -all"}}, dns.TypeMX: {{Host: "example.com"}}}}
	z["_spf.example.net"] = &node{records: map[dns.Type][]dns.Record{dns.TypeTXT: {{Text: "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/32 ~all"}}}}
	q := spf.Query{IP: netip.MustParseAddr("192.0.2.1"), ReversePath: mail.Address{Local: "a", Domain: "example.com"}}
	for b.Loop() {
		if got := spf.Check(b.Context(), z, q); got.Result != spf.Pass {
			b.Fatalf("%+v", got)
		}
	}
}
