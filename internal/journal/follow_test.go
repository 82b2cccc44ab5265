package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/journal"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func TestFollow(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
		j, err := journal.New(journal.Options{DB: db, Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		f := j.Follow()
		for i := range 30 {
			err := j.Append(t.Context(), journal.Fact{Kind: journal.Delivered, At: at.Add(time.Duration(i) * time.Minute), Customer: fmt.Sprintf("c%d", i%3), Subject: "s", Detail: []byte("{}")},
				journal.Fact{Kind: journal.Addressed, At: at, Detail: []byte(`["a@x.example"]`)})
			if err != nil {
				t.Fatal(err)
			}
		}
		upTo, err := f.Settled(t.Context())
		if err != nil || upTo == 0 {
			t.Fatal(upTo, err)
		}
		all, looked, err := j.After(t.Context(), "", 0, upTo, 1000)
		if err != nil || len(all) != 60 || looked != upTo {
			t.Fatal(len(all), looked, err)
		}
		for i, x := range all {
			if i > 0 && x.ID <= all[i-1].ID || x.Subject != "" || (x.Detail != nil) != (x.Kind == journal.Addressed) {
				t.Fatalf("%+v", x)
			}
		}
		own, looked, err := j.After(t.Context(), "c1", all[2].ID, all[50].ID, 5)
		if err != nil || len(own) != 5 || own[0].ID <= all[2].ID || own[0].Customer != "c1" || looked != own[4].ID {
			t.Fatal(own, looked, err)
		}
		if x, err := j.Fact(t.Context(), own[0].ID); err != nil || x.ID != own[0].ID {
			t.Error(x, err)
		}
		if _, err := j.Fact(t.Context(), 1<<40); !errors.Is(err, journal.ErrNoFact) {
			t.Error(err)
		}
		before, err := j.Before(t.Context(), at.Add(10*time.Minute))
		if err != nil || before != all[20].ID-1 {
			t.Errorf("before %d, want %d: %v", before, all[20].ID-1, err)
		}
		if before, err = j.Before(t.Context(), at.Add(time.Hour)); err != nil || before != upTo {
			t.Error(before, err)
		}
		kinds, more, err := j.Later(t.Context(), "c1", 0, 1000)
		if err != nil || kinds[journal.Delivered] != 10 || more {
			t.Error(kinds, more, err)
		}
		if kinds, more, err = j.Later(t.Context(), "", 0, 10); err != nil || kinds[journal.Delivered] != 5 || !more {
			t.Error(kinds, more, err)
		}
	})
}

// TestReadingOnIsBounded: one customer's facts are looked for in stretches of everybody's.
func TestReadingOnIsBounded(t *testing.T) {
	t.Parallel()
	j, err := journal.New(journal.Options{DB: storetest.SQLite(t, store.MainSchema())})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]journal.Fact, 20_001)
	for i := range many {
		many[i] = journal.Fact{Kind: journal.Delivered, Customer: "flood"}
	}
	if err := j.Append(t.Context(), append(many, journal.Fact{Kind: journal.Delivered, Customer: "c1"})...); err != nil {
		t.Fatal(err)
	}
	facts, looked, err := j.After(t.Context(), "c1", 0, 20_002, 10)
	if err != nil || len(facts) != 0 || looked != 20_000 {
		t.Fatal(facts, looked, err)
	}
	if facts, looked, err = j.After(t.Context(), "c1", looked, 20_002, 10); err != nil || len(facts) != 1 || looked != 20_002 {
		t.Fatal(facts, looked, err)
	}
	if kinds, more, err := j.Later(t.Context(), "c1", 0, 10); err != nil || len(kinds) != 0 || !more {
		t.Error(kinds, more, err)
	}
	if kinds, more, err := j.Later(t.Context(), "c1", 5, 10); err != nil || kinds[journal.Delivered] != 1 || more {
		t.Error(kinds, more, err)
	}
}

// TestFollowPlans looks at how the database reads on: by an index, without sorting.
func TestFollowPlans(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	for sql, want := range journal.FollowPlans() {
		text := strings.Join(plan(t, db, sql, slices.Repeat([]any{1}, want.Args)), "\n")
		if !strings.Contains(text, want.Want) || strings.Contains(text, "TEMP B-TREE FOR ORDER") {
			t.Errorf("%s\n%s\nwant %s", sql, text, want.Want)
		}
	}
}
