package delivery_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/delivery"
	"postern/internal/dns/dnstest"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
)

// rootZone is what every test's internet has: a root that answers, and the senders' own domain.
const rootZone = `
$ORIGIN .
@ 300 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60
@ 300 IN NS ns.test.
$ORIGIN shop.test.
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.200
`

// world is a delivery with real rooms around it and an internet of its own: addresses in DNS lead to hosts on loopback.
type world struct {
	t        testing.TB
	dns      *dnstest.Server
	mainDB   *store.DB
	spoolDB  *store.DB
	accounts *account.Ledger
	spool    *spool.Spool
	journal  *journal.Journal
	*delivery.Delivery
	home *mx // takes what goes to shop.test: status notifications

	ahead atomic.Int64
	stop  func() // ends Run and waits for it

	mu     sync.Mutex
	routes map[string]string // address and port in DNS -> host on loopback
	dialed []string
	open   int // connections out
	most   int // ... at a time, at most
	events map[string]int
	came   chan struct{}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// dial is the way to this internet.
func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dialed = append(w.dialed, addr)
	real, ok := w.routes[addr]
	w.mu.Unlock()
	if !ok {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", real)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	w.most = max(w.most, w.open)
	return &countedConn{Conn: c, w: w}, nil
}

// countedConn is a connection that the world counts while it is open.
type countedConn struct {
	net.Conn
	w    *world
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() {
		c.w.mu.Lock()
		c.w.open--
		c.w.mu.Unlock()
	})
	return c.Conn.Close()
}

func (w *world) dials() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dialed...)
}

func (w *world) mostOpen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// at puts a host at an address of the world, port 25 when it names none.
func (w *world) at(addr, host string) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		addr = netip.AddrPortFrom(netip.MustParseAddr(addr), 25).String()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[addr] = host
}

// count keeps apart what concerns the senders' own domain: it gets the status notifications.
func (w *world) count(event, destination, _ string) {
	if destination == "shop.test" {
		event = "home:" + event
	}
	w.mu.Lock()
	w.events[event]++
	w.mu.Unlock()
	select {
	case w.came <- struct{}{}:
	default:
	}
}

// await waits until so many events of a kind have been counted.
func (w *world) await(event string, n int) {
	w.t.Helper()
	late := time.After(time.Minute)
	for {
		w.mu.Lock()
		have := w.events[event]
		w.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-w.came:
		case <-late:
			w.t.Fatalf("%d %q events; expected %d; dialed %v", have, event, n, w.dials())
		}
	}
}

func (w *world) counted(event string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[event]
}

// begin makes a world. zone is added to rootZone; change may alter the options. Delivery runs unless idle.
func begin(t testing.TB, zone string, change func(*delivery.Options)) *world {
	t.Helper()
	w := idle(t, zone, change)
	w.run()
	return w
}

func idle(t testing.TB, zone string, change func(*delivery.Options)) *world {
	t.Helper()
	w := &world{t: t, routes: map[string]string{}, events: map[string]int{}, came: make(chan struct{}, 1)}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.dns = dnstest.Start(t, rootZone+zone)
	w.mainDB, w.spoolDB = storetest.SQLite(t, store.MainSchema()), storetest.SQLite(t, store.SpoolSchema())
	w.accounts, err = account.New(account.Options{DB: w.mainDB, Pools: []account.Pool{{Name: "default", Egress: []account.Egress{{HELO: "out.gate.test"}}},
		{Name: "other", Egress: []account.Egress{{HELO: "other.gate.test"}}}}})
	must(err)
	must(w.accounts.SyncConfig(t.Context(), []account.Customer{{ID: "shop", Language: "en", Contact: mail.Address{Local: "owner", Domain: "shop.test"},
		Domains: []mail.Domain{"shop.test"}}}, "test"))
	must(w.accounts.Refresh(t.Context()))
	w.journal, err = journal.New(journal.Options{DB: w.mainDB})
	must(err)
	w.spool, err = spool.Open(spool.Options{DB: w.spoolDB, Dir: filepath.Join(t.TempDir(), "bodies"), Node: "test", Reserve: -1, Now: w.now})
	must(err)
	catalog, err := locale.New()
	must(err)
	links, err := notice.NewLinks("https://gate.test", make([]byte, 32), 0)
	must(err)
	notices, err := notice.New(notice.Options{Accounts: w.accounts, Spool: w.spool, Catalog: catalog, Links: links, Hostname: "gate.test", Now: w.now})
	must(err)
	w.home = newMX(t)
	w.at("192.0.2.200", w.home.addr)
	o := delivery.Options{Hostname: "gate.test", Spool: w.spool, Journal: w.journal, Accounts: w.accounts, Notices: notices, Resolver: w.dns.Resolver(t),
		LinkIdle: 50 * time.Millisecond, Dial: w.dial, Now: w.now, Count: w.count, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if change != nil {
		change(&o)
	}
	w.Delivery, err = delivery.New(o)
	must(err)
	t.Cleanup(func() {
		if n := w.Unaccounted(); n != 0 {
			t.Errorf("%d recipients are unaccounted for", n)
		}
	})
	return w
}

// run starts delivery; it ends with the test, or with stop.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					w.t.Errorf("Run: %v", err)
				}
			case <-time.After(time.Minute):
				w.t.Error("delivery did not end")
			}
		})
	}
	w.t.Cleanup(w.stop)
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const letter = "From: The Shop <news@shop.test>\r\nTo: you@there.test\r\nSubject: Your order\r\nMessage-ID: <1@shop.test>\r\n\r\nHello,\r\n.with a dot\r\n"

// compose is a message as intake stores it.
func (w *world) compose(to ...string) *spool.Message {
	w.t.Helper()
	now := w.now()
	m := &spool.Message{ID: mail.NewQueueID(now), Customer: "shop", Received: now, Expires: now.Add(48 * time.Hour), HeaderFrom: "news@shop.test", Subject: "Your order",
		Language: "en", Body: []byte(letter), Envelope: mail.Envelope{ReversePath: address(w.t, "news@shop.test")}}
	for _, x := range to {
		m.Envelope.Recipients = append(m.Envelope.Recipients, mail.Recipient{Address: address(w.t, x)})
	}
	return m
}

func (w *world) put(m *spool.Message) mail.QueueID {
	w.t.Helper()
	if err := w.spool.Put(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
	return m.ID
}

// send queues a message and returns its ID.
func (w *world) send(to ...string) mail.QueueID {
	w.t.Helper()
	return w.put(w.compose(to...))
}

// facts returns what the journal holds about a message.
func (w *world) facts(id mail.QueueID) []journal.Fact {
	w.t.Helper()
	facts, err := w.journal.Trace(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return facts
}

// last returns the last fact about one recipient.
func (w *world) last(id mail.QueueID, to string) journal.Fact {
	w.t.Helper()
	var out journal.Fact
	for _, f := range w.facts(id) {
		if f.Recipient == address(w.t, to).String() {
			out = f
		}
	}
	if out.Kind == "" {
		w.t.Fatalf("no fact about %s: %+v", to, w.facts(id))
	}
	return out
}

// expect checks a recipient's last fact.
func (w *world) expect(id mail.QueueID, to string, kind journal.Kind, code int, text string) {
	w.t.Helper()
	f := w.last(id, to)
	if f.Kind != kind || f.Code != code || !strings.Contains(f.Text, text) {
		w.t.Errorf("%s: %s %d %q; expected %s %d with %q", to, f.Kind, f.Code, f.Text, kind, code, text)
	}
	if kind == journal.Deferred && !f.NextAt.After(w.now().Add(-time.Minute)) {
		w.t.Errorf("%s: deferred without a next attempt: %v", to, f.NextAt)
	}
}

// got is one message that an exchanger took.
type got struct {
	env   mail.Envelope
	hello string
	data  []byte
	tls   bool
}

// mx is a mail exchanger on loopback. A recipient r450 is answered 450, and so on. Its hooks may be nil.
type mx struct {
	addr string

	greet hook[func() error]
	from  hook[func(*smtp.Transaction) error]
	data  hook[func(*smtp.Transaction, []byte) (smtp.Reply, error)]

	mu    sync.Mutex
	taken []got
	conns int
	open  int
	most  int
	came  chan struct{}
	t     testing.TB
}

// hook is a function that a test sets while the server runs.
type hook[F any] struct {
	mu sync.Mutex
	f  F
}

func (h *hook[F]) set(f F) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f = f
}

func (h *hook[F]) get() F {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.f
}

func newMX(t testing.TB, change ...func(*smtp.ServerOptions)) *mx {
	t.Helper()
	m := &mx{t: t, came: make(chan struct{}, 10000)}
	limits := smtp.DefaultLimits()
	limits.NewPerMinutePerIP, limits.ConnectionsPerIP = 100000, 1000
	o := smtp.ServerOptions{Hostname: "mx.there.test", Handler: m, Limits: limits}
	for _, f := range change {
		f(&o)
	}
	s, err := smtp.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return m
}

type mxSession struct {
	*mx
	conn *smtp.Conn
}

func (m *mx) NewSession(_ context.Context, c *smtp.Conn) (smtp.Session, error) {
	m.mu.Lock()
	m.conns++
	m.open++
	m.most = max(m.most, m.open)
	m.mu.Unlock()
	if greet := m.greet.get(); greet != nil {
		if err := greet(); err != nil {
			m.mu.Lock()
			m.open--
			m.mu.Unlock()
			return nil, err
		}
	}
	return mxSession{m, c}, nil
}

func (m mxSession) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
}

func (m mxSession) Mail(_ context.Context, t *smtp.Transaction) error {
	if from := m.from.get(); from != nil {
		return from(t)
	}
	return nil
}

func (m mxSession) Rcpt(_ context.Context, _ *smtp.Transaction, r mail.Recipient) error {
	var code int
	if n, _ := fmt.Sscanf(r.Address.Local, "r%d", &code); n == 1 && code >= 400 {
		return &smtp.Error{Code: code, Enhanced: smtp.Enhanced{code / 100, 1, 1}, Text: "as you wish for " + r.Address.Local}
	}
	return nil
}

func (m mxSession) Data(_ context.Context, t *smtp.Transaction, data []byte) (smtp.Reply, error) {
	if f := m.mx.data.get(); f != nil {
		if r, err := f(t, data); err != nil || r.Code != 0 {
			return r, err
		}
	}
	m.mu.Lock()
	m.taken = append(m.taken, got{t.Envelope, m.conn.Hello, bytes.Clone(data), m.conn.TLS != nil})
	m.mu.Unlock()
	m.came <- struct{}{}
	return smtp.Reply{}, nil
}

func (m *mx) all() []got {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]got(nil), m.taken...)
}

func (m *mx) connections() (sum, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conns, m.most
}

// quiet waits until no connection is open.
func (m *mx) quiet() {
	m.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		open := m.open
		m.mu.Unlock()
		if open == 0 {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("%d connections are still open", open)
		}
	}
}

// next waits for one more message.
func (m *mx) next() got {
	m.t.Helper()
	select {
	case <-m.came:
	case <-time.After(time.Minute):
		m.t.Fatal("no message came")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken[len(m.taken)-1]
}

// one is a zone in which there.test has a single exchanger at 192.0.2.1.
const one = "$ORIGIN there.test.\n@ 300 IN MX 10 mx\nmx 300 IN A 192.0.2.1\n"

// simple is a world with one exchanger.
func simple(t testing.TB, change func(*delivery.Options), server ...func(*smtp.ServerOptions)) (*world, *mx) {
	t.Helper()
	w := begin(t, one, change)
	m := newMX(t, server...)
	w.at("192.0.2.1", m.addr)
	return w, m
}

func tlsServer(t *testing.T) func(*smtp.ServerOptions) {
	cert, _ := certificate(t, "mx.there.test")
	return func(o *smtp.ServerOptions) { o.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} }
}

func TestNew(t *testing.T) {
	t.Parallel()
	w := idle(t, "", nil)
	if _, err := delivery.New(delivery.Options{Hostname: "x"}); err == nil {
		t.Error("without rooms")
	}
	rooms := delivery.Options{Spool: w.spool, Journal: w.journal, Accounts: w.accounts, Resolver: w.dns.Resolver(t), Notices: &notice.Notices{}}
	if _, err := delivery.New(rooms); err == nil {
		t.Error("without a name")
	}
	rooms.Hostname = "gate.test"
	if _, err := delivery.New(rooms); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		s  delivery.Smarthost
		ok bool
	}{
		{delivery.Smarthost{}, false},
		{delivery.Smarthost{Host: "smart.test"}, true},
		{delivery.Smarthost{Host: "smart.test", User: "u", TLS: "implicit"}, true},
		{delivery.Smarthost{Host: "smart.test", User: "u", TLS: "none"}, false},
		{delivery.Smarthost{Host: "smart.test", User: "u", TLS: "opportunistic"}, false},
		{delivery.Smarthost{Host: "192.0.2.1", User: "u", TLS: "none"}, false},
		{delivery.Smarthost{Host: "127.0.0.1", User: "u", TLS: "none"}, true},
		{delivery.Smarthost{Host: "smart.test", TLS: "none"}, true},
		{delivery.Smarthost{Host: "smart.test", TLS: "maybe"}, false},
	} {
		o := rooms
		o.Smarthost = &tc.s
		if _, err := delivery.New(o); (err == nil) != tc.ok {
			t.Errorf("%+v: %v", tc.s, err)
		}
	}
}

// TestDelivers: bytes, envelope and name as they should be, the fact written, the spool empty.
func TestDelivers(t *testing.T) {
	t.Parallel()
	var took atomic.Int64
	w, m := simple(t, func(o *delivery.Options) { o.Took = func(d time.Duration) { took.Store(int64(d) + 1) } })
	id := w.send("you@there.test")
	g := m.next()
	if string(g.data) != letter || g.hello != "out.gate.test" || g.env.ReversePath.String() != "news@shop.test" || len(g.env.Recipients) != 1 || g.tls {
		t.Errorf("arrived: %+v\n%q", g, g.data)
	}
	w.await("delivered", 1)
	w.expect(id, "you@there.test", journal.Delivered, 250, "")
	f := w.last(id, "you@there.test")
	if f.Host != "mx.there.test[192.0.2.1]" || f.Attempt != 1 || f.Customer != "shop" {
		t.Errorf("fact: %+v", f)
	}
	if s, err := w.spool.Stats(t.Context()); err != nil || s.Queued != 0 {
		t.Errorf("%+v %v", s, err)
	}
	if took.Load() == 0 {
		t.Error("the time it took was not told")
	}
}

// TestEachRecipientHisFate: one transaction, three answers, and only the failed one is told.
func TestEachRecipientHisFate(t *testing.T) {
	t.Parallel()
	w, m := simple(t, nil)
	id := w.send("you@there.test", "r550@there.test", "r451@there.test")
	if g := m.next(); len(g.env.Recipients) != 1 {
		t.Errorf("accepted for %v", g.env.Recipients)
	}
	w.await("bounced", 1)
	w.await("deferred", 1)
	w.expect(id, "you@there.test", journal.Delivered, 250, "")
	w.expect(id, "r550@there.test", journal.Bounced, 550, "as you wish for r550")
	w.expect(id, "r451@there.test", journal.Deferred, 451, "as you wish for r451")
	dsn := w.home.next()
	for _, want := range []string{"Final-Recipient: rfc822; r550@there.test", "Action: failed", "Status: 5.1.1", "as you wish for r550"} {
		if !bytes.Contains(dsn.data, []byte(want)) {
			t.Errorf("the notification lacks %q:\n%s", want, dsn.data)
		}
	}
	if !dsn.env.ReversePath.IsNull() || bytes.Contains(dsn.data, []byte("Final-Recipient: rfc822; you@")) || bytes.Contains(dsn.data, []byte("Final-Recipient: rfc822; r451@")) {
		t.Errorf("the notification says too much: %+v\n%s", dsn.env, dsn.data)
	}
	work, err := w.spool.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]spool.State{}
	for _, r := range work.Recipients {
		states[r.Address.Local] = r.State
	}
	if states["you"] != spool.Delivered || states["r550"] != spool.Bounced || states["r451"] != spool.Queued {
		t.Errorf("states: %v", states)
	}
	// The next attempt speaks only of the one that is left.
	if err := w.spool.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.await("deferred", 2)
	if n := len(m.all()); n != 1 {
		t.Errorf("the message was sent %d times", n)
	}
	if f := w.last(id, "r451@there.test"); f.Attempt != 2 {
		t.Errorf("attempt %d", f.Attempt)
	}
}

// TestRefusals: MAIL and DATA refused, for good and for now.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, code := range []int{450, 552} {
		kind := map[int]journal.Kind{450: journal.Deferred, 552: journal.Bounced}[code]
		say := &smtp.Error{Code: code, Enhanced: smtp.Enhanced{code / 100, 7, 1}, Text: "not so"}
		t.Run(fmt.Sprint("MAIL", code), func(t *testing.T) {
			t.Parallel()
			w, m := simple(t, nil)
			m.from.set(func(*smtp.Transaction) error { return say })
			id := w.send("you@there.test", "him@there.test")
			w.await(string(kind), 2)
			w.expect(id, "you@there.test", kind, code, "not so")
			w.expect(id, "him@there.test", kind, code, "not so")
		})
		t.Run(fmt.Sprint("DATA", code), func(t *testing.T) {
			t.Parallel()
			w, m := simple(t, nil)
			m.data.set(func(*smtp.Transaction, []byte) (smtp.Reply, error) { return smtp.Reply{}, say })
			id := w.send("you@there.test", "r550@there.test")
			if kind == journal.Bounced {
				w.await("bounced", 2)
			} else {
				w.await("bounced", 1)
				w.await("deferred", 1)
			}
			w.expect(id, "you@there.test", kind, code, "not so")
			w.expect(id, "r550@there.test", journal.Bounced, 550, "as you wish")
		})
	}
}

// TestGreetings: a server that refuses us before any mail says nothing about the recipient: his mail waits.
func TestGreetings(t *testing.T) {
	t.Parallel()
	for _, code := range []int{421, 450, 521, 554} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			w, m := simple(t, nil)
			m.greet.set(func() error {
				return &smtp.Error{Code: code, Enhanced: smtp.Enhanced{code / 100, 7, 1}, Text: "we do not like you"}
			})
			id := w.send("you@there.test")
			w.await("deferred", 1)
			w.expect(id, "you@there.test", journal.Deferred, 451, "we do not like you")
		})
	}
}

// TestUnsendable: a message that cannot be spoken to this server is given up with a reason, not tried for two days.
func TestUnsendable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, text string
		env        func(*mail.Envelope)
	}{
		"bare newline": {"Subject: x\r\n\r\na\nb\r\n", "bare", nil},
		"bare CR":      {"Subject: x\r\n\r\na\rb\r\n", "bare", nil},
		"NUL":          {"Subject: x\r\n\r\na\x00b\r\n", "NUL", nil},
		"SMTPUTF8":     {letter, "", func(e *mail.Envelope) { e.SMTPUTF8 = true; e.Recipients[0].Address.Local = "é" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := plain(t)
			m := w.compose("you@there.test")
			m.Body = []byte(tc.body)
			if tc.env != nil {
				tc.env(&m.Envelope)
			}
			id := w.put(m)
			w.await("bounced", 1)
			f := w.facts(id)
			if last := f[len(f)-1]; last.Kind != journal.Bounced || last.Code < 500 || !strings.Contains(last.Text, tc.text) {
				t.Errorf("%+v", last)
			}
			if dsn := w.home.next(); !bytes.Contains(dsn.data, []byte("Action: failed")) {
				t.Errorf("no notification:\n%s", dsn.data)
			}
		})
	}
}

// plain is a world whose exchanger offers no extension at all and fails the test when it is given a message.
func plain(t *testing.T) (*world, string) {
	t.Helper()
	w := begin(t, one, nil)
	host := script(t, "S: 220 old.there.test\nC: EHLO *\nS: 500 what\nC: HELO *\nS: 250 old.there.test\nC: *")
	w.at("192.0.2.1", host)
	return w, host
}
