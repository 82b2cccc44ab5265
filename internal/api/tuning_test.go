package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/api"
	"postern/internal/journal"
	"postern/internal/mail"
)

// lines are the texts of the newest facts about tuning, newest first, with whose they are and by whom.
func (g *gateway) lines(t *testing.T, n int) string {
	t.Helper()
	facts, _, err := g.Journal().Search(t.Context(), journal.Query{Kinds: []journal.Kind{journal.Tuned}, Limit: n})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range facts {
		out = append(out, f.Customer+"|"+f.Actor+"|"+f.Text)
	}
	return strings.Join(out, "\n")
}

func TestScores(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	if _, err := g.client.SetScores(ctx, api.ScoresRequest{Points: map[string]float64{"SPF_NONE": 0.5, "DATE_IN_PAST": 0}}); err != nil {
		t.Fatal(err)
	}
	d, err := g.client.SetScores(ctx, api.ScoresRequest{Customer: "shop", Points: map[string]float64{"SPF_NONE": 2}})
	if err != nil || d.Text != "for customer shop: SPF_NONE 2; it counts from the next message on" {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := g.client.SetScores(ctx, api.ScoresRequest{Customer: "shop", Points: map[string]float64{"SPF_NONE": 1.25}}); err != nil {
		t.Fatal(err)
	}
	if got, want := g.lines(t, 2), "shop|operator:alice|points of SPF_NONE: 1.25 (before: 2)\nshop|operator:alice|points of SPF_NONE: 2 (before: as everybody)"; got != want {
		t.Errorf("%s", got)
	}
	if p, _ := g.Accounts().Tuned("shop").Points("SPF_NONE"); p != 1.25 {
		t.Errorf("%v", p)
	}
	all, err := g.client.Scores(ctx, "", false)
	if err != nil || len(all) != 3 || all[2].Test != "SPF_NONE" || all[2].Customer != "shop" || all[2].Default == 0 || all[2].By != "operator:alice" || all[2].Origin != "database" {
		t.Errorf("%+v %v", all, err)
	}
	his, err := g.client.Scores(ctx, "shop", false)
	if err != nil || len(his) != 2 || his[0].Test != "DATE_IN_PAST" || his[1].Points != 1.25 {
		t.Errorf("%+v %v", his, err)
	}
	if every, err := g.client.Scores(ctx, "shop", true); err != nil || len(every) < 60 || every[0].Test != "SPF_PASS" {
		t.Errorf("%d %v", len(every), err)
	}
	if _, err := g.client.UnsetScores(ctx, api.UnsetRequest{Tests: []string{"SPF_NONE", "DATE_IN_PAST", "SPF_NONE"}}); err != nil {
		t.Fatal(err)
	}
	if got := g.lines(t, 2); !strings.Contains(got, "|operator:alice|points of DATE_IN_PAST: no longer set") {
		t.Errorf("%s", got)
	}
	for name, tc := range map[string]struct {
		err  func() error
		kind string
		says string
	}{
		"unknown tests": {func() error {
			_, err := g.client.SetScores(ctx, api.ScoresRequest{Points: map[string]float64{"SPF_FIAL": 1, "DKIM_NON": 1, "SPF_FAIL": 9}})
			return err
		}, "invalid", "there is no test DKIM_NON; did you mean DKIM_NONE?\nthere is no test SPF_FIAL; did you mean SPF_FAIL"},
		"fixed":       {func() error { return set(g, "", "AWL", 1) }, "invalid", "sender's past"},
		"too many":    {func() error { return set(g, "", "SPF_FAIL", 101) }, "invalid", "between -100 and 100"},
		"no customer": {func() error { return set(g, "nobody", "SPF_FAIL", 1) }, "no-such-customer", "nobody"},
		"not set": {func() error {
			_, err := g.client.UnsetScores(ctx, api.UnsetRequest{Customer: "shop", Tests: []string{"SPF_FAIL"}})
			return err
		}, "not-found", "SPF_FAIL has no other points for customer shop"},
		"nothing": {func() error { _, err := g.client.SetScores(ctx, api.ScoresRequest{}); return err }, "", ""},
		"list nobody": {func() error {
			_, err := g.client.Scores(ctx, "nobody", false)
			return err
		}, "no-such-customer", ""},
	} {
		err := tc.err()
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		} else if tc.kind != "" && kind(t, err) != tc.kind {
			t.Errorf("%s: %s", name, kind(t, err))
		}
	}
	if p, ok := g.Accounts().Tuned("").Points("SPF_FAIL"); ok {
		t.Errorf("a request with faults set something: %v", p)
	}
	if err := g.Accounts().SyncTuning(ctx, account.Tuning{Overrides: []account.Override{{Test: "MISSING_MID", Points: 1}}}, "postern.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := set(g, "", "MISSING_MID", 2); err == nil || kind(t, err) != "from-config" || !strings.Contains(err.Error(), "postern.yaml") {
		t.Errorf("%v", err)
	}
}

func set(g *gateway, customer, test string, points float64) error {
	_, err := g.client.SetScores(context.Background(), api.ScoresRequest{Customer: customer, Points: map[string]float64{test: points}})
	return err
}

func TestEntries(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	until := g.now.Add(24 * time.Hour).UTC()
	e, err := g.client.AddEntry(ctx, api.ListEntry{Kind: "allow", Entry: "from:Post@Shop.example", Until: until, Note: "asked by phone"})
	if err != nil || e.Entry != "from:post@shop.example" || e.By != "operator:alice" || e.Origin != "database" || e.At.IsZero() || !e.Until.Equal(until) {
		t.Fatalf("%+v %v", e, err)
	}
	if _, err := g.client.AddEntry(ctx, api.ListEntry{Kind: "deny", Customer: "shop", Entry: "client:192.0.2.7/24"}); err != nil {
		t.Fatal(err)
	}
	if got, want := g.lines(t, 2), "shop|operator:alice|deny list: client:192.0.2.0/24 added\n|operator:alice|allow list: from:post@shop.example added until "+until.Format(time.RFC3339)+" (asked by phone)"; got != want {
		t.Errorf("%s", got)
	}
	all, err := g.client.Entries(ctx, "", "")
	if err != nil || len(all) != 2 || all[1].Customer != "shop" || all[0].Ended {
		t.Errorf("%+v %v", all, err)
	}
	if deny, err := g.client.Entries(ctx, "deny", "shop"); err != nil || len(deny) != 1 || deny[0].Kind != "deny" {
		t.Errorf("%+v %v", deny, err)
	}
	if d, err := g.client.RemoveEntry(ctx, api.ListEntry{Kind: "deny", Customer: "shop", Entry: "client:192.0.2.0/24"}); err != nil || !strings.HasPrefix(d.Text, "for customer shop: client:192.0.2.0/24 is off the deny list") {
		t.Errorf("%+v %v", d, err)
	}
	for name, tc := range map[string]struct {
		e    api.ListEntry
		kind string
		says string
	}{
		"no what":  {api.ListEntry{Kind: "allow", Entry: "post@shop.example"}, "invalid", "expected from:post@shop.example or to:post@shop.example"},
		"own":      {api.ListEntry{Kind: "allow", Customer: "shop", Own: true, Entry: "from:a@b.example"}, "invalid", "page of his message"},
		"note in":  {api.ListEntry{Kind: "allow", Entry: "from:a@b.example -- x"}, "invalid", "into until and note"},
		"past":     {api.ListEntry{Kind: "allow", Entry: "from:a@b.example", Until: time.Now().Add(-time.Hour)}, "invalid", "past"},
		"kind":     {api.ListEntry{Kind: "maybe", Entry: "from:a@b.example"}, "", ""},
		"customer": {api.ListEntry{Kind: "allow", Customer: "nobody", Entry: "from:a@b.example"}, "no-such-customer", ""},
	} {
		_, err := g.client.AddEntry(ctx, tc.e)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		} else if tc.kind != "" && kind(t, err) != tc.kind {
			t.Errorf("%s: %s", name, kind(t, err))
		}
	}
	if e.Warning != "" {
		t.Errorf("%q", e.Warning)
	}
	if _, err := g.client.AddCustomer(ctx, api.Customer{ID: "hoster", CustomerSettings: api.CustomerSettings{Networks: []string{"192.0.2.0/24"}, AnyFrom: true}}); err != nil {
		t.Fatal(err)
	}
	for entry, warns := range map[string]bool{"from:a@b.example": true, "from-domain:b.example": true, "to:a@b.example": false, "client:192.0.2.1": false} {
		if e, err := g.client.AddEntry(ctx, api.ListEntry{Kind: "allow", Entry: entry}); err != nil || (e.Warning != "") != warns || warns && !strings.Contains(e.Warning, "through hoster may write") {
			t.Errorf("%s: %q %v", entry, e.Warning, err)
		}
	}
	if e, err := g.client.AddEntry(ctx, api.ListEntry{Kind: "allow", Customer: "shop", Entry: "from:a@b.example"}); err != nil || e.Warning != "" {
		t.Errorf("%q %v", e.Warning, err)
	}
	if _, err := g.client.RemoveEntry(ctx, api.ListEntry{Kind: "deny", Entry: "client:192.0.2.0/24"}); err == nil || kind(t, err) != "not-found" {
		t.Errorf("%v", err)
	}
}

// history fills the journal with n messages of two customers: every fifth held with SPF_FAIL, the others passed with SPF_NONE, every
// tenth of before verdicts were kept.
func (g *gateway) history(tb testing.TB, n int) {
	tb.Helper()
	pairs := func(points ...any) func(func(string, float64) bool) {
		return func(yield func(string, float64) bool) {
			for i := 0; i < len(points); i += 2 {
				if !yield(points[i].(string), points[i+1].(float64)) {
					return
				}
			}
		}
	}
	whole := []byte(`{"score":4,"raw":4,"threshold":3,"held":true,"at":"2026-11-21T12:00:00Z","hits":[{"test":"SPF_FAIL","points":3.5,"evidence":["x"]},{"test":"DKIM_NONE","points":0.5,"evidence":[]}]}`)
	brief := journal.EncodeBrief(1.7, 3, pairs("SPF_NONE", 1.2, "DKIM_NONE", 0.5))
	var facts []journal.Fact
	for i := range n {
		f := journal.Fact{Kind: journal.Accepted, At: g.now.Add(-time.Duration(n-i) * time.Second), QueueID: mail.NewQueueID(g.now), Customer: []string{"shop", "bakery"}[i%2], Actor: "rule",
			HeaderFrom: fmt.Sprintf("a%d@shop.example", i%3), Recipient: "bob@remote.example", Subject: fmt.Sprint("Order ", i), Score: 1.7, Detail: brief}
		switch {
		case i%10 == 7:
			f.Detail = nil
		case i%5 == 0:
			f.Kind, f.Score, f.Detail = journal.Held, 4, whole
		}
		facts = append(facts, f)
		if len(facts) == 2000 || i == n-1 {
			if err := g.Journal().Append(tb.Context(), facts...); err != nil {
				tb.Fatal(err)
			}
			facts = nil
		}
	}
}

func TestWhatIf(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	if _, err := g.client.AddCustomer(ctx, api.Customer{ID: "bakery"}); err != nil {
		t.Fatal(err)
	}
	g.history(t, 1000) // 200 held, 100 unknown, 700 passed; half of each per customer, but held: all even
	var seen []int
	w, err := g.client.WhatIf(ctx, api.WhatIfRequest{Points: map[string]float64{"SPF_NONE": 3}}, 400, func(n int) { seen = append(seen, n) })
	if err != nil || w.Looked != 400 || w.Open != 40 || w.Then != 80 || w.Would != 360 || w.NewlyStopped != 280 || w.NewlyPassed != 0 || len(w.Stopped) != 20 || len(seen) != 1 {
		t.Errorf("%+v %v", w, err)
	}
	if m := w.Stopped[0]; m.ID == "" || m.Then != 1.7 || m.Would != 3.5 || !strings.HasPrefix(m.Subject, "Order ") || m.From == "" {
		t.Errorf("%+v", m)
	}
	w, err = g.client.WhatIf(ctx, api.WhatIfRequest{Points: map[string]float64{"SPF_FAIL": 1}}, api.MaxWhatIf, nil)
	if err != nil || w.Looked != 1000 || w.Open != 100 || w.Then != 200 || w.Would != 0 || w.NewlyPassed != 200 || len(w.Customers) != 2 || len(w.Passed) != 20 || w.Customers[0].Looked != 500 || w.Newest.Before(w.Oldest) {
		t.Errorf("%+v %v", w, err)
	}
	w, err = g.client.WhatIf(ctx, api.WhatIfRequest{Customer: "shop", Threshold: 1.5}, 1000, nil)
	if err != nil || w.Looked != 500 || len(w.Customers) != 1 || w.Would != 500 {
		t.Errorf("%+v %v", w, err)
	}
	w, err = g.client.WhatIf(ctx, api.WhatIfRequest{Add: []api.ListEntry{{Kind: "deny", Entry: "from:a0@shop.example"}, {Kind: "allow", Entry: "from:a1@shop.example"}}}, 1000, nil)
	if err != nil || w.NewlyStopped < 200 || w.NewlyPassed < 60 || w.Open != 100 {
		t.Errorf("%+v %v", w, err)
	}
	if !strings.HasSuffix(g.lines(t, 5), "|customer added") || strings.Contains(g.lines(t, 5), "\n") || len(g.Accounts().Entries()) != 0 {
		t.Error("trying changed something")
	}
	for name, r := range map[string]api.WhatIfRequest{
		"nothing": {}, "test": {Points: map[string]float64{"SPF_FIAL": 1}}, "entry": {Add: []api.ListEntry{{Kind: "deny", Entry: "x"}}},
		"threshold": {Threshold: 16}, "customer": {Customer: "nobody", Threshold: 1}, "cursor": {Threshold: 1, Cursor: "x"},
	} {
		if _, err := g.client.WhatIf(ctx, r, 10, nil); err == nil {
			t.Errorf("%s: taken", name)
		} else if p := (*api.Problem)(nil); !errors.As(err, &p) || p.Status/100 != 4 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkWhatIf is a trial on 100,000 messages through the socket.
func BenchmarkWhatIf(b *testing.B) {
	g := start(b)
	g.history(b, 100_000)
	for b.Loop() {
		w, err := g.client.WhatIf(b.Context(), api.WhatIfRequest{Points: map[string]float64{"SPF_NONE": 3}}, api.MaxWhatIf, nil)
		if err != nil || w.Looked != 100_000 {
			b.Fatal(w.Looked, err)
		}
	}
}
