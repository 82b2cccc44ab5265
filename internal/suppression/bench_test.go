package suppression_test

import (
	"fmt"
	"runtime"
	"testing"

	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
)

// fill puts n entries into the ledger.
func fill(b testing.TB, l *suppression.Ledger, n int) {
	b.Helper()
	all := make([]suppression.Entry, 0, 5000)
	for i := range n {
		all = append(all, suppression.Entry{Customer: fmt.Sprint("customer-", i%50), Address: mail.Address{Local: fmt.Sprint("user.", i), Domain: mail.Domain(fmt.Sprintf("domain-%d.example", i%3000))},
			Reason: suppression.UnknownUser, By: suppression.ByRule})
		if len(all) == cap(all) || i == n-1 {
			if _, err := l.AddAll(b.Context(), all); err != nil {
				b.Fatal(err)
			}
			all = all[:0]
		}
	}
}

func BenchmarkCheckAbsent(b *testing.B) {
	l := open(b, storetest.SQLite(b, store.MainSchema()), startClock())
	fill(b, l, 100_000)
	a := mail.Address{Local: "Jean-Baptiste.Dupont-Martin", Domain: "entreprise-de-travaux.example"}
	b.ReportAllocs()
	for b.Loop() {
		if _, found, err := l.Check(b.Context(), "customer-17", a); found || err != nil {
			b.Fatal(found, err)
		}
	}
}

func BenchmarkCheckPresent(b *testing.B) {
	l := open(b, storetest.SQLite(b, store.MainSchema()), startClock())
	fill(b, l, 10_000)
	a := mail.Address{Local: "user.17", Domain: "domain-17.example"}
	for b.Loop() {
		if _, found, err := l.Check(b.Context(), "customer-17", a); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkMillion says what a million entries cost in memory and to read at start: run it with -benchtime 1x.
func BenchmarkMillion(b *testing.B) {
	db := storetest.SQLite(b, store.MainSchema())
	fill(b, open(b, db, startClock()), 1_000_000)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := open(b, db, startClock())
		runtime.GC()
		runtime.ReadMemStats(&after)
		if got := l.Figures(); got.Entries != 1_000_000 || got.Bytes > 64<<20 {
			b.Fatalf("%+v", got)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB")
		runtime.KeepAlive(l)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	l := open(t, storetest.SQLite(t, store.MainSchema()), startClock())
	a := mail.Address{Local: "Jean.Dupont", Domain: "there.example"}
	if n := testing.AllocsPerRun(100, func() {
		if _, found, _ := l.Check(t.Context(), "c", a); found {
			t.Error("found")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
