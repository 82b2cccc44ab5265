package learn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

func parse(text string) *mail.Message {
	return mail.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n")), mail.DefaultLimits())
}

// words is a message whose tokens are the words given.
func words(list ...string) *mail.Message { return parse("\n" + strings.Join(list, " ") + "\n") }

func open(t testing.TB, db *store.DB, o learn.Options) *learn.Ledger {
	t.Helper()
	o.DB = db
	if o.Logger == nil {
		o.Logger = storetest.Logger(t)
	}
	l, err := learn.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// teach learns n different messages of a class, each with the words given.
func teach(t testing.TB, l *learn.Ledger, scope string, class learn.Class, n int, list ...string) {
	t.Helper()
	var all []*mail.Message
	for i := range n {
		all = append(all, parse(fmt.Sprintf("Message-ID: <%s.%s.%d@corpus.example>\n\n%s\n", scope, class, i, strings.Join(list, " "))))
	}
	got, err := l.Learn(t.Context(), scope, class, all...)
	if err != nil || got != n {
		t.Fatalf("learned %d of %d: %v", got, n, err)
	}
}

func classify(t testing.TB, l *learn.Ledger, scope string, m *mail.Message) learn.Result {
	t.Helper()
	r, err := l.Classify(t.Context(), scope, m)
	if err != nil {
		t.Fatal(err)
	}
	if r.Measured && !(r.Probability >= 0 && r.Probability <= 1) {
		t.Fatalf("probability %v", r.Probability)
	}
	return r
}

func TestClassify(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, learn.Options{})
		bad, fine := []string{"casino", "jackpot", "bonus", "unclaimed", "lottery"}, []string{"meeting", "invoice", "minutes", "schedule", "budget"}
		teach(t, l, learn.Base, learn.Spam, learn.MinCorpus, bad...)
		if r := classify(t, l, learn.Base, words(bad...)); r.Measured || r.Spam != learn.MinCorpus || r.Ham != 0 {
			t.Errorf("an answer without ham: %+v", r)
		}
		teach(t, l, learn.Base, learn.Ham, learn.MinCorpus-1, fine...)
		if r := classify(t, l, learn.Base, words(bad...)); r.Measured {
			t.Errorf("an answer with %d ham", r.Ham)
		}
		if _, err := l.Learn(t.Context(), learn.Base, learn.Ham, words(fine...)); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name     string
			m        *mail.Message
			low, top float64
			measured bool
		}{
			{"spam", words(bad...), 0.999, 1, true},
			{"ham", words(fine...), 0, 0.001, true},
			{"both", words(slices.Concat(bad, fine)...), 0.4, 0.6, true},
			{"unknown words", words("zebra", "quagga"), 0, 0, false},
			{"empty", words(), 0, 0, false},
		} {
			r := classify(t, l, learn.Base, tc.m)
			if r.Measured != tc.measured || r.Measured && (r.Probability < tc.low || r.Probability > tc.top) {
				t.Errorf("%s: %+v", tc.name, r)
			}
			if again := classify(t, l, "any-customer", tc.m); again.Probability != r.Probability {
				t.Errorf("%s: a customer without experience sees %v, the base %v", tc.name, again.Probability, r.Probability)
			}
		}
	})
}

func TestScopesAreApart(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, learn.Options{})
		teach(t, l, learn.Base, learn.Spam, 300, "casino", "jackpot", "diet", "pills")
		teach(t, l, learn.Base, learn.Ham, 300, "meeting", "invoice")
		letter := words("diet", "pills", "treadmill", "dumbbell", "gymnasium")
		before, other := classify(t, l, learn.Base, letter), classify(t, l, "club-b", letter)
		teach(t, l, "club-a", learn.Ham, 600, "diet", "pills", "treadmill", "dumbbell", "gymnasium")
		own := classify(t, l, "club-a", letter)
		if own.Probability > 0.3 || own.Ham != 900 || own.Spam != 300 {
			t.Errorf("the club's own experience does not count: %+v", own)
		}
		for scope, want := range map[string]learn.Result{learn.Base: before, "club-b": other} {
			// A fresh ledger reads the database, not its memory.
			for _, x := range []*learn.Ledger{l, open(t, db, learn.Options{})} {
				if got := classify(t, x, scope, letter); got.Probability != want.Probability || got.Known != want.Known || got.Ham != want.Ham {
					t.Errorf("scope %q: %+v became %+v", scope, want, got)
				}
			}
		}
		// A customer's own corpus may be large enough where the base is empty.
		if err := l.Erase(t.Context(), "club-a"); err != nil {
			t.Fatal(err)
		}
		if got := classify(t, l, "club-a", letter); got.Probability != before.Probability {
			t.Errorf("after erasing: %+v", got)
		}
		if spam, ham, err := l.Totals(t.Context(), "club-a"); spam != 0 || ham != 0 || err != nil {
			t.Errorf("after erasing: %d spam, %d ham, %v", spam, ham, err)
		}
		if err := l.Erase(t.Context(), learn.Base); !errors.Is(err, learn.ErrInvalid) {
			t.Errorf("the base was erased: %v", err)
		}
	})
}

func TestLearnIsIdempotent(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		ctx, l := t.Context(), open(t, db, learn.Options{})
		teach(t, l, learn.Base, learn.Spam, 250, "casino", "jackpot")
		teach(t, l, learn.Base, learn.Ham, 250, "meeting", "invoice")
		probe := words("casino", "jackpot", "meeting", "walrus")
		before := classify(t, l, learn.Base, probe)
		m := parse("Message-ID: <x@y.example>\nFrom: a@b.example\n\nwalrus casino\n")
		traced := parse("Received: from b.example ([192.0.2.1]) by gate.example (Postern) with ESMTP id 1; Sat, 21 Nov 2026 18:40:00 +0000\n" +
			"Message-ID: <x@y.example>\nFrom: a@b.example\n\nwalrus casino\n")
		steps := []struct {
			what string
			do   func() (int, error)
			want int
		}{
			{"learn", func() (int, error) { return l.Learn(ctx, learn.Base, learn.Ham, m) }, 1},
			{"again, twice, once with our trace", func() (int, error) { return l.Learn(ctx, learn.Base, learn.Ham, m, traced) }, 0},
			{"in another scope", func() (int, error) { return l.Learn(ctx, "c", learn.Ham, m) }, 1},
			{"as the other class", func() (int, error) { return l.Learn(ctx, learn.Base, learn.Spam, m, m) }, 1},
			{"forget", func() (int, error) { return l.Forget(ctx, learn.Base, traced) }, 1},
			{"forget again", func() (int, error) { return l.Forget(ctx, learn.Base, m) }, 0},
		}
		for _, s := range steps {
			if n, err := s.do(); n != s.want || err != nil {
				t.Errorf("%s: %d, %v", s.what, n, err)
			}
		}
		for _, x := range []*learn.Ledger{l, open(t, db, learn.Options{})} {
			if after := classify(t, x, learn.Base, probe); after.Probability != before.Probability || after.Known != before.Known || after.Ham != before.Ham {
				t.Errorf("learned and forgotten: %+v, before %+v", after, before)
			}
		}
		if _, err := l.Learn(ctx, learn.Base, "maybe", m); !errors.Is(err, learn.ErrInvalid) {
			t.Errorf("class: %v", err)
		}
		if _, err := l.Learn(ctx, "a\x00b", learn.Spam, m); !errors.Is(err, learn.ErrInvalid) {
			t.Errorf("scope: %v", err)
		}
	})
}

// TestOrderDoesNotMatter: the same words in another order, and the same corpus learned in another order, give the same answer.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	list := strings.Fields("casino jackpot meeting invoice treadmill walrus pelican budget bonus lottery")
	var answers []float64
	for turn := range 3 {
		db := storetest.SQLite(t, store.MainSchema())
		l := open(t, db, learn.Options{})
		var spam, ham []*mail.Message
		for i := range 240 {
			a, b := list[i%len(list)], list[(i*7+3)%len(list)]
			spam = append(spam, parse(fmt.Sprintf("Message-ID: <s%d@x.example>\n\n%s %s casino\n", i, a, b)))
			ham = append(ham, parse(fmt.Sprintf("Message-ID: <h%d@x.example>\n\n%s meeting %s\n", i, b, a)))
		}
		if turn == 1 {
			slices.Reverse(spam)
			slices.Reverse(list)
		}
		for part := range slices.Chunk(spam, 100) {
			if _, err := l.Learn(t.Context(), learn.Base, learn.Spam, part...); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Learn(t.Context(), learn.Base, learn.Ham, ham...); err != nil {
			t.Fatal(err)
		}
		if turn == 1 {
			slices.Reverse(list)
		}
		shown := slices.Clone(list)
		for range 4 {
			shown = append(shown[3:], shown[:3]...)
			answers = append(answers, classify(t, l, learn.Base, words(shown...)).Probability)
		}
	}
	if slices.Min(answers) != slices.Max(answers) {
		t.Errorf("answers differ: %v", answers)
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	for p, want := range map[float64]string{0: "BAYES_00", 0.01: "BAYES_00", 0.0101: "BAYES_05", 0.05: "BAYES_05", 0.2: "BAYES_20", 0.21: "BAYES_40",
		0.5: "BAYES_50", 0.61: "BAYES_60", 0.9: "BAYES_80", 0.95: "BAYES_80", 0.951: "BAYES_95", 0.99: "BAYES_95", 0.991: "BAYES_99", 0.999: "BAYES_99",
		0.9991: "BAYES_99 BAYES_999", 1: "BAYES_99 BAYES_999", -0.1: "", 1.1: ""} {
		if got := strings.Join(learn.Classes(p), " "); got != want {
			t.Errorf("%v: %s, want %s", p, got, want)
		}
	}
	for i := range 1001 {
		if n := len(learn.Classes(float64(i) / 1000)); n < 1 || n > 2 {
			t.Errorf("%d classes at %d/1000", n, i)
		}
	}
	if len(learn.AllClasses()) != 10 {
		t.Error(learn.AllClasses())
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
		l := open(t, db, learn.Options{Now: func() time.Time { return now }, ScopeTokens: 30, KeepFor: 100 * 24 * time.Hour})
		teach(t, l, learn.Base, learn.Spam, 200, "casino", "jackpot")
		teach(t, l, learn.Base, learn.Ham, 200, "meeting", "invoice")
		old := parse("Message-ID: <old@x.example>\n\nwalrus\n")
		if _, err := l.Learn(ctx, "c", learn.Spam, old); err != nil {
			t.Fatal(err)
		}
		s := learn.Sender{Customer: "c", From: address(t, "a@b.example"), Answers: "login:u"}
		for range 3 {
			if err := l.Record(ctx, s, 9); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(90 * 24 * time.Hour)
		if r := classify(t, l, learn.Base, words("casino")); r.Known != 1 {
			t.Fatal(r)
		}
		if err := l.Clean(ctx); err != nil { // writes the use of casino down; every scope is above its bound by number, too
			t.Fatal(err)
		}
		if n := count(t, db, "learn_token WHERE scope = ''"); n != 30 {
			t.Errorf("%d tokens of the base are left, the bound is 30", n)
		}
		now = now.Add(11 * 24 * time.Hour)
		if err := l.Clean(ctx); err != nil {
			t.Fatal(err)
		}
		for table, want := range map[string]int{"learn_token WHERE scope = 'c'": 0, "learn_token": 1, "learn_message": 0, "learn_sender": 0} {
			if n := count(t, db, table); n != want {
				t.Errorf("%d rows are left in %s, want %d", n, table, want)
			}
		}
		if r := classify(t, l, learn.Base, words("casino", "jackpot")); r.Known != 1 {
			t.Errorf("what was used is gone, or what was not is there: %+v", r)
		}
		// Taking back what was removed by age leaves no count below nothing.
		if n, err := l.Forget(ctx, "c", old); n != 0 || err != nil {
			t.Errorf("forget: %d, %v", n, err)
		}
	})
}

func count(t testing.TB, db *store.DB, from string) (n int) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow("SELECT count(*) FROM " + from).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestQueue: what is handed over is done by Run, to its end; what does not fit is counted.
func TestQueue(t *testing.T) {
	t.Parallel()
	storetest.Each(t, store.MainSchema(), func(t *testing.T, db *store.DB) {
		l := open(t, db, learn.Options{Waiting: 8})
		s := learn.Sender{Customer: "c", From: address(t, "a@b.example"), ClientIP: ip("192.0.2.1")}
		raw := []byte("Message-ID: <q@x.example>\r\n\r\nwalrus\r\n")
		l.Teach("c", learn.Spam, raw)
		for range 9 {
			l.Remember(s, 6)
		}
		if l.Lost() != 2 {
			t.Errorf("%d lost", l.Lost())
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if spam, _, err := l.Totals(t.Context(), "c"); spam != 1 || err != nil {
			t.Errorf("%d spam learned, %v", spam, err)
		}
		if _, n, err := l.Adjust(t.Context(), s, 0); n != 7 || err != nil {
			t.Errorf("%d scores recorded, %v", n, err)
		}
		if n, err := l.Forget(t.Context(), "c", parse("Message-ID: <q@x.example>\n\nwalrus\n")); n != 1 || err != nil {
			t.Errorf("not the message that was taught: %d, %v", n, err)
		}
	})
}

// TestNodesHearEachOther: what one node learns reaches the memory of another.
func TestNodesHearEachOther(t *testing.T) {
	t.Parallel()
	url := storetest.PostgresURL(t, store.MainSchema())
	one := open(t, storetest.Open(t, store.Options{URL: url, Migrations: store.MainSchema()}), learn.Options{})
	two := open(t, storetest.Open(t, store.Options{URL: url, Migrations: store.MainSchema()}), learn.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- two.Run(ctx) }()
	classify(t, two, learn.Base, words("casino"))
	teach(t, one, learn.Base, learn.Spam, 200, "casino")
	teach(t, one, learn.Base, learn.Ham, 200, "meeting")
	deadline := time.Now().Add(time.Minute)
	for !classify(t, two, learn.Base, words("casino")).Measured {
		if time.Now().After(deadline) {
			t.Fatal("the other node never heard of it")
		}
		time.Sleep(5 * time.Millisecond) // polls for an event of another connection, which has no channel
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestSmallCorpus: what is learned of the shipped sample is told apart again.
func TestSmallCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../mail/testdata/corpus/*.eml")
	if err != nil || len(files) < 30 {
		t.Fatal(len(files), err)
	}
	db := storetest.SQLite(t, store.MainSchema())
	l := open(t, db, learn.Options{CachedTokens: 500}) // a small memory changes no answer
	teach(t, l, learn.Base, learn.Spam, 200, "xspam")
	teach(t, l, learn.Base, learn.Ham, 200, "xham")
	ham, spam := 0, 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		class, of := learn.Ham, &ham
		if strings.HasPrefix(filepath.Base(f), "spam") {
			class, of = learn.Spam, &spam
		}
		*of++
		if _, err := l.Learn(t.Context(), learn.Base, class, mail.Parse(raw, mail.DefaultLimits())); err != nil {
			t.Fatal(err)
		}
	}
	wrong := 0
	for _, f := range files {
		raw, _ := os.ReadFile(f)
		r := classify(t, l, learn.Base, mail.Parse(raw, mail.DefaultLimits()))
		if !r.Measured || (r.Probability > 0.5) != strings.HasPrefix(filepath.Base(f), "spam") {
			wrong++
			t.Logf("%s: %v", filepath.Base(f), r.Probability)
		}
	}
	if wrong > 1 {
		t.Errorf("%d of %d ham and %d spam on the wrong side", wrong, ham, spam)
	}
}
