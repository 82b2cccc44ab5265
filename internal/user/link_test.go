package user_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/user"
)

// secretOf is the last part of a link.
func secretOf(link string) string { return link[strings.LastIndexByte(link, '/')+1:] }

func TestInvitation(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u, secret, err := r.Add(t.Context(), user.User{Address: addr(t, "anna@shop.example"), Role: user.CustomerAdmin, Customer: "shop", Language: "fr"})
		if err != nil {
			t.Fatal(err)
		}
		told := r.mails()
		if len(told) != 1 || told[0].Kind != user.TellInvite || told[0].Link != "https://gate.example.test/invite/"+secret || !told[0].Ends.Equal(r.clock.Now().Add(7*24*time.Hour)) {
			t.Errorf("told %+v", told)
		}
		link, err := r.Link(t.Context(), secret)
		if err != nil || link.Kind != user.LinkInvite || link.User.ID != u.ID {
			t.Errorf("link: %+v %v", link, err)
		}
		var weak *user.WeakPassword
		if _, err := r.Accept(t.Context(), secret, "short", home, ""); !errors.As(err, &weak) || weak.Why != user.WeakShort {
			t.Errorf("weak password: %v", err)
		}
		_, err = r.Reset(t.Context(), secret, right)
		want(t, "invitation as a reset", err, user.ErrDenied)
		in, err := r.Accept(t.Context(), secret, right, home, "Firefox")
		if err != nil || in.Secret == "" {
			t.Fatalf("accept: %v", err)
		}
		_, err = r.Accept(t.Context(), secret, right, home, "")
		want(t, "twice", err, user.ErrDenied)
		if _, err := r.sign(t, "anna@shop.example", right, home); err != nil {
			t.Error(err)
		}
		_, late, err := r.Add(t.Context(), user.User{Address: addr(t, "bob@shop.example"), Role: user.CustomerReader, Customer: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		r.clock.Add(7 * 24 * time.Hour)
		_, err = r.Accept(t.Context(), late, right, home, "")
		want(t, "after seven days", err, user.ErrDenied)
		bob, err := r.ByAddress(t.Context(), "bob@shop.example")
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.NewReset(t.Context(), bob.ID)
		if err != nil {
			t.Fatal(err)
		}
		if told := r.mails(); told[len(told)-1].Kind != user.TellInvite {
			t.Errorf("who never had a password is told %+v", told)
		}
		if _, err := r.Accept(t.Context(), again, right, home, ""); err != nil {
			t.Errorf("invited again: %v", err)
		}
	})
}

func TestReset(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@shop.example", user.CustomerAdmin, "shop")
		session, _ := r.enter(t, u)
		want(t, "ask", r.AskReset(t.Context(), " Anna@SHOP.example", home), nil)
		told := r.mails()
		if len(told) != 1 || told[0].Kind != user.TellReset || told[0].IP != home || !told[0].Ends.Equal(r.clock.Now().Add(time.Hour)) {
			t.Fatalf("told %+v", told)
		}
		first := secretOf(told[0].Link)
		want(t, "ask again", r.AskReset(t.Context(), "anna@shop.example", home), nil)
		secret := secretOf(r.mails()[0].Link)
		_, err := r.Reset(t.Context(), first, "another horse entirely")
		want(t, "the link before", err, user.ErrDenied)
		_, err = r.Accept(t.Context(), secret, right, home, "")
		want(t, "reset as an invitation", err, user.ErrDenied)
		got, err := r.Reset(t.Context(), secret, "another horse entirely")
		if err != nil || got.ID != u.ID {
			t.Fatal(err)
		}
		_, err = r.Reset(t.Context(), secret, "a third horse altogether")
		want(t, "twice", err, user.ErrDenied)
		_, _, err = r.Resume(t.Context(), session, home)
		want(t, "a session from before", err, user.ErrDenied)
		_, err = r.sign(t, "anna@shop.example", right, home)
		want(t, "the former password", err, user.ErrDenied)
		if _, err := r.sign(t, "anna@shop.example", "another horse entirely", home); err != nil {
			t.Error(err)
		}
		if told := r.mails(); len(told) != 1 || told[0].Kind != user.TellPassword {
			t.Errorf("told %+v", told)
		}
		want(t, "ask", r.AskReset(t.Context(), "anna@shop.example", home), nil)
		secret = secretOf(r.mails()[0].Link)
		r.clock.Add(time.Hour)
		_, err = r.Reset(t.Context(), secret, right)
		want(t, "after an hour", err, user.ErrDenied)
		want(t, "ask", r.AskReset(t.Context(), "anna@shop.example", home), nil)
		secret = secretOf(r.mails()[0].Link)
		want(t, "disable", r.SetDisabled(t.Context(), u.ID, true), nil)
		_, err = r.Reset(t.Context(), secret, right)
		want(t, "disabled meanwhile", err, user.ErrDenied)
	})
}

// TestAskingForAResetTellsNothing: the answer is the same for everybody, and mail goes to those only who may have it, not too often.
func TestAskingForAResetTellsNothing(t *testing.T) {
	t.Parallel()
	r := once(t)
	r.registered(t, "anna@shop.example", user.CustomerAdmin, "shop")
	off := r.registered(t, "off@shop.example", user.CustomerReader, "shop")
	want(t, "disable", r.SetDisabled(t.Context(), off.ID, true), nil)
	for _, address := range []string{"nobody@shop.example", "off@shop.example", "", "no address", strings.Repeat("x", 1<<16), "a@b\x00\xff"} {
		want(t, address, r.AskReset(t.Context(), address, away), nil)
	}
	if told := r.mails(); len(told) != 0 {
		t.Errorf("told %+v", told)
	}
	for range 50 {
		want(t, "ask", r.AskReset(t.Context(), "anna@shop.example", home), nil)
	}
	if told := r.mails(); len(told) != 5 {
		t.Errorf("%d mails for 50 questions, want 5", len(told))
	}
}

func TestFirstOperator(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		first, err := r.FirstLink(t.Context())
		if err != nil || first == "" {
			t.Fatal(err)
		}
		second, err := r.FirstLink(t.Context())
		if err != nil || second == first {
			t.Fatal(err)
		}
		if link, err := r.Link(t.Context(), first); err != nil || link.Kind != user.LinkSetup {
			t.Errorf("link: %+v %v", link, err)
		}
		anna := user.User{Address: addr(t, "anna@example.org"), Name: "Anna", Role: user.CustomerReader, Customer: "shop", Language: "fr", Zone: "Europe/Paris"}
		_, err = r.Setup(t.Context(), first, user.User{}, right, home, "")
		want(t, "without an address", err, user.ErrInvalid)
		_, err = r.Setup(t.Context(), first, anna, "anna@example.org", home, "")
		want(t, "weak password", err, user.ErrInvalid)
		in, err := r.Setup(t.Context(), first, anna, right, home, "Firefox")
		if err != nil || in.User.Role != user.Operator || in.User.Customer != "" || in.Secret == "" {
			t.Fatalf("setup: %+v %v", in, err)
		}
		for _, secret := range []string{first, second} {
			_, err = r.Setup(t.Context(), secret, user.User{Address: addr(t, "eve@example.org")}, right, home, "")
			want(t, "after the first operator", err, user.ErrDenied)
		}
		if secret, err := r.FirstLink(t.Context()); secret != "" || err != nil {
			t.Errorf("a link although there is an operator: %v", err)
		}
	})
}

// TestSetupEndsWithAnyOperator: one whom the command line made, too.
func TestSetupEndsWithAnyOperator(t *testing.T) {
	t.Parallel()
	r := once(t)
	secret, err := r.FirstLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.add(t, "anna@example.org", user.Operator, "")
	_, err = r.Link(t.Context(), secret)
	want(t, "look", err, user.ErrDenied)
	_, err = r.Setup(t.Context(), secret, user.User{Address: addr(t, "eve@example.org")}, right, home, "")
	want(t, "use", err, user.ErrDenied)
}

func TestWeakPasswords(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := user.User{Address: addr(t, "anna.martin@boulangerie.example"), Name: "Anna Martin"}
	for _, tc := range []struct{ name, password, why string }{
		{"empty", "", user.WeakShort},
		{"11 characters", "abcdefghijk", user.WeakShort},
		{"11 characters of two bytes", "éèàùçêôîûïë", user.WeakShort},
		{"201 characters", strings.Repeat("ab1-", 50) + "x", user.WeakLong},
		{"endless", strings.Repeat("x", 1<<20), user.WeakLong},
		{"one character", strings.Repeat("a", 20), user.WeakCommon},
		{"three characters", "abcabcabcabcabc", user.WeakCommon},
		{"a list's", "motdepasse123", user.WeakCommon},
		{"a list's, shouted", "MotDePasse123", user.WeakCommon},
		{"the address", "Anna.Martin@boulangerie.example", user.WeakPersonal},
		{"the address and a year", "anna.martin@boulangerie.example2026", user.WeakPersonal},
		{"the name", "Anna Martin 75", user.WeakPersonal},
		{"the host", "gate.example.test1", user.WeakPersonal},
		{"ours", "PosternPostern1", user.WeakPersonal},
		{"a sentence", "quatre chevaux verts", ""},
		{"a sentence with a name in it", "anna rides a green horse", ""},
		{"twelve letters", "kxqvjwzhplmt", ""},
		{"200 characters", strings.Repeat("abcde", 40), ""},
		{"no letters at all", "請求書を送ってください今日中に", ""},
	} {
		err := r.Weak(u, tc.password)
		var weak *user.WeakPassword
		switch {
		case tc.why == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.why != "" && (!errors.As(err, &weak) || weak.Why != tc.why || !errors.Is(err, user.ErrInvalid)):
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.why)
		}
	}
}

// TestPasswordsHaveOneForm: characters that look the same are the same, others are not.
func TestPasswordsHaveOneForm(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.registered(t, "anna@example.org", user.Operator, "")
	want(t, "set", r.SetPassword(t.Context(), u.ID, "un ch\u00e2teau hant\u00e9", ""), nil)
	if _, err := r.sign(t, "anna@example.org", "un cha\u0302teau hante\u0301", home); err != nil {
		t.Errorf("the same with combining accents: %v", err)
	}
	_, err := r.sign(t, "anna@example.org", "un chateau hante", home)
	want(t, "without accents", err, user.ErrDenied)
	secret, s := r.enter(t, u)
	kept, _ := r.enter(t, u)
	want(t, "set and keep a session", r.SetPassword(t.Context(), u.ID, right, s.ID), nil)
	if _, _, err := r.Resume(t.Context(), secret, home); err != nil {
		t.Errorf("the session that changed the password: %v", err)
	}
	_, _, err = r.Resume(t.Context(), kept, home)
	want(t, "another session", err, user.ErrDenied)
	want(t, "nobody", r.SetPassword(t.Context(), "nobody", right, ""), user.ErrNotFound)
}
