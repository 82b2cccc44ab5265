package portal_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/reputation"
	"postern/internal/user"
)

// hostileReason is what a blocklist says of us, as an attacker would write it.
const hostileReason = `<script>alert(1)</script> 192.0.2.9 wrote to spam traps`

// TestReputationPages: a listing shows with its dossier, causes and checklist; steps, notes and states are acts of people; the request is text to copy; customers
// see their own domains and nothing else.
func TestReputationPages(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) {
		for zone := range c.Filter.DNSBL.Zones {
			c.Filter.DNSBL.Zones[zone] = false
		}
		c.Filter.DNSBL.Extra = []config.ExtraList{{Name: "Test List", Zone: "dbl.example.test", Kind: "domain"}}
	})
	zones := map[string]string{"lists": "shop.example.test.dbl.example.test. 60 IN A 127.0.0.2\nshop.example.test.dbl.example.test. 60 IN TXT \"" + hostileReason + "\"\n"}
	g.publishOver(t, zones, nil)
	operator := g.as(t, user.Operator, "")
	w := g.Reputation()
	var target reputation.Target
	waitFor(t, "something is watched", func() bool {
		var err error
		target, err = w.Target(t.Context(), "shop.example.test")
		return err == nil && target.Customer == "shop"
	})
	if page := operator.get(t, "/o/reputation"); !strings.Contains(page, target.Name) || !strings.Contains(page, "Blocklists") || !strings.Contains(page, "Listings of our addresses and domains, last 90 days") {
		t.Errorf("%s", page)
	}
	if page := operator.get(t, "/o"); !strings.Contains(page, "On blocklists") {
		t.Error("today does not say how many are listed")
	}
	one := "/o/reputation/target/" + url.PathEscape(target.Name)
	operator.must(t, one+"/look", nil)
	page := operator.get(t, one)
	if !strings.Contains(page, "Test List") || strings.Contains(page, "<script>alert") {
		t.Fatalf("%s", page)
	}
	for _, path := range []string{"/o/reputation/events", "/o/reputation/range?network=127.0.0.0/24", "/o/reputation?only=listed", "/o/dossiers?state=all"} {
		if page := operator.get(t, path); strings.Contains(page, "<script>alert") {
			t.Errorf("%s: a list's words run", path)
		}
	}
	dossier := regexp.MustCompile(`/o/dossiers/[A-Za-z0-9-]+`).FindString(operator.get(t, "/o/dossiers"))
	if dossier == "" {
		t.Fatal("no dossier is open")
	}
	waitFor(t, "the evidence", func() bool {
		d, err := w.Dossier(t.Context(), dossier[strings.LastIndexByte(dossier, '/')+1:])
		return err == nil && !d.Gathered.IsZero()
	})
	page = operator.get(t, dossier)
	for _, want := range []string{"What to do", "Likely causes", "Prepare the request", target.Name, "Listings in the last 90 days", "Spam traps", "speaks of traps in its reason"} {
		if !strings.Contains(page, want) {
			t.Errorf("the dossier lacks %q", want)
		}
	}
	step := regexp.MustCompile(`name="step" value="([a-z-]+)"`).FindStringSubmatch(page)
	if step == nil {
		t.Fatal("no step to tick")
	}
	operator.must(t, dossier+"/step", url.Values{"step": {step[1]}, "done": {"yes"}, "note": {"script removed <b>"}})
	operator.must(t, dossier+"/note", url.Values{"text": {"called the customer"}})
	page = operator.get(t, dossier)
	for _, want := range []string{"script removed &lt;b&gt;", "called the customer"} {
		if !strings.Contains(page, want) {
			t.Errorf("the dossier lacks %q", want)
		}
	}
	operator.must(t, dossier+"/move", url.Values{"to": {"requested"}})
	for _, bad := range []struct {
		path string
		form url.Values
	}{{"/move", url.Values{"to": {"closed"}}}, {"/move", url.Values{"to": {"nowhere"}}}, {"/step", url.Values{"step": {"nothing"}, "done": {"yes"}}}, {"/note", url.Values{"text": {" "}}}} {
		if a := operator.ask(t, "POST", dossier+bad.path, bad.form); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s %v: %d", bad.path, bad.form, a.status)
		}
	}
	for _, lang := range []string{"en", "fr"} {
		page := operator.get(t, dossier+"/request?in="+lang)
		if !strings.Contains(page, target.Name) || strings.Contains(page, "<script>alert") || !strings.Contains(page, "<mark>[") {
			t.Errorf("request in %s: %s", lang, page)
		}
	}
	operator.must(t, dossier+"/refresh", nil)
	operator.must(t, dossier+"/move", url.Values{"to": {"closed"}, "note": {"the list is wrong"}})
	// Who may not.
	shop, rival := g.as(t, user.CustomerAdmin, "shop"), newShop(t, g, "rival")
	for _, path := range []string{"/o/reputation", one, "/o/dossiers", dossier, dossier + "/request"} {
		if a := shop.ask(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("a customer sees %s: %d", path, a.status)
		}
	}
	if a := shop.ask(t, "POST", dossier+"/note", url.Values{"text": {"x"}}); a.status != http.StatusNotFound {
		t.Errorf("a customer writes into a dossier: %d", a.status)
	}
	mine := target.Name
	if page := shop.get(t, "/c/shop/reputation"); !strings.Contains(page, mine) {
		t.Errorf("%s", page)
	}
	if page := shop.get(t, "/c/shop/reputation/"+mine); !strings.Contains(page, mine) || strings.Contains(page, "/o/") {
		t.Errorf("%s", page)
	}
	for c, path := range map[*client]string{rival: "/c/rival/reputation/" + mine, shop: "/c/shop/reputation/gate.example.test"} {
		if a := c.ask(t, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}
