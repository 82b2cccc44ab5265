package spool_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/mail"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestStress: accepting, delivering and people's orders at once, with a window far too small: no recipient is in two
// attempts, every message ends exactly once, nothing sits silent.
func TestStress(t *testing.T) {
	storetest.Each(t, store.SpoolSchema(), func(t *testing.T, db *store.DB) {
		s := open(t, db, nil, func(o *spool.Options) { o.Window, o.CacheBytes = 20, 100_000 })
		must(t, s.Start(t.Context()))
		const producers, domains = 6, 3
		each := 40
		if testing.Short() {
			each = 10
		}
		var mu sync.Mutex
		var known []mail.QueueID
		inAttempt := map[string]bool{}
		ended := map[string]int{}
		var left atomic.Int64
		left.Store(int64(producers * each * domains))
		some := func() (mail.QueueID, bool) {
			mu.Lock()
			defer mu.Unlock()
			if len(known) == 0 {
				return "", false
			}
			return known[rand.IntN(len(known))], true
		}
		var wg sync.WaitGroup
		for range producers {
			wg.Go(func() {
				for range each {
					m := message(time.Now(), 200+rand.IntN(6000), "a.example", "b.example", "c.example")
					if err := s.Put(t.Context(), m); err != nil {
						t.Error(err)
					}
					mu.Lock()
					known = append(known, m.ID)
					mu.Unlock()
				}
			})
		}
		worker := func() {
			for left.Load() > 0 && !t.Failed() {
				works, err := s.Claim(t.Context(), 1+rand.IntN(8))
				if err != nil {
					t.Error(err)
					return
				}
				var out []spool.Outcome
				for _, w := range works {
					mu.Lock()
					for _, r := range w.Recipients {
						key := fmt.Sprint(w.ID, r.Index)
						if inAttempt[key] || ended[key] > 0 {
							t.Errorf("%s claimed: in attempt %v, ended %d", key, inAttempt[key], ended[key])
						}
						inAttempt[key] = true
					}
					mu.Unlock()
					if _, err := s.Body(t.Context(), w.ID); err != nil {
						t.Error(err)
					}
					switch rand.IntN(4) {
					case 0:
						mu.Lock()
						for _, r := range w.Recipients {
							delete(inAttempt, fmt.Sprint(w.ID, r.Index))
						}
						mu.Unlock()
						s.UnclaimWork(w)
					default:
						for _, r := range w.Recipients {
							o := spool.Outcome{ID: w.ID, Index: r.Index, State: spool.Delivered, Attempted: true}
							if rand.IntN(3) == 0 {
								o.State, o.NextAt = spool.Queued, time.Now().Add(time.Duration(rand.IntN(20))*time.Millisecond)
							}
							out = append(out, o)
						}
					}
				}
				mu.Lock()
				for _, o := range out {
					key := fmt.Sprint(o.ID, o.Index)
					delete(inAttempt, key)
					if o.State.Final() {
						ended[key]++
					}
				}
				mu.Unlock()
				if err := s.Settle(t.Context(), out...); err != nil {
					t.Error(err)
				}
				for _, o := range out {
					if o.State.Final() {
						left.Add(-1)
					}
				}
			}
		}
		for range 4 {
			wg.Go(worker)
		}
		wg.Go(func() { // people
			for n := 0; left.Load() > 0 && !t.Failed(); n++ {
				id, ok := some()
				if !ok {
					continue
				}
				var err error
				switch rand.IntN(5) {
				case 0, 1:
					if err = s.Hold(t.Context(), id, "operator", time.Time{}); err == nil {
						err = s.Release(t.Context(), id)
					}
				case 2:
					err = s.Retry(t.Context(), id)
				case 3:
					err = s.SetVerdict(t.Context(), id, 1, nil)
				default:
					if n%10 == 0 {
						_, err = s.RetryAll(t.Context())
					}
				}
				if err != nil && !errors.Is(err, spool.ErrNotFound) {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		st := stats(t, s)
		if st.Queued+st.Held+st.Claimed != 0 || st.Window > 25 || st.Mended != 0 {
			t.Errorf("at the end %+v", st)
		}
		if len(ended) != producers*each*domains {
			t.Errorf("%d recipients ended, want %d", len(ended), producers*each*domains)
		}
	})
}
