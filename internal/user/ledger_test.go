package user_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/user"
)

func TestUsersThatAreRefused(t *testing.T) {
	t.Parallel()
	r := once(t)
	r.absent["gone"] = true
	good := user.User{Address: addr(t, "anna@shop.example"), Name: "Anna", Role: user.CustomerAdmin, Customer: "shop", Language: "fr", Zone: "Europe/Paris"}
	for _, tc := range []struct {
		name  string
		spoil func(u *user.User)
	}{
		{"no address", func(u *user.User) { u.Address.Local, u.Address.Domain = "", "" }},
		{"no role", func(u *user.User) { u.Role = "" }},
		{"unknown role", func(u *user.User) { u.Role = "root" }},
		{"operator of a customer", func(u *user.User) { u.Role = user.Operator }},
		{"abuse desk of a customer", func(u *user.User) { u.Role = user.AbuseDesk }},
		{"admin of nobody", func(u *user.User) { u.Customer = "" }},
		{"reader of nobody", func(u *user.User) { u.Role, u.Customer = user.CustomerReader, "" }},
		{"customer who is not there", func(u *user.User) { u.Customer = "gone" }},
		{"language", func(u *user.User) { u.Language = "de" }},
		{"zone", func(u *user.User) { u.Zone = "Europe/Nowhere" }},
		{"zone of the machine", func(u *user.User) { u.Zone = "Local" }},
		{"zone that is a path", func(u *user.User) { u.Zone = "../../etc/passwd" }},
		{"long name", func(u *user.User) { u.Name = strings.Repeat("x", 101) }},
		{"name of two lines", func(u *user.User) { u.Name = "Anna\r\nBcc: eve@example.org" }},
	} {
		u := good
		tc.spoil(&u)
		_, _, err := r.Add(t.Context(), u)
		want(t, "add: "+tc.name, err, user.ErrInvalid)
	}
	u, _, err := r.Add(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	other := r.add(t, "bob@shop.example", user.CustomerReader, "shop")
	change := func(f func(u *user.User)) error {
		x := u
		f(&x)
		_, err := r.Update(t.Context(), x)
		return err
	}
	want(t, "to the gateway", change(func(u *user.User) { u.Role = user.Operator }), user.ErrInvalid)
	want(t, "another's address", change(func(u *user.User) { u.Address = other.Address }), user.ErrTaken)
	want(t, "zone", change(func(u *user.User) { u.Zone = "Mars/Crater" }), user.ErrInvalid)
	want(t, "nobody", change(func(u *user.User) { u.ID = "nobody" }), user.ErrNotFound)
	r.mails()
	want(t, "another customer is not looked at", change(func(u *user.User) { u.Customer, u.Name = "other", "Anna M." }), nil)
	got, err := r.User(t.Context(), u.ID)
	if err != nil || got.Customer != "shop" || got.Name != "Anna M." || got.Zone != "Europe/Paris" || got.Language != "fr" {
		t.Errorf("%+v %v", got, err)
	}
	want(t, "disable nobody", r.SetDisabled(t.Context(), "nobody", true), user.ErrNotFound)
	want(t, "remove nobody", r.Remove(t.Context(), "nobody"), user.ErrNotFound)
	_, err = r.User(t.Context(), "nobody")
	want(t, "nobody", err, user.ErrNotFound)
}

func TestTheLastOperatorStays(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		one := r.add(t, "one@example.org", user.Operator, "")
		r.add(t, "desk@example.org", user.AbuseDesk, "")
		demote := func(u user.User) error {
			u.Role = user.AbuseDesk
			_, err := r.Update(t.Context(), u)
			return err
		}
		want(t, "demote", demote(one), user.ErrLast)
		want(t, "disable", r.SetDisabled(t.Context(), one.ID, true), user.ErrLast)
		want(t, "remove", r.Remove(t.Context(), one.ID), user.ErrLast)
		two := r.add(t, "two@example.org", user.Operator, "")
		want(t, "disable the second", r.SetDisabled(t.Context(), two.ID, true), nil)
		want(t, "remove, the other is disabled", r.Remove(t.Context(), one.ID), user.ErrLast)
		want(t, "remove a disabled one", r.Remove(t.Context(), two.ID), nil)
		// Of operators who take away each other at once, one stays.
		for round := range 5 {
			all := []user.User{one}
			for i := range 3 {
				all = append(all, r.add(t, fmt.Sprintf("op%d-%d@example.org", round, i), user.Operator, ""))
			}
			var wg sync.WaitGroup
			for _, u := range all {
				wg.Go(func() { _ = r.SetDisabled(t.Context(), u.ID, true) })
			}
			wg.Wait()
			left := 0
			for _, u := range all {
				if x, err := r.User(t.Context(), u.ID); err == nil && !x.Disabled {
					one, left = x, left+1
				}
			}
			if left != 1 {
				t.Fatalf("%d operators left", left)
			}
		}
	})
}

func TestRemovedUsersLeaveNothing(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.registered(t, "anna@shop.example", user.CustomerAdmin, "shop")
		_, recovery := r.codes(t, u)
		session, _ := r.enter(t, u)
		_, token, err := r.AddToken(t.Context(), u.Principal(), user.Token{Customer: "shop", Label: "x", Rights: []user.Right{user.MailRead}})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "remove", r.Remove(t.Context(), u.ID), nil)
		_, _, err = r.Resume(t.Context(), session, home)
		want(t, "session", err, user.ErrDenied)
		_, err = r.Bearer(t.Context(), token, home)
		want(t, "token", err, user.ErrDenied)
		again := r.add(t, "anna@shop.example", user.CustomerAdmin, "shop")
		if again.ID == u.ID || again.TOTP || again.Password {
			t.Errorf("inherited: %+v", again)
		}
		if all, err := r.Tokens(t.Context(), "shop"); err != nil || len(all) != 0 {
			t.Errorf("tokens %v %v", all, err)
		}
		_ = recovery
		// A customer who leaves takes his users with him.
		keep := r.add(t, "bob@other.example", user.CustomerAdmin, "other")
		want(t, "remove customer", r.RemoveCustomer(t.Context(), "shop"), nil)
		_, err = r.User(t.Context(), again.ID)
		want(t, "user of the customer", err, user.ErrNotFound)
		if _, err := r.User(t.Context(), keep.ID); err != nil {
			t.Errorf("another's user: %v", err)
		}
		want(t, "remove nobody's", r.RemoveCustomer(t.Context(), ""), user.ErrInvalid)
	})
}

func TestUsersHavePages(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		for i := range 7 {
			r.add(t, fmt.Sprintf("u%d@shop.example", i), user.CustomerReader, "shop")
		}
		r.add(t, "a@other.example", user.CustomerReader, "other")
		r.add(t, "op@example.org", user.Operator, "")
		walk := func(q user.UserQuery) (out []string, pages int) {
			for {
				page, err := r.Users(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range page.Users {
					out = append(out, u.Address.String())
				}
				if pages++; page.Next == "" {
					return out, pages
				}
				q.After = page.Next
			}
		}
		for _, tc := range []struct {
			name        string
			query       user.UserQuery
			users, page int
		}{
			{"customer", user.UserQuery{Customer: "shop", Limit: 3}, 7, 3},
			{"customer, exactly a page", user.UserQuery{Customer: "shop", Limit: 7}, 7, 1},
			{"gateway", user.UserQuery{}, 1, 1},
			{"everybody", user.UserQuery{Everybody: true, Limit: 4}, 9, 3},
			{"part of an address", user.UserQuery{Everybody: true, Text: "@OTHER.", Limit: 4}, 1, 1},
			{"of a customer's, in pages", user.UserQuery{Customer: "shop", Text: "u", Limit: 3}, 7, 3},
			{"what means something in a pattern", user.UserQuery{Everybody: true, Text: "%_"}, 0, 1},
			{"no such customer", user.UserQuery{Customer: "nobody"}, 0, 1},
		} {
			got, pages := walk(tc.query)
			if len(got) != tc.users || pages != tc.page || !slices.IsSorted(got) || len(slices.Compact(got)) != tc.users {
				t.Errorf("%s: %v in %d pages", tc.name, got, pages)
			}
		}
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		op := r.add(t, "op@example.org", user.Operator, "")
		anna := r.add(t, "anna@shop.example", user.CustomerAdmin, "shop")
		opSecret, _ := r.enter(t, op)
		secret, s := r.enter(t, anna)
		alive := func(secret string) bool {
			_, _, err := r.Resume(t.Context(), secret, home)
			return err == nil
		}
		if !s.Ends.Equal(r.clock.Now().Add(7 * 24 * time.Hour)) {
			t.Errorf("ends %v", s.Ends)
		}
		r.clock.Add(11 * time.Hour)
		if !alive(opSecret) {
			t.Error("operator's session ended early")
		}
		r.clock.Add(11 * time.Hour)
		if !alive(opSecret) {
			t.Error("use does not keep a session")
		}
		r.clock.Add(12 * time.Hour)
		if alive(opSecret) {
			t.Error("an idle session of an operator lasts")
		}
		if !alive(secret) {
			t.Error("a customer's session ended early")
		}
		for range 5 {
			r.clock.Add(6 * 24 * time.Hour)
			if r.clock.Now().Sub(s.Created) < 30*24*time.Hour && !alive(secret) {
				t.Error("use does not keep a customer's session")
			}
		}
		if alive(secret) {
			t.Error("a session lasts for ever")
		}
		want(t, "sweep", r.Sweep(t.Context()), nil)
		if all, err := r.Sessions(t.Context(), anna.ID); err != nil || len(all) != 0 {
			t.Errorf("%v %v", all, err)
		}
	})
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.add(t, "anna@shop.example", user.CustomerAdmin, "shop")
		var secrets []string
		var last user.Session
		for range user.MaxSessions + 3 {
			r.clock.Add(time.Second)
			secret, s := r.enter(t, u)
			secrets, last = append(secrets, secret), s
		}
		all, err := r.Sessions(t.Context(), u.ID)
		if err != nil || len(all) != user.MaxSessions || all[0].ID != last.ID {
			t.Fatalf("%d sessions, %v", len(all), err)
		}
		if _, _, err := r.Resume(t.Context(), secrets[0], home); err == nil {
			t.Error("the oldest session is still there")
		}
		n, err := r.EndOtherSessions(t.Context(), u.ID, last.ID)
		if err != nil || n != user.MaxSessions-1 {
			t.Errorf("ended %d, %v", n, err)
		}
		if _, _, err := r.Resume(t.Context(), secrets[len(secrets)-1], home); err != nil {
			t.Errorf("the kept session: %v", err)
		}
		// The use of a session is written down once a minute.
		seen := func() time.Time {
			all, err := r.Sessions(t.Context(), u.ID)
			if err != nil || len(all) != 1 {
				t.Fatal(err)
			}
			return all[0].Seen
		}
		begin := seen()
		r.clock.Add(59 * time.Second)
		_, _, _ = r.Resume(t.Context(), secrets[len(secrets)-1], home)
		if !seen().Equal(begin) {
			t.Error("written down within a minute")
		}
		r.clock.Add(time.Second)
		_, _, _ = r.Resume(t.Context(), secrets[len(secrets)-1], home)
		if !seen().Equal(r.clock.Now()) {
			t.Error("not written down after a minute")
		}
	})
}

func TestSecretsOfOthersAreDenied(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.add(t, "anna@shop.example", user.CustomerAdmin, "shop")
	secret, s := r.enter(t, u)
	flipped := []byte(secret)
	flipped[10] ^= 1
	for _, bad := range []string{"", "x", s.ID, secret[:42], secret + "A", " " + secret, strings.ToUpper(secret), string(flipped), strings.Repeat("A", 43), strings.Repeat("x", 1<<20), "\x00", "pst_" + secret} {
		_, _, err := r.Resume(t.Context(), bad, home)
		want(t, fmt.Sprintf("%.50q", bad), err, user.ErrDenied)
		_, err = r.Link(t.Context(), bad)
		want(t, fmt.Sprintf("link %.50q", bad), err, user.ErrDenied)
		_, err = r.Second(t.Context(), bad, "123456")
		want(t, fmt.Sprintf("pending %.50q", bad), err, user.ErrDenied)
		_, err = r.Bearer(t.Context(), bad, netip.Addr{})
		want(t, fmt.Sprintf("token %.50q", bad), err, user.ErrDenied)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	r := once(t)
	r.absent["gone"] = true
	admin := r.add(t, "admin@shop.example", user.CustomerAdmin, "shop").Principal()
	reader := r.add(t, "reader@shop.example", user.CustomerReader, "shop").Principal()
	operator := r.add(t, "op@example.org", user.Operator, "").Principal()
	desk := r.add(t, "desk@example.org", user.AbuseDesk, "").Principal()
	token := admin
	token.Token = true
	read := []user.Right{user.MailRead}
	for _, tc := range []struct {
		name string
		by   user.Principal
		t    user.Token
		err  error
	}{
		{"good", admin, user.Token{Customer: "shop", Label: "x", Rights: read}, nil},
		{"operator for a customer", operator, user.Token{Customer: "shop", Label: "x", Rights: read}, nil},
		{"operator for the gateway", operator, user.Token{Label: "x", Rights: []user.Right{user.GatewayOperate}}, nil},
		{"nobody", user.Principal{}, user.Token{Customer: "shop", Label: "x", Rights: read}, user.ErrDenied},
		{"reader", reader, user.Token{Customer: "shop", Label: "x", Rights: read}, user.ErrDenied},
		{"abuse desk", desk, user.Token{Label: "x", Rights: read}, user.ErrDenied},
		{"a token", token, user.Token{Customer: "shop", Label: "x", Rights: read}, user.ErrDenied},
		{"for another customer", admin, user.Token{Customer: "other", Label: "x", Rights: read}, user.ErrDenied},
		{"for the gateway", admin, user.Token{Label: "x", Rights: read}, user.ErrDenied},
		{"right over the gateway", admin, user.Token{Customer: "shop", Label: "x", Rights: []user.Right{user.GatewayRead}}, user.ErrInvalid},
		{"right over the gateway for a customer", operator, user.Token{Customer: "shop", Label: "x", Rights: []user.Right{user.GatewayRead}}, user.ErrInvalid},
		{"no right", admin, user.Token{Customer: "shop", Label: "x"}, user.ErrInvalid},
		{"unknown right", operator, user.Token{Label: "x", Rights: []user.Right{"root"}}, user.ErrInvalid},
		{"no label", admin, user.Token{Customer: "shop", Label: " ", Rights: read}, user.ErrInvalid},
		{"label of two lines", admin, user.Token{Customer: "shop", Label: "a\nb", Rights: read}, user.ErrInvalid},
		{"long label", admin, user.Token{Customer: "shop", Label: strings.Repeat("x", 101), Rights: read}, user.ErrInvalid},
		{"ended already", admin, user.Token{Customer: "shop", Label: "x", Rights: read, Ends: r.clock.Now()}, user.ErrInvalid},
		{"customer who is not there", operator, user.Token{Customer: "gone", Label: "x", Rights: read}, user.ErrInvalid},
	} {
		_, secret, err := r.AddToken(t.Context(), tc.by, tc.t)
		want(t, tc.name, err, tc.err)
		if (secret == "") != (err != nil) {
			t.Errorf("%s: secret %q", tc.name, secret)
		}
	}
}

func TestTokensEnd(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.add(t, "op@example.org", user.Operator, "")
		r.add(t, "second@example.org", user.Operator, "")
		issue := func(x user.Token) string {
			x.Label, x.Rights = "x", []user.Right{user.MailRead}
			_, secret, err := r.AddToken(t.Context(), u.Principal(), x)
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
		timed, shop := issue(user.Token{Ends: r.clock.Now().Add(time.Hour)}), issue(user.Token{Customer: "shop"})
		valid := func(secret string) bool {
			_, err := r.Bearer(t.Context(), secret, home)
			return err == nil
		}
		if p, err := r.Bearer(t.Context(), shop, home); err != nil || p.Gateway() || !p.May(user.MailRead, "shop") || p.May(user.MailRead, "other") || p.May(user.MailRead, "") {
			t.Errorf("an operator's token for a customer: %+v %v", p, err)
		}
		r.clock.Add(time.Hour)
		if valid(timed) {
			t.Error("a token outlives its end")
		}
		r.absent["shop"] = true
		if valid(shop) {
			t.Error("a token outlives its customer")
		}
		delete(r.absent, "shop")
		all, err := r.Tokens(t.Context(), "shop")
		if err != nil || len(all) != 1 || !all[0].LastUsed.Equal(r.clock.Now().Add(-time.Hour)) || all[0].LastIP != home {
			t.Errorf("%+v %v", all, err)
		}
	})
}

func TestTokensAreNotGuessed(t *testing.T) {
	t.Parallel()
	r := once(t)
	u := r.add(t, "op@example.org", user.Operator, "")
	_, secret, err := r.AddToken(t.Context(), u.Principal(), user.Token{Label: "x", Rights: []user.Right{user.MailRead}})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, err := r.Bearer(t.Context(), secret[:len(secret)-1]+"_", away)
		want(t, "guess", err, user.ErrDenied)
	}
	_, err = r.Bearer(t.Context(), secret, away)
	want(t, "after twenty guesses", err, user.ErrThrottled)
	if _, err := r.Bearer(t.Context(), secret, home); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	r.clock.Add(2 * time.Minute)
	if _, err := r.Bearer(t.Context(), secret, away); err != nil {
		t.Errorf("later: %v", err)
	}
}

// TestATokenNeverDoesMoreThanItsMaker: for random users, tokens and later roles, over every right and customer.
func TestATokenNeverDoesMoreThanItsMaker(t *testing.T) {
	t.Parallel()
	r := once(t)
	r.add(t, "keeper@example.org", user.Operator, "") // so that nobody is the last one
	random := rand.New(rand.NewPCG(1, 2))
	customers := []string{"", "shop", "other"}
	made := 0
	for i := range 150 {
		var u user.User
		if customer := customers[random.IntN(3)]; customer == "" {
			u = r.add(t, fmt.Sprintf("u%d@example.org", i), []user.Role{user.Operator, user.AbuseDesk}[random.IntN(2)], "")
		} else {
			u = r.add(t, fmt.Sprintf("u%d@example.org", i), []user.Role{user.CustomerAdmin, user.CustomerReader}[random.IntN(2)], customer)
		}
		want := user.Token{Customer: customers[random.IntN(3)], Label: "x"}
		for _, right := range user.Rights() {
			if random.IntN(3) == 0 {
				want.Rights = append(want.Rights, right)
			}
		}
		_, secret, err := r.AddToken(t.Context(), u.Principal(), want)
		if err != nil {
			continue
		}
		made++
		if random.IntN(2) == 0 {
			u.Role = map[user.Role]user.Role{user.Operator: user.AbuseDesk, user.AbuseDesk: user.Operator, user.CustomerAdmin: user.CustomerReader, user.CustomerReader: user.CustomerAdmin}[u.Role]
			if u, err = r.Update(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		p, err := r.Bearer(t.Context(), secret, home)
		if err != nil {
			t.Fatal(err)
		}
		for _, right := range user.Rights() {
			for _, customer := range customers {
				if p.May(right, customer) && (!u.Principal().May(right, customer) || !slices.Contains(want.Rights, right) || want.Customer != "" && want.Customer != customer) {
					t.Fatalf("token of %+v with %+v may %s over %q", u, want, right, customer)
				}
			}
		}
	}
	if made < 5 {
		t.Errorf("only %d tokens were made", made)
	}
}

func TestAuditLog(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		for i := range 10 {
			r.clock.Add(time.Minute)
			e := user.Entry{Actor: []string{"user:a", "operator:b"}[i%2], Name: "A\x00\r\n", Customer: []string{"shop", "other", ""}[i%3], Act: []string{"message.release", "lane.pause"}[i%2],
				Subject: fmt.Sprint(i), Text: strings.Repeat("é", 400), Failed: i == 3, IP: home}
			want(t, "note", r.Note(t.Context(), e), nil)
		}
		for _, tc := range []struct {
			name  string
			query user.EntryQuery
			want  string
		}{
			{"customer", user.EntryQuery{Customer: "shop"}, "9630"},
			{"gateway", user.EntryQuery{}, "852"},
			{"everybody", user.EntryQuery{Everybody: true}, "9876543210"},
			{"actor", user.EntryQuery{Everybody: true, Actor: "user:a"}, "86420"},
			{"act of a customer", user.EntryQuery{Customer: "other", Act: "lane.pause"}, "71"},
			{"time", user.EntryQuery{Everybody: true, From: r.clock.Now().Add(-5 * time.Minute), To: r.clock.Now().Add(-2 * time.Minute)}, "654"},
		} {
			for _, limit := range []int{0, 1, 2, 3} {
				var got string
				q := tc.query
				for q.Limit = limit; ; {
					page, err := r.Entries(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page.Entries {
						got += e.Subject
						if len(e.Text) > 500 || strings.ContainsAny(e.Name, "\r\n\x00") || e.Failed != (e.Subject == "3") || e.IP != home {
							t.Errorf("entry %+v", e)
						}
					}
					if page.Next == 0 {
						break
					}
					q.Before = page.Next
				}
				if got != tc.want {
					t.Errorf("%s, %d a page: got %s, want %s", tc.name, limit, got, tc.want)
				}
			}
		}
		r.clock.Add(400*24*time.Hour - 4*time.Minute)
		want(t, "sweep", r.Sweep(t.Context()), nil)
		if page, err := r.Entries(t.Context(), user.EntryQuery{Everybody: true}); err != nil || len(page.Entries) != 5 {
			t.Errorf("%d entries stay, %v", len(page.Entries), err)
		}
	})
}

// TestRevokedIsOutAtOnce: no request that begins after a revocation has returned succeeds.
func TestRevokedIsOutAtOnce(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		u := r.add(t, "anna@shop.example", user.CustomerAdmin, "shop")
		for range 5 {
			secret, s := r.enter(t, u)
			var revoked atomic.Bool
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 25 {
						before := revoked.Load()
						if _, _, err := r.Resume(t.Context(), secret, home); err == nil && before {
							t.Error("a revoked session is served")
						}
					}
				})
			}
			want(t, "end", r.EndSession(t.Context(), u.ID, s.ID), nil)
			revoked.Store(true)
			wg.Wait()
		}
	})
}

func FuzzSecrets(f *testing.F) {
	for _, s := range []string{"", "pst_", "pst_aaaaaaaaaaaaaaaa_" + strings.Repeat("A", 43), strings.Repeat("A", 43), "pst_aaaaaaaaaaaaaaaa_" + strings.Repeat("_", 43), "abcd-efgh-ijkl-mnop", "12 34 56", "\xff\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if hash, ok := user.ReadSecret(s); ok && (len(hash) != 32 || len(s) != 43) {
			t.Errorf("secret %q", s)
		}
		if id, hash, ok := user.ReadToken(s); ok && (len(id) != 16 || len(hash) != 32 || s[:4]+id+"_"+s[len(s)-43:] != s) {
			t.Errorf("token %q", s)
		}
		if code := user.PlainCode(s); len(code) > 4*128 || strings.ContainsAny(code, " -") {
			t.Errorf("code %q", code)
		}
		if c := user.Cut(s, 50); len(c) > 50 || strings.ContainsAny(c, "\r\n\x00") || !slices.Equal([]byte(c), []byte(strings.ToValidUTF8(c, ""))) {
			t.Errorf("cut %q", c)
		}
	})
}
