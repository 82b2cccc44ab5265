package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"postern/internal/journal"
)

// How the telling goes.
const (
	pollMin    = time.Second // between two looks while there is something new
	pollMax    = 5 * time.Second
	loadEvery  = 5 * time.Second // the hooks are read again, for acts of other processes
	saveEvery  = time.Minute     // positions of hooks that had nothing to tell
	turnTime   = 30 * time.Second
	batchMost  = 100    // events of one post
	pieceFacts = 1000   // facts of one reading
	laneFacts  = 500    // facts of one hook in memory
	totalFacts = 20_000 // facts of all hooks in memory
	fanPieces  = 20     // readings of one turn
	stintPosts = 10     // posts to one hook before others have their turn
	stintReads = 50     // readings for one hook before others have their turn
)

// pauses are the waits after the first, second, … failed attempt; the last repeats until giveUp.
var pauses = []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour}

// giveUp is how long a hook may fail before it is stopped.
const giveUp = 72 * time.Hour

// lane is one hook at work. Its fields belong to Webhooks.mu, but for buf and read while it is busy: then the fan only appends.
type lane struct {
	h    Hook
	buf  []journal.Fact // what is to be told, in order
	read int64          // every fact up to it is in buf, or told, or not for this hook
	kept int64          // position in the database
	busy bool
	n    int  // grows with each attempt: what was read before it is stale
	gone bool // void: removed, or changed by an act
}

// ready reports whether the lane is told facts as they come.
func (l *lane) ready() bool { return !l.gone && l.h.State() == Working }

// turn looks once: who posts, which hooks there are, what is new, who is due. news says that something was.
func (w *Webhooks) turn(ctx context.Context) (news bool, err error) {
	if ok, err := w.lead(ctx); err != nil || !ok {
		return false, err
	}
	if err := w.load(ctx); err != nil {
		return false, err
	}
	upTo, err := w.follow.Settled(ctx)
	if err != nil {
		return false, err
	}
	news, err = w.fan(ctx, upTo)
	if err != nil {
		return news, err
	}
	w.dispatch(ctx)
	return news, w.save(ctx, false)
}

// lead reports whether this process is the one that posts.
func (w *Webhooks) lead(ctx context.Context) (bool, error) {
	if w.db.Engine() != "postgres" {
		return true, nil
	}
	now := w.now()
	w.mu.Lock()
	left := w.leads.Sub(now)
	w.mu.Unlock()
	if left > turnTime*2/3 {
		return true, nil
	}
	mine, err := takeTurn(ctx, w.db, w.owner, now, now.Add(turnTime))
	if err != nil {
		return left > 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leads = now.Add(turnTime); !mine {
		w.leads = time.Time{}
		w.retire() // another has gone on from where we were
	}
	return mine, nil
}

// retire forgets all lanes. The caller holds mu.
func (w *Webhooks) retire() {
	for id, l := range w.lanes {
		w.drop(l)
		l.gone = true
		delete(w.lanes, id)
	}
	w.stale = true
}

// drop empties a lane's memory. The caller holds mu.
func (w *Webhooks) drop(l *lane) {
	w.held -= len(l.buf)
	l.buf = nil
	l.read = l.h.Position
}

// load reads the hooks when an act changed them, and now and then.
func (w *Webhooks) load(ctx context.Context) error {
	now := w.now()
	w.mu.Lock()
	due := w.stale || now.Sub(w.loaded) >= loadEvery || now.Before(w.loaded)
	w.stale = w.stale && !due
	seen := make(map[string]int, len(w.lanes))
	for id, l := range w.lanes {
		seen[id] = l.n
		if l.busy {
			seen[id] = -1
		}
	}
	w.mu.Unlock()
	if !due {
		return nil
	}
	hooks, err := readHooks(ctx, w.db, ``)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.stale = true
		return err
	}
	w.loaded = now
	there := make(map[string]bool, len(hooks))
	for _, h := range hooks {
		if h.Customer != "" && !w.o.Customer(h.Customer) {
			continue
		}
		there[h.ID] = true
		l := w.lanes[h.ID]
		if l == nil || l.h.era != h.era {
			if l != nil {
				w.drop(l)
				l.gone = true
			}
			w.lanes[h.ID] = &lane{h: h, read: h.Position, kept: h.Position}
			continue
		}
		if n, known := seen[h.ID]; known && n == l.n && !l.busy {
			h.Position = l.h.Position // memory is ahead where there was nothing to tell
			l.h = h
		}
		l.h.Settings, l.h.Secret, l.h.Former, l.h.FormerEnds, l.h.Paused = h.Settings, h.Secret, h.Former, h.FormerEnds, h.Paused
		if !l.ready() && !l.busy {
			w.drop(l)
		}
	}
	for id, l := range w.lanes {
		if !there[id] {
			w.drop(l)
			l.gone = true
			delete(w.lanes, id)
		}
	}
	return nil
}

// fan reads new facts once for all hooks that are up to date.
func (w *Webhooks) fan(ctx context.Context, upTo int64) (news bool, err error) {
	for range fanPieces {
		w.mu.Lock()
		head := w.head
		if head < 0 || head >= upTo {
			w.head = max(head, upTo)
			w.mu.Unlock()
			return news, nil
		}
		var live []*lane
		for _, l := range w.lanes {
			if l.read == head && l.ready() {
				live = append(live, l)
			}
		}
		w.mu.Unlock()
		news = true
		if len(live) == 0 {
			w.mu.Lock()
			w.head = upTo
			w.mu.Unlock()
			return news, nil
		}
		facts, to, err := w.j.After(ctx, "", head, upTo, pieceFacts)
		if err != nil {
			return news, err
		}
		w.hand(live, facts, head, to)
	}
	return news, nil
}

// hand gives facts from head to to to the lanes that wait for them.
func (w *Webhooks) hand(live []*lane, facts []journal.Fact, head, to int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := map[string][]*lane{}
	for _, l := range live {
		if l.read == head && l.ready() {
			of[l.h.Customer] = append(of[l.h.Customer], l)
			l.read = to
		}
	}
	give := func(l *lane, f *journal.Fact) {
		if l.read < f.ID || !l.h.wants(f) {
			return
		}
		if len(l.buf) >= laneFacts || w.held >= totalFacts {
			l.read = f.ID - 1 // it falls behind and reads for itself
			return
		}
		l.buf = append(l.buf, *f)
		w.held++
	}
	for i := range facts {
		f := &facts[i]
		for _, l := range of[""] {
			give(l, f)
		}
		if f.Customer != "" {
			for _, l := range of[f.Customer] {
				give(l, f)
			}
		}
	}
	w.head = to
}

// dispatchAgain looks for those who are due, between two turns.
func (w *Webhooks) dispatchAgain(ctx context.Context) {
	w.mu.Lock()
	stale := w.stale
	w.mu.Unlock()
	if stale {
		if ok, err := w.lead(ctx); err != nil || !ok {
			return
		}
		if err := w.load(ctx); err != nil {
			return // the next turn tries again, and says so
		}
	}
	w.dispatch(ctx)
}

// due reports whether a lane has something to do now. The caller holds mu.
func (w *Webhooks) due(l *lane, now time.Time) bool {
	if l.busy || l.gone || len(l.buf) == 0 && l.read >= w.head {
		return false
	}
	switch l.h.State() {
	case Working:
		return true
	case Failing:
		return !now.Before(l.h.Next)
	}
	return false
}

// until is how long Run may sleep.
func (w *Webhooks) until(wait time.Duration) time.Duration {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lanes {
		if l.h.State() == Failing && !l.busy {
			wait = min(wait, max(l.h.Next.Sub(now), pollMin))
		}
	}
	return wait
}

// dispatch sets to work who is due, as far as there is room: those that have waited longest first. Hooks that fail have half of the room.
func (w *Webhooks) dispatch(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*lane
	for _, l := range w.lanes {
		if w.due(l, now) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *lane) int { return cmp.Or(a.h.Last.Compare(b.h.Last), cmp.Compare(a.h.ID, b.h.ID)) })
	for _, l := range all {
		fails := l.h.State() == Failing
		if w.flying >= w.o.InFlight || fails && w.failing >= max(w.o.InFlight/2, 1) {
			continue
		}
		l.busy = true
		w.flying++
		if fails {
			w.failing++
		}
		w.work.Go(func() {
			w.stint(ctx, l)
			w.mu.Lock()
			l.busy = false
			w.flying--
			if fails {
				w.failing--
			}
			w.mu.Unlock()
			w.nudge()
		})
	}
}

// stint tells one hook what waits for it, for a while.
func (w *Webhooks) stint(ctx context.Context, l *lane) {
	for range stintPosts {
		if !w.fill(ctx, l) {
			return
		}
		if !w.tell(ctx, l) {
			return
		}
	}
}

// fill reads on for a lane that has nothing in memory. It is false when there is nothing to tell now.
func (w *Webhooks) fill(ctx context.Context, l *lane) bool {
	for range stintReads {
		w.mu.Lock()
		h, read, head, full := l.h, l.read, w.head, len(l.buf) > 0
		w.mu.Unlock()
		if full {
			return true
		}
		if read >= head || ctx.Err() != nil {
			return false
		}
		facts, to, err := w.j.After(ctx, h.Customer, read, head, laneFacts)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("webhooks: the journal cannot be read; will be tried again", "hook", h.ID, "error", err)
			}
			return false
		}
		facts = slices.DeleteFunc(facts, func(f journal.Fact) bool { return !h.wants(&f) })
		w.mu.Lock()
		if l.gone {
			w.mu.Unlock()
			return false
		}
		l.read = to
		l.buf = append(l.buf, facts...)
		w.held += len(facts)
		if len(l.buf) == 0 {
			l.h.Position = to
		}
		w.mu.Unlock()
	}
	return false
}

// tell makes the next post of a lane. It is true when it was taken and the next one may follow.
func (w *Webhooks) tell(ctx context.Context, l *lane) bool {
	w.mu.Lock()
	if l.gone || l.h.State() != Working && l.h.State() != Failing {
		w.drop(l)
		w.mu.Unlock()
		return false
	}
	n := min(len(l.buf), batchMost)
	if to := l.h.batchTo; to != 0 {
		if k := slices.IndexFunc(l.buf[:n], func(f journal.Fact) bool { return f.ID > to }); k > 0 {
			n = k
		}
	}
	h, batch := l.h, slices.Clone(l.buf[:n])
	w.mu.Unlock()

	p := postOf(&h, batch)
	now := w.now()
	answer := w.client.Post(ctx, h.URL, p.ID, marshal(p), now, h.secrets(now)...)
	if answer.Outcome != Taken && ctx.Err() != nil {
		return false // we broke it off
	}
	t := Attempt{At: now, Delivery: p.ID, Why: WhyFacts, Events: n, First: batch[0].ID, Last: batch[n-1].ID, Status: answer.Status, Outcome: answer.Outcome,
		Took: answer.Took.Round(time.Millisecond)}
	w.count(&t)
	h.settle(&t, answer.RetryAfter)
	valid, err := settleHook(context.WithoutCancel(ctx), w.db, &h, &t)
	if err != nil {
		w.log.Warn("webhooks: what came of a post is not written down; it may be sent again after a restart", "hook", h.ID, "error", err)
		valid = true
	}
	return w.settled(l, h, n, valid)
}

// settle notes what came of an attempt.
func (h *Hook) settle(t *Attempt, retryAfter time.Duration) {
	h.Last, h.LastStatus, h.LastOutcome = t.At, t.Status, t.Outcome
	if t.Outcome == Taken {
		h.Position, h.batchTo, h.FailingSince, h.Failures, h.Next = t.Last, 0, time.Time{}, 0, time.Time{}
		h.Taken += int64(t.Events)
		return
	}
	h.batchTo = t.Last
	if h.FailingSince.IsZero() {
		h.FailingSince = t.At
	}
	h.Failures++
	wait := pauses[min(h.Failures, len(pauses))-1]
	if retryAfter > 0 {
		wait = retryAfter
	}
	h.Next = t.At.Add(wait)
	switch {
	case t.Outcome == Gone:
		h.Stopped, h.StoppedAt = StoppedGone, t.At
	case t.At.Sub(h.FailingSince) >= giveUp:
		h.Stopped, h.StoppedAt = StoppedFailing, t.At
	}
}

// settled brings a lane up to what came of an attempt with n facts, and reports whether it may go on.
func (w *Webhooks) settled(l *lane, h Hook, n int, valid bool) bool {
	w.mu.Lock()
	l.n++
	if !valid || l.gone {
		w.drop(l)
		l.gone, w.stale = true, true
		if w.lanes[h.ID] == l {
			delete(w.lanes, h.ID)
		}
		w.mu.Unlock()
		return false
	}
	now := l.h // an act may have changed what it is asked to be meanwhile
	h.Settings, h.Secret, h.Former, h.FormerEnds, h.Paused = now.Settings, now.Secret, now.Former, now.FormerEnds, now.Paused
	l.h = h
	taken := h.LastOutcome == Taken
	if taken {
		l.kept = h.Position
		l.buf = slices.Delete(l.buf, 0, n)
		w.held -= n
		if len(l.buf) == 0 {
			l.buf, l.h.Position = nil, l.read
		}
	} else {
		w.drop(l)
	}
	w.mu.Unlock()
	switch {
	case h.Stopped != "":
		w.log.Warn("a webhook was stopped", "hook", h.ID, "account", h.Customer, "why", h.Stopped)
		w.o.Stopped(h)
	case !taken:
		w.log.Info("a webhook does not take a post, trying again", "hook", h.ID, "account", h.Customer, "outcome", h.LastOutcome, "status", h.LastStatus, "next", h.Next)
	}
	return taken
}

// save writes positions of hooks that had nothing to tell.
func (w *Webhooks) save(ctx context.Context, all bool) error {
	now := w.now()
	w.mu.Lock()
	if !all && now.Sub(w.saved) < saveEvery && !now.Before(w.saved) {
		w.mu.Unlock()
		return nil
	}
	w.saved = now
	var moved []Hook
	for _, l := range w.lanes {
		if !l.busy && !l.gone && len(l.buf) == 0 && l.ready() && l.read > l.kept {
			l.h.Position = l.read
			moved = append(moved, l.h)
			l.kept = l.read
		}
	}
	w.mu.Unlock()
	if len(moved) == 0 {
		return nil
	}
	return moveOn(ctx, w.db, moved)
}

// leave writes down where everybody is and lets another process post.
func (w *Webhooks) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := w.save(ctx, true)
	if err == nil && w.db.Engine() == "postgres" {
		err = yieldTurn(ctx, w.db, w.owner)
	}
	if err != nil {
		w.log.Warn("webhooks: positions not written down; facts that were for nobody are read again", "error", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retire()
	w.leads, w.head = time.Time{}, -1
}

// postOf makes the post of some facts. Its ID follows from the hook, its replays and the facts, so it is the same at each attempt.
func postOf(h *Hook, facts []journal.Fact) Post {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d %d %d", h.ID, h.round, facts[0].ID, facts[len(facts)-1].ID, len(facts)))
	p := Post{ID: hex.EncodeToString(sum[:13]), Events: make([]Event, 0, len(facts))}
	for i := range facts {
		p.Events = append(p.Events, eventOf(&facts[i], h.Customer == ""))
	}
	return p
}

// marshal writes a post. It has texts, finite numbers and times of our own only, which encoding/json always writes.
func marshal(p Post) []byte {
	b, _ := json.Marshal(p)
	return b
}
