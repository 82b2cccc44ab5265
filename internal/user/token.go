package user

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postern/internal/store"
)

// tokenPrefix begins every token, so that people and scanners of leaked secrets know what they see.
const tokenPrefix = "pst_"

// Figures of tokens.
const (
	maxTokens = 200 // that are valid, of a customer or of the gateway
	maxLabel  = 100 // characters
)

const tokenColumns = `t.id, t.customer, t.person, t.label, t.rights, t.created, t.ends, t.used, t.used_ip, t.revoked`

func (x *Token) into(rights, ip *string) []any {
	return []any{&x.ID, &x.Customer, &x.User, &x.Label, rights, &x.Created, &x.Ends, &x.LastUsed, ip, &x.Revoked}
}

func (x *Token) finish(rights, ip string) {
	x.Rights = nil
	for _, word := range strings.Fields(rights) {
		x.Rights = append(x.Rights, Right(word))
	}
	x.LastIP, _ = netip.ParseAddr(ip)
}

// AddToken makes a token in the name of whoever asks, and returns its secret, "pst_<id>_<random>", here and never again. Of t, Customer, Label,
// Rights and Ends are looked at. Its rights are some of the maker's; a token of a customer has none over the gateway. A token makes no tokens.
// Errors: ErrDenied when the maker may not, ErrInvalid.
func (l *Ledger) AddToken(ctx context.Context, by Principal, t Token) (Token, string, error) {
	t.Label = strings.TrimSpace(t.Label)
	now := l.now()
	switch {
	case by.ID == "" || by.Token || by.Customer != "" && by.Customer != t.Customer || !by.May(UsersWrite, t.Customer):
		return Token{}, "", ErrDenied
	case t.Label == "" || utf8.RuneCountInString(t.Label) > maxLabel || strings.ContainsFunc(t.Label, unicode.IsControl):
		return Token{}, "", fmt.Errorf("%w: a token needs a label of at most %d characters that says what uses it", ErrInvalid, maxLabel)
	case len(t.Rights) == 0:
		return Token{}, "", fmt.Errorf("%w: a token without rights is of no use", ErrInvalid)
	case !t.Ends.IsZero() && !t.Ends.After(now):
		return Token{}, "", fmt.Errorf("%w: the token would have ended already", ErrInvalid)
	case t.Customer != "" && !l.o.Customer(t.Customer):
		return Token{}, "", fmt.Errorf("%w: there is no customer %q", ErrInvalid, t.Customer)
	}
	for _, r := range t.Rights {
		if !slices.Contains(Rights(), r) {
			return Token{}, "", fmt.Errorf("%w: there is no right %q", ErrInvalid, cut(string(r), 40))
		}
		if !slices.Contains(by.Rights, r) || t.Customer != "" && isGateway(r) {
			return Token{}, "", fmt.Errorf("%w: right %s is not yours to give to this token", ErrInvalid, r)
		}
	}
	t.Rights = ordered(t.Rights)
	id, err := newID()
	if err != nil {
		return Token{}, "", err
	}
	random, hash, err := newSecret()
	if err != nil {
		return Token{}, "", err
	}
	t = Token{ID: id, Customer: t.Customer, User: by.ID, Label: t.Label, Rights: t.Rights, Created: now, Ends: t.Ends.UTC().Truncate(time.Microsecond)}
	if err := l.o.DB.Write(ctx, func(tx *store.Tx) error { return l.insertToken(tx, t, hash) }); err != nil {
		return Token{}, "", err
	}
	return t, tokenPrefix + id + "_" + random, nil
}

// insertToken writes a token whose maker is still there.
func (l *Ledger) insertToken(tx *store.Tx, t Token, hash []byte) error {
	maker, err := findPerson(tx, t.User)
	if err != nil {
		return err
	}
	if !l.alive(maker) {
		return ErrDenied
	}
	var n int
	if err := tx.QueryRow(`SELECT COUNT(*) FROM user_token WHERE customer = ? AND revoked = 0 AND (ends = 0 OR ends > ?)`, t.Customer, t.Created).Scan(&n); err != nil {
		return err
	}
	if n >= maxTokens {
		return fmt.Errorf("%w: there are %d tokens already; revoke some", ErrInvalid, n)
	}
	var words []string
	for _, r := range t.Rights {
		words = append(words, string(r))
	}
	_, err = tx.Exec(`INSERT INTO user_token (id, hash, customer, person, label, rights, created, ends, used, used_ip, revoked) VALUES (?,?,?,?,?,?,?,?,?,?,?)`,
		t.ID, hash, t.Customer, t.User, t.Label, strings.Join(words, " "), t.Created, t.Ends, time.Time{}, "", false)
	return err
}

// isGateway reports whether a right is one over the gateway as a whole.
func isGateway(r Right) bool { return r == GatewayRead || r == GatewayOperate }

// ordered returns rights in the order of Rights, each once.
func ordered(rights []Right) []Right {
	var out []Right
	for _, r := range Rights() {
		if slices.Contains(rights, r) {
			out = append(out, r)
		}
	}
	return out
}

// Tokens lists the tokens of a customer, "" those of the gateway: the newest first, at most 1000, revoked and ended ones too.
func (l *Ledger) Tokens(ctx context.Context, customer string) ([]Token, error) {
	var all []Token
	err := l.o.DB.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows := tx.Query(`SELECT `+tokenColumns+` FROM user_token t WHERE t.customer = ? ORDER BY t.created DESC, t.id LIMIT 1000`, customer)
		for rows.Next() {
			var t Token
			var rights, ip string
			if err := rows.Scan(t.into(&rights, &ip)...); err != nil {
				return err
			}
			t.finish(rights, ip)
			all = append(all, t)
		}
		return rows.Err()
	})
	return all, err
}

// RevokeToken ends a token of a customer, "" of the gateway, at once. Revoking twice is no error. Error: ErrNotFound.
func (l *Ledger) RevokeToken(ctx context.Context, customer, id string) error {
	return l.o.DB.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(`UPDATE user_token SET revoked = 1 WHERE id = ? AND customer = ?`, id, customer)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: token %s", ErrNotFound, cut(id, 40))
		}
		return err
	})
}

// readToken takes a token's secret apart; ok is false for what AddToken would not have written.
func readToken(secret string) (id string, hash []byte, ok bool) {
	rest, ok := strings.CutPrefix(secret, tokenPrefix)
	if !ok || len(secret) > maxSecret {
		return "", nil, false
	}
	id, random, ok := strings.Cut(rest, "_")
	if b, err := letters.DecodeString(id); !ok || err != nil || len(b) != 10 || len(random) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return "", nil, false
	}
	hash, ok = readSecret(random)
	return id, hash, ok
}

// Bearer returns the principal behind a token's secret, with what both the token and its maker may do now. Errors: ErrDenied, ErrThrottled
// after twenty wrong ones of a client network.
func (l *Ledger) Bearer(ctx context.Context, secret string, ip netip.Addr) (Principal, error) {
	now := l.now()
	if !l.gate.AdmitsNetwork(ip, now) {
		return Principal{}, ErrThrottled
	}
	p, err := l.bearer(ctx, secret, ip, now)
	if errors.Is(err, ErrDenied) {
		l.gate.FailedNetwork(ip, now)
	}
	return p, err
}

func (l *Ledger) bearer(ctx context.Context, secret string, ip netip.Addr, now time.Time) (Principal, error) {
	id, hash, ok := readToken(secret)
	if !ok {
		return Principal{}, ErrDenied
	}
	var maker person
	var t Token
	err := l.o.DB.Read(ctx, func(tx *store.Tx) (err error) {
		var rights, ip string
		var stored []byte
		t = Token{}
		maker, err = scanPerson(tx.QueryRow(`SELECT `+personColumns+`, t.hash, `+tokenColumns+` FROM user_token t JOIN user_person p ON p.id = t.person WHERE t.id = ?`, id).Scan,
			append([]any{&stored}, t.into(&rights, &ip)...)...)
		if err == nil && !same(stored, hash) {
			return ErrDenied
		}
		t.finish(rights, ip)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNoRows):
		return Principal{}, ErrDenied
	case err != nil:
		return Principal{}, err
	case t.Revoked || !t.Ends.IsZero() && !now.Before(t.Ends) || !l.alive(maker) || maker.Customer != "" && maker.Customer != t.Customer || t.Customer != "" && !l.o.Customer(t.Customer):
		return Principal{}, ErrDenied
	}
	if now.Sub(t.LastUsed) >= seenEvery {
		if err := l.o.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE user_token SET used = ?, used_ip = ? WHERE id = ? AND used < ?`, now, address(ip), t.ID, now.Add(-seenEvery/2))
			return err
		}); err != nil {
			l.o.Logger.Warn("the use of a token was not written down", "token", t.ID, "error", err)
		}
	}
	return tokenPrincipal(maker.User, t), nil
}

// tokenPrincipal is what a token may do now: no more than its maker, and over its customer only.
func tokenPrincipal(maker User, t Token) Principal {
	p := maker.Principal()
	var rights []Right
	for _, r := range t.Rights {
		if slices.Contains(p.Rights, r) && (t.Customer == "" || !isGateway(r)) {
			rights = append(rights, r)
		}
	}
	p.ID, p.Name, p.Customer, p.Rights, p.Token = t.ID, t.Label, t.Customer, rights, true
	return p
}
