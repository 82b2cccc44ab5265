package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/webhook"
)

// Hook is a web address that is told of alarms.
type Hook struct {
	Name   string
	URL    string // https, or http on this machine
	Secret []byte // signs each post; at least 16 bytes
}

// minSecret is the least length of a secret in bytes.
const minSecret = 16

// CheckURL says whether alarms may be posted to an address: https anywhere, or http on this machine. Addresses come from the configuration.
func CheckURL(text string) error {
	err := policy().Check(text)
	if errors.Is(err, webhook.ErrScheme) {
		return errors.New("posts go by https, or by http on this machine")
	}
	return err
}

// policy is where alarms may go.
func policy() webhook.Policy { return webhook.Policy{Trusted: true} }

func (h Hook) check() error {
	if err := CheckURL(h.URL); err != nil {
		return fmt.Errorf("alarm: webhook %s: %w", h.Name, err)
	}
	if len(h.Secret) < minSecret {
		return fmt.Errorf("alarm: webhook %s: its secret has %d bytes; at least %d are needed", h.Name, len(h.Secret), minSecret)
	}
	return nil
}

// Post is what a webhook gets, as JSON, signed as webhook.Sign says; Postern-Delivery is
// ID, the same at each attempt, so that a receiver can leave out what it has seen.
type Post struct {
	ID    string            `json:"id"`
	Event string            `json:"event"` // "raised", "reminder", "cleared", "once", "test"
	At    time.Time         `json:"at"`
	Host  string            `json:"host"`
	Title map[string]string `json:"title"` // by language
	Text  map[string]string `json:"text"`
	Alarm
}

// compose makes the post of something to be told.
func (a *Alarms) compose(t telling) Post {
	p := Post{ID: string(mail.NewQueueID(t.at)), Event: t.event, At: t.at.UTC(), Host: a.o.Host, Alarm: t.Alarm, Title: map[string]string{}, Text: map[string]string{}}
	p.Since = p.Since.UTC()
	for _, lang := range locale.Languages() {
		p.Title[lang], p.Text[lang] = a.Title(lang, t.Alarm), a.Text(lang, t.Alarm)
	}
	return p
}

// pauses are the waits after a post's first, second, … failed attempt; the last repeats until keepPosts is over.
var pauses = []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour}

const (
	keepPosts = 72 * time.Hour
	maxPosts  = 1000 // waiting for one webhook; more push the oldest out
)

// waiting is a post that a webhook has not taken.
type waiting struct {
	id       string
	body     []byte
	made     time.Time
	attempts int
	next     time.Time
}

// lane is the queue of one webhook. Nobody else waits for it.
type lane struct {
	Hook
	o    *Options
	wake chan struct{}

	mu      sync.Mutex
	posts   []waiting // the oldest first
	latest  time.Time // made of the newest
	taken   int
	dropped int
	last    string // why the latest attempt failed; "" it did not
}

func newLane(h Hook, o *Options) *lane {
	return &lane{Hook: h, o: o, wake: make(chan struct{}, 1)}
}

// post queues a post: in the database first, so that what is taken is removed from there after it was put there; in memory also when the database
// does not answer. It is called from one goroutine.
func (l *lane) post(ctx context.Context, p Post) {
	body, err := json.Marshal(p)
	if err != nil { // a map of strings: cannot be
		l.o.Logger.Error("webhook post not written", "hook", l.Name, "error", err)
		return
	}
	w := waiting{id: p.ID, body: body, made: p.At, next: p.At}
	l.mu.Lock()
	if !w.made.After(l.latest) { // the order of a restart is that of made
		w.made = l.latest.Add(time.Microsecond)
	}
	l.latest = w.made
	l.mu.Unlock()
	if err := writePost(ctx, l.o.DB, l.Name, w); err != nil {
		l.o.Logger.Warn("webhook post is in memory only", "hook", l.Name, "error", err)
	}
	gone := ""
	l.mu.Lock()
	if l.posts = append(l.posts, w); len(l.posts) > maxPosts {
		gone = l.posts[0].id
		l.posts = l.posts[1:]
		l.dropped++
	}
	l.mu.Unlock()
	if gone != "" {
		l.forget(ctx, gone)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) forget(ctx context.Context, id string) {
	if err := removePost(context.WithoutCancel(ctx), l.o.DB, l.Name, id); err != nil {
		l.o.Logger.Warn("a webhook post will be sent again", "hook", l.Name, "id", id, "error", err)
	}
}

// recall reads what the webhook had not taken when the process ended. It is called before anything is posted.
func (l *lane) recall(ctx context.Context) {
	old, err := readPosts(ctx, l.o.DB, l.Name)
	if err != nil {
		l.o.Logger.Warn("webhook posts of before are not known", "hook", l.Name, "error", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.posts = old; len(old) > 0 {
		l.latest = old[len(old)-1].made
	}
}

// run sends, one post after the other, until ctx ends.
func (l *lane) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := l.sendDue(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// sendDue sends what is due, in order, and returns how long nothing is. A webhook that fails gets no other post before the first one's time.
func (l *lane) sendDue(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		l.mu.Lock()
		if len(l.posts) == 0 {
			l.mu.Unlock()
			return time.Hour
		}
		w := l.posts[0]
		l.mu.Unlock()
		now := l.o.Now()
		if w.next.After(now) {
			return w.next.Sub(now)
		}
		err := l.send(ctx, w, now)
		if err != nil && ctx.Err() != nil {
			return time.Hour
		}
		l.settle(ctx, w, err, now)
	}
	return time.Hour
}

// settle notes what came of an attempt made at now.
func (l *lane) settle(ctx context.Context, w waiting, err error, now time.Time) {
	w.attempts++
	w.next = now.Add(pauses[min(w.attempts, len(pauses))-1])
	over := err == nil || now.Sub(w.made) >= keepPosts
	l.mu.Lock()
	l.last = ""
	if err != nil {
		l.last = err.Error()
	}
	if len(l.posts) > 0 && l.posts[0].id == w.id { // else it was pushed out meanwhile
		if over {
			l.posts = l.posts[1:]
		} else {
			l.posts[0] = w
		}
	}
	switch {
	case err == nil:
		l.taken++
	case over:
		l.dropped++
	}
	l.mu.Unlock()
	switch {
	case over:
		l.forget(ctx, w.id)
		if err != nil {
			l.o.Logger.Error("webhook post given up", "hook", l.Name, "id", w.id, "attempts", w.attempts, "error", err)
		}
	default:
		l.o.Logger.Warn("webhook does not take a post, trying again", "hook", l.Name, "next", w.next, "error", err)
		if err := writePost(ctx, l.o.DB, l.Name, w); err != nil {
			l.o.Logger.Warn("webhook post is in memory only", "hook", l.Name, "error", err)
		}
	}
}

// send makes one attempt. Only 2xx is yes.
func (l *lane) send(ctx context.Context, w waiting, now time.Time) error {
	a := l.o.Client.Post(ctx, l.URL, w.id, w.body, now, l.Secret)
	switch {
	case a.Outcome == webhook.Taken:
		return nil
	case a.Status != 0:
		return fmt.Errorf("answered %d %s", a.Status, http.StatusText(a.Status))
	}
	return fmt.Errorf("no answer: %s", a.Outcome)
}

// HookStats is how one webhook fares.
type HookStats struct {
	Name    string `json:"name"`
	Waiting int    `json:"waiting"`
	Taken   int    `json:"taken"`   // since the start
	Dropped int    `json:"dropped"` // given up or pushed out since the start
	Last    string `json:"last,omitempty"`
}

// Hooks tells how the webhooks fare.
func (a *Alarms) Hooks() []HookStats {
	out := make([]HookStats, 0, len(a.lanes))
	for _, l := range a.lanes {
		l.mu.Lock()
		out = append(out, HookStats{l.Name, len(l.posts), l.taken, l.dropped, l.last})
		l.mu.Unlock()
	}
	return out
}

// Test posts to all webhooks, so that the operator sees whether they work. It does not wait; see Hooks.
func (a *Alarms) Test() {
	now := a.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tellLocked(telling{Alarm{Key: "test", Severity: Warning, Code: "test", Since: now}, "test", now})
}
