package portal_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"postern/internal/config"
	"postern/internal/locale"
	"postern/internal/portal"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/user"
)

// TestFreshProof: acts that matter ask again after a quarter of an hour, do nothing before, and lose nothing that was typed.
func TestFreshProof(t *testing.T) {
	t.Parallel()
	whole := start(t)
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	ledger, err := user.New(user.Options{DB: storetest.SQLite(t, store.MainSchema()), Now: now, Host: "mail.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	h, err := portal.New(portal.Options{Desk: whole.Desk(), Catalog: catalog, Links: whole.Links(), Hostname: "mail.example.test", Users: ledger, Accounts: whole.Accounts()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	g := &gateway{App: whole.App, base: server.URL, ip: "198.51.100.1"}
	u, _, err := ledger.Add(t.Context(), user.User{Address: address(t, "ada@shop.example.test"), Name: "Ada Admin", Role: user.CustomerAdmin, Customer: "shop", Language: "en"})
	if err == nil {
		err = ledger.SetPassword(t.Context(), u.ID, password, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	b := g.visitor("198.51.100.1")
	b.signIn(t, "ada@shop.example.test")
	later.Store(int64(20 * time.Minute))
	invite := url.Values{"address": {"new@shop.example.test"}, "name": {`New "One" <x>`}, "role": {"reader"}, "language": {"fr"}}
	a := b.ask(t, "POST", "/c/shop/users", invite)
	expect(t, a.body, "Is it you?", `action="/c/shop/users"`, `name="address" value="new@shop.example.test"`, `value="New &#34;One&#34; &lt;x&gt;"`, `name="proof"`)
	if a.status != http.StatusForbidden {
		t.Errorf("without a fresh proof: %d", a.status)
	}
	invite.Set("proof", "not the password")
	if a := b.ask(t, "POST", "/c/shop/users", invite); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong proof: %d", a.status)
	} else {
		expect(t, a.body, "This is not right. Nothing was changed", "new@shop.example.test", "!not the password")
	}
	if _, err := ledger.ByAddress(t.Context(), "new@shop.example.test"); err == nil {
		t.Fatal("invited without a proof")
	}
	for _, path := range []string{"/me/code/start", "/me/code/remove", "/me/code/recovery", "/me/passkeys/remove", "/c/shop/users/" + u.ID + "/role"} {
		if a := b.ask(t, "POST", path, url.Values{"id": {"x"}, "role": {"reader"}}); a.status != http.StatusForbidden && !(strings.HasPrefix(path, "/c/") && a.status == http.StatusConflict) {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := b.ask(t, "POST", "/c/shop/tokens", url.Values{"label": {"x"}, "days": {"30"}, "right": {"mail:read", "mail:send"}}); strings.Count(a.body, `name="right"`) != 2 || strings.Contains(a.body, "pst_") {
		t.Errorf("a token without a proof: %d\n%s", a.status, a.body)
	}
	invite.Set("proof", password)
	if a := b.ask(t, "POST", "/c/shop/users", invite); a.status != http.StatusSeeOther {
		t.Errorf("with the proof: %d\n%s", a.status, a.body)
	}
	if a := b.ask(t, "POST", "/c/shop/tokens", url.Values{"label": {"x"}, "days": {"30"}, "right": {"mail:read"}}); a.status != http.StatusOK || !strings.Contains(a.body, "pst_") {
		t.Errorf("a token right after the proof: %d", a.status)
	}
	later.Store(int64(60 * time.Minute))
	expect(t, b.ask(t, "GET", "/prove?next=//evil.example", nil).body, "Is it you?", "!evil")
	if a := b.ask(t, "POST", "/prove", url.Values{"proof": {password}, "next": {"/c/shop/tokens"}}); a.header.Get("Location") != "/c/shop/tokens" {
		t.Errorf("after a proof: %d to %q", a.status, a.header.Get("Location"))
	}
	// The password itself asks the old one, whatever is fresh.
	form := url.Values{"old": {"wrong"}, "password": {"another seven green bicycles"}, "again": {"another seven green bicycles"}}
	expect(t, b.ask(t, "POST", "/me/password", form).body, "Your present password is not right")
	form.Set("old", password)
	other := g.visitor("198.51.100.2")
	other.signIn(t, "ada@shop.example.test")
	_, a = b.lead(t, "POST", "/me/password", form)
	expect(t, a.body, "Your password is changed. Your other sessions have ended")
	if a := other.ask(t, "GET", "/me", nil); a.status != http.StatusSeeOther {
		t.Errorf("another session after the password changed: %d", a.status)
	}
}

// ourScript is the one that pages about passkeys hold.
var ourScript = regexp.MustCompile(`<script src="/static/passkey-[0-9a-f]+\.js" defer=""></script>`)

// TestAccountLooks looks at the pages about signing in and users: nothing is wider than the screen, and readers by ear find their way.
func TestAccountLooks(t *testing.T) {
	t.Parallel()
	b := browse(t, true)
	where := onLocalhost(t)
	g := start(t, where)
	var c config.Config
	where(&c)
	base := c.Web.BaseURL
	ad := g.as(t, user.CustomerAdmin, "shop")
	rita, secret, err := g.Users().Add(t.Context(), user.User{Address: address(t, "rita.a-rather-long-name@a-long-domain.shop.example.test"), Name: "Rita Reader", Role: user.CustomerReader, Customer: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	g.member(t, "paul@shop.example.test", user.CustomerReader, "shop")
	looks := []struct {
		width        int64
		lang, colour string
	}{{1280, "en", "light"}, {375, "fr", "dark"}}
	look := func(name, path string) {
		for _, x := range looks {
			b.do(t, size(x.width, 800), scheme(x.colour), chromedp.Navigate(base+path+"?lang="+x.lang))
			label := "account-" + name + "-" + x.lang + "-" + x.colour
			b.fits(t, label)
			accessible(t, ourScript.ReplaceAllString(get(t, b, chromedp.OuterHTML(chromedp.CSS("html"))), ""))
			b.shoot(t, label, true)
		}
	}
	look("sign-in", "/sign-in")
	look("invite", "/invite/"+secret)
	name, value, _ := strings.Cut(ad.cookie, "=")
	b.do(t, call(network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: base}))
	look("me", "/me")
	look("password", "/me/password")
	look("users", "/c/shop/users")
	look("user", "/c/shop/users/"+rita.ID)
	b.do(t, size(1280, 800), scheme("light"), chromedp.Navigate(base+"/c/shop/tokens?lang=en"), chromedp.SendKeys(chromedp.CSS("#f-label"), "Shop, order confirmations"),
		chromedp.Click(chromedp.CSS(`input[value="mail:send"]`)))
	b.press(t, "c/shop/tokens")
	b.see(t, "pst_")
	b.shoot(t, "account-token-made", true)
	look("tokens", "/c/shop/tokens")
	look("code-off", "/me/code")
	b.press(t, "me/code/start")
	look("code", "/me/code")
	look("history", "/c/shop/history")
	b.quiet(t, base)
}
