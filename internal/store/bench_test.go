package store_test

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/storetest"
)

// BenchmarkWrite puts rows of a message's size, each in a durable Write of its own, from one and from many producers.
// cpu-us/op is the processor time of this process for each row, commits/s comes from the number of producers served at
// once.
func BenchmarkWrite(b *testing.B) {
	engines := []struct {
		name string
		open func(testing.TB) *store.DB
	}{
		{"sqlite", func(t testing.TB) *store.DB { return storetest.SQLite(t, schema()) }},
		{"postgres", func(t testing.TB) *store.DB { return storetest.Postgres(t, schema()) }},
	}
	for _, engine := range engines {
		for _, size := range []int{2 << 10, 10 << 10} {
			for _, producers := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/%dKB/%dproducers", engine.name, size>>10, producers), func(b *testing.B) {
					benchmarkWrite(b, engine.open(b), size, producers)
				})
			}
		}
	}
}

func benchmarkWrite(b *testing.B, db *store.DB, size, producers int) {
	body := make([]byte, size)
	if _, err := rand.Read(body); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	started, cpu := time.Now(), cpuTime(b)
	b.ResetTimer()
	for range producers {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := put(b.Context(), db, strconv.FormatInt(started.UnixNano()+i, 36), body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(started).Seconds(), "puts/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-us/op")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
