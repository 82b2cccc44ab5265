package delivery_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postern/internal/delivery"
	"postern/internal/dns"
	"postern/internal/dns/dnstest"
	"postern/internal/journal"
	"postern/internal/smtp"
)

// TestMXOrder: by preference; the second only when the first cannot be had; equal ones take turns.
func TestMXOrder(t *testing.T) {
	t.Parallel()
	zone := "$ORIGIN there.test.\n@ 300 IN MX 20 second\n@ 300 IN MX 10 first\n@ 300 IN MX 30 third\nfirst 300 IN A 192.0.2.1\nsecond 300 IN A 192.0.2.2\nthird 300 IN A 192.0.2.3\n" +
		"$ORIGIN equal.test.\n@ 300 IN MX 10 a\n@ 300 IN MX 10 b\na 300 IN A 192.0.2.11\nb 300 IN A 192.0.2.12\n"
	w := begin(t, zone, func(o *delivery.Options) { o.PerConn = 1 })
	m := newMX(t)
	w.at("192.0.2.2", m.addr)
	w.send("you@there.test")
	m.next()
	if d := w.dials(); !slices.Equal(d, []string{"192.0.2.1:25", "192.0.2.2:25"}) {
		t.Errorf("dialed %v", d)
	}
	w.at("192.0.2.11", m.addr)
	w.at("192.0.2.12", m.addr)
	seen := map[string]int{}
	for i := 0; i < 200 && len(seen) < 2; i++ {
		w.send("you@equal.test")
		m.next()
		seen[w.dials()[len(w.dials())-1]]++
	}
	if len(seen) != 2 {
		t.Errorf("equal exchangers do not take turns: %v", seen)
	}
}

// TestFamilies: IPv6 and IPv4 take turns within an exchanger, so that a dead family does not use up the attempt.
func TestFamilies(t *testing.T) {
	t.Parallel()
	zone := "$ORIGIN there.test.\n@ 300 IN MX 10 mx\n"
	for i := range 5 {
		zone += fmt.Sprintf("mx 300 IN AAAA 2001:db8::%d\n", i+1)
	}
	zone += "mx 300 IN A 192.0.2.1\n$ORIGIN six.test.\n@ 300 IN MX 10 mx\nmx 300 IN AAAA 2001:db8::9\n"
	t.Run("both", func(t *testing.T) {
		t.Parallel()
		w := begin(t, zone, nil)
		m := newMX(t)
		w.at("192.0.2.1", m.addr)
		w.send("you@there.test")
		m.next()
		if d := w.dials(); len(d) != 2 || !strings.HasPrefix(d[0], "[2001:db8::") || d[1] != "192.0.2.1:25" {
			t.Errorf("dialed %v", d)
		}
		w.at("[2001:db8::9]:25", m.addr)
		id := w.send("you@six.test")
		w.await("delivered", 2)
		w.expect(id, "you@six.test", journal.Delivered, 250, "")
	})
	t.Run("IPv4 only", func(t *testing.T) {
		t.Parallel()
		w := begin(t, zone, func(o *delivery.Options) { o.IPv4Only = true })
		m := newMX(t)
		w.at("192.0.2.1", m.addr)
		w.send("you@there.test")
		m.next()
		if d := w.dials(); len(d) != 1 {
			t.Errorf("dialed %v", d)
		}
		id := w.send("you@six.test")
		w.await("deferred", 1)
		w.expect(id, "you@six.test", journal.Deferred, 451, "have no address")
	})
}

// TestAttemptIsBounded: five addresses, and two servers that answer without taking mail, are enough for one attempt.
func TestAttemptIsBounded(t *testing.T) {
	t.Parallel()
	zone := "$ORIGIN there.test.\n"
	for i := range 20 {
		zone += fmt.Sprintf("@ 300 IN MX %d mx%d\nmx%d 300 IN A 192.0.2.%d\n", i, i, i, i+1)
	}
	t.Run("addresses", func(t *testing.T) {
		t.Parallel()
		w := begin(t, zone, nil)
		w.send("you@there.test")
		w.await("deferred", 1)
		if d := w.dials(); len(d) != 5 {
			t.Errorf("dialed %v", d)
		}
	})
	t.Run("sessions", func(t *testing.T) {
		t.Parallel()
		w := begin(t, zone, nil)
		m := newMX(t)
		m.greet.set(func() error { return &smtp.Error{Code: 421, Text: "busy"} })
		for i := range 20 {
			w.at(fmt.Sprintf("192.0.2.%d", i+1), m.addr)
		}
		w.send("you@there.test")
		w.await("deferred", 1)
		if n, _ := m.connections(); n != 2 {
			t.Errorf("%d sessions", n)
		}
	})
	t.Run("refused by one, taken by the next", func(t *testing.T) {
		t.Parallel()
		w := begin(t, zone, nil)
		bad, good := newMX(t), newMX(t)
		bad.greet.set(func() error { return &smtp.Error{Code: 554, Text: "not you"} })
		w.at("192.0.2.1", bad.addr)
		w.at("192.0.2.2", good.addr)
		w.send("you@there.test")
		good.next()
	})
}

// TestNowhereToGo: what DNS says for certain ends the mail, what it cannot say now does not (T-B9).
func TestNowhereToGo(t *testing.T) {
	t.Parallel()
	const zone = `
$ORIGIN there.test.
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.1
$ORIGIN bare.test.
@ 300 IN A 192.0.2.1
$ORIGIN null.test.
@ 300 IN MX 0 .
$ORIGIN empty.test.
@ 300 IN TXT "nothing to deliver to"
$ORIGIN lost.test.
@ 300 IN MX 10 mx
mx 300 IN TXT "no address"
$ORIGIN gone.test.
@ 300 IN MX 10 mx.nowhere.test.
`
	for _, tc := range []struct {
		name   string
		domain string
		break_ func(*dnstest.Server)
		kind   journal.Kind
		code   int
		text   string
	}{
		{"address without MX", "bare.test", nil, journal.Delivered, 250, ""},
		{"null MX", "null.test", nil, journal.Bounced, 556, "null MX"},
		{"no such domain", "nowhere.test", nil, journal.Bounced, 550, "does not exist"},
		{"neither MX nor address", "empty.test", nil, journal.Bounced, 550, "neither MX nor address"},
		{"exchanger without address", "lost.test", nil, journal.Deferred, 451, "no address"},
		{"exchanger that does not exist", "gone.test", nil, journal.Deferred, 451, "no address"},
		{"no such domain, but the root is denied too", "nowhere.test", func(s *dnstest.Server) { s.Fail(".", dnstest.NXDomain) }, journal.Deferred, 451, "name server is in trouble"},
		{"no such domain, but the root is silent", "nowhere.test", func(s *dnstest.Server) { s.Fail(".", dnstest.ServFail) }, journal.Deferred, 451, "name server is in trouble"},
		{"SERVFAIL", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.ServFail) }, journal.Deferred, 451, "MX of there.test"},
		{"REFUSED", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.Refused) }, journal.Deferred, 451, "MX of there.test"},
		{"bogus", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.Bogus) }, journal.Deferred, 451, "MX of there.test"},
		{"malformed", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.Malformed) }, journal.Deferred, 451, "MX of there.test"},
		{"lame", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.Lame) }, journal.Deferred, 451, "MX of there.test"},
		{"no answer", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.Timeout) }, journal.Deferred, 451, "MX of there.test"},
		{"no answer for the address", "there.test", func(s *dnstest.Server) { s.Fail("mx.there.test", dnstest.ServFail) }, journal.Deferred, 451, "Addresses of mx.there.test"},
		{"no answer for a bare address", "bare.test", func(s *dnstest.Server) {
			s.FailType("bare.test", dns.TypeA, dnstest.ServFail)
			s.FailType("bare.test", dns.TypeAAAA, dnstest.ServFail)
		}, journal.Deferred, 451, "Addresses of bare.test"},
		{"truncated", "there.test", func(s *dnstest.Server) { s.Fail("there.test", dnstest.Truncate) }, journal.Delivered, 250, ""},
		{"address literal", "[192.0.2.1]", nil, journal.Delivered, 250, ""},
		{"unreachable literal", "[192.0.2.99]", nil, journal.Deferred, 451, "192.0.2.99"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, zone, func(o *delivery.Options) {
				if tc.name == "no answer" {
					return
				}
			})
			w.at("192.0.2.1", newMX(t).addr)
			if tc.break_ != nil {
				tc.break_(w.dns)
			}
			id := w.send("you@" + tc.domain)
			w.await(string(tc.kind), 1)
			w.expect(id, "you@"+tc.domain, tc.kind, tc.code, tc.text)
		})
	}
}

// TestNoLoopToOurselves: RFC 5321 5.1: exchangers at or after our own preference would send the mail back.
func TestNoLoopToOurselves(t *testing.T) {
	t.Parallel()
	const zone = `
$ORIGIN self.test.
@ 300 IN MX 10 gate.test.
$ORIGIN gate.test.
@ 300 IN A 192.0.2.50
$ORIGIN byaddr.test.
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.50
$ORIGIN bare.test.
@ 300 IN A 192.0.2.50
$ORIGIN lesser.test.
@ 300 IN MX 10 first
@ 300 IN MX 20 gate.test.
@ 300 IN MX 30 third
first 300 IN A 192.0.2.1
third 300 IN A 192.0.2.3
$ORIGIN alike.test.
@ 300 IN MX 10 first
@ 300 IN MX 10 gate.test.
first 300 IN A 192.0.2.1
$ORIGIN lesseraddr.test.
@ 300 IN MX 10 first
@ 300 IN MX 20 mx.byaddr.test.
first 300 IN A 192.0.2.1
`
	w := begin(t, zone, func(o *delivery.Options) {
		o.OwnAddrs = func() []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.50:25"), netip.MustParseAddrPort("[::]:25"), netip.MustParseAddrPort("192.0.2.1:587")}
		}
	})
	m, third := newMX(t), newMX(t)
	w.at("192.0.2.1", m.addr)
	w.at("192.0.2.3", third.addr)
	for i, domain := range []string{"self.test", "byaddr.test", "bare.test", "alike.test", "[192.0.2.50]", "[127.0.0.1]", "[IPv6:::1]"} {
		id := w.send("you@" + domain)
		w.await("bounced", i+1)
		w.expect(id, "you@"+domain, journal.Bounced, 554, "loops back")
	}
	for i, domain := range []string{"lesser.test", "lesseraddr.test"} {
		id := w.send("you@" + domain)
		w.await("delivered", i+1)
		w.expect(id, "you@"+domain, journal.Delivered, 250, "")
	}
	for _, d := range w.dials() {
		if strings.HasPrefix(d, "192.0.2.50") || strings.HasPrefix(d, "192.0.2.3:") || strings.HasPrefix(d, "127.") {
			t.Errorf("dialed %s", d)
		}
	}
}
