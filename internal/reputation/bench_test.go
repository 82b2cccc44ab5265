package reputation_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/provider"
	"postern/internal/reputation"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// number reads a number from the environment.
func number(name string, usual int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return usual
}

// toggled is a resolver by which one list has what a benchmark says.
type toggled struct{ p *benchPast }

// Query is dns.Resolver's.
func (t *toggled) Query(_ context.Context, asked string, typ dns.Type) dns.Answer {
	target, here := strings.CutSuffix(strings.TrimSuffix(asked, "."), ".l3.test")
	if typ == dns.TypeA && here && (t.p.answers[target] || target == dns.ReverseLabels(netip.MustParseAddr(egress)) && t.p.answers[egress]) {
		return dns.Answer{Status: dns.Found, Records: []dns.Record{{Type: dns.TypeA, IP: netip.AddrFrom4([4]byte{127, 0, 0, 2})}}}
	}
	return dns.Answer{Status: dns.Nothing, NXDomain: true}
}

// BenchmarkDossier measures a gateway with a long past, 1,000,000 facts of four weeks and 10,000 customers (POSTERN_BENCH_FACTS, POSTERN_BENCH_CUSTOMERS say otherwise): what opening a dossier
// and gathering its evidence cost, and what the pages read. Each line is what one of its kind takes; of reading, a page must stay far below 100 ms. On PostgreSQL with
// POSTERN_BENCH_ENGINE=postgres.
//
//	go test ./internal/reputation -run '^$' -bench Dossier -benchtime 20x
func BenchmarkDossier(b *testing.B) {
	db := storetest.SQLite(b, store.MainSchema())
	if os.Getenv("POSTERN_BENCH_ENGINE") == "postgres" {
		db = storetest.Postgres(b, store.MainSchema())
	}
	p := newPast(b, db)
	ctx := b.Context()
	check := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	id := ""
	b.Run("open", func(b *testing.B) { // one look that finds a listing, until the dossier is there; its evidence comes after
		for b.Loop() {
			p.at.Add(time.Hour)
			p.answers[p.egress] = !p.answers[p.egress]
			check(p.watch.LookNow(ctx, p.egress))
		}
	})
	b.Run("gather", func(b *testing.B) {
		p.answers[p.egress] = true
		check(p.watch.LookNow(ctx, p.egress))
		all, err := p.watch.Dossiers(ctx, reputation.DossierQuery{Target: p.egress})
		check(err)
		id = all.Dossiers[0].ID
		for b.Loop() {
			p.at.Add(time.Minute)
			check(p.watch.GatherNow(ctx, id))
		}
		d, err := p.watch.Dossier(ctx, id)
		check(err)
		b.ReportMetric(float64(d.Evidence.Senders.Facts), "facts")
		b.ReportMetric(float64(d.Evidence.Senders.Customers), "senders")
	})
	for _, x := range []struct {
		name string
		read func() error
	}{
		{"dossier", func() error { _, err := p.watch.Dossier(ctx, id); return err }},
		{"dossiers", func() error {
			_, err := p.watch.Dossiers(ctx, reputation.DossierQuery{States: []reputation.State{reputation.Open, reputation.Mending, reputation.Requested, reputation.Clean}})
			return err
		}},
		{"request", func() error { _, err := p.watch.Request(ctx, id, "fr"); return err }},
		{"overview", func() error { // what /o/reputation reads
			_, err := p.watch.Summary(ctx)
			if err == nil {
				_, err = p.watch.Targets(ctx, reputation.TargetQuery{Limit: 50})
			}
			if err == nil {
				_, err = p.watch.Rounds(ctx)
			}
			if err == nil {
				_, err = p.watch.Events(ctx, "", "", 12)
			}
			return err
		}},
		{"search", func() error {
			_, err := p.watch.Targets(ctx, reputation.TargetQuery{Text: "c99", Role: reputation.Sending, Limit: 50})
			return err
		}},
		{"listed", func() error {
			_, err := p.watch.Targets(ctx, reputation.TargetQuery{Listed: true, Limit: 50})
			return err
		}},
		{"target", func() error { // what the page of a target reads
			_, err := p.watch.Target(ctx, p.egress)
			if err == nil {
				_, err = p.watch.History(ctx, p.egress, p.at.Now().AddDate(0, 0, -90), p.at.Now())
			}
			if err == nil {
				_, err = p.watch.Timeline(ctx, p.egress, time.Time{}, 50)
			}
			return err
		}},
		{"arrivals", func() error { return p.watch.Arrivals(ctx) }}, // what is watched is compared with all customers
	} {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				check(x.read())
			}
		})
	}
}

// benchPast is a gateway with a long past.
type benchPast struct {
	at       *storetest.Clock
	watch    *reputation.Watch
	accounts *account.Ledger
	answers  map[string]bool // what the list has
	egress   string
}

func newPast(b *testing.B, db *store.DB) *benchPast {
	b.Helper()
	ctx := b.Context()
	p := &benchPast{at: storetest.NewClock(time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)), answers: map[string]bool{}, egress: egress}
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	var lists []dnsbl.List
	for i := range 61 {
		lists = append(lists, dnsbl.List{Name: fmt.Sprint("List ", i), Zone: fmt.Sprintf("l%d.test", i), Operator: fmt.Sprint("Org ", i), Kinds: dnsbl.IP4 | dnsbl.Domain, Weight: 3, Access: dnsbl.Free, Codes: code("listed")})
	}
	panel, err := dnsbl.NewPanel(dnsbl.PanelOptions{Resolver: &toggled{p}, Lists: lists, Now: p.at.Now})
	check(err)
	var pool account.Pool
	pool.Name = account.DefaultPool
	for i := range 32 {
		pool.Egress = append(pool.Egress, account.Egress{IP: netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + i)})})
	}
	p.accounts, err = account.New(account.Options{DB: db, Pools: []account.Pool{pool}, Now: p.at.Now})
	check(err)
	customers := make([]account.Customer, number("POSTERN_BENCH_CUSTOMERS", 10_000))
	for i := range customers {
		customers[i] = account.Customer{ID: fmt.Sprintf("c%d", i+1), Name: fmt.Sprintf("Customer number %d", i+1), Domains: []mail.Domain{mail.Domain(fmt.Sprintf("c%d.example", i+1))}}
	}
	check(p.accounts.SyncConfig(ctx, customers, "bench"))
	j, err := journal.New(journal.Options{DB: db, Now: p.at.Now})
	check(err)
	facts, span := number("POSTERN_BENCH_FACTS", 1_000_000), 28*24*time.Hour
	var batch []journal.Fact
	for i := 0; i < facts; i += 3 {
		at := p.at.Now().Add(-span + time.Duration(float64(span)*float64(i)/float64(facts)))
		id, who := mail.NewQueueID(at), 1+i*7919%len(customers)%(1+i%len(customers)) // few send most
		f := journal.Fact{At: at, QueueID: id, Customer: fmt.Sprintf("c%d", who), Recipient: fmt.Sprintf("r%d@there.example", i%50_000)}
		in, to, out := f, f, f
		in.Kind, in.Credential, in.ClientIP, in.ReversePath, in.HeaderFrom, in.Score = journal.Accepted, fmt.Sprintf("c%d-web", who), netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), "news@"+f.Customer+".example", "news@"+f.Customer+".example", 1
		to.Kind, to.Detail = journal.Addressed, []byte(`["`+f.Recipient+`"]`)
		out.Kind, out.EgressIP, out.Code, out.Attempt, out.Provider = journal.Delivered, pool.Egress[i%len(pool.Egress)].IP, 250, 1, []string{"Orange", "Gmail", "Free"}[i%3]
		switch {
		case i%20 == 0:
			out.Kind, out.Code, out.Category, out.Text = journal.Bounced, 550, string(provider.UserUnknown), "550 5.1.1 no such user"
		case i%50 == 0:
			out.Kind, out.Code, out.Category, out.Text = journal.Deferred, 421, string(provider.Blocked), "421 4.7.1 blocked using l3.test; see https://alpha.example/"
		}
		if batch = append(batch, in, to, out); len(batch) >= 5000 {
			check(j.Append(ctx, batch...))
			batch = batch[:0]
		}
	}
	check(j.Append(ctx, batch...))
	p.watch, err = reputation.New(reputation.Options{DB: db, Panel: panel, Accounts: p.accounts, Journal: j, Catalog: catalog(b), Host: "gate.example.org", Now: p.at.Now,
		Strangers: func(context.Context, string, []string, time.Time, time.Time) (reputation.Acquaintance, error) {
			return reputation.Acquaintance{}, nil
		}})
	check(err)
	for i := range 3000 {
		p.answers[fmt.Sprintf("c%d.example", 1+i*3)] = true // three thousand dossiers
	}
	p.answers[p.egress] = true
	check(p.watch.LookTurn(ctx))
	for range 24 { // domains are spread over the time between two looks
		p.at.Add(15 * time.Minute)
		check(p.watch.LookTurn(ctx))
	}
	return p
}
