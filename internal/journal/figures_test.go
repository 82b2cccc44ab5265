package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
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

var kinds = []journal.Kind{journal.Accepted, journal.Held, journal.Rejected, journal.Recovered, journal.Delivered, journal.Deferred, journal.Bounced,
	journal.Expired, journal.Complaint, journal.Returned, journal.Released, journal.Notified, journal.Tuned}

// random makes facts of the last days, in no order of time, of several customers and nobody.
func random(r *rand.Rand, n int, days int) []journal.Fact {
	facts := make([]journal.Fact, n)
	for i := range facts {
		f := journal.Fact{Kind: kinds[r.IntN(len(kinds))], QueueID: mail.NewQueueID(noon), Customer: []string{"", "acme", "other"}[r.IntN(3)],
			At: noon.Add(-time.Duration(r.Int64N(int64(days) * int64(24*time.Hour))))}
		switch f.Kind {
		case journal.Accepted, journal.Held, journal.Rejected, journal.Recovered:
			f.Recipient = "a@there.example"
			if r.IntN(3) == 0 {
				f.Text = fmt.Sprintf("%d recipients", 2+r.IntN(20))
			}
			if f.Kind == journal.Held && r.IntN(4) == 0 {
				f.Actor = "operator:o"
			}
			points := map[string]float64{"SPF_PASS": -0.1, "LONG_URL": 1.3, "NO_DATE": 0.005}
			if r.IntN(2) == 0 {
				delete(points, "LONG_URL")
			}
			f.Detail = journal.EncodeBrief(1.2, 3, func(yield func(string, float64) bool) {
				for k, v := range points {
					if !yield(k, v) {
						return
					}
				}
			})
			if r.IntN(5) == 0 {
				f.Detail = nil
			}
		case journal.Delivered, journal.Deferred, journal.Bounced, journal.Returned:
			f.Provider, f.Attempt = []string{"orange", "gmail", "default"}[r.IntN(3)], 1+r.IntN(3)
		}
		facts[i] = f
	}
	return facts
}

// naive counts facts as their definitions read.
func naive(facts []journal.Fact, customer string, from, to time.Time) map[journal.Figure]int64 {
	out := map[journal.Figure]int64{}
	for _, f := range facts {
		if customer != "" && f.Customer != customer || f.At.Before(from) || !f.At.Before(to) {
			continue
		}
		out[journal.Figure(f.Kind)]++
		arrived := f.Kind == journal.Accepted || f.Kind == journal.Recovered || f.Kind == journal.Held && f.Actor == ""
		if arrived {
			out[journal.Taken]++
			n := int64(1)
			_, _ = fmt.Sscanf(f.Text, "%d recipients", &n)
			out[journal.Recipients] += n
			if f.Kind == journal.Held {
				out[journal.Stopped]++
			}
		}
		if f.Kind == journal.Deferred && f.Attempt == 1 {
			out[journal.Delayed]++
		}
		if (arrived || f.Kind == journal.Rejected) && f.Detail != nil {
			out[journal.Judged]++
		}
	}
	return out
}

// TestFiguresAreARecount: whatever is counted already, whatever waits, the figures are those of a recount of all facts.
func TestFiguresAreARecount(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		r := rand.New(rand.NewPCG(7, 7))
		j := open(t, db, at(noon))
		paris, err := time.LoadLocation("Europe/Paris")
		must(t, err)
		var all []journal.Fact
		for round := range 4 {
			facts := random(r, 600, 20)
			must(t, j.Append(t.Context(), facts...))
			all = append(all, facts...)
			if round%2 == 1 {
				must(t, journal.Turn(t.Context(), j))
			}
			for _, customer := range []string{"", "acme"} {
				for _, q := range []journal.FiguresQuery{
					{Customer: customer, From: noon.Add(-26 * time.Hour), Step: journal.Hour},
					{Customer: customer, From: noon.AddDate(0, 0, -10), Step: journal.Day, Zone: paris},
					{Customer: customer, From: noon.AddDate(0, 0, -19), To: noon.AddDate(0, 0, -3).Truncate(24 * time.Hour), Step: journal.Day},
				} {
					got, err := j.Figures(t.Context(), q)
					must(t, err)
					if len(got.Points) < 10 || !got.Through.IsZero() {
						t.Fatalf("%d points through %s", len(got.Points), got.Through)
					}
					for i, p := range got.Points {
						end := noon.Add(time.Second)
						if i+1 < len(got.Points) {
							end = got.Points[i+1].At
						} else if !q.To.IsZero() {
							end = q.To
						}
						if want := naive(all, customer, p.At, end); !p.Known || !reflect.DeepEqual(p.Count, want) {
							t.Fatalf("round %d, %s of %q from %s:\n got %v\nwant %v", round, q.Step, customer, p.At, p.Count, want)
						}
					}
				}
			}
			checkSums(t, j, all)
		}
	})
}

// checkSums compares providers, tests and top customers with a recount.
func checkSums(t *testing.T, j *journal.Journal, all []journal.Fact) {
	t.Helper()
	from := noon.Truncate(24*time.Hour).AddDate(0, 0, -7)
	for _, q := range []journal.FiguresQuery{{From: from}, {From: from.AddDate(0, 0, -9)}, {Customer: "acme", From: from}} {
		by, hits, judged := map[string]map[journal.Figure]int64{}, map[string]int64{}, int64(0)
		for _, f := range all {
			if f.At.Before(q.From) || q.Customer != "" && q.Customer != f.Customer {
				continue
			}
			n := naive([]journal.Fact{f}, "", q.From, noon.Add(time.Second))
			judged += n[journal.Judged]
			if n[journal.Judged] > 0 {
				b, _ := journal.DecodeBrief(f.Detail)
				for test, points := range b.Points {
					if q.Customer == "" || points > 0 {
						hits[test]++
					}
				}
			}
			if f.Provider == "" {
				continue
			}
			if by[f.Provider] == nil {
				by[f.Provider] = map[journal.Figure]int64{}
			}
			for k, v := range n {
				by[f.Provider][k] += v
			}
		}
		got, err := j.ByProvider(t.Context(), q)
		must(t, err)
		if len(got) != len(by) {
			t.Fatalf("%d providers, want %d", len(got), len(by))
		}
		for _, p := range got {
			if !reflect.DeepEqual(p.Count, by[p.Provider]) {
				t.Errorf("%s: %v, want %v", p.Provider, p.Count, by[p.Provider])
			}
		}
		tests, n, err := j.TestSums(t.Context(), q)
		must(t, err)
		if n != judged || len(tests) != len(hits) {
			t.Errorf("%d judged, %d tests, want %d and %d", n, len(tests), judged, len(hits))
		}
		for _, x := range tests {
			if x.Hits != hits[x.Test] {
				t.Errorf("%s: %d hits, want %d", x.Test, x.Hits, hits[x.Test])
			}
		}
		if q.Customer == "" {
			points, err := j.TestPoints(t.Context(), "LONG_URL", journal.FiguresQuery{From: q.From, Step: journal.Day})
			must(t, err)
			sum := int64(0)
			for _, p := range points {
				sum += p.Hits
			}
			if sum != hits["LONG_URL"] {
				t.Errorf("LONG_URL over time: %d, want %d", sum, hits["LONG_URL"])
			}
		}
	}
	top, err := j.Top(t.Context(), journal.Taken, noon.Add(-24*time.Hour), noon.Add(time.Hour), 5)
	must(t, err)
	for _, x := range top {
		if want := naive(all, x.Customer, noon.Add(-24*time.Hour), noon.Add(time.Second))[journal.Taken]; x.Count != want {
			t.Errorf("top %s: %d, want %d", x.Customer, x.Count, want)
		}
	}
	if len(top) != 2 {
		t.Errorf("top %v", top)
	}
}

// TestCountingOnce: several nodes count at once, some give up in the middle, and every fact counts once.
func TestCountingOnce(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		r := rand.New(rand.NewPCG(3, 9))
		facts := random(r, 5*journal.RollFacts+137, 5)
		must(t, open(t, db, at(noon)).Append(t.Context(), facts...))
		var wait sync.WaitGroup
		for node := range 3 {
			wait.Go(func() {
				j := open(t, db, at(noon)) // as after a restart: nothing is remembered but what the database holds
				for range 4 {
					if _, err := journal.CountPiece(t.Context(), j, 1<<60); err != nil {
						t.Errorf("node %d: %v", node, err)
					}
				}
				ctx, stop := context.WithCancel(t.Context())
				stop()
				_, _ = journal.CountPiece(ctx, j, 1<<60)
			})
		}
		wait.Wait()
		j := open(t, db, at(noon))
		must(t, journal.Turn(t.Context(), j))
		if n, err := journal.CountPiece(t.Context(), j, 1<<60); n != 0 || err != nil {
			t.Errorf("%d facts are left, %v", n, err)
		}
		got, err := j.Figures(t.Context(), journal.FiguresQuery{From: noon.AddDate(0, 0, -6), Step: journal.Day})
		must(t, err)
		for figure, want := range naive(facts, "", time.Time{}, noon.Add(time.Hour)) {
			if n := got.Sum(figure); n != want {
				t.Errorf("%s: %d, want %d", figure, n, want)
			}
		}
	})
}

// TestFiguresOutliveFacts: facts leave by age, their figures stay; late facts count for the hour in which they happened; hours leave before days.
func TestFiguresOutliveFacts(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		now := noon
		j := open(t, db, func() time.Time { return now })
		old := journal.Fact{At: noon, Kind: journal.Delivered, Customer: "acme", Provider: "orange"}
		must(t, j.Append(t.Context(), old, old))
		must(t, journal.Turn(t.Context(), j))
		now = noon.AddDate(0, 0, 100)
		must(t, journal.Prune(t.Context(), j))
		must(t, journal.PruneFigures(t.Context(), j))
		must(t, j.Append(t.Context(), old)) // late
		must(t, journal.Turn(t.Context(), j))
		got, err := j.Figures(t.Context(), journal.FiguresQuery{Customer: "acme", From: noon.AddDate(0, 0, -1), To: noon.AddDate(0, 0, 2), Step: journal.Day})
		must(t, err)
		if n := got.Sum(journal.Figure(journal.Delivered)); n != 3 || got.Points[0].Known || !got.Points[1].Known {
			t.Errorf("%d delivered, points %+v", n, got.Points)
		}
		now = noon.AddDate(0, 0, 401)
		must(t, journal.PruneFigures(t.Context(), j))
		if got, err = j.Figures(t.Context(), journal.FiguresQuery{From: noon.AddDate(0, 0, 1), Step: journal.Day}); err != nil || !got.Since.IsZero() || got.Sum("delivered") != 0 {
			t.Errorf("after 401 days: since %s, %v", got.Since, err)
		}
	})
}

// TestFiguresOfAnOldJournal: while the facts from before are being counted, the answer says how far it came, and what is not counted is not zero.
func TestFiguresOfAnOldJournal(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	j := open(t, db, at(noon))
	facts := make([]journal.Fact, journal.TailMost+2*journal.RollFacts)
	for i := range facts {
		facts[i] = journal.Fact{Kind: journal.Delivered, At: noon.Add(-time.Duration(len(facts)-i) * 10 * time.Second)}
	}
	must(t, j.Append(t.Context(), facts...))
	q := journal.FiguresQuery{From: facts[0].At, Step: journal.Hour}
	got, err := j.Figures(t.Context(), q)
	must(t, err)
	if got.Through.IsZero() || got.Points[0].Known {
		t.Errorf("nothing is counted: through %s, %+v", got.Through, got.Points[0])
	}
	_, err = journal.CountPiece(t.Context(), j, 1<<60)
	must(t, err)
	if got, err = j.Figures(t.Context(), q); err != nil || !got.Through.Equal(facts[journal.RollFacts-1].At) || !got.Points[1].Known || got.Points[len(got.Points)-1].Known {
		t.Errorf("one piece is counted: through %s, %v", got.Through, err)
	}
	must(t, journal.Turn(t.Context(), j))
	if got, err = j.Figures(t.Context(), q); err != nil || !got.Through.IsZero() || got.Sum("delivered") != int64(len(facts)) {
		t.Errorf("all is counted: %d through %s, %v", got.Sum("delivered"), got.Through, err)
	}
}

func TestFiguresRefuse(t *testing.T) {
	t.Parallel()
	j := open(t, storetest.SQLite(t, store.MainSchema()), at(noon))
	for name, q := range map[string]journal.FiguresQuery{
		"no step":        {From: noon.Add(-time.Hour)},
		"no begin":       {Step: journal.Day},
		"too many hours": {From: noon.AddDate(0, 0, -40), Step: journal.Hour},
		"too many days":  {From: noon.AddDate(-3, 0, 0), Step: journal.Day},
	} {
		if _, err := j.Figures(t.Context(), q); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := j.Top(t.Context(), journal.Taken, noon.AddDate(0, 0, -3), noon, 5); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("top of three days: %v", err)
	}
}

// TestRunCounts: Run counts in the background.
func TestRunCounts(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	j := open(t, db, time.Now)
	must(t, j.Append(t.Context(), journal.Fact{Kind: journal.Delivered, Customer: strings.Repeat("x", 10)}))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- j.Run(ctx) }()
	for mark := int64(0); mark == 0 && t.Context().Err() == nil; {
		must(t, db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT fact FROM journal_counted").Scan(&mark) }))
	}
	stop()
	must(t, <-done)
}

// TestCountingWaitsForWriters: on PostgreSQL a fact becomes visible after one with a greater ID when its writer is slow. It is counted all the same.
func TestCountingWaitsForWriters(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t, store.MainSchema())
	j := open(t, db, at(noon))
	turn := journal.Turns(j)
	inserted, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec("INSERT INTO journal_fact (at, kind, size, score, code, next_at, attempt) VALUES (?, 'bounced', 0, 0, 0, 0, 1)", noon.Add(-time.Minute))
			close(inserted)
			<-goOn
			return err
		})
	}()
	<-inserted
	must(t, j.Append(t.Context(), journal.Fact{Kind: journal.Delivered}))
	sum := func() (n int64) {
		f, err := j.Figures(t.Context(), journal.FiguresQuery{From: noon.Add(-time.Hour), Step: journal.Hour})
		must(t, err)
		return f.Sum("bounced")*10 + f.Sum("delivered")
	}
	for range 3 {
		must(t, turn(t.Context()))
		if n := sum(); n != 1 {
			t.Fatalf("figures %d while the first is being written", n)
		}
	}
	close(goOn)
	must(t, <-done)
	if n := sum(); n != 11 { // not counted yet, and added by the question, which has counted the second before
		t.Errorf("figures %d, want 11", n)
	}
	for range 3 {
		must(t, turn(t.Context()))
		if n := sum(); n != 11 {
			t.Errorf("figures %d, want 11", n)
		}
	}
	if n, err := journal.CountPiece(t.Context(), j, 1<<60); n != 0 || err != nil {
		t.Errorf("%d facts were not counted, %v", n, err)
	}
}

// BenchmarkFiguresInARush is a question while so many facts are not counted yet.
func BenchmarkFiguresInARush(b *testing.B) {
	for _, n := range []int{0, 300, 1000, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "x.db")
			db, err := store.Open(b.Context(), store.Options{URL: "sqlite:" + path, Migrations: store.MainSchema()})
			must(b, err)
			defer func() { _ = db.Close() }()
			j := open(b, db, at(noon))
			detail := journal.EncodeBrief(-2.0, 3, typical)
			var facts []journal.Fact
			for i := range n {
				f := journal.Fact{Kind: journal.Accepted, At: noon.Add(-time.Duration(i) * time.Second), QueueID: mail.NewQueueID(noon), Customer: fmt.Sprint("c", i%300), Recipient: "bob@remote.example", Detail: detail}
				if i%2 == 1 {
					f.Kind, f.Detail, f.Provider = journal.Delivered, nil, "orange"
				}
				facts = append(facts, f)
			}
			if n > 0 {
				must(b, j.Append(b.Context(), facts...))
			}
			for b.Loop() {
				_, err := j.Figures(b.Context(), journal.FiguresQuery{From: noon.Add(-24 * time.Hour), Step: journal.Hour})
				must(b, err)
			}
		})
	}
}
