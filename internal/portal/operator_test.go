package portal_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"postern/internal/account"
	"postern/internal/alarm"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// hostileMarkup is text that would run, break out of an attribute, or hide what it is, if a page did not take care.
const hostileMarkup = `"><script>alert(1)</script><img src=x onerror=alert(1)>' onload='x` + "\u202e"

// operatorPaths are the operator's pages.
var operatorPaths = []string{"/o/queue", "/o/queue/top", "/o/held", "/o/messages", "/o/messages?text=alert", "/o/lanes", "/o/lanes/orange%20127.0.0.1", "/o/customers", "/o/customers?q=shop", "/o/customers/shop",
	"/o/new-customer", "/o/addresses", "/o/suppression", "/o/suppression?address=nobody%40receiver.example.test", "/o/alarms", "/o/snds", "/o/snds?days=90", "/o/snds/192.0.2.1", "/o/postmaster-tools", "/o/configuration", "/o/configuration?only=own", "/o/live"}

// queued stores a message that waits for its next attempt.
func (g *gateway) queued(t *testing.T, subject string) mail.QueueID {
	t.Helper()
	now := time.Now()
	m := spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(48 * time.Hour), Held: true, HoldReason: "operator", HoldUntil: now.Add(time.Hour), Subject: subject, HeaderFrom: "news@shop.example.test",
		Envelope: mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@receiver.example.test")}}}, Body: []byte("Subject: x\r\n\r\nx\r\n")}
	if err := g.Spool().Put(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// facts returns the newest facts of a kind.
func (g *gateway) facts(t *testing.T, kind journal.Kind) []journal.Fact {
	t.Helper()
	if err := g.Journal().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, _, err := g.Journal().Search(t.Context(), journal.Query{Kinds: []journal.Kind{kind}})
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// left expects a fact with this actor and text, and a line of the audit log.
func (c *client) left(t *testing.T, kind journal.Kind, text, act, subject string) {
	t.Helper()
	found := false
	for _, f := range c.g.facts(t, kind) {
		found = found || f.Actor == "operator:"+c.user.ID && strings.Contains(f.Text, text) || text == "" && f.Actor == "rule"
	}
	if !found {
		t.Errorf("%s: no fact of kind %s with %q", act, kind, text)
	}
	c.noted(t, act, subject, false)
}

// noted expects a line of the audit log.
func (c *client) noted(t *testing.T, act, subject string, failed bool) {
	t.Helper()
	list, err := c.g.Users().Entries(t.Context(), user.EntryQuery{Everybody: true, Actor: "operator:" + c.user.ID, Act: act})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Entries {
		if e.Subject == subject && e.Failed == failed {
			return
		}
	}
	t.Errorf("the audit log has no line %q about %q (failed: %v): %+v", act, subject, failed, list.Entries)
}

// TestOperatorsPages: every page shows in both languages, with hostile text in everything that comes from outside.
func TestOperatorsPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	held := g.put(t, spool.Message{Subject: hostileMarkup, HeaderFrom: hostileMarkup + "@x", MessageID: "<" + hostileMarkup + ">"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5}))
	waits := g.queued(t, hostileMarkup)
	facts := []journal.Fact{
		{Kind: journal.Deferred, QueueID: held, Customer: "shop", Recipient: hostileMarkup, HeaderFrom: hostileMarkup, Subject: hostileMarkup, Host: hostileMarkup, Text: hostileMarkup, Code: 451, Actor: "operator:" + hostileMarkup, Lane: "orange 127.0.0.1"},
		{Kind: journal.Complaint, Text: hostileMarkup, Customer: "shop"},
		{Kind: journal.Kind(hostileMarkup), Text: hostileMarkup, Customer: hostileMarkup},
	}
	for _, f := range facts {
		_ = g.Journal().Append(t.Context(), f) // one that breaks the contract may be refused
	}
	if err := g.Accounts().PutCustomer(t.Context(), account.Customer{ID: "evil", Name: hostileMarkup[:len(hostileMarkup)-3], Networks: nil}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Accounts().AddEntry(t.Context(), account.Entry{Scope: "shop", Kind: account.Deny, What: account.WhatClient, Value: "192.0.2.1", Note: hostileMarkup[:40], By: "operator:x"}); err != nil {
		t.Fatal(err)
	}
	g.Alarms().Raise(alarm.Alarm{Key: "queue.lane " + hostileMarkup, Severity: alarm.Critical, Code: "queue-lane", Args: map[string]string{"Name": hostileMarkup, "Count": "5", "Age": "1 h", "Why": hostileMarkup}, Since: time.Now()})
	if a := c.ask(t, "POST", "/o/lanes/pause", url.Values{"lane": {"orange 127.0.0.1"}, "minutes": {"30"}, "reason": {hostileMarkup}}); a.status != http.StatusSeeOther {
		t.Fatalf("pause: %d", a.status)
	}
	if a := c.ask(t, "POST", "/o/suppression/add", url.Values{"add_address": {"nobody@receiver.example.test"}, "add_note": {hostileMarkup}}); a.status != http.StatusSeeOther {
		t.Fatalf("suppress: %d", a.status)
	}
	raw := regexp.MustCompile(`>\s*(portal|shaping\.(?:why|kind)|explain|suppression\.reason)\.[a-z_.]+`)
	paths := append([]string{"/o/messages/" + string(held), "/o/messages/" + string(waits), "/o/queue/drop?id=" + string(held), "/o/customers/evil", "/o/customers/evil/edit"}, operatorPaths...)
	for _, path := range paths {
		for _, lang := range []string{"en", "fr"} {
			t.Run(path+" "+lang, func(t *testing.T) {
				sep := "?"
				if strings.Contains(path, "?") {
					sep = "&"
				}
				page := c.get(t, path+sep+"lang="+lang)
				if strings.Contains(page, "\u202e") {
					t.Error("a character that turns the direction of text is let through")
				}
				if m := raw.FindString(page); m != "" {
					t.Errorf("a text is missing: %s", m)
				}
				if strings.Count(page, "<h1") != 1 || !strings.Contains(page, `<html lang="`+lang+`"`) {
					t.Error("no single heading, or another language")
				}
				structured(t, page)
			})
		}
	}
}

// structured checks that nothing in a page runs, that ids are unique and that what describes a field is there.
func structured(t *testing.T, page string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if src, _ := attr(n, "src"); n.Data == "img" || n.Data == "iframe" || n.Data == "script" && !strings.HasPrefix(src, "/static/") {
			t.Errorf("<%s> in the page", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "href" && strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("%s=%q in the page", a.Key, a.Val)
			}
		}
		if n.Data == "a" || n.Data == "button" || n.Data == "summary" {
			if textOf(n) == "" {
				t.Errorf("<%s> has no text", n.Data)
			}
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two elements have the id %q", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`aria-(?:labelledby|describedby)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		for _, id := range strings.Fields(m[1]) {
			if !ids[id] {
				t.Errorf("%q is named and not there", id)
			}
		}
	}
}

// TestOperatorsPagesAreHisOwn: users of customers get the same answer as for what does not exist; nobody is asked who he is.
func TestOperatorsPagesAreHisOwn(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin, abuse := g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.AbuseDesk, "")
	id := string(g.put(t, spool.Message{Subject: "x"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})))
	for _, path := range append([]string{"/o/messages/" + id, "/o/live/stream", "/o/suppression/export.csv"}, operatorPaths...) {
		if a := admin.ask(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("GET %s as a customer's user: %d", path, a.status)
		}
		if a := g.ask(t, "GET", path, nil); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
			t.Errorf("GET %s as nobody: %d", path, a.status)
		}
	}
	acts := []string{"/o/queue/retry", "/o/queue/hold", "/o/queue/release", "/o/queue/retest", "/o/queue/drop", "/o/queue/retry-all", "/o/lanes/pause", "/o/lanes/lift", "/o/lanes/retry", "/o/customers/shop/suspend",
		"/o/customers/shop/resume", "/o/new-customer", "/o/customers/shop/edit", "/o/customers/shop/delete", "/o/suppression/add", "/o/suppression/lift", "/o/suppression/import", "/o/alarms/test", "/o/configuration/reload", "/o/messages/find"}
	for _, path := range acts {
		if a := admin.ask(t, "POST", path, url.Values{"id": {id}}); a.status != http.StatusNotFound {
			t.Errorf("POST %s as a customer's user: %d", path, a.status)
		}
	}
	for _, path := range []string{"/o/new-customer", "/o/customers/shop/edit", "/o/customers/shop/delete"} {
		if a := abuse.ask(t, "POST", path, url.Values{}); a.status != http.StatusNotFound {
			t.Errorf("POST %s as the abuse desk: %d", path, a.status)
		}
	}
	if page := abuse.get(t, "/o/customers/boutique"); strings.Contains(page, "/edit") || !strings.Contains(page, "/suspend") {
		t.Error("the abuse desk may suspend, and change no settings")
	}
	if _, err := g.Spool().Get(t.Context(), mail.QueueID(id)); err != nil {
		t.Errorf("the message is gone: %v", err)
	}
}

// TestOperatorActsOnMail: each act is done, stands in the journal under the operator's name, and in the audit log.
func TestOperatorActsOnMail(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	one, two, three := g.put(t, spool.Message{Subject: "one"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5})), g.queued(t, "two"), g.queued(t, "three")
	if page := c.get(t, "/o/held?reason=score&score=1"); !strings.Contains(page, string(one)) || strings.Contains(page, string(two)) {
		t.Error("the list of held mail is not filtered by reason")
	}
	if page := c.get(t, "/o/queue?to=someone%40receiver.example.test&state=held&customer=shop"); !strings.Contains(page, string(two)) {
		t.Error("a message is not found by its recipient")
	}
	if page := c.get(t, "/o/queue?to=other%40receiver.example.test"); strings.Contains(page, string(two)) {
		t.Error("a message is found by somebody else's address")
	}
	page := c.must(t, "/o/queue/release", url.Values{"id": {string(two)}, "back": {"/o/held"}})
	expect(t, page, "1 message is released")
	c.left(t, journal.Released, "", "message.release", string(two))
	waitFor(t, "the released message", func() bool { return len(g.mx.come) > 0 })

	a := c.ask(t, "POST", "/o/queue/retry", url.Values{"id": {string(one)}})
	if a.status != http.StatusConflict {
		t.Errorf("a held message is retried: %d", a.status)
	}
	c.noted(t, "message.retry", string(one), true)

	sure := c.get(t, "/o/queue/drop?id="+string(one)+"&id="+string(three)+"&back=%2Fo%2Fheld")
	expect(t, sure, "These 2 messages are removed for good")
	page = c.must(t, "/o/queue/drop", url.Values{"id": {string(one), string(three)}, "back": {"/o/held"}})
	expect(t, page, "2 messages are deleted")
	c.left(t, journal.Dropped, "", "message.drop", string(one))
	c.noted(t, "message.drop", string(three), false)
	if a := c.ask(t, "POST", "/o/queue/drop", url.Values{"id": {"nothing"}, "back": {"https://evil.example/"}}); a.status != http.StatusUnprocessableEntity || strings.Contains(a.body, "evil.example") {
		t.Errorf("an act on nothing: %d", a.status)
	}
	page = c.get(t, "/o/messages/"+string(one))
	expect(t, page, "It is not in the spool")
	c.must(t, "/o/queue/retry-all", nil)
	c.noted(t, "queue.retry-all", "queue", false)
}

// TestOperatorPausesALane: with its reason, its facts, and its end.
func TestOperatorPausesALane(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	page := c.must(t, "/o/lanes/pause", url.Values{"lane": {"orange"}, "minutes": {"120"}, "reason": {"their postmaster asked"}})
	expect(t, page, "Orange, Wanadoo · 127.0.0.1", "stands still", "their postmaster asked")
	c.left(t, journal.Tuned, "lane orange 127.0.0.1 paused until", "lane.pause", "orange")
	m := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("nothing to lift")
	}
	page = c.must(t, "/o/lanes/lift", url.Values{"id": {m[1]}, "back": {"/o/lanes/orange%20127.0.0.1"}})
	expect(t, page, "Lifted: Orange", "Nothing is in force", "The last 30 days", "their postmaster asked")
	c.left(t, journal.Tuned, "operator lifted on lane orange", "lane.lift", "orange 127.0.0.1")
	if a := c.ask(t, "POST", "/o/lanes/lift", url.Values{"id": {m[1]}}); a.status != http.StatusConflict {
		t.Errorf("lifted twice: %d", a.status)
	}
	for _, form := range []url.Values{{"lane": {""}, "minutes": {"30"}, "reason": {"x"}}, {"lane": {"orange"}, "minutes": {"7"}, "reason": {"x"}}, {"lane": {"orange"}, "minutes": {"30"}, "reason": {" "}}} {
		if a := c.ask(t, "POST", "/o/lanes/pause", form); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `class="fault"`) {
			t.Errorf("pause with %v: %d", form, a.status)
		}
	}
	page = c.must(t, "/o/lanes/retry", url.Values{"lane": {"orange 127.0.0.1"}})
	expect(t, page, "0 recipients come forward")
	c.left(t, journal.Tuned, "lane orange 127.0.0.1: 0 recipients", "lane.retry", "orange 127.0.0.1")
	if a := c.ask(t, "GET", "/o/lanes/%20", nil); a.status != http.StatusNotFound {
		t.Errorf("a lane without a name: %d", a.status)
	}
}

// TestOperatorKeepsCustomers: add, change, suspend, resume, remove; those of the configuration are changed there.
func TestOperatorKeepsCustomers(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	form := url.Values{"id": {"bakery"}, "name": {"The Bakery"}, "language": {"fr"}, "mode": {"hold"}, "threshold": {"3,5"}, "release_ceiling": {"8"}, "domains": {"bakery.example.test"}, "networks": {"198.51.100.0/24"}, "pool": {"default"}}
	page := c.must(t, "/o/new-customer", form)
	expect(t, page, "The Bakery is added", "bakery.example.test", "198.51.100.0/24", "3.5")
	c.left(t, journal.Tuned, "customer added", "customer.add", "bakery")
	a := c.ask(t, "POST", "/o/new-customer", form)
	if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "There is a customer of this id") {
		t.Errorf("added twice: %d", a.status)
	}
	bad := url.Values{"id": {"No Id"}, "mode": {"hold"}, "language": {"en"}, "threshold": {"99"}, "release_ceiling": {"x"}, "domains": {"com"}, "networks": {"0.0.0.0/0"}, "contact": {"nobody"}}
	if a := c.ask(t, "POST", "/o/new-customer", bad); a.status != http.StatusUnprocessableEntity || strings.Count(a.body, `class="fault"`) < 5 {
		t.Errorf("a customer full of faults: %d, %d faults", a.status, strings.Count(a.body, `class="fault"`))
	}
	bad.Set("threshold", "3")
	bad.Set("release_ceiling", "8")
	bad.Set("domains", "")
	bad.Set("networks", "")
	bad.Set("contact", "")
	if a := c.ask(t, "POST", "/o/new-customer", bad); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "This is no id") {
		t.Errorf("a customer without an id: %d", a.status)
	}
	form.Set("name", "The Bakers")
	expect(t, c.must(t, "/o/customers/bakery/edit", form), "The settings of The Bakers are changed")
	c.left(t, journal.Tuned, "customer changed", "customer.change", "bakery")
	if a := c.ask(t, "POST", "/o/customers/bakery/suspend", url.Values{}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("suspended without a reason: %d", a.status)
	}
	expect(t, c.must(t, "/o/customers/bakery/suspend", url.Values{"reason": {"sends spam"}}), "The Bakers is suspended", "Let this customer send again")
	c.left(t, journal.Tuned, "customer suspended: sends spam", "customer.suspend", "bakery")
	if x, _ := g.Accounts().Customer("bakery"); !x.Suspended {
		t.Error("not suspended")
	}
	c.must(t, "/o/customers/bakery/resume", nil)
	c.left(t, journal.Tuned, "customer may send again", "customer.resume", "bakery")
	if a := c.ask(t, "POST", "/o/customers/bakery/delete", url.Values{"typed": {"baker"}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("removed on a wrong word: %d", a.status)
	}
	c.must(t, "/o/customers/bakery/delete", url.Values{"typed": {"bakery"}})
	c.left(t, journal.Tuned, "customer removed", "customer.delete", "bakery")
	if _, ok := g.Accounts().Customer("bakery"); ok {
		t.Error("still there")
	}
	if a := c.ask(t, "GET", "/o/customers/shop/edit", nil); a.status != http.StatusConflict {
		t.Errorf("a customer of the configuration file is edited: %d", a.status)
	}
	expect(t, c.must(t, "/o/customers/shop/suspend", url.Values{"reason": {"a test"}}), "defined in the configuration file", "suspended")
}

// TestOperatorKeepsTheList: add, find, lift, import and export.
func TestOperatorKeepsTheList(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	c.must(t, "/o/suppression/add", url.Values{"add_address": {"ann@receiver.example.test"}, "add_customer": {"shop"}, "add_note": {"asked by phone"}})
	c.left(t, journal.Listed, "asked by phone", "suppression.add", "ann@receiver.example.test")
	if a := c.ask(t, "POST", "/o/suppression/add", url.Values{"add_address": {"no address"}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("what is no address: %d", a.status)
	}
	file := func(text string) answer {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		f, err := w.CreateFormFile("file", "list.csv")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(text))
		_ = w.WriteField("import_customer", "boutique")
		_ = w.Close()
		req, err := http.NewRequestWithContext(t.Context(), "POST", g.base+"/o/suppression/import", &b)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", w.FormDataContentType())
		req.Header.Set("Cookie", c.cookie)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var body bytes.Buffer
		_, _ = body.ReadFrom(res.Body)
		return answer{res.StatusCode, body.String(), res.Header}
	}
	if a := file("address\nbob@receiver.example.test\nnot one\n"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Line 3") {
		t.Errorf("a file with a fault: %d", a.status)
	}
	if a := file("address\nbob@receiver.example.test\n@gone.example.test\n"); a.status != http.StatusSeeOther {
		t.Errorf("a file: %d %s", a.status, a.body)
	}
	c.left(t, journal.Listed, "import of 2 rows, 2 of them new", "suppression.import", "list.csv")
	if page := c.get(t, "/o/suppression?customer=boutique&own=yes"); !strings.Contains(page, "bob@receiver") || strings.Contains(page, "ann@receiver") {
		t.Error("the list is not filtered by customer")
	}
	if a := c.ask(t, "GET", "/o/suppression/export.csv?customer=boutique&own=yes", nil); a.status != http.StatusOK || !strings.Contains(a.body, "bob@receiver.example.test,boutique") || strings.Contains(a.body, "ann@") {
		t.Errorf("export: %d %s", a.status, a.body)
	}
	page := c.must(t, "/o/suppression/lift", url.Values{"address": {"ann@receiver.example.test"}, "customer": {"shop"}, "why": {"she is back"}, "back": {"/o/suppression?address=ann%40receiver.example.test"}})
	expect(t, page, "is off the list", "Taken off before", "she is back")
	c.left(t, journal.Lifted, "she is back", "suppression.lift", "ann@receiver.example.test")
	if a := c.ask(t, "POST", "/o/suppression/lift", url.Values{"address": {"ann@receiver.example.test"}, "customer": {"shop"}}); a.status != http.StatusConflict {
		t.Errorf("lifted twice: %d", a.status)
	}
}

// TestOperatorSearches: a report that somebody pasted, and a queue number alone.
func TestOperatorSearches(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	id := g.put(t, spool.Message{Subject: "A very particular subject"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5}))
	if page := c.get(t, "/o/messages?text=particular"); !strings.Contains(page, string(id)) {
		t.Error("a message is not found by a word of its subject")
	}
	if a := c.ask(t, "GET", "/o/messages?text="+string(id), nil); a.status != http.StatusSeeOther || !strings.HasSuffix(a.header.Get("Location"), string(id)) {
		t.Errorf("a queue number alone: %d", a.status)
	}
	a := c.ask(t, "POST", "/o/messages/find", url.Values{"report": {"Somebody said that " + string(id) + " never came"}})
	if a.status != http.StatusOK || !strings.Contains(a.body, "A very particular subject") {
		t.Errorf("a report: %d", a.status)
	}
	if a := c.ask(t, "POST", "/o/messages/find", url.Values{"report": {" "}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("an empty report: %d", a.status)
	}
	for _, path := range []string{"/o/messages?after=x", "/o/queue?after=..%2F", "/o/suppression?after=x", "/o/customers?after=%00", "/o/messages?since=yesterday", "/o/messages/x"} {
		if a := c.ask(t, "GET", path, nil); a.status >= 500 {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
}

// TestConfigurationPage: what is set is marked, and a reload without a file is refused in words.
func TestConfigurationPage(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	page := c.get(t, "/o/configuration")
	expect(t, page, "gate.example.test", "postern.yaml:2", "delivery.retry", "Running for")
	expect(t, c.get(t, "/o/configuration?lang=fr&q=autosigné"), "data_dir", "certificat autosigné", "!delivery.retry")
	if few := c.get(t, "/o/configuration?only=own"); strings.Contains(few, "delivery.retry") || !strings.Contains(few, "hostname") {
		t.Error("what is not set is shown among what is")
	}
	if a := c.ask(t, "POST", "/o/configuration/reload", url.Values{}); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "without a configuration file") {
		t.Errorf("reload: %d", a.status)
	}
	c.noted(t, "configuration.reload", "configuration", true)
	if a := c.ask(t, "POST", "/o/alarms/test", url.Values{}); a.status != http.StatusConflict {
		t.Errorf("a test of no webhooks: %d", a.status)
	}
}
