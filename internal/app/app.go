// Package app is the gateway as a library: it builds every room from a configuration, opens the doors, runs until it is told
// to stop, and closes in the opposite order. It is the only place that knows all rooms. It touches no signal and no flag, so that
// tests and the demo run the same gateway that `postern serve` runs.
//
// Life: New reads and opens everything (databases with their migrations, the certificate, the listeners) and fails with one
// clear error if anything is wrong; Run serves. When ctx ends the doors close first (421 to idle clients, a message being
// received may finish), then delivery (attempts under way may finish), then the ledgers.
//
// Reload (SIGHUP) reads the configuration again and takes over what may change at run time; a configuration with a fault is
// refused whole and the running one stays.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"postern/internal/account"
	"postern/internal/aggregate"
	"postern/internal/alarm"
	"postern/internal/api"
	"postern/internal/checkup"
	"postern/internal/config"
	"postern/internal/delivery"
	"postern/internal/dns"
	"postern/internal/dnsbl"
	"postern/internal/feedback"
	"postern/internal/filter"
	"postern/internal/guess"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/learn"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/portal"
	"postern/internal/postmaster"
	"postern/internal/provider"
	"postern/internal/report"
	"postern/internal/reputation"
	"postern/internal/returnpath"
	"postern/internal/shaping"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/suppression"
	"postern/internal/tlspolicy"
	"postern/internal/user"
	"postern/internal/webhook"
)

// Options is what New needs beside the configuration.
type Options struct {
	Config  *config.Config
	Load    func() (*config.Config, error) // reads the configuration again for Reload; nil: Reload is refused
	Logger  *slog.Logger
	Level   *slog.LevelVar // changed by Reload; nil: the level stays
	Version string
	Catalog *locale.Catalog // texts for people; nil: they are read
}

// App is a gateway.
type App struct {
	log     *slog.Logger
	level   *slog.LevelVar
	load    func() (*config.Config, error)
	version string
	catalog *locale.Catalog // nil: it is read
	host    string
	config  atomic.Pointer[config.Config]

	spoolDB, mainDB *store.DB
	resolver, fresh *dns.Client
	guard           *dnsbl.Guard
	panel           *dnsbl.Panel
	rules           *filter.RuleBook
	receivers       atomic.Pointer[provider.Knowledge]
	accounts        *account.Ledger
	users           *user.Ledger
	guesses         *guess.Keeper
	identity        *user.OIDC        // nil: operators sign in here only
	tellings        chan user.Telling // mails about accounts that wait to be written
	journal         *journal.Journal
	learn           *learn.Ledger
	suppression     *suppression.Ledger
	feedback        *feedback.Feedback
	spool           *spool.Spool
	notices         *notice.Notices
	filter, retests *filter.Filter
	intake          *intake.Intake
	delivery        *delivery.Delivery
	api             *api.API
	tlsPolicy       *tlspolicy.Book
	advisor         *checkup.Advisor
	checker         *checkup.Checker
	publicChecker   *checkup.Checker // nil: nobody checks without signing in
	alarms          *alarm.Alarms
	webhooks        *webhook.Webhooks
	postmaster      *postmaster.Postmaster
	reports         *aggregate.Ledger
	reputation      *reputation.Watch // nil: switched off
	queueWatch      alarm.Watch
	metrics         *metrics
	returning       returning
	findings        findings
	scanners        scanners
	certificate     atomic.Pointer[tls.Certificate]

	doors    []door
	webs     []web
	services []service
	serving  serving
	ready    atomic.Bool
	reload   sync.Mutex
}

// door is one SMTP listener.
type door struct {
	name     string
	server   *smtp.Server
	listener net.Listener
}

// web is one HTTP listener.
type web struct {
	name     string
	server   *http.Server
	listener net.Listener
}

// New builds the gateway and opens its listeners. On error nothing stays open.
func New(ctx context.Context, o Options) (app *App, err error) {
	if o.Config == nil {
		return nil, errors.New("app: no configuration")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{log: o.Logger, level: o.Level, load: o.Load, version: o.Version, catalog: o.Catalog}
	a.config.Store(o.Config)
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.host, err = hostname(o.Config); err != nil {
		return nil, err
	}
	// One straight line from the ground up: each step needs those above it.
	for _, step := range []struct {
		what string
		do   func(context.Context, *config.Config) error
	}{
		{"data folder", a.openData}, {"databases", a.openStores}, {"resolver", a.openResolver}, {"blocklists", a.openBlocklists}, {"accounts", a.openAccounts}, {"users", a.openUsers},
		{"journal and spool", a.openLedgers}, {"notices", a.openNotices}, {"alarms", a.openAlarms}, {"webhooks", a.openWebhooks}, {"postmaster", a.openPostmaster}, {"reputation", a.openReputation}, {"knowledge", a.openKnowledge}, {"suppression", a.openSuppression}, {"filter", a.openFilter}, {"reports", a.openReports}, {"return addresses", a.openReturning}, {"intake and delivery", a.openWorks},
		{"certificate", a.openCertificate}, {"listeners", a.openDoors}, {"services", a.openServices}, {"pages", a.openFaces},
	} {
		if err := step.do(ctx, o.Config); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return a, nil
}

// hostname is the name we go by; the machine's own when none is configured.
func hostname(c *config.Config) (string, error) {
	if c.Hostname != "" {
		return string(c.Hostname), nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("hostname: the machine has no name (%w); set hostname in the configuration", err)
	}
	d, err := mail.ParseDomain(name)
	if err != nil {
		return "", fmt.Errorf("hostname: the machine's name %q cannot be used (%w); set hostname in the configuration", name, err)
	}
	return string(d), nil
}

func (a *App) openData(_ context.Context, c *config.Config) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w; create it for Postern's user, or set data_dir", err)
	}
	return nil
}

func (a *App) openStores(ctx context.Context, c *config.Config) (err error) {
	if a.spoolDB, err = store.Open(ctx, store.Options{URL: c.StorageURL("spool.db"), Migrations: store.SpoolSchema(), Logger: a.log}); err != nil {
		return err
	}
	a.mainDB, err = store.Open(ctx, store.Options{URL: c.StorageURL("postern.db"), Migrations: store.MainSchema(), Logger: a.log})
	return err
}

// dnsOptions are the settings of a resolver.
func dnsOptions(c *config.Config, log *slog.Logger) dns.Options {
	return dns.Options{Servers: dnsServers(c), Timeout: c.DNS.Timeout, Attempts: c.DNS.Attempts, CacheEntries: c.DNS.CacheEntries, Logger: log}
}

// dnsServers are the name servers that are asked; none: those of the system.
func dnsServers(c *config.Config) (out []string) {
	for _, s := range c.DNS.Servers {
		out = append(out, s.String())
	}
	return out
}

func (a *App) openResolver(_ context.Context, c *config.Config) (err error) {
	o := dnsOptions(c, a.log)
	if a.resolver, err = dns.New(o); err != nil {
		return err
	}
	o.CacheEntries = -1 // "test again" must see a record that was published a minute ago
	a.fresh, err = dns.New(o)
	return err
}

func (a *App) openAccounts(ctx context.Context, c *config.Config) (err error) {
	pools := c.Delivery.AccountPools()
	if err := checkEgress(pools); err != nil {
		return err
	}
	for _, p := range pools {
		for i := range p.Egress {
			if p.Egress[i].HELO == "" {
				p.Egress[i].HELO = a.host // what delivery says, the tests must know
			}
		}
	}
	if a.accounts, err = account.New(account.Options{DB: a.mainDB, Pools: pools, Logger: a.log}); err != nil {
		return err
	}
	customers, source := c.Accounts()
	if err := a.accounts.SyncConfig(ctx, customers, source); err != nil {
		return err
	}
	return a.accounts.SyncTuning(ctx, c.Tuning(), tuningSource(c))
}

// tuningSource names the file of points and lists, for those who want to change here what stands there.
func tuningSource(c *config.Config) string {
	for _, key := range []string{"filter.scores", "filter.allow", "filter.deny", "customers"} {
		if file := c.Origin(key).File; file != "" {
			return file
		}
	}
	return "the configuration"
}

func (a *App) openLedgers(ctx context.Context, c *config.Config) (err error) {
	if a.journal, err = journal.New(journal.Options{DB: a.mainDB, Logger: a.log, Retention: c.Journal.Retention}); err != nil {
		return err
	}
	if a.learn, err = learn.New(learn.Options{DB: a.mainDB, Logger: a.log, Node: a.host}); err != nil {
		return err
	}
	o := spool.Options{DB: a.spoolDB, Dir: filepath.Join(c.DataDir, "bodies"), Node: a.host, Logger: a.log, HoldFor: c.Held.Keep, Reserve: int64(c.Storage.Reserve)}
	if c.Storage.URL != "" {
		o.InlineBytes = -1 // another node that adopts our mail must find the bodies in the database
	}
	a.spool, err = spool.Open(o)
	if err != nil {
		return err
	}
	return a.spool.Start(ctx)
}

func (a *App) openNotices(_ context.Context, c *config.Config) error {
	catalog := a.catalog
	if catalog == nil {
		var err error
		if catalog, err = locale.New(); err != nil {
			return err
		}
	}
	secret, err := linkSecret(c)
	if err != nil {
		return err
	}
	links, err := notice.NewLinks(c.BaseURL(), secret, c.Held.LinkTTL)
	if err != nil {
		return err
	}
	a.notices, err = notice.New(notice.Options{Accounts: a.accounts, Spool: a.spool, Catalog: catalog, Links: links, Hostname: a.host,
		From: c.Notice.From, Operator: c.Notice.Operator, FromName: c.Notice.Name, DigestEvery: c.Held.DigestAfter, Told: a.told, Logger: a.log})
	a.metrics = newMetrics(a, catalog, links)
	return err
}

// told writes down that a notice was queued: what people were told belongs to a message's life.
func (a *App) told(t notice.Told) {
	kind := journal.Notified
	switch strings.TrimPrefix(t.Kind, "late-") {
	case report.Failed, report.Delayed, report.Delivered, report.Relayed:
		kind = journal.DSN
	}
	for _, id := range t.About {
		a.journal.Post(journal.Fact{Kind: kind, At: t.At, QueueID: id, Customer: t.Customer, Recipient: t.To.String(), Text: t.Kind, Detail: []byte(t.ID), Actor: "rule"})
	}
}

func (a *App) openFilter(_ context.Context, c *config.Config) (err error) {
	if err := a.openRules(c); err != nil {
		return err
	}
	if a.filter, err = filter.New(a.filterOptions(c, a.resolver)); err != nil {
		return err
	}
	a.retests, err = filter.New(a.retestOptions(c))
	return err
}

func (a *App) filterOptions(c *config.Config, r dns.Resolver) filter.Options {
	return filter.Options{Resolver: r, Accounts: a.accounts, Lists: c.FilterLists(), Guard: a.guard, Deadline: c.Filter.Deadline,
		Queries: c.DNS.Budget, Scores: c.Filter.Scores, Customers: c.CustomerScores(), Disabled: !c.Filter.Enabled, Learn: a.learn, Rules: a.rules, Logger: a.log, Unsigned: !c.DKIM.Sign,
		TLS: tlsTowards(c.Delivery), Opinions: a.opinions(c), Asked: a.scannerAsked}
}

// tlsTowards is what delivery will do about TLS, in the filter's words.
func tlsTowards(d config.Delivery) string {
	switch {
	case d.Smarthost.Host != "":
		return filter.TLSSmarthost
	case d.TLS == "none":
		return filter.TLSNever
	}
	return filter.TLSOffered
}

// retestOptions are those of "test again": records are asked anew, and a message counts once for its sender.
func (a *App) retestOptions(c *config.Config) filter.Options {
	o := a.filterOptions(c, a.fresh)
	o.ReadOnly = true
	return o
}

// taught has the customer's experience grow by a message that a person decided on.
func (a *App) taught(customer string, spam bool, body []byte) {
	class := learn.Ham
	if spam {
		class = learn.Spam
	}
	a.learn.Teach(customer, class, body)
}

func (a *App) openWorks(ctx context.Context, c *config.Config) (err error) {
	a.intake, err = intake.New(intake.Options{Hostname: a.host, Accounts: a.accounts, Filter: a.filter, Fresh: a.retests, Resolver: a.resolver,
		Spool: a.spool, Journal: a.journal, Notices: a.notices, Links: a.metrics.links, MaxHops: c.Limits.Hops,
		Explain: func(lang string, h filter.Hit) filter.Explanation { return filter.Explain(a.metrics.catalog, lang, h) },
		Expire:  c.Delivery.Expire, HoldFor: c.Held.Keep, Logger: a.log, Count: a.metrics.intake, Tested: a.metrics.tested, Taught: a.taught, Suppression: a.suppression,
		Reference: a.returning.codec.Reference, RefField: returnpath.Field, Leaving: a.leaving})
	if err != nil {
		return err
	}
	a.tuneSuppression(c)
	if n, err := a.intake.Recover(ctx); err != nil {
		return err
	} else if n > 0 {
		a.log.Warn("facts of accepted mail written again after a crash", "messages", n)
	}
	o := delivery.Options{Hostname: a.host, Spool: a.spool, Journal: a.journal, Accounts: a.accounts, Notices: a.notices, Resolver: a.resolver,
		Port: c.Delivery.Port, PerLane: c.Delivery.Concurrency.PerDomain, Connections: c.Delivery.Concurrency.Total, Tuning: tuning(c),
		IPv4Only: !c.Delivery.IPv6, OwnAddrs: a.ownAddrs, Logger: a.log, Count: a.metrics.delivery, Took: a.metrics.took, Settled: a.settled, Suppression: a.suppression,
		ReturnPath: a.returnPath, Knowledge: a.knowledge, Shaping: a.shaping(c), Words: func(w shaping.Why) string { return api.Why(a.metrics.catalog, locale.English, w) }}
	if o.TLS, err = a.openTLSPolicy(c); err != nil {
		return err
	}
	o.Shaping.Weight, o.Shaping.WarmUp = a.share, c.Delivery.WarmUp
	if s := c.Delivery.Smarthost; s.Host != "" {
		o.Smarthost = &delivery.Smarthost{Host: s.Host, Port: s.Port, User: s.User, Password: string(s.Password), TLS: s.TLS}
	}
	if a.delivery, err = delivery.New(o); err != nil {
		return err
	}
	return a.delivery.Load(ctx)
}

// shaping is what decides when which mail may leave: delivery completes it.
func (a *App) shaping(*config.Config) shaping.Options {
	return shaping.Options{DB: a.mainDB, Node: a.host, Alarm: a.reacted}
}

func tuning(c *config.Config) delivery.Tuning {
	t := delivery.Tuning{Retry: c.Delivery.Retry, DelayNotice: c.Delivery.DelayNotice, NoTLS: c.Delivery.TLS == "none", NoSign: !c.DKIM.Sign,
		Private: c.Delivery.Private}
	if t.DelayNotice == 0 {
		t.DelayNotice = -1 // 0 in the configuration means: no notice
	}
	return t
}

// ownAddrs are the addresses of our own doors: mail that DNS leads to them would come back to us.
func (a *App) ownAddrs() []netip.AddrPort {
	var out []netip.AddrPort
	for _, d := range a.doors {
		ap, err := netip.ParseAddrPort(d.listener.Addr().String())
		if err != nil {
			continue
		}
		out = append(out, ap)
		if !ap.Addr().IsUnspecified() {
			continue
		}
		all, _ := net.InterfaceAddrs() // without them a loop ends by its hops only
		for _, x := range all {
			if n, ok := x.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					out = append(out, netip.AddrPortFrom(ip.Unmap(), ap.Port()))
				}
			}
		}
	}
	return out
}

// Addresses returns where a door or page listens: "relay", "submission", "submissions", "bounces", "web", "metrics", "milter", "spamd"; "" when it is off.
func (a *App) Addresses(name string) string {
	for _, d := range a.doors {
		if d.name == name {
			return d.listener.Addr().String()
		}
	}
	for _, w := range a.webs {
		if w.name == name {
			return w.listener.Addr().String()
		}
	}
	for _, s := range a.services {
		if s.name == name {
			return s.listener.Addr().String()
		}
	}
	return ""
}

// Accounts returns the ledger of customers, for the demo and for tests.
func (a *App) Accounts() *account.Ledger { return a.accounts }

// Intake returns what takes mail in.
func (a *App) Intake() *intake.Intake { return a.intake }

// Desk returns the desk for held mail.
func (a *App) Desk() *intake.Desk { return a.metrics.desk }

// Journal returns the journal.
func (a *App) Journal() *journal.Journal { return a.journal }

// Learn returns the ledger of experience.
func (a *App) Learn() *learn.Ledger { return a.learn }

// Spool returns the spool.
func (a *App) Spool() *spool.Spool { return a.spool }

// Links returns the maker of message links.
func (a *App) Links() *notice.Links { return a.metrics.links }

// close closes what is open, in the opposite order of New.
func (a *App) close() {
	for _, w := range a.webs {
		_ = w.listener.Close()
	}
	for _, d := range a.doors {
		_ = d.listener.Close()
	}
	for _, s := range a.services {
		_ = s.listener.Close()
	}
	for _, db := range []*store.DB{a.mainDB, a.spoolDB} {
		if db != nil {
			if err := db.Close(); err != nil {
				a.log.Error("database not closed cleanly", "error", err)
			}
		}
	}
}

// faces are the handlers of the pages and of the operator's socket.
func (a *App) faces(c *config.Config) (pages, operator http.Handler, err error) {
	desk := a.intake.Desk()
	a.metrics.desk = desk
	if err := a.openAdvisor(c); err != nil {
		return nil, nil, err
	}
	if err := a.openChecker(c); err != nil {
		return nil, nil, err
	}
	pages, err = portal.New(portal.Options{Reports: a.reports, ReportAddress: c.ReportAddress().String(), Desk: desk, Catalog: a.metrics.catalog, Links: a.metrics.links,
		BaseURL: c.BaseURL(), Hostname: a.host, Logger: a.log, SSO: a.identity,
		Users: a.users, Accounts: a.accounts, Journal: a.journal, Spool: a.spool, Delivery: a.delivery, Filter: a.filter, Suppression: a.suppression,
		Webhooks: a.webhooks, Alarms: a.alarms, Knowledge: a.knowledge, Reference: a.reference, Advisor: a.advisor, Checker: a.checker, ProbeOwn: c.Checkup.ProbeCustomers, PublicChecker: a.publicChecker, Reputation: a.reputation, Ways: a.ways(c),
		Learn: a.learn, Postmaster: a.postmaster, Names: a.egressNames, Forget: a.resolver.Forget, Settings: a.settings, Reload: func() error { return a.Reload(context.Background()) }, Version: a.version})
	if err != nil {
		return nil, nil, err
	}
	a.api, err = api.New(api.Options{Reports: a.reports, ReportAddress: c.ReportAddress().String(), Blocklists: a.panel, Requests: c.API.RequestsPerMinute, SelfService: c.Domains.SelfService, Names: a.apiNames, Webhooks: a.webhooks, Settings: a.apiSettings, Submit: a.intake.Submit, MessageBytes: int64(c.Limits.SMTP().MessageBytes), Hostname: a.host,
		Link:    func(id mail.QueueID) string { return a.metrics.links.For(id, time.Now()) },
		Advisor: a.advisor, Checker: a.checker, Reputation: a.reputation, Users: a.users, DB: a.mainDB, BaseURL: c.BaseURL(), Reference: a.reference, Look: a.returning.door.Look, Accounts: a.accounts, Alarms: a.alarms, Desk: desk, Delivery: a.delivery, Filter: a.filter, Journal: a.journal, Learn: a.learn, Suppression: a.suppression, Postmaster: a.postmaster,
		Spool: a.spool, Catalog: a.metrics.catalog, Version: a.version, Reload: func() error { return a.Reload(context.Background()) }, Logger: a.log})
	return pages, a.api, err
}
