package postmaster

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"postern/internal/store"
)

// Figures of the sign-in with Microsoft.
const (
	signInFor  = 30 * time.Minute    // how long a person may take
	refreshFor = 90 * 24 * time.Hour // a refresh token of a personal account, unless the answer says it (Microsoft identity platform, read 2026-11)
	minSecret  = 16
	maxCode    = 4096
)

// grant is a permission, as it is sealed.
type grant struct {
	Refresh  string `json:"refresh,omitempty"`
	Verifier string `json:"verifier,omitempty"` // PKCE, of a sign-in under way
	By       string `json:"by,omitempty"`
}

// Connection is how the account of SNDS is connected.
type Connection struct {
	Possible bool // it is configured, and permissions can be kept
	There    bool
	By       string // who connected it
	Made     time.Time
	Renewed  time.Time // when Microsoft last renewed the permission
	Expires  time.Time // when it ends unless it is renewed before
	Redirect string    // where the sign-in leads back to
	Local    bool      // that is an address of the person's own machine, which shows no page: its address is pasted
}

// oauth is the client of Microsoft's sign-in. The portal's client is public: it has no secret, and PKCE protects the code (RFC 7636).
func (p *Postmaster) oauth() *oauth2.Config {
	m := p.o.Microsoft
	base := strings.TrimSuffix(m.Authority, "/") + "/oauth2/v2.0/"
	return &oauth2.Config{ClientID: m.ClientID, RedirectURL: m.Redirect, Scopes: strings.Fields(m.Scope),
		Endpoint: oauth2.Endpoint{AuthURL: base + "authorize", TokenURL: base + "token", AuthStyle: oauth2.AuthStyleInParams}}
}

func (p *Postmaster) canConnect() bool {
	return p.o.Microsoft.Base != "" && len(p.o.Secret) >= minSecret
}

// Connection tells how the account of SNDS is connected.
func (p *Postmaster) Connection(ctx context.Context) (c Connection, err error) {
	m := p.o.Microsoft
	c = Connection{Possible: p.canConnect(), Redirect: m.Redirect, Local: strings.HasPrefix(m.Redirect, "http://localhost") || strings.HasPrefix(m.Redirect, "http://127.0.0.1")}
	err = p.db.Read(ctx, func(tx *store.Tx) error {
		var sealed []byte
		err := tx.QueryRow(sqlGrant, SourceSNDS).Scan(&sealed, &c.Made, &c.By, &c.Renewed, &c.Expires)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		c.There = err == nil
		return err
	})
	return c, wrap(err)
}

// Connect begins a sign-in with Microsoft and returns the page to send the person to, and the state that comes back. The person must be the one who finishes.
func (p *Postmaster) Connect(ctx context.Context, by string) (page, state string, err error) {
	if !p.canConnect() {
		return "", "", ErrOff
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	sealed, err := p.seal(stateID(state), grant{Verifier: verifier, By: by})
	if err != nil {
		return "", "", err
	}
	now := micros(p.o.Now())
	err = p.db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(sqlPutGrant, stateID(state), sealed, now, by, now, now.Add(signInFor))
		return err
	})
	if err != nil {
		return "", "", wrap(err)
	}
	return p.oauth().AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "select_account")), state, nil
}

// Finish ends a sign-in with what Microsoft sent back. Each state counts once, within half an hour, for who began it.
func (p *Postmaster) Finish(ctx context.Context, state, code, by string) error {
	if !p.canConnect() {
		return ErrOff
	}
	if state == "" || code == "" || len(state) > 100 || len(code) > maxCode {
		return ErrSignIn
	}
	var g grant
	var sealed []byte
	var made time.Time
	err := p.db.Write(ctx, func(tx *store.Tx) error {
		var who string
		var renewed, expires time.Time
		sealed = nil
		err := tx.QueryRow(sqlGrant, stateID(state)).Scan(&sealed, &made, &who, &renewed, &expires)
		if errors.Is(err, store.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, err = tx.Exec(sqlDropGrant, stateID(state))
		}
		return err
	})
	if err != nil {
		return wrap(err)
	}
	if sealed == nil || p.o.Now().Sub(made) > signInFor {
		return ErrSignIn
	}
	if g, err = p.open(stateID(state), sealed); err != nil || g.By != by {
		return ErrSignIn
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	t, err := p.oauth().Exchange(context.WithValue(ctx, oauth2.HTTPClient, p.o.HTTP), code, oauth2.VerifierOption(g.Verifier))
	if err != nil {
		p.log.Warn("postmaster: the sign-in with Microsoft was not accepted", "fault", string(tokenFault(err)))
		return ErrSignIn
	}
	if t.RefreshToken == "" {
		p.log.Warn("postmaster: the sign-in with Microsoft gave no permission that lasts; the scope must have offline_access")
		return ErrSignIn
	}
	if err := p.keepGrant(ctx, t, by, true); err != nil {
		return err
	}
	return p.Again(SourceSNDS)
}

// Disconnect forgets the permission. The figures stay.
func (p *Postmaster) Disconnect(ctx context.Context) error {
	p.mu.Lock()
	delete(p.access, SourceSNDS)
	p.mu.Unlock()
	err := p.db.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(sqlDropGrant, SourceSNDS); err != nil {
			return err
		}
		_, err := tx.Exec(sqlDropSource, SourceSNDS)
		return err
	})
	if err == nil {
		p.o.Clear("snds.fetch " + SourceSNDS)
		p.o.Clear("snds.access " + SourceSNDS)
	}
	return wrap(err)
}

// keepGrant seals and stores what Microsoft gave.
func (p *Postmaster) keepGrant(ctx context.Context, t *oauth2.Token, by string, first bool) error {
	sealed, err := p.seal(SourceSNDS, grant{Refresh: t.RefreshToken, By: by})
	if err != nil {
		return err
	}
	now := micros(p.o.Now())
	expires := now.Add(refreshFor)
	if n, ok := t.Extra("refresh_token_expires_in").(float64); ok && n > 0 && n < 1e8 {
		expires = now.Add(time.Duration(n) * time.Second)
	}
	err = p.db.Write(ctx, func(tx *store.Tx) error {
		made, who := now, by
		if !first {
			var old []byte
			var renewed, ends time.Time
			if err := tx.QueryRow(sqlGrant, SourceSNDS).Scan(&old, &made, &who, &renewed, &ends); err != nil {
				return err // taken away meanwhile: nothing is kept
			}
		}
		if _, err := tx.Exec(sqlPutGrant, SourceSNDS, sealed, made, who, now, expires); err != nil {
			return err
		}
		s, err := loadSource(tx, SourceSNDS)
		if err != nil {
			return err
		}
		if s.Expires = expires; first {
			s.Begun, s.Failing, s.fails, s.Fault, s.Next = now, time.Time{}, 0, "", now
		}
		return storeSource(tx, s)
	})
	if err != nil {
		return wrap(err)
	}
	p.remember(SourceSNDS, t)
	return nil
}

func (p *Postmaster) remember(source string, t *oauth2.Token) {
	until := p.o.Now().Add(time.Hour)
	if t.ExpiresIn > 0 && t.ExpiresIn < 1e6 {
		until = p.o.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
	}
	p.mu.Lock()
	p.access[source] = token{t.AccessToken, until}
	p.mu.Unlock()
}

// microsoftToken returns a permission for one question; a new one when fresh or when the former ends within minutes.
func (p *Postmaster) microsoftToken(ctx context.Context, fresh bool) (bearer string, fault Fault) {
	p.mu.Lock()
	had := p.access[SourceSNDS]
	p.mu.Unlock()
	if !fresh && had.value != "" && had.until.Sub(p.o.Now()) > 5*time.Minute {
		return had.value, ""
	}
	var sealed []byte
	err := p.db.Read(ctx, func(tx *store.Tx) (err error) {
		sealed, _, err = loadGrant(tx, SourceSNDS)
		return err
	})
	if err != nil {
		return "", FaultInternal
	}
	if sealed == nil {
		return "", FaultSignedOut
	}
	g, err := p.open(SourceSNDS, sealed)
	if err != nil {
		return "", FaultKey // the secret is another one now
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, p.o.HTTP), askTime)
	defer cancel()
	t, err := p.oauth().TokenSource(ctx, &oauth2.Token{RefreshToken: g.Refresh}).Token()
	if err != nil {
		return "", tokenFault(err)
	}
	if t.RefreshToken == "" {
		t.RefreshToken = g.Refresh
	}
	if err := p.keepGrant(ctx, t, g.By, false); err != nil {
		return "", FaultInternal
	}
	return t.AccessToken, ""
}

// tokenFault says why no token was given. The error's text holds the provider's answer and stays here.
func tokenFault(err error) Fault {
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) {
		return FaultUnreachable
	}
	switch status := 0; {
	case r.ErrorCode == "invalid_grant" || r.ErrorCode == "interaction_required" || r.ErrorCode == "consent_required":
		return FaultSignedOut
	case r.ErrorCode != "":
		return FaultKey
	default:
		if r.Response != nil {
			status = r.Response.StatusCode
		}
		return answer{status: status, body: r.Body}.tokenFault()
	}
}

func (a answer) tokenFault() Fault {
	switch {
	case a.status == http.StatusTooManyRequests || a.status >= 500:
		return FaultBusy
	case a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized:
		return FaultSignedOut
	}
	return FaultUnexpected
}

func loadGrant(tx *store.Tx, id string) (sealed []byte, there bool, err error) {
	var made, renewed, expires time.Time
	var by string
	err = tx.QueryRow(sqlGrant, id).Scan(&sealed, &made, &by, &renewed, &expires)
	if errors.Is(err, store.ErrNoRows) {
		return nil, false, nil
	}
	return sealed, err == nil, err
}

// stateID is the name of a sign-in under way: the state itself is a secret between the person's browser and us.
func stateID(state string) string {
	sum := sha256.Sum256([]byte(state))
	return "sign-in " + hex.EncodeToString(sum[:])
}

// aead is AES-256-GCM under a key of our secret that serves nothing else.
func (p *Postmaster) aead() (cipher.AEAD, error) {
	if len(p.o.Secret) < minSecret {
		return nil, ErrOff
	}
	mac := hmac.New(sha256.New, p.o.Secret)
	mac.Write([]byte("postern postmaster grant 1"))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts a permission for the row of that id.
func (p *Postmaster) seal(id string, g grant) ([]byte, error) {
	a, err := p.aead()
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, plain, []byte(id)), nil
}

func (p *Postmaster) open(id string, sealed []byte) (g grant, err error) {
	a, err := p.aead()
	if err != nil {
		return g, err
	}
	plain, err := a.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return g, fmt.Errorf("postmaster: the permission was encrypted with another secret")
	}
	return g, json.Unmarshal(plain, &g)
}
