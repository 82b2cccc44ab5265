package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"context"

	"postern/internal/api"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/spool"
)

// kind is the stable word of a problem; other errors fail the test.
func kind(t *testing.T, err error) string {
	t.Helper()
	var p *api.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error is %v, expected a problem", err)
	}
	if p.Detail == "" || p.Title == "" {
		t.Errorf("problem without words: %+v", p)
	}
	return p.Kind()
}

func TestQueue(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	first := g.put(t, nil)
	g.settle(t, first, spool.Queued, g.now.Add(time.Hour))
	second := g.put(t, held)
	third := g.put(t, nil)

	for _, tc := range []struct {
		name string
		q    api.ListQuery
		want []mail.QueueID
	}{
		{"all", api.ListQuery{}, []mail.QueueID{first, second, third}},
		{"held", api.ListQuery{State: "held"}, []mail.QueueID{second}},
		{"queued", api.ListQuery{State: "queued"}, []mail.QueueID{first, third}},
		{"customer", api.ListQuery{Customer: "nobody"}, nil},
		{"domain", api.ListQuery{Domain: "Remote.Example"}, []mail.QueueID{first, second, third}},
		{"other domain", api.ListQuery{Domain: "other.example"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			page, err := g.client.List(ctx, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			var got []mail.QueueID
			for _, m := range page.Messages {
				got = append(got, m.ID)
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	page, err := g.client.List(ctx, api.ListQuery{Limit: 2})
	if err != nil || len(page.Messages) != 2 || page.Next == "" {
		t.Fatalf("first page: %d messages, next %q, %v", len(page.Messages), page.Next, err)
	}
	if page, err = g.client.List(ctx, api.ListQuery{Limit: 2, Cursor: page.Next}); err != nil || len(page.Messages) != 1 || page.Next != "" {
		t.Errorf("second page: %d messages, next %q, %v", len(page.Messages), page.Next, err)
	}
	m, err := g.client.Message(ctx, string(first), "en")
	if err != nil || m.State != api.Deferred || m.Recipients[0].Attempts != 1 || m.Recipients[0].Code != 451 || !m.NextAt.Equal(g.now.Add(time.Hour)) {
		t.Errorf("message: %+v, %v", m, err)
	}
	m, err = g.client.Message(ctx, string(second), "fr")
	if err != nil || m.State != api.Held || m.Verdict == nil || m.Verdict.Hits[0].Test != "SPF_FAIL" || !strings.Contains(m.Verdict.Hits[0].Explain, "shop.example") {
		t.Errorf("held message: %+v, %v", m, err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	deferred, waiting, fresh, gone := g.put(t, nil), g.put(t, held), g.put(t, nil), g.put(t, nil)
	g.settle(t, deferred, spool.Queued, g.now.Add(time.Hour))
	g.settle(t, gone, spool.Delivered, time.Time{})
	g.now = g.now.Add(time.Minute)
	for _, tc := range []struct {
		name   string
		id     mail.QueueID
		state  api.State
		reason string
		says   []string
	}{
		{"deferred", deferred, api.Deferred, "scheduled", []string{"bob@remote.example", "attempt 1", "451 4.7.1 try again later", "gives up"}},
		{"held", waiting, api.Held, "held", []string{"score 4.5 is above 3.0: SPF_FAIL 3.0, INVALID_DATE 1.5", "waits for a person until"}},
		{"due", fresh, api.Queued, "due", []string{"due now"}},
		{"delivered", gone, api.Delivered, "settled", []string{"bob@remote.example: delivered", "250 2.0.0 taken", "nothing more happens"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, err := g.client.ExplainIn(ctx, string(tc.id), "")
			if err != nil {
				t.Fatal(err)
			}
			if e.State != tc.state || len(e.Recipients) != 1 || e.Recipients[0].Reason != tc.reason {
				t.Errorf("got %+v", e)
			}
			for _, text := range tc.says {
				if !strings.Contains(strings.Join(e.Sentences, "\n"), text) {
					t.Errorf("%q is missing in %q", text, e.Sentences)
				}
			}
		})
	}
}

func TestActs(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	last := func(id mail.QueueID) api.Fact {
		t.Helper()
		facts, err := g.client.Trace(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return facts[len(facts)-1]
	}
	id := g.put(t, nil)
	g.settle(t, id, spool.Queued, g.now.Add(time.Hour))
	if _, err := g.client.Retry(ctx, string(id)); err != nil {
		t.Fatal(err)
	}
	if m, _ := g.client.Message(ctx, string(id), ""); m.NextAt.After(time.Now()) {
		t.Errorf("after retry the next attempt is at %s", m.NextAt)
	}
	if d, err := g.client.RetryAll(ctx); err != nil || d.Count != 1 {
		t.Errorf("retry all: %+v, %v", d, err)
	}
	if _, err := g.client.Hold(ctx, string(id), api.HoldRequest{Reason: "asked for", Until: g.now.Add(-time.Hour)}); kind(t, err) != "invalid" {
		t.Errorf("a hold that is past: %v", err)
	}
	if _, err := g.client.Hold(ctx, string(id), api.HoldRequest{Reason: "asked for"}); err != nil {
		t.Fatal(err)
	}
	if f := last(id); f.Kind != journal.Held || f.Actor != "operator:alice" || f.Text != "asked for" {
		t.Errorf("fact of the hold: %+v", f)
	}
	if e, _ := g.client.ExplainIn(ctx, string(id), ""); !strings.Contains(strings.Join(e.Sentences, " "), "operator:alice") || !strings.Contains(e.Sentences[0], "asked for") {
		t.Errorf("explanation of the hold: %q", e.Sentences)
	}
	if _, err := g.client.Retry(ctx, string(id)); kind(t, err) != "held" {
		t.Errorf("retry of a held message: %v", err)
	}
	if _, err := g.client.Release(ctx, string(id)); err != nil {
		t.Fatal(err)
	}
	if f := last(id); f.Kind != journal.Released || f.Actor != "operator:alice" {
		t.Errorf("fact of the release: %+v", f)
	}
	if _, err := g.client.Release(ctx, string(id)); kind(t, err) != "not-held" {
		t.Errorf("second release: %v", err)
	}
	if _, err := g.client.Drop(ctx, string(id)); err != nil {
		t.Fatal(err)
	}
	if f := last(id); f.Kind != journal.Dropped || f.Actor != "operator:alice" || f.State != api.Cancelled {
		t.Errorf("fact of the drop: %+v", f)
	}
	if _, err := g.client.Drop(ctx, string(id)); err == nil {
		t.Error("second drop succeeded")
	}

	id = g.put(t, held)
	if _, err := g.client.Hold(ctx, string(id), api.HoldRequest{}); kind(t, err) != "held" {
		t.Errorf("hold of a held message: %v", err)
	}
	r, err := g.client.Retest(ctx, string(id))
	if err != nil || r.Verdict == nil || !r.Released {
		t.Fatalf("retest of a clean message: %+v, %v", r, err)
	}
	id = g.put(t, held)
	if _, err := g.client.Drop(ctx, string(id)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.Message(ctx, string(id), ""); kind(t, err) != "no-such-message" {
		t.Errorf("a dropped message is still here: %v", err)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	id := g.put(t, nil)
	for _, tc := range []struct {
		name string
		q    api.SearchQuery
		want int
	}{
		{"recipient", api.SearchQuery{Address: "Bob@Remote.example"}, 1},
		{"sender", api.SearchQuery{Address: "anna@shop.example"}, 1},
		{"message-id", api.SearchQuery{MessageID: "<7@shop.example>"}, 1},
		{"text", api.SearchQuery{Text: "invoice"}, 1},
		{"nothing", api.SearchQuery{Text: "xyzzy"}, 0},
		{"since", api.SearchQuery{Address: "anna@shop.example", Since: g.now.Add(time.Hour)}, 0},
		{"until", api.SearchQuery{Address: "anna@shop.example", Until: g.now.Add(-time.Hour)}, 0},
		{"customer", api.SearchQuery{Customer: "shop"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found, err := g.client.Search(ctx, tc.q)
			if err != nil || len(found.Facts) != tc.want {
				t.Fatalf("%d facts, %v", len(found.Facts), err)
			}
			if tc.want > 0 && found.Facts[0].QueueID != id {
				t.Errorf("found %s", found.Facts[0].QueueID)
			}
		})
	}
}

func TestCustomersAndCredentials(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	c, err := g.client.AddCustomer(ctx, api.Customer{ID: "bakery", CustomerSettings: api.CustomerSettings{Name: "Martin", Contact: "m@bakery.example",
		Networks: []string{"192.0.2.7"}, Domains: []string{"Bakery.example"}}})
	if err != nil || c.Origin != "database" || c.Networks[0] != "192.0.2.7/32" || c.Domains[0] != "bakery.example" || c.Threshold != 3 {
		t.Fatalf("added %+v, %v", c, err)
	}
	for name, x := range map[string]api.Customer{
		"taken":   {ID: "bakery"},
		"invalid": {ID: "x", CustomerSettings: api.CustomerSettings{Contact: "no address", Networks: []string{"0.0.0.0/0"}}},
	} {
		if _, err := g.client.AddCustomer(ctx, x); kind(t, err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := g.client.AddCustomer(ctx, api.Customer{ID: "open", CustomerSettings: api.CustomerSettings{Networks: []string{"0.0.0.0/0"}}}); err == nil ||
		!strings.Contains(err.Error(), "open relay") {
		t.Errorf("the whole internet as a network: %v", err)
	}
	set := c.CustomerSettings
	set.Threshold = 5
	if c, err = g.client.UpdateCustomer(ctx, "bakery", set); err != nil || c.Threshold != 5 || c.Name != "Martin" {
		t.Errorf("updated %+v, %v", c, err)
	}
	if _, err := g.client.UpdateCustomer(ctx, "shop", set); kind(t, err) != "from-config" {
		t.Errorf("update of a configured customer: %v", err)
	}
	if _, err := g.client.Suspend(ctx, "bakery", "its password leaked"); err != nil {
		t.Fatal(err)
	}
	if c, _ = g.client.Customer(ctx, "bakery"); !c.Suspended {
		t.Error("not suspended")
	}
	if _, err := g.client.Resume(ctx, "bakery"); err != nil {
		t.Fatal(err)
	}
	x, err := g.client.AddCredential(ctx, "bakery", "web shop")
	if err != nil || len(x.Password) < 20 {
		t.Fatalf("credential %+v, %v", x, err)
	}
	if _, _, err := g.Accounts().Authenticate(ctx, x.User, x.Password); err != nil {
		t.Errorf("the credential does not authenticate: %v", err)
	}
	if strings.Contains(g.log.String(), x.Password) {
		t.Error("the log holds the password")
	}
	if _, err := g.client.AddCredential(ctx, "nobody", ""); kind(t, err) != "no-such-customer" {
		t.Errorf("credential of nobody: %v", err)
	}
	if _, err := g.client.RevokeCredential(ctx, x.User); err != nil {
		t.Fatal(err)
	}
	if all, err := g.client.Credentials(ctx, "bakery"); err != nil || len(all) != 1 || !all[0].Revoked || all[0].Label != "web shop" {
		t.Errorf("credentials %+v, %v", all, err)
	}
	if _, err := g.client.RevokeCredential(ctx, "nobody-x"); kind(t, err) != "not-found" {
		t.Errorf("revoke of nothing: %v", err)
	}
	if _, err := g.client.DeleteCustomer(ctx, "bakery"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.Customer(ctx, "bakery"); kind(t, err) != "no-such-customer" {
		t.Errorf("deleted customer: %v", err)
	}
	if all, err := g.client.Customers(ctx); err != nil || len(all) != 1 || all[0].ID != "shop" {
		t.Errorf("customers %+v, %v", all, err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	made, err := g.client.AddKeys(ctx, api.KeyRequest{Domain: "shop.example", Selector: "a", Algorithm: "both"})
	if err != nil || len(made) != 2 || made[0].Selector != "ar" || made[1].Selector != "ae" || !made[0].Active || !made[1].Active {
		t.Fatalf("made %+v, %v", made, err)
	}
	if made[1].Name != "ae._domainkey.shop.example" || !strings.HasPrefix(made[1].Record, "v=DKIM1; k=ed25519; p=") || !strings.Contains(made[1].Zone, "IN TXT") {
		t.Errorf("record %+v", made[1])
	}
	second, err := g.client.AddKeys(ctx, api.KeyRequest{Domain: "shop.example", Algorithm: "ed25519"})
	if err != nil || second[0].Active || second[0].Selector != api.DefaultSelector(g.now) {
		t.Fatalf("a second key must wait for its record: %+v, %v", second, err)
	}
	for name, r := range map[string]api.KeyRequest{
		"taken":   {Domain: "shop.example", Selector: "ae", Algorithm: "ed25519"},
		"invalid": {Domain: "com"},
	} {
		if _, err := g.client.AddKeys(ctx, r); kind(t, err) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	const secret = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
	if _, err := g.client.AddKeys(ctx, api.KeyRequest{Domain: "x.example", Key: secret}); kind(t, err) != "invalid" || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("damaged key: %v", err)
	}
	if _, err := g.client.ActivateKey(ctx, "shop.example", second[0].Selector); err != nil {
		t.Error(err)
	}
	if _, err := g.client.RetireKey(ctx, "shop.example", "ae"); err != nil {
		t.Error(err)
	}
	if _, err := g.client.RetireKey(ctx, "shop.example", "none"); kind(t, err) != "not-found" {
		t.Errorf("retire of nothing: %v", err)
	}
	keys, err := g.client.Keys(ctx, "shop.example")
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, k := range keys {
		if k.Active == (k.Selector == "ae") {
			t.Errorf("%s: active %t", k.Selector, k.Active)
		}
	}
	if strings.Contains(g.log.String(), "PRIVATE") {
		t.Error("the log holds a key")
	}
}

func TestStatusLanesReload(t *testing.T) {
	t.Parallel()
	g, ctx := start(t), t.Context()
	g.put(t, nil)
	g.put(t, held)
	st, err := g.client.Status(ctx)
	if err != nil || st.Version != "test" || st.Queue.Queued != 1 || st.Queue.Held != 1 || st.Customers != 1 || st.LastDay["accepted"] != 1 || st.LastDay["held"] != 1 {
		t.Errorf("status %+v, %v", st, err)
	}
	if lanes, err := g.client.Lanes(ctx); err != nil || len(lanes) != 0 {
		t.Errorf("lanes %+v, %v", lanes, err)
	}
	if _, err := g.client.Reload(ctx); err != nil {
		t.Error(err)
	}
	g.reload = errors.New("p.yaml:3:1: hostname: wrong")
	if _, err := g.client.Reload(ctx); kind(t, err) != "refused" || !strings.Contains(err.Error(), "p.yaml:3:1") {
		t.Errorf("refused configuration: %v", err)
	}
}

// raw makes one request as any program would.
func (g *gateway) raw(t *testing.T, method, path, header, content string) (int, string, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", g.socket)
	}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://postern"+path, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if header != "" {
		r.Header.Set(api.OperatorHeader, header)
	}
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, a.Header.Get("Content-Type"), string(text)
}

func TestErrorsAreProblems(t *testing.T) {
	t.Parallel()
	g := start(t)
	unknown := string(mail.NewQueueID(g.now))
	for _, tc := range []struct {
		name, method, path, content string
		status                      int
		says                        string
	}{
		{"no endpoint", "GET", "/nothing", "", 404, "/openapi.json"},
		{"no queue ID", "GET", "/v1/messages/abc", "", 422, "not a queue ID"},
		{"hostile queue ID", "POST", "/v1/messages/%00%0a/retry", "", 422, "not a queue ID"},
		{"unknown message", "GET", "/v1/messages/" + unknown, "", 404, "trace"},
		{"unknown explain", "GET", "/v1/messages/" + unknown + "/explain", "", 404, "trace"},
		{"unknown trace", "GET", "/v1/messages/" + unknown + "/trace", "", 404, "no message"},
		{"unknown retry", "POST", "/v1/messages/" + unknown + "/retry", "", 404, "trace"},
		{"unknown release", "POST", "/v1/messages/" + unknown + "/release", "", 404, "no message"},
		{"bad state", "GET", "/v1/messages?state=sent", "", 422, "query.state"},
		{"bad limit", "GET", "/v1/messages?limit=5000", "", 422, "query.limit"},
		{"bad domain", "GET", "/v1/messages?domain=a..b", "", 422, "domain"},
		{"bad JSON", "POST", "/v1/customers", "{", 400, "unexpected end"},
		{"unknown field", "POST", "/v1/customers", `{"id":"x","colour":"red"}`, 422, "colour"},
		{"bad mode", "POST", "/v1/customers", `{"id":"x","mode":"eat"}`, 422, "body.mode"},
		{"too large", "POST", "/v1/customers", `{"id":"` + strings.Repeat("x", 70<<10) + `"}`, 413, "large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, form, text := g.raw(t, tc.method, tc.path, "", tc.content)
			if status != tc.status || form != "application/problem+json" || !strings.Contains(text, tc.says) || !json.Valid([]byte(text)) {
				t.Errorf("%d %s %s", status, form, text)
			}
		})
	}
}

func TestOperatorName(t *testing.T) {
	t.Parallel()
	g := start(t)
	for header, want := range map[string]string{"": "operator:unknown", "bob.m": "operator:bob.m", "a b": "operator:unknown", "<x>": "operator:unknown"} {
		id := g.put(t, held)
		if status, _, text := g.raw(t, "POST", fmt.Sprintf("/v1/messages/%s/drop", id), header, ""); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
		facts, err := g.client.Trace(t.Context(), id)
		if err != nil || facts[len(facts)-1].Actor != want {
			t.Errorf("header %q: actor %q, %v", header, facts[len(facts)-1].Actor, err)
		}
	}
}

// TestOpenAPI: the document is valid JSON, is made from the code, and every operation says what it is.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	g := start(t)
	status, _, text := g.raw(t, "GET", "/openapi.json", "", "")
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string `json:"summary"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %s %v", status, doc.OpenAPI, err)
	}
	count := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			count++
			if op.OperationID == "" || op.Summary == "" || !strings.HasPrefix(path, "/v1/") {
				t.Errorf("%s %s is not described", method, path)
			}
			for _, part := range strings.Split(path, "/") {
				name, ok := strings.CutPrefix(part, "{")
				name = strings.TrimSuffix(name, "}")
				has := false
				for _, p := range op.Parameters {
					has = has || p.Name == name && p.In == "path"
				}
				if ok && !has {
					t.Errorf("%s %s does not read {%s}", method, path, name)
				}
			}
		}
	}
	if count < 25 {
		t.Errorf("only %d operations", count)
	}
	for _, path := range []string{"/docs", "/schemas/Message.json"} {
		if status, _, _ := g.raw(t, "GET", path, "", ""); status != 404 {
			t.Errorf("%s is served: %d", path, status)
		}
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	_, err := api.NewClient(t.TempDir()+"/none", "x").Status(t.Context())
	if !errors.Is(err, api.ErrNoServer) || !strings.Contains(err.Error(), "postern serve") {
		t.Errorf("%v", err)
	}
}

func TestNewNeedsItsRooms(t *testing.T) {
	t.Parallel()
	if _, err := api.New(api.Options{}); err == nil {
		t.Error("no rooms, no error")
	}
}
