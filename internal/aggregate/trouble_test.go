package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/aggregate"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// heard is what a ledger told whom.
type heard struct {
	mu      sync.Mutex
	changes []string
	raised  map[string]aggregate.Trouble
}

// into has a ledger tell the same as another node's: alarms are told once by whoever keeps them.
func (h *heard) into(o *aggregate.Options) {
	h.raised = map[string]aggregate.Trouble{}
	o.Changed = func(_ context.Context, t aggregate.Trouble, began bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changes = append(h.changes, fmt.Sprint(t.Code, " ", t.Domain, " ", began))
	}
	o.Raise = func(t aggregate.Trouble) { h.raised[t.Key()] = t }
	o.Clear = func(key string) { delete(h.raised, key) }
	o.Standing = func() []string { return append(slices.Collect(maps.Keys(h.raised)), "snds.red 192.0.2.1") }
}

// take returns what changed since the last time.
func (h *heard) take() string {
	defer func() { h.changes = nil }()
	return strings.Join(h.changes, ", ")
}

// judged is what became of reports: everything read, looked at, and told.
func judged(t *testing.T, l *aggregate.Ledger) {
	t.Helper()
	if err := l.Process(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Judge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// quiet fills the days before the last ones with mail of our own that passes.
func quiet(t *testing.T, l *aggregate.Ledger, domain string, from, to, failed int) {
	t.Helper()
	for n := from; n >= to; n-- {
		given(t, l, written("r.example", fmt.Sprint("q", n), domain, day(n), "none", rec{"192.0.2.1", 100 - failed, "pass", "pass", ""}, rec{"192.0.2.1", failed + 1, "fail", "fail", ""}))
	}
}

func TestNewSourceIsTold(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var h heard
		l := open(t, db, h.into)
		quiet(t, l, "shop.example", 20, 0, 0)
		given(t, l, written("r.example", "s1", "shop.example", day(12), "none", rec{"203.0.113.9", 60, "fail", "fail", ""}))                                             // known for long
		given(t, l, written("r.example", "s2", "shop.example", day(1), "none", rec{"203.0.113.9", 60, "fail", "fail", ""}, rec{"198.51.100.7", 40, "fail", "fail", ""})) // too few that are new
		judged(t, l)
		if got := h.take(); got != "" || len(h.raised) != 0 {
			t.Fatal(got, h.raised)
		}
		given(t, l, written("q.example", "s3", "shop.example", day(0), "none", rec{"198.51.100.7", 30, "fail", "fail", ""}, rec{"198.51.100.8", 25, "fail", "fail", "forwarded"}))
		judged(t, l)
		key := "reports.reports-source shop.example"
		if got := h.take(); got != "reports-source shop.example true" || h.raised[key].Args["Messages"] != "70" || h.raised[key].Args["Sources"] != "198.51.100.7" || h.raised[key].Args["Count"] != "1" {
			t.Fatal(got, h.raised)
		}
		// Another node hears of the same alarm, and tells no program of it again.
		var other heard
		second := open(t, db, other.into)
		given(t, second, written("p.example", "s4", "shop.example", day(0), "none", rec{"198.51.100.7", 5, "fail", "fail", ""}))
		judged(t, second)
		if got := other.take(); got != "" || other.raised[key].Args["Messages"] != "75" {
			t.Error(got, other.raised)
		}
		some, err := l.Troubles(t.Context(), "shop.example")
		if err != nil || len(some) != 1 || !some[0].Since.Equal(noon) {
			t.Errorf("%+v %v", some, err)
		}
		// A person says whose it is: it is over.
		if err := second.Mark(t.Context(), "shop.example", "198.51.100.7", aggregate.MarkForeign, "x"); err != nil {
			t.Fatal(err)
		}
		judged(t, second)
		judged(t, l)
		if got, first := other.take(), h.take(); got != "reports-source shop.example false" || first != "" || len(other.raised)+len(h.raised) != 0 {
			t.Error(got, first, other.raised, h.raised)
		}
	})
}

func TestFallingShareIsTold(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var h heard
		now := noon
		l := open(t, db, func(o *aggregate.Options) { h.into(o); o.Now = func() time.Time { return now } })
		for _, d := range []string{"shop.example", "poor.example"} { // one that passes, one of which a fifth always fails
			failed := map[string]int{"shop.example": 1, "poor.example": 20}[d]
			quiet(t, l, d, 25, 4, failed)
			given(t, l, written("r.example", "n", d, day(1), "none", rec{"192.0.2.1", 78, "pass", "pass", ""}, rec{"192.0.2.1", 22, "fail", "fail", ""}, rec{"198.51.100.7", 40, "fail", "fail", ""}))
		}
		judged(t, l)
		key := "reports.reports-share shop.example"
		if got := h.take(); got != "reports-share shop.example true" || len(h.raised) != 1 || h.raised[key].Args["Share"] != "78" || h.raised[key].Args["Failed"] != "22" || !strings.HasPrefix(h.raised[key].Args["Usual"], "98") {
			t.Fatal(got, h.raised)
		}
		// It does not end by lasting, nor while half of it stands.
		for n := range 20 {
			now = now.Add(24 * time.Hour)
			given(t, l, written("r.example", fmt.Sprint("b", n), "shop.example", day(-n-1), "none", rec{"192.0.2.1", 900, "pass", "pass", ""}, rec{"192.0.2.1", 100, "fail", "fail", ""}))
		}
		judged(t, l)
		if got := h.take(); got != "" || len(h.raised) != 1 {
			t.Fatal(got, h.raised)
		}
		for n := range 3 {
			now = now.Add(24 * time.Hour)
			given(t, l, written("r.example", fmt.Sprint("g", n), "shop.example", day(-n-21), "none", rec{"192.0.2.1", 1000, "pass", "pass", ""}))
		}
		judged(t, l)
		if got := h.take(); got != "reports-share shop.example false" || len(h.raised) != 0 {
			t.Error(got, h.raised)
		}
	})
}

func tlsReport(id string, n, good, bad int) []byte { return tlsReportOf("Big", id, n, good, bad) }

func tlsReportOf(reporter, id string, n, good, bad int) []byte {
	d := day(n).Format(time.DateOnly)
	return fmt.Appendf(nil, `{"organization-name":"%s","contact-info":"tls@%s","date-range":{"start-datetime":"%sT00:00:00Z","end-datetime":"%sT23:59:59Z"},"report-id":"%s","policies":[{"policy":{"policy-type":"sts","policy-domain":"shop.example"},
"summary":{"total-successful-session-count":%d,"total-failure-session-count":%d},"failure-details":[{"result-type":"certificate-expired","receiving-mx-hostname":"mx.shop.example","failed-session-count":%d}]}]}`, reporter, reporter, d, d, id, good, bad, bad)
}

func TestFailingTLSIsTold(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var h heard
		now := noon
		l := open(t, db, func(o *aggregate.Options) { h.into(o); o.Now = func() time.Time { return now } })
		given(t, l, tlsReport("1", 1, 5000, 12))
		judged(t, l)
		if got := h.take(); got != "" { // a few of thousands always fail
			t.Fatal(got)
		}
		given(t, l, tlsReport("2", 0, 100, 50))
		judged(t, l)
		x := h.raised["reports.reports-tls shop.example"]
		if got := h.take(); got != "reports-tls shop.example true" || x.Args["Failed"] != "62" || x.Args["Results"] != "certificate-expired" || x.Args["MX"] != "mx.shop.example" {
			t.Fatal(got, x)
		}
		now = now.Add(9 * 24 * time.Hour) // nobody reports any more: it is not known, and not told for ever
		judged(t, l)
		if got := h.take(); got != "reports-tls shop.example false" || len(h.raised) != 0 {
			t.Error(got, h.raised)
		}
	})
}

func TestUnreadAreToldTogetherAndReadAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		var h heard
		l := open(t, db, h.into)
		for range 3 {
			given(t, l, []byte(`<!DOCTYPE x><feedback></feedback>`))
		}
		judged(t, l)
		x := h.raised["reports.reports-unread"]
		if len(h.raised) != 1 || x.Args["Count"] != "3" || !strings.Contains(x.Args["Why"], "document type") || !x.Since.Equal(noon) {
			t.Fatalf("%+v", h.raised)
		}
		all, err := l.Unread(t.Context(), "", 10)
		if err != nil || len(all) != 3 {
			t.Fatal(len(all), err)
		}
		if out, err := l.Again(t.Context(), all[0].ID); err != nil || out.Fault == "" || out.Stored != 0 {
			t.Errorf("%+v %v", out, err)
		}
		for _, id := range []string{"", "none"} {
			if _, err := l.Again(t.Context(), id); !errors.Is(err, aggregate.ErrNotFound) {
				t.Error(err)
			}
		}
		if n, err := l.AgainAll(t.Context()); err != nil || n != 3 {
			t.Error(n, err)
		}
		judged(t, l)
		if all, err = l.Unread(t.Context(), "", 10); err != nil || len(all) != 3 || !all[0].Kept {
			t.Fatal(len(all), err)
		}
		for _, x := range all {
			if err := l.Drop(t.Context(), x.ID); err != nil {
				t.Error(err)
			}
		}
		judged(t, l)
		if len(h.raised) != 0 {
			t.Errorf("%+v", h.raised)
		}
	})
}

// TestAgainAfterUpgrade reads what an older version could not.
func TestAgainAfterUpgrade(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, nil)
		raw := written("r.example", "1", "shop.example", day(0), "none", rec{"192.0.2.1", 4, "pass", "pass", ""})
		given(t, l, []byte("nothing"))
		if err := l.Process(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := l.Unread(t.Context(), "", 10)
		if err != nil || len(all) != 1 {
			t.Fatal(len(all), err)
		}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE aggregate_inbox SET body = ?`, raw)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		out, err := l.Again(t.Context(), all[0].ID)
		if err != nil || out.Stored != 1 || out.Fault != "" {
			t.Errorf("%+v %v", out, err)
		}
		if all, err = l.Unread(t.Context(), "", 10); err != nil || len(all) != 0 {
			t.Error(len(all), err)
		}
		if o := read(t, l, "shop.example"); o.Window.Messages != 4 {
			t.Errorf("%+v", o.Window)
		}
	})
}
