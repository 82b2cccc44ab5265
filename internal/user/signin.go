package user

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"postern/internal/password"
	"postern/internal/store"
)

// Figures of signing in.
const (
	secondFor   = 10 * time.Minute // how long the second step may take
	secondTries = 5                // wrong codes that end it
	maxNetworks = 100              // networks remembered of a user
)

// Attempt is a sign-in with a password.
type Attempt struct {
	Address  string // as typed
	Password string
	IP       netip.Addr
	Agent    string // User-Agent
}

// SignedIn is what a sign-in came to: a session, or a second step that is still asked.
type SignedIn struct {
	User    User
	Secret  string  // of the session; "": Pending
	Session Session // zero: Pending
	Pending string  // a code is asked: Second takes this with it, until Ends
	Ends    time.Time
}

// pendingSecond is what a second step remembers of the first.
type pendingSecond struct {
	Password []byte // digest of the password's hash: a new password ends the attempt
	IP       netip.Addr
	Agent    string
}

// SignIn looks at an address and a password. Errors: ErrDenied, at the same cost whether there is such a user or not; ErrThrottled.
func (l *Ledger) SignIn(ctx context.Context, a Attempt) (SignedIn, error) {
	key := strings.ToLower(strings.TrimSpace(a.Address))
	if len(key) > 320 {
		key = key[:320]
	}
	var p person
	err := l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		p, err = findAddress(t, key)
		return err
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return SignedIn{}, err
	}
	if err := l.fits(ctx, key, p, a.Password, a.IP); err != nil {
		return SignedIn{}, err
	}
	if !p.TOTP {
		return l.enter(ctx, p, a.IP, a.Agent, nil)
	}
	data, err := json.Marshal(pendingSecond{digest(p.hash), a.IP, cut(a.Agent, maxAgent)})
	if err != nil {
		return SignedIn{}, err
	}
	now := l.now()
	secret, err := l.makeOnce(ctx, once{kind: onceSecond, person: p.ID, created: now, ends: now.Add(secondFor), data: data})
	if err != nil {
		return SignedIn{}, err
	}
	return SignedIn{User: p.User, Pending: secret, Ends: now.Add(secondFor)}, nil
}

// fits checks a password of a user, the zero person too. Nobody knows from what it costs whether he is there.
func (l *Ledger) fits(ctx context.Context, key string, p person, typed string, ip netip.Addr) error {
	typed = normal(typed)
	if len(typed) > 4*maxPassword {
		typed = ""
	}
	stored := ""
	if p.ID != "" && l.alive(p) {
		stored = p.hash
	}
	return refusal(l.gate.Check(ctx, password.Attempt{User: key, Password: typed, Stored: stored, IP: ip}, l.o.Now))
}

// refusal is the gate's error as this room says it.
func refusal(err error) error {
	switch {
	case errors.Is(err, password.ErrDenied):
		return ErrDenied
	case errors.Is(err, password.ErrThrottled):
		return ErrThrottled
	}
	return err
}

// enter signs in who is proved. also runs in the same transaction; what it returns ends the sign-in.
func (l *Ledger) enter(ctx context.Context, p person, ip netip.Addr, agent string, also func(*store.Tx) error) (SignedIn, error) {
	var in SignedIn
	var strange bool
	err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		now, err := findPerson(t, p.ID)
		if errors.Is(err, ErrNotFound) || err == nil && now.hash != p.hash {
			return ErrDenied // removed, or another password since it was looked at
		}
		if err != nil {
			return err
		}
		if also != nil {
			if err := also(t); err != nil {
				return err
			}
		}
		if in.Secret, in.Session, err = l.begin(t, now, ip, agent); err != nil {
			return err
		}
		in.User = now.User
		strange, err = l.network(t, p.ID, ip)
		return err
	})
	if err != nil {
		return SignedIn{}, err
	}
	l.gate.Succeeded(strings.ToLower(p.Address.String()), ip, l.o.Now())
	if strange {
		l.tell(ctx, Telling{Kind: TellNetwork, User: in.User, IP: ip, Agent: in.Session.Agent})
	}
	return in, nil
}

// network remembers where a user signed in from, and reports whether that is strange: he has been elsewhere, never here.
func (l *Ledger) network(t *store.Tx, user string, ip netip.Addr) (strange bool, err error) {
	prefix, err := networkOf(ip)
	if err != nil {
		return false, nil // no address: nothing to compare
	}
	n, err := t.Exec(`UPDATE user_network SET seen = ? WHERE person = ? AND network = ?`, l.now(), user, prefix.String())
	if err != nil || n > 0 {
		return false, err
	}
	var others int
	if err := t.QueryRow(`SELECT COUNT(*) FROM user_network WHERE person = ?`, user).Scan(&others); err != nil {
		return false, err
	}
	if others >= maxNetworks {
		if _, err := t.Exec(`DELETE FROM user_network WHERE person = ? AND network IN (SELECT network FROM user_network WHERE person = ? ORDER BY seen LIMIT ?)`, user, user, others-maxNetworks+1); err != nil {
			return false, err
		}
	}
	_, err = t.Exec(`INSERT INTO user_network (person, network, seen) VALUES (?,?,?)`, user, prefix.String(), l.now())
	return others > 0, err
}

// networkOf is what counts as one place: of IPv4 a /24, of IPv6 a /48, since providers move their customers within.
func networkOf(ip netip.Addr) (netip.Prefix, error) {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		return ip.Prefix(48)
	}
	return ip.Prefix(24)
}

// Second takes the code of a second step: of an authenticator app, or a recovery code. Errors: ErrDenied, after five wrong ones for
// good; ErrThrottled.
func (l *Ledger) Second(ctx context.Context, pending, code string) (SignedIn, error) {
	var p person
	var first pendingSecond
	find := func(t *store.Tx) (err error) {
		o, err := l.findOnce(t, pending, onceSecond)
		if err != nil {
			return err
		}
		first = pendingSecond{}
		if err := json.Unmarshal(o.data, &first); err != nil {
			return err
		}
		if p, err = findPerson(t, o.person); errors.Is(err, ErrNotFound) {
			return ErrDenied
		}
		if err == nil && (o.tries >= secondTries || !same(first.Password, digest(p.hash)) || !p.TOTP) {
			return ErrDenied
		}
		return err
	}
	if err := l.o.DB.Read(ctx, find); err != nil {
		return SignedIn{}, err
	}
	key := secondKey(p.ID)
	if !l.gate.Admits(key, first.IP, l.o.Now()) {
		return SignedIn{}, ErrThrottled
	}
	// The try is counted before the code is looked at: parallel guesses get no more tries than a queue of them.
	if err := l.o.DB.Write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`UPDATE user_once SET tries = tries + 1 WHERE hash = ? AND tries < ?`, digest(pending), secondTries)
		if err == nil && n == 0 {
			err = ErrDenied
		}
		return err
	}); err != nil {
		return SignedIn{}, err
	}
	in, err := l.enter(ctx, p, first.IP, first.Agent, func(t *store.Tx) error {
		if _, err := l.takeOnce(t, pending, onceSecond); err != nil {
			return err
		}
		return l.useCode(t, p.ID, code)
	})
	switch {
	case errors.Is(err, ErrDenied):
		l.gate.Failed(key, first.IP, l.o.Now())
	case err == nil:
		l.gate.Succeeded(key, first.IP, l.o.Now())
	}
	return in, err
}

// secondKey counts wrong codes apart from wrong passwords: a right password does not clear them.
func secondKey(user string) string { return "second\x00" + user }

// Prove takes the password of a user who is signed in again, and makes his session fresh. Errors: ErrDenied, ErrThrottled, ErrNotFound.
func (l *Ledger) Prove(ctx context.Context, user, session, typed string, ip netip.Addr) error {
	var p person
	if err := l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		p, err = findPerson(t, user)
		return err
	}); err != nil {
		return err
	}
	key := strings.ToLower(p.Address.String())
	if err := l.fits(ctx, key, p, typed, ip); err != nil {
		return err
	}
	l.gate.Succeeded(key, ip, l.o.Now())
	return l.o.DB.Write(ctx, func(t *store.Tx) error { return proved(t, user, session, l.now()) })
}
