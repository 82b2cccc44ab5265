package portal_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"postern/internal/notice"
	"postern/internal/user"
)

// TestSweepMessageLinks: the link of a message opens that message, as long as it lasts, for whoever has it and whoever he is; nothing else opens anything.
func TestSweepMessageLinks(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	token := w.Links().Token(w.a.held, time.Now())
	other, err := notice.NewLinks(w.base, []byte(strings.Repeat("k", 32)), 7*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	theirs := w.Links().Token(w.b.held, time.Now())
	wrong := map[string]string{"of another gateway": other.Token(w.a.held, time.Now()), "longer": token + "A", "twice": token + token, "two joined": token[:len(token)/2] + theirs[len(theirs)/2:], "a queue ID": string(w.a.held), "spaces": " " + token, "other letters": strings.ToUpper(token)}
	for i := 1; i < len(token); i += 3 {
		wrong[fmt.Sprintf("cut after %d", i)] = token[:i]
	}
	people := []*crew{{}, {role: user.CustomerAdmin, customer: "alfa"}, {role: user.CustomerAdmin, customer: "bravo"}, {role: user.Operator}}
	for _, c := range people {
		first := ""
		for name, x := range wrong {
			for _, method := range []string{"GET", "POST"} {
				path, form := "/m/"+url.PathEscape(x), url.Values(nil)
				if method == "POST" {
					path, form = path+"/drop", url.Values{}
				}
				a := w.send(t, c, method, path, form)
				if first == "" && method == "GET" && x != "" {
					first = a.body
				}
				if a.status != http.StatusNotFound || strings.Contains(a.body, w.a.marker) || strings.Contains(a.body, w.b.marker) {
					t.Errorf("%s a token %s: %d", method, name, a.status)
				}
				if method == "GET" && x != "" && a.body != first {
					t.Errorf("a token %s is answered otherwise:\n%s", name, difference(first, a.body))
				}
			}
		}
		a := w.send(t, c, "GET", "/m/"+token, nil)
		if a.status != http.StatusOK || !strings.Contains(a.body, w.a.marker) || strings.Contains(a.body, w.b.marker) {
			t.Errorf("%s with the link: %d", c.role, a.status)
		}
		if old := w.send(t, c, "GET", "/m/"+w.Links().Token(w.a.held, time.Now().AddDate(0, -1, 0)), nil); old.status != http.StatusGone || strings.Contains(old.body, w.a.marker) {
			t.Errorf("%s with the link of a month ago: %d", c.role, old.status)
		}
		for _, act := range []string{"drop", "release", "retest", "ask"} { // scanners of mail open every link
			if a := w.send(t, c, "GET", "/m/"+token+"/"+act, nil); a.status >= 500 {
				t.Errorf("GET %s: %d", act, a.status)
			}
		}
	}
	for _, x := range []*things{w.a, w.b} {
		if m, err := w.Spool().Get(t.Context(), x.held); err != nil || !m.Held {
			t.Errorf("%s is no longer held: %v", x.marker, err)
		}
	}
}

// TestSweepGuessing: codes, recovery codes, links and tokens are not guessed: the answers are all the same, and soon there are none.
func TestSweepGuessing(t *testing.T) {
	t.Parallel()
	g := start(t)
	t.Run("codes", func(t *testing.T) {
		u := g.member(t, "careful@people.example.test", user.CustomerReader, "shop")
		e, err := g.Users().StartTOTP(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		code := func(at time.Time) string {
			text, err := totp.GenerateCode(e.Key, at)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		recovery, err := g.Users().ConfirmTOTP(t.Context(), u.ID, e.State, code(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		cut, last := recovery[0][:len(recovery[0])-1], "x"
		if cut+last == recovery[0] {
			last = "y"
		}
		looked, answers := 0, map[string]bool{}
		for round := range 12 {
			b := g.visitor(fmt.Sprintf("198.51.100.%d", round+1))
			if a := b.ask(t, "POST", "/sign-in", url.Values{"address": {u.Address.String()}, "password": {password}}); a.status != http.StatusSeeOther || a.header.Get("Location") != "/sign-in/second" {
				break // the password is not looked at any more
			}
			for i := range 6 {
				guess := fmt.Sprintf("%06d", (round*6+i)*7919%1000000)
				if i%2 == 1 {
					guess = cut + last // all of a recovery code but its end
				}
				a := b.ask(t, "POST", "/sign-in/second", url.Values{"code": {guess}})
				if a.status == http.StatusSeeOther && a.header.Get("Location") != "/sign-in" && !strings.HasPrefix(a.header.Get("Location"), "/sign-in?") {
					t.Fatalf("a guess opened %s", a.header.Get("Location"))
				}
				if a.status == http.StatusUnprocessableEntity {
					looked++
					answers[a.body] = true
				}
				if b.ask(t, "GET", "/me", nil).status == http.StatusOK {
					t.Fatal("a guess signed in")
				}
			}
		}
		if looked == 0 || looked > 20 || len(answers) > 1 {
			t.Errorf("%d guesses were looked at, with %d different answers", looked, len(answers))
		}
		b := g.visitor("198.51.100.99")
		b.ask(t, "POST", "/sign-in", url.Values{"address": {u.Address.String()}, "password": {password}})
		for _, right := range []string{code(time.Now().Add(30 * time.Second)), recovery[1]} {
			if a := b.ask(t, "POST", "/sign-in/second", url.Values{"code": {right}}); a.status == http.StatusSeeOther && a.header.Get("Location") == "/home" {
				t.Error("the right code is looked at after so many wrong ones")
			}
		}
	})
	t.Run("links", func(t *testing.T) {
		u, invited, err := g.Users().Add(t.Context(), user.User{Address: address(t, "zqguest@people.example.test"), Role: user.CustomerReader, Customer: "shop", Language: "fr"})
		if err != nil {
			t.Fatal(err)
		}
		g.as(t, user.CustomerAdmin, "shop").must(t, "/c/shop/users/"+u.ID+"/invite", nil) // the link of the earlier message stops working
		reset, err := g.Users().NewReset(t.Context(), g.member(t, "zqforgets@people.example.test", user.CustomerReader, "shop").ID)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, kind := range []string{"invite", "reset", "setup"} {
			first := ""
			for name, secret := range map[string]string{"unknown": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "short": "A", "cut": invited[:len(invited)-1], "replaced": invited, "one letter else": invited[:len(invited)-1] + "!", "long": strings.Repeat("A", 3000)} {
				for _, method := range []string{"GET", "POST"} {
					n++
					g.ip = fmt.Sprintf("198.51.101.%d", n)
					var form url.Values
					if method == "POST" {
						form = url.Values{"name": {"X"}, "password": {password}, "again": {password}, "address": {"x@example.org"}}
					}
					a := g.ask(t, method, "/"+kind+"/"+url.PathEscape(secret), form)
					if first == "" {
						first = a.body
					}
					if a.status != http.StatusGone || a.body != first {
						t.Errorf("%s of a %s link, %s: %d\n%s", method, kind, name, a.status, difference(first, a.body))
					}
				}
			}
		}
		passed := 0
		g.ip = "198.51.102.1"
		for i := range 100 {
			if a := g.ask(t, "GET", fmt.Sprintf("/reset/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%02d", i), nil); a.status == http.StatusGone {
				passed++
			}
		}
		if passed > 60 {
			t.Errorf("%d of 100 guesses from one network were looked at", passed)
		}
		for path, status := range map[string]int{"/reset/" + reset: 200} {
			g.ip = "198.51.102.2"
			if a := g.ask(t, "GET", path, nil); a.status != status {
				t.Errorf("the right link after all that: %d", a.status)
			}
		}
		if u, err := g.Users().User(t.Context(), u.ID); err != nil || u.Password {
			t.Errorf("the invited user: %+v %v", u, err)
		}
	})
	t.Run("tokens", func(t *testing.T) {
		admin := g.as(t, user.CustomerAdmin, "shop")
		k, secret, err := g.Users().AddToken(t.Context(), admin.user.Principal(), user.Token{Customer: "shop", Label: "x", Rights: []user.Right{user.MailRead}})
		if err != nil {
			t.Fatal(err)
		}
		gone, revoked, err := g.Users().AddToken(t.Context(), admin.user.Principal(), user.Token{Customer: "shop", Label: "y", Rights: []user.Right{user.MailRead}})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Users().RevokeToken(t.Context(), "shop", gone.ID); err != nil {
			t.Fatal(err)
		}
		first, n := "", 0
		api := func(ip, token string) answer {
			g.ip = ip
			return g.ask(t, "GET", "/api/v1/held", nil, "Authorization", "Bearer "+token)
		}
		for name, token := range map[string]string{"unknown": "pst_aaaaaaaaaaaaaaaa_" + strings.Repeat("A", 43), "known, with another secret": "pst_" + k.ID + "_" + strings.Repeat("A", 43), "revoked": revoked, "cut": secret[:len(secret)-1]} {
			n++
			a := api(fmt.Sprintf("198.51.103.%d", n), token)
			if first == "" {
				first = a.body
			}
			if a.status != http.StatusUnauthorized || a.body != first {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		last := answer{}
		for i := range 60 {
			last = api("198.51.104.1", fmt.Sprintf("pst_%s_%s%02d", k.ID, strings.Repeat("A", 41), i))
		}
		if last.status != http.StatusTooManyRequests || last.header.Get("Retry-After") == "" {
			t.Errorf("after 60 guesses: %d", last.status)
		}
		if a := api("198.51.104.2", secret); a.status != http.StatusOK {
			t.Errorf("the right token, elsewhere: %d", a.status)
		}
	})
}

// TestSweepBodies: no route takes a body without end that does not say its length, and none keeps anything of it.
func TestSweepBodies(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	operator, admin := &crew{role: user.Operator}, &crew{role: user.CustomerAdmin, customer: "alfa"}
	routes := 0
	for _, r := range w.routes {
		if r.Method != http.MethodPost || r.Path == "/sign-out" || destructive(r) > 0 { // those take things away whatever else is sent
			continue
		}
		routes++
		c, objects := operator, w.a
		if r.Self || r.Public {
			c = admin
		}
		if !r.Customer && objects.paths[lastPattern(r.Path)] == "" {
			objects = w.o
		}
		path, _ := objects.path(t, r.Path, "alfa")
		for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "application/json"} {
			before := w.a.state(t, w.gateway)
			e := new(endless)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+path, io.LimitReader(e, 1<<30))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = -1
			n := w.visitor.Add(1)
			for name, value := range map[string]string{"Content-Type": kind, "Sec-Fetch-Site": "same-origin", "Cookie": w.next(t, c), "X-Forwarded-For": fmt.Sprintf("198.19.%d.%d", n/250%250, n%250)} {
				req.Header.Set(name, value)
			}
			res, err := http.DefaultTransport.RoundTrip(req)
			if err == nil {
				_ = res.Body.Close()
			}
			if taken := e.n.Load(); taken > 32<<20 {
				t.Errorf("%s: %d bytes of %s were taken", r.Path, taken, kind)
			}
			if err == nil && res.StatusCode < 400 {
				continue // it does what its path says and reads no body: what others are asked is no more than that
			}
			if after := w.a.state(t, w.gateway); after != before {
				t.Errorf("%s: something of a body without end was kept:\n%s", r.Path, difference(before, after))
			}
		}
		if r.Self {
			admin.now = nil
		}
	}
	if m, err := w.Spool().Get(t.Context(), w.b.held); err != nil || !m.Held {
		t.Error("another's message", err)
	}
	t.Logf("%d forms", routes)
}
