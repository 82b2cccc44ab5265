package filter

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/mail"
)

func tuned(t testing.TB, l *account.Ledger, lists ...string) {
	t.Helper()
	tunedFor(t, l, "c", lists...)
}

// tunedFor puts list entries into a ledger: "allow ENTRY" and "deny ENTRY" for everybody, "own ENTRY" of the customer's sender.
func tunedFor(t testing.TB, l *account.Ledger, customer string, lists ...string) {
	t.Helper()
	if err := l.PutCustomer(t.Context(), account.Customer{ID: customer}); err != nil {
		t.Fatal(err)
	}
	for _, text := range lists {
		kind, text, _ := strings.Cut(text, " ")
		e, err := account.ParseEntry(text)
		if err != nil {
			t.Fatal(err)
		}
		e.Kind = account.ListKind(kind)
		if kind == "own" {
			e.Scope, e.Own, e.Kind = customer, true, account.Allow
		}
		if !e.Until.IsZero() && e.Until.Before(time.Now()) {
			t.Fatal("the ledger takes no entry that has ended")
		}
		if _, err := l.AddEntry(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPrecedence is the table of package comment: who wins over whom.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	on := func(string) bool { return false }
	for _, tc := range []struct {
		name          string
		st            standing
		raw           float64
		virus, danger bool
		off           string
		test          string
		points        float64
	}{
		{name: "nothing", raw: 5},
		{name: "deny", st: standing{denied: true}, raw: -2, test: "DENY_LISTED", points: 100},
		{name: "deny beats allow", st: standing{denied: true, allowed: true, own: true}, raw: 5, test: "DENY_LISTED", points: 100},
		{name: "deny is off", st: standing{denied: true, allowed: true}, raw: 5, off: "DENY_LISTED", test: "ALLOW_LISTED", points: -100},
		{name: "allow", st: standing{allowed: true}, raw: 5, test: "ALLOW_LISTED", points: -100},
		{name: "allow of a test message", st: standing{allowed: true}, raw: 104.3, test: "ALLOW_LISTED", points: -105},
		{name: "allow beats own", st: standing{allowed: true, own: true}, raw: 5, test: "ALLOW_LISTED", points: -100},
		{name: "allow with danger", st: standing{allowed: true}, raw: 9, danger: true, test: "ALLOW_LISTED", points: -100},
		{name: "virus", st: standing{allowed: true, own: true}, raw: 100, virus: true},
		{name: "virus denied", st: standing{denied: true}, raw: 100, virus: true, test: "DENY_LISTED", points: 100},
		{name: "own", st: standing{own: true}, raw: 3.001, test: "CUSTOMER_ALLOWED", points: -5},
		{name: "own at the ceiling", st: standing{own: true}, raw: 8, test: "CUSTOMER_ALLOWED", points: -5},
		{name: "own above the ceiling", st: standing{own: true}, raw: 8.001, test: "CUSTOMER_ALLOWED", points: 0},
		{name: "own far above the scale", st: standing{own: true}, raw: 40, test: "CUSTOMER_ALLOWED", points: 0},
		{name: "own needs nothing", st: standing{own: true}, raw: 3},
		{name: "own with danger", st: standing{own: true}, raw: 5, danger: true, test: "CUSTOMER_ALLOWED", points: 0},
		{name: "own is off", st: standing{own: true}, raw: 5, off: "CUSTOMER_ALLOWED"},
	} {
		silent := on
		if tc.off != "" {
			silent = func(test string) bool { return test == tc.off }
		}
		test, points := decide(tc.st, sum{tc.raw, tc.virus, tc.danger}, 3, 8, silent)
		if test != tc.test || points != tc.points {
			t.Errorf("%s: %s %v, want %s %v", tc.name, test, points, tc.test, tc.points)
		}
	}
}

// TestOwnListIsNoMoreThanReleasing: whatever the message, threshold and ceiling, an entry of the sender's lets pass exactly what he could have
// released himself, and never makes releasable what was not.
func TestOwnListIsNoMoreThanReleasing(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		threshold, ceiling := thousandth(rng.Float64()*15), thousandth(rng.Float64()*15)
		raw := thousandth(rng.Float64()*40 - 5)
		_, points := decide(standing{own: true}, sum{raw: raw}, threshold, ceiling, func(string) bool { return false })
		score := math.Min(MaxScore, math.Max(0, raw))
		held, after := score > threshold, math.Min(MaxScore, math.Max(0, thousandth(raw+points)))
		releasable := score <= ceiling && raw <= ceiling
		if now := after > threshold; now != (held && !releasable) || now && after <= ceiling && score > ceiling {
			t.Fatalf("raw %v threshold %v ceiling %v: %v points, score %v", raw, threshold, ceiling, points, after)
		}
	}
}

func TestOwnEntriesThatCount(t *testing.T) {
	t.Parallel()
	all := []account.Entry{{What: account.WhatFrom, Value: "a@good.example"}, {What: account.WhatTo, Value: "b@there.example"}}
	for _, tc := range []struct {
		name string
		c    account.Customer
		want int
	}{
		{"may not release", account.Customer{}, 0}, {"bound", account.Customer{SelfRelease: true}, 2},
		{"any From", account.Customer{SelfRelease: true, AnyFrom: true}, 1},
	} {
		if got := ownEntries(all, tc.c); len(got) != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// TestPointsOfPeople: the customer's points, then everybody's, then the configuration's, then the catalogue's, from one message to the next.
func TestPointsOfPeople(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), caseNamed(t, "102-spf-fail")
	server, l := c.world(t), testLedger(t)
	tuned(t, l)
	f := testFilter(t, Options{Resolver: server.Resolver(t), Accounts: l, Scores: map[string]float64{"SPF_FAIL": 3, "DKIM_NONE": 0.25}})
	run := func(customer string) Verdict {
		in := c.input(t)
		in.Customer.ID = customer
		v, err := f.Run(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	expect := func(customer, test string, want float64) {
		t.Helper()
		h, fired := run(customer).Hit(test)
		if h.Points != want || fired != (want != 0) {
			t.Errorf("%s for %s: %v (fired: %v), want %v", test, customer, h.Points, fired, want)
		}
	}
	set := func(scope, test string, points float64) {
		t.Helper()
		if err := l.SetPoints(ctx, scope, map[string]float64{test: points}, "operator:x"); err != nil {
			t.Fatal(err)
		}
	}
	expect("c", "SPF_FAIL", 3)
	set("", "SPF_FAIL", 2)
	expect("c", "SPF_FAIL", 2)
	set("c", "SPF_FAIL", 1)
	expect("c", "SPF_FAIL", 1)
	expect("d", "SPF_FAIL", 2)
	set("c", "SPF_FAIL", 0)
	expect("c", "SPF_FAIL", 0)
	expect("d", "SPF_FAIL", 2)
	set("", "DMARC_FAIL_NONE", 0)
	set("c", "DMARC_FAIL_NONE", 0.7) // off for everybody, on for him
	expect("c", "DMARC_FAIL_NONE", 0.7)
	expect("d", "DMARC_FAIL_NONE", 0)
	expect("d", "DKIM_NONE", 0.25)
	if err := l.UnsetPoints(ctx, "c", "SPF_FAIL"); err != nil {
		t.Fatal(err)
	}
	expect("c", "SPF_FAIL", 2)
	if v := run("d"); v.Raw != 2.249 || !slices.IsSortedFunc(v.Hits, func(a, b Hit) int { return int(math.Copysign(1, b.Points-a.Points)) }) {
		t.Errorf("%+v", v)
	}
}

// TestPointsOfRules: rules have the customer's points too.
func TestPointsOfRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rule := "header OP_DRAWINGS Subject =~ /Meeting/\nscore OP_DRAWINGS 1.5\nmeta OP_META OP_DRAWINGS\nscore OP_META 0.5\n"
	if err := os.WriteFile(dir+"/op.cf", []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	book, err := LoadRules([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	c, l := caseNamed(t, "101-plain"), testLedger(t)
	tuned(t, l)
	f := testFilter(t, Options{Resolver: nothing, Accounts: l, Rules: book})
	points := func(customer string) string {
		in := c.input(t)
		in.Customer.ID = customer
		v, err := f.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := v.Hit("OP_DRAWINGS")
		b, _ := v.Hit("OP_META")
		return fmt.Sprint(a.Points, " ", b.Points)
	}
	if got := points("c"); got != "1.5 0.5" {
		t.Error(got)
	}
	if err := l.SetPoints(t.Context(), "c", map[string]float64{"OP_DRAWINGS": 4, "OP_META": 0}, "x"); err != nil {
		t.Fatal(err)
	}
	if err := l.SetPoints(t.Context(), "", map[string]float64{"OP_META": 0.1}, "x"); err != nil {
		t.Fatal(err)
	}
	if got := points("c") + ", " + points("d"); got != "4 0, 1.5 0.1" {
		t.Error(got)
	}
}

// TestListsOfAMessage runs lists through whole messages: hot changes, ends, a virus, several authors.
func TestListsOfAMessage(t *testing.T) {
	t.Parallel()
	c, l := caseNamed(t, "102-spf-fail"), testLedger(t)
	server := c.world(t)
	f := testFilter(t, Options{Resolver: server.Resolver(t), Accounts: l})
	run := func(change func(*Input)) Verdict {
		t.Helper()
		in := c.input(t)
		in.Customer = account.Customer{ID: "c", Threshold: 3, SelfRelease: true, ReleaseCeiling: 8}
		if change != nil {
			change(&in)
		}
		v, err := f.Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := run(nil); !v.Held || v.Locked {
		t.Fatalf("%+v", v)
	}
	tuned(t, l, "own from:anne@spffail.example")
	if v := run(nil); v.Held || v.Raw != 4.999-5 {
		t.Errorf("own: %+v", v)
	}
	if v := run(func(in *Input) { in.Customer.AnyFrom = true }); !v.Held {
		t.Errorf("own entry on From where anybody writes From: %+v", v)
	}
	if v := run(func(in *Input) { in.Customer.SelfRelease = false }); !v.Held {
		t.Errorf("own entry of one who may not release: %+v", v)
	}
	v := run(func(in *Input) { in.Customer.ReleaseCeiling = 4 })
	if h, _ := v.Hit("CUSTOMER_ALLOWED"); !v.Held || v.Score != 4.999 || len(h.Evidence) != 2 || !strings.Contains(h.Evidence[1], "does not count: 5.0 points") {
		t.Errorf("above the ceiling: %+v", v)
	}
	two := func(in *Input) {
		raw := append([]byte("From: eve@spffail.example\r\n"), in.Message.Raw...)
		in.Message = mail.Parse(raw, mail.DefaultLimits())
	}
	if v := run(two); !v.Held {
		t.Errorf("two From fields: %+v", v)
	}
	tuned(t, l, "deny to:bob@there.example until 2036-11-21 -- asked us to")
	v = run(nil)
	if h, _ := v.Hit("DENY_LISTED"); !v.Held || !v.Locked || h.Points != 100 || h.Evidence[0] != "to:bob@there.example until 2036-11-22 00:00 UTC (asked us to)" {
		t.Errorf("denied: %+v", v)
	}
	if v := run(func(in *Input) { in.Now = time.Date(2036, 11, 22, 0, 0, 0, 0, time.UTC) }); v.Locked {
		t.Errorf("an entry that has ended counts: %+v", v)
	}
	tuned(t, l, "allow client:198.51.100.7")
	if v := run(nil); !v.Locked {
		t.Errorf("allow beats deny: %+v", v)
	}
	if err := l.RemoveEntry(t.Context(), account.Entry{Kind: account.Deny, What: account.WhatTo, Value: "bob@there.example"}); err != nil {
		t.Fatal(err)
	}
	if v := run(nil); v.Held || v.Score != 0 {
		t.Errorf("allowed: %+v", v)
	}
	past := f.now.Load()
	if b := (&scan{settings: past, hits: []Hit{{Test: "ALLOW_LISTED", Points: -100}, {Test: "SPF_FAIL", Points: 3.5}}}).behaviour(); b != 3.5 {
		t.Errorf("what the sender is remembered by: %v", b)
	}
}

func TestVirusBeatsLists(t *testing.T) {
	t.Parallel()
	c, l := caseNamed(t, "701-virus"), testLedger(t)
	server := c.world(t)
	tuned(t, l, "allow client:198.51.100.7", "own from:anne@good.example")
	if err := l.SetPoints(t.Context(), "c", map[string]float64{"VIRUS_FOUND": 0}, "operator:x"); err != nil { // only the filter knows that it cannot be set
		t.Fatal(err)
	}
	f := testFilter(t, Options{Resolver: server.Resolver(t), Accounts: l, Opinions: c.opinions(t)})
	in := c.input(t)
	in.Customer.ID = "c"
	v, err := f.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := v.Hit("VIRUS_FOUND"); h.Points != 100 || !v.Held || !v.Locked {
		t.Errorf("%+v", v)
	}
	if _, allowed := v.Hit("ALLOW_LISTED"); allowed {
		t.Error("a virus was let through")
	}
}

func TestCheckPoints(t *testing.T) {
	t.Parallel()
	f := testFilter(t, Options{Resolver: nothing})
	for name, tc := range map[string]struct {
		points float64
		says   string
	}{
		"SPF_FAIL": {1, ""}, "AWL": {0, ""}, "DENY_LISTED": {0, ""},
		"SPF_FIAL":            {1, "there is no test SPF_FIAL; did you mean SPF_FAIL?"},
		"spf_fail":            {1, "did you mean SPF_FAIL"},
		"IMAGE":               {1, "did you mean T_REMOTE_IMAGE"},
		"QQQQQQQQQQQQQQQQQQQ": {1, "postern tune scores list"},
		"":                    {1, "there is no test "},
		"ALLOW_LISTED":        {-1, "what makes the lists work"},
		"VIRUS_FOUND":         {0, "a virus is held"},
	} {
		err := f.CheckPoints(name, tc.points)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := f.CheckPoints("AWL", 1); err == nil {
		t.Error("points of AWL")
	}
	if _, err := New(Options{Resolver: nothing, Customers: map[string]map[string]float64{"shop": {"SPF_FIAL": 1}}}); err == nil || !strings.Contains(err.Error(), "customer shop: scores.SPF_FIAL: no test of that name") {
		t.Errorf("%v", err)
	}
	tests := f.Catalogue()
	if len(tests) < 60 || !slices.ContainsFunc(tests, func(x Test) bool { return x.Name == "SPF_FAIL" && x.Points == 3.5 }) {
		t.Errorf("%d tests", len(tests))
	}
}

func TestTitleOfDecisions(t *testing.T) {
	t.Parallel()
	catalog, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range locale.Languages() {
		if GroupTitle(catalog, lang, GroupDecisions) == "test.group.decisions" {
			t.Errorf("%s: no title", lang)
		}
	}
}

// TestWhatIfIsTheFilter: what a trial says of a verdict of the past is what the filter says of the same findings under the change.
func TestWhatIfIsTheFilter(t *testing.T) {
	t.Parallel()
	ctx, now := t.Context(), testNow
	rng := rand.New(rand.NewPCG(3, 4))
	lists := []string{"own from:anne@good.example", "allow credential:web", "deny client:203.0.113.0/24"}
	l, other := testLedger(t), testLedger(t)
	tuned(t, l, lists...)
	tuned(t, other, lists...)
	customer := account.Customer{ID: "c", Threshold: 4, SelfRelease: true, ReleaseCeiling: 7}
	for _, ledger := range []*account.Ledger{l, other} {
		if err := ledger.PutCustomer(ctx, customer); err != nil {
			t.Fatal(err)
		}
	}
	f := testFilter(t, Options{Resolver: nothing, Accounts: l, Scores: map[string]float64{"MISSING_MID": 0.9}})
	all := f.Catalogue()
	in := caseNamed(t, "101-plain").input(t)
	verdict := func(ledger *account.Ledger, threshold float64, hits []string, client, login string) Verdict {
		s := &scan{Input: in, settings: f.now.Load(), tuned: ledger.Tuned("c")}
		s.Customer, s.Credential, s.ClientIP, s.Now = customer, login, netip.MustParseAddr(client), now
		s.Customer.Threshold = threshold
		for _, h := range hits {
			s.hit(h, nil, "evidence")
		}
		checkDecisions(ctx, s)
		return s.verdict(threshold)
	}
	var held, open, moved int
	for range 1500 {
		change := Change{Points: map[string]float64{}}
		for range rng.IntN(4) {
			x := all[rng.IntN(len(all))]
			if p := thousandth(rng.Float64()*8 - 2); f.CheckPoints(x.Name, p) == nil {
				change.Points[x.Name] = p
			}
		}
		if rng.IntN(3) == 0 {
			change.Customer = "c"
		}
		threshold := 4.0
		if rng.IntN(3) == 0 {
			change.Threshold = thousandth(0.1 + rng.Float64()*14)
			threshold = change.Threshold
		}
		var hits []string
		for range 1 + rng.IntN(12) {
			if x := all[rng.IntN(len(all))]; !decided(x.Name) && x.Name != noOpinion && !(x.Name == virusFound && rng.IntN(4) > 0) {
				hits = append(hits, x.Name)
			}
		}
		for test := range change.Points {
			if rng.IntN(2) == 0 {
				hits = append(hits, test)
			}
		}
		client := []string{"198.51.100.7", "203.0.113.9"}[rng.IntN(8)/7]
		login := []string{"", "web"}[rng.IntN(6)/5]
		then := verdict(l, 4, hits, client, login)
		if err := other.SetPoints(ctx, change.Customer, change.Points, "x"); err != nil {
			t.Fatal(err)
		}
		would := verdict(other, threshold, hits, client, login)
		if tests := slices.Collect(maps.Keys(change.Points)); len(tests) > 0 {
			if err := other.UnsetPoints(ctx, change.Customer, tests...); err != nil {
				t.Fatal(err)
			}
		}
		w, err := f.WhatIf(change)
		if err != nil {
			t.Fatal(err)
		}
		p := Past{Customer: "c", Threshold: then.Threshold, Points: map[string]float64{}, At: now}
		for _, h := range then.Hits {
			p.Points[h.Test] = h.Points
		}
		s := &scan{Input: in}
		s.Credential, s.ClientIP = login, netip.MustParseAddr(client)
		p.Subject = s.subject()
		out := w.Judge(p)
		if out.Open {
			open++
		} else if out.Held != would.Held || math.Abs(out.Score-would.Score) > 1e-9 {
			t.Fatalf("change %+v of %v (%s %s)\nthen %+v\nwhat-if %+v\nfilter %+v", change, hits, client, login, then, out, would)
		}
		if would.Held {
			held++
		}
		if would.Held != then.Held {
			moved++
		}
	}
	if held < 250 || moved < 50 || open > 0 {
		t.Errorf("%d held, %d moved, %d open: the trial proves little", held, moved, open)
	}
}

func TestWhatIfOpenAndLists(t *testing.T) {
	t.Parallel()
	l := testLedger(t)
	tuned(t, l, "allow from:anne@good.example", "deny to:bob@there.example")
	if err := l.SetPoints(t.Context(), "", map[string]float64{"SPF_NONE": 0, "DKIM_NONE": 0}, "x"); err != nil {
		t.Fatal(err)
	}
	if err := l.SetPoints(t.Context(), "c", map[string]float64{"SPF_FAIL": 1}, "x"); err != nil {
		t.Fatal(err)
	}
	f := testFilter(t, Options{Resolver: nothing, Accounts: l})
	anne, bob := mail.Address{Local: "anne", Domain: "good.example"}, mail.Address{Local: "bob", Domain: "there.example"}
	deny := account.Entry{Kind: account.Deny, What: account.WhatFromDomain, Value: "good.example"}
	allow := account.Entry{Kind: account.Allow, What: account.WhatFrom, Value: "anne@good.example"}
	to := account.Entry{Kind: account.Deny, What: account.WhatTo, Value: "bob@there.example"}
	for _, tc := range []struct {
		name    string
		change  Change
		points  map[string]float64
		subject account.Subject
		held    bool
		open    bool
	}{
		{name: "asleep, matters", change: Change{Points: map[string]float64{"SPF_NONE": 2}}, points: map[string]float64{"SPF_FAIL": 2}, open: true},
		{name: "asleep, does not matter", change: Change{Points: map[string]float64{"SPF_NONE": 0.5}}, points: map[string]float64{"SPF_FAIL": 2}},
		{name: "asleep, held anyway", change: Change{Points: map[string]float64{"SPF_NONE": 2}}, points: map[string]float64{"SPF_FAIL": 4}, held: true},
		{name: "switched off now, fired then", change: Change{Points: map[string]float64{"SPF_NONE": 2}}, points: map[string]float64{"SPF_NONE": 1, "DATE_IN_PAST": 1.5}, held: true},
		{name: "his own points win over everybody's", change: Change{Points: map[string]float64{"SPF_FAIL": 9}}, points: map[string]float64{"SPF_FAIL": 1}},
		{name: "another customer's change", change: Change{Customer: "d", Points: map[string]float64{"SPF_FAIL": 9}, Threshold: 0.5}, points: map[string]float64{"SPF_FAIL": 1}},
		{name: "his change", change: Change{Customer: "c", Points: map[string]float64{"SPF_FAIL": 9}}, points: map[string]float64{"SPF_FAIL": 1}, held: true},
		{name: "lists as then", points: map[string]float64{"SPF_FAIL": 9}, subject: account.Subject{From: []mail.Address{anne}}, held: true},
		{name: "lists as they are", change: Change{Remove: []account.Entry{deny}}, points: map[string]float64{"SPF_FAIL": 9}, subject: account.Subject{From: []mail.Address{anne}}},
		{name: "allowed then, no more", change: Change{Remove: []account.Entry{allow}}, points: map[string]float64{"SPF_FAIL": 9, "ALLOW_LISTED": -100}, subject: account.Subject{From: []mail.Address{anne}}, held: true},
		{name: "denied", change: Change{Add: []account.Entry{deny}}, points: map[string]float64{}, subject: account.Subject{From: []mail.Address{anne}}, held: true},
		{name: "denied then, no more", change: Change{Remove: []account.Entry{to}}, points: map[string]float64{"DENY_LISTED": 100}, subject: account.Subject{To: []mail.Address{bob}}},
		{name: "recipients not kept", change: Change{Add: []account.Entry{{Kind: account.Allow, What: account.WhatFrom, Value: "x@y.example"}}}, points: map[string]float64{}, subject: account.Subject{ToMore: 5}, open: true},
		{name: "denied whatever the others", change: Change{Add: []account.Entry{deny}}, points: map[string]float64{}, subject: account.Subject{From: []mail.Address{anne}, ToMore: 5}, held: true},
	} {
		w, err := f.WhatIf(tc.change)
		if err != nil {
			t.Fatal(tc.name, err)
		}
		for range 2 { // from memory the second time
			out := w.Judge(Past{Customer: "c", Threshold: 3, Points: tc.points, Subject: tc.subject, At: testNow})
			if out.Open != tc.open || !tc.open && out.Held != tc.held {
				t.Errorf("%s: %+v", tc.name, out)
			}
		}
	}
	for name, c := range map[string]Change{
		"test": {Points: map[string]float64{"SPF_FIAL": 1}}, "threshold": {Threshold: 16}, "entry": {Add: []account.Entry{{Kind: account.Deny, What: "x", Value: "y"}}},
	} {
		if _, err := f.WhatIf(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// BenchmarkTuned is what points and lists of people cost a message with 12 hits and two recipients.
func BenchmarkTuned(b *testing.B) {
	for _, size := range []int{0, 1000} {
		b.Run(fmt.Sprintf("entries%d", size), func(b *testing.B) {
			l := testLedger(b)
			tuned(b, l)
			if size > 0 {
				tuning := account.Tuning{Overrides: []account.Override{{Test: "SPF_FAIL", Points: 1}, {Scope: "c", Test: "SPF_NONE", Points: 1}}}
				for i := range size {
					tuning.Entries = append(tuning.Entries, account.Entry{Kind: account.Deny, What: account.WhatFrom, Value: fmt.Sprintf("a%d@x.example", i)},
						account.Entry{Kind: account.Allow, Scope: "c", What: account.WhatToDomain, Value: fmt.Sprintf("a%d.example", i)},
						account.Entry{Kind: account.Deny, What: account.WhatClient, Value: fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255)})
				}
				if err := l.SyncTuning(b.Context(), tuning, "x.yaml"); err != nil {
					b.Fatal(err)
				}
			}
			f := testFilter(b, Options{Resolver: nothing, Accounts: l})
			in := caseNamed(b, "101-plain").input(b)
			in.Envelope.Recipients = append(in.Envelope.Recipients, in.Envelope.Recipients...)
			hits := f.Catalogue()[:12]
			b.ReportAllocs()
			for b.Loop() {
				s := &scan{Input: in, settings: f.now.Load(), tuned: l.Tuned("c")}
				for _, h := range hits {
					s.silent(h.Name)
					s.set(h.Name)
				}
				checkDecisions(b.Context(), s)
				s.ruleScores()
			}
		})
	}
}

// BenchmarkJudge is what one message of the past costs a trial.
func BenchmarkJudge(b *testing.B) {
	l := testLedger(b)
	tuned(b, l, "deny from:x@y.example")
	f := testFilter(b, Options{Resolver: nothing, Accounts: l})
	w, err := f.WhatIf(Change{Points: map[string]float64{"SPF_NONE": 3}, Add: []account.Entry{{Kind: account.Deny, What: account.WhatFromDomain, Value: "bad.example"}}})
	if err != nil {
		b.Fatal(err)
	}
	p := Past{Customer: "c", Threshold: 3, Points: map[string]float64{}, At: testNow, Subject: account.Subject{From: []mail.Address{{Local: "a", Domain: "good.example"}}}}
	for _, x := range f.Catalogue()[:12] {
		p.Points[x.Name] = x.Points
	}
	b.ReportAllocs()
	for b.Loop() {
		w.Judge(p)
	}
}
