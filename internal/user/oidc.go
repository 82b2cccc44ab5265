package user

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"postern/internal/mail"
	"postern/internal/store"
)

// Figures of OpenID Connect.
const (
	oidcFor     = 10 * time.Minute // how long the visit at the provider may take
	oidcTimeout = 10 * time.Second // of one question to the provider
	oidcBytes   = 1 << 20          // of one answer
	onceOIDC    = "oidc"
)

// OIDCOptions is what NewOIDC needs. Issuer, ClientID and Redirect are required, and one of the groups or addresses, or nobody comes in.
type OIDCOptions struct {
	Issuer         string   // address of the identity provider, as its tokens say it
	ClientID       string   // what the provider knows us by
	ClientSecret   string   // "": a public client, PKCE only
	Redirect       string   // address of our page that the provider sends people back to
	GroupsClaim    string   // claim that lists a user's groups; default "groups"
	OperatorGroup  string   // its members are operators
	AbuseGroup     string   // its members are of the abuse desk
	AllowAddresses []string // verified addresses whose owners are operators without a group
	Client         *http.Client
}

// OIDC is the operator's identity provider (OpenID Connect Core 1.0, authorization code with PKCE, RFC 7636). Its methods may be called concurrently.
type OIDC struct {
	l *Ledger
	o OIDCOptions

	mu       sync.Mutex
	provider *oidc.Provider // nil: not asked yet
}

// Identity is who the provider says that somebody is.
type Identity struct {
	Issuer, Subject string
	Address         mail.Address // null: not told
	Verified        bool         // the provider has verified the address
	Name            string
	Role            Role // by groups and addresses; "": none of ours
}

// NewOIDC checks the options. The provider is asked when somebody signs in, so that its absence hinders nothing else.
func NewOIDC(l *Ledger, o OIDCOptions) (*OIDC, error) {
	for _, x := range []struct{ what, value string }{{"issuer", o.Issuer}, {"redirect address", o.Redirect}} {
		if u, err := url.Parse(x.value); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, fmt.Errorf("user: OpenID Connect: %s %q is no web address", x.what, x.value)
		}
	}
	if o.ClientID == "" {
		return nil, errors.New("user: OpenID Connect: no client id")
	}
	if o.GroupsClaim == "" {
		o.GroupsClaim = "groups"
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: oidcTimeout, Transport: bounded{http.DefaultTransport}}
	}
	return &OIDC{l: l, o: o}, nil
}

// bounded cuts answers that are too long for what is asked.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, oidcBytes), answer.Body}
	}
	return answer, err
}

// discovered asks the provider where its pages and keys are, once.
func (x *OIDC) discovered(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), x.o.Client), x.o.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("user: identity provider %s: %w", x.o.Issuer, err)
		}
		x.provider = p
	}
	return x.provider, &oauth2.Config{ClientID: x.o.ClientID, ClientSecret: x.o.ClientSecret, Endpoint: x.provider.Endpoint(), RedirectURL: x.o.Redirect,
		Scopes: []string{oidc.ScopeOpenID, "email", "profile"}}, nil
}

// oidcVisit is what is remembered of a visit at the provider.
type oidcVisit struct{ Nonce, Verifier string }

// AuthURL begins a sign-in: address is where the browser goes, state what it must bring back, which the caller also puts into a cookie.
func (x *OIDC) AuthURL(ctx context.Context) (address, state string, err error) {
	_, c, err := x.discovered(ctx)
	if err != nil {
		return "", "", err
	}
	nonce, _, err := newSecret()
	if err != nil {
		return "", "", err
	}
	v := oidcVisit{Nonce: nonce, Verifier: oauth2.GenerateVerifier()}
	data, err := json.Marshal(v)
	if err != nil {
		return "", "", err
	}
	now := x.l.now()
	if state, err = x.l.makeOnce(ctx, once{kind: onceOIDC, created: now, ends: now.Add(oidcFor), data: data}); err != nil {
		return "", "", err
	}
	return c.AuthCodeURL(state, oidc.Nonce(v.Nonce), oauth2.S256ChallengeOption(v.Verifier)), state, nil
}

// Exchange ends a sign-in: cookie is the state that AuthURL gave this browser, query what the provider sent it back with.
// Errors: ErrDenied for what does not fit, or when the provider refused; others when the provider cannot be asked.
func (x *OIDC) Exchange(ctx context.Context, cookie string, query url.Values) (Identity, error) {
	state := query.Get("state")
	if cookie == "" || subtle.ConstantTimeCompare([]byte(state), []byte(cookie)) != 1 {
		return Identity{}, ErrDenied
	}
	var v oidcVisit
	if err := x.l.o.DB.Write(ctx, func(t *store.Tx) error {
		o, err := x.l.takeOnce(t, state, onceOIDC)
		if err != nil {
			return err
		}
		return json.Unmarshal(o.data, &v)
	}); err != nil {
		return Identity{}, err
	}
	code := query.Get("code")
	if reason := query.Get("error"); reason != "" || code == "" {
		x.l.o.Logger.Info("the identity provider let nobody in", "reason", cut(reason, 100))
		return Identity{}, ErrDenied
	}
	provider, c, err := x.discovered(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, x.o.Client)
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(v.Verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) && refused.Response.StatusCode < 500 {
			x.l.o.Logger.Warn("the identity provider refused a code", "status", refused.Response.StatusCode, "reason", cut(refused.ErrorCode, 100))
			return Identity{}, ErrDenied
		}
		return Identity{}, fmt.Errorf("user: identity provider %s: %w", x.o.Issuer, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, ErrDenied
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: x.o.ClientID, Now: x.l.o.Now}).Verify(ctx, raw)
	if err != nil {
		x.l.o.Logger.Warn("an identity token was refused", "reason", err)
		return Identity{}, ErrDenied
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(v.Nonce)) != 1 || id.Subject == "" {
		return Identity{}, ErrDenied
	}
	return x.identity(id)
}

// identity reads the claims.
func (x *OIDC) identity(id *oidc.IDToken) (Identity, error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return Identity{}, ErrDenied
	}
	text := func(name string) string { s, _ := claims[name].(string); return s }
	out := Identity{Issuer: id.Issuer, Subject: cut(id.Subject, 255), Name: cut(text("name"), 100)}
	out.Address, _ = mail.ParseAddress(text("email"))
	switch v := claims["email_verified"].(type) {
	case bool:
		out.Verified = v
	case string: // some providers write it so
		out.Verified = v == "true"
	}
	out.Role = x.role(out, groups(claims[x.o.GroupsClaim]))
	return out, nil
}

// groups reads a claim that lists words, or is one.
func groups(claim any) []string {
	var out []string
	switch v := claim.(type) {
	case string:
		out = []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// role is the mightiest that groups and address give.
func (x *OIDC) role(id Identity, groups []string) Role {
	allowed := id.Verified && slices.ContainsFunc(x.o.AllowAddresses, func(a string) bool { return strings.EqualFold(a, id.Address.String()) })
	switch {
	case x.o.OperatorGroup != "" && slices.Contains(groups, x.o.OperatorGroup), allowed:
		return Operator
	case x.o.AbuseGroup != "" && slices.Contains(groups, x.o.AbuseGroup):
		return AbuseDesk
	}
	return ""
}

// SignInExternal signs in whom the provider names. The first time, he is bound to the user of the gateway with the same address, if the provider
// has verified that, or made; each time he gets the role that the provider's word gives him. Errors: ErrDenied for who has no role here, is disabled or has
// another's address; ErrLast when his new role would leave no operator.
func (l *Ledger) SignInExternal(ctx context.Context, id Identity, ip netip.Addr, agent string) (SignedIn, error) {
	if !id.Role.Gateway() || id.Issuer == "" || id.Subject == "" {
		return SignedIn{}, ErrDenied
	}
	var p person
	err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if p, err = l.bound(t, id); err != nil {
			return err
		}
		if !l.alive(p) || !p.Role.Gateway() {
			return ErrDenied
		}
		if p.Role == id.Role {
			return nil
		}
		if err := notLast(t, p); err != nil {
			return err
		}
		p.Role = id.Role
		_, err = t.Exec(`UPDATE user_person SET role = ? WHERE id = ?`, p.Role, p.ID)
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		err = ErrDenied
	}
	if err != nil {
		return SignedIn{}, err
	}
	return l.enter(ctx, p, ip, agent, nil)
}

// bound returns the user of an identity, and binds or makes him.
func (l *Ledger) bound(t *store.Tx, id Identity) (person, error) {
	var user string
	err := t.QueryRow(`SELECT person FROM user_identity WHERE issuer = ? AND subject = ?`, id.Issuer, id.Subject).Scan(&user)
	if err == nil {
		return findPerson(t, user)
	}
	if !errors.Is(err, store.ErrNoRows) {
		return person{}, err
	}
	p, err := findAddress(t, id.Address.String())
	switch {
	case err == nil && (!id.Verified || p.External || !p.Role.Gateway()):
		return person{}, ErrDenied // his word alone does not make him that user; nor does an address that somebody else had before
	case errors.Is(err, ErrNotFound):
		u, err := l.checked(User{Address: id.Address, Name: id.Name, Role: id.Role})
		if err != nil {
			return person{}, err
		}
		if u, err = l.insertPerson(t, u, ""); err != nil {
			return person{}, err
		}
		p = person{User: u}
	case err != nil:
		return person{}, err
	}
	p.External = true
	_, err = t.Exec(`INSERT INTO user_identity (issuer, subject, person, created) VALUES (?,?,?,?)`, id.Issuer, id.Subject, p.ID, l.now())
	return p, err
}
