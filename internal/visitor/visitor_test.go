package visitor_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/visitor"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, remote string
		forwarded    []string
		want, net    string
	}{
		{"straight", "203.0.113.5:4711", nil, "203.0.113.5", "203.0.113.5/32"},
		{"from outside the field is not believed", "203.0.113.5:4711", []string{"198.51.100.1"}, "203.0.113.5", "203.0.113.5/32"},
		{"the web server here", "127.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1", "198.51.100.1/32"},
		{"the last entry only", "127.0.0.1:4711", []string{"192.0.2.9, 198.51.100.1"}, "198.51.100.1", "198.51.100.1/32"},
		{"the last field only", "[::1]:4711", []string{"192.0.2.9", "198.51.100.1 "}, "198.51.100.1", "198.51.100.1/32"},
		{"nonsense behind it", "127.0.0.1:4711", []string{"198.51.100.1,"}, "127.0.0.1", "127.0.0.1/32"},
		{"IPv6", "[2001:db8:1:2:3::4]:4711", nil, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"},
		{"mapped", "[::ffff:203.0.113.5]:4711", nil, "203.0.113.5", "203.0.113.5/32"},
		{"mapped loopback", "[::ffff:127.0.0.1]:4711", []string{"::ffff:198.51.100.1"}, "198.51.100.1", "198.51.100.1/32"},
		{"zone", "[fe80::1%eth0]:4711", nil, "fe80::1", "fe80::/64"},
		{"zone forwarded", "127.0.0.1:4711", []string{"fe80::1%x"}, "fe80::1", "fe80::/64"},
		{"socket", "@", nil, "invalid IP", "invalid Prefix"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tc.remote
			for _, f := range tc.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			a := visitor.Address(r)
			if got := a.String(); got != tc.want {
				t.Errorf("address %s, want %s", got, tc.want)
			}
			if got := visitor.Network(a).String(); got != tc.net {
				t.Errorf("network %s, want %s", got, tc.net)
			}
		})
	}
}

func TestSecure(t *testing.T) {
	t.Parallel()
	for _, https := range []bool{false, true} {
		h := http.Header{}
		visitor.Secure(h, "default-src 'none'", https)
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "Access-Control-Allow-Origin": ""} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if got := h.Get("Strict-Transport-Security") != ""; got != https {
			t.Errorf("https %v: Strict-Transport-Security %v", https, got)
		}
	}
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	l, now := visitor.NewLimiter[netip.Prefix](3, 3*time.Second), time.Unix(1_800_000_000, 0)
	a, b := netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("203.0.113.2/32")
	for i := range 3 {
		want := visitor.Allowance{Left: 2 - i, Reset: time.Duration(i+1) * time.Second}
		if got := l.Take(a, now); got != want {
			t.Fatalf("request %d: %+v, want %+v", i, got, want)
		}
	}
	if got, want := l.Take(a, now), (visitor.Allowance{Reset: 3 * time.Second, Wait: time.Second}); got != want {
		t.Errorf("the fourth request: %+v, want %+v", got, want)
	}
	if wait := l.Take(b, now).Wait; wait != 0 {
		t.Errorf("another network has to wait %v", wait)
	}
	if wait := l.Take(a, now.Add(time.Second)).Wait; wait != 0 {
		t.Errorf("after the pause it still has to wait %v", wait)
	}
	if wait := l.Take(a, now.Add(time.Second)).Wait; wait != time.Second {
		t.Errorf("refused requests counted: %v", wait)
	}
	if got := l.Take(a, now.Add(500*time.Millisecond)); got.Wait != 1500*time.Millisecond {
		t.Errorf("half a second earlier: %+v", got)
	}
	if got := l.Take(a, now.Add(time.Minute)); got.Left != 2 {
		t.Errorf("a minute later: %+v", got)
	}
}

// TestManyNames: memory is bounded, names that are known keep their own allowance, and room comes back with time.
func TestManyNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := visitor.NewLimiter[int](2, 2*time.Second)
		const many = 50_000
		for i := range many {
			l.Take(i+1, time.Now())
		}
		for i := range 2 {
			if wait := l.Take(many+1+i, time.Now()).Wait; wait != 0 {
				t.Errorf("stranger %d has to wait %v", i, wait)
			}
		}
		if l.Take(2*many, time.Now()).Wait == 0 {
			t.Error("names without room do not share an allowance")
		}
		if wait := l.Take(1, time.Now()).Wait; wait != 0 {
			t.Errorf("a known name has to wait %v", wait)
		}
		time.Sleep(3 * time.Second)
		for i := range 2 {
			if wait := l.Take(3*many, time.Now()).Wait; wait != 0 {
				t.Errorf("request %d after the flood has to wait %v", i, wait)
			}
		}
	})
}

func BenchmarkLimiter(b *testing.B) {
	l, now := visitor.NewLimiter[netip.Prefix](40, 40*time.Second), time.Now()
	a := netip.MustParsePrefix("203.0.113.1/32")
	b.ReportAllocs()
	for b.Loop() {
		l.Take(a, now)
	}
}

// BenchmarkLimiterFlood is each request from a network of its own.
func BenchmarkLimiterFlood(b *testing.B) {
	l, now := visitor.NewLimiter[int](40, 40*time.Second), time.Now()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		l.Take(i, now.Add(time.Duration(i)*time.Microsecond))
	}
}
