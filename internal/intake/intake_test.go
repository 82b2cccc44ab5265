package intake_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
	"postern/internal/filter"
	"postern/internal/intake"
	"postern/internal/journal"
	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/notice"
	"postern/internal/smtp"
	"postern/internal/spool"
	"postern/internal/store"
	"postern/internal/store/storetest"
	"postern/internal/suppression"
)

const zone = `
$ORIGIN .
@ 300 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60
@ 300 IN NS ns.test.
$ORIGIN shop.test.
@ 300 IN MX 10 mx.there.test.
@ 300 IN TXT "v=spf1 ip4:192.0.2.25 -all"
$ORIGIN there.test.
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.80
$ORIGIN gate.test.
@ 300 IN A 192.0.2.25
@ 300 IN MX 10 mx.there.test.
@ 300 IN TXT "v=spf1 ip4:192.0.2.25 -all"
$ORIGIN 192.in-addr.arpa.
25.2.0 300 IN PTR gate.test.
`

// rooms is an intake with real rooms around it.
type rooms struct {
	*intake.Intake
	dns              *dnstest.Server
	spoolDB, mainDB  *store.DB
	accounts         *account.Ledger
	spool            *spool.Spool
	journal          *journal.Journal
	links            *notice.Links
	user, password   string // of customer shop
	ahead            atomic.Int64
	bodies           string // folder of large bodies
	list             *suppression.Ledger
	mu               sync.Mutex
	events           []string
	tested           int
	resolverIsBroken atomic.Bool
}

func (r *rooms) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

func (r *rooms) counted(event string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e == event {
			n++
		}
	}
	return n
}

// breakable is a resolver that can be made to crash the tests of the filter.
type breakable struct {
	dns.Resolver
	broken *atomic.Bool
}

func (b breakable) Query(ctx context.Context, name string, typ dns.Type) dns.Answer {
	if b.broken.Load() {
		panic("resolver out of order")
	}
	return b.Resolver.Query(ctx, name, typ)
}

// settings is what a test changes.
type settings struct {
	scores    map[string]float64
	reserve   int64
	customers []account.Customer
	maxHops   int
	real      bool // all tests with their own points; otherwise only those in scores
	taught    func(customer string, spam bool, body []byte)
	opinions  []filter.Opinion
	change    func(*intake.Options) // nil: nothing
}

func network(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }

// shop and rival are the customers of most tests.
func shop() account.Customer {
	return account.Customer{ID: "shop", Language: "en", Contact: mail.Address{Local: "owner", Domain: "shop.test"},
		Networks: network("192.0.2.0/28"), Domains: []mail.Domain{"shop.test", "xn--bcher-kva.test"}, SelfRelease: true}
}

func rival() account.Customer {
	return account.Customer{ID: "rival", Networks: network("198.51.100.0/24"), Domains: []mail.Domain{"rival.test"}}
}

func start(t *testing.T, s settings) *rooms {
	t.Helper()
	r := &rooms{dns: dnstest.Start(t, zone)}
	r.spoolDB = storetest.SQLite(t, store.SpoolSchema())
	r.mainDB = storetest.SQLite(t, store.MainSchema())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.accounts, err = account.New(account.Options{DB: r.mainDB, Pools: []account.Pool{{Name: "default",
		Egress: []account.Egress{{IP: netip.MustParseAddr("192.0.2.25"), HELO: "gate.test"}}}}})
	must(err)
	if s.customers == nil {
		s.customers = []account.Customer{shop(), rival()}
	}
	must(r.accounts.SyncConfig(t.Context(), s.customers, "test"))
	must(r.accounts.Refresh(t.Context()))
	r.user, r.password, err = r.accounts.AddCredential(t.Context(), s.customers[0].ID, "test")
	must(err)
	r.journal, err = journal.New(journal.Options{DB: r.mainDB})
	must(err)
	r.bodies = filepath.Join(t.TempDir(), "bodies")
	r.spool, err = spool.Open(spool.Options{DB: r.spoolDB, Dir: r.bodies, Node: "test", Reserve: s.reserve, Now: r.now, CacheBytes: 1})
	must(err)
	catalog, err := locale.New()
	must(err)
	r.links, err = notice.NewLinks("https://gate.test", make([]byte, 32), 0)
	must(err)
	notices, err := notice.New(notice.Options{Accounts: r.accounts, Spool: r.spool, Catalog: catalog, Links: r.links, Hostname: "gate.test", Now: r.now})
	must(err)
	scores := s.scores
	if !s.real {
		scores = map[string]float64{}
		for _, x := range filter.Tests() {
			if x.Group != filter.GroupOpinion {
				scores[x.Name] = 0
			}
		}
		for k, v := range s.scores {
			scores[k] = v
		}
	}
	tests, err := filter.New(filter.Options{Resolver: breakable{r.dns.Resolver(t), &r.resolverIsBroken}, Accounts: r.accounts, Lists: []dnsbl.List{},
		Scores: scores, Now: r.now, Opinions: s.opinions})
	must(err)
	r.list, err = suppression.New(suppression.Options{DB: r.mainDB})
	must(err)
	must(r.list.Refresh(t.Context()))
	o := intake.Options{Suppression: r.list,
		Hostname: "gate.test", Accounts: r.accounts, Filter: tests, Resolver: r.dns.Resolver(t), Spool: r.spool,
		Journal: r.journal, Notices: notices, Links: r.links, MaxHops: s.maxHops, Taught: s.taught, Now: r.now, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Explain: func(lang string, h filter.Hit) filter.Explanation { return filter.Explain(catalog, lang, h) },
		Count: func(e string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
		Tested: func(filter.Verdict) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.tested++
		}}
	if s.change != nil {
		s.change(&o)
	}
	r.Intake, err = intake.New(o)
	must(err)
	return r
}

// client is one connection at a door, without the wire.
type client struct {
	t    *testing.T
	sess smtp.Session
	conn *smtp.Conn
}

func (r *rooms) connect(t *testing.T, d intake.Door, ip string) *client {
	t.Helper()
	c := &client{t: t, conn: &smtp.Conn{ClientIP: netip.MustParseAddr(ip), Hello: "web1.shop.test", ESMTP: true, Listener: string(d)}}
	s, err := r.Handler(d).NewSession(t.Context(), c.conn)
	if err != nil {
		t.Fatalf("no session for %s: %v", ip, err)
	}
	c.sess = s
	t.Cleanup(s.Close)
	return c
}

func (r *rooms) login(t *testing.T, user, password string) (*client, error) {
	c := r.connect(t, intake.Submission, "203.0.113.9")
	err := c.sess.(smtp.Authenticator).Auth(t.Context(), c.conn, user, password)
	return c, err
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// crlf is a message written with plain line ends in a test.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// send runs one transaction; from "" is the null reverse path.
func (c *client) send(from string, to []string, message []byte) (smtp.Reply, error) {
	c.t.Helper()
	tr := &smtp.Transaction{}
	if from != "" {
		tr.Envelope.ReversePath = address(c.t, from)
	}
	if err := c.sess.Mail(c.t.Context(), tr); err != nil {
		return smtp.Reply{}, err
	}
	for _, x := range to {
		rcpt := mail.Recipient{Address: address(c.t, x)}
		if err := c.sess.Rcpt(c.t.Context(), tr, rcpt); err != nil {
			return smtp.Reply{}, err
		}
		tr.Envelope.Recipients = append(tr.Envelope.Recipients, rcpt)
	}
	return c.sess.Data(c.t.Context(), tr, message)
}

func letter(extra string) []byte {
	return crlf("From: The Shop <news@shop.test>\nTo: someone@there.test\nSubject: Your order\nDate: " + time.Now().Format(time.RFC1123Z) +
		"\nMessage-ID: <1@shop.test>\n" + extra + "\nHello,\nhere it is.\n")
}

// refusal checks that err is the given answer and says something about it.
func refusal(t *testing.T, err error, code int, enhanced smtp.Enhanced, text string) {
	t.Helper()
	var e *smtp.Error
	if !errors.As(err, &e) {
		t.Fatalf("no refusal but %v; expected %d", err, code)
	}
	if e.Code != code || e.Enhanced != enhanced || !strings.Contains(e.Text, text) {
		t.Errorf("answer %d %v %q; expected %d %v with %q", e.Code, e.Enhanced, e.Text, code, enhanced, text)
	}
}

// queued returns what is in the spool, our own notices apart.
func (r *rooms) queued(t *testing.T) (mails, notices []spool.Work) {
	t.Helper()
	works, _, err := r.spool.List(t.Context(), spool.Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		if w.Notice {
			notices = append(notices, w)
		} else {
			mails = append(mails, w)
		}
	}
	return mails, notices
}

// one returns the only message in the spool and its bytes.
func (r *rooms) one(t *testing.T) (spool.Work, string) {
	t.Helper()
	mails, _ := r.queued(t)
	if len(mails) != 1 {
		t.Fatalf("%d messages in the spool; expected 1", len(mails))
	}
	body, err := r.spool.Body(t.Context(), mails[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return mails[0], string(body)
}

func (r *rooms) kinds(t *testing.T, id mail.QueueID) string {
	t.Helper()
	if err := r.journal.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, err := r.journal.Trace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range facts {
		out = append(out, string(f.Kind)+"/"+f.Actor)
	}
	return strings.Join(out, " ")
}

func TestNewRefusesHalfAHouse(t *testing.T) {
	t.Parallel()
	if _, err := intake.New(intake.Options{Hostname: "gate.test"}); err == nil {
		t.Error("an intake without rooms")
	}
}

// TestRelayDoor: the source network names the customer, the longest prefix wins, and nobody else gets a session.
func TestRelayDoor(t *testing.T) {
	t.Parallel()
	all := shop()
	all.Networks = append(network("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48"))
	inner := rival()
	inner.Networks = append(network("192.0.2.64/26"), netip.MustParsePrefix("2001:db8:1:2::/64"))
	r := start(t, settings{customers: []account.Customer{all, inner}})
	for ip, from := range map[string]string{
		"192.0.2.1": "a@shop.test", "192.0.2.63": "a@shop.test", "192.0.2.64": "a@rival.test", "192.0.2.127": "a@rival.test", "192.0.2.128": "a@shop.test",
		"2001:db8:1::1": "a@shop.test", "2001:db8:1:2::1": "a@rival.test",
	} {
		c := r.connect(t, intake.Relay, ip)
		tr := &smtp.Transaction{Envelope: mail.Envelope{ReversePath: address(t, from)}}
		if err := c.sess.Mail(t.Context(), tr); err != nil {
			t.Errorf("%s may not send as %s: %v", ip, from, err)
		}
		other := map[string]string{"a@shop.test": "a@rival.test", "a@rival.test": "a@shop.test"}[from]
		tr = &smtp.Transaction{Envelope: mail.Envelope{ReversePath: address(t, other)}}
		refusal(t, c.sess.Mail(t.Context(), tr), 550, smtp.Enhanced{5, 7, 1}, "is not a domain of customer")
	}
	for _, ip := range []netip.Addr{netip.MustParseAddr("192.0.3.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("10.0.0.1"),
		netip.MustParseAddr("2001:db8:2::1"), {}} {
		_, err := r.Handler(intake.Relay).NewSession(t.Context(), &smtp.Conn{ClientIP: ip})
		refusal(t, err, 554, smtp.Enhanced{5, 7, 1}, "Relaying denied")
	}
	if n := r.counted("refused:network"); n != 6 {
		t.Errorf("%d strangers counted", n)
	}
}

// TestSubmissionDoor: nothing without a login, not even from a customer's network; and every failed login is told apart.
func TestSubmissionDoor(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Submission, "192.0.2.1")
	_, err := c.send("news@shop.test", []string{"a@there.test"}, letter(""))
	refusal(t, err, 530, smtp.Enhanced{5, 7, 0}, "Log in first")

	_, err = r.login(t, r.user, "wrong")
	refusal(t, err, 535, smtp.Enhanced{5, 7, 8}, "wrong")
	c, err = r.login(t, r.user, r.password)
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := c.send("news@shop.test", []string{"a@there.test"}, letter("")); err != nil || reply.Code != 250 {
		t.Errorf("a customer was refused: %v %v", reply, err)
	}
	w, _ := r.one(t)
	if w.Credential != r.user || w.Customer != "shop" {
		t.Errorf("stored for %q by %q", w.Customer, w.Credential)
	}
	_, err = c.send("news@rival.test", []string{"a@there.test"}, letter(""))
	refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "rival.test")

	// A burst of wrong passwords ends in a pause that also the right one waits for.
	for range 20 {
		if _, err = r.login(t, r.user, "wrong"); err != nil && strings.Contains(err.Error(), "Too many") {
			break
		}
	}
	refusal(t, err, 454, smtp.Enhanced{4, 7, 0}, "Too many")
}

// TestCutTakesEffectAtOnce: an open connection does not outlive its rights.
func TestCutTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	mustSend := func(t *testing.T, c *client) {
		t.Helper()
		if _, err := c.send("news@shop.test", []string{"a@there.test"}, letter("")); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("suspended", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		relay := r.connect(t, intake.Relay, "192.0.2.1")
		inside, err := r.login(t, r.user, r.password)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, relay)
		mustSend(t, inside)
		if err := r.accounts.SetSuspended(t.Context(), "shop", true); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*client{relay, inside} {
			_, err := c.send("news@shop.test", []string{"a@there.test"}, letter(""))
			refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "suspended")
		}
		_, err = r.login(t, r.user, r.password)
		refusal(t, err, 535, smtp.Enhanced{5, 7, 1}, "suspended")
		if err := r.accounts.SetSuspended(t.Context(), "shop", false); err != nil {
			t.Fatal(err)
		}
		mustSend(t, relay)
		mustSend(t, inside)
	})
	t.Run("credential revoked", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		c, err := r.login(t, r.user, r.password)
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, c)
		if err := r.accounts.RevokeCredential(t.Context(), r.user); err != nil {
			t.Fatal(err)
		}
		_, err = c.send("news@shop.test", []string{"a@there.test"}, letter(""))
		refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "no longer")
	})
	t.Run("network taken away", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		c := r.connect(t, intake.Relay, "192.0.2.1")
		mustSend(t, c)
		moved := shop()
		moved.Networks = network("203.0.113.0/24")
		if err := r.accounts.SyncConfig(t.Context(), []account.Customer{moved, rival()}, "test"); err != nil {
			t.Fatal(err)
		}
		_, err := c.send("news@shop.test", []string{"a@there.test"}, letter(""))
		refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "no longer")
	})
	t.Run("customer gone", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		c, err := r.login(t, r.user, r.password)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.accounts.SyncConfig(t.Context(), []account.Customer{rival()}, "test"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.send("news@shop.test", []string{"a@there.test"}, letter("")); err == nil {
			t.Error("mail of a customer who is no more")
		}
	})
}

// TestAccepted: the envelope, the score and the facts of an accepted message.
func TestAccepted(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	r.SetExpire(5 * time.Hour)
	c := r.connect(t, intake.Relay, "192.0.2.1")
	reply, err := c.send("news@shop.test", []string{"a@there.test", "b@there.test"}, letter(""))
	if err != nil || reply.Code != 250 || !strings.HasPrefix(reply.Lines[0], "Ok: queued as ") {
		t.Fatalf("%v %v", reply, err)
	}
	w, body := r.one(t)
	if w.Held || len(w.Recipients) != 2 || w.Size != int64(len(body)) || w.HeaderFrom != "news@shop.test" || w.Subject != "Your order" ||
		w.MessageID == "" || w.Expires.Sub(w.Received) != 5*time.Hour || w.Hello != "web1.shop.test" || w.ClientIP.String() != "192.0.2.1" {
		t.Errorf("stored: %+v", w)
	}
	if !strings.Contains(reply.Lines[0], string(w.ID)) {
		t.Errorf("the answer %q names another queue ID than %s", reply.Lines[0], w.ID)
	}
	if k := r.kinds(t, w.ID); k != "accepted/rule" {
		t.Errorf("facts: %s", k)
	}
	facts, _ := r.journal.Trace(t.Context(), w.ID)
	if f := facts[0]; f.Recipient != "a@there.test" || f.Text != "2 recipients" || f.ReversePath != "news@shop.test" {
		t.Errorf("fact: %+v", f)
	}
	if r.counted("accepted") != 1 || r.tested != 1 {
		t.Errorf("counted %d accepted, %d tested", r.counted("accepted"), r.tested)
	}
}

// TestHops: a message that has gone round too often is refused, one hop less is not.
func TestHops(t *testing.T) {
	t.Parallel()
	r := start(t, settings{})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	hop := "Received: from a by b;\r\n\tSat, 21 Nov 2026 10:00:00 +0000\r\n"
	if _, err := c.send("news@shop.test", []string{"a@there.test"}, append([]byte(strings.Repeat(hop, 50)), letter("")...)); err != nil {
		t.Errorf("50 hops: %v", err)
	}
	_, err := c.send("news@shop.test", []string{"a@there.test"}, append([]byte(strings.Repeat(hop, 51)), letter("")...))
	refusal(t, err, 554, smtp.Enhanced{5, 4, 6}, "loop")
	odd := strings.Repeat("received :x\r\n", 51)
	_, err = c.send("news@shop.test", []string{"a@there.test"}, append([]byte(odd), letter("")...))
	refusal(t, err, 554, smtp.Enhanced{5, 4, 6}, "loop")
	// What stands in the body is no hop.
	body := append(letter(""), []byte(strings.Repeat(hop, 60))...)
	if _, err := c.send("news@shop.test", []string{"a@there.test"}, body); err != nil {
		t.Errorf("hops in the body: %v", err)
	}
}

// TestOwnTrouble: what is out of order here is never answered 250, and nothing is kept.
func TestOwnTrouble(t *testing.T) {
	t.Parallel()
	to := []string{"a@there.test"}
	t.Run("filter", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{real: true})
		r.resolverIsBroken.Store(true)
		c := r.connect(t, intake.Relay, "192.0.2.1")
		_, err := c.send("news@shop.test", to, letter(""))
		refusal(t, err, 451, smtp.Enhanced{4, 3, 0}, "could not be tested")
		if mails, notices := r.queued(t); len(mails)+len(notices) != 0 {
			t.Error("something was stored")
		}
	})
	t.Run("client gone", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		c := r.connect(t, intake.Relay, "192.0.2.1")
		tr := &smtp.Transaction{Envelope: mail.Envelope{ReversePath: address(t, "news@shop.test"), Recipients: []mail.Recipient{{Address: address(t, to[0])}}}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.sess.Data(ctx, tr, letter(""))
		refusal(t, err, 451, smtp.Enhanced{4, 3, 0}, "")
	})
	t.Run("disk full", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{reserve: 1 << 60})
		c := r.connect(t, intake.Relay, "192.0.2.1")
		_, err := c.send("news@shop.test", to, letter(""))
		refusal(t, err, 452, smtp.Enhanced{4, 3, 1}, "No room")
		if r.counted("refused:storage") != 1 {
			t.Error("not counted")
		}
	})
	t.Run("store broken", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		c := r.connect(t, intake.Relay, "192.0.2.1")
		if err := r.spoolDB.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := c.send("news@shop.test", to, letter(""))
		refusal(t, err, 451, smtp.Enhanced{4, 3, 0}, "could not be stored")
	})
	t.Run("journal broken for a rejection", func(t *testing.T) {
		t.Parallel()
		strict := shop()
		strict.Mode = account.ModeReject
		r := start(t, settings{customers: []account.Customer{strict}, scores: map[string]float64{"MISSING_SUBJECT": 5}})
		c := r.connect(t, intake.Relay, "192.0.2.1")
		if err := r.mainDB.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := c.send("news@shop.test", to, crlf("From: a@shop.test\n\nx\n"))
		refusal(t, err, 451, smtp.Enhanced{4, 3, 0}, "could not be stored")
	})
	t.Run("accounts broken", func(t *testing.T) {
		t.Parallel()
		r := start(t, settings{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := r.connect(t, intake.Submission, "203.0.113.9")
		err := c.sess.(smtp.Authenticator).Auth(ctx, c.conn, r.user, r.password)
		if err != nil { // a login that needs no waiting may also succeed
			refusal(t, err, 454, smtp.Enhanced{4, 7, 0}, "cannot be checked")
		}
	})
}

// TestRejectMode: the refusal says why and leads to a page that shows everything although the message was not kept.
func TestRejectMode(t *testing.T) {
	t.Parallel()
	strict := shop()
	strict.Mode = account.ModeReject
	r := start(t, settings{customers: []account.Customer{strict}, scores: map[string]float64{"MISSING_SUBJECT": 5}})
	c := r.connect(t, intake.Relay, "192.0.2.1")
	_, err := c.send("news@shop.test", []string{"a@there.test"}, crlf("From: a@shop.test\nDate: x\n\nx\n"))
	refusal(t, err, 550, smtp.Enhanced{5, 7, 1}, "score 5.0 is above 3.0 (MISSING_SUBJECT first)\n")
	var e *smtp.Error
	errors.As(err, &e)
	_, link, found := strings.Cut(e.Text, ": https://gate.test/")
	if !found {
		t.Fatalf("no link in %q", e.Text)
	}
	token := link[strings.LastIndexByte(link, '/')+1:]
	id, err := r.links.Check(token, time.Now())
	if err != nil {
		t.Fatalf("the link %q: %v", link, err)
	}
	v, err := r.Desk().View(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if v.Status != intake.Refused || v.Verdict.Score != 5 || len(v.Verdict.Hits) != 1 || v.From != "a@shop.test" || v.CanRetest || v.CanRelease || v.Customer.ID != "shop" || v.ClientIP != "192.0.2.1" {
		t.Errorf("the page's facts: %+v", v)
	}
	if mails, notices := r.queued(t); len(mails)+len(notices) != 0 {
		t.Error("a refused message was kept, or a notice written beside the refusal")
	}
	if _, err := r.Desk().Retest(t.Context(), id, "sender"); !errors.Is(err, intake.ErrNotKept) {
		t.Errorf("test again of a refused message: %v", err)
	}
}

// mustIP is the address s, invalid when s is empty.
func mustIP(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}
