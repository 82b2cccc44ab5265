package learn_test

import (
	"math"
	"net/netip"
	"testing"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func record(t testing.TB, l *learn.Ledger, s learn.Sender, scores ...float64) {
	t.Helper()
	for _, x := range scores {
		if err := l.Record(t.Context(), s, x); err != nil {
			t.Fatal(err)
		}
	}
}

func adjust(t testing.TB, l *learn.Ledger, s learn.Sender, score float64) (float64, int) {
	t.Helper()
	points, n, err := l.Adjust(t.Context(), s, score)
	if err != nil {
		t.Fatal(err)
	}
	return points, n
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		plain := open(t, db, learn.Options{Reputation: learn.Reputation{Dilution: 1, Most: 10}})
		s := learn.Sender{Customer: "c", From: address(t, "a@b.example"), ClientIP: ip("192.0.2.1"), Answers: "login:u"}
		if p, n := adjust(t, plain, s, 5); p != 0 || n != 0 {
			t.Errorf("an unknown sender: %v, %d", p, n)
		}
		record(t, plain, s, 1, 3)
		if p, n := adjust(t, plain, s, 5); p != 0 || n != 2 {
			t.Errorf("two messages make no mean: %v, %d", p, n)
		}
		record(t, plain, s, 2) // mean 2
		for score, want := range map[float64]float64{5: -1.5, 2: 0, 0: 1, 30: -10, math.Inf(1): 0} {
			if p, _ := adjust(t, plain, s, score); p != want {
				t.Errorf("score %v: %v, want %v", score, p, want)
			}
		}
		// Figures that cannot be do not spoil the mean.
		record(t, plain, s, math.NaN(), math.Inf(1), 1e9)
		if p, n := adjust(t, plain, s, 0); p != 1 || n != 3 {
			t.Errorf("after figures that cannot be: %v, %d", p, n)
		}
		bounded := open(t, db, learn.Options{})
		if p, _ := adjust(t, bounded, s, 12); p != -2 {
			t.Errorf("more than the bound: %v", p)
		}
		// Dilution: TxRep's formula by hand, for 1, 3, 2: total 1; 2*(3+.98)/(1.98); 3*(2+.98*total)/(2.96).
		diluted := open(t, db, learn.Options{Reputation: learn.Reputation{Factor: 1, Most: 10}})
		d := s
		d.Answers = "login:v"
		record(t, diluted, d, 1, 3, 2)
		total := 2 * (3 + 0.98) / 1.98
		want := math.Round(3*(2+0.98*total)/2.96/3*1000) / 1000
		if p, _ := adjust(t, diluted, d, 0); p != want {
			t.Errorf("diluted mean %v, want %v", p, want)
		}
		// Who mends his ways is believed after some time, sooner than the plain mean would.
		short := open(t, db, learn.Options{Reputation: learn.Reputation{Factor: 1, Memory: 10, Most: 10}})
		for range 40 {
			record(t, short, d, 0)
		}
		if p, n := adjust(t, short, d, 0); p > 0.05 || n != 43 {
			t.Errorf("after 40 clean messages the past still counts %v (%d messages)", p, n)
		}
	})
}

// TestForger: nobody inherits a name by writing it.
func TestForger(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, learn.Options{})
		s := learn.Sender{Customer: "c", From: address(t, "boss@firm.example"), ClientIP: ip("192.0.2.1"), Answers: "dkim:firm.example"}
		record(t, l, s, 0, 0, 0, 0, 0)
		if p, n := adjust(t, l, s, 4); p != -2 || n != 5 {
			t.Fatalf("the sender himself: %v, %d", p, n)
		}
		for _, tc := range []struct {
			name   string
			change func(*learn.Sender)
			same   bool
		}{
			{"near address", func(s *learn.Sender) { s.ClientIP = ip("192.0.77.9") }, true},
			{"capitals", func(s *learn.Sender) { s.From = address(t, "Boss@FIRM.example") }, true},
			{"mapped address", func(s *learn.Sender) { s.ClientIP = ip("::ffff:192.0.2.1") }, true},
			{"other network", func(s *learn.Sender) { s.ClientIP = ip("198.51.100.1") }, false},
			{"no network", func(s *learn.Sender) { s.ClientIP = netip.Addr{} }, false},
			{"IPv6", func(s *learn.Sender) { s.ClientIP = ip("2001:db8::1") }, false},
			{"no signature", func(s *learn.Sender) { s.Answers = "" }, false},
			{"other signature", func(s *learn.Sender) { s.Answers = "dkim:evil.example" }, false},
			{"a login", func(s *learn.Sender) { s.Answers = "login:firm.example" }, false},
			{"other customer", func(s *learn.Sender) { s.Customer = "d" }, false},
			{"other address", func(s *learn.Sender) { s.From = address(t, "b@firm.example") }, false},
			{"no address", func(s *learn.Sender) { s.From = mail.Address{} }, false},
		} {
			f := s
			tc.change(&f)
			p, n := adjust(t, l, f, 4)
			if (n == 5) != tc.same || !tc.same && p != 0 {
				t.Errorf("%s: %v points, %d messages", tc.name, p, n)
			}
		}
		// Six octets of the IPv6 network make one sender, the rest does not matter.
		v6 := s
		v6.ClientIP = ip("2001:db8:1:2::1")
		record(t, l, v6, 0, 0, 0)
		for _, tc := range []struct {
			ip   string
			same bool
		}{{"2001:db8:1:ffff::9", true}, {"2001:db8:2:2::1", false}} {
			v6.ClientIP = ip(tc.ip)
			if _, n := adjust(t, l, v6, 4); (n == 3) != tc.same {
				t.Errorf("%s: %d messages", tc.ip, n)
			}
		}
	})
}

// TestNobodyAnswers: a name that nobody answers for can become bad, never good.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, learn.Options{})
	s := learn.Sender{Customer: "c", From: address(t, "a@b.example"), ClientIP: ip("192.0.2.1")}
	record(t, l, s, 1, 1, 1, 1)
	for _, score := range []float64{1.5, 2, 3.5, 15, 100} {
		if p, _ := adjust(t, l, s, score); p != 0 {
			t.Errorf("a good name of nobody gives %v at %v", p, score)
		}
	}
	if p, _ := adjust(t, l, s, 0); p <= 0 {
		t.Errorf("its worse mean gives %v at 0", p)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	for _, o := range []learn.Options{{}, {DB: db, Reputation: learn.Reputation{Factor: 2}}, {DB: db, Reputation: learn.Reputation{Dilution: -1}},
		{DB: db, Reputation: learn.Reputation{Most: math.NaN()}}} {
		if _, err := learn.New(o); err == nil {
			t.Errorf("accepted: %+v", o.Reputation)
		}
	}
}
