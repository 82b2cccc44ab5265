package checkup_test

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/checkup"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
)

const serverRoot = reverseRoot + "25 300 IN PTR mx.example.org.\n$ORIGIN example.net.\nme 300 IN MX 10 mx.me\nmx.me 300 IN A 198.51.100.77\nown 300 IN MX 10 mx.example.org.\n"

func TestServer(t *testing.T) {
	t.Parallel()
	fine := &tls.Config{Certificates: []tls.Certificate{certificate{name: "mx.example.org"}.make(t)}, MinVersion: tls.VersionTLS12}
	with := func(c certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{c.make(t)}, MinVersion: tls.VersionTLS12}
	}
	versions := func(low, high uint16) *tls.Config {
		return &tls.Config{Certificates: fine.Certificates, MinVersion: low, MaxVersion: high}
	}
	const others = "server.closed=fine"
	for _, tc := range []struct {
		name string
		port int
		s    server
		mine bool
		want string
	}{
		{"nothing listens", 0, server{}, false, "server.none=fine"},
		{"fine", 25, server{tls: fine}, false, others + " server.fine=fine tls.agreed=fine tls.fine=fine"},
		{"fine, and ours", 25, server{tls: fine}, true, others + " server.fine=fine tls.fine=fine tls.versions=fine"},
		{"submission under TLS", 465, server{tls: fine, implicit: true}, true, others + " server.fine=fine tls.fine=fine tls.versions=fine"},
		{"submission", 587, server{tls: fine}, true, others + " server.fine=fine tls.fine=fine tls.versions=fine"},
		{"no encryption between servers", 25, server{}, false, others + " server.fine=fine tls.none-relay=advice"},
		{"no encryption at submission", 587, server{}, false, others + " server.fine=fine tls.none=problem"},
		{"passwords in the clear", 587, server{tls: fine, caps: []string{"AUTH PLAIN LOGIN"}}, false,
			"server.auth-plain=problem " + others + " server.fine=fine tls.agreed=fine tls.fine=fine"},
		{"expired, between servers", 25, server{tls: with(certificate{name: "mx.example.org", from: -90, until: -1})}, false, others + " server.fine=fine tls.agreed=fine tls.expired=advice"},
		{"expired", 465, server{tls: with(certificate{name: "mx.example.org", from: -90, until: -1}), implicit: true}, false, others + " server.fine=fine tls.agreed=fine tls.expired=problem"},
		{"not valid yet", 587, server{tls: with(certificate{name: "mx.example.org", from: 1, until: 90})}, false, others + " server.fine=fine tls.agreed=fine tls.early=problem"},
		{"ends soon", 587, server{tls: with(certificate{name: "mx.example.org", from: -80, until: 5})}, false, others + " server.fine=fine tls.agreed=fine tls.soon=advice"},
		{"for another name", 587, server{tls: with(certificate{name: "www.example.com"})}, false, others + " server.fine=fine tls.agreed=fine tls.mismatch=problem"},
		{"of nobody known", 587, server{tls: with(certificate{name: "mx.example.org", rival: true})}, false, others + " server.fine=fine tls.agreed=fine tls.untrusted=problem"},
		{"short key", 587, server{tls: with(certificate{name: "mx.example.org", key: shortKey()})}, false, others + " server.fine=fine tls.agreed=fine tls.short-key=problem"},
		{"old versions too", 25, server{tls: versions(tls.VersionTLS10, 0)}, true, others + " server.fine=fine tls.fine=fine tls.old=advice"},
		{"old versions at another's", 25, server{tls: versions(tls.VersionTLS10, 0)}, false, others + " server.fine=fine tls.agreed=fine tls.fine=fine"},
		{"old versions only", 465, server{tls: versions(tls.VersionTLS10, tls.VersionTLS11), implicit: true}, true, others + " server.fine=fine tls.fine=fine tls.only-old=problem"},
		{"1.2 only", 25, server{tls: versions(tls.VersionTLS12, tls.VersionTLS12)}, true, others + " server.fine=fine tls.fine=fine tls.versions=fine"},
		{"no handshake", 25, server{tls: &tls.Config{MinVersion: tls.VersionTLS12}}, false, others + " server.fine=fine tls.handshake=problem"},
		{"SMTP in the clear where TLS begins", 465, server{}, false, others + " tls.handshake=problem"},
		{"greets with another's name", 25, server{greeting: "220 stray.example.org hi", tls: fine}, false, others + " server.other-name=advice tls.agreed=fine tls.fine=fine"},
		{"greets with another name that leads here", 25, server{greeting: "220 other.example.org hi", tls: fine}, false, others + " server.fine=fine tls.agreed=fine tls.fine=fine"},
		{"greets without a name", 25, server{greeting: "220 Welcome", tls: fine}, false, others + " server.no-name=advice tls.agreed=fine tls.fine=fine"},
		{"greets with localhost", 25, server{greeting: "220 localhost.localdomain ESMTP", tls: fine}, false, others + " server.no-name=advice tls.agreed=fine tls.fine=fine"},
		{"greets with nothing", 25, server{greeting: "220", tls: fine}, false, others + " server.no-name=advice tls.agreed=fine tls.fine=fine"},
		{"greets at length", 25, server{greeting: "220-mx.example.org\r\n220-no spam\r\n220 please", tls: fine}, false, others + " server.fine=fine tls.agreed=fine tls.fine=fine"},
		{"does not want us", 25, server{greeting: "554 5.7.1 you are on a list"}, false, others + " server.refuses=unknown"},
		{"busy", 25, server{greeting: "421 4.3.2 too busy"}, false, others + " server.refuses=unknown"},
		{"another protocol", 25, server{greeting: "+OK POP3 ready"}, false, others + " server.strange=problem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, serverRoot)
			at := fmt.Sprintf("192.0.2.25:%d", tc.port)
			if tc.port > 0 {
				n.serve(t, at, tc.s)
			}
			ask := checkup.Ask{Probe: true, NoLists: true}
			if tc.mine {
				ask.Mine.IPs = append(ask.Mine.IPs, prefix("192.0.2.25/32"))
			}
			r, err := n.checker(t, nil).Check(t.Context(), target(t, "192.0.2.25"), ask)
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			if got := strings.Join(sorted(r, checkup.Server, checkup.TLS), " "); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
			if len(n.data) > 0 {
				t.Errorf("said %q", n.data)
			}
			for addr, calls := range n.calls {
				if most := map[bool]int{false: 1, true: 4}[tc.mine && addr == at]; calls > most {
					t.Errorf("%s called %d times", addr, calls)
				}
			}
			if len(n.calls) != 3 {
				t.Errorf("called %v", n.calls)
			}
		})
	}
}

// TestDoorsStayShut: without leave nothing is connected to.
func TestDoorsStayShut(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, serverRoot)
	for name, x := range map[string]struct {
		ask    checkup.Ask
		change func(*checkup.CheckerOptions)
	}{
		"not asked": {checkup.Ask{NoLists: true}, nil},
		"no name":   {checkup.Ask{NoLists: true, Probe: true}, func(o *checkup.CheckerOptions) { o.Probes.Hostname = "" }},
	} {
		r, err := n.checker(t, x.change).Check(t.Context(), target(t, "192.0.2.25"), x.ask)
		if err != nil {
			t.Fatal(err)
		}
		readable(t, r)
		if got := sorted(r, checkup.Server, checkup.TLS); len(n.calls) > 0 || len(got) != 1 || got[0] != "server.unprobed=unknown" {
			t.Errorf("%s: %v, %v", name, got, n.calls)
		}
	}
}

// TestSilentPorts: what drops our packets is not known, and that is no fault.
func TestSilentPorts(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, serverRoot)
	n.mute["192.0.2.25:25"] = true
	r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Probes.Timeout = 50 * time.Millisecond }).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{Probe: true, NoLists: true})
	if err != nil {
		t.Fatal(err)
	}
	readable(t, r)
	if got := strings.Join(sorted(r, checkup.Server), " "); got != "server.closed=fine server.silent=unknown" {
		t.Error(got)
	}
	for _, f := range r.Of(checkup.Server) {
		if f.State == checkup.Unknown && !f.Optional {
			t.Errorf("%s is held against the address", f.Code)
		}
	}
}

// TestHostileServers: whatever a server does, a check-up ends, and finds nothing fine in it.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	junk := make([]byte, 4096)
	_, _ = rand.Read(junk)
	endless := func(piece string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, piece); err != nil {
					return
				}
			}
		}
	}
	wait := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	chain := certificate{name: "mx.example.org"}.make(t)
	for range 300 {
		chain.Certificate = append(chain.Certificate, chain.Certificate[1])
	}
	for name, x := range map[string]struct {
		port int
		s    server
	}{
		"endless greeting": {25, server{raw: endless("220-still here\r\n")}},
		"endless line":     {25, server{raw: endless("220")}},
		"NUL":              {25, server{raw: endless("\x00")}},
		"garbage":          {25, server{raw: func(c net.Conn) { _, _ = c.Write(junk) }}},
		"closes at once":   {25, server{raw: func(net.Conn) {}}},
		"says nothing":     {25, server{raw: wait}},
		"half a line":      {25, server{raw: func(c net.Conn) { _, _ = io.WriteString(c, "220 mx.exa"); wait(c) }}},
		"half closed":      {25, server{raw: func(c net.Conn) { _, _ = io.WriteString(c, "220 mx\r\n"); _ = c.(*net.TCPConn).CloseWrite(); wait(c) }}},
		"hangs after EHLO": {25, server{raw: func(c net.Conn) { _, _ = io.WriteString(c, "220 mx.example.org\r\n"); wait(c) }}},
		"endless EHLO":     {25, server{raw: func(c net.Conn) { _, _ = io.WriteString(c, "220 mx.example.org\r\n"); endless("250-X\r\n")(c) }}},
		"garbage for TLS":  {465, server{raw: func(c net.Conn) { _, _ = c.Write(junk) }}},
		"nothing for TLS":  {465, server{raw: wait}},
		"huge chain":       {465, server{tls: &tls.Config{Certificates: []tls.Certificate{chain}}, implicit: true}},
		"injects after its 220": {25, server{raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "220 mx.example.org\r\n250-mx\r\n250-STARTTLS\r\n250 ok\r\n220 go\r\n250 injected\r\n")
			wait(c)
		}}},
		"escapes": {25, server{greeting: "220 \x1b[31mmx.example.org\x07\x9b2J hello", caps: []string{"X-\x1b[2J", strings.Repeat("A", 1500)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, serverRoot)
			n.serve(t, fmt.Sprintf("192.0.2.25:%d", x.port), x.s)
			r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Probes.Timeout = 2 * time.Second }).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{Probe: true, NoLists: true,
				Mine: checkup.Mine{IPs: nil}})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			for _, f := range append(r.Of(checkup.Server), r.Of(checkup.TLS)...) {
				for _, q := range f.Evidence {
					for _, v := range append(q.Values, q.Why) {
						if len(v) > 700 || strings.ContainsAny(v, "\x1b\x07\x00\r\n") {
							t.Errorf("%s shows %.200q", f.Code, v)
						}
					}
				}
				for _, a := range f.Args {
					if text, ok := a.(string); ok && (len(text) > 700 || strings.ContainsAny(text, "\x1b\x07\x00")) {
						t.Errorf("%s says %.200q", f.Code, text)
					}
				}
			}
		})
	}
}

func TestDANE(t *testing.T) {
	t.Parallel()
	cert := certificate{name: "mx.example.org"}.make(t)
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	right := checkup.TLSAFor(cert.Leaf)
	wrong := "3 1 1 " + strings.Repeat("00", 32)
	for _, tc := range []struct {
		name, record string
		signed       bool
		want         string
	}{
		{"none", "", true, ""},
		{"fits", right, true, "dane.fine=fine"},
		{"one of two fits", right + "\n" + wrong, true, "dane.fine=fine"},
		{"fits, not signed", right, false, "dane.unsigned=advice"},
		{"does not fit", wrong, true, "dane.mismatch=problem"},
		{"does not fit, not signed", wrong, false, "dane.mismatch-unsigned=advice"},
		{"does not serve", "1 1 1 " + strings.Repeat("00", 32), true, "dane.unusable=problem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			zone := "$ORIGIN .\n"
			for line := range strings.SplitSeq(tc.record, "\n") {
				if line != "" {
					zone += "_25._tcp.mx.example.org. 300 IN TLSA " + line + "\n"
				}
			}
			n := newNetwork(t, serverRoot+zone)
			n.dns.SetSecure(tc.signed)
			n.serve(t, "192.0.2.25:25", server{tls: conf})
			r, err := n.checker(t, nil).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{Probe: true, NoLists: true})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			got := ""
			for _, s := range sorted(r, checkup.TLS) {
				if strings.HasPrefix(s, "dane.") {
					got += s
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			for _, f := range r.Of(checkup.TLS) {
				if strings.HasPrefix(f.Code, "dane.mismatch") && (len(f.Records) != 1 || f.Records[0].Value != right) {
					t.Errorf("to publish: %+v, want %s", f.Records, right)
				}
			}
		})
	}
}

// relayTo answers recipients: those of takes with 250, all others with 550.
func relayTo(takes func(from, to string) bool) func(from, to string) string {
	return func(from, to string) string {
		if takes(from, to) {
			return "250 ok"
		}
		return "550 5.7.1 relaying denied"
	}
}

func TestRelay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		to    string
		rcpt  func(from, to string) string
		fail  string // name at which DNS fails
		want  string
		forms []string // that the finding must name
	}{
		{"closed", "me@me.example.net", nil, "", "relay.closed=fine", nil},
		{"open to all", "me@me.example.net", relayTo(func(string, string) bool { return true }), "", "relay.open=problem", []string{"→ `<me@me.example.net>`"}},
		{"open for the null sender", "me@me.example.net", relayTo(func(from, to string) bool { return from == "" && to == "me@me.example.net" }), "", "relay.open=problem", []string{"`<>` → "}},
		{"open for a sender of its own", "me@me.example.net", relayTo(func(from, to string) bool {
			return strings.HasSuffix(from, "@mx.example.org") && to == "me@me.example.net"
		}), "",
			"relay.open=problem", []string{"`<postmaster@mx.example.org>` →"}},
		{"open by the percent hack", "me@me.example.net", relayTo(func(_, to string) bool { return to == "me%me.example.net@mx.example.org" }), "", "relay.open=problem", []string{"me%me.example.net@mx"}},
		{"open by a source route", "me@me.example.net", relayTo(func(_, to string) bool { return strings.HasPrefix(to, "@mx.example.org:") }), "", "relay.open=problem", []string{"<@mx.example.org:me@"}},
		{"open by quotes", "me@me.example.net", relayTo(func(_, to string) bool { return to == `"me@me.example.net"` }), "", "relay.open=problem", []string{`<"me@me.example.net">`}},
		{"open by a bang path", "me@me.example.net", relayTo(func(_, to string) bool { return to == "me.example.net!me" }), "", "relay.open=problem", []string{"me.example.net!me"}},
		{"open by a literal", "me@me.example.net", relayTo(func(_, to string) bool { return strings.HasSuffix(to, "@[192.0.2.25]") }), "", "relay.open=problem", []string{"@[192.0.2.25]"}},
		{"takes any mailbox of its own", "me@me.example.net", relayTo(func(_, to string) bool { return strings.HasSuffix(to, "@mx.example.org") }), "", "relay.doubtful=advice", []string{"%"}},
		{"greylists", "me@me.example.net", func(string, string) string { return "451 4.7.1 greylisted" }, "", "relay.unknown=unknown", nil},
		{"hangs up", "me@me.example.net", func(string, string) string { return "421 4.7.0 too many errors" }, "", "relay.unknown=unknown", nil},
		{"delivers there itself", "me@own.example.net", relayTo(func(string, string) bool { return true }), "", "relay.own=unknown", nil},
		{"DNS is silent", "me@me.example.net", nil, "me.example.net", "relay.unknown=unknown", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, serverRoot)
			if tc.fail != "" {
				n.dns.Fail(tc.fail, dnstest.ServFail)
			}
			n.serve(t, "192.0.2.25:25", server{greeting: "220 mx.example.org ESMTP", rcpt: tc.rcpt})
			ask := checkup.Ask{Probe: true, NoLists: true, Relay: &checkup.RelayTest{To: address(t, tc.to)}}
			ask.Mine.IPs = append(ask.Mine.IPs, prefix("192.0.2.0/24"))
			ask.Mine.Domains = append(ask.Mine.Domains, "example.net")
			r, err := n.checker(t, nil).Check(t.Context(), target(t, "192.0.2.25"), ask)
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			found := checkup.Finding{}
			for _, f := range r.Of(checkup.Server) {
				if strings.HasPrefix(f.Code, "relay.") {
					found = f
				}
			}
			if got := found.Code + "=" + string(found.State); got != tc.want {
				t.Errorf("got %s, want %s (%v)", got, tc.want, found.Args)
			}
			for _, form := range tc.forms {
				if !strings.Contains(fmt.Sprint(found.Args["Forms"]), form) {
					t.Errorf("%q is not among %v", form, found.Args["Forms"])
				}
			}
			if len(n.data) > 0 {
				t.Errorf("said %q", n.data)
			}
		})
	}
}

// TestRelayNobody: nothing listens, so nothing relays.
func TestRelayNobody(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, serverRoot)
	ask := checkup.Ask{Probe: true, NoLists: true, Relay: &checkup.RelayTest{To: address(t, "me@me.example.net")}, Mine: checkup.Mine{Domains: []mail.Domain{"me.example.net"}}}
	r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Egress = []checkup.EgressAddress{{IP: target(t, "192.0.2.25").IP}} }).Check(t.Context(), target(t, "192.0.2.25"), ask)
	if err != nil {
		t.Fatal(err)
	}
	readable(t, r)
	if got := strings.Join(sorted(r, checkup.Server), " "); got != "relay.none=fine server.none=fine" {
		t.Error(got)
	}
}

// TestRelayRefused: the test is made only against what is the operator's own.
func TestRelayRefused(t *testing.T) {
	t.Parallel()
	mine := checkup.Mine{Domains: []mail.Domain{"example.net"}}
	mine.IPs = append(mine.IPs, prefix("192.0.2.0/24"))
	n := newNetwork(t, serverRoot)
	for name, x := range map[string]struct {
		target string
		ask    checkup.Ask
		to     string
	}{
		"another's server":  {"198.51.100.1", checkup.Ask{Probe: true, Mine: mine}, "me@example.net"},
		"another's mailbox": {"192.0.2.25", checkup.Ask{Probe: true, Mine: mine}, "me@example.com"},
		"a look-alike":      {"192.0.2.25", checkup.Ask{Probe: true, Mine: mine}, "me@notexample.net"},
		"nothing is his":    {"192.0.2.25", checkup.Ask{Probe: true}, "me@example.net"},
		"a literal":         {"192.0.2.25", checkup.Ask{Probe: true, Mine: mine}, "me@[192.0.2.30]"},
		"a trick":           {"192.0.2.25", checkup.Ask{Probe: true, Mine: mine}, `"a@b"@example.net`},
		"a percent":         {"192.0.2.25", checkup.Ask{Probe: true, Mine: mine}, "a%b@example.net"},
		"no connections":    {"192.0.2.25", checkup.Ask{Mine: mine}, "me@example.net"},
		"a domain":          {"example.net", checkup.Ask{Probe: true, Mine: mine}, "me@example.net"},
		"an address":        {"me@example.net", checkup.Ask{Probe: true, Mine: mine}, "me@example.net"},
		"no mailbox":        {"192.0.2.25", checkup.Ask{Probe: true, Mine: mine}, ""},
	} {
		x.ask.Relay = &checkup.RelayTest{}
		if x.to != "" {
			x.ask.Relay.To = address(t, x.to)
		}
		if _, err := n.checker(t, nil).Check(t.Context(), target(t, x.target), x.ask); !errors.Is(err, checkup.ErrRelayTest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(n.calls) > 0 {
		t.Errorf("called %v", n.calls)
	}
}

// TestExchangers: the mail servers of a domain are looked at as those who deliver meet them.
func TestExchangers(t *testing.T) {
	t.Parallel()
	fine := &tls.Config{Certificates: []tls.Certificate{certificate{name: "mx.example.org"}.make(t)}, MinVersion: tls.VersionTLS12}
	for _, tc := range []struct {
		name  string
		probe bool
		s     *server
		want  string
		calls int
	}{
		{"not asked", false, &server{tls: fine}, "", 0},
		{"fine", true, &server{tls: fine}, "server.fine=fine tls.agreed=fine tls.fine=fine", 1},
		{"no encryption", true, &server{}, "server.fine=fine tls.none-relay=advice", 1},
		{"closed", true, nil, "server.mx-closed=problem", 1},
	} {
		if tc.want = "dane.none=advice server.mx-more=unknown server.mx-ports=fine " + tc.want; !tc.probe {
			tc.want = "dane.none=advice server.mx-unprobed=unknown"
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, serverRoot+"own.example.net. 300 IN MX 20 inner.example.net.\ninner.example.net. 300 IN A 10.0.0.1\n")
			if tc.s != nil {
				n.serve(t, "192.0.2.25:25", *tc.s)
			}
			r, err := n.checker(t, nil).Check(t.Context(), target(t, "own.example.net"), checkup.Ask{Probe: tc.probe, NoLists: true})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			want := strings.Fields(tc.want)
			slices.Sort(want)
			if got := sorted(r, checkup.Server, checkup.TLS); !slices.Equal(got, want) {
				t.Errorf("got %s\nwant %s", got, want)
			}
			if n.calls["192.0.2.25:25"] != tc.calls || n.calls["10.0.0.1:25"] > 0 || len(n.data) > 0 {
				t.Errorf("called %v, said %q", n.calls, n.data)
			}
		})
	}
}
