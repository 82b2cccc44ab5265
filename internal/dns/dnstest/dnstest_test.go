package dnstest_test

import (
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
)

const zone = `
$ORIGIN example.org.
@ SOA ns hostmaster 1 3600 600 86400 77
www A 192.0.2.1
*.wild TXT "any"
a.b.c A 192.0.2.2
alias CNAME www
one CNAME two
two CNAME one
`

func ask(t *testing.T, s *dnstest.Server, network, name string, typ uint16) *mdns.Msg {
	t.Helper()
	q := new(mdns.Msg)
	q.SetQuestion(name, typ)
	c := mdns.Client{Net: network, Timeout: 3 * time.Second}
	m, _, err := c.Exchange(q, s.Addr())
	if err != nil {
		t.Fatalf("%s %s: %v", network, name, err)
	}
	return m
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	for _, tc := range []struct {
		name          string
		typ           uint16
		rcode, answer int
		soa           string
	}{
		{"www.example.org.", mdns.TypeA, 0, 1, ""},
		{"WWW.example.org.", mdns.TypeA, 0, 1, ""},
		{"www.example.org.", mdns.TypeMX, 0, 0, "example.org."},
		{"c.example.org.", mdns.TypeA, 0, 0, "example.org."},
		{"no.example.org.", mdns.TypeA, 3, 0, "example.org."},
		{"x.y.wild.example.org.", mdns.TypeTXT, 0, 1, ""},
		{"x.wild.example.org.", mdns.TypeA, 0, 0, "example.org."},
		{"alias.example.org.", mdns.TypeA, 0, 2, ""},
		{"alias.example.org.", mdns.TypeCNAME, 0, 1, ""},
		{"one.example.org.", mdns.TypeA, 0, 16, ""},
		{"outside.test.", mdns.TypeA, 3, 0, "."},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := ask(t, s, network, tc.name, tc.typ)
			if m.Rcode != tc.rcode || len(m.Answer) != tc.answer || !m.Authoritative || !m.RecursionAvailable {
				t.Errorf("%s %s: %v", network, tc.name, m)
			}
			if tc.soa != "" && (len(m.Ns) != 1 || m.Ns[0].Header().Name != tc.soa || m.Ns[0].Header().Rrtype != mdns.TypeSOA) {
				t.Errorf("%s %s: authority %v", network, tc.name, m.Ns)
			}
		}
	}
	if n := s.Count("www.example.org"); n != 6 || s.CountType("www.example.org.", dns.TypeMX) != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestOrders(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	rcode := func(name string, typ uint16) int { return ask(t, s, "udp", name, typ).Rcode }
	s.Fail("*", dnstest.Refused)
	s.Fail("*.example.org", dnstest.ServFail)
	s.Fail("www.example.org", dnstest.NotImp)
	s.FailType("www.example.org", dns.TypeA, dnstest.FormErr)
	for _, tc := range []struct {
		name string
		typ  uint16
		want int
	}{
		{"test.", mdns.TypeA, mdns.RcodeRefused}, {"example.org.", mdns.TypeA, mdns.RcodeRefused}, {"a.b.example.org.", mdns.TypeA, mdns.RcodeServerFailure},
		{"www.example.org.", mdns.TypeMX, mdns.RcodeNotImplemented}, {"www.example.org.", mdns.TypeA, mdns.RcodeFormatError},
	} {
		if got := rcode(tc.name, tc.typ); got != tc.want {
			t.Errorf("%s %d: %s", tc.name, tc.typ, mdns.RcodeToString[got])
		}
	}
	s.FailType("www.example.org", dns.TypeA, dnstest.OK)
	if got := rcode("www.example.org.", mdns.TypeA); got != mdns.RcodeNotImplemented {
		t.Errorf("order for all types: %d", got)
	}
	m := func() *mdns.Msg { s.Fail("*", dnstest.Truncate); return ask(t, s, "udp", "x.test.", mdns.TypeA) }()
	if !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("not truncated: %v", m)
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	if _, err := dnstest.New("www.example.org. CNAME a.example.org.\nwww.example.org. A 192.0.2.1"); err == nil {
		t.Error("took a CNAME beside other records")
	}
	if _, err := dnstest.New("www.example.org. A nonsense"); err == nil {
		t.Error("took nonsense")
	}
	s, err := dnstest.New(zone)
	if err != nil {
		t.Fatal(err)
	}
	release := s.Hold("www.example.org")
	answer := make(chan dns.Answer, 1)
	go func() { answer <- s.Resolver(t).Query(t.Context(), "www.example.org", dns.TypeA) }()
	release()
	release()
	if a := <-answer; a.Status != dns.Found {
		t.Errorf("after release: %+v", a)
	}
	s.Close()
	s.Close()
	if a := s.Resolver(t).Query(t.Context(), "www.example.org", dns.TypeA); a.Status != dns.TryLater {
		t.Errorf("after Close: %+v", a)
	}
}
