package portal_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"postern/internal/config"
	"postern/internal/user"
)

// onLocalhost gives the gateway's pages an address that browsers bind passkeys to.
func onLocalhost(t *testing.T) func(*config.Config) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return func(c *config.Config) {
		c.Listen.Web, c.Web.BaseURL = []netip.AddrPort{at}, "http://localhost:"+at.String()[strings.LastIndexByte(at.String(), ':')+1:]
	}
}

// TestPasskey signs in with a password, makes a passkey, and signs in with it, in a real browser with a device of the debugger's; in both languages.
func TestPasskey(t *testing.T) {
	t.Parallel()
	b := browse(t, true)
	where := onLocalhost(t)
	g := start(t, where)
	var c config.Config
	where(&c)
	base := c.Web.BaseURL
	g.member(t, "paul@shop.example.test", user.CustomerReader, "shop")
	get(t, b, func(ctx context.Context, target *chromedp.Target) (webauthn.AddVirtualAuthenticatorResult, error) {
		if _, err := cdp.Call(ctx, target, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return webauthn.AddVirtualAuthenticatorResult{}, err
		}
		return cdp.Call(ctx, target, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
			AutomaticPresenceSimulation: true, IsUserVerified: true}})
	})
	for _, lang := range []struct{ code, added, removed, label string }{{"en", "The passkey is added", "The passkey is removed", "Blue laptop"}, {"fr", "La clé d", "est retirée", "Portable bleu"}} {
		b.do(t, size(1200, 900), scheme("light"), chromedp.Navigate(base+"/sign-in?next=/me&lang="+lang.code))
		b.shoot(t, "sign-in-"+lang.code, true)
		b.do(t, chromedp.SendKeys(chromedp.CSS("#f-address"), "paul@shop.example.test"), chromedp.SendKeys(chromedp.CSS("#f-password"), password+"\n"),
			chromedp.WaitVisible(chromedp.CSS("[data-passkey=create] button")))
		b.do(t, chromedp.SendKeys(chromedp.CSS("#f-label"), lang.label), chromedp.Click(chromedp.CSS("[data-passkey=create] button")), chromedp.WaitVisible(chromedp.CSS(".banner.good")))
		b.see(t, lang.added, lang.label)
		b.do(t, chromedp.Click(chromedp.CSS(`form[action^="/sign-out"] button`)), chromedp.WaitVisible(chromedp.CSS("[data-passkey=get] button")))
		b.do(t, chromedp.Navigate(base+"/sign-in?next=/c/shop/users&lang="+lang.code), chromedp.WaitVisible(chromedp.CSS("[data-passkey=get] button")),
			chromedp.Click(chromedp.CSS("[data-passkey=get] button")), chromedp.WaitVisible(chromedp.CSS(`.menu a[aria-current]`)))
		b.see(t, "paul@shop.example.test", `action="/sign-out`)
		b.do(t, chromedp.Navigate(base+"/me?lang="+lang.code), chromedp.Click(chromedp.CSS(`details:has([action^="/me/passkeys/rename"]) summary`)), chromedp.SendKeys(chromedp.CSS(`[action^="/me/passkeys/rename"] input[type=text]`), "Zenith"))
		b.press(t, "me/passkeys/rename")
		b.see(t, "Zenith")
		b.do(t, chromedp.Click(chromedp.CSS(`details:has([action^="/me/passkeys/remove"]) summary`)))
		b.press(t, "me/passkeys/remove")
		b.see(t, lang.removed, "!"+lang.label)
		// A passkey that is known no more opens nothing, and says so.
		b.do(t, call(network.ClearBrowserCookies, cdp.Empty{}), chromedp.Navigate(base+"/sign-in?lang="+lang.code), chromedp.WaitVisible(chromedp.CSS("[data-passkey=get] button")),
			chromedp.Click(chromedp.CSS("[data-passkey=get] button")))
		waitFor(t, "a refusal in words", func() bool {
			text := get(t, b, chromedp.OuterHTML(chromedp.CSS(".passkey .fault")))
			return strings.Contains(text, "passkey was not accepted") || strings.Contains(text, "pas été acceptée") || strings.Contains(text, "did not work") || strings.Contains(text, "pas fonctionné")
		})
	}
	entries, err := g.Users().Entries(t.Context(), user.EntryQuery{Customer: "shop", From: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	acts := map[string]int{}
	for _, e := range entries.Entries {
		if !e.Failed {
			acts[e.Act]++
		}
	}
	if acts["sign-in"] != 2 || acts["sign-in.passkey"] != 2 || acts["passkey.add"] != 2 || acts["passkey.remove"] != 2 || acts["passkey.rename"] != 2 {
		t.Errorf("the record: %v", acts)
	}
}
