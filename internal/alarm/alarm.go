// Package alarm tells the operator what he must know now: by mail, and by webhooks in a lane of their own, signed and retried, that never passes
// through the mail queue.
//
// # States
//
// What is raised stays raised until it is cleared. The operator is told when it begins, every Options.Remind while it lasts, and by webhook when it
// ends. What happens once (Tell) is told once, and the same matter not again within Options.Remind. What is raised and what a webhook has not
// taken yet is kept in the database, so that a restart neither repeats nor forgets it; without the database both go on from memory, because
// that the database is out is a thing to tell.
//
// # History
//
// What was told stands in the history (History) for Options.Keep: the words, to whom, when it ended, how often it was told again.
//
// # Several nodes
//
// Nodes that share a database tell the operator of one matter once, whichever of them raises it, tells it again or clears it: who begins or ends the line of the history
// is the one that tells. A matter that stands at one node when another clears its own is told again as a reminder.
//
// # What it does not
//
// It finds nothing out by itself but what the queue's figures say (Watch). It decides no measure.
//
// # Who calls it
//
// app raises and clears; portal, api and cli show Raised and History.
//
// # How it fails
//
// A webhook that does not answer is tried again for three days, then the post is dropped and counted (Stats). Mail that cannot be queued is tried again at
// the next look.
package alarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"postern/internal/locale"
	"postern/internal/store"
	"postern/internal/webhook"
)

// Severity of an alarm.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Alarm is a state that the operator must know of.
type Alarm struct {
	Key      string   `json:"key"` // what it is about, stable: "queue.lane orange 192.0.2.10"
	Severity Severity `json:"severity"`
	Code     string   `json:"code"` // the sentences: locale alarm.CODE.title and alarm.CODE.text
	// Args are what the sentences are filled with. One that is a sentence itself may have its French beside it: "Why" and "Why.fr".
	Args  map[string]string `json:"args,omitempty"`
	Since time.Time         `json:"since"`
}

// Options is what New needs.
type Options struct {
	DB      *store.DB // with store.MainSchema
	Catalog *locale.Catalog
	Host    string // the gateway's name, for posts
	// Mail tells the operator by mail. nil: no mail.
	Mail   func(ctx context.Context, key, subject, text string) error
	To     string // the address that Mail writes to, for the history
	Hooks  []Hook
	Remind time.Duration   // default 24 h
	Keep   time.Duration   // how long the history is kept; default 365 days
	Most   int             // lines of the history at most; default and maximum 100,000
	Client *webhook.Client // posts; nil: one that may go where CheckURL says
	Logger *slog.Logger
	Now    func() time.Time
}

// Alarms is the room. Its methods may be called from many goroutines; Raise, Clear, Tell and Raised do not wait.
type Alarms struct {
	o     Options
	lanes []*lane
	wake  chan struct{}

	mu     sync.Mutex
	raised map[string]*standing
	once   map[string]time.Time // what was told once, and when
	dirty  map[string]bool      // keys whose row is not as memory has it
	todo   []telling
	loaded bool

	unwritten []record  // of the history
	forgot    time.Time // when old lines were removed last; Run's alone
}

// standing is an alarm that is raised.
type standing struct {
	Alarm
	told time.Time // when the operator last heard of it by mail
}

// telling is something to be told.
type telling struct {
	Alarm
	event string // "raised", "reminder", "cleared", "once"
	at    time.Time
}

// The bounds of memory: more is not remembered and said in the log.
const (
	maxRaised = 1000
	maxOnce   = 5000
)

// New checks the options. It opens nothing.
func New(o Options) (*Alarms, error) {
	if o.DB == nil || o.Catalog == nil {
		return nil, errors.New("alarm: database or catalogue is missing")
	}
	if o.Remind == 0 {
		o.Remind = 24 * time.Hour
	}
	if o.Keep == 0 {
		o.Keep = 365 * 24 * time.Hour
	}
	if o.Most <= 0 || o.Most > mostLines {
		o.Most = mostLines
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = webhook.NewClient(policy(), nil, nil)
	}
	a := &Alarms{o: o, wake: make(chan struct{}, 1), raised: map[string]*standing{}, once: map[string]time.Time{}, dirty: map[string]bool{}}
	names := map[string]bool{}
	for _, h := range o.Hooks {
		if err := h.check(); err != nil {
			return nil, err
		}
		if names[h.Name] {
			return nil, fmt.Errorf("alarm: two webhooks are called %q", h.Name)
		}
		names[h.Name] = true
		a.lanes = append(a.lanes, newLane(h, &a.o))
	}
	return a, nil
}

// Raise begins an alarm, or goes on with it under new figures. Since is kept from the beginning.
func (a *Alarms) Raise(x Alarm) {
	now := a.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.raised[x.Key]; s != nil {
		worse := s.Severity == Warning && x.Severity == Critical
		x.Since = s.Since
		s.Alarm = x
		if worse {
			s.told = now
			a.tellLocked(telling{x, "raised", now})
			a.dirty[x.Key] = true
		}
		return
	}
	if len(a.raised) >= maxRaised {
		a.o.Logger.Error("too many alarms stand: one is not kept", "alarm", x.Key)
		return
	}
	if x.Since.IsZero() {
		x.Since = now
	}
	a.raised[x.Key] = &standing{Alarm: x, told: now}
	a.dirty[x.Key] = true
	a.tellLocked(telling{x, "raised", now})
}

// Clear ends the alarm of that key, if there is one.
func (a *Alarms) Clear(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.raised[key]
	if s == nil {
		return
	}
	delete(a.raised, key)
	a.dirty[key] = true
	a.tellLocked(telling{s.Alarm, "cleared", a.o.Now()})
}

// Tell is for what happens once and has no end. The same key is not told again within Options.Remind.
func (a *Alarms) Tell(x Alarm) {
	now := a.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, told := a.once[x.Key]; told && now.Sub(last) < a.o.Remind {
		return
	}
	if len(a.once) >= maxOnce {
		clear(a.once)
	}
	a.once[x.Key] = now
	if x.Since.IsZero() {
		x.Since = now
	}
	a.tellLocked(telling{x, "once", now})
}

// tellLocked puts something on the list of what is to be told.
func (a *Alarms) tellLocked(t telling) {
	if len(a.todo) < maxRaised {
		a.todo = append(a.todo, t)
	}
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Raised returns what stands, the oldest first.
func (a *Alarms) Raised() []Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]Alarm, 0, len(a.raised))
	for _, s := range a.raised {
		out = append(out, s.Alarm)
	}
	slices.SortFunc(out, func(x, y Alarm) int { return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Key, y.Key)) })
	return out
}

// Title is the alarm in one line.
func (a *Alarms) Title(lang string, x Alarm) string {
	return a.o.Catalog.Text(lang, "alarm."+x.Code+".title", args(lang, x))
}

// Text is what it means and what to do.
func (a *Alarms) Text(lang string, x Alarm) string {
	return a.o.Catalog.Text(lang, "alarm."+x.Code+".text", args(lang, x))
}

// args are the arguments in a language.
func args(lang string, x Alarm) map[string]any {
	out := locale.ArgsOf(x.Args)
	for k := range x.Args {
		if own, ok := x.Args[k+"."+lang]; ok {
			out[k] = own
		}
	}
	return out
}

// Run tells. It returns nil when ctx ends; what is not told by then is kept.
func (a *Alarms) Run(ctx context.Context) error {
	var hooks sync.WaitGroup
	for _, l := range a.lanes {
		l.recall(ctx)
		hooks.Go(func() { l.run(ctx) })
	}
	defer hooks.Wait()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		a.load(ctx)
		a.work(ctx)
		a.forget(ctx)
		select {
		case <-ctx.Done():
			a.work(ctx) // what came last is written down and waits for the next start
			return nil
		case <-a.wake:
		case <-tick.C:
			a.remind()
		}
	}
}

// load reads once what stood when the process ended.
func (a *Alarms) load(ctx context.Context) {
	if a.loaded {
		return
	}
	var rows []standing
	var once map[string]time.Time
	err := a.o.DB.Write(ctx, func(tx *store.Tx) (err error) {
		if rows, err = lockStanding(tx); err != nil {
			return err
		}
		for _, s := range rows { // of a version without a history, or written down halfway
			if _, _, err := begin(tx, record{telling: telling{s.Alarm, "raised", s.told}}, a.o.Remind); err != nil {
				return err
			}
		}
		once, err = readOnce(tx, a.o.Now().Add(-a.o.Remind))
		return err
	})
	if err != nil {
		a.o.Logger.Warn("alarms of before are not known yet", "error", err)
		return
	}
	a.loaded = true
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, at := range once {
		if _, told := a.once[key]; !told {
			a.once[key] = at
		}
	}
	for _, s := range rows {
		if now := a.raised[s.Key]; now != nil { // raised anew before the database answered
			now.Since = s.Since
			a.todo = slices.DeleteFunc(a.todo, func(t telling) bool { return t.Key == s.Key && t.event == "raised" && t.Severity == s.Severity })
			continue
		}
		if a.dirty[s.Key] { // cleared meanwhile
			continue
		}
		a.raised[s.Key] = &s
	}
}

// remind tells again of what has stood for long.
func (a *Alarms) remind() {
	now := a.o.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, s := range a.raised {
		if now.Sub(s.told) >= a.o.Remind {
			s.told = now
			a.dirty[key] = true
			a.tellLocked(telling{s.Alarm, "reminder", now})
		}
	}
	maps.DeleteFunc(a.once, func(_ string, at time.Time) bool { return now.Sub(at) >= a.o.Remind })
}

// work tells what is on the list and writes down what stands.
func (a *Alarms) work(ctx context.Context) {
	a.mu.Lock()
	todo := a.todo
	a.todo = nil
	dirty := a.dirty
	a.dirty = map[string]bool{}
	changed := map[string]*standing{}
	for key := range dirty {
		changed[key] = nil
		if s := a.raised[key]; s != nil {
			kept := *s
			changed[key] = &kept
		}
	}
	a.mu.Unlock()
	var records []record
	for _, t := range todo {
		c := a.claim(ctx, t)
		if !c.mine {
			continue
		}
		if told := a.tell(ctx, t); c.line != "" || !c.written {
			records = append(records, record{t, told, c.line})
		}
	}
	a.mu.Lock()
	a.keepLocked(records...)
	records, a.unwritten = a.unwritten, nil
	a.mu.Unlock()
	if len(changed) == 0 && len(records) == 0 {
		return
	}
	err := a.o.DB.Write(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		if err := writeStanding(tx, changed); err != nil {
			return err
		}
		return writeRecords(tx, records, a.o.Remind)
	})
	if err != nil {
		a.o.Logger.Warn("alarms not written down, trying again", "error", err)
		a.mu.Lock()
		a.unwritten = records
		for key := range changed {
			a.dirty[key] = true
		}
		a.mu.Unlock()
	}
}

// tell posts to every webhook and writes to the operator, and returns to whom.
func (a *Alarms) tell(ctx context.Context, t telling) (told []string) {
	for _, l := range a.lanes {
		l.post(ctx, a.compose(t))
		told = append(told, "webhook:"+l.Name)
	}
	if a.o.Mail == nil || t.event == "cleared" || t.event == "test" {
		return told
	}
	key := t.Key + " " + t.event + " " + t.at.UTC().Format(time.RFC3339)
	if err := a.o.Mail(ctx, key, a.Title(locale.English, t.Alarm), a.Text(locale.English, t.Alarm)); err != nil {
		if ctx.Err() == nil {
			a.o.Logger.Error("operator not told by mail", "alarm", t.Key, "error", err)
		}
		return told
	}
	return append(told, "mail:"+a.o.To)
}
