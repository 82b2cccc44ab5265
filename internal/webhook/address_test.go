package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/dns/dnstest"
	"postern/internal/webhook"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		url  string
		want error
	}{
		{"https://hooks.example.org/postern?x=1", nil},
		{"https://hooks.example.org:8443/", nil},
		{"https://hooks.example.org:443", nil},
		{"https://9.9.9.9/", nil},
		{"https://[2606:4700::1111]/", nil},
		{"https://[64:ff9b::909:909]/", nil},
		{"https://hooks.example.org./", nil},
		{"http://hooks.example.org/", webhook.ErrScheme},
		{"http://127.0.0.1:8080/", webhook.ErrScheme},
		{"http://localhost:8080/", webhook.ErrScheme},
		{"ftp://hooks.example.org/", webhook.ErrScheme},
		{"gopher://hooks.example.org/", webhook.ErrScheme},
		{"file:///etc/passwd", webhook.ErrNoAddress},
		{"https:hooks.example.org", webhook.ErrNoAddress},
		{"https://", webhook.ErrNoAddress},
		{"https://:443/", webhook.ErrNoAddress},
		{"https://hooks.example.org:/", webhook.ErrNoAddress},
		{"https://hooks.example.org:25/", webhook.ErrPort},
		{"https://hooks.example.org:80/", webhook.ErrPort},
		{"https://hooks.example.org:0/", webhook.ErrPort},
		{"https://hooks.example.org:70000/", webhook.ErrPort},
		{"https://user:secret@hooks.example.org/", webhook.ErrUserInfo},
		{"https://hooks.example.org@127.0.0.1/", webhook.ErrUserInfo},
		{"https://localhost/", webhook.ErrForbidden},
		{"https://a.localhost/", webhook.ErrForbidden},
		{"https://intranet/", webhook.ErrNoAddress},
		{"https://127.0.0.1/", webhook.ErrForbidden},
		{"https://127.1/", webhook.ErrNoAddress},
		{"https://2130706433/", webhook.ErrNoAddress},
		{"https://0x7f000001/", webhook.ErrNoAddress},
		{"https://0x7f.0.0.1/", webhook.ErrNoAddress},
		{"https://0177.0.0.1/", webhook.ErrNoAddress},
		{"https://10.0.0.1/", webhook.ErrForbidden},
		{"https://100.64.0.1/", webhook.ErrForbidden},
		{"https://100.100.100.200/", webhook.ErrForbidden},
		{"https://169.254.169.254/latest/meta-data/", webhook.ErrForbidden},
		{"https://168.63.129.16/", webhook.ErrForbidden},
		{"https://172.31.255.255/", webhook.ErrForbidden},
		{"https://192.168.1.1/", webhook.ErrForbidden},
		{"https://192.0.0.192/", webhook.ErrForbidden},
		{"https://198.18.0.1/", webhook.ErrForbidden},
		{"https://224.0.0.1/", webhook.ErrForbidden},
		{"https://255.255.255.255/", webhook.ErrForbidden},
		{"https://0.0.0.0/", webhook.ErrForbidden},
		{"https://[::]/", webhook.ErrForbidden},
		{"https://[::1]/", webhook.ErrForbidden},
		{"https://[::ffff:127.0.0.1]/", webhook.ErrForbidden},
		{"https://[::ffff:a00:1]/", webhook.ErrForbidden},
		{"https://[::127.0.0.1]/", webhook.ErrForbidden},
		{"https://[64:ff9b::7f00:1]/", webhook.ErrForbidden},
		{"https://[64:ff9b::a9fe:a9fe]/", webhook.ErrForbidden},
		{"https://[64:ff9b:1::7f00:1]/", webhook.ErrForbidden},
		{"https://[2002:7f00:1::]/", webhook.ErrForbidden},
		{"https://[2001::1]/", webhook.ErrForbidden},
		{"https://[fc00::1]/", webhook.ErrForbidden},
		{"https://[fd00:ec2::254]/", webhook.ErrForbidden},
		{"https://[fe80::1]/", webhook.ErrForbidden},
		{"https://[fe80::1%25eth0]/", webhook.ErrForbidden},
		{"https://[fec0::1]/", webhook.ErrForbidden},
		{"https://[ff02::1]/", webhook.ErrForbidden},
		{"https://[2001:db8::1]/", webhook.ErrForbidden},
		{"https://hooks.example.org/\r\nHost: x", webhook.ErrNoAddress},
		{"https://hooks.exa mple.org/", webhook.ErrNoAddress},
		{"https://h\u00f6oks.example.org/", webhook.ErrNoAddress},
		{"https://hooks.example.org/" + strings.Repeat("x", 2000), webhook.ErrNoAddress},
	} {
		if err := (webhook.Policy{}).Check(tc.url); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.url, err, tc.want)
		}
	}
	for _, tc := range []struct {
		policy webhook.Policy
		url    string
		ok     bool
	}{
		{loopback, "http://127.0.0.1:8080/", true}, {loopback, "http://localhost:8080/", true}, {loopback, "https://localhost/", true}, {loopback, "http://127.0.0.1/", false},
		{loopback, "https://10.0.0.1/", false}, {loopback, "http://hooks.example.org/", false},
		{webhook.Policy{Private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, "https://10.1.2.3/", true},
		{webhook.Policy{Private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, "http://10.1.2.3:8080/", false},
		{webhook.Policy{Private: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}, "http://localhost:8080/", false},
		{webhook.Policy{Trusted: true}, "https://10.1.2.3/", true}, {webhook.Policy{Trusted: true}, "http://localhost/", true}, {webhook.Policy{Trusted: true}, "http://10.1.2.3/", false},
	} {
		if err := tc.policy.Check(tc.url); (err == nil) != tc.ok {
			t.Errorf("%+v %s: %v", tc.policy, tc.url, err)
		}
	}
}

// count is a server that counts who reaches it.
func count(t *testing.T, server func(http.Handler) *httptest.Server) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	s := server(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n.Add(1) }))
	t.Cleanup(s.Close)
	return s, &n
}

func port(t *testing.T, s *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// TestNamesThatLeadInside posts to names whose addresses are none of the internet: nothing is connected to, whichever of them it is.
func TestNamesThatLeadInside(t *testing.T) {
	t.Parallel()
	target, reached := count(t, httptest.NewTLSServer)
	zone := dnstest.Start(t, `
local.example.org. A 127.0.0.1
ten.example.org. A 10.0.0.1
meta.example.org. A 169.254.169.254
six.example.org. AAAA ::1
mapped.example.org. AAAA ::ffff:127.0.0.1
nat.example.org. AAAA 64:ff9b::7f00:1
alias.example.org. CNAME local.example.org.
both.example.org. A 127.0.0.1
both.example.org. AAAA ::1
`)
	c := webhook.NewClient(webhook.Policy{}, zone.Resolver(t), nil)
	for _, name := range []string{"local", "ten", "meta", "six", "mapped", "nat", "alias", "both"} {
		a := c.Post(t.Context(), "https://"+name+".example.org:"+port(t, target)+"/", "id", []byte("{}"), start, []byte("secret"))
		if a.Outcome != webhook.Forbidden {
			t.Errorf("%s: %s", name, a.Outcome)
		}
	}
	if a := c.Post(t.Context(), "https://none.example.org/", "id", []byte("{}"), start, []byte("secret")); a.Outcome != webhook.Unnamed {
		t.Errorf("a name without address: %s", a.Outcome)
	}
	if reached.Load() != 0 {
		t.Error("something inside was reached")
	}
}

// TestRebinding lets a name lead to where posts may go, then elsewhere.
func TestRebinding(t *testing.T) {
	t.Parallel()
	target, reached := count(t, httptest.NewTLSServer)
	zone := dnstest.Start(t, "hooks.example.org. 1 A 127.0.0.1\n")
	roots := x509.NewCertPool()
	roots.AddCert(target.Certificate())
	policy := webhook.Policy{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	post := func() webhook.Outcome { // a client of its own: nothing is remembered from the time before
		c := webhook.NewClient(policy, zone.Resolver(t), &tls.Config{RootCAs: roots, ServerName: "example.com"})
		return c.Post(t.Context(), "https://hooks.example.org:"+port(t, target)+"/", "id", []byte("{}"), start, []byte("secret")).Outcome
	}
	if got := post(); got != webhook.Taken {
		t.Fatalf("%s", got)
	}
	if err := zone.Set("hooks.example.org. 1 A 127.0.0.2\n"); err != nil {
		t.Fatal(err)
	}
	if got := post(); got != webhook.Forbidden {
		t.Errorf("after it moved: %s", got)
	}
	if reached.Load() != 1 {
		t.Errorf("reached %d times", reached.Load())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	inside, reached := count(t, httptest.NewServer)
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := httptest.NewServer(http.RedirectHandler(inside.URL, code))
		a := webhook.NewClient(loopback, nil, nil).Post(t.Context(), s.URL, "id", []byte("{}"), start, []byte("secret"))
		if a.Outcome != webhook.Refused || a.Status != code {
			t.Errorf("%d: %+v", code, a)
		}
		s.Close()
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	secure, _ := count(t, httptest.NewTLSServer)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	c := webhook.NewClient(loopback, nil, nil)
	for _, tc := range []struct {
		name, url string
		want      webhook.Outcome
	}{
		{"a certificate that nobody vouches for", secure.URL, webhook.Insecure},
		{"TLS 1.1", old.URL, webhook.Insecure},
		{"no TLS behind https", "https" + strings.TrimPrefix(endless.URL, "http"), webhook.Insecure},
		{"nobody listens", "http://" + nobody, webhook.Unreachable},
		{"an answer without end", endless.URL, webhook.Taken},
		{"forbidden by itself", "https://10.0.0.1/", webhook.Forbidden},
	} {
		if a := c.Post(t.Context(), tc.url, "id", []byte("{}"), start, []byte("secret")); a.Outcome != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, a.Outcome, tc.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	if a := c.Post(ctx, silent.URL, "id", nil, start, []byte("secret")); a.Outcome != webhook.Timeout {
		t.Errorf("silence: %s", a.Outcome)
	}
}

func TestRetryAfterField(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "0": 10 * time.Second, "5": 10 * time.Second, " 120 ": 2 * time.Minute, "999999": 3 * time.Hour, "99999999999999999999999": 3 * time.Hour,
		"Sun, 22 Nov 2026 09:05:00 GMT": 5 * time.Minute, "Sun, 22 Nov 2020 09:05:00 GMT": 10 * time.Second, "Sun, 22 Nov 2099 09:05:00 GMT": 3 * time.Hour, "1.5": 0,
	} {
		if got := webhook.RetryAfter(text, start); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://hooks.example.org/", "https://[::ffff:127.0.0.1]/", "https://user@h/", "http://localhost:1/", "https://0x7f.1/", "https://a\\@b/", "https://[fe80::1%25x]:99999/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if (webhook.Policy{}).Check(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.User != nil {
			t.Fatalf("%q is taken", text)
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && (!ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Unmap().IsLoopback()) {
			t.Fatalf("%q is taken", text)
		}
		if _, err := http.NewRequest(http.MethodPost, text, nil); err != nil {
			t.Fatalf("%q is taken and cannot be asked: %v", text, err)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "5", "Sun, 22 Nov 2026 09:05:00 GMT", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d := webhook.RetryAfter(text, start); d != 0 && (d < 10*time.Second || d > 3*time.Hour) {
			t.Fatalf("%q: %s", text, d)
		}
	})
}
