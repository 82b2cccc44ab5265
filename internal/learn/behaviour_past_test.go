package learn_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestStrangersOf: a shop that writes to strangers daily, an office that never does until its password is stolen, a script, and a network without passwords.
func TestStrangersOf(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := someday
		l := open(t, db, learn.Options{Now: func() time.Time { return now }, Node: "a"})
		send := func(id learn.Identity, to string, n int) {
			t.Helper()
			for i := range n {
				o := learn.Observation{Identity: id, At: now, Recipients: []mail.Recipient{{Address: address(t, fmt.Sprintf("%s%d@there.example", to, i))}}}
				observe(t, l, o)
			}
		}
		at := netip.MustParseAddr("192.0.2.7")
		login := func(name string) learn.Identity { return learn.IdentityOf("c", name, at, "good.example", nil) }
		script := learn.IdentityOf("c", "office", at, "good.example", []byte("X-PHP-Script: good.example/form.php\r\n\r\n"))
		nobody := learn.IdentityOf("c", "", at, "good.example", nil)
		for day := range 6 {
			now = someday.AddDate(0, 0, day)
			send(login("shop"), fmt.Sprint("buyer", day, "-"), 10)
			send(login("office"), "friend", 10)
			send(script, "form", 5)
			send(nobody, "device", 5)
		}
		now = someday.AddDate(0, 0, 6)
		send(login("office"), "stranger", 40)
		send(login("office"), "friend", 10)
		send(login("shop"), "buyer6-", 10)
		send(learn.IdentityOf("d", "office", at, "other.example", nil), "foreign", 30)
		written(t, l)

		// Another node has counted as well.
		other := open(t, db, learn.Options{Now: func() time.Time { return now }, Node: "b"})
		l = other
		send(nobody, "late", 10)
		written(t, other)

		got, err := other.StrangersOf(t.Context(), "c", []string{"shop", "office", "unheard"}, now, now.Add(time.Hour))
		if err != nil || got.Partial {
			t.Fatal(got, err)
		}
		for _, tc := range []struct {
			name              string
			s                 learn.Strangers
			recipients, first int
			usual             float64
		}{
			{"the shop", got.Logins["shop"], 10, 10, 1},
			{"the office, its script with it", got.Logins["office"], 50, 40, 15.0 / 90},
			{"without a login", got.Nobody, 10, 10, 5.0 / 30},
			{"all", got.All, 70, 60, 80.0 / 180},
		} {
			if s := tc.s; s.Recipients != tc.recipients || s.FirstTime != tc.first || s.Usual < tc.usual-0.001 || s.Usual > tc.usual+0.001 {
				t.Errorf("%s: %+v, want %d of %d, usually %g", tc.name, s, tc.first, tc.recipients, tc.usual)
			}
		}
		if len(got.Logins) != 2 {
			t.Errorf("logins %+v", got.Logins)
		}
		early, err := other.StrangersOf(t.Context(), "c", nil, someday, someday.AddDate(0, 0, 1))
		if err != nil || early.All.Recipients != 60 || early.All.Usual != -1 {
			t.Errorf("the first two days: %+v, %v", early, err)
		}
		if none, err := other.StrangersOf(t.Context(), "e", nil, someday, now); err != nil || none.All.Recipients != 0 || none.All.Usual != -1 {
			t.Errorf("a customer who never sent: %+v, %v", none, err)
		}
	})
}
