package cli_test

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"postern/internal/api"
)

// unsecret replaces ids and secrets by marks of the same width.
func unsecret(text string) string {
	for _, r := range []struct{ from, to string }{
		{`pst_[a-z2-7]{16}_[A-Za-z0-9_-]{43}`, "pst_TOKEN"}, {`/(invite|reset)/[A-Za-z0-9_-]{43}`, "/$1/SECRET"}, {`\b[a-z2-7]{16}\b`, "ID--------------"},
	} {
		text = regexp.MustCompile(r.from).ReplaceAllString(text, r.to)
	}
	return stable(text)
}

func TestUserGolden(t *testing.T) {
	t.Parallel()
	g := start(t)
	for _, tc := range []struct {
		name string
		args []string
		warn bool
	}{
		{"user-list-none", []string{"user", "list"}, false},
		{"user-add-first", []string{"user", "add", "anna@example.org", "--name", "Anna", "--zone", "Europe/Paris"}, true},
		{"user-add", []string{"user", "add", "owner@shop.example", "--customer", "shop", "--language", "fr"}, false},
		{"user-add-link", []string{"user", "add", "reader@shop.example", "--customer", "shop", "--role", "reader", "--link"}, true},
		{"user-reset", []string{"user", "reset", "Owner@shop.example", "--link"}, true},
		{"user-disable", []string{"user", "disable", "reader@shop.example"}, false},
		{"user-list", []string{"user", "list"}, false},
		{"user-list-customer", []string{"user", "list", "--customer", "shop"}, false},
		{"user-enable", []string{"user", "enable", "reader@shop.example"}, false},
		{"user-remove", []string{"user", "remove", "reader@shop.example"}, false},
		{"user-sessions-none", []string{"user", "sessions", "anna@example.org"}, false},
		{"token-list-none", []string{"token", "list"}, false},
		{"token-add", []string{"token", "add", "owner@shop.example", "--customer", "shop", "--label", "web shop", "--right", "mail:send,mail:read", "--ends", "365d"}, true},
		{"token-list", []string{"token", "list", "shop"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := g.run(t.Context(), tc.args...)
			if code != 0 || (errs != "") != tc.warn {
				t.Fatalf("exit %d: %s", code, errs)
			}
			harmless(t, tc.name, out)
			golden(t, tc.name, unsecret(out))
		})
	}
}

func TestUserActs(t *testing.T) {
	t.Parallel()
	g := start(t)
	must := func(args ...string) string {
		t.Helper()
		code, out, errs := g.run(t.Context(), args...)
		if code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		return out
	}
	must("user", "add", "anna@example.org", "--link")
	u, err := g.Users().ByAddress(t.Context(), "anna@example.org")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := g.Users().NewSession(t.Context(), u.ID, address0, "Firefox\x1b[31m"); err != nil {
			t.Fatal(err)
		}
	}
	out := must("user", "sessions", u.ID)
	harmless(t, "sessions", out)
	if strings.Count(out, "Firefox") != 2 {
		t.Errorf("%s", out)
	}
	must("user", "sessions", "anna@example.org", "--end-all")
	if all, err := g.Users().Sessions(t.Context(), u.ID); err != nil || len(all) != 0 {
		t.Errorf("%v %v", all, err)
	}
	var token api.NewToken
	if err := json.Unmarshal([]byte(must("token", "add", "anna@example.org", "--label", "x", "--right", "gateway:read", "--json")), &token); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Users().Bearer(t.Context(), token.Secret, address0); err != nil {
		t.Error(err)
	}
	must("token", "revoke", token.Token.ID)
	if _, err := g.Users().Bearer(t.Context(), token.Secret, address0); err == nil {
		t.Error("a revoked token works")
	}
	for _, tc := range []struct {
		name string
		args []string
		text string
		code int
	}{
		{"taken", []string{"user", "add", "ANNA@example.org"}, "already", 2},
		{"no address", []string{"user", "add", "anna"}, "address", 2},
		{"role", []string{"user", "add", "x@example.org", "--role", "root"}, "role", 2},
		{"customer who is not there", []string{"user", "add", "x@example.org", "--customer", "nobody"}, "nobody", 2},
		{"last operator", []string{"user", "remove", "anna@example.org"}, "last operator", 2},
		{"nobody", []string{"user", "reset", "nobody@example.org"}, "no user", 2},
		{"token without a label", []string{"token", "add", "anna@example.org"}, "--label", 2},
		{"token with an unknown right", []string{"token", "add", "anna@example.org", "--label", "x", "--right", "root"}, "root", 2},
		{"token that ends never", []string{"token", "add", "anna@example.org", "--label", "x", "--right", "mail:read", "--ends", "soon"}, "soon", 2},
		{"no such token", []string{"token", "revoke", "nothing"}, "no such", 2},
	} {
		code, _, errs := g.run(t.Context(), tc.args...)
		if code != tc.code || !strings.Contains(errs, tc.text) {
			t.Errorf("%s: exit %d: %s", tc.name, code, errs)
		}
	}
}

// address0 is where the tests' sessions are.
var address0 = netip.MustParseAddr("192.0.2.10")
