package portal_test

import (
	"net/http"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/dkim"
)

// TestPublicCheckup: where the operator offers it, anybody checks a domain or an IP, learns nothing of what the gateway knows, and not too often.
func TestPublicCheckup(t *testing.T) {
	t.Parallel()
	g := start(t)
	k, err := dkim.GenerateKey("shop.example.test", "hidden1", account.Ed25519)
	if err == nil {
		err = g.Accounts().AddKey(t.Context(), account.KeyRecord{Domain: "shop.example.test", Selector: "hidden1", Algorithm: account.Ed25519, PEM: k.PEM(), Active: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	stranger, other := g.visitor("198.51.100.7"), g.visitor("198.51.100.8")
	if first := stranger.ask(t, "GET", "/", nil); !strings.Contains(first.body, `<a href="/check`) {
		t.Errorf("the first page does not lead there: %s", first.body)
	}
	form := stranger.ask(t, "GET", "/check", nil)
	if form.status != http.StatusOK || !strings.Contains(form.body, `<form method="get"`) || !strings.Contains(form.header.Get("X-Robots-Tag"), "noindex") || strings.Contains(form.body, "points of 100") {
		t.Fatalf("form: %d %s", form.status, form.body)
	}
	for _, bad := range []string{"not+a+domain", "news@shop.example.test", "localhost"} {
		if a := stranger.ask(t, "GET", "/check?target="+bad, nil); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "neither a domain nor an IP") {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
	if a := stranger.ask(t, "GET", "/check?target=shop.example.test", nil, "Sec-Fetch-Site", "cross-site"); a.status != http.StatusOK || strings.Contains(a.body, "points of 100") || !strings.Contains(a.body, `value="shop.example.test"`) {
		t.Errorf("another site asks in its visitor's name: %d", a.status)
	}
	if a := stranger.ask(t, "GET", "/check?target=shop.example.test&selector=%3Cp%3E", nil); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "Selectors are made of") {
		t.Errorf("a selector that is none: %d", a.status)
	}
	before := g.dns.Total()
	a := stranger.ask(t, "GET", "/check?lang=fr&target=Shop.example.test", nil)
	if a.status != http.StatusOK || !strings.Contains(a.body, "shop.example.test") || !strings.Contains(a.body, "SPF") || !strings.Contains(a.body, `name="lang" value="fr"`) || strings.Count(a.body, "<h1>") != 1 {
		t.Fatalf("report: %d %s", a.status, a.body)
	}
	if strings.Contains(a.body, "hidden1") {
		t.Error("a stranger sees which keys a customer has here")
	}
	if g.dns.Total() == before {
		t.Error("nothing was asked")
	}
	asked := g.dns.Total()
	for range 8 { // what is known is said again, to anybody
		if a := other.ask(t, "GET", "/check?target=shop.example.test", nil); a.status != http.StatusOK || !strings.Contains(a.body, "points of 100") {
			t.Fatalf("again: %d", a.status)
		}
	}
	if g.dns.Total() != asked {
		t.Errorf("asked %d times more", g.dns.Total()-asked)
	}
	statuses := ""
	for _, target := range []string{"192.0.2.1", "192.0.2.2", "a.example.test", "b.example.test"} {
		a := stranger.ask(t, "GET", "/check?target="+target, nil)
		statuses += http.StatusText(a.status) + " "
		if a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") == "" {
			t.Error("until when?")
		}
	}
	if statuses != "OK OK OK Too Many Requests " {
		t.Error(statuses)
	}
	if a := other.ask(t, "GET", "/check?target=shop.example.test&selector=mine7", nil); a.status != http.StatusOK || !strings.Contains(a.body, "mine7") {
		t.Errorf("with a selector: %d", a.status)
	}
	if a := other.ask(t, "GET", "/check?target=b.example.test", nil); a.status != http.StatusOK {
		t.Errorf("another network: %d", a.status)
	}
}

// TestNoPublicCheckup: unless the operator says so, there is no such page.
func TestNoPublicCheckup(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Checkup.Public = false })
	if a := g.visitor("198.51.100.7").ask(t, "GET", "/check?target=shop.example.test", nil); a.status != http.StatusNotFound {
		t.Errorf("%d", a.status)
	}
}
