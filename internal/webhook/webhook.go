// Package webhook tells programs of customers and operators each fact of the journal: signed, in order, retried, replayable.
//
// # How it works
//
// There is no queue. Each hook has a position: the ID of the last fact that it has taken, or that is not for it. It reads on from there, so nothing is
// lost over restarts, and neither mail nor the journal ever waits for a webhook. Hooks that are up to date share one reader of the new facts; a hook that
// is behind picks its own customer's from stretches of everybody's, so that no index for it costs mail anything. Facts are read only as far as journal.Follower says that none is missing.
//
// A post has 1..100 events and one ID, the same at each attempt (Postern-Delivery). The next post begins when it was answered 2xx, so a receiver that
// answers in time sees the facts in order. He may see one twice: after a crash, and after an answer that did not reach us.
//
// # States
//
//	working -> failing (an attempt failed; the next one is after 10 s, 30 s, 2 min, 10 min, 30 min, 1 h, then every 3 h) -> working
//	failing -> stopped (after 3 days, or 410 Gone at once; the position stays) -> working, by Resume
//	working, failing -> paused (by Pause; the position stays) -> working, by Resume
//
// # Who may see what
//
// A customer's hook gets facts of that customer only, without the words that are for the operator (Hook.wants, eventOf). Hooks of the gateway get all.
// No post holds a part of a message but addresses and Message-ID.
//
// # Where posts go
//
// To the internet by https, and to networks that the configuration names (Policy). The host is asked of DNS at each connection and the address
// compared before it is used; redirects are not followed.
//
// # Who calls it
//
// portal and api: Add, Update, Rotate, Pause, Resume, Replay, Test, Again, Remove, Attempts. app: Run. alarm: Client, Policy, Sign.
//
// # How it fails
//
// A database that is out stops the reading; it goes on when the database is back. Several processes with one database: one posts, another takes over
// when it has been silent for 30 seconds.
package webhook

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"postern/internal/dns"
	"postern/internal/journal"
	"postern/internal/store"
)

// Errors that callers tell apart with errors.Is. What Policy.Check says is one, too.
var (
	ErrNotFound = errors.New("webhook: not found")
	ErrTooMany  = errors.New("webhook: there are as many as may be")
	ErrEvents   = errors.New("webhook: there is no such event")
	ErrLabel    = errors.New("webhook: the label is too long")
	ErrBusy     = errors.New("webhook: too much is being sent by hand; try again in a moment")
)

// Options is what New needs. DB and Journal are required.
type Options struct {
	DB       *store.DB // opened with store.MainSchema
	Journal  *journal.Journal
	Resolver dns.Resolver // nil: the system's
	Policy   Policy
	TLS      *tls.Config // certificate authorities; nil: the system's
	Logger   *slog.Logger
	Now      func() time.Time
	// Customer reports whether there is a customer of that name now: without him his hooks are told nothing. nil: there is.
	Customer func(id string) bool
	// Stopped hears of a hook that was switched off because it took nothing, and of one that goes on or is removed (h.Stopped is "" then). It must not wait.
	Stopped  func(h Hook)
	InFlight int // posts at once; default 16, of which half may be to hooks that fail
}

// Webhooks is the room. Its methods may be called from many goroutines.
type Webhooks struct {
	o      Options
	db     *store.DB
	j      *journal.Journal
	log    *slog.Logger
	client *Client
	follow *journal.Follower
	owner  string        // this process, where several share a database
	wake   chan struct{} // an act, or a post that ended
	byHand chan struct{} // slots of Test and Again

	mu      sync.Mutex
	lanes   map[string]*lane
	head    int64 // how far the shared reader has read; -1: not at all
	held    int   // facts in memory
	flying  int
	failing int // of flying: to hooks that fail
	stale   bool
	loaded  time.Time
	saved   time.Time
	leads   time.Time // until when this process posts
	stats   Stats
	work    sync.WaitGroup
}

// New checks the options. It opens nothing.
func New(o Options) (*Webhooks, error) {
	if o.DB == nil || o.Journal == nil {
		return nil, errors.New("webhook: database or journal is missing")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Customer == nil {
		o.Customer = func(string) bool { return true }
	}
	if o.Stopped == nil {
		o.Stopped = func(Hook) {}
	}
	if o.InFlight <= 0 {
		o.InFlight = 16
	}
	return &Webhooks{o: o, db: o.DB, j: o.Journal, log: o.Logger, client: NewClient(o.Policy, o.Resolver, o.TLS), follow: o.Journal.Follow(), owner: name(16),
		wake: make(chan struct{}, 1), byHand: make(chan struct{}, 4), lanes: map[string]*lane{}, head: -1, stale: true, stats: Stats{Posts: map[Outcome]int{}}}, nil
}

// name is a random name of lower-case letters and digits.
func name(length int) string {
	b := make([]byte, length)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))[:length]
}

// newSecret is 256 random bits as text. Its bytes as they stand sign.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return "whsec_" + base64.RawURLEncoding.EncodeToString(b)
}

// now is the clock, cut to what the database keeps.
func (w *Webhooks) now() time.Time { return w.o.Now().UTC().Truncate(time.Microsecond) }

// Check says whether posts may go to an address.
func (w *Webhooks) Check(url string) error { return w.o.Policy.Check(url) }

// nudge makes Run look again.
func (w *Webhooks) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// changed makes Run read the hooks again.
func (w *Webhooks) changed() {
	w.mu.Lock()
	w.stale = true
	w.mu.Unlock()
	w.nudge()
}

// Stats is how the room fares, of this process since its start.
type Stats struct {
	Working, Failing, Paused, Stopped int             // hooks
	Behind                            int             // working or failing hooks that have not read everything
	Buffered                          int             // facts in memory that wait for their post
	Posts                             map[Outcome]int // attempts by outcome
	Events                            int             // events that were taken
}

// Stats tells how the room fares.
func (w *Webhooks) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Posts = make(map[Outcome]int, len(w.stats.Posts))
	for k, n := range w.stats.Posts {
		s.Posts[k] = n
	}
	s.Buffered = w.held
	for _, l := range w.lanes {
		switch l.h.State() {
		case Working:
			s.Working++
		case Failing:
			s.Failing++
		case Paused:
			s.Paused++
			continue
		case Stopped:
			s.Stopped++
			continue
		}
		if len(l.buf) > 0 || l.read < w.head {
			s.Behind++
		}
	}
	return s
}

// Run posts until ctx ends. Then what is under way is broken off; it is sent again after the next start, with the same ID.
func (w *Webhooks) Run(ctx context.Context) error {
	wait := pollMin
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			w.work.Wait()
			w.leave(context.WithoutCancel(ctx))
			return nil
		case <-w.wake:
			w.dispatchAgain(ctx)
			continue
		case <-timer.C:
		}
		news, err := w.turn(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			w.log.Warn("webhooks: the journal cannot be read; will be tried again", "error", err)
			wait = pollMax
		case news:
			wait = pollMin
		default:
			wait = min(wait+pollMin, pollMax)
		}
		timer.Reset(w.until(wait))
	}
}
