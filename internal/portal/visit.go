package portal

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"postern/internal/account"
	"postern/internal/locale"
	"postern/internal/user"
	"postern/internal/visitor"
)

// visit is one request of a known or unknown visitor, with what every page needs.
type visit struct {
	s        *site
	w        http.ResponseWriter
	r        *http.Request
	page     page
	who      user.Principal // zero: not signed in
	session  user.Session
	customer account.Customer // of the path; zero: none is named there
	route    route
	status   int               // of the answer, for the audit log
	entry    user.Entry        // what the audit log will say of an act
	names    map[string]string // of users that the page names, by id
}

// bearer is who a request's session belongs to.
type bearer struct {
	who     user.Principal
	session user.Session
}

type bearerKey struct{}

// cookie is the name of the session's cookie. Browsers keep the one with the prefix to this host and to HTTPS.
func (s *site) cookie() string {
	if s.https {
		return "__Host-postern"
	}
	return "postern"
}

// remember gives the browser its session.
func (s *site) remember(w http.ResponseWriter, secret string, ends time.Time) {
	http.SetCookie(w, &http.Cookie{Name: s.cookie(), Value: secret, Path: "/", Expires: ends, HttpOnly: true, Secure: s.https, SameSite: http.SameSiteLaxMode})
}

// forget takes the session from the browser.
func (s *site) forget(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: s.cookie(), Path: "/", MaxAge: -1, HttpOnly: true, Secure: s.https, SameSite: http.SameSiteLaxMode})
}

// addressOf is the visitor's address, for sessions and the audit log; of IPv6 the network.
func addressOf(r *http.Request) netip.Addr { return visitor.Network(visitor.Address(r)).Addr() }

// identified finds out who asks. Who has no session, or one that ended, is nobody.
func (s *site) identified(next http.Handler) http.Handler {
	if s.o.Users == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(s.cookie())
		if err != nil || c.Value == "" || strings.HasPrefix(r.URL.Path, "/static/") {
			next.ServeHTTP(w, r)
			return
		}
		who, session, err := s.o.Users.Resume(r.Context(), c.Value, addressOf(r))
		switch {
		case errors.Is(err, user.ErrDenied):
			s.forget(w)
		case err != nil:
			s.o.Logger.Error("session not read", "error", err)
			s.fail(w, r, http.StatusServiceUnavailable, "internal")
			return
		default:
			r = r.WithContext(context.WithValue(r.Context(), bearerKey{}, bearer{who, session}))
		}
		next.ServeHTTP(w, r)
	})
}

// signedIn returns who asks; ok is false for nobody.
func signedIn(r *http.Request) (bearer, bool) {
	v, ok := r.Context().Value(bearerKey{}).(bearer)
	return v, ok
}

// guarded turns a route into a handler: it answers only those who may, and writes acts into the audit log.
func (s *site) guarded(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{s: s, w: w, r: r, route: rt}
		x, known := signedIn(r)
		v.who, v.session = x.who, x.session
		if !known && !rt.access.anybody {
			s.askWho(w, r)
			return
		}
		v.page = s.pageFor(r, x)
		if id := r.PathValue("customer"); id != "" {
			c, ok := s.o.Accounts.Customer(id)
			if !ok || !v.who.May(rt.access.right, id) {
				s.fail(w, r, http.StatusNotFound, "page") // the same for what is another's and what is not there
				return
			}
			v.customer = c
		}
		if !rt.access.anybody && !rt.access.self && !rt.access.customer && !v.who.May(rt.access.right, "") {
			s.fail(w, r, http.StatusNotFound, "page")
			return
		}
		v.page.begin(v)
		if rt.method == http.MethodGet {
			rt.do(v)
			return
		}
		v.entry = user.Entry{Actor: v.who.Actor(), Name: v.who.Name, Customer: v.customer.ID, Act: rt.act, IP: addressOf(r)}
		if v.entry.Customer == "" {
			v.entry.Customer = v.who.Customer // what a customer's user does to his own account
		}
		rt.do(v)
		v.noted()
	}
}

// noted writes the act into the audit log. The act is done by then: a log that cannot be written is told to the operator's log.
func (v *visit) noted() {
	if v.entry.Act == "" || v.who.ID == "" && v.entry.Subject == "" {
		return // nothing is done yet, or nobody did nothing
	}
	v.entry.Failed = v.status >= http.StatusBadRequest
	if err := v.s.o.Users.Note(context.WithoutCancel(v.r.Context()), v.entry); err != nil {
		v.s.o.Logger.Error("audit log not written", "act", v.entry.Act, "actor", v.entry.Actor, "subject", v.entry.Subject, "error", err)
	}
}

// about names what an act is done to, for the audit log.
func (v *visit) about(subject, text string) { v.entry.Subject, v.entry.Text = subject, text }

// askWho sends a visitor to the sign-in, and back afterwards when he wanted to see something.
func (s *site) askWho(w http.ResponseWriter, r *http.Request) {
	to := "/sign-in"
	if r.Method == http.MethodGet {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, s.prefix+to, http.StatusSeeOther)
}

// localPath returns the path if it leads to a page of this site, else "": where a form or address says to go on must not lead elsewhere.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return ""
	}
	return path
}

// redirect leads to another page of the site, after an act or instead of a page.
func (v *visit) redirect(path string) {
	v.status = http.StatusSeeOther
	http.Redirect(v.w, v.r, v.page.URL(path), http.StatusSeeOther)
}

// done leads to another page, which says once that the act worked: text portal.KEY with pairs of name and value.
func (v *visit) done(path, key string, pairs ...any) { v.say(path, v.page.T(key, pairs...)) }

// say is done for a sentence that is put together.
func (v *visit) say(path, text string) {
	v.once(text)
	v.redirect(path)
}

// once gives the next page a sentence to say.
func (v *visit) once(text string) {
	http.SetCookie(v.w, &http.Cookie{Name: doneCookie, Value: url.QueryEscape(text), Path: "/", MaxAge: 60, HttpOnly: true, Secure: v.s.https, SameSite: http.SameSiteStrictMode})
}

// doneCookie carries a sentence from an act to the next page.
const doneCookie = "postern-done"

// show answers with a page of a template. data must embed page.
func (v *visit) show(status int, name string, data any) {
	v.status = status
	v.s.render(v.w, status, name, data)
}

// script adds a script of static/ to the page, and lets this one page run it and ask this site. Call it before show. Pages must do without it.
func (v *visit) script(name string) {
	v.page.Scripts = append(v.page.Scripts, v.s.prefix+v.s.scripts[name])
	v.w.Header().Set("Content-Security-Policy", policy+"; script-src 'self'; connect-src 'self'")
}

// missing answers that there is no such thing, or that it is somebody else's.
func (v *visit) missing() {
	v.status = http.StatusNotFound
	v.s.fail(v.w, v.r, http.StatusNotFound, "page")
}

// broken answers that something failed here, and logs what.
func (v *visit) broken(what string, err error) {
	v.status = http.StatusInternalServerError
	path := v.r.URL.Path
	if v.r.PathValue("secret") != "" {
		path = v.route.path
	}
	v.s.o.Logger.Error(what, "path", path, "error", err)
	v.s.fail(v.w, v.r, http.StatusInternalServerError, "internal")
}

// pageFor begins a page in the visitor's language and zone.
func (s *site) pageFor(r *http.Request, x bearer) page {
	lang := x.who.Language
	if lang == "" {
		lang = locale.Match(r.Header.Get("Accept-Language"))
	}
	p := s.page(r, lang)
	if x.who.Zone != "" {
		if zone, err := time.LoadLocation(x.who.Zone); err == nil {
			p.zone = zone
		}
	}
	return p
}

// begin completes the page of a visit: who sees it, the menu, and what the last act said.
func (p *page) begin(v *visit) {
	p.Path = v.r.URL.Path
	p.query = v.r.URL.Query()
	if v.who.ID != "" {
		p.Who = &v.who
		p.Menu = v.s.menu(v)
	}
	if v.customer.ID != "" {
		p.Customer = &v.customer
	}
	if v.r.Method != http.MethodGet {
		return
	}
	if c, err := v.r.Cookie(doneCookie); err == nil {
		if text, err := url.QueryUnescape(c.Value); err == nil && text != "" {
			p.Banner = &banner{"good", clean(text, 500)}
		}
		http.SetCookie(v.w, &http.Cookie{Name: doneCookie, Path: "/", MaxAge: -1, HttpOnly: true, Secure: v.s.https, SameSite: http.SameSiteStrictMode})
	}
}
