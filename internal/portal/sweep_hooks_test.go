package portal_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"postern/internal/config"
	"postern/internal/user"
	"postern/internal/webhook"
)

// TestSweepHookAnswers: whatever a webhook's server answers, the pages show it as text or not at all, follow nothing, and keep nothing of it.
func TestSweepHookAnswers(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Webhooks.Private = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	admin := g.as(t, user.CustomerAdmin, "shop")
	var inner atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inner.Add(1) }))
	t.Cleanup(inside.Close)
	loud := strings.NewReplacer("\r", "", "\n", "").Replace(evil)
	for i, said := range []string{
		"HTTP/1.1 500 " + loud + "\r\nContent-Type: text/html\r\nX-Evil: " + loud + "\r\nContent-Length: 60\r\n\r\n" + evil,
		"HTTP/1.1 999 <zqx>\r\nSet-Cookie: postern=evil\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 <script>alert(1)</script>\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + evil,
		"HTTP/1.1 302 Found\r\nLocation: " + inside.URL + "/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: " + inside.URL + "/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 429 <zqx>\r\nRetry-After: " + loud + "\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 410 <zqx>\r\nContent-Length: 0\r\n\r\n",
		"<zqx>" + evil + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n" + strings.Repeat("A", 100000),
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("y", 1000)+"\r\n", 3000) + "\r\n",
		"",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = conn.Read(make([]byte, 64<<10))
					_, _ = conn.Write([]byte(said))
				}()
			}
		}()
		h, err := g.Webhooks().Add(t.Context(), "shop", webhook.Settings{Label: fmt.Sprint("hook ", i), URL: "http://" + l.Addr().String() + "/%3Czqx%3E"}, "operator:x")
		if err != nil {
			t.Fatal(err)
		}
		at := "/c/shop/webhooks/" + h.ID
		if a := admin.ask(t, "POST", at+"/test", url.Values{}); a.status >= 500 {
			t.Errorf("test of answer %d: %d", i, a.status)
		} else {
			harmless(t, "what the test says", a.body)
		}
		for _, path := range []string{at + "?lang=en", at + "?lang=fr", "/c/shop/webhooks?lang=en", "/c/shop/history"} {
			a := admin.ask(t, "GET", path, nil)
			if a.status != http.StatusOK {
				t.Errorf("%s after answer %d: %d", path, i, a.status)
			}
			harmless(t, path, a.body)
			if strings.Contains(a.body, "alert(1)") || a.header.Get("Set-Cookie") != "" {
				t.Errorf("%s after answer %d shows what was answered", path, i)
			}
		}
		if err := g.Webhooks().Remove(t.Context(), h.ID); err != nil { // a customer has only so many
			t.Fatal(err)
		}
	}
	if n := inner.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// inward are addresses in all forms that lead into networks of our own, or are none: what internal/webhook refuses, the forms and the API refuse as well.
var inward = []string{"http://hooks.example.org/", "http://127.0.0.1:8080/", "http://localhost:8080/", "ftp://hooks.example.org/", "gopher://hooks.example.org:70/", "file:///etc/passwd", "javascript:alert(1)", "https:hooks.example.org", "https://", "https:///x", "//example.org/", "https://:443/",
	"https://hooks.example.org:/", "https://hooks.example.org:25/", "https://hooks.example.org:22/", "https://hooks.example.org:80/", "https://hooks.example.org:0/", "https://hooks.example.org:70000/", "https://user:secret@hooks.example.org/", "https://hooks.example.org@127.0.0.1/", "https://localhost/",
	"https://a.localhost/", "https://LOCALHOST/", "https://intranet/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0x7f.1/", "https://0177.0.0.1/", "https://10.0.0.1/", "https://100.64.0.1/", "https://100.100.100.200/",
	"https://169.254.169.254/latest/meta-data/", "https://168.63.129.16/", "https://172.31.255.255/", "https://192.168.1.1/", "https://192.0.0.192/", "https://198.18.0.1/", "https://224.0.0.1/", "https://255.255.255.255/", "https://0.0.0.0/", "https://[::]/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
	"https://[::ffff:a00:1]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b:1::7f00:1]/", "https://[2002:7f00:1::]/", "https://[2001::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
	"https://[fec0::1]/", "https://[ff02::1]/", "https://[2001:db8::1]/", "https://hooks.example.org/\r\nHost: x", "https://hooks.exa mple.org/", "https://h\u00f6oks.example.org/", "https://hooks.example.org/" + strings.Repeat("x", 2000)}

// TestSweepInwardEverywhere: the forms and the API refuse every form of an inward address, for a new webhook and for one that there is.
func TestSweepInwardEverywhere(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	admin, operator := &crew{role: user.CustomerAdmin, customer: "alfa"}, &crew{role: user.Operator}
	by := w.as(t, user.CustomerAdmin, "alfa").user
	_, token, err := w.Users().AddToken(t.Context(), by.Principal(), user.Token{Customer: "alfa", Label: "hooks", Rights: []user.Right{user.HooksRead, user.HooksWrite}})
	if err != nil {
		t.Fatal(err)
	}
	mine, _ := w.a.path(t, "/c/{customer}/webhooks/{hook}", "alfa")
	gateways, _ := w.o.path(t, "/o/webhooks/{hook}", "")
	id := mine[strings.LastIndexByte(mine, '/')+1:]
	before := w.a.state(t, w.gateway)
	for _, to := range inward {
		for _, at := range []struct {
			c    *crew
			path string
		}{{admin, "/c/alfa/webhooks"}, {admin, mine}, {operator, "/o/webhooks"}, {operator, gateways}} {
			if a := w.send(t, at.c, "POST", at.path, url.Values{"label": {"x"}, "url": {to}}); a.status != http.StatusUnprocessableEntity {
				t.Errorf("%s to %q: %d", at.path, to, a.status)
			}
		}
		text := fmt.Sprintf(`{"url":%q,"label":"x"}`, to)
		for _, x := range [][2]string{{"POST", "/api/v1/webhooks"}, {"PUT", "/api/v1/webhooks/" + id}} {
			req, err := http.NewRequestWithContext(t.Context(), x[0], w.base+x[1], strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			n := w.visitor.Add(1)
			for name, value := range map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json", "X-Forwarded-For": fmt.Sprintf("198.19.%d.%d", n/250%250, n%250)} {
				req.Header.Set(name, value)
			}
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusUnprocessableEntity && res.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s to %q: %d", x[0], x[1], to, res.StatusCode)
			}
		}
	}
	if after := w.a.state(t, w.gateway); after != before {
		t.Errorf("something was made or changed:\n%s", difference(before, after))
	}
}
