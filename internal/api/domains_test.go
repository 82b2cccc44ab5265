package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"postern/internal/account"
	"postern/internal/api"
	"postern/internal/journal"
	"postern/internal/user"
)

// TestDomains: a domain is added once its challenge is published, and every change stands in the journal.
func TestDomains(t *testing.T) {
	t.Parallel()
	g := start(t)
	if err := g.Accounts().PutCustomer(t.Context(), account.Customer{ID: "baker", Language: "en"}); err != nil {
		t.Fatal(err)
	}
	token := g.token(t, user.CustomerAdmin, "baker")
	var c api.DomainChallenge
	if a := g.over(t, http.MethodGet, "/v1/domains/baker.example/challenge", token, ""); a.status != http.StatusOK || json.Unmarshal([]byte(a.text), &c) != nil {
		t.Fatalf("challenge: %d %s", a.status, a.text)
	}
	const add = `{"domain":"baker.example"}`
	if a := g.over(t, http.MethodPost, "/v1/domains", token, add); a.status != http.StatusConflict || !strings.Contains(a.text, "unproved") {
		t.Errorf("not published: %d %s", a.status, a.text)
	}
	if err := g.dns.Set(zone + c.Record.Name + `. 60 IN TXT "` + c.Record.Value + "\"\n"); err != nil {
		t.Fatal(err)
	}
	if a := g.over(t, http.MethodPost, "/v1/domains", token, add); a.status != http.StatusOK {
		t.Errorf("published: %d %s", a.status, a.text)
	}
	for _, name := range []string{"co.uk", "127.0.0.1"} {
		if a := g.over(t, http.MethodPost, "/v1/domains", token, `{"domain":"`+name+`"}`); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	other := g.token(t, user.CustomerAdmin, "shop")
	if a := g.over(t, http.MethodDelete, "/v1/domains/baker.example", other, ""); a.status != http.StatusNotFound {
		t.Errorf("another's: %d %s", a.status, a.text)
	}
	if a := g.over(t, http.MethodPost, "/v1/domains", other, `{"domain":"x.example"}`); a.status != http.StatusConflict || !strings.Contains(a.text, "from-config") {
		t.Errorf("of the configuration: %d %s", a.status, a.text)
	}
	returning := func(path string) {
		t.Helper()
		c, _ := g.Accounts().Customer("baker")
		c.ReturnPath = path
		if err := g.Accounts().PutCustomer(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	returning("bounce.baker.example")
	if a := g.over(t, http.MethodDelete, "/v1/domains/baker.example", token, ""); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.text, "set return_path") {
		t.Errorf("with the return path in it: %d %s", a.status, a.text)
	}
	if a := g.over(t, http.MethodPut, "/v1/customers/baker", g.token(t, user.Operator, ""), `{"domains":["baker.example"],"return_path":"bounce.elsewhere.example"}`); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.text, "none of the customer's domains") {
		t.Errorf("a return path elsewhere: %d %s", a.status, a.text)
	}
	returning(account.ReturnPathKept)
	if a := g.over(t, http.MethodDelete, "/v1/domains/baker.example", token, ""); a.status != http.StatusOK {
		t.Errorf("removed: %d %s", a.status, a.text)
	}
	if a := g.over(t, http.MethodDelete, "/v1/domains/baker.example", token, ""); a.status != http.StatusNotFound {
		t.Errorf("removed twice: %d %s", a.status, a.text)
	}
	operator := g.token(t, user.Operator, "")
	for _, act := range []string{"suspend", "resume"} {
		if a := g.over(t, http.MethodPost, "/v1/customers/baker/"+act, operator, ""); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", act, a.status, a.text)
		}
	}
	if a := g.over(t, http.MethodPost, "/v1/customers/baker/suspend", operator, `{"reason":"leaked"}`); a.status != http.StatusOK {
		t.Errorf("suspend: %d %s", a.status, a.text)
	}
	found, err := g.Journal().Look(t.Context(), journal.Query{Customer: "baker", Kinds: []journal.Kind{journal.Tuned}})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range found.Facts {
		told = append(told, f.Text)
		if !strings.HasPrefix(f.Actor, "token:") {
			t.Errorf("%q was done by %q", f.Text, f.Actor)
		}
	}
	want := "customer suspended: leaked|customer may send again|customer suspended|domain baker.example removed|domain baker.example added"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("facts\n%s\nwant\n%s", got, want)
	}
}
