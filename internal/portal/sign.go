package portal

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"postern/internal/mail"
	"postern/internal/user"
)

// signRoutes are the pages about signing in. They answer the same whether there is a user of an address or not.
func (s *site) signRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/sign-in", access: anybody(), do: s.signIn},
		{method: post, path: "/sign-in", access: anybody(), act: "sign-in", do: s.signInNow},
		{method: get, path: "/sign-in/second", access: anybody(), do: s.second},
		{method: post, path: "/sign-in/second", access: anybody(), act: "sign-in.second", do: s.secondNow},
		{method: get, path: "/forgot", access: anybody(), do: s.forgot},
		{method: post, path: "/forgot", access: anybody(), act: "password.ask", do: s.forgotNow},
		{method: get, path: "/prove", access: itself(), do: s.prove},
		{method: post, path: "/prove", access: itself(), act: "prove", do: s.proveNow},
	}
}

// next is where the visitor goes after signing in, if that is a page of this site; else "".
func (v *visit) next() string {
	next := v.r.PostForm.Get("next")
	if v.r.Method == http.MethodGet {
		next = v.r.URL.Query().Get("next")
	}
	if len(next) > 2000 {
		return ""
	}
	return localPath(next)
}

// after is next as a path to add to an address, for pages that lead on.
func (v *visit) after(path string) string { return v.page.URL(path, "next", v.next()) }

// agentOf is the browser's own word about itself.
func agentOf(r *http.Request) string { return r.UserAgent() }

// showSignIn answers with the page to sign in, with what was wrong; "": nothing.
func (s *site) showSignIn(v *visit, status int, address, wrong string) {
	p := v.signPage(v.page.T("sign.in.heading"), "/sign-in")
	p.page.Path, p.Hidden = "/sign-in", []hiddenField{{"next", v.next()}}
	p.page.query = nil // what came back from an identity provider stands in no link
	if next := v.next(); next != "" {
		p.page.query = url.Values{"next": {next}}
	}
	p.Fields = []field{
		{Name: "address", Label: p.T("sign.in.address"), Type: "email", Value: address, Required: true, Most: 254, Complete: "username", Focus: address == ""},
		{Name: "password", Label: p.T("sign.in.password"), Type: "password", Required: true, Most: 800, Complete: "current-password", Focus: address != ""},
	}
	p.Button = p.T("sign.in.button")
	if s.o.SSO != nil {
		p.Links = []signLink{{URL: v.after("/sign-in/sso"), Label: p.T("sign.in.sso"), Button: true}}
	}
	p.Links = append(p.Links, signLink{URL: p.URL("/forgot"), Label: p.T("sign.in.forgot")})
	p.Passkey = v.passkeyAsked("/sign-in/passkey", p.T("sign.passkey.button"), p.T("sign.passkey.hint"))
	p.page.Scripts = v.page.Scripts
	if wrong != "" {
		p.wrong(wrong)
	}
	v.show(status, "sign.form", p)
}

func (s *site) signIn(v *visit) {
	if v.who.ID != "" {
		v.onward()
		return
	}
	s.showSignIn(v, http.StatusOK, "", "")
}

// onward leads to where the visitor wanted to go, else to his first page.
func (v *visit) onward() {
	if next := v.next(); next != "" {
		v.redirect(next)
		return
	}
	v.redirect("/home")
}

// signInNow looks at an address and a password.
func (s *site) signInNow(v *visit) {
	if !v.read() {
		return
	}
	typed := clean(v.r.PostForm.Get("address"), 254)
	v.nobody(typed)
	in, err := s.o.Users.SignIn(v.r.Context(), user.Attempt{Address: typed, Password: v.r.PostForm.Get("password"), IP: addressOf(v.r), Agent: agentOf(v.r)})
	switch {
	case errors.Is(err, user.ErrDenied):
		s.showSignIn(v, http.StatusUnprocessableEntity, typed, v.page.T("sign.in.refused"))
	case errors.Is(err, user.ErrThrottled):
		s.showSignIn(v, http.StatusTooManyRequests, typed, v.throttled(typed))
	case err != nil:
		v.broken("sign-in failed", err)
	case in.Pending != "":
		v.entry.Act = "" // nothing is done before the second step
		http.SetCookie(v.w, s.secondCookie(in.Pending, in.Ends))
		v.redirectNext("/sign-in/second")
	default:
		s.enter(v, in)
		v.onward()
	}
}

// redirectNext leads to another page about signing in, which leads on to where the visitor wanted to go.
func (v *visit) redirectNext(path string) {
	v.status = http.StatusSeeOther
	http.Redirect(v.w, v.r, v.after(path), http.StatusSeeOther)
}

// nobody says of whom an act is before it is known who he is: a typed address. The line stands with the customer whose user has the address.
func (v *visit) nobody(address string) {
	v.entry.Actor, v.entry.Name = v.who.Actor(), v.who.Name
	if v.who.ID == "" {
		v.entry.Actor = ""
	}
	v.about("?", "")
	if a, err := mail.ParseAddress(address); err == nil && !a.IsNull() {
		v.about(a.String(), "")
		if u, err := v.s.o.Users.ByAddress(v.r.Context(), a.String()); err == nil {
			v.entry.Customer = u.Customer
		}
	}
}

// enter gives the browser its new session, ends the one it had, and tells the audit log who this is.
func (s *site) enter(v *visit, in user.SignedIn) {
	if v.session.ID != "" {
		if err := s.o.Users.EndSession(v.r.Context(), v.who.ID, v.session.ID); err != nil && !errors.Is(err, user.ErrNotFound) {
			s.o.Logger.Error("former session not ended", "session", v.session.ID, "error", err)
		}
	}
	s.remember(v.w, in.Secret, in.Session.Created.Add(keepCookie))
	who := in.User.Principal()
	v.entry.Actor, v.entry.Name, v.entry.Customer = who.Actor(), who.Name, in.User.Customer
	v.about(in.User.Address.String(), "")
	if !v.page.Chosen && in.User.Language != "" {
		v.page.Lang = in.User.Language // what is said once after signing in
	}
}

// keepCookie is how long a browser keeps a session's cookie. The session itself ends by the ledger's rules, which go by its use.
const keepCookie = 30 * 24 * time.Hour

// throttled is the sentence for attempts that were not looked at, with how long to wait, which it also tells programs. address is the one whose
// password was tried; "": another proof, or the visitor's own.
func (v *visit) throttled(address string) string {
	if address == "" && v.who.ID != "" {
		if u, err := v.s.o.Users.User(v.r.Context(), v.who.ID); err == nil {
			address = u.Address.String()
		}
	}
	wait := max(v.s.o.Users.Wait(address, v.who.ID, addressOf(v.r)), time.Minute)
	seconds := int(math.Ceil(wait.Seconds()))
	v.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return v.page.T("sign.wait", "Wait", time.Duration(seconds)*time.Second)
}

// secondCookie carries a sign-in from its first step to its second; the zero time takes it away.
func (s *site) secondCookie(secret string, ends time.Time) *http.Cookie {
	c := &http.Cookie{Name: s.cookie() + "-second", Value: secret, Path: "/", Expires: ends, HttpOnly: true, Secure: s.https, SameSite: http.SameSiteLaxMode}
	if ends.IsZero() {
		c.MaxAge = -1
	}
	return c
}

func (s *site) showSecond(v *visit, status int, wrong string) {
	p := v.signPage(v.page.T("sign.second.heading"), "/sign-in/second")
	p.Lede = []string{p.T("sign.second.lede")}
	p.Hidden = []hiddenField{{"next", v.next()}}
	p.Fields = []field{{Name: "code", Label: p.T("sign.second.code"), Required: true, Most: 40, Complete: "one-time-code", Focus: true, Mono: true}}
	p.Button = p.T("sign.second.button")
	p.Links = []signLink{{URL: v.after("/sign-in"), Label: p.T("sign.second.again")}}
	if wrong != "" {
		p.wrong(wrong)
	}
	v.show(status, "sign.form", p)
}

// pending is the first step of a sign-in that this browser has done; "": none.
func (v *visit) pending() string {
	c, err := v.r.Cookie(v.s.cookie() + "-second")
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *site) second(v *visit) {
	if v.pending() == "" {
		v.redirectNext("/sign-in")
		return
	}
	s.showSecond(v, http.StatusOK, "")
}

// secondNow looks at a code.
func (s *site) secondNow(v *visit) {
	if !v.read() {
		return
	}
	v.nobody("")
	in, err := s.o.Users.Second(v.r.Context(), v.pending(), v.r.PostForm.Get("code"))
	switch {
	case errors.Is(err, user.ErrDenied):
		s.showSecond(v, http.StatusUnprocessableEntity, v.page.T("sign.second.refused"))
	case errors.Is(err, user.ErrThrottled):
		s.showSecond(v, http.StatusTooManyRequests, v.throttled(""))
	case err != nil:
		v.broken("second step failed", err)
	default:
		http.SetCookie(v.w, s.secondCookie("", time.Time{}))
		s.enter(v, in)
		v.onward()
	}
}

func (s *site) forgot(v *visit) { s.showForgot(v, http.StatusOK, "", "") }

func (s *site) showForgot(v *visit, status int, typed, fault string) {
	p := v.signPage(v.page.T("sign.forgot.heading"), "/forgot")
	p.Lede = []string{p.T("sign.forgot.lede")}
	p.Fields = []field{{Name: "address", Label: p.T("sign.in.address"), Type: "email", Value: typed, Fault: fault, Required: true, Most: 254, Complete: "username", Focus: true}}
	p.Button = p.T("sign.forgot.button")
	p.Links = []signLink{{URL: p.URL("/sign-in"), Label: p.T("sign.forgot.back")}}
	if fault != "" {
		p.Title = p.T("error.title", "Heading", p.Heading)
	}
	v.show(status, "sign.form", p)
}

// forgotNow has a link sent, and says the same whatever came of it.
func (s *site) forgotNow(v *visit) {
	if !v.read() {
		return
	}
	typed := clean(v.r.PostForm.Get("address"), 254)
	v.nobody(typed)
	if a, err := mail.ParseAddress(typed); err != nil || a.IsNull() {
		s.showForgot(v, http.StatusUnprocessableEntity, typed, v.page.T("sign.forgot.fault"))
		return
	}
	if err := s.o.Users.AskReset(v.r.Context(), typed, addressOf(v.r)); err != nil {
		v.broken("link to a new password not made", err)
		return
	}
	p := v.signPage(v.page.T("sign.forgot.said.heading"), "")
	p.Lede = []string{p.T("sign.forgot.said.what"), p.T("sign.forgot.said.do")}
	p.Links = []signLink{{URL: p.URL("/sign-in"), Label: p.T("sign.forgot.back")}}
	v.show(http.StatusOK, "sign.said", p)
}
