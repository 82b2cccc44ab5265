package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/api"
	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/delivery"
	"postern/internal/dns/dnstest"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/postmaster"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/user"
)

// gateway is real rooms behind a real socket. Nothing delivers, so that what is in the spool stays as a test put it.
type gateway struct {
	*app.App
	client *api.Client
	api    *api.API
	db     *store.DB // of answers and users
	users  *user.Ledger
	lastID mail.QueueID // of the message that put stored last
	later  atomic.Int64 // how far the clock of users and the API is ahead of now, nanoseconds
	socket string
	now    time.Time
	dns    *dnstest.Server
	log    *lockedBuffer
	reload error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const zone = `
shop.example. 300 IN MX 10 mx.shop.example.
mx.shop.example. 300 IN A 127.0.0.9
remote.example. 300 IN MX 10 mx.remote.example.
mx.remote.example. 300 IN A 127.0.0.9
`

func start(t testing.TB, change ...func(*config.Config)) *gateway {
	t.Helper()
	g := &gateway{now: time.Now().Truncate(time.Second), dns: dnstest.Start(t, zone), log: &lockedBuffer{}}
	dir := t.TempDir()
	text := fmt.Sprintf(`
hostname: mx.example.org
data_dir: %s
storage: {reserve: 16MiB}
listen:
  relay: {address: []}
  submission: {address: []}
  submissions: {address: []}
  web: []
  metrics: []
dns: {servers: ["%s"], timeout: 1s, attempts: 1}
customers:
  - {id: shop, name: Boutique, contact: owner@shop.example, networks: [127.0.0.1/32], domains: [shop.example]}
`, dir, g.dns.Addr())
	c, err := config.Source{}.Parse(config.File{Name: "test.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if g.db, err = store.Open(ctx, store.Options{URL: "sqlite:" + dir + "/answers.db", Migrations: store.MainSchema()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.db.Close() })
	if g.users, err = user.New(user.Options{DB: g.db, BaseURL: "https://mail.example.org/postern", Now: func() time.Time { return g.now.Add(time.Duration(g.later.Load())) }}); err != nil {
		t.Fatal(err)
	}
	if g.App, err = app.New(ctx, app.Options{Config: c, Version: "test", Catalog: texts(t)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = g.Run(ctx) // closes everything
	})
	g.serve(t)
	return g
}

// readTexts reads the texts once for all tests: they do not change, and reading them is most of what a start costs.
var readTexts = sync.OnceValues(func() (*locale.Catalog, error) { return locale.New() })

func texts(t testing.TB) *locale.Catalog {
	t.Helper()
	catalog, err := readTexts()
	if err != nil {
		t.Fatal(err)
	}
	return catalog
}

func (g *gateway) serve(t testing.TB) {
	t.Helper()
	catalog := texts(t)
	notices, err := notice.New(notice.Options{Accounts: g.Accounts(), Spool: g.Spool(), Catalog: catalog, Links: g.Links(), Hostname: "mx.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	lanes, err := delivery.New(delivery.Options{Hostname: "mx.example.org", Spool: g.Spool(), Journal: g.Journal(), Accounts: g.Accounts(), Notices: notices,
		Resolver: g.dns.Resolver(t)})
	if err != nil {
		t.Fatal(err)
	}
	tests, err := filter.New(filter.Options{Resolver: g.dns.Resolver(t), Accounts: g.Accounts()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.New(api.Options{Advisor: g.Advisor(), Alarms: g.Alarms(), Checker: g.Checker(), Reputation: g.Reputation(), Reports: g.Reports(), SelfService: true, Names: g.names, Webhooks: g.Webhooks(), Submit: g.Intake().Submit, MessageBytes: 2 << 20, Hostname: "mx.example.org", Link: func(id mail.QueueID) string { return g.Links().For(id, time.Now()) }, Users: g.users, DB: g.db, Requests: 400, BaseURL: "https://mail.example.org/postern", Accounts: g.Accounts(), Filter: tests, Desk: g.Desk(), Delivery: lanes, Journal: g.Journal(), Learn: g.Learn(), Suppression: g.Suppression(), Postmaster: g.figures(t), Spool: g.Spool(), Catalog: catalog,
		Version: "test", Reload: func() error { return g.reload }, Logger: slog.New(slog.NewTextHandler(g.log, nil)), Now: func() time.Time { return g.now.Add(time.Duration(g.later.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	g.api = h
	dir, err := os.MkdirTemp("", "p") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	g.socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", g.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: httptest.NewUnstartedServer(h).Config}
	server.Start()
	t.Cleanup(func() {
		server.Close()
		_ = os.RemoveAll(dir)
	})
	g.client = api.NewClient(g.socket, "alice")
}

// figures is the room of providers' figures, with one source that nobody answers.
func (g *gateway) figures(t testing.TB) *postmaster.Postmaster {
	t.Helper()
	p, err := postmaster.New(postmaster.Options{DB: g.db, Now: func() time.Time { return g.now.Add(time.Duration(g.later.Load())) }, Microsoft: postmaster.Microsoft{Base: "https://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// names is what DNS says of an address, without asking it.
func (g *gateway) names(context.Context, netip.Addr, string) api.EgressNames {
	return api.EgressNames{PTR: []string{"mx.example.org"}, Back: true}
}

// put stores a message as intake would, with its fact.
func (g *gateway) put(t *testing.T, change func(*spool.Message)) mail.QueueID {
	t.Helper()
	address := func(s string) mail.Address {
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	m := spool.Message{ID: mail.NewQueueID(g.now), Customer: "shop", Hello: "client.shop.example", Received: g.now, Expires: g.now.Add(48 * time.Hour),
		Envelope:   mail.Envelope{ReversePath: address("anna@shop.example"), Recipients: []mail.Recipient{{Address: address("bob@remote.example")}}},
		HeaderFrom: "anna@shop.example", Subject: "Invoice 7", MessageID: "<7@shop.example>", Language: "en",
		Body: []byte("From: anna@shop.example\r\nTo: bob@remote.example\r\nSubject: Invoice 7\r\nDate: " + g.now.Format(time.RFC1123Z) +
			"\r\nMessage-ID: <7@shop.example>\r\n\r\nHello\r\n")}
	if change != nil {
		change(&m)
	}
	if m.Held && m.Verdict == nil {
		m.Score, m.HoldReason, m.HoldUntil = 4.5, "score", g.now.Add(72*time.Hour)
		m.Verdict, _ = json.Marshal(map[string]any{"score": 4.5, "raw": 4.5, "threshold": 3, "held": true, "at": g.now, "hits": []any{
			map[string]any{"test": "SPF_FAIL", "points": 3.0, "evidence": []string{"v=spf1 -all"}, "args": map[string]string{"Domain": "shop.example", "IP": "192.0.2.1"}},
			map[string]any{"test": "INVALID_DATE", "points": 1.5, "evidence": []string{"Date: Foo"}}}})
	}
	kind := journal.Accepted
	if m.Held {
		kind = journal.Held
	}
	id, body := m.ID, m.Body
	g.lastID = id
	m.Body = bytes.Clone(body)
	if err := g.Spool().Put(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	if err := g.Journal().Append(t.Context(), journal.Fact{At: g.now, Kind: kind, QueueID: id, Customer: m.Customer, ReversePath: "anna@shop.example",
		Recipient: "bob@remote.example", HeaderFrom: m.HeaderFrom, Subject: m.Subject, MessageID: m.MessageID, Score: m.Score, NextAt: m.HoldUntil,
		Detail: m.Verdict}); err != nil {
		t.Fatal(err)
	}
	return id
}

func held(m *spool.Message) { m.Held = true }

// settle writes what an attempt brought.
func (g *gateway) settle(t *testing.T, id mail.QueueID, state spool.State, next time.Time) {
	t.Helper()
	code, text := 451, "4.7.1 try again later"
	kind := journal.Deferred
	if state == spool.Delivered {
		code, text, kind = 250, "2.0.0 taken", journal.Delivered
	}
	if err := g.Journal().Append(t.Context(), journal.Fact{At: g.now, Kind: kind, QueueID: id, Customer: "shop", Recipient: "bob@remote.example",
		Host: "mx.remote.example[127.0.0.9]", Code: code, Text: text, NextAt: next, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if err := g.Spool().Settle(t.Context(), spool.Outcome{ID: id, State: state, NextAt: next, Code: code, Enhanced: text[:5], Text: text,
		Host: "mx.remote.example[127.0.0.9]", Attempted: true}); err != nil {
		t.Fatal(err)
	}
}
