package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/webhook"
)

// loopback is what tests may post to.
var loopback = webhook.Policy{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}

// room is a room under test with a clock of its own.
type room struct {
	*webhook.Webhooks
	j *journal.Journal

	clock *storetest.Clock

	mu      sync.Mutex
	stopped []webhook.Hook
}

func open(t *testing.T, db *store.DB, at time.Time) *room {
	t.Helper()
	r := &room{clock: storetest.NewClock(at)}
	var err error
	if r.j, err = journal.New(journal.Options{DB: db, Now: r.clock.Now}); err != nil {
		t.Fatal(err)
	}
	r.Webhooks, err = webhook.New(webhook.Options{DB: db, Journal: r.j, Policy: loopback, Now: r.clock.Now, Stopped: func(h webhook.Hook) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stopped = append(r.stopped, h)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func (r *room) turn(t *testing.T) {
	t.Helper()
	if err := webhook.Turn(t.Context(), r.Webhooks); err != nil {
		t.Fatal(err)
	}
}

// write appends n facts of a customer.
func (r *room) write(t *testing.T, customer string, n int) {
	t.Helper()
	facts := make([]journal.Fact, n)
	for i := range facts {
		facts[i] = journal.Fact{Kind: journal.Delivered, Customer: customer, QueueID: mail.NewQueueID(start), Recipient: fmt.Sprintf("%s-%d@remote.example", customer, i), Code: 250, Text: "ok"}
	}
	if err := r.j.Append(t.Context(), facts...); err != nil {
		t.Fatal(err)
	}
}

func (r *room) add(t *testing.T, customer, url string, events ...string) webhook.Hook {
	t.Helper()
	h, err := r.Add(t.Context(), customer, webhook.Settings{Label: "a test", URL: url, Events: events}, "operator:test")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (r *room) hook(t *testing.T, id string) webhook.Hook {
	t.Helper()
	h, err := r.Hook(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// receiver is a program that takes posts.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(n int, w http.ResponseWriter) // of attempt n from 1; nil: 200
	posts  []webhook.Post                     // those that were answered 2xx
	tries  []webhook.Post
	heads  []http.Header
	bodies [][]byte
}

func receive(t *testing.T, answer func(int, http.ResponseWriter)) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var p webhook.Post
	if err := json.Unmarshal(body, &p); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries, r.heads, r.bodies = append(r.tries, p), append(r.heads, req.Header), append(r.bodies, body)
	x := httptest.NewRecorder()
	if r.answer != nil {
		r.answer(len(r.tries), x)
	}
	if x.Code < 300 {
		r.posts = append(r.posts, p)
	}
	for k, v := range x.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(x.Code)
}

func (r *receiver) say(answer func(int, http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// events are those that were taken, in order.
func (r *receiver) events() (out []webhook.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.posts {
		out = append(out, p.Events...)
	}
	return out
}

func (r *receiver) attempts() []webhook.Post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tries)
}

func status(code int) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) { w.WriteHeader(code) }
}

// inOrder fails unless the events are n, each once, in the order of the journal.
func inOrder(t *testing.T, events []webhook.Event, n int) {
	t.Helper()
	if len(events) != n {
		t.Fatalf("%d events came, want %d", len(events), n)
	}
	last := int64(0)
	for _, e := range events {
		id, err := strconv.ParseInt(e.ID, 10, 64)
		if err != nil || id <= last {
			t.Fatalf("event %q after %d", e.ID, last)
		}
		last = id
	}
}

func each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	storetest.Each(t, store.MainSchema(), f)
}

func TestBurstInOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		in, all := receive(t, nil), receive(t, nil)
		r.write(t, "shop", 3) // before the hook: not told
		h := r.add(t, "shop", in.URL)
		r.add(t, "", all.URL)
		r.turn(t)
		for range 4 {
			r.write(t, "shop", 2000)
			r.write(t, "other", 500)
		}
		for range 3 {
			r.turn(t)
			r.clock.Add(time.Second)
		}
		inOrder(t, in.events(), 8000)
		inOrder(t, all.events(), 10_000)
		for _, e := range in.events() {
			if e.Customer != "shop" {
				t.Fatalf("an event of %q", e.Customer)
			}
		}
		for _, p := range in.attempts() {
			if len(p.Events) < 1 || len(p.Events) > 100 {
				t.Fatalf("a post has %d events", len(p.Events))
			}
		}
		if got := r.hook(t, h.ID); got.Taken != 8000 || got.State() != webhook.Working {
			t.Errorf("%d taken, %s", got.Taken, got.State())
		}
		if n := webhook.Held(r.Webhooks); n != 0 {
			t.Errorf("%d facts stay in memory", n)
		}
		list, err := r.Attempts(t.Context(), h.ID)
		if err != nil || len(list) > 100 || len(list) < 80 {
			t.Errorf("%d attempts, %v", len(list), err)
		}
	})
}

func TestRetryAndResume(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		in := receive(t, status(500))
		h := r.add(t, "shop", in.URL)
		r.write(t, "shop", 5)
		r.turn(t)
		waits := []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 3 * time.Hour}
		for i, d := range waits {
			if n := len(in.attempts()); n != i+1 {
				t.Fatalf("%d attempts before wait %d", n, i)
			}
			r.clock.Add(d - time.Second)
			r.turn(t)
			if n := len(in.attempts()); n != i+1 {
				t.Fatalf("attempt %d came before %s", n, d)
			}
			r.write(t, "shop", 1) // a post keeps its events
			r.clock.Add(time.Second)
			r.turn(t)
		}
		for _, p := range in.attempts() {
			if p.ID != in.attempts()[0].ID || len(p.Events) != 5 {
				t.Fatalf("the post changed: %s with %d events", p.ID, len(p.Events))
			}
		}
		if got := r.hook(t, h.ID); got.State() != webhook.Failing || got.LastStatus != 500 || got.Failures != 9 {
			t.Errorf("%s %d %d", got.State(), got.LastStatus, got.Failures)
		}
		for range 30 { // until it is given up
			r.clock.Add(3 * time.Hour)
			r.turn(t)
		}
		got := r.hook(t, h.ID)
		if got.State() != webhook.Stopped || got.Stopped != webhook.StoppedFailing || got.StoppedAt.Sub(got.FailingSince) < 72*time.Hour || got.StoppedAt.Sub(got.FailingSince) > 76*time.Hour {
			t.Errorf("%s %s after %s", got.State(), got.Stopped, got.StoppedAt.Sub(got.FailingSince))
		}
		if len(r.stopped) != 1 || r.stopped[0].ID != h.ID {
			t.Errorf("told %v", r.stopped)
		}
		n := len(in.attempts())
		r.write(t, "shop", 3)
		r.turn(t)
		if len(in.attempts()) != n {
			t.Error("a stopped hook is told")
		}
		if n, more, err := r.Waiting(t.Context(), &got); n != 16 || more || err != nil {
			t.Errorf("%d wait %v %v", n, more, err)
		}
		in.say(nil)
		if _, err := r.Resume(t.Context(), h.ID); err != nil {
			t.Fatal(err)
		}
		r.turn(t)
		inOrder(t, in.events(), 16)
		if p := in.attempts()[n]; p.ID != in.attempts()[0].ID {
			t.Error("the post has another ID after the resumption")
		}
	})
}

func TestRetryAfterAndGone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		in := receive(t, func(n int, w http.ResponseWriter) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader([]int{429, 503, 410}[min(n, 3)-1])
		})
		h := r.add(t, "shop", in.URL)
		r.write(t, "shop", 1)
		r.turn(t)
		for i := range 2 {
			if got := r.hook(t, h.ID); !got.Next.Equal(r.clock.Now().Add(90 * time.Second)) {
				t.Fatalf("next attempt at %s", got.Next)
			}
			r.clock.Add(89 * time.Second)
			r.turn(t)
			if n := len(in.attempts()); n != i+1 {
				t.Fatal("too early")
			}
			r.clock.Add(time.Second)
			r.turn(t)
		}
		if got := r.hook(t, h.ID); got.Stopped != webhook.StoppedGone {
			t.Errorf("stopped %q", got.Stopped)
		}
	})
}

func TestRestart(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		for _, orderly := range []bool{true, false} {
			r := open(t, db, start)
			in := receive(t, func(n int, w http.ResponseWriter) {
				if n > 4 {
					w.WriteHeader(500)
				}
			})
			h := r.add(t, "shop", in.URL)
			r.turn(t)
			r.write(t, "shop", 900)
			r.turn(t)
			if n := len(in.events()); n != 400 {
				t.Fatalf("%d events were taken", n)
			}
			failed := in.attempts()[4]
			at := r.clock.Now().Add(time.Minute)
			if orderly {
				webhook.Leave(t.Context(), r.Webhooks)
			}
			in.say(nil)
			r = open(t, db, at)
			r.write(t, "shop", 50)
			r.turn(t) // where a process was killed, another posts when its turn is over
			inOrder(t, in.events(), 950)
			if again := in.attempts()[5]; again.ID != failed.ID || len(again.Events) != len(failed.Events) {
				t.Error("the post that failed has another ID after the restart")
			}
			if err := r.Remove(t.Context(), h.ID); err != nil {
				t.Fatal(err)
			}
			webhook.Leave(t.Context(), r.Webhooks)
		}
	})
}

func TestDeadBesideLive(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		release := make(chan struct{})
		dead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}))
		defer dead.Close()
		defer close(release)
		live := receive(t, nil)
		for range 10 {
			r.add(t, "shop", dead.URL)
		}
		h := r.add(t, "other", live.URL)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		r.write(t, "shop", 10)
		r.write(t, "other", 300)
		for deadline := time.Now().Add(time.Minute); r.hook(t, h.ID).Taken < 300; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the live hook waits for the dead ones")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		inOrder(t, live.events(), 300)
	})
}

func TestPauseReplayAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		in := receive(t, nil)
		h := r.add(t, "shop", in.URL)
		r.turn(t)
		r.write(t, "shop", 10)
		r.turn(t)
		if _, err := r.Pause(t.Context(), h.ID); err != nil {
			t.Fatal(err)
		}
		r.clock.Add(time.Hour)
		r.write(t, "shop", 20)
		r.write(t, "other", 1)
		r.turn(t)
		inOrder(t, in.events(), 10)
		if _, err := r.Resume(t.Context(), h.ID); err != nil {
			t.Fatal(err)
		}
		r.turn(t)
		inOrder(t, in.events(), 30)
		seen := map[string]bool{}
		for _, p := range in.attempts() {
			seen[p.ID] = true
		}
		if _, err := r.Replay(t.Context(), h.ID, webhook.From{At: start.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		r.turn(t)
		if all := in.events(); len(all) != 50 {
			t.Fatalf("%d events after the replay", len(all))
		} else {
			inOrder(t, all[30:], 20)
			first, _ := strconv.ParseInt(all[3].ID, 10, 64)
			if _, err := r.Replay(t.Context(), h.ID, webhook.From{Fact: first}); err != nil {
				t.Fatal(err)
			}
		}
		posts := len(in.attempts())
		r.turn(t)
		inOrder(t, in.events()[50:], 27)
		for _, p := range in.attempts()[posts:] {
			if seen[p.ID] {
				t.Error("a replay repeats the ID of a post")
			}
		}
		one, _ := strconv.ParseInt(in.events()[0].ID, 10, 64)
		a, err := r.Again(t.Context(), h.ID, one)
		if err != nil || a.Outcome != webhook.Taken || in.events()[77].ID != in.events()[0].ID {
			t.Errorf("again: %+v %v", a, err)
		}
		if _, err := r.Again(t.Context(), h.ID, 31); err == nil { // the other customer's
			t.Error("another customer's fact is sent")
		}
		if a, err := r.Test(t.Context(), h.ID); err != nil || a.Outcome != webhook.Taken || in.events()[78].Event != "test" {
			t.Errorf("test: %+v %v", a, err)
		}
	})
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		r := open(t, db, start)
		in := receive(t, nil)
		for _, s := range []webhook.Settings{
			{URL: "http://hooks.example.org/"}, {URL: in.URL, Label: strings.Repeat("x", 101)}, {URL: in.URL, Events: []string{"message.read"}}, {URL: in.URL, Events: []string{"message.attempted"}},
		} {
			if _, err := r.Add(t.Context(), "shop", s, ""); err == nil {
				t.Errorf("%+v is taken", s)
			}
		}
		h := r.add(t, "shop", in.URL, "message.bounced")
		r.write(t, "shop", 5)
		r.turn(t)
		if len(in.attempts()) != 0 {
			t.Error("events that nobody chose are told")
		}
		if _, err := r.Update(t.Context(), h.ID, webhook.Settings{URL: in.URL}); err != nil {
			t.Fatal(err)
		}
		r.write(t, "shop", 5)
		r.turn(t)
		inOrder(t, in.events(), 5)
		for range 9 {
			r.add(t, "shop", in.URL)
		}
		if _, err := r.Add(t.Context(), "shop", webhook.Settings{URL: in.URL}, ""); err == nil {
			t.Error("an eleventh hook is taken")
		}
		old := h.Secret
		if h, err := r.Rotate(t.Context(), h.ID); err != nil || h.Secret == old || h.Former != old {
			t.Fatalf("%+v %v", h, err)
		}
		for _, tc := range []struct {
			wait time.Duration
			want int
		}{{0, 2}, {25 * time.Hour, 1}} {
			r.clock.Add(tc.wait)
			if _, err := r.Test(t.Context(), h.ID); err != nil {
				t.Fatal(err)
			}
			in.mu.Lock()
			sign, body := in.heads[len(in.heads)-1].Get("Postern-Signature"), in.bodies[len(in.bodies)-1]
			in.mu.Unlock()
			now := r.hook(t, h.ID)
			want := webhook.Sign(r.clock.Now(), body, [][]byte{[]byte(now.Secret), []byte(old)}[:tc.want]...)
			if sign != want {
				t.Errorf("signature %q, want %q", sign, want)
			}
		}
	})
}
