package portal

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/user"
)

// tokenDays are the lives of tokens that are offered, in days; 0: without end.
var tokenDays = []int{30, 90, 365, 0}

// tokenDaysGiven is offered first.
const tokenDaysGiven = 90

// tokensRoutes are the pages of API tokens: of a customer, and of the gateway.
func (s *site) tokensRoutes() []route {
	var out []route
	for _, x := range []struct {
		base        string
		read, write access
	}{
		{"/c/{customer}/tokens", over(user.UsersRead), over(user.UsersWrite)},
		{"/o/tokens", gateway(user.UsersRead), gateway(user.UsersWrite)},
	} {
		out = append(out,
			route{method: http.MethodGet, path: x.base, access: x.read, do: s.tokens},
			route{method: http.MethodPost, path: x.base, access: x.write, act: "token.make", do: s.makeToken},
			route{method: http.MethodPost, path: x.base + "/{token}/revoke", access: x.write, act: "token.revoke", do: s.revokeToken},
		)
	}
	return out
}

// tokensPage is the list of tokens, with a form to make one.
type tokensPage struct {
	page
	Lede, Here      string
	Secret, Snippet string // of a token that was just made: shown once
	Tokens          []tokenRow
	Fields          []field // nil: the visitor may not
	Rights          []pick
	RightsFault     string
}

// tokenRow is one token of a list.
type tokenRow struct {
	Label, ID, Rights, Made, By, Ends, Used string
	Over                                    bool // expired or revoked
	Revoke                                  *button
}

// tokenForm is what the form to make a token holds, with its faults.
type tokenForm struct {
	Label                              string
	Days                               int
	Rights                             []user.Right
	LabelFault, RightsFault, EndsFault string
	Fault                              string
}

func (s *site) tokens(v *visit) {
	s.showTokens(v, http.StatusOK, tokenForm{Days: tokenDaysGiven}, "")
}

// rightsHere are the rights that the visitor can give to a token of this place.
func (v *visit) rightsHere() []user.Right {
	return slices.DeleteFunc(slices.Clone(v.who.Rights), func(r user.Right) bool {
		return v.customer.ID != "" && (r == user.GatewayRead || r == user.GatewayOperate)
	})
}

// rightText is what a right allows, in words.
func (p page) rightText(r user.Right) string {
	if !slices.Contains(user.Rights(), r) {
		return clean(string(r), 40)
	}
	return p.T("tokens.right." + strings.ReplaceAll(string(r), ":", "_"))
}

// showTokens answers with the list; secret and rights are those of a token that was just made.
func (s *site) showTokens(v *visit, status int, form tokenForm, secret string, made ...user.Right) {
	list, err := s.o.Users.Tokens(v.r.Context(), v.customer.ID)
	if err != nil {
		v.broken("tokens not read", err)
		return
	}
	here := v.place() + "/tokens"
	p := tokensPage{page: v.page, Here: v.page.URL(here), Lede: v.page.T("tokens.lede"), Secret: secret}
	p.Title = p.T("tokens.heading")
	if v.customer.ID == "" {
		p.Lede += " " + p.T("tokens.lede_gateway")
	}
	if secret != "" {
		p.Snippet = "curl -H 'Authorization: Bearer " + secret + "' " + s.apiAddress(v, made)
	}
	names := make(map[string]string)
	for _, t := range list {
		row := v.tokenRow(t)
		row.By = s.nameOf(v, names, t.User)
		if v.mayWrite() && !row.Over {
			row.Revoke = &button{URL: p.URL(here + "/" + t.ID + "/revoke"), Label: p.T("tokens.revoke"), Class: "danger small", Sure: p.T("tokens.revoke_sure")}
		}
		p.Tokens = append(p.Tokens, row)
	}
	if v.mayWrite() {
		ends := field{Name: "days", Label: p.T("tokens.ends"), Hint: p.T("tokens.never_hint"), Type: "select", Fault: form.EndsFault}
		for _, n := range tokenDays {
			label := p.T("tokens.never")
			if n > 0 {
				label = p.T("tokens.days", "Count", n)
			}
			ends.Options = append(ends.Options, option{strconv.Itoa(n), label, n == form.Days})
		}
		p.Fields = []field{{Name: "label", Label: p.T("tokens.label"), Hint: p.T("tokens.label_hint"), Value: form.Label, Fault: form.LabelFault, Required: true, Most: 100, Complete: "off"}, ends}
		for _, r := range v.rightsHere() {
			p.Rights = append(p.Rights, pick{Value: string(r), Label: p.rightText(r), Chosen: slices.Contains(form.Rights, r)})
		}
		p.RightsFault = form.RightsFault
	}
	if form.Fault != "" {
		p.Banner = &banner{"bad", form.Fault}
	}
	if status >= http.StatusBadRequest {
		p.Title = p.T("error.title", "Heading", p.Title)
	}
	v.show(status, "tokens.list", p)
}

// firstRequests are what tokens may ask, by right: the first that a new token has is shown.
var firstRequests = []struct {
	right user.Right
	path  string
}{
	{user.MailRead, "/api/v1/messages"}, {user.GatewayRead, "/api/v1/lanes"}, {user.ListsRead, "/api/v1/suppression"}, {user.SetupRead, "/api/v1/domains"}, {user.UsersRead, "/api/v1/history"},
}

// apiAddress is what a new token may ask; without a right to read, the description of the endpoints.
func (s *site) apiAddress(v *visit, rights []user.Right) string {
	base := strings.TrimSuffix(s.o.BaseURL, "/")
	if base == "" {
		base = "http://" + clean(v.r.Host, 254) + s.prefix
	}
	for _, x := range firstRequests {
		if slices.Contains(rights, x.right) {
			return base + x.path
		}
	}
	return base + "/api/openapi.json"
}

// nameOf is a user's name, asked once per page.
func (s *site) nameOf(v *visit, known map[string]string, id string) string {
	if name, ok := known[id]; ok {
		return name
	}
	if u, err := s.o.Users.User(v.r.Context(), id); err == nil {
		known[id] = userName(u)
	} else {
		known[id] = ""
	}
	return known[id]
}

func (v *visit) tokenRow(t user.Token) tokenRow {
	p := v.page
	row := tokenRow{Label: clean(t.Label, 100), ID: t.ID, Made: p.date(t.Created), Ends: p.T("tokens.never_ends"), Used: p.T("tokens.never_used")}
	var words []string
	for _, r := range t.Rights {
		words = append(words, p.rightText(r))
	}
	row.Rights = strings.Join(words, "; ")
	switch {
	case t.Revoked:
		row.Ends, row.Over = p.T("tokens.revoked"), true
	case !t.Ends.IsZero() && !v.s.o.Now().Before(t.Ends):
		row.Ends, row.Over = p.T("tokens.over"), true
	case !t.Ends.IsZero():
		row.Ends = p.date(t.Ends)
	}
	switch {
	case !t.LastUsed.IsZero() && t.LastIP.IsValid():
		row.Used = p.T("tokens.used_from", "When", p.date(t.LastUsed), "IP", t.LastIP.String())
	case !t.LastUsed.IsZero():
		row.Used = p.date(t.LastUsed)
	}
	return row
}

// makeToken makes a token and shows its secret, this once.
func (s *site) makeToken(v *visit) {
	if !v.read() {
		return
	}
	f := v.r.PostForm
	form := tokenForm{Label: clean(f.Get("label"), 200)}
	var err error
	if form.Days, err = strconv.Atoi(f.Get("days")); err != nil || !slices.Contains(tokenDays, form.Days) {
		form.Days, form.EndsFault = tokenDaysGiven, v.page.T("tokens.fault.ends")
	}
	mine := v.rightsHere()
	for _, x := range f["right"] {
		if !slices.Contains(mine, user.Right(x)) {
			form.RightsFault = v.page.T("tokens.fault.rights")
		} else if !slices.Contains(form.Rights, user.Right(x)) {
			form.Rights = append(form.Rights, user.Right(x))
		}
	}
	v.about(form.Label, rightWords(form.Rights))
	if len(form.Rights) == 0 {
		form.RightsFault = v.page.T("tokens.fault.rights")
	}
	if n := len([]rune(form.Label)); n == 0 || n > 100 {
		form.LabelFault = v.page.T("tokens.fault.label")
	}
	if form.LabelFault+form.RightsFault+form.EndsFault != "" {
		s.showTokens(v, http.StatusUnprocessableEntity, form, "")
		return
	}
	if !v.proved() {
		return
	}
	t := user.Token{Customer: v.customer.ID, Label: form.Label, Rights: form.Rights}
	if form.Days > 0 {
		t.Ends = s.o.Now().Add(time.Duration(form.Days) * 24 * time.Hour)
	}
	t, secret, err := s.o.Users.AddToken(v.r.Context(), v.who, t)
	switch {
	case errors.Is(err, user.ErrDenied):
		form.RightsFault = v.page.T("tokens.fault.rights")
		s.showTokens(v, http.StatusForbidden, form, "")
	case errors.Is(err, user.ErrInvalid):
		form.Fault = v.page.T("tokens.fault.many")
		s.showTokens(v, http.StatusUnprocessableEntity, form, "")
	case err != nil:
		v.broken("token not made", err)
	default:
		v.about(t.ID+" "+t.Label, rightWords(t.Rights))
		s.showTokens(v, http.StatusOK, tokenForm{Days: tokenDaysGiven}, secret, t.Rights...)
	}
}

func rightWords(rights []user.Right) string {
	var words []string
	for _, r := range rights {
		words = append(words, string(r))
	}
	return strings.Join(words, " ")
}

// revokeToken ends a token of the place.
func (s *site) revokeToken(v *visit) {
	if !v.read() {
		return
	}
	id := v.r.PathValue("token")
	t, ok := s.tokenOf(v, v.customer.ID, id)
	if !ok {
		return
	}
	v.about(t.ID+" "+t.Label, "")
	if !v.proved() {
		return
	}
	s.revoked(v, t, v.place()+"/tokens")
}

// tokenOf finds a token of a customer or of the gateway; else it answers that there is none.
func (s *site) tokenOf(v *visit, customer, id string) (user.Token, bool) {
	list, err := s.o.Users.Tokens(v.r.Context(), customer)
	if err != nil {
		v.broken("tokens not read", err)
		return user.Token{}, false
	}
	i := slices.IndexFunc(list, func(t user.Token) bool { return t.ID == id })
	if i < 0 {
		v.missing()
		return user.Token{}, false
	}
	return list[i], true
}

// revoked ends a token and says so.
func (s *site) revoked(v *visit, t user.Token, back string) {
	err := s.o.Users.RevokeToken(v.r.Context(), t.Customer, t.ID)
	switch {
	case errors.Is(err, user.ErrNotFound):
		v.missing()
	case err != nil:
		v.broken("token not revoked", err)
	default:
		v.done(back, "tokens.done.revoke", "Label", clean(t.Label, 100))
	}
}
