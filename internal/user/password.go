package user

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"postern/internal/store"
)

// Bounds of a password, in characters. NIST SP 800-63B (rev. 4, 2025) 3.1.1.2: long, no rules of composition, no change without cause.
const (
	minPassword = 12
	maxPassword = 200
)

// resetFor is how long a link to a new password is good.
const resetFor = time.Hour

// The reasons of WeakPassword.
const (
	WeakShort    = "short"    // fewer than 12 characters
	WeakLong     = "long"     // more than 200
	WeakPersonal = "personal" // little more than the user's address or name, or this gateway's
	WeakCommon   = "common"   // among those that are tried first
)

// WeakPassword is why a password is not taken. It matches ErrInvalid.
type WeakPassword struct{ Why string }

// Error says what a password must be.
func (w *WeakPassword) Error() string {
	return "user: not accepted: " + map[string]string{
		WeakShort:    fmt.Sprintf("a password has at least %d characters", minPassword),
		WeakLong:     fmt.Sprintf("a password has at most %d characters", maxPassword),
		WeakPersonal: "the password is little more than the address or a name",
		WeakCommon:   "this password is among those that are tried first",
	}[w.Why]
}

// Is makes a WeakPassword an ErrInvalid.
func (w *WeakPassword) Is(target error) bool { return target == ErrInvalid }

// normal is a password as it is hashed: one form for characters that look the same (NIST SP 800-63B 3.1.1.2).
func normal(typed string) string { return norm.NFKC.String(strings.ToValidUTF8(typed, "\uFFFD")) }

// Weak says why a password is not taken for a user: a *WeakPassword; nil: it is.
func (l *Ledger) Weak(u User, typed string) error {
	if len(typed) > 4*maxPassword {
		return &WeakPassword{WeakLong}
	}
	typed = normal(typed)
	switch n := utf8.RuneCountInString(typed); {
	case n < minPassword:
		return &WeakPassword{WeakShort}
	case n > maxPassword:
		return &WeakPassword{WeakLong}
	}
	plain := strings.ToLower(typed)
	if common(plain) {
		return &WeakPassword{WeakCommon}
	}
	rest := plain
	words := []string{u.Address.String(), string(u.Address.Domain), u.Address.Local, u.Name, l.o.Host, "postern"}
	words = append(words, strings.Fields(u.Name)...)
	for _, w := range words {
		if w = strings.ToLower(normal(w)); utf8.RuneCountInString(w) >= 3 {
			rest = strings.ReplaceAll(rest, w, "")
		}
	}
	if rest != plain && utf8.RuneCountInString(rest) < 6 {
		return &WeakPassword{WeakPersonal}
	}
	return nil
}

// commonWords are the long ones of the lists that guessers begin with, English and French, in lower case.
var commonWords = strings.Fields(`
	123456789012 1234567890123 12345678901234 123456789012345 1234567890123456 1234567890987654321 123123123123 012345678910 0123456789012
	1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc 1qaz2wsx3edc4rfv q1w2e3r4t5y6 qwertyuiop12 qwertyuiop123 qwertyuiop[] qwertyuiopasdf qwertyuiopasdfghjkl
	qwerty123456 qwerty1234567 qwerty12345678 qwertyqwerty azertyuiop12 azertyuiop123 azertyuiop1234 azertyazerty azerty123456 azertyuiopqsdfghjklm
	asdfghjkl123 asdfghjklqwerty zxcvbnm123456 passwordpassword password1234 password12345 password123456 password123! password2024 password2025 password2026
	passw0rd1234 p@ssw0rd1234 p@ssword1234 motdepasse12 motdepasse123 motdepasse1234 motdepasse2026 monmotdepasse lemotdepasse changemeplease changeme1234
	administrator administrateur admin1234567 admin12345678 adminadminadmin letmein12345 iloveyou1234 iloveyouforever jetaimepourtoujours jetaime12345
	welcome12345 bienvenue123 bonjour12345 sunshine1234 princess1234 football1234 abcdefghijkl abcdefghijklm abcdefghijklmnop abcdef123456 abcd12345678
	aaaabbbbcccc correcthorsebatterystaple thisismypassword thisisapassword trustno1trustno1 superman1234 marseille1234 doudou123456 loulou123456 chouchou1234`)

// common reports whether a password in lower case is one that is tried first, or little but one thing repeated.
func common(plain string) bool {
	for _, w := range commonWords {
		if plain == w {
			return true
		}
	}
	seen := map[rune]bool{}
	for _, r := range plain {
		seen[r] = true
	}
	return len(seen) < 4
}

// SetPassword gives a user a password, ends his other sessions (keep "": all) and his open links, and has him told.
// Errors: ErrNotFound, *WeakPassword.
func (l *Ledger) SetPassword(ctx context.Context, user, typed, keep string) error {
	u, err := l.User(ctx, user)
	if err != nil {
		return err
	}
	hash, err := l.hashed(ctx, u, typed)
	if err != nil {
		return err
	}
	if err := l.o.DB.Write(ctx, func(t *store.Tx) error { return setHash(t, user, hash, keep) }); err != nil {
		return err
	}
	l.tell(ctx, Telling{Kind: TellPassword, User: u})
	return nil
}

// hashed returns the hash of a password that may be taken.
func (l *Ledger) hashed(ctx context.Context, u User, typed string) (string, error) {
	if err := l.Weak(u, typed); err != nil {
		return "", err
	}
	return l.gate.Hash(ctx, normal(typed), l.o.Cost)
}

// setHash writes a password's hash and ends what the former password opened.
func setHash(t *store.Tx, user, hash, keep string) error {
	n, err := t.Exec(`UPDATE user_person SET hash = ? WHERE id = ?`, hash, user)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	if _, err := endOthers(t, user, keep); err != nil {
		return err
	}
	return execAll(t, user, `DELETE FROM user_once WHERE person = ?`)
}

// AskReset has a link to a new password sent to a user. It answers the same, in the same time, whether there is such a user or not, and
// also when it is asked too often. The error is one of the database.
func (l *Ledger) AskReset(ctx context.Context, typed string, ip netip.Addr) error {
	key := strings.ToLower(strings.TrimSpace(typed))
	if len(key) > 320 {
		key = key[:320]
	}
	now := l.now()
	if !l.resets.Admits(key, ip, now) {
		return nil
	}
	l.resets.Failed(key, ip, now)
	secret, hash, err := newSecret()
	if err != nil {
		return err
	}
	var p person
	err = l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if p, err = findAddress(t, key); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		ends := now.Add(resetFor)
		if !l.resettable(p) {
			p, ends = person{}, now // a row that is good for nothing costs what a good one does
		}
		return l.putReset(t, p.ID, hash, now, ends)
	})
	if err == nil && p.ID != "" {
		l.tell(ctx, Telling{Kind: TellReset, User: p.User, Link: l.ResetLink(secret), Ends: now.Add(resetFor), IP: ip})
	}
	return err
}

// resettable reports whether a user may have a link to a new password: not who signs in with the identity provider only, past
// which the link would lead.
func (l *Ledger) resettable(p person) bool {
	return p.ID != "" && l.alive(p) && (p.Password || !p.External)
}

// putReset replaces a user's link to a new password.
func (l *Ledger) putReset(t *store.Tx, user string, hash []byte, now, ends time.Time) error {
	if _, err := t.Exec(`DELETE FROM user_once WHERE person = ? AND kind = ?`, user, onceReset); err != nil {
		return err
	}
	return l.putOnce(t, once{kind: onceReset, person: user, created: now, ends: ends}, hash)
}

// NewReset makes a link to a new password for a user, in an operator's name: Options.Tell gets it, and its secret is returned. A user who never
// had a password gets an invitation. Errors: ErrNotFound, ErrInvalid for a user who may not have one.
func (l *Ledger) NewReset(ctx context.Context, id string) (secret string, err error) {
	secret, hash, err := newSecret()
	if err != nil {
		return "", err
	}
	now := l.now()
	x := Telling{Kind: TellReset, Link: l.ResetLink(secret), Ends: now.Add(resetFor)}
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		p, err := findPerson(t, id)
		if err != nil {
			return err
		}
		x.User = p.User
		switch {
		case !l.resettable(p):
			return fmt.Errorf("%w: this user is disabled, or signs in with the identity provider only", ErrInvalid)
		case p.Password:
			return l.putReset(t, id, hash, now, x.Ends)
		}
		x.Kind, x.Link, x.Ends = TellInvite, l.InviteLink(secret), now.Add(inviteFor)
		if _, err := t.Exec(`DELETE FROM user_once WHERE person = ? AND kind = ?`, id, onceInvite); err != nil {
			return err
		}
		return l.putOnce(t, once{kind: onceInvite, person: id, created: now, ends: x.Ends}, hash)
	})
	if err != nil {
		return "", err
	}
	l.tell(ctx, x)
	return secret, nil
}

// The kinds of links.
const (
	LinkInvite = onceInvite // Accept takes it
	LinkReset  = onceReset  // Reset takes it
	LinkSetup  = onceSetup  // Setup takes it
)

// Link is what a link's secret is good for.
type Link struct {
	Kind string
	User User // whose password it sets; zero for LinkSetup
	Ends time.Time
}

// Link looks at a link's secret without using it. Error: ErrDenied.
func (l *Ledger) Link(ctx context.Context, secret string) (Link, error) {
	var out Link
	err := l.o.DB.Read(ctx, func(t *store.Tx) error {
		o, err := l.findOnce(t, secret, onceInvite, onceReset, onceSetup)
		if err != nil {
			return err
		}
		out = Link{Kind: o.kind, Ends: o.ends}
		if o.kind == onceSetup {
			return noOperator(t)
		}
		p, err := findPerson(t, o.person)
		if errors.Is(err, ErrNotFound) || err == nil && !l.alive(p) {
			return ErrDenied
		}
		out.User = p.User
		return err
	})
	if err != nil {
		return Link{}, err
	}
	return out, nil
}

// Reset takes a reset link's secret and sets the password. All sessions of the user end. Errors: ErrDenied, *WeakPassword, after which the
// link is still good.
func (l *Ledger) Reset(ctx context.Context, secret, typed string) (User, error) {
	p, _, err := l.redeem(ctx, secret, typed, LinkReset)
	if err != nil {
		return User{}, err
	}
	l.tell(ctx, Telling{Kind: TellPassword, User: p.User})
	return p.User, nil
}

// Accept takes an invitation's secret, sets the password and signs the user in. Errors: ErrDenied, *WeakPassword, after which the link is still good.
func (l *Ledger) Accept(ctx context.Context, secret, typed string, ip netip.Addr, agent string) (SignedIn, error) {
	p, hash, err := l.redeem(ctx, secret, typed, LinkInvite)
	if err != nil {
		return SignedIn{}, err
	}
	p.hash = hash
	if p.TOTP {
		return SignedIn{}, ErrDenied // invited anew with a second step: he signs in as usual
	}
	return l.enter(ctx, p, ip, agent, nil)
}

// redeem uses a link to set a password.
func (l *Ledger) redeem(ctx context.Context, secret, typed, kind string) (person, string, error) {
	link, err := l.Link(ctx, secret)
	if err != nil {
		return person{}, "", err
	}
	if link.Kind != kind {
		return person{}, "", ErrDenied
	}
	hash, err := l.hashed(ctx, link.User, typed)
	if err != nil {
		return person{}, "", err
	}
	var p person
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		o, err := l.takeOnce(t, secret, kind)
		if err != nil {
			return err
		}
		if p, err = findPerson(t, o.person); errors.Is(err, ErrNotFound) || err == nil && !l.alive(p) {
			return ErrDenied
		}
		if err != nil {
			return err
		}
		return setHash(t, p.ID, hash, "")
	})
	return p, hash, err
}

// setupFor is how long the link for the first operator is good; every start makes one while there is no operator.
const setupFor = 7 * 24 * time.Hour

// FirstLink returns the secret of a link with which somebody makes himself the first operator; "" when there is an operator.
func (l *Ledger) FirstLink(ctx context.Context) (string, error) {
	secret, hash, err := newSecret()
	if err != nil {
		return "", err
	}
	now := l.now()
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		if err := noOperator(t); err != nil {
			return err
		}
		return l.putOnce(t, once{kind: onceSetup, created: now, ends: now.Add(setupFor)}, hash)
	})
	if errors.Is(err, ErrDenied) {
		return "", nil
	}
	return secret, err
}

// noOperator returns ErrDenied when there is an operator.
func noOperator(t *store.Tx) error {
	var id string
	err := t.QueryRow(`SELECT id FROM user_person WHERE role = ? LIMIT 1`, Operator).Scan(&id)
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil
	case err == nil:
		return ErrDenied
	}
	return err
}

// Setup takes the secret of FirstLink, makes the first operator with a password and signs him in. Of u, Address, Name, Language and Zone are
// looked at. Errors: ErrDenied, also when there is an operator by now; ErrInvalid, *WeakPassword, ErrTaken.
func (l *Ledger) Setup(ctx context.Context, secret string, u User, typed string, ip netip.Addr, agent string) (SignedIn, error) {
	if _, err := l.Link(ctx, secret); err != nil {
		return SignedIn{}, err
	}
	u.Role, u.Customer, u.Disabled = Operator, "", false
	u, err := l.checked(u)
	if err != nil {
		return SignedIn{}, err
	}
	hash, err := l.hashed(ctx, u, typed)
	if err != nil {
		return SignedIn{}, err
	}
	err = l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if _, err := l.takeOnce(t, secret, onceSetup); err != nil {
			return err
		}
		if err := noOperator(t); err != nil {
			return err
		}
		if _, err := t.Exec(`DELETE FROM user_once WHERE kind = ?`, onceSetup); err != nil {
			return err
		}
		u, err = l.insertPerson(t, u, hash)
		return err
	})
	if err != nil {
		return SignedIn{}, taken(err)
	}
	return l.enter(ctx, person{User: u, hash: hash}, ip, agent, nil)
}
