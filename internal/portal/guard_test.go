package portal_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/net/html"

	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/spool"
)

// TestHeaders: every answer, also a refusal, carries what keeps the pages to themselves.
func TestHeaders(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, path := range []string{"/", g.link(g.put(t, spool.Message{}, verdict())), "/nowhere", "/m/x", "/robots.txt"} {
		h := g.ask(t, "GET", path, nil).header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"Referrer-Policy":         "no-referrer", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow, noarchive",
			"Strict-Transport-Security": "", "Set-Cookie": "",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s: %q, want %q", path, name, h.Get(name), want)
			}
		}
	}
	if a := g.ask(t, "GET", "/robots.txt", nil); !strings.Contains(a.body, "Disallow: /\n") {
		t.Errorf("robots.txt: %q", a.body)
	}
	expect(t, g.get(t, "/"), "gate.example.test", `lang="fr"`, `lang="en"`, "!shop", "!test\"")
}

// TestLinks: a changed token opens nothing and says always the same; an old one says what to do.
func TestLinks(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.put(t, spool.Message{Subject: "x"}, verdict())
	token := g.Links().Token(id, time.Now())
	first := ""
	for i := range len(token) {
		g.ip = fmt.Sprintf("203.0.113.%d", i)
		b := []byte(token)
		b[i] ^= 1
		a := g.ask(t, "GET", "/m/"+url.PathEscape(string(b)), nil)
		if first == "" {
			first = a.body
		}
		if a.status != http.StatusNotFound || a.body != first {
			t.Fatalf("byte %d changed: %d\n%s", i, a.status, a.body)
		}
		for _, act := range []string{"retest", "release", "drop", "ask"} {
			if a := g.ask(t, "POST", "/m/"+url.PathEscape(string(b))+"/"+act, url.Values{}); a.status != http.StatusNotFound {
				t.Fatalf("byte %d changed: %s: %d", i, act, a.status)
			}
		}
	}
	expect(t, first, "opens nothing")
	g.ip = "203.0.113.250"
	old := "/m/" + g.Links().Token(id, time.Now().Add(-30*24*time.Hour))
	for _, method := range []string{"GET", "POST"} {
		path := old
		if method == "POST" {
			path += "/drop"
		}
		a := g.ask(t, method, path, url.Values{}, "Accept-Language", "fr-CA, en;q=0.5")
		if a.status != http.StatusGone {
			t.Errorf("%s with an old token: %d", method, a.status)
		}
		expect(t, a.body, `lang="fr"`, "Ce lien a expiré", "renvoyez-le")
	}
	if a := g.ask(t, "GET", g.link(mail.NewQueueID(time.Now())), nil); a.status != http.StatusGone {
		t.Errorf("a message that nobody knows: %d", a.status)
	}
	if a := g.ask(t, "POST", g.link(id)+"/explode", url.Values{}); a.status != http.StatusNotFound {
		t.Errorf("an unknown act: %d", a.status)
	}
	if w, err := g.Spool().Get(t.Context(), id); err != nil || !w.Held {
		t.Errorf("the message is no longer held: %v", err)
	}
}

// TestForeignOrigin: what another site makes a browser send is refused on every form.
func TestForeignOrigin(t *testing.T) {
	t.Parallel()
	g := start(t)
	id := g.put(t, spool.Message{}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5}))
	for i, act := range []string{"retest", "release", "drop", "ask"} {
		g.ip = fmt.Sprintf("203.0.113.%d", i)
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			a := g.ask(t, "POST", g.link(id)+"/"+act, url.Values{"question": {"x"}}, header...)
			if a.status != http.StatusForbidden {
				t.Errorf("%s with %v: %d", act, header, a.status)
			}
			expect(t, a.body, "came from another site")
		}
	}
	if w, err := g.Spool().Get(t.Context(), id); err != nil || !w.Held {
		t.Errorf("the message is no longer held: %v", err)
	}
}

// TestLimits: a network that asks too often is told when to come back; others are not concerned.
func TestLimits(t *testing.T) {
	t.Parallel()
	g := start(t)
	at := g.link(g.put(t, spool.Message{}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})))
	count := func(method, path string, form url.Values) (passed int, last answer) {
		for range 60 {
			if last = g.ask(t, method, path, form); last.status == http.StatusTooManyRequests && strings.Contains(last.body, "Too many requests") {
				return passed, last
			}
			passed++
		}
		return passed, last
	}
	passed, last := count("POST", at+"/ask", url.Values{})
	if passed < 10 || passed > 15 || last.header.Get("Retry-After") == "" {
		t.Errorf("%d forms in a moment", passed)
	}
	expect(t, last.body, "You can go on in", "seconds")
	g.ip = "203.0.113.9"
	if passed, last = count("GET", at, nil); passed < 40 || passed > 55 {
		t.Errorf("%d pages in a moment", passed)
	}
	g.ip = "203.0.113.10"
	g.get(t, at)
}

// endless is a body that never ends, and counts what was taken of it.
type endless struct{ n atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.n.Add(int64(len(p)))
	return copy(p, bytes.Repeat([]byte("question=a&"), len(p)/11+1)), nil
}

// TestLargeBodies sends more than any form holds to every route, announced and not.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	g := start(t)
	at := g.link(g.put(t, spool.Message{}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})))
	for _, path := range []string{"/", at, at + "/ask", at + "/drop", at + "/retest", "/m/forged/ask", "/robots.txt", "/static/x", "/nowhere"} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			for _, size := range []int64{1 << 30, -1} {
				e := new(endless)
				req, err := http.NewRequestWithContext(t.Context(), method, g.base+path, io.LimitReader(e, 1<<30))
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = size
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", len(path)))
				res, err := http.DefaultTransport.RoundTrip(req)
				if err == nil {
					_ = res.Body.Close()
					if res.StatusCode < 400 && method != "GET" {
						t.Errorf("%s %s with %d bytes: %d", method, path, size, res.StatusCode)
					}
				}
				if taken := e.n.Load(); taken > 16<<20 {
					t.Errorf("%s %s: %d bytes were taken", method, path, taken)
				}
			}
		}
	}
}

const polyglot = "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=alert() )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/--!>\\x3csVg/<sVg/oNloAd=alert()//>\\x3e<img src=x onerror=alert(1)>{{.Host}}\u202e\u0000"

// hostile is a message and its journal whose every field that a page shows holds text.
func hostile(g *gateway, t *testing.T, text string) mail.QueueID {
	t.Helper()
	args := map[string]string{}
	for _, k := range []string{"Domain", "IP", "Record", "Suggested", "Hello", "Name", "Why", "URL", "List", "Target", "Title", "Subject", "What", "Tag", "Date", "Zone", "Sender", "Policy", "Domains", "Found", "Now", "PolicyDomain"} {
		args[k] = text[max(0, len(text)-60):] // a verdict has a size limit; the end of the polyglot is the markup
	}
	var hits []filter.Hit
	tests := filter.Tests()
	for i := range min(80, len(tests)) { // spread over all groups; a verdict has a size limit
		test := tests[i*len(tests)/min(80, len(tests))]
		hits = append(hits, filter.Hit{Test: test.Name, Points: test.Points, Evidence: []string{text, text}, Args: args})
	}
	hits = append(hits, filter.Hit{Test: text, Points: 1, Evidence: []string{text}, Args: map[string]string{text: text}}, filter.Hit{Test: text, Points: -1})
	v := verdict(hits...)
	v.Score = 15
	v.Unknown = []filter.Unknown{{Test: text, Why: text}, {Test: "SPF_PASS", Why: text}}
	id := g.put(t, spool.Message{Subject: text, HeaderFrom: text, MessageID: text, Hello: text}, v)
	var facts []journal.Fact
	for _, k := range []journal.Kind{journal.Accepted, journal.Held, journal.Attempt, journal.Delivered, journal.Deferred, journal.Bounced, journal.Expired, journal.Notified, journal.DSN, journal.Asked, journal.Retested, journal.Released, journal.Dropped, journal.Recovered, journal.Kind("strange")} {
		for attempt := range 2 {
			facts = append(facts, journal.Fact{Kind: k, QueueID: id, Customer: "shop", HeaderFrom: text, Recipient: text, Subject: text, MessageID: text, Host: text, Text: text, Enhanced: text, Actor: text, Attempt: attempt})
		}
	}
	if err := g.Journal().Append(t.Context(), facts...); err != nil {
		t.Fatal(err)
	}
	return id
}

// skeleton is a page without its texts: elements with their attributes' names.
func skeleton(t *testing.T, page string) []string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		line := n.Data
		for _, a := range n.Attr {
			line += " " + a.Key
			if v := strings.ToLower(strings.TrimSpace(a.Val)); (a.Key == "href" || a.Key == "src" || a.Key == "action") && !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "#") {
				line += "=" + a.Val
			}
		}
		out = append(out, line)
	}
	return out
}

// TestHostileTexts: whatever a field holds, the page's elements are the same as with harmless texts.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	g := start(t)
	harmless, harmful := hostile(g, t, strings.Repeat("word", len(polyglot)/4)), hostile(g, t, polyglot)
	for i, lang := range []string{"en", "fr"} {
		g.ip = fmt.Sprintf("203.0.113.%d", i)
		page := g.get(t, g.link(harmful)+"?lang="+lang)
		want, got := skeleton(t, g.get(t, g.link(harmless)+"?lang="+lang)), skeleton(t, page)
		if !reflect.DeepEqual(want, got) {
			for i := range min(len(want), len(got)) {
				if want[i] != got[i] {
					t.Fatalf("element %d differs: %q instead of %q", i, got[i], want[i])
				}
			}
			t.Fatalf("%d elements instead of %d", len(got), len(want))
		}
		if strings.Count(page, "oNcliCk") < 100 {
			t.Errorf("only %d fields were tried", strings.Count(page, "oNcliCk"))
		}
		expect(t, strings.ReplaceAll(page, "{{.Host}}", ""), "!\u202e", "!\u0000", "!secret text")
	}
	a := g.ask(t, "POST", g.link(harmful)+"/ask", url.Values{"question": {strings.Repeat(polyglot, 8)}})
	if a.status != http.StatusUnprocessableEntity || slices.Contains(skeleton(t, a.body), "img src onerror") {
		t.Errorf("a hostile question: %d", a.status)
	}

	b := browse(t, true)
	b.do(t, chromedp.Navigate(g.base+g.link(harmful)))
	if title := get(t, b, chromedp.Title()); !strings.HasPrefix(title, "Held: ") {
		t.Errorf("title: %q", title)
	}
	b.quiet(t, g.base)
}

// behind builds pages as they stand behind a web server with HTTPS and a path of their own.
func behind(t *testing.T, g *gateway, base string) http.Handler {
	t.Helper()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	h, err := portal.New(portal.Options{Desk: g.Desk(), Catalog: catalog, Links: g.Links(), BaseURL: base, Hostname: "mail.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestBehindHTTPS: HSTS, links below the path, with the path left on or taken off; the outside origin is our own.
func TestBehindHTTPS(t *testing.T) {
	t.Parallel()
	g := start(t)
	h := behind(t, g, "https://mail.example.test/postern/")
	at := g.link(g.put(t, spool.Message{}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})))
	for _, path := range []string{at, "/postern" + at} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path+"?lang=en", nil))
		if w.Code != 200 || w.Header().Get("Strict-Transport-Security") == "" {
			t.Errorf("GET %s: %d, %q", path, w.Code, w.Header().Get("Strict-Transport-Security"))
		}
		expect(t, w.Body.String(), `action="/postern`+at+`/retest?lang=en"`, `href="/postern`+at+`?lang=fr"`, `href="/postern/static/style-`)
	}
	r := httptest.NewRequest("POST", "/postern"+at+"/drop?lang=en", nil)
	r.Host = "127.0.0.1:8025"
	r.Header.Set("Origin", "https://mail.example.test")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/postern"+at+"?done=drop&lang=en" {
		t.Errorf("drop: %d to %q", w.Code, to)
	}
	for _, base := range []string{"mail.example.test", "::", "/x"} {
		if _, err := portal.New(portal.Options{Desk: g.Desk(), Catalog: new(locale.Catalog), Links: g.Links(), BaseURL: base}); err == nil {
			t.Errorf("BaseURL %q was taken", base)
		}
	}
	if _, err := portal.New(portal.Options{}); err == nil {
		t.Error("New without rooms")
	}
}

// TestVisitorsBehindAProxy: X-Forwarded-For counts from loopback only, and only its last entry.
func TestVisitorsBehindAProxy(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, tc := range []struct {
		name, remote string
		forwarded    func(i int) string
		limited      bool
	}{
		{"own entry forged", "127.0.0.1", func(i int) string { return fmt.Sprintf("198.51.100.%d, 203.0.113.1", i) }, true},
		{"different visitors", "127.0.0.1", func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }, false},
		{"one IPv6 network", "::1", func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, true},
		{"from outside", "192.0.2.1", func(i int) string { return fmt.Sprintf("203.0.113.%d", i) }, true},
		{"nonsense", "127.0.0.1", func(i int) string { return fmt.Sprintf("%d,", i) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, last := behind(t, g, "http://localhost"), 0
			for i := range 60 {
				r := httptest.NewRequest("GET", "/", nil)
				r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(tc.remote), 4711).String()
				r.Header.Set("X-Forwarded-For", tc.forwarded(i))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				last = w.Code
			}
			if (last == http.StatusTooManyRequests) != tc.limited {
				t.Errorf("the last of 60 requests: %d", last)
			}
		})
	}
}
