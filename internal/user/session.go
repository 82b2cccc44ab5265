package user

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/store"
)

// Figures of sessions.
const (
	maxSessions = 50               // of a user; a new one ends the oldest
	maxAgent    = 200              // bytes kept of a User-Agent
	seenEvery   = time.Minute      // how often the use of a session or token is written down
	FreshFor    = 15 * time.Minute // how long a proof counts for acts that matter
)

// idle is how long a session of a role lasts without being used.
func (l *Ledger) idle(r Role) time.Duration {
	if r.Gateway() {
		return l.o.IdleOperator
	}
	return l.o.IdleCustomer
}

// NewSession signs a user in without asking for a proof, and returns the session's secret. Whoever calls it has proved him.
// Errors: ErrNotFound, ErrDenied for a user who is disabled.
func (l *Ledger) NewSession(ctx context.Context, id string, ip netip.Addr, agent string) (secret string, s Session, err error) {
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		p, err := findPerson(t, id)
		if err != nil {
			return err
		}
		secret, s, err = l.begin(t, p, ip, agent)
		return err
	})
	if err != nil {
		return "", Session{}, err
	}
	return secret, s, nil
}

// begin makes a session in a transaction.
func (l *Ledger) begin(t *store.Tx, p person, ip netip.Addr, agent string) (string, Session, error) {
	if !l.alive(p) {
		return "", Session{}, ErrDenied
	}
	id, err := newID()
	if err != nil {
		return "", Session{}, err
	}
	secret, hash, err := newSecret()
	if err != nil {
		return "", Session{}, err
	}
	now := l.now()
	ends := now.Add(l.o.Absolute)
	s := Session{ID: id, User: p.ID, Created: now, Seen: now, Ends: earlier(ends, now.Add(l.idle(p.Role))), IP: ip, Agent: cut(agent, maxAgent), Proved: now}
	if _, err := t.Exec(`DELETE FROM user_session WHERE id IN (SELECT id FROM user_session WHERE person = ? ORDER BY created DESC, id DESC LIMIT 1000 OFFSET ?)`, p.ID, maxSessions-1); err != nil {
		return "", Session{}, err
	}
	if _, err := t.Exec(`INSERT INTO user_session (id, hash, person, created, seen, ends, ip, agent, proved) VALUES (?,?,?,?,?,?,?,?,?)`,
		s.ID, hash, s.User, s.Created, s.Seen, ends, address(ip), s.Agent, s.Proved); err != nil {
		return "", Session{}, err
	}
	_, err = t.Exec(`UPDATE user_person SET last_seen = ? WHERE id = ?`, now, p.ID)
	return secret, s, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// address is an IP as the database keeps it.
func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.Unmap().String()
}

// cut makes text from outside fit to keep: one line of valid UTF-8, at most so many bytes.
func cut(s string, bytes int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), 4*bytes)], "\uFFFD"))
	for len(s) > bytes {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

const sessionColumns = `s.id, s.person, s.created, s.seen, s.ends, s.ip, s.agent, s.proved`

// into are the variables of sessionColumns; ip is text.
func (s *Session) into(ip *string) []any {
	return []any{&s.ID, &s.User, &s.Created, &s.Seen, &s.Ends, ip, &s.Agent, &s.Proved}
}

// finish completes a session after Scan: Ends is what comes first.
func (s *Session) finish(ip string, idle time.Duration) {
	s.IP, _ = netip.ParseAddr(ip)
	s.Ends = earlier(s.Ends, s.Seen.Add(idle))
}

// Resume returns the user behind a session's secret. Error: ErrDenied when it has ended or was revoked: at once, on every node.
func (l *Ledger) Resume(ctx context.Context, secret string, _ netip.Addr) (Principal, Session, error) {
	hash, ok := readSecret(secret)
	if !ok {
		return Principal{}, Session{}, ErrDenied
	}
	var p person
	var s Session
	err := l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		var ip string
		var stored []byte
		s = Session{}
		p, err = scanPerson(t.QueryRow(`SELECT `+personColumns+`, s.hash, `+sessionColumns+` FROM user_session s JOIN user_person p ON p.id = s.person WHERE s.hash = ?`, hash).Scan,
			append([]any{&stored}, s.into(&ip)...)...)
		if err == nil && !same(stored, hash) {
			return ErrDenied
		}
		s.finish(ip, l.idle(p.Role))
		return err
	})
	now := l.now()
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Principal{}, Session{}, ErrDenied
	case err != nil:
		return Principal{}, Session{}, err
	case !l.alive(p) || !now.Before(s.Ends):
		return Principal{}, Session{}, ErrDenied
	}
	if now.Sub(s.Seen) >= seenEvery {
		if err := l.seen(ctx, s, now); err != nil {
			l.o.Logger.Warn("the use of a session was not written down", "session", s.ID, "error", err)
		}
	}
	return p.Principal(), s, nil
}

// seen writes down that a session is used. A session that ended meanwhile stays ended.
func (l *Ledger) seen(ctx context.Context, s Session, now time.Time) error {
	return l.o.DB.Write(context.WithoutCancel(ctx), func(t *store.Tx) error {
		n, err := t.Exec(`UPDATE user_session SET seen = ? WHERE id = ? AND seen < ?`, now, s.ID, now.Add(-seenEvery/2))
		if err != nil || n == 0 {
			return err
		}
		_, err = t.Exec(`UPDATE user_person SET last_seen = ? WHERE id = ?`, now, s.User)
		return err
	})
}

// Sessions lists where a user is signed in, the newest first.
func (l *Ledger) Sessions(ctx context.Context, user string) ([]Session, error) {
	var all []Session
	now := l.now()
	err := l.o.DB.Read(ctx, func(t *store.Tx) error {
		all = nil
		p, err := findPerson(t, user)
		if err != nil {
			return err
		}
		rows := t.Query(`SELECT `+sessionColumns+` FROM user_session s WHERE s.person = ? ORDER BY s.created DESC, s.id`, user)
		for rows.Next() {
			var s Session
			var ip string
			if err := rows.Scan(s.into(&ip)...); err != nil {
				return err
			}
			if s.finish(ip, l.idle(p.Role)); now.Before(s.Ends) {
				all = append(all, s)
			}
		}
		return rows.Err()
	})
	return all, err
}

// EndSession ends a session of a user. Error: ErrNotFound.
func (l *Ledger) EndSession(ctx context.Context, user, session string) error {
	return l.o.DB.Write(ctx, func(t *store.Tx) error {
		n, err := t.Exec(`DELETE FROM user_session WHERE id = ? AND person = ?`, session, user)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: session %s", ErrNotFound, cut(session, 40))
		}
		return err
	})
}

// EndOtherSessions ends all sessions of a user but one, and returns how many; keep "" ends all.
func (l *Ledger) EndOtherSessions(ctx context.Context, user, keep string) (ended int, err error) {
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		n, err := endOthers(t, user, keep)
		ended = int(n)
		return err
	})
	return ended, err
}

func endOthers(t *store.Tx, user, keep string) (int64, error) {
	return t.Exec(`DELETE FROM user_session WHERE person = ? AND id <> ?`, user, keep)
}

// Fresh reports whether the session's user gave a proof within so long (FreshFor): acts that matter, such as a new password, ask
// again else.
func (l *Ledger) Fresh(s Session, within time.Duration) bool {
	return !s.Proved.IsZero() && l.now().Sub(s.Proved) < within
}

// proved writes down that the user of a session gave a proof.
func proved(t *store.Tx, user, session string, at time.Time) error {
	n, err := t.Exec(`UPDATE user_session SET proved = ? WHERE id = ? AND person = ?`, at, session, user)
	if err == nil && n == 0 {
		err = ErrDenied
	}
	return err
}
