package portal_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"postern/internal/config"
	"postern/internal/user"
)

// identityProvider is a small imitation of one (OpenID Connect Core 1.0, Discovery 1.0) whose tokens say what a test wants.
type identityProvider struct {
	*httptest.Server
	t      *testing.T
	key    *rsa.PrivateKey
	signer *rsa.PrivateKey

	mu     sync.Mutex
	visits map[string]url.Values
	used   map[string]bool
	claims map[string]any // beside the usual
	alg    string
}

func startIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &identityProvider{t: t, key: key, signer: key, visits: map[string]url.Values{}, used: map[string]bool{}, alg: "RS256"}
	say := func(w http.ResponseWriter, x any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(x); err != nil {
			t.Error(err)
		}
	}
	b64 := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		say(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		say(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		code := r.FormValue("code")
		visit, ok := p.visits[code]
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if !ok || p.used[code] || b64(sum[:]) != visit.Get("code_challenge") {
			w.WriteHeader(http.StatusBadRequest)
			say(w, map[string]any{"error": "invalid_grant"})
			return
		}
		p.used[code] = true
		claims := map[string]any{"iss": p.URL, "aud": "postern", "sub": "s-1", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": visit.Get("nonce"), "email": "boss@people.example.test", "email_verified": true, "name": "The Boss", "groups": []string{"mail-operators"}}
		for name, value := range p.claims {
			claims[name] = value
		}
		text, err := json.Marshal(claims)
		if err != nil {
			t.Error(err)
		}
		head := b64([]byte(`{"alg":"`+p.alg+`","kid":"1","typ":"JWT"}`)) + "." + b64(text)
		digest := sha256.Sum256([]byte(head))
		signature, err := rsa.SignPKCS1v15(rand.Reader, p.signer, crypto.SHA256, digest[:])
		if err != nil {
			t.Error(err)
		}
		if p.alg == "none" {
			signature = nil
		}
		say(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": head + "." + b64(signature)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// back is what the provider sends a browser back with that came with an address.
func (p *identityProvider) back(address string) url.Values {
	p.t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, p.URL+"/authorize?") {
		p.t.Fatalf("%s %v", address, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := "code-" + u.Query().Get("state")
	p.visits[code] = u.Query()
	return url.Values{"state": {u.Query().Get("state")}, "code": {code}}
}

// TestSweepIdentityProvider: whatever comes back from a provider, or says that it does, lets in only whom the provider named to this browser, once.
func TestSweepIdentityProvider(t *testing.T) {
	t.Parallel()
	p := startIdentityProvider(t)
	g := start(t, func(c *config.Config) {
		c.Web.OIDC = config.OIDC{Issuer: p.URL, ClientID: "postern", ClientSecret: "hush", GroupsClaim: "groups", OperatorGroup: "mail-operators"}
	})
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	browser := func() *visitor {
		n++
		return g.visitor("198.51.100." + string(rune('0'+n/10)) + string(rune('0'+n%10)))
	}
	leave := func(b *visitor, next string) string {
		t.Helper()
		a := b.ask(t, "GET", "/sign-in/sso?next="+url.QueryEscape(next), nil)
		if a.status != http.StatusSeeOther {
			t.Fatalf("to the provider: %d %s", a.status, a.body)
		}
		return a.header.Get("Location")
	}
	in := func(b *visitor) bool { return b.ask(t, "GET", "/me", nil).status == http.StatusOK }
	b := browser()
	expect(t, b.ask(t, "GET", "/sign-in", nil).body, "/sign-in/sso")
	good := p.back(leave(b, "/o/lanes"))
	done := "/sign-in/sso/done?" + good.Encode()
	if a := b.ask(t, "GET", done, nil); a.status != http.StatusSeeOther || a.header.Get("Location") != "/o/lanes" || !in(b) {
		t.Fatalf("who the provider names: %d to %q", a.status, a.header.Get("Location"))
	}
	refusal := ""
	refused := func(name string, b *visitor, query url.Values) {
		t.Helper()
		a := b.ask(t, "GET", "/sign-in/sso/done?"+query.Encode(), nil)
		if refusal == "" {
			refusal = a.body
		}
		if a.status != http.StatusForbidden || a.body != refusal {
			t.Errorf("%s: %d\n%s", name, a.status, difference(refusal, a.body))
		}
		if in(b) {
			t.Errorf("%s: signed in", name)
		}
	}
	refused("the same again, in another browser", browser(), good)
	replay := browser()
	first := p.back(leave(replay, ""))
	replay.cookies["postern-sso"] = b.cookies["postern-sso"]
	refused("another browser's state with its own cookie", replay, first)
	for name, query := range map[string]url.Values{"no state": {"code": {"x"}}, "a state of one's own": {"state": {"aaaaaaaaaaaaaaaaaaaaaaaaaa"}, "code": {"x"}}, "nothing": {}, "two states": {"state": {"a", "b"}, "code": {"x", "y"}}} {
		x := browser()
		leave(x, "")
		refused(name, x, query)
	}
	x := browser()
	forged := p.back(leave(x, ""))
	x.cookies["postern-sso"] = url.QueryEscape(url.Values{"state": {"aaaaaaaaaaaaaaaaaaaaaaaaaa"}}.Encode())
	refused("a cookie of one's own", x, url.Values{"state": {"aaaaaaaaaaaaaaaaaaaaaaaaaa"}, "code": forged["code"]})
	x = browser()
	q := p.back(leave(x, ""))
	refused("the provider says no, with hostile words", x, url.Values{"state": q["state"], "error": {evil}, "error_description": {evil}})
	x = browser()
	q = p.back(leave(x, ""))
	first = p.back(leave(browser(), ""))
	refused("the code of another visit", x, url.Values{"state": q["state"], "code": first["code"]})
	for name, change := range map[string]func(){
		"another nonce":         func() { p.claims = map[string]any{"nonce": "forged"} },
		"no nonce":              func() { p.claims = map[string]any{"nonce": ""} },
		"another issuer":        func() { p.claims = map[string]any{"iss": "https://evil.example"} },
		"for somebody else":     func() { p.claims = map[string]any{"aud": "another client"} },
		"over":                  func() { p.claims = map[string]any{"exp": time.Now().Add(-time.Hour).Unix()} },
		"no subject":            func() { p.claims = map[string]any{"sub": ""} },
		"none of our groups":    func() { p.claims = map[string]any{"groups": []string{"readers"}, "sub": "s-2"} },
		"signed by a stranger":  func() { p.signer = stranger },
		"not signed":            func() { p.alg = "none" },
		"an address not proved": func() { p.claims = map[string]any{"sub": "s-3", "email_verified": false} },
	} {
		p.mu.Lock()
		p.claims, p.signer, p.alg = nil, p.key, "RS256"
		change()
		p.mu.Unlock()
		x := browser()
		refused(name, x, p.back(leave(x, "")))
	}
	p.mu.Lock()
	p.claims, p.signer, p.alg = nil, p.key, "RS256"
	p.mu.Unlock()
	for _, next := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		x := browser()
		if a := x.ask(t, "GET", "/sign-in/sso/done?"+p.back(leave(x, next)).Encode(), nil); a.status != http.StatusSeeOther || a.header.Get("Location") != "/home" {
			t.Errorf("next %q: %d to %q", next, a.status, a.header.Get("Location"))
		}
	}
	harmless(t, "the refusal", refusal)
}

// TestSweepPasskeys: nobody renames, removes or uses another's passkey, nor sees that there is one.
func TestSweepPasskeys(t *testing.T) {
	t.Parallel()
	b := browse(t, true)
	where := onLocalhost(t)
	g := start(t, where)
	var c config.Config
	where(&c)
	paul := g.member(t, "paul@shop.example.test", user.CustomerReader, "shop")
	get(t, b, func(ctx context.Context, target *chromedp.Target) (webauthn.AddVirtualAuthenticatorResult, error) {
		if _, err := cdp.Call(ctx, target, webauthn.Enable, webauthn.EnableParams{}); err != nil {
			return webauthn.AddVirtualAuthenticatorResult{}, err
		}
		return cdp.Call(ctx, target, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true, HasUserVerification: true,
			AutomaticPresenceSimulation: true, IsUserVerified: true}})
	})
	b.do(t, chromedp.Navigate(c.Web.BaseURL+"/sign-in?next=/me&lang=en"), chromedp.SendKeys(chromedp.CSS("#f-address"), "paul@shop.example.test"), chromedp.SendKeys(chromedp.CSS("#f-password"), password+"\n"),
		chromedp.WaitVisible(chromedp.CSS("[data-passkey=create] button")), chromedp.SendKeys(chromedp.CSS("#f-label"), "zqpaul laptop"),
		chromedp.Click(chromedp.CSS("[data-passkey=create] button")), chromedp.WaitVisible(chromedp.CSS(".banner.good")))
	keys, err := g.Users().Passkeys(t.Context(), paul.ID)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	for _, who := range []*client{g.as(t, user.CustomerReader, "shop"), g.as(t, user.CustomerAdmin, "shop"), g.as(t, user.CustomerAdmin, "boutique"), g.as(t, user.AbuseDesk, ""), g.as(t, user.Operator, "")} {
		for _, act := range []string{"rename", "remove"} {
			theirs := who.ask(t, "POST", "/me/passkeys/"+act, url.Values{"id": {keys[0].ID}, "label-" + keys[0].ID: {"mine now"}})
			none := who.ask(t, "POST", "/me/passkeys/"+act, url.Values{"id": {"AAAAAAAAAAAAAAAAAAAAAA"}, "label-AAAAAAAAAAAAAAAAAAAAAA": {"mine now"}})
			if theirs.status != http.StatusNotFound || theirs.status != none.status || theirs.body != none.body {
				t.Errorf("%s: %s of another's passkey: %d, of none: %d\n%s", who.user.Role, act, theirs.status, none.status, difference(theirs.body, none.body))
			}
		}
		expect(t, who.get(t, "/me"), "!zqpaul", "!"+keys[0].ID)
		for _, path := range []string{"/me/passkeys/done", "/prove/passkey/done", "/sign-in/passkey/done"} {
			a := who.ask(t, "POST", path, nil, "Content-Type", "application/json")
			if a.status < 400 || strings.Contains(a.body, "zqpaul") {
				t.Errorf("%s: an answer without a question at %s: %d", who.user.Role, path, a.status)
			}
		}
	}
	after, err := g.Users().Passkeys(t.Context(), paul.ID)
	if err != nil || len(after) != 1 || after[0].Label != keys[0].Label {
		t.Errorf("after all that: %+v %v", after, err)
	}
}
