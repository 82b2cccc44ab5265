package dmarc_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"postern/internal/dmarc"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
)

// internet is the DNS of these tests. Names without a record here do not exist.
const internet = `
_dmarc.example.com.            60 IN TXT "v=DMARC1; p=reject; rua=mailto:agg@example.com"
mail.example.com.              60 IN A 192.0.2.1
news.example.com.              60 IN A 192.0.2.2
_dmarc.own.example.com.        60 IN TXT "v=DMARC1; p=quarantine"
_dmarc.island.example.com.     60 IN TXT "v=DMARC1; p=reject; psd=n"

_dmarc.sub.example.            60 IN TXT "v=DMARC1; p=none; sp=quarantine; np=reject"
exists.sub.example.            60 IN A 192.0.2.1
_dmarc.strict.example.         60 IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
a.strict.example.              60 IN A 192.0.2.1
_dmarc.testing.example.        60 IN TXT "v=DMARC1; p=reject; sp=quarantine; t=y"
a.testing.example.             60 IN A 192.0.2.1
_dmarc.old.example.            60 IN TXT "v=DMARC1; p=quarantine; pct=10; rf=afrf; ri=86400; foo=bar"
_dmarc.nop.example.            60 IN TXT "v=DMARC1; rua=mailto:a@nop.example"
_dmarc.badp.example.           60 IN TXT "v=DMARC1; p=rejct"
_dmarc.badprua.example.        60 IN TXT "v=DMARC1; p=rejct; rua=mailto:a@badprua.example"
_dmarc.badsp.example.          60 IN TXT "v=DMARC1; p=reject; sp=quarantin; rua=mailto:a@badsp.example"
_dmarc.two.example.            60 IN TXT "v=DMARC1; p=reject"
_dmarc.two.example.            60 IN TXT "v=DMARC1; p=none"
_dmarc.noise.example.          60 IN TXT "v=spf1 -all"
_dmarc.noise.example.          60 IN TXT "v=DMARC1;p=reject"
_dmarc.noise.example.          60 IN TXT "v=DMARC2; p=none"
_dmarc.lower.example.          60 IN TXT "v=dmarc1; p=reject"
_dmarc.second.example.         60 IN TXT "p=reject; v=DMARC1"
_dmarc.broken.two.example.     60 IN TXT "v=DMARC1; p=what"
_dmarc.spaced.example.         60 IN TXT "V = DMARC1 ;  p = Reject ; ASPF=S;;"

_dmarc.bank.                   60 IN TXT "v=DMARC1; p=reject; sp=quarantine; np=reject; psd=y; rua=mailto:x@bank"
_dmarc.good.bank.              60 IN TXT "v=DMARC1; p=none"
shop.bank.                     60 IN A 192.0.2.1
_dmarc.tld.                    60 IN TXT "v=DMARC1; p=quarantine"
a.tld.                         60 IN A 192.0.2.1

_dmarc.a.b.c.d.e.f.g.deep.test.   60 IN TXT "v=DMARC1; p=none"
_dmarc.e.f.g.h.i.deep.test.       60 IN TXT "v=DMARC1; p=reject"
_dmarc.flaky.net.              60 IN TXT "v=DMARC1; p=reject; sp=none; np=reject"
`

type question struct {
	name      string
	from      mail.Domain
	spf       mail.Domain
	dkim      []mail.Domain
	want      string      // Result
	applied   string      // "" means none
	at        mail.Domain // Policy.Domain
	spfA, dkA bool
}

var questions = []question{
	{name: "spf aligned exactly", from: "example.com", spf: "example.com", want: "pass", at: "example.com", spfA: true},
	{name: "dkim aligned exactly", from: "example.com", dkim: []mail.Domain{"example.com"}, want: "pass", at: "example.com", dkA: true},
	{name: "both aligned", from: "example.com", spf: "mail.example.com", dkim: []mail.Domain{"example.com"}, want: "pass", at: "example.com", spfA: true, dkA: true},
	{name: "nothing passed", from: "example.com", want: "fail", applied: "reject", at: "example.com"},
	{name: "foreign domains passed", from: "example.com", spf: "esp.example", dkim: []mail.Domain{"esp.example", "com"}, want: "fail", applied: "reject", at: "example.com"},
	{name: "suffix is no parent", from: "example.com", spf: "notexample.com", want: "fail", applied: "reject", at: "example.com"},
	{name: "subdomain relaxed", from: "mail.example.com", spf: "news.example.com", want: "pass", at: "example.com", spfA: true},
	{name: "subdomain takes p as sp", from: "mail.example.com", want: "fail", applied: "reject", at: "example.com"},
	{name: "subdomain with a record of its own", from: "own.example.com", want: "fail", applied: "quarantine", at: "own.example.com"},
	{name: "own record, organization's signature", from: "own.example.com", dkim: []mail.Domain{"example.com"}, want: "pass", at: "own.example.com", dkA: true},
	{name: "psd=n cuts off the parent", from: "island.example.com", dkim: []mail.Domain{"example.com"}, want: "fail", applied: "reject", at: "island.example.com"},
	{name: "psd=n includes what is below", from: "island.example.com", dkim: []mail.Domain{"a.island.example.com"}, want: "pass", at: "island.example.com", dkA: true},
	{name: "psd=n seen from the parent", from: "example.com", dkim: []mail.Domain{"island.example.com"}, want: "fail", applied: "reject", at: "example.com"},

	{name: "p for the domain itself", from: "sub.example", want: "fail", applied: "none", at: "sub.example"},
	{name: "sp for an existing subdomain", from: "exists.sub.example", want: "fail", applied: "quarantine", at: "sub.example"},
	{name: "np for one that does not exist", from: "ghost.sub.example", want: "fail", applied: "reject", at: "sub.example"},
	{name: "strict spf", from: "strict.example", spf: "a.strict.example", want: "fail", applied: "reject", at: "strict.example"},
	{name: "strict dkim", from: "strict.example", dkim: []mail.Domain{"a.strict.example"}, want: "fail", applied: "reject", at: "strict.example"},
	{name: "strict and exact", from: "strict.example", dkim: []mail.Domain{"strict.example"}, want: "pass", at: "strict.example", dkA: true},
	{name: "t=y makes reject quarantine", from: "testing.example", want: "fail", applied: "quarantine", at: "testing.example"},
	{name: "t=y makes quarantine none", from: "a.testing.example", want: "fail", applied: "none", at: "testing.example"},
	{name: "removed and unknown tags", from: "old.example", want: "fail", applied: "quarantine", at: "old.example"},

	{name: "no p counts as none", from: "nop.example", want: "fail", applied: "none", at: "nop.example"},
	{name: "bad p without reports", from: "badp.example", want: "none"},
	{name: "bad p with reports", from: "badprua.example", want: "fail", applied: "none", at: "badprua.example"},
	{name: "bad sp with reports", from: "badsp.example", want: "fail", applied: "none", at: "badsp.example"},
	{name: "several records", from: "two.example", want: "none"},
	{name: "bad record below several", from: "broken.two.example", want: "none"},
	{name: "other TXT records beside", from: "noise.example", want: "fail", applied: "reject", at: "noise.example"},
	{name: "version in lower case", from: "lower.example", want: "none"},
	{name: "version not first", from: "second.example", want: "none"},
	{name: "spaces, case and empty tags", from: "spaced.example", want: "fail", applied: "reject", at: "spaced.example"},
	{name: "no record at all", from: "unknown.org", spf: "unknown.org", want: "none"},

	{name: "public suffix speaks for its domains", from: "shop.bank", want: "fail", applied: "quarantine", at: "bank"},
	{name: "public suffix for what does not exist", from: "phish.bank", want: "fail", applied: "reject", at: "bank"},
	{name: "two domains of a public suffix", from: "shop.bank", spf: "good.bank", want: "fail", applied: "quarantine", at: "bank"},
	{name: "below a domain of a public suffix", from: "www.shop.bank", spf: "mail.shop.bank", want: "pass", at: "bank", spfA: true},
	{name: "own record below a public suffix", from: "good.bank", spf: "x.good.bank", want: "pass", at: "good.bank", spfA: true},
	{name: "the public suffix as author", from: "bank", dkim: []mail.Domain{"bank"}, want: "pass", at: "bank", dkA: true},
	{name: "top-level record without psd", from: "a.tld", spf: "b.tld", want: "pass", at: "tld", spfA: true},

	{name: "nine labels, record at the author", from: "a.b.c.d.e.f.g.deep.test", want: "fail", applied: "none", at: "a.b.c.d.e.f.g.deep.test"},
	{name: "eleven labels, record in the last seven", from: "a.b.c.d.e.f.g.h.i.deep.test", want: "fail", applied: "reject", at: "e.f.g.h.i.deep.test"},
	{name: "nine labels, record at the eighth is passed over", from: "x.b.c.d.e.f.g.deep.test", want: "none"},

	{name: "address instead of a domain", from: "[192.0.2.1]", want: "permerror"},
	{name: "empty author domain", from: "", want: "permerror"},
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	r := dnstest.Start(t, internet).Resolver(t)
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			t.Parallel()
			got := dmarc.Evaluate(t.Context(), r, q.from, q.spf, q.dkim)
			if q.applied == "" {
				q.applied = "none"
			}
			if got.Result != q.want || got.Applied != q.applied || got.Policy.Domain != q.at || got.SPFAligned != q.spfA || got.DKIMAligned != q.dkA {
				t.Errorf("got %s applied %s at %q, aligned spf %t dkim %t (%v)\nwant %s applied %s at %q, aligned spf %t dkim %t",
					got.Result, got.Applied, got.Policy.Domain, got.SPFAligned, got.DKIMAligned, got.Err,
					q.want, q.applied, q.at, q.spfA, q.dkA)
			}
		})
	}
}

// TestTroubleIsNeverAFail makes each kind of question fail in turn.
func TestTroubleIsNeverAFail(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, failing string
		from, spf     mail.Domain
		want, applied string
	}{
		{"author's record", "_dmarc.flaky.net", "flaky.net", "flaky.net", "temperror", "none"},
		{"organization's record", "_dmarc.flaky.net", "a.flaky.net", "a.flaky.net", "temperror", "none"},
		{"top level, exact alignment", "_dmarc.net", "flaky.net", "flaky.net", "pass", "none"},
		{"top level, relaxed alignment", "_dmarc.net", "flaky.net", "a.flaky.net", "temperror", "none"},
		{"top level, nothing passed", "_dmarc.net", "flaky.net", "", "fail", "reject"},
		{"record of the domain that passed", "_dmarc.a.flaky.net", "flaky.net", "a.flaky.net", "temperror", "none"},
		{"does the author domain exist", "ghost.flaky.net", "ghost.flaky.net", "", "temperror", "none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			server := dnstest.Start(t, internet)
			server.Fail(tc.failing, dnstest.ServFail)
			got := dmarc.Evaluate(t.Context(), server.Resolver(t), tc.from, tc.spf, nil)
			if got.Result != tc.want || got.Applied != tc.applied {
				t.Errorf("%s applied %s (%v), want %s applied %s", got.Result, got.Applied, got.Err, tc.want, tc.applied)
			}
			if (got.Result == dmarc.TempError) != (got.Err != nil) {
				t.Errorf("%s with error %v", got.Result, got.Err)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, internet)
	r := server.Resolver(t)
	p, status, err := dmarc.Lookup(t.Context(), r, "mail.example.com")
	if status != dns.Found || err != nil || !p.Found || p.Domain != "example.com" || p.Organizational != "example.com" ||
		p.SP != "reject" || p.NP != "reject" || p.ADKIM != 'r' || !slices.Equal(p.RUA, []string{"mailto:agg@example.com"}) || !strings.HasPrefix(p.Record, "v=DMARC1") {
		t.Errorf("%+v, %v, %v", p, status, err)
	}
	for _, tc := range []struct {
		from mail.Domain
		want error
	}{{"two.example", dmarc.ErrSeveralRecords}, {"badp.example", dmarc.ErrBadRecord}, {"[::1]", dmarc.ErrBadDomain}, {"unknown.org", nil}} {
		p, status, err := dmarc.Lookup(t.Context(), r, tc.from)
		if p.Found || status != dns.Nothing || !errors.Is(err, tc.want) {
			t.Errorf("%s: %+v, %v, %v, want %v", tc.from, p, status, err, tc.want)
		}
	}
	if p, _, _ := dmarc.Lookup(t.Context(), r, "old.example"); len(p.Warnings) != 4 {
		t.Errorf("warnings about removed and unknown tags: %q", p.Warnings)
	}
}

// TestWalkIsShort counts the questions for a name with many labels.
func TestWalkIsShort(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, internet)
	counter := &counting{Resolver: server.Resolver(t)}
	from := mail.Domain(strings.Repeat("a.", 60) + "org")
	dmarc.Lookup(t.Context(), counter, from)
	want := []string{"_dmarc." + string(from)}
	for n := 6; n >= 0; n-- {
		want = append(want, "_dmarc."+strings.Repeat("a.", n)+"org")
	}
	if !slices.Equal(counter.names, want) {
		t.Errorf("asked %q, want %q", counter.names, want)
	}
}

func TestOrganizationalDomain(t *testing.T) {
	t.Parallel()
	server := dnstest.Start(t, internet)
	server.Fail("_dmarc.down.org", dnstest.ServFail)
	r := server.Resolver(t)
	for _, tc := range []struct {
		d, want mail.Domain
		status  dns.Status
	}{
		{"a.b.example.com", "example.com", dns.Found},
		{"a.island.example.com", "island.example.com", dns.Found},
		{"a.shop.bank", "shop.bank", dns.Found},
		{"bank", "bank", dns.Found},
		{"x.y.unknown.org", "unknown.org", dns.Nothing},
		{"x.y.unknown.co.uk", "unknown.co.uk", dns.Nothing},
		{"co.uk", "co.uk", dns.Nothing},
		{"x.down.org", "x.down.org", dns.TryLater},
		{"[192.0.2.1]", "[192.0.2.1]", dns.Nothing},
	} {
		got, status := dmarc.OrganizationalDomain(t.Context(), r, tc.d)
		if got != tc.want || status != tc.status {
			t.Errorf("%s: %s, %v; want %s, %v", tc.d, got, status, tc.want, tc.status)
		}
	}
}
