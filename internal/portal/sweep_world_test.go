package portal_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/internal/account"
	"postern/internal/filter"
	"postern/internal/journal"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/spool"
	"postern/internal/suppression"
	"postern/internal/user"
	"postern/internal/webhook"
)

// things are one of every kind of object that a route can name, all of one owner.
type things struct {
	owner   string // account.Customer.ID; "" for the gateway
	marker  string // in every text of theirs
	held    mail.QueueID
	paths   map[string]string // by the pattern of the path up to and with the parameter
	address string            // suppressed
	session string
	token   string
	user    string
	secrets []string
}

// own makes a customer, or dresses the gateway, with one of every kind of object.
func own(t *testing.T, g *gateway, id, marker string) *things {
	t.Helper()
	ctx := t.Context()
	x := &things{owner: id, marker: marker, paths: map[string]string{}, address: "gone@" + marker + ".example.org"}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	domain := mail.Domain(marker + ".example.test")
	reported(t, g.Reports(), string(domain), marker+" receiver")
	role := user.Operator
	base := "/o"
	if id != "" {
		role, base = user.CustomerReader, "/c/{customer}"
		must(g.Accounts().PutCustomer(ctx, account.Customer{ID: id, Name: marker + " name", Language: "en", Contact: address(t, "contact@"+marker+".example.test"), Domains: []mail.Domain{domain}, SelfRelease: true, ReleaseCeiling: 15}))
		x.held = x.hold(t, g)
		login, secret, err := g.Accounts().AddCredential(ctx, id, marker+" way in")
		must(err)
		x.secrets = append(x.secrets, secret)
		_, private, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		der, err := x509.MarshalPKCS8PrivateKey(private)
		must(err)
		text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		must(g.Accounts().AddKey(ctx, account.KeyRecord{Domain: domain, Selector: marker + "1", Algorithm: account.Ed25519, PEM: text}))
		x.secrets = append(x.secrets, strings.Split(string(text), "\n")[1])
		must(g.Suppression().Add(ctx, suppression.Entry{Customer: id, Address: address(t, x.address), Reason: suppression.UnknownUser, By: "rule", Note: marker + " note", Evidence: suppression.Evidence{Code: 550, Enhanced: "5.1.1", Text: marker + " gone", Host: marker + ".host"}}))
		for _, kind := range []account.ListKind{account.Allow, account.Deny} {
			_, err = g.Accounts().AddEntry(ctx, account.Entry{Scope: id, Own: kind == account.Allow, Kind: kind, What: account.WhatFrom, Value: "friend." + string(kind) + "@" + marker + ".example.test", Note: marker, By: "operator:x"})
			must(err)
		}
		must(g.Accounts().SetPoints(ctx, id, map[string]float64{"SPF_FAIL": 2}, "operator:x"))
		signals(t, g.Postmaster(), string(domain), "")
		gone := mail.NewQueueID(time.Now())
		f := journal.Fact{QueueID: gone, Customer: id, HeaderFrom: "news@" + marker + ".example.test", Subject: marker + " went", Recipient: "someone@" + marker + ".example.org", Host: "mx." + marker + ".example.org", Text: "250 " + marker, Credential: login}
		for _, kind := range []journal.Kind{journal.Accepted, journal.Delivered} {
			f.Kind = kind
			must(g.Journal().Append(ctx, f))
		}
		for pattern, value := range map[string]string{
			"/c/{customer}": id, "/o/customers/{id}": id, "/c/{customer}/credentials/{user}": login, "/c/{customer}/domains/{domain}": string(domain), "/c/{customer}/domains/{domain}/keys/{selector}": marker + "1",
			"/c/{customer}/gmail/{domain}": string(domain), "/c/{customer}/messages/{id}": string(x.held), "/o/messages/{id}": string(x.held), "/c/{customer}/messages/{id}/{act}": "release",
		} {
			x.paths[pattern] = value
		}
	}
	u, invited, err := g.Users().Add(ctx, user.User{Address: address(t, "person@"+marker+".example.test"), Name: marker + " person", Role: role, Customer: id, Language: "en"})
	must(err)
	session, s, err := g.Users().NewSession(ctx, u.ID, netip.MustParseAddr("203.0.113.9"), marker+" browser")
	must(err)
	reset, err := g.Users().NewReset(ctx, u.ID)
	must(err)
	by := u.Principal()
	by.Rights = user.Rights()
	k, token, err := g.Users().AddToken(ctx, by, user.Token{Customer: id, Label: marker + " token", Rights: []user.Right{user.MailRead}})
	must(err)
	hook, err := g.Webhooks().Add(ctx, id, webhook.Settings{Label: marker + " hook", URL: "https://" + marker + ".invalid/path"}, "operator:x")
	must(err)
	must(g.Users().Note(ctx, user.Entry{Actor: "user:" + u.ID, Name: marker, Customer: id, Act: "me.profile", Subject: marker, Text: marker}))
	x.user, x.session, x.token = u.ID, s.ID, k.ID
	x.checked(t, &client{g: g, user: u, cookie: "__Host-postern=" + session}, base+"/check", domain)
	if id != "" {
		x.watched(t, g, domain)
	}
	x.secrets = append(x.secrets, invited, session, reset, token)
	unread, err := g.Reports().Unread(ctx, "", 1)
	must(err)
	x.paths["/o/reports/{unread}"] = unread[0].ID
	for pattern, value := range map[string]string{
		base + "/users/{user}": u.ID, base + "/tokens/{token}": k.ID, base + "/webhooks/{hook}": hook.ID,
		"/invite/{secret}": invited, "/reset/{secret}": reset, "/setup/{secret}": "none",
		base + "/reports/{domain}": string(domain), "/o/tests/{name}": "SPF_FAIL", "/help/tests/{name}": "SPF_FAIL", "/help/providers/{name}": "google", "/o/lanes/{lane}": "google 127.0.0.1", "/o/snds/{ip}": "192.0.2.1", "/o/postmaster-tools/{domain}": string(domain),
	} {
		x.paths[pattern] = value
	}
	return x
}

// hold stores a held message of the owner.
func (x *things) hold(t *testing.T, g *gateway) mail.QueueID {
	t.Helper()
	m := spool.Message{Customer: x.owner, Subject: x.marker + " held", HeaderFrom: "news@" + x.marker + ".example.test", MessageID: "<1@" + x.marker + ".example.test>", Hello: x.marker + ".hello",
		Envelope: mail.Envelope{ReversePath: address(t, "news@"+x.marker+".example.test"), Recipients: []mail.Recipient{{Address: address(t, "someone@"+x.marker+".example.org")}}}}
	return g.put(t, m, verdict(filter.Hit{Test: "SPF_FAIL", Points: 3.5, Evidence: []string{x.marker}}))
}

// nothing are names of things that are not there, of the same form as x has.
func nothing(t *testing.T, x, gateway *things) *things {
	t.Helper()
	y := &things{owner: x.owner, marker: "nosuch", paths: map[string]string{}, held: mail.NewQueueID(time.Now()), address: "gone@nosuch.example.org"}
	all := maps.Clone(gateway.paths)
	maps.Copy(all, x.paths)
	for pattern, v := range all {
		switch {
		case v == x.owner || strings.HasSuffix(pattern, "{act}"):
		case v == string(x.held):
			v = string(y.held)
		case strings.Contains(v, x.marker):
			v = strings.ReplaceAll(v, x.marker, y.marker)
		default:
			v = strings.Map(func(r rune) rune {
				switch {
				case r >= 'a' && r < 'z' || r >= 'A' && r < 'Z' || r >= '0' && r < '9':
					return r + 1
				}
				return r
			}, v)
		}
		y.paths[pattern] = v
	}
	return y
}

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

// path is a route's with a customer and with things in it; named are the names of things that it holds but the customer's. A route that names something
// unknown to this test fails it: whoever adds a kind of object adds it to own.
func (x *things) path(t *testing.T, route, customer string) (path string, named []string) {
	t.Helper()
	at, out := 0, ""
	for _, m := range parameter.FindAllStringIndex(route, -1) {
		pattern := route[:m[1]]
		value, ok := x.paths[pattern]
		if pattern == "/c/{customer}" {
			value, ok = customer, true
		} else if !strings.HasSuffix(pattern, "{act}") {
			named = append(named, value)
		}
		if !ok {
			t.Fatalf("%s: this test knows nothing that %s could name: add it to own", route, pattern)
		}
		out += route[at:m[0]] + url.PathEscape(value)
		at = m[1]
	}
	return out + route[at:], named
}

// fieldNames are the names of all fields and parameters that the pages have and their handlers read, taken from the sources.
func fieldNames(t *testing.T) []string {
	t.Helper()
	read := regexp.MustCompile(`(?:Get|Has|FormValue|PostFormValue|FormFile)\("([a-z_-]+)"\)|Form\["([a-z_-]+)"\]|Name: +"([a-z_-]+)"|name="([a-z_-]+)"`)
	var names []string
	for _, glob := range []string{"*.go", "templates/*.html"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range read.FindAllSubmatch(text, -1) {
				names = append(names, string(m[1])+string(m[2])+string(m[3])+string(m[4]))
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) < 60 {
		t.Fatalf("only %d fields were found", len(names))
	}
	return names
}

// form fills every field that there is with the names of things.
func (x *things) form(route string, names []string) url.Values {
	f := url.Values{}
	for _, name := range names {
		v := "word"
		switch {
		case name == "address" || name == "add_address":
			v = x.address
		case strings.HasSuffix(name, "customer") || name == "whose" || name == "typed":
			v = x.owner
		case name == "id" && strings.Contains(route, "session"):
			v = x.session
		case name == "id" && strings.Contains(route, "token"):
			v = x.token
		case name == "id" || name == "shown":
			v = string(x.held)
		case name == "what":
			v = string(account.WhatFrom)
		case name == "value":
			v = "friend.allow@" + x.marker + ".example.test"
		case name == "domain":
			v = x.marker + ".example.test"
		case name == "role" && x.owner != "":
			v = string(user.CustomerAdmin)
		case name == "role":
			v = string(user.Operator)
		}
		f.Set(name, v)
	}
	return f
}

// state is all that belongs to an owner, for a comparison.
func (x *things) state(t *testing.T, g *gateway) string {
	t.Helper()
	ctx := t.Context()
	out := map[string]any{}
	keep := func(name string, v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(name, err)
		}
		out[name] = v
	}
	if x.owner != "" {
		c, _ := g.Accounts().Customer(x.owner)
		out["customer"], out["credentials"], out["entries"] = c, g.Accounts().Credentials(x.owner), g.Accounts().EntriesOf(x.owner)
		for _, d := range c.Domains {
			for _, k := range g.Accounts().Keys() {
				if k.Domain == d {
					out["key "+k.Selector] = k.Active
				}
			}
		}
		suppressed, _, err := g.Suppression().List(ctx, suppression.Query{Customer: x.owner, Own: true})
		keep("suppressed", suppressed, err)
		work, err := g.Spool().Get(ctx, x.held)
		if err != nil { // it is no more
			work = spool.Work{}
		}
		keep("message", []any{work.ID, work.Held, work.HoldReason, work.HoldUntil, work.Score, work.Verdict}, nil)
	}
	for q := (user.UserQuery{Customer: x.owner}); ; { // those who try are many
		users, err := g.Users().Users(ctx, q)
		keep("users", nil, err)
		for _, u := range users.Users { // but those who try
			if u.Address.Domain != "people.example.test" {
				keep("user "+u.ID, u, err)
			}
		}
		if q.After = users.Next; q.After == "" {
			break
		}
	}
	if sessions, err := g.Users().Sessions(ctx, x.user); !errors.Is(err, user.ErrNotFound) { // he may be removed
		keep("sessions", sessions, err)
	}
	tokens, err := g.Users().Tokens(ctx, x.owner)
	for i, k := range tokens {
		if k.ID != x.token { // of one who tries: its use is no change
			tokens[i].LastUsed, tokens[i].LastIP = time.Time{}, netip.Addr{}
		}
	}
	keep("tokens", tokens, err)
	hooks, _, err := g.Webhooks().List(ctx, webhook.Query{Customer: x.owner})
	for _, h := range hooks { // not how its posts fare
		keep("hook "+h.ID, []any{h.Settings, h.Secret, h.Former, h.Paused, h.MadeBy}, err)
	}
	keep("hooks", len(hooks), err)
	var points []account.Override
	for _, o := range g.Accounts().Overrides() {
		if o.Scope == x.owner {
			points = append(points, o)
		}
	}
	keep("points", points, nil)
	text, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// crew is a person of a role in as many browsers as are needed: one may ask only so often.
type crew struct {
	role     user.Role // "": nobody
	customer string
	now      *client
	asked    int
}

// world is what the sweeps go through.
type world struct {
	*gateway
	a, b, o *things // two customers' and the gateway's
	routes  []portal.Declared
	fields  []string
	asked   atomic.Int64
	visitor atomic.Int64
	busy    atomic.Int64 // answers that said "too often": what they were about was not tried
}

// next is the crew's browser for the next request. A new person comes when the old one asked too much, or when his session ended.
func (w *world) next(t *testing.T, c *crew) string {
	t.Helper()
	if c.role == "" {
		return ""
	}
	if c.now == nil || c.asked >= 200 {
		c.now, c.asked = w.as(t, c.role, c.customer), 0
		c.now.cookie = "__Host-" + c.now.cookie
	}
	c.asked++
	return c.now.cookie
}

// send sends a request as somebody and checks what every answer must have.
func (w *world) send(t *testing.T, c *crew, method, path string, form url.Values, header ...string) answer {
	t.Helper()
	n := w.visitor.Add(1)
	header = append([]string{"X-Forwarded-For", fmt.Sprintf("198.18.%d.%d", n/250%250, n%250)}, header...)
	if cookie := w.next(t, c); cookie != "" {
		header = append([]string{"Cookie", cookie}, header...)
	}
	a := w.ask(t, method, path, form, header...)
	w.asked.Add(1)
	if a.status == http.StatusTooManyRequests {
		w.busy.Add(1)
	}
	w.carries(t, method+" "+path, a)
	return a
}

// carries checks the headers that every answer must have, whatever it says.
func (w *world) carries(t *testing.T, what string, a answer) {
	t.Helper()
	if len(what) > 200 {
		what = what[:200]
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Strict-Transport-Security": "max-age=31536000",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Server": "", "X-Powered-By": "", "Access-Control-Allow-Origin": "", "X-Evil": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %d: %s is %q, want %q", what, a.status, name, got, want)
		}
	}
	csp := a.header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") && !strings.Contains(csp, "sandbox") || !strings.Contains(csp, "frame-ancestors 'none'") && !strings.Contains(csp, "sandbox") {
		t.Errorf("%s: policy %q", what, csp)
	}
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode && c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Path != "/" && strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("%s: cookie %s", what, c)
		}
	}
	if to := a.header.Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, "\\")) {
		t.Errorf("%s: leads to %q", what, to)
	}
	if a.status >= 500 && a.status != http.StatusServiceUnavailable {
		t.Errorf("%s: %d", what, a.status)
	}
}

// rights of the visitor that a route asks for.
func may(r portal.Declared, c *crew, customer string) bool {
	if r.Public {
		return true
	}
	if c.role == "" {
		return false
	}
	if r.Self {
		return true
	}
	who := user.Principal{Role: c.role, Customer: c.customer, Rights: c.role.Rights()}
	if !r.Customer {
		customer = ""
	}
	return who.May(r.Right, customer)
}
