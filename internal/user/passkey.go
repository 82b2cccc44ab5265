package user

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"postern/internal/store"
)

// Figures of passkeys (WebAuthn Level 3).
const (
	ceremonyFor = 5 * time.Minute
	maxPasskeys = 20       // of a user
	maxResponse = 64 << 10 // bytes of what a browser answers
)

// Passkey is a key of a user's device that signs him in, without a password or a code.
type Passkey struct {
	ID      string // credential id, base64url
	Label   string // for people: which device
	Created time.Time
	Used    time.Time // zero: never
}

// passkeys is what browsers bind passkeys to: the host of BaseURL.
type passkeys struct{ rp *webauthn.WebAuthn }

// newPasskeys returns nil where browsers would refuse: no name of a host, or one that is neither HTTPS nor localhost.
func newPasskeys(name, base string) (*passkeys, error) {
	u, err := url.Parse(base)
	if base == "" || err != nil {
		return nil, nil
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || u.Scheme != "https" && host != "localhost" {
		return nil, nil
	}
	if name == "" {
		name = host
	}
	rp, err := webauthn.New(&webauthn.Config{RPID: host, RPDisplayName: name, RPOrigins: []string{u.Scheme + "://" + u.Host},
		AttestationPreference:  protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired}})
	if err != nil {
		return nil, fmt.Errorf("user: passkeys for %s: %w", base, err)
	}
	return &passkeys{rp}, nil
}

// HasPasskeys reports whether passkeys can be used: browsers bind them to a host with HTTPS, or to localhost.
func (l *Ledger) HasPasskeys() bool { return l.keys != nil }

var errNoPasskeys = fmt.Errorf("%w: passkeys need web.base_url to be an https address with a host name", ErrInvalid)

// holder is a user as the library sees him.
type holder struct {
	person
	keys []webauthn.Credential
}

func (h holder) WebAuthnID() []byte                         { return []byte(h.ID) }
func (h holder) WebAuthnName() string                       { return h.Address.String() }
func (h holder) WebAuthnDisplayName() string                { return h.Principal().Name }
func (h holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

func findHolder(t *store.Tx, id string) (holder, error) {
	p, err := findPerson(t, id)
	if err != nil {
		return holder{}, err
	}
	h := holder{person: p}
	rows := t.Query(`SELECT data FROM user_passkey WHERE person = ? ORDER BY created, id`, id)
	for rows.Next() {
		var data []byte
		var c webauthn.Credential
		if err := rows.Scan(&data); err != nil {
			return holder{}, err
		}
		if err := json.Unmarshal(data, &c); err != nil {
			return holder{}, fmt.Errorf("user: passkey of %s: %w", id, err)
		}
		h.keys = append(h.keys, c)
	}
	return h, rows.Err()
}

func (l *Ledger) holder(ctx context.Context, id string) (h holder, err error) {
	err = l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		h, err = findHolder(t, id)
		return err
	})
	return h, err
}

// Passkeys lists a user's passkeys, the oldest first.
func (l *Ledger) Passkeys(ctx context.Context, user string) ([]Passkey, error) {
	var all []Passkey
	err := l.o.DB.Read(ctx, func(t *store.Tx) error {
		all = nil
		rows := t.Query(`SELECT id, label, created, used FROM user_passkey WHERE person = ? ORDER BY created, id`, user)
		for rows.Next() {
			var k Passkey
			if err := rows.Scan(&k.ID, &k.Label, &k.Created, &k.Used); err != nil {
				return err
			}
			all = append(all, k)
		}
		return rows.Err()
	})
	return all, err
}

// begin remembers a ceremony and returns its secret with the options as the browser wants them.
func (l *Ledger) beginCeremony(ctx context.Context, kind, person string, options any, s *webauthn.SessionData) (answer []byte, state string, err error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, "", err
	}
	if answer, err = json.Marshal(options); err != nil {
		return nil, "", err
	}
	now := l.now()
	state, err = l.makeOnce(ctx, once{kind: kind, person: person, created: now, ends: now.Add(ceremonyFor), data: data})
	return answer, state, err
}

// takeCeremony returns what beginCeremony remembered: each challenge is answered once, right or wrong.
func (l *Ledger) takeCeremony(ctx context.Context, kind, state string) (person string, s webauthn.SessionData, err error) {
	var o once
	if err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		o, err = l.takeOnce(t, state, kind)
		return err
	}); err != nil {
		return "", s, err
	}
	return o.person, s, json.Unmarshal(o.data, &s)
}

// BeginPasskey asks a user's browser to make a passkey: options is the JSON of navigator.credentials.create, state what FinishPasskey takes
// within five minutes. Errors: ErrNotFound, ErrInvalid.
func (l *Ledger) BeginPasskey(ctx context.Context, user string) (options []byte, state string, err error) {
	if l.keys == nil {
		return nil, "", errNoPasskeys
	}
	h, err := l.holder(ctx, user)
	if err != nil {
		return nil, "", err
	}
	if len(h.keys) >= maxPasskeys {
		return nil, "", fmt.Errorf("%w: there are %d passkeys already; remove some", ErrInvalid, len(h.keys))
	}
	creation, s, err := l.keys.rp.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
	if err != nil {
		return nil, "", fmt.Errorf("user: passkey: %w", err)
	}
	return l.beginCeremony(ctx, onceRegister, user, creation, s)
}

// FinishPasskey takes what the browser made of BeginPasskey's options. Errors: ErrDenied for what does not fit, ErrInvalid for the label.
func (l *Ledger) FinishPasskey(ctx context.Context, user, state, label string, response []byte) (Passkey, error) {
	label = strings.TrimSpace(label)
	switch {
	case l.keys == nil:
		return Passkey{}, errNoPasskeys
	case utf8.RuneCountInString(label) > maxLabel || strings.ContainsFunc(label, unicode.IsControl):
		return Passkey{}, fmt.Errorf("%w: a label has at most %d characters", ErrInvalid, maxLabel)
	case len(response) > maxResponse:
		return Passkey{}, ErrDenied
	}
	owner, s, err := l.takeCeremony(ctx, onceRegister, state)
	if err != nil {
		return Passkey{}, err
	}
	if owner != user {
		return Passkey{}, ErrDenied
	}
	h, err := l.holder(ctx, user)
	if err != nil {
		return Passkey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Passkey{}, ErrDenied
	}
	c, err := l.keys.rp.CreateCredential(h, s, parsed)
	if err != nil {
		l.o.Logger.Info("passkey refused", "user", user, "reason", err)
		return Passkey{}, ErrDenied
	}
	data, err := json.Marshal(c)
	if err != nil {
		return Passkey{}, err
	}
	k := Passkey{ID: base64.RawURLEncoding.EncodeToString(c.ID), Label: label, Created: l.now()}
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		_, err := t.Exec(`INSERT INTO user_passkey (id, person, label, created, used, data) VALUES (?,?,?,?,?,?)`, k.ID, user, k.Label, k.Created, k.Used, data)
		return err
	})
	if errors.Is(err, store.ErrConflict) {
		return Passkey{}, ErrDenied // somebody's already
	}
	if err != nil {
		return Passkey{}, err
	}
	l.tell(ctx, Telling{Kind: TellPasskey, User: h.User})
	return k, nil
}

// RemovePasskey takes a passkey from a user. Error: ErrNotFound.
func (l *Ledger) RemovePasskey(ctx context.Context, user, id string) error {
	var p person
	err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if p, err = findPerson(t, user); err != nil {
			return err
		}
		n, err := t.Exec(`DELETE FROM user_passkey WHERE id = ? AND person = ?`, id, user)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: passkey", ErrNotFound)
		}
		return err
	})
	if err == nil {
		l.tell(ctx, Telling{Kind: TellPasskey, User: p.User})
	}
	return err
}

// BeginPasskeySignIn asks a browser for a passkey of whoever sits there: options is the JSON of navigator.credentials.get, state what
// PasskeySignIn or ProvePasskey takes within five minutes. Error: ErrInvalid.
func (l *Ledger) BeginPasskeySignIn(ctx context.Context) (options []byte, state string, err error) {
	if l.keys == nil {
		return nil, "", errNoPasskeys
	}
	assertion, s, err := l.keys.rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", fmt.Errorf("user: passkey: %w", err)
	}
	return l.beginCeremony(ctx, oncePasskey, "", assertion, s)
}

// PasskeySignIn takes what the browser made of BeginPasskeySignIn's options, and signs its user in: a passkey is both steps, since the device
// has verified him. Errors: ErrDenied, ErrThrottled.
func (l *Ledger) PasskeySignIn(ctx context.Context, state string, response []byte, ip netip.Addr, agent string) (SignedIn, error) {
	h, c, err := l.assert(ctx, state, response, ip)
	if err != nil {
		return SignedIn{}, err
	}
	return l.enter(ctx, h.person, ip, agent, func(t *store.Tx) error { return l.keyUsed(t, h.ID, c) })
}

// ProvePasskey takes a passkey of a user who is signed in, and makes his session fresh. Errors: ErrDenied, ErrThrottled.
func (l *Ledger) ProvePasskey(ctx context.Context, user, session, state string, response []byte, ip netip.Addr) error {
	h, c, err := l.assert(ctx, state, response, ip)
	if err != nil {
		return err
	}
	if h.ID != user {
		return ErrDenied
	}
	return l.o.DB.Write(ctx, func(t *store.Tx) error {
		if err := l.keyUsed(t, user, c); err != nil {
			return err
		}
		return proved(t, user, session, l.now())
	})
}

// assert checks what a browser answered.
func (l *Ledger) assert(ctx context.Context, state string, response []byte, ip netip.Addr) (holder, *webauthn.Credential, error) {
	if l.keys == nil {
		return holder{}, nil, errNoPasskeys
	}
	if !l.gate.AdmitsNetwork(ip, l.o.Now()) {
		return holder{}, nil, ErrThrottled
	}
	h, c, err := l.asserted(ctx, state, response)
	if errors.Is(err, ErrDenied) {
		l.gate.FailedNetwork(ip, l.o.Now())
	}
	return h, c, err
}

func (l *Ledger) asserted(ctx context.Context, state string, response []byte) (h holder, c *webauthn.Credential, err error) {
	_, s, err := l.takeCeremony(ctx, oncePasskey, state)
	if err != nil {
		return h, nil, err
	}
	if len(response) > maxResponse {
		return h, nil, ErrDenied
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return h, nil, ErrDenied
	}
	var broken error // of the database: not the visitor's fault
	_, c, err = l.keys.rp.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if len(handle) > maxSecret {
			return nil, ErrDenied
		}
		found, err := l.holder(ctx, string(handle))
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				broken = err
			}
			return nil, ErrDenied
		}
		h = found
		return found, nil
	}, s, parsed)
	switch {
	case broken != nil:
		return h, nil, broken
	case err != nil:
		return h, nil, ErrDenied
	case c.Authenticator.CloneWarning:
		l.o.Logger.Warn("a passkey's counter went back: somebody may have copied it", "user", h.ID)
		return h, nil, ErrDenied
	}
	return h, c, nil
}

// keyUsed writes down the counter and flags of a passkey after its use. A passkey that was removed meanwhile proves nothing.
func (l *Ledger) keyUsed(t *store.Tx, user string, c *webauthn.Credential) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	n, err := t.Exec(`UPDATE user_passkey SET used = ?, data = ? WHERE id = ? AND person = ?`, l.now(), data, base64.RawURLEncoding.EncodeToString(c.ID), user)
	if err == nil && n == 0 {
		err = ErrDenied
	}
	return err
}
