package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/mail"
	"postern/internal/store"
)

func entry(t *testing.T, kind account.ListKind, scope, text string) account.Entry {
	t.Helper()
	e, err := account.ParseEntry(text)
	if err != nil {
		t.Fatal(err)
	}
	e.Kind, e.Scope = kind, scope
	return e
}

func TestPointsOfTests(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		ctx, l := t.Context(), open(t, db)
		if err := l.PutCustomer(ctx, account.Customer{ID: "shop"}); err != nil {
			t.Fatal(err)
		}
		file := account.Tuning{Overrides: []account.Override{{Test: "GTUBE", Points: 50}, {Scope: "shop", Test: "SPF_FAIL", Points: 1}}}
		if err := l.SyncTuning(ctx, file, "postern.yaml"); err != nil {
			t.Fatal(err)
		}
		for scope, points := range map[string]map[string]float64{"": {"SPF_NONE": 0.5, "SPF_FAIL": 2, "DATE_IN_PAST": 0}, "shop": {"SPF_NONE": 0, "MISSING_MID": -1.5}} {
			if err := l.SetPoints(ctx, scope, points, "operator:alice"); err != nil {
				t.Fatal(err)
			}
		}
		other := open(t, db) // another node, with a file of its own
		if err := other.SyncTuning(ctx, file, "postern.yaml"); err != nil {
			t.Fatal(err)
		}
		for _, ledger := range []*account.Ledger{l, other} {
			for _, tc := range []struct {
				customer, test string
				want           float64
				set            bool
			}{
				{"shop", "SPF_NONE", 0, true}, {"other", "SPF_NONE", 0.5, true}, {"shop", "SPF_FAIL", 1, true}, {"other", "SPF_FAIL", 2, true},
				{"shop", "GTUBE", 50, true}, {"shop", "MISSING_MID", -1.5, true}, {"other", "MISSING_MID", 0, false}, {"", "DATE_IN_PAST", 0, true},
			} {
				if got, ok := ledger.Tuned(tc.customer).Points(tc.test); got != tc.want || ok != tc.set {
					t.Errorf("%s for %q: %v %v, want %v %v", tc.test, tc.customer, got, ok, tc.want, tc.set)
				}
			}
		}
		all := l.Overrides()
		if len(all) != 7 || all[0].Test != "DATE_IN_PAST" || all[0].By != "operator:alice" || all[0].Origin != account.OriginDatabase || all[0].At.IsZero() ||
			all[1].Test != "GTUBE" || all[1].Origin != account.OriginConfig {
			t.Errorf("%+v", all)
		}
		if err := l.UnsetPoints(ctx, "shop", "SPF_NONE", "MISSING_MID"); err != nil {
			t.Fatal(err)
		}
		if got, _ := l.Tuned("shop").Points("SPF_NONE"); got != 0.5 {
			t.Errorf("after unset: %v", got)
		}
		many := map[string]float64{}
		for i := range account.MaxOverrides + 1 {
			many[fmt.Sprint("T_", i)] = 1
		}
		for name, tc := range map[string]struct {
			err  error
			want error
			says string
		}{
			"in the file":      {l.SetPoints(ctx, "", map[string]float64{"GTUBE": 1}, "x"), account.ErrFromConfig, "GTUBE for everybody stand in postern.yaml"},
			"unset in file":    {l.UnsetPoints(ctx, "shop", "SPF_FAIL"), account.ErrFromConfig, "postern.yaml"},
			"no customer":      {l.SetPoints(ctx, "nobody", map[string]float64{"A": 1}, "x"), account.ErrNotFound, "nobody"},
			"too much":         {l.SetPoints(ctx, "", map[string]float64{"A": 101}, "x"), account.ErrInvalid, "-100 and 100"},
			"no name":          {l.SetPoints(ctx, "", map[string]float64{"A B": 1}, "x"), account.ErrInvalid, "no test's name"},
			"nothing to unset": {l.UnsetPoints(ctx, "", "SPF_FAIL", "NONE"), account.ErrNotFound, "NONE has no other points for everybody"},
			"too many":         {l.SetPoints(ctx, "shop", many, "x"), account.ErrInvalid, "500"},
			"file with faults": {l.SyncTuning(ctx, account.Tuning{Overrides: []account.Override{{Test: "", Points: 1}}}, "bad.yaml"), account.ErrInvalid, "bad.yaml"},
		} {
			if !errors.Is(tc.err, tc.want) || !strings.Contains(fmt.Sprint(tc.err), tc.says) {
				t.Errorf("%s: %v", name, tc.err)
			}
		}
		if got, _ := l.Tuned("").Points("SPF_FAIL"); got != 2 {
			t.Errorf("an unset that failed changed something: %v", got)
		}
		if err := l.DeleteCustomer(ctx, "shop"); err != nil {
			t.Fatal(err)
		}
		if err := l.PutCustomer(ctx, account.Customer{ID: "shop"}); err != nil {
			t.Fatal(err)
		}
		if _, ok := l.Tuned("shop").OwnPoints("MISSING_MID"); ok {
			t.Error("a new customer inherits the points of the one before")
		}
	})
}

func TestEntriesAreKept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		ctx, l := t.Context(), open(t, db)
		if err := l.PutCustomer(ctx, account.Customer{ID: "shop"}); err != nil {
			t.Fatal(err)
		}
		in := entry(t, account.Allow, "", "from:Post@SHOP.example -- from the file")
		if err := l.SyncTuning(ctx, account.Tuning{Entries: []account.Entry{in}}, "postern.yaml"); err != nil {
			t.Fatal(err)
		}
		e := entry(t, account.Deny, "shop", "client:192.0.2.7/24")
		e.Until, e.Note, e.By = time.Now().Add(time.Hour), "hacked", "operator:alice"
		if _, err := l.AddEntry(ctx, e); err != nil {
			t.Fatal(err)
		}
		e.Note = "hacked twice"
		kept, err := l.AddEntry(ctx, e)
		if err != nil {
			t.Fatal(err)
		}
		all := open(t, db).Entries()
		if len(all) != 1 || all[0] != kept || kept.Value != "192.0.2.0/24" || kept.Note != "hacked twice" || kept.By != "operator:alice" {
			t.Errorf("%+v\n%+v", all, kept)
		}
		if all := l.Entries(); len(all) != 2 || all[0].Value != "post@shop.example" || all[0].Origin != account.OriginConfig {
			t.Errorf("%+v", all)
		}
		own := account.Entry{Scope: "shop", Own: true, Kind: account.Allow, What: account.WhatClient, Value: "192.0.2.1"}
		past := e
		past.Until = time.Now().Add(-time.Hour)
		for name, tc := range map[string]struct {
			e    account.Entry
			want error
			says string
		}{
			"own network": {own, account.ErrInvalid, "a sender may allow"},
			"own denial":  {account.Entry{Scope: "shop", Own: true, Kind: account.Deny, What: account.WhatFrom, Value: "a@b.example"}, account.ErrInvalid, "a sender may allow"},
			"own of all":  {account.Entry{Own: true, Kind: account.Allow, What: account.WhatFrom, Value: "a@b.example"}, account.ErrInvalid, "belongs to his customer"},
			"file":        {in, account.ErrFromConfig, "stands in postern.yaml"},
			"customer":    {entry(t, account.Allow, "nobody", "to:a@b.example"), account.ErrNotFound, "nobody"},
			"past":        {past, account.ErrInvalid, "is past"},
			"everybody":   {account.Entry{Kind: account.Allow, What: account.WhatClient, Value: "0.0.0.0/0"}, account.ErrInvalid, "everybody"},
			"whole tld":   {account.Entry{Kind: account.Allow, What: account.WhatFromDomain, Value: "example"}, account.ErrInvalid, "top-level"},
			"no address":  {account.Entry{Kind: account.Allow, What: account.WhatFrom, Value: "x y"}, account.ErrInvalid, "no mail address"},
			"no kind":     {account.Entry{Kind: "maybe", What: account.WhatFrom, Value: "a@b.example"}, account.ErrInvalid, "maybe"},
			"no part":     {account.Entry{Kind: account.Deny, What: "subject", Value: "a"}, account.ErrInvalid, "subject"},
			"long":        {account.Entry{Kind: account.Deny, What: account.WhatCredential, Value: strings.Repeat("x", 400)}, account.ErrInvalid, "320"},
			"long note":   {account.Entry{Kind: account.Deny, What: account.WhatCredential, Value: "x", Note: strings.Repeat("x", 201)}, account.ErrInvalid, "note"},
			"two lines":   {account.Entry{Kind: account.Deny, What: account.WhatCredential, Value: "x", Note: "a\nb"}, account.ErrInvalid, "one line"},
		} {
			if _, err := l.AddEntry(ctx, tc.e); !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
		own.What, own.Value = account.WhatFrom, "a@shop.example"
		for i := range account.MaxOwnEntries + 1 {
			own.Value = fmt.Sprintf("a%d@shop.example", i)
			if _, err := l.AddEntry(ctx, own); (err != nil) != (i == account.MaxOwnEntries) {
				t.Fatalf("own entry %d: %v", i, err)
			}
		}
		if err := l.RemoveEntry(ctx, in); !errors.Is(err, account.ErrFromConfig) {
			t.Errorf("%v", err)
		}
		if err := l.RemoveEntry(ctx, e); err != nil {
			t.Fatal(err)
		}
		if err := l.RemoveEntry(ctx, e); !errors.Is(err, account.ErrNotFound) || !strings.Contains(err.Error(), "client:192.0.2.0/24 is on no deny list for customer shop") {
			t.Errorf("%v", err)
		}
		if err := l.DeleteCustomer(ctx, "shop"); err != nil {
			t.Fatal(err)
		}
		if all := l.Entries(); len(all) != 1 {
			t.Errorf("a customer who is gone leaves entries: %+v", all)
		}
	})
}

// TestChangeOfAnotherNode: what one node writes, the others know without a restart.
func TestChangeOfAnotherNode(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		here, there := open(t, db), open(t, db)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- there.Run(ctx) }()
		for i := range 3 {
			want := float64(i + 1)
			if err := here.SetPoints(t.Context(), "", map[string]float64{"SPF_NONE": want}, "operator:a"); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(time.Minute)
			for got, _ := there.Tuned("shop").Points("SPF_NONE"); got != want; got, _ = there.Tuned("shop").Points("SPF_NONE") {
				if time.Now().After(deadline) {
					t.Fatalf("change %d not seen", i)
				}
				time.Sleep(time.Millisecond)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	each(t, func(t *testing.T, db *store.DB) {
		l, err := account.New(account.Options{DB: db, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.PutCustomer(t.Context(), account.Customer{ID: "shop"}); err != nil {
			t.Fatal(err)
		}
		for _, e := range []account.Entry{
			entry(t, account.Allow, "", "from:post@shop.example"), entry(t, account.Allow, "shop", "from-domain:news.example"),
			entry(t, account.Allow, "", "to:bob@remote.example"), entry(t, account.Allow, "shop", "to-domain:partner.example"),
			entry(t, account.Allow, "shop", "client:2001:db8::/48"), entry(t, account.Allow, "shop", "client:192.0.2.1"), entry(t, account.Allow, "shop", "credential:Web"),
			entry(t, account.Deny, "", "from-domain:bad.example"), entry(t, account.Deny, "shop", "to-domain:competitor.example"), entry(t, account.Deny, "", "client:198.51.100.0/24"),
			entry(t, account.Allow, "", "from:late@shop.example until 2026-11-22"), entry(t, account.Allow, "", "from-domain:[192.0.2.9]"),
			{Scope: "shop", Own: true, Kind: account.Allow, What: account.WhatFrom, Value: "anna@shop.example"},
		} {
			if _, err := l.AddEntry(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		for _, tc := range []struct {
			name, customer, from, to, ip, login string
			deny, allow, own                    string
			later                               time.Duration
		}{
			{name: "nothing", customer: "shop", from: "x@shop.example", to: "y@remote.example", ip: "203.0.113.1"},
			{name: "address", customer: "other", from: "Post@Shop.example", allow: "from:post@shop.example"},
			{name: "second author is nobody", customer: "shop", from: "post@shop.example x@y.example"},
			{name: "two lists cover two authors", customer: "shop", from: "post@shop.example a@b.news.example", allow: "from:post@shop.example from-domain:news.example"},
			{name: "customer's own list", customer: "other", from: "a@news.example"},
			{name: "domain literal", customer: "other", from: "a@[192.0.2.9]", allow: "from-domain:[192.0.2.9]"},
			{name: "recipient", customer: "shop", to: "bob@REMOTE.example", allow: "to:bob@remote.example"},
			{name: "recipients covered", customer: "shop", to: "bob@remote.example x@partner.example", allow: "to:bob@remote.example to-domain:partner.example"},
			{name: "one recipient is not enough", customer: "shop", to: "bob@remote.example x@y.example"},
			{name: "one denied is enough", customer: "shop", to: "bob@remote.example x@a.competitor.example", deny: "to-domain:competitor.example"},
			{name: "denied author", customer: "other", from: "x@y.example z@sub.bad.example", deny: "from-domain:bad.example"},
			{name: "look-alike domain", customer: "other", from: "x@notbad.example"},
			{name: "client", customer: "shop", ip: "192.0.2.1", allow: "client:192.0.2.1"},
			{name: "client, mapped", customer: "shop", ip: "::ffff:192.0.2.1", allow: "client:192.0.2.1"},
			{name: "client network", customer: "shop", ip: "2001:db8::1:2", allow: "client:2001:db8::/48"},
			{name: "client of another", customer: "other", ip: "192.0.2.1"},
			{name: "client denied", customer: "shop", ip: "198.51.100.77", deny: "client:198.51.100.0/24"},
			{name: "login", customer: "shop", login: "wEB", allow: "credential:web"},
			{name: "both", customer: "shop", from: "post@shop.example", ip: "198.51.100.77", deny: "client:198.51.100.0/24", allow: "from:post@shop.example"},
			{name: "own", customer: "shop", from: "anna@shop.example", own: "from:anna@shop.example"},
			{name: "own of another", customer: "other", from: "anna@shop.example"},
			{name: "last day", customer: "shop", from: "late@shop.example", later: 11 * time.Hour, allow: "from:late@shop.example"},
			{name: "after it", customer: "shop", from: "late@shop.example", later: 12 * time.Hour},
			{name: "unreadable author", customer: "shop", from: "post@shop.example -"},
		} {
			s := account.Subject{Credential: tc.login}
			for text, to := range map[string]*[]mail.Address{tc.from: &s.From, tc.to: &s.To} {
				for a := range strings.FieldsSeq(text) {
					if a == "-" {
						*to = append(*to, mail.Address{})
					} else {
						*to = append(*to, addr(t, a))
					}
				}
			}
			if tc.ip != "" {
				s.ClientIP = netip.MustParseAddr(tc.ip)
			}
			m := l.Tuned(tc.customer).Match(s, now.Add(tc.later))
			if deny, allow, own := names(m.Deny), names(m.Allow), names(m.Own); deny != tc.deny || allow != tc.allow || own != tc.own {
				t.Errorf("%s: deny %q allow %q own %q", tc.name, deny, allow, own)
			}
		}
		s := account.Subject{From: []mail.Address{addr(t, "x@shop.example")}, To: []mail.Address{addr(t, "bob@remote.example")}, ToMore: 3}
		if m := l.Tuned("shop").Match(s, now); !m.Unsure || m.Allow != nil {
			t.Errorf("recipients that are not known: %+v", m)
		}
		added := entry(t, account.Deny, "shop", "from:x@shop.example")
		tried, err := l.With("shop", []account.Entry{entry(t, account.Allow, "", "to:bob@remote.example")}, []account.Entry{added, entry(t, account.Deny, "other", "from:y@shop.example")})
		if err != nil {
			t.Fatal(err)
		}
		s.ToMore = 0
		if m := tried.Match(s, now); names(m.Deny) != "from:x@shop.example" || names(m.Allow) != "" {
			t.Errorf("tried: %+v", m)
		}
		if m := l.Tuned("shop").Match(s, now); names(m.Deny) != "" || names(m.Allow) != "to:bob@remote.example" {
			t.Errorf("trying changed something: %+v", m)
		}
	})
}

func names(entries []account.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.String())
	}
	return strings.Join(all, " ")
}

func TestParseEntry(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"from:Anna@Shop.Example":                                    "from:anna@shop.example 0001-01-01 ",
		"from-domain:Bücher.example until 2026-12-31 -- one -- two": "from-domain:xn--bcher-kva.example 2027-01-01 one -- two",
		"client:192.0.2.77/24":                                      "client:192.0.2.0/24 0001-01-01 ",
		"client:::ffff:192.0.2.1":                                   "client:192.0.2.1 0001-01-01 ",
		" credential: Web-1 -- x":                                   "credential:web-1 0001-01-01 x",
		`to:"a b"@x.example`:                                        `to:"a b"@x.example 0001-01-01 `,
	} {
		e, err := account.ParseEntry(text)
		if got := fmt.Sprintf("%s %s %s", e, e.Until.Format(time.DateOnly), e.Note); err != nil || got != want {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"":                            "from:ADDRESS",
		"anna@shop.example":           "expected from:anna@shop.example or to:anna@shop.example",
		"shop.example":                "expected from-domain:shop.example or to-domain:shop.example",
		"192.0.2.0/24":                "expected client:192.0.2.0/24",
		"subject:hello":               "expected from:ADDRESS",
		"from:":                       "1 to 320",
		"client:::ffff:192.0.2.0/120": "no address or network",
		"to:a@b.example until soon":   "no day",
	} {
		if _, err := account.ParseEntry(text); !errors.Is(err, account.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, s := range []string{"from:a@b.example", "from-domain:b.example until 2026-12-31 -- note", "client:2001:db8::/32", "client:1.2.3.4", "credential:x", `to:"\" -- "@x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := account.ParseEntry(text)
		if err != nil {
			if !errors.Is(err, account.ErrInvalid) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if strings.Contains(e.Value, " -- ") || strings.Contains(e.Value, " until ") {
			return // only in quotes; such a value is given without the text form
		}
		if again, err := account.ParseEntry(e.String()); err != nil || again.String() != e.String() {
			t.Fatalf("%q: %q becomes %q (%v)", text, e, again, err)
		}
	})
}
