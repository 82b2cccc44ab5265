package aggregate_test

import (
	"fmt"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// large fills the sums of a domain in whose name many addresses send every day.
func large(t testing.TB, db *store.DB, days, sources int) {
	t.Helper()
	for d := range days {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			n := day(d).Unix() / 86400
			if _, err := tx.Exec(`INSERT INTO aggregate_domain (domain, reversed, first, last, reports, tls_last, failures, policy, policied) VALUES ('large.example', 'example.large', 0, 1, 1, 0, 0, '', 0) ON CONFLICT (domain) DO NOTHING`); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO aggregate_day (domain, day, reporter, messages, passed, dkim, spf, quarantined, rejected) VALUES ('large.example', ?, 'r', 1000, 900, 1, 1, 0, 0)`, n); err != nil {
				return err
			}
			for i := range sources {
				if _, err := tx.Exec(`INSERT INTO aggregate_source (domain, day, source, messages, passed, dkim, spf, quarantined, rejected, forwarded) VALUES ('large.example', ?, ?, ?, 1, 1, 1, 0, 0, 0)`,
					n, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), 1+i%7); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkFirstVisit reads a domain in whose name two thousand addresses send every day of a hundred, without the memory of a visit before: what roll-ups would have to beat.
func BenchmarkFirstVisit(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func() *store.DB
	}{
		{"sqlite", func() *store.DB { return storetest.SQLite(b, store.MainSchema()) }},
		{"postgres", func() *store.DB { return storetest.Postgres(b, store.MainSchema()) }},
	} {
		b.Run(engine.name, func(b *testing.B) {
			db := engine.open()
			large(b, db, 100, 2000)
			for _, days := range []int{7, 28, 90} {
				b.Run(fmt.Sprint(days), func(b *testing.B) {
					for b.Loop() {
						l, err := aggregate.New(aggregate.Options{DB: db, Now: func() time.Time { return noon }})
						if err != nil {
							b.Fatal(err)
						}
						if _, err := l.Overview(b.Context(), "large.example", day(days-1), day(0)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}
