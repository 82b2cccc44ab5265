package mail_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postern/internal/mail"
)

func TestParseDomain(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for _, tc := range []struct{ name, in, want string }{
		{"plain", "example.com", "example.com"},
		{"upper case", "EXAMPLE.Com", "example.com"},
		{"final dot", "example.com.", "example.com"},
		{"one label", "localhost", "localhost"},
		{"hyphens in third place", "r3---sn-abc.example.com", "r3---sn-abc.example.com"},
		{"longest label", long + ".fr", long + ".fr"},
		{"U-label", "café.example", "xn--caf-dma.example"},
		{"U-label upper", "CAFÉ.example", "xn--caf-dma.example"},
		{"sharp s kept", "straße.de", "xn--strae-oqa.de"},
		{"A-label", "XN--CAF-dma.example", "xn--caf-dma.example"},
		{"ideographic dot", "例え。jp", "xn--r8jz45g.jp"},
		{"IPv4 literal", "[192.0.2.1]", "[192.0.2.1]"},
		{"IPv6 literal", "[ipv6:2001:DB8:0::1]", "[IPv6:2001:db8::1]"},
		{"empty", "", ""},
		{"dot", ".", ""},
		{"two dots", "a..b", ""},
		{"leading dot", ".a.b", ""},
		{"two final dots", "a.b..", ""},
		{"underscore", "_dmarc.example.com", ""},
		{"space", "exa mple.com", ""},
		{"CR", "example.com\r", ""},
		{"NUL", "exam\x00ple.com", ""},
		{"leading hyphen", "-a.com", ""},
		{"trailing hyphen", "a-.com", ""},
		{"label of 64", long + "a.fr", ""},
		{"too long", strings.Repeat("a.", 127) + "fr", ""},
		{"IPv4 without brackets", "192.0.2.1", ""},
		{"numeric last label", "example.1", ""},
		{"fake punycode: ascii", "xn--example-.com", ""},
		{"fake punycode: garbage", "xn--a.com", ""},
		{"fake punycode: not mapped", "xn--caf-pia.com", ""},
		{"fake punycode: zero width joiner", "xn--abc-fn0a.com", ""},
		{"fake punycode: fullwidth letter", "xn--bc-bz3n.com", ""},
		{"fullwidth at", "a＠b.com", ""},
		{"literal open", "[192.0.2.1", ""},
		{"literal general", "[x-tag:1]", ""},
		{"literal v6 without tag", "[2001:db8::1]", ""},
		{"literal zone", "[IPv6:fe80::1%eth0]", ""},
		{"literal short", "[192.0.2]", ""},
		{"not UTF-8", "caf\xe9.com", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := mail.ParseDomain(tc.in)
			if string(got) != tc.want || (err == nil) != (tc.want != "") {
				t.Fatalf("ParseDomain(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
			}
			if err != nil && !errors.Is(err, mail.ErrDomain) {
				t.Errorf("%v does not wrap ErrDomain", err)
			}
			if err == nil {
				if again, err := mail.ParseDomain(string(got)); err != nil || again != got {
					t.Errorf("%q is not canonical: %q, %v", got, again, err)
				}
			}
		})
	}
	if u := mail.Domain("xn--caf-dma.example").Unicode(); u != "café.example" {
		t.Errorf("Unicode: %q", u)
	}
	if ip, ok := mail.Domain("[IPv6:2001:db8::1]").Literal(); !ok || ip.String() != "2001:db8::1" {
		t.Errorf("Literal: %v %v", ip, ok)
	}
	if _, ok := mail.Domain("example.com").Literal(); ok {
		t.Error("a name is no literal")
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, local, wire string }{
		{"plain", "a@example.com", "a", "a@example.com"},
		{"case", "Jean.Dupont@EXAMPLE.com", "Jean.Dupont", "Jean.Dupont@example.com"},
		{"all atext", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "!#$%&'*+-/=?^_`{|}~@example.com"},
		{"percent is a letter", "user%other.org@example.com", "user%other.org", "user%other.org@example.com"},
		{"quoted for nothing", `"a.b"@example.com`, "a.b", "a.b@example.com"},
		{"quoted space", `"a b"@example.com`, "a b", `"a b"@example.com`},
		{"quoted at", `"a@b"@example.com`, "a@b", `"a@b"@example.com`},
		{"quoted pair", `"a\"\\b"@example.com`, `a"\b`, `"a\"\\b"@example.com`},
		{"quoted empty", `""@example.com`, "", `""@example.com`},
		{"quoted dots", `".a..b."@example.com`, ".a..b.", `".a..b."@example.com`},
		{"UTF-8", "josé@café.example", "josé", "josé@xn--caf-dma.example"},
		{"literal", "a@[192.0.2.1]", "a", "a@[192.0.2.1]"},
		{"64 octets", strings.Repeat("a", 64) + "@b.fr", strings.Repeat("a", 64), strings.Repeat("a", 64) + "@b.fr"},
		{"65 octets", strings.Repeat("a", 65) + "@b.fr", "", ""},
		{"too long", "a@" + strings.Repeat("abcdefg.", 31) + "example", "", ""},
		{"empty", "", "", ""},
		{"no domain", "postmaster", "", ""},
		{"no local", "@example.com", "", ""},
		{"source route", "@a.com,@b.com:c@d.com", "", ""},
		{"two at", "a@b@c.com", "", ""},
		{"leading dot", ".a@b.com", "", ""},
		{"trailing dot", "a.@b.com", "", ""},
		{"two dots", "a..b@c.com", "", ""},
		{"final dot of the domain", "a@b.com.", "", ""},
		{"space", "a b@c.com", "", ""},
		{"space at end", "a@c.com ", "", ""},
		{"angle", "<a@c.com>", "", ""},
		{"comment", "a(x)@c.com", "", ""},
		{"CRLF", "a@c.com\r\nRCPT TO:<x@y.z>", "", ""},
		{"LF in quotes", "\"a\nb\"@c.com", "", ""},
		{"NUL in quotes", "\"a\x00b\"@c.com", "", ""},
		{"open quote", `"a@c.com`, "", ""},
		{"text after quote", `"a"b@c.com`, "", ""},
		{"C1 control", "a\u0085b@c.com", "", ""},
		{"no-break space", "a\u00a0b@c.com", "", ""},
		{"not UTF-8", "\xe9@c.com", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, err := mail.ParseAddress(tc.in)
			if (err == nil) != (tc.wire != "") {
				t.Fatalf("ParseAddress(%q) = %v, %v", tc.in, a, err)
			}
			if err != nil {
				if !errors.Is(err, mail.ErrAddress) {
					t.Errorf("%v does not wrap ErrAddress", err)
				}
				return
			}
			if a.Local != tc.local || a.String() != tc.wire {
				t.Errorf("local %q wire %q, want %q %q", a.Local, a.String(), tc.local, tc.wire)
			}
			if again, err := mail.ParseAddress(a.String()); err != nil || again != a {
				t.Errorf("%q does not come back: %v %v", a.String(), again, err)
			}
		})
	}
	if s := (mail.Address{}).String(); s != "" || !(mail.Address{}).IsNull() {
		t.Errorf("null address is %q", s)
	}
	if s := (mail.Address{Local: "a\r\nb", Domain: "c.d"}).String(); strings.ContainsAny(s, "\r\n") {
		t.Errorf("a line end came out: %q", s)
	}
	if !(mail.Address{Local: "é", Domain: "c.d"}).NeedsSMTPUTF8() || (mail.Address{Local: "e", Domain: "c.d"}).NeedsSMTPUTF8() {
		t.Error("NeedsSMTPUTF8")
	}
}

func TestParseMailboxes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in, want string // want: "name|address;…"
		ok             bool
	}{
		{"bare", "a@b.fr", "|a@b.fr", true},
		{"angle", "<a@b.fr>", "|a@b.fr", true},
		{"named", "Jean Dupont <a@b.fr>", "Jean Dupont|a@b.fr", true},
		{"quoted name", `"Dupont, Jean" <a@b.fr>`, "Dupont, Jean|a@b.fr", true},
		{"quoted pair", `"a \"b\" c" <a@b.fr>`, `a "b" c|a@b.fr`, true},
		{"dots in name", "J. D. <a@b.fr>", "J. D.|a@b.fr", true},
		{"encoded", "=?utf-8?q?Jos=C3=A9?= =?utf-8?b?IETDqQ==?= <a@b.fr>", "José Dé|a@b.fr", true},
		{"encoded in quotes", `"=?iso-8859-1?q?Jos=E9?=" <a@b.fr>`, "José|a@b.fr", true},
		{"two", "a@b.fr, B <c@d.fr>", "|a@b.fr;B|c@d.fr", true},
		{"empty elements", ", a@b.fr,, c@d.fr ,", "|a@b.fr;|c@d.fr", true},
		{"comment name", "a@b.fr (Jean (the one) \\) D)", "Jean (the one) ) D|a@b.fr", true},
		{"comments everywhere", "(x) a (y) @ (z) b.fr (w)", "w|a@b.fr", true},
		{"spaces in address", "a . b @ c . fr", "|a.b@c.fr", true},
		{"group", "friends: a@b.fr, C <c@d.fr>;, e@f.fr", "|a@b.fr;C|c@d.fr;|e@f.fr", true},
		{"empty group", "undisclosed-recipients:;", "", true},
		{"route", "<@x.fr,@y.fr:a@b.fr>", "|a@b.fr", true},
		{"quoted local", `"a b"@c.fr`, `|"a b"@c.fr`, true},
		{"comma in quoted local", `<"a,b"@c.fr>, d@e.fr`, `|"a,b"@c.fr;|d@e.fr`, true},
		{"folded", "a@b.fr,\r\n c@d.fr", "|a@b.fr;|c@d.fr", true},
		{"empty", "", "", false},
		{"blank", "  ", "", false},
		{"no address", "Jean Dupont", "|", false},
		{"empty angle", "Jean <>", "Jean|", false},
		{"space inside", "a b@c.fr", "|", false},
		{"address as name", "x@y.fr <a@b.fr>", "x@y.fr|a@b.fr", false},
		{"open quote", `"Jean <a@b.fr>`, `"Jean|a@b.fr`, false},
		{"open comment", `a@b.fr (x`, "|", false},
		{"open angle", "Jean <a@b.fr", "Jean|a@b.fr", false},
		{"open group", "g: a@b.fr", "|a@b.fr", false},
		{"text after angle", "<a@b.fr> Jean", "|a@b.fr", false},
		{"two angles", "<a@b.fr> <c@d.fr>", "<a@b.fr>|c@d.fr", false},
		{"semicolon list", "a@b.fr; c@d.fr", "|a@b.fr;|c@d.fr", false},
		{"bad domain", "a@b_c.fr", "|", false},
		{"encoded address stays", "=?utf-8?q?x=40evil.fr?=@good.fr", "|=?utf-8?q?x=40evil.fr?=@good.fr", true},
		{"address in the name", `"boss@good.fr" <x@evil.fr>`, "boss@good.fr|x@evil.fr", true},
		{"address in a comment", "x@evil.fr (boss@good.fr)", "boss@good.fr|x@evil.fr", true},
		{"NUL", "a\x00@b.fr", "|", false},
		{"8-bit name", "Jos\xe9 <a@b.fr>", "José|a@b.fr", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			boxes, ok := mail.ParseMailboxes(tc.in)
			var got []string
			for _, b := range boxes {
				got = append(got, b.Name+"|"+b.Address.String())
				if !strings.Contains(tc.in, b.Raw) {
					t.Errorf("raw %q is no part of the value", b.Raw)
				}
			}
			if s := strings.Join(got, ";"); s != tc.want || ok != tc.ok {
				t.Errorf("%q: got %q %v, want %q %v", tc.in, s, ok, tc.want, tc.ok)
			}
		})
	}
	boxes, ok := mail.ParseMailboxes(strings.Repeat("a@b.fr,", 5000))
	if len(boxes) != 2000 || ok {
		t.Errorf("%d boxes, %v", len(boxes), ok)
	}
}

func TestQueueID(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 10, 0, 0, 123e6, time.UTC)
	a, b := mail.NewQueueID(now), mail.NewQueueID(now.Add(time.Millisecond))
	if len(a) != 26 || a >= b || !a.Time().Equal(now) {
		t.Fatalf("%s %s %s", a, b, a.Time())
	}
	if mail.NewQueueID(now) == a {
		t.Error("the same twice")
	}
	typed := strings.ToUpper(strings.NewReplacer("0", "O", "1", "L").Replace(string(a)))
	if got, err := mail.ParseQueueID(typed); err != nil || got != a {
		t.Errorf("ParseQueueID(%q) = %q, %v", typed, got, err)
	}
	for _, bad := range []string{"", "x", string(a) + "0", strings.Repeat("u", 26), strings.Repeat("z", 26), string(a[:25]) + "\n"} {
		if _, err := mail.ParseQueueID(bad); !errors.Is(err, mail.ErrQueueID) {
			t.Errorf("ParseQueueID(%q): %v", bad, err)
		}
	}
	if !mail.QueueID("nonsense").Time().IsZero() {
		t.Error("time of nonsense")
	}
}
