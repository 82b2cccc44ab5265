package account_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// noon is a moment in the middle of a day and of an hour.
var noon = time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)

// book is a ledger with a clock of the test's and one credential.
type book struct {
	*account.Ledger
	clock *atomic.Int64
	user  string
}

func (b book) now() time.Time { return time.UnixMicro(b.clock.Load()).UTC() }

func (b book) pass(d time.Duration) { b.clock.Add(d.Microseconds()) }

// another is a second process over the same database.
func another(t *testing.T, db *store.DB, clock *atomic.Int64, user string) book {
	t.Helper()
	l, err := account.New(account.Options{DB: db, Now: func() time.Time { return time.UnixMicro(clock.Load()).UTC() }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return book{l, clock, user}
}

func limited(t *testing.T, db *store.DB, limits account.Limits) book {
	t.Helper()
	clock := &atomic.Int64{}
	clock.Store(noon.UnixMicro())
	b := another(t, db, clock, "")
	if err := b.PutCustomer(t.Context(), account.Customer{ID: "shop"}); err != nil {
		t.Fatal(err)
	}
	user, _, err := b.MakeCredential(t.Context(), "shop", account.CredentialSettings{Label: "web", Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	b.user = user
	return b
}

var client = netip.MustParseAddr("192.0.2.9")

// wantLimit fails unless err is that limit, ending then; "" wants none.
func wantLimit(t *testing.T, err error, limit string, until time.Time) {
	t.Helper()
	var l *account.LimitError
	switch {
	case limit == "" && err == nil:
	case limit == "" || !errors.As(err, &l) || !errors.Is(err, account.ErrLimit):
		t.Fatalf("got %v, want %q", err, limit)
	case l.Limit != limit || !l.Until.Equal(until):
		t.Fatalf("got %s until %s, want %s until %s", l.Limit, l.Until, limit, until)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	hour, day := noon.Add(65*time.Minute), noon.Add(24*time.Hour+30*time.Minute)
	each(t, func(t *testing.T, db *store.DB) {
		b := limited(t, db, account.Limits{MessagesHour: 2, MessagesDay: 4, RecipientsDay: 10})
		spend := func(recipients int) error { return b.Spend(b.user, recipients, client, b.now()) }
		wantLimit(t, spend(3), "", noon)
		wantLimit(t, b.Room(b.user, 7, b.now()), "", noon)
		wantLimit(t, b.Room(b.user, 8, b.now()), account.RecipientsPerDay, day)
		wantLimit(t, spend(8), account.RecipientsPerDay, day)
		wantLimit(t, spend(1), "", noon)
		wantLimit(t, spend(1), account.MessagesPerHour, hour)
		b.Unspend(b.user, 1, b.now(), true) // the second was not taken after all
		wantLimit(t, spend(2), "", noon)
		b.pass(time.Hour) // the full hour makes no room
		wantLimit(t, spend(1), account.MessagesPerHour, hour)
		b.pass(5 * time.Minute)
		wantLimit(t, spend(1), "", noon)
		wantLimit(t, spend(1), "", noon)
		wantLimit(t, spend(1), account.MessagesPerDay, day)
		if got := b.Spent(b.user, b.now()); got != (account.Spent{MessagesHour: 2, MessagesDay: 4, RecipientsDay: 7}) {
			t.Errorf("spent: %+v", got)
		}
		if err := b.UpdateCredential(t.Context(), b.user, account.CredentialSettings{Limits: account.Limits{MessagesHour: 100}}); err != nil {
			t.Fatal(err)
		}
		wantLimit(t, spend(500), "", noon)
		b.pass(24*time.Hour + 30*time.Minute)
		if got := b.Spent(b.user, b.now()); got != (account.Spent{}) {
			t.Errorf("a day later: %+v", got)
		}
		wantLimit(t, b.Spend("", 1, client, b.now()), "", noon)
		wantLimit(t, b.Spend("nobody", 1, client, b.now()), "", noon)
	})
}

func TestLimitsOutliveARestart(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		b := limited(t, db, account.Limits{MessagesHour: 5, MessagesDay: 8})
		for range 4 {
			wantLimit(t, b.Spend(b.user, 2, client, b.now()), "", noon)
		}
		b.Refused(b.user, client, b.now())
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLimit(t, b.Spend(b.user, 2, client, b.now()), "", noon) // not written yet
		next := another(t, db, b.clock, b.user)
		wantLimit(t, next.Spend(b.user, 1, client, next.now()), "", noon) // 4 were written, this is the fifth
		wantLimit(t, next.Spend(b.user, 1, client, next.now()), account.MessagesPerHour, noon.Add(65*time.Minute))
		if err := next.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.Flush(t.Context()); err != nil { // this node learns of the other's
			t.Fatal(err)
		}
		if got := b.Spent(b.user, b.now()); got.MessagesHour != 6 || got.RecipientsDay != 11 {
			t.Errorf("both nodes together: %+v", got)
		}
		b.pass(65 * time.Minute)
		wantLimit(t, b.Spend(b.user, 1, client, b.now()), "", noon)
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := b.Spent(b.user, b.now()); got.MessagesHour != 1 || got.MessagesDay != 7 {
			t.Errorf("an hour later: %+v", got)
		}
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		b := limited(t, db, account.Limits{})
		other := netip.MustParseAddr("2001:db8::9")
		for i := range 3 {
			if err := b.Spend(b.user, i+1, client, b.now()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.pass(24 * time.Hour)
		if err := b.Spend(b.user, 1, other, b.now()); err != nil {
			t.Fatal(err)
		}
		b.Refused(b.user, other, b.now())
		check := func(when string) {
			t.Helper()
			uses, err := b.Uses(t.Context(), "shop", noon)
			if err != nil {
				t.Fatal(err)
			}
			days := uses[b.user]
			if len(days) != 2 || days[0].Messages != 3 || days[0].Recipients != 6 || days[0].LastIP != client || days[1].Messages != 1 || days[1].Refused != 1 ||
				days[1].LastIP != other || !days[1].Last.Equal(b.now()) || days[0].Day != noon.Truncate(24*time.Hour) {
				t.Errorf("%s: %+v", when, days)
			}
			c, _ := b.Credential(b.user)
			if !c.LastUsed.Equal(b.now()) || c.LastIP != other {
				t.Errorf("%s: last used %s from %s", when, c.LastUsed, c.LastIP)
			}
		}
		check("before it is written")
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("after")
		if c, _ := another(t, db, b.clock, b.user).Credential(b.user); !c.LastUsed.Equal(b.now()) {
			t.Errorf("after a restart: last used %s", c.LastUsed)
		}
		if uses, err := b.Uses(t.Context(), "rival", noon); err != nil || len(uses) != 0 {
			t.Errorf("another customer sees %v (%v)", uses, err)
		}
		if err := b.DeleteCustomer(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWindowMoves: in no hour and in no 24 hours more than the limit passes, wherever they begin, however the sending is spread; who was refused gets in at the
// moment that he was told, and not before.
func TestWindowMoves(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	const perHour, perDay = 40, 200
	b := limited(t, db, account.Limits{MessagesHour: perHour, RecipientsDay: perDay})
	var taken []time.Time
	random := rand.New(rand.NewPCG(1, 2))
	for range 2500 {
		b.pass(time.Duration(random.IntN(90)) * time.Second)
		if random.IntN(40) == 0 {
			b.pass(time.Duration(random.IntN(180)) * time.Minute)
		}
		if random.IntN(50) == 0 {
			if err := b.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		err := b.Spend(b.user, 1, client, b.now())
		if err == nil {
			taken = append(taken, b.now())
			continue
		}
		var l *account.LimitError
		if !errors.As(err, &l) || !l.Until.After(b.now()) || l.Until.Sub(b.now()) > 25*time.Hour {
			t.Fatalf("at %s: %v", b.now(), err)
		}
		if err := b.Room(b.user, 1, l.Until.Add(-time.Second)); err == nil {
			t.Fatalf("room before %s", l.Until)
		}
		if err := b.Room(b.user, 1, l.Until); err != nil {
			t.Fatalf("no room at %s: %v", l.Until, err)
		}
		if random.IntN(20) == 0 {
			b.clock.Store(l.Until.UnixMicro())
		}
	}
	most := func(window time.Duration) (n int) {
		from := 0
		for i, at := range taken {
			for at.Sub(taken[from]) > window {
				from++
			}
			n = max(n, i-from+1)
		}
		return n
	}
	if h, d := most(time.Hour), most(24*time.Hour); h != perHour || d != perDay {
		t.Errorf("at most %d passed in an hour and %d in a day", h, d)
	}
}

// TestFullHour: the burst before a full hour or midnight leaves no room for a second one after it.
func TestFullHour(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		b := limited(t, db, account.Limits{MessagesHour: 10, MessagesDay: 15})
		midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		b.clock.Store(midnight.Add(-time.Second).UnixMicro())
		for range 10 {
			wantLimit(t, b.Spend(b.user, 1, client, b.now()), "", noon)
		}
		b.pass(time.Second)
		wantLimit(t, b.Spend(b.user, 1, client, b.now()), account.MessagesPerHour, midnight.Add(time.Hour))
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		next := another(t, db, b.clock, b.user) // also after a restart
		wantLimit(t, next.Spend(b.user, 1, client, b.now()), account.MessagesPerHour, midnight.Add(time.Hour))
		b.pass(time.Hour)
		for range 5 {
			wantLimit(t, next.Spend(b.user, 1, client, b.now()), "", noon)
		}
		wantLimit(t, next.Spend(b.user, 1, client, b.now()), account.MessagesPerDay, midnight.Add(24*time.Hour))
	})
}

// TestLimitSetLater: what was sent before a limit was set counts.
func TestLimitSetLater(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		b := limited(t, db, account.Limits{})
		for range 5 {
			wantLimit(t, b.Spend(b.user, 1, client, b.now()), "", noon)
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.UpdateCredential(t.Context(), b.user, account.CredentialSettings{Limits: account.Limits{MessagesHour: 5}}); err != nil {
			t.Fatal(err)
		}
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantLimit(t, b.Spend(b.user, 1, client, b.now()), account.MessagesPerHour, noon.Add(65*time.Minute))
	})
}

// TestNeverMoreThanTheLimit: however many spend at the same time, and whatever is written and given back meanwhile, what is taken stays within
// the limits.
func TestNeverMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	b := limited(t, db, account.Limits{MessagesHour: 60, RecipientsDay: 100})
	var messages, recipients atomic.Int64
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 60 {
				n := 1 + (worker+i)%3
				if b.Spend(b.user, n, client, b.now()) != nil {
					continue
				}
				if m, r := messages.Add(1), recipients.Add(int64(n)); m > 60 || r > 100 {
					t.Errorf("%d messages to %d recipients taken", m, r)
				}
				if i%7 == 0 {
					messages.Add(-1)
					recipients.Add(-int64(n))
					b.Unspend(b.user, n, b.now(), false)
				}
				if i%20 == 19 {
					if err := b.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if got := b.Spent(b.user, b.now()); int64(got.MessagesHour) != messages.Load() || int64(got.RecipientsDay) != recipients.Load() {
		t.Errorf("counted %+v, taken %d to %d", got, messages.Load(), recipients.Load())
	}
}

func TestCredentialNetworks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		l := open(t, db)
		if err := l.PutCustomer(t.Context(), account.Customer{ID: "shop"}); err != nil {
			t.Fatal(err)
		}
		user, password, err := l.MakeCredential(t.Context(), "shop", account.CredentialSettings{Networks: networks("192.0.2.0/24", "2001:db8::/48")})
		if err != nil {
			t.Fatal(err)
		}
		for ip, want := range map[string]error{"192.0.2.77": nil, "::ffff:192.0.2.77": nil, "2001:db8::1": nil, "198.51.100.1": account.ErrElsewhere, "2001:db9::1": account.ErrElsewhere} {
			if _, _, err := l.AuthenticateFrom(t.Context(), netip.MustParseAddr(ip), user, password); !errors.Is(err, want) {
				t.Errorf("from %s: %v", ip, err)
			}
		}
		if _, _, err := l.AuthenticateFrom(t.Context(), netip.MustParseAddr("198.51.100.1"), user, "wrong"); !errors.Is(err, account.ErrDenied) {
			t.Errorf("a guesser from elsewhere: %v", err)
		}
		if err := l.UpdateCredential(t.Context(), user, account.CredentialSettings{Label: "new"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.AuthenticateFrom(t.Context(), netip.MustParseAddr("198.51.100.1"), user, password); err != nil {
			t.Errorf("without networks: %v", err)
		}
		if c, _ := l.Credential(user); c.Label != "new" || len(c.Networks) != 0 {
			t.Errorf("changed: %+v", c)
		}
		if err := l.UpdateCredential(t.Context(), "nobody", account.CredentialSettings{}); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		bad := account.CredentialSettings{Label: "a\nb", Limits: account.Limits{MessagesDay: -1}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}
		err = l.UpdateCredential(t.Context(), user, bad)
		for _, want := range []string{"label", "messages per day", "192.0.2.1/24"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s not named: %v", want, err)
			}
		}
	})
}

func BenchmarkSpend(b *testing.B) {
	db := storetest.SQLite(b, store.MainSchema())
	l, err := account.New(account.Options{DB: db})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.PutCustomer(b.Context(), account.Customer{ID: "shop"}); err != nil {
		b.Fatal(err)
	}
	var users []string
	for i := range 20 {
		user, _, err := l.MakeCredential(b.Context(), "shop", account.CredentialSettings{Label: fmt.Sprint(i), Limits: account.Limits{MessagesHour: 1_000_000_000}})
		if err != nil {
			b.Fatal(err)
		}
		users = append(users, user)
	}
	now := time.Now()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := l.Spend(users[i%len(users)], 1, client, now); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
