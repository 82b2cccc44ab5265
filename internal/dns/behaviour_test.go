package dns_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
)

const zone = `
$ORIGIN example.org.
@      300 SOA ns hostmaster 1 3600 600 86400 60
@      300 MX 10 mx1
@      300 MX 20 MX2.example.org.
@      300 TXT "v=spf1 " "-all"
mx1    300 A 192.0.2.1
mx1    300 AAAA 2001:db8::1
mx2    300 A 192.0.2.2
alias  300 CNAME mx1
gone   300 CNAME nowhere
away   300 CNAME www.example.net.
nomail 300 MX 0 .
a.deep 300 A 192.0.2.9
esc    300 TXT "q\"uo\\te\009\195\169"
*.wild 300 A 192.0.2.7
dane   300 TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
@      300 CAA 0 issue "ca.example"
1.2.0.192.in-addr.arpa. 300 PTR Mail.Example.ORG.
$ORIGIN example.net.
@      300 SOA ns hostmaster 1 3600 600 86400 60
www    300 A 192.0.2.80
`

func client(t testing.TB, o dns.Options) *dns.Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 150 * time.Millisecond
	}
	c, err := dns.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rr(t testing.TB, text string) mdns.RR {
	t.Helper()
	r, err := mdns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// reply is a hook that answers every question with m changed by f.
func reply(f func(m *mdns.Msg)) dnstest.Hook {
	return func(network string, q *mdns.Msg) dnstest.Reply {
		m := new(mdns.Msg)
		m.SetReply(q)
		m.RecursionAvailable = true
		f(m)
		return dnstest.Reply{Msg: m}
	}
}

// TestBehaviours: whatever servers do, only a confirmed denial is Nothing.
func TestBehaviours(t *testing.T) {
	soa := "example.org. 300 IN SOA ns.example.org. h.example.org. 1 3600 600 86400 60"
	many := func(n int) dnstest.Hook {
		return reply(func(m *mdns.Msg) {
			for i := range n {
				m.Answer = append(m.Answer, &mdns.A{Hdr: mdns.RR_Header{Name: m.Question[0].Name, Rrtype: mdns.TypeA, Class: 1, Ttl: 300},
					A: []byte{10, 0, byte(i >> 8), byte(i)}})
			}
		})
	}
	raw := func(f func(wire []byte) []byte) dnstest.Hook {
		return func(_ string, q *mdns.Msg) dnstest.Reply {
			m := new(mdns.Msg)
			m.SetReply(q)
			m.RecursionAvailable = true
			m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: 1, Ttl: 300}, A: []byte{192, 0, 2, 1}}}
			wire, _ := m.Pack()
			return dnstest.Reply{Raw: f(wire)}
		}
	}
	answer := func(records ...string) dnstest.Hook {
		return reply(func(m *mdns.Msg) {
			for _, r := range records {
				m.Answer = append(m.Answer, rr(t, r))
			}
		})
	}
	loop := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("c%d.example.org. 300 IN CNAME c%d.example.org.", i, i+1))
		}
		return append(out, fmt.Sprintf("c%d.example.org. 300 IN A 192.0.2.1", n))
	}
	for _, tc := range []struct {
		name string
		mode dnstest.Mode
		hook dnstest.Hook
		ask  string
		typ  dns.Type
		want dns.Status
		err  error // with TryLater
		nx   bool
	}{
		{name: "found", ask: "mx1.example.org", want: dns.Found},
		{name: "found with final dot and capitals", ask: "MX1.Example.ORG.", want: dns.Found},
		{name: "NXDOMAIN with SOA", ask: "nowhere.example.org", want: dns.Nothing, nx: true},
		{name: "NODATA with SOA", ask: "mx2.example.org", typ: dns.TypeAAAA, want: dns.Nothing},
		{name: "NODATA of an empty non-terminal", ask: "deep.example.org", want: dns.Nothing},
		{name: "wildcard", ask: "x.wild.example.org", want: dns.Found},
		{name: "CNAME", ask: "alias.example.org", want: dns.Found},
		{name: "CNAME to NXDOMAIN", ask: "gone.example.org", want: dns.Nothing, nx: true},
		{name: "CNAME to NODATA", ask: "alias.example.org", typ: dns.TypeMX, want: dns.Nothing},
		{name: "timeout", mode: dnstest.Timeout, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrTimeout},
		{name: "SERVFAIL", mode: dnstest.ServFail, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrServFail},
		{name: "REFUSED", mode: dnstest.Refused, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrRefused},
		{name: "FORMERR", mode: dnstest.FormErr, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrServFail},
		{name: "NOTIMP", mode: dnstest.NotImp, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrServFail},
		{name: "bogus", mode: dnstest.Bogus, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrBogus},
		{name: "resolver filters with NXDOMAIN", mode: dnstest.Filtered, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrRefused},
		{name: "malformed", mode: dnstest.Malformed, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "wrong id", mode: dnstest.WrongID, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "wrong question", mode: dnstest.WrongQuestion, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "lame referral", mode: dnstest.Lame, ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrLame},
		{name: "truncated, then TCP", mode: dnstest.Truncate, ask: "mx1.example.org", want: dns.Found},
		{name: "truncated, NXDOMAIN over TCP", mode: dnstest.Truncate, ask: "nowhere.example.org", want: dns.Nothing, nx: true},
		{name: "truncated over TCP too", mode: dnstest.TruncateAlways, ask: "nowhere.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "server folds case", mode: dnstest.LowerCase, ask: "mx1.example.org", want: dns.Found},
		{name: "server without EDNS", mode: dnstest.NoEDNS, ask: "mx1.example.org", want: dns.Found},
		{name: "UDP blocked", mode: dnstest.DropUDP, ask: "mx1.example.org", want: dns.Found},
		{name: "no answer section, no SOA, recursive", hook: reply(func(m *mdns.Msg) {}), ask: "mx1.example.org", want: dns.Nothing},
		{name: "empty answer, neither AA nor RA", hook: reply(func(m *mdns.Msg) { m.RecursionAvailable = false }), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrLame},
		{name: "NXDOMAIN, neither AA nor RA", hook: reply(func(m *mdns.Msg) { m.RecursionAvailable, m.Rcode = false, 3 }), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrLame},
		{name: "NXDOMAIN with the record", hook: reply(func(m *mdns.Msg) {
			m.Rcode, m.Answer = 3, []mdns.RR{rr(t, "mx1.example.org. 300 IN A 192.0.2.1")}
		}), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "stale NXDOMAIN", hook: reply(func(m *mdns.Msg) {
			m.Rcode = 3
			m.SetEdns0(1232, true)
			m.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_EDE{InfoCode: mdns.ExtendedErrorCodeStaleNXDOMAINAnswer}}
		}), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrServFail},
		{name: "records of another name only", hook: answer("evil.example.org. 300 IN A 192.0.2.66"), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "records of another class only", hook: answer("mx1.example.org. 300 CH A 192.0.2.66"), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "records of another type only", hook: answer(`mx1.example.org. 300 IN TXT "x"`), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "records beside the chain", hook: answer("evil.example.org. 300 IN A 192.0.2.66", "mx1.example.org. 300 IN A 192.0.2.1"),
			ask: "mx1.example.org", want: dns.Found},
		{name: "CNAME loop in one answer", hook: answer("x.example.org. 1 IN CNAME y.example.org.", "y.example.org. 1 IN CNAME x.example.org."),
			ask: "x.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "CNAME to itself", hook: answer("x.example.org. 1 IN CNAME x.example.org."), ask: "x.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "CNAME loop across answers", hook: reply(func(m *mdns.Msg) {
			target := map[bool]string{true: "y", false: "x"}[strings.HasPrefix(strings.ToLower(m.Question[0].Name), "x")]
			m.Answer = []mdns.RR{rr(t, m.Question[0].Name+" 1 IN CNAME "+target+".example.org.")}
		}), ask: "x.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "ten CNAMEs", hook: answer(loop(10)...), ask: "c0.example.org", want: dns.Found},
		{name: "eleven CNAMEs", hook: answer(loop(11)...), ask: "c0.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "endless CNAMEs across answers", hook: reply(func(m *mdns.Msg) {
			m.Answer = []mdns.RR{rr(t, m.Question[0].Name+" 1 IN CNAME z"+m.Question[0].Name)}
		}), ask: "x.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "two CNAMEs at a name", hook: answer("x.example.org. 1 IN CNAME y.example.org.", "x.example.org. 1 IN CNAME z.example.org."),
			ask: "x.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "CNAME chain left open", hook: func(_ string, q *mdns.Msg) dnstest.Reply {
			if !strings.HasPrefix(strings.ToLower(q.Question[0].Name), "open.") {
				return dnstest.Reply{Pass: true}
			}
			m := new(mdns.Msg)
			m.SetReply(q)
			m.Answer = []mdns.RR{rr(t, "open.example.org. 1 IN CNAME mx1.example.org.")}
			return dnstest.Reply{Msg: m}
		}, ask: "open.example.org", want: dns.Found},
		{name: "100 records", hook: many(100), ask: "mx1.example.org", want: dns.Found},
		{name: "101 records", hook: many(101), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "1500 records", hook: many(1500), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "SOA of a foreign zone", hook: reply(func(m *mdns.Msg) { m.Ns = []mdns.RR{rr(t, strings.Replace(soa, "example.org", "evil.test", 1))} }),
			ask: "mx1.example.org", want: dns.Nothing},
		{name: "empty packet", hook: raw(func(w []byte) []byte { return []byte{} }), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "header only, one answer announced", hook: raw(func(w []byte) []byte { w[5] = 0; return w[:12] }), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "answer announced and missing", hook: raw(func(w []byte) []byte { return w[:33] }), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "cut in the record", hook: raw(func(w []byte) []byte { return w[:len(w)-2] }), ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "A of five bytes", hook: raw(func(w []byte) []byte { w[len(w)-5] = 5; return append(w, 0) }), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "A of no bytes", hook: raw(func(w []byte) []byte { w[len(w)-5] = 0; return w[:len(w)-4] }), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "compression loop", hook: raw(func(w []byte) []byte { return append(w[:33], 0xc0, 33, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4) }),
			ask: "mx1.example.org", want: dns.TryLater, err: dns.ErrMalformed},
		{name: "a question sent back", hook: raw(func(w []byte) []byte { w[2] &^= 0x80; return w }), ask: "mx1.example.org",
			want: dns.TryLater, err: dns.ErrMalformed},
		{name: "TLSA of no bytes", hook: func(_ string, q *mdns.Msg) dnstest.Reply {
			m := new(mdns.Msg)
			m.SetReply(q)
			wire, _ := m.Pack()
			wire[7] = 1
			return dnstest.Reply{Raw: append(wire, 0xc0, 12, 0, 52, 0, 1, 0, 0, 0, 9, 0, 0)}
		}, ask: "dane.example.org", typ: dns.TypeTLSA, want: dns.TryLater, err: dns.ErrMalformed},
		{name: "TLSA of three bytes", hook: func(_ string, q *mdns.Msg) dnstest.Reply {
			m := new(mdns.Msg)
			m.SetReply(q)
			wire, _ := m.Pack()
			wire[7] = 1
			return dnstest.Reply{Raw: append(wire, 0xc0, 12, 0, 52, 0, 1, 0, 0, 0, 9, 0, 3, 3, 1, 1)}
		}, ask: "dane.example.org", typ: dns.TypeTLSA, want: dns.TryLater, err: dns.ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t, zone)
			s.Fail("*", tc.mode)
			s.SetHook(tc.hook)
			c := client(t, dns.Options{Servers: []string{s.Addr()}})
			if tc.typ == 0 {
				tc.typ = dns.TypeA
			}
			a := c.Query(t.Context(), tc.ask, tc.typ)
			if a.Status != tc.want || a.NXDomain != tc.nx || !errors.Is(a.Err, tc.err) {
				t.Fatalf("got %v (nx %v, err %v, %v), want %v (nx %v, err %v)", a.Status, a.NXDomain, a.Err, a.Records, tc.want, tc.nx, tc.err)
			}
			if (a.Status == dns.Found) != (len(a.Records) > 0) || (a.Status == dns.TryLater) != (a.Err != nil) {
				t.Errorf("answer does not agree with itself: %+v", a)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	r := s.Resolver(t)
	ctx := t.Context()

	mx := dns.MX(ctx, r, "example.org")
	if len(mx.Records) != 2 || mx.Records[1].Host != "mx2.example.org" || mx.Records[1].Pref != 20 || mx.Records[0].Name != "example.org" {
		t.Errorf("MX: %+v", mx)
	}
	if null := dns.MX(ctx, r, "nomail.example.org"); len(null.Records) != 1 || null.Records[0].Host != "" {
		t.Errorf("null MX: %+v", null)
	}
	if a := dns.TXT(ctx, r, "example.org"); len(a.Records) != 1 || a.Records[0].Text != "v=spf1 -all" {
		t.Errorf("TXT: %+v", a)
	}
	if a := dns.TXT(ctx, r, "esc.example.org"); len(a.Records) != 1 || a.Records[0].Text != "q\"uo\\te\té" {
		t.Errorf("TXT with escapes: %+v", a.Records)
	}
	if a := dns.PTR(ctx, r, netip.MustParseAddr("192.0.2.1")); len(a.Records) != 1 || a.Records[0].Host != "mail.example.org" {
		t.Errorf("PTR: %+v", a)
	}
	if a := r.Query(ctx, "dane.example.org", dns.TypeTLSA); len(a.Records) != 1 || len(a.Records[0].Data) != 35 || a.Records[0].Data[0] != 3 {
		t.Errorf("TLSA: %+v", a)
	}
	if a := r.Query(ctx, "example.org", dns.TypeCAA); len(a.Records) != 1 || a.Records[0].Text != "issue=ca.example" {
		t.Errorf("CAA: %+v", a)
	}
	if a := r.Query(ctx, "alias.example.org", dns.TypeCNAME); len(a.Records) != 1 || a.Records[0].Host != "mx1.example.org" {
		t.Errorf("CNAME: %+v", a)
	}
	if a := r.Query(ctx, "away.example.org", dns.TypeA); len(a.Records) != 1 || a.Records[0].Name != "www.example.net" {
		t.Errorf("CNAME to another zone: %+v", a)
	}
	s.Fail("example.org", dnstest.Refused)
	if a := dns.MX(ctx, r, "example.org"); a.Status != dns.TryLater {
		t.Errorf("after Fail: %+v", a)
	}
	s.Fail("example.org", dnstest.OK)
	if err := s.Set("example.org. MX 5 other.example.org."); err != nil {
		t.Fatal(err)
	}
	if a := dns.MX(ctx, r, "example.org"); a.Status != dns.Found || a.Records[0].Pref != 5 {
		t.Errorf("after Set: %+v", a)
	}
	if err := s.Set("example.org. MX oops"); err == nil {
		t.Error("Set took a broken zone")
	}
	if s.CountType("example.org", dns.TypeMX) != 3 || s.Count("example.org") != 5 {
		t.Errorf("counts: %d of %d", s.CountType("example.org", dns.TypeMX), s.Count("example.org"))
	}
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	r := s.Resolver(t)
	for _, tc := range []struct {
		name, host string
		four, six  dnstest.Mode
		want       dns.Status
		records    int
		nx         bool
	}{
		{"both", "mx1.example.org", 0, 0, dns.Found, 2, false},
		{"four only", "mx2.example.org", 0, 0, dns.Found, 1, false},
		{"none", "nowhere.example.org", 0, 0, dns.Nothing, 0, true},
		{"six fails", "mx1.example.org", 0, dnstest.ServFail, dns.Found, 1, false},
		{"four fails", "mx1.example.org", dnstest.ServFail, 0, dns.Found, 1, false},
		{"four fails, no six", "mx2.example.org", dnstest.ServFail, 0, dns.TryLater, 0, false},
		{"six fails, no four", "nowhere.example.org", 0, dnstest.Refused, dns.TryLater, 0, false},
		{"they disagree about the name", "deep.example.org", 0, dnstest.NXDomain, dns.Nothing, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.FailType(tc.host, dns.TypeA, tc.four)
			s.FailType(tc.host, dns.TypeAAAA, tc.six)
			a := dns.Addrs(t.Context(), r, tc.host)
			if a.Status != tc.want || len(a.Records) != tc.records || a.NXDomain != tc.nx {
				t.Errorf("got %+v", a)
			}
			s.FailType(tc.host, dns.TypeA, dnstest.OK)
			s.FailType(tc.host, dns.TypeAAAA, dnstest.OK)
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	r := s.Resolver(t)
	for _, name := range []string{"", "..", ".example.org", "a..b", strings.Repeat("a", 64) + ".org", strings.Repeat("abc.", 64) + "org", "a b.org",
		"é.org", "a\x00.org", `a\.b.org`} {
		if a := r.Query(context.Background(), name, dns.TypeA); a.Status != dns.Nothing || !errors.Is(a.Err, dns.ErrName) || !a.NXDomain {
			t.Errorf("%q: %+v", name, a)
		}
	}
	if n := s.Total(); n != 0 {
		t.Errorf("%d impossible names were asked", n)
	}
	for _, name := range []string{"_dmarc.example.org", "0/25.2.0.192.in-addr.arpa", "a(b@c'.example.org", ".", strings.Repeat("a", 63) + ".org"} {
		if a := r.Query(context.Background(), name, dns.TypeA); a.Status != dns.Nothing || a.Err != nil {
			t.Errorf("%q: %+v", name, a)
		}
	}
	if err := s.Set(`a\(b\@c.example.org. A 192.0.2.5`); err != nil {
		t.Fatal(err)
	}
	if a := r.Query(context.Background(), "a(b@c.example.org", dns.TypeA); a.Status != dns.Found {
		t.Errorf("name with special bytes: %+v", a)
	}
}

func TestReverse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1":        "1.2.0.192.in-addr.arpa",
		"::ffff:192.0.2.1": "1.2.0.192.in-addr.arpa",
		"2001:db8::1":      "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := dns.ReverseName(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
	if dns.ReverseName(netip.Addr{}) != "" || dns.ReverseLabels(netip.Addr{}) != "" {
		t.Error("zero Addr has a name")
	}
}

func TestHostName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{"mx.example.org": true, "mx_1.example.org.": true, "": false, ".": false, "<script>.org": false,
		"a..b": false, `a\032b.org`: false, strings.Repeat("a", 64): false} {
		if dns.HostName(in) != want {
			t.Errorf("HostName(%q) = %v", in, !want)
		}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	r := dns.WithBudget(s.Resolver(t), 2)
	for i, want := range []dns.Status{dns.Found, dns.Found, dns.TryLater, dns.TryLater} {
		if a := dns.MX(t.Context(), r, "example.org"); a.Status != want || (want == dns.TryLater) != errors.Is(a.Err, dns.ErrBudget) {
			t.Errorf("question %d: %+v", i+1, a)
		}
	}
}

func TestCanary(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	r := s.Resolver(t)
	if err := dns.Canary(t.Context(), r, ""); err != nil {
		t.Errorf("root: %v", err)
	}
	if err := dns.Canary(t.Context(), r, "example.org"); err != nil {
		t.Errorf("a zone with SOA: %v", err)
	}
	s.Fail("*", dnstest.NXDomain)
	if err := dns.Canary(t.Context(), r, ""); !errors.Is(err, dns.ErrLame) {
		t.Errorf("a resolver that denies the root: %v", err)
	}
	s.Fail("*", dnstest.ServFail)
	if err := dns.Canary(t.Context(), r, ""); !errors.Is(err, dns.ErrServFail) {
		t.Errorf("a broken resolver: %v", err)
	}
}
