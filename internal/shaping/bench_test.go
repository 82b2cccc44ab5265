package shaping_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/shaping"
)

// cpu is the processor time used so far: on a busy machine the clock says little.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkOne is a message through a lane: Offer, Take, Observe, Done.
func BenchmarkOne(b *testing.B) {
	for _, limited := range []bool{false, true} {
		b.Run(fmt.Sprint("limited ", limited), func(b *testing.B) {
			s, err := shaping.New(shaping.Options{})
			if err != nil {
				b.Fatal(err)
			}
			p := orange(provider.Limits{Connections: 10})
			if limited {
				p.Limits.PerMinute, p.Limits.PerHour, p.Limits.PerDay = 1<<40, 1<<40, 1<<40
			}
			k, it := key("orange"), shaping.Item{ID: mail.QueueID("q"), Customer: "a", Recipients: 1, Received: time.Now(), Route: "mx"}
			e := shaping.Event{Customer: "a", Accepted: true, Code: 250}
			b.ReportAllocs()
			began, n := cpu(b), 0
			defer func() { b.ReportMetric(float64(cpu(b)-began)/float64(n), "cpu-ns/op") }()
			for b.Loop() {
				n++
				if s.Offer(k, p, it) != nil {
					b.Fatal("parked")
				}
				it, ok := s.Take(b.Context(), k, "mx", 0)
				if !ok {
					b.Fatal("nothing")
				}
				s.Observe(k, e)
				s.Done(k, it)
			}
		})
	}
}

// BenchmarkMany is 20,000 messages of 500 customers in 50 lanes, in and out.
func BenchmarkMany(b *testing.B) {
	s, err := shaping.New(shaping.Options{Window: 40000})
	if err != nil {
		b.Fatal(err)
	}
	p := orange(provider.Limits{Connections: 10})
	var keys [50]shaping.Key
	for i := range keys {
		keys[i] = key(fmt.Sprint("p", i))
	}
	var items [20000]shaping.Item
	for i := range items {
		items[i] = shaping.Item{ID: "q", Customer: fmt.Sprint("c", i%500), Recipients: 1, Received: time.Now(), Route: "mx"}
	}
	b.ReportAllocs()
	began := cpu(b)
	for b.Loop() {
		for i := range items {
			if w := s.Offer(keys[i/7%50], p, items[i]); w != nil {
				b.Fatalf("parked: %v", w)
			}
		}
		for i := range items {
			k := keys[i/7%50]
			it, ok := s.Take(b.Context(), k, "mx", 0)
			if !ok {
				b.Fatal("nothing")
			}
			s.Done(k, it)
		}
	}
	b.ReportMetric(float64(cpu(b)-began)/float64(b.N)/20000, "cpu-ns/message")
}

func BenchmarkChoose(b *testing.B) {
	s, err := shaping.New(shaping.Options{Pools: []shaping.Pool{pool("default", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")}})
	if err != nil {
		b.Fatal(err)
	}
	p := orange(provider.Limits{})
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		if _, err := s.Choose("default", "orange", p, true, false, i); err != nil {
			b.Fatal(err)
		}
	}
}
