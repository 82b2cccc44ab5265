package portal

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"postern/internal/user"
)

// ssoRoutes lead operators through their identity provider. They are GET, as the protocol has it: what comes back counts only with the cookie that
// this browser got when it left.
func (s *site) ssoRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/sign-in/sso", access: anybody(), do: s.sso},
		{method: http.MethodGet, path: "/sign-in/sso/done", access: anybody(), act: "sign-in.sso", do: s.ssoDone},
	}
}

// ssoFor is how long a visit at the provider may take.
const ssoFor = 10 * time.Minute

// ssoCookie carries the state of a visit at the provider, and where to go afterwards; the zero time takes it away.
func (s *site) ssoCookie(state, next string, ends time.Time) *http.Cookie {
	c := &http.Cookie{Name: s.cookie() + "-sso", Value: url.QueryEscape(url.Values{"state": {state}, "next": {next}}.Encode()), Path: "/", Expires: ends, HttpOnly: true, Secure: s.https, SameSite: http.SameSiteLaxMode}
	if ends.IsZero() {
		c.Value, c.MaxAge = "", -1
	}
	return c
}

// sso sends the browser to the provider.
func (s *site) sso(v *visit) {
	if s.o.SSO == nil {
		v.missing()
		return
	}
	address, state, err := s.o.SSO.AuthURL(v.r.Context())
	if err != nil {
		s.o.Logger.Error("identity provider not asked", "error", err)
		s.showSignIn(v, http.StatusBadGateway, "", v.page.T("sign.in.sso_refused"))
		return
	}
	http.SetCookie(v.w, s.ssoCookie(state, v.next(), s.o.Now().Add(ssoFor)))
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
}

// ssoDone signs in whom the provider names.
func (s *site) ssoDone(v *visit) {
	if s.o.SSO == nil {
		v.missing()
		return
	}
	var was url.Values
	if c, err := v.r.Cookie(s.cookie() + "-sso"); err == nil {
		if text, err := url.QueryUnescape(c.Value); err == nil {
			was, _ = url.ParseQuery(text)
		}
	}
	http.SetCookie(v.w, s.ssoCookie("", "", time.Time{}))
	v.entry = user.Entry{Act: v.route.act, IP: addressOf(v.r)}
	v.about("?", "")
	id, err := s.o.SSO.Exchange(v.r.Context(), was.Get("state"), v.r.URL.Query())
	var in user.SignedIn
	if err == nil {
		if !id.Address.IsNull() {
			v.about(id.Address.String(), "")
		}
		in, err = s.o.Users.SignInExternal(v.r.Context(), id, addressOf(v.r), agentOf(v.r))
	}
	switch {
	case err == nil:
		s.enter(v, in)
		next := localPath(was.Get("next"))
		if next == "" {
			next = "/home"
		}
		v.redirect(next)
	case errors.Is(err, user.ErrDenied), errors.Is(err, user.ErrLast), errors.Is(err, user.ErrInvalid):
		s.showSignIn(v, http.StatusForbidden, "", v.page.T("sign.in.sso_refused"))
	default:
		s.o.Logger.Error("identity provider's sign-in failed", "error", err)
		s.showSignIn(v, http.StatusBadGateway, "", v.page.T("sign.in.sso_refused"))
	}
	v.noted() // routes of GET leave no line else
}
