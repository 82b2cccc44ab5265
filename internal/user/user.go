// Package user is the people and programs that ask: users with roles and rights, how they prove who they are (password, one-time code,
// passkey, single sign-on), their sessions, their tokens, and the audit log of what they did.
//
// # What it holds
//
// A user belongs to the gateway (roles Operator, AbuseDesk) or to one customer (CustomerAdmin, CustomerReader). Secrets are kept as hashes:
// passwords as argon2id, sessions, tokens, invitations and resets, which carry 256 random bits, as SHA-256. Keys of one-time codes must be
// read back, so whoever reads the database reads them.
//
// # States
//
// A user: invited (no proof yet) -> may sign in -> disabled -> may sign in ..., then removed. A sign-in: password right -> second step, where
// the user has one -> session. A session ends when it is not used (Options.IdleOperator, IdleCustomer), after Options.Absolute, when it is
// revoked, when its user is disabled or removed, and when he resets his password. Every request reads the session from the database: what
// was revoked is out at once, on every node.
//
// # Who calls it
//
// portal (sign in, sessions, users), api (tokens), cli through api, app (Run). It writes no mail: what must be told by mail is handed to
// Options.Tell. It asks no network but for OIDC, which speaks to the operator's identity provider.
//
// # How it fails
//
// ErrDenied for every wrong proof, at the same cost whether the user exists or not; ErrThrottled after too many. A database that cannot be
// read refuses everybody with its own error, which is not ErrDenied.
package user

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/password"
	"postern/internal/store"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrDenied    = errors.New("user: not proved")                             // wrong password, code, session, token or link: which of them is not told
	ErrThrottled = errors.New("user: too many failures, try again later")     // the proof was not looked at
	ErrNotFound  = errors.New("user: not found")                              // no such user, session, token or passkey
	ErrTaken     = errors.New("user: this address has a user already")        // one address, one user
	ErrInvalid   = errors.New("user: not accepted")                           // the error text says what and why
	ErrLast      = errors.New("user: the last operator cannot be taken away") // nobody could sign in any more
)

// User is a person who logs in.
type User struct {
	ID       string       // given by Add; never changes
	Address  mail.Address // signs in with it; unique, whatever its case
	Name     string       // for people
	Role     Role
	Customer string // account.Customer.ID; "" for roles of the gateway
	Language string // "fr" or "en"
	Zone     string // IANA time zone; "" the gateway's
	Disabled bool   // may not sign in
	Created  time.Time
	LastSeen time.Time // zero: never signed in
	Password bool      // has one
	TOTP     bool      // one-time codes are asked
	Passkeys int
	External bool // signed in by the operator's identity provider (OpenID Connect)
}

// Principal is who the user is when he asks.
func (u User) Principal() Principal {
	p := Principal{ID: u.ID, Name: u.Name, Role: u.Role, Customer: u.Customer, Rights: u.Role.Rights(), Language: u.Language, Zone: u.Zone}
	if p.Name == "" {
		p.Name = u.Address.String()
	}
	return p
}

// Session is one browser in which a user is signed in.
type Session struct {
	ID      string // for lists and revocation; not the secret
	User    string
	Created time.Time
	Seen    time.Time // to the minute
	Ends    time.Time // if it is not used before
	IP      netip.Addr
	Agent   string    // User-Agent, at most 200 bytes
	Proved  time.Time // when the user last gave a proof; acts that matter ask again after a while
}

// Token is what a program signs its API requests with.
type Token struct {
	ID       string // public part; the secret is shown once
	Customer string // "" for tokens of the gateway
	User     string // who made it: he leaving ends it
	Label    string
	Rights   []Right
	Created  time.Time
	Ends     time.Time // zero: never
	LastUsed time.Time // to the minute
	LastIP   netip.Addr
	Revoked  bool
}

// The kinds of Telling.
const (
	TellInvite   = "invite"   // he has an account now: Link sets his password
	TellReset    = "reset"    // he or somebody asked for a new password: Link sets it
	TellPassword = "password" // his password changed
	TellSecond   = "second"   // one-time codes were turned on or off, or new recovery codes made
	TellPasskey  = "passkey"  // a passkey was added or removed
	TellAddress  = "address"  // his address changed; sent to the former one
	TellNetwork  = "network"  // a sign-in from a network he never used
)

// Telling is what a user must hear about his account by mail.
type Telling struct {
	Kind  string
	User  User
	Link  string     // "" where there is none; a secret until Ends
	Ends  time.Time  // of the link
	IP    netip.Addr // from where it was done; the zero address: not known
	Agent string     // with which browser
	At    time.Time
}

// Options is what New needs. DB is required.
type Options struct {
	DB     *store.DB // opened with store.MainSchema
	Logger *slog.Logger
	Now    func() time.Time
	Host   string // the gateway's name: the issuer that authenticator apps show
	// BaseURL is the address of the pages; passkeys are bound to its host.
	BaseURL string
	// Tell sends a mail that concerns a user. It must not wait. nil: nothing is sent.
	Tell func(context.Context, Telling)
	// Customer reports whether there is a customer of that name now: without him his users and tokens are nobody. nil: there is.
	Customer func(id string) bool

	IdleOperator time.Duration // a session of the gateway's roles ends when it was not used for so long; default 12 h
	IdleCustomer time.Duration // ... of customers' users; default 7 days
	Absolute     time.Duration // a session ends after so long in any case; default 30 days
	KeepEntries  time.Duration // age at which lines of the audit log leave; default 400 days; negative: never

	Cost password.Cost // of new passwords' hashes; zero: password.Standard
}

// Ledger is the room. Its methods may be called concurrently.
type Ledger struct {
	o      Options
	gate   *password.Gate // of passwords, codes, tokens
	resets *password.Gate // counts questions for a new password, as if each were a failure
	keys   *passkeys      // nil: BaseURL is nothing that passkeys can be bound to
}

// New checks the options.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, errors.New("user: no database")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tell == nil {
		o.Tell = func(context.Context, Telling) {}
	}
	if o.Customer == nil {
		o.Customer = func(string) bool { return true }
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.IdleOperator, 12 * time.Hour}, {&o.IdleCustomer, 7 * 24 * time.Hour}, {&o.Absolute, 30 * 24 * time.Hour}, {&o.KeepEntries, 400 * 24 * time.Hour}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if o.Cost == (password.Cost{}) {
		o.Cost = password.Standard()
	}
	if o.BaseURL != "" {
		if u, err := url.Parse(o.BaseURL); err != nil || u.Host == "" {
			return nil, fmt.Errorf("user: base address %q is no address of a web site", o.BaseURL)
		}
	}
	l := &Ledger{o: o}
	var err error
	if l.gate, err = password.NewGate(0); err != nil {
		return nil, err
	}
	if l.resets, err = password.NewGate(0); err != nil {
		return nil, err
	}
	l.keys, err = newPasskeys(o.Host, o.BaseURL)
	return l, err
}

// Gates are what slows down who guesses, by name: passwords, codes and tokens; and questions for a new password.
func (l *Ledger) Gates() map[string]*password.Gate {
	return map[string]*password.Gate{"sign-in": l.gate, "reset": l.resets}
}

// now is the clock, cut to what the database keeps.
func (l *Ledger) now() time.Time { return l.o.Now().UTC().Truncate(time.Microsecond) }

// link is the address of a page that takes a secret.
func (l *Ledger) link(page, secret string) string {
	return strings.TrimRight(l.o.BaseURL, "/") + "/" + page + "/" + secret
}

// InviteLink and ResetLink are the addresses that the mails carry; FirstLink's secret goes into the first.
func (l *Ledger) InviteLink(secret string) string { return l.link("invite", secret) }

// ResetLink is the address of the page that sets a new password.
func (l *Ledger) ResetLink(secret string) string { return l.link("reset", secret) }

// Run removes what has ended until ctx ends.
func (l *Ledger) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := l.sweep(ctx); err != nil && ctx.Err() == nil {
			l.o.Logger.Warn("ended sessions and old lines of the audit log were not removed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweepEvery is how often what has ended is removed; it has no effect before that either.
const sweepEvery = time.Hour

// sweepRows bounds what one transaction removes: others wait behind it.
const sweepRows = 5000

// sweep removes ended sessions, links and old lines.
func (l *Ledger) sweep(ctx context.Context) error {
	now := l.now()
	longest := max(l.o.IdleOperator, l.o.IdleCustomer)
	type step struct {
		sql  string
		args []any
	}
	steps := []step{
		{`DELETE FROM user_session WHERE id IN (SELECT id FROM user_session WHERE seen < ? LIMIT ?)`, []any{now.Add(-longest), sweepRows}},
		{`DELETE FROM user_session WHERE id IN (SELECT id FROM user_session WHERE ends < ? LIMIT ?)`, []any{now, sweepRows}},
		{`DELETE FROM user_once WHERE hash IN (SELECT hash FROM user_once WHERE ends < ? LIMIT ?)`, []any{now, sweepRows}},
	}
	if l.o.KeepEntries > 0 {
		steps = append(steps, step{`DELETE FROM user_entry WHERE id IN (SELECT id FROM user_entry WHERE at < ? LIMIT ?)`, []any{now.Add(-l.o.KeepEntries), sweepRows}})
	}
	for _, s := range steps {
		for {
			var n int64
			if err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
				n, err = t.Exec(s.sql, s.args...)
				return err
			}); err != nil {
				return err
			}
			if n < sweepRows {
				break
			}
		}
	}
	return nil
}
