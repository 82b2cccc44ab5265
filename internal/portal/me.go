package portal

import (
	"errors"
	"net/http"

	"postern/internal/locale"
	"postern/internal/user"
)

// meRoutes are the pages of whoever is signed in, about himself.
func (s *site) meRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/me", access: itself(), do: s.me},
		{method: post, path: "/me", access: itself(), act: "me.profile", do: s.changeMe},
		{method: get, path: "/me/password", access: itself(), do: s.mePassword},
		{method: post, path: "/me/password", access: itself(), act: "password.change", do: s.changePassword},
		{method: post, path: "/me/sessions/end", access: itself(), act: "session.end", do: s.endSession},
		{method: post, path: "/me/sessions/others", access: itself(), act: "session.others", do: s.endOthers},
		{method: post, path: "/me/tokens/revoke", access: itself(), act: "token.revoke", do: s.revokeMine},
	}
}

// mePage is a user's own page.
type mePage struct {
	page
	Whose       string
	Profile     []field
	Zone        field
	Proofs      []proofRow
	HasPasskeys bool
	Keys        []keyRow
	Passkey     *passkeyPlace // nil: a fresh proof is asked first
	Prove       string        // address of the question for it
	Sessions    []sessionRow
	Others      *button
	Tokens      []tokenRow
}

// proofRow is one way to prove who one is.
type proofRow struct{ Name, Badge, Class, Text, URL, Change string }

// keyRow is one passkey.
type keyRow struct {
	ID, Label, Created, Used string
	Name                     field
	Remove                   button
}

// sessionRow is one browser.
type sessionRow struct {
	Agent, IP, Created, Seen string
	Here                     bool
	End                      *button
}

// meForm is what the form of the profile holds, with its faults.
type meForm struct{ Name, Language, Zone, NameFault, LanguageFault, ZoneFault string }

// myself reads the user who is signed in.
func (v *visit) myself() (user.User, bool) {
	u, err := v.s.o.Users.User(v.r.Context(), v.who.ID)
	if err != nil {
		v.broken("user not read", err)
	}
	return u, err == nil
}

func (s *site) me(v *visit) {
	if u, ok := v.myself(); ok {
		s.showMe(v, http.StatusOK, u, meForm{Name: u.Name, Language: u.Language, Zone: u.Zone})
	}
}

// showMe answers with the page of the visitor himself.
func (s *site) showMe(v *visit, status int, u user.User, form meForm) {
	p := mePage{page: v.page, Whose: v.page.T("me.whose", "Address", clean(u.Address.String(), 254), "Role", v.page.role(u.Role))}
	p.Title = p.T("me.heading")
	if status >= http.StatusBadRequest {
		p.Title = p.T("error.title", "Heading", p.Title)
	}
	p.Profile = []field{
		{Name: "name", Label: p.T("me.profile.name"), Value: clean(form.Name, 200), Fault: form.NameFault, Required: true, Most: 100, Complete: "name"},
		{Name: "language", Label: p.T("me.profile.language"), Hint: p.T("me.profile.language_hint"), Fault: form.LanguageFault, Type: "select", Options: p.languages(form.Language)},
	}
	p.Zone = field{Name: "zone", Label: p.T("me.profile.zone"), Hint: p.T("me.profile.zone_hint"), Value: clean(form.Zone, 64), Fault: form.ZoneFault}
	for _, z := range zones {
		p.Zone.Options = append(p.Zone.Options, option{Value: z})
	}
	p.Proofs = p.proofRows(u)
	if !s.showKeys(v, &p) || !s.showSessions(v, &p) {
		return
	}
	tokens, err := s.o.Users.Tokens(v.r.Context(), u.Customer)
	if err != nil {
		v.broken("tokens not read", err)
		return
	}
	for _, t := range tokens {
		if row := v.tokenRow(t); t.User == u.ID && !row.Over {
			row.Revoke = &button{URL: p.URL("/me/tokens/revoke"), Label: p.T("tokens.revoke"), Class: "danger small", Sure: p.T("tokens.revoke_sure"), Values: map[string]string{"id": t.ID}}
			p.Tokens = append(p.Tokens, row)
		}
	}
	p.page.Scripts = v.page.Scripts
	v.show(status, "me.page", p)
}

// proofRows are the ways in which a user can prove who he is, but for passkeys.
func (p page) proofRows(u user.User) []proofRow {
	on, off := p.T("me.on"), p.T("me.off")
	password := proofRow{p.T("me.proofs.password"), off, "", p.T("me.proofs.password_off"), p.URL("/me/password"), p.T("me.proofs.password_set")}
	code := proofRow{p.T("me.proofs.code"), off, "mend", p.T("me.proofs.code_off"), p.URL("/me/code"), p.T("me.proofs.code_set")}
	if u.Password {
		password.Badge, password.Class, password.Text, password.Change = on, "ready", p.T("me.proofs.password_on"), p.T("me.proofs.password_change")
	}
	if u.TOTP {
		code.Badge, code.Class, code.Text, code.Change = on, "ready", p.T("me.proofs.code_on"), p.T("me.proofs.code_change")
	}
	var rows []proofRow
	if u.Password || !u.External {
		rows = append(rows, password, code)
	}
	if u.External {
		rows = append(rows, proofRow{p.T("me.proofs.external"), on, "ready", p.T("me.proofs.external_on"), "", p.T("me.proofs.external_change")})
	}
	return rows
}

// showKeys adds the passkeys.
func (s *site) showKeys(v *visit, p *mePage) bool {
	keys, err := s.o.Users.Passkeys(v.r.Context(), v.who.ID)
	if err != nil {
		v.broken("passkeys not read", err)
		return false
	}
	for _, k := range keys {
		row := keyRow{ID: k.ID, Label: clean(k.Label, 100), Created: p.date(k.Created), Used: p.T("me.never")}
		if !k.Used.IsZero() {
			row.Used = p.date(k.Used)
		}
		row.Name = field{Name: "label-" + k.ID, Label: p.T("me.passkeys.name"), Value: row.Label, Required: true, Most: 100, Complete: "off"}
		row.Remove = button{URL: p.URL("/me/passkeys/remove"), Label: p.T("me.passkeys.remove"), Class: "danger small", Sure: p.T("me.passkeys.remove_sure"), Values: map[string]string{"id": k.ID}}
		p.Keys = append(p.Keys, row)
	}
	p.HasPasskeys = s.o.Users.HasPasskeys()
	switch {
	case !p.HasPasskeys:
	case v.fresh():
		v.script("passkey.js")
		p.Passkey = &passkeyPlace{Kind: "create", Begin: p.URL("/me/passkeys/begin"), Finish: p.URL("/me/passkeys/done"), Label: p.T("me.passkeys.add"), Hint: p.T("me.passkeys.add_hint"), Failed: p.T("me.passkeys.failed"),
			Name: &field{Name: "label", Label: p.T("me.passkeys.label"), Hint: p.T("me.passkeys.label_hint"), Most: 100, Complete: "off"}}
	default:
		p.Prove = p.URL("/prove", "next", "/me")
	}
	return true
}

// showSessions adds where the visitor is signed in.
func (s *site) showSessions(v *visit, p *mePage) bool {
	sessions, err := s.o.Users.Sessions(v.r.Context(), v.who.ID)
	if err != nil {
		v.broken("sessions not read", err)
		return false
	}
	for _, x := range sessions {
		row := sessionRow{Agent: p.agent(x.Agent), Created: p.date(x.Created), Seen: p.date(x.Seen), Here: x.ID == v.session.ID}
		if x.IP.IsValid() {
			row.IP = x.IP.String()
		}
		if !row.Here {
			row.End = &button{URL: p.URL("/me/sessions/end"), Label: p.T("me.sessions.end"), Class: "second small", Values: map[string]string{"id": x.ID}}
		}
		p.Sessions = append(p.Sessions, row)
	}
	if len(sessions) > 1 {
		p.Others = &button{URL: p.URL("/me/sessions/others"), Label: p.T("me.sessions.others"), Class: "danger", Sure: p.T("me.sessions.others_sure")}
	}
	return true
}

// settle ends an act on something of the visitor's own.
func (v *visit) settle(err error, path, key string, pairs ...any) {
	switch {
	case errors.Is(err, user.ErrNotFound):
		v.missing()
	case err != nil:
		v.broken("act not done", err)
	default:
		v.done(path, key, pairs...)
	}
}

// changeMe changes name, language and zone.
func (s *site) changeMe(v *visit) {
	if !v.read() {
		return
	}
	u, ok := v.myself()
	if !ok {
		return
	}
	f := v.r.PostForm
	form := meForm{Name: clean(f.Get("name"), 200), Language: f.Get("language")}
	v.about(form.Name, "")
	if n := len([]rune(form.Name)); n == 0 || n > 100 {
		form.NameFault = v.page.T("sign.fault.name")
	}
	if form.Language != locale.French && form.Language != locale.English {
		form.LanguageFault = v.page.T("me.fault.language")
	}
	if form.Zone, ok = zoneName(f.Get("zone")); !ok {
		form.ZoneFault = v.page.T("me.fault.zone")
	}
	if form.NameFault+form.LanguageFault+form.ZoneFault != "" {
		s.showMe(v, http.StatusUnprocessableEntity, u, form)
		return
	}
	u.Name, u.Language, u.Zone = form.Name, form.Language, form.Zone
	_, err := s.o.Users.Update(v.r.Context(), u)
	if errors.Is(err, user.ErrInvalid) {
		form.NameFault = v.page.T("sign.fault.name")
		s.showMe(v, http.StatusUnprocessableEntity, u, form)
		return
	}
	v.page.Lang, v.page.Chosen = u.Language, false
	v.settle(err, "/me", "me.done.profile")
}

// mayHavePassword reports whether a user can have a password here: not who signs in with the identity provider only, past which it would lead.
func mayHavePassword(u user.User) bool { return u.Password || !u.External }

func (s *site) mePassword(v *visit) {
	u, ok := v.myself()
	switch {
	case !ok:
	case !mayHavePassword(u):
		v.missing()
	case !u.Password && !v.fresh():
		v.redirect("/prove?next=/me/password")
	default:
		s.showPassword(v, http.StatusOK, u, "", "", "")
	}
}

// showPassword answers with the form for a new password.
func (s *site) showPassword(v *visit, status int, u user.User, oldFault, fault, againFault string) {
	p := v.signPage(v.page.T("me.password.heading"), "/me/password")
	p.Lede, p.Account = []string{p.T("me.password.others")}, clean(u.Address.String(), 254)
	if u.Password {
		p.Fields = []field{{Name: "old", Label: p.T("me.password.old"), Type: "password", Fault: oldFault, Required: true, Most: 800, Complete: "current-password"}}
	}
	p.Fields = append(p.Fields, p.passwordFields(p.T("me.password.new"), fault, againFault)...)
	p.Button = p.T("me.password.button")
	p.Links = []signLink{{URL: p.URL("/me"), Label: p.T("me.back")}}
	if status >= http.StatusBadRequest {
		p.Title = p.T("error.title", "Heading", p.Heading)
	}
	v.show(status, "sign.form", p)
}

// changePassword sets a new password: with the old one, or where there is none with a fresh proof.
func (s *site) changePassword(v *visit) {
	if !v.read() {
		return
	}
	u, ok := v.myself()
	if !ok {
		return
	}
	v.about(u.Address.String(), "")
	if !mayHavePassword(u) {
		v.missing()
		return
	}
	f := v.r.PostForm
	if u.Password {
		err := s.o.Users.Prove(v.r.Context(), u.ID, v.session.ID, f.Get("old"), addressOf(v.r))
		switch {
		case errors.Is(err, user.ErrDenied):
			s.showPassword(v, http.StatusUnprocessableEntity, u, v.page.T("me.password.refused"), "", "")
			return
		case errors.Is(err, user.ErrThrottled):
			s.showPassword(v, http.StatusTooManyRequests, u, v.throttled(""), "", "")
			return
		case err != nil:
			v.broken("password not looked at", err)
			return
		}
	} else if !v.fresh() {
		v.entry.Act = ""
		v.redirect("/prove?next=/me/password")
		return
	}
	typed := f.Get("password")
	if err := s.o.Users.Weak(u, typed); err != nil {
		s.showPassword(v, http.StatusUnprocessableEntity, u, "", v.page.weak(err), "")
		return
	}
	if f.Get("again") != typed {
		s.showPassword(v, http.StatusUnprocessableEntity, u, "", "", v.page.T("sign.fault.differs"))
		return
	}
	v.settle(s.o.Users.SetPassword(v.r.Context(), u.ID, typed, v.session.ID), "/me", "me.done.password")
}

// endSession ends one of the visitor's sessions.
func (s *site) endSession(v *visit) {
	if !v.read() {
		return
	}
	id := v.r.PostForm.Get("id")
	v.about(clean(id, 40), "")
	if id == v.session.ID {
		s.signOut(v)
		return
	}
	v.settle(s.o.Users.EndSession(v.r.Context(), v.who.ID, id), "/me", "me.done.session")
}

// endOthers ends all of the visitor's sessions but this one.
func (s *site) endOthers(v *visit) {
	if !v.read() {
		return
	}
	ended, err := s.o.Users.EndOtherSessions(v.r.Context(), v.who.ID, v.session.ID)
	v.settle(err, "/me", "me.done.sessions", "Count", ended)
}

// revokeMine ends a token that the visitor made.
func (s *site) revokeMine(v *visit) {
	if !v.read() {
		return
	}
	t, ok := s.tokenOf(v, v.who.Customer, v.r.PostForm.Get("id"))
	if !ok {
		return
	}
	v.about(t.ID+" "+t.Label, "")
	if t.User != v.who.ID {
		v.missing()
		return
	}
	if v.proved() {
		s.revoked(v, t, "/me")
	}
}
