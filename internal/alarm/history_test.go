package alarm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/alarm"
	"postern/internal/locale"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// history waits until the history, but for markers, reads as done says.
func (d *desk) history(a *alarm.Alarms, done func([]alarm.Line) bool) []alarm.Line {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		lines, _, err := a.History(d.t.Context(), alarm.HistoryQuery{})
		lines = slices.DeleteFunc(lines, func(l alarm.Line) bool { return l.Code == "floor" })
		if err == nil && done(lines) {
			return lines
		}
		if time.Now().After(end) {
			d.t.Fatalf("the history reads %+v, %v", lines, err)
		}
	}
}

// TestHistory: two nodes and a restart tell of an alarm once, and write one line: when it was raised, in which words, to whom it was told, when it ended.
func TestHistory(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		a, stop := d.open(db)
		b, stopB := d.open(db)
		for i, node := range []*alarm.Alarms{a, b} { // both have read what stood
			node.Tell(alarm.Alarm{Key: fmt.Sprint("marker ", i), Severity: alarm.Warning, Code: "floor"})
			d.await(2)
		}
		began := d.clock()
		a.Raise(lane(100))
		b.Raise(lane(150))
		d.await(2)
		a.Tell(alarm.Alarm{Key: "once", Severity: alarm.Warning, Code: "outage"})
		b.Tell(alarm.Alarm{Key: "once", Severity: alarm.Warning, Code: "outage"})
		d.await(2)
		lines := d.history(a, func(l []alarm.Line) bool { return len(l) == 2 && len(l[0].Told) == 2 && len(l[1].Told) == 2 })
		i := slices.IndexFunc(lines, func(l alarm.Line) bool { return l.Key == "queue.lane orange" })
		x, once := lines[i], lines[1-i]
		if !x.Since.Equal(began) || x.Code != "queue-lane" || x.Args["Name"] != "Orange" || x.Args["Why"] != "paused" || x.Once || !x.Cleared.IsZero() || x.Again != 0 ||
			!slices.Equal(x.Told, []string{"webhook:desk", "mail:noc@example.test"}) {
			t.Errorf("line %+v", x)
		}
		if !once.Once || !once.Cleared.IsZero() || once.Key != "once" {
			t.Errorf("line of what has no end %+v", once)
		}
		d.forward(5 * time.Minute)
		worse := lane(300)
		worse.Severity = alarm.Critical
		a.Raise(worse)
		d.await(2)
		x = d.history(a, func(l []alarm.Line) bool { return len(l) == 2 && l[i].Severity == alarm.Critical })[i]
		if x.Args["Count"] != "300" || !x.Since.Equal(began) || !x.Latest.Equal(began.Add(5*time.Minute)) {
			t.Errorf("grown worse: %+v", x)
		}
		stop()
		stopB()
		d.forward(time.Minute)
		a, stop = d.open(db)
		defer stop()
		a.Tell(alarm.Alarm{Key: "marker", Severity: alarm.Warning, Code: "outage"})
		d.await(2)
		a.Tell(alarm.Alarm{Key: "once", Severity: alarm.Warning, Code: "outage"}) // told before the restart: not again
		a.Clear("queue.lane orange")
		d.await(1)
		lines = d.history(a, func(l []alarm.Line) bool { return len(l) == 3 && !l[slices.IndexFunc(l, orange)].Cleared.IsZero() })
		x = lines[slices.IndexFunc(lines, orange)]
		if lines[0].Key != "marker" || !x.Cleared.Equal(began.Add(6*time.Minute)) {
			t.Errorf("at the end: %+v", lines)
		}
		d.forward(time.Hour)
		a.Raise(lane(10)) // another time, another line
		d.await(2)
		d.history(a, func(l []alarm.Line) bool { return len(l) == 4 && orange(l[0]) && l[0].Cleared.IsZero() })
		d.mu.Lock()
		defer d.mu.Unlock()
		var events []string
		for _, p := range d.posts {
			if p.Code != "floor" {
				events = append(events, p.Key+" "+p.Event)
			}
		}
		// Of two nodes each posts in its own time, so that what one of them told first may come last.
		slices.Sort(events)
		want := []string{"marker once", "once once", "queue.lane orange cleared", "queue.lane orange raised", "queue.lane orange raised", "queue.lane orange raised"} // the second: worse; the third: another time
		if !slices.Equal(events, want) || len(d.mails) != 2+5 {
			t.Errorf("told %v, %d mails", events, len(d.mails))
		}
	})
}

// TestRaisedAndOver: what ends before anybody could be told of its beginning has one line all the same, with whom it was told to.
func TestRaisedAndOver(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		a, stop := d.open(db)
		defer stop()
		const times = 5
		for range times {
			a.Raise(lane(100))
			a.Clear("queue.lane orange")
			d.forward(time.Minute)
		}
		a.Raise(lane(100))                                                          // this one stands
		a.Tell(alarm.Alarm{Key: "marker", Severity: alarm.Warning, Code: "outage"}) // told after them
		lines := d.history(a, func(l []alarm.Line) bool {
			return slices.ContainsFunc(l, func(l alarm.Line) bool { return l.Key == "marker" && len(l.Told) == 2 })
		})
		if len(lines) != times+2 {
			t.Errorf("%d lines: %+v", len(lines), lines)
		}
		standing := 0
		for _, l := range lines {
			if orange(l) && len(l.Told) != 2 {
				t.Errorf("line %+v", l)
			}
			if orange(l) && l.Cleared.IsZero() {
				standing++
			}
		}
		if standing != 1 {
			t.Errorf("%d of them stand: %+v", standing, lines)
		}
	})
}

// TestTwoNodes: what both raise and both clear is told once.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		a, stop := d.open(db)
		b, stopB := d.open(db)
		a.Raise(lane(100))
		d.await(2)
		b.Raise(lane(100))
		b.Tell(alarm.Alarm{Key: "marker", Severity: alarm.Warning, Code: "floor"}) // when it is told, b has told what it had before
		d.await(2)
		a.Clear("queue.lane orange")
		d.await(1)
		b.Clear("queue.lane orange")
		b.Tell(alarm.Alarm{Key: "another marker", Severity: alarm.Warning, Code: "floor"})
		d.await(2)
		stop()
		stopB()
		if len(d.mails) != 3 || len(d.posts) != 4 {
			t.Fatalf("mails %q, %d posts", d.mails, len(d.posts))
		}
	})
}

// TestClearedWhileAnotherStarts: a node that read what stood does not begin it anew when the other has cleared it meanwhile.
func TestClearedWhileAnotherStarts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		a, stop := d.open(db)
		defer stop()
		a.Raise(lane(100))
		d.await(2)
		d.history(a, func(l []alarm.Line) bool { return len(l) == 1 && len(l[0].Told) == 2 })
		telling, goOn := make(chan struct{}), make(chan struct{})
		b, stopB := d.openWith(db, func(o *alarm.Options) {
			o.Hooks = nil
			o.Mail = func(ctx context.Context, key, subject, text string) error {
				close(telling)
				<-goOn
				return d.mail(ctx, key, subject, text)
			}
		})
		b.Tell(alarm.Alarm{Key: "marker", Severity: alarm.Warning, Code: "outage"})
		<-telling // b has read what stands, and has not written yet
		a.Clear("queue.lane orange")
		d.await(1)
		close(goOn)
		d.await(1)
		b.Clear("queue.lane orange")
		stopB()
		lines := d.history(a, func(l []alarm.Line) bool {
			return slices.ContainsFunc(l, func(l alarm.Line) bool { return len(l.Told) == 1 })
		})
		if len(lines) != 2 {
			t.Errorf("%d lines: %+v", len(lines), lines)
		}
		for _, l := range lines {
			if orange(l) && l.Cleared.IsZero() {
				t.Errorf("stands still: %+v", l)
			}
		}
	})
}

// TestToldHalfway: a line that was written down when the process died before anybody was told is told by the next one.
func TestToldHalfway(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO alarm_history (id, key, severity, code, args, raised, cleared, once, live, told, again, latest) VALUES ('x', 'queue.lane orange', 'warning', 'queue-lane', '{}', ?, 0, 0, 1, '[]', 0, ?)`,
				d.clock(), d.clock())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		d.forward(2 * time.Minute)
		a, stop := d.open(db)
		defer stop()
		a.Raise(lane(100))
		d.await(2)
		d.history(a, func(l []alarm.Line) bool { return len(l) == 1 && len(l[0].Told) == 2 })
	})
}

func orange(l alarm.Line) bool { return l.Key == "queue.lane orange" }

// TestHistoryIsKept: as long and as many lines as is said; what stands stays. Pages and the filter find them all.
func TestHistoryIsKept(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		d := newDesk(t)
		a, stop := d.openWith(db, func(o *alarm.Options) { o.Keep, o.Most = 30*24*time.Hour, 12; o.Hooks = nil })
		a.Raise(lane(1))
		d.await(1)
		for i := range 9 {
			d.forward(time.Second)
			code := "outage"
			if i%3 == 0 {
				code = "webhook"
			}
			a.Tell(alarm.Alarm{Key: fmt.Sprint("old ", i), Severity: alarm.Warning, Code: code})
			d.await(1)
		}
		d.history(a, func(l []alarm.Line) bool { return len(l) == 10 })
		var keys []string
		q := alarm.HistoryQuery{Limit: 4}
		for pages := 1; ; pages++ {
			lines, next, err := a.History(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				keys = append(keys, l.Key)
			}
			if next == "" {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
			q.Before = next
		}
		if len(keys) != 10 || keys[0] != "old 8" || keys[9] != "queue.lane orange" {
			t.Errorf("pages: %q", keys)
		}
		if lines, next, err := a.History(t.Context(), alarm.HistoryQuery{Code: "webhook"}); err != nil || next != "" || len(lines) != 3 || lines[0].Key != "old 6" {
			t.Errorf("filter: %+v %q %v", lines, next, err)
		}
		if codes := a.Codes(); !slices.Contains(codes, "queue-lane") || slices.Contains(codes, "test") {
			t.Errorf("codes %q", codes)
		}
		stop()
		d.forward(31 * 24 * time.Hour)
		a, stop = d.openWith(db, func(o *alarm.Options) { o.Keep, o.Most = 30*24*time.Hour, 12; o.Hooks = nil })
		d.history(a, func(l []alarm.Line) bool { return len(l) == 1 && orange(l[0]) })
		for i := range 20 {
			d.forward(time.Second)
			a.Tell(alarm.Alarm{Key: fmt.Sprint("new ", i), Severity: alarm.Warning, Code: "outage"})
			d.await(1)
		}
		d.history(a, func(l []alarm.Line) bool { return len(l) == 21 })
		stop()
		d.forward(2 * time.Hour)
		a, stop = d.openWith(db, func(o *alarm.Options) { o.Keep, o.Most = 30*24*time.Hour, 12; o.Hooks = nil })
		defer stop()
		lines := d.history(a, func(l []alarm.Line) bool { return len(l) == 13 })
		if lines[0].Key != "new 19" || lines[11].Key != "new 8" || !orange(lines[12]) {
			t.Errorf("kept: %+v", lines)
		}
	})
}

// TestHistoryOfNew: a database of before gets a line for what stands.
func TestHistoryOfNew(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	d := newDesk(t)
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO alarm_raised (key, severity, code, args, since, told) VALUES ('spool.full', 'critical', 'spool-full', 'null', ?, ?)`, d.clock().Add(-time.Hour), d.clock())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a, stop := d.open(db)
	defer stop()
	lines := d.history(a, func(l []alarm.Line) bool { return len(l) == 1 })
	if lines[0].Key != "spool.full" || !lines[0].Since.Equal(d.clock().Add(-time.Hour)) || len(lines[0].Told) != 0 {
		t.Errorf("%+v", lines)
	}
}

// TestWordsByLanguage: an argument that is a sentence may have its French beside it.
func TestWordsByLanguage(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	a, err := alarm.New(alarm.Options{DB: storetest.SQLite(t, store.MainSchema()), Catalog: catalog})
	if err != nil {
		t.Fatal(err)
	}
	x := lane(3)
	x.Args["Why.fr"] = "en pause"
	if en, fr := a.Text("en", x), a.Text("fr", x); !strings.Contains(en, "paused") || strings.Contains(en, "en pause") || !strings.Contains(fr, "en pause") || strings.Contains(fr, "paused") {
		t.Errorf("%q, %q", en, fr)
	}
}
