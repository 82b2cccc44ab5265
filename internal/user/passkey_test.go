package user_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/user"
)

// device is a software authenticator with one key (WebAuthn Level 3, 6.1 and 6.5.1).
type device struct {
	t        testing.TB
	key      *ecdsa.PrivateKey
	id       []byte
	handle   string // the user that the key was made for
	counter  uint32
	rp       string
	origin   string
	verified bool // the device has verified its user
}

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	if _, err := rand.Read(id); err != nil {
		t.Fatal(err)
	}
	return &device{t: t, key: key, id: id, counter: 1, rp: "gate.example.test", origin: "https://gate.example.test", verified: true}
}

func b64(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

// options are what pages hand to the browser.
type options struct {
	PublicKey struct {
		Challenge string `json:"challenge"`
		RPID      string `json:"rpId"`
		RP        struct {
			ID string `json:"id"`
		} `json:"rp"`
		User struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"user"`
		UserVerification       string `json:"userVerification"`
		AuthenticatorSelection struct {
			ResidentKey      string `json:"residentKey"`
			UserVerification string `json:"userVerification"`
		} `json:"authenticatorSelection"`
		ExcludeCredentials []struct {
			ID string `json:"id"`
		} `json:"excludeCredentials"`
	} `json:"publicKey"`
}

func (d *device) read(text []byte) options {
	d.t.Helper()
	var o options
	if err := json.Unmarshal(text, &o); err != nil {
		d.t.Fatalf("%v in %s", err, text)
	}
	return o
}

// data is the authenticator data, with the key when it is new.
func (d *device) data(attested bool) []byte {
	rp := sha256.Sum256([]byte(d.rp))
	flags := byte(0x01) // user present
	if d.verified {
		flags |= 0x04
	}
	if attested {
		flags |= 0x40
	}
	out := append(rp[:], flags)
	out = binary.BigEndian.AppendUint32(out, d.counter)
	if !attested {
		return out
	}
	out = append(out, make([]byte, 16)...) // AAGUID
	out = binary.BigEndian.AppendUint16(out, uint16(len(d.id)))
	out = append(out, d.id...)
	point, err := d.key.PublicKey.Bytes()
	if err != nil {
		d.t.Fatal(err)
	}
	// COSE key, RFC 9053 7.1: EC2, ES256, P-256, x, y.
	out = append(out, 0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20)
	out = append(out, point[1:33]...)
	out = append(out, 0x22, 0x58, 0x20)
	return append(out, point[33:]...)
}

func (d *device) client(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": d.origin, "crossOrigin": false})
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

func (d *device) answer(response map[string]string) []byte {
	text, err := json.Marshal(map[string]any{"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "response": response})
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

// create answers navigator.credentials.create.
func (d *device) create(text []byte) []byte {
	o := d.read(text)
	handle, err := base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	d.handle = string(handle)
	data := d.data(true)
	// CBOR: {"fmt": "none", "attStmt": {}, "authData": bytes}
	object := append([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58"), byte(len(data)))
	return d.answer(map[string]string{"clientDataJSON": b64(d.client("webauthn.create", o.PublicKey.Challenge)), "attestationObject": b64(append(object, data...))})
}

// get answers navigator.credentials.get.
func (d *device) get(text []byte) []byte {
	o := d.read(text)
	d.counter++
	data, client := d.data(false), d.client("webauthn.get", o.PublicKey.Challenge)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, d.key, signed[:])
	if err != nil {
		d.t.Fatal(err)
	}
	return d.answer(map[string]string{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64([]byte(d.handle))})
}

// enrol makes a passkey for a user.
func (r *room) enrol(t testing.TB, u user.User) *device {
	t.Helper()
	d := newDevice(t)
	options, state, err := r.BeginPasskey(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.FinishPasskey(t.Context(), u.ID, state, "phone", d.create(options)); err != nil {
		t.Fatal(err)
	}
	return d
}

// knock signs in with a passkey.
func (r *room) knock(t testing.TB, d *device) (user.SignedIn, error) {
	t.Helper()
	options, state, err := r.BeginPasskeySignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r.PasskeySignIn(t.Context(), state, d.get(options), home, "Firefox")
}

func TestPasskeys(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@example.org", user.Operator, "")
		r.codes(t, u) // a passkey is both steps
		options, state, err := r.BeginPasskey(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		d := newDevice(t)
		o := d.read(options)
		if o.PublicKey.RP.ID != "gate.example.test" || o.PublicKey.User.Name != "anna@example.org" || o.PublicKey.AuthenticatorSelection.ResidentKey != "required" || o.PublicKey.AuthenticatorSelection.UserVerification != "required" {
			t.Errorf("options %s", options)
		}
		key, err := r.FinishPasskey(t.Context(), u.ID, state, " phone ", d.create(options))
		if err != nil || key.Label != "phone" {
			t.Fatalf("%+v %v", key, err)
		}
		if told := r.mails(); len(told) != 1 || told[0].Kind != user.TellPasskey {
			t.Errorf("told %+v", told)
		}
		_, err = r.FinishPasskey(t.Context(), u.ID, state, "again", d.create(options))
		want(t, "the same challenge again", err, user.ErrDenied)
		in, err := r.knock(t, d)
		if err != nil || in.Secret == "" || in.User.ID != u.ID || in.User.Passkeys != 1 {
			t.Fatalf("%+v %v", in, err)
		}
		if all, err := r.Passkeys(t.Context(), u.ID); err != nil || len(all) != 1 || !all[0].Used.Equal(r.clock.Now()) {
			t.Errorf("%+v %v", all, err)
		}
		options, _, err = r.BeginPasskey(t.Context(), u.ID)
		if err != nil || len(d.read(options).PublicKey.ExcludeCredentials) != 1 {
			t.Errorf("a device is asked twice: %s %v", options, err)
		}
		// A fresh proof of the session that asks.
		r.clock.Add(time.Hour)
		get, state, err := r.BeginPasskeySignIn(t.Context())
		if err != nil || d.read(get).PublicKey.UserVerification != "required" || d.read(get).PublicKey.RPID != "gate.example.test" {
			t.Fatalf("%s %v", get, err)
		}
		want(t, "prove", r.ProvePasskey(t.Context(), u.ID, in.Session.ID, state, d.get(get), home), nil)
		if _, s, err := r.Resume(t.Context(), in.Secret, home); err != nil || !r.Fresh(s, time.Minute) {
			t.Errorf("not fresh after the passkey: %v", err)
		}
		want(t, "disable", r.SetDisabled(t.Context(), r.add(t, "spare@example.org", user.Operator, "").ID, true), nil)
		want(t, "another's passkey", r.RemovePasskey(t.Context(), "nobody", key.ID), user.ErrNotFound)
		want(t, "remove", r.RemovePasskey(t.Context(), u.ID, key.ID), nil)
		_, err = r.knock(t, d)
		want(t, "removed passkey", err, user.ErrDenied)
		want(t, "remove twice", r.RemovePasskey(t.Context(), u.ID, key.ID), user.ErrNotFound)
	})
}

func TestPasskeysThatAreRefused(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.registered(t, "anna@example.org", user.Operator, "")
	other := r.registered(t, "bob@example.org", user.Operator, "")
	for _, tc := range []struct {
		name  string
		spoil func(d *device)
	}{
		{"another site", func(d *device) { d.rp = "evil.example" }},
		{"another origin", func(d *device) { d.origin = "https://evil.example" }},
		{"without verification of its user", func(d *device) { d.verified = false }},
		{"another user", func(d *device) { d.handle = other.ID }},
		{"nobody", func(d *device) { d.handle = "nobody" }},
		{"no user", func(d *device) { d.handle = "" }},
		{"another key", func(d *device) { d.key = newDevice(d.t).key }},
		{"another id", func(d *device) { d.id = newDevice(d.t).id }},
		{"a copy: the counter goes back", func(d *device) { d.counter = 0 }},
	} {
		r.clock.Add(5 * time.Hour) // past the throttle
		d := r.enrol(t, u)
		if _, err := r.knock(t, d); err != nil {
			t.Fatal(err)
		}
		tc.spoil(d)
		_, err := r.knock(t, d)
		want(t, tc.name, err, user.ErrDenied)
	}
	for _, tc := range []struct {
		name  string
		spoil func(d *device)
	}{
		{"made for another site", func(d *device) { d.rp = "evil.example" }},
		{"made at another origin", func(d *device) { d.origin = "https://evil.example" }},
		{"made without verification", func(d *device) { d.verified = false }},
	} {
		d := newDevice(t)
		tc.spoil(d)
		options, state, err := r.BeginPasskey(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.FinishPasskey(t.Context(), u.ID, state, "x", d.create(options))
		want(t, tc.name, err, user.ErrDenied)
	}
	r.clock.Add(5 * time.Hour)
	d := r.enrol(t, u)
	options, state, err := r.BeginPasskey(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.FinishPasskey(t.Context(), other.ID, state, "x", d.create(options))
	want(t, "another's ceremony", err, user.ErrDenied)
	options, state, err = r.BeginPasskey(t.Context(), other.ID)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.FinishPasskey(t.Context(), other.ID, state, "x", d.create(options))
	want(t, "a key that is somebody's already", err, user.ErrDenied)
	d.handle = u.ID
	get, state, err := r.BeginPasskeySignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late := d.get(get)
	r.clock.Add(5 * time.Minute)
	_, err = r.PasskeySignIn(t.Context(), state, late, home, "")
	want(t, "too late", err, user.ErrDenied)
	_, err = r.PasskeySignIn(t.Context(), "", late, home, "")
	want(t, "no ceremony", err, user.ErrDenied)
	_, s := r.enter(t, other)
	get, state, err = r.BeginPasskeySignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "another proves", r.ProvePasskey(t.Context(), other.ID, s.ID, state, d.get(get), home), user.ErrDenied)
	want(t, "disable", r.SetDisabled(t.Context(), u.ID, true), nil)
	_, err = r.knock(t, d)
	want(t, "disabled", err, user.ErrDenied)
	for range 20 {
		_, _ = r.PasskeySignIn(t.Context(), "guess", late, away, "")
	}
	_, err = r.PasskeySignIn(t.Context(), "guess", late, away, "")
	want(t, "many guesses", err, user.ErrThrottled)
}

// TestPasskeysNeedASafePlace: browsers bind them to a host name with HTTPS, or to localhost.
func TestPasskeysNeedASafePlace(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	for base, has := range map[string]bool{"https://gate.example.test": true, "https://gate.example.test:8443/portal": true, "http://localhost:8025": true,
		"": false, "http://gate.example.test": false, "http://127.0.0.1:8025": false, "https://192.0.2.1": false, "https://[2001:db8::1]": false} {
		l, err := user.New(user.Options{DB: db, BaseURL: base})
		if err != nil {
			t.Fatal(err)
		}
		if l.HasPasskeys() != has {
			t.Errorf("%q: %v", base, l.HasPasskeys())
		}
		if _, _, err := l.BeginPasskeySignIn(t.Context()); (err == nil) != has {
			t.Errorf("%q: %v", base, err)
		}
	}
}

// FuzzPasskeyAnswers: what browsers answer is from outside.
func FuzzPasskeyAnswers(f *testing.F) {
	r := open(f, storetest.SQLite(f, store.MainSchema()))
	u := r.registered(f, "anna@example.org", user.Operator, "")
	d := r.enrol(f, u)
	get, _, err := r.BeginPasskeySignIn(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(d.get(get))
	create, _, err := r.BeginPasskey(f.Context(), u.ID)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(newDevice(f).create(create))
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		_, state, err := r.BeginPasskeySignIn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if in, err := r.PasskeySignIn(t.Context(), state, answer, home, ""); err == nil {
			t.Errorf("signed in: %+v", in)
		}
		_, state, err = r.BeginPasskey(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := r.FinishPasskey(t.Context(), u.ID, state, "x", answer); err == nil {
			t.Errorf("registered: %+v", key)
		}
	})
}
