package reputation_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/checkup"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/reputation"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// send writes the life of some messages of one credential into the journal.
func (s *scene) send(customer, credential string, client int, n, invalid, refused int) {
	s.t.Helper()
	var facts []journal.Fact
	for i := range n {
		id := mail.NewQueueID(s.clock.Now())
		at := s.clock.Now().Add(time.Duration(i) * time.Second)
		facts = append(facts, journal.Fact{Kind: journal.Accepted, At: at, QueueID: id, Customer: customer, Credential: credential, ClientIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(client + i%12)}),
			ReversePath: "news@" + domain, HeaderFrom: "News <news@" + domain + ">", Recipient: fmt.Sprintf("r%d@there.example", i), Score: 1})
		out := journal.Fact{Kind: journal.Delivered, At: at.Add(time.Second), QueueID: id, Customer: customer, Recipient: fmt.Sprintf("r%d@there.example", i), EgressIP: netip.MustParseAddr(egress), Code: 250, Attempt: 1, Provider: "Orange"}
		switch {
		case i < invalid:
			out.Kind, out.Code, out.Category, out.Text = journal.Bounced, 550, string(provider.UserUnknown), "550 5.1.1 no such user"
		case i < invalid+refused:
			out.Kind, out.Code, out.Category, out.Text = journal.Deferred, 421, string(provider.Blocked), "421 4.7.1 blocked using a.test; see https://alpha.example/"
		}
		facts = append(facts, out)
	}
	if err := s.journal.Append(s.t.Context(), facts...); err != nil {
		s.t.Fatal(err)
	}
}

// TestEvidence joins what the journal, SNDS, the check-up and the neighbours say.
func TestEvidence(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, func(o *reputation.Options) {
			o.SNDS = func(_ context.Context, ip netip.Addr, from, to time.Time) ([]reputation.SNDSDay, error) {
				return []reputation.SNDSDay{{Day: to.AddDate(0, 0, -1), Colour: "RED", Recipients: 100, Complaints: 0.005, Traps: 3}}, nil
			}
			o.Check = func(_ context.Context, target checkup.Target, _ checkup.Ask) (checkup.CheckReport, error) {
				return checkup.CheckReport{Target: target, Findings: []checkup.Finding{{Group: "reverse", Code: "reverse.fine", State: checkup.Fine}, {Group: "server", Code: "server.silent", State: checkup.Unknown},
					{Group: "reverse", Code: "reverse.bare", State: checkup.Advice, Args: map[string]any{"IP": egress, "Bad": func() {}}}}}, nil
			}
		})
		if err := s.accounts.PutCustomer(t.Context(), account.Customer{ID: "club", Name: "The Club", Domains: []mail.Domain{"club.example"}}); err != nil {
			t.Fatal(err)
		}
		s.options.Strangers = func(_ context.Context, customer string, credentials []string, from, to time.Time) (reputation.Acquaintance, error) {
			if !from.Before(to) || customer == "" {
				t.Errorf("whom %q wrote to from %s to %s", customer, from, to)
			}
			if customer == "shop" {
				return reputation.Acquaintance{All: reputation.Strangers{Known: true, Recipients: 200, First: 20, Usual: 0.1}}, nil
			}
			if !slices.Contains(credentials, "club-1") {
				t.Errorf("credentials %v", credentials)
			}
			return reputation.Acquaintance{All: reputation.Strangers{Known: true, Recipients: 130, First: 120, Usual: 0.02},
				Logins: map[string]reputation.Strangers{"club-1": {Known: true, Recipients: 120, First: 120, Usual: 0.02}}}, nil
		}
		s.restart()
		s.look(0)
		s.send("shop", "shop-1", 1, 200, 2, 0)
		s.send("club", "club-1", 20, 120, 60, 30)
		s.send("club", "club-2", 90, 10, 0, 0)
		s.list("198.51.100.99", "a.test", "127.0.0.2")
		s.list(egress, "a.test", "127.0.0.2")
		s.look(2 * time.Hour)
		d := s.dossier(s.dossiers()[0].ID)
		e := d.Evidence
		if !e.Senders.Known || e.Senders.Customers != 2 || e.Senders.All.Messages != 330 || e.Senders.All.Invalid != 62 || e.Senders.All.Refused != 30 {
			t.Fatalf("senders %+v", e.Senders)
		}
		first := e.Senders.Senders[0]
		if first.Customer != "club" || first.Name != "The Club" || !slices.Equal(first.StandsOut, []string{"invalid", "refused", "strangers"}) || first.Ratio < 10 || first.Tally.Messages != 130 || first.Fault < 0.9 {
			t.Fatalf("first %+v", first)
		}
		if login := first.Credentials[0]; login.Credential != "club-1" || login.Addresses != 12 || login.Fault != 1 || len(login.Examples) != 5 {
			t.Fatalf("credential %+v", login)
		}
		if first.Strangers.First != 120 || first.Credentials[0].Strangers.First != 120 || first.Credentials[1].Strangers.Known {
			t.Fatalf("whom the first wrote to: %+v", first)
		}
		if len(e.Traps) != 1 || e.Traps[0].Source != reputation.TrapSNDS || e.Traps[0].Count != 3 {
			t.Fatalf("traps %+v", e.Traps)
		}
		if second := e.Senders.Senders[1]; len(second.StandsOut) != 0 || second.Strangers.Share() != 0.1 {
			t.Fatalf("second %+v", second)
		}
		if len(e.Answers) != 1 || !e.Answers[0].Names || e.Answers[0].Count != 30 || e.Answers[0].Provider != "Orange" {
			t.Fatalf("answers %+v", e.Answers)
		}
		if len(e.SNDS) != 1 || len(e.Findings) != 3 || e.Findings[0].Code != "reverse.bare" || e.Findings[0].Args["IP"] != egress || !e.Measured["reverse"] || e.Measured["server"] {
			t.Fatalf("%+v %+v %+v", e.SNDS, e.Findings, e.Measured)
		}
		if e.Listings[0].List != "Alpha" || e.Listings[0].Means[0].FR != "inscription SBL" || len(e.Missing) != 0 {
			t.Fatalf("%+v %+v", e.Listings, e.Missing)
		}
		if d.Causes[0].Code != reputation.CauseBulk || d.Causes[0].Likelihood != reputation.Likely {
			t.Fatalf("causes %+v", d.Causes)
		}
		his := d.ForCustomer("shop")
		if all := his.Evidence.Senders; len(all.Senders) != 1 || all.All.Messages != 200 || all.Customers != 1 {
			t.Errorf("what a customer sees of the traffic: %+v", all)
		}
		for _, c := range his.Causes {
			for _, r := range c.Reasons {
				if r.Args["Name"] == "The Club" {
					t.Errorf("a customer reads of another: %+v", r)
				}
			}
		}
		if len(d.Causes[0].Reasons) < 2 || len(d.Evidence.Senders.Senders) != 2 {
			t.Error("the operator's dossier has changed with it")
		}
		i := slices.IndexFunc(d.Checklist, func(x reputation.Step) bool { return x.Code == "sender-stop" })
		if i < 0 || d.Checklist[i].Link != "/o/customers/club" {
			t.Fatalf("checklist %+v", d.Checklist)
		}
	})
}

// TestTraps: answers, complaints and lists that speak of spam traps are told apart, and whose mail it was.
func TestTraps(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.look(0)
		s.send("shop", "shop-1", 1, 100, 0, 0)
		id := mail.NewQueueID(s.clock.Now())
		at, ip := s.clock.Now(), netip.MustParseAddr(egress)
		said := "554 5.7.1 Your message reached a SpamTrap of ours"
		facts := []journal.Fact{
			{Kind: journal.Accepted, At: at, QueueID: id, Customer: "shop", Credential: "shop-2", Recipient: "a@there.example"},
			{Kind: journal.Bounced, At: at, QueueID: id, Customer: "shop", Recipient: "a@there.example", EgressIP: ip, Code: 554, Attempt: 1, Provider: "Yahoo", Category: string(provider.SpamDetected), Text: said},
			{Kind: journal.Deferred, At: at, QueueID: id, Customer: "shop", Recipient: "b@there.example", EgressIP: ip, Code: 451, Attempt: 2, Provider: "Yahoo", Category: string(provider.SpamDetected), Text: "451 spam trap"},
			{Kind: journal.Complaint, At: at, QueueID: id, Customer: "shop", Host: "abusix.example", Text: "spamtrap"},
			{Kind: journal.Complaint, At: at, QueueID: id, Customer: "shop", Host: "other.example", Text: "abuse"},
		}
		if err := s.journal.Append(t.Context(), facts...); err != nil {
			t.Fatal(err)
		}
		s.list(egress, "p.test", "127.0.0.2")
		s.look(2 * time.Hour)
		d := s.dossier(s.dossiers()[0].ID)
		var sources []reputation.TrapSource
		for _, x := range d.Evidence.Traps {
			sources = append(sources, x.Source)
		}
		if !slices.Equal(sources, []reputation.TrapSource{reputation.TrapList, reputation.TrapAnswer, reputation.TrapComplaint}) {
			t.Fatalf("traps %+v", d.Evidence.Traps)
		}
		if x := d.Evidence.Traps[1]; x.From != "Yahoo" || x.Count != 1 || x.Text != said || x.QueueID != string(id) {
			t.Errorf("answer %+v", x)
		}
		if x := d.Evidence.Traps[2]; x.From != "abusix.example" || x.Count != 1 {
			t.Errorf("complaint %+v", x)
		}
		shop := d.Evidence.Senders.Senders[0]
		if shop.Tally.Traps != 2 || shop.Tally.Complaints != 2 || !slices.Contains(shop.StandsOut, "traps") || shop.Credentials[0].Credential != "shop-2" {
			t.Errorf("sender %+v", shop)
		}
		if c := d.Causes[0]; c.Code != reputation.CauseBulk || c.Likelihood != reputation.Likely {
			t.Errorf("causes %+v", d.Causes)
		}
		for _, x := range d.ForCustomer("shop").Evidence.Traps {
			if x.QueueID != "" {
				t.Errorf("a customer reads %+v", x)
			}
		}
	})
}

// TestSpeaksOfTrap: the words of receivers and lists, and words that only look so.
func TestSpeaksOfTrap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"554 5.7.1 Spamtrap hit": true, "550 sent to a spam trap": true, "550 Honeypot address": true, "Adresse piège touchée": true, "554 messages envoyés à des pièges à spam": true, "Pristine trap": true,
		"": false, "550 5.1.1 trapper@there.example unknown": false, "trap": false, "550 blocked for spam": false, "421 SNMP trap sent": false,
	} {
		if got := reputation.SpeaksOfTrap(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestEvidenceThatIsMissing: what cannot be asked is named.
func TestEvidenceThatIsMissing(t *testing.T) {
	t.Parallel()
	s := newScene(t, storetest.SQLite(t, store.MainSchema()), func(o *reputation.Options) {
		o.Journal = nil
		o.Check = func(context.Context, checkup.Target, checkup.Ask) (checkup.CheckReport, error) {
			return checkup.CheckReport{}, errors.New("no network")
		}
	})
	s.list(egress, "a.test", "127.0.0.2")
	s.look(0)
	d := s.dossier(s.dossiers()[0].ID)
	var parts []string
	for _, m := range d.Evidence.Missing {
		parts = append(parts, m.Part+": "+m.Why)
	}
	if want := []string{"senders: not set up", "snds: not set up", "check: no network"}; !slices.Equal(parts, want) {
		t.Fatalf("missing %q", parts)
	}
	if c := d.Causes[slices.IndexFunc(d.Causes, func(c reputation.Cause) bool { return c.Code == reputation.CauseCompromised })]; c.Likelihood != reputation.UnknownLikelihood {
		t.Errorf("what was not measured is %s", c.Likelihood)
	}
}

func TestActs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.list(egress, "a.test", "127.0.0.2")
		s.look(0)
		id := s.dossiers()[0].ID
		ctx, anna := t.Context(), "operator:anna"
		for _, tc := range []struct {
			name string
			do   func() error
			want error
		}{
			{"no such dossier", func() error { return s.watch.Note(ctx, "nosuch", anna, "x") }, reputation.ErrNotFound},
			{"an empty note", func() error { return s.watch.Note(ctx, id, anna, "  ") }, reputation.ErrInvalid},
			{"a long note", func() error { return s.watch.Note(ctx, id, anna, strings.Repeat("x", 4001)) }, reputation.ErrInvalid},
			{"nobody", func() error { return s.watch.Note(ctx, id, "", "x") }, reputation.ErrInvalid},
			{"as the rule", func() error { return s.watch.Note(ctx, id, reputation.ByRule, "x") }, reputation.ErrInvalid},
			{"no such step", func() error { return s.watch.Tick(ctx, id, "dance", true, anna, "") }, reputation.ErrInvalid},
			{"clean by hand", func() error { return s.watch.Move(ctx, id, reputation.Clean, anna, "") }, reputation.ErrInvalid},
			{"closed without a reason", func() error { return s.watch.Move(ctx, id, reputation.Closed, anna, " ") }, reputation.ErrInvalid},
			{"a listing that is none", func() error { _, err := s.watch.Open(ctx, "x", anna); return err }, reputation.ErrNotFound},
			{"a cursor that is none", func() error { _, err := s.watch.Dossiers(ctx, reputation.DossierQuery{Cursor: "?"}); return err }, reputation.ErrInvalid},
			{"a request for nothing", func() error { _, err := s.watch.Request(ctx, "nosuch", "en"); return err }, reputation.ErrNotFound},
			{"days without end", func() error {
				_, err := s.watch.History(ctx, egress, time.Time{}, s.clock.Now())
				return err
			}, reputation.ErrInvalid},
			{"a block that is none", func() error {
				_, err := s.watch.Block(ctx, netip.MustParsePrefix("198.51.0.0/16"), s.clock.Now())
				return err
			}, reputation.ErrInvalid},
			{"a note", func() error { return s.watch.Note(ctx, id, anna, "called the customer") }, nil},
			{"a tick", func() error { return s.watch.Tick(ctx, id, "read-list", true, anna, "a trap on Friday") }, nil},
			{"another", func() error { return s.watch.Tick(ctx, id, "find-cause", true, anna, "") }, nil},
			{"back", func() error { return s.watch.Tick(ctx, id, "find-cause", false, anna, "wrong one") }, nil},
			{"requested", func() error { return s.watch.Move(ctx, id, reputation.Requested, anna, "by the form") }, nil},
			{"twice", func() error { return s.watch.Move(ctx, id, reputation.Requested, anna, "") }, nil},
		} {
			if err := tc.do(); tc.want == nil && err != nil || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
			}
		}
		d := s.dossier(id)
		var kinds []reputation.ActKind
		for _, a := range d.Acts {
			kinds = append(kinds, a.Kind)
		}
		if want := []reputation.ActKind{reputation.MovedTo, reputation.Unticked, reputation.Ticked, reputation.MovedTo, reputation.Ticked, reputation.Noted, reputation.Opened}; !slices.Equal(slices.DeleteFunc(kinds, func(k reputation.ActKind) bool { return k == reputation.GatheredNow }), want) {
			t.Errorf("acts %v", kinds)
		}
		if a := d.Acts[0]; a.From != reputation.Mending || a.To != reputation.Requested || a.Actor != anna || a.Text != "by the form" {
			t.Errorf("%+v", a)
		}
		if step := d.Checklist[0]; step.Code != "read-list" || !step.Done || step.By != anna || step.Note != "a trap on Friday" {
			t.Errorf("%+v", step)
		}
		acts, next, err := s.watch.Acts(ctx, id, "", 2)
		if err != nil || len(acts) != 2 || next == "" {
			t.Fatal(acts, next, err)
		}
		if more, _, err := s.watch.Acts(ctx, id, next, 100); err != nil || len(more) != len(d.Acts)-2 {
			t.Fatal(len(more), err)
		}
		if err := s.journal.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		facts, err := s.journal.Look(ctx, journal.Query{Kinds: []journal.Kind{journal.DossierMoved}})
		if err != nil || len(facts.Facts) != 3 || facts.Facts[0].Actor != anna {
			t.Errorf("facts %+v, %v", facts.Facts, err)
		}
		// A person may close it although it is listed; a list that goes on having it does not open it again, a new listing does.
		if err := s.watch.Move(ctx, id, reputation.Closed, anna, "we live with it"); err != nil {
			t.Fatal(err)
		}
		s.look(2 * time.Hour)
		if d := s.dossier(id); d.State != reputation.Closed {
			t.Error(d.State)
		}
		s.list(egress, "a2.test", "127.0.0.2")
		s.look(2 * time.Hour)
		if d := s.dossier(id); d.State != reputation.Open {
			t.Error(d.State)
		}
	})
}

func TestReminders(t *testing.T) {
	t.Parallel()
	s := newScene(t, storetest.SQLite(t, store.MainSchema()))
	s.list(egress, "a.test", "127.0.0.2")
	s.look(0)
	id := s.dossiers()[0].ID
	told := func() (codes []string) {
		for _, x := range s.alarms.told {
			codes = append(codes, x.Code)
		}
		s.alarms.told = nil
		return codes
	}
	s.look(23 * time.Hour)
	if got := told(); len(got) != 0 {
		t.Fatalf("after 23 hours: %v", got)
	}
	s.look(2 * time.Hour)
	if got := told(); !slices.Equal(got, []string{"dossier-open"}) {
		t.Fatalf("after a day: %v", got)
	}
	if err := s.watch.Tick(t.Context(), id, "read-list", true, "operator:anna", ""); err != nil {
		t.Fatal(err)
	}
	s.look(71 * time.Hour)
	if got := told(); len(got) != 0 {
		t.Fatalf("after an act: %v", got)
	}
	s.look(2 * time.Hour)
	if got := told(); !slices.Equal(got, []string{"dossier-mending"}) {
		t.Fatalf("three days after an act: %v", got)
	}
	if err := s.watch.Move(t.Context(), id, reputation.Requested, "operator:anna", ""); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		s.look(24 * time.Hour)
	}
	if got := told(); len(got) != 0 {
		t.Fatalf("six days after a request: %v", got)
	}
	s.look(25 * time.Hour)
	if got := told(); !slices.Equal(got, []string{"dossier-requested"}) {
		t.Fatalf("a week after a request: %v", got)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	s := newScene(t, storetest.SQLite(t, store.MainSchema()))
	s.send("shop", "shop-1", 1, 120, 60, 30)
	s.list(egress, "a.test", "127.0.0.2")
	s.look(time.Hour)
	id := s.dossiers()[0].ID
	early, err := s.watch.Request(t.Context(), id, "fr")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, w := range early.Warnings {
		codes = append(codes, w.Code)
	}
	if !slices.Equal(codes, []string{"steps", "still-sending", "gaps"}) {
		t.Errorf("warnings %v", codes)
	}
	if err := s.watch.Tick(t.Context(), id, "sender-stop", true, "operator:anna", ""); err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[string][]string{
		"en": {"Hello,", egress, "Alpha", "The list gives: SBL.", "What happened: one of our customers sent bulk mail", "- The mail of the sender responsible has been stopped (", "remove " + egress + " from your list", "Name in HELO/EHLO: gate.example.org", "[TO FILL IN: the reverse name of the address]", "postmaster@example.org", "The operator of gate.example.org"},
		"fr": {"Bonjour,", egress, "La liste indique", "Ce qui s'est passé", "- Les envois de l'expéditeur en cause ont été arrêtés (", "de bien vouloir retirer", "[À COMPLÉTER", "postmaster@example.org", "L'exploitant de gate.example.org"},
	} {
		r, err := s.watch.Request(t.Context(), id, lang)
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(r.Body), " ")
		for _, x := range want {
			if !strings.Contains(flat, x) {
				t.Errorf("%s: no %q in\n%s", lang, x, r.Body)
			}
		}
		for line := range strings.Lines(r.Body) {
			if len([]rune(line)) > 79 {
				t.Errorf("%s: a long line: %s", lang, line)
			}
		}
		if !strings.Contains(r.Subject, egress) || len(r.Ways) != 1 {
			t.Errorf("%+v", r)
		}
		t.Logf("%s\n%s", r.Subject, r.Body)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		var domains []mail.Domain
		for i := range 7 {
			domains = append(domains, mail.Domain(fmt.Sprintf("d%d.example", i)))
		}
		s := newScene(t, db, func(o *reputation.Options) { o.Domains = domains })
		for i := range 7 {
			s.list(fmt.Sprintf("d%d.example", i), "d.test", "127.0.0.2")
		}
		s.look(0)
		seen := map[string]bool{}
		for cursor, pages := "", 0; pages < 10; pages++ {
			p, err := s.watch.Dossiers(t.Context(), reputation.DossierQuery{Limit: 3, Cursor: cursor, States: []reputation.State{reputation.Open}})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range p.Dossiers {
				seen[d.Target] = true
			}
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if len(seen) != 7 {
			t.Errorf("dossiers of %d targets", len(seen))
		}
		n := 0
		for cursor := ""; ; {
			p, err := s.watch.Targets(t.Context(), reputation.TargetQuery{Role: reputation.Extra, Text: "d", Limit: 2, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			n += len(p.Targets)
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if n != 7 {
			t.Errorf("%d targets", n)
		}
		n = 0
		for cursor := ""; ; {
			p, err := s.watch.Events(t.Context(), "", cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			n += len(p.Events)
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if n != 7 {
			t.Errorf("%d events", n)
		}
	})
}

// TestKeep: what is too old leaves, what lasts stays.
func TestKeep(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, func(o *reputation.Options) { o.Keep = 60 * 24 * time.Hour })
		s.list(egress, "a.test", "127.0.0.2")
		s.list(domain, "d.test", "127.0.0.2")
		s.look(0)
		s.list(egress, "a.test", "")
		s.look(time.Hour)
		s.look(time.Hour)
		for range 32 {
			s.look(24 * time.Hour)
		}
		for range 8 {
			s.look(10 * 24 * time.Hour)
		}
		if n := s.rows("listing"); n != 1 {
			t.Errorf("%d listings", n)
		}
		if n := s.rows("dossier"); n != 1 {
			t.Errorf("%d dossiers", n)
		}
		if n := s.rows("day"); n > 3*(reputation.DaysKept+1) {
			t.Errorf("%d days", n)
		}
		if len(s.dossiers(reputation.Open)) != 1 || s.rows("event") != 0 {
			t.Errorf("dossiers %+v, %d events", s.dossiers(), s.rows("event"))
		}
	})
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in, indent string
		width      int
		want       string
	}{
		{"", "", 10, ""},
		{"one", "", 10, "one"},
		{"one two three", "", 7, "one two\nthree"},
		{"- one two", "  ", 6, "- one\n  two"},
		{"averyveryverylongword x", "", 5, "averyveryverylongword\nx"},
		{"é é é", "", 3, "é é\né"},
	} {
		if got := reputation.Wrap(tc.in, tc.indent, tc.width); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.in, got, tc.want)
		}
	}
}
