package portal_test

import (
	"net/http"
	"net/url"
	"testing"

	"postern/internal/filter"
	"postern/internal/spool"
)

// TestAllowFromThePage: the sender allows his address and takes it back; who may not is not offered it, and refused.
func TestAllowFromThePage(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.ip = "203.0.113.77"
	at := g.link(g.hold(t, "to allow"))
	expect(t, g.get(t, at), "Allow mail from ", "for 90 days", "up to a score of 8", "Allow mail from this address", "!Allow it no longer")
	expect(t, g.must(t, at+"/allow", nil), "Mail from this address is allowed.", "You allowed mail from ", "Allow it no longer", "allowed no longer, from this page", "!Allow mail from this address", ">Held<")
	if e := g.Accounts().Entries(); len(e) != 1 || !e[0].Own || e[0].Scope != "shop" {
		t.Errorf("%+v", e)
	}
	expect(t, g.get(t, at+"?lang=fr"), "Vous avez autorisé le courrier de ", "Ne plus l&#39;autoriser")
	expect(t, g.must(t, at+"/withdraw", nil), "no longer allowed.", "Allow mail from this address")
	if e := g.Accounts().Entries(); len(e) != 0 {
		t.Errorf("%+v", e)
	}
	expect(t, g.get(t, at+"?done=allow"), "!Mail from this address is allowed.")
	heavy := verdict(filter.Hit{Test: "SPF_FAIL", Points: 9})
	other := g.link(g.put(t, spool.Message{Subject: "heavy"}, heavy))
	expect(t, g.get(t, other), "!Allow mail from this address")
	if a := g.ask(t, "POST", other+"/allow", url.Values{}); a.status != http.StatusForbidden {
		t.Errorf("above the ceiling: %d", a.status)
	}
	danger := ""
	for _, x := range filter.Tests() {
		if x.Group == filter.GroupDanger {
			danger = x.Name
		}
	}
	fraud := g.link(g.put(t, spool.Message{Subject: "fraud"}, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5}, filter.Hit{Test: danger, Points: 1})))
	expect(t, g.get(t, fraud), "!Allow mail from this address", "Release the message")
	if a := g.ask(t, "POST", fraud+"/allow", url.Values{}); a.status != http.StatusForbidden {
		t.Errorf("marks of fraud: %d", a.status)
	}
}
