package user_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/user"
)

// provider is a small imitation of an identity provider (OpenID Connect Core 1.0, Discovery 1.0).
type provider struct {
	*httptest.Server
	t      testing.TB
	key    *rsa.PrivateKey
	signer *rsa.PrivateKey // with which tokens are signed: key, or another to deceive
	now    func() time.Time

	mu     sync.Mutex
	visits map[string]url.Values // what the browser came with, by code
	claims map[string]any        // what tokens say beside the usual
	used   map[string]bool
}

func newProvider(t testing.TB, now func() time.Time) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, signer: key, now: now, visits: map[string]url.Values{}, used: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, map[string]any{"keys": []any{map[string]any{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": b64(p.key.N.Bytes()), "e": b64(big.NewInt(int64(p.key.E)).Bytes())}}})
	})
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) answer(w http.ResponseWriter, x any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(x); err != nil {
		p.t.Error(err)
	}
}

// token changes a code for an identity token, once, and for who began the visit only (RFC 7636 4.6).
func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := r.FormValue("code")
	visit, ok := p.visits[code]
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	id, secret, _ := r.BasicAuth()
	if id == "" {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	if !ok || p.used[code] || visit.Get("code_challenge_method") != "S256" || b64(sum[:]) != visit.Get("code_challenge") || id != "postern" || secret != "hush" ||
		r.FormValue("redirect_uri") != visit.Get("redirect_uri") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	p.used[code] = true
	claims := map[string]any{"iss": p.URL, "aud": "postern", "sub": "s-1", "exp": p.now().Add(time.Hour).Unix(), "iat": p.now().Unix(), "nonce": visit.Get("nonce")}
	for name, value := range p.claims {
		claims[name] = value
	}
	p.answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(claims)})
}

func (p *provider) sign(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	head := b64([]byte(`{"alg":"RS256","kid":"1","typ":"JWT"}`)) + "." + b64(text)
	sum := sha256.Sum256([]byte(head))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.signer, crypto.SHA256, sum[:])
	if err != nil {
		p.t.Fatal(err)
	}
	return head + "." + b64(signature)
}

// visit is what a browser does: it is sent there, somebody signs in, it is sent back.
func (p *provider) visit(address string) url.Values {
	p.t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, p.URL+"/authorize?") {
		p.t.Fatalf("%s %v", address, err)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("nonce") == "" || q.Get("state") == "" || q.Get("code_challenge") == "" || !strings.Contains(q.Get("scope"), "openid") {
		p.t.Fatalf("%s", address)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code := "code-" + q.Get("state")
	p.visits[code] = q
	return url.Values{"state": {q.Get("state")}, "code": {code}}
}

// says sets what the provider's tokens say.
func (p *provider) says(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = claims
}

func (r *room) oidc(t testing.TB, p *provider) *user.OIDC {
	t.Helper()
	x, err := user.NewOIDC(r.Ledger, user.OIDCOptions{Issuer: p.URL, ClientID: "postern", ClientSecret: "hush", Redirect: "https://gate.example.test/sign-in/sso/done",
		OperatorGroup: "mail-operators", AbuseGroup: "abuse-desk", AllowAddresses: []string{"Boss@example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// identity goes through a whole visit.
func identity(t testing.TB, x *user.OIDC, p *provider) (user.Identity, error) {
	t.Helper()
	address, state, err := x.AuthURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return x.Exchange(t.Context(), state, p.visit(address))
}

func TestIdentityProvider(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		p := newProvider(t, r.clock.Now)
		x := r.oidc(t, p)
		p.says(map[string]any{"email": "anna@example.org", "email_verified": true, "name": "Anna", "groups": []string{"staff", "mail-operators", "abuse-desk"}})
		id, err := identity(t, x, p)
		if err != nil || id.Role != user.Operator || id.Subject != "s-1" || id.Issuer != p.URL || !id.Verified || id.Name != "Anna" {
			t.Fatalf("%+v %v", id, err)
		}
		in, err := r.SignInExternal(t.Context(), id, home, "Firefox")
		if err != nil || in.Secret == "" || !in.User.External || in.User.Role != user.Operator || in.User.Address.String() != "anna@example.org" {
			t.Fatalf("%+v %v", in, err)
		}
		// The second time he is the same, also with another address.
		p.says(map[string]any{"email": "anna.m@example.org", "groups": []string{"mail-operators"}})
		id, err = identity(t, x, p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.SignInExternal(t.Context(), id, home, "")
		if err != nil || again.User.ID != in.User.ID {
			t.Errorf("%+v %v", again, err)
		}
		// His role follows the provider's word, but the last operator stays.
		p.says(map[string]any{"groups": "abuse-desk"})
		id, err = identity(t, x, p)
		if err != nil || id.Role != user.AbuseDesk {
			t.Fatalf("%+v %v", id, err)
		}
		_, err = r.SignInExternal(t.Context(), id, home, "")
		want(t, "the last operator", err, user.ErrLast)
		spare := r.registered(t, "spare@example.org", user.Operator, "")
		again, err = r.SignInExternal(t.Context(), id, home, "")
		if err != nil || again.User.Role != user.AbuseDesk {
			t.Errorf("%+v %v", again, err)
		}
		p.says(map[string]any{"groups": []string{"staff"}})
		id, err = identity(t, x, p)
		if err != nil || id.Role != "" {
			t.Fatalf("%+v %v", id, err)
		}
		_, err = r.SignInExternal(t.Context(), id, home, "")
		want(t, "no role here any more", err, user.ErrDenied)
		// A user who is there already is bound if the provider has verified his address.
		for _, tc := range []struct {
			name    string
			subject string
			claims  map[string]any
			err     error
		}{
			{"not verified", "s-2", map[string]any{"email": "Spare@example.org", "groups": []string{"mail-operators"}}, user.ErrDenied},
			{"verified", "s-2", map[string]any{"email": "Spare@example.org", "email_verified": "true", "groups": []string{"mail-operators"}}, nil},
			{"a second subject with his address", "s-3", map[string]any{"email": "spare@example.org", "email_verified": true, "groups": []string{"mail-operators"}}, user.ErrDenied},
			{"an allowed address", "s-4", map[string]any{"email": "boss@example.org", "email_verified": true}, nil},
			{"no address", "s-5", map[string]any{"groups": []string{"mail-operators"}}, user.ErrInvalid},
		} {
			tc.claims["sub"] = tc.subject
			p.says(tc.claims)
			id, err := identity(t, x, p)
			if err != nil {
				t.Fatal(err)
			}
			in, err := r.SignInExternal(t.Context(), id, home, "")
			want(t, tc.name, err, tc.err)
			if err == nil && strings.HasPrefix(strings.ToLower(id.Address.String()), "spare@") && in.User.ID != spare.ID {
				t.Errorf("%s: another user", tc.name)
			}
		}
		// A customer's user is nobody that the operator's provider speaks for.
		r.registered(t, "owner@shop.example", user.CustomerAdmin, "shop")
		p.says(map[string]any{"sub": "s-6", "email": "owner@shop.example", "email_verified": true, "groups": []string{"mail-operators"}})
		id, err = identity(t, x, p)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.SignInExternal(t.Context(), id, home, "")
		want(t, "a customer's address", err, user.ErrDenied)
		// Who signs in there only has no password that a link could set.
		want(t, "ask", r.AskReset(t.Context(), "boss@example.org", home), nil)
		for _, told := range r.mails() {
			if told.Kind == user.TellReset {
				t.Errorf("told %+v", told)
			}
		}
	})
}

func TestIdentityTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	r := once(t)
	p := newProvider(t, r.clock.Now)
	x := r.oidc(t, p)
	for _, tc := range []struct {
		name   string
		claims map[string]any
	}{
		{"of another issuer", map[string]any{"iss": "https://evil.example"}},
		{"for another client", map[string]any{"aud": "other"}},
		{"ended", map[string]any{"exp": r.clock.Now().Add(-time.Hour).Unix()}},
		{"of another visit", map[string]any{"nonce": "x"}},
		{"without a visit", map[string]any{"nonce": ""}},
		{"of nobody", map[string]any{"sub": ""}},
	} {
		p.says(tc.claims)
		_, err := identity(t, x, p)
		want(t, tc.name, err, user.ErrDenied)
	}
	p.says(nil)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.signer = other
	_, err = identity(t, x, p)
	want(t, "signed with another key", err, user.ErrDenied)
	p.signer = p.key
	address, state, err := x.AuthURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back := p.visit(address)
	_, err = x.Exchange(t.Context(), "", back)
	want(t, "no cookie", err, user.ErrDenied)
	_, err = x.Exchange(t.Context(), state[1:]+"A", back)
	want(t, "another browser's cookie", err, user.ErrDenied)
	_, err = x.Exchange(t.Context(), state, url.Values{"state": {state}, "error": {"access_denied"}})
	want(t, "the provider refuses", err, user.ErrDenied)
	_, err = x.Exchange(t.Context(), state, back)
	want(t, "the state again", err, user.ErrDenied)
	address, state, err = x.AuthURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	foreign := p.visit(address)
	address, mine, err := x.AuthURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.visit(address)
	_, err = x.Exchange(t.Context(), mine, url.Values{"state": {mine}, "code": foreign["code"]})
	want(t, "another visit's code", err, user.ErrDenied)
	r.clock.Add(10 * time.Minute)
	_, err = x.Exchange(t.Context(), state, foreign)
	want(t, "too late", err, user.ErrDenied)
	address, state, err = x.AuthURL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	back = p.visit(address)
	if _, err = x.Exchange(t.Context(), state, back); err != nil {
		t.Fatalf("a good visit: %v", err)
	}
}

// TestProviderThatDoesNotAnswer hinders nobody's start, and says what is wrong when it is asked.
func TestProviderThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := open(t, storetest.SQLite(t, store.MainSchema()))
	p := newProvider(t, r.clock.Now)
	x := r.oidc(t, p)
	p.Close()
	if _, _, err := x.AuthURL(context.Background()); err == nil || !strings.Contains(err.Error(), p.URL) {
		t.Errorf("got %v", err)
	}
	for _, o := range []user.OIDCOptions{{}, {Issuer: "id.example.org", ClientID: "x", Redirect: "https://gate.example.test/"}, {Issuer: "https://id.example.org", ClientID: "x"},
		{Issuer: "https://id.example.org", Redirect: "https://gate.example.test/"}, {Issuer: "ftp://id.example.org", ClientID: "x", Redirect: "https://gate.example.test/"}} {
		if _, err := user.NewOIDC(r.Ledger, o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}
