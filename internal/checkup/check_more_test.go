package checkup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/checkup"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/mail"
)

// TestSPFTree prints a tree: what each term costs, where it leads, and who passes in the end (RFC 7208 4.6.4).
func TestSPFTree(t *testing.T) {
	t.Parallel()
	pieces := perfect()
	pieces["spf"] = txt("@", "v=spf1 mx a:h1.other.test/28 include:_a.shop.test ip4:192.0.2.128/25 exists:%{i}.shop.test ptr -include:_b.shop.test ~all include:never.test") +
		txt("_a", "v=spf1 include:_b.shop.test a:gone.shop.test include:shop.test -all") + txt("_b", "v=spf1 ip6:2001:db8:1::/48 -all")
	r, err := newInternet(t, zoneOf(pieces)).checker(t).Check(t.Context(), shopTest, checkup.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func([]*checkup.SPFNode, string)
	walk = func(nodes []*checkup.SPFNode, in string) {
		for _, n := range nodes {
			fmt.Fprintf(&b, "%s%s [%d/%d] %s %v\n", in, n.Term, n.Lookups, n.Voids, n.Result, n.Addresses)
			walk(n.Children, in+"  ")
		}
	}
	walk(r.SPF.Nodes, "")
	const want = `mx [1/0] found [192.0.2.25 2001:db8::25]
a:h1.other.test/28 [1/0] found [203.0.113.11]
include:_a.shop.test [4/1] found []
  include:_b.shop.test [1/0] found []
    ip6:2001:db8:1::/48 [0/0]  []
    -all [0/0]  []
  a:gone.shop.test [1/1] nothing []
  include:shop.test [1/0] loop []
  -all [0/0]  []
ip4:192.0.2.128/25 [0/0]  []
exists:%{i}.shop.test [1/0] macro []
ptr [1/0]  []
-include:_b.shop.test [1/0] found []
  ip6:2001:db8:1::/48 [0/0]  []
  -all [0/0]  []
~all [0/0]  []
include:never.test [0/0]  []
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	if r.SPF.Lookups != 9 || r.SPF.Voids != 1 || r.SPF.Domain != "shop.test" {
		t.Errorf("%d lookups, %d voids of %s", r.SPF.Lookups, r.SPF.Voids, r.SPF.Domain)
	}
	if got := strings.Join(r.SPF.Flat, " "); got != "ip4:192.0.2.25 ip6:2001:db8::25 ip4:203.0.113.11/28 ip6:2001:db8:1::/48 ip4:192.0.2.128/25" {
		t.Error(got)
	}
}

// TestHugeSPF: a tree that never ends costs a bounded number of questions.
func TestHugeSPF(t *testing.T) {
	t.Parallel()
	var zone strings.Builder
	for i := range 40 {
		fmt.Fprintf(&zone, "x%d 300 IN TXT \"v=spf1", i)
		for j := range 6 {
			fmt.Fprintf(&zone, " include:x%d.shop.test", (i*6+j+1)%40)
		}
		zone.WriteString(" -all\"\n")
	}
	pieces := perfect()
	pieces["spf"] = txt("@", "v=spf1 include:x0.shop.test include:x1.shop.test -all") + zone.String()
	n := newInternet(t, zoneOf(pieces))
	r, err := n.checker(t).Check(t.Context(), shopTest, checkup.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if got := said(r)["spf"]; got != "spf.loop=problem" && got != "spf.over-lookups=problem" {
		t.Error(got)
	}
	if n.dns.Total() > 200 {
		t.Errorf("%d questions", n.dns.Total())
	}
}

// TestPrivateAddresses: whoever publishes a zone chooses the addresses of its servers; a check-up for a stranger connects to none of ours.
func TestPrivateAddresses(t *testing.T) {
	t.Parallel()
	pieces := perfect()
	pieces["ns"] = "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS inner.dns.test.\n@ 300 IN NS loop\nloop 300 IN A 127.0.0.1\nloop 300 IN AAAA ::1\n"
	pieces["host"] = "mta-sts 300 IN A 169.254.169.254\nmta-sts 300 IN AAAA fd00::1\n"
	n := newInternet(t, zoneOf(pieces))
	if _, err := n.checker(t).Check(t.Context(), shopTest, checkup.Ask{}); err != nil {
		t.Fatal(err)
	}
	inside := func() (out []string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, addr := range n.dialled {
			if ap := netip.MustParseAddrPort(addr); dns.Inside(ap.Addr(), nil) {
				out = append(out, addr)
			}
		}
		return out
	}
	if got := inside(); len(got) > 0 || len(n.dialled) == 0 {
		t.Errorf("connected to %q of %q", got, n.dialled)
	}
	allowed := func(o *checkup.CheckerOptions) { o.Probes.Inside = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	if _, err := n.checker(t, allowed).Check(t.Context(), shopTest, checkup.Ask{}); err != nil {
		t.Fatal(err)
	}
	if got := inside(); !slices.Contains(got, "10.0.0.53:53") || slices.ContainsFunc(got, func(a string) bool { return a != "10.0.0.53:53" }) {
		t.Errorf("allowed to connect to 10.0.0.0/8, connected to %q", got)
	}
}

// silence answers nothing until it is too late.
type silence struct{}

func (silence) Query(ctx context.Context, _ string, _ dns.Type) dns.Answer {
	<-ctx.Done()
	return dns.Answer{Err: dns.ErrTimeout}
}

// TestCheckDeadline: with a resolver that never answers a check-up ends in time, and claims nothing.
func TestCheckDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := checkup.NewChecker(checkup.CheckerOptions{Resolver: silence{}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Check(t.Context(), shopTest, checkup.Ask{Selectors: []string{"s1"}})
		if err != nil || r.Took != checkup.CheckDeadline || r.Score().Measured {
			t.Errorf("%v after %v, %+v", err, r.Took, r.Score())
		}
		for _, f := range r.Findings {
			if f.State != checkup.Unknown {
				t.Errorf("%s is %s", f.Code, f.State)
			}
		}
		if _, err := c.Check(t.Context(), checkup.Target{}, checkup.Ask{}); !errors.Is(err, checkup.ErrTarget) {
			t.Error(err)
		}
	})
}

// TestSelectors come from the question and from what the gateway knows; those that could not be names are left out.
func TestSelectors(t *testing.T) {
	t.Parallel()
	known := func(o *checkup.CheckerOptions) {
		o.Selectors = func(_ context.Context, _ string, d mail.Domain) []string {
			if d != "shop.test" {
				t.Errorf("asked for %s", d)
			}
			return []string{"s1", "S1", "not a selector", ""}
		}
	}
	r, err := newInternet(t, zoneOf(perfect())).checker(t, known).Check(t.Context(), shopTest, checkup.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	if got := said(r)["dkim"]; got != "dkim.key-fine=fine" || len(r.Of(checkup.DKIM)) != 1 {
		t.Error(got)
	}
}

// TestNotOurs: a domain that does not name this gateway has no fault; it has when somebody says that its mail leaves from here.
func TestNotOurs(t *testing.T) {
	t.Parallel()
	here := netip.MustParseAddr("192.0.2.200")
	gateway := func(o *checkup.CheckerOptions) {
		o.Egress = []checkup.EgressAddress{{IP: here, HELO: "gate.test"}, {IP: netip.MustParseAddr("192.0.2.25"), HELO: "gate.test"}}
	}
	n := newInternet(t, zoneOf(perfect()))
	for _, tc := range []struct {
		ask  checkup.Ask
		want string
	}{
		{checkup.Ask{Selectors: []string{"s1"}}, "spf.good=fine spf.not-ours=advice"},
		{checkup.Ask{Selectors: []string{"s1"}, IPs: []netip.Addr{here}}, "spf.good=fine spf.lacks=problem"},
	} {
		r, err := n.checker(t, gateway).Check(t.Context(), shopTest, tc.ask)
		if err != nil {
			t.Fatal(err)
		}
		if got := said(r)["spf"]; got != tc.want {
			t.Errorf("%s, want %s", got, tc.want)
		}
		for _, f := range r.Of(checkup.SPF) {
			if f.State != checkup.Fine && (len(f.Records) != 1 || f.Records[0].Value != "v=spf1 ip4:192.0.2.200 ip4:192.0.2.25 ip6:2001:db8::25 -all") {
				t.Errorf("%+v", f.Records)
			}
		}
		if problem := r.Score().Points < 100; problem != (tc.ask.IPs != nil) {
			t.Errorf("%+v", r.Score())
		}
	}
}

// TestTLSReportsAddress: where reports are read is proposed to whom it serves, and to nobody else.
func TestTLSReportsAddress(t *testing.T) {
	t.Parallel()
	pieces := perfect()
	pieces["rpt"] = ""
	n := newInternet(t, zoneOf(pieces))
	mine := func(o *checkup.CheckerOptions) {
		o.TLSReports = func(customer string, d mail.Domain) mail.Address {
			if customer == "shop" && d == "shop.test" {
				return mail.Address{Local: "tlsrpt", Domain: "gate.test"}
			}
			return mail.Address{}
		}
	}
	for customer, want := range map[string]string{"shop": "tlsrpt@gate.test", "rival": "postmaster@shop.test"} {
		r, err := n.checker(t, mine).Check(t.Context(), shopTest, checkup.Ask{Customer: customer, Selectors: []string{"s1"}})
		if err != nil {
			t.Fatal(err)
		}
		if f := r.Of(checkup.TLSReports); len(f) != 1 || f[0].Code != "tlsrpt.none" || len(f[0].Records) != 1 || f[0].Records[0].Value != "v=TLSRPTv1; rua=mailto:"+want {
			t.Errorf("%s: %+v", customer, f)
		}
	}
}

// TestScore: what is fine gives all its points, advice most, a problem none; what is not known and what is optional and absent is left out.
func TestScore(t *testing.T) {
	t.Parallel()
	f := func(g checkup.Group, s checkup.State, optional ...bool) checkup.Finding {
		return checkup.Finding{Group: g, State: s, Optional: len(optional) > 0}
	}
	for _, tc := range []struct {
		name       string
		findings   []checkup.Finding
		points     int
		unmeasured string
	}{
		{"all fine", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Fine), f(checkup.DMARC, checkup.Fine)}, 100, ""},
		{"one advice of two alike", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Advice)}, 85, ""},
		{"the worst of a group counts", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Fine), f(checkup.DKIM, checkup.Advice)}, 85, ""},
		{"a problem", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Problem)}, 50, ""},
		{"a small problem does not hide", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Fine), f(checkup.CAA, checkup.Problem)}, 79, ""},
		{"an optional problem", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Fine), f(checkup.BIMI, checkup.Problem, true)}, 97, ""},
		{"optional and absent", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.BIMI, checkup.Advice, true)}, 100, ""},
		{"unknown is left out and named", []checkup.Finding{f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Unknown), f(checkup.Lists, checkup.Fine), f(checkup.Lists, checkup.Unknown)}, 100, "lists dkim"},
		{"nothing measured", []checkup.Finding{f(checkup.SPF, checkup.Unknown)}, 0, "spf"},
		{"listed and all else fine", []checkup.Finding{f(checkup.Lists, checkup.Problem), f(checkup.SPF, checkup.Fine), f(checkup.DKIM, checkup.Fine), f(checkup.DMARC, checkup.Fine), f(checkup.MX, checkup.Fine), f(checkup.NameServers, checkup.Fine)}, 72, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := checkup.CheckReport{Findings: tc.findings}
			s := r.Score()
			var names []string
			for _, g := range s.Unmeasured {
				names = append(names, string(g))
			}
			if s.Points != tc.points || strings.Join(names, " ") != tc.unmeasured || s.Measured == (tc.name == "nothing measured") {
				t.Errorf("%+v, want %d, unmeasured %q", s, tc.points, tc.unmeasured)
			}
			slices.Reverse(r.Findings)
			if again := r.Score(); again.Points != s.Points || !slices.Equal(again.Unmeasured, s.Unmeasured) {
				t.Errorf("in another order %+v", again)
			}
		})
	}
	for _, g := range checkup.Groups() {
		if w := checkup.Weight(g); w < 0 || w > 25 {
			t.Errorf("%s weighs %d", g, w)
		}
	}
	// The perfect domain has all points; named as not measured are blocklists, the servers, and whom mailboxes trust with marks.
	if s := (setUp{}).run(t).Score(); s.Points != 100 || !s.Measured || !slices.Equal(s.Unmeasured, []checkup.Group{checkup.Lists, checkup.Server, checkup.TLS, checkup.BIMI}) {
		t.Errorf("perfect: %+v", s)
	}
}

// TestCheckJSON: the form for programs has the texts, stable names, and lists instead of nulls.
func TestCheckJSON(t *testing.T) {
	t.Parallel()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	r := setUp{zone: piece("spf", "")}.run(t)
	text, err := json.Marshal(r.JSON(c, "fr"))
	if err != nil {
		t.Fatal(err)
	}
	var back checkup.CheckJSON
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Target != "shop.test" || back.Kind != checkup.OfDomain || back.State != checkup.Problem || back.Score.Points >= 80 || back.Listings == nil || back.SPF != nil {
		t.Errorf("%.600s", text)
	}
	i := slices.IndexFunc(back.Groups, func(g checkup.GroupJSON) bool { return g.Group == checkup.SPF })
	if i < 0 || back.Groups[i].Name == "" || back.Groups[i].State != checkup.Problem {
		t.Fatalf("%.600s", text)
	}
	f := back.Groups[i].Findings[0]
	if f.Code != "spf.none" || !strings.Contains(f.What, "n'a pas") || len(f.Records) != 1 || f.Records[0].Value != "v=spf1 mx ~all" || f.Records[0].Zone != `shop.test. 3600 IN TXT "v=spf1 mx ~all"` ||
		f.Evidence[0].Name != "shop.test" || f.Evidence[0].Type != "TXT" {
		t.Errorf("%+v", f)
	}
	for _, name := range []string{`"target":`, `"took_ms":`, `"groups":`, `"listings":[]`, `"score":{"points":`, `"unmeasured":["lists"`} {
		if !strings.Contains(string(text), name) {
			t.Errorf("no %s in %.300s", name, text)
		}
	}
}

// manyLists is a panel of n lists of domains, whose answers take as long as the server is told to.
func manyLists(t testing.TB, n *internet, lists int) *dnsbl.Panel {
	t.Helper()
	var all []dnsbl.List
	for i := range lists {
		zone := fmt.Sprintf("list%d.test", i)
		all = append(all, dnsbl.List{Name: zone, Zone: zone, Kinds: dnsbl.Domain, Weight: 3, Codes: []dnsbl.Code{{Pattern: "127.0.0.2", Name: "listed", Meaning: dnsbl.Text{EN: "listed", FR: "inscrit"}}}})
	}
	p, err := dnsbl.NewPanel(dnsbl.PanelOptions{Resolver: n.dns.Resolver(t), Lists: all})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// withLists is perfect on one of 60 lists.
func withLists(t testing.TB) (*internet, *checkup.Checker) {
	t.Helper()
	pieces := perfect()
	pieces["zzlists"] = "shop.test.list7.test. 300 IN A 127.0.0.2\nshop.test.list7.test. 300 IN TXT \"seen in spam\"\n"
	for i := range 60 {
		pieces["zzlists"] += fmt.Sprintf("test.list%d.test. 300 IN A 127.0.0.2\n", i)
	}
	n := newInternet(t, zoneOf(pieces))
	p := manyLists(t, n, 60)
	return n, n.checker(t, func(o *checkup.CheckerOptions) { o.Panel = p })
}

// TestDenyingResolver: a name server that says of every name that there is none, as some networks have it, leaves all lists unknown: nothing is clean
// because of what it says.
func TestDenyingResolver(t *testing.T) {
	t.Parallel()
	n := newInternet(t, zoneOf(perfect()))
	p := manyLists(t, n, 3)
	r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Panel = p }).Check(t.Context(), shopTest, checkup.Ask{Selectors: []string{"s1"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Listings) != 3 {
		t.Errorf("%d listings", len(r.Listings))
	}
	for _, l := range r.Listings {
		if l.State == dnsbl.Clean || !errors.Is(l.Err, dnsbl.ErrGone) {
			t.Errorf("%s: %s, %v", l.List.Name, l.State, l.Err)
		}
	}
	if s := r.Score(); !slices.Contains(s.Unmeasured, checkup.Lists) {
		t.Errorf("%+v", s)
	}
	// Where even the top-level domains are denied, nothing is said of the target.
	n.dns.Fail("*", dnstest.NXDomain)
	for _, name := range []string{"shop.test", "192.0.2.25", "owner@shop.test"} {
		r, err := n.checker(t, func(*checkup.CheckerOptions) {}).Check(t.Context(), target(t, name), checkup.Ask{})
		if err != nil {
			t.Fatal(err)
		}
		readable(t, r)
		if len(r.Findings) != 1 || r.Findings[0].Code != "dns.denied" || r.State() != checkup.Unknown || r.Score().Measured {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestWithLists: a listing is a problem with the list's own reason, and each of the 60 lists has answered.
func TestWithLists(t *testing.T) {
	t.Parallel()
	n, c := withLists(t)
	n.dns.Delay("*", 5*time.Millisecond)
	told := 0
	r, err := c.Check(t.Context(), shopTest, checkup.Ask{Selectors: []string{"s1"}, Progress: func(done, of int) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	want := perfectly()
	delete(want, "lists")
	got := said(r)
	if !strings.Contains(got["lists"], "lists.listed=problem") {
		t.Errorf("lists: %s", got["lists"])
	}
	for g, w := range want {
		if got[g] != w {
			t.Errorf("%s: %q, want %q", g, got[g], w)
		}
	}
	states := map[dnsbl.State]int{}
	for _, l := range r.Listings {
		states[l.State]++
	}
	if states[dnsbl.Listed] != 1 || states[dnsbl.Clean] != 59 {
		t.Errorf("%v", states)
	}
	if told == 0 || r.State() != checkup.Problem || r.Score().Points > checkup.Ceiling {
		t.Errorf("told %d times, %s, %+v", told, r.State(), r.Score())
	}
}

// BenchmarkDomain is the check of a domain with 60 lists, each answer of the DNS taking 50 ms. The bar is 2 s.
func BenchmarkDomain(b *testing.B) {
	n, c := withLists(b)
	n.dns.Delay("*", 50*time.Millisecond)
	for b.Loop() {
		if r, err := c.Check(b.Context(), shopTest, checkup.Ask{Selectors: []string{"s1"}}); err != nil || len(r.Listings) != 60 {
			b.Fatal(len(r.Listings), err)
		}
	}
}

// BenchmarkDomainHeavy is the same for a domain whose SPF record is deep and too long.
func BenchmarkDomainHeavy(b *testing.B) {
	pieces := perfect()
	pieces["spf"] = txt("@", "v=spf1 "+hosts(10)+" include:_spf.other.test include:_a.shop.test -all") + txt("_a", "v=spf1 include:_b.shop.test mx -all") + txt("_b", "v=spf1 include:_spf.other.test a -all")
	n := newInternet(b, zoneOf(pieces))
	p := manyLists(b, n, 60)
	c := n.checker(b, func(o *checkup.CheckerOptions) { o.Panel = p })
	n.dns.Delay("*", 50*time.Millisecond)
	for b.Loop() {
		if r, err := c.Check(b.Context(), shopTest, checkup.Ask{Selectors: []string{"s1"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.25")}}); err != nil || len(r.Listings) != 60 {
			b.Fatal(len(r.Listings), err)
		}
	}
}

// FuzzRecords feeds what strangers publish to the readers of a check-up.
func FuzzRecords(f *testing.F) {
	for _, s := range []string{"v=BIMI1; l=https://a.test/x.svg; a=https://a.test/x.pem", "v=BIMI1; l=; a=;", "v=BIMI1;l=http://[::1]/x.svg", "issue=ca.test; policy=ev", "issue=;", "tbs=%%%",
		" v=spf1 -all", "\"v=spf1 a mx -all\"", "v=spf1;include:x.test", "v=spf1 a/24//64 mx//64 include:%{d} redirect=x.test"} {
		f.Add(s, uint16(0))
	}
	f.Fuzz(func(t *testing.T, s string, flags uint16) {
		checkup.ParseBIMI(s)
		set := checkup.ReadCAA([]dns.Record{{Type: dns.TypeCAA, Text: s, Pref: flags}})
		for _, i := range set.Issuers {
			if !dns.HostName(i) {
				t.Fatalf("%q is no issuer", i)
			}
		}
		if m := checkup.Mended(s); m != "" && (!strings.HasPrefix(m, "v=spf1 ") || strings.ContainsAny(m, "\r\n")) {
			t.Fatalf("%q is mended to %q", s, m)
		}
		if record := "v=spf1 " + s; len(s) < 2000 {
			tree := checkup.WalkSPF(t.Context(), dnsNothing{}, "shop.test", record)
			if len(tree.Nodes) != len(strings.Fields(s)) || tree.Lookups > len(tree.Nodes) {
				t.Fatalf("%q has %d terms and %d lookups", record, len(tree.Nodes), tree.Lookups)
			}
		}
	})
}
