package portal_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/reputation"
	"postern/internal/store"
)

// listings is what blocklists say in the zone of the tests: that of the sweeps, and that of the seeded gateway.
var listings = `
zqalfa.example.test.dbl 60 IN A 127.0.0.2
zqalfa.example.test.dbl 60 IN TXT "zqalfa wrote to traps"
zqbravo.example.test.dbl 60 IN A 127.0.0.2
zqbravo.example.test.dbl 60 IN TXT "zqbravo wrote to traps"
zqpoison.example.test.dbl 60 IN A 127.0.0.2
zqpoison.example.test.dbl 60 IN TXT ` + quoted(evil) + `
shop.example.test.seen 60 IN A 127.0.0.2
shop.example.test.seen 60 IN TXT "192.0.2.9 wrote to an address that nobody has; https://lists.example.test/lookup?ip=192.0.2.9"
`

// listing makes a gateway ask one blocklist, which is in the zone of the tests.
func listing(zone string) func(*config.Config) {
	return func(c *config.Config) {
		zones := maps.Clone(c.Filter.DNSBL.Zones)
		for name := range zones {
			zones[name] = false
		}
		c.Filter.DNSBL.Zones = zones
		c.Filter.DNSBL.Extra = append(c.Filter.DNSBL.Extra, config.ExtraList{Name: "Domain List", Zone: mail.Domain(zone), Kind: "domain"})
	}
}

// known makes customers of a gateway before it starts: the watch looks for new domains when it starts, and then only now and then.
func known(t *testing.T, customers ...string) func(*config.Config) {
	return func(c *config.Config) {
		t.Helper()
		db, err := store.Open(t.Context(), store.Options{URL: c.StorageURL("postern.db"), Migrations: store.MainSchema()})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		l, err := account.New(account.Options{DB: db})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range customers {
			domain := "zq" + id + ".example.test"
			if err := l.PutCustomer(t.Context(), account.Customer{ID: id, Name: id, Language: "en", Contact: address(t, "contact@"+domain), Domains: []mail.Domain{mail.Domain(domain)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// quoted is a text of any bytes as a line of a zone has it.
func quoted(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		fmt.Fprintf(&out, `\%03d`, b)
	}
	return `"` + out.String() + `"`
}

// checked has somebody look at the owner's domain from outside; the report is his alone.
func (x *things) checked(t *testing.T, c *client, base string, domain mail.Domain) {
	t.Helper()
	at := strings.ReplaceAll(base, "{customer}", x.owner)
	a := c.ask(t, "POST", at, url.Values{"target": {string(domain)}})
	id, ok := strings.CutPrefix(a.header.Get("Location"), at+"/")
	if a.status != http.StatusSeeOther || !ok {
		t.Fatalf("POST %s: %d to %q\n%s", at, a.status, a.header.Get("Location"), a.body)
	}
	x.paths[base+"/{id}"] = id
}

// watched waits until the owner's domain is watched, and has it found on the blocklist.
func (x *things) watched(t *testing.T, g *gateway, domain mail.Domain) {
	t.Helper()
	waitFor(t, string(domain)+" is watched", func() bool {
		target, err := g.Reputation().Target(t.Context(), string(domain))
		return err == nil && target.Customer == x.owner
	})
	dossier := g.dossierOf(t, domain)
	for pattern, value := range map[string]string{"/c/{customer}/reputation/{target}": string(domain), "/o/reputation/target/{target}": string(domain), "/o/dossiers/{dossier}": dossier} {
		x.paths[pattern] = value
	}
}

// dossierOf looks at a domain that a list has, and returns the ID of its dossier.
func (g *gateway) dossierOf(t *testing.T, domain mail.Domain) string {
	t.Helper()
	if err := g.Reputation().LookNow(t.Context(), string(domain)); err != nil {
		t.Fatal(err)
	}
	found, err := g.Reputation().Dossiers(t.Context(), reputation.DossierQuery{Target: string(domain)})
	if err != nil || len(found.Dossiers) != 1 {
		t.Fatalf("dossiers of %s: %+v %v", domain, found, err)
	}
	return found.Dossiers[0].ID
}

// personal tells whether a route is about what a visitor made for himself, which nobody else sees.
func personal(r portal.Declared) bool { return strings.HasSuffix(r.Path, "/check/{id}") }

// mine are the things with those in them that a visitor has for himself.
func (w *world) mine(t *testing.T, c *crew, r portal.Declared, x *things, customer string) *things {
	t.Helper()
	if !personal(r) {
		return x
	}
	if c.asked > 150 { // what follows is asked by the same person
		c.now = nil
	}
	base := strings.TrimSuffix(r.Path, "/{id}")
	at := strings.ReplaceAll(base, "{customer}", customer)
	target, ok := x.paths["/c/{customer}/domains/{domain}"]
	if !ok {
		target = "zqalfa.example.test"
	}
	a := w.send(t, c, "POST", at, url.Values{"target": {target}})
	id, ok := strings.CutPrefix(a.header.Get("Location"), at+"/")
	if !ok {
		t.Fatalf("POST %s as %s: %d to %q", at, c.role, a.status, a.header.Get("Location"))
	}
	y := *x
	y.paths = maps.Clone(x.paths)
	y.paths[r.Path] = id
	return &y
}
