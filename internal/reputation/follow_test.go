package reputation_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/alarm"
	"postern/internal/dns/dnstest"
	"postern/internal/reputation"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// closing is a dossier that was listed, dropped, and then looked at daily until day.
func closing(t *testing.T, s *scene, days int) (id string) {
	t.Helper()
	s.list(egress, "a.test", "127.0.0.2")
	s.look(time.Hour)
	id = s.dossiers(reputation.Open)[0].ID
	s.list(egress, "a.test", "")
	s.look(time.Hour)
	s.look(reputation.CleanAfter)
	if d := s.dossier(id); d.State != reputation.Clean {
		t.Fatalf("dropped: %s", d.State)
	}
	for range days {
		s.look(24 * time.Hour)
	}
	return id
}

// TestFollowUp: thirty days of clean answers, not one fewer; a listing before opens the same dossier, one after another.
func TestFollowUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		days    int
		state   reputation.State // before the listing comes back
		by      string           // who closed it before, ""
		another bool             // it opens another dossier
	}{
		{"after a day", 1, reputation.Clean, "", false},
		{"after 29 days", 29, reputation.Clean, "", false},
		{"after 30 days", 30, reputation.Closed, "", true},
		{"after 60 days", 60, reputation.Closed, "", true},
		{"closed by a person, after 10 days", 10, reputation.Closed, "operator:anna", false},
		{"closed by a person, after 31 days", 31, reputation.Closed, "operator:anna", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, db *store.DB) {
				s := newScene(t, db)
				s.look(0)
				id := closing(t, s, 0)
				if tc.by != "" {
					if err := s.watch.Move(t.Context(), id, reputation.Closed, tc.by, "over"); err != nil {
						t.Fatal(err)
					}
				}
				for range tc.days {
					s.look(24 * time.Hour)
				}
				if d := s.dossier(id); d.State != tc.state {
					t.Fatalf("%s, quiet for %s", d.State, d.Quiet)
				}
				s.list(egress, "a.test", "127.0.0.2")
				s.look(time.Minute + reputation.DefaultEvery)
				open := s.dossiers(reputation.Open)
				if len(open) != 1 || (open[0].ID != id) != tc.another {
					t.Fatalf("listed again: %+v", open)
				}
				if d := s.dossier(open[0].ID); tc.another && (d.Former != id || d.Times != 1) || !tc.another && (d.Former != "" || d.Times != 2) {
					t.Fatalf("listed again: %+v", d)
				}
			})
		})
	}
}

// TestUnknownDays: days without an answer of the list that had it neither close a dossier nor count, however many others answer.
func TestUnknownDays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.look(0)
		id := closing(t, s, 10)
		s.dns.Fail(name(egress, "a.test"), dnstest.ServFail)
		before := s.dossier(id).Quiet
		for range 60 {
			s.look(24 * time.Hour)
		}
		d := s.dossier(id)
		if d.State != reputation.Clean || d.Quiet != before {
			t.Fatalf("60 days without an answer: %s, quiet for %s, before %s", d.State, d.Quiet, before)
		}
		s.dns.Fail(name(egress, "a.test"), dnstest.OK)
		s.look(24 * time.Hour) // the first answer says nothing of the days before but the last
		if got := s.dossier(id).Quiet - before; got > 24*time.Hour+2*reputation.DefaultDomainsEvery {
			t.Fatalf("one answer counts for %s", got)
		}
		for range 19 {
			s.look(24 * time.Hour)
		}
		if d := s.dossier(id); d.State != reputation.Closed {
			t.Fatalf("%s, quiet for %s", d.State, d.Quiet)
		}
	})
}

// desk is an operator's mailbox and webhook.
type desk struct {
	mu    sync.Mutex
	mails []string
	posts []string
	seen  map[string]bool
}

// ServeHTTP is the webhook.
func (d *desk) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var p alarm.Post
	_ = json.Unmarshal(body, &p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.seen[p.ID] { // a post may come again until its answer is read; its ID says so
		d.seen[p.ID] = true
		d.posts = append(d.posts, p.Event+" "+p.Code)
	}
}

func (d *desk) mail(_ context.Context, key, _, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mails = append(d.mails, key)
	return nil
}

func (d *desk) heard() (mails, posts []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range d.mails {
		event := "once"
		if strings.Contains(key, " raised ") {
			event = "raised"
		}
		mails = append(mails, event)
	}
	return mails, slices.Clone(d.posts)
}

// node is a process with its own alarms and watch on a shared database.
type node struct {
	watch  *reputation.Watch
	alarms *alarm.Alarms
	stop   func()
}

func (s *scene) node(d *desk, url, name string) node {
	s.t.Helper()
	alarms, err := alarm.New(alarm.Options{DB: s.db, Catalog: s.options.Catalog, Host: "gate.example.org", Mail: d.mail, To: "noc@example.org", Now: s.clock.Now, Logger: storetest.Logger(s.t),
		Hooks: []alarm.Hook{{Name: "desk", URL: url, Secret: []byte("0123456789abcdef")}}})
	if err != nil {
		s.t.Fatal(err)
	}
	o := s.options
	o.Node = name
	as := func(x reputation.Alarm) alarm.Alarm {
		severity := alarm.Warning
		if x.Critical {
			severity = alarm.Critical
		}
		return alarm.Alarm{Key: x.Key, Severity: severity, Code: x.Code, Args: x.Args, Since: x.Since}
	}
	o.Raise, o.Tell, o.Clear = func(x reputation.Alarm) { alarms.Raise(as(x)) }, func(x reputation.Alarm) { alarms.Tell(as(x)) }, alarms.Clear
	o.Raised = func() (keys []string) {
		for _, x := range alarms.Raised() {
			keys = append(keys, x.Key)
		}
		return keys
	}
	w, err := reputation.New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- alarms.Run(ctx) }()
	return node{w, alarms, func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}}
}

// TestAlarmsOnce: of two nodes and over a restart, the beginning and the end of a listing are told once each, by mail and by webhook.
func TestAlarmsOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		d := &desk{seen: map[string]bool{}}
		hook := httptest.NewServer(d)
		defer hook.Close()
		one, two := s.node(d, hook.URL, "one"), s.node(d, hook.URL, "two")
		turn := func(n node, after time.Duration) {
			t.Helper()
			s.clock.pass(after)
			if err := n.watch.LookTurn(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := n.watch.DossierTurn(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		await := func(what string, mails, posts []string) {
			t.Helper()
			waitFor(t, what, func() bool {
				m, p := d.heard()
				return len(m) >= len(mails) && len(p) >= len(posts)
			})
			if m, p := d.heard(); !slices.Equal(m, mails) || !slices.Equal(p, posts) {
				t.Fatalf("%s: mails %v, posts %v", what, m, p)
			}
		}
		turn(one, 0)
		turn(two, 0)
		s.list(egress, "a.test", "127.0.0.2")
		turn(one, time.Hour)
		mails, posts := []string{"raised"}, []string{"raised listing"}
		await("the beginning", mails, posts)
		turn(two, time.Minute) // it finds the listing in the database
		one.stop()
		one = s.node(d, hook.URL, "one")
		turn(one, time.Minute)
		turn(two, time.Hour)
		await("the beginning, after a restart", mails, posts)
		s.list(egress, "a.test", "")
		turn(two, time.Hour)
		turn(two, reputation.CleanAfter)
		mails, posts = append(mails, "once"), append(posts, "cleared listing", "once delisting")
		await("the end", mails, posts)
		turn(one, time.Minute)
		two.stop()
		two = s.node(d, hook.URL, "two")
		turn(two, time.Minute)
		turn(one, time.Minute)
		for _, n := range []node{one, two} {
			if len(n.alarms.Raised()) != 0 {
				t.Errorf("it still stands: %+v", n.alarms.Raised())
			}
		}
		// What ends tells what it has to tell before.
		one.stop()
		two.stop()
		await("at the end", mails, posts)
	})
}
