package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
	"postern/internal/report"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// noon is the moment of the tests; the last whole day before it is 2026-11-21.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func day(n int) time.Time {
	return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -n)
}

// rec is one record of a report that tests write.
type rec struct {
	ip        string
	n         int
	dkim, spf string
	reason    string
}

// written is a DMARC report about one day.
func written(reporter, id, domain string, at time.Time, policy string, records ...rec) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<feedback><report_metadata><org_name>%s</org_name><email>d@%s</email><report_id>%s</report_id><date_range><begin>%d</begin><end>%d</end></date_range></report_metadata>
<policy_published><domain>%s</domain><p>%s</p><sp>none</sp></policy_published>`, reporter, reporter, id, at.Unix(), at.Unix()+86399, domain, policy)
	for _, r := range records {
		reason := ""
		if r.reason != "" {
			reason = "<reason><type>" + r.reason + "</type></reason>"
		}
		disposition := "none"
		if r.dkim != "pass" && r.spf != "pass" {
			disposition = policy
		}
		fmt.Fprintf(&b, `<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>%s</disposition><dkim>%s</dkim><spf>%s</spf>%s</policy_evaluated></row>
<identifiers><header_from>%s</header_from></identifiers><auth_results><dkim><domain>%s</domain><selector>s1</selector><result>%s</result></dkim><spf><domain>%s</domain><result>%s</result></spf></auth_results></record>`,
			r.ip, r.n, disposition, r.dkim, r.spf, reason, domain, domain, r.dkim, domain, r.spf)
	}
	return []byte(b.String() + "</feedback>")
}

func open(t *testing.T, db *store.DB, change func(*aggregate.Options)) *aggregate.Ledger {
	t.Helper()
	o := aggregate.Options{DB: db, Now: func() time.Time { return noon }, Egress: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.1")} }}
	if change != nil {
		change(&o)
	}
	l, err := aggregate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func put(t *testing.T, l *aggregate.Ledger, raw []byte) {
	t.Helper()
	if err := l.Put(t.Context(), aggregate.Arrival{How: "mail", Raw: raw}); err != nil {
		t.Fatal(err)
	}
}

// given brings a report in as a person does: it counts.
func given(t *testing.T, l *aggregate.Ledger, raw []byte) {
	t.Helper()
	if err := l.Put(t.Context(), aggregate.Arrival{How: "upload", Raw: raw}); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, l *aggregate.Ledger, domain string) aggregate.Overview {
	t.Helper()
	if err := l.Process(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := l.Overview(t.Context(), mail.Domain(domain), day(27), day(0))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestSums(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		given(t, l, written("r.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 10, "pass", "fail", ""}, rec{"192.0.2.1", 5, "fail", "pass", ""}, rec{"198.51.100.7", 3, "fail", "fail", ""}))
		if err := l.Process(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, l, written("r.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 99, "pass", "fail", ""})) // the same again
		put(t, l, written("q.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 7, "pass", "pass", ""}, rec{"203.0.113.9", 4, "fail", "fail", "forwarded"}))
		put(t, l, written("q.example", "2", "shop.example", day(2), "quarantine", rec{"198.51.100.7", 2, "fail", "fail", ""}))
		o := read(t, l, "shop.example")
		if o.Window != (aggregate.Sum{Messages: 31, Passed: 22, DKIM: 17, SPF: 12, Quarantined: 2}) || o.Known != 2 || o.Reports != 3 || len(o.Days) != 28 {
			t.Errorf("%+v, %d days known, %d reports", o.Window, o.Known, o.Reports)
		}
		if d := o.Days[26]; d.Known || d.Messages != 0 || !o.Days[27].Known || o.Days[27].Messages != 29 || !o.Days[25].Known {
			t.Errorf("days: %+v", o.Days[25:])
		}
		var got []string
		for _, s := range o.Sources {
			got = append(got, fmt.Sprintf("%s %s %d/%d", s.Text, s.Class, s.Passed, s.Messages))
		}
		if s := strings.Join(got, ", "); s != "192.0.2.1 own 22/22, 198.51.100.7 unknown 0/5, 203.0.113.9 forwarder 0/4" {
			t.Error(s)
		}
		if len(o.Reporters) != 2 || o.Reporters[0].Name != "r.example" || o.Reporters[0].Messages != 18 || o.Reporters[1].Days != 2 {
			t.Errorf("%+v", o.Reporters)
		}
		if o.Policy.P != "none" { // the newest report's, not the last that came
			t.Errorf("policy %+v", o.Policy)
		}
		rows, err := l.Rows(t.Context(), "shop.example", "192.0.2.1", day(27), day(0), 100)
		if err != nil || len(rows) != 3 || rows[0].Messages != 10 || rows[0].Selector != "s1" {
			t.Errorf("%+v %v", rows, err)
		}
		if seen, err := l.Selectors(t.Context(), "shop.example", 5); err != nil || !slices.Equal(seen, []string{"s1"}) {
			t.Errorf("selectors %q %v", seen, err)
		}
		if seen, err := l.Selectors(t.Context(), "other.example", 5); err != nil || len(seen) != 0 {
			t.Errorf("selectors of others %q %v", seen, err)
		}
		all, next, err := l.Reports(t.Context(), "shop.example", "", 2)
		if err != nil || len(all) != 2 || next == "" {
			t.Fatal(len(all), next, err)
		}
		rest, next, err := l.Reports(t.Context(), "shop.example", next, 2)
		if err != nil || len(rest) != 1 || next != "" {
			t.Error(len(rest), next, err)
		}
		who, err := l.Receivers(t.Context(), 10)
		if err != nil || len(who) != 2 || who[0].Reports+who[1].Reports != 3 || who[0].Unsigned == 0 {
			t.Errorf("%+v %v", who, err)
		}
		if err := l.Mark(t.Context(), "shop.example", "198.51.100.7", aggregate.MarkForeign, "operator:root"); err != nil {
			t.Fatal(err)
		}
		if err := l.Mark(t.Context(), "shop.example", "198.51.100.8", aggregate.MarkOwn, "x"); !errors.Is(err, aggregate.ErrNotFound) {
			t.Error(err)
		}
		if o = read(t, l, "shop.example"); o.Sources[1].Class != aggregate.ClassForeign {
			t.Errorf("%+v", o.Sources[1])
		}
	})
}

func TestDomainsBelow(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		for i, d := range []string{"shop.example", "a.shop.example", "xshop.example", "shop-b.example", "other.example"} {
			put(t, l, written("r.example", fmt.Sprint(i), d, day(1), "none", rec{"192.0.2.1", i + 1, "pass", "pass", ""}))
		}
		if err := l.Process(t.Context()); err != nil {
			t.Fatal(err)
		}
		names := func(all []aggregate.Domain) string {
			var out []string
			for _, d := range all {
				out = append(out, fmt.Sprint(d.Domain, ":", d.Window.Messages))
			}
			return strings.Join(out, " ")
		}
		some, next, err := l.Domains(t.Context(), []mail.Domain{"shop.example", "a.shop.example"}, day(27), day(0), "", 10)
		if err != nil || next != "" || names(some) != "shop.example:1 a.shop.example:2" {
			t.Error(names(some), next, err)
		}
		all, next, err := l.Domains(t.Context(), nil, day(27), day(0), "", 3)
		if err != nil || len(all) != 3 || next == "" {
			t.Error(names(all), next, err)
		}
		rest, next, err := l.Domains(t.Context(), nil, day(27), day(0), next, 3)
		if err != nil || len(rest) != 2 || next != "" {
			t.Error(names(rest), next, err)
		}
		if none, _, err := l.Domains(t.Context(), []mail.Domain{}, day(27), day(0), "", 3); err != nil || len(none) != 0 {
			t.Error("a customer without domains sees", names(none), err)
		}
	})
}

func TestLongRangeIsSpread(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, nil)
	raw := written("r.example", "1", "shop.example", day(5), "none", rec{"192.0.2.1", 7, "pass", "pass", ""}, rec{"192.0.2.2", 1, "fail", "fail", ""})
	put(t, l, []byte(strings.Replace(string(raw), fmt.Sprintf("<end>%d", day(5).Unix()+86399), fmt.Sprintf("<end>%d", day(3).Unix()+86399), 1)))
	// A day that ends a second into the next one is one day.
	raw = written("q.example", "1", "shop.example", day(1), "none", rec{"192.0.2.1", 3, "pass", "pass", ""})
	put(t, l, []byte(strings.Replace(string(raw), fmt.Sprintf("<end>%d", day(1).Unix()+86399), fmt.Sprintf("<end>%d", day(0).Unix()), 1)))
	o := read(t, l, "shop.example")
	var got []string
	for _, d := range o.Days[21:] {
		got = append(got, fmt.Sprint(d.Known, d.Messages))
	}
	if s := strings.Join(got, " "); s != "false 0 true 4 true 2 true 2 false 0 true 3 false 0" {
		t.Error(s)
	}
	if o.Window.Messages != 11 {
		t.Error(o.Window)
	}
}

func TestUnreadAndForeign(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		counted := map[string]int{}
		l := open(t, db, func(o *aggregate.Options) {
			o.Takes = func(d mail.Domain) bool { return d == "shop.example" }
			o.Counted = func(e string) { counted[e]++ }
		})
		put(t, l, []byte("From: a@b.example\r\nSubject: hi\r\n\r\nhello\r\n"))
		put(t, l, []byte(`<!DOCTYPE x [<!ENTITY a "b">]><feedback></feedback>`))
		put(t, l, written("r.example", "1", "other.example", day(1), "none", rec{"192.0.2.1", 1, "pass", "pass", ""}))
		if err := l.Process(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := l.Unread(t.Context(), "", 10)
		if err != nil || len(all) != 3 || counted["unread"] != 2 || counted["foreign"] != 1 {
			t.Fatalf("%+v %v %v", all, counted, err)
		}
		for _, x := range all {
			if x.Foreign != (x.Why == "other.example") || x.Kept == x.Foreign {
				t.Errorf("%+v", x)
			}
		}
		if _, err := l.Overview(t.Context(), "other.example", day(27), day(0)); !errors.Is(err, aggregate.ErrNotFound) {
			t.Error(err)
		}
		for _, x := range all {
			if body, err := l.UnreadBody(t.Context(), x.ID); (len(body) > 0) != x.Kept || x.Kept != (err == nil) {
				t.Error(len(body), err)
			}
		}
		if err := l.Drop(t.Context(), all[0].ID); err != nil {
			t.Error(err)
		}
		if err := l.Drop(t.Context(), all[0].ID); !errors.Is(err, aggregate.ErrNotFound) {
			t.Error(err)
		}
		_, err = l.Import(t.Context(), aggregate.Arrival{How: "upload", Raw: written("r.example", "1", "shop.example", day(1), "none", rec{"192.0.2.1", 1, "pass", "pass", ""})}, func(d mail.Domain) bool { return d == "mine.example" })
		if !errors.Is(err, aggregate.ErrNotTaken) {
			t.Error(err)
		}
	})
}

func TestGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		var many []rec
		for i := range 2000 {
			many = append(many, rec{fmt.Sprintf("198.51.%d.%d", i/250, i%250), 1, "fail", "fail", ""})
		}
		raw := written("r.example", "1", "shop.example", day(1), "none", many...)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		stop := open(t, db, func(o *aggregate.Options) {
			o.Now = func() time.Time {
				if n++; n == 2 {
					cancel()
				}
				return noon
			}
		})
		put(t, stop, raw)
		_ = stop.Process(ctx) // ends somewhere on the way, or before it began
		cancel()
		if _, err := l.Import(t.Context(), aggregate.Arrival{Raw: raw}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Import(t.Context(), aggregate.Arrival{Raw: raw}, nil); err != nil {
			t.Fatal(err)
		}
		o, err := l.Overview(t.Context(), "shop.example", day(27), day(0))
		if err != nil || o.Window.Messages != 2000 || !o.More || len(o.Sources) != aggregate.MaxListed {
			t.Errorf("%+v, %d sources, %v", o.Window, len(o.Sources), err)
		}
		var total int64
		err = db.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow("SELECT sum(messages) FROM aggregate_row").Scan(&total)
		})
		if err != nil || total != 2000 {
			t.Errorf("%d messages in rows, %v", total, err)
		}
	})
}

func TestTLSAndFailures(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		text := `{"organization-name":"Big","date-range":{"start-datetime":"2026-11-20T00:00:00Z","end-datetime":"2026-11-20T23:59:59Z"},"report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-domain":"shop.example"},
"summary":{"total-successful-session-count":90,"total-failure-session-count":10},"failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mx.shop.example","failed-session-count":10}]}]}`
		put(t, l, []byte(text))
		put(t, l, []byte(text))
		raw, err := os.ReadFile(filepath.Join("../report/testdata/reports/failure/dmarc_ruf_report_linkedin.eml"))
		if err != nil {
			t.Fatal(err)
		}
		put(t, l, raw)
		put(t, l, raw)
		if err := l.Process(t.Context()); err != nil {
			t.Fatal(err)
		}
		o, err := l.TLS(t.Context(), "shop.example", day(27), day(0))
		if err != nil || o.Successful != 90 || o.Failed != 10 || o.Known != 1 || len(o.Failures) != 1 || o.Failures[0].Sessions != 10 || o.Senders[0].Name != "Big" {
			t.Errorf("%+v %v", o, err)
		}
		some, err := l.Failures(t.Context(), "example.com", 10)
		if err != nil || len(some) != 1 {
			t.Fatal(len(some), err)
		}
		f := some[0]
		if f.Author != "example.com" || f.Source != "10.10.10.10" || f.Failure != "dmarc" || f.Reporter != "linkedin.com" {
			t.Errorf("%+v", f)
		}
		if whole := fmt.Sprint(f); strings.Contains(whole, "recipient@") || strings.Contains(whole, "sender@") || strings.Contains(whole, "Subject") {
			t.Errorf("persons are kept: %s", whole)
		}
		later := open(t, db, func(o *aggregate.Options) { o.Now = func() time.Time { return noon.Add(15 * 24 * time.Hour) } })
		if err := later.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if some, err := l.Failures(t.Context(), "example.com", 10); err != nil || len(some) != 0 {
			t.Error(len(some), err)
		}
		if o, err := l.TLS(t.Context(), "shop.example", day(27), day(0)); err != nil || o.Failed != 10 {
			t.Error(o, err)
		}
	})
}

func TestSweep(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		put(t, l, written("r.example", "1", "shop.example", day(1), "none", rec{"192.0.2.1", 1, "pass", "pass", ""}))
		if err := l.Process(t.Context()); err != nil {
			t.Fatal(err)
		}
		later := open(t, db, func(o *aggregate.Options) { o.Now = func() time.Time { return noon.Add(500 * 24 * time.Hour) } })
		if err := later.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"report", "row", "source", "day", "domain", "reporter", "inbox"} {
			var n int64
			err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT count(*) FROM aggregate_" + table).Scan(&n) })
			if err != nil || n != 0 {
				t.Errorf("%s: %d rows, %v", table, n, err)
			}
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	server := dnstest.Start(t, `
1.2.0.192.in-addr.arpa. 60 IN PTR mail.shop.example.
mail.shop.example. 60 IN A 192.0.2.1
7.100.51.198.in-addr.arpa. 60 IN PTR mail.google.com.
8.100.51.198.in-addr.arpa. 60 IN PTR o1.ptr.sendgrid.net.
o1.ptr.sendgrid.net. 60 IN A 198.51.100.8
`)
	server.Fail("9.100.51.198.in-addr.arpa", dnstest.ServFail)
	l := open(t, db, func(o *aggregate.Options) { o.Resolver = server.Resolver(t) })
	put(t, l, written("r.example", "1", "shop.example", day(1), "none", rec{"192.0.2.1", 5, "pass", "pass", ""}, rec{"198.51.100.7", 4, "fail", "fail", ""}, rec{"198.51.100.8", 3, "fail", "fail", ""},
		rec{"198.51.100.9", 2, "fail", "fail", ""}, rec{"198.51.100.10", 1, "fail", "fail", ""}))
	if o := read(t, l, "shop.example"); o.Sources[0].Named != aggregate.NameToAsk {
		t.Errorf("%+v", o.Sources[0])
	}
	if err := l.Names(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	o := read(t, l, "shop.example")
	var got []string
	for _, s := range o.Sources {
		got = append(got, fmt.Sprint(s.Name, " ", s.Named, " ", s.Service, " ", s.Class))
	}
	want := "mail.shop.example 1  own, mail.google.com 2  unknown, o1.ptr.sendgrid.net 1 Twilio SendGrid service,  4  unknown,  3  unknown"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("\ngot  %s\nwant %s", s, want)
	}
}

func TestSamplesAreTaken(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, nil)
	files, err := filepath.Glob("../report/testdata/reports/*/*")
	if err != nil || len(files) < 9 {
		t.Fatal(len(files), err)
	}
	stored := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out, err := l.Import(t.Context(), aggregate.Arrival{How: "upload", Name: filepath.Base(f), Raw: raw}, nil)
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
		stored += out.Stored
	}
	if stored != len(files) {
		t.Errorf("%d of %d stored", stored, len(files))
	}
	all, _, err := l.Reports(t.Context(), "", "", 100)
	if err != nil || len(all) != len(files)-1 { // the failure report is kept elsewhere
		t.Error(len(all), err)
	}
	kinds := map[report.Kind]int{}
	for _, r := range all {
		kinds[r.Kind]++
	}
	if kinds[report.KindTLS] != 2 {
		t.Error(kinds)
	}
}
