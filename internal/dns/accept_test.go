package dns

import (
	"errors"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// FuzzAnswer feeds packets through everything that reads them. Whatever they hold: no panic, no part of an answer, and no denial that the
// packet does not carry.
func FuzzAnswer(f *testing.F) {
	q := func(typ Type) *query {
		q, err := build("mx1.example.org.", typ, false, true)
		if err != nil {
			f.Fatal(err)
		}
		q.wire[0], q.wire[1] = 0x12, 0x34
		return q
	}
	for _, text := range []string{
		"mx1.example.org. 300 IN A 192.0.2.1",
		"mx1.example.org. 300 IN CNAME x.example.org.",
		"mx1.example.org. 300 IN MX 10 .",
		`mx1.example.org. 300 IN TXT "a\"b" "\000\255"`,
		"mx1.example.org. 300 IN TLSA 3 1 1 0123",
		`mx1.example.org. 300 IN CAA 0 issue "x"`,
		"mx1.example.org. 300 IN SOA a. b. 1 2 3 4 5",
		"mx1.example.org. 300 IN PTR <b>.example.org.",
		"mx1.example.org. 300 IN AAAA 2001:db8::1",
	} {
		rr, err := mdns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := new(mdns.Msg)
		m.SetQuestion("mx1.example.org.", rr.Header().Rrtype)
		m.Id, m.Response, m.RecursionAvailable = 0x1234, true, true
		m.Answer = []mdns.RR{rr}
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, rr.Header().Rrtype, false)
		f.Add(raw[:len(raw)-3], rr.Header().Rrtype, true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, typ uint16, tcp bool) {
		m, err := accept(q(Type(typ)), raw, tcp)
		if err != nil {
			if !errors.Is(err, errStray) && !errors.Is(err, errCase) && !errors.Is(err, errTruncated) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		if d := delegation(m, "mx1.example.org."); (d.Status == TryLater) != (d.Err != nil) || d.Status == Found && len(d.Servers) == 0 {
			t.Fatalf("delegation %+v", d)
		}
		if verdict(m) != nil {
			return
		}
		w := walk{typ: Type(typ), ttl: time.Hour, authentic: true}
		next, done, err := w.step("mx1.example.org.", reply{msg: m, trusted: true})
		switch {
		case err != nil:
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("unclassified: %v", err)
			}
		case !done:
			if next == "" {
				t.Fatal("nothing to ask next")
			}
			if _, err := build(next, Type(typ), true, true); err != nil {
				t.Fatalf("cannot ask for %q: %v", next, err)
			}
		case w.answer.Status == Found && (len(w.answer.Records) == 0 || len(w.answer.Records) > maxRecords):
			t.Fatalf("found with %d records", len(w.answer.Records))
		case w.answer.Status == TryLater:
			t.Fatal("done without a state")
		case w.answer.Status == Nothing && !w.answer.NXDomain && raw[7]|raw[6] != 0 && len(w.seen) == 0 && foreign(m):
			t.Fatal("denial with records in the answer")
		case w.answer.TTL < 0 || w.answer.TTL > time.Hour:
			t.Fatalf("TTL %v", w.answer.TTL)
		}
	})
}

// FuzzName: what normal lets pass can be sent, and is stable.
func FuzzName(f *testing.F) {
	for _, s := range []string{"example.org", "A.b.", ".", "", "a(b.org", "_x._tcp.example", strings.Repeat("a.", 127)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := normal(s)
		if !ok {
			return
		}
		if again, ok := normal(n); !ok || again != n {
			t.Fatalf("%q -> %q -> %q", s, n, again)
		}
		p, err := presentation(n)
		if err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		q, err := build(p, TypeA, true, true)
		if err != nil {
			t.Fatalf("%q: %v", n, err)
		}
		m := new(mdns.Msg)
		if err := m.Unpack(q.wire); err != nil || !strings.EqualFold(m.Question[0].Name, p) {
			t.Fatalf("%q was sent as %v (%v)", n, m.Question, err)
		}
	})
}

func TestCacheBounds(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	c := newCache(3, 1<<20)
	put := func(name string) { c.put(key{name, TypeA}, Answer{Status: Found, TTL: time.Minute}, now) }
	has := func(name string) bool { _, ok := c.get(key{name, TypeA}, now); return ok }
	put("a")
	put("b")
	put("c")
	has("a")
	put("d")
	if c.len() != 3 || has("b") || !has("a") || !has("c") || !has("d") {
		t.Error("the least recently used did not go")
	}
	if _, ok := c.get(key{"a", TypeA}, now.Add(time.Minute)); ok || c.len() != 2 {
		t.Error("an answer outlived its TTL")
	}
	big := newCache(1000, 10000)
	for i := range 50 {
		big.put(key{string(rune('a' + i)), TypeTXT}, Answer{Status: Found, TTL: time.Minute, Records: []Record{{Text: strings.Repeat("x", 2000)}}}, now)
	}
	if big.bytes > 10000 || big.len() != 4 {
		t.Errorf("%d bytes in %d entries", big.bytes, big.len())
	}
	for _, e := range big.entries {
		big.drop(e)
	}
	if big.bytes != 0 || big.ring.next != &big.ring {
		t.Error("the ring or the count is broken")
	}
}
