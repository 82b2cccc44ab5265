package app_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/app"
	"postern/internal/config"
	"postern/internal/dns/dnstest"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/smtp"
)

// receiver is a mail exchanger that keeps what it is given.
type receiver struct {
	mu   sync.Mutex
	got  []received
	come chan struct{}
}

type received struct {
	env  mail.Envelope
	data []byte
}

func (r *receiver) NewSession(context.Context, *smtp.Conn) (smtp.Session, error) { return r, nil }
func (r *receiver) Mail(context.Context, *smtp.Transaction) error                { return nil }
func (r *receiver) Close()                                                       {}

func (r *receiver) Rcpt(_ context.Context, _ *smtp.Transaction, to mail.Recipient) error {
	if strings.HasPrefix(to.Address.Local, "unknown") {
		return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such user here"}
	}
	return nil
}

func (r *receiver) Data(_ context.Context, t *smtp.Transaction, data []byte) (smtp.Reply, error) {
	r.mu.Lock()
	r.got = append(r.got, received{t.Envelope, bytes.Clone(data)})
	r.mu.Unlock()
	r.come <- struct{}{}
	return smtp.Reply{}, nil
}

// next waits for the next message.
func (r *receiver) next(t *testing.T) received {
	t.Helper()
	select {
	case <-r.come:
	case <-time.After(time.Minute):
		t.Fatal("no message arrived")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[len(r.got)-1]
}

const zone = `
$ORIGIN .
@ 300 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 60
@ 300 IN NS ns.test.
$ORIGIN customer.test.
@ 300 IN MX 10 mx.receiver.test.
@ 300 IN TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc 300 IN TXT "v=DMARC1; p=reject"
bounce 300 IN MX 10 gate.receiver.test.
bounce 300 IN TXT "v=spf1 ip4:127.0.0.1 -all"
$ORIGIN receiver.test.
@ 300 IN MX 10 mx
mx 300 IN A 127.0.0.1
strict 300 IN MX 10 mx
gate 300 IN A 127.0.0.1
$ORIGIN 127.in-addr.arpa.
1.0.0 300 IN PTR gate.receiver.test.
$ORIGIN dbl.spamhaus.org.
listed.test 300 IN A 127.0.1.2
listed.test 300 IN TXT "https://check.spamhaus.org/"
`

// gateway starts a whole gateway whose mail goes to a receiver on loopback.
func gateway(t *testing.T, extra string) (*app.App, *receiver, *dnstest.Server, func()) {
	t.Helper()
	return gatewayIn(t, t.TempDir(), extra)
}

// gatewayIn is gateway with its data and configuration in a known folder.
func gatewayIn(t *testing.T, dir, extra string) (*app.App, *receiver, *dnstest.Server, func()) {
	t.Helper()
	dns := dnstest.Start(t, zone)
	r := &receiver{come: make(chan struct{}, 100)}
	server, err := smtp.NewServer(smtp.ServerOptions{Hostname: "mx.receiver.test", Handler: r})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { _ = server.Serve(ctx, l) }()
	file := filepath.Join(dir, "postern.yaml")
	text := fmt.Sprintf(`
hostname: gate.receiver.test
data_dir: %s
dns: {servers: ["%s"]}
filter: {dnsbl: {zones: {zen.spamhaus.org: false, dbl.spamhaus.org: false, multi.surbl.org: false, multi.uribl.com: false, bl.spamcop.net: false, psbl.surriel.com: false, bl.mailspike.net: false, list.dnswl.org: false}}}
delivery:
  port: %d
  private_destinations: [127.0.0.0/8]
  pools: {default: [{ip: 127.0.0.1, helo: gate.receiver.test}]}
%s`, dir, dns.Addr(), l.Addr().(*net.TCPAddr).Port, extra)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The kernel chooses the ports: tests run beside each other. Room on the disk is another test's matter.
	load := func() (*config.Config, error) {
		c, err := config.Load(file)
		if err != nil {
			return nil, err
		}
		any := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		c.Listen.Relay.Address, c.Listen.Submission.Address, c.Listen.Submissions.Address, c.Listen.Web, c.Listen.Metrics = any, any, any, any, any
		if len(c.Listen.Bounces) > 0 {
			c.Listen.Bounces = any
		}
		if c.Storage.Reserve == 0 {
			c.Storage.Reserve = 16 << 20
		}
		return c, nil
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(ctx, app.Options{Config: c, Load: load,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	var once sync.Once
	end := func() {
		once.Do(func() {
			stop()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the gateway did not stop")
			}
		})
	}
	t.Cleanup(end)
	return a, r, dns, end
}

const customer = `
customers:
  - {id: shop, name: The Shop, language: en, contact: owner@customer.test, networks: [127.0.0.1/32], domains: [customer.test], self_release: true}
`

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// submit hands a message to a door and returns what was said.
func submit(t *testing.T, at, from, to, message string) smtp.Result {
	t.Helper()
	c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(at), smtp.ClientOptions{Hostname: "web1.customer.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env := mail.Envelope{ReversePath: address(t, from), Recipients: []mail.Recipient{{Address: address(t, to)}}}
	res, err := c.Send(t.Context(), env, []byte(strings.ReplaceAll(message, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func letter(subject string) string {
	return "From: The Shop <news@customer.test>\nTo: someone@receiver.test\nSubject: " + subject + "\nDate: " + time.Now().Format(time.RFC1123Z) +
		"\nMessage-ID: <1@customer.test>\nBcc: secret@customer.test\n\nHello,\nhere is your order.\n"
}

// TestDelivers: a good message comes in, is tested, stored, delivered, and its life can be read.
func TestDelivers(t *testing.T) {
	t.Parallel()
	a, r, _, _ := gateway(t, customer)
	res := submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", letter("Your order"))
	if res.Data.Code != 250 {
		t.Fatalf("not accepted: %+v", res)
	}
	got := r.next(t)
	if !bytes.HasPrefix(got.data, []byte("Received: from web1.customer.test")) || bytes.Contains(got.data, []byte("secret@")) || bytes.Contains(got.data, []byte("Bcc")) {
		t.Errorf("trace field or blind copies are wrong:\n%s", got.data)
	}
	id := mail.QueueID(strings.TrimPrefix(strings.Fields(strings.Join(res.Data.Lines, " "))[3], ""))
	waitFor(t, "the fact of delivery", func() bool {
		facts, err := a.Journal().Trace(t.Context(), id)
		return err == nil && len(facts) == 2 && facts[0].Kind == journal.Accepted && facts[1].Kind == journal.Delivered
	})
	waitFor(t, "an empty spool", func() bool {
		st, err := a.Spool().Stats(t.Context())
		return err == nil && st.Queued == 0 && st.Held == 0
	})
}

// waitFor polls a condition that other goroutines bring about.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never came: %s", what)
}

// TestNoRelay: who is no customer gets nowhere, whatever the door.
func TestNoRelay(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, "customers: [{id: far, networks: [192.0.2.0/24], domains: [customer.test], contact: o@customer.test}]\n")
	if _, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(a.Addresses("relay")), smtp.ClientOptions{Hostname: "x.test"}); err == nil || !strings.Contains(err.Error(), "Relaying denied") {
		t.Errorf("a stranger at the relay door was not refused: %v", err)
	}
	c, err := smtp.Dial(t.Context(), netip.MustParseAddrPort(a.Addresses("submission")), smtp.ClientOptions{Hostname: "x.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Send(t.Context(), mail.Envelope{ReversePath: address(t, "news@customer.test"), Recipients: []mail.Recipient{{Address: address(t, "a@receiver.test")}}}, []byte("Subject: x\r\n\r\nx\r\n"))
	if err == nil && res.Mail.Code != 530 {
		t.Errorf("submission without login: %+v", res)
	}
}

// TestIdentity: a customer speaks only in the name of his own domains.
func TestIdentity(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, customer)
	if res := submit(t, a.Addresses("relay"), "ceo@receiver.test", "someone@receiver.test", letter("x")); res.Mail.Code != 550 {
		t.Errorf("foreign reverse path: %+v", res.Mail)
	}
	foreign := strings.Replace(letter("x"), "news@customer.test", "ceo@receiver.test", 1)
	if res := submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", foreign); res.Data.Code != 550 || !strings.Contains(strings.Join(res.Data.Lines, " "), "receiver.test is not a domain of customer shop") {
		t.Errorf("foreign From: %+v", res.Data)
	}
}

// TestHealth: the pages for machines answer.
func TestHealth(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, customer)
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": "postern_queue_messages{state=\"queued\"} 0"} {
		waitFor(t, path, func() bool {
			resp, err := http.Get("http://" + a.Addresses("metrics") + path)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			var b bytes.Buffer
			_, _ = b.ReadFrom(resp.Body)
			return resp.StatusCode == 200 && strings.Contains(b.String(), want)
		})
	}
}

// TestReserve: a disk with less room than storage.reserve takes no mail, which the client and the health page hear.
func TestReserve(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, "storage: {reserve: 1TiB}\n"+customer)
	if res := submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", letter("Hello")); res.Data.Code != 452 {
		t.Errorf("taken without room: %+v", res)
	}
	waitFor(t, "/readyz says 503", func() bool {
		resp, err := http.Get("http://" + a.Addresses("metrics") + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
}

// TestBounce: an unknown user is given up at once, with a notification to the sender in his language.
func TestBounce(t *testing.T) {
	t.Parallel()
	a, r, _, _ := gateway(t, customer)
	if res := submit(t, a.Addresses("relay"), "news@customer.test", "unknown@receiver.test", letter("Your order")); res.Data.Code != 250 {
		t.Fatalf("not accepted: %+v", res)
	}
	got := r.next(t) // customer.test's MX is the same receiver
	if !got.env.ReversePath.IsNull() || got.env.Recipients[0].Address.String() != "news@customer.test" {
		t.Errorf("envelope of the notification: %+v", got.env)
	}
	for _, want := range []string{"report-type=delivery-status", "Final-Recipient: rfc822; unknown@receiver.test", "Action: failed", "Status: 5.1.1", "No such user here"} {
		if !bytes.Contains(got.data, []byte(want)) {
			t.Errorf("the notification lacks %q:\n%s", want, got.data)
		}
	}
}

// TestReload: customers change while mail flows; a faulty configuration changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	a, _, _, _ := gateway(t, customer)
	if err := a.Reload(t.Context()); err != nil {
		t.Errorf("same configuration: %v", err)
	}
	if _, ok := a.Accounts().Customer("shop"); !ok {
		t.Error("the customer is gone after a reload")
	}
}

// TestTraceNamesClient: the trace field shows the client's confirmed name as soon as DNS has told it.
func TestTraceNamesClient(t *testing.T) {
	t.Parallel()
	a, r, _, _ := gateway(t, customer)
	waitFor(t, "the client's name in the trace field", func() bool {
		if res := submit(t, a.Addresses("relay"), "news@customer.test", "someone@receiver.test", letter("Your order")); res.Data.Code != 250 {
			t.Fatalf("not accepted: %+v", res)
		}
		return bytes.HasPrefix(r.next(t).data, []byte("Received: from web1.customer.test (gate.receiver.test [127.0.0.1])"))
	})
}
