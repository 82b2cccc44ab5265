package tlspolicy_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/dns/dnstest"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/tlspolicy"
)

const enforce = "version: STSv1\nmode: enforce\nmx: mx1.example.org\nmx: *.mail.example.org\nmax_age: 604800\n"

// stsZone is a domain with a policy and two without DNSSEC to speak of.
const stsZone = `
$ORIGIN example.org.
@ 300 IN SOA ns hostmaster 1 3600 600 86400 60
@ 300 IN MX 10 mx1
mx1 300 IN A 192.0.2.1
_mta-sts 300 IN TXT "v=STSv1; id=1;"
mta-sts 300 IN A 192.0.2.80
`

func TestParseSTSRecord(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		texts []string
		id    string
		err   error
	}{
		{"plain", []string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z", nil},
		{"no final semicolon", []string{"v=STSv1; id=a"}, "a", nil},
		{"no spaces", []string{"v=STSv1;id=a"}, "a", nil},
		{"extension", []string{"v=STSv1; x-new=some thing; id=a; y.z=1"}, "a", nil},
		{"first id counts", []string{"v=STSv1; id=a; id=b"}, "a", nil},
		{"beside others' records", []string{"google-site-verification=x", "v=STSv1; id=a", "v=spf1 -all"}, "a", nil},
		{"none", nil, "", tlspolicy.ErrNoPolicy},
		{"another version", []string{"v=STSv2; id=a"}, "", tlspolicy.ErrNoPolicy},
		{"version in another place", []string{"id=a; v=STSv1"}, "", tlspolicy.ErrNoPolicy},
		{"longer version", []string{"v=STSv10; id=a"}, "", tlspolicy.ErrNoPolicy},
		{"two", []string{"v=STSv1; id=a", "v=STSv1; id=b"}, "", tlspolicy.ErrNoPolicy},
		{"no id", []string{"v=STSv1;"}, "", tlspolicy.ErrInvalidRecord},
		{"version alone", []string{"v=STSv1"}, "", tlspolicy.ErrInvalidRecord},
		{"empty id", []string{"v=STSv1; id="}, "", tlspolicy.ErrInvalidRecord},
		{"id with a dash", []string{"v=STSv1; id=2020-01-01"}, "", tlspolicy.ErrInvalidRecord},
		{"id of 33", []string{"v=STSv1; id=" + strings.Repeat("1", 33)}, "", tlspolicy.ErrInvalidRecord},
		{"no equals sign", []string{"v=STSv1; id"}, "", tlspolicy.ErrInvalidRecord},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			id, err := tlspolicy.ParseSTSRecord(tc.texts)
			if id != tc.id || !errors.Is(err, tc.err) {
				t.Errorf("%q, %v", id, err)
			}
		})
	}
}

func TestParseSTSPolicy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		mode       tlspolicy.STSMode
		age        time.Duration
		mx         string // joined; "!" refused
	}{
		{"enforce", enforce, tlspolicy.STSEnforce, 7 * 24 * time.Hour, "mx1.example.org *.mail.example.org"},
		{"CRLF", strings.ReplaceAll(enforce, "\n", "\r\n"), tlspolicy.STSEnforce, 7 * 24 * time.Hour, "mx1.example.org *.mail.example.org"},
		{"any order, no final line end", "max_age: 86400\nmx: a.example\nmode: testing\nversion: STSv1", tlspolicy.STSTesting, 24 * time.Hour, "a.example"},
		{"none needs no mx", "version: STSv1\nmode: none\nmax_age: 86400\n", tlspolicy.STSNone, 24 * time.Hour, ""},
		{"unknown names", enforce + "x-extra: something\nfuture: yes\n", tlspolicy.STSEnforce, 7 * 24 * time.Hour, "mx1.example.org *.mail.example.org"},
		{"first of several counts", "version: STSv1\nmode: testing\nmode: enforce\nmx: a.example\nmax_age: 86400\nmax_age: 1\n", tlspolicy.STSTesting, 24 * time.Hour, "a.example"},
		{"trailing space", "version: STSv1 \nmode: enforce\t\nmx: A.Example \nmax_age: 86400\n\n", tlspolicy.STSEnforce, 24 * time.Hour, "a.example"},
		{"no space after the colon", "version:STSv1\nmode:enforce\nmx:a.example\nmax_age:86400\n", tlspolicy.STSEnforce, 24 * time.Hour, "a.example"},
		{"longest age", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 9999999999\n", tlspolicy.STSEnforce, 31557600 * time.Second, "a.example"},
		{"shortest age", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 0\n", tlspolicy.STSEnforce, 5 * time.Minute, "a.example"},
		{"empty", "", "", 0, "!"},
		{"no version", "mode: enforce\nmx: a.example\nmax_age: 86400\n", "", 0, "!"},
		{"another version", "version: STSv2\nmode: enforce\nmx: a.example\nmax_age: 86400\n", "", 0, "!"},
		{"no mode", "version: STSv1\nmx: a.example\nmax_age: 86400\n", "", 0, "!"},
		{"another mode", "version: STSv1\nmode: strict\nmx: a.example\nmax_age: 86400\n", "", 0, "!"},
		{"no max_age", "version: STSv1\nmode: enforce\nmx: a.example\n", "", 0, "!"},
		{"max_age in words", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: week\n", "", 0, "!"},
		{"negative max_age", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: -1\n", "", 0, "!"},
		{"max_age of 11 digits", "version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 00000086400\n", "", 0, "!"},
		{"no mx", "version: STSv1\nmode: enforce\nmax_age: 86400\n", "", 0, "!"},
		{"mx is an address", "version: STSv1\nmode: enforce\nmx: a@example\nmax_age: 86400\n", "", 0, "!"},
		{"mx is any", "version: STSv1\nmode: enforce\nmx: *\nmax_age: 86400\n", "", 0, "!"},
		{"mx is a top-level domain", "version: STSv1\nmode: enforce\nmx: *.com\nmax_age: 86400\n", "", 0, "!"},
		{"mx with a star inside", "version: STSv1\nmode: enforce\nmx: mx*.example.org\nmax_age: 86400\n", "", 0, "!"},
		{"HTML", "<html><body>Not found</body></html>", "", 0, "!"},
		{"a NUL", "version: STSv1\nmode: enforce\nmx: a.example\x00\nmax_age: 86400\n", "", 0, "!"},
		{"too many mx", "version: STSv1\nmode: enforce\nmax_age: 86400\n" + strings.Repeat("mx: a.example\n", 201), "", 0, "!"},
		{"too long", enforce + strings.Repeat("x: y\n", 14000), "", 0, "!"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p, err := tlspolicy.ParseSTSPolicy([]byte(tc.text))
			if tc.mx == "!" {
				if !errors.Is(err, tlspolicy.ErrInvalidPolicy) {
					t.Errorf("taken: %+v %v", p, err)
				}
				return
			}
			if err != nil || p.Mode != tc.mode || p.MaxAge != tc.age || strings.Join(p.MX, " ") != tc.mx {
				t.Errorf("%+v %v", p, err)
			}
		})
	}
}

func TestSTSMatches(t *testing.T) {
	t.Parallel()
	p := tlspolicy.STSPolicy{MX: []string{"mx1.example.org", "*.mail.example.org"}}
	for host, want := range map[string]bool{
		"mx1.example.org": true, "MX1.Example.ORG.": true, "a.mail.example.org": true, "a.b.mail.example.org": false,
		"mail.example.org": false, "mx2.example.org": false, "xmx1.example.org": false, ".mail.example.org": false, "": false,
		"mail.example.org.evil.test": false,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// TestSTS holds the cases of discovery and fetch: what is in force for a domain that announces a policy.
func TestSTS(t *testing.T) {
	t.Parallel()
	testing1 := strings.Replace(enforce, "enforce", "testing", 1)
	for _, tc := range []struct {
		name    string
		zone    string // replaces stsZone
		serve   http.HandlerFunc
		cert    []string // names of the policy host's certificate; nil: the proper one
		mx      string
		mode    tlspolicy.Mode
		testing bool
		refused bool
		failure string // counted for the report
		fetched int
	}{
		{name: "enforced", serve: text(enforce), mode: tlspolicy.Verified, fetched: 1},
		{name: "exchanger by pattern", serve: text(enforce), mx: "b.mail.example.org", mode: tlspolicy.Verified, fetched: 1},
		{name: "exchanger not in the policy", serve: text(enforce), mx: "evil.example.net", mode: tlspolicy.Verified, refused: true, fetched: 1},
		{name: "testing", serve: text(testing1), mode: tlspolicy.Opportunistic, testing: true, fetched: 1},
		{name: "testing refuses nobody", serve: text(testing1), mx: "evil.example.net", mode: tlspolicy.Opportunistic, testing: true, fetched: 1},
		{name: "given up", serve: text("version: STSv1\nmode: none\nmax_age: 86400\n"), mode: tlspolicy.Opportunistic, fetched: 1},
		{name: "not found", serve: status(404), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError, fetched: 1},
		{name: "host in trouble", serve: status(503), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError, fetched: 1},
		{name: "redirect", serve: func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/.well-known/mta-sts.txt" {
				http.Redirect(w, r, "/other.txt", http.StatusFound)
				return
			}
			text(enforce)(w, r)
		}, mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError, fetched: 1},
		{name: "HTML", serve: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(enforce))
		}, mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError, fetched: 1},
		{name: "too long", serve: text(enforce + strings.Repeat("x: yyyyyyyyyyyyyyyy\n", 5000)), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError, fetched: 1},
		{name: "not a policy", serve: text("hello"), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSInvalid, fetched: 1},
		{name: "certificate of another name", serve: text(enforce), cert: []string{"www.example.org"}, mode: tlspolicy.Opportunistic, failure: tlspolicy.STSWebPKI},
		{name: "host without an address", zone: strings.Replace(stsZone, "mta-sts 300 IN A 192.0.2.80", "", 1), serve: text(enforce), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError},
		{name: "host on loopback", zone: strings.Replace(stsZone, "192.0.2.80", "127.0.0.1", 1), serve: text(enforce), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError},
		{name: "host in a private network", zone: strings.Replace(stsZone, "192.0.2.80", "10.1.2.3", 1), serve: text(enforce), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSFetchError},
		{name: "no record", zone: strings.Replace(stsZone, "_mta-sts", "_other", 1), serve: text(enforce), mode: tlspolicy.Opportunistic},
		{name: "broken record", zone: strings.Replace(stsZone, "id=1;", "id=a-b", 1), serve: text(enforce), mode: tlspolicy.Opportunistic, failure: tlspolicy.STSInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			zone := stsZone
			if tc.zone != "" {
				zone = tc.zone
			}
			w := newWorld(t, storetest.SQLite(t, store.MainSchema()), zone)
			w.dns.SetSecure(false)
			if tc.cert == nil {
				tc.cert = []string{"mta-sts.example.org"}
			}
			h := w.host("192.0.2.80", tc.cert...)
			for _, ip := range []string{"127.0.0.1", "10.1.2.3"} {
				w.hosts[ip+":443"] = w.hosts["192.0.2.80:443"]
			}
			h.set(tc.serve)
			q := ask("mx1.example.org")
			q.Authentic, q.AddrSigned = false, false
			if tc.mx != "" {
				q.Exchanger = tc.mx
			}
			p := w.For(t.Context(), q)
			if p.Mode != tc.mode || p.Testing != tc.testing || (p.Refused != "") != tc.refused || p.Deferred != "" {
				t.Errorf("policy %+v", p)
			}
			if n := h.count(); n != tc.fetched {
				t.Errorf("host asked %d times", n)
			}
			if alone := w.Alone(t.Context(), "example.org", false); alone != (tc.mode == tlspolicy.Verified || tc.testing) {
				t.Errorf("alone: %v", alone)
			}
			// What is known is not asked for again, be it a policy or a failure.
			w.For(t.Context(), q)
			if n := h.count(); n != tc.fetched {
				t.Errorf("host asked %d times for a second message", n)
			}
			if got := strings.Join(p.Why(), "\n"); tc.failure != "" && !strings.Contains(got, "no policy") {
				t.Errorf("why: %s", got)
			}
			w.Record(tlspolicy.Result{Question: q, Policy: p})
			if err := w.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := failures(t, w.o.DB); got != tc.failure {
				t.Errorf("counted %q, want %q", got, tc.failure)
			}
		})
	}
}

// failures are the result types that were counted.
func failures(t *testing.T, db *store.DB) string {
	t.Helper()
	var out []string
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		rows := tx.Query("SELECT DISTINCT failure FROM tlspolicy_result WHERE failure <> '' ORDER BY failure")
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

// TestSTSPrivate: a policy host in an own network needs the operator's word.
func TestSTSPrivate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, strings.Replace(stsZone, "192.0.2.80", "10.1.2.3", 1), func(o *tlspolicy.Options) {
		o.Tuning.Private = []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24")}
	})
	w.host("10.1.2.3", "mta-sts.example.org").set(text(enforce))
	if p := w.For(t.Context(), ask("mx1.example.org")); p.Mode != tlspolicy.Verified || p.Source != tlspolicy.SourceSTS {
		t.Errorf("policy %+v", p)
	}
}

// TestSTSKept: a policy stays in force until it expires, whatever becomes of DNS, its host and us.
func TestSTSKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, stsZone)
		h := w.host("192.0.2.80", "mta-sts.example.org")
		h.set(text(enforce))
		q := ask("mx1.example.org")
		q.Authentic = false
		expect := func(what string, mode tlspolicy.Mode, asked int) {
			t.Helper()
			if p := w.For(t.Context(), q); p.Mode != mode {
				t.Errorf("%s: %+v", what, p)
			}
			if n := h.count(); n != asked {
				t.Errorf("%s: host asked %d times, want %d", what, n, asked)
			}
		}
		expect("first", tlspolicy.Verified, 1)
		w.restart()
		expect("after a restart", tlspolicy.Verified, 1)
		w.dns.Fail("_mta-sts.example.org", dnstest.ServFail)
		expect("DNS in trouble", tlspolicy.Verified, 1)
		w.restart()
		expect("DNS in trouble at the start", tlspolicy.Verified, 1)
		w.dns.Fail("_mta-sts.example.org", dnstest.NXDomain)
		expect("record suppressed", tlspolicy.Verified, 1)
		w.dns.Fail("_mta-sts.example.org", dnstest.OK)
		h.set(status(500))
		newID(t, w, "2")
		expect("new policy cannot be fetched", tlspolicy.Verified, 2)
		expect("and is not fetched again at once", tlspolicy.Verified, 2)
		w.clock.Add(6 * time.Minute)
		expect("but after a while", tlspolicy.Verified, 3)
		w.clock.Add(6 * time.Minute)
		h.set(text(strings.Replace(enforce, "enforce", "none", 1)))
		expect("given up by a new policy", tlspolicy.Opportunistic, 4)
		expect("known", tlspolicy.Opportunistic, 4)
		h.set(text(enforce))
		newID(t, w, "3")
		expect("taken up again", tlspolicy.Verified, 5)
		h.set(status(500))
		w.clock.Add(8 * 24 * time.Hour)
		expect("expired and not to be had", tlspolicy.Opportunistic, 6)
	})
}

// newID publishes another id, as a domain does that changed its policy.
func newID(t *testing.T, w *world, id string) {
	t.Helper()
	w.dns.Close()
	w.dns = dnstest.Start(t, strings.Replace(stsZone, "id=1", "id="+id, 1))
	w.dns.SetSecure(true)
	w.o.Resolver = w.dns.Resolver(t)
	w.restart()
}

// TestSTSRefresh: a policy in use is fetched again each day, so that it does not expire when its host is away for a while.
func TestSTSRefresh(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, stsZone)
		h := w.host("192.0.2.80", "mta-sts.example.org")
		h.set(text(enforce))
		q := ask("mx1.example.org")
		w.For(t.Context(), q)
		w.Refresh(t.Context())
		if h.count() != 1 {
			t.Fatalf("fresh policy asked for again")
		}
		for day := range 10 {
			w.clock.Add(25 * time.Hour)
			w.restart()
			w.Refresh(t.Context())
			if n := h.count(); n != day+2 {
				t.Fatalf("day %d: asked %d times", day, n)
			}
		}
		h.set(status(500))
		if p := w.For(t.Context(), q); p.Mode != tlspolicy.Verified {
			t.Errorf("after ten days: %+v", p)
		}
		w.clock.Add(25 * time.Hour)
		w.Refresh(t.Context())
		if !strings.Contains(w.log.String(), "stays in force") {
			t.Error("the operator is not told that the refresh fails")
		}
		// Nobody writes to the domain any more.
		h.set(text(enforce))
		w.clock.Add(31 * 24 * time.Hour)
		n := h.count()
		w.Refresh(t.Context())
		if h.count() != n {
			t.Error("refreshed although nobody writes there")
		}
		if p := w.For(t.Context(), q); p.Mode != tlspolicy.Verified {
			t.Errorf("fetched anew: %+v", p)
		}
	})
}

// TestSTSOnce: many messages at once ask the policy host once, and a caller who cannot wait goes without harm to the others.
func TestSTSOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, stsZone)
	h := w.host("192.0.2.80", "mta-sts.example.org")
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.set(func(rw http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-release
		text(enforce)(rw, r)
	})
	hurried, stop := context.WithCancel(t.Context())
	left := make(chan tlspolicy.Policy)
	go func() { left <- w.For(hurried, ask("mx1.example.org")) }()
	<-asked
	stop()
	if p := <-left; p.Mode != tlspolicy.Opportunistic {
		t.Errorf("left early: %+v", p)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if p := w.For(t.Context(), ask("mx1.example.org")); p.Mode != tlspolicy.Verified {
				t.Errorf("waited: %+v", p)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := h.count(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestLiteral: an address literal has no policy to look for.
func TestLiteral(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, stsZone)
	q := tlspolicy.Question{Domain: "[192.0.2.1]", Exchanger: "192.0.2.1", Authentic: true, AddrSigned: true}
	if p := w.For(t.Context(), q); p.Mode != tlspolicy.Opportunistic || w.dns.Total() != 0 {
		t.Errorf("%+v after %d questions", p, w.dns.Total())
	}
}

// TestNobodyAsked: where TLS is switched off, no domain is asked what it wants.
func TestNobodyAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, stsZone, func(o *tlspolicy.Options) { o.Tuning.Default = tlspolicy.None })
	if p := w.For(t.Context(), ask("mx1.example.org")); p.Mode != tlspolicy.None || w.dns.Total() != 0 {
		t.Errorf("%+v after %d questions", p, w.dns.Total())
	}
}
