package portal_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
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
	"github.com/chromedp/chromedp"

	"postern/internal/account"
	"postern/internal/alarm"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/user"
	"postern/internal/webhook"
)

// shots takes pictures of pages.
type shots struct {
	b      *browser
	g      *seededGateway
	dir    string
	lang   string
	who    string // role of the visitor, as the names of the files have it
	only   *regexp.Regexp
	number int
	wide   []string // pictures of pages that are wider than the screen
}

// TestShots takes a picture of every page that the router has, and of the states that only an act leads to, into the folder of POSTERN_SHOTS: on a desk
// and a phone, light and dark, in both languages, the dark ones in English and the light ones in French with every fold open. POSTERN_SHOTS_ONLY is a
// regular expression that the pictures' names must match. Without a folder only the page to sign in is taken, so that the camera is known to work. It demands nothing of the pages but that they fit the screen: it is for looking.
func TestShots(t *testing.T) {
	dir, only := os.Getenv("POSTERN_SHOTS"), os.Getenv("POSTERN_SHOTS_ONLY")
	if dir == "" {
		dir, only = t.TempDir(), "^nobody-sign-in$"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	x := &shots{b: browse(t, true), g: seed(t), dir: dir, only: regexp.MustCompile(only)}
	x.g.dress(t)
	routes := slices.DeleteFunc(portal.DeclaredRoutes(), func(r portal.Declared) bool { return r.Method != http.MethodGet || notPages[r.Path] != "" })
	for _, lang := range []string{"en", "fr"} {
		x.lang = lang
		x.asNobody(t, routes)
		x.asMember(t, user.Operator, routes)
		x.asMember(t, user.CustomerAdmin, routes)
		x.asMember(t, user.CustomerReader, nil)
	}
	for _, w := range x.wide {
		t.Errorf("wider than the screen: %s", w)
	}
	if x.number == 0 {
		t.Error("no picture was taken")
	}
	t.Logf("%d pictures in %s", x.number, dir)
}

// forms are how a page is looked at in a language.
var forms = map[string][]struct {
	name   string
	width  int64
	colour string
	open   bool // all folds
}{
	"en": {{"desk-light", 1280, "light", false}, {"phone-dark", 375, "dark", true}},
	"fr": {{"desk-dark", 1280, "dark", false}, {"phone-light", 375, "light", true}},
}

// wanted tells whether a page's pictures are asked for.
func (x *shots) wanted(name string) bool { return x.only.MatchString(x.who + "-" + name) }

// take takes the pictures of the page that is open.
func (x *shots) take(t *testing.T, name string) {
	t.Helper()
	for _, f := range forms[x.lang] {
		x.b.do(t, size(f.width, 800), scheme(f.colour))
		if f.open {
			x.b.do(t, chromedp.Evaluate[chromedp.Void](`void document.querySelectorAll("details").forEach(d => d.open = true)`))
		}
		file := fmt.Sprintf("%s-%s-%s-%s.png", x.who, name, f.name, x.lang)
		if out := get(t, x.b, chromedp.Evaluate[string](wide)); out != "" {
			x.wide = append(x.wide, file+": "+out)
		}
		if err := os.WriteFile(filepath.Join(x.dir, file), get(t, x.b, chromedp.FullScreenshot(100)), 0o644); err != nil {
			t.Fatal(err)
		}
		x.number++
	}
}

// page opens a page and takes its pictures.
func (x *shots) page(t *testing.T, name, path string) {
	t.Helper()
	if !x.wanted(name) {
		return
	}
	x.b.do(t, x.from(), size(1280, 800), chromedp.Navigate(x.g.base+path))
	if strings.HasSuffix(path, "/live") {
		x.g.traffic(t, x.b)
	}
	x.take(t, name)
}

// from makes each request come from another network: the tool is quicker than people are.
func (x *shots) from() chromedp.Action[chromedp.Void] {
	n := users.Add(1)
	return call(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": x.lang, "X-Forwarded-For": fmt.Sprintf("198.18.%d.%d", n/250%250, n%250)}})
}

// post sends a form from a page as the browser does, and takes the pictures of what comes.
func (x *shots) post(t *testing.T, name, from, path string, form url.Values) {
	t.Helper()
	if !x.wanted(name) {
		return
	}
	text, err := json.Marshal(form)
	if err != nil {
		t.Fatal(err)
	}
	x.b.do(t, x.from(), size(1280, 800), chromedp.Navigate(x.g.base+from))
	x.b.lead(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
		const f = document.createElement("form")
		f.method = "post"
		f.action = %q
		for (const [name, values] of Object.entries(%s)) for (const value of values) {
			const i = document.createElement("textarea")
			i.name = name
			i.value = value
			f.append(i)
		}
		document.body.append(f)
		f.submit()
	})()`, path, text)))
	x.take(t, name)
}

// nameOf makes the name of a file of a route.
func nameOf(pattern string, i int) string {
	name := strings.NewReplacer("/", "_", "{", "", "}", "").Replace(strings.Trim(pattern, "/"))
	if i > 0 {
		name += fmt.Sprintf("-%d", i+1)
	}
	return cmp.Or(name, "start")
}

// routes takes the pictures of those that a visitor may see.
func (x *shots) routes(t *testing.T, routes []portal.Declared, mine func(portal.Declared) bool) {
	t.Helper()
	for _, r := range routes {
		if !mine(r) {
			continue
		}
		for i, path := range x.g.addresses(t, x.lang, r.Path) {
			if strings.HasPrefix(path, "/c/studio/") && x.who == string(user.CustomerAdmin) {
				path = strings.ReplaceAll(path, "studio", "shop")
			}
			x.page(t, nameOf(r.Path, i), path)
		}
	}
}

// asNobody: what opens without signing in.
func (x *shots) asNobody(t *testing.T, routes []portal.Declared) {
	t.Helper()
	x.who = "nobody"
	x.b.do(t, call(network.ClearBrowserCookies, cdp.Empty{}))
	w := &walker{b: x.b, g: x.g, lang: x.lang}
	w.second(t)
	x.page(t, "start", "/")
	x.routes(t, routes, func(r portal.Declared) bool { return r.Public })
	x.page(t, "check-done", "/check?target=shop.example.test")
	x.page(t, "check-fault", "/check?target=not+a+domain")
	x.page(t, "message", x.g.link(x.g.held)+"?lang="+x.lang)
	x.page(t, "message-delivered", x.g.link(x.g.sent)+"?lang="+x.lang)
	x.page(t, "message-gone", "/m/"+x.g.Links().Token(x.g.held, time.Now().Add(-30*24*time.Hour))+"?lang="+x.lang)
	x.page(t, "link-gone", "/invite/zzzzzzzzzzzzzzzzzzzzzzzzzz?lang="+x.lang)
	x.page(t, "error-404", "/nowhere")
	x.post(t, "sign-in-refused", "/sign-in", "/sign-in", url.Values{"address": {"nobody@example.test"}, "password": {"wrong horse battery"}})
	x.post(t, "second-refused", "/sign-in/second", "/sign-in/second", url.Values{"code": {"123 456"}})
	x.post(t, "forgot-said", "/forgot", "/forgot", url.Values{"address": {"nobody@example.test"}})
	x.post(t, "invite-faults", "/invite/"+x.g.links["invite"]+"?lang="+x.lang, "/invite/"+x.g.links["invite"]+"?lang="+x.lang, url.Values{"name": {""}, "password": {"short"}, "again": {"other"}})
	for range 12 { // more than one may try
		x.g.ask(t, "POST", "/sign-in", url.Values{"address": {"throttled@example.test"}, "password": {"x"}}, "X-Forwarded-For", "192.0.2.77")
	}
	x.post(t, "sign-in-throttled", "/sign-in", "/sign-in", url.Values{"address": {"throttled@example.test"}, "password": {"x"}})
}

// asMember: what a user sees, and what his acts lead to.
func (x *shots) asMember(t *testing.T, role user.Role, routes []portal.Declared) {
	t.Helper()
	x.who = string(role)
	x.b.do(t, call(network.ClearBrowserCookies, cdp.Empty{}))
	w := &walker{b: x.b, g: x.g, lang: x.lang, signedIn: true}
	switch role {
	case user.CustomerReader:
		u := x.g.person(t, role, "shop", x.lang)
		secret, _, err := x.g.Users().NewSession(t.Context(), u.ID, netip.MustParseAddr("203.0.113.1"), firefox)
		if err != nil {
			t.Fatal(err)
		}
		w.cookie(t, "postern", secret)
		x.page(t, "credentials", "/c/shop/credentials")
		x.page(t, "users", "/c/shop/users")
		x.page(t, "message", "/c/shop/messages/"+string(x.g.held))
	case user.Operator:
		w.enter(t, role)
		x.routes(t, routes, func(r portal.Declared) bool {
			return !r.Public && !r.Self && (!r.Customer || strings.HasSuffix(r.Path, "/add") || r.Path == "/c/{customer}")
		})
		x.operatorActs(t)
	default:
		w.enter(t, role)
		x.routes(t, routes, func(r portal.Declared) bool {
			return r.Customer && !strings.HasSuffix(r.Path, "/add") || r.Self || strings.HasPrefix(r.Path, "/help")
		})
		x.customerActs(t)
	}
}

// operatorActs are the states behind the operator's acts, and what a new customer sees.
func (x *shots) operatorActs(t *testing.T) {
	t.Helper()
	for _, page := range []string{"", "/held", "/messages", "/providers", "/suppression", "/allow", "/domains", "/credentials", "/trust", "/settings", "/users", "/tokens", "/webhooks", "/history"} {
		x.page(t, "new"+strings.ReplaceAll(page, "/", "-"), "/c/fresh"+page)
	}
	x.page(t, "customers-none", "/o/customers?q=nobodyhasthis")
	x.page(t, "messages-none", "/o/messages?text=nobodyhasthis")
	x.page(t, "messages-found", "/o/messages?text=commande")
	x.page(t, "held-none", "/o/held?customer=fresh")
	x.page(t, "error-404", "/o/nowhere")
	x.post(t, "customer-faults", "/o/new-customer", "/o/new-customer", url.Values{"id": {"No Such!"}, "name": {""}, "contact": {"x"}, "threshold": {"99"}, "networks": {"10.0.0.0/8\nnonsense"}, "domains": {"-bad-"}})
	x.post(t, "token-made", "/o/tokens", "/o/tokens", url.Values{"label": {"the monitoring"}, "days": {"90"}, "right": {"gateway:read", "mail:read"}})
	x.post(t, "pause-faults", "/o/lanes", "/o/lanes/pause", url.Values{"receiver": {"nobody knows this one"}, "reason": {""}})
	x.post(t, "invite-faults", "/o/users", "/o/users", url.Values{"address": {"x"}, "name": {""}, "role": {"none"}})
	x.post(t, "points-faults", "/o/tests/SPF_FAIL", "/o/tests/SPF_FAIL/points", url.Values{"points": {"many"}, "scope": {"shop"}})
	x.post(t, "webhook-made", "/o/webhooks", "/o/webhooks", url.Values{"label": {"the panel"}, "url": {"https://panel.example.net/hooks/postern"}})
}

// customerActs are the states behind the acts of a customer's administrator.
func (x *shots) customerActs(t *testing.T) {
	t.Helper()
	hook := "/c/shop/webhooks/" + x.g.hooks["shop"]
	held := "/c/shop/messages/" + string(x.g.held)
	x.post(t, "credential-made", "/c/shop/credentials", "/c/shop/credentials", url.Values{"label": {"WordPress of the shop"}, "rate_hour": {"200"}})
	x.post(t, "credential-faults", "/c/shop/credentials", "/c/shop/credentials", url.Values{"label": {""}, "hourly": {"x"}, "daily": {"-1"}, "networks": {"nonsense"}, "addresses": {"@@"}, "ends": {"2001-01-01"}})
	x.post(t, "token-made", "/c/shop/tokens", "/c/shop/tokens", url.Values{"label": {"the bookkeeping"}, "days": {"90"}, "right": {"mail:read"}})
	x.post(t, "token-faults", "/c/shop/tokens", "/c/shop/tokens", url.Values{"label": {""}, "days": {"7777"}})
	x.post(t, "webhook-made", "/c/shop/webhooks", "/c/shop/webhooks", url.Values{"label": {"the shop’s software"}, "url": {"https://shop.example.com/hooks/postern"}, "event": {"message.delivered", "message.bounced"}})
	x.post(t, "webhook-faults", "/c/shop/webhooks", "/c/shop/webhooks", url.Values{"url": {"http://localhost:22/"}})
	x.post(t, "webhook-replay-fault", hook, hook+"/replay", url.Values{"since": {"yesterday"}})
	x.page(t, "webhook-answers", "/c/shop/webhooks/"+x.g.hooks["answers"])
	x.post(t, "domain-fault", "/c/shop/domains", "/c/shop/domains", url.Values{"domain": {"not a domain"}})
	x.post(t, "suppression-added", "/c/shop/suppression", "/c/shop/suppression/add", url.Values{"address": {"somebody-" + x.lang + "@example.org"}, "as": {"sender"}, "note": {"asked by telephone"}})
	x.post(t, "suppression-faults", "/c/shop/suppression", "/c/shop/suppression/add", url.Values{"address": {"nonsense"}})
	x.post(t, "suppression-imported", "/c/shop/suppression", "/c/shop/suppression/import", url.Values{"text": {"a@example.org\nnonsense\nb@example.org"}, "list": {"a@example.org\nnonsense\nb@example.org"}})
	x.page(t, "suppression-none", "/c/shop/suppression?address=nobody@nowhere.example")
	x.post(t, "allow-faults", "/c/shop/allow", "/c/shop/allow/add", url.Values{"what": {"from"}, "value": {"nonsense@@"}})
	x.post(t, "settings-faults", "/c/shop/settings", "/c/shop/settings", url.Values{"contact": {"x"}, "language": {"xx"}})
	x.post(t, "settings-saved", "/c/shop/settings", "/c/shop/settings", url.Values{"contact": {"owner@shop.example.test"}, "language": {"en"}})
	x.post(t, "users-faults", "/c/shop/users", "/c/shop/users", url.Values{"address": {"x"}, "name": {""}, "role": {"none"}})
	x.post(t, "ask-fault", held, held+"/ask", url.Values{"question": {""}})
	x.post(t, "message-retested", held, held+"/retest", url.Values{})
	x.post(t, "held-nothing-picked", "/c/shop/held", "/c/shop/held/release", url.Values{})
	x.page(t, "messages-none", "/c/shop/messages?q=nobodyhasthis")
	x.page(t, "held-none", "/c/shop/held?q=nobodyhasthis")
	x.post(t, "find-fault", "/c/shop/messages", "/c/shop/messages/find", url.Values{"text": {"nothing that is known"}})
	x.post(t, "password-faults", "/me/password", "/me/password", url.Values{"old": {password}, "password": {"short"}, "again": {"other"}})
	x.post(t, "code-refused", "/me/code", "/me/code", url.Values{"code": {"123456"}})
	x.page(t, "error-404", "/c/boutique")
	x.post(t, "error-413", "/c/shop/settings", "/c/shop/settings", url.Values{"contact": {strings.Repeat("x", 100_000)}})
	if x.wanted("error-403") {
		a := x.g.ask(t, "POST", "/sign-in", url.Values{}, "Sec-Fetch-Site", "cross-site", "Accept-Language", x.lang)
		x.show(t, "error-403", a.body)
	}
	x.stale(t)
}

// stale takes the picture of the question for a proof, which comes when the last one is old: a session from yesterday asks.
func (x *shots) stale(t *testing.T) {
	t.Helper()
	if !x.wanted("prove") {
		return
	}
	x.post(t, "prove-asked", "/prove", "/prove", url.Values{"proof": {"wrong"}})
}

// show lets the browser show the text of a page that it would not ask for.
func (x *shots) show(t *testing.T, name, text string) {
	t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	x.b.do(t, size(1280, 800), chromedp.Navigate(x.g.base+"/help/sender"), chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`void (document.documentElement.innerHTML = new DOMParser().parseFromString(%s, "text/html").documentElement.innerHTML)`, quoted)))
	waitFor(t, "the style of a page", func() bool {
		return get(t, x.b, chromedp.Evaluate[bool](`document.styleSheets.length > 0 && getComputedStyle(document.body).margin === "0px"`))
	})
	x.take(t, name)
}

// dress gives a seeded gateway a past, so that plots and lists look as they do after a month.
func (g *seededGateway) dress(t *testing.T) {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(g.Accounts().PutCustomer(ctx, account.Customer{ID: "fresh", Name: "Fleurs & Fils", Language: "fr", Contact: address(t, "owner@fleurs.example.test")}))
	subjects := []string{"Votre commande %d est expédiée", "Invoice %d", "Password reset for your account %d", "Lettre de novembre n° %d : les nouveautés de la boutique et nos conseils pour l’hiver"}
	to := []struct{ provider, recipient, host string }{{"orange", "anne@orange.fr", "smtp-in.orange.fr[193.252.22.65]"}, {"gmail", "bob@gmail.com", "gmail-smtp-in.l.google.com[142.250.1.27]"}, {"microsoft", "zoe@outlook.com", "outlook-com.olc.protection.outlook.com[52.101.8.36]"},
		{"free", "luc@free.fr", "mx1.free.fr[212.27.48.6]"}, {"laposte", "eva@laposte.net", "smtpz4.laposte.net[160.92.124.66]"}, {"yahoo", "tim@yahoo.com", "mta5.am0.yahoodns.net[67.195.204.77]"}}
	var facts []journal.Fact
	for i := range 360 {
		at := now.Add(-time.Duration(i*i)*20*time.Second - 5*time.Minute)
		id, x := mail.NewQueueID(at), to[i%len(to)]
		f := journal.Fact{Kind: journal.Accepted, At: at, QueueID: id, Customer: "shop", Subject: fmt.Sprintf(subjects[i%len(subjects)], 4000+i), HeaderFrom: "contact@shop.example.test", Recipient: x.recipient, Credential: g.login,
			Detail: journal.EncodeBrief(0.4, 3, func(yield func(string, float64) bool) { _ = yield("DMARC_MISSING", 0.5) && yield("DKIM_VALID", -0.1) })}
		then := journal.Fact{Kind: journal.Delivered, At: at.Add(time.Minute), QueueID: id, Customer: "shop", Subject: f.Subject, Recipient: x.recipient, Host: x.host, Code: 250, Enhanced: "2.0.0", Text: "OK queued", Provider: x.provider, Lane: x.provider + " 127.0.0.1", Attempt: 1, Credential: g.login}
		switch {
		case i%17 == 5:
			then.Kind, then.Code, then.Enhanced, then.Text = journal.Bounced, 550, "5.1.1", "Recipient address rejected: User unknown"
		case i%13 == 3:
			then.Kind, then.Code, then.Enhanced, then.Text, then.NextAt = journal.Deferred, 421, "4.7.28", "Our system has detected an unusual rate of unsolicited mail originating from your address", now.Add(time.Hour)
		}
		facts = append(facts, f, then)
	}
	ok(g.Journal().Append(ctx, facts...))
	g.Alarms().Raise(alarm.Alarm{Key: "queue.customer studio", Severity: alarm.Warning, Code: "queue-customer", Args: map[string]string{"Name": "studio", "Count": "12", "Age": "2 h"}, Since: now.Add(-50 * time.Hour)})
	waitFor(t, "the alarm in the history", func() bool {
		lines, _, err := g.Alarms().History(ctx, alarm.HistoryQuery{Code: "queue-customer", Limit: 1})
		return err == nil && len(lines) > 0 && len(lines[0].Told) > 0
	})
	g.Alarms().Clear("queue.customer studio")
	ok(g.Reports().Judge(ctx))
	g.Alarms().Raise(alarm.Alarm{Key: "spool-full", Severity: alarm.Warning, Code: "spool-full", Args: map[string]string{"Path": "/var/lib/postern", "Free": "4 GB", "Share": "8"}, Since: now.Add(-26 * time.Hour)})
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(answers.Close)
	h, err := g.Webhooks().Add(ctx, "shop", webhook.Settings{Label: "Comptabilité", URL: answers.URL + "/hooks/postern", Events: []string{"message.delivered", "message.bounced"}}, "operator:x")
	ok(err)
	g.hooks["answers"] = h.ID
	_, err = g.Webhooks().Test(ctx, h.ID)
	ok(err)
	_, _, err = g.Users().NewSession(ctx, g.people["shop"], netip.MustParseAddr("2001:db8::1"), firefox)
	ok(err)
}

// traffic lets facts pass by until the live view shows some.
func (g *seededGateway) traffic(t *testing.T, b *browser) {
	t.Helper()
	kinds := []journal.Kind{journal.Accepted, journal.Delivered, journal.Deferred, journal.Bounced, journal.Held}
	n := 0
	waitFor(t, "lines in the live view", func() bool {
		f := journal.Fact{Kind: kinds[n%len(kinds)], QueueID: mail.NewQueueID(time.Now()), Customer: "shop", Subject: "Votre commande 4711 est expédiée", HeaderFrom: "contact@shop.example.test", Recipient: "anne@orange.fr", Provider: "orange"}
		if f.Kind != journal.Accepted && f.Kind != journal.Held {
			f.Host, f.Code, f.Text = "smtp-in.orange.fr[193.252.22.65]", 250, "OK queued"
		}
		if err := g.Journal().Append(context.WithoutCancel(t.Context()), f); err != nil {
			t.Fatal(err)
		}
		n++
		return n > 60 || n > 8 && strings.Contains(get(t, b, chromedp.Evaluate[string](`document.querySelector("main").innerText`)), "4711")
	})
}
