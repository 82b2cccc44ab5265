package postmaster_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"postern/internal/postmaster"
	"postern/internal/report"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// added is a map that is added up from the rows, one by one.
func (r *room) added(from, to string) (h postmaster.Heat) {
	r.t.Helper()
	all, err := r.Rows(r.t.Context(), day(from), day(to), 1_000_000)
	if err != nil {
		r.t.Fatal(err)
	}
	for d := day(from); !d.After(day(to)); d = d.AddDate(0, 0, 1) {
		h.Days = append(h.Days, d)
	}
	type share struct {
		sum, weight float64
		sharp, any  bool
	}
	rate := func(s share) report.SNDSRate {
		if !s.any {
			return report.SNDSRate{}
		}
		return report.SNDSRate{Percent: s.sum / s.weight, Below: !s.sharp, Known: true}
	}
	plus := func(n *report.SNDSNumber, m report.SNDSNumber) {
		n.Value, n.Known = n.Value+m.Value, n.Known || m.Known
	}
	colours := []report.SNDSColour{"", report.SNDSGreen, report.SNDSYellow, report.SNDSRed}
	lines, shares, everything := map[netip.Addr]*postmaster.Line{}, map[netip.Addr]share{}, share{}
	for _, x := range all {
		l := lines[x.IP]
		if l == nil {
			l = &postmaster.Line{IP: x.IP, Cells: make([]postmaster.Cell, len(h.Days))}
			lines[x.IP] = l
		}
		c := &l.Cells[int(x.Day().Sub(h.Days[0]).Hours()/24)]
		c.Known, c.Colour = true, colours[max(slices.Index(colours, c.Colour), slices.Index(colours, x.Filter))]
		if y := x.Complaint; y.Known && (!c.Complaint.Known || y.Percent > c.Complaint.Percent || y.Percent == c.Complaint.Percent && !y.Below) {
			c.Complaint = y
		}
		plus(&c.Traps, x.TrapHits)
		plus(&c.Recipients, x.Recipients)
		plus(&l.Traps, x.TrapHits)
		plus(&l.Recipients, x.Recipients)
		if x.Day().After(l.Last) {
			l.Last = x.Day()
		}
		if x.Complaint.Known && x.Recipients.Known && x.Recipients.Value > 0 {
			one := shares[x.IP]
			for _, s := range []*share{&one, &everything} {
				s.any, s.sharp = true, s.sharp || !x.Complaint.Below
				s.sum, s.weight = s.sum+x.Complaint.Percent*float64(x.Recipients.Value), s.weight+float64(x.Recipients.Value)
			}
			shares[x.IP] = one
		}
	}
	h.Average = rate(everything)
	for ip, l := range lines {
		l.Complaint = rate(shares[ip])
		for _, c := range l.Cells {
			if c.Known {
				l.Days++
			}
			*map[report.SNDSColour]*int{"": new(int), report.SNDSGreen: &l.Green, report.SNDSYellow: &l.Yellow, report.SNDSRed: &l.Red}[c.Colour]++
		}
		if l.Red > 0 {
			h.Red++
		}
		if l.Traps.Value > 0 {
			h.Trapped++
		}
		h.Lines = append(h.Lines, *l)
	}
	return h
}

// same compares the map of a span with what its rows add up to.
func (r *room) same(when, from, to string) {
	r.t.Helper()
	got, want := r.heat(from, to), r.added(from, to)
	byAddress := func(a, b postmaster.Line) int { return a.IP.Compare(b.IP) }
	slices.SortFunc(got.Lines, byAddress)
	slices.SortFunc(want.Lines, byAddress)
	near := func(a, b *report.SNDSRate) bool { // sums of fractions in another order
		ok := a.Known == b.Known && a.Below == b.Below && math.Abs(a.Percent-b.Percent) < 1e-9
		a.Percent, b.Percent = 0, 0
		return ok
	}
	if !near(&got.Average, &want.Average) {
		r.t.Fatalf("%s, %s to %s: average %+v, want %+v", when, from, to, got.Average, want.Average)
	}
	for i := range min(len(got.Lines), len(want.Lines)) {
		g, w := &got.Lines[i], &want.Lines[i]
		if before := *g; !near(&g.Complaint, &w.Complaint) || !reflect.DeepEqual(*g, *w) {
			r.t.Fatalf("%s, %s to %s:\ngot  %+v\nwant %+v", when, from, to, before, *w)
		}
	}
	if !reflect.DeepEqual(got, want) {
		r.t.Fatalf("%s, %s to %s: got %d lines, %d red, %d trapped; want %d, %d, %d", when, from, to, len(got.Lines), got.Red, got.Trapped, len(want.Lines), want.Red, want.Trapped)
	}
}

// figures writes a file about some addresses on some days: whole days, parts of them, periods that overlap or begin together, columns that say nothing.
func figures(r *rand.Rand, addresses, days, rows int) string {
	var file strings.Builder
	some := func(values ...string) string { return values[r.IntN(len(values))] }
	for range rows {
		ip := fmt.Sprintf("192.0.2.%d", r.IntN(addresses))
		if r.IntN(4) == 0 {
			ip = fmt.Sprintf("2001:db8::%x", r.IntN(addresses))
		}
		from := day("2026-09-01").AddDate(0, 0, r.IntN(days)).Add(time.Duration(6*r.IntN(4)) * time.Hour)
		to := from.Add(time.Duration(6*(1+r.IntN(9))) * time.Hour)
		const form = "1/2/2006 3:04 PM"
		fmt.Fprintf(&file, "%s,%s,%s,1000,990,%s,%s,%s,,,%s,,,\n", ip, from.Format(form), to.Format(form), some("", "0", "7", "900", "1000000000000"), some("", "GREEN", "YELLOW", "RED"),
			some("", "< 0.1%", "0.1%", "0%", "0.5%", "33.333333%"), some("", "0", "1", "26"))
	}
	return file.String()
}

// Whatever was imported, corrected and removed: the map is what its rows add up to, and what is missing is not zero.
func TestSheets(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		for seed := range uint64(3) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			r := open(t, db, postmaster.Options{Keep: 40 * 24 * time.Hour})
			for i := range 12 {
				when := fmt.Sprintf("seed %d, step %d", seed, i)
				switch what := rnd.IntN(5); {
				case what == 0 && i > 6:
					r.clock.Add(time.Duration(rnd.IntN(6*24)) * time.Hour)
					if err := r.Clean(t.Context()); err != nil {
						t.Fatal(err)
					}
					when += " (cleaned)"
				case what == 1: // as after an upgrade
					spoil(t, db, rnd, `UPDATE postmaster_sheet SET packed = 0, cells = ? WHERE day % 3 = ?`, []byte{})
					when += " (unpacked)"
				case what == 2: // as after damage
					spoil(t, db, rnd, `UPDATE postmaster_sheet SET cells = ? WHERE day % 3 = ?`, []byte("\x01\xffdamage"))
					when += " (damaged)"
				case what == 3:
					r.Turn(t.Context())
					when += " (turn)"
				}
				r.same(when, "2026-08-25", "2026-10-05")
				r.take(figures(rnd, 12, 25, 1+rnd.IntN(60)))
				r.same(when+", imported", "2026-08-25", "2026-10-05")
				r.same(when+", imported", "2026-09-10", "2026-09-12")
			}
		}
	})
}

func spoil(t *testing.T, db *store.DB, r *rand.Rand, sql string, cells []byte) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(sql, cells, r.IntN(3))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// What is done with an address stands on its line: the worst of the ranges that hold it.
func TestStatesOfMap(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 1))
	for range 3 {
		r := open(t, storetest.SQLite(t, store.MainSchema()), postmaster.Options{})
		var file strings.Builder
		for range 60 {
			form, first := []string{"192.0.2.%d", "2001:db8::%x"}[rnd.IntN(2)], rnd.IntN(60)
			fmt.Fprintf(&file, form+","+form+",No,%s\n", first, first+rnd.IntN(1+rnd.IntN(9)), []string{"Junked", "Bot", "Blocked due to user complaints", "Strange"}[rnd.IntN(4)])
		}
		r.take(file.String())
		r.take(figures(rnd, 60, 10, 200))
		states, err := r.States(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		known := 0
		for _, l := range r.heat("2026-09-01", "2026-09-20").Lines {
			s, err := r.Standing(t.Context(), l.IP)
			if err != nil || !reflect.DeepEqual(l.State, s.State) {
				t.Errorf("%s: the map says %+v, its page %+v, %v", l.IP, l.State, s.State, err)
			}
			if slices.ContainsFunc(states, func(s postmaster.State) bool { return s.Has(l.IP) }) != (l.State != nil) {
				t.Errorf("%s: %+v", l.IP, l.State)
			}
			if l.State != nil {
				known++
			}
		}
		if known == 0 {
			t.Error("no line has a state")
		}
	}
}

// A period that came with another end counts for another day: the former day does not keep it.
func TestPeriodMoves(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		r := open(t, db, postmaster.Options{})
		r.take("192.0.2.1,9/20/2026 12:00 AM,9/20/2026 6:00 AM,10,9,8,RED,,,,26,,,\n192.0.2.1,9/20/2026 6:00 AM,9/21/2026 12:00 AM,10,9,8,GREEN,,,,,,,\n")
		r.same("before", "2026-09-18", "2026-09-24")
		if did := r.take("192.0.2.1,9/20/2026 12:00 AM,9/23/2026 12:00 AM,10,9,8,YELLOW,,,,0,,,\n"); did.Changed != 1 {
			t.Errorf("got %+v", did)
		}
		r.same("after", "2026-09-18", "2026-09-24")
		if l := r.heat("2026-09-18", "2026-09-24").Lines[0]; l.Red != 0 || l.Yellow != 1 || l.Green != 1 || !l.Traps.Known || l.Traps.Value != 0 {
			t.Errorf("got %+v", l)
		}
	})
}

// Nodes that import at once, while sheets are packed and old ones removed, lose nothing of each other's.
func TestSheetsTogether(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var nodes []*room
		for range 3 {
			nodes = append(nodes, open(t, db, postmaster.Options{Node: "one", Keep: 25 * 24 * time.Hour}))
		}
		nodes[0].take(figures(rand.New(rand.NewPCG(1, 1)), 8, 25, 200))
		var all sync.WaitGroup
		for i, r := range nodes {
			all.Go(func() {
				rnd := rand.New(rand.NewPCG(2, uint64(i)))
				for range 4 {
					spoil(t, db, rnd, `UPDATE postmaster_sheet SET packed = 0, cells = ? WHERE day % 3 = ?`, []byte{})
					r.take(figures(rnd, 8, 25, 40))
					r.Turn(t.Context())
					if err := r.Clean(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		nodes[0].same("together", "2026-08-25", "2026-10-05")
	})
}

// A database from before there were sheets: the map is right at once, and the next turn packs its days. What ends the packing in between does no harm.
func TestSheetsOfOldRows(t *testing.T) {
	urls := map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "old.db") },
		"postgres": func(t *testing.T) string { return storetest.PostgresURL(t, nil) },
	}
	for engine, url := range urls {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := store.Options{URL: url(t), Migrations: schemaBefore(t, "0026"), Logger: storetest.Logger(t)}
			old, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			err = old.Write(t.Context(), func(tx *store.Tx) error {
				for i := range 300 {
					at := day("2026-09-01").AddDate(0, 0, i%20)
					if _, err := tx.Exec(`INSERT INTO postmaster_snds (ip, start, ended, day, rcpt, data, recipients, colour, complaint, below, trap_start, trap_end, traps, helo, sender, comments, source, seen)
 VALUES (?, ?, ?, ?, 1, 1, ?, ?, ?, 0, 0, 0, ?, '', '', '', 'upload', 1)`, fmt.Sprintf("192.0.2.%d", i/20), at, at.AddDate(0, 0, 1), at.Unix()/86400, i%5*100-1, []string{"", "green", "red"}[i%3], i%4*100_000-1,
						i%3-1); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			o.Migrations = store.MainSchema()
			db := storetest.Open(t, o)
			r := open(t, db, postmaster.Options{})
			unpacked := func() (n int) {
				if err := db.Read(t.Context(), func(tx *store.Tx) error {
					return tx.QueryRow(`SELECT count(*) FROM postmaster_sheet WHERE packed = 0`).Scan(&n)
				}); err != nil {
					t.Fatal(err)
				}
				return n
			}
			if n := unpacked(); n != 20 {
				t.Errorf("%d days wait", n)
			}
			r.same("migrated", "2026-08-25", "2026-09-30")
			r.take(row("192.0.2.1", "9/4/2026", "9/5/2026", "YELLOW", "0.5%", "26") + row("192.0.2.1", "9/25/2026", "9/26/2026", "RED", "", ""))
			r.same("imported", "2026-08-25", "2026-09-30")
			r.Turn(t.Context())
			if n := unpacked(); n != 0 {
				t.Errorf("%d days wait after a turn", n)
			}
			r.same("packed", "2026-08-25", "2026-09-30")
		})
	}
}

// schemaBefore is the main schema without a migration and those behind it.
func schemaBefore(t *testing.T, number string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	names, err := fs.Glob(store.MainSchema(), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if cmp.Less(name, number) {
			text, err := fs.ReadFile(store.MainSchema(), name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = &fstest.MapFile{Data: text}
		}
	}
	return store.Schema{FS: out, Set: "main"}
}

// A node packs a day of which another one imports a row: its transaction began before that row was there, and must begin again.
func TestPackingWaitsForImport(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t, store.MainSchema())
	r, other := open(t, db, postmaster.Options{Node: "one"}), open(t, db, postmaster.Options{Node: "one"})
	r.take(row("192.0.2.1", "9/28/2026", "9/29/2026", "GREEN", "", ""))
	r.Turn(t.Context()) // what is due but for packing
	other.Turn(t.Context())
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE postmaster_sheet SET packed = 0, cells = ?`, []byte{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		var day int64
		if err := tx.QueryRow(`SELECT day FROM postmaster_sheet FOR UPDATE`).Scan(&day); err != nil {
			return err
		}
		for i, act := range []func(){
			func() { r.take(row("192.0.2.2", "9/28/2026", "9/29/2026", "RED", "", "26")) },
			func() { other.Turn(t.Context()) },
		} {
			all.Go(act)
			for waiting := 0; waiting <= i; {
				if err := tx.QueryRow(`SELECT count(DISTINCT w.pid) FROM pg_locks AS w JOIN pg_locks AS h ON h.pid = w.pid WHERE NOT w.granted
 AND h.database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&waiting); err != nil {
					return err
				}
			}
		}
		return nil
	})
	all.Wait()
	if err != nil {
		t.Fatal(err)
	}
	r.same("packed", "2026-09-25", "2026-09-30")
	if h := r.heat("2026-09-25", "2026-09-30"); len(h.Lines) != 2 {
		t.Errorf("%d lines", len(h.Lines))
	}
}
