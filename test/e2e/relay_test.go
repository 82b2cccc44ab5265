package e2e_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/config"
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

	"postern/internal/dns/dnstest"
)

// TestOpenRelay: listener × networks × domains × any_from × mode × suspended × client × door: who is no customer gets nowhere, and a
// configuration that would let everybody in does not load (T-B2).
func TestOpenRelay(t *testing.T) {
	t.Parallel()
	h := newHall(t)
	networks := []string{
		"", "192.0.2.0/24", "10.0.0.0/8", "192.168.0.0/16", "127.0.0.1/32", "127.0.0.0/8", "2001:db8::/32", "192.0.2.0/24, 2001:db8::/32", "::1/128", "fe80::/10", "203.0.113.7/32",
		"0.0.0.0/0", "::/0", "0.0.0.0/1, 128.0.0.0/1", "::/1", "2000::/3", "::ffff:0:0/96", "64.0.0.0/2", "64:ff9b::/96", "224.0.0.0/4",
	}
	wide := map[string]bool{"0.0.0.0/0": true, "::/0": true, "0.0.0.0/1, 128.0.0.0/1": true, "::/1": true, "2000::/3": true, "64.0.0.0/2": true}
	clients := []string{"203.0.113.9", "198.51.100.1", "127.0.0.1", "10.1.2.3", "192.168.7.7", "172.17.0.1", "192.0.2.50", "2001:db8::7", "2606:4700::1", "::1", "fe80::1", "fd00::1",
		"64:ff9b::c000:232", "::ffff:203.0.113.9", "::ffff:192.0.2.50", "203.0.113.7", "100.64.0.1", "169.254.1.1", "0.0.0.0", "255.255.255.255"}
	configs, refusedToLoad, asked, relays, let := 0, 0, 0, 0, 0
	file := filepath.Join(t.TempDir(), "postern.yaml")
	for _, nets := range networks {
		for _, domains := range []string{"customer.test", ""} {
			for _, anyFrom := range []bool{false, true} {
				for _, mode := range []string{"hold", "reject"} {
					for variant := range 18 {
						configs++
						listen := []string{"127.0.0.1:25", "0.0.0.0:25", "[::]:25"}[variant%3]
						submission := []string{"[]", "\"127.0.0.1:587\"", "\"[::1]:587\""}[variant/3%3]
						second := []string{"", ", {id: second, contact: o@second.test, domains: [second.test]}"}[variant/9]
						text := fmt.Sprintf("hostname: gate.test\nlisten: {relay: {address: %q}, submission: {address: %s}}\n"+
							"customers: [{id: shop, contact: o@customer.test, networks: [%s], domains: [%s], any_from: %v, mode: %s}%s]\n",
							listen, submission, quoted(nets), domains, anyFrom, mode, second)
						if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
							t.Fatal(err)
						}
						c, err := config.Load(file)
						if err != nil {
							refusedToLoad++
							continue
						}
						if wide[nets] {
							t.Errorf("loads: %s", text)
						}
						customers, source := c.Accounts()
						if err := h.accounts.SyncConfig(t.Context(), customers, source); err != nil {
							refusedToLoad++
							continue
						}
						for _, suspended := range []bool{false, true} {
							if err := h.accounts.SetSuspended(t.Context(), "shop", suspended); err != nil {
								t.Fatal(err)
							}
							for _, client := range clients {
								ip := netip.MustParseAddr(client).Unmap()
								known := false
								for _, n := range customers[0].Networks {
									known = known || n.Contains(ip)
								}
								for _, door := range []intake.Door{intake.Relay, intake.Submission} {
									asked++
									taken := h.takes(t, door, ip)
									may := known && !suspended && door == intake.Relay && (anyFrom || domains != "")
									if taken {
										let++
									}
									if taken && !may {
										relays++
										t.Errorf("RELAY: %s at the %s door, suspended %v: %s", client, door, suspended, text)
									}
									if !taken && may {
										t.Errorf("a customer is refused: %s at the %s door: %s", client, door, text)
									}
								}
							}
						}
					}
				}
			}
		}
	}
	if configs < 2000 {
		t.Errorf("only %d configurations", configs)
	}
	t.Logf("%d configurations (%d refuse to load), %d questions, %d customers let in, %d relays", configs, refusedToLoad, asked, let, relays)
}

func quoted(nets string) string {
	if nets == "" {
		return ""
	}
	return `"` + strings.ReplaceAll(nets, ", ", `", "`) + `"`
}

// hall is an intake whose customers change.
type hall struct {
	*intake.Intake
	accounts *account.Ledger
}

func newHall(t *testing.T) *hall {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	main, queue := storetest.SQLite(t, store.MainSchema()), storetest.SQLite(t, store.SpoolSchema())
	h := &hall{}
	var err error
	h.accounts, err = account.New(account.Options{DB: main})
	must(err)
	s, err := spool.Open(spool.Options{DB: queue, Node: "gate.test", Reserve: -1})
	must(err)
	j, err := journal.New(journal.Options{DB: main})
	must(err)
	catalog, err := locale.New()
	must(err)
	links, err := notice.NewLinks("https://gate.test", make([]byte, 32), 0)
	must(err)
	n, err := notice.New(notice.Options{Accounts: h.accounts, Spool: s, Catalog: catalog, Links: links, Hostname: "gate.test"})
	must(err)
	f, err := filter.New(filter.Options{Resolver: dnstest.Start(t, "$ORIGIN .\n@ 300 IN SOA ns. h. 1 1 1 1 1\n").Resolver(t), Accounts: h.accounts, Lists: []dnsbl.List{}, Disabled: true})
	must(err)
	h.Intake, err = intake.New(intake.Options{Hostname: "gate.test", Accounts: h.accounts, Filter: f, Spool: s, Journal: j, Notices: n, Links: links,
		Explain: func(string, filter.Hit) filter.Explanation { return filter.Explanation{} }})
	must(err)
	return h
}

// takes reports whether a client without a login gets as far as a recipient, with any of several senders.
func (h *hall) takes(t *testing.T, door intake.Door, ip netip.Addr) bool {
	s, err := h.Handler(door).NewSession(t.Context(), &smtp.Conn{ClientIP: ip, Hello: "x.test", ESMTP: true})
	if err != nil {
		return false
	}
	defer s.Close()
	taken := false
	for _, from := range []mail.Address{{Local: "a", Domain: "customer.test"}, {Local: "a", Domain: "elsewhere.test"}} {
		tr := &smtp.Transaction{Envelope: mail.Envelope{ReversePath: from}}
		if s.Mail(t.Context(), tr) == nil && s.Rcpt(t.Context(), tr, mail.Recipient{Address: mail.Address{Local: "victim", Domain: "elsewhere.test"}}) == nil {
			taken = true
		}
	}
	return taken
}

// TestOpenRelayRefusesToStart: the process itself does not start with a network that is everybody, and a stranger at a running one is
// shown the door.
func TestOpenRelayRefusesToStart(t *testing.T) {
	t.Parallel()
	for _, nets := range []string{`"0.0.0.0/0"`, `"::/0"`, `"0.0.0.0/1", "128.0.0.0/1"`} {
		t.Run(nets, func(t *testing.T) {
			t.Parallel()
			g := setup(t)
			g.write("conf.d/90.yaml", "customers: [{id: shop, contact: o@customer.test, networks: ["+nets+"], domains: [customer.test]}]\n")
			out, err := g.command("serve").CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("networks")) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for name, customers := range map[string]string{
		"other network": `customers: [{id: shop, contact: o@customer.test, networks: [192.0.2.0/24], domains: [customer.test]}]`,
		"any_from":      `customers: [{id: hoster, contact: o@customer.test, networks: [192.0.2.0/24], any_from: true}]`,
		"no customer":   `customers: []`,
		"no network":    `customers: [{id: shop, contact: o@customer.test, domains: [customer.test]}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := setup(t)
			g.write("conf.d/90.yaml", customers+"\n")
			g.start()
			c, err := dial(g.relay)
			if err != nil {
				t.Fatal(err)
			}
			if code, text, err := c.reply(); err != nil || code != "554" || !strings.Contains(text, "Relaying denied") {
				t.Errorf("a stranger at the relay door: %q %v", text, err)
			}
			if code, text, err := hello(t, g.submission).send("news@customer.test", "someone@receiver.test", letter("x")); err != nil || code[0] != '5' {
				t.Errorf("submission without login: %q %v", text, err)
			}
			if code, text, err := tlsHello(t, g.submissions).send("news@customer.test", "someone@receiver.test", letter("x")); err != nil || code[0] != '5' {
				t.Errorf("submission with TLS and without login: %q %v", text, err)
			}
			if n := len(g.mx.all()); n != 0 {
				t.Errorf("%d messages left", n)
			}
		})
	}
}

// TestReturnAddressesRelayNothing: with return addresses on, strangers may talk to the relay's port, and to one for bounces, and nothing that they say
// makes mail leave: not for anybody elsewhere, not for the customer, not for names at the domain of the return addresses.
func TestReturnAddressesRelayNothing(t *testing.T) {
	t.Parallel()
	g := setup(t)
	bounces := freePorts(t, 1)[0]
	g.write("conf.d/90.yaml", "listen: {bounces: \""+bounces+"\"}\ndelivery: {return_path: {domain: bounce.receiver.test}}\n"+
		"customers: [{id: shop, contact: o@customer.test, networks: [192.0.2.0/24], domains: [customer.test]}]\n")
	g.start()
	forged := "b-" + strings.Repeat("a", 50) + "@bounce.receiver.test"
	for _, door := range []string{g.relay, bounces} {
		for _, from := range []string{"", "news@customer.test", "postmaster@gate.receiver.test", "b-x@bounce.receiver.test", "x@elsewhere.test"} {
			for _, to := range []string{"someone@receiver.test", "someone@elsewhere.test", "news@customer.test", "someone@bounce.receiver.test", forged, "someone%receiver.test@bounce.receiver.test",
				"\"someone@receiver.test\"@bounce.receiver.test", "postmaster@gate.receiver.test", "postmaster@receiver.test"} {
				if code, text, err := hello(t, door).send(from, to, letter("x")); err != nil || code[0] != '5' && code != "421" {
					t.Errorf("%s: from %q to %q: %q %v", door, from, to, text, err)
				}
			}
		}
	}
	if n := len(g.mx.all()); n != 0 {
		t.Errorf("%d messages left", n)
	}
}
