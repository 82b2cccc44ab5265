package portal

import (
	"errors"
	"net/http"
	"time"

	"postern/internal/user"
)

// codeRoutes are the pages about one-time codes of an authenticator app.
func (s *site) codeRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/me/code", access: itself(), do: s.code},
		{method: get, path: "/me/code/image", access: itself(), do: s.codeImage},
		{method: post, path: "/me/code/start", access: itself(), do: s.startCode},
		{method: post, path: "/me/code", access: itself(), act: "code.on", do: s.confirmCode},
		{method: post, path: "/me/code/recovery", access: itself(), act: "code.recovery", do: s.newRecovery},
		{method: post, path: "/me/code/remove", access: itself(), act: "code.off", do: s.removeCode},
	}
}

// codePage is the page about one-time codes: off, being set up, or on.
type codePage struct {
	page
	On                   bool
	Secret, Image        string // being set up
	Code                 field
	Left                 string
	Start, Renew, Remove button
}

// enrolCookie carries which key is being set up; the zero time takes it away.
func (s *site) enrolCookie(state string, ends time.Time) *http.Cookie {
	c := &http.Cookie{Name: s.cookie() + "-code", Value: state, Path: "/", Expires: ends, HttpOnly: true, Secure: s.https, SameSite: http.SameSiteStrictMode}
	if ends.IsZero() {
		c.MaxAge = -1
	}
	return c
}

// enrolling returns the key that this browser is setting up; ok is false when there is none.
func (v *visit) enrolling() (user.Enrolment, bool) {
	c, err := v.r.Cookie(v.s.cookie() + "-code")
	if err != nil {
		return user.Enrolment{}, false
	}
	e, err := v.s.o.Users.PendingTOTP(v.r.Context(), v.who.ID, c.Value)
	if err != nil && !errors.Is(err, user.ErrDenied) {
		v.s.o.Logger.Error("key of one-time codes not read", "error", err)
	}
	return e, err == nil
}

func (s *site) code(v *visit) { s.showCode(v, http.StatusOK, "", "") }

// showCode answers with the page, with what was wrong with a code, or in general.
func (s *site) showCode(v *visit, status int, fault, wrong string) {
	u, ok := v.myself()
	if !ok {
		return
	}
	if !mayHavePassword(u) {
		v.missing()
		return
	}
	p := codePage{page: v.page, On: u.TOTP}
	p.Title = p.T("me.code.heading")
	if e, ok := v.enrolling(); ok {
		p.Secret, p.Image = grouped(e.Key), p.URL("/me/code/image")
		p.Code = field{Name: "code", Label: p.T("me.code.code"), Fault: fault, Required: true, Most: 20, Complete: "one-time-code", Mono: true}
	}
	if u.TOTP {
		left, err := s.o.Users.RecoveryLeft(v.r.Context(), u.ID)
		if err != nil {
			v.broken("recovery codes not counted", err)
			return
		}
		p.Left = p.T("me.code.left", "Count", left)
	}
	p.Start = button{URL: p.URL("/me/code/start"), Label: p.T("me.code.start")}
	p.Renew = button{URL: p.URL("/me/code/recovery"), Label: p.T("me.code.renew"), Class: "second", Sure: p.T("me.code.renew_sure")}
	p.Remove = button{URL: p.URL("/me/code/remove"), Label: p.T("me.code.remove"), Class: "danger", Sure: p.T("me.code.remove_sure")}
	if wrong != "" {
		p.Banner = &banner{"bad", wrong}
	}
	if status >= http.StatusBadRequest {
		p.Title = p.T("error.title", "Heading", p.Title)
	}
	v.show(status, "me.code", p)
}

// grouped is a key in groups of four letters, for typing.
func grouped(key string) string {
	var out []byte
	for i := range len(key) {
		if i > 0 && i%4 == 0 {
			out = append(out, ' ')
		}
		out = append(out, key[i])
	}
	return string(out)
}

// codeImage is the key being set up as a QR code.
func (s *site) codeImage(v *visit) {
	e, ok := v.enrolling()
	if !ok {
		v.missing()
		return
	}
	v.status = http.StatusOK
	v.w.Header().Set("Content-Type", "image/png")
	_, _ = v.w.Write(e.PNG)
}

// startCode makes a key. Nothing changes before a code of it has come.
func (s *site) startCode(v *visit) {
	if !v.read() {
		return
	}
	u, ok := v.myself()
	if !ok {
		return
	}
	if !mayHavePassword(u) {
		v.missing()
		return
	}
	if !v.proved() {
		return
	}
	e, err := s.o.Users.StartTOTP(v.r.Context(), v.who.ID)
	if err != nil {
		v.broken("key of one-time codes not made", err)
		return
	}
	http.SetCookie(v.w, s.enrolCookie(e.State, s.o.Now().Add(15*time.Minute)))
	v.redirect("/me/code")
}

// confirmCode turns codes on and shows the recovery codes, this once.
func (s *site) confirmCode(v *visit) {
	if !v.read() {
		return
	}
	v.about(v.who.Name, "")
	e, ok := v.enrolling()
	if !ok {
		s.showCode(v, http.StatusUnprocessableEntity, "", v.page.T("me.code.over"))
		return
	}
	codes, err := s.o.Users.ConfirmTOTP(v.r.Context(), v.who.ID, e.State, v.r.PostForm.Get("code"))
	switch {
	case errors.Is(err, user.ErrDenied):
		s.showCode(v, http.StatusUnprocessableEntity, v.page.T("me.code.refused"), "")
	case err != nil:
		v.broken("codes not turned on", err)
	default:
		http.SetCookie(v.w, s.enrolCookie("", time.Time{}))
		s.showRecovery(v, codes, v.page.T("me.recovery.on"))
	}
}

// recoveryPage shows recovery codes.
type recoveryPage struct {
	page
	Done, For string
	Codes     []string
}

func (s *site) showRecovery(v *visit, codes []string, done string) {
	u, ok := v.myself()
	if !ok {
		return
	}
	p := recoveryPage{page: v.page, Done: done, Codes: codes}
	p.page.Path, p.Title = "", p.T("me.recovery.heading")
	p.For = p.T("me.recovery.for", "Address", clean(u.Address.String(), 254), "Host", s.o.Hostname, "When", p.date(s.o.Now()))
	v.show(http.StatusOK, "me.recovery", p)
}

// newRecovery replaces the recovery codes.
func (s *site) newRecovery(v *visit) {
	if !v.read() {
		return
	}
	v.about(v.who.Name, "")
	if !v.proved() {
		return
	}
	codes, err := s.o.Users.NewRecovery(v.r.Context(), v.who.ID)
	switch {
	case errors.Is(err, user.ErrInvalid):
		s.showCode(v, http.StatusConflict, "", v.page.T("me.code.what"))
	case err != nil:
		v.broken("recovery codes not made", err)
	default:
		s.showRecovery(v, codes, v.page.T("me.recovery.renewed"))
	}
}

// removeCode turns codes off.
func (s *site) removeCode(v *visit) {
	if !v.read() {
		return
	}
	v.about(v.who.Name, "")
	if v.proved() {
		v.settle(s.o.Users.RemoveTOTP(v.r.Context(), v.who.ID), "/me", "me.done.code_removed")
	}
}
