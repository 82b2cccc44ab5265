package portal_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/mail"
	"postern/internal/portal"
	"postern/internal/user"
)

// streams are routes whose answer never ends; TestLive has them.
var streams = map[string]bool{"/o/live/stream": true}

// startWorld is a gateway behind HTTPS with two customers and one of every kind of thing of each, and of the gateway itself; more are customers that own
// will make.
func startWorld(t *testing.T, more ...string) *world {
	t.Helper()
	w := &world{gateway: start(t, listing("dbl.example.test"), known(t, append(more, "alfa", "bravo")...), func(c *config.Config) { c.Web.BaseURL = "https://gate.example.test" }), routes: portal.DeclaredRoutes(), fields: fieldNames(t)}
	w.a, w.b, w.o = own(t, w.gateway, "alfa", "zqalfa"), own(t, w.gateway, "bravo", "zqbravo"), own(t, w.gateway, "", "zqgate")
	slices.SortStableFunc(w.routes, func(a, b portal.Declared) int { return cmp.Compare(destructive(a), destructive(b)) })
	if len(w.routes) < 150 {
		t.Fatalf("only %d routes", len(w.routes))
	}
	return w
}

// destructive puts what takes things away behind what needs them.
func destructive(r portal.Declared) int {
	for i, word := range []string{"retire", "revoke", "release", "drop", "remove", "disable", "lift", "held/delete", "queue/", "customers/{id}/delete"} {
		if r.Method == http.MethodPost && strings.Contains(r.Path, word) {
			return i + 1
		}
	}
	return 0
}

// someone is a visitor of these tests, who changes now and then: his own name stands at the head of his pages.
var someone = regexp.MustCompile(`Some (reader|admin|abuse|operator) \d+`)

// plain is an answer's text without the names that the question held: what is left must not tell whether they exist.
func plain(text string, named ...string) string {
	text = someone.ReplaceAllString(text, "SOMEONE")
	for _, n := range named {
		for _, form := range []string{url.PathEscape(n), url.QueryEscape(n), n} {
			if len(form) > 3 {
				text = strings.ReplaceAll(text, form, "NAMED")
			}
		}
	}
	return text
}

// TestSweepRights asks every route of the router as everybody: whoever may not gets the answer of what is not there, sees nothing of others and
// changes nothing; what belongs to another is not there on one's own path either.
func TestSweepRights(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	nobody := &crew{}
	readerA, adminA, adminB := &crew{role: user.CustomerReader, customer: "alfa"}, &crew{role: user.CustomerAdmin, customer: "alfa"}, &crew{role: user.CustomerAdmin, customer: "bravo"}
	abuse, operator := &crew{role: user.AbuseDesk}, &crew{role: user.Operator}
	people := []*crew{nobody, readerA, adminA, adminB, abuse, operator}
	for _, c := range people { // users that a snapshot would count
		w.next(t, c)
	}
	before := []string{w.a.state(t, w.gateway), w.b.state(t, w.gateway), w.o.state(t, w.gateway)}
	none, noneB := nothing(t, w.a, w.o), nothing(t, w.b, w.o)
	pairs := 0
	for _, r := range w.routes {
		if r.Public {
			continue
		}
		var form url.Values
		if r.Method == http.MethodPost {
			form = w.a.form(r.Path, w.fields)
		}
		for _, c := range people {
			pairs++
			who := fmt.Sprintf("%s %s as %s of %q", r.Method, r.Path, cmp.Or(string(c.role), "nobody"), c.customer)
			things := w.a
			if !r.Customer && things.paths[lastPattern(r.Path)] == "" {
				things = w.o
			}
			path, named := things.path(t, r.Path, "alfa")
			if c.role == "" {
				a := w.send(t, c, r.Method, path, form)
				if to := a.header.Get("Location"); a.status != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in") || strings.Contains(plain(a.body, named...), w.a.marker) {
					t.Errorf("%s: %d to %q", who, a.status, to)
				}
				continue
			}
			if r.Self {
				continue
			}
			if !may(r, c, "alfa") {
				a := w.send(t, c, r.Method, path, form)
				away, _ := none.path(t, r.Path, "nosuch")
				b := w.send(t, c, r.Method, away, form)
				if a.status != http.StatusNotFound && a.status != http.StatusForbidden || b.status != a.status {
					t.Errorf("%s: %d, what is not there: %d", who, a.status, b.status)
				}
				_, gone := none.path(t, r.Path, "nosuch")
				if x, y := plain(a.body, append(named, "alfa")...), plain(b.body, append(gone, "nosuch", "alfa")...); x != y { // his own menu is beside both
					t.Errorf("%s: the answer differs from that of what is not there:\n%s", who, difference(x, y))
				}
				continue
			}
			if r.Method == http.MethodGet && !streams[r.Path] {
				if personal(r) {
					if a := w.send(t, c, r.Method, path, nil); a.status != http.StatusNotFound {
						t.Errorf("%s: another person's: %d", who, a.status)
					}
					path, _ = w.mine(t, c, r, things, "alfa").path(t, r.Path, "alfa")
				}
				if a := w.send(t, c, r.Method, path+queryOf(r.Path, things.address, w.a.held), nil); a.status != http.StatusOK && a.status != http.StatusSeeOther && a.status != http.StatusUnprocessableEntity {
					t.Errorf("%s: his own things: %d", who, a.status)
				} else if c.customer == "alfa" && (strings.Contains(a.body, w.b.marker) || strings.Contains(a.body, w.o.marker)) {
					t.Errorf("%s: things of others are shown", who)
				}
			}
		}
	}
	after := []string{w.a.state(t, w.gateway), w.b.state(t, w.gateway), w.o.state(t, w.gateway)}
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("somebody who may not changed something:\n%s", difference(before[i], after[i]))
		}
	}
	w.borrowed(t, adminA, noneB)
	for i, x := range []*things{w.b, w.o} {
		if now := x.state(t, w.gateway); now != after[i+1] {
			t.Errorf("another's thing was changed by way of his own path:\n%s", difference(after[i+1], now))
		}
	}
	t.Logf("%d routes, %d pairs of route and visitor, %d requests", len(w.routes), pairs, w.asked.Load())
}

// lastPattern is the pattern of a path up to its last parameter.
func lastPattern(path string) string { return path[:strings.LastIndexByte(path, '}')+1] }

// borrowed names things of another, in paths and in forms, on the paths of one's own.
func (w *world) borrowed(t *testing.T, c *crew, none *things) {
	t.Helper()
	order := slices.Clone(w.routes)
	slices.SortStableFunc(order, func(a, b portal.Declared) int { return cmp.Compare(a.Method, b.Method) }) // GET first: the history tells what was tried
	for _, r := range order {
		if !r.Customer && !r.Self || strings.HasPrefix(r.Path, "/sign-out") || streams[r.Path] {
			continue
		}
		for _, owner := range []*things{w.b, w.o} {
			who := r.Method + " " + r.Path + " with things of " + owner.marker
			objects := &things{owner: "alfa", marker: owner.marker, paths: map[string]string{}, held: owner.held, address: owner.address, session: owner.session, token: owner.token, user: owner.user}
			for pattern, v := range w.b.paths {
				objects.paths[pattern] = v
				if o, ok := owner.paths[strings.Replace(pattern, "/c/{customer}", "/o", 1)]; ok && owner.owner == "" {
					objects.paths[pattern] = o
				}
			}
			var form, empty url.Values
			if r.Method == http.MethodPost {
				form, empty = objects.form(r.Path, w.fields), none.form(r.Path, w.fields)
			}
			path, named := objects.path(t, r.Path, "alfa")
			if r.Method == http.MethodGet {
				query := objects.form(r.Path, w.fields)
				if a := w.send(t, c, r.Method, path+"?"+query.Encode(), nil); strings.Contains(plain(a.body, slices.Concat(named, typedIn(query))...), owner.marker+" ") {
					t.Errorf("%s in its query: %s", who, around(a.body, owner.marker+" "))
				}
			}
			a := w.send(t, c, r.Method, path, form)
			if owner == w.b && len(named) > 0 {
				away, gone := none.path(t, r.Path, "alfa")
				b := w.send(t, c, r.Method, away, empty)
				if a.status != http.StatusNotFound && a.status != http.StatusSeeOther || a.status != b.status {
					t.Errorf("%s: %d, what is not there: %d", who, a.status, b.status)
				}
				if x, y := plain(a.body, append(named, owner.marker)...), plain(b.body, append(gone, "nosuch")...); x != y {
					t.Errorf("%s: the answer differs from that of what is not there:\n%s", who, difference(x, y))
				}
			}
			if text := plain(a.body, slices.Concat([]string{"_postern-challenge." + owner.marker}, typedIn(form), named)...); strings.Contains(text, owner.marker) {
				t.Errorf("%s: %d: %s", who, a.status, around(text, owner.marker))
			}
			if r.Self { // a session or a password of his own may have gone
				c.now = nil
			}
		}
	}
}

// queryOf is what some pages must be asked with.
func queryOf(route, address string, held mail.QueueID) string {
	switch {
	case strings.HasSuffix(route, "/suppression/address"):
		return "?address=" + url.QueryEscape(address)
	case strings.HasSuffix(route, "/delete"), strings.HasSuffix(route, "/drop"):
		return "?id=" + url.QueryEscape(string(held))
	}
	return ""
}

// typedIn is what a form says, the longest first.
func typedIn(form url.Values) (typed []string) {
	for _, values := range form {
		typed = append(typed, values...)
	}
	slices.SortFunc(typed, func(a, b string) int { return len(b) - len(a) })
	return typed
}

// difference shows where two texts part.
func difference(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	from := max(0, i-100)
	return fmt.Sprintf("  %q\n  %q", a[from:min(len(a), i+150)], b[from:min(len(b), i+150)])
}

// around is what stands about a text.
func around(text, what string) string {
	i := strings.Index(text, what)
	if i < 0 {
		return ""
	}
	return text[max(0, i-150):min(len(text), i+150)]
}
