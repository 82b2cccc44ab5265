package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/aggregate"
	"postern/internal/api"
	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/reputation"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/webhook"
)

// said is an answer over HTTP.
type said struct {
	status int
	header http.Header
	text   string
}

// word is the stable word of a problem; "" for other answers.
func (s said) word() string {
	var p struct{ Type string }
	_ = json.Unmarshal([]byte(s.text), &p)
	return strings.TrimPrefix(p.Type, "urn:postern:problem:")
}

// over sends a request to the handler of programs. header are pairs; Remote is the address of the client.
func (g *gateway) over(t testing.TB, method, path, token, content string, header ...string) said {
	t.Helper()
	r := httptest.NewRequest(method, "/api"+path, strings.NewReader(content))
	r.RemoteAddr = "203.0.113.7:5000"
	if content != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Remote" {
			r.RemoteAddr = header[i+1] + ":5000"
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	g.api.Web().ServeHTTP(w, r)
	return said{w.Code, w.Header(), w.Body.String()}
}

var people atomic.Int64

// person makes a user with a role.
func (g *gateway) person(t testing.TB, role user.Role, customer string) user.User {
	t.Helper()
	a, err := mail.ParseAddress(fmt.Sprintf("p%d@people.example", people.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	u, _, err := g.users.Add(t.Context(), user.User{Address: a, Role: role, Customer: customer})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// token makes a token of a new user with all rights of a role that a token may have, or with some of them.
func (g *gateway) token(t testing.TB, role user.Role, customer string, rights ...user.Right) string {
	t.Helper()
	u := g.person(t, role, customer)
	if len(rights) == 0 {
		rights = role.Rights()
	}
	by := u.Principal()
	by.Rights = user.Rights() // a reader makes no token himself: somebody made it for this test
	_, secret, err := g.users.AddToken(t.Context(), by, user.Token{Customer: customer, Label: string(role), Rights: rights})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// op is an operation of the OpenAPI document.
type op struct {
	method, path, id, over, act string
	right                       user.Right
	query                       []string
	sample                      map[string]any // of the body; nil: it has none
}

// operations reads every operation from the document that the gateway serves.
func (g *gateway) operations(t testing.TB) []op {
	t.Helper()
	a := g.over(t, "GET", "/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string     `json:"operationId"`
			Right       user.Right `json:"x-right"`
			Over        string     `json:"x-over"`
			Act         string     `json:"x-act"`
			Parameters  []struct {
				Name, In string
			} `json:"parameters"`
			RequestBody *struct {
				Content map[string]struct {
					Example map[string]any `json:"example"`
				} `json:"content"`
			} `json:"requestBody"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(a.text), &doc); err != nil || a.status != 200 {
		t.Fatalf("%d %v", a.status, err)
	}
	var out []op
	for path, methods := range doc.Paths {
		for method, x := range methods {
			o := op{strings.ToUpper(method), path, x.OperationID, x.Over, x.Act, x.Right, nil, nil}
			for _, p := range x.Parameters {
				if p.In == "query" {
					o.query = append(o.query, p.Name)
				}
			}
			if x.RequestBody != nil {
				o.sample = x.RequestBody.Content["application/json"].Example
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b op) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// two is a gateway with two customers, shop and bakery, and something of every kind that belongs to the second.
type two struct {
	*gateway
	message mail.QueueID
	paths   map[string]string // values of path parameters: bakery's things
}

// marker is in everything that is bakery's: no answer to shop may hold it.
const marker = "croissant"

func startTwo(t testing.TB) *two {
	t.Helper()
	g := start(t, func(c *config.Config) {
		for zone := range c.Filter.DNSBL.Zones {
			c.Filter.DNSBL.Zones[zone] = false
		}
		c.Filter.DNSBL.Extra = []config.ExtraList{{Name: "Test List", Zone: listZone, Kind: "domain"}}
	})
	ctx := t.Context()
	x := &two{gateway: g}
	if err := g.Accounts().PutCustomer(ctx, account.Customer{ID: "bakery", Name: marker, Domains: []mail.Domain{marker + ".example"}}); err != nil {
		t.Fatal(err)
	}
	tt, ok := t.(*testing.T)
	if !ok {
		t.Fatal("only for tests")
	}
	x.message = g.put(tt, func(m *spool.Message) {
		m.Customer, m.Subject, m.Held = "bakery", marker, true
	})
	login, _, err := g.Accounts().AddCredential(ctx, "bakery", marker)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := g.client.AddKeys(ctx, keyRequest(marker+".example"))
	if err != nil {
		t.Fatal(err)
	}
	u := g.person(t, user.CustomerReader, "bakery")
	_, session, err := g.users.NewSession(ctx, u.ID, networkAddress, marker)
	if err != nil {
		t.Fatal(err)
	}
	a, err := mail.ParseAddress("gone@" + marker + ".example")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Suppression().Add(ctx, suppression.Entry{Customer: "bakery", Address: a, Reason: suppression.ByOperator, By: "operator:alice", Note: marker}); err != nil {
		t.Fatal(err)
	}
	hook, err := g.Webhooks().Add(ctx, "bakery", webhook.Settings{Label: marker, URL: "https://192.88.99.1.invalid/" + marker}, "operator:alice")
	if err != nil {
		t.Fatal(err)
	}
	dossier, unread := g.listed(t, marker+".example")
	x.paths = map[string]string{"{dossier}": dossier, "{target}": marker + ".example", "/v1/reports/unread/{id}": unread, "/v1/reports/unread/{id}/file": unread, "/v1/reports/unread/{id}/again": unread, "/v1/webhooks/{id}": hook.ID, "/v1/messages/{id}": string(x.message), "/v1/customers/{id}": "bakery", "/v1/users/{id}": u.ID, "{session}": session.ID, "{user}": login,
		"{domain}": marker + ".example", "{selector}": keys[0].Selector, "{test}": "INVALID_DATE", "{ip}": "192.0.2.10", "/v1/reactions/{id}": "r7", "/v1/tokens/{id}": "t7"}
	return x
}

// listZone is a blocklist that has bakery's domain.
const listZone = "dbl.lists.example"

// listed puts a domain on a blocklist and a report in that nobody can read; it returns the dossier of the one and the ID of the other.
func (g *gateway) listed(t testing.TB, domain string) (dossier, unread string) {
	t.Helper()
	if err := g.dns.Set(zone + domain + "." + listZone + ". 60 IN A 127.0.0.2\n"); err != nil {
		t.Fatal(err)
	}
	if err := g.Reports().Put(t.Context(), aggregate.Arrival{How: "mail", Raw: []byte("From: a@b.example\r\n\r\nno report\r\n")}); err != nil {
		t.Fatal(err)
	}
	if err := g.Reports().Process(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := g.Reports().Unread(t.Context(), "", 10)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v %v", all, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { _ = g.Reputation().Run(ctx) })
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if _, err := g.Reputation().Target(ctx, domain); err != nil {
			continue // not watched yet
		}
		if err := g.Reputation().LookNow(ctx, domain); err != nil {
			t.Fatal(err)
		}
		p, err := g.Reputation().Dossiers(ctx, reputation.DossierQuery{Target: domain})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Dossiers) == 1 {
			return p.Dossiers[0].ID, all[0].ID
		}
	}
	t.Fatal("no dossier is open")
	return "", ""
}

// at is the path of an operation with bakery's things in it.
func (x *two) at(t testing.TB, o op) string {
	path := o.path
	for from, to := range x.paths {
		if strings.HasPrefix(from, "/") {
			if strings.HasPrefix(path, from) {
				path = strings.Replace(path, "{id}", to, 1)
			}
			continue
		}
		path = strings.Replace(path, from, to, 1)
	}
	if strings.Contains(path, "{") {
		t.Fatalf("%s: no value for %s: the test must know every kind of thing", o.id, path)
	}
	return path
}

// body is the sample of an operation, about a customer where it can say one.
func (o op) body(customer string) string {
	if o.sample == nil {
		return ""
	}
	m := map[string]any{}
	for k, v := range o.sample {
		m[k] = v
	}
	if o.id != "add-customer" && o.over == "customer" {
		m["customer"] = customer
		if _, ok := m["domain"]; ok && o.id != "add-domain" {
			m["domain"] = marker + ".example"
			delete(m, "customer")
		}
		if strings.Contains(o.path, "{") {
			delete(m, "customer")
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return ""
	}
	return string(text)
}

// TestEveryOperationAsks calls each operation of the document as everybody: nobody, with wrong, expired and revoked tokens, as a reader and an
// admin of another customer, as the abuse desk and as an operator.
func TestEveryOperationAsks(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	reader, admin := x.token(t, user.CustomerReader, "shop"), x.token(t, user.CustomerAdmin, "shop")
	abuse, operator := x.token(t, user.AbuseDesk, ""), x.token(t, user.Operator, "")
	u := x.person(t, user.CustomerAdmin, "shop")
	old, revoked := x.ended(t, u, "shop")
	all := x.operations(t)
	if len(all) < 55 {
		t.Fatalf("only %d operations", len(all))
	}
	for i, o := range all {
		t.Run(o.id, func(t *testing.T) {
			path, content := x.at(t, o), o.body("bakery")
			if strings.HasPrefix(o.id, "list-") && !slices.Contains(o.query, "limit") && !bounded[o.id] {
				t.Errorf("a list without pages")
			}
			if o.method != "GET" && o.act == "" && !harmless[o.id] {
				t.Errorf("an act without a word in the audit log")
			}
			for name, token := range map[string]string{"nobody": "", "wrong": "pst_aaaaaaaaaaaaaaaa_" + strings.Repeat("A", 43), "expired": old, "revoked": revoked} {
				if a := x.over(t, o.method, path, token, content, "Remote", fmt.Sprintf("10.0.%d.%d", i, len(name))); a.status != 401 && a.status != 429 || a.header.Get("WWW-Authenticate") == "" && a.status == 401 {
					t.Errorf("%s: %d %s", name, a.status, a.text)
				}
			}
			for name, y := range map[string]struct {
				token string
				role  user.Role
			}{"reader": {reader, user.CustomerReader}, "admin": {admin, user.CustomerAdmin}} {
				where := path
				if slices.Contains(o.query, "customer") {
					where += "?customer=bakery"
				}
				a := x.over(t, o.method, required(o, where), y.token, content)
				want := 404
				if o.over == "gateway" || !slices.Contains(y.role.Rights(), o.right) {
					want = 403
				}
				if a.status != want || strings.Contains(a.text, marker) {
					t.Errorf("%s of another customer: %d, want %d: %s", name, a.status, want, a.text)
				}
				if slices.Contains(o.query, "customer") && want == 404 { // without a name, only his own
					a := x.over(t, o.method, required(o, path), y.token, content)
					if a.status == 401 || a.status == 403 || a.status >= 500 || strings.Contains(a.text, marker) && o.id != "list-history" { // what he tried himself
						t.Errorf("%s without customer: %d %s", name, a.status, a.text)
					}
				}
			}
			abuseMay := slices.Contains(user.AbuseDesk.Rights(), o.right)
			if o.method == "GET" || !abuseMay {
				a := x.over(t, o.method, required(o, path), abuse, content)
				if (a.status == 403) == abuseMay || a.status == 401 || a.status >= 500 && a.status != 503 {
					t.Errorf("abuse desk: %d %s", a.status, a.text)
				}
			}
			if o.method == "GET" {
				if a := x.over(t, o.method, required(o, path), operator, ""); a.status/100 == 5 || a.status == 401 || a.status == 403 {
					t.Errorf("operator: %d %s", a.status, a.text)
				}
			}
		})
	}
	// Nothing of what was tried in another's name happened.
	if w, err := x.Spool().Get(t.Context(), x.message); err != nil || !w.Held {
		t.Errorf("the message of the other customer: %+v, %v", w.Held, err)
	}
	// Now the operator does everything, the destructive last.
	slices.SortStableFunc(all, func(a, b op) int { return order(a) - order(b) })
	for _, o := range all {
		if o.method == "GET" {
			continue
		}
		if a := x.over(t, o.method, x.at(t, o), operator, o.body("bakery")); a.status == 401 || a.status == 403 && a.word() != "token-makes-no-token" && a.word() != "not-allowed" || a.status >= 500 {
			t.Errorf("operator %s: %d %s", o.id, a.status, a.text)
		}
	}
}

// order puts what removes things last.
func order(o op) int {
	switch {
	case o.id == "delete-customer":
		return 3
	case o.method == "DELETE":
		return 2
	case o.method == "POST" && strings.Contains(o.path, "{"):
		return 1
	}
	return 0
}

// required adds query parameters without which an operation answers nothing.
func required(o op, path string) string {
	if o.id == "check" {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		return path + sep + "target=shop.example"
	}
	for _, name := range []string{"address", "text"} {
		if slices.Contains(o.query, name) && (o.id == "show-suppressed" || o.id == "look-return-address") {
			sep := "?"
			if strings.Contains(path, "?") {
				sep = "&"
			}
			path += sep + name + "=gone%40" + marker + ".example"
		}
	}
	return path
}

// bounded are lists that are short by nature.
var bounded = map[string]bool{"list-lanes": true, "list-reactions": true, "list-pools": true, "list-addresses": true, "list-alarms": true, "list-sessions": true, "list-scores": true, "list-blocklists": true}

// harmless are requests with a body that change nothing.
var harmless = map[string]bool{"find-problem": true, "classify": true, "what-if": true}

// ended makes a token that is over and one that was revoked.
func (g *gateway) ended(t testing.TB, u user.User, customer string) (old, revoked string) {
	t.Helper()
	_, old, err := g.users.AddToken(t.Context(), u.Principal(), user.Token{Customer: customer, Label: "old", Rights: u.Role.Rights(), Ends: g.now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	x, revoked, err := g.users.AddToken(t.Context(), u.Principal(), user.Token{Customer: customer, Label: "revoked", Rights: u.Role.Rights()})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.users.RevokeToken(t.Context(), customer, x.ID); err != nil {
		t.Fatal(err)
	}
	g.later.Store(int64(2 * time.Minute))
	return old, revoked
}

// TestAudit: acts leave a line, also those that were refused, and no secret is in any.
func TestAudit(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	id := x.put(t, held)
	admin, reader := x.token(t, user.CustomerAdmin, "shop"), x.token(t, user.CustomerReader, "shop")
	for _, y := range []struct {
		token, method, path, body string
		status                    int
	}{
		{admin, "POST", "/v1/messages/" + string(id) + "/drop", "", 200},
		{admin, "POST", "/v1/messages/" + string(x.message) + "/drop", "", 404},
		{reader, "POST", "/v1/messages/" + string(id) + "/drop", "", 403},
		{admin, "POST", "/v1/credentials", `{"label":"front"}`, 200},
		{admin, "POST", "/v1/credentials", `{"colour":"red"}`, 422},
	} {
		if a := x.over(t, y.method, y.path, y.token, y.body); a.status != y.status {
			t.Fatalf("%s: %d %s", y.path, a.status, a.text)
		}
	}
	page, err := x.users.Entries(t.Context(), user.EntryQuery{Everybody: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Entries {
		if strings.HasPrefix(e.Actor, "token:") {
			got = append(got, fmt.Sprintf("%s %s %t %s", e.Customer, e.Act, e.Failed, e.Text))
		}
	}
	slices.Reverse(got)
	want := []string{"shop message.drop false ", "shop message.drop true no-such-message", "shop message.drop true no-right", "shop credential.add false front", "shop credential.add true "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if a := x.over(t, "GET", "/v1/history", admin, ""); a.status != 200 || strings.Count(a.text, "message.drop") != 3 {
		t.Errorf("history: %d %s", a.status, a.text)
	}
	if a := x.over(t, "GET", "/v1/messages/"+string(x.message)+"/source", x.token(t, user.Operator, ""), ""); a.status != 200 || !bytes.Contains([]byte(a.text), []byte("Subject: Invoice")) {
		t.Errorf("source: %d %s", a.status, a.text)
	}
	if page, err = x.users.Entries(t.Context(), user.EntryQuery{Customer: "bakery", Act: "message.source"}); err != nil || len(page.Entries) != 1 {
		t.Errorf("who reads a message is written down: %+v, %v", page.Entries, err)
	}
}

var networkAddress = netip.MustParseAddr("203.0.113.9")

func keyRequest(domain string) api.KeyRequest {
	return api.KeyRequest{Domain: domain, Algorithm: "ed25519"}
}
