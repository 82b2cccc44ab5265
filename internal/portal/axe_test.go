package portal_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"postern/internal/account"
	"postern/internal/alarm"
	"postern/internal/config"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/webhook"
)

// axe reads the rules of axe-core, which are installed beside the tests and are no part of the product.
func axe(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "test", "npm", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		missing(t, "axe-core (npm ci --ignore-scripts --prefix test/npm), with which the pages are checked for accessibility in a browser,")
	}
	return string(text)
}

// notPages are the GET routes that answer something else than a page: the reason stands beside.
var notPages = map[string]string{
	"/c/{customer}/domains/{domain}/zone.txt": "a file",
	"/c/{customer}/messages/{id}/message.eml": "a file",
	"/c/{customer}/suppression/export.csv":    "a file",
	"/c/{customer}/trust/text.txt":            "a file",
	"/o/suppression/export.csv":               "a file",
	"/o/snds/export.csv":                      "a file",
	"/o/reports/{unread}/file":                "a file",
	"/me/code/image":                          "a picture, seen in /me/code",
	"/o/live/stream":                          "a stream, read by /o/live",
	"/sign-in/sso":                            "leads to the identity provider",
	"/sign-in/sso/done":                       "comes from the identity provider",
	"/home":                                   "leads to the first page",
	"/c/{customer}/messages/find":             "leads to the search",
	"/c/{customer}/messages/{id}/{act}":       "leads to the message",
}

// seededGateway is what the pages of a seeded gateway are about: which objects stand for the wildcards of its routes.
type seededGateway struct {
	*gateway
	held, waiting, sent mail.QueueID
	login               string
	hooks               map[string]string // by customer; "" the gateway's
	people              map[string]string // a user's id, by customer
	links               map[string]string // secrets, by first part of the path
	checks              map[string]string // the visitor's own check-ups, by the path of their form
	dossier             string            // of the shop's domain, which a list has
}

// seed runs a gateway that has something to show on every page.
func seed(t *testing.T) *seededGateway {
	t.Helper()
	g := &seededGateway{gateway: start(t, listing("seen.example.test"), func(c *config.Config) { c.Webhooks.Private = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }), hooks: map[string]string{}, people: map[string]string{}, links: map[string]string{}}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, now := t.Context(), time.Now()
	var err error
	g.links["setup"], err = g.Users().FirstLink(ctx)
	ok(err)
	ok(g.dns.Set(zone(broken + "slow 300 IN MX 10 far\nfar 300 IN A 127.0.0.9\n")))
	g.held = g.putRich(t, "shop")
	g.put(t, spool.Message{Subject: "Soldes d’automne : -30 % sur toute la boutique", HeaderFrom: "La Boutique <news@boutique.example.test>", Customer: "boutique"}, verdict(filter.Hit{Test: "MIME_HTML_ONLY", Points: 1.1}, filter.Hit{Test: "DOMAIN_LISTED", Points: 4}))
	letter := spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(90 * time.Hour), Subject: "Compte rendu du conseil", HeaderFrom: "Marie Lefèvre <marie@shop.example.test>",
		Envelope: mail.Envelope{ReversePath: address(t, "marie@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "paul@slow.example.test")}}},
		Body:     []byte("From: marie@shop.example.test\r\nTo: paul@slow.example.test\r\nSubject: Compte rendu\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBonjour Paul,\r\n\r\nvoici le compte rendu.\r\n")}
	letter.Size, g.waiting = int64(len(letter.Body)), letter.ID
	ok(g.Spool().Put(ctx, &letter))
	ok(g.Journal().Append(ctx, journal.Fact{Kind: journal.Accepted, QueueID: letter.ID, Customer: "shop", Subject: letter.Subject, HeaderFrom: letter.HeaderFrom, Recipient: "paul@slow.example.test"}))
	for i, x := range []struct {
		kind      journal.Kind
		provider  string
		recipient string
		code      int
		text      string
	}{{journal.Delivered, "orange", "anne@orange.fr", 250, "250 OK queued"}, {journal.Bounced, "free", "inconnu@free.fr", 550, "550 5.1.1 <inconnu@free.fr>: Recipient address rejected: User unknown"}, {journal.Deferred, "gmail", "bob@gmail.com", 421, "421-4.7.28 Our system has detected an unusual rate of unsolicited mail"}, {journal.Complaint, "orange", "zoe@orange.fr", 0, "abuse"}} {
		at := now.Add(-time.Duration(i+1) * time.Hour)
		id := mail.NewQueueID(at)
		if i == 0 {
			g.sent = id
		}
		detail := journal.EncodeBrief(0.4, 3, func(yield func(string, float64) bool) {
			_ = yield("SPF_FAIL", 0.5) && yield("DKIM_VALID", -0.1)
		})
		f := journal.Fact{Kind: journal.Accepted, At: at, QueueID: id, Customer: "shop", Subject: fmt.Sprintf("Facture %d", i), HeaderFrom: "contact@shop.example.test", Recipient: x.recipient, Detail: detail}
		to := journal.Fact{Kind: x.kind, At: at.Add(time.Minute), QueueID: id, Customer: "shop", Subject: f.Subject, Recipient: x.recipient, Host: "mx1.example.net[192.0.2.65]", Code: x.code, Text: x.text, Provider: x.provider, Lane: x.provider + " 127.0.0.1", Attempt: 1, NextAt: now.Add(time.Hour)}
		ok(g.Journal().Append(ctx, f, to))
	}
	_, err = g.Suppression().AddAll(ctx, []suppression.Entry{
		{Customer: "shop", Address: address(t, "inconnu@free.fr"), Reason: suppression.UnknownUser, By: "rule", Evidence: suppression.Evidence{Code: 550, Text: "550 5.1.1 <inconnu@free.fr>: Recipient address rejected: User unknown", Host: "mx1.free.fr[212.27.48.6]", QueueID: g.sent}},
		{Customer: "shop", Address: mail.Address{Domain: "fermee.example.org"}, Reason: suppression.BySender, By: "sender:x", Note: "Société fermée"}})
	ok(err)
	_, err = g.Accounts().AddEntry(ctx, account.Entry{Scope: "shop", Own: true, Kind: account.Allow, What: account.WhatFrom, Value: "rapports@shop.example.test", Until: now.AddDate(0, 2, 0), Note: "Rapports de nuit"})
	ok(err)
	ok(g.Accounts().PutCustomer(ctx, account.Customer{ID: "studio", Name: "Studio", Language: "fr", Contact: address(t, "owner@studio.example.test"), Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}))
	g.login, _, err = g.Accounts().AddCredential(ctx, "shop", "the web server")
	ok(err)
	g.Alarms().Raise(alarm.Alarm{Key: "queue.lane orange 127.0.0.1", Severity: alarm.Critical, Code: "queue-lane", Args: map[string]string{"Name": "orange 127.0.0.1", "Count": "5", "Age": "1 h", "Why": "451"}, Since: now})
	signals(t, g.Postmaster(), "shop.example.test", "")
	reported(t, g.Reports(), "shop.example.test", "big.example")
	waitFor(t, "the shop's domain is watched", func() bool {
		_, err := g.Reputation().Target(ctx, "shop.example.test")
		return err == nil
	})
	g.dossier = g.dossierOf(t, "shop.example.test")
	ok(g.Reputation().Note(ctx, g.dossier, "operator:anna", "The form of the shop is closed."))
	waitFor(t, "evidence for the dossier", func() bool {
		x, err := g.Reputation().Dossier(ctx, g.dossier)
		return err == nil && !x.Gathered.IsZero() && len(x.Checklist) > 0
	})
	g.links["reset"], err = g.Users().NewReset(ctx, g.member(t, "forgetful@people.example.test", user.CustomerReader, "shop").ID)
	ok(err)
	for _, customer := range []string{"", "shop"} {
		h, err := g.Webhooks().Add(ctx, customer, webhook.Settings{Label: "the shop's software", URL: "http://127.0.0.1:4711/hook"}, "operator:x")
		ok(err)
		g.hooks[customer] = h.ID
		role := user.CustomerReader
		if customer == "" {
			role = user.AbuseDesk
		}
		u, secret, err := g.Users().Add(ctx, user.User{Address: address(t, "invited"+customer+"@people.example.test"), Name: "Rita Reader", Role: role, Customer: customer, Language: "en"})
		ok(err)
		g.people[customer], g.links["invite"] = u.ID, secret
	}
	return g
}

var wildcard = regexp.MustCompile(`\{([a-z]+)\}`)

// addresses fills the wildcards of a route with objects of the gateway, and adds what a page asks for.
func (g *seededGateway) addresses(t *testing.T, lang, pattern string) []string {
	t.Helper()
	customer := ""
	if strings.HasPrefix(pattern, "/c/") {
		customer = "shop"
	}
	first := strings.Split(pattern, "/")[1]
	values := map[string]string{"customer": customer, "id": string(g.held), "domain": "shop.example.test", "lane": "orange%20127.0.0.1", "name": "SPF_FAIL", "ip": "192.0.2.1", "target": "shop.example.test", "dossier": g.dossier, "hook": g.hooks[customer], "user": g.people[customer], "secret": g.links[first]}
	switch {
	case strings.Contains(pattern, "/credentials/"):
		values["user"] = g.login
	case strings.HasSuffix(pattern, "/{id}/edit"):
		values["id"] = "studio"
	case strings.HasPrefix(pattern, "/o/customers/"):
		values["id"] = "shop"
	case strings.HasPrefix(pattern, "/help/providers/"):
		values["name"] = "orange"
	case strings.HasSuffix(pattern, "/text"):
		values["id"] = string(g.waiting)
	case pattern == "/c/{customer}/domains/add":
		values["customer"] = "studio"
	case strings.HasSuffix(pattern, "/check/{id}"):
		values["id"] = g.checks[strings.TrimSuffix(pattern, "/{id}")]
	}
	path := wildcard.ReplaceAllStringFunc(pattern, func(w string) string {
		v, there := values[strings.Trim(w, "{}")]
		if !there || v == "" {
			t.Fatalf("%s: this test has nothing to put in the place of %s", pattern, w)
		}
		return v
	})
	switch pattern {
	case "/c/{customer}/domains/add":
		return []string{path + "?domain=studio.example.test"}
	case "/c/{customer}/held/delete", "/o/queue/drop":
		return []string{path + "?id=" + string(g.held)}
	case "/c/{customer}/suppression/address":
		return []string{path + "?address=inconnu%40free.fr"}
	case "/o/suppression":
		return []string{path + "?address=inconnu%40free.fr"}
	case "/c/{customer}/reports/{domain}/source", "/o/reports/{domain}/source":
		return []string{path + "?ip=198.51.100.7"}
	case "/o/reputation/range":
		return []string{path + "?network=127.0.0.0%2F24"}
	case "/o/dossiers/{dossier}/request":
		return []string{path + "?in=" + lang}
	case "/o/tests/{name}":
		return []string{path + "?try=1"}
	case "/o/snds/callback":
		return []string{path + "?code=a-code&state=a-state"}
	case "/c/{customer}/messages/{id}":
		return []string{path, strings.ReplaceAll(path, string(g.held), string(g.sent))}
	case "/reset/{secret}", "/invite/{secret}":
		return []string{path + "?lang=" + lang} // else in the language of the user who is invited
	case "/o/messages/{id}":
		return []string{path, strings.ReplaceAll(path, string(g.held), string(g.waiting))}
	}
	return []string{path}
}

// looked is what a page says of itself in the browser.
type looked struct {
	Violations []string `json:"violations"`
	Faults     []string `json:"faults"`
}

// look opens all folds, runs axe-core in the page (all rules, or those that see its style), and checks what it does not.
const look = `(async (lang, whole) => {
	document.querySelectorAll("details").forEach(d => d.open = true)
	const short = e => e.outerHTML.replace(/\s+/g, " ").slice(0, 160)
	const faults = []
	const h1 = document.querySelectorAll("h1").length
	if (h1 !== 1) faults.push(h1 + " headings of the first level")
	if (document.documentElement.lang !== lang) faults.push("the page's language is " + document.documentElement.lang)
	for (const e of document.querySelectorAll("input:not([type=hidden]):not([hidden]), select, textarea")) {
		if (!(e.labels && e.labels.length) && !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby")) faults.push("no label: " + short(e))
	}
	const ids = new Set()
	for (const e of document.querySelectorAll("[id]")) { if (ids.has(e.id)) faults.push("twice the id " + e.id); ids.add(e.id) }
	const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
	const sight = ["color-contrast", "target-size", "link-in-text-block", "scrollable-region-focusable"]
	const only = whole ? {type: "tag", values: tags} : {type: "rule", values: sight}
	const found = await axe.run(document, {runOnly: only, rules: whole ? {"target-size": {enabled: true}} : {}, resultTypes: ["violations"], preload: false})
	const violations = found.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + n.html.replace(/\s+/g, " ").slice(0, 160) + ": " + [...n.any, ...n.all, ...n.none].map(c => c.message).join("; ").slice(0, 240)))
	return {violations, faults}
})(%q, %v)`

// wide lists what makes a page wider than the screen.
const wide = `(() => {
	const most = document.documentElement.clientWidth
	if (document.documentElement.scrollWidth <= most) return ""
	const out = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > most + 1).slice(0, 3).map(e => e.outerHTML.replace(/\s+/g, " ").slice(0, 120))
	return document.documentElement.scrollWidth + " px on a screen of " + most + " px: " + out.join(" | ")
})()`

// walker goes through the pages as one visitor.
type walker struct {
	b            *browser
	g            *seededGateway
	lang         string
	signedIn     bool
	pages, found int
}

// TestEveryPage visits every page that the router has, as nobody, as operator and as a customer's administrator, in both languages, on a light desk
// and a dark phone: axe-core finds nothing against WCAG 2.2 A and AA, nothing is wider than a screen of 320 px, the browser has nothing to complain of,
// and no page asks another host.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	rules := axe(t)
	b := browse(t, true)
	g := seed(t)
	began := time.Now()
	b.do(t, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: rules})
		return err
	}))
	routes := slices.DeleteFunc(portal.DeclaredRoutes(), func(r portal.Declared) bool { return r.Method != http.MethodGet })
	b.do(t, chromedp.Navigate(g.base+"/"), chromedp.Evaluate[chromedp.Void](`void document.body.append(document.createElement("img"))`))
	if seen := get(t, b, chromedp.Evaluate[looked](fmt.Sprintf(look, "en", true), chromedp.EvalAwaitPromise)); len(seen.Violations) != 1 || !strings.HasPrefix(seen.Violations[0], "image-alt: ") {
		t.Fatalf("a picture without words is not found: %+v", seen)
	}
	left := map[string]bool{}
	for pattern := range notPages {
		left[pattern] = true
	}
	pages := slices.DeleteFunc(slices.Clone(routes), func(r portal.Declared) bool { delete(left, r.Path); return notPages[r.Path] != "" })
	for pattern := range left {
		t.Errorf("%s is left out of this test and is no route", pattern)
	}
	visited, found := 0, 0
	for i, lang := range []string{"en", "fr"} {
		for k, role := range []user.Role{"", user.Operator, user.CustomerAdmin} {
			w := &walker{b: b, g: g, lang: lang, signedIn: role != ""}
			b.do(t, call(network.ClearBrowserCookies, cdp.Empty{}), call(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": lang, "X-Forwarded-For": fmt.Sprintf("203.0.113.%d", 10*i+k+1)}}))
			w.enter(t, role)
			for _, r := range pages {
				switch {
				case role == "" && !r.Public, role == user.CustomerAdmin && !r.Public && !r.Self && !r.Customer:
					continue
				}
				for _, path := range g.addresses(t, lang, r.Path) {
					if role == user.CustomerAdmin && strings.HasPrefix(path, "/c/studio/") {
						continue // another customer's; his own domains stand in the file
					}
					w.visit(t, cmp.Or(string(role), "nobody"), path)
				}
			}
			visited, found = visited+w.pages, found+w.found
		}
	}
	b.quiet(t, g.base)
	t.Logf("%d routes that are read, %d of them pages; %d visits in 2 forms, %d faults, %v", len(routes), len(pages), visited, found, time.Since(began).Round(time.Second))
}

// enter makes the visitor and gives his session to the browser.
func (w *walker) enter(t *testing.T, role user.Role) {
	t.Helper()
	if role == "" {
		if w.lang == "en" { // the first operator is made by then
			w.visit(t, "nobody", "/setup/"+w.g.links["setup"])
		}
		w.visit(t, "nobody", "/")
		w.visit(t, "nobody", w.g.link(w.g.held)+"?lang="+w.lang)
		w.second(t)
		return
	}
	customer := "shop"
	if role == user.Operator {
		customer = ""
	}
	u, _, err := w.g.Users().Add(t.Context(), user.User{Address: address(t, fmt.Sprintf("%s-%s@people.example.test", role, w.lang)), Name: "Camille Durand", Role: role, Customer: customer, Language: w.lang, Zone: "Europe/Paris"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.g.Users().SetPassword(t.Context(), u.ID, password, ""); err != nil {
		t.Fatal(err)
	}
	secret, _, err := w.g.Users().NewSession(t.Context(), u.ID, netip.MustParseAddr("203.0.113.1"), firefox)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.g.Users().AddToken(t.Context(), u.Principal(), user.Token{Customer: customer, Label: "the bookkeeping", Rights: []user.Right{user.MailRead}}); err != nil {
		t.Fatal(err)
	}
	c := &client{g: w.g.gateway, user: u, cookie: "postern=" + secret}
	w.cookie(t, "postern", secret)
	for _, set := range (&http.Response{Header: c.ask(t, "POST", "/me/code/start", url.Values{}).header}).Cookies() {
		w.cookie(t, set.Name, set.Value)
	}
	w.g.checkups(t, c)
}

// checkups makes a visitor's check-ups, which nobody else sees: the last one of each form is visited, all are in its list.
func (g *seededGateway) checkups(t *testing.T, c *client) {
	t.Helper()
	g.checks = map[string]string{}
	for base, at := range map[string]string{"/c/{customer}/check": "/c/shop/check", "/o/check": "/o/check"} {
		if c.user.Customer != "" && at == "/o/check" {
			continue
		}
		for _, target := range []string{"192.0.2.1", "news@shop.example.test", "shop.example.test"} {
			a := c.ask(t, "POST", at, url.Values{"target": {target}})
			if a.status != http.StatusSeeOther {
				t.Fatalf("check-up of %s: %d", target, a.status)
			}
			g.checks[base] = strings.TrimPrefix(a.header.Get("Location"), at+"/")
		}
	}
}

// second leaves the browser between the two steps of a sign-in.
func (w *walker) second(t *testing.T) {
	t.Helper()
	u := w.g.member(t, "second-"+w.lang+"@people.example.test", user.CustomerReader, "shop")
	e, err := w.g.Users().StartTOTP(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(e.Key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.g.Users().ConfirmTOTP(t.Context(), u.ID, e.State, code); err != nil {
		t.Fatal(err)
	}
	a := w.g.ask(t, "POST", "/sign-in", url.Values{"address": {u.Address.String()}, "password": {password}})
	for _, set := range (&http.Response{Header: a.header}).Cookies() {
		w.cookie(t, set.Name, set.Value)
	}
}

func (w *walker) cookie(t *testing.T, name, value string) {
	t.Helper()
	w.b.do(t, call(network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: w.g.base}))
}

// visit opens a page, and looks at it on a light desk and a dark phone.
func (w *walker) visit(t *testing.T, who, path string) {
	t.Helper()
	label := fmt.Sprintf("%s %s %s", who, w.lang, path)
	fault := func(format string, args ...any) {
		t.Helper()
		w.found++
		t.Errorf("%s: %s", label, fmt.Sprintf(format, args...))
	}
	w.b.do(t, size(1280, 900), scheme("light"))
	res := get(t, w.b, chromedp.NavigateResponse(w.g.base+path))
	at, err := url.Parse(res.URL)
	if err != nil {
		t.Fatal(err)
	}
	asked, _, _ := strings.Cut(path, "?")
	if unescaped, err := url.PathUnescape(asked); err == nil {
		asked = unescaped
	}
	if at.Path != asked {
		if at.Path == "/sign-in" {
			fault("the visitor is asked to sign in")
		} else if !(w.signedIn && (asked == "/sign-in" || asked == "/sign-in/second" || asked == "/forgot" || asked == "/prove")) {
			fault("it leads to %s", at.Path)
		}
		return
	}
	if res.Status != http.StatusOK && !strings.HasPrefix(path, "/setup/") { // that link is over once there is an operator
		fault("status %d", res.Status)
	}
	w.pages++
	for _, form := range []string{"desk", "phone"} {
		if form == "phone" {
			w.b.do(t, size(375, 800), scheme("dark"))
		}
		seen := get(t, w.b, chromedp.Evaluate[looked](fmt.Sprintf(look, w.lang, form == "desk" || w.lang == "fr"), chromedp.EvalAwaitPromise))
		for _, v := range append(seen.Violations, seen.Faults...) {
			fault("%s: %s", form, v)
		}
		if out := get(t, w.b, chromedp.Evaluate[string](wide)); out != "" {
			fault("%s", out)
		}
	}
	w.b.do(t, size(320, 800))
	if out := get(t, w.b, chromedp.Evaluate[string](wide)); out != "" {
		fault("%s", out)
	}
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	for _, f := range w.b.faults {
		if res.Status == http.StatusOK {
			fault("the browser says: %s", f)
		}
	}
	w.b.faults = nil
}
