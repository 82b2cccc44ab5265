package portal_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
)

// audited returns the lines of the audit log about a customer and an act, the newest first, as "actor subject failed".
func (g *gateway) audited(t *testing.T, customer, act string) []string {
	t.Helper()
	found, err := g.Users().Entries(t.Context(), user.EntryQuery{Customer: customer, Act: act})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range found.Entries {
		line := e.Actor + " " + e.Subject
		if e.Failed {
			line += " failed"
		}
		out = append(out, line)
	}
	return out
}

// written returns the journal's facts of a kind about a customer, the newest first.
func (g *gateway) written(t *testing.T, customer string, kind journal.Kind) []journal.Fact {
	t.Helper()
	facts, _, err := g.Journal().Search(t.Context(), journal.Query{Customer: customer, Kinds: []journal.Kind{kind}})
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// upload posts a file as a browser does.
func (c *client) upload(t *testing.T, path, reason, file string) answer {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	_ = form.WriteField("for", reason)
	w, err := form.CreateFormFile("file", "list.csv")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(file))
	_ = form.Close()
	return c.send(t, "POST", path, form.FormDataContentType(), b.Bytes())
}

// send posts any body.
func (c *client) send(t *testing.T, method, path, kind string, body []byte) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.g.base+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", c.g.ip)
	req.Header.Set("Cookie", c.cookie)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var text bytes.Buffer
	_, _ = text.ReadFrom(res.Body)
	return answer{res.StatusCode, text.String(), res.Header}
}

var light = verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5, Args: map[string]string{"Domain": "shop.example.test", "IP": "127.0.0.1"}})

// TestHeldList: who sees, who acts, what is written down, and that nobody reaches another's mail.
func TestHeldList(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin, reader, other := g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.CustomerReader, "shop"), g.as(t, user.CustomerAdmin, "boutique")
	operator := g.as(t, user.Operator, "")
	expect(t, admin.get(t, "/c/shop/held"), "No message is held", "!<table")
	a, b, c := g.put(t, spool.Message{Subject: "first", HeaderFrom: "news@shop.example.test"}, light), g.put(t, spool.Message{Subject: "second"}, light), g.put(t, spool.Message{Subject: "third"}, light)
	foreign := g.put(t, spool.Message{Subject: "not yours", Customer: "boutique", HeaderFrom: "moi@boutique.example.test"}, light)
	at := "/c/shop/held"

	page := admin.get(t, at)
	expect(t, page, "SPF forbids this gateway to send", "first", "second", "3.5", string(a), "up to a score of 8", "Delete…", "!not yours", "!secret text", `href="/c/shop/messages/`+string(a)+`"`)
	expect(t, admin.get(t, at+"?lang=fr"), "Messages retenus", "Raison principale", "Contrôler à nouveau")
	expect(t, reader.get(t, at), "first", "!<button class=\"button\">", "!checkbox")
	expect(t, operator.get(t, at), "as an operator", "first")

	for _, x := range []struct {
		name   string
		client *client
		path   string
		form   url.Values
		want   int
	}{
		{"reader releases", reader, at + "/release", url.Values{"id": {string(a)}}, 404},
		{"another customer's list", other, at, nil, 404},
		{"another customer's message in a selection", admin, at + "/release", url.Values{"id": {string(a), string(foreign)}}, 404},
		{"another customer's message to test", admin, at + "/retest", url.Values{"id": {string(foreign)}}, 404},
		{"another customer's message to delete", admin, at + "/delete", url.Values{"id": {string(foreign)}}, 404},
		{"no message", admin, at + "/release", url.Values{}, 422},
		{"no queue ID", admin, at + "/release", url.Values{"id": {"x"}}, 404},
	} {
		method := "POST"
		if x.form == nil {
			method = "GET"
		}
		if got := x.client.ask(t, method, x.path, x.form); got.status != x.want {
			t.Errorf("%s: %d, want %d", x.name, got.status, x.want)
		}
	}
	if got := admin.ask(t, "GET", at+"/delete?id="+string(foreign), nil); got.status != 404 {
		t.Errorf("asking about another's message: %d", got.status)
	}
	if w, err := g.Spool().Get(t.Context(), foreign); err != nil || !w.Held {
		t.Fatalf("the other customer's message was touched: %v", err)
	}

	expect(t, admin.get(t, at+"/delete?id="+string(a)+"&id="+string(b)), "Delete 2 messages?", "for good", `value="`+string(a)+`"`)
	if _, err := g.Spool().Get(t.Context(), a); err != nil {
		t.Fatal("asking deleted it")
	}
	expect(t, admin.must(t, at+"/delete", url.Values{"id": {string(a), string(b)}}), "2 messages were deleted")
	if got := g.audited(t, "shop", "message.drop"); len(got) < 2 || !strings.Contains(strings.Join(got, "\n"), string(a)) || !strings.Contains(strings.Join(got, "\n"), string(b)) {
		t.Errorf("audit log: %q", got)
	}
	if dropped := g.written(t, "shop", journal.Dropped); len(dropped) != 2 || dropped[0].Actor != "user:"+admin.user.ID {
		t.Errorf("journal: %+v", dropped)
	}
	expect(t, admin.must(t, at+"/retest", url.Values{"id": {string(c)}}), "tested again")
	if got := admin.ask(t, "POST", at+"/retest", url.Values{"id": {string(c)}}); got.status != 409 || !strings.Contains(got.body, "wait five seconds") {
		t.Errorf("tested twice in a moment: %d", got.status)
	}
	// boutique may not release by itself; the operator may, from the customer's page.
	at = "/c/boutique/held"
	if got := other.ask(t, "POST", at+"/release?lang=fr", url.Values{"id": {string(foreign)}}); got.status != 409 || !strings.Contains(got.body, "seul l") {
		t.Errorf("released against the contract: %d", got.status)
	}
	expect(t, operator.must(t, at+"/release", url.Values{"id": {string(foreign)}}), "1 message was released")
	if got := g.written(t, "boutique", journal.Released); len(got) != 1 || got[0].Actor != "operator:"+operator.user.ID {
		t.Errorf("journal: %+v", got)
	}
	if got := g.audited(t, "boutique", "message.release"); len(got) != 2 || strings.HasSuffix(got[0], "failed") || !strings.HasSuffix(got[1], "failed") {
		t.Errorf("audit log: %q", got)
	}
}

// TestMessagePage: the page of a message for a user, a reader and an operator; its text on demand; its acts.
func TestMessagePage(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin, reader, other := g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.CustomerReader, "shop"), g.as(t, user.CustomerAdmin, "boutique")
	operator := g.as(t, user.Operator, "")
	id := g.put(t, spool.Message{Subject: "Your order", HeaderFrom: "news@shop.example.test", MessageID: "<77@shop.example.test>"}, light)
	at := "/c/shop/messages/" + string(id)

	expect(t, admin.get(t, at), ">Held<", "Your order", "Release the message", "Show the message itself", "/help/tests/SPF_FAIL", "Ask the operator", `action="`+at+`/retest"`, "!secret text")
	expect(t, admin.get(t, at+"?lang=fr"), "Retenu", "Libérer le message", "En savoir plus")
	expect(t, reader.get(t, at), "You may read this message but not act", "!<form method=\"post\" action=\"/c/shop", "!Show the message itself")
	expect(t, operator.get(t, at), "Release the message", "!Ask the operator")
	for _, path := range []string{at, at + "/text", at + "/message.eml", "/c/boutique/messages/" + string(id), "/c/boutique/messages/" + string(id) + "/text", "/c/boutique/messages/" + string(id) + "/message.eml"} {
		if a := other.ask(t, "GET", path, nil); a.status != 404 || strings.Contains(a.body, "order") {
			t.Errorf("another customer opens %s: %d", path, a.status)
		}
	}
	for _, act := range []string{"retest", "release", "drop", "allow", "withdraw", "ask"} {
		for c, path := range map[*client]string{other: "/c/boutique/messages/" + string(id) + "/" + act, reader: at + "/" + act} {
			if a := c.ask(t, "POST", path, url.Values{"question": {"?"}}); a.status != 404 {
				t.Errorf("%s by %s: %d", act, c.user.Role, a.status)
			}
		}
	}
	if a := reader.ask(t, "GET", at+"/text", nil); a.status != 404 {
		t.Errorf("a reader opens the text: %d", a.status)
	}

	expect(t, admin.get(t, at+"/text"), "A secret text that no page may show", "news@shop.example.test", "Download the message")
	if got := g.audited(t, "shop", "message.read"); len(got) != 1 || got[0] != "user:"+admin.user.ID+" "+string(id) {
		t.Errorf("reading is not in the audit log: %q", got)
	}
	file := admin.ask(t, "GET", at+"/message.eml", nil)
	if file.status != 200 || file.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment; filename=\""+string(id)) ||
		!strings.Contains(file.header.Get("Content-Security-Policy"), "sandbox") || !strings.Contains(file.body, "secret text") {
		t.Errorf("file: %d %v", file.status, file.header)
	}

	if a := admin.ask(t, "POST", at+"/ask", url.Values{"question": {" "}}); a.status != 422 || !strings.Contains(a.body, "Write your question") {
		t.Errorf("empty question: %d", a.status)
	}
	expect(t, admin.must(t, at+"/ask", url.Values{"question": {"Why?"}}), "Your question was sent")
	if asked := g.written(t, "shop", journal.Asked); len(asked) != 1 || asked[0].Actor != "user:"+admin.user.ID || asked[0].Text != "Why?" {
		t.Errorf("journal: %+v", asked)
	}
	expect(t, admin.must(t, at+"/allow", nil), "Mail from this address is allowed")
	expect(t, admin.get(t, "/c/shop/allow"), "news@shop.example.test")
	expect(t, admin.must(t, at+"/withdraw", nil), "no longer allowed")
	expect(t, admin.must(t, at+"/release", nil), "You released the message", "Released from this page")
	<-g.mx.come
	waitFor(t, "delivery", func() bool { return strings.Contains(admin.get(t, at), ">Delivered<") })
	if a := admin.ask(t, "POST", at+"/drop", url.Values{}); a.status != 409 {
		t.Errorf("deleted after delivery: %d", a.status)
	}
	if a := admin.ask(t, "GET", at+"/text", nil); a.status != 404 {
		t.Errorf("the text of a delivered message: %d", a.status)
	}
	for _, act := range []string{"message.ask", "message.allow", "message.withdraw", "message.release"} {
		if got := g.audited(t, "shop", act); len(got) == 0 || !strings.Contains(got[0], string(id)) {
			t.Errorf("%s is not in the audit log: %q", act, got)
		}
	}

	list := admin.get(t, "/c/shop/messages")
	expect(t, list, "Your order", "Delivered", "mx.example.test", "Report a problem")
	for q, found := range map[string]bool{"someone@receiver.example.test": true, "order": true, string(id): true, "<77@shop.example.test>": true, "nothing like it": false, "nobody@example.test": false} {
		if page := admin.get(t, "/c/shop/messages?q="+url.QueryEscape(q)); strings.Contains(page, at) != found {
			t.Errorf("search for %q: found %v, want %v", q, !found, found)
		}
	}
	if page := other.get(t, "/c/boutique/messages?q="+url.QueryEscape(string(id))); strings.Contains(page, string(id)+`"`) && strings.Contains(page, "Your order") {
		t.Error("another customer finds it")
	}
	expect(t, admin.get(t, "/c/shop/messages?kind=delivered&from=2026-01-01"), "Your order")
	expect(t, admin.get(t, "/c/shop/messages?kind=bounced"), "!Your order")
	if a := admin.ask(t, "GET", "/c/shop/messages?from=yesterday", nil); a.status != 422 || !strings.Contains(a.body, `aria-invalid="true"`) {
		t.Errorf("bad date: %d", a.status)
	}
	found := admin.ask(t, "POST", "/c/shop/messages/find", url.Values{"report": {"someone@receiver.example.test says that <77@shop.example.test> never came"}})
	expect(t, found.body, "Your order", "this one")
	if lost := other.ask(t, "POST", "/c/boutique/messages/find", url.Values{"report": {string(id)}}); lost.status != 200 || strings.Contains(lost.body, "Your order") {
		t.Errorf("another customer's report: %d", lost.status)
	}
	if a := admin.ask(t, "POST", "/c/shop/messages/find", url.Values{"report": {" "}}); a.status != 422 {
		t.Errorf("empty report: %d", a.status)
	}
	if a := admin.ask(t, "POST", "/c/shop/messages/find", url.Values{"report": {strings.Repeat("x", 200_000)}}); a.status != 413 {
		t.Errorf("report of 200 kB: %d", a.status)
	}
}

// hostileText is what must stand escaped on every page.
const hostileText = `"><script>alert(1)</script><img src=x onerror=alert(2)>` + "\u202e'"

// unsafe finds markup that must never come from data.
var unsafe = regexp.MustCompile(`<script>alert|<img src=x|onerror=alert\(2\)>|` + "\u202e")

// TestHostileSender: what comes from mail, servers, files and people stands as text on every page.
func TestHostileSender(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin := g.as(t, user.CustomerAdmin, "shop")
	evil := hostileText
	v := verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5, Args: map[string]string{"Domain": evil}, Evidence: []string{evil}}, filter.Hit{Test: evil, Points: 1})
	id := g.put(t, spool.Message{Subject: evil, HeaderFrom: evil, MessageID: evil}, v)
	if err := g.Journal().Append(t.Context(), journal.Fact{Kind: journal.Deferred, QueueID: id, Customer: "shop", Recipient: evil, Host: evil, Code: 451, Text: evil, NextAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	letter := spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(time.Hour), Held: true, HoldReason: "operator", HoldUntil: now.Add(time.Hour), Subject: evil,
		Envelope: mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@receiver.example.test")}}}}
	letter.Body = []byte("From: " + evil + "\r\nSubject: " + evil + "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>only html</p><script>alert(1)</script>\r\n--b\r\nContent-Type: text/plain; name=\"x\"\r\nContent-Disposition: attachment; filename=\"" +
		`<img src=x onerror=alert(2)>.txt` + "\"\r\n\r\nfile\r\n--b\r\nContent-Type: text/plain\r\n\r\n" + evil + "\r\n--b--\r\n")
	letter.Size = int64(len(letter.Body))
	if err := g.Spool().Put(t.Context(), &letter); err != nil {
		t.Fatal(err)
	}
	if err := g.Journal().Append(t.Context(), journal.Fact{Kind: journal.Held, QueueID: letter.ID, Customer: "shop", Subject: evil, Actor: "operator:" + evil, Text: evil}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Suppression().AddAll(t.Context(), []suppression.Entry{{Customer: "shop", Address: mail.Address{Local: "<b>x", Domain: "example.org"}, Reason: suppression.UnknownUser, By: "rule", Note: evil,
		Evidence: suppression.Evidence{Code: 550, Enhanced: "5.1.1", Text: evil, Host: evil, QueueID: id}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Accounts().AddEntry(t.Context(), account.Entry{Scope: "shop", Kind: account.Deny, What: account.WhatCredential, Value: evil[:40], Note: evil[:50], By: "operator:x"}); err != nil {
		t.Fatal(err)
	}
	q := url.QueryEscape(evil)
	for _, path := range []string{"/held", "/held/delete?id=" + string(id), "/messages", "/messages?q=" + q, "/messages?q=alert&kind=" + q + "&from=" + q + "&cursor=", "/messages/" + string(id), "/messages/" + string(letter.ID), "/messages/" + string(letter.ID) + "/text",
		"/suppression", "/suppression?q=" + q + "&reason=" + q, "/suppression/address?address=" + url.QueryEscape(`"<b>x"@example.org`), "/allow", "/providers", "/settings", "/trust?address=" + q + "&domain=" + q + "&for=" + q + "&part=" + q} {
		for _, lang := range []string{"en", "fr"} {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			a := admin.ask(t, "GET", "/c/shop"+path+sep+"lang="+lang, nil)
			if a.status >= 500 || a.status == 404 {
				t.Errorf("%s: %d", path, a.status)
			}
			if m := unsafe.FindString(a.body); m != "" {
				t.Errorf("%s: %q comes through", path, m)
			}
			if m := untranslated.FindString(a.body); m != "" && !strings.Contains(path, "kind=") {
				t.Errorf("%s (%s): text is missing: %q", path, lang, m)
			}
		}
	}
	for path, form := range map[string]url.Values{
		"/messages/find": {"report": {evil}}, "/suppression/add": {"address": {evil}, "as": {evil}, "until": {evil}, "note": {evil}}, "/suppression/lift": {"address": {evil}, "why": {evil}},
		"/allow/add": {"what": {evil}, "value": {evil}, "until": {evil}, "note": {evil}}, "/allow/remove": {"what": {evil}, "value": {evil}}, "/messages/" + string(id) + "/ask": {"question": {evil + strings.Repeat("x", 1000)}},
		"/settings": {"contact": {evil}, "language": {evil}}, "/held/release": {"id": {evil}},
	} {
		a := admin.ask(t, "POST", "/c/shop"+path, form)
		if a.status >= 500 {
			t.Errorf("POST %s: %d", path, a.status)
		}
		if m := unsafe.FindString(a.body); m != "" {
			t.Errorf("POST %s: %q comes through", path, m)
		}
	}
	a := admin.upload(t, "/c/shop/suppression/import", evil, "address,"+evil+"\n"+evil+",x\n")
	if m := unsafe.FindString(a.body); a.status != 422 || m != "" {
		t.Errorf("import: %d, %q comes through", a.status, m)
	}
}

// TestSuppressionPages: looked at, added, lifted, imported and exported, each written down; another customer's entries are not there.
func TestSuppressionPages(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin, reader, other := g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.CustomerReader, "shop"), g.as(t, user.CustomerAdmin, "boutique")
	add := func(customer, local string, r suppression.Reason, by string) {
		if _, err := g.Suppression().AddAll(t.Context(), []suppression.Entry{{Customer: customer, Address: mail.Address{Local: local, Domain: "example.org"}, Reason: r, By: by, Note: "noted by " + by[:4],
			Evidence: suppression.Evidence{Code: 550, Text: "550 5.1.1 no such user", Host: "mx.example.org"}}}); err != nil {
			t.Fatal(err)
		}
	}
	add("shop", "gone", suppression.UnknownUser, "rule")
	add("shop", "stopped", suppression.ByOperator, "operator:anna")
	add("boutique", "theirs", suppression.Complaint, "recipient")
	add("", "nobody", suppression.UnknownUser, "operator:bert")
	at := "/c/shop/suppression"
	show := func(address string) string { return at + "/address?address=" + url.QueryEscape(address) }

	page := admin.get(t, at)
	expect(t, page, "gone@example.org", "stopped@example.org", "No such recipient", "!theirs", "!nobody@", "Import a list")
	expect(t, admin.get(t, at+"?lang=fr"), "Adresses écartées", "Destinataire inexistant")
	expect(t, reader.get(t, at), "gone@example.org", "!Import a list")
	expect(t, admin.get(t, at+"?reason=operator"), "stopped@example.org", "!gone@example.org")
	expect(t, admin.get(t, at+"?q=example.org"), "gone@example.org")
	expect(t, admin.get(t, at+"?q=example.net"), "No address of the list fits")
	if a := admin.ask(t, "GET", at+"?q=gone@example.org", nil); a.status != 303 || !strings.Contains(a.header.Get("Location"), "address=gone%40example.org") {
		t.Errorf("search for an address: %d %s", a.status, a.header.Get("Location"))
	}
	expect(t, admin.get(t, show("gone@example.org")), "550 5.1.1 no such user", "Write to it again", "comes back onto this list", "noted by rule")
	expect(t, admin.get(t, show("nobody@example.org")), "Only the operator can lift it", "!bert", "!Write to it again")
	expect(t, admin.get(t, show("stopped@example.org")), "only he can lift it", "!anna@", "!<form method=\"post\" action=\"/c/shop/suppression/lift")
	expect(t, admin.get(t, show("theirs@example.org")), "is not on the list", "!spam")
	expect(t, reader.get(t, show("gone@example.org")), "!Write to it again")

	expect(t, admin.must(t, at+"/add", url.Values{"address": {"Ann@Example.net"}, "as": {"unsubscribed"}, "until": {time.Now().AddDate(0, 1, 0).Format(time.DateOnly)}, "note": {"by phone"}}), "is not written to from now on", "Unsubscribed", "by phone", "your organisation")
	if got := g.written(t, "shop", journal.Listed); len(got) != 1 || got[0].Recipient != "ann@example.net" || got[0].Actor != "user:"+admin.user.ID {
		t.Errorf("journal: %+v", got)
	}
	for _, bad := range []url.Values{{"address": {"no address"}, "as": {"sender"}}, {"address": {"x@example.org"}, "as": {"operator"}}, {"address": {"x@example.org"}, "as": {"sender"}, "until": {"2020-01-01"}}, {"address": {"x@example.org"}, "as": {"sender"}, "note": {strings.Repeat("é", 150)}}} {
		if a := admin.ask(t, "POST", at+"/add", bad); a.status != 422 || !strings.Contains(a.body, `aria-invalid="true"`) {
			t.Errorf("%v: %d", bad, a.status)
		}
	}
	expect(t, admin.must(t, at+"/add", url.Values{"address": {"stopped@example.org"}, "as": {"sender"}}), "on the list already")
	if a := admin.ask(t, "POST", at+"/lift", url.Values{"address": {"stopped@example.org"}}); a.status != 403 {
		t.Errorf("lifted what an operator put there: %d", a.status)
	}
	for _, address := range []string{"theirs@example.org", "nobody@example.org", "never@example.org"} {
		if a := admin.ask(t, "POST", at+"/lift", url.Values{"address": {address}}); a.status != 404 {
			t.Errorf("lifted %s: %d", address, a.status)
		}
	}
	for _, path := range []string{"/add", "/lift", "/import"} {
		if a := reader.ask(t, "POST", at+path, url.Values{"address": {"gone@example.org"}}); a.status != 404 {
			t.Errorf("a reader does %s: %d", path, a.status)
		}
		if a := other.ask(t, "POST", at+path, url.Values{"address": {"gone@example.org"}}); a.status != 404 {
			t.Errorf("another customer does %s: %d", path, a.status)
		}
	}
	expect(t, admin.must(t, at+"/lift", url.Values{"address": {"gone@example.org"}, "why": {"mailbox is back"}}), "is written to again", "Taken off before", "mailbox is back")
	if got := g.written(t, "shop", journal.Lifted); len(got) != 1 || !strings.Contains(got[0].Text, "mailbox is back") {
		t.Errorf("journal: %+v", got)
	}
	for act, subject := range map[string]string{"suppression.add": "stopped@example.org", "suppression.lift": "gone@example.org"} {
		if got := g.audited(t, "shop", act); len(got) == 0 || !strings.Contains(got[0], subject) || strings.HasSuffix(got[0], "failed") {
			t.Errorf("%s: %q", act, got)
		}
	}

	// A file with one wrong row changes nothing.
	before := len(g.listed(t, "shop"))
	a := admin.upload(t, at+"/import", "unsubscribed", "address,until\nok@example.org,\nnot an address,\nlate@example.org,someday\n")
	if a.status != 422 || len(g.listed(t, "shop")) != before {
		t.Errorf("bad file: %d, %d entries, had %d", a.status, len(g.listed(t, "shop")), before)
	}
	expect(t, a.body, "Line 3:", "not an address", "Line 4:", "someday", "Nothing was changed")
	for name, file := range map[string]string{"another's": "address,customer\nx@example.org,boutique\n", "unknown column": "address,colour\nx@example.org,red\n", "empty": "", "quotes": "address\n\"x@example.org\n", "control": "address\n\"a\x01b@example.org\"\n"} {
		if a := admin.upload(t, at+"/import", "sender", file); a.status != 422 || len(g.listed(t, "shop")) != before {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if a := admin.upload(t, at+"/import", "sender", strings.Repeat("someone@example.org\n", 300_000)); a.status != 413 {
		t.Errorf("6 MB: %d", a.status)
	}
	if a := admin.send(t, "POST", at+"/import", "text/plain", []byte("x@example.org")); a.status != 400 {
		t.Errorf("no form: %d", a.status)
	}
	var rows strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&rows, "user%d@example.net\n", i)
	}
	if a := admin.upload(t, at+"/import", "unsubscribed", "email,by,reason\nformer@example.net,operator:evil,operator\n"); a.status != 303 {
		t.Errorf("import: %d\n%s", a.status, a.body)
	}
	if a := admin.upload(t, at+"/import", "unsubscribed", rows.String()); a.status != 303 || len(g.listed(t, "shop")) != before+6001 {
		t.Errorf("import of 6,000: %d, %d entries", a.status, len(g.listed(t, "shop")))
	}
	for _, e := range g.listed(t, "shop") {
		if e.Address.Local == "former" && (e.By != "sender:"+admin.user.ID || e.Reason != suppression.BySender) {
			t.Errorf("written in an operator's name: %+v", e)
		}
	}
	file := admin.ask(t, "GET", at+"/export.csv", nil)
	expect(t, file.body, "address,customer", "stopped@example.org", "user5999@example.net", "!anna", "!theirs", "!nobody@")
	if !strings.HasPrefix(file.header.Get("Content-Disposition"), "attachment") || strings.Count(file.body, "\n") != before+6002 {
		t.Errorf("export: %v, %d lines", file.header, strings.Count(file.body, "\n"))
	}
	if a := other.ask(t, "GET", at+"/export.csv", nil); a.status != 404 {
		t.Errorf("another customer exports: %d", a.status)
	}
	if a := admin.ask(t, "GET", at+"?cursor=%00", nil); a.status != 404 {
		t.Errorf("forged cursor: %d", a.status)
	}
}

// listed are a customer's own entries.
func (g *gateway) listed(t *testing.T, customer string) (all []suppression.Entry) {
	t.Helper()
	q := suppression.Query{Customer: customer, Own: true, Limit: 5000}
	for {
		page, next, err := g.Suppression().List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, page...); next == "" {
			return all
		}
		q.Cursor = next
	}
}

// TestAllowAndSettings: own entries within their bounds, settings of customers of the file and of the database.
func TestAllowAndSettings(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin, other := g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.CustomerAdmin, "boutique")
	at, until := "/c/shop/allow", time.Now().AddDate(0, 2, 0).Format(time.DateOnly)
	expect(t, admin.get(t, at), "You allow nothing yet", "up to a score of 8", "Allow a sender or recipient")
	expect(t, other.get(t, "/c/boutique/allow?lang=fr"), "réserve la libération", "!Autoriser un expéditeur ou")
	if a := other.ask(t, "POST", "/c/boutique/allow/add", url.Values{"what": {"to"}, "value": {"x@example.org"}, "until": {until}}); a.status != 403 {
		t.Errorf("an entry without effect was taken: %d", a.status)
	}
	for _, bad := range []url.Values{
		{"what": {"from"}, "value": {"someone@elsewhere.test"}, "until": {until}}, {"what": {"client"}, "value": {"192.0.2.1"}, "until": {until}}, {"what": {"to-domain"}, "value": {"com"}, "until": {until}},
		{"what": {"from"}, "value": {"nonsense"}, "until": {until}}, {"what": {"to"}, "value": {"x@example.org"}}, {"what": {"to"}, "value": {"x@example.org"}, "until": {"2099-01-01"}},
	} {
		if a := admin.ask(t, "POST", at+"/add", bad); a.status != 422 || !strings.Contains(a.body, `aria-invalid="true"`) {
			t.Errorf("%v: %d", bad, a.status)
		}
	}
	expect(t, admin.must(t, at+"/add", url.Values{"what": {"from"}, "value": {"Reports@Shop.example.test"}, "until": {until}, "note": {"nightly"}}), "reports@shop.example.test is allowed", "nightly", "Remove")
	if got := g.written(t, "shop", journal.Tuned); len(got) != 1 || got[0].Actor != "user:"+admin.user.ID {
		t.Errorf("journal: %+v", got)
	}
	if a := other.ask(t, "POST", "/c/boutique/allow/remove", url.Values{"what": {"from"}, "value": {"reports@shop.example.test"}}); a.status != 404 || len(g.Accounts().EntriesOf("shop")) != 1 {
		t.Errorf("another customer removes it: %d", a.status)
	}
	expect(t, admin.must(t, at+"/remove", url.Values{"what": {"from"}, "value": {"reports@shop.example.test"}}), "allowed no longer", "You allow nothing yet")
	if got := g.audited(t, "shop", "allow.remove"); len(got) != 1 {
		t.Errorf("audit log: %q", got)
	}

	expect(t, admin.get(t, "/c/shop/settings"), "configuration file", "owner@shop.example.test", "!name=\"contact\"")
	if a := admin.ask(t, "POST", "/c/shop/settings", url.Values{"contact": {"x@shop.example.test"}, "language": {"fr"}}); a.status != 409 {
		t.Errorf("changed what stands in the file: %d", a.status)
	}
	if err := g.Accounts().PutCustomer(t.Context(), account.Customer{ID: "atelier", Name: "L'Atelier", Language: "fr", Domains: []mail.Domain{"atelier.example.test"}, Contact: address(t, "moi@atelier.example.test")}); err != nil {
		t.Fatal(err)
	}
	owner, reader := g.as(t, user.CustomerAdmin, "atelier"), g.as(t, user.CustomerReader, "atelier")
	at = "/c/atelier/settings"
	expect(t, owner.get(t, at), `value="moi@atelier.example.test"`, "Save")
	expect(t, reader.get(t, at), "moi@atelier.example.test", "!Save")
	if a := reader.ask(t, "POST", at, url.Values{"contact": {"thief@example.org"}, "language": {"en"}}); a.status != 404 {
		t.Errorf("a reader changes settings: %d", a.status)
	}
	if a := owner.ask(t, "POST", at, url.Values{"contact": {"nonsense"}, "language": {"fr"}}); a.status != 422 {
		t.Errorf("bad contact: %d", a.status)
	}
	expect(t, owner.must(t, at, url.Values{"contact": {"nous@atelier.example.test"}, "language": {"en"}, "replies": {"yes"}}), "settings are saved", "nous@atelier.example.test")
	c, _ := g.Accounts().Customer("atelier")
	if c.Contact.String() != "nous@atelier.example.test" || c.Language != "en" || c.DropAutoReplies || len(c.Domains) != 1 || c.SelfRelease {
		t.Errorf("customer: %+v", c)
	}
	if got := g.audited(t, "atelier", "settings.change"); len(got) == 0 || strings.HasSuffix(got[0], "failed") {
		t.Errorf("audit log: %q", got)
	}
}

// TestTrustAndHelp: the text for recipients, results by provider, and every public page in both languages.
func TestTrustAndHelp(t *testing.T) {
	t.Parallel()
	g := start(t)
	admin := g.as(t, user.CustomerAdmin, "shop")
	expect(t, admin.get(t, "/c/shop/trust"), "owner@shop.example.test", "Safe senders", "dmarc=pass", "Open as a new message", "mailto:?subject=", "The Shop")
	expect(t, admin.get(t, "/c/shop/trust?address=news@shop.example.test&for=fr&part=gmail"), "Help my recipients", "Ne jamais envoyer dans le dossier Spam", `lang="fr"`, "news@shop.example.test", "!Safe senders", "&amp;body=")
	if a := admin.ask(t, "GET", "/c/shop/trust?address=me@gmail.com", nil); a.status != 422 || !strings.Contains(a.body, "not of one of your domains") {
		t.Errorf("somebody else's address: %d", a.status)
	}
	file := admin.ask(t, "GET", "/c/shop/trust/text.txt?address=news@shop.example.test&for=en", nil)
	if file.status != 200 || !strings.HasPrefix(file.header.Get("Content-Type"), "text/plain") || !strings.Contains(file.body, "news@shop.example.test") || strings.Contains(strings.ReplaceAll(file.body, "\r\n", ""), "\n") {
		t.Errorf("file: %d %v", file.status, file.header)
	}
	expect(t, admin.get(t, "/c/shop/providers"), "Gmail", "La Poste", "/help/providers/orange", "Nothing was sent there")

	g.ip = "203.0.113.77"
	for _, lang := range []string{"en", "fr"} {
		for _, path := range []string{"/help/tests", "/help/providers", "/help/sender", "/help/tests/SPF_FAIL", "/help/tests/GTUBE", "/help/providers/free", "/help/providers/microsoft", "/help/providers/orange", "/help/providers/sfr"} {
			expect(t, g.get(t, path+"?lang="+lang), `lang="`+lang+`"`, "<h1>", "!shop.example.test")
		}
	}
	expect(t, g.get(t, "/help/providers/free?lang=fr"), "Free bloque une adresse", "2 connexions à la fois", "postmaster.free.fr", "Too many spams from your IP")
	expect(t, g.get(t, "/help/tests/SPF_FAIL?lang=fr"), "ip4:127.0.0.1", "example.org", "3,5")
	g.ip = "203.0.113.78"
	for _, path := range []string{"/help/tests/NOTHING", "/help/providers/default", "/help/providers/nobody", "/help/tests/%2e%2e"} {
		if a := g.ask(t, "GET", path, nil); a.status != 404 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	// Every test that a hit can link to has its page.
	for i, x := range filter.Tests() {
		if i%200 == 199 { // requests are limited for each user
			admin = g.as(t, user.CustomerReader, "shop")
		}
		if a := admin.ask(t, "GET", "/help/tests/"+x.Name+"?lang=fr", nil); a.status != 200 || untranslated.MatchString(a.body) {
			t.Errorf("%s: %d %q", x.Name, a.status, untranslated.FindString(a.body))
		}
	}
}
