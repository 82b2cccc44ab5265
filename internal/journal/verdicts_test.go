package journal_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// pairs yields tests with points in the order given.
func pairs(points ...any) func(yield func(string, float64) bool) {
	return func(yield func(string, float64) bool) {
		for i := 0; i < len(points); i += 2 {
			if !yield(points[i].(string), points[i+1].(float64)) {
				return
			}
		}
	}
}

const wholeVerdict = `{"score":4.5,"raw":4.5,"threshold":3,"held":true,"locked":true,"hits":[{"test":"SPF_FAIL","points":3.5,"evidence":["x {\"h\":1}"],
 "args":{"r":"1"}},{"test":"MISSING_SUBJECT","points":1,"evidence":[]}],"unknown":[{"test":"CLIENT_LISTED","why":"timeout"}],"at":"2026-11-21T12:00:00Z","elapsed":5}`

func TestBrief(t *testing.T) {
	t.Parallel()
	got := journal.EncodeBrief(2.1, 3, pairs("SPF_NONE", 1.2, "HTML_MESSAGE", 0.001, `NO "NAME"`, 1.0, "", 2.0, "AWL", -0.5))
	if want := `{"r":2.1,"t":3,"h":{"SPF_NONE":1.2,"HTML_MESSAGE":0.001,"AWL":-0.5}}`; string(got) != want {
		t.Errorf("%s", got)
	}
	for name, tc := range map[string]struct {
		detail string
		want   string
	}{
		"brief":         {string(got), "raw 2.1 of 3 held false locked false: AWL=-0.5 HTML_MESSAGE=0.001 SPF_NONE=1.2"},
		"nothing fired": {string(journal.EncodeBrief(0, 3, pairs())), "raw 0 of 3 held false locked false:"},
		"whole":         {wholeVerdict, "raw 4.5 of 3 held true locked true: MISSING_SUBJECT=1 SPF_FAIL=3.5"},
		"queue ID":      {"01kahz", ""},
		"none":          {"", ""},
		"other JSON":    {`{"a":1}`, ""},
		"with spaces":   {`{"r": 1, "t": 3, "h": {"A": 2}}`, "raw 1 of 3 held false locked false: A=2"},
		"cut off":       {string(got[:len(got)-1]), ""},
		"cut earlier":   {string(got[:len(got)-5]), ""},
		"goes on":       {string(got) + "x", ""},
		"damaged":       {`{"r":1`, ""},
		"a number":      {`7`, ""},
	} {
		b, ok := journal.DecodeBrief([]byte(tc.detail))
		text := ""
		if ok {
			text = fmt.Sprintf("raw %v of %v held %v locked %v:", b.Raw, b.Threshold, b.Held, b.Locked)
			for _, test := range slices.Sorted(maps.Keys(b.Points)) {
				text += fmt.Sprintf(" %s=%v", test, b.Points[test])
			}
		}
		if text != tc.want {
			t.Errorf("%s: %q, want %q", name, text, tc.want)
		}
	}
}

func FuzzDecodeBrief(f *testing.F) {
	f.Add([]byte(wholeVerdict))
	f.Add(journal.EncodeBrief(2.1, 3, pairs("SPF_NONE", 1.2)))
	f.Fuzz(func(t *testing.T, detail []byte) {
		b, ok := journal.DecodeBrief(detail)
		if !ok {
			return
		}
		again, ok := journal.DecodeBrief(journal.EncodeBrief(b.Raw, b.Threshold, maps.All(b.Points)))
		if !ok || again.Raw != b.Raw || again.Threshold != b.Threshold || len(again.Points) > len(b.Points) {
			t.Fatalf("%q: %+v, then %+v", detail, b, again)
		}
	})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j, ctx := open(t, db, at(noon)), t.Context()
		var facts []journal.Fact
		add := func(kind journal.Kind, customer string, change func(*journal.Fact)) mail.QueueID {
			f := journal.Fact{Kind: kind, At: noon.Add(time.Duration(len(facts)/2) * time.Second), QueueID: mail.NewQueueID(noon), Customer: customer, Actor: "rule",
				Recipient: "bob@remote.example", HeaderFrom: "anna@shop.example", Subject: "Invoice", Detail: journal.EncodeBrief(1, 3, pairs("SPF_NONE", 1.0))}
			if change != nil {
				change(&f)
			}
			facts = append(facts, f)
			return f.QueueID
		}
		var want []mail.QueueID
		for i := range 25 {
			customer := []string{"shop", "bakery"}[i%2]
			id := add(journal.Accepted, customer, nil)
			add(journal.Delivered, customer, func(f *journal.Fact) { f.QueueID, f.Detail = id, nil })
			if customer == "shop" {
				want = append(want, id)
			}
		}
		held := add(journal.Held, "shop", func(f *journal.Fact) { f.Detail, f.Text, f.Score = []byte(wholeVerdict), "12 recipients", 4.5 })
		add(journal.Held, "shop", func(f *journal.Fact) { f.Actor, f.Detail = "operator:ann", []byte(wholeVerdict) })
		old := add(journal.Recovered, "shop", func(f *journal.Fact) { f.Detail = nil })
		refused := add(journal.Rejected, "shop", func(f *journal.Fact) { f.Detail = []byte(wholeVerdict) })
		want = append(want, held, old, refused)
		slices.Reverse(want)
		must(t, j.Append(ctx, facts...))

		var got []journal.Tested
		cursor := ""
		for pages := 0; ; pages++ {
			page, next, err := j.Verdicts(ctx, journal.VerdictQuery{Customer: "shop", Limit: 4, Cursor: cursor})
			must(t, err)
			if len(page) > 4 || pages > 10 {
				t.Fatalf("page %d of %d", pages, len(page))
			}
			got = append(got, page...)
			if next == "" {
				break
			}
			cursor = next
		}
		var ids []mail.QueueID
		for _, x := range got {
			ids = append(ids, x.ID)
		}
		if !slices.Equal(ids, want) {
			t.Fatalf("%d messages, want %d\n%v\n%v", len(ids), len(want), ids, want)
		}
		if r, o, h := got[0], got[1], got[2]; r.Kind != journal.Rejected || !r.Known || !r.Brief.Held || o.Known || o.Kind != journal.Accepted ||
			h.Recipients != 12 || h.Score != 4.5 || h.Brief.Points["SPF_FAIL"] != 3.5 || h.HeaderFrom != "anna@shop.example" || h.Subject != "Invoice" {
			t.Errorf("%+v", got[:3])
		}
		if x := got[5]; !x.Known || x.Brief.Held || x.Recipients != 1 || x.Brief.Points["SPF_NONE"] != 1 || x.Brief.Threshold != 3 {
			t.Errorf("%+v", x)
		}
		all, _, err := j.Verdicts(ctx, journal.VerdictQuery{})
		must(t, err)
		if len(all) != 28 {
			t.Errorf("of everybody: %d", len(all))
		}
		if _, _, err := j.Verdicts(ctx, journal.VerdictQuery{Cursor: "x"}); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
}

// TestVerdictsWalkAnIndex: the newest verdicts are found without reading or sorting the journal.
func TestVerdictsWalkAnIndex(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	for _, x := range journal.VerdictPlans() {
		for _, line := range plan(t, db, x.SQL, x.Args) {
			if !strings.Contains(line, "SEARCH journal_fact USING INDEX "+x.Index) && (!strings.Contains(line, "SCAN journal_fact USING INDEX "+x.Index) || strings.Contains(x.SQL, "at, id")) || strings.Contains(line, "TEMP B-TREE") {
				t.Errorf("%s\n%s", line, x.SQL)
			}
		}
	}
}

// TestVerdictsAreBounded: a customer whose mail left many facts and few verdicts is looked through a page at a time.
func TestVerdictsAreBounded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		facts := make([]journal.Fact, journal.Scan+500)
		for i := range facts {
			facts[i] = journal.Fact{Kind: journal.Deferred, Customer: "shop", At: noon.Add(-time.Duration(i) * time.Second)}
		}
		for _, i := range []int{3, journal.Scan + 400} {
			facts[i].Kind, facts[i].Detail = journal.Accepted, journal.EncodeBrief(1, 3, pairs("SPF_NONE", 1.0))
		}
		must(t, j.Append(t.Context(), facts...))
		cursor := ""
		for page, last := range []bool{false, true} {
			found, next, err := j.Verdicts(t.Context(), journal.VerdictQuery{Customer: "shop", Cursor: cursor})
			must(t, err)
			if len(found) != 1 || (next == "") != last {
				t.Fatalf("page %d: %d messages, next %q", page, len(found), next)
			}
			cursor = next
		}
	})
}

// typical are the tests of an ordinary message.
var typical = pairs("HTML_MESSAGE", 0.001, "MIME_HTML_ONLY", 0.1, "DKIM_SIGNED", 0.1, "SPF_PASS", -0.001, "SPF_HELO_PASS", -0.001, "DKIM_VALID", -0.1, "DKIM_VALID_AU", -0.1,
	"DMARC_PASS", -0.1, "BAYES_00", -1.9, "T_REMOTE_IMAGE", 0.01)

func BenchmarkEncodeBrief(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		journal.EncodeBrief(-2.0, 3, typical)
	}
	b.ReportMetric(float64(len(journal.EncodeBrief(-2.0, 3, typical))), "bytes")
}

// BenchmarkAcceptedFact is what a fact costs with and without its brief verdict, in batches of 64.
func BenchmarkAcceptedFact(b *testing.B) {
	for name, detail := range map[string][]byte{"without": nil, "with": journal.EncodeBrief(-2.0, 3, typical)} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "x.db")
			db, err := store.Open(b.Context(), store.Options{URL: "sqlite:" + path, Migrations: store.MainSchema()})
			must(b, err)
			defer func() { _ = db.Close() }()
			j := open(b, db, nil)
			n := 0
			for b.Loop() {
				facts := make([]journal.Fact, 64)
				for i := range facts {
					facts[i] = journal.Fact{Kind: journal.Accepted, At: noon.Add(time.Duration(n) * time.Second), QueueID: mail.NewQueueID(noon), Customer: "shop", ReversePath: "anna@shop.example",
						Recipient: fmt.Sprintf("bob%d@remote.example", n), HeaderFrom: "anna@shop.example", Subject: "Invoice 2026", MessageID: fmt.Sprintf("<%d@shop.example>", n), Size: 5000, Actor: "rule", Detail: detail}
					n++
				}
				must(b, j.Append(b.Context(), facts...))
			}
			var pages, size int64
			must(b, db.Read(context.WithoutCancel(b.Context()), func(tx *store.Tx) error {
				if err := tx.QueryRow("PRAGMA page_count").Scan(&pages); err != nil {
					return err
				}
				return tx.QueryRow("PRAGMA page_size").Scan(&size)
			}))
			b.ReportMetric(float64(pages*size)/float64(n), "db-bytes/fact")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "us/fact")
		})
	}
}

// BenchmarkVerdicts100k reads the verdicts of 100,000 messages among twice as many facts.
func BenchmarkVerdicts100k(b *testing.B) {
	db := storetest.SQLite(b, store.MainSchema())
	j := open(b, db, at(noon))
	detail := journal.EncodeBrief(-2.0, 3, typical)
	for i := range 100 {
		facts := make([]journal.Fact, 0, 2000)
		for k := range 1000 {
			f := journal.Fact{Kind: journal.Accepted, At: noon.Add(time.Duration(i*1000+k) * time.Millisecond), QueueID: mail.NewQueueID(noon), Customer: fmt.Sprint("c", k%50),
				HeaderFrom: "anna@shop.example", Recipient: "bob@remote.example", Subject: "Invoice", Actor: "rule", Detail: detail}
			d := f
			d.Kind, d.Detail = journal.Delivered, nil
			facts = append(facts, f, d)
		}
		must(b, j.Append(b.Context(), facts...))
	}
	b.ReportAllocs()
	for b.Loop() {
		n, cursor := 0, ""
		for {
			page, next, err := j.Verdicts(b.Context(), journal.VerdictQuery{Limit: 5000, Cursor: cursor})
			must(b, err)
			n += len(page)
			if cursor = next; next == "" {
				break
			}
		}
		if n != 100_000 {
			b.Fatal(n)
		}
	}
}
