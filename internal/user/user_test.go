package user_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/password"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/user"
)

// home and away are networks that users sign in from.
var (
	home = netip.MustParseAddr("192.0.2.10")
	away = netip.MustParseAddr("203.0.113.77")
)

// room is a ledger with a clock that tests move, and the mails it asked for.
type room struct {
	*user.Ledger
	clock  *storetest.Clock
	mu     sync.Mutex
	told   []user.Telling
	absent map[string]bool // customers that are not there
}

// mails returns what was told since the last call.
func (r *room) mails() []user.Telling {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.told
	r.told = nil
	return all
}

// cheap keeps tests fast; the form of the hash is the same.
var cheap = password.Cost{Memory: 64, Passes: 1, Threads: 1}

func open(t testing.TB, db *store.DB) *room {
	t.Helper()
	r := &room{clock: storetest.NewClock(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)), absent: map[string]bool{}}
	var err error
	r.Ledger, err = user.New(user.Options{DB: db, Now: r.clock.Now, Host: "gate.example.test", BaseURL: "https://gate.example.test", Cost: cheap,
		Customer: func(id string) bool { return !r.absent[id] },
		Tell: func(_ context.Context, x user.Telling) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, x)
		}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// each runs a test on both engines.
func each(t *testing.T, f func(t *testing.T, r *room)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) { f(t, open(t, db)) })
}

// once runs a test on SQLite only: what it asks is no matter of the engine.
func once(t *testing.T) *room {
	t.Helper()
	return open(t, storetest.SQLite(t, store.MainSchema()))
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// add makes a user.
func (r *room) add(t testing.TB, address string, role user.Role, customer string) user.User {
	t.Helper()
	u, _, err := r.Add(t.Context(), user.User{Address: addr(t, address), Name: "Some Body", Role: role, Customer: customer})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// enter signs a user in without a proof.
func (r *room) enter(t testing.TB, u user.User) (string, user.Session) {
	t.Helper()
	secret, s, err := r.NewSession(t.Context(), u.ID, home, "a browser")
	if err != nil {
		t.Fatal(err)
	}
	return secret, s
}

// want fails the test unless err is the wanted one.
func want(t testing.TB, what string, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) || (wanted == nil && err != nil) {
		t.Errorf("%s: got %v, want %v", what, err, wanted)
	}
}

func TestUserSignsInAndOut(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.add(t, "Anna@Shop.example", user.CustomerAdmin, "shop")
		secret, s := r.enter(t, u)
		p, again, err := r.Resume(t.Context(), secret, home)
		if err != nil || p.ID != u.ID || p.Customer != "shop" || !p.May(user.MailAct, "shop") || p.May(user.MailAct, "other") || again.ID != s.ID || again.IP != home || again.Agent != "a browser" {
			t.Fatalf("got %+v %+v %v", p, again, err)
		}
		other := map[bool]string{true: "B", false: "A"}[secret[0] == 'A'] + secret[1:]
		if _, _, err := r.Resume(t.Context(), other, home); err == nil {
			t.Error("another secret resumes the session")
		}
		want(t, "another's session", r.EndSession(t.Context(), "nobody", s.ID), user.ErrNotFound)
		want(t, "end", r.EndSession(t.Context(), u.ID, s.ID), nil)
		_, _, err = r.Resume(t.Context(), secret, home)
		want(t, "ended session", err, user.ErrDenied)
		want(t, "end twice", r.EndSession(t.Context(), u.ID, s.ID), user.ErrNotFound)
		_, _, err = r.Add(t.Context(), user.User{Address: addr(t, "aNNA@shop.example"), Role: user.CustomerReader, Customer: "other"})
		want(t, "the same address", err, user.ErrTaken)
		got, err := r.ByAddress(t.Context(), "ANNA@shop.example")
		if err != nil || got.ID != u.ID || got.LastSeen.IsZero() {
			t.Errorf("by address: %+v %v", got, err)
		}
		want(t, "note", r.Note(t.Context(), user.Entry{Actor: p.Actor(), Customer: "shop", Act: "message.release", Subject: "Q1", IP: home}), nil)
		page, err := r.Entries(t.Context(), user.EntryQuery{Customer: "shop"})
		if err != nil || len(page.Entries) != 1 || page.Entries[0].Act != "message.release" || page.Entries[0].IP != home {
			t.Errorf("entries: %+v %v", page, err)
		}
	})
}

func TestTokenActsForItsMaker(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.add(t, "anna@shop.example", user.CustomerAdmin, "shop")
		token, secret, err := r.AddToken(t.Context(), u.Principal(), user.Token{Customer: "shop", Label: "the shop", Rights: []user.Right{user.MailSend, user.MailRead, user.MailSend}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Bearer(t.Context(), secret, home)
		if err != nil || p.ID != token.ID || !p.Token || len(p.Rights) != 2 || !p.May(user.MailSend, "shop") || p.May(user.MailSend, "other") || p.May(user.UsersRead, "shop") || p.Actor() != "token:"+token.ID {
			t.Fatalf("got %+v %v", p, err)
		}
		_, err = r.Update(t.Context(), user.User{ID: u.ID, Address: u.Address, Role: user.CustomerReader})
		want(t, "update", err, nil)
		if p, err := r.Bearer(t.Context(), secret, home); err != nil || p.May(user.MailSend, "shop") || !p.May(user.MailRead, "shop") {
			t.Errorf("the token may more than its maker: %+v %v", p, err)
		}
		want(t, "disable", r.SetDisabled(t.Context(), u.ID, true), nil)
		_, err = r.Bearer(t.Context(), secret, home)
		want(t, "maker disabled", err, user.ErrDenied)
		want(t, "enable", r.SetDisabled(t.Context(), u.ID, false), nil)
		want(t, "another's token", r.RevokeToken(t.Context(), "other", token.ID), user.ErrNotFound)
		want(t, "revoke", r.RevokeToken(t.Context(), "shop", token.ID), nil)
		_, err = r.Bearer(t.Context(), secret, home)
		want(t, "revoked", err, user.ErrDenied)
	})
}
