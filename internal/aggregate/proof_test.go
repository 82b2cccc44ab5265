package aggregate_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/dkim"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// world is DNS, with the keys of those who sign.
type world struct {
	*dnstest.Server
	keys map[mail.Domain]dkim.Key
}

// newWorld publishes keys of domains that sign, beside a zone.
func newWorld(t *testing.T, zone string, signers ...mail.Domain) *world {
	t.Helper()
	w := &world{keys: map[mail.Domain]dkim.Key{}}
	for _, d := range signers {
		k, err := dkim.GenerateKey(d, "s1", dkim.Ed25519SHA256)
		if err != nil {
			t.Fatal(err)
		}
		w.keys[d] = k
		zone += fmt.Sprintf("s1._domainkey.%s. 60 IN TXT %q\n", d, k.Record())
	}
	w.Server = dnstest.Start(t, zone)
	return w
}

// mailed is a report in a mail, signed by a domain; "": by nobody.
func (w *world) mailed(t *testing.T, from string, signer mail.Domain, reports ...[]byte) []byte {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s\r\nTo: dmarc@gate.example\r\nSubject: Report domain: shop.example\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", from)
	for _, r := range reports {
		fmt.Fprintf(&b, "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n", lines(base64.StdEncoding.EncodeToString(r)))
	}
	raw := []byte(b.String() + "--b--\r\n")
	if signer == "" {
		return raw
	}
	head, err := dkim.Sign(raw, []dkim.Key{w.keys[signer]}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return append(head, raw...)
}

func lines(s string) string {
	var out []string
	for len(s) > 76 {
		out, s = append(out, s[:76]), s[76:]
	}
	return strings.Join(append(out, s), "\r\n")
}

func arrive(t *testing.T, l *aggregate.Ledger, ip, path string, raw []byte) {
	t.Helper()
	a := aggregate.Arrival{How: "mail", ClientIP: netip.MustParseAddr(ip), Hello: "mx.example", Raw: raw}
	if path != "" {
		var err error
		if a.ReversePath, err = mail.ParseAddress(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Put(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

// proofOf brings a mail in and returns what is kept of its one report.
func proofOf(t *testing.T, l *aggregate.Ledger, domain string) aggregate.Report {
	t.Helper()
	if err := l.Process(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _, err := l.Reports(t.Context(), mail.Domain(domain), "", 10)
	if err != nil || len(all) != 1 {
		t.Fatal(domain, all, err)
	}
	return all[0]
}

func TestProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
_dmarc.big.example. 60 IN TXT "v=DMARC1; p=reject"
big.example. 60 IN TXT "v=spf1 ip4:192.0.2.8 -all"
strict.example. 60 IN TXT "v=spf1 ip4:192.0.2.8 -all"
_dmarc.strict.example. 60 IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
plain.example. 60 IN TXT "v=spf1 ip4:192.0.2.8 -all"
_dmarc.yahoo.com. 60 IN TXT "v=DMARC1; p=reject"
`, "big.example", "mail.strict.example", "other.example", "yahoo.com", "dmarc.yahoo.com", "forger.example")
	l := open(t, storetest.SQLite(t, store.MainSchema()), func(o *aggregate.Options) { o.Resolver = w.Resolver(t) })
	const far = "203.0.113.1"
	for i, tc := range []struct {
		name         string
		from         string
		signer       mail.Domain
		ip, path     string
		org, contact string
		want         aggregate.Proof
	}{
		{"signed by the reporter", "r@big.example", "big.example", far, "", "big.example", "d@big.example", aggregate.ProofPassed},
		{"signed by the reporter, written from below", "r@mx.big.example", "big.example", far, "", "big.example", "d@big.example", aggregate.ProofPassed},
		{"from the reporter's server", "r@big.example", "", "192.0.2.8", "b@big.example", "Big", "d@big.example", aggregate.ProofPassed},
		{"no policy, aligned path", "r@plain.example", "", "192.0.2.8", "b@plain.example", "Plain", "x@plain.example", aggregate.ProofPassed},
		{"a path that is not aligned", "r@big.example", "", "192.0.2.8", "b@plain.example", "big.example", "d@big.example", aggregate.ProofFailed},
		{"nobody vouches", "r@big.example", "", far, "b@big.example", "big.example", "d@big.example", aggregate.ProofFailed},
		{"somebody else signs", "r@big.example", "other.example", far, "", "big.example", "d@big.example", aggregate.ProofFailed},
		{"strict alignment", "r@strict.example", "mail.strict.example", far, "", "strict.example", "a@strict.example", aggregate.ProofFailed},
		{"two authors", "r@big.example, a@other.example", "big.example", far, "", "big.example", "d@big.example", aggregate.ProofFailed},
		{"a forger as himself", "r@forger.example", "forger.example", far, "", "big.example", "d@big.example", aggregate.ProofMismatch},
		{"a forger with another's name", "r@forger.example", "forger.example", far, "", "big.example", "x@forger.example", aggregate.ProofMismatch},
		{"a forger with another's address", "r@forger.example", "forger.example", far, "", "forger.example", "d@big.example", aggregate.ProofMismatch},
		{"a forger who names nobody", "r@forger.example", "forger.example", far, "", "Big Company", "", aggregate.ProofMismatch},
		{"anybody's mailbox", "eve@yahoo.com", "yahoo.com", far, "", "Yahoo", "dmarchelp@yahooinc.com", aggregate.ProofMismatch},
		{"another domain of the reporter's", "r@dmarc.yahoo.com", "dmarc.yahoo.com", far, "", "Yahoo", "dmarchelp@yahooinc.com", aggregate.ProofPassed},
	} {
		domain := fmt.Sprintf("shop%d.example", i)
		raw := string(written("NAME", "1", domain, day(1), "none", rec{"192.0.2.1", 1, "pass", "pass", ""}))
		raw = strings.NewReplacer("<org_name>NAME", "<org_name>"+tc.org, "<email>d@NAME", "<email>"+tc.contact).Replace(raw)
		arrive(t, l, tc.ip, tc.path, w.mailed(t, tc.from, tc.signer, []byte(raw)))
		if got := proofOf(t, l, domain); got.Proof != tc.want {
			t.Errorf("%s: %q", tc.name, got.Proof)
		}
	}
	raw := written("big.example", "2", "changed.example", day(1), "none", rec{"192.0.2.1", 1, "pass", "pass", ""})
	arrive(t, l, far, "", append(w.mailed(t, "r@big.example", "big.example", raw), "x\r\n"...))
	if got := proofOf(t, l, "changed.example"); got.Proof != aggregate.ProofFailed || got.Author != "big.example" || got.Signed != "" {
		t.Errorf("changed after signing: %+v", got)
	}
	given(t, l, written("big.example", "2", "given.example", day(1), "none", rec{"192.0.2.1", 1, "pass", "pass", ""}))
	if got := proofOf(t, l, "given.example"); got.Proof != aggregate.ProofGiven {
		t.Errorf("given: %+v", got)
	}
	bare := open(t, storetest.SQLite(t, store.MainSchema()), nil) // without DNS nothing is authenticated
	arrive(t, bare, far, "", w.mailed(t, "r@big.example", "big.example", raw))
	if got := proofOf(t, bare, "changed.example"); got.Proof != aggregate.ProofUnknown {
		t.Errorf("without DNS: %+v", got)
	}
}

// month brings reports about the days of a month in which all of a domain's own mail passes.
func month(t *testing.T, l *aggregate.Ledger, bringIn func(raw []byte)) {
	t.Helper()
	for n := range 28 {
		bringIn(written("big.example", fmt.Sprint("m", n), "shop.example", day(n), "none", rec{"192.0.2.1", 100, "pass", "pass", ""}))
	}
	judged(t, l)
}

func advised(t *testing.T, l *aggregate.Ledger) aggregate.Advice {
	t.Helper()
	o := read(t, l, "shop.example")
	return aggregate.Advise(&o, o.Seen(), aggregate.DefaultRules(), "")
}

const bigZone = `_dmarc.big.example. 60 IN TXT "v=DMARC1; p=reject"` + "\n"

// TestForgedReportsChangeNothing: what nobody vouches for is shown, and changes neither advice nor alarms, in no direction.
func TestForgedReportsChangeNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var h heard
		w := newWorld(t, bigZone, "big.example")
		l := open(t, db, func(o *aggregate.Options) { h.into(o); o.Resolver = w.Resolver(t) })
		forge := func(raw []byte) { arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "", raw)) }
		genuine := func(raw []byte) { arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "big.example", raw)) }

		// Forged alone, they unlock nothing: not the way to a stricter policy, nor a policy at all.
		month(t, l, forge)
		o := read(t, l, "shop.example")
		if o.Window.Messages != 2800 || o.Unproven != (aggregate.Part{Messages: 2800, Passed: 2800}) || o.Known != 28 || o.Guessed != 28 || !o.Doubted || !o.Sources[0].Guessed() || o.Days[3].Unproven.Messages != 100 {
			t.Fatalf("%+v", o.Domain)
		}
		if a := advised(t, l); a.State != aggregate.AdviceUnknown || a.Policy != "" || a.Record != "" || a.Checks[0].Have != "0" || a.Checks[1].Have != "0" {
			t.Errorf("%+v", a)
		}
		everything := open(t, db, func(o *aggregate.Options) { o.Resolver = w.Resolver(t); o.Unproven = aggregate.UnprovenCount })
		if a := advised(t, everything); a.State != aggregate.AdviceQuarantine {
			t.Errorf("the operator lets them count: %+v", a)
		}

		// The genuine ones come too: each takes the place of its forged twin, and nothing is counted twice.
		month(t, l, genuine)
		o = read(t, l, "shop.example")
		if o.Window.Messages != 2800 || o.Unproven != (aggregate.Part{}) || o.Known != 28 || o.Guessed != 0 || o.Doubted || o.Reports != 28 || o.Doubtful != 0 {
			t.Fatalf("%+v", o.Domain)
		}
		before := advised(t, l)
		if before.State != aggregate.AdviceQuarantine || before.Policy != "none" {
			t.Errorf("%+v", before)
		}

		// Neither strangers' mail nor failures nor another policy can be put into the domain's figures.
		forge(written("big.example", "f1", "shop.example", day(0), "reject", rec{"192.0.2.1", 5000, "fail", "fail", ""}, rec{"198.51.100.7", 90_000, "fail", "fail", ""}))
		for i := range 3 {
			var many []rec
			for k := range 200 {
				many = append(many, rec{fmt.Sprintf("198.18.%d.%d", i, k), 1_000_000, "fail", "fail", ""})
			}
			forge(written("big.example", fmt.Sprint("f", 2+i), "shop.example", day(i), "none", many...))
		}
		forge(tlsReport("t1", 0, 1, 5000))
		forge([]byte(`<!DOCTYPE x [<!ENTITY a "b">]><feedback></feedback>`))
		judged(t, l)
		if got := h.take(); got != "" || len(h.raised) != 0 {
			t.Error(got, h.raised)
		}
		if after := advised(t, l); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("\n%+v\n%+v", before, after)
		}
		o = read(t, l, "shop.example")
		if s := o.Sources[0]; s.Text != "192.0.2.1" || s.Messages != 7800 || s.Unproven.Messages != 5000 || o.Window.Messages != 600_097_800 || o.Doubtful != 4 || len(o.Recent) == 0 {
			t.Errorf("%+v %+v", s, o.Domain)
		}
		if s, err := l.TLS(t.Context(), "shop.example", day(27), day(0)); err != nil || s.Failed != 5000 || s.Unproven != 5001 || s.Failures[0].Unproven != 5000 {
			t.Errorf("%+v %v", s, err)
		}

		// The same from the reporter himself does.
		genuine(written("big.example", "g1", "shop.example", day(0), "none", rec{"198.51.100.7", 900, "fail", "fail", ""}))
		genuine(tlsReportOf("big.example", "g2", 0, 1, 5000))
		judged(t, l)
		if got := h.take(); got != "reports-source shop.example true, reports-tls shop.example true" || h.raised["reports.reports-source shop.example"].Args["Messages"] != "900" {
			t.Error(got, h.raised)
		}
		if a := advised(t, l); a.State != aggregate.AdviceStay {
			t.Errorf("%+v", a)
		}
		// Forged good news do not end what stands.
		forge(written("big.example", "f9", "shop.example", day(0), "none", rec{"192.0.2.1", 90_000_000, "pass", "pass", ""}))
		forge(written("big.example", "f10", "shop.example", day(30), "none", rec{"198.51.100.7", 90_000, "fail", "fail", ""})) // "known for long"
		forge(tlsReport("t2", 0, 900_000_000, 0))
		judged(t, l)
		if got := h.take(); got != "" || len(h.raised) != 2 {
			t.Error(got, h.raised)
		}
	})
}

// TestForgerTakesNoPlace: a forged report under a genuine one's name does not keep it out, and one that comes again changes nothing.
func TestForgerTakesNoPlace(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		w := newWorld(t, bigZone, "big.example")
		l := open(t, db, func(o *aggregate.Options) { o.Resolver = w.Resolver(t) })
		forged := w.mailed(t, "r@big.example", "", written("big.example", "1", "shop.example", day(0), "reject", rec{"192.0.2.1", 70, "fail", "fail", ""}))
		genuine := w.mailed(t, "r@big.example", "big.example", written("big.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 30, "pass", "pass", ""}))
		for range 2 {
			for _, raw := range [][]byte{forged, genuine, forged} {
				arrive(t, l, "203.0.113.1", "", raw)
				read(t, l, "shop.example")
			}
			o := read(t, l, "shop.example")
			if o.Window.Messages != 100 || o.Unproven.Messages != 70 || o.Policy.P != "none" || o.Doubted || o.Guessed != 0 || o.Reports != 2 {
				t.Errorf("%+v", o.Domain)
			}
		}
		who, err := l.Receivers(t.Context(), 10)
		if err != nil || len(who) != 1 || who[0].Reports != 2 || who[0].Unproven != 1 {
			t.Errorf("%+v %v", who, err)
		}
		// The other way round the forged one is a duplicate.
		arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "big.example", written("big.example", "2", "shop.example", day(1), "none", rec{"192.0.2.1", 5, "pass", "pass", ""})))
		read(t, l, "shop.example")
		arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "", written("big.example", "2", "shop.example", day(1), "none", rec{"192.0.2.1", 500, "fail", "fail", ""})))
		if o := read(t, l, "shop.example"); o.Window.Messages != 105 || o.Unproven.Messages != 70 {
			t.Errorf("%+v", o.Domain)
		}
	})
}

// TestProofWaitsForTheSum: the same report comes with proof while it is summed without.
func TestProofWaitsForTheSum(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		raw := written("big.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 70, "pass", "pass", ""})
		put(t, l, raw)
		if o := read(t, l, "shop.example"); o.Unproven.Messages != 70 {
			t.Fatalf("%+v", o.Domain)
		}
		done := func(n int) {
			t.Helper()
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE aggregate_report SET done = ?`, n)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		done(0)
		if _, err := l.Import(t.Context(), aggregate.Arrival{How: "upload", Raw: raw}, nil); !errors.Is(err, aggregate.ErrUnderWay) {
			t.Error(err)
		}
		done(-1)
		if out, err := l.Import(t.Context(), aggregate.Arrival{How: "upload", Raw: raw}, nil); err != nil || out.Stored != 1 {
			t.Errorf("%+v %v", out, err)
		}
		if o := read(t, l, "shop.example"); o.Window.Messages != 70 || o.Unproven.Messages != 0 || o.Sources[0].Unproven.Messages != 0 || o.Reports != 1 {
			t.Errorf("%+v", o.Domain)
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var h heard
		w := newWorld(t, bigZone, "big.example")
		l := open(t, db, func(o *aggregate.Options) {
			h.into(o)
			o.Resolver, o.Unproven = w.Resolver(t), aggregate.UnprovenRefuse
		})
		arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "", written("big.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 70, "fail", "fail", ""})))
		arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "big.example", written("big.example", "2", "shop.example", day(0), "none", rec{"192.0.2.1", 3, "pass", "pass", ""})))
		if o := read(t, l, "shop.example"); o.Window.Messages != 3 || o.Unproven.Messages != 0 {
			t.Errorf("%+v", o.Domain)
		}
		judged(t, l)
		all, err := l.Unread(t.Context(), "", 10)
		if err != nil || len(all) != 1 || !all[0].Kept || all[0].Proof != aggregate.ProofFailed || !strings.Contains(all[0].Why, "not authenticated") || len(h.raised) != 0 {
			t.Fatalf("%+v %v %v", all, err, h.raised)
		}
		// A person who trusts it brings it in.
		body, err := l.UnreadBody(t.Context(), all[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := l.Import(t.Context(), aggregate.Arrival{How: "upload", Raw: body}, nil); err != nil || out.Stored != 1 {
			t.Errorf("%+v %v", out, err)
		}
		if o := read(t, l, "shop.example"); o.Window.Messages != 73 || o.Unproven.Messages != 0 {
			t.Errorf("%+v", o.Domain)
		}
	})
	if _, err := aggregate.New(aggregate.Options{DB: storetest.SQLite(t, store.MainSchema()), Unproven: "perhaps"}); err == nil {
		t.Error("an unknown way is taken")
	}
}

// TestSilentDNS: a report whose authentication the DNS leaves open waits, and is never taken for authenticated.
func TestSilentDNS(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		w := newWorld(t, bigZone, "big.example")
		w.Fail("s1._domainkey.big.example", dnstest.ServFail)
		now := noon
		l := open(t, db, func(o *aggregate.Options) { o.Resolver = w.Resolver(t); o.Now = func() time.Time { return now } })
		bring := func(id string) {
			arrive(t, l, "203.0.113.1", "", w.mailed(t, "r@big.example", "big.example", written("big.example", id, "shop.example", day(0), "none", rec{"192.0.2.1", 7, "pass", "pass", ""})))
		}
		settle := func() {
			t.Helper()
			if err := l.JudgeAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.Process(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		known := func() int {
			t.Helper()
			all, _, err := l.Reports(t.Context(), "shop.example", "", 10)
			if err != nil {
				t.Fatal(err)
			}
			return len(all)
		}
		bring("1")
		settle()
		if n := known(); n != 0 {
			t.Fatal("taken before the DNS said anything", n)
		}
		if all, err := l.Unread(t.Context(), "", 10); err != nil || len(all) != 0 {
			t.Errorf("%+v %v", all, err)
		}
		for range 10 { // it is not asked again and again at once
			settle()
		}
		asked := w.Count("s1._domainkey.big.example")
		now = now.Add(7 * time.Hour)
		settle()
		if got := proofOf(t, l, "shop.example"); got.Proof != aggregate.ProofUnknown || w.Count("s1._domainkey.big.example") <= asked {
			t.Errorf("%+v, asked %d times before", got, asked)
		}
		if o := read(t, l, "shop.example"); o.Unproven.Messages != 7 || o.Guessed != 1 {
			t.Errorf("%+v", o.Domain)
		}
		// The DNS answers in time.
		bring("2")
		w.Fail("s1._domainkey.big.example", dnstest.OK)
		now = now.Add(6 * time.Minute)
		settle()
		if o := read(t, l, "shop.example"); o.Window.Messages != 14 || o.Unproven.Messages != 7 || o.Guessed != 0 {
			t.Errorf("%+v", o.Domain)
		}
	})
}

// TestKeyForTLSReports: a key that is published for reports about TLS vouches for mail that says it brings one, and for no other.
func TestKeyForTLSReports(t *testing.T) {
	t.Parallel()
	key, err := dkim.GenerateKey("tls.example", "s1", dkim.Ed25519SHA256)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, fmt.Sprintf("s1._domainkey.tls.example. 60 IN TXT %q\n", strings.Replace(key.Record(), "p=", "s=tlsrpt; p=", 1)))
	l := open(t, storetest.SQLite(t, store.MainSchema()), func(o *aggregate.Options) { o.Resolver = w.Resolver(t) })
	for field, want := range map[string]aggregate.Proof{"TLS-Report-Domain: shop.example\r\n": aggregate.ProofPassed, "": aggregate.ProofFailed} {
		id := fmt.Sprint("report ", want)
		raw := append([]byte(field), w.mailed(t, "r@tls.example", "", tlsReportOf("tls.example", id, 0, 5, 0))...)
		head, err := dkim.Sign(raw, []dkim.Key{key}, noon)
		if err != nil {
			t.Fatal(err)
		}
		arrive(t, l, "203.0.113.1", "", append(head, raw...))
	}
	if err := l.Process(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, _, err := l.Reports(t.Context(), "shop.example", "", 10)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, r := range all {
		if want := strings.TrimPrefix(r.ReportID, "report "); string(r.Proof) != want || (r.Signed == "tls.example") != (r.Proof == aggregate.ProofPassed) {
			t.Errorf("%+v, want %s", r, want)
		}
	}
}
