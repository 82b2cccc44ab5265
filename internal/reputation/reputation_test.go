package reputation_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/reputation"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// alarms remembers what the operator was told.
type alarms struct {
	mu     sync.Mutex
	raised map[string]reputation.Alarm
	told   []reputation.Alarm
	begun  int // alarms that began
}

func (a *alarms) raise(x reputation.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, stands := a.raised[x.Key]; !stands {
		a.begun++
	}
	a.raised[x.Key] = x
}

func (a *alarms) clear(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.raised, key)
}

// tell remembers what ended once, as room alarm does, which is told again by whoever does not know that it was.
func (a *alarms) tell(x reputation.Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.Code != "delisting" || !slices.ContainsFunc(a.told, func(y reputation.Alarm) bool { return y.Key == x.Key }) {
		a.told = append(a.told, x)
	}
}

func (a *alarms) keys() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for k := range a.raised {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// asked counts the questions of a panel. On the wire there may be more: a resolver sends a question again when its answer is late.
type asked struct {
	dns.Resolver
	mu    sync.Mutex
	names map[string]int
}

// Query is dns.Resolver's.
func (a *asked) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	if typ == dns.TypeA {
		a.mu.Lock()
		a.names[strings.TrimSuffix(name, ".")]++
		a.mu.Unlock()
	}
	return a.Resolver.Query(ctx, name, typ)
}

func (a *asked) count(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.names[name]
}

// scene is a gateway with one egress address, one customer, some lists, and a DNS that a test changes.
type scene struct {
	t        *testing.T
	db       *store.DB
	clock    *storetest.Clock
	dns      *dnstest.Server
	asked    *asked
	panel    *dnsbl.Panel
	accounts *account.Ledger
	journal  *journal.Journal
	alarms   *alarms
	watch    *reputation.Watch
	options  reputation.Options
	records  map[string]string // name: answer
}

const (
	egress = "198.51.100.10"
	domain = "shop.example"
)

func code(name string) []dnsbl.Code {
	return []dnsbl.Code{{Pattern: "127.0.0.2", Name: name, Meaning: dnsbl.Text{EN: name + " listing", FR: "inscription " + name}},
		{Pattern: "127.0.0.10", Name: "PBL", EgressOnly: true, Meaning: dnsbl.Text{EN: "policy", FR: "politique"}}}
}

// testLists are the lists of a scene.
func testLists() []dnsbl.List {
	ip := dnsbl.IP4 | dnsbl.IP6
	delist := dnsbl.Delisting{Way: dnsbl.Form, URL: "https://alpha.example/remove", Text: true}
	return []dnsbl.List{
		{Name: "Alpha", Zone: "a.test", Operator: "Alpha Org", Kinds: ip, Weight: 5, Codes: code("SBL"), Access: dnsbl.Free, Delisting: delist, LookupURL: "https://alpha.example/"},
		{Name: "Alpha Two", Zone: "a2.test", Operator: "Alpha Org", Kinds: ip, Weight: 3, Codes: code("CSS"), Access: dnsbl.Free, Delisting: delist},
		{Name: "Beta", Zone: "b.test", Operator: "Beta", Kinds: ip, Weight: 2, Codes: code("listed"), Access: dnsbl.Free},
		{Name: "Pitfall", Zone: "p.test", Operator: "Pitfall", Kinds: ip, Weight: 3, Traps: true, Codes: code("listed"), Access: dnsbl.Free},
		{Name: "UCEPROTECT-2", Zone: "dnsbl-2.uceprotect.net", Operator: "UCEPROTECT", Kinds: dnsbl.IP4, Weight: 0, Codes: code("listed"), Access: dnsbl.Free},
		{Name: "Domains", Zone: "d.test", Operator: "Delta", Kinds: dnsbl.Domain, Weight: 5, Registrable: true, Codes: code("phish"), Access: dnsbl.Free},
		{Name: "Good", Zone: "w.test", Operator: "Good", Kinds: ip, Allow: true, Codes: code("good"), Access: dnsbl.Free},
	}
}

func newScene(t *testing.T, db *store.DB, change ...func(*reputation.Options)) *scene {
	t.Helper()
	s := &scene{t: t, db: db, clock: storetest.NewClock(time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)), alarms: &alarms{raised: map[string]reputation.Alarm{}}, records: map[string]string{}}
	s.dns = dnstest.Start(t, testPoints())
	s.asked = &asked{Resolver: s.dns.Resolver(t), names: map[string]int{}}
	var err error
	if s.panel, err = dnsbl.NewPanel(dnsbl.PanelOptions{Resolver: s.asked, Lists: testLists(), Now: s.clock.Now}); err != nil {
		t.Fatal(err)
	}
	pools := []account.Pool{{Name: "default", Egress: []account.Egress{{IP: netip.MustParseAddr(egress), HELO: "gate.example.org"}}}}
	if s.accounts, err = account.New(account.Options{DB: db, Pools: pools, Now: s.clock.Now}); err != nil {
		t.Fatal(err)
	}
	if err := s.accounts.PutCustomer(t.Context(), account.Customer{ID: "shop", Name: "The Shop", Domains: []mail.Domain{domain}}); err != nil {
		t.Fatal(err)
	}
	if s.journal, err = journal.New(journal.Options{DB: db, Now: s.clock.Now}); err != nil {
		t.Fatal(err)
	}
	s.options = reputation.Options{DB: db, Panel: s.panel, Accounts: s.accounts, Journal: s.journal, Catalog: catalog(t), Host: "gate.example.org", Now: s.clock.Now,
		Contact: mail.Address{Local: "postmaster", Domain: "example.org"}, Raise: s.alarms.raise, Clear: s.alarms.clear, Tell: s.alarms.tell, Raised: s.alarms.keys}
	for _, fn := range change {
		fn(&s.options)
	}
	s.restart()
	return s
}

func catalog(t testing.TB) *locale.Catalog {
	t.Helper()
	c, err := locale.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// restart begins a new life of the room on the same database.
func (s *scene) restart() {
	s.t.Helper()
	w, err := reputation.New(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.watch = w
}

// name is where an address or a domain is asked at a list.
func name(target, zone string) string {
	if ip, err := netip.ParseAddr(target); err == nil {
		return dns.ReverseLabels(ip) + "." + zone
	}
	return target + "." + zone
}

// testPoints is what proves the test lists alive (RFC 5782 5).
func testPoints() string {
	var b strings.Builder
	for _, l := range testLists() {
		point := "2.0.0.127"
		if l.Kinds&dnsbl.Domain != 0 {
			point = "test"
		}
		fmt.Fprintf(&b, "%s.%s. A 127.0.0.2\n", point, l.Zone)
	}
	return b.String()
}

// list lets a list have a target, with an answer; "" takes it off.
func (s *scene) list(target, zone, answer string) {
	s.t.Helper()
	delete(s.records, name(target, zone))
	if answer != "" {
		s.records[name(target, zone)] = answer
	}
	var b strings.Builder
	b.WriteString(testPoints())
	for name, answer := range s.records {
		fmt.Fprintf(&b, "%s. A %s\n%s. TXT \"see https://alpha.example/ why\"\n", name, answer, name)
	}
	if err := s.dns.Set(b.String()); err != nil {
		s.t.Fatal(err)
	}
}

// look lets time pass and looks at what is due.
func (s *scene) look(after time.Duration) {
	s.t.Helper()
	s.clock.Add(after)
	if err := s.watch.LookTurn(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := s.watch.DossierTurn(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) target(name string) reputation.Target {
	s.t.Helper()
	target, err := s.watch.Target(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return target
}

func (s *scene) zone(target, zone string) reputation.Zone {
	s.t.Helper()
	for _, z := range s.target(target).Zones {
		if z.Zone == zone {
			return z
		}
	}
	s.t.Fatalf("%s: nothing is known of %s", target, zone)
	return reputation.Zone{}
}

func (s *scene) dossiers(states ...reputation.State) []reputation.Dossier {
	s.t.Helper()
	p, err := s.watch.Dossiers(s.t.Context(), reputation.DossierQuery{States: states})
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Dossiers
}

func (s *scene) dossier(id string) reputation.Dossier {
	s.t.Helper()
	d, err := s.watch.Dossier(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *scene) open() []reputation.Listing {
	s.t.Helper()
	p, err := s.watch.Listings(s.t.Context(), reputation.ListingQuery{Open: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Listings
}

func (s *scene) rows(table string) (n int) {
	s.t.Helper()
	if err := s.db.Read(s.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM reputation_` + table).Scan(&n)
	}); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	storetest.Each(t, store.MainSchema(), f)
}

// TestLifeOfAListing follows one from its first answer to the closing of its dossier and its return.
func TestLifeOfAListing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.look(0)
		if z := s.zone(egress, "a.test"); z.State != dnsbl.Clean || z.Clean.IsZero() {
			t.Fatalf("before: %+v", z)
		}
		s.list(egress, "a.test", "127.0.0.2")
		s.look(time.Hour)
		open := s.open()
		if len(open) != 1 || open[0].Target != egress || open[0].Operator != "Alpha Org" || !slices.Equal(open[0].Names, []string{"SBL"}) || open[0].Reason != "see https://alpha.example/ why" || !open[0].Own {
			t.Fatalf("listings %+v", open)
		}
		all := s.dossiers(reputation.Open)
		if len(all) != 1 || all[0].Target != egress || all[0].Times != 1 || all[0].Weight != 5 || all[0].Gathered.IsZero() {
			t.Fatalf("dossiers %+v", all)
		}
		id := all[0].ID
		key := reputation.AlarmKey(egress, "Alpha Org")
		if got := s.alarms.raised[key]; !got.Critical || got.Args["Dossier"] != id || got.Args["Lists"] != "Alpha (SBL)" {
			t.Fatalf("alarm %+v", got)
		}

		// The list does not answer: nothing ends, and what is known is of before.
		s.dns.Fail(name(egress, "a.test"), dnstest.ServFail)
		for range 5 {
			s.look(time.Hour)
		}
		if z := s.zone(egress, "a.test"); z.State != dnsbl.Unknown || z.Last != dnsbl.Listed || z.Why == "" || s.clock.Now().Sub(z.Answered) != 5*time.Hour {
			t.Fatalf("unanswered: %+v", z)
		}
		if len(s.open()) != 1 || s.dossier(id).State != reputation.Open {
			t.Fatal("a list that does not answer has ended a listing")
		}

		// One clean answer is none yet; the second ends it.
		s.dns.Fail(name(egress, "a.test"), dnstest.OK)
		s.list(egress, "a.test", "")
		s.look(time.Hour)
		if open = s.open(); len(open) != 1 || open[0].Cleared.IsZero() {
			t.Fatalf("after one clean answer: %+v", open)
		}
		s.list(egress, "a.test", "127.0.0.2") // it flaps
		s.look(31 * time.Minute)
		if open = s.open(); len(open) != 1 || !open[0].Cleared.IsZero() || s.rows("event") != 1 {
			t.Fatalf("after flapping: %+v, %d events", open, s.rows("event"))
		}
		s.list(egress, "a.test", "")
		s.look(time.Hour)
		s.look(reputation.CleanAfter)
		if len(s.open()) != 0 || len(s.alarms.keys()) != 0 {
			t.Fatalf("after two clean answers: %+v, alarms %v", s.open(), s.alarms.keys())
		}
		if d := s.dossier(id); d.State != reputation.Clean || d.Clean.IsZero() {
			t.Fatalf("dossier %s", d.State)
		}
		if n := len(s.alarms.told); n != 1 || s.alarms.told[0].Code != "delisting" {
			t.Fatalf("told %+v", s.alarms.told)
		}

		// Listed again while it is watched: the same dossier, with its history and without its ticks.
		if err := s.watch.Tick(t.Context(), id, "ptr-set", true, "operator:anna", "done at the registry"); err != nil {
			t.Fatal(err)
		}
		s.list(egress, "a.test", "127.0.0.2")
		s.look(time.Hour)
		d := s.dossier(id)
		if d.State != reputation.Open || d.Times != 2 || slices.ContainsFunc(d.Checklist, func(x reputation.Step) bool { return x.Done }) {
			t.Fatalf("listed again: %s, %d times, %+v", d.State, d.Times, d.Checklist)
		}
		if !slices.ContainsFunc(d.Acts, func(a reputation.Act) bool { return a.Kind == reputation.Ticked && a.Actor == "operator:anna" }) {
			t.Fatal("the history of the dossier has no tick any more")
		}
		s.list(egress, "a.test", "")
		s.look(time.Hour)
		s.look(reputation.CleanAfter)

		// Thirty days of answers close it; days without answers do not count.
		days := 0
		for ; days < 90 && s.dossier(id).State == reputation.Clean; days++ {
			if days == 10 {
				s.dns.Fail(name(egress, "a.test"), dnstest.ServFail)
			}
			if days == 15 {
				s.dns.Fail(name(egress, "a.test"), dnstest.OK)
			}
			s.look(24 * time.Hour)
		}
		if d := s.dossier(id); d.State != reputation.Closed || days < 34 || days > 36 {
			t.Fatalf("after %d days: %s, quiet for %s", days, d.State, d.Quiet)
		}

		// The matter is over: a listing after that is another one, whose dossier names the former.
		s.list(egress, "a.test", "127.0.0.2")
		s.look(time.Hour)
		later := s.dossiers(reputation.Open)
		if len(later) != 1 || later[0].Former != id || later[0].Times != 1 || later[0].ID == id || len(s.dossiers()) != 2 {
			t.Fatalf("after its return: %+v", later)
		}
		if d := s.dossier(id); d.State != reputation.Closed || d.Later != later[0].ID {
			t.Fatalf("the former: %s, later %q", d.State, d.Later)
		}
		if err := s.watch.Move(t.Context(), id, reputation.Open, "operator:anna", ""); !errors.Is(err, reputation.ErrInvalid) {
			t.Fatalf("the former is opened again: %v", err)
		}
		if got := s.alarms.raised[key]; got.Args["Dossier"] != later[0].ID || s.alarms.begun != 3 {
			t.Fatalf("alarm %+v, %d begun", got, s.alarms.begun)
		}
		moments, err := s.watch.Timeline(t.Context(), egress, time.Time{}, 100)
		if err != nil || len(moments) < 12 || moments[0].At.Before(moments[len(moments)-1].At) {
			t.Fatalf("%d moments, %v", len(moments), err)
		}
		for _, m := range moments {
			for _, lang := range locale.Languages() {
				if said := s.watch.Said(lang, m); said == "" || strings.HasPrefix(said, "reputation.") {
					t.Errorf("%+v is not said in %s: %q", m, lang, said)
				}
			}
		}
	})
}

func TestOneAlarmAndOneDossierForAnOperator(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.list(egress, "a.test", "127.0.0.2")
		s.look(0)
		s.list(egress, "a2.test", "127.0.0.2")
		s.list(egress, "b.test", "127.0.0.2")
		s.look(time.Hour)
		if got := s.alarms.keys(); len(got) != 2 || s.alarms.begun != 2 {
			t.Fatalf("alarms %v, begun %d", got, s.alarms.begun)
		}
		if a := s.alarms.raised[reputation.AlarmKey(egress, "Beta")]; a.Critical {
			t.Error("a list of weight 2 raises a critical alarm")
		}
		if a := s.alarms.raised[reputation.AlarmKey(egress, "Alpha Org")]; a.Args["Lists"] != "Alpha (SBL), Alpha Two (CSS)" {
			t.Errorf("lists %q", a.Args["Lists"])
		}
		all := s.dossiers()
		if len(all) != 2 {
			t.Fatalf("%d dossiers", len(all))
		}
		i := slices.IndexFunc(all, func(d reputation.Dossier) bool { return d.Operator == "Alpha Org" })
		d := s.dossier(all[i].ID)
		if len(d.Listings) != 2 || d.List != "Alpha" || len(d.Related) != 1 || len(d.Delisting) != 1 || d.Delisting[0].URL != "https://alpha.example/remove" {
			t.Fatalf("%+v", d)
		}
		// One of two lists drops it: not clean yet.
		s.list(egress, "a.test", "")
		s.look(time.Hour)
		s.look(time.Hour)
		if d := s.dossier(d.ID); d.State != reputation.Open || d.Listings[1].Until.IsZero() {
			t.Fatalf("one of two has dropped it: %s %+v", d.State, d.Listings)
		}
		s.list(egress, "a2.test", "")
		s.look(time.Hour)
		s.look(time.Hour)
		if d := s.dossier(d.ID); d.State != reputation.Clean {
			t.Fatalf("both have dropped it: %s", d.State)
		}
	})
}

func TestListsOfNetworksAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t, storetest.SQLite(t, store.MainSchema()))
	s.list(egress, "dnsbl-2.uceprotect.net", "127.0.0.2")
	s.look(0)
	if open := s.open(); len(open) != 1 || !open[0].Wide {
		t.Fatalf("%+v", open)
	}
	if len(s.alarms.keys()) != 0 || len(s.dossiers()) != 0 {
		t.Fatalf("alarms %v, dossiers %v", s.alarms.keys(), s.dossiers())
	}
	if target := s.target(egress); target.Lists != 0 {
		t.Errorf("%d listings count", target.Lists)
	}
	id, err := s.watch.Open(t.Context(), s.open()[0].ID, "operator:anna")
	if err != nil {
		t.Fatal(err)
	}
	s.look(time.Minute)
	if d := s.dossier(id); d.Causes[0].Code != reputation.CauseWide || d.Causes[0].Likelihood != reputation.Likely {
		t.Fatalf("causes %+v", d.Causes)
	}
	again, err := s.watch.Open(t.Context(), s.open()[0].ID, "operator:anna")
	if err != nil || again != id {
		t.Fatalf("opened twice: %s, %v", again, err)
	}
}

func TestUnknownIsNeverClean(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.dns.SetHook(func(_ string, q *mdns.Msg) dnstest.Reply {
			m := new(mdns.Msg)
			return dnstest.Reply{Msg: m.SetRcode(q, mdns.RcodeServerFailure)}
		})
		s.look(0)
		target := s.target(egress)
		if target.Unknown != 5 || target.Checked.IsZero() {
			t.Fatalf("%+v", target)
		}
		for _, z := range target.Zones {
			if z.State != dnsbl.Unknown || z.Last != "" || !z.Answered.IsZero() || z.Why == "" {
				t.Errorf("%+v", z)
			}
		}
		days, err := s.watch.History(t.Context(), egress, s.clock.Now().AddDate(0, 0, -2), s.clock.Now())
		if err != nil || len(days) != 3 {
			t.Fatal(days, err)
		}
		if d := days[2]; d.Looked || d.Unknown != 5 {
			t.Errorf("a day without answers: %+v", d)
		}
		s.dns.SetHook(nil)
		s.list(egress, "b.test", "127.0.0.2")
		s.look(2 * time.Hour)
		s.dns.Fail(name(egress, "a.test"), dnstest.ServFail)
		s.look(time.Hour)
		days, err = s.watch.History(t.Context(), egress, s.clock.Now(), s.clock.Now())
		if d := days[0]; err != nil || !d.Looked || d.Weight != 2 || d.Lists != 1 || d.Answered != 5 || d.Unknown != 0 {
			t.Errorf("the day: %+v, %v", d, err)
		}
		block, err := s.watch.Block(t.Context(), netip.MustParsePrefix("198.51.100.0/24"), s.clock.Now())
		if err != nil || len(block) != 256 || block[10].Weight != 2 || block[11].Looked {
			t.Errorf("the block: %v", err)
		}
		sum, err := s.watch.Summary(t.Context())
		if err != nil || sum.Egress != 1 || sum.EgressListed != 1 || sum.Domains != 2 || sum.Worst != 2 || sum.Zones != 6 {
			t.Errorf("%+v, %v", sum, err)
		}
	})
}

func TestDomains(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db, func(o *reputation.Options) { o.Domains = []mail.Domain{"mail." + domain} })
		s.list(domain, "d.test", "127.0.0.2")
		s.look(0)
		open := s.open()
		if len(open) != 1 || open[0].Target != domain || open[0].Customer != "shop" {
			t.Fatalf("a list of registrable domains: %+v", open)
		}
		if target := s.target("mail." + domain); len(target.Zones) != 0 {
			t.Errorf("what is said of %s is not said of what is below: %+v", domain, target.Zones)
		}
		if err := s.journal.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		found, err := s.journal.Look(t.Context(), journal.Query{Customer: "shop", Kinds: []journal.Kind{journal.BlockListed}})
		if err != nil || len(found.Facts) != 1 || found.Facts[0].Host != "d.test" {
			t.Fatalf("facts of the customer: %+v, %v", found.Facts, err)
		}
		d := s.dossiers()[0]
		if d.Kind != reputation.Domain || d.Customer != "shop" {
			t.Fatalf("%+v", d)
		}
		page, err := s.watch.Targets(t.Context(), reputation.TargetQuery{Customer: "shop", Listed: true})
		if err != nil || len(page.Targets) != 1 || page.Targets[0].Name != domain {
			t.Fatalf("%+v, %v", page, err)
		}
	})
}

func TestNoLongerWatched(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *store.DB) {
		s := newScene(t, db)
		s.list(domain, "d.test", "127.0.0.2")
		s.look(0)
		id := s.dossiers()[0].ID
		if err := s.accounts.RemoveDomain(t.Context(), "shop", domain); err != nil {
			t.Fatal(err)
		}
		s.look(24 * time.Hour)
		if len(s.open()) != 1 {
			t.Fatal("another node may still have it")
		}
		s.look(26 * time.Hour)
		if len(s.open()) != 0 || s.dossier(id).State != reputation.Closed || len(s.alarms.keys()) != 0 {
			t.Fatalf("open %v, dossier %s, alarms %v", s.open(), s.dossier(id).State, s.alarms.keys())
		}
		p, err := s.watch.Events(t.Context(), domain, "", 10)
		if err != nil || p.Events[0].Kind != reputation.Unwatched {
			t.Fatalf("%+v, %v", p.Events, err)
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		ranges []string
		want   string
	}{
		{"fine", []string{"198.51.0.0/16", "203.0.113.0/24", "2001:db8::/112"}, ""},
		{"too large", []string{"198.0.0.0/8"}, "at most 65,536"},
		{"too large, IPv6", []string{"2001:db8::/64"}, "at most 65,536"},
		{"no network", []string{"198.51.100.1/24"}, "meant is 198.51.100.0/24"},
		{"private", []string{"10.1.0.0/16"}, "not public"},
		{"loopback", []string{"127.0.0.0/16"}, "not public"},
		{"overlap", []string{"198.51.0.0/16", "198.51.100.0/24"}, "overlaps"},
		{"too many", []string{"198.50.0.0/16", "198.51.0.0/16", "198.52.0.0/16", "198.53.0.0/16", "203.0.113.0/24"}, "more than 262144"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var ranges []netip.Prefix
			for _, r := range tc.ranges {
				ranges = append(ranges, netip.MustParsePrefix(r))
			}
			err := reputation.CheckRanges(ranges)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := reputation.New(reputation.Options{}); err == nil {
		t.Error("a room without a database")
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("did not come: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
