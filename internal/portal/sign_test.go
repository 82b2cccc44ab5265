package portal_test

import (
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/internal/config"
	"postern/internal/user"
)

// visitor is a browser that keeps its cookies and follows no redirect by itself.
type visitor struct {
	g       *gateway
	ip      string
	cookies map[string]string
}

func (g *gateway) visitor(ip string) *visitor {
	return &visitor{g, ip, map[string]string{}}
}

// ask sends a request with the cookies, and keeps those that come back.
func (b *visitor) ask(t *testing.T, method, path string, form url.Values, header ...string) answer {
	t.Helper()
	var cookies []string
	for name, value := range b.cookies {
		cookies = append(cookies, name+"="+value)
	}
	a := b.g.ask(t, method, path, form, append([]string{"Cookie", strings.Join(cookies, "; "), "X-Forwarded-For", b.ip, "User-Agent", firefox}, header...)...)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return a
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// lead sends a request and follows what it redirects to, up to a page.
func (b *visitor) lead(t *testing.T, method, path string, form url.Values) (at string, a answer) {
	t.Helper()
	for range 5 {
		a = b.ask(t, method, path, form)
		if a.status != http.StatusSeeOther {
			return path, a
		}
		method, path, form = "GET", strings.TrimPrefix(a.header.Get("Location"), b.g.base), nil
	}
	t.Fatalf("led in circles, last to %s", path)
	return "", answer{}
}

const password = "six green bicycles on a roof"

// member makes a user with a password.
func (g *gateway) member(t *testing.T, address_ string, role user.Role, customer string) user.User {
	t.Helper()
	u, _, err := g.Users().Add(t.Context(), user.User{Address: address(t, address_), Name: "Camille Durand", Role: role, Customer: customer, Language: "en"})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Users().SetPassword(t.Context(), u.ID, password, ""); err != nil {
		t.Fatal(err)
	}
	return u
}

// signIn signs a member in by the page.
func (b *visitor) signIn(t *testing.T, address string) {
	t.Helper()
	at, a := b.lead(t, "POST", "/sign-in", url.Values{"address": {address}, "password": {password}, "next": {"/me"}})
	if a.status == http.StatusTooManyRequests || strings.HasPrefix(at, "/sign-in") {
		t.Fatalf("not signed in: at %s, %d\n%s", at, a.status, a.body)
	}
}

var codes = regexp.MustCompile(`<li><code>([a-z2-7-]+)</code></li>`)

// TestInvitedToSignedOut goes the whole way: invited, password, second step, recovery code, another browser that is sent out.
func TestInvitedToSignedOut(t *testing.T) {
	t.Parallel()
	g := start(t)
	u, secret, err := g.Users().Add(t.Context(), user.User{Address: address(t, "marie@shop.example.test"), Role: user.CustomerAdmin, Customer: "shop", Language: "fr"})
	if err != nil {
		t.Fatal(err)
	}
	b := g.visitor("198.51.100.1")
	for range 3 { // scanners of mail open links, too
		a := b.ask(t, "GET", "/invite/"+secret, nil)
		expect(t, a.body, `lang="fr"`, "Bienvenue", "marie@shop.example.test", "Le mot de passe encore une fois")
	}
	form := url.Values{"name": {"Marie Curie"}, "password": {password}, "again": {"something else altogether"}}
	if a := b.ask(t, "POST", "/invite/"+secret, form); a.status != http.StatusUnprocessableEntity {
		t.Errorf("two different passwords: %d", a.status)
	} else {
		expect(t, a.body, "ne sont pas identiques", "Marie Curie", "<title>Erreur", "!"+password)
	}
	form.Set("password", "court")
	expect(t, b.ask(t, "POST", "/invite/"+secret, form).body, "trop court")
	form.Set("password", "marie@shop.example.test")
	expect(t, b.ask(t, "POST", "/invite/"+secret, form).body, "se devine facilement")
	form.Set("password", password)
	form.Set("again", password)
	a := b.ask(t, "POST", "/invite/"+secret, form)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/c/shop" {
		t.Fatalf("invitation: %d to %q\n%s", a.status, a.header.Get("Location"), a.body)
	}
	expect(t, b.ask(t, "GET", "/me", nil).body, "vous êtes connecté", "Marie Curie", "Firefox sur Linux", "celle-ci", "198.51.100.1")
	for _, method := range []string{"GET", "POST"} {
		if a := g.visitor("198.51.100.2").ask(t, method, "/invite/"+secret, form); a.status != http.StatusGone {
			t.Errorf("%s of an invitation that was used: %d", method, a.status)
		} else {
			expect(t, a.body, "no longer works", "!marie")
		}
	}

	// One-time codes. The proof of signing in is fresh.
	if at, a := b.lead(t, "POST", "/me/code/start", url.Values{}); at != "/me/code" || !strings.Contains(a.body, "/me/code/image") {
		t.Fatalf("start of codes: at %s\n%s", at, a.body)
	}
	if a := b.ask(t, "GET", "/me/code/image", nil); a.status != http.StatusOK || !strings.HasPrefix(a.body, "\x89PNG") || a.header.Get("Content-Type") != "image/png" {
		t.Errorf("picture of the key: %d %q", a.status, a.header.Get("Content-Type"))
	}
	if a := g.visitor("198.51.100.3").ask(t, "GET", "/me/code/image", nil); a.status != http.StatusSeeOther {
		t.Errorf("picture for nobody: %d", a.status)
	}
	key := strings.ReplaceAll(regexp.MustCompile(`<code>([A-Z2-7 ]+)</code>`).FindStringSubmatch(b.ask(t, "GET", "/me/code", nil).body)[1], " ", "")
	expect(t, b.ask(t, "POST", "/me/code", url.Values{"code": {"000000"}}).body, "Ce code est inexact")
	now := time.Now()
	code := func(at time.Time) string {
		c, err := totp.GenerateCode(key, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	page := b.ask(t, "POST", "/me/code", url.Values{"code": {code(now)}}).body
	expect(t, page, "Les codes sont activés", "que cette fois")
	recovery := codes.FindAllStringSubmatch(page, -1)
	if len(recovery) != 10 {
		t.Fatalf("%d recovery codes\n%s", len(recovery), page)
	}
	expect(t, b.ask(t, "GET", "/me/code", nil).body, "Il reste 10 codes de secours", "!"+key, "!"+recovery[0][1])

	// Another browser, with the second step.
	other := g.visitor("198.51.100.4")
	at, a := other.lead(t, "POST", "/sign-in", url.Values{"address": {"Marie@Shop.example.test"}, "password": {password}, "next": {"/c/shop/history"}})
	if !strings.HasPrefix(at, "/sign-in/second?next=") {
		t.Fatalf("first step: at %s", at)
	}
	expect(t, a.body, "Second step", `value="/c/shop/history"`)
	if a := other.ask(t, "GET", "/me", nil); a.status != http.StatusSeeOther {
		t.Errorf("after the first step alone: %d", a.status)
	}
	expect(t, other.ask(t, "POST", "/sign-in/second", url.Values{"code": {"123456"}}).body, "This code is not right")
	expect(t, other.ask(t, "POST", "/sign-in/second", url.Values{"code": {code(now)}}).body, "This code is not right") // used when it was confirmed
	at, a = other.lead(t, "POST", "/sign-in/second", url.Values{"code": {recovery[3][1]}, "next": {"/c/shop/history"}})
	if at != "/c/shop/history" || a.status != http.StatusOK {
		t.Fatalf("second step: at %s, %d\n%s", at, a.status, a.body)
	}
	expect(t, a.body, "Marie Curie", "marie@shop.example.test", "198.51.100.4")
	expect(t, b.ask(t, "GET", "/me/code", nil).body, "Il reste 9 codes")
	third := g.visitor("198.51.100.5")
	third.lead(t, "POST", "/sign-in", url.Values{"address": {"marie@shop.example.test"}, "password": {password}})
	expect(t, third.ask(t, "POST", "/sign-in/second", url.Values{"code": {recovery[3][1]}}).body, "This code is not right")
	if at, _ := third.lead(t, "POST", "/sign-in/second", url.Values{"code": {code(now.Add(30 * time.Second))}}); strings.HasPrefix(at, "/sign-in") {
		t.Errorf("a code of the app: at %s", at)
	}

	// The first browser sends the others out: at once.
	expect(t, b.ask(t, "GET", "/me", nil).body, "198.51.100.4", "198.51.100.5")
	sessions, err := g.Users().Sessions(t.Context(), u.ID)
	if err != nil || len(sessions) != 3 {
		t.Fatalf("%d sessions: %v", len(sessions), err)
	}
	_, a = b.lead(t, "POST", "/me/sessions/end", url.Values{"id": {sessions[0].ID}})
	expect(t, a.body, "La session est fermée", "!198.51.100.5")
	if a := third.ask(t, "GET", "/c/shop/users", nil); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in") {
		t.Errorf("a session that was ended: %d to %s", a.status, a.header.Get("Location"))
	}
	_, a = b.lead(t, "POST", "/me/sessions/others", url.Values{})
	expect(t, a.body, "1 autre session est fermée")
	if a := other.ask(t, "POST", "/c/shop/tokens", url.Values{}); a.status != http.StatusSeeOther {
		t.Errorf("an act of a session that was ended: %d", a.status)
	}
	before := b.cookies["postern"]
	if at, _ := b.lead(t, "POST", "/sign-out", url.Values{}); at != "/sign-in" {
		t.Errorf("sign-out leads to %s", at)
	}
	b.cookies["postern"] = before
	if a := b.ask(t, "GET", "/me", nil); a.status != http.StatusSeeOther {
		t.Errorf("the cookie of a session that signed out: %d", a.status)
	}
}

// TestForgotten: a link to a new password is asked, read, used once; all sessions end with it.
func TestForgotten(t *testing.T) {
	t.Parallel()
	g := start(t)
	u := g.member(t, "luc@shop.example.test", user.CustomerReader, "shop")
	b := g.visitor("198.51.100.1")
	b.signIn(t, "luc@shop.example.test")
	var pages []string
	for _, typed := range []string{"luc@shop.example.test", "nobody@shop.example.test"} {
		a := g.visitor("198.51.100.2").ask(t, "POST", "/forgot", url.Values{"address": {typed}})
		if a.status != http.StatusOK {
			t.Errorf("%s: %d", typed, a.status)
		}
		pages = append(pages, a.body)
	}
	if pages[0] != pages[1] {
		t.Error("the answers tell who is a user")
	}
	expect(t, pages[0], "If a user has this address")
	expect(t, b.ask(t, "POST", "/forgot", url.Values{"address": {"luc"}}).body, "Type the whole address")
	secret, err := g.Users().NewReset(t.Context(), u.ID)
	if err != nil {
		t.Fatal(err)
	}
	fresh := g.visitor("198.51.100.3")
	expect(t, fresh.ask(t, "GET", "/reset/"+secret, nil).body, "Choose a new password", "luc@shop.example.test", `autocomplete="new-password"`)
	if a := fresh.ask(t, "GET", "/reset/"+secret+"x", nil); a.status != http.StatusGone {
		t.Errorf("a link that was changed: %d", a.status)
	}
	long := "another six green bicycles"
	at, a := fresh.lead(t, "POST", "/reset/"+secret, url.Values{"password": {long}, "again": {long}})
	if at != "/sign-in" {
		t.Fatalf("after a reset: at %s\n%s", at, a.body)
	}
	expect(t, a.body, "The new password is set")
	if a := b.ask(t, "GET", "/me", nil); a.status != http.StatusSeeOther {
		t.Errorf("a session of the former password: %d", a.status)
	}
	if a := fresh.ask(t, "POST", "/reset/"+secret, url.Values{"password": {long}, "again": {long}}); a.status != http.StatusGone {
		t.Errorf("a link that was used: %d", a.status)
	}
	if a := fresh.ask(t, "POST", "/sign-in", url.Values{"address": {"luc@shop.example.test"}, "password": {password}}); a.status != http.StatusUnprocessableEntity {
		t.Errorf("the former password: %d", a.status)
	}
	if a := fresh.ask(t, "POST", "/sign-in", url.Values{"address": {"luc@shop.example.test"}, "password": {long}}); a.status != http.StatusSeeOther {
		t.Errorf("the new password: %d", a.status)
	}
}

// TestFirstOperator: while there is none, a link makes one, and only one.
func TestFirstOperator(t *testing.T) {
	t.Parallel()
	g := start(t)
	secret, err := g.Users().FirstLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := g.visitor("198.51.100.1")
	expect(t, b.ask(t, "GET", "/setup/"+secret, nil).body, "The first operator")
	form := url.Values{"address": {"nobody"}, "name": {"Olga Operator"}, "password": {password}, "again": {password}}
	expect(t, b.ask(t, "POST", "/setup/"+secret, form).body, "Type a whole e-mail address", "Olga Operator")
	form.Set("address", "olga@example.test")
	if a := b.ask(t, "POST", "/setup/"+secret, form); a.status != http.StatusSeeOther || a.header.Get("Location") != "/o" {
		t.Fatalf("set-up: %d\n%s", a.status, a.body)
	}
	expect(t, b.ask(t, "GET", "/o/users", nil).body, "Olga Operator", "olga@example.test", "Operator")
	expect(t, b.ask(t, "GET", "/o/history", nil).body, "Became the first operator")
	if a := g.visitor("198.51.100.2").ask(t, "GET", "/setup/"+secret, nil); a.status != http.StatusGone {
		t.Errorf("the link once more: %d", a.status)
	}
}

// TestGuessing: nothing tells who is a user, and who guesses waits.
func TestGuessing(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.member(t, "luc@shop.example.test", user.CustomerReader, "shop")
	answers := map[string][]answer{}
	for i, typed := range []string{"luc@shop.example.test", "nobody@shop.example.test"} {
		b := g.visitor(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String())
		for range 7 {
			a := b.ask(t, "POST", "/sign-in", url.Values{"address": {typed}, "password": {"not the right one"}})
			a.body = strings.ReplaceAll(a.body, typed, "SOMEBODY")
			answers[typed] = append(answers[typed], a)
		}
	}
	for i, a := range answers["luc@shop.example.test"] {
		b := answers["nobody@shop.example.test"][i]
		if a.body != b.body || a.status != b.status {
			t.Errorf("try %d: the answers tell who is a user: %d and %d", i, a.status, b.status)
		}
		want := http.StatusUnprocessableEntity
		if i >= 5 {
			want = http.StatusTooManyRequests
		}
		if a.status != want {
			t.Errorf("try %d: %d, want %d", i, a.status, want)
		}
		if i >= 5 {
			expect(t, a.body, "Try again in 1\u00a0minute", "<title>Error: Sign in")
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		} else {
			expect(t, a.body, "the address or the password is not right", "SOMEBODY", "!not the right one")
		}
	}
	op := g.as(t, user.Operator, "")
	expect(t, op.get(t, "/o/history?act=sign-in"), "refused", "nobody@shop.example.test", "not signed in")
	expect(t, g.as(t, user.CustomerAdmin, "shop").get(t, "/c/shop/history"), "luc@shop.example.test", "!nobody@shop.example.test")
}

// TestNext: after signing in, nobody is led elsewhere.
func TestNext(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.member(t, "luc@shop.example.test", user.CustomerReader, "shop")
	for i, tc := range []struct{ next, want string }{
		{"", "/home"}, {"/c/shop/users", "/c/shop/users"}, {"/c/shop/history?act=sign-in&who=user%3Ax", "/c/shop/history?act=sign-in&who=user%3Ax"},
		{"//evil.example", "/home"}, {"/\\evil.example", "/home"}, {"\\\\evil.example", "/home"}, {"https://evil.example/", "/home"}, {"javascript:alert(1)", "/home"},
		{"/\t/evil.example", "/home"}, {"/%09/evil.example", "/%09/evil.example"}, {"/%2f%2fevil.example", "/%2f%2fevil.example"}, {"///evil.example", "/home"}, {"/x\r\nSet-Cookie: a=b", "/home"},
		{"evil.example", "/home"}, {"/.//evil.example", "/evil.example"}, {"/%5cevil.example", "/%5cevil.example"}, {" //evil.example", "/home"}, {"/" + strings.Repeat("x", 3000), "/home"}, {"mailto:a@b", "/home"},
	} {
		b := g.visitor(netip.AddrFrom4([4]byte{198, 51, 101, byte(i)}).String())
		a := b.ask(t, "POST", "/sign-in", url.Values{"address": {"luc@shop.example.test"}, "password": {password}, "next": {tc.next}})
		if got := a.header.Get("Location"); a.status != http.StatusSeeOther || got != tc.want {
			t.Errorf("%q leads to %q (%d), want %q", tc.next, got, a.status, tc.want)
		}
		if a.header.Get("a") != "" || len(a.header.Values("Set-Cookie")) != 1 {
			t.Errorf("%q: header %v", tc.next, a.header)
		}
	}
}

// TestFixation: each sign-in makes a session of its own and ends the one that the browser had.
func TestFixation(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.member(t, "luc@shop.example.test", user.CustomerReader, "shop")
	g.member(t, "eve@shop.example.test", user.CustomerReader, "shop")
	b := g.visitor("198.51.100.1")
	b.signIn(t, "eve@shop.example.test")
	first := b.cookies["postern"]
	b.signIn(t, "luc@shop.example.test")
	if b.cookies["postern"] == first || first == "" {
		t.Error("the session is the same")
	}
	old := g.visitor("198.51.100.1")
	old.cookies["postern"] = first
	if a := old.ask(t, "GET", "/me", nil); a.status != http.StatusSeeOther {
		t.Errorf("the session before: %d", a.status)
	}
	made := g.visitor("198.51.100.1")
	made.cookies["postern"] = strings.Repeat("a", 43)
	made.signIn(t, "luc@shop.example.test")
	if made.cookies["postern"] == strings.Repeat("a", 43) {
		t.Error("a session that somebody else chose")
	}
}

// TestCookies: what a browser keeps is for this host, for HTTPS and for no script.
func TestCookies(t *testing.T) {
	t.Parallel()
	g := start(t, func(c *config.Config) { c.Web.BaseURL = "https://mail.example.test" })
	g.member(t, "luc@shop.example.test", user.CustomerReader, "shop")
	a := g.visitor("198.51.100.1").ask(t, "POST", "/sign-in", url.Values{"address": {"luc@shop.example.test"}, "password": {password}}, "Origin", "https://mail.example.test")
	if a.status != http.StatusSeeOther {
		t.Fatalf("not signed in: %d\n%s", a.status, a.body)
	}
	set := a.header.Get("Set-Cookie")
	for _, want := range []string{"__Host-postern=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		if !strings.Contains(set, want) {
			t.Errorf("cookie %q lacks %q", set, want)
		}
	}
	if strings.Contains(set, "Domain") || a.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("header: %v", a.header)
	}
}

// TestSignForeign: what another site makes a browser send signs nobody in or out, and changes nobody's account.
func TestSignForeign(t *testing.T) {
	t.Parallel()
	g := start(t)
	ad := g.as(t, user.CustomerAdmin, "shop")
	for _, path := range []string{"/sign-in", "/sign-in/second", "/sign-in/passkey", "/sign-in/passkey/done", "/forgot", "/reset/x", "/invite/x", "/setup/x", "/prove", "/sign-out", "/me", "/me/password", "/me/code", "/me/code/start",
		"/me/code/remove", "/me/code/recovery", "/me/passkeys/begin", "/me/passkeys/done", "/me/passkeys/remove", "/me/sessions/end", "/me/sessions/others", "/me/tokens/revoke",
		"/c/shop/users", "/c/shop/users/" + ad.user.ID + "/role", "/c/shop/tokens", "/c/shop/tokens/x/revoke"} {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			if a := ad.ask(t, "POST", path, url.Values{}, header...); a.status != http.StatusForbidden {
				t.Errorf("%s with %v: %d", path, header, a.status)
			}
		}
	}
	ad.get(t, "/me")
	if u, err := g.Users().Users(t.Context(), user.UserQuery{Customer: "shop"}); err != nil || len(u.Users) != 1 {
		t.Errorf("%d users: %v", len(u.Users), err)
	}
}
