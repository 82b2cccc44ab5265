package reputation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/account"
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

// TestTrend: how many of ours were listed each day; days on which nothing was measured are no zeros.
func TestTrend(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.look(0)
		s.list(egress, "a.test", "127.0.0.2")
		s.list(egress, "b.test", "127.0.0.2")
		s.list(egress, "dnsbl-2.uceprotect.net", "127.0.0.2") // for display only
		s.look(24 * time.Hour)
		s.list(domain, "d.test", "127.0.0.2")
		s.look(24 * time.Hour)
		s.list(egress, "a.test", "")
		s.list(egress, "b.test", "")
		s.look(24 * time.Hour)
		s.look(time.Hour)
		s.look(72 * time.Hour) // two days of standstill
		days, err := s.watch.Trend(t.Context(), s.clock.Now().AddDate(0, 0, -7), s.clock.Now())
		if err != nil || len(days) != 8 {
			t.Fatal(days, err)
		}
		var got []string
		for _, d := range days {
			got = append(got, fmt.Sprint(d.Looked, d.Egress, d.Domains))
		}
		if want := []string{"false 0 0", "true 0 0", "true 1 0", "true 1 1", "true 1 1", "false 0 1", "false 0 1", "true 0 1"}; !slices.Equal(got, want) {
			t.Errorf("%q\nwant %q", got, want)
		}
		if _, err := s.watch.Trend(t.Context(), time.Time{}, s.clock.Now()); !errors.Is(err, reputation.ErrInvalid) {
			t.Errorf("days without end: %v", err)
		}
	})
}

// TestNeighbours: ours that are listed are named whoever lists them; of others only what the round through a range found.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		for _, tc := range []struct {
			name   string
			ranges []netip.Prefix
			want   reputation.Neighbours
		}{
			{"not gone through", nil, reputation.Neighbours{Network: "198.51.100.0/24", Looked: 2, Listed: 2, Same: 1, Ours: 1,
				Own: []reputation.Neighbour{{Address: "198.51.100.12", Lists: []string{"Alpha"}, Same: true}, {Address: "198.51.100.11", Lists: []string{"Beta"}}}}},
			{"gone through", []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, reputation.Neighbours{Network: "198.51.100.0/24", Ranged: true, Looked: 255, Listed: 5, Same: 3, Ours: 1,
				Own:    []reputation.Neighbour{{Address: "198.51.100.12", Lists: []string{"Alpha"}, Same: true}, {Address: "198.51.100.11", Lists: []string{"Beta"}}},
				Others: []reputation.Neighbour{{Address: "198.51.100.9", Lists: []string{"Alpha"}, Same: true}, {Address: "198.51.100.200", Lists: []string{"Alpha Two", "Beta"}, Same: true}, {Address: "198.51.100.7", Lists: []string{"Beta"}}}}},
		} {
			s := newScene(t, db)
			var egresses []account.Egress
			for _, ip := range []string{egress, "198.51.100.11", "198.51.100.12"} {
				egresses = append(egresses, account.Egress{IP: netip.MustParseAddr(ip)})
			}
			var err error
			if s.options.Accounts, err = account.New(account.Options{DB: db, Pools: []account.Pool{{Name: account.DefaultPool, Egress: egresses}}, Now: s.clock.Now}); err != nil {
				t.Fatal(err)
			}
			s.options.Ranges = tc.ranges
			s.restart()
			for _, l := range [][2]string{{"198.51.100.11", "b.test"}, {"198.51.100.12", "a.test"}, {"198.51.100.9", "a.test"}, {"198.51.100.7", "b.test"}, {"198.51.100.200", "a2.test"}, {"198.51.100.200", "b.test"},
				{"198.51.100.201", "dnsbl-2.uceprotect.net"}} {
				s.list(l[0], l[1], "127.0.0.2")
			}
			s.look(0)
			for _, r := range tc.ranges {
				s.walk(r, 24*time.Hour)
			}
			s.list(egress, "a.test", "127.0.0.2")
			s.look(time.Hour)
			all, err := s.watch.Dossiers(t.Context(), reputation.DossierQuery{Target: egress})
			if err != nil || len(all.Dossiers) != 1 {
				t.Fatal(all, err)
			}
			if err := s.watch.GatherNow(t.Context(), all.Dossiers[0].ID); err != nil {
				t.Fatal(err)
			}
			got := s.dossier(all.Dossiers[0].ID).Evidence.Neighbours
			for i := range got.Own {
				if got.Own[i].Dossier == "" {
					t.Errorf("%s: no dossier of %s", tc.name, got.Own[i].Address)
				}
				got.Own[i].Dossier = ""
			}
			for _, x := range got.Others {
				slices.Sort(x.Lists)
			}
			if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", tc.want); a != b {
				t.Errorf("%s:\n%s\nwant\n%s", tc.name, a, b)
			}
		}
	})
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
			s.clock.Add(after)
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
			// Whom a node told is written down after they heard it: what nobody seems to have been told of for a minute, another node tells.
			waitFor(t, what+", in the history", func() bool {
				lines, _, err := one.alarms.History(t.Context(), alarm.HistoryQuery{})
				return err == nil && !slices.ContainsFunc(lines, func(l alarm.Line) bool { return len(l.Told) < 2 })
			})
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
