package checkup_test

import (
	"net/netip"
	"strings"
	"testing"

	"postern/internal/checkup"
	"postern/internal/smtp"
)

func TestGenericName(t *testing.T) {
	t.Parallel()
	const four, six = "192.0.2.25", "2001:db8:12:34:56:78:9a:bc"
	for _, tc := range []struct{ name, ip, mark string }{
		// The address in the name.
		{"192-0-2-25.isp.example.com", four, "generic-address"},
		{"25.2.0.192.dsl.example.com", four, "generic-address"},
		{"host-192.0.2.25.example.com", four, "generic-address"},
		{"ip-192-0-2.example.com", four, "generic-address"},
		{"static.25.2.0.192.clients.your-server.de", four, "generic-address"},
		{"192x0x2x25.example.com", four, "generic-address"},
		{"p192000002025.example.com", four, "generic-address"},
		{"n3221226009.example.com", four, "generic-address"},
		{"c0000219.example.com", four, "generic-address"},
		{"xc0000219.example.com", four, "generic-address"},
		{"mail-192-0-2-25.example.com", four, "generic-address"},
		{"2001-db8-12-34-56-78-9a-bc.example.com", six, "generic-address"},
		{"20010db80012003400560078009a00bc.example.com", six, "generic-address"},
		{"c.b.0.0.a.9.0.0.8.7.0.0.6.5.0.0.4.3.0.0.2.1.0.0.8.b.d.0.1.0.0.2.v6.example.com", six, "generic-address"},
		// A word for whole ranges.
		{"a1.dyn.example.com", four, "generic-word"},
		{"dynamic.example.com", four, "generic-word"},
		{"x12.adsl.example.com", four, "generic-word"},
		{"ppp7.example.com", four, "generic-word"},
		{"pool-7.example.com", four, "generic-word"},
		{"cust123.example.com", four, "generic-word"},
		{"c12.customer.example.com", four, "generic-word"},
		{"cpe-12ab.example.com", four, "generic-word"},
		{"vps12345.example.com", four, "generic-word"},
		{"unassigned.example.com", four, "generic-word"},
		{"12.cable.example.com", four, "generic-word"},
		// The provider's name for a server nobody has set up.
		{"vps-1a2b3c4d.vps.ovh.net", four, "generic-provider"},
		{"ns3012345.ovh.net", four, "generic-provider"},
		{"sd-12345.dedibox.fr", four, "generic-provider"},
		{"h1234567.stratoserver.net", four, "generic-provider"},
		// Names that people gave: false alarms would send them to their provider for nothing.
		{"mail.example.org", four, ""},
		{"mx1.example.org", four, ""},
		{"mx2-25.example.org", four, ""},
		{"smtp-out-12.mail.example.com", four, ""},
		{"o12.ptr1234.mail.example.com", four, ""},
		{"mta-192.example.org", four, ""},
		{"mail.static.example.org", four, ""},
		{"mail01.customer.example.net", four, ""},
		{"outbound-pool-3.mail.example.org", four, ""},
		{"dynamics.example.com", four, ""},
		{"poolside.example.org", four, ""},
		{"clients.example.org", four, ""},
		{"client.example.org", four, ""},
		{"static.example.org", four, ""},
		{"www.pool.example", four, ""},
		{"dsl.org", four, ""},
		{"mail.adsl.com", four, ""},
		{"mo12.mail-out.ovh.net", four, ""},
		{"cloud.example.org", four, ""},
		{"host.example.org", four, ""},
		{"vps.example.org", four, ""},
		{"node7.example.org", four, ""},
		{"srv-25.example.org", four, ""},
		{"db8.example.org", six, ""},
		{"mx-0-0-0-0.example.org", "2001:db8::1", ""},
		{"1and1.example.org", four, ""},
		{"example.org", four, ""},
		{"", four, ""},
		{".", four, ""},
		{strings.Repeat("dyn.", 100) + "example.org", four, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, is := checkup.GenericName(tc.name, netip.MustParseAddr(tc.ip))
			if string(g.Mark) != tc.mark || is != (tc.mark != "") {
				t.Errorf("got %q (%q), want %q", g.Mark, g.Detail, tc.mark)
			}
			if is && g.Detail == "" {
				t.Error("without a reason")
			}
		})
	}
}

func FuzzGenericName(f *testing.F) {
	for _, s := range []string{"192-0-2-25.isp.example.com", "c0000219.example.com", "0-0-0-0.x", "a.b.c", "dyn..example", "\xff", "1.0.0.0.2.0.0.0.ip6.arpa"} {
		f.Add(s, []byte{192, 0, 2, 25})
	}
	f.Fuzz(func(t *testing.T, name string, raw []byte) {
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			ip = netip.MustParseAddr("2001:db8::1")
		}
		g, is := checkup.GenericName(name, ip)
		if is != (g.Mark != "") || is && (g.Detail == "" || len(name) > 256) {
			t.Errorf("%q: %+v, %t", name, g, is)
		}
	})
}

func FuzzBanner(f *testing.F) {
	for _, s := range []string{"220 mx.example.org ESMTP\r\n", "220-a\r\n220 b\r\n", "220 \x1b[31m\r\n", "220\r\n", "220 [192.0.2.1] hi\r\n", "220 \xff.\xff\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := smtp.ParseReply(smtp.NewLineReader(strings.NewReader(text), nil))
		if err != nil {
			return
		}
		name, rest := checkup.ReadBanner(r)
		if len(name) > 255 || len(rest) > 400 || strings.ContainsAny(name+rest, "\r\n\x1b\x00") || name != strings.ToLower(name) {
			t.Errorf("%q: %q, %q", text, name, rest)
		}
	})
}
