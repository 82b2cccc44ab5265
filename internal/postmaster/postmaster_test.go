package postmaster_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/postmaster"
	"postern/internal/report"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func newClock() *storetest.Clock {
	return storetest.NewClock(time.Date(2026, 9, 30, 10, 0, 0, 0, time.UTC))
}

// room is a Postmaster with what a test sees of it.
type room struct {
	*postmaster.Postmaster
	t      *testing.T
	clock  *storetest.Clock
	log    *bytes.Buffer
	mu     sync.Mutex
	alarms map[string]postmaster.Alarm
}

func open(t *testing.T, db *store.DB, o postmaster.Options) *room {
	t.Helper()
	r := &room{t: t, clock: newClock(), log: &bytes.Buffer{}, alarms: map[string]postmaster.Alarm{}}
	o.DB, o.Now = db, r.clock.Now
	o.Logger = slog.New(slog.NewTextHandler(&locked{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Secret = []byte("a secret of more than sixteen bytes")
	o.Demand = func(lang, name string) string {
		if name == "dmarc_alignment" {
			return lang + ":" + name
		}
		return ""
	}
	o.Raise = func(a postmaster.Alarm) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.alarms[a.Key] = a
	}
	o.Clear = func(key string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.alarms, key)
	}
	o.Standing = r.raised
	p, err := postmaster.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Postmaster = p
	return r
}

type locked struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (r *room) raised() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []string
	for k := range r.alarms {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r *room) take(data string) postmaster.Imported {
	r.t.Helper()
	did, err := r.Import(r.t.Context(), []byte(data), "upload")
	if err != nil {
		r.t.Fatalf("import: %v", err)
	}
	return did
}

func (r *room) heat(from, to string) postmaster.Heat {
	r.t.Helper()
	h, err := r.Heat(r.t.Context(), day(from), day(to), 0, 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

// row writes one line of a legacy file.
func row(ip, day, next, colour, rate, traps string) string {
	return ip + "," + day + " 12:00 AM," + next + " 12:00 AM,1000,990,900," + colour + "," + rate + ",,," + traps + ",mail.example.net,news@example.net,\r\n"
}

func TestImportTwiceChangesNothing(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		r := open(t, db, postmaster.Options{})
		file := row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "< 0.1%", "") + row("192.0.2.2", "9/28/2026", "9/29/2026", "RED", "0.5%", "26") +
			row("192.0.2.1", "9/29/2026", "9/30/2026", "YELLOW", "", "0")
		if did := r.take(file); did.Read != 3 || did.New != 3 || did.Changed+did.Same != 0 || !did.From.Equal(day("2026-09-28")) || !did.To.Equal(day("2026-09-29")) {
			t.Fatalf("first: %+v", did)
		}
		before, err := r.Rows(t.Context(), day("2026-09-01"), day("2026-09-30"), 100)
		if err != nil || len(before) != 3 {
			t.Fatal(before, err)
		}
		r.clock.Add(time.Hour)
		if did := r.take(file); did.New+did.Changed != 0 || did.Same != 3 {
			t.Errorf("again: %+v", did)
		}
		after, _ := r.Rows(t.Context(), day("2026-09-01"), day("2026-09-30"), 100)
		if !slices.Equal(before, after) {
			t.Errorf("the same file changed something:\n%+v\n%+v", before, after)
		}
		if before[0].Source != "upload" || !before[0].Seen.Equal(newClock().Now()) || before[0].HELO != "mail.example.net" {
			t.Errorf("got %+v", before[0])
		}
		// Newer figures of the same period replace them, and those of a longer one that holds it.
		if did := r.take(row("192.0.2.1", "9/28/2026", "9/29/2026", "RED", "0.2%", "3")); did.Changed != 1 || did.New != 0 {
			t.Errorf("changed: %+v", did)
		}
		partly := "192.0.2.2,9/28/2026 3:00 AM,9/29/2026 12:00 AM,2000,1990,1900,YELLOW,0.5%,,,26,,,\n"
		if did := r.take(partly); did.Changed != 1 || did.New != 0 {
			t.Errorf("overlap: %+v", did)
		}
		after, _ = r.Rows(t.Context(), day("2026-09-28"), day("2026-09-28"), 100)
		if len(after) != 2 || after[0].Filter != report.SNDSRed || after[1].Filter != report.SNDSYellow || after[1].RCPT.Value != 2000 {
			t.Errorf("got %+v", after)
		}
	})
}

// A row that cannot be read is told; the others count. What is no SNDS is refused and changes nothing.
func TestImportOfBadBytes(t *testing.T) {
	t.Parallel()
	r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{})
	did := r.take(row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", "") + "nonsense\r\n" + row("999.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	if did.New != 1 || len(did.Bad) != 2 || did.Bad[0].Line != 2 || did.Bad[1].Line != 3 {
		t.Errorf("got %+v", did)
	}
	for _, data := range []string{"", "<html>sign in</html>", "hello\n", "[]", "nonsense,1,2,3,4,5,6,7,8,9,10\n"} {
		if did, err := r.Import(t.Context(), []byte(data), "upload"); err == nil {
			t.Errorf("%q was taken: %+v", data, did)
		}
	}
	if h := r.heat("2026-09-20", "2026-09-30"); len(h.Lines) != 1 {
		t.Errorf("%d lines", len(h.Lines))
	}
	if did, err := postmaster.Explain([]byte(row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", "") + "x\n")); err != nil || did.Read != 1 || len(did.Bad) != 1 {
		t.Errorf("explained %+v, %v", did, err)
	}
}

func TestHeat(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		ours := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.9/32"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/64")}
		r := open(t, db, postmaster.Options{Ours: func() []netip.Prefix { return ours }})
		r.take(row("192.0.2.1", "9/26/2026", "9/27/2026", "GREEN", "< 0.1%", "0") + row("192.0.2.1", "9/28/2026", "9/29/2026", "YELLOW", "0.3%", "") +
			row("192.0.2.2", "9/28/2026", "9/29/2026", "RED", "0.5%", "26") + row("2001:db8::1", "9/28/2026", "9/29/2026", "", "", ""))
		h := r.heat("2026-09-25", "2026-09-29")
		if len(h.Days) != 5 || len(h.Lines) != 3 || h.Red != 1 || h.Trapped != 1 {
			t.Fatalf("got %+v", h)
		}
		worst := h.Lines[0]
		if worst.IP.String() != "192.0.2.2" || worst.Red != 1 || worst.Traps.Value != 26 || worst.Days != 1 || !worst.Last.Equal(day("2026-09-28")) {
			t.Errorf("worst %+v", worst)
		}
		one := h.Lines[1]
		if one.Cells[0].Known || !one.Cells[1].Known || one.Cells[2].Known || !one.Cells[3].Known {
			t.Errorf("days that are known: %+v", one.Cells)
		}
		if c := one.Cells[1]; !c.Traps.Known || c.Traps.Value != 0 || c.Colour != report.SNDSGreen || !c.Complaint.Below {
			t.Errorf("a day with zero trap hits: %+v", c)
		}
		if c := one.Cells[3]; c.Traps.Known {
			t.Errorf("a day of which no trap hits are told: %+v", c)
		}
		if got := one.Complaint; got.Below || got.Percent < .19 || got.Percent > .21 {
			t.Errorf("average %+v", got)
		}
		if got := h.Average; !got.Known || got.Below || got.Percent < .29 || got.Percent > .31 {
			t.Errorf("average of all %+v", got)
		}
		if c := h.Lines[2].Cells[3]; !c.Known || c.Colour != "" || c.Complaint.Known {
			t.Errorf("a row that says little: %+v", c)
		}
		if len(h.Silent) != 2 || h.Silent[0].String() != "192.0.2.9/32" || h.Silent[1].String() != "198.51.100.0/24" {
			t.Errorf("silent %v", h.Silent)
		}
		if h, _ := r.Heat(t.Context(), day("2026-09-25"), day("2026-09-29"), 1, 1); h.Lines[0].Cells != nil || h.Lines[1].Cells == nil || h.Lines[2].Cells != nil {
			t.Error("cells were made for others than asked for")
		}
		trend, err := r.Trend(t.Context(), netip.MustParseAddr("192.0.2.1"), day("2026-09-01"), day("2026-09-30"))
		if err != nil || len(trend) != 2 || !trend[0].Start.Before(trend[1].Start) {
			t.Errorf("trend %+v, %v", trend, err)
		}
	})
}

func TestStates(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		r := open(t, db, postmaster.Options{})
		one := netip.MustParseAddr("192.0.2.5")
		if s, err := r.Standing(t.Context(), one); err != nil || s.Known {
			t.Fatalf("nothing is known yet: %+v, %v", s, err)
		}
		blocked := "192.0.2.4,192.0.2.6,Yes,Blocked due to user complaints\n192.0.2.4,192.0.2.6,Yes,Blocked due to user complaints\n"
		if did := r.take(blocked + "198.51.100.1,198.51.100.1,No,Bot\n"); did.Began != 2 || did.Ended != 0 {
			t.Errorf("got %+v", did)
		}
		began := r.clock.Now()
		r.clock.Add(time.Hour)
		if did := r.take(blocked); did.Began != 0 || did.Ended != 1 {
			t.Errorf("got %+v", did)
		}
		s, err := r.Standing(t.Context(), one)
		if err != nil || !s.Known || s.State == nil || s.State.State != report.SNDSBlocked || !s.State.Since.Equal(began) || !s.AsOf.Equal(r.clock.Now()) {
			t.Errorf("standing %+v, %v", s, err)
		}
		if s, _ := r.Standing(t.Context(), netip.MustParseAddr("192.0.2.7")); s.Known {
			t.Error("an address of which nothing is known is said to be fine")
		}
		r.take(row("192.0.2.7", "9/28/2026", "9/29/2026", "GREEN", "", ""))
		if s, _ := r.Standing(t.Context(), netip.MustParseAddr("192.0.2.7")); !s.Known || s.State != nil {
			t.Errorf("an address with figures that no report names: %+v", s)
		}
		r.clock.Add(72 * time.Hour)
		if s, _ := r.Standing(t.Context(), netip.MustParseAddr("192.0.2.7")); s.Known {
			t.Error("an old report's silence means nothing")
		}
		events, err := r.Events(t.Context(), netip.Addr{}, 10)
		if err != nil || len(events) != 3 || events[0].Began || events[0].State.State != report.SNDSBot {
			t.Errorf("events %+v, %v", events, err)
		}
		if events, _ := r.Events(t.Context(), one, 10); len(events) != 1 || !events[0].Began {
			t.Errorf("events of one address %+v", events)
		}
	})
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	r := open(t, db, postmaster.Options{})
	r.Turn(t.Context())
	r.take(row("192.0.2.1", "9/28/2026", "9/29/2026", "RED", "0.5%", "26") + row("192.0.2.2", "9/28/2026", "9/29/2026", "GREEN", "< 0.1%", "0"))
	r.take("192.0.2.4,192.0.2.6,Yes,Blocked due to user complaints\n192.0.2.9,192.0.2.9,No,Junked\n")
	r.Turn(t.Context())
	want := []string{"snds.complaints 192.0.2.1", "snds.red 192.0.2.1", "snds.state 192.0.2.4-192.0.2.6 blocked", "snds.state 192.0.2.9 junked", "snds.traps 192.0.2.1"}
	if got := r.raised(); !slices.Equal(got, want) {
		t.Fatalf("raised %q", got)
	}
	if a := r.alarms["snds.traps 192.0.2.1"]; a.Args["Count"] != "26" || a.Args["IP"] != "192.0.2.1" || a.Args["Day"] != "28 September 2026" || a.Args["Day.fr"] != "28/09/2026" || a.Code != "snds-traps" {
		t.Errorf("got %+v", a)
	}
	if a := r.alarms["snds.complaints 192.0.2.1"]; a.Args["Rate"] != "0.5" || a.Args["Rate.fr"] != "0,5" || a.Args["Bound.fr"] != "0,3" {
		t.Errorf("got %+v", a)
	}
	if !r.alarms["snds.state 192.0.2.4-192.0.2.6 blocked"].Critical {
		t.Error("a block is critical")
	}
	// A new start must clear what ended meanwhile.
	again := open(t, db, postmaster.Options{})
	again.alarms = r.alarms
	again.take(row("192.0.2.1", "9/29/2026", "9/30/2026", "GREEN", "0.1%", "0"))
	again.take("192.0.2.9,192.0.2.9,No,Junked\n")
	again.clock.Add(20 * time.Minute)
	again.Turn(t.Context())
	if got := again.raised(); !slices.Equal(got, []string{"snds.state 192.0.2.9 junked"}) {
		t.Errorf("still raised %q", got)
	}
}

// What was red a week ago is not known to be so today.
func TestAlarmsEndWithoutNews(t *testing.T) {
	t.Parallel()
	r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{})
	r.take(row("192.0.2.1", "9/28/2026", "9/29/2026", "RED", "", ""))
	r.Turn(t.Context())
	if len(r.raised()) != 1 {
		t.Fatalf("raised %q", r.raised())
	}
	r.clock.Add(9 * 24 * time.Hour)
	r.Turn(t.Context())
	if len(r.raised()) != 0 {
		t.Errorf("raised %q", r.raised())
	}
}

func TestRetention(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		r := open(t, db, postmaster.Options{Keep: 30 * 24 * time.Hour})
		r.take(row("192.0.2.1", "8/20/2026", "8/21/2026", "RED", "", "") + row("192.0.2.1", "9/20/2026", "9/21/2026", "RED", "", ""))
		if err := r.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := r.Rows(t.Context(), day("2026-01-01"), day("2026-12-31"), 100)
		if err != nil || len(rows) != 1 || !rows[0].Day().Equal(day("2026-09-20")) {
			t.Errorf("kept %+v, %v", rows, err)
		}
	})
}

// One node of a cluster fetches; when it is silent, another one does.
func TestOneNodeFetches(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		s := newImitation(t)
		s.link("/a", 200, "text/csv", row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", ""))
		o := postmaster.Options{HTTP: s.client(), Links: []postmaster.Link{{Name: "a", URL: s.url + "/a?key=secret"}}}
		o.Node = "one"
		one := open(t, db, o)
		o.Node = "two"
		two := open(t, db, o)
		one.Turn(t.Context())
		two.Turn(t.Context())
		if n := s.asked("/a"); n != 1 {
			t.Fatalf("asked %d times", n)
		}
		two.clock.Add(7 * time.Hour)
		two.Turn(t.Context())
		if n := s.asked("/a"); n != 2 {
			t.Errorf("asked %d times after the first node fell silent", n)
		}
	})
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{Folder: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := postmaster.New(postmaster.Options{}); err == nil {
		t.Error("no database")
	}
	db := storetest.SQLite(t, store.MainSchema())
	if _, err := postmaster.New(postmaster.Options{DB: db, Links: []postmaster.Link{{Name: "a"}, {Name: "a"}}}); err == nil || strings.Contains(err.Error(), "http") {
		t.Errorf("two links of one name: %v", err)
	}
}

// each runs a benchmark on both databases.
func each(b *testing.B, run func(b *testing.B, db *store.DB)) {
	b.Run("sqlite", func(b *testing.B) { run(b, storetest.SQLite(b, store.MainSchema())) })
	b.Run("postgres", func(b *testing.B) { run(b, storetest.Postgres(b, store.MainSchema())) })
}

func opened(b *testing.B, db *store.DB) *postmaster.Postmaster {
	b.Helper()
	p, err := postmaster.New(postmaster.Options{DB: db, Now: newClock().Now})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// BenchmarkHeat is a page of a map of 90,000 rows, by a program that has just begun.
func BenchmarkHeat(b *testing.B) {
	each(b, func(b *testing.B, db *store.DB) {
		if err := fill(b, opened(b, db), 1000, 90); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if h, err := opened(b, db).Heat(b.Context(), day("2026-07-02"), day("2026-09-29"), 0, 50); err != nil || len(h.Lines) != 1000 {
				b.Fatal(err, len(h.Lines))
			}
		}
	})
}

// BenchmarkImport is a file of 256 addresses and 90 days: new, and once more.
func BenchmarkImport(b *testing.B) {
	each(b, func(b *testing.B, db *store.DB) {
		p := opened(b, db)
		for b.Loop() {
			if err := fill(b, p, 256, 90); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := db.Write(b.Context(), func(tx *store.Tx) error {
				for _, table := range []string{"postmaster_snds", "postmaster_sheet"} {
					if _, err := tx.Exec("DELETE FROM " + table); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// fill imports so many addresses and days.
func fill(tb testing.TB, p *postmaster.Postmaster, addresses, days int) error {
	var file strings.Builder
	colours := []string{"GREEN", "GREEN", "GREEN", "YELLOW", "RED"}
	for d := range days {
		at := day("2026-09-29").AddDate(0, 0, -d)
		for i := range addresses {
			ip := netip.AddrFrom4([4]byte{192, 0, 2 + byte(i>>8), byte(i)})
			file.WriteString(row(ip.String(), at.Format("1/2/2006"), at.AddDate(0, 0, 1).Format("1/2/2006"), colours[(i*d)%5], "0.1%", "0"))
		}
	}
	did, err := p.Import(tb.Context(), []byte(file.String()), "test")
	if err == nil && did.New != addresses*days {
		tb.Errorf("%d rows taken", did.New)
	}
	return err
}
