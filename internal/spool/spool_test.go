package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/fsx"
	"postern/internal/store/storetest"
)

func newClock() *storetest.Clock {
	return storetest.NewClock(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC))
}

func open(t testing.TB, db *store.DB, c *storetest.Clock, change ...func(*spool.Options)) *spool.Spool {
	t.Helper()
	o := spool.Options{DB: db, Node: "one", Dir: filepath.Join(t.TempDir(), "bodies"), Reserve: -1, InlineBytes: 4096}
	if c != nil {
		o.Now = c.Now
	}
	for _, f := range change {
		f(&o)
	}
	s, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// message makes a message of size bytes with one recipient at each domain.
func message(now time.Time, size int, domains ...string) *spool.Message {
	if len(domains) == 0 {
		domains = []string{"orange.example"}
	}
	m := &spool.Message{
		ID: mail.NewQueueID(now), Customer: "acme", Credential: "acme-web", Pool: "shared",
		ClientIP: netip.MustParseAddr("192.0.2.7"), Hello: "web.acme.example", Received: now, Expires: now.Add(48 * time.Hour),
		Envelope:   mail.Envelope{ReversePath: mail.Address{Local: "bounce", Domain: "acme.example"}, EightBit: true, RequireTLS: true, TLSOptional: true, Ret: "HDRS", EnvelopeID: "e+1"},
		HeaderFrom: "news@acme.example", Subject: "Déjà vu", MessageID: "<1@acme.example>", Score: 1.5,
		Verdict: []byte(`{"score":1.5}`), Language: "fr", Class: 2, Body: make([]byte, size),
	}
	for i, d := range domains {
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{
			Address: mail.Address{Local: fmt.Sprintf("user%d", i), Domain: mail.Domain(d)}, Notify: mail.NotifyFailure, OriginalRecipient: "o@x.example"})
	}
	source := rand.NewChaCha8([32]byte([]byte(string(m.ID) + "      ")))
	source.Read(m.Body)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s *spool.Spool, m *spool.Message) *spool.Message {
	t.Helper()
	must(t, s.Put(t.Context(), m))
	return m
}

func claim(t testing.TB, s *spool.Spool, max int) []spool.Work {
	t.Helper()
	w, err := s.Claim(t.Context(), max)
	must(t, err)
	return w
}

func ids(works []spool.Work) (out []string) {
	for _, w := range works {
		out = append(out, string(w.ID))
	}
	return out
}

func wantIDs(t testing.TB, works []spool.Work, want ...*spool.Message) {
	t.Helper()
	var w []string
	for _, m := range want {
		w = append(w, string(m.ID))
	}
	if got := ids(works); !reflect.DeepEqual(got, w) {
		t.Fatalf("got messages %v, want %v", got, w)
	}
}

func stats(t testing.TB, s *spool.Spool) spool.Stats {
	t.Helper()
	st, err := s.Stats(t.Context())
	must(t, err)
	if st.Silent != 0 {
		t.Fatalf("%d messages without a next event", st.Silent)
	}
	return st
}

func TestPutClaimSettle(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		for _, size := range []int{0, 1, 4096, 4097, 300_000} {
			for _, reopened := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d bytes, reopened %v", size, reopened), func(t *testing.T) {
					c := newClock()
					dir := t.TempDir()
					same := func(o *spool.Options) { o.Dir = dir }
					s := open(t, db, c, same)
					m := put(t, s, message(c.Now(), size))
					if reopened {
						s = open(t, db, c, same)
						if st := stats(t, s); st.Recovered != 1 {
							t.Errorf("recovered %d, want 1", st.Recovered)
						}
					}
					w := claim(t, s, 10)
					wantIDs(t, w, m)
					want := *m
					want.Body, want.Size = nil, int64(size)
					if got := w[0].Message; !reflect.DeepEqual(got, want) {
						t.Errorf("message\n got %+v\nwant %+v", got, want)
					}
					r := w[0].Recipients
					if len(r) != 1 || r[0].State != spool.Queued || r[0].Recipient != m.Envelope.Recipients[0] || !r[0].NextAt.Equal(c.Now()) {
						t.Errorf("recipients %+v", r)
					}
					body, err := s.Body(t.Context(), m.ID)
					if err != nil || !bytes.Equal(body, m.Body) {
						t.Errorf("body of %d bytes, %v", len(body), err)
					}
					if again := claim(t, s, 10); len(again) != 0 {
						t.Errorf("claimed twice: %v", ids(again))
					}
					if st := stats(t, s); st.Claimed != 1 || st.Queued != 1 || st.Bytes != int64(size) {
						t.Errorf("stats %+v", st)
					}
					must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Delivered, Attempted: true, Code: 250}))
					if _, err := s.Get(t.Context(), m.ID); !errors.Is(err, spool.ErrNotFound) {
						t.Errorf("after the end: %v", err)
					}
					if _, err := s.Body(t.Context(), m.ID); !errors.Is(err, spool.ErrNotFound) {
						t.Errorf("body after the end: %v", err)
					}
					if left, _ := fsx.OS.ReadDir(dir); len(left) != 0 {
						t.Errorf("%d body files left", len(left))
					}
					if st := stats(t, s); st.Queued+st.Claimed+st.Window != 0 {
						t.Errorf("stats after the end %+v", st)
					}
				})
			}
		}
	})
}

func TestPutAgain(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		dir := t.TempDir()
		s := open(t, db, c, func(o *spool.Options) { o.Dir = dir })
		for _, size := range []int{100, 10_000} {
			m := put(t, s, message(c.Now(), size))
			put(t, s, m)
			other := *m
			other.Body = append([]byte("x"), m.Body...)
			if err := s.Put(t.Context(), &other); !errors.Is(err, spool.ErrExists) {
				t.Errorf("other body: %v", err)
			}
			w := claim(t, s, 10)
			wantIDs(t, w, m)
			body, err := s.Body(t.Context(), m.ID)
			if err != nil || !bytes.Equal(body, m.Body) {
				t.Errorf("body: %v", err)
			}
		}
		if left, _ := fsx.OS.ReadDir(dir); len(left) != 1 {
			t.Errorf("%d body files, want 1", len(left))
		}
	})
}

func TestPutInvalid(t *testing.T) {
	db := storetest.SQLite(t, store.SpoolSchema())
	s := open(t, db, nil)
	for name, spoil := range map[string]func(*spool.Message){
		"no id":          func(m *spool.Message) { m.ID = "" },
		"id as typed":    func(m *spool.Message) { m.ID = mail.QueueID(bytes.ToUpper([]byte(m.ID))) },
		"path in id":     func(m *spool.Message) { m.ID = "../../../../etc/passwd0000" },
		"no recipient":   func(m *spool.Message) { m.Envelope.Recipients = nil },
		"null recipient": func(m *spool.Message) { m.Envelope.Recipients[0].Address = mail.Address{} },
	} {
		m := message(time.Now(), 10)
		spoil(m)
		if err := s.Put(t.Context(), m); !errors.Is(err, spool.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Settle(t.Context(), spool.Outcome{ID: "x", State: spool.Held}); !errors.Is(err, spool.ErrInvalid) {
		t.Errorf("settle as held: %v", err)
	}
}

func TestDeferral(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		m := put(t, s, message(c.Now(), 10))
		claim(t, s, 1)
		first := c.Now()
		must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Queued, NextAt: c.Now().Add(time.Hour), Code: 451,
			Enhanced: "4.7.1", Text: "later\x00\xff", Host: "mx.example[192.0.2.1]", Attempted: true}))
		if w := claim(t, s, 10); len(w) != 0 {
			t.Fatalf("claimed before its time: %v", ids(w))
		}
		next, err := s.NextDue(t.Context())
		if err != nil || !next.Equal(c.Now().Add(time.Hour)) {
			t.Fatalf("next due %v, %v", next, err)
		}
		c.Add(time.Hour)
		s2 := open(t, db, c) // as after a restart
		for i, s := range []*spool.Spool{s, s2} {
			w := claim(t, s, 10)
			wantIDs(t, w, m)
			r := w[0].Recipients[0]
			want := spool.Recipient{Recipient: m.Envelope.Recipients[0], State: spool.Queued, Attempts: 1, NextAt: first.Add(time.Hour),
				First: first, Last: first, Code: 451, Enhanced: "4.7.1", Text: "later\uFFFD\uFFFD", Host: "mx.example[192.0.2.1]"}
			if r != want {
				t.Errorf("life %d:\n got %+v\nwant %+v", i, r, want)
			}
		}
		must(t, s2.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Queued, NextAt: c.Now().Add(400 * 24 * time.Hour), DelayNotified: true}))
		w, err := s2.Get(t.Context(), m.ID)
		must(t, err)
		if r := w.Recipients[0]; r.NextAt.Sub(c.Now()) != 24*time.Hour || r.Attempts != 1 || !r.DelayNotified {
			t.Errorf("after a far deferral %+v", r)
		}
		must(t, s2.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Bounced}))
		if st := stats(t, s2); st.Queued != 0 {
			t.Errorf("stats %+v", st)
		}
		must(t, db.Read(t.Context(), func(tx *store.Tx) error {
			var n int
			err := tx.QueryRow(`SELECT count(*) FROM spool_recipient`).Scan(&n)
			if n != 0 {
				t.Errorf("%d recipient rows left", n)
			}
			return err
		}))
	})
}

func TestRecipientsApart(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		m := put(t, s, message(c.Now(), 5000, "a.example", "b.example", "c.example"))
		a := claim(t, s, 1)
		b := claim(t, s, 1)
		if len(a) != 1 || len(b) != 1 || a[0].Recipients[0].Index != 0 || b[0].Recipients[0].Index != 1 {
			t.Fatalf("claims %+v %+v", a, b)
		}
		must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, Index: 0, State: spool.Delivered}))
		s.UnclaimWork(b...)
		rest := claim(t, s, 10)
		if len(rest) != 1 || len(rest[0].Recipients) != 2 {
			t.Fatalf("rest %+v", rest)
		}
		must(t, s.Settle(t.Context(),
			spool.Outcome{ID: m.ID, Index: 1, State: spool.Queued, NextAt: c.Now().Add(time.Minute)},
			spool.Outcome{ID: m.ID, Index: 2, State: spool.Queued, NextAt: c.Now().Add(time.Hour)}))
		c.Add(time.Minute)
		w := claim(t, s, 10)
		if len(w) != 1 || len(w[0].Recipients) != 1 || w[0].Recipients[0].Index != 1 {
			t.Fatalf("after a minute %+v", w)
		}
		must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, Index: 1, State: spool.Delivered}))
		all, err := s.Get(t.Context(), m.ID)
		must(t, err)
		if got := []spool.State{all.Recipients[0].State, all.Recipients[1].State, all.Recipients[2].State}; !reflect.DeepEqual(got,
			[]spool.State{spool.Delivered, spool.Delivered, spool.Queued}) {
			t.Fatalf("states %v", got)
		}
		stats(t, s)
		c.Add(time.Hour)
		w = claim(t, s, 10)
		if len(w) != 1 || len(w[0].Recipients) != 1 || w[0].Recipients[0].Index != 2 {
			t.Fatalf("after an hour %+v", w)
		}
		must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, Index: 2, State: spool.Expired}))
		if _, err := s.Get(t.Context(), m.ID); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("message left behind: %v", err)
		}
	})
}

// TestSettleTogether: attempts at one message's recipients end at the same moment, and the message still ends.
func TestSettleTogether(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		s := open(t, db, nil)
		domains := make([]string, 20)
		for i := range domains {
			domains[i] = fmt.Sprintf("d%d.example", i)
		}
		a, b := put(t, s, message(time.Now(), 100, domains...)), put(t, s, message(time.Now(), 100, domains...))
		claim(t, s, 1000)
		var wg sync.WaitGroup
		for i := range domains {
			wg.Go(func() {
				err := s.Settle(t.Context(), spool.Outcome{ID: a.ID, Index: i, State: spool.Delivered},
					spool.Outcome{ID: b.ID, Index: len(domains) - 1 - i, State: spool.Bounced})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if st := stats(t, s); st.Queued != 0 || st.Window != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestHeld(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		m := message(c.Now(), 10)
		m.Held, m.HoldReason, m.HoldUntil = true, "score", c.Now().Add(time.Hour)
		put(t, s, m)
		queued := put(t, s, message(c.Now(), 10, "b.example"))
		wantIDs(t, claim(t, s, 10), queued)
		w, err := s.Get(t.Context(), m.ID)
		must(t, err)
		if !w.Held || w.HoldReason != "score" || !w.HoldUntil.Equal(m.HoldUntil) || w.Recipients[0].State != spool.Held {
			t.Errorf("held: %+v", w)
		}
		if st := stats(t, s); st.Held != 1 || st.Queued != 1 || st.HeldBytes != 10 {
			t.Errorf("stats %+v", st)
		}
		if due, err := s.DueHolds(t.Context(), c.Now(), 10); err != nil || len(due) != 0 {
			t.Errorf("due holds %v, %v", ids(due), err)
		}
		c.Add(time.Hour)
		due, err := s.DueHolds(t.Context(), c.Now(), 10)
		must(t, err)
		wantIDs(t, due, m)
		must(t, s.ExtendHold(t.Context(), m.ID, c.Now().Add(time.Hour)))
		if due, err := s.DueHolds(t.Context(), c.Now(), 10); err != nil || len(due) != 0 {
			t.Errorf("due holds after extension %v, %v", ids(due), err)
		}
		must(t, s.SetVerdict(t.Context(), m.ID, 2.5, []byte(`{"score":2.5}`)))
		must(t, s.Release(t.Context(), m.ID))
		if err := s.Release(t.Context(), m.ID); !errors.Is(err, spool.ErrNotHeld) {
			t.Errorf("second release: %v", err)
		}
		if err := s.ExtendHold(t.Context(), m.ID, c.Now()); !errors.Is(err, spool.ErrNotHeld) {
			t.Errorf("extend a queued message: %v", err)
		}
		got := claim(t, s, 10)
		wantIDs(t, got, m)
		if got[0].Held || got[0].Score != 2.5 || string(got[0].Verdict) != `{"score":2.5}` {
			t.Errorf("released %+v", got[0])
		}
		// Held while an attempt is under way: the attempt's deferral is kept, the hold too.
		must(t, s.Hold(t.Context(), m.ID, "operator", time.Time{}))
		must(t, s.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Queued, NextAt: c.Now().Add(time.Minute), Attempted: true}))
		c.Add(time.Hour)
		if w := claim(t, s, 10); len(w) != 0 {
			t.Fatalf("claimed a held message")
		}
		if st := stats(t, s); st.Held != 1 || st.Claimed != 1 {
			t.Errorf("stats %+v", st)
		}
		must(t, s.Release(t.Context(), m.ID))
		got = claim(t, s, 10)
		wantIDs(t, got, m)
		if r := got[0].Recipients[0]; r.Attempts != 1 {
			t.Errorf("recipient %+v", r)
		}
		must(t, s.Hold(t.Context(), m.ID, "operator", time.Time{}))
		must(t, s.Drop(t.Context(), m.ID, "operator:eve"))
		if err := s.Drop(t.Context(), m.ID, "operator:eve"); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("second drop: %v", err)
		}
		for name, err := range map[string]error{
			"hold":    s.Hold(t.Context(), m.ID, "x", time.Time{}),
			"release": s.Release(t.Context(), m.ID),
			"retry":   s.Retry(t.Context(), m.ID),
			"verdict": s.SetVerdict(t.Context(), m.ID, 1, nil),
			"extend":  s.ExtendHold(t.Context(), m.ID, c.Now()),
		} {
			if !errors.Is(err, spool.ErrNotFound) {
				t.Errorf("%s of a dropped message: %v", name, err)
			}
		}
		err = s.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Delivered}, spool.Outcome{ID: queued.ID, State: spool.Delivered})
		var lost *spool.LostError
		if !errors.As(err, &lost) || !errors.Is(err, spool.ErrLost) || !reflect.DeepEqual(lost.IDs, []mail.QueueID{m.ID}) {
			t.Errorf("settle of a dropped message: %v", err)
		}
		if st := stats(t, s); st.Queued+st.Held+st.Claimed+st.Window != 0 {
			t.Errorf("stats at the end %+v", st)
		}
	})
}

func TestRetry(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c, func(o *spool.Options) { o.Window = 16 })
		var all []*spool.Message
		for range 50 {
			c.Add(time.Millisecond)
			all = append(all, put(t, s, message(c.Now(), 10)))
		}
		w := claim(t, s, 100)
		wantIDs(t, w, all...)
		var out []spool.Outcome
		for i, m := range all {
			out = append(out, spool.Outcome{ID: m.ID, State: spool.Queued, NextAt: c.Now().Add(time.Duration(i+1) * time.Hour / 10), Attempted: true})
		}
		must(t, s.Settle(t.Context(), out...))
		if w := claim(t, s, 100); len(w) != 0 {
			t.Fatalf("claimed before their time")
		}
		must(t, s.Retry(t.Context(), all[40].ID))
		wantIDs(t, claim(t, s, 100), all[40])
		n, err := s.RetryAll(t.Context())
		if err != nil || n != 50 {
			t.Fatalf("retry all: %d, %v", n, err)
		}
		if w := claim(t, s, 100); len(w) != 49 {
			t.Fatalf("claimed %d after retry all, want 49", len(w))
		}
		if st := stats(t, s); st.Claimed != 50 {
			t.Errorf("stats %+v", st)
		}
	})
}

// TestWindow: far more messages than memory may know come out once each, in order, whatever happens in between.
func TestWindow(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c, func(o *spool.Options) { o.Window = 20 })
		seed := rand.New(rand.NewPCG(1, 2))
		due := map[mail.QueueID]time.Time{} // what must be in the queue
		claimed := map[mail.QueueID]bool{}
		const total = 300
		made, ended := 0, 0
		for step := 0; ended < total; step++ {
			if step > 20_000 {
				t.Fatalf("stuck: %d made, %d ended, %+v", made, ended, stats(t, s))
			}
			c.Add(time.Duration(seed.IntN(2000)) * time.Millisecond)
			for range seed.IntN(8) {
				if made < total {
					m := put(t, s, message(c.Now(), 10))
					due[m.ID] = c.Now()
					made++
				}
			}
			works := claim(t, s, 1+seed.IntN(6))
			last := time.Time{}
			var out []spool.Outcome
			for _, w := range works {
				at, ok := due[w.ID]
				if !ok || claimed[w.ID] || at.After(c.Now()) {
					t.Fatalf("claimed %s: known %v, claimed %v, due %v at %v", w.ID, ok, claimed[w.ID], at, c.Now())
				}
				if at.Before(last) {
					t.Fatalf("out of order")
				}
				last = at
				switch seed.IntN(4) {
				case 0, 1:
					out = append(out, spool.Outcome{ID: w.ID, State: spool.Delivered})
					delete(due, w.ID)
					ended++
				case 2:
					next := c.Now().Add(time.Duration(seed.IntN(600)) * time.Second)
					out = append(out, spool.Outcome{ID: w.ID, State: spool.Queued, NextAt: next, Attempted: true})
					due[w.ID] = next
				default:
					s.Unclaim(w.ID)
				}
			}
			must(t, s.Settle(t.Context(), out...))
			if len(works) == 0 && len(due) > 0 {
				next, err := s.NextDue(t.Context())
				must(t, err)
				earliest := time.Time{}
				for _, at := range due {
					if earliest.IsZero() || at.Before(earliest) {
						earliest = at
					}
				}
				if !next.Equal(earliest) {
					t.Fatalf("next due %v, want %v", next, earliest)
				}
				c.Add(next.Sub(c.Now()))
			}
			if st := stats(t, s); st.Queued != len(due) || st.Window > 60 {
				t.Fatalf("%d in the queue, stats %+v", len(due), st)
			}
		}
	})
}

func TestList(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		var want []*spool.Message
		for i := range 25 {
			c.Add(time.Second)
			m := message(c.Now(), 10, fmt.Sprintf("d%d.example", i%3), "every.example")
			m.Customer = []string{"acme", "other"}[i%2]
			m.Held = i%5 == 0
			want = append(want, put(t, s, m))
		}
		for _, tc := range []struct {
			name   string
			filter spool.Filter
			match  func(i int) bool
		}{
			{"all", spool.Filter{}, func(i int) bool { return true }},
			{"held", spool.Filter{State: spool.Held}, func(i int) bool { return i%5 == 0 }},
			{"queued of other", spool.Filter{State: spool.Queued, Customer: "other"}, func(i int) bool { return i%5 != 0 && i%2 == 1 }},
			{"domain", spool.Filter{Domain: "d1.example"}, func(i int) bool { return i%3 == 1 }},
			{"wildcards are letters", spool.Filter{Domain: "d_.example"}, func(i int) bool { return false }},
		} {
			t.Run(tc.name, func(t *testing.T) {
				var expect []*spool.Message
				for i, m := range want {
					if tc.match(i) {
						expect = append(expect, m)
					}
				}
				var got []spool.Work
				f := tc.filter
				f.Limit = 4
				for {
					page, next, err := s.List(t.Context(), f)
					must(t, err)
					got = append(got, page...)
					if next == "" {
						break
					}
					f.Cursor = next
				}
				wantIDs(t, got, expect...)
			})
		}
	})
}

func TestCancelled(t *testing.T) {
	db := storetest.SQLite(t, store.SpoolSchema())
	s := open(t, db, nil)
	must(t, s.Start(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := message(time.Now(), 10)
	if err := s.Put(ctx, m); err == nil {
		t.Error("put under an ended context")
	}
	if w := claim(t, s, 10); len(w) != 0 {
		t.Error("a refused message came out")
	}
	put(t, s, m)
	wantIDs(t, claim(t, s, 10), m)
}
