package checkup_test

import (
	"compress/gzip"
	"net/http"
	"net/netip"
	"strings"

	"postern/internal/checkup"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
)

// setUp is one way to set a domain up, and what a check-up must say of it.
type setUp struct {
	name  string
	rule  string            // the standard, with its section
	zone  map[string]string // pieces of perfect that are replaced; "" is none
	world func(*internet)
	of    checkup.Target // zero: shop.test
	ask   *checkup.Ask   // nil: with selector s1
	want  string         // findings "code=state" of groups that differ from perfect; "-sts" nothing of that group
	only  bool           // want is all that is said
}

// setUps were written from the standards before the code.
var setUps = []setUp{
	{name: "perfect"},
	{name: "perfect, and nothing known of DKIM", rule: "RFC 6376 3.1: selectors cannot be listed", ask: &checkup.Ask{}, want: "dkim.no-selector=unknown"},

	// SPF
	{name: "no SPF", rule: "RFC 7208 4.5", zone: piece("spf", ""), want: "spf.none=problem"},
	{name: "two SPF", rule: "RFC 7208 4.5", zone: spf("v=spf1 ip4:192.0.2.25 -all", "v=spf1 ip6:2001:db8::25 -all"), want: "spf.many=problem"},
	{name: "everybody may send", rule: "RFC 7208 11.4", zone: spf("v=spf1 ip4:192.0.2.25 +all"), want: "spf.everyone=problem"},
	{name: "all addresses in two halves", rule: "RFC 7208 11.4", zone: spf("v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"), want: "spf.everyone=problem"},
	{name: "eleven lookups", rule: "RFC 7208 4.6.4", zone: spf("v=spf1 " + hosts(11) + " -all"), want: "spf.over-lookups=problem"},
	{name: "exactly ten lookups", rule: "RFC 7208 4.6.4", zone: spf("v=spf1 " + hosts(10) + " -all"), want: "spf.near-limit=advice"},
	{name: "three void lookups", rule: "RFC 7208 4.6.4", zone: spf("v=spf1 a:v1.other.test a:v2.other.test a:v3.other.test -all"), want: "spf.over-voids=problem"},
	{name: "two void lookups", rule: "RFC 7208 4.6.4", zone: spf("v=spf1 ip4:192.0.2.25 a:v1.other.test a:v2.other.test -all"), want: "spf.dead-names=advice"},
	{name: "includes itself", rule: "RFC 7208 5.2", zone: spf("v=spf1 include:shop.test -all"), want: "spf.loop=problem"},
	{name: "includes one who includes it", rule: "RFC 7208 5.2", zone: spf("v=spf1 include:_loop.other.test -all"), want: "spf.loop=problem"},
	{name: "include without a record", rule: "RFC 7208 5.2", zone: spf("v=spf1 include:other.test ip4:192.0.2.25 -all"), want: "spf.no-target=problem"},
	{name: "redirect", rule: "RFC 7208 6.1", zone: spf("v=spf1 redirect=_spf.other.test")},
	{name: "redirect to nowhere", rule: "RFC 7208 6.1", zone: spf("v=spf1 redirect=gone.other.test"), want: "spf.no-target=problem"},
	{name: "macro", rule: "RFC 7208 7", zone: spf("v=spf1 ip4:192.0.2.25 exists:%{i}._spf.%{d} -all")},
	{name: "ptr", rule: "RFC 7208 5.5", zone: spf("v=spf1 ip4:192.0.2.25 ptr -all"), want: "spf.uses-ptr=advice"},
	{name: "leading space", rule: "RFC 7208 4.5", zone: spf(" v=spf1 ip4:192.0.2.25 -all"), want: "spf.near-miss=problem"},
	{name: "semicolon after the version", rule: "RFC 7208 4.5", zone: spf("v=spf1; ip4:192.0.2.25 -all"), want: "spf.near-miss=problem"},
	{name: "upper case", rule: "RFC 7208 4.5, 4.6.1", zone: spf("V=SPF1 IP4:192.0.2.25 -ALL")},
	{name: "more than 450 bytes", rule: "RFC 7208 3.4", zone: spf("v=spf1 ip4:192.0.2.25 " + strings.Repeat("ip4:203.0.113.128/25 ", 21) + "-all"), want: "spf.long=advice"},
	{name: "several strings", rule: "RFC 7208 3.3", zone: piece("spf", `@ 300 IN TXT "v=spf1 ip4:192.0.2" ".25 -all"`+"\n")},
	{name: "several strings without the space between", rule: "RFC 7208 3.3", zone: piece("spf", `@ 300 IN TXT "v=spf1 ip4:192.0.2.25" "-all"`+"\n"), want: "spf.invalid=problem"},
	{name: "only in the old type", rule: "RFC 7208 3.1", zone: piece("spf", `@ 300 IN SPF "v=spf1 ip4:192.0.2.25 -all"`+"\n"), want: "spf.type99=problem"},
	{name: "no end", rule: "RFC 7208 4.7", zone: spf("v=spf1 ip4:192.0.2.25"), want: "spf.no-end=advice"},
	{name: "neutral end", rule: "RFC 7208 2.6.2", zone: spf("v=spf1 ip4:192.0.2.25 ?all"), want: "spf.no-end=advice"},
	{name: "unknown mechanism", rule: "RFC 7208 4.6", zone: spf("v=spf1 ipv4:192.0.2.25 -all"), want: "spf.invalid=problem"},
	{name: "terms after all", rule: "RFC 7208 5.1", zone: spf("v=spf1 ip4:192.0.2.25 -all ip4:192.0.2.26"), want: "spf.after-all=advice"},
	{name: "include that does not answer", rule: "RFC 7208 2.6.6", zone: spf("v=spf1 include:_spf.other.test -all"), world: fails("_spf.other.test", dnstest.ServFail), want: "spf.unknown=unknown"},
	{name: "eleven exchangers in mx", rule: "RFC 7208 4.6.4", zone: spf("v=spf1 mx:many.other.test -all"), want: "spf.error=problem"},
	{name: "whether our address passes is not known", rule: "RFC 7208 2.6.6", zone: spf("v=spf1 include:_spf.other.test -all"), world: fails("_spf.other.test", dnstest.ServFail), ask: from("192.0.2.25"),
		want: "spf.cover-unknown=unknown spf.unknown=unknown"},
	{name: "our addresses pass", rule: "RFC 7208 2.6.3", ask: from("192.0.2.25", "2001:db8::25"), want: "spf.covers=fine spf.good=fine"},
	{name: "one of our addresses does not", rule: "RFC 7208 2.6.4", ask: from("192.0.2.25", "192.0.2.99"), want: "spf.good=fine spf.lacks=problem"},
	{name: "our address is behind too many lookups", rule: "RFC 7208 4.6.4", zone: spf("v=spf1 " + hosts(10) + " include:_spf.other.test -all"), ask: from("192.0.2.25"), want: "spf.lacks=problem spf.over-lookups=problem"},

	// DKIM
	{name: "key of 512 bits", rule: "RFC 8301 3.2", zone: selector("512"), want: "dkim.key-short=problem"},
	{name: "key of 1024 bits", rule: "RFC 8301 3.2", zone: selector("1024"), want: "dkim.key-1024=advice"},
	{name: "Ed25519 alone", rule: "RFC 8463 1", zone: selector("ed25519"), want: "dkim.key-ed25519=advice"},
	{name: "key revoked", rule: "RFC 6376 3.6.1 p=", zone: piece("dkim", txt("s1._domainkey", "v=DKIM1; p=")), want: "dkim.key-revoked=problem"},
	{name: "key as a test", rule: "RFC 6376 3.6.1 t=", zone: piece("dkim", txt("s1._domainkey", keys()["rsa"]+"; t=y")), want: "dkim.key-testing=advice"},
	{name: "no key in the record", rule: "RFC 6376 3.6.1", zone: piece("dkim", txt("s1._domainkey", "v=DKIM1; k=rsa; p=MIIB***")), want: "dkim.key-broken=problem"},
	{name: "key for SHA-1 only", rule: "RFC 8301 3.1", zone: piece("dkim", txt("s1._domainkey", keys()["rsa"]+"; h=sha1")), want: "dkim.key-broken=problem"},
	{name: "selector known and not published", rule: "RFC 6376 3.6.2", zone: piece("dkim", ""), want: "dkim.key-missing=problem"},
	{name: "one selector published, one not", rule: "RFC 6376 3.6.2", ask: &checkup.Ask{Selectors: []string{"s1", "old"}}, want: "dkim.key-fine=fine dkim.key-missing=advice"},
	{name: "selector that is an alias", rule: "RFC 6376 3.6.2.1, RFC 1034 3.6.2", zone: piece("dkim", "s1._domainkey 300 IN CNAME s1.keys.shop.test.\n"+txt("s1.keys", keys()["rsa"]))},
	{name: "two records at the selector", rule: "RFC 6376 3.6.2.2", zone: piece("dkim", txt("s1._domainkey", keys()["rsa"])+txt("s1._domainkey", keys()["ed25519"])), want: "dkim.key-several=problem"},
	{name: "selector that does not answer", rule: "RFC 6376 6.1.2", world: fails("s1._domainkey.shop.test", dnstest.ServFail), want: "dkim.key-unknown=unknown"},

	// DMARC, and BIMI that rests on it
	{name: "no DMARC", rule: "RFC 9989 4.7", zone: piece("dmarc", ""), want: "dmarc.missing=problem bimi.not-enforced=problem"},
	{name: "DMARC none", rule: "RFC 9989 4.7 p=", zone: policy("v=DMARC1; p=none; rua=mailto:d@shop.test"), want: "dmarc.none=advice bimi.not-enforced=problem"},
	{name: "DMARC quarantine", rule: "RFC 9989 4.7 p=", zone: policy("v=DMARC1; p=quarantine; rua=mailto:d@shop.test")},
	{name: "DMARC lets subdomains go", rule: "RFC 9989 4.7 sp=", zone: policy("v=DMARC1; p=reject; sp=none; rua=mailto:d@shop.test"), want: "dmarc.sub-open=advice bimi.not-enforced=problem"},
	{name: "DMARC lets names go that do not exist", rule: "RFC 9989 4.7 np=", zone: policy("v=DMARC1; p=reject; np=none; rua=mailto:d@shop.test"), want: "dmarc.sub-open=advice"},
	{name: "DMARC says public suffix", rule: "RFC 9989 4.7 psd=", zone: policy("v=DMARC1; p=reject; psd=y; rua=mailto:d@shop.test"), want: "dmarc.psd=advice"},
	{name: "DMARC on trial", rule: "RFC 9989 4.7 t=", zone: policy("v=DMARC1; p=reject; t=y; rua=mailto:d@shop.test"), want: "dmarc.testing=advice bimi.not-enforced=problem"},
	{name: "DMARC with pct", rule: "RFC 9989 A.6: pct= was removed", zone: policy("v=DMARC1; p=reject; pct=50; rua=mailto:d@shop.test"), want: "dmarc.warnings=advice bimi.pct=problem"},
	{name: "DMARC with a wrong p", rule: "RFC 9989 4.7", zone: policy("v=DMARC1; p=rejct"), want: "dmarc.unusable=problem bimi.not-enforced=problem"},
	{name: "several DMARC", rule: "RFC 9989 4.10", zone: piece("dmarc", txt("_dmarc", "v=DMARC1; p=none")+txt("_dmarc", "v=DMARC1; p=reject")), want: "dmarc.several=problem bimi.not-enforced=problem"},
	{name: "reports to others who do not want them", rule: "RFC 9990 4", zone: policy("v=DMARC1; p=reject; rua=mailto:d@mailhost.test"), want: "dmarc.enforced=fine dmarc.reports-refused=advice"},
	{name: "reports to others who take them", rule: "RFC 9990 4", zone: policy("v=DMARC1; p=reject; rua=mailto:d@other.test")},
	{name: "reports to no address", rule: "RFC 9989 4.7 rua=", zone: policy("v=DMARC1; p=reject; rua=dmarc@shop.test"), want: "dmarc.warnings=advice"},
	{name: "no reports", rule: "RFC 9989 4.7 rua=", zone: policy("v=DMARC1; p=reject"), want: "dmarc.blind=advice"},
	{name: "DMARC does not answer", rule: "RFC 9989 4.10", world: fails("_dmarc.shop.test", dnstest.ServFail), want: "dmarc.unknown=unknown bimi.unknown=unknown"},
	{name: "subdomain under its organization's policy", rule: "RFC 9989 4.10", of: of("news.shop.test"), zone: piece("news", subdomain), only: true,
		want: "lists.off=unknown server.mx-unprobed=unknown dane.unheld=unknown spf.good=fine dkim.key-missing=problem dmarc.enforced=fine mx.fine=fine ns.delegation-fine=fine ns.fine=fine dnssec.fine=fine caa.fine=fine sts.none=advice tlsrpt.none=advice bimi.fine=fine bimi.mark-roots=unknown"},
	{name: "subdomain let go by sp", rule: "RFC 9989 4.7 sp=", of: of("news.shop.test"), zone: pieces("news", subdomain, "dmarc", txt("_dmarc", "v=DMARC1; p=reject; sp=none; rua=mailto:d@shop.test")), only: true,
		want: "lists.off=unknown server.mx-unprobed=unknown dane.unheld=unknown spf.good=fine dkim.key-missing=problem dmarc.none=advice mx.fine=fine ns.delegation-fine=fine ns.fine=fine dnssec.fine=fine caa.fine=fine sts.none=advice tlsrpt.none=advice bimi.not-enforced=problem"},

	// MX
	{name: "null MX beside an address", rule: "RFC 7505 3, 4.2", zone: piece("mx", "@ 300 IN MX 0 .\n@ 300 IN A 192.0.2.25\n"), want: "mx.null=problem -sts -tlsrpt -server -tls"},
	{name: "parked: takes nothing, sends nothing", rule: "RFC 7505 4.2, RFC 7208 10.1.2", zone: pieces("mx", "@ 300 IN MX 0 .\n", "spf", txt("@", "v=spf1 -all")), want: "mx.parked=fine spf.nobody=fine -sts -tlsrpt -server -tls"},
	{name: "null MX beside others", rule: "RFC 7505 3", zone: mx("@ 300 IN MX 0 .\n@ 300 IN MX 10 mx1\n"), want: "mx.null-mixed=problem"},
	{name: "MX is an alias", rule: "RFC 5321 5.1, RFC 2181 10.3", zone: piece("mx", "@ 300 IN MX 10 mx1\nmx1 300 IN CNAME mx.mailhost.test.\n"), want: "mx.alias=advice"},
	{name: "MX is an address", rule: "RFC 1035 3.3.9", zone: piece("mx", "@ 300 IN MX 10 192.0.2.25.\n"), want: "mx.literal=problem sts.mismatch=problem -server -tls"},
	{name: "MX has no address", rule: "RFC 5321 5.1", zone: piece("mx", "@ 300 IN MX 10 mx1\n"), want: "mx.no-address=problem -server -tls"},
	{name: "one of two MX has no address", rule: "RFC 5321 5.1", zone: mx("@ 300 IN MX 10 mx1\n@ 300 IN MX 20 mx2\n"), want: "mx.dead-host=advice"},
	{name: "MX is loopback", rule: "RFC 6890", zone: piece("mx", "@ 300 IN MX 10 mx1\nmx1 300 IN A 127.0.0.1\n"), want: "mx.private=problem"},
	{name: "MX is in a private network", rule: "RFC 1918", zone: piece("mx", "@ 300 IN MX 10 mx1\nmx1 300 IN A 10.0.0.25\n"), want: "mx.private=problem"},
	{name: "no MX but an address", rule: "RFC 5321 5.1", zone: piece("mx", "@ 300 IN A 192.0.2.25\n"), want: "mx.implicit=advice -sts -tlsrpt server.mx-unprobed=unknown dane.none=advice"},
	{name: "neither MX nor address", rule: "RFC 5321 5.1", zone: piece("mx", ""), want: "mx.none=problem -sts -tlsrpt -server -tls"},
	{name: "the same MX twice", rule: "RFC 5321 5.1", zone: mx("@ 300 IN MX 10 mx1\n@ 300 IN MX 20 mx1\n"), want: "mx.duplicate=advice"},
	{name: "MX without IPv6", rule: "RFC 3974", zone: piece("mx", "@ 300 IN MX 10 mx1\nmx1 300 IN A 192.0.2.25\n"), want: "mx.fine=fine mx.no-ipv6=advice"},
	{name: "MX whose address does not come", rule: "RFC 5321 5.1", world: fails("mx1.shop.test", dnstest.ServFail), want: "mx.host-unknown=unknown -server -tls"},
	{name: "MX does not answer", rule: "RFC 5321 5.1", world: failsType("shop.test", dns.TypeMX, dnstest.ServFail), want: "mx.unknown=unknown sts.mx-unknown=unknown -server -tls"},

	// Name servers
	{name: "a name server refuses the zone", rule: "RFC 1912 2.8", world: second(func(s *dnstest.Server) { s.Fail("*", dnstest.Refused) }), want: "ns.lame=problem"},
	{name: "a name server refers elsewhere", rule: "RFC 1912 2.8", world: second(func(s *dnstest.Server) { s.Fail("*", dnstest.Lame) }), want: "ns.lame=problem"},
	{name: "a name server is silent", rule: "RFC 2182 4", world: silent("198.51.100.53"), want: "ns.silent=problem"},
	{name: "all name servers are silent to us", rule: "unknown is no fault", world: silent("198.51.100.53", "192.0.2.53"), want: "ns.unheard=unknown"},
	{name: "all questions to name servers are answered by somebody else", rule: "RFC 8499 6: a forwarder on the way; unknown is no fault",
		world: func(n *internet) {
			n.astray = true
			second(func(s *dnstest.Server) { s.Fail("*", dnstest.NXDomain) })(n)
		}, want: "ns.unheard=unknown"},
	{name: "a single name server", rule: "RFC 1034 4.1, RFC 2182 5", zone: piece("ns", "@ 300 IN NS ns1.dns.test.\n"), want: "ns.single=problem"},
	{name: "name servers in one network", rule: "RFC 2182 3.1", zone: piece("ns", "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS near.dns.test.\n"), want: "ns.same-net=advice"},
	{name: "serials differ", rule: "RFC 1912 2.2", world: otherZone("soa", "@ 300 IN SOA ns1.dns.test. hostmaster.shop.test. 2026112100 14400 3600 1209600 3600\n"), want: "ns.serials=advice"},
	{name: "name servers name others", rule: "RFC 1912 2.8", world: otherZone("ns", "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS near.dns.test.\n"), want: "ns.sets=advice"},
	{name: "SOA: the primary does not exist", rule: "RFC 1035 3.3.13", zone: soa("gone.dns.test. hostmaster.shop.test. 1 14400 3600 1209600 3600"), want: "ns.soa-primary=advice"},
	{name: "SOA: refresh of ten seconds", rule: "RFC 1912 2.2", zone: soa("ns1.dns.test. hostmaster.shop.test. 1 10 5 1209600 3600"), want: "ns.soa-refresh=advice"},
	{name: "SOA: retry longer than refresh", rule: "RFC 1912 2.2", zone: soa("ns1.dns.test. hostmaster.shop.test. 1 3600 14400 1209600 3600"), want: "ns.soa-retry=advice"},
	{name: "SOA: expires after a day", rule: "RFC 1912 2.2", zone: soa("ns1.dns.test. hostmaster.shop.test. 1 14400 3600 86400 3600"), want: "ns.soa-expire=advice"},
	{name: "SOA: denials kept for a week", rule: "RFC 2308 5", zone: soa("ns1.dns.test. hostmaster.shop.test. 1 14400 3600 1209600 604800"), want: "ns.soa-minimum=advice"},
	{name: "a name server is an alias", rule: "RFC 2181 10.3", zone: piece("ns", "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS alias.dns.test.\n"), want: "ns.alias=problem"},
	{name: "a name server without address", rule: "RFC 1912 2.8", zone: piece("ns", "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2.dns.test.\n@ 300 IN NS gone.dns.test.\n"), want: "ns.no-address=problem"},
	{name: "a name server in a private network", rule: "RFC 1918", zone: piece("ns", "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2.dns.test.\n@ 300 IN NS inner.dns.test.\n"), want: "ns.private=problem"},
	{name: "a name server whose address does not come", rule: "RFC 2308 7.1", world: fails("ns2.dns.test", dnstest.ServFail), want: "ns.address-unknown=unknown"},
	{name: "the parent knows nothing of the zone", rule: "RFC 1034 4.2.1", world: above("other 300 IN TXT x\n"), want: "ns.undelegated=problem"},
	{name: "the parent's servers hold the zone as well", rule: "RFC 1034 4.3.2", world: above(perfect()["soa"] + perfect()["ns"]), want: "ns.delegation-inside=fine ns.fine=fine"},
	{name: "the parent's servers are silent", rule: "unknown is no fault", world: silent("192.0.2.54"), want: "ns.parent-unknown=unknown"},
	{name: "the parent's servers refuse", rule: "unknown is no fault", world: func(n *internet) { n.above = "@ 300 IN TXT x\n"; n.dns.Fail("a.nic.test", dnstest.ServFail) }, want: "ns.parent-unknown=unknown"},
	{name: "which servers the parent has does not come", rule: "unknown is no fault", world: failsType("test", dns.TypeNS, dnstest.ServFail), want: "ns.parent-unknown=unknown"},
	{name: "the parent names one more", rule: "RFC 1034 4.2.2, RFC 1912 2.3", world: above("@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2.dns.test.\n@ 300 IN NS near.dns.test.\n"), want: "ns.parent-differs=advice"},
	{name: "the parent names one less", rule: "RFC 1034 4.2.2", world: above("@ 300 IN NS ns1.dns.test.\n"), want: "ns.parent-differs=advice"},
	{name: "the parent names one that is lame", rule: "RFC 1912 2.8", world: func(n *internet) {
		above("@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2.dns.test.\n")(n)
		second(func(s *dnstest.Server) { s.Fail("*", dnstest.Refused) })(n)
	}, zone: piece("ns", "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS near.dns.test.\n"), want: "ns.lame=problem ns.parent-differs=advice"},
	{name: "the parent names others only", rule: "RFC 1034 4.2.2: the zone has moved", world: above("@ 300 IN NS near.dns.test.\n"), want: "ns.parent-differs=problem"},
	{name: "a name server within the zone, with glue", rule: "RFC 1034 4.2.1", zone: within, want: "ns.delegation-fine=fine ns.fine=fine"},
	{name: "one of two without glue", rule: "RFC 9471 3", zone: within, world: above("@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2\n"), want: "ns.glue-missing=advice"},
	{name: "no glue at all", rule: "RFC 1034 4.2.1", zone: pieces("ns", "@ 300 IN NS ns2\n@ 300 IN NS ns3\nns2 300 IN A 198.51.100.53\nns3 300 IN A 192.0.2.53\n"), world: above("@ 300 IN NS ns2\n@ 300 IN NS ns3\n"), want: "ns.glue-missing=problem"},
	{name: "glue of an old address", rule: "RFC 1912 2.3", zone: within, world: above("@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2\nns2 300 IN A 203.0.113.53\n"), want: "ns.glue-differs=problem"},
	{name: "glue of an old address beside the new", rule: "RFC 1912 2.3", zone: within, world: above("@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2\nns2 300 IN A 203.0.113.53\nns2 300 IN A 198.51.100.53\n"), want: "ns.glue-differs=advice"},
	{name: "addresses for the glue do not come", rule: "unknown is no fault", zone: within, world: func(n *internet) {
		above("@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2\nns2 300 IN A 198.51.100.53\n")(n)
		n.dns.FailType("ns2.shop.test", dns.TypeAAAA, dnstest.ServFail)
	}, want: "ns.delegation-fine=fine ns.fine=fine"},
	{name: "wildcard TXT", rule: "RFC 1912 2.7, RFC 4592 2.2.1", zone: piece("wild", `* 300 IN TXT "v=spf1 -all"`+"\n"), want: "ns.wildcard=advice"},
	{name: "the domain does not exist", rule: "RFC 8020 2", of: of("gone-shop.test"), only: true, want: "lists.off=unknown ns.no-domain=problem"},
	{name: "SERVFAIL for everything", rule: "RFC 2308 7.1", world: everything(dnstest.ServFail), want: allUnknown},
	{name: "no answer to anything", rule: "RFC 2308 7.2", world: everything(dnstest.Timeout), want: allUnknown},

	// DNSSEC
	{name: "not signed", rule: "RFC 4035 5.2", zone: piece("ds", ""), world: everything(dnstest.Unsigned), want: "dnssec.unsigned=advice dane.no-dnssec=advice"},
	{name: "signature is wrong", rule: "RFC 4035 5.5, RFC 8914 4.7", world: everything(dnstest.Bogus), want: strings.Replace(allUnknown, "dnssec.unknown=unknown", "dnssec.bogus=problem", 1)},
	{name: "DS, and nobody vouches for the zone", rule: "RFC 4035 5.2: no supported algorithm", world: failsType("shop.test", dns.TypeSOA, dnstest.Unsigned), want: "dnssec.not-validated=advice"},
	{name: "DS, and a resolver that does not validate", rule: "RFC 6840 5.8", world: func(n *internet) { n.dns.SetSecure(false) }, want: "dnssec.unchecked=unknown dane.unchecked=unknown"},

	// CAA
	{name: "no CAA", rule: "RFC 8659 3", zone: piece("caa", ""), want: "caa.none=advice"},
	{name: "CAA forbids everybody", rule: "RFC 8659 4.2", zone: piece("caa", "@ 300 IN CAA 0 issue \";\"\n"), want: "caa.forbids=advice"},
	{name: "CAA critical and unknown", rule: "RFC 8659 4.1", zone: piece("caa", "@ 300 IN CAA 0 issue \"letsencrypt.org\"\n@ 300 IN CAA 128 tbs \"x\"\n"), want: "caa.critical=problem"},
	{name: "CAA that cannot be read", rule: "RFC 8659 4.2", zone: piece("caa", "@ 300 IN CAA 0 issue \"%%%%%\"\n"), want: "caa.forbids=advice"},
	{name: "CAA does not answer", rule: "RFC 8659 3", world: failsType("shop.test", dns.TypeCAA, dnstest.ServFail), want: "caa.unknown=unknown"},

	// MTA-STS and TLS-RPT
	{name: "no MTA-STS", rule: "RFC 8461 3.1", zone: piece("sts", ""), want: "sts.none=advice"},
	{name: "MTA-STS without its file", rule: "RFC 8461 3.3", world: page(http.NotFound), want: "sts.no-file=problem"},
	{name: "MTA-STS file moved", rule: "RFC 8461 3.3: 3xx are not followed", world: page(http.RedirectHandler("https://shop.test/", http.StatusMovedPermanently).ServeHTTP), want: "sts.no-file=problem"},
	{name: "MTA-STS host without address", rule: "RFC 8461 3.3", zone: piece("host", ""), want: "sts.no-host=problem"},
	{name: "MTA-STS host in a private network", rule: "RFC 1918", zone: piece("host", "mta-sts 300 IN A 10.0.0.80\n"), want: "sts.no-file=problem"},
	{name: "MTA-STS host that cannot be reached", rule: "unknown is no fault", zone: piece("host", "mta-sts 300 IN A 192.0.2.81\n"), want: "sts.unreachable=unknown"},
	{name: "MTA-STS certificate of another name", rule: "RFC 8461 3.3", world: func(n *internet) { n.cert = "shop.test" }, want: "sts.certificate=problem"},
	{name: "MTA-STS file of another type", rule: "RFC 8461 3.2", world: page(serves("text/html", goodPolicy)), want: "sts.no-file=problem"},
	{name: "MTA-STS file without max_age", rule: "RFC 8461 3.2", world: page(serves("text/plain", "version: STSv1\nmode: enforce\nmx: mx1.shop.test\n")), want: "sts.file=problem"},
	{name: "MTA-STS policy for another MX", rule: "RFC 8461 4.1", world: page(serves("text/plain", "version: STSv1\nmode: enforce\nmx: *.mailhost.test\nmax_age: 604800\n")), want: "sts.mismatch=problem"},
	{name: "MTA-STS on trial for another MX", rule: "RFC 8461 5", world: page(serves("text/plain", "version: STSv1\nmode: testing\nmx: *.mailhost.test\nmax_age: 604800\n")), want: "sts.mismatch=advice"},
	{name: "MTA-STS on trial", rule: "RFC 8461 5", world: page(serves("text/plain", strings.Replace(goodPolicy, "enforce", "testing", 1))), want: "sts.testing=advice"},
	{name: "MTA-STS given up", rule: "RFC 8461 5, 8.3", world: page(serves("text/plain", "version: STSv1\nmode: none\nmax_age: 604800\n")), want: "sts.off=advice"},
	{name: "MTA-STS with a wildcard", rule: "RFC 8461 4.1", world: page(serves("text/plain", "version: STSv1\nmode: enforce\nmx: *.shop.test\nmax_age: 604800\n"))},
	{name: "MTA-STS kept for an hour only", rule: "RFC 8461 3.2: weeks or greater", world: page(serves("text/plain", strings.Replace(goodPolicy, "604800", "3600", 1))), want: "sts.short=advice"},
	{name: "MTA-STS with a wrong id", rule: "RFC 8461 3.1", zone: piece("sts", txt("_mta-sts", "v=STSv1; id=2026-11-22;")), want: "sts.record=problem"},
	{name: "several MTA-STS", rule: "RFC 8461 3.1", zone: piece("sts", txt("_mta-sts", "v=STSv1; id=1;")+txt("_mta-sts", "v=STSv1; id=2;")), want: "sts.several=problem"},
	{name: "no TLS-RPT", rule: "RFC 8460 3", zone: piece("rpt", ""), want: "tlsrpt.none=advice"},
	{name: "TLS-RPT without address", rule: "RFC 8460 3", zone: piece("rpt", txt("_smtp._tls", "v=TLSRPTv1; rua=tls@shop.test")), want: "tlsrpt.malformed=problem"},
	{name: "several TLS-RPT", rule: "RFC 8460 3", zone: piece("rpt", txt("_smtp._tls", "v=TLSRPTv1; rua=mailto:a@shop.test")+txt("_smtp._tls", "v=TLSRPTv1; rua=mailto:b@shop.test")), want: "tlsrpt.several=problem"},

	// The exchangers, and DANE
	{name: "the exchanger shows what it should", rule: "RFC 8461 4.2, RFC 7672 2.2", ask: probe, world: mailAt(mailer{}), want: asked("")},
	{name: "no encryption at the exchanger", rule: "RFC 8461 4.2, RFC 7672 2.2", ask: probe, world: mailAt(mailer{plain: true}),
		want: "server.fine=fine server.mx-ports=fine tls.none-relay=advice dane.no-tls=problem sts.enforced=fine sts.no-tls=problem"},
	{name: "no encryption at the exchanger, policy on trial", rule: "RFC 8461 5", ask: probe, world: func(n *internet) {
		mailAt(mailer{plain: true})(n)
		page(serves("text/plain", strings.Replace(goodPolicy, "enforce", "testing", 1)))(n)
	}, want: "server.fine=fine server.mx-ports=fine tls.none-relay=advice dane.no-tls=problem sts.testing=advice sts.no-tls=advice"},
	{name: "no encryption and no policy", rule: "RFC 3207 4", ask: probe, zone: pieces("sts", "", "tlsa", ""), world: mailAt(mailer{plain: true}),
		want: "server.fine=fine server.mx-ports=fine tls.none-relay=advice dane.none=advice sts.none=advice"},
	{name: "the exchanger's certificate is for another name", rule: "RFC 8461 4.2; DANE-EE looks at no names: RFC 7672 3.1.1", ask: probe, world: mailAt(mailer{name: "www.shop.test"}),
		want: "server.fine=fine server.mx-ports=fine tls.agreed=fine tls.mismatch=advice dane.fine=fine sts.enforced=fine sts.untrusted=problem"},
	{name: "the exchanger has a new key", rule: "RFC 7672 8.1: rollover", ask: probe, world: mailAt(mailer{rekeyed: true}), want: asked("dane.mismatch=problem")},
	{name: "nothing listens at the exchanger", rule: "RFC 5321 5.1", ask: probe, world: mailAt(mailer{gone: true}), want: "server.mx-closed=problem server.mx-ports=fine dane.unheld=unknown"},
	{name: "more exchangers than are connected to", rule: "what was not asked is said", ask: probe, zone: mx(many), world: mailAt(mailer{gone: true}),
		want: "server.mx-closed=problem server.mx-ports=fine server.mx-more=unknown dane.unheld=unknown dane.none=advice sts.mismatch=problem"},
	{name: "the exchanger is in a private network, and would be connected to", rule: "RFC 1918", ask: probe, zone: piece("mx", "@ 300 IN MX 10 mx1\nmx1 300 IN A 10.0.0.25\n"), world: mailAt(mailer{}),
		want: "mx.private=problem server.mx-more=unknown dane.unheld=unknown"},
	{name: "no TLSA", rule: "RFC 7672 2.2", zone: piece("tlsa", ""), want: "dane.none=advice"},
	{name: "no TLSA, and a certificate to make it of", rule: "RFC 7672 3.1.1", ask: probe, zone: piece("tlsa", ""), world: mailAt(mailer{}), want: asked("dane.none=advice")},
	{name: "TLSA that do not serve mail", rule: "RFC 7672 3.1.3", zone: piece("tlsa", "_25._tcp.mx1 300 IN TLSA 1 1 1 "+strings.Repeat("00", 32)+"\n"), want: "dane.unusable=problem"},
	{name: "TLSA, and the MX is not signed", rule: "RFC 7672 2.2.1", world: failsType("shop.test", dns.TypeMX, dnstest.Unsigned), want: "dane.mx-unsigned=advice"},
	{name: "TLSA that fits, and the MX is not signed", rule: "RFC 7672 2.2.1", ask: probe, world: func(n *internet) {
		mailAt(mailer{})(n)
		n.dns.FailType("shop.test", dns.TypeMX, dnstest.Unsigned)
	}, want: asked("dane.mx-unsigned=advice")},
	{name: "TLSA that fits, not signed", rule: "RFC 7672 2.2", ask: probe, world: func(n *internet) {
		mailAt(mailer{})(n)
		n.dns.Fail("_25._tcp.mx1.shop.test", dnstest.Unsigned)
	}, want: asked("dane.unsigned=advice")},
	{name: "TLSA that does not fit, not signed", rule: "RFC 7672 2.2", ask: probe, world: func(n *internet) {
		mailAt(mailer{rekeyed: true})(n)
		n.dns.Fail("_25._tcp.mx1.shop.test", dnstest.Unsigned)
	}, want: asked("dane.mismatch-unsigned=advice")},
	{name: "TLSA that do not come", rule: "RFC 7672 2.1.2: senders wait", world: fails("_25._tcp.mx1.shop.test", dnstest.ServFail), want: "dane.unknown=unknown"},

	// BIMI
	{name: "no BIMI", rule: "draft-brand-indicators-for-message-identification 4.3", zone: piece("bimi", ""), want: "bimi.none=advice"},
	{name: "BIMI logo over http", rule: "BIMI draft 4.3 l=", zone: bimi("v=BIMI1; l=http://shop.test/logo.svg; a=https://shop.test/vmc.pem"), want: "bimi.logo=problem"},
	{name: "BIMI logo that is no SVG", rule: "BIMI draft 4.3 l=", zone: bimi("v=BIMI1; l=https://shop.test/logo.png; a=https://shop.test/vmc.pem"), want: "bimi.logo=problem"},
	{name: "BIMI without certificate", rule: "BIMI draft 4.3 a=", zone: bimi("v=BIMI1; l=https://logo.shop.test/logo.svg"), want: "bimi.no-certificate=advice"},
	{name: "BIMI declined", rule: "BIMI draft 4.3.1", zone: bimi("v=BIMI1; l=; a=;"), want: "bimi.declined=fine"},
	{name: "BIMI malformed", rule: "BIMI draft 4.3", zone: bimi("v=BIMI1 l=https://shop.test/logo.svg"), want: "bimi.malformed=problem"},
	{name: "BIMI logo at another port", rule: "RFC 2818 2.1: what mailboxes fetch", zone: bimi("v=BIMI1; l=https://logo.shop.test:25/logo.svg"), want: "bimi.logo=problem"},
	{name: "BIMI logo gone", rule: "BIMI draft 4.3 l=", world: file("/logo.svg", http.NotFound), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo behind a failure", rule: "unknown is no fault", world: file("/logo.svg", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }), want: "bimi.logo-unknown=unknown"},
	{name: "BIMI logo moved", rule: "RFC 9110 15.4", world: file("/logo.svg", http.RedirectHandler("/moved.svg", http.StatusMovedPermanently).ServeHTTP, "/moved.svg", serves("image/svg+xml", goodSVG))},
	{name: "BIMI logo moved to plain http", rule: "BIMI draft 4.3 l=", world: file("/logo.svg", http.RedirectHandler("http://logo.shop.test/logo.svg", http.StatusMovedPermanently).ServeHTTP), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo moved to another port", rule: "no stranger leads us to what he likes", world: file("/logo.svg", http.RedirectHandler("https://logo.shop.test:22/logo.svg", http.StatusMovedPermanently).ServeHTTP), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo moved into a private network", rule: "RFC 1918", world: file("/logo.svg", http.RedirectHandler("https://inner.dns.test/logo.svg", http.StatusFound).ServeHTTP), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo that moves in a circle", rule: "RFC 9110 15.4", world: file("/logo.svg", http.RedirectHandler("/logo.svg", http.StatusFound).ServeHTTP), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo in a private network", rule: "RFC 1918", zone: piece("logo", "logo 300 IN A 10.0.0.80\n"), want: "bimi.logo-unreadable=problem bimi.mark-unreadable=problem"},
	{name: "BIMI logo whose host is silent", rule: "unknown is no fault", zone: piece("logo", "logo 300 IN A 192.0.2.81\n"), want: "bimi.logo-unknown=unknown bimi.mark-unknown=unknown"},
	{name: "BIMI logo of a megabyte", rule: "BIMI Group: 32 KB", world: file("/logo.svg", serves("image/svg+xml", goodSVG+strings.Repeat(" ", 1<<20))), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo that unfolds", rule: "linear in what is read", world: file("/logo.svg", serves("image/svg+xml", packed(strings.Repeat(" ", 8<<20)))), want: "bimi.logo-unreadable=problem"},
	{name: "BIMI logo, packed", rule: "BIMI draft 4.3: SVGZ", world: file("/logo.svg", serves("image/svg+xml", packed(goodSVG)))},
	{name: "BIMI logo of 40 KB", rule: "BIMI Group: 32 KB", world: logo(strings.Repeat(" ", 40<<10) + goodSVG[strings.Index(goodSVG, "<svg"):]), want: "bimi.svg-large=advice"},
	{name: "BIMI logo that is not square", rule: "SVG Tiny PS draft 2", world: logo(svgWith("0 0 100 100", "0 0 100 50")), want: "bimi.svg-square=advice"},
	{name: "BIMI logo with a place", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("baseProfile=", `x="1" baseProfile=`)), want: "bimi.svg-origin=advice"},
	{name: "BIMI logo of another version", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("1.2", "1.1")), want: "bimi.svg-version=problem"},
	{name: "BIMI logo without profile", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("tiny-ps", "full")), want: "bimi.svg-profile=problem"},
	{name: "BIMI logo without title", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("<title>Shop</title>", "")), want: "bimi.svg-title=problem"},
	{name: "BIMI logo with a script and an animation", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("<path", "<script/><animate/><path")), want: "bimi.svg-animation=problem bimi.svg-script=problem"},
	{name: "BIMI logo with pixels", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("<path", "<image/><path")), want: "bimi.svg-raster=problem"},
	{name: "BIMI logo that leads out", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith(`"#g"/>`, `"https://x.test/"/>`)), want: "bimi.svg-external=problem"},
	{name: "BIMI logo with entities", rule: "SVG Tiny PS draft 5", world: logo(svgWith("<svg ", `<!DOCTYPE svg [<!ENTITY a "b">]><svg `)), want: "bimi.svg-doctype=problem"},
	{name: "BIMI logo with a filter", rule: "SVG Tiny 1.2", world: logo(svgWith("<path", "<filter/><path")), want: "bimi.svg-element=problem"},
	{name: "BIMI logo with a style", rule: "SVG Tiny 1.2", world: logo(svgWith("<path", `<path style="fill:#123"`)), want: "bimi.svg-attribute=advice"},
	{name: "BIMI logo that is a page", rule: "SVG Tiny PS draft 2.1", world: logo(svgWith("<svg", "<html") + "x"), want: "bimi.svg-broken=problem bimi.svg-element=problem bimi.svg-root=problem"},
	{name: "BIMI certificate gone", rule: "BIMI draft 4.3 a=", world: file("/vmc.pem", http.NotFound), want: "bimi.mark-unreadable=problem"},
	{name: "BIMI certificate that is none", rule: "BIMI draft 4.3 a=", world: file("/vmc.pem", serves("text/plain", "no PEM")), want: "bimi.mark-unreadable=problem"},
	{name: "BIMI certificate expired", rule: "VMC requirements 6.3.2", world: evidence(brandMark{from: -400, until: -3}), want: "bimi.mark-expired=problem"},
	{name: "BIMI certificate ends soon", rule: "VMC requirements 6.3.2", world: evidence(brandMark{from: -390, until: 5}), want: "bimi.mark-soon=advice"},
	{name: "BIMI certificate of tomorrow", rule: "RFC 5280 4.1.2.5", world: evidence(brandMark{from: 2, until: 300}), want: "bimi.mark-early=problem"},
	{name: "BIMI certificate of another domain", rule: "VMC requirements 7.1.4.2", world: evidence(brandMark{names: []string{"other.test", "default._bimi.other.test"}}), want: "bimi.mark-name=problem"},
	{name: "BIMI certificate of the domain itself", rule: "VMC requirements 7.1.4.2", world: evidence(brandMark{names: []string{"Shop.test"}})},
	{name: "BIMI certificate of a web server", rule: "VMC requirements 7.1.2.3, RFC 9399", world: evidence(brandMark{plain: true, noLogo: true}), want: "bimi.mark-no-logo=problem bimi.mark-purpose=problem"},
	{name: "BIMI certificate with another logo", rule: "BIMI draft 8.7", world: evidence(brandMark{logo: svgWith("Shop", "Stop")}), want: "bimi.mark-other-logo=problem"},
	{name: "BIMI certificate with a logo elsewhere", rule: "VMC requirements 7.1.2.3: embedded", world: evidence(brandMark{kind: "https://other.test/x"}), want: "bimi.mark-no-logo=problem"},
	{name: "BIMI certificate without those above", rule: "BIMI draft 8.6", world: evidence(brandMark{alone: true}), want: "bimi.mark-chain=problem"},
	{name: "BIMI certificate beside another authority's", rule: "RFC 5280 6.1", world: evidence(brandMark{stranger: true}), want: "bimi.mark-chain=problem"},
	{name: "BIMI certificates in the wrong order", rule: "BIMI draft 8.6", world: evidence(brandMark{swapped: true}), want: "bimi.mark-chain=problem bimi.mark-name=problem bimi.mark-no-logo=problem bimi.mark-purpose=problem"},
	{name: "several BIMI", rule: "BIMI draft 4.2", zone: piece("bimi", txt("default._bimi", "v=BIMI1; l=;")+txt("default._bimi", "v=BIMI1; l=https://shop.test/logo.svg")), want: "bimi.several=problem"},
}

// allUnknown is what is said where DNS says nothing.
const allUnknown = "spf.unknown=unknown dkim.key-unknown=unknown dmarc.unknown=unknown mx.unknown=unknown ns.unknown=unknown dnssec.unknown=unknown " +
	"caa.unknown=unknown sts.unknown=unknown tlsrpt.unknown=unknown bimi.unknown=unknown -server -tls"

// subdomain is news.shop.test, with mail and SPF of its own.
const subdomain = "news 300 IN MX 10 mx1\nnews 300 IN TXT \"v=spf1 ip4:192.0.2.25 -all\"\n"

// within is the zone with one of its name servers in it.
var within = map[string]string{"ns": "@ 300 IN NS ns1.dns.test.\n@ 300 IN NS ns2\nns2 300 IN A 198.51.100.53\n"}

// above lets the parent's server say something else of shop.test.
func above(text string) func(*internet) { return func(n *internet) { n.above = text } }

// probe lets the exchangers be connected to.
var probe = &checkup.Ask{Selectors: []string{"s1"}, Probe: true}

// mailAt puts a server at the address of mx1.
func mailAt(m mailer) func(*internet) {
	return func(n *internet) { n.mailers = map[string]mailer{"192.0.2.25:25": m, "[2001:db8::25]:25": m} }
}

// asked is what is said of an exchanger with nothing to mend but its DANE; "" that too.
func asked(dane string) string {
	if dane == "" {
		dane = "dane.fine=fine"
	}
	return "server.fine=fine server.mx-ports=fine tls.agreed=fine tls.fine=fine sts.enforced=fine sts.held=fine " + dane
}

// many are six exchangers.
const many = `@ 300 IN MX 10 mx1
@ 300 IN MX 20 h1.other.test.
@ 300 IN MX 20 h2.other.test.
@ 300 IN MX 20 h3.other.test.
@ 300 IN MX 20 h4.other.test.
@ 300 IN MX 20 h5.other.test.
`

// file lets logo.shop.test answer otherwise: a path, its handler, and so on.
func file(path string, h http.HandlerFunc, more ...any) func(*internet) {
	return func(n *internet) {
		n.files[path] = h
		for i := 0; i+1 < len(more); i += 2 {
			n.files[more[i].(string)] = more[i+1].(http.HandlerFunc)
		}
	}
}

// logo publishes another logo, with a certificate for it.
func logo(svg string) func(*internet) {
	return func(n *internet) {
		file("/logo.svg", serves("image/svg+xml", svg))(n)
		evidence(brandMark{logo: svg})(n)
	}
}

func evidence(m brandMark) func(*internet) {
	return file("/vmc.pem", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(m.pem()) })
}

func packed(text string) string {
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

func piece(name, text string) map[string]string { return map[string]string{name: text} }

func pieces(of ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i+1 < len(of); i += 2 {
		out[of[i]] = of[i+1]
	}
	return out
}

func spf(records ...string) map[string]string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(txt("@", r))
	}
	return piece("spf", b.String())
}

func policy(record string) map[string]string { return piece("dmarc", txt("_dmarc", record)) }
func selector(key string) map[string]string {
	return piece("dkim", txt("s1._domainkey", keys()[key]))
}
func bimi(record string) map[string]string { return piece("bimi", txt("default._bimi", record)) }
func soa(rest string) map[string]string    { return piece("soa", "@ 300 IN SOA "+rest+"\n") }

// mx keeps the host mx1 and replaces the rest.
func mx(records string) map[string]string {
	return piece("mx", records+"mx1 300 IN A 192.0.2.25\nmx1 300 IN AAAA 2001:db8::25\n")
}

// hosts are n SPF terms that ask for addresses.
func hosts(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = "a:h" + string("0123456789"[(i+1)/10]) + string("0123456789"[(i+1)%10]) + ".other.test"
		out[i] = strings.Replace(out[i], "h0", "h", 1)
	}
	return strings.Join(out, " ")
}

func from(ips ...string) *checkup.Ask {
	a := &checkup.Ask{Selectors: []string{"s1"}}
	for _, ip := range ips {
		a.IPs = append(a.IPs, netip.MustParseAddr(ip))
	}
	return a
}

func fails(name string, m dnstest.Mode) func(*internet) {
	return func(n *internet) { n.dns.Fail(name, m) }
}

func failsType(name string, typ dns.Type, m dnstest.Mode) func(*internet) {
	return func(n *internet) { n.dns.FailType(name, typ, m) }
}

func everything(m dnstest.Mode) func(*internet) {
	return func(n *internet) {
		n.dns.Fail("shop.test", m)
		n.dns.Fail("*.shop.test", m)
	}
}

func silent(ips ...string) func(*internet) {
	return func(n *internet) {
		for _, ip := range ips {
			n.silent[ip] = true
		}
	}
}

func page(h http.HandlerFunc) func(*internet) { return func(n *internet) { n.policy = h } }
