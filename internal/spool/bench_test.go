package spool_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func benchEach(b *testing.B, f func(b *testing.B, db *store.DB)) {
	b.Run("sqlite", func(b *testing.B) { f(b, storetest.SQLite(b, store.SpoolSchema())) })
	b.Run("postgres", func(b *testing.B) { f(b, storetest.Postgres(b, store.SpoolSchema())) })
}

// producers puts b.N messages of size bytes from n goroutines.
func producers(b *testing.B, s *spool.Spool, n, size int) {
	body := message(time.Now(), size).Body
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				m := message(time.Now(), 0)
				m.Body = body
				if err := s.Put(b.Context(), m); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 10} {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("%dKB/%d", size>>10, n), func(b *testing.B) {
				benchEach(b, func(b *testing.B, db *store.DB) {
					s := open(b, db, nil, func(o *spool.Options) { o.InlineBytes = 0 })
					must(b, s.Start(b.Context()))
					b.ResetTimer()
					producers(b, s, n, size)
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				})
			})
		}
	}
}

// BenchmarkThrough puts with 64 goroutines while others claim, read the body and settle, until all are gone.
func BenchmarkThrough(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 10} {
		for _, batch := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKB/settle%d", size>>10, batch), func(b *testing.B) {
				benchEach(b, func(b *testing.B, db *store.DB) {
					s := open(b, db, nil, func(o *spool.Options) { o.InlineBytes = 0 })
					must(b, s.Start(b.Context()))
					ctx, cancel := context.WithCancel(b.Context())
					var done atomic.Int64
					b.ResetTimer()
					var wg sync.WaitGroup
					work := make(chan spool.Work, 256)
					wg.Go(func() { // one claims for all, as delivery does
						defer close(work)
						for ctx.Err() == nil {
							works, err := s.Claim(b.Context(), 256)
							if err != nil {
								b.Error(err)
								return
							}
							for _, w := range works {
								work <- w
							}
							if len(works) == 0 {
								select {
								case <-s.Wake():
								case <-ctx.Done():
								}
							}
						}
					})
					for range 64 {
						wg.Go(func() {
							for w := range work {
								out := []spool.Outcome{}
								for more := true; more; {
									if _, err := s.Body(b.Context(), w.ID); err != nil {
										b.Error(err)
									}
									out = append(out, spool.Outcome{ID: w.ID, State: spool.Delivered, Attempted: true, Code: 250})
									if more = len(out) < batch; more {
										select {
										case w, more = <-work:
										default:
											more = false
										}
									}
								}
								if err := s.Settle(b.Context(), out...); err != nil {
									b.Error(err)
								}
								if done.Add(int64(len(out))) >= int64(b.N) {
									cancel()
								}
							}
						})
					}
					producers(b, s, 64, size)
					wg.Wait()
					cancel()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				})
			})
		}
	}
}

// BenchmarkOpen200k measures a start with 200,000 queued messages of 2 KB: until the first claim, and the heap then.
func BenchmarkOpen200k(b *testing.B) {
	dir := b.TempDir()
	url := "sqlite:" + filepath.Join(dir, "spool.db")
	start := func() (*store.DB, *spool.Spool) {
		db, err := store.Open(b.Context(), store.Options{URL: url, Migrations: store.SpoolSchema()})
		must(b, err)
		return db, open(b, db, nil, func(o *spool.Options) { o.InlineBytes = 0 })
	}
	db, s := start()
	body := message(time.Now(), 2<<10).Body
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 200_000 / 64 {
				m := message(time.Now(), 0)
				m.Body = body
				must(b, s.Put(b.Context(), m))
			}
		})
	}
	wg.Wait()
	must(b, db.Close())
	s = nil
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		db, s := start()
		if w := claim(b, s, 100); len(w) != 100 {
			b.Fatal("nothing to claim")
		}
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&after)
		began := time.Now()
		st := stats(b, s)
		b.ReportMetric(time.Since(began).Seconds()*1000, "stats-ms")
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "heap-MB")
		b.ReportMetric(float64(st.Window), "window")
		b.ReportMetric(float64(st.Recovered), "recovered")
		must(b, db.Close())
		b.StartTimer()
	}
}
