package portal

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"postern/internal/locale"
	"postern/internal/mail"
	"postern/internal/user"
)

// usersPerPage is how many users one page of the list shows.
const usersPerPage = 50

// usersRoutes are the pages of those who may sign in: of a customer, and of the gateway.
func (s *site) usersRoutes() []route {
	var out []route
	for _, x := range []struct {
		base        string
		read, write access
	}{
		{"/c/{customer}/users", over(user.UsersRead), over(user.UsersWrite)},
		{"/o/users", gateway(user.UsersRead), gateway(user.UsersWrite)},
	} {
		out = append(out,
			route{method: http.MethodGet, path: x.base, access: x.read, do: s.users},
			route{method: http.MethodPost, path: x.base, access: x.write, act: "user.invite", do: s.inviteUser},
			route{method: http.MethodGet, path: x.base + "/{user}", access: x.read, do: s.user},
			route{method: http.MethodPost, path: x.base + "/{user}/role", access: x.write, act: "user.role", do: s.changeRole},
			route{method: http.MethodPost, path: x.base + "/{user}/disable", access: x.write, act: "user.disable", do: s.disableUser},
			route{method: http.MethodPost, path: x.base + "/{user}/enable", access: x.write, act: "user.enable", do: s.enableUser},
			route{method: http.MethodPost, path: x.base + "/{user}/remove", access: x.write, act: "user.remove", do: s.removeUser},
			route{method: http.MethodPost, path: x.base + "/{user}/invite", access: x.write, act: "user.link", do: s.inviteAgain},
		)
	}
	return out
}

// place is where the pages of a customer or of the gateway begin.
func (v *visit) place() string {
	if v.customer.ID != "" {
		return "/c/" + v.customer.ID
	}
	return "/o"
}

// rolesHere are the roles that users of this place can have: nobody makes himself or others more than the place is.
func (v *visit) rolesHere() []user.Role {
	return slices.DeleteFunc(user.Roles(), func(r user.Role) bool { return r.Gateway() != (v.customer.ID == "") })
}

// mayWrite reports whether the visitor may change users and tokens of this place.
func (v *visit) mayWrite() bool { return v.who.May(user.UsersWrite, v.customer.ID) }

// role is a role in words.
func (p page) role(r user.Role) string {
	if !slices.Contains(user.Roles(), r) {
		return clean(string(r), 40)
	}
	return p.T("users.role." + string(r))
}

// pick is a radio button or a checkbox with a sentence.
type pick struct {
	Value, Label, Hint string
	Chosen             bool
}

// usersPage is the list of users, with a form to invite one.
type usersPage struct {
	page
	Heading, Lede string
	Here          string // address of this page
	Search        *field
	Users         []userRow
	Pager         pager
	Invite        []field // nil: the visitor may not
	Roles         []pick
	RoleFault     string
}

// userRow is one user of the list.
type userRow struct {
	Name, Address, URL, Role, Of, State, Class, Proofs, Seen string
	You                                                      bool
}

func (s *site) users(v *visit) { s.showUsers(v, http.StatusOK, invitation{Language: v.page.Lang}) }

// invitation is what the form to invite somebody holds, with its faults.
type invitation struct {
	Address, Name, Role, Language             string
	AddressFault, NameFault, RoleFault, Fault string
}

// showUsers answers with the list.
func (s *site) showUsers(v *visit, status int, form invitation) {
	q := v.r.URL.Query()
	find := clean(strings.TrimSpace(q.Get("q")), 254)
	if find != "" && v.customer.ID == "" && s.findUser(v, find) {
		return
	}
	list, err := s.o.Users.Users(v.r.Context(), user.UserQuery{Customer: v.customer.ID, Everybody: v.customer.ID == "" && find != "", Text: find, After: clean(q.Get("after"), 400), Limit: usersPerPage})
	if err != nil {
		v.broken("users not read", err)
		return
	}
	here := v.place() + "/users"
	p := usersPage{page: v.page, Here: v.page.URL(here), Heading: v.page.T("users.heading"), Lede: v.page.T("users.lede", "Customer", clean(v.customer.Name, 100))}
	if v.customer.ID == "" {
		p.Heading, p.Lede = p.T("users.heading_gateway"), p.T("users.lede_gateway")
	}
	p.Search = &field{Name: "q", Label: p.T("users.search_label"), Value: find, Most: 254, Complete: "off"}
	if find != "" && len(list.Users) == 0 {
		p.Search.Fault = p.T("users.search_none")
	}
	p.Title = p.Heading
	for _, u := range list.Users {
		p.Users = append(p.Users, v.userRow(u))
	}
	if list.Next != "" {
		p.Pager.Next = p.URL(here, "after", list.Next, "q", find)
	}
	if q.Get("after") != "" {
		p.Pager.First = p.URL(here, "q", find)
	}
	if v.mayWrite() {
		p.Invite = []field{
			{Name: "address", Label: p.T("users.fact.address"), Type: "email", Value: form.Address, Fault: form.AddressFault, Required: true, Most: 254, Complete: "off"},
			{Name: "name", Label: p.T("me.profile.name"), Value: form.Name, Fault: form.NameFault, Most: 100, Complete: "off"},
			{Name: "language", Label: p.T("users.invite.language"), Type: "select", Options: p.languages(form.Language)},
		}
		p.Roles, p.RoleFault = v.roleChoices(user.Role(form.Role)), form.RoleFault
	}
	if form.Fault != "" {
		p.Banner = &banner{"bad", form.Fault}
	}
	if status >= http.StatusBadRequest {
		p.Title = p.T("error.title", "Heading", p.Title)
	}
	v.show(status, "users.list", p)
}

// findUser leads the operator to the user with an address, whosever user he is.
func (s *site) findUser(v *visit, address string) bool {
	u, err := s.o.Users.ByAddress(v.r.Context(), clean(address, 254))
	if err != nil {
		return false
	}
	v.redirect(usersOf(u) + "/" + u.ID)
	return true
}

// usersOf is the list that a user stands in.
func usersOf(u user.User) string {
	if u.Customer == "" {
		return "/o/users"
	}
	return "/c/" + u.Customer + "/users"
}

func (p page) languages(chosen string) []option {
	return []option{{locale.French, p.T("language.fr"), chosen == locale.French}, {locale.English, p.T("language.en"), chosen != locale.French}}
}

func (v *visit) roleChoices(chosen user.Role) []pick {
	var out []pick
	for _, r := range v.rolesHere() {
		out = append(out, pick{string(r), v.page.T("users.role." + string(r)), v.page.T("users.role." + string(r) + "_may"), r == chosen})
	}
	return out
}

// userName is a user's name for people: his address where he has none yet.
func userName(u user.User) string {
	if u.Name == "" {
		return clean(u.Address.String(), 254)
	}
	return clean(u.Name, 100)
}

func (v *visit) userRow(u user.User) userRow {
	p := v.page
	row := userRow{Name: userName(u), Address: clean(u.Address.String(), 254), URL: p.URL(usersOf(u) + "/" + u.ID), Role: p.role(u.Role),
		Proofs: p.proofs(u), Seen: p.T("me.never"), You: u.ID == v.who.ID}
	row.State, row.Class = p.userState(u)
	if !u.LastSeen.IsZero() {
		row.Seen = p.date(u.LastSeen)
	}
	return row
}

// userState is whether a user may sign in, in a word and its colour.
func (p page) userState(u user.User) (word, class string) {
	switch {
	case u.Disabled:
		return p.T("users.state.disabled"), "refused"
	case invited(u):
		return p.T("users.state.invited"), "mend"
	}
	return p.T("users.state.active"), "ready"
}

// invited reports whether a user has no proof yet: he has not followed his invitation.
func invited(u user.User) bool { return !u.Password && u.Passkeys == 0 && !u.External }

// proofs is what a user signs in with, in words.
func (p page) proofs(u user.User) string {
	var words []string
	switch {
	case u.Password && u.TOTP:
		words = append(words, p.T("users.proof.code"))
	case u.Password:
		words = append(words, p.T("users.proof.password"))
	}
	if u.Passkeys > 0 {
		words = append(words, p.T("users.proof.passkey"))
	}
	if u.External {
		words = append(words, p.T("users.proof.external"))
	}
	if words == nil {
		return p.T("users.proof.none")
	}
	return strings.Join(words, ", ")
}

// inviteUser makes a user and sends him a link.
func (s *site) inviteUser(v *visit) {
	if !v.read() {
		return
	}
	f := v.r.PostForm
	form := invitation{Address: clean(f.Get("address"), 254), Name: clean(f.Get("name"), 200), Role: clean(f.Get("role"), 40), Language: locale.Parse(f.Get("language"))}
	v.about(form.Address, form.Role)
	if !slices.Contains(v.rolesHere(), user.Role(form.Role)) {
		form.RoleFault = v.page.T("users.fault.role")
	}
	address, err := mail.ParseAddress(form.Address)
	if err != nil || address.IsNull() {
		form.AddressFault = v.page.T("sign.fault.address")
	}
	if len([]rune(form.Name)) > 100 {
		form.NameFault = v.page.T("sign.fault.name")
	}
	if form.RoleFault+form.AddressFault+form.NameFault != "" {
		s.showUsers(v, http.StatusUnprocessableEntity, form)
		return
	}
	if !v.proved() {
		return
	}
	u, _, err := s.o.Users.Add(v.r.Context(), user.User{Address: address, Name: form.Name, Role: user.Role(form.Role), Customer: v.customer.ID, Language: form.Language, Zone: v.who.Zone})
	switch {
	case errors.Is(err, user.ErrTaken):
		form.AddressFault = v.page.T("sign.fault.taken")
		s.showUsers(v, http.StatusUnprocessableEntity, form)
	case errors.Is(err, user.ErrInvalid):
		form.AddressFault = v.page.T("sign.fault.address")
		s.showUsers(v, http.StatusUnprocessableEntity, form)
	case err != nil:
		v.broken("user not made", err)
	default:
		v.about(u.Address.String(), string(u.Role))
		v.done(v.place()+"/users", "users.done.invite", "Address", clean(u.Address.String(), 254))
	}
}

// userPage is one user.
type userPage struct {
	page
	User struct{ Name string }
	At   string // his address on this site
	Back string

	Facts     []userFact
	Note      string
	Roles     []pick
	RoleFault string
	Acts      []button
}

// userFact is one line of a list of facts; with a class its value is a badge.
type userFact struct{ Label, Value, Class string }

// userHere returns the user that the path names, if he belongs to the place; else it answers that there is nobody.
func (s *site) userHere(v *visit) (user.User, bool) {
	u, err := s.o.Users.User(v.r.Context(), v.r.PathValue("user"))
	switch {
	case errors.Is(err, user.ErrNotFound), err == nil && u.Customer != v.customer.ID:
		v.missing()
		return user.User{}, false
	case err != nil:
		v.broken("user not read", err)
		return user.User{}, false
	}
	return u, true
}

func (s *site) user(v *visit) {
	if u, ok := s.userHere(v); ok {
		s.showUser(v, http.StatusOK, u, "")
	}
}

// showUser answers with a user's page; fault is why an act on him was not done.
func (s *site) showUser(v *visit, status int, u user.User, fault string) {
	at := v.place() + "/users/" + u.ID
	p := userPage{page: v.page, At: v.s.prefix + at, Back: v.page.URL(v.place() + "/users")}
	row := v.userRow(u)
	p.User.Name, p.Title = row.Name, row.Name
	p.Facts = []userFact{
		{p.T("users.fact.address"), row.Address, ""}, {p.T("users.role"), row.Role, ""}, {p.T("users.state"), row.State, row.Class}, {p.T("users.proofs"), row.Proofs, ""},
		{p.T("users.seen"), row.Seen, ""}, {p.T("users.fact.created"), p.date(u.Created), ""}, {p.T("users.fact.language"), p.T("language." + locale.Parse(u.Language)), ""},
	}
	if fault != "" {
		p.Banner, p.Title = &banner{"bad", fault}, p.T("error.title", "Heading", p.Title)
	}
	switch {
	case row.You:
		p.Note = p.T("users.yourself")
	case !v.mayWrite():
		p.Note = p.T("users.readonly")
	default:
		p.Roles, p.Acts = v.roleChoices(u.Role), v.userActs(u, at, row.Name)
	}
	v.show(status, "users.one", p)
}

// userActs are the buttons of a user's page.
func (v *visit) userActs(u user.User, at, name string) []button {
	p := v.page
	var out []button
	switch {
	case u.Disabled:
		out = append(out, button{URL: p.URL(at + "/enable"), Label: p.T("users.enable"), Class: "second", Hint: p.T("users.enable_hint", "Name", name)})
	case invited(u):
		out = append(out, button{URL: p.URL(at + "/invite"), Label: p.T("users.again"), Class: "second", Hint: p.T("users.again_hint")})
	default:
		out = append(out, button{URL: p.URL(at + "/invite"), Label: p.T("users.reset"), Class: "second", Hint: p.T("users.reset_hint", "Address", clean(u.Address.String(), 254))})
	}
	if !u.Disabled {
		out = append(out, button{URL: p.URL(at + "/disable"), Label: p.T("users.disable"), Class: "danger", Sure: p.T("users.disable_sure", "Name", name)})
	}
	return append(out, button{URL: p.URL(at + "/remove"), Label: p.T("users.remove"), Class: "danger", Sure: p.T("users.remove_sure", "Name", name)})
}

// onUser does an act on the user that the path names, whom the visitor may change and who is not himself, after a fresh proof. The act returns
// what is said of it, as v.done wants it.
func (s *site) onUser(v *visit, act func(user.User) (path, key string, pairs []any, err error)) {
	if !v.read() {
		return
	}
	u, ok := s.userHere(v)
	if !ok {
		return
	}
	v.about(u.Address.String(), "")
	if u.ID == v.who.ID {
		s.showUser(v, http.StatusConflict, u, v.page.T("users.fault.self"))
		return
	}
	if !v.proved() {
		return
	}
	path, key, pairs, err := act(u)
	switch {
	case errors.Is(err, user.ErrLast):
		s.showUser(v, http.StatusConflict, u, v.page.T("users.fault.last"))
	case errors.Is(err, user.ErrNotFound):
		v.missing()
	case errors.Is(err, user.ErrInvalid):
		s.showUser(v, http.StatusUnprocessableEntity, u, v.page.T("users.fault.role"))
	case err != nil:
		v.broken("user not changed", err)
	default:
		v.done(path, key, pairs...)
	}
}

func (s *site) changeRole(v *visit) {
	s.onUser(v, func(u user.User) (string, string, []any, error) {
		role := user.Role(v.r.PostForm.Get("role"))
		v.about(u.Address.String(), clean(string(u.Role)+" > "+string(role), 100))
		if !slices.Contains(v.rolesHere(), role) {
			return "", "", nil, user.ErrInvalid
		}
		u.Role = role
		u, err := s.o.Users.Update(v.r.Context(), u)
		return usersOf(u) + "/" + u.ID, "users.done.role", []any{"Name", userName(u), "Role", v.page.role(role)}, err
	})
}

func (s *site) disableUser(v *visit) {
	s.onUser(v, func(u user.User) (string, string, []any, error) {
		return usersOf(u) + "/" + u.ID, "users.done.disable", []any{"Name", userName(u)}, s.o.Users.SetDisabled(v.r.Context(), u.ID, true)
	})
}

func (s *site) enableUser(v *visit) {
	s.onUser(v, func(u user.User) (string, string, []any, error) {
		return usersOf(u) + "/" + u.ID, "users.done.enable", []any{"Name", userName(u)}, s.o.Users.SetDisabled(v.r.Context(), u.ID, false)
	})
}

func (s *site) removeUser(v *visit) {
	s.onUser(v, func(u user.User) (string, string, []any, error) {
		return usersOf(u), "users.done.remove", []any{"Name", userName(u)}, s.o.Users.Remove(v.r.Context(), u.ID)
	})
}

// inviteAgain sends a new invitation, or a link for a new password to who has one.
func (s *site) inviteAgain(v *visit) {
	s.onUser(v, func(u user.User) (string, string, []any, error) {
		key := "users.done.reset"
		if invited(u) {
			key = "users.done.again"
		}
		_, err := s.o.Users.NewReset(v.r.Context(), u.ID)
		return usersOf(u) + "/" + u.ID, key, []any{"Address", clean(u.Address.String(), 254)}, err
	})
}
