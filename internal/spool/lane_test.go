package spool_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// parked is the outcome of a recipient that waits in a lane.
func parked(m *spool.Message, index int, at time.Time, lane string) spool.Outcome {
	return spool.Outcome{ID: m.ID, Index: index, State: spool.Queued, NextAt: at, Lane: lane, Wait: "rate 100"}
}

func TestParked(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		m := put(t, s, message(c.Now(), 100, "a.example", "b.example"))
		claim(t, s, 10)
		began := c.Now()
		must(t, s.Settle(t.Context(),
			spool.Outcome{ID: m.ID, Index: 0, State: spool.Queued, NextAt: c.Now().Add(time.Minute), Attempted: true,
				Code: 421, Enhanced: "4.7.0", Text: "later", Host: "mx[192.0.2.1]"},
			parked(m, 1, c.Now().Add(2*time.Minute), "192.0.2.9|free")))
		c.Add(time.Minute)
		w := claim(t, s, 10)
		if len(w) != 1 || len(w[0].Recipients) != 1 || w[0].Recipients[0].Index != 0 {
			t.Fatalf("claimed %+v", w)
		}
		must(t, s.Settle(t.Context(), parked(m, 0, c.Now().Add(time.Minute), "192.0.2.9|free")))
		for range 2 {
			got, err := s.Get(t.Context(), m.ID)
			must(t, err)
			want := []spool.Recipient{
				{Index: 0, Recipient: m.Envelope.Recipients[0], State: spool.Queued, Attempts: 1, NextAt: began.Add(2 * time.Minute), First: began,
					Last: began, Code: 421, Enhanced: "4.7.0", Text: "later", Host: "mx[192.0.2.1]", Lane: "192.0.2.9|free", Wait: "rate 100"},
				{Index: 1, Recipient: m.Envelope.Recipients[1], State: spool.Queued, NextAt: began.Add(2 * time.Minute), Lane: "192.0.2.9|free",
					Wait: "rate 100"},
			}
			if !reflect.DeepEqual(got.Recipients, want) {
				t.Errorf("got %+v\nwant %+v", got.Recipients, want)
			}
			s = open(t, db, c) // and in the next life
		}
		c.Add(time.Minute)
		if w = claim(t, s, 10); len(w) != 1 || len(w[0].Recipients) != 2 || w[0].Recipients[0].Lane != "192.0.2.9|free" || w[0].Class != 2 {
			t.Fatalf("claimed %+v", w)
		}
		must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, Index: 0, State: spool.Queued, Attempted: true, Code: 450},
			spool.Outcome{ID: m.ID, Index: 1, State: spool.Bounced}))
		got, err := s.Get(t.Context(), m.ID)
		must(t, err)
		for i, r := range got.Recipients {
			if r.Lane != "" || r.Wait != "" {
				t.Errorf("recipient %d is in lane %q for %q", i, r.Lane, r.Wait)
			}
		}
		if r := got.Recipients[0]; r.Code != 450 || r.Text != "" || r.Attempts != 2 {
			t.Errorf("after the attempt %+v", r)
		}
	})
}

func TestHurry(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c, func(o *spool.Options) { o.Window = 16 })
		until := c.Now().Add(10 * time.Hour)
		var flood, few, other []*spool.Message
		for i := range 60 {
			c.Add(time.Millisecond)
			m := message(c.Now(), 10)
			switch {
			case i >= 50 && i%2 == 0:
				m.Customer = "small"
				few = append(few, m)
			case i >= 50:
				other = append(other, m)
			default:
				flood = append(flood, m)
			}
			put(t, s, m)
		}
		for _, w := range claim(t, s, 100) {
			lane := "here"
			for _, m := range other {
				if m.ID == w.ID {
					lane = "there"
				}
			}
			must(t, s.Settle(t.Context(), spool.Outcome{ID: w.ID, State: spool.Queued, NextAt: until, Lane: lane}))
		}
		if w := claim(t, s, 100); len(w) != 0 {
			t.Fatalf("%d are due although parked", len(w))
		}
		now := c.Now()
		if n, err := s.Hurry(t.Context(), "here", 55*time.Second); n != 55 || err != nil {
			t.Fatalf("hurried %d, %v; want 55", n, err)
		}
		at := func(m *spool.Message) time.Duration {
			w, err := s.Get(t.Context(), m.ID)
			must(t, err)
			return w.Recipients[0].NextAt.Sub(now)
		}
		for k, m := range few { // the k-th when two customers take turns
			if got := at(m); got != time.Duration(2*k)*time.Second {
				t.Errorf("small customer's message %d comes after %s", k, got)
			}
		}
		for k, m := range flood {
			if want := time.Duration(k+min(k, 5)) * time.Second; at(m) != want {
				t.Errorf("large customer's message %d comes after %s, want %s", k, at(m), want)
			}
		}
		for _, m := range other {
			if got := at(m); got < 9*time.Hour {
				t.Errorf("another lane's message comes after %s", got)
			}
		}
		var order []*spool.Message
		for sec := range 55 {
			for _, w := range claim(t, s, 100) {
				if w.Recipients[0].NextAt.After(c.Now()) {
					t.Fatalf("claimed early: %+v", w)
				}
				order = append(order, &w.Message)
			}
			if sec < 54 && len(order) > sec+2 {
				t.Fatalf("%d claimed after %d s", len(order), sec)
			}
			c.Add(time.Second)
		}
		if len(order) != 55 {
			t.Errorf("%d claimed in all, want 55", len(order))
		}
		if _, err := s.Hurry(t.Context(), "", 0); !errors.Is(err, spool.ErrInvalid) {
			t.Errorf("no lane: %v", err)
		}
		if st := stats(t, s); st.Silent != 0 || st.Mended != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// TestHurryMixed: held messages stay held, and recipients elsewhere stay where they are.
func TestHurryMixed(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		mixed := put(t, s, message(c.Now(), 10, "a.example", "b.example", "c.example"))
		held := put(t, s, message(c.Now(), 10))
		claim(t, s, 10)
		far := c.Now().Add(time.Hour)
		must(t, s.Settle(t.Context(), parked(mixed, 0, far, "l"), parked(mixed, 1, far, "m"), parked(held, 0, far, "l")))
		must(t, s.Hold(t.Context(), held.ID, "operator", time.Time{}))
		if n, err := s.Hurry(t.Context(), "l", 0); n != 1 || err != nil {
			t.Errorf("hurried %d, %v; want 1", n, err)
		}
		w := claim(t, s, 10)
		if len(w) != 1 || w[0].ID != mixed.ID || len(w[0].Recipients) != 1 || w[0].Recipients[0].Index != 0 {
			t.Fatalf("claimed %+v", w)
		}
		if n, err := s.Hurry(t.Context(), "m", time.Minute); n != 1 || err != nil {
			t.Errorf("hurried %d, %v; want 1", n, err)
		}
		if w = claim(t, s, 10); len(w) != 1 || w[0].Recipients[0].Index != 1 {
			t.Fatalf("claimed %+v", w)
		}
		must(t, s.Settle(t.Context(), spool.Outcome{ID: mixed.ID, Index: 0, State: spool.Delivered},
			spool.Outcome{ID: mixed.ID, Index: 1, State: spool.Delivered}, spool.Outcome{ID: mixed.ID, Index: 2, State: spool.Delivered}))
		must(t, s.Release(t.Context(), held.ID))
		if w = claim(t, s, 10); len(w) != 1 || w[0].ID != held.ID || w[0].Recipients[0].Lane != "" {
			t.Fatalf("claimed %+v", w)
		}
	})
}

func TestHurryOtherNode(t *testing.T) {
	db := storetest.Postgres(t, store.SpoolSchema()) // SQLite serves one node
	owner := open(t, db, nil)
	desk := open(t, db, nil, func(o *spool.Options) { o.Node = "two" })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	must(t, owner.Start(t.Context()))
	go func() { ended <- owner.Run(ctx) }()
	m := put(t, owner, message(time.Now(), 10))
	claim(t, owner, 10)
	must(t, owner.Settle(t.Context(), parked(m, 0, time.Now().Add(time.Hour), "l")))
	if n, err := desk.Hurry(t.Context(), "l", 0); n != 1 || err != nil {
		t.Errorf("hurried %d, %v; want 1", n, err)
	}
	var got []spool.Work
	for len(got) == 0 {
		select {
		case <-owner.Wake():
		case <-time.After(time.Minute):
			t.Fatal("the owner heard nothing")
		}
		got = claim(t, owner, 10)
	}
	wantIDs(t, got, m)
	if w := claim(t, desk, 10); len(w) != 0 {
		t.Errorf("the other node claims it")
	}
	cancel()
	must(t, <-ended)
}

// TestSurveyHolds: what was counted of a long queue is told again for a second; of a short one it is always of this moment.
func TestSurveyHolds(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := open(t, storetest.SQLite(t, store.SpoolSchema()), c)
	count := func() (n int) {
		accounts, err := s.Accounts(t.Context())
		must(t, err)
		for _, a := range accounts {
			n += a.Queued
		}
		return n
	}
	for i := range 2_000 {
		put(t, s, message(c.Now(), 10))
		if i == 10 && count() != 11 {
			t.Error("a short queue is not told as it is")
		}
	}
	if n := count(); n != 2_000 {
		t.Errorf("%d messages", n)
	}
	put(t, s, message(c.Now(), 10))
	if n := count(); n != 2_000 {
		t.Errorf("%d messages: the queue was read again", n)
	}
	c.Add(time.Minute)
	if n := count(); n != 2_001 {
		t.Errorf("%d messages: an answer is a minute old", n)
	}
}

func TestBacklogs(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		began := c.Now()
		var all []*spool.Message
		for i := range 6 {
			m := message(c.Now(), 10+i, "a.example", "b.example")
			m.Customer = []string{"acme", "zoo"}[i%2]
			all = append(all, put(t, s, m))
			c.Add(time.Second)
		}
		put(t, s, message(c.Now(), 100)) // held below
		claim(t, s, 100)
		at := c.Now().Add(time.Minute)
		for i, m := range all[:4] {
			must(t, s.Settle(t.Context(), parked(m, 1, at.Add(time.Duration(i)*time.Second), "lane"+fmt.Sprint(i/3))))
		}
		must(t, s.Settle(t.Context(), parked(all[0], 0, at, "lane0"), spool.Outcome{ID: all[4].ID, State: spool.Delivered}))
		works, _, err := s.List(t.Context(), spool.Filter{})
		must(t, err)
		must(t, s.Hold(t.Context(), works[6].ID, "operator", time.Time{}))
		got, err := s.Backlogs(t.Context())
		must(t, err)
		second := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second) }
		want := []spool.Backlog{
			{Customer: "zoo", Recipients: 4, Oldest: second(1), Next: second(1)},
			{Customer: "acme", Lane: "lane0", Recipients: 3, Oldest: second(0), Next: at},
			{Customer: "acme", Recipients: 2, Oldest: second(2), Next: second(2)},
			{Customer: "zoo", Lane: "lane0", Recipients: 1, Oldest: second(1), Next: at.Add(time.Second)},
			{Customer: "zoo", Lane: "lane1", Recipients: 1, Oldest: second(3), Next: at.Add(3 * time.Second)},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("backlogs\n got %+v\nwant %+v", got, want)
		}
		accounts, err := s.Accounts(t.Context())
		must(t, err)
		wantAccounts := []spool.Account{
			{Customer: "acme", Queued: 3, Held: 1, Bytes: 10 + 12 + 14 + 100, Oldest: second(0), OldestHeld: second(6)},
			{Customer: "zoo", Queued: 3, Bytes: 11 + 13 + 15, Oldest: second(1)},
		}
		if !reflect.DeepEqual(accounts, wantAccounts) {
			t.Errorf("accounts\n got %+v\nwant %+v", accounts, wantAccounts)
		}
		list := func(f spool.Filter, want ...*spool.Message) {
			t.Helper()
			w, _, err := s.List(t.Context(), f)
			must(t, err)
			wantIDs(t, w, want...)
		}
		list(spool.Filter{Lane: "lane0"}, all[0], all[1], all[2])
		list(spool.Filter{Lane: "lane0", Customer: "zoo"}, all[1])
		list(spool.Filter{Lane: "lane0", State: spool.Queued, Cursor: string(all[0].ID)}, all[1], all[2])
		list(spool.Filter{Lane: "lane0", Limit: 1}, all[0])
		list(spool.Filter{Lane: "lane0", State: spool.Held})
		list(spool.Filter{Lane: "nowhere"})
		for _, m := range all {
			must(t, s.Drop(t.Context(), m.ID, "operator:eve"))
		}
		if got, err := s.Backlogs(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("backlogs of nothing %+v, %v", got, err)
		}
	})
}

// TestParkHeld: who is held waits in no lane.
func TestParkHeld(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		m := put(t, s, message(c.Now(), 10))
		claim(t, s, 1)
		must(t, s.Hold(t.Context(), m.ID, "operator", time.Time{}))
		must(t, s.Settle(t.Context(), parked(m, 0, c.Now().Add(time.Minute), "l")))
		must(t, s.Release(t.Context(), m.ID))
		got, err := s.Backlogs(t.Context())
		must(t, err)
		if len(got) != 1 || got[0].Lane != "" || got[0].Recipients != 1 {
			t.Errorf("backlogs %+v", got)
		}
		var none mail.QueueID
		if w := claim(t, s, 1); len(w) != 1 || w[0].ID == none {
			t.Errorf("claimed %+v", w)
		}
	})
}

func TestIDs(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		var want, got []mail.QueueID
		for range 5 {
			want = append(want, put(t, s, message(c.Now(), 10)).ID)
			c.Add(time.Second)
		}
		for last := mail.QueueID(""); ; last = got[len(got)-1] {
			page, err := s.IDs(t.Context(), last, 2)
			must(t, err)
			got = append(got, page...)
			if len(page) < 2 {
				break
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
