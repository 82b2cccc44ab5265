package cli_test

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/api"
	"postern/internal/journal"
	"postern/internal/user"
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

// TestUserByAddress: an address finds its own user, written as it may be, and never one whose address only contains it.
func TestUserByAddress(t *testing.T) {
	t.Parallel()
	g := start(t)
	ids := map[string]string{}
	for _, address := range []string{"joanna@example.org", "anna@example.org", "anna@example.org.example", "a_na@example.org"} {
		if code, _, errs := g.run(t.Context(), "user", "add", address, "--link"); code != 0 {
			t.Fatalf("%s: exit %d: %s", address, code, errs)
		}
		u, err := g.Users().ByAddress(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		ids[address] = u.ID
		if _, _, err := g.Users().NewSession(t.Context(), u.ID, address0, "browser of "+address); err != nil {
			t.Fatal(err)
		}
	}
	for name, whose := range map[string]string{"anna@example.org": "anna@example.org", "Anna@EXAMPLE.org": "anna@example.org", "a_na@example.org": "a_na@example.org", "joanna@example.org": "joanna@example.org"} {
		code, out, errs := g.run(t.Context(), "user", "sessions", name)
		if code != 0 || strings.Count(out, "browser of ") != 1 || !strings.Contains(out, "browser of "+whose) {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
	}
	for _, name := range []string{"nna@example.org", "%@example.org", "@example.org", "anna@example.or"} {
		if code, out, errs := g.run(t.Context(), "user", "remove", name); code != 2 || !strings.Contains(errs, "no user") {
			t.Errorf("%s: exit %d: %s%s", name, code, out, errs)
		}
	}
	for address, id := range ids {
		if u, err := g.Users().ByAddress(t.Context(), address); err != nil || u.ID != id {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestSuspendReason: why a customer was suspended stands in the journal and in the audit log; a reason that is too long suspends nobody.
func TestSuspendReason(t *testing.T) {
	t.Parallel()
	g := start(t)
	must := func(args ...string) {
		t.Helper()
		if code, _, errs := g.run(t.Context(), args...); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
	}
	suspended := func() bool {
		t.Helper()
		c, ok := g.Accounts().Customer("bakery")
		if !ok {
			t.Fatal("no customer")
		}
		return c.Suspended
	}
	must("customer", "add", "bakery", "--domain", "bakery.example")
	if code, _, errs := g.run(t.Context(), "customer", "suspend", "bakery", "--reason", strings.Repeat("x", 201)); code != 2 || !strings.Contains(errs, "reason") || suspended() {
		t.Errorf("exit %d: %s", code, errs)
	}
	must("customer", "suspend", "bakery", "--reason", "its password leaked")
	if !suspended() {
		t.Error("it may send")
	}
	found, err := g.Journal().Look(t.Context(), journal.Query{Customer: "bakery"})
	if err != nil || !slices.ContainsFunc(found.Facts, func(f journal.Fact) bool {
		return strings.Contains(f.Text, "customer suspended: its password leaked") && f.Actor == "operator:alice"
	}) {
		t.Errorf("%+v %v", found.Facts, err)
	}
	page, err := g.Users().Entries(t.Context(), user.EntryQuery{Everybody: true, Act: "customer.suspend"})
	if err != nil || !slices.ContainsFunc(page.Entries, func(e user.Entry) bool { return e.Subject == "bakery" && e.Text == "its password leaked" && !e.Failed }) {
		t.Errorf("%+v %v", page.Entries, err)
	}
}

// address0 is where the tests' sessions are.
var address0 = netip.MustParseAddr("192.0.2.10")
