package learn_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var someday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// observation is a message of a login to so many new recipients, or to the named ones.
func observation(t testing.TB, login string, at time.Time, to ...string) learn.Observation {
	t.Helper()
	o := learn.Observation{Identity: learn.IdentityOf("c", login, netip.Addr{}, "good.example", nil), At: at}
	for _, a := range to {
		o.Recipients = append(o.Recipients, mail.Recipient{Address: address(t, a)})
	}
	return o
}

// observe counts a message, takes it and delivers it.
func observe(t testing.TB, l *learn.Ledger, o learn.Observation) learn.Behaviour {
	t.Helper()
	b, err := l.Observe(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	l.Judged(b, false, false, false)
	for _, r := range o.Recipients {
		if err := l.Settle(t.Context(), learn.Settlement{Identity: o.Identity, At: o.At, Recipient: r.Address, Fate: learn.Delivered}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// written runs the ledger until everything is written down.
func written(t testing.TB, l *learn.Ledger) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := l.Lost(); n != 0 {
		t.Fatalf("%d lost", n)
	}
}

func TestBehaviourIsKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := someday
		o := learn.Options{Now: func() time.Time { return now }, Node: "a"}
		first := open(t, db, o)
		for day := range 5 {
			now = someday.AddDate(0, 0, day)
			for i := range 10 {
				observe(t, first, observation(t, "anne", now, fmt.Sprintf("r%d@there.example", i)))
			}
		}
		news := mail.Parse([]byte("List-Id: <news.good.example>\r\n\r\nx\r\n"), mail.DefaultLimits())
		for i := range 60 {
			letter := observation(t, "letter", now, fmt.Sprintf("r%d@there.example", i))
			letter.Message, letter.Author = news, address(t, "news@good.example")
			observe(t, first, letter)
		}
		written(t, first)

		// Another start of the same node.
		again := open(t, db, o)
		b := observe(t, again, observation(t, "anne", now.Add(time.Minute), "R3@there.example", "new@there.example", "new@there.example"))
		if b.Strangers != 2 || b.Own.Hour.FirstTime != 1 || b.Own.Hour.Recipients != 13 || b.Own.Days != 4 || b.Own.UsualDay.Recipients != 10 || b.Own.Settled != 10 {
			t.Errorf("after a restart: %+v", b)
		}
		letter := observation(t, "letter", now.AddDate(0, 0, 7), "r1@there.example")
		letter.Message, letter.Author = news, address(t, "other@good.example")
		if c := observe(t, again, letter).Changed; c == nil || c.Sender != "news@good.example" || c.Recipients != 60 {
			t.Errorf("campaign: %+v", c)
		}
		// Other customers know nothing of it.
		foreign := observation(t, "anne", now, "r3@there.example")
		foreign.Identity.Customer = "d"
		if b := observe(t, again, foreign); b.Own.Days != 0 || b.Strangers != 1 {
			t.Errorf("another customer: %+v", b)
		}

		if err := again.Erase(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		written(t, again)
		for _, l := range []*learn.Ledger{again, open(t, db, o)} {
			if b := observe(t, l, observation(t, "anne", now, "r3@there.example")); b.Own.Days != 0 || b.Strangers != 1 {
				t.Errorf("after erasure: %+v", b)
			}
			if err := l.Erase(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTwoNodes: what one node counts the other adds to its own, and neither writes over the other.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		clock := func() time.Time { return someday }
		a, b := open(t, db, learn.Options{Now: clock, Node: "a"}), open(t, db, learn.Options{Now: clock, Node: "b"})
		for range 7 {
			observe(t, a, observation(t, "anne", someday, "r@there.example"))
		}
		written(t, a)
		for range 4 {
			observe(t, b, observation(t, "anne", someday, "r@there.example"))
		}
		written(t, b)
		c := open(t, db, learn.Options{Now: clock, Node: "a"})
		if got := observe(t, c, observation(t, "anne", someday, "r@there.example")).Own.Hour.Messages; got != 12 {
			t.Errorf("%d messages, want 7+4+1", got)
		}
		written(t, c)
		if got := observe(t, open(t, db, learn.Options{Now: clock, Node: "b"}), observation(t, "anne", someday, "r@there.example")).Own.Hour.Messages; got != 13 {
			t.Errorf("%d messages, want 8+4+1", got)
		}
	})
}

// TestBehaviourUnderWay: a running ledger counts what is settled without anybody waiting, and writes it down.
func TestBehaviourUnderWay(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, learn.Options{Now: func() time.Time { return someday }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				o := observation(t, fmt.Sprintf("u%d", i%5), someday, fmt.Sprintf("r%d-%d@there.example", g, i))
				b, err := l.Observe(ctx, o)
				if err != nil {
					t.Error(err)
					return
				}
				l.Judged(b, i%2 == 0, i%4 == 0, false)
				for _, fate := range []learn.Fate{learn.Delivered, learn.UnknownUser, learn.Refused, 0, 9} {
					l.Settled(learn.Settlement{Identity: o.Identity, At: someday, Recipient: o.Recipients[0].Address, Fate: fate})
				}
			}
		})
	}
	all.Wait()
	cancel()
	if err := <-ended; err != nil || l.Lost() != 0 {
		t.Fatal(err, l.Lost())
	}
	var total, settled int
	for i := range 5 {
		b, err := open(t, db, learn.Options{Now: func() time.Time { return someday }}).Observe(t.Context(), observation(t, fmt.Sprintf("u%d", i), someday))
		if err != nil {
			t.Fatal(err)
		}
		total, settled = total+b.Own.Hour.Messages-1, settled+b.Own.Settled
	}
	if total != 1600 || settled != 4800 {
		t.Errorf("%d messages, %d settled", total, settled)
	}
}

// TestBehaviourIsBounded: a hostile flood of identities and recipients takes bounded memory.
func TestBehaviourIsBounded(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	now := someday
	l := open(t, db, learn.Options{Now: func() time.Time { return now }, BehaviourBytes: 1 << 20, SeenRecipients: 20_000})
	for i := range 20 {
		for range 4 {
			observe(t, l, observation(t, "steady", someday.AddDate(0, 0, -i), "r@there.example"))
		}
	}
	n := 30_000
	if testing.Short() {
		n = 5000
	}
	for i := range n {
		o := observation(t, "", now, fmt.Sprintf("r%d@there.example", i))
		o.Identity = learn.IdentityOf("c", "", netip.Addr{}, mail.Domain(fmt.Sprintf("d%d.example", i)), nil)
		if _, err := l.Observe(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	z := l.BehaviourSize()
	if z.Identities > 4000 || z.Recipients > 20_000 || z.Bytes > 3<<20 {
		t.Errorf("%+v", z)
	}
	t.Logf("%d invented identities: %+v", n, z)
	written(t, l)
	// Invented names with one message are not written down; who was there before is found again.
	if b := observe(t, l, observation(t, "steady", now, "r@there.example")); b.Own.Days != 0 && b.Own.Days != 19 || b.Strangers != 0 {
		t.Errorf("the steady sender: %+v", b)
	}
	rows := 0
	if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM learn_identity`).Scan(&rows) }); err != nil || rows > 3 {
		t.Errorf("%d rows %v", rows, err)
	}

	var to []string
	for i := range 100_000 {
		to = append(to, fmt.Sprintf("x%d@there.example", i))
	}
	start := time.Now()
	b, err := l.Observe(t.Context(), observation(t, "anne", now, to...))
	if err != nil || b.Strangers != 100_000 || b.Own.Hour.Recipients != 100_000 {
		t.Errorf("100,000 recipients: %+v %v", b, err)
	}
	t.Logf("100,000 recipients took %v", time.Since(start))
	if z := l.BehaviourSize(); z.Recipients > 20_000 || z.Bytes > 3<<20 {
		t.Errorf("%+v", z)
	}

	long := "a@" + strings.Repeat("x.", 30_000) + "example"
	m := mail.Parse([]byte("From: "+long+"\r\nX-PHP-Script: "+strings.Repeat("s", 64_000)+"\r\n\r\n"+strings.Repeat("<a>", 100_000)), mail.DefaultLimits())
	o := observation(t, "", now, "r@there.example")
	o.Message, o.Author = m, mail.Address{Local: strings.Repeat("l", 60_000), Domain: mail.Domain(strings.Repeat("d", 60_000))}
	o.Identity = learn.IdentityOf("c", "", netip.Addr{}, o.Author.Domain, m.Raw)
	if b, err := l.Observe(t.Context(), o); err != nil || len(b.Identity.String()) > 300 {
		t.Errorf("%v %v", b.Identity, err)
	}
	if z := l.BehaviourSize(); z.Bytes > 3<<20 {
		t.Errorf("%+v", z)
	}
}

func TestCleanBehaviour(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := someday
		l := open(t, db, learn.Options{Now: func() time.Time { return now }, SeenRecipients: 100})
		for i := range 300 {
			now = someday.AddDate(0, 0, i/10)
			observe(t, l, observation(t, "anne", now, fmt.Sprintf("r%d@there.example", i)))
		}
		written(t, l)
		count := func(table string) (n int) {
			t.Helper()
			if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT count(*) FROM " + table).Scan(&n) }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if err := l.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := count("learn_recipient"); n != 100 {
			t.Errorf("%d recipients, want 100", n)
		}
		now = now.AddDate(0, 0, 200)
		if err := l.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, i := count("learn_recipient"), count("learn_identity"); r != 0 || i != 0 {
			t.Errorf("after half a year: %d recipients, %d identities", r, i)
		}
	})
}

// TestBehaviourWithoutDatabase: what cannot be read is an error, what is in memory goes on.
func TestBehaviourWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, learn.Options{Now: func() time.Time { return someday }})
	observe(t, l, observation(t, "anne", someday, "r@there.example"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := l.Observe(t.Context(), observation(t, "anne", someday, "r@there.example")); err != nil || b.Own.Hour.Messages != 2 {
		t.Errorf("%+v %v", b, err)
	}
	if _, err := l.Observe(t.Context(), observation(t, "bob", someday, "r@there.example")); err == nil {
		t.Error("an unknown identity has an answer")
	}
}

func BenchmarkObserve(b *testing.B) {
	message := mail.Parse([]byte("From: Anne <anne@good.example>\r\nSubject: x\r\nX-Mailer: y\r\nList-Unsubscribe: <https://good.example/u>\r\nContent-Type: text/html\r\n\r\n<html><body>"+
		strings.Repeat("<p>Bonjour, votre colis est <b>bien</b> arrivé chez nous et part demain <a href=\"https://good.example/x\">suivre</a></p>\n", 60)), mail.DefaultLimits())
	_ = message.Text()
	for _, tc := range []struct {
		name    string
		message *mail.Message
	}{{"figures", nil}, {"with text", message}} {
		b.Run(tc.name, func(b *testing.B) {
			l := open(b, storetest.SQLite(b, store.MainSchema()), learn.Options{Now: func() time.Time { return someday }})
			for day := range 90 {
				for hour := range 10 {
					observe(b, l, observation(b, "anne", someday.AddDate(0, 0, day-90).Add(time.Duration(hour)*time.Hour), "r@there.example"))
				}
			}
			o := observation(b, "anne", someday, "r@there.example")
			o.Message, o.Author = tc.message, address(b, "anne@good.example")
			b.ReportAllocs()
			for b.Loop() {
				x, err := l.Observe(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				l.Judged(x, false, false, false)
			}
		})
	}
	b.Run("settle", func(b *testing.B) {
		l := open(b, storetest.SQLite(b, store.MainSchema()), learn.Options{Now: func() time.Time { return someday }})
		s := learn.Settlement{Identity: learn.IdentityOf("c", "anne", netip.Addr{}, "good.example", nil), At: someday, Recipient: address(b, "r@there.example"), Fate: learn.Delivered}
		for b.Loop() {
			if err := l.Settle(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	// Memory of 10,000 identities that write ten hours a day for three months.
	b.Run("identities", func(b *testing.B) {
		for b.Loop() {
			l := open(b, storetest.SQLite(b, store.MainSchema()), learn.Options{Now: func() time.Time { return someday }, BehaviourBytes: 1 << 30})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			const n = 1000
			for i := range n {
				for day := range 90 {
					hours := 1
					if day >= 88 {
						hours = 10
					}
					for hour := range hours {
						x, err := l.Observe(b.Context(), observation(b, fmt.Sprintf("u%d", i), someday.AddDate(0, 0, day-89).Add(time.Duration(hour)*time.Hour), "r@there.example"))
						if err != nil {
							b.Fatal(err)
						}
						l.Judged(x, false, false, false)
					}
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/identity")
			b.ReportMetric(float64(l.BehaviourSize().Bytes)/n, "counted-B/identity")
		}
	})
}
