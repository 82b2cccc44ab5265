package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern/internal/account"
	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/dkim"
)

// gateway is a whole gateway in a folder of its own, on ports that the kernel chose.
type gateway struct {
	*app.App
	dir    string // configuration, databases, log
	base   string // address of its pages
	socket string // the operator's
	relay  netip.AddrPort
	submit netip.AddrPort
	log    *os.File
	stop   context.CancelFunc
	done   chan error
}

// configuration is what an operator would write. Only ports and the retry schedule are changed afterwards, in memory: ports because the
// kernel chooses them, the schedule because the shortest one that a file may hold is too long for a demonstration.
const configuration = `# Written by postern demo.
hostname: %[1]s
data_dir: %[2]s
storage: {reserve: 64MiB}
dns: {servers: ["%[3]s"]}
notice: {operator: operator@postern.example}
delivery:
  port: %[4]d
  private_destinations: [127.0.0.0/8]
  providers: [%[6]s]
  pools: {default: [{ip: %[5]s, helo: %[1]s}]}
customers:
  - {id: boutique, name: La Boutique, language: fr, contact: contact@boutique.example, domains: [boutique.example], self_release: true}
  - {id: fromagerie, name: La Fromagerie, language: fr, contact: contact@fromagerie.example, networks: [127.0.30.1/32],
     domains: [fromagerie.example, caves.example], self_release: true}
  - {id: agence, name: Agence, language: fr, contact: contact@agence.example, networks: [127.0.30.2/32], domains: [agence.example]}
  - {id: hosting, name: Shared Hosting, language: en, contact: abuse@hosting.example, networks: [127.0.30.3/32], domains: [hosting.example], any_from: true}
`

// knowledge is what an operator would write about receivers that are not known yet: these are quicker than those of the world outside.
var knowledge = map[string]string{"greylist.yaml": `# Written by postern demo.
name: greylist-example
title: greylist.example
about: {en: "It puts strangers off for half a second.", fr: "Il fait patienter les inconnus une demi-seconde."}
who: {mx: ["mx.greylist.example"]}
limits: {connections: 2, per_connection: 20}
retry: {every: [1s, 2s], for: 1h}
sources: [{what: "how this world is made", read: 2026-11-22}]
answers:
  - id: greylisted
    code: "4"
    text: ["temporarily deferred * greylisted"]
    category: onhold
    party: provider
    do: {schedule: {every: [1s, 2s], for: 1h}}
    advice:
      en: "This receiver puts strangers off once. The message is tried again and taken."
      fr: "Ce destinataire fait patienter les inconnus une fois. Le message est représenté et accepté."
    test: ["451 4.7.1 [TSS04] Messages from 192.0.2.1 temporarily deferred: greylisted, try again in 500ms"]
`, "errorlimit.yaml": `# Written by postern demo.
name: error-limit-example
title: error-limit.example
about: {en: "It refuses an address for seconds after too many unknown users.", fr: "Il refuse une adresse quelques secondes après trop d'utilisateurs inconnus."}
who: {mx: ["mx1.error-limit.example"]}
limits: {connections: 2, per_connection: 20}
retry: {every: [2s, 4s], for: 1h}
sources: [{what: "how this world is made", read: 2026-11-22}]
answers:
  - id: errors
    text: ["too many errors from your ip"]
    category: speeding
    party: sender-ip
    fate: later
    do: {pause: 2s, probe: true, schedule: {every: [3s], for: 1h}}
    advice:
      en: "This receiver refuses an address for a while that asked for too many unknown users."
      fr: "Ce destinataire refuse un moment une adresse qui a demandé trop d'utilisateurs inconnus."
    test: ["451 too many errors from your ip (192.0.2.1)"]
`}

// retry is the schedule of the demonstration.
var retry = []time.Duration{time.Second, 2 * time.Second}

// startTries is how often another port for the pages is tried: it must be known before it is opened, because links hold it.
const startTries = 10

func startGateway(ctx context.Context, w *World, dir string) (*gateway, error) {
	g := &gateway{dir: dir, done: make(chan error, 1)}
	file := filepath.Join(dir, "postern.yaml")
	providers := filepath.Join(dir, "providers")
	text := fmt.Sprintf(configuration, GatewayHost, filepath.Join(dir, "data"), w.Names.Addr(), w.Port, Egress, providers)
	if err := os.MkdirAll(providers, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	for name, text := range knowledge {
		if err := os.WriteFile(filepath.Join(providers, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	var err error
	if g.log, err = os.OpenFile(filepath.Join(dir, "postern.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	logger := slog.New(slog.NewTextHandler(g.log, nil))
	for range startTries {
		var page netip.AddrPort
		if page, err = freePort(ctx); err != nil {
			break
		}
		load := func() (*config.Config, error) { return g.load(file, page) }
		var c *config.Config
		if c, err = load(); err != nil {
			break
		}
		g.base, g.socket = c.BaseURL(), c.AdminSocket()
		g.App, err = app.New(ctx, app.Options{Config: c, Load: load, Logger: logger, Version: "demo"})
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		_ = g.log.Close()
		return nil, fmt.Errorf("the gateway does not start: %w", err)
	}
	g.relay, g.submit = netip.MustParseAddrPort(g.Addresses("relay")), netip.MustParseAddrPort(g.Addresses("submission"))
	run, stop := context.WithCancel(context.WithoutCancel(ctx)) // Close ends it, after those who send
	g.stop = stop
	go func() { g.done <- g.Run(run) }()
	return g, nil
}

// load reads the configuration and puts in what only this run knows.
func (g *gateway) load(file string, page netip.AddrPort) (*config.Config, error) {
	c, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	free := []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)}
	c.Listen.Relay.Address, c.Listen.Submission.Address, c.Listen.Submissions.Address = free, free, free
	c.Listen.Metrics, c.Listen.Web = free, []netip.AddrPort{page}
	c.Delivery.Retry = retry
	// Everybody here comes from loopback, which the limits do not spare.
	c.Limits.Connections, c.Limits.ConnectionsPerIP, c.Limits.ConnectionsPerNetwork, c.Limits.NewPerMinutePerIP = -1, -1, -1, -1
	return c, nil
}

// freePort finds a port that nobody uses at the moment.
func freePort(ctx context.Context) (netip.AddrPort, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.MustParseAddrPort(l.Addr().String()), l.Close()
}

// close ends the gateway and waits for it.
func (g *gateway) close() error {
	g.stop()
	return errors.Join(<-g.done, g.log.Close())
}

// signs gives a domain a DKIM key and publishes it.
func (g *gateway) signs(ctx context.Context, n *Names, domain string) error {
	key, err := dkim.GenerateKey(address("x@"+domain).Domain, "postern1", dkim.RSASHA256)
	if err != nil {
		return err
	}
	if err := n.Publish(Record{strings.TrimSuffix(key.RecordName(), "."), "TXT", key.Record()}); err != nil {
		return err
	}
	return g.Accounts().AddKey(ctx, account.KeyRecord{Domain: key.Domain, Selector: key.Selector, Algorithm: key.Algorithm, PEM: key.PEM(), Active: true})
}
