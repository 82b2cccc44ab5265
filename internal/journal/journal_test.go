package journal_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, db *store.DB, now func() time.Time) *journal.Journal {
	t.Helper()
	j, err := journal.New(journal.Options{DB: db, Now: now})
	must(t, err)
	return j
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

func TestEveryField(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		full := journal.Fact{At: noon.Add(-time.Minute), Kind: journal.Deferred, QueueID: mail.NewQueueID(noon), Customer: "acme", Credential: "web",
			ClientIP: netip.MustParseAddr("2001:db8::7"), ReversePath: "Bounce@acme.example", Recipient: "Jean@orange.example",
			HeaderFrom: "Acme <news@acme.example>", Subject: "Déjà vu", MessageID: "<1@acme.example>", Size: 1 << 40, Score: 2.5,
			Host: "mx.orange.example[192.0.2.1]", EgressIP: netip.MustParseAddr("192.0.2.9"), Code: 451, Enhanced: "4.7.1",
			Text: "try later", NextAt: noon.Add(time.Hour), Attempt: 3, Actor: "rule", Detail: []byte(`{"a":1}`),
			Category: "speeding", Party: "volume", Rule: "there/slow", Provider: "there", Lane: "there 192.0.2.7"}
		bare := journal.Fact{Kind: journal.Asked, QueueID: full.QueueID}
		must(t, j.Append(t.Context(), full, bare))
		got, err := j.Trace(t.Context(), full.QueueID)
		must(t, err)
		if len(got) != 2 || got[0].ID >= got[1].ID {
			t.Fatalf("trace %+v", got)
		}
		full.ID, bare.ID, bare.At = got[0].ID, got[1].ID, noon
		if !reflect.DeepEqual(got[0], full) {
			t.Errorf("full fact\n got %+v\nwant %+v", got[0], full)
		}
		if got[1].Detail != nil && len(got[1].Detail) == 0 {
			got[1].Detail = nil
		}
		if !reflect.DeepEqual(got[1], bare) {
			t.Errorf("bare fact\n got %+v\nwant %+v", got[1], bare)
		}
	})
}

func TestHostileText(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		id := mail.NewQueueID(noon)
		nasty := "\x00\xff\xfe'; DROP TABLE journal_fact; --" + strings.Repeat("é", 5000)
		must(t, j.Append(t.Context(), journal.Fact{Kind: journal.Rejected, QueueID: id, ReversePath: nasty, Recipient: nasty, HeaderFrom: nasty,
			Subject: nasty, MessageID: nasty, Host: nasty, Text: nasty, Enhanced: nasty, Actor: nasty, Customer: nasty, Detail: []byte{0, 255}, Rule: nasty}))
		got, err := j.Trace(t.Context(), id)
		must(t, err)
		if len(got) != 1 || len(got[0].Text) > 2100 || len(got[0].Subject) > 600 {
			t.Errorf("trace %d facts", len(got))
		}
		if found, _, err := j.Search(t.Context(), journal.Query{Text: "drop table"}); err != nil || len(found) != 1 {
			t.Errorf("search: %d facts, %v", len(found), err)
		}
		for name, f := range map[string]journal.Fact{
			"no kind":    {QueueID: id},
			"big detail": {Kind: journal.Held, Detail: make([]byte, 257<<10)},
		} {
			if err := j.Append(t.Context(), f); !errors.Is(err, journal.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSearch(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		var all []journal.Fact
		for i := range 40 {
			f := journal.Fact{At: noon.Add(-time.Duration(40-i) * time.Hour), Kind: journal.Delivered, QueueID: mail.NewQueueID(noon.Add(time.Duration(i))),
				Customer: []string{"acme", "other"}[i%2], Recipient: fmt.Sprintf("User%d@Orange.example", i%4), Text: fmt.Sprintf("250 OK nr_%d 100%%", i)}
			if i%10 == 0 {
				f.Kind, f.ReversePath, f.MessageID = journal.Accepted, "user1@orange.example", fmt.Sprintf("<M%d@acme.example>", i)
				f.Subject, f.HeaderFrom = "Facture IMPAYÉE", "Jean <USER2@orange.example>"
			}
			all = append(all, f)
		}
		must(t, j.Append(t.Context(), all...))
		old := journal.Fact{At: noon.Add(-20 * 24 * time.Hour), Kind: journal.Bounced, Customer: "acme", Text: "nr_old"}
		must(t, j.Append(t.Context(), old))
		for _, tc := range []struct {
			name  string
			query journal.Query
			match func(i int) bool
		}{
			{"recipient in any case", journal.Query{Address: "USER3@orange.EXAMPLE"}, func(i int) bool { return i%4 == 3 }},
			{"reverse path or recipient", journal.Query{Address: "user1@orange.example"}, func(i int) bool { return i%4 == 1 || i%10 == 0 }},
			{"header from, a fact once", journal.Query{Address: "<user2@orange.example>"}, func(i int) bool { return i%4 == 2 || i%10 == 0 }},
			{"address and customer", journal.Query{Address: "user3@orange.example", Customer: "acme"}, func(i int) bool { return false }},
			{"message id without brackets", journal.Query{MessageID: "m10@ACME.example"}, func(i int) bool { return i == 10 }},
			{"customer", journal.Query{Customer: "other"}, func(i int) bool { return i%2 == 1 }},
			{"customer and kind", journal.Query{Customer: "acme", Kinds: []journal.Kind{journal.Accepted, journal.Held}}, func(i int) bool { return i%10 == 0 }},
			{"window", journal.Query{Since: all[10].At, Until: all[20].At}, func(i int) bool { return i >= 10 && i < 20 }},
			{"text", journal.Query{Text: "ok NR_3"}, func(i int) bool { return i == 3 || i >= 30 && i < 40 }},
			{"text in French, any case", journal.Query{Text: "facture impayée"}, func(i int) bool { return i%10 == 0 }},
			{"wildcards are letters", journal.Query{Text: "nr%3"}, func(i int) bool { return false }},
			{"percent", journal.Query{Text: "100%"}, func(i int) bool { return true }},
			{"text is a queue id", journal.Query{Text: " " + strings.ToUpper(string(all[5].QueueID)) + " "}, func(i int) bool { return i == 5 }},
		} {
			t.Run(tc.name, func(t *testing.T) {
				var want, got []mail.QueueID
				for i := len(all) - 1; i >= 0; i-- {
					if tc.match(i) {
						want = append(want, all[i].QueueID)
					}
				}
				q := tc.query
				q.Limit = 3
				for {
					facts, next, err := j.Search(t.Context(), q)
					must(t, err)
					for _, f := range facts {
						if !(f.QueueID == "" && f.Text == "nr_old") {
							got = append(got, f.QueueID)
						}
					}
					if next == "" {
						break
					}
					q.Cursor = next
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %d facts %v, want %d %v", len(got), got, len(want), want)
				}
			})
		}
		if facts, _, err := j.Search(t.Context(), journal.Query{Text: "nr_old"}); err != nil || len(facts) != 0 {
			t.Errorf("mere text beyond the window: %d facts, %v", len(facts), err)
		}
		if facts, _, err := j.Search(t.Context(), journal.Query{Text: "nr_old", Customer: "acme"}); err != nil || len(facts) != 1 {
			t.Errorf("text with customer: %d facts, %v", len(facts), err)
		}
		if facts, _, err := j.Search(t.Context(), journal.Query{}); err != nil || len(facts) != 41 {
			t.Errorf("everything: %d facts, %v", len(facts), err)
		}
		if _, _, err := j.Search(t.Context(), journal.Query{Cursor: "x"}); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("bad cursor: %v", err)
		}
		counts, err := j.Counts(t.Context(), noon.Add(-48*time.Hour))
		if err != nil || !reflect.DeepEqual(counts, map[journal.Kind]int64{journal.Accepted: 4, journal.Delivered: 36}) {
			t.Errorf("counts %v, %v", counts, err)
		}
		known, err := j.HasAccepted(t.Context(), []mail.QueueID{all[0].QueueID, all[1].QueueID, all[10].QueueID})
		if err != nil || !reflect.DeepEqual(known, map[mail.QueueID]bool{all[0].QueueID: true, all[10].QueueID: true}) {
			t.Errorf("accepted %v, %v", known, err)
		}
	})
}

// TestOrder: what is posted is never behind a later Append, and keeps its order.
func TestOrder(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("running %v", running), func(t *testing.T) {
				j, err := journal.New(journal.Options{DB: db, Backlog: 50})
				must(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				if running {
					go func() { ended <- j.Run(ctx) }()
				}
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						id := mail.NewQueueID(noon)
						for i := range 60 {
							j.Post(journal.Fact{Kind: journal.Attempt, QueueID: id, Attempt: 2 * i})
							if i%20 != 0 {
								continue
							}
							if err := j.Append(t.Context(), journal.Fact{Kind: journal.Deferred, QueueID: id, Attempt: 2*i + 1}); err != nil {
								t.Error(err)
							}
							facts, err := j.Trace(t.Context(), id)
							if err != nil || len(facts) != i+1+i/20+1 {
								t.Errorf("after append %d: %d facts, %v", i, len(facts), err)
							}
						}
						if err := j.Flush(t.Context()); err != nil {
							t.Error(err)
						}
						facts, err := j.Trace(t.Context(), id)
						if err != nil || len(facts) != 63 {
							t.Errorf("%d facts, %v", len(facts), err)
						}
						for i := 1; i < len(facts); i++ {
							if facts[i].Attempt <= facts[i-1].Attempt {
								t.Errorf("order: %d after %d", facts[i].Attempt, facts[i-1].Attempt)
							}
						}
					})
				}
				wg.Wait()
				id := mail.NewQueueID(noon)
				j.Post(journal.Fact{Kind: journal.Attempt, QueueID: id})
				if running {
					cancel()
					must(t, <-ended)
					if facts, err := j.Trace(t.Context(), id); err != nil || len(facts) != 1 {
						t.Errorf("run ended with %d facts, %v", len(facts), err)
					}
				}
			})
		}
	})
}

func TestRunWritesPosted(t *testing.T) {
	db := storetest.SQLite(t, store.MainSchema())
	j := open(t, db, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	id := mail.NewQueueID(noon)
	j.Post(journal.Fact{Kind: journal.Accepted, QueueID: id})
	for deadline := time.Now().Add(time.Minute); ; {
		facts, err := j.Trace(t.Context(), id)
		must(t, err)
		if len(facts) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("posted fact was not written")
		}
	}
	cancel()
	must(t, <-ended)
}

// TestDatabaseGone: an Append that failed is not in the queue, what was posted waits.
func TestDatabaseGone(t *testing.T) {
	db := storetest.SQLite(t, store.MainSchema())
	j := open(t, db, nil)
	must(t, db.Close())
	j.Post(journal.Fact{Kind: journal.Accepted})
	for range 3 {
		if err := j.Append(t.Context(), journal.Fact{Kind: journal.Held}); !errors.Is(err, store.ErrClosed) {
			t.Fatalf("append: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Run(ctx); !errors.Is(err, store.ErrClosed) {
		t.Errorf("run ended with facts unwritten: %v", err)
	}
}

func TestRetention(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		var facts []journal.Fact
		for i := range 1200 {
			facts = append(facts, journal.Fact{At: noon.Add(-time.Duration(i) * 24 * time.Hour / 10), Kind: journal.Delivered, Customer: "acme"})
		}
		must(t, j.Append(t.Context(), facts...))
		must(t, journal.Prune(t.Context(), j))
		counts, err := j.Counts(t.Context(), time.Time{})
		if err != nil || counts[journal.Delivered] != 901 {
			t.Errorf("counts %v, %v", counts, err)
		}
	})
}

func fact(i int) journal.Fact {
	return journal.Fact{Kind: journal.Delivered, QueueID: mail.NewQueueID(time.Now()), Customer: "acme", Recipient: fmt.Sprintf("user%d@orange.example", i*7919%100_000),
		Host: "mx.orange.example[192.0.2.1]", EgressIP: netip.MustParseAddr("192.0.2.9"), Code: 250, Enhanced: "2.0.0", Text: "OK queued as 12345", Attempt: 1}
}

func benchEach(b *testing.B, f func(b *testing.B, db *store.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, storetest.SQLite(b, store.MainSchema())) })
	b.Run("postgres", func(b *testing.B) { f(b, storetest.Postgres(b, store.MainSchema())) })
}

func BenchmarkAppend64(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		j := open(b, db, nil)
		var wg sync.WaitGroup
		work := make(chan int)
		for range 64 {
			wg.Go(func() {
				for i := range work {
					if err := j.Append(b.Context(), fact(i)); err != nil {
						b.Error(err)
					}
				}
			})
		}
		b.ResetTimer()
		for i := range b.N {
			work <- i
		}
		close(work)
		wg.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "facts/s")
	})
}

func BenchmarkPost(b *testing.B) {
	benchEach(b, func(b *testing.B, db *store.DB) {
		j := open(b, db, nil)
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- j.Run(ctx) }()
		b.ResetTimer()
		for i := range b.N {
			j.Post(fact(i))
		}
		must(b, j.Flush(b.Context()))
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "facts/s")
		b.StopTimer()
		cancel()
		must(b, <-ended)
	})
}
