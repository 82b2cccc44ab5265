package delivery

import (
	"sync"
	"testing"

	"postern/internal/shaping"
)

func key(name string) shaping.Key { return shaping.Key{Provider: name} }

// TestSlots: a lane that holds its connections for ever leaves some for others; who waits gets what comes free, the one with the fewest first; the end
// frees all who wait.
func TestSlots(t *testing.T) {
	t.Parallel()
	var s slots
	s.init(8)
	ending := make(chan struct{})
	for i := range 6 {
		if !s.acquire(key("slow"), ending) {
			t.Fatal(i)
		}
	}
	var wg sync.WaitGroup
	got := make(chan string, 10)
	ask := func(name string) {
		wg.Go(func() {
			if s.acquire(key(name), ending) {
				got <- name
			}
		})
		for {
			s.mu.Lock()
			waits := len(s.waiting[key(name)]) > 0 || s.held[key(name)] > 0 && name != "slow"
			s.mu.Unlock()
			if waits {
				return
			}
		}
	}
	ask("slow") // has more than its share: it waits although two are free
	ask("other")
	if n := <-got; n != "other" {
		t.Fatalf("%s got the connection", n)
	}
	ask("third")
	if n := <-got; n != "third" {
		t.Fatalf("%s got the connection", n)
	}
	if s.wanted(key("slow")) || s.wanted(key("other")) {
		t.Error("nobody else waits, and a connection is wanted back")
	}
	wg.Go(func() {
		if s.acquire(key("fourth"), ending) {
			got <- "fourth"
		}
	})
	for !s.wanted(key("slow")) {
	}
	s.release(key("slow"))
	if n := <-got; n != "fourth" {
		t.Fatalf("%s got the connection", n)
	}
	close(ending)
	wg.Wait()
	if s.used != 8 || len(s.waiting) != 0 {
		t.Errorf("%d used, %d wait", s.used, len(s.waiting))
	}
	for name, n := range map[string]int{"slow": 5, "other": 1, "third": 1, "fourth": 1} {
		for range n {
			s.release(key(name))
		}
	}
	if s.used != 0 || len(s.held) != 0 {
		t.Errorf("%d used, %v held", s.used, s.held)
	}
}
