package delivery_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/dns"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/provider"
	"postern/internal/spool"
	"postern/internal/store"
)

// bubble is a delivery with real rooms on an internet of pipes, in the virtual time of testing/synctest.
type bubble struct {
	t  *testing.T
	mu sync.Mutex
	mx map[string][]string    // domain -> exchangers, the best first
	at map[string]string      // exchanger -> address
	by map[netip.Addr]*remote // address -> who listens there
	// slow are domains that DNS takes so long to answer for.
	slow map[string]time.Duration

	spool   *spool.Spool
	journal *journal.Journal
	*delivery.Delivery
	counts map[string]int
	conns  sync.WaitGroup
	stop   func()
}

// remote is a host in the bubble. say may change an answer: step is banner, ehlo, mail, rcpt, data or dot, arg what was said.
type remote struct {
	say     func(step, arg string) string
	latency time.Duration

	mu    sync.Mutex
	open  int
	most  int // connections at one time
	conns int
	sizes []int    // messages of each connection that has ended
	begun []string // "MAIL FROM:<…>" of each transaction
	rcpts []int    // recipients of each transaction that was taken
	taken []arrival
	hello map[string]int
}

type arrival struct {
	to string
	at time.Time
}

// knowThere is what the bubble's gateway knows of one provider.
const knowThere = `
name: there
title: There
about: {en: "A receiver of tests.", fr: "Un destinataire pour les essais."}
who: {mx: ["*.there.test"]}
limits: {connections: 2, per_connection: 10, per_message: 4}
retry: {every: [1h], for: 6h}
sources:
  - {what: "made up", address: "https://there.test/", read: 2026-11-21}
answers:
  - id: block
    code: ["4", "5"]
    text: ["go away"]
    category: blocked
    fate: later
    do: {pause: 30m, probe: true}
    advice: blocked
    test: ["550 go away for now"]
  - id: never
    code: "4"
    text: ["never ever"]
    category: userunknown
    fate: final
    advice: userunknown
    test: ["450 never ever"]
  - id: later
    code: "5"
    text: ["come back in two hours"]
    category: speeding
    fate: later
    do: {schedule: {every: [2h], for: 3h}}
    advice: speeding
    test: ["554 come back in two hours"]
  - id: sender
    code: "5"
    text: ["your domain is bad"]
    category: badreputation
    party: sender-domain
    fate: later
    do: {pause: 1h}
    advice: badreputation
    test: ["550 your domain is bad"]
  - id: line
    code: "4"
    text: ["enough on this line"]
    category: speeding
    do: {reconnect: true}
    advice: speeding
    test: ["450 enough on this line"]
`

// inBubble runs a test in virtual time. run gets a gateway that is delivering.
func inBubble(t *testing.T, change func(*bubble, *delivery.Options), run func(*bubble)) {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "postern-delivery-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{t: t, mx: map[string][]string{}, at: map[string]string{}, by: map[netip.Addr]*remote{}, slow: map[string]time.Duration{}, counts: map[string]int{}}
		b.start(dir, change)
		run(b)
		b.stop()
		b.conns.Wait()
		if n := b.Unaccounted(); n != 0 {
			t.Errorf("%d recipients are unaccounted for", n)
		}
	})
}

func (b *bubble) start(dir string, change func(*bubble, *delivery.Options)) {
	t := b.t
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "there.yaml"), []byte(knowThere), 0o600))
	know, err := provider.Load([]string{dir})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	mainDB, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "main.db"), Migrations: store.MainSchema()})
	must(err)
	spoolDB, err := store.Open(ctx, store.Options{URL: "sqlite:" + filepath.Join(dir, "spool.db"), Migrations: store.SpoolSchema()})
	must(err)
	accounts, err := account.New(account.Options{DB: mainDB, Pools: []account.Pool{{Name: "default", Egress: []account.Egress{{HELO: "out.gate.test"}}}}})
	must(err)
	var customers []account.Customer
	for _, id := range []string{"shop", "club", "bank"} {
		customers = append(customers, account.Customer{ID: id, Language: "en", Contact: mail.Address{Local: "owner", Domain: "home.test"}, Domains: []mail.Domain{mail.Domain(id + ".test")}})
	}
	must(accounts.SyncConfig(ctx, customers, "test"))
	must(accounts.Refresh(ctx))
	b.journal, err = journal.New(journal.Options{DB: mainDB})
	must(err)
	b.spool, err = spool.Open(spool.Options{DB: spoolDB, Dir: filepath.Join(dir, "bodies"), Node: "test", Reserve: -1, AdoptAfter: 24 * time.Hour})
	must(err)
	catalog, err := locale.New()
	must(err)
	links, err := notice.NewLinks("https://gate.test", make([]byte, 32), 0)
	must(err)
	notices, err := notice.New(notice.Options{Accounts: accounts, Spool: b.spool, Catalog: catalog, Links: links, Hostname: "gate.test"})
	must(err)
	b.host("home.test", "mx.home.test", "203.0.113.250")
	o := delivery.Options{Hostname: "gate.test", Spool: b.spool, Journal: b.journal, Accounts: accounts, Notices: notices, Resolver: b, Dial: b.dial,
		Knowledge: func() *provider.Knowledge { return know }, Tuning: delivery.Tuning{NoSign: true, DelayNotice: -1},
		Count:  func(event, _, _ string) { b.mu.Lock(); b.counts[event]++; b.mu.Unlock() },
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	o.Shaping.DB = mainDB
	if change != nil {
		change(b, &o)
	}
	b.Delivery, err = delivery.New(o)
	must(err)
	must(b.Load(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	b.stop = func() {
		cancel()
		<-done
		for _, db := range []*store.DB{mainDB, spoolDB} {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// host puts a remote at an address, as the exchanger of a domain.
func (b *bubble) host(domain, exchanger, addr string) *remote {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mx[domain] = append(b.mx[domain], exchanger)
	b.at[exchanger] = addr
	ip := netip.MustParseAddr(addr)
	if b.by[ip] == nil {
		b.by[ip] = &remote{hello: map[string]int{}, latency: 5 * time.Millisecond}
	}
	return b.by[ip]
}

// delay makes DNS slow about a domain.
func (b *bubble) delay(domain string, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slow[domain] = d
}

// Query implements dns.Resolver.
func (b *bubble) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	name = strings.TrimSuffix(name, ".")
	b.mu.Lock()
	pause := max(b.slow[name], time.Millisecond)
	hosts, addr := b.mx[name], b.at[name]
	b.mu.Unlock()
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return dns.Answer{Status: dns.TryLater, Err: dns.ErrTimeout}
	}
	found := func(all ...dns.Record) dns.Answer {
		return dns.Answer{Status: dns.Found, Records: all, TTL: time.Minute}
	}
	switch {
	case name == "" && typ == dns.TypeNS:
		return found(dns.Record{Host: "ns.test"})
	case typ == dns.TypeMX && len(hosts) > 0:
		var all []dns.Record
		for i, h := range hosts {
			all = append(all, dns.Record{Host: h, Pref: uint16(10 * i)})
		}
		return found(all...)
	case addr != "":
		if ip := netip.MustParseAddr(addr); typ == dns.TypeA && ip.Is4() || typ == dns.TypeAAAA && ip.Is6() {
			return found(dns.Record{IP: ip})
		}
		return dns.Answer{Status: dns.Nothing, TTL: time.Minute}
	}
	return dns.Answer{Status: dns.Nothing, NXDomain: true, TTL: time.Minute}
}

func (b *bubble) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	r := b.by[ap.Addr()]
	b.mu.Unlock()
	if r == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	b.conns.Go(func() {
		defer func() { _ = theirs.Close() }()
		r.serve(theirs)
	})
	return ours, ctx.Err()
}

// answer is what the remote says at a step.
func (r *remote) answer(step, arg, good string) string {
	r.mu.Lock()
	say := r.say
	r.mu.Unlock()
	time.Sleep(r.latency)
	if say != nil {
		if text := say(step, arg); text != "" {
			return text
		}
	}
	return good
}

func (r *remote) says(f func(step, arg string) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say = f
}

// serve is one connection.
func (r *remote) serve(c net.Conn) {
	r.mu.Lock()
	r.open++
	r.conns++
	r.most = max(r.most, r.open)
	r.mu.Unlock()
	messages := 0
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open--
		r.sizes = append(r.sizes, messages)
	}()
	in := bufio.NewReader(c)
	tell := func(text string) bool {
		_, err := io.WriteString(c, text+"\r\n")
		return err == nil && !strings.HasPrefix(text, "421")
	}
	if !tell(r.answer("banner", "", "220 remote ESMTP")) {
		return
	}
	var to []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		ok := true
		switch verb := strings.ToUpper(strings.SplitN(line, " ", 2)[0]); verb {
		case "EHLO", "HELO":
			r.mu.Lock()
			r.hello[strings.Fields(line)[1]]++
			r.mu.Unlock()
			ok = tell(r.answer("ehlo", line, "250 remote"))
		case "MAIL":
			to, messages = nil, messages+1
			r.mu.Lock()
			r.begun = append(r.begun, line)
			r.mu.Unlock()
			ok = tell(r.answer("mail", line, "250 2.1.0 fine"))
		case "RCPT":
			text := r.answer("rcpt", line, "250 2.1.5 fine")
			if text[0] == '2' {
				to = append(to, strings.ToLower(strings.TrimSuffix(line[strings.Index(line, "<")+1:], ">")))
			}
			ok = tell(text)
		case "DATA":
			if ok = tell(r.answer("data", "", "354 go on")); !ok {
				return
			}
			for {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
			}
			text := r.answer("dot", strings.Join(to, " "), "250 2.0.0 taken")
			if text[0] == '2' {
				r.mu.Lock()
				r.rcpts = append(r.rcpts, len(to))
				for _, a := range to {
					r.taken = append(r.taken, arrival{a, time.Now()})
				}
				r.mu.Unlock()
			}
			ok = tell(text)
		case "QUIT":
			tell("221 2.0.0 bye")
			return
		default:
			ok = tell("250 2.0.0 fine")
		}
		if !ok {
			return
		}
	}
}

func (r *remote) arrived() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrival(nil), r.taken...)
}

// send queues a message of a customer.
func (b *bubble) send(customer string, to ...string) mail.QueueID {
	b.t.Helper()
	return b.put(b.compose(customer, to...))
}

func (b *bubble) compose(customer string, to ...string) *spool.Message {
	b.t.Helper()
	now := time.Now()
	from := mail.Address{Local: "news", Domain: mail.Domain(customer + ".test")}
	m := &spool.Message{ID: mail.NewQueueID(now), Customer: customer, Received: now, Expires: now.Add(48 * time.Hour), HeaderFrom: from.String(), Subject: "Hello", Language: "en",
		Envelope: mail.Envelope{ReversePath: from}, Body: []byte("From: <" + from.String() + ">\r\nSubject: Hello\r\n\r\nHello\r\n")}
	for _, x := range to {
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: address(b.t, x)})
	}
	return m
}

func (b *bubble) put(m *spool.Message) mail.QueueID {
	b.t.Helper()
	if err := b.spool.Put(context.Background(), m); err != nil {
		b.t.Fatal(err)
	}
	return m.ID
}

// pass lets time go by, and everything that becomes due then happen.
func (b *bubble) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// queued is how many messages are in the spool.
func (b *bubble) queued() int {
	b.t.Helper()
	works, _, err := b.spool.List(context.Background(), spool.Filter{Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	return len(works)
}

// stands returns where the first recipient of a message stands.
func (b *bubble) stands(id mail.QueueID) delivery.Standing {
	b.t.Helper()
	_, all, err := b.Explain(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return all[0]
}

func (b *bubble) facts(id mail.QueueID, kind journal.Kind) []journal.Fact {
	b.t.Helper()
	all, err := b.journal.Trace(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []journal.Fact
	for _, f := range all {
		if f.Kind == kind {
			out = append(out, f)
		}
	}
	return out
}

func numbered(format string, n int) string { return fmt.Sprintf(format, n) }

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }
