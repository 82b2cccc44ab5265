package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/mail"
	"postern/internal/user"
)

// User is a person who signs in.
type User struct {
	ID       string    `json:"id"`
	Address  string    `json:"address" doc:"Signs in with it"`
	Name     string    `json:"name,omitempty"`
	Role     user.Role `json:"role" enum:"operator,abuse,admin,reader"`
	Customer string    `json:"customer,omitempty" doc:"Absent: of the gateway"`
	Language string    `json:"language" enum:"en,fr"`
	Zone     string    `json:"zone,omitempty" doc:"IANA time zone; absent: the gateway's"`
	Disabled bool      `json:"disabled,omitempty" doc:"May not sign in"`
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	Password bool      `json:"password" doc:"Has set one"`
	TOTP     bool      `json:"totp" doc:"One-time codes are asked"`
	Passkeys int       `json:"passkeys"`
	External bool      `json:"external,omitempty" doc:"Signed in by the identity provider"`
}

// Users is one page of them.
type Users struct {
	Users []User `json:"users" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (u Users) nextPage() string { return u.Next }

// UserRequest says who a user is.
type UserRequest struct {
	Address  string    `json:"address" maxLength:"320"`
	Name     string    `json:"name,omitempty" maxLength:"400"`
	Role     user.Role `json:"role" enum:"operator,abuse,admin,reader"`
	Customer string    `json:"customer,omitempty" maxLength:"64" doc:"Absent: of the gateway, or the token's customer"`
	Language string    `json:"language,omitempty" enum:"en,fr" doc:"Default en"`
	Zone     string    `json:"zone,omitempty" maxLength:"64"`
}

func (r *UserRequest) scope() *string { return &r.Customer }

// UserChange replaces what a user is.
type UserChange struct {
	Address  string    `json:"address" maxLength:"320"`
	Name     string    `json:"name,omitempty" maxLength:"400"`
	Role     user.Role `json:"role" enum:"operator,abuse,admin,reader"`
	Language string    `json:"language,omitempty" enum:"en,fr" doc:"Default en"`
	Zone     string    `json:"zone,omitempty" maxLength:"64"`
}

// Invited is a user with the link by which he sets his password.
type Invited struct {
	User User   `json:"user"`
	Link string `json:"link,omitempty" doc:"Where he sets his password; only in answers to the gateway's own principals. He gets it by mail, too"`
}

// Session is one browser in which a user is signed in.
type Session struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen" doc:"To the minute"`
	Ends    time.Time `json:"ends" doc:"If it is not used before"`
	IP      string    `json:"ip,omitempty"`
	Agent   string    `json:"agent,omitempty" doc:"The browser's own name"`
}

// Sessions are where a user is signed in.
type Sessions struct {
	Sessions []Session `json:"sessions" nullable:"false"`
}

// Token is what a program asks with, without its secret.
type Token struct {
	ID       string       `json:"id"`
	Customer string       `json:"customer,omitempty" doc:"Absent: of the gateway"`
	User     string       `json:"user" doc:"Who made it"`
	Label    string       `json:"label"`
	Rights   []user.Right `json:"rights" nullable:"false"`
	Created  time.Time    `json:"created"`
	Ends     time.Time    `json:"ends,omitzero" doc:"Absent: never"`
	LastUsed time.Time    `json:"last_used,omitzero" doc:"To the minute"`
	LastIP   string       `json:"last_ip,omitempty"`
	Revoked  bool         `json:"revoked,omitempty"`
}

// Tokens are what programs ask with.
type Tokens struct {
	Tokens []Token `json:"tokens" nullable:"false"`
	Next   string  `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (t Tokens) nextPage() string { return t.Next }

// TokenRequest asks for a token.
type TokenRequest struct {
	Customer string       `json:"customer,omitempty" maxLength:"64" doc:"Absent: of the gateway"`
	User     string       `json:"user" maxLength:"320" doc:"In whose name: id or address of a user. The token ends with him"`
	Label    string       `json:"label" minLength:"1" maxLength:"100" doc:"What uses it"`
	Rights   []user.Right `json:"rights" nullable:"false" minItems:"1" maxItems:"20" doc:"Some of its maker's"`
	Ends     time.Time    `json:"ends,omitzero" doc:"Absent: never"`
}

func (r *TokenRequest) scope() *string { return &r.Customer }

// NewToken is a token with its secret, which is shown here and never again.
type NewToken struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret" doc:"Send it as Authorization: Bearer …"`
}

// Noted is a line of the audit log.
type Noted struct {
	ID       int64     `json:"id"`
	At       time.Time `json:"at"`
	Actor    string    `json:"actor" doc:"operator:ID, user:ID or token:ID"`
	Name     string    `json:"name,omitempty"`
	Customer string    `json:"customer,omitempty" doc:"Whom it concerns; absent: the gateway"`
	Act      string    `json:"act"`
	Subject  string    `json:"subject,omitempty"`
	Text     string    `json:"text,omitempty"`
	IP       string    `json:"ip,omitempty"`
	Failed   bool      `json:"failed,omitempty" doc:"It was tried and refused"`
}

// History is one page of the audit log, the newest first.
type History struct {
	Entries []Noted `json:"entries" nullable:"false"`
	Next    string  `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one"`
}

func (h History) nextPage() string { return h.Next }

// addUsers registers what is done with people and tokens.
func (s *server) addUsers() {
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	read, write := over(user.UsersRead), over(user.UsersWrite)
	add(s, get, "/v1/users", "list-users", "Who may sign in, by address", read, s.listUsers)
	add(s, post, "/v1/users", "add-user", "Invite a user: he sets his password with a link", write.as("user.invite").once(), s.addUser)
	add(s, get, "/v1/users/{id}", "show-user", "One user", read, s.showUser)
	add(s, put, "/v1/users/{id}", "update-user", "Replace a user's address, name, role, language and zone", write.as("user.change"), s.updateUser)
	add(s, del, "/v1/users/{id}", "remove-user", "Remove a user with sessions and tokens", write.as("user.remove"), s.removeUser)
	add(s, post, "/v1/users/{id}/disable", "disable-user", "Let a user sign in no more; his sessions end", write.as("user.disable").anew(), s.disableUser)
	add(s, post, "/v1/users/{id}/enable", "enable-user", "Let a user sign in again", write.as("user.enable").anew(), s.enableUser)
	add(s, post, "/v1/users/{id}/link", "send-link", "Send a user a link with which he sets a new password", write.as("user.link").once(), s.sendLink)
	add(s, get, "/v1/users/{id}/sessions", "list-sessions", "Where a user is signed in", read, s.listSessions)
	add(s, del, "/v1/users/{id}/sessions/{session}", "end-session", "Sign a user out", write.as("session.end"), s.endSession)
	add(s, get, "/v1/tokens", "list-tokens", "Tokens of a customer, or of the gateway, the newest first", read, s.listTokens)
	add(s, post, "/v1/tokens", "add-token", "Make a token, shown this once. Only on the operator's socket: a token makes no tokens", write.as("token.make").once(), s.addToken)
	add(s, del, "/v1/tokens/{id}", "revoke-token", "End a token at once", write.as("token.revoke"), s.revokeToken)
	add(s, get, "/v1/history", "list-history", "Who did what, the newest first", read, s.listHistory)
}

// people is the ledger of users.
func (s *server) people() (*user.Ledger, error) {
	if s.o.Users == nil {
		return nil, problem(http.StatusConflict, "off", "this gateway has no users")
	}
	return s.o.Users, nil
}

func userOf(u user.User) User {
	return User{ID: u.ID, Address: u.Address.String(), Name: u.Name, Role: u.Role, Customer: u.Customer, Language: u.Language, Zone: u.Zone, Disabled: u.Disabled, Created: u.Created,
		LastSeen: u.LastSeen, Password: u.Password, TOTP: u.TOTP, Passkeys: u.Passkeys, External: u.External}
}

func tokenOf(t user.Token) Token {
	return Token{ID: t.ID, Customer: t.Customer, User: t.User, Label: t.Label, Rights: append([]user.Right{}, t.Rights...), Created: t.Created, Ends: t.Ends, LastUsed: t.LastUsed,
		LastIP: address(t.LastIP), Revoked: t.Revoked}
}

// address writes an IP address; "" for none.
func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}

// UserRef is the input of endpoints about one user.
type UserRef struct {
	ID string `path:"id" maxLength:"64" doc:"Id of the user"`
}

func (u *UserRef) owner(ctx context.Context, s *server) (string, bool, error) {
	l, err := s.people()
	if err != nil {
		return "", false, err
	}
	x, err := l.User(ctx, u.ID)
	if errors.Is(err, user.ErrNotFound) {
		return "", false, nil
	}
	return x.Customer, err == nil, err
}
func (u *UserRef) kind() string { return "no-such-user" }

type usersIn struct {
	ForCustomer
	Paging
	Search string `query:"search" maxLength:"254" doc:"Only those whose address or name holds this"`
}

func (s *server) listUsers(ctx context.Context, in *usersIn) (*body[Users], error) {
	l, err := s.people()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	after := ""
	if in.Cursor != "" {
		if after, err = readCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	page, err := l.Users(ctx, user.UserQuery{Customer: in.Customer, Everybody: in.Customer == "", Text: in.Search, After: after, Limit: min(in.Limit, 200)})
	if err != nil {
		return nil, s.fail(err)
	}
	out := Users{Users: []User{}}
	for _, u := range page.Users {
		out.Users = append(out.Users, userOf(u))
	}
	if page.Next != "" {
		out.Next = writeCursor(page.Next)
	}
	return &body[Users]{out}, nil
}

// mayMake refuses roles that are mightier than a token: who may change users would else be able to do everything.
func mayMake(ctx context.Context, roles ...user.Role) error {
	who := principal(ctx)
	if !who.Token {
		return nil
	}
	for _, role := range roles {
		for _, r := range role.Rights() {
			if !slices.Contains(who.Rights, r) {
				return problem(http.StatusForbidden, "no-right", "role %s has the right %s, which your token lacks; it changes no users who may do more than itself", role, r)
			}
		}
	}
	return nil
}

func (s *server) addUser(ctx context.Context, in *customerBody[UserRequest, *UserRequest]) (*body[Invited], error) {
	r := in.Body
	about(ctx, r.Address, string(r.Role))
	l, err := s.people()
	if err != nil {
		return nil, err
	}
	if err := mayMake(ctx, r.Role); err != nil {
		return nil, err
	}
	a, err := mail.ParseAddress(r.Address)
	if err != nil {
		return nil, invalid("address: %v", err)
	}
	u, secret, err := l.Add(ctx, user.User{Address: a, Name: r.Name, Role: r.Role, Customer: r.Customer, Language: r.Language, Zone: r.Zone})
	if err != nil {
		return nil, s.fail(err)
	}
	return &body[Invited]{invited(ctx, u, l.InviteLink(secret))}, nil
}

// invited tells the gateway's own principals the link; to others it is sent by mail only.
func invited(ctx context.Context, u user.User, link string) Invited {
	if !principal(ctx).Gateway() {
		link = ""
	}
	return Invited{userOf(u), link}
}

func (s *server) showUser(ctx context.Context, in *UserRef) (*body[User], error) {
	_, u, err := s.person(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[User]{userOf(u)}, nil
}

// person reads a user.
func (s *server) person(ctx context.Context, id string) (*user.Ledger, user.User, error) {
	l, err := s.people()
	if err != nil {
		return nil, user.User{}, err
	}
	u, err := l.User(ctx, id)
	if err != nil {
		return l, u, s.fail(err)
	}
	return l, u, nil
}

// changing reads a user whom the principal may change.
func (s *server) changing(ctx context.Context, id string, also ...user.Role) (*user.Ledger, user.User, error) {
	l, u, err := s.person(ctx, id)
	if err != nil {
		return nil, u, err
	}
	about(ctx, u.Address.String(), "")
	return l, u, mayMake(ctx, append(also, u.Role)...)
}

type updateUserIn struct {
	UserRef
	Body UserChange
}

func (s *server) updateUser(ctx context.Context, in *updateUserIn) (*body[User], error) {
	r := in.Body
	l, u, err := s.changing(ctx, in.ID, r.Role)
	if err != nil {
		return nil, err
	}
	about(ctx, u.Address.String(), string(u.Role)+" > "+string(r.Role))
	if u.Address, err = mail.ParseAddress(r.Address); err != nil {
		return nil, invalid("address: %v", err)
	}
	u.Name, u.Role, u.Language, u.Zone = r.Name, r.Role, r.Language, r.Zone
	if u, err = l.Update(ctx, u); err != nil {
		return nil, s.fail(err)
	}
	return &body[User]{userOf(u)}, nil
}

func (s *server) removeUser(ctx context.Context, in *UserRef) (*body[Done], error) {
	l, u, err := s.changing(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := l.Remove(ctx, u.ID); err != nil {
		return nil, s.fail(err)
	}
	return done("%s is removed with sessions and tokens", u.Address), nil
}

func (s *server) disableUser(ctx context.Context, in *UserRef) (*body[Done], error) {
	return s.setDisabled(ctx, in.ID, true, func(u user.User) *body[Done] {
		return done("%s cannot sign in any more, and is signed out everywhere", u.Address)
	})
}

func (s *server) enableUser(ctx context.Context, in *UserRef) (*body[Done], error) {
	return s.setDisabled(ctx, in.ID, false, func(u user.User) *body[Done] { return done("%s may sign in again", u.Address) })
}

func (s *server) setDisabled(ctx context.Context, id string, disabled bool, what func(user.User) *body[Done]) (*body[Done], error) {
	l, u, err := s.changing(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := l.SetDisabled(ctx, u.ID, disabled); err != nil {
		return nil, s.fail(err)
	}
	return what(u), nil
}

func (s *server) sendLink(ctx context.Context, in *UserRef) (*body[Invited], error) {
	l, u, err := s.changing(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	secret, err := l.NewReset(ctx, u.ID)
	if err != nil {
		return nil, s.fail(err)
	}
	link := l.ResetLink(secret)
	if !u.Password {
		link = l.InviteLink(secret)
	}
	return &body[Invited]{invited(ctx, u, link)}, nil
}

func (s *server) listSessions(ctx context.Context, in *UserRef) (*body[Sessions], error) {
	l, u, err := s.person(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	all, err := l.Sessions(ctx, u.ID)
	if err != nil {
		return nil, s.fail(err)
	}
	out := Sessions{Sessions: []Session{}}
	for _, x := range all {
		out.Sessions = append(out.Sessions, Session{x.ID, x.Created, x.Seen, x.Ends, address(x.IP), x.Agent})
	}
	return &body[Sessions]{out}, nil
}

type sessionRef struct {
	UserRef
	Session string `path:"session" maxLength:"64"`
}

func (s *server) endSession(ctx context.Context, in *sessionRef) (*body[Done], error) {
	l, u, err := s.changing(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := l.EndSession(ctx, u.ID, in.Session); err != nil {
		return nil, s.fail(err)
	}
	return done("%s is signed out there", u.Address), nil
}

func (s *server) listTokens(ctx context.Context, in *usersIn) (*body[Tokens], error) {
	l, err := s.people()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	all, err := l.Tokens(ctx, in.Customer)
	if err != nil {
		return nil, s.fail(err)
	}
	key := func(t user.Token) string {
		return strconv.FormatInt(1<<62-t.Created.UnixMicro(), 10) + t.ID
	}
	slices.SortFunc(all, func(a, b user.Token) int { return strings.Compare(key(a), key(b)) }) // the newest first
	all, next, err := pageOf(in.Paging, all, key)
	if err != nil {
		return nil, err
	}
	out := Tokens{Tokens: []Token{}, Next: next}
	for _, t := range all {
		out.Tokens = append(out.Tokens, tokenOf(t))
	}
	return &body[Tokens]{out}, nil
}

func (s *server) addToken(ctx context.Context, in *customerBody[TokenRequest, *TokenRequest]) (*body[NewToken], error) {
	r := in.Body
	about(ctx, r.Label, "")
	l, err := s.people()
	if err != nil {
		return nil, err
	}
	if principal(ctx).Token {
		return nil, problem(http.StatusForbidden, "token-makes-no-token", "a token makes no tokens: sign in and make it on the page Tokens, or run postern token add on the gateway")
	}
	u, err := l.User(ctx, r.User)
	if errors.Is(err, user.ErrNotFound) {
		u, err = l.ByAddress(ctx, r.User)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	t, secret, err := l.AddToken(ctx, u.Principal(), user.Token{Customer: r.Customer, Label: r.Label, Rights: r.Rights, Ends: r.Ends})
	if err != nil {
		return nil, s.fail(err)
	}
	about(ctx, t.ID, t.Label)
	return &body[NewToken]{NewToken{tokenOf(t), secret}}, nil
}

// tokenRef names one token.
type tokenRef struct {
	ForCustomer
	ID string `path:"id" maxLength:"64"`
}

func (s *server) revokeToken(ctx context.Context, in *tokenRef) (*body[Done], error) {
	l, err := s.people()
	if err != nil {
		return nil, err
	}
	// A customer's principal was narrowed to his own: another's token is not found.
	if err := l.RevokeToken(ctx, in.Customer, in.ID); err != nil {
		return nil, s.fail(err)
	}
	return done("token %s is worth nothing any more", in.ID), nil
}

type historyIn struct {
	ForCustomer
	Paging
	Gateway bool      `query:"gateway" doc:"Only what concerns no customer"`
	Actor   string    `query:"actor" maxLength:"100"`
	Act     string    `query:"act" maxLength:"60"`
	Since   time.Time `query:"since"`
	Until   time.Time `query:"until"`
}

func (s *server) listHistory(ctx context.Context, in *historyIn) (*body[History], error) {
	l, err := s.people()
	if err != nil {
		return nil, err
	}
	if err := s.scope(in.Customer); err != nil {
		return nil, err
	}
	q := user.EntryQuery{Customer: in.Customer, Everybody: in.Customer == "" && !in.Gateway, Actor: in.Actor, Act: in.Act, From: in.Since, To: in.Until, Limit: min(in.Limit, 200)}
	if in.Cursor != "" {
		text, err := readCursor(in.Cursor)
		if err != nil {
			return nil, err
		}
		if q.Before, err = strconv.ParseInt(text, 10, 64); err != nil || q.Before <= 0 {
			return nil, badCursor()
		}
	}
	page, err := l.Entries(ctx, q)
	if err != nil {
		return nil, s.fail(err)
	}
	out := History{Entries: []Noted{}}
	for _, e := range page.Entries {
		out.Entries = append(out.Entries, Noted{e.ID, e.At, e.Actor, e.Name, e.Customer, e.Act, e.Subject, e.Text, address(e.IP), e.Failed})
	}
	if page.Next > 0 {
		out.Next = writeCursor(strconv.FormatInt(page.Next, 10))
	}
	return &body[History]{out}, nil
}

// Users returns the users of a customer, "" of the gateway and of all customers.
func (c *Client) Users(ctx context.Context, customer string) ([]User, error) {
	return pages(ctx, c, "/v1/users", values("customer", customer), func(p Users) ([]User, string) { return p.Users, p.Next })
}

// FindUsers returns users of whose address or name the text is a part.
func (c *Client) FindUsers(ctx context.Context, text string) ([]User, error) {
	return pages(ctx, c, "/v1/users", values("search", text), func(p Users) ([]User, string) { return p.Users, p.Next })
}

// User returns one user.
func (c *Client) User(ctx context.Context, id string) (User, error) {
	return get[User](ctx, c, "/v1/users/"+url.PathEscape(id), nil)
}

// AddUser invites a user and returns the link by which he sets his password.
func (c *Client) AddUser(ctx context.Context, r UserRequest) (Invited, error) {
	return send[Invited](ctx, c, http.MethodPost, "/v1/users", r)
}

// UpdateUser replaces what a user is.
func (c *Client) UpdateUser(ctx context.Context, id string, r UserChange) (User, error) {
	return send[User](ctx, c, http.MethodPut, "/v1/users/"+url.PathEscape(id), r)
}

// RemoveUser removes a user.
func (c *Client) RemoveUser(ctx context.Context, id string) (Done, error) {
	return send[Done](ctx, c, http.MethodDelete, "/v1/users/"+url.PathEscape(id), nil)
}

// SetUser lets a user sign in no more, or again.
func (c *Client) SetUser(ctx context.Context, id string, disabled bool) (Done, error) {
	word := "enable"
	if disabled {
		word = "disable"
	}
	return send[Done](ctx, c, http.MethodPost, "/v1/users/"+url.PathEscape(id)+"/"+word, nil)
}

// SendLink sends a user a link to a new password, and returns it.
func (c *Client) SendLink(ctx context.Context, id string) (Invited, error) {
	return send[Invited](ctx, c, http.MethodPost, "/v1/users/"+url.PathEscape(id)+"/link", nil)
}

// AddToken makes a token, which this answer alone shows.
func (c *Client) AddToken(ctx context.Context, r TokenRequest) (NewToken, error) {
	return send[NewToken](ctx, c, http.MethodPost, "/v1/tokens", r)
}
