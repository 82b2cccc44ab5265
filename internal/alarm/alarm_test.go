package alarm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/alarm"
	"postern/internal/locale"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/webhook"
)

// desk is an operator: his mailbox, his webhook, and a clock that tests move.
type desk struct {
	t   *testing.T
	mu  sync.Mutex
	now time.Time

	mails []string
	posts []alarm.Post
	say   int // the status that the webhook answers; 0: 200
	came  chan struct{}
	http  *httptest.Server
}

var secret = []byte("0123456789abcdef")

func newDesk(t *testing.T) *desk {
	d := &desk{t: t, now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), came: make(chan struct{}, 100)}
	d.http = httptest.NewServer(d)
	t.Cleanup(d.http.Close)
	return d
}

// ServeHTTP is the webhook.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	now, say := d.now, d.say
	d.mu.Unlock()
	if want := webhook.Sign(now, body, secret); r.Header.Get("Postern-Signature") != want {
		d.t.Errorf("signature %q; expected %q", r.Header.Get("Postern-Signature"), want)
	}
	var p alarm.Post
	if err := json.Unmarshal(body, &p); err != nil || r.Header.Get("Postern-Delivery") != p.ID {
		d.t.Errorf("post %q: %v", body, err)
	}
	if say == 0 {
		d.mu.Lock()
		seen := slices.ContainsFunc(d.posts, func(x alarm.Post) bool { return x.ID == p.ID })
		if !seen {
			d.posts = append(d.posts, p)
		}
		d.mu.Unlock()
		if seen { // the gateway stopped before it read our answer: at least once, and we leave it out
			return
		}
	} else {
		w.WriteHeader(say)
	}
	d.came <- struct{}{}
}

func (d *desk) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *desk) forward(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

func (d *desk) mail(_ context.Context, key, subject, text string) error {
	d.mu.Lock()
	d.mails = append(d.mails, subject)
	d.mu.Unlock()
	if text == "" || !strings.Contains(key, " ") {
		d.t.Errorf("mail without a text or key: %q %q", key, text)
	}
	d.came <- struct{}{}
	return nil
}

func (d *desk) await(n int) {
	d.t.Helper()
	late := time.After(time.Minute)
	for range n {
		select {
		case <-d.came:
		case <-late:
			d.t.Fatal("the operator heard nothing")
		}
	}
}

// open makes alarms on db; it runs until the returned function is called.
func (d *desk) open(db *store.DB) (*alarm.Alarms, func()) {
	d.t.Helper()
	return d.openWith(db, func(*alarm.Options) {})
}

func (d *desk) openWith(db *store.DB, change func(*alarm.Options)) (*alarm.Alarms, func()) {
	d.t.Helper()
	catalog, err := locale.New()
	if err != nil {
		d.t.Fatal(err)
	}
	o := alarm.Options{DB: db, Catalog: catalog, Host: "gate.test", Mail: d.mail, To: "noc@example.test", Now: d.clock, Logger: storetest.Logger(d.t),
		Hooks: []alarm.Hook{{Name: "desk", URL: d.http.URL, Secret: secret}}}
	change(&o)
	a, err := alarm.New(o)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("Run: %v", err)
		}
	}
}

func lane(count int) alarm.Alarm {
	return alarm.Alarm{Key: "queue.lane orange", Severity: alarm.Warning, Code: "queue-lane", Args: map[string]string{"Name": "Orange", "Count": fmt.Sprint(count), "Age": "2h", "Why": "paused"}}
}

func TestLife(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		a, stop := d.open(db)
		a.Raise(lane(100))
		d.await(2)
		a.Raise(lane(200)) // goes on: nobody is told again
		worse := lane(300)
		worse.Severity = alarm.Critical
		a.Raise(worse)
		d.await(2)
		if got := a.Raised(); len(got) != 1 || got[0].Args["Count"] != "300" || !got[0].Since.Equal(d.clock()) {
			t.Errorf("stands: %+v", got)
		}
		stop()

		// A restart neither repeats nor forgets.
		a, stop = d.open(db)
		a.Tell(alarm.Alarm{Key: "once", Severity: alarm.Warning, Code: "test"})
		d.await(2)
		a.Tell(alarm.Alarm{Key: "once", Severity: alarm.Warning, Code: "test"})
		if got := a.Raised(); len(got) != 1 || got[0].Severity != alarm.Critical {
			t.Errorf("after a restart stands: %+v", got)
		}
		a.Clear("queue.lane orange")
		a.Clear("nothing")
		d.await(1) // the webhook alone: an end is no mail
		stop()
		a, stop = d.open(db)
		defer stop()
		a.Tell(alarm.Alarm{Key: "marker", Severity: alarm.Warning, Code: "test"})
		d.await(2)
		if got := a.Raised(); len(got) != 0 {
			t.Errorf("what was cleared is back: %+v", got)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		var events []string
		for _, p := range d.posts {
			events = append(events, p.Event)
			if p.Title["fr"] == "" || p.Text["en"] == "" || p.Title["fr"] == p.Title["en"] || p.Host != "gate.test" {
				t.Errorf("post %+v", p)
			}
		}
		if want := []string{"raised", "raised", "once", "cleared", "once"}; !slices.Equal(events, want) {
			t.Errorf("webhook heard %v; expected %v", events, want)
		}
		if len(d.mails) != 4 {
			t.Errorf("mails: %q", d.mails)
		}
	})
}

func TestWebhookComesBack(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		d.say = 503
		a, stop := d.open(db)
		a.Tell(alarm.Alarm{Key: "a", Severity: alarm.Warning, Code: "test"})
		a.Tell(alarm.Alarm{Key: "b", Severity: alarm.Warning, Code: "test"})
		d.await(3) // two mails, one attempt: the second post waits behind the first
		stop()
		d.mu.Lock()
		d.say = 0
		d.mu.Unlock()
		d.forward(time.Hour)
		a, stop = d.open(db) // both are known from before
		defer stop()
		d.await(2)
		d.mu.Lock()
		if len(d.posts) != 2 || d.posts[0].Key != "a" || d.posts[1].Key != "b" {
			t.Errorf("posts: %+v", d.posts)
		}
		d.mu.Unlock()
		a.Test()
		d.await(1)
	})
}

func TestGivenUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.say = 500
	a, stop := d.open(storetest.SQLite(t, store.MainSchema()))
	defer stop()
	a.Tell(alarm.Alarm{Key: "a", Severity: alarm.Warning, Code: "test"})
	d.await(2)
	d.forward(73 * time.Hour)
	a.Tell(alarm.Alarm{Key: "b", Severity: alarm.Warning, Code: "test"}) // wakes the lane
	d.await(3)                                                           // its mail, the last attempt of a, the first of b
	for {
		if s := a.Hooks()[0]; s.Dropped == 1 && s.Waiting == 1 && strings.Contains(s.Last, "500") {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%+v", a.Hooks())
		default:
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	catalog, _ := locale.New()
	for _, h := range []alarm.Hook{{"a", "http://hooks.example/x", secret}, {"a", "https://hooks.example/x", []byte("short")}, {"a", "ftp://x", secret}, {"a", "", secret}} {
		if _, err := alarm.New(alarm.Options{DB: db, Catalog: catalog, Hooks: []alarm.Hook{h}}); err == nil {
			t.Errorf("%s with %d bytes of secret is taken", h.URL, len(h.Secret))
		}
	}
	ok := alarm.Hook{Name: "a", URL: "https://hooks.example/x", Secret: secret}
	if _, err := alarm.New(alarm.Options{DB: db, Catalog: catalog, Hooks: []alarm.Hook{ok, ok}}); err == nil {
		t.Error("two webhooks of one name are taken")
	}
	if _, err := alarm.New(alarm.Options{}); err == nil || errors.Is(err, context.Canceled) {
		t.Error("nothing is enough")
	}
}

func TestQueueWatch(t *testing.T) {
	t.Parallel()
	catalog, _ := locale.New()
	a, err := alarm.New(alarm.Options{DB: storetest.SQLite(t, store.MainSchema()), Catalog: catalog})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	w := &alarm.Watch{Alarms: a}
	b := alarm.Bounds{Lane: 1000, LaneAge: time.Hour, Customer: 500, Total: 5000}
	keys := func() (out []string) {
		for _, x := range a.Raised() {
			out = append(out, x.Key)
			for _, lang := range locale.Languages() {
				if title := a.Title(lang, x); title == "" || strings.Contains(title, "<no value>") {
					t.Errorf("%s in %s: %q", x.Key, lang, title)
				}
			}
		}
		return out
	}
	step := func(what string, q alarm.Queue, want ...string) {
		t.Helper()
		w.Look(now, b, q)
		if got := keys(); !slices.Equal(got, want) {
			t.Errorf("%s: %v; expected %v", what, got, want)
		}
	}
	step("quiet", alarm.Queue{Lanes: []alarm.Pile{{Name: "orange", Count: 1000}}})
	step("a lane", alarm.Queue{Lanes: []alarm.Pile{{Name: "orange", Count: 1001}}}, "queue.lane orange")
	step("a little less", alarm.Queue{Lanes: []alarm.Pile{{Name: "orange", Count: 900}}}, "queue.lane orange")
	step("much less", alarm.Queue{Lanes: []alarm.Pile{{Name: "orange", Count: 700}}})
	step("an old one", alarm.Queue{Lanes: []alarm.Pile{{Name: "sfr", Count: 1, Oldest: now.Add(-2 * time.Hour)}}}, "queue.lane sfr")
	step("gone", alarm.Queue{})
	step("all", alarm.Queue{Customers: []alarm.Pile{{Name: "acme", Count: 600}}, Total: alarm.Pile{Count: 6000}, Full: true},
		"queue.customer acme", "queue.total", "spool.full")
	step("over", alarm.Queue{})
	var many []alarm.Pile
	for i := range 100 {
		many = append(many, alarm.Pile{Name: fmt.Sprint("lane", i), Count: 2000 + i})
	}
	w.Look(now, b, alarm.Queue{Lanes: many})
	if got := len(a.Raised()); got != 20 {
		t.Errorf("%d alarms for 100 lanes", got)
	}
}
