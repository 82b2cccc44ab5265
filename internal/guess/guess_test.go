package guess_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"postern/internal/guess"
	"postern/internal/password"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var (
	start    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	attacker = netip.MustParseAddr("203.0.113.66")
	office   = netip.MustParseAddr("192.0.2.7")
)

// node is a process with one gate.
type node struct {
	*password.Gate
	k   *guess.Keeper
	now *time.Time
}

func open(t *testing.T, db *store.DB, now *time.Time) node {
	t.Helper()
	g, err := password.NewGate(0)
	if err != nil {
		t.Fatal(err)
	}
	k, err := guess.New(guess.Options{DB: db, Gates: map[string]*password.Gate{"mail": g}, Now: func() time.Time { return *now }, Most: 50})
	if err != nil {
		t.Fatal(err)
	}
	n := node{g, k, now}
	n.load(t)
	return n
}

func (n node) load(t *testing.T) {
	t.Helper()
	if err := n.k.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (n node) flush(t *testing.T) {
	t.Helper()
	if err := n.k.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (n node) fail(user string, ip netip.Addr, times int) {
	for range times {
		n.Failed(user, ip, *n.now)
	}
}

func rows(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM guess_lock`).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLocksAreShared: what one node has shut is shut at the other and after a restart, but not for who is known there; it opens everywhere when its user comes in.
func TestLocksAreShared(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := start
		a, b := open(t, db, &now), open(t, db, &now)
		a.Succeeded("anna", office, now)
		a.fail("anna", attacker, 4)
		a.flush(t)
		if n := rows(t, db); n != 0 {
			t.Errorf("%d rows for four failures and a good login", n)
		}
		a.fail("anna", attacker, 1)
		a.flush(t)
		b.load(t)
		other := netip.MustParseAddr("198.51.100.1")
		c := open(t, db, &now) // after a restart
		for i, n := range []node{a, b, c} {
			if n.Admits("anna", other, now) || !n.Admits("anna", office, now) || !n.Admits("bert", other, now) {
				t.Errorf("node %d: the lock does not hold for others, or holds for who is known", i)
			}
			if wait := n.Wait("anna", other, now); wait != time.Minute {
				t.Errorf("node %d: opens in %s", i, wait)
			}
		}
		b.fail("anna", attacker, 1) // goes on counting where the other stopped
		b.flush(t)
		a.load(t)
		if wait := a.Wait("anna", other, now); wait != 2*time.Minute {
			t.Errorf("after a sixth failure elsewhere it opens in %s", wait)
		}
		a.Succeeded("anna", office, now)
		a.flush(t)
		b.load(t)
		c.load(t)
		if !b.Admits("anna", other, now) || !c.Admits("anna", other, now) || rows(t, db) != 0 {
			t.Error("a good login does not open the other nodes")
		}
	})
}

// TestNetworks: a network that guessed too often is shut everywhere, and one good login does not open it.
func TestNetworks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := start
		a, b := open(t, db, &now), open(t, db, &now)
		for range 20 {
			a.FailedNetwork(attacker, now)
		}
		a.flush(t)
		b.load(t)
		b.Succeeded("anna", attacker, now)
		b.flush(t)
		if b.AdmitsNetwork(attacker, now) || !b.AdmitsNetwork(office, now) {
			t.Error("the network is not shut at the other node")
		}
		now = now.Add(time.Hour)
		if !b.AdmitsNetwork(attacker, now) {
			t.Error("it never opens")
		}
		a.fail("anna", office, 5) // a write that finds it out of date
		a.flush(t)
		if n := rows(t, db); n != 1 {
			t.Errorf("%d rows; the one of an hour ago is forgotten", n)
		}
	})
}

// TestBounded: whoever invents names fills no table, and no password that was typed as a name is kept.
func TestBounded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := start
		a := open(t, db, &now)
		a.fail("hunter2", office, 7)
		a.flush(t)
		for i := range 700 {
			now = now.Add(time.Millisecond)
			a.fail(fmt.Sprint("name", i), netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 5)
		}
		for range 3 {
			a.flush(t)
		}
		if n := rows(t, db); n != 50 {
			t.Errorf("%d rows", n)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			var n int
			if err := tx.QueryRow(`SELECT count(*) FROM guess_lock WHERE name LIKE '%hunter%' OR name LIKE '%name%'`).Scan(&n); err != nil || n > 0 {
				return errors.Join(err, fmt.Errorf("%d rows hold a name as it was typed", n))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestRun: a lock is written by itself, also at the end.
func TestRun(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := start
		a, b := open(t, db, &now), open(t, db, &now)
		stopA, stopB := a.run(t), b.run(t)
		defer stopB()
		a.fail("anna", attacker, 5)
		for end := time.Now().Add(time.Minute); b.Admits("anna", attacker, now); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the other node does not hear of it")
			}
		}
		a.fail("bert", attacker, 5)
		stopA()
		if n := rows(t, db); n != 2 {
			t.Errorf("%d rows at the end", n)
		}
	})
}

func (n node) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.k.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}
