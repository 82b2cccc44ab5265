package portal_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern/internal/user"
)

// TestUsers: an administrator invites, changes, disables and removes his own users; what he does takes effect at once and stands in the record.
func TestUsers(t *testing.T) {
	t.Parallel()
	g := start(t)
	ad := g.as(t, user.CustomerAdmin, "shop")
	page := ad.must(t, "/c/shop/users", url.Values{"address": {"rita@shop.example.test"}, "name": {"Rita Reader"}, "role": {"reader"}, "language": {"fr"}})
	expect(t, page, "An invitation is on its way to rita@shop.example.test", "Rita Reader", "Reader", ">invited<", ">you<")
	rita, err := g.Users().ByAddress(t.Context(), "rita@shop.example.test")
	if err != nil || rita.Role != user.CustomerReader || rita.Customer != "shop" || rita.Language != "fr" {
		t.Fatalf("%+v %v", rita, err)
	}
	at := "/c/shop/users/" + rita.ID
	expect(t, ad.get(t, at), "Rita Reader", "Send the invitation again", "nothing yet", "Sees everything of this customer and changes nothing", "!Operator", "!Abuse desk")
	expect(t, ad.must(t, at+"/invite", nil), "A new invitation is on its way")
	for name, form := range map[string]url.Values{
		"role of the gateway": {"address": {"x@shop.example.test"}, "name": {"X"}, "role": {"operator"}},
		"no role":             {"address": {"x@shop.example.test"}, "name": {"X"}},
		"no address":          {"address": {"x"}, "name": {"X"}, "role": {"reader"}},
		"long name":           {"address": {"x@shop.example.test"}, "name": {strings.Repeat("x", 101)}, "role": {"reader"}},
		"taken":               {"address": {"RITA@shop.example.test"}, "name": {"X"}, "role": {"reader"}},
	} {
		if a := ad.ask(t, "POST", "/c/shop/users", form); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, `class="fault"`) {
			t.Errorf("%s: %d\n%s", name, a.status, a.body)
		}
	}
	secret, _, err := g.Users().NewSession(t.Context(), rita.ID, netip.Addr{}, "")
	if err != nil {
		t.Fatal(err)
	}
	reader := &client{g: g, user: rita, cookie: "postern=" + secret}
	expect(t, reader.get(t, "/c/shop/users?lang=en"), "Your role shows this page and changes nothing on it", "!Invite somebody")
	for _, path := range []string{"/c/shop/users", at + "/role", "/c/shop/users/" + ad.user.ID + "/remove", "/c/shop/tokens"} {
		if a := reader.ask(t, "POST", path, url.Values{"role": {"admin"}}); a.status != http.StatusNotFound {
			t.Errorf("a reader at %s: %d", path, a.status)
		}
	}
	expect(t, ad.must(t, at+"/role", url.Values{"role": {"admin"}}), "Rita Reader is now: Administrator")
	expect(t, reader.get(t, "/c/shop/users?lang=en"), "Invite somebody") // at once, in the session that she has
	expect(t, ad.must(t, at+"/disable", nil), "Rita Reader is disabled", ">disabled<", "Enable again")
	if a := reader.ask(t, "GET", "/c/shop/users", nil); a.status != http.StatusSeeOther {
		t.Errorf("a user who was disabled: %d", a.status)
	}
	expect(t, ad.must(t, at+"/enable", nil), "Rita Reader may sign in again")
	if a := reader.ask(t, "GET", "/c/shop/users", nil); a.status != http.StatusSeeOther {
		t.Errorf("a session from before: %d", a.status)
	}
	expect(t, ad.must(t, at+"/remove", nil), "Rita Reader is removed", "!rita@")
	if a := ad.ask(t, "GET", at, nil); a.status != http.StatusNotFound {
		t.Errorf("a user who was removed: %d", a.status)
	}
	expect(t, ad.get(t, "/c/shop/history"), "Invited a user", "Changed a role", "Disabled a user", "Enabled a user", "Removed a user", "rita@shop.example.test", "reader &gt; admin", ">refused<")
	expect(t, ad.get(t, "/c/shop/history?act=user.role&lang=fr"), "Changement d&#39;un rôle", "!rita@shop.example.test</bdi><br><span class=\"quiet\"><bdi>reader</bdi>")
}

// TestEscalation: nobody makes himself more than he is, and nobody reaches another customer's users and tokens.
func TestEscalation(t *testing.T) {
	t.Parallel()
	g := start(t)
	op, abuse, shop, boutique := g.as(t, user.Operator, ""), g.as(t, user.AbuseDesk, ""), g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.CustomerAdmin, "boutique")
	tok, _, err := g.Users().AddToken(t.Context(), boutique.user.Principal(), user.Token{Customer: "boutique", Label: "theirs", Rights: []user.Right{user.MailRead}})
	if err != nil {
		t.Fatal(err)
	}
	theirs, gateways := "/users/"+boutique.user.ID, "/users/"+op.user.ID
	for _, tc := range []struct {
		name, path string
		who        *client
		form       url.Values
		want       int
	}{
		{"another customer's list", "/c/boutique/users", shop, url.Values{"address": {"x@y.example.test"}, "role": {"admin"}}, 404},
		{"another customer's user there", "/c/boutique" + theirs + "/remove", shop, nil, 404},
		{"another customer's user here", "/c/shop" + theirs + "/remove", shop, nil, 404},
		{"another customer's user, role", "/c/shop" + theirs + "/role", shop, url.Values{"role": {"reader"}}, 404},
		{"an operator here", "/c/shop" + gateways + "/disable", shop, nil, 404},
		{"the gateway's users", "/o/users", shop, url.Values{"address": {"x@y.example.test"}, "role": {"operator"}}, 404},
		{"the gateway's role", "/c/shop/users/" + shop.user.ID + "/role", shop, url.Values{"role": {"operator"}}, 409},
		{"himself", "/c/shop/users/" + shop.user.ID + "/remove", shop, nil, 409},
		{"another customer's token here", "/c/shop/tokens/" + tok.ID + "/revoke", shop, nil, 404},
		{"another customer's token there", "/c/boutique/tokens/" + tok.ID + "/revoke", shop, nil, 404},
		{"another customer's token as his own", "/me/tokens/revoke", shop, url.Values{"id": {tok.ID}}, 404},
		{"rights of the gateway in a token", "/c/shop/tokens", shop, url.Values{"label": {"x"}, "days": {"30"}, "right": {"gateway:operate"}}, 422},
		{"rights that are none", "/c/shop/tokens", shop, url.Values{"label": {"x"}, "days": {"30"}, "right": {"mail:read", "all"}}, 422},
		{"a token of the gateway", "/o/tokens", shop, url.Values{"label": {"x"}, "days": {"30"}, "right": {"mail:read"}}, 404},
		{"the abuse desk invites", "/o/users", abuse, url.Values{"address": {"x@y.example.test"}, "role": {"operator"}}, 404},
		{"the abuse desk changes itself", "/o/users/" + abuse.user.ID + "/role", abuse, url.Values{"role": {"operator"}}, 404},
		{"the abuse desk at a customer", "/c/shop/users/" + shop.user.ID + "/disable", abuse, nil, 404},
		{"the abuse desk makes a token", "/c/shop/tokens", abuse, url.Values{"label": {"x"}, "days": {"30"}, "right": {"mail:read"}}, 404},
		{"an operator's role at a customer", "/c/shop/users", op, url.Values{"address": {"x@y.example.test"}, "role": {"operator"}}, 422},
		{"a customer's user among the gateway's", "/o/users/" + shop.user.ID + "/role", op, url.Values{"role": {"operator"}}, 404},
		{"a customer's role at the gateway", "/o/users", op, url.Values{"address": {"x@y.example.test"}, "role": {"admin"}}, 422},
		{"the last operator takes himself away", "/o/users/" + op.user.ID + "/remove", op, nil, 409},
		{"a session of somebody else", "/me/sessions/end", shop, url.Values{"id": {"aaaaaaaaaaaaaaaa"}}, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			form := tc.form
			if form == nil {
				form = url.Values{}
			}
			if a := tc.who.ask(t, "POST", tc.path, form); a.status != tc.want {
				t.Errorf("%d, want %d\n%s", a.status, tc.want, a.body)
			}
		})
	}
	expect(t, abuse.get(t, "/o/users"), "Your role shows this page", op.user.Address.String())
	for _, c := range []*client{op, abuse, shop, boutique} {
		if u, err := g.Users().User(t.Context(), c.user.ID); err != nil || u.Role != c.user.Role || u.Disabled {
			t.Errorf("%s: %+v %v", c.user.Name, u, err)
		}
	}
	if _, err := g.Users().ByAddress(t.Context(), "x@y.example.test"); err == nil {
		t.Error("somebody was invited")
	}
	expect(t, op.get(t, "/c/shop/users/"+shop.user.ID), "Change the role")
	// Of two operators, one may take the other away; the last one stays.
	second := g.as(t, user.Operator, "")
	expect(t, op.must(t, "/o/users/"+second.user.ID+"/role", url.Values{"role": {"abuse"}}), "is now: Abuse desk")
	if a := second.ask(t, "POST", "/o/users/"+op.user.ID+"/remove", url.Values{}); a.status != http.StatusNotFound {
		t.Errorf("an operator who is none any more: %d", a.status)
	}
	if a := op.ask(t, "GET", "/o/users?q="+url.QueryEscape(shop.user.Address.String()), nil); a.header.Get("Location") != "/c/shop/users/"+shop.user.ID {
		t.Errorf("search: %d to %q", a.status, a.header.Get("Location"))
	}
	expect(t, op.get(t, "/o/users?q=nobody@example.test"), "Nobody has this in an address or a name")
}

// TestHostileNames: what people call themselves and their tokens is text, on every page and in every field of an answer's head.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	g := start(t)
	ad := g.as(t, user.CustomerAdmin, "shop")
	name := "x\r\nSet-Cookie: evil=1\r\n\r\n<script>alert(1)</script>\u202e"
	a := ad.ask(t, "POST", "/me", url.Values{"name": {name}, "language": {"en"}, "zone": {"Europe/Paris"}})
	if a.status != http.StatusSeeOther || len(a.header.Values("Set-Cookie")) != 1 || strings.Contains(a.header.Get("Set-Cookie"), "evil=1") {
		t.Errorf("%d %v", a.status, a.header)
	}
	page := ad.must(t, "/c/shop/users", url.Values{"address": {`"a<b>"@shop.example.test`}, "name": {name}, "role": {"reader"}})
	page += ad.ask(t, "POST", "/c/shop/tokens", url.Values{"label": {name}, "days": {"0"}, "right": {"mail:read"}}).body
	page += ad.get(t, "/c/shop/history") + ad.get(t, "/me")
	expect(t, page, "&lt;script&gt;alert(1)", "!<script>alert", "!\u202e")
	for _, zone := range []string{"../../etc/passwd", "Local", "Europe/Nowhere", strings.Repeat("x", 100)} {
		if a := ad.ask(t, "POST", "/me", url.Values{"name": {"x"}, "language": {"en"}, "zone": {zone}}); a.status != http.StatusUnprocessableEntity {
			t.Errorf("zone %q: %d", zone, a.status)
		}
	}
	expect(t, ad.must(t, "/me", url.Values{"name": {"Zoé"}, "language": {"fr"}, "zone": {"Asia/Tokyo"}}), "Vos informations sont enregistrées", "(UTC&#43;9)", "Zoé")
}

var secretShown = regexp.MustCompile(`<code>(pst_[a-z2-7]+_[A-Za-z0-9_-]+)</code>`)

// TestTokens: made with chosen rights, shown once, used, revoked at once.
func TestTokens(t *testing.T) {
	t.Parallel()
	g := start(t)
	ad := g.as(t, user.CustomerAdmin, "shop")
	expect(t, ad.get(t, "/c/shop/tokens"), "There are no tokens", "Send messages", "!gateway:read")
	a := ad.ask(t, "POST", "/c/shop/tokens", url.Values{"label": {"The shop's orders"}, "days": {"90"}, "right": {"mail:send", "mail:read"}})
	m := secretShown.FindStringSubmatch(a.body)
	if a.status != http.StatusOK || m == nil {
		t.Fatalf("%d\n%s", a.status, a.body)
	}
	expect(t, a.body, "shown this once", "curl -H", "The shop&#39;s orders")
	from := netip.MustParseAddr("192.0.2.8")
	p, err := g.Users().Bearer(t.Context(), m[1], from)
	if err != nil || p.Customer != "shop" || len(p.Rights) != 2 {
		t.Fatalf("%+v %v", p, err)
	}
	page := ad.get(t, "/c/shop/tokens")
	expect(t, page, "from 192.0.2.8", "See messages, their life and figures; Send messages", "!"+m[1])
	for name, form := range map[string]url.Values{
		"no right": {"label": {"x"}, "days": {"90"}}, "no name": {"days": {"90"}, "right": {"mail:read"}}, "no end": {"label": {"x"}, "days": {"91"}, "right": {"mail:read"}}, "long name": {"label": {strings.Repeat("x", 101)}, "days": {"0"}, "right": {"mail:read"}},
	} {
		if a := ad.ask(t, "POST", "/c/shop/tokens", form); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	expect(t, ad.get(t, "/me"), "Your API tokens", "The shop&#39;s orders")
	expect(t, ad.must(t, "/c/shop/tokens/"+p.ID+"/revoke", nil), "is revoked", ">revoked<")
	if _, err := g.Users().Bearer(t.Context(), m[1], from); err == nil {
		t.Error("a token that was revoked still works")
	}
	expect(t, ad.get(t, "/c/shop/history"), "Made an API token", "mail:read mail:send", "Revoked an API token", "!"+m[1])
}
