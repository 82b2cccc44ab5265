package suppression_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
)

// clock is the time of a test.
type clock struct{ t atomic.Int64 }

func (c *clock) now() time.Time      { return time.UnixMicro(c.t.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.t.Add(d.Microseconds()) }
func (c *clock) set(t time.Time)     { c.t.Store(t.UnixMicro()) }
func startClock() *clock {
	c := &clock{}
	c.set(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	return c
}
func address(s string) (a mail.Address) {
	a, err := suppression.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func open(t testing.TB, db *store.DB, c *clock) *suppression.Ledger {
	t.Helper()
	l, err := suppression.New(suppression.Options{DB: db, Now: c.now, Logger: storetest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// each runs a test on both engines.
func each(t *testing.T, f func(t *testing.T, l *suppression.Ledger, c *clock, db *store.DB)) {
	t.Helper()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		c := startClock()
		f(t, open(t, db, c), c, db)
	})
}

// reason is why a customer may not write to an address; "" when he may.
func reason(t testing.TB, l *suppression.Ledger, customer, to string) suppression.Reason {
	t.Helper()
	e, found, err := l.Check(t.Context(), customer, address(to))
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return ""
	}
	return e.Reason
}

func add(t testing.TB, l *suppression.Ledger, e suppression.Entry) {
	t.Helper()
	if e.By == "" {
		e.By = suppression.ByRule
	}
	if err := l.Add(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, _ *clock, _ *store.DB) {
		add(t, l, suppression.Entry{Customer: "bakery", Address: address("Bob@There.example"), Reason: suppression.UnknownUser})
		add(t, l, suppression.Entry{Address: address("all@there.example"), Reason: suppression.UnknownUser})
		add(t, l, suppression.Entry{Customer: "bakery", Address: address("@gone.example"), Reason: suppression.NoMail})
		add(t, l, suppression.Entry{Address: address("@null.example"), Reason: suppression.NoMail})
		add(t, l, suppression.Entry{Customer: "bakery", Address: address("ÉMILE@caf\u00e9.example"), Reason: suppression.UnknownUser})
		for _, tc := range []struct {
			customer, to string
			want         suppression.Reason
		}{
			{"bakery", "bob@there.example", suppression.UnknownUser},
			{"bakery", "BOB@THERE.EXAMPLE", suppression.UnknownUser},
			{"bakery", "b.ob@there.example", ""},
			{"bakery", "bob+x@there.example", ""},
			{"garage", "bob@there.example", ""},
			{"", "bob@there.example", ""},
			{"garage", "all@there.example", suppression.UnknownUser},
			{"", "all@there.example", suppression.UnknownUser},
			{"bakery", "anybody@gone.example", suppression.NoMail},
			{"garage", "anybody@gone.example", ""},
			{"garage", "anybody@null.example", suppression.NoMail},
			{"garage", "anybody@sub.null.example", ""},
			{"bakery", "émile@xn--caf-dma.example", suppression.UnknownUser},
		} {
			if got := reason(t, l, tc.customer, tc.to); got != tc.want {
				t.Errorf("%s to %s: %q, want %q", tc.customer, tc.to, got, tc.want)
			}
		}
	})
}

// TestCheckUnread: what was not read into memory is looked up.
func TestCheckUnread(t *testing.T) {
	t.Parallel()
	db, c := storetest.SQLite(t, store.MainSchema()), startClock()
	add(t, open(t, db, c), suppression.Entry{Customer: "c", Address: address("a@b.example"), Reason: suppression.Complaint})
	unread, err := suppression.New(suppression.Options{DB: db, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	if got := reason(t, unread, "c", "a@b.example"); got != suppression.Complaint {
		t.Errorf("%q", got)
	}
	if err := unread.Tune(nil, true); err != nil {
		t.Fatal(err)
	}
	if got := reason(t, unread, "c", "a@b.example"); got != "" {
		t.Errorf("the list is off: %q", got)
	}
	if err := unread.Tune(map[suppression.Reason]time.Duration{"because": time.Hour}, false); !errors.Is(err, suppression.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestStrength(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		a := address("a@b.example")
		e := suppression.Entry{Customer: "c", Address: a, Reason: suppression.UnknownUser, By: suppression.ByRule, Evidence: suppression.Evidence{Text: "no such user"}}
		add(t, l, e)
		weaker := e
		weaker.Reason, weaker.Evidence.Text = suppression.MailboxFull, "full"
		add(t, l, weaker)
		got := find(t, l, a)
		if got.Reason != suppression.UnknownUser || got.Evidence.Text != "no such user" || !got.Until.Equal(c.now().AddDate(0, 0, 365)) {
			t.Errorf("weakened: %+v", got)
		}
		c.add(time.Hour)
		add(t, l, e) // the same again makes it longer
		if got = find(t, l, a); !got.Until.Equal(c.now().AddDate(0, 0, 365)) || !got.Since.Equal(c.now().Add(-time.Hour)) {
			t.Errorf("not longer: %+v", got)
		}
		stronger := e
		stronger.Reason, stronger.By = suppression.Complaint, "recipient"
		add(t, l, stronger)
		if got = find(t, l, a); got.Reason != suppression.Complaint || !got.Until.IsZero() {
			t.Errorf("not stronger: %+v", got)
		}
		add(t, l, e)
		if got = find(t, l, a); got.Reason != suppression.Complaint || !got.Until.IsZero() {
			t.Errorf("weakened: %+v", got)
		}
	})
}

func find(t testing.TB, l *suppression.Ledger, a mail.Address) suppression.Entry {
	t.Helper()
	all, err := l.Find(t.Context(), a)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d entries, %v", len(all), err)
	}
	return all[0]
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		for r, d := range suppression.DefaultKeep() {
			add(t, l, suppression.Entry{Customer: "c", Address: address(string(r) + "@b.example"), Reason: r})
			if d <= 0 {
				t.Errorf("%s: %v", r, d)
			}
		}
		add(t, l, suppression.Entry{Customer: "c", Address: address("complaint@b.example"), Reason: suppression.Complaint})
		start := c.now()
		for r, d := range suppression.DefaultKeep() {
			c.set(start.Add(d - time.Second))
			if got := reason(t, l, "c", string(r)+"@b.example"); got != r {
				t.Errorf("%s: ended early", r)
			}
			c.set(start.Add(d))
			if got := reason(t, l, "c", string(r)+"@b.example"); got != "" {
				t.Errorf("%s: did not end", r)
			}
		}
		c.set(start.AddDate(20, 0, 0))
		if err := l.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := reason(t, l, "c", "complaint@b.example"); got != suppression.Complaint || l.Figures().Entries != 1 {
			t.Errorf("%q, %d entries", got, l.Figures().Entries)
		}
		// An ended entry makes place for a weaker one.
		add(t, l, suppression.Entry{Customer: "c", Address: address("unknown-user@b.example"), Reason: suppression.MailboxFull})
		if got := reason(t, l, "c", "unknown-user@b.example"); got != suppression.MailboxFull {
			t.Errorf("%q", got)
		}
	})
}

func record(t testing.TB, l *suppression.Ledger, s suppression.Strike) suppression.Recorded {
	t.Helper()
	out, err := l.Record(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func TestStrikes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		a := address("full@b.example")
		strike := func() suppression.Recorded {
			return record(t, l, suppression.Strike{Customer: "c", Address: a, Reason: suppression.MailboxFull, Need: 3, Evidence: suppression.Evidence{QueueID: mail.NewQueueID(c.now())}})
		}
		if r := strike(); r.Strikes != 1 || r.Made {
			t.Fatalf("%+v", r)
		}
		c.add(time.Hour) // the same day
		if r := strike(); r.Strikes != 1 || !r.Old {
			t.Fatalf("%+v", r)
		}
		c.set(time.Date(2026, 11, 21, 23, 0, 0, 0, time.UTC))
		c.add(2 * time.Hour) // another day, but the second night hour after no strike of that day: 16 hours after the first
		if r := strike(); r.Strikes != 2 || r.Made {
			t.Fatalf("%+v", r)
		}
		if !l.Struck(a) || l.Struck(address("other@b.example")) {
			t.Error("struck")
		}
		// A success in between: counted from anew.
		if err := l.Delivered(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			c.add(26 * time.Hour)
			if r := strike(); r.Strikes != i+1 || r.Made != (i == 2) {
				t.Fatalf("strike %d: %+v", i, r)
			}
		}
		if got := reason(t, l, "c", "full@b.example"); got != suppression.MailboxFull {
			t.Errorf("%q", got)
		}
		if got := reason(t, l, "d", "full@b.example"); got != "" {
			t.Errorf("another customer: %q", got)
		}
		// Strikes that lie too far apart do not add up, nor do those about one message.
		slow, id := address("slow@b.example"), mail.NewQueueID(c.now())
		for range 4 {
			c.add(16 * 24 * time.Hour)
			if r := record(t, l, suppression.Strike{Customer: "c", Address: slow, Reason: suppression.MailboxFull, Need: 3}); r.Made {
				t.Errorf("%+v", r)
			}
			if r := record(t, l, suppression.Strike{Customer: "c", Address: address("one@b.example"), Reason: suppression.MailboxFull, Need: 2, Evidence: suppression.Evidence{QueueID: id}}); r.Made {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestShared(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		strike := func(customer, to string) suppression.Recorded {
			return record(t, l, suppression.Strike{Customer: customer, Address: address(to), Reason: suppression.UnknownUser, Shared: true})
		}
		if r := strike("a", "x@b.example"); !r.Made || r.ForAll {
			t.Errorf("%+v", r)
		}
		if got := reason(t, l, "z", "x@b.example"); got != "" {
			t.Errorf("%q", got)
		}
		if r := strike("a", "x@b.example"); r.ForAll {
			t.Errorf("one customer twice: %+v", r)
		}
		if r := strike("b", "x@b.example"); !r.Made || !r.ForAll {
			t.Errorf("%+v", r)
		}
		if got := reason(t, l, "z", "x@b.example"); got != suppression.UnknownUser {
			t.Errorf("%q", got)
		}
		// What an operator lifted for everybody comes back for nobody by old evidence.
		if err := l.Lift(t.Context(), "", address("x@b.example"), "operator:eve"); err != nil {
			t.Fatal(err)
		}
		if r := strike("d", "x@b.example"); !r.Old || r.Made {
			t.Errorf("%+v", r)
		}
		c.add(time.Minute)
		if r := strike("d", "x@b.example"); !r.Made || !r.ForAll {
			t.Errorf("%+v", r)
		}
	})
}

func TestLift(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		a, id := address("a@b.example"), mail.NewQueueID(c.now())
		s := suppression.Strike{Customer: "c", Address: a, Reason: suppression.UnknownUser, Evidence: suppression.Evidence{QueueID: id, At: c.now(), Text: "no such user", Rule: "any/unknown"}}
		record(t, l, s)
		c.add(time.Hour)
		if _, err := l.LiftBecause(t.Context(), "c", address("A@B.example"), "operator:eve", "a typo of theirs"); err != nil {
			t.Fatal(err)
		}
		if got := reason(t, l, "c", "a@b.example"); got != "" {
			t.Fatalf("not lifted: %q", got)
		}
		if err := l.Lift(t.Context(), "c", a, "operator:eve"); !errors.Is(err, suppression.ErrNotFound) {
			t.Errorf("%v", err)
		}
		c.add(time.Hour)
		again := s
		for what, v := range map[string]suppression.Evidence{
			"the same":                      s.Evidence,
			"the same message, heard later": {QueueID: id, At: c.now()},
			"heard before":                  {QueueID: mail.NewQueueID(c.now()), At: c.now().Add(-time.Hour)},
		} {
			again.Evidence = v
			if r := record(t, l, again); !r.Old || r.Made {
				t.Errorf("%s: %+v", what, r)
			}
			e := suppression.Entry{Customer: "c", Address: a, Reason: suppression.UnknownUser, By: suppression.ByRule, Evidence: v}
			if err := l.Add(t.Context(), e); !errors.Is(err, suppression.ErrLifted) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if got := reason(t, l, "c", "a@b.example"); got != "" {
			t.Fatalf("came back: %q", got)
		}
		lifts, err := l.Lifts(t.Context(), a, 10)
		if err != nil || len(lifts) != 1 || lifts[0].By != "operator:eve" || lifts[0].Why != "a typo of theirs" || lifts[0].Entry.Evidence.QueueID != id {
			t.Errorf("%+v, %v", lifts, err)
		}
		// A person puts back what he wants, and a new answer counts.
		add(t, l, suppression.Entry{Customer: "c", Address: a, Reason: suppression.ByOperator, By: "operator:eve"})
		if err := l.Lift(t.Context(), "c", a, "operator:eve"); err != nil {
			t.Fatal(err)
		}
		c.add(time.Hour)
		again.Evidence = suppression.Evidence{QueueID: mail.NewQueueID(c.now()), At: c.now()}
		if r := record(t, l, again); !r.Made {
			t.Errorf("%+v", r)
		}
	})
}

func TestTakeBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		put := func(to, provider string) {
			record(t, l, suppression.Strike{Customer: "c", Address: address(to), Reason: suppression.UnknownUser, Evidence: suppression.Evidence{Provider: provider}})
		}
		put("old@b.example", "orange")
		c.add(2 * time.Hour)
		put("new@b.example", "orange")
		put("other@b.example", "free")
		add(t, l, suppression.Entry{Customer: "c", Address: address("person@b.example"), Reason: suppression.UnknownUser, By: "operator:eve"})
		back, err := l.TakeBack(t.Context(), c.now().Add(-time.Hour), func(e suppression.Entry) bool { return e.Evidence.Provider == "orange" }, "directory lost")
		if err != nil || len(back) != 1 || back[0].Address.Local != "new" {
			t.Fatalf("%+v, %v", back, err)
		}
		if reason(t, l, "c", "new@b.example") != "" || reason(t, l, "c", "old@b.example") == "" || reason(t, l, "c", "other@b.example") == "" || reason(t, l, "c", "person@b.example") == "" {
			t.Error("the wrong ones were lifted")
		}
		c.add(26 * time.Hour) // the strike that is left counts
		if r := record(t, l, suppression.Strike{Customer: "c", Address: address("new@b.example"), Reason: suppression.UnknownUser, Need: 2}); !r.Made {
			t.Errorf("%+v", r)
		}
	})
}

func TestEach(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		var all []suppression.Strike
		for i := range 450 {
			s := suppression.Strike{Customer: "c", Address: address(fmt.Sprintf("u%03d@b.example", i)), Reason: suppression.UnknownUser, Evidence: suppression.Evidence{Text: fmt.Sprint(i % 3)}}
			all = append(all, s)
			s.Address.Domain, s.Need = "strikes.example", 2
			all = append(all, s)
		}
		if _, err := l.Record(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
		add(t, l, suppression.Entry{Customer: "c", Address: address("person@b.example"), Reason: suppression.UnknownUser, By: "operator:eve", Evidence: suppression.Evidence{Text: "0"}})
		seen, lifted, err := l.Each(t.Context(), 0, func(s suppression.Strike) string {
			if s.Evidence.Text == "0" {
				return "the rule was wrong"
			}
			return ""
		})
		if err != nil || seen != 450 || len(lifted) != 150 {
			t.Fatalf("seen %d, lifted %d, %v", seen, len(lifted), err)
		}
		if reason(t, l, "c", "u000@b.example") != "" || reason(t, l, "c", "u001@b.example") == "" || reason(t, l, "c", "person@b.example") == "" {
			t.Error("the wrong ones were lifted")
		}
		c.add(26 * time.Hour) // strikes of the wrong kind are forgotten, the others count
		for i, want := range []bool{false, true} {
			r := record(t, l, suppression.Strike{Customer: "c", Address: address(fmt.Sprintf("u%03d@strikes.example", i)), Reason: suppression.UnknownUser, Need: 2})
			if r.Made != want {
				t.Errorf("%d: %+v", i, r)
			}
		}
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		for i := range 25 {
			customer := []string{"a", "b", ""}[i%3]
			add(t, l, suppression.Entry{Customer: customer, Address: address(fmt.Sprintf("u%d@b%d.example", i, i%2)), Reason: suppression.Reasons()[i%5], Evidence: suppression.Evidence{Provider: "p", Rule: "p/r"}})
			if i%4 == 0 {
				c.add(time.Second)
			}
		}
		count := func(q suppression.Query) int {
			t.Helper()
			n, seen := 0, map[string]bool{}
			for {
				page, next, err := l.List(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for i, e := range page {
					k := e.Customer + "/" + suppression.FormatAddress(e.Address)
					if seen[k] {
						t.Errorf("%s twice", k)
					}
					if seen[k] = true; i > 0 && e.Since.After(page[i-1].Since) {
						t.Error("not the newest first")
					}
				}
				if n += len(page); next == "" {
					return n
				}
				q.Cursor = next
			}
		}
		for _, tc := range []struct {
			name string
			q    suppression.Query
			want int
		}{
			{"all", suppression.Query{Limit: 4}, 25},
			{"a customer", suppression.Query{Customer: "a", Limit: 3}, 17},
			{"his own", suppression.Query{Customer: "a", Own: true, Limit: 2}, 9},
			{"everybody's", suppression.Query{Own: true}, 8},
			{"domain", suppression.Query{Domain: "B1.example"}, 12},
			{"address", suppression.Query{Address: address("U3@b1.example")}, 1},
			{"reason", suppression.Query{Reason: suppression.UnknownUser}, 5},
			{"provider", suppression.Query{Provider: "p", Rule: "p/r", ByRule: true}, 25},
			{"another provider", suppression.Query{Provider: "q"}, 0},
		} {
			if got := count(tc.q); got != tc.want {
				t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
			}
		}
		c.add(15 * 24 * time.Hour)
		if got := count(suppression.Query{}); got != 20 {
			t.Errorf("%d, ended ones included", got)
		}
		if got := count(suppression.Query{Ended: true}); got != 25 {
			t.Errorf("%d", got)
		}
		for _, bad := range []string{"x", "####", strings.Repeat("A", 3000)} {
			if _, _, err := l.List(t.Context(), suppression.Query{Cursor: bad}); !errors.Is(err, suppression.ErrInvalid) {
				t.Errorf("cursor %.10q: %v", bad, err)
			}
		}
	})
}

func TestHits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		add(t, l, suppression.Entry{Customer: "c", Address: address("a@b.example"), Reason: suppression.UnknownUser})
		for range 3 {
			reason(t, l, "c", "a@b.example")
		}
		if _, _, err := l.Suppressed(t.Context(), "c", address("a@b.example")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if e := find(t, l, address("a@b.example")); e.Hits != 3 || !e.LastHit.Equal(c.now()) {
			t.Errorf("%+v", e)
		}
	})
}

func TestErase(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, l *suppression.Ledger, c *clock, _ *store.DB) {
		for _, customer := range []string{"a", "b", ""} {
			add(t, l, suppression.Entry{Customer: customer, Address: address("x" + customer + "@b.example"), Reason: suppression.UnknownUser})
			record(t, l, suppression.Strike{Customer: customer, Address: address("y@b.example"), Reason: suppression.MailboxFull, Need: 2})
			add(t, l, suppression.Entry{Customer: customer, Address: address("z" + customer + "@b.example"), Reason: suppression.UnknownUser})
			if err := l.Lift(t.Context(), customer, address("z"+customer+"@b.example"), "operator:eve"); err != nil {
				t.Fatal(err)
			}
		}
		for _, customer := range []string{"a", ""} {
			if err := l.Erase(t.Context(), customer); err != nil {
				t.Fatal(err)
			}
		}
		if reason(t, l, "a", "xa@b.example") != "" || reason(t, l, "b", "xb@b.example") == "" || reason(t, l, "a", "x@b.example") == "" {
			t.Error("the wrong entries were removed")
		}
		if lifts, err := l.Lifts(t.Context(), address("za@b.example"), 9); err != nil || len(lifts) != 0 {
			t.Errorf("%+v %v", lifts, err)
		}
		if lifts, err := l.Lifts(t.Context(), address("zb@b.example"), 9); err != nil || len(lifts) != 1 {
			t.Errorf("%+v %v", lifts, err)
		}
		c.add(26 * time.Hour)
		for customer, made := range map[string]bool{"a": false, "b": true} {
			if r := record(t, l, suppression.Strike{Customer: customer, Address: address("y@b.example"), Reason: suppression.MailboxFull, Need: 2}); r.Made != made {
				t.Errorf("%s: %+v", customer, r)
			}
		}
	})
}

// TestCluster: what one node adds keeps the other from writing.
func TestCluster(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t, store.MainSchema())
	c := startClock()
	one := open(t, storetest.Open(t, store.Options{URL: url, Migrations: store.MainSchema()}), c)
	db := storetest.Open(t, store.Options{URL: url, Migrations: store.MainSchema()})
	two := open(t, db, c)
	heard, stop := db.Watch("suppression")
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- two.Run(ctx) }()
	add(t, one, suppression.Entry{Customer: "c", Address: address("a@b.example"), Reason: suppression.UnknownUser})
	for two.Figures().Entries == 0 {
		select {
		case <-heard:
		case <-time.After(10 * time.Millisecond): // Run hears on its own channel, a moment later than we
		case <-t.Context().Done():
			t.Fatal("never heard")
		}
	}
	if got := reason(t, two, "c", "a@b.example"); got != suppression.UnknownUser {
		t.Errorf("%q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, startClock())
	good := suppression.Entry{Customer: "c", Address: address("a@b.example"), Reason: suppression.UnknownUser, By: "rule"}
	for name, change := range map[string]func(*suppression.Entry){
		"reason":   func(e *suppression.Entry) { e.Reason = "because" },
		"nobody":   func(e *suppression.Entry) { e.By = "" },
		"null":     func(e *suppression.Entry) { e.Address = mail.Address{} },
		"long":     func(e *suppression.Entry) { e.Address.Local = strings.Repeat("x", 300) },
		"control":  func(e *suppression.Entry) { e.Address.Local = "a\r\nb" },
		"domain":   func(e *suppression.Entry) { e.Address.Domain = "a b" },
		"customer": func(e *suppression.Entry) { e.Customer = strings.Repeat("c", 100) },
	} {
		e := good
		change(&e)
		if err := l.Add(t.Context(), e); !errors.Is(err, suppression.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.AddAll(t.Context(), make([]suppression.Entry, 5001)); !errors.Is(err, suppression.ErrInvalid) {
		t.Errorf("%v", err)
	}
	// All or none.
	if _, err := l.AddAll(t.Context(), []suppression.Entry{good, {}}); !errors.Is(err, suppression.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if got := reason(t, l, "c", "a@b.example"); got != "" {
		t.Errorf("%q", got)
	}
	long := good
	long.Evidence.Text, long.Note = strings.Repeat("é\n", 5000), strings.Repeat("n", 5000)
	add(t, l, long)
	if e := find(t, l, good.Address); len(e.Evidence.Text) > 500 || len(e.Note) > 200 || strings.Contains(e.Evidence.Text, "\n") {
		t.Errorf("%d %d", len(e.Evidence.Text), len(e.Note))
	}
}
