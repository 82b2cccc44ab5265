package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/internal/api"
	"postern/internal/user"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin, other := x.token(t, user.CustomerAdmin, "shop"), x.token(t, user.CustomerAdmin, "bakery")
	const path, content = "/v1/suppression", `{"address":"gone@remote.example"}`
	first := x.over(t, "POST", path, admin, content, "Idempotency-Key", `"k1"`)
	if first.status != 200 || first.header.Get("Idempotent-Replayed") != "" || !strings.Contains(first.text, "not written to") {
		t.Fatalf("first: %d %s", first.status, first.text)
	}
	for _, tc := range []struct {
		name, token, path, content, key string
		status                          int
		word, says                      string
		replayed                        bool
	}{
		{"again", admin, path, content, "k1", 200, "", "from now on", true},
		{"with quotes", admin, path, content, `"k1"`, 200, "", "from now on", true},
		{"without key", admin, path, content, "", 200, "", "on the list already", false},
		{"other body", admin, path, `{"address":"other@remote.example"}`, "k1", 422, "key-reused", "", false},
		{"other operation", admin, "/v1/suppression/lift", content, "k1", 422, "key-reused", "", false},
		{"other principal", other, path, content, "k1", 200, "", "from now on", false},
		{"empty", admin, path, content, `""`, 422, "bad-idempotency-key", "", false},
		{"half a quote", admin, path, content, `"k1`, 422, "bad-idempotency-key", "", false},
		{"long", admin, path, content, strings.Repeat("k", 300), 422, "bad-idempotency-key", "", false},
		{"refused first", admin, path, `{"address":"none"}`, "k2", 422, "invalid", "", false},
		{"then mended", admin, path, `{"address":"two@remote.example"}`, "k2", 200, "", "from now on", false},
		{"secret", admin, "/v1/credentials", `{"label":"front"}`, "k3", 200, "", "password", false},
		{"secret again", admin, "/v1/credentials", `{"label":"front"}`, "k3", 409, "done-before", "", false},
	} {
		header := []string{}
		if tc.key != "" {
			header = append(header, "Idempotency-Key", tc.key)
		}
		a := x.over(t, "POST", tc.path, tc.token, tc.content, header...)
		if a.status != tc.status || a.word() != tc.word || !strings.Contains(a.text, tc.says) || (a.header.Get("Idempotent-Replayed") != "") != tc.replayed {
			t.Errorf("%s: %d %s %v", tc.name, a.status, a.text, a.header)
		}
	}
	if c := x.Accounts().Credentials("shop"); len(c) != 1 {
		t.Errorf("%d credentials", len(c))
	}
	if page, err := x.users.Entries(t.Context(), user.EntryQuery{Customer: "shop", Act: "credential.add"}); err != nil || len(page.Entries) != 1 {
		t.Errorf("a repetition is no act: %+v, %v", page.Entries, err)
	}
	x.serve(t) // the gateway starts anew
	if a := x.over(t, "POST", path, admin, content, "Idempotency-Key", "k1"); a.status != 200 || a.header.Get("Idempotent-Replayed") == "" || a.text != first.text {
		t.Errorf("after a restart: %d %s %v", a.status, a.text, a.header)
	}
	x.later.Store(int64(25 * time.Hour))
	if a := x.over(t, "POST", path, admin, `{"address":"three@remote.example"}`, "Idempotency-Key", "k1"); a.status != 200 {
		t.Errorf("after a day the key is free: %d %s", a.status, a.text)
	}
}

// TestIdempotencyTogether: of the same request sent many times at once, one is done.
func TestIdempotencyTogether(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin := x.token(t, user.CustomerAdmin, "shop")
	var wait sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]int{}
	for range 20 {
		wait.Go(func() {
			a := x.over(t, "POST", "/v1/credentials", admin, `{"label":"front"}`, "Idempotency-Key", "k")
			mu.Lock()
			defer mu.Unlock()
			seen[a.status]++
		})
	}
	wait.Wait()
	if len(x.Accounts().Credentials("shop")) != 1 || seen[200] != 1 || seen[409] != 19 {
		t.Errorf("%d credentials, answers %v", len(x.Accounts().Credentials("shop")), seen)
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin, other := x.token(t, user.CustomerAdmin, "shop"), x.token(t, user.CustomerAdmin, "bakery")
	a := x.over(t, "GET", "/v1/held", admin, "")
	if p, l := a.header.Get("RateLimit-Policy"), a.header.Get("RateLimit"); p != `"token";q=400;w=60` || !strings.HasPrefix(l, `"token";r=399;t=`) {
		t.Errorf("%q %q", p, l)
	}
	for range 399 {
		a = x.over(t, "GET", "/v1/messages/abc", admin, "")
	}
	if a.status != 422 {
		t.Errorf("within the limit: %d %s", a.status, a.text)
	}
	a = x.over(t, "GET", "/v1/held", admin, "")
	if a.status != 429 || a.word() != "too-many-requests" || a.header.Get("Retry-After") == "" || !strings.HasPrefix(a.header.Get("RateLimit"), `"token";r=0;`) {
		t.Errorf("above the limit: %d %s %v", a.status, a.text, a.header)
	}
	if a := x.over(t, "GET", "/v1/held", other, ""); a.status != 200 {
		t.Errorf("another token: %d", a.status)
	}
	x.later.Store(int64(time.Minute))
	if a := x.over(t, "GET", "/v1/held", admin, ""); a.status != 200 {
		t.Errorf("a minute later: %d %s", a.status, a.text)
	}
}

// TestGuessing: wrong tokens of a network are soon not looked at any more; others are.
func TestGuessing(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin := x.token(t, user.CustomerAdmin, "shop")
	last := said{}
	for i := range 40 {
		last = x.over(t, "GET", "/v1/held", fmt.Sprintf("pst_aaaaaaaaaaaaaaaa_%s%02d", strings.Repeat("A", 41), i), "", "Remote", "198.51.100.1")
	}
	if last.status != 429 || last.header.Get("Retry-After") == "" {
		t.Errorf("guessing: %d %s", last.status, last.text)
	}
	if a := x.over(t, "GET", "/v1/held", admin, "", "Remote", "198.51.100.2"); a.status != 200 {
		t.Errorf("elsewhere: %d %s", a.status, a.text)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	operator := x.token(t, user.Operator, "")
	for i := range 5 {
		if _, err := x.client.AddCustomer(t.Context(), api.Customer{ID: fmt.Sprintf("c%d", i)}); err != nil {
			t.Fatal(err)
		}
		if a := x.over(t, "POST", "/v1/credentials", operator, fmt.Sprintf(`{"customer":"c%d"}`, i)); a.status != 200 {
			t.Fatal(a.text)
		}
		x.put(t, held)
	}
	for path, most := range map[string]int{"/v1/customers": 7, "/v1/credentials": 6, "/v1/held": 6, "/v1/trace": 6, "/v1/users": 2, "/v1/history": 5, "/v1/dkim": 1} {
		t.Run(path, func(t *testing.T) {
			seen, at := 0, path+"?limit=2"
			for range 10 {
				a := x.over(t, "GET", at, operator, "")
				var out map[string]any
				if err := json.Unmarshal([]byte(a.text), &out); err != nil || a.status != 200 {
					t.Fatalf("%d %s", a.status, a.text)
				}
				for _, v := range out {
					if list, ok := v.([]any); ok {
						if seen += len(list); len(list) > 2 {
							t.Errorf("%d entries on a page", len(list))
						}
					}
				}
				next, link := out["next"], a.header.Get("Link")
				if (next == nil) != (link == "") {
					t.Fatalf("next %v, link %q", next, link)
				}
				if next == nil {
					if seen < most {
						t.Errorf("%d entries in all, want %d", seen, most)
					}
					return
				}
				query, ok := strings.CutSuffix(strings.TrimPrefix(link, "<?"), `>; rel="next"`)
				if !ok || !strings.Contains(query, "limit=2") {
					t.Fatalf("link %q", link)
				}
				at = path + "?" + query
			}
			t.Error("no end")
		})
		for _, cursor := range []string{"%00", "AAAA", "a!b", strings.Repeat("A", 3000)} {
			if a := x.over(t, "GET", path+"?cursor="+cursor, operator, ""); a.status != 422 {
				t.Errorf("%s with cursor %.20q: %d %s", path, cursor, a.status, a.text)
			}
		}
	}
}

func TestSettingsAreNotLost(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	operator := x.token(t, user.Operator, "")
	a := x.over(t, "GET", "/v1/customers/bakery", operator, "")
	tag := a.header.Get("ETag")
	if a.status != 200 || len(tag) < 10 {
		t.Fatalf("%d %q", a.status, tag)
	}
	b := x.over(t, "PUT", "/v1/customers/bakery", operator, `{"name":"One"}`, "If-Match", tag)
	if b.status != 200 || b.header.Get("ETag") == tag {
		t.Fatalf("%d %s", b.status, b.text)
	}
	if a := x.over(t, "PUT", "/v1/customers/bakery", operator, `{"name":"Two"}`, "If-Match", tag); a.status != 412 || a.word() != "changed" {
		t.Errorf("a lost change: %d %s", a.status, a.text)
	}
	if a := x.over(t, "PUT", "/v1/customers/bakery", operator, `{"name":"Two"}`, "If-Match", `"x", `+b.header.Get("ETag")); a.status != 200 {
		t.Errorf("with the new tag: %d %s", a.status, a.text)
	}
}

// TestHostileRequests: what programs and browsers send that is not meant.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	admin := x.token(t, user.CustomerAdmin, "shop")
	for _, tc := range []struct {
		name, method, path, token, content string
		header                             []string
		status                             int
		says                               string
	}{
		{"cookie", "GET", "/v1/held", "", "", []string{"Cookie", "postern=" + admin}, 401, "Bearer"},
		{"basic", "GET", "/v1/held", "", "", []string{"Authorization", "Basic eDp5"}, 401, "Bearer"},
		{"two", "GET", "/v1/held", admin, "", []string{"Authorization", "Bearer " + admin}, 401, "several"},
		{"token in the query", "GET", "/v1/held?access_token=" + admin, "", "", nil, 401, "Bearer"},
		{"operator's header", "GET", "/v1/held", "", "", []string{"Postern-Operator", "alice"}, 401, "Bearer"},
		{"lower case", "GET", "/v1/held", "", "", []string{"Authorization", "bearer " + admin}, 200, "messages"},
		{"unknown query", "GET", "/v1/held?colour=red", admin, "", nil, 422, "query.colour"},
		{"unknown field", "POST", "/v1/suppression", admin, `{"address":"a@b.example","colour":"red"}`, nil, 422, "colour"},
		{"no JSON", "POST", "/v1/suppression", admin, `{`, nil, 400, "unexpected end"},
		{"large", "POST", "/v1/suppression", admin, `{"address":"` + strings.Repeat("x", 70<<10) + `"}`, nil, 413, "65536"},
		{"large with a key", "POST", "/v1/suppression", admin, `{"address":"` + strings.Repeat("x", 70<<10) + `"}`, []string{"Idempotency-Key", "k"}, 413, "65536"},
		{"other method", "DELETE", "/v1/held", admin, "", nil, 405, "GET"},
		{"preflight", "OPTIONS", "/v1/held", "", "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET"}, 405, "GET"},
		{"double slash", "GET", "//v1/held", admin, "", nil, 404, "no-such-endpoint"},
		{"dots", "GET", "/v1/x/../held", admin, "", nil, 404, "no-such-endpoint"},
		{"split header", "GET", "/v1/held?customer=shop%0d%0aX-Evil:1", admin, "", nil, 404, "no-such-customer"},
		{"cursor in link", "GET", "/v1/held?domain=x%3E%0d%0a", admin, "", nil, 422, "domain"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := x.over(t, tc.method, tc.path, tc.token, tc.content, tc.header...)
			if a.status != tc.status || !strings.Contains(a.text, tc.says) && !strings.Contains(a.header.Get("Allow"), tc.says) {
				t.Errorf("%d %s", a.status, a.text)
			}
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control") || strings.Contains(name, "Evil") {
					t.Errorf("header %s", name)
				}
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Strict-Transport-Security") == "" {
				t.Errorf("headers %v", a.header)
			}
		})
	}
}

// TestBelowBase: the API answers with the path of the base address and without.
func TestBelowBase(t *testing.T) {
	t.Parallel()
	x := start(t)
	for path, status := range map[string]int{"/api/openapi.json": 200, "/postern/api/openapi.json": 200, "/postern/api/v1/held": 401, "/other/api/openapi.json": 404} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		w := httptest.NewRecorder()
		x.api.Web().ServeHTTP(w, r)
		text, _ := io.ReadAll(w.Result().Body)
		if w.Code != status {
			t.Errorf("%s: %d %.200s", path, w.Code, text)
		}
	}
	if a := x.over(t, "GET", "/openapi.json", "", ""); !strings.Contains(a.text, `"https://mail.example.org/postern/api"`) {
		t.Error("the document does not say where the API is")
	}
}

// TestReleaseKeepsThePolicy: a customer's token does what its sender may, no more.
func TestReleaseKeepsThePolicy(t *testing.T) {
	t.Parallel()
	x := startTwo(t)
	id := string(x.put(t, held))
	admin := x.token(t, user.CustomerAdmin, "shop")
	if a := x.over(t, "POST", "/v1/messages/"+id+"/release", admin, ""); a.status != 403 || a.word() != "not-allowed" {
		t.Errorf("release: %d %s", a.status, a.text)
	}
	if a := x.over(t, "POST", "/v1/messages/"+id+"/ask", admin, `{"text":"please"}`); a.status != 200 {
		t.Errorf("ask: %d %s", a.status, a.text)
	}
	if a := x.over(t, "POST", "/v1/tuning/lists", admin, `{"kind":"deny","entry":"from:a@shop.example"}`); a.status != 422 {
		t.Errorf("deny: %d %s", a.status, a.text)
	}
	a := x.over(t, "POST", "/v1/tuning/lists", admin, `{"kind":"allow","entry":"from:a@shop.example"}`)
	if a.status != 200 || !strings.Contains(a.text, `"own":true`) || !strings.Contains(a.text, `"until"`) {
		t.Errorf("allow: %d %s", a.status, a.text)
	}
}
