package filter

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/learn"
	"postern/internal/mail"
)

// bulkMail is a newsletter as it should be, to be changed by cases.
const bulkMail = `From: Shop <news@shop.example>
To: jean@orange.fr
Subject: News of November
Date: Sat, 21 Nov 2026 18:39:12 +0000
Message-ID: <1@shop.example>
List-Unsubscribe: <https://shop.example/leave/t1>, <mailto:leave@shop.example>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Feedback-ID: november:c1:news:shop
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><p>The workshop is open. <a href="https://shop.example/leave/t1?x=1">Farewell</a></p></body></html>
`

const singleMail = `From: Shop <news@shop.example>
To: jean@orange.fr
Subject: Your order
Date: Sat, 21 Nov 2026 18:39:12 +0000
Message-ID: <1@shop.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

It has been sent.
`

// goodZone is the DNS of a sender and a gateway that did everything right. KEY is the record of the signing key.
const goodZone = `
mx.gate.example. A 192.0.2.25
mx.gate.example. TXT "v=spf1 a -all"
25.2.0.192.in-addr.arpa. PTR mx.gate.example.
shop.example. MX 10 mx.shop.example.
shop.example. TXT "v=spf1 ip4:192.0.2.25 -all"
mx.shop.example. A 198.51.100.7
_dmarc.shop.example. TXT "v=DMARC1; p=none; rua=mailto:dmarc@shop.example"
r1._domainkey.shop.example. TXT KEY
r1._domainkey.sender.example. TXT KEY
sender.example. MX 10 mx.shop.example.
sender.example. TXT "v=spf1 ip4:192.0.2.25 -all"
company.example. MX 10 company-example.mail.icloud.com.
company-example.mail.icloud.com. A 203.0.113.9
`

var bigKey = sync.OnceValues(func() (dkim.Key, error) {
	return dkim.GenerateKey("shop.example", "r1", dkim.RSASHA256)
})

// readyCase is one message in one world.
type readyCase struct {
	mail     string
	edit     [2]string // of the message, before it is signed
	zone     [2]string // of the DNS
	fail     string    // a name without an answer
	signer   string    // d=; "": not signed; "late": signed before edit was made
	egress   []account.Egress
	from     string
	to       []string
	tls      string
	resolver dns.Resolver
}

func (c readyCase) run(t testing.TB) Verdict {
	t.Helper()
	key, err := bigKey()
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(strings.ReplaceAll(c.mail, "\n", "\r\n"))
	if c.edit[0] != "" {
		if !strings.Contains(string(raw), c.edit[0]) {
			t.Fatalf("nothing to edit: %q", c.edit[0])
		}
		raw = []byte(strings.Replace(string(raw), c.edit[0], c.edit[1], 1))
	}
	if c.signer != "" {
		k := key
		k.Domain = mail.Domain(c.signer)
		header, err := dkim.Sign(raw, []dkim.Key{k}, testNow.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		raw = append(header, raw...)
	}
	var record []string
	for _, part := range key.RecordStrings() {
		record = append(record, `"`+part+`"`)
	}
	zone := strings.ReplaceAll(goodZone, "KEY", strings.Join(record, " "))
	if c.zone[0] != "" {
		if !strings.Contains(zone, c.zone[0]) {
			t.Fatalf("nothing to edit in the zone: %q", c.zone[0])
		}
		zone = strings.Replace(zone, c.zone[0], c.zone[1], 1)
	}
	r := c.resolver
	if r == nil {
		server := dnstest.Start(t, zone)
		if c.fail != "" {
			server.Fail(c.fail, dnstest.ServFail)
		}
		r = server.Resolver(t)
	}
	in := Input{Message: mail.Parse(raw, mail.DefaultLimits()), Now: testNow, Egress: c.egress, Customer: account.Customer{ID: "c"}}
	if in.Egress == nil {
		in.Egress = []account.Egress{{IP: netip.MustParseAddr("192.0.2.25"), HELO: "mx.gate.example"}}
	}
	if c.from == "" {
		c.from = "news@shop.example"
	}
	if c.from != "<>" {
		if in.Envelope.ReversePath, err = mail.ParseAddress(c.from); err != nil {
			t.Fatal(err)
		}
	}
	if c.to == nil {
		c.to = []string{"jean@orange.fr"}
	}
	for _, to := range c.to {
		a, err := mail.ParseAddress(to)
		if err != nil {
			t.Fatal(err)
		}
		in.Envelope.Recipients = append(in.Envelope.Recipients, mail.Recipient{Address: a})
	}
	if c.tls == "" {
		c.tls = TLSOffered
	}
	f := testFilter(t, Options{Resolver: r, TLS: c.tls, Unsigned: true})
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// cardOf returns a provider's card.
func cardOf(t testing.TB, v Verdict, provider string) Readiness {
	t.Helper()
	for _, r := range v.Providers {
		if r.Provider == provider {
			return r
		}
	}
	t.Fatalf("no card of %s", provider)
	return Readiness{}
}

func (r Readiness) find(id string) (Finding, bool) {
	for _, f := range r.Requirements {
		if f.ID == id {
			return f, true
		}
	}
	return Finding{}, false
}

// TestReadiness: whole messages, and what each provider's card says.
func TestReadiness(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		c    readyCase
		want map[string]string // provider: state, and requirements that are not as they should be
	}{
		{"perfect newsletter", readyCase{mail: bulkMail, signer: "shop.example"}, map[string]string{"google": "ready", "yahoo": "ready", "microsoft": "ready",
			"orange": "ready", "laposte": "ready"}},
		{"perfect single message", readyCase{mail: singleMail, signer: "shop.example"}, map[string]string{"google": "ready", "yahoo": "ready", "microsoft": "ready",
			"orange": "ready", "laposte": "ready"}},
		{"no DKIM", readyCase{mail: bulkMail}, map[string]string{
			"google":    "mend dkim=missing(dkim_none) dkim_aligned=advised(dkim_none) one_click=missing(unsubscribe_unsigned) feedback_id=advised(feedback_id_unsigned)",
			"orange":    "refused dkim=missing(dkim_none) one_click=missing(unsubscribe_unsigned) feedback_id=missing(feedback_id_unsigned)",
			"laposte":   "ready dkim=advised(dkim_none)",
			"microsoft": "mend dkim=missing(dkim_none) dkim_aligned=advised(dkim_none)"}},
		{"no DKIM on a single message", readyCase{mail: singleMail}, map[string]string{
			"google": "ready dkim=advised(dkim_none) dkim_aligned=advised(dkim_none)", "yahoo": "ready dkim=advised(dkim_none)", "orange": "refused dkim=missing(dkim_none)"}},
		{"only SPF is aligned", readyCase{mail: bulkMail, signer: "sender.example"}, map[string]string{
			"google": "ready dkim_aligned=advised(dkim_other_domain)", "orange": "ready", "laposte": "ready"}},
		{"only DKIM is aligned", readyCase{mail: bulkMail, signer: "shop.example", from: "bounce@sender.example"}, map[string]string{
			"google": "ready", "microsoft": "ready spf_aligned=advised(spf_other_domain)", "laposte": "ready"}},
		{"nothing is aligned", readyCase{mail: bulkMail, signer: "sender.example", from: "bounce@sender.example"}, map[string]string{
			"google":  "mend dmarc_pass=missing(dmarc_fail) dkim_aligned=advised(dkim_other_domain)",
			"orange":  "refused dmarc_pass=missing(dmarc_fail)",
			"laposte": "mend aligned=missing(not_aligned) dmarc_pass=missing(dmarc_fail)"}},
		{"no one-click", readyCase{mail: bulkMail, signer: "shop.example", edit: [2]string{"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", ""}}, map[string]string{
			"google": "mend one_click=missing(no_unsubscribe_post)", "yahoo": "mend one_click=missing(no_unsubscribe_post)",
			"microsoft": "ready", "orange": "mend one_click=missing(no_unsubscribe_post)", "laposte": "ready"}},
		{"DMARC without reports", readyCase{mail: bulkMail, signer: "shop.example", zone: [2]string{"p=none; rua=mailto:dmarc@shop.example", "p=none"}}, map[string]string{
			"google": "ready", "yahoo": "ready dmarc_rua=advised(dmarc_no_rua)", "laposte": "mend dmarc_rua=missing(dmarc_no_rua)"}},
		{"strict DMARC without reports", readyCase{mail: bulkMail, signer: "shop.example", zone: [2]string{"p=none; rua=mailto:dmarc@shop.example", "p=reject"}}, map[string]string{
			"laposte": "ready dmarc_rua=advised(dmarc_no_rua)"}},
		{"nothing is proved", readyCase{mail: singleMail, from: "bounce@nowhere.example"}, map[string]string{
			"google": "refused spf_or_dkim=missing(neither) spf=advised(spf_none) dkim=advised(dkim_none) dmarc_pass=advised(dmarc_fail) dkim_aligned=advised(dkim_none)"}},
		{"not proved, and the domain forbids it", readyCase{mail: singleMail, from: "bounce@nowhere.example", zone: [2]string{"p=none", "p=reject"}}, map[string]string{
			"microsoft": "refused spf=advised(spf_none) dkim=advised(dkim_none) dmarc_pass=missing(dmarc_fail_reject) spf_aligned=advised(spf_none) dkim_aligned=advised(dkim_none) " +
				"from_domain_mx_a=advised(no_mx_a)"}},
		{"not proved, and the domain doubts it", readyCase{mail: singleMail, from: "bounce@sender.example", zone: [2]string{"p=none", "p=quarantine"}}, map[string]string{
			"microsoft": "mend dkim=advised(dkim_none) dmarc_pass=missing(dmarc_fail_quarantine) spf_aligned=advised(spf_other_domain) dkim_aligned=advised(dkim_none)"}},
		{"no reverse DNS", readyCase{mail: bulkMail, signer: "shop.example", zone: [2]string{"25.2.0.192.in-addr.arpa. PTR mx.gate.example.", ""}}, map[string]string{
			"google": "refused ptr_forward=missing(ptr_none)", "microsoft": "mend ptr_forward=missing(ptr_none)", "orange": "refused ptr_forward=missing(ptr_none)"}},
		{"the DNS is silent about SPF", readyCase{mail: bulkMail, signer: "shop.example", fail: "shop.example"}, map[string]string{
			"google": "unknown spf=unknown(dns)", "laposte": "unknown spf_no_fail=unknown(dns)"}},
		{"the DNS is silent", readyCase{mail: bulkMail, signer: "shop.example", resolver: answers(func(context.Context, string, dns.Type) dns.Answer {
			return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
		})}, map[string]string{
			"google": "unknown spf_or_dkim=unknown(dns) ptr_forward=unknown(dns) spf=unknown(dns) dkim=unknown(dns) dmarc_record=unknown(dns) dmarc_pass=unknown(dns) " +
				"dkim_aligned=unknown(dns) dkim_key_size=unknown(dns) one_click=unknown(dns) feedback_id=unknown(dns)"}},
		{"no TLS", readyCase{mail: bulkMail, signer: "shop.example", tls: TLSNever}, map[string]string{
			"google": "refused tls=missing(tls_none)", "yahoo": "ready", "orange": "ready tls=advised(tls_none)"}},
		{"apple and sfr, by exchanger and domain", readyCase{mail: bulkMail, signer: "shop.example", to: []string{"a@company.example", "b@sfr.fr", "c@free.fr"}},
			map[string]string{"apple": "ready", "sfr": "unknown", "free": "unknown", "google": "ready"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := tc.c.run(t)
			for provider, want := range tc.want {
				r := cardOf(t, v, provider)
				got := string(r.State)
				for _, f := range r.Requirements {
					if f.State == Met || f.State == NotForThis || f.State == NotKnown && f.Why == f.ID {
						continue
					}
					got += fmt.Sprintf(" %s=%s(%s)", f.ID, f.State, f.Why)
				}
				if got != want {
					t.Errorf("%s\n got %s\nwant %s", provider, got, want)
				}
			}
		})
	}
}

// TestRequirements: each requirement met, missing and unknown, on the card of a provider that asks it.
func TestRequirements(t *testing.T) {
	t.Parallel()
	six := []account.Egress{{IP: netip.MustParseAddr("192.0.2.25"), HELO: "mx.gate.example"}, {IP: netip.MustParseAddr("2001:db8::25"), HELO: "mx.gate.example"}}
	edit := func(before, after string) readyCase {
		return readyCase{mail: bulkMail, signer: "shop.example", edit: [2]string{before, after}}
	}
	zone := func(before, after string) readyCase {
		return readyCase{mail: bulkMail, signer: "shop.example", zone: [2]string{before, after}}
	}
	hello := func(name string) readyCase {
		return readyCase{mail: bulkMail, signer: "shop.example", egress: []account.Egress{{IP: netip.MustParseAddr("192.0.2.25"), HELO: name}}}
	}
	const spf = "v=spf1 ip4:192.0.2.25 -all\"\nmx.shop"
	for _, tc := range []struct {
		provider, id string
		c            readyCase
		want         string // state(why)
		evidence     string // part of it
	}{
		{"orange", NeedSPF, readyCase{mail: bulkMail}, "met()", "pass"},
		{"orange", NeedSPF, zone(spf, "v=spf1 -all\"\nmx.shop"), "missing(spf_fail)", "-all"},
		{"orange", NeedSPF, zone(spf, "v=spf1 ~all\"\nmx.shop"), "missing(spf_softfail)", "~all"},
		{"orange", NeedSPF, zone(spf, "v=spf1 ?all\"\nmx.shop"), "missing(spf_neutral)", "?all"},
		{"orange", NeedSPF, zone(spf, "hello\"\nmx.shop"), "missing(spf_none)", "none"},
		{"orange", NeedSPF, zone(spf, "v=spf1 inclde:x -all\"\nmx.shop"), "missing(spf_permerror)", "permerror"},
		{"orange", NeedSPF, readyCase{mail: bulkMail, egress: six}, "missing(spf_fail)", "2001:db8::25"},
		{"orange", NeedSPF, readyCase{mail: bulkMail, egress: []account.Egress{}}, "unknown(no_egress)", ""},
		{"orange", NeedSPF, readyCase{mail: singleMail, from: "<>"}, "met()", "mx.gate.example"},
		{"orange", NeedSPF, readyCase{mail: singleMail, from: "<>", zone: [2]string{"v=spf1 a -all", "v=spf1 -all"}}, "missing(spf_hello)", "mx.gate.example"},
		{"laposte", NeedSPFNoFail, zone(spf, "v=spf1 ~all\"\nmx.shop"), "met()", "softfail"},
		{"laposte", NeedSPFNoFail, zone(spf, "v=spf1 -all\"\nmx.shop"), "missing(spf_fail)", ""},
		{"orange", NeedDKIM, readyCase{mail: bulkMail, signer: "shop.example"}, "met()", "d=shop.example s=r1 rsa-sha256 2048 bits"},
		{"orange", NeedDKIM, zone("r1._domainkey.shop.example.", "r2._domainkey.shop.example."), "missing(dkim_invalid)", "no key published"},
		{"orange", NeedDKIM, readyCase{mail: bulkMail, signer: "shop.example", fail: "r1._domainkey.shop.example"}, "unknown(dns)", "r1"},
		{"google", NeedDKIMKey, readyCase{mail: bulkMail}, "n/a(no_signature)", ""},
		{"orange", NeedDMARC, zone("_dmarc.shop.example.", "_other.shop.example."), "missing(dmarc_none)", ""},
		{"orange", NeedDMARC, zone("r1._domainkey.sender", "_dmarc.shop.example. TXT \"v=DMARC1; p=reject\"\nr1._domainkey.sender"), "missing(dmarc_bad)", "several records"},
		{"orange", NeedDMARC, readyCase{mail: bulkMail, fail: "_dmarc.shop.example"}, "unknown(dns)", "_dmarc.shop.example"},
		{"orange", NeedDMARC, edit("news@shop.example", "nobody"), "missing(no_from)", ""},
		{"laposte", NeedAligned, zone("_dmarc.shop.example.", "_other.shop.example."), "met()", "shop.example"},
		{"laposte", NeedAligned, readyCase{mail: bulkMail, signer: "shop.example", fail: "_dmarc.shop.example"}, "met()", "shop.example"},
		{"orange", NeedPTR, zone("25.2.0.192.in-addr.arpa. PTR mx.gate.example.", "25.2.0.192.in-addr.arpa. PTR mx.shop.example."), "missing(ptr_mismatch)", "mx.shop.example"},
		{"orange", NeedPTR, readyCase{mail: bulkMail, fail: "25.2.0.192.in-addr.arpa"}, "unknown(dns)", "192.0.2.25"},
		{"orange", NeedPTR, readyCase{mail: bulkMail, egress: six}, "missing(ptr_none)", "2001:db8::25"},
		{"orange", NeedHello, hello("mx.gate.example"), "met()", "mx.gate.example"},
		{"orange", NeedHello, hello("mx.shop.example"), "met()", "mx.shop.example"}, // another address, but a name that resolves
		{"orange", NeedHello, hello("gate"), "missing(helo_no_name)", "gate"},
		{"orange", NeedHello, hello("[192.0.2.25]"), "missing(helo_no_name)", "192"},
		{"orange", NeedHello, hello("nowhere.gate.example"), "missing(helo_unresolved)", "nowhere"},
		{"orange", NeedHello, hello(""), "unknown(no_hello)", ""},
		{"orange", NeedHello, readyCase{mail: bulkMail, fail: "mx.gate.example"}, "unknown(dns)", ""},
		{"google", NeedTLS, readyCase{mail: bulkMail}, "met(tls_offered)", ""},
		{"google", NeedTLS, readyCase{mail: bulkMail, tls: TLSSmarthost}, "unknown(tls_smarthost)", ""},
		{"google", NeedTLS, readyCase{mail: bulkMail, tls: "-"}, "unknown(tls_unknown)", ""},
		{"google", NeedForm, readyCase{mail: bulkMail}, "met()", ""},
		{"google", NeedForm, edit("Date: Sat", "X-Date: Sat"), "missing(form)", "Date: "},
		{"google", NeedForm, edit("Message-ID: <1@shop.example>\r\n", ""), "missing(form)", "Message-ID"},
		{"google", NeedForm, edit("To: jean", "To: jean@x.example\r\nTo: jean"), "missing(form)", "To"},
		{"orange", NeedFromDomain, zone("shop.example. MX 10 mx.shop.example.", ""), "missing(no_mx_a)", "shop.example"},
		{"orange", NeedFromDomain, readyCase{mail: bulkMail, from: "b@nowhere.example"}, "missing(no_mx_a)", "nowhere.example"},
		{"orange", NeedFromDomain, readyCase{mail: bulkMail, fail: "shop.example"}, "unknown(dns)", "shop.example"},
		{"google", NeedOneClick, readyCase{mail: singleMail}, "n/a()", ""},
		{"google", NeedOneClick, edit("List-Unsubscribe: <https://shop.example/leave/t1>, <mailto:leave@shop.example>\r\n", ""), "missing(no_list_unsubscribe)", ""},
		{"google", NeedOneClick, edit("<https://shop.example/leave/t1>, ", ""), "missing(unsubscribe_no_https)", "mailto"},
		{"google", NeedOneClick, edit("<https:", "<http:"), "missing(unsubscribe_no_https)", "http:"},
		{"google", NeedOneClick, edit("=One-Click", "=one-click"), "met()", "https"},
		{"google", NeedOneClick, edit("=One-Click", "=Yes"), "missing(bad_unsubscribe_post)", "=Yes"},
		{"google", NeedOneClick, edit("List-Unsubscribe: ", "List-Unsubscribe: <mailto:x@shop.example>\r\nList-Unsubscribe: "), "missing(unsubscribe_twice)", ""},
		{"google", NeedOneClick, edit("<https://shop.example/leave/t1>", "\r\n <https://shop.example/\r\n leave/t1>"), "met()", "https"},
		{"google", NeedBodyLink, readyCase{mail: bulkMail}, "met()", "Farewell https://shop.example/leave/t1?x=1"},
		{"google", NeedBodyLink, edit("leave/t1?x=1\">Farewell", "other\">Se désinscrire"), "met()", "Se désinscrire"},
		{"google", NeedBodyLink, edit("leave/t1?x=1\">Farewell", "other\">Read"), "missing(no_body_link)", ""},
		{"orange", NeedFeedbackID, edit("Feedback-ID: november:c1:news:shop\r\n", ""), "missing(no_feedback_id)", ""},
		{"orange", NeedFeedbackID, edit("november:c1:news:shop", "a:b:c:d:e"), "missing(feedback_id_form)", "a:b:c:d:e"},
		{"orange", NeedFeedbackID, edit("november:c1:news:shop", "a:b:c:"), "missing(feedback_id_form)", "a:b:c:"},
		{"orange", NeedComplaintRate, readyCase{mail: singleMail}, "unknown(complaint_rate)", ""},
		{"orange", NeedConsent, readyCase{mail: singleMail}, "n/a()", ""},
		{"orange", NeedConsent, readyCase{mail: bulkMail}, "unknown(consent)", ""},
	} {
		t.Run(tc.id+" "+tc.want, func(t *testing.T) {
			t.Parallel()
			v := tc.c.run(t)
			f, ok := cardOf(t, v, tc.provider).find(tc.id)
			if got := fmt.Sprintf("%s(%s)", f.State, f.Why); !ok || got != tc.want || !strings.Contains(f.Evidence, tc.evidence) {
				t.Errorf("got %s with %q, want %s with %q", got, f.Evidence, tc.want, tc.evidence)
			}
			if f.State == Met && tc.evidence != "" && f.Evidence == "" {
				t.Error("nothing is said to have been found")
			}
		})
	}
}

// TestKeys: short RSA keys are accepted, Ed25519 alone is none where it is not verified.
func TestKeys(t *testing.T) {
	t.Parallel()
	small, err := os.ReadFile("testdata/key1024.pem")
	if err != nil {
		t.Fatal(err)
	}
	short, err := dkim.ParseKey(small, "shop.example", "r1")
	if err != nil {
		t.Fatal(err)
	}
	modern, err := dkim.GenerateKey("shop.example", "e1", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	big, err := bigKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		keys   []dkim.Key
		states map[string]string
	}{
		{"short", []dkim.Key{short}, map[string]string{"google": "advised(key_short)", "yahoo": "advised(key_short)", "microsoft": "advised(key_short)"}},
		{"modern", []dkim.Key{modern}, map[string]string{"google": "advised(key_ed25519)", "yahoo": "missing(key_ed25519)", "microsoft": "missing(key_ed25519)"}},
		{"both", []dkim.Key{modern, big}, map[string]string{"google": "met()", "yahoo": "met()"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			raw := []byte(strings.ReplaceAll(bulkMail, "\n", "\r\n"))
			header, err := dkim.Sign(raw, tc.keys, testNow.Add(-time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			var zone strings.Builder
			for _, k := range tc.keys {
				zone.WriteString(strings.NewReplacer(" IN TXT (", " TXT", " IN TXT", " TXT", " )", "").Replace(k.RecordZone()) + "\n")
			}
			f := testFilter(t, Options{Resolver: dnstest.Start(t, zone.String()).Resolver(t), Unsigned: true})
			v, err := f.Run(t.Context(), Input{Message: mail.Parse(append(header, raw...), mail.DefaultLimits()), Now: testNow})
			if err != nil {
				t.Fatal(err)
			}
			for provider, want := range tc.states {
				f, _ := cardOf(t, v, provider).find(NeedDKIMKey)
				if got := fmt.Sprintf("%s(%s)", f.State, f.Why); got != want {
					t.Errorf("%s: got %s with %q, want %s", provider, got, f.Evidence, want)
				}
			}
		})
	}
}

// TestOwnSignature: the signature that is added when the message leaves counts, with the fields it covers.
func TestOwnSignature(t *testing.T) {
	t.Parallel()
	raw := []byte(strings.ReplaceAll(strings.ReplaceAll(bulkMail, "shop.example", "good.example"), "\n", "\r\n"))
	c := caseNamed(t, "101-plain")
	in := c.input(t)
	in.Message = mail.Parse(raw, mail.DefaultLimits())
	f := testFilter(t, Options{Resolver: c.world(t).Resolver(t), Accounts: testLedger(t), TLS: TLSOffered})
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	r := cardOf(t, v, "orange")
	for _, id := range []string{NeedDKIM, NeedOneClick, NeedFeedbackID, NeedDMARCPass} {
		if f, _ := r.find(id); f.State != Met {
			t.Errorf("%s: %+v", id, f)
		}
	}
	if r.State != Ready {
		t.Errorf("got %s", r)
	}
}

// TestRecipientsFirst: cards of the recipients' providers come first, the other main ones follow.
func TestRecipientsFirst(t *testing.T) {
	t.Parallel()
	v := readyCase{mail: singleMail, to: []string{"a@laposte.net", "b@orange.fr", "c@wanadoo.fr", "d@free.fr", "e@there.example"}}.run(t)
	var got []string
	for _, r := range v.Providers {
		got = append(got, fmt.Sprint(r.Provider, r.Recipients))
	}
	if want := []string{"orange2", "laposte1", "free1", "google0", "yahoo0", "microsoft0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBulkMark(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		field      string
		recipients int
		want       string
	}{
		{"X-A: b", 1, ""}, {"X-A: b", 49, ""}, {"X-A: b", 50, "recipients"}, {"List-Id: <a.b>", 1, "list_id"}, {"Precedence: BULK ", 1, "precedence"},
		{"Precedence: first-class", 1, ""}, {"feedback-id: x", 1, "feedback_id"}, {"List-Unsubscribe: <mailto:a@b.example>", 1, "list_unsubscribe"},
	} {
		m := mail.Parse([]byte(tc.field+"\r\n\r\n"), mail.DefaultLimits())
		if got := bulkMark(m, tc.recipients); got != tc.want {
			t.Errorf("%s, %d recipients: got %q, want %q", tc.field, tc.recipients, got, tc.want)
		}
	}
}

// TestBulkByBehaviour: many messages of one text are bulk mail too, and stay it when they are tested again.
func TestBulkByBehaviour(t *testing.T) {
	t.Parallel()
	m := mail.Parse([]byte("Subject: x\r\n\r\n"), mail.DefaultLimits())
	many, few := &learn.Behaviour{Alike: learn.Likeness{Messages: manyRecipients}}, &learn.Behaviour{Alike: learn.Likeness{Messages: manyRecipients - 1}}
	earlier := &Verdict{Providers: Cards{{Provider: "google", Bulk: "alike"}}}
	for i, tc := range []struct {
		s    *scan
		want string
	}{
		{&scan{Input: Input{Message: m}, observed: many}, "alike"}, {&scan{Input: Input{Message: m}, observed: few}, ""}, {&scan{Input: Input{Message: m}}, ""},
		{&scan{Input: Input{Message: m, Earlier: earlier}}, "alike"}, {&scan{Input: Input{Message: m, Earlier: &Verdict{}}}, ""},
	} {
		if got := tc.s.bulk(); got != tc.want {
			t.Errorf("%d: got %q, want %q", i, got, tc.want)
		}
	}
}

// TestCardsWeighNothing: the score is that of the tests alone, and cards ask the DNS nothing that the tests did not ask.
func TestCardsWeighNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	r := answers(func(_ context.Context, name string, typ dns.Type) dns.Answer {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprint(name, typ))
		if strings.HasPrefix(name, "_dmarc") {
			return dns.Answer{Status: dns.TryLater, Err: dns.ErrServFail}
		}
		return dns.Answer{Status: dns.Nothing}
	})
	in := caseNamed(t, "501-broken-newsletter").input(t)
	run := func(cards bool) (Verdict, []string) {
		f := testFilter(t, Options{Resolver: r, TLS: TLSOffered})
		if !cards {
			s := *f.now.Load()
			s.checks = slices.DeleteFunc(checks(), func(c check) bool { return c.name == "providers" })
			f.now.Store(&s)
		}
		asked = nil
		v, err := f.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return v, slices.Compact(slices.Sorted(slices.Values(asked)))
	}
	with, more := run(true)
	without, less := run(false)
	if golden(with) != golden(without) || len(with.Providers) < 5 || without.Providers != nil {
		t.Errorf("with cards:\n%s\nwithout:\n%s", golden(with), golden(without))
	}
	if !slices.Equal(more, less) {
		t.Errorf("with cards %d questions, without %d", len(more), len(less))
	}
}
