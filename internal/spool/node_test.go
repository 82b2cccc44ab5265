package spool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestAdoption: the mail of a node that is silent too long goes to another one, once, and the sleeper cannot settle it.
func TestAdoption(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		one := open(t, db, c, func(o *spool.Options) { o.InlineBytes = -1 })
		two := open(t, db, c, func(o *spool.Options) { o.Node, o.InlineBytes = "two", -1 })
		must(t, two.Start(t.Context()))
		a := put(t, one, message(c.Now(), 10))
		c.Add(time.Second)
		b := put(t, one, message(c.Now(), 10_000))
		held := message(c.Now(), 10)
		held.Held = true
		put(t, one, held)
		wantIDs(t, claim(t, one, 1), a)
		step := func() {
			t.Helper()
			c.Add(5 * time.Second)
			must(t, spool.Observe(t.Context(), two))
		}
		for range 6 { // alive: nothing happens
			step()
			must(t, spool.Beat(t.Context(), one))
		}
		if w := claim(t, two, 10); len(w) != 0 {
			t.Fatalf("mail of a living node adopted: %v", ids(w))
		}
		if !one.Owns(a.ID) || two.Owns(a.ID) {
			t.Error("who owns the claim")
		}
		for range 5 { // one sleeps
			step()
		}
		wantIDs(t, claim(t, two, 10), a, b)
		if st := stats(t, two); st.Adopted != 3 {
			t.Errorf("stats %+v", st)
		}
		// The sleeper wakes up: its claim is void, and nothing it does reaches the adopted mail.
		if err := one.Settle(t.Context(), spool.Outcome{ID: a.ID, State: spool.Delivered}); !errors.Is(err, spool.ErrLost) {
			t.Errorf("settle by the sleeper: %v", err)
		}
		if db.Engine() == "postgres" && one.Owns(a.ID) {
			t.Error("the sleeper believes in its claim")
		}
		must(t, spool.Beat(t.Context(), one))
		if w := claim(t, one, 10); len(w) != 0 {
			t.Errorf("the sleeper claims adopted mail: %v", ids(w))
		}
		m := put(t, one, message(c.Now(), 10)) // it joined again and accepts
		wantIDs(t, claim(t, one, 10), m)
		must(t, one.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Delivered}))
		must(t, two.Settle(t.Context(), spool.Outcome{ID: a.ID, State: spool.Delivered}, spool.Outcome{ID: b.ID, State: spool.Delivered}))
		must(t, two.Release(t.Context(), held.ID))
		wantIDs(t, claim(t, two, 10), held)
	})
}

// TestOtherNodesMessage: an operator at one node acts on a message of another.
func TestOtherNodesMessage(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		owner := open(t, db, nil)
		desk := open(t, db, nil, func(o *spool.Options) { o.Node = "two" })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for _, s := range []*spool.Spool{owner, desk} {
			must(t, s.Start(t.Context()))
			go func() { ended <- s.Run(ctx) }()
		}
		m := message(time.Now(), 10)
		m.Held = true
		put(t, owner, m)
		must(t, desk.SetVerdict(t.Context(), m.ID, 0.5, nil))
		must(t, desk.Release(t.Context(), m.ID))
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
		if got[0].Score != 0.5 {
			t.Errorf("verdict %+v", got[0].Message)
		}
		if w := claim(t, desk, 10); len(w) != 0 {
			t.Errorf("the other node claims it")
		}
		must(t, desk.Drop(t.Context(), m.ID, "operator:eve"))
		if err := owner.Settle(t.Context(), spool.Outcome{ID: m.ID, State: spool.Delivered}); !errors.Is(err, spool.ErrLost) {
			t.Errorf("settle of a dropped message: %v", err)
		}
		cancel()
		for range 2 {
			must(t, <-ended)
		}
	})
}

// TestWatchdog: what memory lost or a wrong clock put far away is found, mended and counted.
func TestWatchdog(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		c := newClock()
		s := open(t, db, c)
		must(t, s.Start(t.Context()))
		if w := claim(t, s, 1); len(w) != 0 { // the window now knows everything
			t.Fatal("not empty")
		}
		lost := put(t, s, message(c.Now(), 10))
		spool.Forget(s, lost)
		if w := claim(t, s, 1); len(w) != 0 {
			t.Fatal("not forgotten")
		}
		st, err := s.Stats(t.Context())
		if err != nil || st.Silent != 1 {
			t.Fatalf("silent %d, %v", st.Silent, err)
		}
		must(t, spool.Watch(t.Context(), s))
		wantIDs(t, claim(t, s, 1), lost)
		if st := stats(t, s); st.Mended != 1 {
			t.Errorf("stats %+v", st)
		}
		// Two years back: what was written before waits for the future.
		far := put(t, s, message(c.Now(), 10))
		c.Add(-2 * 365 * 24 * time.Hour)
		s = open(t, db, c)
		if w := claim(t, s, 10); len(w) != 0 {
			t.Fatalf("claimed from the future: %v", ids(w))
		}
		must(t, spool.Watch(t.Context(), s))
		if w := claim(t, s, 10); len(w) != 2 {
			t.Errorf("claimed %v after the watchdog, want %s and %s", ids(w), lost.ID, far.ID)
		}
	})
}

// TestTwoProcesses: a second process on the same SQLite spool is refused.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + dir + "/spool.db", Migrations: store.SpoolSchema()})
	must(t, err)
	defer db.Close()
	if second, err := store.Open(t.Context(), store.Options{URL: "sqlite:" + dir + "/spool.db", Migrations: store.SpoolSchema()}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("second process: %v", err)
		second.Close()
	}
}

func FuzzMeta(f *testing.F) {
	f.Add(spool.EncodeMeta(message(time.UnixMilli(1_800_000_000_000), 10, "a.example", "b.example")))
	f.Add([]byte{1, 16, 4, 0, 0, 0, 0})
	f.Add([]byte{1, 16, 255, 255, 255, 255, 255, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m spool.Message
		if spool.DecodeMeta(b, &m) != nil {
			return
		}
		var again spool.Message
		if err := spool.DecodeMeta(spool.EncodeMeta(&m), &again); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if len(again.Envelope.Recipients) != len(m.Envelope.Recipients) || again.Envelope.ReversePath != m.Envelope.ReversePath {
			t.Fatalf("changed: %+v, %+v", m.Envelope, again.Envelope)
		}
		for i, r := range m.Envelope.Recipients {
			if again.Envelope.Recipients[i] != r {
				t.Fatalf("recipient %d: %+v, %+v", i, r, again.Envelope.Recipients[i])
			}
		}
	})
}

func TestMetaKeepsBytes(t *testing.T) {
	m := message(time.UnixMilli(1_800_000_000_000).UTC(), 10)
	m.Envelope.ReversePath.Local = "\xff\x00\"é"
	m.Envelope.Recipients[0].Address.Local = "a\xc3 b"
	m.Envelope.SMTPUTF8, m.Notice = true, true
	var got spool.Message
	must(t, spool.DecodeMeta(spool.EncodeMeta(m), &got))
	if got.Envelope.ReversePath != m.Envelope.ReversePath || got.Envelope.Recipients[0] != m.Envelope.Recipients[0] || !got.Envelope.SMTPUTF8 ||
		!got.Notice || got.ClientIP != m.ClientIP || !got.Expires.Equal(m.Expires) {
		t.Errorf("got %+v", got)
	}
	for i := range 10 {
		b := spool.EncodeMeta(m)
		if err := spool.DecodeMeta(b[:len(b)-1-i], &spool.Message{}); err == nil {
			t.Errorf("cut by %d: no error", i+1)
		}
	}
}
