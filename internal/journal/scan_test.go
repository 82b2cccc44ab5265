package journal_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// TestScanIsBounded: a page of a search compares so many facts and no more, says how far back it looked, and the next goes on from there.
func TestScanIsBounded(t *testing.T) {
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		j := open(t, db, at(noon))
		facts := make([]journal.Fact, 2*journal.Scan+500)
		for i := range facts {
			facts[i] = journal.Fact{Kind: journal.Delivered, Customer: "acme", Recipient: "a@there.example", At: noon.Add(-time.Duration(i) * time.Second), Text: "ok"}
		}
		oldest := len(facts) - 1
		facts[oldest].Text, facts[oldest].Kind, facts[oldest].Customer = "needle", journal.Bounced, "other"
		facts[3].Text = "needle"
		must(t, j.Append(t.Context(), facts...))
		for name, tc := range map[string]struct {
			query journal.Query
			found []int // on each page
		}{
			"text":               {journal.Query{Text: "needle"}, []int{1, 0, 1}},
			"kind":               {journal.Query{Kinds: []journal.Kind{journal.Bounced}}, []int{0, 0, 1}},
			"text of a customer": {journal.Query{Text: "needle", Customer: "acme"}, []int{1, 0, 0}},
			"address":            {journal.Query{Address: "a@there.example", Customer: "other"}, []int{0, 0, 1}},
			"one in the window":  {journal.Query{Text: "needle", Until: noon.Add(-time.Minute)}, []int{0, 0, 1}},
		} {
			q := tc.query
			for page, want := range tc.found {
				found, err := j.Look(t.Context(), q)
				must(t, err)
				last := page == len(tc.found)-1
				if len(found.Facts) != want || (found.Next == "") != last || found.Looked.IsZero() != last {
					t.Errorf("%s, page %d: %d facts, next %q, looked back to %s", name, page, len(found.Facts), found.Next, found.Looked)
				}
				q.Cursor = found.Next
			}
		}
		matches, _, err := j.Find(t.Context(), journal.Problem{Text: "needle"})
		must(t, err)
		_ = matches // facts without a message are no matches; it must only end
	})
}

// TestPlans: no question of a search reads the whole journal, and none sorts.
func TestPlans(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	j := open(t, db, at(noon))
	for name, q := range map[string]journal.Query{
		"all": {}, "text": {Text: "x"}, "customer": {Customer: "a"}, "customer text": {Customer: "a", Text: "x"}, "address": {Address: "a@b.c"},
		"address customer": {Address: "a@b.c", Customer: "a"}, "message id": {MessageID: "x@y"}, "message id customer": {MessageID: "x@y", Customer: "a"},
		"kinds": {Kinds: []journal.Kind{journal.Bounced}}, "customer kinds since": {Customer: "a", Kinds: []journal.Kind{journal.Bounced, journal.Held}, Since: noon},
		"rare kinds": {Kinds: []journal.Kind{journal.Tuned, journal.Complaint}}, "rare kind of a customer": {Customer: "a", Text: "x", Kinds: []journal.Kind{journal.Complaint}},
		"everything": {Customer: "a", Text: "x", Address: "a@b.c", Kinds: []journal.Kind{journal.Held}, Since: noon, Until: noon.Add(time.Hour)},
	} {
		sqls, args := journal.Plans(j, q)
		for i, sql := range sqls {
			if !strings.Contains(sql, "OFFSET") && strings.Contains(sql, "at >= ?") {
				t.Errorf("%s: two bounds, and the database may walk from the farther one: %s", name, sql)
			}
			for _, line := range plan(t, db, sql, args[i]) {
				if strings.HasPrefix(line, "SCAN") || strings.Contains(line, "TEMP B-TREE") && name != "message id" && name != "message id customer" {
					t.Errorf("%s: %s\n%s", name, line, sql)
				}
				if strings.HasPrefix(name, "rare") && !strings.Contains(line, "journal_fact_rare") {
					t.Errorf("%s: %s\n%s", name, line, sql)
				}
				if strings.Contains(sql, "OFFSET") && !strings.Contains(line, "COVERING INDEX") {
					t.Errorf("%s: the end of a page is not found in an index alone: %s\n%s", name, line, sql)
				}
			}
		}
	}
	for _, sql := range []string{
		`SELECT at, kind, count FROM journal_figure WHERE customer = 'a' AND span = 1 AND at >= 1 AND at < 2`,
		`SELECT customer, sum(count) FROM journal_figure WHERE span = 1 AND at >= 1 AND at < 2 AND kind = 'x' AND customer <> '' GROUP BY customer`,
		`SELECT at, hits FROM journal_figure_test WHERE test = 'x' AND customer = '' AND span = 1 AND at >= 1 AND at < 2`,
		`SELECT test, sum(hits), sum(points) FROM journal_figure_test WHERE customer = 'a' AND span = 24 AND at >= 1 AND at < 2 GROUP BY test`,
		`SELECT provider, kind, sum(count) FROM journal_figure_provider WHERE customer = '' AND span = 1 AND at >= 1 AND at < 2 GROUP BY provider, kind`,
		`SELECT coalesce(min(at), 0) FROM journal_figure WHERE customer = '' AND span = 24`,
		`SELECT 1 FROM journal_fact WHERE id > 1 AND id <= 2 ORDER BY id LIMIT 3`,
	} {
		for _, line := range plan(t, db, sql, nil) {
			if strings.HasPrefix(line, "SCAN") {
				t.Errorf("%s: %s", line, sql)
			}
		}
	}
	if lines := plan(t, db, journal.TopTaken, []any{1, 2}); !strings.Contains(lines[0], "USING COVERING INDEX journal_figure_taken (span=? AND kind=? AND at>? AND at<?)") {
		t.Errorf("who sends most: %q", lines)
	}
	for _, sql := range journal.Prunes() {
		if lines := strings.Join(plan(t, db, sql, []any{1, 2, 3}), "; "); !strings.Contains(lines, "_at (span=? AND at<?)") || strings.Contains(lines, "SCAN") {
			t.Errorf("%s: %s", sql, lines)
		}
	}
}

// plan is SQLite's plan of a question.
func plan(t *testing.T, db *store.DB, sql string, args []any) (lines []string) {
	t.Helper()
	must(t, db.Read(t.Context(), func(tx *store.Tx) error {
		rows := tx.Query("EXPLAIN QUERY PLAN "+sql, args...)
		for rows.Next() {
			var a, b, c int64
			var line string
			if err := rows.Scan(&a, &b, &c, &line); err != nil {
				return err
			}
			lines = append(lines, line)
		}
		return rows.Err()
	}))
	if len(lines) == 0 {
		t.Fatal(fmt.Errorf("no plan of %s", sql))
	}
	return lines
}
