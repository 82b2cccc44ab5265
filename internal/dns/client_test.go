package dns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"postern/internal/dns"
	"postern/internal/dns/dnstest"
)

// pipes is a Dial for a bubble without network: each connection goes to answer over net.Pipe; nil answers are silence.
func pipes(answer func(network, addr string, q *mdns.Msg) *mdns.Msg) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, addr string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			buf := make([]byte, 4096)
			for {
				n, err := far.Read(buf)
				if err != nil {
					return
				}
				raw := buf[:n]
				if network == "tcp" {
					raw = raw[2:]
				}
				q := new(mdns.Msg)
				if q.Unpack(raw) != nil {
					return
				}
				m := answer(network, addr, q)
				if m == nil {
					continue
				}
				out, err := m.Pack()
				if err != nil {
					return
				}
				if network == "tcp" {
					out = append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)
				}
				if _, err := far.Write(out); err != nil {
					return
				}
			}
		}()
		return near, nil
	}
}

func positive(q *mdns.Msg, ttl uint32) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: 1, Ttl: ttl}, A: []byte{192, 0, 2, 1}}}
	return m
}

func negative(q *mdns.Msg, rcode int, soaTTL, minimum uint32) *mdns.Msg {
	m := new(mdns.Msg)
	m.SetRcode(q, rcode)
	m.RecursionAvailable = true
	if soaTTL > 0 {
		m.Ns = []mdns.RR{&mdns.SOA{Hdr: mdns.RR_Header{Name: "example.org.", Rrtype: mdns.TypeSOA, Class: 1, Ttl: soaTTL},
			Ns: "ns.example.org.", Mbox: "h.example.org.", Minttl: minimum}}
	}
	return m
}

// TestCacheTimes: how long each kind of answer is kept, in faked time.
func TestCacheTimes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(q *mdns.Msg) *mdns.Msg
		want   dns.Status
		ttl    time.Duration
	}{
		{"positive by its TTL", func(q *mdns.Msg) *mdns.Msg { return positive(q, 300) }, dns.Found, 300 * time.Second},
		{"TTL zero is the minimum", func(q *mdns.Msg) *mdns.Msg { return positive(q, 0) }, dns.Found, 5 * time.Second},
		{"a day is cut to an hour", func(q *mdns.Msg) *mdns.Msg { return positive(q, 86400) }, dns.Found, time.Hour},
		{"TTL with the highest bit is zero", func(q *mdns.Msg) *mdns.Msg { return positive(q, 1<<31+60) }, dns.Found, 5 * time.Second},
		{"NXDOMAIN by the SOA minimum", func(q *mdns.Msg) *mdns.Msg { return negative(q, 3, 900, 60) }, dns.Nothing, 60 * time.Second},
		{"NODATA by the SOA TTL", func(q *mdns.Msg) *mdns.Msg { return negative(q, 0, 30, 600) }, dns.Nothing, 30 * time.Second},
		{"denial without SOA is the minimum", func(q *mdns.Msg) *mdns.Msg { return negative(q, 3, 0, 0) }, dns.Nothing, 5 * time.Second},
		{"SERVFAIL five seconds", func(q *mdns.Msg) *mdns.Msg { return negative(q, 2, 0, 0) }, dns.TryLater, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				c := client(t, dns.Options{Servers: []string{"192.0.2.53"}, Dial: pipes(func(_, _ string, q *mdns.Msg) *mdns.Msg {
					asked.Add(1)
					return tc.answer(q)
				})})
				query := func() dns.Answer { return c.Query(t.Context(), "x.example.org", dns.TypeA) }
				if a := query(); a.Status != tc.want || a.TTL != tc.ttl {
					t.Fatalf("got %v for %v", a.Status, a.TTL)
				}
				time.Sleep(tc.ttl - time.Second)
				if a := query(); a.TTL != time.Second || asked.Load() != 1 {
					t.Errorf("a second before the end: left %v, asked %d", a.TTL, asked.Load())
				}
				time.Sleep(time.Second)
				if a := query(); a.Status != tc.want || asked.Load() != 2 {
					t.Errorf("at the end: %v, asked %d", a.Status, asked.Load())
				}
			})
		})
	}
}

// TestOutage: six hours of trouble of every kind, then the truth; never Nothing meanwhile.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		var mended atomic.Bool
		c := client(t, dns.Options{Servers: []string{"192.0.2.53", "192.0.2.54"}, Timeout: 3 * time.Second,
			Dial: pipes(func(network, _ string, q *mdns.Msg) *mdns.Msg {
				if mended.Load() {
					return positive(q, 60)
				}
				switch n.Add(1) % 5 {
				case 0:
					return nil
				case 1:
					return negative(q, mdns.RcodeServerFailure, 0, 0)
				case 2:
					return negative(q, mdns.RcodeRefused, 0, 0)
				case 3:
					m := negative(q, mdns.RcodeSuccess, 0, 0)
					m.RecursionAvailable = false
					return m
				}
				m := negative(q, mdns.RcodeNameError, 0, 0)
				m.Truncated = true
				return m
			})})
		for range 6 * 60 {
			if a := c.Query(t.Context(), "x.example.org", dns.TypeA); a.Status != dns.TryLater || a.Err == nil {
				t.Fatalf("during the outage: %+v", a)
			}
			time.Sleep(time.Minute)
		}
		mended.Store(true)
		if a := c.Query(t.Context(), "x.example.org", dns.TypeA); a.Status != dns.Found {
			t.Fatalf("after it: %+v", a)
		}
	})
}

func TestSingleFlight(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	release := s.Hold("mx1.example.org")
	c := client(t, dns.Options{Servers: []string{s.Addr()}, Timeout: 10 * time.Second})
	// A caller whose context has ended asks nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if a := c.Query(t.Context(), "mx1.example.org", dns.TypeA); a.Status != dns.Found {
				t.Errorf("%+v", a)
			}
		})
	}
	if a := c.Query(ctx, "mx1.example.org", dns.TypeA); a.Status != dns.TryLater || !errors.Is(a.Err, dns.ErrTimeout) || !errors.Is(a.Err, context.Canceled) {
		t.Errorf("given up: %+v", a)
	}
	release()
	wg.Wait()
	if n := s.Count("mx1.example.org"); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestImpatientFirst: the caller who began the question gives up, the one who joined still gets the answer.
func TestImpatientFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		c := client(t, dns.Options{Servers: []string{"192.0.2.53"}, Timeout: 10 * time.Second, Dial: pipes(func(_, _ string, q *mdns.Msg) *mdns.Msg {
			asked.Add(1)
			time.Sleep(3 * time.Second)
			return positive(q, 60)
		})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if a := c.Query(ctx, "example.org", dns.TypeA); !errors.Is(a.Err, dns.ErrTimeout) {
				t.Errorf("first: %+v", a)
			}
		})
		time.Sleep(500 * time.Millisecond)
		if a := c.Query(t.Context(), "example.org", dns.TypeA); a.Status != dns.Found || asked.Load() != 1 {
			t.Errorf("second: %+v after %d packets", a, asked.Load())
		}
		wg.Wait()
	})
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, dns.Options{Servers: []string{"192.0.2.53"}, Timeout: 3 * time.Second, Dial: pipes(func(_, _ string, _ *mdns.Msg) *mdns.Msg { return nil })})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if a := c.Query(ctx, "example.org", dns.TypeA); a.Status != dns.TryLater || !errors.Is(a.Err, dns.ErrTimeout) {
			t.Errorf("%+v", a)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v", d)
		}
		time.Sleep(time.Minute) // the question in the background ends
	})
}

func TestConcurrencyCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		c := client(t, dns.Options{Servers: []string{"192.0.2.53"}, Concurrency: 3, Timeout: time.Minute, Total: time.Hour,
			Dial: pipes(func(_, _ string, q *mdns.Msg) *mdns.Msg {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return positive(q, 60)
			})})
		var wg sync.WaitGroup
		var busy atomic.Int64
		for i := range 200 {
			wg.Go(func() {
				a := c.Query(t.Context(), "n"+string(rune('a'+i%26))+string(rune('a'+i/26))+".example.org", dns.TypeA)
				if errors.Is(a.Err, dns.ErrBusy) {
					busy.Add(1)
				} else if a.Status != dns.Found {
					t.Errorf("%+v", a)
				}
			})
		}
		wg.Wait()
		if most.Load() != 3 || busy.Load() != 200-3*33 {
			t.Errorf("at once %d, turned away %d", most.Load(), busy.Load())
		}
	})
}

func TestFailover(t *testing.T) {
	t.Parallel()
	bad, good := dnstest.Start(t, zone), dnstest.Start(t, zone)
	for _, mode := range []dnstest.Mode{dnstest.Timeout, dnstest.ServFail, dnstest.Refused, dnstest.Malformed, dnstest.Lame, dnstest.WrongID} {
		bad.Fail("*", mode)
		c := client(t, dns.Options{Servers: []string{bad.Addr(), good.Addr()}})
		if a := dns.MX(t.Context(), c, "example.org"); a.Status != dns.Found {
			t.Errorf("mode %d: %+v", mode, a)
		}
	}
	// The silent one is asked last for a while.
	bad.Fail("*", dnstest.Timeout)
	c := client(t, dns.Options{Servers: []string{bad.Addr(), good.Addr()}, CacheEntries: -1})
	dns.MX(t.Context(), c, "example.org")
	before := bad.Total()
	dns.MX(t.Context(), c, "example.org")
	if bad.Total() != before {
		t.Error("the silent server was asked first again")
	}
	// A failed validation is not overruled by the next server.
	bad.Fail("*", dnstest.Bogus)
	c = client(t, dns.Options{Servers: []string{bad.Addr(), good.Addr()}})
	if a := dns.MX(t.Context(), c, "example.org"); !errors.Is(a.Err, dns.ErrBogus) {
		t.Errorf("bogus: %+v", a)
	}
}

func TestAuthentic(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	s.SetSecure(true)
	if a := dns.MX(t.Context(), client(t, dns.Options{Servers: []string{s.Addr()}}), "example.org"); !a.Authentic {
		t.Error("AD of a server on loopback does not count")
	}
	elsewhere := func(trust bool) *dns.Client {
		return client(t, dns.Options{Servers: []string{"192.0.2.53"}, TrustAD: trust, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr())
		}})
	}
	if a := dns.MX(t.Context(), elsewhere(false), "example.org"); a.Authentic || a.Status != dns.Found {
		t.Errorf("AD from elsewhere counts: %+v", a)
	}
	if a := dns.MX(t.Context(), elsewhere(true), "example.org"); !a.Authentic {
		t.Error("AD of a trusted server does not count")
	}
	s.SetSecure(false)
	if a := dns.MX(t.Context(), client(t, dns.Options{Servers: []string{s.Addr()}}), "example.org"); a.Authentic {
		t.Error("authentic without AD")
	}
}

// TestEntropy: ids, source ports and letter case are not predictable (CVE-2019-19794).
func TestEntropy(t *testing.T) {
	t.Parallel()
	const n = 300
	ids, ports, cases := map[uint16]int{}, map[string]int{}, map[string]int{}
	var bits [16]int
	var mu sync.Mutex
	s := dnstest.Start(t, zone)
	s.SetHook(func(_ string, q *mdns.Msg) dnstest.Reply {
		mu.Lock()
		defer mu.Unlock()
		ids[q.Id]++
		cases[q.Question[0].Name]++
		for i := range bits {
			bits[i] += int(q.Id >> i & 1)
		}
		if !q.RecursionDesired || q.IsEdns0() == nil || !q.IsEdns0().Do() || q.IsEdns0().UDPSize() != 1232 {
			t.Error("question without RD, EDNS 1232 or DO")
		}
		return dnstest.Reply{Pass: true}
	})
	c := client(t, dns.Options{Servers: []string{s.Addr()}, CacheEntries: -1, Timeout: 5 * time.Second,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				ports[conn.LocalAddr().String()]++
			}
			return conn, err
		}})
	for range n {
		c.Query(t.Context(), "a-rather-long-name-with-many-letters.example.org", dns.TypeA)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ids) < n-10 || len(ports) < n*9/10 || len(cases) < n-2 {
		t.Errorf("of %d questions: %d ids, %d ports, %d spellings", n, len(ids), len(ports), len(cases))
	}
	for i, b := range bits {
		if b < n/3 || b > n*2/3 {
			t.Errorf("id bit %d set in %d of %d", i, b, n)
		}
	}
}

// TestForger: packets with guessed ids before the true one do no harm, many of them lead to TCP.
func TestForger(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		forged  int
		wantTCP bool
	}{{"a few", 5, false}, {"many", 50, true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t, zone)
			c := client(t, dns.Options{Servers: []string{s.Addr()}, Timeout: 2 * time.Second, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				if network == "udp" && err == nil {
					conn = &forger{Conn: conn, left: tc.forged}
				}
				return conn, err
			}})
			a := c.Query(t.Context(), "mx1.example.org", dns.TypeA)
			if a.Status != dns.Found || a.Records[0].IP.String() != "192.0.2.1" {
				t.Errorf("%+v", a)
			}
			if st := c.Stats(); (st.SentTCP > 0) != tc.wantTCP || st.Strays == 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

type forger struct {
	net.Conn
	left int
	sent []byte
}

func (f *forger) Write(b []byte) (int, error) {
	f.sent = bytes.Clone(b)
	return f.Conn.Write(b)
}

func (f *forger) Read(b []byte) (int, error) {
	if f.left == 0 {
		return f.Conn.Read(b)
	}
	f.left--
	q := new(mdns.Msg)
	if err := q.Unpack(f.sent); err != nil {
		return 0, err
	}
	m := positive(q, 300)
	m.Id += uint16(f.left + 1)
	raw, err := m.Pack()
	return copy(b, raw), err
}

// TestCaseRemembered: a server that folds case costs TCP once, then it is asked in plain case.
func TestCaseRemembered(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t, zone)
	s.Fail("*", dnstest.LowerCase)
	c := client(t, dns.Options{Servers: []string{s.Addr()}, CacheEntries: -1})
	for range 5 {
		if a := c.Query(t.Context(), "some-long-name.wild.example.org", dns.TypeA); a.Status != dns.Found {
			t.Fatalf("%+v", a)
		}
	}
	if st := c.Stats(); st.SentTCP != 1 || st.CaseFallback != 1 {
		t.Errorf("%+v", st)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	s := dnstest.Start(t, zone)
	if err := os.WriteFile(file, []byte("search example.org\nnameserver 127.0.0.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Value
	c := client(t, dns.Options{ResolvConf: file, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked.Store(addr)
		return new(net.Dialer).DialContext(ctx, network, s.Addr())
	}})
	if a := dns.MX(t.Context(), c, "example.org"); a.Status != dns.Found || asked.Load() != "127.0.0.9:53" {
		t.Errorf("asked %v: %+v", asked.Load(), a)
	}
	for _, o := range []dns.Options{{Servers: []string{"ns.example.org"}}, {Servers: []string{"1.2.3.4:x"}}, {ResolvConf: file + ".not"},
		{Servers: []string{"::1"}, MinTTL: time.Hour, MaxTTL: time.Minute}} {
		if _, err := dns.New(o); err == nil {
			t.Errorf("taken: %+v", o)
		}
	}
}

func BenchmarkCached(b *testing.B) {
	s, err := dnstest.New(zone)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := client(b, dns.Options{Servers: []string{s.Addr()}, Timeout: 5 * time.Second})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if a := c.Query(ctx, "example.org", dns.TypeMX); a.Status != dns.Found {
			b.Fatal(a.Err)
		}
	}
}

func BenchmarkUncached(b *testing.B) {
	s, err := dnstest.New(zone)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := client(b, dns.Options{Servers: []string{s.Addr()}, Timeout: 5 * time.Second, CacheEntries: -1})
	b.ReportAllocs()
	for b.Loop() {
		if a := c.Query(context.Background(), "example.org", dns.TypeMX); a.Status != dns.Found {
			b.Fatal(a.Err)
		}
	}
}
