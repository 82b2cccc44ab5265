package portal_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"postern/internal/user"
)

// client is a browser of a user who is signed in: gateway's requests, with his session's cookie.
type client struct {
	g      *gateway
	user   user.User
	cookie string // "name=secret"
}

// users numbers the users of tests, whose addresses differ.
var users atomic.Int64

// as makes a user with a role and signs him in. customer is "" for roles of the gateway.
func (g *gateway) as(t *testing.T, role user.Role, customer string) *client {
	t.Helper()
	n := users.Add(1)
	u, _, err := g.Users().Add(t.Context(), user.User{
		Address: address(t, fmt.Sprintf("%s%d@people.example.test", role, n)), Name: fmt.Sprintf("Some %s %d", role, n), Role: role, Customer: customer, Language: "en", Zone: "Europe/Paris",
	})
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := g.Users().NewSession(t.Context(), u.ID, netip.MustParseAddr("203.0.113.1"), "a test")
	if err != nil {
		t.Fatal(err)
	}
	return &client{g: g, user: u, cookie: "postern=" + secret}
}

// ask sends a request without following redirects.
func (c *client) ask(t *testing.T, method, path string, form url.Values, header ...string) answer {
	t.Helper()
	return c.g.ask(t, method, path, form, append([]string{"Cookie", c.cookie}, header...)...)
}

// get fetches a page that must be there.
func (c *client) get(t *testing.T, path string) string {
	t.Helper()
	a := c.ask(t, "GET", path, nil)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d\n%s", path, a.status, a.body)
	}
	return a.body
}

// must posts a form whose act must succeed, and returns the page after the redirect, with the sentence that is said once.
func (c *client) must(t *testing.T, path string, form url.Values) string {
	t.Helper()
	if form == nil {
		form = url.Values{}
	}
	a := c.ask(t, "POST", path, form)
	if a.status != http.StatusSeeOther {
		t.Fatalf("POST %s: %d\n%s", path, a.status, a.body)
	}
	cookies := []string{c.cookie}
	for _, set := range (&http.Response{Header: a.header}).Cookies() {
		if set.MaxAge >= 0 {
			cookies = append(cookies, set.Name+"="+set.Value)
		}
	}
	to := a.header.Get("Location")
	b := c.g.ask(t, "GET", to, nil, "Cookie", strings.Join(cookies, "; "))
	if b.status != http.StatusOK {
		t.Fatalf("GET %s: %d\n%s", to, b.status, b.body)
	}
	return b.body
}
