package reputation_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/mail"
	"postern/internal/reputation"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// walk goes through a range for a time, as Run does.
func (s *scene) walk(network netip.Prefix, d time.Duration) (pieces int) {
	s.t.Helper()
	end := s.clock.Now().Add(d)
	last := time.Time{}
	for s.clock.Now().Before(end) {
		next, did, err := s.watch.RoundTurn(s.t.Context(), network, last)
		if err != nil {
			s.t.Fatal(err)
		}
		if did {
			pieces++
			last = s.clock.Now()
		}
		s.clock.Add(max(earlier(next, end).Sub(s.clock.Now()), time.Millisecond))
	}
	return pieces
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (s *scene) round() reputation.Round {
	s.t.Helper()
	all, err := s.watch.Rounds(s.t.Context())
	if err != nil || len(all) != 1 {
		s.t.Fatal(all, err)
	}
	return all[0]
}

// TestDayOfARange goes through a /22 in a day, with a restart in the middle.
func TestDayOfARange(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		network := netip.MustParsePrefix("198.51.100.0/22")
		s := newScene(t, db, func(o *reputation.Options) { o.Ranges = []netip.Prefix{network} })
		for _, last := range []int{3, 77, 200, 255} {
			s.list(fmt.Sprintf("198.51.101.%d", last), "a.test", "127.0.0.2")
		}
		s.list("198.51.102.9", "a.test", "127.0.0.10") // a list of addresses that should not send directly: fine for one that does not
		s.dns.Fail(name("198.51.103.1", "b.test"), 1)
		s.look(0)
		s.walk(network, 11*time.Hour)
		if r := s.round(); r.Position < 440 || r.Position > 490 {
			t.Fatalf("after 11 of 24 hours: %d of %d", r.Position, r.Size)
		}
		s.restart()
		s.look(0)
		s.walk(network, 13*time.Hour)
		r := s.round()
		if r.Position != 1024 || r.Last.Listed != 4 || r.Last.Unknown != 1 || r.Last.Silent["b.test"] != 1 {
			t.Fatalf("after the day: %+v", r)
		}
		for i := range 1024 {
			ip := netip.AddrFrom4([4]byte{198, 51, byte(100 + i/256), byte(i)})
			if n := s.asked.count(name(ip.String(), "a2.test")); n != 1 && ip.String() != egress {
				t.Fatalf("%s was asked %d times", ip, n)
			}
		}
		if open := s.open(); len(open) != 4 || open[0].Own || open[0].Dossier != "" {
			t.Fatalf("%+v", open)
		}
		if n := s.rows("target"); n != 4+3 { // the listed ones, and what is ours
			t.Errorf("%d rows of targets", n)
		}
		if n := s.rows("day"); n > 4*2+2*2+2 {
			t.Errorf("%d rows of days", n)
		}
		if got := s.alarms.keys(); len(got) != 1 || s.alarms.raised[got[0]].Args["Count"] != "4" || s.alarms.raised[got[0]].Critical {
			t.Errorf("alarms %v", got)
		}
		within, err := s.watch.Listings(t.Context(), reputation.ListingQuery{Open: true, Within: "198.51.0.0/16", Limit: 3})
		if err != nil || len(within.Listings) != 3 || within.Next == "" {
			t.Errorf("%+v, %v", within, err)
		}
		within, err = s.watch.Listings(t.Context(), reputation.ListingQuery{Open: true, Within: "198.51.101.0/24", Cursor: within.Next})
		if err != nil || len(within.Listings) != 1 || within.Next != "" {
			t.Errorf("%+v, %v", within, err)
		}
		// A day later one of them is clean, and looked at again half an hour after: the round alone would take another day.
		s.list("198.51.101.77", "a.test", "")
		s.walk(network, 24*time.Hour)
		s.look(reputation.CleanAfter)
		if open := s.open(); len(open) != 3 {
			t.Fatalf("%d listings after two clean answers", len(open))
		}
		days, err := s.watch.History(t.Context(), "198.51.101.77", s.clock.Now().AddDate(0, 0, -2), s.clock.Now())
		if err != nil || days[0].Weight != 5 || !days[2].Looked {
			t.Errorf("%+v, %v", days, err)
		}
	})
}

func TestTwoNodesShareARange(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		network := netip.MustParsePrefix("203.0.113.0/26")
		s := newScene(t, db, func(o *reputation.Options) { o.Ranges, o.Node = []netip.Prefix{network}, "one" })
		other := s.options
		other.Node = "two"
		second, err := reputation.New(other)
		if err != nil {
			t.Fatal(err)
		}
		pieces := [2]int{}
		for s.clock.Now().Before(time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)) {
			for i, w := range []*reputation.Watch{s.watch, second} {
				if i == 0 && s.clock.Now().Hour() >= 12 && s.clock.Now().Hour() < 18 {
					continue // the first one is down for six hours
				}
				_, did, err := w.RoundTurn(t.Context(), network, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				if did {
					pieces[i]++
				}
			}
			s.clock.Add(2 * time.Minute)
		}
		if pieces[0] == 0 || pieces[1] == 0 || pieces[0]+pieces[1] != 64 {
			t.Fatalf("pieces %v", pieces)
		}
		for i := range 64 {
			if n := s.asked.count(name(fmt.Sprintf("203.0.113.%d", i), "a.test")); n != 1 {
				t.Fatalf("203.0.113.%d was asked %d times", i, n)
			}
		}
	})
}

// TestAddressThatBecomesOurs: an address of a range that mail leaves from later is watched by itself, and its listing opens a dossier; and back.
func TestAddressThatBecomesOurs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		network := netip.MustParsePrefix("203.0.113.0/28")
		s := newScene(t, db, func(o *reputation.Options) { o.Ranges = []netip.Prefix{network} })
		s.list("203.0.113.5", "a.test", "127.0.0.2")
		s.walk(network, 24*time.Hour)
		if len(s.open()) != 1 || len(s.dossiers()) != 0 {
			t.Fatalf("%+v", s.open())
		}
		plain := s.options.Accounts
		pools := []account.Pool{{Name: "default", Egress: []account.Egress{{IP: netip.MustParseAddr("203.0.113.5")}}}}
		var err error
		if s.options.Accounts, err = account.New(account.Options{DB: db, Pools: pools, Now: s.clock.Now}); err != nil {
			t.Fatal(err)
		}
		s.restart()
		s.look(0)
		all := s.dossiers(reputation.Open)
		if open := s.open(); len(open) != 1 || !open[0].Own || len(all) != 1 || len(s.alarms.keys()) != 1 {
			t.Fatalf("%+v %+v %v", open, all, s.alarms.keys())
		}
		s.options.Accounts = plain
		s.restart()
		s.look(50 * time.Hour)
		s.look(time.Hour)
		if d := s.dossier(all[0].ID); d.State != reputation.Closed || len(s.open()) != 0 {
			t.Fatalf("%s %+v", d.State, s.open())
		}
		s.walk(network, 25*time.Hour)
		if open := s.open(); len(open) != 1 || open[0].Own {
			t.Fatalf("the round does not go over it any more: %+v", open)
		}
	})
}

// TestShutdownInThePiece ends the room while lists are asked: nothing is written, and the piece is done again.
func TestShutdownInThePiece(t *testing.T) {
	t.Parallel()
	network := netip.MustParsePrefix("203.0.113.0/24")
	s := newScene(t, storetest.SQLite(t, store.MainSchema()), func(o *reputation.Options) { o.Ranges = []netip.Prefix{network} })
	release := s.dns.Hold(name("203.0.113.1", "a.test"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := s.watch.RoundTurn(ctx, network, time.Time{})
		done <- err
	}()
	waitFor(t, "a question", func() bool { return s.dns.Count(name("203.0.113.1", "a.test")) > 0 })
	cancel()
	release()
	if err := <-done; err == nil {
		t.Fatal("a piece that was cut off counts")
	}
	if r := s.round(); r.Position != 0 || s.rows("day") != 0 {
		t.Fatalf("%+v", r)
	}
	if _, did, err := s.watch.RoundTurn(t.Context(), network, time.Time{}); err != nil || !did || s.round().Position != 2 {
		t.Fatalf("%v %v %+v", did, err, s.round())
	}
}

// TestRun runs the whole room against the clock of the machine.
func TestRun(t *testing.T) {
	t.Parallel()
	network := netip.MustParsePrefix("203.0.113.0/28")
	s := newScene(t, storetest.SQLite(t, store.MainSchema()), func(o *reputation.Options) { o.Ranges, o.Now = []netip.Prefix{network}, time.Now })
	s.list(egress, "a.test", "127.0.0.2")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.watch.Run(ctx) }()
	waitFor(t, "a dossier with evidence and a piece of a round", func() bool {
		all := s.dossiers()
		return len(all) == 1 && !all[0].Gathered.IsZero() && s.round().Position > 0
	})
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if st := s.watch.Stats(); st.Looks < 3 || st.Listed != 1 || st.Gathered != 1 || st.Failed != 0 {
		t.Errorf("%+v", st)
	}
}

// TestArrivals: a new domain is looked at as soon as the accounts know it. The clock stands still, so that no turn is due.
func TestArrivals(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.watch.Run(ctx) }()
		looked := func(name string) func() bool {
			return func() bool {
				target, err := s.watch.Target(ctx, name)
				return err == nil && !target.Checked.IsZero()
			}
		}
		waitFor(t, "the first look", looked(egress))
		if err := s.accounts.AddDomain(ctx, "shop", "new.example"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "a look at a new domain", looked("new.example"))
		s.list("late.example", "d.test", "127.0.0.2")
		if err := s.accounts.PutCustomer(ctx, account.Customer{ID: "late", Domains: []mail.Domain{"late.example"}}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the dossier of a new customer's domain", func() bool { return len(s.dossiers(reputation.Open)) == 1 })
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := s.asked.count(name("new.example", "d.test")); n != 1 {
			t.Errorf("a new domain was asked %d times", n)
		}
	})
}

// lists61 is a resolver that answers for 61 lists from memory: one address in two hundred is listed by one of them.
type lists61 struct{}

func (lists61) Query(_ context.Context, name string, typ dns.Type) dns.Answer {
	if first, rest, _ := strings.Cut(name, "."); typ == dns.TypeA && ((first == "7" || first == "200") && strings.HasSuffix(rest, ".l3.test") || strings.HasPrefix(name, "2.0.0.127.")) {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Type: dns.TypeA, IP: netip.AddrFrom4([4]byte{127, 0, 0, 2})}}}
	}
	return dns.Answer{Status: dns.Nothing, NXDomain: true}
}

// BenchmarkSixteen goes through a /16 with 61 lists, as in a day: run it with -benchtime 1x. It reports rows and bytes of the database.
func BenchmarkSixteen(b *testing.B) {
	var lists []dnsbl.List
	for i := range 61 {
		lists = append(lists, dnsbl.List{Name: fmt.Sprint("List ", i), Zone: fmt.Sprintf("l%d.test", i), Operator: fmt.Sprint("Org ", i), Kinds: dnsbl.IP4, Weight: 3, Access: dnsbl.Free, Codes: code("listed")})
	}
	for b.Loop() {
		db := storetest.SQLite(b, store.MainSchema())
		at := storetest.NewClock(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
		panel, err := dnsbl.NewPanel(dnsbl.PanelOptions{Resolver: lists61{}, Lists: lists, Now: at.Now})
		if err != nil {
			b.Fatal(err)
		}
		network := netip.MustParsePrefix("198.51.0.0/16")
		w, err := reputation.New(reputation.Options{DB: db, Panel: panel, Ranges: []netip.Prefix{network}, Host: "gate", Now: at.Now})
		if err != nil {
			b.Fatal(err)
		}
		last := time.Time{}
		for range 3000 {
			next, did, err := w.RoundTurn(b.Context(), network, last)
			if err != nil {
				b.Fatal(err)
			}
			if did {
				last = at.Now()
			}
			if next.Sub(at.Now()) > 0 {
				at.Add(next.Sub(at.Now()))
			}
			if r, _ := w.Rounds(b.Context()); r[0].Position == r[0].Size {
				break
			}
		}
		var rows, bytes, days, listings, targets int
		if err := db.Read(b.Context(), func(tx *store.Tx) error {
			if err := tx.QueryRow(`SELECT count(*), sum(length(marks)) FROM reputation_day`).Scan(&days, &bytes); err != nil {
				return err
			}
			if err := tx.QueryRow(`SELECT count(*) FROM reputation_listing`).Scan(&listings); err != nil {
				return err
			}
			return tx.QueryRow(`SELECT count(*) FROM reputation_target`).Scan(&targets)
		}); err != nil {
			b.Fatal(err)
		}
		rows = days + listings + targets
		b.ReportMetric(float64(rows), "rows")
		b.ReportMetric(float64(bytes), "mark-bytes")
		b.ReportMetric(float64(listings), "listings")
		b.ReportMetric(at.Now().Sub(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)).Hours(), "hours")
	}
}
