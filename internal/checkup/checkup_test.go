package checkup_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/dkim"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// root is the world around the sender's domain: the gateway, its addresses and their names.
const root = `
$ORIGIN .
@ 300 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60
@ 300 IN NS ns.test.
test. 300 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60
$ORIGIN example.test.
gate 300 IN A 192.0.2.10
gate 300 IN AAAA 2001:db8::10
bounce.gate 300 IN MX 10 gate
bounce.gate 300 IN TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"
_spf 300 IN TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"
_half 300 IN TXT "v=spf1 ip4:192.0.2.10 -all"
mx 300 IN A 192.0.2.80
$ORIGIN 192.in-addr.arpa.
10.2.0 300 IN PTR gate.example.test.
$ORIGIN ip6.arpa.
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2 300 IN PTR gate.example.test.
$ORIGIN big.test.
@ 300 IN MX 10 mx.example.test.
a1 300 IN TXT "v=spf1 include:b1.big.test include:b2.big.test include:b3.big.test include:b4.big.test -all"
a2 300 IN TXT "v=spf1 include:b1.big.test include:b2.big.test include:b3.big.test include:b4.big.test -all"
b1 300 IN TXT "v=spf1 ip4:198.51.100.1 -all"
b2 300 IN TXT "v=spf1 ip4:198.51.100.2 -all"
b3 300 IN TXT "v=spf1 ip4:198.51.100.3 -all"
b4 300 IN TXT "v=spf1 ip4:198.51.100.4 -all"
$ORIGIN agrees.test.
shop.test._report._dmarc 300 IN TXT "v=DMARC1;"
$ORIGIN shop.test.
`

// good is a domain with nothing to mend but what a case changes; DKIM is published by the case.
const (
	goodMX    = "@ 300 IN MX 10 mx.example.test.\n"
	goodSPF   = "@ 300 IN TXT \"v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ~all\"\n"
	goodDMARC = "_dmarc 300 IN TXT \"v=DMARC1; p=quarantine; rua=mailto:owner@shop.test\"\n"
)

// world is an advisor over a DNS of the test's.
type world struct {
	*checkup.Advisor
	accounts *account.Ledger
	dns      *dnstest.Server
}

type change func(*checkup.Options)

func open(t *testing.T, zone string, customer account.Customer, with ...change) *world {
	t.Helper()
	w := &world{dns: dnstest.Start(t, root+zone)}
	var err error
	w.accounts, err = account.New(account.Options{DB: storetest.SQLite(t, store.MainSchema()), Pools: []account.Pool{{Name: "default", Egress: []account.Egress{
		{IP: netip.MustParseAddr("192.0.2.10"), HELO: "gate.example.test"}, {IP: netip.MustParseAddr("2001:db8::10"), HELO: "gate.example.test"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if customer.ID == "" {
		customer = shop()
	}
	for _, c := range []account.Customer{customer, {ID: "rival", Domains: []mail.Domain{"rival.test"}}} {
		if err := w.accounts.PutCustomer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	o := checkup.Options{Resolver: w.dns.Resolver(t), Accounts: w.accounts, Hostname: "gate.example.test", Returns: "bounce.gate.example.test", Signs: true, Secret: make([]byte, 32)}
	for _, f := range with {
		f(&o)
	}
	if w.Advisor, err = checkup.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

func shop() account.Customer {
	return account.Customer{ID: "shop", Domains: []mail.Domain{"shop.test"}, Contact: mail.Address{Local: "owner", Domain: "shop.test"}}
}

// withReturn is the shop with a domain of its own for return addresses.
func withReturn() account.Customer {
	c := shop()
	c.ReturnPath = "bounce.shop.test"
	return c
}

// key makes a key of the shop and returns it.
func (w *world) key(t *testing.T, selector string, active bool) dkim.Key {
	t.Helper()
	k, err := dkim.GenerateKey("shop.test", selector, dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.accounts.AddKey(t.Context(), account.KeyRecord{Domain: "shop.test", Selector: selector, Algorithm: account.Ed25519, PEM: k.PEM(), Active: active}); err != nil {
		t.Fatal(err)
	}
	return k
}

func (w *world) look(t *testing.T) checkup.Report {
	t.Helper()
	r, err := w.SetUp(t.Context(), "shop", "shop.test")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// codes are the findings of a group as "code state", with the subject behind a slash.
func codes(r checkup.Report, g checkup.Group) string {
	var out []string
	for _, f := range r.Of(g) {
		out = append(out, f.Code+" "+string(f.State))
	}
	return strings.Join(out, ", ")
}

// publish is a line of the zone for a record.
func publish(r checkup.Record) string { return r.Zone() + "\n" }

// TestSetUps is the table of set-ups: what is published, and what must be said of it, from the standards.
func TestSetUps(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	include := func(name string) change { return func(o *checkup.Options) { o.SPFInclude = name } }
	ten := "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 include:a1.big.test include:a2.big.test -all"
	cases := []struct {
		name     string
		zone     string
		customer account.Customer
		with     []change
		fail     string // name that does not answer
		failType dns.Type
		group    checkup.Group
		want     string // codes and states of the group
		record   string // value of the first record to publish; "-" none
	}{
		// SPF, RFC 7208
		{name: "no record", zone: goodMX, group: "spf", want: "spf.missing problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ~all"},
		{name: "other TXT records are none", zone: goodMX + "@ 300 IN TXT \"google-site-verification=1\"\n@ 300 IN TXT \"v=spf10 +all\"\n", group: "spf", want: "spf.missing problem"},
		{name: "no record, include", zone: goodMX, with: []change{include("_spf.example.test")}, group: "spf", want: "spf.missing problem", record: "v=spf1 include:_spf.example.test ~all"},
		{name: "include that lacks an address", zone: goodMX, with: []change{include("_half.example.test")}, group: "spf", want: "spf.missing problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ~all"},
		{name: "two records", zone: goodMX + "@ 300 IN TXT \"v=spf1 mx -all\"\n@ 300 IN TXT \"v=spf1 ip4:198.51.100.7 ~all\"\n", group: "spf", want: "spf.several problem",
			record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 mx ip4:198.51.100.7 ~all"},
		{name: "everybody", zone: goodMX + "@ 300 IN TXT \"v=spf1 mx +all\"\n", group: "spf", want: "spf.open problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 mx ~all"},
		{name: "all without a qualifier is everybody", zone: goodMX + "@ 300 IN TXT \"v=spf1 all\"\n", group: "spf", want: "spf.open problem"},
		{name: "misspelt", zone: goodMX + "@ 300 IN TXT \"v=spf1 ipv4:198.51.100.7 mx ip4:999.1.1.1 -all\"\n", group: "spf", want: "spf.syntax problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 mx -all"},
		{name: "not us", zone: goodMX + "@ 300 IN TXT \"v=spf1 ip4:198.51.100.7 -all\"\n", group: "spf", want: "spf.absent problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ip4:198.51.100.7 -all"},
		{name: "says it sends no mail", zone: goodMX + "@ 300 IN TXT \"v=spf1 -all\"\n", group: "spf", want: "spf.absent problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 -all"},
		{name: "IPv4 only", zone: goodMX + "@ 300 IN TXT \"v=spf1 ip4:192.0.2.0/24 ~all\"\n", group: "spf", want: "spf.partly problem", record: "v=spf1 ip6:2001:db8::10 ip4:192.0.2.0/24 ~all"},
		{name: "redirect", zone: goodMX + "@ 300 IN TXT \"v=spf1 redirect=b1.big.test\"\n", group: "spf", want: "spf.absent problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 redirect=b1.big.test"},
		{name: "redirect to the gateway's", zone: goodMX + "@ 300 IN TXT \"v=spf1 redirect=_spf.example.test\"\n", group: "spf", want: "spf.fine fine", record: "-"},
		{name: "include of the gateway", zone: goodMX + "@ 300 IN TXT \"v=spf1 include:_spf.example.test -all\"\n", group: "spf", want: "spf.fine fine", record: "-"},
		{name: "ten lookups before us", zone: goodMX + "@ 300 IN TXT \"v=spf1 include:a1.big.test include:a2.big.test ip4:192.0.2.10 ip6:2001:db8::10 -all\"\n", group: "spf", want: "spf.full advice"},
		{name: "more than ten lookups before us", zone: goodMX + "@ 300 IN TXT \"v=spf1 include:a1.big.test include:a2.big.test a:gone.test mx ip4:192.0.2.10 ip6:2001:db8::10 -all\"\n", group: "spf", want: "spf.lookups problem",
			record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 include:a1.big.test include:a2.big.test a:gone.test mx -all"},
		{name: "more than ten lookups behind us", zone: goodMX + "@ 300 IN TXT \"" + strings.Replace(ten, "-all", "mx a -all", 1) + "\"\n", group: "spf", want: "spf.heavy advice"},
		{name: "ten lookups", zone: goodMX + "@ 300 IN TXT \"" + ten + "\"\n", group: "spf", want: "spf.full advice"},
		{name: "names that do not exist", zone: goodMX + "@ 300 IN TXT \"v=spf1 a:x1.test a:x2.test a:x3.test -all\"\n", group: "spf", want: "spf.voids problem", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 a:x1.test a:x2.test a:x3.test -all"},
		{name: "include of nothing", zone: goodMX + "@ 300 IN TXT \"v=spf1 include:gone.test -all\"\n", group: "spf", want: "spf.broken problem"},
		{name: "no end", zone: goodMX + "@ 300 IN TXT \"v=spf1 ip4:192.0.2.10 ip6:2001:db8::10\"\n", group: "spf", want: "spf.open-end advice", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ~all"},
		{name: "neutral end", zone: goodMX + "@ 300 IN TXT \"v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ?all\"\n", group: "spf", want: "spf.open-end advice", record: "v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ~all"},
		{name: "ptr", zone: goodMX + "@ 300 IN TXT \"v=spf1 ip4:192.0.2.10 ip6:2001:db8::10 ptr -all\"\n", group: "spf", want: "spf.ptr advice"},
		{name: "good", zone: goodMX + goodSPF, group: "spf", want: "spf.fine fine", record: "-"},
		{name: "no answer", zone: goodMX + goodSPF, fail: "shop.test", failType: dns.TypeTXT, group: "spf", want: "spf.unknown unknown", record: "-"},
		{name: "no answer inside", zone: goodMX + "@ 300 IN TXT \"v=spf1 include:b1.big.test -all\"\n", fail: "b1.big.test", group: "spf", want: "spf.unknown unknown"},
		{name: "return path of another name", zone: goodMX + "@ 300 IN TXT \"v=spf1 -all\"\n", customer: withReturn(), group: "spf", want: "spf.absent advice"},
		{name: "smarthost", zone: goodMX + goodSPF, with: []change{func(o *checkup.Options) { o.Smarthost = true }}, group: "spf", want: "spf.smarthost unknown"},

		// DMARC, RFC 9989
		{name: "no policy", zone: goodMX, group: "dmarc", want: "dmarc.missing problem", record: "v=DMARC1; p=none; rua=mailto:owner@shop.test"},
		{name: "reports to the gateway", zone: goodMX, with: []change{func(o *checkup.Options) { o.Reports = mail.Address{Local: "dmarc", Domain: "agrees.test"} }}, group: "dmarc", want: "dmarc.missing problem", record: "v=DMARC1; p=none; rua=mailto:dmarc@agrees.test"},
		{name: "two policies", zone: goodMX + "_dmarc 300 IN TXT \"v=DMARC1; p=none\"\n_dmarc 300 IN TXT \"v=DMARC1; p=reject; rua=mailto:owner@shop.test\"\n", group: "dmarc", want: "dmarc.several problem", record: "v=DMARC1; p=reject; rua=mailto:owner@shop.test"},
		{name: "unusable policy", zone: goodMX + "_dmarc 300 IN TXT \"v=DMARC1; p=strict\"\n", group: "dmarc", want: "dmarc.unusable problem"},
		{name: "without reports", zone: goodMX + "_dmarc 300 IN TXT \"v=DMARC1; p=none; adkim=r\"\n", group: "dmarc", want: "dmarc.blind advice", record: "v=DMARC1; p=none; rua=mailto:owner@shop.test; adkim=r"},
		{name: "only watching", zone: goodMX + "_dmarc 300 IN TXT \"v=DMARC1; p=none; rua=mailto:owner@shop.test\"\n", group: "dmarc", want: "dmarc.none advice", record: "v=DMARC1; p=quarantine; rua=mailto:owner@shop.test"},
		{name: "removed tags", zone: goodMX + goodSPF + "_dmarc 300 IN TXT \"v=DMARC1; p=reject; pct=50; rua=mailto:owner@shop.test\"\n", group: "dmarc", want: "dmarc.warnings advice", record: "v=DMARC1; p=reject; rua=mailto:owner@shop.test"},
		{name: "on trial", zone: goodMX + goodSPF + "_dmarc 300 IN TXT \"v=DMARC1; p=reject; t=y; rua=mailto:owner@shop.test\"\n", group: "dmarc", want: "dmarc.testing advice", record: "v=DMARC1; p=reject; rua=mailto:owner@shop.test"},
		{name: "quarantine and SPF", zone: goodMX + goodSPF + goodDMARC, group: "dmarc", want: "dmarc.fine fine", record: "-"},
		{name: "quarantine and nothing passes", zone: goodMX + goodDMARC, group: "dmarc", want: "dmarc.fails problem"},
		{name: "reject and SPF unknown", zone: goodMX + goodDMARC, fail: "shop.test", failType: dns.TypeTXT, group: "dmarc", want: "dmarc.alignment-unknown unknown"},
		{name: "reports elsewhere, refused", zone: goodMX + "_dmarc 300 IN TXT \"v=DMARC1; p=none; rua=mailto:x@refuses.test\"\n", group: "dmarc", want: "dmarc.none advice, dmarc.reports-refused advice"},
		{name: "reports elsewhere, agreed", zone: goodMX + "_dmarc 300 IN TXT \"v=DMARC1; p=none; rua=mailto:x@agrees.test\"\n", group: "dmarc", want: "dmarc.none advice"},
		{name: "policy unknown", zone: goodMX + goodDMARC, fail: "_dmarc.shop.test", group: "dmarc", want: "dmarc.unknown unknown"},
		{name: "policy of the parent", zone: goodMX + goodSPF + "$ORIGIN test.\n_dmarc 300 IN TXT \"v=DMARC1; p=reject; sp=none; rua=mailto:owner@test\"\n", group: "dmarc", want: "dmarc.none advice", record: "-"},

		// return path
		{name: "return path of the gateway", zone: goodMX, group: "return", want: "return.ours fine"},
		{name: "return path kept", zone: goodMX, with: []change{func(o *checkup.Options) { o.Returns = "" }}, group: "return", want: "return.kept fine"},
		{name: "own return path, nothing there", zone: goodMX, customer: withReturn(), group: "return", want: "return.missing problem", record: "10 gate.example.test."},
		{name: "own return path, elsewhere", zone: goodMX + "bounce 300 IN MX 10 mx.example.test.\n", customer: withReturn(), group: "return", want: "return.elsewhere problem"},
		{name: "own return path, SPF lacks", zone: goodMX + "bounce 300 IN MX 10 gate.example.test.\n", customer: withReturn(), group: "return", want: "return.spf problem"},
		{name: "own return path by alias", zone: goodMX + "bounce 300 IN CNAME bounce.gate.example.test.\n", customer: withReturn(), group: "return", want: "return.fine fine", record: "-"},
		{name: "own return path unknown", zone: goodMX, customer: withReturn(), fail: "bounce.shop.test", group: "return", want: "return.unknown unknown"},

		// a domain that can take an answer, RFC 5321 5.1, RFC 7505
		{name: "no domain", zone: "", group: "exists", want: "exists.no-domain problem"},
		{name: "nothing to answer to", zone: "@ 300 IN TXT \"x\"\n", group: "exists", want: "exists.nothing problem"},
		{name: "address only", zone: "@ 300 IN A 192.0.2.80\n", group: "exists", want: "exists.address fine"},
		{name: "null MX", zone: "@ 300 IN MX 0 .\n", group: "exists", want: "exists.null problem"},
		{name: "MX without address", zone: "@ 300 IN MX 10 gone.example.test.\n", group: "exists", want: "exists.dead problem"},
		{name: "MX", zone: goodMX, group: "exists", want: "exists.fine fine"},
		{name: "MX unknown", zone: goodMX, fail: "shop.test", failType: dns.TypeMX, group: "exists", want: "exists.unknown unknown"},

		// the gateway's addresses
		{name: "reverse DNS", zone: goodMX, group: "egress", want: "egress.fine fine, egress.fine fine"},
		{name: "reverse DNS unknown", zone: goodMX, fail: "10.2.0.192.in-addr.arpa", group: "egress", want: "egress.unknown unknown, egress.fine fine"},
		{name: "include lacks an address", zone: goodMX, with: []change{include("_half.example.test")}, group: "egress", want: "egress.fine fine, egress.fine fine, egress.include-lacks problem"},

		// mail that the domain receives, RFC 8461, RFC 8460
		{name: "no MTA-STS", zone: goodMX, group: "sts", want: "sts.none advice"},
		{name: "no MX, no MTA-STS", zone: "@ 300 IN A 192.0.2.80\n", group: "sts", want: ""},
		{name: "MTA-STS without host", zone: goodMX + "_mta-sts 300 IN TXT \"v=STSv1; id=1;\"\n", group: "sts", want: "sts.no-host problem"},
		{name: "MTA-STS twice", zone: goodMX + "_mta-sts 300 IN TXT \"v=STSv1; id=1;\"\n_mta-sts 300 IN TXT \"v=STSv1; id=2;\"\n", group: "sts", want: "sts.several problem"},
		{name: "MTA-STS", zone: goodMX + "_mta-sts 300 IN TXT \"v=STSv1; id=1;\"\nmta-sts 300 IN A 192.0.2.81\n", group: "sts", want: "sts.fine fine"},
		{name: "no TLS reports", zone: goodMX, group: "tlsrpt", want: "tlsrpt.none advice", record: "v=TLSRPTv1; rua=mailto:postmaster@shop.test"},
		{name: "no TLS reports, and ours are read", zone: goodMX, group: "tlsrpt", want: "tlsrpt.none advice", record: "v=TLSRPTv1; rua=mailto:tlsrpt@gate.example.test",
			with: []change{func(o *checkup.Options) { o.TLSReports = mail.Address{Local: "tlsrpt", Domain: "gate.example.test"} }}},
		{name: "TLS reports", zone: goodMX + "_smtp._tls 300 IN TXT \"v=TLSRPTv1; rua=mailto:x@shop.test\"\n", group: "tlsrpt", want: "tlsrpt.fine fine"},
		{name: "TLS reports unknown", zone: goodMX, fail: "_smtp._tls.shop.test", group: "tlsrpt", want: "tlsrpt.unknown unknown"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, tc.zone, tc.customer, tc.with...)
			if tc.fail != "" {
				if tc.failType != 0 {
					w.dns.FailType(tc.fail, tc.failType, dnstest.ServFail)
				} else {
					w.dns.Fail(tc.fail, dnstest.ServFail)
				}
			}
			r := w.look(t)
			if got := codes(r, tc.group); got != tc.want {
				t.Fatalf("got  %q\nwant %q\n%+v", got, tc.want, r.Of(tc.group))
			}
			var records []checkup.Record
			for _, f := range r.Of(tc.group) {
				records = append(records, f.Records...)
			}
			switch {
			case tc.record == "-" && len(records) > 0:
				t.Errorf("something to publish: %+v", records)
			case tc.record != "" && tc.record != "-" && (len(records) == 0 || records[0].Value != tc.record):
				t.Errorf("to publish: %+v\nwant %s", records, tc.record)
			}
			spoken(t, catalog, r)
		})
	}
}

// spoken fails where a finding lacks words, or its words lack an argument.
func spoken(t *testing.T, c *locale.Catalog, r checkup.Report) {
	t.Helper()
	for _, f := range r.Findings {
		for _, lang := range locale.Languages() {
			x := checkup.Words(c, lang, f)
			for _, s := range []string{x.What, x.Do} {
				if strings.Contains(s, "checkup.") && strings.Contains(s, "."+strings.TrimPrefix(f.Code, string(f.Group)+".")) || strings.Contains(s, "<no value>") || strings.Contains(s, "{{") {
					t.Errorf("%s in %s: %q", f.Code, lang, s)
				}
			}
			for _, key := range []string{"?,", "? ", "`?`", " ?."} {
				if strings.Contains(x.What, key) && lang == locale.English {
					t.Errorf("%s: an argument is missing: %q", f.Code, x.What)
				}
			}
		}
		if f.State != checkup.Fine && f.Code != "dkim.none" && f.Code != "dkim.off" && !strings.HasSuffix(f.Code, ".unset") && !strings.HasSuffix(f.Code, ".smarthost") && f.Code != "egress.include-lacks" && len(f.Evidence) == 0 {
			t.Errorf("%s: nothing is said of what was asked", f.Code)
		}
	}
}

// TestKeys: what becomes of a key from the day it is made to the day it is replaced (RFC 6376).
func TestKeys(t *testing.T) {
	t.Parallel()
	other, err := dkim.GenerateKey("shop.test", "other", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	name := "k1._domainkey.shop.test. 300 IN TXT "
	cases := []struct {
		name     string
		inactive bool
		zone     func(own string) string
		fail     bool
		want     string
	}{
		{"signs, not published", false, func(string) string { return "" }, false, "dkim.absent problem"},
		{"made, not published", true, func(string) string { return "" }, false, "dkim.waiting problem"},
		{"published, not signing", true, func(own string) string { return name + `"` + own + `"` }, false, "dkim.ready problem"},
		{"published", false, func(own string) string { return name + `"` + own + `"` }, false, "dkim.fine fine"},
		{"published in pieces", false, func(own string) string { return name + `"` + own[:20] + `" "` + own[20:] + `"` }, false, "dkim.fine fine"},
		{"another key", false, func(string) string { return name + `"` + other.Record() + `"` }, false, "dkim.differs problem"},
		{"cut off", false, func(own string) string { return name + `"` + own[:len(own)-9] + `"` }, false, "dkim.differs problem"},
		{"revoked", false, func(string) string { return name + `"v=DKIM1; k=ed25519; p="` }, false, "dkim.revoked problem"},
		{"on trial", false, func(own string) string { return name + `"` + own + `; t=y"` }, false, "dkim.testing advice"},
		{"twice", false, func(own string) string { return name + `"` + own + `"` + "\n" + name + `"` + other.Record() + `"` }, false, "dkim.several problem"},
		{"no answer", false, func(own string) string { return name + `"` + own + `"` }, true, "dkim.unknown unknown"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, goodMX, account.Customer{})
			k := w.key(t, "k1", !tc.inactive)
			if err := w.dns.Set(root + goodMX + tc.zone(k.Record()) + "\n"); err != nil {
				t.Fatal(err)
			}
			if tc.fail {
				w.dns.Fail("k1._domainkey.shop.test", dnstest.Timeout)
			}
			r := w.look(t)
			if got := codes(r, "dkim"); got != tc.want {
				t.Fatalf("got %q, want %q\n%+v", got, tc.want, r.Of("dkim"))
			}
			if r.Took > checkup.Deadline+time.Second {
				t.Errorf("took %s", r.Took)
			}
		})
	}
	t.Run("no key", func(t *testing.T) {
		t.Parallel()
		if got := codes(open(t, goodMX, account.Customer{}).look(t), "dkim"); got != "dkim.none problem" {
			t.Error(got)
		}
	})
	t.Run("replaced", func(t *testing.T) {
		t.Parallel()
		w := open(t, goodMX, account.Customer{})
		old, fresh := w.key(t, "k1", false), w.key(t, "k2", true)
		_ = old
		if err := w.dns.Set(root + goodMX + publish(checkup.Record{Name: fresh.RecordName(), Type: "TXT", Value: fresh.Record(), TTL: 300})); err != nil {
			t.Fatal(err)
		}
		if got := codes(w.look(t), "dkim"); got != "dkim.fine fine, dkim.retired fine" {
			t.Error(got)
		}
	})
}

// TestFromNothingToGreen publishes what is said until nothing is left to mend: every proposal helps, and none breaks another.
func TestFromNothingToGreen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		zone     map[string]string // name and type -> lines
		customer account.Customer
	}{
		{"an empty domain with a mail server", map[string]string{}, shop()},
		{"two SPF records and a bad policy", map[string]string{
			"shop.test TXT":        "shop.test. 300 IN TXT \"v=spf1 mx -all\"\nshop.test. 300 IN TXT \"v=spf1 a:gone.test a:gone2.test a:gone3.test ?all\"\n",
			"_dmarc.shop.test TXT": "_dmarc.shop.test. 300 IN TXT \"v=DMARC1; p=none; pct=20; ri=3600\"\n"}, shop()},
		{"own return path", map[string]string{"shop.test TXT": "shop.test. 300 IN TXT \"v=spf1 ipv4:1.2.3.4 redirect=b1.big.test\"\n"}, withReturn()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, "", tc.customer)
			k := w.key(t, "k1", false)
			var last checkup.Report
			for round := range 8 {
				zone := goodMX
				for _, lines := range tc.zone {
					zone += lines
				}
				if err := w.dns.Set(root + zone); err != nil {
					t.Fatal(err)
				}
				if last = w.look(t); last.State() == checkup.Fine {
					t.Logf("green after %d rounds", round)
					return
				}
				seen := map[string]bool{}
				for _, f := range last.Findings {
					if f.Code == "dkim.ready" {
						if err := w.accounts.ActivateKey(t.Context(), k.Domain, k.Selector); err != nil {
							t.Fatal(err)
						}
					}
					for _, r := range f.Records {
						at := r.Name + " " + r.Type
						if f.Optional || f.Operator || r.Choice == 2 {
							continue
						}
						if !seen[at] {
							tc.zone[at], seen[at] = "", true
						}
						tc.zone[at] += publish(r)
					}
				}
			}
			t.Fatalf("not green: %+v", last.Findings)
		})
	}
}

func TestWhoseDomain(t *testing.T) {
	t.Parallel()
	w := open(t, goodMX, account.Customer{})
	if _, err := w.SetUp(t.Context(), "shop", "rival.test"); !errors.Is(err, checkup.ErrNotHis) {
		t.Errorf("another customer's domain: %v", err)
	}
	if _, err := w.SetUp(t.Context(), "nobody", "shop.test"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("no such customer: %v", err)
	}
	if _, err := w.SetUp(t.Context(), "shop", "news.shop.test"); err != nil {
		t.Errorf("below his: %v", err)
	}
}

// TestDeadline: name servers that say nothing cost no more than the deadline, and nothing is fine.
func TestDeadline(t *testing.T) {
	t.Parallel()
	w := open(t, goodMX+goodSPF+goodDMARC, account.Customer{})
	w.key(t, "k1", true)
	w.dns.Fail("*", dnstest.Timeout)
	began := time.Now()
	r := w.look(t)
	if took := time.Since(began); took > checkup.Deadline+time.Second {
		t.Errorf("took %s", took)
	}
	for _, f := range r.Findings {
		if f.State != checkup.Unknown && f.Group != checkup.ReturnPath {
			t.Errorf("%s is %s", f.Code, f.State)
		}
	}
	if r.State() != checkup.Unknown {
		t.Errorf("the domain is %s", r.State())
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	w := open(t, goodMX, account.Customer{})
	record := w.Challenge("shop", "new.test")
	if record.Name != "_postern-challenge.new.test" || !strings.HasPrefix(record.Value, "postern-domain=") || len(record.Value) != 47 {
		t.Fatalf("%+v", record)
	}
	if w.Challenge("shop", "new.test").Value != record.Value {
		t.Error("it changes")
	}
	if w.Challenge("rival", "new.test").Value == record.Value || w.Challenge("shop", "other.test").Value == record.Value {
		t.Error("it is the same for another")
	}
	prove := func(customer string) error {
		_, err := w.Prove(t.Context(), customer, "new.test")
		return err
	}
	if err := prove("shop"); !errors.Is(err, checkup.ErrUnproved) {
		t.Errorf("not published: %v", err)
	}
	if err := w.dns.Set(root + "$ORIGIN .\n" + publish(checkup.Record{Name: record.Name, Type: "TXT", Value: "x", TTL: 5}) + publish(record)); err != nil {
		t.Fatal(err)
	}
	if err := prove("shop"); err != nil {
		t.Errorf("published: %v", err)
	}
	if err := prove("rival"); !errors.Is(err, checkup.ErrUnproved) {
		t.Errorf("another customer with this proof: %v", err)
	}
	w.dns.Fail(record.Name, dnstest.ServFail)
	if err := prove("shop"); !errors.Is(err, checkup.ErrNoAnswer) {
		t.Errorf("no answer: %v", err)
	}
	for _, bad := range []mail.Domain{"com", "co.uk", "github.io", "[192.0.2.1]", "", "a..b", mail.Domain(strings.Repeat("a.", 120) + "example.org")} {
		if checkup.CheckName(bad) == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	if err := checkup.CheckName("shop.example.org"); err != nil {
		t.Error(err)
	}
}

func TestRecordForms(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, tc := range []struct {
		record checkup.Record
		zone   string
		host   string
	}{
		{checkup.Record{Name: "shop.example.org", Type: "TXT", Value: "v=spf1 -all", TTL: 60}, `shop.example.org. 60 IN TXT "v=spf1 -all"`, "shop"},
		{checkup.Record{Name: "example.org", Type: "TXT", Value: `a"b\c`, TTL: 60}, `example.org. 60 IN TXT "a\"b\\c"`, "@"},
		{checkup.Record{Name: "_dmarc.example.co.uk", Type: "TXT", Value: long, TTL: 60}, `_dmarc.example.co.uk. 60 IN TXT ( "` + long[:255] + `" "` + long[255:] + `" )`, "_dmarc"},
		{checkup.Record{Name: "b.example.org", Type: "MX", Value: "10 gate.example.net.", TTL: 60}, "b.example.org. 60 IN MX 10 gate.example.net.", "b"},
	} {
		if got := tc.record.Zone(); got != tc.zone {
			t.Errorf("zone: %s", got)
		}
		if got := tc.record.Host(); got != tc.host {
			t.Errorf("host: %s, want %s", got, tc.host)
		}
	}
}

// TestHostileText: what strangers publish is bounded, and stays within its place in what is downloaded.
func TestHostileText(t *testing.T) {
	t.Parallel()
	w := open(t, goodMX+"@ 300 IN TXT \"v=spf1 \\010evil.test. IN A 192.0.2.66 <script> -all\"\n_dmarc 300 IN TXT \"v=DMARC1; p=none; x=<b>\\013\\010y\"\n", account.Customer{})
	r := w.look(t)
	for _, line := range strings.Split(strings.TrimSpace(r.Snippet()), "\n") {
		if !strings.HasPrefix(line, ";") && !strings.Contains(line, " IN TXT ") {
			t.Errorf("a line of its own: %q", line)
		}
	}
	for _, f := range r.Findings {
		for _, q := range f.Evidence {
			for _, v := range q.Values {
				if len(v) > 3000 {
					t.Errorf("%d bytes shown", len(v))
				}
			}
		}
		for _, rec := range f.Records {
			if strings.ContainsAny(rec.Value, "\n\r<") {
				t.Errorf("to publish: %q", rec.Value)
			}
		}
	}
}

func FuzzMerge(f *testing.F) {
	for _, s := range []string{"v=spf1 -all", "v=spf1 a mx include:x.test ~all", "v=spf1 redirect=x", "v=spf1 +all exp=%{d}", "v=spf1 --a ip4: ip6:::1/129 a:/99", "v=spf1  "} {
		f.Add(s)
	}
	resolver := dnsNothing{}
	f.Fuzz(func(t *testing.T, record string) {
		merged := checkup.MergeSPF([]string{"v=spf1 " + record}, []string{"ip4:192.0.2.1"})
		if !strings.HasPrefix(merged, "v=spf1 ip4:192.0.2.1") || strings.ContainsAny(merged, "\r\n") {
			t.Errorf("%q", merged)
		}
		checkup.WalkSPF(context.Background(), resolver, "x.test", "v=spf1 "+record)
	})
}

// dnsNothing knows no name.
type dnsNothing struct{}

func (dnsNothing) Query(context.Context, string, dns.Type) dns.Answer {
	return dns.Answer{Status: dns.Nothing, NXDomain: true}
}

func TestGroupsAreSpoken(t *testing.T) {
	t.Parallel()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range locale.Languages() {
		for _, g := range checkup.Groups() {
			if name, why := checkup.GroupName(c, lang, g); strings.HasPrefix(name, "checkup.") || strings.HasPrefix(why, "checkup.") {
				t.Errorf("%s in %s", g, lang)
			}
		}
		for _, s := range []checkup.State{checkup.Fine, checkup.Advice, checkup.Unknown, checkup.Problem} {
			if strings.HasPrefix(checkup.StateName(c, lang, s), "checkup.") {
				t.Errorf("%s in %s", s, lang)
			}
		}
	}
	if got := fmt.Sprintf("%s %s %s", checkup.Worse(checkup.Fine, checkup.Unknown), checkup.Worse(checkup.Problem, checkup.Unknown), checkup.Worse("", checkup.Fine)); got != "unknown problem fine" {
		t.Error(got)
	}
	if !slices.Contains(checkup.Groups(), checkup.SPF) {
		t.Error("no groups")
	}
}
