// Package user is the people and programs that ask: users with roles and rights, how they prove who they are (password, one-time code,
// passkey, single sign-on), their sessions, their tokens, and the audit log of what they did.
//
// # What it holds
//
// A user belongs to the gateway (roles Operator, AbuseDesk) or to one customer (CustomerAdmin, CustomerReader). Secrets are kept as hashes:
// passwords as argon2id, sessions, tokens, invitations and resets, which carry 256 random bits, as SHA-256. Keys of one-time codes must be
// read back, so whoever reads the database reads them.
//
// # Who calls it
//
// portal (sign in, sessions, users), api (tokens), cli through api, app (Run). It asks no network and writes no mail: what must be told by
// mail is handed to Options.Tell.
//
// # How it fails
//
// ErrDenied for every wrong proof, at the same cost whether the user exists or not; ErrThrottled after too many. A database that cannot be
// read refuses everybody with its own error, which is not ErrDenied.
package user

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"postern/internal/mail"
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

// Session is one browser in which a user is signed in.
type Session struct {
	ID      string // for lists and revocation; not the secret
	User    string
	Created time.Time
	Seen    time.Time
	Ends    time.Time
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
	LastUsed time.Time
	LastIP   netip.Addr
	Revoked  bool
}

// Options is what New needs. DB is required.
type Options struct {
	DB     *store.DB // opened with store.MainSchema
	Logger *slog.Logger
	Now    func() time.Time
	Host   string // the gateway's name: the issuer that authenticator apps show
	// BaseURL is the address of the pages; passkeys are bound to its host.
	BaseURL string
	// Tell sends a mail that concerns a user: "invite", "reset", "changed". link is "" where there is none. It must not wait. nil: nothing is sent.
	Tell func(ctx context.Context, kind string, u User, link string)
}

// Ledger is the room. Its methods may be called concurrently.
type Ledger struct{ o Options }

// New checks the options.
func New(o Options) (*Ledger, error) {
	if o.DB == nil {
		return nil, errors.New("user: no database")
	}
	return &Ledger{o: o}, nil
}

var errLater = errors.New("user: not there yet")

// Add makes a user and returns him with the secret of an invitation link, with which he sets his password. Errors: ErrTaken, ErrInvalid.
func (l *Ledger) Add(ctx context.Context, u User) (User, string, error) { return u, "", errLater }

// User returns one user. Error: ErrNotFound.
func (l *Ledger) User(ctx context.Context, id string) (User, error) { return User{}, errLater }

// NewSession signs a user in without asking for a proof, and returns the session's secret. Whoever calls it has proved him.
func (l *Ledger) NewSession(ctx context.Context, id string, ip netip.Addr, agent string) (secret string, s Session, err error) {
	return "", Session{}, errLater
}

// Resume returns the user behind a session's secret. Error: ErrDenied when it has ended or was revoked: at once, on every node.
func (l *Ledger) Resume(ctx context.Context, secret string, ip netip.Addr) (Principal, Session, error) {
	return Principal{}, Session{}, ErrDenied
}

// EndSession ends a session of a user. Error: ErrNotFound.
func (l *Ledger) EndSession(ctx context.Context, user, session string) error { return errLater }

// Bearer returns the principal behind a token's secret. Errors: ErrDenied, ErrThrottled.
func (l *Ledger) Bearer(ctx context.Context, secret string, ip netip.Addr) (Principal, error) {
	return Principal{}, ErrDenied
}

// Entry is one line of the audit log: who did what to whom, from where.
type Entry struct {
	ID       int64
	At       time.Time
	Actor    string // Principal.Actor
	Name     string // for people, as it was then
	Customer string // whom it concerns; "" the gateway
	Act      string // stable word: "sign-in", "message.release", "lane.pause"
	Subject  string // what it was done to: a queue ID, an address, a lane
	Text     string // more, for people; at most 500 bytes; never a secret
	IP       netip.Addr
	Failed   bool // it was tried and refused
}

// Note writes lines of the audit log, durable on return.
func (l *Ledger) Note(ctx context.Context, entries ...Entry) error { return errLater }

// Run removes what has ended until ctx ends.
func (l *Ledger) Run(ctx context.Context) error { <-ctx.Done(); return nil }
