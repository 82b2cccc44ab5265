package portal

import (
	"errors"
	"net/http"

	"postern/internal/mail"
	"postern/internal/user"
)

// linkRoutes are what links in mails lead to, and the link with which the first operator makes himself. Links carry secrets: what opens them
// unasked, such as a scanner of mail, changes nothing, for only their forms do.
func (s *site) linkRoutes() []route {
	var out []route
	for path, act := range map[string]string{"/reset/{secret}": "password.reset", "/invite/{secret}": "user.accept", "/setup/{secret}": "user.first"} {
		out = append(out, route{method: http.MethodGet, path: path, access: anybody(), do: s.link}, route{method: http.MethodPost, path: path, access: anybody(), act: act, do: s.linkNow})
	}
	return out
}

// Bounds of a password in characters, as the ledger has them, for the hints.
const (
	leastPassword = 12
	mostPassword  = 200
)

// passwordFields are those that set a password.
func (p page) passwordFields(label, fault, againFault string) []field {
	return []field{
		{Name: "password", Label: label, Hint: p.T("sign.new.hint", "Least", leastPassword), Type: "password", Fault: fault, Required: true, Most: 800, Complete: "new-password"},
		{Name: "again", Label: p.T("sign.new.again"), Type: "password", Fault: againFault, Required: true, Most: 800, Complete: "new-password"},
	}
}

// weak says why a password was not taken; "" when err is about something else.
func (p page) weak(err error) string {
	var w *user.WeakPassword
	if !errors.As(err, &w) {
		return ""
	}
	switch w.Why {
	case user.WeakShort:
		return p.T("sign.fault.short", "Least", leastPassword)
	case user.WeakLong:
		return p.T("sign.fault.long", "Most", mostPassword)
	}
	return p.T("sign.fault.weak")
}

// linkForm is what the form of a link holds, with its faults.
type linkForm struct {
	Address, Name                                      string
	AddressFault, NameFault, PasswordFault, AgainFault string
}

// opened looks at a link without using it; if it opens nothing, it says so.
func (s *site) opened(v *visit) (user.Link, bool) {
	link, err := s.o.Users.Link(v.r.Context(), v.r.PathValue("secret"))
	switch {
	case errors.Is(err, user.ErrDenied):
		s.gone(v)
	case err != nil:
		v.broken("link not looked at", err)
	case !v.page.Chosen && link.User.Language != "":
		v.page.Lang = link.User.Language
	}
	return link, err == nil
}

// gone says that a link opens nothing, the same for all reasons.
func (s *site) gone(v *visit) {
	p := v.signPage(v.page.T("sign.gone.heading"), "")
	p.page.Path, p.Bad = "", true
	p.Lede = []string{p.T("sign.gone.what")}
	switch v.route.path {
	case "/reset/{secret}":
		p.Lede = append(p.Lede, p.T("sign.gone.reset"))
		p.Links = []signLink{{p.URL("/forgot"), p.T("sign.forgot.heading"), true}}
	case "/setup/{secret}":
		p.Lede = append(p.Lede, p.T("sign.gone.setup"))
	default:
		p.Lede = append(p.Lede, p.T("sign.gone.invite"))
	}
	p.Links = append(p.Links, signLink{p.URL("/sign-in"), p.T("sign.in.heading"), false})
	v.show(http.StatusGone, "sign.said", p)
}

func (s *site) link(v *visit) {
	if link, ok := s.opened(v); ok {
		s.showLink(v, http.StatusOK, link, linkForm{})
	}
}

// showLink answers with the form of a link.
func (s *site) showLink(v *visit, status int, link user.Link, form linkForm) {
	v.page.Who, v.page.Menu = nil, nil // whoever has a session in this browser, the link is about another
	p := v.signPage(v.page.T("sign.new."+link.Kind+".heading"), v.r.URL.Path)
	p.Lede = []string{p.T("sign.new."+link.Kind+".lede", "Host", s.o.Hostname)}
	if link.Kind != user.LinkSetup {
		p.Account = clean(link.User.Address.String(), 254)
	}
	switch link.Kind {
	case user.LinkSetup:
		p.Fields = []field{
			{Name: "address", Label: p.T("sign.in.address"), Type: "email", Value: form.Address, Fault: form.AddressFault, Required: true, Most: 254, Complete: "username"},
			{Name: "name", Label: p.T("sign.new.name"), Hint: p.T("sign.new.name_hint"), Value: form.Name, Fault: form.NameFault, Required: true, Most: 100, Complete: "name"},
		}
	case user.LinkInvite:
		p.Lede = append(p.Lede, p.T("sign.new.address", "Address", clean(link.User.Address.String(), 254)))
		p.Fields = []field{{Name: "name", Label: p.T("sign.new.name"), Hint: p.T("sign.new.name_hint"), Value: form.Name, Fault: form.NameFault, Required: true, Most: 100, Complete: "name"}}
		if form.Name == "" {
			p.Fields[0].Value = clean(link.User.Name, 100)
		}
	default:
		p.Lede = append(p.Lede, p.T("sign.new.address", "Address", clean(link.User.Address.String(), 254)))
	}
	p.Fields = append(p.Fields, p.passwordFields(p.T("sign.new.password"), form.PasswordFault, form.AgainFault)...)
	p.Button = p.T("sign.new." + link.Kind + ".button")
	if status >= http.StatusBadRequest {
		p.Title = p.T("error.title", "Heading", p.Heading)
	}
	v.show(status, "sign.form", p)
}

// linkNow does what a link is good for.
func (s *site) linkNow(v *visit) {
	if !v.read() {
		return
	}
	v.entry.Actor, v.entry.Name = "", ""
	v.about("?", "")
	link, ok := s.opened(v)
	if !ok {
		return
	}
	v.entry.Customer = link.User.Customer
	f, p := v.r.PostForm, v.page
	form := linkForm{Address: clean(f.Get("address"), 254), Name: clean(f.Get("name"), 200)}
	if link.Kind != user.LinkReset && (form.Name == "" || len([]rune(form.Name)) > 100) {
		form.NameFault = p.T("sign.fault.name")
	}
	u := link.User
	switch link.Kind {
	case user.LinkSetup:
		v.entry.Act = "user.first"
		var err error
		if u.Address, err = mail.ParseAddress(form.Address); err != nil || u.Address.IsNull() {
			form.AddressFault = p.T("sign.fault.address")
		}
		u.Language = p.Lang
	case user.LinkInvite:
		v.entry.Act = "user.accept"
	default:
		v.entry.Act = "password.reset"
	}
	if link.Kind != user.LinkReset {
		u.Name = form.Name
	}
	v.about(u.Address.String(), "")
	typed := f.Get("password")
	if err := s.o.Users.Weak(u, typed); err != nil {
		form.PasswordFault = p.weak(err)
	} else if f.Get("again") != typed {
		form.AgainFault = p.T("sign.fault.differs")
	}
	if form.AddressFault+form.NameFault+form.PasswordFault+form.AgainFault != "" {
		s.showLink(v, http.StatusUnprocessableEntity, link, form)
		return
	}
	s.useLink(v, link, u, typed, form)
}

// useLink sets the password.
func (s *site) useLink(v *visit, link user.Link, u user.User, typed string, form linkForm) {
	ctx, secret := v.r.Context(), v.r.PathValue("secret")
	var in user.SignedIn
	var err error
	switch link.Kind {
	case user.LinkSetup:
		in, err = s.o.Users.Setup(ctx, secret, u, typed, addressOf(v.r), agentOf(v.r))
	case user.LinkInvite:
		in, err = s.o.Users.Accept(ctx, secret, typed, addressOf(v.r), agentOf(v.r))
	default:
		_, err = s.o.Users.Reset(ctx, secret, typed)
	}
	switch {
	case errors.Is(err, user.ErrDenied):
		s.gone(v)
		return
	case errors.Is(err, user.ErrTaken):
		form.AddressFault = v.page.T("sign.fault.taken")
	case v.page.weak(err) != "":
		form.PasswordFault = v.page.weak(err)
	case errors.Is(err, user.ErrInvalid):
		form.NameFault = v.page.T("sign.fault.name")
	case err != nil:
		v.broken("link not used", err)
		return
	}
	if err != nil {
		s.showLink(v, http.StatusUnprocessableEntity, link, form)
		return
	}
	if link.Kind == user.LinkReset {
		v.page.Lang = u.Language
		v.done("/sign-in", "sign.done.reset")
		return
	}
	if link.Kind == user.LinkInvite && in.User.Name != u.Name {
		in.User.Name = u.Name
		if _, err := s.o.Users.Update(ctx, in.User); err != nil {
			s.o.Logger.Error("name not changed", "error", err) // he can change it himself
		}
	}
	s.enter(v, in)
	v.done(homeOf(in.User.Principal()), "sign.done.invite")
}
