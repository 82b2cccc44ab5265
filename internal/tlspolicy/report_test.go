package tlspolicy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/dns/dnstest"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/tlspolicy"
)

const reportZone = stsZone + `
_smtp._tls 300 IN TXT "v=TLSRPTv1; rua=mailto:tls@example.org,https://reports.example.org/v1"
reports 300 IN A 192.0.2.81
$ORIGIN silent.test.
@ 300 IN MX 10 mx
`

func TestParseRPTRecord(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   []string
		want string
		err  error
	}{
		{"mail", []string{"v=TLSRPTv1; rua=mailto:a@example.org"}, "mailto:a@example.org", nil},
		{"no space", []string{"v=TLSRPTv1;rua=mailto:a@example.org;"}, "mailto:a@example.org", nil},
		{"both", []string{"v=TLSRPTv1; rua=mailto:a@example.org,https://example.org/x?y=1"}, "mailto:a@example.org https://example.org/x?y=1", nil},
		{"spaces", []string{"v=TLSRPTv1; rua=mailto:a@example.org , mailto:b@example.org"}, "mailto:a@example.org mailto:b@example.org", nil},
		{"extension", []string{"v=TLSRPTv1; rua=mailto:a@example.org; ext=1"}, "mailto:a@example.org", nil},
		{"encoded", []string{"v=TLSRPTv1; rua=mailto:a%2Bb@example.org"}, "mailto:a%2Bb@example.org", nil},
		{"unknown scheme beside", []string{"v=TLSRPTv1; rua=ftp://x.org/,mailto:a@example.org"}, "mailto:a@example.org", nil},
		{"at most five", []string{"v=TLSRPTv1; rua=" + strings.Repeat("mailto:a@example.org,", 9) + "mailto:b@example.org"}, strings.TrimSpace(strings.Repeat("mailto:a@example.org ", 5)), nil},
		{"none", nil, "", tlspolicy.ErrNoReports},
		{"others", []string{"v=spf1 -all"}, "", tlspolicy.ErrNoReports},
		{"two", []string{"v=TLSRPTv1; rua=mailto:a@b.org", "v=TLSRPTv1; rua=mailto:c@d.org"}, "", tlspolicy.ErrNoReports},
		{"no rua", []string{"v=TLSRPTv1;"}, "", tlspolicy.ErrInvalidRPT},
		{"HTTP", []string{"v=TLSRPTv1; rua=http://example.org/"}, "", tlspolicy.ErrInvalidRPT},
		{"no address", []string{"v=TLSRPTv1; rua=mailto:nobody"}, "", tlspolicy.ErrInvalidRPT},
		{"an address literal", []string{"v=TLSRPTv1; rua=mailto:a@[127.0.0.1]"}, "", tlspolicy.ErrInvalidRPT},
		{"a password", []string{"v=TLSRPTv1; rua=https://user:pass@example.org/"}, "", tlspolicy.ErrInvalidRPT},
		{"not name=value", []string{"v=TLSRPTv1; rua"}, "", tlspolicy.ErrInvalidRPT},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tlspolicy.ParseRPTRecord(tc.in)
			if strings.Join(got, " ") != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%q %v", got, err)
			}
		})
	}
}

// count records some sessions of a day: good ones, and ones that failed.
func count(t *testing.T, w *world, good int, failures ...string) {
	t.Helper()
	q := ask("mx1.example.org")
	q.Authentic, q.AddrSigned = false, false
	p := w.For(t.Context(), q)
	for range good {
		w.Record(tlspolicy.Result{Question: q, Policy: p})
	}
	for _, f := range failures {
		w.Record(tlspolicy.Result{Question: q, Policy: p, Egress: netip.MustParseAddr("198.51.100.1"), Failure: f, Detail: "x509: of its own\nkind"})
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestReport: a day's results become one report to each address that the domain names, once, and as RFC 8460 says.
func TestReport(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, reportZone)
		w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
		posts := w.host("192.0.2.81", "reports.example.org")
		posts.set(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			posts.mu.Lock()
			defer posts.mu.Unlock()
			if r.Method != http.MethodPost || r.URL.Path != "/v1" || r.Header.Get("Content-Type") != "application/tlsrpt+gzip" {
				rw.WriteHeader(http.StatusBadRequest)
				return
			}
			posts.bodies = append(posts.bodies, body)
			rw.WriteHeader(http.StatusCreated)
		})
		count(t, w, 3, tlspolicy.CertExpired, tlspolicy.NoSTARTTLS)
		count(t, w, 2, tlspolicy.CertExpired)
		quiet := tlspolicy.Question{Domain: "silent.test", Exchanger: "mx.silent.test"}
		w.Record(tlspolicy.Result{Question: quiet, Policy: w.For(t.Context(), quiet)})
		// What did not keep to the policy, our reports among it, is not counted.
		free := ask("mx1.example.org")
		free.TLSOptional = true
		w.Record(tlspolicy.Result{Question: free, Policy: w.For(t.Context(), free)})
		if err := w.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		report := func() {
			t.Helper()
			if err := w.Report(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		report()
		if len(w.posted()) != 0 {
			t.Fatal("reported before the day is over")
		}
		w.clock.Add(6 * time.Hour)
		for range 3 {
			report()
			w.restart()
		}
		mails := w.posted()
		if len(mails) != 1 || len(posts.bodies) != 1 || string(posts.bodies[0]) != string(mails[0].gz) {
			t.Fatalf("%d mails, %d posts", len(mails), len(posts.bodies))
		}
		m := mails[0]
		if m.to.String() != "tls@example.org" || m.about != "example.org" || m.filename != "gate.example!example.org!1795219200!1795305599!001.json.gz" ||
			!strings.HasPrefix(m.subject, "Report Domain: example.org Submitter: gate.example Report-ID: <2026-11-21.") {
			t.Errorf("mail %+v", m)
		}
		r, err := tlspolicy.ReadReport(m.gz)
		if err != nil {
			t.Fatal(err)
		}
		if r.Organization != "Gate" || r.Contact != "postmaster@gate.example" || !r.DateRange.Start.Equal(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) ||
			!r.DateRange.End.Equal(time.Date(2026, 11, 21, 23, 59, 59, 0, time.UTC)) || len(r.Policies) != 1 {
			t.Fatalf("report %+v", r)
		}
		p := r.Policies[0]
		if p.Policy.Type != "sts" || p.Policy.Domain != "example.org" || !slices.Equal(p.Policy.MXHost, []string{"mx1.example.org", "*.mail.example.org"}) ||
			!slices.Contains(p.Policy.Strings, "mode: enforce") || p.Summary != (tlspolicy.Summary{Successful: 5, Failed: 3}) || len(p.Failures) != 2 {
			t.Fatalf("policy %+v", p)
		}
		if f := p.Failures[0]; f.Type != tlspolicy.CertExpired || f.Sessions != 2 || f.SendingIP != "198.51.100.1" || f.ReceivingIP != "192.0.2.1" ||
			f.MX != "mx1.example.org" || f.Reason != "x509: of its own kind" {
			t.Errorf("failure %+v", f)
		}
		if n := rows(t, db, "tlspolicy_result"); n != 0 {
			t.Errorf("%d results stay behind", n)
		}
	})
}

func rows(t *testing.T, db *store.DB, table string) (n int) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT count(*) FROM " + table).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReportAgain: a report that cannot be delivered is tried again for a day, with the same bytes, at the addresses that have not had it.
func TestReportAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t, store.MainSchema()), reportZone)
	w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
	posts := w.host("192.0.2.81", "reports.example.org")
	posts.set(status(503))
	count(t, w, 1)
	w.clock.Add(6 * time.Hour)
	w.dns.Fail("_smtp._tls.example.org", dnstest.ServFail)
	if err := w.Report(t.Context()); err != nil || len(w.posted()) != 0 {
		t.Fatalf("without DNS: %v", err)
	}
	w.dns.Fail("_smtp._tls.example.org", dnstest.OK)
	for range 12 * 36 { // a day and a half
		if err := w.Report(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.clock.Add(5 * time.Minute)
	}
	if n := len(w.posted()); n != 1 {
		t.Errorf("%d mails", n)
	}
	if n := posts.count(); n < 8 || n > 16 {
		t.Errorf("%d posts", n)
	}
	w.clock.Add(8 * 24 * time.Hour)
	if err := w.Report(t.Context()); err != nil || rows(t, w.o.DB, "tlspolicy_report") != 0 {
		t.Errorf("old reports stay: %v", err)
	}
}

// TestReportOnce: of two nodes one sends.
func TestReportOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, strings.Replace(reportZone, ",https://reports.example.org/v1", "", 1))
		w.host("192.0.2.80", "mta-sts.example.org").set(text(enforce))
		count(t, w, 4)
		other, err := tlspolicy.New(w.o)
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Add(6 * time.Hour)
		done := make(chan error)
		for _, b := range []*tlspolicy.Book{w.Book, other} {
			go func() { done <- b.Report(t.Context()) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := len(w.posted()); n != 1 {
			t.Errorf("%d mails", n)
		}
	})
}

// TestNoReports: switched off, results are not kept.
func TestNoReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t, store.MainSchema()), reportZone, func(o *tlspolicy.Options) { o.Tuning.Reports = false })
	count(t, w, 1)
	w.clock.Add(6 * time.Hour)
	if err := w.Report(t.Context()); err != nil || len(w.posted()) != 0 || rows(t, w.o.DB, "tlspolicy_result") != 0 {
		t.Errorf("%v, %d mails", err, len(w.posted()))
	}
}

// TestReportInside: a domain cannot have us post to what listens beside us.
func TestReportInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t, store.MainSchema()), strings.Replace(reportZone, "192.0.2.81", "127.0.0.1", 1))
	posts := w.host("127.0.0.1", "reports.example.org")
	count(t, w, 1)
	w.clock.Add(6 * time.Hour)
	if err := w.Report(t.Context()); err != nil || posts.count() != 0 {
		t.Errorf("%v, %d posts", err, posts.count())
	}
}

// TestBounded: a domain that fails in ever new ways takes a bounded number of rows, and every session still counts.
func TestBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t, store.MainSchema()), reportZone)
	q := ask("mx1.example.org")
	p := tlspolicy.Policy{Mode: tlspolicy.Opportunistic}
	for i := range 5000 {
		w.Record(tlspolicy.Result{Question: q, Policy: p, Failure: tlspolicy.ValidationFailed, Detail: fmt.Sprintf("%d %s", i, strings.Repeat("é", 300))})
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rows(t, w.o.DB, "tlspolicy_result"); n > 101 {
		t.Errorf("%d rows", n)
	}
	w.clock.Add(6 * time.Hour)
	if err := w.Report(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := tlspolicy.ReadReport(w.posted()[0].gz)
	if err != nil || r.Policies[0].Summary.Failed != 5000 || r.Policies[0].Policy.Type != "no-policy-found" {
		t.Errorf("%v: %+v", err, r.Policies[0].Summary)
	}
}

// TestDANEResults: of DANE the host's domain and the recipients' both learn (RFC 8460 1.1).
func TestDANEResults(t *testing.T) {
	t.Parallel()
	c := issue(t, nil, nil, "mx.example.org")
	w := newWorld(t, storetest.SQLite(t, store.MainSchema()), records("_25._tcp.mx.example.org.", tlsa(3, 1, 1, c.cert))+
		"_smtp._tls 300 IN TXT \"v=TLSRPTv1; rua=mailto:a@example.org\"\n_smtp._tls.mx 300 IN TXT \"v=TLSRPTv1; rua=mailto:b@example.org\"\n")
	q := ask("mx.example.org")
	w.Record(tlspolicy.Result{Question: q, Policy: w.For(t.Context(), q)})
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock.Add(6 * time.Hour)
	if err := w.Report(t.Context()); err != nil {
		t.Fatal(err)
	}
	var about []string
	for _, m := range w.posted() {
		about = append(about, m.to.String()+" "+m.about)
		r, err := tlspolicy.ReadReport(m.gz)
		if err != nil || r.Policies[0].Policy.Type != "tlsa" || r.Policies[0].Policy.Domain != "mx.example.org" || !strings.HasPrefix(r.Policies[0].Policy.Strings[0], "3 1 1 ") {
			t.Errorf("%v %+v", err, r)
		}
	}
	slices.Sort(about)
	if strings.Join(about, ", ") != "a@example.org example.org, b@example.org mx.example.org" {
		t.Error(about)
	}
}

// TestReadReport: others' reports are read, RFC 8460's example among them; what they say comes out again as it went in.
func TestReadReport(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tlspolicy.ReadReport(b)
		if err != nil || r.ID == "" || len(r.Policies) != 1 || r.DateRange.Start.IsZero() || r.Policies[0].Policy.Type != "sts" || len(r.Policies[0].Failures) == 0 {
			t.Errorf("%s: %v %+v", f, err, r)
		}
		gz, err := r.Pack()
		if err != nil {
			t.Fatal(err)
		}
		again, err := tlspolicy.ReadReport(gz)
		one, _ := json.Marshal(r)
		two, _ := json.Marshal(again)
		if err != nil || string(one) != string(two) {
			t.Errorf("%s: %v\n%s\n%s", f, err, one, two)
		}
		// Our writer knows every field of the example.
		var theirs, ours map[string]any
		if json.Unmarshal(b, &theirs) != nil || json.Unmarshal(one, &ours) != nil || len(theirs) != len(ours) {
			t.Errorf("%s: fields %v, ours %v", f, theirs, ours)
		}
	}
	if _, err := tlspolicy.ReadReport([]byte{0x1f, 0x8b, 0}); err == nil {
		t.Error("broken gzip read")
	}
}

func FuzzParseSTSPolicy(f *testing.F) {
	for _, s := range []string{enforce, "version: STSv1\r\nmode: none\r\nmax_age: 0\r\n", "", ":", "mx: *.", "version:STSv1\nmode:enforce\nmx:a.b\nmax_age:9999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := tlspolicy.ParseSTSPolicy(b)
		if err != nil {
			return
		}
		if p.MaxAge < 5*time.Minute || p.MaxAge > 31557600*time.Second || len(p.MX) == 0 && p.Mode != tlspolicy.STSNone {
			t.Errorf("%+v", p)
		}
		for _, m := range p.MX {
			host := strings.Replace(m, "*", "x", 1)
			if !p.Matches(host) || strings.Contains(strings.TrimPrefix(m, "*."), "*") {
				t.Errorf("%q does not match %q", m, host)
			}
		}
	})
}

func FuzzParseRecords(f *testing.F) {
	for _, s := range []string{"v=STSv1; id=1", "v=TLSRPTv1; rua=mailto:a@example.org,https://x.org/", "v=STSv1;", "v=TLSRPTv1;rua=mailto:%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := tlspolicy.ParseSTSRecord([]string{s}); err == nil && (id == "" || len(id) > 32) {
			t.Errorf("id %q", id)
		}
		if uris, err := tlspolicy.ParseRPTRecord([]string{s}); err == nil && (len(uris) == 0 || len(uris) > 5) {
			t.Errorf("uris %q", uris)
		}
	})
}

func FuzzParseTLSA(f *testing.F) {
	f.Add([]byte{3, 1, 1, 0})
	f.Add(append([]byte{3, 1, 1}, make([]byte, 32)...))
	f.Add([]byte{2, 0, 0, 0x30, 0x82})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := tlspolicy.ParseTLSA(b); err == nil && (r.Usage < 2 || r.Usage > 3 || len(r.String()) > 300) {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzReadReport(f *testing.F) {
	f.Add([]byte(`{"policies":[{"policy":{"mx-host":"x"}}]}`))
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := tlspolicy.ReadReport(b); err == nil {
			if _, err := r.Pack(); err != nil && !strings.Contains(err.Error(), "year") {
				t.Error(err)
			}
		}
	})
}

// TestRunFlushesAtTheEnd: what was counted is written when the gateway stops.
func TestRunFlushesAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storetest.SQLite(t, store.MainSchema()), reportZone)
	w.Record(tlspolicy.Result{Question: ask("mx1.example.org"), Policy: tlspolicy.Policy{Mode: tlspolicy.Opportunistic}})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := w.Run(ctx); err != nil || rows(t, w.o.DB, "tlspolicy_result") != 1 {
		t.Errorf("%v", err)
	}
	alone, err := tlspolicy.New(tlspolicy.Options{Resolver: w.o.Resolver})
	if err != nil || alone.Run(t.Context()) != nil {
		t.Errorf("without a database: %v", err)
	}
}
