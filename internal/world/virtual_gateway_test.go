package world_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/spool"
	"postern/internal/store"
)

// gateway is the delivering half of a gateway, with real rooms, on a virtual internet.
type gateway struct {
	t        *testing.T
	v        *virtual
	mainDB   *store.DB
	spoolDB  *store.DB
	accounts *account.Ledger
	spool    *spool.Spool
	journal  *journal.Journal
	delivery *delivery.Delivery
	stop     func() // ends it all; must be called before the bubble ends
}

// onStart may change what a gateway is made of.
type onStart func(*delivery.Options)

// fastFolder is a folder whose files cost no disk: a day has many commits.
func fastFolder(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "postern-day-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startGateway opens a gateway in dir and delivers until stop is called. customers have the ids c00, c01, …
func startGateway(t *testing.T, v *virtual, dir string, customers int, change onStart) *gateway {
	t.Helper()
	g := &gateway{t: t, v: v}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	var err error
	g.mainDB, err = store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "main.db"), Migrations: store.MainSchema(), Logger: logger})
	must(err)
	g.spoolDB, err = store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "spool.db"), Migrations: store.SpoolSchema(), Logger: logger})
	must(err)
	g.accounts, err = account.New(account.Options{DB: g.mainDB, Pools: []account.Pool{{Name: "default", Egress: []account.Egress{{HELO: "out.gate.test"}}}}})
	must(err)
	var list []account.Customer
	for i := range customers {
		list = append(list, account.Customer{ID: customerID(i), Language: "en", Contact: mail.Address{Local: "owner", Domain: "senders.test"}, Domains: []mail.Domain{mail.Domain(customerID(i) + ".test")}})
	}
	must(g.accounts.SyncConfig(ctx, list, "test"))
	must(g.accounts.Refresh(ctx))
	g.journal, err = journal.New(journal.Options{DB: g.mainDB})
	must(err)
	g.spool, err = spool.Open(spool.Options{DB: g.spoolDB, Dir: filepath.Join(dir, "bodies"), Node: "test", Reserve: -1, AdoptAfter: time.Hour})
	must(err)
	catalog, err := locale.New()
	must(err)
	links, err := notice.NewLinks("https://gate.test", make([]byte, 32), 0)
	must(err)
	notices, err := notice.New(notice.Options{Accounts: g.accounts, Spool: g.spool, Catalog: catalog, Links: links, Hostname: "gate.test"})
	must(err)
	o := delivery.Options{Hostname: "gate.test", Spool: g.spool, Journal: g.journal, Accounts: g.accounts, Notices: notices, Resolver: v, Dial: v.dial,
		Tuning: delivery.Tuning{NoSign: true, DelayNotice: -1}, Logger: logger}
	if change != nil {
		change(&o)
	}
	g.delivery, err = delivery.New(o)
	must(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.delivery.Run(ctx); err != nil {
			t.Errorf("delivery: %v", err)
		}
	}()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = g.spool.Run(ctx)
	}()
	g.stop = func() {
		cancel()
		<-done
		<-watched
		for _, db := range []*store.DB{g.mainDB, g.spoolDB} {
			if err := db.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		v.ends()
	}
	return g
}

func customerID(i int) string { return fmt.Sprintf("c%02d", i) }

// letter is one message of the day.
type letter struct {
	customer int
	to       string
	class    int
}

// put accepts a message as intake does, and returns its name.
func (g *gateway) put(l letter) mail.QueueID {
	now := time.Now()
	id := mail.NewQueueID(now)
	to, err := mail.ParseAddress(l.to)
	if err != nil {
		g.t.Fatal(err)
	}
	c := customerID(l.customer)
	from := mail.Address{Local: "news", Domain: mail.Domain(c + ".test")}
	body := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: A day\r\nMessage-ID: <%s>\r\n\r\nHello\r\n", from, to, id)
	m := &spool.Message{ID: id, Customer: c, Received: now, Expires: now.Add(48 * time.Hour), HeaderFrom: from.String(), Subject: "A day", Language: "en", Class: l.class,
		Envelope: mail.Envelope{ReversePath: from, Recipients: []mail.Recipient{{Address: to}}}, Body: []byte(body)}
	if err := g.spool.Put(context.Background(), m); err != nil {
		g.t.Errorf("put: %v", err)
	}
	return id
}
