package filter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
	"postern/internal/locale"
	"postern/internal/mail"
)

// answers is a resolver made of a function.
type answers func(ctx context.Context, name string, typ dns.Type) dns.Answer

func (a answers) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	return a(ctx, name, typ)
}

// nothing denies every name.
var nothing = answers(func(_ context.Context, name string, typ dns.Type) dns.Answer {
	if name == "." {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Type: typ, Host: "a.root-servers.invalid"}}}
	}
	return dns.Answer{Status: dns.Nothing, NXDomain: true}
})

// silent never answers: it returns when ctx ends, as dns.Resolver demands.
var silent = answers(func(ctx context.Context, _ string, _ dns.Type) dns.Answer {
	<-ctx.Done()
	return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
})

func caseNamed(t testing.TB, name string) goldenCase {
	t.Helper()
	for _, c := range loadCases(t) {
		if c.name == name {
			return c
		}
	}
	t.Fatalf("no case %s", name)
	return goldenCase{}
}

// TestDeadline proves that a resolver that never answers ends neither in waiting nor in hits.
func TestDeadline(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "206-uri-listed").input(t)
	f := testFilter(t, Options{Resolver: silent, Deadline: 20 * time.Millisecond})
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Hits) != 1 || v.Hits[0].Test != "DKIM_NONE" || v.Held {
		t.Errorf("hits without any answer: %+v", v.Hits)
	}
	unknown := map[string]bool{}
	for _, u := range v.Unknown {
		unknown[u.Test] = true
	}
	for _, c := range checks() {
		if c.network && !c.patient() && c.name != "dkim" && !slices.ContainsFunc(c.tests, func(n string) bool { return unknown[n] }) {
			t.Errorf("check %s: nothing shown as not measured", c.name)
		}
	}
}

func TestEndOfContextIsAnError(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "101-plain").input(t)
	ctx, cancel := context.WithCancel(t.Context())
	f := testFilter(t, Options{Resolver: answers(func(ctx context.Context, _ string, _ dns.Type) dns.Answer {
		cancel()
		return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
	})})
	if _, err := f.Run(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "206-uri-listed").input(t)
	t.Run("check", func(t *testing.T) {
		for _, network := range []bool{true, false} {
			f := testFilter(t, Options{Resolver: nothing})
			s := *f.now.Load()
			s.checks = append(checks(), check{"mad", nil, network, func(context.Context, *scan) { panic("boom") }})
			f.now.Store(&s)
			if _, err := f.Run(t.Context(), in); err == nil || !strings.Contains(err.Error(), "check mad failed: boom") {
				t.Errorf("network %t: got %v", network, err)
			}
		}
	})
	t.Run("blocklists", func(t *testing.T) {
		f := testFilter(t, Options{Resolver: answers(func(_ context.Context, name string, _ dns.Type) dns.Answer {
			if strings.HasSuffix(name, ".zen.spamhaus.org") {
				panic("boom")
			}
			return dns.Answer{Status: dns.Nothing}
		})})
		if _, err := f.Run(t.Context(), in); err == nil || !strings.Contains(err.Error(), "check lists failed: boom") {
			t.Errorf("got %v", err)
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "206-uri-listed").input(t)
	var asked sync.Map
	var count, repeated atomic.Int64
	counting := answers(func(_ context.Context, name string, typ dns.Type) dns.Answer {
		count.Add(1)
		if _, again := asked.LoadOrStore(fmt.Sprint(strings.ToLower(name), typ), true); again {
			repeated.Add(1)
		}
		return dns.Answer{Status: dns.Nothing, NXDomain: true}
	})
	f := testFilter(t, Options{Resolver: counting})
	if _, err := f.Run(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	whole := count.Load()
	if repeated.Load() > 4 { // two checks may ask the same thing at the same moment
		t.Errorf("%d of %d questions asked again", repeated.Load(), whole)
	}
	count.Store(0)
	f = testFilter(t, Options{Resolver: counting, Queries: 3})
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if n := count.Load(); n != 3+2*3 {
		t.Errorf("%d questions, budget of 3 and of 6 for the lists", n)
	}
	var why []string
	for _, u := range v.Unknown {
		why = append(why, u.Why)
	}
	if !strings.Contains(strings.Join(why, " "), dns.ErrBudget.Error()) {
		t.Errorf("unknown: %q", why)
	}
}

// TestDenyingResolver: what a name server that denies even the root says of domains is not held against a message.
func TestDenyingResolver(t *testing.T) {
	t.Parallel()
	denies := answers(func(context.Context, string, dns.Type) dns.Answer {
		return dns.Answer{Status: dns.Nothing, NXDomain: true}
	})
	for _, tc := range []struct {
		r    dns.Resolver
		want bool
	}{{nothing, true}, {denies, false}} {
		v, err := testFilter(t, Options{Resolver: tc.r}).Run(t.Context(), caseNamed(t, "101-plain").input(t))
		if err != nil {
			t.Fatal(err)
		}
		hit := slices.ContainsFunc(v.Hits, func(h Hit) bool { return h.Test == "SENDER_DOMAIN_MISSING" })
		unknown := slices.ContainsFunc(v.Unknown, func(u Unknown) bool { return u.Test == "SENDER_NO_MX_A" })
		if hit != tc.want || unknown == tc.want {
			t.Errorf("hits %+v, unknown %+v", v.Hits, v.Unknown)
		}
	}
}

// TestLinksLeaveTheBudgetAlone proves that a message full of links cannot make other tests unmeasurable.
func TestLinksLeaveTheBudgetAlone(t *testing.T) {
	t.Parallel()
	c := caseNamed(t, "101-plain")
	var links strings.Builder
	for i := range 300 {
		fmt.Fprintf(&links, "http://www.link%d.example/\r\n", i)
	}
	in := c.input(t)
	in.Message = mail.Parse(append(c.raw(t), links.String()...), mail.DefaultLimits())
	f := testFilter(t, Options{Resolver: nothing})
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Unknown) != 0 {
		t.Errorf("unknown: %+v", v.Unknown)
	}
}

func TestThreshold(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "101-plain").input(t)
	for _, tc := range []struct {
		name      string
		points    float64 // of the only test that fires
		threshold float64
		shown     float64
		held      bool
	}{
		{"at the threshold", 3, 0, 3, false},
		{"a thousandth above", 3.001, 0, 3.001, true},
		{"rounded to thousandths", 3.0004, 0, 3, false},
		{"its customer's", 8, 8, 8, false},
		{"above its customer's", 8.01, 8, 8.01, true},
		{"below the default, above its customer's", 1.5, 1, 1.5, true},
		{"never above fifteen", 99, 0, 15, true},
		{"never below zero", -7, 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in.Customer.Threshold = tc.threshold
			scores := map[string]float64{}
			for _, test := range Tests() {
				scores[test.Name] = 0
			}
			scores["RDNS_NONE"] = tc.points
			v, err := testFilter(t, Options{Resolver: nothing, Scores: scores}).Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if v.Score != tc.shown || v.Held != tc.held || len(v.Hits) != 1 || math.Abs(v.Raw-tc.points) > 0.0005 {
				t.Errorf("got %+v", v)
			}
			if want := tc.threshold; want != 0 && v.Threshold != want || want == 0 && v.Threshold != DefaultThreshold {
				t.Errorf("threshold %g", v.Threshold)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"no resolver", Options{}, "no resolver"},
		{"score of no test", Options{Resolver: nothing, Scores: map[string]float64{"SPF_FIAL": 1}}, "filter.scores.SPF_FIAL: no test of that name"},
		{"not a number", Options{Resolver: nothing, Scores: map[string]float64{"SPF_FAIL": math.NaN()}}, "filter.scores.SPF_FAIL"},
		{"beyond measure", Options{Resolver: nothing, Scores: map[string]float64{"SPF_FAIL": 101}}, "filter.scores.SPF_FAIL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "101-plain").input(t)
	f := testFilter(t, Options{Resolver: nothing})
	guard := f.now.Load().o.Guard
	wrong := Options{Resolver: nothing, Scores: map[string]float64{"NO": 1}}
	if f.Check(wrong) == nil || f.Reload(wrong) == nil {
		t.Error("a wrong option was taken")
	}
	if err := f.Reload(Options{Disabled: true}); err != nil {
		t.Fatal(err)
	}
	v, err := f.Run(t.Context(), in)
	if err != nil || len(v.Hits) != 0 || v.Held || v.Threshold != DefaultThreshold {
		t.Errorf("disabled: %+v, %v", v, err)
	}
	if f.now.Load().o.Guard != guard {
		t.Error("what was known of refusing zones is lost")
	}
}

// TestRefusals proves that a refusing list is one notice to the operator, not one for each message, and stays visible while it is
// left alone.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := caseNamed(t, "207-lists-refuse")
	server := c.world(t)
	now := testNow
	f := testFilter(t, Options{Resolver: server.Resolver(t), Now: func() time.Time { return now }, Lists: listsOf(t, "multi.uribl.com")})
	for range 12 {
		v, err := f.Run(t.Context(), c.input(t))
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := v.Hit("URIBL_BLOCKED"); !ok || h.Points != 0 || h.Args["Zone"] != "multi.uribl.com" {
			t.Fatalf("hits: %+v", v.Hits)
		}
	}
	refusals := f.Refusals()
	if len(refusals) != 1 || refusals[0].Zone != "multi.uribl.com" {
		t.Errorf("refusals: %+v", refusals)
	}
	asked := server.Count("good.example.multi.uribl.com") + server.Count("linked.example.multi.uribl.com")
	if asked > 4 {
		t.Errorf("the zone was asked %d times while it refuses", asked)
	}
	server.Close()
	world := dnstest.Start(t, "uribl.com. SOA ns. me. 1 2 3 4 5\n")
	if err := f.Reload(Options{Resolver: world.Resolver(t), Now: func() time.Time { return now }, Lists: listsOf(t, "multi.uribl.com")}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(dnsbl.RefusalPause + time.Second)
	v, err := f.Run(t.Context(), c.input(t))
	if _, blocked := v.Hit("URIBL_BLOCKED"); err != nil || blocked || len(f.Refusals()) != 0 {
		t.Errorf("after a true answer: %+v, %v, %+v", v.Hits, err, f.Refusals())
	}
}

func listsOf(t testing.TB, zones ...string) []dnsbl.List {
	t.Helper()
	out := []dnsbl.List{}
	for _, z := range zones {
		l, ok := dnsbl.Find(z)
		if !ok {
			t.Fatalf("no list %s", z)
		}
		out = append(out, l)
	}
	return out
}

// TestConcurrentRuns shares one filter and one message between goroutines; the race detector watches.
func TestConcurrentRuns(t *testing.T) {
	t.Parallel()
	c := caseNamed(t, "501-broken-newsletter")
	f := testFilter(t, Options{Resolver: c.world(t).Resolver(t), Accounts: testLedger(t)})
	in := c.input(t)
	var wg sync.WaitGroup
	verdicts := make([]string, 8)
	for i := range verdicts {
		wg.Go(func() {
			v, err := f.Run(t.Context(), in)
			verdicts[i] = golden(v)
			if err != nil {
				t.Error(err)
			}
			if i == 3 {
				if err := f.Reload(f.now.Load().o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, v := range verdicts {
		if v != verdicts[0] {
			t.Errorf("verdicts differ:\n%s\n%s", verdicts[0], v)
		}
	}
}

// TestRetestComparesTheDateWithReception proves that a message that we held for days does not grow too old by it.
func TestRetestComparesTheDateWithReception(t *testing.T) {
	t.Parallel()
	in := caseNamed(t, "101-plain").input(t)
	f := testFilter(t, Options{Resolver: nothing})
	in.Received, in.Now = testNow, testNow.Add(10*24*time.Hour)
	v, err := f.Run(t.Context(), in)
	if _, old := v.Hit("DATE_IN_PAST"); err != nil || old {
		t.Errorf("%+v, %v", v.Hits, err)
	}
	in.Received = time.Time{}
	v, err = f.Run(t.Context(), in)
	if _, old := v.Hit("DATE_IN_PAST"); err != nil || !old {
		t.Errorf("without time of reception: %+v, %v", v.Hits, err)
	}
}

func TestSuggestSPF(t *testing.T) {
	t.Parallel()
	ours := []account.Egress{{IP: netip.MustParseAddr("2001:db8::25")}, {IP: netip.MustParseAddr("192.0.2.25")},
		{IP: netip.MustParseAddr("::ffff:192.0.2.25")}, {}}
	for _, tc := range []struct{ name, record, want string }{
		{"none", "", "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 ~all"},
		{"no SPF record", "google-site-verification=x", "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 ~all"},
		{"others before", "v=spf1 include:_spf.example.net -all", "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 include:_spf.example.net -all"},
		{"one of ours there", "v=spf1 mx +ip4:192.0.2.25 -all", "v=spf1 ip6:2001:db8::25 mx +ip4:192.0.2.25 -all"},
		{"redirect", "V=SPF1  redirect=example.net", "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 redirect=example.net"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := SuggestSPF(tc.record, ours); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestRecordsToCopyAreWhole proves that what a sender is told to publish is never cut.
func TestRecordsToCopyAreWhole(t *testing.T) {
	t.Parallel()
	long := "v=spf1 " + strings.Repeat("ip4:203.0.113.0/24 ", 40) + "-all"
	for _, tc := range []struct {
		record string
		whole  bool
	}{{long, true}, {"v=spf1 " + strings.Repeat("ip4:203.0.113.0/24 ", 200) + "-all", false}} {
		f := testFilter(t, Options{Resolver: answers(func(_ context.Context, name string, typ dns.Type) dns.Answer {
			if name == "good.example" && typ == dns.TypeTXT {
				return dns.Answer{Status: dns.Found, Records: []dns.Record{{Type: typ, Text: tc.record}}}
			}
			return dns.Answer{Status: dns.Nothing}
		})})
		v, err := f.Run(t.Context(), caseNamed(t, "101-plain").input(t))
		h, ok := v.Hit("SPF_FAIL")
		if err != nil || !ok || (h.Args["Suggested"] != "") != tc.whole || tc.whole && !strings.HasSuffix(h.Args["Suggested"], " -all") {
			t.Errorf("%v %+v", err, h)
		}
		for _, e := range h.Evidence {
			if len(e) > maxEvidenceText+3 {
				t.Errorf("evidence of %d bytes", len(e))
			}
		}
	}
}

func TestHitsJoin(t *testing.T) {
	t.Parallel()
	f := testFilter(t, Options{Resolver: nothing, Scores: map[string]float64{"GTUBE": 0}})
	s := &scan{settings: f.now.Load()}
	args := map[string]string{"What": "a\r\nb\x00\u202ec", "Why": ""}
	for i := range 20 {
		s.hit("HEADER_MALFORMED", args, fmt.Sprint("line ", i))
		s.notMeasured("SPF_PASS", "no answer")
		s.notMeasured("HEADER_MALFORMED", "no answer")
		s.hit("GTUBE", nil)
	}
	v := s.verdict(3)
	if len(v.Hits) != 1 || v.Raw != 1.5 || len(v.Hits[0].Evidence) != maxEvidence+1 {
		t.Errorf("hits: %+v", v.Hits)
	}
	if got := v.Hits[0].Args["What"]; got != "a  b  c" {
		t.Errorf("argument %q", got)
	}
	if _, there := v.Hits[0].Args["Why"]; there || args["What"] != "a\r\nb\x00\u202ec" {
		t.Error("arguments: an empty one is kept, or the caller's map was changed")
	}
	if len(v.Unknown) != 1 {
		t.Errorf("unknown: %+v", v.Unknown)
	}
	for _, wrong := range []func(){func() { s.hit("NO_TEST", nil) }, func() { s.notMeasured("NO_TEST", "") }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a test outside the catalogue was taken")
				}
			}()
			wrong()
		}()
	}
}

func TestVerdictAsJSON(t *testing.T) {
	t.Parallel()
	c := caseNamed(t, "501-broken-newsletter")
	f := testFilter(t, Options{Resolver: c.world(t).Resolver(t)})
	v, err := f.Run(t.Context(), c.input(t))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back Verdict
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if golden(back) != golden(v) {
		t.Errorf("got %s", text)
	}
	empty, err := json.Marshal((&scan{settings: f.now.Load()}).verdict(3))
	if err != nil || !strings.Contains(string(empty), `"hits":[]`) || strings.Contains(string(empty), "null") {
		t.Errorf("empty verdict: %s %v", empty, err)
	}
}

// TestExplainWithoutArguments proves that a verdict stored without arguments can still be read, also in an unknown language.
func TestExplainWithoutArguments(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[string]string{"fr": "non connu", "en": "not known", "xx": "not known"} {
		if e := Explain(catalog, lang, Hit{Test: "SPF_FAIL"}); !strings.Contains(e.Fix, want) || e.Name == "" {
			t.Errorf("%s: %+v", lang, e)
		}
	}
	if e := Explain(catalog, "fr", Hit{Test: "SPF_FAIL", Args: map[string]string{"Suggested": "v=spf1 {{.Evil}} -all"}}); !strings.Contains(e.Fix, "`v=spf1 {{.Evil}} -all`") {
		t.Errorf("an argument was read as a template: %s", e.Fix)
	}
}

// TestCatalogueMatchesDefects proves that every defect code of the parser is either scored or left out on purpose.
func TestCatalogueMatchesDefects(t *testing.T) {
	t.Parallel()
	points := map[string]bool{}
	for _, test := range Tests() {
		points[test.Name] = true
	}
	for code, test := range defectTests {
		if !points[test] {
			t.Errorf("%s leads to %s, which is no test", code, test)
		}
	}
}

// TestCorpus runs real mail through the filter with a resolver that knows nothing: no panic, and by header and content alone
// hardly any ham would be held.
func TestCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../mail/testdata/corpus/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	f := testFilter(t, Options{Resolver: answers(func(context.Context, string, dns.Type) dns.Answer {
		return dns.Answer{Status: dns.TryLater, Err: dns.ErrServFail}
	}), Unsigned: true})
	var held, ham int
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := mail.Parse(raw, mail.DefaultLimits())
		in := Input{Message: m, Now: testNow}
		if date, err := m.Date(); date.IsZero() && err != nil {
			in.Received = testNow
		} else {
			in.Received = date.Add(time.Minute) // the mail is of 2002 and later: read on its day
		}
		v, err := f.Run(t.Context(), in)
		if err != nil {
			t.Fatal(file, err)
		}
		kind := filepath.Base(file)
		if strings.Contains(kind, "ham") {
			ham++
			if v.Held {
				held++
			}
		}
		if v.Raw > 2 {
			hits, _ := names(v)
			t.Logf("%-28s %6.3f %v", kind, v.Raw, hits)
		}
	}
	t.Logf("%d of %d ham above the threshold", held, ham)
	if held*20 > ham {
		t.Errorf("%d of %d ham would be held", held, ham)
	}
}
