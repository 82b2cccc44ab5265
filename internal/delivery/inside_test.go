package delivery_test

import (
	"net/netip"
	"testing"

	"postern/internal/delivery"
	"postern/internal/journal"
)

// insideZone has a domain for each way to name a machine that is not on the internet.
const insideZone = `
$ORIGIN loop.test.
@ 300 IN MX 10 mx
mx 300 IN A 127.0.0.1
$ORIGIN bare.test.
@ 300 IN A 10.1.2.3
$ORIGIN meta.test.
@ 300 IN MX 10 mx
mx 300 IN A 169.254.169.254
$ORIGIN any.test.
@ 300 IN MX 10 mx
mx 300 IN A 0.0.0.0
mx 300 IN AAAA ::
$ORIGIN six.test.
@ 300 IN MX 10 mx
mx 300 IN AAAA ::1
mx 300 IN AAAA fe80::1
mx 300 IN AAAA fd00::25
mx 300 IN AAAA ::ffff:127.0.0.1
mx 300 IN AAAA 64:ff9b::7f00:1
$ORIGIN sixto.test.
@ 300 IN MX 10 mx
mx 300 IN AAAA 2002:7f00:1::1
mx 300 IN AAAA ff02::1
$ORIGIN both.test.
@ 300 IN MX 10 mx
mx 300 IN A 127.0.0.1
mx 300 IN A 192.0.2.1
$ORIGIN office.test.
@ 300 IN MX 10 mx
mx 300 IN A 10.9.9.9
`

func TestPrivateDestinationsAreNotDialed(t *testing.T) {
	t.Parallel()
	w := begin(t, insideZone, func(o *delivery.Options) {
		o.Tuning.Private = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	})
	m, office := newMX(t), newMX(t)
	w.at("192.0.2.1", m.addr)
	w.at("10.9.9.9", office.addr)
	for i, domain := range []string{"loop.test", "bare.test", "meta.test", "any.test", "six.test", "sixto.test"} {
		id := w.send("you@" + domain)
		w.await("deferred", i+1)
		w.expect(id, "you@"+domain, journal.Deferred, 451, "is not on the internet")
	}
	literals := []string{"[127.0.0.1]", "[IPv6:::1]", "[10.0.0.1]", "[IPv6:::ffff:127.0.0.1]", "[IPv6:64:ff9b::a00:1]", "[169.254.169.254]", "[255.255.255.255]"}
	for i, domain := range literals {
		id := w.send("you@" + domain)
		w.await("bounced", i+1)
		w.expect(id, "you@"+string(address(t, "you@"+domain).Domain), journal.Bounced, 550, "is not on the internet")
	}
	for i, domain := range []string{"both.test", "office.test", "[10.9.0.0]"} {
		if domain == "[10.9.0.0]" {
			w.at("10.9.0.0", office.addr)
		}
		id := w.send("you@" + domain)
		w.await("delivered", i+1)
		w.expect(id, "you@"+domain, journal.Delivered, 250, "")
	}
	allowed := map[string]bool{"192.0.2.1:25": true, "10.9.9.9:25": true, "10.9.0.0:25": true, "192.0.2.200:25": true}
	for _, addr := range w.dials() {
		if !allowed[addr] {
			t.Errorf("dialed %s", addr)
		}
	}
}
