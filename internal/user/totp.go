package user

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"image/png"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"postern/internal/store"
)

// Figures of one-time codes (RFC 6238), as authenticator apps expect them.
const (
	stepSeconds   = 30
	skewSteps     = 1 // clocks may differ by one step to either side
	recoveryCodes = 10
	enrolFor      = 15 * time.Minute
	qrPixels      = 220
)

// Enrolment is a key of one-time codes that an authenticator app is to learn.
type Enrolment struct {
	State string // ConfirmTOTP takes it with the first code, within 15 minutes
	Key   string // base32, for typing
	URL   string // otpauth://…
	PNG   []byte // the URL as a QR code
}

// StartTOTP makes a key for a user; nothing changes before ConfirmTOTP. Error: ErrNotFound.
func (l *Ledger) StartTOTP(ctx context.Context, user string) (Enrolment, error) {
	u, err := l.User(ctx, user)
	if err != nil {
		return Enrolment{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: l.issuer(), AccountName: u.Address.String(), SecretSize: 20})
	if err != nil {
		return Enrolment{}, fmt.Errorf("user: key of one-time codes: %w", err)
	}
	now := l.now()
	state, err := l.makeOnce(ctx, once{kind: onceTOTP, person: user, created: now, ends: now.Add(enrolFor), data: []byte(key.String())})
	if err != nil {
		return Enrolment{}, err
	}
	return enrolment(state, key)
}

func enrolment(state string, key *otp.Key) (Enrolment, error) {
	img, err := key.Image(qrPixels, qrPixels)
	if err != nil {
		return Enrolment{}, fmt.Errorf("user: QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return Enrolment{}, fmt.Errorf("user: QR code: %w", err)
	}
	return Enrolment{State: state, Key: key.Secret(), URL: key.String(), PNG: b.Bytes()}, nil
}

// issuer is the gateway's name in authenticator apps. A colon would end it there.
func (l *Ledger) issuer() string {
	if name := strings.ReplaceAll(l.o.Host, ":", ""); name != "" {
		return name
	}
	return "Postern"
}

// PendingTOTP shows an enrolment again that is not confirmed. Error: ErrDenied.
func (l *Ledger) PendingTOTP(ctx context.Context, user, state string) (Enrolment, error) {
	var o once
	if err := l.o.DB.Read(ctx, func(t *store.Tx) (err error) {
		o, err = l.findOnce(t, state, onceTOTP)
		return err
	}); err != nil {
		return Enrolment{}, err
	}
	key, err := otp.NewKeyFromURL(string(o.data))
	if err != nil || o.person != user {
		return Enrolment{}, ErrDenied
	}
	return enrolment(state, key)
}

// ConfirmTOTP turns one-time codes on, when the code is one of the key's, and returns the recovery codes, here and never again. A key the user had
// before is replaced. Errors: ErrDenied, after which the enrolment is still good until its time ends.
func (l *Ledger) ConfirmTOTP(ctx context.Context, user, state, code string) (recovery []string, err error) {
	var p person
	err = l.o.DB.Write(ctx, func(t *store.Tx) error {
		o, err := l.takeOnce(t, state, onceTOTP)
		if err != nil {
			return err
		}
		key, err := otp.NewKeyFromURL(string(o.data))
		if err != nil || o.person != user {
			return ErrDenied
		}
		if p, err = findPerson(t, user); err != nil {
			return err
		}
		step, ok := l.stepOf(key.Secret(), code, 0)
		if !ok {
			return ErrDenied
		}
		if _, err := t.Exec(`UPDATE user_person SET totp = ?, totp_step = ? WHERE id = ?`, key.Secret(), step, user); err != nil {
			return err
		}
		recovery, err = newRecovery(t, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.tell(ctx, Telling{Kind: TellSecond, User: p.User})
	return recovery, nil
}

// stepOf returns the step that a code is of, among those that are now; steps up to used count no more.
func (l *Ledger) stepOf(key, code string, used int64) (step int64, ok bool) {
	code = plainCode(code)
	now := l.now().Unix() / stepSeconds
	for s := now - skewSteps; s <= now+skewSteps; s++ {
		right, err := hotp.GenerateCodeCustom(key, uint64(s), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && s > used && subtle.ConstantTimeCompare([]byte(right), []byte(code)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok
}

// plainCode is a code without what people type between its parts.
func plainCode(code string) string {
	if len(code) > maxSecret {
		return ""
	}
	return strings.ToLower(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(code))
}

// useCode takes a code of an app or a recovery code, each once. Error: ErrDenied.
func (l *Ledger) useCode(t *store.Tx, user, code string) error {
	p, err := findPerson(t, user)
	if err != nil {
		return err
	}
	if step, ok := l.stepOf(p.totp, code, p.step); ok {
		n, err := t.Exec(`UPDATE user_person SET totp_step = ? WHERE id = ? AND totp_step < ?`, step, user, step)
		if err == nil && n == 0 {
			err = ErrDenied // another request used it meanwhile
		}
		return err
	}
	n, err := t.Exec(`DELETE FROM user_recovery WHERE person = ? AND hash = ?`, user, digest(user, plainCode(code)))
	if err == nil && n == 0 {
		err = ErrDenied
	}
	return err
}

// newRecovery replaces a user's recovery codes. Each carries 80 bits, in four groups of four.
func newRecovery(t *store.Tx, user string) ([]string, error) {
	if err := execAll(t, user, `DELETE FROM user_recovery WHERE person = ?`); err != nil {
		return nil, err
	}
	var codes []string
	for range recoveryCodes {
		code, err := newID()
		if err != nil {
			return nil, err
		}
		if _, err := t.Exec(`INSERT INTO user_recovery (person, hash) VALUES (?, ?)`, user, digest(user, code)); err != nil {
			return nil, err
		}
		codes = append(codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
	}
	return codes, nil
}

// NewRecovery replaces the recovery codes of a user who has one-time codes, and returns them, here and never again. Errors: ErrNotFound, ErrInvalid.
func (l *Ledger) NewRecovery(ctx context.Context, user string) (codes []string, err error) {
	var p person
	err = l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if p, err = findPerson(t, user); err != nil {
			return err
		}
		if !p.TOTP {
			return fmt.Errorf("%w: one-time codes are off", ErrInvalid)
		}
		codes, err = newRecovery(t, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.tell(ctx, Telling{Kind: TellSecond, User: p.User})
	return codes, nil
}

// RecoveryLeft is how many recovery codes a user has left.
func (l *Ledger) RecoveryLeft(ctx context.Context, user string) (n int, err error) {
	err = l.o.DB.Read(ctx, func(t *store.Tx) error {
		return t.QueryRow(`SELECT COUNT(*) FROM user_recovery WHERE person = ?`, user).Scan(&n)
	})
	return n, err
}

// RemoveTOTP turns one-time codes off, with the recovery codes. Off already is no error. Error: ErrNotFound.
func (l *Ledger) RemoveTOTP(ctx context.Context, user string) error {
	var p person
	err := l.o.DB.Write(ctx, func(t *store.Tx) (err error) {
		if p, err = findPerson(t, user); err != nil {
			return err
		}
		return execAll(t, user, `UPDATE user_person SET totp = '', totp_step = 0 WHERE id = ?`, `DELETE FROM user_recovery WHERE person = ?`)
	})
	if err == nil && p.TOTP {
		l.tell(ctx, Telling{Kind: TellSecond, User: p.User})
	}
	return err
}

// ProveCode takes a one-time code of a user who is signed in, and makes his session fresh. Errors: ErrDenied, ErrThrottled, ErrNotFound.
func (l *Ledger) ProveCode(ctx context.Context, user, session, code string) error {
	key, now := secondKey(user), l.o.Now()
	var none Session
	if !l.gate.Admits(key, none.IP, now) {
		return ErrThrottled
	}
	err := l.o.DB.Write(ctx, func(t *store.Tx) error {
		p, err := findPerson(t, user)
		if err != nil {
			return err
		}
		if !p.TOTP {
			return ErrDenied
		}
		if err := l.useCode(t, user, code); err != nil {
			return err
		}
		return proved(t, user, session, l.now())
	})
	if errors.Is(err, ErrDenied) {
		l.gate.Failed(key, none.IP, now)
	}
	return err
}
