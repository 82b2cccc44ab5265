package portal_test

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/user"
)

// follow clicks what leads to another page, and waits for that page.
func (b *browser) follow(t *testing.T, selector string) {
	t.Helper()
	b.lead(t, chromedp.Click(chromedp.CSS(selector)))
}

// lead does what leads to another page, and waits for that page.
func (b *browser) lead(t *testing.T, how chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 60*time.Second)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, how); err != nil {
		t.Fatalf("%v, on a page that says:\n%s", err, get(t, b, chromedp.OuterHTML(chromedp.CSS("main"))))
	}
}

// shows tells whether the page that is open holds a text.
func (b *browser) shows(t *testing.T, text string) bool {
	t.Helper()
	return strings.Contains(get(t, b, chromedp.OuterHTML(chromedp.CSS("html"))), text)
}

// path is where the browser is.
func (b *browser) path(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(get(t, b, chromedp.Location()))
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// person makes a user with a password who reads a language.
func (g *gateway) person(t *testing.T, role user.Role, customer, lang string) user.User {
	t.Helper()
	u, _, err := g.Users().Add(t.Context(), user.User{Address: address(t, fmt.Sprintf("%s-%s-%s@people.example.test", role, customer, lang)), Name: "Camille Durand", Role: role, Customer: customer, Language: lang})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Users().SetPassword(t.Context(), u.ID, password, ""); err != nil {
		t.Fatal(err)
	}
	return u
}

// signIn goes from the first page to the user's own, by keyboard from the form on.
func (b *browser) signIn(t *testing.T, g *gateway, u user.User) {
	t.Helper()
	b.do(t, call(network.ClearBrowserCookies, cdp.Empty{}), chromedp.Navigate(g.base+"/"))
	b.follow(t, `section[lang="`+u.Language+`"] a.button`)
	b.do(t, chromedp.SendKeys(chromedp.CSS("#f-address"), u.Address.String()), chromedp.KeyEvent("\t"), chromedp.KeyEvent(password))
	b.lead(t, chromedp.KeyEvent("\r"))
	b.see(t, `<html lang="`+u.Language+`"`, u.Name)
}

// enqueue stores a message that nothing holds.
func (g *gateway) enqueue(t *testing.T, subject string) {
	t.Helper()
	now := time.Now()
	m := spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(48 * time.Hour), Subject: subject, HeaderFrom: "news@shop.example.test",
		Envelope: mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@receiver.example.test")}}}, Body: []byte("Subject: " + subject + "\r\n\r\nx\r\n")}
	m.Size = int64(len(m.Body))
	if err := g.Spool().Put(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
}

// arrived waits for a message at the receiver, where notices for the shop come in as well.
func (g *gateway) arrived(t *testing.T, subject string) {
	t.Helper()
	for over := time.After(30 * time.Second); ; {
		select {
		case got := <-g.mx.come:
			if strings.Contains(string(got), "Subject: "+subject+"\r\n") {
				return
			}
		case <-over:
			t.Fatalf("%q never came", subject)
		}
	}
}

// TestWalk goes through the pages as people do, by keyboard and mouse, in both languages and without JavaScript.
func TestWalk(t *testing.T) {
	t.Parallel()
	b := browse(t, false)
	for _, lang := range []string{"en", "fr"} {
		t.Run(lang, func(t *testing.T) {
			g := start(t)
			b.do(t, size(1200, 900), scheme("light"))
			walkHeld(t, b, g, lang)
			walkRevoked(t, b, g, lang)
			walkLane(t, b, g, lang)
			walkDomain(t, b, g, lang)
			b.quiet(t, g.base)
			b.mu.Lock()
			b.asked = nil
			b.mu.Unlock()
		})
	}
}

// walkHeld: sign in, see what is held, read why, mend, test again, delivered.
func walkHeld(t *testing.T, b *browser, g *gateway, lang string) {
	const subject = "Your order 4711 has left"
	words := map[string][]string{"en": {">Held<", "The message was released", ">Delivered<"}, "fr": {">Retenu<", "Le message est libéré", ">Remis<"}}[lang]
	b.signIn(t, g, g.person(t, user.CustomerAdmin, "shop", lang))
	g.hold(t, subject)
	b.follow(t, `nav.menu a[href$="/c/shop/held"]`)
	b.see(t, subject, `aria-current="page"`)
	b.follow(t, "table.held th a")
	b.see(t, words[0], subject, "SPF_FAIL", "192.0.2.7", "!A secret text")
	if err := g.dns.Set(zone(mended)); err != nil {
		t.Fatal(err)
	}
	b.follow(t, `form[action*="/retest"] button`)
	b.see(t, words[1])
	g.arrived(t, subject)
	waitFor(t, "the list that shows it as delivered", func() bool {
		b.follow(t, `nav.menu a[href$="/c/shop/messages"]`)
		return b.shows(t, `class="badge delivered"`)
	})
	b.see(t, words[2], subject)
	b.follow(t, "table th a")
	b.see(t, words[2], subject)
}

// walkRevoked: who is thrown out by another of his sessions is out at the next click.
func walkRevoked(t *testing.T, b *browser, g *gateway, lang string) {
	u, err := g.Users().ByAddress(t.Context(), "admin-shop-"+lang+"@people.example.test")
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := g.Users().NewSession(t.Context(), u.ID, netip.MustParseAddr("203.0.113.1"), firefox)
	if err != nil {
		t.Fatal(err)
	}
	b.follow(t, "header a.me")
	b.see(t, "Firefox")
	elsewhere := &client{g: g, user: u, cookie: "postern=" + secret}
	elsewhere.must(t, "/me/sessions/others", nil)
	b.follow(t, `nav.menu a[href$="/c/shop/held"]`)
	if at := b.path(t); at != "/sign-in" {
		t.Fatalf("who was thrown out is at %s", at)
	}
	b.see(t, "!Camille")
}

// walkLane: the operator pauses a lane, what comes for it waits, and leaves when he lifts the pause.
func walkLane(t *testing.T, b *browser, g *gateway, lang string) {
	const subject, reason, lane = "Your order 4712 has left", "their postmaster asked", "* 127.0.0.1"
	b.signIn(t, g, g.person(t, user.Operator, "", lang))
	b.follow(t, `nav.menu a[href$="/o/lanes"]`)
	b.do(t, chromedp.SetValue(chromedp.CSS("#f-receiver"), "*"), chromedp.SetValue(chromedp.CSS("#f-address"), "127.0.0.1"), chromedp.SendKeys(chromedp.CSS("#f-reason"), reason))
	b.follow(t, `form[action*="/lanes/pause"] button`)
	b.see(t, reason)
	if at := b.path(t); at != "/o/lanes/"+lane {
		t.Errorf("the pause of %s leads to %s", lane, at)
	}
	g.enqueue(t, subject)
	waitFor(t, "the message in the queue", func() bool {
		b.follow(t, `nav.menu a[href$="/o/queue"]`)
		return b.shows(t, subject)
	})
	b.follow(t, "main table th a")
	b.see(t, subject, reason)
	for len(g.mx.come) > 0 {
		if got := string(<-g.mx.come); strings.Contains(got, "Subject: "+subject+"\r\n") {
			t.Fatalf("it left on a lane that stands still:\n%s", got)
		}
	}
	b.follow(t, `nav.menu a[href$="/o/lanes"]`)
	b.do(t, chromedp.Click(chromedp.CSS("main details.sure summary")))
	b.follow(t, `form[action*="/lanes/lift"] button`)
	b.see(t, "!"+reason)
	g.arrived(t, subject)
}

// walkDomain: a domain from nothing to all green, with what the pages show and nothing else.
func walkDomain(t *testing.T, b *browser, g *gateway, lang string) {
	const domain = "new.example.test"
	green := map[string]string{"en": "All is in place", "fr": "Tout est en place"}[lang]
	if err := g.Accounts().PutCustomer(t.Context(), account.Customer{ID: "newshop", Name: "New Shop", Language: lang, Contact: address(t, "owner@newshop.example.test")}); err != nil {
		t.Fatal(err)
	}
	zones := map[string]string{"mx": domain + ". 300 IN MX 10 mx.example.test.\n"}
	publish := func() {
		t.Helper()
		g.publishOver(t, zones, get(t, b, chromedp.Evaluate[[]string](`[...document.querySelectorAll(".record details pre.copy")].map(e => e.textContent)`)))
	}
	b.signIn(t, g, g.person(t, user.CustomerAdmin, "newshop", lang))
	b.follow(t, `nav.menu a[href$="/domains"]`)
	b.do(t, chromedp.SendKeys(chromedp.CSS("#f-domain"), domain))
	b.lead(t, chromedp.KeyEvent("\r"))
	b.see(t, "_postern-challenge."+domain)
	publish()
	b.follow(t, `main form.act button`)
	if at := b.path(t); at != "/c/newshop/domains/"+domain {
		t.Fatalf("after the proof: %s", at)
	}
	b.follow(t, `form[action$="/keys"] button`)
	for round := 0; !b.shows(t, green); round++ {
		if round == 6 {
			t.Fatalf("not green:\n%s", get(t, b, chromedp.OuterHTML(chromedp.CSS("main"))))
		}
		publish()
		b.follow(t, `form[action*="/check"] button`)
		if b.shows(t, "/activate") {
			b.follow(t, `form[action*="/activate"] button`)
		}
	}
	b.follow(t, `nav.menu a[href$="/domains"]`)
	b.see(t, domain, `class="badge ready"`)
}
