package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
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
	"postern/internal/mail"
	"postern/internal/smtp"
)

// exchanger is every receiver of a whole gateway: it keeps what it takes, and answers as Free does when it blocks an address.
type exchanger struct {
	mu    sync.Mutex
	got   [][]byte
	paths []mail.Address // reverse paths of got
}

func (x *exchanger) NewSession(context.Context, *smtp.Conn) (smtp.Session, error) { return x, nil }
func (x *exchanger) Mail(context.Context, *smtp.Transaction) error                { return nil }
func (x *exchanger) Close()                                                       {}

func (x *exchanger) Rcpt(_ context.Context, _ *smtp.Transaction, to mail.Recipient) error {
	switch {
	case to.Address.Domain == "free.fr":
		return &smtp.Error{Code: 550, Text: "Too many spams from your IP (127.0.0.1), please visit http://postmaster.free.fr/"}
	case to.Address.Local == "nobody":
		return &smtp.Error{Code: 550, Enhanced: smtp.Enhanced{5, 1, 1}, Text: "No such user here"}
	}
	return nil
}

func (x *exchanger) Data(_ context.Context, t *smtp.Transaction, data []byte) (smtp.Reply, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.got, x.paths = append(x.got, bytes.Clone(data)), append(x.paths, t.Envelope.ReversePath)
	return smtp.Reply{}, nil
}

// find returns the first message that holds a text, and its reverse path.
func (x *exchanger) find(text string) ([]byte, mail.Address) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, m := range x.got {
		if bytes.Contains(m, []byte(text)) {
			return m, x.paths[i]
		}
	}
	return nil, mail.Address{}
}

// wait waits for such a message.
func (x *exchanger) wait(t *testing.T, text string) ([]byte, mail.Address) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m, path := x.find(text); m != nil {
			return m, path
		}
	}
	t.Fatalf("no message with %q came", text)
	return nil, mail.Address{}
}

// whole is a gateway that runs and delivers, and a shell beside it.
type whole struct {
	*app.App
	shell
	t  *testing.T
	mx *exchanger
}

func startWhole(t *testing.T, extra string) *whole {
	t.Helper()
	names := dnstest.Start(t, `
shop.example. 300 IN MX 10 mx.shop.example.
shop.example. 300 IN TXT "v=spf1 ip4:127.0.0.1 -all"
bounce.shop.example. 300 IN MX 10 mx.shop.example.
bounce.shop.example. 300 IN TXT "v=spf1 ip4:127.0.0.1 -all"
mx.shop.example. 300 IN A 127.0.0.1
free.fr. 300 IN MX 10 mx1.free.fr.
mx1.free.fr. 300 IN A 127.0.0.1
orange.fr. 300 IN MX 10 smtp-in.orange.fr.
smtp-in.orange.fr. 300 IN A 127.0.0.1
there.example. 300 IN MX 10 mx.there.example.
mx.there.example. 300 IN A 127.0.0.1
1.0.0.127.in-addr.arpa. 300 IN PTR mx.example.org.
`)
	x := &exchanger{}
	server, err := smtp.NewServer(smtp.ServerOptions{Hostname: "mx.there.example", Handler: x})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "p") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, err := config.Source{}.Parse(config.File{Name: "test.yaml", Data: fmt.Appendf(nil, `
hostname: mx.example.org
data_dir: %s
storage: {reserve: 16MiB}
listen: {relay: {address: ["127.0.0.1:2525"]}, submission: {address: []}, submissions: {address: []}, web: [], metrics: [], bounces: ["127.0.0.1:2526"]}
dns: {servers: ["%s"], timeout: 1s, attempts: 1}
filter: {dnsbl: {zones: {zen.spamhaus.org: false, dbl.spamhaus.org: false, multi.surbl.org: false, multi.uribl.com: false, bl.spamcop.net: false, psbl.surriel.com: false, bl.mailspike.net: false, list.dnswl.org: false}}}
delivery:
  port: %d
  private_destinations: [127.0.0.0/8]
  pools: {default: [{ip: 127.0.0.1, helo: mx.example.org}]}
  delay_notice: 1s
customers:
  - {id: shop, name: Boutique, language: fr, contact: owner@shop.example, networks: [127.0.0.1/32], domains: [shop.example], threshold: 15, return_path: bounce.shop.example}
%s`, filepath.Join(dir, "d"), names.Addr(), l.Addr().(*net.TCPAddr).Port, extra)})
	if err != nil {
		t.Fatal(err)
	}
	any := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")} // the kernel chooses the ports
	c.Listen.Relay.Address, c.Listen.Bounces = any, any
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	w := &whole{t: t, mx: x}
	if w.App, err = app.New(ctx, app.Options{Config: c, Version: "1.0-test", Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-served
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	w.env = map[string]string{"POSTERN_SOCKET": filepath.Join(dir, "d", "admin.sock"), "USER": "alice"}
	return w
}

// send hands a message to the gateway.
func (w *whole) send(to, subject string) mail.QueueID {
	w.t.Helper()
	res := w.bring("relay", "anna@shop.example", to, "From: Anna <anna@shop.example>\nTo: "+to+"\nSubject: "+subject+"\nDate: "+time.Now().Format(time.RFC1123Z)+
		"\nMessage-ID: <"+strings.ReplaceAll(subject, " ", ".")+"@shop.example>\n\nHello,\nhere it is.\n")
	if res.Data.Code != 250 {
		w.t.Fatalf("not accepted: %+v", res)
	}
	return mail.QueueID(strings.TrimPrefix(strings.Join(res.Data.Lines, ""), "Ok: queued as "))
}

// bring hands a message to a door.
func (w *whole) bring(door, from, to, text string) smtp.Result {
	w.t.Helper()
	c, err := smtp.Dial(w.t.Context(), netip.MustParseAddrPort(w.Addresses(door)), smtp.ClientOptions{Hostname: "web1.shop.example"})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	env := mail.Envelope{Recipients: []mail.Recipient{{Address: address(w.t, to)}}}
	if from != "" {
		env.ReversePath = address(w.t, from)
	}
	res, err := c.Send(w.t.Context(), env, []byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// says runs a command until it says all of that.
func (w *whole) says(args []string, want ...string) string {
	w.t.Helper()
	var out, errs, missing string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, out, errs = w.run(w.t.Context(), args...)
		missing = ""
		for _, text := range want {
			if !strings.Contains(flat(out), text) {
				missing = text
			}
		}
		if missing == "" {
			return out
		}
	}
	w.t.Fatalf("postern %s never says %q:\n%s%s", strings.Join(args, " "), missing, out, errs)
	return ""
}

// flat is a text without its line ends.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestExplainPausedLanes: a lane that a person paused, and one that an answer stopped: the explanation, the list and the notice to the sender tell the
// lane, the reason and the time, in words and in both languages.
func TestExplainPausedLanes(t *testing.T) {
	t.Parallel()
	w := startWhole(t, "")
	if code, out, errs := w.run(t.Context(), "lane", "pause", "orange", "--for", "2h", "--reason", "their postmaster asked"); code != 0 || !strings.Contains(out, "orange 127.0.0.1 is paused until") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"laposte --address 127.0.0.1", 0, "laposte 127.0.0.1 is paused until"}, // it has no mail now
		{"ornage", 2, "orange"},
		{"orange --address 192.0.2.77", 2, "127.0.0.1"},
		{"", 2, "Name a provider, --address, or both"},
		{"orange --for 0s", 2, "--for is between"},
	} {
		if code, out, errs := w.run(t.Context(), append([]string{"lane", "pause"}, strings.Fields(tc.args)...)...); code != tc.code || !strings.Contains(out+errs, tc.want) {
			t.Errorf("lane pause %s: exit %d\n%s%s", tc.args, code, out, errs)
		}
	}
	paused := string(w.send("bob@orange.fr", "Invoice one"))
	w.says([]string{"queue", "explain", paused}, "slowed, next event", "bob@orange.fr: waits for its turn in lane orange 127.0.0.1, until", "or until the lane is free. The operator of this gateway paused mail to Orange, Wanadoo: their postmaster asked")
	w.says([]string{"queue", "explain", "--lang", "fr", paused}, "attend son tour dans la voie orange 127.0.0.1, jusqu'au", "ou jusqu'à ce que la voie se libère. L'exploitant de cette passerelle a suspendu l'envoi vers Orange, Wanadoo : their postmaster asked", "Fin prévue des essais")

	first := string(w.send("carla@free.fr", "Invoice two"))
	w.says([]string{"queue", "explain", first}, "deferred, next event", "carla@free.fr: attempt 1 did not succeed, the next one is at", "The last answer: mx1.free.fr[127.0.0.1]: 550 5.0.0 Too many spams from your IP")
	second := string(w.send("dora@free.fr", "Invoice three"))
	const pause = "Free refuses mail from this address for now; sending stands still, so as not to make it worse, and goes on by itself."
	out := w.says([]string{"queue", "explain", second}, "dora@free.fr: waits for its turn in lane free 127.0.0.1, until", pause+" The answer that caused it: ", "550 Too many spams from your IP")
	if strings.Contains(out, "last answer") || strings.Contains(out, "451 4.4.5") {
		t.Errorf("our own words stand there as an answer:\n%s", out)
	}
	french := w.says([]string{"queue", "explain", "--lang", "fr", second}, "Free refuse pour l'instant le courrier de cette adresse", "La réponse en cause : ", "Too many spams from your IP")
	list := w.says([]string{"queue", "list"}, "lane orange 127.0.0.1: The operator of this gateway paused mail to Orange, Wanadoo: their postmaster asked", "lane free 127.0.0.1: "+pause)
	if t.Logf("\n%s\n%s\n%s", out, french, list); strings.Contains(out+french+list, "shaping.") || strings.Contains(out+french+list, "explain.") {
		t.Errorf("keys instead of words:\n%s%s%s", out, french, list)
	}

	// The customer reads French: so does the notice of the delay.
	for _, tc := range []struct{ id, says string }{{paused, "a suspendu l'envoi vers Orange, Wanadoo : their postmaster asked"}, {second, "Free refuse pour l'instant le courrier de cette adresse"}} {
		var notice []byte // comes with the first look after delay_notice
		for end := time.Now().Add(20 * time.Second); notice == nil && time.Now().Before(end); {
			if code, _, errs := w.run(t.Context(), "queue", "retry", tc.id); code != 0 {
				t.Fatal(errs)
			}
			notice, _ = w.mx.find("In-Reply-To: <" + map[string]string{paused: "Invoice.one", second: "Invoice.three"}[tc.id] + "@shop.example>")
		}
		text := ""
		for _, p := range mail.Parse(notice, mail.DefaultLimits()).Parts() {
			if p.MediaType == "text/plain" && text == "" { // the last one is the original
				text = flat(p.Text())
			}
		}
		if !strings.Contains(strings.ReplaceAll(text, "\u00a0", " "), tc.says) || strings.Contains(text, "4.4.5") || strings.Contains(text, "shaping") {
			t.Errorf("%q is missing in\n%s", tc.says, text)
		}
	}
}
