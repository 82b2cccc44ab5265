package portal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/dns/dnstest"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
	"postern/internal/spool"
)

// receiver is a mail exchanger that counts what it takes.
type receiver struct{ come chan []byte }

func (r *receiver) NewSession(context.Context, *smtp.Conn) (smtp.Session, error)  { return r, nil }
func (r *receiver) Mail(context.Context, *smtp.Transaction) error                 { return nil }
func (r *receiver) Rcpt(context.Context, *smtp.Transaction, mail.Recipient) error { return nil }
func (r *receiver) Close()                                                        {}
func (r *receiver) Data(_ context.Context, _ *smtp.Transaction, d []byte) (smtp.Reply, error) {
	r.come <- bytes.Clone(d)
	return smtp.Reply{}, nil
}

// The sender's domain before and after its owner has mended it.
const (
	broken = `
shop 300 IN TXT "v=spf1 ip4:192.0.2.7 -all"
shop 300 IN MX 10 mx.example.test.
_dmarc.shop 300 IN TXT "v=DMARC1; p=quarantine"
`
	mended = `
shop 300 IN TXT "v=spf1 ip4:192.0.2.7 ip4:127.0.0.1 -all"
shop 300 IN MX 10 mx.example.test.
_dmarc.shop 300 IN TXT "v=DMARC1; p=quarantine"
`
)

func zone(shop string) string {
	return `
$ORIGIN .
@ 300 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60
@ 300 IN NS ns.test.
$ORIGIN example.test.
mx 300 IN A 127.0.0.1
gate 300 IN A 127.0.0.1
receiver 300 IN MX 10 mx
` + shop + listings + `
$ORIGIN 127.in-addr.arpa.
1.0.0 300 IN PTR gate.example.test.
`
}

// gateway is a whole gateway on loopback whose mail goes to a receiver there.
type gateway struct {
	*app.App
	dns  *dnstest.Server
	mx   *receiver
	base string // of the pages
	ip   string // this test's visitor: limits are per network
	dir  string // data folder
	logs *logBook
}

// logBook is all that a gateway logs.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

const customers = `
customers:
  - {id: shop, name: The Shop, language: en, contact: owner@shop.example.test, networks: [127.0.0.1/32], domains: [shop.example.test], self_release: true}
  - {id: boutique, name: La Boutique, language: fr, contact: moi@boutique.example.test, networks: [192.0.2.0/24], domains: [boutique.example.test], self_release: false}
`

// start runs a gateway, with what edits change of its configuration.
func start(t *testing.T, edits ...func(*config.Config)) *gateway {
	t.Helper()
	g := &gateway{dns: dnstest.Start(t, zone(broken)), mx: &receiver{come: make(chan []byte, 100)}, logs: new(logBook)}
	server, err := smtp.NewServer(smtp.ServerOptions{Hostname: "mx.example.test", Handler: g.mx})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() { _ = server.Serve(ctx, l) }()
	dir := t.TempDir()
	file := filepath.Join(dir, "postern.yaml")
	text := fmt.Sprintf(`
hostname: gate.example.test
data_dir: %s
storage: {reserve: 16MiB}
checkup: {public: true}
dns: {servers: ["%s"]}
filter: {dnsbl: {zones: {zen.spamhaus.org: false, dbl.spamhaus.org: false, multi.surbl.org: false, multi.uribl.com: false, bl.spamcop.net: false, psbl.surriel.com: false, bl.mailspike.net: false, list.dnswl.org: false}}}
delivery:
  port: %d
  private_destinations: [127.0.0.0/8]
  pools: {default: [{ip: 127.0.0.1, helo: gate.example.test}]}
%s`, dir, g.dns.Addr(), l.Addr().(*net.TCPAddr).Port, customers)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	free := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	c.Listen.Relay.Address, c.Listen.Submission.Address, c.Listen.Submissions.Address, c.Listen.Web, c.Listen.Metrics = free, free, free, free, free
	for _, edit := range edits {
		edit(c)
	}
	logger := slog.New(slog.NewMultiHandler(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}), slog.NewTextHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if g.App, err = app.New(ctx, app.Options{Config: c, Logger: logger, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	var once sync.Once
	t.Cleanup(func() {
		once.Do(func() {
			stop()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	})
	g.base, g.ip, g.dir = "http://"+g.Addresses("web"), "203.0.113.1", dir
	return g
}

// hold submits a message that fails its tests and returns its queue ID.
func (g *gateway) hold(t *testing.T, subject string) mail.QueueID {
	t.Helper()
	c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(g.Addresses("relay")), smtp.ClientOptions{Hostname: "web1.shop.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := "From: The Shop <news@shop.example.test>\nTo: someone@receiver.example.test\nSubject: " + subject + "\nDate: " + time.Now().Format(time.RFC1123Z) +
		"\nMessage-ID: <1@shop.example.test>\n\nA secret text that no page may show.\n"
	res, err := c.Send(t.Context(), mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@receiver.example.test")}}},
		[]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil || res.Data.Code != 250 || !strings.Contains(strings.Join(res.Data.Lines, " "), "held") {
		t.Fatalf("not held: %+v %v", res, err)
	}
	id, err := mail.ParseQueueID(strings.Fields(strings.Join(res.Data.Lines, " "))[3])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// put stores a held message with a verdict of our choice.
func (g *gateway) put(t *testing.T, m spool.Message, v filter.Verdict) mail.QueueID {
	t.Helper()
	now := time.Now()
	m.ID, m.Received, m.Expires, m.Held, m.HoldReason, m.HoldUntil = mail.NewQueueID(now), now, now.Add(5*24*time.Hour), true, "score", now.Add(72*time.Hour+30*time.Second)
	if m.Customer == "" {
		m.Customer = "shop"
	}
	if len(m.Envelope.Recipients) == 0 {
		m.Envelope = mail.Envelope{ReversePath: address(t, "news@shop.example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@receiver.example.test")}}}
	}
	m.Body = []byte("From: news@shop.example.test\r\nSubject: x\r\n\r\nA secret text that no page may show.\r\n")
	m.Size, m.Score = int64(len(m.Body)), v.Score
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	m.Verdict = text
	if err := g.Spool().Put(t.Context(), &m); err != nil {
		t.Fatal(err)
	}
	f := journal.Fact{Kind: journal.Held, At: now, QueueID: m.ID, Customer: m.Customer, HeaderFrom: m.HeaderFrom, Subject: m.Subject, MessageID: m.MessageID, Score: v.Score, NextAt: m.HoldUntil, Detail: text}
	if err := g.Journal().Append(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// link is the path of a message's page.
func (g *gateway) link(id mail.QueueID) string { return "/m/" + g.Links().Token(id, time.Now()) }

// answer is what the site said.
type answer struct {
	status int
	body   string
	header http.Header
}

// ask sends a request without following redirects.
func (g *gateway) ask(t *testing.T, method, path string, form url.Values, header ...string) answer {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), method, g.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", g.ip)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if method != "GET" && req.Header.Get("Origin") == "" && req.Header.Get("Sec-Fetch-Site") == "" && req.Header.Get("Cookie") != "" {
		req.Header.Set("Sec-Fetch-Site", "same-origin") // as browsers do
	}
	if req.Header.Get("Sec-Fetch-Site") == "not said" {
		req.Header.Del("Sec-Fetch-Site")
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, string(text), res.Header}
}

// get fetches a page that must be there.
func (g *gateway) get(t *testing.T, path string) string {
	t.Helper()
	a := g.ask(t, "GET", path, nil)
	if a.status != 200 {
		t.Fatalf("GET %s: %d\n%s", path, a.status, a.body)
	}
	return a.body
}

// must posts a form whose act must succeed, and returns the page after the redirect.
func (g *gateway) must(t *testing.T, path string, form url.Values) string {
	t.Helper()
	if form == nil {
		form = url.Values{}
	}
	a := g.ask(t, "POST", path, form)
	if a.status != http.StatusSeeOther {
		t.Fatalf("POST %s: %d\n%s", path, a.status, a.body)
	}
	return g.get(t, a.header.Get("Location"))
}

// waitFor polls a condition that other goroutines bring about.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never came: %s", what)
}

// demanded returns the path of a program that a test runs.
func demanded(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program)
	}
	return path
}

// missing ends a test that lacks what it runs: .ci/run installs it, so there that is a fault.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("POSTERN_CI") != "" {
		t.Fatalf("%s is not installed, and POSTERN_CI asks for it", what)
	}
	t.Skipf("NOT TESTED: %s is not installed", what)
}
