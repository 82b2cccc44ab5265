package portal_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/dkim"
	"postern/internal/user"
)

// TestCheckup: what is typed is looked at, its report stays its maker's, and a customer learns nothing of the keys of others.
func TestCheckup(t *testing.T) {
	t.Parallel()
	g := start(t)
	shop, rival, operator := g.as(t, user.CustomerAdmin, "shop"), newShop(t, g, "rival"), g.as(t, user.Operator, "")
	const here = "/c/shop/check"
	if page := shop.get(t, here); !strings.Contains(page, `name="target"`) || strings.Contains(page, `name="probe"`) {
		t.Errorf("form: %s", page)
	}
	for field, bad := range map[string]url.Values{
		"neither a domain":      {"target": {"not a domain"}},
		"not a host name":       {"target": {"shop.example.test"}, "helo": {"a b"}},
		"Selectors are made of": {"target": {"shop.example.test"}, "selectors": {"p1 <script>"}},
		"Write IPs such as":     {"target": {"shop.example.test"}, "ip": {"300.1.1.1"}},
	} {
		if a := shop.ask(t, "POST", here, bad); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, field) {
			t.Errorf("%v: %d", bad, a.status)
		}
	}
	a := shop.ask(t, "POST", here, url.Values{"target": {"shop.example.test"}, "selectors": {"p1, p2"}})
	report := a.header.Get("Location")
	if a.status != http.StatusSeeOther || !strings.HasPrefix(report, here+"/") {
		t.Fatalf("%d %s", a.status, report)
	}
	page := shop.get(t, report)
	for _, want := range []string{"shop.example.test", "SPF", "DKIM", "DMARC", "MX", "points of 100", `name="selectors" value="p1, p2"`} {
		if !strings.Contains(page, want) {
			t.Errorf("report lacks %q", want)
		}
	}
	if page := shop.get(t, here); !strings.Contains(page, report) {
		t.Error("the report is not in the list")
	}
	// Whose report it is.
	for path, c := range map[string]*client{strings.Replace(report, "shop", "rival", 1): rival, strings.Replace(report, "/c/shop", "/o", 1): operator, here + "/GONE": shop} {
		if a := c.ask(t, "GET", path, nil); a.status != http.StatusNotFound || strings.Contains(a.body, "points of 100") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	// The keys of others.
	k, err := dkim.GenerateKey("shop.example.test", "hidden1", account.Ed25519)
	if err == nil {
		err = g.Accounts().AddKey(t.Context(), account.KeyRecord{Domain: "shop.example.test", Selector: "hidden1", Algorithm: account.Ed25519, PEM: k.PEM(), Active: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	look := func(c *client, base string) string {
		t.Helper()
		a := c.ask(t, "POST", base, url.Values{"target": {"shop.example.test"}})
		return c.get(t, a.header.Get("Location"))
	}
	if page := look(rival, "/c/rival/check"); strings.Contains(page, "hidden1") {
		t.Error("a customer sees which keys another has here")
	}
	if page := look(shop, here); !strings.Contains(page, "hidden1") {
		t.Error("the owner's key is not looked at")
	}
	if page := look(operator, "/o/check"); !strings.Contains(page, "hidden1") || !strings.Contains(operator.get(t, "/o/check"), `name="probe"`) {
		t.Error("the operator's check")
	}
	for _, target := range []string{"192.0.2.25", "news@shop.example.test"} {
		a := operator.ask(t, "POST", "/o/check", url.Values{"target": {target}})
		if page := operator.get(t, a.header.Get("Location")); !strings.Contains(page, target) {
			t.Errorf("%s: %s", target, page)
		}
	}
}

// TestOwnProbe: only for domains of his own a customer has mail servers connected to, and only a few times a minute.
func TestOwnProbe(t *testing.T) {
	t.Parallel()
	g := start(t)
	shop, rival := g.as(t, user.CustomerAdmin, "shop"), newShop(t, g, "rival")
	const late = "were not connected to this time"
	look := func(c *client, base, target string) string {
		t.Helper()
		a := c.ask(t, "POST", base, url.Values{"target": {target}})
		if a.status != http.StatusSeeOther {
			t.Fatalf("%s: %d", target, a.status)
		}
		return c.get(t, a.header.Get("Location"))
	}
	if page := shop.get(t, "/c/shop/check"); !strings.Contains(page, "port 25, greeting and encryption") {
		t.Error("the form does not say what is connected to")
	}
	refused := 0
	for i := range 12 { // an allowance comes back every 20 seconds, so that a slow machine needs some more
		if strings.Contains(look(shop, "/c/shop/check", "shop.example.test"), late) {
			if refused++; i < 3 {
				t.Errorf("check-up %d comes too soon", i)
			}
			break
		}
	}
	if refused == 0 {
		t.Error("nothing bounds what a customer has connected to")
	}
	for range 5 {
		if page := look(rival, "/c/rival/check", "shop.example.test"); strings.Contains(page, late) {
			t.Error("a domain of somebody else would have been connected to")
		}
	}
}
