package filter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/dnsbl"
	"postern/internal/learn"
	"postern/internal/mail"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// testExperience has learned words that no other case uses: zspam01 to zspam20 stand in all spam, zham01 to zham20 in all ham.
func testExperience(t testing.TB) *learn.Ledger {
	t.Helper()
	l, err := learn.New(learn.Options{DB: storetest.SQLite(t, store.MainSchema())})
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []learn.Class{learn.Ham, learn.Spam} {
		var words strings.Builder
		for n := range 20 {
			fmt.Fprintf(&words, "z%s%02d ", class, n+1)
		}
		var all []*mail.Message
		for n := range learn.MinCorpus {
			all = append(all, mail.Parse(fmt.Appendf(nil, "Message-ID: <%s%d>\r\n\r\n%s\r\n", class, n, &words), mail.DefaultLimits()))
		}
		if _, err := l.Learn(t.Context(), learn.Base, class, all...); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// past is a ledger in which the sender of a case has the case's history.
func (c goldenCase) past(t testing.TB, in Input) *learn.Ledger {
	t.Helper()
	l, err := learn.New(learn.Options{DB: storetest.SQLite(t, store.MainSchema())})
	if err != nil {
		t.Fatal(err)
	}
	s := learn.Sender{Customer: in.Customer.ID, From: in.Message.From()[0].Address, ClientIP: in.ClientIP}
	if in.Credential != "" {
		s.Answers = "login:" + in.Credential
	}
	for _, score := range c.History {
		if err := l.Record(t.Context(), s, score); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// sent is a message with a login.
func sent(t testing.TB, subject string) Input {
	t.Helper()
	c := caseNamed(t, "101-plain")
	c.Login = "anne-1"
	in := c.input(t)
	in.Message = mail.Parse(fmt.Appendf(nil, "From: anne@good.example\r\nSubject: %s\r\nDate: Sat, 21 Nov 2026 18:39:12 +0000\r\nMessage-ID: <a@good.example>\r\n\r\nHello.\r\n",
		subject), mail.DefaultLimits())
	return in
}

// TestRemembersSenders: what is tested is remembered, soon, without the points of AWL and of the operator; a test again is not.
func TestRemembersSenders(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l, err := learn.New(learn.Options{DB: db, Reputation: learn.Reputation{Dilution: 1, Factor: 1, Most: 50}})
	if err != nil {
		t.Fatal(err)
	}
	in := sent(t, "")
	f := testFilter(t, Options{Resolver: nothing, Learn: l, Lists: []dnsbl.List{}, Unsigned: true})
	again := testFilter(t, Options{Resolver: nothing, Learn: l, ReadOnly: true, Lists: []dnsbl.List{}, Unsigned: true})
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- l.Run(ctx) }()
	sum := 0.0
	for n := range 4 {
		for _, x := range []*Filter{f, again} {
			v, err := x.Run(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if x == f && n == 0 {
				for _, h := range v.Hits {
					if !f.now.Load().operator[h.Test] {
						sum += h.Points
					}
				}
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := learn.Sender{Customer: in.Customer.ID, From: in.Message.From()[0].Address, ClientIP: in.ClientIP, Answers: "login:anne-1"}
	points, n, err := l.Adjust(t.Context(), s, 0)
	if err != nil || n != 4 || points < sum-0.01 || points > sum+0.01 {
		t.Errorf("mean %v of %d messages (%v), want %v of 4", points, n, err, sum)
	}
}

// TestForgerGetsNoGoodName: the same From from another place, without login or signature, stays what it is.
func TestForgerGetsNoGoodName(t *testing.T) {
	t.Parallel()
	in := sent(t, "")
	c := goldenCase{History: []float64{-2, -2, -2, -2}}
	f := testFilter(t, Options{Resolver: nothing, Learn: c.past(t, in), Lists: []dnsbl.List{}, Unsigned: true})
	own, err := f.Run(t.Context(), in)
	if h, ok := own.Hit("AWL"); err != nil || !ok || h.Points >= 0 {
		t.Fatalf("his own good name does not help: %v %v", own, err)
	}
	for name, change := range map[string]func(*Input){
		"without login": func(in *Input) { in.Credential = "" },
		"other login":   func(in *Input) { in.Credential = "mallory-1" },
		"other network": func(in *Input) { in.ClientIP = netip.MustParseAddr("203.0.113.9") },
		"other sender":  func(in *Input) { in.Customer.ID = "d" },
	} {
		forged := in
		change(&forged)
		v, err := f.Run(t.Context(), forged)
		if h, ok := v.Hit("AWL"); err != nil || ok {
			t.Errorf("%s: %v %v", name, h, err)
		}
	}
}

// TestExperienceUnreadable: a database that does not answer is "not measured", and mail goes on.
func TestExperienceUnreadable(t *testing.T) {
	t.Parallel()
	db := storetest.SQLite(t, store.MainSchema())
	l, err := learn.New(learn.Options{DB: db})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f := testFilter(t, Options{Resolver: nothing, Learn: l, Lists: []dnsbl.List{}})
	v, err := f.Run(t.Context(), sent(t, "x"))
	_, unknown := names(v)
	if err != nil || !slices.Contains(unknown, "BAYES_50") || !slices.Contains(unknown, "AWL") {
		t.Errorf("%v %v", unknown, err)
	}
}

// TestExperienceOff: a switched-off AWL says nothing, and it cannot be given points.
func TestExperienceOff(t *testing.T) {
	t.Parallel()
	in := sent(t, "x")
	l := goldenCase{History: []float64{9, 9, 9}}.past(t, in)
	f := testFilter(t, Options{Resolver: nothing, Learn: l, Scores: map[string]float64{"AWL": 0}, Lists: []dnsbl.List{}})
	v, err := f.Run(t.Context(), in)
	if _, ok := v.Hit("AWL"); ok || err != nil {
		t.Errorf("%v %v", v.Hits, err)
	}
	if _, err := New(Options{Resolver: nothing, Scores: map[string]float64{"AWL": 2}}); err == nil {
		t.Error("AWL was given points")
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for p, want := range map[float64]string{0: "0", 1: "100", 0.5: "50", 0.99994: "99.99", 0.999999: "over 99.99", 1e-9: "under 0.01"} {
		if got := percent(p); got != want {
			t.Errorf("%v: %s, want %s", p, got, want)
		}
	}
}

func BenchmarkExperience(b *testing.B) {
	l := testExperience(b)
	in := sent(b, "zspam01 zham03")
	f := testFilter(b, Options{Resolver: nothing, Learn: l, ReadOnly: true, Lists: []dnsbl.List{}, Now: time.Now})
	for b.Loop() {
		if _, err := f.Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBehaviourInAnyOrder: checks end in any order, and a sum of floats follows it in the last bit; what a sender answers for does not.
func TestBehaviourInAnyOrder(t *testing.T) {
	points := []float64{1, 0.1, -0.001, -0.1, -0.1, -0.1, 0.7, 2.3, 0.2}
	want := 3.999
	for n := range 500 {
		s := &scan{settings: &settings{}}
		rand.New(rand.NewPCG(uint64(n), 0)).Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		for _, p := range points {
			s.hits = append(s.hits, Hit{Test: "X", Points: p})
		}
		if got := s.behaviour(); got != want {
			t.Fatalf("%v: %v, want %v", points, got, want)
		}
	}
}
