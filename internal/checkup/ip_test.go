package checkup_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"postern/internal/checkup"
	"postern/internal/dns/dnstest"
	"postern/internal/dnsbl"
	"postern/internal/locale"
)

// catalog is read once.
var catalog = sync.OnceValue(func() *locale.Catalog {
	words, err := locale.New()
	if err != nil {
		panic(err) // the texts are a part of the program
	}
	return words
})

// readable fails for a finding that lacks its words in a language, or an argument in them.
func readable(t *testing.T, r checkup.CheckReport) {
	t.Helper()
	words := catalog()
	for _, lang := range locale.Languages() {
		for _, f := range r.Findings {
			if states, other := others[f.Code]; other && !slices.Contains(strings.Fields(states), string(f.State)) {
				t.Errorf("%s is %s, which nothing tells", f.Code, f.State)
			}
			said := checkup.Words(words, lang, f)
			for _, text := range []string{said.What, said.Do} {
				if strings.HasPrefix(text, "checkup.") || strings.Contains(text, "checkup.word") || strings.Contains(text, "?") && strings.Contains(text, " ? ") {
					t.Errorf("%s in %s: %q", f.Code, lang, text)
				}
			}
			if said.What == "" || f.State != checkup.Fine && said.Do == "" {
				t.Errorf("%s in %s says nothing", f.Code, lang)
			}
		}
	}
}

const reverseRoot = `
. 300 IN SOA a.root. hostmaster.root. 1 1800 900 604800 86400
. 300 IN NS a.root.
$ORIGIN example.org.
mx 300 IN A 192.0.2.25
mx 300 IN AAAA 2001:db8::25
other 300 IN A 192.0.2.25
stray 300 IN A 192.0.2.99
@ 300 IN A 192.0.2.25
host-192-0-2-25.dyn 300 IN A 192.0.2.25
$ORIGIN example.com.
mx 300 IN A 192.0.2.25
elsewhere 300 IN A 198.51.100.9
$ORIGIN 2.0.192.in-addr.arpa.
`

// six is where the name of 2001:db8::25 stands.
const six = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."

func TestReverse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, ip, zone, hello string
		want                  string
		record                string // the first to publish
	}{
		{"fine", "192.0.2.25", "25 300 IN PTR mx.example.org.", "mx.example.org", "helo.fine=fine reverse.fine=fine", ""},
		{"fine over IPv6", "2001:db8::25", six + " 300 IN PTR mx.example.org.", "mx.example.org", "helo.fine=fine reverse.fine=fine", ""},
		{"no name", "192.0.2.25", "", "mx.example.org", "helo.fine=fine reverse.none=problem", "25.2.0.192.in-addr.arpa PTR mx.example.org."},
		{"no name over IPv6", "2001:db8::25", "", "", "helo.unset=unknown reverse.none=problem", ""},
		{"name without address", "192.0.2.25", "25 300 IN PTR gone.example.org.", "mx.example.org", "helo.other=advice reverse.mismatch=problem", "gone.example.org A 192.0.2.25"},
		{"name leads elsewhere", "192.0.2.25", "25 300 IN PTR stray.example.org.", "", "helo.unset=unknown reverse.mismatch=problem", "stray.example.org A 192.0.2.25"},
		{"name has only the other family", "2001:db8::25", six + " 300 IN PTR other.example.org.", "", "helo.unset=unknown reverse.mismatch=problem", "other.example.org AAAA 2001:db8::25"},
		{"several names", "192.0.2.25", "25 300 IN PTR mx.example.org.\n25 300 IN PTR other.example.org.", "mx.example.org", "helo.fine=fine reverse.several=advice", ""},
		{"several, one stray", "192.0.2.25", "25 300 IN PTR mx.example.org.\n25 300 IN PTR stray.example.org.", "mx.example.org", "helo.fine=fine reverse.partly=advice", ""},
		{"generic", "192.0.2.25", "25 300 IN PTR host-192-0-2-25.dyn.example.org.", "mx.example.org", "helo.other=advice reverse.generic=problem", "25.2.0.192.in-addr.arpa PTR mx.example.org."},
		{"bare domain", "192.0.2.25", "25 300 IN PTR example.org.", "mx.example.org", "helo.other=advice reverse.bare=advice", ""},
		{"name is an address", "192.0.2.25", "25 300 IN PTR 192.0.2.25.", "mx.example.org", "helo.other=advice reverse.no-host=problem", "25.2.0.192.in-addr.arpa PTR mx.example.org."},
		{"one label", "192.0.2.25", "25 300 IN PTR localhost.", "", "helo.unset=unknown reverse.no-host=problem", ""},
		{"local name", "192.0.2.25", "25 300 IN PTR mail.lan.", "", "helo.unset=unknown reverse.no-host=problem", ""},
		{"wildcard", "192.0.2.25", "25 300 IN PTR *.example.org.", "", "helo.unset=unknown reverse.no-host=problem", ""},
		{"through an alias", "192.0.2.25", "25 300 IN CNAME 25.sub.2.0.192.in-addr.arpa.\n25.sub 300 IN PTR mx.example.org.", "mx.example.org", "helo.fine=fine reverse.fine=fine", ""},
		{"hello is the address", "192.0.2.25", "25 300 IN PTR mx.example.org.", "192.0.2.25", "helo.literal=problem reverse.fine=fine", ""},
		{"hello is a literal", "192.0.2.25", "25 300 IN PTR mx.example.org.", "[192.0.2.25]", "helo.literal=problem reverse.fine=fine", ""},
		{"hello is no name", "192.0.2.25", "25 300 IN PTR mx.example.org.", "localhost", "helo.no-host=problem reverse.fine=fine", ""},
		{"hello is local", "192.0.2.25", "25 300 IN PTR mx.example.org.", "srv.localdomain", "helo.no-host=problem reverse.fine=fine", ""},
		{"hello has no address", "192.0.2.25", "25 300 IN PTR mx.example.org.", "nobody.example.org", "helo.no-address=problem reverse.fine=fine", "nobody.example.org A 192.0.2.25"},
		{"hello leads elsewhere", "192.0.2.25", "25 300 IN PTR mx.example.org.", "stray.example.org", "helo.elsewhere=problem reverse.fine=fine", "stray.example.org A 192.0.2.25"},
		{"hello of somebody else", "192.0.2.25", "25 300 IN PTR mx.example.org.", "elsewhere.example.com", "helo.foreign=problem reverse.fine=fine", ""},
		{"hello of a provider", "192.0.2.25", "25 300 IN PTR mx.example.org.", "gmail.com", "helo.foreign=problem reverse.fine=fine", ""},
		{"hello in capitals", "192.0.2.25", "25 300 IN PTR mx.example.org.", "MX.Example.ORG.", "helo.fine=fine reverse.fine=fine", ""},
		{"another name of ours", "192.0.2.25", "25 300 IN PTR mx.example.org.", "mx.example.com", "helo.other=advice reverse.fine=fine", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, reverseRoot+tc.zone+"\n")
			r, err := n.checker(t, nil).Check(t.Context(), target(t, tc.ip), checkup.Ask{HELO: tc.hello, NoLists: true})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			if got := strings.Join(sorted(r, checkup.Reverse), " "); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
			got := ""
			for _, f := range r.Of(checkup.Reverse) {
				for _, rec := range f.Records {
					if got == "" {
						got = rec.Name + " " + rec.Type + " " + rec.Value
					}
				}
			}
			if got != tc.record {
				t.Errorf("record %q, want %q", got, tc.record)
			}
		})
	}
}

// TestReverseUnknown: silence of DNS is never fine and never a problem.
func TestReverseUnknown(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]string{"pointer": "25.2.0.192.in-addr.arpa", "address": "mx.example.org"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, reverseRoot+"25 300 IN PTR mx.example.org.\n")
			n.dns.Fail(fail, dnstest.ServFail)
			r, err := n.checker(t, nil).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{HELO: "mx.example.org", NoLists: true})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			got := sorted(r, checkup.Reverse)
			if !slices.Contains(got, "reverse.unknown=unknown") {
				t.Errorf("%v", got)
			}
			if name == "address" && !slices.Contains(got, "helo.unknown=unknown") {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	grave, light, shown, allow := blocklist("grave", 5), blocklist("light", 1), blocklist("shown", 0), blocklist("allow", 2)
	allow.Allow = true
	keyed := blocklist("keyed", 4)
	keyed.Zone, keyed.Access = "<key>.keyed.bl.test", dnsbl.Key
	quiet := blocklist("quiet", 4)
	const zone = reverseRoot + "25 300 IN PTR mx.example.org.\n$ORIGIN bl.test.\n"
	const at = "25.2.0.192."
	for _, tc := range []struct {
		name, zone string
		lists      []dnsbl.List
		fail       dnstest.Mode
		want       string
		score      bool // measured
	}{
		{"none in use", "", nil, 0, "lists.off=unknown", false},
		{"clean", "", []dnsbl.List{grave, light}, 0, "lists.clean=fine", true},
		{"grave", at + "grave 300 IN A 127.0.0.2\n" + at + "grave 300 IN TXT \"sent spam, see https://grave.test\"\n", []dnsbl.List{grave, light}, 0, "lists.clean=fine lists.listed=problem", true},
		{"light", at + "light 300 IN A 127.0.0.2\n", []dnsbl.List{grave, light}, 0, "lists.clean=fine lists.minor=advice", true},
		{"for display", at + "shown 300 IN A 127.0.0.2\n", []dnsbl.List{grave, shown}, 0, "lists.clean=fine lists.display=advice", true},
		{"allowed", at + "allow 300 IN A 127.0.0.2\n", []dnsbl.List{grave, allow}, 0, "lists.allowed=fine lists.clean=fine", true},
		{"not allowed is no fault", "", []dnsbl.List{grave, allow}, 0, "lists.clean=fine", true},
		{"standing", at + "light 300 IN A 127.0.0.9\n", []dnsbl.List{grave, light}, 0, "lists.clean=fine lists.standing=fine", true},
		{"refused", at + "grave 300 IN A 127.255.255.254\n", []dnsbl.List{grave, light}, 0, "lists.clean=fine lists.refused=unknown", true},
		{"undocumented", at + "grave 300 IN A 127.0.0.77\n", []dnsbl.List{grave, light}, 0, "lists.clean=fine lists.odd=unknown", true},
		{"parked", at + "grave 300 IN A 203.0.113.80\n", []dnsbl.List{grave, light}, 0, "lists.clean=fine lists.odd=unknown", true},
		{"silent", "", []dnsbl.List{light, quiet}, dnstest.ServFail, "lists.clean=fine lists.silent=unknown", true},
		{"no key", "", []dnsbl.List{light, keyed}, 0, "lists.clean=fine lists.keyless=unknown", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, zone+tc.zone)
			if tc.fail != 0 {
				n.dns.Fail("*.quiet.bl.test", tc.fail)
			}
			told := 0
			r, err := n.checker(t, func(o *checkup.CheckerOptions) {
				if tc.lists != nil {
					o.Panel = n.panel(t, tc.lists...)
				}
			}).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{Progress: func(done, of int) {
				if told++; done != told || of > len(tc.lists) {
					t.Errorf("told %d of %d after %d", done, of, told)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			if got := strings.Join(sorted(r, checkup.Lists), " "); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
			if len(r.Listings) != len(tc.lists) {
				t.Errorf("%d listings", len(r.Listings))
			}
			for _, f := range r.Of(checkup.Lists) {
				if f.Code == "lists.silent" && f.Optional || f.Code == "lists.keyless" && !f.Optional {
					t.Errorf("%s optional: %t", f.Code, f.Optional)
				}
			}
		})
	}
}

// TestListWords: what a list says stands in the finding, its meaning in the reader's language.
func TestListWords(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, reverseRoot+"$ORIGIN bl.test.\n25.2.0.192.grave 300 IN A 127.0.0.2\n25.2.0.192.grave 300 IN TXT \"trap hit\\010<b>\"\n")
	r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Panel = n.panel(t, blocklist("grave", 5)) }).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	words := catalog()
	for lang, want := range map[string]string{"en": "sends spam", "fr": "envoie du spam"} {
		said := checkup.Words(words, lang, r.Of(checkup.Lists)[0])
		if !strings.Contains(said.What, want) || !strings.Contains(said.What, "trap hit") || !strings.Contains(said.Do, "https://grave.test/delist") || strings.Contains(said.What, "\n") {
			t.Errorf("%s: %+v", lang, said)
		}
	}
}

// neighbourhood gives names to the neighbours of 192.0.2.25, from pattern with %d for the last number.
func street(from, to int, pattern string) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		if i != 25 {
			b.WriteString(strings.ReplaceAll("# 300 IN PTR "+pattern+".\n", "#", itoa(i)))
		}
	}
	return b.String()
}

func itoa(i int) string {
	const digits = "0123456789"
	out := ""
	for ; i > 0 || out == ""; i /= 10 {
		out = digits[i%10:i%10+1] + out
	}
	return out
}

func TestNeighbours(t *testing.T) {
	t.Parallel()
	own := "25 300 IN PTR mx.example.org.\n"
	const lists = "$ORIGIN bl.test.\n"
	for _, tc := range []struct {
		name, zone string
		fail       bool
		want       string
	}{
		{"nobody", own, false, "range.clean=fine range.empty=fine"},
		{"own", own + street(20, 40, "m#.example.org"), false, "range.clean=fine range.own=fine"},
		{"strangers", own + street(20, 24, "m#.example.org") + street(26, 40, "www#.other.test"), false, "range.clean=fine range.strangers=advice"},
		{"generic", own + street(1, 200, "192-0-2-#.pool.isp.test"), false, "range.clean=fine range.generic=advice"},
		{"one bad", own + street(20, 40, "m#.example.org") + lists + "26.2.0.192.grave 300 IN A 127.0.0.2\n", false, "range.listed=advice range.own=fine"},
		{"many bad", own + street(20, 40, "m#.example.org") + lists + "*.2.0.192.grave 300 IN A 127.0.0.2\n", false, "range.bad=problem range.own=fine"},
		{"bad on a light list only", own + street(20, 40, "m#.example.org") + lists + "*.2.0.192.light 300 IN A 127.0.0.2\n", false, "range.clean=fine range.own=fine"},
		{"silent", own, true, "range.clean=fine range.unknown=unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, reverseRoot+tc.zone)
			if tc.fail {
				n.dns.Fail("*.2.0.192.in-addr.arpa", dnstest.ServFail)
			}
			r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Panel = n.panel(t, blocklist("grave", 5), blocklist("light", 1)) }).Check(t.Context(), target(t, "192.0.2.25"), checkup.Ask{})
			if err != nil {
				t.Fatal(err)
			}
			readable(t, r)
			if got := strings.Join(sorted(r, checkup.Range), " "); got != tc.want {
				t.Errorf("got %s\nwant %s", got, tc.want)
			}
			if tc.fail && n.dns.Total() > 300 {
				t.Errorf("%d questions to a name server that says nothing", n.dns.Total())
			}
		})
	}
}

func TestNeighboursIPv6(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, reverseRoot+six+" 300 IN PTR mx.example.org.\n"+strings.Replace(six, "5.2", "6.2", 1)+" 300 IN PTR mx2.example.org.\n")
	r, err := n.checker(t, func(o *checkup.CheckerOptions) { o.Panel = n.panel(t, blocklist("grave", 5)) }).Check(t.Context(), target(t, "2001:db8::25"), checkup.Ask{})
	if err != nil {
		t.Fatal(err)
	}
	readable(t, r)
	if got := strings.Join(sorted(r, checkup.Range), " "); got != "range.own=fine range.whole=fine" {
		t.Error(got)
	}
	if n.dns.Total() > 120 {
		t.Errorf("%d questions", n.dns.Total())
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, reverseRoot)
	for _, ip := range []string{"127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "2002:a00:1::1", "64:ff9b::7f00:1", "0.0.0.0", "224.0.0.1"} {
		r, err := n.checker(t, nil).Check(t.Context(), target(t, ip), checkup.Ask{Probe: true, NoLists: true})
		if err != nil {
			t.Fatal(err)
		}
		readable(t, r)
		if len(n.calls) > 0 || len(r.Findings) != 1 || r.Findings[0].Code != "reverse.inside" || n.dns.Total() > 0 {
			t.Errorf("%s: %v, %v, %d questions", ip, n.calls, sorted(r, checkup.Groups()...), n.dns.Total())
		}
	}
}

// TestTextsAreUsed: every text about IPs, lists and senders belongs to a code that can be said.
func TestTextsAreUsed(t *testing.T) {
	t.Parallel()
	var source strings.Builder
	for _, name := range []string{"ip", "lists", "range", "reverse", "generic", "server", "tls", "probe", "sender", "words", "domain_dane", "check"} {
		text, err := os.ReadFile(name + ".go")
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	for _, room := range []string{"ip", "lists", "sender"} {
		text, err := os.ReadFile("../locale/texts/checkup-" + room + ".en.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			key, _, _ := strings.Cut(line, ":")
			code, ok := strings.CutPrefix(strings.TrimSpace(key), "checkup.")
			if !ok {
				continue
			}
			code = strings.TrimSuffix(strings.TrimSuffix(code, ".what"), ".do")
			if of, ok := strings.CutSuffix(code, ".nowhere"); ok && strings.Contains(of, ".") { // the way out of a list that has no page
				code = of
			}
			_, short, _ := strings.Cut(code, ".")
			if !strings.Contains(source.String(), `"`+code+`"`) && !strings.Contains(source.String(), `"`+short+`"`) {
				t.Errorf("nothing says %s", code)
			}
		}
	}
}
