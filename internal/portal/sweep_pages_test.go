package portal_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"postern/internal/account"
	"postern/internal/alarm"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/webhook"
)

// poisoned is a customer whose every text that others can choose is hostile: in his mail, in answers about it, in names, notes and in what DNS says.
func poisoned(t *testing.T, w *world) *things {
	t.Helper()
	ctx, g := t.Context(), w.gateway
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	x := own(t, g, "poison", "zqpoison")
	c, _ := g.Accounts().Customer("poison")
	c.Name = evil[:100]
	if err := g.Accounts().PutCustomer(ctx, c); err != nil {
		c.Name = strings.ReplaceAll(strings.Map(func(r rune) rune {
			if r < ' ' {
				return -1
			}
			return r
		}, evil[:100]), "\u202e", "")
		must(g.Accounts().PutCustomer(ctx, c))
	}
	now := time.Now()
	args := map[string]string{}
	for _, k := range []string{"Domain", "IP", "Record", "Suggested", "Hello", "Name", "Why", "URL", "List", "Target", "Title", "Subject", "What", "Tag", "Date", "Zone", "Sender", "Policy", "Domains", "Found", "Now", "PolicyDomain"} {
		args[k] = evil[len(evil)-60:]
	}
	hits := []filter.Hit{{Test: "SPF_FAIL", Points: 3.5, Args: args, Evidence: []string{evil, evil}}, {Test: evil, Points: 1, Evidence: []string{evil}, Args: map[string]string{evil: evil}}}
	for i, test := range filter.Tests() {
		if i%9 == 0 {
			hits = append(hits, filter.Hit{Test: test.Name, Points: 1, Args: args, Evidence: []string{evil}})
		}
	}
	v := verdict(hits...)
	v.Unknown = []filter.Unknown{{Test: evil, Why: evil}}
	x.held = g.put(t, spool.Message{Customer: "poison", Subject: evil, HeaderFrom: evil, MessageID: evil, Hello: evil}, v)
	body := "Received: from " + evil + " (" + evil + ")\r\nFrom: " + evil + " <news@zqpoison.example.test>\r\nTo: " + evil + "\r\nCc: =?utf-8?B?PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PuKArg==?= <x@y.example>\r\nSubject: =?iso-2022-jp?B?GyRCPHNjcmlwdD4bKEI=?= " + evil +
		"\r\nMessage-ID: <" + evil + ">\r\nDate: " + evil + "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-7\r\n\r\n+ADw-script+AD4-alert(1)+ADw-/script+AD4-<zqx>" + evil +
		"\r\n--b\r\nContent-Type: text/plain; name=\"" + evil + "\"\r\nContent-Disposition: attachment; filename*=utf-8''%3Czqx%3E%0d%0aX-Evil:%201.html\r\n\r\nx\r\n--b\r\nContent-Type: text/plain; charset=\"" + evil + "\"\r\n\r\n" + evil + "\r\n--b--\r\n"
	letter := spool.Message{ID: mail.NewQueueID(now), Customer: "poison", Received: now, Expires: now.Add(time.Hour), Held: true, HoldReason: "operator", HoldUntil: now.Add(time.Hour), Subject: evil, HeaderFrom: evil, MessageID: evil, Hello: evil, Body: []byte(body), Size: int64(len(body)),
		Envelope: mail.Envelope{ReversePath: address(t, "news@zqpoison.example.test"), Recipients: []mail.Recipient{{Address: mail.Address{Local: "<zqx>", Domain: "zqpoison.example.org"}}}}}
	must(g.Spool().Put(ctx, &letter))
	for _, id := range []mail.QueueID{x.held, letter.ID} {
		for _, k := range []journal.Kind{journal.Accepted, journal.Held, journal.Attempt, journal.Delivered, journal.Deferred, journal.Bounced, journal.Expired, journal.Notified, journal.DSN, journal.Asked, journal.Retested, journal.Released, journal.Complaint, journal.Tuned, journal.Kind(evil)} {
			_ = g.Journal().Append(ctx, journal.Fact{Kind: k, QueueID: id, Customer: "poison", HeaderFrom: evil, Recipient: evil, Subject: evil, MessageID: evil, Host: evil, Text: evil, Enhanced: evil, Actor: evil, Provider: evil, Lane: evil, Rule: evil, Code: 550, NextAt: now}) // what breaks the contract may be refused
		}
	}
	_, err := g.Suppression().AddAll(ctx, []suppression.Entry{
		{Customer: "poison", Address: mail.Address{Local: "<zqx>", Domain: "zqpoison.example.org"}, Reason: suppression.UnknownUser, By: "operator:" + evil, Note: evil, Evidence: suppression.Evidence{Text: evil, Host: evil, Enhanced: evil, Rule: evil, Provider: evil}},
		{Address: mail.Address{Local: "<zqy>", Domain: "zqpoison.example.org"}, Reason: suppression.UnknownUser, By: "operator:" + evil, Note: evil, Evidence: suppression.Evidence{Text: evil, Host: evil}}})
	must(err)
	_, _ = g.Accounts().AddEntry(ctx, account.Entry{Scope: "poison", Own: true, Kind: account.Allow, What: account.WhatCredential, Value: evil[:40], Note: evil[:60], By: "operator:" + evil[:20]})
	_, _, _ = g.Accounts().AddCredential(ctx, "poison", evil[:60])
	_, _ = g.Webhooks().Add(ctx, "poison", webhook.Settings{Label: evil[:60], URL: "https://zqpoison.invalid/%22%3E%3Czqx%3E"}, "operator:"+evil)
	_, _ = g.Webhooks().Add(ctx, "", webhook.Settings{Label: evil[:60], URL: "https://zqpoison.invalid/%22%3E%3Czqx%3E"}, "operator:"+evil)
	u, err := g.Users().User(ctx, x.user)
	must(err)
	u.Name = evil[:80]
	_, _ = g.Users().Update(ctx, u)
	_, _, err = g.Users().NewSession(ctx, u.ID, netip.MustParseAddr("203.0.113.9"), evil)
	must(err)
	_, _, _ = g.Users().AddToken(ctx, user.Principal{ID: u.ID, Role: user.CustomerAdmin, Customer: "poison", Rights: user.Rights()}, user.Token{Customer: "poison", Label: evil[:60], Rights: []user.Right{user.MailRead}})
	for _, customer := range []string{"", "poison"} {
		must(g.Users().Note(ctx, user.Entry{Actor: "user:" + evil, Name: evil, Customer: customer, Act: evil, Subject: evil, Text: evil}))
	}
	signals(t, g.Postmaster(), "zqpoison.example.test", evil)
	g.Alarms().Raise(alarm.Alarm{Key: "queue.lane " + evil, Severity: alarm.Critical, Code: "queue-lane", Args: map[string]string{"Name": evil, "Count": "5", "Age": "1 h", "Why": evil}, Since: now})
	return x
}

// TestSweepHostile fetches every page in both languages with hostile words wherever others can put them.
func TestSweepHostile(t *testing.T) {
	t.Parallel()
	w := startWorld(t, "poison")
	if err := w.dns.Set(zone(broken + `
zqpoison 300 IN TXT "v=spf1 include:<script>alert(1)</script> \"><zqx> -all"
_dmarc.zqpoison 300 IN TXT "v=DMARC1; p=<zqx>; rua=mailto:\"><script>alert(1)</script>@x"
zqpoison1._domainkey.zqpoison 300 IN TXT "v=DKIM1; k=<zqx>; p=\"><img src=x onerror=alert(1)>"
_mta-sts.zqpoison 300 IN TXT "v=STSv1; id=<zqx>"
_smtp._tls.zqpoison 300 IN TXT "v=TLSRPTv1; rua=<zqx>\226\128\174"
`)); err != nil {
		t.Fatal(err)
	}
	x := poisoned(t, w)
	operator, admin := &crew{role: user.Operator}, &crew{role: user.CustomerAdmin, customer: "poison"}
	if a := w.send(t, admin, "POST", "/c/poison/domains/zqpoison.example.test/check", url.Values{}); a.status != http.StatusSeeOther {
		t.Errorf("the check of the domain: %d", a.status)
	}
	w.send(t, operator, "POST", "/o/lanes/pause", url.Values{"lane": {"orange 127.0.0.1"}, "minutes": {"30"}, "reason": {evil}})
	words := 0
	for _, r := range w.routes {
		if r.Method != http.MethodGet || streams[r.Path] {
			continue
		}
		for _, c := range []*crew{operator, admin} {
			if !may(r, c, "poison") {
				continue
			}
			all := x
			if !r.Customer && x.paths[lastPattern(r.Path)] == "" {
				all = w.o
			}
			path, _ := w.mine(t, c, r, all, "poison").path(t, r.Path, "poison")
			for _, lang := range []string{"en", "fr"} {
				query := queryOf(r.Path, `"<zqx>"@zqpoison.example.org`, x.held)
				if query == "" {
					query = "?lang=" + lang
				} else {
					query += "&lang=" + lang
				}
				a := w.send(t, c, r.Method, path+query, nil)
				examined(t, r.Path+" "+lang+" as "+string(c.role), a)
				words += strings.Count(a.body, "zqx")
			}
		}
	}
	if words < 500 {
		t.Errorf("only %d hostile words were shown", words)
	}
	t.Logf("%d requests, %d hostile words on pages", w.asked.Load(), words)
}

// TestSweepSecrets does what makes and uses secrets, and looks for them where they must not be: in what is logged and in the databases.
func TestSweepSecrets(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	admin, operator := &crew{role: user.CustomerAdmin, customer: "alfa"}, &crew{role: user.Operator}
	secrets := map[string]string{}
	for _, x := range []*things{w.a, w.b, w.o} {
		for i, s := range x.secrets {
			if i == 1 && x.owner != "" {
				continue // of a signing key: the database holds it, the log does not
			}
			secrets[fmt.Sprintf("%s %d", x.marker, i)] = s
		}
	}
	const typed, wrong = "a sentence that nobody guesses", "another that is not right"
	secrets["password"], secrets["wrong password"] = typed, wrong
	if a := w.send(t, &crew{}, "POST", "/reset/"+w.a.secrets[4], url.Values{"name": {"Somebody"}, "password": {typed}, "again": {typed}}); a.status != http.StatusSeeOther {
		t.Errorf("the new password: %d %s", a.status, a.body)
	}
	for range 3 {
		w.send(t, &crew{}, "POST", "/sign-in", url.Values{"address": {"person@zqalfa.example.test"}, "password": {wrong}})
	}
	a := w.send(t, &crew{}, "POST", "/sign-in", url.Values{"address": {"person@zqalfa.example.test"}, "password": {typed}})
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == "__Host-postern" {
			secrets["session"] = c.Value
		}
	}
	if secrets["session"] == "" {
		t.Errorf("not signed in: %d", a.status)
	}
	for range 2 {
		w.send(t, admin, "GET", "/c/alfa/tokens", nil)
		secrets["cookie of "+admin.now.user.ID] = strings.TrimPrefix(admin.now.cookie, "__Host-postern=")
		w.send(t, operator, "GET", "/o", nil)
		secrets["cookie of "+operator.now.user.ID] = strings.TrimPrefix(operator.now.cookie, "__Host-postern=")
	}
	for _, r := range w.routes { // whatever may fail or be noted
		if r.Public && strings.Contains(r.Path, "{secret}") {
			path, _ := w.b.path(t, r.Path, "bravo")
			w.send(t, &crew{}, r.Method, path, url.Values{"password": {wrong}, "again": {typed}})
		}
		if r.Self && r.Method == http.MethodPost {
			form := url.Values{}
			for _, f := range w.fields {
				form.Set(f, "word")
			}
			for _, f := range []string{"password", "again", "old", "code", "proof"} {
				form.Set(f, wrong)
			}
			w.send(t, admin, r.Method, r.Path, form)
			admin.now = nil
		}
	}
	logs := w.logs.String()
	for name, s := range secrets {
		if len(s) < 10 {
			t.Errorf("%s: %q is no secret", name, s)
		} else if strings.Contains(logs, s) {
			t.Errorf("the log holds a secret: %s: %s", name, around(logs, s))
		}
	}
	if err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil // it went meanwhile
		}
		for name, s := range secrets {
			if strings.Contains(string(data), s) && !strings.Contains(around(string(data), s), "/"+s) { // a mail that waits holds its link
				t.Errorf("%s holds a secret: %s: %.200q", filepath.Base(path), name, around(string(data), s))
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		crew  *crew
		paths []string
	}{{admin, []string{"/c/alfa/history", "/c/alfa/tokens", "/c/alfa/users", "/c/alfa/credentials", "/me"}}, {operator, []string{"/o/history", "/o/tokens", "/o/users", "/o/configuration"}}} {
		for _, path := range c.paths {
			page := w.send(t, c.crew, "GET", path, nil).body
			for name, s := range secrets {
				if strings.Contains(page, s) {
					t.Errorf("%s holds a secret: %s: %s", path, name, around(page, s))
				}
			}
		}
	}
}

// TestSweepMails: what people type into forms never becomes a line of a mail's header.
func TestSweepMails(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	admin := &crew{role: user.CustomerAdmin, customer: "alfa"}
	for i, name := range []string{"Eve\r\nX-Evil: 1", "Eve\nBcc: victim@example.org", "Eve\x00\u2028X-Evil: 1", "=?utf-8?Q?Eve=0D=0AX-Evil:_1?=", `"Eve" <victim@example.org>, x`} {
		w.send(t, admin, "POST", "/c/alfa/users", url.Values{"address": {fmt.Sprintf("eve%d@receiver.example.test", i)}, "name": {name}, "role": {"reader"}, "language": {"en"}})
	}
	for _, to := range []string{"eve9@receiver.example.test\r\nX-Evil: 1", "eve9@receiver.example.test, victim@example.org", "eve9@receiver.example.test>\nRCPT TO:<victim@example.org"} {
		if a := w.send(t, admin, "POST", "/c/alfa/users", url.Values{"address": {to}, "name": {"Eve"}, "role": {"reader"}, "language": {"en"}}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("invited %q: %d", to, a.status)
		}
		if a := w.send(t, admin, "POST", "/c/alfa/settings", url.Values{"contact": {to}, "language": {"en"}}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("contact %q: %d", to, a.status)
		}
	}
	page, err := w.Users().Users(t.Context(), user.UserQuery{Customer: "alfa"})
	if err != nil {
		t.Fatal(err)
	}
	invited := 0
	for _, u := range page.Users {
		if strings.HasPrefix(u.Address.Local, "eve") {
			invited++
		}
	}
	for range invited {
		select {
		case m := <-w.mx.come:
			head, _, _ := strings.Cut(string(m), "\r\n\r\n")
			for _, line := range strings.Split(strings.ReplaceAll(head, "\r\n", "\n"), "\n") {
				if low := strings.ToLower(line); strings.HasPrefix(low, "x-evil") || strings.HasPrefix(low, "bcc") {
					t.Errorf("a line of a stranger in the header: %q", line)
				}
			}
			if strings.Contains(strings.ReplaceAll(head, "\r\n", ""), "\n") || strings.ContainsAny(head, "\x00\u2028") {
				t.Errorf("a bare line end or control character in the header: %q", head)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("a mail of %d never came", invited)
		}
	}
	t.Logf("%d invitations", invited)
}

// TestSweepInward: no address of our own networks is taken for a webhook.
func TestSweepInward(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	admin := &crew{role: user.CustomerAdmin, customer: "alfa"}
	for _, to := range []string{"http://example.org/", "https://127.0.0.1/", "https://localhost/", "https://x.localhost/", "https://[::1]/", "https://10.0.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data", "https://[::ffff:10.0.0.1]/", "https://[fe80::1%25eth0]/", "https://[fd00::1]/",
		"https://0.0.0.0/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://user:pass@example.org/", "https://example.org:25/", "https://example.org:22/", "ftp://example.org/", "file:///etc/passwd", "gopher://example.org:70/", "javascript:alert(1)", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://100.64.0.1/", "https://224.0.0.1/", "https://exa\r\nmple.org/", "//example.org/", "https:///x"} {
		if a := w.send(t, admin, "POST", "/c/alfa/webhooks", url.Values{"label": {"x"}, "url": {to}, "what": {"all"}}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("a webhook to %q: %d", to, a.status)
		}
		path, _ := w.a.path(t, "/c/{customer}/webhooks/{hook}", "alfa")
		if a := w.send(t, admin, "POST", path, url.Values{"label": {"x"}, "url": {to}}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("a webhook changed to %q: %d", to, a.status)
		}
	}
	// A name that leads to this machine is found out when it is asked.
	hook, err := w.Webhooks().Add(t.Context(), "alfa", webhook.Settings{Label: "inward", URL: "https://mx.example.test/"}, "operator:x")
	if err != nil {
		t.Fatal(err)
	}
	attempt, err := w.Webhooks().Test(t.Context(), hook.ID)
	if err == nil && attempt.Outcome == webhook.Taken || attempt.Status != 0 {
		t.Errorf("a name that leads to this machine: %+v %v", attempt, err)
	}
	t.Logf("the attempt: %+v", attempt)
}

// TestSweepLive: what passes by is text, in a real browser too.
func TestSweepLive(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.as(t, user.Operator, "")
	b := browse(t, true)
	name, value, _ := strings.Cut(c.cookie, "=")
	b.do(t, call(network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: g.base}), chromedp.Navigate(g.base+"/o/live"))
	waitFor(t, "a marked line in the live view", func() bool {
		if err := g.Journal().Append(t.Context(), journal.Fact{Kind: journal.Bounced, Customer: "shop", Subject: evil, Recipient: evil, Host: evil, Text: evil, HeaderFrom: evil}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		return strings.Contains(get(t, b, chromedp.Evaluate[string](`document.body.innerText`)), "zqx")
	})
	if n := get(t, b, chromedp.Evaluate[int](`document.querySelectorAll("zqx, img, script:not([src]), [onerror]").length`)); n != 0 {
		t.Errorf("%d elements came from a message", n)
	}
	b.quiet(t, g.base)
}
