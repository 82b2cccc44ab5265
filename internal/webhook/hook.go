package webhook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"postern/internal/journal"
	"postern/internal/store"
)

// Bounds of hooks.
const (
	maxCustomerHooks = 10
	maxGatewayHooks  = 20
	maxLabel         = 100 // characters
	overlap          = 24 * time.Hour
	attemptsKept     = 100 // of each hook
	waitingMost      = 1000
)

// State is how a hook is.
type State string

// The states.
const (
	Working State = "working"
	Failing State = "failing" // the last attempt failed and the next one is planned
	Paused  State = "paused"  // by a person
	Stopped State = "stopped" // by the gateway; Hook.Stopped says why
)

// Why a hook was stopped.
const (
	StoppedFailing = "failing" // it took nothing for three days
	StoppedGone    = "gone"    // it answered 410 Gone
)

// Settings are what is chosen of a hook.
type Settings struct {
	Label  string
	URL    string
	Events []string // words of Events; none: all
}

// Hook is one address that is told of facts.
type Hook struct {
	ID       string
	Customer string // account.Customer.ID; "" the gateway's: it sees the facts of all
	Settings
	Secret     string // signs posts
	Former     string // signs, too, until FormerEnds; "" there is none
	FormerEnds time.Time
	MadeBy     string // user.Principal.Actor
	Created    time.Time

	Paused       bool
	Stopped      string // StoppedFailing, StoppedGone; "" it is not
	StoppedAt    time.Time
	FailingSince time.Time // zero: the last attempt was taken
	Failures     int       // attempts that failed since then
	Next         time.Time // the next attempt while it fails
	Last         time.Time // the last attempt; zero: none yet
	LastStatus   int       // of HTTP; 0: no answer
	LastOutcome  Outcome
	Taken        int64 // events in all
	Position     int64 // every fact up to this ID is taken, or not for this hook

	era     int64 // grows with each act that makes what is under way void
	round   int64 // of replays
	batchTo int64 // last fact of the post that is being tried again; 0: none
}

// State is how the hook is.
func (h *Hook) State() State {
	switch {
	case h.Stopped != "":
		return Stopped
	case h.Paused:
		return Paused
	case !h.FailingSince.IsZero():
		return Failing
	}
	return Working
}

// secrets are those that sign now, the present one first.
func (h *Hook) secrets(now time.Time) [][]byte {
	out := [][]byte{[]byte(h.Secret)}
	if h.Former != "" && now.Before(h.FormerEnds) {
		out = append(out, []byte(h.Former))
	}
	return out
}

// check puts settings in order, or refuses them.
func (w *Webhooks) check(s *Settings, gateway bool) error {
	s.Label, s.URL = strings.TrimSpace(s.Label), strings.TrimSpace(s.URL)
	if utf8.RuneCountInString(s.Label) > maxLabel {
		return ErrLabel
	}
	if err := w.o.Policy.Check(s.URL); err != nil {
		return err
	}
	known := Events(gateway)
	s.Events = slices.Compact(slices.Sorted(slices.Values(s.Events)))
	for _, e := range s.Events {
		if !slices.ContainsFunc(known, func(k EventKind) bool { return k.Word == e }) {
			return fmt.Errorf("%w: %q", ErrEvents, e)
		}
	}
	return nil
}

// Add makes a hook, which is told what happens from now on. by is the actor who made it.
func (w *Webhooks) Add(ctx context.Context, customer string, s Settings, by string) (Hook, error) {
	if err := w.check(&s, customer == ""); err != nil {
		return Hook{}, err
	}
	position, err := w.follow.Settled(ctx)
	if err != nil {
		return Hook{}, err
	}
	h := Hook{ID: name(10), Customer: customer, Settings: s, Secret: newSecret(), MadeBy: by, Created: w.now(), Position: position, era: 1}
	most := maxCustomerHooks
	if customer == "" {
		most = maxGatewayHooks
	}
	if err := insertHook(ctx, w.db, &h, most); err != nil {
		return Hook{}, err
	}
	w.changed()
	return h, nil
}

// Hook returns a hook, or ErrNotFound.
func (w *Webhooks) Hook(ctx context.Context, id string) (Hook, error) {
	hooks, err := readHooks(ctx, w.db, `WHERE id = ?`, id)
	switch {
	case err != nil:
		return Hook{}, err
	case len(hooks) == 0:
		return Hook{}, ErrNotFound
	}
	return hooks[0], nil
}

// Query selects hooks.
type Query struct {
	Customer  string // whose; "" the gateway's
	Everybody bool   // those of all instead
	After     string // the ID before the page
	Limit     int    // 1..200, default 100
}

// List returns a page of hooks in the order of their IDs; next is After of the following page, "" after the last.
func (w *Webhooks) List(ctx context.Context, q Query) (hooks []Hook, next string, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 200)
	if q.Everybody {
		hooks, err = readHooks(ctx, w.db, `WHERE id > ? ORDER BY id LIMIT ?`, q.After, q.Limit+1)
	} else {
		hooks, err = readHooks(ctx, w.db, `WHERE customer = ? AND id > ? ORDER BY id LIMIT ?`, q.Customer, q.After, q.Limit+1)
	}
	if err != nil {
		return nil, "", err
	}
	if len(hooks) > q.Limit {
		hooks = hooks[:q.Limit]
		next = hooks[q.Limit-1].ID
	}
	return hooks, next, nil
}

// alter reads a hook, lets act change it and writes it back, in one transaction. Acts that make void what is under way raise era.
func (w *Webhooks) alter(ctx context.Context, id string, act func(h *Hook) error) (Hook, error) {
	h, err := alterHook(ctx, w.db, id, func(h *Hook) error {
		h.Position = max(h.Position, w.reached(h))
		return act(h)
	})
	if err != nil {
		return Hook{}, err
	}
	w.changed()
	return h, nil
}

// reached is how far a hook without anything to tell has come: the database hears of it now and then only.
func (w *Webhooks) reached(h *Hook) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.lanes[h.ID]; l != nil && !l.busy && len(l.buf) == 0 && l.h.era == h.era && l.ready() {
		return l.read
	}
	return 0
}

// Update changes what is chosen.
func (w *Webhooks) Update(ctx context.Context, id string, s Settings) (Hook, error) {
	return w.alter(ctx, id, func(h *Hook) error {
		given := s
		given.Events = slices.Clone(s.Events)
		if err := w.check(&given, h.Customer == ""); err != nil {
			return err
		}
		if given.URL != h.URL || !slices.Equal(given.Events, h.Events) {
			h.afresh()
		}
		h.Settings = given
		return nil
	})
}

// afresh makes void what is under way and forgets failures, so that the next post is made anew and soon.
func (h *Hook) afresh() {
	h.era++
	h.batchTo, h.FailingSince, h.Failures, h.Next = 0, time.Time{}, 0, time.Time{}
}

// Rotate gives a hook a new secret. The former one signs, too, for 24 hours.
func (w *Webhooks) Rotate(ctx context.Context, id string) (Hook, error) {
	return w.alter(ctx, id, func(h *Hook) error {
		h.Former, h.FormerEnds = h.Secret, w.now().Add(overlap)
		h.Secret = newSecret()
		return nil
	})
}

// Pause stops the telling until Resume. Nothing is lost meanwhile.
func (w *Webhooks) Pause(ctx context.Context, id string) (Hook, error) {
	return w.alter(ctx, id, func(h *Hook) error {
		h.Paused = true
		return nil
	})
}

// Resume goes on where the hook was, at once, whether it was paused, stopped or failing.
func (w *Webhooks) Resume(ctx context.Context, id string) (Hook, error) {
	h, err := w.alter(ctx, id, func(h *Hook) error {
		to := h.batchTo
		h.afresh()
		h.batchTo = to // the post that failed keeps its events
		h.Paused, h.Stopped, h.StoppedAt = false, "", time.Time{}
		return nil
	})
	if err == nil {
		w.o.Stopped(h)
	}
	return h, err
}

// From is where a replay begins: at a fact, or at a time where Fact is 0.
type From struct {
	Fact int64
	At   time.Time
}

// Replay tells everything again from a fact or a time on, as far back as the journal goes. Events keep their IDs, posts have new ones.
func (w *Webhooks) Replay(ctx context.Context, id string, from From) (Hook, error) {
	position := from.Fact - 1
	if from.Fact <= 0 {
		var err error
		if position, err = w.j.Before(ctx, from.At); err != nil {
			return Hook{}, err
		}
	}
	settled, err := w.follow.Settled(ctx)
	if err != nil {
		return Hook{}, err
	}
	return w.alter(ctx, id, func(h *Hook) error {
		h.afresh()
		h.round++
		h.Position = min(position, settled)
		return nil
	})
}

// Remove takes a hook away, with its attempts.
func (w *Webhooks) Remove(ctx context.Context, id string) error {
	h, err := w.Hook(ctx, id)
	if err != nil {
		return err
	}
	if err := removeHook(ctx, w.db, id); err != nil {
		return err
	}
	w.changed()
	h.Stopped = ""
	w.o.Stopped(h)
	return nil
}

// Why an attempt was made.
const (
	WhyFacts = "facts" // in the order of the journal
	WhyAgain = "again" // by Again
	WhyTest  = "test"  // by Test
)

// Attempt is one post.
type Attempt struct {
	At          time.Time
	Delivery    string
	Why         string // WhyFacts, WhyAgain, WhyTest
	Events      int
	First, Last int64 // IDs of facts; 0 of a test
	Status      int   // of HTTP; 0: no answer
	Outcome     Outcome
	Took        time.Duration // to the millisecond
}

// Attempts returns the last attempts of a hook, at most 100, the newest first.
func (w *Webhooks) Attempts(ctx context.Context, id string) ([]Attempt, error) {
	return readAttempts(ctx, w.db, id, attemptsKept)
}

// Waiting counts the events that a hook has not taken; more says that there are others.
func (w *Webhooks) Waiting(ctx context.Context, h *Hook) (n int, more bool, err error) {
	found, more, err := w.j.Later(ctx, h.Customer, h.Position, waitingMost)
	for kind, count := range found {
		if h.wants(&journal.Fact{Kind: kind, Customer: h.Customer}) {
			n += count
		}
	}
	return n, more, err
}

// Test posts an event "test" at once and says what came of it. The state of the hook does not change.
func (w *Webhooks) Test(ctx context.Context, id string) (Attempt, error) {
	h, err := w.Hook(ctx, id)
	if err != nil {
		return Attempt{}, err
	}
	e := Event{ID: "0", Event: testWord, At: w.now(), Customer: h.Customer}
	return w.sendByHand(ctx, &h, WhyTest, []Event{e}, 0)
}

// Again posts one fact again at once and says what came of it; journal.ErrNoFact where it is not there, or not for this hook. The position stays.
func (w *Webhooks) Again(ctx context.Context, id string, fact int64) (Attempt, error) {
	h, err := w.Hook(ctx, id)
	if err != nil {
		return Attempt{}, err
	}
	f, err := w.j.Fact(ctx, fact)
	if err != nil {
		return Attempt{}, err
	}
	all := h
	all.Events = nil
	if !all.wants(&f) {
		return Attempt{}, journal.ErrNoFact
	}
	return w.sendByHand(ctx, &h, WhyAgain, []Event{eventOf(&f, h.Customer == "")}, f.ID)
}

// sendByHand makes one post out of turn.
func (w *Webhooks) sendByHand(ctx context.Context, h *Hook, why string, events []Event, fact int64) (Attempt, error) {
	select {
	case w.byHand <- struct{}{}:
		defer func() { <-w.byHand }()
	default:
		return Attempt{}, ErrBusy
	}
	now := w.now()
	p := Post{ID: name(26), Events: events}
	a := w.client.Post(ctx, h.URL, p.ID, marshal(p), now, h.secrets(now)...)
	t := Attempt{At: now, Delivery: p.ID, Why: why, Events: len(events), First: fact, Last: fact, Status: a.Status, Outcome: a.Outcome, Took: a.Took.Round(time.Millisecond)}
	w.count(&t)
	if err := noteAttempt(context.WithoutCancel(ctx), w.db, h.ID, &t); err != nil && !errors.Is(err, store.ErrConflict) {
		return t, err
	}
	return t, nil
}

// count adds an attempt to the figures.
func (w *Webhooks) count(t *Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Posts[t.Outcome]++
	if t.Outcome == Taken && t.Why == WhyFacts {
		w.stats.Events += t.Events
	}
}
