package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/mail"
	"postern/internal/user"
)

// SigningKey is a DKIM key with the record that must be published for it. The private key never leaves the gateway.
type SigningKey struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm" enum:"rsa-sha256,ed25519-sha256"`
	Active    bool      `json:"active" doc:"Mail is signed with it"`
	Created   time.Time `json:"created"`
	Name      string    `json:"name" doc:"Name of the TXT record"`
	Record    string    `json:"record" doc:"Value of the TXT record"`
	Zone      string    `json:"zone" doc:"The same as a line of a zone file"`
}

// SigningKeys are DKIM keys.
type SigningKeys struct {
	Keys []SigningKey `json:"keys" nullable:"false"`
	Next string       `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (k SigningKeys) nextPage() string { return k.Next }

// addKeys registers what is done with signing keys.
func (s *server) addKeys() {
	get, post := http.MethodGet, http.MethodPost
	add(s, get, "/v1/dkim", "list-keys", "Signing keys", over(user.SetupRead), s.listKeys)
	add(s, post, "/v1/dkim", "add-key", "Make or take a signing key", over(user.SetupWrite).as("key.add"), s.addKey)
	add(s, post, "/v1/dkim/{domain}/{selector}/activate", "activate-key", "Sign with a key", over(user.SetupWrite).as("key.activate").anew(), s.activateKey)
	add(s, post, "/v1/dkim/{domain}/{selector}/retire", "retire-key", "Sign with a key no more", over(user.SetupWrite).as("key.retire").anew(), s.retireKey)
}

// domainOwner finds the customer whose domain d is; found is false for domains of nobody.
func (s *server) domainOwner(text string) (string, bool, error) {
	d, err := mail.ParseDomain(text)
	if err != nil {
		return "", false, invalid("domain: %v", err)
	}
	c, ok := s.o.Accounts.Owner(d)
	return c.ID, ok, nil
}

type keyRequestIn struct{ Body KeyRequest }

func (in *keyRequestIn) owner(_ context.Context, s *server) (string, bool, error) {
	return s.domainOwner(in.Body.Domain)
}
func (in *keyRequestIn) kind() string { return "not-found" }

func (in *keyIn) owner(_ context.Context, s *server) (string, bool, error) {
	return s.domainOwner(in.Domain)
}
func (in *keyIn) kind() string { return "not-found" }

// KeyRequest asks for signing keys.
type KeyRequest struct {
	Domain    string `json:"domain" maxLength:"255" doc:"d= of the signatures: the domain of From, or a parent"`
	Selector  string `json:"selector,omitempty" maxLength:"63" doc:"Default: made of the date. With both algorithms it gets an ending for each"`
	Algorithm string `json:"algorithm,omitempty" enum:"rsa,ed25519,both" default:"rsa" doc:"rsa: 2048 bits, verified everywhere"`
	Key       string `json:"key,omitempty" maxLength:"16384" doc:"A private key in PEM form to take instead of making one"`
	Inactive  bool   `json:"inactive,omitempty" doc:"Keep it without signing until it is activated. A domain that has an active key gets a second one inactive in any case"`
}

func keyOf(k account.KeyRecord) (SigningKey, error) {
	out := SigningKey{Domain: string(k.Domain), Selector: k.Selector, Algorithm: k.Algorithm, Active: k.Active, Created: k.Created}
	key, err := dkim.ParseKey(k.PEM, k.Domain, k.Selector)
	if err != nil {
		return out, fmt.Errorf("key %s of %s cannot be read", k.Selector, k.Domain)
	}
	out.Name, out.Record, out.Zone = key.RecordName(), key.Record(), key.RecordZone()
	return out, nil
}

type keysIn struct {
	ForCustomer
	Paging
	Domain string `query:"domain" maxLength:"255" doc:"Only this domain's"`
}

func (s *server) listKeys(_ context.Context, in *keysIn) (*body[SigningKeys], error) {
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	customer, _ := s.o.Accounts.Customer(in.Customer)
	wanted := slices.DeleteFunc(s.o.Accounts.Keys(), func(k account.KeyRecord) bool {
		return in.Domain != "" && string(k.Domain) != in.Domain || in.Customer != "" && !s.o.Accounts.OwnsDomain(customer, k.Domain)
	})
	// No domain holds a NUL, and none sorts below it.
	wanted, next, err := pageOf(in.Paging, wanted, func(k account.KeyRecord) string { return string(k.Domain) + "\x00" + k.Selector })
	if err != nil {
		return nil, err
	}
	out := SigningKeys{Keys: []SigningKey{}, Next: next}
	for _, k := range wanted {
		key, err := keyOf(k)
		if err != nil {
			s.o.Logger.Error("signing key unreadable", "domain", k.Domain, "selector", k.Selector)
		}
		out.Keys = append(out.Keys, key)
	}
	return &body[SigningKeys]{out}, nil
}

func (s *server) addKey(ctx context.Context, in *keyRequestIn) (*body[SigningKeys], error) {
	about(ctx, in.Body.Domain, in.Body.Selector)
	d, err := mail.ParseDomain(in.Body.Domain)
	if err != nil {
		return nil, invalid("domain: %v", err)
	}
	if err := account.CheckDomain(d); err != nil {
		return nil, invalid("domain: %v", err)
	}
	selector := in.Body.Selector
	if selector == "" {
		selector = DefaultSelector(s.o.Now())
	}
	keys, err := makeKeys(in.Body, d, selector)
	if err != nil {
		return nil, because(http.StatusUnprocessableEntity, "invalid", err)
	}
	active := !in.Body.Inactive
	for _, k := range s.o.Accounts.Keys() {
		if k.Domain == d && k.Active {
			active = false // signing with an unpublished key would undo what works
		}
	}
	out := SigningKeys{Keys: []SigningKey{}}
	for _, k := range keys {
		record := account.KeyRecord{Domain: d, Selector: k.Selector, Algorithm: k.Algorithm, PEM: k.PEM(), Active: active}
		if err := s.o.Accounts.AddKey(ctx, record); err != nil {
			return nil, s.fail(err)
		}
		record.Created = s.o.Now()
		key, err := keyOf(record)
		if err != nil {
			return nil, s.fail(err)
		}
		out.Keys = append(out.Keys, key)
		s.o.Logger.Info("signing key added", "domain", d, "selector", k.Selector, "algorithm", k.Algorithm, "active", active, "actor", actor(ctx))
	}
	return &body[SigningKeys]{out}, nil
}

// DefaultSelector is the selector of a key made at a moment: p and the date.
func DefaultSelector(now time.Time) string { return "p" + now.UTC().Format("20060102") }

// makeKeys makes or reads what is asked for.
func makeKeys(r KeyRequest, d mail.Domain, selector string) ([]dkim.Key, error) {
	if r.Key != "" {
		k, err := dkim.ParseKey([]byte(r.Key), d, selector)
		return []dkim.Key{k}, err
	}
	return NewKeys(d, selector, r.Algorithm)
}

// NewKeys makes signing keys: algorithm is "rsa", "ed25519" or "both", which makes two with an ending of the selector each.
func NewKeys(d mail.Domain, selector, algorithm string) ([]dkim.Key, error) {
	var out []dkim.Key
	for _, a := range []struct{ word, name, ending string }{{"rsa", account.RSA, "r"}, {"ed25519", account.Ed25519, "e"}} {
		if algorithm != a.word && algorithm != "both" {
			continue
		}
		name := selector
		if algorithm == "both" {
			name += a.ending
		}
		k, err := dkim.GenerateKey(d, name, a.name)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("algorithm: %q is not known; expected rsa, ed25519 or both", algorithm)
	}
	return out, nil
}

type keyIn struct {
	Domain   string `path:"domain" maxLength:"255"`
	Selector string `path:"selector" maxLength:"63"`
}

func (s *server) activateKey(ctx context.Context, in *keyIn) (*body[Done], error) {
	return s.changeKey(ctx, in, s.o.Accounts.ActivateKey, func(d mail.Domain) *body[Done] {
		return done("mail of %s is signed with selector %s from now on", d, in.Selector)
	})
}

func (s *server) retireKey(ctx context.Context, in *keyIn) (*body[Done], error) {
	return s.changeKey(ctx, in, s.o.Accounts.RetireKey, func(d mail.Domain) *body[Done] {
		return done("mail of %s is signed with selector %s no more; leave its record in DNS for a week, mail under way needs it", d, in.Selector)
	})
}

func (s *server) changeKey(ctx context.Context, in *keyIn, change func(context.Context, mail.Domain, string) error, what func(mail.Domain) *body[Done]) (*body[Done], error) {
	d, err := mail.ParseDomain(in.Domain)
	if err != nil {
		return nil, invalid("domain: %v", err)
	}
	if err := change(ctx, d, in.Selector); err != nil {
		return nil, s.fail(err)
	}
	s.o.Logger.Info("signing key changed", "domain", d, "selector", in.Selector, "actor", actor(ctx))
	return what(d), nil
}
