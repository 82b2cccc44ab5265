package checkup_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"postern/internal/checkup"
	"postern/internal/dns/dnstest"
	"postern/internal/mail"
)

const senderRoot = `
. 300 IN SOA a.root. hostmaster.root. 1 1800 900 604800 86400
. 300 IN NS a.root.
$ORIGIN example.org.
@ 300 IN MX 20 backup
@ 300 IN MX 10 mx
mx 300 IN A 192.0.2.25
backup 300 IN A 192.0.2.26
null 300 IN MX 0 .
plain 300 IN A 192.0.2.25
inner 300 IN MX 10 mx.inner
mx.inner 300 IN A 10.0.0.25
$ORIGIN shy.example.
@ 300 IN MX 10 aspmx.l.google.com.
aspmx.l.google.com. 300 IN A 192.0.2.40
`

func TestSenderAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		address string
		ask     checkup.Ask
		want    string // without sender.unasked
	}{
		{"news@example.org", checkup.Ask{}, "person=fine"},
		{"postmaster@example.org", checkup.Ask{}, "duty=problem"},
		{"Abuse@example.org", checkup.Ask{}, "capitals=fine duty=problem"},
		{"admin@example.org", checkup.Ask{}, "admin=advice"},
		{"www-data@example.org", checkup.Ask{}, "program=problem"},
		{"bounces@example.org", checkup.Ask{}, "return=problem"},
		{"noreply@example.org", checkup.Ask{}, "silent=advice"},
		{"ne-pas-repondre+12@example.org", checkup.Ask{}, "silent=advice"},
		{"anna@gmail.com", checkup.Ask{}, "freemail=problem person=fine"},
		{"anna@orange.fr", checkup.Ask{}, "freemail=problem person=fine"},
		{"anna@yopmail.com", checkup.Ask{}, "disposable=problem person=fine"},
		{"anna@gmial.com", checkup.Ask{}, "misspelt=problem person=fine"},
		{"anna@gmail.co", checkup.Ask{}, "misspelt=problem person=fine"},
		{"anna@hotmal.fr", checkup.Ask{}, "misspelt=problem person=fine"},
		{"anna@раураl.com", checkup.Ask{}, "imitates=problem person=fine"},
		{"anna@bücher.example", checkup.Ask{}, "idn=advice person=fine"},
		{"anna@[192.0.2.1]", checkup.Ask{}, "literal=problem person=fine"},
		{`"anna b"@example.org`, checkup.Ask{}, "person=fine quoted=advice"},
		{"änna@example.org", checkup.Ask{}, "person=fine utf8=advice"},
		{"a%b@example.org", checkup.Ask{}, "person=fine route=problem"},
		{"a#b@example.org", checkup.Ask{}, "odd=advice person=fine"},
		{"anna.maria+shop@example.org", checkup.Ask{}, "person=fine"},
		{"x7k2q9z4w8@example.org", checkup.Ask{}, "made=advice person=fine"},
		{"bdfghjklmnpqrst@example.org", checkup.Ask{}, "made=advice person=fine"},
		{"newsletter2026@example.org", checkup.Ask{}, "person=fine"},
		{"service-client-2@example.org", checkup.Ask{}, "person=fine"},
		{"schwartz@example.org", checkup.Ask{}, "person=fine"},
		{strings.Repeat("abc.", 11) + "x@example.org", checkup.Ask{}, "long=advice person=fine"},
		{"news@example.org", checkup.Ask{HELO: "mail.example.org"}, "person=fine server-own=fine"},
		{"news@example.org", checkup.Ask{HELO: "mail.other.example"}, "person=fine server-other=advice"},
		{"news@shop.example.org", checkup.Ask{ReturnPath: "bounce.example.org"}, "person=fine return-aligned=fine"},
		{"news@example.org", checkup.Ask{ReturnPath: "bounce.other.example"}, "person=fine return-other=advice"},
	} {
		t.Run(tc.address+" "+tc.ask.HELO+string(tc.ask.ReturnPath), func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, senderRoot)
			tc.ask.NoLists = true
			r, err := n.checker(t, nil).Check(t.Context(), target(t, tc.address), tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			readable(t, checkup.CheckReport{Findings: r.Of(checkup.Sender)})
			var got []string
			for _, code := range sorted(r, checkup.Sender) {
				if code = strings.TrimPrefix(code, "sender."); code != "unasked=unknown" {
					got = append(got, code)
				}
			}
			if got := strings.Join(got, " "); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
			if len(n.calls) > 0 {
				t.Errorf("called %v", n.calls)
			}
			if len(r.Findings) == len(r.Of(checkup.Sender)) && !strings.Contains(tc.address, "[") {
				t.Error("nothing about the domain")
			}
		})
	}
}

func TestCallout(t *testing.T) {
	t.Parallel()
	only := func(good string) func(from, to string) string {
		return func(from, to string) string {
			switch {
			case from != "":
				return "550 5.7.1 not with a sender"
			case to == good:
				return "250 2.1.5 ok"
			}
			return "550 5.1.1 no such user"
		}
	}
	say := func(answer string) func(string, string) string {
		return func(string, string) string { return answer }
	}
	mine := checkup.Mine{Domains: []mail.Domain{"example.org"}}
	for _, tc := range []struct {
		name, address string
		mine          checkup.Mine
		rcpt          func(from, to string) string
		want          string
		calls         int
	}{
		{"exists", "anna@example.org", mine, only("anna@example.org"), "exists=fine", 1},
		{"does not", "berta@example.org", mine, only("anna@example.org"), "absent=problem", 1},
		{"takes all", "anna@example.org", mine, say("250 ok"), "catch-all=unknown", 1},
		{"greylists", "anna@example.org", mine, say("450 4.7.1 come back in five minutes"), "later=unknown", 1},
		{"refuses us", "anna@example.org", mine, say("550 5.7.1 your network is blocked"), "refused=unknown", 1},
		{"no such user in words", "anna@example.org", mine, say("550 Unknown user"), "absent=problem", 1},
		{"hangs up", "anna@example.org", mine, say("421 4.3.2 shutting down"), "later=unknown", 1},
		{"nobody says that it is his", "anna@example.org", checkup.Mine{}, only("anna@example.org"), "strangers=unknown", 0},
		{"the server is his", "anna@example.org", checkup.Mine{IPs: []netip.Prefix{prefix("192.0.2.25/32")}}, only("anna@example.org"), "exists=fine", 1},
		{"no MX", "anna@plain.example.org", mine, only("anna@plain.example.org"), "exists=fine", 1},
		{"takes no mail", "anna@null.example.org", mine, nil, "nowhere=problem", 0},
		{"shy provider", "anna@shy.example", checkup.Mine{Domains: []mail.Domain{"shy.example"}}, nil, "shy=unknown", 0},
		{"private address", "anna@inner.example.org", mine, nil, "unknown=unknown", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, senderRoot)
			n.serve(t, "192.0.2.25:25", server{rcpt: tc.rcpt})
			r, err := n.checker(t, nil).Check(t.Context(), target(t, tc.address), checkup.Ask{NoLists: true, Callout: true, Mine: tc.mine})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, checkup.CheckReport{Findings: r.Of(checkup.Sender)})
			got := ""
			for _, code := range sorted(r, checkup.Sender) {
				if code != "sender.person=fine" {
					got += strings.TrimPrefix(code, "sender.")
				}
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			calls := 0
			for addr, c := range n.calls {
				if strings.HasSuffix(addr, ":25") {
					calls += c
				}
			}
			if calls != tc.calls || len(n.data) > 0 {
				t.Errorf("called %v, said %q", n.calls, n.data)
			}
		})
	}
}

// TestCalloutUnknown: silence of DNS or of the server is not known, and no fault of the address.
func TestCalloutUnknown(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*network){
		"DNS":    func(n *network) { n.dns.Fail("example.org", dnstest.ServFail) },
		"server": func(n *network) { n.mute["192.0.2.25:25"] = true },
		"closed": func(*network) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, senderRoot)
			spoil(n)
			r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Probes.Timeout = 50 * time.Millisecond }).Check(t.Context(), target(t, "anna@example.org"),
				checkup.Ask{NoLists: true, Callout: true, Mine: checkup.Mine{Domains: []mail.Domain{"example.org"}}})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, checkup.CheckReport{Findings: r.Of(checkup.Sender)})
			if got := strings.Join(sorted(r, checkup.Sender), " "); got != "sender.person=fine sender.unknown=unknown" {
				t.Error(got)
			}
		})
	}
}

func TestNearFreeMail(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{
		"gmial.com": "gmail.com", "gmai.com": "gmail.com", "gmaill.com": "gmail.com", "gnail.com": "gmail.com", "hotmial.fr": "hotmail.fr",
		"gmail.com": "", "gamil.co": "", "example.org": "", "x": "", "": "",
	} {
		if got := checkup.NearFreeMail(mail.Domain(domain)); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
}

func FuzzSender(f *testing.F) {
	for _, s := range []string{"anna@example.org", "a%b@x.test", "x7k2q9z4w8@example.org", "\"a b\"@example.org", "ä@ü.example", "раураl@раураl.com"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		_ = checkup.LooksMade(text)
		_, _ = checkup.ParseTarget(text)
	})
}
